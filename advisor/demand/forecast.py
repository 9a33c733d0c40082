"""Demand of the weeks to come, hour by hour of the week, with an interval and the back-test that earned it."""

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from advisor.demand import forecast_methods as methods
from advisor.demand import spread
from advisor.demand.forecast_methods import HourlyDemand, Method, by_hour, growth_factors, measured_growth
from advisor.demand.values import Backtest, BatchRun, DemandProfile, Floats, Forecast
from advisor.errors import InputError
from advisor.percentiles import percentiles
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from advisor.demand.clocks import LocalClock

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


def _candidates(history: HourlyDemand) -> dict[str, methods.Method]:
    """The methods that this much history feeds; the baselines first."""
    shape = SHAPE if np.count_nonzero(~np.isnan(history.mean)) >= HOURS_PER_WEEK else DAY_SHAPE
    candidates: dict[str, methods.Method] = {
        LAST: methods.last_value,
        LEVEL: methods.level,
        NAIVE: methods.seasonal_naive,
        shape: methods.shape_and_level,
        TYPICAL_DAY: methods.typical_day,
    }
    if len(history.mean) >= _RIDGE_FROM_HOURS:
        candidates[RIDGE] = methods.ridge
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
