"""FLOPs of an ONNX graph for one sample: what its matrix products, convolutions and recurrences take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from advisor.models.files.onnx_folds import UnknownShape
from advisor.models.files.onnx_graph import Graph, Node
from advisor.models.files.onnx_rules import FAILURES, infer
from advisor.models.files.onnx_shapes import Shape, Shapes, free_name


@dataclass(frozen=True, slots=True)
class Counted:
    """FLOPs of one run of a graph."""

    flop: float
    unknown: str
    """Operation whose shapes could not be told; "" where everything was counted."""
    outputs: tuple[Shape | None, ...] = ()
    """Shapes of the results in their order; None: not known."""


def free_dimensions(graph: Graph) -> tuple[set[str], dict[str, list[str]]]:
    """Names of free dimensions: those of batches (the first of an input), and the others with their inputs."""
    batches: set[str] = set()
    others: dict[str, list[str]] = {}
    for name, shape in graph.inputs.items():
        if name in graph.weights:
            continue
        for axis, size in enumerate(shape):
            if not isinstance(size, str):
                continue
            if axis == 0:
                batches.add(free_name(name, axis, size))
            else:
                others.setdefault(free_name(name, axis, size), []).append(name)
    return batches, {name: inputs for name, inputs in others.items() if name not in batches}


def count_flop(graph: Graph, sizes: Mapping[str, int]) -> Counted:
    """FLOPs with free dimensions of these *sizes*: 2 for each multiplication with its addition."""
    return _count(graph, Shapes(graph, sizes))


def _count(graph: Graph, shapes: Shapes) -> Counted:
    total, unknown = 0.0, ""
    for node in graph.nodes:
        infer(node, shapes)
        try:
            total += _flop(node, shapes)
        except FAILURES:
            unknown = unknown or node.operation
    return Counted(total, unknown, tuple(shapes.known.get(name) for name in graph.outputs))


def _flop(node: Node, shapes: Shapes) -> float:
    if node.operation in ("Loop", "Scan"):
        raise UnknownShape(node.operation)
    if node.operation == "If":
        return _dearer_branch(node, shapes)
    rule = _WORK.get(node.operation)
    return 2.0 * rule(node, shapes) if rule else 0.0


def _dearer_branch(node: Node, shapes: Shapes) -> float:
    branches = []
    for part in node.attributes.values():
        if isinstance(part, Graph):
            inner = Shapes(part, shapes.sizes)
            inner.known = shapes.known | inner.known
            inner.values = shapes.values | inner.values
            counted = _count(part, inner)
            if counted.unknown:
                raise UnknownShape(counted.unknown)
            branches.append(counted.flop)
    return max(branches, default=0.0)


def _products(node: Node, shapes: Shapes) -> float:
    return float(prod(shapes.known[node.outputs[0]]) * shapes.of(node, 0)[-1])


def _general_products(node: Node, shapes: Shapes) -> float:
    left = shapes.of(node, 0)
    return float(prod(shapes.known[node.outputs[0]]) * left[0 if node.integer("transA", 0) else 1])


def _filters(node: Node, shapes: Shapes) -> float:
    weight = shapes.of(node, 3 if node.operation == "QLinearConv" else 1)
    return float(prod(shapes.known[node.outputs[0]]) * prod(weight[1:]))


def _spread_filters(node: Node, shapes: Shapes) -> float:
    return float(prod(shapes.of(node, 0)) * prod(shapes.of(node, 1)[1:]))


def _steps(node: Node, shapes: Shapes) -> float:
    steps, batch, _ = shapes.of(node, 0)
    return float(steps * batch * (prod(shapes.of(node, 1)) + prod(shapes.of(node, 2))))


def _packed_products(node: Node, shapes: Shapes) -> float:
    return float(prod(shapes.of(node, 0)[:-1]) * node.integer("K", 0) * node.integer("N", 0))


def _packed_attention(node: Node, shapes: Shapes) -> float:
    """com.microsoft's Attention: the projection of queries, keys and values, and the scores."""
    batch, length, hidden = shapes.of(node, 0)
    outputs = shapes.of(node, 1)[-1]
    return float(batch * length * (hidden * outputs + 2 * length * outputs // 3))


def _scores(node: Node, shapes: Shapes) -> float:
    """Attention over queries and keys that were projected before."""
    batch, length, hidden = shapes.of(node, 0)
    keys = shapes.of(node, 1)[1]
    return float(2 * batch * length * keys * hidden)


def _einsum(node: Node, shapes: Shapes) -> float:
    """A product of two: as many multiplications as all of its letters span."""
    terms = node.word("equation").replace(" ", "").split("->")[0].split(",")
    if len(terms) != 2 or "." in node.word("equation"):
        raise UnknownShape("Einsum")
    sizes = {
        letter: size for at, term in enumerate(terms) for letter, size in zip(term, shapes.of(node, at), strict=True)
    }
    return float(prod(sizes.values()))


_WORK: Mapping[str, Callable[[Node, Shapes], float]] = {
    **dict.fromkeys(("MatMul", "MatMulInteger", "FusedMatMul", "QLinearMatMul"), _products),
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv", "FusedConv"), _filters),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _steps),
    "Gemm": _general_products,
    "ConvTranspose": _spread_filters,
    "MatMulNBits": _packed_products,
    "Attention": _packed_attention,
    "MultiHeadAttention": _scores,
    "GroupQueryAttention": _scores,
    "Einsum": _einsum,
}
