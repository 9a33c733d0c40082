"""Sessions of replicas that are up, from instances by the hour of the week, with spot interruptions."""

from collections.abc import Iterator
from math import inf

import numpy as np

from advisor.demand.spread import hours_of_week
from advisor.plan.replay.values import Billing, ReplayGroup
from advisor.records import dataclass
from advisor.units import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Session:
    """One replica from the first moment that it takes requests to the last."""

    group: int
    run: tuple[int, int]
    """The instance and the first hour of its run: what is billed together."""
    start: float
    end: float
    """No new requests from here on; infinite where it outlasts the window."""
    interrupted: bool
    """What is not answered at the end is lost; a session that is scaled down answers all it has."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time that is replayed."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start


def sessions_of(index: int, group: ReplayGroup, window: Window, seed: int) -> list[Session]:
    """Every session of a group that begins within the window."""
    sessions = []
    for instance, start, end in _runs(group, window):
        run = (instance, int(start // SECONDS_PER_HOUR))
        lost_at = group.lost_at if instance == 0 else None
        for session_start, session_end in _pieces(group, start, min(end, window.end), (seed, index, *run), lost_at):
            cut = session_end < min(end, window.end)
            until = session_end if cut else end
            session = Session(index, run, session_start, until, interrupted=cut)
            sessions += [session] * group.replicas_per_instance
    return sessions


def _runs(group: ReplayGroup, window: Window) -> Iterator[tuple[int, float, float]]:
    """Instance, start and end of each stretch of hours that it is up; the last instance goes first."""
    first, last = (int(seconds // SECONDS_PER_HOUR) for seconds in (window.start, window.end))
    by_hour = np.asarray(group.instances_by_hour)
    counts = by_hour[hours_of_week(first, last - first + 1) % by_hour.size]
    if counts.min() == counts.max():
        yield from ((instance, window.start, inf) for instance in range(int(counts[0])))
        return
    for instance in range(int(counts.max())):
        up = np.concatenate([[False], counts > instance, [False]])
        edges = np.flatnonzero(up[1:] != up[:-1])
        for begin, stop in edges.reshape(-1, 2).tolist():
            start = window.start if begin == 0 else float((first + begin) * SECONDS_PER_HOUR)
            yield instance, start, inf if stop == counts.size else float((first + stop) * SECONDS_PER_HOUR)


def _pieces(
    group: ReplayGroup, start: float, end: float, seed: tuple[int, ...], lost_at: float | None
) -> Iterator[tuple[float, float]]:
    """A run cut at its interruptions, each followed by a start-up: one at a given time, others at the group's rate."""
    if lost_at is not None and start < lost_at < end:
        yield start, lost_at
        start = lost_at + group.lead_seconds
    rate = group.interruptions_per_instance_hour
    rng = np.random.default_rng(seed) if rate > 0 else None
    while rng is not None and start < end:
        cut = start + float(rng.exponential(SECONDS_PER_HOUR / rate))
        if cut >= end:
            break
        yield start, cut
        start = cut + group.lead_seconds
    if start <= end:
        yield start, end


def billed_hours(
    group: ReplayGroup, sessions: list[Session], busy_until: dict[tuple[int, int], float], window: Window
) -> float:  # fmt: skip
    """Instance hours paid for: every hour of the window, or each run with its start-up and draining.

    Args:
        group: what is billed.
        sessions: its sessions.
        busy_until: when the last answer of each run ended.
        window: nothing before or after it counts.
    """
    if group.billing is Billing.ALWAYS:
        return max(group.instances_by_hour) * window.seconds / SECONDS_PER_HOUR
    starts: dict[tuple[int, int], float] = {}
    ends: dict[tuple[int, int], float] = {}
    for session in sessions:
        starts[session.run] = min(starts.get(session.run, inf), session.start)
        ends[session.run] = max(ends.get(session.run, -inf), session.end)
    seconds = 0.0
    for run, start in starts.items():
        end = min(max(ends[run], busy_until.get(run, -inf)), window.end)
        seconds += max(end - max(start - group.lead_seconds, window.start), 0.0)
    return seconds / SECONDS_PER_HOUR
