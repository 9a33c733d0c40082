"""Demand that follows local clocks: hours of UTC that move when summer time begins and ends."""

import datetime as dt
import math
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from advisor.demand.forecast_methods import HourlyDemand
from advisor.demand.values import Floats, Forecast
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_DAY, SECONDS_PER_HOUR

_A_YEAR_AHEAD_DAYS = 366


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

    def aligned(self, history: HourlyDemand) -> HourlyDemand:
        """The history as if these clocks had always had the offset of its end.

        The hour that comes twice in autumn counts once, its second time; the one that spring leaves out is unknown.
        """
        numbers = np.arange(len(history.mean))
        offsets = self.offsets_hours(history.first_hour + numbers)
        places = numbers + np.rint(offsets - offsets[-1]).astype(int)
        first = int(places.min())
        mean, busiest = np.full((2, int(places.max()) - first + 1), np.nan)
        mean[places - first], busiest[places - first] = history.mean, history.busiest_minute
        return replace(history, first_hour=history.first_hour + first, mean=mean, busiest_minute=busiest)

    def ahead(self, week: Forecast, last_hour: int, horizon_days: float) -> Forecast:
        """A week of the history's clocks as one that holds under all offsets of the horizon.

        Each hour is planned for the busiest of the hours that it is on a local clock; its mean is that of the first.

        Args:
            week: hours of UTC under the offset of the history's end.
            last_hour: end of the history, in hours since 1970.
            horizon_days: how far the week has to hold.
        """
        first_hour = max(last_hour, self._planning_hour())
        hours = first_hour + np.arange(horizon_days * HOURS_PER_DAY, step=HOURS_PER_DAY)
        offsets = self.offsets_hours(hours) - self.offsets_hours([last_hour - 1])
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

    def _planning_hour(self) -> int:
        if self.planning_day is None:
            return 0
        return (self.planning_day - dt.date(1970, 1, 1)).days * HOURS_PER_DAY

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
