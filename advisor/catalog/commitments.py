"""Price of an offer under a commitment."""

from collections.abc import Iterable

from advisor.catalog.planning import Commitment, CommitmentPrice
from advisor.catalog.values import Offer, Price, Provenance, Quality

_WEAKEST_FIRST = (Quality.STALE, Quality.RECALLED, Quality.COMMUNITY)


def commitment_prices(
    offer: Offer, covering: Iterable[Commitment], listed: Iterable[CommitmentPrice] = ()
) -> tuple[CommitmentPrice, ...]:
    """Price under each commitment that covers the offer, cheapest first; none where the on-demand price is unknown.

    A discount that was read in the offer's own region counts before one that holds anywhere, and a listed price before
    both: on demand may have changed since the discount was read. What saves nothing any more is left out.

    Args:
        offer: on demand.
        covering: discounts of its family.
        listed: prices of its type in its region, as sold.
    """
    if offer.on_demand is None:
        return ()
    usable = sorted(
        (commitment for commitment in covering if commitment.region in {"", offer.region}),
        key=lambda commitment: commitment.region,
    )
    prices = {
        _sold_as(commitment): _price(offer.on_demand, commitment, commitment.discount_ratio or 0.0)
        for commitment in usable
    }
    prices |= {_sold_as(commitment_price.commitment): commitment_price for commitment_price in listed}
    saving = (price for price in prices.values() if price.usd_per_hour < offer.on_demand.usd_per_hour)
    return tuple(sorted(saving, key=lambda price: (price.usd_per_hour, price.commitment.term_years)))


def _sold_as(commitment: Commitment) -> tuple[str, int, str]:
    return commitment.instrument, commitment.term_years, commitment.payment


def _price(on_demand: Price, commitment: Commitment, discount_ratio: float) -> CommitmentPrice:
    """On-demand price × (1 - discount), founded no better than the weaker of the two."""
    used = {on_demand.provenance.quality, commitment.provenance.quality}
    quality = next((quality for quality in _WEAKEST_FIRST if quality in used), Quality.DERIVED)
    provenance = Provenance(commitment.provenance.source, commitment.provenance.as_of, quality)
    return CommitmentPrice(commitment, on_demand.usd_per_hour * (1 - discount_ratio), provenance)
