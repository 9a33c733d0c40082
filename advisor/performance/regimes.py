"""Latency and throughput of one replica under the ways a load can be offered; closed forms over the physics.

Every function takes and gives arrays, one entry per replica; times are seconds.
"""

import numpy as np
import numpy.typing as npt

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
from advisor.records import dataclass

SMALLEST_S = 1e-30
"""Keeps a quotient of two vanishing times defined."""
RESIDENT_INPUT_SHARE = 0.9
RESIDENT_OUTPUT_SHARE = 0.5
"""Mean share of its tokens that a running request holds in cache, in a closed loop (prompts arrive in chunks)."""


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """Load given to every replica: users (or batch), prompt and answer length."""

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

    def lengths(self) -> tuple[Floats, Floats, FloatLike]:
        """Everything but the users, in the order of the fields."""
        return self.input_tokens, self.output_tokens, self.prefix_cache_hit_ratio

    def take(self, index: npt.NDArray[np.intp]) -> "Load":
        """The loads at the given positions."""
        size = self.concurrency.shape
        return Load(self.concurrency[index], *(np.broadcast_to(column, size)[index] for column in self.lengths()))


@dataclass(frozen=True, slots=True, eq=False)
class Timing:
    """Seconds to the first token, seconds per token after it, and output tokens per second of one replica."""

    ttft_s: Floats
    tpot_s: Floats
    output_tokens_per_second: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Decoding:
    """A replica at work: seconds per token, by what they are spent on."""

    batch: Floats
    """Requests that run at a time."""
    step_s: Floats
    """One decode step of that batch; several tokens each with speculation."""
    marginal_s: Floats
    """Prefill of one more prompt."""
    own_s: Floats
    """Of the step, for each token."""
    stalls_s: Floats
    """Of other requests' prefill, for each token."""

    @property
    def tpot_s(self) -> Floats:
        """Together."""
        return self.own_s + self.stalls_s


@dataclass(frozen=True, slots=True, eq=False)
class FirstToken:
    """Seconds to the first token, by what they are spent on."""

    prefill_s: Floats
    steps_s: FloatLike = 0.0
    """Decode steps of the others that pass before and during the prefill."""
    queue_s: FloatLike = 0.0
    """Prefill of the prompts that come before."""
    request_s: FloatLike = 0.0
    turn_s: FloatLike = 0.0
    """Until one of the running requests is done, where not all fit."""

    @property
    def ttft_s(self) -> Floats:
        """Together."""
        return self.prefill_s + (self.steps_s + self.queue_s) + self.request_s + self.turn_s


def loop_decoding(r: Replicas, c: Constants, load: Load) -> Decoding:
    """``concurrency`` users, each asking again as soon as it has its answer; continuous batching.

    TPOT = step(B) / tokens a step + mix (B - 1) marginal / out, where B = min(C, sequences that fit).
    """
    resident = RESIDENT_INPUT_SHARE * load.input_tokens + RESIDENT_OUTPUT_SHARE * load.output_tokens
    batch = np.minimum(np.minimum(np.maximum(load.concurrency, 1.0), memory_batch(r, resident)), r.max_sequences)
    step = decode_step_seconds(r, c, batch, load.input_tokens + load.output_tokens / 2)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    stalls = c.prefill_mix * (batch - 1) * marginal / np.maximum(load.output_tokens, 1.0)
    return Decoding(batch, step, marginal, step / tokens_per_step(r), stalls)


def loop_first_token(r: Replicas, c: Constants, load: Load, running: Decoding) -> FirstToken:
    """TTFT = prefill + wait × step + burst (B - 1) marginal + queue of B - 1 others + request + (C/B - 1) cycle."""
    batch, marginal = running.batch, running.marginal_s
    alone = prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    cycle = alone + np.maximum(load.output_tokens, 1.0) * running.tpot_s
    return FirstToken(
        prefill_s=alone,
        steps_s=(c.step_wait + _further_chunks(r, load, batch)) * _shared_step_seconds(r, c, load, batch),
        queue_s=closed_queue_seconds(batch, marginal, cycle) + c.burst * (batch - 1) * marginal,
        request_s=c.request_s,
        turn_s=(np.maximum(load.concurrency, 1.0) / batch - 1) * cycle,
    )


def closed_queue_seconds(users: Floats, service_s: Floats, cycle_s: Floats) -> Floats:
    """Mean wait for one server of a fixed service time that a closed population uses once in a cycle.

    An arrival finds what the other users alone would keep there (arrival theorem; Reiser and Lavenberg 1980), whose
    share of the queue is (N - 1) / N (Bard and Schweitzer 1979), and of the service that is under way half is left:
    W = (N - 1) s (W + s/2) / (cycle + W). One user never waits, N users never longer than N - 1 services, and many
    users of a long cycle wait as in M/D/1.

    Args:
        users: population N, at least 1.
        service_s: s, seconds of one service.
        cycle_s: seconds from one request of a user to the next without this wait, at least ``service_s``.
    """
    others = np.maximum(users - 1, 0.0) * service_s
    slack = np.maximum(cycle_s, service_s) - others
    root = np.sqrt(slack**2 + 2 * others * service_s)
    wait: Floats = others * service_s / np.maximum(root + slack, SMALLEST_S)
    return np.where(slack > 0, wait, (root - slack) / 2)


def _shared_step_seconds(r: Replicas, c: Constants, load: Load, batch: Floats) -> Floats:
    """One decode step that a prompt shares: of its sequences all but the prompt's own hold half of an answer."""
    return decode_step_seconds(r, c, batch, load.input_tokens + load.output_tokens / 2 * (1 - 1 / batch))


def closed_loop(r: Replicas, c: Constants, load: Load) -> Timing:
    """Times of :func:`loop_decoding` and :func:`loop_first_token`; users = throughput × cycle (Little's law)."""
    running = loop_decoding(r, c, load)
    ttft, tpot = loop_first_token(r, c, load, running).ttft_s, running.tpot_s
    out = np.maximum(load.output_tokens, 1.0)
    return Timing(ttft, tpot, np.maximum(load.concurrency, 1.0) * out / (ttft + (out - 1) * tpot))


def _further_chunks(r: Replicas, load: Load, batch: Floats) -> Floats:
    """Steps beyond the first that a prompt is spread over by a stated token budget, each shared with decoding."""
    chunks = (load.input_tokens - load.cached_tokens) / prompt_tokens_per_step(r, batch - 1)
    return np.where(r.step_tokens_per_sequence > 0, np.maximum(chunks - 1, 0.0), 0.0)


def batch_decoding(r: Replicas, c: Constants, load: Load) -> Decoding:
    """All requests start together and no other follows: nothing stalls a token."""
    batch = np.minimum(load.concurrency, memory_batch(r, load.input_tokens + load.output_tokens))
    step = decode_step_seconds(r, c, batch, load.input_tokens + load.output_tokens / 2)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    return Decoding(batch, step, marginal, step / tokens_per_step(r), np.zeros_like(step))


def batch_first_token(r: Replicas, c: Constants, load: Load, running: Decoding) -> FirstToken:
    """The prompts of a batch are prefilled one after the other: TTFT = prefill + (B - 1) marginal."""
    alone = prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    return FirstToken(alone, queue_s=(running.batch - 1) * running.marginal_s)


def static_batch(r: Replicas, c: Constants, load: Load) -> Timing:
    """Times of :func:`batch_decoding` and :func:`batch_first_token`; what does not fit runs in further waves."""
    running = batch_decoding(r, c, load)
    ttft = batch_first_token(r, c, load, running).ttft_s
    total = load.concurrency / running.batch * (ttft + load.output_tokens * running.tpot_s)
    return Timing(ttft, running.tpot_s, load.concurrency * load.output_tokens / total)


def saturated_decoding(r: Replicas, c: Constants, load: Load) -> Decoding:
    """The queue is never empty: the batch is as large as memory and engine allow."""
    context = load.input_tokens + load.output_tokens / 2
    batch = np.minimum(r.max_sequences, memory_batch(r, context))
    step = decode_step_seconds(r, c, batch, context)
    marginal = marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    stalls = batch * marginal / np.maximum(load.output_tokens, 1.0)
    return Decoding(batch, step, marginal, step / tokens_per_step(r), stalls)


def saturated(r: Replicas, c: Constants, load: Load) -> Timing:
    """Times of :func:`saturated_decoding`. TTFT has no meaning: NaN."""
    running = saturated_decoding(r, c, load)
    return Timing(np.full_like(running.tpot_s, np.nan), running.tpot_s, running.batch / running.tpot_s)
