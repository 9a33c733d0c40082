"""A share of a fleet's replicas under a share of its requests, each as busy as in the whole fleet."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from advisor.demand.synthetic_trace import SyntheticTrace
from advisor.demand.trace_columns import Requests
from advisor.plan.replay.values import ReplayGroup, Route
from advisor.records import dataclass, replace

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class ScaledFleet:
    """A share of a fleet's replicas, each as busy as in the whole fleet."""

    rehearsal: SyntheticTrace
    groups: Sequence[ReplayGroup]
    routes: tuple[Route, ...]
    share: float
    """Share of the rehearsal's requests that keeps them so."""


def scaled(
    groups: Sequence[ReplayGroup], routes: tuple[Route, ...], scale: float
) -> tuple[Sequence[ReplayGroup], tuple[Route, ...]]:
    """About such a share of a fleet's replicas, and the share of all requests that each group receives.

    A group keeps a whole number of replicas in its quietest hours, and as large a share of them in all others.
    """
    kept = {group.name: _kept_ratio(group, scale) for group in groups}
    fewer = [
        replace(group, replicas_per_instance=1, instances_by_hour=tuple(
            int(count * group.replicas_per_instance * kept[group.name] + ROUNDING) for count in group.instances_by_hour
        ))
        for group in groups
    ]  # fmt: skip
    lighter = tuple(
        replace(route, shares={name: share * kept[name] for name, share in route.shares.items()}) for route in routes
    )
    return fewer, lighter


def _kept_ratio(group: ReplayGroup, scale: float) -> float:
    """The least share of a group's replicas from a scale on of which there are whole ones in its quietest hours."""
    fewest = min((count for count in group.instances_by_hour if count), default=1) * group.replicas_per_instance
    return math.ceil(scale * fewest - ROUNDING) / fewest


def thinned(requests: Requests, share: float) -> Requests:
    """A share of requests, evenly spread over them."""
    if share >= 1:
        return requests
    size = requests.seconds.size
    kept = np.arange(0, size, 1 / share).astype(np.intp)
    # The last place may be rounded up to the end.
    return part_of(requests, kept[(np.diff(kept, prepend=-1) > 0) & (kept < size)])


def without_lost(group: ReplayGroup) -> ReplayGroup:
    """A group that loses an instance, without it at any time: at a scale an instance stands for several."""
    if group.lost_at is None:
        return group
    return replace(group.without_one(), lost_at=None)


def part_of(requests: Requests, part: slice | npt.NDArray[np.intp]) -> Requests:
    """Some of the requests, in their order."""
    places = None if requests.places is None else requests.places[part]
    return replace(
        requests,
        seconds=requests.seconds[part],
        input_tokens=requests.input_tokens[part],
        output_tokens=requests.output_tokens[part],
        places=places,
    )
