"""Cost of a fleet: the number that is minimised and printed, its parts, and what no fleet of a problem can be below."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from advisor.plan.problem.charges import alone_usd_per_month, standing_usd_per_month
from advisor.plan.problem.formulas import (
    Part,
    billed_hours_per_month,
    hours_per_month,
    idle_hours,
    least_instances,
    mix_rate,
    requests_per_month,
    share_without,
    start_usd_per_month,
    starts_for_quieter_hours,
)
from advisor.plan.problem.values import (
    Allocation,
    Floats,
    HourClass,
    Pool,
    Problem,
    PurchaseOption,
)
from advisor.units import ROUNDING

PRICES = 33


def least_usd(problem: Problem) -> float:
    """USD a month that no fleet of the problem can be below: the higher of the bounds."""
    return max(lower_bound(problem), bound_with_spare(problem))


def planned_rates(problem: Problem) -> Floats:
    """Requests per second of each hour class."""
    return np.array([hour.planned_rate for hour in problem.hours])


def _rates_with_spare(problem: Problem) -> Floats:
    """Requests per second that all instances sustain together, so that enough is left without the fullest zone."""
    planned, zones = planned_rates(problem), sum(max(pools) for pools in _zones_by_region(problem).values())
    left = share_without(problem.limits, Part.ZONE) * planned
    return np.maximum(planned, left / (1 - 1 / zones)) if zones > 1 else planned


def _zones_by_region(problem: Problem) -> dict[str, list[int]]:
    zones: dict[str, list[int]] = {}
    for pool in problem.pools:
        zones.setdefault(pool.region, []).append(pool.zones)
    return zones


def lower_bound(problem: Problem) -> float:
    """USD a month that no fleet of the problem can be below, from its prices alone.

    In each hour class what so few whole instances as could carry the requests cost: one that is fast enough alone, or
    several that are so together, as many as failures ask for and at least one in each zone; and all answers over the
    cheapest way to the users, with what the cheapest region charges. Capacity that is owned costs its disks.
    """
    pools = problem.pools
    mixed, apart = np.array([pool.mix_rates for pool in pools]), np.array([pool.rates for pool in pools])
    of_pool = np.maximum(mixed.max(axis=1), (apart * _work(problem)).max(axis=(1, 2), initial=0.0))
    fastest = np.repeat(of_pool, [len(pool.tariffs) for pool in pools])
    usd = np.array(
        [tariff.all_usd_per_hour * min((1.0, *tariff.active_ratios)) for pool in pools for tariff in pool.tariffs]
    )  # fmt: skip
    if not fastest.any():
        return 0.0
    least = least_instances(problem, planned_rates(problem), fastest.max(keepdims=True))[0].tolist()
    rates, priced = _rates_with_spare(problem).tolist(), _priced(usd, fastest)
    compute = sum(
        hours_per_month(hour) * _usd_per_hour(rates[at], least[at], usd, fastest, priced)
        for at, hour in enumerate(problem.hours)
    )
    return compute + _beside_compute(problem)


def bound_with_spare(problem: Problem) -> float:
    """USD a month that no fleet can be below for what the loss of any machine, or of one on spot, has to leave.

    Whatever else runs sustains what is needed without the fastest instance that may fail, of rate m: all together
    ``needed + m``, so ``Σ rate / (needed + rate) ≥ 1`` over all instances, as no rate of what may fail is above m. Of
    such a sum no part costs less than the instance that costs least for its part.
    """
    rates = np.array([mix_rate(problem, pool) for pool in problem.pools for _ in pool.tariffs])
    tariffs = [tariff for pool in problem.pools for tariff in pool.tariffs]
    usd = np.array([tariff.all_usd_per_hour * min((1.0, *tariff.active_ratios)) for tariff in tariffs])
    on_spot = np.array([tariff.paid is PurchaseOption.SPOT for tariff in tariffs])
    without = max(share_without(problem.limits, part) for part in (Part.MACHINE, Part.ZONE))
    spot = share_without(problem.limits, Part.SUPPLY) if problem.all_alike and on_spot.any() else 0.0
    asked = ((without, np.ones(rates.size)), (spot, on_spot.astype(np.float64)))
    compute = sum(
        hours_per_month(hour)
        * max(_usd_with_spare(share * hour.planned_rate, rates, usd, failing) for share, failing in asked)
        for hour in problem.hours
    )
    return compute + _beside_compute(problem)


def _usd_with_spare(needed: float, rates: Floats, usd: Floats, failing: Floats) -> float:
    """USD an hour of instances that sustain what is needed without the fastest of those that may fail."""
    if needed <= 0:
        return 0.0
    sustained = np.minimum(rates, needed)
    spare = needed + sustained * failing
    return float((usd[sustained > 0] * spare[sustained > 0] / sustained[sustained > 0]).min(initial=math.inf))


def _beside_compute(problem: Problem) -> float:
    """USD a month of all answers over the cheapest way to the users, with what the cheapest region charges."""
    answers = min(pool.usd_per_request for pool in problem.pools) * sum(map(requests_per_month, problem.hours))
    return answers + min(alone_usd_per_month(problem).values())


def _work(problem: Problem) -> Floats:
    """Work of a request of each bucket, that of all requests on average being 1: (buckets,).

    As the cheapest pool that serves them all has it; a bound holds with any, and is close with one that is true.
    """
    able = [
        pool
        for pool in problem.pools
        if pool.tariffs and pool.rates.size and max(pool.mix_rates.tolist()) > 0 and pool.rates.all()
    ]
    if not able:
        return np.ones_like(problem.bucket_shares)
    usual = min(able, key=lambda pool: min(tariff.all_usd_per_hour for tariff in pool.tariffs) / pool.mix_rates.max())
    work: Floats = 1 / usual.rates.mean(axis=0)
    return work / float(work @ problem.bucket_shares)


def _usd_per_hour(rate: float, least: float, usd: Floats, fastest: Floats, priced: tuple[Floats, Floats]) -> float:
    if least > 1 or rate <= 0:
        return _together(rate, least, *priced)
    alone = float(usd[fastest >= rate * (1 - ROUNDING)].min(initial=math.inf))
    return min(alone, _together(rate, 2, *priced))


def _priced(usd: Floats, fastest: Floats) -> tuple[Floats, Floats]:
    """Prices of requests at which no instance earns more than it costs, and what the best one then costs itself."""
    highest = float((usd[fastest > 0] / fastest[fastest > 0]).min())
    prices = np.linspace(0.0, highest, PRICES)
    return prices, (usd - prices[:, None] * fastest).min(axis=1)


def _together(rate: float, least: float, prices: Floats, left: Floats) -> float:
    """Least cost of so many instances or more for a rate, ``max over p of p · rate + least · min(usd - p · fastest)``.

    The requests may have any price p at which no instance earns more than it costs (Lagrange); see :func:`_priced`.
    """
    return float((prices * rate + least * left).max())


def allocation_usd_per_month(problem: Problem, allocation: Allocation) -> float:
    """Compute of one allocation, to the cent."""
    return _amounts(problem, allocation, (allocation.tariff.usd_per_hour,))[0]


def interruptions_usd_per_month(problem: Problem, allocation: Allocation) -> float:
    """Cost that spot interruptions of one allocation are expected to have, to the cent."""
    return round(math.fsum(interruption_parts_usd_per_month(problem, allocation)), 2)


def interruption_parts_usd_per_month(problem: Problem, allocation: Allocation) -> tuple[float, float]:
    """Work and capacity that spot interruptions of one allocation lose, and downloads after them, each to the cent."""
    if not allocation.tariff.interruption_usd_per_hour:
        return 0.0, 0.0
    lost, downloads = _amounts(problem, allocation, interruption_parts_usd_per_hour(allocation))
    return lost, downloads


def interruption_parts_usd_per_hour(allocation: Allocation) -> tuple[float, float]:
    """The same for an hour of an instance."""
    tariff = allocation.tariff
    downloads = tariff.interruptions_per_hour * allocation.pool.start_usd
    return tariff.interruption_usd_per_hour - downloads, downloads


def disk_parts_usd_per_month(problem: Problem, allocation: Allocation) -> Sequence[float]:
    """Disks of one allocation by the measures that they are charged by, each to the cent."""
    return _amounts(problem, allocation, allocation.tariff.disk_parts_usd_per_hour)


def disks_usd_per_month(problem: Problem, allocation: Allocation) -> float:
    """Disks of one allocation, to the cent."""
    return round(math.fsum(disk_parts_usd_per_month(problem, allocation)), 2)


def starts_usd_per_month(problem: Problem, allocation: Allocation) -> float:
    """Download cost of starting ahead of busier hours for one allocation, to the cent."""
    if not allocation.pool.start_usd:
        return 0.0
    costs = [
        count * start_usd_per_month(problem, allocation.pool, allocation.tariff, h)
        for h, count in enumerate(allocation.instances)
    ]
    further = starts_for_quieter_hours(problem, allocation) * allocation.pool.start_usd
    return round(math.fsum((*costs, further)), 2)


def _amounts(problem: Problem, allocation: Allocation, usd_per_hour: Sequence[float]) -> list[float]:
    """Cost of one allocation at each of some prices for an hour of an instance, each to the cent."""
    pool, tariff = allocation.pool, allocation.tariff
    billed = [
        (count, billed_hours_per_month(problem, pool, tariff, at)) for at, count in enumerate(allocation.instances)
    ]
    if started := starts_for_quieter_hours(problem, allocation):
        billed.append((1, started * idle_hours(pool, tariff)))
    return [round(math.fsum(count * usd * hours for count, hours in billed), 2) for usd in usd_per_hour]


def allocation_parts(problem: Problem, allocation: Allocation) -> Iterator[float]:
    """Cost of an allocation by part, each to the cent: compute, disks, interruptions and starts."""
    tariff = allocation.tariff
    interruptions = interruption_parts_usd_per_hour(allocation) if tariff.interruption_usd_per_hour else ()
    yield from _amounts(problem, allocation, (tariff.usd_per_hour, *tariff.disk_parts_usd_per_hour, *interruptions))
    yield starts_usd_per_month(problem, allocation)


def transfer_usd_per_month(
    problem: Problem, allocations: Iterable[Allocation], shares: Mapping[str, Floats]
) -> float:  # fmt: skip
    """Data transfer of all answers, whose lines are to the cent."""
    lines = answering(allocations, shares)
    return round(math.fsum(answers_usd_per_month(problem, pools, shares) for pools in lines), 2)


def answering(allocations: Iterable[Allocation], shares: Mapping[str, Floats]) -> list[list[Pool]]:
    """Pools whose answers are charged as one: of one region, at one price.

    How their requests are split is not a part of the cost then.
    """
    lines: dict[tuple[str, float, float], dict[str, Pool]] = {}
    for pool in (allocation.pool for allocation in allocations):
        if pool.key in shares and pool.usd_per_request:
            line = (pool.region, pool.usd_per_request, pool.http_requests)
            lines.setdefault(line, {}).setdefault(pool.key, pool)
    return [list(pools.values()) for pools in lines.values()]


def answers_usd_per_month(problem: Problem, pools: Sequence[Pool], shares: Mapping[str, Floats]) -> float:
    """Data transfer of pools of one region and price, to the cent."""
    return round(pools[0].usd_per_request * answers_of(problem, pools, shares), 2)


def answers_of(problem: Problem, pools: Iterable[Pool], shares: Mapping[str, Floats]) -> float:
    """Requests of an average month that pools answer together."""
    return math.fsum(answers_per_month(problem, shares[pool.key]) for pool in pools)


def answers_per_month(problem: Problem, share: Floats) -> float:
    """Requests of an average month that a pool answers, by its shares: (hours, places, buckets)."""
    return _answers_per_month(
        problem.hours, problem.place_shares.tobytes(), problem.parts.tobytes(), share.tobytes()
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _answers_per_month(hours: tuple[HourClass, ...], places: bytes, parts: bytes, share: bytes) -> float:
    """The same from the bytes of arrays: most fleets that are tried answer everything with one pool."""
    place_shares, part_shares = np.frombuffer(places), np.frombuffer(parts)
    shares = np.frombuffer(share).reshape(len(hours), place_shares.size, part_shares.size)
    return math.fsum(
        requests_per_month(hour) * float(shares[h].T @ place_shares @ part_shares) for h, hour in enumerate(hours)
    )


def switching_usd_per_month(problem: Problem, allocations: tuple[Allocation, ...]) -> float:
    """Putting stands into service of which nothing runs today, spread over the horizon: each to the cent."""
    if not problem.running:
        return 0.0
    new = [allocation for allocation in allocations if not problem.running.get(allocation.pool.type_in_region)]
    return round(
        math.fsum(round(max(allocation.instances) * allocation.pool.switching_usd, 2) for allocation in new), 2
    )


def objective_usd_per_month(
    problem: Problem, allocations: tuple[Allocation, ...], shares: Mapping[str, Floats]
) -> float:  # fmt: skip
    """The one number that is minimised and printed: the sum of its parts, each to the cent."""
    parts = [part for allocation in allocations for part in allocation_parts(problem, allocation)]
    parts += (part(problem, allocations, shares) for part in (transfer_usd_per_month, standing_usd_per_month))
    return round(math.fsum((*parts, switching_usd_per_month(problem, allocations))), 2)
