"""Use of each stated limit by a fleet, and what failures leave of it."""

import math
from collections.abc import Iterator
from functools import partial

from advisor.plan.fleet.chosen import ConstraintUse
from advisor.plan.problem import formulas
from advisor.plan.problem.limits import (
    CONSTRAINTS,
    IN_PROPORTION,
    RULED,
    Constraint,
    caps_in_proportion,
    changed_instances,
    rules,
)
from advisor.plan.problem.values import Allocation, FleetSolution, Problem, PurchaseOption
from advisor.records import dataclass
from advisor.units import ROUNDING

NEARLY = 1e-6


@dataclass(frozen=True, slots=True)
class FailureLeft:
    """Share of the planned load left without the part whose loss takes most, in the hours that it hits hardest."""

    part: formulas.Part
    name: str
    """Pool, region or spot supply of the part."""
    left_ratio: float
    """Rate that the other instances sustain ÷ planned rate."""
    needed_ratio: float
    """What the limits ask for; 0: nothing."""


def failures(problem: Problem, solution: FleetSolution) -> Iterator[FailureLeft]:
    """Share left without one machine, one zone, and one spot supply in a zone; the last only where spot is used."""
    for part in formulas.Part:
        left = formulas.left_without(problem, solution.allocations, part)
        if left:
            name = min(left, key=lambda failed: left[failed])
            yield FailureLeft(part, name, left[name], formulas.share_without(problem.limits, part))


def most_headroom(problem: Problem, solution: FleetSolution) -> float:
    """Factor by which each instance may sustain less while all carry every hour, and what is left carries its share."""
    planned = [(at, hour.planned_rate) for at, hour in enumerate(problem.hours) if hour.planned_rate > 0]
    whole = [_sustained(problem, solution, at) / rate for at, rate in planned]
    left = [
        failure.left_ratio / failure.needed_ratio for failure in failures(problem, solution) if failure.needed_ratio > 0
    ]
    ratio = problem.limits.on_demand_base_ratio
    base = [_headroom_of_base(problem, solution, at, ratio * rate) for at, rate in planned if ratio > 0]
    zones = [formulas.zone_room(problem, solution.allocations)] if planned and problem.limits.zones > 1 else []
    return min((*whole, *left, *base, *zones), default=1.0)


def _sustained(problem: Problem, solution: FleetSolution, at: int) -> float:
    """Requests per second of all instances in an hour class."""
    return sum(
        allocation.instances[at] * formulas.mix_rate(problem, allocation.pool) for allocation in solution.allocations
    )


def _headroom_of_base(problem: Problem, solution: FleetSolution, at: int, needed: float) -> float:
    """Factor by which each instance may sustain less while what is not on spot carries so much; 0 where it never does.

    An instance carries ``min(rate ÷ factor, what its kind carries by itself)``: the second at first, and the first from
    a factor on that is its own.
    """
    running = [allocation for allocation in solution.allocations if allocation.instances[at]]
    steady = [(group.instances[at], group.pool) for group in running if group.tariff.paid is not PurchaseOption.SPOT]
    if len(steady) == len(running):
        return math.inf
    rates = [
        (count * formulas.mix_rate(problem, pool), count * formulas.most_base_rate(problem, pool))
        for count, pool in steady
    ]
    slowed, alone = 0.0, math.fsum(most for _, most in rates)
    if alone < needed * (1 - ROUNDING):
        return 0.0
    for rate, most in sorted((pair for pair in rates if min(pair) > 0), key=lambda pair: pair[0] / pair[1]):
        if alone + slowed * most / rate < needed * (1 - ROUNDING):
            break
        slowed, alone = slowed + rate, alone - most
    return slowed / max(needed - alone, ROUNDING * needed)


def uses(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    """Each stated limit with its number and what the fleet takes."""
    limits = problem.limits
    replicas = [
        sum(allocation.instances[at] * allocation.pool.replicas for allocation in solution.allocations)
        for at in _served_hours(problem)
    ]
    if limits.min_replicas > 1:
        yield _floor(Constraint.MIN_REPLICAS, limits.min_replicas, min(replicas, default=0))
    if limits.zones > 1:
        zones = min((_zones_at(solution, at) for at in _served_hours(problem)), default=0)
        yield _floor(Constraint.ZONES, limits.zones, zones)
    if limits.max_replicas is not None:
        yield _ceiling(Constraint.MAX_REPLICAS, limits.max_replicas, _replicas_for_load(problem, solution))
    yield from _chosen_caps(problem, solution)
    yield from _reserves(problem, solution)
    yield from _proportional(problem, solution)
    yield from _quotas(problem, solution)
    yield from _owned(problem, solution)


def _served_hours(problem: Problem) -> list[int]:
    """Hour classes in which something has to run."""
    to_zero = problem.scaling.scale_to_zero
    return [at for at, hour in enumerate(problem.hours) if hour.planned_rate > 0 or not to_zero]


def _zones_at(solution: FleetSolution, at: int) -> int:
    """Zones of all regions in which instances are sure to stand in an hour class: two groups may take the same."""
    of_region: dict[str, int] = {}
    for pool, count in formulas.groups_at(solution.allocations, at).values():
        of_region[pool.region] = max(of_region.get(pool.region, 0), min(count, pool.zones))
    return sum(of_region.values())


def _replicas_for_load(problem: Problem, solution: FleetSolution) -> int:
    """Replicas that the load of the busiest hours needs, without spare ones and the rest of machines."""
    pools = {allocation.pool.key: allocation.pool for allocation in solution.allocations}
    busy = sum(
        pool.replicas * formulas.busy_instances(problem, pool, solution.shares[key][-1])
        for key, pool in pools.items()
        if key in solution.shares
    )
    return math.ceil(problem.hours[-1].planned_rate * busy - NEARLY)


def caps(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    """The stated limits that more or dearer instances break, but the one on replicas, and those with a rule."""
    yield from _chosen_caps(problem, solution)
    yield from _proportional(problem, solution)
    yield from _quotas(problem, solution)


def _chosen_caps(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    """Limits with a rule, cost and changes."""
    limits = problem.limits
    yield from _ruled(problem, solution)
    if limits.max_usd_per_month is not None:
        used = solution.objective_usd_per_month
        yield _ceiling(Constraint.BUDGET, limits.max_usd_per_month, used)
    if limits.max_changed_instances is not None:
        changed = changed_by(problem, solution)
        yield _ceiling(Constraint.MAX_CHANGED_INSTANCES, limits.max_changed_instances, changed)


def _ruled(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    for name, limit in rules(problem.limits).items():
        told = _floor if name.row.is_floor else _ceiling
        yield told(name, limit, RULED[name].used(solution.allocations))


def keeps_rules(problem: Problem, solution: FleetSolution) -> bool:
    """Whether a fleet keeps to the limits with a rule."""
    return not any(map(is_broken, _ruled(problem, solution)))


def is_broken(use: ConstraintUse) -> bool:
    """Whether a fleet takes more than a limit allows, or has less than it asks for."""
    if CONSTRAINTS[use.name].row.is_floor:
        return use.used < use.limit - NEARLY
    return use.used > use.limit + NEARLY


def _reserves(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    """Reserves: what failures leave and what is not on spot, as shares of the planned load.

    Where requests differ, what spot leaves is compared with the room beside the load, which is not a share of it.
    """
    for left in failures(problem, solution):
        if left.part is formulas.Part.SUPPLY and left.needed_ratio > 0 and problem.all_alike:
            yield _floor(Constraint.SPOT_REROUTE, left.needed_ratio, left.left_ratio)
        if left.part is not formulas.Part.SUPPLY and left.needed_ratio == 1:
            detail = f"without one {left.part.value}"
            yield _floor(Constraint.SURVIVE, left.needed_ratio, left.left_ratio, detail)
    ratio = problem.limits.on_demand_base_ratio
    planned = [(at, hour.planned_rate) for at, hour in enumerate(problem.hours) if hour.planned_rate > 0]
    if ratio > 0 and planned:
        base = min(formulas.base_of(problem, solution.allocations, at) / rate for at, rate in planned)
        yield _floor(Constraint.ON_DEMAND_BASE, ratio, base)


def _proportional(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    """Caps in proportion to instances: of each group at its most, or of the month."""
    for constraint, limit in caps_in_proportion(problem.limits).items():
        if IN_PROPORTION[constraint].is_monthly:
            taken = sum(
                count * _taken(constraint, allocation) * formulas.hours_per_month(hour)
                for allocation in solution.allocations
                for count, hour in zip(allocation.instances, problem.hours, strict=True)
            )
        else:
            taken = formulas.most_at_once(solution.allocations, partial(_taken, constraint))
        yield _ceiling(constraint, limit, taken)


def _taken(constraint: Constraint, allocation: Allocation) -> float:
    return allocation.pool.takes.get(constraint, 0.0)


def _quotas(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    for key, limit in problem.quota_limits.items():
        used = formulas.most_at_once(solution.allocations, partial(_units, key))
        yield _ceiling(Constraint.QUOTA, limit, used, quota_detail(key))


def _units(key: tuple[str, str], allocation: Allocation) -> float:
    return formulas.quota_units(allocation.pool, allocation.tariff, key)


def quota_detail(key: tuple[str, str]) -> str:
    """A quota and its market in words."""
    return f"{key[0]} ({key[1].replace('_', ' ')})"


def _owned(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    for type_in_region, count in problem.owned.items():
        used = sum(
            allocation.instances[-1]
            for allocation in solution.allocations
            if allocation.pool.type_in_region == type_in_region and allocation.tariff.paid is PurchaseOption.OWNED
        )
        yield _ceiling(Constraint.OWNED, count, used, type_in_region)


def changed_by(problem: Problem, solution: FleetSolution) -> int:
    """Instances that a fleet changes of what runs today, as :func:`changed_instances` counts them."""
    planned: dict[formulas.Ordered, list[int]] = {}
    for allocation in solution.allocations:
        counts = planned.setdefault(
            formulas.ordered_as(problem, allocation.pool, allocation.tariff), [0] * len(problem.hours)
        )
        for at, count in enumerate(allocation.instances):
            counts[at] += count
    return changed_instances(planned, formulas.running_as_ordered(problem))


def _ceiling(name: Constraint, limit: float, used: float, detail: str = "") -> ConstraintUse:
    return ConstraintUse(name.value, detail, limit, used, name.row.unit, binding=used >= limit - NEARLY)


def _floor(name: Constraint, limit: float, used: float, detail: str = "") -> ConstraintUse:
    return ConstraintUse(name.value, detail, limit, used, name.row.unit, binding=used <= limit + NEARLY)
