"""Which weights an engine can load in which precision."""

from collections.abc import Mapping

from advisor.catalog import load_catalog
from advisor.codegen.container import Checkpoint

QUANTISED_CHECKPOINTS = {
    "fp8": "an FP8 checkpoint",
    "int8": "an INT8 (W8A8, compressed-tensors) checkpoint",
    "int4": "a 4-bit (AWQ, GPTQ or compressed-tensors) checkpoint",
    "nvfp4": "an NVFP4 checkpoint",
    "mxfp4": "an MXFP4 checkpoint",
}
_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "half"}
_TENSORRT = "TensorRT-LLM"
_TENSORRT_CHECKPOINTS = QUANTISED_CHECKPOINTS | {
    "fp8": "an FP8 checkpoint made with NVIDIA Model Optimizer",
    "int4": "a 4-bit AWQ checkpoint made with NVIDIA Model Optimizer",
}


def checkpoint_of(model: str, precision: str, engine: str = "vLLM") -> Checkpoint:
    """The weights to download: the planned model in this precision, as far as the catalog knows where it is.

    Where it knows no repository, the user names one.

    Args:
        model: name on the hub.
        precision: what they are served in.
        engine: as engine_support.csv names it; "" for an image of the user's own.
    """
    catalog = load_catalog()
    weights = catalog.loaded_weights(model, precision, engine)
    if weights is None or not weights.repository:
        is_made = catalog.is_made_while_loading(precision, engine)
        kind = None if is_made else _quantised(engine).get(precision)
        needed = f"{kind} of the planned model" if kind else "the hub name of the planned model"
        return Checkpoint(None, needed, is_made)
    if weights.repository == model:
        return Checkpoint(model, "the planned model", weights.made_while_loading)
    return Checkpoint(weights.repository, f"{_quantised(engine)[precision]} of the planned model")


def precision_arguments(precision: str, checkpoint: Checkpoint, *, half: bool) -> list[str]:
    """Options of Python engines for the type of weights; *half* where the accelerator has no bf16 arithmetic.

    A quantised checkpoint says itself how it is quantised.
    """
    if precision in _DTYPES:
        return [f"--dtype={_DTYPES[precision]}"]
    if checkpoint.made_while_loading:
        return [f"--dtype={'half' if half else 'bfloat16'}", f"--quantization={precision}"]
    return [f"--dtype={'half' if half else 'auto'}"]


def _quantised(engine: str) -> Mapping[str, str]:
    """Precisions that need a checkpoint of their own; an image of the user's own loads what it is given."""
    if not engine:
        return {}
    return _TENSORRT_CHECKPOINTS if engine == _TENSORRT else QUANTISED_CHECKPOINTS
