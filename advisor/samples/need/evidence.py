"""The numbers that a verdict rests on: one accelerator, and the engines that may run on it, over a span of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from advisor.samples.need.bounds import Bounds
from advisor.samples.need.engines import Engines
from advisor.samples.query.counts import Counted
from advisor.samples.query.timeline import Timeline

THROTTLES = ("power_throttled", "thermal_throttled", "hardware_throttled")
RATES = ("nvlink_sent_bytes", "nvlink_received_bytes", "pcie_sent_bytes", "pcie_received_bytes")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence about one accelerator; ratios are 0..1. A number that nothing was measured for is None."""

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
        """Evidence as if what was not observed had been like the rest."""

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
    on_it = Engines.of(engines)
    return Evidence(
        busy=_p95(accelerator, "busy_ratio"),
        sm_active=_p95(accelerator, "sm_active_ratio"),
        tensor_active=_p95(accelerator, "tensor_active_ratio"),
        dram_active=_p95(accelerator, "dram_active_ratio"),
        running=on_it.running,
        throttled={cause: bounds for cause in THROTTLES if (bounds := _throttled(accelerator, cause)) is not None},
        kv_full_and_queue=on_it.full_and_queue,
        bytes_per_second={name: rate for name in RATES if (rate := _rate(accelerator, name)) is not None},
    )


def _p95(accelerator: Counted, metric: str) -> Bounds | None:
    distribution = accelerator.gauges.get(metric)
    if distribution is None:
        return None
    low, value, high = distribution.share_p95
    return Bounds(value, low, high, min(distribution.rows / accelerator.grid.rows, 1.0), metric)


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
