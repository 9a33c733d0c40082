"""Rows that every reader makes of its file, in the columns of our own table, not yet completed or checked."""

from collections.abc import Mapping
from dataclasses import dataclass

from advisor.calibration.values import LeftOut
from advisor.units import MICROSECONDS_PER_MS, MS_PER_SECOND, NANOSECONDS_PER_MS

QUANTITIES = ("ttft_ms", "tpot_ms", "output_tokens_per_second", "samples_per_second")
LOAD_NUMBERS = ("concurrency", "input_tokens", "output_tokens", "prefix_cache_hit_ratio")
_EXACT_BELOW = 2**53
"""Whole numbers that a float holds exactly."""

Cells = Mapping[str, str]
"""Text by column, as in our own table."""


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
