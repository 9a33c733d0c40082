"""Models of decision trees in formats that run no code: XGBoost (JSON, UBJSON), LightGBM (text), scikit-learn (skops).

A row passes one comparison at each level of each tree. How many that are on average follows from the training rows that
each leaf counts; where a file does not say, every leaf is taken as equally likely.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError
from advisor.records import dataclass

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
