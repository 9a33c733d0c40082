"""Today's deployment, priced and judged as a fleet would be: by the same formulation, the same replay."""

from collections.abc import Iterator, Mapping
from typing import Any

from advisor.candidates import Candidate, Rejection, judge, judge_hardware
from advisor.catalog import Catalog
from advisor.catalog.values import Purchase
from advisor.cost import hourly_to_monthly
from advisor.errors import InputError
from advisor.performance.stage import serve
from advisor.plan.fleet.chosen import ConstraintUse
from advisor.plan.market import Market, market_of
from advisor.plan.problem.constraints import is_broken, uses
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.hours import Week
from advisor.plan.problem.limits import CONSTRAINTS, IN_PROPORTION, RULED, Constraint
from advisor.plan.problem.supply import Supply
from advisor.plan.problem.values import Allocation, FleetSolution, Pool, Problem, PurchaseOption
from advisor.plan.remedies import held_to_limits
from advisor.plan.replay.validator import Confirmed, ReplayValidator
from advisor.plan.rungs import excluded_today
from advisor.plan.solve.alone import whole_shares
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed, supply_of
from advisor.plan.values import CurrentCost
from advisor.records import dataclass, replace
from advisor.requirements import Requirements
from advisor.units import A_CENT, unit_words, usd
from advisor.workload.values import Deployment, Exclude, Slo

_CAPS = (
    Constraint.BUDGET,
    Constraint.MAX_REPLICAS,
    Constraint.QUOTA,
    *IN_PROPORTION,
    *(rule for rule in RULED if not rule.row.is_floor),
)
"""Limits that more instances of one type break."""


def priced_today(requirements: Requirements, catalog: Catalog, owned: Mapping[str, int]) -> CurrentCost | None:
    """Compute of what runs today at catalog prices, without what is paid for already; None where nothing runs.

    *owned*: instances that are paid for, by provider/region/type. Raises InputError if its price is not known.
    """
    current = requirements.workload.current
    if current is None:
        return None
    offer = catalog.offer(current.provider, current.region, current.instance_type)
    price = catalog.price(offer, Purchase(current.purchase)) if offer else None
    if price is None:
        kind = current.purchase.value.replace("_", " ")
        raise InputError(
            f"the catalog has no {kind} price for {current.instance_type} in {current.region}",
            where=requirements.workload.where("current"),
            hint="correct the region or the purchase option, or take `current` out",
        )
    type_in_region = f"{current.provider}/{current.region}/{current.instance_type}"
    covered = (
        0 if current.purchase is Purchase.SPOT else owned.get(type_in_region, 0)
    )  # a commitment pays for no spot machine
    paid = max(current.count - covered, 0)
    return CurrentCost(
        provider=current.provider,
        region=current.region,
        instance_type=current.instance_type,
        purchase=current.purchase.value,
        instances=current.count,
        usd_per_hour=price.usd_per_hour * paid,
        total_usd_per_month=hourly_to_monthly(price.usd_per_hour, paid),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Today:
    """Today's deployment, with all that it costs."""

    priced: CurrentCost
    formulation: Formulation
    """The question that allows it alone."""
    running: FleetSolution | None
    """As a fleet; None where it is not known to serve the model."""
    why_not: str
    """Why it is not, or why no number of it keeps the SLO; "" elsewhere."""


def judged_current(market: Market, stated: Requirements | None = None) -> CurrentCost | None:
    """Today's deployment at all that a plan would count for it, with the share of requests that it keeps.

    *market*: a question that allows its machine, in its region. *stated*: the question as stated, of which it is
    judged; None: that of the market. Raises InputError if its price is not known.
    """
    context = replace(market.context, requirements=_requirements_today(stated or market.context.requirements))
    current = context.requirements.workload.current
    priced = priced_today(context.requirements, context.catalog, context.standing.owned)
    if priced is None or current is None:
        return None
    measured = context.model.measured
    factor = 1.0 if measured is None else min(measured.token, measured.ttft)
    chip = context.catalog.instance_type(current.provider, current.instance_type).accelerator if factor < 1 else ""
    priced = replace(priced, measured_factor=factor, measured_accelerator=chip, slower=context.slower)
    if context.requirements.demand is not market.context.requirements.demand:
        market = _market_today(current, context)
    return _judged(_today(priced, current, context, market), context, market.validator)


def _requirements_today(requirements: Requirements) -> Requirements:
    """Question that today's deployment answers: it gets the requests of all clients until a planned cache runs."""
    if not requirements.workload.plans_response_cache:
        return requirements
    workload = replace(requirements.workload, response_cache=None)
    return replace(requirements, workload=workload, demand=requirements.demand.with_response_cache(0.0))


def _market_today(current: Deployment, context: PlanningContext) -> Market:
    """Today's machine alone, under another demand than that of the plan."""
    requirements, catalog = context.requirements, context.catalog
    machine = catalog.instance_type(current.provider, current.instance_type)
    outcomes = judge(machine, requirements, catalog)
    served, _ = serve([outcome for outcome in outcomes if isinstance(outcome, Candidate)], requirements, context.model)
    offer = catalog.offer(current.provider, current.region, current.instance_type)
    offers = {} if offer is None else {(current.provider, current.instance_type): (offer,)}
    return market_of(context, requirements, served, offers)


def _today(priced: CurrentCost, current: Deployment, context: PlanningContext, market: Market) -> Today:
    """Today's deployment as a fleet, at what a plan would count for it: compute, disks and data transfer.

    How it runs the model is not stated: the layout with the highest rate is taken, in the first of the workload's
    precisions that it can serve, as the ladder begins with the first.
    """
    supply, week = market.supply, market.week
    formulation = _first_formulation(current, context, supply, week)
    why_not = ""
    if not formulation.problem.pools:
        hardware = _by_hardware(current, context)
        priced = replace(priced, not_generated=hardware.not_generated)
        own = replace(context, requirements=hardware.requirements)
        formulation = _first_formulation(current, own, hardware.supply, week)
        rejections = formulation.pool_set.rejections
        why_not = rejections[0].message if rejections else hardware.why_not
        if formulation.problem.pools:
            why_not = hardware.too_slow
    if not formulation.problem.pools:
        return Today(replace(priced, machines_alone=True), formulation, None, why_not)
    pool = max(formulation.problem.pools, key=lambda pool: mix_rate(formulation.problem, pool))
    allocations = tuple(_allocations(formulation.problem, pool, current))
    shares = whole_shares(formulation.problem, pool)
    # It runs already, whatever a previous plan ran: nothing of it has to be put into service.
    usd = objective_usd_per_month(replace(formulation.problem, running={}), allocations, shares)
    running = FleetSolution(allocations, shares, usd, usd, proven=False)
    return Today(replace(priced, total_usd_per_month=usd), formulation, running, why_not)


def _allocations(problem: Problem, pool: Pool, current: Deployment) -> Iterator[Allocation]:
    """Today's instances at all hours: as many as are owned, the others as they are paid for."""
    left = current.count
    for tariff in pool.tariffs:
        is_owned = tariff.paid is PurchaseOption.OWNED
        covered = 0 if current.purchase is Purchase.SPOT else problem.owned.get(pool.type_in_region, 0)
        count = min(left, covered) if is_owned else left
        left -= count
        if count:
            yield Allocation(pool, tariff, (count,) * len(problem.hours))


def _judged(today: Today, context: PlanningContext, validator: ReplayValidator) -> CurrentCost:
    """The same with the share of requests that it keeps within the SLO, and the instances that the demand takes."""
    priced, formulation, running = today.priced, today.formulation, today.running
    if why := excluded_today(context.requirements.workload, context.catalog):
        return replace(priced, not_judged=why, not_generated="")
    if running is None:
        return replace(priced, not_judged=today.why_not)
    pool = running.allocations[0].pool
    validator = validator.within(formulation, context)
    replay = validator.replayed(formulation, running)
    least_ratio, when = replay.least
    judged = replace(
        priced,
        precision=formulation.pool_set.sources[pool.key].served.candidate.precision,
        within_slo_ratio=replay.within_slo_ratio,
        unavoidable_late_ratio=replay.unavoidable_late_ratio,
        least_within_slo_ratio=least_ratio if when else None,
        least_within_slo_when=when,
    )
    if today.why_not:
        return replace(judged, not_judged=today.why_not)
    limits = replace(formulation.problem.limits, max_changed_instances=None)  # what a load takes is no change
    alone = held_to_limits(formulation.of([pool]), limits)
    needed = validator.alone_at_all_hours(alone)
    if isinstance(needed, Confirmed) and needed.confirmation.reached:
        return replace(judged, instances_needed=_busiest(needed.solution))
    return _beyond_limits(judged, alone, validator)


def _beyond_limits(judged: CurrentCost, formulation: Formulation, validator: ReplayValidator) -> CurrentCost:
    """The same where no number keeps the limits: what would do without the stated caps, or that nothing would."""
    enough = validator.alone_at_all_hours(_without_caps(formulation))
    if not isinstance(enough, Confirmed) or not enough.confirmation.reached:
        return replace(judged, not_judged=f"no number of {judged.instance_type} keeps the SLO and the limits")
    count = _busiest(enough.solution)
    needed = f"{count} {'is' if count == 1 else 'are'} needed, at {usd(enough.usd_per_month)} a month"
    if count == judged.instances and abs(enough.usd_per_month - judged.total_usd_per_month) <= A_CENT:
        needed = "that many are needed"
    stated = formulation.problem
    own = replace(enough.formulation.problem, limits=stated.limits, quota_limits=stated.quota_limits)
    broken = (use for use in uses(own, enough.solution) if use.name in _CAPS and is_broken(use))
    why = " and ".join(map(_allowed, broken)) or "the limits allow fewer"
    return replace(judged, instances_needed=count, not_judged=f"{needed}; {why}")


def _without_caps(formulation: Formulation) -> Formulation:
    """The question without limits that more instances break."""
    none: dict[str, Any] = dict.fromkeys(cap.field for cap in _CAPS if cap is not Constraint.QUOTA)
    problem = replace(formulation.problem, limits=replace(formulation.problem.limits, **none), quota_limits={})
    return replace(formulation, problem=problem)


def _allowed(use: ConstraintUse) -> str:
    """Limit of a cap, in words."""
    cap = CONSTRAINTS[use.name]
    if cap is Constraint.BUDGET:
        return f"{cap.set_by} allows {usd(use.limit)}"
    limit = f"{use.limit:,.{cap.row.decimals}f} {unit_words(use.unit, use.limit)}"
    return f"{cap.set_by}{use.detail and f' ({use.detail})'} allows {limit}"


def _busiest(solution: FleetSolution) -> int:
    """Instances that run in the busiest hours."""
    return sum(allocation.instances[-1] for allocation in solution.allocations)


def _first_formulation(current: Deployment, context: PlanningContext, supply: Supply, week: Week) -> Formulation:
    """The question in the precision that runs, or in the first of the workload's that today's machine serves.

    In the first of all where it serves none.
    """
    stated = context.requirements.workload.precisions
    precisions = (current.precision,) if current.precision in stated else stated
    every = [_formulated(_as_today(current, precision, context), supply, week) for precision in precisions]
    return next((formulation for formulation in every if formulation.problem.pools), every[0])


def _formulated(own: PlanningContext, supply: Supply, week: Week) -> Formulation:
    return formulate(own, narrowed(supply, own.requirements.workload), week)


def _as_today(current: Deployment, precision: str, context: PlanningContext) -> PlanningContext:
    """The setting with a workload that allows what runs today alone."""
    stated = context.requirements.workload
    workload = replace(
        stated,
        providers=(current.provider,),
        regions=(current.region,),
        accelerators=(),
        instance_types=(current.instance_type,),
        precisions=(precision,),
        purchase=(current.purchase,),
        listed_only=False,
        exclude=Exclude(engines=stated.exclude.engines),
        residency=(),
    )
    return replace(context, requirements=replace(context.requirements, workload=workload))


@dataclass(frozen=True, slots=True, eq=False)
class _Hardware:
    """Today's machine as it serves uncut, whatever started it."""

    supply: Supply
    not_generated: str
    """Why no code is generated for it; "" where it is."""
    too_slow: str
    """Target that even an idle replica misses; "" where it is fast enough."""
    requirements: Requirements
    """The question, without its targets where it is too slow for them."""
    why_not: str
    """Why it serves the model in none of the workload's precisions, where that is so."""


def _by_hardware(current: Deployment, context: PlanningContext) -> _Hardware:
    requirements, catalog = context.requirements, context.catalog
    machine = catalog.instance_type(current.provider, current.instance_type)
    outcomes = list(judge_hardware(machine, requirements, catalog))
    candidates = [outcome for outcome in outcomes if isinstance(outcome, Candidate) and not outcome.partition]
    served, too_slow = serve(candidates, requirements, context.model)
    slow = "" if served or not too_slow else too_slow[0].message
    if slow:  # what runs is judged by its replay, however slow it is
        requirements = _without_targets(requirements)
        served, _ = serve(candidates, requirements, context.model)
    refused = [
        rejection.message for rejection in judge(machine, requirements, catalog) if isinstance(rejection, Rejection)
    ]
    misses = [rejection.message for rejection in (*too_slow, *outcomes) if isinstance(rejection, Rejection)]
    offer = catalog.offer(current.provider, current.region, current.instance_type)
    own = () if offer is None else (offer,)
    withdrawn = f"it is not sold in {current.region} any more" if offer is not None and offer.withdrawn else ""
    unwritten = next((message for message in refused if message not in misses), "")
    return _Hardware(
        supply=supply_of(
            replace(context, requirements=requirements), served, {(current.provider, current.instance_type): own}
        ),
        too_slow=slow,
        requirements=requirements,
        not_generated=withdrawn or unwritten.removeprefix(f"{machine.name}: "),
        why_not=next(iter(misses), f"{current.instance_type} is not known to serve the model"),
    )


def _without_targets(requirements: Requirements) -> Requirements:
    slo = Slo(within_ratio=requirements.workload.slo.within_ratio)
    return replace(requirements, workload=replace(requirements.workload, slo=slo))
