"""Entries of documents and tables that are attributes of values."""

from typing import Any


def picked(value: object, *names: str) -> dict[str, Any]:
    """Attributes of a value under their own names, in this order.

    Raises:
        AttributeError: it has no such attribute.
    """
    return {name: getattr(value, name) for name in names}
