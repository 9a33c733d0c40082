"""Demand, forecast and the capacity of the fleet in each hour of a week."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from advisor.demand.forecast import DAYS
from advisor.demand.spread import mean_by_hour_of_week
from advisor.errors import InputError
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.request import read_question
from advisor.plan.values import Plan
from advisor.records import dataclass
from advisor.report.fleet_tables import capacity_requests_per_second
from advisor.report.pages.bars import Axis, from_zero, percent
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK, SECONDS_PER_MINUTE, rounded

_NOT_KNOWN = "-"


_BUSIEST = "in the busiest minute"


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the week; None: not known."""

    name: str
    """``Monday 07:00``."""
    instances: int
    capacity: float
    """Requests per second that its instances are planned to carry."""
    planned: float
    """Requests per second in the busiest minute that is expected."""
    mean: float
    seen: float | None
    """Requests per second on average, as observed."""


@dataclass(frozen=True, slots=True)
class Block:
    """Equal hours in a row, or one edge of them, in percent of the chart's box."""

    x: str
    width: str
    y: str
    height: str
    end: str


@dataclass(frozen=True, slots=True)
class WeekChart:
    """Hours, and where they stand in the chart."""

    hours: tuple[Hour, ...]
    capacity: tuple[Block, ...]
    planned: tuple[Block, ...]
    mean: tuple[Block, ...]
    seen: tuple[Block, ...]
    marks: tuple[tuple[str, str], ...]
    """Place from above and words, of each mark of the upright axis."""
    days: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    """Place of each hour and what is told of it."""
    rows: tuple[tuple[str, ...], ...]
    planned_words: str
    """Meaning of the planned rate: of the busiest minute, or of the hours of batch work."""

    @property
    def hour_width(self) -> str:
        """Width of an hour."""
        return percent(100.0 / HOURS_PER_WEEK)


def week_chart(plan: Plan, fleet: Fleet) -> WeekChart:
    """The week that the fleet is planned for."""
    hours, when = tuple(_hours(plan, fleet)), "while a run is worked on" if fleet.is_batch_alone else _BUSIEST
    axis = from_zero(value for hour in hours for value in (hour.capacity, hour.planned, hour.seen) if value is not None)
    return WeekChart(
        hours=hours,
        capacity=tuple(blocks([hour.capacity for hour in hours], axis)),
        planned=tuple(blocks([hour.planned for hour in hours], axis)),
        mean=tuple(blocks([hour.mean for hour in hours], axis)),
        seen=tuple(blocks([hour.seen for hour in hours], axis)),
        marks=tuple((percent(100.0 - axis.at(mark)), f"{mark:,g}") for mark in axis.marks()),
        days=tuple((percent(100.0 * at / len(DAYS)), day) for at, day in enumerate(DAYS)),
        columns=tuple((percent(100.0 * at / HOURS_PER_WEEK), _told(hour, when)) for at, hour in enumerate(hours)),
        rows=tuple(_cells(hour) for hour in hours),
        planned_words=f"planned {when}",
    )


def _hours(plan: Plan, fleet: Fleet) -> Iterator[Hour]:
    seen = _seen(plan)
    capacity = [capacity_requests_per_second(fleet, at) for at in range(len(fleet.hour_classes))]
    for at, hour_class in enumerate(fleet.schedule):
        day, hour = divmod(at, HOURS_PER_DAY)
        rates = fleet.hour_classes[hour_class]
        yield Hour(
            name=f"{DAYS[day]} {hour:02d}:00",
            instances=sum(group.instances[hour_class] for group in fleet.groups),
            capacity=capacity[hour_class],
            planned=rates.planned_requests_per_second,
            mean=rates.mean_requests_per_second,
            seen=seen[at],
        )


def _seen(plan: Plan) -> Sequence[float | None]:
    """Requests per second of each hour of the week, where they were counted."""
    nothing: list[float | None] = [None] * HOURS_PER_WEEK
    try:
        profile = read_question(plan.question).demand.profile
    except InputError:  # an older plan: its other numbers are shown all the same
        return nothing
    if profile is None:
        return nothing
    means = mean_by_hour_of_week(profile.requests_per_minute, profile.start_seconds)
    return [None if math.isnan(mean) else float(mean) / SECONDS_PER_MINUTE for mean in means]


def blocks(values: Sequence[float | None], axis: Axis) -> Iterator[Block]:
    """Runs of equal values of consecutive hours, from the axis up; none where nothing is known."""
    start, count = 0, len(values)
    for value, run in groupby(values):
        length = len(list(run))
        if value is not None:
            height = axis.at(value)
            yield Block(
                x=percent(100.0 * start / count),
                width=percent(100.0 * length / count),
                y=percent(100.0 - height),
                height=percent(height),
                end=percent(100.0 * (start + length) / count),
            )
        start += length


def _told(hour: Hour, when: str) -> str:
    parts = [f"{hour.name} UTC: {hour.instances} instance{'' if hour.instances == 1 else 's'}"]
    parts += [f"carry {rounded(hour.capacity)} requests/s"]
    parts += [f"planned for {rounded(hour.planned)} {when}", f"{rounded(hour.mean)} expected on average"]
    parts += [f"{rounded(hour.seen)} seen on average"] if hour.seen is not None else []
    return ", ".join(parts)


def _cells(hour: Hour) -> tuple[str, ...]:
    rates = (hour.capacity, hour.planned, hour.mean, hour.seen)
    return (hour.name, str(hour.instances), *(_NOT_KNOWN if rate is None else f"{rate:,.4g}" for rate in rates))
