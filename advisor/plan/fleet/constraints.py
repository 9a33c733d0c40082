"""What a fleet takes of each limit that was stated."""

from collections.abc import Iterator

from advisor.plan.fleet.chosen import ConstraintUse
from advisor.plan.fleet.formulas import hours_per_month
from advisor.plan.fleet.values import Allocation, Constraint, FleetSolution, Paid, Problem

NEARLY = 1e-6


def uses(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    """Each stated limit with its number and what the fleet takes."""
    limits, busiest = problem.limits, len(problem.hours) - 1
    instances = [sum(one.instances[at] for one in solution.allocations) for at in range(len(problem.hours))]
    replicas = [
        sum(one.instances[at] * one.pool.replicas for one in solution.allocations) for at in range(len(problem.hours))
    ]
    if limits.min_replicas > 1:
        yield _floor(Constraint.MIN_REPLICAS, limits.min_replicas, min(replicas), "replicas")
    if limits.zones > 1:
        yield _floor(Constraint.ZONES, limits.zones, min(instances), "instances")
    if limits.max_replicas is not None:
        yield _ceiling(
            Constraint.MAX_REPLICAS, limits.max_replicas, min(replicas[busiest], limits.max_replicas), "replicas"
        )
    if limits.max_instance_types is not None:
        types = {one.pool.instance_type for one in solution.allocations}
        yield _ceiling(Constraint.MAX_INSTANCE_TYPES, limits.max_instance_types, len(types), "types")
    if limits.max_usd_per_month is not None:
        used = solution.objective_usd_per_month
        yield _ceiling(Constraint.BUDGET, limits.max_usd_per_month, used, "USD/month")
    if limits.max_changed_instances is not None:
        changed = _changed(problem, solution, busiest)
        yield _ceiling(Constraint.MAX_CHANGED_INSTANCES, limits.max_changed_instances, changed, "instances")
    yield from _physical(problem, solution, busiest)
    yield from _quotas(problem, solution)
    yield from _owned(problem, solution)


def _physical(problem: Problem, solution: FleetSolution, busiest: int) -> Iterator[ConstraintUse]:
    limits = problem.limits
    if limits.max_kw is not None:
        kw = sum(one.instances[busiest] * (one.pool.kw or 0.0) for one in solution.allocations)
        yield _ceiling(Constraint.POWER, limits.max_kw, kw, "kW")
    if limits.max_kg_co2e_per_month is not None:
        kg = sum(
            count * (one.pool.kg_co2e_per_hour or 0.0) * hours_per_month(hour)
            for one in solution.allocations
            for count, hour in zip(one.instances, problem.hours, strict=True)
        )
        yield _ceiling(Constraint.CARBON, limits.max_kg_co2e_per_month, kg, "kg CO2e/month")


def _quotas(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    for key, limit in problem.quota_limits.items():
        used = [
            sum(one.instances[at] * _units(one, key) for one in solution.allocations)
            for at in range(len(problem.hours))
        ]
        yield _ceiling(Constraint.QUOTA, limit, max(used), "units", quota_detail(key))


def quota_detail(key: tuple[str, str]) -> str:
    """A quota and its market in words."""
    return f"{key[0]} ({key[1].replace('_', ' ')})"


def _units(one: Allocation, key: tuple[str, str]) -> float:
    return one.pool.quotas.get(key, 0.0) if key[1] == one.tariff.paid.market else 0.0


def _owned(problem: Problem, solution: FleetSolution) -> Iterator[ConstraintUse]:
    for stand, count in problem.owned.items():
        used = sum(
            one.instances[-1]
            for one in solution.allocations
            if one.pool.stand == stand and one.tariff.paid is Paid.OWNED
        )
        yield _ceiling(Constraint.OWNED, count, used, "instances", stand)


def _changed(problem: Problem, solution: FleetSolution, busiest: int) -> float:
    now = dict(problem.running)
    planned: dict[str, int] = {}
    for one in solution.allocations:
        planned[one.pool.stand] = planned.get(one.pool.stand, 0) + one.instances[busiest]
    return sum(abs(planned.get(stand, 0) - now.get(stand, 0)) for stand in planned.keys() | now.keys())


def _ceiling(name: Constraint, limit: float, used: float, unit: str, detail: str = "") -> ConstraintUse:
    return ConstraintUse(name.value, detail, limit, used, unit, binding=used >= limit - NEARLY)


def _floor(name: Constraint, limit: float, used: float, unit: str) -> ConstraintUse:
    return ConstraintUse(name.value, "", limit, used, unit, binding=used <= limit + NEARLY)
