"""Rows of text for ``advisor predict``: cells to questions, answers to cells. One bad row never stops the others."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from advisor.catalog import Catalog
from advisor.errors import InputError
from advisor.performance.physics import Floats
from advisor.performance.predictions import predict
from advisor.performance.questions import QUANTITIES, SCENARIOS, Answers, Questions
from advisor.performance.setups import Abstention, Resolved, Setup, resolve
from advisor.performance.values import Scenario

NAME_COLUMNS = ("model", "accelerator", "precision", "kv_precision", "engine", "engine_version")
COUNT_COLUMNS = ("accelerator_count", "tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel")
NUMBER_COLUMNS = ("concurrency", "input_tokens", "output_tokens")
INPUT_COLUMNS = (
    "id",
    "model",
    "accelerator",
    *COUNT_COLUMNS,
    "precision",
    "kv_precision",
    "engine",
    "engine_version",
    "scenario",
    "input_tokens",
    "output_tokens",
    "concurrency",
)
REQUIRED_COLUMNS = ("model", "accelerator")
RESULT_COLUMNS = (
    *(column for quantity in QUANTITIES for column in (quantity, f"{quantity}_low", f"{quantity}_high")),
    "evidence",
    "reason",
)
DIGITS = 6
"""Significant digits of a printed number."""
_SETUP_COLUMNS = (*NAME_COLUMNS, *COUNT_COLUMNS)


@dataclass(slots=True)
class _Reader:
    """Gathers rows; each distinct set-up is looked up once."""

    catalog: Catalog
    setups: list[Resolved | Abstention] = field(default_factory=list)
    known: dict[tuple[str, ...], int] = field(default_factory=dict)

    def setup_of(self, cells: tuple[str, ...]) -> int:
        """Position of the set-up that these cells name."""
        found = self.known.get(cells)
        if found is None:
            found = self.known[cells] = len(self.setups)
            self.setups.append(_look_up(cells, self.catalog))
        return found


def answer_rows(rows: Iterable[Mapping[str, str]], catalog: Catalog) -> Answers:
    """Answer every row, in order; a row that cannot be read is answered by its reason."""
    reader = _Reader(catalog)
    places: list[int] = []
    scenarios: list[int] = []
    numbers: list[tuple[float, float, float]] = []
    complaints: dict[int, str] = {}
    for at, row in enumerate(rows):
        places.append(reader.setup_of(tuple([row.get(column, "") for column in _SETUP_COLUMNS])))
        try:
            triple = _numbers(row)
            scenario = _scenario(row.get("scenario", ""), triple[0])
        except InputError as error:
            triple, scenario = (math.nan, math.nan, math.nan), 0
            complaints[at] = one_line(error)
        numbers.append(triple)
        scenarios.append(scenario)
    table = np.array(numbers, dtype=np.float64).reshape(-1, len(NUMBER_COLUMNS))
    columns = np.ascontiguousarray(table.T)
    answers = predict(reader.setups, Questions(np.array(places, dtype=np.intp), np.array(scenarios), *columns))
    for at, complaint in complaints.items():
        answers.silence(at, complaint)
    return answers


def check_row(row: Mapping[str, str], catalog: Catalog) -> None:
    """Read one row alone.

    Raises:
        InputError: a name is not known, or a number is none.
    """
    resolve(setup_from(row), catalog)
    _scenario(row.get("scenario", ""), _numbers(row)[0])


def one_line(error: InputError) -> str:
    """An error for a cell of a table."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def result_cells(answers: Answers) -> list[list[str]]:
    """The result columns of every row as text; empty where there is no number."""
    columns: list[Sequence[str]] = []
    for quantity in QUANTITIES:
        columns += [_as_text(part[quantity]) for part in (answers.value, answers.low, answers.high)]
    columns += [answers.evidence, answers.reason]
    return [list(cells) for cells in zip(*columns, strict=True)]


def result_of(answers: Answers, at: int) -> dict[str, float | str | None]:
    """The result columns of one row as values; None where there is no number."""
    result: dict[str, float | str | None] = {}
    for quantity in QUANTITIES:
        for suffix, part in (("", answers.value), ("_low", answers.low), ("_high", answers.high)):
            number = float(part[quantity][at])
            result[quantity + suffix] = None if math.isnan(number) else float(f"{number:.{DIGITS}g}")
    return result | {"evidence": answers.evidence[at], "reason": answers.reason[at]}


def setup_from(cells: Mapping[str, str]) -> Setup:
    """The set-up that named cells describe.

    Raises:
        InputError: a count is no whole number of at least 1, or a name is missing.
    """
    for column in REQUIRED_COLUMNS:
        if not cells.get(column, "").strip():
            raise InputError(f"{column} is empty")
    counts = {column: _count(column, cells.get(column, "")) for column in COUNT_COLUMNS}
    names = {column: cells.get(column, "").strip() for column in NAME_COLUMNS}
    return Setup(
        model=names["model"],
        accelerator=names["accelerator"],
        accelerator_count=counts["accelerator_count"] or 1,
        tensor_parallel=counts["tensor_parallel"],
        pipeline_parallel=counts["pipeline_parallel"],
        expert_parallel=counts["expert_parallel"],
        data_parallel=counts["data_parallel"],
        precision=names["precision"],
        kv_precision=names["kv_precision"],
        engine=names["engine"],
        engine_version=names["engine_version"],
    )


def _look_up(cells: tuple[str, ...], catalog: Catalog) -> Resolved | Abstention:
    try:
        return resolve(setup_from(dict(zip(_SETUP_COLUMNS, cells, strict=True))), catalog)
    except InputError as error:
        return Abstention(one_line(error))


def _count(column: str, cell: str) -> int | None:
    """A whole number of at least 1 (``8`` or ``8.0``), or None for an empty cell."""
    if not cell.strip():
        return None
    number = _number(column, cell)
    if number < 1 or number != int(number):
        raise InputError(f"{column} must be a whole number of at least 1, not {cell}")
    return int(number)


def _number(column: str, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        raise InputError(f"{column}: '{cell}' is no number") from None
    if not math.isfinite(number):
        raise InputError(f"{column}: '{cell}' is no finite number")
    return number


def _numbers(row: Mapping[str, str]) -> tuple[float, float, float]:
    """Concurrency, prompt and answer length; NaN for an empty cell."""
    concurrency, prompt, answer = (_optional(column, row.get(column, "")) for column in NUMBER_COLUMNS)
    return concurrency, prompt, answer


def _optional(column: str, cell: str) -> float:
    if not cell or not cell.strip():
        return math.nan
    number = _number(column, cell)
    if number < 0:
        raise InputError(f"{column} must not be negative: {cell}")
    return number


def _scenario(cell: str, concurrency: float) -> int:
    """Position of the scenario; without one, a closed loop where users are given, else the largest throughput."""
    if not cell or not cell.strip():
        return _DEFAULT_COUNTED if concurrency >= 1 else _DEFAULT_UNCOUNTED
    found = _SCENARIO_CODES.get(cell.strip().lower())
    if found is None:
        raise InputError(f"scenario '{cell}' is not known", hint=f"one of {', '.join(SCENARIOS)}")
    return found


_SCENARIO_CODES = {scenario.value: code for code, scenario in enumerate(SCENARIOS)}
_DEFAULT_COUNTED = SCENARIOS.index(Scenario.FIXED_CONCURRENCY)
_DEFAULT_UNCOUNTED = SCENARIOS.index(Scenario.SATURATED)


def _as_text(numbers: Floats) -> list[str]:
    return ["" if math.isnan(number) else f"{number:.{DIGITS}g}" for number in numbers.tolist()]
