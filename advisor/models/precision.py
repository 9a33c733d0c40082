"""Precisions of weights: their names as people write them, and the bits that an element takes with its scales."""

from difflib import get_close_matches

from advisor.errors import InputError

BITS_PER_WEIGHT = {
    "fp32": 32.0,
    "bf16": 16.0,
    "fp16": 16.0,
    "fp8": 8.0,
    "int8": 8.0,
    "int4": 4.0 + 16 / 128 + 4 / 128,
    "nvfp4": 4.0 + 8 / 16,
    "mxfp4": 4.0 + 8 / 32,
}
"""Scales included: int4 has a 16-bit scale and a 4-bit zero point for 128 weights (AWQ, GPTQ), nvfp4 an 8-bit scale
for 16, mxfp4 one for 32; the scales of fp8 and int8 are one per row or per 128 × 128 block, which is nothing."""
SIXTEEN_BIT = 16.0
AUTO = "auto"
"""Precision of the KV cache that plans, `fit` and `predict` take where none is stated: as the checkpoint asks for."""
_ALIASES = (
    ("mxfp4", "mxfp4"),
    ("nvfp4", "nvfp4"),
    ("fp4", "nvfp4"),
    ("w4a16", "int4"),
    ("awq", "int4"),
    ("gptq", "int4"),
    ("int4", "int4"),
    ("q4", "int4"),
    ("w8a8", "int8"),
    ("w8a16", "int8"),
    ("int8", "int8"),
    ("fp8", "fp8"),
    ("e4m3", "fp8"),
    ("e5m2", "fp8"),
    ("bf16", "bf16"),
    ("bfloat16", "bf16"),
    ("fp16", "fp16"),
    ("float16", "fp16"),
    ("half", "fp16"),
    ("fp32", "fp32"),
    ("float32", "fp32"),
    ("tf32", "fp32"),
)


def parse_precision(text: str) -> str:
    """One of our precisions for the name that a table or a person uses: ``fp8(compressed-tensors)``, ``int4 AWQ``.

    Raises:
        InputError: no known precision stands in *text*.
    """
    words = text.strip().lower()
    if words in BITS_PER_WEIGHT:
        return words
    found = next((precision for part, precision in _ALIASES if part in words), None)
    if found is None:
        near = get_close_matches(words, BITS_PER_WEIGHT, n=1)
        raise InputError(
            f"precision {text!r} is not known",
            hint=f"did you mean {near[0]!r}?" if near else f"one of {', '.join(BITS_PER_WEIGHT)}",
        )
    return found


def is_wide(precision: str) -> bool:
    """Whether weights have 16 bits or more: what engines cast and quantise while they load."""
    return BITS_PER_WEIGHT[precision] >= SIXTEEN_BIT


def kv_bytes_per_element(kv_precision: str, weight_precision: str, checkpoint_kv_precision: str) -> float:
    """Bytes of one element of the KV cache in what :func:`kv_cache_precision` says."""
    return BITS_PER_WEIGHT[kv_cache_precision(kv_precision, weight_precision, checkpoint_kv_precision)] / 8


def kv_cache_precision(kv_precision: str, weight_precision: str, checkpoint_kv_precision: str) -> str:
    """Precision of the KV cache.

    ``auto`` is what the checkpoint asks for (some quantised ones ask for 8 bit), else 16 bit, or 32 bit where the whole
    model runs in fp32.
    """
    chosen = kv_precision if kv_precision != AUTO else checkpoint_kv_precision
    if chosen == AUTO:
        chosen = "fp32" if weight_precision == "fp32" else "bf16"
    return chosen


def parse_kv_precision(text: str) -> str:
    """:data:`AUTO`, or one of our precisions."""
    return AUTO if text.strip().lower() in ("", "auto", "default") else parse_precision(text)
