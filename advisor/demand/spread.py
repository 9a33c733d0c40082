"""Hours of a week and of clocks, and the interval of an hourly series: quantiles of like hours, at tried levels.

The hours' mean rates and their busiest minutes are calibrated each by themselves: an upper edge of one times an upper
edge of a ratio would count the same spread twice. Hours of UTC move when summer time begins and ends.
"""

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from advisor.demand.values import DemandProfile, Floats, Forecast
from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.units import (
    HOURS_PER_DAY,
    HOURS_PER_WEEK,
    MINUTES_PER_HOUR,
    ROUNDING,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    SECONDS_PER_MINUTE,
)

MONDAY_SECONDS = 4.0 * SECONDS_PER_DAY
"""1970-01-05 00:00 UTC, a Monday: where the zero of a clock without a date is put."""
_FIRST_DATE_SECONDS = 366.0 * SECONDS_PER_DAY
_HOURS_FROM_MONDAY_TO_1970 = 3 * HOURS_PER_DAY
UNDATED = (
    "the clock of the demand shows no date: its first day is taken to be a Monday that begins at 00:00 UTC, so "
    "days of the week and hours of the day are relative to that"
)
_TICKS_PER_SECOND = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_FIRST_TRACE_SECONDS = 631_152_000.0
"""1990: no trace of requests is older."""
LAST_SECONDS = 4_102_444_800.0
"""2100: a later time is a mistake in its unit."""


def ticks_per_second(number: float) -> tuple[float, str]:
    """Ticks of a clock that shows *number*, and their name: the unit in which it is a date from 1990 to 2100.

    A number that is a date in no unit counts seconds since something else; the name is "" then.
    """
    for name, ticks in _TICKS_PER_SECOND.items():
        if _FIRST_TRACE_SECONDS <= number / ticks < LAST_SECONDS:
            return ticks, name
    return 1.0, ""


def changed_unit(numbers: Floats, unit: str) -> tuple[int, str] | None:
    """Index of the first of some numbers that is a date in another unit than *unit*, and that unit; None: none is."""
    firsts = []
    for name, ticks in _TICKS_PER_SECOND.items():
        seconds = numbers / ticks
        is_date = (seconds >= _FIRST_TRACE_SECONDS) & (seconds < LAST_SECONDS)
        if name != unit and is_date.any():
            firsts.append((int(is_date.argmax()), name))
    return min(firsts, default=None)


def is_dated(seconds: float) -> bool:
    """Whether a time is a date; before 1971 it counts the seconds since something else."""
    return seconds >= _FIRST_DATE_SECONDS


def on_the_calendar(seconds: float) -> float:
    """The time itself when it is a date, else with its zero on a Monday."""
    return seconds if is_dated(seconds) else seconds + MONDAY_SECONDS


def hours_of_week(first_hour: int, hours: int) -> npt.NDArray[np.int64]:
    """Index in the week (0: Monday 00:00 UTC) of consecutive hours, the first so many since 1970 (a Thursday)."""
    return (first_hour + _HOURS_FROM_MONDAY_TO_1970 + np.arange(hours)) % HOURS_PER_WEEK


def mean_by_hour_of_week(minutes: npt.NDArray[np.float64], start_seconds: float) -> npt.NDArray[np.float64]:
    """Mean of what is known (not NaN) of consecutive minutes in each hour of the week; NaN where nothing is known."""
    observed = np.flatnonzero(~np.isnan(minutes))
    hours = ((start_seconds + SECONDS_PER_MINUTE * observed) // SECONDS_PER_HOUR).astype(np.int64)
    week = (hours + _HOURS_FROM_MONDAY_TO_1970) % HOURS_PER_WEEK
    sums = np.bincount(week, weights=minutes[observed], minlength=HOURS_PER_WEEK)
    counts = np.bincount(week, minlength=HOURS_PER_WEEK)
    means: Floats = np.divide(sums, counts, out=np.full(HOURS_PER_WEEK, np.nan), where=counts > 0)
    return means


def iso_minute(seconds: float) -> str:
    """``2023-11-16T18:15Z``."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%MZ")


LOW, HIGH = 0.1, 0.9
OWN = 0.25
"""Part that an edge's own misses have in the move of its tail; the rest is that of the misses of both edges."""
RAMP_DAYS = 7
"""The first day moves the tails by one of so many parts of what it was off, the second by two: little is known yet."""
LEAST_TAIL = 0.03
"""Smallest share of the past hours beyond an edge: of some fifty hours it leaves out the most extreme one."""
OUTWARDS = 3.0
"""A tail below :data:`LEAST_TAIL` moves the edge outwards, by so many times what it lacks..."""
MOST_BEYOND = 0.25
"""... and by this share of it at most."""
MOST_TAIL = 0.4
WIDEST = 2.0
"""The upper edge is at most so many times the 90th percentile, plus the mean."""
LEAST_USUAL = 0.2
"""An hour of the day is taken to be as busy as this share of all hours at least (of their square roots)."""
_DAYS_PER_WEEK = HOURS_PER_WEEK // HOURS_PER_DAY


@dataclass(frozen=True, slots=True)
class Likeness:
    """Past hours that are like an hour to come: days of the same group, about the same hour of the day."""

    name: str
    day_groups: tuple[int, ...]
    """Group of each day of the week, Monday first, numbered from 0."""
    reach_hours: int
    """Hours of the day before and after it that count too."""
    days: int
    """How far back."""
    least_days: int
    """Known days of each group that it takes."""
    handicap: float = 1.0
    """Factor of its loss where it is compared with others."""

    def is_fed(self, past: Floats, first_hour: int) -> bool:
        """Whether enough days of each group are known."""
        _, groups = self._by_day(past, first_hour)
        return bool(np.bincount(groups, minlength=max(self.day_groups) + 1).min() >= self.least_days)

    def ranked(self, past: Floats, first_hour: int) -> "Ranked":
        """The like hours of every hour of the week, in ascending order."""
        folded, groups = self._by_day(past, first_hour)
        usual = _usual(folded)
        apart = np.arange(-self.reach_hours, self.reach_hours + 1)
        neighbours = (np.arange(HOURS_PER_DAY) + apart[:, None]) % HOURS_PER_DAY
        pooled = (folded / usual)[:, neighbours]
        ascending = tuple(
            np.sort(pooled[groups == group].reshape(-1, HOURS_PER_DAY), axis=0)
            for group in range(max(self.day_groups) + 1)
        )
        return Ranked(ascending, self.day_groups, usual)

    def _by_day(self, past: Floats, first_hour: int) -> tuple[Floats, npt.NDArray[np.intp]]:
        """One row for each of the last days of which anything is known, and the group of each."""
        day, hour = divmod(int(hours_of_week(first_hour, 1)[0]), HOURS_PER_DAY)
        after = -(hour + len(past)) % HOURS_PER_DAY
        folded = np.pad(past, (hour, after), constant_values=np.nan).reshape(-1, HOURS_PER_DAY)
        last = np.flatnonzero(~np.isnan(folded).all(axis=1))[-self.days :]
        return folded[last], np.array(self.day_groups)[(day + last) % _DAYS_PER_WEEK]


def _usual(days: Floats) -> Floats:
    """Mean square root of the rate at each hour of the day, which a surge moves less than the mean.

    A neighbouring hour's rate ÷ its own root × that of the hour to come is half way, in ratio, between the rate as it
    was and the rate relative to its hour's. Idle and unknown hours count as a share of, or as, the mean of all.
    """
    roots = np.sqrt(days)
    observed = np.count_nonzero(~np.isnan(roots), axis=0)
    level = np.nansum(roots) / max(observed.sum(), 1)
    mean = np.where(observed > 0, np.nansum(roots, axis=0) / np.maximum(observed, 1), level)
    return np.maximum(mean, LEAST_USUAL * level) if level > 0 else np.ones(HOURS_PER_DAY)


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Past rates, each ÷ what is usual at its own hour, in ascending order about each hour of the day."""

    ascending: tuple[Floats, ...]
    """Of each group of days: ``(rates, 24)``, NaN last."""
    day_groups: tuple[int, ...]
    usual: Floats
    """``(24,)``."""

    def quantile(self, level: float) -> Floats:
        """Quantile (Hazen's) of the rate in each hour of the week; NaN where no like hour is known."""
        by_group = [_quantile(ascending, level) * self.usual for ascending in self.ascending]
        return np.concatenate([by_group[group] for group in self.day_groups])


def _quantile(ascending: Floats, level: float) -> Floats:
    """Quantile of the known values of each column."""
    if not len(ascending):
        return np.full(ascending.shape[1], np.nan)
    last = np.maximum(np.count_nonzero(~np.isnan(ascending), axis=0) - 1, 0)
    at = np.clip(level * (last + 1) - 0.5, 0, last)
    below = np.floor(at).astype(np.intp)
    columns = np.arange(ascending.shape[1])
    lower, upper = ascending[below, columns], ascending[np.minimum(below + 1, last), columns]
    return np.asarray(lower + (upper - lower) * (at - below))


_ANY_DAY = (0,) * _DAYS_PER_WEEK
_EACH_DAY = tuple(range(_DAYS_PER_WEEK))
DAY = Likeness("hours within four of it on any of the last seven days", _ANY_DAY, 4, _DAYS_PER_WEEK, 0)
HOUR = Likeness("the same hour on any of the last seven days", _ANY_DAY, 0, _DAYS_PER_WEEK, 3, handicap=1.1)
WORKDAY = Likeness("hours within three of it, weekdays and weekends apart", (0, 0, 0, 0, 0, 1, 1), 3, 28, 4)
WEEKDAY = Likeness("hours within three of it on the same day of the week", _EACH_DAY, 3, 56, 3)
EXACT = Likeness("the same hour of the week", _EACH_DAY, 0, 56, 3)
LIKENESSES = (HOUR, WORKDAY, WEEKDAY, EXACT)


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """10th and 90th percentile of an hourly series, at the origins of a back-test and now; 168 hours from each."""

    likeness: str
    """Which hours the last row is made of."""
    low: Floats
    """Shape ``(origins + 1, 168)``, the last row from the end of the series."""
    high: Floats


def pinball(actual: Floats, quantile: Floats, level: float) -> Floats:
    """Pinball loss of a quantile forecast: what is above it costs the level, what is below 1 - level."""
    error = actual - quantile
    return np.maximum(level * error, (level - 1) * error)


def calibrated(series: Floats, first_hour: int, origins: Sequence[int]) -> Band:
    """Band that has lost least so far, at each origin; of equal ones the first, ``DAY``.

    Adaptive conformal inference (Gibbs & Candès 2021): each day moves the tails by how far the share beyond the edges
    was off. A day beyond one edge shows that the demand moves more than it did, either way: so both tails take part of
    it. The next day has the tails of now, later days their mean over the last week. Nothing after an origin has a part
    in its band. *series*: hourly rates, NaN where unknown, from an hour since 1970 on; *origins*: ascending, in hours
    from it.
    """
    fed = [DAY, *(likeness for likeness in LIKENESSES if likeness.is_fed(series, first_hour))]
    daily_tails = [np.full(2, LEAST_TAIL)]
    lost: list[list[Floats]] = [[] for _ in fed]
    chosen = []
    for came, origin in zip(weeks_after(series, (*origins, len(series))), (*origins, len(series)), strict=True):
        # Of the weeks from earlier origins count the hours that had come by this one.
        losses_so_far = [
            [loss[: origin - then].sum() for loss, then in zip(losses, origins, strict=False)] for losses in lost
        ]
        totals = [likeness.handicap * sum(losses) for likeness, losses in zip(fed, losses_so_far, strict=True)]
        best = int(np.argmin(totals))
        tails = np.array([daily_tails[-1], np.mean(daily_tails[-RAMP_DAYS:], axis=0)])
        edges = [_edges(likeness, series[:origin], first_hour, tails) for likeness in fed]
        chosen.append(edges[best])
        for losses, (low, high) in zip(lost, edges, strict=True):
            losses.append(np.nan_to_num(pinball(came, low, LOW) + pinball(came, high, HIGH)))
        share = min(len(chosen) / RAMP_DAYS, 1.0)
        daily_tails.append(_moved(daily_tails[-1], came[:HOURS_PER_DAY], *edges[best], share=share))
    low, high = (np.array(rows) for rows in zip(*chosen, strict=True))
    return Band(fed[best].name, low, high)


def weeks_after(series: Floats, origins: Sequence[int]) -> Floats:
    """The 168 hours from each origin, NaN after the end: ``(origins, 168)``."""
    padded = np.pad(series, (0, HOURS_PER_WEEK), constant_values=np.nan)
    return np.array([padded[origin : origin + HOURS_PER_WEEK] for origin in origins]).reshape(-1, HOURS_PER_WEEK)


def _moved(tails: Floats, came: Floats, low: Floats, high: Floats, *, share: float) -> Floats:
    """The tails after a day: moved by a share of how far its known hours beyond the edges were off."""
    low, high = low[: len(came)], high[: len(came)]
    misses = np.count_nonzero([came < low * (1 - ROUNDING), came > high * (1 + ROUNDING)], axis=1)
    observed = np.count_nonzero(~np.isnan(came))
    if not observed:
        return tails
    beyond = misses / observed
    missed = OWN * beyond + (1 - OWN) * beyond.mean()
    moved: Floats = np.clip(tails + share * (LOW - missed), LEAST_TAIL - MOST_BEYOND / OUTWARDS, MOST_TAIL)
    return moved


def _edges(likeness: Likeness, past: Floats, first_hour: int, tails: Floats) -> tuple[Floats, Floats]:
    """Lower and upper edge of the 168 hours after the past; *tails* beyond each: row 0 for the next day, 1 for later.

    The upper one is at most ``WIDEST`` × the 90th percentile + the mean: a rare surge, as high as it may have been, is
    not what a small drift of the level widens an interval to. Nor is it further than ``MOST_BEYOND`` above all seen.
    """
    low_tails, high_tails = np.maximum(tails, LEAST_TAIL).T
    levels = (*low_tails, *(1 - high_tails), HIGH)
    edges = np.full((len(levels), HOURS_PER_WEEK), np.nan)
    for ranked in _ever_wider(likeness, past, first_hour):
        edges = np.where(np.isnan(edges), [ranked.quantile(level) for level in levels], edges)
        if not np.isnan(edges).any():
            break
    recent = past[-DAY.days * HOURS_PER_DAY :]
    level = 0.0 if np.isnan(recent).all() else float(np.nanmean(recent))
    most = np.minimum(WIDEST * edges[-1] + level, (1 + MOST_BEYOND) * np.nanmax(past))
    low_beyond, high_beyond = OUTWARDS * np.maximum(LEAST_TAIL - tails, 0.0).T[:, :, None]
    lows, highs = edges[:2] * (1 - low_beyond), np.minimum(edges[2:4] * (1 + high_beyond), most)
    hours = hours_of_week(first_hour + len(past), HOURS_PER_WEEK)
    row = np.minimum(np.arange(HOURS_PER_WEEK) // HOURS_PER_DAY, 1)
    return lows[row, hours], highs[row, hours]


def _ever_wider(likeness: Likeness, past: Floats, first_hour: int) -> Iterator[Ranked]:
    """Like hours, then those of any day, then all: for hours of which none like them is known."""
    yield likeness.ranked(past, first_hour)
    yield DAY.ranked(past, first_hour)
    any_hour = np.repeat(np.sort(past)[:, None], HOURS_PER_DAY, axis=1)
    yield Ranked((any_hour,), _ANY_DAY, np.ones(HOURS_PER_DAY))


_A_YEAR_AHEAD_DAYS = 366


def zone_of(name: str) -> ZoneInfo | None:
    """Zone of a name in the time zone database; None where it has none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class LocalClock:
    """Clock by which requests come."""

    zone: str
    """Name in the time zone database, such as Europe/Berlin."""
    planning_day: dt.date | None = None
    """First day of the horizon; None, or a day of the history: the horizon begins with the end of the history."""

    def offsets_hours(self, hours: npt.ArrayLike) -> Floats:
        """Offset from UTC in each hour, given in hours since 1970."""
        zone = ZoneInfo(self.zone)
        moments = (dt.datetime.fromtimestamp(float(hour) * SECONDS_PER_HOUR, zone) for hour in np.asarray(hours))
        return np.array([(moment.utcoffset() or dt.timedelta()) / dt.timedelta(hours=1) for moment in moments])

    def moved(self, profile: DemandProfile) -> DemandProfile:
        """A profile as if its clocks had always had the offset of the horizon's first hour.

        The hour that comes twice in autumn counts once, its second time; the one that spring leaves out is unknown.
        A profile that was moved before is moved from where it was measured. Raises InputError if its hours have no
        dates.
        """
        profile = profile.as_measured or profile
        if not is_dated(profile.start_seconds):
            raise InputError(
                f"the times of the demand show no date, so the hours of {self.zone} are not known",
                hint="give times with dates, or leave the time zone (demand.timezone, --timezone) out",
            )
        minutes = round(profile.start_seconds / SECONDS_PER_MINUTE) + np.arange(profile.requests_per_minute.size)
        hours, hour_of_minute = np.unique(minutes // MINUTES_PER_HOUR, return_inverse=True)
        shifts = self.offsets_hours(hours) - self.offsets_hours([self._first_hour(profile)])
        places = minutes + np.rint(shifts * MINUTES_PER_HOUR).astype(int)[hour_of_minute]
        first = int(places.min())
        counts = np.full(int(places.max()) - first + 1, np.nan)
        counts[places - first] = profile.requests_per_minute
        last_shift = round(float(shifts[-1]))
        tokens = {(hour + last_shift) % HOURS_PER_DAY: sizes for hour, sizes in profile.tokens_by_hour.items()}
        start_seconds = float(first * SECONDS_PER_MINUTE)
        return replace(
            profile,
            start_seconds=start_seconds,
            requests_per_minute=counts,
            tokens_by_hour=tokens,
            as_measured=profile,
        )

    def ahead(self, week: Forecast, profile: DemandProfile, horizon_days: float) -> Forecast:
        """A week of a moved profile as one that holds under all offsets of the horizon.

        Each hour is planned for the busiest of the hours that it is on a local clock; its mean is that of the first.
        """
        first_hour = self._first_hour(profile)
        hours = first_hour + np.arange(horizon_days * HOURS_PER_DAY, step=HOURS_PER_DAY)
        offsets = self.offsets_hours(hours) - self.offsets_hours([first_hour])
        shifts = list(dict.fromkeys(whole for offset in offsets for whole in (math.floor(offset), math.ceil(offset))))

        def moved(rates: Floats) -> Floats:
            return np.stack([np.roll(rates, -shift) for shift in shifts])

        return replace(
            week,
            mean=moved(week.mean)[0],
            low=moved(week.low).min(axis=0),
            high=moved(week.high).max(axis=0),
            low_peak=moved(week.low_peak).min(axis=0),
            peak=moved(week.peak).max(axis=0),
            notes=(*week.notes, *self._notes(first_hour, horizon_days)),
        )

    def _first_hour(self, profile: DemandProfile) -> int:
        """First hour of the horizon, since 1970: after what was measured, or on the planning day if that is later."""
        profile = profile.as_measured or profile
        end_seconds = profile.start_seconds + profile.requests_per_minute.size * SECONDS_PER_MINUTE
        planned = 0 if self.planning_day is None else (self.planning_day - dt.date(1970, 1, 1)).days * HOURS_PER_DAY
        return max(round(end_seconds) // SECONDS_PER_HOUR, planned)

    def _notes(self, first_hour: int, horizon_days: float) -> Iterator[str]:
        """When its clocks change next, and whether the plan holds then."""
        hours = first_hour + np.arange(_A_YEAR_AHEAD_DAYS * HOURS_PER_DAY)
        changed = np.flatnonzero(np.diff(self.offsets_hours(hours)))
        if not changed.size:
            return
        day = dt.date(1970, 1, 1) + dt.timedelta(hours=int(hours[changed[0] + 1]))
        if changed[0] < horizon_days * HOURS_PER_DAY:
            yield (
                f"the clocks of {self.zone} change on {day}, within the {horizon_days:g} days planned: every hour of "
                "UTC is planned for the busier of the local hours that it is"
            )
        else:
            yield (
                f"the clocks of {self.zone} change on {day}, after the {horizon_days:g} days planned: plan again by "
                "then, or give a longer horizon (demand.horizon)"
            )
