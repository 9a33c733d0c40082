"""Formats of files that models are read from: for words and names, without the readers."""

FORMATS = (
    "config.json, model_index.json, ONNX, safetensors, GGUF, XGBoost JSON or UBJSON, LightGBM text, treelite "
    "checkpoint, skops"
)
ENDINGS = (".json", ".onnx", ".safetensors", ".gguf", ".ubj", ".txt", ".tl", ".skops")
"""Ends of names that are paths of models and no names of the catalog."""
