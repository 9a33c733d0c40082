"""Answers of text encoders, from what lies in their folder: the architecture alone tells none from another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.models.config_fields import ConfigFields
from advisor.models.files.tensors import Tensor
from advisor.models.model import TextAnswer
from advisor.reading import json_of, read_text

_MODULES = "modules.json"
"""Modules that sentence-transformers runs, one after the other."""
_MOST_BYTES = 1_000_000
_MODULES_HINT = "download it again; sentence-transformers writes a list of modules, each with its type"
_OF_TOKENS = ("pylate", "multi_vector_encoder", "multivectorencoder")
_OF_TERMS = ("spladepooling", "sparse_encoder")
_COLBERT_FILE = "artifact.metadata"
"""Settings that ColBERT's trainer leaves beside the weights."""
_PROJECTION = "linear.weight"
"""Matrix by which ColBERT makes the state of each token narrower."""


def text_answer(values: Mapping[str, Any], tensors: Sequence[Tensor], folder: Path, name: str) -> TextAnswer:
    """Answer of a text encoder for one text.

    Args:
        values: fields of its ``config.json``.
        tensors: of its weights; none where only the configuration is there.
        folder: where both lie.
        name: of the model.

    Raises:
        InputError: the list of its modules cannot be read.
    """
    fields = ConfigFields(values, str(folder))
    classes, modules = " ".join(map(str, fields.items("architectures"))), _modules(folder)
    is_projected = any(tensor.name == _PROJECTION and len(tensor.shape) == 2 for tensor in tensors)
    if "colbert" in classes.lower() or is_projected or (folder / _COLBERT_FILE).is_file():
        return TextAnswer.VECTORS
    if any(word in modules for word in _OF_TOKENS):
        return TextAnswer.VECTORS
    if any(word in modules for word in _OF_TERMS) or ("MaskedLM" in classes and "splade" in name.lower()):
        return TextAnswer.TERMS
    if "ForSequenceClassification" in classes:
        return TextAnswer.SCORE if _labels(fields) == 1 else TextAnswer.LABELS
    return TextAnswer.WORDS if "MaskedLM" in classes and not modules else TextAnswer.VECTOR


def _labels(fields: ConfigFields) -> int:
    """Scores of a classifier; Transformers takes two where none are listed."""
    listed = fields.values.get("id2label")
    return len(listed) if isinstance(listed, dict) else fields.integer_or(2, "num_labels", least=1)


def _modules(folder: Path) -> str:
    """Types of the listed modules in lower case; "" where there is no list.

    Raises:
        InputError: the list cannot be read, or a module of it has no type.
    """
    file = folder / _MODULES
    if not file.is_file():
        return ""
    modules = json_of(read_text(file, "list of modules", _MODULES_HINT, _MOST_BYTES), str(file), _MODULES_HINT)
    listed = [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
    types = [module["type"] for module in listed if isinstance(module.get("type"), str)]
    if not types or len(types) < len(modules):
        raise InputError("a list of modules with their types is expected", where=str(file), hint=_MODULES_HINT)
    return " ".join(types).lower()
