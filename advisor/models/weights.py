"""Precisions, and the bytes of a model's weights: as stored, as one accelerator of a replica holds them, and as GGUF.

Quantisation shrinks the matrices of the layers. Embeddings, output head, norms, biases, routers, convolutions and
towers stay in 16 bit.

llama.cpp's quantiser makes each tensor of a GGUF in blocks.

Rules of Q8_0 and Q4_K_M, by ``llama_tensor_get_type_impl`` and ``tensor_type_fallback`` of src/llama-quant.cpp
(ggml-org/llama.cpp @007dbbf): matrices are in the type that names the quantisation; in Q4_K_M values and down
projections of some layers, and the output head, are Q6_K. Rows that no block of 256 divides are one type wider. Norms,
biases and routers stay in 32 bit. Towers are no part of the file.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from math import ceil

from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.models.layers import FeedForward, Layer, Mixer
from advisor.models.model import SERVES_GGUF, Checkpoint, Model, Scope
from advisor.records import dataclass, replace
from advisor.tables import read_rows

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

    Raises InputError if no known precision stands in *text*.
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


@dataclass(frozen=True, slots=True)
class SplitWidth:
    """A width of a layer that ranks divide among them."""

    width: int
    ranks: int


def split_block(model: Model, block: int, ranks: int, expert_ranks: int) -> SplitWidth | None:
    """The first width of a layer that leaves each rank a part of a block of weights; None where blocks stay whole.

    vLLM and SGLang refuse to load any other (``validate_fp8_block_shape``, ``Fp8MoEMethod.create_weights``).
    *expert_ranks*: those that divide each expert; 1: every one is whole.
    """
    if not block:
        return None
    splits = (SplitWidth(width, ranks) for layer, _ in model.layers for width in layer.split_widths)
    experts = (SplitWidth(width, expert_ranks) for width in _expert_widths(model))
    return next(
        (split for split in (*splits, *experts) if split.ranks > 1 and split.width % (split.ranks * block)), None
    )


def _expert_widths(model: Model) -> Iterator[int]:
    networks = (layer.feed_forward for layer, _ in model.layers)
    return (network.expert_intermediate for network in networks if network is not None and network.experts)


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


GGUF_BLOCKS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1),
    25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""Name, weights and bytes of a block, by ``ggml_type``; ``GGML_QUANT_SIZES`` of the package gguf 0.19."""


@lru_cache(maxsize=1)
def gguf_quantisations() -> dict[int, str]:
    """Names of quantisations by ``general.file_type``, as files and tags of the hub have them."""
    rows = read_rows(data_dir("instance_catalog") / "gguf_file_types.csv")
    return {int(row["file_type"]): row["quantisation"] for row in rows}


@lru_cache(maxsize=1)
def served_quantisations() -> Mapping[str, str]:
    """Quantisation that llama.cpp serves where a precision is asked for and no file, by precision."""
    rows = read_rows(data_dir("instance_catalog") / "gguf_file_types.csv")
    return {row["precision"]: row["quantisation"] for row in rows if row["precision"]}


@lru_cache(maxsize=1)
def gguf_architectures() -> frozenset[str]:
    """Architectures that llama.cpp loads, as ``general.architecture`` names them."""
    rows = read_rows(data_dir("instance_catalog") / "gguf_architectures.csv")
    return frozenset(row["architecture"] for row in rows)


_BITS = {name: 8 * size / weights for name, weights, size in GGUF_BLOCKS.values()}
_BLOCK = {name: weights for name, weights, _ in GGUF_BLOCKS.values()}
_WIDER = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}
"""Type of blocks of 256 weights → that of rows which they do not divide."""
_TYPES = {"Q8_0": ("Q8_0", "Q8_0"), "Q4_K_M": ("Q4_K", "Q6_K")}
"""Quantisation → type of its matrices, and of those that lose the most."""
_WIDE_BITS = _BITS["F32"]


@lru_cache(maxsize=64)
def loaded_by(model: Model, engine: str, precision: str) -> Model:
    """A language model as an engine loads it: GGUF by llama.cpp alone, by others a checkpoint in as many bits."""
    stored = model.checkpoint
    if not engine.startswith(SERVES_GGUF):
        is_gguf = model.file is not None and model.file.is_gguf
        return replace(model, checkpoint=Checkpoint(stored.precision)) if is_gguf else model
    quantisation = served_quantisations().get(precision, "")
    if quantisation not in _TYPES or (stored.quantisation and stored.precision == precision):
        return model
    own = Checkpoint(
        precision,
        file_bytes=round(gguf_bytes(model, quantisation)),
        quantisation=quantisation,
        architecture=stored.architecture,
    )
    return replace(model, checkpoint=own)


def gguf_bytes(model: Model, quantisation: str) -> float:
    """Bytes of the tensors of a model's GGUF in Q8_0 or Q4_K_M."""
    usual, careful = _TYPES[quantisation]
    share = _careful_share(model.n_layers)
    layers = sum(_layer_bits(layer, model, (usual, careful), share) * count for layer, count in model.layers)
    around = model.surroundings
    tables = around.embeddings * _bits(usual if around.head else careful, model.hidden)
    tables += around.head * _bits(careful, model.hidden) + around.layer_embeddings * _bits(usual, model.hidden)
    wide = (around.positions + around.norms + around.other) * _WIDE_BITS
    return (layers + tables + wide) / 8


def _careful_share(layers: int) -> float:
    """Share of the layers whose values and down projections have more bits: first, last, and every third between."""
    eighth = layers // 8
    careful = (layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2 for layer in range(layers))
    return sum(careful) / max(layers, 1)


def _layer_bits(layer: Layer, model: Model, types: tuple[str, str], share: float) -> float:
    """Bits of a layer, on average over all layers of its kind."""
    bits = layer.norm_parameters * _WIDE_BITS + layer.extra_parameters * _bits(types[0], model.hidden)
    if layer.mixer:
        bits += _mixer_bits(layer.mixer, model, types, share)
    if layer.feed_forward:
        bits += _network_bits(layer.feed_forward, model, types, share)
    return bits


def _mixer_bits(mixer: Mixer, model: Model, types: tuple[str, str], share: float) -> float:
    """Bits of attention, whose values are half of what keys and values have; of other mixers all alike."""
    usual, careful = (_bits(name, model.hidden) for name in types)
    values = mixer.kv_parameters / 2
    matrices = (mixer.matrix_parameters - share * values) * usual + share * values * careful
    return matrices + mixer.other_parameters * _WIDE_BITS


def _network_bits(network: FeedForward, model: Model, types: tuple[str, str], share: float) -> float:
    """Bits of a feed-forward network with its experts; one matrix of each is the down projection."""
    down = network.matrix_parameters / network.matrices
    width = round(down / model.hidden) if model.hidden else 0
    dense = _down_bits(network.matrix_parameters, down, (model.hidden, width), types, share)
    expert, rows = network.expert_matrix_parameters, (model.hidden, network.expert_intermediate)
    routed = _down_bits(expert, expert / network.matrices, rows, types, share)
    small = network.other_parameters + network.router_parameters + network.experts * network.expert_other_parameters
    return dense + network.experts * routed + small * _WIDE_BITS


def _down_bits(total: float, down: float, rows: tuple[int, int], types: tuple[str, str], share: float) -> float:
    """Bits of a network of *total* weights, *down* of which are the down projection.

    *rows* are the lengths of those of the other matrices, and of the down projection.
    """
    usual, careful = types
    projected = (1 - share) * _bits(usual, rows[1]) + share * _bits(careful, rows[1])
    return (total - down) * _bits(usual, rows[0]) + down * projected


def _bits(name: str, row: int) -> float:
    """Bits of a weight in blocks of a type, or in those that replace them where they do not divide a row."""
    fits = row % _BLOCK[name] == 0
    return _BITS[name if fits else _WIDER.get(name, "F16")]
