"""Which pools no cheapest fleet needs: those whose every instance could be replaced by others at no more cost.

An instance of b is replaced by m instances of a, with m the most that any of its rates needs. Where those cost no more
of anything that is counted (USD, carbon, power, quota units), a fleet without b is as good as any with it, and the
program is solved over the rest: the optimum stays the optimum.

Failures: without one machine, k instances of b leave k - 1 and those that replace them m k - 1, which sustain no less.
Without one of z zones k instances leave ``k - ⌈k/z⌉``, and m times as many of a leave no less than m times that in the
same region and no fewer zones. Spot is replaced by what is not on spot, by spot of the same supply in no fewer zones,
or by twice as many instances of another supply in two zones or more, of which a shortage leaves half.

There are two exceptions. Spot of other supplies stands in for spot, and what is in other regions where zones or regions
are limited, as `PLACES` says. And a commitment that is cheaper and carries more may not be in use for long enough at
the low edge of the forecast where a smaller one is: then a fleet with the smaller one can be lost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from advisor.plan.problem.formulas import Part, hours_per_month, mix_rate, quota_units, share_without, starts_per_month
from advisor.plan.problem.values import Floats, Paid, Pool, Problem, Tariff
from advisor.workload.values import Limits

PLACES = 2
"""Where failures count a pool is left out for the sake of other spot supplies, or other regions, only if pools in so
many of them could stand in for it: the cheapest fleet of at most so many pools, each in a place of its own, is never
lost."""
CHAMPIONS = 64
"""Tariffs that are tried as replacements first: the cheapest per request, of every way of paying."""
ROUNDING = 1e-9
BLOCK = 512
"""Items compared with the others at a time, to bound the memory."""

Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class _Items:
    """Tariffs of pools, one entry each, in an order in which of two equals the first is kept."""

    pool: Positions
    tariff: Positions
    order: Positions
    paid: npt.NDArray[np.str_]
    rates: Floats
    """(items, places and buckets, and what counts where others fail)"""
    usd: Floats
    costs: Floats
    """What else an instance takes, (items, kinds of cost)."""
    per_request: Floats
    break_even: Floats
    replicas: Floats
    types: npt.NDArray[np.str_]
    regions: npt.NDArray[np.str_]
    zones: Floats
    supplies: npt.NDArray[np.str_]
    backends: npt.NDArray[np.str_]
    kinds: npt.NDArray[np.str_]
    """Only what is of the same kind may stand in."""
    special: npt.NDArray[np.str_]
    """Of what runs today, is owned or is paid for by the second, which only its like can replace; "" for all else."""

    def take(self, index: Positions) -> "_Items":
        return _Items(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def without_dominated(problem: Problem, *, same_backend: bool = False) -> Problem:
    """The same problem without the tariffs and pools that no cheapest fleet needs.

    Args:
        problem: of all pools.
        same_backend: keep also what no cheapest fleet of the same backends and instance types needs.
    """
    items = _items(problem)
    if same_backend:
        items = replace(items, kinds=np.char.add(np.char.add(items.backends, " "), items.types))
    elif problem.limits.max_instance_types is not None:
        items = replace(items, kinds=items.types)
    items = _without(items, _champions(items), problem)
    items = _without(items, items, problem)
    return replace(problem, pools=_pools(problem.pools, items))


def _champions(items: _Items) -> _Items:
    """The cheapest per request of each way of paying."""
    price = items.usd / np.maximum(items.rates[:, 0], ROUNDING)
    chosen = [
        members[np.argsort(price[members], kind="stable")[:CHAMPIONS]]
        for paid in np.unique(items.paid)
        if (members := np.flatnonzero(items.paid == paid)).size
    ]
    return items.take(np.concatenate(chosen))


def _without(items: _Items, others: _Items, problem: Problem) -> _Items:
    """The items that not enough of the others could stand in for."""
    blocks = np.split(np.arange(items.usd.size), range(BLOCK, items.usd.size, BLOCK))
    kept = [block[~_dominated(items.take(block), others, problem)] for block in blocks]
    return items.take(np.concatenate(kept))


def _pools(pools: Sequence[Pool], items: _Items) -> tuple[Pool, ...]:
    """Pools with the tariffs that were kept, in their old order."""
    tariffs: dict[int, list[int]] = {}
    for g, t in sorted(zip(items.pool.tolist(), items.tariff.tolist(), strict=True)):
        tariffs.setdefault(g, []).append(t)
    return tuple(replace(pools[g], tariffs=tuple(pools[g].tariffs[t] for t in kept)) for g, kept in tariffs.items())


def _items(problem: Problem) -> _Items:
    quotas, run_hours = tuple(problem.quota_limits), shortest_run_hours(problem)
    rows = [(g, t, pool, tariff) for g, pool in enumerate(problem.pools) for t, tariff in enumerate(pool.tariffs)]
    return _Items(
        pool=np.array([g for g, *_ in rows], dtype=np.intp),
        tariff=np.array([t for _, t, *_ in rows], dtype=np.intp),
        order=np.arange(len(rows), dtype=np.intp),
        paid=np.array([tariff.paid.value for *_, tariff in rows]),
        rates=np.array([[*pool.mix_rates, *pool.rates.ravel(), mix_rate(problem, pool)] for *_, pool, _ in rows]),
        usd=np.array([tariff.all_usd_per_hour for *_, tariff in rows]),
        costs=np.array([_costs(pool, tariff, quotas, run_hours, problem.limits) for *_, pool, tariff in rows]),
        per_request=np.array([pool.usd_per_request for *_, pool, _ in rows]),
        break_even=np.array([tariff.break_even_ratio for *_, tariff in rows]),
        replicas=np.array([float(pool.replicas) for *_, pool, _ in rows]),
        types=np.array([pool.instance_type for *_, pool, _ in rows]),
        regions=np.array([pool.region for *_, pool, _ in rows]),
        zones=np.array([float(pool.zones) for *_, pool, _ in rows]),
        supplies=np.array([pool.spot_supply for *_, pool, _ in rows]),
        backends=np.array([pool.backend or pool.key for *_, pool, _ in rows]),
        kinds=np.full(len(rows), ""),
        special=np.array([_special(problem, pool, tariff) for *_, pool, tariff in rows]),
    )


def _special(problem: Problem, pool: Pool, tariff: Tariff) -> str:
    if tariff.paid is Paid.SERVERLESS:
        return f"{pool.key} {tariff.paid}"
    return f"{pool.stand} {tariff.paid}" if tariff.paid is Paid.OWNED or problem.running.get(pool.stand) else ""


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
        (pool.kg_co2e_per_hour or 0.0) if limits.max_kg_co2e_per_month is not None else 0.0,
        (pool.kw or 0.0) if limits.max_kw is not None else 0.0,
        *(quota_units(pool, tariff, key) for key in quotas),
    ]


def _start_and_run_usd(pool: Pool, tariff: Tariff, run_hours: float) -> float:
    """A start with the hours that follow it at the least.

    Where neither this nor an hour costs more, no number of hours with their starts does. What runs at all hours is
    never started, nor is what replaces it: anything would do.
    """
    if tariff.paid.always:
        return math.inf
    return 0.0 if math.isinf(run_hours) else (run_hours + pool.lead_hours) * tariff.all_usd_per_hour + pool.start_usd


def _dominated(items: _Items, others: _Items, problem: Problem) -> Flags:
    """Whether enough of the others could stand in for each item."""
    limits = problem.limits
    cheap_enough = (others.usd <= items.usd[:, None] + ROUNDING) & _same(items.kinds, others.kinds)
    count = _replacements(items.rates, others.rates, cheap_enough)
    could = _could_stand_in(items, others, count, problem)
    alike = _same(items.paid, others.paid)
    on_spot = (items.paid == Paid.SPOT) & (share_without(limits, Part.SUPPLY) > 0)
    steady = (others.paid == Paid.ON_DEMAND) | (alike & ~on_spot[:, None])
    in_place = _same(items.regions, others.regions) | (
        share_without(limits, Part.ZONE) == 0 and problem.max_regions is None
    )
    same_supply = _same(items.supplies, others.supplies)
    spread = others.zones >= items.zones[:, None]
    found: Flags = (could & in_place & (steady | (alike & spread & same_supply))).any(axis=1)
    could &= steady | (alike & spread)
    for at in np.flatnonzero(~found):
        found[at] = _distinct(others.regions, could[at] & ~in_place[at]) >= PLACES or (
            bool(on_spot[at]) and _distinct(others.supplies, could[at] & in_place[at]) >= PLACES
        )
    left = np.flatnonzero(~found & on_spot)
    twice = _could_stand_in(items.take(left), others, 2 * count[left], problem)
    found[left] = (twice & alike[left] & in_place[left] & (others.zones > 1)).any(axis=1)
    return found


def _same(names: npt.NDArray[np.str_], others: npt.NDArray[np.str_]) -> Flags:
    """Which names are equal: (names, others); numbers are compared, since text takes several times as long."""
    codes = np.unique(np.concatenate([names, others]), return_inverse=True)[1]
    found: Flags = codes[: names.size, None] == codes[names.size :]
    return found


def _distinct(names: npt.NDArray[np.str_], chosen: Flags) -> int:
    return np.unique(names[chosen]).size


def _could_stand_in(items: _Items, others: _Items, count: Floats, problem: Problem) -> Flags:
    """Which of the others could replace each item, in such numbers: (items, others)."""
    finite = np.where(np.isfinite(count), count, 1.0)
    usd = finite * others.usd
    could: Flags = (usd <= items.usd[:, None] + ROUNDING) & np.isfinite(count)
    could &= (others.paid != Paid.OWNED) | (count == 1)
    could &= others.per_request <= items.per_request[:, None] + ROUNDING
    could &= others.break_even <= items.break_even[:, None]
    for column in range(items.costs.shape[1]):
        could &= finite * others.costs[:, column] <= items.costs[:, column, None] + ROUNDING
    plain = (items.special == "")[:, None]
    could &= np.where(plain, others.paid != Paid.OWNED, _same(items.special, others.special))
    could &= _keeps_limits(items, others, count, problem)
    equal = could & (count == 1) & (usd >= items.usd[:, None] - ROUNDING)
    equal &= _replacements(others.rates, items.rates, equal.T).T == 1
    could &= ~(equal & (others.order >= items.order[:, None]))
    return could


def _replacements(rates: Floats, others: Floats, asked: Flags) -> Floats:
    """Instances of each other that carry what one of each item carries: (items, others).

    Infinite where they cannot, and where it is not asked.
    """
    needed = np.full(asked.shape, np.inf)
    at, of = np.nonzero(asked)
    fewest = np.ones(at.size)
    for column in range(rates.shape[1]):
        wanted, given = rates[at, column], others[of, column]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(wanted > 0, wanted / given, 0.0)
        fewest = np.maximum(fewest, np.ceil(ratio - ROUNDING))
    needed[at, of] = fewest
    return needed


def _keeps_limits(items: _Items, others: _Items, count: Floats, problem: Problem) -> Flags:
    """Whether a replacement also does what limits on replicas, regions, changes and failures need."""
    limits = problem.limits
    fine = np.ones(count.shape, dtype=np.bool_)
    if limits.min_replicas > 1:
        fine &= np.where(np.isfinite(count), count, 1.0) * others.replicas >= items.replicas[:, None]
    if limits.max_replicas is not None:
        for column in range(items.rates.shape[1]):
            load = others.replicas * items.rates[:, column, None]
            fine &= load <= items.replicas[:, None] * others.rates[:, column] + ROUNDING
    if limits.max_changed_instances is not None:
        fine &= count == 1
    if share_without(limits, Part.ZONE) > 0:
        fine &= others.zones >= items.zones[:, None]
    return fine
