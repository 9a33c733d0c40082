"""Demand that follows local clocks: hours of UTC that move when summer time begins and ends."""

import datetime as dt
import math
from collections.abc import Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from advisor.demand.spread import is_dated
from advisor.demand.values import DemandProfile, Floats, Forecast
from advisor.errors import InputError
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_DAY, MINUTES_PER_HOUR, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

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
