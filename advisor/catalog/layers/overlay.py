"""Prices of a customer other than the list: negotiated discounts and private offers, each until its day.

The same file holds what the account owns and may use (see :mod:`advisor.workload.holds`), so that one file says
everything that no price list knows.
"""

import datetime as dt
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from advisor.catalog.geography import ZoneSupply, listed_zones, zone_fault
from advisor.catalog.price_trust import LEAST_USD_PER_HOUR, MOST_USD_PER_HOUR
from advisor.catalog.values import Offer, Price, Provenance, Purchase, Quality, family_of
from advisor.names import suggestion
from advisor.records import dataclass, field, replace
from advisor.yaml_fields import Field, read_document

VERSION = "advisor.overlay/v1"
KEYS = ("version", "discounts", "private_offers", "regions", "commitments", "quotas", "zones", "cache_nodes")
_DISCOUNT_KEYS = ("provider", "families", "discount_ratio", "regions", "purchase", "until", "note")
_OFFER_KEYS = ("provider", "region", "instance_type", "purchase", "usd_per_hour", "until", "note")
_NODE_KEYS = ("provider", "region", "node", "memory_gib", "usd_per_hour", "note")
_ZONES_KEYS = ("provider", "region", "instance_type", "zones")
_PRICED = (Purchase.ON_DEMAND.value, Purchase.SPOT.value, Purchase.MANAGED.value)
_ANY = "*"
_EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class Discount:
    """A share off the list price of families."""

    provider: str
    families: tuple[str, ...]
    """``*`` is every family."""
    regions: tuple[str, ...]
    """Empty: every region."""
    purchases: tuple[Purchase, ...]
    discount_ratio: float
    until: dt.date | None
    note: str
    where: str
    """File and line."""

    def covers(self, offer: Offer, purchase: Purchase) -> bool:
        """Whether the discount applies to this price."""
        family = family_of(offer.provider, offer.instance_type)
        return (
            offer.provider == self.provider
            and purchase in self.purchases
            and (not self.regions or offer.region in self.regions)
            and (_ANY in self.families or family in self.families)
        )


@dataclass(frozen=True, slots=True)
class PrivateOffer:
    """A price of one's own for a type in a region."""

    provider: str
    region: str
    instance_type: str
    purchase: Purchase
    usd_per_hour: float
    until: dt.date | None
    note: str
    where: str


@dataclass(frozen=True, slots=True)
class StatedNode:
    """Node of an in-memory store in a region, at a price of one's own."""

    provider: str
    region: str
    node: str
    memory_gib: float
    usd_per_hour: float
    note: str

    def provenance(self, today: dt.date) -> Provenance:
        """Origin of size and price."""
        return _provenance("overlay file", self.note, today, Quality.LISTED)


@dataclass(frozen=True, slots=True)
class Overlay:
    """The prices of the file, and the zones that it states."""

    path: Path | None = None
    discounts: tuple[Discount, ...] = ()
    private_offers: tuple[PrivateOffer, ...] = ()
    zones: Mapping[tuple[str, str, str], ZoneSupply] = field(default_factory=dict)
    """By provider, region and instance type."""
    cache_nodes: tuple[StatedNode, ...] = ()
    content_hash: str = ""

    @property
    def has_prices(self) -> bool:
        """Whether it states a discount or a price of a private offer."""
        return bool(self.discounts or self.private_offers)

    def expired(self, today: dt.date) -> tuple[str, ...]:
        """Entries whose day is over, in words; they count no more."""
        entries: list[Discount | PrivateOffer] = [*self.discounts, *self.private_offers]
        return tuple(
            f"{entry.where}: expired on {entry.until}, so list prices count"
            for entry in entries
            if not _holds(entry.until, today)
        )

    def priced(self, offer: Offer, today: dt.date) -> Offer:
        """The offer at the prices that hold on a day; what is offered to this customer alone is not withdrawn."""
        own = (
            {_key(private_offer)[:3] for private_offer in self.private_offers if _holds(private_offer.until, today)}
            if offer.withdrawn
            else set()
        )
        managed_price = self._price(offer, Purchase.MANAGED, offer.managed_price, today)
        return replace(
            offer,
            withdrawn=offer.withdrawn and offer.place not in own,
            on_demand=self._price(offer, Purchase.ON_DEMAND, offer.on_demand, today),
            spot=self._price(offer, Purchase.SPOT, offer.spot, today),
            managed=replace(offer.managed, price=managed_price) if offer.managed and managed_price else offer.managed,
        )

    def _price(self, offer: Offer, purchase: Purchase, listed: Price | None, today: dt.date) -> Price | None:
        key = (*offer.place, purchase)
        for private in self.private_offers:
            if _holds(private.until, today) and key == _key(private):
                return Price(private.usd_per_hour, _provenance("private offer", private.note, today, Quality.LISTED))
        return None if listed is None else self.discounted(offer, listed, today, purchase)

    def discounted(self, offer: Offer, listed: Price, today: dt.date, purchase: Purchase = Purchase.ON_DEMAND) -> Price:
        """A list price of an offer less the largest discount that holds today on that way of paying.

        A commitment has the discounts of on demand, and on demand as its *purchase*.
        """
        discounts = [
            discount
            for discount in self.discounts
            if _holds(discount.until, today) and discount.covers(offer, purchase)
        ]
        if not discounts:
            return listed
        best = max(discounts, key=lambda discount: discount.discount_ratio)
        words = f"{100 * best.discount_ratio:g}% off {listed.provenance.source}"
        provenance = _provenance(words, best.note, listed.provenance.as_of, listed.provenance.quality)
        paid_ratio, zones = 1 - best.discount_ratio, listed.zones_usd_per_hour
        by_zone = None if zones is None else (zones[0] * paid_ratio, zones[1] * paid_ratio)
        return Price(listed.usd_per_hour * paid_ratio, provenance, by_zone)


def _key(private: PrivateOffer) -> tuple[str, str, str, Purchase]:
    return private.provider, private.region, private.instance_type, private.purchase


def _holds(until: dt.date | None, today: dt.date) -> bool:
    return until is None or until >= today


def _provenance(words: str, note: str, as_of: dt.date | str, quality: Quality) -> Provenance:
    return Provenance(f"{words} ({note})" if note else words, str(as_of), quality)


def read_overlay(path: Path, machines: Collection[tuple[str, str]], regions: Collection[tuple[str, str]]) -> Overlay:
    """The prices of an overlay file, which may name machines and regions of the catalog, both with their providers.

    Raises InputError with file, line and field; unknown names come with the nearest known ones.
    """
    root = read_document(path, "overlay", "docs/refresh.md shows one")
    fields = root.mapping(KEYS)
    if "version" not in fields:
        root.fail("the key 'version' is missing", f"add a line 'version: {VERSION}'")
    fields["version"].choice((VERSION,))
    names = Names(machines, regions)
    return Overlay(
        path=path,
        discounts=tuple(_discount(item, names) for item in _items(fields, "discounts")),
        private_offers=tuple(_private_offer(item, names) for item in _items(fields, "private_offers")),
        zones=dict(_zones(item, names) for item in _items(fields, "zones")),
        cache_nodes=tuple(_stated_node(item, names) for item in _items(fields, "cache_nodes")),
        content_hash=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


@dataclass(frozen=True, slots=True)
class Names:
    """Names of the catalog, to check names by."""

    machines: Collection[tuple[str, str]]
    regions: Collection[tuple[str, str]]

    def provider(self, field: Field) -> str:
        """A known provider."""
        return _known(field, sorted({provider for provider, _ in self.machines}), "provider")

    def region(self, provider: str, field: Field) -> str:
        """A known region of a provider."""
        return _known(field, sorted(name for owner, name in self.regions if owner == provider), f"region of {provider}")

    def instance_type(self, provider: str, field: Field) -> str:
        """A known type of a provider."""
        return _known(field, sorted(name for owner, name in self.machines if owner == provider), f"type of {provider}")

    def family(self, provider: str, field: Field) -> str:
        """A known family of a provider, or every one."""
        families = sorted({family_of(owner, name) for owner, name in self.machines if owner == provider})
        return _known(field, [*families, _ANY], f"family of {provider}")


def _items(fields: Mapping[str, Field], key: str) -> list[Field]:
    return list(fields[key].items()) if key in fields else []


def _discount(field: Field, names: Names) -> Discount:
    fields = field.all_of(_DISCOUNT_KEYS, optional=("regions", "purchase", "until", "note"))
    provider = names.provider(fields["provider"])
    purchases = fields["purchase"].choices(_PRICED) if "purchase" in fields else (Purchase.ON_DEMAND.value,)
    return Discount(
        provider=provider,
        families=tuple(names.family(provider, item) for item in fields["families"].items()),
        regions=tuple(names.region(provider, item) for item in _items(fields, "regions")),
        purchases=tuple(map(Purchase, purchases)),
        discount_ratio=fields["discount_ratio"].number(0, exclusive=True, maximum=0.99),
        until=_until(fields),
        note=_note(fields),
        where=f"{field.path}:{field.line}",
    )


def _private_offer(field: Field, names: Names) -> PrivateOffer:
    fields = field.all_of(_OFFER_KEYS, optional=("purchase", "until", "note"))
    provider = names.provider(fields["provider"])
    purchase = fields["purchase"].choice(_PRICED) if "purchase" in fields else Purchase.ON_DEMAND.value
    return PrivateOffer(
        provider=provider,
        region=names.region(provider, fields["region"]),
        instance_type=names.instance_type(provider, fields["instance_type"]),
        purchase=Purchase(purchase),
        usd_per_hour=_usd_per_hour(fields),
        until=_until(fields),
        note=_note(fields),
        where=f"{field.path}:{field.line}",
    )


def _stated_node(field: Field, names: Names) -> StatedNode:
    fields = field.all_of(_NODE_KEYS, optional=("note",))
    provider = names.provider(fields["provider"])
    return StatedNode(
        provider=provider,
        region=names.region(provider, fields["region"]),
        node=fields["node"].text(),
        memory_gib=fields["memory_gib"].number(0, exclusive=True),
        usd_per_hour=_usd_per_hour(fields),
        note=_note(fields),
    )


def _zones(item: Field, catalog_names: Names) -> tuple[tuple[str, str, str], ZoneSupply]:
    fields = item.all_of(_ZONES_KEYS)
    provider = catalog_names.provider(fields["provider"])
    place = (
        provider,
        catalog_names.region(provider, fields["region"]),
        catalog_names.instance_type(provider, fields["instance_type"]),
    )
    names = fields["zones"].texts()
    fault = next(filter(None, (zone_fault(*place[:2], name) for name in names)), "")
    if fault:
        fields["zones"].fail(fault)
    return place, listed_zones(names, "overlay file", "")


def _usd_per_hour(fields: Mapping[str, Field]) -> float:
    return fields["usd_per_hour"].number(LEAST_USD_PER_HOUR, maximum=MOST_USD_PER_HOUR)


def _until(fields: Mapping[str, Field]) -> dt.date | None:
    return fields["until"].date() if "until" in fields else None


def _note(fields: Mapping[str, Field]) -> str:
    return fields["note"].text() if "note" in fields else ""


def _known(field: Field, names: list[str], what: str) -> str:
    name = field.text()
    if name not in names:
        field.fail(f"unknown {what}: '{name}'", suggestion(name, names) or f"such as {', '.join(names[:_EXAMPLES])}")
    return name
