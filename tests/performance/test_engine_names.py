"""Which engines and releases are known, and what is taken where none is stated: the same for `fit`, `predict` and plans."""

import json

import pytest

from advisor.calibration.observations import load_measurements
from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.questions import check_engine
from advisor.questions.fit import fit_case
from advisor.questions.predict import resolved_from

ASKED = {"model": "meta-llama/Llama-3.1-8B-Instruct", "accelerator": "H100-SXM", "precision": "fp8"}
OPTIONS = ["--model", ASKED["model"], "--accelerator", "H100-SXM", "--precision", "fp8"]


def test_everything_that_was_measured_is_known():
    """Engines and versions of every published measurement, and those of the catalog."""
    catalog = load_catalog()
    named = {(one.setup.engine, one.setup.engine_version) for one in load_measurements().measurements}
    for engine, version in named | {(engine, "") for engine in catalog.engines}:
        check_engine(engine, version, catalog)


@pytest.mark.parametrize(
    ("engine", "version", "words"),
    [
        ("SGLnag", "", ("engine 'SGLnag' is not known", "did you mean SGLang?", "TensorRT-LLM")),
        ("FooServe", "1.0", ("engine 'FooServe' is not known", "Known: ATOM")),
        ("vLLM", "99.0", ("vLLM has no release 99.0", "listed: vLLM 0.0.1 to", "refresh engines")),
        ("SGLang", "0.9.1", ("SGLang has no release 0.9.1",)),
        ("", "foo", ("has no release foo",)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["fit", "predict"])
def test_an_engine_or_release_that_does_not_exist_is_refused(run_advisor, command, engine, version, words):
    """With what there is, and what was probably meant."""
    lengths = ["--input-tokens", "9", "--output-tokens", "9"] if command == "predict" else []
    stated = [
        word
        for name, value in (("engine", engine), ("engine-version", version))
        if value
        for word in (f"--{name}", value)
    ]
    done = run_advisor(command, *OPTIONS, *lengths, *stated)
    assert done.returncode == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_a_table_says_it_in_the_row():
    """Other rows are answered."""
    with pytest.raises(InputError, match="'FooServe' is not known"):
        fit_case(ASKED | {"engine": "FooServe"})


@pytest.mark.parametrize("accelerator", ["H100-SXM", "L40S", "MI300X", "A100-SXM-80GB"])
@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_defaults_are_those_of_a_plan(accelerator, precision):
    """Engine, version and cache of `fit` and `predict` are what a plan takes for the accelerator."""
    catalog = load_catalog()
    planned = catalog.preferred_engine(catalog.accelerator(accelerator).name, precision)
    if planned is None:
        pytest.skip("no engine serves it there")
    asked = ASKED | {"accelerator": accelerator, "precision": precision}
    request, setup = fit_case(asked).request, resolved_from(asked, catalog)
    expected = (planned.engine, planned.engine_version)
    assert (request.engine, request.engine_version) == expected
    assert (setup.deployment.engine, setup.deployment.engine_version) == expected
    assert fit_case(asked).inputs["kv_precision"] == setup.kv_precision == "bf16"


def test_a_checkpoint_with_an_8_bit_cache_has_it_everywhere():
    """NVIDIA's quantised weights ask for an 8-bit cache."""
    asked = ASKED | {"model": "nvidia/Llama-3.1-8B-Instruct-FP8"}
    assert fit_case(asked).inputs["kv_precision"] == resolved_from(asked, load_catalog()).kv_precision == "fp8"


def test_a_stated_engine_runs_as_its_published_measurements():
    """Those of 8-bit weights keep an 8-bit cache; a stated cache stands."""
    catalog = load_catalog()
    stated = ASKED | {"engine": "TensorRT-LLM"}
    assert resolved_from(stated, catalog).kv_precision == "fp8"
    assert resolved_from(stated | {"kv_precision": "auto"}, catalog).kv_precision == "bf16"


def test_they_are_printed(run_advisor):
    """What a number is for stands beside it."""
    asked = ("predict", *OPTIONS, "--input-tokens", "9", "--output-tokens", "9")
    shown = run_advisor(*asked).stdout
    found = json.loads(run_advisor(*asked, "--format", "json").stdout)
    for name in ("engine", "engine_version", "kv_precision"):
        assert any(line.split() == [name, found[name]] for line in shown.splitlines())
