"""Mixer of each layer, attention or recurrence, from a configuration."""

from collections.abc import Callable
from functools import partial

from advisor.errors import InputError
from advisor.models.config_fields import ConfigFields
from advisor.models.layer_kinds import DecoderTraits, LayerKind, window_tokens
from advisor.models.layers import AttentionOptions, Heads, LatentHeads, Mixer, MixerKind, attention, latent_attention

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
