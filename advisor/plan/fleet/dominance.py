"""Which pools no cheapest fleet needs: those whose every instance could be replaced by others at no more cost.

An instance of b is replaced by m instances of a, with m the most that any of its rates needs. Where those cost no more
of anything that is counted (USD, carbon, power, quota units), a fleet without b is as good as any with it, and the
program is solved over the rest: the optimum stays the optimum. There are two exceptions. Spot that has to be spread is
left out as `SPOT_STANDS` says. And a commitment that is cheaper and carries more may not be in use for long enough at
the low edge of the forecast where a smaller one is: then a fleet with the smaller one can be lost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from advisor.plan.fleet.formulas import hours_per_month, mix_rate, starts_per_month
from advisor.plan.fleet.values import Floats, Paid, Pool, Problem, Tariff
from advisor.workload.values import Limits, Survive

SPOT_STANDS = 2
"""A spot pool is left out only if so many others could stand in for it, so that the cheapest fleet of at most so many
spot stands (types × regions, each over all zones) is never lost."""
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
    stands: npt.NDArray[np.str_]
    special: npt.NDArray[np.str_]
    """Of what runs today, is owned or is paid for by the second, which only its like can replace; "" for all else."""

    def take(self, index: Positions) -> "_Items":
        return _Items(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def without_dominated(problem: Problem) -> Problem:
    """The same problem without the tariffs and pools that no cheapest fleet needs."""
    items = _items(problem)
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
    kept = [block[~_dominated(items.take(block), others, problem.limits)] for block in blocks]
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
        stands=np.array([pool.stand for *_, pool, _ in rows]),
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
        *(pool.quotas.get(key, 0.0) if key[1] == tariff.paid.market else 0.0 for key in quotas),
    ]


def _start_and_run_usd(pool: Pool, tariff: Tariff, run_hours: float) -> float:
    """A start with the hours that follow it at the least.

    Where neither this nor an hour costs more, no number of hours with their starts does. What runs at all hours is
    never started, nor is what replaces it: anything would do.
    """
    if tariff.paid.always:
        return math.inf
    return 0.0 if math.isinf(run_hours) else (run_hours + pool.lead_hours) * tariff.all_usd_per_hour + pool.start_usd


def _dominated(items: _Items, others: _Items, limits: Limits) -> Flags:
    """Whether enough of the others could stand in for each item."""
    could = _could_stand_in(items, others, limits)
    alike = items.paid[:, None] == others.paid
    found: Flags = (could & (others.paid == Paid.ON_DEMAND)).any(axis=1)
    steady = (items.paid != Paid.SPOT) | (limits.fault_tolerant_ratio == 1)
    same_stand = items.stands[:, None] == others.stands
    found |= (could & alike & (steady[:, None] | same_stand)).any(axis=1)
    for at in np.flatnonzero(~found & ~steady):
        found[at] = np.unique(others.stands[could[at] & alike[at]]).size >= SPOT_STANDS
    return found


def _could_stand_in(items: _Items, others: _Items, limits: Limits) -> Flags:
    """Which of the others could replace each item: (items, others)."""
    count = _replacements(items.rates, others.rates)
    finite = np.where(np.isfinite(count), count, 1.0)
    usd = finite * others.usd
    could: Flags = (usd <= items.usd[:, None] + ROUNDING) & np.isfinite(count)
    could &= (others.paid != Paid.OWNED) | (count == 1)
    could &= others.per_request <= items.per_request[:, None] + ROUNDING
    could &= others.break_even <= items.break_even[:, None]
    for column in range(items.costs.shape[1]):
        could &= finite * others.costs[:, column] <= items.costs[:, column, None] + ROUNDING
    could &= np.where(items.special[:, None] == "", others.paid != Paid.OWNED, items.special[:, None] == others.special)
    could &= _keeps_limits(items, others, count, limits)
    back = _replacements(others.rates, items.rates).T
    equal = (count == 1) & (back == 1) & (usd >= items.usd[:, None] - ROUNDING)
    could &= ~(equal & (others.order >= items.order[:, None]))
    return could


def _replacements(rates: Floats, others: Floats) -> Floats:
    """Instances of each other that carry what one of each item carries; infinite where they cannot: (items, others)."""
    needed = np.ones((len(rates), len(others)))
    for column in range(rates.shape[1]):
        wanted, given = rates[:, column, None], others[:, column]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(wanted > 0, wanted / given, 0.0)
        needed = np.maximum(needed, np.ceil(ratio - ROUNDING))
    return needed


def _keeps_limits(items: _Items, others: _Items, count: Floats, limits: Limits) -> Flags:
    """Whether a replacement also does what limits on replicas, types, changes and failures need."""
    fine = np.ones(count.shape, dtype=np.bool_)
    if limits.min_replicas > 1:
        fine &= np.where(np.isfinite(count), count, 1.0) * others.replicas >= items.replicas[:, None]
    if limits.max_replicas is not None:
        for column in range(items.rates.shape[1]):
            load = others.replicas * items.rates[:, column, None]
            fine &= load <= items.replicas[:, None] * others.rates[:, column] + ROUNDING
    if limits.max_instance_types is not None:
        fine &= others.types == items.types[:, None]
    if limits.max_changed_instances is not None:
        fine &= count == 1
    if limits.survival is not Survive.NOTHING:
        fine &= (count == 1) | (_replacements(others.rates, items.rates).T == 1)
    return fine
