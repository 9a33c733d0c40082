"""Models of decision trees in formats that run no code: XGBoost (JSON, UBJSON), LightGBM (text), scikit-learn (skops).

Binary formats: checkpoints of treelite, which Triton's FIL backend loads (src/serializer.cc of dmlc/treelite at version
4, 2026-11: little-endian; an array is its length as 64 bits and its numbers); UBJSON of XGBoost (https://ubjson.org,
draft 12; its "l" and "L" are signed and big-endian); skops: a ZIP of arrays and a JSON tree of objects without code.

A row passes one comparison at each level of each tree. How many that are on average follows from the training rows that
each leaf counts; where a file does not say, every leaf is taken as equally likely.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError
from advisor.models.files.tensors import Cursor, CutOff, header_of, mapped
from advisor.records import dataclass
from advisor.units import BYTES_PER_MIB

Numbers = npt.NDArray[np.float64]
Children = npt.NDArray[np.int64]
_MOST_DEPTH, _MOST_LEVELS, _LEVELS_OF_A_TREE = 10_000, 2_000_000, 10
"""Levels of a tree and of all trees: 100,000 of depth 10, each of which takes as long to begin as ten levels."""
_NUMBER = re.compile(r"[0-9]{1,7}")
_HINT = "save the model with Booster.save_model('model.ubj') or 'model.json'"
_LIGHTGBM_HINT = "save it with Booster.save_model('model.txt')"


@dataclass(frozen=True, slots=True)
class Tree:
    """Shape of one tree."""

    splits: int
    leaves: int
    depth: int
    """Comparisons on the longest way."""
    mean_depth: float
    """Comparisons of a training row."""


@dataclass(frozen=True, slots=True)
class Forest:
    """All trees of a model, and the weights of a linear one."""

    trees: tuple[Tree, ...]
    coefficients: int = 0
    values_per_leaf: int = 1
    columns: int | None = None
    """Values of a row; None where the file does not state them."""

    @property
    def parameters(self) -> int:
        """Thresholds, leaf values and coefficients."""
        return sum(tree.splits + tree.leaves * self.values_per_leaf for tree in self.trees) + self.coefficients

    @property
    def operations(self) -> float:
        """Operations of a row: a comparison at each level, an addition for each tree, two for each coefficient."""
        return sum(tree.mean_depth + self.values_per_leaf for tree in self.trees) + 2.0 * self.coefficients

    @property
    def sample(self) -> str:
        """One sample in words."""
        if not self.trees:
            return f"one row: {self.coefficients:,} coefficients"
        depths = [tree.depth for tree in self.trees]
        mean = sum(tree.mean_depth for tree in self.trees) / len(depths)
        return f"one row: {len(depths):,} trees of depth {max(depths)} at most, {mean:.1f} comparisons each on average"


def tree_of(left: Children, right: Children, weight: Numbers | None, where: str) -> Tree:
    """Shape of a tree from the children of its nodes, the root first; below 0: a leaf. Left: the comparison holds.

    *weight*: training rows, or what stands for them, at each node. Raises InputError if a child is not a node, or two
    nodes share one.
    """
    count = len(left)
    inner = left >= 0
    if not count or len(right) != count or not np.array_equal(inner, right >= 0):
        raise _unsound("its nodes have one child", where)
    children = np.concatenate([left[inner], right[inner]])
    if children.size and (children.max() >= count or np.unique(children).size != children.size or not children.min()):
        raise _unsound("a node is not the child of exactly one", where)
    depth = _depths(left, right, inner, where)
    leaves = ~inner & (depth >= 0)
    splits = inner & (depth >= 0)
    shares = weight[leaves] if weight is not None and len(weight) == count else np.ones(int(leaves.sum()))
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(shares.sum())
    if not np.isfinite(total) or total <= 0 or bool((shares < 0).any()):
        shares, total = np.ones(len(shares)), float(len(shares))
    mean = float((depth[leaves] * (shares / total)).sum())
    return Tree(int(splits.sum()), int(leaves.sum()), int(depth.max()), mean)


def bounded(trees: Iterable[Tree], where: str) -> tuple[Tree, ...]:
    """All trees of a model, built while those before are within bounds. Raises InputError for too many levels."""
    built: list[Tree] = []
    levels = 0
    for tree in trees:
        levels += tree.depth + _LEVELS_OF_A_TREE
        if levels > _MOST_LEVELS:
            told = f"more than {len(built):,} trees, of {_MOST_LEVELS:,} levels in all, are more than is read"
            raise InputError(told, where=where, hint="train fewer or shallower trees, or give a model for each class")
        built.append(tree)
    return tuple(built)


def _depths(left: Children, right: Children, inner: npt.NDArray[np.bool_], where: str) -> Children:
    """Level of each node that the root leads to, level by level; -1 for the others."""
    depth = np.full(len(left), -1, dtype=np.int64)
    level, at = np.zeros(1, dtype=np.int64), 0
    while level.size:
        if at > _MOST_DEPTH:
            raise _unsound(f"it is deeper than {_MOST_DEPTH:,} levels", where)
        depth[level] = at
        parents = level[inner[level]]
        level, at = np.concatenate([left[parents], right[parents]]), at + 1
    return depth


def _unsound(what: str, where: str) -> InputError:
    hint = "save the model again with the library that trained it"
    return InputError(f"no sound tree: {what}", where=where, hint=hint)


def whole_numbers(values: object, where: str) -> Children:
    """Numbers of a list or an array. Raises InputError if they are none."""
    array = _array(values)
    if array is None or not np.isfinite(array).all():
        raise _unsound("a list of numbers is expected", where)
    if array.size and np.abs(array).max() > 2**31:
        raise _unsound("a number of a node is larger than any tree", where)
    return array.astype(np.int64)


def real_numbers(values: object) -> Numbers | None:
    """Numbers of a list or an array; None where they are none."""
    array = _array(values)
    return None if array is None else array.astype(np.float64)


def _array(values: object) -> npt.NDArray[Any] | None:
    """Real numbers of a list or an array; None where it is nested, ragged, or holds anything else."""
    if not isinstance(values, np.ndarray):
        if not isinstance(values, list) or any(type(value) not in (int, float) for value in values):
            return None
        values = np.asarray(values)
    array: npt.NDArray[Any] = values
    return array if array.ndim == 1 and array.dtype.kind in "iuf" else None


def xgboost_forest(values: Mapping[str, Any], where: str) -> Forest:
    """Trees of XGBoost's JSON or UBJSON (its schema, version 1 to 3). Raises InputError if it is no such model."""
    booster = _inner(values, "learner", "gradient_booster")
    booster = _inner(booster, "gbtree") or booster  # DART keeps its trees one level deeper
    model = _inner(booster, "model")
    weights = real_numbers(model.get("weights", []))
    if weights is None:
        raise InputError("the weights of the linear model are not a list of numbers", where=where, hint=_HINT)
    if weights.size:
        return Forest((), coefficients=weights.size)
    listed = model.get("trees")
    if not isinstance(listed, list) or not listed:
        raise InputError("there are no trees in learner.gradient_booster.model", where=where, hint=_HINT)
    trees = bounded((_xgboost_tree(tree, f"{where}: tree {at}") for at, tree in enumerate(listed)), where)
    return Forest(trees, columns=_columns(_inner(values, "learner", "learner_model_param").get("num_feature")))


def _xgboost_tree(tree: object, where: str) -> Tree:
    fields = tree if isinstance(tree, dict) else {}
    left, right = (whole_numbers(fields.get(f"{side}_children"), where) for side in ("left", "right"))
    return tree_of(left, right, real_numbers(fields.get("sum_hessian")), where)


def _columns(stated: object, before: int = 0) -> int | None:
    """Columns of a row: a number that a file states as text, and those before it; None where there are none."""
    if not isinstance(stated, str) or not _NUMBER.fullmatch(stated):
        return None
    return int(stated) + before or None


def _inner(values: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        nested = values.get(name)
        values = nested if isinstance(nested, dict) else {}
    return values


def lightgbm_forest(text: str, where: str) -> Forest:
    """Trees of a model that LightGBM saved as text (version 3 or 4).

    Raises InputError if it is no such model, or cut off: without the line after the trees, or with other trees than its
    head lists sizes of.
    """
    body, ending, _ = text.partition("\nend of trees")
    head_lines, *blocks = body.split("\nTree=")
    head = dict(line.split("=", 1) for line in head_lines.splitlines() if "=" in line)
    listed = len(head["tree_sizes"].split()) if "tree_sizes" in head else len(blocks)
    if not blocks:
        raise InputError("there is no tree in the file", where=where, hint=_LIGHTGBM_HINT)
    if not ending or listed != len(blocks):
        fault = f"has {len(blocks):,} of {listed:,} trees" if listed != len(blocks) else "has no line 'end of trees'"
        raise InputError(f"the file is cut off: it {fault}", where=where, hint=f"copy it again, or {_LIGHTGBM_HINT}")
    trees = bounded((_lightgbm_tree(block, f"{where}: tree {at}") for at, block in enumerate(blocks)), where)
    return Forest(trees, columns=_columns(head.get("max_feature_idx"), before=1))


def _lightgbm_tree(block: str, where: str) -> Tree:
    """A tree whose leaves are the negative children: -1 the first, -2 the second."""
    lines = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    left, right = (_parsed(lines.get(f"{side}_child", ""), where) for side in ("left", "right"))
    rows = _parsed(lines.get("leaf_count", ""), where)
    if not left.size:
        return Tree(0, 1, 0, 0.0)
    splits = len(left)
    leaf = np.full(splits + 1, -1, dtype=np.int64)
    is_complete = len(rows) == splits + 1
    weight = np.concatenate([np.zeros(splits), rows.astype(np.float64)]) if is_complete else None
    left, right = (np.concatenate([np.where(side < 0, splits - 1 - side, side), leaf]) for side in (left, right))
    return tree_of(left, right, weight, where)


def _parsed(text: str, where: str) -> Children:
    try:
        return whole_numbers([float(word) for word in text.split()] or np.zeros(0), where)
    except ValueError as error:
        raise _unsound(f"a list of numbers is expected, not {text[:40]!r}", where) from error


def ensemble_forest(attributes: Mapping[str, object], where: str) -> Forest:
    """Trees of ONNX's TreeEnsemble operators. Raises InputError if its lists do not fit each other."""
    names = ("nodes_treeids", "nodes_nodeids", "nodes_truenodeids", "nodes_falsenodeids")
    trees, numbers, left, right = (whole_numbers(attributes.get(name, []), where) for name in names)
    modes = attributes.get("nodes_modes")
    is_leaf = np.array([mode == "LEAF" for mode in modes] if isinstance(modes, list) else [], dtype=np.bool_)
    if not trees.size or len({len(column) for column in (trees, numbers, left, right, is_leaf)}) > 1:
        raise _unsound("its lists of nodes differ in length", where)
    order = np.lexsort((numbers, trees))
    edges = np.flatnonzero(np.diff(trees[order])) + 1
    left, right = np.where(is_leaf, -1, left), np.where(is_leaf, -1, right)
    parts = np.split(order, edges)
    grown = (tree_of(left[part], right[part], None, f"{where}: tree {at}") for at, part in enumerate(parts))
    return Forest(bounded(grown, where))


def joined(forests: Iterable[Forest]) -> Forest:
    """Several groups of trees as one model."""
    parts = list(forests)
    trees = tuple(tree for part in parts for tree in part.trees)
    return Forest(trees, sum(part.coefficients for part in parts))


_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_WORDS = {"Z": None, "T": True, "F": False}
_MOST_UBJSON_DEPTH, _MOST_KEY, _MOST_UBJSON_TEXT, _MOST_VALUES = 64, 4096, 2**24, 5_000_000


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
        if depth > _MOST_UBJSON_DEPTH or self.met > _MOST_VALUES:
            raise CutOff("it nests too deeply" if depth > _MOST_UBJSON_DEPTH else f"more than {_MOST_VALUES:,} values")
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
_TREELITE_HINT = "write it again with treelite 4: treelite.sklearn.import_model(model).serialize('checkpoint.tl')"
_WIDTHS = {2: 4, 3: 8}
"""Bytes of a threshold or a leaf's value by the code of its type: 32-bit and 64-bit floats."""
_MOST_TREES, _MOST_OPTIONAL, _MOST_TEXT = 1_000_000, 1000, 1 << 20
_MOST_COLUMNS = _MOST_CLASSES = 1_000_000


def read_treelite(path: Path) -> Forest:
    """Trees of a checkpoint. Raises InputError if it is none of version 4, cut off, or holds no single target."""
    try:
        return _forest(Cursor(mapped(path, "treelite checkpoint", _TREELITE_HINT)), str(path))
    except CutOff as error:
        raise InputError(f"no sound treelite checkpoint: {error}", where=str(path), hint=_TREELITE_HINT) from error


def _forest(cursor: Cursor, where: str) -> Forest:
    major, minor, patch = (cursor.number("<i") for _ in range(3))
    if major != _MAJOR:
        told = f"a treelite checkpoint of version {major}.{minor}.{patch}, where {_MAJOR} is read"
        raise InputError(told, where=where, hint=_TREELITE_HINT)
    widths = [_WIDTHS.get(cursor.number("<B"), 0) for _ in range(2)]
    trees, columns = cursor.number("<Q"), cursor.number("<i")
    cursor.take(2)  # kind of task, and whether trees are averaged
    targets = cursor.number("<i")
    if not all(widths) or not 0 < trees <= _MOST_TREES or not 0 < columns <= _MOST_COLUMNS:
        raise InputError("no sound treelite checkpoint: its header", where=where, hint=_TREELITE_HINT)
    if targets != 1:
        raise InputError(f"the trees predict {targets} targets, and one is planned", where=where, hint="save one each")
    classes, leaf_shape = (_stored_array(cursor, "<i4").tolist() for _ in range(2))
    counts = (*classes, *leaf_shape)
    if len(classes) != 1 or len(leaf_shape) != 2 or not all(0 < count <= _MOST_CLASSES for count in counts):
        raise InputError("no sound treelite checkpoint: its classes", where=where, hint=_TREELITE_HINT)
    values_per_leaf = min(prod(leaf_shape), _MOST_CLASSES)
    for _ in range(2):
        _stored_array(cursor, "<i4")  # target and class of each tree
    cursor.text(cursor.number("<Q"), _MOST_TEXT)
    cursor.take(2 * 4)  # scales of the postprocessor
    _stored_array(cursor, "<f8")
    cursor.text(cursor.number("<Q"), _MOST_TEXT)
    _skip_optional(cursor)
    return Forest(bounded(_trees(cursor, trees, widths, where), where), 0, values_per_leaf, columns)


def _trees(cursor: Cursor, count: int, widths: list[int], where: str) -> Iterator[Tree]:
    threshold_bytes, leaf_bytes = widths
    for index in range(count):
        cursor.take(4 + 1)  # number of nodes, and whether a split is by category
        _stored_array(cursor, "u1")  # kinds of nodes
        left, right = _stored_array(cursor, "<i4"), _stored_array(cursor, "<i4")
        for size in (4, 1, leaf_bytes, threshold_bytes, 1, 1, leaf_bytes, 8, 8, 4, 8, 8):
            _stored_array(cursor, f"V{size}")
        rows, has_rows = _stored_array(cursor, "<u8"), _stored_array(cursor, "u1")
        hessians, has_hessians = _stored_array(cursor, "<f8"), _stored_array(cursor, "u1")
        _stored_array(cursor, "<f8")
        _stored_array(cursor, "u1")
        for _ in range(2):
            _skip_optional(cursor)
        counted = rows if has_rows.any() else hessians if has_hessians.any() else None
        weight = None if counted is None else counted.astype(np.float64)
        yield tree_of(left.astype(np.int64), right.astype(np.int64), weight, f"{where}: tree {index}")


def _stored_array(cursor: Cursor, form: str) -> npt.NDArray[np.generic]:
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
"""Errors of the standard library on a damaged or an encrypted ZIP."""


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
