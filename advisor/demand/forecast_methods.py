"""Ways to carry an hourly series on; each scales with its input, ignores unknown hours and returns known ones.

Every method has one signature: the known past (NaN where unknown, at least one hour known), the first hour of it since
1970, and how many hours to carry on.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from advisor.demand.capped import capped_note, capped_remedy, with_capped
from advisor.demand.spread import HIGH, LOW, hours_of_week
from advisor.demand.values import DemandProfile, Floats
from advisor.errors import InputError
from advisor.records import dataclass
from advisor.units import (
    DAYS_PER_YEAR,
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    MINUTES_PER_HOUR,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
)

LEAST_WEEKS = 3
AGREEMENT = 0.8
"""Share of the pairs of weeks that have to agree on the direction of a trend."""
_MOST_TOLD_IN_PERCENT = 100.0
"""Growth from which on it is told as a factor."""
MOST_PER_WEEK = 0.05
"""A steeper trend of a few weeks is a launch or a season; it does not go on for a whole horizon."""
LEAST_MINUTES = MINUTES_PER_HOUR // 2
"""An hour of which less is known is unknown."""
MOST_WEEKS = 26
"""Older history says little of the weeks to come."""
Method = Callable[[Floats, int, int], Floats]
RIDGE_HOURS = 9 * HOURS_PER_DAY
"""A week to look back on and two days to learn from."""
_RIDGE_WEEKS = 8
_HARMONICS = np.array([1, 2, 3, 4, 7, 14, 21])
"""Of the week; the 7th, 14th and 21st are the first three of the day."""
_ANGLES = 2 * np.pi * np.outer(np.arange(HOURS_PER_WEEK), _HARMONICS) / HOURS_PER_WEEK
_FOURIER = np.column_stack([np.sin(_ANGLES), np.cos(_ANGLES)])
_LEAST_RATIO = 0.05
_DAYS_PER_WEEK = HOURS_PER_WEEK // HOURS_PER_DAY
_ALPHA = 100.0


def measured_growth(hourly: Floats, stated_per_year: float | None) -> tuple[float, list[str]]:
    """(growth of the logarithm of the rate per day, notes).

    Measured: the median slope of log(mean of the week) over all pairs of weeks (Theil-Sen), bounded, and 0 unless
    most pairs agree on its direction. Raises InputError if the stated growth is not a number above -1.
    """
    if stated_per_year is not None:
        if not (math.isfinite(stated_per_year) and stated_per_year > -1):
            raise InputError(
                f"growth per year is {stated_per_year:g}", hint="state 0.3 for 30 % more, -0.3 for less; above -1"
            )
        told = f"{stated_per_year:.0%}" if stated_per_year < _MOST_TOLD_IN_PERCENT else f"{stated_per_year:,.4g} times"
        return math.log1p(stated_per_year) / DAYS_PER_YEAR, [f"growth of {told} a year, as stated"]
    weeks = _week_means(hourly)
    if len(weeks) < LEAST_WEEKS:
        return 0.0, []
    slopes = np.array(
        [
            (math.log(later) - math.log(earlier)) / (at - before)
            for before, earlier in weeks.items()
            for at, later in weeks.items()
            if at > before
        ]
    )
    per_week = float(np.median(slopes))
    if max(np.mean(slopes > 0), np.mean(slopes < 0)) < AGREEMENT:
        return 0.0, [f"{len(weeks)} weeks show no steady growth: none is assumed"]
    bound = math.log1p(MOST_PER_WEEK)
    bounded = min(max(per_week, -bound), bound)
    cut = f" (measured {math.expm1(per_week):+.1%}, bounded)" if bounded != per_week else ""
    return bounded / _DAYS_PER_WEEK, [
        f"growth of {math.expm1(bounded):+.1%} a week, from the trend of {len(weeks)} weeks{cut}"
    ]


def growth_factors(per_day: float, horizon_days: float) -> tuple[float, float, float]:
    """(low, mean, high): the rate after a tenth, half and nine tenths of the horizon, ÷ the rate today."""
    early, middle, late = (math.exp(per_day * horizon_days * share) for share in (LOW, 0.5, HIGH))
    return min(early, late), middle, max(early, late)


def _week_means(hourly: Floats) -> dict[int, float]:
    """Mean rate of each whole week, counted from the end, of which at least half is known; by number, oldest first."""
    whole = len(hourly) // HOURS_PER_WEEK
    weeks = hourly[len(hourly) - whole * HOURS_PER_WEEK :].reshape(whole, HOURS_PER_WEEK)
    observed = np.count_nonzero(~np.isnan(weeks), axis=1)
    means = np.nansum(weeks, axis=1) / np.maximum(observed, 1)
    return {
        number: float(mean) for number, mean in enumerate(means) if observed[number] >= HOURS_PER_WEEK // 2 and mean > 0
    }


@dataclass(frozen=True, slots=True, eq=False)
class HourlyDemand:
    """Requests per second in consecutive hours of the clock; arrays of shape ``(hours,)``, NaN where unknown."""

    first_hour: int
    """In hours since 1970, UTC."""
    mean: Floats
    busiest_minute: Floats
    minutes: Floats
    """Requests per second of every known whole minute, of any hour."""
    notes: tuple[str, ...] = ()
    """What was changed before anything was learned from it."""


def by_hour(profile: DemandProfile) -> HourlyDemand:
    """The last half-year of a profile by hours of the clock; minutes cut off by its edges are left out.

    Lone minutes far above all others are cut, with a note.
    """
    profile, capped = with_capped(profile)
    rates = profile.requests_per_minute / SECONDS_PER_MINUTE
    if len(rates) > 2:
        rates = np.concatenate([[np.nan], rates[1:-1], [np.nan]])
    first_minute = round(profile.start_seconds / SECONDS_PER_MINUTE)
    before = first_minute % MINUTES_PER_HOUR
    after = -(before + len(rates)) % MINUTES_PER_HOUR
    grid = np.pad(rates, (before, after), constant_values=np.nan).reshape(-1, MINUTES_PER_HOUR)
    skipped = max(len(grid) - MOST_WEEKS * HOURS_PER_WEEK, 0)
    grid = grid[skipped:]
    is_known = ~np.isnan(grid)
    known_minutes = is_known.sum(axis=1)
    mean = np.where(known_minutes >= LEAST_MINUTES, np.nansum(grid, axis=1) / np.maximum(known_minutes, 1), np.nan)
    busiest = np.where(is_known, grid, -np.inf).max(axis=1)
    first_hour = round(profile.start_seconds) // SECONDS_PER_HOUR + skipped
    notes = () if capped is None else (f"{capped_note(capped)}; {capped_remedy(capped)}",)
    return HourlyDemand(first_hour, mean, np.where(np.isnan(mean), np.nan, busiest), grid[is_known], notes)


def level(past: Floats, _first_hour: int, ahead: int) -> Floats:
    """The mean of the past."""
    return np.full(ahead, np.nanmean(past))


def last_value(past: Floats, _first_hour: int, ahead: int) -> Floats:
    """The last known hour."""
    return np.full(ahead, past[~np.isnan(past)][-1])


def seasonal_naive(past: Floats, first_hour: int, ahead: int) -> Floats:
    """The same hour of the week when it was last known, else the same hour of the day."""
    return _week(past, first_hour, _latest)[hours_of_week(first_hour + len(past), ahead)]


def shape_and_level(past: Floats, first_hour: int, ahead: int) -> Floats:
    """Mean of the same hour of the week (else of the day) × how busy the last week was against that shape."""
    week = _week(past, first_hour, _mean)
    fitted = week[hours_of_week(first_hour, len(past))][-HOURS_PER_WEEK:]
    recent = past[-HOURS_PER_WEEK:]
    is_known = ~np.isnan(recent)
    expected = fitted[is_known].sum()
    factor = recent[is_known].sum() / expected if expected > 0 else 1.0
    return week[hours_of_week(first_hour + len(past), ahead)] * float(factor)


def typical_day(past: Floats, _first_hour: int, ahead: int) -> Floats:
    """Median of the same hour of the day over the last week, which a surge on one day does not move.

    The mean instead, where medians hold less than half of the week's requests: then they are no measure of its volume.
    """
    hour_of_origin = len(past) % HOURS_PER_DAY
    days = np.pad(past, (-hour_of_origin % HOURS_PER_DAY, 0), constant_values=np.nan).reshape(-1, HOURS_PER_DAY)
    week = days[-_DAYS_PER_WEEK:]
    unknown = np.nanmean(week) if not np.isnan(week).all() else np.nanmean(past)
    mean, median = (np.where(np.isnan(day), unknown, day) for day in (_mean(week), _median(week)))
    day = median if median.sum() >= mean.sum() / 2 else mean
    return np.resize(day, ahead)


def ridge(past: Floats, first_hour: int, ahead: int) -> Floats:
    """Ridge regression of log(rate ÷ level) on Fourier terms of the week, the same hour last week and the last day.

    The level is the mean of the week before the forecast's origin. Origins one day apart are what it learns from, each
    with the hours that were known by now. Less than nine days are left to :func:`shape_and_level`.
    """
    if len(past) < RIDGE_HOURS:
        return shape_and_level(past, first_hour, ahead)
    rows = list(_training_rows(past, first_hour, ahead))
    now = _features(past, first_hour, len(past), ahead)
    if not rows or now is None:
        return shape_and_level(past, first_hour, ahead)
    features, now_level = now
    logs = _ridge(np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows]), features)
    return np.asarray(np.maximum(np.exp(logs) - _LEAST_RATIO, 0.0) * now_level)


def _ridge(features: Floats, targets: Floats, wanted: Floats) -> Floats:
    """Predictions of a ridge regression, whose intercept is not penalised, for the wanted rows."""
    means, mean = features.mean(axis=0), targets.mean()
    centred = features - means
    weights = np.linalg.solve(centred.T @ centred + _ALPHA * np.eye(features.shape[1]), centred.T @ (targets - mean))
    return np.asarray((wanted - means) @ weights + mean)


def _training_rows(past: Floats, first_hour: int, ahead: int) -> Iterator[tuple[Floats, Floats]]:
    """Features and logarithms of what came then, for each origin of the past."""
    earliest = max(HOURS_PER_WEEK, len(past) - _RIDGE_WEEKS * HOURS_PER_WEEK)
    for origin in range(len(past) - HOURS_PER_DAY, earliest - 1, -HOURS_PER_DAY):
        came = past[origin : origin + ahead]
        is_known = ~np.isnan(came)
        rows = _features(past, first_hour, origin, len(came))
        if rows is not None and is_known.any():
            features, base = rows
            yield features[is_known], np.log(came[is_known] / base + _LEAST_RATIO)


def _features(past: Floats, first_hour: int, origin: int, ahead: int) -> tuple[Floats, float] | None:
    """Features known at an origin of each of the hours after it, and the level; None where the level is not known."""
    week = past[origin - HOURS_PER_WEEK : origin]
    if np.isnan(week).all() or np.nanmean(week) <= 0:
        return None
    base = float(np.nanmean(week))
    day = week[-HOURS_PER_DAY:]
    last_day = 1.0 if np.isnan(day).all() else float(np.nanmean(day)) / base
    last_week = np.resize(np.log(np.nan_to_num(week / base, nan=1.0) + _LEAST_RATIO), ahead)
    terms = _FOURIER[hours_of_week(first_hour + origin, ahead)]
    return np.column_stack([terms, last_week, np.full(ahead, np.log(last_day + _LEAST_RATIO))]), base


def _week(past: Floats, first_hour: int, pick: Callable[[Floats], Floats]) -> Floats:
    """A pick of the known values of each hour of the week, else of the hour of the day, else the mean of all.

    With less than a week behind it, the hour of the day alone counts.
    """
    phases = hours_of_week(first_hour, len(past))
    daily = np.tile(pick(_folded(past, phases % HOURS_PER_DAY, HOURS_PER_DAY)), HOURS_PER_WEEK // HOURS_PER_DAY)
    filled = np.where(np.isnan(daily), np.nanmean(past), daily)
    if np.count_nonzero(~np.isnan(past)) < HOURS_PER_WEEK:
        return filled
    weekly = pick(_folded(past, phases, HOURS_PER_WEEK))
    return np.where(np.isnan(weekly), filled, weekly)


def _folded(past: Floats, phases: npt.NDArray[np.int64], period: int) -> Floats:
    """One row for each period, one column for each phase."""
    before = int(phases[0])
    after = -(before + len(past)) % period
    return np.pad(past, (before, after), constant_values=np.nan).reshape(-1, period)


def _latest(folded: Floats) -> Floats:
    """The last known value of each column."""
    latest: Floats = folded[0]
    for row in folded[1:]:
        latest = np.where(np.isnan(row), latest, row)
    return latest


def _mean(folded: Floats) -> Floats:
    """The mean of the known values of each column; NaN where none is."""
    observed = np.count_nonzero(~np.isnan(folded), axis=0)
    return np.where(observed > 0, np.nansum(folded, axis=0) / np.maximum(observed, 1), np.nan)


def _median(folded: Floats) -> Floats:
    """The median of the known values of each column; NaN where none is."""
    ascending = np.sort(folded, axis=0)
    last = np.maximum(np.count_nonzero(~np.isnan(folded), axis=0) - 1, 0)
    columns = np.arange(folded.shape[1])
    return np.asarray((ascending[last // 2, columns] + ascending[(last + 1) // 2, columns]) / 2)
