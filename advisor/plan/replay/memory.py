"""Memory of what was worked out, kept in dictionaries, and copies of it."""

import copy
from typing import TypeVar

Kept = TypeVar("Kept")


def with_own_memory(keeper: Kept) -> Kept:
    """An object whose dictionaries are copies: what it learns from here on is its own."""
    other = copy.copy(keeper)
    other.__dict__ |= {name: dict(kept) for name, kept in keeper.__dict__.items() if isinstance(kept, dict)}
    return other
