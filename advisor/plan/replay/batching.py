"""One replica's continuous batching, event by event.

Requests are admitted first come, first served, while sequences and cache allow it; a step takes in prompt tokens up to
its budget beside one token of each running sequence. When the cache is full the youngest request is preempted and
computed again later, as vLLM does. Between two events (an arrival, the end of a prompt, a completion, a full cache)
the batch is the same and grows by B tokens a step: k steps take k (base + slope K) + slope B k (k - 1) / 2 seconds,
so that they are taken at once. Completions wait in a heap, by the number of the step that brings the last token.

The module is plain lists and numbers, and imports nothing of the program: where a C compiler is at hand it is compiled
from this very text (``.ci/compile_hook.py``), which takes a quarter of the time for the same floats. Locals name
their types for that alone.
"""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import ceil, inf, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advisor.performance.steps import StepTimes


@dataclass(frozen=True)
class Requests:
    """Requests of a replica, in the order of their arrival."""

    arrivals_s: list[float]
    """One more than there are requests: the last is never."""
    prompts: list[int]
    """Tokens of each prompt."""
    held: list[int]
    """Tokens of each prompt that the prefix cache holds."""
    fresh_s: list[float]
    """Time that each prompt adds to a step that takes in no other."""
    answers: list[int]
    """Tokens of each answer."""


class Replica:
    """The state between two steps."""

    def __init__(self, times: "StepTimes", requests: Requests) -> None:
        """Requests that are all to come."""
        self.times, self.requests, self.count = times, requests, len(requests.prompts)
        self.first, self.last, self.beside = [0.0] * self.count, [0.0] * self.count, [0] * self.count
        """Of each request the end of the steps that brought its first and its last token, and the decodes beside."""
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

    def run(self, begun: int) -> None:  # noqa: C901, PLR0912, PLR0915 - calls and attributes cost as much as the work
        """Until so many requests are begun, or every request has its last token.

        What almost every step does is written out here, on local names: prompts that nothing was computed of yet, and
        stretches of decodes. Only steps that go on with a prompt or compute request again are taken elsewhere.
        """
        requests, times = self.requests, self.times
        arrivals, prompts, held = requests.arrivals_s, requests.prompts, requests.held
        fresh_s, answers = requests.fresh_s, requests.answers
        first, last, beside, ends = self.first, self.last, self.beside, self.ends
        base_s: tuple[float, ...] = times.base_s
        per_token_s: tuple[float, ...] = times.per_token_s
        learned: tuple[float, ...] = times.learned
        prompt_s: tuple[float, ...] = times.prompt_s
        alone_s: tuple[float, ...] = times.alone_s
        budgets: tuple[int, ...] = times.budgets
        begin_s: float = times.begin_s
        cached_token_s: float = times.cached_token_s
        limit: int = times.kv_tokens
        most: int = times.max_sequences
        count = self.count
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
                goal = prompts[head]
                fresh = goal - held[head]
                if arrivals[head + 1] > now and batch < most and goal < room and fresh <= budget:
                    if batch:
                        now += base_s[batch] + per_token_s[batch] * cached + fresh_s[head] * learned[batch]
                        cached += batch
                    else:
                        now += alone_s[fresh] + fresh_s[head]
                    step += 1
                    beside[head] = batch
                    beyond = (step + 1) * count
                    while ends and ends[0] < beyond:
                        request = heappop(ends) % count
                        last[request] = now
                        cached -= prompts[request] + answers[request]
                        batch -= 1
                    first[head] = now
                    if answers[head] > 1:
                        heappush(ends, (step + answers[head] - 1) * count + head)
                        cached += goal + 1
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
                        request = heappop(ends) % count
                        last[request] = now
                        cached -= prompts[request] + answers[request]
                        batch -= 1
                    for request in range(before, head - 1 if is_held_up else head):
                        first[request] = now
                        beside[request] = running
                        if answers[request] > 1:
                            heappush(ends, (step + answers[request] - 1) * count + request)
                            cached += prompts[request] + 1
                            batch += 1
                        else:
                            last[request] = now
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
                request = heappop(ends) % count
                last[request] = now
                cached -= prompts[request] + answers[request]
                batch -= 1
        self.now, self.step, self.head, self.cached = now, step, head, cached

    def _complete(self) -> None:
        """Release the requests whose last token this step brought."""
        beyond = (self.step + 1) * self.count
        while self.ends and self.ends[0] < beyond:
            request = heappop(self.ends) % self.count
            self.last[request] = self.now
            self.cached -= self.requests.prompts[request] + self.requests.answers[request]

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
        for request, goal in begun:
            self._start(request, goal, batch)
        return True

    def _compute(self, begun: list[tuple[int, int]], batch: int) -> tuple[int, float]:
        """Prompt tokens of request step and what they add; prompts that are done with go to *begun*."""
        times, partial = self.times, self.partial
        prompt_s = times.prompt_s
        budget = left = self.times.budgets[batch]
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
            request, done, goal = partial
            reached = min(done + left, goal)
            left -= reached - done
            seconds += prompt_s[reached] - prompt_s[done]
            partial = (request, reached, goal)
            if reached == goal:
                begun.append((request, goal))
                partial = None
        self.partial = partial
        self.reserved = 0 if partial is None else partial[2] + 1
        return budget - left, seconds

    def _admit(self, room: int) -> tuple[int, int, int] | None:
        """The request that is next, with its tokens held already and in all; None if none waits or it does not fit."""
        again, request = self.again, self.head
        if again:
            request, goal = again[-1]
        elif self.requests.arrivals_s[request] <= self.now:
            goal = self.requests.prompts[request]
        else:
            return None
        if goal >= room:
            return None
        if again:
            again.pop()
        else:
            self.head = request + 1
        return request, min(self.requests.held[request], goal - 1), goal

    def _start(self, request: int, goal: int, batch: int) -> None:
        """The first token of a request, or its next request after a preemption; it then runs."""
        if goal == self.requests.prompts[request]:
            self.first[request] = self.now
            self.beside[request] = batch
        to_come = self.requests.prompts[request] + self.requests.answers[request] - goal - 1
        if to_come:
            heappush(self.ends, (self.step + to_come) * self.count + request)
            self.cached += goal + 1
        else:
            self.last[request] = self.now

    def _preempt(self) -> None:
        """Take the youngest off, until the next step fits: what is not computed whole, then what was admitted last."""
        ends, count = self.ends, self.count
        while self.cached + self.reserved > self.times.kv_tokens:
            self.preemptions += 1
            if self.partial is not None:
                request, _, goal = self.partial
                self.partial, self.reserved = None, 0
            else:
                key = max(ends, key=lambda end: end % count)
                ends.remove(key)
                request = key % count
                total = self.requests.prompts[request] + self.requests.answers[request]
                goal = total - (key // count - self.step)
                self.cached -= goal
            self.again.append((request, goal))
        heapify(ends)
