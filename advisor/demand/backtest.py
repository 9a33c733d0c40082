"""Forecasts that each method would have made, from every day of the past, of the week after it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from advisor.demand.forecast_methods import Method
from advisor.demand.hourly import HourlyDemand
from advisor.demand.spread import HIGH, LOW, Band, calibrated, pinball, weeks_after
from advisor.demand.values import Floats
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK

MOST_ORIGINS = 28
FIRST_SHARE = 2 / 3
"""Share of the history that lies before the first origin of a method's test; intervals are calibrated from the first
day on."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Intervals of the hours' mean rates and of their busiest minutes, at every origin and now."""

    origins: tuple[int, ...]
    """In hours from the first."""
    mean: Band
    peak: Band


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
        edges = ((self.low, LOW), (self.predicted, 0.5), (self.high, HIGH))
        loss = sum(float(np.nansum(pinball(self.actual, edge, level))) for edge, level in edges) / len(edges)
        came = float(np.nansum(self.actual))
        return loss / came if came > 0 else float(loss > 0)

    def coverage(self) -> tuple[float, float]:
        """(Share of hours within the upper edge, share of hours whose busiest minute was above the forecast peak)."""
        is_judged = ~np.isnan(self.actual)
        within, short = self.actual <= self.high * (1 + _ROUNDING), self.actual_peak > self.peak * (1 + _ROUNDING)
        return float(within[is_judged].mean()), float(short[is_judged].mean())


def calibrated_bands(history: HourlyDemand) -> Bands:
    """Both intervals, each calibrated by itself, from the end of each day of the last four weeks.

    Days before which, or in the week after which, nothing is known are left out.
    """
    known = ~np.isnan(history.mean)
    ends = range(len(known) - HOURS_PER_DAY, HOURS_PER_DAY - 1, -HOURS_PER_DAY)[:MOST_ORIGINS]
    origins = tuple(end for end in reversed(ends) if known[:end].any() and known[end : end + HOURS_PER_WEEK].any())
    mean, peak = (calibrated(series, history.first_hour, origins) for series in (history.mean, history.busiest_minute))
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
            actual=weeks_after(history.mean, origins),
            actual_peak=weeks_after(history.busiest_minute, origins),
            low=low,
            high=high,
            peak=np.maximum(peak, high),
        )
        for name, method in methods.items()
    }
