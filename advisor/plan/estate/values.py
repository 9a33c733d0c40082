"""The estate as values, as ``advisor.estate/v1`` JSON holds them, and who sits where on shared machines, in words."""

from advisor.plan.estate.bases import JoinedBase
from advisor.plan.estate.commitments import HourlyUse, SharedCommitment
from advisor.plan.estate.contention import Contention
from advisor.plan.estate.packing import SharedMachine
from advisor.plan.estate.resources import ResourceUse, Uses
from advisor.plan.estate.seats import Seat
from advisor.plan.estate.slots import Seating
from advisor.plan.values import ComparedLatency, PlanProvenance
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field

SCHEMA = "advisor.estate/v1"
PLAN_SUFFIX = ".plan.json"
"""Ending of the file of a workload's plan."""
PLANNED = "planned"
INFEASIBLE = "infeasible"
FAILED = "failed"


def machine_words(position: int, machine: SharedMachine) -> str:
    """A shared machine by its number, such as ``shared machine 1, 2 × g2-standard-4 in us-central1 (gcp)``."""
    count = f"{machine.copies} × " if machine.copies > 1 else ""
    return f"shared machine {position + 1}, {count}{machine.instance_type} in {machine.region} ({machine.provider})"


def seat_words(position: int, machine: SharedMachine, seat: Seat) -> str:
    """The machine, and what the workload has of it."""
    where = machine_words(position, machine)
    if machine.slice:
        return f"{where}, on a slice {machine.slice.removeprefix('mig-')} of its own"
    mates = len(machine.server_of(seat.workload)) - 1
    others = len(machine.accelerator_of(seat.workload)) - 1 - mates
    ways = (f"on one server with {_others(mates)}",) if mates else ()
    beside = "on an equal part by MPS beside" if machine.by_mps else "in turns with"
    return f"{where}, {', '.join((*ways, f'{beside} {_others(others)}') if others else ways)}"


def _others(count: int) -> str:
    return f"{count} {'other' if count == 1 else 'others'}"


def base_words(base: JoinedBase, workload: str) -> str:
    """The deployment that a workload is part of, such as ``one deployment of org/model with mail.yaml``."""
    others = ", ".join(file for file in base.workloads if file != workload)
    return f"one deployment of {base.model} with {others} (its plan is {base.plan_file})"


@dataclass(frozen=True, slots=True)
class PriceDate:
    """Date on which a price that is paid was valid."""

    provider: str
    instance_type: str
    region: str
    as_of: str
    """ISO date, month or year; "" when unknown."""


@dataclass(frozen=True, slots=True)
class WorkloadRow:
    """One workload file and its fleet."""

    file: str
    """Told from the directory."""
    name: str
    status: str
    """planned; infeasible: no fleet keeps its limits, or its SLO in the replay; failed: the file has to be mended."""
    fleet: str
    """Instances of each group over the hours, in words."""
    usd_per_month: float | None
    """Of a fleet of its own."""
    within_slo_ratio: float | None
    """Of the requests of the replay: that of its seat, where it sits on a shared machine."""
    slo_kept: bool | None
    """Whether it is kept with the margin that is wanted of a replay."""
    proven: bool | None
    gap_ratio: float | None
    shared_machine: int | None
    """Position in ``shared_machines`` of where it sits instead of on its own fleet."""
    message: str
    """What stands against a fleet; "" for nothing."""
    prices: tuple[PriceDate, ...] = ()
    """Of each group of the fleet."""
    saved_usd_per_month: float | None = None
    """Cost of what runs today less that of the fleet; None where nothing is stated to run, or there is no fleet."""
    slower: tuple[ComparedLatency, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Latencies that are measured today far above their prediction."""
    beside_usd_per_month: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """What it pays beside a shared machine, as a fleet of its own in that region would: balancers, gateways, logs, data
    transfer; None: it has a fleet of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Results of one workload's plan, kept while all are planned."""

    row: WorkloadRow
    plan_text: str
    """As ``advisor.plan/v1`` JSON; "" where there is no plan."""
    uses: Uses
    contention: Contention | None
    """Its choices, where it takes of what is shared."""
    hourly: tuple[HourlyUse, ...]
    """What may be committed to."""
    seating: Seating | None
    usd_of_machines: float
    """Monthly cost of its fleet but for data transfer, load balancers and logs, which a shared machine needs too."""
    provenance: PlanProvenance | None
    without_parts: tuple[str, ...] = ()
    """Reasons why accelerators that could serve it are not divided by MPS, where the estate asks for that."""


@dataclass(frozen=True, slots=True)
class EstateTotals:
    """Sums over all workloads; USD without tax, each to the cent."""

    workloads: int
    planned: int
    infeasible: int
    failed: int
    fleets_usd_per_month: float
    """All of the fleets, with nothing shared but quotas and what is owned."""
    machines_saved_usd_per_month: float
    commitments_saved_usd_per_month: float
    total_usd_per_month: float
    bases_saved_usd_per_month: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """By workloads with LoRA adapters on one base that are deployed together."""


@dataclass(frozen=True, slots=True)
class Together:
    """Workloads that were planned in one program, because what they want runs short."""

    workloads: tuple[str, ...]
    gap_ratio: float
    """How much cheaper they could be at most; 0 is proven optimal."""


@dataclass(frozen=True, slots=True)
class Estate:
    """All workloads of a directory."""

    workloads: tuple[WorkloadRow, ...]
    totals: EstateTotals
    shared: tuple[ResourceUse, ...]
    """Quotas and owned commitments, and what all workloads take of them."""
    together: Together
    shared_machines: tuple[SharedMachine, ...]
    shared_commitments: tuple[SharedCommitment, ...]
    conflict: tuple[ResourceUse, ...]
    """Shared limits that not all workloads together can keep; ``used`` is the least that would do."""
    provenance: PlanProvenance
    joined: tuple[JoinedBase, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Workloads on one base that cost less as one deployment: their own fleets are not deployed."""
    without_parts: tuple[str, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Reasons why accelerators that could serve its workloads are not divided by MPS, where it asks for that."""
    packing_gap_ratio: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Share of the cost of all workloads that could meet on shared machines that the cheapest packing would save at
    most: 0 is proven the cheapest; None: no two could meet."""
    name: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Name of the directory, by which its deployments are told from those of others; "" where it is not stated."""
    schema: str = SCHEMA
