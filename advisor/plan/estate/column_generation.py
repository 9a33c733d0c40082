"""Workloads that contest a resource, divided by prices on it: column generation (Dantzig and Wolfe 1960).

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

from advisor.plan.estate.contention import Contention, regions_of
from advisor.plan.estate.resources import ENOUGH, Resource, Row, Uses, rows_of
from advisor.plan.problem.values import Problem
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.solver import INFINITY, Outcome, Program
from advisor.records import dataclass, replace
from advisor.spread import Run
from advisor.units import A_CENT

ROUNDS = 25
ANSWER_SECONDS = 10.0
DETERRENT = 10.0
"""Exceeding a limit by a unit at so many times what all fleets cost is never worth it where other fleets will do."""


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
    answers = [_at_prices(problem, asked.prices) for problem in asked.contention.inside]
    answers.append(_outside(asked.contention))
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
    use = [(variable, units * weights[one]) for one, row in rows.items() for variable, units in row]
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
    found = {
        resource: sum(units * round(float(values[variable])) for variable, units in row)
        for resource, row in rows.items()
    }
    return {resource: used for resource, used in found.items() if used > ENOUGH}


def divide_by_prices(contentions: Sequence[Contention], limits: Mapping[Resource, float], run: Run) -> Division:
    """The cheapest division that prices lead to, and a bound that none is below.

    Args:
        contentions: of the workloads; each can be served if it may take all of everything.
        limits: of everything that they contest.
        run: applies a function to many things, in their order.
    """
    none = dict.fromkeys(limits, 0.0)
    free = list(run(ask, [Asked(contention, none) for contention in contentions]))
    sparing = run(ask_sparing, [Sparing(contention, limits) for contention in contentions])
    known = [[answer for answer in both if answer.usd_per_month < INFINITY] for both in zip(free, sparing, strict=True)]
    penalty = DETERRENT * sum(max(answer.usd_per_month for answer in both) for both in known) + 1.0
    master = _Master(known, limits, dict.fromkeys(limits, penalty))
    bound = sum(answer.bound for answer in free)
    for _ in range(ROUNDS):
        cost, prices = master.prices()
        answers = list(run(ask, [Asked(contention, prices) for contention in contentions]))
        lowest = sum(answer.bound for answer in answers) - sum(prices[one] * limit for one, limit in limits.items())
        bound = max(bound, lowest)
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
        for known, new in zip(self._answers, answers, strict=True):
            if new.priced(prices) < min(answer.priced(prices) for answer in known) - A_CENT / len(answers):
                known.append(new)
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
