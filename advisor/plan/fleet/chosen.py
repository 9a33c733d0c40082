"""The chosen fleet as values, layout and scaling included: what a plan holds under ``fleet``, under the same names."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

from advisor.cost.response_cache import PlannedCache
from advisor.cost.standing import StandingCharge, cache_usd_per_month
from advisor.demand.values import Backtest, Unit
from advisor.performance import Interval
from advisor.plan.fleet.costs import BatchPlan, CostLine, FleetCost
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field
from advisor.workload.values import WIDE_PRECISIONS

REPLACED_AT_A_TIME = 0.25
"""Share of a group's instances that a rolling replacement may start beside them."""
FEWEST_SUBNETS = 2
"""A load balancer that survives a zone needs two."""
_SURGE_PER_ZONE = 2
"""Instances that an update of a managed node group of EKS starts in each zone of its subnets, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Place, machine, accelerator, precision, engine and parallelism of equal replicas."""

    provider: str
    region: str
    instance_type: str
    accelerator: str
    accelerator_count: float
    """Accelerators of one instance."""
    partition: str = ""
    """Slices that every accelerator is cut into, one for each replica: mig-1g.10gb; "" for none."""
    replicas_per_instance: int
    tensor_parallel: int
    pipeline_parallel: int
    expert_parallel: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Ranks hold whole experts in place of a part of each."""
    precision: str
    kv_precision: str
    engine: str
    engine_version: str
    context_tokens: int
    """Longest request served, prompt and answer together."""
    max_concurrency: int
    """Requests that one replica runs at the same time."""
    http_requests_per_call: float = field(default=1.0, metadata=OMITTED_AT_DEFAULT)
    """Mean HTTP requests that clients send for one of the demand: its items, where the server takes one each."""
    memory_utilization: float
    """Share of an accelerator's memory that the engine may use."""
    weights_gib: float
    """Weights of one replica as loaded."""
    checkpoint_gib: float
    """Download, kept on disk."""
    disk_gib: int | None = None
    """Boot disk of an instance, as priced and ordered: without the weights where local disks hold them; None: of a seat
    on a shared machine, which has one for all."""
    loading_gib: float
    """Most that one accelerator holds while weights are loaded."""
    adapters_gib: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Slots for LoRA adapters on the accelerators of one replica."""
    weights: str = ""
    """Repository on the hub that its engine loads; "" where the user has to name one."""
    weights_scheme: str = ""
    """How the weights are quantised; "" for published ones."""
    weights_quality_ratio: float | None = None
    """Share of the benchmark scores of published weights that they keep; None where it is not known."""
    purchase: str
    """How it is paid for: on_demand, spot, commitment, owned, serverless or managed."""
    zones: int = 1
    """Availability zones that the instances spread over."""
    zone_names: tuple[str, ...] = ()
    """Zones of the region in which the type is sold; empty: not known by name."""
    zones_verified: bool = False
    """Whether a source lists the type in these zones; otherwise those of the region are assumed."""

    @property
    def has_unknown_weights(self) -> bool:
        """Whether no repository is known that holds the weights in this precision."""
        return not self.weights and self.precision not in WIDE_PRECISIONS

    @property
    def type_in_region(self) -> str:
        """Provider, region and type."""
        return f"{self.provider}/{self.region}/{self.instance_type}"

    @property
    def backend(self) -> tuple[str, str, str, str]:
        """Backend that an operator has to keep alive: provider, region, accelerator and engine."""
        return self.provider, self.region, f"{self.accelerator} {self.partition}".rstrip(), self.engine


def while_replaced(instances: int, surge: int = 0) -> int:
    """Instances of a group, and those that a rolling replacement starts before it stops others.

    A quarter of them, or one; no fewer than *surge*, see :func:`surge_of_zones`.
    """
    return instances + max(1, surge, math.ceil(instances * REPLACED_AT_A_TIME))


def surge_of_zones(provider: str, zone_names: Sequence[str], zones: int, *, on_nodes: bool) -> int:
    """Instances that a replacement starts because it goes on in all zones at once; 0 where it does not.

    A regional group of Google's takes no surge between 0 and the number of its zones (``maxSurge`` of
    https://cloud.google.com/compute/docs/instance-groups/rolling-out-updates-to-managed-instance-groups). A managed
    node group of EKS starts up to two in each zone of its subnets
    (https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html, read in November 2026). A node
    pool of GKE starts one in all, as its code says. *zone_names*: zones that sell its type, over which the group is
    distributed; empty where they are not known. *zones*: fewest zones that its instances are spread over. *on_nodes*:
    whether its instances are nodes of a cluster whose groups the provider replaces.
    """
    if provider == "gcp" and not on_nodes:
        return len(zone_names) or zones
    if provider == "aws" and on_nodes:
        return _SURGE_PER_ZONE * max(FEWEST_SUBNETS, zones)
    return 0


class Policy(StrEnum):
    """Scaling policy of a fleet; of two that cost the same the first one is recommended."""

    STATIC = "static"
    """The same number at all times."""
    SCHEDULED = "scheduled"
    """The clock: numbers by hour of the week, ordered ahead."""
    REACTIVE = "reactive"
    """The load as it is seen, with headroom for what rises before new instances serve."""


@dataclass(frozen=True, slots=True)
class Change:
    """Number of instances that serve from this hour of the week on."""

    hour_of_week: int
    """From Monday 00:00 UTC."""
    instances: int


@dataclass(frozen=True, slots=True)
class GroupSchedule:
    """The timetable of equal instances that are paid for in one way."""

    name: str
    """Of the group in the fleet."""
    ordered_minutes_ahead: int
    """How long before its hour an instance has to be ordered."""
    stopped_minutes_after: int = field(default=0, kw_only=True, metadata=OMITTED_AT_DEFAULT)
    """How long it is paid for after its last hour."""
    changes: tuple[Change, ...]
    """In the order of the week, which begins anew after the last one; hour 0 alone where the number never changes."""


@dataclass(frozen=True, slots=True)
class ReactivePolicy:
    """Capacity that follows the load as observed."""

    delay_s: float
    """From a rise of the load until capacity ordered because of it serves, at the upper edge."""
    missed_ratio: float
    """Share of the requests that would come before their capacity if there were no headroom."""
    headroom_requests_per_second: float
    """Capacity kept ahead of the load, so that no more come too early than the SLO lets miss."""
    minimum_warm_replicas: int
    """Replicas of the main type that always run."""
    usd_per_month: float
    """Expected; headroom, and instances from their order on, are paid for."""


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """The policies side by side, for the same fleet."""

    recommended: Policy
    reason: str
    schedule: tuple[GroupSchedule, ...]
    scheduled_usd_per_month: float
    """Of the plan."""
    static_usd_per_month: float
    """Of the numbers of the busiest hours at all hours."""
    reactive: ReactivePolicy | None
    warm_pool: ReactivePolicy | None
    """Reactive, with instances that were stopped with their disks, which are paid for."""
    reactive_unknown: str
    """Why there is nothing to say of the two; "" where there is."""


@dataclass(frozen=True, slots=True)
class PlannedHours:
    """Hours of the week that are planned alike, the quietest class first."""

    hours_per_week: int
    mean_requests_per_second: float
    """Expected on average."""
    planned_requests_per_second: float
    """What the fleet carries within the SLO: the busiest minute at the upper edge of the forecast."""
    low_requests_per_second: float
    """The busiest minute at the lower edge, which commitments are held to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetGroup(Layout):
    """Equal instances that are paid for in one way."""

    name: str
    """provider/region/type/precision/layout/purchase: stable from plan to plan."""
    commitment: str
    """Instrument, term and payment of a commitment; the service of serverless; "" for others."""
    break_even_ratio: float | None
    """Share of the hours from which a commitment is cheaper than on demand; None for others."""
    instances: tuple[int, ...]
    """In each hour class."""
    request_shares: tuple[float, ...]
    """Of all requests, in each hour class: the weights by which they are routed."""
    bucket_shares: tuple[float, ...]
    """Of each prompt-length bucket in the busiest hours."""
    requests_per_second_per_replica: Interval
    """Largest rate that one replica sustains within the SLO under random arrivals."""
    planned_requests_per_second_per_instance: float
    """What one instance is planned to carry: after bursts, network and what the replay asked for."""
    mix_requests_per_second_per_instance: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Rate of one instance for all its places and lengths in their proportion, which failures are counted with.

    None: the planned one."""
    limited_by: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Limit that keeps a replica below what its accelerators sustain: ``network 2.5 Gbit/s``; "": none."""
    uncounted_gbit_per_second: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Traffic of an instance in the busiest hours over a network that is not known, where it may matter; 0: none."""
    not_generated: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Why no code is generated for it; "" where it is."""
    cold_start_seconds: Interval | None
    """From the order to the first answer; None where nothing in the plan depends on it."""
    interruptions_per_instance_hour: float
    """Expected; 0 for everything but spot."""
    interruptions_source: str = ""
    """Spot: what is published of interruptions, by whom and when, or what is assumed; "" for others."""
    insufficient_capacity_ratio: float | None = None
    """Share of orders on spot that are not filled; None: unknown, since no provider publishes it."""
    evidence: str
    instance_usd_per_hour: float
    compute_usd_per_month: float
    interruptions_usd_per_month: float
    price_source: str
    price_as_of: str
    price_quality: str

    def planned_requests_per_second(self, hour_class: int) -> float:
        """Requests per second that its instances are planned to carry in a class of hours."""
        return self.instances[hour_class] * self.planned_requests_per_second_per_instance


@dataclass(frozen=True, slots=True)
class ConstraintUse:
    """A stated limit and what the fleet takes of it."""

    name: str
    detail: str
    """Which quota, ...; "" where there is one."""
    limit: float
    used: float
    unit: str
    binding: bool
    """Whether nothing more of it is left, or for a floor nothing less would do."""


@dataclass(frozen=True, slots=True)
class StaticPeak:
    """The type that serves most, alone on demand around the clock, as many as the limits ask for."""

    instance_type: str
    region: str
    instances: int
    compute_usd_per_month: float
    saved_ratio: float
    """Share of it that the fleet's compute saves."""
    within_slo_ratio: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Share of the requests of its replay; None: not replayed."""


class ReplayGap(StrEnum):
    """Limit that the least share of a replay is below."""

    NONE = ""
    """None: the replay confirms the fleet."""
    MARGIN = "margin"
    """The share that is wanted, ``slo.within_ratio`` and a margin, but not the former: a fleet with less margin."""
    SLO = "slo"
    """``slo.within_ratio``: the fleet is refused."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A replay of the fleet, request by request, over a sample of the week that the busiest stretch is half of."""

    requests: int
    minutes: float
    within_slo_ratio: float
    """Share of a week's requests, for which those of the sample stand by their class of hours; without those that the
    rehearsed interruption of a spot instance cuts off."""
    ttft_p95_ms: float | None
    tpot_p95_ms: float | None
    headroom_factor: float
    """By how much less a replica is taken to sustain than the closed form says, at most: raised until the replay finds
    enough of the requests within the SLO."""
    reached: bool
    """Whether each of these shares is ``slo.within_ratio`` and a quarter of the rest, as the requests are synthetic; of
    the rest without the share that is late on any number of these machines."""
    arrivals: str
    """What was replayed, in words."""
    busiest_within_slo_ratio: float
    """Share of the requests of the busiest stretch by themselves."""
    without_one_within_slo_ratio: float | None = None
    """Least share in the busiest stretch while one machine is gone, each in turn; None where none need be spared."""
    without_part_within_slo_ratio: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Least share while a zone or a spot supply is gone, or in quieter hours a machine, each in turn, of the load that
    limits ask for then; None where none need be spared, or another share falls short."""
    finished_hours: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Batch work: from the start of a run to the end of its last item; None where that is after the deadline."""
    unavoidable_late_ratio: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Share of the requests that is late on any number of these machines, even where each serves no other request."""
    real_time_factor_p95: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Seconds of transcripts ÷ those of their recordings; None: the SLO has no such target."""
    short: ReplayGap = field(default=ReplayGap.NONE, metadata=OMITTED_AT_DEFAULT)
    """Limit that a share misses: the margin, where the fleet is to be run, or the SLO, where it is refused."""

    @property
    def least(self) -> tuple[float, str]:
        """The least of its shares, and of what it is: "" of the week."""
        without_one, without_part = self.without_one_within_slo_ratio, self.without_part_within_slo_ratio
        shares = (
            (self.within_slo_ratio, ""),
            (self.busiest_within_slo_ratio, "in its busiest stretch"),
            (1.0 if without_one is None else without_one, "with one machine gone"),
            (1.0 if without_part is None else without_part, "with a zone or a spot supply gone"),
        )
        return min(shares, key=lambda share: share[0])


QUANTILES: Mapping[str, float] = {
    "p5_ms": 0.05, "p25_ms": 0.25, "p50_ms": 0.5, "p75_ms": 0.75, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99,
    "p999_ms": 0.999,
}  # fmt: skip
"""Quantile of each field of a distribution."""


@dataclass(frozen=True, slots=True)
class LatencyDistribution:
    """A latency of a week's requests, by those that the fleet's replay answered, at fixed percentiles, in ms."""

    name: str
    """``ttft``, ``tpot`` or ``e2e``; of models that answer in one pass ``latency``."""
    requests: int
    """Answers that it is of: for ``tpot`` those of two tokens or more. Those that a spot loss cut off are
    among them, and not in the share of the requests within the SLO."""
    within_target_ratio: float | None
    """Share of them within this latency's own target; None: there is none."""
    p5_ms: float
    p25_ms: float
    p50_ms: float
    p75_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def quantiles(self) -> Mapping[float, float]:
        """Quantile → ms, in ascending order."""
        return {quantile: getattr(self, name) for name, quantile in QUANTILES.items()}


LARGEST_RATIO = 4.0
"""How far beyond its plan a fleet is tried: it holds this much at least where that is the factor found."""


@dataclass(frozen=True, slots=True)
class HoldsUpTo:
    """Excess over its plan up to which the fleet still keeps the SLO, found by replay."""

    peak_ratio: float
    """Times the busiest minute of today, whatever it grows to."""
    dispersion_ratio: float
    """Times the measured burstiness within a minute."""


@dataclass(frozen=True, slots=True)
class Spare:
    """Instances of a group that the load alone does not need."""

    group: str
    instances: int
    """In the busiest hours."""
    why: str
    """The rule that keeps them: survive, spot_reroute, min_replicas, zones, max_changed_instances; replay; or none."""
    usd_per_month: float
    """Cost of their compute in the hours that do not need them."""
    without_within_slo_ratio: float | None = None
    """Of ``replay``: least share of the requests that a replay without them finds within the SLO."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Capacity left after a failure, in the hours that it hits hardest."""

    of: str
    """The part that fails: one instance of a group, one zone of a region, one spot supply."""
    left_ratio: float
    """Rate that the rest sustains ÷ planned rate."""
    hour_class: int
    """The first class of the hours that it hits hardest."""
    hour_classes: tuple[int, ...] = ()
    """All classes of hours that it hits as hard; empty in plans that name the first alone."""


@dataclass(frozen=True, slots=True)
class Cheapest:
    """The cheapest fleet where a simpler one is recommended."""

    groups: tuple[str, ...]
    """In words."""
    total_usd_per_month: float
    usd_per_month_more: float
    """Recommended minus cheapest."""
    backends: int
    """Of the cheapest."""
    lossy_precisions: tuple[str, ...] = ()
    """Precisions of the cheapest that lose quality, named by the workload after those of the recommended fleet."""
    other_engines: tuple[str, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Engines of the cheapest that are not the preferred ones of their accelerators, where it has more backends of such
    than the recommended fleet."""


@dataclass(frozen=True, slots=True)
class QuotaNeed:
    """Use of a quota of the account in a region by the busiest hours' instances."""

    provider: str
    region: str
    code: str
    """As the provider names it."""
    name: str
    unit: str
    needed: float
    account_limit: float | None
    """As the workload states it, or else as the last refresh found it; None: neither."""
    needed_while_replaced: float
    """With the instances that a rolling replacement starts."""

    @property
    def most(self) -> float:
        """Most of it that is in use at a time, while instances are replaced."""
        return max(self.needed, self.needed_while_replaced)


@dataclass(frozen=True, slots=True)
class DoubtfulPrice:
    """A price that is not listed, or old."""

    group: str
    reason: str
    low_ratio: float
    """Today's price may be this share of it."""
    high_ratio: float
    runner_up: tuple[str, ...]
    """Fleet on listed and recent prices alone, in words; else on old list prices; empty where there is none."""
    runner_up_usd_per_month: float | None
    decides: bool = True
    """Whether the fleet may not be the cheapest, or be beyond the budget, at the upper end of what it may be today."""
    runner_up_replayed: bool = field(default=True, metadata=OMITTED_AT_DEFAULT)
    runner_up_is_old: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Whether its price is an old one, so that ``listed_only`` would leave it out."""
    break_even_usd_per_hour: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Price at which the rival of :class:`PriceRange` costs as much; None: it cannot rise, or no option would.

    Of several prices that may rise, each rises by the same part of its own range."""
    budget_usd_per_hour: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Price above which the fleet is beyond ``limits.max_usd_per_month``, likewise; None: at no price of the range."""

    @property
    def holds_below_usd_per_hour(self) -> float:
        """Price up to which the fleet is the cheapest and within the budget; infinite where it is at any."""
        ends = (self.break_even_usd_per_hour, self.budget_usd_per_hour)
        return min((end for end in ends if end is not None), default=math.inf)


@dataclass(frozen=True, slots=True)
class PriceRange:
    """Total of a fleet over the range of its doubtful prices; parts other than compute are as planned."""

    low_usd_per_month: float
    """With each at its lower end."""
    high_usd_per_month: float
    """With each at its upper end."""
    rival: str
    """Option that is the first to cost less as these prices rise, in words; "" where none would."""
    rival_usd_per_month: float | None
    """Its total at those upper ends, all other prices as planned."""
    rival_replayed: bool
    rival_in_doubt: bool
    """Whether its own price is derived, recalled or old."""


@dataclass(frozen=True, slots=True)
class ForecastUsed:
    """Forecast that the hours rest on."""

    method: str
    interval_level: float
    horizon_days: float
    backtest: tuple[Backtest, ...]
    growth_ratio: float = field(default=1.0, metadata=OMITTED_AT_DEFAULT)
    """Busiest minutes at the end of the horizon ÷ those of today: stated growth, or that of a trend."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The cheapest fleet over the hours of a week."""

    groups: tuple[FleetGroup, ...]
    hour_classes: tuple[PlannedHours, ...]
    schedule: tuple[int, ...]
    """Hour class of each hour of the week, from Monday 00:00 UTC."""
    places: tuple[str, ...]
    place_shares: tuple[float, ...]
    bucket_max_input_tokens: tuple[float, ...]
    """Longest prompt of each bucket; empty where requests are not told apart."""
    cost: FleetCost
    constraints: tuple[ConstraintUse, ...]
    proven: bool
    """Whether no fleet is cheaper that a replay could confirm."""
    gap_ratio: float | None
    """Share of the cost that the search leaves open: 0 where the fleet is proven, None where that is not known.

    Replicas of a cheaper fleet may carry more than the planned rates, which the bound counts with.
    """
    bound_usd_per_month: float
    """No fleet that carries the planned rates costs less."""
    pools_considered: int
    """Types × regions × layouts that could serve, before those that others beat were left out."""
    static_peak: StaticPeak | None
    confirmed: Confirmation | None
    forecast: ForecastUsed
    scaling: ScalingPlan
    standing: tuple[StandingCharge, ...] = ()
    """Charges of each region, whatever machines run there."""
    holds_up_to: HoldsUpTo | None = None
    """None: not looked for."""
    spare: tuple[Spare, ...] = ()
    failures: tuple[Failure, ...] = ()
    cheapest: Cheapest | None = None
    """None: the recommended fleet is the cheapest."""
    doubtful_prices: tuple[DoubtfulPrice, ...] = ()
    price_range: PriceRange | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """None: no price is in doubt."""
    quotas: tuple[QuotaNeed, ...] = ()
    unknown_quotas: tuple[str, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Instances of a provider with quotas, in words, of which none is known: ``spot p6-b300.48xlarge in us-west-2``."""
    cost_lines: tuple[CostLine, ...] = ()
    """Those in the total add up to it."""
    latencies: tuple[LatencyDistribution, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Latencies of the replay that ``confirmed`` tells of; empty of brief plans and of fleets that do not hold."""
    response_cache: PlannedCache | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """In front of the fleet, priced among its standing charges; None: there is none."""
    unit: Unit = field(default=Unit.TOKENS, metadata=OMITTED_AT_DEFAULT)
    """Of the requests: what ``usd_per_million_output_tokens`` counts is items of it, where answers come whole."""
    batch: BatchPlan | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """None: requests are answered when they come."""

    @property
    def planned_gap_ratio(self) -> float:
        """How much cheaper a fleet that carries the planned rates may be at most."""
        usd = self.cost.total_usd_per_month
        return max(0.0, 1 - self.bound_usd_per_month / usd) if usd > 0 and not self.proven else 0.0

    @property
    def router_weights(self) -> Mapping[str, float]:
        """Weight of each group for a router, by name: its share of the requests of the busiest hours.

        Of a group that runs in quieter hours alone it is what gives it its share there beside groups with a weight;
        where none of these runs then, what its planned rate is of that of the busiest hours.
        """
        weights = {group.name: group.request_shares[-1] for group in self.groups if group.instances[-1]}
        whole = sum(group.planned_requests_per_second(-1) for group in self.groups)
        for at in reversed(range(len(self.hour_classes))):
            running = [group for group in self.groups if group.instances[at]]
            weighted = [group for group in running if group.name in weights]
            share = sum(group.request_shares[at] for group in weighted)
            weight = sum(weights[group.name] for group in weighted)
            for group in running:
                if group.name not in weights:
                    own, planned = group.request_shares[at], group.planned_requests_per_second(at)
                    weights[group.name] = own * weight / share if share > 0 else planned / whole if whole > 0 else own
        return {group.name: weights.get(group.name, 0.0) for group in self.groups}

    @property
    def is_batch_alone(self) -> bool:
        """Whether all that it serves is batch work."""
        return self.batch is not None and self.batch.idle_items is None

    @property
    def parts_usd_per_month(self) -> Mapping[str, float]:
        """Parts of the total, by name, the response cache apart from other standing charges."""
        parts, cache = self.cost.parts_usd_per_month, cache_usd_per_month(self.standing)
        if not cache:
            return parts
        return {**parts, "standing": round(parts["standing"] - cache, 2), "response_cache": cache}
