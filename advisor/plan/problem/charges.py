"""Charges of a region beside its machines: load balancer and logs, whatever machines run, and data transfer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from advisor.catalog import Catalog
from advisor.cost.response_cache import cache_nodes, cache_rules
from advisor.cost.services import Deployed, EntranceLoad, region_charges, split_usd_per_call
from advisor.cost.standing import NONE_FURTHER, Further, Machines, RegionCharges, StandingCharge
from advisor.performance.transfer import answer_gb, request_gb, sent_gb
from advisor.plan.problem.formulas import paid_hours_per_month
from advisor.plan.problem.values import Allocation, Floats, HourClass, Pool, Problem, Tariff
from advisor.records import replace
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_WEEK

Way = tuple[str, bool, bool]


"""Key of a region's charges, whether machines serve there rather than a service, and whether requests are logged."""


Place = tuple[str, str]


"""Provider and region."""


class RegionRates(NamedTuple):
    """Mean requests per second of a region."""

    served: float
    """Those that a server writes a line for."""
    balanced: float | None
    """Those that hosts or nodes of a cluster serve; None: there are none, so no load balancer."""
    instance_hours: float = 0.0
    """Hours of instances that are paid for in an average month, where the region charges by them."""
    further: Further = NONE_FURTHER
    """Groups, backends and endpoints beyond the first."""


def place_of(region: str, machines: Machines) -> str:
    """Key of the charges of a region with such machines."""
    return region if machines is Machines.HOSTS else f"{region} {machines.value}"


def own_place(pool: Pool) -> str:
    """Key of what a pool's region charges where it serves alone."""
    if not pool.on_nodes:
        return pool.region
    return place_of(pool.region, Machines.GPU_NODES if pool.has_gpu else Machines.NODES)


def provider_of(region: str) -> str:
    """Provider of a region."""
    return region.partition("/")[0]


def machines_of(problem: Problem, allocations: Sequence[Allocation]) -> Mapping[str, Machines]:
    """Machines of each region of a fleet.

    All hosts of a provider are generated together: as nodes of clusters where one of their layouts needs a cluster.
    """
    regions = dict.fromkeys((allocation.pool.region for allocation in allocations), Machines.HOSTS)
    if not problem.has_nodes:
        return regions
    hosts = [allocation for allocation in allocations if allocation.tariff.on_hosts]
    for region in regions:
        alike = [allocation for allocation in hosts if provider_of(allocation.pool.region) == provider_of(region)]
        if any(allocation.pool.on_nodes for allocation in alike):
            has_gpu = any(allocation.pool.has_gpu for allocation in alike)
            regions[region] = Machines.GPU_NODES if has_gpu else Machines.NODES
    return regions


def region_rates(
    problem: Problem, allocations: Sequence[Allocation], shares: Mapping[str, Floats]
) -> Mapping[str, RegionRates]:
    """Rates of each region of a fleet by the key of its charges, in the order of the allocations.

    *shares*: request shares of each pool: (classes, places, buckets or 1).
    """
    if len(allocations) == 1 and allocations[0].tariff.on_hosts:
        (alone,), rate = allocations, mean_rate(problem)
        logged = rate if alone.pool.logs_requests else 0.0
        return {own_place(alone.pool): RegionRates(logged, rate, _instance_hours(problem, alone))}
    places = {region: place_of(region, machines) for region, machines in machines_of(problem, allocations).items()}
    logging = {allocation.pool.logs_requests for allocation in allocations}
    if len(places) == len(logging) == 1 and all(allocation.tariff.on_hosts for allocation in allocations):
        rate = mean_rate(problem)
        hours = sum(_instance_hours(problem, allocation) for allocation in allocations)
        logged = rate if logging == {True} else 0.0
        return dict.fromkeys(places.values(), RegionRates(logged, rate, hours, further_of(allocations)))
    rates: dict[str, RegionRates] = {}
    for allocation in allocations:
        served, balanced, hours, _ = rates.get(allocation.pool.region, RegionRates(0.0, None))
        rate = _rate(problem, allocation, allocations, shares)
        if allocation.tariff.on_hosts:
            balanced = (balanced or 0.0) + rate
        logged = rate if allocation.pool.logs_requests else 0.0
        rates[allocation.pool.region] = RegionRates(
            served + logged, balanced, hours + _instance_hours(problem, allocation)
        )
    return {
        places[region]: of_region._replace(
            further=further_of([each for each in allocations if each.pool.region == region])
        )
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
    for place, rates in region_rates(problem, allocations, shares).items():
        if place in problem.charges:
            yield from problem.charges[place].charges(*rates)


def standing_usd_per_month(
    problem: Problem, allocations: Sequence[Allocation], shares: Mapping[str, Floats]
) -> float:  # fmt: skip
    """Their sum, as far as prices are known, to the cent."""
    if not problem.charges:
        return 0.0
    rates = region_rates(problem, allocations, shares)
    return round(sum(problem.charges[at].usd_per_month(*of) for at, of in rates.items() if at in problem.charges), 2)


def way_of(pool: Pool, tariff: Tariff) -> Way:
    """Way in which a pool serves alone under a tariff."""
    return own_place(pool), tariff.on_hosts, pool.logs_requests


def alone_usd_per_month(problem: Problem) -> Mapping[Way, float]:
    """Standing charges of a fleet in one region alone, by :func:`way_of`, to fractions of a cent."""
    return {way: _usd_alone(problem, *way) for way in {way for pool in problem.pools for way in _ways(pool)}}


def least_alone_usd_per_month(problem: Problem, pools: Iterable[Pool]) -> list[float]:
    """The same of each of some pools in the way of paying in which it is least."""
    ways = [_ways(pool) for pool in pools]
    usd = {way: _usd_alone(problem, *way) for way in set().union(*ways)}
    return [min(map(usd.__getitem__, own)) for own in ways]


def _ways(pool: Pool) -> set[Way]:
    """Ways in which a pool serves alone."""
    place, logs = own_place(pool), pool.logs_requests
    return {(place, tariff.on_hosts, logs) for tariff in pool.tariffs}


def _usd_alone(problem: Problem, place: str, on_hosts: bool, logs: bool) -> float:  # noqa: FBT001 - parts of a way
    charges = problem.charges.get(place)
    return charges.usd_alone(mean_rate(problem), on_hosts=on_hosts, logs=logs) if charges else 0.0


def usd_per_request(problem: Problem, pool: Pool, tariff: Tariff) -> float:
    """USD of a request that instances under a tariff answer: data transfer, and what its region charges for it."""
    charges = problem.charges.get(own_place(pool))
    of_region = charges.usd_per_request(balanced=tariff.on_hosts, logs=pool.logs_requests) if charges else 0.0
    return pool.usd_per_request + of_region


def mean_rate(problem: Problem) -> float:
    """Requests per second of an average hour of the week."""
    return _mean_rate(problem.hours)


@lru_cache
def _mean_rate(hours: tuple[HourClass, ...]) -> float:
    return sum(hour.paid_rate * hour.hours_per_week for hour in hours) / HOURS_PER_WEEK


def _instance_hours(problem: Problem, allocation: Allocation) -> float:
    """Hours of instances in an average month; 0 where the region does not charge by them."""
    charges = problem.charges.get(own_place(allocation.pool))
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
    hourly = np.array([hour.paid_rate * hour.hours_per_week for hour in problem.hours]) * part
    return float(hourly @ (share @ problem.parts @ problem.place_shares)) / HOURS_PER_WEEK


def charges_at(
    requirements: Requirements, catalog: Catalog, place: Place, machines: Machines, peak: float
) -> RegionCharges | None:  # fmt: skip
    """Charges of a region for requests of the demand's size at a peak in requests per second; None: none are known."""
    demand, workload = requirements.demand, requirements.workload
    gb_per_request = request_gb(demand, requirements.model) + answer_gb(demand, requirements.model)
    entrance = EntranceLoad(peak, demand.output_tokens.mean)
    deployed = Deployed(entrance, cache_nodes(workload, catalog, *place), machines, workload.existing_cluster)
    charges = region_charges(catalog, *place, gb_per_request, deployed)
    if charges is None:
        return None
    of_cache = tuple(cache_rules(workload, catalog, charges.provider, charges.region))
    return replace(charges, rules=(*charges.rules, *of_cache)) if of_cache else charges


def transfer_usd_per_request(
    requirements: Requirements, catalog: Catalog, place: Place, http_requests: float
) -> float:  # fmt: skip
    """Data transfer of one answer, and what a request sent as several costs more at the load balancer."""
    question = (requirements.demand, requirements.model)
    sent_usd = sent_gb(*question, http_requests) * catalog.egress_usd_per_gb(*place).usd_per_gb
    if http_requests == 1:
        return sent_usd
    whole_gb, split_gb = (request_gb(*question, sent) + answer_gb(*question, sent) for sent in (1.0, http_requests))
    return sent_usd + split_usd_per_call(catalog, *place, whole_gb, (http_requests, split_gb))
