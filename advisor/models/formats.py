"""Formats of model files in words and names, without their readers."""

FORMATS = (
    "config.json, model_index.json, ONNX, safetensors, GGUF, XGBoost JSON or UBJSON, LightGBM text, treelite "
    "checkpoint, skops"
)
ONNX_GRAPH, ONNX_TREES = "onnx", "trees"
"""Families of ONNX files: networks, and trees."""
ONNX_LINEAR, ONNX_SVM, ONNX_RADIAL_SVM = "linear", "svm", "radial_svm"
"""Families of ONNX files that hold linear models, and support vector machines, which with radial kernels are slower."""
OF_COEFFICIENTS = (ONNX_LINEAR, ONNX_SVM, ONNX_RADIAL_SVM)
OF_ROWS_IN_ONNX = (ONNX_GRAPH, ONNX_TREES, *OF_COEFFICIENTS)
ENDINGS = (".json", ".onnx", ".safetensors", ".gguf", ".ubj", ".txt", ".tl", ".skops")
"""Ends of names that are paths of models and no names of the catalog."""
