"""Models from the files that people have: configurations, weights, graphs, trees; a folder is what it holds.

Only headers and structure are read, within bounds of size, depth and number. What could run code when it is loaded
(pickle, joblib, PyTorch's own format) is refused.

Answers of text encoders, from what lies in their folder: the architecture alone tells none from another.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.models.config import is_known_type, model_from_config, read_config_values
from advisor.models.config_fields import ConfigFields
from advisor.models.files.adapters import adapted_model, holds_adapter, stored_tensors, weight_file
from advisor.models.files.gguf import MAGIC, gguf_model
from advisor.models.files.onnx import onnx_model
from advisor.models.files.pipelines import INDEX, denoiser_model, estimated_model, pipeline_model
from advisor.models.files.tensors import INDEX_ENDING, CutOff, Tensor, mapped, precision_of, read_safetensors
from advisor.models.files.trees import (
    Forest,
    is_skops,
    lightgbm_forest,
    read_skops,
    read_treelite,
    read_ubjson,
    xgboost_forest,
)
from advisor.models.model import FORMATS, Checkpoint, Model, ModelFile, TextAnswer
from advisor.models.networks import whole_model
from advisor.models.values import Network, Work, answering
from advisor.reading import check_regular, json_of, read_json, read_text
from advisor.records import replace

_MODULES = "modules.json"
"""Modules that sentence-transformers runs, one after the other, for vectors or scores."""
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


def _with_answer(model: Model, values: Mapping[str, Any], tensors: Sequence[Tensor], folder: Path) -> Model:
    """A text encoder with its answer for one text, and the matrices that this takes, by its folder."""
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
    stated = fields.integer_or(0, *names) or _of_modules(folder) or _stated_in(folder / _COLBERT_FILE, "dim")
    return stated or None


def _is_projection(tensor: Tensor) -> bool:
    return tensor.name == _PROJECTION and len(tensor.shape) == 2


def _of_modules(folder: Path) -> int:
    """Numbers that the last dense layer of the listed modules puts out; 0 where none is listed or lies there."""
    paths = [str(module.get("path", "")) for module in _listed(folder) if str(module["type"]).endswith("Dense")]
    files = [folder / path / "config.json" for path in paths if path and ".." not in Path(path).parts]
    return _stated_in(files[-1], "out_features") if files else 0


def _stated_in(file: Path, name: str) -> int:
    """A whole number of a JSON object; 0 where the file or the number is missing."""
    if not file.is_file():
        return 0
    values = json_of(read_text(file, "configuration", _MODULES_HINT, _MOST_BYTES), str(file), _MODULES_HINT)
    return ConfigFields(values, str(file)).integer_or(0, name) if isinstance(values, dict) else 0


def _text_answer(fields: ConfigFields, tensors: Sequence[Tensor], folder: Path, name: str) -> TextAnswer:
    classes = _classes(fields)
    modules = " ".join(str(module["type"]) for module in _listed(folder)).lower()
    is_projected = any(map(_is_projection, tensors))
    if "colbert" in classes.lower() or is_projected or (folder / _COLBERT_FILE).is_file():
        return TextAnswer.VECTORS
    if any(word in modules for word in _OF_TOKENS):
        return TextAnswer.VECTORS
    is_sparse = _MASKED in classes and any(word in name.lower() for word in _SPARSE_NAMES)
    if is_sparse or any(word in modules for word in _OF_TERMS):
        return TextAnswer.TERMS
    if "ForSequenceClassification" in classes:
        return TextAnswer.SCORE if _labels(fields) == 1 else TextAnswer.LABELS
    return TextAnswer.WORDS if _MASKED in classes and not modules else TextAnswer.VECTOR


def _labels(fields: ConfigFields) -> int:
    """Scores of a classifier; Transformers takes two where none are listed."""
    listed = fields.values.get("id2label")
    return len(listed) if isinstance(listed, dict) else fields.integer_or(2, "num_labels", least=1)


def _listed(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Listed modules, each with its type; empty where there is no list."""
    file = folder / _MODULES
    if not file.is_file():
        return ()
    modules = json_of(read_text(file, "list of modules", _MODULES_HINT, _MOST_BYTES), str(file), _MODULES_HINT)
    listed = [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []
    typed = [module for module in listed if isinstance(module.get("type"), str)]
    if not typed or len(typed) < len(modules):
        raise InputError("a list of modules with their types is expected", where=str(file), hint=_MODULES_HINT)
    return typed


_CONFIG = "config.json"
_TEXT_TASKS = ("encoder", "embedding")
_CLASSIFIER = "ForSequenceClassification"
_CATBOOST = b"CBM1"
"""First bytes of CatBoost's binary format."""
_MOST_DIGESTED_BYTES = 2**29
"""Size of a file whose digest is told: a second to read. Of larger weights headers alone are read."""
_PICKLE_ENDINGS = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt", ".h5")
_PICKLE_FIRST = b"\x80"
_STARTS_WITH_A_LENGTH = ".safetensors"
"""Its first bytes are any number."""
_ZIP_FIRST = b"PK\x03\x04"
_JSON_HINT = (
    "give a whole file: the config.json of a model, or trees that XGBoost saved with Booster.save_model('model.json')"
)
_HINT = f"give one of: {FORMATS}; or a folder that holds one"


def holds_model(path: Path) -> bool:
    """Whether there is a file of this path, or a folder with a model or adapter; a name may be too long for a path."""
    try:
        return path.is_file() or (path.is_dir() and (holds_adapter(path) or _in_folder(path) is not None))
    except OSError:
        return False


def model_at(path: Path) -> Model:
    """The model of a file, or of a folder that holds one.

    Raises InputError if it cannot be read, is of no known format, or is one that runs code when it is loaded.
    """
    if (adapted := adapted_model(path)) is not None:
        return adapted
    file = _in_folder(path) if path.is_dir() else path
    if file is None:
        raise InputError("there is no model in the folder", where=str(path), hint=_HINT)
    name = path.name if path.is_dir() else file.parent.name if file.name in (_CONFIG, INDEX) else file.stem
    start = _first_bytes(file)
    _refuse_code(file, start)
    kind = next((ending for magic, ending in _MAGIC.items() if start.startswith(magic)), file.suffix)
    read = _READERS.get(file.suffix) or _READERS.get(kind)
    if start == _CATBOOST:
        raise _catboost(file)
    if read is None:
        raise InputError("the format of the model is not known", where=str(file), hint=_HINT)
    model = read(file, name or str(file))
    facts = file_facts(file)
    if facts.is_gguf:
        facts = replace(facts, quantisation=model.checkpoint.quantisation, precision=model.checkpoint.precision)
    return replace(model, file=facts)


def file_facts(file: Path) -> ModelFile:
    """Name, size and digest of a file, by which it is known again; of a folder, those of the file that says most.

    Raises InputError if it cannot be read, or several files of the folder could be meant.
    """
    file = (_in_folder(file) or file) if file.is_dir() else file
    check_regular(file, "model", _HINT)
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            digest = hashlib.file_digest(stream, "sha256").hexdigest() if size <= _MOST_DIGESTED_BYTES else ""
    except OSError as error:
        raise InputError(f"cannot read the model: {error.strerror or error}", where=str(file), hint=_HINT) from error
    return ModelFile(file.name, size, digest)


def _in_folder(folder: Path) -> Path | None:
    """The file that says most of a folder's model; parts of a split one count as one."""
    for name in (INDEX, _CONFIG):
        if (folder / name).is_file():
            return folder / name
    if (weights := weight_file(folder)) is not None:
        return weights
    for pattern in ("*.gguf", "*.onnx", "onnx/model.onnx", "model.ubj", "*.tl", "*.skops", "model.txt"):
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        whole = [path for path in files if "-of-" not in path.stem or "00001-of-" in path.stem]
        if len(whole) > 1:
            names = ", ".join(path.name for path in whole[:3])
            raise InputError(f"{len(whole)} files could be meant: {names}", where=str(folder), hint="give one of them")
        if files:
            return files[0]
    return None


def _catboost(file: Path) -> InputError:
    """Error of CatBoost's own formats, with those that are read."""
    return InputError(
        "CatBoost's own formats are not read",
        where=str(file),
        hint="export the trees to ONNX (save_model with format='onnx'); those whose result is a map (ZipMap, of "
        "classifiers) have to be cut off there, since Triton loads no maps",
    )


def _first_bytes(file: Path) -> bytes:
    check_regular(file, "model", _HINT)
    try:
        with file.open("rb") as stream:
            return stream.read(4)
    except OSError as error:
        raise InputError(f"cannot read the model: {error.strerror or error}", where=str(file), hint=_HINT) from error


def _refuse_code(file: Path, start: bytes) -> None:
    """Refuse what runs code when it is loaded, by its first bytes and by its ending."""
    is_archive = start.startswith(_ZIP_FIRST) and file.suffix != ".skops" and not is_skops(file)
    looks_pickled = start.startswith(_PICKLE_FIRST) and file.suffix != _STARTS_WITH_A_LENGTH
    if not (looks_pickled or is_archive or file.suffix in _PICKLE_ENDINGS):
        return
    raise InputError(
        "a pickle runs code when it is loaded, so it is never opened",
        where=str(file),
        hint="save the weights as safetensors, the network as ONNX, trees with XGBoost's or LightGBM's save_model, "
        "scikit-learn's trees as a treelite checkpoint, its other models with skops.io.dump",
    )


def _bare_model(file: Path, name: str) -> Model:
    return estimated_model(read_safetensors(file), {}, name, str(file))


def _xgboost_model(file: Path, name: str) -> Model:
    """Trees in UBJSON."""
    try:
        values = read_ubjson(mapped(file, "model", _HINT))
    except CutOff as error:
        raise InputError(f"no sound UBJSON: {error}", where=str(file), hint=_HINT) from error
    return _forest_model(xgboost_forest(values if isinstance(values, dict) else {}, str(file)), "xgboost", file, name)


def _json_model(file: Path, name: str) -> Model:
    if file.name.endswith(INDEX_ENDING):
        return _bare_model(file, name)
    values = read_json(file, "model", _JSON_HINT)
    if not isinstance(values, dict):
        raise InputError("a JSON object is expected", where=str(file), hint=_HINT)
    if "learner" in values:
        return _forest_model(xgboost_forest(values, str(file)), "xgboost", file, name)
    if "oblivious_trees" in values or "features_info" in values:
        raise _catboost(file)
    if file.name == INDEX:
        return pipeline_model(file.parent, name)
    if isinstance(values.get("_class_name"), str):
        return denoiser_model(values, file, name)
    return _configured(file, name)


def _configured(file: Path, name: str) -> Model:
    """A model of a ``config.json``; weights beside it say what they are stored in, and what no builder knows."""
    values = read_config_values(file)
    tensors = () if "quantization_config" in values else stored_tensors(file.parent)
    if tensors and not is_known_type(values):
        model = estimated_model(tensors, values, name, str(file))
    else:
        model = model_from_config(values, name=name, where=str(file))
        model = replace(model, checkpoint=Checkpoint(precision_of(tensors))) if tensors else model
    if model.task == "llm" and (_CLASSIFIER in str(values.get("architectures")) or (file.parent / _MODULES).is_file()):
        model = replace(model, task="embedding")  # a decoder that scores a text, or whose states become a vector
    return _with_answer(model, values, tensors, file.parent) if model.task in _TEXT_TASKS else model


def _forest_model(forest: Forest, family: str, file: Path, name: str) -> Model:
    """Trees, which take about as many bytes in memory as in their file."""
    work = Work(max(forest.parameters, 1), forest.operations)
    checkpoint = Checkpoint("fp32", file_bytes=file.stat().st_size)
    model = whole_model(Network(work, "tabular", forest.sample), family, name, checkpoint)
    return replace(model, sample_size=forest.columns)


_MAGIC = {MAGIC: ".gguf", _ZIP_FIRST: ".skops", b"tree": ".lightgbm"}
_READERS: Mapping[str, Callable[[Path, str], Model]] = {
    ".gguf": gguf_model,
    ".onnx": onnx_model,
    ".safetensors": _bare_model,
    ".json": _json_model,
    ".ubj": _xgboost_model,
    ".skops": lambda file, name: _forest_model(read_skops(file), "scikit-learn", file, name),
    ".tl": lambda file, name: _forest_model(read_treelite(file), "treelite", file, name),
    ".lightgbm": lambda file, name: _forest_model(
        lightgbm_forest(read_text(file, "model", _HINT), str(file)), "lightgbm", file, name
    ),
}
"""Readers by the ending of a name, or by what a file that begins with :data:`_MAGIC` is."""
