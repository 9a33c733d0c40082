"""Hours of the week, and clocks that show no date."""

import datetime as dt

import numpy as np
import numpy.typing as npt

from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

MONDAY_SECONDS = 4.0 * SECONDS_PER_DAY
"""1970-01-05 00:00 UTC, a Monday: where the zero of a clock without a date is put."""
_FIRST_DATE_SECONDS = 366.0 * SECONDS_PER_DAY
_HOURS_FROM_MONDAY_TO_1970 = 3 * HOURS_PER_DAY
UNDATED = (
    "the clock of the demand shows no date: its first day is taken to be a Monday that begins at 00:00 UTC, so "
    "days of the week and hours of the day are relative to that"
)


_TICKS_PER_SECOND = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_FIRST_TRACE_SECONDS = 631_152_000.0
"""1990: no trace of requests is older."""
LAST_SECONDS = 4_102_444_800.0
"""2100: a later time is a mistake in its unit."""


def ticks_per_second(number: float) -> tuple[float, str]:
    """Ticks of a clock that shows *number*, and their name: the unit in which it is a date from 1990 to 2100.

    A number that is a date in no unit counts seconds since something else.
    """
    for name, ticks in _TICKS_PER_SECOND.items():
        if _FIRST_TRACE_SECONDS <= number / ticks < LAST_SECONDS:
            return ticks, name
    return 1.0, "seconds"


def is_dated(seconds: float) -> bool:
    """Whether a time is a date; before 1971 it counts the seconds since something else."""
    return seconds >= _FIRST_DATE_SECONDS


def on_the_calendar(seconds: float) -> float:
    """The time itself when it is a date, else with its zero on a Monday."""
    return seconds if is_dated(seconds) else seconds + MONDAY_SECONDS


def hours_of_week(first_hour: int, hours: int) -> npt.NDArray[np.int64]:
    """Index in the week (0: Monday 00:00 UTC) of consecutive hours.

    Args:
        first_hour: the first, in hours since 1970 (a Thursday).
        hours: how many.
    """
    return (first_hour + _HOURS_FROM_MONDAY_TO_1970 + np.arange(hours)) % HOURS_PER_WEEK


def mean_by_hour_of_week(minutes: npt.NDArray[np.float64], start_seconds: float) -> npt.NDArray[np.float64]:
    """Mean of what is known (not NaN) of consecutive minutes in each hour of the week; NaN where nothing is known."""
    known = ~np.isnan(minutes)
    hours = ((start_seconds + SECONDS_PER_MINUTE * np.arange(minutes.size)) // SECONDS_PER_HOUR).astype(np.int64)[known]
    week = (hours + _HOURS_FROM_MONDAY_TO_1970) % HOURS_PER_WEEK
    sums = np.bincount(week, weights=minutes[known], minlength=HOURS_PER_WEEK)
    counts = np.bincount(week, minlength=HOURS_PER_WEEK)
    means = np.full(HOURS_PER_WEEK, np.nan)
    means[counts > 0] = sums[counts > 0] / counts[counts > 0]
    return means


def iso_minute(seconds: float) -> str:
    """``2023-11-16T18:15Z``."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%MZ")
