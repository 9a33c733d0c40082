"""What each method would have forecast, from every day of the past, of the week after it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from advisor.demand.forecast_methods import Method
from advisor.demand.hourly import HourlyDemand
from advisor.demand.values import Floats
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK

MOST_ORIGINS = 28
FIRST_SHARE = 2 / 3
"""Share of the history that lies before the first origin."""
LEAST_RESIDUALS = HOURS_PER_DAY
"""Fewer hours are no distribution of errors."""
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One method over all origins; arrays of shape ``(origins, 168)``, NaN where the past ends or is unknown."""

    predicted: Floats
    actual: Floats
    actual_peak: Floats
    minute_to_hour: Floats
    """Shape ``(origins,)``: busiest minute ÷ mean of the hour, as known at the origin."""

    def wape(self) -> float:
        """Sum of the absolute errors ÷ sum of the rates that came; 0 where nothing came and nothing was forecast."""
        error, came = np.nansum(np.abs(self.actual - self.predicted)), np.nansum(self.actual)
        return float(error / came) if came > 0 else float(error > 0)

    def residuals(self) -> Floats:
        """Errors in units of :func:`spread_unit`; NaN where unknown."""
        unit = spread_unit(self.predicted)
        return np.divide(self.actual - self.predicted, unit, out=np.full_like(unit, np.nan), where=unit > 0)

    def coverage(self) -> tuple[float | None, float | None]:
        """(Share of hours within the upper edge, share of hours whose busiest minute was above the forecast peak).

        The edge at an origin comes from the errors that were known at that origin.
        """
        residuals = self.residuals()
        highs = np.full_like(self.predicted, np.nan)
        for number in range(1, len(highs)):
            seen = np.concatenate([residuals[number - age, : age * HOURS_PER_DAY] for age in range(1, number + 1)])
            if np.count_nonzero(~np.isnan(seen)) >= LEAST_RESIDUALS:
                highs[number] = interval(self.predicted[number], seen)[1]
        peaks = highs * self.minute_to_hour[:, None]
        is_judged = ~np.isnan(highs) & ~np.isnan(self.actual)
        if not is_judged.any():
            return None, None
        within, short = self.actual <= highs * (1 + 1e-9), self.actual_peak > peaks * (1 + 1e-9)
        return float(within[is_judged].mean()), float(short[is_judged].mean())


def spread_unit(predicted: Floats) -> Floats:
    """What errors are measured in: half the hour's forecast plus half the mean of all, so that quiet hours err too."""
    return np.asarray((predicted + predicted.mean(axis=-1, keepdims=True)) / 2)


def interval(predicted: Floats, residuals: Floats) -> tuple[Floats, Floats]:
    """The forecast's 10th and 90th percentile from the errors of the past (split conformal)."""
    low, high = np.quantile(residuals[~np.isnan(residuals)], [LOW, HIGH], method="inverted_cdf")
    unit = spread_unit(predicted)
    return np.clip(predicted + low * unit, 0.0, predicted), np.maximum(predicted + high * unit, predicted)


def run_trials(history: HourlyDemand, methods: Mapping[str, Method]) -> dict[str, Trial]:
    """Each method from every origin, none of which sees anything after it; empty below two days.

    Origins are a day apart, up to four weeks of them, none in the first two thirds of the history.
    """
    hours = len(history.mean)
    first = max(int(FIRST_SHARE * hours) // HOURS_PER_DAY, 1) * HOURS_PER_DAY
    origins = list(range(hours - HOURS_PER_DAY, first - 1, -HOURS_PER_DAY))[:MOST_ORIGINS][::-1]
    origins = [origin for origin in origins if not np.isnan(history.mean[:origin]).all()]
    if not origins:
        return {}
    actual, actual_peak = (
        np.array([_week_after(series, origin) for origin in origins])
        for series in (history.mean, history.busiest_minute)
    )
    ratios = np.array([history.until(origin).minute_to_hour() for origin in origins])
    return {
        name: Trial(
            predicted=np.array([method(history.mean[:at], history.first_hour, HOURS_PER_WEEK) for at in origins]),
            actual=actual,
            actual_peak=actual_peak,
            minute_to_hour=ratios,
        )
        for name, method in methods.items()
    }


def _week_after(series: Floats, origin: int) -> Floats:
    """The 168 hours from an origin; NaN after the end."""
    week = series[origin : origin + HOURS_PER_WEEK]
    return np.pad(week, (0, HOURS_PER_WEEK - len(week)), constant_values=np.nan)
