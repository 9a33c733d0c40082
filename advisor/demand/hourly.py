"""Demand hour by hour: what the forecast learns from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.demand.values import DemandProfile, Floats
from advisor.units import HOURS_PER_WEEK, MINUTES_PER_HOUR, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

LEAST_MINUTES = MINUTES_PER_HOUR // 2
"""An hour of which less is known is unknown."""
MOST_WEEKS = 26
"""Older history says little of the weeks to come."""
ABSURD = 10.0
"""A minute above so many times the busiest of a thousand (the 99.9th percentile) is counted at that."""
_BUSIEST_OF_1000 = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class HourlyDemand:
    """Requests per second in consecutive hours of the clock; arrays of shape ``(hours,)``, NaN where unknown."""

    first_hour: int
    """In hours since 1970, UTC."""
    mean: Floats
    busiest_minute: Floats
    minutes: Floats
    """Requests per second of every known whole minute, of any hour."""
    notes: tuple[str, ...] = ()
    """What was changed before anything was learned from it."""


def by_hour(profile: DemandProfile) -> HourlyDemand:
    """The last half-year of a profile by hours of the clock; minutes cut off by its edges are left out.

    Minutes of an absurd count are cut, with a note: one slip of a counter would otherwise be the level of its day.
    """
    rates = profile.requests_per_minute / SECONDS_PER_MINUTE
    if len(rates) > 2:
        rates = np.concatenate([[np.nan], rates[1:-1], [np.nan]])
    first_minute = round(profile.start_seconds / SECONDS_PER_MINUTE)
    before = first_minute % MINUTES_PER_HOUR
    after = -(before + len(rates)) % MINUTES_PER_HOUR
    grid = np.pad(rates, (before, after), constant_values=np.nan).reshape(-1, MINUTES_PER_HOUR)
    skipped = max(len(grid) - MOST_WEEKS * HOURS_PER_WEEK, 0)
    grid = grid[skipped:]
    is_known = ~np.isnan(grid)
    grid, notes = _without_absurd(grid, is_known)
    known_minutes = is_known.sum(axis=1)
    mean = np.where(known_minutes >= LEAST_MINUTES, np.nansum(grid, axis=1) / np.maximum(known_minutes, 1), np.nan)
    busiest = np.where(is_known, grid, -np.inf).max(axis=1)
    first_hour = round(profile.start_seconds) // SECONDS_PER_HOUR + skipped
    return HourlyDemand(first_hour, mean, np.where(np.isnan(mean), np.nan, busiest), grid[is_known], notes)


def _without_absurd(grid: Floats, is_known: npt.NDArray[np.bool_]) -> tuple[Floats, tuple[str, ...]]:
    """Rates with absurd minutes cut, and a note of how many and to what."""
    if is_known.sum() < MINUTES_PER_HOUR:
        return grid, ()
    most = ABSURD * float(np.quantile(grid[is_known], _BUSIEST_OF_1000, method="lower"))
    is_absurd = is_known & (grid > most)
    if most <= 0 or not is_absurd.any():
        return grid, ()
    note = (
        f"{int(is_absurd.sum()):,} of {int(is_known.sum()):,} minutes have up to {grid[is_absurd].max():.3g} "
        f"requests/s, more than {ABSURD:g} × what 99.9% of the minutes stay within: the forecast "
        f"counts them at {most:.3g}; correct them in the trace if they are no requests"
    )
    return np.where(is_absurd, most, grid), (note,)
