"""``advisor fit`` and ``advisor predict`` on the files of models."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from advisor.catalog import load_catalog
from advisor.cli.fit import command as fit
from advisor.cli.predict import command as predict_command
from advisor.errors import InputError
from advisor.models import find_model
from advisor.performance import Scenario
from advisor.performance.explain import predict
from advisor.performance.setups import SCENARIOS, Questions, Setup, resolve
from advisor.questions.predict import understood

MADE = Path(__file__).parent / "made"
COUNTED = json.loads((MADE / "counted.json").read_text(encoding="utf-8"))


def answer(command, name, *arguments):
    """The JSON that a command prints for a file on a T4."""
    given = ["--model", str(MADE / name), "--accelerator", "T4", "--format", "json", *arguments]
    result = CliRunner().invoke(command, given, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("llama.gguf", "one token, without its attention to others"),
        ("pictures.onnx", "one sample of 3 × 32 × 32"),
        ("texts.onnx", "one text of 24 tokens"),
    ],
)
def test_both_commands_say_what_a_file_holds(name, item):
    """Parameters, bytes, FLOPs of an item and memory are the same from either command, and exact."""
    fits = answer(fit, name, "--context", "24")
    predicted = answer(predict_command, name, "--input-tokens", "24", "--output-tokens", "8")
    counted = COUNTED[name.partition(".")[0]]

    assert fits["item"] == predicted["item"] == item
    assert fits["parameters_total"] == predicted["parameters_total"] == counted["parameters"]
    assert fits["checkpoint_bytes"] == predicted["checkpoint_bytes"] > 0
    assert fits["checkpoint_bytes"] == counted.get("bytes", 4 * counted["parameters"])
    assert fits["flop_per_item"] == predicted["flop_per_item"] == counted.get("flop", 2 * counted["parameters"])
    assert fits["fits"]


def test_a_gguf_is_answered_for_the_engine_that_plans_have():
    """On one GPU that llama.cpp has an image for, by its name or that of its machine; others are taken where stated."""
    stated = ("--input-tokens", "24", "--output-tokens", "8")
    of_card, of_machine, by_name, other = (
        [answer(fit, "llama.gguf", *hardware, *more), answer(predict_command, "llama.gguf", *hardware, *more, *stated)]
        for hardware, more in (
            (("--accelerator", "T4"), ()),
            (("--accelerator", "g4dn.xlarge"), ()),
            (("--accelerator", "T4"), ("--engine", "llama.cpp")),
            (("--accelerator", "T4"), ("--engine", "SGLang")),
        )
    )

    assert [told["engine"] for told in of_card] == ["llama.cpp server"] * 2
    assert of_card == by_name == [told | {"accelerator": "T4"} for told in of_machine]
    assert [told["engine"] for told in other] == ["SGLang"] * 2


def test_a_machine_with_several_accelerators_stands_for_none_of_them():
    """How many of them serve is not said by its name."""
    done = CliRunner().invoke(fit, ["--model", "Qwen/Qwen3-0.6B", "--accelerator", "g6.12xlarge"])

    assert "g6.12xlarge has 4 × L4, and a machine stands for one accelerator alone" in str(done.exception) + done.output


def test_what_has_no_throughput_says_why():
    """No server loads trees of scikit-learn, a free size has no FLOPs: size and work are said all the same."""
    trees, free = answer(predict_command, "forest.skops"), answer(predict_command, "any_size.onnx")

    assert trees["reason"] == "no measurement of tabular models is known, such as forest"
    assert trees["item"].startswith("one row: 3 trees")
    assert free["flop_per_item"] is None
    assert "input 'image' has the free dimensions 'height' (axis 2) and 'width' (axis 3)" in free["reason"]


def test_an_estimated_cache_says_so():
    """The range of a cache that shapes tell is wider, and its evidence names the estimate."""
    counted, estimated = answer(fit, "llama.gguf"), answer(fit, "novel.gguf")
    spread, wide = (fits["kv_cache_tokens_high"] / fits["kv_cache_tokens_low"] for fits in (counted, estimated))

    assert wide == pytest.approx(spread * 1.3**2, rel=0.01)
    assert estimated["evidence"] == f"{counted['evidence']}; cache estimated from tensor shapes"


@pytest.mark.parametrize("name", ["llama.gguf", "pictures.onnx"])
def test_estimated_models_have_wider_intervals(name):
    """The same numbers, with both ends as much further away as the estimate is uncertain."""
    counted = resolve(Setup(str(MADE / name), "T4", 1), load_catalog())
    estimated = replace(counted, model=replace(counted.model, estimate_factor=1.3))
    question = Questions(
        np.arange(2), np.full(2, SCENARIOS.index(Scenario.FIXED_BATCH)), np.ones(2), np.full(2, 20.0), np.full(2, 8.0)
    )
    answers = predict([counted, estimated], question)
    quantity = "tpot_ms" if name == "llama.gguf" else "samples_per_second"

    assert answers.value[quantity][0] == answers.value[quantity][1] > 0
    assert answers.low[quantity][0] / answers.low[quantity][1] == pytest.approx(1.3)
    assert answers.high[quantity][1] / answers.high[quantity][0] == pytest.approx(1.3)


@pytest.mark.parametrize(("name", "content"), [("a.cbm", b"CBM1\xb0G"), ("a.json", b'{"oblivious_trees": []}')])
def test_formats_of_catboost_are_named_with_what_is_read(tmp_path, name, content):
    """Its binary one and its JSON, which is no configuration of a network."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="CatBoost's own formats are not read") as refused:
        find_model(str(tmp_path / name))
    assert "format='onnx'" in refused.value.hint


def test_no_engine_is_named_where_none_serves():
    """A forest in ONNX is served by none that is known; an engine that is asked for is named."""
    row = {"model": str(MADE / "forest.onnx"), "accelerator": "T4"}
    assert understood(row, load_catalog())["engine"] == "none is known"
    assert understood(row | {"engine": "vLLM"}, load_catalog())["engine"] == "vLLM"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("forest.onnx", "options={'zipmap': False}"),
        ("forest_of_tensors.onnx", "give them as a file of XGBoost, LightGBM or treelite"),
    ],
)
def test_trees_in_onnx_without_a_rate_are_told_what_has_one(name, told):
    """A result that is a map, and an accelerator that no server walks them on."""
    assert told in json.dumps(answer(predict_command, name))
