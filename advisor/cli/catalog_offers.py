"""``advisor catalog list``, ``show`` and ``audit``: instance types with prices, zones and layers, and gaps."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from advisor.catalog import Catalog, load_catalog, user_catalog
from advisor.catalog.catalog import CpuInstance
from advisor.catalog.layers.audit import audit
from advisor.catalog.layers.layered import LayeredCatalog, account_limits, capacity_blocks, offers_of_snapshot
from advisor.catalog.layers.snapshot import Snapshot
from advisor.catalog.planning import CommitmentPrice, Reservation
from advisor.catalog.values import InstanceType, Offer, Price, Purchase, Quality
from advisor.cli.options import wide_option
from advisor.cli.output import (
    deliver,
    list_format_option,
    output_option,
    report_format_option,
    report_width,
    table_or_json_option,
    tell,
)
from advisor.cli.served import warn_of_layers
from advisor.errors import AdvisorError, InputError
from advisor.names import suggestion
from advisor.records import dataclass, picked
from advisor.report.refresh_words import audit_json, audit_markdown, audit_words
from advisor.report.text_table import Column, fit_table, render_markdown_table, render_table, wrap
from advisor.report.words import SOLD_UNPRICED
from advisor.tables import csv_text
from advisor.units import counted, price_usd

Cell = str | int | float | None
Entry = Mapping[str, Cell]
PRICE = "usd_per_hour"
_REGIONS = "regions"
_NEEDED = frozenset(
    {
        "name",
        "item",
        "service",
        "accelerator",
        "region",
        _REGIONS,
        PRICE,
        "usd",
        "unit",
        "weights_gib",
        "precision",
        "input_usd_per_million",
        "output_usd_per_million",
    }
)
"""Columns that a table has however narrow it is."""
_WRAPPED = {"service": 10, _REGIONS: 20}
"""Characters that columns keep whose cells wrap."""


def deliver_entries(
    entries: Sequence[Entry], output_format: str, output: Path | None, heads: Mapping[str, str] | None = None
) -> None:  # fmt: skip
    """Entries with the same keys, one at least, in the format that is asked for.

    *heads*: words above columns of a table by key, where those of the key take more room than its cells.
    """
    keys, named = tuple(entries[0]), heads or {}
    if output_format == "table":
        rows = [[_cell(entry, key) for key in keys] for entry in entries]
        if PRICE in keys:
            rows = right_aligned(rows, keys.index(PRICE))
        columns = [
            Column(named.get(key, key.replace("_", " ")), 0 if key in _NEEDED else at + 1, _WRAPPED.get(key, 0))
            for at, key in enumerate(keys)
        ]
        deliver(fitted(columns, rows, output), output)
    else:
        deliver(serialise(entries, keys, output_format), output)


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], output: Path | None) -> str:
    """A table as wide as lines of the result may be, and which columns only other formats have room for."""
    width = report_width(output, wide=False)
    table, left_out = fit_table(columns, rows, width)
    names = ", ".join(columns[at].header for at in left_out)
    note = wrap(f"(--format csv shows {names} too)", width, rest=" ") if names else []
    return "\n".join([table, *note]) + "\n"


def whole(value: float | None) -> Cell:
    """8 rather than 8.0."""
    return int(value) if value is not None and value.is_integer() else value


def serialise(entries: Sequence[Entry], keys: Sequence[str], output_format: str) -> str:
    """Entries as JSON, one to a line (NDJSON), as a Markdown table, or as CSV."""
    if output_format == "json":
        return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    if output_format == "ndjson":
        return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    if output_format == "markdown":
        heads = [key.replace("_", " ") for key in keys]
        return render_markdown_table(heads, [[_cell(entry, key) for key in keys] for entry in entries]) + "\n"
    return csv_text((keys, *([entry.get(key) for key in keys] for entry in entries)))


def right_aligned(rows: Sequence[Sequence[str]], at: int) -> list[list[str]]:
    """The rows with one column aligned to the right."""
    width = max(len(row[at]) for row in rows)
    return [[cell.rjust(width) if column == at else cell for column, cell in enumerate(row)] for row in rows]


def _cell(entry: Entry, key: str) -> str:
    """A cell of a table; a price that nobody states is told in words."""
    if key == PRICE and entry[key] is None:
        return SOLD_UNPRICED
    return shown(entry[key]).replace(";", "; ") if key == _REGIONS else shown(entry[key])


def shown(value: Cell) -> str:
    """A value in a table; a dash where there is none."""
    return "-" if value is None else str(value)


_OFFER_KEYS = (
    "provider", "region", "instance_type", "accelerator", "accelerator_count", "accelerator_memory_gib",
    "on_demand_usd_per_hour", "spot_usd_per_hour", "source", "as_of", "quality",
)  # fmt: skip
_ZONE_KEYS = (
    "zones", "zone_names", "zones_verified", "zones_source", "zones_as_of", "spot_zone_low_usd_per_hour",
    "spot_zone_high_usd_per_hour",
)  # fmt: skip
_CPU_KEYS = ("vcpus", "memory_gib", "cpu_flags")
_EMPTY = {"json": "null", "ndjson": "null", "csv": "empty", "markdown": "a dash"}


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of a list; an empty field lists everything."""

    providers: tuple[str, ...]
    regions: tuple[str, ...]
    instance_types: tuple[str, ...]
    accelerators: tuple[str, ...]
    cpu: bool = False
    """Machines without an accelerator instead of those with one."""


@click.command("list")
@click.option("--provider", "providers", multiple=True, help="aws, gcp, azure, ... (repeatable)")
@click.option("--region", "regions", multiple=True, help="Region as the provider spells it. (repeatable)")
@click.option("--instance-type", "instance_types", multiple=True, help="For example g6.xlarge. (repeatable)")
@click.option(
    "--accelerator", "accelerators", multiple=True, help="For example L4; A100 lists every variant. (repeatable)"
)
@click.option("--cpu", "cpu", is_flag=True, help="List machines without an accelerator, with their processors.")
@click.option(
    "--zones", "with_zones", is_flag=True, help="Say in how many zones each type is sold, and what spot costs by zone."
)
@list_format_option
@output_option
def command(
    with_zones: bool,
    output_format: str,
    output: Path | None,
    **wanted: Any,  # noqa: ANN401 - fields of the filters
) -> None:
    """List instance types by region with their prices in USD per hour, or with the zones that sell them."""
    warn_of_layers()
    catalog, filters = load_catalog(), Filters(**wanted)
    offers = select(catalog, filters)
    if not offers:
        tell("note: nothing in the catalog is sold that way")
    describe, table = (_cpu_entry, _cpu_table) if filters.cpu else (_offer_entry, _offer_table)
    entries = [describe(catalog, offer) for offer in offers]
    keys: tuple[str, ...] = _OFFER_KEYS + (_CPU_KEYS if filters.cpu else ())
    if with_zones:
        entries = [{**entry, **_zone_entry(catalog, offer)} for entry, offer in zip(entries, offers, strict=True)]
        keys += _ZONE_KEYS
    if output_format == "table":
        deliver(_zone_tables(entries) if with_zones else _offer_tables(entries, offers, table), output)
        return
    unpriced = sum(map(_is_unpriced, entries))
    if unpriced:
        # The keys are a promise to other programs, so that null has to say it there.
        tell(f"note: {_unpriced_words(unpriced)}: both prices are {_EMPTY[output_format]}")
    deliver(serialise(entries, keys, output_format), output)


def select(catalog: Catalog, filters: Filters) -> list[Offer]:
    """Offers that pass every filter, by provider, instance type and region.

    Raises InputError if a filter names something that the catalog does not know, with the nearest names.
    """
    machines = catalog.cpu_instances if filters.cpu else catalog.instance_types
    sellers = tuple(dict.fromkeys(provider for provider, _ in machines))
    check_known("--provider", "provider", filters.providers, sellers)
    providers = filters.providers or sellers
    owners = ", ".join(filters.providers) or "any provider"
    regions = sorted({region for provider in providers for region in catalog.regions_of(provider)})
    check_known("--region", f"region of {owners}", filters.regions, regions)
    _check_types(catalog, filters, owners, [name for provider, name in machines if provider in providers])
    accelerators = {
        accelerator.name for name in filters.accelerators for accelerator in catalog.accelerator_variants(name)
    }
    return [
        offer
        for offer in _sold(catalog, providers, filters)
        if (not filters.instance_types or offer.instance_type in filters.instance_types)
        and (not accelerators or _accelerator_of(catalog, offer, cpu=filters.cpu) in accelerators)
    ]


def _sold(catalog: Catalog, providers: Sequence[str], filters: Filters) -> Sequence[Offer]:
    """Offers of the regions that are asked for, by provider."""
    if not filters.cpu:
        return catalog.offers_in(providers, filters.regions, withdrawn=True)
    offers = (offer for provider in sorted(set(providers)) for offer in catalog.cpu_offers(provider))
    return [offer for offer in offers if not filters.regions or offer.region in filters.regions]


def _check_types(catalog: Catalog, filters: Filters, owners: str, names: Sequence[str]) -> None:
    """Refuse unknown types; one of the other kind with the words that list it."""
    others = catalog.instance_types if filters.cpu else catalog.cpu_instances
    for name in filters.instance_types:
        if name not in names and any(name == other for _, other in others):
            kind, remedy = ("an", "leave --cpu out") if filters.cpu else ("no", "add --cpu")
            raise InputError(f"{name} has {kind} accelerator", where="--instance-type", hint=f"{remedy} to list it")
    check_known("--instance-type", f"instance type of {owners}", filters.instance_types, names)


def _accelerator_of(catalog: Catalog, offer: Offer, *, cpu: bool) -> str:
    if cpu:
        return catalog.cpu_instances[offer.provider, offer.instance_type].processor.accelerator
    return catalog.instance_type(offer.provider, offer.instance_type).accelerator


def _offer_entry(catalog: Catalog, offer: Offer) -> Entry:
    machine = catalog.instance_type(offer.provider, offer.instance_type)
    return _entry(offer, machine.accelerator, machine.accelerator_count, machine.accelerator_memory_gib)


def _cpu_entry(catalog: Catalog, offer: Offer) -> Entry:
    """The entry of a machine without an accelerator: its sockets stand where others have accelerators."""
    machine = catalog.cpu_instances[offer.provider, offer.instance_type]
    processor = machine.processor
    values: tuple[Cell, ...] = (machine.vcpus, whole(machine.memory_gib), ";".join(processor.flags))
    entry = _entry(offer, processor.accelerator or processor.name, machine.sockets, None)
    return {**entry, **dict(zip(_CPU_KEYS, values, strict=True))}


def _entry(offer: Offer, accelerator: str, count: float | None, memory_gib: float | None) -> Entry:
    price = offer.on_demand or offer.spot
    values: tuple[Cell, ...] = (
        offer.provider,
        offer.region,
        offer.instance_type,
        accelerator,
        whole(count),
        whole(memory_gib),
        offer.on_demand.usd_per_hour if offer.on_demand else None,
        offer.spot.usd_per_hour if offer.spot else None,
        price.provenance.source if price else None,
        price.provenance.as_of if price else None,
        _quality(offer, price).value,
    )
    return dict(zip(_OFFER_KEYS, values, strict=True))


def _quality(offer: Offer, price: Price | None) -> Quality:
    """How well the price is founded, or why there is none."""
    if offer.withdrawn:
        return Quality.WITHDRAWN
    return Quality.UNPRICED if price is None else price.provenance.quality


def _zone_entry(catalog: Catalog, offer: Offer) -> Entry:
    if offer.withdrawn:
        return dict(zip(_ZONE_KEYS, (0, "", False, *[None] * 4), strict=True))
    supply = catalog.zones(offer.provider, offer.region, offer.instance_type)
    low, high = (offer.spot.zones_usd_per_hour if offer.spot else None) or (None, None)
    values = (supply.count, ";".join(supply.names), supply.verified, supply.source, supply.as_of or None, low, high)
    return dict(zip(_ZONE_KEYS, values, strict=True))


def _offer_tables(entries: Sequence[Entry], offers: Sequence[Offer], table: Callable[[Sequence[Entry]], str]) -> str:
    """One table for each provider, and a last line on how many there are and how old their prices are."""
    tables = [f"{provider}\n{table(rows)}\n" for provider, rows in _by_provider(entries).items()]
    prices = [price for offer in offers for price in (offer.on_demand, offer.spot) if price is not None]
    dates = [price.provenance.as_of for price in prices]
    age = f"prices from {min(dates)} to {max(dates)}" if dates else "no price is known"
    unpriced, gone = sum(map(_is_unpriced, entries)), sum(offer.withdrawn for offer in offers)
    rest = f"; {_unpriced_words(unpriced)}" if unpriced else ""
    rest += f"; {gone:,} not sold any more" if gone else ""
    return "\n".join([*tables, f"{counted(len(offers), 'offer')}; {age}{rest}\n"])


def _by_provider(entries: Sequence[Entry]) -> Mapping[str, list[Entry]]:
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(str(entry["provider"]), []).append(entry)
    return grouped


def _zone_tables(entries: Sequence[Entry]) -> str:
    """One table for each provider, and a last line on how many offers have their zones listed."""
    headers = ("region", "instance type", "zones", "verified", "as of", "spot USD/h")
    tables = [
        f"{provider}\n{render_table(headers, [_zone_cells(entry) for entry in own])}\n"
        for provider, own in _by_provider(entries).items()
    ]
    verified = sum(bool(entry["zones_verified"]) for entry in entries)
    count = counted(len(entries), "offer")
    return "\n".join([*tables, f"{count}; zones of {verified:,} verified, of the others those of the region\n"])


def _zone_cells(entry: Entry) -> list[str]:
    cells = [shown(entry[key]) for key in ("region", "instance_type", "zones")]
    return [*cells, "yes" if entry["zones_verified"] else "no", shown(entry["zones_as_of"]), _spot_range(entry)]


def _offer_table(entries: Sequence[Entry]) -> str:
    columns = ("region", "instance_type", "accelerator_count", "accelerator")
    rows = [[*(shown(entry[key]) for key in columns), *_price_cells(entry)] for entry in entries]
    return _price_table(("region", "instance type", "count", "accelerator"), rows)


def _cpu_table(entries: Sequence[Entry]) -> str:
    columns = ("region", "instance_type", "vcpus", "memory_gib")
    rows = []
    for entry in entries:
        # Sets of instructions without the types that they are for.
        flags = dict.fromkeys(flag.partition("_")[0] for flag in str(entry["cpu_flags"]).split(";"))
        rows.append([*(shown(entry[key]) for key in columns), " ".join(flags), *_price_cells(entry)])
    return _price_table(("region", "instance type", "vCPUs", "GiB", "flags"), rows)


def _price_cells(entry: Entry) -> tuple[str, str]:
    """Prices, or the word for what has none; the last one of what is not sold any more stands in JSON and CSV."""
    on_demand = SOLD_UNPRICED if _is_unpriced(entry) else _show_price(entry["on_demand_usd_per_hour"])
    is_withdrawn = entry["quality"] == Quality.WITHDRAWN
    return Quality.WITHDRAWN.value if is_withdrawn else on_demand, _show_price(entry["spot_usd_per_hour"])


def _price_table(headers: tuple[str, ...], rows: Sequence[Sequence[str]]) -> str:
    """The rows of one provider; prices stay aligned to the right where there are words among them."""
    return render_table((*headers, "USD/h", "spot"), right_aligned(rows, len(headers)))


def _spot_range(entry: Entry) -> str:
    """Spot in the cheapest and in the dearest zone, where prices of zones are known."""
    low, high = entry["spot_zone_low_usd_per_hour"], entry["spot_zone_high_usd_per_hour"]
    if low is None or low == high:
        return _show_price(entry["spot_usd_per_hour"])
    return f"{_show_price(low)} to {_show_price(high)}"


def _is_unpriced(entry: Entry) -> bool:
    return entry["quality"] == Quality.UNPRICED


def _unpriced_words(count: int) -> str:
    return f"{counted(count, 'offer')}: {SOLD_UNPRICED}"


def _show_price(value: Cell) -> str:
    return "-" if value is None else f"{value:.5g}"


def check_known(option: str, what: str, given: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a name that the catalog does not know. Raises InputError with the nearest names."""
    for name in given:
        if name not in names:
            raise InputError(f"unknown {what}: '{name}'", where=option, hint=suggestion(name, names))


_WORDS = {"table": audit_words, "json": audit_json, "markdown": audit_markdown}


class NotSound(AdvisorError):  # noqa: N818 - an outcome
    """An audit that found what a strict one may not."""


@click.command("audit")
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="Day that ages are counted to; default: today.")
@click.option("--strict", is_flag=True, help="Exit with 1 where there is any problem.")
@report_format_option
@output_option
def audit_command(day: datetime | None, strict: bool, output_format: str, output: Path | None) -> None:
    """Audit the catalog as it counts for you, at list prices: coverage, age, quality, holes, contradictions.

    A problem is a cloud of whose pairs less than 95 % have a listed price of the last 180 days, a type of which layers
    say different hardware, a price that a layer disagrees with by more than 5 %, a layer that cannot be used, and an
    engine whose newest known release is older than 60 days.
    """
    result = audit(user_catalog(), (day or datetime.now(UTC)).date())
    deliver(_WORDS[output_format](result), output)
    if strict and result.problems:
        raise NotSound(
            f"{counted(len(result.problems), 'problem')} in the catalog",
            hint="`advisor catalog refresh all` or `advisor catalog update` brings newer prices",
        )


_TERM_COLUMNS = (
    Column("region"), Column("commitment", prose=20), Column("years"), Column("paid"), Column("USD/h"), Column("saves"),
    Column("as of", 1), Column("source", 2),
)  # fmt: skip
_PRICE_COLUMNS = (
    Column("region"), Column("paid"), Column("layer"), Column("counts"), Column("USD/h"), Column("by zone"),
    Column("quality", 2), Column("as of", 1), Column("source", 3),
)  # fmt: skip
_ZONE_COLUMNS = (
    Column("region"), Column("zones"), Column("names", prose=20), Column("verified"), Column("as of", 1),
    Column("source", 2),
)  # fmt: skip


def term_entries(catalog: Catalog, offers: Sequence[Offer]) -> dict[str, list[dict[str, Any]]]:
    """Commitments of each region, and reservations, for programs; prices in USD for an hour of one instance."""
    return {
        "commitments": [
            _commitment_entry(offer, price) for offer in offers for price in catalog.current_commitments(offer)
        ],
        "reservations": [_reservation_entry(reservation) for reservation in _reservations(catalog, offers)],
    }


def _fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """A table in lines of so many characters, and which columns only wider ones have room for."""
    table, left_out = fit_table(columns, rows, width)
    names = ", ".join(columns[at].header for at in left_out)
    return "\n".join([table, *(wrap(f"(--wide shows {names} too)", width) if names else [])])


def term_lines(catalog: Catalog, offers: Sequence[Offer], width: int | None) -> Iterator[str]:
    """The same for people, in lines of so many characters."""
    cells = [_cells(offer, price) for offer in offers for price in catalog.current_commitments(offer)]
    if cells:
        yield ""
        yield _fitted(_TERM_COLUMNS, cells, width)
    lines = [_reservation_words(reservation) for reservation in _reservations(catalog, offers)]
    if lines:
        yield "\nalso sold, never taken by a plan:"
        yield from (part for line in lines for part in wrap(line, width, rest="  "))


def _commitment_entry(offer: Offer, price: CommitmentPrice) -> dict[str, Any]:
    return {
        "region": offer.region,
        **picked(price.commitment, "instrument", "term_years", "payment"),
        "usd_per_hour": round(price.usd_per_hour, 6),
        **picked(price.provenance, "source", "as_of", "quality"),
    }


def _cells(offer: Offer, price: CommitmentPrice) -> tuple[str, ...]:
    sold_as, origin = price.commitment, price.provenance
    saves = "-" if offer.on_demand is None else f"{1 - price.usd_per_hour / offer.on_demand.usd_per_hour:.0%}"
    return (
        offer.region,
        sold_as.instrument,
        str(sold_as.term_years),
        sold_as.payment.replace("_", " "),
        f"{price.usd_per_hour:.5g}",
        saves,
        origin.as_of,
        f"{origin.source} ({origin.quality})",
    )


def _reservations(catalog: Catalog, offers: Sequence[Offer]) -> list[Reservation]:
    """Reservations of any of the offers, each once."""
    return list(dict.fromkeys(reservation for offer in offers for reservation in catalog.reservations(offer)))


def _reservation_entry(reservation: Reservation) -> dict[str, Any]:
    sold_for = ("least_days", "most_days", "days_ahead", "payment", "usd_per_hour", "terms")
    origin = picked(reservation.provenance, "source", "as_of", "quality")
    return picked(reservation, "instrument", "region", *sold_for) | origin


def _reservation_words(reservation: Reservation) -> str:
    days = (
        f"{reservation.least_days} days or more"
        if reservation.most_days is None
        else f"{reservation.least_days} to {reservation.most_days} days"
    )
    ahead = f", bought up to {reservation.days_ahead} days ahead" if reservation.days_ahead else ""
    where = f" in {reservation.region}" if reservation.region else ""
    price = "" if reservation.usd_per_hour is None else f", {price_usd(reservation.usd_per_hour)} an hour{where}"
    origin = f"{reservation.provenance.quality}, {reservation.provenance.as_of}"
    return f"{reservation.instrument}: {days}{ahead}, paid {reservation.payment}{price}; {reservation.terms} ({origin})"


_LAYERS = ("shipped", "published", "refreshed", "imported", "negotiated")
Machine = InstanceType | CpuInstance


@click.command("show")
@click.argument("instance_type", metavar="TYPE")
@click.option("--provider", help="Where several providers call a type so.")
@click.option("--region", "regions", multiple=True, help="Only this region. (repeatable)")
@wide_option
@table_or_json_option
@output_option
def show_command(
    instance_type: str,
    provider: str | None,
    regions: tuple[str, ...],
    wide: bool,
    output_format: str,
    output: Path | None,
) -> None:
    """Show what each layer of the catalog says of TYPE and which one counts, its zones, commitments and reservations.

    The layers are what came with the program, what `advisor catalog update` took of what others published, what
    `advisor catalog refresh` read on this machine, what an import added, and what the overlay file
    ($XDG_CONFIG_HOME/advisor/catalog.yaml) says was negotiated.
    """
    catalog = user_catalog()
    warn_of_layers()
    machine = _machine(catalog, instance_type, provider)
    every = list(_rows(catalog, machine))
    if not every:
        raise InputError(f"{instance_type} is sold nowhere", hint="the catalog has its hardware facts only")
    sold_in = sorted({row["region"] for row in every})
    for region in regions:
        if region not in sold_in:
            raise InputError(
                f"{instance_type} is not sold in {region}", where="--region", hint=suggestion(region, sold_in)
            )
    rows = [row for row in every if not regions or row["region"] in regions]
    offers = [offer for offer in _current(catalog, machine) if not regions or offer.region in regions]
    sold = {offer.region for offer in offers if not offer.withdrawn}
    zones = [
        {"region": region} | asdict(catalog.zones(machine.provider, region, machine.name))
        for region in sold_in
        if region in sold
    ]
    extra = _of_the_account(catalog, machine, regions)
    if output_format == "json":
        names = {"provider": machine.provider, "instance_type": machine.name} | _processor_entry(machine)
        document = names | {"prices": rows, "zones": zones} | term_entries(catalog, offers) | extra
        deliver(json.dumps(document, indent=2, ensure_ascii=False) + "\n", output)
    else:
        width = report_width(output, wide=wide)
        more = [*term_lines(catalog, offers, width), *_account_lines(extra, width)]
        deliver(_table(machine, rows, zones, more, width), output)


def _machine(catalog: LayeredCatalog, name: str, provider: str | None) -> Machine:
    if provider is not None and provider not in catalog.providers:
        raise InputError(
            f"unknown provider: '{provider}'", where="--provider", hint=suggestion(provider, catalog.providers)
        )
    machines = _called(catalog.instance_types, name, provider) or _called(catalog.cpu_instances, name, provider)
    if not machines:
        every = [*catalog.instance_types, *catalog.cpu_instances]
        names = sorted({names for owner, names in every if provider in (None, owner)})
        whose = f" of {provider}" if provider else ""
        hint = suggestion(name, names) or "`advisor catalog list` and `advisor catalog list --cpu` name all"
        raise InputError(f"unknown instance type{whose}: '{name}'", hint=hint)
    if len(machines) > 1:
        raise InputError(
            f"{name} is sold by {', '.join(machine.provider for machine in machines)}", hint="choose with --provider"
        )
    return machines[0]


def _called(machines: Mapping[tuple[str, str], Machine], name: str, provider: str | None) -> list[Machine]:
    return [machine for (owner, called), machine in machines.items() if called == name and provider in (None, owner)]


def _rows(catalog: LayeredCatalog, machine: Machine) -> Iterator[dict[str, Any]]:
    """One row for each region, way of paying and layer."""
    if isinstance(machine, CpuInstance):
        shipped = listed = own = catalog.as_listed().cpu_offers(machine.provider)
        newer: dict[str, list[Offer]] = {"published": [], "refreshed": [], "imported": []}
    else:
        shipped, listed, own = catalog.shipped_offers, catalog.listed_offers, catalog.as_listed().offers
        snapshots = {"published": catalog.published, "refreshed": catalog.snapshots, "imported": catalog.imported}
        newer = {name: _offers(some, machine) for name, some in snapshots.items()}
    every = {"shipped": shipped, **newer, "negotiated": _current(catalog, machine)}
    layers = {name: _by_region(offers, machine) for name, offers in every.items()}
    listed_by_region, own_by_region = _by_region(listed, machine), _by_region(own, machine)
    for region in sorted({region for offers in layers.values() for region in offers}):
        for purchase in (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.MANAGED):
            counts = _price(layers["negotiated"].get(region), purchase)
            is_listed = counts == _price(listed_by_region.get(region), purchase)
            is_own = counts == _price(own_by_region.get(region), purchase)
            winner = next(name for name in ("refreshed", "published", "shipped") if layers[name] or name == "shipped")
            winner = "negotiated" if not is_listed else winner if is_own and region in own_by_region else "imported"
            for layer in _LAYERS:
                offer = layers[layer].get(region)
                if offer is None or (layer == "negotiated" and winner != layer):
                    continue
                price = _price(offer, purchase)
                zones = None if price is None else price.zones_usd_per_hour
                if price is None and (
                    purchase is Purchase.SPOT or (purchase is Purchase.MANAGED and not offer.managed)
                ):
                    continue
                yield {
                    "region": region,
                    "purchase": purchase.value,
                    "layer": layer,
                    "counts": layer == winner,
                    "usd_per_hour": None if price is None else price.usd_per_hour,
                    "source": None if price is None else price.provenance.source,
                    "as_of": None if price is None else price.provenance.as_of,
                    "quality": _shown_quality(offer, price),
                    "zone_low_usd_per_hour": None if zones is None else zones[0],
                    "zone_high_usd_per_hour": None if zones is None else zones[1],
                }


def _current(catalog: LayeredCatalog, machine: Machine) -> list[Offer]:
    """The machine in each region that sells it, at the prices that count."""
    is_cpu = isinstance(machine, CpuInstance)
    offers = catalog.cpu_offers(machine.provider) if is_cpu else catalog.offers
    return list(_by_region(offers, machine).values())


def _zones_table(zones: Sequence[Mapping[str, Any]], width: int | None) -> str:
    cells = [
        (
            row["region"],
            str(row["count"]),
            ", ".join(row["names"]) or "-",
            "yes" if row["verified"] else "no",
            row["as_of"] or "-",
            row["source"],
        )
        for row in zones
    ]
    unverified = any(not row["verified"] for row in zones)
    note = "\nnot verified: the region's zones; the type may be sold in fewer of them" if unverified else ""
    return _fitted(_ZONE_COLUMNS, cells, width) + note


def _offers(snapshots: Sequence[Snapshot], machine: Machine) -> list[Offer]:
    return [
        offer
        for snapshot in snapshots
        if snapshot.provider == machine.provider
        for offer in offers_of_snapshot(snapshot)
    ]


def _shown_quality(offer: Offer, price: Price | None) -> str:
    if price is not None:
        return price.provenance.quality.value
    return (Quality.WITHDRAWN if offer.withdrawn else Quality.UNPRICED).value


def _price(offer: Offer | None, purchase: Purchase) -> Price | None:
    return None if offer is None else offer.price(purchase)


def _by_region(offers: Sequence[Offer], machine: Machine) -> Mapping[str, Offer]:
    return {
        offer.region: offer
        for offer in offers
        if (offer.provider, offer.instance_type) == (machine.provider, machine.name)
    }


def _of_the_account(
    catalog: LayeredCatalog, machine: Machine, regions: Sequence[str]
) -> dict[str, list[Mapping[str, str]]]:
    """Capacity blocks, and the limits that the account has for the type."""
    blocks: list[Mapping[str, str]] = []
    limits: list[Mapping[str, str]] = []
    if isinstance(machine, CpuInstance):
        return {}
    codes = {quota.code for purchase in Purchase if (quota := catalog.quota(machine, purchase)) is not None}
    for snapshot in catalog.snapshots:
        if snapshot.provider == machine.provider:
            blocks += capacity_blocks(snapshot, machine.name)
            limits += [row for row in account_limits(snapshot) if row["code"] in codes]
    return {
        "capacity_blocks": [row for row in blocks if not regions or row["region"] in regions],
        "account_limits": [row for row in limits if not regions or row["region"] in regions],
    }


def _table(
    machine: Machine,
    rows: Sequence[Mapping[str, Any]],
    zones: Sequence[Mapping[str, Any]],
    more: Sequence[str],
    width: int | None,
) -> str:
    cells = [
        (
            row["region"],
            row["purchase"].replace("_", " "),
            row["layer"],
            "←" if row["counts"] else "",
            "unknown" if row["usd_per_hour"] is None else f"{row['usd_per_hour']:.5g}",
            _by_zone(row),
            row["quality"],
            row["as_of"] or "-",
            row["source"] or ("-" if row["quality"] == Quality.WITHDRAWN else SOLD_UNPRICED),
        )
        for row in rows
    ]
    head = (part for line in _head(machine) for part in wrap(line, width, rest="  "))
    lines = [*head, _fitted(_PRICE_COLUMNS, cells, width)]
    if any(row["quality"] == Quality.WITHDRAWN for row in rows):
        lines.append("withdrawn: not sold there any more; its last price is for what runs there still")
    lines += ["", _zones_table(zones, width)] if zones else []
    return "\n".join([*lines, *more]) + "\n"


def _account_lines(extra: Mapping[str, list[Mapping[str, str]]], width: int | None) -> Iterator[str]:
    for block in extra.get("capacity_blocks", ()):
        price = f"{price_usd(float(block['usd_per_hour']))} an hour"
        line = f"capacity block in {block['zone']} from {block['starts']}: {block['duration_hours']} h at {price}"
        yield from wrap(line, width, rest="  ")
    for row in extra.get("account_limits", ()):
        line = f"limit of the account in {row['region']}: {float(row['limit']):g} ({row['code']}, {row['as_of']})"
        yield from wrap(line, width, rest="  ")


def _head(machine: Machine) -> Iterator[str]:
    name = f"{machine.provider} {machine.name}"
    if isinstance(machine, CpuInstance):
        processor = machine.processor
        cores = "" if machine.cores is None else f" ({machine.cores} cores)"
        yield f"{name}: {machine.vcpus} vCPUs{cores}, {machine.memory_gib:g} GiB, {processor.name}"
        yield f"flags: {', '.join(processor.flags)} ({processor.provenance.quality}, {processor.provenance.as_of})"
    else:
        count = "?" if machine.accelerator_count is None else f"{machine.accelerator_count:g}"
        yield f"{name}: {count} × {machine.accelerator}"


def _processor_entry(machine: Machine) -> dict[str, Any]:
    """Facts of a machine without an accelerator."""
    if not isinstance(machine, CpuInstance):
        return {}
    return {
        **picked(machine, "vcpus", "cores", "sockets", "memory_gib"),
        "processor": machine.processor.name,
        "cpu_flags": ";".join(machine.processor.flags),
    }


def _by_zone(row: Mapping[str, Any]) -> str:
    low, high = row["zone_low_usd_per_hour"], row["zone_high_usd_per_hour"]
    if low is None or low == high:
        return "-" if low is None else "one price"
    return f"{low:.5g} to {high:.5g}"
