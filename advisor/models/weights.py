"""Precisions, and the bytes of a model's weights: as stored, and as one accelerator of a replica holds them.

Quantisation shrinks the matrices of the layers. Embeddings, output head, norms, biases, routers, convolutions and
towers stay in 16 bit.
"""

from difflib import get_close_matches
from functools import lru_cache
from math import ceil

from advisor.errors import InputError
from advisor.models.layers import FeedForward, Layer
from advisor.models.model import Model, Scope
from advisor.records import dataclass, replace

BITS_PER_WEIGHT = {
    "fp32": 32.0, "bf16": 16.0, "fp16": 16.0, "fp8": 8.0, "int8": 8.0,
    "int4": 4.0 + 16 / 128 + 4 / 128, "nvfp4": 4.0 + 8 / 16, "mxfp4": 4.0 + 8 / 32,
}  # fmt: skip
"""Scales included: int4 has a 16-bit scale and a 4-bit zero point for 128 weights (AWQ, GPTQ), nvfp4 an 8-bit scale
for 16, mxfp4 one for 32; the scales of fp8 and int8 are one per row or per 128 × 128 block, which is nothing."""
SIXTEEN_BIT = 16.0
AUTO = "auto"
"""Precision of the KV cache that plans, `fit` and `predict` take where none is stated: as the checkpoint asks for."""
_PARTS = {
    "mxfp4": ("mxfp4",), "nvfp4": ("nvfp4", "fp4"), "int4": ("w4a16", "awq", "gptq", "int4", "q4"),
    "int8": ("w8a8", "w8a16", "int8"), "fp8": ("fp8", "e4m3", "e5m2"), "bf16": ("bf16", "bfloat16"),
    "fp16": ("fp16", "float16", "half"), "fp32": ("fp32", "float32", "tf32"),
}  # fmt: skip
"""Parts of the names of a precision; the first that a name holds tells which it is."""


def parse_precision(text: str) -> str:
    """One of our precisions for the name that a table or a person uses: ``fp8(compressed-tensors)``, ``int4 AWQ``.

    Raises:
        InputError: no known precision stands in *text*.
    """
    words = text.strip().lower()
    if words in BITS_PER_WEIGHT:
        return words
    for precision, parts in _PARTS.items():
        if any(part in words for part in parts):
            return precision
    near = get_close_matches(words, BITS_PER_WEIGHT, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(BITS_PER_WEIGHT)}"
    raise InputError(f"precision {text!r} is not known", hint=hint)


def is_wide(precision: str) -> bool:
    """Whether weights have 16 bits or more: what engines cast and quantise while they load."""
    return BITS_PER_WEIGHT[precision] >= SIXTEEN_BIT


def kv_bytes_per_element(kv_precision: str, weight_precision: str, checkpoint_kv_precision: str) -> float:
    """Bytes of one element of the KV cache in what :func:`kv_cache_precision` says."""
    return BITS_PER_WEIGHT[kv_cache_precision(kv_precision, weight_precision, checkpoint_kv_precision)] / 8


def kv_cache_precision(kv_precision: str, weight_precision: str, checkpoint_kv_precision: str) -> str:
    """Precision of the KV cache.

    ``auto`` is what the checkpoint asks for (some quantised ones ask for 8 bit), else 16 bit, or 32 bit where the whole
    model runs in fp32.
    """
    chosen = kv_precision if kv_precision != AUTO else checkpoint_kv_precision
    if chosen == AUTO:
        chosen = "fp32" if weight_precision == "fp32" else "bf16"
    return chosen


def parse_kv_precision(text: str) -> str:
    """:data:`AUTO`, or one of our precisions."""
    return AUTO if text.strip().lower() in ("", "auto", "default") else parse_precision(text)


_PADDED_HIDDEN = 256
"""MXFP4 kernels want experts whose sides are multiples of this, and of ``Split.expert_multiple`` on each rank:
gpt-oss loads 7 to 14 % larger than it is stored."""
_WIDE = "bf16"
"""What engines quantise from, whatever wider type the weights are published in."""


@dataclass(frozen=True, slots=True)
class Split:
    """Spread of a replica over accelerators."""

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_multiple: int = 128
    """What the engine's MXFP4 kernels round the width of an expert up to."""


def scope_of(model: Model, precision: str) -> Scope:
    """Matrices that *precision* is applied to.

    In its own precision a checkpoint says so itself. Else: mxfp4 is a format for experts, and nvfp4 checkpoints of
    models with latent attention leave the attention alone.
    """
    if precision == model.checkpoint.precision:
        return model.checkpoint.scope
    if precision == "mxfp4" and model.has_experts:
        return Scope.EXPERTS
    return Scope.NOT_ATTENTION if precision == "nvfp4" and model.is_latent else Scope.ALL


@lru_cache(maxsize=4096)
def weight_bytes(model: Model, precision: str) -> float:
    """Bytes of all weights, as one accelerator that holds the whole model would load them, without padding."""
    if model.checkpoint.file_bytes and precision == model.checkpoint.precision:
        return float(model.checkpoint.file_bytes)
    return _described_bytes(model, precision)


def _described_bytes(model: Model, precision: str) -> float:
    bits, scope = BITS_PER_WEIGHT[precision], scope_of(model, precision)
    quantised = sum(_quantised(layer, scope) * count for layer, count in model.layers)
    return (quantised * bits + (model.parameters_total - quantised) * max(bits, SIXTEEN_BIT)) / 8


def _quantised(layer: Layer, scope: Scope) -> int:
    """Parameters of a layer that are stored in few bits."""
    network = layer.feed_forward
    total = network.experts * network.expert_matrix_parameters if network else 0
    if scope is not Scope.EXPERTS:
        total += network.matrix_parameters if network else 0
    if scope is Scope.ALL:
        total += layer.mixer.matrix_parameters if layer.mixer else 0
    return total


@lru_cache(maxsize=4096)
def rank_weight_bytes(model: Model, precision: str, split: Split) -> float:
    """Bytes that the fullest accelerator of a replica holds.

    With pipeline parallelism the last stage is the fullest: it has the output head beside its share of the layers. A
    file in blocks of its own sizes (GGUF) takes as much more or less in every part as in the whole.
    """
    whole, described = weight_bytes(model, precision), _described_bytes(model, precision)
    ranks = split.tensor_parallel
    around = model.surroundings
    width = max(BITS_PER_WEIGHT[precision], SIXTEEN_BIT) / 8
    layers = sum(_rank_layer_bytes(layer, model, precision, split) * count for layer, count in model.layers)
    if split.pipeline_parallel == 1:
        sharded = around.embeddings + around.layer_embeddings + around.head + around.towers + around.other
    else:
        sharded = around.head or around.embeddings
    outside = sharded / ranks + around.positions + around.norms + model.rotary.elements
    stage_share = ceil(model.n_layers / split.pipeline_parallel) / model.n_layers if model.n_layers else 1.0
    return (layers * stage_share + outside * width) * whole / described


def replica_weight_bytes(model: Model, precision: str, split: Split) -> float:
    """Bytes over all accelerators of a replica, repeated and padded parts counted as often as they are held."""
    ranks = split.tensor_parallel
    around = model.surroundings
    width = max(BITS_PER_WEIGHT[precision], SIXTEEN_BIT) / 8
    whole_stage = rank_weight_bytes(model, precision, replace(split, pipeline_parallel=1))
    second_table = (0 if around.head else around.embeddings) * (split.pipeline_parallel > 1)
    tables = model.rotary.elements * (split.pipeline_parallel - 1) * ranks
    return whole_stage * ranks + (second_table + tables) * width


def loading_bytes(model: Model, precision: str, split: Split, *, by_layer: bool) -> float:
    """Most bytes that the fullest accelerator holds while the engine quantises 16-bit weights.

    Layer by layer: ``weights as served + largest layer in 16 bit``. Otherwise all of them stand there in 16 bit first:
    ``weights in 16 bit + largest layer as served``.
    """
    kept, passing = (precision, _WIDE) if by_layer else (_WIDE, precision)
    largest = max((_rank_layer_bytes(layer, model, passing, split) for layer, _ in model.layers), default=0.0)
    return rank_weight_bytes(model, kept, split) + largest


def _rank_layer_bytes(layer: Layer, model: Model, precision: str, split: Split) -> float:
    """Bytes of one layer on one tensor-parallel rank."""
    ranks = split.tensor_parallel
    bits, scope = BITS_PER_WEIGHT[precision], scope_of(model, precision)
    wide, narrow = max(bits, SIXTEEN_BIT) / 8, bits / 8
    total = (layer.norm_parameters + layer.extra_parameters / ranks) * wide
    if layer.mixer:
        repeated_heads = max(1.0, ranks / layer.mixer.kv_heads) if layer.mixer.kv_heads else 1.0
        sharded = layer.mixer.matrix_parameters - layer.mixer.kv_parameters - layer.mixer.replicated_parameters
        matrices = (sharded + layer.mixer.kv_parameters * repeated_heads) / ranks + layer.mixer.replicated_parameters
        total += matrices * (narrow if scope is Scope.ALL else wide) + layer.mixer.other_parameters * wide / ranks
    if layer.feed_forward:
        total += _rank_network_bytes(layer.feed_forward, precision, scope, split)
    return total


def _rank_network_bytes(network: FeedForward, precision: str, scope: Scope, split: Split) -> float:
    """Bytes of a feed-forward network on one rank; the router is held whole by each."""
    bits, ranks = BITS_PER_WEIGHT[precision], split.tensor_parallel
    wide, narrow = max(bits, SIXTEEN_BIT) / 8, bits / 8
    experts = network.experts * network.expert_matrix_parameters / ranks
    if precision == "mxfp4" and network.experts:
        experts *= _padding(network, split)
    dense = network.matrix_parameters * (wide if scope is Scope.EXPERTS else narrow)
    small = network.other_parameters + network.experts * network.expert_other_parameters
    return experts * narrow + (dense + small * wide) / ranks + network.router_parameters * wide


def _padding(network: FeedForward, split: Split) -> float:
    """Size of an expert as loaded ÷ as stored."""
    share = network.expert_intermediate / split.tensor_parallel
    hidden = ceil(network.hidden / _PADDED_HIDDEN) * _PADDED_HIDDEN / network.hidden
    return hidden * ceil(share / split.expert_multiple) * split.expert_multiple / share
