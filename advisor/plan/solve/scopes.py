"""Scopes of a problem, such as one region or one cloud, and the cheapest fleet of each and of all.

The cheapest fleet of a few pools is counted out: every number of instances of each, hour class by hour class. Where any
request may go to any pool, what an hour asks of a fleet is one number: the rate that its instances carry together,
whatever fails. The fleets of an hour class are the cells of a grid with one axis for each pool and way of paying, and
the cheapest fleet of the quieter classes that is no larger along any axis is a running minimum (dynamic programming).
The program finds the same, in more time while the grid is small.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, takewhile
from typing import NamedTuple

import numpy as np

from advisor.cost.standing import RegionCharges
from advisor.plan.problem.charges import (
    least_alone_usd_per_month,
    mean_rate,
    own_place,
    parts_of,
    region_rates,
    usd_per_request,
)
from advisor.plan.problem.formulas import (
    Group,
    Part,
    base_rate,
    group_key,
    hours_per_month,
    instance_usd_per_month,
    least_instances,
    mix_rate,
    part_name,
    share_without,
    zone_shares,
)
from advisor.plan.problem.limits import Shortcut, is_kept_by
from advisor.plan.problem.values import (
    Allocation,
    FleetSolution,
    Floats,
    Infeasible,
    Pool,
    Problem,
    PurchaseOption,
    Tariff,
)
from advisor.plan.solve.alone import Instances, alone, load_of
from advisor.plan.solve.dominance import without_dominated
from advisor.plan.solve.objective import (
    bound_with_spare,
    least_usd,
    lower_bound,
    objective_usd_per_month,
    planned_rates,
)
from advisor.plan.solve.optimise import (
    ROUNDED_USD,
    Unexplained,
    any_within,
    fleet_if_any,
    improved,
)
from advisor.plan.solve.solver import FEASIBLE
from advisor.plan.solve.variables import most_instances
from advisor.records import replace
from advisor.units import A_CENT

MOST_CELLS = 100_000
"""Of a grid: a larger one takes longer than the program."""
_BY_THE_HOUR = (PurchaseOption.ON_DEMAND, PurchaseOption.SPOT, PurchaseOption.MANAGED)


class _Way(NamedTuple):
    """A pool and how it is paid for: one axis of the grid."""

    pool: Pool
    tariff: Tariff
    rate: float
    """Requests per second of an instance."""
    counts: Floats
    """Numbers of instances, along the axis."""


def is_countable(problem: Problem) -> bool:
    """Whether hourly instances, their rates and failures are all that a problem is about, and the grid is small."""
    pools = problem.pools
    return (
        len(pools) < MOST_CELLS.bit_length()
        and problem.all_alike
        and not problem.quota_limits
        and is_kept_by(Shortcut.GRID, problem.limits)
        and all(tariff.paid in _BY_THE_HOUR for pool in pools for tariff in pool.tariffs)
        and len({usd_per_request(problem, pool, tariff) for pool in pools for tariff in pool.tariffs}) == 1
        and len({pool.region for pool in pools}) <= (problem.max_regions or math.inf)
        and len({(pool.region, own_place(pool)) for pool in pools}) == len({pool.region for pool in pools})
        and not _takes_steps(problem)
        and not _may_go_without(problem)
        and _cells(problem) <= MOST_CELLS
    )


def _may_go_without(problem: Problem) -> bool:
    """Whether a group that keeps an instance at all hours has none in the quietest hours of some cell."""
    kept = [tariff.paid.keeps_one for pool in problem.pools for tariff in pool.tariffs]
    return any(kept) and (len(kept) > 1 or problem.goes_to_zero)


def _takes_steps(problem: Problem) -> bool:
    """Whether what a region charges depends on its part of the requests by more than a price for each."""
    places = {own_place(pool) for pool in problem.pools} & problem.charges.keys()
    return len(places) > 1 and any(
        problem.charges[place].fixed_usd_per_month(mean_rate(problem))
        != problem.charges[place].fixed_usd_per_month(0.0)
        for place in places
    )


def _standing_usd(problem: Problem, ways: Sequence[_Way]) -> Floats:
    """USD a month of the regions of each fleet: counts never fall, so the busiest hours have them all."""
    usd: Floats = np.zeros(())
    for place in {own_place(way.pool) for way in ways} & problem.charges.keys():
        charges = problem.charges[place]
        members = [way for way in ways if own_place(way.pool) == place]
        instances = sum(way.counts for way in members)
        hosts = sum((way.counts for way in members if way.tariff.on_hosts), start=np.zeros(()))
        usd = usd + np.where(instances > 0, charges.anyway_usd_per_month, 0.0)
        usd = usd + np.where(hosts > 0, charges.fixed_usd_per_month(0.0), 0.0) + _further_usd(charges, members)
    return usd


def _further_usd(charges: RegionCharges, ways: Sequence[_Way]) -> Floats:
    """USD a month of groups, backends and endpoints of a region beyond the first of each."""
    usd: Floats = np.zeros(())
    for at, each in enumerate(charges.further_usd):
        parts: dict[str, Floats] = {}
        for way in ways if each else ():
            part = parts_of(way.pool, way.tariff)[at]
            parts[part] = parts.get(part, np.zeros(())) + way.counts
        parts.pop("", None)
        count = sum((np.where(instances > 0, 1.0, 0.0) for instances in parts.values()), start=np.zeros(()))
        usd = usd + np.maximum(count - 1, 0.0) * each
    return usd


def _cells(problem: Problem) -> int:
    return math.prod(
        (most_instances(problem, pool) + 1) ** len(pool.tariffs)
        for pool in problem.pools
        if mix_rate(problem, pool) > 0
    )


def counted(problem: Problem) -> FleetSolution | None:
    """The cheapest fleet of a problem that :func:`is_countable`; None where there is none."""
    return min(filter(None, (_counted(part) for part in _by_regions(problem))), key=_usd, default=None)


def _by_regions(problem: Problem) -> Iterator[Problem]:
    """The problem in each set of regions all of which have instances; as it is where no hours tell these apart."""
    regions = dict.fromkeys(pool.region for pool in problem.pools)
    if len(regions) == 1 or len(problem.hours) == 1:
        yield problem
        return
    for count in range(1, len(regions) + 1):
        for used in combinations(regions, count):
            yield replace(problem, pools=tuple(pool for pool in problem.pools if pool.region in used))


def _counted(problem: Problem) -> FleetSolution | None:
    """The cheapest fleet that has instances in all regions of a problem whenever something has to run."""
    ways = _ways(problem)
    if not ways:
        return None
    totals = list(_totals(problem, ways))
    counts = _cheapest_counts(totals)
    return None if counts is None else _fleet(problem, ways, counts)


def _ways(problem: Problem) -> list[_Way]:
    """Whatever serves and can be paid for."""
    sold = [(pool, tariff) for pool in problem.pools if mix_rate(problem, pool) > 0 for tariff in pool.tariffs]
    axes = np.ix_(*(np.arange(most_instances(problem, pool) + 1.0) for pool, _ in sold))
    return [
        _Way(pool, tariff, mix_rate(problem, pool), counts) for (pool, tariff), counts in zip(sold, axes, strict=True)
    ]


def _totals(problem: Problem, ways: Sequence[_Way]) -> Iterator[Floats]:
    """USD a month of each fleet of an hour class with the cheapest ones of all quieter classes; infinite for none."""
    carried = _carried(problem, ways)
    for region in {way.pool.region for way in ways} if len(problem.hours) > 1 else ():
        up = sum((way.counts for way in ways if way.pool.region == region), start=np.zeros(()))
        carried = np.where(up > 0, carried, -math.inf)
    quieter: Floats = np.zeros(carried.shape)
    for at, hour in enumerate(problem.hours):
        quieter = _least_up_to(quieter) if at else quieter
        needed = -math.inf if hour.planned_rate <= 0 and problem.scaling.scale_to_zero else hour.planned_rate - FEASIBLE
        usd = sum((_usd_per_month(problem, way, at) * way.counts for way in ways), start=quieter)
        if at == len(problem.hours) - 1:
            usd = usd + _standing_usd(problem, ways)
        quieter = np.where(carried >= needed, usd, math.inf)
        yield quieter


def _least_up_to(usd: Floats) -> Floats:
    """The least of each cell and all that are no larger along any axis; faster than accumulating along short axes."""
    least = usd.copy()
    for axis in range(usd.ndim):
        layers = np.moveaxis(least, axis, 0)
        for at in range(1, len(layers)):
            np.minimum(layers[at - 1 : at], layers[at : at + 1], out=layers[at : at + 1])
    return least


def _usd_per_month(problem: Problem, way: _Way, at: int) -> float:
    """USD a month of an instance for an hour class; for the busiest one with the cost of putting it into service."""
    is_new = problem.running and at == len(problem.hours) - 1 and not problem.running.get(way.pool.type_in_region)
    usd = instance_usd_per_month(problem, way.pool, way.tariff, at)
    return usd + way.pool.switching_usd if is_new else usd


def _carried(problem: Problem, ways: Sequence[_Way]) -> Floats:
    """The largest planned rate of an hour in which each fleet keeps to the limits; below every rate for none."""
    limits = problem.limits
    whole: Floats = sum((way.rate * way.counts for way in ways), start=np.zeros(()))
    carried = whole
    for part in Part:
        share = share_without(limits, part)
        for lost in _lost(ways, part) if share > 0 else ():
            carried = np.minimum(carried, (whole - lost) / share)
    if limits.on_demand_base_ratio > 0:
        steady = sum(
            (base_rate(problem, way.pool) * way.counts for way in ways if way.tariff.paid is not PurchaseOption.SPOT),
            start=np.zeros(()),
        )
        carried = np.minimum(carried, steady / limits.on_demand_base_ratio)
    for zones, share in zone_shares(limits).items():
        for region in dict.fromkeys(way.pool.region for way in ways):
            carried = np.minimum(carried, _sure(ways, region, zones) / share)
    instances = sum(way.counts for way in ways)
    replicas = sum(way.pool.replicas * way.counts for way in ways)
    return np.where((instances >= limits.zones) & (replicas >= limits.min_replicas), carried, -math.inf)


def _sure(ways: Sequence[_Way], region: str, zones: int) -> Floats:
    """Requests per second that are sure to be in each of so many zones of a region, with those of other regions."""
    groups: dict[Group, list[_Way]] = {}
    for way in ways:
        groups.setdefault(group_key(way.pool, way.tariff), []).append(way)
    sure: Floats = np.zeros(())
    for members in groups.values():
        pool, count = members[0].pool, sum((way.counts for way in members), start=np.zeros(()))
        if pool.region == region:
            count = np.floor(count / zones) * (pool.zones >= zones)
        sure = sure + members[0].rate * count
    # Where a region has no instance it fails with nothing.
    own = sum((way.counts for way in ways if way.pool.region == region), start=np.zeros(()))
    return np.where(own > 0, sure, math.inf)


def _lost(ways: Sequence[_Way], part: Part) -> Iterator[Floats]:
    """Requests per second that each fleet loses with one thing that may fail, thing by thing."""
    exposed = [way for way in ways if part is not Part.SUPPLY or way.tariff.paid is PurchaseOption.SPOT]
    running: dict[str, dict[Group, list[_Way]]] = {}
    for way in exposed:
        key = (way.pool.key, "") if part is Part.MACHINE else group_key(way.pool, way.tariff)
        running.setdefault(part_name(way.pool, part), {}).setdefault(key, []).append(way)
    for groups in running.values():
        yield sum((_lost_of(group, part) for group in groups.values()), start=np.zeros(()))


def _lost_of(ways: Sequence[_Way], part: Part) -> Floats:
    """The same of a pool's machine, or of a group in a zone."""
    pool, rate = ways[0].pool, ways[0].rate
    count: Floats = sum((way.counts for way in ways), start=np.zeros(()))
    lost: Floats = rate * (np.minimum(count, 1.0) if part is Part.MACHINE else np.ceil(count / pool.zones))
    return lost


def _cheapest_counts(totals: Sequence[Floats]) -> list[tuple[int, ...]] | None:
    """Instances of each way in each hour class, traced back from the busiest; None where no fleet carries it."""
    counts: list[tuple[int, ...]] = []
    for total in reversed(totals):
        smaller = total[tuple(slice(count + 1) for count in counts[-1])] if counts else total
        cell = np.unravel_index(int(smaller.argmin()), smaller.shape)
        if not math.isfinite(smaller[cell]):
            return None
        counts.append(tuple(map(int, cell)))
    return counts[::-1]


def _fleet(problem: Problem, ways: Sequence[_Way], counts: Sequence[tuple[int, ...]]) -> FleetSolution:
    """The fleet, each instance with as much of the load as it carries."""
    of_ways = list(zip(ways, zip(*counts, strict=True), strict=True))
    allocations = tuple(Allocation(way.pool, way.tariff, instances) for way, instances in of_ways if any(instances))
    rates: dict[str, Floats] = {}
    for way, instances in of_ways:
        rates[way.pool.key] = rates.get(way.pool.key, np.zeros(len(counts))) + way.rate * np.array(instances)
    whole = np.sum(list(rates.values()), axis=0)
    shares = {
        key: np.divide(rate, whole, out=np.zeros(whole.size), where=whole > 0)[:, None, None]
        for key, rate in rates.items()
        if rate.any()
    }
    usd = objective_usd_per_month(problem, allocations, shares)
    return FleetSolution(allocations, shares, usd, usd, proven=True)


EXPLAINED = 3
"""Scopes without a fleet whose conflict is looked for, from the one that promises most on: each takes many solves."""


def scopes(problem: Problem) -> tuple[Problem, ...]:
    """The problem in each region where a fleet has one, on each cloud where it has several; else as it is.

    Where all that limits regions is that there is one, no program has to choose between them.
    """
    if problem.max_regions != 1 and problem.mix_providers:
        return (problem,)
    return split(problem, lambda pool: scope_of(problem, pool))


def scope_of(problem: Problem, pool: Pool) -> str:
    """Name of the region, or cloud, that a fleet with a pool stays in; "" where it may go anywhere."""
    if problem.max_regions == 1:
        return pool.region
    return "" if problem.mix_providers else pool.region.split("/")[0]


def split(problem: Problem, key: Callable[[Pool], str]) -> tuple[Problem, ...]:
    """The problem by a property of its pools."""
    groups: dict[str, list[Pool]] = {}
    for pool in problem.pools:
        groups.setdefault(key(pool), []).append(pool)
    return tuple(replace(problem, pools=tuple(pools)) for pools in groups.values())


def without_dominated_anywhere(problem: Problem) -> Problem:
    """The problem without the pools that no cheapest fleet of any scope needs.

    The same pools are dominated where all sustain so many times more or less.
    """
    parts = map(without_dominated, scopes(problem))
    return replace(problem, pools=tuple(pool for part in parts for pool in part.pools))


def cheapest(
    problem: Problem, fleet_solution: FleetSolution | None = None, *, roughly: bool = False
) -> FleetSolution | Infeasible:
    """The cheapest fleet of all scopes, or why none of them has one.

    The scope with the cheapest single pool is searched first, then the others from the lowest bound on; one in which no
    fleet can be as cheap as one found elsewhere is not searched.

    Args:
        problem: with all scopes.
        fleet_solution: a fleet that is the answer where none is cheaper.
        roughly: whether a fleet that costs little more than the cheapest will do.
    """
    solution = _cheapest(problem, fleet_solution, roughly=roughly)
    if solution is fleet_solution or isinstance(solution, Infeasible):
        return solution
    return _bounded_without_further(problem, solution)


def any_below(problem: Problem, most_usd: float) -> FleetSolution | None:
    """A fleet of any scope that costs less than an amount; None where none is found soon."""
    for part in scopes(problem):
        if least_usd(part) < most_usd:
            fleet = counted(part) if is_countable(part) else any_within(_needed(part), most_usd)
            if fleet is not None and fleet.objective_usd_per_month < most_usd:
                return fleet
    return None


def _bounded_without_further(problem: Problem, solution: FleetSolution) -> FleetSolution:
    """A fleet whose bound leaves out what its regions charge for further groups and backends.

    Pools are left out for others that cost no more but for that, see :mod:`advisor.plan.solve.dominance`.
    """
    rates = region_rates(problem, solution.allocations, {})
    further = sum(
        rates[place].further.units(charges.further_usd) for place, charges in problem.charges.items() if place in rates
    )
    bound = min(solution.bound_usd_per_month, solution.objective_usd_per_month - further)
    return replace(solution, proven=solution.proven and not further, bound_usd_per_month=bound)


def _cheapest(
    problem: Problem, fleet_solution: FleetSolution | None, *, roughly: bool
) -> FleetSolution | Infeasible:  # fmt: skip
    parts = scopes(problem)
    if len(parts) == 1 and is_countable(parts[0]):
        return _cheaper(fleet_solution, counted(parts[0])) or Unexplained(parts)
    single = cheapest_single(problem)
    if single is not None and fleet_solution is None and [len(pool.tariffs) for pool in problem.pools] == [1]:
        return single
    best = _cheaper(fleet_solution, single)
    if len(parts) == 1:
        return _improved(best, _needed(parts[0]), roughly=roughly) or Unexplained(parts, without_dominated)
    usd = _by_scope(problem, usd_alone(problem))
    singles = [usd[scope_of(problem, part.pools[0])] for part in parts]
    first = singles.index(min(singles))
    bounded = sorted((-math.inf if at == first else lower_bound(part), at) for at, part in enumerate(parts))
    without: list[Problem] = []
    for bound, at in bounded:
        if best is not None and bound > best.objective_usd_per_month + A_CENT:
            break
        searched = _as_searched(parts[at], best)
        if searched is not None:
            best = _improved(best, searched, roughly=roughly)
        if searched is not None and best is None:
            without.append(searched)
    return best or Unexplained(without[:EXPLAINED])


def _as_searched(part: Problem, best: FleetSolution | None) -> Problem | None:
    """A scope without the pools that no cheapest fleet needs; None where none in it is cheaper than the best so far."""
    most_usd = math.inf if best is None else best.objective_usd_per_month + A_CENT
    if bound_with_spare(part) > most_usd:
        return None
    if is_countable(part):
        return part
    fewer = _needed(part)
    return None if least_usd(fewer) > most_usd else fewer


def _needed(part: Problem) -> Problem:
    """A scope without the pools that no cheapest fleet needs at the rates that they have."""
    return without_dominated(part, as_stated=True)


def _improved(best: FleetSolution | None, part: Problem, *, roughly: bool) -> FleetSolution | None:
    """The best fleet so far, or a cheaper one of a scope; None where there is neither."""
    if is_countable(part):
        return _cheaper(best, counted(part))
    return fleet_if_any(part) if best is None else improved(best, part, roughly=roughly)


def _cheaper(fleet_solution: FleetSolution | None, other: FleetSolution | None) -> FleetSolution | None:
    """The cheaper of two fleets, the first of equals."""
    return min((fleet for fleet in (fleet_solution, other) if fleet is not None), key=_usd, default=None)


def cheapest_single(problem: Problem) -> FleetSolution | None:
    """The cheapest fleet of one pool paid for in one way; None where none is one."""
    return Singles(problem).cheapest


class Singles:
    """Fleets of each pool in each way of paying, those of the least bound first, each computed when it is asked for.

    No fleet of a pool costs less than its bound by more than what parts that are each rounded to the cent make up
    (``ROUNDED_USD``): as many instances of each hour class as carry it in the cheapest way of paying, also without one
    of them where that is asked, and what the region charges at least. So once a bound is above a fleet's cost by that,
    no fleet behind it is cheaper.
    """

    def __init__(
        self,
        problem: Problem,
        known_usd: dict[Instances, float] | None = None,
        headroom: float | None = None,
        pools: "PoolsAlone | None" = None,
    ) -> None:
        """Order the pools by their bounds, each taken to sustain so many times less.

        Args:
            problem: the question.
            known_usd: see :func:`alone`.
            headroom: of every pool; None: as they are.
            pools: those of the question, where they were looked at before.
        """
        self._pools = PoolsAlone(problem) if pools is None else pools
        self._problem, self._known_usd = problem, {} if known_usd is None else known_usd
        self._headroom = headroom
        self._bounds = self._pools.usd_per_month(headroom)
        self._order = np.argsort(self._bounds, kind="stable").tolist()
        self._fleets: list[FleetSolution | None] = []
        """The cheapest of each pool so far, in their order."""

    @property
    def cheapest(self) -> FleetSolution | None:
        """The cheapest of them; None where there is none."""
        best: FleetSolution | None = None
        for at in range(len(self._order)):
            if best is not None and self._bound(at) > _usd(best) + ROUNDED_USD:
                break
            best = _cheaper(best, self._fleet(at))
        return best

    def is_any_below(self, usd_per_month: float) -> bool:
        """Whether one of them costs less than an amount."""
        affordable = takewhile(lambda at: self._bound(at) <= usd_per_month + ROUNDED_USD, range(len(self._order)))
        fleets = filter(None, map(self._fleet, affordable))
        return any(_usd(fleet) < usd_per_month for fleet in fleets)

    def _bound(self, at: int) -> float:
        return float(self._bounds[self._order[at]])

    def _fleet(self, at: int) -> FleetSolution | None:
        """The cheapest fleet of a pool, asked for in their order; None where there is none."""
        if at == len(self._fleets):
            self._fleets.append(self._cheapest_of(self._pools.able[self._order[at]]))
        return self._fleets[at]

    def _cheapest_of(self, pool: Pool) -> FleetSolution | None:
        pool = pool if self._headroom is None else pool.slower(self._headroom)
        best: FleetSolution | None = None
        for tariff in pool.tariffs:
            if tariff.paid not in (PurchaseOption.OWNED, PurchaseOption.SERVERLESS):
                fleet = alone(self._problem, pool, tariff, self._known_usd)
                best = _cheaper(best, fleet if isinstance(fleet, FleetSolution) else None)
        return best


def _usd(fleet: FleetSolution) -> float:
    return fleet.objective_usd_per_month


def _by_scope(problem: Problem, usd_by_pool: Mapping[str, float]) -> Mapping[str, float]:
    """The least of each scope."""
    usd: dict[str, float] = {}
    for pool in problem.pools:
        scope = scope_of(problem, pool)
        usd[scope] = min(usd.get(scope, math.inf), usd_by_pool[pool.key])
    return usd


def usd_alone(problem: Problem) -> Mapping[str, float]:
    """The same of each pool, by its key; infinite for those that do not serve everything."""
    alone_usd, of_pools = PoolsAlone(problem), dict.fromkeys((pool.key for pool in problem.pools), math.inf)
    usd = alone_usd.usd_per_month().tolist()
    return of_pools | {pool.key: of_pool for pool, of_pool in zip(alone_usd.able, usd, strict=True)}


class PoolsAlone:
    """Pools that could serve everything by themselves, each bought in its cheapest way."""

    def __init__(self, problem: Problem) -> None:
        """Look up what is the same however much they sustain."""
        self._problem = problem
        self.able = [pool for pool in problem.pools if pool.tariffs and pool.serves_all_places]
        self._usd_per_hour = np.array([min(tariff.all_usd_per_hour for tariff in pool.tariffs) for pool in self.able])
        self._hours = np.array([hours_per_month(hour) for hour in problem.hours])
        self._planned = planned_rates(problem)
        self._standing_usd = least_alone_usd_per_month(problem, self.able)

    def usd_per_month(self, headroom: float | None = None) -> Floats:
        """USD a month that no fleet of each of them is below, at so many times less than it sustains; None: at that."""
        if not self.able:
            return np.zeros(0)
        rates = np.array([mix_rate(self._problem, pool, headroom) for pool in self.able])
        counts = least_instances(self._problem, self._planned, rates, self._loads(headroom))
        usd: Floats = self._usd_per_hour * (counts * self._hours).sum(axis=1)
        return usd + self._standing_usd

    def _loads(self, headroom: float | None) -> Floats | None:
        """Instances that each request per second keeps busy, where lengths are told apart; None where they are not."""
        if not len(self._problem.bucket_shares):
            return None
        pools = self.able if headroom is None else [pool.slower(headroom) for pool in self.able]
        return np.array([load_of(self._problem, pool, 1.0) for pool in pools])
