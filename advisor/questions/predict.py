"""Rows of text for ``advisor predict``: cells to questions, answers to cells. One bad row never stops the others."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from advisor.candidates import split_shortfall
from advisor.candidates.engines import beyond_half
from advisor.catalog import Catalog
from advisor.catalog.processors import hardware_named
from advisor.errors import InputError
from advisor.models import find_model, parse_precision
from advisor.performance import Scenario
from advisor.performance.constants import engine_class
from advisor.performance.explain import Explanation, explain, predict, with_picture_tokens
from advisor.performance.model import PerformanceModel
from advisor.performance.one_pass import one_pass
from advisor.performance.physics import Floats
from advisor.performance.setups import (
    COUNT_COLUMNS,
    QUANTITIES,
    REQUEST_COLUMNS,
    SCENARIOS,
    SERVING_COLUMNS,
    SETUP_COLUMNS,
    Abstention,
    Answers,
    Questions,
    Resolved,
    Setup,
    finite_number,
    one_line,
    resolve,
    setup_from,
)
from advisor.questions import check_engine
from advisor.questions.fit import item_work, stored_bytes
from advisor.records import dataclass, field
from advisor.workload.kinds import LLAMA_CPP

_MOST = 10**9
"""Users and tokens, far beyond any machine."""
NUMBER_COLUMNS = ("concurrency", "input_tokens", "output_tokens", "prefix_cache_hit_ratio")
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
    "prefix_cache_hit_ratio",
    *SERVING_COLUMNS,
    *REQUEST_COLUMNS,
)
RESULT_COLUMNS = (
    *(column for quantity in QUANTITIES for column in (quantity, f"{quantity}_low", f"{quantity}_high")),
    "evidence",
    "reason",
)
_KEY_COLUMNS = (*SETUP_COLUMNS, *REQUEST_COLUMNS)
"""Columns by which set-ups differ."""
DIGITS = 6
"""Significant digits of a printed number."""


@dataclass(slots=True)
class _Reader:
    """Gathers rows; each distinct set-up is looked up once."""

    catalog: Catalog
    setups: list[Resolved | Abstention] = field(default_factory=list)
    positions: dict[tuple[str, ...], int] = field(default_factory=dict)

    def setup_of(self, cells: tuple[str, ...]) -> int:
        """Position of the set-up that these cells name."""
        setup = self.positions.get(cells)
        if setup is None:
            setup = self.positions[cells] = len(self.setups)
            self.setups.append(_look_up(cells, self.catalog))
        return setup


def answer_rows(
    rows: Iterable[Mapping[str, str]], catalog: Catalog, model: PerformanceModel | None = None
) -> Answers:  # fmt: skip
    """Answer every row, in order; a row that cannot be read is answered by its reason."""
    reader = _Reader(catalog)
    places: list[int] = []
    scenarios: list[int] = []
    numbers: list[tuple[float, ...]] = []
    complaints: dict[int, str] = {}
    for at, row in enumerate(rows):
        places.append(reader.setup_of(tuple([row.get(column, "") for column in _KEY_COLUMNS])))
        try:
            values = _numbers(row)
            scenario = _scenario(row.get("scenario", ""), values[0])
        except InputError as error:
            values, scenario = (math.nan,) * len(NUMBER_COLUMNS), 0
            complaints[at] = one_line(error)
        numbers.append(values)
        scenarios.append(scenario)
    table = np.array(numbers, dtype=np.float64).reshape(-1, len(NUMBER_COLUMNS))
    columns = np.ascontiguousarray(table.T)
    answers = predict(reader.setups, Questions(np.array(places, dtype=np.intp), np.array(scenarios), *columns), model)
    for at, complaint in complaints.items():
        answers.silence(at, complaint)
    return answers


def check_row(row: Mapping[str, str], catalog: Catalog) -> None:
    """Read one row alone. Raises InputError if a name is not known, or a number is none."""
    resolved_from(row, catalog)
    _scenario(row.get("scenario", ""), _numbers(row)[0])


def resolved_from(row: Mapping[str, str], catalog: Catalog) -> Resolved | Abstention:
    """The set-up of one row. Raises InputError if a name is not known, or a number is none."""
    setup = setup_from(row)
    check_engine(setup.engine, setup.engine_version, catalog)
    deployed = resolve(setup, catalog)
    reason = _beyond_half(setup, deployed, catalog) or _unsplit(deployed, catalog)
    return Abstention(reason) if reason else deployed


def _unsplit(deployed: Resolved | Abstention, catalog: Catalog) -> str:
    """Why no plan splits a model over so many ranks, as in `fit`; "" where one may, or layers are not split."""
    if isinstance(deployed, Abstention) or not deployed.model.is_generative:
        return ""
    deployment = deployed.deployment
    if engine_class(deployment.engine) == "llamacpp":
        return ""
    shortfall = split_shortfall(deployed.model, deployment.accelerator, deployment.tensor_parallel, catalog)
    return "" if shortfall is None else shortfall.reason


def _beyond_half(setup: Setup, deployed: Resolved | Abstention, catalog: Catalog) -> str:
    """Why a model that overflows in fp16 is not predicted in it, or told to be served in it; "" where it is not."""
    if isinstance(deployed, Abstention) and "serve fp16" not in deployed.reason:
        return ""
    model, engine = find_model(setup.model), setup.engine
    if isinstance(deployed, Resolved):
        engine = LLAMA_CPP if engine_class(deployed.deployment.engine) == "llamacpp" else deployed.deployment.engine
    precision = parse_precision(setup.precision) if setup.precision else model.checkpoint.precision
    return beyond_half(model, engine, precision, hardware_named(catalog, setup.accelerator)[0])


def explain_row(row: Mapping[str, str], catalog: Catalog, model: PerformanceModel) -> Explanation | None:
    """The terms of one row's answer; None for a model that answers in one pass, and where there is no answer.

    Raises InputError if a name is not known, or a number is none.
    """
    setup, numbers = resolved_from(row, catalog), _numbers(row)
    code = _scenario(row.get("scenario", ""), numbers[0])
    question = Questions(np.zeros(1, dtype=np.intp), np.array([code]), *np.array(numbers)[:, None])
    answered = predict([setup], question, model).value["tpot_ms"][0]
    if isinstance(setup, Abstention) or math.isnan(answered):
        return None
    return explain(setup, SCENARIOS[code], with_picture_tokens([setup], question), model)


def understood(row: Mapping[str, str], catalog: Catalog) -> dict[str, str]:
    """Engine, its version and precision of the KV cache that a row is answered for, defaults filled in.

    Models that answer in one pass have the precision that they compute in, and no cache.
    """
    setup = resolved_from(row, catalog)
    if isinstance(setup, Abstention) or not setup.kv_precision:
        return {}
    deployment = setup.deployment
    version = deployment.engine_version or "not stated"
    if one_pass(setup.model):
        is_served = setup.server is not None or bool(row.get("engine"))
        engine = {"engine": deployment.engine, "engine_version": version} if is_served else {"engine": "none is known"}
        return engine | {"compute_precision": deployment.compute_precision}
    return {"engine": deployment.engine, "engine_version": version, "kv_precision": setup.kv_precision}


def model_facts(row: Mapping[str, str]) -> dict[str, float | str | None]:
    """Size and work of a row's model: parameters, bytes as stored, FLOPs of an item, None where they are not known."""
    model = find_model(row["model"])
    tokens = _numbers(row)[NUMBER_COLUMNS.index("input_tokens")]
    flop, item = item_work(model, None if math.isnan(tokens) else int(tokens))
    facts: dict[str, float | str | None] = {
        "parameters_total": model.parameters_total,
        "parameters_active": model.parameters_active,
    }
    return facts | {"checkpoint_bytes": stored_bytes(model), "flop_per_item": flop, "item": item}


def result_cells(answers: Answers) -> list[list[str]]:
    """The result columns of every row as text; empty where there is no number."""
    columns: list[Sequence[str]] = []
    for quantity in QUANTITIES:
        columns += [_as_text(part[quantity]) for part in (answers.value, answers.low, answers.high)]
    columns += [answers.evidence, [answers.told(at) for at in range(len(answers.reason))]]
    return [list(cells) for cells in zip(*columns, strict=True)]


def result_of(answers: Answers, at: int) -> dict[str, float | str | None]:
    """The result columns of one row as values; None where there is no number."""
    result: dict[str, float | str | None] = {}
    for quantity in QUANTITIES:
        for suffix, part in (("", answers.value), ("_low", answers.low), ("_high", answers.high)):
            number = float(part[quantity][at])
            result[quantity + suffix] = None if math.isnan(number) else float(f"{number:.{DIGITS}g}")
    return result | {"evidence": answers.evidence[at], "reason": answers.told(at)}


def _look_up(cells: tuple[str, ...], catalog: Catalog) -> Resolved | Abstention:
    try:
        return resolved_from(dict(zip(_KEY_COLUMNS, cells, strict=True)), catalog)
    except InputError as error:
        return Abstention(one_line(error))


def _numbers(row: Mapping[str, str]) -> tuple[float, ...]:
    """Concurrency, prompt and answer length, share of the prompt that is cached; NaN for an empty cell."""
    numbers = tuple([_optional(column, row.get(column, "")) for column in NUMBER_COLUMNS])
    if numbers[-1] >= 1:
        raise InputError(f"{NUMBER_COLUMNS[-1]} must be below 1: {row[NUMBER_COLUMNS[-1]]}")
    return numbers


def _optional(column: str, cell: str) -> float:
    if not cell or not cell.strip():
        return math.nan
    number = finite_number(column, cell)
    if number < 0:
        raise InputError(f"{column} must not be negative: {cell}")
    if number > _MOST:
        raise InputError(f"{column} must be at most {_MOST:,}: {cell}")
    return number


def _scenario(cell: str, concurrency: float) -> int:
    """Position of the scenario; without one, a closed loop where users are given, else the largest throughput."""
    if not cell or not cell.strip():
        return _DEFAULT_UNCOUNTED if math.isnan(concurrency) else _DEFAULT_COUNTED
    code = _SCENARIO_CODES.get(cell.strip().lower())
    if code is None:
        raise InputError(f"scenario '{cell}' is not known", hint=f"one of {', '.join(SCENARIOS)}")
    return code


_SCENARIO_CODES = {scenario.value: code for code, scenario in enumerate(SCENARIOS)}
_DEFAULT_COUNTED = SCENARIOS.index(Scenario.FIXED_CONCURRENCY)
_DEFAULT_UNCOUNTED = SCENARIOS.index(Scenario.SATURATED)


def _as_text(numbers: Floats) -> list[str]:
    return ["" if math.isnan(number) else f"{number:.{DIGITS}g}" for number in numbers.tolist()]
