"""Headroom of a kind of replica, by bisection, and loads of fleets: what replays of some fleets tell of others."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from advisor.candidates import Candidate
from advisor.plan.problem.formulas import Part as Failing
from advisor.plan.problem.formulas import lost_in_zone, mix_rate, share_without
from advisor.plan.problem.values import Allocation, Pool, Problem, PurchaseOption, Tariff
from advisor.plan.replay.groups import Confirmed, same
from advisor.records import dataclass
from advisor.workload.values import Limits

GROWTH = 1.5
"""Steps in which a headroom that holds is looked for, before the bisection."""
MOST_HEADROOM = 16.0
LEAST_HEADROOM = 0.125
"""No replica is taken to carry more than eight times what the closed form says."""
TOLERANCE = 1.02
"""Width of a bracket at which the bisection stops."""
WORTH_RATIO = 0.01
"""A fleet that could be cheaper by less than this is not looked for."""
EXACT = 1.0005
"""The same where no number of instances lies between its ends."""

MANY = 30
"""Instances of which one more or less makes so little difference that cost and headroom follow each other."""
NEXT_LESS = 0.95
"""Headroom that many instances are tried with first: where they fail with it, none holds with much less."""

Kind = tuple[str, str, str, str, int, int]
ROUNDED = 1 + 1e-9
Way = tuple[Kind, bool]
"""Kind of replica, and whether its instances are on spot."""


@dataclass(frozen=True, slots=True)
class Bracket:
    """Headroom of a kind of replica."""

    failed: float
    """Largest that was seen to fail; 1 where none was."""
    held: float
    """Smallest that was seen to hold, or to cost too much; infinite where none was."""

    @property
    def least(self) -> float:
        """No fleet of the kind alone holds with less."""
        return self.held if self.held <= self.failed * EXACT else self.failed


def worthwhile(usd: float, bound: Confirmed) -> bool:
    """Whether a fleet that is as cheap as a bound would be much cheaper than what is known."""
    return bound.usd_per_month < (1 - WORTH_RATIO) * usd


def kind_of(candidate: Candidate) -> Kind:
    """Kind of a candidate's replicas: those alike in this are equally fast anywhere."""
    layout = (candidate.tensor_parallel, candidate.pipeline_parallel)
    return candidate.accelerator.name, candidate.partition, candidate.precision, candidate.engine, *layout


def bracket_of(holds: Callable[[float], bool | None], hint: Bracket | None, room: float = math.inf) -> Bracket:
    """Between a headroom that fails and one that holds or is too much, in large steps; infinite where there is none.

    Args:
        holds: whether the cheapest fleet with a headroom holds; None where it costs too much.
        hint: a bracket that is likely to be the one.
        room: how many times what the fleet without headroom costs is too much.
    """
    failed = 1.0
    if hint is not None and math.isfinite(hint.held) and hint.failed > 1:
        failed = hint.failed if holds(hint.failed) is False else failed
        if holds(hint.held) is not False:
            return Bracket(failed, hint.held)
        failed = hint.held
    growth = min(max(room, TOLERANCE), GROWTH)
    while failed < MOST_HEADROOM:
        if holds(failed * growth) is not False:
            return Bracket(failed, failed * growth)
        failed, growth = failed * growth, GROWTH
    return Bracket(failed, math.inf)


def narrowed(
    bracket: Bracket,
    holds: Callable[[float], bool | None],
    tried: Mapping[float, Confirmed],
    limit_usd: float,
    *,
    exact: bool,
) -> Bracket:
    """Bisect to 2 %, or to 1 % of the cost; on to where the fleet changes where it has to be exact.

    Args:
        bracket: what is bisected.
        holds: whether the cheapest fleet with a headroom holds; None where it costs too much.
        tried: the fleets so far.
        limit_usd: nothing from there on is of interest.
        exact: whether to go on, as long as no other fleet lies between.
    """
    failed, held = bracket.failed, bracket.held
    while math.isfinite(held) and held > failed * (EXACT if exact else TOLERANCE):
        if not exact and not worthwhile(tried[held].usd_per_month if held in tried else limit_usd, tried[failed]):
            break
        middle = math.sqrt(failed * held)
        kept = holds(middle)
        if held <= failed * TOLERANCE and kept is not None:
            exact = any(same(tried[middle], tried[end]) for end in (failed, held) if end in tried)
        failed, held = (middle, held) if kept is False else (failed, middle)
    return Bracket(failed, held)


class _Machine(NamedTuple):
    """Group of like instances, more of which never keep fewer requests in time."""

    way: Way
    region: str
    replicas: int


class Part(NamedTuple):
    """Instances of one pool in the busiest hours."""

    way: Way
    instance_load: float
    instances: float
    supply: str = ""
    """Spot supply that they fail with."""
    region: str = ""
    zones: int = 1
    """Zones over which they are spread."""


@dataclass(frozen=True, slots=True)
class FleetLoads:
    """Rates that the instances of a fleet sustain by the closed form ÷ the planned rate of the busiest hours."""

    by_machine: Mapping[_Machine, tuple[float, ...]]
    """In each hour class."""
    parts: tuple[Part, ...]

    def are_within_any(self, others: Iterable["FleetLoads"]) -> bool:
        """Whether some other fleet has as many of all these machines, or more, at all hours."""
        return any(self._are_within(other) for other in others)

    def _are_within(self, other: "FleetLoads") -> bool:
        return all(
            (more := other.by_machine.get(machine)) is not None
            and all(load <= most * ROUNDED for load, most in zip(by_hour, more, strict=True))
            for machine, by_hour in self.by_machine.items()
        )


def left_by_kind(parts: Sequence[Part], *, loses_any: bool) -> dict[Way, float]:
    """Load of each kind in the busiest hours, without the largest instance that may be lost.

    Args:
        parts: those of a fleet.
        loses_any: whether any instance may be; otherwise only those on spot.
    """
    loads: dict[Way, float] = {}
    for part in parts:
        loads[part.way] = loads.get(part.way, 0.0) + part.instance_load * part.instances
    losable = [part for part in parts if part.instances > 0 and (loses_any or part.way[1])]
    if losable:
        lost = max(losable, key=lambda part: part.instance_load)
        loads[lost.way] -= lost.instance_load
    return {way: load for way, load in loads.items() if load > 0}


def left_after_each(parts: Sequence[Part], limits: Limits) -> Iterator[dict[Way, float]]:
    """Loads in the busiest hours after each failure ÷ the share of the demand that has to be kept then.

    Args:
        parts: those of a fleet.
        limits: what may fail; an instance on spot always may.
    """
    yield _without(parts, {})
    any_machine = share_without(limits, Failing.MACHINE) == 1
    for at, part in enumerate(parts):
        if any_machine or part.way[1]:
            yield _without(parts, {at: 1})
    for failing in (Failing.ZONE, Failing.SUPPLY):
        share = share_without(limits, failing)
        lost_by_place: dict[str, dict[int, int]] = {}
        for at, part in enumerate(parts):
            if share > 0 and (failing is Failing.ZONE or part.way[1]):
                place = part.region if failing is Failing.ZONE else part.supply
                lost_by_place.setdefault(place, {})[at] = lost_in_zone(int(part.instances), part.zones)
        for lost in lost_by_place.values():
            yield {way: load / share for way, load in _without(parts, lost).items()}


def _without(parts: Sequence[Part], lost: Mapping[int, int]) -> dict[Way, float]:
    """Loads without so many instances of some parts, by their positions."""
    loads: dict[Way, float] = {}
    for at, part in enumerate(parts):
        count = max(part.instances - lost.get(at, 0), 0)
        loads[part.way] = loads.get(part.way, 0.0) + part.instance_load * count
    return loads


def part_of(problem: Problem, kind: Kind, pool: Pool, tariff: Tariff, count: float, headroom: float = 1.0) -> Part:
    """Instances of a pool that is taken to sustain so many times less than the closed form says."""
    instance_load = headroom * mix_rate(problem, pool) / problem.hours[-1].planned_rate
    way = (kind, tariff.paid is PurchaseOption.SPOT)
    return Part(way, instance_load, count, pool.spot_supply, pool.region, pool.zones)


def loads_of(problem: Problem, groups: Iterable[tuple[Kind, Allocation, float]]) -> FleetLoads:
    """Loads of a fleet.

    Args:
        problem: planned rates.
        groups: kind of each group, its instances, and its headroom.
    """
    by_machine: dict[_Machine, tuple[float, ...]] = {}
    parts = []
    for kind, group, headroom in groups:
        part = part_of(problem, kind, group.pool, group.tariff, group.instances[-1], headroom)
        machine = _Machine(part.way, group.pool.region, group.pool.replicas)
        before = by_machine.get(machine, (0.0,) * len(group.instances))
        by_machine[machine] = tuple(
            load + part.instance_load * count for load, count in zip(before, group.instances, strict=True)
        )
        parts.append(part)
    return FleetLoads(by_machine, tuple(parts))
