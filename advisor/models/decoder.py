"""Layers of a decoder language model, mixers and feed-forwards, and what surrounds them, from its configuration."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from advisor.errors import InputError
from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.layer_kinds import TRAITS, DecoderTraits, LayerKind, layer_kinds, window_tokens
from advisor.models.layers import (
    AttentionOptions,
    FeedForward,
    Heads,
    LatentHeads,
    Layer,
    Mixer,
    MixerKind,
    attention,
    dense,
    latent_attention,
)
from advisor.models.model import Checkpoint, Model, Rotary, Surroundings
from advisor.records import replace

_BIAS_FIELDS = ("attention_bias", "qkv_bias", "add_qkv_bias", "use_qkv_bias", "use_bias", "bias")
_NORMS_OVER_ALL_HEADS = ("stablelm", "cohere")
_INDEXER_SCALE_BYTES = 4
"""The keys of a sparse-attention indexer are cached in 8 bit with one 4-byte scale a token, whatever the cache is."""


def mixer_of(fields: ConfigFields, traits: DecoderTraits, kind: LayerKind, index: int) -> Mixer | None:
    """The mixer of layer *index*."""
    match kind:
        case LayerKind.NONE:
            return None
        case LayerKind.RECURRENT:
            return _recurrent(fields)
        case LayerKind.FULL | LayerKind.WINDOW:
            if fields.has("kv_lora_rank"):
                return _latent(fields, traits, index)
            return _attention(fields, traits, kind, index)


def heads_of(fields: ConfigFields, kind: LayerKind, index: int) -> Heads:
    """Number and size of the heads of an attention layer; windowed layers may have their own."""
    own = "swa_" if kind is LayerKind.WINDOW else "global_"
    names = ("num_attention_heads", "n_head", "num_heads", "n_heads")
    count = fields.integer_or(0, f"{own}num_attention_heads") or fields.integer(*names)
    dim = fields.integer_or(0, f"{own}head_dim", "head_dim", "kv_channels", "attention_head_dim")
    dim = dim or fields.integer("hidden_size", "n_embd", "d_model") // count
    value_dim = fields.integer_or(dim, f"{own}v_head_dim", "v_head_dim")
    kv_count = _kv_heads(fields, kind, index, count)
    if not 0 < kv_count <= count or count % kv_count:
        told = f"{count} attention heads cannot share {kv_count} key-value heads evenly"
        hint = "use the config.json of the model's repository unchanged"
        raise InputError(told, where=f"{fields.where}: num_key_value_heads", hint=hint)
    return Heads(count=count, kv_count=kv_count, dim=dim, value_dim=value_dim)


def _kv_heads(fields: ConfigFields, kind: LayerKind, index: int, heads: int) -> int:
    """Key-value heads of a layer, by the conventions of the families."""
    if per_layer := fields.items("num_key_value_heads_per_layer"):
        return int(per_layer[index])
    own = {LayerKind.FULL: "num_global_key_value_heads", LayerKind.WINDOW: "swa_num_key_value_heads"}.get(kind)
    if own and fields.has(own):
        return fields.integer(own)
    if fields.flag("multi_query", default=False) and not fields.flag("new_decoder_architecture", default=False):
        return 1
    names = ("num_key_value_heads", "multi_query_group_num", "num_kv_heads", "num_attention_groups")
    return fields.integer_or(heads, *names)


def _attention(fields: ConfigFields, traits: DecoderTraits, kind: LayerKind, index: int) -> Mixer:
    """Attention with explicit keys and values."""
    heads = heads_of(fields, kind, index)
    hidden = fields.integer("hidden_size", "n_embd", "d_model")
    borrowed = borrows_cache(fields, index)
    is_windowed = kind is LayerKind.WINDOW
    always_gated = fields.text("", "model_type").startswith(("qwen3_next", "qwen3_5"))
    head_gate = hidden * heads.count if fields.flag("use_head_wise_attn_gate", default=False) else 0  # Step 3.5
    options = AttentionOptions(
        qkv_bias=_qkv_bias(fields, traits),
        output_bias=_output_bias(fields, traits),
        norm_parameters=_head_norms(fields, traits, heads, borrowed=borrowed),
        output_gate=fields.flag("attn_output_gate", default=always_gated),
        sinks=traits.sinks or (is_windowed and fields.flag("add_swa_attention_sink_bias", default=False)),
        values_are_keys=kind is LayerKind.FULL and fields.flag("attention_k_eq_v", default=False),
        borrows_cache=borrowed,
        extra_parameters=_block_indexer(fields, hidden, index) + head_gate,
        window_tokens=window_tokens(fields) if is_windowed else 0,
    )
    return attention(hidden, heads, options)


def borrows_cache(fields: ConfigFields, index: int) -> bool:
    """Whether layer *index* is one of the last ones that use the keys and values of earlier layers (Gemma 4 E)."""
    shared = fields.integer_or(0, "num_kv_shared_layers")
    return shared > 0 and index >= fields.integer("num_hidden_layers") - shared


def _qkv_bias(fields: ConfigFields, traits: DecoderTraits) -> bool:
    stated = next((name for name in _BIAS_FIELDS if fields.has(name)), None)
    return traits.qkv_bias if stated is None else fields.flag(stated, default=False)


def _output_bias(fields: ConfigFields, traits: DecoderTraits) -> bool:
    if fields.has("attention_out_bias"):
        return fields.flag("attention_out_bias", default=False)
    return _qkv_bias(fields, traits) if traits.output_bias is None else traits.output_bias


def _head_norms(fields: ConfigFields, traits: DecoderTraits, heads: Heads, *, borrowed: bool) -> int:
    """Parameters of the norms on queries and keys."""
    model_type = fields.text("", "model_type")
    style = traits.head_norm
    if fields.flag("qk_layernorm", default=False) or fields.flag("use_qk_norm", default=False):
        style = style or ("all" if model_type in _NORMS_OVER_ALL_HEADS else "dim")
    vectors = 2 if model_type == "persimmon" else 1
    per_dim = heads.dim * vectors * (1 if borrowed else 2)
    return {"all": heads.query_width + heads.key_width, "dim": per_dim}.get(style, 0)


def _block_indexer(fields: ConfigFields, hidden: int, index: int) -> int:
    """Matrices that choose blocks of a sparse attention (MiniMax-M3): index queries and one index key."""
    sparse = fields.section("sparse_attention_config")
    layers = sparse.items("sparse_attention_freq")
    if not (layers and layers[index]):
        return 0
    dim = sparse.integer("sparse_index_dim")
    return hidden * dim * (sparse.integer("sparse_num_index_heads") + 1) + 2 * dim


def _latent(fields: ConfigFields, traits: DecoderTraits, index: int) -> Mixer:
    """Multi-head latent attention, with the indexer of sparse attention where there is one."""
    hidden = fields.integer("hidden_size")
    heads = LatentHeads(
        count=fields.integer("num_attention_heads"),
        query_rank=fields.integer_or(0, "q_lora_rank"),
        kv_rank=fields.integer("kv_lora_rank"),
        nope_dim=fields.integer("qk_nope_head_dim"),
        rope_dim=fields.integer("qk_rope_head_dim"),
        value_dim=fields.integer("v_head_dim"),
    )
    matrices, others, cached = _token_indexer(fields, hidden, index)
    gate = hidden * heads.count * heads.value_dim if fields.flag("mla_use_output_gate", default=False) else 0
    options = AttentionOptions(
        qkv_bias=_qkv_bias(fields, traits),
        output_bias=_output_bias(fields, traits),
        norm_parameters=others,
        extra_parameters=matrices + gate,
        extra_cache_elements=cached,
    )
    return latent_attention(hidden, heads, options)


def _token_indexer(fields: ConfigFields, hidden: int, index: int) -> tuple[int, int, int]:
    """Matrices, other parameters and 16-bit cache elements of the indexer of sparse attention (DeepSeek-V3.2)."""
    kinds = fields.items("indexer_types")
    if not fields.has("index_n_heads") or (kinds and kinds[index] != "full"):
        return 0, 0, 0
    heads, dim = fields.integer("index_n_heads"), fields.integer("index_head_dim")
    matrices = fields.integer("q_lora_rank") * heads * dim + hidden * dim + hidden * heads
    return matrices, 2 * dim, (dim + _INDEXER_SCALE_BYTES) // 2


def _recurrent(fields: ConfigFields) -> Mixer:
    """The recurrent mixer that the configuration has the fields of."""
    hidden = fields.integer("hidden_size", "d_model")
    if fields.text("", "model_type") == _MAMBA2 and fields.has("num_heads"):
        return _mamba2(fields, hidden, prefix="")
    for field_name, build in _RECURRENT_BY_FIELD.items():
        if fields.has(field_name):
            return build(fields, hidden)
    told = "the layers keep a recurrent state, but the fields that give its size are missing"
    raise InputError(told, where=fields.where, hint=f"one of {', '.join(_RECURRENT_BY_FIELD)} is needed")


def _delta_net(fields: ConfigFields, hidden: int) -> Mixer:
    """Linear attention whose state is one key × value matrix per head, behind a short convolution (Qwen3-Next, 3.5).

    Qwen3-Next keeps its states in the model's 16 bit; later families ask for 32 (``mamba_ssm_dtype``).
    """
    value_heads, value_dim = fields.integer("linear_num_value_heads"), fields.integer("linear_value_head_dim")
    key_dim, kernel = fields.integer("linear_key_head_dim"), fields.integer("linear_conv_kernel_dim")
    value_width = value_heads * value_dim
    convolved = 2 * fields.integer("linear_num_key_heads") * key_dim + value_width
    usual = "bfloat16" if fields.text("", "model_type") == "qwen3_next" else "float32"
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=hidden * (convolved + value_width + 2 * value_heads) + value_width * hidden,
        other_parameters=convolved * kernel + 2 * value_heads + value_dim,
        state_elements=value_width * key_dim,
        state_element_bytes=4 if fields.text(usual, "mamba_ssm_dtype") == "float32" else 2,
        convolution_elements=convolved * (kernel - 1),
        width=value_width,
    )


def _kimi_delta(fields: ConfigFields, hidden: int) -> Mixer:
    """Linear attention with a decay per channel (Kimi Linear): one ``dim × dim`` state per head."""
    section = fields.section("linear_attn_config")
    heads, dim, kernel = (section.integer(name) for name in ("num_heads", "head_dim", "short_conv_kernel_size"))
    width = heads * dim
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=4 * hidden * width + hidden * heads + 2 * (hidden * dim + dim * width),
        other_parameters=3 * width * kernel + width + heads + dim,
        state_elements=width * dim,
        convolution_elements=3 * width * (kernel - 1),
        width=width,
    )


def _mamba2(fields: ConfigFields, hidden: int, prefix: str) -> Mixer:
    """Mamba-2: one state of ``head_dim × state`` per head."""
    heads = fields.integer(f"{prefix}num_heads", f"{prefix}n_heads")
    inner = heads * fields.integer(f"{prefix}head_dim", f"{prefix}d_head")
    groups = fields.integer_or(1, f"{prefix}n_groups", "n_groups")
    state = fields.integer("ssm_state_size", "state_size", f"{prefix}d_state")
    kernel = fields.integer("conv_kernel", f"{prefix}d_conv")
    has_bias = fields.flag("mamba_proj_bias", default=False) or fields.flag("use_bias", default=False)
    convolved = inner + 2 * groups * state
    projected = inner + convolved + heads
    biases = (projected + hidden) * has_bias + convolved * fields.flag("use_conv_bias", default=True)
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=hidden * projected + inner * hidden,
        other_parameters=convolved * kernel + biases + 3 * heads + inner,
        state_elements=inner * state,
        convolution_elements=convolved * (kernel - 1),
        width=inner,
    )


def _mamba1(fields: ConfigFields, hidden: int) -> Mixer:
    """Mamba (the first): one state of ``inner × state``."""
    inner, state = fields.integer("intermediate_size", "d_inner"), fields.integer("state_size")
    kernel, rank = fields.integer("conv_kernel"), fields.integer("time_step_rank")
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=3 * hidden * inner + 2 * inner * (rank + state),
        other_parameters=inner * (kernel + 3 + state),
        state_elements=inner * state,
        convolution_elements=inner * (kernel - 1),
        width=inner,
    )


def _short_convolution(fields: ConfigFields, hidden: int) -> Mixer:
    """The gated short convolution of LFM2."""
    kernel = fields.integer("conv_L_cache")
    return Mixer(
        kind=MixerKind.RECURRENT,
        matrix_parameters=4 * hidden * hidden,
        other_parameters=hidden * kernel,
        convolution_elements=hidden * (kernel - 1),
        width=hidden,
    )


_MAMBA2 = "mamba2"
"""Its own ``model_type`` names fields without a prefix, and has the time_step_rank of the first Mamba too."""
_RECURRENT_BY_FIELD: dict[str, Callable[[ConfigFields, int], Mixer]] = {
    "linear_num_key_heads": _delta_net,
    "linear_attn_config": _kimi_delta,
    "mamba_num_heads": partial(_mamba2, prefix="mamba_"),
    "mamba_n_heads": partial(_mamba2, prefix="mamba_"),
    "time_step_rank": _mamba1,
    "conv_L_cache": _short_convolution,
}
"""The field that tells a recurrent mixer from the others, and what builds it."""


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
            intermediate=shared,
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
    """Decoder of a (text) configuration. Raises InputError if a field that decides a size is missing or wrong."""
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
