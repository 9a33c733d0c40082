"""Shapes that operations of ONNX put out, by the shapes that they take in, and work by element.

Operators: https://onnx.ai/onnx/operators (2026-11). One whose rule is not here gives values of unknown shape, unless
the file states it; what depends on them is then unknown as well.

An element-wise operation takes one FLOP for each element that it puts out, a reduction one for each that it takes in:
as ``elementwise_flop_counter`` of fvcore counts (facebookresearch/fvcore, jit_handles.py, 2026-11). Memory moves what
is read and written, in fp32; a row that is looked up in a table is read and written once.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import prod

from advisor.models.files.onnx_graph import Node
from advisor.models.files.onnx_shapes import Shape, Shapes
from advisor.records import dataclass

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

    Raises:
        UnknownShape: a shape that it takes in cannot be told.
        KeyError: so it is with what it puts out.
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
