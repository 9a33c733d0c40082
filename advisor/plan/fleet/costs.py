"""Cost of a fleet and of the batch work in it: lines of ``quantity × USD per unit``, whose sum is the total."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

from advisor.catalog import Catalog
from advisor.catalog.planning import ServicePrice
from advisor.cost.services import disk_parts
from advisor.cost.standing import CLUSTER, StandingCharge
from advisor.demand.values import Demand
from advisor.models.model import Model
from advisor.performance.transfer import sent_gb
from advisor.plan.problem.formulas import (
    paid_hours_per_month,
    starts_of,
)
from advisor.plan.problem.values import Allocation, Floats, Pool, Problem, PurchaseOption
from advisor.plan.solve.objective import (
    allocation_usd_per_month,
    answering,
    answers_of,
    answers_usd_per_month,
    disk_parts_usd_per_month,
    interruption_parts_usd_per_hour,
    interruption_parts_usd_per_month,
    starts_usd_per_month,
)
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.units import (
    HOURS_PER_MONTH,
)

_BALANCER = "prices of the load balancer and its logs"
_SPLIT = "HTTP requests beyond the first of each call, whose items are sent by themselves"
_MILLION = 1e6
_SWITCHING = "price of the instance on demand"
_MANAGED = (
    "log_ingest", "log_storage", "kms_key", "alarm", "log_alarm", "response_cache", "cache_alarm", "cache_log_alarm",
)  # fmt: skip
COST_PARTS = ("compute", "disks", "starts", "interruptions", "transfer", "switching", "standing")
"""Parts that the total of a fleet is the sum of."""


class CostKind(StrEnum):
    """Kind of a line, as an inference bill is divided."""

    COMPUTE = "compute"
    STORAGE = "storage"
    NETWORK = "network"
    MANAGED = "managed"


@dataclass(frozen=True, slots=True)
class CostLine:
    """Something that is paid for in an average month."""

    kind: CostKind
    item: str
    """instance, lost_work, interruption_download, disk, disk_throughput, start_download, answers, http_requests,
    switching, or the item of a standing charge; beside the total object_storage, registry_storage and cluster."""
    place: str
    """Pool and way of paying, or provider/region."""
    quantity: float
    unit: str
    usd_per_unit: float | None
    usd_per_month: float | None
    """To the cent; None, here and above: the price is not known."""
    price_source: str = ""
    price_as_of: str = ""
    price_quality: str = ""
    in_total: bool = True
    """False: the generated code does not order it; *assumes* says where it is paid."""
    assumes: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Nature of the units and assumptions on their number; "": they follow from the fleet and its load."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Mean answer, and prices of what leaves a region with it."""

    catalog: Catalog
    demand: Demand
    model: Model

    def gb(self, http_requests: float) -> float:
        """GB of one answer, and of those that a cache gives for each of the fleet's."""
        return sent_gb(self.demand, self.model, http_requests)


@dataclass(frozen=True, slots=True)
class Host:
    """Disk and downloads of the instances of one group."""

    disk_gib: int
    download_gb: float
    """Image and weights of a start."""
    interruptions: str
    """Spot: what is published of its interruptions, by whom and when; "" for others."""


_STANDING_KINDS = {**dict.fromkeys((*_MANAGED, CLUSTER), CostKind.MANAGED), "entrance_disk": CostKind.STORAGE}
"""Kinds of standing charges; all others are of the network."""


def cost_lines(
    problem: Problem,
    allocations: Sequence[Allocation],
    shares: Mapping[str, Floats],
    answers: Answers,
    standing: Sequence[StandingCharge],
    host_of: Callable[[Allocation], Host],
) -> tuple[CostLine, ...]:
    """All lines of a fleet.

    *shares*: request shares of each pool: (hours, places, buckets). *answers*: what leaves a region with an answer.
    """
    own = [
        line
        for allocation in allocations
        for line in _lines_of(problem, allocation, host_of(allocation), answers.catalog)
    ]
    sent = [line for pools in answering(allocations, shares) for line in _sent(problem, pools, shares, answers)]
    return (
        *own,
        *sent,
        *_changed(problem, allocations),
        *map(_charged, standing),
    )


def _lines_of(problem: Problem, allocation: Allocation, host: Host, catalog: Catalog) -> Iterator[CostLine]:
    """Instances of one group, work that interruptions lose, disks, and downloads of starts."""
    pool, tariff = allocation.pool, allocation.tariff
    hours = paid_hours_per_month(problem, allocation)
    is_managed = tariff.paid in (PurchaseOption.MANAGED, PurchaseOption.SERVERLESS)
    kind = CostKind.MANAGED if is_managed else CostKind.COMPUTE
    place, unit = f"{pool.key}/{tariff.paid.value}", "instance-hour"
    price = (tariff.source, tariff.as_of, tariff.quality)
    usd = allocation_usd_per_month(problem, allocation)
    yield CostLine(kind, "instance", place, hours, unit, tariff.usd_per_hour, usd, *price)
    if any(interrupted := interruption_parts_usd_per_month(problem, allocation)):
        lost_usd, _ = interruption_parts_usd_per_hour(allocation)
        yield CostLine(CostKind.COMPUTE, "lost_work", place, hours, unit, lost_usd, interrupted[0], host.interruptions)
    nat = catalog.service_price(*_nat_data(pool))
    if interrupted[1]:
        gb = host.download_gb * tariff.interruptions_per_hour * hours
        downloaded = priced_line(CostKind.NETWORK, "interruption_download", place, gb, nat, interrupted[1])
        assumes = (
            f"image and weights, {host.download_gb:.3g} GB, for each of {tariff.interruptions_per_hour:.3g} "
            "interruptions expected in an instance-hour"
        )
        yield replace(downloaded, assumes=assumes)
    provider, _, region = pool.region.partition("/")
    disks = disk_parts(catalog, provider, region, host.disk_gib) if host.disk_gib else ()
    for part, part_usd in zip(disks, disk_parts_usd_per_month(problem, allocation), strict=True):
        quantity = hours / HOURS_PER_MONTH * part.units
        yield priced_line(CostKind.STORAGE, part.item, place, quantity, part.price, part_usd)
    if downloads := starts_usd_per_month(problem, allocation):
        gb = host.download_gb * starts_of(problem, allocation)
        yield priced_line(CostKind.NETWORK, "start_download", place, gb, nat, downloads)


def _nat_data(pool: Pool) -> tuple[str, str, str]:
    provider, _, region = pool.region.partition("/")
    return provider, "nat_data", region


def priced_line(
    kind: CostKind, item: str, place: str, quantity: float, price: ServicePrice | None, usd: float | None
) -> CostLine:  # fmt: skip
    """A line at a price of the catalog; None: it is not known."""
    if price is None:
        return CostLine(kind, item, place, quantity, "", None, usd)
    source = price.provenance
    origin = (source.source, source.as_of, source.quality.value)
    return CostLine(kind, item, place, quantity, price.unit, price.usd, usd, *origin)


def _sent(
    problem: Problem, pools: Sequence[Pool], shares: Mapping[str, Floats], answers: Answers
) -> Iterator[CostLine]:  # fmt: skip
    """Answers of pools of one region and price on their way to the users."""
    pool = pools[0]
    provider, region = pool.region.split("/")
    price = answers.catalog.egress_usd_per_gb(provider, region)
    count = answers_of(problem, pools, shares)
    gb = count * answers.gb(pool.http_requests)
    source = price.provenance
    usd = answers_usd_per_month(problem, pools, shares)
    sent_usd = usd if pool.http_requests == 1 else round(gb * price.usd_per_gb, 2)
    yield CostLine(
        CostKind.NETWORK, "answers", pool.region, gb, "GB", price.usd_per_gb, sent_usd, source.source, source.as_of,
        source.quality.value,
    )  # fmt: skip
    if pool.http_requests == 1:
        return
    millions, beyond = count * (pool.http_requests - 1) / _MILLION, round(usd - sent_usd, 2)
    yield CostLine(
        CostKind.NETWORK, "http_requests", pool.region, millions, "1M requests", beyond / millions, beyond, _BALANCER,
        assumes=_SPLIT,
    )  # fmt: skip


def _changed(problem: Problem, allocations: Sequence[Allocation]) -> Iterator[CostLine]:
    """Instances of which none of the type runs in the region today: one-off, spread over the horizon."""
    for allocation in allocations:
        type_in_region, count = allocation.pool.type_in_region, max(allocation.instances)
        if problem.running and not problem.running.get(type_in_region) and allocation.pool.switching_usd and count:
            usd = allocation.pool.switching_usd
            yield CostLine(
                CostKind.COMPUTE, "switching", type_in_region, count, "instance", usd, round(count * usd, 2), _SWITCHING
            )


def _charged(charge: StandingCharge) -> CostLine:
    """A standing charge as a line."""
    return CostLine(
        _STANDING_KINDS.get(charge.item, CostKind.NETWORK),
        charge.item,
        f"{charge.provider}/{charge.region}",
        charge.quantity,
        charge.unit,
        charge.usd_per_unit,
        charge.usd_per_month,
        charge.price_source,
        charge.price_as_of,
        charge.price_quality,
        assumes=charge.assumes,
    )


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
    """Cost of committed capacity idle if the demand falls by half, beyond what is idle as planned; None without any."""

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
