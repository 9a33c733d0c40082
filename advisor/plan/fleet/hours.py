"""The hours of a week to come, grouped by how busy they are: a fleet has one size for each group."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.demand.values import Forecast
from advisor.plan.fleet.values import Floats, HourClass
from advisor.units import HOURS_PER_WEEK

CLASS_HOURS = (36, 32, 32, 28, 20, 12, 6, 2)
"""Hours of the week in each class, the quietest first; finer where more instances run.

The classes are cut by rank and not by rate, so that a busier hour never makes any class quieter.
"""


ROUNDING = 1e-6
"""Rates that differ by less are one."""


@dataclass(frozen=True, slots=True, eq=False)
class Week:
    """A week of hour classes, in the order of their load."""

    classes: tuple[HourClass, ...]
    schedule: tuple[int, ...]
    """Class of each hour of the week, from Monday 00:00 UTC."""
    transitions: Floats
    """How often an hour of class a is followed by one of class b: (classes, classes)."""


def week_of(forecast: Forecast, *, scheduled: bool) -> Week:
    """Hour classes of a forecast; one for all hours where the fleet does not follow them.

    Args:
        forecast: requests per second of each hour of the week.
        scheduled: whether instance counts may follow the hours.
    """
    order = np.argsort(forecast.peak, kind="stable")
    sizes = CLASS_HOURS if scheduled else (HOURS_PER_WEEK,)
    groups = np.split(order, np.cumsum(sizes)[:-1])
    merged = _merge_equal(groups, forecast.peak)
    schedule = np.empty(HOURS_PER_WEEK, dtype=np.intp)
    for at, group in enumerate(merged):
        schedule[group] = at
    classes = tuple(_class_of(forecast, group) for group in merged)
    return Week(classes, tuple(schedule.tolist()), _transitions(schedule, len(merged)))


def _merge_equal(groups: list[npt.NDArray[np.intp]], peak: Floats) -> list[npt.NDArray[np.intp]]:
    """Neighbouring classes of one planned rate as one class."""
    merged: list[npt.NDArray[np.intp]] = []
    for group in groups:
        if merged and peak[merged[-1]].max() >= peak[group].max() * (1 - ROUNDING):
            merged[-1] = np.concatenate([merged[-1], group])
        else:
            merged.append(group)
    return merged


def _class_of(forecast: Forecast, group: npt.NDArray[np.intp]) -> HourClass:
    return HourClass(
        hours_per_week=len(group),
        mean_rate=float(forecast.mean[group].mean()),
        planned_rate=float(forecast.peak[group].max()),
        low_rate=float(forecast.low_peak[group].mean()),
    )


def _transitions(schedule: npt.NDArray[np.intp], classes: int) -> Floats:
    counts = np.zeros((classes, classes))
    np.add.at(counts, (schedule, np.roll(schedule, -1)), 1.0)
    return counts
