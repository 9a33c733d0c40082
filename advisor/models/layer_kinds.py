"""Layers of a decoder that attend to everything, to a window, or keep a recurrent state, and their cache.

A layer caches its keys and values for every token, for the tokens of a window, or keeps a state of fixed size for the
whole sequence. Engines hand the memory out in blocks; layers that need different numbers of blocks are put into groups
of equal size, which wastes some of it. The grouping here is vLLM's.
"""

from enum import StrEnum
from functools import lru_cache
from math import ceil

from advisor.errors import InputError
from advisor.models.config_fields import ConfigFields
from advisor.models.layers import Mixer, MixerKind
from advisor.models.model import Model
from advisor.models.traits import DecoderTraits
from advisor.records import dataclass

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
            key = _key(layer.mixer)
            counts[key] = counts.get(key, 0) + count
    return tuple(CacheKind(count, *key) for key, count in counts.items())


def _key(mixer: Mixer) -> tuple[float, int, int, int, bool]:
    latent = mixer.kind is MixerKind.LATENT
    return mixer.cache_elements, mixer.window_tokens, mixer.state_bytes, mixer.kv_heads, latent


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
    return _hybrid_layout(kinds, counts, per_token, ranks)


def _hybrid_layout(
    kinds: tuple[CacheKind, ...], counts: list[int], per_token: list[float], ranks: int
) -> CacheLayout:  # fmt: skip
    """Layers in groups of one size; every block has the bytes of the largest."""
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
    "full_attention": LayerKind.FULL,
    "attention": LayerKind.FULL,
    "sliding_attention": LayerKind.WINDOW,
    "chunked_attention": LayerKind.WINDOW,
    "linear_attention": LayerKind.RECURRENT,
    "mamba": LayerKind.RECURRENT,
    "conv": LayerKind.RECURRENT,
    "deepseek_sparse_attention": LayerKind.FULL,
    "moe": LayerKind.NONE,
    "mlp": LayerKind.NONE,
}
_BY_LETTER = {
    "M": LayerKind.RECURRENT,
    "*": LayerKind.FULL,
    "E": LayerKind.NONE,
    "-": LayerKind.NONE,
}
_RECURRENT_TYPES = ("mamba", "mamba2", "falcon_mamba")
_REAL_WINDOW_TYPES = ("mistral", "mixtral", "starcoder2", "phi3", "phimoe")
"""Families whose ``sliding_window`` applies to every layer; in others it is a leftover unless a pattern is given."""


def layer_kinds(fields: ConfigFields, traits: DecoderTraits, count: int) -> list[LayerKind]:
    """The kind of each of *count* layers.

    Raises:
        InputError: the configuration lists another number of layers, or a kind that is not known.
    """
    listed = _listed_kinds(fields)
    if listed is None:
        return _derived_kinds(fields, traits, count)
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
    pattern = fields.text("", "hybrid_override_pattern")
    if pattern:
        return [_known(fields, letter, _BY_LETTER) for letter in pattern]
    names = fields.items("layer_types", "layers_block_type")
    if names:
        return [_known(fields, name, _BY_NAME) for name in names]
    flags = fields.items("hybrid_layer_pattern")
    if flags:
        return [LayerKind.WINDOW if windowed else LayerKind.FULL for windowed in flags]
    return None


def _known(fields: ConfigFields, name: object, kinds: dict[str, LayerKind]) -> LayerKind:
    """Look *name* up, or say what would be known."""
    kind = kinds.get(str(name))
    if kind is None:
        raise InputError(
            f"layer kind {name!r} is not known", where=fields.where, hint=f"known are {', '.join(sorted(kinds))}"
        )
    return kind


def _derived_kinds(fields: ConfigFields, traits: DecoderTraits, count: int) -> list[LayerKind]:
    """Kinds that follow from an interval or from the family."""
    if fields.text("", "model_type") in _RECURRENT_TYPES:
        return [LayerKind.RECURRENT] * count
    chosen = fields.section("linear_attn_config").items("full_attn_layers") or [
        index + 1 for index in fields.items("full_attn_idxs", "attn_layer_indices")
    ]
    if chosen:
        return [LayerKind.FULL if index + 1 in chosen else LayerKind.RECURRENT for index in range(count)]
    interval = fields.integer_or(0, "full_attention_interval")
    if interval:
        return _every(interval, LayerKind.FULL, LayerKind.RECURRENT, count)
    return _windowed_kinds(fields, traits, count)


def _windowed_kinds(fields: ConfigFields, traits: DecoderTraits, count: int) -> list[LayerKind]:
    """All layers full, all windowed, or every n-th full."""
    if not window_tokens(fields):
        return [LayerKind.FULL] * count
    interval = fields.integer_or(traits.alternate_window, "sliding_window_pattern", "_sliding_window_pattern")
    if interval:
        return _every(interval, LayerKind.FULL, LayerKind.WINDOW, count)
    everywhere = fields.text("", "model_type") in _REAL_WINDOW_TYPES
    return [LayerKind.WINDOW if everywhere else LayerKind.FULL] * count


def _every(interval: int, chosen: LayerKind, others: LayerKind, count: int) -> list[LayerKind]:
    """Every *interval*-th layer is *chosen*."""
    return [chosen if (index + 1) % interval == 0 else others for index in range(count)]
