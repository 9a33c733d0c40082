"""A fleet with its replay, and which of two is the better one."""

import math
from collections.abc import Mapping

from advisor.plan.fleet.chosen import Confirmation, LatencyDistribution
from advisor.plan.problem.values import FleetSolution, Infeasible
from advisor.plan.replay.groups import name_of
from advisor.plan.solve.shares import planned_rates
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.plan.solve.stage import Formulation
from advisor.records import dataclass, replace


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """A fleet and its replay."""

    solution: FleetSolution
    """Its pools carry what they are planned to, after the headroom."""
    formulation: Formulation
    """With the headroom that was needed."""
    confirmation: Confirmation
    latencies: tuple[LatencyDistribution, ...] = ()
    """Latencies of its replay; empty where that was ended early."""
    cheapest: "Confirmed | None" = None
    """The cheapest fleet where this is a simpler one; None where it is this one."""

    is_limit: bool = False
    """Whether its cost is what others have to be below, not what it costs itself."""

    @property
    def usd_per_month(self) -> float:
        """Cost in USD a month."""
        return self.solution.objective_usd_per_month

    def as_if_at(self, usd_per_month: float) -> "Confirmed":
        """The fleet at another cost: what a cheaper one has to cost less than."""
        solution = replace(self.solution, objective_usd_per_month=usd_per_month, bound_usd_per_month=usd_per_month)
        return replace(self, solution=solution, is_limit=True)

    def planned_rates(self) -> Mapping[str, float]:
        """Requests per second that one instance of each group is planned to carry, by the group's name."""
        of_pool = planned_rates(self.formulation.problem, self.solution)
        return {name_of(allocation): of_pool[allocation.pool.key] for allocation in self.solution.allocations}


def same(confirmed: Confirmed, other: Confirmed) -> bool:
    """Whether two fleets have the same instances."""
    return instances_of(confirmed.solution) == instances_of(other.solution)


def instances_of(solution: FleetSolution) -> frozenset[tuple[str, tuple[int, ...]]]:
    """Names of the groups of a fleet with the instances of each: what tells fleets apart."""
    return frozenset((name_of(allocation), allocation.instances) for allocation in solution.allocations)


def worst_share(confirmed: Confirmed) -> float:
    """The least of the shares of requests that its replays find within every target."""
    return confirmed.confirmation.least[0]


def closer(confirmed: Confirmed | None, other: Confirmed) -> Confirmed:
    """The fleet that comes closer to holding; of two as close, to a hundredth of a percent, the cheaper one."""
    if confirmed is None:
        return other
    return max(confirmed, other, key=lambda fleet: (round(worst_share(fleet), 4), -fleet.usd_per_month))


def usd_of(best: Confirmed | None) -> float:
    """Cost of the best fleet so far; infinite where there is none."""
    return math.inf if best is None else best.usd_per_month


def cheaper(best: Confirmed | None, other: Confirmed | Infeasible) -> Confirmed | None:
    """The cheaper of two fleets, as far as they are confirmed."""
    if isinstance(other, Infeasible) or not other.confirmation.reached:
        return best
    return other if other.usd_per_month < usd_of(best) else best


def bounded(confirmed: Confirmed, bound: Confirmed) -> Confirmed:
    """A fleet with the bound that the lower ends of all brackets give."""
    may_be_proven = confirmed.confirmation.reached and bound.solution.proven
    return _with_bound(confirmed, bound.solution.bound_usd_per_month, may_be_proven=may_be_proven)


def held_to(confirmed: Confirmed, least_usd_per_month: float) -> Confirmed:
    """A fleet with a bound no higher than this, and proven only where it costs no more."""
    least = min(confirmed.solution.bound_usd_per_month, least_usd_per_month)
    return _with_bound(confirmed, least, may_be_proven=confirmed.solution.proven)


def unproven(confirmed: Confirmed) -> Confirmed:
    """A fleet below which a replay may confirm one that carries less than the planned rates."""
    return replace(confirmed, solution=replace(confirmed.solution, proven=False))


def _with_bound(confirmed: Confirmed, bound_usd_per_month: float, *, may_be_proven: bool) -> Confirmed:
    least = min(bound_usd_per_month, confirmed.usd_per_month)
    proven = may_be_proven and confirmed.usd_per_month <= least + HALF_A_CENT
    return replace(confirmed, solution=replace(confirmed.solution, bound_usd_per_month=least, proven=proven))
