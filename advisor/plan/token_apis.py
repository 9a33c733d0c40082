"""What the same tokens would cost at services that sell them one by one, as a measure for the fleet.

Such a service gives no latency target and no place: it is a comparison, and never an option.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advisor.catalog import Catalog
from advisor.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

_MILLION = 1e6
_MOST = 5


@dataclass(frozen=True, slots=True)
class TokenApi:
    """A service that serves the same weights."""

    provider: str
    api_model: str
    """What the service calls them."""
    total_usd_per_month: float
    """Mean demand × list price; no volume discount."""
    input_usd_per_million: float
    output_usd_per_million: float
    price_source: str
    price_as_of: str


def token_apis(
    catalog: Catalog, model: str, demand: Mapping[str, Any], cached_ratio: float, context_tokens: int
) -> tuple[TokenApi, ...]:
    """The cheapest services for a month of the mean demand, one entry for each provider.

    Args:
        catalog: prices of tokens.
        model: name of the weights in the catalog.
        demand: the plan's document of the demand.
        cached_ratio: share of the tokens sent that a cache holds.
        context_tokens: longest request; services that take less are left out.
    """
    requests = demand["requests_per_second"]["mean"] * SECONDS_PER_HOUR * HOURS_PER_MONTH
    sent, answered = (requests * demand[key]["mean"] / _MILLION for key in ("input_tokens", "output_tokens"))
    cheapest: dict[str, TokenApi] = {}
    for price in catalog.token_prices(model):
        if price.context_tokens is not None and price.context_tokens < context_tokens:
            continue
        cached = price.input_usd_per_million if price.cached_usd_per_million is None else price.cached_usd_per_million
        per_input = (1 - cached_ratio) * price.input_usd_per_million + cached_ratio * cached
        total = round(sent * per_input + answered * price.output_usd_per_million, 2)
        found = TokenApi(
            price.provider, price.api_model, total, price.input_usd_per_million, price.output_usd_per_million,
            price.provenance.source, price.provenance.as_of,
        )  # fmt: skip
        known = cheapest.get(price.provider)
        if known is None or (total, found.api_model) < (known.total_usd_per_month, known.api_model):
            cheapest[price.provider] = found
    return tuple(sorted(cheapest.values(), key=lambda one: (one.total_usd_per_month, one.provider))[:_MOST])
