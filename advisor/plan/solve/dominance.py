"""Pools that no cheapest fleet needs: those whose every instance could be replaced by others at no more cost.

An instance of b is replaced by m instances of a, with m the most that any of its rates needs. Where those cost no more
of anything that is counted (USD, carbon, power, quota units), a fleet without b is as good as any with it, and the
program is solved over the rest: the optimum stays the optimum.

Failures: without one machine, k instances of b leave k - 1 and those that replace them m k - 1, which sustain no less.
Without one of z zones k instances leave ``k - ⌈k/z⌉``, and m times as many of a leave no less than m times that in the
same region and no fewer zones. Spot is replaced by what is not on spot, by spot of the same supply in no fewer zones,
or by twice as many instances of another supply in two zones or more, of which a shortage leaves half.

Hosts in another region, or in place of a service or of nodes of a cluster, are not a replacement where a region charges
for its load balancer; nor are nodes in place of hosts. What a region charges for a further group or backend is left
out: where only some ways of paying for a pool are replaced, the fleet may have one more, and cost that much more than
the cheapest.

Where any request may go to any pool and the rates are not going to be scaled, an instance counts for no more than the
busiest hours ask for: what it sustains beyond that carries nothing, whatever fails.

There are two exceptions. Where failures count, a pool is left out for the sake of spot of other supplies, or of other
regions, only if pools in two of them could stand in for it: the cheapest fleet of at most two pools, each in a place of
its own, is never lost. And a commitment that is cheaper and carries more may not be in use for long enough at
the low edge of the forecast where a smaller one is: then a fleet with the smaller one can be lost.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from advisor.plan.problem.charges import own_place, usd_per_request
from advisor.plan.problem.formulas import (
    Part,
    base_rate,
    hours_per_month,
    idle_hours,
    mix_rate,
    quota_units,
    share_without,
    starts_per_month,
)
from advisor.plan.problem.limits import Shortcut, caps_in_proportion, is_kept_by
from advisor.plan.problem.values import Floats, Pool, Problem, PurchaseOption, Tariff
from advisor.records import dataclass, fields, replace
from advisor.units import ROUNDING
from advisor.workload.values import Limits

CHAMPIONS = 64
"""Tariffs that are tried as replacements first: the cheapest per request, of every way of paying."""
_PAID = tuple(PurchaseOption)
_ON_DEMAND, _SPOT, _OWNED = (
    _PAID.index(paid) for paid in (PurchaseOption.ON_DEMAND, PurchaseOption.SPOT, PurchaseOption.OWNED)
)
BLOCK = 512
"""Items compared with the others at a time, to bound the memory."""

Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]
"""Numbers that stand for names: numbers are compared in a fraction of the time that text takes."""
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Items:
    """Tariffs of pools, one entry each, in an order in which of two equals the first is kept."""

    pool: Positions
    tariff: Positions
    order: Positions
    paid: Codes
    rates: Floats
    """(items, places and buckets, and what counts where others fail)"""
    needed: Floats
    """The same, as far as the busiest hours may need it."""
    usd: Floats
    costs: Floats
    """What else an instance takes, (items, kinds of cost)."""
    per_request: Floats
    on_hosts: Flags
    """Whether it takes the load balancer of its region."""
    break_even: Floats
    replicas: Floats
    types: Codes
    regions: Codes
    places: Codes
    """Keys of what regions charge."""
    zones: Floats
    supplies: Codes
    backends: Codes
    kinds: Codes
    """Only what is of the same kind may stand in."""
    special: Codes
    """Name of what runs today, is owned or paid for by the second, which only its like can replace; 0 for all else."""

    def take(self, index: Positions) -> "_Items":
        return _Items(*(column[index] for column in _columns(self)))


_columns = attrgetter(*(field.name for field in fields(_Items)))


def without_dominated(problem: Problem, *, same_backend: bool = False, as_stated: bool = False) -> Problem:
    """The same problem without the tariffs and pools that no cheapest fleet needs.

    Args:
        problem: of all pools.
        same_backend: keep also what no cheapest fleet of the same backends and instance types needs.
        as_stated: leave out also what is needed only where all rates are lower, or a limit is given up.
    """
    if not is_kept_by(Shortcut.DOMINANCE, problem.limits):
        return problem
    items = _items(problem)
    if same_backend:
        items = replace(items, kinds=items.backends * (items.types.max(initial=0) + 1) + items.types)
    elif problem.limits.max_instance_types is not None:
        items = replace(items, kinds=items.types)
    asked = problem
    if as_stated:
        items, asked = _as_needed(items, problem), _with_implied_replicas(problem)
    items = _without(items, _champions(items), asked)
    items = _without(items, items, asked)
    return replace(problem, pools=_pools(problem.pools, items))


def _as_needed(items: _Items, problem: Problem) -> _Items:
    """The items with rates as far as the busiest hours need them."""
    if not problem.all_alike:
        return items
    return replace(items, needed=np.minimum(items.rates, max(hour.planned_rate for hour in problem.hours)))


def _with_implied_replicas(problem: Problem) -> Problem:
    """The problem without a number of replicas that an instance in each zone has in any case."""
    limits = problem.limits
    return replace(problem, limits=replace(limits, min_replicas=1)) if limits.min_replicas <= limits.zones else problem


def _champions(items: _Items) -> _Items:
    """The cheapest per request of each way of paying."""
    price = items.usd / np.maximum(items.rates[:, 0], ROUNDING)
    chosen = [
        members[np.argsort(price[members], kind="stable")[:CHAMPIONS]]
        for paid in sorted(set(items.paid.tolist()))
        if (members := np.flatnonzero(items.paid == paid)).size
    ]
    return items.take(np.concatenate(chosen))


def _without(items: _Items, others: _Items, problem: Problem) -> _Items:
    """The items that not enough of the others could stand in for."""
    if items.usd.size <= BLOCK:
        return items.take(np.flatnonzero(~_dominated(items, others, problem)))
    kept = [
        block[~_dominated(items.take(block), others.take(near), problem)]
        for group, near in _near(items, others, problem)
        for block in np.split(group, range(BLOCK, group.size, BLOCK))
    ]
    return items.take(np.sort(np.concatenate(kept)))


def _near(items: _Items, others: _Items, problem: Problem) -> Iterator[tuple[Positions, Positions]]:
    """Groups of the items, each with the others that may stand in where regions charge: there, or not on hosts."""
    if not problem.charges:
        yield np.arange(items.usd.size), np.arange(others.usd.size)
        return
    for place in np.unique(items.places):
        near = ~others.on_hosts | (others.places == place)
        yield np.flatnonzero(items.places == place), np.flatnonzero(near)


def _pools(pools: Sequence[Pool], items: _Items) -> tuple[Pool, ...]:
    """Pools with the tariffs that were kept, in their old order."""
    tariffs: dict[int, list[int]] = {}
    for g, t in sorted(zip(items.pool.tolist(), items.tariff.tolist(), strict=True)):
        tariffs.setdefault(g, []).append(t)
    return tuple(replace(pools[g], tariffs=tuple(pools[g].tariffs[t] for t in kept)) for g, kept in tariffs.items())


def _items(problem: Problem) -> _Items:
    quotas, run_hours = tuple(problem.quota_limits), shortest_run_hours(problem)
    rows = [(g, t, pool, tariff) for g, pool in enumerate(problem.pools) for t, tariff in enumerate(pool.tariffs)]
    rates = _rates(problem)
    return _Items(
        pool=np.array([g for g, *_ in rows], dtype=np.intp),
        tariff=np.array([t for _, t, *_ in rows], dtype=np.intp),
        order=np.arange(len(rows), dtype=np.intp),
        paid=np.array([_PAID.index(tariff.paid) for *_, tariff in rows], dtype=np.intp),
        rates=rates,
        needed=rates,
        usd=np.array([tariff.all_usd_per_hour for *_, tariff in rows]),
        costs=np.array([_costs(pool, tariff, quotas, run_hours, problem.limits) for *_, pool, tariff in rows]),
        per_request=np.array([usd_per_request(problem, pool, tariff) for *_, pool, tariff in rows]),
        on_hosts=np.array([tariff.on_hosts for *_, tariff in rows], dtype=np.bool_),
        break_even=np.array([tariff.break_even_ratio for *_, tariff in rows]),
        replicas=np.array([float(pool.replicas) for *_, pool, _ in rows]),
        types=_codes(pool.instance_type for *_, pool, _ in rows),
        regions=_codes(pool.region for *_, pool, _ in rows),
        places=_codes(own_place(pool) for *_, pool, _ in rows),
        zones=np.array([float(pool.zones) for *_, pool, _ in rows]),
        supplies=_codes(pool.spot_supply for *_, pool, _ in rows),
        backends=_codes(pool.backend or pool.key for *_, pool, _ in rows),
        kinds=np.zeros(len(rows), dtype=np.intp),
        special=_codes(_special(problem, pool, tariff) for *_, pool, tariff in rows),
    )


def _rates(problem: Problem) -> Floats:
    """Rates of each tariff of each pool: of places, of places and buckets, and what counts where others fail."""
    pools = problem.pools
    of_pools = (
        np.array([pool.mix_rates for pool in pools]),
        np.array([pool.rates.ravel() for pool in pools]),
        np.array([(mix_rate(problem, pool), base_rate(problem, pool)) for pool in pools]),
    )
    return np.repeat(np.hstack(of_pools), [len(pool.tariffs) for pool in pools], axis=0)


def _codes(names: Iterable[str]) -> Codes:
    """A number for each name, 0 for no name."""
    numbers = {"": 0}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)


def _special(problem: Problem, pool: Pool, tariff: Tariff) -> str:
    if tariff.paid is PurchaseOption.SERVERLESS:
        return f"{pool.key} {tariff.paid}"
    return (
        f"{pool.type_in_region} {tariff.paid}"
        if tariff.paid is PurchaseOption.OWNED or problem.running.get(pool.type_in_region)
        else ""
    )


def shortest_run_hours(problem: Problem) -> float:
    """Hours that an instance runs for each of its starts, at the least; infinite where nothing is ever started."""
    classes = range(len(problem.hours))
    starts = [math.fsum(starts_per_month(problem, at) for at in classes[h:]) for h in classes]
    hours = [math.fsum(hours_per_month(hour) for hour in problem.hours[h:]) for h in classes]
    return min((run / count for run, count in zip(hours, starts, strict=True) if count > ROUNDING), default=math.inf)


def _costs(
    pool: Pool, tariff: Tariff, quotas: tuple[tuple[str, str], ...], run_hours: float, limits: Limits
) -> list[float]:  # fmt: skip
    return [
        pool.switching_usd,
        _start_and_run_usd(pool, tariff, run_hours),
        *(pool.takes.get(constraint, 0.0) for constraint in caps_in_proportion(limits)),
        *(quota_units(pool, tariff, key) for key in quotas),
    ]


def _start_and_run_usd(pool: Pool, tariff: Tariff, run_hours: float) -> float:
    """A start with the hours that follow it at the least.

    Where neither this nor an hour costs more, no number of hours with their starts does. What runs at all hours is
    never started, nor is what replaces it: anything would do.
    """
    if tariff.paid.always:
        return math.inf
    return (
        0.0
        if math.isinf(run_hours)
        else (run_hours + idle_hours(pool, tariff)) * tariff.all_usd_per_hour + pool.start_usd
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Items and others that could replace them, one entry each."""

    item: Positions
    other: Positions
    count: Floats
    """Instances of the other that carry what one of the item carries."""

    def take(self, chosen: Flags) -> "_Pairs":
        return _Pairs(self.item[chosen], self.other[chosen], self.count[chosen])


def _dominated(items: _Items, others: _Items, problem: Problem) -> Flags:
    """Whether enough of the others could stand in for each item."""
    limits = problem.limits
    affordable = _affordable(items, others)
    pairs = affordable.take(_could_stand_in(items, others, affordable, problem))
    item, other = pairs.item, pairs.other
    alike = items.paid[item] == others.paid[other]
    on_spot = (items.paid == _SPOT) & (share_without(limits, Part.SUPPLY) > 0)
    steady = (others.paid[other] == _ON_DEMAND) | (alike & ~on_spot[item])
    any_place = share_without(limits, Part.ZONE) == 0 and problem.max_regions is None
    in_place = any_place | (items.regions[item] == others.regions[other])
    same_supply = items.supplies[item] == others.supplies[other]
    spread = alike & (others.zones[other] >= items.zones[item])
    dominated = np.zeros(items.usd.size, dtype=np.bool_)
    dominated[item[in_place & (steady | (spread & same_supply))]] = True
    could = steady | spread
    dominated |= _have_several(dominated.size, pairs.take(could & ~in_place), others.regions)
    dominated |= on_spot & _have_several(dominated.size, pairs.take(could & in_place), others.supplies)
    left = affordable.take((on_spot & ~dominated)[affordable.item])
    twice = replace(left, count=2 * left.count)
    two = twice.take(_could_stand_in(items, others, twice, problem))
    near = any_place | (items.regions[two.item] == others.regions[two.other])
    alike = items.paid[two.item] == others.paid[two.other]
    dominated[two.item[alike & near & (others.zones[two.other] > 1)]] = True
    return dominated


def _affordable(items: _Items, others: _Items) -> _Pairs:
    """Pairs of one kind in which the others that carry an item's requests cost no more than it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        per_rate, of_item = others.usd / others.needed[:, 0], items.usd / items.needed[:, 0]
    cheap = (others.usd <= items.usd[:, None] + ROUNDING) & (items.kinds[:, None] == others.kinds)
    cheap &= ~(per_rate > of_item[:, None] * (1 + ROUNDING) + ROUNDING)
    item, other = np.nonzero(cheap)
    pairs = _Pairs(item, other, np.ones(item.size))
    for column in _different(items.needed, others.needed):
        wanted, given = items.needed[pairs.item, column], others.needed[pairs.other, column]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(wanted > 0, wanted / given, 0.0)
        pairs = replace(pairs, count=np.maximum(pairs.count, np.ceil(ratio - ROUNDING)))
        pairs = pairs.take(np.isfinite(pairs.count) & _costs_no_more(items, others, pairs))
    return pairs


def _different(needed: Floats, of_others: Floats) -> Iterator[int]:
    """Columns of both that are not like the one before: places of one demand often ask for the same."""
    for column in range(needed.shape[1]):
        before = column - 1
        is_alike = before >= 0 and all((rates[:, column] == rates[:, before]).all() for rates in (needed, of_others))
        if not is_alike:
            yield column


def _costs_no_more(items: _Items, others: _Items, pairs: _Pairs) -> Flags:
    usd = np.where(np.isfinite(pairs.count), pairs.count, 1.0) * others.usd[pairs.other]
    cheap: Flags = usd <= items.usd[pairs.item] + ROUNDING
    return cheap


def _have_several(size: int, pairs: _Pairs, names: Codes) -> Flags:
    """Whether each item has others of two names or more."""
    first, last = np.full(size, names.max(initial=0) + 1), np.full(size, -1)
    np.minimum.at(first, pairs.item, names[pairs.other])
    np.maximum.at(last, pairs.item, names[pairs.other])
    several: Flags = first < last
    return several


def _could_stand_in(items: _Items, others: _Items, pairs: _Pairs, problem: Problem) -> Flags:
    """Whether the others of each pair could replace the item, in such numbers."""
    item, other, count = pairs.item, pairs.other, pairs.count
    could = _costs_no_more(items, others, pairs)
    could &= others.per_request[other] <= items.per_request[item] + ROUNDING
    could &= others.break_even[other] <= items.break_even[item]
    owned = others.paid[other] == _OWNED
    same_special = items.special[item] == others.special[other]
    could &= np.where(items.special[item] == 0, ~owned, same_special & (~owned | (count == 1)))
    could &= _keeps_limits(items, others, pairs, problem)
    if problem.charges:
        in_region = items.regions[item] == others.regions[other]
        in_place = items.places[item] == others.places[other]
        could &= ~others.on_hosts[other] | (items.on_hosts[item] & in_place)
        if any(charges.anyway_usd_per_month for charges in problem.charges.values()):
            could &= in_region
    at = np.flatnonzero(could)
    could[at] = (count[at, None] * others.costs[other[at]] <= items.costs[item[at]] + ROUNDING).all(axis=1)
    at = np.flatnonzero(could & (count == 1) & (others.usd[other] >= items.usd[item] - ROUNDING))
    could[at] = ~_is_no_better(items, others, item[at], other[at])
    return could


def _is_no_better(items: _Items, others: _Items, item: Positions, other: Positions) -> Flags:
    """Whether each other is no faster than its item, for which it costs as much, and slower or behind it."""
    own, given = items.rates[item], others.rates[other]
    equal = (given <= own * (1 + ROUNDING)).all(axis=1)
    slower = (given < own * (1 - ROUNDING)).any(axis=1)
    no_better: Flags = equal & (slower | (others.order[other] >= items.order[item]))
    return no_better


def _keeps_limits(items: _Items, others: _Items, pairs: _Pairs, problem: Problem) -> Flags:
    """Whether a replacement also does what limits on replicas, regions, changes and failures need."""
    limits, item, other, count = problem.limits, pairs.item, pairs.other, pairs.count
    fine = np.ones(count.shape, dtype=np.bool_)
    if limits.min_replicas > 1:
        fine &= count * others.replicas[other] >= items.replicas[item]
    if limits.max_replicas is not None:
        load = others.replicas[other, None] * items.rates[item]
        fine &= (load <= items.replicas[item, None] * others.rates[other] + ROUNDING).all(axis=1)
    if limits.max_changed_instances is not None:
        fine &= count == 1
    if share_without(limits, Part.ZONE) > 0:
        fine &= others.zones[other] >= items.zones[item]
    return fine
