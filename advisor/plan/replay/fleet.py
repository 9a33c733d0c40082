"""A fleet under a trace: route, serve replica by replica, and say what was kept and what it cost.

Replicas do not know of each other, so one is simulated after the other and memory stays bounded. Those that end first
go first: what a spot interruption cuts short is routed anew, always to replicas that end later. Nothing is random but
the interruptions, and those follow from the seed.

Where calls are split, every item is routed by itself; those of a call that meet at a replica are served as one request.
A part of the replicas then shows nothing of a call, so that all of them are simulated.

A time per token says nothing of the queue before it: an engine that is full keeps its pace, however many wait. A queue
that settles is rarely longer than what runs; one that grows soon is. A request counts as served in time while no more
wait before it than run at a time, or than a few: by Little's law it waits no longer than these take to be served.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.values import Requests
from advisor.performance.one_pass.serving import BatchTimes
from advisor.performance.steps import StepTimes
from advisor.plan.replay.engine import (
    LEAST_TOGETHER,
    ServeInParts,
    Times,
    batch_ends_of_each,
    serve_idle,
    serve_in_parts,
)
from advisor.plan.replay.result import EarlyEnd, Estimate, Served, result_of, within_targets
from advisor.plan.replay.sessions import NOWHERE, Router, Session, Window, sessions_of
from advisor.plan.replay.values import Cutoff, Outcome, ReplayGroup, ReplayResult, Route
from advisor.records import dataclass
from advisor.units import MS_PER_SECOND
from advisor.workload.values import Slo

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
LEAST_QUEUE = 16
"""Requests that may wait in any case: before a replica that serves few at a time a short queue is not a backlog."""
Indices = npt.NDArray[np.intp]
CountProgress = Callable[[int], None]
IsEnough = Callable[[Indices], bool]
"""Whether what became of some requests is all that has to be known."""
PARTS = (8, 3)
"""Shares of a replica's requests, as divisors, after which it is asked whether too many are late."""
LEAST_IN_PARTS = 1_000
"""Fewer are simulated before the question is answered."""
MOST_TOGETHER = 256
"""Replicas that are simulated side by side before it is asked whether too many are late."""
MIN_WINDOW_SECONDS = 1.0


def any_split(replicas: Iterable[Times]) -> bool:
    """Whether any replicas are sent the items of calls by themselves; clients then send them so to all."""
    return any(isinstance(times, BatchTimes) and times.replica.is_split for times in replicas)


@dataclass(frozen=True, slots=True, eq=False)
class SplitCalls:
    """HTTP requests of one item each, those of a call side by side."""

    requests: Requests
    call: Indices
    """Position of the call of each."""

    @classmethod
    def of(cls, calls: Requests) -> "SplitCalls":
        """The items of calls, each an HTTP request that arrives with its call."""
        call = np.repeat(np.arange(calls.seconds.size), np.maximum(calls.output_tokens, 1))
        places = None if calls.places is None else calls.places[call]
        requests = Requests(calls.seconds[call], calls.input_tokens[call], np.ones(call.size, dtype=np.int32), places)
        return cls(requests, call)

    def outcome_of(self, items: Outcome) -> Outcome:
        """Outcome of each call by that of its items: its slowest one's time, and refused where one of them is."""
        first = np.flatnonzero(np.diff(self.call, prepend=-1))
        last = np.append(first[1:], self.call.size) - 1
        is_refused = np.minimum.reduceat(items.group, first) < 0
        backlog = items.backlog_ratio
        return Outcome(
            ttft_s=np.maximum.reduceat(items.ttft_s, first),
            decode_s=np.maximum.reduceat(items.decode_s, first),
            group=np.where(is_refused, -1, items.group[last]).astype(np.int32),
            cut=np.logical_or.reduceat(items.cut, first),
            backlog_ratio=None if backlog is None else np.maximum.reduceat(backlog, first),
        )


def backlog_ratios(times: Times, ttft_s: Floats, prompts: Integers, answers: Integers) -> Floats:
    """Wait of each request of a replica beyond its own prompt ÷ the longest that a queue which settles makes it wait.

    That is ``S · max(n, 16) / n`` with n, the requests that a full replica runs, and S, what a mean one takes there.

    Args:
        times: of the replica.
        ttft_s: to the first token of each request, or to its whole answer; NaN for those without.
        prompts: tokens of all its requests, at least 1; or the sizes of their items.
        answers: tokens, at least 1; or items.

    Returns:
        Above 1 for requests of a replica that does not keep up.
    """
    (alone,) = serve_idle(times, np.zeros(ttft_s.size), prompts, answers, ())
    alone_s = times.ttft_factor * (alone.first_s + alone.lag_s)
    running, seconds = _full(times, float(alone_s.mean()), float(prompts.mean()), float(answers.mean()))
    ratios: Floats = (ttft_s - alone_s) / (seconds * max(running, LEAST_QUEUE) / running)
    return ratios


def full_replica(times: Times, prompt: float, answer: float) -> tuple[float, float]:
    """Requests that a full replica runs, and seconds that one of such a size is with it from when it is taken in.

    Little's law: it sustains no more than the one ÷ the other, in requests per second.

    Args:
        times: of the replica.
        prompt: tokens, at least 1; or the size of an item.
        answer: tokens, at least 1; or items.
    """
    return _full(times, 0.0, prompt, answer)


def _full(times: Times, alone_s: float, prompt: float, answer: float) -> tuple[float, float]:
    """Requests that a full replica runs, and seconds that a mean one of them takes."""
    if isinstance(times, BatchTimes):
        return _full_batch(times, prompt, answer)
    return _full_engine(times, alone_s, prompt, answer)


def _full_batch(times: BatchTimes, size: float, items: float) -> tuple[float, float]:
    replica = times.replica
    fitting = max(min(float(replica.largest_items), replica.largest_tokens / max(size, 1.0)), 1.0)
    seconds = replica.fixed_s + fitting * float(times.item_seconds(np.array([size]), items)[0])
    return max(fitting / items, 1.0), seconds * max(items / fitting, 1.0)


def _full_engine(times: StepTimes, alone_s: float, prompt: float, answer: float) -> tuple[float, float]:
    """The same of continuous batching, whose steps take a running request's share of the prompts in as well."""
    resident = prompt + answer / 2
    running = int(np.clip(times.kv_tokens / resident, 1, times.max_sequences))
    step_s = times.base_s[running] + times.per_token_s[running] * resident * running
    prefill_s = float(times.prompts_s[min(round(prompt), times.context_tokens)]) * (1 - times.prefix_cache_hit_ratio)
    return running, alone_s + answer * step_s + running * prefill_s


def replay(
    groups: Sequence[ReplayGroup],
    requests: Requests,
    slo: Slo,
    *,
    routes: Sequence[Route] = (),
    seed: int = 0,
    progress: CountProgress | None = None,
) -> ReplayResult:
    """Result of replaying the requests on the groups.

    Args:
        groups: the fleet.
        requests: at least one, in the order of arrival; with weights of 0 before it, those with which replicas fill up.
        slo: each target that is given has to be kept by a request, by itself.
        routes: groups by place and prompt length; every request to every group, by their weights, without.
        seed: of the spot interruptions.
        progress: called with the number of requests served so far.
    """
    seconds = requests.seconds
    start = float(seconds[0] if requests.weights is None else seconds[np.argmax(requests.weights > 0)])
    window = Window(start, max(float(seconds[-1]), start + MIN_WINDOW_SECONDS), float(seconds[0]))
    fleet = _routed(groups, requests, routes, window, seed)
    return result_of(groups, requests, slo, fleet.report(window, fleet.serve(progress)))


def simulate(
    groups: Sequence[ReplayGroup],
    requests: Requests,
    *,
    routes: Sequence[Route] = (),
    seed: int = 0,
    progress: CountProgress | None = None,
    cutoff: Cutoff | None = None,
) -> Served:
    """Outcome of each request; see :func:`replay`.

    Args:
        groups: the fleet.
        requests: at least one, in the order of arrival.
        routes: groups by place and prompt length.
        seed: of the spot interruptions.
        progress: called with the number of requests served so far.
        cutoff: how much is simulated; all without.
    """
    start = float(requests.seconds[0])
    window = Window(start, max(float(requests.seconds[-1]), start + MIN_WINDOW_SECONDS))
    fleet = _routed(
        groups, requests, routes, window, seed, tells_backlogs=cutoff is None or not cutoff.slo.limits_waits
    )
    return fleet.report(window, fleet.serve(progress, cutoff))


def _routed(
    groups: Sequence[ReplayGroup],
    requests: Requests,
    routes: Sequence[Route],
    window: Window,
    seed: int,
    *,
    tells_backlogs: bool = True,
) -> "_Fleet":
    """A fleet with the requests that each of its replicas gets."""
    sessions = [session for index, group in enumerate(groups) for session in sessions_of(index, group, window, seed)]
    sessions.sort(key=lambda session: session.end)
    split = SplitCalls.of(requests) if any_split(group.steps for group in groups) else None
    fleet = _Fleet(groups, sessions, requests, routes, split)
    if tells_backlogs:
        fleet.tell_backlogs()
    fleet.route()
    return fleet


class _Fleet:
    """Requests on their way: where each goes and when it gets there."""

    def __init__(
        self,
        groups: Sequence[ReplayGroup],
        sessions: list[Session],
        calls: Requests,
        routes: Sequence[Route],
        split: SplitCalls | None = None,
    ) -> None:
        requests = calls if split is None else split.requests
        self._groups, self._sessions, self._requests, self._split = groups, sessions, requests, split
        self._is_far = any(group.network_ms for group in groups)
        self._serve_in_parts: ServeInParts = serve_in_parts
        self._calls = calls.seconds.size
        self._router = Router(groups, sessions, routes)
        self._kinds = self._router.kinds(requests)
        self._arrival = requests.seconds.copy()
        self._answers = np.maximum(requests.output_tokens, 1)
        count = requests.seconds.size
        self._served_with = np.arange(count)
        """Request that each was served with: itself, or another item of its call."""
        self._ttft, self._decode = np.full(count, np.nan), np.full(count, np.nan)
        self._group = np.full(count, NOWHERE, dtype=np.int32)
        self._cut = np.zeros(count, dtype=np.bool_)
        self._backlog: Floats | None = None
        self._members: list[list[Indices]] = [[] for _ in sessions]
        self._preemptions = [0 for _ in groups]
        self._busy: dict[tuple[int, tuple[int, int]], float] = {}

    def tell_backlogs(self) -> None:
        """Start to note of each request whether its replica keeps up."""
        self._backlog = np.full(self._arrival.size, np.nan)

    def route(self) -> None:
        """Send every request to a session, epoch by epoch: between two boundaries the same replicas are up."""
        seconds = self._requests.seconds
        inner = self._router.boundaries()
        starts = np.concatenate([[-np.inf], inner])
        edges = [0, *np.searchsorted(seconds, inner).tolist(), seconds.size]
        for now, begin, end in zip(starts.tolist(), edges[:-1], edges[1:], strict=True):
            if begin < end:
                self._send(np.arange(begin, end), now)

    def _send(self, requests: Indices, now: float) -> None:
        """Route requests that arrive while the replicas that are up at *now* are up; the others wait for a replica."""
        kinds = self._kinds[requests]
        for kind in _present(kinds[kinds != NOWHERE]):
            chosen = requests[kinds == kind]
            places = self._router.place(kind, now, chosen.size)
            if places[0] == NOWHERE:
                later = self._router.next_start(kind, now)
                if np.isfinite(later):
                    self._arrival[chosen] = later
                    self._assign(chosen, self._router.place(kind, later, chosen.size))
            else:
                self._assign(chosen, places)

    def _assign(self, requests: Indices, places: Indices) -> None:
        order = np.argsort(places.astype(np.min_scalar_type(len(self._sessions))), kind="stable")
        counts, ordered, begin = np.bincount(places).tolist(), requests[order], 0
        for session, count in enumerate(counts):
            if count:
                self._members[session].append(ordered[begin : begin + count])
                begin += count

    def serve(self, progress: CountProgress | None, cutoff: Cutoff | None = None) -> Estimate | None:
        """Simulate the sessions, those that end first before the others.

        Returns:
            What a part of them shows; None where all were simulated.
        """
        if cutoff is not None:
            self._serve_in_parts = cutoff.serve
        if cutoff is not None and self._split is None:
            return self._serve_until_too_late(cutoff)
        served = 0
        for index in range(len(self._sessions)):
            served += self._serve_members(index).size
            if progress:
                progress(min(served, self._calls))
        return None

    def _serve_until_too_late(self, cutoff: Cutoff) -> Estimate | None:
        requests = self._requests
        end = EarlyEnd(cutoff, self._sessions, self._members, requests.seconds.size, requests.weights)

        def is_too_late(members: Indices) -> bool:
            return end.is_too_late(self._late(members, cutoff.slo))

        at = 0
        while at < len(end.positions):
            if not self._members[end.positions[at]]:
                at += 1
                continue
            alike = self._alike(end.positions[at : at + min(max(at, LEAST_TOGETHER), MOST_TOGETHER)])
            if len(alike) >= LEAST_TOGETHER:
                is_over = self._serve_together(alike, end, cutoff.slo)
            else:
                alike = end.positions[at : at + 1]
                members = self._serve_members(alike[0], None if cutoff.is_share_asked else is_too_late)
                is_over = end.ends_with(alike[0], members, self._late(members, cutoff.slo))
            if is_over:
                return end.estimate()
            at += len(alike)
        return None if end.is_whole else end.estimate()

    def _alike(self, positions: Sequence[int]) -> Sequence[int]:
        """The first of some sessions that are of one group, each with few requests to its end."""
        if self._backlog is not None:
            return ()
        group = self._sessions[positions[0]].group
        for number, index in enumerate(positions):
            session, size = self._sessions[index], sum(map(len, self._members[index]))
            if session.group != group or session.interrupted or not 0 < size < LEAST_IN_PARTS:
                return positions[:number]
        return positions

    def _serve_together(self, positions: Sequence[int], end: EarlyEnd, slo: Slo) -> bool:
        """Simulate such sessions up to the one with which too many are late; whether there is one."""
        of_each = [self._taken(index) for index in positions]
        members, group = np.concatenate(of_each), self._sessions[positions[0]].group
        preemptions = self._answer(group, members, np.cumsum([0, *map(len, of_each[:-1])]))
        is_late = np.zeros(self._arrival.size, dtype=np.bool_)
        is_late[self._late(members, slo)] = True
        is_over, number = False, 0
        while not is_over and number < len(of_each):
            own = of_each[number]
            is_over = end.ends_with(positions[number], own, own[is_late[own]])
            self._preemptions[group] += preemptions[number]
            number += 1
        if number < len(of_each):
            unserved = np.concatenate(of_each[number:])
            self._ttft[unserved], self._decode[unserved], self._group[unserved] = np.nan, np.nan, NOWHERE
        return is_over

    def _answer(self, group: int, members: Indices, starts: Indices) -> list[int]:
        """Note the answers of replicas of a group, whose requests begin at the *starts*; preemptions of each."""
        times, edges = self._groups[group].steps, [*starts.tolist(), members.size]
        begin = np.repeat(self._arrival[members[starts]], np.diff(edges))
        arrival, answers = self._arrival[members] - begin, self._answers[members]
        prompts = np.maximum(self._requests.input_tokens[members], 1)
        if isinstance(times, BatchTimes):
            first = last = batch_ends_of_each(times, arrival, prompts, answers, starts)
            seen, preemptions = first, [0] * starts.size
        else:
            served = [
                timeline
                for part in map(slice, edges, edges[1:])
                for timeline in self._serve_in_parts(times, arrival[part], prompts[part], answers[part], ())
            ]
            first, last = (np.concatenate([getattr(of, name) for of in served]) for name in ("first_s", "last_s"))
            seen, preemptions = first + np.concatenate([of.lag_s for of in served]), [of.preemptions for of in served]
        self._ttft[members] = (
            times.ttft_factor * (seen - arrival) + self._arrival[members] - self._requests.seconds[members]
        )
        self._decode[members], self._group[members] = last - first, group
        return preemptions

    def _late(self, members: Indices, slo: Slo) -> Indices:
        """Requests among these that are answered and late, without those that an interruption cut off."""
        here = members[(self._group[members] != NOWHERE) & ~self._cut[members]]
        ttft = self._ttft[here] + self._network_s(here)
        backlog = None if self._backlog is None else self._backlog[here]
        outcome = Outcome(ttft, self._decode[here], self._group[here], self._cut[here], backlog)
        kept = within_targets(outcome, self._requests.input_tokens[here], self._requests.output_tokens[here], slo)
        late: Indices = here[~kept]
        return late

    def _serve_members(self, index: int, is_enough: IsEnough | None = None) -> Indices:
        """Simulate one session; its requests, those that are answered where it is not simulated to the end."""
        members = self._taken(index)
        if not members.size:
            return members
        if self._split is not None:
            members = self._together(members, self._split)
        return self._serve(self._sessions[index], members, is_enough)

    def _taken(self, index: int) -> Indices:
        """The requests of one session in the order of their arrival there, which it has no longer then."""
        parts, self._members[index] = self._members[index], []
        if len(parts) == 1:  # those of one part are in order
            return parts[0]
        members = np.concatenate(parts) if parts else np.zeros(0, dtype=np.intp)
        return members[np.argsort(self._arrival[members], kind="stable")]

    def _together(self, members: Indices, split: SplitCalls) -> Indices:
        """The first of the items of each call that reach one session together, which stands for them from here on."""
        is_next = np.diff(self._arrival[members], prepend=-np.inf) > 0
        first = np.flatnonzero(is_next | (np.diff(split.call[members], prepend=-1) != 0))
        heads = members[first]
        self._served_with[members] = np.repeat(heads, np.diff(np.append(first, members.size)))
        self._answers[heads] = np.add.reduceat(self._answers[members], first)
        return heads

    def _serve(self, session: Session, members: Indices, is_enough: IsEnough | None) -> Indices:
        """The same of the requests of one session in the order of their arrival there."""
        steps = self._groups[session.group].steps
        begin = float(self._arrival[members[0]])
        arrival = self._arrival[members] - begin
        prompts = np.maximum(self._requests.input_tokens[members], 1)
        answers = self._answers[members]
        in_parts = is_enough is not None and members.size >= LEAST_IN_PARTS and not session.interrupted
        counts = [members.size // part for part in PARTS] if in_parts else []
        for number, timeline in enumerate(self._serve_in_parts(steps, arrival, prompts, answers, counts)):
            begun = timeline.last_s.size
            done = (timeline.last_s > 0) & (timeline.last_s <= (session.end - begin if session.interrupted else np.inf))
            kept = members[:begun][done]
            first = steps.ttft_factor * (timeline.first_s + timeline.lag_s - arrival[:begun])
            self._ttft[kept] = first[done] + self._arrival[kept] - self._requests.seconds[kept]
            if self._backlog is not None:
                self._backlog[members] = backlog_ratios(steps, self._ttft[members], prompts, answers)
            self._decode[kept] = (timeline.last_s - timeline.first_s)[done]
            self._group[kept] = session.group
            if is_enough is not None and number < len(counts) and is_enough(kept):
                return kept
        self._preemptions[session.group] += timeline.preemptions
        key = (session.group, session.run)
        busy_until = begin + float(timeline.last_s[done].max(initial=-np.inf))
        self._busy[key] = max(self._busy.get(key, -np.inf), busy_until)
        if kept.size < members.size:
            lost = members[~done]
            self._arrival[lost] = session.end
            self._cut[lost] = True
            self._send(lost, session.end)
        return members

    def report(self, window: Window, early: Estimate | None) -> Served:
        """Outcome of each request and of each group."""
        ttft = self._ttft + self._network_s(np.arange(self._group.size))
        outcome = Outcome(ttft, self._decode, self._group, self._cut, self._backlog)
        if self._split is not None:
            outcome = self._split.outcome_of(self._of_every_item(outcome))
        return Served(outcome, self._sessions, self._preemptions, self._busy, window, early)

    def _of_every_item(self, outcome: Outcome) -> Outcome:
        """The outcome with that of the request that each item was served with, which may have been cut off since."""
        within, at = self._served_with, self._served_with[self._served_with]
        while (at != within).any():
            within, at = at, at[at]
        backlog = outcome.backlog_ratio
        own = (outcome.ttft_s[at], outcome.decode_s[at], outcome.group[at], outcome.cut[at])
        return Outcome(*own, None if backlog is None else backlog[at])

    def _network_s(self, requests: Indices) -> Floats | float:
        """Round trip between the place of each of these requests and its group; 0 where no network is counted."""
        if not self._is_far:
            return 0.0
        groups, places = self._group[requests], self._requests.places
        seconds = np.zeros(groups.size)
        for index, group in enumerate(self._groups):
            if group.network_ms:
                here = groups == index
                of_place = np.array(group.network_ms) / MS_PER_SECOND
                seconds[here] = of_place[0] if places is None else of_place[places[requests[here]]]
        return seconds


def _present(numbers: Indices) -> list[int]:
    """Each of small numbers that there is, in order."""
    present: list[int] = np.flatnonzero(np.bincount(numbers)).tolist()
    return present
