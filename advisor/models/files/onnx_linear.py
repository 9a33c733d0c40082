"""Linear models and support vector machines in ONNX (domain ai.onnx.ml), by the numbers of their attributes.

Each coefficient of a linear model is multiplied and added. Each support vector is compared with a row column by column,
which takes 2 FLOPs, and 3 with the radial kernel (difference, square, sum); then come its kernel function and its
coefficients. Operators: https://onnx.ai/onnx/operators, ai.onnx.ml (2026-11).
"""

from collections.abc import Iterable, Mapping, Sequence

from advisor.models.files.onnx_graph import Node
from advisor.models.formats import ONNX_LINEAR, ONNX_RADIAL_SVM, ONNX_SVM
from advisor.models.values import Work

_RADIAL = "RBF"
_LINEAR = ("LinearClassifier", "LinearRegressor")
_VECTORS = ("SVMClassifier", "SVMRegressor")
_LEARNED = ("coefficients", "intercepts", "support_vectors", "rho", "prob_a", "prob_b", "offset", "scale")
_SCALED: Mapping[str, int] = {"Scaler": 2}
"""FLOPs of a column that is shifted and scaled."""
_SLOWER = (ONNX_LINEAR, ONNX_SVM, ONNX_RADIAL_SVM)


def linear_work(nodes: Sequence[Node]) -> tuple[Work, str] | None:
    """Parameters and FLOPs of a row, and the family of the slowest part; None: no such model with coefficients."""
    models = [node for node in nodes if node.operation in (*_LINEAR, *_VECTORS) and node.floats.get("coefficients")]
    if not models:
        return None
    scalers = [node for node in nodes if node.operation in _SCALED]
    flop = sum(map(_flop, models)) + sum(_SCALED[node.operation] * _longest(node) for node in scalers)
    return Work(_learned((*models, *scalers)), float(flop)), max(map(_family, models), key=_SLOWER.index)


def _flop(node: Node) -> int:
    coefficients = node.floats.get("coefficients", 0)
    compared = node.floats.get("support_vectors", 0)
    if node.operation in _LINEAR or not compared:
        return 2 * coefficients
    per_column = 3 if node.word("kernel_type") == _RADIAL else 2
    return per_column * compared + _support_vectors(node) + 2 * coefficients


def _family(node: Node) -> str:
    if not node.floats.get("support_vectors", 0):
        return ONNX_LINEAR
    return ONNX_RADIAL_SVM if node.word("kernel_type") == _RADIAL else ONNX_SVM


def _support_vectors(node: Node) -> int:
    """Support vectors as the file states them, no more than their numbers are."""
    stated = sum(node.integers("vectors_per_class")) or node.integer("n_supports", 0)
    return min(max(stated, 0), node.floats["support_vectors"])


def _longest(node: Node) -> int:
    return max(node.floats.get("offset", 0), node.floats.get("scale", 0))


def _learned(nodes: Iterable[Node]) -> int:
    return sum(node.floats.get(name, 0) for node in nodes for name in _LEARNED)
