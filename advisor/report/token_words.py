"""Monthly cost of the same requests at services that sell tokens, compared with the fleet."""

from collections.abc import Iterator

from advisor.plan.fleet.chosen import Fleet
from advisor.plan.token_apis import TokenApi
from advisor.plan.values import Plan
from advisor.report.fleet_tables import capacity_requests_per_second
from advisor.report.text_table import Column, Section
from advisor.report.words import (
    usd,
)
from advisor.units import rounded

_HEADERS = (
    Column("service"),
    Column("model"),
    Column("weights", importance=4),
    Column("USD/month"),
    Column("USD/1M in", importance=2),
    Column("USD/1M out", importance=3),
    Column("fleet cheaper from", importance=1),
)
_SHOWN = 3


def token_section(plan: Plan) -> Section:
    """The cheapest services with the same weights, and every model that the workload names."""
    same = [token_api for token_api in plan.token_apis if token_api.same_weights and not token_api.asked][:_SHOWN]
    shown = [token_api for token_api in plan.token_apis if token_api.asked or token_api in same]
    dates = " and ".join(sorted({token_api.price_as_of for token_api in shown}))
    lines = [f"the mean demand at list prices of {dates}: no latency target, no volume discount"]
    if plan.fleet is not None and plan.fleet.response_cache is not None:
        lines.append("of the requests behind the response cache, whose cost is in each: it stands in front of all")
    if any(not token_api.same_weights for token_api in shown):
        lines.append("other weights answer otherwise: their quality is not compared")
    if plan.fleet is not None:
        lines.append(_break_even_words(plan, shown[0]))
    rows = tuple(_cells(token_api, plan.fleet) for token_api in shown)
    return Section("the same requests by the token, for comparison", tuple(lines), _HEADERS, rows)


def is_beyond(fleet: Fleet, requests_per_second: float) -> bool:
    """Whether a fleet of this size is not planned to carry so much."""
    return requests_per_second > capacity_requests_per_second(fleet)


def rate_words(fleet: Fleet | None, requests_per_second: float) -> str:
    """``4.87 requests/s``, said to be behind the cache where one answers the others."""
    behind = " behind the cache" if fleet is not None and fleet.response_cache is not None else ""
    return f"{rounded(requests_per_second)} requests/s{behind}"


def never_words(fleet: Fleet, requests_per_second: float) -> str:
    """Sentence that a fleet never costs less than a service at its size, and from which rate it would."""
    rate, capacity = rate_words(fleet, requests_per_second), rounded(capacity_requests_per_second(fleet))
    return f"the fleet never costs less at this size: it would from {rate} on average, and carries {capacity}"


def _break_even_words(plan: Plan, cheapest: TokenApi) -> str:
    """Mean rate from which the fleet costs less than the cheapest service."""
    rate, mean = cheapest.break_even_requests_per_second or 0.0, plan.demand["requests_per_second"]["mean"]
    fleet = usd(plan.fleet.cost.total_usd_per_month) if plan.fleet else ""
    if rate <= mean:
        least = rate_words(plan.fleet, rate)
        return f"at {fleet} the fleet costs less than each of them, and would from {least} on average"
    if plan.fleet and is_beyond(plan.fleet, rate):
        return f"against {cheapest.name} {never_words(plan.fleet, rate)}"
    return (
        f"the fleet at {fleet} would have to carry {rate_words(plan.fleet, rate)} on average to cost less than "
        f"{cheapest.name}; {rounded(mean)} is the mean demand"
    )


def _cells(api: TokenApi, fleet: Fleet | None) -> tuple[str, ...]:
    return (
        api.provider,
        api.api_model,
        "the same" if api.same_weights else "other",
        f"{api.total_usd_per_month:,.2f}",
        f"{api.input_usd_per_million:g}",
        f"{api.output_usd_per_million:g}",
        _cheaper_from(api.break_even_requests_per_second, fleet),
    )


def _cheaper_from(requests_per_second: float | None, fleet: Fleet | None) -> str:
    if requests_per_second is None or fleet is None:
        return ""
    return "never at this size" if is_beyond(fleet, requests_per_second) else rate_words(fleet, requests_per_second)


def cheaper_service(plan: Plan) -> Iterator[str]:
    """The cheapest service with the same weights, where it costs less than the fleet."""
    if plan.fleet is None:
        return
    same = [token_api for token_api in plan.token_apis if token_api.same_weights]
    cheapest = min(same, key=lambda token_api: token_api.total_usd_per_month, default=None)
    if cheapest is None or cheapest.total_usd_per_month >= plan.fleet.cost.total_usd_per_month:
        return
    rate = cheapest.break_even_requests_per_second
    more = "" if rate is None else f"; {_from_rate(plan.fleet, rate)}"
    cache = "" if plan.fleet.response_cache is None else " with the same cache in front"
    yield (
        f"By the token: {cheapest.name} asks {usd(cheapest.total_usd_per_month)} for the same weights{cache}, without "
        f"a latency target{more}."
    )


def _from_rate(fleet: Fleet, requests_per_second: float) -> str:
    if is_beyond(fleet, requests_per_second):
        return never_words(fleet, requests_per_second)
    return f"the fleet costs less from {rate_words(fleet, requests_per_second)} on average"
