"""Work of ONNX operations that multiply no matrices: one FLOP for each element, and the bytes that it moves.

An element-wise operation takes one FLOP for each element that it puts out, a reduction one for each that it takes in:
as ``elementwise_flop_counter`` of fvcore counts (facebookresearch/fvcore, jit_handles.py, 2026-11). Memory moves what
is read and written, in fp32; a row that is looked up in a table is read and written once.
"""

from math import prod

from advisor.models.files.onnx_graph import Node
from advisor.models.files.onnx_rules import REDUCED, STRETCHED
from advisor.models.files.onnx_shapes import Shapes
from advisor.records import dataclass

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
