"""Entries of documents and tables that are attributes of values."""

from collections.abc import Iterable, Mapping
from typing import Any


def picked(value: object, *names: str) -> dict[str, Any]:
    """Attributes of a value under their own names, in this order.

    Raises:
        AttributeError: it has no such attribute.
    """
    return {name: getattr(value, name) for name in names}


def first_of(labels: Mapping[str, str], names: Iterable[str]) -> str:
    """The first label of these names that is there and not empty; "" where none is."""
    return next((labels[name] for name in names if labels.get(name)), "")
