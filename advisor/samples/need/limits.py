"""Every threshold of the verdicts: its value, what it is compared with, and where it comes from."""

from enum import StrEnum

import numpy as np

from advisor.records import dataclass
from advisor.samples.growth import Floats

_DCGM = "NVIDIA DCGM, profiling metrics"


class Code(StrEnum):
    """Limit of an accelerator at its busiest."""

    IDLE = "idle"
    MEMORY_BOUND = "memory_bound"
    """The KV cache is full while requests queue or are put back."""
    THROTTLED = "throttled"
    """Power, heat or the board lower its clocks."""
    MIXED = "compute_and_bandwidth_bound"
    COMPUTE_BOUND = "compute_bound"
    """Tensor cores work most of the time: prefill, large batches."""
    BANDWIDTH_BOUND = "bandwidth_bound"
    """Memory bandwidth is used up while tensor cores are not: decode."""
    BUSY_NOT_SATURATED = "busy_not_saturated"
    """A kernel always runs, and most multiprocessors have no work."""
    WITHIN_LIMITS = "within_limits"
    """In use, and nothing is at a limit."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold."""

    name: str
    value: float
    unit: str
    meaning: str
    source: str


IDLE = Limit(
    "idle_busy_p95", 0.05, "ratio", "idle below: in 95% of the rows a kernel ran in less time than this",
    "chosen here: the driver's own housekeeping and health checks stay below it",
)  # fmt: skip
KV_FULL = Limit(
    "kv_full", 0.95, "ratio", "the KV cache is full from here on (highest reading of a row)",
    "chosen here: blocks are handed out whole, and schedulers hold some back, so that 1.00 is rarely read",
)  # fmt: skip
QUEUE = Limit(
    "queue_requests", 1.0, "requests", "a queue stands from here on (mean of a row)",
    "chosen here: at least one request waited throughout the row",
)  # fmt: skip
FULL_TIME = Limit(
    "memory_bound_time", 0.05, "share of rows", "memory-bound from here on: KV cache full while requests queue",
    "chosen here: what a p95 target notices",
)  # fmt: skip
THROTTLED = Limit(
    "throttled_time", 0.10, "share of time", "throttled from here on: clocks lowered by power, heat or the board",
    "chosen here: less than a tenth is within what predictions are off anyway",
)  # fmt: skip
TENSOR = Limit(
    "tensor_active_p95", 0.5, "ratio", "compute-bound from here on",
    "chosen here: matrix products reach about 1 ÷ 1.82 = 0.55 of the peak in the calibration's median",
)  # fmt: skip
DRAM = Limit(
    "dram_active_p95", 0.6, "ratio", "bandwidth-bound from here on",
    f"{_DCGM}: about 0.8 is the most that can be reached; three quarters of it are taken",
)  # fmt: skip
BUSY = Limit(
    "busy_p95", 0.95, "ratio", "busy all the time from here on",
    "chosen here, as operators alarm on it",
)  # fmt: skip
SM_INEFFECTIVE = Limit(
    "sm_active_p95", 0.5, "ratio", "busy but not saturated below",
    f"{_DCGM}: below 0.5 use is likely ineffective",
)  # fmt: skip
SM_EFFECTIVE = Limit(
    "sm_active_saturated", 0.8, "ratio", "a saturated accelerator has at least this",
    f"{_DCGM}: 0.8 is necessary for effective use, and not sufficient",
)  # fmt: skip
WORKING = Limit(
    "working_busy_p95", 0.8, "ratio", "below it there is time to spare: nothing is at a limit, no queue stands",
    "chosen here: work that waits keeps kernels running, but for the gaps of some percent between steps",
)  # fmt: skip
COVERAGE = Limit(
    "coverage", 0.9, "share of rows", "least that has to be known of a signal",
    "the same nine tenths that a minute of demand needs",
)  # fmt: skip
ENGINE_HOLDS = Limit(
    "engine_memory", 1024.0**3, "bytes", "an accelerator that never held this much has no engine on it",
    "chosen here: a CUDA context alone takes about half of it",
)  # fmt: skip


def saturation(busy: Floats, sm_active: Floats, dram_active: Floats, tensor_active: Floats) -> Floats:
    """Busy, narrowed where profiling signals are known; never more than busy, and it grows with each of them.

    A saturated accelerator has SM active ≥ 0.8, and is bound by memory bandwidth (DRAM active ≥ 0.6) or by arithmetic
    (tensor active ≥ 0.5). One with less of them used that much less of its capacity at most::

        min(busy, SM active ÷ 0.8, max(DRAM active ÷ 0.6, tensor active ÷ 0.5))

    Arrays of one shape, NaN where unknown; a signal that is unknown narrows nothing.
    """
    both_known = ~np.isnan(dram_active) & ~np.isnan(tensor_active)
    bound = np.where(both_known, np.fmax(dram_active / DRAM.value, tensor_active / TENSOR.value), np.nan)
    narrowed = np.fmin(np.fmin(busy, sm_active / SM_EFFECTIVE.value), bound)
    return np.where(np.isnan(busy), np.nan, narrowed)
