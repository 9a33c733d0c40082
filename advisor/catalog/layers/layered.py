"""The catalog as its user sees it: shipped, over it what others published, what was refreshed, what was negotiated.

Where those know no price, or none that is well founded, what was imported from another program's list counts: what is
taken of it, how it is kept, and which of two prices counts.
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from advisor.catalog import readers
from advisor.catalog.catalog import Catalog
from advisor.catalog.geography import Zones, read_zones
from advisor.catalog.imports import LeftOut, Mapped, Reason
from advisor.catalog.layers import merging
from advisor.catalog.layers.overlay import Overlay, read_overlay
from advisor.catalog.layers.snapshot import (
    RELEASES,
    Damaged,
    Snapshot,
    current,
    providers,
    releases_of,
    sole_writer,
    stage,
    table_text,
    take,
)
from advisor.catalog.one_pass_engines import Releases
from advisor.catalog.planning import AccountLimit, Commitment, CommitmentPrice, Serverless, ServicePrice
from advisor.catalog.planning_tables import CacheNode
from advisor.catalog.price_trust import MOST_SPOT_DAYS, first_day
from advisor.catalog.readers import Triple
from advisor.catalog.refresh.values import Found, Guard, MachineRow, PriceRow, Sold, Violation, violations
from advisor.catalog.values import InstanceType, Offer, Price, Provenance, Purchase, Quality
from advisor.records import dataclass, field, replace
from advisor.tables import read_rows

_SOURCE = "imported"
_IMPLAUSIBLE = (Guard.FAR_FROM_OTHERS, Guard.SPOT_TOO_LOW, Guard.SPOT_ABOVE_ON_DEMAND)
"""Guards that leave out a price, the one that is told where several do last."""
_DIFFERS_RATIO = 0.10


def better(ours: Price | None, theirs: Price | None, purchase: Purchase) -> Price | None:
    """The better founded price: ours where it is listed or derived, the newer one of two that volunteers gathered.

    A spot price that is older than another one by more days than it may decide for gives way whatever its quality.
    """
    if ours is None or theirs is None:
        return ours or theirs
    quality = ours.provenance.quality
    if quality in (Quality.LISTED, Quality.DERIVED):
        old, new = first_day(ours.provenance.as_of), first_day(theirs.provenance.as_of)
        is_outlived = old is not None and new is not None and (new - old).days > MOST_SPOT_DAYS
        return theirs if purchase is Purchase.SPOT and is_outlived else ours
    if quality is Quality.COMMUNITY and ours.provenance.as_of >= theirs.provenance.as_of:
        return ours
    return theirs


def with_imported(listed: Sequence[Offer], imported: Iterable[Offer]) -> Iterator[Offer]:
    """Offers with the better founded of both prices, and those only imported; withdrawn ones stay withdrawn."""
    theirs = {offer.place: offer for offer in imported}
    for offer in listed:
        other = theirs.pop(offer.place, None)
        if other is None or offer.withdrawn:
            yield offer
        else:
            yield replace(
                offer,
                on_demand=better(offer.on_demand, other.on_demand, Purchase.ON_DEMAND),
                spot=better(offer.spot, other.spot, Purchase.SPOT),
            )
    yield from theirs.values()


@dataclass(frozen=True, slots=True)
class Beside:
    """A price of the list beside ours."""

    region: str
    instance_type: str
    purchase: Purchase
    ours: Price | None
    theirs: Price

    @property
    def counts(self) -> bool:
        """The price of the list is the one that counts."""
        return better(self.ours, self.theirs, self.purchase) is self.theirs

    @property
    def differs(self) -> bool:
        """Whether it is off our price by more than a tenth."""
        ours = self.ours
        return ours is not None and abs(self.theirs.usd_per_hour / ours.usd_per_hour - 1) > _DIFFERS_RATIO


@dataclass(frozen=True, slots=True)
class Imported:
    """Result of importing the list of one provider."""

    mapped: Mapped
    left_out: tuple[LeftOut, ...]
    beside: tuple[Beside, ...]
    """Every price that was taken over, with ours."""
    is_kept: bool
    """False: it was a dry run, or there was nothing to keep."""


def import_listing(mapped: Mapped, catalog: Catalog, root: Path, *, dry_run: bool) -> Imported:
    """Keep a listing as its provider's imported layer. Raises InputError, with the import before it still in force."""
    before = merging.offers_of(catalog, mapped.provider)
    answer = Found(mapped.provider, mapped.rows, frozenset(), (), tells_absence=False)
    held = violations(answer, before, usual_usd_per_hour=merging.usual_usd_per_hour(catalog, answer))
    wrong = {_row_of(violation): violation for guard in _IMPLAUSIBLE for violation in held if violation.guard is guard}
    rows = tuple(
        row
        for row in mapped.rows
        if not (isinstance(row, PriceRow) and (row.region, row.instance_type, row.purchase) in wrong)
    )
    sound = replace(answer, rows=rows)
    left_out = (
        *mapped.left_out,
        *(LeftOut(Reason.IMPLAUSIBLE, str(violation)) for violation in wrong.values()),
    )
    beside = tuple(_beside(sound, before, mapped))
    is_kept = bool(rows) and not dry_run
    if is_kept:
        with sole_writer(root):
            take(root, stage(root, mapped.provider, _tables(sound, mapped), mapped.as_of, ()))
    return Imported(mapped, left_out, beside, is_kept)


def _row_of(violation: Violation) -> tuple[str, str, str]:
    """Region, instance type and purchase of the price that is held back; what names no purchase is spot."""
    name, _, purchase = violation.what.rpartition(" ")
    if purchase in (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.MANAGED):
        return violation.region, name, purchase
    return violation.region, violation.what, Purchase.SPOT.value


def _beside(answer: Found, before: Mapping[tuple[str, str], Offer], mapped: Mapped) -> Iterator[Beside]:
    origin = Provenance(mapped.source, mapped.as_of, Quality.COMMUNITY)
    for purchase in (Purchase.ON_DEMAND, Purchase.SPOT):
        for place, row in sorted(answer.prices(purchase).items()):
            offer = before.get(place)
            ours = None if offer is None else offer.price(purchase)
            yield Beside(*place, purchase, ours, Price(row.usd_per_hour, origin))


def _tables(answer: Found, mapped: Mapped) -> Mapping[str, str]:
    machines = {row.instance_type: row for row in answer.rows if isinstance(row, MachineRow)}
    origin = {"source": _SOURCE, "as_of": mapped.as_of, "quality": Quality.COMMUNITY.value}
    instances = [
        merging.instance_cells(row) | {"provider": mapped.provider, "name": name} | origin
        for name, row in sorted(machines.items())
    ]
    return {
        "prices.csv": table_text(merging.PRICE_COLUMNS, _price_rows(answer, mapped)),
        "instances.csv": table_text(merging.INSTANCE_COLUMNS, instances),
        "sources.csv": table_text(merging.SOURCE_COLUMNS, [{"source_id": _SOURCE, "title": mapped.source}]),
    }


def _price_rows(answer: Found, mapped: Mapped) -> Iterator[Mapping[str, Any]]:
    listed, spot = answer.prices(Purchase.ON_DEMAND), answer.prices(Purchase.SPOT)
    places = {(row.region, row.instance_type) for row in answer.rows if isinstance(row, Sold | PriceRow)}
    # Sold, price unknown: the row says who says that it is sold.
    unpriced = merging.price_cells("on_demand", None, _SOURCE, mapped.as_of, Quality.UNPRICED)
    for region, name in sorted(places, key=lambda place: (place[1], place[0])):
        cells = {"instance_type": name, "region": region} | unpriced
        for prefix, prices in (("on_demand", listed), ("spot", spot)):
            if (region, name) in prices:
                row = prices[region, name]
                cells |= merging.price_cells(prefix, row.usd_per_hour, _SOURCE, row.as_of, Quality.COMMUNITY)
        yield cells | merging.zone_cells(mapped.spot_zones.get((region, name)) if (region, name) in spot else None)


@dataclass(frozen=True, eq=False)
class LayeredCatalog(Catalog):
    """Facts of one directory of tables, with newer ones in their place."""

    snapshots: tuple[Snapshot, ...] = ()
    """What was refreshed on this machine."""
    published: tuple[Snapshot, ...] = ()
    """What others refreshed and published."""
    imported: tuple[Snapshot, ...] = ()
    """What another program lists of a provider."""
    overlay_file: Path | None = None
    today: dt.date = field(default_factory=lambda: dt.datetime.now(dt.UTC).date())
    problems: tuple[str, ...] = ()
    """Layers that cannot be used, in words."""
    engines_root: Path | None = None
    """Where refreshed releases of engines lie; None: those that came with the program."""

    @cached_property
    def instance_types(self) -> Mapping[tuple[str, str], InstanceType]:
        """Machines by (provider, name): refreshes add those that are new, and so do imports."""
        machines = dict(readers.read_instance_types(self.sources))
        for snapshot in (*self.snapshots, *self.published, *self.imported):
            added = readers.read_instance_types(readers.Sources(snapshot.directory))
            machines = {**added, **machines}
        return machines

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """Every machine in every region that sells it, at what this customer pays."""
        overlay = self.overlay
        if not overlay.has_prices:
            return self.listed_offers
        return tuple(overlay.priced(offer, self.today) for offer in self.listed_offers)

    @cached_property
    def cache_nodes(self) -> tuple[CacheNode, ...]:
        """Nodes of in-memory stores; those of the overlay take the place of shipped ones of their name."""
        shipped = self._shipped.cache_nodes
        like = {node.provider: node for node in shipped}
        stated = {
            (own.provider, own.node): replace(
                like[own.provider], node=own.node, memory_gib=own.memory_gib, provenance=own.provenance(self.today)
            )
            for own in self.overlay.cache_nodes
            if own.provider in like
        }
        nodes = {(node.provider, node.node): node for node in shipped} | stated
        return tuple(sorted(nodes.values(), key=lambda node: (node.memory_gib, node.node)))

    @cached_property
    def service_prices(self) -> dict[Triple, ServicePrice]:
        """Prices of what is sold beside machines; those of the overlay's nodes first."""
        items = {(node.provider, node.node): node.item for node in self.cache_nodes}
        return self._shipped.service_prices | {
            (own.provider, items[own.provider, own.node], own.region): ServicePrice(
                own.usd_per_hour, "hour", own.provenance(self.today)
            )
            for own in self.overlay.cache_nodes
            if (own.provider, own.node) in items
        }

    def cpu_offers(self, provider: str, instance_type: str = "") -> tuple[Offer, ...]:
        """Machines without an accelerator at what this customer pays; no refresh reads them."""
        return tuple(self.overlay.priced(offer, self.today) for offer in super().cpu_offers(provider, instance_type))

    @cached_property
    def _shipped(self) -> Catalog:
        """The lowest layer alone."""
        return Catalog(self.directory)

    @cached_property
    def shipped_offers(self) -> tuple[Offer, ...]:
        """The lowest layer."""
        return readers.read_offers(self.sources)

    @cached_property
    def layers(self) -> Mapping[str, tuple[Offer, ...]]:
        """Offers of each layer, the lowest first; imports stand under the name of their program."""
        layers: dict[str, list[Offer]] = {"shipped": list(self.shipped_offers)}
        for name, snapshots in (("published", self.published), ("refreshed", self.snapshots)):
            layers[name] = [offer for snapshot in snapshots for offer in offers_of_snapshot(snapshot)]
        for snapshot in self.imported:
            layers.setdefault(program_of(snapshot), []).extend(offers_of_snapshot(snapshot))
        return {name: tuple(offers) for name, offers in layers.items() if offers}

    @property
    def _newer(self) -> tuple[Snapshot, ...]:
        """Layers over the shipped one, lowest first."""
        return (*self.published, *self.snapshots)

    @cached_property
    def listed_offers(self) -> tuple[Offer, ...]:
        """List prices: refreshed ones where there are any, and imported ones where they are as well founded."""
        replaced = {snapshot.provider: snapshot for snapshot in self._newer}
        shipped = readers.read_offers(self.sources, replaced) if replaced else self.shipped_offers
        newer = [offer for snapshot in replaced.values() for offer in offers_of_snapshot(snapshot)]
        offers: Sequence[Offer] = (*shipped, *newer)
        for snapshot in self.imported:
            offers = tuple(with_imported(offers, offers_of_snapshot(snapshot)))
        return tuple(sorted(offers, key=lambda offer: offer.provider) if newer or self.imported else offers)

    @cached_property
    def _engines(self) -> Snapshot | Damaged | None:
        """The releases of the last refresh."""
        return None if self.engines_root is None else current(self.engines_root, RELEASES)

    @cached_property
    def releases(self) -> Releases:
        """Releases of each engine as the index was read last: by a refresh, or for what came with the program."""
        shipped = self._shipped.releases
        if not isinstance(self._engines, Snapshot):
            return shipped
        refreshed = releases_of(self._engines)
        newer = {
            engine: rows
            for engine, rows in refreshed.by_engine.items()
            if refreshed.read_on(engine) >= shipped.read_on(engine)
        }
        return Releases({**shipped.by_engine, **newer}, (*shipped.unreadable, *refreshed.unreadable))

    @cached_property
    def overlay(self) -> Overlay:
        """Negotiated prices; empty where there is no file. Raises InputError with where it is wrong, and the fix."""
        if self.overlay_path is None or not self.overlay_path.is_file():
            return Overlay()
        machines = [*self.instance_types, *self.cpu_instances]
        return read_overlay(self.overlay_path, machines, self.regions.keys())

    def as_listed(self) -> "LayeredCatalog":
        """The same catalog at list prices: nothing that was negotiated or imported may enter a refresh."""
        return replace(self, imported=(), overlay_file=None)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over all layers; that of the shipped tables where there is no other layer."""
        base = self._shipped.content_hash
        marks = [f"published:{snapshot.provider}:{snapshot.content_hash}" for snapshot in self.published]
        marks += [f"{snapshot.provider}:{snapshot.content_hash}" for snapshot in self.snapshots]
        marks += [f"{program_of(snapshot)}:{snapshot.provider}:{snapshot.content_hash}" for snapshot in self.imported]
        if isinstance(self._engines, Snapshot):
            marks.append(f"engines:{self._engines.content_hash}")
        if self.overlay.content_hash:
            marks.append(f"overlay:{self.overlay.content_hash}")
        return hashlib.sha256("\n".join([base, *marks]).encode()).hexdigest() if marks else base

    @property
    def overlay_path(self) -> Path | None:
        """The overlay file, which need not exist."""
        return self.overlay_file

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the layers that the user has to know of."""
        return (*self.problems, *self.overlay.expired(self.today), *self._release_warnings())

    def _release_warnings(self) -> Iterator[str]:
        """One line where releases are older than engines take to bring out a new one, and one for unreadable ones."""
        if isinstance(self._engines, Damaged):
            yield f"the refreshed releases are not used: {self._engines.reason}; run `advisor catalog refresh engines`"
        old = self.releases.old(self.releases.by_engine, self.today)
        if old:
            names = " and ".join(f"{engine} ({day}, {(self.today - day).days} days old)" for engine, day in old)
            yield f"newer releases may exist than the newest known of {names}: run `advisor catalog refresh engines`"
        if self.releases.unreadable:
            yield f"releases left out: {'; '.join(self.releases.unreadable)}"

    @cached_property
    def account_limits(self) -> Mapping[readers.Triple, AccountLimit]:
        """Limits of the account, as the last refresh read them."""
        return {
            (snapshot.provider, row["region"], row["code"]): AccountLimit(float(row["limit"]), row["as_of"])
            for snapshot in self.snapshots
            for row in account_limits(snapshot)
        }

    @cached_property
    def serverless(self) -> tuple[Serverless, ...]:
        """A refreshed price takes the place of the shipped one for the same region."""
        services = self._shipped.serverless
        for layer in (self.published, self.snapshots):
            newer = [serverless for snapshot in layer for serverless in _serverless_of(snapshot)]
            read = {
                (serverless.provider, serverless.service, serverless.accelerator, region)
                for serverless in newer
                for region in _regions_of(serverless)
            }
            kept = (_without(service, read) for service in services)
            services = (*(serverless for serverless in kept if serverless is not None), *newer)
        return services

    @cached_property
    def _zone_table(self) -> Zones:
        """A type has the zones that the overlay states, else those that a refresh listed, else those of the table."""
        zones = {place: dict(supplies) for place, supplies in self._shipped._zone_table.items()}  # noqa: SLF001 - as below
        for snapshot in self._newer:
            path = snapshot.directory / "zones.csv"
            newer = read_zones(path, readers.Sources(snapshot.directory)) if path.is_file() else {}  # imports have none
            for place, supplies in newer.items():
                zones.setdefault(place, {}).update(supplies)
        for (provider, region, instance_type), supply in self.overlay.zones.items():
            zones.setdefault((provider, region), {})[instance_type] = supply
        return zones

    @cached_property
    def _commitments(self) -> dict[tuple[str, str], list[Commitment]]:
        """Discounts: those of a publication come after shipped ones of the same family, and count before them."""
        newer: dict[tuple[str, str], list[Commitment]] = {}
        for snapshot in self._newer:
            if not (snapshot.directory / "commitments.csv").is_file():
                continue
            sources = readers.Sources(snapshot.directory)
            for commitment in readers.read_commitments(sources):
                for family in commitment.families:
                    newer.setdefault((commitment.provider, family), []).append(commitment)
        shipped = dict(self._shipped._commitments)  # noqa: SLF001 - the layer below of the same class
        return shipped | {key: [*shipped.get(key, ()), *rows] for key, rows in newer.items()}

    def _listed_commitments(self, offer: Offer) -> Sequence[CommitmentPrice]:
        """Listed prices less what was negotiated for the family: a discount holds under a commitment too."""
        return [
            replace(listed_commitment, usd_per_hour=price.usd_per_hour, provenance=price.provenance)
            for listed_commitment in super()._listed_commitments(offer)
            for price in (
                self.overlay.discounted(
                    offer, Price(listed_commitment.usd_per_hour, listed_commitment.provenance), self.today
                ),
            )
        ]

    def _read_committed_prices(self, provider: str) -> Mapping[readers.Pair, Sequence[CommitmentPrice]]:
        """Prices of commitments; a refreshed one counts before a shipped one of the same kind."""
        prices = dict(super()._read_committed_prices(provider))
        for snapshot in self._newer:
            path = snapshot.directory / "committed_prices.csv"
            if snapshot.provider == provider and path.is_file():
                sources = readers.Sources(snapshot.directory)
                newer = readers.read_committed_prices(path, provider, sources)
                prices |= {place: [*prices.get(place, ()), *rows] for place, rows in newer.items()}
        return prices


def _serverless_of(snapshot: Snapshot) -> tuple[Serverless, ...]:
    if not (snapshot.directory / "serverless.csv").is_file():  # imports have none
        return ()
    return readers.read_serverless(readers.Sources(snapshot.directory))


def _regions_of(service: Serverless) -> tuple[str, ...]:
    """Regions of a row; "" alone where it has one price for all."""
    return service.regions or ("",)


def _without(service: Serverless, read: Collection[tuple[str, str, str, str]]) -> Serverless | None:
    """Rest of a row where some of its regions have a newer one; None where all have."""
    key = (service.provider, service.service, service.accelerator)
    left = tuple(region for region in _regions_of(service) if (*key, region) not in read)
    if left == _regions_of(service):
        return service
    return replace(service, regions=left) if left else None


def offers_of_snapshot(snapshot: Snapshot) -> tuple[Offer, ...]:
    """Offers of a snapshot, in the order of its table."""
    sources = readers.Sources(snapshot.directory)
    path = snapshot.directory / "managed.csv"
    managed = readers.read_managed(path, sources) if path.is_file() else {}  # imports have none
    return readers.read_price_table(snapshot.directory / "prices.csv", snapshot.provider, sources, managed)


def program_of(imported: Snapshot) -> str:
    """The program that a snapshot was imported from."""
    return imported.directory.parent.parent.name


def capacity_blocks(snapshot: Snapshot, instance_type: str) -> tuple[Mapping[str, str], ...]:
    """Capacity blocks of a type that could be bought on the day of the refresh."""
    rows = read_rows(snapshot.directory / "capacity_blocks.csv")
    return tuple(row for row in rows if row["instance_type"] == instance_type)


def account_limits(snapshot: Snapshot) -> tuple[Mapping[str, str], ...]:
    """Limits of the account that asked, by region and code."""
    return tuple(read_rows(snapshot.directory / "quotas.csv"))


_REMEDIES = {
    "refreshed": "run `advisor catalog refresh {}`",
    "published": "run `advisor catalog update` again",
    "imported": "run `advisor catalog import-gpuhunt` or `import-skypilot` again",
}
"""How to make a damaged layer anew; ``{}`` is the provider."""


def layered(
    shipped: Path,
    refreshed: Path,
    overlay: Path | None,
    today: dt.date | None = None,
    imported: Sequence[Path] = (),
    published: Path | None = None,
) -> LayeredCatalog:
    """The catalog of all layers; damaged and outdated snapshots are left out and named in its warnings."""
    problems: list[str] = []
    snapshots = _snapshots(refreshed, "refreshed", problems)
    others = tuple(snapshot for root in imported for snapshot in _snapshots(root, "imported", problems))
    taken = _snapshots(published, "published", problems)
    new_enough = tuple(snapshot for snapshot in taken if snapshot.read_on >= newest_shipped(shipped, snapshot.provider))
    problems += [
        f"the published prices of {snapshot.provider} ({snapshot.read_on}) are not used: those that came with the "
        "program are newer; run `advisor catalog update`"
        for snapshot in taken
        if snapshot not in new_enough
    ]
    day = today or dt.datetime.now(dt.UTC).date()
    return LayeredCatalog(shipped, snapshots, new_enough, others, overlay, day, tuple(problems))


def newest_shipped(shipped: Path, provider: str) -> str:
    """Date of the newest price of a provider in the shipped tables; "" where they have none."""
    path = shipped / "prices" / f"{provider}.csv"
    rows = read_rows(path) if path.is_file() else ()
    dates = (row[column] for row in rows for column in ("on_demand_as_of", "spot_as_of"))
    return max(dates, default="")


def _snapshots(root: Path | None, layer: str, problems: list[str]) -> tuple[Snapshot, ...]:
    """Snapshots that hold; damaged ones are added to the problems."""
    snapshots = [] if root is None else [current(root, provider) for provider in providers(root)]
    problems += [
        f"the {layer} prices of {damaged.provider} are not used: {damaged.reason}; "
        f"{_REMEDIES[layer].format(damaged.provider)}"
        for damaged in snapshots
        if isinstance(damaged, Damaged)
    ]
    return tuple(snapshot for snapshot in snapshots if isinstance(snapshot, Snapshot))
