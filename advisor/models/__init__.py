"""Models: from a name or a ``config.json`` to parameters, weight bytes, KV-cache bytes and whether it all fits."""

from advisor.models.catalog import catalogued_name, find_model, model_names
from advisor.models.memory import (
    FitRequest,
    MemoryFit,
    MemoryRange,
    fit_memory,
    kv_bytes_per_token,
    memory_range,
)
from advisor.models.model import Model
from advisor.models.values import ServingShape, serving_shape
from advisor.models.weights import (
    AUTO,
    BITS_PER_WEIGHT,
    kv_cache_precision,
    parse_kv_precision,
    parse_precision,
    weight_bytes,
)

__all__ = [
    "AUTO", "BITS_PER_WEIGHT", "FitRequest", "MemoryFit", "MemoryRange", "Model", "ServingShape", "catalogued_name",
    "find_model", "fit_memory", "kv_bytes_per_token", "kv_cache_precision", "memory_range",
    "model_names", "parse_kv_precision", "parse_precision", "serving_shape", "weight_bytes",
]  # fmt: skip
