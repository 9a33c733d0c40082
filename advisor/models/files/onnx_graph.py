"""An ONNX file as a list of operations and the tensors that they share; weights stay in the file.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (2026-11).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError
from advisor.models.files import tensors
from advisor.records import dataclass, field, replace

Integers = npt.NDArray[np.int64]
Dimension = int | str
"""A size, or the name of one that is free; "" for one without a name."""
_HINT = "export the model again with torch.onnx.export, or check it with onnx.checker"
_BESIDE = "save the model with its external data beside it"
_MOST_DEPTH, _MOST_RANK, _MOST_CONSTANT = 8, 16, 1024
_MOST_MET, _COST_OF_TEXT = 20_000_000, 10
"""Numbers of a file that are kept; a text or a message counts as ten of them."""
_TYPES = {
    1: ("FLOAT", 32), 2: ("UINT8", 8), 3: ("INT8", 8), 4: ("UINT16", 16), 5: ("INT16", 16), 6: ("INT32", 32),
    7: ("INT64", 64), 8: ("STRING", 0), 9: ("BOOL", 8), 10: ("FLOAT16", 16), 11: ("DOUBLE", 64), 12: ("UINT32", 32),
    13: ("UINT64", 64), 14: ("COMPLEX64", 64), 15: ("COMPLEX128", 128), 16: ("BFLOAT16", 16), 17: ("FLOAT8E4M3FN", 8),
    18: ("FLOAT8E4M3FNUZ", 8), 19: ("FLOAT8E5M2", 8), 20: ("FLOAT8E5M2FNUZ", 8), 21: ("UINT4", 4), 22: ("INT4", 4),
    23: ("FLOAT4E2M1", 4), 24: ("FLOAT8E8M0", 8), 25: ("UINT2", 2), 26: ("INT2", 2),
}  # fmt: skip
_SIMPLE: Mapping[int, Callable[[int | memoryview], object]] = {
    2: tensors.float_of,
    3: lambda value: tensors.signed(value) if isinstance(value, int) else 0,
    4: tensors.text,
}
"""Attributes of one value: a float, a whole number, a text."""
_MOST_BYTES_EACH = 10
_MOST_DIGITS = 19
"""Of a number of bytes: those of 2 ** 63."""
_SHAPES = ("INT64", "INT32", "BOOL", "STRING", "UINT64", "UINT32")
"""Types that hold shapes and indices, no weights."""


@dataclass(slots=True)
class Node:
    """One operation."""

    operation: str
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, object] = field(default_factory=dict)
    """Numbers, texts, lists of numbers, small constants, and graphs."""
    floats: dict[str, int] = field(default_factory=dict)
    """How many numbers each list of floats among the attributes has."""

    def integer(self, name: str, default: int) -> int:
        """A whole number among the attributes."""
        value = self.attributes.get(name)
        return value if isinstance(value, int) else default

    def word(self, name: str) -> str:
        """A text, empty where there is none."""
        value = self.attributes.get(name)
        return value if isinstance(value, str) else ""

    def integers(self, name: str) -> list[int]:
        """A list of whole numbers, empty where there is none."""
        value = self.attributes.get(name)
        return value if isinstance(value, list) else []


@dataclass(slots=True)
class Graph:
    """Operations in their order, weights, and the shapes that the file states."""

    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, tensors.Tensor] = field(default_factory=dict)
    constants: dict[str, Integers] = field(default_factory=dict)
    """Values of small tensors of whole numbers: shapes, axes, indices."""
    factors: dict[str, list[float]] = field(default_factory=dict)
    """Values of the smallest tensors of floats: by how much an image is resized."""
    inputs: dict[str, tuple[Dimension, ...]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    """Names of the results, whose shapes are among :attr:`stated`."""
    types: dict[str, str] = field(default_factory=dict)
    """Of the numbers of the inputs and outputs: FLOAT, INT64, ...; "" where the file does not say it."""
    stated: dict[str, tuple[Dimension, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A graph, and the version of the operators that it is written in."""

    graph: Graph
    opset: int
    producer: str

    @property
    def weights(self) -> list[tensors.Tensor]:
        """Learned numbers of the graph and of the branches and loops in it."""
        return _all_weights(self.graph)


def _all_weights(graph: Graph) -> list[tensors.Tensor]:
    """Learned numbers; shapes, axes, single numbers, and by how much an image is resized do not count."""
    resizing = {name for node in graph.nodes if node.operation in ("Resize", "Upsample") for name in node.inputs[1:]}
    own = [tensor for name, tensor in graph.weights.items() if is_weight(tensor) and name not in resizing]
    inner = (value for node in graph.nodes for value in node.attributes.values() if isinstance(value, Graph))
    return [*own, *(tensor for part in inner for tensor in _all_weights(part))]


def is_weight(tensor: tensors.Tensor) -> bool:
    """Whether the type and the shape of a tensor are those of learned numbers."""
    return tensor.storage not in _SHAPES and bool(tensor.shape)


def read_onnx(path: Path) -> OnnxFile:
    """Read the graph of a file; weights that lie in files beside it are counted from their shapes.

    Raises InputError if it is not ONNX, cut off, or names weights outside its folder.
    """
    try:
        return _Reader(str(path)).model(tensors.mapped(path, "ONNX file", _HINT))
    except tensors.CutOff as error:
        raise InputError(f"no sound ONNX file: {error}", where=str(path), hint=_HINT) from error


class _Reader:
    """One pass over a file, which counts what it has met."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.met = 0
        self.held_bytes: dict[str, int | None] = {}

    def model(self, data: memoryview) -> OnnxFile:
        graph, opset, producer = None, 0, ""
        for number, value in self._fields(data):
            match number, value:
                case 7, memoryview():
                    graph = self.graph(value, 0)
                case 8, memoryview():
                    values = dict(self._fields(value))
                    version, domain = values.get(2, 0), tensors.text(values.get(1, 0))
                    opset = max(opset, version if isinstance(version, int) and domain in ("", "ai.onnx") else 1)
                case 2, memoryview():
                    producer = tensors.text(value, 80)
        if graph is None or not opset:
            raise tensors.CutOff("there is no graph" if graph is None else "no operator set is imported")
        return OnnxFile(graph, opset, producer)

    def _fields(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """Fields of a message, as long as the file has not too many of them in all."""
        for number, value in tensors.fields_of(data):
            self.met += 1 if isinstance(value, int) else _COST_OF_TEXT
            if self.met > _MOST_MET:
                raise tensors.CutOff("more nodes, names and numbers than any model has")
            yield number, value

    def graph(self, data: memoryview, depth: int) -> Graph:
        if depth > _MOST_DEPTH:
            raise tensors.CutOff(f"graphs in graphs deeper than {_MOST_DEPTH}")
        graph = Graph()
        for number, value in self._fields(data):
            if isinstance(value, memoryview):
                self._part(graph, number, value, depth)
        return graph

    def _part(self, graph: Graph, number: int, value: memoryview, depth: int) -> None:
        match number:
            case 1:
                graph.nodes.append(self._node(value, graph, depth))
            case 5:
                self._keep(graph, "", value)
            case 11 | 12 | 13:
                name, kind, shape = _value_info(value)
                (graph.inputs if number == 11 else graph.stated)[name] = shape
                if number != 13:
                    graph.types[name] = kind
                if number == 12:
                    graph.outputs.append(name)
            case 15:
                raise tensors.CutOff("sparse initialisers, which are not read")

    def _keep(self, graph: Graph, name: str, data: memoryview) -> None:
        """Keep a tensor under *name*, or under its own."""
        tensor, constant, factors = self._tensor(data)
        name = name or tensor.name
        graph.weights[name] = replace(tensor, name=name)
        if constant is not None:
            graph.constants[name] = constant
        if factors:
            graph.factors[name] = factors

    def _node(self, data: memoryview, graph: Graph, depth: int) -> Node:
        node = Node("")
        for number, value in self._fields(data):
            match number:
                case 1:
                    node.inputs.append(tensors.text(value))
                case 2:
                    node.outputs.append(tensors.text(value))
                case 4:
                    node.operation = tensors.text(value, 80)
                case 7:
                    node.domain = tensors.text(value, 80)
                case 5 if isinstance(value, memoryview):
                    self._attribute(node, value, graph, depth)
        return node

    def _attribute(self, node: Node, data: memoryview, graph: Graph, depth: int) -> None:
        entries = list(self._fields(data))
        name = next((tensors.text(value, 200) for number, value in entries if number == 1), "")
        listed = [value for number, value in entries if number == 8 for value in tensors.integers(value)]
        modes = [tensors.text(value, 20) for number, value in entries if number == 9 and name == "nodes_modes"]
        if listed or modes:
            node.attributes[name] = listed or modes
        if floats := sum(len(value) for number, value in entries if number == 7 and isinstance(value, memoryview)):
            node.floats[name] = floats // 4
        for number, value in entries:
            if number in _SIMPLE:
                node.attributes[name] = _SIMPLE[number](value)
            elif number == 5 and isinstance(value, memoryview):
                self._attached(node, name, value, graph)
            elif number == 6 and isinstance(value, memoryview):
                node.attributes[name] = self.graph(value, depth + 1)

    def _attached(self, node: Node, name: str, data: memoryview, graph: Graph) -> None:
        """A tensor among the attributes: a weight where the node is one, else a number that it fills with."""
        if node.operation == "Constant":
            self._keep(graph, node.outputs[0] if node.outputs else "", data)
            return
        constant = self._tensor(data)[1]
        node.attributes[name] = int(constant.flat[0]) if constant is not None and constant.size else 0

    def _tensor(self, data: memoryview) -> tuple[tensors.Tensor, Integers | None, list[float]]:
        """A tensor without its numbers, but for those of small shapes, indices and factors."""
        parts: dict[int, list[int | memoryview]] = {}
        for number, value in self._fields(data):
            parts.setdefault(number, []).append(value)
        name, kind = tensors.text(parts.get(8, [0])[-1]), parts.get(2, [0])[-1]
        shape = [size for value in parts.get(1, []) for size in tensors.integers(value)]
        storage, bits = _TYPES.get(kind, ("", 0)) if isinstance(kind, int) else ("", 0)
        sound = (
            storage and len(shape) <= _MOST_RANK and min(shape, default=1) >= 0 and prod(shape) <= tensors.MOST_ELEMENTS
        )
        if not sound:
            raise tensors.CutOff(f"tensor {name[:60]!r} of type {kind} and shape {shape[:_MOST_RANK]}")
        tensor, raw = tensors.Tensor(name, tuple(shape), storage, bits), parts.get(9, [None])[-1]
        pairs = [_message(entry) for entry in parts.get(13, [])]
        self._check_external(tensor, {tensors.text(pair.get(1, 0)): tensors.text(pair.get(2, 0)) for pair in pairs})
        if isinstance(raw, memoryview) and bits and len(raw) != -(-tensor.elements * bits // 8):
            raise tensors.CutOff(f"tensor {name[:60]!r} has {len(raw):,} bytes for {storage} of shape {shape}")
        return tensor, _constant(tensor, raw, parts), _factors(tensor, raw or parts.get(4, [b""])[-1])

    def _check_external(self, tensor: tensors.Tensor, entry: Mapping[str, str]) -> None:
        """Refuse weights anywhere but beside the file, and bytes beside it that are not those of their shape.

        A file that is not there is no fault: sizes follow from shapes.
        """
        location, name = entry.get("location"), tensor.name[:60]
        if location is None:
            return
        if not location or Path(location).is_absolute() or ".." in Path(location).parts:
            fault = f"tensor {name!r} lies in {location[:80]!r}, outside the folder of the model"
            raise InputError(fault, where=self.where, hint=_BESIDE)
        size = -(-tensor.elements * tensor.bits // 8)
        offset, length = _bytes_of(entry.get("offset", "0")), _bytes_of(entry.get("length", str(size)))
        if tensor.bits and length != size:
            raise tensors.CutOff(f"tensor {name!r} has {length:,} bytes in {location[:80]!r}, {size:,} by its shape")
        if location not in self.held_bytes:
            file = Path(self.where).parent / location
            self.held_bytes[location] = None
            with suppress(OSError):  # a name that no file can have, or a folder that cannot be read
                self.held_bytes[location] = file.stat().st_size if file.is_file() else None
        held = self.held_bytes[location]
        if held is not None and held < offset + length:
            fault = f"{location[:80]!r} has {held:,} bytes, and tensor {name!r} ends at {offset + length:,}"
            raise InputError(fault, where=self.where, hint=_BESIDE)


def _bytes_of(number: str) -> int:
    if not (number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS):
        raise tensors.CutOff(f"{number[:20]!r} is not a number of bytes")
    return int(number)


def _constant(tensor: tensors.Tensor, raw: object, parts: Mapping[int, list[int | memoryview]]) -> Integers | None:
    if tensor.storage not in ("INT64", "INT32") or tensor.elements > _MOST_CONSTANT:
        return None
    if isinstance(raw, memoryview):
        kind = np.int64 if tensor.storage == "INT64" else np.int32
        return np.frombuffer(raw, dtype=kind).astype(np.int64).reshape(tensor.shape)
    stored = [*parts.get(5, []), *parts.get(7, [])]
    small = (value for value in stored if isinstance(value, int) or len(value) <= _MOST_BYTES_EACH * _MOST_CONSTANT)
    listed = [number for value in small for number in tensors.integers(value)]
    return np.array(listed, dtype=np.int64).reshape(tensor.shape) if len(listed) == tensor.elements else None


def _factors(tensor: tensors.Tensor, stored: object) -> list[float]:
    is_small = tensor.storage == "FLOAT" and 0 < tensor.elements <= _MOST_RANK
    if not is_small or not isinstance(stored, memoryview) or len(stored) != 4 * tensor.elements:
        return []
    return [float(value) for value in np.frombuffer(stored, dtype=np.float32)]


def _value_info(data: memoryview) -> tuple[str, str, tuple[Dimension, ...]]:
    """Name, type and shape of an input or of a value in between."""
    values = _message(data)
    tensor_type = _message(_message(values.get(2)).get(1))
    kind = tensor_type.get(1)
    storage, _ = _TYPES.get(kind, ("", 0)) if isinstance(kind, int) else ("", 0)
    return tensors.text(values.get(1, 0)), storage, _dimensions(tensor_type.get(2))


def _message(data: int | memoryview | None) -> Mapping[int, int | memoryview]:
    """Fields of a message that has each once."""
    return dict(tensors.fields_of(data)) if isinstance(data, memoryview) else {}


def _dimensions(shape: int | memoryview | None) -> tuple[Dimension, ...]:
    """Sizes and names of a shape."""
    dimensions: list[Dimension] = []
    for _, value in tensors.fields_of(shape) if isinstance(shape, memoryview) else ():
        entry = _message(value)
        size = entry.get(1)
        stated = tensors.signed(size) if isinstance(size, int) else 0
        dimensions.append(stated if 0 < stated <= tensors.MOST_ELEMENTS else tensors.text(entry.get(2, 0), 80))
    return tuple(dimensions[:_MOST_RANK])
