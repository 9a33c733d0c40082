"""A model from an ONNX file: exact parameters and bytes, FLOPs of its operations from their shapes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

from advisor.errors import InputError
from advisor.models.config_fields import ConfigFields
from advisor.models.files.onnx_graph import Dimension, Graph, Node, OnnxFile, is_weight, read_onnx
from advisor.models.files.onnx_rules import (
    FAILURES,
    ElementWork,
    Shape,
    Shapes,
    UnknownShape,
    element_work,
    free_name,
    infer,
    linear_work,
)
from advisor.models.files.tensors import bytes_of, parameters_of, precision_of
from advisor.models.files.trees import ensemble_forest, joined
from advisor.models.layers import FeedForward, Layer, Mixer, MixerKind
from advisor.models.model import ONNX_GRAPH, ONNX_TREES, Checkpoint, Model, ModelInput, Surroundings
from advisor.models.networks import read_declared, whole_model
from advisor.models.values import Network, Work
from advisor.records import dataclass, replace

_LENGTHS = (64, 128, 256)
"""Lengths at which a graph with one free dimension is counted: three points fix a polynomial of the second degree."""
_OF_SEQUENCES = ("Softmax", "Attention", "MultiHeadAttention", "LSTM", "GRU", "RNN", "Conv")
"""Operations by which the words of a text are related to each other."""
_FLOATS = {"FLOAT": "fp32", "DOUBLE": "fp64", "FLOAT16": "fp16", "BFLOAT16": "bf16"}


@dataclass(frozen=True, slots=True)
class Counted:
    """FLOPs of one run of a graph."""

    flop: float
    unknown: str
    """Operation whose shapes could not be told; "" where everything was counted."""
    elements: ElementWork = ElementWork()
    """Work beside that of products, which counts where there are none."""
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
    total, elements, unknown = 0.0, ElementWork(), ""
    for node in graph.nodes:
        infer(node, shapes)
        try:
            total += _flop(node, shapes)
        except FAILURES:
            unknown = unknown or node.operation
        with suppress(*FAILURES):
            elements += element_work(node, shapes)
    return Counted(total, unknown, elements, tuple(shapes.known.get(name) for name in graph.outputs))


def _flop(node: Node, shapes: Shapes) -> float:
    if node.operation in ("Loop", "Scan"):
        raise UnknownShape(node.operation)
    if node.operation == "If":
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
    rule = _WORK.get(node.operation)
    return 2.0 * rule(node, shapes) if rule else 0.0


def _made(node: Node, shapes: Shapes) -> int:
    """Elements that it puts out."""
    return prod(shapes.known[node.outputs[0]])


def _steps(node: Node, shapes: Shapes) -> float:
    steps, batch, _ = shapes.of(node, 0)
    return float(steps * batch * (prod(shapes.of(node, 1)) + prod(shapes.of(node, 2))))


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
    **dict.fromkeys(
        ("MatMul", "MatMulInteger", "FusedMatMul", "QLinearMatMul"),
        lambda node, shapes: _made(node, shapes) * shapes.of(node, 0)[-1],
    ),
    **dict.fromkeys(
        ("Conv", "ConvInteger", "QLinearConv", "FusedConv"),
        lambda node, shapes: (
            _made(node, shapes) * prod(shapes.of(node, 3 if node.operation == "QLinearConv" else 1)[1:])
        ),
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _steps),
    "Gemm": lambda node, shapes: _made(node, shapes) * shapes.of(node, 0)[0 if node.integer("transA", 0) else 1],
    "ConvTranspose": lambda node, shapes: float(prod(shapes.of(node, 0)) * prod(shapes.of(node, 1)[1:])),
    "MatMulNBits": lambda node, shapes: float(
        prod(shapes.of(node, 0)[:-1]) * node.integer("K", 0) * node.integer("N", 0)
    ),
    "Attention": _packed_attention,
    "MultiHeadAttention": _scores,
    "GroupQueryAttention": _scores,
    "Einsum": _einsum,
}


def onnx_model(path: Path, name: str) -> Model:
    """A model of an ONNX file.

    A free first dimension is the batch, taken as 1. With one more free dimension, the length of a text, FLOPs are
    ``a · S + b · S²``, which is what a transformer takes; with others they are not known. Raises InputError if it is
    not ONNX, cut off, names weights outside its folder, or takes a fixed number of samples.
    """
    file = read_onnx(path)
    ensembles = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
    forests = [node for node in file.graph.nodes if node.operation in ensembles]
    if forests:
        forest = joined(ensemble_forest(node.attributes, f"{path}: {node.operation}") for node in forests)
        work = Work(forest.parameters, forest.operations)
        checkpoint = Checkpoint("fp32", file_bytes=path.stat().st_size)
        model = whole_model(Network(work, "tabular", forest.sample), ONNX_TREES, name, checkpoint)
        return replace(model, inputs=_inputs(file.graph), sample_size=_columns(file.graph))
    if linear := linear_work(file.graph.nodes):
        work, family = linear
        checkpoint = Checkpoint("fp32", file_bytes=path.stat().st_size)
        model = whole_model(Network(work, "tabular", f"one row of {_shape_text(file)}"), family, name, checkpoint)
        return replace(model, inputs=_inputs(file.graph), sample_size=_columns(file.graph))
    _check_batch(file.graph, str(path))
    weights = file.weights
    checkpoint = Checkpoint(precision_of(weights), file_bytes=bytes_of(weights))
    model = _counted(file, max(parameters_of(weights), 1), name, checkpoint)
    source = f"ONNX operator set {file.opset}" + (f", written by {file.producer}" if file.producer else "")
    return replace(model, source=source, inputs=_inputs(file.graph))


def _inputs(graph: Graph) -> tuple[ModelInput, ...]:
    """Tensors that the graph takes for one item; empty where one has no type, or more is free than batch and length."""
    _, lengths = free_dimensions(graph)
    names = [name for name in graph.inputs if name not in graph.weights]
    inputs = tuple(
        ModelInput(
            name,
            _FLOATS.get(graph.types[name], graph.types[name].lower()),
            tuple(size if isinstance(size, int) else None for size in graph.inputs[name][1:]),
        )
        for name in names
    )
    has_batches = all(graph.inputs[name] and not isinstance(graph.inputs[name][0], int) for name in names)
    return inputs if has_batches and len(lengths) <= 1 and all(graph.types[name] for name in names) else ()


def _columns(graph: Graph) -> int | None:
    """Values of a row; None where a size is free, or a result is a map, which Triton does not load."""
    inputs = _inputs(graph)
    sizes = [size for tensor in inputs for size in tensor.shape]
    is_mapped = any(node.operation == "ZipMap" for node in graph.nodes)
    if not inputs or is_mapped or None in sizes:
        return None
    return sum(prod(size or 1 for size in tensor.shape) for tensor in inputs)


def _counted(file: OnnxFile, parameters: int, name: str, checkpoint: Checkpoint) -> Model:
    batches, lengths = free_dimensions(file.graph)
    sizes = dict.fromkeys(batches, 1)
    kind = _task(file)
    if not lengths:
        counted = count_flop(file.graph, sizes)
        sample = f"one sample of {_shape_text(file)}"
        if counted.unknown:
            sample = _unknown(counted.unknown)
        by_element = counted.elements if kind == "tabular" and not counted.flop else ElementWork()
        flop = counted.flop or by_element.flop
        if not counted.unknown and not flop:
            sample = f"not known: FLOPs of {_operations(file)} are not counted"
        work = Work(parameters, 0 if counted.unknown else flop)
        model = whole_model(Network(work, kind, sample), ONNX_GRAPH, name, checkpoint)
        columns = _columns(file.graph) if kind == "tabular" and work.flop else None
        model = replace(model, outputs=_outputs(file.graph, {1: counted}), sample_size=columns)
        return replace(model, moved_bytes_per_sample=by_element.moved_bytes)
    if len(lengths) == 1 and kind == "encoder":
        (length,) = lengths
        points = {tokens: count_flop(file.graph, sizes | {length: tokens}) for tokens in _LENGTHS}
        unknown = next((point.unknown for point in points.values() if point.unknown), "")
        if not unknown:
            model = _text_model([point.flop for point in points.values()], parameters, name, checkpoint)
            return replace(model, outputs=_outputs(file.graph, points))
        return whole_model(Network(Work(parameters), kind, _unknown(unknown)), ONNX_GRAPH, name, checkpoint)
    return whole_model(Network(Work(parameters), kind, _free_text(file.graph, lengths)), ONNX_GRAPH, name, checkpoint)


def _outputs(graph: Graph, counted: Mapping[int, Counted]) -> tuple[ModelInput, ...]:
    """Tensors that the graph puts out for one item; empty where a type, or a size beside the batch, is not known.

    Runs of one item are counted by the length of its text; a graph without a free length has one.
    """
    outputs = []
    for at, name in enumerate(graph.outputs):
        shapes = [run.outputs[at] for run in counted.values()]
        shape = _shape_of_item(graph.stated[name], shapes, tuple(counted))
        if shape is None or graph.types[name] in ("", "STRING"):
            return ()
        outputs.append(ModelInput(name, _FLOATS.get(graph.types[name], graph.types[name].lower()), shape))
    return tuple(outputs)


def _shape_of_item(
    stated: Sequence[Dimension], shapes: Sequence[Shape | None], lengths: Sequence[int]
) -> tuple[int | None, ...] | None:
    """Sizes of a result without the batch, which is free; a size that follows the length is None, as of inputs."""
    of_runs = [shape for shape in shapes if shape]
    batched = stated and not isinstance(stated[0], int) and all(shape[0] == 1 for shape in of_runs)
    if not batched or len(of_runs) < len(shapes) or len({len(shape) for shape in of_runs}) != 1:
        return None
    sizes: list[int | None] = []
    for of_axis in list(zip(*of_runs, strict=True))[1:]:
        if len(set(of_axis)) > 1 and of_axis != tuple(lengths):
            return None
        sizes.append(of_axis[0] if len(set(of_axis)) == 1 else None)
    return tuple(sizes)


def _free_text(graph: Graph, lengths: Mapping[str, Sequence[str]]) -> str:
    """Why FLOPs are not known: the free axes of an input, and the way out."""
    name = next(iter(lengths.values()))[0]
    free = [
        f"{size!r} (axis {axis})" if size else f"axis {axis}"
        for axis, size in enumerate(graph.inputs[name])
        if axis and isinstance(size, str)
    ]
    return (
        f"not known: input {name!r} has the free dimension{'s' if len(free) > 1 else ''} {' and '.join(free)}; export "
        "the model with fixed sizes there, and only the first axis free"
    )


def _check_batch(graph: Graph, where: str) -> None:
    """Refuse a graph that takes a fixed number of samples: servers fill batches of any size."""
    for name, shape in graph.inputs.items():
        if name not in graph.weights and shape and isinstance(shape[0], int):
            raise InputError(
                f"input {name!r} has its first dimension, the batch, fixed at {shape[0]}, and servers fill batches of "
                "any size",
                where=where,
                hint="export the model with a free first axis: torch.onnx.export(..., "
                f"dynamic_axes={{{name!r}: {{0: 'batch'}}}}), with the outputs likewise",
            )


def _unknown(operation: str) -> str:
    return f"not known: shapes around the operation {operation!r} cannot be told; run onnx.shape_inference on the file"


def _text_model(flop: list[float], parameters: int, name: str, checkpoint: Checkpoint) -> Model:
    """An encoder with one layer that takes what the graph takes at every length."""
    first, second, third = _LENGTHS
    quadratic = (
        (flop[2] - flop[1]) / (third - second) - (flop[1] - flop[0]) / (second - first)
    ) / (third - first)  # fmt: skip
    linear = (flop[1] - flop[0]) / (second - first) - quadratic * (first + second)
    matrices = min(max(round(linear / 2), 0), parameters)
    mixer = Mixer(MixerKind.ATTENTION, matrices, 0, width=max(round(quadratic / 4), 0))
    model = read_declared(ConfigFields({"parameters_total": parameters}, name), name, checkpoint)
    layer = Layer(mixer, FeedForward(matrix_parameters=0, other_parameters=0), 0)
    return replace(
        model,
        family=ONNX_GRAPH,
        task="encoder",
        hidden=1,  # the layer stands for all of them, whatever their width
        surroundings=Surroundings(embeddings=parameters - matrices),
        layers=((layer, 1),),
        sample="one text",
    )


def _task(file: OnnxFile) -> str:
    """Kind of the model by what it takes: four dimensions are an image, what is looked up in a table is text.

    Identifiers of a fixed number that no operation relates to each other, as of users and items, are columns of a row.
    """
    shapes = [shape for name, shape in file.graph.inputs.items() if name not in file.graph.weights]
    if any(len(shape) >= 4 for shape in shapes):
        return "vision"
    gathered = (name for node in file.graph.nodes if node.operation == "Gather" for name in node.inputs[:1])
    looks_up = any(_is_table(file, name) for name in gathered)
    if looks_up and not free_dimensions(file.graph)[1]:
        looks_up = any(node.operation in _OF_SEQUENCES for node in file.graph.nodes)
    return "encoder" if looks_up or max(map(len, shapes), default=0) > 2 else "tabular"


def _is_table(file: OnnxFile, name: str) -> bool:
    tensor = file.graph.weights.get(name)
    return tensor is not None and len(tensor.shape) == 2 and tensor.shape[0] >= 1000 and is_weight(tensor)


def _operations(file: OnnxFile) -> str:
    names = list(dict.fromkeys(node.operation for node in file.graph.nodes))
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")


def _shape_text(file: OnnxFile) -> str:
    shapes = [shape for name, shape in file.graph.inputs.items() if name not in file.graph.weights]
    return " and ".join(" × ".join(map(str, shape[1:])) or "one number" for shape in shapes[:4]) or "one number"
