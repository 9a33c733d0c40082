"""Readings of the sources at each tick, and what the agent keeps of them: rows of fifteen seconds, or gaps.

Standard library only: the agent imports this on inference hosts.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from advisor.records import dataclass, field
from advisor.samples.metrics import Scope


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
    """Of an engine: the address of its metrics page, without credentials."""

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
