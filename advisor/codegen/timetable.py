"""Instances by hour of the week → the few entries of a scheduler."""

from collections.abc import Sequence
from itertools import pairwise

from advisor.codegen.model import ScheduledSize

HOURS_PER_WEEK = 168
_MINUTES_PER_HOUR = 60
_HOURS_PER_DAY = 24
_MINUTES_PER_WEEK = HOURS_PER_WEEK * _MINUTES_PER_HOUR


def scheduled_sizes(instances: Sequence[int], minutes_ahead: int) -> tuple[ScheduledSize, ...]:
    """The entries after which at least *instances* serve in each hour.

    Args:
        instances: of each hour of the week, from Monday 00:00 UTC (168).
        minutes_ahead: how long before its hour an instance has to be ordered.

    Returns:
        Entries by time of day; none where the number never changes.
    """
    days: dict[tuple[int, int], list[int]] = {}
    for minute, size in _changes(instances, minutes_ahead):
        day, minute_of_day = divmod(minute, _HOURS_PER_DAY * _MINUTES_PER_HOUR)
        days.setdefault((minute_of_day, size), []).append(day + 1)
    return tuple(
        ScheduledSize(*divmod(minute_of_day, _MINUTES_PER_HOUR), tuple(sorted(weekdays)), size)
        for (minute_of_day, size), weekdays in sorted(days.items())
    )


def _changes(instances: Sequence[int], minutes_ahead: int) -> list[tuple[int, int]]:
    """Minute of the week and the number from then on, where it differs from the one before."""
    hours = [hour * _MINUTES_PER_HOUR for hour in range(HOURS_PER_WEEK)]
    moments = sorted({*hours, *((minute - minutes_ahead) % _MINUTES_PER_WEEK for minute in hours)})
    sizes = [_ordered(instances, minute, minutes_ahead) for minute in moments]
    turns = pairwise([(moments[-1], sizes[-1]), *zip(moments, sizes, strict=True)])
    return [after for before, after in turns if before[1] != after[1]]


def _ordered(instances: Sequence[int], minute: int, minutes_ahead: int) -> int:
    """The most that serve at any time from *minute* until what is ordered then would serve."""
    first, last = minute // _MINUTES_PER_HOUR, (minute + minutes_ahead) // _MINUTES_PER_HOUR
    return max(instances[hour % HOURS_PER_WEEK] for hour in range(first, last + 1))
