"""Layers of a decoder that attend to everything, to a window, or keep a recurrent state, and their cache.

A layer caches its keys and values for every token, for the tokens of a window, or keeps a state of fixed size for the
whole sequence. Engines hand the memory out in blocks; layers that need different numbers of blocks are put into groups
of equal size, which wastes some of it. The grouping here is vLLM's.

What a configuration states itself (sizes, heads, ``attention_bias`` ...) is read from it; what the modelling code of a
family fixes (whether the query has a bias, how many norms a layer has) stands here, by ``model_type``.
"""

from enum import StrEnum
from functools import lru_cache
from math import ceil

from advisor.errors import InputError
from advisor.models.config_fields import ConfigFields
from advisor.models.layers import MixerKind
from advisor.models.model import Model
from advisor.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class DecoderTraits:
    """Traits fixed by the code of a model family."""

    qkv_bias: bool = False
    """Where the configuration has no ``attention_bias``."""
    output_bias: bool | None = False
    """None: as ``attention_bias`` says."""
    mlp_bias: bool = False
    matrices: int = 3
    """Of the feed-forward network: 3 when gated, else 2."""
    norms: float = 2
    """Norms of a layer, each as wide as the hidden state."""
    norm_vectors: int = 1
    """1: weight only; 2: weight and bias; 0: none is learned."""
    head_norm: str = ""
    """Norms on queries and keys: "" none, "dim" one vector of the head dimension each, "all" one over all heads."""
    tied: bool = False
    """Where the configuration has no ``tie_word_embeddings``."""
    head_bias: bool = False
    positions_offset: int | None = None
    """Learned positions: rows beyond the maximum; None: no learned positions."""
    embedding_norm: bool = False
    alternate_window: int = 0
    """Every n-th layer attends to everything, the others to a window; 0: as the configuration says."""
    router_vectors: int = 0
    """Bias or correction values that the router keeps per expert."""
    expert_bias: bool = False
    sinks: bool = False
    overflows_half: bool = False
    """Its hidden states are beyond the range of fp16: vLLM refuses to start it so (config/model.py)."""


_LLAMA = DecoderTraits(output_bias=None)
_CLASSIC = DecoderTraits(
    qkv_bias=True, output_bias=True, mlp_bias=True, matrices=2, norm_vectors=2, tied=True, positions_offset=0
)
"""GPT-2 and its kin: layer norms and biases everywhere."""
_GEMMA = DecoderTraits(tied=True, output_bias=None)
_TRAITS = {
    (
        "llama", "mistral", "ministral", "ministral3", "aquila", "yi", "internlm2", "internlm3", "baichuan", "granite",
        "granitemoe", "granitemoeshared", "granitemoehybrid", "deci", "nemotron-nas", "ernie4_5",
    ): _LLAMA,
    ("internlm", "seed_oss"): replace(_LLAMA, qkv_bias=True),
    ("smollm3",): replace(_LLAMA, tied=True),
    ("llama4", "llama4_text"): replace(_LLAMA, alternate_window=4),
    ("ernie4_5_moe", "mimo_v2_flash"): replace(_LLAMA, router_vectors=1),
    ("phi3", "mixtral", "deepseek", "deepseek_v2"): DecoderTraits(),
    ("mimo", "qwen", "qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "chatglm", "glm"): DecoderTraits(qkv_bias=True),
    (
        "qwen3", "qwen3_vl", "qwen3_moe", "qwen3_vl_moe", "qwen3_next", "qwen3_5", "qwen3_5_moe",
    ): DecoderTraits(head_norm="dim", output_bias=None),
    ("gemma",): _GEMMA,
    ("gemma2",): replace(_GEMMA, norms=4, alternate_window=2, overflows_half=True),
    ("gemma3",): replace(_GEMMA, norms=4, head_norm="dim", alternate_window=6, overflows_half=True),
    ("gemma4",): replace(_GEMMA, norms=4, head_norm="dim", alternate_window=6),
    ("phi",): replace(_CLASSIC, norms=1, tied=False, head_bias=True, positions_offset=None),
    ("phimoe",): DecoderTraits(qkv_bias=True, output_bias=None, norm_vectors=2),
    ("falcon",): DecoderTraits(matrices=2, norm_vectors=2, tied=True, output_bias=None),
    ("bloom",): replace(_CLASSIC, positions_offset=None, embedding_norm=True),
    ("opt",): replace(_CLASSIC, positions_offset=2),
    ("gpt2", "gpt_bigcode"): _CLASSIC,
    ("gpt_neo",): replace(_CLASSIC, qkv_bias=False),
    ("gptj",): replace(
        _CLASSIC, qkv_bias=False, output_bias=False, norms=1, tied=False, head_bias=True, positions_offset=None
    ),
    ("gpt_neox", "persimmon"): replace(_CLASSIC, tied=False, positions_offset=None),
    ("xglm", "starcoder2"): replace(_CLASSIC, positions_offset=None),
    ("nemotron",): DecoderTraits(matrices=2, norm_vectors=2, output_bias=None),
    ("mpt",): DecoderTraits(matrices=2, tied=True),
    ("cohere",): DecoderTraits(norms=1, tied=True, output_bias=None),
    ("cohere2",): DecoderTraits(norms=1, tied=True, output_bias=None, alternate_window=4),
    ("stablelm",): DecoderTraits(norm_vectors=2),
    ("olmo",): DecoderTraits(norm_vectors=0, output_bias=None),
    ("olmo2", "olmoe"): DecoderTraits(head_norm="all", output_bias=None),
    ("olmo3",): DecoderTraits(head_norm="all", output_bias=None, alternate_window=4),
    ("glm4",): DecoderTraits(qkv_bias=True, norms=4, overflows_half=True),
    ("glm4_moe",): DecoderTraits(qkv_bias=True, router_vectors=1),
    (
        "glm4_moe_lite", "glm_moe_dsa", "deepseek_v3", "deepseek_v32", "kimi_k2", "kimi_linear",
    ): DecoderTraits(router_vectors=1),
    ("minicpm3",): DecoderTraits(tied=True),
    ("gpt_oss",): DecoderTraits(
        qkv_bias=True, output_bias=None, alternate_window=2, router_vectors=1, expert_bias=True, sinks=True
    ),
    ("minimax_m2",): DecoderTraits(head_norm="all", router_vectors=1),
    ("minimax_m3", "step3p5", "step3p7"): DecoderTraits(head_norm="dim", router_vectors=1),
    ("nemotron_h",): DecoderTraits(matrices=2, norms=1, router_vectors=1),
    ("mamba",): DecoderTraits(norms=1, tied=True),
    ("mamba2", "falcon_mamba"): DecoderTraits(norms=1),
    ("lfm2",): DecoderTraits(head_norm="dim", tied=True),
}  # fmt: skip
TRAITS = {model_type: traits for family, traits in _TRAITS.items() for model_type in family}
"""Traits by ``model_type``."""

SAME_AS = {
    "mistral3": "mistral", "RefinedWeb": "falcon", "RefinedWebModel": "falcon", "Yi": "yi", "kimi_k25": "kimi_k2",
    "glm4v_moe_text": "glm4_moe", "mimo_v2": "mimo_v2_flash", "minimax_m3_vl": "minimax_m3",
    "minimax_m3_vl_text": "minimax_m3",
    **{f"{name}_text": name for name in (
        "gemma3", "gemma4", "qwen3_5", "qwen3_5_moe", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe",
    )},
}  # fmt: skip
"""Names under which the same family also goes."""
BLOCK_TOKENS = 16
_NEARLY_EQUAL = 1.25
"""Groups are made as large as the largest kind of layer when the kinds differ by less."""


@dataclass(frozen=True, slots=True)
class CacheKind:
    """Layers that cache alike."""

    layers: int
    elements_per_token: float
    """Of one layer, over all heads."""
    window_tokens: int
    state_bytes: int
    """Of one layer and sequence."""
    kv_heads: int
    latent: bool

    def elements_on_rank(self, ranks: int) -> float:
        """Elements per token of one layer on one tensor-parallel rank; a latent cache is held whole by each."""
        if self.latent or not self.kv_heads:
            return self.elements_per_token
        return self.elements_per_token / self.kv_heads * max(1, ceil(self.kv_heads / ranks))


@lru_cache(maxsize=4096)
def cache_kinds(model: Model) -> tuple[CacheKind, ...]:
    """The kinds of caching layers of a model, with the number of layers of each."""
    counts: dict[tuple[float, int, int, int, bool], int] = {}
    for layer, count in model.layers:
        if layer.mixer and (layer.mixer.cache_elements or layer.mixer.state_bytes):
            mixer, is_latent = layer.mixer, layer.mixer.kind is MixerKind.LATENT
            key = mixer.cache_elements, mixer.window_tokens, mixer.state_bytes, mixer.kv_heads, is_latent
            counts[key] = counts.get(key, 0) + count
    return tuple(CacheKind(count, *key) for key, count in counts.items())


@lru_cache(maxsize=4096)
def kv_elements_per_token(model: Model) -> float:
    """Elements that one token adds to the cache, all layers together, those with a window too."""
    return sum(kind.layers * kind.elements_per_token for kind in cache_kinds(model))


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """Division of one rank's memory: a block holds ``block_tokens`` tokens of one group of layers."""

    block_bytes: float
    block_tokens: int
    groups: tuple["CacheGroup", ...]

    def blocks_of_request(self, context_tokens: int, batched_tokens: int, states: int = 1) -> int:
        """Blocks of a request of *context_tokens* while *batched_tokens* are computed in one step.

        The engine keeps *states* recurrent states of each sequence.
        """
        return sum(
            group.copies * (states if group.recurrent else group.blocks_of_request(context_tokens, batched_tokens))
            for group in self.groups
        )

    @property
    def copies(self) -> int:
        """Groups, all kinds together."""
        return sum(group.copies for group in self.groups)


@dataclass(frozen=True, slots=True)
class CacheGroup:
    """Groups of layers that cache alike."""

    copies: int
    block_tokens: int
    window_tokens: int
    recurrent: bool

    def blocks_of_request(self, context_tokens: int, batched_tokens: int) -> int:
        """Blocks of one group: a window keeps itself, the step that is computed and one partly used block more."""
        if not self.window_tokens:
            return ceil(context_tokens / self.block_tokens)
        kept = min(self.window_tokens - 1 + batched_tokens, context_tokens)
        return ceil(kept / self.block_tokens) + 1


@lru_cache(maxsize=4096)
def cache_layout(model: Model, kv_bytes: float, ranks: int, stages: int) -> CacheLayout | None:
    """The layout on one rank of a pipeline stage; None for a model that caches nothing."""
    kinds = cache_kinds(model)
    if not kinds:
        return None
    per_token = [kind.elements_on_rank(ranks) * kv_bytes for kind in kinds]
    counts = [ceil(kind.layers / stages) for kind in kinds]
    if not any(kind.window_tokens or kind.state_bytes for kind in kinds):
        width = sum(count * size for count, size in zip(counts, per_token, strict=True))
        return CacheLayout(width * BLOCK_TOKENS, BLOCK_TOKENS, (CacheGroup(1, BLOCK_TOKENS, 0, recurrent=False),))
    # Layers in groups of one size; every block has the bytes of the largest.
    group_size = max(counts) if max(counts) < min(counts) * _NEARLY_EQUAL else min(counts)
    states = [kind.state_bytes / ranks for kind in kinds]
    widest = max(per_token)
    block_tokens = BLOCK_TOKENS
    if max(states) and widest:
        block_tokens = ceil(max(states) / widest / BLOCK_TOKENS) * BLOCK_TOKENS
    page = max(widest * block_tokens, *states)
    groups = tuple(
        CacheGroup(
            copies=ceil(count / group_size),
            block_tokens=int(page // size) if size else block_tokens,
            window_tokens=kind.window_tokens,
            recurrent=kind.state_bytes > 0,
        )
        for kind, count, size in zip(kinds, counts, per_token, strict=True)
    )
    return CacheLayout(page * group_size, block_tokens, groups)


class LayerKind(StrEnum):
    """Way in which a layer mixes tokens."""

    FULL = "full"
    WINDOW = "window"
    RECURRENT = "recurrent"
    NONE = "none"
    """The layer is a feed-forward network only."""


_BY_NAME = {
    **dict.fromkeys(("full_attention", "attention", "deepseek_sparse_attention"), LayerKind.FULL),
    **dict.fromkeys(("sliding_attention", "chunked_attention"), LayerKind.WINDOW),
    **dict.fromkeys(("linear_attention", "mamba", "conv"), LayerKind.RECURRENT),
    **dict.fromkeys(("moe", "mlp"), LayerKind.NONE),
}
_BY_LETTER = {"M": LayerKind.RECURRENT, "*": LayerKind.FULL, "E": LayerKind.NONE, "-": LayerKind.NONE}
_RECURRENT_TYPES = ("mamba", "mamba2", "falcon_mamba")
_REAL_WINDOW_TYPES = ("mistral", "mixtral", "starcoder2", "phi3", "phimoe")
"""Families whose ``sliding_window`` applies to every layer; in others it is a leftover unless a pattern is given."""


def layer_kinds(fields: ConfigFields, traits: DecoderTraits, count: int) -> list[LayerKind]:
    """Kind of each of *count* layers. Raises InputError if another number is listed, or a kind is not known."""
    listed = _listed_kinds(fields)
    if listed is None:
        if fields.text("", "model_type") in _RECURRENT_TYPES:
            return [LayerKind.RECURRENT] * count
        counted = [index + 1 for index in fields.items("full_attn_idxs", "attn_layer_indices")]
        chosen = fields.section("linear_attn_config").items("full_attn_layers") or counted
        if chosen:
            return [LayerKind.FULL if index + 1 in chosen else LayerKind.RECURRENT for index in range(count)]
        if interval := fields.integer_or(0, "full_attention_interval"):
            return _every(interval, LayerKind.RECURRENT, count)
        return _windowed_kinds(fields, traits, count)
    if len(listed) < count:
        raise InputError(f"{len(listed)} layer kinds are listed for {count} layers", where=fields.where)
    return listed[:count]


def window_tokens(fields: ConfigFields) -> int:
    """Length of the sliding window or attention chunk; 0 where there is none, or where it never cuts anything off."""
    window = fields.integer_or(0, "sliding_window", "attention_chunk_size", "sliding_window_size")
    longest = fields.integer_or(0, "max_position_embeddings", "seq_length")
    enabled = fields.flag("use_sliding_window", default=True)
    return window if enabled and (not longest or window < longest) else 0


def _listed_kinds(fields: ConfigFields) -> list[LayerKind] | None:
    """Kinds that the configuration lists layer by layer; None where it lists none."""
    if pattern := fields.text("", "hybrid_override_pattern"):
        return [_known(fields, letter, _BY_LETTER) for letter in pattern]
    if names := fields.items("layer_types", "layers_block_type"):
        return [_known(fields, name, _BY_NAME) for name in names]
    flags = fields.items("hybrid_layer_pattern")
    return [LayerKind.WINDOW if windowed else LayerKind.FULL for windowed in flags] or None


def _known(fields: ConfigFields, name: object, kinds: dict[str, LayerKind]) -> LayerKind:
    """Look *name* up, or say what would be known."""
    if str(name) not in kinds:
        hint = f"known are {', '.join(sorted(kinds))}"
        raise InputError(f"layer kind {name!r} is not known", where=fields.where, hint=hint)
    return kinds[str(name)]


def _windowed_kinds(fields: ConfigFields, traits: DecoderTraits, count: int) -> list[LayerKind]:
    """All layers full, all windowed, or every n-th full."""
    if not window_tokens(fields):
        return [LayerKind.FULL] * count
    interval = fields.integer_or(traits.alternate_window, "sliding_window_pattern", "_sliding_window_pattern")
    if interval:
        return _every(interval, LayerKind.WINDOW, count)
    everywhere = fields.text("", "model_type") in _REAL_WINDOW_TYPES
    return [LayerKind.WINDOW if everywhere else LayerKind.FULL] * count


def _every(interval: int, others: LayerKind, count: int) -> list[LayerKind]:
    """Every *interval*-th layer attends to everything."""
    return [LayerKind.FULL if (index + 1) % interval == 0 else others for index in range(count)]
