"""More or less of something: demand, token lengths and prices changed by a factor."""

import re
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from advisor.catalog.values import Offer, Price, Provenance, Purchase, Quality
from advisor.demand.values import Demand, Floats, TokenHistogram, TokenQuantiles
from advisor.errors import InputError

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


def with_token_lengths(demand: Demand, input_factor: float = 1.0, output_factor: float = 1.0) -> Demand:
    """Requests whose prompts and answers are so many times as long; none becomes shorter than a token."""

    def histogram(tokens: TokenHistogram) -> TokenHistogram:
        inputs, outputs = _lengths(tokens.input_tokens, input_factor), _lengths(tokens.output_tokens, output_factor)
        return replace(tokens, input_tokens=inputs, output_tokens=outputs)

    longest = demand.longest_request_tokens
    longest += (input_factor - 1) * min(demand.input_tokens.max, longest)
    longest += (output_factor - 1) * min(demand.output_tokens.max, longest)
    profile = demand.profile
    if profile is not None:
        by_hour = {hour: histogram(tokens) for hour, tokens in profile.tokens_by_hour.items()}
        profile = replace(profile, tokens_by_hour=by_hour)
    return replace(
        demand,
        input_tokens=_quantiles(demand.input_tokens, input_factor),
        output_tokens=_quantiles(demand.output_tokens, output_factor),
        tokens=histogram(demand.tokens),
        longest_request_tokens=max(longest, 1.0),
        profile=profile,
    )


def _lengths(tokens: Floats, factor: float) -> Floats:
    return np.maximum(tokens * factor, np.minimum(tokens, 1.0))


def _quantiles(tokens: TokenQuantiles, factor: float) -> TokenQuantiles:
    return TokenQuantiles(*(getattr(tokens, field.name) * factor for field in fields(tokens)))


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
