"""One quota, one set of owned instances, many workloads: who takes how much, so that all together cost least.

Each workload is first planned as if everything were its own: none can cost less. Only where that takes more of
something than there is, whoever takes of it is planned together with the others that do; who is driven on to something
else that runs short then draws in those that take of that. Nobody outside gives anything up, and what the group costs
at the least is a bound for it whatever those outside do, so that an optimum of the group is one of the estate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor.plan.estate.prices import A_CENT, Division, Run, divide_by_prices, taken
from advisor.plan.estate.resources import ENOUGH, Resource, Uses, rows_of, totals
from advisor.plan.fleet.optimise import exclude_dearer
from advisor.plan.fleet.program import FleetProgram
from advisor.plan.fleet.solver import DEFAULT_SECONDS, Outcome, Program
from advisor.plan.fleet.values import Problem

MOST_VARIABLES = 20_000
"""Size up to which the workloads of a group are also solved as one program."""


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """What each workload may take."""

    uses: Mapping[str, Uses]
    together: tuple[str, ...]
    """Those that were planned together, because something they take runs short."""
    usd_per_month: float
    """Of those."""
    bound_usd_per_month: float
    excess: Uses

    @property
    def gap_ratio(self) -> float:
        """How much cheaper those could be at most."""
        short = self.usd_per_month - self.bound_usd_per_month
        return short / self.usd_per_month if short > A_CENT else 0.0


def divide(
    uses: Mapping[str, Uses], problems: Mapping[str, Problem], limits: Mapping[Resource, float], run: Run
) -> Shares:  # fmt: skip
    """Divide what runs short.

    Args:
        uses: what each workload takes when everything is its own.
        problems: of the workloads.
        limits: how much there is.
        run: applies a function to many things, in their order.
    """
    found = Shares(dict(uses), (), 0.0, 0.0, {})
    while not found.excess:
        short = {one for one, used in totals(found.uses).items() if used > limits[one] + ENOUGH}
        takers = {name for name, taken_by in found.uses.items() if short & taken_by.keys()}
        if takers <= set(found.together):
            break
        names = tuple(name for name in uses if name in takers or name in found.together)
        division = divide_group([problems[name] for name in names], limits, run)
        after = {**uses, **dict(zip(names, division.uses, strict=True))}
        found = Shares(after, names, division.usd_per_month, division.bound_usd_per_month, division.excess)
    return found


def divide_group(problems: Sequence[Problem], limits: Mapping[Resource, float], run: Run) -> Division:
    """The cheapest division among some workloads: by prices, and where that leaves a gap, as one program."""
    priced = divide_by_prices(problems, limits, run)
    if priced.excess or priced.usd_per_month - priced.bound_usd_per_month <= A_CENT:
        return priced
    return _as_one(problems, limits, priced)


def _as_one(problems: Sequence[Problem], limits: Mapping[Resource, float], known: Division) -> Division:
    """The programs side by side, joined by a row for each resource; *known* where they are too large for that."""
    programs = [FleetProgram(problem).build() for problem in problems]
    if sum(len(one.program.costs) for one in programs) > MOST_VARIABLES:
        return known
    whole = Program()
    rows = []
    for problem, one in zip(problems, programs, strict=True):
        first = append(whole, one.program)
        own = rows_of(problem, one)
        rows.append({name: [(first + variable, units) for variable, units in row] for name, row in own.items()})
    for resource, limit in limits.items():
        terms = [term for own in rows for term in own.get(resource, ())]
        whole.row(resource[0], terms, upper=limit)
    exclude_dearer(whole, known.usd_per_month)
    solution = whole.solve(DEFAULT_SECONDS, below=known.usd_per_month + A_CENT)
    if solution.outcome in (Outcome.OPTIMAL, Outcome.STOPPED) and solution.objective <= known.usd_per_month:
        uses = tuple(taken(own, solution.values) for own in rows)
        bound = max(solution.bound, known.bound_usd_per_month)
        return Division(uses, solution.objective, min(bound, solution.objective), {})
    proven = solution.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
    bound = known.usd_per_month if proven else max(known.bound_usd_per_month, min(solution.bound, known.usd_per_month))
    return Division(known.uses, known.usd_per_month, bound, {})


def append(whole: Program, part: Program) -> int:
    """Write another program's variables and rows into one; returns the index of its first variable."""
    first, entries = len(whole.costs), len(whole.columns)
    whole.costs += part.costs
    whole.lowers += part.lowers
    whole.uppers += part.uppers
    whole.integers += part.integers
    whole.row_names += part.row_names
    whole.row_lowers += part.row_lowers
    whole.row_uppers += part.row_uppers
    whole.starts += [entries + start for start in part.starts[1:]]
    whole.columns += [first + column for column in part.columns]
    whole.coefficients += part.coefficients
    return first
