"""Loads of fleets: what tells, from fleets that failed, that another one fails too."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import Allocation, Pool, Problem, PurchaseOption, Tariff
from advisor.plan.replay.headroom import Kind
from advisor.records import dataclass

ROUNDED = 1 + 1e-9

Way = tuple[Kind, bool]
"""Kind of replica, and whether its instances are on spot."""


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


def part_of(problem: Problem, kind: Kind, pool: Pool, tariff: Tariff, count: float, headroom: float = 1.0) -> Part:
    """Instances of a pool that is taken to sustain so many times less than the closed form says."""
    instance_load = headroom * mix_rate(problem, pool) / problem.hours[-1].planned_rate
    return Part((kind, tariff.paid is PurchaseOption.SPOT), instance_load, count)


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
