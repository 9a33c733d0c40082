"""Feed-forward network of each layer, from a configuration: dense, or routed experts."""

from dataclasses import replace

from advisor.models.config_fields import ConfigFields
from advisor.models.layers import FeedForward, dense
from advisor.models.mixers import borrows_cache
from advisor.models.traits import DecoderTraits

EXPERT_FIELDS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
_INTERMEDIATE_FIELDS = ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "ffn_hidden_dim")
_LLAMA4 = "llama4"


def feed_forward_of(fields: ConfigFields, traits: DecoderTraits, index: int) -> FeedForward:
    """The feed-forward network of layer *index*."""
    hidden = fields.integer("hidden_size", "n_embd", "d_model")
    if has_experts(fields, index):
        return _experts(fields, traits, hidden)
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
    """Width of the dense network of layer *index*."""
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
        return _lfm2_intermediate(fields, width)
    doubled = fields.flag("use_double_wide_mlp", default=False) and borrows_cache(fields, index)
    return width * (2 if doubled else 1)


def _lfm2_intermediate(fields: ConfigFields, width: int) -> int:
    """LFM2 states a width that its code shrinks to two thirds and rounds up."""
    if not fields.flag("block_auto_adjust_ff_dim", default=True):
        return width
    shrunk = int(float(fields.values.get("block_ffn_dim_multiplier") or 1.0) * int(2 * width / 3))
    multiple = fields.integer_or(256, "block_multiple_of")
    return -(-shrunk // multiple) * multiple


def _experts(fields: ConfigFields, traits: DecoderTraits, hidden: int) -> FeedForward:
    """A mixture of routed experts with its router and its shared experts."""
    count = fields.integer(*EXPERT_FIELDS)
    width = fields.integer("moe_intermediate_size", "expert_ffn_hidden_size", *_INTERMEDIATE_FIELDS)
    latent = fields.integer_or(0, "moe_latent_size", "routed_expert_hidden_size")
    inner = latent or hidden
    shared = _shared_intermediate(fields, width)
    gate = hidden if fields.has("shared_expert_intermediate_size") else 0
    return FeedForward(
        matrix_parameters=traits.matrices * hidden * shared + 2 * hidden * latent,
        other_parameters=gate + (hidden if fields.flag("enable_moe_block", default=False) else 0),
        router_parameters=count * hidden + traits.router_vectors * count + _per_expert_scale(fields, count),
        experts=count,
        experts_per_token=fields.integer("num_experts_per_tok", "num_experts_per_token", "top_k_experts", "moe_k"),
        expert_matrix_parameters=traits.matrices * inner * width,
        expert_other_parameters=((traits.matrices - 1) * width + inner) * traits.expert_bias,
        expert_intermediate=width,
        hidden=inner,
        matrices=traits.matrices,
    )


def _per_expert_scale(fields: ConfigFields, count: int) -> int:
    """Gemma 4 scales each expert's answer by a learned number."""
    return count if fields.flag("enable_moe_block", default=False) else 0


def _shared_intermediate(fields: ConfigFields, width: int) -> int:
    """Width of all shared experts together (in Gemma 4: of the dense network beside the experts)."""
    stated = fields.integer_or(
        0, "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "share_expert_dim"
    )
    if stated:
        return stated
    if fields.flag("enable_moe_block", default=False):
        return fields.integer("intermediate_size")
    count = fields.integer_or(
        1 if fields.text("", "model_type").startswith(_LLAMA4) else 0,
        "n_shared_experts",
        "num_shared_experts",
        "moe_num_shared_experts",
    )
    return fields.integer_or(count * width, "shared_intermediate_size")
