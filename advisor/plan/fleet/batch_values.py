"""Batch work of a fleet: its hours, its cost by the item, and its cost as a workload of its own."""

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """Equal instances of a fleet that is told in short."""

    instance_type: str
    region: str
    purchase: str
    instances: int
    """In the busiest hours."""


@dataclass(frozen=True, slots=True)
class BatchApart:
    """Requests and batch work as two workloads, each on a fleet of its own."""

    requests_usd_per_month: float
    batch_usd_per_month: float
    batch_parts: tuple[PlannedPart, ...]
    """Fleet for the batch work."""
    beside_items: float = 0.0
    """Items of a run that the fleet for the requests does on idle capacity all the same; the others are apart."""

    @property
    def total_usd_per_month(self) -> float:
        """Cost of the two."""
        return round(self.requests_usd_per_month + self.batch_usd_per_month, 2)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Runs of batch work as a fleet works them off."""

    items: float
    """Requests of a run as planned, with growth."""
    every_hours: int
    """From the start of a run to that of the next."""
    first_hour: int
    """Hour of the week, from Monday 00:00 UTC, in which a run starts."""
    machine_hours: int
    """Hours of a run in which machines are up; they start ahead of them."""
    deadline_hours: float
    """From the start of a run to the end of its last item, at most."""
    finished_hours: float | None
    """The same as the replay finds it, with one instance of spot interrupted, or at the rates that other requests leave
    idle; None: not by the deadline."""
    usd_per_1000_items: float
    """Cost of the fleet by its items; beside other requests of what it costs more than for these alone."""
    idle_items: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Items of a run that the fleet for other requests alone has idle capacity for; None: nothing else is served."""
    apart: BatchApart | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Cost as a workload of its own, beside one of the requests; None where all of it fits idle capacity, or nobody
    asked."""
