"""Interval of an hourly series: quantiles of past hours like the one to come, at levels that the past has proven.

The hours' mean rates and their busiest minutes are calibrated each by themselves: an upper edge of one times an upper
edge of a ratio would count the same spread twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.demand.clock import hours_of_week
from advisor.demand.values import Floats
from advisor.units import HOURS_PER_DAY, HOURS_PER_WEEK

LOW, HIGH = 0.1, 0.9
STEP = 0.5
"""Change of a tail after a day ÷ by how much the share beyond the edge was off that day (Gibbs & Candès 2021)."""
LEAST_TAIL = 0.03
"""Smallest share of the past hours beyond an edge: of some fifty hours it leaves out the most extreme one."""
MOST_BEYOND = 0.25
"""A tail below :data:`LEAST_TAIL` moves the edge outwards, by this share of it at most."""
MOST_TAIL = 0.4
WIDEST = 2.0
"""The upper edge is at most so many times the 90th percentile, plus the mean."""
_ROUNDING = 1e-9
_DAYS_PER_WEEK = HOURS_PER_WEEK // HOURS_PER_DAY


@dataclass(frozen=True, slots=True)
class Likeness:
    """Which past hours are like an hour to come: days of the same group, about the same hour of the day."""

    name: str
    day_groups: tuple[int, ...]
    """Group of each day of the week, Monday first, numbered from 0."""
    reach_hours: int
    """Hours of the day before and after it that count too."""
    days: int
    """How far back."""
    least_days: int
    """Known days of each group that it takes."""

    def is_fed(self, past: Floats, first_hour: int) -> bool:
        """Whether enough days of each group are known."""
        folded, groups = self._by_day(past, first_hour)
        known = np.bincount(groups[~np.isnan(folded).all(axis=1)], minlength=max(self.day_groups) + 1)
        return bool(known.min() >= self.least_days)

    def ranked(self, past: Floats, first_hour: int) -> "Ranked":
        """The like hours of every hour of the week, in ascending order."""
        folded, groups = self._by_day(past, first_hour)
        reach = range(-self.reach_hours, self.reach_hours + 1)
        pooled = np.concatenate([np.roll(folded, shift, axis=1) for shift in reach])
        groups = np.tile(groups, len(reach))
        ascending = tuple(np.sort(pooled[groups == group], axis=0) for group in range(max(self.day_groups) + 1))
        return Ranked(ascending, self.day_groups)

    def _by_day(self, past: Floats, first_hour: int) -> tuple[Floats, npt.NDArray[np.intp]]:
        """One row for each day of the window, and the group of each."""
        recent = past[-self.days * HOURS_PER_DAY :]
        day, hour = divmod(int(hours_of_week(first_hour + len(past) - len(recent), 1)[0]), HOURS_PER_DAY)
        after = -(hour + len(recent)) % HOURS_PER_DAY
        folded = np.pad(recent, (hour, after), constant_values=np.nan).reshape(-1, HOURS_PER_DAY)
        return folded, np.array(self.day_groups)[(day + np.arange(len(folded))) % _DAYS_PER_WEEK]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Past rates of each group of days, in ascending order for each hour of the day."""

    ascending: tuple[Floats, ...]
    """Of each group: ``(hours, 24)``, NaN last."""
    day_groups: tuple[int, ...]

    def quantile(self, level: float) -> Floats:
        """Quantile (Hazen's) of each hour of the week; NaN where no like hour is known."""
        by_group = [_quantile(ascending, level) for ascending in self.ascending]
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
DAY = Likeness("hours within two of it on any of the last 28 days", _ANY_DAY, 2, 28, 0)
WORKDAY = Likeness("hours within one of it, weekdays and weekends apart", (0, 0, 0, 0, 0, 1, 1), 1, 28, 4)
WEEKDAY = Likeness("hours within one of it on the same day of the week", _EACH_DAY, 1, 56, 3)
EXACT = Likeness("the same hour of the week", _EACH_DAY, 0, 56, 3)
LIKENESSES = (WORKDAY, WEEKDAY, EXACT)


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
    """At each origin the band that has lost least so far; of equal ones that of the same time on any day.

    Args:
        series: hourly rates, NaN where unknown.
        first_hour: the first of them, in hours since 1970.
        origins: ascending, in hours from the first.
    """
    fed = [DAY, *(likeness for likeness in LIKENESSES if likeness.is_fed(series, first_hour))]
    bands = [_band(likeness, series, first_hour, origins) for likeness in fed]
    actual = weeks_after(series, origins)
    losses = [
        np.nan_to_num(pinball(actual, band.low[:-1], LOW) + pinball(actual, band.high[:-1], HIGH)) for band in bands
    ]
    best = [int(np.argmin([_known_loss(loss, origins, now) for loss in losses])) for now in (*origins, len(series))]
    low, high = (
        np.array([getattr(bands[chosen], edge)[row] for row, chosen in enumerate(best)]) for edge in ("low", "high")
    )
    return Band(bands[best[-1]].likeness, low, high)


def weeks_after(series: Floats, origins: Sequence[int]) -> Floats:
    """The 168 hours from each origin, NaN after the end: ``(origins, 168)``."""
    padded = np.pad(series, (0, HOURS_PER_WEEK), constant_values=np.nan)
    return np.array([padded[origin : origin + HOURS_PER_WEEK] for origin in origins]).reshape(-1, HOURS_PER_WEEK)


def _known_loss(loss: Floats, origins: Sequence[int], now: int) -> float:
    """Loss at the origins before now, of the hours that had come by now."""
    return float(sum(row[: now - origin].sum() for row, origin in zip(loss, origins, strict=True) if origin < now))


def _band(likeness: Likeness, series: Floats, first_hour: int, origins: Sequence[int]) -> Band:
    """Adaptive conformal inference: each day moves the tails by how far the share beyond the edges was off.

    Nothing after an origin has a part in its band.
    """
    tails = np.array([LOW, 1 - HIGH])
    bands = []
    for origin in (*origins, len(series)):
        low, high = _edges(likeness, series[:origin], first_hour, tails)
        bands.append((low, high))
        came = series[origin : origin + HOURS_PER_DAY]
        known = ~np.isnan(came)
        if known.any():
            came, low, high = came[known], low[: len(known)][known], high[: len(known)][known]
            beyond = np.array([(came < low * (1 - _ROUNDING)).mean(), (came > high * (1 + _ROUNDING)).mean()])
            tails = np.clip(tails + STEP * (LOW - beyond), LEAST_TAIL - MOST_BEYOND, MOST_TAIL)
    lows, highs = (np.array(edges) for edges in zip(*bands, strict=True))
    return Band(likeness.name, lows, highs)


def _edges(likeness: Likeness, past: Floats, first_hour: int, tails: Floats) -> tuple[Floats, Floats]:
    """Lower and upper edge of the 168 hours after the past, for the tails beyond each.

    The upper one is at most ``WIDEST`` × the 90th percentile + the mean: a rare surge, as high as it may have been, is
    not what a small drift of the level widens an interval to.
    """
    low_tail, high_tail = np.maximum(tails, LEAST_TAIL).tolist()
    low, high, nominal = np.full((3, HOURS_PER_WEEK), np.nan)
    for ranked in _ever_wider(likeness, past, first_hour):
        low = np.where(np.isnan(low), ranked.quantile(low_tail), low)
        high = np.where(np.isnan(high), ranked.quantile(1 - high_tail), high)
        nominal = np.where(np.isnan(nominal), ranked.quantile(HIGH), nominal)
        if not np.isnan(high).any():
            break
    low_beyond, high_beyond = np.maximum(LEAST_TAIL - tails, 0.0)
    recent = past[-DAY.days * HOURS_PER_DAY :]
    level = 0.0 if np.isnan(recent).all() else float(np.nanmean(recent))
    high = np.minimum(high * (1 + high_beyond), WIDEST * nominal + level)
    ahead = hours_of_week(first_hour + len(past), HOURS_PER_WEEK)
    return low[ahead] * (1 - low_beyond), high[ahead]


def _ever_wider(likeness: Likeness, past: Floats, first_hour: int) -> Iterator[Ranked]:
    """Like hours, then those of any day, then all: for hours of which none like them is known."""
    yield likeness.ranked(past, first_hour)
    yield DAY.ranked(past, first_hour)
    yield Ranked((np.repeat(np.sort(past)[:, None], HOURS_PER_DAY, axis=1),), _ANY_DAY)
