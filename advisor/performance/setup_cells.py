"""A set-up out of the cells of a table: what the columns are called, and how their text is read."""

import math
from collections.abc import Mapping, Sequence

from advisor.demand.values import Pictures
from advisor.errors import InputError
from advisor.models.adapter_values import Adapters
from advisor.performance.setups import Setup

REQUIRED_COLUMNS = ("model", "accelerator")
NAME_COLUMNS = ("model", "accelerator", "precision", "kv_precision", "engine", "engine_version")
COUNT_COLUMNS = ("accelerator_count", "tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel")
SERVING_COLUMNS = ("max_batched_tokens", "draft_tokens", "draft_acceptance", "draft_model")
REQUEST_COLUMNS = ("adapters", "adapter_rank", "images", "image_width", "image_height")
"""Contents of requests beside their text."""
SETUP_COLUMNS = (*NAME_COLUMNS, *COUNT_COLUMNS, *SERVING_COLUMNS)


def setup_from(cells: Mapping[str, str]) -> Setup:
    """The set-up that named cells describe.

    Raises:
        InputError: a count is no whole number of at least 1, or a name is missing.
    """
    for column in REQUIRED_COLUMNS:
        if not cells.get(column, "").strip():
            raise InputError(f"{column} is empty")
    whole = (*COUNT_COLUMNS, "max_batched_tokens", "draft_tokens")
    counts = {column: _count(column, cells.get(column, "")) for column in whole}
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
        max_batched_tokens=counts["max_batched_tokens"],
        draft_tokens=counts["draft_tokens"],
        draft_acceptance=_acceptance(cells),
        draft_model=cells.get("draft_model", "").strip(),
        adapters=_adapters(cells),
        pictures=_pictures(cells),
    )


def _adapters(cells: Mapping[str, str]) -> Adapters | None:
    """LoRA adapters of a rank; None where none are asked for."""
    count, rank = _all_or_none(cells, REQUEST_COLUMNS[:2], "LoRA adapters")
    return None if count is None or rank is None else Adapters(count, rank)


def _pictures(cells: Mapping[str, str]) -> Pictures | None:
    """Images of a request, all of one size; None where it has none."""
    count, width, height = _all_or_none(cells, REQUEST_COLUMNS[2:], "images")
    return None if count is None or width is None or height is None else Pictures(float(count), width, height)


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
    """The number of a cell.

    Raises:
        InputError: it is none, or not finite.
    """
    try:
        number = float(cell)
    except ValueError:
        raise InputError(f"{column}: '{cell}' is no number") from None
    if not math.isfinite(number):
        raise InputError(f"{column}: '{cell}' is no finite number")
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
