"""Token times of one replica's requests: under load, alone, and answered in batches; timelines are kept for reuse.

Batches: items wait in the order of their arrival. A free server begins a batch as soon as it is full or its first item
has waited as long as the server waits for others, and takes what has come by then, up to its items and tokens; what
does not fit stays first in line (Triton's dynamic batcher, and Text Embeddings Inference with a wait of 0). Where texts
are padded to the longest of their batch, all count and take as much as that; a server that takes shapes as they are
begins a batch anew at each other length. A request is answered with the batch of its last item. Before, requests come
in one after the other by the machine's network. Those items of a call that come to a replica as HTTP requests of their
own are one request here, of as many transfers.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from hashlib import blake2b
from math import inf
from struct import pack
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.catalog.one_pass_engines import ALIKE, LONGEST
from advisor.performance.one_pass import serving
from advisor.performance.one_pass.serving import BatchTimes
from advisor.performance.steps import StepTimes
from advisor.plan.replay.batching import Replica, Requests
from advisor.records import dataclass

LEAST_TOGETHER = 16
"""Replicas that are simulated side by side: of fewer it takes longer than one after the other."""
_ENDLESS = 2**62
"""Tokens of a batch that nothing limits."""
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]
Times = StepTimes | BatchTimes
"""Times of a replica that generates token by token, or answers in batches."""
MOST_KEPT = 2_000_000
"""Requests of replicas whose timelines are kept at a time."""


def batch_ends(times: BatchTimes, arrivals_s: Floats, sizes: Integers, items: Integers) -> Floats:
    """End of the batch that answers each request, on the clock of the arrivals.

    Args:
        times: of the replica.
        arrivals_s: ascending.
        sizes: of each request's items, in the unit of the model.
        items: of each request, at least 1.
    """
    replica = times.replica
    arrivals = _received(arrivals_s, replica.transfer_s, _transfers(times, items)).tolist()
    waiting = _Waiting(replica, sizes.tolist(), _of_items(times, sizes, items).tolist(), items.tolist())
    if replica.wait_s or waiting.is_padded or waiting.is_alike:
        return np.array(_ends_after_waiting(replica, arrivals, waiting))
    return np.array(_ends_at_once(replica.fixed_s, arrivals, waiting))


def _ends_after_waiting(replica: serving.Replica, arrivals: Sequence[float], waiting: "_Waiting") -> list[float]:
    """End of the batch that answers each request, of a server that waits for others or looks at their lengths."""
    fixed, wait = replica.fixed_s, replica.wait_s
    ends, head, now, count = [0.0] * len(arrivals), 0, 0.0, len(arrivals)
    while head < count:
        begin = max(now, arrivals[head])
        if wait:
            full = waiting.fills(head)
            begin = max(begin, min(arrivals[head] + wait, arrivals[full] if full < count else inf))
        until, work = waiting.take(head, bisect_right(arrivals, begin, head))
        now = begin + fixed + work
        ends[head:until] = [now] * (until - head)
        head = until
    return ends


def _ends_at_once(fixed_s: float, arrivals: Sequence[float], waiting: "_Waiting") -> list[float]:
    """The same of a server that does neither: what :meth:`_Waiting.take` does is written out here."""
    sizes, own_s, left_of = waiting.sizes, waiting.own_s, waiting.left
    most_items, most_tokens = waiting.most_items, waiting.most_tokens
    ends, head, now, count = [0.0] * len(arrivals), 0, 0.0, len(arrivals)
    while head < count:
        begin = arrivals[head]
        if now > begin:  # noqa: PLR1730 - max() costs a call in the innermost loop
            begin = now
        items, tokens, work, at = most_items, most_tokens, 0.0, head
        while at < count and arrivals[at] <= begin:
            left = left_of[at]
            of_request = left * sizes[at]
            if left > items or of_request > tokens:
                taken = max(min(items, tokens // max(sizes[at], 1)), int(at == head))
                if taken < left:
                    left_of[at] = left - taken
                    work += taken * own_s[at]
                    break
            items -= left
            tokens -= of_request
            work += left * own_s[at]
            at += 1
        now = begin + fixed_s + work
        while head < at:
            ends[head] = now
            head += 1
    return ends


def batch_ends_of_each(
    times: BatchTimes, arrivals_s: Floats, sizes: Integers, items: Integers, starts: Indices
) -> Floats:  # fmt: skip
    """The same of several replicas: the requests of each begin at one of the *starts*, and are by themselves."""
    replica, edges = times.replica, [*starts.tolist(), arrivals_s.size]
    is_plain = not (replica.wait_s or replica.transfer_s or replica.padding in (LONGEST, ALIKE))
    if starts.size >= LEAST_TOGETHER and is_plain and replica.largest_items == 1:
        return _ends_one_by_one(replica.fixed_s, arrivals_s, _of_items(times, sizes, items), items, starts)
    parts = map(slice, edges, edges[1:])
    return np.concatenate([batch_ends(times, arrivals_s[part], sizes[part], items[part]) for part in parts])


def _ends_one_by_one(
    fixed_s: float, arrivals_s: Floats, own_s: Floats, items: Integers, starts: Indices
) -> Floats:  # fmt: skip
    """The same of replicas that answer one item at a time: the first request of each, the second, and so on."""
    counts = np.diff(starts, append=arrivals_s.size)
    ends, now = np.zeros(arrivals_s.size), np.zeros(starts.size)
    for turn in range(int(counts.max())):
        left = np.flatnonzero(counts > turn)
        at = starts[left] + turn
        now[left] = np.maximum(now[left], arrivals_s[at])
        for item in range(int(items[at].max())):
            has_more = items[at] > item
            of_more = left[has_more]
            now[of_more] = now[of_more] + fixed_s + own_s[at[has_more]]
        ends[at] = now[left]
    return ends


class _Waiting:
    """Requests in the order of their arrival, and what is left of each; lists of one length."""

    def __init__(self, replica: serving.Replica, sizes: list[int], own_s: list[float], left: list[int]) -> None:
        """Requests that nothing was taken of yet."""
        self.sizes, self.own_s, self.left = sizes, own_s, left
        self.most_items, self.most_tokens = replica.largest_items, int(min(replica.largest_tokens, _ENDLESS))
        self.is_padded, self.is_alike = replica.padding == LONGEST, replica.padding == ALIKE

    def take(self, head: int, arrived: int) -> tuple[int, float]:
        """Begin a batch with the request at *head* and those up to *arrived*; the first one left, and its work in s."""
        if self.is_padded or self.is_alike:
            return self._take_shaped(head, arrived)
        sizes, own_s, left_of = self.sizes, self.own_s, self.left
        items, tokens, work = self.most_items, self.most_tokens, 0.0
        for at in range(head, arrived):
            size, left = sizes[at], left_of[at]
            if left > items or left * size > tokens:
                taken = max(min(items, tokens // max(size, 1)), int(at == head))
                if taken < left:
                    left_of[at] = left - taken
                    return at, work + taken * own_s[at]
            items, tokens = items - left, tokens - left * size
            work += left * own_s[at]
        return arrived, work

    def _take_shaped(self, head: int, arrived: int) -> tuple[int, float]:
        """The same of texts that are padded to the longest, or all of one length."""
        items, tokens, longest, longest_s, work = 0, 0, 0, 0.0, 0.0
        at = head
        while at < arrived:
            size, left = self.sizes[at], self.left[at]
            taken = min(left, self._room(size, items, tokens, max(longest, size)))
            if taken <= 0 or (self.is_alike and size != self.sizes[head]):
                break
            items, tokens = items + taken, tokens + taken * size
            longest, longest_s = max(longest, size), max(longest_s, self.own_s[at])
            work = items * longest_s if self.is_padded else work + taken * self.own_s[at]
            self.left[at] = left - taken
            if taken < left:
                break
            at += 1
        return at, work

    def fills(self, head: int) -> int:
        """Request whose items fill the batch of those from *head* on; the number of requests where none does."""
        items, tokens, longest = 0, 0, 0
        for at in range(head, len(self.sizes)):
            size, left = self.sizes[at], self.left[at]
            longest = max(longest, size)
            if (self.is_alike and size != self.sizes[head]) or left >= self._room(size, items, tokens, longest):
                return at
            items, tokens = items + left, tokens + left * size
        return len(self.sizes)

    def _room(self, size: int, items: int, tokens: int, longest: int) -> int:
        """Items of a size that still fit a batch of so many items and tokens; one in any case in an empty one."""
        padded = self.most_tokens // max(longest, 1) - items
        within = padded if self.is_padded else (self.most_tokens - tokens) // max(size, 1)
        return max(min(self.most_items - items, within), int(items == 0))


def _transfers(times: BatchTimes, items: Integers) -> Integers:
    """Transfers of each request over the network: one, or one of each of its items."""
    return items if times.replica.is_split else np.ones_like(items)


def _received(arrivals_s: Floats, transfer_s: float, transfers: Integers) -> Floats:
    """End of the transfers of each request over a network that carries one at a time.

    Each begins when it arrives, or when the one before it is through (Lindley).
    """
    if not transfer_s:
        return arrivals_s
    before = transfer_s * (np.cumsum(transfers) - transfers)
    received: Floats = np.maximum.accumulate(arrivals_s - before) + before + transfer_s * transfers
    return received


def alone_ends(times: BatchTimes, arrivals_s: Floats, sizes: Integers, items: Integers) -> Floats:
    """End of each request as if on a replica that serves no other; see :func:`batch_ends`."""
    replica = times.replica
    within = np.floor(replica.largest_tokens / np.maximum(sizes, 1))
    batches = np.ceil(items / np.maximum(np.minimum(within, float(replica.largest_items)), 1.0))
    ends: Floats = (
        arrivals_s + replica.transfer_s * _transfers(times, items) + replica.wait_s + batches * replica.fixed_s
    )
    return ends + items * _of_items(times, sizes, items)


def _of_items(times: BatchTimes, sizes: Integers, items: Integers) -> Floats:
    """Seconds that one item of each request adds to its batch."""
    return times.item_seconds(sizes.astype(np.float64), items.astype(np.float64))


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
    requests = Requests([], prompts.tolist(), [], [], [])
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
    requests.arrivals_s.extend(arrivals_s.tolist())
    requests.held.extend(times.held_tokens[prompts].tolist())
    requests.fresh_s.extend(times.fresh_s[prompts].tolist())
    requests.answers.extend(answers.tolist())
    if len(requests.arrivals_s) == len(requests.prompts):
        requests.arrivals_s.append(inf)


def _timeline(replica: Replica, count: int) -> Timeline:
    """Timeline of the first so many requests."""
    lags_s: Floats = replica.times.lags_s[_array(replica.beside[:count], "q")]
    return Timeline(_array(replica.first[:count], "d"), _array(replica.last[:count], "d"), lags_s, replica.preemptions)


def _array(numbers: Sequence[float], code: str) -> npt.NDArray[Any]:
    """Read-only array of numbers of a type of :mod:`struct`, in a fifth of the time that NumPy takes for a list."""
    return np.frombuffer(pack(f"{len(numbers)}{code}", *numbers), code)


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
    held, budget = times.held_tokens[prompts], times.budgets[0]
    before = (prompts - held - 1) // budget
    prompt_s, alone_s = times.prompts_s, np.array(times.alone_s)
    first = arrivals_s + prompt_s[prompts] - prompt_s[held] + times.begin_s + times.cached_token_s * held
    first += before * alone_s[budget] + alone_s[prompts - held - before * budget]
    steps = answers - 1
    step_s = times.base_s[1] + times.per_token_s[1] * (prompts + 1 + (steps - 1) / 2)
    whole = Timeline(first, first + steps * step_s, np.full(first.size, times.lag_s[0]), 0)
    yield from [whole] * (len(parts) + 1)


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
