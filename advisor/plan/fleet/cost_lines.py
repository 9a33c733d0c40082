"""Lines of a fleet's cost: ``quantity × USD per unit`` each, whose sum is the total to the cent."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from advisor.catalog import Catalog
from advisor.cost.standing import StandingCharge
from advisor.plan.problem.formulas import billed_hours_per_month, requests_per_month, starts_per_month
from advisor.plan.problem.values import Allocation, Floats, Pool, Problem, PurchaseOption
from advisor.plan.solve.optimise import (
    allocation_usd_per_month,
    disks_usd_per_month,
    interruptions_usd_per_month,
    starts_usd_per_month,
    switching_usd_per_month,
    transfer_usd_per_month,
)


class CostKind(StrEnum):
    """Kind of a line, as an inference bill is divided."""

    COMPUTE = "compute"
    STORAGE = "storage"
    NETWORK = "network"
    MANAGED = "managed"


@dataclass(frozen=True, slots=True)
class CostLine:
    """Something that is paid for in an average month."""

    kind: CostKind
    item: str
    """instance, lost_work, disk, start_download, answers, switching, or the item of a standing charge."""
    place: str
    """Pool and way of paying, or provider/region."""
    quantity: float
    unit: str
    usd_per_unit: float | None
    usd_per_month: float | None
    """To the cent; None, here and above: the price is not known."""
    price_source: str = ""
    price_as_of: str = ""
    price_quality: str = ""
    in_total: bool = True
    """False: the plan is of a version whose total left out what regions charge."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Mean answer, and prices of what leaves a region with it."""

    catalog: Catalog
    gb: float
    """Length of one answer, and of those that a cache gives for each of the fleet's."""


_COMPUTED = {
    "disk": "disks in instance_catalog/service_prices.csv",
    "lost_work": "price of the instance × its interruptions",
    "start_download": "NAT gateways in instance_catalog/service_prices.csv",
    "switching": "price of the instance on demand",
}
"""Origins of prices that are computed from others, by item."""
_STANDING_KINDS = {"log_ingest": CostKind.MANAGED, "response_cache": CostKind.MANAGED}
"""Kinds of standing charges; all others are of the network."""


def cost_lines(
    problem: Problem,
    allocations: Sequence[Allocation],
    shares: Mapping[str, Floats],
    answers: Answers,
    standing: Sequence[StandingCharge] = (),
) -> tuple[CostLine, ...]:
    """All lines of a fleet.

    Args:
        problem: what was solved.
        allocations: what runs.
        shares: request shares of each pool: (hours, places, buckets).
        answers: what leaves a region with an answer.
        standing: charges of each region.
    """
    own = [line for allocation in allocations for line in _lines_of(problem, allocation)]
    sent = [line for pool in _pools(allocations) for line in _sent(problem, pool, shares, answers)]
    changed = list(_changed(problem, allocations))
    return (
        *own,
        *_adding_up(sent, transfer_usd_per_month(problem, allocations, shares)),
        *_adding_up(changed, switching_usd_per_month(problem, tuple(allocations))),
        *map(_charged, standing),
    )


def _lines_of(problem: Problem, allocation: Allocation) -> Iterator[CostLine]:
    """Instances of one group, work that interruptions lose, disks, and downloads of starts."""
    pool, tariff = allocation.pool, allocation.tariff
    counts = list(enumerate(allocation.instances))
    hours = math.fsum(count * billed_hours_per_month(problem, pool, tariff, at) for at, count in counts)
    starts = math.fsum(count * starts_per_month(problem, at) for at, count in counts)
    is_managed = tariff.paid in (PurchaseOption.MANAGED, PurchaseOption.SERVERLESS)
    kind = CostKind.MANAGED if is_managed else CostKind.COMPUTE
    place, unit = f"{pool.key}/{tariff.paid.value}", "instance-hour"
    price = (tariff.source, tariff.as_of, tariff.quality)
    usd = allocation_usd_per_month(problem, allocation)
    yield CostLine(kind, "instance", place, hours, unit, tariff.usd_per_hour, usd, *price)
    lost = (tariff.interruption_usd_per_hour, interruptions_usd_per_month(problem, allocation))
    disks = (tariff.disk_usd_per_hour, disks_usd_per_month(problem, allocation))
    downloads = (pool.start_usd, starts_usd_per_month(problem, allocation))
    for paid, line_kind, item, quantity, counted in (
        (lost, CostKind.COMPUTE, "lost_work", hours, unit),
        (disks, CostKind.STORAGE, "disk", hours, unit),
        (downloads, CostKind.NETWORK, "start_download", starts, "start"),
    ):
        if paid[1]:
            yield CostLine(line_kind, item, place, quantity, counted, *paid, price_source=_COMPUTED[item])


def _pools(allocations: Sequence[Allocation]) -> Sequence[Pool]:
    return list({allocation.pool.key: allocation.pool for allocation in allocations}.values())


def _sent(problem: Problem, pool: Pool, shares: Mapping[str, Floats], answers: Answers) -> Iterator[CostLine]:
    """Answers of a pool on their way to the users."""
    if pool.key not in shares or not pool.usd_per_request:
        return
    requests = math.fsum(
        requests_per_month(hour) * float(shares[pool.key][at].T @ problem.place_shares @ problem.parts)
        for at, hour in enumerate(problem.hours)
    )
    provider, region = pool.region.split("/")
    price = answers.catalog.egress_usd_per_gb(provider, region)
    gb = requests * answers.gb
    source = price.provenance
    usd = requests * pool.usd_per_request
    yield CostLine(
        CostKind.NETWORK, "answers", pool.region, gb, "GB", price.usd_per_gb, usd, source.source, source.as_of,
        source.quality.value,
    )  # fmt: skip


def _changed(problem: Problem, allocations: Sequence[Allocation]) -> Iterator[CostLine]:
    """Instances of which none of the stand runs today: one-off, spread over the horizon."""
    for allocation in allocations:
        stand, count = allocation.pool.stand, allocation.instances[-1]
        if problem.running and not problem.running.get(stand) and allocation.pool.switching_usd and count:
            usd = allocation.pool.switching_usd
            origin = _COMPUTED["switching"]
            yield CostLine(CostKind.COMPUTE, "switching", stand, count, "instance", usd, count * usd, origin)


def _adding_up(lines: Sequence[CostLine], usd_per_month: float) -> Iterator[CostLine]:
    """The lines in cents, the last of which takes what rounding leaves of their sum."""
    left = usd_per_month
    for at, line in enumerate(lines):
        usd = round(left if at == len(lines) - 1 else line.usd_per_month or 0.0, 2)
        left -= usd
        yield replace(line, usd_per_month=usd)


def _charged(charge: StandingCharge) -> CostLine:
    """A standing charge as a line."""
    return CostLine(
        _STANDING_KINDS.get(charge.item, CostKind.NETWORK),
        charge.item,
        f"{charge.provider}/{charge.region}",
        charge.quantity,
        charge.unit,
        charge.usd_per_unit,
        charge.usd_per_month,
        charge.price_source,
        charge.price_as_of,
        charge.price_quality,
    )
