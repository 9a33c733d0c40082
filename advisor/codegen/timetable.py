"""Instances by hour of the week → the few entries of a scheduler."""

from collections.abc import Sequence

from advisor.codegen.model import ScheduledSize

HOURS_PER_WEEK = 168
_MINUTES_PER_HOUR = 60
_HOURS_PER_DAY = 24
_MINUTES_PER_WEEK = HOURS_PER_WEEK * _MINUTES_PER_HOUR


def scheduled_sizes(instances: Sequence[int], minutes_ahead: int) -> tuple[ScheduledSize, ...]:
    """The entries after which at least *instances* serve in each hour, none for dips shorter than a start.

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
    changes = _turns([(minute, _ordered(instances, minute, minutes_ahead)) for minute in moments])
    while (dip := _shortest_dip(changes)) is not None and _minutes(changes, dip) < minutes_ahead:
        neighbours = changes[dip - 1], changes[(dip + 1) % len(changes)]
        changes[dip] = (changes[dip][0], min(size for _, size in neighbours))
        changes = _turns(changes)
    return changes


def _turns(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Minutes and sizes that differ from the one before; the first follows the last, a week earlier."""
    return [after for before, after in zip([sizes[-1], *sizes[:-1]], sizes, strict=True) if before[1] != after[1]]


def _shortest_dip(changes: Sequence[tuple[int, int]]) -> int | None:
    """Index of the size that is smaller than both beside it for the fewest minutes; None without any change.

    A machine that stops for less time than its start takes spends all of it on leaving and coming back.
    """
    dips = [
        index
        for index, (_, size) in enumerate(changes)
        if size < changes[index - 1][1] and size < changes[(index + 1) % len(changes)][1]
    ]
    return min(dips, key=lambda index: _minutes(changes, index), default=None)


def _minutes(changes: Sequence[tuple[int, int]], index: int) -> int:
    """Minutes that the size at *index* lasts."""
    return (changes[(index + 1) % len(changes)][0] - changes[index][0]) % _MINUTES_PER_WEEK


def _ordered(instances: Sequence[int], minute: int, minutes_ahead: int) -> int:
    """The most that serve at any time from *minute* until what is ordered then would serve."""
    first, last = minute // _MINUTES_PER_HOUR, (minute + minutes_ahead) // _MINUTES_PER_HOUR
    return max(instances[hour % HOURS_PER_WEEK] for hour in range(first, last + 1))
