"""Loads of fleets: what tells, from fleets that failed, that another one fails too."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import Allocation, Pool, Problem, PurchaseOption
from advisor.plan.replay.headroom import Kind

ROUNDED = 1 + 1e-9

Way = tuple[Kind, bool]
"""Kind of replica, and whether its instances are on spot."""


class _Machine(NamedTuple):
    """What the instances of a group have to be alike in, for more of them never to keep fewer requests in time."""

    way: Way
    region: str
    replicas: int


@dataclass(frozen=True, slots=True)
class FleetLoads:
    """Rates that the instances of a fleet sustain by the closed form ÷ the planned rate of the busiest hours."""

    by_machine: Mapping[_Machine, tuple[float, ...]]
    """In each hour class."""

    def busiest(self) -> dict[Way, float]:
        """Loads of the busiest hours by kind."""
        loads: dict[Way, float] = {}
        for machine, by_hour in self.by_machine.items():
            loads[machine.way] = loads.get(machine.way, 0.0) + by_hour[-1]
        return loads

    def are_within_any(self, others: Iterable["FleetLoads"]) -> bool:
        """Whether some other fleet has as many of all these machines, or more, at all hours."""
        return any(self._are_within(other) for other in others)

    def _are_within(self, other: "FleetLoads") -> bool:
        return all(
            (more := other.by_machine.get(machine)) is not None
            and all(load <= most * ROUNDED for load, most in zip(by_hour, more, strict=True))
            for machine, by_hour in self.by_machine.items()
        )


def load_of(problem: Problem, pool: Pool, instances: float) -> float:
    """Load of so many instances of a pool."""
    return instances * mix_rate(problem, pool) / problem.hours[-1].planned_rate


def loads_of(problem: Problem, groups: Iterable[tuple[Kind, Allocation, float]]) -> FleetLoads:
    """Loads of a fleet.

    Args:
        problem: planned rates.
        groups: kind of each group, its instances, and its headroom.
    """
    by_machine: dict[_Machine, tuple[float, ...]] = {}
    for kind, group, headroom in groups:
        pool = group.pool
        machine = _Machine((kind, group.tariff.paid is PurchaseOption.SPOT), pool.region, pool.replicas)
        before = by_machine.get(machine, (0.0,) * len(group.instances))
        by_machine[machine] = tuple(
            load + load_of(problem, pool, count * headroom) for load, count in zip(before, group.instances, strict=True)
        )
    return FleetLoads(by_machine)
