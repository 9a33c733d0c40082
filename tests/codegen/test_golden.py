"""The generated code is exactly the golden one; ``make golden`` writes it anew, to be read before a commit."""

import dataclasses
import json
import re
import shutil

import pytest

from advisor.codegen import Form, Language, generate
from advisor.plan.document import plan_from_json, plan_to_json
from codegen.check import findings
from codegen.forms import FORMS
from codegen.golden_stacks import STACKS, WHOLE, fold, same_as, unfold
from codegen.scenarios import SCENARIOS
from iac.modules import of_today

DATA = re.compile(r"fleet\.tf|.+/fleet\.tf|.*kubernetes/.+\.ya?ml")
"""Files that hold what a plan decides."""
CASES = [
    *((name, Language.TERRAFORM) for name in SCENARIOS),
    *((name, Language.PYTHON) for name in WHOLE if Language.PYTHON in SCENARIOS[name]().languages),
]


@pytest.mark.parametrize(("name", "language"), CASES)
def test_code_equals_the_golden_one(name, language, golden, request):
    """Each scenario gives the files that were read and accepted, no more and no fewer."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, language, scenario.wanted).files
    stack = f"{name}/{language.value}"
    kept = {f"{stack}/{path}": text for path, text in files.items() if name in WHOLE or DATA.fullmatch(path)}
    assert kept
    if request.config.getoption("--update-golden"):
        shutil.rmtree(STACKS / stack, ignore_errors=True)
    holders = same_as()
    for path, text in kept.items():
        golden(STACKS / holders.get(path, path), text)
    files_here = [str(path.relative_to(STACKS)) for path in (STACKS / stack).rglob("*") if path.is_file()]
    assert sorted(kept) == sorted([*files_here, *(path for path in holders if path.startswith(f"{stack}/"))])


def test_each_golden_text_is_kept_once(request, tmp_path):
    """The table names files that exist, of scenarios that exist; writing it anew changes nothing."""
    if request.config.getoption("--update-golden"):
        pytest.skip("the table is written at the end of the run")
    assert {path.partition("/")[0] for path in same_as()} <= set(SCENARIOS)
    assert {path.name for path in STACKS.iterdir() if path.is_dir()} <= set(SCENARIOS)
    again = shutil.copytree(STACKS, tmp_path / "stacks")
    unfold(again)
    assert all((again / path).exists() for path in same_as())
    fold(again)
    assert _texts(again) == _texts(STACKS)


def test_a_changed_stack_leaves_the_others_as_they_are(tmp_path):
    """Where one of two equal files changes, the other keeps its text; where both are equal again, one is kept."""
    for stack in ("b", "a"):
        (tmp_path / stack).mkdir()
        (tmp_path / stack / "fleet.tf").write_text("old")
    fold(tmp_path)
    assert _texts(tmp_path) == {"a/fleet.tf": "old", "same.csv": "path,same_as\nb/fleet.tf,a/fleet.tf\n"}
    unfold(tmp_path)
    (tmp_path / "a" / "fleet.tf").write_text("new")
    fold(tmp_path)
    assert _texts(tmp_path) == {"a/fleet.tf": "new", "b/fleet.tf": "old", "same.csv": "path,same_as\n"}


def _texts(directory):
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FORMS)
def test_form_equals_the_golden_one(name, golden, request):
    """Each form gives the objects and values that were read and accepted; what the manifests have too is left out."""
    scenario = FORMS[name]()
    usual = dataclasses.replace(scenario.wanted, form=Form.MANIFESTS)
    files, others = (generate(scenario.plan, Language.TERRAFORM, one).files for one in (scenario.wanted, usual))
    directory = STACKS.parent / "forms" / name
    own = {path: text for path, text in files.items() if path.startswith("kubernetes/") and others.get(path) != text}
    if request.config.getoption("--update-golden"):
        shutil.rmtree(directory, ignore_errors=True)
    for path, text in own.items():
        golden(directory / path, text)
    assert sorted(own) == sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", of_today(list(SCENARIOS), shares=4))
def test_plan_from_a_file_gives_the_same_bytes_as_the_plan_in_memory(name):
    """The code is sound; writing the plan out and reading it back changes no byte of it, nor does a second run."""
    scenario = SCENARIOS[name]()
    again = plan_from_json(plan_to_json(scenario.plan))
    for language in scenario.languages:
        files = generate(scenario.plan, language, scenario.wanted).files
        assert findings(files) == ()
        assert files == generate(again, language, scenario.wanted).files


def test_digest_follows_the_plan():
    """Another price is another digest; the order of the plan's keys is not."""
    scenario = SCENARIOS["a10g-on-demand"]()
    document = json.loads(plan_to_json(scenario.plan))
    document["demand"] = dict(reversed(document["demand"].items()))
    shuffled = plan_from_json(json.dumps(document))
    digest = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).plan_digest
    assert generate(shuffled, Language.TERRAFORM, scenario.wanted).plan_digest == digest
    document["options"][1]["cost"]["total_usd_per_month"] += 1
    dearer = plan_from_json(json.dumps(document))
    assert generate(dearer, Language.TERRAFORM, scenario.wanted).plan_digest != digest
