"""Fleets that have other machines in quieter hours than in busier ones, from the cheapest of either.

A program lets counts of a group rise with the load alone. Where a small machine serves the nights and a large one the
days, the small one so runs by day as well; where the workload allows it, these fleets take it off.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from advisor.plan.problem.charges import provider_of
from advisor.plan.problem.constraints import most_headroom
from advisor.plan.problem.formulas import falls, hours_per_month, least_instances, mix_rate
from advisor.plan.problem.values import Allocation, FleetSolution, Pool, Problem, PurchaseOption, Tariff
from advisor.plan.solve.neighbours import loaded_fleet
from advisor.plan.solve.objective import planned_rates
from advisor.plan.solve.scopes import scope_of
from advisor.plan.solve.shares import costs_the_same
from advisor.records import replace
from advisor.units import ROUNDING

MOST_ALONE = 6
"""Pools that are tried by themselves for the quieter hours, and for the busier ones."""
_STARTED = (PurchaseOption.ON_DEMAND, PurchaseOption.SPOT)
"""Ways of paying for instances that are started and stopped by the hour."""
_PROVIDERS = ("aws", "azure", "gcp")
"""Whose generated hosts stand behind what sends nothing to an empty group; pods of a cluster go at their hour."""

Groups = tuple[Allocation, ...]


def by_hours(problem: Problem, solution: FleetSolution, others: Sequence[FleetSolution] = ()) -> list[FleetSolution]:
    """Fleets cheaper than a given one, of a part for the quieter hours and a part for the busier ones, by their cost.

    For every class from which on hours are busy: a part of the fleet or one pool in the quieter hours, and a part of
    the fleet or one pool in the busier ones. Each carries every class of hours by the closed form, or no less of it
    than the given fleet does. Some group of each has fewer instances in busier hours where the workload allows that;
    elsewhere machines of the quieter hours run in the busier ones too. There is none where requests differ, or where
    counts may not follow them.

    Args:
        problem: pools at the rates of the closed form.
        solution: a fleet of these pools.
        others: fleets of whose groups there may be some in the busier hours as well.
    """
    in_turns = problem.scaling.take_turns
    if len(problem.hours) == 1 or not problem.all_alike:
        return []
    pools = {pool.key: pool for pool in problem.pools}
    own, *more = (
        tuple(replace(group, pool=pools[group.pool.key]) for group in fleet.allocations)
        for fleet in (solution, *others)
    )
    if in_turns and not all(is_on_hosts(group.pool) for groups in (own, *more) for group in groups):
        return []
    distinct: dict[frozenset[tuple[str, Tariff, tuple[int, ...]]], FleetSolution] = {}
    singles = _singles(problem, {scope_of(problem, group.pool) for group in own})
    for busy in range(1, len(problem.hours)):
        quiet_parts = [*_parts(own, 0, busy), *singles(0, busy)]
        in_busy = (_parts(groups, busy, len(problem.hours)) for groups in (own, *more))
        busy_parts = [*itertools.chain.from_iterable(in_busy), *singles(busy, len(problem.hours))]
        for quiet_part, busy_part in itertools.product(quiet_parts, busy_parts):
            groups = _joined(quiet_part, busy_part)
            groups = groups if in_turns else tuple(map(_rising, groups))
            key = frozenset((group.pool.key, group.tariff, group.instances) for group in groups)
            if key not in distinct and (not in_turns or any(falls(group.instances) for group in groups)):
                distinct[key] = loaded_fleet(problem, groups)
    least = min(most_headroom(problem, replace(solution, allocations=own)), 1.0) * (1 - ROUNDING)
    able = (
        fleet
        for fleet in distinct.values()
        if fleet.objective_usd_per_month < solution.objective_usd_per_month
        and costs_the_same(fleet)
        and most_headroom(problem, fleet) >= least
    )
    return sorted(able, key=lambda fleet: fleet.objective_usd_per_month)


def _singles(problem: Problem, scopes: Collection[str]) -> Callable[[int, int], Iterator[Groups]]:
    """The cheapest fleets of one pool of some scopes, in some classes of hours, of each machine and way of paying."""
    ways = [
        (pool, tariff)
        for pool in problem.pools
        if scope_of(problem, pool) in scopes
        and mix_rate(problem, pool) > 0
        and (is_on_hosts(pool) or not problem.scaling.take_turns)
        for tariff in pool.tariffs
        if tariff.paid in _STARTED
    ]
    rates = np.array([mix_rate(problem, pool) for pool, _ in ways])
    counts = least_instances(problem, planned_rates(problem), rates) if ways else np.zeros((0, len(problem.hours)))
    usd_per_hour = np.array([tariff.all_usd_per_hour for _, tariff in ways])
    usd = counts * usd_per_hour[:, None] * np.array([hours_per_month(hour) for hour in problem.hours])

    def cheapest(first: int, end: int) -> Iterator[Groups]:
        machines = dict[tuple[str, PurchaseOption], int]()
        for way in np.argsort(usd[:, first:end].sum(axis=1), kind="stable").tolist():
            pool, tariff = ways[way]
            machines.setdefault((pool.type_in_region, tariff.paid), way)
            if len(machines) == MOST_ALONE:
                break
        for way in machines.values():
            pool, tariff = ways[way]
            instances = tuple(map(int, counts[way]))
            yield (_cut(Allocation(pool, tariff, instances), first, end),)

    return cheapest


def is_on_hosts(pool: Pool) -> bool:
    """Whether generated code starts its instances as hosts, unless another target is asked for."""
    return provider_of(pool.region) in _PROVIDERS and not pool.on_nodes


def _parts(own: Groups, first: int, end: int) -> Iterator[Groups]:
    """The fleet in some classes of hours, and there without each of its groups that are started by the hour."""
    cut = [_cut(group, first, end) for group in own]
    yield tuple(cut)
    for at, group in enumerate(cut if len(cut) > 1 else []):
        if group.tariff.paid in _STARTED:
            yield (*cut[:at], *cut[at + 1 :])


def _cut(group: Allocation, first: int, end: int) -> Allocation:
    """A group in some classes of hours alone; in all where it is paid for at all hours."""
    if group.tariff.paid not in _STARTED:
        return group
    kept = (count if first <= at < end else 0 for at, count in enumerate(group.instances))
    return replace(group, instances=tuple(kept))


def _rising(group: Allocation) -> Allocation:
    """A group with no fewer instances in busier hours than in any quieter ones."""
    return replace(group, instances=tuple(itertools.accumulate(group.instances, max)))


def _joined(quiet: Groups, busy: Groups) -> Groups:
    """The groups of both, of one pool and way of paying as one."""
    counts: dict[tuple[str, Tariff], Allocation] = {}
    for group in (*quiet, *busy):
        key = (group.pool.key, group.tariff)
        before = counts.get(key)
        instances = group.instances if before is None else tuple(map(max, before.instances, group.instances))
        counts[key] = replace(group, instances=instances)
    return tuple(group for group in counts.values() if any(group.instances))
