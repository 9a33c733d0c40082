"""Which weights an engine can load in which precision."""

from collections.abc import Mapping

from advisor.catalog import load_catalog
from advisor.codegen.model import Checkpoint, Engine

QUANTISED_CHECKPOINTS = {
    "int8": "an INT8 (W8A8, compressed-tensors) checkpoint",
    "int4": "a 4-bit (AWQ, GPTQ or compressed-tensors) checkpoint",
    "nvfp4": "an NVFP4 checkpoint",
    "mxfp4": "an MXFP4 checkpoint",
}
_TENSORRT_CHECKPOINTS = QUANTISED_CHECKPOINTS | {
    "fp8": "an FP8 checkpoint made with NVIDIA Model Optimizer",
    "int4": "a 4-bit AWQ checkpoint made with NVIDIA Model Optimizer",
}
_NAMES = {Engine.VLLM: "vLLM", Engine.SGLANG: "SGLang", Engine.TENSORRT_LLM: "TensorRT-LLM", Engine.CUSTOM: ""}
"""Engines as the catalog names them."""


def checkpoint_of(model: str, precision: str, engine: Engine = Engine.VLLM) -> Checkpoint:
    """The weights to download: the planned model in this precision, as far as the catalog knows where it is.

    Where it knows no repository, the user names one.
    """
    weights = load_catalog().loaded_weights(model, precision, _NAMES[engine])
    if weights is None:
        kind = _quantised(engine).get(precision)
        return Checkpoint(None, f"{kind} of the planned model" if kind else "the hub name of the planned model")
    if weights.repository == model:
        return Checkpoint(model, "the planned model")
    return Checkpoint(weights.repository, f"{_quantised(engine)[precision]} of the planned model")


def _quantised(engine: Engine) -> Mapping[str, str]:
    """Precisions that need a checkpoint of their own; an image of the user's own loads what it is given."""
    if engine is Engine.CUSTOM:
        return {}
    return _TENSORRT_CHECKPOINTS if engine is Engine.TENSORRT_LLM else QUANTISED_CHECKPOINTS
