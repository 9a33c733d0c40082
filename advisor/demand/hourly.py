"""Demand hour by hour: what the forecast learns from."""

from dataclasses import dataclass, replace

import numpy as np

from advisor.demand.values import DemandProfile, Floats
from advisor.units import HOURS_PER_WEEK, MINUTES_PER_HOUR, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

LEAST_MINUTES = MINUTES_PER_HOUR // 2
"""An hour of which less is known is unknown."""
MOST_WEEKS = 26
"""Older history says little of the weeks to come."""
_SHARE_OF_REQUESTS = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class HourlyDemand:
    """Requests per second in consecutive hours of the clock; arrays of shape ``(hours,)``, NaN where unknown."""

    first_hour: int
    """In hours since 1970, UTC."""
    mean: Floats
    busiest_minute: Floats
    minutes: Floats
    """Requests per second of every known whole minute, of any hour."""
    minute_ratios: Floats
    """The same ÷ the mean of their hour; without those of hours that are unknown or empty."""

    def until(self, hours: int) -> "HourlyDemand":
        """The first hours of it."""
        return replace(self, mean=self.mean[:hours], busiest_minute=self.busiest_minute[:hours])

    def minute_to_hour(self) -> float:
        """Busiest minute ÷ mean of the hour that 95 % of the requests come in at most; 1 where no hour is known."""
        is_busy = np.nan_to_num(self.mean) > 0
        if not is_busy.any():
            return 1.0
        ratios = self.busiest_minute[is_busy] / self.mean[is_busy]
        order = np.argsort(ratios, kind="stable")
        share = np.cumsum(self.mean[is_busy][order])
        return float(ratios[order][np.searchsorted(share, _SHARE_OF_REQUESTS * share[-1])])


def by_hour(profile: DemandProfile) -> HourlyDemand:
    """The last half-year of a profile by hours of the clock; minutes cut off by its edges are left out."""
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
    known_minutes = is_known.sum(axis=1)
    mean = np.where(known_minutes >= LEAST_MINUTES, np.nansum(grid, axis=1) / np.maximum(known_minutes, 1), np.nan)
    busiest = np.where(is_known, grid, -np.inf).max(axis=1)
    first_hour = round(profile.start_seconds) // SECONDS_PER_HOUR + skipped
    ratios = grid / np.where(np.nan_to_num(mean) > 0, mean, np.nan)[:, None]
    return HourlyDemand(
        first_hour, mean, np.where(np.isnan(mean), np.nan, busiest), grid[is_known], ratios[~np.isnan(ratios)]
    )
