"""More or less of something: demand, token lengths and prices changed by a factor."""

import re
from collections.abc import Sequence

from advisor.catalog.values import Offer, Price, Provenance, Purchase, Quality
from advisor.errors import InputError
from advisor.records import replace

PRICED = (Purchase.ON_DEMAND, Purchase.SPOT, Purchase.MANAGED)
"""Ways of buying that have a price of their own in an offer; those of commitments follow from it."""

_SUPPOSED = Provenance("supposed", "", Quality.RECALLED)
_AMOUNT = re.compile(r"(?P<factor>\d+(?:\.\d+)?)x|(?P<percent>[+-]\d+(?:\.\d+)?)%|(?P<value>\d+(?:\.\d+)?)", re.ASCII)


def amount_of(text: str, present: float) -> float:
    """``2x``, ``+30%`` or ``-20%`` of the present amount, or a plain number.

    Raises:
        InputError: it is none of these, or not above 0.
    """
    match = _AMOUNT.fullmatch(text)
    amount = 0.0
    if match and match["factor"]:
        amount = present * float(match["factor"])
    elif match and match["percent"]:
        amount = present * (1 + float(match["percent"]) / 100)
    elif match:
        amount = float(match["value"])
    if not 0 < amount < float("inf"):
        raise InputError(f"'{text}' is no amount above 0", hint="write 2x, +30%, -20% or a number")
    return amount


def with_price(offer: Offer, text: str, kinds: Sequence[Purchase]) -> Offer:
    """An offer at another price; a part of a price that is not known is not known either."""

    def supposed(kind: Purchase, price: Price | None) -> Price | None:
        if kind not in kinds or (price is None and text.endswith(("x", "%"))):
            return price
        return Price(amount_of(text, price.usd_per_hour if price else 1.0), _SUPPOSED)

    managed = offer.managed and replace(offer.managed, price=supposed(Purchase.MANAGED, offer.managed_price))
    return replace(
        offer,
        on_demand=supposed(Purchase.ON_DEMAND, offer.on_demand),
        spot=supposed(Purchase.SPOT, offer.spot),
        managed=managed,
    )


def known_prices(offers: Sequence[Offer], kinds: Sequence[Purchase]) -> list[float]:
    """USD per hour of each price of these kinds that is known."""
    prices = [offer.price(kind) for offer in offers for kind in kinds]
    return [price.usd_per_hour for price in prices if price is not None]
