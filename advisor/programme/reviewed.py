"""Values of a review, which are read and shown where no bill is."""

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from advisor.programme.values import Predicted, Saving
from advisor.records import dataclass

Floats = npt.NDArray[np.float64]

LEAST_DAYS = 14
"""Two of each weekday: with fewer a day cannot be told from its weekday."""
LARGEST_SCORE = 3.5
"""Modified z-score of an outlier (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
_NORMAL = 1.4826
"""Standard deviation of a normal distribution ÷ its median absolute deviation."""
_LEAST_SHARE = 0.01
"""Robust standard deviation at the least: a bill that never varies has no anomaly of a cent."""
_WEEK = 7
_AGREEING = 0.8
_TURNS = 4
SCHEMA = "advisor.review/v1"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Day whose cost is unlike that of its weekday."""

    day: dt.date
    cost_usd: float
    expected_usd: float
    score: float
    """Residual in robust standard deviations."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Regular part of a series of days."""

    expected: Floats
    per_day: float
    """Slope."""


def pattern_of(days: Sequence[dt.date], costs: Floats, breaks: Sequence[dt.date] = ()) -> Pattern:
    """Expected cost = (level between breaks + slope × day) × factor of the weekday, each a median.

    The slope is the median over pairs of days a whole number of weeks apart, in one stretch (Theil 1950, Sen 1968);
    none unless 80 % of the pairs agree on its direction. Days on which something changed on purpose begin a level of
    their own. The three are found in turns, as each takes the others out of the costs.

    Args:
        days: in order; some may be missing.
        costs: cost of each.
        breaks: days from which another level holds.
    """
    number = np.array([(day - days[0]).days for day in days], np.float64)
    stretch = np.array([sum(day >= change for change in set(breaks)) for day in days])
    weekday = np.array([day.weekday() for day in days])
    factor, base, slope = np.ones(_WEEK), np.zeros_like(costs), 0.0
    for _ in range(_TURNS):
        even = costs / factor[weekday]
        slope = _slope(number, even, stretch)
        for part in np.unique(stretch):
            here = stretch == part
            base[here] = np.median((even - slope * number)[here]) + slope * number[here]
        if base.min() <= 0:
            break
        factor = np.array([_median((costs / base)[weekday == day], 1.0) for day in range(_WEEK)])
        factor = factor / factor.mean() if factor.min() > 0 else np.ones(_WEEK)
    return Pattern(base * factor[weekday], slope)


def anomalies_of(costs: Mapping[dt.date, float], breaks: Sequence[dt.date] = ()) -> tuple[Anomaly, ...] | None:
    """Days whose cost ÷ expected cost is beyond 3.5 robust standard deviations; None: there are too few days."""
    if len(costs) < LEAST_DAYS:
        return None
    days = sorted(costs)
    values = np.array([costs[day] for day in days])
    expected = pattern_of(days, values, breaks).expected
    judged = np.flatnonzero(expected > 0)
    ratios = values[judged] / expected[judged] - 1
    scores = ratios / max(robust_deviation(ratios), _LEAST_SHARE) if judged.size else ratios
    return tuple(
        Anomaly(days[at], float(values[at]), float(expected[at]), float(score))
        for at, score in zip(judged, scores, strict=True)
        if abs(score) > LARGEST_SCORE
    )


def robust_deviation(residuals: Floats) -> float:
    """Standard deviation of a normal distribution with the same median absolute deviation."""
    return _NORMAL * float(np.median(np.abs(residuals - np.median(residuals))))


def _slope(number: Floats, costs: Floats, stretch: npt.NDArray[np.int64]) -> float:
    first, second = np.triu_indices(number.size, 1)
    gap = number[second] - number[first]
    kept = (gap % _WEEK == 0) & (stretch[first] == stretch[second])
    slopes = (costs[second] - costs[first])[kept] / gap[kept]
    slope = _median(slopes)
    return slope if slopes.size and np.mean(np.sign(slopes) == np.sign(slope)) >= _AGREEING else 0.0


def _median(values: Floats, without: float = 0.0) -> float:
    return float(np.median(values)) if values.size else without


@dataclass(frozen=True, slots=True)
class Applied:
    """Items that were applied to the same money, and what became of it."""

    id: str
    items: tuple[str, ...]
    first_on: dt.date
    last_on: dt.date
    predicted: Predicted
    billed: Saving | None
    """By the bill: days before the first against days after the last; None: there are too few."""
    served: Saving | None
    """The same at today's number of requests; None: no request log spans both."""
    why_unknown: str
    days_before: int
    days_after: int


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """Resource whose cost changed."""

    resource: str
    before_usd_per_month: float
    after_usd_per_month: float


@dataclass(frozen=True, slots=True)
class PlannedCost:
    """Plan against the bill of accelerated machines."""

    plan: str
    planned_usd_per_month: float
    billed_usd_per_month: float


@dataclass(frozen=True, slots=True)
class Review:
    """Report on the time since a day."""

    since: dt.date
    until: dt.date
    """Last day of the bill."""
    cost: str
    """Which cost of the bill: effective or billed."""
    predicted: Predicted
    """Sum over what the bill can judge."""
    billed: Saving
    applied: tuple[Applied, ...]
    """Savings that turned out negative first."""
    usd_per_month: float
    """Cost of the days from :attr:`now_from` on, as a month."""
    now_from: dt.date
    """First of the latest whole weeks after the last applied change, or of the days; without a day after it, of all."""
    trend_usd_per_month: float | None
    """Change of the monthly cost in a month, apart from what was applied; None: too few days."""
    anomalies: tuple[Anomaly, ...] | None
    """None: too few days."""
    changes: tuple[ResourceChange, ...]
    before: tuple[dt.date, dt.date] | None
    """First and last day that the changes compare those from :attr:`now_from` on with: whole weeks, where there are."""
    plans: tuple[PlannedCost, ...]
    next_steps: tuple[str, ...]
    notes: tuple[str, ...]
