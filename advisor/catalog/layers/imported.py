"""Prices of another program's list beside ours: which of the two counts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from advisor.catalog.price_trust import MOST_SPOT_DAYS, first_day
from advisor.catalog.values import Offer, Price, Purchase, Quality

_BETTER = (Quality.LISTED, Quality.DERIVED)
_Place = tuple[str, str, str]


def better(ours: Price | None, theirs: Price | None, purchase: Purchase) -> Price | None:
    """The better founded price: ours where it is listed or derived, the newer one of two that volunteers gathered.

    A spot price that is older than another one by more days than it may decide for gives way whatever its quality.
    """
    if ours is None or theirs is None:
        return ours or theirs
    quality = ours.provenance.quality
    if quality in _BETTER:
        return theirs if purchase is Purchase.SPOT and _is_outlived(ours, theirs) else ours
    if quality is Quality.COMMUNITY and ours.provenance.as_of >= theirs.provenance.as_of:
        return ours
    return theirs


def with_imported(listed: Sequence[Offer], imported: Iterable[Offer]) -> Iterator[Offer]:
    """Offers with the better founded of both prices, and those that only the import has.

    What a provider does not list any more stays withdrawn.
    """
    theirs = {_place(offer): offer for offer in imported}
    for offer in listed:
        other = theirs.pop(_place(offer), None)
        if other is None or offer.withdrawn:
            yield offer
        else:
            yield replace(
                offer,
                on_demand=better(offer.on_demand, other.on_demand, Purchase.ON_DEMAND),
                spot=better(offer.spot, other.spot, Purchase.SPOT),
            )
    yield from theirs.values()


def _is_outlived(ours: Price, theirs: Price) -> bool:
    old, new = first_day(ours.provenance.as_of), first_day(theirs.provenance.as_of)
    return old is not None and new is not None and (new - old).days > MOST_SPOT_DAYS


def _place(offer: Offer) -> _Place:
    return offer.provider, offer.region, offer.instance_type
