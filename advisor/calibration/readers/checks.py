"""Completed cells become measurements: whatever is not usable is left out with its numbers."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from advisor.calibration.observations import LeftOut, Measurement, Reading
from advisor.catalog import load_catalog
from advisor.errors import InputError
from advisor.models import Model, find_model
from advisor.names import normalised
from advisor.performance import Scenario
from advisor.performance.setups import REQUIRED_COLUMNS, SCENARIOS, SETUP_COLUMNS, finite_number, one_line, setup_from
from advisor.reading import json_of
from advisor.records import dataclass, replace
from advisor.units import MICROSECONDS_PER_MS, MS_PER_SECOND, NANOSECONDS_PER_MS, ratio_words

QUANTITIES = ("ttft_ms", "tpot_ms", "output_tokens_per_second", "samples_per_second")
LOAD_NUMBERS = ("concurrency", "input_tokens", "output_tokens", "prefix_cache_hit_ratio")
_EXACT_BELOW = 2**53
"""Whole numbers that a float holds exactly."""
Cells = Mapping[str, str]
"""Text by column, as in our own table."""


def documents(text: str, path: Path) -> Iterator[tuple[str, object]]:
    """Every document of a JSON file or of JSON lines, with its place. Raises InputError if a line is not JSON."""
    try:
        whole = json_of(text, str(path), allows_nan=True)
    except InputError as error:
        first_line = text.strip().partition("\n")[0]
        if not first_line.endswith(("}", "]")):
            raise _no_json(error, str(path)) from error
        for line, content in enumerate(text.splitlines(), start=1):
            if content.strip():
                yield f"{path}:{line}", _json_line(content, f"{path}:{line}")
        return
    if isinstance(whole, list):
        yield from ((f"{path}#{index}", document) for index, document in enumerate(whole))
    else:
        yield str(path), whole


def value_at(document: object, *names: str) -> object:
    """Value under a path of names, None where the path ends early."""
    for name in names:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def list_at(document: object, *names: str) -> list[Any]:
    """A list, empty where there is none."""
    value = value_at(document, *names)
    return value if isinstance(value, list) else []


def number_at(document: object, *names: str) -> float | None:
    """A number, also one that was written as text; NaN and infinity stand for themselves."""
    value = value_at(document, *names)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def text_at(document: object, *names: str) -> str:
    """A text, "" where there is none."""
    value = value_at(document, *names)
    return value if isinstance(value, str) else ""


def _json_line(content: str, where: str) -> object:
    try:
        return json_of(content, where, allows_nan=True)
    except InputError as error:
        raise _no_json(error, where) from error


def _no_json(error: InputError, where: str) -> InputError:
    hint = "see that the file is whole, or give the result as CSV"
    return InputError(f"neither JSON nor JSON lines: {error.message}", where=where, hint=hint)


@dataclass(frozen=True, slots=True)
class Entry:
    """One measured load as its file states it."""

    where: str
    cells: Cells
    completed: float | None = None
    """Requests that succeeded, where the file counts them."""
    failed: float = 0.0


Item = Entry | LeftOut
DESCRIBE_SPECULATION = "give --draft-tokens and --draft-acceptance"
"""What makes a measurement with speculative decoding usable."""


def number_text(value: float | None) -> str:
    """A number that reads back as the same one; "" for None."""
    if value is None:
        return ""
    whole = float(value).is_integer() and abs(value) < _EXACT_BELOW
    return str(int(value)) if whole else repr(float(value))


def quotient(amount: float | None, by: float | None) -> float | None:
    """``amount / by``, None where either is unknown or nothing can be divided by."""
    return amount / by if amount is not None and by else None


def milliseconds_per(unit: str) -> float | None:
    """Milliseconds in one *unit* of time, None for a word that names none."""
    return _MILLISECONDS.get(unit.strip().lower())


_MILLISECONDS = {
    **dict.fromkeys(("ns", "nanoseconds"), 1 / NANOSECONDS_PER_MS),
    **dict.fromkeys(("us", "µs", "microseconds"), 1 / MICROSECONDS_PER_MS),
    **dict.fromkeys(("ms", "millis", "milliseconds"), 1.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), MS_PER_SECOND),
}
_COUNTED = (Scenario.FIXED_CONCURRENCY, Scenario.FIXED_BATCH)
"""Scenarios with a number of users."""
_SPLITS = ("tensor_parallel", "pipeline_parallel", "data_parallel")


def complete(entry: Entry, told: Cells) -> dict[str, str]:
    """The entry's cells with the gaps filled: set-up, users and lengths.

    Measured users and lengths stand whatever was told, and users are filled in only where the scenario counts them.
    Accelerators that nobody counts are those that the parallelism needs. Raises InputError if file and options
    contradict each other, or neither names the model or the accelerator.
    """
    cells = {name: cell.strip() for name, cell in entry.cells.items()}
    for column in SETUP_COLUMNS:
        cells[column] = _agreed(column, cells.get(column, ""), told.get(column, ""), entry.where)
    for column in LOAD_NUMBERS if cells.get("scenario") in _COUNTED else LOAD_NUMBERS[1:]:
        cells[column] = cells.get(column, "") or told.get(column, "")
    for column in REQUIRED_COLUMNS:
        if not cells[column]:
            raise InputError(f"the file does not name the {column}", where=entry.where, hint=f"give {_option(column)}")
    return cells | {"accelerator_count": cells["accelerator_count"] or _needed(cells)}


def _agreed(column: str, stated: str, told: str, where: str) -> str:
    if not stated or not told:
        return stated or told
    if column == "model" and _known(stated) is None:
        # Servers are often asked under a name of their own: the option says which model that is.
        return told
    if not _same(column, stated, told):
        raise InputError(
            f"the file has the {column} '{stated}', {_option(column)} says '{told}'",
            where=where,
            hint="leave the option out, or measure what it says",
        )
    return stated


def _same(column: str, stated: str, told: str) -> bool:
    if column == "model":
        models = [_known(stated), _known(told)]
        return None not in models and len({(model.family, model.parameters_total) for model in models if model}) == 1
    if column == "accelerator":
        catalog = load_catalog()
        return catalog.accelerator(stated) == catalog.accelerator(told)
    try:
        return float(stated) == float(told)
    except ValueError:
        return normalised(stated) == normalised(told)


def _known(name: str) -> Model | None:
    try:
        return find_model(name)
    except InputError:
        return None


def _needed(cells: Cells) -> str:
    """Accelerators of one replica; "" where the parallelism is not stated."""
    splits = [cells[column] for column in _SPLITS if cells[column]]
    if not splits or not all(split.isdigit() for split in splits):
        return ""
    return str(math.prod(map(int, splits)))


def _option(column: str) -> str:
    return f"--{column.replace('_', '-')}"


MAX_FAILED_SHARE = 0.1
"""Share of failed requests above which the load that was served is not the one that was offered."""


def reading_of(items: Iterable[Item], told: Cells) -> Reading:
    """Everything that is usable, once each, and what is not."""
    measurements: dict[Measurement, Measurement] = {}
    left_out: list[LeftOut] = []
    for item in items:
        for result in [item] if isinstance(item, LeftOut) else _check(item, complete(item, told)):
            if isinstance(result, LeftOut):
                left_out.append(result)
                continue
            first = measurements.setdefault(replace(result, where="", source=""), result)
            if first is not result:
                left_out.append(LeftOut(result.where, f"the same set-up, load and numbers as {first.where}"))
    return Reading(tuple(measurements.values()), tuple(left_out))


def _check(entry: Entry, cells: Cells) -> Iterator[Measurement | LeftOut]:
    try:
        measurement = _measurement(entry.where, cells)
        load_catalog().accelerator(measurement.setup.accelerator)
        reason = _unusable(measurement, entry)
    except InputError as error:
        yield LeftOut(entry.where, one_line(error))
        return
    if reason:
        yield LeftOut(entry.where, reason)
        return
    complaints = {name: complaint for name in QUANTITIES if (complaint := _complaint(measurement, name))}
    yield from (LeftOut(f"{entry.where}: {name}", complaint) for name, complaint in complaints.items())
    usable: dict[str, Any] = {name: None if name in complaints else getattr(measurement, name) for name in QUANTITIES}
    kept = replace(measurement, **usable)
    if all(value is None for value in usable.values()):
        yield LeftOut(entry.where, "nothing usable was measured")
    else:
        yield _missing(kept) or kept


def _measurement(where: str, cells: Cells) -> Measurement:
    """The cells as they stand: what was measured may still be any number."""
    load = {name: _load_number(name, cells) for name in LOAD_NUMBERS}
    cached = load["prefix_cache_hit_ratio"]
    if cached is not None and cached >= 1:
        raise InputError(f"prefix_cache_hit_ratio must be below 1: {cached:g}")
    setup, scenario = setup_from(cells), _scenario(cells.get("scenario", ""), load["concurrency"])
    numbers: dict[str, Any] = load | {name: _quantity(name, cells) for name in QUANTITIES}
    return Measurement(where, setup, scenario, source=cells.get("source", ""), **numbers)


def _load_number(name: str, cells: Cells) -> float | None:
    cell = cells.get(name, "")
    number = finite_number(name, cell) if cell else None
    if number is not None and number < 0:
        raise InputError(f"{name} must not be negative: {cell}")
    return number


def _quantity(name: str, cells: Cells) -> float | None:
    cell = cells.get(name, "")
    try:
        return float(cell) if cell else None
    except ValueError:
        raise InputError(f"{name}: '{cell}' is not a number") from None


def _scenario(cell: str, users: float | None) -> Scenario:
    """The scenario as named; without a name a closed loop where users are given, else the largest throughput."""
    if not cell:
        return Scenario.SATURATED if users is None else Scenario.FIXED_CONCURRENCY
    try:
        return Scenario(cell.lower())
    except ValueError:
        raise InputError(f"scenario '{cell}' is not known", hint=f"one of {', '.join(SCENARIOS)}") from None


def _unusable(measurement: Measurement, entry: Entry) -> str:
    """Why nothing of the entry can be used, "" where something can."""
    if min(entry.failed, entry.completed or 0.0) < 0:
        return f"{entry.completed or 0:,g} requests completed and {entry.failed:,g} failed: a count is not negative"
    ended = entry.failed + (entry.completed or 0.0)
    if entry.failed > MAX_FAILED_SHARE * ended:
        share = f"{entry.failed:,g} of {ended:,g} requests failed ({ratio_words(entry.failed / ended)})"
        return f"{share}, at most {MAX_FAILED_SHARE:.0%} may"
    longest = find_model(measurement.setup.model).max_context_tokens or math.inf
    tokens = (measurement.input_tokens or 0.0) + (measurement.output_tokens or 0.0)
    if tokens > longest:
        return f"prompt and answer are {tokens:,.0f} tokens, the model takes {longest:,.0f}"
    if measurement.scenario in _COUNTED and measurement.concurrency is not None and measurement.concurrency < 1:
        return f"a concurrency of {measurement.concurrency:.3g} is below 1: the engine was idle most of the time"
    return ""


def _complaint(measurement: Measurement, name: str) -> str:
    """Why one quantity cannot be used, "" where it can or was not measured."""
    value: float | None = getattr(measurement, name)
    if value is None:
        return ""
    if not math.isfinite(value) or value <= 0:
        return f"{value:g} is not a measurement"
    if name == "ttft_ms" and measurement.scenario is Scenario.SATURATED:
        return f"{value:,g} ms to the first token measure the queue, which is never empty here"
    return ""


def _missing(measurement: Measurement) -> LeftOut | None:
    """Values that a prediction of the same load would need and nobody stated."""
    if measurement.scenario in _COUNTED and measurement.concurrency is None:
        return LeftOut(measurement.where, f"{measurement.scenario} without a concurrency; give --concurrency")
    if measurement.ttft_ms is None and measurement.tpot_ms is None and measurement.output_tokens_per_second is None:
        return None
    if not measurement.output_tokens or measurement.output_tokens < 1:
        told = f"an answer of {measurement.output_tokens or 0:g} tokens; give --output-tokens where unknown"
        return LeftOut(measurement.where, told)
    if measurement.input_tokens is None and measurement.scenario is not Scenario.SINGLE_STREAM:
        return LeftOut(measurement.where, "the length of the prompt is not stated; give --input-tokens")
    return None
