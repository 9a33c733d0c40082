"""Names of a fleet's groups, what makes replicas alike, and the routes that requests take to them."""

import math
from collections.abc import Iterator, Mapping, Sequence

from advisor.candidates import Candidate
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.values import ReplayGroup, Route
from advisor.plan.solve.shares import targets, weights
from advisor.plan.solve.stage import Formulation
from advisor.records import replace

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
