"""The program as a library: what its public names give is what the commands give."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import advisor
from advisor.errors import InputError
from advisor.plan.document import plan_to_json

ROOT = Path(__file__).parents[1]
CHAT = ROOT / "examples/chat/workload.yaml"
MODULE = re.compile(r"advisor(\.\w+)+(:\w+)?")
NO_MODULES = {"advisor.catalog_providers", "advisor.quiet"}


def test_every_public_name_is_there_and_nothing_is_loaded_before_it_is_used():
    """Importing the package loads none of its modules; each public name then resolves."""
    program = "import sys, advisor; print(sorted(name for name in sys.modules if name.startswith('advisor.')))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.strip() == "[]"
    assert all(getattr(advisor, name) is not None for name in advisor.__all__)
    assert set(advisor.__all__) == {name for name in dir(advisor) if not name.startswith("__")}
    with pytest.raises(AttributeError, match="no attribute 'recomend'"):
        _ = advisor.recomend


@pytest.fixture(scope="module")
def plan():
    """The plan of an example, made through the library."""
    return advisor.recommend(CHAT)


def test_a_plan_has_the_digits_of_the_command_on_any_number_of_processors(run_advisor):
    """However many threads linear algebra takes by itself, library and command write the same bytes."""
    program = (
        "import advisor, sys; from advisor.plan.document import plan_to_json; "
        "sys.stdout.write(plan_to_json(advisor.recommend('examples/chat/workload.yaml')))"
    )
    several = {**os.environ, "OPENBLAS_NUM_THREADS": "4", "PYTHONPATH": str(ROOT)}
    library = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT, env=several
    )
    command = run_advisor("recommend", "examples/chat/workload.yaml", "--format", "json", OPENBLAS_NUM_THREADS="1")
    assert json.loads(library.stdout) == json.loads(command.stdout)


def test_a_workload_value_is_planned_as_its_file_is(plan):
    """A path and the value read from it give one plan."""
    catalog = advisor.load_catalog()
    again = advisor.recommend(advisor.read_workload(str(CHAT)), catalog=catalog)
    assert again.recommended == plan.recommended
    assert again.fleet == plan.fleet


def test_a_plan_comes_back_from_its_file_and_becomes_code(plan, run_advisor, tmp_path):
    """The library's plan is the command's, and its code is what the command writes."""
    path = tmp_path / "plan.json"
    assert run_advisor("recommend", CHAT, "--format", "json", "-o", path).returncode == 0
    read = advisor.read_plan(path)
    assert read.recommended.cost.total_usd_per_month == pytest.approx(
        plan.recommended.cost.total_usd_per_month, abs=0.01
    )
    files = advisor.generate(read).files
    assert run_advisor("generate", "terraform", path, "--out", tmp_path / "infra").returncode == 0
    assert files
    for name, text in files.items():
        assert (tmp_path / "infra" / name).read_text() == text


def test_plans_are_given_as_values_or_as_paths(plan, tmp_path):
    """A path of a plan is read; what is neither is refused with the name of the argument."""
    path = tmp_path / "plan.json"
    path.write_text(plan_to_json(plan))
    assert advisor.generate(str(path), "pulumi").files == advisor.generate(plan, "python").files
    again = advisor.recommend(CHAT, previous=path)
    assert again.fleet.groups[0].instance_type == plan.fleet.groups[0].instance_type
    for wrong, where in (
        ({"previous": 5}, "previous"),
        ({"catalog": str(path)}, str(path)),
        ({"catalog": 5}, "catalog"),
    ):
        with pytest.raises(InputError) as refused:
            advisor.recommend(CHAT, **wrong)
        assert refused.value.where == where
    with pytest.raises(InputError, match="is not a path"):
        advisor.recommend(None)


@pytest.mark.parametrize("concurrency", [0, 0.5])
def test_no_users_are_no_closed_loop(concurrency):
    """A number of users below one is refused, as in the command, and no other question is answered for it."""
    told = advisor.predict("Qwen/Qwen3-8B", "L40S", input_tokens=512, output_tokens=128, concurrency=concurrency)
    assert not told.quantities
    assert told.reason == "this scenario needs a concurrency of at least 1"


def test_fit_and_predict_answer_as_the_commands_do(run_advisor):
    """Numbers of the library are those of the commands."""
    fit = advisor.fit("Qwen/Qwen3-8B", "L40S", context_tokens=8192)
    told = json.loads(
        run_advisor(
            "fit", "--model", "Qwen/Qwen3-8B", "--accelerator", "L40S", "--context", 8192, "--format", "json"
        ).stdout
    )
    assert fit.memory.kv_cache_tokens == told["kv_cache_tokens"]
    assert fit.range.max_concurrency_low == told["max_concurrency_low"]
    load = {"input_tokens": 512, "output_tokens": 128, "concurrency": 16}
    speed = advisor.predict("Qwen/Qwen3-8B", "L40S", **load)
    options = [part for name, value in load.items() for part in (f"--{name.replace('_', '-')}", value)]
    told = json.loads(
        run_advisor("predict", "--model", "Qwen/Qwen3-8B", "--accelerator", "L40S", *options, "--format", "json").stdout
    )
    assert speed.quantities["tpot_ms"].value == pytest.approx(told["tpot_ms"], rel=1e-5)
    assert speed.evidence == told["evidence"]
    assert "samples_per_second" not in speed.quantities


def test_memory_limits_no_number_of_requests_where_there_is_no_cache():
    """Of images it is not known, and not none; a language model that does not fit holds none."""
    fit = advisor.fit("google/vit-base-patch16-224", "L4")
    assert fit.memory.fits
    assert fit.memory.max_concurrency is None
    assert fit.range.kv_cache_tokens_low is None
    assert advisor.fit("Qwen/Qwen3-32B", "T4").memory.max_concurrency == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: advisor.fit("Qwen/Qwen3-8B", "L40S", tensor_paralel=2), "tensor_parallel"),
        (lambda: advisor.fit("Qwen/Qwen3-8B", "L41S"), "L40S"),
        (lambda: advisor.predict("no/model", "L40S"), "no/model"),
        (lambda: advisor.recommend("missing.yaml"), "missing.yaml"),
        (lambda: advisor.read_plan("missing.json"), "missing.json"),
        (lambda: advisor.generate(None, "bicep"), "terraform"),
    ],
)
def test_mistakes_are_named(call, words):
    """An unknown option, name, file or language is an error that names it and the remedy."""
    with pytest.raises(InputError) as error:
        call()
    assert words in str(error.value)


def module_names():
    """Texts in the program that name a module of it: what is imported only when it is used."""
    for path in sorted((ROOT / "advisor").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE.fullmatch(node.value):
                yield node.value


def test_modules_that_are_named_in_texts_exist():
    """What is imported by its name when it is used is still there, and so is the function that stands behind it."""
    names = set(module_names()) - NO_MODULES
    assert {"advisor.samples.agent.status:alive", "advisor.serve.warm"} <= names
    pairs = [name.partition(":") for name in names]
    missing = {module for module, _, _ in pairs if importlib.util.find_spec(module) is None}
    assert not missing
    assert all(hasattr(importlib.import_module(module), function) for module, _, function in pairs if function)


def test_nothing_runs_when_a_module_is_imported():
    """A module only defines, but for the one that warms up the process which others are forked from."""
    calls = {
        path.relative_to(ROOT / "advisor").as_posix()
        for path in (ROOT / "advisor").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and "add_command" not in ast.unparse(node)
    }
    assert calls == {"serve/warm.py"}
