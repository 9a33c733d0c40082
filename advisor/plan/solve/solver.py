"""A mixed-integer program written row by row, each row under the name of its constraint, and solved by HiGHS."""

from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.records import dataclass, field

Floats = npt.NDArray[np.float64]

INFINITY = float("inf")
DEFAULT_SECONDS = 20.0
"""Time after which the best fleet found is reported with its gap."""
NODES_PER_SECOND = 250
"""Branches that a second of the time stands for: they end a search at the same point on any machine."""
SLOWEST = 3.0
"""A machine that takes so many times as long is waited for."""
INTEGER_TOLERANCE = 1e-7
FEASIBLE = 1e-7
HALF_A_CENT = 0.005
OPTIONS = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_allow_restart": False,
    # these heuristics take longer than the search that they are meant to shorten
    "mip_heuristic_run_feasibility_jump": False,
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_rens": False,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": HALF_A_CENT,
    "mip_feasibility_tolerance": INTEGER_TOLERANCE,
    "primal_feasibility_tolerance": FEASIBLE,
}
ROUGHLY = {"mip_rel_gap": 0.01, "mip_max_nodes": 1_000, "mip_pool_soft_limit": 100}
"""Where a fleet is looked for that may be of use, but not the cheapest of them."""
FOUND = 2
"""The solver's word for a solution that keeps to everything."""


class Outcome(StrEnum):
    """Outcome of a solve."""

    OPTIMAL = "optimal"
    STOPPED = "stopped"
    """There is a solution whose gap is not closed: the time ran out, or it is close enough."""
    INFEASIBLE = "infeasible"
    UNSOLVED = "unsolved"
    """The time ran out before any solution was found."""


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Values of all variables, and what is proven of them."""

    outcome: Outcome
    values: Floats
    objective: float
    bound: float
    """No solution can be below it."""
    reduced_costs: Floats
    """Without whole numbers: by how much the objective rises at least for each unit of a variable that is 0."""

    @property
    def found(self) -> bool:
        """Whether there are values that keep to everything."""
        return self.outcome in (Outcome.OPTIMAL, Outcome.STOPPED)


@dataclass(slots=True)
class Program:
    """Variables and rows; ``lower <= sum(coefficient * variable) <= upper`` for each row."""

    costs: list[float] = field(default_factory=list)
    lowers: list[float] = field(default_factory=list)
    uppers: list[float] = field(default_factory=list)
    integers: list[bool] = field(default_factory=list)
    row_names: list[str] = field(default_factory=list)
    row_lowers: list[float] = field(default_factory=list)
    row_uppers: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    columns: list[int] = field(default_factory=list)
    coefficients: list[float] = field(default_factory=list)
    _relaxed: "Solution | None" = None

    def variable(self, *, lower: float = 0.0, upper: float = INFINITY, integer: bool = False) -> int:
        """A new variable from ``lower`` to ``upper``; returns its index."""
        self.costs.append(0.0)
        self.lowers.append(lower)
        self.uppers.append(upper)
        self.integers.append(integer)
        return len(self.costs) - 1

    def add_cost(self, variable: int, cost: float) -> None:
        """Add so much to the cost of each unit of a variable."""
        self.costs[variable] += cost

    def row(
        self, name: str, terms: Sequence[tuple[int, float]], *, lower: float = -INFINITY, upper: float = INFINITY
    ) -> int:
        """A new row under the name of its constraint; returns its index. A variable may come up more than once."""
        summed = dict(terms)
        if len(summed) < len(terms):
            summed = dict.fromkeys(summed, 0.0)
            for variable, coefficient in terms:
                summed[variable] += coefficient
        self.columns.extend(summed)
        self.coefficients.extend(summed.values())
        self.starts.append(len(self.columns))
        self.row_names.append(name)
        self.row_lowers.append(lower)
        self.row_uppers.append(upper)
        return len(self.row_names) - 1

    def solve(
        self,
        seconds: float = DEFAULT_SECONDS,
        *,
        whole: bool = True,
        below: float = INFINITY,
        roughly: bool = False,
        enough: float = -INFINITY,
        branches: int | None = None,
    ) -> Solution:
        """The cheapest solution, or the best that was found in the time.

        The same program gives the same solution: one thread, a fixed seed, no stop on a gap above half a cent, and a
        limit on branches that is reached before that on time on any but a slow machine.

        Args:
            seconds: time limit.
            whole: whether integers have to be whole numbers; without, the linear relaxation is solved.
            below: nothing above it is of interest.
            roughly: whether one within 1 % of the cheapest will do, or the best of so many branches.
            enough: the first that costs no more will do.
            branches: after which the best of them will do; None: as many as the time stands for.
        """
        from highspy import HighsModelStatus  # noqa: PLC0415 - only plans load the solver
        from highspy._core import _Highs  # noqa: PLC0415 - the class around it prints a banner as it starts

        solver = _Highs()
        ends = {"time_limit": SLOWEST * seconds, "mip_max_nodes": int(NODES_PER_SECOND * seconds)}
        chosen = {**ends, "objective_bound": below, "objective_target": enough, **(ROUGHLY if roughly else {})}
        chosen |= {} if branches is None else {"mip_max_nodes": branches}
        for option, value in {**OPTIONS, **chosen}.items():
            solver.setOptionValue(option, value)
        solver.passModel(self._model(whole=whole))
        solver.run()
        status, info = solver.getModelStatus(), solver.getInfo()
        result = solver.getSolution()
        values, reduced = np.array(result.col_value), np.array(result.col_dual)
        has_gap = info.objective_function_value - info.mip_dual_bound > HALF_A_CENT
        if status == HighsModelStatus.kOptimal and not (roughly and has_gap):
            objective = info.objective_function_value
            return Solution(Outcome.OPTIMAL, values, objective, objective, reduced)
        if status in (HighsModelStatus.kInfeasible, HighsModelStatus.kUnboundedOrInfeasible):
            return Solution(Outcome.INFEASIBLE, values, INFINITY, INFINITY, reduced)
        if np.isfinite(info.objective_function_value) and info.primal_solution_status == FOUND:
            return Solution(Outcome.STOPPED, values, info.objective_function_value, info.mip_dual_bound, reduced)
        return Solution(Outcome.UNSOLVED, values, INFINITY, info.mip_dual_bound, reduced)

    def relaxed(self) -> Solution:
        """The linear relaxation, solved once: of the rows and bounds when it is first asked for."""
        if self._relaxed is None:
            self._relaxed = self.solve(whole=False)
        return self._relaxed

    def _model(self, *, whole: bool) -> Any:  # noqa: ANN401 - the solver is imported where it is used
        from highspy import HighsLp, HighsVarType, MatrixFormat  # noqa: PLC0415 - as above

        model = HighsLp()
        model.num_col_, model.num_row_ = len(self.costs), len(self.row_names)
        model.col_cost_ = np.array(self.costs)
        model.col_lower_, model.col_upper_ = np.array(self.lowers), np.array(self.uppers)
        model.row_lower_, model.row_upper_ = np.array(self.row_lowers), np.array(self.row_uppers)
        model.a_matrix_.format_ = MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.array(self.starts)
        model.a_matrix_.index_ = np.array(self.columns, dtype=np.int32)
        model.a_matrix_.value_ = np.array(self.coefficients)
        kinds = {True: HighsVarType.kInteger, False: HighsVarType.kContinuous}
        if whole:
            model.integrality_ = [kinds[integer] for integer in self.integers]
        return model


def load_solver() -> None:
    """Load HiGHS ahead of its first use, for the processes that are forked from here on."""
    import_module("highspy")
