"""Tensors that exported graphs take and put out, by the convention of the usual exporters.

Inputs are rows of ``onnx_inputs.csv``; a classifier of images answers one score for each of its classes.
"""

from functools import lru_cache

from advisor.data_files import data_dir
from advisor.models.config_fields import ConfigFields
from advisor.models.model import ModelInput
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
