"""Remedies where no fleet keeps to everything, as replays confirm them, and the rejections that came closest."""

import math
from collections.abc import Iterator, Sequence

from advisor.candidates import ANY, Rejection
from advisor.catalog.values import Purchase
from advisor.deployable import PURCHASE
from advisor.plan.market import Market
from advisor.plan.problem.hours import Week
from advisor.plan.problem.limits import CONSTRAINTS, UNKNOWN_WORDS, Constraint
from advisor.plan.problem.supply import SERVICE, Supply
from advisor.plan.problem.values import Infeasible, Relaxation
from advisor.plan.replay.validator import Confirmed, ReplayValidator
from advisor.plan.rung_fleets import first_beyond
from advisor.plan.rungs import RungScope
from advisor.plan.solve.optimise import relative_change
from advisor.plan.solve.stage import Formulation, PlanningContext, formulate, narrowed
from advisor.plan.values import Conflict
from advisor.records import replace
from advisor.workload.values import Limits, Workload

NEAREST = 3

_STAGES = (
    ("not_sold", "engine_excluded"),
    ("residency",),
    ("network",),
    ("response_cache",),
    ("slo_ttft", "slo_tpot", "slo_e2e", "slo_latency", "deadline", "prediction_abstained", "cold_start"),
    ("price_unknown", "not_listed", *UNKNOWN_WORDS),
    tuple(constraint.code for constraint in Constraint),
    ("replay",),
)
"""Codes by what judges them, in this order, after the hardware was judged: each has passed what is before it."""
_STAGE_OF_CODE = {code: stage for stage, codes in enumerate(_STAGES, start=1) for code in codes}
_PAYING = _STAGE_OF_CODE["price_unknown"]
_WANTS_ON_DEMAND = {Constraint.ON_DEMAND_BASE, Constraint.SPOT_REROUTE}
"""Constraints that instances on demand keep to."""


def nearest_misses(rejections: Sequence[Rejection], conflict: Conflict | None = None) -> tuple[Rejection, ...]:
    """The rejections that came closest, three at most.

    Those that passed most of what is judged; of them the closest for each code, then the next closest. An instance type
    is named once, and so are two numbers that are the same for several types. *conflict*: limits that exclude each
    other, which a miss has to be about.
    """
    codes = {CONSTRAINTS[constraint].code for constraint in conflict.constraints} if conflict else ()
    about = [rejection for rejection in rejections if not codes or rejection.code in codes]
    last = max(map(_stage, about), default=0)
    ordered = sorted((rejection for rejection in about if _stage(rejection) == last), key=_order)
    return tuple(_distinct(ordered))[:NEAREST]


def _stage(rejection: Rejection) -> int:
    """Stage that it reached; 0: the hardware does not hold the model, or no code starts it.

    A service without a price is not judged any further than one that is not sold.
    """
    if rejection.code == "price_unknown" and rejection.precision == ANY:
        return _STAGE_OF_CODE["not_sold"]
    return _PAYING if rejection.unit in (SERVICE, PURCHASE) else _STAGE_OF_CODE.get(rejection.code, 0)


def _order(rejection: Rejection) -> tuple[float, str, str, str]:
    return distance(rejection), rejection.instance_type, rejection.region, rejection.precision


def _distinct(ordered: Sequence[Rejection]) -> Iterator[Rejection]:
    """The first of each code, then the others; none that says the same again."""
    first = {rejection.code: rejection for rejection in reversed(ordered)}
    said: set[object] = set()
    for rejection in (*sorted(first.values(), key=_order), *ordered):
        machine = (rejection.provider, rejection.instance_type)
        numbers = (rejection.code, rejection.needed, rejection.available)
        if said.isdisjoint((machine, numbers)):
            said |= {machine, numbers}
            alike = sum((other.code, other.needed, other.available) == numbers for other in ordered)
            yield _of_any(rejection, alike)


def _of_any(rejection: Rejection, alike: int) -> Rejection:
    """The rejection without a name where it is of no one machine: of a cache, or of all that are not sold somewhere."""
    if rejection.code == "not_sold" and alike > 1:
        told = f"none of {alike} instance types is known to be sold in {rejection.needed}: name other regions"
        return replace(rejection, instance_type=ANY, message=told)
    return replace(rejection, instance_type=ANY) if rejection.code == "response_cache" else rejection


def distance(rejection: Rejection) -> float:
    """Distance from being an option, as a ratio; infinite where there are no two numbers above 0."""
    needed, available = rejection.needed, rejection.available
    if not (isinstance(needed, int | float) and isinstance(available, int | float)) or min(needed, available) <= 0:
        return math.inf
    return max(needed / available, available / needed)


def with_confirmed_budget(
    infeasible: Confirmed | Infeasible, unlimited: Confirmed | Infeasible | None, formulation: Formulation
) -> Confirmed | Infeasible:  # fmt: skip
    """A refusal whose budget is what the cheapest confirmed fleet costs, where the budget is what has to give.

    A fleet within the budget that its replay refuses is a refusal too, where a dearer one is confirmed.
    """
    stated = formulation.problem.limits.max_usd_per_month
    if stated is None or not _may_be_the_budget(infeasible):
        return infeasible
    if not isinstance(unlimited, Confirmed) or not unlimited.confirmation.reached:
        return infeasible
    cheapest = unlimited.cheapest or unlimited
    if cheapest.usd_per_month <= stated:
        return replace(cheapest, formulation=held_to_limits(cheapest.formulation, formulation.problem.limits))
    budget = Relaxation(Constraint.BUDGET, "", stated, cheapest.usd_per_month, "USD/month")
    if isinstance(infeasible, Confirmed):
        return Infeasible((Constraint.BUDGET,), (budget,))
    others = [relaxation for relaxation in infeasible.relaxations if relaxation.constraint is not Constraint.BUDGET]
    relaxations = tuple(sorted((budget, *others), key=relative_change))
    return Infeasible(infeasible.conflict, relaxations, infeasible.given_up)


def held_to_limits(formulation: Formulation, limits: Limits) -> Formulation:
    """The question under other limits."""
    return replace(formulation, problem=replace(formulation.problem, limits=limits))


def without_budget(formulation: Formulation) -> Formulation:
    """The question without a budget."""
    return held_to_limits(formulation, replace(formulation.problem.limits, max_usd_per_month=None))


def _may_be_the_budget(answer: Confirmed | Infeasible) -> bool:
    if isinstance(answer, Confirmed):
        return not answer.confirmation.reached
    return any(relaxation.constraint is Constraint.BUDGET for relaxation in answer.relaxations)


def purchase_remedies(
    infeasible: Infeasible, supply: Supply, week: Week, context: PlanningContext, validator: ReplayValidator
) -> Iterator[str]:  # fmt: skip
    """Remedies by buying otherwise, with what the cheapest confirmed fleet costs then."""
    workload = context.requirements.workload
    held = (*workload.purchase, *workload.exclude.purchase)
    if Purchase.ON_DEMAND in held or not _WANTS_ON_DEMAND.intersection(infeasible.conflict):
        return
    workload = replace(workload, purchase=(*workload.purchase, Purchase.ON_DEMAND))
    other = replace(context, requirements=replace(context.requirements, workload=workload))
    formulation = formulate(other, narrowed(supply, workload), week)
    free = without_budget(formulation)
    limited, unlimited = (validator.within(question, other).confirmed() for question in (formulation, free))
    fleet = with_confirmed_budget(limited, unlimited, formulation)
    if isinstance(fleet, Confirmed):
        if fleet.confirmation.reached:
            yield f"add on_demand to purchase: from {fleet.usd_per_month:,.2f} USD/month"
        return
    for relaxation in fleet.relaxations:
        if relaxation.constraint is Constraint.BUDGET:
            key = relaxation.constraint.set_by
            yield (
                f"add on_demand to purchase, and raise {key} from {relaxation.limit:,.10g} to "
                f"{relaxation.needed:,.2f} USD/month"
            )


def rung_remedies(market: Market, scopes: Sequence[RungScope]) -> Iterator[str]:
    """The first rung of the ladder that has a fleet within every limit, by what the workload would state for it."""
    fleet = first_beyond(market, scopes)
    changes = [] if fleet is None else list(_widened(market.workload, fleet))
    if fleet is not None and changes:
        yield f"{', and '.join(changes)}: from {fleet.usd_per_month:,.2f} USD/month"


def _widened(stated: Workload, fleet: Confirmed) -> Iterator[str]:
    """Changes of a workload's keys by which it allows a fleet."""
    sources = [fleet.formulation.pool_set.sources[group.pool.key] for group in fleet.solution.allocations]
    used = {
        "purchase": {group.tariff.paid.value for group in fleet.solution.allocations}.intersection(Purchase),
        "precisions": {
            candidate.precision
            for candidate in (source.served.candidate for source in sources)
            if not candidate.is_in(stated.precisions)
        },
        "providers": {source.offer.provider for source in sources},
        "regions": {source.offer.region for source in sources},
        "accelerators": {source.served.candidate.accelerator.name for source in sources},
        "instance_types": {source.offer.instance_type for source in sources},
    }
    for key, names in used.items():
        listed = getattr(stated, key)
        if listed and (added := sorted(names.difference(listed))):
            yield f"add {', '.join(added)} to {key}"
