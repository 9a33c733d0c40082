"""Differences between two states of the catalog."""

from collections.abc import Iterable, Iterator
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
    old, new = ({offer.place: offer for offer in offers if not offer.withdrawn} for offers in (before, after))
    known_types = {(provider, name) for provider, _, name in old}
    every: list[Change] = []
    for place in {*old, *new}:
        if place in old and place in new:
            every += _moves(old[place], new[place])
        elif place in old:
            every.append(Change(Kind.GONE, *place, None, _usd(old[place].on_demand), None))
        else:
            kind = Kind.NEW_OFFER if (place[0], place[2]) in known_types else Kind.NEW_TYPE
            every.append(Change(kind, *place, None, None, _usd(new[place].on_demand)))
    order = list(Kind)

    def key(change: Change) -> tuple[int | str, ...]:
        place = change.provider, change.instance_type, change.region
        return order.index(change.kind), *place, change.purchase or ""

    return tuple(sorted(every, key=key))


def _moves(old: Offer, new: Offer) -> Iterator[Change]:
    """Changes of the prices of an offer that is still sold."""
    for purchase in (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.MANAGED):
        before, now = _usd(old.price(purchase)), _usd(new.price(purchase))
        if before is None and now is not None:
            yield Change(Kind.PRICED, *old.place, purchase, None, now)
        elif before is not None and now is None:
            yield Change(Kind.UNPRICED, *old.place, purchase, before, None)
        elif before is not None and now is not None and abs(now - before) > before * _SAME_RATIO:
            yield Change(Kind.MOVED, *old.place, purchase, before, now)


def _usd(price: Price | None) -> float | None:
    return price.usd_per_hour if price else None
