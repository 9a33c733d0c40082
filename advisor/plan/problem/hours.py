"""The hours of a week to come, grouped by how busy they are: a fleet has one size for each group."""

import math
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from advisor.demand.forecast import BATCH
from advisor.demand.values import Forecast
from advisor.plan.problem.values import Floats, HourClass
from advisor.records import dataclass
from advisor.units import HOURS_PER_WEEK

CLASS_HOURS = (36, 32, 32, 28, 20, 12, 6, 2)
"""Hours of the week in each class, the quietest first; finer where more instances run.

The classes are cut by rank and not by rate, so that a busier hour never makes any class quieter.
"""
STEP = 1.03
"""Ratio of neighbouring rates that quieter hours are planned for."""
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Week:
    """A week of hour classes, in the order of their load."""

    classes: tuple[HourClass, ...]
    schedule: tuple[int, ...]
    """Class of each hour of the week, from Monday 00:00 UTC."""
    transitions: Floats
    """How often an hour of class a is followed by one of class b: (classes, classes)."""
    added_rates: tuple[float, ...] = ()
    """Requests per second that batch work adds in each hour of the week, from Monday 00:00 UTC; empty: it adds none."""


def week_of(forecast: Forecast, *, scheduled: bool, apart: Collection[int] = ()) -> Week:
    """Hour classes of a forecast; one for all hours where the fleet does not follow them.

    Args:
        forecast: requests per second of each hour of the week.
        scheduled: whether instance counts may follow the hours.
        apart: hours of the week that are in no class with others, as far as counts follow them.
    """
    order = np.argsort(forecast.peak, kind="stable")
    sizes: tuple[int, ...] = CLASS_HOURS if scheduled else (HOURS_PER_WEEK,)
    if forecast.method == BATCH:
        idle = int(np.count_nonzero(forecast.peak == 0))
        sizes = (idle, HOURS_PER_WEEK - idle) if idle else (HOURS_PER_WEEK,)
    groups = np.split(order, np.cumsum(sizes)[:-1])
    if apart and scheduled:
        inside = np.isin(np.arange(HOURS_PER_WEEK), list(apart))
        parts = [part for group in groups for part in (group[~inside[group]], group[inside[group]]) if part.size]
        groups = sorted(parts, key=lambda part: float(forecast.peak[part].max()))
    merged = _merge_equal(groups, _planned_rates(groups, forecast.peak))
    schedule = np.empty(HOURS_PER_WEEK, dtype=np.intp)
    for at, group in enumerate(merged):
        schedule[group] = at
    rates = _planned_rates(merged, forecast.peak)
    classes = tuple(_class_of(forecast, *pair) for pair in zip(merged, rates, strict=True))
    return Week(classes, tuple(schedule.tolist()), _transitions(schedule, len(merged)))


def _planned_rates(groups: list[npt.NDArray[np.intp]], peak: Floats) -> list[float]:
    """Rate of each class: its busiest minute, rounded up to a step where a busier class is planned for no less.

    Hours that hardly differ are so planned alike, and a busier hour makes no class quieter.
    """
    busiest = [float(peak[group].max()) for group in groups]
    steps = [STEP ** math.ceil(math.log(rate, STEP) - ROUNDING) if rate > 0 else 0.0 for rate in busiest]
    return [min(step, busiest[-1]) for step in steps]


def _merge_equal(groups: list[npt.NDArray[np.intp]], rates: list[float]) -> list[npt.NDArray[np.intp]]:
    """Neighbouring classes of one planned rate as one class."""
    merged: dict[float, list[npt.NDArray[np.intp]]] = {}
    for group, rate in zip(groups, rates, strict=True):
        merged.setdefault(rate, []).append(group)
    return [np.concatenate(alike) for alike in merged.values()]


def _class_of(forecast: Forecast, group: npt.NDArray[np.intp], planned_rate: float) -> HourClass:
    return HourClass(
        hours_per_week=len(group),
        mean_rate=float(forecast.mean[group].mean()),
        planned_rate=planned_rate,
        low_rate=float(forecast.low_peak[group].mean()),
    )


def _transitions(schedule: npt.NDArray[np.intp], classes: int) -> Floats:
    counts = np.zeros((classes, classes))
    np.add.at(counts, (schedule, np.roll(schedule, -1)), 1.0)
    return counts
