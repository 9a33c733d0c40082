"""Cost of endpoints and owners: what the bill says they cost over what the request logs say they served."""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from advisor.audit import UNTAGGED, ZERO, Endpoint, Traffic, Usage, epoch_seconds
from advisor.audit.ledger import Ledger, of_usage
from advisor.audit.sql import text
from advisor.names import first_names, normalised
from advisor.records import dataclass, replace
from advisor.units import SECONDS_PER_HOUR, TOKENS_PER_MILLION

ENDPOINT_TAGS = (
    "endpoint", "inference-endpoint", "inference_service", "service", "model", "application", "app", "deployment",
)  # fmt: skip
"""Tags that usually name an endpoint, the most telling first."""
_QUANTUM = Decimal("1e-15")


@dataclass(frozen=True, slots=True)
class EndpointMachines:
    """Machines of one kind that an endpoint was billed for."""

    endpoint: str
    """Name of the endpoint as a charge says it; "": none of their charges names one."""
    provider: str
    region: str
    instance_type: str
    is_spot: bool
    instances: int
    """On average over the bill's period, one at the least."""
    cost: Decimal
    billed_seconds: Mapping[str, float]
    """Billed time of each resource; of "" where charges name none."""
    spanned_hours: float
    """From the first time that any of them was billed to the last; 0: unknown."""


def endpoints_of(ledger: Ledger, traffic: Traffic | None, tag: str | None) -> tuple[list[Endpoint], list[str]]:
    """Every endpoint of the bill and of the logs, the dearest first, those of unknown cost last.

    *tag* names the endpoint of a charge; None: the usual tags do.
    """
    costs, avoidable, times = _billed(ledger, tag)
    usages = {normalised(usage.name): usage for usage in traffic.endpoints} if traffic else {}
    foreign = ledger.bill.currency if ledger.bill.currency not in ("USD", None) else ""
    has_foreign_spend = bool(foreign) and any(usage.logged_cost is not None for usage in usages.values())
    if has_foreign_spend:
        usages = {key: replace(usage, logged_cost=None) for key, usage in usages.items()}
    names: dict[str, str] = {}
    billed: dict[str, Decimal] = {}
    for name in (*(usage.name for usage in usages.values()), *costs):
        names.setdefault(normalised(name), name)
    for name, cost in costs.items():
        billed[normalised(name)] = billed.get(normalised(name), ZERO) + cost
    share = None  # length of the log over that of the bill, where both are known
    if traffic is not None and ledger.bill.hours:
        log = traffic.seconds
        share = 1.0 if log is None else (log[1] - log[0]) / SECONDS_PER_HOUR / ledger.bill.hours
    weight = traffic.output_weight if traffic else 1.0
    endpoints = []
    for key, name in names.items():
        endpoint = _endpoint(name, billed.get(key), usages.get(key), (share, weight), times.get(key))
        endpoints.append(replace(endpoint, avoidable_cost=avoidable.get(key, ZERO)))
    notes = _notes(endpoints, traffic)
    if has_foreign_spend:
        rate = f"--rate {foreign}=RATE brings both into one currency"
        notes.append(f"spend of the logs is taken to be in USD, and the bill is in {foreign}: in no cost; {rate}")
    endpoints.sort(key=lambda endpoint: (endpoint.cost is None, -(endpoint.cost or ZERO), endpoint.name))
    return endpoints, notes


def _notes(endpoints: Sequence[Endpoint], traffic: Traffic | None) -> list[str]:
    if traffic is None:
        return []
    notes = []
    if unknown := [endpoint.name for endpoint in endpoints if endpoint.cost is None]:
        remedy = "tag it, or name the tag with --endpoint-tag"
        notes.append(f"no charge of the bill carries the name of {first_names(unknown)}: cost unknown; {remedy}")
    if traffic.endpoints and traffic.seconds is None:
        notes.append("the request log has no times that can be read: it is taken to be of the bill's period")
    return notes


_AVOIDABLE = "kind <> 'managed' AND purchase IS DISTINCT FROM 'committed'"
"""Charges that end with an endpoint: those of tokens end with its requests, those of a commitment with its term."""


def _billed(
    ledger: Ledger, tag: str | None
) -> tuple[dict[str, Decimal], dict[str, Decimal], dict[str, tuple[float, float]]]:
    """Cost by endpoint; by its normalised name what of it would end with it, and the time of its charges.

    SageMaker's endpoints go by name, others by tag, models sold by the token by model.
    """
    name, named = naming(tag)
    rows = ledger.database.rows(
        f"SELECT {name} AS name, sum(cost), coalesce(sum(cost) FILTER (WHERE {_AVOIDABLE}), 0), "
        f"{of_usage('min(start_time)')}, {of_usage('max(end_time)')} FROM charges "
        f"LEFT JOIN {named} AS named USING (tags_id) GROUP BY 1 HAVING name IS NOT NULL ORDER BY 2 DESC, 1"
    )
    times: dict[str, tuple[float, float]] = {}
    avoidable: dict[str, Decimal] = {}
    for endpoint, _, ending, start, end in rows:
        avoidable[normalised(endpoint)] = avoidable.get(normalised(endpoint), ZERO) + Decimal(ending)
        if start is not None and end is not None:
            span = epoch_seconds(start), epoch_seconds(end)
            begun, ended = times.get(normalised(endpoint), span)
            times[normalised(endpoint)] = (min(begun, span[0]), max(ended, span[1]))
    return {endpoint: cost for endpoint, cost, *_ in rows}, avoidable, times


def machines_of(ledger: Ledger, tag: str | None) -> list[EndpointMachines]:
    """Accelerated machines of each endpoint of the bill and of none, a kind of machine each; the dearest last.

    *tag*: as for :func:`endpoints_of`.
    """
    name, named = naming(tag)
    rows = ledger.database.rows(
        f"SELECT coalesce({name}, '') AS name, provider, region, machine, "
        "coalesce(purchase = 'spot', false) AS is_spot, coalesce(resource, ''), sum(seconds), sum(cost), "
        "min(start_time), max(end_time) FROM charges "
        f"LEFT JOIN {named} AS named USING (tags_id) WHERE is_accelerated AND charge = 'usage' AND machine IS NOT NULL "
        "AND region IS NOT NULL GROUP BY ALL ORDER BY ALL"
    )
    kinds: dict[tuple[str, str, str, str, bool], tuple[dict[str, float], list[Decimal], list[float]]] = {}
    for *place, resource, seconds, cost, start, end in rows:
        billed_seconds, costs, times = kinds.setdefault(tuple(place), ({}, [], []))
        billed_seconds[resource] = float(seconds or 0.0)
        costs.append(Decimal(cost))
        times += [epoch_seconds(moment) for moment in (start, end) if moment is not None]
    period_seconds = ledger.bill.hours * SECONDS_PER_HOUR or 1.0
    machines = []
    for kind, (billed_seconds, costs, times) in kinds.items():
        instances = max(1, round(sum(billed_seconds.values()) / period_seconds))
        spanned_hours = (max(times) - min(times)) / SECONDS_PER_HOUR if times else 0.0
        machines.append(EndpointMachines(*kind, instances, sum(costs, ZERO), billed_seconds, spanned_hours))
    return sorted(machines, key=lambda kind: (kind.cost, kind.endpoint))


def naming(tag: str | None) -> tuple[str, str]:
    """The name of a charge's endpoint, and the table of tags that it needs as ``named``, in SQL."""
    wanted = [normalised(tag)] if tag else [normalised(name) for name in ENDPOINT_TAGS]
    plain = "lower(regexp_replace(regexp_replace(key, '^.*/|^user:|^aws:eks:', ''), '[-_ ]', '', 'g'))"
    order = " ".join(f"WHEN {text(name)} THEN {position}" for position, name in enumerate(wanted))
    listed = ", ".join(map(text, wanted))
    named = (
        f"(SELECT tags_id, arg_min(value, CASE {plain} {order} END) AS endpoint FROM tags WHERE {plain} IN ({listed}) "
        "GROUP BY tags_id)"
    )
    sold = (
        "CASE WHEN category = 'AI and Machine Learning' AND kind = 'managed' THEN coalesce(resource_name, service) END"
    )
    hosted = "nullif(regexp_extract(coalesce(resource, ''), ':endpoint/([^/]+)$', 1), '')"
    return f"coalesce({hosted}, named.endpoint, {sold})" if tag is None else "named.endpoint", named


def _endpoint(
    name: str,
    billed: Decimal | None,
    usage: Usage | None,
    terms: tuple[float | None, float],
    seconds: tuple[float, float] | None,
) -> Endpoint:
    share, weight = terms
    logged = usage.logged_cost if usage else None
    cost, source = (billed, "bill") if billed is not None else (logged, "log") if logged is not None else (None, "")
    served = None if cost is None else cost if source == "log" else _times(cost, share)
    tokens = ((usage.input_tokens or 0) + (usage.output_tokens or 0)) if usage else 0
    per_input = _per_million(served, usage, weight)
    return Endpoint(
        name=name,
        cost=cost,
        cost_source=source,
        usage=usage,
        cost_per_request=None if served is None or not usage or not usage.requests else served / usage.requests,
        cost_per_million_tokens=served * TOKENS_PER_MILLION / tokens if served is not None and tokens else None,
        cost_per_million_input_tokens=per_input,
        cost_per_million_output_tokens=_times(per_input, weight),
        error_cost=_times(served, usage.error_weight) if usage else None,
        billed_seconds=seconds,
    )


def _times(cost: Decimal | None, factor: float | None) -> Decimal | None:
    return None if cost is None or factor is None else (cost * Decimal(factor)).quantize(_QUANTUM, ROUND_HALF_EVEN)


def _per_million(cost: Decimal | None, usage: Usage | None, weight: float) -> Decimal | None:
    """Cost of a million input tokens, where an output token costs *weight* times as much."""
    if cost is None or usage is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    weighted = Decimal(usage.input_tokens) + Decimal(weight) * usage.output_tokens
    return cost * TOKENS_PER_MILLION / weighted if weighted else None


def chargeback(ledger: Ledger, endpoints: Sequence[Endpoint], column: str, weight: float) -> Mapping[str, Decimal]:
    """Cost of the endpoints divided among teams or environments by their tokens, to the last digit.

    *column*: ``team`` or ``environment``; *weight*: input tokens that an output token counts for.
    """
    tokens = f"(coalesce(sum(input_tokens), 0) + {weight} * coalesce(sum(output_tokens), 0))"
    rows = ledger.database.rows(
        f"SELECT endpoint, coalesce({column}, '{UNTAGGED}') AS name, "
        f"CASE WHEN count(input_tokens) + count(output_tokens) = 0 THEN sum(requests) ELSE {tokens} END::DOUBLE "
        "FROM traffic GROUP BY endpoint, name ORDER BY endpoint, name"
    )
    totals: dict[str, Decimal] = {}
    for endpoint in endpoints:
        if endpoint.cost is None or endpoint.usage is None:
            continue
        mine = [(name, used) for place, name, used in rows if normalised(place) == normalised(endpoint.name)]
        for name, part in _divided(endpoint.cost, mine):
            totals[name] = totals.get(name, ZERO) + part
    return dict(sorted(totals.items(), key=lambda entry: (-entry[1], entry[0])))


def _divided(cost: Decimal, users: Sequence[tuple[str, float]]) -> list[tuple[str, Decimal]]:
    """Parts of a cost by weight; the last one takes what rounding leaves."""
    total = sum(used for _, used in users)
    if not total:
        return [(UNTAGGED, cost)]
    parts = [(name, (cost * Decimal(used / total)).quantize(_QUANTUM, ROUND_HALF_EVEN)) for name, used in users[:-1]]
    return [*parts, (users[-1][0], cost - sum((part for _, part in parts), ZERO))]
