"""Shapes and small constants of everything that an ONNX graph computes, as far as known; FLOPs of linear models.

Each coefficient of a linear model is multiplied and added. Each support vector is compared with a row column by column,
which takes 2 FLOPs, and 3 with the radial kernel (difference, square, sum); then come its kernel function and its
coefficients. Operators: https://onnx.ai/onnx/operators, ai.onnx.ml (2026-11).
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from advisor.models.files.onnx_graph import Dimension, Graph, Integers, Node
from advisor.models.model import ONNX_LINEAR, ONNX_RADIAL_SVM, ONNX_SVM
from advisor.models.values import Work

_RADIAL = "RBF"
_LINEAR = ("LinearClassifier", "LinearRegressor")
_VECTORS = ("SVMClassifier", "SVMRegressor")
_LEARNED = ("coefficients", "intercepts", "support_vectors", "rho", "prob_a", "prob_b", "offset", "scale")
_FLOP_OF_SCALING = 2
"""FLOPs of a column that is shifted and scaled."""
_SLOWER = (ONNX_LINEAR, ONNX_SVM, ONNX_RADIAL_SVM)


def linear_work(nodes: Sequence[Node]) -> tuple[Work, str] | None:
    """Parameters and FLOPs of a row, and the family of the slowest part; None: no such model with coefficients."""
    models = [node for node in nodes if node.operation in (*_LINEAR, *_VECTORS) and node.floats.get("coefficients")]
    if not models:
        return None
    scalers = [node for node in nodes if node.operation == "Scaler"]
    columns = [max(node.floats.get("offset", 0), node.floats.get("scale", 0)) for node in scalers]
    flop = sum(map(_flop, models)) + _FLOP_OF_SCALING * sum(columns)
    learned = sum(node.floats.get(name, 0) for node in (*models, *scalers) for name in _LEARNED)
    return Work(learned, float(flop)), max(map(_family, models), key=_SLOWER.index)


def _flop(node: Node) -> int:
    coefficients = node.floats.get("coefficients", 0)
    compared = node.floats.get("support_vectors", 0)
    if node.operation in _LINEAR or not compared:
        return 2 * coefficients
    per_column = 3 if node.word("kernel_type") == _RADIAL else 2
    stated = sum(node.integers("vectors_per_class")) or node.integer("n_supports", 0)
    return per_column * compared + min(max(stated, 0), node.floats["support_vectors"]) + 2 * coefficients


def _family(node: Node) -> str:
    if not node.floats.get("support_vectors", 0):
        return ONNX_LINEAR
    return ONNX_RADIAL_SVM if node.word("kernel_type") == _RADIAL else ONNX_SVM


MOST_VALUES = 1024
"""Longest list of numbers that is followed."""
Shape = tuple[int, ...]
_MOST_RANK, _MOST_SIZE = 16, 2**40


class UnknownShape(LookupError):  # noqa: N818 - a value that is missing, met by every rule
    """A shape or a value that cannot be told."""


def _axes(node: Node, given: Sequence[Integers]) -> list[int]:
    return [int(axis) for axis in given[1].ravel()] if len(given) > 1 else node.integers("axes")


def _folded_slice(_node: Node, given: Sequence[Integers]) -> Integers:
    starts = given[1].ravel()
    axes = given[3].ravel() if len(given) > 3 else np.arange(len(starts))
    steps = given[4].ravel() if len(given) > 4 else np.ones(len(starts), dtype=np.int64)
    cut = [slice(None)] * given[0].ndim
    for start, end, axis, step in zip(starts, given[2].ravel(), axes, steps, strict=True):
        cut[int(axis)] = slice(int(start), int(end), int(step))
    return given[0][tuple(cut)]


def _folded_filling(node: Node, given: Sequence[Integers]) -> Integers:
    shape = [int(size) for size in given[0]]
    if prod(shape) > MOST_VALUES:
        raise UnknownShape("ConstantOfShape")
    return np.full(shape, node.integer("value", 0), dtype=np.int64)


def _folded_unsqueeze(node: Node, given: Sequence[Integers]) -> Integers:
    return given[0] if given[0].ndim else given[0].reshape((1,) * max(len(_axes(node, given)), 1))


def _folded_range(_node: Node, given: Sequence[Integers]) -> Integers:
    start, end, step = (int(value.ravel()[0]) for value in given)
    numbers = range(start, end, step)
    if len(numbers) > MOST_VALUES:
        raise UnknownShape("Range")
    return np.array(numbers, dtype=np.int64)


FOLDS: Mapping[str, Callable[[Node, Sequence[Integers]], Integers]] = {
    "Identity": lambda _, given: given[0],
    "Cast": lambda _, given: given[0],
    "Gather": lambda node, given: np.take(given[0], given[1], axis=node.integer("axis", 0)),
    "Unsqueeze": _folded_unsqueeze,
    "Squeeze": lambda _, given: given[0].reshape(()) if given[0].size == 1 else given[0],
    "Reshape": lambda _, given: given[0].reshape([int(size) for size in given[1]]),
    "Concat": lambda _, given: np.concatenate([np.atleast_1d(value) for value in given]),
    "Slice": _folded_slice,
    "ConstantOfShape": _folded_filling,
    "Transpose": lambda node, given: np.transpose(given[0], node.integers("perm") or None),
    "Range": _folded_range,
    "Add": lambda _, given: given[0] + given[1],
    "Sub": lambda _, given: given[0] - given[1],
    "Mul": lambda _, given: given[0] * given[1],
    "Div": lambda _, given: given[0] // given[1],
    "Mod": lambda _, given: given[0] % given[1],
    "Neg": lambda _, given: -given[0],
    "Min": lambda _, given: np.minimum.reduce(list(given)),
    "Max": lambda _, given: np.maximum.reduce(list(given)),
    "Equal": lambda _, given: given[0] == given[1],
    "Where": lambda _, given: np.where(given[0], given[1], given[2]),
    "ReduceProd": lambda _, given: np.prod(given[0], keepdims=True),
}
"""Operations on whole numbers, by name."""


class Shapes:
    """Shapes and small constants by name, filled in the order of the graph."""

    def __init__(self, graph: Graph, sizes: Mapping[str, int]) -> None:
        """Begin with weights, and with inputs whose free dimensions have the *sizes*."""
        self.sizes = sizes
        self.stated = graph.stated
        self.known: dict[str, Shape] = {name: tensor.shape for name, tensor in graph.weights.items()}
        self.values: dict[str, Integers] = dict(graph.constants)
        self.factors = graph.factors
        for name, dimensions in graph.inputs.items():
            if name not in self.known:
                self._state(name, dimensions)

    def of(self, node: Node, at: int) -> Shape:
        """Shape of an input.

        Raises:
            UnknownShape: it cannot be told.
        """
        shape = self.known.get(node.inputs[at]) if at < len(node.inputs) else None
        if shape is None:
            raise UnknownShape(node.inputs[at] if at < len(node.inputs) else node.operation)
        return shape

    def value(self, node: Node, at: int) -> list[int]:
        """Numbers of a small input."""
        return [int(number) for number in self.values[node.inputs[at]].ravel()]

    def has(self, node: Node, at: int) -> bool:
        """Whether an input is there."""
        return at < len(node.inputs) and bool(node.inputs[at])

    def put_out(self, node: Node, shapes: Sequence[Sequence[int]]) -> None:
        """Keep what a node puts out: as its numbers, its rule or else the file says."""
        for name, shape in zip(node.outputs, shapes, strict=False):
            if len(shape) <= _MOST_RANK and all(0 <= size <= _MOST_SIZE for size in shape):
                self.known[name] = tuple(int(size) for size in shape)
        for name in node.outputs:
            if name in self.values:
                self.known[name] = self.values[name].shape
            elif name not in self.known and name in self.stated:
                self._state(name, self.stated[name])

    def _state(self, name: str, dimensions: Sequence[Dimension]) -> None:
        named = [
            size if isinstance(size, int) else self.sizes.get(free_name(name, at, size))
            for at, size in enumerate(dimensions)
        ]
        whole = [size for size in named if size is not None]
        if len(whole) == len(named):
            self.known[name] = tuple(whole)

    def fold(self, node: Node) -> None:
        """Compute small whole numbers, where all that goes into them is known."""
        if node.operation == "Shape":
            shape = self.of(node, 0)
            start, end = node.integer("start", 0), node.integer("end", len(shape))
            self.values[node.outputs[0]] = np.array(shape[start:end], dtype=np.int64)
            return
        fold = FOLDS.get(node.operation)
        if fold is None:
            return
        given = [self.values[name] for name in node.inputs if name]
        if sum(value.size for value in given) > MOST_VALUES:
            return
        with np.errstate(all="ignore"):
            result = np.asarray(fold(node, given))
        if result.size <= MOST_VALUES:
            self.values[node.outputs[0]] = result.astype(np.int64)


def free_name(value: str, axis: int, name: Dimension) -> str:
    """Name of a free dimension, which may have none of its own."""
    return str(name) or f"dimension {axis} of {value}"
