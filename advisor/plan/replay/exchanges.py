"""Cheaper fleets than a confirmed one: its neighbours, and exchanges of instances for others that cost less.

The closed form does not tell which of them hold: a failure for which it asks spare instances may cost a few late
requests. The replays of the search do. The *load* of a kind of replica is the rate that its instances sustain by the
closed form ÷ the planned rate of the busiest hours, less the largest instance that may be lost. A fleet *covers* the
demand where its loads, each ÷ the largest with which its kind was seen to fail, come to 1; of those that do, the one
that covers most is replayed first.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from advisor.plan.problem.constraints import most_headroom
from advisor.plan.problem.formulas import asks_for_what_is_left
from advisor.plan.problem.values import FleetSolution, Infeasible, Problem
from advisor.plan.replay.groups import Confirmed, bounded, instances_of, unproven
from advisor.plan.replay.headroom import (
    LEAST_HEADROOM,
    MANY,
    NEXT_LESS,
    TOLERANCE,
    WORTH_RATIO,
    Bracket,
    FleetLoads,
    Kind,
    Part,
    Way,
    left_by_kind,
    narrowed,
    part_of,
)
from advisor.plan.solve.neighbours import (
    BoughtWay,
    Exchange,
    cheaper_neighbours,
    exchanged,
    exchanges,
    keeps_at_need,
    parts_of,
    topped_up,
)
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.records import dataclass
from advisor.units import A_CENT
from advisor.workload.values import Survive

"""Steps to a cheaper neighbour: most fleets take none, few more than five; of hundreds of machines that the closed form
asks for in vain, each would be one."""
MOST_FAILED = 8
"""Replays that may fail before the search ends."""
MOST_REFUSED = 40
"""Fleets that limits may refuse before the next replay."""
MOST_STEPS = 16
MOST_NEARBY = 64
"""Neighbours that are replayed at most: of most fleets fewer than thirty, of hundreds of machines for one burst they
would be thousands."""
Loads = Mapping[Way, float]


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
    left = MOST_NEARBY
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
        holding = None
        for fleet in islice(replays, left):
            left -= 1
            if fleet.confirmation.reached and _is_below(fleet, best):
                holding = fleet
                break
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


class _Candidate(NamedTuple):
    exchange: Exchange
    loads: Loads


@dataclass(frozen=True, slots=True, eq=False)
class Exchanges:
    """The search of one question."""

    problem: Problem
    kind_of: Callable[[str], Kind]
    """Kind of a pool, by its key."""
    loads_of: Callable[[FleetSolution], FleetLoads]
    late: Callable[[], Sequence[FleetLoads]]
    """Loads of all fleets that failed so far."""
    replay: Callable[[FleetSolution], Confirmed]
    """Plans and replays a fleet."""

    def cheaper(self, best: Confirmed) -> Confirmed:
        """A confirmed fleet, or the last of those that hold, each cheaper by an exchange than the one before."""
        left = MOST_FAILED
        for _ in range(MOST_STEPS):
            fleet, left = self._next(best, left)
            if fleet is None:
                break
            best = unproven(bounded(fleet, best))
        return best

    def _next(self, best: Confirmed, left: int) -> tuple[Confirmed | None, int]:
        """A fleet that holds at a cost worth it, and how many replays may fail after it; None where none is found."""
        limit_usd = best.usd_per_month * (1 - WORTH_RATIO)
        own = self.loads_of(best.solution).parts
        usual = sum(self.left(own).values())
        if usual <= 0:  # a fleet that may lose its only instance
            return None, left
        candidates = [
            _Candidate(exchange, self.left(self._after(own, exchange)))
            for exchange in exchanges(self.problem, best.solution, limit_usd)
        ]
        while left:
            late = self.late()
            needed = needed_loads([self.left(loads.parts) for loads in late], usual)
            covering = [
                (-covered, at)
                for at, candidate in enumerate(candidates)
                if (covered := covered_share(candidate.loads, needed, usual)) >= 1
            ]
            fleets = (
                (at, exchanged(self.problem, best.solution, candidates[at].exchange)) for _, at in sorted(covering)
            )
            fleet, tried = self._allowed(fleets, limit_usd, late)
            if fleet is None:
                break
            confirmed = self.replay(fleet)
            if confirmed.confirmation.reached and confirmed.usd_per_month < limit_usd:
                return confirmed, left
            candidates = [candidate for at, candidate in enumerate(candidates) if at not in tried]
            left -= 1
        return None, left

    def _allowed(
        self, fleets: Iterable[tuple[int, FleetSolution]], limit_usd: float, late: Sequence[FleetLoads]
    ) -> tuple[FleetSolution | None, set[int]]:
        """First fleet that may hold and that every limit allows, and the places of those that limits were asked for.

        They are asked before the replay, since any fleet that it confirms may be chosen.
        """
        tried: set[int] = set()
        for at, fleet in fleets:
            if self.is_known_to_fail(fleet, limit_usd, late):
                continue
            tried.add(at)
            if self.keeps(fleet):
                return fleet, tried
            if len(tried) > MOST_REFUSED:
                break
        return None, tried

    def keeps(self, fleet: FleetSolution) -> bool:
        """Whether every limit allows a fleet."""
        return keeps_at_need(self.problem, fleet)

    def is_known_to_fail(self, fleet: FleetSolution, limit_usd: float, late: Sequence[FleetLoads]) -> bool:
        """Whether a fleet costs too much, carries far too little, or has no more machines than one that failed."""
        return (
            fleet.objective_usd_per_month >= limit_usd
            or most_headroom(self.problem, fleet) < LEAST_HEADROOM
            or self.loads_of(fleet).are_within_any(late)
        )

    def _after(self, own: Sequence[Part], exchange: Exchange) -> Iterator[Part]:
        """Parts of a fleet after an exchange."""
        less = self._part(exchange.given_up, exchange.given_up_count)
        for part in own:
            is_given_up = part.way == less.way and math.isclose(part.instance_load, less.instance_load)
            yield part._replace(instances=part.instances - less.instances) if is_given_up else part
        if exchange.bought is not None:
            yield self._part(exchange.bought, exchange.bought_count)

    def _part(self, bought: BoughtWay, count: int) -> Part:
        return part_of(self.problem, self.kind_of(bought.pool.key), bought.pool, bought.tariff, count)

    def left(self, parts: Iterable[Part]) -> Loads:
        """Load of each kind in the busiest hours, without the largest instance that may be lost."""
        loses_any = self.problem.limits.survival is not Survive.NOTHING
        return left_by_kind(tuple(parts), loses_any=loses_any)


def needed_loads(late: Sequence[Loads], usual: float) -> dict[Way, float]:
    """The largest load with which each kind was seen to fail alone; of others what they failed to add to these."""
    needed: dict[Way, float] = {}
    for loads in late:
        if len(loads) == 1:
            ((way, load),) = loads.items()
            needed |= {way: max(needed.get(way, 0.0), load)} if load > 0 else {}
    added: dict[Way, float] = {}
    for loads in late:
        others = [way for way in loads if way not in needed]
        missing = 1 - sum(load / needed[way] for way, load in loads.items() if way in needed)
        if len(others) == 1 and missing > 0:
            added[others[0]] = max(added.get(others[0], usual), loads[others[0]] / missing)
    return needed | added


def covered_share(loads: Loads, needed: Loads, usual: float) -> float:
    """Share of the demand that some loads cover, those of kinds never seen to fail ÷ a usual one."""
    return sum(load / needed.get(way, usual) for way, load in loads.items())
