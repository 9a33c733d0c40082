"""Lone minutes far above all others: forecast, planner and replay count them at one level.

A slip of a counter would otherwise be what a fleet is planned for. A burst that comes again, in three hours or at one
hour of the week in two weeks, is never cut.
"""

import math

import numpy as np
import numpy.typing as npt

from advisor.demand.spread import iso_minute
from advisor.demand.values import CappedMinutes, DemandProfile, Floats
from advisor.records import replace
from advisor.units import HOURS_PER_WEEK, MINUTES_PER_HOUR, ROUNDING, SECONDS_PER_MINUTE, counted, rounded

ABSURD = 10.0
"""A minute above so many times the reference is counted at that: 99.9 % of the minutes stay within the reference, and
so does the busiest minute of the third-busiest hour."""
_BUSIEST_OF_1000 = 0.999
_HOURS_AGAIN = 3
"""A burst in so many hours comes again."""
_MANY = 1e5
"""Requests per second from which on three digits say enough."""


def most_per_minute(requests_per_minute: Floats, first_minute: int) -> float:
    """Requests above which a minute is counted at that number; infinite where less than an hour is known.

    The minutes, (minutes,), are consecutive, NaN where unknown; the first is so many since 1970, UTC. The first and the
    last one, cut off by the edges of the history, say nothing of it.
    """
    counts = _whole(requests_per_minute)
    observed = np.flatnonzero(~np.isnan(counts))
    if observed.size < MINUTES_PER_HOUR:
        return math.inf
    hours = (first_minute + observed) // MINUTES_PER_HOUR
    starts = np.flatnonzero(np.diff(hours, prepend=-1))
    of_hours = np.maximum.reduceat(counts[observed], starts)
    again = float(np.sort(of_hours)[-_HOURS_AGAIN]) if of_hours.size >= _HOURS_AGAIN else 0.0
    usual = float(np.quantile(counts[observed], _BUSIEST_OF_1000, method="lower"))
    return ABSURD * max(usual, again, _weekly(of_hours, hours[starts])) or math.inf


def _weekly(busiest: Floats, hours: npt.NDArray[np.int64]) -> float:
    """The most that one hour of the week had in two weeks; 0 where no hour of the week is known twice."""
    hours_of_week = hours % HOURS_PER_WEEK
    order = np.lexsort((busiest, hours_of_week))
    is_same = np.diff(hours_of_week[order]) == 0
    return float(busiest[order][:-1][is_same].max(initial=0.0))


def with_capped(profile: DemandProfile) -> tuple[DemandProfile, CappedMinutes | None]:
    """The profile as it is planned for, and which of its minutes are counted at less than was seen; None: none."""
    counts, first_minute = profile.requests_per_minute, round(profile.start_seconds / SECONDS_PER_MINUTE)
    most = most_per_minute(counts, first_minute)
    above = np.flatnonzero(np.nan_to_num(counts) > most * (1 + ROUNDING))
    if not above.size:
        return profile, None
    busiest = int(above[np.argmax(counts[above])])
    capped = CappedMinutes(
        count=int(above.size),
        of_minutes=int(np.count_nonzero(~np.isnan(_whole(counts)))),
        busiest_start_seconds=profile.start_seconds + busiest * SECONDS_PER_MINUTE,
        seen_requests_per_second=float(counts[busiest]) / SECONDS_PER_MINUTE,
        counted_requests_per_second=most / SECONDS_PER_MINUTE,
    )
    return replace(profile, requests_per_minute=np.minimum(counts, most)), capped


def _whole(requests_per_minute: Floats) -> Floats:
    """Minutes with those unknown that the edges cut off, (minutes,)."""
    if requests_per_minute.size <= 2:
        return requests_per_minute
    return np.concatenate(([np.nan], requests_per_minute[1:-1], [np.nan]))


def capped_note(capped: CappedMinutes) -> str:
    """Which minutes are counted at what, and why."""
    seen, to = _rate(capped.seen_requests_per_second), _rate(capped.counted_requests_per_second)
    return (
        f"{capped.count:,} of {counted(capped.of_minutes, 'minute')} have up to {seen} requests/s "
        f"({iso_minute(capped.busiest_start_seconds)}), more than {ABSURD:g} × what 99.9% of the minutes and all but "
        f"two of the hours stay within: counted at {to}, in the replay too"
    )


def capped_remedy(capped: CappedMinutes) -> str:
    """How to plan for such minutes in full, or without them."""
    peak = _rate(capped.seen_requests_per_second).replace(",", "")
    return (
        f"to plan for it in full, state demand.declared with peak_requests_per_second: {peak}; if those are no "
        "requests, remove them from the source"
    )


def capped_words(capped: CappedMinutes) -> str:
    """The busiest of such minutes with both numbers: ``the minute 2026-11-10T11:00Z counts 4.5 requests/s of 500``."""
    seen, to = (_rate(rate) for rate in (capped.seen_requests_per_second, capped.counted_requests_per_second))
    return f"the minute {iso_minute(capped.busiest_start_seconds)} with {seen} requests/s is counted at {to}"


def _rate(requests_per_second: float) -> str:
    return rounded(requests_per_second) if requests_per_second < _MANY else f"{requests_per_second:.3g}"
