"""A chosen fleet as values: groups, cost, obligation, spare, what failures leave; all read from the solved problem."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from advisor.catalog import Catalog
from advisor.catalog.price_trust import first_day
from advisor.catalog.values import Offer, Purchase
from advisor.cost.response_cache import PlannedCache, priced_cache
from advisor.cost.services import hourly_to_monthly
from advisor.cost.standing import Machines
from advisor.demand.values import BatchRun, Demand, Forecast
from advisor.deployable import without_code
from advisor.models import AUTO
from advisor.performance.evidence import Served
from advisor.performance.groups import limit_words, uncounted_gbit_per_second
from advisor.plan.batch_work import Fill
from advisor.plan.cold_start import download_gb, image_gb, weights_of
from advisor.plan.fleet import chosen
from advisor.plan.fleet.costs import Answers, BatchPlan, FleetCost, Host, cost_lines
from advisor.plan.fleet.spare import lines_beside, spare_of
from advisor.plan.problem.charges import machines_of, standing_charges, standing_usd_per_month
from advisor.plan.problem.constraints import uses
from advisor.plan.problem.formulas import Part, hours_per_month, mix_rate, worst_without
from advisor.plan.problem.hours import Week
from advisor.plan.problem.pools import boot_disk_gib
from advisor.plan.problem.values import (
    Allocation,
    FleetSolution,
    Floats,
    Infeasible,
    Problem,
    PurchaseOption,
    Tariff,
)
from advisor.plan.replay.below import at_need
from advisor.plan.replay.fleet_search import FleetSearch
from advisor.plan.replay.groups import Confirmed, name_of
from advisor.plan.scaling import scaling_of
from advisor.plan.solve import objective
from advisor.plan.solve.alone import Missed, alone
from advisor.plan.solve.shares import group_part, planned_rates, request_shares
from advisor.plan.solve.simple import backend_of, loss_rank
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.plan.spot import hazard
from advisor.plan.words import turn_words
from advisor.records import replace
from advisor.requirements import Requirements
from advisor.units import (
    DAYS_PER_YEAR,
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    HOURS_PER_YEAR,
    REQUESTS_PER_THOUSAND,
    SECONDS_PER_MONTH,
    TOKENS_PER_MILLION,
)


def cost_of(
    formulation: Formulation, solution: FleetSolution, context: PlanningContext, expected: Forecast
) -> FleetCost:
    """Cost of a solution, part by part; the total is what was minimised."""
    problem, allocations, total = formulation.problem, solution.allocations, solution.objective_usd_per_month
    requests, tokens = _answered(formulation.week, context.requirements.demand, expected)

    def summed(part: Callable[[Problem, Allocation], float]) -> float:
        return round(math.fsum(part(problem, allocation) for allocation in allocations), 2)

    obligation, until = obligation_of(allocations, context)
    return FleetCost(
        compute_usd_per_month=summed(objective.allocation_usd_per_month),
        interruptions_usd_per_month=summed(objective.interruptions_usd_per_month),
        transfer_usd_per_month=objective.transfer_usd_per_month(problem, allocations, solution.shares),
        switching_usd_per_month=objective.switching_usd_per_month(problem, allocations),
        total_usd_per_month=total,
        usd_per_million_output_tokens=total / tokens * TOKENS_PER_MILLION,
        usd_per_1000_requests=total / requests * REQUESTS_PER_THOUSAND,
        disks_usd_per_month=summed(objective.disks_usd_per_month),
        starts_usd_per_month=summed(objective.starts_usd_per_month),
        standing_usd_per_month=standing_usd_per_month(problem, allocations, solution.shares),
        obligation_usd=obligation,
        obligation_until=until,
        regret_usd_per_month=_regret(problem, solution) if obligation else None,
    )


def _answered(week: Week, demand: Demand, expected: Forecast) -> tuple[float, float]:
    """Requests of an average month, and what they generate: items of batch work beside them each for one, as it is."""
    of_all, added = float(expected.mean.mean()), math.fsum(week.added_rates) / HOURS_PER_WEEK
    requests, tokens = of_all - added, (of_all - added) * demand.output_tokens.mean
    if demand.beside is not None:
        items = added / week.item_weight
        requests, tokens = requests + items, tokens + items * demand.beside.output_tokens
    return requests * SECONDS_PER_MONTH, tokens * SECONDS_PER_MONTH


def obligation_of(allocations: Sequence[Allocation], context: PlanningContext) -> tuple[float, str | None]:
    """USD that new commitments oblige to pay over their terms, and the day on which the last one ends."""
    committed = [allocation for allocation in allocations if allocation.tariff.paid is PurchaseOption.COMMITMENT]
    if not committed:
        return 0.0, None
    usd = math.fsum(
        max(allocation.instances) * allocation.tariff.usd_per_hour * allocation.tariff.term_years * HOURS_PER_YEAR
        for allocation in committed
    )
    start = planning_day(context)
    years = max(allocation.tariff.term_years for allocation in committed)
    return round(usd, 2), (start + dt.timedelta(days=round(years * DAYS_PER_YEAR))).isoformat()


def planning_day(context: PlanningContext) -> dt.date:
    """The day that a plan is made for: as stated, else that of the catalog, so that the same input gives the same."""
    stated = context.requirements.workload.as_of
    return stated or first_day(context.catalog.as_of) or dt.datetime.now(dt.UTC).date()


def _regret(problem: Problem, solution: FleetSolution) -> float:
    """USD a month of committed capacity that half of the planned rate would leave idle, and all of it does not."""
    planned, committed = planned_rates(problem, solution), PurchaseOption.COMMITMENT
    bought = [
        (max(allocation.instances), planned[allocation.pool.key], allocation.tariff.usd_per_hour)
        for allocation in solution.allocations
        if allocation.tariff.paid is committed
    ]
    rate = math.fsum(instances * per_instance for instances, per_instance, _ in bought)
    usd_per_hour = math.fsum(instances * usd for instances, _, usd in bought)

    def used(part: float) -> float:
        return math.fsum(
            min(hour.planned_rate * part / rate, 1.0) * hours_per_month(hour) for hour in problem.hours if rate > 0
        )

    return round(usd_per_hour * (used(1.0) - used(0.5)), 2)


_PARTS = {
    Part.MACHINE: "one instance of {}",
    Part.ZONE: "one zone of {}",
    Part.SUPPLY: "spot of {} in one zone",
}


def fleet_of(
    confirmed: Confirmed, context: PlanningContext, expected: Forecast, search: FleetSearch
) -> chosen.Fleet:  # fmt: skip
    """The fleet that was found, with all that a plan says of it."""
    confirmed = at_need(confirmed)
    formulation, solution, problem = confirmed.formulation, confirmed.solution, confirmed.formulation.problem
    shares = request_shares(problem, solution)
    groups = tuple(
        _group(confirmed, allocation, shares[allocation.pool.key], context) for allocation in solution.allocations
    )
    standing = tuple(standing_charges(problem, solution.allocations, solution.shares))
    machines = machines_of(problem, solution.allocations)
    cost = cost_of(formulation, solution, context, expected)
    proven = solution.proven and confirmed.confirmation.reached and context.requirements.demand.interval is None
    return chosen.Fleet(
        groups=groups,
        hour_classes=tuple(
            chosen.PlannedHours(hour.hours_per_week, hour.mean_rate, hour.planned_rate, hour.low_rate)
            for hour in problem.hours
        ),
        schedule=formulation.week.schedule,
        places=formulation.geography.places,
        place_shares=formulation.geography.shares,
        bucket_max_input_tokens=formulation.bucket_edges,
        cost=cost,
        constraints=tuple(uses(problem, solution)),
        proven=proven,
        gap_ratio=0.0 if proven else None,
        bound_usd_per_month=solution.bound_usd_per_month,
        pools_considered=len(formulation.pool_set.pools),
        static_peak=_static_peak(confirmed, context, search.apart()),
        confirmed=confirmed.confirmation,
        forecast=chosen.ForecastUsed(
            expected.method, expected.interval_level, expected.horizon_days, expected.backtest, expected.growth_ratio
        ),
        scaling=scaling_of(context, formulation, solution, expected),
        standing=standing,
        latencies=confirmed.latencies,
        cheapest=_cheapest(confirmed),
        spare=tuple(spare_of(problem, solution)),
        failures=tuple(failures_of(problem, solution)),
        quotas=tuple(_quotas(groups, machines, context)),
        unknown_quotas=tuple(dict.fromkeys(_unknown_quotas(groups, context.catalog))),
        cost_lines=(
            *cost_lines(
                problem,
                solution.allocations,
                solution.shares,
                Answers(context.catalog, context.requirements.demand, context.requirements.model),
                standing,
                lambda allocation: _host(formulation, allocation, context.catalog),
            ),
            *lines_beside(
                groups,
                context.catalog,
                _image_gb(formulation, solution, context.catalog),
                machines,
            ),
        ),
        response_cache=_response_cache(context, groups),
        unit=context.requirements.demand.unit,
        batch=_batch(confirmed, context.requirements.demand.batch, cost),
    )


def _batch(confirmed: Confirmed, run: BatchRun | None, cost: FleetCost) -> BatchPlan | None:
    """Runs of batch work; None where the demand has none."""
    if run is None:
        return None
    busiest = confirmed.formulation.problem.hours[-1]
    machine_hours = run.hours_up(busiest.hours_per_week)
    return BatchPlan(
        items=run.planned_items(machine_hours, busiest.planned_rate),
        every_hours=run.every_hours,
        first_hour=run.first_hour,
        machine_hours=machine_hours,
        deadline_hours=run.deadline_hours,
        finished_hours=confirmed.confirmation.finished_hours,
        usd_per_1000_items=cost.usd_per_1000_requests,
    )


def batch_beside_of(fill: Fill, confirmed: Confirmed) -> BatchPlan:
    """Batch work beside the requests of a fleet; its cost is what the fleet costs more than for these alone.

    That is 0 where it costs less than the fleet found for them alone: it would serve them alone too.
    """
    confirmed, run = at_need(confirmed), fill.run
    items_per_month = fill.items * run.runs_per_week / HOURS_PER_WEEK * HOURS_PER_MONTH
    added = max(confirmed.usd_per_month - fill.alone_usd_per_month, 0.0)
    return BatchPlan(
        items=fill.items,
        every_hours=run.every_hours,
        first_hour=run.first_hour,
        machine_hours=fill.raised_hours,
        deadline_hours=run.deadline_hours,
        finished_hours=fill.finished_hours(confirmed),
        usd_per_1000_items=added / items_per_month * REQUESTS_PER_THOUSAND,
        idle_items=fill.idle_items if fill.costs_machines(confirmed.usd_per_month) else fill.items,
    )


def _host(formulation: Formulation, allocation: Allocation, catalog: Catalog) -> Host:
    pool, paid = allocation.pool, allocation.tariff.paid
    source = formulation.pool_set.sources[pool.key]
    candidate = source.served.candidate
    interruptions = hazard(catalog.spot_risk(source.offer)).source if paid is PurchaseOption.SPOT else ""
    return Host(_disk_gib(formulation, allocation), download_gb(candidate, catalog.cold_start), interruptions)


def _disk_gib(formulation: Formulation, allocation: Allocation) -> int:
    """Disk that is priced and ordered with an instance."""
    pool, paid = allocation.pool, allocation.tariff.paid
    candidate = formulation.pool_set.sources[pool.key].served.candidate
    return boot_disk_gib(candidate, paid, on_nodes=pool.on_nodes)


def _image_gb(formulation: Formulation, solution: FleetSolution, catalog: Catalog) -> float:
    """The largest image of a fleet."""
    sources = (formulation.pool_set.sources[allocation.pool.key] for allocation in solution.allocations)
    return max(image_gb(source.served.candidate, catalog.cold_start) for source in sources)


def _response_cache(context: PlanningContext, groups: Sequence[chosen.FleetGroup]) -> PlannedCache | None:
    """The cache in the one region of the groups; None where the workload has none."""
    priced = priced_cache(context.requirements.workload, context.catalog, groups[0].provider, groups[0].region)
    return None if isinstance(priced, str) else priced[0]


def _unknown_quotas(groups: Sequence[chosen.FleetGroup], catalog: Catalog) -> Iterator[str]:
    """Instances that a quota of the account counts which the catalog does not know, in words."""
    for group in groups:
        machine = catalog.instance_types.get((group.provider, group.instance_type))
        market = PurchaseOption(group.purchase).market
        if (
            machine
            and market
            and catalog.quota_codes(group.provider)
            and catalog.quota(machine, Purchase(market)) is None
        ):
            yield f"{group.purchase.replace('_', ' ')} {group.instance_type} in {group.region}"


def _quotas(
    groups: Sequence[chosen.FleetGroup], machines: Mapping[str, Machines], context: PlanningContext
) -> Iterator[chosen.QuotaNeed]:
    """Use of each known quota, one region after the other; *machines*: what serves in each provider/region."""
    catalog = context.catalog
    stated = {
        (quota.provider, quota.region, quota.code): quota.limit for quota in context.requirements.workload.limits.quotas
    }
    needs: dict[tuple[str, str, str], chosen.QuotaNeed] = {}
    for group in groups:
        machine, market = (
            catalog.instance_types.get((group.provider, group.instance_type)),
            PurchaseOption(group.purchase).market,
        )
        quota = catalog.quota(machine, Purchase(market)) if machine and market else None
        units = catalog.quota_use(machine) if machine else None
        if quota is None or units is None:
            continue
        key = (group.provider, group.region, quota.code)
        account_limit, unit = catalog.account_limits.get(key), "vCPUs" if quota.unit == "vcpu" else "accelerators"
        limit = stated.get(key, None if account_limit is None else account_limit.limit)
        before = needs.get(key) or chosen.QuotaNeed(*key, quota.name, unit, 0.0, limit, 0.0)
        most = max(group.instances)
        on_nodes = machines[f"{group.provider}/{group.region}"] is not Machines.HOSTS
        surge = chosen.surge_of_zones(group.provider, group.zone_names, group.zones, on_nodes=on_nodes)
        replaced = chosen.while_replaced(most, surge)
        needs[key] = replace(
            before,
            needed=before.needed + most * units,
            needed_while_replaced=before.needed_while_replaced + replaced * units,
        )
    yield from needs.values()


def _machines(confirmed: Confirmed) -> Counter[tuple[str, PurchaseOption, tuple[int, ...]]]:
    """Instances of a fleet by what is bought, whatever runs on them."""
    groups = confirmed.solution.allocations
    return Counter((group.pool.type_in_region, group.tariff.paid, group.instances) for group in groups)


def _cheapest(confirmed: Confirmed) -> chosen.Cheapest | None:
    """The cheapest fleet, where a simpler one was taken; None where it has the same machines in other precisions."""
    if confirmed.cheapest is None or _machines(confirmed.cheapest) == _machines(confirmed):
        return None
    return chosen.Cheapest(
        groups=tuple(map(_words, confirmed.cheapest.solution.allocations, turns_of(confirmed.cheapest))),
        total_usd_per_month=confirmed.cheapest.usd_per_month,
        usd_per_month_more=round(confirmed.usd_per_month - confirmed.cheapest.usd_per_month, 2),
        backends=len({backend_of(allocation.pool) for allocation in confirmed.cheapest.solution.allocations}),
        lossy_precisions=tuple(_lossier_precisions(confirmed.cheapest, loss_rank(confirmed.solution))),
        other_engines=_other_engines(confirmed.cheapest, confirmed),
    )


def _other_engines(cheapest: Confirmed, preferred: Confirmed) -> tuple[str, ...]:
    """Engines of the cheapest fleet beside the preferred ones; none where it has no more such backends."""
    beside, kept = (
        {
            backend_of(allocation.pool): allocation.pool.key
            for allocation in fleet.solution.allocations
            if allocation.pool.is_beside
        }
        for fleet in (cheapest, preferred)
    )
    if len(beside) <= len(kept):
        return ()
    sources = cheapest.formulation.pool_set.sources
    return tuple(dict.fromkeys(sources[key].served.candidate.engine for key in beside.values()))


def _lossier_precisions(confirmed: Confirmed, rank: int) -> Iterator[str]:
    sources = confirmed.formulation.pool_set.sources
    lossy = (allocation.pool.key for allocation in confirmed.solution.allocations if allocation.pool.loss_rank > rank)
    yield from dict.fromkeys(sources[key].served.candidate.precision for key in lossy)


def _words(allocation: Allocation, turn: str) -> str:
    machine = allocation.pool.instance_type.partition("/")[2]
    paid = allocation.tariff.paid.value.replace("_", " ")
    return f"{max(allocation.instances)} × {machine} {paid}{turn and f' {turn}'}"


def turns_of(confirmed: Confirmed) -> list[str]:
    """Hours in which each group of a fleet runs: see :func:`advisor.plan.words.turn_words`."""
    hours_per_week = [hour.hours_per_week for hour in confirmed.formulation.problem.hours]
    return turn_words([allocation.instances for allocation in confirmed.solution.allocations], hours_per_week)


def layout_of(formulation: Formulation, allocation: Allocation, context: PlanningContext) -> dict[str, Any]:
    """The fields of a :class:`~advisor.plan.fleet.chosen.Layout` for an allocation."""
    pool = allocation.pool
    source = formulation.pool_set.sources[pool.key]
    return layout_fields(source.served, source.offer, context.requirements, context.catalog) | {
        "disk_gib": _disk_gib(formulation, allocation),
        "adapters_gib": source.served.candidate.memory.adapters_gib,
        "purchase": allocation.tariff.paid.value,
        "zones": max(min(pool.zones, max(allocation.instances)), 1),
    }


def layout_fields(served: Served, offer: Offer, requirements: Requirements, catalog: Catalog) -> dict[str, Any]:
    """Fields of a layout that follow from what is served on an offer."""
    candidate = served.candidate
    zones = catalog.zones(offer.provider, offer.region, offer.instance_type)
    weights = weights_of(catalog, requirements.model.name, candidate.precision, candidate.engine)
    return {
        "provider": offer.provider,
        "region": offer.region,
        "instance_type": offer.instance_type,
        "accelerator": candidate.instance_type.accelerator,
        "accelerator_count": candidate.instance_type.accelerator_count or 0.0,
        "partition": candidate.partition,
        "replicas_per_instance": candidate.replicas_per_instance,
        "tensor_parallel": candidate.tensor_parallel,
        "pipeline_parallel": candidate.pipeline_parallel,
        "expert_parallel": candidate.expert_parallel,
        "precision": candidate.precision,
        "kv_precision": AUTO,
        "engine": candidate.engine,
        "engine_version": candidate.engine_version,
        "context_tokens": requirements.context_tokens,
        "max_concurrency": served.max_concurrency,
        "http_requests_per_call": candidate.http_requests(requirements.demand),
        "memory_utilization": requirements.workload.limits.memory_utilization,
        "weights_gib": candidate.memory.weights_gib,
        "checkpoint_gib": candidate.memory.checkpoint_gib,
        "loading_gib": candidate.memory.loading_gib,
        "weights": weights.repository,
        "weights_scheme": weights.scheme,
        "weights_quality_ratio": weights.quality_ratio,
        "zone_names": zones.names,
        "zones_verified": zones.verified,
    }


def _group(confirmed: Confirmed, allocation: Allocation, share: Floats, context: PlanningContext) -> chosen.FleetGroup:
    formulation, tariff, pool = confirmed.formulation, allocation.tariff, allocation.pool
    source = formulation.pool_set.sources[pool.key]
    part = group_part(confirmed.solution, allocation)
    risk = hazard(context.catalog.spot_risk(source.offer)) if tariff.paid is PurchaseOption.SPOT else None
    planned, mix = confirmed.planned_rates()[name_of(allocation)], mix_rate(formulation.problem, pool)
    shares = tuple((share @ formulation.problem.parts * part).tolist())
    busiest = formulation.problem.hours[-1].planned_rate * shares[-1] / max(allocation.instances[-1], 1)
    return chosen.FleetGroup(
        **layout_of(formulation, allocation, context),
        name=name_of(allocation),
        commitment=tariff.label if tariff.paid is not PurchaseOption.OWNED else "",
        break_even_ratio=tariff.break_even_ratio if tariff.paid is PurchaseOption.COMMITMENT else None,
        instances=allocation.instances,
        request_shares=shares,
        bucket_shares=tuple((share[-1] * part[-1]).tolist()) if formulation.bucket_edges else (),
        requests_per_second_per_replica=source.served.requests_per_second_per_replica,
        planned_requests_per_second_per_instance=planned,
        mix_requests_per_second_per_instance=None if mix == planned else mix,
        limited_by=limit_words(source.served.candidate, planned, context.requirements),
        uncounted_gbit_per_second=uncounted_gbit_per_second(source.served.candidate, busiest, context.requirements),
        not_generated=without_code(source.offer.provider, context.catalog),
        cold_start_seconds=source.cold_start.total_s if source.cold_start else None,
        interruptions_per_instance_hour=risk.per_hour.value if risk else 0.0,
        interruptions_source=risk.source if risk else "",
        evidence=source.served.evidence.value,
        instance_usd_per_hour=tariff.usd_per_hour,
        compute_usd_per_month=objective.allocation_usd_per_month(formulation.problem, allocation),
        interruptions_usd_per_month=objective.interruptions_usd_per_month(formulation.problem, allocation),
        price_source=tariff.source,
        price_as_of=tariff.as_of,
        price_quality=tariff.quality,
    )


def failures_of(problem: Problem, solution: FleetSolution) -> Iterator[chosen.Failure]:
    """Share of the planned rate left when a part fails, in the hours that it hits hardest."""
    for part, words in _PARTS.items():
        for name, (ratio, hour_classes) in worst_without(problem, solution.allocations, part).items():
            yield chosen.Failure(words.format(name), max(ratio, 0.0), hour_classes[0], hour_classes)


def _static_peak(confirmed: Confirmed, context: PlanningContext, search: FleetSearch) -> chosen.StaticPeak | None:
    """Compute of the main type alone on demand at all hours, within the same limits; None where that is not a fleet.

    It is none of a type that is not started on demand.

    As many as its replays confirm where instances follow the hours; else as many as the planned rates take.
    """
    solution, problem = confirmed.solution, confirmed.formulation.problem
    main = max(
        solution.allocations, key=lambda allocation: sum(allocation.instances) * mix_rate(problem, allocation.pool)
    )
    source = confirmed.formulation.pool_set.sources[main.pool.key]
    managed = all(allocation.tariff.paid is PurchaseOption.MANAGED for allocation in solution.allocations)
    paid = PurchaseOption.MANAGED if managed else PurchaseOption.ON_DEMAND
    machine = source.served.candidate.instance_type
    is_refused = context.catalog.deployment.refusal(machine.provider, machine.name, paid.value) is not None
    price = context.catalog.price(source.offer, Purchase(paid.value))
    if price is None or is_refused or mix_rate(problem, main.pool) <= 0:
        return None
    tariff, kept = Tariff(paid, price.usd_per_hour), None
    usual = next((pool for pool in search.problem.pools if pool.key == main.pool.key), None)
    if len(problem.hours) == 1 or usual is None or managed:
        same = alone(problem, main.pool, tariff)
        if isinstance(same, Missed):
            return None
        instances = max(same.allocations[0].instances)
    else:
        constant = search.alone_at_all_hours(confirmed.formulation.of([replace(usual, tariffs=(tariff,))]))
        if isinstance(constant, Infeasible) or not constant.confirmation.reached:
            return None
        counts = constant.solution.allocations[0].instances
        instances = max(counts)
        kept = constant.confirmation.within_slo_ratio if min(counts) == instances else None
    usd = hourly_to_monthly(price.usd_per_hour, instances)
    if usd <= 0:
        return None
    compute = math.fsum(objective.allocation_usd_per_month(problem, allocation) for allocation in solution.allocations)
    return chosen.StaticPeak(source.offer.instance_type, source.offer.region, instances, usd, 1 - compute / usd, kept)
