"""Costs that no fleet of a problem can be below, from prices and rates alone: what need not be searched."""

import math

import numpy as np

from advisor.plan.problem.formulas import (
    Part,
    hours_per_month,
    least_instances,
    mix_rate,
    requests_per_month,
    share_without,
)
from advisor.plan.problem.standing import alone_usd_per_month
from advisor.plan.problem.values import Floats, Problem, PurchaseOption

ROUNDING = 1e-9
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
