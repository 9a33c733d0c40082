"""Differences between two states of the catalog."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from advisor.catalog.values import Offer, Price, Purchase
from advisor.records import dataclass

_SAME_RATIO = 1e-9


class Kind(StrEnum):
    """Kind of change of an offer."""

    NEW_TYPE = "new_type"
    """No region sold the type before."""
    NEW_OFFER = "new_offer"
    GONE = "gone"
    PRICED = "priced"
    """Its price is known now."""
    UNPRICED = "unpriced"
    """Its price is not known any more; it is still sold."""
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference."""

    kind: Kind
    provider: str
    region: str
    instance_type: str
    purchase: Purchase | None
    """None: the offer as a whole."""
    before_usd_per_hour: float | None
    now_usd_per_hour: float | None

    @property
    def moved_ratio(self) -> float | None:
        """Now over before, less one."""
        if self.before_usd_per_hour is None or self.now_usd_per_hour is None:
            return None
        return self.now_usd_per_hour / self.before_usd_per_hour - 1


def changes(before: Iterable[Offer], after: Iterable[Offer]) -> tuple[Change, ...]:
    """Differences by kind, provider, type and region."""
    old, new = _by_place(before), _by_place(after)
    known_types = {(provider, name) for provider, _, name in old}
    every = [change for place in {*old, *new} for change in _of(old.get(place), new.get(place), known_types)]
    order = list(Kind)
    return tuple(
        sorted(
            every,
            key=lambda change: (
                order.index(change.kind),
                change.provider,
                change.instance_type,
                change.region,
                change.purchase or "",
            ),
        )
    )


def _by_place(offers: Iterable[Offer]) -> Mapping[tuple[str, str, str], Offer]:
    """Offers by place: one that was withdrawn is gone."""
    return {(offer.provider, offer.region, offer.instance_type): offer for offer in offers if not offer.withdrawn}


def _of(old: Offer | None, new: Offer | None, known_types: set[tuple[str, str]]) -> Iterator[Change]:
    offer = new or old
    if offer is None:
        return
    place = (offer.provider, offer.region, offer.instance_type)
    if old is None or new is None:
        listed = offer.on_demand.usd_per_hour if offer.on_demand else None
        is_known = (offer.provider, offer.instance_type) in known_types
        kind = Kind.GONE if new is None else Kind.NEW_OFFER if is_known else Kind.NEW_TYPE
        yield Change(kind, *place, None, listed if new is None else None, None if new is None else listed)
        return
    yield from _price(place, Purchase.ON_DEMAND, old.on_demand, new.on_demand)
    yield from _price(place, Purchase.SPOT, old.spot, new.spot)
    yield from _price(place, Purchase.MANAGED, old.managed_price, new.managed_price)


def _price(place: tuple[str, str, str], purchase: Purchase, old: Price | None, new: Price | None) -> Iterator[Change]:
    before, now = old.usd_per_hour if old else None, new.usd_per_hour if new else None
    if before is None and now is None:
        return
    if before is None:
        yield Change(Kind.PRICED, *place, purchase, None, now)
    elif now is None:
        yield Change(Kind.UNPRICED, *place, purchase, before, None)
    elif abs(now - before) > before * _SAME_RATIO:
        yield Change(Kind.MOVED, *place, purchase, before, now)
