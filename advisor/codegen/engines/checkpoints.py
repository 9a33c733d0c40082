"""Which weights an engine can load in which precision."""

import re
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
"""TensorRT-LLM reads quantised weights and quantises none while it loads."""
_NATIVE_CHECKPOINTS = (("openai/gpt-oss-", "mxfp4"),)
"""Models that are published in a low precision only: (start of the name, precision)."""
_TENSORRT_FORMATS = ("", "modelopt")
"""Formats that TensorRT-LLM reads: published weights, and those of NVIDIA Model Optimizer."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_LONGEST_HUB_ID = 200


def checkpoint_of(model: str, precision: str, engine: Engine = Engine.VLLM) -> Checkpoint:
    """The weights to download: the planned model in this precision, as far as the catalog knows where it is.

    Where it knows no repository, the user names one.
    """
    is_hub_id = len(model) <= _LONGEST_HUB_ID and _HUB_ID.fullmatch(model) is not None
    native = any(model.startswith(start) and precision == held for start, held in _NATIVE_CHECKPOINTS)
    quantised = _quantised(engine)
    if precision in quantised and not native:
        return Checkpoint(_repository(model, precision, engine), f"{quantised[precision]} of the planned model")
    if not is_hub_id:
        return Checkpoint(None, "the hub name of the planned model")
    return Checkpoint(model, "the planned model")


def _repository(model: str, precision: str, engine: Engine) -> str | None:
    """The catalogued repository with the weights of this very model that the engine can read; None if unknown."""
    return next(
        (
            checkpoint.repository
            for checkpoint in load_catalog().checkpoints(model, precision)
            if checkpoint.is_of(model) and not checkpoint.made_while_loading
            if engine is not Engine.TENSORRT_LLM or checkpoint.format in _TENSORRT_FORMATS
        ),
        None,
    )


def _quantised(engine: Engine) -> Mapping[str, str]:
    """Precisions that need a checkpoint of their own; an image of the user's own loads what it is given."""
    if engine is Engine.CUSTOM:
        return {}
    return _TENSORRT_CHECKPOINTS if engine is Engine.TENSORRT_LLM else QUANTISED_CHECKPOINTS
