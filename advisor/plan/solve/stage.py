"""Fleet stage of the pipeline, from served candidates to the cheapest fleet: it holds the optimiser together.

Prompts are sorted into buckets, instances that run or are paid for counted, and the served candidates cut to a short
list, before anything is solved.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from advisor.candidates import Candidate
from advisor.catalog import Catalog
from advisor.catalog.values import Offer, Purchase
from advisor.cost import owned_commitments
from advisor.cost.services import counted_gib
from advisor.cost.standing import Machines, RegionCharges
from advisor.demand.synthetic_trace import MOST_REQUESTS
from advisor.demand.values import TokenHistogram
from advisor.deployable import changes_a_week, most_changes
from advisor.performance.evidence import Served
from advisor.performance.model import PerformanceModel
from advisor.performance.queueing import bursts_of
from advisor.performance.stage import rates_within
from advisor.plan.cold_start import ColdStart
from advisor.plan.geography import Geography, geography, slo_after_network
from advisor.plan.problem.charges import charges_at, place_of, provider_of
from advisor.plan.problem.formulas import least_instances, mix_rate
from advisor.plan.problem.hours import Week, at_all_hours
from advisor.plan.problem.pools import in_zones, pools_of, quota_key
from advisor.plan.problem.serverless_pools import serverless_pools, serverless_regions
from advisor.plan.problem.supply import PoolSet, RateTable, Supply, type_in_region_of
from advisor.plan.problem.values import FleetSolution, Floats, Pool, Problem
from advisor.plan.replay.engine import Timelines
from advisor.plan.values import ComparedLatency, Plan
from advisor.records import dataclass, field, replace
from advisor.requirements import Requirements
from advisor.workload.scope import allows
from advisor.workload.values import Deployment, Limits, Routing, Workload

_STATED_PURCHASES = {purchase.value: purchase for purchase in (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.COMMITMENT)}
"""Ways of paying for what runs today."""
EDGES = (0.0, 0.5, 0.8, 0.95, 1.0)
"""Shares of the requests at which prompts are cut: finer where the long ones are, which decide the time to the first
token and fill the cache."""
BRIEF_OPTIONS = 10


def best_layouts(served: Sequence[Served], rates: Floats, limits: Limits) -> list[int]:
    """Positions of the candidates that no other layout of the same instance type and engine beats.

    Two layouts of a type cost the same but for their checkpoints, so the one whose instances sustain more of everything
    and whose checkpoint is no larger is as good; of two equals the earlier one, whose precision the workload prefers.
    Checkpoints are compared in steps of a disk: no precision that is slower is searched for a shorter download.

    Args:
        served: the candidates.
        rates: requests per second of a replica in every case, (cases, candidates); without cases no region that is
            near enough sells any, as is said of each later.
        limits: the number of replicas may matter beside what they sustain.
    """
    if not rates.size:
        return list(range(len(served)))
    replicas = np.array([option.candidate.replicas_per_instance for option in served], dtype=np.float64)
    copies = np.array([_copies(able.candidate) for able in served], dtype=np.float64)
    disks = np.array([counted_gib(option.candidate.memory.checkpoint_gib) for option in served])
    by_type: dict[tuple[str, str, str], list[int]] = {}
    for at, option in enumerate(served):
        machine = option.candidate.instance_type
        by_type.setdefault((machine.provider, machine.name, option.candidate.engine), []).append(at)
    kept: list[int] = []
    for members in by_type.values():
        kept += _unbeaten(np.array(members), rates, (replicas, copies), disks, limits)
    return sorted(kept)


def _copies(candidate: Candidate) -> int:
    """Replicas of an instance that count as copies; slices of one machine fail together, and count as one."""
    return 1 if candidate.partition else candidate.replicas_per_instance


def _unbeaten(
    members: np.ndarray, rates: Floats, counts: tuple[Floats, Floats], disks: Floats, limits: Limits
) -> list[int]:  # fmt: skip
    """Positions of the layouts of a type that no other beats; *counts* are replicas and copies of an instance."""
    own, count = (rates[:, members] * counts[0][members]).T, counts[1][members]
    beats = (own[None, :, :] >= own[:, None, :]).all(axis=2)
    beats &= disks[members] <= disks[members][:, None]
    if limits.min_replicas > 1:
        beats &= count >= count[:, None]
    if limits.max_replicas is not None:
        per_replica = rates[:, members].T
        beats &= (per_replica[None, :, :] >= per_replica[:, None, :]).all(axis=2)
    earlier = np.arange(len(members)) < np.arange(len(members))[:, None]
    return [int(at) for at in members[~(beats & (~beats.T | earlier)).any(axis=1)]]


def prompt_buckets(tokens: TokenHistogram) -> tuple[tuple[float, TokenHistogram], ...]:
    """Share and lengths of each bucket, the shortest prompts first; one bucket where all prompts are alike."""
    order = np.argsort(tokens.input_tokens, kind="stable")
    middle = np.cumsum(tokens.probability[order]) - tokens.probability[order] / 2
    bucket = np.clip(np.searchsorted(EDGES, middle, side="right") - 1, 0, len(EDGES) - 2)
    buckets = []
    for at in sorted(set(bucket.tolist())):
        members = order[bucket == at]
        share = float(tokens.probability[members].sum())
        buckets.append(
            (
                share,
                TokenHistogram(
                    tokens.input_tokens[members],
                    tokens.output_tokens[members],
                    tokens.probability[members] / share,
                    tokens.prefix_cache_hit_ratio,
                ),
            )
        )
    return tuple(buckets)


@dataclass(frozen=True, slots=True, eq=False)
class ExistingFleet:
    """Existing instances by provider, region and type: those that run, those that are paid for."""

    running: Mapping[str, int]
    owned: Mapping[str, int]
    running_by_purchase: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Instances that run, by (stand, way of paying)."""


@dataclass(frozen=True, slots=True, eq=False)
class Formulation:
    """The problem as it was solved, and where its parts come from."""

    problem: Problem
    pool_set: PoolSet
    week: Week
    geography: Geography
    bucket_edges: tuple[float, ...]
    """Longest prompt of each bucket, in tokens."""
    supply: Supply
    """Every layout, of which the pools are the fastest."""

    def of(self, pools: Iterable[Pool]) -> "Formulation":
        """The question with these pools alone."""
        return replace(self, problem=replace(self.problem, pools=tuple(pools)))

    def at_all_hours(self) -> "Formulation":
        """The question with the same instances at all hours; without services, which follow the load by themselves."""
        week = at_all_hours(self.week)
        pools = (pool for pool in self.problem.pools if not any(tariff.active_ratios for tariff in pool.tariffs))
        problem = replace(self.problem, hours=week.classes, transitions=week.transitions, pools=tuple(pools))
        return replace(self, week=week, problem=problem)

    def by_hours(self, solution: FleetSolution) -> tuple["Formulation", FleetSolution]:
        """A fleet with the same instances at all hours as one of the demand's own hour classes; others as they are."""
        week = self.week.by_hours
        if week is None:
            return self, solution
        classes = len(week.classes)
        groups = tuple(replace(group, instances=group.instances * classes) for group in solution.allocations)
        shares = {key: np.repeat(share, classes, axis=0) for key, share in solution.shares.items()}
        return self.in_week(week), replace(solution, allocations=groups, shares=shares)

    def in_week(self, week: Week) -> "Formulation":
        """The question with the hour classes of another week."""
        return replace(self, week=week, problem=replace(self.problem, hours=week.classes, transitions=week.transitions))


@dataclass(frozen=True, slots=True)
class Effort:
    """Effort that a fleet is worth."""

    rehearsed_requests: int = MOST_REQUESTS
    kinds_tried: int = 8
    """Kinds of replicas whose headroom is looked for by themselves."""
    holds_up_to: bool = True
    """Whether to look for how far beyond its plan the fleet holds."""
    in_full: bool = True
    """Whether the fleet that is chosen is replayed to the end, and the cheapest one looked for beside the simplest.

    Otherwise it is replayed until it is clear that it holds, and the simplest one is enough where it is preferred.
    """
    every_kind: bool = True
    """Whether fleets of each kind of replica are looked for with fewer instances than the closed form asks for."""
    options: int | None = None
    """Options that are looked for, the cheapest; None: all."""
    at_a_time: int = 1
    """Parts of an answer that are worked out at the same time, in processes of their own; 1: in this one."""


@dataclass(frozen=True, slots=True, eq=False)
class PlanningContext:
    """Context that a question is posed in."""

    requirements: Requirements
    catalog: Catalog
    model: PerformanceModel
    standing: ExistingFleet
    effort: Effort = Effort()
    timelines: Timelines = field(default_factory=Timelines)
    """Replicas that were simulated, for this question and others."""
    slower: tuple[ComparedLatency, ...] = ()
    """Latencies of today's machines that are measured far above their predictions."""


def supply_of(
    context: PlanningContext, served: Sequence[Served], offers: Mapping[tuple[str, str], tuple[Offer, ...]]
) -> Supply:  # fmt: skip
    """Every layout that serves with its rates: what any question about the same demand chooses from."""
    requirements, catalog, model = context.requirements, context.catalog, context.model
    workload = requirements.workload
    regions = {(offer.provider, offer.region) for group in offers.values() for offer in group}
    where = geography(workload, catalog, sorted(regions | serverless_regions(workload, catalog)))
    buckets = prompt_buckets(requirements.demand.tokens) if workload.routing is Routing.BY_PROMPT_LENGTH else ()
    lengths = buckets if len(buckets) > 1 else ()
    rates = _rates(requirements, served, model, where, [tokens for _, tokens in lengths])
    return Supply(
        requirements=requirements,
        catalog=catalog,
        served=served,
        offers=offers,
        rates=_rate_table(rates, where),
        geography=where,
        owned=context.standing.owned,
        running=context.standing.running,
        cold_starts=[None] * len(served),
        buckets=tuple(lengths),
    )


def narrowed(supply: Supply, workload: Workload) -> Supply:
    """The part of a supply that a workload allows: the same demand under other holds and ways of paying.

    Args:
        supply: with all that the workload allows, and more.
        workload: as :func:`advisor.workload.scope.in_scope` gives it.
    """
    machines = supply.catalog.instance_types
    offers = {
        key: kept
        for key, group in supply.offers.items()
        if allows(workload, machines[key])
        and (kept := tuple(offer for offer in group if not workload.regions or offer.region in workload.regions))
    }
    at = [
        index
        for index, served in enumerate(supply.served)
        if (served.candidate.instance_type.provider, served.candidate.instance_type.name) in offers
        and served.candidate.is_in(workload.precisions)
    ]
    return supply.take(at, offers, replace(supply.requirements, workload=workload))


def formulate(context: PlanningContext, supply: Supply, week: Week, *, every: bool = False) -> Formulation:
    """Formulate a question: pools of the layouts that no other beats, or of every layout."""
    requirements, model, standing = supply.requirements, context.model, context.standing
    workload, where = requirements.workload, supply.geography
    lengths = [tokens for _, tokens in supply.buckets]
    unbeaten = best_layouts(supply.served, supply.rates.cases(), workload.limits)
    layouts = supply if every else supply.take(unbeaten)
    layouts = replace(layouts, cold_starts=_cold_starts(layouts, workload.purchase, week))
    services = serverless_pools(
        layouts, week, model, lambda served: _rate_table(_rates(requirements, served, model, where, lengths), where)
    )
    most_regions = _most_regions(workload)
    pool_set = in_zones(pools_of(layouts).plus(services), workload.limits, most_regions)
    problem = Problem(
        hours=week.classes,
        pools=pool_set.pools,
        place_shares=np.array(where.shares),
        bucket_shares=np.array([share for share, _ in supply.buckets]),
        transitions=week.transitions,
        limits=workload.limits,
        scaling=workload.scaling,
        quota_limits={
            (quota_key(quota), market): quota.limit
            for quota in workload.limits.quotas
            for market in ("on_demand", "spot")
            if any((quota_key(quota), market) in pool.quotas for pool in pool_set.pools)
        },
        running=standing.running,
        running_by_purchase=standing.running_by_purchase,
        owned=standing.owned,
        max_regions=most_regions,
        mix_providers=workload.limits.mix_providers,
        low_band=not workload.limits.commit_beyond_forecast,
    )
    pools = tuple(_by_the_clock(layouts, pool_set.pools, problem, week))
    pool_set = replace(pool_set, pools=pools)
    problem = replace(problem, pools=pools, charges=_charges(pools, requirements, supply.catalog, week))
    edges = tuple(float(tokens.input_tokens.max()) for tokens in lengths)
    return Formulation(problem, pool_set, week, where, edges, supply)


def _by_the_clock(layouts: Supply, pools: Sequence[Pool], problem: Problem, week: Week) -> Iterator[Pool]:
    """Pools, as nodes of a cluster where their hosts' target does not take the schedule that each has alone."""
    changes = changes_a_week(week.schedule)
    most = {pool.key: _most_changes(pool, layouts.catalog) for pool in pools}
    if all(changes <= most_of_pool for most_of_pool in most.values()):
        yield from pools
        return
    nodes = {pool.key: pool for pool in pools_of(replace(layouts, changes=changes)).pools if pool.on_nodes}
    planned = np.array([hour.planned_rate for hour in problem.hours])
    for pool in pools:
        if pool.on_nodes or pool.key not in nodes or not pool.serves_all_places:
            yield pool
            continue
        counts = least_instances(problem, planned, np.array([mix_rate(problem, pool)]))[0].tolist()
        own = changes_a_week([counts[at] for at in week.schedule])
        yield nodes[pool.key] if own > most[pool.key] else pool


def _most_changes(pool: Pool, catalog: Catalog) -> float:
    """Entries of a schedule by the clock that the target of a pool's hosts takes."""
    return most_changes(catalog.deployment.target(*pool.instance_type.split("/")), catalog)


def _charges(
    pools: Sequence[Pool], requirements: Requirements, catalog: Catalog, week: Week
) -> Mapping[str, RegionCharges]:
    """Charges of the regions of pools for requests of the demand's size; of batch work at the rate of its hours.

    Of providers that may run pools as nodes of a cluster, for each kind of machines.
    """
    demand = requirements.demand
    peak = demand.requests_per_second.peak if demand.batch is None else week.classes[-1].planned_rate
    with_nodes = {provider_of(pool.region) for pool in pools if pool.on_nodes}
    charges = {
        place_of(f"{provider}/{region}", machines): charges_at(
            requirements, catalog, (provider, region), machines, peak
        )
        for provider, region in dict.fromkeys(tuple(pool.region.split("/")) for pool in pools)
        for machines in (Machines if provider in with_nodes else (Machines.HOSTS,))
    }
    return {place: of_place for place, of_place in charges.items() if of_place is not None}


def in_precisions(formulation: Formulation, solution: FleetSolution, precisions: Sequence[str]) -> Formulation | None:
    """The question with the offers of a fleet alone, in some precisions; None where one of its types has none."""
    used = [formulation.pool_set.sources[allocation.pool.key] for allocation in solution.allocations]
    offers: dict[tuple[str, str], tuple[Offer, ...]] = {}
    for source in used:
        key = (source.offer.provider, source.offer.instance_type)
        offers[key] = tuple(dict.fromkeys((*offers.get(key, ()), source.offer)))
    at = [at for at, served in enumerate(formulation.supply.served) if _is_one_of(served, offers, precisions)]
    served = [formulation.supply.served[each] for each in at]
    if {(kept.candidate.instance_type.provider, kept.candidate.instance_type.name) for kept in served} != offers.keys():
        return None
    cold = any(source.cold_start for source in used)
    supply = replace(
        formulation.supply.take(at, offers),
        cold_starts=[formulation.supply.start_of(each) if cold else None for each in served],
    )
    made = pools_of(supply)
    pools = tuple(_by_the_clock(supply, made.pools, formulation.problem, formulation.week))
    pool_set = replace(formulation.pool_set, sources={**formulation.pool_set.sources, **made.sources})
    # Another precision may need a cluster, which a region charges otherwise than hosts.
    charges = _charges(pools, supply.requirements, supply.catalog, formulation.week)
    return replace(formulation, problem=replace(formulation.problem, pools=pools, charges=charges), pool_set=pool_set)


def _is_one_of(
    served: Served, offers: Mapping[tuple[str, str], tuple[Offer, ...]], precisions: Sequence[str]
) -> bool:  # fmt: skip
    machine = served.candidate.instance_type
    return (machine.provider, machine.name) in offers and served.candidate.is_in(precisions)


def _rates(
    requirements: Requirements,
    served: Sequence[Served],
    model: PerformanceModel,
    where: Geography,
    buckets: Sequence[TokenHistogram],
) -> Floats:
    """Requests per second of a replica: (network levels, all requests and each bucket, candidates)."""
    slo, demand = requirements.workload.slo, requirements.demand
    histograms = [demand.tokens, *buckets]
    cases = [(tokens, slo_after_network(slo, ms)) for ms in where.levels_ms for tokens in histograms]
    candidates = [candidate_served.candidate for candidate_served in served]
    rates = rates_within(candidates, requirements, model, cases, bursts_of(demand))
    return rates.reshape(len(where.levels_ms), len(histograms), len(served))


def _rate_table(rates: Floats, where: Geography) -> RateTable:
    return RateTable(
        mix={ms: rates[at, 0] for at, ms in enumerate(where.levels_ms)},
        buckets={ms: rates[at, 1:] for at, ms in enumerate(where.levels_ms)},
    )


def _cold_starts(supply: Supply, purchase: Sequence[Purchase], week: Week) -> list[ColdStart | None]:
    if len(week.classes) == 1 and Purchase.SPOT not in purchase:
        return [None] * len(supply.served)
    return [supply.start_of(each) for each in supply.served]


def _most_regions(workload: Workload) -> int | None:
    """Most regions: as stated; else one, or as many as needed where users are somewhere and no cache is shared."""
    stated = 1 if workload.response_cache else workload.limits.max_regions
    return stated if stated is not None or workload.users else 1


BRIEF_EFFORT = Effort(
    rehearsed_requests=4_000, kinds_tried=3, holds_up_to=False, every_kind=False, options=BRIEF_OPTIONS
)
"""4,000 requests show 99 % to within 0.31 points (two standard errors of a share), where all count alike."""
BRIEF_NOTE = (
    f"a brief plan: the {BRIEF_OPTIONS} cheapest single types, each in its cheapest region, no rejections, and a "
    f"replay of {BRIEF_EFFORT.rehearsed_requests:,} requests; `advisor recommend` of the workload file alone has more"
)


def offers_in(
    offers: Mapping[tuple[str, str], tuple[Offer, ...]], regions: Collection[str]
) -> dict[tuple[str, str], tuple[Offer, ...]]:
    """The offers of some regions, each named provider/region."""
    return {
        key: tuple(offer for offer in group if f"{offer.provider}/{offer.region}" in regions)
        for key, group in offers.items()
    }


def standing_of(requirements: Requirements, catalog: Catalog) -> tuple[ExistingFleet, tuple[str, ...]]:
    """Instances that a workload names as running or owned, and notes on what is left out.

    A previous plan's fleet counts before the one deployment that the workload file names.

    Raises:
        InputError: a commitment names something that the catalog does not know.
    """
    workload = requirements.workload
    current = workload.current
    paid = dict(workload.running)
    if not paid and current is not None:
        type_in_region = type_in_region_of(current.provider, current.region, current.instance_type)
        paid = {(type_in_region, current.purchase.value): current.count}
    running = by_type_in_region(paid)
    if not workload.commitments or workload.as_of is None:
        return ExistingFleet(running, {}, paid), ()
    owned_now = owned_commitments(workload, catalog, workload.as_of)
    owned: dict[str, int] = {}
    for owned_commitment in owned_now.valid:
        type_in_region = type_in_region_of(
            owned_commitment.provider, owned_commitment.region, owned_commitment.instance_type
        )
        owned[type_in_region] = owned.get(type_in_region, 0) + owned_commitment.count
    return ExistingFleet(running, owned, paid), owned_now.notes


def running_of(plan: Plan) -> Mapping[tuple[str, str], int]:
    """Instances that a plan runs at most, by (stand, way of paying)."""
    running: dict[tuple[str, str], int] = {}
    for group in plan.fleet.groups if plan.fleet else ():
        key = (type_in_region_of(group.provider, group.region, group.instance_type), group.purchase)
        running[key] = running.get(key, 0) + max(group.instances)
    return running


def deployment_of(plan: Plan, catalog: Catalog) -> Deployment | None:
    """Fleet of a plan that is one type, paid for in one way, at all hours; None: a mix, or its price is unknown.

    Its layouts are not kept: what runs today is judged in the one with the highest rate of its precision.
    """
    groups = plan.fleet.groups if plan.fleet and not plan.fleet.is_batch_alone else ()
    is_mix = len(running_of(plan)) != 1 or len({group.precision for group in groups}) > 1
    if is_mix or any(count != group.instances[0] for group in groups for count in group.instances):
        return None
    group, count = groups[0], sum(group.instances[0] for group in groups)
    purchase = _STATED_PURCHASES.get(group.purchase)
    offer = catalog.offer(group.provider, group.region, group.instance_type)
    if purchase is None or offer is None or catalog.price(offer, purchase) is None:
        return None
    return Deployment(group.provider, group.region, group.instance_type, count, purchase, precision=group.precision)


def by_type_in_region(running: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Instances of each stand, however they are paid for."""
    counts: dict[str, int] = {}
    for (type_in_region, _), count in running.items():
        counts[type_in_region] = counts.get(type_in_region, 0) + count
    return counts
