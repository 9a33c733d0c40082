"""Layers of a decoder language model, mixers and feed-forwards, and what surrounds them, from its configuration."""

from collections import Counter
from typing import Any

from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.layer_kinds import TRAITS, DecoderTraits, LayerKind, layer_kinds
from advisor.models.layers import AttentionOptions, FeedForward, Heads, Layer, attention, dense
from advisor.models.mixers import borrows_cache, heads_of, mixer_of
from advisor.models.model import Checkpoint, Model, Rotary, Surroundings
from advisor.records import replace

_MULTIPLE = 256
EXPERT_FIELDS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
_INTERMEDIATE_FIELDS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "ffn_hidden_dim")
_LLAMA4 = "llama4"
_LAYER_FIELDS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_HIDDEN_FIELDS = ("hidden_size", "n_embd", "d_model")
_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
_WITHOUT_FEED_FORWARD = ("mamba", "mamba2", "falcon_mamba")


def _nas_layer(fields: ConfigFields, block: dict[str, Any], hidden: int) -> Layer:
    """A layer of ``block_configs``: attention and network may each be skipped (``no_op``) or be one plain matrix."""
    kept = {name: block[name] for name in ("attention", "ffn") if not block[name].get("no_op")}
    whole = {name: part for name, part in kept.items() if not part.get("replace_with_linear")}
    mixer = network = None
    if "attention" in whole:
        count = fields.integer("num_attention_heads")
        dim = hidden // count
        heads = Heads(count, kv_count=count // int(whole["attention"]["n_heads_in_group"]), dim=dim, value_dim=dim)
        mixer = attention(hidden, heads, AttentionOptions())
    if "ffn" in whole:
        width = int(2 * float(whole["ffn"]["ffn_mult"]) * hidden / 3)
        network = dense(hidden, -(-width // _MULTIPLE) * _MULTIPLE, matrices=3)
    return Layer(mixer, network, len(kept) * hidden, (len(kept) - len(whole)) * hidden * hidden)


def feed_forward_of(fields: ConfigFields, traits: DecoderTraits, index: int) -> FeedForward:
    """The feed-forward network of layer *index*."""
    hidden = fields.integer("hidden_size", "n_embd", "d_model")
    if has_experts(fields, index):
        count = fields.integer(*EXPERT_FIELDS)
        width = fields.integer("moe_intermediate_size", "expert_ffn_hidden_size", *_INTERMEDIATE_FIELDS)
        latent = fields.integer_or(0, "moe_latent_size", "routed_expert_hidden_size")
        inner = latent or hidden
        shared = _shared_intermediate(fields, width)
        gate = hidden if fields.has("shared_expert_intermediate_size") else 0
        is_gemma = fields.flag("enable_moe_block", default=False)  # it scales each expert's answer by a learned number
        return FeedForward(
            matrix_parameters=traits.matrices * hidden * shared + 2 * hidden * latent,
            other_parameters=gate + hidden * is_gemma,
            router_parameters=count * (hidden + traits.router_vectors + is_gemma),
            experts=count,
            experts_per_token=fields.integer("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_k"),
            expert_matrix_parameters=traits.matrices * inner * width,
            expert_other_parameters=((traits.matrices - 1) * width + inner) * traits.expert_bias,
            expert_intermediate=width,
            hidden=inner,
            matrices=traits.matrices,
        )
    bias = fields.flag("mlp_bias", default=traits.mlp_bias)
    network = dense(hidden, _dense_intermediate(fields, traits, hidden, index), traits.matrices, bias=bias)
    return replace(network, matrices=traits.matrices)


def has_experts(fields: ConfigFields, index: int) -> bool:
    """Whether layer *index* is a mixture of experts; dense layers come first, or between."""
    if fields.integer_or(0, *EXPERT_FIELDS) <= 1:
        return False
    listed = fields.items("moe_layer_freq")
    if listed:
        return bool(listed[index])
    if index in fields.items("mlp_only_layers"):
        return False
    first = fields.integer_or(0, "first_k_dense_replace", "moe_layer_start_index")
    step = fields.integer_or(1, "decoder_sparse_step", "interleave_moe_layer_step", least=1)
    return index >= first and (index + 1) % step == 0


def _dense_intermediate(fields: ConfigFields, traits: DecoderTraits, hidden: int, index: int) -> int:
    model_type = fields.text("", "model_type")
    names: tuple[str, ...] = _INTERMEDIATE_FIELDS
    if model_type.startswith(_LLAMA4):
        names = ("intermediate_size_mlp", *names)
    if model_type == "minimax_m3":
        names = ("dense_intermediate_size", *names)
    if traits.matrices == 2 and not fields.has(*names):
        return fields.integer_or(4, "expansion_ratio") * hidden
    width = fields.integer(*names)
    if model_type == "qwen":
        return width // 2  # the first Qwen states the gate and the up projection together
    if model_type == "lfm2":
        if not fields.flag("block_auto_adjust_ff_dim", default=True):
            return width
        shrunk = int(float(fields.values.get("block_ffn_dim_multiplier") or 1.0) * int(2 * width / 3))
        multiple = fields.integer_or(256, "block_multiple_of")
        return -(-shrunk // multiple) * multiple
    doubled = fields.flag("use_double_wide_mlp", default=False) and borrows_cache(fields, index)
    return width * (2 if doubled else 1)


def _shared_intermediate(fields: ConfigFields, width: int) -> int:
    """Width of all shared experts together (in Gemma 4: of the dense network beside the experts)."""
    names = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "share_expert_dim")
    if stated := fields.integer_or(0, *names):
        return stated
    if fields.flag("enable_moe_block", default=False):
        return fields.integer("intermediate_size")
    usual = 1 if fields.text("", "model_type").startswith(_LLAMA4) else 0
    count = fields.integer_or(usual, "n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
    return fields.integer_or(count * width, "shared_intermediate_size")


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
    networks = [layer.feed_forward for layer, _ in layers if layer.feed_forward]
    widths = (network.expert_intermediate or network.matrix_parameters // (3 * hidden) for network in networks)
    return Model(
        name=name,
        family=fields.text("", "model_type"),
        task=task,
        hidden=hidden,
        vocab=_vocab(fields),
        n_heads=heads.count if heads else 0,
        n_kv_heads=max((layer.mixer.kv_heads for layer, _ in layers if layer.mixer), default=0),
        intermediate=max(widths, default=0),
        tied_embeddings=fields.flag("tie_word_embeddings", default=traits.tied),
        surroundings=_surroundings(fields, traits, hidden, towers),
        layers=layers,
        max_context_tokens=fields.integer(*_CONTEXT_FIELDS) if fields.has(*_CONTEXT_FIELDS) else None,
        checkpoint=checkpoint,
        rotary=_rotary(fields, heads.dim if heads else 0),
        overflows_half=traits.overflows_half,
    )


def _traits(fields: ConfigFields) -> DecoderTraits:
    """Traits that the family fixes, corrected by the few switches that a configuration has for them."""
    model_type = fields.text("", "model_type")
    traits = TRAITS[model_type]
    norms = traits.norms
    if model_type == "falcon":
        is_new = fields.flag("new_decoder_architecture", default=False)
        two = is_new and fields.integer_or(2, "num_ln_in_parallel_attn") == 2
        norms = 2 if two or not fields.flag("parallel_attn", default=True) else 1
    if model_type == "stablelm" and fields.flag("use_parallel_residual", default=False):
        norms = 1
    if fields.flag("enable_moe_block", default=False):
        norms += 3  # Gemma 4 norms the dense network and the experts beside it separately
    return replace(traits, norms=norms)


def _layers(fields: ConfigFields, traits: DecoderTraits, hidden: int) -> tuple[tuple[Layer, int], ...]:
    if fields.has("block_configs"):
        every = Counter(_nas_layer(fields, block, hidden) for block in fields.items("block_configs"))
    else:
        kinds = layer_kinds(fields, traits, _layer_count(fields))
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
    offset = traits.positions_offset
    positions = 0 if offset is None else (fields.integer(*_CONTEXT_FIELDS) + offset) * hidden
    per_layer = fields.integer_or(0, "hidden_size_per_layer_input") * _layer_count(fields)
    norms = traits.norm_vectors * hidden * (2 if traits.embedding_norm else 1)
    head = 0 if fields.flag("tie_word_embeddings", default=traits.tied) else vocab * hidden
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
