"""Entrances: what stands before several places that answer in a region, where the cloud's balancer has no weights."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

ENTRANCE_HEALTH = "/entrance/health"
"""Path by which an entrance says that it and what stands behind it work."""
_LARGEST_WEIGHT = 256
"""Of a server in HAProxy."""


class Weighted(Protocol):
    """A backend or a group."""

    @property
    def region(self) -> str:
        """Where it answers."""

    @property
    def weight(self) -> int:
        """Per mille of all requests."""


def mixed_regions(places: Sequence[Weighted]) -> list[str]:
    """Regions in which several places answer."""
    counts = Counter(place.region for place in places)
    return sorted(region for region, count in counts.items() if count > 1)


def entrance_weight(places: Sequence[Weighted], place: Weighted) -> int:
    """Weight of a place among those of its region as HAProxy takes it, 0 to 256; all are equal where all are 0."""
    largest = max(other.weight for other in places if other.region == place.region)
    if largest == 0:
        return 1
    return 0 if place.weight == 0 else max(1, round(_LARGEST_WEIGHT * place.weight / largest))
