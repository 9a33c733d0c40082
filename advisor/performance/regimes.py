"""Latency and throughput of one replica under the ways a load can be offered; closed forms over the physics.

Every function takes and gives arrays, one entry per replica; times are seconds.
"""

from dataclasses import dataclass

import numpy as np

from advisor.performance.physics import (
    Constants,
    FloatLike,
    Floats,
    Replicas,
    decode_step_seconds,
    marginal_prefill_seconds,
    memory_batch,
    prefill_seconds,
    prompt_tokens_per_step,
    tokens_per_step,
)

MAX_UTILISATION = 0.95
"""Prefill utilisation above which the closed-loop wait is not extrapolated."""
RESIDENT_INPUT_SHARE = 0.9
RESIDENT_OUTPUT_SHARE = 0.5
"""Mean share of its tokens that a running request holds in cache, in a closed loop (prompts arrive in chunks)."""


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """What every replica is given: users (or batch), prompt and answer length."""

    concurrency: Floats
    input_tokens: Floats
    output_tokens: Floats
    prefix_cache_hit_ratio: FloatLike = 0.0
    """Share of the prompt's tokens whose keys and values a cache already holds. A running request is counted with all
    of its tokens all the same: what is hit is mostly its own earlier turn, which nobody shares."""

    @property
    def cached_tokens(self) -> Floats:
        """Prompt tokens that need no prefill."""
        return self.input_tokens * self.prefix_cache_hit_ratio


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """Seconds to the first token, seconds per token after it, and output tokens per second of one replica."""

    ttft_s: Floats
    tpot_s: Floats
    output_tokens_per_second: Floats


def closed_loop(r: Replicas, c: Constants, load: Load) -> Timing:
    """``concurrency`` users, each asking again as soon as it has its answer; continuous batching.

    TPOT = step(B) / tokens a step + mix (B - 1) marginal / out; TTFT = prefill + wait × step + burst (C - 1) marginal
    + M/D/1 wait + request + (C/B - 1) cycle, where B = min(C, sequences that fit).
    """
    context = load.input_tokens + load.output_tokens / 2
    resident = RESIDENT_INPUT_SHARE * load.input_tokens + RESIDENT_OUTPUT_SHARE * load.output_tokens
    batch = np.minimum(np.minimum(np.maximum(load.concurrency, 1.0), memory_batch(r, resident)), r.max_sequences)
    step = decode_step_seconds(r, c, batch, context)
    alone = prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    out = np.maximum(load.output_tokens, 1.0)
    tpot = step / tokens_per_step(r) + c.prefill_mix * (batch - 1) * marginal / out
    cycle = alone + out * tpot
    busy = np.minimum(batch * marginal / cycle, MAX_UTILISATION)
    steps = c.step_wait + _further_chunks(r, load, batch)
    wait = busy / (2 * (1 - busy)) * marginal + steps * step + c.burst * (batch - 1) * marginal
    ttft = alone + wait + c.request_s + (np.maximum(load.concurrency, 1.0) / batch - 1) * cycle
    return Timing(ttft, tpot, np.maximum(load.concurrency, 1.0) * out / (ttft + (out - 1) * tpot))


def _further_chunks(r: Replicas, load: Load, batch: Floats) -> Floats:
    """Steps beyond the first that a prompt is spread over by a stated token budget, each shared with decoding."""
    chunks = (load.input_tokens - load.cached_tokens) / prompt_tokens_per_step(r, batch - 1)
    return np.where(r.step_tokens_per_sequence > 0, np.maximum(chunks - 1, 0.0), 0.0)


def static_batch(r: Replicas, c: Constants, load: Load) -> Timing:
    """All requests start together and no other follows; what does not fit runs in further waves."""
    whole = load.input_tokens + load.output_tokens
    batch = np.minimum(load.concurrency, memory_batch(r, whole))
    token = decode_step_seconds(r, c, batch, load.input_tokens + load.output_tokens / 2) / tokens_per_step(r)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    ttft = prefill_seconds(r, c, load.input_tokens, load.cached_tokens) + (batch - 1) * marginal
    total = load.concurrency / batch * (ttft + load.output_tokens * token)
    return Timing(ttft, token, load.concurrency * load.output_tokens / total)


def saturated(r: Replicas, c: Constants, load: Load) -> Timing:
    """The queue is never empty: the batch is as large as memory and engine allow. TTFT has no meaning: NaN."""
    context = load.input_tokens + load.output_tokens / 2
    batch = np.minimum(r.max_sequences, memory_batch(r, context))
    step = decode_step_seconds(r, c, batch, context)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    out = np.maximum(load.output_tokens, 1.0)
    tpot = step / tokens_per_step(r) + batch * marginal / out
    return Timing(np.full_like(tpot, np.nan), tpot, batch / tpot)
