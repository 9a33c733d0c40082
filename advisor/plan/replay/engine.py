"""Token times of one replica's requests: under load, alone, and answered in batches; timelines are kept for reuse."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from hashlib import blake2b
from math import inf

import numpy as np
import numpy.typing as npt

from advisor.performance.one_pass.batches import BatchTimes
from advisor.performance.steps import StepTimes
from advisor.plan.replay.batch_engine import alone_ends, batch_ends
from advisor.plan.replay.batching import Replica, Requests
from advisor.records import dataclass

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Times = StepTimes | BatchTimes
"""Times of a replica that generates token by token, or answers in batches."""
MOST_KEPT = 2_000_000
"""Requests of replicas whose timelines are kept at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Token times of each request of a replica, in the order of arrival; seconds on the clock of the arrivals.

    Before the end it is of the first requests alone, those that were begun.
    """

    first_s: Floats
    """End of the step that brought the first token; its reader sees it later by the lag."""
    last_s: Floats
    """0 while the last token is to come."""
    lag_s: Floats
    preemptions: int


ServeInParts = Callable[[Times, Floats, Integers, Integers, Sequence[int]], Iterator[Timeline]]
"""What became of requests, as :func:`serve_in_parts` has it."""


def serve(times: Times, arrivals_s: Floats, prompts: Integers, answers: Integers) -> Timeline:
    """Serve requests on one replica.

    Args:
        times: of the replica.
        arrivals_s: ascending.
        prompts: tokens, at least 1.
        answers: tokens, at least 1; with the prompt no more than context and cache hold.
    """
    (timeline,) = serve_in_parts(times, arrivals_s, prompts, answers, ())
    return timeline


def serve_in_parts(
    times: Times, arrivals_s: Floats, prompts: Integers, answers: Integers, parts: Sequence[int]
) -> Iterator[Timeline]:
    """Timelines of the requests once so many of them were begun, and at the end; see :func:`serve`."""
    if isinstance(times, BatchTimes):
        yield from _whole(batch_ends(times, arrivals_s, prompts, answers), parts)
        return
    requests = Requests([], prompts.tolist(), [], [], [], [], [])
    replica = Replica(times, requests)
    for begun in parts:
        # a step begins with no more beyond them than run at a time, and looks at one more
        _extend(requests, times, arrivals_s, prompts, answers, begun + times.max_sequences + 1)
        replica.run(begun)
        yield _timeline(replica, replica.head)
    _extend(requests, times, arrivals_s, prompts, answers, replica.count)
    replica.run(replica.count + 1)
    yield _timeline(replica, replica.count)


def _extend(
    requests: Requests, times: StepTimes, arrivals_s: Floats, prompts: Integers, answers: Integers, until: int
) -> None:
    """Extend the lists of requests to the first so many: of a replica whose first are late no more are needed."""
    more = slice(len(requests.held), until)
    arrivals_s, prompts, answers = arrivals_s[more], prompts[more], answers[more]
    held = _held(times, prompts)
    computed_s = times.prompts_s[prompts] - times.prompts_s[held]
    fresh_s = times.begin_s + times.cached_token_s * held + computed_s
    requests.arrivals_s.extend(arrivals_s.tolist())
    requests.held.extend(held.tolist())
    requests.fresh.extend((prompts - held).tolist())
    requests.fresh_s.extend(fresh_s.tolist())
    requests.to_come.extend((answers - 1).tolist())
    requests.totals.extend((prompts + answers).tolist())
    if len(requests.arrivals_s) == len(requests.prompts):
        requests.arrivals_s.append(inf)


def _timeline(replica: Replica, count: int) -> Timeline:
    """Timeline of the first so many requests."""
    first, last = (np.fromiter(seconds, np.float64, count) for seconds in (replica.first, replica.last))
    return Timeline(first, last, replica.times.lags_s[np.fromiter(replica.beside, np.intp, count)], replica.preemptions)


def _whole(ends_s: Floats, parts: Sequence[int]) -> Iterator[Timeline]:
    """Timelines of answers that come whole: their first token is their last."""
    for begun in (*parts, ends_s.size):
        yield Timeline(ends_s[:begun], ends_s[:begun], np.zeros(begun), 0)


def serve_idle(
    times: Times, arrivals_s: Floats, prompts: Integers, answers: Integers, parts: Sequence[int]
) -> Iterator[Timeline]:  # fmt: skip
    """Timelines of the requests, each as if on a replica that serves no other; see :func:`serve_in_parts`."""
    if isinstance(times, BatchTimes):
        yield from _whole(alone_ends(times, arrivals_s, prompts, answers), parts)
        return
    held, budget = _held(times, prompts), times.budgets[0]
    before = (prompts - held - 1) // budget
    prompt_s, alone_s = times.prompts_s, np.array(times.alone_s)
    first = arrivals_s + prompt_s[prompts] - prompt_s[held] + times.begin_s + times.cached_token_s * held
    first += before * alone_s[budget] + alone_s[prompts - held - before * budget]
    steps = answers - 1
    step_s = times.base_s[1] + times.per_token_s[1] * (prompts + 1 + (steps - 1) / 2)
    whole = Timeline(first, first + steps * step_s, np.full(first.size, times.lag_s[0]), 0)
    yield from [whole] * (len(parts) + 1)


def _held(times: StepTimes, prompts: Integers) -> npt.NDArray[np.int64]:
    """Tokens of each prompt that the prefix cache holds."""
    return np.minimum((times.prefix_cache_hit_ratio * prompts).astype(np.int64), prompts - 1)


class Timelines:
    """Serves requests on replicas, and keeps what became of them for replicas that serve the same ones."""

    def __init__(self) -> None:
        """Nothing is kept."""
        self._kept: dict[tuple[Times, bytes], tuple[Timeline, ...]] = {}
        self._times: dict[tuple[object, ...], Times] = {}
        self._requests = 0

    def __call__(
        self, times: Times, arrivals_s: Floats, prompts: Integers, answers: Integers, parts: Sequence[int]
    ) -> Iterator[Timeline]:  # fmt: skip
        """See :func:`serve_in_parts`; parts are the same whenever there are any."""
        digest = blake2b(digest_size=16)
        for of_requests in (arrivals_s, prompts, answers):
            digest.update(of_requests.tobytes())
        key = times, digest.digest()
        if len(self._kept.get(key, ())) > len(parts):
            yield from self._kept[key][-len(parts) - 1 :]
            return
        timelines = []
        for timeline in serve_in_parts(times, arrivals_s, prompts, answers, parts):
            timelines.append(timeline)
            yield timeline
        self._keep(key, tuple(timelines))

    def same(self, times: Times) -> Times:
        """Times of a replica as they were first given: those of another question that are equal are the same to it."""
        return self._times.setdefault(tuple(getattr(times, field.name) for field in fields(times)), times)

    def _keep(self, key: tuple[Times, bytes], timelines: tuple[Timeline, ...]) -> None:
        self._requests += sum(timeline.last_s.size for timeline in timelines)
        if self._requests > MOST_KEPT:
            self._kept.clear()
            self._requests = 0
        self._kept[key] = timelines
