"""The fleet to prefer of those that replays confirm and that cost little more than the cheapest one."""

import math
from collections.abc import Iterable, Mapping

from advisor.plan.problem.values import FleetSolution, constraints_of
from advisor.plan.replay.fleet_search import FleetSearch, is_simplest
from advisor.plan.replay.groups import Confirmed, bounded, unproven
from advisor.plan.replay.headroom import Kind
from advisor.plan.solve.objective import lower_bound
from advisor.plan.solve.scopes import scopes
from advisor.plan.solve.simple import backend_of, complexity, keeps_running, loss_rank, preference, simplest
from advisor.plan.solve.stage import formulate
from advisor.plan.solve.stage import narrowed as narrowed_supply
from advisor.records import replace
from advisor.units import A_CENT

__all__ = ["Confirmed", "Kind", "ReplayValidator", "is_preferred", "preferred_to"]

CAREFUL = 1.2
"""By how much the closed form may ask for more than a replay confirms."""
BEYOND_LIMIT = 1.02
"""Cost up to which fleets within a limit are looked for: a search stops where less than a hundredth can be saved."""


class ReplayValidator(FleetSearch):
    """Finds fleets of one question that their replays confirm, and of those that cost little more the simplest."""

    def simplest(self, confirmed: Confirmed, most_usd: float = math.inf) -> Confirmed:
        """The fleet to prefer of all that cost no more than ``limits.simplicity`` above the cheapest confirmed one.

        One with the published weights comes first, then one in the precision that the workload names next; of those in
        the same precisions the simplest. What runs is not left for one that costs more.

        Args:
            confirmed: the cheapest one; the answer where none is preferred to it.
            most_usd: USD a month that it may cost in any case.
        """
        if not confirmed.confirmation.reached or not self._formulation.problem.limits.simplicity:
            return confirmed
        if keeps_running(self.problem, confirmed.solution):
            running = self.problem.running
            of_running = (pool for pool in self.problem.pools if running.get(pool.type_in_region))
            return self.within(self._formulation.of(of_running), self._context).preferred_within(confirmed, most_usd)
        return self.preferred_within(confirmed, most_usd)

    def preferred_within(self, confirmed: Confirmed, most_usd: float) -> Confirmed:
        """The same of the question's pools, what runs or not."""
        most = max(most_usd, confirmed.usd_per_month)
        limit = confirmed.usd_per_month * (1 + self._formulation.problem.limits.simplicity)
        best = self._simplest_below(confirmed, limit)
        return best if best.usd_per_month <= most + A_CENT else self._simplest_below(confirmed, min(limit, most))

    def preferred(self, confirmed: Confirmed, others: Iterable[Confirmed], most_usd: float) -> Confirmed | None:
        """Fleet that is preferred to a confirmed one within ``limits.simplicity`` of its cheapest; None without any.

        Args:
            confirmed: a fleet.
            others: fleets that their replays confirm.
            most_usd: USD a month that it may cost in any case.
        """
        cheapest = confirmed.cheapest or confirmed
        limit = min(cheapest.usd_per_month * (1 + self._formulation.problem.limits.simplicity), most_usd)
        able = (other for other in others if other.usd_per_month <= limit)
        best = min((other for other in able if is_preferred(other, confirmed)), key=_order, default=None)
        if best is None or not confirmed.confirmation.reached:
            return None
        whole = self.in_full(best)
        return preferred_to(whole, cheapest) if whole.confirmation.reached else None

    def _simplest_below(self, confirmed: Confirmed, limit: float) -> Confirmed:
        """The same within a cost."""
        kept, rank = None, loss_rank(confirmed.solution)
        while rank and (less := self._within_rank(confirmed, rank - 1, limit)) is not None:
            kept, rank = less, loss_rank(less.solution)
        if kept is not None:
            return kept
        if is_simplest(confirmed):
            return confirmed
        return self._of_rank(loss_rank(confirmed.solution)).simplest_within(confirmed, limit)

    def _within_rank(self, confirmed: Confirmed, rank: int, limit: float) -> Confirmed | None:
        """The fleet to prefer of those in precisions that lose less quality; None where none is within a cost."""
        other = self._of_rank(rank)
        cheapest = (
            other.on_the_same_machines(confirmed, limit)
            or self._of_rank(rank, confirmed).on_the_same_machines(confirmed, limit)
            or other.cheaper_than(confirmed, limit)
        )
        return None if cheapest is None else preferred_to(other.simplest_within(cheapest, limit), confirmed)

    def on_the_same_machines(self, confirmed: Confirmed, limit: float) -> Confirmed | None:
        """The cheapest confirmed fleet within a cost of the offers of another fleet; None where there is none."""
        types_in_region = {allocation.pool.type_in_region for allocation in confirmed.solution.allocations}
        pools = tuple(pool for pool in self.problem.pools if pool.type_in_region in types_in_region)
        if not pools or lower_bound(replace(self.problem, pools=pools)) > limit * CAREFUL:
            return None
        same = self.within(self._formulation.of(pools), self._context)
        fleet = same.confirmed(confirmed.as_if_at(limit * BEYOND_LIMIT))
        holds = isinstance(fleet, Confirmed) and fleet.confirmation.reached and fleet.usd_per_month <= limit
        return fleet if isinstance(fleet, Confirmed) and holds else None

    def cheaper_than(self, confirmed: Confirmed, limit: float) -> Confirmed | None:
        """The cheapest confirmed fleet below a cost; None where there is none.

        Args:
            confirmed: a fleet of another question, for its replay.
            limit: USD a month.
        """
        if not self.problem.pools or min(map(lower_bound, scopes(self.problem))) > limit:
            return None
        fleet = self.confirmed(confirmed.as_if_at(limit * BEYOND_LIMIT))
        holds = isinstance(fleet, Confirmed) and fleet.confirmation.reached and fleet.usd_per_month <= limit
        return fleet if isinstance(fleet, Confirmed) and holds else None

    def _of_rank(self, rank: int, fleet: Confirmed | None = None) -> "ReplayValidator":
        """The same for the precisions up to a rank alone: in unbeaten layouts, or in all of them on a fleet's types."""
        requirements = self._context.requirements
        named = requirements.workload.precisions
        kept = tuple(precision for precision in named if requirements.loss_rank(precision) <= rank)
        if kept == named:
            return self
        # Its limits are those of the question, which may leave out the workload's budget.
        workload = replace(requirements.workload, precisions=kept, limits=self._formulation.problem.limits)
        context = replace(self._context, requirements=replace(requirements, workload=workload))
        types_in_region, supply = {pool.type_in_region for pool in self.problem.pools}, self._formulation.supply
        if fleet is not None:
            types_in_region &= {group.pool.type_in_region for group in fleet.solution.allocations}
            supply = supply.of_types(types_in_region)
        supply = narrowed_supply(supply, workload)
        formulation = formulate(context, supply, self._formulation.week, every=fleet is not None)
        return self.within(
            formulation.of(pool for pool in formulation.problem.pools if pool.type_in_region in types_in_region),
            context,
        )

    def simplest_within(self, confirmed: Confirmed, limit: float) -> Confirmed:
        """The fleet of fewest backends, then types, within a cost.

        Kinds of a fleet that carries more than the closed form says are taken to carry as much in a simpler one.
        """
        headroom = {kind: bracket.held for kind, bracket in self._brackets.items()}
        headroom |= self.carried_beyond(confirmed)
        formulation = self._with_headroom(self._formulation, headroom)
        solution = simplest(formulation.problem, confirmed.solution, most_usd=limit)
        if solution.allocations != confirmed.solution.allocations:
            fleet = self._confirmed(formulation, solution, headroom)
            if not fleet.confirmation.reached:
                self._raised_of_types(solution, headroom, limit)
        simpler = [
            fleet
            for fleet in self._held()
            if fleet.usd_per_month <= limit
            and complexity(fleet.solution) < complexity(confirmed.solution)
            and self._keeps_to_limits(fleet)
        ]
        for fleet in sorted(simpler, key=lambda fleet: complexity(fleet.solution)):
            best = self._in_full(self._in_preferred_precision(fleet))
            if best.confirmation.reached:
                return preferred_to(best, confirmed)
        return confirmed

    def _raised_of_types(self, failed: FleetSolution, headroom: Mapping[Kind, float], limit: float) -> None:
        """Look for fleets that hold of the backends and types of one that fails, with more headroom, below a cost."""
        kept = {(backend_of(group.pool), group.pool.instance_type) for group in failed.allocations}
        same = self._formulation.of(
            pool for pool in self.problem.pools if (backend_of(pool), pool.instance_type) in kept
        )
        kinds = {self.kind_of(pool.key) for pool in same.problem.pools}
        least = {kind: headroom.get(kind, 1.0) for kind in kinds}
        self._bisected(same, {kind: factor for kind, factor in least.items() if math.isfinite(factor)}, None, limit)

    def _keeps_to_limits(self, confirmed: Confirmed) -> bool:
        """Whether a confirmed fleet of any question is one of this question too: in its pools, and under its limits."""
        return self._is_allowed(confirmed) and constraints_of(confirmed.formulation.problem) == constraints_of(
            self.problem
        )


def _order(confirmed: Confirmed) -> tuple[int, int, int, float]:
    """Order in which fleets are preferred that cost little more than the cheapest."""
    return *preference(confirmed.solution), confirmed.usd_per_month


def is_preferred(fleet: Confirmed, other: Confirmed) -> bool:
    """Whether a fleet that costs little more than another one is recommended in its place.

    It is in an earlier precision, or simpler, and does not leave what runs and the other keeps.
    """
    if _keeps(other) and not _keeps(fleet):
        return False
    return preference(fleet.solution) < preference(other.solution)


def _keeps(fleet: Confirmed) -> bool:
    return keeps_running(fleet.formulation.problem, fleet.solution)


def preferred_to(best: Confirmed, cheapest: Confirmed) -> Confirmed:
    """A fleet that is recommended in place of the cheapest, which it names; that itself where it costs no more."""
    if best.usd_per_month <= cheapest.usd_per_month:
        return bounded(unproven(best), cheapest)
    kept = replace(best.solution, proven=False, bound_usd_per_month=cheapest.solution.bound_usd_per_month)
    return replace(best, solution=kept, cheapest=cheapest)
