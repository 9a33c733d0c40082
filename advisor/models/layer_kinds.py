"""Layers of a decoder that attend to everything, to a window, or keep a recurrent state."""

from enum import StrEnum

from advisor.errors import InputError
from advisor.models.config_fields import ConfigFields
from advisor.models.traits import DecoderTraits


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
