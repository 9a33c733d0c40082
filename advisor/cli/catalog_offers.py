"""``advisor catalog list``: instance types by region with their prices or zones, in each format that lists have."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from advisor.catalog import Catalog, load_catalog
from advisor.catalog.values import Offer, Price, Quality
from advisor.cli.output import deliver, list_format_option, output_option, report_width, tell
from advisor.cli.served import warn_of_layers
from advisor.errors import InputError
from advisor.names import suggestion
from advisor.records import dataclass
from advisor.report.text_table import Column, fit_table, render_markdown_table, render_table, wrap
from advisor.report.words import SOLD_UNPRICED
from advisor.tables import csv_text
from advisor.units import counted

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
