"""Continuous batching step by step, as plainly as it can be written; and small replicas to run it on."""

from dataclasses import dataclass

import numpy as np

from advisor.performance.steps import StepTimes


def make_steps(**changes):
    """A replica of round numbers with an odd part each, so that no two events fall on the same moment."""
    batches = np.arange(changes.get("max_sequences", 8) + 1)
    values = {
        "base_s": tuple((0.0100013 + 0.0010007 * batches).tolist()),
        "per_token_s": tuple((1.00003e-6 + 1.3e-8 * batches).tolist()),
        "learned": tuple((1 + 0.0101 * batches).tolist()),
        "lag_s": tuple((0.0030003 + 0.00101 * batches).tolist()),
        "prompt_s": tuple((1.00007e-4 * np.arange(401) + 1.1e-8 * np.arange(401) ** 2).tolist()),
        "begin_s": 0.00020011,
        "cached_token_s": 1.3e-6,
        "alone_s": tuple((0.0080009 + 1e-7 * np.arange(4001)).tolist()),
        "ttft_factor": 1.0,
        "kv_tokens": 4000,
        "max_sequences": 8,
        "step_tokens": 100,
        "step_tokens_per_sequence": 0,
        "prefix_cache_hit_ratio": 0.0,
    }
    return StepTimes(**(values | changes))


@dataclass
class Request:
    """One request on its way."""

    one: int
    prompt: int
    total: int
    produced: int = 0
    computed: int = 0
    """Tokens of the prompt, and of what was produced before a preemption, that the cache holds."""
    goal: int = 0

    @property
    def held(self):
        """Tokens in the cache at the end of the next step; all of them are kept room for from the start."""
        return self.prompt + self.produced if self.computed == self.goal else self.goal + 1


def serve_plainly(times, arrivals, prompts, answers):
    """Times of the first and last token of each request, the running ones beside it, and the preemptions."""
    waiting = [Request(i, int(p), int(p + a)) for i, (p, a) in enumerate(zip(prompts, answers, strict=True))]
    running, now, preemptions = [], 0.0, 0
    first, last, beside = ([None] * len(waiting) for _ in range(3))
    while waiting or running:
        if not running:
            now = max(now, float(arrivals[waiting[0].one]))
        preemptions += preempt(times, waiting, running)
        decoding = [one for one in running if one.computed == one.goal]
        taken, work, begun = take_prompts(times, waiting, running, len(decoding), arrivals, now)
        batch = len(decoding)
        now += step_seconds(times, batch, sum(one.held for one in decoding), taken, work)
        for request in begun:
            if first[request.one] is None:
                first[request.one], beside[request.one] = now, batch
        for request in decoding + begun:
            request.produced += 1
            if request.prompt + request.produced == request.total:
                last[request.one] = now
                running.remove(request)
    return np.array(first), np.array(last), np.array(beside), preemptions


def preempt(times, waiting, running):
    """Take the youngest off until what the next step needs fits; how many they were."""
    before = len(running)
    while sum(one.held for one in running) > times.kv_tokens:
        youngest = max(running, key=lambda request: request.one)
        running.remove(youngest)
        waiting.insert(0, youngest)
    return before - len(running)


def step_seconds(times, batch, held, taken, work):
    """Of one step with so many decodes that hold so many tokens, and so many prompt tokens that add so much work."""
    if not batch:
        return times.alone_s[taken] + work
    return times.base_s[batch] + times.per_token_s[batch] * held + times.learned[batch] * work


def take_prompts(times, waiting, running, batch, arrivals, now):
    """Prompt tokens that a step computes, the seconds they add, and the requests whose prompt it completes."""
    budget = left = max(times.step_tokens - times.step_tokens_per_sequence * batch, 1)
    work, begun = 0.0, []
    while left:
        partial = next((one for one in running if one.computed < one.goal), None)
        if partial is None:
            if not waiting or arrivals[waiting[0].one] > now or len(running) >= times.max_sequences:
                break
            goal = waiting[0].prompt + waiting[0].produced
            if sum(one.held for one in running) + batch + len(begun) + goal + 1 > times.kv_tokens:
                break
            partial = waiting.pop(0)
            partial.goal = goal
            partial.computed = min(int(times.prefix_cache_hit_ratio * partial.prompt), goal - 1)
            running.append(partial)
            work += times.begin_s + times.cached_token_s * partial.computed
        chunk = min(left, partial.goal - partial.computed)
        work += times.prompt_s[partial.computed + chunk] - times.prompt_s[partial.computed]
        partial.computed += chunk
        left -= chunk
        if partial.computed == partial.goal:
            begun.append(partial)
    return budget - left, work, begun
