"""Seconds of single engine steps, as tables that a simulation can look up: the same physics as the closed forms.

A step that decodes B sequences holding K tokens in all takes base[B] + slope[B] · K: exact in B, and exact in K where a
sequence holds the mean number of tokens of the histogram. Both carry the learned factor of the time per token at B
running requests. What prompts add is their marginal prefill times the same factor; a step without decodes takes the
whole prefill of its prompts. The first token is later than its step by the fixed times that
:mod:`advisor.performance.queueing` knows (:func:`own_seconds`), less what a simulation sees by itself.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from advisor.demand.values import TokenHistogram
from advisor.performance import Deployment
from advisor.performance.deployments import Packed, pack
from advisor.performance.model import PerformanceModel
from advisor.performance.physics import (
    Floats,
    decode_step_seconds,
    kv_bytes_per_sequence,
    marginal_prefill_seconds,
    picture_seconds,
    prefill_seconds,
    tokens_per_step,
)
from advisor.performance.queueing import length_points, offer, state_at
from advisor.records import dataclass

SIMULATED_STEPS = 1.5
"""Steps to a first token that a simulation sees by itself: half of the running one, and the one it comes from."""

Table = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Times of one replica's steps and what it can hold; tables by the number of sequences that decode."""

    base_s: Table
    """Of a decode step, whatever the sequences hold; entry 0 is of no meaning."""
    per_token_s: Table
    """Of a decode step, for each token that the sequences hold."""
    learned: Table
    """Factor of what prompts add; 1 where nothing decodes."""
    lag_s: Table
    """From the end of the step that computes a prompt to its first token, fixed times of the request included."""
    prompt_s: Table
    """Marginal prefill of the first so many tokens of a prompt; one entry for each length up to the context."""
    begin_s: float
    """What one prompt adds whatever its length: a sequence, and its pictures."""
    cached_token_s: float
    """For each token of a prompt that is held already."""
    alone_s: Table
    """What a step without decodes takes beyond its prompts' marginal prefill, by its prompt tokens."""
    ttft_factor: float
    """Learned factor of the time to first token."""
    kv_tokens: int
    """Tokens that the cache holds."""
    max_sequences: int
    step_tokens: int
    """Prompt tokens that a step takes in."""
    step_tokens_per_sequence: int
    """How many fewer for each sequence that decodes."""
    prefix_cache_hit_ratio: float

    @property
    def context_tokens(self) -> int:
        """The longest request served."""
        return len(self.prompt_s) - 1

    @cached_property
    def budgets(self) -> tuple[int, ...]:
        """Prompt tokens that a step takes in, by the number of sequences that decode."""
        fewer = self.step_tokens_per_sequence
        return tuple(max(self.step_tokens - fewer * batch, 1) for batch in range(self.max_sequences + 1))

    @cached_property
    def prompts_s(self) -> Floats:
        """The marginal prefill as an array."""
        return np.array(self.prompt_s)

    @cached_property
    def lags_s(self) -> Floats:
        """The lags as an array."""
        return np.array(self.lag_s)

    @cached_property
    def held_tokens(self) -> npt.NDArray[np.int64]:
        """Tokens of a prompt of each length that the prefix cache holds; one entry for each up to the context."""
        lengths = np.arange(len(self.prompt_s))
        return np.minimum((self.prefix_cache_hit_ratio * lengths).astype(np.int64), lengths - 1)

    @cached_property
    def fresh_s(self) -> Floats:
        """Time that a prompt of each length adds to a step that takes in no other; one entry for each."""
        computed_s = self.prompts_s - self.prompts_s[self.held_tokens]
        seconds: Floats = self.begin_s + self.cached_token_s * self.held_tokens + computed_s
        return seconds


def step_times(
    deployment: Deployment, model: PerformanceModel, tokens: TokenHistogram, context_tokens: int
) -> StepTimes:  # fmt: skip
    """Tables of one replica for requests up to *context_tokens*, prompt and answer, learned factors at some lengths."""
    packed = pack([deployment], model.calibration.constants)
    r, c = packed.replicas, packed.constants
    limit, budget = int(r.max_sequences[0]), int(r.step_tokens[0])
    resident = length_points(tokens).resident_tokens
    ttft_factor, learned = _learned(packed, model, tokens, limit)
    batch = np.arange(1.0, limit + 1)
    speed = learned / tokens_per_step(r)
    base = speed * decode_step_seconds(r, c, batch, 0.0)
    step = speed * decode_step_seconds(r, c, batch, resident)
    begin = float((np.asarray(c.sequence_s) + picture_seconds(r, c) + r.adapter_copy_s)[0])
    lengths = np.arange(context_tokens + 1.0)
    prompt = marginal_prefill_seconds(r, c, lengths) - begin
    new = np.arange(max(budget, 1) + 1.0)
    alone = prefill_seconds(r, c, new) - (marginal_prefill_seconds(r, c, new) - begin) - begin
    wait, request = (float(np.asarray(seconds)[0]) for seconds in (c.step_wait, c.request_s))
    full_step = step * tokens_per_step(r)
    return StepTimes(
        base_s=_table(0.0, base),
        per_token_s=_table(0.0, (step - base) / (batch * resident)),
        learned=_table(1.0, learned),
        lag_s=_table(wait * float(full_step[0]) + request, max(wait - SIMULATED_STEPS, 0.0) * full_step + request),
        prompt_s=tuple(prompt.tolist()),
        begin_s=begin,
        cached_token_s=float((np.asarray(c.prompt_token_s) / r.pipeline)[0]),
        alone_s=tuple(alone.tolist()),
        ttft_factor=ttft_factor,
        kv_tokens=int((r.kv_cache_bytes / kv_bytes_per_sequence(r, resident) * resident)[0]),
        max_sequences=limit,
        step_tokens=budget,
        step_tokens_per_sequence=int(r.step_tokens_per_sequence[0]),
        prefix_cache_hit_ratio=tokens.prefix_cache_hit_ratio,
    )


def _learned(packed: Packed, model: PerformanceModel, tokens: TokenHistogram, limit: int) -> tuple[float, Floats]:
    """Learned factors: of the time to first token, and of a step with 1 to *limit* running requests."""
    every = np.zeros(limit, dtype=np.intp)
    learned = model.open_loop(packed, tokens)
    service = offer(packed.take(every), tokens, learned.take(every))
    batch = np.arange(1.0, limit + 1)
    r, c = service.packed.replicas, service.packed.constants
    factor: Floats = state_at(service, batch).step_s / decode_step_seconds(r, c, batch, service.points.resident_tokens)
    return float(learned.ttft[0]), factor


def _table(idle: float, values: Floats) -> Table:
    """Values for 1, 2, … sequences behind the one for none."""
    return (idle, *values.tolist())
