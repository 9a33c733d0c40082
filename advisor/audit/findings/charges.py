"""Findings that the charges alone show: what is paid for and not used, traffic, logs, snapshots, tags."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from advisor.audit.findings import rules
from advisor.audit.findings.context import Commands, Context, Interval, positive
from advisor.audit.findings.rules import Rule
from advisor.audit.sql import text
from advisor.audit.values import ZERO, Finding
from advisor.units import counted

_COMMITTED = "coalesce(commitment, resource)"
_METER = "concat_ws(' ', meter, description, resource_type)"
_BETWEEN_PLACES = (
    "regional-bytes|regional data transfer|inter[ -]?(zone|availability zone|region)|-aws-(in|out)-bytes|"
    "data transfer (to|from) [a-z]|cross[- ](zone|region|az)"
)
EXPIRES_WITHIN = timedelta(days=60)


_NET_OF_CREDITS = "('usage', 'credit', 'adjustment')"


def _like(pattern: str) -> str:
    """Use of some meters, less what credits and refunds of the same meters gave back."""
    return f"charge IN {_NET_OF_CREDITS} AND regexp_matches({_METER}, '{pattern}', 'i')"


@dataclass(frozen=True, slots=True)
class Meters:
    """Charges that a finding is about."""

    rule: Rule
    where: str
    is_certain: bool
    """Whether all of it is saved by acting; otherwise the bill does not say how much of it is."""
    evidence: str
    """With the cost as ``{cost}`` and the counted resources as ``{count}``."""
    noun: str
    """Unit of what is counted."""


METERS = (
    Meters(
        rules.UNUSED,
        "unused = 'commitment'",
        is_certain=True,
        evidence="{cost} of {count} covered nothing",
        noun="commitment",
    ),
    Meters(
        rules.RESERVATION,
        "unused = 'capacity_reservation'",
        is_certain=True,
        evidence="reserved capacity of {cost} stood empty, in {count}",
        noun="reservation",
    ),
    Meters(
        rules.CROSS_ZONE,
        f"kind = 'network' AND {_like(_BETWEEN_PLACES)}",
        is_certain=False,
        evidence="{cost} for traffic of {count} between zones and regions; the bill does not say how much could "
        "stay in a zone",
        noun="resource",
    ),
    Meters(
        rules.NAT,
        f"kind = 'network' AND {_like('natgateway-bytes|nat gateway.*(data|gb)|gb.*nat gateway|cloud nat.*data')}",
        is_certain=False,
        evidence="{cost} for data through {count}; weights from object storage and images need none",
        noun="NAT gateway",
    ),
    Meters(
        rules.LOGS,
        _like("vendedlog|dataprocessing-bytes|log.* ingest|logs? (storage|volume)|analytics logs|data ingestion"),
        is_certain=False,
        evidence="{cost} for logs from {count}; requests logged in full are the usual cause",
        noun="source",
    ),
    Meters(
        rules.KEPT,
        f"kind = 'storage' AND charge IN {_NET_OF_CREDITS} AND (regexp_matches({_METER}, 'snapshot', 'i') OR "
        "regexp_matches(concat(resource, resource_name), 'checkpoint|ckpt|snapshot', 'i'))",
        is_certain=False,
        evidence="{cost} for {count} of snapshots and checkpoints; the bill does not say how old they are",
        noun="store",
    ),
)


def charge_findings(context: Context) -> Iterator[Finding]:
    """Findings of the table above, expiring commitments, idle addresses, untagged spend."""
    for meters in METERS:
        yield from _of_meters(context, meters)
    yield from _expiring(context)
    yield from _without_traffic(context)
    yield from _untagged(context)


def _of_meters(context: Context, meters: Meters) -> Iterator[Finding]:
    cost = context.ledger.cost_of(meters.where)
    if cost <= 0:
        return
    name = _COMMITTED if meters.rule is rules.UNUSED else "resource"
    resources = context.resources(meters.where, name)
    saved = context.ledger.cost_within(meters.where)
    amount = Interval.exactly(saved) if meters.is_certain else Interval.between(ZERO, saved)
    words = meters.evidence.format(cost=context.money(cost), count=counted(len(resources), meters.noun))
    commands = Commands.of_places(meters.rule, context.places(meters.where, name))
    yield context.finding(meters.rule, amount, words, resources, commands)


def _expiring(context: Context) -> Iterator[Finding]:
    """Findings for commitments that end soon: the extra cost of the covered use at list prices from that day on."""
    end = context.ledger.bill.end
    if end is None:
        return
    ends = "TRY_CAST(commitment_end AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"
    soon = f"{ends} BETWEEN TIMESTAMP '{end}' AND TIMESTAMP '{end + EXPIRES_WITHIN}'"
    where = f"{soon} AND unused IS NULL AND charge = 'usage'"
    row = context.ledger.database.row(
        f"SELECT sum(list_cost), sum(cost), count(DISTINCT commitment), min({ends}) FROM charges WHERE {where}"
    )
    listed, cost, count, first = row
    if not count or listed is None or listed <= cost:
        return
    more = f"what they cover costs {context.money(listed - cost)} more at list prices"
    evidence = f"{counted(count, 'commitment')}, the first until {first:%Y-%m-%d}; {more}"
    resources = context.resources(where, _COMMITTED)
    commands = Commands.of_places(rules.EXPIRING, context.places(where, _COMMITTED))
    yield context.finding(rules.EXPIRING, Interval.between(ZERO, listed - cost), evidence, resources, commands)


def _without_traffic(context: Context) -> Iterator[Finding]:
    """Load balancers that were paid by the hour and moved nothing, and addresses that nothing uses.

    Traffic that names no load balancer may be of any of its service and region: these are not called silent.
    """
    hours = f"regexp_matches({_METER}, 'loadbalancerusage|loadbalancer-hour|load balancer.hour', 'i')"
    moved = (
        f"regexp_matches({_METER}, 'lcu|bytes|gb|data|capacity unit', 'i') AND NOT {hours} "
        "AND (quantity IS NULL OR quantity <> 0 OR cost <> 0)"
    )
    place = "(provider, service, coalesce(region, ''))"
    moved_by_unnamed = f"SELECT {place} FROM charges WHERE kind = 'network' AND resource IS NULL AND {moved}"
    silent = (
        "SELECT resource FROM charges WHERE kind = 'network' AND resource IS NOT NULL GROUP BY resource "
        f"HAVING bool_or({hours}) AND NOT bool_or({moved} OR {place} IN ({moved_by_unnamed}))"
    )
    unused_address = f"regexp_matches({_METER}, 'idle (public )?ipv?4?|idleaddress', 'i')"
    idle = f"kind = 'network' AND charge = 'usage' AND ({unused_address} OR resource IN ({silent}))"
    cost = context.ledger.cost_of(idle)
    if cost <= 0:
        return
    resources = context.resources(idle)
    evidence = f"{counted(len(resources), 'resource')} at {context.money(cost)}: the bill has no traffic of theirs"
    commands = Commands.of_places(rules.UNUSED_NETWORK, context.places(idle))
    amount = Interval.exactly(context.ledger.cost_within(idle))
    yield context.finding(rules.UNUSED_NETWORK, amount, evidence, resources, commands)


def _untagged(context: Context) -> Iterator[Finding]:
    """Charges without any of the tags that name an owner; files without a column of tags do not say which these are."""
    tells = "".join(f" AND format <> {text(name)}" for name in sorted(context.ledger.tagless))
    where = f"(tags_id IS NULL OR tags_id NOT IN (SELECT tags_id FROM tags)) AND charge <> 'tax'{tells}"
    cost = positive(context.ledger.cost_of(where))
    total = context.ledger.bill.cost
    if cost <= 0 or total <= 0:
        return
    evidence = f"{cost / total:.0%} of the bill carries no tag: it cannot be shown back to an owner"
    tagged = "SELECT resource FROM charges WHERE tags_id IN (SELECT tags_id FROM tags) AND resource IS NOT NULL"
    commands = Commands.of_places(rules.UNTAGGED_SPEND, context.places(f"{where} AND resource NOT IN ({tagged})"))
    amount = Interval.exactly(positive(context.ledger.cost_within(where)))
    yield context.finding(rules.UNTAGGED_SPEND, amount, evidence, context.resources(where), commands)
