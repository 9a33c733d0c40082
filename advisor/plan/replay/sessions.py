"""Sessions of replicas that are up, with spot interruptions, and the routing of requests to them in turn by weight."""

from collections.abc import Iterator, Sequence
from math import inf

import numpy as np
import numpy.typing as npt

from advisor.demand.spread import hours_of_week
from advisor.demand.values import Requests
from advisor.plan.replay.values import Billing, ReplayGroup, Route
from advisor.records import dataclass
from advisor.units import SECONDS_PER_HOUR, SECONDS_PER_MINUTE, whole_minutes

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
NOWHERE = -1
LEAST_SHARE = 1e-12
"""Of a replica that a route leaves out: nothing is sent there."""


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
    opened: float = inf
    """Replicas of its first hour are up from here on where that is before its start, and fill up until then."""

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start

    @property
    def first(self) -> float:
        """First moment at which replicas are up."""
        return min(self.start, self.opened)


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
        yield from ((instance, window.first, inf) for instance in range(int(counts[0])))
        return
    for instance in range(int(counts.max())):
        up = np.concatenate([[False], counts > instance, [False]])
        edges = np.flatnonzero(up[1:] != up[:-1])
        for begin, stop in edges.reshape(-1, 2).tolist():
            start = window.first if begin == 0 else float((first + begin) * SECONDS_PER_HOUR)
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
    """Instance hours paid for: every hour of the window, or each run with its start-up and its stop, as in the plan.

    A start-up counts in whole minutes, by which the plan and the generated schedule order instances ahead. A stop takes
    longer than planned where answers do.

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
    lead_s, seconds = whole_minutes(group.lead_seconds) * SECONDS_PER_MINUTE, 0.0
    for run, start in starts.items():
        end = min(max(ends[run] + group.stop_seconds, busy_until.get(run, -inf)), window.end)
        seconds += max(end - max(start - lead_s, window.start), 0.0)
    return seconds / SECONDS_PER_HOUR


def interleave(weights: Floats, count: int) -> Indices:
    """Places for *count* requests in turn: the k-th of a place comes at (k + ½) ÷ weight (stride scheduling)."""
    if (weights == weights[0]).all():
        return np.arange(count, dtype=np.intp) % weights.size
    quota = np.ceil(count * weights / weights.sum()).astype(np.intp) + 1
    place = np.repeat(np.arange(weights.size), quota)
    turn = np.arange(place.size) - np.repeat(np.cumsum(quota) - quota, quota)
    order = np.argsort((turn + 0.5) / weights[place], kind="stable")
    return np.asarray(place[order[:count]], dtype=np.intp)


class Router:
    """Sends requests to sessions; what it knows of a request is its length."""

    def __init__(self, groups: Sequence[ReplayGroup], sessions: Sequence[Session], routes: Sequence[Route]) -> None:
        """Know the groups, their sessions, and the routes (none: all groups by their weights)."""
        self._group = np.array([session.group for session in sessions], dtype=np.intp)
        self._start = np.array([session.start for session in sessions])
        self._end = np.array([session.end for session in sessions])
        self._weight = np.array([group.weight for group in groups])
        self._held = np.array([min(group.steps.context_tokens, group.steps.kv_tokens) for group in groups])
        self._limits = np.array(sorted(set(self._held.tolist())))
        targets = {group.target or group.name: None for group in groups}
        self._target = np.array([list(targets).index(group.target or group.name) for group in groups], dtype=np.intp)
        ordered = sorted(routes, key=lambda route: (route.place, route.max_input_tokens))
        self._lengths = sorted({route.max_input_tokens for route in ordered})
        self._shares = np.zeros((len(ordered), len(targets)))
        for at, route in enumerate(ordered):
            np.add.at(self._shares[at], self._target, [route.shares.get(group.name, 0.0) for group in groups])
        first: dict[tuple[int, bytes], int] = {}
        alike = [first.setdefault((route.place, self._shares[at].tobytes()), at) for at, route in enumerate(ordered)]
        self._alike = np.array(alike or [0], dtype=np.intp)

    def kinds(self, requests: Requests) -> Indices:
        """The kind of each request: its route, and how many groups can hold it; NOWHERE if none can.

        Prompts of all lengths that are sent alike are of one route: they take turns with each other.
        """
        total = np.maximum(requests.input_tokens, 1) + np.maximum(requests.output_tokens, 1)
        tier = _number_below(self._limits.tolist(), total)
        route = _number_below(self._lengths[:-1], requests.input_tokens)
        if requests.places is not None:
            route += requests.places * len(self._lengths)
        return np.where(tier < self._limits.size, self._alike[route] * self._limits.size + tier, NOWHERE)

    def boundaries(self) -> Floats:
        """Times at which replicas come or go, in order."""
        return np.array(sorted({seconds for seconds in (*self._start.tolist(), *self._end.tolist()) if seconds < inf}))

    def next_start(self, kind: int, now: float) -> float:
        """Start of the first replica after *now* that can hold such requests; infinite if none does."""
        able = self._held[self._group] >= self._limits[kind % self._limits.size]
        later = self._start[able & (self._start > now)]
        return float(later.min()) if later.size else inf

    def place(self, kind: int, now: float, count: int) -> Indices:
        """Sessions for so many requests of one kind in turn; NOWHERE while none is up that can hold them."""
        able = self._held[self._group] >= self._limits[kind % self._limits.size]
        up = np.flatnonzero(able & (self._start <= now) & (self._end > now))
        if not up.size:
            return np.full(count, NOWHERE)
        return np.asarray(up[interleave(self._weights(kind // self._limits.size, up), count)], dtype=np.intp)

    def _weights(self, route: int, up: Indices) -> Floats:
        """Weight of each replica that is up: its part of its target's share, else its group's weight."""
        groups = self._group[up]
        weights: Floats = self._weight[groups]
        if self._shares.size:
            targets = self._target[groups]
            shares = self._shares[route] / np.maximum(np.bincount(targets, minlength=self._shares.shape[1]), 1)
            if shares[targets].any():
                weights = np.maximum(shares[targets], LEAST_SHARE)
        return weights


def _number_below(limits: Sequence[float], numbers: npt.NDArray[np.int32]) -> Indices:
    """Number of limits that are below each of some numbers: of few limits counted sooner than searched."""
    below = np.zeros(numbers.size, dtype=np.intp)
    for limit in limits:
        below += numbers > limit
    return below
