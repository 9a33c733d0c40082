"""The numbers that a verdict rests on: one accelerator, and the engines that may run on it, over a span of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from advisor.samples.need.bounds import Bounds, share_bounds
from advisor.samples.need.counters import steps_by_row
from advisor.samples.need.limits import KV_FULL, QUEUE
from advisor.samples.query.counts import Counted
from advisor.samples.query.timeline import Timeline

Floats = npt.NDArray[np.float64]

THROTTLES = ("power_throttled", "thermal_throttled", "hardware_throttled")
RATES = ("nvlink_sent_bytes", "nvlink_received_bytes", "pcie_sent_bytes", "pcie_received_bytes")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one accelerator; ratios are 0..1. A number that nothing was measured for is None."""

    busy: Bounds | None
    """p95 of the share of time in which a kernel ran."""
    sm_active: Bounds | None
    """p95."""
    tensor_active: Bounds | None
    """p95."""
    dram_active: Bounds | None
    """p95."""
    running: Bounds | None
    """Share of rows in which a request ran, on any engine that may be on it."""
    throttled: Mapping[str, Bounds]
    """Share of time with lowered clocks, by cause."""
    kv_full_and_queue: tuple[Bounds, ...]
    """Share of rows in which the KV cache was full while requests queued, one for each engine that may be on it."""
    bytes_per_second: Mapping[str, float] = field(default_factory=dict)
    """Mean rates over NVLink and PCIe, where counted."""

    @property
    def activity(self) -> Bounds | None:
        """The best signal of whether it worked at all: busy, else SM active, else whether requests ran."""
        return self.busy or self.sm_active or self.running

    def observed_alone(self) -> "Evidence":
        """As if what was not observed had been like the rest."""

        def alone(bounds: Bounds | None) -> Bounds | None:
            return None if bounds is None else bounds.observed_alone()

        return Evidence(
            alone(self.busy),
            alone(self.sm_active),
            alone(self.tensor_active),
            alone(self.dram_active),
            alone(self.running),
            {cause: bounds.observed_alone() for cause, bounds in self.throttled.items()},
            tuple(bounds.observed_alone() for bounds in self.kv_full_and_queue),
            self.bytes_per_second,
        )


def gather(accelerator: Counted, engines: Sequence[Timeline]) -> Evidence:
    """The numbers of one accelerator, with those engines of its host that may run on it."""
    return Evidence(
        busy=_p95(accelerator, "busy_ratio"),
        sm_active=_p95(accelerator, "sm_active_ratio"),
        tensor_active=_p95(accelerator, "tensor_active_ratio"),
        dram_active=_p95(accelerator, "dram_active_ratio"),
        running=_running(engines),
        throttled={cause: found for cause in THROTTLES if (found := _throttled(accelerator, cause)) is not None},
        kv_full_and_queue=tuple(
            share_bounds(kv_full_and_queue(engine), "kv_cache_used_ratio") for engine in engines if tells_kv_use(engine)
        ),
        bytes_per_second={name: rate for name in RATES if (rate := _rate(accelerator, name)) is not None},
    )


def kv_full_and_queue(engine: Timeline) -> Floats:
    """1 in rows in which the KV cache was full while requests queued or were put back, 0 in others, NaN if unknown.

    Full: its highest reading reaches :data:`~advisor.samples.need.limits.KV_FULL`. Shape ``(rows,)``.
    """
    full = _indicator(engine.greatest("kv_cache_used_ratio"), KV_FULL.value)
    queue = _indicator(engine.mean("requests_waiting"), QUEUE.value)
    put_back = _indicator(steps_by_row(engine.mean("preemptions")), 1.0)
    if not engine.knows("preemptions"):
        put_back = np.zeros_like(queue)
    pressed = np.where((queue == 1) | (put_back == 1), 1.0, queue + put_back)
    return np.where((full == 0) | (pressed == 0), 0.0, full * pressed)


def tells_kv_use(engine: Timeline) -> bool:
    """Whether the engine publishes its KV use; held to do so while nothing at all is known of it."""
    return engine.knows("kv_cache_used_ratio") or not any(engine.knows(metric) for metric in engine.means)


def _indicator(values: Floats, limit: float) -> Floats:
    """1 from the limit on, 0 below, NaN where unknown."""
    return np.where(np.isnan(values), np.nan, (values >= limit).astype(np.float64))


def _p95(accelerator: Counted, metric: str) -> Bounds | None:
    found = accelerator.gauges.get(metric)
    if found is None:
        return None
    low, value, high = found.share_p95
    return Bounds(value, low, high, min(found.rows / accelerator.grid.rows, 1.0), metric)


def _running(engines: Sequence[Timeline]) -> Bounds | None:
    """Share of rows in which any of the engines had a request."""
    if not any(engine.knows("requests_running") for engine in engines):
        return None
    ran = np.array([_indicator(engine.greatest("requests_running"), 1.0) for engine in engines])
    unknown = np.isnan(ran).any(axis=0) & ~(ran == 1).any(axis=0)
    return share_bounds(np.where(unknown, np.nan, (ran == 1).any(axis=0).astype(np.float64)), "requests_running")


def _throttled(accelerator: Counted, cause: str) -> Bounds | None:
    """Share of time with lowered clocks, exact from a counter of seconds."""
    grown = accelerator.counters.get(f"{cause}_seconds")
    if grown is None:
        return None
    observed = min(grown.known_rows / accelerator.grid.rows, 1.0)
    low = min(grown.total / accelerator.grid.seconds, 1.0)
    high = min(low + 1.0 - observed, 1.0)
    return Bounds(min(low / observed, 1.0) if observed else None, low, high, observed, f"{cause}_seconds")


def _rate(accelerator: Counted, counter: str) -> float | None:
    """Mean growth per second of the rows that the counter speaks of, the first of which only begins it."""
    grown = accelerator.counters.get(counter)
    if grown is None or grown.known_rows < 2:
        return None
    return grown.total / ((grown.known_rows - 1) * accelerator.grid.row_seconds)
