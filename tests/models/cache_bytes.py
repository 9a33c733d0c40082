"""Bytes of the KV cache of one sequence, by the layers that keep it."""

from advisor.models.layer_kinds import cache_kinds
from advisor.models.model import Model
from advisor.models.weights import kv_bytes_per_element


def kv_cache_bytes(model: Model, kv_precision: str, context_tokens: int) -> float:
    """Bytes that one sequence of *context_tokens* keeps, recurrent states included, on one accelerator, unpadded."""
    width = kv_bytes_per_element(kv_precision, "bf16", model.checkpoint.kv_precision)
    total = 0.0
    for kind in cache_kinds(model):
        kept = min(context_tokens, kind.window_tokens) if kind.window_tokens else context_tokens
        total += kind.layers * (kept * kind.elements_per_token * width + kind.state_bytes)
    return total
