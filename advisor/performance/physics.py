"""Seconds of one engine step, from bytes, FLOPs and messages; every formula of the model once.

All functions are vectorised: a :class:`Replicas` holds one array entry per replica, and every argument broadcasts
against them. Units are SI: seconds, bytes, FLOP/s. ``c`` holds the fitted constants
(:mod:`advisor.performance.constants`): multipliers of the ideal time, or seconds per event.
"""

import numpy as np
import numpy.typing as npt

from advisor.records import dataclass, fields

Floats = npt.NDArray[np.float64]
FloatLike = Floats | float

HEAD_BYTES_PER_PARAM = 2.0
"""Embedding and output head stay in 16 bit in every quantised checkpoint that the models table holds."""
ACTIVATION_BYTES = 2.0
"""Bytes of one activation in an all-reduce."""
SECONDS_PER_PIXEL = 1.9e-8
"""Decoding and scaling a picture on the host, which holds the engine up: ``tests/benchmarks/bench_pictures.py``."""
PICTURE_FACTORS = (0.9, 4.6)
"""Ends of the interval of the time that pictures take, as factors: eight in ten of what was measured
(``tests/benchmarks/bench_pictures.py``)."""
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
    few_flops: Floats
    """The same of each further sequence that decodes: less where kernels unpack quantised weights for each of a few
    vectors (llama.cpp)."""
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
    all_to_all: Floats
    """1 where ranks that each hold all of attention send tokens to the ranks that hold their experts."""
    step_tokens: Floats
    """Prompt tokens that one step takes in."""
    step_tokens_per_sequence: Floats
    """How many fewer it takes in for each sequence that decodes beside them: 0 unless a token budget is stated."""
    draft_tokens: Floats
    """Tokens drafted ahead in each step; 0 without speculation."""
    draft_acceptance: Floats
    """Probability that a drafted token is accepted when those before it were."""
    draft_params: Floats
    """Parameters that drafting one token reads."""
    draft_layers: Floats
    picture_flop: Floats
    """FLOPs of encoding the pictures of a request."""
    picture_pixels: Floats
    """Pixels of the pictures of a request, which the host decodes and scales."""
    adapters: Floats
    """LoRA adapters that requests are for, all alike; 0 for none."""
    adapter_bytes: Floats
    """Bytes of one of them that each accelerator reads, in 16 bit."""
    adapter_step_ratio: Floats
    """Time of a step with adapters over that without, beside their bytes and FLOPs; 1 for none."""
    adapter_copy_s: Floats
    """Expected seconds until a request's adapter is copied from host memory to the accelerators."""

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
    if not experts.any():
        return np.zeros(np.broadcast_shapes(experts.shape, np.shape(tokens)))
    count = np.maximum(experts, 1.0)
    miss = np.log1p(-np.minimum(per_token / count, 1 - 1e-9))
    return np.where(experts > 0, count * -np.expm1(tokens * miss), 0.0)


def distinct_adapters(r: Replicas, sequences: FloatLike) -> Floats:
    """Expected different adapters of so many sequences, all adapters asked for alike: no other shares make it more."""
    return distinct_experts(r.adapters, np.ones_like(r.adapters), sequences)


def attended_tokens(r: Replicas, context: FloatLike) -> Floats:
    """Tokens that one query attends to, averaged over layers: windowed layers see at most their window."""
    if not r.window_share.any():
        return context + np.zeros_like(r.window_share)
    windowed = np.where(r.window_tokens > 0, np.minimum(context, r.window_tokens), context)
    return context * (1 - r.window_share) + windowed * r.window_share


def kv_bytes_per_sequence(r: Replicas, context: FloatLike) -> Floats:
    """Bytes of cache that one sequence of ``context`` tokens holds in the whole replica, copies included."""
    return attended_tokens(r, context) * r.kv_elements_per_token * r.kv_bytes_per_element * r.kv_copies


def least_token_seconds(r: Replicas) -> Floats:
    """Lower bound of the time per token: the weights that it uses are read once from memory, for all of its step."""
    return _weight_seconds(r, 1.0) / tokens_per_step(r)


def _weight_seconds(r: Replicas, tokens: FloatLike, sequences: FloatLike = 1.0) -> Floats:
    """Ideal seconds to read the weights that ``tokens`` tokens use: dense parts, experts hit, output head, adapters."""
    expert_total = r.moe_layers * r.experts * r.expert_params
    body = r.params_total - r.head_params * r.head_copies
    dense = np.maximum(body - expert_total, MIN_DENSE_SHARE * r.params_total)
    hit = r.moe_layers * distinct_experts(r.experts, r.experts_per_token, tokens) * r.expert_params
    body_bytes = r.weight_bytes_per_param * (dense / r.attention_shards + hit / r.shards)
    read = body_bytes + HEAD_BYTES_PER_PARAM * r.head_params / r.shards
    if r.adapters.any():
        read = read + distinct_adapters(r, sequences) * r.adapter_bytes
    return read / r.bandwidth


def _flop_seconds(r: Replicas, tokens: FloatLike, few: FloatLike = 0.0) -> Floats:
    """Ideal seconds of the matrix products, *few* of whose tokens go by the kernels for a few vectors.

    2 FLOP per active parameter and token (Kaplan et al. 2020, table 1). An adapter's parameters take 2 bytes each, so
    that its bytes are its FLOP for each token too, in 16 bit.
    """
    active = np.maximum(r.params_active - r.head_params, 0.0)
    slower: Floats = 2 * active * few / r.shards * (1 / r.few_flops - 1 / r.flops)
    seconds = 2 * active * tokens / (r.shards * r.flops) + slower
    return seconds + r.adapter_bytes * tokens / r.attention_flops if r.adapters.any() else seconds


def _moe_factor(r: Replicas, c: Constants) -> Floats:
    """Grouped products of a mixture of experts cost more than a dense one of the same size."""
    return np.where(r.experts > 0, c.moe_gemm, 1.0)


def _gemm_bounds(
    r: Replicas, c: Constants, tokens: FloatLike, few: FloatLike = 0.0, sequences: FloatLike = 1.0
) -> tuple[Floats, Floats]:  # fmt: skip
    """Matrix products as long as their memory takes and as long as their arithmetic takes, cubed."""
    memory = c.weight_read * _weight_seconds(r, tokens, sequences)
    arithmetic = c.gemm * _flop_seconds(r, tokens, few)
    return memory * memory * memory, arithmetic * arithmetic * arithmetic


def _gemm_seconds(
    r: Replicas, c: Constants, tokens: FloatLike, few: FloatLike = 0.0, sequences: FloatLike = 1.0
) -> Floats:  # fmt: skip
    """Matrix products: memory time and arithmetic time overlap in part, (m³ + a³)^(1/3).

    The exponent lies between their sum (1) and their maximum (infinity).
    """
    memory, arithmetic = _gemm_bounds(r, c, tokens, few, sequences)
    return np.cbrt(memory + arithmetic) * _moe_factor(r, c) * r.adapter_step_ratio


def _ring_bytes(ranks: Floats, tokens: FloatLike, hidden: Floats) -> Floats:
    """Bytes that each rank sends in a ring all-reduce: 2 (n-1)/n of the activations (Patarasuk and Yuan 2009)."""
    sent: Floats = 2 * (ranks - 1) / ranks * tokens * hidden * ACTIVATION_BYTES
    return sent


def _ring_seconds(r: Replicas, c: Constants, tokens: FloatLike) -> Floats:
    """Bytes of two all-reduces a layer, or of what takes their place where the experts' ranks hold all of attention."""
    sent = _ring_bytes(r.shards, tokens, r.hidden)
    seconds = np.where(r.layer_split > 0, 0.0, 2 * r.layers * c.link_bytes * sent / r.link)
    return np.where(r.all_to_all > 0, _all_to_all_seconds(r, c, tokens), seconds) if r.all_to_all.any() else seconds


def _all_to_all_seconds(r: Replicas, c: Constants, tokens: FloatLike) -> Floats:
    """Bytes of dispatch and combine in each mixture-of-experts layer, and of attention's all-reduce in each group.

    A rank holds tokens / n, and sends each to the other ranks that hold any of its k experts:
    (n-1) (1 - (1 - 1/n)^k) of them on average, uniform routing.
    """
    others = (r.shards - 1) * (1 - (1 - 1 / r.shards) ** r.experts_per_token)
    routed = 2 * tokens / r.shards * others * r.hidden * ACTIVATION_BYTES
    groups = r.shards / r.attention_shards
    reduced = _ring_bytes(r.attention_shards, tokens / groups, r.hidden)
    seconds: Floats = c.link_bytes * (r.moe_layers * routed + r.layers * reduced) / r.link
    return seconds


def _hop_seconds(r: Replicas, c: Constants) -> Floats:
    """Latency of two all-reduces a layer, log2(n) hops each; dispatch and combine are one hop each."""
    seconds = np.where(r.layer_split > 0, 0.0, 2 * r.layers * c.link_hop_s * np.log2(r.shards))
    if not r.all_to_all.any():
        return seconds
    direct = c.link_hop_s * (2 * r.moe_layers + r.layers * np.log2(r.attention_shards))
    return np.where(r.all_to_all > 0, direct, seconds)


def _launch_seconds(r: Replicas, c: Constants) -> Floats:
    """Kernel launches, expert routing and the scheduler: paid once a step, whatever the batch.

    Adapters add kernels to each layer as they add time to its products.
    """
    return (r.layers * c.layer_s + r.moe_layers * c.moe_layer_s) * r.adapter_step_ratio + c.step_s


def decode_step_seconds(r: Replicas, c: Constants, batch: FloatLike, context: FloatLike) -> Floats:
    """Seconds of one step, in which each of ``batch`` sequences of mean length ``context`` gets its next token.

    A pipeline of p stages works on p micro-batches; a token passes all stages, so one step costs every stage's time
    at batch / p. With speculation the step also verifies each sequence's drafted tokens, for which the cache is read
    no second time, and drafts the next ones; it then yields :func:`tokens_per_step`.
    """
    micro = np.maximum(batch / r.pipeline, 1.0)
    tokens = micro * (1 + r.draft_tokens)
    attention = _decode_attention_seconds(r, c, micro, context)
    messages = _ring_seconds(r, c, tokens) + _hop_seconds(r, c)
    products = _gemm_seconds(r, c, tokens, np.maximum(tokens - 1, 0.0), micro)
    seconds: Floats = products + attention + messages + _launch_seconds(r, c) + c.sequence_s * micro
    return seconds + _draft_seconds(r, c, micro, context) if r.draft_tokens.any() else seconds


def decode_parts(r: Replicas, c: Constants, batch: FloatLike, context: FloatLike) -> dict[str, Floats]:
    """The same step by what it is spent on: weights, arithmetic, cache, messages and overhead; together all of it."""
    micro = np.maximum(batch / r.pipeline, 1.0)
    tokens = micro * (1 + r.draft_tokens)
    parts = _gemm_parts(r, c, tokens, np.maximum(tokens - 1, 0.0), micro)
    parts["cache"] = _decode_attention_seconds(r, c, micro, context)
    parts["messages"] = _ring_seconds(r, c, tokens) + _hop_seconds(r, c)
    parts["overhead"] = _launch_seconds(r, c) + c.sequence_s * micro
    if r.draft_tokens.any():
        parts["overhead"] = parts["overhead"] + _draft_seconds(r, c, micro, context)
    return parts


def _gemm_parts(
    r: Replicas, c: Constants, tokens: FloatLike, few: FloatLike = 0.0, sequences: FloatLike = 1.0
) -> dict[str, Floats]:  # fmt: skip
    """Matrix products split into reading weights and arithmetic, as their cubes are."""
    memory, arithmetic = _gemm_bounds(r, c, tokens, few, sequences)
    whole = np.cbrt(memory + arithmetic) * _moe_factor(r, c) * r.adapter_step_ratio
    share = memory / (memory + arithmetic)
    return {"weights": whole * share, "arithmetic": whole * (1 - share)}


def tokens_per_step(r: Replicas) -> Floats:
    """Expected tokens that a step yields each sequence: (1 - a^(k+1)) / (1 - a), Leviathan et al. 2023, equation 1."""
    if not r.draft_tokens.any():
        return np.ones_like(r.draft_tokens)
    rejected = 1 - r.draft_acceptance
    certain = rejected <= 0
    drafted = (1 - r.draft_acceptance ** (r.draft_tokens + 1)) / np.where(certain, 1.0, rejected)
    return np.where(certain, 1 + r.draft_tokens, drafted)


def _decode_attention_seconds(r: Replicas, c: Constants, micro: FloatLike, context: FloatLike) -> Floats:
    """Reading the cache once, or scoring each token against it, whichever takes longer."""
    read = kv_bytes_per_sequence(r, context) / (r.shards * r.bandwidth)
    scored = 4 * attended_tokens(r, context) * r.decode_width / (r.shards * r.attention_flops)
    seconds: Floats = micro * np.maximum(c.kv_read * read, c.attention * scored * (1 + r.draft_tokens))
    return seconds


def _draft_seconds(r: Replicas, c: Constants, micro: FloatLike, context: FloatLike) -> Floats:
    """Seconds to draft the tokens of one step, one after the other.

    The draft runs on the same ranks in the precision of its target, and each of its layers costs as much attention,
    launching and latency as a layer of the target.
    """
    memory = c.weight_read * r.draft_params * r.weight_bytes_per_param / (r.shards * r.bandwidth)
    arithmetic = c.gemm * 2 * r.draft_params * micro / (r.shards * r.flops)
    layer = _decode_attention_seconds(r, c, micro, context) / r.layers + c.layer_s + _hop_seconds(r, c) / r.layers
    seconds: Floats = r.draft_tokens * (np.cbrt(memory**3 + arithmetic**3) + r.draft_layers * layer)
    return seconds


def _prefill_attention_seconds(r: Replicas, c: Constants, tokens: FloatLike) -> Floats:
    """Causal attention over a prompt: 2 × tokens × attended tokens × width FLOP."""
    flop = 2 * tokens * attended_tokens(r, tokens) * r.prefill_width
    seconds: Floats = c.attention * flop / (r.shards * r.attention_flops)
    return seconds


def _rest_attention_seconds(r: Replicas, c: Constants, tokens: FloatLike, cached: FloatLike) -> Floats:
    """Attention of the tokens after the cached ones over the whole prompt: all of it less that among the cached.

    Reading the cached part is left out: from some thirty new tokens on it takes less time than their arithmetic.
    """
    return _prefill_attention_seconds(r, c, tokens) - _prefill_attention_seconds(r, c, cached)


def prefill_seconds(r: Replicas, c: Constants, tokens: FloatLike, cached: FloatLike = 0.0) -> Floats:
    """Seconds to prefill one prompt of ``tokens`` tokens, the first ``cached`` of them held, on an idle replica."""
    new = tokens - cached
    busy = _gemm_seconds(r, c, new) + _rest_attention_seconds(r, c, tokens, cached)
    messages = _ring_seconds(r, c, new) + _hop_seconds(r, c)
    return busy + messages + _launch_seconds(r, c) + c.prompt_token_s * tokens + picture_seconds(r, c)


def prefill_parts(r: Replicas, c: Constants, tokens: FloatLike, cached: FloatLike = 0.0) -> dict[str, Floats]:
    """The same prefill by what it is spent on: weights, arithmetic, attention, messages and overhead."""
    new = tokens - cached
    parts = _gemm_parts(r, c, new)
    parts["attention"] = _rest_attention_seconds(r, c, tokens, cached)
    parts["messages"] = _ring_seconds(r, c, new) + _hop_seconds(r, c)
    parts["overhead"] = _launch_seconds(r, c) + c.prompt_token_s * tokens
    return parts


def marginal_prefill_seconds(r: Replicas, c: Constants, tokens: FloatLike, cached: FloatLike = 0.0) -> Floats:
    """Seconds that one more prompt adds to a busy replica.

    Weight reads, launches and all-reduce latency are shared with the step it rides in; a busy pipeline is full. The
    step waits while an adapter is copied.
    """
    new = tokens - cached
    arithmetic = c.gemm * _flop_seconds(r, new) * _moe_factor(r, c) * r.adapter_step_ratio
    moved = arithmetic + _rest_attention_seconds(r, c, tokens, cached) + _ring_seconds(r, c, new)
    return (moved + c.prompt_token_s * tokens) / r.pipeline + c.sequence_s + picture_seconds(r, c) + r.adapter_copy_s


def picture_seconds(r: Replicas, c: Constants) -> Floats:
    """Seconds that the pictures of a request take: ``gemm · FLOPs ÷ 16-bit peak of one accelerator + s · pixels``.

    Splitting the tower over the ranks of a replica saved nothing where it was measured, so that it is not counted.
    """
    seconds: Floats = c.gemm * r.picture_flop / r.attention_flops + SECONDS_PER_PIXEL * r.picture_pixels
    return seconds


def prompt_tokens_per_step(r: Replicas, batch: FloatLike) -> Floats:
    """Prompt tokens that a step takes in beside ``batch`` sequences that decode; at least 1, so that it goes on."""
    return np.maximum(r.step_tokens - r.step_tokens_per_sequence * batch, 1.0)


def memory_batch(r: Replicas, context: FloatLike) -> Floats:
    """Sequences of ``context`` tokens whose KV cache fits; at least 1."""
    return np.maximum(r.kv_cache_bytes / np.maximum(kv_bytes_per_sequence(r, context), 1.0), 1.0)
