"""The simplest fleet that costs little more than the cheapest: fewest backends, then instance types, then cost."""

from collections.abc import Iterator

from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import FleetSolution, Pool, Problem
from advisor.plan.solve.dominance import without_dominated
from advisor.plan.solve.objective import bound_with_spare, least_usd, lower_bound
from advisor.plan.solve.optimise import read_fleet, within
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.scopes import scopes, split
from advisor.records import replace

SECONDS = 5.0
"""Time for each search; what is not found by then is not recommended."""

Complexity = tuple[int, int, float]


def complexity(solution: FleetSolution) -> Complexity:
    """Measures that are compared: backends, those of other engines than the preferred ones twice, instance types, USD.

    USD are those of a month.
    """
    backends = {backend_of(allocation.pool): 1 + allocation.pool.is_beside for allocation in solution.allocations}
    types = {allocation.pool.instance_type for allocation in solution.allocations}
    return sum(backends.values()), len(types), solution.objective_usd_per_month


def loss_rank(solution: FleetSolution) -> int:
    """Rank of the last named precision of a fleet among those that lose quality; 0: none of its loses any."""
    return max(allocation.pool.loss_rank for allocation in solution.allocations)


def preference(solution: FleetSolution) -> tuple[int, int, int]:
    """Measures compared before the cost: the precision, backends, instance types; the least is preferred."""
    return loss_rank(solution), *complexity(solution)[:2]


def keeps_running(problem: Problem, solution: FleetSolution) -> bool:
    """Whether something runs today, and a fleet consists of those instance types in their regions."""
    return bool(problem.running) and all(
        problem.running.get(allocation.pool.type_in_region) for allocation in solution.allocations
    )


def backend_of(pool: Pool) -> str:
    """Provider, region, accelerator and engine of a pool."""
    return pool.backend or pool.key


def simplest(problem: Problem, cheapest: FleetSolution, most_usd: float | None = None) -> FleetSolution:
    """The fleet to recommend: the simplest within ``limits.simplicity`` of the cheapest one's cost.

    Fleets of one backend and one type are searched kind by kind, then the cheapest of each backend, then those of some
    of the backends and types of the fleets found so far. What was proven of the cheapest fleet, and its bound, stays.

    Args:
        problem: what the cheapest fleet was chosen from.
        cheapest: its cheapest fleet.
        most_usd: what it may cost a month; None: ``limits.simplicity`` more than the cheapest.
    """
    limit = cheapest.objective_usd_per_month * (1 + problem.limits.simplicity) if most_usd is None else most_usd
    best = cheapest
    if complexity(best)[:2] == (1, 1) or not problem.limits.simplicity:
        return best
    parts = [without_dominated(part, same_backend=True) for part in scopes(problem) if least_usd(part) <= limit]
    for fleet in _of_one_type(parts, limit):
        best = min(best, fleet, key=complexity)
    if complexity(best)[:2] > (1, 2):
        for of_one in [problem for part in parts for problem in split(part, backend_of) if least_usd(problem) <= limit]:
            best = min(best, within(of_one, limit, SECONDS) or best, key=complexity)
    backends, types, _ = complexity(best)
    if backends > 2 or types > 2:
        pools = tuple(pool for part in parts for pool in part.pools if _kind(pool) in _kinds(best))
        best = min(best, _fewest_kinds(replace(problem, pools=pools), limit) or best, key=complexity)
    return replace(best, proven=cheapest.proven, bound_usd_per_month=cheapest.bound_usd_per_month)


def _kinds(solution: FleetSolution) -> set[str]:
    return {_kind(allocation.pool) for allocation in solution.allocations}


def _kind(pool: Pool) -> str:
    return f"{backend_of(pool)} {pool.instance_type}"


def _of_one_type(parts: list[Problem], limit: float) -> Iterator[FleetSolution]:
    """The cheapest fleets of one backend and type, each below all before it."""
    kinds = [kind for part in parts for kind in split(part, _kind)]
    for bound, at in sorted((lower_bound(kind), at) for at, kind in enumerate(kinds)):
        fleet = within(kinds[at], limit, SECONDS) if max(bound, bound_with_spare(kinds[at])) <= limit else None
        if fleet is not None:
            limit = fleet.objective_usd_per_month
            yield fleet


def _fewest_kinds(problem: Problem, limit: float) -> FleetSolution | None:
    """The fleet of fewest backends, then types, then least cost, of those within a limit; None where none is found."""
    program = FleetProgram(problem, counts_further=True).build()
    costs = [(variable, cost) for variable, cost in enumerate(program.program.costs) if cost]
    program.program.row(Constraint.BUDGET, costs, upper=limit)
    types = program.use_of_kinds(Constraint.MAX_INSTANCE_TYPES, lambda pool: pool.instance_type)
    backends = program.use_of_kinds(Constraint.MAX_INSTANCE_TYPES, backend_of)
    for variable in types.values():
        program.program.add_cost(variable, limit)
    for variable in backends.values():
        program.program.add_cost(variable, limit * (len(types) + 1))
    solution = program.program.solve(SECONDS)
    return read_fleet(program, solution) if solution.found else None
