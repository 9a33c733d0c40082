"""Cost of a fleet, and of the batch work in it: by the hour, by the item, and as a workload of its own."""

from collections.abc import Mapping

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field

COST_PARTS = ("compute", "disks", "starts", "interruptions", "transfer", "switching", "standing")
"""Parts that the total of a fleet is the sum of."""


@dataclass(frozen=True, slots=True)
class FleetCost:
    """Cost of the fleet; each part and their sum to the cent, USD without tax."""

    compute_usd_per_month: float
    interruptions_usd_per_month: float
    """Expected cost of the work that spot interruptions lose."""
    transfer_usd_per_month: float
    """Answers on their way to the users."""
    switching_usd_per_month: float
    """Putting types into service that do not run today, spread over the horizon."""
    total_usd_per_month: float
    """The number that is minimised and the number that is printed."""
    usd_per_million_output_tokens: float
    usd_per_1000_requests: float
    disks_usd_per_month: float
    """Volumes that instances boot from."""
    starts_usd_per_month: float
    """Images and weights that instances started for busier hours download."""
    standing_usd_per_month: float
    """Balancers, gateways, keys, alarms and logs of the fleet's regions, as far as their prices are known."""
    obligation_usd: float = 0.0
    """What new commitments oblige to pay until they end, whatever the demand."""
    obligation_until: str | None = None
    """ISO date on which the last of them ends; None without."""
    regret_usd_per_month: float | None = None
    """What the same commitments cost beyond use if the demand falls by half; None without commitments."""

    @property
    def parts_usd_per_month(self) -> Mapping[str, float]:
        """Parts of the total, by name."""
        return {part: getattr(self, f"{part}_usd_per_month") for part in COST_PARTS}


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
    """Hours of a run in which machines are up, beside other requests more than for these; they start ahead of them."""
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
    """Cost as a workload of its own, beside one of the requests; None where no machine is added for it, or nobody
    asked."""
