"""Questions asked together, read from cells of a table, their answers, and why one is not answered."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.demand.values import Pictures
from advisor.errors import InputError
from advisor.models.model import Adapters
from advisor.performance.physics import FloatLike, Floats
from advisor.performance.setups import Setup
from advisor.performance.values import Evidence, Scenario
from advisor.records import dataclass

REQUIRED_COLUMNS = ("model", "accelerator")
NAME_COLUMNS = ("model", "accelerator", "precision", "kv_precision", "engine", "engine_version")
COUNT_COLUMNS = ("accelerator_count", "tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel")
SERVING_COLUMNS = ("max_batched_tokens", "draft_tokens", "draft_acceptance", "draft_model")
REQUEST_COLUMNS = ("adapters", "adapter_rank", "images", "image_width", "image_height")
"""Contents of requests beside their text."""
SETUP_COLUMNS = (*NAME_COLUMNS, *COUNT_COLUMNS, *SERVING_COLUMNS)


def setup_from(cells: Mapping[str, str]) -> Setup:
    """Set-up of named cells. Raises InputError if a count is no whole number of at least 1, or a name is missing."""
    for column in REQUIRED_COLUMNS:
        if not cells.get(column, "").strip():
            raise InputError(f"{column} is empty")
    values: dict[str, Any] = {column: cells.get(column, "").strip() for column in (*NAME_COLUMNS, "draft_model")}
    for column in (*COUNT_COLUMNS, "max_batched_tokens", "draft_tokens"):
        values[column] = _count(column, cells.get(column, ""))
    values["accelerator_count"] = values["accelerator_count"] or 1
    adapters, rank = _all_or_none(cells, REQUEST_COLUMNS[:2], "LoRA adapters")
    images, width, height = _all_or_none(cells, REQUEST_COLUMNS[2:], "images")
    return Setup(
        **values,
        draft_acceptance=_acceptance(cells),
        adapters=Adapters(adapters, rank) if adapters and rank else None,
        pictures=Pictures(float(images), width, height) if images and width and height else None,
    )


def _all_or_none(cells: Mapping[str, str], columns: Sequence[str], what: str) -> tuple[int | None, ...]:
    """Counts that make sense together alone."""
    counts = tuple([_count(column, cells.get(column, "")) for column in columns])
    if None in counts and any(count is not None for count in counts):
        raise InputError(f"{what} need {' and '.join(columns)}", hint="give all of them, or none")
    return counts


def _acceptance(cells: Mapping[str, str]) -> float | None:
    """The acceptance of drafted tokens; None without speculation."""
    tokens, acceptance, model = (cells.get(column, "").strip() for column in SERVING_COLUMNS[1:])
    if not (tokens or acceptance or model):
        return None
    if not (tokens and acceptance):
        raise InputError("speculation needs draft_tokens and draft_acceptance", hint="give both, or neither")
    number = finite_number("draft_acceptance", acceptance)
    if not 0 <= number <= 1:
        raise InputError(f"draft_acceptance must be between 0 and 1, not {acceptance}")
    return number


def finite_number(column: str, cell: str) -> float:
    """The number of a cell. Raises InputError if it is none, or not finite."""
    try:
        number = float(cell)
    except ValueError:
        raise InputError(f"{column}: '{cell}' is not a number") from None
    if not math.isfinite(number):
        raise InputError(f"{column}: '{cell}' is not a finite number")
    return number


def one_line(error: InputError) -> str:
    """An error for a cell of a table."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _count(column: str, cell: str) -> int | None:
    """A whole number of at least 1 (``8`` or ``8.0``), or None for an empty cell."""
    if not cell.strip():
        return None
    number = finite_number(column, cell)
    if number < 1 or number != int(number):
        raise InputError(f"{column} must be a whole number of at least 1, not {cell}")
    return int(number)


SCENARIOS = tuple(Scenario)
SAMPLES = "samples_per_second"
"""The quantity of models that answer in one pass; the others are of models that generate tokens."""
QUANTITIES = ("ttft_ms", "tpot_ms", "output_tokens_per_second", "total_tokens_per_second", SAMPLES)

Indices = npt.NDArray[np.intp]
Numbers = tuple[Floats, Floats, Floats]
"""Value, low and high end."""


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """One entry per question; NaN where a number is not given."""

    setup: Indices
    """Position of the question's set-up."""
    scenario: Indices
    """Position in :data:`SCENARIOS`."""
    concurrency: Floats
    input_tokens: Floats
    output_tokens: Floats
    prefix_cache_hit_ratio: FloatLike = 0.0

    def take(self, index: Indices) -> "Questions":
        """The questions at the given positions."""
        columns = (np.broadcast_to(getattr(self, name), self.setup.shape)[index] for name in self.__slots__)
        return Questions(*columns)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One entry per question: NaN where there is no such number."""

    value: dict[str, Floats]
    low: dict[str, Floats]
    high: dict[str, Floats]
    evidence: list[str]
    reason: list[str]
    """Why nothing is said of a question; "" where something is."""
    missing: list[str]
    """Which number is missing beside others that are said, and why; "" where none is."""

    @classmethod
    def empty(cls, size: int) -> "Answers":
        """Nothing answered yet."""
        value, low, high = ({name: np.full(size, np.nan) for name in QUANTITIES} for _ in range(3))
        return cls(value, low, high, [Evidence.NONE.value] * size, [""] * size, [""] * size)

    def store(self, name: str, rows: Indices, numbers: Numbers) -> None:
        """Set one quantity of some questions."""
        for column, entries in zip((self.value, self.low, self.high), numbers, strict=True):
            column[name][rows] = entries

    def mark(self, rows: Indices, evidence: Sequence[str]) -> None:
        """Say what the numbers of some questions rest on."""
        for at, word in zip(rows.tolist(), evidence, strict=True):
            self.evidence[at] = word

    def silence(self, at: int, reason: str) -> None:
        """Take back whatever was said of a question, and give the reason instead."""
        for part in (self.value, self.low, self.high):
            for column in part.values():
                column[at] = np.nan
        self.evidence[at], self.reason[at], self.missing[at] = Evidence.NONE.value, reason, ""

    def told(self, at: int) -> str:
        """Why nothing is said of a question, or which of its numbers is missing; "" where all are there."""
        return self.reason[at] or self.missing[at]


@dataclass(slots=True, eq=False)
class Sieve:
    """Questions still standing; those that fall get their reason."""

    questions: Questions
    answers: Answers
    standing: Indices

    def drop(self, bad: npt.NDArray[np.bool_], reason: Callable[[int], str]) -> None:
        """Drop the standing questions that are bad, with a reason worked out from their position."""
        for at in self.standing[bad].tolist():
            self.answers.reason[at] = reason(at)
        self.standing = self.standing[~bad]
