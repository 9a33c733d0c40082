"""The planning tables as values: one function for each table, one row for each value."""

from pathlib import Path

from advisor.catalog.families import family_of
from advisor.catalog.planning import (
    Commitment,
    CommitmentPrice,
    DataPrice,
    Fact,
    Grid,
    Latency,
    Per,
    Place,
    Quota,
    RegionResource,
    Reservation,
    Serverless,
    ServicePrice,
    SpotRisk,
    TokenPrice,
)
from advisor.catalog.readers import Sources
from advisor.catalog.values import Purchase, Quality
from advisor.tables import Record, read_records
from advisor.units import BYTES_PER_GB, BYTES_PER_GIB

Pair = tuple[str, str]
"""Region and instance type."""
Triple = tuple[str, str, str]
"""Provider, region and what else tells rows apart."""


def read_commitments(directory: Path, sources: Sources) -> tuple[Commitment, ...]:
    """Discounts for a term, in the order of the file."""
    return tuple(
        Commitment(
            provider=row.text("provider"),
            families=_list(row, "families"),
            region=row.optional_text("region"),
            instrument=row.text("instrument"),
            term_years=int(row.number("term_years")),
            payment=row.text("payment"),
            discount_ratio=row.number("discount_ratio"),
            provenance=sources.of(row),
        )
        for row in read_records(directory / "commitments.csv")
    )


def read_committed_prices(path: Path, provider: str, sources: Sources) -> dict[Pair, list[CommitmentPrice]]:
    """Listed prices of one provider's commitments, by region and instance type."""
    found: dict[Pair, list[CommitmentPrice]] = {}
    for row in read_records(path):
        price = _committed_price(row, provider, sources)
        found.setdefault((price.commitment.region, row.text("instance_type")), []).append(price)
    return found


def _committed_price(row: Record, provider: str, sources: Sources) -> CommitmentPrice:
    usd_per_hour, provenance = row.number("usd_per_hour"), sources.of(row)
    if usd_per_hour <= 0:
        row.fail("usd_per_hour", f"a price of {usd_per_hour:g}: leave the row out when it is unknown")
    commitment = Commitment(
        provider=provider,
        families=(family_of(provider, row.text("instance_type")),),
        region=row.text("region"),
        instrument=row.text("instrument"),
        term_years=int(row.number("term_years")),
        payment=row.text("payment"),
        discount_ratio=None,
        provenance=provenance,
    )
    return CommitmentPrice(commitment, usd_per_hour, provenance)


def read_reservations(directory: Path, sources: Sources) -> tuple[Reservation, ...]:
    """Capacity and discounts that are sold by other terms than hourly commitments, in the order of the file."""
    return tuple(
        Reservation(
            provider=row.text("provider"),
            families=_list(row, "families"),
            region=row.optional_text("region"),
            instrument=row.text("instrument"),
            least_days=int(row.number("least_days")),
            most_days=row.optional_integer("most_days"),
            days_ahead=row.optional_integer("days_ahead"),
            payment=row.text("payment"),
            usd_per_hour=row.optional_number("usd_per_hour"),
            terms=row.text("terms"),
            provenance=sources.of(row),
        )
        for row in read_records(directory / "reservations.csv")
    )


def read_spot_risks(directory: Path, sources: Sources) -> dict[Triple, SpotRisk]:
    """How often spot instances were interrupted, by provider, region and instance type."""
    return {
        (row.text("provider"), row.text("region"), row.text("instance_type")): SpotRisk(
            row.number("interrupted_low_ratio"), row.number("interrupted_high_ratio"), sources.of(row)
        )
        for row in read_records(directory / "spot_interruptions.csv")
    }


def read_quotas(directory: Path, sources: Sources) -> dict[tuple[str, Purchase, str], Quota]:
    """Limits by provider, market and family."""
    quotas = (_quota(row, sources) for row in read_records(directory / "quotas.csv"))
    return {(quota.provider, quota.market, family): quota for quota in quotas for family in quota.families}


def read_latencies(directory: Path, sources: Sources) -> dict[Triple, Latency]:
    """Measured round trips by provider and the two regions in alphabetical order."""
    return {
        (row.text("provider"), row.text("region"), row.text("other_region")): Latency(
            row.number("rtt_ms"), sources.of(row), row.text("suspect") == "yes"
        )
        for row in read_records(directory / "region_latency.csv")
    }


def read_places(directory: Path, sources: Sources) -> dict[str, Place]:
    """Where users are, by name."""
    places = (
        Place(
            name=row.text("place"),
            title=row.text("title"),
            country=row.text("country"),
            country_iso2=row.text("country_iso2"),
            latitude_degrees=row.number("latitude"),
            longitude_degrees=row.number("longitude"),
            provenance=sources.of(row),
        )
        for row in read_records(directory / "user_places.csv")
    )
    return {place.name: place for place in places}


def read_grids(directory: Path, sources: Sources) -> dict[tuple[str, str], Grid]:
    """Carbon of the power by provider and region."""
    return {
        (row.text("provider"), row.text("region")): _grid(row, sources) for row in read_records(directory / "grid.csv")
    }


def read_cold_start(directory: Path, sources: Sources) -> dict[str, Fact]:
    """Parts of a cold start, by name."""
    return {row.text("name"): _fact(row, sources) for row in read_records(directory / "cold_start.csv")}


def read_egress(directory: Path, sources: Sources) -> dict[Triple, DataPrice]:
    """USD for data that leaves, by provider, region and destination (internet, other_regions or a region)."""
    return {
        (row.text("provider"), row.text("region"), row.text("destination")): DataPrice(
            row.number("usd") * (BYTES_PER_GB / BYTES_PER_GIB if row.text("per") == "GiB" else 1.0), sources.of(row)
        )
        for row in read_records(directory / "egress.csv")
    }


def read_service_prices(directory: Path, sources: Sources) -> dict[Triple, ServicePrice]:
    """USD for disks, gateways, load balancers and others, by provider, item and region ("" for all the others)."""
    return {
        (row.text("provider"), row.text("item"), row.optional_text("region")): _service_price(row, sources)
        for row in read_records(directory / "service_prices.csv")
    }


def _service_price(row: Record, sources: Sources) -> ServicePrice:
    unit, usd = row.text("unit"), row.number("usd")
    if unit == "GiB":
        return ServicePrice(usd * BYTES_PER_GB / BYTES_PER_GIB, "GB", sources.of(row))
    return ServicePrice(usd, unit, sources.of(row))


def read_region_resources(directory: Path, sources: Sources) -> tuple[RegionResource, ...]:
    """Resources beside machines, in the order of the file."""
    return tuple(
        RegionResource(
            provider=row.text("provider"),
            item=row.text("item"),
            per=Per(row.text("per")),
            quantity=row.number("quantity"),
            assumes=row.text("assumes"),
            provenance=sources.of(row),
        )
        for row in read_records(directory / "region_resources.csv")
    )


def read_serverless(directory: Path, sources: Sources) -> tuple[Serverless, ...]:
    """Accelerators by the second, in the order of the file."""
    return tuple(
        Serverless(
            provider=row.text("provider"),
            service=row.text("service"),
            accelerator=row.text("accelerator"),
            regions=_list(row, "regions"),
            usd_per_hour=row.optional_number("usd_per_hour"),
            vcpus=row.optional_number("vcpus"),
            memory_gib=row.optional_number("memory_gib"),
            idle_seconds=row.optional_number("idle_seconds"),
            cold_start_seconds=row.optional_number("cold_start_seconds"),
            provenance=sources.of(row),
        )
        for row in read_records(directory / "serverless.csv")
    )


def read_token_prices(directory: Path, sources: Sources) -> tuple[TokenPrice, ...]:
    """Prices of tokens, in the order of the file."""
    return tuple(
        TokenPrice(
            model=row.optional_text("model") or "",
            provider=row.text("provider"),
            api_model=row.text("api_model"),
            input_usd_per_million=row.number("input_usd_per_million"),
            cached_usd_per_million=row.optional_number("cached_input_usd_per_million"),
            output_usd_per_million=row.number("output_usd_per_million"),
            context_tokens=row.optional_integer("context_tokens"),
            provenance=sources.of(row),
        )
        for row in read_records(directory / "token_prices.csv")
    )


def _quota(row: Record, sources: Sources) -> Quota:
    default_value = row.optional_number("default_value")
    return Quota(
        provider=row.text("provider"),
        name=row.text("name"),
        code=row.text("code"),
        unit=row.text("unit"),
        market=row.choice("market", Purchase),
        families=_list(row, "families"),
        default_value=default_value,
        default_quality=None if default_value is None else row.choice("default_quality", Quality),
        provenance=sources.of(row),
    )


def _grid(row: Record, sources: Sources) -> Grid:
    pue = row.optional_number("pue")
    return Grid(
        carbon_g_per_kwh=row.number("carbon_g_per_kwh"),
        provenance=sources.of(row),
        pue=pue,
        pue_provenance=None if pue is None else sources.of(row, "pue_"),
    )


def _fact(row: Record, sources: Sources) -> Fact:
    value = row.number("value")
    low, high = row.optional_number("low"), row.optional_number("high")
    return Fact(
        value=value,
        low=value if low is None else low,
        high=value if high is None else high,
        unit=row.text("unit"),
        provenance=sources.of(row),
    )


def _list(row: Record, column: str) -> tuple[str, ...]:
    return tuple(filter(None, row.optional_text(column).split(";")))
