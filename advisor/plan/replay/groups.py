"""Groups of a fleet as they are replayed: names, routes of requests to them, and a share of both at equal load."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from advisor.candidates import Candidate
from advisor.demand.synthetic_trace import SyntheticTrace
from advisor.demand.trace_columns import Requests
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.values import ReplayGroup, Route
from advisor.plan.solve.shares import targets, weights
from advisor.plan.solve.stage import Formulation
from advisor.records import dataclass, replace

ROUNDING = 1e-9
Key = tuple[object, ...]


def name_of(allocation: Allocation) -> str:
    """Name of a group: its pool and how it is paid for."""
    label = f"/{allocation.tariff.label}" if allocation.tariff.label else ""
    return f"{allocation.pool.key}/{allocation.tariff.paid}{label}"


def deployment_key(candidate: Candidate) -> Key:
    """Key of replicas that are equally fast and hold as much."""
    machine = "" if candidate.partition else candidate.instance_type.interconnect
    memory = round(candidate.memory.kv_cache_gib_available, 6)
    layout = (candidate.tensor_parallel, candidate.pipeline_parallel, candidate.partition, machine)
    link = (candidate.instance_type.network_gbit_per_second, candidate.replicas_per_instance)
    own = (memory, *layout, *(link if candidate.batcher else ()))
    return candidate.accelerator.name, candidate.precision, candidate.engine, candidate.engine_version, *own


def routes_of(formulation: Formulation, solution: FleetSolution) -> Iterator[Route]:
    """Routes of the requests of each place and bucket: the weights that the generated code writes."""
    of_target, target_of = weights(formulation.problem, solution), targets(solution)
    parts = {
        name_of(allocation): (of_target[target_of[allocation.pool.key]], part)
        for allocation, part in zip(solution.allocations, _parts_of_targets(solution, target_of), strict=True)
    }
    edges = (*formulation.bucket_edges[:-1], math.inf)
    for place in range(len(formulation.problem.place_shares)):
        for bucket, longest in enumerate(edges):
            shares = {name: float(share[place, bucket]) * part for name, (share, part) in parts.items()}
            yield Route(longest, shares, place)


def routes_left(
    routes: tuple[Route, ...], groups: Sequence[ReplayGroup], left: Sequence[ReplayGroup]
) -> tuple[Route, ...]:
    """Routes of a balancer that splits requests by the instances that are up, after a failure.

    Args:
        routes: before it.
        groups: of the fleet.
        left: the same groups, without what fails.
    """
    kept = {
        group.name: max(after.instances_by_hour) / max(group.instances_by_hour)
        for group, after in zip(groups, left, strict=True)
        if max(group.instances_by_hour)
    }
    return tuple(_kept_route(route, kept) for route in routes)


def _kept_route(route: Route, kept: Mapping[str, float]) -> Route:
    shares = {name: share * kept.get(name, 0.0) for name, share in route.shares.items()}
    whole = sum(shares.values())
    if not whole:
        return route
    factor = sum(route.shares.values()) / whole
    return replace(route, shares={name: share * factor for name, share in shares.items()})


def _parts_of_targets(solution: FleetSolution, target_of: Mapping[str, str]) -> Iterator[float]:
    """Share of its target's instances that each group has in the busiest hours."""
    whole: dict[str, int] = {}
    for allocation in solution.allocations:
        target = target_of[allocation.pool.key]
        whole[target] = whole.get(target, 0) + allocation.instances[-1]
    for allocation in solution.allocations:
        count = whole[target_of[allocation.pool.key]]
        yield allocation.instances[-1] / count if count else 0.0


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
