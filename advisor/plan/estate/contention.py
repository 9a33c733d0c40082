"""Choices of a workload with what the estate shares, and without."""

from collections.abc import Mapping

from advisor.plan.estate.resources import Resource, pool_resources
from advisor.plan.problem.values import FleetSolution, Problem
from advisor.plan.solve.dominance import without_dominated
from advisor.plan.solve.scopes import cheapest, scopes
from advisor.plan.solve.solver import INFINITY
from advisor.records import dataclass, replace


@dataclass(frozen=True, slots=True, eq=False)
class Contention:
    """The choices of one workload."""

    outside_usd: float
    """The cheapest fleet in a scope (a region, a cloud) where nothing is shared; infinite where there is none."""
    outside_regions: frozenset[str]
    """Where that is."""
    inside: tuple[Problem, ...]
    """The other scopes, without the pools that no cheapest fleet needs."""


def contest_of(problem: Problem, limits: Mapping[Resource, float]) -> Contention:
    """The choices of a workload, with the least that has to be kept of its problem."""
    outside: list[Problem] = []
    inside: list[Problem] = []
    for part in scopes(problem):
        shares = any(pool_resources(part, pool) & limits.keys() for pool in part.pools)
        (inside if shares else outside).append(part)
    pools = tuple(pool for part in outside for pool in part.pools)
    alone = cheapest(replace(problem, pools=pools)) if pools else None
    kept = tuple(without_dominated(part) for part in inside)
    if not isinstance(alone, FleetSolution):
        return Contention(INFINITY, frozenset(), kept)
    return Contention(
        alone.objective_usd_per_month, frozenset(allocation.pool.region for allocation in alone.allocations), kept
    )


def regions_of(problem: Problem) -> frozenset[str]:
    """Regions where a fleet of the problem may be."""
    return frozenset(pool.region for pool in problem.pools)
