"""Features of the learned residual: a deployment and its lengths as ratios and shares that carry over to others.

No feature names a model or an accelerator. None depends on the number of users, which is an axis of its own, nor on
the memory bandwidth: wherever a time would contain it, one in fixed proportion to the arithmetic peak stands in. The
residual is therefore the same at any bandwidth, and predictions keep the physics' monotony in it.
"""

import numpy as np
import numpy.typing as npt

from advisor.performance.deployments import Packed
from advisor.performance.physics import (
    Replicas,
    decode_parts,
    marginal_prefill_seconds,
    memory_batch,
    prefill_parts,
)
from advisor.performance.regimes import Load
from advisor.performance.traits import SIZES, TRAITS
from advisor.records import replace

FLOP_PER_BYTE = 300.0
"""Stand-in for the bandwidth: 16-bit FLOP per byte of memory traffic, as on an H100-SXM."""
FEW, MANY = 1.0, 64.0
"""Batches at which the parts of a step are compared."""
MOST_SEQUENCES = 2048.0
"""Cache beyond this many sequences makes no difference."""
USUAL_ANSWER = 512.0
"""Output tokens that stand in for a lone user's: its first token is there before its answer is."""
FIRST = "ttft"
"""Name of the target that depends on the length of other users' answers only."""
PARTS = ("weights", "arithmetic", "cache", "messages", "overhead")
NUMBERS = (
    *(f"{part}_share_at_{batch:.0f}" for batch in (FEW, MANY) for part in PARTS),
    "prefill_arithmetic_share", "prefill_messages_share", "prefill_overhead_share", "prefill_share_at_64",
    "log_prefill", "log_step_at_1", "log_step_at_64", "log_input", "log_output", "log_cached_sequences",
)  # fmt: skip
FEATURES = (*NUMBERS, *SIZES, *TRAITS)


def without_bandwidth(r: Replicas) -> Replicas:
    """The same replicas with a bandwidth in fixed proportion to their arithmetic peak, whatever the kernels."""
    return replace(r, bandwidth=r.attention_flops / FLOP_PER_BYTE, few_flops=r.flops)


def without_pictures(r: Replicas) -> Replicas:
    """The same replicas for text alone, which is what factors were learned from."""
    return replace(r, picture_flop=np.zeros_like(r.picture_flop), picture_pixels=np.zeros_like(r.picture_pixels))


def without_adapters(r: Replicas) -> Replicas:
    """The same replicas without LoRA adapters: nothing was learned with any."""
    if not r.adapters.any():
        return r
    none, one = np.zeros_like(r.adapters), np.ones_like(r.adapters)
    return replace(r, adapters=none, adapter_bytes=none, adapter_step_ratio=one, adapter_copy_s=none)


def features_of(target: str, packed: Packed, load: Load) -> npt.NDArray[np.float32]:
    """Features that one target is learned from, (n, features): the first token of a lone user ignores its answer."""
    if target != FIRST:
        return features(packed, load)
    answers = np.where(load.concurrency > 1, load.output_tokens, USUAL_ANSWER)
    return features(packed, replace(load, output_tokens=answers))


def features(packed: Packed, load: Load) -> npt.NDArray[np.float32]:
    """Features of each entry, shape (n, features); the load's concurrency is not looked at."""
    r, c = without_pictures(without_adapters(without_bandwidth(packed.replicas))), packed.constants
    context = load.input_tokens + load.output_tokens / 2
    few, many = (decode_parts(r, c, np.full_like(context, batch), context) for batch in (FEW, MANY))
    prefill = prefill_parts(r, c, load.input_tokens, load.cached_tokens)
    alone = sum(prefill.values())
    step_few, step_many = sum(few.values()), sum(many.values())
    busy = MANY * marginal_prefill_seconds(r, c, load.input_tokens, load.cached_tokens)
    columns = [parts[name] / step for parts, step in ((few, step_few), (many, step_many)) for name in PARTS]
    columns += [prefill[name] / alone for name in ("arithmetic", "messages", "overhead")]
    columns += [
        busy / (busy + load.output_tokens * step_many),
        np.log(alone),
        np.log(step_few),
        np.log(step_many),
        np.log(load.input_tokens + 1),
        np.log(load.output_tokens + 1),
        np.log(np.minimum(memory_batch(r, context), MOST_SEQUENCES)),
    ]
    table = np.empty((context.size, len(FEATURES)), dtype=np.float32)
    for at, column in enumerate(columns):
        table[:, at] = column
    table[:, len(columns) :] = packed.fixed[packed.origin]
    return table
