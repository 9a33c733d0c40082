"""Whether replicas keep up with their requests where no target says how long one may wait.

A time per token says nothing of the queue before it: an engine that is full keeps its pace, however many wait. A queue
that settles is rarely longer than what runs; one that grows soon is. A request counts as served in time while no more
wait before it than run at a time, or than a few: by Little's law it waits no longer than these take to be served.
"""

import numpy as np
import numpy.typing as npt

from advisor.performance.one_pass.batches import BatchTimes
from advisor.performance.steps import StepTimes
from advisor.plan.replay.engine import Times, serve_idle

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]

LEAST_QUEUE = 16
"""Requests that may wait in any case: before a replica that serves few at a time a short queue is no backlog."""


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
