"""A simulation of continuous batching, step by step: a queue of prompts, a chunk budget, a running batch."""

from dataclasses import dataclass

import numpy as np

CHUNK_TOKENS = 8192
REQUESTS = 3000
WARM_UP = REQUESTS // 8
"""Requests at either end that are not counted: the system fills and empties."""


@dataclass(frozen=True)
class Percentiles:
    """95th percentiles of the counted requests."""

    ttft_p95_ms: float
    tpot_p95_ms: float
    e2e_p95_ms: float


def simulate(step_seconds, prefill_seconds, rate, tokens, seed):
    """Serve Poisson arrivals.

    Args:
        step_seconds: seconds of a decode step by the number of running requests.
        prefill_seconds: seconds that each kind of prompt adds to the step that computes it.
        rate: requests per second.
        tokens: kinds of requests.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    kind = rng.choice(tokens.probability.size, REQUESTS, p=tokens.probability)
    arrival = np.cumsum(rng.exponential(1 / rate, REQUESTS))
    prompt, to_come = tokens.input_tokens[kind].copy(), np.round(tokens.output_tokens[kind])
    first, last = np.zeros(REQUESTS), np.zeros(REQUESTS)
    now, arrived, waiting, running = 0.0, 0, [], []
    while running or waiting or arrived < REQUESTS:
        if not running and not waiting:
            now = max(now, arrival[arrived])
        while arrived < REQUESTS and arrival[arrived] <= now:
            waiting.append(arrived)
            arrived += 1
        budget, seconds = CHUNK_TOKENS, 0.0
        for one in waiting:
            taken = min(budget, prompt[one])
            budget -= taken
            prompt[one] -= taken
            seconds += taken / tokens.input_tokens[kind[one]] * prefill_seconds[kind[one]]
        now += float(step_seconds[max(len(running), 1)]) + seconds
        begun = [one for one in waiting if prompt[one] <= 0]
        waiting = waiting[len(begun) :]
        first[begun] = now
        to_come[running + begun] -= 1
        done = [one for one in running + begun if to_come[one] <= 0]
        last[done] = now
        running = [one for one in running + begun if to_come[one] > 0]
    counted = slice(WARM_UP, REQUESTS - WARM_UP)
    after_first = np.maximum(np.round(tokens.output_tokens[kind]) - 1, 1)
    times = (first - arrival, (last - first) / after_first, last - arrival)
    return Percentiles(*(1000 * float(np.quantile(time[counted], 0.95)) for time in times))
