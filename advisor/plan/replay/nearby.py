"""Cheaper fleets than a confirmed one: its neighbours, and fewer instances than the closed form asks for."""

from collections.abc import Callable, Iterable, Sequence

from advisor.plan.problem.formulas import asks_for_what_is_left
from advisor.plan.problem.values import FleetSolution, Infeasible, Problem
from advisor.plan.replay.confirmed import Confirmed, bounded, instances_of
from advisor.plan.replay.headroom import LEAST_HEADROOM, MANY, NEXT_LESS, TOLERANCE, Bracket, narrowed
from advisor.plan.solve.neighbours import cheaper_neighbours, parts_of, topped_up
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.units import A_CENT

MOST_STEPS = 16
"""Steps to a cheaper neighbour: most fleets take none, few more than five; of hundreds of machines that the closed form
asks for in vain, each would be one."""


def has_room(best: Confirmed) -> bool:
    """Whether a bound leaves room for a fleet that is worth looking for."""
    return best.solution.gap_ratio > TOLERANCE - 1


def cheapest_nearby(
    problem: Problem,
    best: Confirmed,
    failing: Iterable[FleetSolution],
    replay: Callable[[FleetSolution], Confirmed | None],
) -> Confirmed:
    """A confirmed fleet, or the last of its neighbours and theirs that hold, each cheaper than the one before.

    Args:
        problem: pools and limits; the fleet's pools are among them.
        best: the fleet to begin with.
        failing: fleets of one kind that narrowly fail, to be topped up.
        replay: plans and replays a neighbour; None where a limit excludes it, or it is known to fail.
    """
    starts: list[FleetSolution | None] = [*failing]
    if asks_for_what_is_left(problem):
        starts.append(None)
    for _ in range(MOST_STEPS):
        if not has_room(best):
            break
        starts += parts_of(problem, best.solution)
        near = [fleet for start in starts for fleet in topped_up(problem, start, best.usd_per_month)]
        near += cheaper_neighbours(problem, best.solution)
        distinct = {instances_of(fleet): fleet for fleet in near}.values()
        cheap_first = sorted(distinct, key=lambda fleet: fleet.objective_usd_per_month)
        replays = (fleet for fleet in map(replay, cheap_first) if fleet is not None)
        # Its requests may be sent to dearer regions than the closed form sends them to, for an even load.
        holding = next((fleet for fleet in replays if fleet.confirmation.reached and _is_below(fleet, best)), None)
        if holding is None:
            return best
        best, starts = bounded(holding, best), []
    return best


def _is_below(fleet: Confirmed, best: Confirmed) -> bool:
    return fleet.usd_per_month < best.usd_per_month - A_CENT


def _within(bracket: Bracket, ends: Sequence[float], holds: Callable[[float], bool | None]) -> Bracket:
    """A bracket as narrow as trying some headroom makes it."""
    for end in ends:
        if bracket.failed < end < bracket.held:
            bracket = Bracket(bracket.failed, end) if holds(end) else Bracket(end, bracket.held)
    return bracket


def with_fewer(
    best: Confirmed,
    replay_at: Callable[[float], Confirmed | Infeasible],
    in_full: Callable[[Confirmed], Confirmed],
    hint: Bracket | None = None,
) -> tuple[Confirmed, Bracket]:
    """The cheapest fleet of the same kinds whose whole replay holds, however little the closed form has it carry.

    Args:
        best: a confirmed fleet.
        replay_at: the cheapest fleet of its kinds with a headroom below 1, replayed.
        in_full: the same fleet with its whole replay.
        hint: a bracket that is likely to be the one.

    Returns:
        The fleet, and the bracket of its headroom.
    """
    held = best.confirmation.headroom_factor
    tried, bracket = {held: best}, Bracket(LEAST_HEADROOM, held)

    def holds(headroom: float) -> bool | None:
        fleet = replay_at(headroom)
        tried[headroom] = best if isinstance(fleet, Infeasible) else fleet
        return isinstance(fleet, Confirmed) and fleet.confirmation.reached

    ends: Sequence[float] = () if hint is None else (hint.failed, hint.held)
    if hint is None and sum(max(group.instances) for group in best.solution.allocations) >= MANY:
        ends = (held * NEXT_LESS,)
    bracket = _within(bracket, ends, holds)
    if bracket.failed in tried or not holds(LEAST_HEADROOM):
        bracket = narrowed(bracket, holds, tried, best.usd_per_month, exact=False)
    for fleet in sorted(tried.values(), key=lambda fleet: fleet.usd_per_month):
        if fleet.usd_per_month >= best.usd_per_month - HALF_A_CENT:
            return best, bracket
        if fleet.confirmation.reached and (whole := in_full(fleet)).confirmation.reached:
            return bounded(whole, best), bracket
    return best, bracket
