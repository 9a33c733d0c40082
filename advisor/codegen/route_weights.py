"""A program on the cluster that sets the weight of backends without ready pods to 0: routers go on sending to them.

What routers do with such a backend, with sources: docs/targets.md, "Empty backends".
"""

import hashlib
from collections.abc import Mapping, Sequence

from advisor.codegen.model import Stack
from advisor.codegen.templates import fill
from advisor.records import dataclass

_IMAGE = "python:3.14-alpine"
_HASH_DIGITS = 12
_USER = 2000
"""The unprivileged one that the engines run as too."""


@dataclass(frozen=True, slots=True)
class WeightedBackend:
    """A backend, or a service of KServe, whose weight is 0 while it has no ready pod."""

    weight: int
    """As planned."""
    rests: Sequence[tuple[int, int]]
    """Minutes of the week at which the plan has no pod of it: from the first of a pair to before the second."""
    deployments: tuple[str, ...]
    """Names of those with its pods."""


def route_weights(stack: Stack, weighted_backends: Mapping[str, WeightedBackend], *, by_service: bool = False) -> str:
    """The objects of the program as YAML.

    *weighted_backends*: by the name in the route, or of the service. *by_service*: the weights are those of KServe's
    services, not of the route ``inference``.
    """
    context = {
        "stack": stack,
        "weighted_backends": weighted_backends,
        "by_service": by_service,
        "image": _IMAGE,
        "user": _USER,
    }
    unmarked = fill("kubernetes", "route-weights.yaml.j2", context | {"digest": ""})
    mark = hashlib.sha256(unmarked.encode()).hexdigest()[:_HASH_DIGITS]
    return fill("kubernetes", "route-weights.yaml.j2", context | {"digest": mark})
