"""Holes in the telemetry: stretches without a request that the traffic around them does not explain."""

import math

import numpy as np
import numpy.typing as npt

from advisor.demand.clock import iso_minute
from advisor.demand.values import Floats
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK, MINUTES_PER_HOUR, SECONDS_PER_MINUTE

Integers = npt.NDArray[np.int64]

SHORTEST_MINUTES = 10
IMPROBABLE = 1e-6
"""Chance of the silence, given the traffic on either side, below which it is taken for a hole."""
_LEAST_REACH_MINUTES = 60
_DAY = HOURS_PER_DAY * MINUTES_PER_HOUR
_WEEK = HOURS_PER_WEEK * MINUTES_PER_HOUR
_SHOWN = 3


def without_gaps(counts: Integers) -> Floats:
    """Requests per minute, NaN in every suspected hole of the telemetry.

    A hole lasts at least ten minutes, has a chance below one in a million under the traffic before it and under the
    traffic after it, and does not come back at the same time of the day or of the week: that would be the shape of
    the traffic.
    """
    starts, ends = _silences(counts)
    lengths = ends - starts
    reach = np.maximum(lengths, _LEAST_REACH_MINUTES)
    before = _log_chance(counts, np.maximum(starts - reach, 0), starts, lengths)
    after = _log_chance(counts, ends, np.minimum(ends + reach, len(counts)), lengths)
    is_hole = (np.maximum(before, after) < math.log(IMPROBABLE)) & ~_recurs(starts, ends, len(counts))
    known = counts.astype(np.float64)
    for start, end in zip(starts[is_hole].tolist(), ends[is_hole].tolist(), strict=True):
        known[start:end] = np.nan
    return known


def gap_note(requests_per_minute: Floats, start_seconds: float) -> str | None:
    """Unknown minutes, in words; None where all are known."""
    is_unknown = np.isnan(requests_per_minute)
    if not is_unknown.any():
        return None
    starts, ends = _runs(is_unknown)
    shown = [
        f"{end - start} min from {iso_minute(start_seconds + start * SECONDS_PER_MINUTE)}"
        for start, end in zip(starts[:_SHOWN].tolist(), ends[:_SHOWN].tolist(), strict=True)
    ]
    more = f" and {len(starts) - _SHOWN} more" if len(starts) > _SHOWN else ""
    return (
        f"{int(is_unknown.sum()):,} of {len(requests_per_minute):,} minutes look like a gap in the telemetry "
        f"({', '.join(shown)}{more}): they count as unknown, not as idle"
    )


def _silences(counts: Integers) -> tuple[Integers, Integers]:
    """Stretches without a request that are long enough to matter."""
    starts, ends = _runs(counts == 0)
    is_long = ends - starts >= SHORTEST_MINUTES
    return starts[is_long], ends[is_long]


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[Integers, Integers]:
    """First and past-the-last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]


def _log_chance(counts: Integers, first: Integers, end: Integers, lengths: Integers) -> Floats:
    """Log of the chance of no request in ``lengths`` minutes, judged by the minutes from *first* to *end*.

    Minutes are taken to be independent and negative binomial with mean m and variance m·D: P(0) = D^(-m ÷ (D - 1)) for
    each, and e^(-m) where D = 1. The mean is its lower bound of two standard errors, so that a few requests prove
    nothing; fewer than ten minutes are no neighbourhood.
    """
    minutes = np.maximum(end - first, 1)
    total = _sums(counts, first, end)
    mean = total / minutes
    variance = _sums(counts**2, first, end) / minutes - mean**2
    dispersion = np.maximum(np.divide(variance, mean, out=np.ones_like(mean), where=mean > 0), 1 + 1e-9)
    least_mean = np.maximum(total - 2 * np.sqrt(total * dispersion), 0) / minutes
    chance = -lengths * least_mean * np.log(dispersion) / (dispersion - 1)
    return np.where(minutes < SHORTEST_MINUTES, 0.0, chance)


def _recurs(starts: Integers, ends: Integers, minutes: int) -> npt.NDArray[np.bool_]:
    """Whether at least half of each silence is silent a day or a week away too, in another silence."""
    is_silent = np.zeros(minutes, dtype=np.int64)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        is_silent[start:end] = 1
    recurs = np.zeros(len(starts), dtype=bool)
    for shift in (-_WEEK, -_DAY, _DAY, _WEEK):
        first, last = np.clip(starts + shift, 0, minutes), np.clip(ends + shift, 0, minutes)
        itself = np.maximum(np.minimum(last, ends) - np.maximum(first, starts), 0)
        recurs |= _sums(is_silent, first, last) - itself >= (ends - starts) / 2
    return recurs


def _sums(values: Integers, first: Integers, end: Integers) -> Integers:
    """Sum of the values from *first* up to *end*."""
    cumulative = np.concatenate([[0], np.cumsum(values)])
    return np.asarray(cumulative[end] - cumulative[first])
