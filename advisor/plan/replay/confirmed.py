"""A fleet with its replay, and which of two is the better one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from advisor.plan.fleet.chosen import Confirmation, HoldsUpTo
from advisor.plan.problem.values import FleetSolution, Infeasible
from advisor.plan.replay.trials import name_of
from advisor.plan.solve.shares import planned_rates
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.plan.solve.stage import Posed


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """A fleet and its replay."""

    solution: FleetSolution
    """Its pools carry what they are planned to, after the headroom."""
    posed: Posed
    """With the headroom that was needed."""
    confirmation: Confirmation
    holds_up_to: HoldsUpTo | None = None
    """None where it was not looked for, or the fleet is not confirmed."""
    cheapest: "Confirmed | None" = None
    """The cheapest fleet where this is a simpler one; None where it is this one."""

    is_limit: bool = False
    """Whether its cost is what others have to be below, not what it costs itself."""

    @property
    def usd_per_month(self) -> float:
        """What it costs."""
        return self.solution.objective_usd_per_month

    def as_if_at(self, usd_per_month: float) -> "Confirmed":
        """The fleet at another cost: what a cheaper one has to cost less than."""
        solution = replace(self.solution, objective_usd_per_month=usd_per_month, bound_usd_per_month=usd_per_month)
        return replace(self, solution=solution, is_limit=True)

    def planned_rates(self) -> Mapping[str, float]:
        """Requests per second that one instance of each group is planned to carry, by the group's name."""
        of_pool = planned_rates(self.posed.problem, self.solution)
        return {name_of(one): of_pool[one.pool.key] for one in self.solution.allocations}


def same(one: Confirmed, other: Confirmed) -> bool:
    """Whether two fleets have the same instances."""
    return instances_of(one.solution) == instances_of(other.solution)


def instances_of(solution: FleetSolution) -> frozenset[tuple[str, tuple[int, ...]]]:
    """Names of the groups of a fleet with the instances of each: what tells fleets apart."""
    return frozenset((name_of(one), one.instances) for one in solution.allocations)


def worst_share(found: Confirmed) -> float:
    """The least of the shares of requests that its replays find within every target."""
    one = found.confirmation
    return min(one.within_slo_ratio, one.busiest_within_slo_ratio or 1.0, one.without_one_within_slo_ratio or 1.0)


def closer(one: Confirmed | None, other: Confirmed) -> Confirmed:
    """The fleet that comes closer to holding."""
    return other if one is None or worst_share(other) > worst_share(one) else one


def usd_of(best: Confirmed | None) -> float:
    """What the best fleet so far costs; infinite where there is none."""
    return math.inf if best is None else best.usd_per_month


def cheaper(best: Confirmed | None, other: Confirmed | Infeasible) -> Confirmed | None:
    """The cheaper of two fleets, as far as they are confirmed."""
    if isinstance(other, Infeasible) or not other.confirmation.reached:
        return best
    return other if other.usd_per_month < usd_of(best) else best


def bounded(found: Confirmed, bound: Confirmed) -> Confirmed:
    """A fleet with the bound that the lower ends of all brackets give."""
    may_be_proven = found.confirmation.reached and bound.solution.proven
    return _with_bound(found, bound.solution.bound_usd_per_month, may_be_proven=may_be_proven)


def held_to(found: Confirmed, least_usd_per_month: float) -> Confirmed:
    """A fleet with a bound no higher than this, and proven only where it costs no more."""
    least = min(found.solution.bound_usd_per_month, least_usd_per_month)
    return _with_bound(found, least, may_be_proven=found.solution.proven)


def unproven(found: Confirmed) -> Confirmed:
    """A fleet below which a replay may confirm one that carries less than the planned rates."""
    return replace(found, solution=replace(found.solution, proven=False))


def _with_bound(found: Confirmed, bound_usd_per_month: float, *, may_be_proven: bool) -> Confirmed:
    least = min(bound_usd_per_month, found.usd_per_month)
    proven = may_be_proven and found.usd_per_month <= least + HALF_A_CENT
    return replace(found, solution=replace(found.solution, bound_usd_per_month=least, proven=proven))
