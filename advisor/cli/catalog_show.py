"""``advisor catalog show TYPE`` and ``audit``: every layer of a type's prices, which counts, what is lacking."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from advisor.catalog import Catalog, user_catalog
from advisor.catalog.catalog import CpuInstance
from advisor.catalog.layers.audit import audit
from advisor.catalog.layers.layered import LayeredCatalog, account_limits, capacity_blocks, offers_of_snapshot
from advisor.catalog.layers.snapshot import Snapshot
from advisor.catalog.planning import CommitmentPrice, Reservation
from advisor.catalog.values import InstanceType, Offer, Price, Purchase, Quality
from advisor.cli.options import wide_option
from advisor.cli.output import deliver, output_option, report_format_option, report_width, table_or_json_option
from advisor.cli.served import warn_of_layers
from advisor.errors import AdvisorError, InputError
from advisor.names import suggestion
from advisor.records import picked
from advisor.report.refresh_words import audit_json, audit_markdown, audit_words
from advisor.report.text_table import Column, fit_table, wrap
from advisor.report.words import SOLD_UNPRICED
from advisor.units import counted, price_usd

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
        "commitments": [_entry(offer, price) for offer in offers for price in catalog.current_commitments(offer)],
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


def _entry(offer: Offer, price: CommitmentPrice) -> dict[str, Any]:
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
def command(
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
                    "quality": _quality(offer, price),
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


def _quality(offer: Offer, price: Price | None) -> str:
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
