"""Checkpoints of treelite: trees of scikit-learn, XGBoost and LightGBM in the format that Triton's FIL backend loads.

Layout: src/serializer.cc of dmlc/treelite at version 4 (2026-11), little-endian; an array is its length as 64 bits and
its numbers.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError
from advisor.models.files.mapped import Cursor, CutOff, mapped
from advisor.models.files.trees import Forest, Tree, bounded, tree_of

_MAJOR = 4
_HINT = "write it again with treelite 4: treelite.sklearn.import_model(model).serialize('checkpoint.tl')"
_WIDTHS = {2: 4, 3: 8}
"""Bytes of a threshold or a leaf's value by the code of its type: 32-bit and 64-bit floats."""
_MOST_TREES, _MOST_OPTIONAL, _MOST_TEXT = 1_000_000, 1000, 1 << 20
_MOST_COLUMNS = _MOST_CLASSES = 1_000_000


def read_treelite(path: Path) -> Forest:
    """Trees of a checkpoint.

    Raises:
        InputError: it is none of version 4, cut off, or holds no single target.
    """
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
    if (
        len(classes) != 1
        or len(leaf_shape) != 2
        or not all(0 < each <= _MOST_CLASSES for each in (*classes, *leaf_shape))
    ):
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
