"""Instances that a failure leaves, as the closed form counts them."""

from collections.abc import Iterator, Sequence

from advisor.plan.problem.formulas import Part, lost_in_zone
from advisor.plan.problem.values import Allocation, PurchaseOption

Counts = tuple[int, ...]
"""Instances of an allocation in each hour class."""


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
    """A zone takes its share of the instances of each pool, however they are paid for."""
    left = [list(allocation.instances) for allocation in allocations]
    for at in range(len(allocations[0].instances)):
        running: dict[str, int] = {}
        for allocation, is_hit in zip(allocations, hit, strict=True):
            running[allocation.pool.key] = running.get(allocation.pool.key, 0) + is_hit * allocation.instances[at]
        lost = {
            allocation.pool.key: lost_in_zone(running[allocation.pool.key], allocation.pool.zones)
            for allocation in allocations
        }
        for allocation, counts, is_hit in zip(allocations, left, hit, strict=True):
            taken = is_hit * min(counts[at], lost[allocation.pool.key])
            counts[at] -= taken
            lost[allocation.pool.key] -= taken
    return tuple(map(tuple, left))
