"""Groups of a fleet as they are replayed: names, routes, a share of both at equal load; the better of two replays."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from advisor.candidates import Candidate
from advisor.demand.synthetic_trace import SyntheticTrace
from advisor.demand.values import Requests
from advisor.plan.fleet.chosen import Confirmation, LatencyDistribution
from advisor.plan.problem.formulas import busiest_class
from advisor.plan.problem.values import Allocation, FleetSolution, Infeasible
from advisor.plan.replay.values import ReplayGroup, Route
from advisor.plan.solve.shares import planned_rates, targets, weights
from advisor.plan.solve.solver import HALF_A_CENT
from advisor.plan.solve.stage import Formulation
from advisor.records import dataclass, replace
from advisor.units import A_CENT, ROUNDING

Floats = npt.NDArray[np.float64]
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


def shares_sent(name: str, routes: Sequence[Route], requests: Requests) -> Floats:
    """Share of each request that is sent to a group, (n,), by its place and prompt."""
    shares = np.zeros(requests.seconds.size)
    shorter = dict.fromkeys((route.place for route in routes), -math.inf)
    for route in routes:
        here = (requests.input_tokens > shorter[route.place]) & (requests.input_tokens <= route.max_input_tokens)
        if requests.places is not None:
            here &= requests.places == route.place
        shares[here] = route.shares.get(name, 0.0) / (sum(route.shares.values()) or 1.0)
        shorter[route.place] = route.max_input_tokens
    return shares


def _kept_route(route: Route, kept: Mapping[str, float]) -> Route:
    shares = {name: share * kept.get(name, 0.0) for name, share in route.shares.items()}
    whole = sum(shares.values())
    if not whole:
        return route
    factor = sum(route.shares.values()) / whole
    return replace(route, shares={name: share * factor for name, share in shares.items()})


def _parts_of_targets(solution: FleetSolution, target_of: Mapping[str, str]) -> Iterator[float]:
    """Share of its target's instances that each group has in the busiest hours in which there are any."""
    of_target: dict[str, list[tuple[int, ...]]] = {}
    for allocation in solution.allocations:
        of_target.setdefault(target_of[allocation.pool.key], []).append(allocation.instances)
    whole = {target: np.sum(counts, axis=0) for target, counts in of_target.items()}
    for allocation in solution.allocations:
        counts = whole[target_of[allocation.pool.key]]
        at = busiest_class(counts)
        yield allocation.instances[at] / float(counts[at]) if counts[at] else 0.0


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


def at_scale(
    groups: Sequence[ReplayGroup], routes: tuple[Route, ...], rehearsed: Callable[[float | None], SyntheticTrace]
) -> ScaledFleet:
    """A fleet at the scale of a rehearsal that has requests enough for it.

    Args:
        groups: of the fleet.
        routes: of the requests.
        rehearsed: the rehearsal at a scale; without one, at the scale that keeps its requests few.
    """
    rehearsal = rehearsed(None)
    scale = rehearsal.scale
    if scale == 1:
        return ScaledFleet(rehearsal, groups, routes, 1.0)
    groups, routes = scaled([without_lost(group) for group in groups], routes, scale)
    wanted = max(sum(route.shares.values()) for route in routes)
    larger = min(scale * 2 ** math.ceil(math.log2(max(wanted / scale, 1.0))), 1.0)
    rehearsal = rehearsal if larger == scale else rehearsed(larger)
    return ScaledFleet(rehearsal, groups, routes, wanted / rehearsal.scale)


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
    return replace(
        requests,
        seconds=requests.seconds[part],
        input_tokens=requests.input_tokens[part],
        output_tokens=requests.output_tokens[part],
        places=None if requests.places is None else requests.places[part],
        weights=None if requests.weights is None else requests.weights[part],
    )


@dataclass(frozen=True, slots=True, eq=False)
class Confirmed:
    """A fleet and its replay."""

    solution: FleetSolution
    """Its pools carry what they are planned to, after the headroom."""
    formulation: Formulation
    """With the headroom that was needed."""
    confirmation: Confirmation
    latencies: tuple[LatencyDistribution, ...] = ()
    """Latencies of its replay; empty of a fleet that is only compared."""
    cheapest: "Confirmed | None" = None
    """The cheapest fleet where this is a simpler one; None where it is this one."""

    is_limit: bool = False
    """Whether its cost is what others have to be below, not what it costs itself."""

    @property
    def usd_per_month(self) -> float:
        """Cost in USD a month."""
        return self.solution.objective_usd_per_month

    def as_if_at(self, usd_per_month: float) -> "Confirmed":
        """The fleet at another cost: what a cheaper one has to cost less than."""
        solution = replace(self.solution, objective_usd_per_month=usd_per_month, bound_usd_per_month=usd_per_month)
        return replace(self, solution=solution, is_limit=True)

    def planned_rates(self) -> Mapping[str, float]:
        """Requests per second that one instance of each group is planned to carry, by the group's name."""
        of_pool = planned_rates(self.formulation.problem, self.solution)
        return {name_of(allocation): of_pool[allocation.pool.key] for allocation in self.solution.allocations}


def same(confirmed: Confirmed, other: Confirmed) -> bool:
    """Whether two fleets have the same instances."""
    return instances_of(confirmed.solution) == instances_of(other.solution)


def instances_of(solution: FleetSolution) -> frozenset[tuple[str, tuple[int, ...]]]:
    """Names of the groups of a fleet with the instances of each: what tells fleets apart."""
    return frozenset((name_of(allocation), allocation.instances) for allocation in solution.allocations)


def worst_share(confirmed: Confirmed) -> float:
    """The least of the shares of requests that its replays find within every target."""
    return confirmed.confirmation.least[0]


def closer(confirmed: Confirmed | None, other: Confirmed) -> Confirmed:
    """The fleet that comes closer to holding; of two as close, to a hundredth of a percent, the cheaper one."""
    if confirmed is None:
        return other
    return max(confirmed, other, key=lambda fleet: (round(worst_share(fleet), 4), -fleet.usd_per_month))


def usd_of(best: Confirmed | None) -> float:
    """Cost of the best fleet so far; infinite where there is none."""
    return math.inf if best is None else best.usd_per_month


def cheaper(best: Confirmed | None, other: Confirmed | Infeasible) -> Confirmed | None:
    """The cheaper of two fleets, as far as they are confirmed."""
    if isinstance(other, Infeasible) or not other.confirmation.reached:
        return best
    return other if other.usd_per_month < usd_of(best) else best


def clearly_cheaper(fleet: Confirmed, other: Confirmed | Infeasible) -> Confirmed:
    """Another fleet where its replay confirms it and it costs a cent less at least; the fleet otherwise."""
    if isinstance(other, Infeasible) or not other.confirmation.reached:
        return fleet
    return other if other.usd_per_month < fleet.usd_per_month - A_CENT else fleet


def bounded(confirmed: Confirmed, bound: Confirmed) -> Confirmed:
    """A fleet with the bound that the lower ends of all brackets give."""
    may_be_proven = confirmed.confirmation.reached and bound.solution.proven
    return _with_bound(confirmed, bound.solution.bound_usd_per_month, may_be_proven=may_be_proven)


def held_to(confirmed: Confirmed, least_usd_per_month: float) -> Confirmed:
    """A fleet with a bound no higher than this, and proven only where it costs no more."""
    least = min(confirmed.solution.bound_usd_per_month, least_usd_per_month)
    return _with_bound(confirmed, least, may_be_proven=confirmed.solution.proven)


def unproven(confirmed: Confirmed) -> Confirmed:
    """A fleet below which a replay may confirm one that carries less than the planned rates."""
    return replace(confirmed, solution=replace(confirmed.solution, proven=False))


def _with_bound(confirmed: Confirmed, bound_usd_per_month: float, *, may_be_proven: bool) -> Confirmed:
    least = min(bound_usd_per_month, confirmed.usd_per_month)
    proven = may_be_proven and confirmed.usd_per_month <= least + HALF_A_CENT
    return replace(confirmed, solution=replace(confirmed.solution, bound_usd_per_month=least, proven=proven))
