"""Answers of text encoders, from what lies in their folder: the architecture alone tells none from another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.models.config_fields import ConfigFields
from advisor.models.encoder_answers import answering
from advisor.models.files.tensors import Tensor
from advisor.models.model import Model, TextAnswer
from advisor.reading import json_of, read_text

_MODULES = "modules.json"
"""Modules that sentence-transformers runs, one after the other."""
_MOST_BYTES = 1_000_000
_MODULES_HINT = "download it again; sentence-transformers writes a list of modules, each with its type"
_OF_TOKENS = ("pylate", "multi_vector_encoder", "multivectorencoder")
_OF_TERMS = ("spladepooling", "sparse_encoder")
_MASKED = "MaskedLM"
_SPARSE_NAMES = ("splade", "neural-sparse")
_COLBERT_FILE = "artifact.metadata"
"""Settings that ColBERT's trainer leaves beside the weights."""
_PROJECTION = "linear.weight"
"""Matrix by which ColBERT makes the state of each token narrower."""


def lists_modules(folder: Path) -> bool:
    """Whether sentence-transformers runs the model of a folder, for vectors or scores."""
    return (folder / _MODULES).is_file()


def with_answer(model: Model, values: Mapping[str, Any], tensors: Sequence[Tensor], folder: Path) -> Model:
    """A text encoder with its answer for one text, and the matrices that this takes.

    Args:
        model: the encoder.
        values: fields of its ``config.json``.
        tensors: of its weights; none where only the configuration is there.
        folder: where both lie.

    Raises:
        InputError: the list of its modules, or the configuration of one, cannot be read.
    """
    fields = ConfigFields(values, str(folder))
    answer = _text_answer(fields, tensors, folder, model.name)
    model_type = fields.text("", "model_type")
    if answer is TextAnswer.VECTORS:
        return answering(model, answer, model_type, _token_numbers(fields, tensors, folder))
    if answer is TextAnswer.TERMS and _MASKED not in _classes(fields):
        model_type += " without the head of a masked language model"
    return answering(model, answer, model_type)


def _classes(fields: ConfigFields) -> str:
    return " ".join(map(str, fields.items("architectures")))


def _token_numbers(fields: ConfigFields, tensors: Sequence[Tensor], folder: Path) -> int | None:
    """Numbers of the vector of each token: rows of the projection, or as configurations state them; None: not known.

    ``dim`` is the width of DistilBERT, whatever it is in the configuration of ColBERT.
    """
    projections = [tensor.shape[0] for tensor in tensors if _is_projection(tensor)]
    if projections:
        return projections[0]
    names = ("colbert_dim", "projection_dim") if fields.has("n_heads") else ("colbert_dim", "dim", "projection_dim")
    stated = fields.integer_or(0, *names) or _of_modules(folder) or _of_trainer(folder)
    return stated or None


def _is_projection(tensor: Tensor) -> bool:
    return tensor.name == _PROJECTION and len(tensor.shape) == 2


def _of_modules(folder: Path) -> int:
    """Numbers that the last dense layer of the listed modules puts out; 0 where none is listed or lies there."""
    paths = [str(module.get("path", "")) for module in _listed(folder) if str(module["type"]).endswith("Dense")]
    files = [folder / path / "config.json" for path in paths if path and ".." not in Path(path).parts]
    return _stated_in(files[-1], "out_features") if files else 0


def _of_trainer(folder: Path) -> int:
    return _stated_in(folder / _COLBERT_FILE, "dim")


def _stated_in(file: Path, name: str) -> int:
    """A whole number of a JSON object; 0 where the file or the number is missing."""
    if not file.is_file():
        return 0
    values = json_of(read_text(file, "configuration", _MODULES_HINT, _MOST_BYTES), str(file), _MODULES_HINT)
    return ConfigFields(values, str(file)).integer_or(0, name) if isinstance(values, dict) else 0


def _text_answer(fields: ConfigFields, tensors: Sequence[Tensor], folder: Path, name: str) -> TextAnswer:
    """Answer of a text encoder for one text."""
    classes = _classes(fields)
    modules = " ".join(str(module["type"]) for module in _listed(folder)).lower()
    is_projected = any(map(_is_projection, tensors))
    if "colbert" in classes.lower() or is_projected or (folder / _COLBERT_FILE).is_file():
        return TextAnswer.VECTORS
    if any(word in modules for word in _OF_TOKENS):
        return TextAnswer.VECTORS
    if any(word in modules for word in _OF_TERMS) or (_MASKED in classes and _is_sparse(name)):
        return TextAnswer.TERMS
    if "ForSequenceClassification" in classes:
        return TextAnswer.SCORE if _labels(fields) == 1 else TextAnswer.LABELS
    return TextAnswer.WORDS if _MASKED in classes and not modules else TextAnswer.VECTOR


def _is_sparse(name: str) -> bool:
    return any(word in name.lower() for word in _SPARSE_NAMES)


def _labels(fields: ConfigFields) -> int:
    """Scores of a classifier; Transformers takes two where none are listed."""
    listed = fields.values.get("id2label")
    return len(listed) if isinstance(listed, dict) else fields.integer_or(2, "num_labels", least=1)


def _listed(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Listed modules, each with its type; empty where there is no list.

    Raises:
        InputError: the list cannot be read, or a module of it has no type.
    """
    file = folder / _MODULES
    if not file.is_file():
        return ()
    modules = json_of(read_text(file, "list of modules", _MODULES_HINT, _MOST_BYTES), str(file), _MODULES_HINT)
    listed = [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
    typed = [module for module in listed if isinstance(module.get("type"), str)]
    if not typed or len(typed) < len(modules):
        raise InputError("a list of modules with their types is expected", where=str(file), hint=_MODULES_HINT)
    return typed
