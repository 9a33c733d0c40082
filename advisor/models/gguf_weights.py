"""Bytes of a GGUF that llama.cpp's quantiser makes, each tensor in the blocks that the quantiser gives it.

Rules of Q8_0 and Q4_K_M, by ``llama_tensor_get_type_impl`` and ``tensor_type_fallback`` of src/llama-quant.cpp
(ggml-org/llama.cpp @007dbbf): matrices are in the type that names the quantisation; in Q4_K_M values and down
projections of some layers, and the output head, are Q6_K. Rows that no block of 256 divides are one type wider. Norms,
biases and routers stay in 32 bit. Towers are no part of the file.
"""

from collections.abc import Mapping
from functools import lru_cache

from advisor.data_files import data_dir
from advisor.models.layers import FeedForward, Layer, Mixer
from advisor.models.model import SERVES_GGUF, Checkpoint, Model
from advisor.records import replace
from advisor.tables import read_rows

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
