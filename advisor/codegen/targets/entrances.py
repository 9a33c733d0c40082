"""Entrances: what stands before all that answers in a region, at an address that outlives every change behind it."""

from collections.abc import Sequence
from typing import Protocol

from advisor.codegen.model import Stack

ENTRANCE_HEALTH = "/entrance/health"
"""Path by which an entrance says that it works, and something behind it too."""
ENTRANCE_ALIVE = "/entrance/alive"
"""Path by which an entrance says that it works, whatever is behind it."""
_LARGEST_WEIGHT = 256
"""Of a server in HAProxy."""


class Weighted(Protocol):
    """A backend or a group."""

    @property
    def region(self) -> str:
        """Region that it answers in."""

    @property
    def weight(self) -> int:
        """Per mille of all requests."""


def entrance_weight(places: Sequence[Weighted], place: Weighted) -> int:
    """Weight of a place among those of its region as HAProxy takes it, 0 to 256; all are equal where all are 0."""
    largest = max(other.weight for other in places if other.region == place.region)
    if largest == 0:
        return 1
    return 0 if place.weight == 0 else max(1, round(_LARGEST_WEIGHT * place.weight / largest))


def health_path(stack: Stack, region: str) -> str:
    """Path that all engines of a region answer health checks at."""
    return _health_paths(stack, region)[0]


def obstacle_to_entrances(stack: Stack) -> str:
    """Why the engines of a region cannot stand behind one entrance; empty when they can."""
    for region in stack.regions:
        if len(_health_paths(stack, region.name)) > 1:
            return f"engines in {region.name} answer health checks at different paths, and share an entrance"
    return ""


def _health_paths(stack: Stack, region: str) -> list[str]:
    return sorted({backend.container.health_path for backend in stack.backends if backend.region == region})
