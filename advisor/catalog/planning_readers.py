"""The planning tables as values: one function for each table, one row for each value."""

import re
from pathlib import Path

from advisor.catalog import planning
from advisor.catalog.families import family_of
from advisor.catalog.readers import Sources
from advisor.catalog.values import Purchase, Quality
from advisor.tables import Record, read_records
from advisor.units import BYTES_PER_GB, BYTES_PER_GIB

Pair = tuple[str, str]
"""Region and instance type."""
Triple = tuple[str, str, str]
"""Provider, region and what else tells rows apart."""


def read_commitments(directory: Path, sources: Sources) -> tuple[planning.Commitment, ...]:
    """Discounts for a term, in the order of the file."""
    return tuple(
        sources.value(planning.Commitment, row, discount_ratio=row.number("discount_ratio"))
        for row in read_records(directory / "commitments.csv")
    )


def read_committed_prices(path: Path, provider: str, sources: Sources) -> dict[Pair, list[planning.CommitmentPrice]]:
    """Listed prices of one provider's commitments, by region and instance type."""
    found: dict[Pair, list[planning.CommitmentPrice]] = {}
    for row in read_records(path):
        price = _committed_price(row, provider, sources)
        found.setdefault((price.commitment.region, row.text("instance_type")), []).append(price)
    return found


def _committed_price(row: Record, provider: str, sources: Sources) -> planning.CommitmentPrice:
    usd_per_hour, provenance = row.number("usd_per_hour"), sources.of(row)
    if usd_per_hour <= 0:
        row.fail("usd_per_hour", f"a price of {usd_per_hour:g}: leave the row out when it is unknown")
    families = (family_of(provider, row.text("instance_type")),)
    given = {"provider": provider, "families": families, "region": row.text("region"), "discount_ratio": None}
    commitment = row.value(planning.Commitment, provenance=provenance, **given)
    return planning.CommitmentPrice(commitment, usd_per_hour, provenance)


def read_reservations(directory: Path, sources: Sources) -> tuple[planning.Reservation, ...]:
    """Capacity and discounts that are sold by other terms than hourly commitments, in the order of the file."""
    return tuple(sources.value(planning.Reservation, row) for row in read_records(directory / "reservations.csv"))


def read_spot_risks(directory: Path, sources: Sources) -> dict[Triple, planning.SpotRisk]:
    """How often spot instances were interrupted, by provider, region and instance type."""
    return {
        (row.text("provider"), row.text("region"), row.text("instance_type")): planning.SpotRisk(
            row.number("interrupted_low_ratio"), row.number("interrupted_high_ratio"), sources.of(row)
        )
        for row in read_records(directory / "spot_interruptions.csv")
    }


def read_quotas(directory: Path, sources: Sources) -> dict[tuple[str, Purchase, str], planning.Quota]:
    """Limits by provider, market and family."""
    quotas = (_quota(row, sources) for row in read_records(directory / "quotas.csv"))
    return {(quota.provider, quota.market, family): quota for quota in quotas for family in quota.families}


def read_latencies(directory: Path, sources: Sources) -> dict[Triple, planning.Latency]:
    """Measured round trips by provider and the two regions in alphabetical order."""
    return {
        (row.text("provider"), row.text("region"), row.text("other_region")): planning.Latency(
            row.number("rtt_ms"), sources.of(row), row.text("suspect") == "yes"
        )
        for row in read_records(directory / "region_latency.csv")
    }


def read_places(directory: Path, sources: Sources) -> dict[str, planning.Place]:
    """Where users are, by name."""
    places = (
        sources.value(
            planning.Place,
            row,
            name=row.text("place"),
            latitude_degrees=row.number("latitude"),
            longitude_degrees=row.number("longitude"),
        )
        for row in read_records(directory / "user_places.csv")
    )
    return {place.name: place for place in places}


def read_grids(directory: Path, sources: Sources) -> dict[tuple[str, str], planning.Grid]:
    """Carbon of the power by provider and region."""
    return {
        (row.text("provider"), row.text("region")): _grid(row, sources) for row in read_records(directory / "grid.csv")
    }


def read_cold_start(directory: Path, sources: Sources) -> planning.StartFacts:
    """Parts of a cold start; machines in the order of their table, the first of which counts."""
    machines = (
        planning.MachineStart(
            row.text("provider"),
            row.optional_text("service"),
            re.compile(row.text("pattern"), re.ASCII),
            _fact(row, sources),
        )
        for row in read_records(directory / "machine_starts.csv")
    )
    return planning.StartFacts(
        {row.text("name"): _fact(row, sources) for row in read_records(directory / "cold_start.csv")},
        tuple(machines),
        {
            (row.text("engine"), row.text("vendor")): _fact(row, sources)
            for row in read_records(directory / "engine_images.csv")
        },
    )


def read_egress(directory: Path, sources: Sources) -> dict[Triple, planning.DataPrice]:
    """USD for data that leaves, by provider, region and destination (internet, other_regions or a region)."""
    return {
        (row.text("provider"), row.text("region"), row.text("destination")): planning.DataPrice(
            row.number("usd") * (BYTES_PER_GB / BYTES_PER_GIB if row.text("per") == "GiB" else 1.0), sources.of(row)
        )
        for row in read_records(directory / "egress.csv")
    }


def read_service_prices(directory: Path, sources: Sources) -> dict[Triple, planning.ServicePrice]:
    """USD for disks, gateways, load balancers and others, by provider, item and region ("" for all the others)."""
    return {
        (row.text("provider"), row.text("item"), row.optional_text("region")): _service_price(row, sources)
        for row in read_records(directory / "service_prices.csv")
    }


def _service_price(row: Record, sources: Sources) -> planning.ServicePrice:
    unit, usd = row.text("unit"), row.number("usd")
    if unit == "GiB":
        return planning.ServicePrice(usd * BYTES_PER_GB / BYTES_PER_GIB, "GB", sources.of(row))
    return planning.ServicePrice(usd, unit, sources.of(row))


def read_region_resources(directory: Path, sources: Sources) -> tuple[planning.RegionResource, ...]:
    """Resources beside machines, in the order of the file."""
    return tuple(
        sources.value(planning.RegionResource, row) for row in read_records(directory / "region_resources.csv")
    )


def read_serverless(directory: Path, sources: Sources) -> tuple[planning.Serverless, ...]:
    """Accelerators by the second, in the order of the file."""
    return tuple(sources.value(planning.Serverless, row) for row in read_records(directory / "serverless.csv"))


def read_token_prices(directory: Path, sources: Sources) -> tuple[planning.TokenPrice, ...]:
    """Prices of tokens, in the order of the file."""
    return tuple(
        sources.value(
            planning.TokenPrice, row, cached_usd_per_million=row.optional_number("cached_input_usd_per_million")
        )
        for row in read_records(directory / "token_prices.csv")
    )


def _quota(row: Record, sources: Sources) -> planning.Quota:
    quality = row.choice("default_quality", Quality) if row.optional_text("default_value") else None
    return sources.value(planning.Quota, row, default_quality=quality)


def _grid(row: Record, sources: Sources) -> planning.Grid:
    pue = row.optional_number("pue")
    return planning.Grid(
        carbon_g_per_kwh=row.number("carbon_g_per_kwh"),
        provenance=sources.of(row),
        pue=pue,
        pue_provenance=None if pue is None else sources.of(row, "pue_"),
    )


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
