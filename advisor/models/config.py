"""Models from a ``config.json``: the builder of each ``model_type``, encoders (BERT and its kin), towers.

Models that see or hear keep the language model's configuration in ``text_config``. Their towers are transformers of
their own: patches in, a projector to the width of the language model out. They are loaded with the model and take
memory, but add nothing to the KV cache.

Storage of a repository's weights: ``quantization_config`` of a configuration, or the repository's name.

Tensors that exported graphs take and put out are rows of ``onnx_inputs.csv``; a classifier of images answers one score
for each of its classes.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

from advisor.data_files import data_dir
from advisor.errors import InputError
from advisor.models.config_fields import MOST_LAYERS, ConfigFields
from advisor.models.decoder import read_decoder
from advisor.models.layer_kinds import SAME_AS, TRAITS
from advisor.models.layers import AttentionOptions, FeedForward, Heads, Layer, Mixer, MixerKind, attention, dense
from advisor.models.model import Checkpoint, Model, ModelInput, Scope, Surroundings
from advisor.models.networks import NETWORKS, labels, whole_model
from advisor.models.pictures import VisionTower, rule_of
from advisor.reading import read_json
from advisor.records import dataclass, replace
from advisor.tables import Row, read_records, read_rows

_SEPARATOR = ";"
_LENGTH = "length"
"""A dimension that is the tokens of a text."""
_IMAGE_DIMENSIONS = 3


def exported_inputs(kind: str, fields: ConfigFields) -> tuple[ModelInput, ...]:
    """Inputs of the graph of a model; empty where no exporter's convention is known.

    *kind*: ``model_type``, or the family in ``models.csv``. An image has the side and the channels that the fields
    state.
    """
    rows = _rows_by_kind().get(kind, ())
    return tuple(ModelInput(row["input"], row["type"], _shape(row["shape"], fields)) for row in rows)


def class_scores(fields: ConfigFields) -> tuple[ModelInput, ...]:
    """Output of a classifier of images, a score for each class; empty of other networks, and where none is listed."""
    named = " ".join(map(str, fields.items("architectures")))
    is_listed = bool(fields.values.keys() & {"id2label", "num_labels"})
    is_classifier = "ForImageClassification" in named or (not named and is_listed)
    return (ModelInput("logits", "fp32", (labels(fields),)),) if is_classifier else ()


def _shape(written: str, fields: ConfigFields) -> tuple[int | None, ...]:
    sizes = tuple(None if size == _LENGTH else int(size) for size in written.split(_SEPARATOR))
    if len(sizes) != _IMAGE_DIMENSIONS:
        return sizes
    channels, side, _ = (size or 1 for size in sizes)
    side = fields.integer_or(side, "image_size", least=1)
    return (fields.integer_or(channels, "num_channels", least=1), side, side)


@lru_cache(maxsize=1)
def _rows_by_kind() -> dict[str, list[Row]]:
    by_kind: dict[str, list[Row]] = {}
    for row in read_rows(data_dir("instance_catalog") / "onnx_inputs.csv"):
        for kind in row["kinds"].split(_SEPARATOR):
            by_kind.setdefault(kind, []).append(row)
    return by_kind


_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float8_e4m3fn": "fp8"}
_SUFFIXES: tuple[tuple[str, str], ...] = (
    (r"nvfp4|[-_.]fp4", "nvfp4"),
    (r"mxfp4", "mxfp4"),
    (r"fp8", "fp8"),
    (r"w8a8|w8a16|int8|8bit|q8_0", "int8"),
    (r"w4a16|int4|4bit|awq|gptq|autoround|q4_|qat", "int4"),
    (r"gguf", "int4"),
    (r"bf16", "bf16"),
)
_ATTENTION = re.compile(r"self_attn(\W*$|\.\*|\.(q|k|v|o|qkv|kv)\w*_proj)|attention")
_DENSE = re.compile(r"shared_expert|mlp\.?\(?\W*\(?(gate|up|down)")
_FOUR_BIT = ("int4", "nvfp4", "mxfp4")
_EIGHT_BIT_CACHE_OWNERS = ("nvidia", "amd")


def read_checkpoint(fields: ConfigFields) -> Checkpoint:
    """The storage that ``quantization_config`` states; without one, the data type of the weights."""
    nested = fields.section("text_config")
    section = fields.section("quantization_config")
    if not section.values:
        section = nested.section("quantization_config")
    if not section.values:
        dtype = fields.text("", "dtype", "torch_dtype") or nested.text("bfloat16", "dtype", "torch_dtype")
        return Checkpoint(precision=_DTYPES.get(dtype, "bf16"))
    return Checkpoint(
        precision=_stated_precision(section),
        scope=_scope(section),
        kv_precision="fp8" if section.has("kv_cache_scheme") or section.has("kv_cache_quant_algo") else "auto",
        block=_block(section),
    )


def checkpoint_of_name(name: str, default: Checkpoint) -> Checkpoint:
    """The storage that the name of a repository gives away (``...-FP8-dynamic``, ``...-AWQ``), else *default*."""
    owner, _, repository = name.lower().rpartition("/")
    for pattern, precision in _SUFFIXES:
        if re.search(pattern, repository):
            if precision == default.precision:
                return default
            quantised_cache = owner in _EIGHT_BIT_CACHE_OWNERS and precision in ("fp8", "nvfp4")
            return Checkpoint(precision, kv_precision="fp8" if quantised_cache else "auto")
    return default


def _stated_precision(section: ConfigFields) -> str:
    """One of our precisions for what a quantiser wrote."""
    words = f"{section.text('', 'quant_method')} {section.text('', 'quant_algo')} {section.text('', 'format')}".lower()
    named = next((precision for precision in ("nvfp4", "mxfp4", "fp8") if precision in words), "")
    if named:
        return named
    weights = _groups(section)
    grouped = (int(group.get("num_bits") or 0) for group in weights)
    bits = section.integer_or(0, "bits", "w_bit", "num_bits") or next(grouped, 0)
    if section.flag("load_in_8bit", default=False) or bits == 8:
        return "fp8" if any(group.get("type") == "float" for group in weights) else "int8"
    return "int4"


def _groups(section: ConfigFields) -> list[dict[str, Any]]:
    """Weights of each group that compressed-tensors lists."""
    groups = section.values.get("config_groups")
    listed = [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []
    weights = (group.get("weights") for group in listed)
    return [stated if isinstance(stated, dict) else {} for stated in weights]


def _block(section: ConfigFields) -> int:
    """Side of the blocks that share a scale, as DeepSeek and compressed-tensors write them; 0: none."""
    stated = (section.values, *_groups(section))
    names = ("weight_block_size", "block_structure")
    blocks = (values.get(name) for values in stated for name in names)
    sides = next((block for block in blocks if isinstance(block, list) and block), [0])
    return sides[0] if isinstance(sides[0], int) and sides[0] > 0 else 0


def _scope(section: ConfigFields) -> Scope:
    """Quantised matrices, from the list of those left out; 8-bit checkpoints leave out only small ones."""
    names = ("modules_to_not_convert", "ignore", "exclude_modules")
    left_out = [str(module) for name in names for module in section.items(name)]
    if _stated_precision(section) not in _FOUR_BIT or not any(_ATTENTION.search(module) for module in left_out):
        return Scope.ALL
    return Scope.EXPERTS if any(_DENSE.search(module) for module in left_out) else Scope.NOT_ATTENTION


_PIXEL_CHANNELS = 3
_PATCH = 14
"""Side of a patch in pixels, where a configuration does not say."""


def tower_parameters(fields: ConfigFields, hidden: int) -> int:
    """Parameters of the tower that ``vision_config`` describes, with a projector to *hidden*; 0 where there is none."""
    vision = _vision_fields(fields)
    if not vision.values:
        return 0
    tower = _tower(vision, hidden)
    patches = tower.patch_projection + _positions(vision) * tower.width
    return tower.layers * (tower.layer_matrices + tower.layer_biases) + patches + tower.projector


def vision_tower(fields: ConfigFields, hidden: int) -> VisionTower | None:
    """The tower that ``vision_config`` describes, with its projector to *hidden*; None: none, or of no known rule."""
    vision, rule = _vision_fields(fields), rule_of(fields)
    if not vision.values or rule is None:
        return None
    tower, patch = _tower(vision, hidden), vision.integer_or(_PATCH, "patch_size")
    windowed = vision.has("window_size") and vision.has("fullatt_block_indexes")
    return VisionTower(
        rule=rule,
        layers=tower.layers,
        width=tower.width,
        layer_parameters=tower.layer_matrices,
        patch_parameters=tower.patch_projection,
        projector_parameters=tower.projector,
        patch_pixels=patch,
        merge=rule.merge or vision.integer_or(1, "spatial_merge_size"),
        side_pixels=vision.integer_or(0, "image_size"),
        window_patches=(vision.integer("window_size") // patch) ** 2 if windowed else 0,
        full_layers=len(vision.items("fullatt_block_indexes")) if windowed else tower.layers,
    )


def _vision_fields(fields: ConfigFields) -> ConfigFields:
    vision = fields.section("vision_config")
    return ConfigFields({**_left_out(vision), **vision.values}, vision.where) if vision.values else vision


@dataclass(frozen=True, slots=True)
class _Tower:
    """Sizes of a tower, and parameters of its parts."""

    width: int
    layers: int
    layer_matrices: int
    layer_biases: int
    patch_projection: int
    projector: int
    """From (merged) patches to the width of the language model."""


def _tower(vision: ConfigFields, hidden: int) -> _Tower:
    width = vision.integer("hidden_size", "embed_dim", "vt_hidden_size")
    layers = vision.integer("num_hidden_layers", "depth", "vt_num_hidden_layers", most=MOST_LAYERS)
    inner = vision.integer_or(4 * width, "intermediate_size", "vt_intermediate_size")
    is_gated = vision.text("", "model_type") in ("pixtral", "qwen2_5_vl", "gemma4_vision")
    patch, frames = vision.integer_or(_PATCH, "patch_size"), vision.integer_or(1, "temporal_patch_size")
    merge = vision.integer_or(1, "spatial_merge_size") ** 2
    merged, depths = width * merge, 1 + len(vision.items("deepstack_visual_indexes"))
    return _Tower(
        width=width,
        layers=layers,
        layer_matrices=4 * width * width + (3 if is_gated else 2) * width * inner,
        layer_biases=0 if is_gated else 4 * width + inner + 5 * width,
        patch_projection=_PIXEL_CHANNELS * patch * patch * frames * width,
        projector=width * hidden if merge == 1 else (merged * merged + merged * hidden) * depths,
    )


def _positions(vision: ConfigFields) -> int:
    if vision.has("position_embedding_size"):
        return 2 * vision.integer("position_embedding_size")  # of columns and of rows
    positions = vision.integer_or(0, "num_position_embeddings")
    if not positions and vision.has("image_size") and vision.text("", "model_type") != "pixtral":
        return (vision.integer("image_size") // vision.integer_or(_PATCH, "patch_size")) ** 2
    return positions


@dataclass(frozen=True, slots=True)
class EncoderTraits:
    """Traits fixed by the code of an encoder family."""

    learned_positions: bool = True
    padding_positions: int = 0
    """Rows of the position table that no token uses."""
    token_types: bool = True
    pooler: bool = True
    matrices: int = 2
    biases: bool = True
    shared_layers: bool = False
    """All layers use one set of weights (ALBERT)."""
    relative_buckets: bool = False
    """A table of relative positions shared by all layers (MPNet)."""
    norm_vectors: int = 2
    embedding_norm: bool = True
    windows: bool = False
    """Most layers look at near tokens alone (ModernBERT)."""
    family: str = "bert"
    """As lists of engines name it: those that load BERT load RoBERTa, XLM-R and CamemBERT."""


_BERT = EncoderTraits()
_ROBERTA = EncoderTraits(padding_positions=2)
ENCODER_TRAITS = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": EncoderTraits(pooler=False, family="electra"),
    "distilbert": EncoderTraits(token_types=False, pooler=False, family="distilbert"),
    "mpnet": EncoderTraits(token_types=False, relative_buckets=True, padding_positions=2, family="mpnet"),
    "albert": EncoderTraits(shared_layers=True, family="albert"),
    "nomic_bert": EncoderTraits(matrices=3, biases=False, pooler=False, learned_positions=False, family="nomic_bert"),
    "new": EncoderTraits(matrices=3, pooler=False, learned_positions=False, family="gte"),
    "modernbert": EncoderTraits(
        token_types=False, pooler=False, matrices=3, biases=False, learned_positions=False, norm_vectors=1,
        windows=True, family="modernbert",
    ),
}  # fmt: skip
ENCODER_TYPES = tuple(ENCODER_TRAITS)


def _read_encoder(fields: ConfigFields, name: str, checkpoint: Checkpoint) -> Model:
    """Build an encoder from its configuration."""
    traits = ENCODER_TRAITS[fields.text("", "model_type")]
    if fields.integer_or(0, "num_experts"):
        traits = replace(traits, matrices=2, biases=True)
    hidden = fields.integer("hidden_size", "dim", "n_embd")
    heads = fields.integer("num_attention_heads", "n_heads", "n_head")
    inner = fields.integer("intermediate_size", "hidden_dim", "n_inner")
    count = fields.integer("num_hidden_layers", "n_layers", "n_layer", most=MOST_LAYERS)
    mixer = _encoder_attention(hidden, heads, bias=traits.biases)
    layer = Layer(
        mixer=mixer,
        feed_forward=dense(hidden, inner, traits.matrices, bias=traits.biases),
        norm_parameters=2 * traits.norm_vectors * hidden,
    )
    positions = fields.integer_or(0, "max_position_embeddings", "n_positions")
    near, window = _windowed(fields, count) if traits.windows else (0, 0)
    mixtures = _mixtures(fields, count)
    layers = (
        (layer, count - near - mixtures),
        (replace(layer, mixer=replace(mixer, window_tokens=window)), near),
        (replace(layer, feed_forward=_experts(fields, hidden, inner)), mixtures),
    )
    return Model(
        name=name,
        family=traits.family,
        task="encoder",
        hidden=hidden,
        vocab=fields.integer("vocab_size"),
        n_heads=heads,
        n_kv_heads=heads,
        intermediate=inner,
        tied_embeddings=True,
        surroundings=_encoder_surroundings(fields, traits, hidden, heads),
        layers=((layer, 1),) if traits.shared_layers else tuple(part for part in layers if part[1]),
        layer_repeats=count if traits.shared_layers else 1,
        max_context_tokens=positions - traits.padding_positions if positions else None,
        checkpoint=checkpoint,
    )


def _mixtures(fields: ConfigFields, count: int) -> int:
    """Layers with experts: of each *moe_every_n_layers* the second (Nomic Embed v2)."""
    every = fields.integer_or(0, "moe_every_n_layers")
    if not fields.integer_or(0, "num_experts") or not every:
        return 0
    return len(range(1 % every, count, every))


def _experts(fields: ConfigFields, hidden: int, inner: int) -> FeedForward:
    """Experts of two matrices without a gate, which share the bias of their outputs."""
    experts = fields.integer_or(0, "num_experts")
    return FeedForward(
        matrix_parameters=0,
        other_parameters=hidden,
        router_parameters=hidden * experts,
        experts=experts,
        experts_per_token=fields.integer_or(1, "moe_top_k", least=1),
        expert_matrix_parameters=2 * hidden * inner,
        expert_intermediate=inner,
        hidden=hidden,
        matrices=2,
    )


def _windowed(fields: ConfigFields, count: int) -> tuple[int, int]:
    """Layers that look at near tokens alone, as listed or all but every third, and how many tokens they look at."""
    kinds = fields.items("layer_types")[:count]
    every = fields.integer_or(3, "global_attn_every_n_layers", least=1)
    near = kinds.count("sliding_attention") if kinds else count - ceil(count / every)
    return near, fields.integer_or(128, "local_attention", least=1)


def _encoder_attention(hidden: int, heads: int, *, bias: bool) -> Mixer:
    """Attention in both directions: nothing is cached."""
    dim = hidden // heads
    mixer = attention(hidden, Heads(heads, heads, dim, dim), AttentionOptions(qkv_bias=bias, output_bias=bias))
    matrices, others = mixer.matrix_parameters, mixer.other_parameters
    return Mixer(MixerKind.ATTENTION, matrices, others, width=mixer.width, kv_heads=heads)


def _encoder_surroundings(fields: ConfigFields, traits: EncoderTraits, hidden: int, heads: int) -> Surroundings:
    width = fields.integer_or(hidden, "embedding_size")
    positions = fields.integer_or(0, "max_position_embeddings", "n_positions") if traits.learned_positions else 0
    types = fields.integer_or(0, "type_vocab_size") if traits.token_types else 0
    pooler = hidden * hidden + hidden if traits.pooler else 0
    projection = width * hidden + hidden if width != hidden else 0
    buckets = fields.integer_or(32, "relative_attention_num_buckets") * heads if traits.relative_buckets else 0
    return Surroundings(
        embeddings=fields.integer("vocab_size") * width,
        positions=(positions + types) * width,
        norms=traits.norm_vectors * width if traits.embedding_norm else 0,
        other=pooler + projection + buckets,
    )


_TEXT_SECTIONS = ("text_config", "llm_config", "language_config", "thinker_config")


def read_config_values(file: Path) -> dict[str, Any]:
    """Fields of a ``config.json``, with what NVIDIA's quantiser left in a file of its own beside it.

    Raises InputError if it cannot be read, or is not a JSON object.
    """
    values = read_json(file, "model's configuration", "give the config.json of a model, or its directory")
    if not isinstance(values, dict):
        raise InputError("a JSON object is expected", where=str(file))
    notes = file.with_name("hf_quant_config.json")
    if "quantization_config" in values or not notes.is_file():
        return values
    quantised = read_json(notes, "quantiser's notes")
    if not isinstance(quantised, dict) or "quantization" not in quantised:
        raise InputError("there is no field 'quantization'", where=str(notes))
    return {**values, "quantization_config": quantised["quantization"]}


def is_known_type(values: Mapping[str, Any]) -> bool:
    """Whether there is a builder for the architecture that a configuration names."""
    outer = ConfigFields(values, "")
    kind = _text_fields(outer).text("", "model_type")
    return kind in TRAITS or kind in ENCODER_TYPES or outer.text("", "model_type") in NETWORKS


def model_from_config(values: Mapping[str, Any], *, name: str, where: str, towers: int | None = None) -> Model:
    """Build a model from the fields of a ``config.json``; *where* they stand is for messages.

    *towers*: parameters of vision and audio parts, where known; else they are counted from the configuration.
    """
    outer = ConfigFields(values, where)
    checkpoint = read_checkpoint(outer)
    if (family := outer.text("", "model_type")) in NETWORKS:
        network = whole_model(NETWORKS[family](outer), family, name, checkpoint)
        return replace(network, inputs=exported_inputs(family, outer), outputs=class_scores(outer))
    text = _text_fields(outer)
    model_type = text.text("", "model_type")
    if model_type in ENCODER_TYPES:
        return replace(_read_encoder(text, name, checkpoint), inputs=exported_inputs(model_type, text))
    if model_type not in TRAITS:
        raise _unknown(model_type, values, where)
    hidden = text.integer("hidden_size", "n_embd", "d_model")
    counted = tower_parameters(outer, hidden) if towers is None else towers
    model = read_decoder(text, name, checkpoint, counted, "vlm" if counted else "llm")
    return replace(model, vision=vision_tower(outer, hidden))


def _text_fields(outer: ConfigFields) -> ConfigFields:
    """Fields of the language model, with its family under one name."""
    nested = next((outer.section(name) for name in _TEXT_SECTIONS if outer.section(name).values), None)
    values = dict(outer.values) if nested is None else {**_left_out(nested), **nested.values}
    if nested is not None and "tie_word_embeddings" in outer.values:
        values.setdefault("tie_word_embeddings", outer.values["tie_word_embeddings"])
    model_type = str(values.get("model_type") or outer.values.get("model_type") or "")
    values["model_type"] = SAME_AS.get(model_type, model_type)
    return ConfigFields(values, (nested or outer).where)


def _left_out(nested: ConfigFields) -> Mapping[str, int]:
    """Fields that a nested configuration leaves out, since its class has the same values."""
    return _defaults().get(nested.text("", "model_type"), {})


@lru_cache(maxsize=1)
def _defaults() -> Mapping[str, Mapping[str, int]]:
    """Values of fields by ``model_type`` of a nested configuration."""
    defaults: dict[str, dict[str, int]] = {}
    for row in read_records(data_dir("instance_catalog") / "config_defaults.csv"):
        defaults.setdefault(row.text("model_type"), {})[row.text("field")] = row.integer("value")
    return defaults


def _unknown(model_type: str, values: Mapping[str, Any], where: str) -> InputError:
    if not model_type:
        hint = "use the config.json of the model's repository unchanged"
        return InputError("field 'model_type' is missing", where=where, hint=hint)
    names = [*TRAITS, *ENCODER_TYPES, *NETWORKS]
    near = get_close_matches(model_type, names, n=3)
    named = ", ".join(map(str, ConfigFields(values, where).items("architectures"))) or "no class named"
    return InputError(
        f"field 'model_type' names an architecture that is not known: {model_type!r} ({named})",
        where=where,
        hint="put the model's safetensors beside the configuration, and it is estimated from their shapes; "
        + (f"nearest known: {', '.join(near)}" if near else f"known: {', '.join(sorted(names))}"),
    )
