"""Small whole numbers that an ONNX graph computes: shapes that it takes apart and puts together again."""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from advisor.models.files.onnx_graph import Integers, Node

MOST_VALUES = 1024
"""Longest list of numbers that is followed."""


class UnknownShape(LookupError):  # noqa: N818 - a value that is missing, met by every rule
    """A shape or a value that cannot be told."""


def _axes(node: Node, given: Sequence[Integers]) -> list[int]:
    return [int(axis) for axis in given[1].ravel()] if len(given) > 1 else node.integers("axes")


def _folded_slice(_node: Node, given: Sequence[Integers]) -> Integers:
    starts = given[1].ravel()
    axes = given[3].ravel() if len(given) > 3 else np.arange(len(starts))
    steps = given[4].ravel() if len(given) > 4 else np.ones(len(starts), dtype=np.int64)
    cut = [slice(None)] * given[0].ndim
    for start, end, axis, step in zip(starts, given[2].ravel(), axes, steps, strict=True):
        cut[int(axis)] = slice(int(start), int(end), int(step))
    return given[0][tuple(cut)]


def _folded_filling(node: Node, given: Sequence[Integers]) -> Integers:
    shape = [int(size) for size in given[0]]
    if prod(shape) > MOST_VALUES:
        raise UnknownShape("ConstantOfShape")
    return np.full(shape, node.integer("value", 0), dtype=np.int64)


def _folded_transpose(node: Node, given: Sequence[Integers]) -> Integers:
    return np.transpose(given[0], node.integers("perm") or None)


def _folded_unsqueeze(node: Node, given: Sequence[Integers]) -> Integers:
    return given[0] if given[0].ndim else given[0].reshape((1,) * max(len(_axes(node, given)), 1))


def _folded_range(_node: Node, given: Sequence[Integers]) -> Integers:
    start, end, step = (int(value.ravel()[0]) for value in given)
    numbers = range(start, end, step)
    if len(numbers) > MOST_VALUES:
        raise UnknownShape("Range")
    return np.array(numbers, dtype=np.int64)


FOLDS: Mapping[str, Callable[[Node, Sequence[Integers]], Integers]] = {
    "Identity": lambda _, given: given[0],
    "Cast": lambda _, given: given[0],
    "Gather": lambda node, given: np.take(given[0], given[1], axis=node.integer("axis", 0)),
    "Unsqueeze": _folded_unsqueeze,
    "Squeeze": lambda _, given: given[0].reshape(()) if given[0].size == 1 else given[0],
    "Reshape": lambda _, given: given[0].reshape([int(size) for size in given[1]]),
    "Concat": lambda _, given: np.concatenate([np.atleast_1d(value) for value in given]),
    "Slice": _folded_slice,
    "ConstantOfShape": _folded_filling,
    "Transpose": _folded_transpose,
    "Range": _folded_range,
    "Add": lambda _, given: given[0] + given[1],
    "Sub": lambda _, given: given[0] - given[1],
    "Mul": lambda _, given: given[0] * given[1],
    "Div": lambda _, given: given[0] // given[1],
    "Mod": lambda _, given: given[0] % given[1],
    "Neg": lambda _, given: -given[0],
    "Min": lambda _, given: np.minimum.reduce(list(given)),
    "Max": lambda _, given: np.maximum.reduce(list(given)),
    "Equal": lambda _, given: given[0] == given[1],
    "Where": lambda _, given: np.where(given[0], given[1], given[2]),
    "ReduceProd": lambda _, given: np.prod(given[0], keepdims=True),
}
"""Operations on whole numbers, by name."""
