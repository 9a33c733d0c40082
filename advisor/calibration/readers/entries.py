"""Rows that every reader makes of its file, in the columns of our own table, not yet completed or checked."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from advisor.calibration.observations import LeftOut
from advisor.errors import InputError
from advisor.reading import json_of
from advisor.records import dataclass
from advisor.units import MICROSECONDS_PER_MS, MS_PER_SECOND, NANOSECONDS_PER_MS

QUANTITIES = ("ttft_ms", "tpot_ms", "output_tokens_per_second", "samples_per_second")
LOAD_NUMBERS = ("concurrency", "input_tokens", "output_tokens", "prefix_cache_hit_ratio")
_EXACT_BELOW = 2**53
"""Whole numbers that a float holds exactly."""
Cells = Mapping[str, str]
"""Text by column, as in our own table."""


def documents(text: str, path: Path) -> Iterator[tuple[str, object]]:
    """Every document of a JSON file or of JSON lines, with its place.

    Raises:
        InputError: a line is no JSON.
    """
    try:
        whole = json_of(text, str(path), allows_nan=True)
    except InputError as error:
        first_line = text.strip().partition("\n")[0]
        if not first_line.endswith(("}", "]")):
            raise InputError(f"neither JSON nor JSON lines: {error.message}", where=str(path)) from error
        yield from _lines(text, path)
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


def _lines(text: str, path: Path) -> Iterator[tuple[str, object]]:
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip():
            where = f"{path}:{line}"
            try:
                yield where, json_of(content, where, allows_nan=True)
            except InputError as error:
                raise InputError(f"neither JSON nor JSON lines: {error.message}", where=where) from error


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
