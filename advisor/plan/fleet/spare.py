"""Instances that the load of the busiest hours does not need, and the limit that keeps them."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from advisor.plan.fleet.chosen import Spare
from advisor.plan.problem.constraints import NEARLY, failures, uses
from advisor.plan.problem.formulas import shares_without
from advisor.plan.problem.values import Allocation, Constraint, FleetSolution, Paid, Problem
from advisor.plan.replay.trials import name_of
from advisor.plan.solve.even import can_carry
from advisor.plan.solve.shares import planned_rates

_WHOLE = "whole instances"
"""Reason of spare that no limit keeps."""
_COUNTED = (Constraint.MIN_REPLICAS, Constraint.ZONES)
"""Limits that ask for so many, whatever they carry."""


def spare_of(problem: Problem, solution: FleetSolution) -> Iterator[Spare]:
    """Instances that could go at once in the busiest hours while the others carry the planned load, and why they stay.

    The dearest capacity first. Instances that carry ``limits.on_demand_base_ratio`` are needed for the load.
    """
    rates = planned_rates(problem, solution)
    left = list(solution.allocations)
    for at in sorted(range(len(left)), key=lambda one: _order(left[one], rates)):
        most = left[at].instances[-1]
        needed = bisect_left(range(most), x=True, key=lambda count: _carries(problem, _with(left, at, count), rates))
        left = _with(left, at, needed)
        if needed < most:
            yield Spare(name_of(left[at]), most - needed, _why(problem, solution, at, most - needed))


def _order(allocation: Allocation, rates: Mapping[str, float]) -> tuple[float, str]:
    rate = max(rates[allocation.pool.key], 1e-12)
    return -allocation.tariff.all_usd_per_hour / rate, name_of(allocation)


def _with(allocations: Sequence[Allocation], at: int, most: int) -> list[Allocation]:
    """The fleet with so many instances of a group at most."""
    fewer = replace(allocations[at], instances=tuple(min(count, most) for count in allocations[at].instances))
    return [*allocations[:at], fewer, *allocations[at + 1 :]]


def _carries(problem: Problem, allocations: Sequence[Allocation], rates: Mapping[str, float]) -> bool:
    """Whether a fleet carries the planned load of the busiest hours, and its base without spot."""
    planned, base_ratio = problem.hours[-1].planned_rate, problem.limits.on_demand_base_ratio
    carried = [(one.instances[-1] * rates[one.pool.key], one.tariff.paid is Paid.SPOT) for one in allocations]
    whole, base = math.fsum(rate for rate, _ in carried), math.fsum(rate for rate, on_spot in carried if not on_spot)
    enough = whole >= planned * (1 - NEARLY) and base >= planned * base_ratio * (1 - NEARLY)
    return enough and (problem.all_alike or can_carry(problem, allocations))


def _why(problem: Problem, solution: FleetSolution, at: int, spare: int) -> str:
    """The limit that is broken first as spare instances of a group go, one after the other."""
    most = solution.allocations[at].instances[-1]

    def broken(gone: int) -> list[str]:
        fewer = tuple(_with(solution.allocations, at, most - gone))
        return list(_broken(problem, replace(solution, allocations=fewer)))

    gone = range(1, spare + 1)
    first = bisect_left(gone, x=True, key=lambda count: bool(broken(count)))
    return broken(gone[first])[0] if first < spare else _WHOLE


def _broken(problem: Problem, solution: FleetSolution) -> Iterator[str]:
    """Limits that ask for more than a fleet has."""
    for left in failures(problem, solution):
        if left.left_ratio < left.needed_ratio * (1 - NEARLY):
            shares = shares_without(problem.limits, left.part)
            rule = max(shares, key=lambda constraint: shares[constraint])
            yield f"survive: {problem.limits.survival.value}" if rule is Constraint.SURVIVE else rule.value
    for use in uses(problem, solution):
        changed = use.name == Constraint.MAX_CHANGED_INSTANCES and use.used > use.limit
        if changed or (use.name in _COUNTED and use.used < use.limit):
            yield use.name
