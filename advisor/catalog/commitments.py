"""What an offer costs under a commitment."""

from collections.abc import Iterable

from advisor.catalog.planning import Commitment, CommitmentPrice
from advisor.catalog.values import Offer, Price, Provenance, Quality

_WEAKEST_FIRST = (Quality.STALE, Quality.RECALLED, Quality.COMMUNITY)


def commitment_prices(offer: Offer, covering: Iterable[Commitment]) -> tuple[CommitmentPrice, ...]:
    """Price under each commitment that covers the offer, cheapest first; none where the on-demand price is unknown.

    A discount that was read in the offer's own region counts before one that holds anywhere.
    """
    if offer.on_demand is None:
        return ()
    usable = sorted((each for each in covering if each.region in {"", offer.region}), key=lambda each: each.region)
    by_instrument = {(each.instrument, each.term_years, each.payment): each for each in usable}
    prices = (_price(offer.on_demand, commitment) for commitment in by_instrument.values())
    return tuple(sorted(prices, key=lambda price: (price.usd_per_hour, price.commitment.term_years)))


def _price(on_demand: Price, commitment: Commitment) -> CommitmentPrice:
    """On-demand price × (1 - discount), founded no better than the weaker of the two."""
    used = {on_demand.provenance.quality, commitment.provenance.quality}
    quality = next((quality for quality in _WEAKEST_FIRST if quality in used), Quality.DERIVED)
    provenance = Provenance(commitment.provenance.source, commitment.provenance.as_of, quality)
    return CommitmentPrice(commitment, on_demand.usd_per_hour * (1 - commitment.discount_ratio), provenance)
