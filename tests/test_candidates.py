"""Hardware is judged with the two numbers that decide."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import advisor.candidates
from advisor.candidates import ANY, Candidate, divides_heads, judge, judge_hardware, match, parallel_choices
from advisor.candidates.values import block_shortfall, is_expert_parallel
from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.lengths import declared_demand
from advisor.errors import InputError
from advisor.library import fit, predict
from advisor.models import find_model
from advisor.models.model import Adapters
from advisor.models.weights import SplitWidth, split_block
from advisor.performance.groups import with_measured_engines
from advisor.performance.model import shipped_model
from advisor.performance.stage import serve
from advisor.pipeline import question_for, recommend
from advisor.plan.request import requirements_of
from advisor.requirements import require
from advisor.workload.document import read_workload
from advisor.workload.values import Exclude, Limits
from builders import catalog_of, offer, workload

ROOT = Path(__file__).parents[1]
CATALOG = load_catalog()


def outcomes(instance_type, model="meta-llama/Llama-3.1-8B-Instruct", provider="aws", **changes):
    """What is said of every precision and parallelism of a machine."""
    work = workload(model=model, **changes)
    requirements = require(work, find_model(model), declared_demand(5, 8, 800, 200), CATALOG)
    return list(judge(CATALOG.instance_type(provider, instance_type), requirements, CATALOG))


def codes(found):
    """Precision, parallelism and code of each outcome."""
    return {
        (one.precision, one.tensor_parallel, "fits" if isinstance(one, Candidate) else one.code) for one in found
    }  # fmt: skip


def test_a_model_too_large_is_rejected_with_both_numbers():
    """70 billion parameters in 16 bit on one 24 GB card: needed and usable GiB are in the message."""
    (rejection,) = outcomes("g6.xlarge", "meta-llama/Llama-3.3-70B-Instruct", precisions=("bf16",))

    assert rejection.code == "memory"
    assert rejection.unit == "GiB"
    assert rejection.needed > 131
    assert 18 < rejection.available < 24
    assert f"{rejection.needed:.1f} GiB needed, {rejection.available:.1f} GiB usable" in rejection.message
    assert rejection.message.startswith("g6.xlarge bf16: weights 131")


def test_more_accelerators_hold_more():
    """The same model in fp8 is too large for one 48 GB card and fits two or four."""
    found = codes(outcomes("g6e.12xlarge", "meta-llama/Llama-3.3-70B-Instruct", precisions=("fp8",)))

    assert found == {("fp8", 1, "memory"), ("fp8", 2, "fits"), ("fp8", 4, "fits")}


def test_replicas_fill_the_machine():
    """Eight cards hold eight, four, two or one replica, by tensor parallelism."""
    found = [one for one in outcomes("g6.48xlarge", precisions=("fp8",)) if isinstance(one, Candidate)]

    assert {(one.tensor_parallel, one.replicas_per_instance) for one in found} == {(1, 8), (2, 4), (4, 2), (8, 1)}


def test_heads_that_cannot_be_split_are_named():
    """28 heads over 8 ranks do not divide."""
    found = outcomes("p4d.24xlarge", "Qwen/Qwen2.5-7B-Instruct", precisions=("bf16",))

    (rejection,) = [one for one in found if not isinstance(one, Candidate) and one.tensor_parallel == 8]
    assert (rejection.code, rejection.needed, rejection.available) == ("parallelism", 8, 28)


@pytest.mark.parametrize(("engine", "of_four"), [("vLLM", True), ("SGLang", False)])
def test_experts_whose_blocks_ranks_would_cut_stay_whole(engine, of_four):
    """Experts of 1536 are 192 wide on 8 ranks, which blocks of 128 do not divide; two replicas of vLLM's are 8 too."""
    judged = outcomes("p5.48xlarge", "Qwen/Qwen3-235B-A22B", precisions=("fp8",), engines=(engine,))

    layouts = {layout.tensor_parallel: layout for layout in judged if isinstance(layout, Candidate)}
    assert {ranks: layout.expert_parallel for ranks, layout in layouts.items()} == {4: of_four, 8: True}
    assert layouts[4].replicas_per_instance == 2


def test_blocks_of_weights_are_cut_by_no_rank():
    """A dense width of 25600 is 1600 on 16 ranks, which blocks of 128 do not divide, and nothing else can hold it."""
    judged = outcomes("a2-megagpu-16g", "Qwen/Qwen3-32B", "gcp", precisions=("fp8",), engines=("vLLM",))

    (rejection,) = [layout for layout in judged if not isinstance(layout, Candidate) and layout.tensor_parallel == 16]
    assert (rejection.code, rejection.needed, rejection.available) == ("parallelism", 128, 1600)
    assert rejection.message == (
        "a2-megagpu-16g fp8 on 16 accelerators: layers of width 25,600 come to 1,600 on each of 16 accelerators, and "
        "vLLM splits fp8 weights with a scale for each block of 128 × 128 into multiples of 128 alone"
    )
    assert ("fp8", 8, "fits") in codes(judged)


@pytest.mark.parametrize(
    ("provider", "instance_type", "model", "engine", "whole", "cut"),
    [
        ("aws", "p5en.48xlarge", "deepseek-ai/DeepSeek-V3", "vLLM", set(), {8}),
        ("aws", "p5en.48xlarge", "MiniMaxAI/MiniMax-M2", "vLLM", {2, 4, 8}, set()),
        ("aws", "p5en.48xlarge", "Qwen/Qwen3-30B-A3B-FP8", "vLLM", {1, 2, 4, 8}, set()),
        ("aws", "p5en.48xlarge", "Qwen/Qwen3-30B-A3B-FP8", "SGLang", {4, 8}, {1, 2}),
        ("gcp", "a2-megagpu-16g", "Qwen/Qwen3-32B", "vLLM", set(), {1, 2, 4, 8}),
        ("aws", "p5.48xlarge", "Qwen/Qwen2.5-72B-Instruct", "vLLM", set(), {2, 4, 8}),
        ("aws", "p5.48xlarge", "Qwen/Qwen3-235B-A22B", "TensorRT-LLM", set(), {8}),
    ],
)
def test_only_experts_in_blocks_stay_whole(provider, instance_type, model, engine, whole, cut):
    """Published and quantised, of experts and dense; a scale for each row or matrix is cut anywhere (29568 ÷ 8)."""
    judged = outcomes(instance_type, model, provider, precisions=("fp8",), engines=(engine,))

    layouts = [layout for layout in judged if isinstance(layout, Candidate) and not layout.partition]
    assert {layout.tensor_parallel for layout in layouts if layout.expert_parallel} == whole
    assert {layout.tensor_parallel for layout in layouts if not layout.expert_parallel} == cut


@pytest.mark.parametrize(("experts", "adapters"), [(126, None), (128, Adapters(1, 16))])
def test_experts_that_cannot_stay_whole_are_a_rejection(experts, adapters):
    """Uneven ones, and those with adapters, which engines cut."""
    model = find_model("Qwen/Qwen3-235B-A22B")
    layers = tuple(
        (replace(layer, feed_forward=replace(layer.feed_forward, experts=experts)), count)
        for layer, count in model.layers
    )
    fitting = outcomes("p5.48xlarge", "Qwen/Qwen3-235B-A22B", precisions=("fp8",), engines=("vLLM",))
    (candidate,) = [layout for layout in fitting if isinstance(layout, Candidate) and layout.tensor_parallel == 8]

    changed = replace(model, layers=layers, adapters=adapters)
    assert is_expert_parallel(model, candidate, CATALOG)
    assert not is_expert_parallel(changed, candidate, CATALOG)
    assert block_shortfall(changed, replace(candidate, expert_parallel=False), CATALOG).available == 192


def test_widths_that_ranks_have_whole_blocks_of():
    """DeepSeek-V3's 2048 is 256 on 8 ranks and 128 on 16; on 32 neither it nor its dense 18432 has whole blocks."""
    model = find_model("deepseek-ai/DeepSeek-V3")

    assert model.checkpoint.block == 128
    assert [split_block(model, 128, ranks, ranks) for ranks in (1, 8, 16)] == [None, None, None]
    assert split_block(model, 128, 32, 32) == SplitWidth(18432, 32)
    assert split_block(model, 128, 16, 32) == SplitWidth(2048, 32)
    assert split_block(model, 128, 16, 1) is None
    assert split_block(model, 0, 32, 32) is None


def test_a_file_states_its_blocks(tmp_path):
    """A width of 11008 has whole blocks on 2 ranks, and on 4 only without ``weight_block_size``."""
    config = {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 11008, "vocab_size": 32000, "max_position_embeddings": 8192,
    }  # fmt: skip
    refused = []
    for name, blocks in (("blocks", {"weight_block_size": [128, 128]}), ("rows", {})):
        file = tmp_path / name / "config.json"
        file.parent.mkdir()
        stated = config | {"quantization_config": {"quant_method": "fp8", **blocks}}
        file.write_text(json.dumps(stated), encoding="utf-8")
        found = codes(outcomes("g6e.12xlarge", str(file), precisions=("fp8",), engines=("vLLM",)))
        assert {("fp8", 1, "fits"), ("fp8", 2, "fits")} <= found
        refused.append(("fp8", 4, "parallelism") in found)

    assert refused == [True, False]


def test_a_running_server_may_hold_whole_experts():
    """No generated code spreads them over ranks; a server that runs on 8 does."""
    work = workload(model="Qwen/Qwen3-235B-A22B", precisions=("fp8",), engines=("vLLM",))
    requirements = require(work, find_model(work.model), declared_demand(5, 8, 800, 200), CATALOG)

    found = codes(judge_hardware(CATALOG.instance_type("aws", "p5.48xlarge"), requirements, CATALOG))

    assert ("fp8", 8, "fits") in found


@pytest.mark.parametrize(
    ("instance_type", "model", "accelerators", "told"),
    [
        ("inf2.48xlarge", "Qwen/Qwen2.5-32B-Instruct", 8, ("parallel_degree", 16, 8)),
        ("inf2.24xlarge", "Qwen/Qwen2.5-32B-Instruct", 6, ("parallel_degree", 12, 8)),
        ("inf2.48xlarge", "Qwen/Qwen2.5-32B-Instruct", 12, ("parallelism", 24, 40)),
        ("inf2.24xlarge", "Qwen/Qwen2.5-7B-Instruct", 4, ("parallelism", 8, 28)),
        ("trn1.32xlarge", "Qwen/Qwen2.5-32B-Instruct", 2, ("parallel_degree", 4, 2)),
        ("trn2.48xlarge", "Qwen/Qwen2.5-32B-Instruct", 4, ("parallelism", 16, 40)),
    ],
)
def test_neuron_is_split_by_cores(instance_type, model, accelerators, told):
    """Two NeuronCores of a chip (four of Trainium2) are ranks: AWS names the degrees, which divide the heads."""
    found = outcomes(instance_type, model, precisions=("bf16",))

    (rejection,) = [one for one in found if not isinstance(one, Candidate) and one.tensor_parallel == accelerators]
    assert (rejection.code, rejection.needed, rejection.available) == told
    assert f"{told[1]} cores" in rejection.message


def test_neuron_holds_a_copy_of_a_key_value_head_in_each_core():
    """Qwen2.5 32B has 8 of them: on 8 cores one each, which leaves room for 7 requests of 22,784 tokens at a time."""
    four = fit("Qwen/Qwen2.5-32B-Instruct", "Inferentia2", accelerator_count=4, context_tokens=22_784).memory
    sixteen = fit("meta-llama/Llama-3.3-70B-Instruct", "Trainium1", accelerator_count=8, context_tokens=8192).memory

    assert four.max_concurrency == 7
    bytes_per_token = sixteen.kv_cache_gib_available * 2**30 / sixteen.kv_cache_tokens
    assert bytes_per_token == pytest.approx(2 * sixteen.kv_bytes_per_token, rel=1e-3)
    with pytest.raises(InputError, match="over 16 cores is not supported on Inferentia2, which has 1, 2, 4, 8, 24"):
        fit("Qwen/Qwen2.5-32B-Instruct", "Inferentia2", accelerator_count=8)


@pytest.mark.parametrize(
    ("instance_type", "precision", "code"),
    [
        ("g4dn.xlarge", "bf16", "precision_unsupported"),
        ("dl1.24xlarge", "bf16", "precision_unsupported"),
        ("inf2.8xlarge", "int4", "precision_untested"),
        ("p3.2xlarge", "fp16", "precision_unsupported"),
    ],
)
def test_what_no_engine_serves_is_rejected(instance_type, precision, code):
    """Turing has no bf16, Gaudi 1 and Volta no current engine; of int4 on Inferentia2 nobody says anything."""
    (rejection,) = outcomes(instance_type, precisions=(precision,))

    assert rejection.code == code
    assert rejection.needed == precision


def test_what_nobody_says_is_no_refusal():
    """An untested precision has a code and words of its own, with the engine and its release."""
    (rejection,) = outcomes("inf2.8xlarge", precisions=("int4",))
    assert (rejection.code, rejection.available) == ("precision_untested", "untested")
    assert rejection.message.endswith(
        "Inferentia2: no document or measurement settles whether vLLM-NxDI 0.5 (vLLM 0.16) serves it (not in the "
        "documentation)"
    )


def test_what_sources_disagree_about_is_not_planned():
    """What documentation names and code refuses is left out, with both in the reason."""
    (rejection,) = outcomes("g4dn.xlarge", precisions=("fp8",))

    assert (rejection.code, rejection.available) == ("precision_untested", "untested")
    assert "documentation of 2026-03 names this generation" in rejection.message
    assert "code of 2025-08 refuses it" in rejection.message


def test_an_engine_for_other_chips_must_list_the_model():
    """What the Neuron engine does not list is not taken to work there."""
    found = outcomes("inf2.48xlarge", "openai/gpt-oss-20b", precisions=("bf16",), lines={"precisions": 3})

    assert {one.code for one in found} == {"model_unsupported"}


def test_the_engine_is_the_vendors():
    """Each kind of accelerator is served by its own vLLM."""
    engines = {
        name: next(
            one.engine for one in outcomes(name, provider=provider, precisions=("bf16",)) if isinstance(one, Candidate)
        )
        for provider, name in (("aws", "g6e.xlarge"), ("aws", "inf2.24xlarge"), ("gcp", "ct6e-standard-1t"))
    }

    assert engines == {"g6e.xlarge": "vLLM", "inf2.24xlarge": "vLLM-NxDI", "ct6e-standard-1t": "vLLM-TPU"}


def test_an_accelerator_without_a_machine_is_no_offer():
    """The price of a GPU to attach is never taken for the price of a machine."""
    (rejection,) = outcomes("attach:T4", provider="gcp", precisions=("fp16",))

    assert rejection.code == "no_machine"


def test_a_type_that_is_not_sold_there_says_so():
    """Every type of the provider is accounted for, sold or not."""
    work = workload(regions=("us-east-1",))
    requirements = require(work, find_model(work.model), declared_demand(5, 8, 800, 200), CATALOG)
    found = match(requirements, catalog_of(offer("g6.xlarge")))

    named = {one.instance_type.name for one in found.candidates} | {one.instance_type for one in found.rejections}
    assert named == {name for provider, name in CATALOG.instance_types if provider == "aws"}
    assert all(one.region == ANY for one in found.rejections)


@pytest.mark.parametrize(
    ("count", "expected"), [(0.125, (1,)), (1, (1,)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12))]
)
def test_parallelism_worth_trying(count, expected):
    """Powers of two, and all accelerators of the machine."""
    assert parallel_choices(count) == expected


def test_key_value_heads_may_be_copied_but_not_cut():
    """32 heads with 8 key-value heads split over 2, 8 and 16 ranks, not over 3 or 12."""
    model = find_model("meta-llama/Llama-3.1-8B-Instruct")

    assert [ranks for ranks in (1, 2, 3, 8, 12, 16, 32) if divides_heads(model, ranks)] == [1, 2, 8, 16, 32]


NARROWER = {
    "one provider": {"providers": ("aws",)},
    "one region on spot": {"providers": ("aws", "gcp"), "regions": ("us-east-1",), "purchase": (Purchase.SPOT,)},
    "one accelerator": {"accelerators": ("L4",)},
    "the first precision": {"precisions": ("bf16",)},
    "the first two precisions of one provider": {"precisions": ("bf16", "fp8"), "providers": ("gcp",)},
    "another precision first": {"precisions": ("fp8", "bf16")},
    "less memory": {"limits": Limits(memory_utilization=0.5)},
    "an engine": {"engines": ("SGLang",)},
}


@pytest.mark.parametrize("narrower", NARROWER)
@pytest.mark.parametrize("model", ["meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"])
def test_what_was_judged_for_more_is_judged_the_same_for_less(narrower, model, monkeypatch):
    """Outcomes are taken over where only scope or further precisions differ, and made anew where anything else does."""
    served, demand = find_model(model), declared_demand(5, 8, 800, 200)
    precisions = ("bf16", "fp8", "fp16", "int8", "int4", "nvfp4")
    wide = workload(model=model, providers=("aws", "gcp", "azure"), precisions=precisions)
    wider = match(require(wide, served, demand, CATALOG), CATALOG)
    requirements = require(replace(wide, **NARROWER[narrower]), served, demand, CATALOG)
    by_itself = match(requirements, CATALOG)
    judged = []
    whole = advisor.candidates._judged
    monkeypatch.setattr(advisor.candidates, "_judged", lambda *arguments: judged.append(arguments) or whole(*arguments))

    taken = match(requirements, CATALOG, wider)

    assert taken.rejections == by_itself.rejections
    assert taken.offers == by_itself.offers
    assert list(map(repr, taken.candidates)) == list(map(repr, by_itself.candidates))
    assert bool(judged) == (narrower in ("another precision first", "less memory", "an engine"))


@pytest.mark.parametrize("engines", [(), ("llama.cpp", "vLLM")])
def test_machines_are_judged_together_as_each_by_itself(engines):
    """Memory that is worked out once for accelerators alike is that of each machine, its share or its slices."""
    work = workload(providers=("aws", "gcp", "azure"), precisions=("bf16", "fp8", "int4"), engines=engines)
    requirements = require(work, find_model(work.model_reference), declared_demand(5, 8, 800, 200), CATALOG)
    together = match(requirements, CATALOG).judged
    for (provider, name), parts in together.items():
        alone = judge(CATALOG.instance_type(provider, name), requirements, CATALOG)
        assert [outcome for part in parts for outcome in part.outcomes] == list(alone), name


CAST = {
    ("bf16",): ("bf16",),
    ("bf16", "fp16"): ("bf16", "fp16"),
    ("bf16", "fp16", "fp32"): ("bf16", "fp16"),
    ("fp16",): (),
}
"""Precisions of a workload → those that a candidate in fp16 stands for."""


@pytest.mark.parametrize("precisions", CAST)
def test_a_precision_cast_to_another_is_told_apart_by_what_the_workload_names(precisions):
    """Text Embeddings Inference runs in fp16 what is asked for in bf16, whatever else was asked for before."""
    example = read_workload(ROOT / "examples/embedding/workload.yaml")
    question = question_for(replace(example, precisions=("bf16", "fp16", "fp32")), CATALOG, shipped_model())
    wider = match(requirements_of(question, CATALOG), CATALOG)
    narrow = replace(question, workload=replace(question.workload, precisions=precisions))
    requirements = requirements_of(narrow, CATALOG)

    taken, by_itself = match(requirements, CATALOG, wider), match(requirements, CATALOG)

    assert taken.rejections == by_itself.rejections
    assert list(map(repr, taken.candidates)) == list(map(repr, by_itself.candidates))
    on_small = [candidate for candidate in taken.candidates if candidate.instance_type.name == "g6.2xlarge"]
    assert {candidate.stands_for for candidate in on_small if candidate.precision == "fp16"} == {CAST[precisions]}


@pytest.mark.parametrize(("accelerator", "precision"), [("T4", "fp16"), ("T4", "bf16"), ("L4", "fp16")])
def test_memory_and_speed_of_what_overflows_in_fp16_are_refused_with_the_reason(accelerator, precision):
    """Neither `fit` nor `predict` answers for what no plan would serve; both do in bf16 where there is bf16."""
    place = {"model": "google/gemma-3-4b-it", "accelerator": accelerator, "precision": precision}
    with pytest.raises(InputError, match="overflows in fp16"):
        fit(**place)
    load = {"input_tokens": 500, "output_tokens": 100, "concurrency": 2}
    assert "overflows in fp16" in predict(**place, **load).reason
    assert fit("google/gemma-3-4b-it", "L4", precision="bf16").memory.fits
    assert predict("google/gemma-3-4b-it", "L4", precision="bf16", **load).quantities


def test_no_precision_is_recommended_in_which_a_model_overflows(tmp_path):
    """A T4 has no bf16, and for such a model its rejection does not say to serve fp16."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        "name: a\nmodel: google/gemma-3-4b-it\nslo: {ttft_p95: 4s, tpot_p95: 200ms}\nproviders: [aws]\n"
        "regions: [us-east-1]\ninstance_types: [g4dn.xlarge]\n"
        "demand: {declared: {requests_per_second: 0.1, input_tokens: 200, output_tokens: 50}}\n"
    )
    told = {rejection.message for rejection in recommend(path, every_variant=True).rejected}
    assert any("overflows in fp16" in message for message in told)
    assert not any("serve fp16" in message for message in told)


@pytest.mark.parametrize(
    ("model", "settings", "rejected"),
    [
        ("google/gemma-3-1b-it", "precisions: [fp16]", {"g4dn.xlarge", "g6.xlarge"}),
        ("google/gemma-3-1b-it", "precisions: [bf16]", {"g4dn.xlarge"}),
        ("google/gemma-2-2b-it", "precisions: [fp8, fp16]", {"g4dn.xlarge"}),
        ("google/gemma-3-1b-it", "precisions: [int8]\nengines: [llama.cpp server]", set()),
        ("Qwen/Qwen3-1.7B", "precisions: [fp16]", set()),
    ],
)
def test_models_beyond_the_range_of_fp16_are_not_served_in_it(tmp_path, model, settings, rejected):
    """VLLM does not start Gemma 2, Gemma 3 and GLM-4 so; llama.cpp accumulates in 32 bit."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        f"name: a\nmodel: {model}\nslo: {{ttft_p95: 4s, tpot_p95: 200ms}}\nproviders: [aws]\nregions: [us-east-1]\n"
        "instance_types: [g4dn.xlarge, g6.xlarge]\n"
        f"demand: {{declared: {{requests_per_second: 0.1, input_tokens: 200, output_tokens: 50}}}}\n{settings}\n"
    )
    plan = recommend(path, every_variant=True)
    served = {option.instance_type for option in plan.options}

    assert {"g4dn.xlarge", "g6.xlarge"} - served == rejected
    if settings == "precisions: [fp16]" and rejected:
        told = {rejection.message for rejection in plan.rejected}
        assert any("overflows in fp16" in message and "name bf16 in precisions" in message for message in told)
        assert any("T4 has no bf16 arithmetic" in message for message in told)


def beside(requirements):
    """Engines of the candidates on p5.4xlarge (H100-SXM) in fp8, each with the engine that it stands beside."""
    found = judge(CATALOG.instance_type("aws", "p5.4xlarge"), requirements, CATALOG)
    return {(one.engine, one.beside) for one in found if isinstance(one, Candidate) and not one.partition}


def test_engines_stand_beside_the_preferred_one_where_they_may_cost_less():
    """Where the model was measured with them, or where the preferred one is left out; not on an estimate alone."""
    model = find_model("meta-llama/Llama-3.1-8B-Instruct")
    plain, without = (
        require(workload(precisions=("fp8",), **changes), model, declared_demand(5, 8, 800, 200), CATALOG)
        for changes in ({}, {"exclude": Exclude(engines=("vLLM",))})
    )

    assert beside(plain) == {("vLLM", "")}
    assert beside(with_measured_engines(plain, shipped_model(), CATALOG)) == {("vLLM", ""), ("TensorRT-LLM", "vLLM")}
    assert beside(without) == {("TensorRT-LLM", ""), ("SGLang", "TensorRT-LLM")}


@pytest.mark.parametrize(("machine", "engine", "is_measured"), [
    ("p5.4xlarge", "TensorRT-LLM", True), ("p5.4xlarge", "SGLang", False), ("g6e.xlarge", "TensorRT-LLM", False),
    ("g6e.xlarge", "SGLang", False), ("g5.xlarge", "SGLang", False),
])  # fmt: skip
def test_an_engine_is_planned_no_faster_than_the_preferred_one_unless_it_was_measured(machine, engine, is_measured):
    """Rates of the same layouts with one engine alone: only TensorRT-LLM was measured with the model, on H100."""
    model = find_model("meta-llama/Llama-3.1-8B-Instruct")
    rates = {}
    for name in ("vLLM", engine):
        asked = require(
            workload(precisions=("bf16",), engines=(name,)), model, declared_demand(5, 8, 800, 200), CATALOG
        )
        candidates = [each for each in judge(CATALOG.instance_type("aws", machine), asked, CATALOG)
                      if isinstance(each, Candidate) and not each.partition]  # fmt: skip
        (served,), _ = serve(candidates, asked, shipped_model())
        rates[name] = served.requests_per_second_per_replica.value

    assert (rates[engine] > 1.001 * rates["vLLM"]) == is_measured
