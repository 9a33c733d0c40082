"""Which weights a plan names: those that its code downloads, with the quality that was measured of such weights."""

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.codegen.engines.checkpoints import checkpoint_of
from advisor.codegen.model import Engine
from advisor.pipeline import plan_for
from advisor.plan.weights import weights_of
from builders import catalog_of, offer, workload

CATALOG = load_catalog()
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
ENGINES = {"vLLM": Engine.VLLM, "SGLang": Engine.SGLANG, "TensorRT-LLM": Engine.TENSORRT_LLM, "vLLM-TPU": Engine.VLLM}
MODELS = (
    LLAMA, "meta-llama/Llama-3.1-8B", "Qwen/Qwen3-32B", "openai/gpt-oss-120b", "deepseek-ai/DeepSeek-V3.1",
    "organisation/tuned-8b", "./config.json",
)  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", MODELS)
def test_the_weights_of_a_plan_are_those_of_its_code(model, engine):
    """In every precision: the same repository, or none where the user has to name one."""
    for precision in ("bf16", "fp16", "fp8", "int8", "int4", "nvfp4", "mxfp4"):
        named = weights_of(CATALOG, model, precision, engine).repository or None
        assert named == checkpoint_of(model, precision, ENGINES[engine]).model_id, precision


def test_weights_that_an_engine_quantises_are_the_published_ones():
    """VLLM makes FP8 while it loads: no catalogued checkpoint is named, and the quality is that of such weights."""
    weights = weights_of(CATALOG, LLAMA, "fp8", "vLLM")

    assert weights.repository == LLAMA
    assert weights.words.startswith(f"fp8 weights: made by vLLM while it loads {LLAMA}; keeps 99.")
    assert set(weights.loss.schemes) == {"FP8 dynamic"}


def test_an_engine_that_quantises_nothing_needs_a_checkpoint_that_it_reads():
    """TensorRT-LLM reads those of NVIDIA Model Optimizer, and casts none to FP8."""
    weights = weights_of(CATALOG, LLAMA, "fp8", "TensorRT-LLM")

    assert weights.repository.startswith("nvidia/")
    assert weights.repository in weights.words


def test_published_weights_keep_all_of_their_quality():
    """What is not quantised is the measure of what is."""
    assert weights_of(CATALOG, LLAMA, "bf16", "vLLM").quality_ratio == 1.0
    assert weights_of(CATALOG, "organisation/tuned-8b", "int4", "vLLM").quality_ratio is None


def test_plan_and_ladder_name_the_weights_that_are_deployed():
    """Groups, options and rungs say the same; what quantising costs in quality stands beside it."""
    work = workload(precisions=("fp8",), purchase=(Purchase.ON_DEMAND,))
    plan = plan_for(work, catalog_of(offer("g6e.xlarge", on_demand=1.9)))
    told = {(one.weights, one.weights_scheme) for one in (*plan.fleet.groups, *plan.options, plan.recommended)}

    assert told == {(LLAMA, "FP8 dynamic, quantised by vLLM or SGLang while loading")}
    assert {one.weights for rung in plan.ladder for one in rung.groups} == {LLAMA}
    assert 0.99 < plan.fleet.groups[0].weights_quality_ratio < 1
