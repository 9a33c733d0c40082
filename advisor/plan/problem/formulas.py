"""Hours, requests, money and failures of a fleet problem: each formula once, for the program and what is printed.

Charges of a region beside its machines: load balancer and logs, whatever machines run, and data transfer.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from advisor.catalog import Catalog
from advisor.cost.response_cache import cache_nodes, cache_rules
from advisor.cost.services import Deployed, EntranceLoad, region_charges, split_usd_per_call
from advisor.cost.standing import NONE_FURTHER, Further, Machines, RegionCharges, StandingCharge
from advisor.performance.transfer import answer_gb, request_gb, sent_gb
from advisor.plan.problem.values import Allocation, Constraint, Floats, HourClass, Pool, Problem, PurchaseOption, Tariff
from advisor.records import replace
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, ROUNDING, SECONDS_PER_HOUR
from advisor.workload.values import Limits, Survive

_NEVER_STARTED = (PurchaseOption.COMMITMENT, PurchaseOption.OWNED, PurchaseOption.SERVERLESS)
"""What runs at all hours, and what its service starts."""
ZONE_PART = 0.5
"""Of an equal part of the load: what has to stand in a zone at least for it to count."""
Ordered = tuple[str, str]
"""Stand, and how its instances are ordered; "" where that is not known of what runs today."""
Group = tuple[str, str]
"""Pool, and how its instances are ordered."""
Counts = tuple[int, ...]
"""Instances of an allocation in each hour class."""


class Part(StrEnum):
    """Part that may fail: any one of its kind at a time."""

    MACHINE = "machine"
    """An instance, with all its replicas."""
    ZONE = "zone"
    """A zone of a region, with its share of the instances of every group there."""
    SUPPLY = "supply"
    """The instances on spot of one accelerator in one zone."""


def shares_without(limits: Limits, part: Part) -> Mapping[Constraint, float]:
    """Share of an hour's planned rate that has to be sustained without any one such part, by the limit that asks it.

    The rule of redundancy: for every part u that may fail and every hour that is served,
    ``Σ rates of the instances outside u ≥ share(u) · planned rate``, with the largest of the shares.
    """
    survival = limits.survival
    match part:
        case Part.MACHINE:
            whole = float(survival is not Survive.NOTHING)
            return {Constraint.MIN_REPLICAS: 1 - 1 / limits.min_replicas, Constraint.SURVIVE: whole}
        case Part.ZONE:
            return {Constraint.ZONES: 1 - 1 / limits.zones, Constraint.SURVIVE: float(survival is Survive.ZONE)}
        case Part.SUPPLY:
            return {Constraint.SPOT_REROUTE: 1 - limits.fault_tolerant_ratio}


@lru_cache
def share_without(limits: Limits, part: Part) -> float:
    """The largest share of an hour's planned rate that has to be sustained without any one such part."""
    return max(shares_without(limits, part).values())


def asks_for_what_is_left(problem: Problem) -> bool:
    """Whether some share of the load has to be sustained without a part of the fleet."""
    on_spot = any(tariff.paid is PurchaseOption.SPOT for pool in problem.pools for tariff in pool.tariffs)
    parts = (Part.MACHINE, Part.ZONE, *((Part.SUPPLY,) if on_spot else ()))
    asked = any(share_without(problem.limits, part) > 0 for part in parts)
    return asked or problem.limits.on_demand_base_ratio > 0


def lost_in_zone(instances: int, zones: int) -> int:
    """Instances of a group that the loss of one zone takes at most, spread evenly over the zones it is sold in."""
    return -(-instances // zones)


def group_key(pool: Pool, tariff: Tariff) -> Group:
    """Key of the group that instances are generated in: a pool's on spot, or those ordered in another way.

    Code spreads each group over the zones by itself, so the fullest zones of two groups may be the same.
    """
    return pool.key, tariff.paid.ordered_as.value


def zone_shares(limits: Limits) -> Mapping[int, float]:
    """Share of an hour's planned rate that each of 2, 3, … zones has to hold, up to as many as are asked for.

    More zones are never easier to be in than fewer.
    """
    return {zones: ZONE_PART / zones for zones in range(2, limits.zones + 1)}


def sure_in_each(instances: int, pool: Pool, zones: int) -> int:
    """Instances of a group that stand in each of so many zones, whichever it takes: two groups may take the same."""
    return instances // zones if pool.zones >= zones else 0


def zone_room(problem: Problem, allocations: Sequence[Allocation]) -> float:
    """Rate that is sure to be in each of as many zones as are asked for ÷ what has to be, where that is least.

    Code spreads each group by itself, one for each pool on spot and one for the rest of it: ``⌊n ÷ zones⌋`` of its n
    instances are in each, with what stands in other regions. Infinite where one zone is enough.
    """
    least = math.inf
    for at, hour in enumerate(problem.hours):
        groups: dict[Group, tuple[Pool, int]] = {}
        for allocation in allocations if hour.planned_rate > 0 else ():
            key = group_key(allocation.pool, allocation.tariff)
            groups[key] = allocation.pool, groups.get(key, (allocation.pool, 0))[1] + allocation.instances[at]
        for zones, share in zone_shares(problem.limits).items():
            for region in {pool.region for pool, count in groups.values() if count}:
                sure = sum(
                    mix_rate(problem, pool) * (sure_in_each(count, pool, zones) if pool.region == region else count)
                    for pool, count in groups.values()
                )
                least = min(least, sure / (share * hour.planned_rate))
    return least


def part_name(pool: Pool, part: Part) -> str:
    """Name of what instances of a pool fail with."""
    match part:
        case Part.MACHINE:
            return pool.key
        case Part.ZONE:
            return pool.region
        case Part.SUPPLY:
            return pool.spot_supply


def lost_with(problem: Problem, allocations: Iterable[Allocation], part: Part, at: int) -> Mapping[str, float]:
    """Requests per second that the loss of each such part takes in hour class *at*, by its name."""
    running: dict[Group, tuple[Pool, int]] = {}
    for allocation in allocations:
        if allocation.instances[at] and (part is not Part.SUPPLY or allocation.tariff.paid is PurchaseOption.SPOT):
            key = group_key(allocation.pool, allocation.tariff)
            running[key] = allocation.pool, running.get(key, (allocation.pool, 0))[1] + allocation.instances[at]
    if part is Part.MACHINE:
        return {pool.key: mix_rate(problem, pool) for pool, _ in running.values()}
    lost: dict[str, float] = {}
    for pool, count in running.values():
        name = part_name(pool, part)
        lost[name] = lost.get(name, 0.0) + lost_in_zone(count, pool.zones) * mix_rate(problem, pool)
    return lost


def least_instances(problem: Problem, planned: Floats, rates: Floats) -> Floats:
    """Instances that carry an hour, also without one of them: at least so many, (rates, hours).

    Args:
        problem: whose limits count.
        planned: requests per second of the hours.
        rates: requests per second that no instance sustains more than.
    """
    load = planned / rates[:, None]
    spare = np.ceil(share_without(problem.limits, Part.MACHINE) * load - ROUNDING) + 1
    least: Floats = np.maximum(np.maximum(np.ceil(load - ROUNDING), spare), problem.limits.zones)
    return np.where(planned <= 0, 0.0, least) if problem.scaling.scale_to_zero else least


def hours_per_month(hour: HourClass) -> float:
    """Hours of an average month that belong to a class."""
    return hour.hours_per_week / HOURS_PER_WEEK * HOURS_PER_MONTH


def starts_per_month(problem: Problem, at: int) -> float:
    """Starts of an instance of hour class *at* in an average month, less those of the classes above it.

    Instances rise from class a to class b > a as often as an hour of b follows one of a; counts never fall from a
    class to a busier one, so the rises add up as plain differences.
    """
    return problem.starts_per_week[at] / HOURS_PER_WEEK * HOURS_PER_MONTH


def instance_usd_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """USD a month of one instance for running in hour class *at*."""
    hours = billed_hours_per_month(problem, pool, tariff, at)
    return tariff.all_usd_per_hour * hours + start_usd_per_month(problem, pool, tariff, at)


def start_usd_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """Download cost a month of the starts of one instance of hour class *at*."""
    starts = 0.0 if tariff.paid in _NEVER_STARTED else starts_per_month(problem, at)
    return starts * pool.start_usd


def billed_hours_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """Hours a month that an instance of hour class *at* is paid for, with those that it is started ahead."""
    if tariff.paid is PurchaseOption.SERVERLESS:
        return hours_per_month(problem.hours[at]) * (tariff.active_ratios[at] if tariff.active_ratios else 1.0)
    started = 0.0 if tariff.paid.always else starts_per_month(problem, at) * pool.lead_hours
    return hours_per_month(problem.hours[at]) + started


def paid_hours_per_month(problem: Problem, allocation: Allocation) -> float:
    """Instance-hours a month that an allocation is paid for."""
    pool, tariff, counts = allocation.pool, allocation.tariff, allocation.instances
    return math.fsum(
        count * billed_hours_per_month(problem, pool, tariff, at) for at, count in enumerate(counts) if count
    )


def requests_per_month(hour: HourClass) -> float:
    """Requests of an average month that are paid for in the hours of a class."""
    return hour.paid_rate * hours_per_month(hour) * SECONDS_PER_HOUR


def mix_rate(problem: Problem, pool: Pool) -> float:
    """Requests per second of one instance over the places that it can serve, in their proportion."""
    return _over_places(problem, pool.mix_rates)


def _over_places(problem: Problem, rates: Floats) -> float:
    """One rate of those of each place, (places,)."""
    return float(rates[0]) if rates.size == 1 else _rate_over_places(problem.place_shares.tobytes(), rates.tobytes())


def base_rate(problem: Problem, pool: Pool) -> float:
    """Requests per second of one instance that count towards ``limits.on_demand_base_ratio``.

    What it is taken to sustain, but no more than its kind carries by itself: with all on spot gone nothing else carries
    what it would be late with.
    """
    return min(mix_rate(problem, pool), most_base_rate(problem, pool))


def most_base_rate(problem: Problem, pool: Pool) -> float:
    """The same of a pool, however much it is taken to sustain."""
    return _over_places(problem, pool.base_rates if pool.base_rates.size else pool.mix_rates)


def base_of(problem: Problem, allocations: Iterable[Allocation], at: int) -> float:
    """Requests per second that is carried in hour class *at* with all on spot gone: see :func:`base_rate`.

    A fleet with nothing on spot carries what its replay confirms of it.
    """
    running = [allocation for allocation in allocations if allocation.instances[at]]
    steady = [allocation for allocation in running if allocation.tariff.paid is not PurchaseOption.SPOT]
    rate_of = mix_rate if len(steady) == len(running) else base_rate
    return math.fsum(allocation.instances[at] * rate_of(problem, allocation.pool) for allocation in steady)


def busy_instances(problem: Problem, pool: Pool, share: Floats) -> float:
    """Instances that a share of each place's bucket keeps busy, for each request per second of all: (places, buckets).

    At the rate of the mix as far as prompts of all lengths are received alike, at that of each length beyond.
    """
    requests = share * problem.place_shares[:, None] * problem.parts
    mixed = np.where(pool.mix_rates > 0, share.min(axis=1), 0.0)
    busy = ratio_of(mixed * problem.place_shares, pool.mix_rates).sum()
    if pool.rates.size:
        busy += ratio_of(requests * ratio_of(share - mixed[:, None], share), pool.rates).sum()
    return float(busy)


def ratio_of(part: Floats, whole: Floats) -> Floats:
    """``part ÷ whole``, and 0 where the whole is 0."""
    ratios: Floats = np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0)
    return ratios


@lru_cache(maxsize=100_000)
def _rate_over_places(place_shares: bytes, mix_rates: bytes) -> float:
    """The same from the shares and rates of places as bytes, which tell pools apart in less time than the sum takes."""
    places = zip(np.frombuffer(place_shares).tolist(), np.frombuffer(mix_rates).tolist(), strict=True)
    served = [(share, rate) for share, rate in places if rate > 0]
    if not served:
        return 0.0
    return float(sum(share for share, _ in served) / sum(share / rate for share, rate in served))


def left_without(problem: Problem, allocations: Sequence[Allocation], part: Part) -> Mapping[str, float]:
    """Rate of the others without each such part ÷ planned rate, in the hours that its loss hits hardest."""
    return {name: ratio for name, (ratio, _) in worst_without(problem, allocations, part).items()}


def worst_without(problem: Problem, allocations: Sequence[Allocation], part: Part) -> Mapping[str, tuple[float, int]]:
    """The same, each with the hour class that its loss hits hardest."""
    left: dict[str, tuple[float, int]] = {}
    for at, hour in enumerate(problem.hours):
        if hour.planned_rate > 0:
            whole = sum(allocation.instances[at] * mix_rate(problem, allocation.pool) for allocation in allocations)
            for name, rate in lost_with(problem, allocations, part, at).items():
                left[name] = min(left.get(name, (math.inf, at)), ((whole - rate) / hour.planned_rate, at))
    return left


def quota_units(pool: Pool, tariff: Tariff, key: tuple[str, str]) -> float:
    """Units of a quota, its code and market, that one instance takes."""
    return pool.quotas.get(key, 0.0) if key[1] == tariff.paid.market else 0.0


def ordered_as(problem: Problem, pool: Pool, tariff: Tariff) -> Ordered:
    """Key of changes that count as one: instances of a stand, on demand or on spot where that is known of what runs."""
    return pool.stand, tariff.paid.ordered_as.value if problem.running_by_purchase else ""


def running_as_ordered(problem: Problem) -> Mapping[Ordered, int]:
    """Instances that run today, as :func:`ordered_as` tells them apart."""
    if not problem.running_by_purchase:
        return {(stand, ""): count for stand, count in problem.running.items()}
    running: dict[Ordered, int] = {}
    for (stand, paid), count in problem.running_by_purchase.items():
        key = (stand, PurchaseOption(paid).ordered_as.value)
        running[key] = running.get(key, 0) + count
    return running


def left_after(allocations: Sequence[Allocation], part: Part) -> Iterator[tuple[Counts, ...]]:
    """Instances of each allocation after the loss of each zone, or of each spot supply in a zone."""
    names = [_name(allocation, part) for allocation in allocations]
    for name in dict.fromkeys(filter(None, names)):
        yield _without(allocations, [own == name for own in names])


def _name(allocation: Allocation, part: Part) -> str:
    if part is Part.ZONE:
        return allocation.pool.region
    return allocation.pool.spot_supply if allocation.tariff.paid is PurchaseOption.SPOT else ""


def _without(allocations: Sequence[Allocation], hit: Sequence[bool]) -> tuple[Counts, ...]:
    """Instances without the share that a zone takes of each group that is hit."""
    keys = [group_key(allocation.pool, allocation.tariff) for allocation in allocations]
    left = [list(allocation.instances) for allocation in allocations]
    for at in range(len(allocations[0].instances)):
        running: dict[Group, int] = {}
        for key, allocation, is_hit in zip(keys, allocations, hit, strict=True):
            running[key] = running.get(key, 0) + is_hit * allocation.instances[at]
        lost = {
            key: lost_in_zone(running[key], allocation.pool.zones)
            for key, allocation in zip(keys, allocations, strict=True)
        }
        for key, counts, is_hit in zip(keys, left, hit, strict=True):
            taken = is_hit * min(counts[at], lost[key])
            counts[at] -= taken
            lost[key] -= taken
    return tuple(map(tuple, left))


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


def own_place(problem: Problem, pool: Pool) -> str:
    """Key of what a pool's region charges where it serves alone."""
    if not problem.has_nodes or not (pool.on_nodes or provider_of(pool.region) in problem.resting):
        return pool.region
    return place_of(pool.region, Machines.GPU_NODES if pool.has_gpu else Machines.NODES)


def provider_of(region: str) -> str:
    """Provider of a region."""
    return region.partition("/")[0]


def machines_of(problem: Problem, allocations: Sequence[Allocation]) -> Mapping[str, Machines]:
    """Machines of each region of a fleet.

    All hosts of a provider are generated together: as nodes of clusters where one of their layouts needs a cluster, or
    where none of them runs between two runs.
    """
    regions = dict.fromkeys((allocation.pool.region for allocation in allocations), Machines.HOSTS)
    if not problem.has_nodes:
        return regions
    hosts = [allocation for allocation in allocations if allocation.tariff.on_hosts]
    for region in regions:
        alike = [allocation for allocation in hosts if provider_of(allocation.pool.region) == provider_of(region)]
        rests = provider_of(region) in problem.resting and not any(min(each.instances) for each in alike)
        if alike and (rests or any(allocation.pool.on_nodes for allocation in alike)):
            has_gpu = any(allocation.pool.has_gpu for allocation in alike)
            regions[region] = Machines.GPU_NODES if has_gpu else Machines.NODES
    return regions


def region_rates(
    problem: Problem, allocations: Sequence[Allocation], shares: Mapping[str, Floats]
) -> Mapping[str, RegionRates]:
    """Rates of each region of a fleet by the key of its charges, in the order of the allocations.

    Args:
        problem: hours, places and what regions charge.
        allocations: what runs.
        shares: request shares of each pool: (classes, places, buckets or 1).
    """
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


def way_of(problem: Problem, pool: Pool, tariff: Tariff) -> Way:
    """Way in which a pool serves alone under a tariff."""
    return own_place(problem, pool), tariff.on_hosts, pool.logs_requests


def alone_usd_per_month(problem: Problem) -> Mapping[Way, float]:
    """Standing charges of a fleet in one region alone, by :func:`way_of`, to fractions of a cent."""
    return {way: _usd_alone(problem, *way) for way in {way for pool in problem.pools for way in _ways(problem, pool)}}


def least_alone_usd_per_month(problem: Problem, pools: Iterable[Pool]) -> list[float]:
    """The same of each of some pools in the way of paying in which it is least."""
    ways = [_ways(problem, pool) for pool in pools]
    usd = {way: _usd_alone(problem, *way) for way in set().union(*ways)}
    return [min(map(usd.__getitem__, own)) for own in ways]


def _ways(problem: Problem, pool: Pool) -> set[Way]:
    """Ways in which a pool serves alone."""
    place, logs = own_place(problem, pool), pool.logs_requests
    return {(place, tariff.on_hosts, logs) for tariff in pool.tariffs}


def _usd_alone(problem: Problem, place: str, on_hosts: bool, logs: bool) -> float:  # noqa: FBT001 - parts of a way
    charges = problem.charges.get(place)
    return charges.usd_alone(mean_rate(problem), on_hosts=on_hosts, logs=logs) if charges else 0.0


def usd_per_request(problem: Problem, pool: Pool, tariff: Tariff) -> float:
    """USD of a request that instances under a tariff answer: data transfer, and what its region charges for it."""
    charges = problem.charges.get(own_place(problem, pool))
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
    charges = problem.charges.get(own_place(problem, allocation.pool))
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
    deployed = Deployed(entrance, cache_nodes(workload, catalog, *place), machines)
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
