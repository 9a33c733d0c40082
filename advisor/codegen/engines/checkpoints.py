"""Which weights an engine can load in which precision."""

import re
from collections.abc import Mapping

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
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_LONGEST_HUB_ID = 200


def checkpoint_of(model: str, precision: str, engine: Engine = Engine.VLLM) -> Checkpoint:
    """The weights to download: the planned model where they exist in this precision, else the user names them."""
    is_hub_id = len(model) <= _LONGEST_HUB_ID and _HUB_ID.fullmatch(model) is not None
    native = any(model.startswith(start) and precision == held for start, held in _NATIVE_CHECKPOINTS)
    quantised = _quantised(engine)
    if precision in quantised and not native:
        return Checkpoint(None, f"{quantised[precision]} of the planned model")
    if not is_hub_id:
        return Checkpoint(None, "the hub name of the planned model")
    return Checkpoint(model, "the planned model")


def _quantised(engine: Engine) -> Mapping[str, str]:
    """Precisions that need a checkpoint of their own; an image of the user's own loads what it is given."""
    if engine is Engine.CUSTOM:
        return {}
    return _TENSORRT_CHECKPOINTS if engine is Engine.TENSORRT_LLM else QUANTISED_CHECKPOINTS
