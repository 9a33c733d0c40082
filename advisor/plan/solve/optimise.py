"""Solve a fleet problem, read the fleet out of the solution, or say which constraints conflict."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from advisor.plan.problem.charges import region_rates
from advisor.plan.problem.formulas import Part, least_instances, left_without, mix_rate, share_without, zone_room
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import (
    Allocation,
    FleetSolution,
    Floats,
    Infeasible,
    Pool,
    Problem,
    PurchaseOption,
    Relaxation,
)
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.shares import depends_on_routing, routed_shares
from advisor.plan.solve.solver import DEFAULT_SECONDS, INFINITY, Outcome, Program, Solution
from advisor.plan.solve.variables import Elastic
from advisor.records import replace
from advisor.units import A_CENT
from advisor.workload.values import Limits

NEGOTIABLE = tuple(constraint for constraint in Constraint if constraint.row.is_negotiable)
"""What a user could give up; demand and capacity are what the fleet is for."""
ROUNDING = 1e-3
ROUNDED_USD = 0.05
"""The lines of a total may add to that much less than the costs that a program sums, each rounded to the cent."""
CONFLICT_SECONDS = 5.0
FEW_POOLS = 12
"""So few are searched at once."""
PROMISING = 2
CHEAP_ENOUGH = 0.97
"""Of an amount that any fleet is to undercut: the first that costs so little will do."""
TRACE_SHARE = 1e-9
"""A smaller share of the requests is a rounding of the solver."""
NOTHING_CHEAPER = Solution(Outcome.INFEASIBLE, np.zeros(0), INFINITY, INFINITY, np.zeros(0))


def fleet_if_any(problem: Problem) -> FleetSolution | None:
    """The cheapest fleet, proven or with its gap; None where there is none.

    First a fleet of the few pools that promise most. What it costs then excludes every number of instances that the
    linear relaxation shows to cost more (reduced-cost fixing; Dantzig, Fulkerson and Johnson 1954), and the rest is
    searched to the end.
    """
    first = _first_fleet(problem) if len(problem.pools) > FEW_POOLS else None
    if first is not None:
        return improved(as_optimum(first), problem)
    program, solution = _solved(problem)
    return read_fleet(program, solution) if solution.found else None


def as_optimum(fleet: FleetSolution) -> FleetSolution:
    """A fleet as the optimum of a search that begins with it."""
    return replace(fleet, proven=True, bound_usd_per_month=fleet.objective_usd_per_month)


def improved(fleet_solution: FleetSolution, problem: Problem, *, roughly: bool = False) -> FleetSolution:
    """The cheapest fleet of a problem if it is cheaper than a known one, else the known one; proven if both are.

    Roughly: a fleet that costs little more than the cheapest will do.
    """
    program, solution = _solved(problem, fleet_solution.objective_usd_per_month, roughly=roughly)
    if solution.outcome is Outcome.INFEASIBLE:
        return fleet_solution
    bound = min(fleet_solution.bound_usd_per_month, solution.bound)
    if solution.outcome is Outcome.UNSOLVED:
        return replace(fleet_solution, proven=False, bound_usd_per_month=bound)
    fleet = read_fleet(program, solution)
    best = fleet if fleet.objective_usd_per_month < fleet_solution.objective_usd_per_month else fleet_solution
    proven = fleet_solution.proven and solution.outcome is Outcome.OPTIMAL
    return replace(best, proven=proven, bound_usd_per_month=best.objective_usd_per_month if proven else bound)


def within(problem: Problem, most_usd: float, seconds: float) -> FleetSolution | None:
    """The cheapest fleet of at most a cost; None where none is found."""
    program, solution = _solved(problem, most_usd, seconds)
    fleet = read_fleet(program, solution) if solution.found else None
    return fleet if fleet is not None and fleet.objective_usd_per_month <= most_usd + A_CENT else None


def any_within(problem: Problem, most_usd: float) -> FleetSolution | None:
    """A fleet below a cost, about the cheapest or 3 % below it; None where none is found soon.

    What further groups and backends cost counts in the fleet, but not in the search.
    """
    program, solution = _searched(problem, most_usd, roughly=True, enough=most_usd * CHEAP_ENOUGH)
    fleet = read_fleet(program, solution) if solution.found else None
    return fleet if fleet is not None and fleet.objective_usd_per_month < most_usd else None


def _solved(
    problem: Problem, known_usd: float = INFINITY, seconds: float = DEFAULT_SECONDS, *, roughly: bool = False
) -> tuple[FleetProgram, Solution]:
    """The cheapest fleet below a cost; further groups and backends are priced where the cheapest without has any."""
    program, solution = _searched(problem, known_usd, seconds, roughly=roughly)
    is_cheaper = solution.found and solution.objective <= known_usd + ROUNDED_USD
    if not is_cheaper or not _has_further_parts(problem, tuple(_allocations(program, solution.values))):
        return program, solution
    usd = read_fleet(program, solution).objective_usd_per_month
    fewer = replace(problem, pools=_worth(program, usd))
    priced, better = _searched(fewer, usd, seconds, roughly=roughly, counts_further=True)
    if better.found:
        return priced, better
    proven = solution.outcome is Outcome.OPTIMAL and better.outcome is Outcome.INFEASIBLE
    return program, solution if proven else replace(solution, outcome=Outcome.STOPPED)


def _searched(
    problem: Problem,
    known_usd: float,
    seconds: float = DEFAULT_SECONDS,
    *,
    roughly: bool,
    enough: float = -INFINITY,
    counts_further: bool = False,
) -> tuple[FleetProgram, Solution]:
    """The cheapest fleet below a cost, first without the rows of failures that it most often keeps to anyway.

    What costs as much without them costs no less with them; a rough search ends there within 1 % of its bound.
    """
    program = FleetProgram(problem, relaxed=True, counts_further=counts_further).build()
    solution = _below(program, seconds, known_usd, roughly=roughly, enough=enough)
    if (
        program.incomplete
        and solution.found
        and solution.objective <= known_usd + ROUNDED_USD
        and not _withstands(problem, tuple(_allocations(program, solution.values)))
    ):
        fewer = replace(problem, pools=_worth(program, known_usd))
        program = FleetProgram(fewer, counts_further=counts_further).build()
        solution = _below(program, seconds, known_usd, roughly=roughly, enough=enough)
    return program, solution


def _worth(program: FleetProgram, known_usd: float) -> tuple[Pool, ...]:
    """Pools that a fleet cheaper than a known one may have, of a problem with no fewer rows and no lower costs."""
    if known_usd < INFINITY:
        exclude_dearer(program.program, known_usd)
    uppers = program.program.uppers
    kept = {key[0] for key, variable in (*program.hourly.items(), *program.fixed.items()) if uppers[variable] > 0}
    return tuple(pool for g, pool in enumerate(program.problem.pools) if g in kept)


def _has_further_parts(problem: Problem, allocations: tuple[Allocation, ...]) -> bool:
    """Whether a fleet pays for groups, backends or endpoints beyond the first of a region."""
    return any(
        rates.further.units(problem.charges[place].further_usd)
        for place, rates in region_rates(problem, allocations, {}).items()
        if place in problem.charges
    )


def _below(program: FleetProgram, seconds: float, known_usd: float, *, roughly: bool, enough: float) -> Solution:
    if known_usd < INFINITY and not exclude_dearer(program.program, known_usd):
        return NOTHING_CHEAPER
    return program.program.solve(seconds, below=known_usd + A_CENT, roughly=roughly, enough=enough)


def _withstands(problem: Problem, allocations: tuple[Allocation, ...]) -> bool:
    """Whether the loss of any machine and of any zone leaves the share of the load that the limits ask for.

    And whether each zone that they ask for holds its part.
    """
    return zone_room(problem, allocations) >= 1 - TRACE_SHARE and all(
        left >= share_without(problem.limits, part) * (1 - TRACE_SHARE)
        for part in (Part.MACHINE, Part.ZONE)
        for left in left_without(problem, allocations, part).values()
    )


def _first_fleet(problem: Problem) -> FleetSolution | None:
    """The cheapest fleet of the pools that promise most; None if there is none, or all of them promise much."""
    chosen = _promising(problem)
    if len(chosen) == len(problem.pools):
        return None
    fewer = replace(problem, pools=tuple(problem.pools[g] for g in chosen))
    program, solution = _solved(fewer)
    return read_fleet(program, solution) if solution.found else None


def _promising(problem: Problem) -> list[int]:
    """Pools of the linear relaxation, and the cheapest of each way of paying: per request, and for all of them."""
    program = FleetProgram(problem, relaxed=True).build()
    values = program.program.solve(whole=False).values
    chosen = {g for (g, _, _), variable in program.hourly.items() if values[variable] > TRACE_SHARE}
    chosen |= {g for (g, _), variable in program.fixed.items() if values[variable] > TRACE_SHARE}
    chosen |= {g for g, pool in enumerate(problem.pools) if problem.running.get(pool.type_in_region)}
    peak = max(hour.planned_rate for hour in problem.hours)
    for paid in PurchaseOption:
        offers = [
            (tariff.all_usd_per_hour, mix_rate(problem, pool), g)
            for g, pool in enumerate(problem.pools)
            for tariff in pool.tariffs
            if tariff.paid is paid and mix_rate(problem, pool) > 0
        ]
        per_request = sorted((usd / rate, g) for usd, rate, g in offers)
        counts = least_instances(problem, np.array([peak]), np.array([rate for _, rate, _ in offers]))
        alone = sorted((usd * float(count), g) for (usd, _, g), count in zip(offers, counts[:, 0], strict=True))
        chosen |= {g for _, g in (*per_request[:PROMISING], *alone[:PROMISING])}
    return sorted(chosen)


def exclude_dearer(program: Program, known_usd: float) -> bool:
    """Fix at zero what no solution cheaper than a known one has; whether there may be any."""
    relaxed = program.relaxed()
    if relaxed.outcome is Outcome.INFEASIBLE:
        return False
    if relaxed.outcome is not Outcome.OPTIMAL:
        return True
    room = known_usd - relaxed.objective + A_CENT
    if room < 0:
        return False
    for variable, whole in enumerate(program.integers):
        if whole and relaxed.values[variable] < TRACE_SHARE and relaxed.reduced_costs[variable] > room:
            program.uppers[variable] = 0.0
    return True


def read_fleet(program: FleetProgram, solution: Solution) -> FleetSolution:
    """The fleet of a solution, with its cost."""
    problem = program.problem
    allocations = tuple(_allocations(program, solution.values))
    shares = {
        pool.key: of_pool
        for g, pool in enumerate(problem.pools)
        if (of_pool := _shares_of(program, g, solution.values)).max() > TRACE_SHARE
    }
    objective = objective_usd_per_month(problem, allocations, shares)
    return FleetSolution(
        allocations=allocations,
        shares=shares,
        objective_usd_per_month=objective,
        bound_usd_per_month=objective if solution.outcome is Outcome.OPTIMAL else solution.bound,
        proven=solution.outcome is Outcome.OPTIMAL,
    )


def as_routed(problem: Problem, fleet: FleetSolution) -> FleetSolution:
    """A fleet at the cost of the answers that its router has from each pool, and of what regions charge for those.

    A program sends requests elsewhere in every hour class; a router has the same weights in all of them.
    """
    if not depends_on_routing(problem, fleet):
        return fleet
    shares = routed_shares(problem, fleet)
    usd = objective_usd_per_month(problem, fleet.allocations, shares)
    proven = fleet.proven and usd <= fleet.objective_usd_per_month + A_CENT
    bound = usd if proven else min(fleet.bound_usd_per_month, usd)
    return replace(fleet, shares=shares, objective_usd_per_month=usd, bound_usd_per_month=bound, proven=proven)


def _allocations(program: FleetProgram, values: Floats) -> Iterator[Allocation]:
    hours = range(len(program.problem.hours))
    for g, pool in enumerate(program.problem.pools):
        for t, tariff in enumerate(pool.tariffs):
            terms = [program.instances(g, t, h) for h in hours]
            instances = tuple(round(sum(count * float(values[variable]) for variable, count in at)) for at in terms)
            if any(instances):
                yield Allocation(pool, tariff, instances)


def _shares_of(program: FleetProgram, g: int, values: Floats) -> Floats:
    """Share of each bucket's requests that a pool receives: what it takes of the mix and of the bucket alone."""
    problem = program.problem
    buckets = problem.parts.size
    shares = np.zeros((len(problem.hours), len(problem.place_shares), buckets))
    for h in range(len(problem.hours)):
        for p in range(len(problem.place_shares)):
            shares[h, p, :] = values[program.mix[g, h, p]]
            for b in range(len(problem.bucket_shares)):
                shares[h, p, b] += values[program.bucket[g, h, p, b]]
    return np.clip(shares, 0.0, 1.0)


def _as_it_is(problem: Problem) -> Problem:
    return problem


class Unexplained(Infeasible):
    """No fleet keeps to any of some problems; which limits conflict is worked out where it is asked for.

    A search asks for the cheapest fleet many times, and few of its refusals are told.
    """

    __slots__ = ("_explained", "_problems", "_reduced")
    _explained: Infeasible | None
    _problems: tuple[Problem, ...]
    _reduced: Callable[[Problem], Problem]

    def __init__(self, problems: Sequence[Problem], reduced: Callable[[Problem], Problem] = _as_it_is) -> None:
        """Keep the problems, of which the nearest conflict is told; *reduced*: leaves out pools that none needs."""
        object.__setattr__(self, "_problems", tuple(problems))
        object.__setattr__(self, "_reduced", reduced)
        object.__setattr__(self, "_explained", None)

    @property
    def conflict(self) -> tuple[Constraint, ...]:
        """Named constraints that cannot hold together."""
        return self._why().conflict

    @property
    def relaxations(self) -> tuple[Relaxation, ...]:
        """Smallest changes of limits that help."""
        return self._why().relaxations

    @property
    def given_up(self) -> tuple[Constraint, ...]:
        """Constraints without which alone there is a fleet."""
        return self._why().given_up

    def _why(self) -> Infeasible:
        why = self._explained
        if why is None:
            why = min((explain_conflict(self._reduced(problem)) for problem in self._problems), key=_distance)
            object.__setattr__(self, "_explained", why)
        return why


def _distance(conflict: Infeasible) -> float:
    """Distance of the nearest relaxation of a conflict."""
    return min(map(relative_change, conflict.relaxations), default=math.inf)


def explain_conflict(problem: Problem) -> Infeasible:
    """A smallest set of named constraints that cannot hold together, and what each would have to be.

    One constraint after the other is left out for good if nothing holds without it either (deletion filter; Chinneck
    and Dravnieks 1991), so that those kept conflict, and do not once any of them is left out. Where several sets
    conflict it is one of them: defaults are left out first, so that a limit that is stated is named before them.
    """
    rounded = _with_rounded_budget(problem)
    left_out: set[Constraint] = set()
    stated = [constraint for constraint in NEGOTIABLE if _stated(problem, constraint)]
    for constraint in dict.fromkeys((*filter(stated.__contains__, _by_default(problem.limits)), *stated)):
        if not _feasible(rounded, frozenset(left_out | {constraint})):
            left_out.add(constraint)
    kept = tuple(constraint for constraint in stated if constraint not in left_out)
    if len(kept) > 1 and not left_out and _feasible(rounded):
        kept = (Constraint.BUDGET,)
    numbers = (constraint for constraint in kept if not constraint.row.give_up)
    relaxations = [relaxed for constraint in numbers for relaxed in _relaxed(problem, constraint)]
    given_up = tuple(
        constraint for constraint in kept if constraint.row.give_up and _feasible(rounded, frozenset({constraint}))
    )
    return Infeasible(kept, tuple(sorted(relaxations, key=relative_change)), given_up)


def _with_rounded_budget(problem: Problem) -> Problem:
    """The problem, its budget met by what costs as much to the cent: a printed total is not a conflict with itself."""
    budget = problem.limits.max_usd_per_month
    if budget is None:
        return problem
    return replace(problem, limits=replace(problem.limits, max_usd_per_month=budget + ROUNDED_USD))


def _by_default(limits: Limits) -> list[Constraint]:
    """Constraints that no limit states; last the one that follows from another limit."""
    usual = [constraint for constraint in NEGOTIABLE if constraint.row.holds_by_default]
    unstated = (constraint for constraint in usual if constraint.stated(limits) is None)
    return sorted(unstated, key=lambda constraint: constraint is Constraint.SURVIVE)


def _stated(problem: Problem, constraint: Constraint) -> bool:
    """Whether the problem has such a constraint at all."""
    others = frozenset(NEGOTIABLE) - {constraint}
    return constraint in FleetProgram(problem, left_out=others).build().program.row_names


def _feasible(problem: Problem, left_out: frozenset[Constraint] = frozenset()) -> bool:
    program = FleetProgram(problem, left_out=left_out).build().program
    program.costs = [0.0] * len(program.costs)
    return program.solve(CONFLICT_SECONDS).outcome in (Outcome.OPTIMAL, Outcome.STOPPED)


def _relaxed(problem: Problem, constraint: Constraint) -> Iterator[Relaxation]:
    if constraint.row.is_floor and constraint.is_whole:
        return _lower_floor(problem, constraint)
    return _relax(problem, constraint)


def _lower_floor(problem: Problem, constraint: Constraint) -> Iterator[Relaxation]:
    """The highest floor with which a fleet exists, by bisection: no lower one asks for more."""
    stated: int = getattr(problem.limits, constraint.field)
    floors = range(stated - 1, 0, -1)
    at = bisect_left(floors, x=True, key=lambda floor: _feasible(_with_floor(problem, constraint, floor)))
    if at < len(floors):
        yield Relaxation(constraint, "", stated, floors[at], constraint.row.unit)


def _with_floor(problem: Problem, constraint: Constraint, floor: int) -> Problem:
    changes: dict[str, Any] = {constraint.field: floor}
    return replace(problem, limits=replace(problem.limits, **changes))


def _relax(problem: Problem, constraint: Constraint) -> Iterator[Relaxation]:
    """The least excess over one limit with which a fleet exists."""
    program = FleetProgram(problem, elastic=constraint).build()
    solution = program.program.solve(CONFLICT_SECONDS)
    if solution.outcome not in (Outcome.OPTIMAL, Outcome.STOPPED):
        return
    worst: dict[str, tuple[float, Elastic]] = {}
    for elastic in program.slacks:
        excess = float(solution.values[elastic.slack])
        if excess > 1e-6 and excess > worst.get(elastic.detail, (0.0, elastic))[0]:
            worst[elastic.detail] = (excess, elastic)
    for excess, elastic in worst.values():
        needed = _rounded(constraint, elastic, excess)
        yield Relaxation(constraint, elastic.detail, elastic.limit, needed, constraint.row.unit)


def _rounded(constraint: Constraint, elastic: Elastic, excess: float) -> float:
    """The limit that is needed, in the steps in which it is stated, never short of it."""
    steps = constraint.row.steps_per_unit
    return elastic.limit + elastic.sign * math.ceil(excess * steps - ROUNDING) / steps


def relative_change(relaxation: Relaxation) -> float:
    """Change that a limit needs, as a share of it."""
    return abs(relaxation.needed - relaxation.limit) / max(abs(relaxation.limit), 1e-9)
