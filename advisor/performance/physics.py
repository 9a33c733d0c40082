"""Seconds of one engine step, from bytes, FLOPs and messages; every formula of the model once.

All functions are vectorised: a :class:`Replicas` holds one array entry per replica, and every argument broadcasts
against them. Units are SI: seconds, bytes, FLOP/s. ``c`` holds the fitted constants
(:mod:`advisor.performance.constants`): multipliers of the ideal time, or seconds per event.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FloatLike = Floats | float

HEAD_BYTES_PER_PARAM = 2.0
"""Embedding and output head stay in 16 bit in every quantised checkpoint that the models table holds."""
ACTIVATION_BYTES = 2.0
"""Bytes of one activation in an all-reduce."""
MIN_DENSE_SHARE = 0.02
"""Least share of a model's parameters that is read at every step, whatever the expert counts say."""


@dataclass(frozen=True, slots=True, eq=False)
class Replicas:
    """Model, accelerators and layout of many replicas, one entry each; every field is an array of one shape."""

    params_total: Floats
    params_active: Floats
    layers: Floats
    hidden: Floats
    head_params: Floats
    """Vocabulary × hidden."""
    head_copies: Floats
    """1 for tied embeddings, 2 otherwise."""
    experts: Floats
    experts_per_token: Floats
    expert_params: Floats
    moe_layers: Floats
    kv_copies: Floats
    """How often a token's cache is held: a latent cache by each rank, and a head by each rank when heads are few."""
    kv_elements_per_token: Floats
    window_tokens: Floats
    window_share: Floats
    prefill_width: Floats
    """Heads × head dimension, summed over layers: the width of attention over a prompt."""
    decode_width: Floats
    """The same while decoding; wider for MLA, which then attends to the latent itself."""
    weight_bytes_per_param: Floats
    """Of everything but embedding and head."""
    kv_bytes_per_element: Floats
    bandwidth: Floats
    """Bytes per second of one accelerator's memory."""
    flops: Floats
    """FLOP/s of one accelerator in the precision of the weight arithmetic."""
    attention_flops: Floats
    """FLOP/s of one accelerator in 16 bit."""
    link: Floats
    """Bytes per second from one accelerator to the others of its replica, per direction."""
    shards: Floats
    """Accelerators of one pipeline stage: tensor parallel × attention data parallel."""
    attention_shards: Floats
    """Accelerators over which one sequence's attention is split."""
    pipeline: Floats
    layer_split: Floats
    """1 where several accelerators hold consecutive layers and work one after the other (llama.cpp)."""
    kv_cache_bytes: Floats
    """Memory for KV cache of the whole replica."""
    max_sequences: Floats
    """Most sequences that the engine runs at a time."""

    def column(self) -> "Replicas":
        """The same replicas as a column, to broadcast against a row of lengths."""
        return Replicas(**{f.name: getattr(self, f.name)[:, None] for f in fields(self)})

    def take(self, index: npt.NDArray[np.intp]) -> "Replicas":
        """The replicas at the given positions."""
        return Replicas(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """Fitted constants, each a number or one entry per replica; see the table in the constants module."""

    weight_read: FloatLike
    kv_read: FloatLike
    gemm: FloatLike
    attention: FloatLike
    link_bytes: FloatLike
    link_hop_s: FloatLike
    layer_s: FloatLike
    moe_layer_s: FloatLike
    step_s: FloatLike
    sequence_s: FloatLike
    prompt_token_s: FloatLike
    request_s: FloatLike
    prefill_mix: FloatLike
    step_wait: FloatLike
    burst: FloatLike
    moe_gemm: FloatLike

    def column(self) -> "Constants":
        """The same constants as a column, to broadcast against a row of lengths."""
        return Constants(**{f.name: _column(getattr(self, f.name)) for f in fields(self)})


def _column(value: FloatLike) -> FloatLike:
    """A vector as a column; a number as it is."""
    return value[:, None] if isinstance(value, np.ndarray) and value.ndim else value


def distinct_experts(experts: Floats, per_token: Floats, tokens: FloatLike) -> Floats:
    """Expected distinct experts of a layer that ``tokens`` tokens hit: E (1 - (1 - k/E)^tokens), uniform routing."""
    count = np.maximum(experts, 1.0)
    miss = np.log1p(-np.minimum(per_token / count, 1 - 1e-9))
    return np.where(experts > 0, count * -np.expm1(tokens * miss), 0.0)


def attended_tokens(r: Replicas, context: FloatLike) -> Floats:
    """Tokens that one query attends to, averaged over layers: windowed layers see at most their window."""
    windowed = np.where(r.window_tokens > 0, np.minimum(context, r.window_tokens), context)
    return context * (1 - r.window_share) + windowed * r.window_share


def kv_bytes_per_sequence(r: Replicas, context: FloatLike) -> Floats:
    """Bytes of cache that one sequence of ``context`` tokens holds in the whole replica, copies included."""
    return attended_tokens(r, context) * r.kv_elements_per_token * r.kv_bytes_per_element * r.kv_copies


def _weight_seconds(r: Replicas, tokens: FloatLike) -> Floats:
    """Ideal seconds to read the weights that ``tokens`` tokens use: dense parts, experts hit, output head."""
    expert_total = r.moe_layers * r.experts * r.expert_params
    body = r.params_total - r.head_params * r.head_copies
    dense = np.maximum(body - expert_total, MIN_DENSE_SHARE * r.params_total)
    hit = r.moe_layers * distinct_experts(r.experts, r.experts_per_token, tokens) * r.expert_params
    body_bytes = r.weight_bytes_per_param * (dense / r.attention_shards + hit / r.shards)
    return (body_bytes + HEAD_BYTES_PER_PARAM * r.head_params / r.shards) / r.bandwidth


def _flop_seconds(r: Replicas, tokens: FloatLike) -> Floats:
    """Ideal seconds of the matrix products: 2 FLOP per active parameter and token (Kaplan et al. 2020, table 1)."""
    active = np.maximum(r.params_active - r.head_params, 0.0)
    return 2 * active * tokens / (r.shards * r.flops)


def _moe_factor(r: Replicas, c: Constants) -> Floats:
    """Grouped products of a mixture of experts cost more than a dense one of the same size."""
    return np.where(r.experts > 0, c.moe_gemm, 1.0)


def _gemm_seconds(r: Replicas, c: Constants, tokens: FloatLike) -> Floats:
    """Matrix products: memory time and arithmetic time overlap in part, (m³ + a³)^(1/3).

    The exponent lies between their sum (1) and their maximum (infinity).
    """
    memory = c.weight_read * _weight_seconds(r, tokens)
    arithmetic = c.gemm * _flop_seconds(r, tokens)
    joined = np.cbrt(memory * memory * memory + arithmetic * arithmetic * arithmetic)
    return joined * _moe_factor(r, c)


def _ring_seconds(r: Replicas, c: Constants, tokens: FloatLike) -> Floats:
    """Bytes of two ring all-reduces a layer: each sends 2 (n-1)/n of the activations (Patarasuk and Yuan 2009)."""
    sent = 2 * (r.shards - 1) / r.shards * tokens * r.hidden * ACTIVATION_BYTES
    return np.where(r.layer_split > 0, 0.0, 2 * r.layers * c.link_bytes * sent / r.link)


def _hop_seconds(r: Replicas, c: Constants) -> Floats:
    """Latency of two all-reduces a layer, log2(n) hops each."""
    return np.where(r.layer_split > 0, 0.0, 2 * r.layers * c.link_hop_s * np.log2(r.shards))


def _launch_seconds(r: Replicas, c: Constants) -> Floats:
    """Kernel launches, expert routing and the scheduler: paid once a step, whatever the batch."""
    return r.layers * c.layer_s + r.moe_layers * c.moe_layer_s + c.step_s


def decode_step_seconds(r: Replicas, c: Constants, batch: FloatLike, context: FloatLike) -> Floats:
    """Seconds in which each of ``batch`` sequences of mean length ``context`` gets its next token.

    A pipeline of p stages works on p micro-batches; a token passes all stages, so one step costs every stage's time
    at batch / p.
    """
    micro = np.maximum(batch / r.pipeline, 1.0)
    read = kv_bytes_per_sequence(r, context) / (r.shards * r.bandwidth)
    scored = 4 * attended_tokens(r, context) * r.decode_width / (r.shards * r.attention_flops)
    attention = micro * np.maximum(c.kv_read * read, c.attention * scored)
    messages = _ring_seconds(r, c, micro) + _hop_seconds(r, c)
    seconds: Floats = _gemm_seconds(r, c, micro) + attention + messages + _launch_seconds(r, c) + c.sequence_s * micro
    return seconds


def _prefill_attention_seconds(r: Replicas, c: Constants, tokens: FloatLike) -> Floats:
    """Causal attention over a prompt: 2 × tokens × attended tokens × width FLOP."""
    flop = 2 * tokens * attended_tokens(r, tokens) * r.prefill_width
    seconds: Floats = c.attention * flop / (r.shards * r.attention_flops)
    return seconds


def prefill_seconds(r: Replicas, c: Constants, tokens: FloatLike) -> Floats:
    """Seconds to prefill one prompt of ``tokens`` tokens on an idle replica."""
    busy = _gemm_seconds(r, c, tokens) + _prefill_attention_seconds(r, c, tokens)
    messages = _ring_seconds(r, c, tokens) + _hop_seconds(r, c)
    return busy + messages + _launch_seconds(r, c) + c.prompt_token_s * tokens


def marginal_prefill_seconds(r: Replicas, c: Constants, tokens: FloatLike) -> Floats:
    """Seconds that one more prompt adds to a busy replica.

    Weight reads, launches and all-reduce latency are shared with the step it rides in; a busy pipeline is full.
    """
    arithmetic = c.gemm * _flop_seconds(r, tokens) * _moe_factor(r, c)
    moved = arithmetic + _prefill_attention_seconds(r, c, tokens) + _ring_seconds(r, c, tokens)
    return (moved + c.prompt_token_s * tokens) / r.pipeline + c.sequence_s


def memory_batch(r: Replicas, context: FloatLike) -> Floats:
    """Sequences of ``context`` tokens whose KV cache fits; at least 1."""
    return np.maximum(r.kv_cache_bytes / np.maximum(kv_bytes_per_sequence(r, context), 1.0), 1.0)
