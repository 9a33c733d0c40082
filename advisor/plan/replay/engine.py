"""One replica's continuous batching, event by event.

Requests are admitted first come, first served, while sequences and cache allow it; a step takes in prompt tokens up to
its budget beside one token of each running sequence. When the cache is full the youngest request is preempted and
computed again later, as vLLM does. Between two events (an arrival, the end of a prompt, a completion, a full cache)
the batch is the same and grows by B tokens a step: k steps take k (base + slope K) + slope B k (k - 1) / 2 seconds,
so that they are taken at once. Completions wait in a heap, by the number of the step that brings the last token.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import ceil, inf, sqrt

import numpy as np
import numpy.typing as npt

from advisor.performance.one_pass.batches import BatchTimes
from advisor.performance.steps import StepTimes
from advisor.plan.replay.batch_engine import alone_ends, batch_ends

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]


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


Times = StepTimes | BatchTimes
"""Times of a replica that generates token by token, or answers in batches."""
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
    replica = _Replica(times, arrivals_s, prompts, answers)
    for begun in parts:
        replica.run(begun)
        yield replica.timeline(replica.head)
    replica.run(replica.count + 1)
    yield replica.timeline(replica.count)


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


class _Replica:
    """The state between two steps."""

    __slots__ = (
        "again", "arrivals", "beside", "budgets", "cached", "count", "ends", "first", "fresh", "fresh_s", "head",
        "held", "last", "now", "partial", "preemptions", "prompts", "reserved", "step", "times", "to_come", "totals",
    )  # fmt: skip

    def __init__(self, times: StepTimes, arrivals_s: Floats, prompts: Integers, answers: Integers) -> None:
        count = len(arrivals_s)
        self.times, self.count = times, count
        self.arrivals: list[float] = [*arrivals_s.tolist(), inf]
        self.prompts: list[int] = prompts.tolist()
        self.totals: list[int] = (prompts + answers).tolist()
        held = _held(times, prompts)
        self.held: list[int] = held.tolist()
        """Tokens of each prompt that the prefix cache holds."""
        self.fresh: list[int] = (prompts - held).tolist()
        """The others."""
        computed_s = times.prompts_s[prompts] - times.prompts_s[held]
        fresh_s = times.begin_s + times.cached_token_s * held + computed_s
        self.fresh_s: list[float] = fresh_s.tolist()
        """Time that each prompt adds to a step that takes in no other."""
        self.to_come: list[int] = (answers - 1).tolist()
        """Tokens of each answer after the first."""
        self.budgets = times.budgets
        self.first, self.last, self.beside = [0.0] * count, [0.0] * count, [0] * count
        self.now, self.step, self.head, self.preemptions = 0.0, 0, 0, 0
        self.cached = 0
        """Tokens that the running sequences hold at the end of the next step."""
        self.reserved = 0
        """Tokens kept for the prompt that is computed in part."""
        self.partial: tuple[int, int, int] | None = None
        """That request, how many of its tokens are computed, and how many there are."""
        self.again: list[tuple[int, int]] = []
        """Preempted requests, the oldest last, with the tokens to compute again."""
        self.ends: list[int] = []
        """Heap of step of the last token × requests + request, of the running ones."""

    def timeline(self, count: int) -> Timeline:
        """Timeline of the first so many requests."""
        first, last = (np.fromiter(seconds, np.float64, count) for seconds in (self.first, self.last))
        return Timeline(first, last, self.times.lags_s[np.fromiter(self.beside, np.intp, count)], self.preemptions)

    def run(self, begun: int) -> None:  # noqa: C901, PLR0912, PLR0915 - calls and attributes cost as much as the work
        """Until so many requests are begun, or every one has its last token.

        What almost every step does is written out here, on local names: prompts that nothing was computed of yet, and
        stretches of decodes. Only steps that go on with a prompt or compute one again are taken elsewhere.
        """
        times, arrivals, prompts, totals, held = self.times, self.arrivals, self.prompts, self.totals, self.held
        first, last, beside, ends, budgets = self.first, self.last, self.beside, self.ends, self.budgets
        fresh, fresh_s, to_come = self.fresh, self.fresh_s, self.to_come
        base_s, per_token_s, learned = times.base_s, times.per_token_s, times.learned
        prompt_s, alone_s, begin_s, cached_token_s = times.prompt_s, times.alone_s, times.begin_s, times.cached_token_s
        limit, most, count = times.kv_tokens, times.max_sequences, self.count
        now, step, head, cached, batch = self.now, self.step, self.head, self.cached, len(ends)
        is_held_up = self.partial is not None or bool(self.again)
        while head < begun:
            until = arrivals[head]
            if is_held_up or cached > limit:
                self.now, self.step, self.head, self.cached = now, step, head, cached
                if cached + self.reserved > limit:
                    self._preempt()
                is_taken = self._take_prompts()
                now, step, head, cached, batch = self.now, self.step, self.head, self.cached, len(ends)
                is_held_up = self.partial is not None or bool(self.again)
                if is_taken:
                    continue
                until = inf
            elif until <= now or not batch:
                if until > now:
                    if until == inf:
                        break
                    now = until
                room = limit - cached - batch
                budget = budgets[batch]
                if arrivals[head + 1] > now and batch < most and prompts[head] < room and fresh[head] <= budget:
                    if batch:
                        now += base_s[batch] + per_token_s[batch] * cached + fresh_s[head] * learned[batch]
                        cached += batch
                    else:
                        now += alone_s[fresh[head]] + fresh_s[head]
                    step += 1
                    beside[head] = batch
                    beyond = (step + 1) * count
                    while ends and ends[0] < beyond:
                        one = heappop(ends) % count
                        last[one] = now
                        cached -= totals[one]
                        batch -= 1
                    first[head] = now
                    if to_come[head]:
                        heappush(ends, (step + to_come[head]) * count + head)
                        cached += prompts[head] + 1
                        batch += 1
                    else:
                        last[head] = now
                    head += 1
                    continue
                left = budget
                stop = head + most - batch
                before, seconds = head, 0.0
                while head < stop and arrivals[head] <= now:
                    goal = prompts[head]
                    if goal >= room:
                        break
                    done = held[head]
                    room -= goal + 1
                    seconds += begin_s + cached_token_s * done
                    if goal - done > left:
                        self.partial, self.reserved = (head, done + left, goal), goal + 1
                        is_held_up = True
                        seconds += prompt_s[done + left] - prompt_s[done]
                        left = 0
                        head += 1
                        break
                    seconds += prompt_s[goal] - prompt_s[done]
                    left -= goal - done
                    head += 1
                    if not left:
                        break
                if head == before:
                    until = inf
                else:
                    if batch:
                        now += base_s[batch] + per_token_s[batch] * cached + seconds * learned[batch]
                        cached += batch
                    else:
                        now += alone_s[budget - left] + seconds
                    step += 1
                    running = batch
                    beyond = (step + 1) * count
                    while ends and ends[0] < beyond:
                        one = heappop(ends) % count
                        last[one] = now
                        cached -= totals[one]
                        batch -= 1
                    for one in range(before, head - 1 if is_held_up else head):
                        first[one] = now
                        beside[one] = running
                        if to_come[one]:
                            heappush(ends, (step + to_come[one]) * count + one)
                            cached += prompts[one] + 1
                            batch += 1
                        else:
                            last[one] = now
                    continue
            if not batch:
                break
            slope = per_token_s[batch]
            growth = 0.5 * slope * batch
            current = base_s[batch] + slope * cached
            steps = ends[0] // count - step
            room = (limit - cached) // batch + 1
            if room < steps:  # noqa: PLR1730 - min() costs a call in the innermost loop
                steps = room
            after = now + steps * (current + growth * (steps - 1))
            if after > until:
                half = current - growth
                wait = until - now
                fewer = ceil(2 * wait / (half + sqrt(half * half + 4 * growth * wait)))
                if fewer < steps:
                    steps = fewer
                    after = now + steps * (current + growth * (steps - 1))
            now = after
            step += steps
            cached += steps * batch
            beyond = (step + 1) * count
            while ends and ends[0] < beyond:
                one = heappop(ends) % count
                last[one] = now
                cached -= totals[one]
                batch -= 1
        self.now, self.step, self.head, self.cached = now, step, head, cached

    def _complete(self) -> None:
        """Release the requests whose last token this step brought."""
        beyond = (self.step + 1) * self.count
        while self.ends and self.ends[0] < beyond:
            one = heappop(self.ends) % self.count
            self.last[one] = self.now
            self.cached -= self.totals[one]

    def _take_prompts(self) -> bool:
        """One step that takes in prompts beside the decodes; False, and no step, if none of the waiting fits."""
        begun: list[tuple[int, int]] = []
        batch = len(self.ends)
        times = self.times
        tokens, seconds = self._compute(begun, batch)
        if not tokens:
            return False
        if batch:
            seconds *= times.learned[batch]
            self.now += times.base_s[batch] + times.per_token_s[batch] * self.cached + seconds
            self.cached += batch
        else:
            self.now += times.alone_s[tokens] + seconds
        self.step += 1
        if batch and self.ends[0] < (self.step + 1) * self.count:
            self._complete()
        for one, goal in begun:
            self._start(one, goal, batch)
        return True

    def _compute(self, begun: list[tuple[int, int]], batch: int) -> tuple[int, float]:
        """Prompt tokens of one step and what they add; prompts that are done with go to *begun*."""
        times, partial = self.times, self.partial
        prompt_s = times.prompt_s
        budget = left = self.budgets[batch]
        room = times.kv_tokens - self.cached - self.reserved - batch
        places = times.max_sequences - batch
        seconds = 0.0
        while left:
            if partial is None:
                partial = self._admit(room) if places > len(begun) else None
                if partial is None:
                    break
                seconds += times.begin_s + times.cached_token_s * partial[1]
                room -= partial[2] + 1
            one, done, goal = partial
            reached = min(done + left, goal)
            left -= reached - done
            seconds += prompt_s[reached] - prompt_s[done]
            partial = (one, reached, goal)
            if reached == goal:
                begun.append((one, goal))
                partial = None
        self.partial = partial
        self.reserved = 0 if partial is None else partial[2] + 1
        return budget - left, seconds

    def _admit(self, room: int) -> tuple[int, int, int] | None:
        """The request that is next, with its tokens held already and in all; None if none waits or it does not fit."""
        again, one = self.again, self.head
        if again:
            one, goal = again[-1]
        elif self.arrivals[one] <= self.now:
            goal = self.prompts[one]
        else:
            return None
        if goal >= room:
            return None
        if again:
            again.pop()
        else:
            self.head = one + 1
        return one, min(self.held[one], goal - 1), goal

    def _start(self, one: int, goal: int, batch: int) -> None:
        """The first token of a request, or its next one after a preemption; it then runs."""
        if goal == self.prompts[one]:
            self.first[one] = self.now
            self.beside[one] = batch
        to_come = self.totals[one] - goal - 1
        if to_come:
            heappush(self.ends, (self.step + to_come) * self.count + one)
            self.cached += goal + 1
        else:
            self.last[one] = self.now

    def _preempt(self) -> None:
        """Take the youngest off, until the next step fits: what is not computed whole, then what was admitted last."""
        ends, count = self.ends, self.count
        while self.cached + self.reserved > self.times.kv_tokens:
            self.preemptions += 1
            if self.partial is not None:
                one, _, goal = self.partial
                self.partial, self.reserved = None, 0
            else:
                key = max(ends, key=lambda end: end % count)
                ends.remove(key)
                one, goal = key % count, self.totals[key % count] - (key // count - self.step)
                self.cached -= goal
            self.again.append((one, goal))
        heapify(ends)
