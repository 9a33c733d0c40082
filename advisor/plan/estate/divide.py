"""One quota, one set of owned instances, many workloads: who takes how much, so that all together cost least.

Each workload is first planned as if everything were its own: none can cost less. Only where that takes more of
something than there is, whoever takes of it is planned together with the others that do; who is driven on to something
else that runs short then draws in those that take of that. Nobody outside gives anything up, and what the group costs
at the least is a bound for it whatever those outside do, so that an optimum of the group is one of the estate.

Each workload answers prices with its cheapest fleet at them, on its own and so in parallel. A small program mixes the
answers so that nothing is exceeded, at the least cost, and its duals are the next prices:

    minimise   Σ usd(i, c) · y(i, c)  +  penalty · excess(r)
    choose     Σ_c y(i, c) = 1                                   for each workload i
    share      Σ_i,c uses(i, c, r) · y(i, c) - excess(r) ≤ limit(r)   for each resource r

No division costs less than Σ_i (least usd + price · uses) - Σ_r price · limit, whatever the prices (Lagrange). In the
end the same program with whole y picks one answer of each workload.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from advisor.plan.estate.terms import ENOUGH, Resource, Row, Uses, pool_resources, rows_of, totals
from advisor.plan.problem.values import FleetSolution, Problem
from advisor.plan.solve.dominance import without_dominated
from advisor.plan.solve.optimise import exclude_dearer
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.scopes import cheapest, scopes
from advisor.plan.solve.solver import DEFAULT_SECONDS, INFINITY, Outcome, Program, Solution
from advisor.processes import Run
from advisor.records import dataclass, replace
from advisor.units import A_CENT


@dataclass(frozen=True, slots=True, eq=False)
class Contention:
    """The choices of one workload."""

    outside_usd: float
    """The cheapest fleet in a scope (a region, a cloud) where nothing is shared; infinite where there is none."""
    outside_regions: frozenset[str]
    """Where that is."""
    inside: tuple[Problem, ...]
    """The other scopes, without the pools that no cheapest fleet needs."""


def contention_of(problem: Problem, limits: Mapping[Resource, float]) -> Contention:
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


ROUNDS = 25
ANSWER_SECONDS = 10.0
DETERRENT = 10.0
"""Exceeding a limit by a unit at so many times what all fleets cost is never worth it where other fleets will do."""
MOST_VARIABLES = 20_000
"""Size up to which the choices of a group are also solved as one program."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A workload's choices at prices, USD a month for each unit."""

    contention: Contention
    prices: Mapping[Resource, float]


@dataclass(frozen=True, slots=True, eq=False)
class Sparing:
    """A workload's choices, of which the one is wanted that takes least."""

    contention: Contention
    limits: Mapping[Resource, float]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Cheapest fleet of a workload at those prices."""

    usd_per_month: float
    """Without them."""
    uses: Uses
    bound: float
    """With them, no fleet costs less."""
    regions: frozenset[str]
    """Where it is, or could be."""

    def priced(self, prices: Mapping[Resource, float]) -> float:
        """Cost at other prices."""
        return self.usd_per_month + sum(prices[resource] * used for resource, used in self.uses.items())


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Use of resources by workload."""

    uses: tuple[Uses, ...]
    usd_per_month: float
    bound_usd_per_month: float
    excess: Uses
    """By how much limits would have to be higher for all to be served; empty where they are high enough."""
    regions: tuple[frozenset[str], ...]
    """Where each is, or could be."""


def ask(asked: Asked) -> Answer:
    """The cheapest fleet of one workload at some prices, in any of its scopes."""
    answers = [*(_at_prices(problem, asked.prices) for problem in asked.contention.inside), _outside(asked.contention)]
    best = min(answers, key=lambda answer: answer.priced(asked.prices))
    return replace(best, bound=min(answer.bound for answer in answers))


def ask_sparing(asked: Sparing) -> Answer:
    """The fleet of one workload that takes least, each resource by the share of its limit."""
    if asked.contention.outside_usd < INFINITY:
        return _outside(asked.contention)
    weights = {resource: 1 / max(limit, 1.0) for resource, limit in asked.limits.items()}
    answers = [_sparing(problem, weights) for problem in asked.contention.inside]
    return min(answers, key=lambda answer: (answer.priced(weights) - answer.usd_per_month, answer.usd_per_month))


def _outside(contention: Contention) -> Answer:
    return Answer(contention.outside_usd, {}, contention.outside_usd, contention.outside_regions)


def _at_prices(problem: Problem, prices: Mapping[Resource, float]) -> Answer:
    program = FleetProgram(problem).build()
    rows = _shared_rows(problem, program, prices)
    usd = np.array(program.program.costs)
    for resource, row in rows.items():
        for variable, units in row:
            program.program.add_cost(variable, units * prices[resource])
    return _answer(problem, program.program, rows, usd)


def _shared_rows(problem: Problem, program: FleetProgram, shared: Mapping[Resource, float]) -> dict[Resource, Row]:
    return {resource: row for resource, row in rows_of(problem, program).items() if resource in shared}


def _sparing(problem: Problem, weights: Mapping[Resource, float]) -> Answer:
    """The cheapest fleet of those that take least."""
    program = FleetProgram(problem).build()
    rows = _shared_rows(problem, program, weights)
    costs, whole = program.program.costs, program.program
    use = [(variable, units * weights[resource]) for resource, row in rows.items() for variable, units in row]
    whole.costs = [0.0] * len(costs)
    for variable, units in use:
        whole.add_cost(variable, units)
    least = whole.solve(ANSWER_SECONDS)
    if least.outcome not in (Outcome.OPTIMAL, Outcome.STOPPED):
        return Answer(INFINITY, {}, 0.0, frozenset())
    whole.costs = costs
    whole.row("sparing", use, upper=least.objective + ENOUGH)
    return _answer(problem, whole, rows, np.array(costs))


def _answer(problem: Problem, program: Program, rows: Mapping[Resource, Row], usd: np.ndarray) -> Answer:
    solution = program.solve(ANSWER_SECONDS)
    if solution.outcome not in (Outcome.OPTIMAL, Outcome.STOPPED):
        return Answer(INFINITY, {}, solution.bound, frozenset())
    uses = taken(rows, solution.values)
    return Answer(float(usd @ solution.values), uses, solution.bound, regions_of(problem))


def taken(rows: Mapping[Resource, Sequence[tuple[int, float]]], values: np.ndarray) -> Uses:
    """Use of each resource by a solution."""
    sums = ((resource, sum(units * round(float(values[at])) for at, units in row)) for resource, row in rows.items())
    return {resource: used for resource, used in sums if used > ENOUGH}


def divide_by_prices(contentions: Sequence[Contention], limits: Mapping[Resource, float], run: Run) -> Division:
    """The cheapest division that prices lead to, and a bound that none is below.

    *contentions*: of the workloads; each can be served if it may take all of everything.
    """
    none = dict.fromkeys(limits, 0.0)
    free = list(run(ask, [Asked(contention, none) for contention in contentions]))
    sparing = run(ask_sparing, [Sparing(contention, limits) for contention in contentions])
    affordable = [
        [answer for answer in both if answer.usd_per_month < INFINITY] for both in zip(free, sparing, strict=True)
    ]
    penalty = DETERRENT * sum(max(answer.usd_per_month for answer in both) for both in affordable) + 1.0
    master = _Master(affordable, limits, dict.fromkeys(limits, penalty))
    bound = sum(answer.bound for answer in free)
    for _ in range(ROUNDS):
        cost, prices = master.prices()
        answers = list(run(ask, [Asked(contention, prices) for contention in contentions]))
        paid = sum(prices[resource] * limit for resource, limit in limits.items())
        bound = max(bound, sum(answer.bound for answer in answers) - paid)
        if bound >= cost - A_CENT or not master.learn(answers, prices):
            break
    return master.division(bound)


class _Master:
    """The answers so far, and how they are mixed."""

    def __init__(
        self, answers: list[list[Answer]], limits: Mapping[Resource, float], penalty: Mapping[Resource, float]
    ) -> None:  # fmt: skip
        """Start from some answers of each workload."""
        self._answers = answers
        self._limits = limits
        self._penalty = penalty

    def prices(self) -> tuple[float, dict[Resource, float]]:
        """Cost of the best mix, and the prices that it puts on the resources."""
        program, _, excess = self._program(whole=False)
        solution = program.solve(whole=False)
        reduced = solution.reduced_costs
        return solution.objective, {
            resource: max(self._penalty[resource] - float(reduced[variable]), 0.0)
            for resource, variable in excess.items()
        }

    def learn(self, answers: Sequence[Answer], prices: Mapping[Resource, float]) -> bool:
        """Take up answers that cost less at those prices than all before; whether there are any."""
        better = False
        for earlier, new in zip(self._answers, answers, strict=True):
            if new.priced(prices) < min(answer.priced(prices) for answer in earlier) - A_CENT / len(answers):
                earlier.append(new)
                better = True
        return better

    def division(self, bound: float) -> Division:
        """One answer of each workload."""
        program, chosen, excess = self._program(whole=True)
        solution = program.solve()
        picked = [
            max(zip(columns, self._answers[at], strict=True), key=lambda pair: solution.values[pair[0]])[1]
            for at, columns in enumerate(chosen)
        ]
        usd = sum(answer.usd_per_month for answer in picked)
        over = {name: float(solution.values[at]) for name, at in excess.items() if solution.values[at] > ENOUGH}
        regions = tuple(answer.regions for answer in picked)
        return Division(tuple(answer.uses for answer in picked), usd, min(bound, usd), over, regions)

    def _program(self, *, whole: bool) -> tuple[Program, list[list[int]], dict[Resource, int]]:
        program = Program()
        chosen: list[list[int]] = []
        shared: dict[Resource, list[tuple[int, float]]] = {resource: [] for resource in self._limits}
        for answers in self._answers:
            columns = [program.variable(upper=1.0, integer=whole) for _ in answers]
            for column, answer in zip(columns, answers, strict=True):
                program.add_cost(column, answer.usd_per_month)
                for resource, used in answer.uses.items():
                    shared[resource].append((column, used))
            program.row("choose", [(column, 1.0) for column in columns], lower=1.0, upper=1.0)
            chosen.append(columns)
        excess = {}
        for resource, terms in shared.items():
            excess[resource] = program.variable()
            program.add_cost(excess[resource], self._penalty[resource])
            program.row("share", [*terms, (excess[resource], -1.0)], upper=self._limits[resource])
        return program, chosen, excess


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

    *uses*: what each workload takes when everything is its own. *contentions*: the choices of those that take of
    anything.
    """
    shares = Shares(dict(uses), (), 0.0, 0.0, {}, {})
    while not shares.excess:
        short = {resource for resource, used in totals(shares.uses).items() if used > limits[resource] + ENOUGH}
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
    whole = Program()
    written = [_write(whole, contention) for contention in contentions]
    rows = [choices.rows for choices in written]
    if len(whole.costs) > MOST_VARIABLES:
        return priced
    for resource, limit in limits.items():
        whole.row(resource[0], [term for own in rows for term in own.get(resource, ())], upper=limit)
    exclude_dearer(whole, priced.usd_per_month)
    solution = whole.solve(DEFAULT_SECONDS, below=priced.usd_per_month + A_CENT)
    if solution.outcome in (Outcome.OPTIMAL, Outcome.STOPPED) and solution.objective <= priced.usd_per_month:
        uses = tuple(taken(own, solution.values) for own in rows)
        bound = max(solution.bound, priced.bound_usd_per_month)
        regions = tuple(choices.regions(solution) for choices in written)
        return Division(uses, solution.objective, min(bound, solution.objective), {}, regions)
    proven = solution.outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
    bound = (
        priced.usd_per_month if proven else max(priced.bound_usd_per_month, min(solution.bound, priced.usd_per_month))
    )
    return replace(priced, bound_usd_per_month=bound)


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
