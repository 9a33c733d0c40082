"""Steps of backends through the week, and which others have to serve before one of them gives instances up."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from advisor.codegen.container import Backend
from advisor.codegen.model import ComputeGroup, ScheduledSize, Stack, size_at, sizes_together
from advisor.records import dataclass, replace
from advisor.units import MINUTES_PER_DAY, MINUTES_PER_WEEK, SECONDS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Step:
    """Instances of a backend from a minute of the week on."""

    minute: int
    """Monday 00:00 UTC is 0."""
    sizes: Mapping[str, int]
    """Instances of each of its groups, by their keys."""
    needs: int
    """Instances that the planned rate takes while the step holds: the others are spare."""
    successors: tuple[str, ...]
    """Keys of backends that took over what this step gives up: those of the region that have grown since the backend
    itself last did. Empty: it grows, or its requests only become fewer."""

    @property
    def instances(self) -> int:
        """Instances of all its groups together."""
        return sum(self.sizes.values())


def steps_of(stack: Stack, backend: Backend) -> Sequence[Step]:
    """Steps of a backend in their order, one for each change of any of its groups; one in all if nothing changes."""
    members = stack.members_of(backend)
    minutes = sorted({minute for group in members for minute, _ in group.sizes_by_minute})
    near = [other for other in stack.backends if other.region == backend.region and other != backend]
    others = {other.key: stack.members_of(other) for other in near}
    ends = [*minutes[1:], minutes[0]]
    return [
        Step(
            minute,
            {group.key: size_at(group.sizes_by_minute, minute) for group in members},
            _needs(members, minute, end),
            _successors(members, others, minute),
        )
        for minute, end in zip(minutes, ends, strict=True)
    ]


def _needs(members: Sequence[ComputeGroup], start: int, end: int) -> int:
    """Most instances that the planned rate takes from a minute of the week on and before another."""
    loads = [group.loads_by_minute for group in members]
    moments = {start, *(minute for load in loads for minute, _ in load if _is_between(start, minute, end))}
    sizes = [group.sizes_by_minute for group in members]
    return max(
        sum(min(size_at(load, moment), size_at(size, moment)) for load, size in zip(loads, sizes, strict=True))
        for moment in moments
    )


def _successors(
    members: Sequence[ComputeGroup], others: Mapping[str, Sequence[ComputeGroup]], minute: int
) -> tuple[str, ...]:
    """Keys of the others that have more instances at a minute than at some time since the members last grew."""
    own = sizes_together(members)
    shrinks = [at for at, (start, size) in enumerate(own) if start == minute and size < own[at - 1][1]]
    if not shrinks:
        return ()
    before = [own[shrinks[0] - back] for back in range(1, len(own) + 1)]
    grown = next(start for (start, size), (_, earlier) in pairwise(before) if size > earlier)
    return tuple(key for key, groups in others.items() if _has_grown(sizes_together(groups), grown, minute))


def _has_grown(sizes: Sequence[tuple[int, int]], since: int, until: int) -> bool:
    """Whether there are more instances at one minute of the week than at some time since an earlier one."""
    moments = [start for start, _ in sizes if _is_between(since, start, until)]
    return min(size_at(sizes, moment) for moment in (since, *moments)) < size_at(sizes, until)


def _is_between(start: int, minute: int, end: int) -> bool:
    """Whether a minute of the week lies from the first on and before the last, which may be in the week after."""
    return start <= minute < end if start < end else minute >= start or minute < end


def hands_over(stack: Stack, backend: Backend, step: Step) -> bool:
    """Whether a step waits for others: what takes over, or where the backend rests beside them, its requests' end."""
    return bool(step.successors) or (step.instances == 0 and backend.key in stack.resting_backends)


def has_hand_overs(stack: Stack) -> bool:
    """Whether any step of a backend waits for others."""
    return any(hands_over(stack, backend, step) for backend in stack.backends for step in steps_of(stack, backend))


def waits_of(stack: Stack, group: ComputeGroup) -> Mapping[tuple[int, int], tuple[int, Step]]:
    """Minutes of the week at which a group gives instances up to others, each with its size from then on.

    Minute and new size → former size, and the step of the group's backend.
    """
    backend = stack.backend_of(group)
    steps = steps_of(stack, backend)
    return {
        (step.minute, step.sizes[group.key]): (before.sizes[group.key], step)
        for before, step in zip([steps[-1], *steps[:-1]], steps, strict=True)
        if hands_over(stack, backend, step) and step.sizes[group.key] < before.sizes[group.key]
    }


def lingering(stack: Stack, group: ComputeGroup) -> Sequence[ScheduledSize]:
    """Schedule of a group that keeps its instances for one more start of its successors, ordered one start ahead.

    A rest that would then be shorter than the group's own start is left out.
    """
    waits = waits_of(stack, group)
    starts = [minute for minute, _ in group.sizes_by_minute]
    entries = []
    for size in group.schedule:
        for day, minute in zip(size.weekdays, size.minutes_of_week, strict=True):
            late = _late_minutes(stack, waits, (minute, size.instances))
            rest = min((start - minute) % MINUTES_PER_WEEK or MINUTES_PER_WEEK for start in starts)
            if not late:
                entries.append(replace(size, weekdays=(day,)))
            elif rest - late >= group.start_seconds / SECONDS_PER_MINUTE:
                entries.append(_entry((minute + late) % MINUTES_PER_WEEK, size.instances))
    return _of_equal_days(entries)


def _late_minutes(stack: Stack, waits: Mapping[tuple[int, int], tuple[int, Step]], wait: tuple[int, int]) -> int:
    """Minutes that the slowest of the successors takes to start; 0 where nobody is waited for."""
    if wait not in waits:
        return 0
    _, step = waits[wait]
    seconds = [group.start_seconds for group in stack.groups if group.backend in step.successors]
    return math.ceil(max(seconds, default=0) / SECONDS_PER_MINUTE)


def _entry(minute_of_week: int, instances: int) -> ScheduledSize:
    day, minute = divmod(minute_of_week, MINUTES_PER_DAY)
    return ScheduledSize(*divmod(minute, 60), (day + 1,), instances)


def _of_equal_days(entries: Sequence[ScheduledSize]) -> Sequence[ScheduledSize]:
    """Entries of one time and size as one, in the order of their times."""
    days: dict[tuple[int, int, int], list[int]] = {}
    for entry in entries:
        days.setdefault((entry.hour, entry.minute, entry.instances), []).extend(entry.weekdays)
    return [ScheduledSize(hour, minute, tuple(sorted(of)), size) for (hour, minute, size), of in sorted(days.items())]


def serving_minutes(group: ComputeGroup) -> Sequence[tuple[int, int]]:
    """Minutes of the week between which the plan has an instance of a group that has had its time to start.

    Pairs of the first minute and the one after the last, in their order; empty if the group has no schedule.
    """
    if not group.schedule:
        return []
    start = math.ceil(group.start_seconds / SECONDS_PER_MINUTE)
    sizes = group.sizes_by_minute
    whole = [*sizes, (sizes[0][0] + MINUTES_PER_WEEK, sizes[0][1])]
    merged: list[tuple[int, int]] = []
    for (begin, size), (end, _) in pairwise(whole):
        if size and merged and merged[-1][1] == begin:
            merged[-1] = (merged[-1][0], end)
        elif size:
            merged.append((begin, end))
    late = [(begin + start, end) for begin, end in merged if begin + start < end]
    cut = [(begin, min(end, MINUTES_PER_WEEK)) for begin, end in late if begin < MINUTES_PER_WEEK]
    over = [(max(begin, MINUTES_PER_WEEK), end) for begin, end in late if end > MINUTES_PER_WEEK]
    return sorted([*cut, *((begin - MINUTES_PER_WEEK, end - MINUTES_PER_WEEK) for begin, end in over)])
