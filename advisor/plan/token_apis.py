"""Cost of the same tokens at services that sell them one by one, as a measure for the fleet.

Such a service gives no latency target and no place: it is a comparison, and never an option.
"""

from collections.abc import Iterable, Sequence

from advisor.catalog import Catalog
from advisor.catalog.planning import TokenPrice
from advisor.models.catalog import catalogued_name
from advisor.records import dataclass
from advisor.requirements import Requirements
from advisor.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MILLION

_MOST = 5


@dataclass(frozen=True, slots=True)
class TokenApi:
    """A service that would answer the same requests."""

    provider: str
    api_model: str
    """What the service calls the model."""
    total_usd_per_month: float
    """Mean demand × list price, and the response cache in front of it; no volume discount."""
    input_usd_per_million: float
    output_usd_per_million: float
    price_source: str
    price_as_of: str
    same_weights: bool = True
    """Whether it serves the weights of the workload; others answer otherwise."""
    asked: bool = False
    """Whether the workload names it."""
    break_even_requests_per_second: float | None = None
    """Mean rate, behind the response cache, from which the fleet as planned costs less; None without a fleet."""

    @property
    def name(self) -> str:
        """The service and its model, as a workload file names them."""
        return f"{self.provider}/{self.api_model}"


@dataclass(frozen=True, slots=True)
class TokenDemand:
    """A month of requests as a seller of tokens counts them."""

    requests_per_second: float
    input_tokens: float
    """Of a request, on average."""
    output_tokens: float
    cached_ratio: float
    """Share of the tokens sent that a cache holds."""
    context_tokens: int
    """Longest request."""

    @classmethod
    def of(cls, requirements: Requirements) -> "TokenDemand":
        """Token demand that a fleet for some requirements serves: of the requests that no response cache answers."""
        demand = requirements.demand
        return cls(
            demand.requests_per_second.mean,
            demand.input_tokens.mean,
            demand.output_tokens.mean,
            demand.tokens.prefix_cache_hit_ratio,
            requirements.context_tokens,
        )

    def fits(self, price: TokenPrice) -> bool:
        """Whether the price holds for the longest request."""
        return price.context_tokens is None or price.context_tokens >= self.context_tokens

    def usd_per_request(self, price: TokenPrice) -> float:
        """A mean request at list price."""
        full, cached = price.input_usd_per_million, price.cached_usd_per_million
        per_input = (1 - self.cached_ratio) * full + self.cached_ratio * (full if cached is None else cached)
        return (self.input_tokens * per_input + self.output_tokens * price.output_usd_per_million) / TOKENS_PER_MILLION

    @property
    def requests_per_month(self) -> float:
        """Requests of an average month."""
        return self.requests_per_second * SECONDS_PER_HOUR * HOURS_PER_MONTH

    def usd_per_month(self, price: TokenPrice) -> float:
        """An average month at list price, to the cent."""
        return round(self.requests_per_month * self.usd_per_request(price), 2)


def compared_with_fleet(
    requirements: Requirements, catalog: Catalog, fleet_usd_per_month: float | None, cache_usd_per_month: float
) -> tuple[TokenApi, ...]:
    """Services that sell the tokens of the demand that a fleet serves; see :func:`token_apis`.

    None sells the weights of a base with adapters on it: those that are asked for are compared alone.
    """
    workload, demand = requirements.workload, TokenDemand.of(requirements)
    name = "" if requirements.model.adapters is not None else catalogued_name(workload.model)
    return token_apis(catalog, name, demand, workload.compare, fleet_usd_per_month, cache_usd_per_month)


def token_apis(
    catalog: Catalog,
    model: str,
    demand: TokenDemand,
    asked: Sequence[str] = (),
    fleet_usd_per_month: float | None = None,
    cache_usd_per_month: float = 0.0,
) -> tuple[TokenApi, ...]:
    """A month of the mean demand at services that sell tokens, cheapest first.

    Those that serve the same weights: the cheapest entry of each provider, five at most. Those that are asked for: all
    whose price holds for the longest request. *asked*: services and models that the user named. *cache_usd_per_month*:
    part of it that a response cache costs, which stands in front of services as well. Raises InputError for a name
    that the catalog does not know.
    """
    named = {price.name: price for price in map(catalog.token_price, asked) if demand.fits(price)}
    cheapest: dict[str, TokenPrice] = {}
    for price in sorted(
        catalog.token_prices(model),
        key=lambda token_price: (demand.usd_per_request(token_price), token_price.api_model),
    ):
        if demand.fits(price):
            cheapest.setdefault(price.provider, price)
    by_price = sorted(
        cheapest.values(), key=lambda token_price: (demand.usd_per_request(token_price), token_price.provider)
    )
    chosen = named | {price.name: price for price in by_price[:_MOST]}
    costs = (
        _priced(
            price,
            demand,
            (fleet_usd_per_month, cache_usd_per_month),
            same_weights=price.model == model != "",
            asked=name in named,
        )
        for name, price in sorted(chosen.items(), key=lambda pair: (demand.usd_per_request(pair[1]), pair[0]))
    )
    return tuple(costs)


def too_long_for(catalog: Catalog, asked: Sequence[str], context_tokens: int) -> tuple[str, ...]:
    """Notes on what is asked for and cannot be compared: the longest request costs more there, or is refused."""
    prices = (catalog.token_price(name) for name in asked)
    return tuple(
        f"not compared with {price.name}: its price holds for requests of up to {price.context_tokens:,} tokens, and "
        f"the longest here has {context_tokens:,}"
        for price in prices
        if price.context_tokens is not None and price.context_tokens < context_tokens
    )


def carried_mean(hours: Iterable[tuple[float, float, float, float]]) -> float:
    """Mean rate at which a fleet is full, if demand of its shape grows: Σ hours × mean ÷ Σ hours × least room.

    Room of a class of hours = capacity ÷ planned rate, which is its busiest minute. *hours*: for each class of hours:
    hours a week, mean rate, planned rate and capacity, in requests per second.
    """
    classes = list(hours)
    room = min((capacity / planned for _, _, planned, capacity in classes if planned > 0), default=0.0)
    return room * sum(count * mean for count, mean, *_ in classes) / sum(count for count, *_ in classes)


def _priced(
    price: TokenPrice,
    demand: TokenDemand,
    fleet_and_cache_usd: tuple[float | None, float],
    *,
    same_weights: bool,
    asked: bool,
) -> TokenApi:
    """A service with the cost of the response cache in front of it, against the fleet with the same cache."""
    fleet_usd, cache_usd = fleet_and_cache_usd
    usd_per_request = demand.usd_per_request(price)
    seconds = SECONDS_PER_HOUR * HOURS_PER_MONTH
    return TokenApi(
        provider=price.provider,
        api_model=price.api_model,
        total_usd_per_month=round(demand.usd_per_month(price) + cache_usd, 2),
        input_usd_per_million=price.input_usd_per_million,
        output_usd_per_million=price.output_usd_per_million,
        price_source=price.provenance.source,
        price_as_of=price.provenance.as_of,
        same_weights=same_weights,
        asked=asked,
        break_even_requests_per_second=(
            None if fleet_usd is None else (fleet_usd - cache_usd) / seconds / usd_per_request
        ),
    )
