"""Growth of the demand: stated, or what the weeks show."""

import math

import numpy as np

from advisor.demand.spread import HIGH, LOW
from advisor.demand.values import Floats
from advisor.errors import InputError
from advisor.units import DAYS_PER_YEAR, HOURS_PER_DAY, HOURS_PER_WEEK

LEAST_WEEKS = 3
AGREEMENT = 0.8
"""Share of the pairs of weeks that have to agree on the direction of a trend."""
MOST_PER_WEEK = 0.05
"""A steeper trend of a few weeks is a launch or a season; it does not go on for a whole horizon."""
_DAYS_PER_WEEK = HOURS_PER_WEEK // HOURS_PER_DAY


def measured_growth(hourly: Floats, stated_per_year: float | None) -> tuple[float, list[str]]:
    """(growth of the logarithm of the rate per day, notes).

    Measured: the median slope of log(mean of the week) over all pairs of weeks (Theil-Sen), bounded, and 0 unless
    most pairs agree on its direction.

    Raises:
        InputError: the stated growth is no number above -1.
    """
    if stated_per_year is not None:
        if not (math.isfinite(stated_per_year) and stated_per_year > -1):
            raise InputError(
                f"growth per year is {stated_per_year:g}", hint="state 0.3 for 30 % more, -0.3 for less; above -1"
            )
        return math.log1p(stated_per_year) / DAYS_PER_YEAR, [f"growth of {stated_per_year:.0%} a year, as stated"]
    weeks = _week_means(hourly)
    if len(weeks) < LEAST_WEEKS:
        return 0.0, []
    slopes = np.array(
        [
            (math.log(later) - math.log(earlier)) / (at - before)
            for before, earlier in weeks.items()
            for at, later in weeks.items()
            if at > before
        ]
    )
    per_week = float(np.median(slopes))
    if max(np.mean(slopes > 0), np.mean(slopes < 0)) < AGREEMENT:
        return 0.0, [f"{len(weeks)} weeks show no steady growth: none is assumed"]
    bound = math.log1p(MOST_PER_WEEK)
    bounded = min(max(per_week, -bound), bound)
    cut = f" (measured {math.expm1(per_week):+.1%}, bounded)" if bounded != per_week else ""
    return bounded / _DAYS_PER_WEEK, [
        f"growth of {math.expm1(bounded):+.1%} a week, from the trend of {len(weeks)} weeks{cut}"
    ]


def growth_factors(per_day: float, horizon_days: float) -> tuple[float, float, float]:
    """(low, mean, high): the rate after a tenth, half and nine tenths of the horizon, ÷ the rate today."""
    early, middle, late = (math.exp(per_day * horizon_days * share) for share in (LOW, 0.5, HIGH))
    return min(early, late), middle, max(early, late)


def _week_means(hourly: Floats) -> dict[int, float]:
    """Mean rate of each whole week, counted from the end, of which at least half is known; by number, oldest first."""
    whole = len(hourly) // HOURS_PER_WEEK
    weeks = hourly[len(hourly) - whole * HOURS_PER_WEEK :].reshape(whole, HOURS_PER_WEEK)
    known = np.count_nonzero(~np.isnan(weeks), axis=1)
    means = np.nansum(weeks, axis=1) / np.maximum(known, 1)
    return {
        number: float(mean) for number, mean in enumerate(means) if known[number] >= HOURS_PER_WEEK // 2 and mean > 0
    }
