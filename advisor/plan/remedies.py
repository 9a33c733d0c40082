"""What would help where no fleet keeps to everything, as far as a replay confirms it."""

from collections.abc import Iterator
from dataclasses import replace

from advisor.catalog.values import Purchase
from advisor.plan.problem.hours import Week
from advisor.plan.problem.pools import Supply
from advisor.plan.problem.values import SET_BY, Constraint, Infeasible, Relaxation
from advisor.plan.replay.confirm import Confirmed, Confirmer
from advisor.plan.solve.optimise import relative_change
from advisor.plan.solve.stage import Posed, Setting, narrowed, pose
from advisor.workload.values import Limits

_WANTS_ON_DEMAND = {Constraint.ON_DEMAND_BASE, Constraint.SPOT_REROUTE}
"""Constraints that instances on demand keep to."""


def with_confirmed_budget(
    found: Confirmed | Infeasible, unlimited: Confirmed | Infeasible | None, posed: Posed
) -> Confirmed | Infeasible:  # fmt: skip
    """A refusal whose budget is what the cheapest confirmed fleet costs, where the budget is what has to give.

    A fleet within the budget that its replay refuses is a refusal too, where a dearer one is confirmed.

    Args:
        found: what was found within the budget.
        unlimited: what was found without it.
        posed: the question.
    """
    stated = posed.problem.limits.max_usd_per_month
    if stated is None or not _may_be_the_budget(found):
        return found
    if not isinstance(unlimited, Confirmed) or not unlimited.confirmation.reached:
        return found
    cheapest = unlimited.cheapest or unlimited
    if cheapest.usd_per_month <= stated:
        return replace(cheapest, posed=held_to_limits(cheapest.posed, posed.problem.limits))
    budget = Relaxation(Constraint.BUDGET, "", stated, cheapest.usd_per_month, "USD/month")
    if isinstance(found, Confirmed):
        return Infeasible((Constraint.BUDGET,), (budget,))
    others = [one for one in found.relaxations if one.constraint is not Constraint.BUDGET]
    return replace(found, relaxations=tuple(sorted((budget, *others), key=relative_change)))


def held_to_limits(posed: Posed, limits: Limits) -> Posed:
    """The question under other limits."""
    return replace(posed, problem=replace(posed.problem, limits=limits))


def _may_be_the_budget(found: Confirmed | Infeasible) -> bool:
    if isinstance(found, Confirmed):
        return not found.confirmation.reached
    return any(one.constraint is Constraint.BUDGET for one in found.relaxations)


def purchase_remedies(
    found: Infeasible, supply: Supply, week: Week, setting: Setting, confirmer: Confirmer
) -> Iterator[str]:  # fmt: skip
    """What to buy otherwise, with what the cheapest confirmed fleet costs then."""
    workload = setting.requirements.workload
    if Purchase.ON_DEMAND in workload.purchase or not _WANTS_ON_DEMAND.intersection(found.conflict):
        return
    workload = replace(workload, purchase=(*workload.purchase, Purchase.ON_DEMAND))
    other = replace(setting, requirements=replace(setting.requirements, workload=workload))
    posed = pose(other, narrowed(supply, workload), week)
    free = held_to_limits(posed, replace(posed.problem.limits, max_usd_per_month=None))
    limited, unlimited = (confirmer.within(one, other).confirmed() for one in (posed, free))
    fleet = with_confirmed_budget(limited, unlimited, posed)
    if isinstance(fleet, Confirmed):
        if fleet.confirmation.reached:
            yield f"add on_demand to purchase: from {fleet.usd_per_month:,.2f} USD/month"
        return
    for one in fleet.relaxations:
        if one.constraint is Constraint.BUDGET:
            key = SET_BY[one.constraint]
            yield f"add on_demand to purchase, and raise {key} from {one.limit:,.10g} to {one.needed:,.2f} USD/month"
