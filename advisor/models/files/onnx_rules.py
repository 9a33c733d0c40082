"""Shapes of everything that an ONNX graph computes, by the rules of its operations, and work by element.

Operators: https://onnx.ai/onnx/operators (2026-11). One whose rule is not here gives values of unknown shape, unless
the file states it; what depends on them is then unknown as well.

An element-wise operation takes one FLOP for each element that it puts out, a reduction one for each that it takes in:
as ``elementwise_flop_counter`` of fvcore counts (facebookresearch/fvcore, jit_handles.py, 2026-11). Memory moves what
is read and written, in fp32; a row that is looked up in a table is read and written once.

Each coefficient of a linear model is multiplied and added. Each support vector is compared with a row column by column,
which takes 2 FLOPs, and 3 with the radial kernel (difference, square, sum); then come its kernel function and its
coefficients. Operators: https://onnx.ai/onnx/operators, ai.onnx.ml (2026-11).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import prod

import numpy as np

from advisor.models.files.onnx_graph import Dimension, Graph, Integers, Node
from advisor.models.model import ONNX_LINEAR, ONNX_RADIAL_SVM, ONNX_SVM
from advisor.models.values import Work
from advisor.records import dataclass

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
    axes = given[1].size if len(given) > 1 else len(node.integers("axes"))
    return given[0] if given[0].ndim else given[0].reshape((1,) * max(axes, 1))


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
        """Shape of an input. Raises UnknownShape if it cannot be told."""
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


FAILURES = (ArithmeticError, LookupError, TypeError, ValueError)
"""What a rule stumbles over where a shape is unknown or makes no sense."""


def infer(node: Node, shapes: Shapes) -> None:
    """Fill in what a node puts out, as far as that can be told."""
    with suppress(*FAILURES):
        shapes.fold(node)
    told: Sequence[Shape] = []
    with suppress(*FAILURES):
        told = _RULES[node.operation](node, shapes)
    shapes.put_out(node, told)


def broadcast(*given: Shape) -> Shape:
    """Shape that several shapes stretch to."""
    rank = max(map(len, given), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in given]
    return tuple(max(sizes) if min(sizes) else 0 for sizes in zip(*padded, strict=True))


def _all_inputs(node: Node, shapes: Shapes) -> list[Shape]:
    return [shapes.of(node, at) for at in range(len(node.inputs))]


def _product(node: Node, shapes: Shapes, second: int = 1) -> list[Shape]:
    left, right = shapes.of(node, 0), shapes.of(node, second)
    rows, columns = left[-2:-1] if len(left) > 1 else (), right[-1:] if len(right) > 1 else ()
    return [broadcast(left[:-2], right[:-2]) + rows + columns]


def _general_product(node: Node, shapes: Shapes) -> list[Shape]:
    left, right = shapes.of(node, 0), shapes.of(node, 1)
    return [(left[1 if node.integer("transA", 0) else 0], right[0 if node.integer("transB", 0) else 1])]


def _windows(node: Node, shape: Shape, kernel: Sequence[int]) -> Shape:
    """Spatial sizes after a convolution or a pooling."""
    spatial = shape[2:]
    strides = node.integers("strides") or [1] * len(spatial)
    dilations = node.integers("dilations") or [1] * len(spatial)
    pads = node.integers("pads") or [0] * (2 * len(spatial))
    if node.word("auto_pad").startswith("SAME"):
        return tuple(-(-size // step) for size, step in zip(spatial, strides, strict=True))
    up = node.integer("ceil_mode", 0)
    sizes = []
    for at, size in enumerate(spatial):
        room = size + pads[at] + pads[at + len(spatial)] - dilations[at] * (kernel[at] - 1) - 1
        sizes.append((-(-room // strides[at]) if up else room // strides[at]) + 1)
    return tuple(sizes)


def _convolved(node: Node, shapes: Shapes) -> list[Shape]:
    at = 3 if node.operation == "QLinearConv" else 1
    shape, weight = shapes.of(node, 0), shapes.of(node, at)
    return [(shape[0], weight[0], *_windows(node, shape, weight[2:]))]


def _unconvolved(node: Node, shapes: Shapes) -> list[Shape]:
    shape, weight = shapes.of(node, 0), shapes.of(node, 1)
    channels = weight[1] * node.integer("group", 1)
    stated = node.integers("output_shape")
    if stated:
        return [(shape[0], channels, *stated[-len(shape[2:]) :])]
    count = len(shape) - 2
    strides, more = node.integers("strides") or [1] * count, node.integers("output_padding") or [0] * count
    dilations, pads = node.integers("dilations") or [1] * count, node.integers("pads") or [0] * (2 * count)
    sizes = [
        strides[at] * (size - 1) + more[at] + dilations[at] * (weight[2 + at] - 1) + 1 - pads[at] - pads[at + count]
        for at, size in enumerate(shape[2:])
    ]
    return [(shape[0], channels, *sizes)]


def _pooled(node: Node, shapes: Shapes) -> list[Shape]:
    shape = shapes.of(node, 0)
    return [shape[:2] + _windows(node, shape, node.integers("kernel_shape"))] * len(node.outputs)


def _reshaped(node: Node, shapes: Shapes) -> list[Shape]:
    before = shapes.of(node, 0)
    wanted = _listed(node, shapes, "shape")
    kept = [before[at] if size == 0 and not node.integer("allowzero", 0) else size for at, size in enumerate(wanted)]
    if kept.count(-1) == 1:
        rest = prod(size for size in kept if size != -1)
        kept[kept.index(-1)] = prod(before) // rest
    return [tuple(kept)]


def _flattened(node: Node, shapes: Shapes) -> list[Shape]:
    shape, axis = shapes.of(node, 0), node.integer("axis", 1)
    return [(prod(shape[:axis]), prod(shape[axis:]))]


def _transposed(node: Node, shapes: Shapes) -> list[Shape]:
    shape = shapes.of(node, 0)
    order = node.integers("perm") or list(range(len(shape)))[::-1]
    return [tuple(shape[axis] for axis in order)]


def _joined(node: Node, shapes: Shapes) -> list[Shape]:
    parts = _all_inputs(node, shapes)
    axis = node.integer("axis", 0) % len(parts[0])
    return [(*parts[0][:axis], sum(part[axis] for part in parts), *parts[0][axis + 1 :])]


def _split(node: Node, shapes: Shapes) -> list[Shape]:
    shape = shapes.of(node, 0)
    axis, count = node.integer("axis", 0) % len(shape), len(node.outputs)
    sizes = _listed(node, shapes, "split") or [-(-shape[axis] // count)] * count
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _sliced(node: Node, shapes: Shapes) -> list[Shape]:
    shape = list(shapes.of(node, 0))
    if shapes.has(node, 1):
        starts, ends = shapes.value(node, 1), shapes.value(node, 2)
        axes = shapes.value(node, 3) if shapes.has(node, 3) else list(range(len(starts)))
        steps = shapes.value(node, 4) if shapes.has(node, 4) else [1] * len(starts)
    else:
        starts, ends = node.integers("starts"), node.integers("ends")
        axes, steps = node.integers("axes") or list(range(len(starts))), [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        shape[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
    return [tuple(shape)]


def _gathered(node: Node, shapes: Shapes) -> list[Shape]:
    shape, indices = shapes.of(node, 0), shapes.of(node, 1)
    axis = node.integer("axis", 0) % len(shape)
    return [shape[:axis] + indices + shape[axis + 1 :]]


def _listed(node: Node, shapes: Shapes, name: str) -> list[int]:
    """Numbers of the second input, or of an attribute as operators had it before."""
    return shapes.value(node, 1) if shapes.has(node, 1) else node.integers(name)


def _unsqueezed(node: Node, shapes: Shapes) -> list[Shape]:
    shape, axes = list(shapes.of(node, 0)), _listed(node, shapes, "axes")
    rank = len(shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        shape.insert(axis, 1)
    return [tuple(shape)]


def _squeezed(node: Node, shapes: Shapes) -> list[Shape]:
    shape, axes = shapes.of(node, 0), _listed(node, shapes, "axes")
    gone = {axis % len(shape) for axis in axes} or {at for at, size in enumerate(shape) if size == 1}
    return [tuple(size for at, size in enumerate(shape) if at not in gone)]


def _padded(node: Node, shapes: Shapes) -> list[Shape]:
    shape, pads = shapes.of(node, 0), _listed(node, shapes, "pads")
    return [tuple(size + pads[at] + pads[at + len(shape)] for at, size in enumerate(shape))]


def _resized(node: Node, shapes: Shapes) -> list[Shape]:
    if shapes.has(node, 3):
        return [tuple(shapes.value(node, 3))]
    factors = shapes.factors[node.inputs[2 if len(node.inputs) > 2 else 1]]
    return [tuple(int(size * factor) for size, factor in zip(shapes.of(node, 0), factors, strict=True))]


def _reduced(node: Node, shapes: Shapes) -> list[Shape]:
    shape, axes = shapes.of(node, 0), _listed(node, shapes, "axes")
    if node.operation.startswith("Arg"):
        axes = [node.integer("axis", 0)]
    gone = {axis % len(shape) for axis in axes} or set(range(len(shape)))
    if node.integer("keepdims", 1):
        return [tuple(1 if at in gone else size for at, size in enumerate(shape))]
    return [tuple(size for at, size in enumerate(shape) if at not in gone)]


def _recurrent(node: Node, shapes: Shapes) -> list[Shape]:
    steps, batch, _ = shapes.of(node, 0)
    directions, hidden = shapes.of(node, 2)[0], shapes.of(node, 2)[2]
    last = (directions, batch, hidden)
    return [(steps, directions, batch, hidden), last, last]


def _fused_attention(node: Node, shapes: Shapes) -> list[Shape]:
    shape = shapes.of(node, 0)
    third = shapes.of(node, 1)[-1] // 3 if node.operation == "Attention" else shape[-1]
    return [(*shape[:-1], third)]


_SAME = [
    "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Tanh", "Gelu", "FastGelu", "QuickGelu",
    "BiasGelu", "Erf", "Elu", "Selu", "Softplus", "Mish", "Softmax", "LogSoftmax", "LayerNormalization",
    "SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "RMSNormalization",
    "GroupNormalization", "InstanceNormalization", "BatchNormalization", "LRN", "Dropout", "Identity", "Cast", "Clip",
    "Neg", "Sqrt", "Exp", "Log", "Abs", "Floor", "Ceil", "Round", "Sign", "Not", "Reciprocal", "Sin", "Cos", "IsNaN",
    "Trilu", "CumSum", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "RotaryEmbedding", "ScatterND",
    "ScatterElements",
]  # fmt: skip
STRETCHED = [
    "Add", "Sub", "Mul", "Div", "Pow", "Where", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And",
    "Or", "Max", "Min", "Mod", "PRelu", "Xor", "Sum",
]  # fmt: skip
REDUCED = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ArgMax", "ArgMin"]
_RULES: Mapping[str, Callable[[Node, Shapes], list[Shape]]] = {
    **dict.fromkeys(_SAME, lambda node, shapes: [shapes.of(node, 0)] * len(node.outputs)),
    **dict.fromkeys(STRETCHED, lambda node, shapes: [broadcast(*_all_inputs(node, shapes))]),
    **dict.fromkeys(REDUCED, _reduced),
    **dict.fromkeys(("MatMul", "MatMulInteger", "FusedMatMul"), _product),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv", "FusedConv"), _convolved),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _pooled),
    **dict.fromkeys(
        ("GlobalAveragePool", "GlobalMaxPool"),
        lambda node, shapes: [tuple(1 if at > 1 else size for at, size in enumerate(shapes.of(node, 0)))],
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "GroupQueryAttention"), _fused_attention),
    **dict.fromkeys(("Resize", "Upsample"), _resized),
    "QLinearMatMul": lambda node, shapes: _product(node, shapes, 3),
    "Gemm": _general_product,
    "MatMulNBits": lambda node, shapes: [(*shapes.of(node, 0)[:-1], node.integer("N", 0))],
    "ConvTranspose": _unconvolved,
    "Reshape": _reshaped,
    "Flatten": _flattened,
    "Transpose": _transposed,
    "Concat": _joined,
    "Split": _split,
    "Slice": _sliced,
    "Gather": _gathered,
    "GatherElements": lambda node, shapes: [shapes.of(node, 1)],
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Expand": lambda node, shapes: [broadcast(shapes.of(node, 0), tuple(shapes.value(node, 1)))],
    "ConstantOfShape": lambda node, shapes: [tuple(shapes.value(node, 0))],
    "Range": lambda node, shapes: [(len(range(*(shapes.value(node, at)[0] for at in range(3)))),)],
    "Tile": lambda node, shapes: [
        tuple(size * times for size, times in zip(shapes.of(node, 0), shapes.value(node, 1), strict=True))
    ],
    "Pad": _padded,
    "Constant": lambda node, shapes: [shapes.known.get(node.outputs[0], ())],
    "Shape": lambda node, shapes: [(len(shapes.of(node, 0)),)],
}
_BYTES = 4
_UNARY = (
    "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Tanh", "Gelu", "FastGelu", "QuickGelu",
    "Erf", "Elu", "Selu", "Softplus", "Mish", "Softmax", "LogSoftmax", "Clip", "Neg", "Sqrt", "Exp", "Log", "Abs",
    "Floor", "Ceil", "Round", "Sign", "Not", "Reciprocal", "Sin", "Cos", "CumSum",
)  # fmt: skip
_ELEMENTS = frozenset((*_UNARY, *STRETCHED))
_LOOK_UPS = frozenset(("Gather", "GatherElements", "Concat"))


@dataclass(frozen=True, slots=True)
class ElementWork:
    """Work that is limited by memory."""

    flop: float = 0.0
    moved_bytes: float = 0.0

    def __add__(self, other: "ElementWork") -> "ElementWork":
        return ElementWork(self.flop + other.flop, self.moved_bytes + other.moved_bytes)


def element_work(node: Node, shapes: Shapes) -> ElementWork:
    """Work of one operation; none of products, and of arithmetic on shapes, which is done once.

    Raises UnknownShape if a shape that it takes in cannot be told, and KeyError if what it puts out cannot be told.
    """
    if node.outputs[0] in shapes.values:
        return ElementWork()
    if node.operation in _LOOK_UPS:
        return ElementWork(0.0, 2.0 * _BYTES * prod(shapes.known[node.outputs[0]]))
    if node.operation in REDUCED:
        taken = prod(shapes.of(node, 0))
        return ElementWork(float(taken), float(_BYTES * (taken + prod(shapes.known[node.outputs[0]]))))
    if node.operation not in _ELEMENTS:
        return ElementWork()
    made = prod(shapes.known[node.outputs[0]])
    read = sum(prod(shapes.of(node, at)) for at, name in enumerate(node.inputs) if name)
    return ElementWork(float(made), float(_BYTES * (read + made)))
