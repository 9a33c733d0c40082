"""Tables of a provider after a refresh: what was read, and what was known before where nothing was read."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from advisor.catalog.catalog import Catalog
from advisor.catalog.geography import SEPARATOR
from advisor.catalog.layers.snapshot import table_text
from advisor.catalog.refresh.values import (
    SAME_MEMORY_RATIO,
    BlockRow,
    CommittedRow,
    Found,
    MachineRow,
    Origin,
    PriceRow,
    QuotaRow,
    ServerlessRow,
    Sold,
    ZoneRow,
)
from advisor.catalog.values import Accelerator, InstanceType, Offer, Price, Purchase, Quality
from advisor.records import asdict, replace
from advisor.tables import read_rows

PRICE_COLUMNS = (
    "instance_type", "region", "on_demand_usd_per_hour", "on_demand_source", "on_demand_as_of", "on_demand_quality",
    "spot_usd_per_hour", "spot_zone_low_usd_per_hour", "spot_zone_high_usd_per_hour", "spot_source", "spot_as_of",
    "spot_quality",
)  # fmt: skip
COMMITTED_COLUMNS = (
    "instance_type", "region", "instrument", "term_years", "payment", "usd_per_hour", "source", "as_of", "quality",
)  # fmt: skip
INSTANCE_COLUMNS = (
    "provider", "name", "accelerator", "accelerator_count", "accelerator_memory_gib", "vcpus", "memory_gib",
    "network_gbit_per_second", "local_nvme_gb", "interconnect", "cpu_architecture", "source", "as_of", "quality",
    "notes",
)  # fmt: skip
MANAGED_COLUMNS = (
    "provider", "service", "instance_type", "region", "usd_per_hour", "source", "as_of", "quality", "notes",
)  # fmt: skip
SERVERLESS_COLUMNS = (
    "provider", "service", "accelerator", "regions", "usd_per_hour", "vcpus", "memory_gib", "idle_seconds",
    "cold_start_seconds", "source", "as_of", "quality", "notes",
)  # fmt: skip
BLOCK_COLUMNS = ("instance_type", "region", "zone", "starts", "duration_hours", "usd_per_hour", "as_of")
QUOTA_COLUMNS = ("region", "code", "limit", "as_of")
ZONE_COLUMNS = ("provider", "region", "instance_types", "zones", "source", "as_of", "quality")
UNKNOWN_COLUMNS = ("instance_type", "accelerator")
SOURCE_COLUMNS = ("source_id", "title", "licence", "note")
REFRESHED = "refreshed"
"""Identifier of the source that a refresh asked."""
_REFRESHED: Mapping[str, str] = {
    "aws": "AWS price list and EC2 interfaces, asked directly",
    "azure": "Azure Retail Prices, asked directly",
    "gcp": "Google Cloud Billing Catalog, asked directly: sum of the parts",
}
_ZONES: Mapping[str, str] = {
    "aws": "EC2 DescribeInstanceTypeOfferings, asked directly",
    "azure": "Azure resource SKUs, asked directly",
    "gcp": "Compute Engine machine and accelerator types, asked directly",
}
SAGEMAKER = "SageMaker real-time"
"""The one service whose prices for machines are asked for."""
_SHARES = (1 / 2, 1 / 4, 1 / 8)
Place = tuple[str, str]


def offers_of(catalog: Catalog, provider: str) -> Mapping[Place, Offer]:
    """Offers of a provider by region and type."""
    return {(offer.region, offer.instance_type): offer for offer in catalog.offers if offer.provider == provider}


def usual_usd_per_hour(catalog: Catalog, answer: Found) -> Mapping[str, float]:
    """USD an hour that the accelerators of each type of an answer cost on demand, whoever sells them: their median.

    Types whose accelerators are not known, or have no price, are left out.
    """
    prices: dict[str, list[float]] = {}
    for offer in catalog.offers:
        machine = catalog.instance_type(offer.provider, offer.instance_type)
        if offer.on_demand is not None and not offer.withdrawn and machine.accelerator_count:
            prices.setdefault(machine.accelerator, []).append(offer.on_demand.usd_per_hour / machine.accelerator_count)
    usual = {accelerator: median(of_accelerator) for accelerator, of_accelerator in prices.items()}
    machines: dict[str, MachineRow | InstanceType] = {
        row.instance_type: row for row in answer.rows if isinstance(row, MachineRow)
    }
    machines |= {
        machine.name: machine for machine in catalog.instance_types.values() if machine.provider == answer.provider
    }
    return {
        name: usual[machine.accelerator] * machine.accelerator_count
        for name, machine in machines.items()
        if machine.accelerator in usual and machine.accelerator_count
    }


def merge_snapshot(catalog: Catalog, answer: Found, read_on: str, before: Path | None = None) -> Mapping[str, str]:
    """File name → text of a snapshot: everything that is known of the provider once *answer* is taken in.

    Where nothing was read, prices of *catalog* stay with their own dates. *before*: directory of the snapshot that
    holds, for what no other layer has.
    """
    asked = Origin(_REFRESHED.get(answer.provider, f"{answer.provider}, asked directly"), Quality.LISTED)
    sources = _Titles(answer.origin or asked)
    prices = list(_price_rows(offers_of(catalog, answer.provider), answer, read_on, sources))
    machines, unknown = _machine_rows(catalog, answer, read_on, sources)
    names = {name for owner, name in catalog.instance_types if owner == answer.provider}
    names |= {row["name"] for row in machines}
    committed = [*_committed_rows(answer, names, sources)]
    committed += _kept_committed(before, answer, committed, sources)
    return {
        "prices.csv": table_text(PRICE_COLUMNS, [row for row in prices if row["instance_type"] in names]),
        "managed.csv": table_text(MANAGED_COLUMNS, _managed_rows(catalog, answer, read_on, sources)),
        "serverless.csv": table_text(SERVERLESS_COLUMNS, _serverless_rows(catalog, answer, before, sources)),
        "committed_prices.csv": table_text(COMMITTED_COLUMNS, sorted(committed, key=_committed_key)),
        "instances.csv": table_text(INSTANCE_COLUMNS, machines),
        "capacity_blocks.csv": table_text(BLOCK_COLUMNS, _read_or_kept("capacity_blocks", BlockRow, answer, before)),
        "quotas.csv": table_text(QUOTA_COLUMNS, _read_or_kept("quotas", QuotaRow, answer, before)),
        "zones.csv": table_text(ZONE_COLUMNS, _zone_rows(answer, names, read_on, before, sources)),
        "unknown_types.csv": table_text(UNKNOWN_COLUMNS, unknown),
        "sources.csv": table_text(SOURCE_COLUMNS, sources.rows()),
    }


class _Titles:
    """Identifiers of sources: the refreshed one, and those that older prices keep."""

    def __init__(self, refreshed: Origin) -> None:
        self._known = {refreshed.title: REFRESHED}
        self.refreshed = REFRESHED
        self.quality = refreshed.quality

    def of(self, title: str) -> str:
        return self._known.setdefault(title, f"kept-{len(self._known)}")

    def rows(self) -> list[Mapping[str, str]]:
        return [{"source_id": key, "title": title, "licence": "", "note": ""} for title, key in self._known.items()]


def _read_or_kept(
    part: str, kind: type[BlockRow] | type[QuotaRow], answer: Found, before: Path | None
) -> Iterator[Mapping[str, Any]]:
    """Rows that were read, after those of the snapshot before for regions that were not read to their end."""
    kept = read_rows(before / f"{part}.csv") if before else ()
    yield from (row for row in kept if not answer.covers(row["region"], part))
    yield from (asdict(row) for row in answer.rows if isinstance(row, kind) and answer.covers(row.region, part))


def _kept_committed(
    before: Path | None, answer: Found, read: Sequence[Mapping[str, Any]], sources: _Titles
) -> Iterator[Mapping[str, Any]]:
    """Prices of the snapshot before that were not read again, where not everything was read that has any."""
    parts = ("prices", "savings_plans") if answer.provider == "aws" else ("prices",)
    newer = {_committed_key(row) for row in read}

    def stays(row: Mapping[str, str]) -> bool:
        return _committed_key(row) not in newer and not all(answer.covers(row["region"], part) for part in parts)

    yield from _kept("committed_prices.csv", before, sources, stays)


def _kept(
    table: str, before: Path | None, sources: _Titles, stays: Callable[[Mapping[str, str]], bool]
) -> Iterator[Mapping[str, Any]]:
    """Rows of the snapshot before that still hold, under the names that their sources have now."""
    if before is None or not (before / table).is_file():
        return
    titles = {row["source_id"]: row["title"] for row in read_rows(before / "sources.csv")}
    for row in read_rows(before / table):
        if stays(row):
            yield {**row, "source": sources.of(titles[row["source"]])}


def _committed_key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in COMMITTED_COLUMNS[:5])


def _price_rows(
    before: Mapping[Place, Offer], answer: Found, read_on: str, sources: _Titles
) -> Iterator[Mapping[str, Any]]:
    listed, spot = answer.prices(Purchase.ON_DEMAND), answer.prices(Purchase.SPOT)
    sold = _sold_places(before, answer)
    unpriced = price_cells("on_demand", None, sources.refreshed, read_on, Quality.UNPRICED)
    for place in sorted({*before, *sold}, key=lambda key: (key[1], key[0])):
        region, name = place
        old = before.get(place)
        read = answer.covers(region, "prices")
        cells = {"instance_type": name, "region": region} | unpriced
        if old is not None and place not in sold and (old.withdrawn or (read and answer.tells_absence)):
            cells |= _cells_of_price("on_demand", None, old.on_demand, sources)
            yield cells | {"on_demand_quality": Quality.WITHDRAWN.value}
            continue
        reads_spot = answer.covers(region, "spot") or (read and answer.provider != "aws")
        keeps = old is not None and not old.withdrawn and (place not in sold or not read)
        kept_price = old.on_demand if old and keeps else None
        kept_spot = old.spot if old and not (reads_spot and (answer.tells_absence or place in sold)) else None
        cells |= _cells_of_price("on_demand", listed.get(place), kept_price, sources)
        spot_row = spot.get(place)
        counting = spot_row or kept_spot
        zones = zone_cells(counting.zones_usd_per_hour if counting else None)
        yield cells | _cells_of_price("spot", spot_row, kept_spot, sources) | zones


def _sold_places(before: Mapping[Place, Offer], answer: Found) -> set[Place]:
    """Places that sell: that offer it or price it on spot, and those of a price list where nothing better was read.

    A price list alone brings nothing back that was withdrawn.
    """
    rows = [row for row in answer.rows if isinstance(row, Sold)]
    offered = {(row.region, row.instance_type) for row in rows if row.offered} | set(answer.prices(Purchase.SPOT))
    named = {(row.region, row.instance_type) for row in rows} | set(answer.prices(Purchase.ON_DEMAND))
    withdrawn = {place for place, offer in before.items() if offer.withdrawn}
    return offered | {place for place in named - withdrawn if not answer.covers(place[0], "sold")}


def zone_cells(zones_usd_per_hour: tuple[float, float] | None) -> dict[str, float]:
    """Cells of the range of a spot price over zones; none where it is not known."""
    if zones_usd_per_hour is None:
        return {}
    return dict(zip(("spot_zone_low_usd_per_hour", "spot_zone_high_usd_per_hour"), zones_usd_per_hour, strict=True))


def price_cells(prefix: str, usd_per_hour: float | None, source: str, as_of: str, quality: Quality) -> dict[str, Any]:
    """Cells of a price and its origin, in columns that begin with a prefix."""
    cells = {"usd_per_hour": usd_per_hour, "source": source, "as_of": as_of, "quality": quality.value}
    return {f"{prefix}_{name}" if prefix else name: value for name, value in cells.items()}


def _cells_of_price(prefix: str, row: PriceRow | None, kept: Price | None, sources: _Titles) -> dict[str, Any]:
    """Cells of the price that was read, else of the one that is kept; none without either."""
    if row is not None:
        return price_cells(prefix, row.usd_per_hour, sources.refreshed, row.as_of, sources.quality)
    if kept is None:
        return {}
    origin = kept.provenance
    return price_cells(prefix, kept.usd_per_hour, sources.of(origin.source), origin.as_of, origin.quality)


def instance_cells(machine: MachineRow | InstanceType) -> dict[str, Any]:
    """Cells of the hardware of a machine."""
    return {column: getattr(machine, column) for column in INSTANCE_COLUMNS if hasattr(machine, column)}


def _managed_rows(catalog: Catalog, answer: Found, read_on: str, sources: _Titles) -> Iterator[Mapping[str, Any]]:
    """Prices of services that run endpoints, as read; former ones where a region was not read to its end."""
    read = answer.prices(Purchase.MANAGED)
    before = {place: offer.managed for place, offer in offers_of(catalog, answer.provider).items() if offer.managed}
    unpriced = price_cells("", None, sources.refreshed, read_on, Quality.UNPRICED)
    for place in sorted({*before, *read}, key=lambda key: (key[1], key[0])):
        region, name = place
        old, row = before.get(place), read.get(place)
        if old is not None and row is None and answer.covers(region, "managed"):
            continue  # not sold there any more
        cells = {"provider": answer.provider, "service": old.service if old else SAGEMAKER, "instance_type": name}
        price = _cells_of_price("", row, old.price if old else None, sources)
        yield cells | {"region": region, "notes": ""} | (price or unpriced)


def _serverless_rows(
    catalog: Catalog, answer: Found, before: Path | None, sources: _Titles
) -> Iterator[Mapping[str, Any]]:
    """Prices that were read, after older ones of regions that were not.

    How long a container starts and is kept is as it was known of the service.
    """
    yield from _kept("serverless.csv", before, sources, lambda row: not answer.covers(row["regions"], "serverless"))
    earlier = {(service.provider, service.service, service.accelerator): service for service in catalog.serverless}
    for row in answer.rows:
        if isinstance(row, ServerlessRow):
            old = earlier.get((answer.provider, row.service, row.accelerator))
            values = (
                answer.provider, row.service, row.accelerator, row.region, row.usd_per_hour, row.vcpus, row.memory_gib,
                old.idle_seconds if old else None, old.cold_start_seconds if old else None, sources.refreshed,
                row.as_of, Quality.LISTED.value, "",
            )  # fmt: skip
            yield dict(zip(SERVERLESS_COLUMNS, values, strict=True))


def _zone_rows(
    answer: Found, machines: Collection[str], read_on: str, before: Path | None, sources: _Titles
) -> Iterator[Mapping[str, Any]]:
    """Zones that were read, after those of the snapshot before in regions that were not.

    Types of a region that are sold in the same zones share a row.
    """
    yield from _kept("zones.csv", before, sources, lambda row: not answer.covers(row["region"], "zones"))
    zones: dict[Place, set[str]] = {}
    for row in answer.rows:
        if isinstance(row, ZoneRow) and row.instance_type in machines and answer.covers(row.region, "zones"):
            zones.setdefault((row.region, row.instance_type), set()).add(row.zone)
    types: dict[tuple[str, str], list[str]] = {}
    for (region, name), names in sorted(zones.items()):
        types.setdefault((region, SEPARATOR.join(sorted(names))), []).append(name)
    for (region, names_of_zones), names_of_types in types.items():
        source = sources.of(_ZONES[answer.provider]) if answer.provider in _ZONES else sources.refreshed
        place = (answer.provider, region, SEPARATOR.join(names_of_types), names_of_zones)
        yield dict(zip(ZONE_COLUMNS, (*place, source, read_on, Quality.LISTED.value), strict=True))


def _committed_rows(answer: Found, names: Collection[str], sources: _Titles) -> Iterator[Mapping[str, Any]]:
    """Prices of commitments to known types; the dearest of several under one name."""
    rows = [row for row in answer.rows if isinstance(row, CommittedRow) and row.instance_type in names]
    prices = {
        (row.instance_type, row.region, row.instrument, row.term_years, row.payment): row
        for row in sorted(rows, key=lambda row: row.usd_per_hour)
    }
    for key, row in prices.items():
        cells = (*key, row.usd_per_hour, sources.refreshed, row.as_of, sources.quality.value)
        yield dict(zip(COMMITTED_COLUMNS, cells, strict=True))


def _machine_rows(
    catalog: Catalog, answer: Found, read_on: str, sources: _Titles
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """New types of accelerators that the catalog knows, and new types that it cannot describe."""
    earlier = {row["name"]: row for row in _added_before(catalog, answer.provider, sources)}
    unknown = {}
    for row in answer.rows:
        if not isinstance(row, MachineRow) or (answer.provider, row.instance_type) in catalog.instance_types:
            continue
        named = (row.accelerator, row.accelerator.partition(" ")[2])  # such as ``NVIDIA L4``
        accelerator = next(filter(None, map(catalog.known_accelerator, named)), None)
        machine = None if accelerator is None else reconcile_memory(accelerator, row)
        if accelerator is None or machine is None:
            unknown[row.instance_type] = {"instance_type": row.instance_type, "accelerator": row.accelerator}
        else:
            quality = Quality.LISTED if machine == row else Quality.DERIVED
            earlier[row.instance_type] = instance_cells(machine) | {
                "provider": answer.provider, "name": row.instance_type, "accelerator": accelerator.name,
                "interconnect": "", "source": sources.refreshed, "as_of": read_on, "quality": quality.value,
                "notes": "",
            }  # fmt: skip
    return [earlier[name] for name in sorted(earlier)], [unknown[name] for name in sorted(unknown)]


def _added_before(catalog: Catalog, provider: str, sources: _Titles) -> Iterator[Mapping[str, Any]]:
    """Types that an earlier refresh added to those that came with the program."""
    shipped = Catalog(catalog.directory).instance_types
    for (owner, name), machine in catalog.instance_types.items():
        if owner == provider and (owner, name) not in shipped:
            origin = machine.provenance
            yield instance_cells(machine) | {
                "source": sources.of(origin.source), "as_of": origin.as_of, "quality": origin.quality.value,
            }  # fmt: skip


def reconcile_memory(accelerator: Accelerator, row: MachineRow) -> MachineRow | None:
    """A machine with as many of an accelerator as its memory says; None where that contradicts the accelerator.

    Without a count, an even part of the memory is such a share of one accelerator, whose memory is then that of the
    whole. Without a memory it is the accelerator's.
    """
    whole, stated = accelerator.memory_gib, row.accelerator_memory_gib
    if stated is None:
        return replace(row, accelerator_memory_gib=whole)
    if math.isclose(stated, whole, rel_tol=SAME_MEMORY_RATIO):
        return row
    share = next((part for part in _SHARES if math.isclose(stated, whole * part, rel_tol=SAME_MEMORY_RATIO)), None)
    if row.accelerator_count or share is None:
        return None
    return replace(row, accelerator_count=share, accelerator_memory_gib=whole)
