"""Demand of the weeks to come, hour by hour of the week, with an interval and the back-test that earned it.

Every method of carrying an hourly series on has one signature: the past (NaN where unknown, at least one hour known),
its first hour since 1970, and how many hours to carry on. Each scales with its input, ignores unknown hours and
returns known ones.
"""

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from advisor.demand import spread
from advisor.demand.values import Backtest, BatchRun, DemandProfile, Floats, Forecast
from advisor.errors import InputError
from advisor.percentiles import percentiles
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from advisor.demand.spread import LocalClock
from collections.abc import Callable

from advisor.demand.capped import capped_note, capped_remedy, with_capped
from advisor.demand.spread import HIGH, LOW, hours_of_week
from advisor.units import (
    DAYS_PER_YEAR,
    MINUTES_PER_HOUR,
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
"""Harmonics of the week; the 7th, 14th and 21st are the first three of the day."""
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
    """Changes that were made before anything was learned from it."""


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


MOST_ORIGINS = 28
FIRST_SHARE = 2 / 3
"""Share of the history that lies before the first origin of a method's test; intervals are calibrated from the first
day on."""
_TIME_ROUNDING = 1e-9
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FLAT = "the observed level"
LEVEL = "level of the past"
LAST = "last value"
NAIVE = "seasonal-naive"
SHAPE = "hour-of-week shape × recent level"
DAY_SHAPE = "hour-of-day shape × recent level"
TYPICAL_DAY = "typical day"
RIDGE = "ridge on Fourier terms and last week"
DECLARED = "declared"
BATCH = "runs of batch work"
BEATS = 0.98
"""A method has to lose less than this times the naive baseline to replace it."""
MOST_OF_SEEN = 1 + spread.MOST_BEYOND
"""Before growth, no hour and no minute is expected to be busier than so many times the busiest one ever seen."""
_FAR_ABOVE = 1.5
"""Busiest hour of a day ÷ that of the same day in any other week, from which on one week decides."""
_OTHER_WEEKS = 3
"""Weeks that a day is held against at least."""
_EPOCH = dt.date(1970, 1, 1)
_ROUNDING = 1e-5
_DEFAULT_HORIZON_DAYS = 30.0
_FLAT_BELOW_HOURS = HOURS_PER_DAY
_RIDGE_FROM_HOURS = 2 * HOURS_PER_WEEK
_LEVEL = spread.HIGH - spread.LOW
"""Level of the intervals."""


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Intervals of the hours' mean rates and of their busiest minutes, at every origin and now."""

    origins: tuple[int, ...]
    """In hours from the first."""
    mean: spread.Band
    peak: spread.Band


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One method over all origins; arrays of shape ``(origins, 168)``, NaN where the past ends or is unknown."""

    predicted: Floats
    actual: Floats
    actual_peak: Floats
    low: Floats
    high: Floats
    peak: Floats

    def wape(self) -> float:
        """Sum of the absolute errors ÷ sum of the rates that came; 0 where nothing came and nothing was forecast."""
        error, came = np.nansum(np.abs(self.actual - self.predicted)), np.nansum(self.actual)
        return float(error / came) if came > 0 else float(error > 0)

    def pinball(self) -> float:
        """Mean pinball loss of lower edge, forecast and upper edge ÷ mean of the rates that came; 0 as for WAPE."""
        edges = ((self.low, spread.LOW), (self.predicted, 0.5), (self.high, spread.HIGH))
        loss = sum(float(np.nansum(spread.pinball(self.actual, edge, level))) for edge, level in edges) / len(edges)
        came = float(np.nansum(self.actual))
        return loss / came if came > 0 else float(loss > 0)

    def coverage(self) -> tuple[float, float]:
        """(Share of hours within the upper edge, share of hours whose busiest minute was above the forecast peak)."""
        is_judged = ~np.isnan(self.actual)
        within = self.actual <= self.high * (1 + _TIME_ROUNDING)
        short = self.actual_peak > self.peak * (1 + _TIME_ROUNDING)
        return float(within[is_judged].mean()), float(short[is_judged].mean())


def calibrated_bands(history: HourlyDemand) -> Bands:
    """Both intervals, each calibrated by itself, from the end of each day of the last four weeks.

    Days before which, or in the week after which, nothing is known are left out.
    """
    is_observed = ~np.isnan(history.mean)
    ends = range(len(is_observed) - HOURS_PER_DAY, HOURS_PER_DAY - 1, -HOURS_PER_DAY)[:MOST_ORIGINS]
    origins = tuple(
        end for end in reversed(ends) if is_observed[:end].any() and is_observed[end : end + HOURS_PER_WEEK].any()
    )
    mean, peak = (
        spread.calibrated(series, history.first_hour, origins) for series in (history.mean, history.busiest_minute)
    )
    return Bands(origins, mean, peak)


def run_trials(history: HourlyDemand, methods: Mapping[str, Method], bands: Bands) -> dict[str, Trial]:
    """Each method from the origins of the last third of the history, none of which sees anything after it.

    What it forecasts beyond the interval is cut to it. Empty below two days.
    """
    first = FIRST_SHARE * len(history.mean) // HOURS_PER_DAY * HOURS_PER_DAY
    tested = [number for number, origin in enumerate(bands.origins) if origin >= first]
    if not tested:
        return {}
    origins = [bands.origins[number] for number in tested]
    low, high, peak = (edge[tested] for edge in (bands.mean.low, bands.mean.high, bands.peak.high))
    return {
        name: Trial(
            predicted=np.clip(
                [method(history.mean[:origin], history.first_hour, HOURS_PER_WEEK) for origin in origins], low, high
            ),
            actual=spread.weeks_after(history.mean, origins),
            actual_peak=spread.weeks_after(history.busiest_minute, origins),
            low=low,
            high=high,
            peak=np.maximum(peak, high),
        )
        for name, method in methods.items()
    }


@lru_cache(maxsize=8)
def forecast(
    profile: DemandProfile,
    *,
    horizon_days: float = _DEFAULT_HORIZON_DAYS,
    growth_per_year: float | None = None,
    clock: "LocalClock | None" = None,
) -> Forecast:
    """Requests per second in each hour of the week over the coming *horizon_days*.

    The method that lost least in the back-test carries the history on, unless the seasonal-naive baseline is as good.
    Hours' mean rates and busiest minutes have an interval each, calibrated on the days before; the mean grows to the
    middle of the horizon and the edges to its ends. Unknown hours are left out. Twice the demand gives twice the
    forecast. Plans of one and the same profile share one. *growth_per_year*: stated growth (0.3: 30 % more a year from
    now); None: what at least three weeks show. *clock*: local clock that requests follow, by which the profile is
    moved; None: UTC. Raises InputError if nothing of the demand is known, or a number makes no sense.
    """
    _check_horizon(horizon_days)
    history = by_hour(profile)
    if not history.minutes.size:
        raise InputError(
            f"no minute of the demand is known (0 of {len(profile.requests_per_minute):,}), so there is nothing to "
            "forecast from",
            hint="give a trace or samples with at least one whole minute",
        )
    known_hours = int(np.count_nonzero(~np.isnan(history.mean)))
    week = _flat_week(history, known_hours) if known_hours < _FLAT_BELOW_HOURS else _seasonal_week(history)
    if clock is not None and known_hours >= _FLAT_BELOW_HOURS:
        week = clock.ahead(week, profile, horizon_days)
    growth, growth_notes = measured_growth(history.mean, growth_per_year)
    grown = _grown(week, growth, horizon_days)
    beyond = (*_beyond_notes(history, week, grown), *_one_week_notes(history, grown))
    notes = (*history.notes, *week.notes, *growth_notes, *beyond)
    return replace(grown, notes=notes)


def flat_forecast(
    mean: float, peak: float, *, horizon_days: float = _DEFAULT_HORIZON_DAYS, growth_per_year: float | None = None
) -> Forecast:
    """Declared demand as a forecast: the same in every hour, with no interval but that of stated growth."""
    _check_horizon(horizon_days)
    hours, busiest = np.full(HOURS_PER_WEEK, float(mean)), np.full(HOURS_PER_WEEK, float(peak))
    note = "declared demand is the same at all hours and has no interval; a trace of several weeks shows both"
    growth, growth_notes = measured_growth(hours[:0], growth_per_year)
    week = Forecast(hours, hours, hours, busiest, busiest, _LEVEL, 0.0, DECLARED, (), (note, *growth_notes))
    return _grown(week, growth, horizon_days)


def batch_forecast(
    run: BatchRun, count: int, *, horizon_days: float = _DEFAULT_HORIZON_DAYS, growth_per_year: float | None = None
) -> Forecast:
    """Batch work as a forecast: its runs in their first so many open hours, and nothing in all others."""
    _check_horizon(horizon_days)
    busy = np.zeros(HOURS_PER_WEEK)
    busy[list(run.hours_of_week(count))] = 1.0
    mean = run.items * run.runs_per_week / (busy.sum() * SECONDS_PER_HOUR)
    growth, growth_notes = measured_growth(busy[:0], growth_per_year)
    mean_rate, planned_rate = busy * mean, busy * run.items_per_second(count)
    rates = (mean_rate, mean_rate, mean_rate, planned_rate, planned_rate)
    week = Forecast(*rates, _LEVEL, 0.0, BATCH, (), tuple(growth_notes))
    return _grown(week, growth, horizon_days)


def _check_horizon(horizon_days: float) -> None:
    if not (math.isfinite(horizon_days) and horizon_days > 0):
        raise InputError(f"a horizon of {horizon_days:g} days is too short to forecast")


def _grown(week: Forecast, growth_per_day: float, horizon_days: float) -> Forecast:
    """A week of no horizon over one: its mean at the middle of it, its edges at its ends."""
    low_growth, mean_growth, high_growth = growth_factors(growth_per_day, horizon_days)
    return replace(
        week,
        mean=_rounded(week.mean * mean_growth),
        low=_rounded(week.low * low_growth),
        high=_rounded(week.high * high_growth),
        low_peak=_rounded(week.low_peak * low_growth),
        peak=_rounded(week.peak * high_growth),
        horizon_days=horizon_days,
        growth_ratio=high_growth,
    )


def _flat_week(history: HourlyDemand, known_hours: int) -> Forecast:
    """Less than a day: the level, how the minutes varied about it, and the busiest minute.

    How much lower the busiest minutes of other hours are is not known: their low edge is that of the minutes.
    """
    level, busiest = history.minutes.mean(), history.minutes.max()
    lower, upper = percentiles(history.minutes, (spread.LOW, spread.HIGH))
    note = (
        f"less than a day is known ({known_hours} whole h): the forecast is its level all week; how hours of the day "
        "and days of the week differ, and growth, are unknown; the interval is how the minutes varied"
    )
    edges = (level, min(lower, level), max(upper, level), busiest)
    mean, low, high, peak = (np.full(HOURS_PER_WEEK, float(edge)) for edge in edges)
    return Forecast(mean, low, high, low, peak, _LEVEL, 0.0, FLAT, (), (note,))


def _seasonal_week(history: HourlyDemand) -> Forecast:
    """A day and more: the method that the back-test prefers."""
    candidates = _candidates(history)
    bands = calibrated_bands(history)
    trials = run_trials(history, candidates, bands)
    method, notes = _choose(trials, list(candidates))
    notes.extend(_interval_notes(history, bands))
    backtest = tuple(
        Backtest(name, trial.wape(), trial.pinball(), *trial.coverage(), chosen=name == method)
        for name, trial in trials.items()
    )
    monday_first = np.argsort(spread.hours_of_week(history.first_hour + len(history.mean), HOURS_PER_WEEK))
    expected = candidates[method](history.mean, history.first_hour, HOURS_PER_WEEK)
    mean = expected[monday_first]
    low, high, low_peak, peak = (
        edges[-1][monday_first] for band in (bands.mean, bands.peak) for edges in (band.low, band.high)
    )
    unseen, unseen_notes = _unseen_hours(history)
    low, low_peak = (np.where(unseen, edge.min(), edge) for edge in (low, low_peak))
    high, peak = (np.where(unseen, edge.max(), edge) for edge in (high, peak))
    mean, peak = np.clip(mean, low, high), np.maximum(peak, high)
    low_peak = np.clip(low_peak, low, peak)
    told = (*notes, *unseen_notes)
    week = Forecast(mean, low, high, low_peak, peak, _LEVEL, 0.0, method, backtest, told)
    return week if mean.any() else _rare_week(history, week)


def _rare_week(history: HourlyDemand, week: Forecast) -> Forecast:
    """Requests in so few hours that each is expected to have none: the level of the past, and its busiest minute."""
    if not history.minutes.any():
        return week
    level, busiest = (np.full(HOURS_PER_WEEK, rate) for rate in (history.minutes.mean(), history.minutes.max()))
    note = (
        f"requests came in {np.count_nonzero(np.nan_to_num(history.busiest_minute))} of "
        f"{np.count_nonzero(~np.isnan(history.mean))} hours only, so when the next come is not known: the forecast is "
        "the level of the past, planned for its busiest minute in every hour"
    )
    return replace(week, mean=level, high=np.maximum(week.high, level), peak=busiest, notes=(*week.notes, note))


def _candidates(history: HourlyDemand) -> dict[str, Method]:
    """The methods that this much history feeds; the baselines first."""
    shape = SHAPE if np.count_nonzero(~np.isnan(history.mean)) >= HOURS_PER_WEEK else DAY_SHAPE
    candidates: dict[str, Method] = {
        LAST: last_value,
        LEVEL: level,
        NAIVE: seasonal_naive,
        shape: shape_and_level,
        TYPICAL_DAY: typical_day,
    }
    if len(history.mean) >= _RIDGE_FROM_HOURS:
        candidates[RIDGE] = ridge
    return candidates


def _choose(trials: Mapping[str, Trial], names: list[str]) -> tuple[str, list[str]]:
    """Name of the method to use, and why: the least pinball loss of those whose error is not above the baseline's.

    The last value is there to compare with: a week built on it would hang on the hour at which the history ends.
    """
    if not trials:
        return next(name for name in names if name in (SHAPE, DAY_SHAPE)), []
    losses = {name: round(trial.pinball(), 4) for name, trial in trials.items()}
    errors = {name: round(trial.wape(), 4) for name, trial in trials.items()}
    eligible = [name for name in names if name != LAST and errors[name] <= errors[NAIVE]]
    best = min(eligible, key=lambda name: (losses[name], eligible.index(name)))
    chosen = best if losses[best] < BEATS * losses[NAIVE] else NAIVE
    origins = len(trials[chosen].predicted)
    test = f"in a back-test from {origins} {'day' if origins == 1 else 'days'} on, up to a week ahead,"
    off = {name: f"{errors[name]:.1%} and {losses[name]:.1%}" for name in names}
    why = f"the forecast is by {chosen}"
    if chosen == NAIVE:
        why += f" (each hour as it last came), since no method that can plan a week does {1 - BEATS:.0%} better"
    told = f"{why}; {test} its hourly rates were off by {errors[chosen]:.1%}, its intervals by {losses[chosen]:.1%}"
    rivals = [] if chosen == NAIVE else [f"those of {NAIVE} by {off[NAIVE]}"]
    return chosen, ["; ".join([told, *rivals, f"{LAST}, which cannot plan a week, by {off[LAST]}"])]


def _interval_notes(history: HourlyDemand, bands: Bands) -> Iterator[str]:
    """Notes on what the intervals rest on, and what too short a history leaves unknown."""
    origins = len(bands.origins)
    if origins:
        alike = bands.mean.likeness, bands.peak.likeness
        both = f"{alike[0]}; of busiest minutes: {alike[1]}" if alike[0] != alike[1] else alike[0]
        yield f"interval calibrated on the last {origins} {'day' if origins == 1 else 'days'}, from {both}"
    else:
        yield (
            "there is too little history to test a forecast on: the interval is how hours of about the same time varied"
        )
    if np.count_nonzero(~np.isnan(history.mean)) < HOURS_PER_WEEK:
        yield (
            "less than a week is known: how days of the week differ, growth, and how errors grow with the horizon are "
            "unknown"
        )


def _unseen_hours(history: HourlyDemand) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Hours of the week at an hour of the day that nobody saw: they may be as busy, or as quiet, as any; and notes."""
    phases = spread.hours_of_week(history.first_hour, len(history.mean))[~np.isnan(history.mean)]
    hours = np.setdiff1d(np.arange(HOURS_PER_DAY), phases % HOURS_PER_DAY)
    days = np.setdiff1d(np.arange(len(DAYS)), phases // HOURS_PER_DAY)
    notes = []
    if days.size:
        names = ", ".join(DAYS[day] for day in days)
        notes.append(f"no {names} was seen: taken to be like the days that were")
    if hours.size:
        names = ", ".join(f"{hour:02d}:00" for hour in hours)
        notes.append(f"nothing is known of {names} UTC on any day: between the quietest and the busiest hour elsewhere")
    return np.isin(np.arange(HOURS_PER_WEEK) % HOURS_PER_DAY, hours), notes


def _beyond_notes(history: HourlyDemand, week: Forecast, grown: Forecast) -> Iterator[str]:
    """A warning where what is planned for was never seen."""
    planned, seen = float(grown.peak.max()), float(history.minutes.max())
    if planned <= seen * (1 + _ROUNDING):
        return
    beyond = float(week.peak.max()) > seen * (1 + _ROUNDING)
    cause = f"the interval of busy hours reaches beyond what came (at most {MOST_OF_SEEN:g} ×)"
    yield (
        f"planned for up to {planned:.4g} requests/s, above the busiest minute ever seen ({seen:.4g}): "
        f"{cause if beyond else 'that is the growth over the horizon'}"
    )


def _one_week_notes(history: HourlyDemand, grown: Forecast) -> Iterator[str]:
    """A warning where the busiest day ever seen is far above the same day of all other weeks, and planned as each."""
    if np.count_nonzero(~np.isnan(history.mean)) < HOURS_PER_WEEK:
        return
    days = (history.first_hour + np.arange(len(history.mean))) // HOURS_PER_DAY
    busiest = np.fmax.reduceat(history.mean, np.flatnonzero(np.diff(days, prepend=days[0] - 1)))
    at = int(np.nanargmax(busiest))
    others = np.delete(busiest[at % len(DAYS) :: len(DAYS)], at // len(DAYS))
    others = others[~np.isnan(others)]
    if others.size < _OTHER_WEEKS or busiest[at] < _FAR_ABOVE * others.max():
        return
    date = _EPOCH + dt.timedelta(days=int(days[0]) + at)
    seen, usual, name = float(busiest[at]), float(np.median(others)), DAYS[date.weekday()]
    planned = float(grown.peak.reshape(len(DAYS), HOURS_PER_DAY)[date.weekday()].max())
    day = f"{date}" if spread.is_dated(history.first_hour * SECONDS_PER_HOUR) else f"its day {at + 1}"
    if planned > (seen + usual) / 2:
        yield (
            f"one week decides what {name}s are planned for: up to {seen:.3g} requests/s in an hour of {day}, "
            f"{usual:.3g} in the median of the {others.size} other weeks, and {planned:.3g} planned for every {name}"
        )


def _rounded(rates: Floats) -> Floats:
    """Six significant digits: what differs between two machines' arithmetic is noise."""
    return np.array([float(f"{rate:.6g}") for rate in rates])
