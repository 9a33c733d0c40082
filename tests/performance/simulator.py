"""A simulation of continuous batching, step by step: a queue of prompts, a chunk budget, a running batch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

REQUESTS = 3000
WARM_UP = REQUESTS // 8
"""Requests at either end that are not counted: the system fills and empties."""


@dataclass(frozen=True)
class Percentiles:
    """95th percentiles of the counted requests."""

    ttft_p95_ms: float
    tpot_p95_ms: float
    e2e_p95_ms: float


@dataclass(frozen=True)
class Engine:
    """How one replica works."""

    step_seconds: np.ndarray
    """Seconds of a decode step by the number of running requests."""
    prefill_seconds: np.ndarray
    """Seconds that each kind of prompt adds to the steps that compute it."""
    budget: Callable[[int], float] = lambda _: 8192
    """Prompt tokens that a step takes in beside so many running requests."""
    draft: tuple[int, float] = (0, 0.0)
    """Tokens drafted in each step, and the probability that one is accepted after those before it."""


def simulate(engine, rate, tokens, seed):
    """Serve Poisson arrivals of so many requests per second and return the percentiles."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(tokens.probability.size, REQUESTS, p=tokens.probability)
    arrival = np.cumsum(rng.exponential(1 / rate, REQUESTS))
    first, last = serve(engine, tokens, kind, arrival, rng)
    return percentiles(tokens, kind, (first - arrival, last - first, last - arrival))


def percentiles(tokens, kind, seconds):
    """Percentiles of requests of which the seconds to the first token, from there to the last, and in all are given."""
    counted = slice(WARM_UP, REQUESTS - WARM_UP)
    to_first, after_first, whole = seconds
    per_token = after_first / np.maximum(np.round(tokens.output_tokens[kind]) - 1, 1)
    return Percentiles(*(1000 * float(np.quantile(time[counted], 0.95)) for time in (to_first, per_token, whole)))


def serve(engine, tokens, kind, arrival, rng):
    """Times of the first and the last token of each request, in the order of arrival."""
    prompt = tokens.input_tokens[kind] * (1 - tokens.prefix_cache_hit_ratio)
    to_prefill, to_come = prompt.copy(), np.round(tokens.output_tokens[kind])
    first, last = np.zeros(kind.size), np.zeros(kind.size)
    now, arrived, waiting, running = 0.0, 0, [], []
    while running or waiting or arrived < kind.size:
        if not running and not waiting:
            now = max(now, arrival[arrived])
        while arrived < kind.size and arrival[arrived] <= now:
            waiting.append(arrived)
            arrived += 1
        budget, seconds = engine.budget(len(running)), 0.0
        for one in waiting:
            taken = min(budget, to_prefill[one])
            budget -= taken
            to_prefill[one] -= taken
            seconds += taken / max(prompt[one], 1e-9) * engine.prefill_seconds[kind[one]]
        now += float(engine.step_seconds[max(len(running), 1)]) + seconds
        begun = [one for one in waiting if to_prefill[one] <= 0]
        waiting = waiting[len(begun) :]
        first[begun] = now
        to_come[running] -= _tokens_of_a_step(engine.draft, len(running), rng)
        to_come[begun] -= 1
        done = [one for one in running + begun if to_come[one] <= 0]
        last[done] = now
        running = [one for one in running + begun if to_come[one] > 0]
    return first, last


def _tokens_of_a_step(draft, running, rng):
    """Tokens that each running request gets: one, and the drafted ones up to the first that is rejected."""
    drafted, acceptance = draft
    accepted = rng.random((running, drafted)) < acceptance
    return 1 + np.cumprod(accepted, axis=1).sum(axis=1)
