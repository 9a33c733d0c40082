"""Which weights a plan names: those that its code downloads, with the quality that was measured of such weights."""

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.codegen.engines.request import checkpoint_of
from advisor.pipeline import plan_for
from advisor.plan.cold_start import weights_of
from advisor.units import kept_words
from builders import catalog_of, offer, workload

CATALOG = load_catalog()
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
LLAMA_FP8 = "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic"
TUNED = "organisation/tuned-8b"
ENGINES = ("vLLM", "SGLang", "TensorRT-LLM", "vLLM-TPU", "vLLM-Gaudi")
MODELS = (
    LLAMA, "meta-llama/Llama-3.1-8B", "Qwen/Qwen3-32B", "openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V3.1",
    TUNED, "./config.json", "RedHatAI/Qwen3-32B-FP8-dynamic",
)  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", MODELS)
def test_the_weights_of_a_plan_are_those_of_its_code(model, engine):
    """In every precision: the same repository, or none where the user has to name one."""
    for precision in ("bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4"):
        named = weights_of(CATALOG, model, precision, engine).repository or None
        assert named == checkpoint_of(model, precision, engine).model_id, precision


@pytest.mark.parametrize("engine", ["vLLM", "SGLang", "vLLM-TPU"])
def test_stored_weights_are_preferred(engine):
    """A catalogued FP8 checkpoint of the very model is named, with the quality that was measured of such weights."""
    weights = weights_of(CATALOG, LLAMA, "fp8", engine)

    assert weights.repository == LLAMA_FP8
    assert weights.words.startswith(f"fp8 weights: {LLAMA_FP8}; keeps 99.")
    assert set(weights.loss.schemes) == {"FP8 dynamic"}


@pytest.mark.parametrize("model", [TUNED, "meta-llama/Llama-3.1-8B"])
def test_weights_that_an_engine_quantises_are_the_published_ones(model):
    """VLLM makes FP8 while it loads where nobody is known to have stored it; plugins for other chips do not."""
    weights = weights_of(CATALOG, model, "fp8", "vLLM")

    assert weights.repository == model
    assert weights.words.startswith(f"fp8 weights: made by vLLM while it loads {model}; ")
    assert weights_of(CATALOG, model, "fp8", "vLLM-Gaudi").repository == ""


@pytest.mark.parametrize("model", [LLAMA_FP8, f"{TUNED}-FP8"])
def test_a_stored_checkpoint_as_the_model_is_loaded_as_it_is(model):
    """Its own repository in its own precision, listed or named so; no engine quantises it again."""
    loaded = weights_of(CATALOG, model, "fp8", "vLLM").loaded
    assert (loaded.repository, loaded.made_while_loading) == (model, False)


def test_an_engine_that_quantises_nothing_needs_a_checkpoint_that_it_reads():
    """TensorRT-LLM reads those of NVIDIA Model Optimizer, and casts none to FP8."""
    weights = weights_of(CATALOG, LLAMA, "fp8", "TensorRT-LLM")

    assert weights.repository.startswith("nvidia/")
    assert weights.repository in weights.words


def test_published_weights_keep_all_of_their_quality():
    """What is not quantised is the measure of what is."""
    assert weights_of(CATALOG, LLAMA, "bf16", "vLLM").quality_ratio == 1.0
    assert weights_of(CATALOG, "organisation/tuned-8b", "int4", "vLLM").quality_ratio is None


@pytest.mark.parametrize(
    ("model", "precision", "kept", "measured_on"),
    [
        ("meta-llama/Meta-Llama-3-8B", "int8", 1 / 1.000425, ""),
        ("meta-llama/Meta-Llama-3-8B", "int4", 1 / 1.02816, ""),
        ("meta-llama/Llama-3.2-1B-Instruct", "int4", 1 / 1.02816, "meta-llama/Meta-Llama-3-8B"),
        ("meta-llama/Llama-2-13b-hf", "int4", 1 / 1.014242, "meta-llama/Llama-2-7b-hf"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "int8", 1 / 1.000689, "meta-llama/Llama-2-7b-hf"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "int4", 1 / 1.02816, "meta-llama/Meta-Llama-3-8B"),
    ],
)
def test_a_gguf_keeps_what_llama_cpp_publishes_of_it(model, precision, kept, measured_on):
    """The inverse of its perplexity ratio, not the scores of W8A8 and W4A16; without a relative, that of the worst."""
    weights = weights_of(CATALOG, model, precision, "llama.cpp server")
    assert weights.quality_ratio == pytest.approx(kept)
    assert weights.loss.of_model == measured_on
    assert f"keeps {kept_words(kept)} of its likelihood of a text" in weights.words
    assert "llama.cpp: README of its perplexity tool" in weights.words
    other = weights_of(CATALOG, model, precision, "vLLM").loss
    assert other is None or other.measure == "benchmark scores"


def test_plan_and_ladder_name_the_weights_that_are_deployed():
    """Groups, options and rungs say the same; what quantising costs in quality stands beside it."""
    work = workload(precisions=("fp8",), purchase=(Purchase.ON_DEMAND,))
    plan = plan_for(work, catalog_of(offer("g6e.xlarge", on_demand=1.9)))
    told = {(one.weights, one.weights_scheme) for one in (*plan.fleet.groups, *plan.options, plan.recommended)}

    assert told == {(LLAMA_FP8, "FP8 dynamic")}
    assert {one.weights for rung in plan.ladder for one in rung.groups} == {LLAMA_FP8}
    assert 0.99 < plan.fleet.groups[0].weights_quality_ratio < 1
