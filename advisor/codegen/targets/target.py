"""Target: one way of running containers on one cloud, how its code is rendered, and what entrances ask of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from advisor.codegen.model import Stack
from advisor.codegen.wanted import Language
from advisor.records import dataclass, field

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


Files = Mapping[str, str]
"""Relative path → text."""
Render = Callable[[Stack], Files]


def nothing_against(_stack: Stack) -> str:
    """A target that takes every stack of its provider."""
    return ""


def against_adapters(stack: Stack, what: str) -> str:
    """Why *what* takes no LoRA adapters, where the stack has any; empty where it has none."""
    has_adapters = any("--enable-lora" in backend.container.arguments for backend in stack.backends)
    return f"no code is generated that gives LoRA adapters to a {what}" if has_adapters else ""


@dataclass(frozen=True, slots=True)
class Target:
    """Place where containers run."""

    name: str
    """As in ``--target``."""
    provider: str
    """Cloud; "": all others, on whose clusters the nodes are the user's to make."""
    title: str
    """For people, such as ``EC2 Auto Scaling``."""
    renderers: Mapping[Language, Render] = field(hash=False)
    """How the code of each language is written."""
    obstacle: Callable[[Stack], str] = nothing_against
    """Why a stack cannot run there; empty when it can."""
    completed: Callable[[Stack], Stack] = lambda stack: stack
    """Stack, in the stage of its cut-over, with what the target adds to cost and cautions of the plan."""
    takes_cache: bool = False
    """Code is written for a response cache in front of the fleet, from ``cache_place`` among its templates."""
    takes_turns: bool = False
    """Its nodes hand out a GPU to several pods that take turns on it."""
    divides_by_mps: bool = False
    """Its nodes hand out equal parts of a GPU to several pods by MPS."""
    is_cluster: bool = False
    """Containers run on Kubernetes, in whichever form is asked for."""
