"""Another program's list as a layer: what is taken of it, how it is kept, and which of two prices counts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.catalog.catalog import Catalog
from advisor.catalog.imports.rows import LeftOut, Mapped, Reason
from advisor.catalog.layers import merging
from advisor.catalog.layers.snapshot import sole_writer, stage, table_text, take
from advisor.catalog.price_trust import MOST_SPOT_DAYS, first_day
from advisor.catalog.refresh.values import Found, Guard, MachineRow, PriceRow, Sold, Violation, violations
from advisor.catalog.values import Offer, Price, Provenance, Purchase, Quality
from advisor.records import dataclass, replace

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
