"""Fewer larger instances or more smaller ones: each as a fleet of one kind, at what the optimiser would pay for it."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from advisor.plan.fleet.scaling_values import Size, SizeAlternative
from advisor.plan.problem.formulas import Part, hours_per_month, mix_rate, share_without
from advisor.plan.problem.values import FleetSolution, Floats, Infeasible, Paid, Pool, Problem
from advisor.plan.solve.optimise import optimise

SOLVE_SECONDS = 2.0


def main_pool(problem: Problem, solution: FleetSolution) -> Pool:
    """The pool with the most capacity in the busiest hours."""
    rates: dict[str, float] = {}
    pools: dict[str, Pool] = {}
    for one in solution.allocations:
        pools[one.pool.key] = one.pool
        rates[one.pool.key] = rates.get(one.pool.key, 0.0) + one.instances[-1] * mix_rate(problem, one.pool)
    return pools[max(rates, key=lambda key: rates[key])]


def size_alternatives(problem: Problem, solution: FleetSolution) -> tuple[SizeAlternative, ...]:
    """What the main pool of a fleet would cost alone, and the cheapest pools of which fewer or more would be needed.

    A pool is larger if fewer of its instances carry the busiest minute. Of each size the one that costs least at the
    list price with its disk is taken, in the numbers that the hour classes need, and bought as the optimiser would.
    """
    main = main_pool(problem, solution)
    needed = _needed(problem, [main, *problem.pools])
    usd = np.array(
        [_usd_per_month(problem, pool, counts) for pool, counts in zip(problem.pools, needed[1:], strict=True)]
    )
    busiest, others = needed[0, -1], needed[1:, -1]
    fewer, more = others < busiest, np.isfinite(others) & (others > busiest)
    return (
        _alone(problem, Size.AS_PLANNED, main),
        _cheapest(problem, Size.FEWER_LARGER, usd, fewer)
        if busiest > 1
        else SizeAlternative(Size.FEWER_LARGER, "", None, None, "one instance carries the busiest minute"),
        _cheapest(problem, Size.MORE_SMALLER, usd, more),
    )


def _needed(problem: Problem, pools: list[Pool]) -> Floats:
    """Instances that carry the load of each hour class alone, infinite where they cannot: (pools, classes)."""
    rates = np.array([mix_rate(problem, pool) if (pool.mix_rates > 0).all() else 0.0 for pool in pools])
    planned = np.array([hour.planned_rate for hour in problem.hours])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rates[:, None] > 0, np.ceil(planned / rates[:, None] - 1e-9), np.inf)


def _usd_per_month(problem: Problem, pool: Pool, needed: Floats) -> float:
    """At the lowest price without discount, with its disk, and no fewer than zones, replicas and failures ask for."""
    prices = [one.all_usd_per_hour for one in pool.tariffs if one.paid in (Paid.ON_DEMAND, Paid.SERVERLESS)]
    prices = prices or [one.all_usd_per_hour for one in pool.tariffs if one.paid is not Paid.OWNED]
    least = max(problem.limits.zones, np.ceil(problem.limits.min_replicas / pool.replicas))
    left = share_without(problem.limits, Part.MACHINE)
    with_spare = np.maximum(needed, np.ceil(left * needed) + 1) if left else needed
    hours = np.array([hours_per_month(hour) for hour in problem.hours])
    return float(np.maximum(with_spare, least) @ hours) * min(prices, default=np.inf)


def _cheapest(problem: Problem, size: Size, usd: Floats, chosen: npt.NDArray[np.bool_]) -> SizeAlternative:
    priced = np.where(chosen, usd, np.inf)
    best = int(np.argmin(priced))
    if not np.isfinite(priced[best]):
        return SizeAlternative(size, "", None, None, "no type in scope is of that size")
    return _alone(problem, size, problem.pools[best])


def _alone(problem: Problem, size: Size, pool: Pool) -> SizeAlternative:
    """A fleet of one pool, as the optimiser would buy it."""
    found = optimise(replace(problem, pools=(pool,)), SOLVE_SECONDS)
    if isinstance(found, Infeasible):
        names = ", ".join(found.conflict) or "capacity"
        return SizeAlternative(size, pool.key, None, None, f"alone it cannot keep to {names}")
    instances = sum(one.instances[-1] for one in found.allocations)
    return SizeAlternative(size, pool.key, instances, found.objective_usd_per_month, "")
