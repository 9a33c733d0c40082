"""Findings of endpoints and their requests: none at all, failed ones, repeated ones."""

from collections.abc import Iterator
from decimal import Decimal

from advisor.audit.findings import rules
from advisor.audit.findings.context import Context, Interval
from advisor.audit.values import ZERO, Endpoint, Finding
from advisor.units import counted

_NOTABLE_ERRORS = 0.01
"""Share of failed requests from which they are said."""
_NOTABLE_REPEATS = 0.05


def request_findings(context: Context) -> Iterator[Finding]:
    """Findings of the request logs; none without them."""
    if context.traffic is None:
        return
    yield from _without_requests(context)
    yield from _failures(context)
    yield from _repeated(context)


def _named(endpoints: list[Endpoint]) -> list[tuple[str, Decimal]]:
    return [(endpoint.name, endpoint.cost or ZERO) for endpoint in endpoints]


def _without_requests(context: Context) -> Iterator[Finding]:
    silent = [
        endpoint
        for endpoint in context.endpoints
        if endpoint.usage is None and endpoint.avoidable_cost > 0 and _is_covered(context, endpoint)
    ]
    if not silent or not any(endpoint.usage and endpoint.cost_source == "bill" for endpoint in context.endpoints):
        return  # names of log and bill have nothing in common: that nothing was asked is not known
    cost = sum((endpoint.avoidable_cost for endpoint in silent), ZERO)
    names = ", ".join(endpoint.name for endpoint in silent[:3]) + (
        f" and {len(silent) - 3} more" if len(silent) > 3 else ""
    )
    evidence = f"{counted(len(silent), 'endpoint')} in the bill and in no request log: {names}"
    if any(endpoint.avoidable_cost != endpoint.cost for endpoint in silent):
        evidence += "; without what commitments and tokens cost, which does not end with an endpoint"
    resources = [(endpoint.name, endpoint.avoidable_cost) for endpoint in silent]
    yield context.finding(rules.NO_REQUESTS, Interval.between(ZERO, cost), evidence, resources)


def _is_covered(context: Context, endpoint: Endpoint) -> bool:
    """Whether the log is of all of the time in which an endpoint was billed; one without times is taken to be."""
    log = context.traffic.seconds if context.traffic else None
    billed = endpoint.billed_seconds
    return log is None or (billed is not None and log[0] <= billed[0] and billed[1] <= log[1])


def _failed(endpoint: Endpoint) -> Decimal:
    """Cost of failed requests over the bill's period, where all of it was like the log's time."""
    weight = endpoint.usage.error_weight if endpoint.usage else None
    return (endpoint.cost or ZERO) * Decimal(weight or 0)


def _failures(context: Context) -> Iterator[Finding]:
    failing = [
        endpoint
        for endpoint in context.endpoints
        if endpoint.usage
        and endpoint.usage.requests
        and (endpoint.usage.errors or 0) / endpoint.usage.requests >= _NOTABLE_ERRORS
        and endpoint.error_cost
    ]
    if not failing:
        return
    cost = sum(map(_failed, failing), ZERO)
    errors = sum(endpoint.usage.errors or 0 for endpoint in failing if endpoint.usage)
    requests = sum(endpoint.usage.requests for endpoint in failing if endpoint.usage)
    share = (
        f"{errors:,} of {requests:,} requests failed ({errors / requests:.1%}), of {counted(len(failing), 'endpoint')}"
    )
    evidence = f"{share}; cost by their tokens"
    resources = [(endpoint.name, _failed(endpoint)) for endpoint in failing]
    yield context.finding(rules.FAILURES, Interval.between(ZERO, cost), evidence, resources)


def _repeated(context: Context) -> Iterator[Finding]:
    found = [
        (endpoint, spare)
        for endpoint in context.endpoints
        if endpoint.usage and endpoint.cost and (spare := _uncached(endpoint)) >= _NOTABLE_REPEATS
    ]
    if not found:
        return
    cost = sum(((endpoint.cost or ZERO) * Decimal(spare) for endpoint, spare in found), ZERO)
    most = max(spare for _, spare in found)
    evidence = (
        f"up to {most:.0%} of the prompts of {counted(len(found), 'endpoint')} asked before, and no cache answered"
    )
    yield context.finding(
        rules.REPEATED, Interval.between(ZERO, cost), evidence, _named([endpoint for endpoint, _ in found])
    )


def _uncached(endpoint: Endpoint) -> float:
    """Share of the requests that repeat a prompt, beyond those that a cache answered."""
    usage = endpoint.usage
    if usage is None or usage.repeated_ratio is None or not usage.requests:
        return 0.0
    return usage.repeated_ratio - (usage.cache_hits or 0) / usage.requests
