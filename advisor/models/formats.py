"""Formats of model files in words and names, without their readers."""

FORMATS = (
    "config.json, model_index.json, ONNX, safetensors, GGUF, XGBoost JSON or UBJSON, LightGBM text, treelite "
    "checkpoint, skops"
)
ONNX_GRAPH, ONNX_TREES = "onnx", "trees"
"""Families of ONNX files: networks, and trees."""
ENDINGS = (".json", ".onnx", ".safetensors", ".gguf", ".ubj", ".txt", ".tl", ".skops")
"""Ends of names that are paths of models and no names of the catalog."""
