"""Instances that the planned load of the busiest hours does not need, what keeps them, and what they cost."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from advisor.plan.fleet.chosen import Confirmation, Spare
from advisor.plan.problem.constraints import NEARLY, failures, uses
from advisor.plan.problem.formulas import mix_rate, shares_without
from advisor.plan.problem.values import Allocation, Constraint, FleetSolution, Problem, PurchaseOption
from advisor.plan.replay.confirmed import Confirmed, worst_share
from advisor.plan.replay.targets import name_of
from advisor.plan.solve.even import can_carry
from advisor.plan.solve.objective import allocation_usd_per_month
from advisor.plan.solve.shares import planned_rates
from advisor.plan.solve.stage import Formulation
from advisor.records import replace

Replayed = Callable[[Formulation, FleetSolution], Confirmation]
"""What a replay makes of a fleet."""

NO_RULE, REPLAY = "none", "replay"
"""Reasons of spare that no limit keeps: none that is known, or its replay."""
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
            yield from _by_reason(problem, solution, at, most - needed)


def judged_spare(confirmed: Confirmed, spare: Iterable[Spare], replayed: Replayed) -> Iterator[Spare]:
    """Spare, with what a replay makes of the fleet without that which no limit keeps."""
    names = [name_of(allocation) for allocation in confirmed.solution.allocations]
    for one in spare:
        if one.why != NO_RULE:
            yield one
            continue
        fewer = without(confirmed.solution, names.index(one.group), one.instances)
        confirmation = replayed(confirmed.formulation, fewer)
        share = worst_share(replace(confirmed, confirmation=confirmation))
        yield one if confirmation.reached else replace(one, why=REPLAY, without_within_slo_ratio=share)


def _order(allocation: Allocation, rates: Mapping[str, float]) -> tuple[float, str]:
    rate = max(rates[allocation.pool.key], 1e-12)
    return -allocation.tariff.all_usd_per_hour / rate, name_of(allocation)


def _with(allocations: Sequence[Allocation], at: int, most: int) -> list[Allocation]:
    """The fleet with so many instances of a group at most."""
    fewer = replace(allocations[at], instances=tuple(min(count, most) for count in allocations[at].instances))
    return [*allocations[:at], fewer, *allocations[at + 1 :]]


def _carries(problem: Problem, allocations: Sequence[Allocation], rates: Mapping[str, float]) -> bool:
    """Whether a fleet carries the planned load of the busiest hours, and its base without spot.

    Instances of the base count as the limit has it, at their rate for the requests of all places that they serve.
    """
    planned, base_ratio = problem.hours[-1].planned_rate, problem.limits.on_demand_base_ratio
    steady = [allocation for allocation in allocations if allocation.tariff.paid is not PurchaseOption.SPOT]
    whole = math.fsum(allocation.instances[-1] * rates[allocation.pool.key] for allocation in allocations)
    base = math.fsum(allocation.instances[-1] * mix_rate(problem, allocation.pool) for allocation in steady)
    enough = whole >= planned * (1 - NEARLY) and base >= planned * base_ratio * (1 - NEARLY)
    return enough and (problem.all_alike or can_carry(problem, allocations))


def _by_reason(problem: Problem, solution: FleetSolution, at: int, spare: int) -> Iterator[Spare]:
    """Spare of a group: what no limit keeps, and what the limit does that is broken first as more of it goes."""
    allocation = solution.allocations[at]
    _most, name = allocation.instances[-1], name_of(allocation)

    def broken(gone: int) -> list[str]:
        return list(_broken(problem, without(solution, at, gone)))

    def usd(gone: int) -> float:
        fewer = without(solution, at, gone).allocations[at]
        return allocation_usd_per_month(problem, allocation) - allocation_usd_per_month(problem, fewer)

    gone = range(1, spare + 1)
    free = bisect_left(gone, x=True, key=lambda count: bool(broken(count)))
    if free < spare:
        usd_per_month = round(usd(spare) - usd(free), 2)
        yield Spare(name, spare - free, broken(gone[free])[0], usd_per_month)
    if free:
        yield Spare(name, free, NO_RULE, round(usd(free), 2))


def without(solution: FleetSolution, at: int, gone: int) -> FleetSolution:
    """A fleet without so many of a group's instances in the busiest hours, and no more than that in others."""
    most = solution.allocations[at].instances[-1] - gone
    return replace(solution, allocations=tuple(_with(solution.allocations, at, most)))


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
