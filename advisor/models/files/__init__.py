"""Models from the files that people have: configurations, weights, graphs, trees; a folder is what it holds.

Only headers and structure are read, within bounds of size, depth and number. What could run code when it is loaded
(pickle, joblib, PyTorch's own format) is refused.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from advisor.errors import InputError
from advisor.models.config import is_known_type, model_from_config, read_config_values
from advisor.models.files.adapters import adapted_model, holds_adapter, stored_tensors, weight_file
from advisor.models.files.answers import lists_modules, with_answer
from advisor.models.files.estimate import estimated_model
from advisor.models.files.gguf import MAGIC, gguf_model
from advisor.models.files.mapped import CutOff, mapped
from advisor.models.files.onnx import onnx_model
from advisor.models.files.pipelines import INDEX, denoiser_model, pipeline_model
from advisor.models.files.safetensors import INDEX_ENDING, read_safetensors
from advisor.models.files.skops import is_skops, read_skops
from advisor.models.files.tensors import precision_of
from advisor.models.files.treelite import read_treelite, read_ubjson
from advisor.models.files.trees import Forest, lightgbm_forest, xgboost_forest
from advisor.models.model import FORMATS, Checkpoint, Model, ModelFile
from advisor.models.networks import whole_model
from advisor.models.values import Network, Work
from advisor.reading import read_json, read_text
from advisor.records import replace

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

    Raises:
        InputError: it cannot be read, is of no known format, or is one that runs code when it is loaded.
    """
    if (adapted := adapted_model(path)) is not None:
        return adapted
    file = _in_folder(path) if path.is_dir() else path
    if file is None:
        raise InputError("there is no model in the folder", where=str(path), hint=_HINT)
    name = path.name if path.is_dir() else file.parent.name if file.name in (_CONFIG, INDEX) else file.stem
    model = _model_of(file, name or str(file))
    facts = file_facts(file)
    if facts.is_gguf:
        facts = replace(facts, quantisation=model.checkpoint.quantisation, precision=model.checkpoint.precision)
    return replace(model, file=facts)


def file_facts(file: Path) -> ModelFile:
    """Name, size and digest of a file, by which it is known again; of a folder, those of the file that says most.

    Raises:
        InputError: it cannot be read, or several files of the folder could be meant.
    """
    file = (_in_folder(file) or file) if file.is_dir() else file
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            digest = hashlib.file_digest(stream, "sha256").hexdigest() if size <= _MOST_DIGESTED_BYTES else ""
    except OSError as error:
        raise InputError(f"cannot read the model: {error.strerror or error}", where=str(file), hint=_HINT) from error
    return ModelFile(file.name, size, digest)


def _in_folder(folder: Path) -> Path | None:
    """The file that says most of a folder's model; parts of a split one count as one.

    Raises:
        InputError: several could be meant.
    """
    for name in (INDEX, _CONFIG):
        if (folder / name).is_file():
            return folder / name
    weights = weight_file(folder)
    if weights is not None:
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


def _model_of(file: Path, name: str) -> Model:
    """The model of a file, by its first bytes and its ending."""
    start = _first_bytes(file)
    _refuse_code(file, start)
    kind = next((ending for magic, ending in _MAGIC.items() if start.startswith(magic)), file.suffix)
    read = _READERS.get(file.suffix) or _READERS.get(kind)
    if start == _CATBOOST:
        raise _catboost(file)
    if read is None:
        raise InputError("the format of the model is not known", where=str(file), hint=_HINT)
    return read(file, name)


def _catboost(file: Path) -> InputError:
    """Error of CatBoost's own formats, with those that are read."""
    return InputError(
        "CatBoost's own formats are not read",
        where=str(file),
        hint="export the trees to ONNX (save_model with format='onnx'); those whose result is a map (ZipMap, of "
        "classifiers) have to be cut off there, since Triton loads no maps",
    )


def _first_bytes(file: Path) -> bytes:
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
    if model.task == "llm" and (_CLASSIFIER in str(values.get("architectures")) or lists_modules(file.parent)):
        model = replace(model, task="embedding")  # a decoder that scores a text, or whose states become a vector
    if model.task not in _TEXT_TASKS:
        return model
    return with_answer(model, values, tensors, file.parent)


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
