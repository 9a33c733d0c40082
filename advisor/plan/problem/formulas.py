"""Hours, requests, money and failures of a fleet problem: each formula once, for the program and what is printed."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import compress, pairwise

import numpy as np

from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import Allocation, Floats, HourClass, Pool, Problem, PurchaseOption, Tariff
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


def groups_at(allocations: Iterable[Allocation], at: int) -> Mapping[Group, tuple[Pool, int]]:
    """Pool and instances of each group in an hour class."""
    groups: dict[Group, tuple[Pool, int]] = {}
    for allocation in allocations:
        key = group_key(allocation.pool, allocation.tariff)
        groups[key] = allocation.pool, groups.get(key, (allocation.pool, 0))[1] + allocation.instances[at]
    return groups


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
        groups = groups_at(allocations, at) if hour.planned_rate > 0 else {}
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
    running = groups_at(
        (
            allocation
            for allocation in allocations
            if allocation.instances[at] and (part is not Part.SUPPLY or allocation.tariff.paid is PurchaseOption.SPOT)
        ),
        at,
    )
    if part is Part.MACHINE:
        return {pool.key: mix_rate(problem, pool) for pool, _ in running.values()}
    lost: dict[str, float] = {}
    for pool, count in running.values():
        name = part_name(pool, part)
        lost[name] = lost.get(name, 0.0) + lost_in_zone(count, pool.zones) * mix_rate(problem, pool)
    return lost


def least_instances(problem: Problem, planned: Floats, rates: Floats, loads: Floats | None = None) -> Floats:
    """Instances that carry an hour, also without one of them: at least so many, (rates, hours).

    *rates*: requests per second that no instance sustains more than. *loads*: instances that each of these requests
    keeps busy where lengths are told apart; None: ``1 / rates``.
    """
    usual = planned / rates[:, None]
    load = usual if loads is None else planned * loads[:, None]
    spare = np.ceil(share_without(problem.limits, Part.MACHINE) * usual - ROUNDING) + 1
    least: Floats = np.maximum(np.maximum(np.ceil(load - ROUNDING), spare), problem.limits.zones)
    return np.where(planned <= 0, 0.0, least) if problem.scaling.scale_to_zero else least


def hours_per_month(hour: HourClass) -> float:
    """Hours of an average month that belong to a class."""
    return hour.hours_per_week / HOURS_PER_WEEK * HOURS_PER_MONTH


def starts_per_month(problem: Problem, at: int) -> float:
    """Starts of an instance of hour class *at* in an average month, less those of the classes above it.

    Instances rise from class a to class b > a as often as an hour of b follows one of a; where counts never fall from a
    class to a busier one the rises add up as plain differences. For others see :func:`starts_for_quieter_hours`.
    """
    return problem.starts_per_week[at] / HOURS_PER_WEEK * HOURS_PER_MONTH


def falls(counts: Counts) -> bool:
    """Whether counts fall from a class of hours to a busier one."""
    return any(busier < count for count, busier in pairwise(counts))


def busiest_class(counts: Sequence[float] | Floats) -> int:
    """The busiest class of hours in which there are any; the busiest of all where there are none in any."""
    return next((at for at in reversed(range(len(counts))) if counts[at] > 0), len(counts) - 1)


def starts_for_quieter_hours(problem: Problem, allocation: Allocation) -> float:
    """Starts in an average month of instances that run in quieter hours alone.

    Of counts n the starts are ``Σ a, b transitions(a, b) · max(n_b - n_a, 0)``. Beyond the plain differences that
    :func:`starts_per_month` adds up these are ``Σ a < b (transitions(a, b) + transitions(b, a)) · max(n_a - n_b, 0)``.
    """
    counts = allocation.instances
    if allocation.tariff.paid in _NEVER_STARTED or not falls(counts):
        return 0.0
    running = np.array(counts, dtype=np.float64)
    fallen = np.triu(np.maximum(running[:, None] - running[None, :], 0.0), 1)
    both_ways = problem.transitions + problem.transitions.T
    return float((fallen * both_ways).sum()) / HOURS_PER_WEEK * HOURS_PER_MONTH


def starts_of(problem: Problem, allocation: Allocation) -> float:
    """Starts of an allocation's instances in an average month."""
    rises = math.fsum(count * starts_per_month(problem, at) for at, count in enumerate(allocation.instances))
    return rises + starts_for_quieter_hours(problem, allocation)


def instance_usd_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """USD a month of one instance for running in hour class *at*."""
    hours = billed_hours_per_month(problem, pool, tariff, at)
    return tariff.all_usd_per_hour * hours + start_usd_per_month(problem, pool, tariff, at)


def start_usd_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """Download cost a month of the starts of one instance of hour class *at*."""
    starts = 0.0 if tariff.paid in _NEVER_STARTED else starts_per_month(problem, at)
    return starts * pool.start_usd


def idle_hours(pool: Pool, tariff: Tariff) -> float:
    """Hours that an instance is billed for beside those that it is planned for, each time it starts and stops."""
    return pool.lead_hours + tariff.stop_hours


def billed_hours_per_month(problem: Problem, pool: Pool, tariff: Tariff, at: int) -> float:
    """Hours a month that an instance of hour class *at* is paid for, with those of its starts and stops."""
    if tariff.paid is PurchaseOption.SERVERLESS:
        return hours_per_month(problem.hours[at]) * (tariff.active_ratios[at] if tariff.active_ratios else 1.0)
    started = 0.0 if tariff.paid.always else starts_per_month(problem, at) * idle_hours(pool, tariff)
    return hours_per_month(problem.hours[at]) + started


def paid_hours_per_month(problem: Problem, allocation: Allocation) -> float:
    """Instance-hours a month that an allocation is paid for."""
    pool, tariff, counts = allocation.pool, allocation.tariff, allocation.instances
    hours = [count * billed_hours_per_month(problem, pool, tariff, at) for at, count in enumerate(counts) if count]
    return math.fsum((*hours, starts_for_quieter_hours(problem, allocation) * idle_hours(pool, tariff)))


def requests_per_month(hour: HourClass) -> float:
    """Requests of an average month that are paid for in the hours of a class."""
    return hour.paid_rate * hours_per_month(hour) * SECONDS_PER_HOUR


def mix_rate(problem: Problem, pool: Pool, headroom: float | None = None) -> float:
    """Requests per second of one instance over the places that it can serve, in their proportion.

    Where a headroom is given, of the pool that is taken to sustain so many times less.
    """
    return _over_places(problem, pool.mix_rates if headroom is None else pool.slower_mix_rates(headroom))


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
    return {name: min(ratios.values()) for name, ratios in _left_by_hours(problem, allocations, part).items()}


def worst_without(
    problem: Problem, allocations: Sequence[Allocation], part: Part
) -> Mapping[str, tuple[float, tuple[int, ...]]]:
    """The same, each with the hour classes that its loss hits hardest: all of those that it hits alike."""
    return {
        name: (worst := min(ratios.values()), tuple(at for at, ratio in ratios.items() if ratio <= worst + ROUNDING))
        for name, ratios in _left_by_hours(problem, allocations, part).items()
    }


def _left_by_hours(
    problem: Problem, allocations: Sequence[Allocation], part: Part
) -> Mapping[str, Mapping[int, float]]:
    """Rate of the others without each such part ÷ planned rate, by class of the hours in which it runs."""
    left: dict[str, dict[int, float]] = {}
    for at, hour in enumerate(problem.hours):
        if hour.planned_rate > 0:
            whole = sum(allocation.instances[at] * mix_rate(problem, allocation.pool) for allocation in allocations)
            for name, rate in lost_with(problem, allocations, part, at).items():
                left.setdefault(name, {})[at] = (whole - rate) / hour.planned_rate
    return left


def quota_units(pool: Pool, tariff: Tariff, key: tuple[str, str]) -> float:
    """Units of a quota, its code and market, that one instance takes."""
    return pool.quotas.get(key, 0.0) if key[1] == tariff.paid.market else 0.0


def most_at_once(allocations: Iterable[Allocation], each: Callable[[Allocation], float]) -> float:
    """Most of something that instances take together; of each allocation *each* is what one of them takes.

    ``Σ max over hours n · each``: where groups take turns, one is stopped after the other has started, and both run
    meanwhile. Where counts rise with the load this is the use in the busiest hours.
    """
    return math.fsum(max(allocation.instances) * each(allocation) for allocation in allocations)


def ordered_as(problem: Problem, pool: Pool, tariff: Tariff) -> Ordered:
    """Key of changes that count together: instances of a type in a region, by what is paid for where that is known."""
    return pool.type_in_region, tariff.paid.ordered_as.value if problem.running_by_purchase else ""


def running_as_ordered(problem: Problem) -> Mapping[Ordered, int]:
    """Instances that run today, as :func:`ordered_as` tells them apart."""
    if not problem.running_by_purchase:
        return {(type_in_region, ""): count for type_in_region, count in problem.running.items()}
    running: dict[Ordered, int] = {}
    for (type_in_region, paid), count in problem.running_by_purchase.items():
        key = (type_in_region, PurchaseOption(paid).ordered_as.value)
        running[key] = running.get(key, 0) + count
    return running


def left_after(allocations: Sequence[Allocation], part: Part) -> Iterator[tuple[Counts, ...]]:
    """Instances of each allocation after the loss of each zone, or of each spot supply in a zone."""
    names = [_name(allocation, part) for allocation in allocations]
    for name in dict.fromkeys(filter(None, names)):
        yield _without(allocations, [own == name for own in names])


def hardest_losses(limits: Limits, allocations: Sequence[Allocation]) -> list[tuple[tuple[Counts, ...], float]]:
    """Instances of each allocation after the loss of each zone and each spot supply, with the share to be sustained.

    Without losses that leave as many instances as another of which as large a share is asked, or more.
    """
    losses = dict[tuple[Counts, ...], float]()
    for part in (Part.SUPPLY, Part.ZONE):
        share = share_without(limits, part)
        for left in left_after(allocations, part) if share > 0 else ():
            losses[left] = max(share, losses.get(left, 0.0))
    return [
        (left, share)
        for left, share in losses.items()
        if not any(other is not left and most >= share and _are_within(other, left) for other, most in losses.items())
    ]


def losses_in_quieter_hours(
    problem: Problem, allocations: Sequence[Allocation]
) -> Iterator[tuple[int, tuple[int, ...], float]]:  # fmt: skip
    """Instances of each allocation that a failure leaves in an hour class but the busiest.

    Yields the hour class, those instances, and the share of its planned rate that limits ask for.
    """
    parts = hardest_losses(problem.limits, allocations)
    for at in range(len(problem.hours) - 1):
        losses = {tuple(counts[at] for counts in left): share for left, share in parts}
        if problem.limits.survival is not Survive.NOTHING:
            losses |= dict.fromkeys(_without_each([allocation.instances[at] for allocation in allocations]), 1.0)
        yield from ((at, left, share) for left, share in losses.items())


def _without_each(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Counts with one fewer of each that is not 0."""
    for at, count in enumerate(counts):
        if count:
            yield (*counts[:at], count - 1, *counts[at + 1 :])


def _are_within(fewer: Iterable[Counts], more: Iterable[Counts]) -> bool:
    """Whether no allocation has more instances in any hour class."""
    return all(least <= most for of, to in zip(fewer, more, strict=True) for least, most in zip(of, to, strict=True))


def _name(allocation: Allocation, part: Part) -> str:
    if part is Part.ZONE:
        return allocation.pool.region
    return allocation.pool.spot_supply if allocation.tariff.paid is PurchaseOption.SPOT else ""


def _without(allocations: Sequence[Allocation], hit: Sequence[bool]) -> tuple[Counts, ...]:
    """Instances without the share that a zone takes of each group that is hit."""
    left = [list(allocation.instances) for allocation in allocations]
    affected = list(compress(zip(allocations, left, strict=True), hit))
    for at in range(len(allocations[0].instances)):
        groups = groups_at((allocation for allocation, _ in affected), at)
        lost = {key: lost_in_zone(count, pool.zones) for key, (pool, count) in groups.items()}
        for allocation, counts in affected:
            key = group_key(allocation.pool, allocation.tariff)
            taken = min(counts[at], lost[key])
            counts[at] -= taken
            lost[key] -= taken
    return tuple(map(tuple, left))
