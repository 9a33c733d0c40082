"""Meanings and units that a name in the table can have."""

from collections.abc import Mapping

from advisor.samples.metrics import METRICS, Kind, Metric, Scope
from advisor.units import BYTES_PER_GB, BYTES_PER_GIB, BYTES_PER_KIB, BYTES_PER_MB, BYTES_PER_MIB

_READ_ONLY = (
    Metric("memory_free_bytes", Kind.GAUGE, Scope.ACCELERATOR, "bytes", 0, "memory not in use; totals are made of it"),
    Metric("requests_arrived", Kind.COUNTER, Scope.ENGINE, "requests", 0, "requests that came"),
    Metric("kv_cache_used_blocks", Kind.GAUGE, Scope.ENGINE, "blocks", 0, "blocks of the KV cache in use"),
    Metric("kv_cache_blocks", Kind.GAUGE, Scope.ENGINE, "blocks", 0, "blocks of the KV cache"),
)
"""Metrics that exporters count and the agent does not keep."""
MEANINGS: Mapping[str, Metric] = {**METRICS, **{metric.name: metric for metric in _READ_ONLY}}
GAUGES = tuple(metric.name for metric in METRICS.values() if metric.kind is Kind.GAUGE)
"""Metrics with a level to ask a server for: counters and histograms have none."""
QUOTIENTS: Mapping[str, tuple[str, str]] = {"kv_cache_used_ratio": ("kv_cache_used_blocks", "kv_cache_blocks")}
"""Dividend and divisor of a metric that has no name of its own, by metric."""
_UNITS: Mapping[str, Mapping[str, float]] = {
    "bytes": {
        "bytes": 1.0, "KiB": float(BYTES_PER_KIB), "MiB": float(BYTES_PER_MIB), "GiB": float(BYTES_PER_GIB),
        "MB": BYTES_PER_MB, "GB": BYTES_PER_GB,
    },
    "ratio": {"ratio": 1.0, "percent": 0.01},
    "watts": {"W": 1.0, "mW": 0.001, "kW": 1000.0},
    "MHz": {"MHz": 1.0, "Hz": 1e-6, "GHz": 1000.0},
    "degrees Celsius": {"C": 1.0},
    "seconds": {"s": 1.0, "ms": 0.001, "us": 1e-6, "ns": 1e-9},
    "joules": {"J": 1.0, "mJ": 0.001, "uJ": 1e-6},
}  # fmt: skip


def units_of(metric: Metric) -> Mapping[str, float]:
    """Units that its values can come in, each with the factor that makes ours of it; of a count only its own."""
    return _UNITS.get(metric.unit, {metric.unit: 1.0})
