"""Tree formats in binary: treelite's checkpoints, which Triton's FIL backend loads, and XGBoost's UBJSON.

Treelite's layout: src/serializer.cc of dmlc/treelite at version 4 (2026-11), little-endian; an array is its length as
64 bits and its numbers.

The format: https://ubjson.org (draft 12); XGBoost's "l" and "L" are signed and big-endian.

scikit-learn models as skops saves them: a ZIP of arrays and a JSON tree of objects, neither of which runs code.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError
from advisor.models.files.tensors import Cursor, CutOff, header_of, mapped
from advisor.models.files.trees import Forest, Tree, bounded, real_numbers, tree_of, whole_numbers
from advisor.units import BYTES_PER_MIB

_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_WORDS = {"Z": None, "T": True, "F": False}
_MOST_DEPTH, _MOST_KEY, _MOST_UBJSON_TEXT, _MOST_VALUES = 64, 4096, 2**24, 5_000_000


def read_ubjson(data: memoryview) -> Any:  # noqa: ANN401 - any JSON value
    """Value of *data*; lists of numbers of one type are arrays. Raises CutOff if too short, too deep, or none."""
    reader = _Reader(Cursor(data))
    return reader.value(reader.letter(), 0)


class _Reader:
    """One pass, which counts the values that it has met."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.met = 0

    def letter(self) -> str:
        return chr(self.cursor.take(1)[0])

    def value(self, kind: str, depth: int) -> Any:  # noqa: ANN401 - any JSON value
        """The value behind a letter."""
        self.met += 1
        if depth > _MOST_DEPTH or self.met > _MOST_VALUES:
            raise CutOff("it nests too deeply" if depth > _MOST_DEPTH else f"more than {_MOST_VALUES:,} values")
        if kind in _NUMBERS:
            form = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.cursor.take(form.itemsize), dtype=form)[0].item()
        if kind in _WORDS:
            return _WORDS[kind]
        match kind:
            case "S" | "C":
                return self.cursor.text(self._length() if kind == "S" else 1, _MOST_UBJSON_TEXT)
            case "[":
                return self._list(depth)
            case "{":
                return self._object(depth)
            case _:
                raise CutOff(f"a value of type {kind!r} at byte {self.cursor.at:,}")

    def _length(self, kind: str = "") -> int:
        """A count; its letter may have been taken before."""
        kind = kind or self.letter()
        if kind not in "iUIlL":
            raise CutOff(f"a length of type {kind!r}")
        form = np.dtype(_NUMBERS[kind])
        length = int(np.frombuffer(self.cursor.take(form.itemsize), dtype=form)[0])
        if length < 0:
            raise CutOff(f"a length of {length}")
        return length

    def _list(self, depth: int) -> Any:  # noqa: ANN401 - a list or an array
        letter = self.letter()
        if letter == "$":
            kind, hash_sign = self.letter(), self.letter()
            if kind not in _NUMBERS or hash_sign != "#":
                raise CutOff(f"a list of values of type {kind!r}")
            form, count = np.dtype(_NUMBERS[kind]), self._length()
            return np.frombuffer(self.cursor.take(count * form.itemsize), dtype=form)
        if letter == "#":
            return [self.value(self.letter(), depth + 1) for _ in range(self._bounded(self._length()))]
        values = []
        while letter != "]":
            values.append(self.value(letter, depth + 1))
            letter = self.letter()
        return values

    def _object(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        letter = self.letter()
        if letter == "#":
            for _ in range(self._bounded(self._length())):
                key = self.cursor.text(self._length(), _MOST_KEY)
                values[key] = self.value(self.letter(), depth + 1)
            return values
        while letter != "}":
            key = self.cursor.text(self._length(letter), _MOST_KEY)
            values[key] = self.value(self.letter(), depth + 1)
            letter = self.letter()
        return values

    def _bounded(self, count: int) -> int:
        """A count of values, of which each takes a byte at least."""
        if count > len(self.cursor.data) - self.cursor.at:
            raise CutOff(f"{count:,} values are announced at byte {self.cursor.at:,}")
        return count


_MAJOR = 4
_HINT = "write it again with treelite 4: treelite.sklearn.import_model(model).serialize('checkpoint.tl')"
_WIDTHS = {2: 4, 3: 8}
"""Bytes of a threshold or a leaf's value by the code of its type: 32-bit and 64-bit floats."""
_MOST_TREES, _MOST_OPTIONAL, _MOST_TEXT = 1_000_000, 1000, 1 << 20
_MOST_COLUMNS = _MOST_CLASSES = 1_000_000


def read_treelite(path: Path) -> Forest:
    """Trees of a checkpoint. Raises InputError if it is none of version 4, cut off, or holds no single target."""
    try:
        return _forest(Cursor(mapped(path, "treelite checkpoint", _HINT)), str(path))
    except CutOff as error:
        raise InputError(f"no sound treelite checkpoint: {error}", where=str(path), hint=_HINT) from error


def _forest(cursor: Cursor, where: str) -> Forest:
    major, minor, patch = (cursor.number("<i") for _ in range(3))
    if major != _MAJOR:
        told = f"a treelite checkpoint of version {major}.{minor}.{patch}, where {_MAJOR} is read"
        raise InputError(told, where=where, hint=_HINT)
    widths = [_WIDTHS.get(cursor.number("<B"), 0) for _ in range(2)]
    trees, columns = cursor.number("<Q"), cursor.number("<i")
    cursor.take(2)  # kind of task, and whether trees are averaged
    targets = cursor.number("<i")
    if not all(widths) or not 0 < trees <= _MOST_TREES or not 0 < columns <= _MOST_COLUMNS:
        raise InputError("no sound treelite checkpoint: its header", where=where, hint=_HINT)
    if targets != 1:
        raise InputError(f"the trees predict {targets} targets, and one is planned", where=where, hint="save one each")
    classes, leaf_shape = (_array(cursor, "<i4").tolist() for _ in range(2))
    counts = (*classes, *leaf_shape)
    if len(classes) != 1 or len(leaf_shape) != 2 or not all(0 < count <= _MOST_CLASSES for count in counts):
        raise InputError("no sound treelite checkpoint: its classes", where=where, hint=_HINT)
    values_per_leaf = min(prod(leaf_shape), _MOST_CLASSES)
    for _ in range(2):
        _array(cursor, "<i4")  # target and class of each tree
    cursor.text(cursor.number("<Q"), _MOST_TEXT)
    cursor.take(2 * 4)  # scales of the postprocessor
    _array(cursor, "<f8")
    cursor.text(cursor.number("<Q"), _MOST_TEXT)
    _skip_optional(cursor)
    return Forest(bounded(_trees(cursor, trees, widths, where), where), 0, values_per_leaf, columns)


def _trees(cursor: Cursor, count: int, widths: list[int], where: str) -> Iterator[Tree]:
    threshold_bytes, leaf_bytes = widths
    for index in range(count):
        cursor.take(4 + 1)  # number of nodes, and whether a split is by category
        _array(cursor, "u1")  # kinds of nodes
        left, right = _array(cursor, "<i4"), _array(cursor, "<i4")
        for size in (4, 1, leaf_bytes, threshold_bytes, 1, 1, leaf_bytes, 8, 8, 4, 8, 8):
            _array(cursor, f"V{size}")
        rows, has_rows = _array(cursor, "<u8"), _array(cursor, "u1")
        hessians, has_hessians = _array(cursor, "<f8"), _array(cursor, "u1")
        _array(cursor, "<f8")
        _array(cursor, "u1")
        for _ in range(2):
            _skip_optional(cursor)
        counted = rows if has_rows.any() else hessians if has_hessians.any() else None
        weight = None if counted is None else counted.astype(np.float64)
        yield tree_of(left.astype(np.int64), right.astype(np.int64), weight, f"{where}: tree {index}")


def _array(cursor: Cursor, form: str) -> npt.NDArray[np.generic]:
    kind = np.dtype(form)
    return np.frombuffer(cursor.take(cursor.number("<Q") * kind.itemsize), dtype=kind)


def _skip_optional(cursor: Cursor) -> None:
    """Fields of later versions: a name, and a content of stated length each."""
    count = cursor.number("<i")
    if not 0 <= count <= _MOST_OPTIONAL:
        raise CutOff(f"{count:,} optional fields are announced")
    for _ in range(count):
        cursor.text(cursor.number("<Q"), _MOST_TEXT)
        item_bytes, items = cursor.number("<Q"), cursor.number("<Q")
        cursor.take(item_bytes * items)


_SCHEMA = "schema.json"
_MOST_FILES, _MOST_BYTES = 100_000, 512 * BYTES_PER_MIB
_SKOPS_HINT = "save the model again with skops.io.dump(model, 'model.skops')"
_COEFFICIENTS = (
    "coef_", "intercept_", "coefs_", "intercepts_", "dual_coef_", "support_vectors_", "components_",
    "cluster_centers_",
)  # fmt: skip
_SIDES = (("left_child", "right_child", "weighted_n_node_samples"), ("left", "right", "count"))
"""Fields of a node in scikit-learn's trees, and in its histogram gradient boosting."""
_MOST_NESTED = 100
_FAILURES = (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError, ValueError, zlib.error)
"""What the standard library says to a damaged or an encrypted ZIP."""


def is_skops(path: Path) -> bool:
    """Whether a ZIP holds a model of skops."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _SCHEMA in archive.namelist()
    except _FAILURES:
        return False


def read_skops(path: Path) -> Forest:
    """Trees and coefficients of a model. Raises InputError if it is unreadable, unpacks too large, or holds none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _skops_forest(_Archive(archive, str(path)), str(path))
    except _FAILURES as error:
        raise InputError(f"no sound skops file: {error}", where=str(path), hint=_SKOPS_HINT) from error


class _Archive:
    """The entries of a ZIP, of which no more is unpacked than is allowed."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.archive = archive
        self.where = where
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > _MOST_FILES or total > _MOST_BYTES:
            fault = f"{len(entries):,} files of {total:,} bytes in all are more than is read"
            raise InputError(fault, where=where, hint=_SKOPS_HINT)

    def content(self, name: str) -> bytes:
        """An entry, no longer than it says."""
        try:
            with self.archive.open(name) as stream:
                return stream.read(_MOST_BYTES)
        except KeyError as error:
            raise InputError(f"the entry {name[:60]!r} is missing", where=self.where, hint=_SKOPS_HINT) from error

    def array(self, name: str) -> npt.NDArray[Any]:
        """An array of numbers; objects are refused, as they would be pickles."""
        stream = io.BytesIO(self.content(name))
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, kind = read(stream)
            count = prod(shape)
            plain = not kind.hasobject and kind.itemsize > 0 and count * kind.itemsize <= _MOST_BYTES
            return np.frombuffer(stream.read() if plain else b"", dtype=kind, count=count).reshape(shape)
        except (ValueError, EOFError, OSError, SyntaxError, TypeError, OverflowError, RecursionError) as error:
            where = f"{self.where}: {name[:60]}"
            raise InputError("it is not an array of numbers", where=where, hint=_SKOPS_HINT) from error


def _skops_forest(archive: _Archive, where: str) -> Forest:
    schema = header_of(archive.content(_SCHEMA).decode("utf-8", "replace"), f"{where}: {_SCHEMA}", _SKOPS_HINT)
    nodes: list[tuple[npt.NDArray[Any], str]] = []
    coefficients, per_leaf = 0, 1
    for field, name in dict.fromkeys(_files(schema, "")):  # an array that stands there twice is one of the model
        if not name.endswith(".npy") or field not in (*_COEFFICIENTS, "nodes", "values"):
            continue
        array = archive.array(name)
        if field in _COEFFICIENTS:
            coefficients += array.size
        elif field == "nodes":
            nodes.append((array, f"{where}: {name[:40]}"))
        elif field == "values" and array.ndim == 3:
            per_leaf = max(per_leaf, array.shape[2])
    trees = bounded((tree for array, place in nodes for tree in _skops_trees(array, place)), where)
    if not trees and not coefficients:
        raise InputError("there are neither trees nor coefficients in the model", where=where, hint="give it as ONNX")
    return Forest(trees, coefficients, per_leaf)


def _files(node: object, field: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Arrays of an object tree with the attribute that each belongs to."""
    if depth > _MOST_NESTED:
        return
    if isinstance(node, Mapping):
        if isinstance(node.get("file"), str):
            yield field, node["file"]
        for name, value in node.items():
            yield from _files(value, field if name in ("content", "__reduce__", "args") else str(name), depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _files(value, field, depth + 1)


def _skops_trees(nodes: npt.NDArray[Any], where: str) -> list[Tree]:
    """The tree whose nodes an array holds, where it holds nodes."""
    names = nodes.dtype.names or ()
    for left, right, weight in _SIDES:
        if left in names and right in names and nodes.ndim == 1:
            is_leaf = nodes["is_leaf"] if "is_leaf" in names else np.zeros(len(nodes), dtype=np.bool_)
            children = [np.where(is_leaf, -1, whole_numbers(nodes[side], where)) for side in (left, right)]
            rows = real_numbers(nodes[weight]) if weight in names else None
            return [tree_of(children[0], children[1], rows, where)]
    return []
