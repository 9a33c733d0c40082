"""Demand of the weeks to come, hour by hour of the week, with an interval and the back-test that earned it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from advisor.demand import forecast_methods as methods
from advisor.demand.backtest import HIGH, LEAST_RESIDUALS, LOW, Trial, interval, run_trials
from advisor.demand.clock import hours_of_week
from advisor.demand.growth import growth_factors, measured_growth
from advisor.demand.hourly import HourlyDemand, by_hour
from advisor.demand.values import Backtest, DemandProfile, Floats, Forecast
from advisor.errors import InputError
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FLAT = "the observed level"
LEVEL = "level of the past"
LAST = "last value"
NAIVE = "seasonal-naive"
SHAPE = "hour-of-week shape × recent level"
DAY_SHAPE = "hour-of-day shape × recent level"
RIDGE = "ridge on Fourier terms and last week"
DECLARED = "declared"
BEATS = 0.98
"""A method has to err less than this times the naive baseline to replace it."""
_DEFAULT_HORIZON_DAYS = 30.0
_FLAT_BELOW_HOURS = HOURS_PER_DAY
_RIDGE_FROM_HOURS = 2 * HOURS_PER_WEEK


@dataclass(frozen=True, slots=True, eq=False)
class _Week:
    """The next 168 hours of the chosen method, before growth."""

    mean: Floats
    low: Floats
    high: Floats
    method: str
    backtest: tuple[Backtest, ...]
    notes: tuple[str, ...]


def forecast(
    profile: DemandProfile, *, horizon_days: float = _DEFAULT_HORIZON_DAYS, growth_per_year: float | None = None
) -> Forecast:
    """Requests per second in each hour of the week over the coming *horizon_days*.

    The method that erred least in the back-test carries the history on, unless the seasonal-naive baseline is as good;
    its own errors there are the interval; the mean grows to the middle of the horizon and the edges to its ends.
    Unknown hours are left out. Twice the demand gives twice the forecast.

    Args:
        profile: the observed demand.
        horizon_days: how far the forecast has to hold.
        growth_per_year: stated growth (0.3: 30 % more a year from now); None: what at least three weeks show.

    Raises:
        InputError: nothing of the demand is known, or a number makes no sense.
    """
    if not (math.isfinite(horizon_days) and horizon_days > 0):
        raise InputError(f"a horizon of {horizon_days:g} days is no time to forecast")
    history = by_hour(profile)
    if not history.minutes.size:
        raise InputError(
            "no minute of the demand is known, so there is nothing to forecast from",
            hint="give a trace or samples with at least one whole minute",
        )
    known_hours = int(np.count_nonzero(~np.isnan(history.mean)))
    week = _flat_week(history, known_hours) if known_hours < _FLAT_BELOW_HOURS else _seasonal_week(history)
    growth, growth_notes = measured_growth(history.mean, growth_per_year)
    low_growth, mean_growth, high_growth = growth_factors(growth, horizon_days)
    high = week.high * high_growth
    return Forecast(
        mean=_rounded(week.mean * mean_growth),
        low=_rounded(week.low * low_growth),
        high=_rounded(high),
        peak=_rounded(high * _minute_to_hour(history, week)),
        interval_level=HIGH - LOW,
        horizon_days=horizon_days,
        method=week.method,
        backtest=week.backtest,
        notes=(*week.notes, *growth_notes),
    )


def flat_forecast(mean: float, peak: float, *, horizon_days: float = _DEFAULT_HORIZON_DAYS) -> Forecast:
    """Declared demand as a forecast: the same in every hour, with no interval."""
    hours = np.full(HOURS_PER_WEEK, float(mean))
    return Forecast(
        mean=hours,
        low=hours,
        high=hours,
        peak=np.full(HOURS_PER_WEEK, float(peak)),
        interval_level=HIGH - LOW,
        horizon_days=horizon_days,
        method=DECLARED,
        backtest=(),
        notes=("the demand is declared: it has no hours of the day and no interval; a trace of some weeks has both",),
    )


def _flat_week(history: HourlyDemand, known_hours: int) -> _Week:
    """Less than a day: the level, and how the minutes varied about it."""
    mean = np.full(HOURS_PER_WEEK, history.minutes.mean())
    low, high = _interval_of_minutes(mean, history.minutes)
    note = (
        f"less than a day is known ({known_hours} whole h): the forecast is its level all week; how hours of the day "
        "and days of the week differ, and growth, are unknown; the interval is how the minutes varied"
    )
    return _Week(mean, low, high, FLAT, (), (note,))


def _seasonal_week(history: HourlyDemand) -> _Week:
    """A day and more: the method that the back-test prefers."""
    candidates = _candidates(history)
    trials = run_trials(history, candidates)
    method, notes = _choose(trials, list(candidates))
    mean = candidates[method](history.mean, history.first_hour, HOURS_PER_WEEK)
    residuals = trials[method].residuals() if trials else np.array([])
    if np.count_nonzero(~np.isnan(residuals)) >= LEAST_RESIDUALS:
        low, high = interval(mean, residuals)
    else:
        low, high = _interval_of_minutes(mean, history.minute_ratios)
        notes.append(
            "there is too little history to test a forecast on: the interval is how minutes varied about their hour"
        )
    if np.count_nonzero(~np.isnan(history.mean)) < HOURS_PER_WEEK:
        notes.append(
            "less than a week is known: how days of the week differ, growth, and how errors grow with the horizon are "
            "unknown"
        )
    order = np.argsort(hours_of_week(history.first_hour + len(history.mean), HOURS_PER_WEEK))
    high, low, unseen = _widen_unseen(history, low[order], high[order])
    backtest = tuple(_backtest(name, trial, chosen=name == method) for name, trial in trials.items())
    return _Week(mean[order], low, high, method, backtest, (*notes, *unseen))


def _candidates(history: HourlyDemand) -> dict[str, methods.Method]:
    """The methods that this much history feeds; the baselines first."""
    shape = SHAPE if np.count_nonzero(~np.isnan(history.mean)) >= HOURS_PER_WEEK else DAY_SHAPE
    candidates: dict[str, methods.Method] = {
        LAST: methods.last_value,
        LEVEL: methods.level,
        NAIVE: methods.seasonal_naive,
        shape: methods.shape_and_level,
    }
    if len(history.mean) >= _RIDGE_FROM_HOURS:
        candidates[RIDGE] = methods.ridge
    return candidates


def _choose(trials: Mapping[str, Trial], names: list[str]) -> tuple[str, list[str]]:
    """Name of the method to use, and why.

    The last value is there to compare with: a week built on it would hang on the hour at which the history ends.
    """
    if not trials:
        return next(name for name in names if name in (SHAPE, DAY_SHAPE)), []
    errors = {name: round(trial.wape(), 4) for name, trial in trials.items()}
    eligible = [name for name in names if name != LAST]
    best = min(eligible, key=lambda name: (errors[name], eligible.index(name)))
    erred = {name: f"{name} erred by {trial.wape():.1%}" for name, trial in trials.items()}
    origins = len(trials[best].predicted)
    test = f"in a back-test from {origins} {'day' if origins == 1 else 'days'} on, of a week at most"
    if errors[best] >= BEATS * errors[NAIVE]:
        verdict = f"no method beats {NAIVE} by {1 - BEATS:.0%}, so that baseline is used"
        return NAIVE, [f"{verdict}: {test}, {erred[NAIVE]}, {erred[best]}, {erred[LAST]}"]
    verdict = "beats both naive baselines" if errors[best] < errors[LAST] else f"beats {NAIVE}, not the {LAST}"
    return best, [f"{best} {verdict}: {test}, {erred[best]}, {erred[NAIVE]}, {erred[LAST]}"]


def _backtest(name: str, trial: Trial, *, chosen: bool) -> Backtest:
    coverage, short = trial.coverage()
    return Backtest(name, trial.wape(), coverage, short, chosen)


def _interval_of_minutes(mean: Floats, minutes: Floats) -> tuple[Floats, Floats]:
    """The forecast × the 10th and 90th percentile of the minutes ÷ their mean."""
    level = minutes.mean() if minutes.size else 0.0
    if level <= 0:
        return mean, mean
    low, high = np.quantile(minutes, [LOW, HIGH]) / level
    return mean * min(low, 1.0), mean * max(high, 1.0)


def _widen_unseen(history: HourlyDemand, low: Floats, high: Floats) -> tuple[Floats, Floats, list[str]]:
    """(high, low, notes): an hour of the day that nobody saw may be as busy, or as quiet, as any that was seen."""
    phases = hours_of_week(history.first_hour, len(history.mean))[~np.isnan(history.mean)]
    hours = np.setdiff1d(np.arange(HOURS_PER_DAY), phases % HOURS_PER_DAY)
    days = np.setdiff1d(np.arange(len(DAYS)), phases // HOURS_PER_DAY)
    is_unseen = np.isin(np.arange(HOURS_PER_WEEK) % HOURS_PER_DAY, hours)
    notes = []
    if days.size:
        names = ", ".join(DAYS[day] for day in days)
        notes.append(f"no {names} was seen: taken to be like the days that were")
    if hours.size:
        names = ", ".join(f"{hour:02d}:00" for hour in hours)
        notes.append(f"nothing is known of {names} UTC on any day: between the quietest and the busiest hour elsewhere")
    return np.where(is_unseen, high.max(), high), np.where(is_unseen, low.min(), low), notes


def _minute_to_hour(history: HourlyDemand, week: _Week) -> float:
    """Busiest minute ÷ upper edge of its hour: where the edge is one of minutes, the busiest is not far above it."""
    if week.method == FLAT:
        return float(history.minutes.max() / week.high[0]) if week.high[0] > 0 else 1.0
    factor = history.minute_to_hour()
    busy = week.mean > 0
    if not any(trial.p90_coverage_ratio is not None for trial in week.backtest) and busy.any():
        factor /= float(np.median(week.high[busy] / week.mean[busy]))
    return max(factor, 1.0)


def _rounded(rates: Floats) -> Floats:
    """Six significant digits: what differs between two machines' arithmetic is noise."""
    return np.array([float(f"{rate:.6g}") for rate in rates])
