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
    found: Confirmed | Infeasible, posed: Posed, setting: Setting, confirmer: Confirmer
) -> Confirmed | Infeasible:
    """A refusal whose budget is what the cheapest confirmed fleet costs, where the budget is what has to give.

    A fleet within the budget that its replay refuses is a refusal too, where a dearer one is confirmed. Neighbours of a
    confirmed fleet may be within the budget where it is not: then they are the answer.
    """
    stated = posed.problem.limits.max_usd_per_month
    if stated is None or not _may_be_the_budget(found):
        return found
    limits = posed.problem.limits
    unlimited = _held_to(posed, replace(limits, max_usd_per_month=None))
    other = confirmer.within(unlimited, setting).confirmed()
    if not isinstance(other, Confirmed) or not other.confirmation.reached:
        return found
    if other.usd_per_month <= stated:
        return replace(other, posed=_held_to(other.posed, limits))
    budget = Relaxation(Constraint.BUDGET, "", stated, other.usd_per_month, "USD/month")
    if isinstance(found, Confirmed):
        return Infeasible((Constraint.BUDGET,), (budget,))
    others = [one for one in found.relaxations if one.constraint is not Constraint.BUDGET]
    return replace(found, relaxations=tuple(sorted((budget, *others), key=relative_change)))


def _held_to(posed: Posed, limits: Limits) -> Posed:
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
    fleet = with_confirmed_budget(confirmer.within(posed, other).confirmed(), posed, other, confirmer)
    if isinstance(fleet, Confirmed):
        if fleet.confirmation.reached:
            yield f"add on_demand to purchase: from {fleet.usd_per_month:,.2f} USD/month"
        return
    for one in fleet.relaxations:
        if one.constraint is Constraint.BUDGET:
            key = SET_BY[one.constraint]
            yield f"add on_demand to purchase, and raise {key} from {one.limit:,.10g} to {one.needed:,.2f} USD/month"
