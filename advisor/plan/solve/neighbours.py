"""Fleets that are a little cheaper than a given one: one instance fewer, or some exchanged for others."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import Allocation, FleetSolution, Infeasible, Paid, Pool, Problem
from advisor.plan.solve.optimise import objective_usd_per_month, optimise
from advisor.plan.solve.solver import DEFAULT_SECONDS
from advisor.units import HOURS_PER_MONTH

MOST = 10
"""Neighbours that are looked at, those that cost the most first left."""
OTHERS = 3
"""Cheaper pools, and dearer ones, that instances may be exchanged for."""
ROUNDING = 1e-9
_COUNTED = (Paid.ON_DEMAND, Paid.COMMITMENT, Paid.OWNED)
"""What is bought one by one, where spot comes in multiples of zones."""


def cheaper_neighbours(problem: Problem, solution: FleetSolution) -> list[FleetSolution]:
    """Neighbours of a fleet that carry the load at their pools' rates and keep to every limit, the cheapest first.

    None where requests are not alike to the router, or where changes or types are counted.
    """
    if not _simple(problem):
        return []
    priced = [_fleet(problem, one) for one in _changed(problem, _own(problem, solution)) if one]
    below = [one for one in priced if one.objective_usd_per_month < solution.objective_usd_per_month]
    dearest = sorted(below, key=lambda one: one.objective_usd_per_month)[-MOST:]
    return [one for one in dearest if _keeps_to_all(problem, one)]


def topped_up(problem: Problem, solution: FleetSolution, below_usd: float) -> list[FleetSolution]:
    """A fleet that fails, with about as many instances of another pool as cost less than a fleet that holds.

    Args:
        problem: pools and limits.
        solution: the fleet that fails.
        below_usd: USD a month of the other.
    """
    left = below_usd - solution.objective_usd_per_month
    if not _simple(problem) or left <= 0:
        return []
    own = _own(problem, solution)
    regions, kinds = {one.pool.region for one in own}, {one.pool.key for one in own}
    prices = sorted(
        (tariff.all_usd_per_hour / mix_rate(problem, pool), tariff.all_usd_per_hour, pool.key, pool)
        for pool in problem.pools
        for tariff in pool.tariffs
        if tariff.paid is Paid.ON_DEMAND
        and pool.region in regions
        and pool.key not in kinds
        and mix_rate(problem, pool) > 0
    )
    affordable = [price for price in prices if price[1] * HOURS_PER_MONTH < left][:OTHERS]
    fleets = [
        _fleet(problem, _joined(own, pool, (count,) * len(problem.hours)))
        for _, usd, _, pool in affordable
        for count in range(int(left / (usd * HOURS_PER_MONTH)), 0, -1)[:OTHERS]
    ]
    below = [one for one in fleets if one.objective_usd_per_month < below_usd]
    return [one for one in below if _keeps_to_all(problem, one)]


def _simple(problem: Problem) -> bool:
    limits = problem.limits
    return problem.all_alike and limits.max_changed_instances is None and limits.max_instance_types is None


def _own(problem: Problem, solution: FleetSolution) -> tuple[Allocation, ...]:
    """The groups of a fleet with the rates that the closed form has for their pools."""
    pools = {pool.key: pool for pool in problem.pools}
    return tuple(replace(one, pool=pools[one.pool.key]) for one in solution.allocations)


def _changed(problem: Problem, own: tuple[Allocation, ...]) -> Iterator[tuple[Allocation, ...]]:
    for at, one in enumerate(own):
        if one.tariff.paid not in _COUNTED:
            continue
        others = (own[:at], own[at + 1 :])
        yield from _without(others, one, 1)
        yield from _without(others, one, 2)
        for usd, pool in _others(problem, one):
            price = one.tariff.all_usd_per_hour
            taken = max(math.ceil(usd / price + ROUNDING), 1)
            given = max(math.ceil(price * taken / usd - ROUNDING) - 1, 1)
            for rest in _without(others, one, taken):
                yield _joined(rest, pool, tuple(min(count, taken) * given // taken for count in one.instances))


def _without(
    others: tuple[tuple[Allocation, ...], tuple[Allocation, ...]], one: Allocation, taken: int
) -> Iterator[tuple[Allocation, ...]]:  # fmt: skip
    """The fleet with so many instances of a group fewer; nothing where it has fewer than that in its busiest hours."""
    if max(one.instances) >= taken:
        fewer = replace(one, instances=tuple(max(count - taken, 0) for count in one.instances))
        yield (*others[0], *((fewer,) if any(fewer.instances) else ()), *others[1])


def _others(problem: Problem, one: Allocation) -> list[tuple[float, Pool]]:
    """The next cheaper and the next dearer pools in the region on demand, with their prices."""
    usd = one.tariff.all_usd_per_hour
    prices = sorted(
        (tariff.all_usd_per_hour, pool.key, pool)
        for pool in problem.pools
        for tariff in pool.tariffs
        if tariff.paid is Paid.ON_DEMAND and pool.region == one.pool.region and mix_rate(problem, pool) > 0
    )
    cheaper = [(price, pool) for price, _, pool in prices if price < usd]
    dearer = [(price, pool) for price, _, pool in prices if price > usd]
    return [*cheaper[-OTHERS:], *dearer[:OTHERS]]


def _joined(rest: tuple[Allocation, ...], pool: Pool, more: tuple[int, ...]) -> tuple[Allocation, ...]:
    """A fleet with so many more instances of a pool, on demand."""
    tariff = next(one for one in pool.tariffs if one.paid is Paid.ON_DEMAND)
    for at, one in enumerate(rest):
        if (one.pool.key, one.tariff) == (pool.key, tariff):
            counts = tuple(a + b for a, b in zip(one.instances, more, strict=True))
            return (*rest[:at], replace(one, instances=counts), *rest[at + 1 :])
    return (*rest, Allocation(pool, tariff, more))


def _fleet(problem: Problem, allocations: tuple[Allocation, ...]) -> FleetSolution:
    """A fleet loaded by capacity."""
    rates = {one.pool.key: np.zeros(len(problem.hours)) for one in allocations}
    for one in allocations:
        rates[one.pool.key] += np.array(one.instances) * mix_rate(problem, one.pool)
    whole = np.sum(list(rates.values()), axis=0)
    shares = {
        key: np.divide(rate, whole, out=np.zeros(whole.size), where=whole > 0)[:, None, None]
        for key, rate in rates.items()
    }
    usd = objective_usd_per_month(problem, allocations, shares)
    return FleetSolution(allocations, shares, usd, 0.0, proven=False)


def _keeps_to_all(problem: Problem, fleet: FleetSolution) -> bool:
    """Whether so many instances at most allow a fleet; they are quotas of a smaller problem."""
    most: dict[tuple[str, str], float] = {}
    for one in fleet.allocations:
        key = (f"most of {one.pool.key}", one.tariff.paid.market)
        most[key] = most.get(key, 0.0) + max(one.instances)
    used = {one.pool.key: one.pool for one in fleet.allocations}
    pools = tuple(
        replace(
            pool, quotas={**pool.quotas, **{(f"most of {pool.key}", market): 1.0 for market in ("on_demand", "spot")}}
        )
        for pool in used.values()
    )
    limits = {key: 0.0 for pool in pools for key in pool.quotas if key not in problem.quota_limits}
    capped = replace(problem, pools=pools, quota_limits={**problem.quota_limits, **limits, **most})
    return not isinstance(optimise(capped, DEFAULT_SECONDS), Infeasible)
