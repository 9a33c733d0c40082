"""Instances that the planned load of the busiest hours does not need, and costs beside the total."""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from advisor.catalog import Catalog
from advisor.cost.standing import CLOUDS, CLUSTER, Machines
from advisor.plan.fleet.chosen import Confirmation, FleetGroup, Spare
from advisor.plan.fleet.costs import CostKind, CostLine, priced_line
from advisor.plan.problem.constraints import NEARLY, failures, is_broken, uses
from advisor.plan.problem.formulas import Counts, base_of, falls, shares_without, zone_room
from advisor.plan.problem.limits import RULED, Constraint
from advisor.plan.problem.values import Allocation, FleetSolution, Problem
from advisor.plan.replay.below import at_need
from advisor.plan.replay.groups import Confirmed, held_to, name_of, worst_share
from advisor.plan.solve.by_hours import is_on_hosts
from advisor.plan.solve.neighbours import is_simple, keeps_at_need, loaded_by_capacity
from advisor.plan.solve.objective import allocation_usd_per_month
from advisor.plan.solve.shares import can_carry, planned_rates
from advisor.plan.solve.stage import Formulation
from advisor.records import replace
from advisor.units import A_CENT, HOURS_PER_MONTH

_BUCKET = "only where model_source names a bucket in the region; by default weights come from the model hub"
_REGISTRY = (
    "only where container_images names a registry of your own; by default images come from where they are published"
)
_CLUSTER = (
    "only where --target names a cluster, and nothing else runs in it; by default code starts machines and services"
)


def lines_beside(
    groups: Sequence[FleetGroup], catalog: Catalog, image_gb: float, machines: Mapping[str, Machines]
) -> Iterator[CostLine]:
    """Weights in a bucket, an image in a registry, beside hosts a cluster's control plane, by region of the clouds.

    *image_gb*: a serving image, compressed. *machines*: what serves in each provider/region.
    """
    for provider, region in dict.fromkeys((group.provider, group.region) for group in groups):
        if provider not in CLOUDS:
            continue
        own = [group for group in groups if (group.provider, group.region) == (provider, region)]
        on_nodes = machines[f"{provider}/{region}"] is not Machines.HOSTS
        weights_gib = sum({(group.weights, group.precision): group.checkpoint_gib for group in own}.values())
        for kind, item, quantity, assumes in (
            (CostKind.STORAGE, "object_storage", weights_gib, _BUCKET),
            (CostKind.STORAGE, "registry_storage", image_gb, _REGISTRY),
            *(() if on_nodes else ((CostKind.MANAGED, CLUSTER, float(HOURS_PER_MONTH), _CLUSTER),)),
        ):
            price = catalog.service_price(provider, item, region)
            usd = None if price is None else round(quantity * price.usd, 2)
            line = priced_line(kind, item, f"{provider}/{region}", quantity, price, usd)
            yield replace(line, in_total=False, assumes=assumes)


Replayed = Callable[[Formulation, FleetSolution], Confirmation]
"""What a replay makes of a fleet."""

NO_RULE, REPLAY = "none", "replay"
"""Reasons of spare that no limit keeps: none that is known, or its replay."""
_COUNTED = (Constraint.MIN_REPLICAS, Constraint.ZONES, *(rule for rule in RULED if rule.row.is_floor))
"""Limits that ask for so many, whatever they carry."""


def spare_of(problem: Problem, solution: FleetSolution) -> Iterator[Spare]:
    """Instances that could go at once in the busiest hours while the others carry the planned load, and why they stay.

    The dearest capacity first. Instances that carry ``limits.on_demand_base_ratio`` are needed for the load. In
    quieter hours those of them stay that these need, and no money is counted for that.
    """
    needed = _needed(problem, solution)
    for at in _order(problem, solution):
        spare = solution.allocations[at].instances[-1] - needed[at][-1]
        if spare:
            yield from _by_reason(problem, solution, at, needed[at])


def judged_spare(confirmed: Confirmed, spare: Iterable[Spare], replayed: Replayed) -> Iterator[Spare]:
    """Spare, with what a replay makes of the fleet without that which no limit keeps.

    *spare*: of the fleet at the rates that its plan states, as :func:`at_need` has them.
    """
    confirmed = at_need(confirmed)
    problem, solution = confirmed.formulation.problem, confirmed.solution
    names, parts = [name_of(allocation) for allocation in solution.allocations], list(spare)
    needed = _needed(problem, solution) if any(part.why == NO_RULE for part in parts) else ()
    for part in parts:
        if part.why != NO_RULE:
            yield part
            continue
        at = names.index(part.group)
        fewer = _without(solution, at, part.instances, needed[at])
        confirmation = replayed(confirmed.formulation, fewer)
        share = worst_share(replace(confirmed, confirmation=confirmation))
        yield part if confirmation.reached else replace(part, why=REPLAY, without_within_slo_ratio=share)


def without_spare(confirmed: Confirmed, replayed: Replayed) -> Confirmed:
    """A confirmed fleet without the instances that no limit keeps and that its replay does not need, one by one."""
    planned = at_need(confirmed)
    problem, solution = planned.formulation.problem, planned.solution
    if not (confirmed.confirmation.reached and is_simple(problem)):
        return confirmed
    free = [part.group for part in spare_of(problem, solution) if part.why == NO_RULE]
    needed = _needed(problem, solution) if free else ()
    for at in (at for at, group in enumerate(solution.allocations) if name_of(group) in free):
        left = _without(solution, at, 1, needed[at]).allocations
        groups = tuple(group for group in left if any(group.instances))
        fewer = loaded_by_capacity(problem, replace(solution, allocations=groups, proven=False))
        is_cheaper = fewer.objective_usd_per_month < confirmed.usd_per_month - A_CENT
        may_stop = problem.scaling.take_turns and is_on_hosts(solution.allocations[at].pool)
        is_allowed = may_stop or not any(falls(group.instances) for group in groups)
        if not (is_cheaper and is_allowed and keeps_at_need(problem, fewer)):
            continue
        confirmation = replayed(planned.formulation, fewer)
        if confirmation.reached:
            headroom = planned.confirmation.headroom_factor
            fleet = replace(planned, solution=fewer, confirmation=replace(confirmation, headroom_factor=headroom))
            is_simpler = fleet.cheapest is not None and fleet.usd_per_month > fleet.cheapest.usd_per_month
            held = held_to(fleet, solution.bound_usd_per_month)
            return without_spare(replace(held, cheapest=fleet.cheapest if is_simpler else None), replayed)
    return confirmed


def _order(problem: Problem, solution: FleetSolution) -> list[int]:
    """Allocations by what capacity costs in them, the dearest first."""
    rates = planned_rates(problem, solution)

    def place(at: int) -> tuple[float, str]:
        allocation = solution.allocations[at]
        rate = max(rates[allocation.pool.key], 1e-12)
        return -allocation.tariff.all_usd_per_hour / rate, name_of(allocation)

    return sorted(range(len(solution.allocations)), key=place)


def _needed(problem: Problem, solution: FleetSolution) -> Sequence[Counts]:
    """Instances of each allocation that carry the load of each hour class once what is spare of dearer ones is gone.

    What is paid for at all hours is needed at all of them.
    """
    rates, left = planned_rates(problem, solution), list(solution.allocations)
    for at in _order(problem, solution):
        counts = list(left[at].instances)
        counts[-1] = least = _fewest(problem, left, at, -1, rates, 0)
        for hour in range(len(counts) - 1):
            if counts[hour] > least:
                counts[hour] = _fewest(problem, left, at, hour, rates, least)
        if left[at].tariff.paid.always:
            counts = [max(counts)] * len(counts)
        left[at] = replace(left[at], instances=tuple(counts))
    return [allocation.instances for allocation in left]


def _fewest(
    problem: Problem, allocations: Sequence[Allocation], at: int, hour: int, rates: Mapping[str, float], least: int
) -> int:
    """The fewest instances of an allocation, and no fewer than the least, with which all carry an hour class."""
    most = allocations[at].instances[hour]

    def carries(count: int) -> bool:
        counts = list(allocations[at].instances)
        counts[hour] = count
        fewer = replace(allocations[at], instances=tuple(counts))
        return _carries(problem, [*allocations[:at], fewer, *allocations[at + 1 :]], hour, rates)

    return bisect_left(range(most), x=True, lo=least, key=carries)


def _carries(problem: Problem, allocations: Sequence[Allocation], at: int, rates: Mapping[str, float]) -> bool:
    """Whether a fleet carries the planned load of hour class *at*, and its base without spot.

    Instances of the base count as the limit has it, at their rate for the requests of all places that they serve.
    """
    planned, base_ratio = problem.hours[at].planned_rate, problem.limits.on_demand_base_ratio
    whole = math.fsum(allocation.instances[at] * rates[allocation.pool.key] for allocation in allocations)
    base = base_of(problem, allocations, at)
    enough = whole >= planned * (1 - NEARLY) and base >= planned * base_ratio * (1 - NEARLY)
    return enough and (problem.all_alike or planned <= 0 or can_carry(problem, allocations, at))


def _by_reason(problem: Problem, solution: FleetSolution, at: int, needed: Counts) -> Iterator[Spare]:
    """Spare of a group: what no limit keeps, and what the limit does that is broken first as more of it goes."""
    allocation = solution.allocations[at]
    spare, name = allocation.instances[-1] - needed[-1], name_of(allocation)

    def broken(gone: int) -> list[str]:
        return list(_broken(problem, _without(solution, at, gone, needed)))

    def usd(gone: int) -> float:
        fewer = _without(solution, at, gone, needed).allocations[at]
        return allocation_usd_per_month(problem, allocation) - allocation_usd_per_month(problem, fewer)

    gone = range(1, spare + 1)
    free = bisect_left(gone, x=True, key=lambda count: bool(broken(count)))
    if free < spare:
        usd_per_month = round(usd(spare) - usd(free), 2)
        yield Spare(name, spare - free, broken(gone[free])[0], usd_per_month)
    if free:
        yield Spare(name, free, NO_RULE, round(usd(free), 2))


def _without(solution: FleetSolution, at: int, gone: int, needed: Counts) -> FleetSolution:
    """A fleet without so many of a group's instances in the busiest hours, and in others no more than these need."""
    allocation = solution.allocations[at]
    most = allocation.instances[-1] - gone
    counts = (min(count, max(most, least)) for count, least in zip(allocation.instances, needed, strict=True))
    fewer = replace(allocation, instances=tuple(counts))
    allocations = (*solution.allocations[:at], fewer, *solution.allocations[at + 1 :])
    return replace(solution, allocations=allocations)


def _broken(problem: Problem, solution: FleetSolution) -> Iterator[str]:
    """Limits that ask for more than a fleet has."""
    for left in failures(problem, solution):
        if left.left_ratio < left.needed_ratio * (1 - NEARLY):
            shares = shares_without(problem.limits, left.part)
            rule = max(shares, key=lambda constraint: shares[constraint])
            yield f"survive: {problem.limits.survival.value}" if rule is Constraint.SURVIVE else rule.value
    if zone_room(problem, solution.allocations) < 1 - NEARLY:
        yield Constraint.ZONES.value
    for use in uses(problem, solution):
        changed = use.name == Constraint.MAX_CHANGED_INSTANCES and use.used > use.limit
        if changed or (use.name in _COUNTED and is_broken(use)):
            yield use.name
