"""Small language models on processors, without an engine that is named."""

from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import Language, Wanted, generate
from advisor.errors import InputError
from advisor.estate import plan_estate
from advisor.performance.model import shipped_model
from advisor.pipeline import question_for, recommend
from advisor.plan.request import catalog_of_question
from advisor.report.verdict import verdict_lines
from advisor.units import BYTES_PER_GIB
from advisor.workload.document import read_workload
from codegen.check import findings

CATALOG = load_catalog()
TEXT = """\
name: small
model: {model}
slo: {{ttft_p95: {ttft}, tpot_p95: {tpot}}}
demand: {{declared: {{requests_per_second: {rate}, input_tokens: 300, output_tokens: 100}}}}
providers: [aws]
regions: [us-east-1]
as_of: 2026-11-30
exclude: {{providers: [gcp, azure]{excluded}}}
"""
USUAL = {"model": "Qwen/Qwen2.5-0.5B-Instruct", "ttft": "5s", "tpot": "200ms", "rate": 0.2, "excluded": ""}

EXCLUDED = ", engines: [llama.cpp]"


def written(tmp_path, more="", **changes):
    """A workload file of a small chat model with relaxed targets, changed."""
    path = tmp_path / "workload.yaml"
    path.write_text(TEXT.format(**(USUAL | changes)) + more)
    return path


def reads_processors(path):
    """Whether the offers of machines without an accelerator are read for a question."""
    question = question_for(read_workload(path), CATALOG, shipped_model())
    return catalog_of_question(question, CATALOG) is not CATALOG


@pytest.mark.parametrize(
    ("model", "ttft", "tpot"),
    [("Qwen/Qwen2.5-0.5B-Instruct", "5s", "200ms"), ("Qwen/Qwen2.5-1.5B-Instruct", "10s", "400ms")],
)
def test_small_models_win_on_processors_where_their_targets_allow_it(tmp_path, model, ttft, tpot):
    """In published precision, confirmed by the replay, cheaper than any accelerator, and generated with its weights."""
    path = written(tmp_path, model=model, ttft=ttft, tpot=tpot)
    plan = recommend(path)
    (group,) = plan.fleet.groups
    assert "cores of" in group.accelerator
    assert (group.engine, group.precision, group.weights) == ("llama.cpp server", "bf16", model)
    assert plan.fleet.confirmed.reached
    assert f"Weights: {model}, converted to GGUF in bf16 when a server first starts." in list(verdict_lines(plan))
    accelerated = recommend(written(tmp_path, model=model, ttft=ttft, tpot=tpot, excluded=EXCLUDED))
    assert accelerated.fleet.groups[0].engine != "llama.cpp server"
    assert plan.fleet.cost.total_usd_per_month < accelerated.fleet.cost.total_usd_per_month
    rungs = {rung.rung: rung for rung in plan.ladder}
    assert "llama.cpp server" in {group.engine for group in rungs["any_accelerator"].groups}
    for language in Language:
        files = generate(plan, language, Wanted()).files
        assert findings(files) == ()
        assert any("convert_hf_to_gguf.py" in content for content in files.values())


def test_published_weights_and_their_gguf_lie_on_the_disk(tmp_path):
    """Both are counted: 0.99 GB twice in 16 bit."""
    (group,) = recommend(written(tmp_path)).fleet.groups
    assert group.checkpoint_gib == pytest.approx(2 * 0.988e9 / BYTES_PER_GIB, rel=0.01)


@pytest.mark.parametrize(
    ("more", "changes"),
    [
        ("", {"model": "meta-llama/Llama-3.1-8B-Instruct", "rate": 5}),
        ("", {"model": "Qwen/Qwen2.5-3B-Instruct"}),
        ("", {"rate": 100}),
        ("", {"tpot": "1ms"}),
        ("engines: [vLLM]\n", {}),
        ("", {"excluded": EXCLUDED}),
        ("precisions: [fp8]\n", {}),
        ("adapters: {count: 2, rank: 8}\n", {}),
    ],
    ids=["8B", "3B", "rate", "tpot", "engine", "excluded engine", "precision", "adapters"],
)
def test_offers_of_processors_are_not_read_where_none_could_win(tmp_path, more, changes):
    """Large models, rates of more than a machine, tight targets, and what llama.cpp does not serve."""
    assert reads_processors(written(tmp_path))
    assert not reads_processors(written(tmp_path, more, **changes))


def test_a_wish_for_accelerators_leaves_processors_out_of_the_recommendation(tmp_path):
    """The rungs that allow more still hold them."""
    plan = recommend(written(tmp_path, "accelerators: [L4]\n"))
    assert {group.accelerator for group in plan.fleet.groups} == {"L4"}
    rungs = {rung.rung: rung for rung in plan.ladder}
    assert {group.engine for group in rungs["any_accelerator"].groups} == {"llama.cpp server"}


def test_a_named_machine_without_an_accelerator_is_planned(tmp_path):
    """Whatever the rate is, and in 4 bit where the workload allows it: the quantiser makes them of published weights."""
    plan = recommend(written(tmp_path, "instance_types: [c7i.4xlarge]\nprecisions: [int4]\n", rate=1))
    (group,) = plan.fleet.groups
    assert (group.instance_type, group.precision, group.weights_scheme) == ("c7i.4xlarge", "int4", "GGUF Q4_K_M")
    assert group.weights_quality_ratio < 1
    question = question_for(read_workload(written(tmp_path)), CATALOG, shipped_model())
    faster = replace(question, demand=question.demand.times(500))
    assert catalog_of_question(faster, CATALOG) is CATALOG


def test_a_cheaper_engine_of_the_ladder_is_said_in_a_line(tmp_path):
    """At many requests a second accelerators cost less with their own engine, which the ladder knows."""
    plan = recommend(written(tmp_path, "instance_types: [c7g.4xlarge]\n", rate=12))
    cheapest = min(
        (
            rung
            for rung in plan.ladder
            if rung.groups and all(group.engine != "llama.cpp server" for group in rung.groups)
        ),
        key=lambda rung: rung.total_usd_per_month,
    )
    (line,) = [line for line in verdict_lines(plan) if line.startswith("Engine: ")]
    (group,) = cheapest.groups
    cost = f"${cheapest.total_usd_per_month:,.2f} (rung {cheapest.rung.replace('_', ' ')})"
    assert line == f"Engine: {group.engine} on {group.accelerator} would serve it for {cost}."
    assert not [line for line in verdict_lines(recommend(written(tmp_path))) if line.startswith("Engine: ")]


def test_a_named_machine_without_an_accelerator_is_refused_where_none_is_planned(tmp_path):
    """A known machine is not called unknown: for which models such machines are planned is said in its place."""
    path = written(tmp_path, "instance_types: [c8g.4xlarge]\n", model="meta-llama/Llama-3.1-8B-Instruct")
    with pytest.raises(InputError, match=r"c8g\.4xlarge has no accelerator, and the model is not planned") as caught:
        recommend(path)
    assert "below 3 billion parameters" in caught.value.hint
    assert "`engines: [llama.cpp server]`" in caught.value.hint
    assert "instance_types[0]" in str(caught.value)
    more = "instance_types: [c8g.4xlarge]\nengines: [llama.cpp server]\nprecisions: [int4]\n"
    asked = written(tmp_path, more, model="meta-llama/Llama-3.1-8B-Instruct", tpot="900ms", ttft="60s", rate=0.01)
    assert reads_processors(asked)


def test_a_directory_of_workloads_may_name_machines_without_an_accelerator(tmp_path):
    """As a workload by itself may."""
    written(tmp_path, "instance_types: [c7i.4xlarge]\n")
    totals = plan_estate(tmp_path).estate.totals
    assert (totals.planned, totals.failed) == (1, 0)
