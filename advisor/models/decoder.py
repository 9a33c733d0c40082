"""Layers of a decoder language model and what surrounds them, from its configuration."""

from collections import Counter
from dataclasses import replace

from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.feed_forwards import feed_forward_of
from advisor.models.layer_kinds import LayerKind, layer_kinds
from advisor.models.layers import FeedForward, Layer, dense
from advisor.models.mixers import heads_of, mixer_of
from advisor.models.model import Checkpoint, Model, Rotary, Surroundings
from advisor.models.nemotron_nas import nas_layers
from advisor.models.traits import TRAITS, DecoderTraits

_LAYER_FIELDS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_HIDDEN_FIELDS = ("hidden_size", "n_embd", "d_model")
_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
_WITHOUT_FEED_FORWARD = ("mamba", "mamba2", "falcon_mamba")


def read_decoder(fields: ConfigFields, name: str, checkpoint: Checkpoint, towers: int, task: str) -> Model:
    """Build a decoder from its (text) configuration.

    Raises:
        InputError: a field that decides a size is missing or makes no sense.
    """
    traits = _traits(fields)
    hidden = fields.integer(*_HIDDEN_FIELDS)
    layers = _layers(fields, traits, hidden)
    kinds = [layer.mixer.kind for layer, _ in layers if layer.mixer]
    has_heads = any(kind != "recurrent" for kind in kinds)
    heads = heads_of(fields, LayerKind.WINDOW, 0) if has_heads else None
    return Model(
        name=name,
        family=fields.text("", "model_type"),
        task=task,
        hidden=hidden,
        vocab=_vocab(fields),
        n_heads=heads.count if heads else 0,
        n_kv_heads=max((layer.mixer.kv_heads for layer, _ in layers if layer.mixer), default=0),
        intermediate=_intermediate(layers, hidden),
        tied_embeddings=_tied(fields, traits),
        surroundings=_surroundings(fields, traits, hidden, towers),
        layers=layers,
        max_context_tokens=fields.integer(*_CONTEXT_FIELDS) if fields.has(*_CONTEXT_FIELDS) else None,
        checkpoint=checkpoint,
        rotary=_rotary(fields, heads.dim if heads else 0),
    )


def _traits(fields: ConfigFields) -> DecoderTraits:
    """Traits that the family fixes, corrected by the few switches that a configuration has for them."""
    model_type = fields.text("", "model_type")
    traits = TRAITS[model_type]
    norms = traits.norms
    if model_type == "falcon":
        two = (
            fields.flag("new_decoder_architecture", default=False)
            and fields.integer_or(2, "num_ln_in_parallel_attn") == 2
        )
        norms = 2 if two or not fields.flag("parallel_attn", default=True) else 1
    if model_type == "stablelm" and fields.flag("use_parallel_residual", default=False):
        norms = 1
    if fields.flag("enable_moe_block", default=False):
        norms += 3  # Gemma 4 norms the dense network and the experts beside it separately
    return replace(traits, norms=norms)


def _layers(fields: ConfigFields, traits: DecoderTraits, hidden: int) -> tuple[tuple[Layer, int], ...]:
    """All layers, equal ones counted."""
    if fields.has("block_configs"):
        return nas_layers(fields, hidden)
    count = _layer_count(fields)
    kinds = layer_kinds(fields, traits, count)
    every = Counter(_layer(fields, traits, kind, index) for index, kind in enumerate(kinds))
    return tuple(every.items())


def _layer_count(fields: ConfigFields) -> int:
    listed = fields.items("layer_types", "layers_block_type")
    return fields.integer(*_LAYER_FIELDS, most=MOST_LAYERS) if fields.has(*_LAYER_FIELDS) or not listed else len(listed)


def _layer(fields: ConfigFields, traits: DecoderTraits, kind: LayerKind, index: int) -> Layer:
    hidden = fields.integer(*_HIDDEN_FIELDS)
    per_layer = fields.integer_or(0, "hidden_size_per_layer_input")
    return Layer(
        mixer=mixer_of(fields, traits, kind, index),
        feed_forward=_feed_forward(fields, traits, index),
        norm_parameters=int(traits.norms * traits.norm_vectors * hidden) + (hidden if per_layer else 0),
        extra_parameters=2 * hidden * per_layer,
    )


def _feed_forward(fields: ConfigFields, traits: DecoderTraits, index: int) -> FeedForward | None:
    """The feed-forward network, which in some hybrids alternates with mixers instead of following each."""
    if fields.text("", "model_type") in _WITHOUT_FEED_FORWARD:
        return None
    alternating = fields.text("", "hybrid_override_pattern") or fields.items("layers_block_type")
    if not alternating:
        return feed_forward_of(fields, traits, index)
    match alternating[index]:
        case "E" | "moe":
            return feed_forward_of(fields, traits, index)
        case "-" | "mlp":
            return dense(fields.integer("hidden_size"), fields.integer("intermediate_size"), traits.matrices)
        case _:
            return None


def _surroundings(fields: ConfigFields, traits: DecoderTraits, hidden: int, towers: int) -> Surroundings:
    """Embeddings, head, final norm and learned positions."""
    vocab = _vocab(fields)
    embedding_width = fields.integer_or(hidden, "word_embed_proj_dim")
    positions = 0
    if traits.positions_offset is not None:
        positions = (fields.integer(*_CONTEXT_FIELDS) + traits.positions_offset) * hidden
    per_layer = fields.integer_or(0, "hidden_size_per_layer_input") * _layer_count(fields)
    norms = traits.norm_vectors * hidden * (2 if traits.embedding_norm else 1)
    head = 0 if _tied(fields, traits) else vocab * hidden
    return Surroundings(
        embeddings=vocab * embedding_width,
        layer_embeddings=fields.integer_or(vocab, "vocab_size_per_layer_input") * per_layer,
        positions=positions,
        head=head + (vocab if traits.head_bias else 0),
        norms=norms + fields.integer_or(0, "hidden_size_per_layer_input"),
        towers=towers,
        other=hidden * per_layer + 2 * hidden * (embedding_width if embedding_width != hidden else 0),
    )


def _vocab(fields: ConfigFields) -> int:
    return fields.integer("padded_vocab_size" if fields.has("padded_vocab_size") else "vocab_size")


def _tied(fields: ConfigFields, traits: DecoderTraits) -> bool:
    return fields.flag("tie_word_embeddings", default=traits.tied)


def _intermediate(layers: tuple[tuple[Layer, int], ...], hidden: int) -> int:
    """Width of the widest dense network, for the workspace."""
    networks = [layer.feed_forward for layer, _ in layers if layer.feed_forward]
    return max(
        (network.expert_intermediate or network.matrix_parameters // (3 * hidden) for network in networks), default=0
    )


def _rotary(fields: ConfigFields, dim: int) -> Rotary:
    """Tables of rotary angles: one for each base in use, longer under linear scaling."""
    if not fields.has("rope_theta", "rope_scaling", "rope_parameters", "rotary_dim", "qk_rope_head_dim") or not dim:
        return Rotary()
    partial = fields.values.get("partial_rotary_factor") or 1.0
    width = fields.integer_or(int(dim * float(partial)), "qk_rope_head_dim", "rotary_dim")
    positions = fields.integer_or(0, *_CONTEXT_FIELDS)
    scaling = fields.values.get("rope_scaling")
    if isinstance(scaling, dict) and (scaling.get("rope_type") or scaling.get("type")) == "linear":
        positions *= int(scaling.get("factor", 1))
    local = fields.integer_or(0, *_CONTEXT_FIELDS) if fields.has("rope_local_base_freq") else 0
    return Rotary(positions=positions + local, dim=width, tables=1)
