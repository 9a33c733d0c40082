"""One quota, one set of owned instances, many workloads: who takes how much, so that all together cost least.

Each workload is first planned as if everything were its own: none can cost less. Only where that takes more of
something than there is, whoever takes of it is planned together with the others that do; who is driven on to something
else that runs short then draws in those that take of that. Nobody outside gives anything up, and what the group costs
at the least is a bound for it whatever those outside do, so that an optimum of the group is one of the estate.
"""

from collections.abc import Mapping, Sequence

from advisor.plan.estate.column_generation import Division, divide_by_prices, taken
from advisor.plan.estate.contention import Contention, regions_of
from advisor.plan.estate.resources import ENOUGH, Resource, Row, Uses, rows_of, totals
from advisor.plan.solve.optimise import exclude_dearer
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.solver import DEFAULT_SECONDS, INFINITY, Outcome, Program, Solution
from advisor.records import dataclass, replace
from advisor.spread import Run
from advisor.units import A_CENT

MOST_VARIABLES = 20_000
"""Size up to which the choices of a group are also solved as one program."""


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Shares that each workload may take."""

    uses: Mapping[str, Uses]
    together: tuple[str, ...]
    """Those that were planned together, because something they take runs short."""
    usd_per_month: float
    """Of those."""
    bound_usd_per_month: float
    excess: Uses
    regions: Mapping[str, frozenset[str]]
    """Where each of them is, or could be."""

    @property
    def gap_ratio(self) -> float:
        """Largest possible saving on those, as a ratio."""
        short = self.usd_per_month - self.bound_usd_per_month
        return short / self.usd_per_month if short > A_CENT else 0.0


def divide(
    uses: Mapping[str, Uses], contentions: Mapping[str, Contention], limits: Mapping[Resource, float], run: Run
) -> Shares:  # fmt: skip
    """Divide what runs short.

    Args:
        uses: what each workload takes when everything is its own.
        contentions: the choices of those that take of anything.
        limits: how much there is.
        run: applies a function to many things, in their order.
    """
    shares = Shares(dict(uses), (), 0.0, 0.0, {}, {})
    while not shares.excess:
        short = {one for one, used in totals(shares.uses).items() if used > limits[one] + ENOUGH}
        takers = {name for name, taken_by in shares.uses.items() if short & taken_by.keys()}
        if takers <= set(shares.together):
            break
        names = tuple(name for name in uses if name in takers or name in shares.together)
        division = divide_group([contentions[name] for name in names], limits, run)
        after = {**uses, **dict(zip(names, division.uses, strict=True))}
        where = dict(zip(names, division.regions, strict=True))
        shares = Shares(after, names, division.usd_per_month, division.bound_usd_per_month, division.excess, where)
    return shares


def divide_group(contentions: Sequence[Contention], limits: Mapping[Resource, float], run: Run) -> Division:
    """The cheapest division among some workloads: by prices, and where that leaves a gap, as one program."""
    priced = divide_by_prices(contentions, limits, run)
    if priced.excess or priced.usd_per_month - priced.bound_usd_per_month <= A_CENT:
        return priced
    return _as_one(contentions, limits, priced)


def _as_one(contentions: Sequence[Contention], limits: Mapping[Resource, float], division: Division) -> Division:
    """All choices side by side, joined by a row for each resource; *known* where that is too large."""
    whole = Program()
    written = [_write(whole, contention) for contention in contentions]
    rows = [one.rows for one in written]
    if len(whole.costs) > MOST_VARIABLES:
        return division
    for resource, limit in limits.items():
        whole.row(resource[0], [term for own in rows for term in own.get(resource, ())], upper=limit)
    exclude_dearer(whole, division.usd_per_month)
    solution = whole.solve(DEFAULT_SECONDS, below=division.usd_per_month + A_CENT)
    if solution.outcome in (Outcome.OPTIMAL, Outcome.STOPPED) and solution.objective <= division.usd_per_month:
        uses = tuple(taken(own, solution.values) for own in rows)
        bound = max(solution.bound, division.bound_usd_per_month)
        regions = tuple(one.regions(solution) for one in written)
        return Division(uses, solution.objective, min(bound, solution.objective), {}, regions)
    proven = solution.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
    bound = (
        division.usd_per_month
        if proven
        else max(division.bound_usd_per_month, min(solution.bound, division.usd_per_month))
    )
    return replace(division, bound_usd_per_month=bound)


@dataclass(frozen=True, slots=True, eq=False)
class _Written:
    """One workload's choices in a program."""

    rows: dict[Resource, Row]
    """What it takes of each resource."""
    chosen: dict[int, frozenset[str]]
    """Variables of which one is 1, and the regions that go with it."""

    def regions(self, solution: Solution) -> frozenset[str]:
        return self.chosen[max(self.chosen, key=lambda variable: float(solution.values[variable]))]


def _write(whole: Program, contention: Contention) -> _Written:
    """Write one workload's choices, one of which it takes."""
    rows: dict[Resource, Row] = {}
    chosen: dict[int, frozenset[str]] = {}
    if contention.outside_usd < INFINITY:
        outside = whole.variable(upper=1.0, integer=True)
        whole.add_cost(outside, contention.outside_usd)
        chosen[outside] = contention.outside_regions
    for problem in contention.inside:
        program = FleetProgram(problem).build()
        inside = whole.variable(upper=1.0, integer=True)
        chosen[inside] = regions_of(problem)
        first = append(whole, program.program, inside)
        for resource, row in rows_of(problem, program).items():
            rows.setdefault(resource, []).extend((first + variable, units) for variable, units in row)
    whole.row("choose", [(variable, 1.0) for variable in chosen], lower=1.0, upper=1.0)
    return _Written(rows, chosen)


def append(whole: Program, part: Program, chosen: int) -> int:
    """Write another program into one, to hold where a variable is 1; returns the index of its first variable.

    Where it is 0, so is every bound of a row, and everything that costs something.
    """
    first = len(whole.costs)
    whole.costs += part.costs
    whole.lowers += part.lowers
    whole.uppers += part.uppers
    whole.integers += part.integers
    for at, (name, lower, upper) in enumerate(zip(part.row_names, part.row_lowers, part.row_uppers, strict=True)):
        entries = range(part.starts[at], part.starts[at + 1])
        terms = [(first + part.columns[entry], part.coefficients[entry]) for entry in entries]
        if lower == upper:
            whole.row(name, [*terms, (chosen, -lower)], lower=0.0, upper=0.0)
            continue
        if lower > -INFINITY:
            whole.row(name, [*terms, (chosen, -lower)], lower=0.0)
        if upper < INFINITY:
            whole.row(name, [*terms, (chosen, -upper)], upper=0.0)
    return first
