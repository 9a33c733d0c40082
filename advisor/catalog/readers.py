"""The catalog's tables as values: one function for each table, one row for each value."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

from advisor.catalog import planning
from advisor.catalog.values import (
    Accelerator,
    InstanceType,
    Managed,
    Offer,
    Price,
    Provenance,
    Purchase,
    Quality,
    Region,
    family_of,
)
from advisor.names import normalised
from advisor.records import replace
from advisor.tables import Record, Value, read_records
from advisor.units import BYTES_PER_GB, BYTES_PER_GIB

Place = tuple[str, str, str]
"""Provider, region and instance type."""
_ZONE_LOW, _ZONE_HIGH = "spot_zone_low_usd_per_hour", "spot_zone_high_usd_per_hour"
Pair = tuple[str, str]
"""Region and instance type."""
Triple = tuple[str, str, str]
"""Provider, region and what else tells rows apart."""
_UNPRINTED = Region(
    "", "global", "No region printed", "", "", "", None, None,
    Provenance("its prices, which name no region", "", Quality.DERIVED),
)  # fmt: skip
"""Region of a provider that prints none."""


@cache
def _columns_of(prefix: str) -> tuple[str, str, str]:
    """Columns of source, date and quality of the part of a row whose columns begin with a prefix."""
    return f"{prefix}source", f"{prefix}as_of", f"{prefix}quality"


class Sources:
    """Tables of a directory, titles of their sources, and one Provenance for all rows of a source, date and quality."""

    def __init__(self, directory: Path) -> None:
        """Read the table of sources."""
        self.directory = directory
        self._titles = {row.text("source_id"): row.text("title") for row in self.rows("sources")}
        self._known: dict[tuple[str | None, ...], Provenance] = {}

    def of(self, row: Record, prefix: str = "") -> Provenance:
        """Where a row, or the part of it whose columns begin with *prefix*, comes from."""
        columns = _columns_of(prefix)
        key = tuple(map(row.cells.get, columns))
        provenance = self._known.get(key)
        if provenance is None:
            source, day, _ = map(row.text, columns)
            if source not in self._titles:
                row.fail(columns[0], f"'{source}' is not in sources.csv")
            provenance = Provenance(self._titles[source], day, row.choice(columns[2], Quality))
            self._known[key] = provenance
        return provenance

    def value(self, kind: Callable[..., Value], row: Record, **given: object) -> Value:
        """A value of a row with its source, see :meth:`advisor.tables.Record.value`."""
        return row.value(kind, provenance=self.of(row), **given)

    def rows(self, table: str) -> Iterator[Record]:
        """Rows of a table."""
        return read_records(self.directory / f"{table}.csv")

    def values(self, kind: Callable[..., Value], table: str) -> tuple[Value, ...]:
        """Values of a table, in the order of its rows."""
        return tuple(self.value(kind, row) for row in self.rows(table))

    def by(self, columns: str, table: str, value: Callable[[Record, "Sources"], Value]) -> dict[Any, Value]:
        """Values of a table by the texts of its columns; a cell of a column that is named with ``?`` may be empty."""
        texts = [
            (Record.optional_text if name[-1] == "?" else Record.text, name.strip("?")) for name in columns.split()
        ]
        return {tuple(text(row, name) for text, name in texts): value(row, self) for row in self.rows(table)}


def table(read: Callable[[Sources], Value]) -> "cached_property[Value]":
    """A table of a catalog, read when it is first asked for."""

    def first_read(tables: Any) -> Value:  # noqa: ANN401 - any class of tables, which all have sources
        return read(tables.sources)

    return cached_property(first_read)


def read_accelerators(sources: Sources) -> dict[str, Accelerator]:
    """Accelerators by name."""
    return {accelerator.name: accelerator for accelerator in sources.values(Accelerator, "accelerators")}


def read_accelerator_names(sources: Sources, accelerators: Collection[str]) -> dict[str, str]:
    """Every way to write an accelerator's name, normalised → its name."""
    names = {normalised(name): name for name in accelerators}
    for row in sources.rows("accelerator_aliases"):
        target = row.text("accelerator")
        if target not in accelerators:
            row.fail("accelerator", f"'{target}' is not in accelerators.csv")
        names[normalised(row.text("alias"))] = target
    return names


def read_instance_types(sources: Sources) -> dict[tuple[str, str], InstanceType]:
    """Machines by provider and name."""
    return {(machine.provider, machine.name): machine for machine in sources.values(InstanceType, "instances")}


def read_offers(sources: Sources, without: Collection[str] = ()) -> tuple[Offer, ...]:
    """Offers in the order of the files: one file for each provider, but for those in *without*."""
    paths = {provider: path for provider, path in _price_tables(sources).items() if provider not in without}
    managed = read_managed(sources.directory / "managed.csv", sources)
    return tuple(
        offer for provider, path in paths.items() for offer in read_price_table(path, provider, sources, managed)
    )


def read_price_table(
    path: Path, provider: str, sources: Sources, managed: Mapping[Place, Managed], instance_type: str = ""
) -> tuple[Offer, ...]:
    """Offers of one provider, in the order of the file.

    *managed*: what services that run endpoints ask for the same machines. *instance_type*: the only one read; "": all.
    """
    own = {place: service for place, service in managed.items() if place[0] == provider}
    rows = (row for row in read_records(path, instance_type) if instance_type in ("", row.text("instance_type")))
    return tuple(_offer(provider, row, sources, own) for row in rows)


def read_managed(path: Path, sources: Sources) -> dict[Place, Managed]:
    """Services that run endpoints on machines, by provider, region ("": each that has none of its own) and type."""
    return {
        (row.text("provider"), row.optional_text("region"), row.text("instance_type")): Managed(
            row.text("service"), _price(row, sources, "")
        )
        for row in read_records(path)
    }


def read_regions(sources: Sources) -> dict[tuple[str, str], Region]:
    """Regions by provider and name; a provider without a row has one that it does not print."""
    listed = [_region(row, sources) for row in sources.rows("regions")]
    without = _price_tables(sources).keys() - {region.provider for region in listed}
    unprinted = [replace(_UNPRINTED, provider=provider) for provider in without]
    return {
        (region.provider, region.name): region
        for region in sorted(listed + unprinted, key=attrgetter("provider", "name"))
    }


def _price_tables(sources: Sources) -> dict[str, Path]:
    """Tables of prices by provider."""
    return {path.stem: path for path in sorted((sources.directory / "prices").glob("*.csv"))}


def read_engine_models(sources: Sources) -> Iterator[tuple[str, str, str, str, str]]:
    """Engine, accelerator, model, family and status, for engines that list what they run."""
    for row in sources.rows("engine_models"):
        yield (
            row.text("engine"),
            row.text("accelerator"),
            row.optional_text("model"),
            row.optional_text("family"),
            row.text("status"),
        )


def _offer(provider: str, row: Record, sources: Sources, managed: Mapping[Place, Managed]) -> Offer:
    region, name = row.text("region"), row.text("instance_type")
    return Offer(
        provider=provider,
        region=region,
        instance_type=name,
        on_demand=_price(row, sources, "on_demand_"),
        spot=_with_zones(_price(row, sources, "spot_"), row),
        managed=(managed.get((provider, region, name)) or managed.get((provider, "", name))) if managed else None,
        withdrawn=row.text("on_demand_quality") == Quality.WITHDRAWN,
    )


def _with_zones(spot: Price | None, row: Record) -> Price | None:
    """A spot price with its range over the zones of the region, where the table has it."""
    if spot is None or not row.cells.get(_ZONE_LOW):
        return spot
    low, high = row.number(_ZONE_LOW), row.number(_ZONE_HIGH)
    if not 0 < low <= spot.usd_per_hour <= high:
        row.fail(_ZONE_LOW, f"{low:g} to {high:g} by zone does not hold the median of {spot.usd_per_hour:g}")
    return replace(spot, zones_usd_per_hour=(low, high))


def _price(row: Record, sources: Sources, prefix: str) -> Price | None:
    """A price with its source, or None: an empty cell is an unknown price, and nothing is free."""
    column = f"{prefix}usd_per_hour"
    usd_per_hour = row.optional_number(column)
    if usd_per_hour is None:
        return None
    if usd_per_hour <= 0:
        row.fail(column, f"a price of {usd_per_hour:g}: leave the cell empty when it is unknown")
    return Price(usd_per_hour, sources.of(row, prefix))


def _region(row: Record, sources: Sources) -> Region:
    latitude, longitude = row.optional_number("latitude"), row.optional_number("longitude")
    names = {"name": row.text("region"), "title": row.text("name")}
    return sources.value(Region, row, latitude_degrees=latitude, longitude_degrees=longitude, **names)


def read_commitments(sources: Sources) -> tuple[planning.Commitment, ...]:
    """Discounts for a term, in the order of the file."""
    return tuple(
        sources.value(planning.Commitment, row, discount_ratio=row.number("discount_ratio"))
        for row in sources.rows("commitments")
    )


def read_committed_prices(path: Path, provider: str, sources: Sources) -> dict[Pair, list[planning.CommitmentPrice]]:
    """Listed prices of one provider's commitments, by region and instance type."""
    prices: dict[Pair, list[planning.CommitmentPrice]] = {}
    for row in read_records(path):
        price = _committed_price(row, provider, sources)
        prices.setdefault((price.commitment.region, row.text("instance_type")), []).append(price)
    return prices


def _committed_price(row: Record, provider: str, sources: Sources) -> planning.CommitmentPrice:
    usd_per_hour, provenance = row.number("usd_per_hour"), sources.of(row)
    if usd_per_hour <= 0:
        row.fail("usd_per_hour", f"a price of {usd_per_hour:g}: leave the row out when it is unknown")
    families = (family_of(provider, row.text("instance_type")),)
    given = {"provider": provider, "families": families, "region": row.text("region"), "discount_ratio": None}
    commitment = row.value(planning.Commitment, provenance=provenance, **given)
    return planning.CommitmentPrice(commitment, usd_per_hour, provenance)


def spot_risk(row: Record, sources: Sources) -> planning.SpotRisk:
    """How often spot instances of a row were interrupted."""
    low, high = row.number("interrupted_low_ratio"), row.number("interrupted_high_ratio")
    return planning.SpotRisk(low, high, sources.of(row))


def read_quotas(sources: Sources) -> dict[tuple[str, Purchase, str], planning.Quota]:
    """Limits by provider, market and family."""
    quotas = sources.values(planning.Quota, "quotas")
    return {(quota.provider, quota.market, family): quota for quota in quotas for family in quota.families}


def latency(row: Record, sources: Sources) -> planning.Latency:
    """Measured round trip between the two regions of a row."""
    return planning.Latency(row.number("rtt_ms"), sources.of(row))


def read_places(sources: Sources) -> dict[str, planning.Place]:
    """Where users are, by name."""
    places = (
        sources.value(
            planning.Place,
            row,
            name=row.text("place"),
            latitude_degrees=row.number("latitude"),
            longitude_degrees=row.number("longitude"),
        )
        for row in sources.rows("user_places")
    )
    return {place.name: place for place in places}


def read_cold_start(sources: Sources) -> planning.StartFacts:
    """Parts of a cold start; machines in the order of their table, the first of which counts."""
    machines = (
        planning.MachineStart(
            row.text("provider"),
            row.optional_text("service"),
            re.compile(row.text("pattern"), re.ASCII),
            _fact(row, sources),
        )
        for row in sources.rows("machine_starts")
    )
    return planning.StartFacts(
        {row.text("name"): _fact(row, sources) for row in sources.rows("cold_start")},
        tuple(machines),
        sources.by("engine vendor", "engine_images", _fact),
    )


def read_scale_ins(sources: Sources) -> Mapping[str, planning.Fact]:
    """Seconds that an instance is billed after its last hour, by target."""
    return {row.text("target"): _fact(row, sources) for row in sources.rows("scale_ins")}


def data_price(row: Record, sources: Sources) -> planning.DataPrice:
    """USD for data that leaves."""
    per_gb = BYTES_PER_GB / BYTES_PER_GIB if row.text("per") == "GiB" else 1.0
    return planning.DataPrice(row.number("usd") * per_gb, sources.of(row))


def service_price(row: Record, sources: Sources) -> planning.ServicePrice:
    """USD for a disk, a gateway, a load balancer or another service."""
    unit, usd = row.text("unit"), row.number("usd")
    if unit == "GiB":
        return planning.ServicePrice(usd * BYTES_PER_GB / BYTES_PER_GIB, "GB", sources.of(row))
    return planning.ServicePrice(usd, unit, sources.of(row))


def read_serverless(sources: Sources) -> tuple[planning.Serverless, ...]:
    """Accelerators by the second, in the order of the file."""
    return sources.values(planning.Serverless, "serverless")


def read_token_prices(sources: Sources) -> tuple[planning.TokenPrice, ...]:
    """Prices of tokens, in the order of the file."""
    return tuple(
        sources.value(
            planning.TokenPrice, row, cached_usd_per_million=row.optional_number("cached_input_usd_per_million")
        )
        for row in sources.rows("token_prices")
    )


def grid(row: Record, sources: Sources) -> planning.Grid:
    """Carbon of the power of a region."""
    return sources.value(planning.Grid, row)


def _fact(row: Record, sources: Sources) -> planning.Fact:
    value = row.number("value")
    low, high = row.optional_number("low"), row.optional_number("high")
    return planning.Fact(
        value=value,
        low=value if low is None else low,
        high=value if high is None else high,
        unit=row.text("unit"),
        provenance=sources.of(row),
    )
