"""Inputs and results of the fleet optimiser."""

import math
from collections.abc import Mapping
from enum import StrEnum
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from advisor.cost.standing import RegionCharges
from advisor.plan.problem.limits import Constraint
from advisor.records import dataclass, field, replace
from advisor.workload.values import Limits, Scaling

Floats = npt.NDArray[np.float64]


class PurchaseOption(StrEnum):
    """Way of paying for instances, as the optimiser sees it."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    COMMITMENT = "commitment"
    OWNED = "owned"
    SERVERLESS = "serverless"
    MANAGED = "managed"

    @property
    def market(self) -> str:
        """Market whose limits of the account count it: spot, on demand, or none of them."""
        if self in (PurchaseOption.SERVERLESS, PurchaseOption.MANAGED):
            return ""
        return "spot" if self is PurchaseOption.SPOT else "on_demand"

    @property
    def ordered_as(self) -> "PurchaseOption":
        """Option as it is ordered: what is committed or owned as on demand, whose price alone is another."""
        return PurchaseOption.ON_DEMAND if self in (PurchaseOption.COMMITMENT, PurchaseOption.OWNED) else self

    @property
    def always(self) -> bool:
        """Whether it runs, and is billed, at all hours."""
        return self in (PurchaseOption.COMMITMENT, PurchaseOption.OWNED)

    @property
    def keeps_one(self) -> bool:
        """Whether a group of it has an instance at all hours: a variant of a managed endpoint does."""
        return self is PurchaseOption.MANAGED


@dataclass(frozen=True, slots=True, eq=False)
class HourClass:
    """Hours of the week that are planned alike, in the order of their load."""

    hours_per_week: int
    mean_rate: float
    """Requests per second expected."""
    planned_rate: float
    """Requests per second that the fleet must carry within the SLO: the busiest minute at the high edge."""
    low_rate: float
    """At the low edge of the forecast, in its busiest minute."""
    sent_rate: float | None = None
    """Requests per second whose answers have as many bytes as all that is sent; None: as the mean rate says."""

    @property
    def paid_rate(self) -> float:
        """Mean rate by which data transfer, and whatever else a region charges for requests, is paid."""
        return self.mean_rate if self.sent_rate is None else self.sent_rate


@dataclass(frozen=True, slots=True)
class Tariff:
    """One way of paying for instances of a pool."""

    paid: PurchaseOption
    usd_per_hour: float
    label: str = ""
    """Name of the commitment, of the serverless service, of the one that runs the endpoint."""
    break_even_ratio: float = 0.0
    """Commitments: share of the hours in which it must be in use to be cheaper than on demand."""
    interruption_usd_per_hour: float = 0.0
    """Spot: expected cost of interruptions: work done again, capacity bought elsewhere, and downloads."""
    interruptions_per_hour: float = 0.0
    """Spot: expected interruptions of a running instance, each of which downloads again what a start does."""
    disk_parts_usd_per_hour: tuple[float, ...] = ()
    """Volume that a running instance boots from, by the measures that it is charged by."""
    standing_usd_per_hour: float = 0.0
    """Charges of the region for each hour of a running instance."""
    stop_hours: float = 0.0
    """Time that an instance is billed after its last hour, until what scales has taken it away."""
    active_ratios: tuple[float, ...] = ()
    """Serverless: share of the time of each hour class in which a container runs and is paid for; empty: all of it."""
    source: str = ""
    as_of: str = ""
    quality: str = ""
    term_years: float = 0.0
    """Commitments: how long they oblige."""
    on_hosts: bool = field(init=False, repr=False, compare=False)
    """Whether a load balancer passes requests on to it; endpoints and containers are reached through a service."""
    all_usd_per_hour: float = field(init=False, repr=False, compare=False)
    """Price, disk, expected interruptions and hourly charges of the region of an instance that runs."""

    def __post_init__(self) -> None:
        """Sum up what is asked of every fleet that is tried."""
        own = self.usd_per_hour + self.disk_usd_per_hour
        usd = own + self.interruption_usd_per_hour + self.standing_usd_per_hour
        object.__setattr__(self, "on_hosts", self.paid not in (PurchaseOption.SERVERLESS, PurchaseOption.MANAGED))
        object.__setattr__(self, "all_usd_per_hour", usd)

    @property
    def disk_usd_per_hour(self) -> float:
        """Volume that an instance boots from."""
        return sum(self.disk_parts_usd_per_hour)


def _no_rates() -> Floats:
    return _NO_RATES


_NO_RATES = np.zeros(0)
_NO_RATES.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Instances of one type in one region with one replica layout: whatever serves alike and is priced alike."""

    key: str
    instance_type: str
    """Provider and type: what counts as a type."""
    type_in_region: str
    """Provider, region and type: what runs today or is owned, whatever its layout."""
    replicas: int
    """Of one instance."""
    mix_rates: Floats
    """Requests per second of one instance when it receives all the requests of one place; 0 where it is too slow:
    (places,)."""
    rates: Floats
    """The same for the requests of one prompt-length bucket alone: (places, buckets)."""
    tariffs: tuple[Tariff, ...]
    usd_per_request: float = 0.0
    """Data transfer, and what the HTTP requests of its items add to what a region charges for one."""
    http_requests: float = 1.0
    """Mean HTTP requests that a request is sent as."""
    lead_hours: float = 0.0
    """Time that an instance runs, and is billed, before it serves."""
    start_usd: float = 0.0
    """What each start of an instance downloads, through the gateway of a private network."""
    takes: Mapping[Constraint, float] = field(default_factory=dict)
    """Amount that an instance takes of each stated cap in proportion to instances."""
    quotas: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Units of each quota (its key, on_demand or spot) that one instance uses."""
    switching_usd: float = 0.0
    """USD a month for each instance of a type that does not run in the region today: one-off, over the horizon."""
    zones: int = 1
    """Zones of the region that the type is sold in, over which its instances are spread evenly."""
    supply: str = ""
    """Provider, region and accelerator: instances on spot that one shortage takes; "": those of its type there."""
    backend: str = ""
    """Provider, region, accelerator and engine: what is built, rolled out and watched as one; "": the pool."""
    replica_kind: str = ""
    """Kind of its replicas in its region: hosts of one kind are one backend of the generated code."""
    loss_rank: int = 0
    """Where its precision stands among those that keep less of the model's quality than the published one, in the order
    of the workload; 0: not among them."""
    is_beside: bool = False
    """Whether the workload allows an engine that is preferred to its own."""

    on_nodes: bool = False
    """Whether generated code starts its hosts as nodes of a cluster, unless a target is asked for."""
    has_gpu: bool = False
    """Whether it has NVIDIA accelerators, which nodes have alarms of their own for."""
    logs_requests: bool = True
    """Whether its server writes a line for each request."""

    most_rate: float = math.inf
    """Requests per second of one instance beyond which it is never taken to sustain more: what its chips can do."""
    base_rates: Floats = field(default_factory=_no_rates)
    """Requests per second that one instance carries of each place by itself, where that is more than the closed form
    says or it is taken to sustain more beside others; empty: what it is taken to sustain: (places,)."""
    region: str = field(init=False)
    """Provider and region."""

    def __post_init__(self) -> None:
        """Cut the region out of the type in a region."""
        object.__setattr__(self, "region", _region_of(self.type_in_region))

    def slower(self, headroom: float) -> "Pool":
        """The pool taken to sustain so many times less; where that is more, no more than its chips can do."""
        mix_rates = self.slower_mix_rates(headroom)
        rates = np.minimum(self.rates / headroom, self.most_rate) if self.rates.size else self.rates
        base_rates = self.base_rates if self.base_rates.size or headroom >= 1 else self.mix_rates
        return replace(self, mix_rates=mix_rates, rates=rates, base_rates=base_rates)

    def slower_mix_rates(self, headroom: float) -> Floats:
        """The ``mix_rates`` of the pool taken to sustain so many times less: (places,)."""
        return np.minimum(self.mix_rates / headroom, self.most_rate)

    @property
    def serves_all_places(self) -> bool:
        """Whether it is near enough to all users."""
        return min(self.mix_rates.tolist(), default=math.inf) > 0

    @property
    def spot_supply(self) -> str:
        """Name of the instances on spot that one shortage takes."""
        return self.supply or self.type_in_region


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Everything that decides the fleet."""

    hours: tuple[HourClass, ...]
    pools: tuple[Pool, ...]
    place_shares: Floats
    """(places,)"""
    bucket_shares: Floats
    """Of the requests of any place: (buckets,); empty without routing by prompt length."""
    transitions: Floats
    """How often in a week an hour of class a is followed by one of class b: (classes, classes)."""
    limits: Limits
    scaling: Scaling = field(default_factory=Scaling)
    quota_limits: Mapping[tuple[str, str], float] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)
    """Instances of each type in a region that run today."""
    running_by_purchase: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The same by (stand, way of paying)."""
    owned: Mapping[str, int] = field(default_factory=dict)
    """Instances of each type in a region that are paid for already."""
    max_regions: int | None = None
    """None: as many as it takes."""
    mix_providers: bool = True
    low_band: bool = True
    """Whether commitments are held to the low edge of the forecast."""
    charges: Mapping[str, RegionCharges] = field(default_factory=dict)
    """Charges of each region beside machines and answers, as far as they are known, by :func:`place_of`."""
    has_nodes: bool = field(init=False)
    """Whether any pool may run as nodes of a cluster."""
    starts_per_week: tuple[float, ...] = field(init=False)
    """Hours of each class that follow one of a lower class, less those of a higher one that follow it."""

    def __post_init__(self) -> None:
        """Count the starts."""
        starts = _starts_per_week(self.transitions.tobytes(), len(self.transitions))
        object.__setattr__(self, "has_nodes", any(pool.on_nodes for pool in self.pools))
        object.__setattr__(self, "starts_per_week", starts)

    @property
    def goes_to_zero(self) -> bool:
        """Whether nothing has to run in the quietest hours."""
        return self.scaling.scale_to_zero and self.hours[0].planned_rate <= 0

    @property
    def all_alike(self) -> bool:
        """Whether an instance of a pool sustains the same rate of any requests that it is sent."""
        return len(self.place_shares) == 1 and not len(self.bucket_shares)

    @property
    def parts(self) -> Floats:
        """Share of each bucket; one part where requests are not told apart by length."""
        return self.bucket_shares if len(self.bucket_shares) else _ONE_PART


@cache
def _region_of(type_in_region: str) -> str:
    """Provider and region of such a key."""
    return "/".join(type_in_region.split("/")[:2])


_ONE_PART = np.ones(1)
_ONE_PART.flags.writeable = False


@lru_cache
def _starts_per_week(transitions: bytes, classes: int) -> tuple[float, ...]:
    """Starts of each class, from how often an hour of one class is followed by one of another."""
    upward = np.triu(np.frombuffer(transitions).reshape(classes, classes), 1)
    return tuple((upward.sum(axis=0) - upward.sum(axis=1)).tolist())


def content(problem: Problem) -> tuple[object, ...]:
    """Key that tells problems of one demand and catalog apart: pools, ways of paying, and what they are held to."""
    pools = tuple(
        (pool.key, pool.tariffs, pool.mix_rates.tobytes(), pool.rates.tobytes(), pool.lead_hours, pool.start_usd)
        for pool in problem.pools
    )
    has_base = problem.limits.on_demand_base_ratio > 0
    base = tuple(pool.base_rates.tobytes() for pool in problem.pools) if has_base else ()
    return pools, base, *constraints_of(problem)


def constraints_of(problem: Problem) -> tuple[object, ...]:
    """Constraints on fleets of a problem, whichever pools they are chosen from."""
    limits = (problem.limits, problem.scaling, problem.max_regions, problem.mix_providers, problem.low_band)
    stated = (tuple(sorted(problem.quota_limits.items())), tuple(sorted(problem.running.items())))
    return limits, stated, tuple(hour.planned_rate for hour in problem.hours)


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Instances of one pool under one tariff."""

    pool: Pool
    tariff: Tariff
    instances: tuple[int, ...]
    """In each hour class."""


@dataclass(frozen=True, slots=True, eq=False)
class FleetSolution:
    """The fleet found."""

    allocations: tuple[Allocation, ...]
    shares: Mapping[str, Floats]
    """Of each pool used: share of each place's bucket in each hour class, (classes, places, buckets or 1)."""
    objective_usd_per_month: float
    bound_usd_per_month: float
    proven: bool

    @property
    def gap_ratio(self) -> float:
        """Largest possible saving on this fleet, as a share of its cost; 0 is proven optimal."""
        if self.proven or self.objective_usd_per_month <= 0:
            return 0.0
        return max(0.0, 1 - self.bound_usd_per_month / self.objective_usd_per_month)


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Value that a limit would need for a fleet to exist."""

    constraint: Constraint
    detail: str
    """Which quota, ...; "" where there is one."""
    limit: float
    needed: float
    unit: str


@dataclass(frozen=True, slots=True)
class Infeasible:
    """No fleet keeps to everything."""

    conflict: tuple[Constraint, ...]
    """Named constraints that cannot hold together, while those left after giving up any one of them can."""
    relaxations: tuple[Relaxation, ...]
    """For each of them that is a number: the smallest change that helps by itself, the smallest share first."""
    given_up: tuple[Constraint, ...] = ()
    """Of the others: those without which alone there is a fleet."""
