"""Fleets that are a little cheaper than a given one: one instance fewer, or some exchanged for others."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from advisor.plan.problem.constraints import caps, changed_by, is_broken, keeps_rules, most_headroom
from advisor.plan.problem.formulas import falls, mix_rate, running_as_ordered
from advisor.plan.problem.values import Allocation, FleetSolution, Floats, Pool, Problem, PurchaseOption, Tariff
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.program import FleetProgram
from advisor.plan.solve.scopes import scope_of
from advisor.plan.solve.shares import counted_instances
from advisor.records import replace
from advisor.units import A_CENT, HOURS_PER_MONTH, ROUNDING

MOST = 10
"""Neighbours that are looked at, those that cost least less first; as many again of the fleet's own accelerators."""
BACKENDS = 8
"""Backends that a fleet may be topped up with."""
MOST_GIVEN_UP = 3
"""Instances of a group that are exchanged at a time, unless it is all of them."""
OTHERS = 3
"""Cheaper pools, and dearer ones, that instances may be exchanged for: of any accelerator, and of their own."""
CLEARLY_SHORT = 0.999
"""Share of the load, carried or left by a failure, below which no solver is needed to see that a limit is broken."""
_COUNTED = (PurchaseOption.ON_DEMAND, PurchaseOption.SPOT, PurchaseOption.COMMITMENT, PurchaseOption.OWNED)
"""What is bought one by one."""
ADDED = (PurchaseOption.ON_DEMAND, PurchaseOption.SPOT, PurchaseOption.COMMITMENT)
"""What instances may be exchanged for."""


class BoughtWay(NamedTuple):
    """BoughtWay of adding instances: a pool, and how it is paid for."""

    pool: Pool
    tariff: Tariff

    @property
    def usd_per_hour(self) -> float:
        """USD of an hour in which an instance runs."""
        return self.tariff.all_usd_per_hour

    @property
    def usd_per_month(self) -> float:
        """USD a month of one instance that always runs."""
        return self.usd_per_hour * HOURS_PER_MONTH

    def usd_per_request(self, problem: Problem) -> float:
        """Number in proportion to it."""
        return self.usd_per_hour / mix_rate(problem, self.pool)


def cheaper_neighbours(problem: Problem, solution: FleetSolution) -> list[FleetSolution]:
    """Neighbours of a fleet that carry the load at their pools' rates, the cheapest first; see :func:`keeps_to_all`.

    Those of the fleet's own accelerators are among them, whatever else is sold: more to choose from hides none of them.
    There is none where the router tells lengths apart, or where a pool is too far from some users.
    """
    if not is_simple(problem):
        return []
    own = _own(problem, solution)
    priced = [loaded_fleet(problem, groups) for groups in (own, *_changed(problem, own)) if groups]
    below = [fleet for fleet in priced if fleet.objective_usd_per_month < solution.objective_usd_per_month]
    able = [fleet for fleet in below if _is_able(problem, fleet)]
    dear_last = sorted(able, key=lambda fleet: fleet.objective_usd_per_month)
    supplies = _supplies(solution)
    same_supplies = [fleet for fleet in dear_last if _supplies(fleet) <= supplies]
    kept = {id(fleet) for fleet in (*dear_last[-MOST:], *same_supplies[-MOST:])}
    return [fleet for fleet in dear_last if id(fleet) in kept]


def fewer_at_times(problem: Problem, solution: FleetSolution) -> list[FleetSolution]:
    """Fleets with fewer instances of a group in some hours, the cheapest first, whatever the closed form asks for.

    Of what is committed one is on demand in the busier hours instead. None where the router tells lengths apart.
    """
    own = _own(problem, solution) if is_simple(problem) else ()
    fewer = itertools.chain.from_iterable(
        (*_without_at_times((own[:at], own[at + 1 :]), group), *_on_demand_at_times(own, group))
        for at, group in enumerate(own)
    )
    return sorted((loaded_fleet(problem, groups) for groups in fewer), key=lambda fleet: fleet.objective_usd_per_month)


def _supplies(solution: FleetSolution) -> set[str]:
    """Accelerators of a fleet, by region."""
    return {_supply(group.pool) for group in solution.allocations}


def _supply(pool: Pool) -> str:
    """Region and accelerator of a pool; its type in the region where that is not known."""
    return pool.supply or pool.type_in_region


def topped_up(problem: Problem, solution: FleetSolution | None, below_usd: float) -> list[FleetSolution]:
    """A fleet that fails, with about as many instances more of one pool as cost less than a fleet that holds.

    Args:
        problem: pools and limits.
        solution: the fleet that fails; None: no instances at all.
        below_usd: USD a month of the other.
    """
    left = below_usd - (solution.objective_usd_per_month if solution else 0.0)
    if not is_simple(problem) or left <= 0:
        return []
    own = _own(problem, solution) if solution else ()
    groups = {(group.pool.key, group.tariff) for group in own}
    own_scopes = {scope_of(problem, group.pool) for group in own}
    fleets = []
    for paid in ADDED:
        affordable = [
            way
            for way in _sold(problem, paid)
            if (not own_scopes or scope_of(problem, way.pool) in own_scopes)
            and (way.pool.key, way.tariff) not in groups
            and way.usd_per_month < left
        ]
        for way in _one_of_each(sorted(affordable, key=lambda way: way.usd_per_request(problem))):
            counts = range(int(left / way.usd_per_month), 0, -1)[:OTHERS]
            fleets += [loaded_fleet(problem, _joined(own, way, (count,) * len(problem.hours))) for count in counts]
    return [fleet for fleet in fleets if fleet.objective_usd_per_month < below_usd and _is_able(problem, fleet)]


def sold_in(pool: Pool | None, group: Allocation) -> Allocation | None:
    """Instances of another pool that are paid for as a group is; None where they are not sold so, or too far."""
    if pool is None or not pool.serves_all_places:
        return None
    ways = (tariff for tariff in pool.tariffs if (tariff.paid, tariff.label) == (group.tariff.paid, group.tariff.label))
    tariff = next(ways, None)
    return None if tariff is None else Allocation(pool, tariff, group.instances)


class Exchange(NamedTuple):
    """Instances of a group that are given up, and others that are bought instead."""

    given_up: BoughtWay
    given_up_count: int
    bought: BoughtWay | None
    """None: nothing is bought."""
    bought_count: int


def exchanges(problem: Problem, solution: FleetSolution, below_usd: float) -> Iterator[Exchange]:
    """Exchanges that make a fleet cost about less than an amount: as many bought as that leaves money for.

    What is bought is of the fleet's scope: of each backend and way of paying the cheapest for what it carries, and the
    cheapest by the instance.
    """
    own = _own(problem, solution) if is_simple(problem) else ()
    scopes = {scope_of(problem, group.pool) for group in own}
    sold = _offered(replace(problem, pools=tuple(pool for pool in problem.pools if scope_of(problem, pool) in scopes)))
    saved_usd = solution.objective_usd_per_month - below_usd
    for group in own:
        given_up = BoughtWay(group.pool, group.tariff)
        every = max(group.instances)
        counts = {*range(1, min(every, MOST_GIVEN_UP) + 1), every} if group.tariff.paid in _COUNTED else ()
        for count in sorted(counts):
            left = count * given_up.usd_per_month - saved_usd
            if left < 0:
                continue
            yield Exchange(given_up, count, None, 0)
            for way in sold:
                affordable = math.ceil(left / way.usd_per_month) - 1
                if affordable > 0 and (way.pool.key, way.tariff) != (group.pool.key, group.tariff):
                    yield Exchange(given_up, count, way, affordable)


def exchanged(problem: Problem, solution: FleetSolution, exchange: Exchange) -> FleetSolution:
    """A fleet after an exchange, in quieter hours with as large a part of it; loaded by capacity."""
    own, taken = _own(problem, solution), exchange.given_up_count
    at = next(at for at, group in enumerate(own) if BoughtWay(group.pool, group.tariff) == exchange.given_up)
    fewer = tuple(max(count - taken, 0) for count in own[at].instances)
    kept = (replace(own[at], instances=fewer),) if any(fewer) else ()
    groups = (*own[:at], *kept, *own[at + 1 :])
    if exchange.bought is not None:
        more = (math.ceil(min(count, taken) * exchange.bought_count / taken) for count in own[at].instances)
        groups = _joined(groups, exchange.bought, tuple(more))
    return loaded_fleet(problem, groups)


def _offered(problem: Problem) -> list[BoughtWay]:
    """The cheapest way of each backend and purchase for what it carries, and the cheapest by the instance."""
    offered: dict[tuple[str, Tariff], BoughtWay] = {}
    for paid in ADDED:
        sold = sorted(_sold(problem, paid), key=lambda way: (way.usd_per_hour, way.pool.key))
        sold = [way for way in sold if way.usd_per_hour > 0]
        for ways in (sold, sorted(sold, key=lambda way: way.usd_per_request(problem))):
            offered |= {(way.pool.key, way.tariff): way for way in _one_of_each(ways, most=len(ways))}
    return list(offered.values())


def parts_of(problem: Problem, solution: FleetSolution) -> list[FleetSolution]:
    """Parts of a fleet of several groups: without each of them, and each of them alone."""
    own = _own(problem, solution) if is_simple(problem) else ()
    without = [(*own[:at], *own[at + 1 :]) for at in range(len(own))] if len(own) > 1 else []
    alone = [(group,) for group in own] if len(own) > 2 else []
    return [loaded_fleet(problem, part) for part in (*without, *alone)]


def _one_of_each(ways: Iterable[BoughtWay], most: int = BACKENDS) -> list[BoughtWay]:
    """The first way of each backend, of so many backends."""
    first: dict[str, BoughtWay] = {}
    for way in ways:
        first.setdefault(way.pool.backend or way.pool.key, way)
    return list(first.values())[:most]


def is_simple(problem: Problem) -> bool:
    """Whether every request may be sent to any pool."""
    return not len(problem.bucket_shares)


def _changes_few(problem: Problem, fleet: FleetSolution) -> bool:
    """Whether a fleet is near enough to what runs today."""
    most = problem.limits.max_changed_instances
    return most is None or not running_as_ordered(problem) or changed_by(problem, fleet) <= most


def _is_able(problem: Problem, fleet: FleetSolution) -> bool:
    """Whether a fleet carries all users' load, also after what may fail, and keeps to changes and rules."""
    if not _changes_few(problem, fleet) or not all(group.pool.serves_all_places for group in fleet.allocations):
        return False
    return keeps_rules(problem, fleet) and most_headroom(problem, fleet) >= 1 - ROUNDING


def _own(problem: Problem, solution: FleetSolution) -> tuple[Allocation, ...]:
    """The groups of a fleet with the rates that the closed form has for their pools."""
    pools = {pool.key: pool for pool in problem.pools}
    return tuple(replace(group, pool=pools[group.pool.key]) for group in solution.allocations)


def _changed(problem: Problem, own: tuple[Allocation, ...]) -> Iterator[tuple[Allocation, ...]]:
    for at, group in enumerate(own):
        if group.tariff.paid not in _COUNTED:
            continue
        others = (own[:at], own[at + 1 :])
        yield from _without(others, group, 1)
        yield from _without(others, group, 2)
        yield from _without_at_times(others, group)
        for way in _others(problem, group):
            usd, price = way.usd_per_hour, group.tariff.all_usd_per_hour
            taken = max(math.ceil(usd / price + ROUNDING), 1)
            given = max(math.ceil(price * taken / usd - ROUNDING) - 1, 1)
            for rest in _without(others, group, taken):
                yield _joined(rest, way, tuple(min(count, taken) * given // taken for count in group.instances))


def _without(
    others: tuple[tuple[Allocation, ...], tuple[Allocation, ...]], group: Allocation, taken: int
) -> Iterator[tuple[Allocation, ...]]:  # fmt: skip
    """The fleet with so many instances of a group fewer; nothing where it has fewer than that in its busiest hours."""
    if max(group.instances) >= taken:
        fewer = replace(group, instances=tuple(max(count - taken, 0) for count in group.instances))
        yield (*others[0], *((fewer,) if any(fewer.instances) else ()), *others[1])


def _without_at_times(
    others: tuple[tuple[Allocation, ...], tuple[Allocation, ...]], group: Allocation
) -> Iterator[tuple[Allocation, ...]]:  # fmt: skip
    """The fleet with fewer instances of a group in some hours: those of a class, and of quieter ones with as many."""
    if group.tariff.paid.always or len(group.instances) == 1:
        return
    for at, count in enumerate(group.instances):
        for left in sorted({count - 1, count * 7 // 8} - {count}, reverse=True):
            instances = (*(min(fewer, left) for fewer in group.instances[: at + 1]), *group.instances[at + 1 :])
            if left >= 0 and any(instances):
                yield (*others[0], replace(group, instances=instances), *others[1])


def _on_demand_at_times(own: tuple[Allocation, ...], group: Allocation) -> Iterator[tuple[Allocation, ...]]:
    """The fleet with one committed instance of a group fewer, and one more on demand in all hours from a class on."""
    tariff = next((tariff for tariff in group.pool.tariffs if tariff.paid is PurchaseOption.ON_DEMAND), None)
    if group.tariff.paid is not PurchaseOption.COMMITMENT or tariff is None:
        return
    groups = {(other.pool.key, other.tariff): other for other in own}
    groups[group.pool.key, group.tariff] = replace(group, instances=tuple(count - 1 for count in group.instances))
    none = Allocation(group.pool, tariff, (0,) * len(group.instances))
    hourly = groups.get((group.pool.key, tariff), none)
    for busy in range(1, len(group.instances)):
        more = tuple(count + (at >= busy) for at, count in enumerate(hourly.instances))
        groups[group.pool.key, tariff] = replace(hourly, instances=more)
        yield tuple(other for other in groups.values() if any(other.instances))


def _others(problem: Problem, group: Allocation) -> Iterator[BoughtWay]:
    """The next cheaper and the next dearer ways in the region, of each way of paying; none for what costs nothing.

    Once of any accelerator, and once of the group's own.
    """
    usd = group.tariff.all_usd_per_hour
    if not usd:
        return
    for paid in ADDED:
        sold = sorted(
            (way for way in _sold(problem, paid) if way.pool.region == group.pool.region),
            key=lambda way: (way.usd_per_hour, way.pool.key),
        )
        own = [way for way in sold if _supply(way.pool) == _supply(group.pool)]
        near = (way for ways in (sold, own) for way in _next_to(ways, usd))
        yield from {(way.pool.key, way.tariff): way for way in near}.values()


def _next_to(ways: Sequence[BoughtWay], usd_per_hour: float) -> Iterator[BoughtWay]:
    """The last ways that are cheaper than an amount and the first that are dearer, of ways by their price."""
    yield from [way for way in ways if way.usd_per_hour < usd_per_hour][-OTHERS:]
    yield from [way for way in ways if way.usd_per_hour > usd_per_hour][:OTHERS]


def _sold(problem: Problem, paid: PurchaseOption) -> Iterator[BoughtWay]:
    """Pools that serve and are paid for in one way."""
    for pool in problem.pools:
        if pool.serves_all_places:
            yield from (BoughtWay(pool, tariff) for tariff in pool.tariffs if tariff.paid is paid)


def _joined(rest: tuple[Allocation, ...], way: BoughtWay, more: tuple[int, ...]) -> tuple[Allocation, ...]:
    """A fleet with so many more instances; at all hours where they are paid for at all hours."""
    more = (max(more),) * len(more) if way.tariff.paid.always else more
    for at, group in enumerate(rest):
        if (group.pool.key, group.tariff) == (way.pool.key, way.tariff):
            counts = tuple(a + b for a, b in zip(group.instances, more, strict=True))
            return (*rest[:at], replace(group, instances=counts), *rest[at + 1 :])
    return (*rest, Allocation(way.pool, way.tariff, more))


def _owned_first(problem: Problem, allocations: tuple[Allocation, ...]) -> tuple[Allocation, ...]:
    """The same machines, paid for as far as they are owned: at all hours, before any other is bought."""
    left = dict(problem.owned)
    for group in allocations:
        if group.tariff.paid is PurchaseOption.OWNED:
            left[group.pool.type_in_region] = left.get(group.pool.type_in_region, 0) - max(group.instances)
    for group in allocations:
        free = left.get(group.pool.type_in_region, 0)
        owned = next((tariff for tariff in group.pool.tariffs if tariff.paid is PurchaseOption.OWNED), None)
        taken = min(free, max(group.instances))
        if owned is None or taken <= 0 or group.tariff.paid not in ADDED:
            continue
        left[group.pool.type_in_region] = free - taken
        others = tuple(other for other in allocations if other is not group)
        bought = replace(group, instances=tuple(max(count - taken, 0) for count in group.instances))
        rest = (*others, bought) if any(bought.instances) else others
        allocations = _joined(rest, BoughtWay(group.pool, owned), (taken,) * len(group.instances))
    return allocations


def loaded_by_capacity(problem: Problem, fleet: FleetSolution) -> FleetSolution:
    """The same instances, each pool with its part of the load, whatever its region charges for the answers.

    As it is where requests may not be sent anywhere.
    """
    if not is_simple(problem) or not all(group.pool.serves_all_places for group in fleet.allocations):
        return fleet
    shares = _shares_by_capacity(problem, fleet)
    usd = objective_usd_per_month(problem, fleet.allocations, shares)
    proven = fleet.proven and usd <= fleet.objective_usd_per_month + A_CENT
    return replace(fleet, shares=shares, objective_usd_per_month=usd, proven=proven)


def loaded_fleet(problem: Problem, allocations: tuple[Allocation, ...]) -> FleetSolution:
    """A fleet loaded by capacity."""
    allocations = _owned_first(problem, allocations)
    fleet = FleetSolution(allocations, {}, 0.0, 0.0, proven=False)
    shares = _shares_by_capacity(problem, fleet)
    usd = objective_usd_per_month(problem, allocations, shares)
    return replace(fleet, shares=shares, objective_usd_per_month=usd)


def _shares_by_capacity(problem: Problem, fleet: FleetSolution) -> dict[str, Floats]:
    counted = counted_instances(problem, fleet)
    rates = {group.pool.key: counted[group.pool.key] * mix_rate(problem, group.pool) for group in fleet.allocations}
    whole, places = np.sum(list(rates.values()), axis=0), np.ones((1, len(problem.place_shares), 1))
    return {
        key: np.divide(rate, whole, out=np.zeros(whole.size), where=whole > 0)[:, None, None] * places
        for key, rate in rates.items()
    }


def keeps_at_need(problem: Problem, fleet: FleetSolution) -> bool:
    """Whether every limit allows a fleet whose replicas carry as much as the planned rates ask for."""
    room = min(most_headroom(problem, fleet), 1.0)
    if room <= 0:
        return False
    groups = tuple(replace(group, pool=group.pool.slower(room)) for group in fleet.allocations)
    return keeps_to_all(problem, replace(fleet, allocations=groups))


def keeps_to_all(problem: Problem, fleet: FleetSolution) -> bool:
    """Whether every limit allows just these instances."""
    if len({scope_of(problem, group.pool) for group in fleet.allocations}) > 1 or not _changes_few(problem, fleet):
        return False
    if problem.all_alike and most_headroom(problem, fleet) < CLEARLY_SHORT:
        return False
    counts = {(group.pool.key, group.tariff): group.instances for group in fleet.allocations}
    every = {group.pool.key: group.pool for group in fleet.allocations}.values()
    pools = tuple(
        replace(pool, tariffs=tuple(tariff for tariff in pool.tariffs if (pool.key, tariff) in counts))
        for pool in every
    )  # fmt: skip
    running: dict[str, int] = {}
    for group in fleet.allocations:
        running[group.pool.type_in_region] = running.get(group.pool.type_in_region, 0) + max(group.instances)
    # What runs bounds the instances of the program; changes were counted against what runs today.
    limits = replace(problem.limits, max_changed_instances=None)
    may_fall = any(falls(group.instances) for group in fleet.allocations)
    if may_fall and any(map(is_broken, caps(problem, fleet))):
        return False
    program = FleetProgram(replace(problem, pools=pools, running=running, limits=limits), may_fall=may_fall).build()
    none = (0,) * len(problem.hours)
    for g, pool in enumerate(pools):
        for t, tariff in enumerate(pool.tariffs):
            for h, count in enumerate(counts.get((pool.key, tariff), none)):
                program.program.row("given", program.instances(g, t, h), lower=count, upper=count)
    return program.program.solve().found
