"""Metrics, and the rows of them: one name, unit and kind for each, in files, in exposition and in questions alike.

A gauge is kept as the least, mean, greatest and last reading of each row; a counter only as its last, because it grows
and its differences are exact over any gap; a histogram as its last cumulative buckets. A row holds fifteen seconds of
readings; where none were taken stands a gap.

Standard library only: the agent imports this on inference hosts.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from advisor.records import dataclass, field
from advisor.units import BYTES_PER_GB, BYTES_PER_GIB, BYTES_PER_KIB, BYTES_PER_MB, BYTES_PER_MIB

ROW_SECONDS = 15
"""Readings of so long become one row, at whole multiples of it since 1970 in UTC."""
MOST_VALUE = 9.2e18
"""Largest magnitude of a reading in any unit, which 64 bits hold; a number beyond it is not a measurement."""
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


class Kind(StrEnum):
    """Kind of a value, and how it is kept."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Scope(StrEnum):
    """Subject of a value."""

    ACCELERATOR = "accelerator"
    ENGINE = "engine"
    """A serving engine: one of its models on one of its ranks."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured."""

    name: str
    kind: Kind
    scope: Scope
    unit: str
    resolution: float
    """Row values are rounded to whole multiples of it, so that histograms of them are exact; 0: kept as read."""
    meaning: str


def _gauge(name: str, unit: str, resolution: float, meaning: str) -> Metric:
    return Metric(name, Kind.GAUGE, Scope.ACCELERATOR, unit, resolution, meaning)


def _counter(name: str, unit: str, meaning: str) -> Metric:
    return Metric(name, Kind.COUNTER, Scope.ACCELERATOR, unit, 0.0, meaning)


def _engine(name: str, kind: Kind, unit: str, resolution: float, meaning: str) -> Metric:
    return Metric(name, kind, Scope.ENGINE, unit, resolution, meaning)


ACCELERATOR_METRICS = (
    _gauge("memory_total_bytes", "bytes", 1048576, "memory of the accelerator or MIG instance"),
    _gauge("memory_used_bytes", "bytes", 1048576, "memory in use, without what the driver keeps for itself"),
    _gauge("memory_reserved_bytes", "bytes", 1048576, "memory that the driver keeps for itself"),
    _gauge("busy_ratio", "ratio", 0.005, "share of time in which a kernel ran; busy is not saturated"),
    _gauge("busy_peak_ratio", "ratio", 0.005, "the busiest of the driver's own readings, about 1/6 s each"),
    _gauge("memory_busy_ratio", "ratio", 0.005, "share of time in which memory was read or written"),
    _gauge("sm_active_ratio", "ratio", 0.005, "share of multiprocessors with work, over time"),
    _gauge("sm_occupancy_ratio", "ratio", 0.005, "resident warps over the most that fit"),
    _gauge("tensor_active_ratio", "ratio", 0.005, "share of time in which tensor cores worked"),
    _gauge("dram_active_ratio", "ratio", 0.005, "share of the memory bandwidth in use"),
    _gauge("power_watts", "watts", 1, "electrical power"),
    _gauge("sm_clock_mhz", "MHz", 15, "clock of the multiprocessors"),
    _gauge("temperature_celsius", "degrees Celsius", 1, "temperature of the chip"),
    _gauge("processes", "processes", 1, "processes that compute on it"),
    _counter("energy_joules", "joules", "energy since the driver was loaded"),
    _counter("power_throttled_seconds", "seconds", "time in which the power limit lowered the clocks"),
    _counter("thermal_throttled_seconds", "seconds", "time in which heat lowered the clocks"),
    _counter("hardware_throttled_seconds", "seconds", "time in which the board (power brake, heat) lowered the clocks"),
    _counter("pcie_sent_bytes", "bytes", "sent over PCIe"),
    _counter("pcie_received_bytes", "bytes", "received over PCIe"),
    _counter("nvlink_sent_bytes", "bytes", "sent over NVLink"),
    _counter("nvlink_received_bytes", "bytes", "received over NVLink"),
    _counter("uncorrected_ecc_errors", "errors", "memory errors that were not corrected"),
    _counter("xid_errors", "errors", "errors (XID) that the driver reported since the agent started"),
)
ENGINE_METRICS = (
    _engine("requests_running", Kind.GAUGE, "requests", 1, "requests in the batch"),
    _engine("requests_waiting", Kind.GAUGE, "requests", 1, "requests in the queue"),
    _engine("kv_cache_used_ratio", Kind.GAUGE, "ratio", 0.005, "share of the KV cache that requests occupy"),
    _engine("prompt_tokens", Kind.COUNTER, "tokens", 0, "tokens of prompts"),
    _engine("generated_tokens", Kind.COUNTER, "tokens", 0, "tokens of answers"),
    _engine("requests_finished", Kind.COUNTER, "requests", 0, "requests that ended, answered or not"),
    _engine("preemptions", Kind.COUNTER, "preemptions", 0, "requests put back for want of KV cache"),
    _engine("prefix_cache_queries", Kind.COUNTER, "tokens", 0, "prompt tokens looked up in the prefix cache"),
    _engine("prefix_cache_hits", Kind.COUNTER, "tokens", 0, "prompt tokens found in the prefix cache"),
    _engine("ttft_seconds", Kind.HISTOGRAM, "seconds", 0, "time to first token"),
    _engine("tpot_seconds", Kind.HISTOGRAM, "seconds", 0, "time per output token after the first"),
    _engine("prompt_length_tokens", Kind.HISTOGRAM, "tokens", 0, "tokens of a request's prompt"),
    _engine("answer_length_tokens", Kind.HISTOGRAM, "tokens", 0, "tokens of a request's answer"),
    _engine("e2e_seconds", Kind.HISTOGRAM, "seconds", 0, "from the request to its last token"),
)
METRICS = {metric.name: metric for metric in (*ACCELERATOR_METRICS, *ENGINE_METRICS)}


def rounded(value: float, resolution: float) -> float:
    """The nearest whole multiple of a resolution, as the double nearest to it; the value itself where it is 0."""
    if not resolution:
        return value
    if resolution >= 1:
        return float(round(value / resolution) * resolution)
    per_unit = round(1 / resolution)
    return round(value * per_unit) / per_unit


def exposition_name(metric: Metric, statistic: str = "mean") -> str:
    """Name on the agent's page, such as ``advisor_accelerator_busy_ratio`` and ``…_busy_ratio_max``."""
    base = f"advisor_{metric.scope}_{metric.name}"
    if metric.kind is Kind.COUNTER:
        return f"{base}_total"
    return base if statistic == "mean" else f"{base}_{statistic}"


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


def units_of(metric: Metric) -> Mapping[str, float]:
    """Units that its values can come in, each with the factor that makes ours of it; of a count only its own."""
    return _UNITS.get(metric.unit, {metric.unit: 1.0})


@dataclass(frozen=True, slots=True)
class Target:
    """Target of readings: an accelerator, a MIG instance of one, or a serving engine."""

    host: str
    source: str
    """Who reads it: nvml, neuron, gaudi, amd, tpu, or an engine by its key in exporters.csv (vllm, sglang, …)."""
    index: int | None
    """Number on the host, as the driver counts; of an engine its rank; None for a source that names nothing yet."""
    mig_index: int | None = None
    """Number of the MIG instance on that accelerator; None for a whole accelerator."""
    uuid: str | None = None
    """None: it has not answered since the agent started."""
    name: str | None = None
    """Product name of an accelerator; model that an engine serves."""
    endpoint: str | None = None
    """Address of the metrics page of an engine, without credentials."""

    @property
    def scope(self) -> Scope:
        """Whether it is an accelerator or an engine."""
        return Scope.ACCELERATOR if self.endpoint is None else Scope.ENGINE


@dataclass(frozen=True, slots=True)
class Stats:
    """The readings of one value in one row; of a counter all but ``last`` and ``n`` are NaN."""

    least: float
    mean: float
    greatest: float
    last: float
    n: int
    """Readings, at least 1."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """A cumulative histogram as an engine counts it, at the end of a row."""

    bounds: tuple[float, ...]
    """Upper bounds as read, ascending, the last infinite."""
    counts: tuple[float, ...]
    """Observations up to each bound since the engine started."""
    total: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One target at one tick. A value that is not known is left out, not zero."""

    target: Target
    values: Mapping[str, float]
    """Gauges and counters by name of the metric."""
    buckets: Mapping[str, Buckets] = field(default_factory=dict)
    note: str | None = None
    """Counters that should be there and failed this once, with the driver's words."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A target that did not answer at one tick."""

    target: Target
    reason: str


class Source(Protocol):
    """Something that reads all targets of one kind at once; lives in a process or thread of its own."""

    def read(self) -> Sequence[Reading | Missed]:
        """One reading or miss of each target, now. Raises InputError if only a new process can read on."""
        ...

    def describe(self) -> str:
        """Targets that it sees, in a line."""
        ...

    def close(self) -> None:
        """Close the driver, process or connection."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """Readings of one target over fifteen seconds. A value that was never known is left out, not zero."""

    target: Target
    end_us: int
    """End of the fifteen seconds, µs since 1970 UTC: a whole multiple of them."""
    stats: Mapping[str, Stats]
    """By name of the metric."""
    buckets: Mapping[str, Buckets] = field(default_factory=dict)
    missed_ticks: int = 0
    """Ticks of these fifteen seconds without a reading."""
    note: str | None = None
    """Counters that failed by themselves, with the driver's words."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Time in which a target, or all that a source reads, was not read at all."""

    target: Target
    start_us: int
    end_us: int
    missed_ticks: int
    """At least 1."""
    reason: str


Record = Row | Gap
