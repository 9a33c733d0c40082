"""A fleet of one pool paid for in one way, in closed form: what the program finds for that pool alone.

Each hour class has a fewest number of instances that carries its load and keeps to every floor and failure rule. Where
starts cost more than running through quieter hours, those have as many as busier ones.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from advisor.plan.problem.constraints import caps, is_broken
from advisor.plan.problem.formulas import (
    Part,
    hours_per_month,
    instance_usd_per_month,
    lost_in_zone,
    mix_rate,
    share_without,
)
from advisor.plan.problem.limits import CONSTRAINTS, Constraint
from advisor.plan.problem.values import Allocation, FleetSolution, Floats, Pool, Problem, PurchaseOption, Tariff
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.program import ALMOST_ONE
from advisor.records import dataclass
from advisor.units import HOURS_PER_MONTH

ROUNDING = 1e-6
Instances = tuple[str, Tariff, tuple[int, ...]]
"""Key of a fleet of one pool: its pool's key, how it is paid for, and its instances in each hour class."""


@dataclass(frozen=True, slots=True)
class Missed:
    """The limit that no number of instances keeps to."""

    constraint: Constraint
    needed: float
    available: float
    unit: str


def alone(
    problem: Problem, pool: Pool, tariff: Tariff, known_usd: dict[Instances, float] | None = None
) -> FleetSolution | Missed:
    """The cheapest fleet of a pool under a tariff, or the limit that it cannot keep.

    Args:
        problem: the question.
        pool: what runs.
        tariff: how it is paid for.
        known_usd: USD a month of fleets of the problem's pools, however much those sustain, to which it is added.
    """
    planned, load = [hour.planned_rate for hour in problem.hours], load_of(problem, pool, 1.0)
    if not math.isfinite(load):
        return Missed(Constraint.DEMAND, planned[0], 0.0, "requests/s")
    asked = _asked(problem, pool, load)
    counts = [_instances(problem, pool, tariff, asked, rate) for rate in planned]
    missed = next((count for count in counts if isinstance(count, Missed)), None)
    if missed is not None:
        return missed
    fewest = [count for count in counts if isinstance(count, int)]
    if tariff.paid is PurchaseOption.SERVERLESS:
        instances = tuple(fewest)
    elif not tariff.paid.always:
        usd_by_class = [instance_usd_per_month(problem, pool, tariff, at) for at in range(len(fewest))]
        instances = cheapest_counts(fewest, usd_by_class)
    else:
        instances = (max(fewest),) * len(fewest)
        if tariff.paid is PurchaseOption.COMMITMENT and not _used_long_enough(problem, pool, tariff, instances[-1]):
            allowed = _most_committed(problem, pool, tariff, instances[-1])
            return Missed(Constraint.COMMITMENT_LOW_BAND, float(instances[-1]), float(allowed), "instances")
    allocations = (Allocation(pool, tariff, instances),)
    shares = whole_shares(problem, pool)
    known_usd, key = {} if known_usd is None else known_usd, (pool.key, tariff, instances)
    usd = known_usd.get(key)
    if usd is None:
        usd = known_usd[key] = objective_usd_per_month(problem, allocations, shares)
    solution = FleetSolution(allocations, shares, usd, usd, proven=True)
    return _beyond(problem, solution) or solution


def cheapest_counts(fewest: Sequence[int], usd: Sequence[float]) -> tuple[int, ...]:
    """Counts that never fall from a class to a busier one, none below the fewest, at least ``Σ usd · count``.

    Where nothing is gained by running each has as few as it may; else by dynamic programming over the classes, each of
    which has one of the fewest numbers of all.

    Args:
        fewest: instances of each class at least.
        usd: what one instance costs for running in each class, starts included; it may be negative.
    """
    if min(usd) >= 0:
        return tuple(accumulate(fewest, max))
    levels = sorted(set(fewest))
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for least, cost in zip(fewest, usd, strict=True):
        best = {
            level: min(
                (total + cost * level, (*counts, level)) for before, (total, counts) in best.items() if before <= level
            )
            for level in levels
            if level >= least and any(before <= level for before in best)
        }
    return min(best.values())[1]


def whole_shares(problem: Problem, pool: Pool) -> Mapping[str, Floats]:
    """All requests to one pool: (classes, places, buckets or 1)."""
    return {pool.key: _whole(len(problem.hours), len(problem.place_shares), problem.parts.size)}


@lru_cache
def _whole(classes: int, places: int, buckets: int) -> Floats:
    """Shares of 1, which nobody changes."""
    shares = np.ones((classes, places, buckets))
    shares.flags.writeable = False
    return shares


def load_of(problem: Problem, pool: Pool, rate: float) -> float:
    """Instances of a pool that a rate of all requests keeps busy; infinite where some users are too far."""
    if not len(problem.bucket_shares):
        return rate / mix_rate(problem, pool) if pool.serves_all_places else math.inf
    with np.errstate(divide="ignore"):
        mixed: Floats = 1 / pool.mix_rates
        apart: Floats = (problem.bucket_shares / pool.rates).sum(axis=1)
    return rate * float(problem.place_shares @ np.minimum(mixed, apart))


class _Asked(NamedTuple):
    """Instances that limits ask of a pool, for each request per second that is planned."""

    load: float
    """Instances that it keeps busy."""
    usual: float
    """Instances that sustain it at the rate of the mix."""
    machine: float
    """Of those, what is left without a machine."""
    zone: float
    """The same without a zone."""
    supply: float
    """Instances that the loss of a spot supply must leave."""


def _asked(problem: Problem, pool: Pool, load: float) -> _Asked:
    usual = 1 / mix_rate(problem, pool)
    machine, zone, supply = (share_without(problem.limits, part) for part in (Part.MACHINE, Part.ZONE, Part.SUPPLY))
    return _Asked(load, usual, machine * usual, zone * usual, load - (1 - supply) * usual if supply > 0 else 0.0)


def _instances(problem: Problem, pool: Pool, tariff: Tariff, asked: _Asked, planned: float) -> int | Missed:
    limits, load = problem.limits, planned * asked.load
    if planned <= 0 and problem.scaling.scale_to_zero:
        return int(tariff.paid.keeps_one)
    if limits.max_replicas is not None and load * pool.replicas > limits.max_replicas + ROUNDING:
        return Missed(Constraint.MAX_REPLICAS, math.ceil(load * pool.replicas), limits.max_replicas, "replicas")
    fewest = max(math.ceil(_rounded(load)), limits.zones, math.ceil(limits.min_replicas / pool.replicas))
    return _with_failures(problem, pool, tariff, asked, planned, fewest)


def _rounded(instances: float) -> float:
    """A number of instances less the error of its sums; never 0 for a load that takes a millionth of one."""
    return instances - ROUNDING * min(instances, 1.0)


def _with_failures(
    problem: Problem, pool: Pool, tariff: Tariff, asked: _Asked, planned: float, fewest: int
) -> int | Missed:  # fmt: skip
    """The fewest instances that leave enough of the load served whichever machine, zone or spot supply fails.

    Args:
        problem: limits.
        pool: what runs.
        tariff: how it is paid for.
        asked: for each request per second.
        planned: requests per second.
        fewest: without failures; one at least.
    """
    on_spot, base = tariff.paid is PurchaseOption.SPOT, problem.limits.on_demand_base_ratio
    if on_spot and base > 0 and planned * asked.load > 0:
        return Missed(Constraint.ON_DEMAND_BASE, base, 0.0, "share of requests")
    of_base, without_one = _rounded(base * (planned * asked.usual)), _rounded(planned * asked.machine)
    count = max(fewest, math.ceil(of_base), math.ceil(without_one) + 1)
    zone, supply = planned * asked.zone, planned * asked.supply
    left = max(zone, supply if on_spot else 0.0)
    if left <= 0:
        return count
    wanted = max(problem.limits.zones, 2)
    if pool.zones < wanted:
        name = Constraint.SPOT_REROUTE if on_spot and supply >= zone else Constraint.ZONES
        return Missed(name, float(wanted), float(pool.zones), "zones")
    count = max(count, math.ceil(_rounded(left) * pool.zones / (pool.zones - 1)) - 1)
    while count - lost_in_zone(count, pool.zones) < _rounded(left):
        count += 1
    return count


def _used_long_enough(problem: Problem, pool: Pool, tariff: Tariff, committed: int) -> bool:
    """Whether what is committed beyond the spare is in use for its break-even time at the low edge of the forecast.

    One instance is spare at any load, and so is what runs beyond twice the load of the busiest hours.
    """
    if not problem.low_band:
        return True
    busiest = max(load_of(problem, pool, hour.planned_rate) for hour in problem.hours)
    kept = 1 + max(math.floor(committed - 2 * busiest + ROUNDING), 0)
    beyond = committed - max(min(math.floor(committed - busiest + ROUNDING), kept), 0)
    low = [load_of(problem, pool, hour.low_rate) + ALMOST_ONE for hour in problem.hours]
    used = sum(min(beyond, most) * hours_per_month(hour) for most, hour in zip(low, problem.hours, strict=True))
    return beyond <= low[-1] and used >= tariff.break_even_ratio * beyond * HOURS_PER_MONTH - ROUNDING


def _most_committed(problem: Problem, pool: Pool, tariff: Tariff, refused: int) -> int:
    """Most instances below a refused number that are used long enough to be committed, by bisection."""
    counts = range(refused)
    return max(bisect_left(counts, x=True, key=lambda n: not _used_long_enough(problem, pool, tariff, n)) - 1, 0)


def _beyond(problem: Problem, solution: FleetSolution) -> Missed | None:
    """The first cap that a fleet is beyond."""
    for use in caps(problem, solution):
        name = CONSTRAINTS[use.name]
        idle = name is Constraint.MAX_CHANGED_INSTANCES and not problem.running
        if not idle and is_broken(use):
            return Missed(name, use.used, use.limit, use.unit)
    return None
