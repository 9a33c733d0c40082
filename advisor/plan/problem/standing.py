"""Standing charges of a fleet: what each of its regions takes for its load balancer and logs, whatever machines run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from advisor.cost.standing import NONE_FURTHER, Further, StandingCharge
from advisor.plan.problem.formulas import paid_hours_per_month
from advisor.plan.problem.values import Allocation, Floats, Pool, Problem, Tariff
from advisor.units import HOURS_PER_WEEK


class RegionRates(NamedTuple):
    """Mean requests per second of a region."""

    served: float
    balanced: float | None
    """Those that its load balancer passes on to hosts; None: no hosts, so no load balancer."""
    instance_hours: float = 0.0
    """Hours of instances that are paid for in an average month, where the region charges by them."""
    further: Further = NONE_FURTHER
    """Groups, backends and endpoints beyond the first."""


def region_rates(
    problem: Problem, allocations: Sequence[Allocation], shares: Mapping[str, Floats]
) -> Mapping[str, RegionRates]:
    """Rates of each region of a fleet that charges anything, in the order of the allocations.

    Args:
        problem: hours, places and what regions charge.
        allocations: what runs.
        shares: request shares of each pool: (classes, places, buckets or 1).
    """
    regions = {allocation.pool.region for allocation in allocations}
    if len(regions) == 1 and all(allocation.tariff.on_hosts for allocation in allocations):
        rate = mean_rate(problem)
        hours = sum(_instance_hours(problem, allocation) for allocation in allocations)
        return dict.fromkeys(regions, RegionRates(rate, rate, hours, further_of(allocations)))
    rates: dict[str, RegionRates] = {}
    for allocation in allocations:
        served, balanced, hours, _ = rates.get(allocation.pool.region, RegionRates(0.0, None))
        rate = _rate(problem, allocation, allocations, shares)
        if allocation.tariff.on_hosts:
            balanced = (balanced or 0.0) + rate
        rates[allocation.pool.region] = RegionRates(
            served + rate, balanced, hours + _instance_hours(problem, allocation)
        )
    return {
        region: of_region._replace(further=further_of([each for each in allocations if each.pool.region == region]))
        for region, of_region in rates.items()
    }


def further_of(allocations: Sequence[Allocation]) -> Further:
    """Groups, backends and endpoints of a region beyond the first of each."""
    if len(allocations) == 1:
        return NONE_FURTHER
    kinds = zip(*(parts_of(allocation.pool, allocation.tariff) for allocation in allocations), strict=True)
    return Further(*(max(len(set(parts) - {""}) - 1, 0) for parts in kinds))


def parts_of(pool: Pool, tariff: Tariff) -> tuple[str, str, str]:
    """Group, backend and endpoint of a region that instances are part of; "" where they are part of none.

    A group is one pool that is ordered in one way: what is bought ahead runs as on demand. A backend is a kind of
    replica. Services have an endpoint for each pool.
    """
    if not tariff.on_hosts:
        return "", "", pool.key
    return f"{pool.key}/{tariff.paid.ordered_as.value}", f"kind {pool.replica_kind}", ""


def standing_charges(
    problem: Problem, allocations: Sequence[Allocation], shares: Mapping[str, Floats]
) -> Iterator[StandingCharge]:
    """Charges of each region of a fleet; see :func:`region_rates`."""
    for region, rates in region_rates(problem, allocations, shares).items():
        if region in problem.charges:
            yield from problem.charges[region].charges(*rates)


def standing_usd_per_month(
    problem: Problem, allocations: Sequence[Allocation], shares: Mapping[str, Floats]
) -> float:  # fmt: skip
    """Their sum, as far as prices are known, to the cent."""
    if not problem.charges:
        return 0.0
    rates = region_rates(problem, allocations, shares)
    return round(sum(problem.charges[at].usd_per_month(*of) for at, of in rates.items() if at in problem.charges), 2)


def alone_usd_per_month(problem: Problem) -> Mapping[tuple[str, bool], float]:
    """Standing charges of a fleet in one region alone, by region and whether hosts serve, to fractions of a cent."""
    rate, charges = mean_rate(problem), problem.charges
    ways = {(pool.region, tariff.on_hosts) for pool in problem.pools for tariff in pool.tariffs}
    return {
        (region, on_hosts): charges[region].usd_alone(rate, on_hosts=on_hosts) if region in charges else 0.0
        for region, on_hosts in ways
    }


def usd_per_request(problem: Problem, pool: Pool, tariff: Tariff) -> float:
    """USD of a request that instances under a tariff answer: data transfer, and what its region charges for it."""
    charges = problem.charges.get(pool.region)
    return pool.usd_per_request + (charges.usd_per_request(balanced=tariff.on_hosts) if charges else 0.0)


def mean_rate(problem: Problem) -> float:
    """Requests per second of an average hour of the week."""
    return sum(hour.mean_rate * hour.hours_per_week for hour in problem.hours) / HOURS_PER_WEEK


def _instance_hours(problem: Problem, allocation: Allocation) -> float:
    """Hours of instances in an average month; 0 where the region does not charge by them."""
    charges = problem.charges.get(allocation.pool.region)
    return paid_hours_per_month(problem, allocation) if charges and charges.counts_instance_hours else 0.0


def _rate(
    problem: Problem, allocation: Allocation, allocations: Sequence[Allocation], shares: Mapping[str, Floats]
) -> float:
    """Mean requests per second that an allocation serves of its pool's, by its part of the instances."""
    share = shares.get(allocation.pool.key)
    if share is None:
        return 0.0
    own = np.array(allocation.instances, dtype=np.float64)
    every = sum(np.array(other.instances) for other in allocations if other.pool.key == allocation.pool.key)
    part = np.divide(own, every, out=np.zeros(own.size), where=every > 0)
    hourly = np.array([hour.mean_rate * hour.hours_per_week for hour in problem.hours]) * part
    return float(hourly @ (share @ problem.parts @ problem.place_shares)) / HOURS_PER_WEEK
