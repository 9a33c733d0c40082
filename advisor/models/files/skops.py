"""scikit-learn models as skops saves them: a ZIP of arrays and a JSON tree of objects, neither of which runs code."""

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
from advisor.models.files.mapped import header_of
from advisor.models.files.trees import Forest, Tree, bounded, real_numbers, tree_of, whole_numbers
from advisor.units import BYTES_PER_MIB

_SCHEMA = "schema.json"
_MOST_FILES, _MOST_BYTES = 100_000, 512 * BYTES_PER_MIB
_HINT = "save the model again with skops.io.dump(model, 'model.skops')"
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
    """Trees and coefficients of a model.

    Raises:
        InputError: it cannot be read, unpacks to too much, or holds neither.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _forest(_Archive(archive, str(path)), str(path))
    except _FAILURES as error:
        raise InputError(f"no sound skops file: {error}", where=str(path), hint=_HINT) from error


class _Archive:
    """The entries of a ZIP, of which no more is unpacked than is allowed."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.archive = archive
        self.where = where
        entries = archive.infolist()
        total = sum(entry.file_size for entry in entries)
        if len(entries) > _MOST_FILES or total > _MOST_BYTES:
            raise InputError(
                f"{len(entries):,} files of {total:,} bytes in all are more than is read", where=where, hint=_HINT
            )

    def content(self, name: str) -> bytes:
        """An entry, no longer than it says."""
        try:
            with self.archive.open(name) as stream:
                return stream.read(_MOST_BYTES)
        except KeyError as error:
            raise InputError(f"the entry {name[:60]!r} is missing", where=self.where, hint=_HINT) from error

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
            raise InputError("it is no array of numbers", where=f"{self.where}: {name[:60]}", hint=_HINT) from error


def _forest(archive: _Archive, where: str) -> Forest:
    schema = header_of(archive.content(_SCHEMA).decode("utf-8", "replace"), f"{where}: {_SCHEMA}", _HINT)
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
    trees = bounded((tree for array, place in nodes for tree in _trees(array, place)), where)
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


def _trees(nodes: npt.NDArray[Any], where: str) -> list[Tree]:
    """The tree whose nodes an array holds, where it holds nodes."""
    names = nodes.dtype.names or ()
    for left, right, weight in _SIDES:
        if left in names and right in names and nodes.ndim == 1:
            is_leaf = nodes["is_leaf"] if "is_leaf" in names else np.zeros(len(nodes), dtype=np.bool_)
            children = [np.where(is_leaf, -1, whole_numbers(nodes[side], where)) for side in (left, right)]
            rows = real_numbers(nodes[weight]) if weight in names else None
            return [tree_of(children[0], children[1], rows, where)]
    return []
