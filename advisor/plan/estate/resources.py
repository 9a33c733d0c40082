"""Resources that workloads of an estate compete for: units of a quota, instances that are paid for already."""

from collections.abc import Mapping

from advisor.plan.estate.terms import Terms, owned_stand
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.problem.constraints import quota_detail
from advisor.plan.problem.pools import quota_key
from advisor.plan.problem.values import Constraint, Pool, Problem
from advisor.plan.solve.program import FleetProgram
from advisor.records import dataclass

MARKETS = ("on_demand", "spot")
Resource = tuple[str, str]
"""Name of the constraint and its detail, as plans state them."""
Uses = Mapping[Resource, float]
Row = list[tuple[int, float]]
"""Variables of a program with what one unit of each takes of a resource."""
ENOUGH = 1e-6


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """A shared limit and what is taken of it."""

    constraint: str
    detail: str
    limit: float
    used: float
    unit: str


def uses_of(fleet: Fleet, terms: Terms) -> Uses:
    """Use of everything that the estate shares by a fleet in its busiest hours."""
    shared = limits_of(terms)
    return {
        resource: constraint.used
        for constraint in fleet.constraints
        if (resource := (constraint.name, constraint.detail)) in shared and constraint.used > ENOUGH
    }


def limits_of(terms: Terms) -> dict[Resource, float]:
    """Limit of each resource that the estate shares."""
    limits = {
        (Constraint.QUOTA.value, quota_detail((quota_key(quota), market))): quota.limit
        for quota in terms.quotas
        for market in MARKETS
    }
    for owned in terms.commitments:
        resource = (Constraint.OWNED.value, owned_stand(owned))
        limits[resource] = limits.get(resource, 0.0) + owned.count
    return limits


def allotment(terms: Terms, uses: Uses) -> Terms:
    """The terms of a workload that may take so much, and no more."""
    units = {
        quota_key(quota): max(
            uses.get((Constraint.QUOTA.value, quota_detail((quota_key(quota), market))), 0.0) for market in MARKETS
        )
        for quota in terms.quotas
    }
    stands = {owned_stand(commitment) for commitment in terms.commitments}
    instances = {stand: round(uses.get((Constraint.OWNED.value, stand), 0.0)) for stand in stands}
    return terms.divided(units, instances)


def totals(uses: Mapping[str, Uses]) -> dict[Resource, float]:
    """Sum over all workloads."""
    sums: dict[Resource, float] = {}
    for use in uses.values():
        for resource, used in use.items():
            sums[resource] = sums.get(resource, 0.0) + used
    return sums


def pool_resources(problem: Problem, pool: Pool) -> set[Resource]:
    """Resources that instances of a pool could take."""
    quotas = {(Constraint.QUOTA.value, quota_detail(key)) for key, units in pool.quotas.items() if units > 0}
    return quotas | {(Constraint.OWNED.value, pool.stand)} if problem.owned.get(pool.stand) else quotas


def rows_of(problem: Problem, program: FleetProgram) -> dict[Resource, Row]:
    """Terms that add up to what a program's fleet takes in its busiest hours."""
    busiest = len(problem.hours) - 1
    rows: dict[Resource, Row] = {
        (Constraint.QUOTA.value, quota_detail(key)): program.quota_terms(key, busiest) for key in problem.quota_limits
    }
    return rows | {(Constraint.OWNED.value, stand): program.owned_terms(stand) for stand in problem.owned}
