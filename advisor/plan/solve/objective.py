"""Cost of a fleet: the one number that is minimised and printed, and the parts that it is the sum of."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from advisor.plan.problem.formulas import (
    billed_hours_per_month,
    requests_per_month,
    start_usd_per_month,
)
from advisor.plan.problem.standing import standing_usd_per_month
from advisor.plan.problem.values import (
    Allocation,
    Floats,
    HourClass,
    Pool,
    Problem,
)


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
    return round(math.fsum(costs), 2)


def _amounts(problem: Problem, allocation: Allocation, usd_per_hour: Sequence[float]) -> list[float]:
    """Cost of one allocation at each of some prices for an hour of an instance, each to the cent."""
    pool, tariff = allocation.pool, allocation.tariff
    billed = [
        (count, billed_hours_per_month(problem, pool, tariff, at)) for at, count in enumerate(allocation.instances)
    ]
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
    """Data transfer of all that run: the sum over pools, each to the cent."""
    pools = {allocation.pool.key: allocation.pool for allocation in allocations}.values()
    return round(math.fsum(pool_transfer_usd_per_month(problem, pool, shares) for pool in pools), 2)


def pool_transfer_usd_per_month(problem: Problem, pool: Pool, shares: Mapping[str, Floats]) -> float:
    """Data transfer of a pool, to the cent."""
    if pool.key not in shares or not pool.usd_per_request:
        return 0.0
    return round(pool.usd_per_request * answers_per_month(problem, shares[pool.key]), 2)


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
    new = [allocation for allocation in allocations if not problem.running.get(allocation.pool.stand)]
    return round(math.fsum(round(allocation.instances[-1] * allocation.pool.switching_usd, 2) for allocation in new), 2)


def objective_usd_per_month(
    problem: Problem, allocations: tuple[Allocation, ...], shares: Mapping[str, Floats]
) -> float:  # fmt: skip
    """The one number that is minimised and printed: the sum of its parts, each to the cent."""
    parts = [part for allocation in allocations for part in allocation_parts(problem, allocation)]
    parts += (part(problem, allocations, shares) for part in (transfer_usd_per_month, standing_usd_per_month))
    return round(math.fsum((*parts, switching_usd_per_month(problem, allocations))), 2)
