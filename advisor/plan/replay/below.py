"""Fleets that hold although the closed form has them carry less than the planned rates: of every kind, then mixes."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from advisor.plan.problem.formulas import asks_for_what_is_left
from advisor.plan.problem.values import FleetSolution, Infeasible, Pool, Problem
from advisor.plan.replay.confirmed import Confirmed, unproven
from advisor.plan.replay.headroom import EXACT, LEAST_HEADROOM, MOST_HEADROOM, TOLERANCE, WORTH_RATIO, Kind
from advisor.plan.solve.scopes import cheapest_single, is_any_single_below, usd_alone
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.plan.solve.stage import Posed

MIXES_TRIED = 5
"""Headroom of a mix is looked for in so many steps."""
MIXED_KINDS = 4
"""Kinds that are mixed with each other."""

Headroom = Mapping[Kind, float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BelowClosedForm:
    """The search of one question."""

    posed: Posed
    kind_of: Callable[[str], Kind]
    """Of a pool, by its key."""
    optimum: Callable[[Posed, Headroom], Confirmed | Infeasible]
    """The cheapest fleet with some headroom, replayed."""
    mix: Callable[[Posed, Headroom, Confirmed], Confirmed | Infeasible]
    """About the cheapest fleet with some headroom, replayed; the given one where none is cheaper."""
    solved: Callable[[Headroom, Posed, Confirmed | None], FleetSolution | Infeasible]
    """The cheapest fleet with some headroom; the given one where none is cheaper."""
    fewest: Callable[[Posed, Confirmed], Confirmed]
    """The fleet of a question with as little headroom as holds, from one that holds."""

    def cheaper(self, best: Confirmed | None, *, mixed: bool = True) -> Confirmed | None:
        """A fleet that costs less than a confirmed one and holds.

        Each kind is tried by itself with as many instances as cost less, then a mix of what each was not seen to fail
        to carry.

        Args:
            best: a confirmed fleet; None: anything that holds will do.
            mixed: whether mixes are tried.
        """
        most = dict[Kind, float]()
        limit = math.inf if best is None else self._limit(best)
        for kind, pools in self._pools_of_kinds().items():
            of_kind = replace(self.posed.problem, pools=pools)
            below, above = headroom_below(of_kind, limit)
            most[kind] = above if below else math.inf
            for key, headroom in self._tried(of_kind, kind, below, limit):
                only = self._of_pools(pool for pool in pools if pool.key == key)
                fleet = self.optimum(only, {kind: headroom}) if headroom else None
                if isinstance(fleet, Confirmed) and fleet.confirmation.reached and fleet.usd_per_month < limit:
                    return self.cheaper(self.fewest(only, fleet), mixed=mixed)
        return self._of_a_mix(best, most) if best is not None and mixed else best

    def _tried(self, of_kind: Problem, kind: Kind, below: float, limit_usd: float) -> dict[tuple[str, float], None]:
        """Pools of a kind with the headroom with which they cost just less than a limit."""
        single, first = (cheapest_single(with_headroom(of_kind, below)) if below else None), of_kind.pools[0]
        tried = [(single.allocations[0].pool.key, below)] if single is not None else []
        if len(first.tariffs) > 1 and asks_for_what_is_left(of_kind):
            tried.append((first.key, self._below_in_a_mix(kind, first, limit_usd)))
        return dict.fromkeys(tried)

    def _of_pools(self, pools: Iterable[Pool]) -> Posed:
        """The question with some of its pools."""
        return replace(self.posed, problem=replace(self.posed.problem, pools=tuple(pools)))

    def _limit(self, best: Confirmed) -> float:
        """What a fleet has to cost less than to be worth looking for: no less where the best one may be proven."""
        may_be_proven = best.solution.proven and is_one_row(self.posed.problem)
        return best.usd_per_month - HALF_A_CENT if may_be_proven else best.usd_per_month * (1 - WORTH_RATIO)

    def _of_a_mix(self, best: Confirmed, most: Headroom) -> Confirmed:
        """A cheaper mix that holds, each kind carrying as little more than it was seen to fail to carry as costs less.

        Args:
            best: the cheapest fleet so far; proven where there is no such mix, held by its replay or not.
            most: headroom of each kind alone with which it costs about as much as that; infinite where any does.
        """
        pools = [pool for pools in self._pools_of_kinds().values() for pool in pools[:1]]
        able = tuple(pool for pool in pools if math.isfinite(most[self.kind_of(pool.key)]))[:MIXED_KINDS]
        posed = self._of_pools(able)
        worth = best.as_if_at(self._limit(best))
        mix = self.mix(posed, most, worth) if able else worth
        if isinstance(mix, Infeasible) or mix is worth:
            return best if is_one_row(self.posed.problem) and self._is_least(best, most) else unproven(best)
        held = self._mix_below(worth, posed, most, mix)
        return unproven(best) if held is None else self.cheaper(held) or best

    def _mix_below(self, worth: Confirmed, posed: Posed, most: Headroom, mix: Confirmed) -> Confirmed | None:
        """A mix that holds and costs less than a limit, of a few with more headroom; None where none of them is."""
        failed, dear = 1.0, worth.usd_per_month / mix.usd_per_month * TOLERANCE
        for _ in range(MIXES_TRIED):
            if mix.confirmation.reached or dear <= failed * TOLERANCE:
                break
            factor = math.sqrt(failed * dear)
            other = self.mix(posed, {kind: headroom * factor for kind, headroom in most.items()}, worth)
            is_cheaper = isinstance(other, Confirmed) and other is not worth
            failed, dear = (factor, dear) if is_cheaper else (failed, factor)
            mix = other if isinstance(other, Confirmed) and is_cheaper else mix
        return mix if mix.confirmation.reached else None

    def _below_in_a_mix(self, kind: Kind, pool: Pool, limit_usd: float) -> float:
        """Headroom with which a pool paid for in several ways costs less than a limit, to 2 %; 0 without any."""
        only, below = self._of_pools([pool]), 0.0
        headroom, above = LEAST_HEADROOM, MOST_HEADROOM
        while above > below * TOLERANCE:
            fleet = self.solved({kind: headroom}, only, None)
            usd = fleet.objective_usd_per_month if isinstance(fleet, FleetSolution) else math.inf
            if usd < limit_usd:
                below, headroom = headroom, min(headroom * max(limit_usd / usd, TOLERANCE), math.sqrt(headroom * above))
            elif below:
                headroom, above = math.sqrt(below * headroom), headroom
            else:
                break
        return below

    def _is_least(self, best: Confirmed, most: Headroom) -> bool:
        """Whether no mix is cheaper in which kinds that cost more by themselves carry eight times as much."""
        least = {kind: headroom if math.isfinite(headroom) else LEAST_HEADROOM for kind, headroom in most.items()}
        solution = self.solved(least, self.posed, best)
        return isinstance(solution, FleetSolution) and solution.allocations is best.solution.allocations

    def _pools_of_kinds(self) -> Mapping[Kind, tuple[Pool, ...]]:
        """The cheapest pool of each kind and instance type, those kinds first that would cost least."""
        usd = usd_alone(self.posed.problem)
        pools: dict[Kind, dict[str, Pool]] = {}
        for pool in sorted(self.posed.problem.pools, key=lambda pool: (usd[pool.key], pool.key)):
            pools.setdefault(self.kind_of(pool.key), {}).setdefault(pool.instance_type, pool)
        return {kind: tuple(by_type.values()) for kind, by_type in pools.items()}


def is_one_row(problem: Problem) -> bool:
    """Whether all that is asked of a fleet's rates is that they carry one rate."""
    return len(problem.hours) == 1 and problem.all_alike and not asks_for_what_is_left(problem)


def headroom_below(problem: Problem, limit_usd: float) -> tuple[float, float]:
    """Headroom with which one pool, paid for in one way, costs just less than a limit, and one with which none does.

    Args:
        problem: with pools of one kind.
        limit_usd: USD a month.

    Returns:
        Both from an eighth on; 0 and an eighth where no fleet costs less.
    """

    def costs_less(headroom: float) -> bool:
        return is_any_single_below(with_headroom(problem, headroom), limit_usd)

    if not costs_less(LEAST_HEADROOM):
        return 0.0, LEAST_HEADROOM
    below, above = LEAST_HEADROOM, LEAST_HEADROOM
    while below == above and above < MOST_HEADROOM:
        above *= 2
        below = above if costs_less(above) else below
    while above > below * EXACT:
        middle = math.sqrt(below * above)
        below, above = (middle, above) if costs_less(middle) else (below, middle)
    return below, above


def with_headroom(problem: Problem, headroom: float) -> Problem:
    """The problem with every pool taken to sustain so many times less."""
    pools = tuple(
        replace(pool, mix_rates=pool.mix_rates / headroom, rates=pool.rates / headroom) for pool in problem.pools
    )
    return replace(problem, pools=pools)
