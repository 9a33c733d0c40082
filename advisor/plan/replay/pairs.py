"""Fleets of one or two groups that cost less than a confirmed fleet, whatever that one consists of.

A search that goes from fleet to fleet by small steps comes to none that differs from the best one in all its groups.
Fleets of two groups are few enough to be counted out: the instances of the first, and as many of the second as cost
less. What the replays of the search have shown each kind to fail with tells which of them is replayed first, as for
exchanges (:mod:`advisor.plan.replay.exchanges`).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

from advisor.plan.problem.formulas import Part, hours_per_month, mix_rate, share_without
from advisor.plan.problem.values import Allocation, FleetSolution, Problem
from advisor.plan.replay.exchanges import Exchanges, covered_share, needed_loads
from advisor.plan.replay.groups import Confirmed, bounded, unproven
from advisor.plan.replay.headroom import WORTH_RATIO, Kind, Way, left_after_each, part_of
from advisor.plan.solve.neighbours import ADDED, BoughtWay, is_simple, loaded_fleet
from advisor.plan.solve.scopes import scope_of
from advisor.units import HOURS_PER_MONTH, ROUNDING

MOST_WAYS = 10
"""Ways of adding instances that are paired, those of the fleet's own accelerators first."""
MOST_INSTANCES = 24
"""Instances of the dearer way of a pair: steps come to fleets of more."""
MOST_FAILED = 6
"""Replays that may fail before the search ends."""
MOST_OF_KINDS = 2
"""Replays of fleets of the same kinds among these."""
MOST_STEPS = 8
COVERED = 1 - ROUNDING
"""Share of the demand that a pair has to cover."""
LEAST_LEFT = 0.6
"""A pair of which a failure leaves less, by the closed form, of what it leaves of the best fleet is not tried."""


class Counted(NamedTuple):
    """A fleet that may hold; those with more of the first and then of the second are replayed first."""

    promise: float
    second_promise: float
    kinds: frozenset[Kind | Way]
    """Kinds that it consists of, of which few may fail."""
    ways: tuple[BoughtWay, ...]
    counts: tuple[int, ...]
    """In the busiest hours."""


def cheaper_pairs(search: Exchanges, best: Confirmed) -> Confirmed:
    """A confirmed fleet, or the last of those of two groups that hold, each cheaper than the one before."""
    return cheaper_counted(search, best, _pairs)


def cheaper_counted(
    search: Exchanges, best: Confirmed, counted: Callable[[Exchanges, Confirmed, float], Iterable[Counted]]
) -> Confirmed:
    """A confirmed fleet, or the last of those counted out that hold, each cheaper than the one before.

    Args:
        search: the question.
        best: the fleet to begin with.
        counted: fleets that may cost less than an amount, and less than a fleet.
    """
    failed = Counter[frozenset[Kind | Way]]()
    for _ in range(MOST_STEPS if is_simple(search.problem) else 0):
        limit_usd = best.usd_per_month * (1 - WORTH_RATIO)
        fleet = _first_below(search, counted(search, best, limit_usd), limit_usd, failed)
        if fleet is None:
            break
        best = unproven(bounded(fleet, best))
    return best


def _first_below(
    search: Exchanges, counted: Iterable[Counted], limit_usd: float, failed: Counter[frozenset[Kind | Way]]
) -> Confirmed | None:
    """The first fleet that holds below a cost; None where none is found."""
    refused = 0
    for fleet in sorted(counted, reverse=True, key=lambda fleet: (round(fleet.promise, 3), fleet.second_promise)):
        if failed.total() >= MOST_FAILED or refused > MOST_FAILED:
            break
        if failed[fleet.kinds] >= MOST_OF_KINDS:
            continue
        solution = _fleet(search.problem, fleet)
        if search.is_known_to_fail(solution, limit_usd, search.late()):
            continue
        if not search.keeps(solution):
            refused += 1
            continue
        confirmed = search.replay(solution)
        if confirmed.confirmation.reached and confirmed.usd_per_month < limit_usd:
            return confirmed
        failed[fleet.kinds] += 1
    return None


def _pairs(search: Exchanges, best: Confirmed, limit_usd: float) -> Iterator[Counted]:
    """Pairs of ways with each number of instances of the first, and as many of the second as cost less than a limit."""
    problem, limits = search.problem, search.problem.limits
    usual = min(sum(left.values()) for left in left_after_each(search.loads_of(best.solution).parts, limits))
    if usual <= 0:
        return
    late = (min(left_after_each(loads.parts, limits), key=lambda left: sum(left.values())) for loads in search.late())
    needed = _of_either_payment(needed_loads(list(late), usual))
    left_usd = limit_usd - max(best.usd_per_month - own_usd(problem, best), 0.0)
    for first, second in combinations(_ways(search, best, left_usd), 2):
        usd = [usd_per_month(problem, way) for way in (first, second)]
        kinds = [search.kind_of(way.pool.key) for way in (first, second)]
        for count in range(1, min(int(left_usd / usd[0]), MOST_INSTANCES) + 1):
            counts = (count, math.ceil((left_usd - count * usd[0]) / usd[1]) - 1)
            if counts[1] < 1:
                break
            parts = [
                part_of(problem, kind, way.pool, way.tariff, number)
                for kind, way, number in zip(kinds, (first, second), counts, strict=True)
            ]
            lefts = list(left_after_each(parts, limits))
            left_load = min(sum(left.values()) for left in lefts)
            covered = min(covered_share(left, needed, usual) for left in lefts)
            if covered >= COVERED and left_load >= LEAST_LEFT * usual:
                yield Counted(covered, left_load, frozenset(kinds), (first, second), counts)


def _of_either_payment(needed: Mapping[Way, float]) -> dict[Way, float]:
    """Loads that kinds need, those that are known of one on spot for it on demand too, and the other way round."""
    return {(kind, not on_spot): load for (kind, on_spot), load in needed.items()} | dict(needed)


def _ways(search: Exchanges, best: Confirmed, most_usd: float) -> list[BoughtWay]:
    """The cheapest way of each machine that is as fast, of those that promise most for what they cost; dear ones first.

    Args:
        search: the question.
        best: whose scope, and accelerators before others, they are of.
        most_usd: USD a month that an instance costs at most.
    """
    problem, groups = search.problem, best.solution.allocations
    scopes, supplies = {scope_of(problem, group.pool) for group in groups}, {group.pool.supply for group in groups}
    cheapest: dict[tuple[object, ...], BoughtWay] = {}
    for pool in problem.pools:
        if scope_of(problem, pool) not in scopes or not pool.serves_all_places or mix_rate(problem, pool) <= 0:
            continue
        for way in (BoughtWay(pool, tariff) for tariff in pool.tariffs if tariff.paid in ADDED):
            key = (search.kind_of(pool.key), pool.replicas, pool.region, way.tariff.paid)
            if way.usd_per_hour > 0 and usd_per_month(problem, way) < most_usd:
                cheapest[key] = min(cheapest.get(key, way), way, key=lambda way: way.usd_per_hour)
    ways = sorted(cheapest.values(), key=lambda way: (way.pool.supply not in supplies, way.usd_per_request(problem)))
    return sorted(ways[:MOST_WAYS], key=lambda way: -way.usd_per_hour)


def own_usd(problem: Problem, best: Confirmed) -> float:
    """About what the instances of a fleet cost: the rest is for all of it."""
    return sum(
        usd_per_month(problem, BoughtWay(group.pool, group.tariff)) * max(group.instances)
        for group in best.solution.allocations
    )


def usd_per_month(problem: Problem, way: BoughtWay) -> float:
    """About what an instance costs that runs in as large a part of the hours as the demand of the busiest takes."""
    if way.tariff.paid.always:
        return way.usd_per_hour * HOURS_PER_MONTH
    busiest = problem.hours[-1].planned_rate
    return way.usd_per_hour * sum(hours_per_month(hour) * hour.planned_rate / busiest for hour in problem.hours)


def _fleet(problem: Problem, counted: Counted) -> FleetSolution:
    """The fleet, in quieter hours with as large a part of it as they ask for."""
    ways = [(way, count) for way, count in zip(counted.ways, counted.counts, strict=True) if count]
    spare = int(share_without(problem.limits, Part.MACHINE) > 0)
    groups = tuple(Allocation(way.pool, way.tariff, tuple(_counts(problem, way, count, spare))) for way, count in ways)
    return loaded_fleet(problem, groups)


def _counts(problem: Problem, way: BoughtWay, count: int, spare: int) -> Iterator[int]:
    busiest = problem.hours[-1].planned_rate
    for hour in problem.hours:
        part = math.ceil((count - spare) * hour.planned_rate / busiest - ROUNDING) + spare
        yield count if way.tariff.paid.always else min(part, count)
