"""Formats of model files in words and names, without their readers, and the names that llama.cpp has in GGUF."""

from functools import lru_cache

from advisor.data_files import data_dir
from advisor.tables import read_rows

FORMATS = (
    "config.json, model_index.json, ONNX, safetensors, GGUF, XGBoost JSON or UBJSON, LightGBM text, treelite "
    "checkpoint, skops"
)
ONNX_GRAPH, ONNX_TREES = "onnx", "trees"
"""Families of ONNX files: networks, and trees."""
ENDINGS = (".json", ".onnx", ".safetensors", ".gguf", ".ubj", ".txt", ".tl", ".skops")
"""Ends of names that are paths of models and no names of the catalog."""


@lru_cache(maxsize=1)
def gguf_quantisations() -> dict[int, str]:
    """Names of quantisations by ``general.file_type``, as files and tags of the hub have them."""
    rows = read_rows(data_dir("instance_catalog") / "gguf_file_types.csv")
    return {int(row["file_type"]): row["quantisation"] for row in rows}


@lru_cache(maxsize=1)
def gguf_architectures() -> frozenset[str]:
    """Architectures that llama.cpp loads, as ``general.architecture`` names them."""
    rows = read_rows(data_dir("instance_catalog") / "gguf_architectures.csv")
    return frozenset(row["architecture"] for row in rows)
