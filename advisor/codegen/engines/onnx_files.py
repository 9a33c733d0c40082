"""Files that servers of tensors load: where their programs find or download them, and how clients call the model."""

import re

from advisor.codegen.engines.request import Demanded
from advisor.codegen.quoting import slug
from advisor.models.model import ModelFile

_LONGEST_NAME = 60
_ENDING = re.compile(r"\.(onnx|ubj|json|txt|tl)$")
_USUAL_NAMES = ("model", "xgboost", "checkpoint")
CLIENTS = (
    "Clients send POST /v2/models/{name}/infer with tensors by Triton's binary tensor extension, as its client "
    "libraries (tritonclient) do: the plan counts traffic so, and tensors in JSON are several times as large."
)
NEEDED = "the planned model as ONNX, a folder with a model.onnx whose first dimension is free"
FILE_NAMES = ("model.onnx",)
"""Names that an ONNX file may have in its folder."""
_SHA256 = "MODEL_SHA256"


def digest_environment(file: ModelFile | None) -> dict[str, str]:
    """Variable that ``programs/verified.sh`` reads; none where no digest is known."""
    return {} if file is None else {_SHA256: file.sha256}


def needed(folder: str, demand: Demanded) -> str:
    """Contents of the folder, with the inputs of the graph where requests are sent to it before it serves.

    Of a model that was read from a file its name and digest, which the start program asks for.
    """
    inputs, file = demand.inputs, demand.file
    shapes = (" × ".join("tokens" if size is None else str(size) for size in tensor.shape) or "1" for tensor in inputs)
    named = [f"{tensor.name} ({tensor.type}, {shape})" for tensor, shape in zip(inputs, shapes, strict=True)]
    told = f"{folder} and whose inputs are {', '.join(named)}" if named else folder
    if file is None:
        return told
    return (
        f"{told}: that of the plan, {file.name} of {file.bytes:,} bytes, sha256 {file.sha256} ({_SHA256} of the code)"
    )


def served_model(model: str, workload: str) -> str:
    """Name that clients call below ``/v2/models/``: that of the workload where the model's is that of any such file."""
    name = _ENDING.sub("", model.rpartition("/")[2])
    return slug(workload if name in _USUAL_NAMES else name, _LONGEST_NAME, "model")
