"""Workloads by what they allow: whether all that is allowed by one is by another, and what either of two allows."""

from typing import Any, TypeVar

from advisor.records import replace
from advisor.workload.values import Workload

_Name = TypeVar("_Name", bound=str)
_WIDENED = ("providers", "regions", "accelerators", "instance_types", "precisions", "purchase")
"""Keys of a workload that differ between rungs."""
_ANY_IF_EMPTY = ("accelerators", "instance_types")
"""Those of which none means any."""


def is_within(narrow: Workload, wide: Workload) -> bool:
    """Whether a workload allows no more than another."""
    return all(_fits(key, getattr(narrow, key), getattr(wide, key)) for key in _WIDENED)


def _fits(key: str, narrow: tuple[str, ...], wide: tuple[str, ...]) -> bool:
    is_any = key in _ANY_IF_EMPTY
    return (is_any and not wide) or (set(narrow) <= set(wide) and not (is_any and not narrow))


def union(stated: Workload, rung: Workload) -> Workload:
    """Union of what two workloads allow."""
    both: dict[str, Any] = {}
    for key in _WIDENED:
        some, others = getattr(stated, key), getattr(rung, key)
        is_any = key in _ANY_IF_EMPTY and not (some and others)
        both[key] = () if is_any else joined(some, others)
    return replace(stated, **both)


def joined(some: tuple[_Name, ...], others: tuple[_Name, ...]) -> tuple[_Name, ...]:
    """All names, each once, in order."""
    return tuple(dict.fromkeys((*some, *others)))
