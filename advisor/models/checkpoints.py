"""Storage of a repository's weights: ``quantization_config`` of a configuration, or the repository's name.

Tensors that exported graphs take and put out are rows of ``onnx_inputs.csv``; a classifier of images answers one score
for each of its classes.
"""

import re
from functools import lru_cache
from typing import Any

from advisor.data_files import data_dir
from advisor.models.config_fields import ConfigFields
from advisor.models.model import Checkpoint, ModelInput, Scope
from advisor.models.networks.vision import labels
from advisor.tables import Row, read_rows

_SEPARATOR = ";"
_LENGTH = "length"
"""A dimension that is the tokens of a text."""
_IMAGE_DIMENSIONS = 3


def exported_inputs(kind: str, fields: ConfigFields) -> tuple[ModelInput, ...]:
    """Inputs of the graph of a model; empty where no exporter's convention is known.

    Args:
        kind: ``model_type`` of its configuration, or its family in ``models.csv``.
        fields: its configuration: an image has the side and the channels that it states.
    """
    return tuple(
        ModelInput(row["input"], row["type"], _shape(row["shape"], fields)) for row in _rows_by_kind().get(kind, ())
    )


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
    for pattern in ("nvfp4", "mxfp4", "fp8"):
        if pattern in words:
            return pattern
    bits = section.integer_or(0, "bits", "w_bit", "num_bits") or _group_bits(section)
    if section.flag("load_in_8bit", default=False) or bits == 8:
        return "fp8" if _group_is_float(section) else "int8"
    return "int4"


def _groups(section: ConfigFields) -> list[dict[str, Any]]:
    groups = section.values.get("config_groups")
    return [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []


def _group_bits(section: ConfigFields) -> int:
    return next((int((group.get("weights") or {}).get("num_bits") or 0) for group in _groups(section)), 0)


def _group_is_float(section: ConfigFields) -> bool:
    return any((group.get("weights") or {}).get("type") == "float" for group in _groups(section))


def _scope(section: ConfigFields) -> Scope:
    """Quantised matrices, from the list of those left out; 8-bit checkpoints leave out only small ones."""
    left_out = [
        str(module)
        for name in ("modules_to_not_convert", "ignore", "exclude_modules")
        for module in section.items(name)
    ]
    if _stated_precision(section) not in _FOUR_BIT or not any(_ATTENTION.search(module) for module in left_out):
        return Scope.ALL
    return Scope.EXPERTS if any(_DENSE.search(module) for module in left_out) else Scope.NOT_ATTENTION
