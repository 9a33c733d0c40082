"""Findings that charges and request logs show: unused fleets and commitments, traffic, logs, tags, failed requests."""

import math
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import groupby

from advisor.audit import (
    CROSS_ZONE,
    EXPIRING,
    FAILURES,
    KEPT,
    LEAST_DAYS,
    LEAST_OBSERVED,
    LOGS,
    NAT,
    NO_REQUESTS,
    REPEATED,
    RESERVATION,
    UNTAGGED_SPEND,
    UNUSED,
    UNUSED_NETWORK,
    ZERO,
    Endpoint,
    Finding,
    HostCost,
    Rule,
)
from advisor.audit.endpoints import EndpointMachines
from advisor.audit.findings import Commands, Context, Interval, positive
from advisor.audit.sql import text
from advisor.names import first_names
from advisor.records import dataclass
from advisor.samples.need.fleet import FEWEST, enough_accelerators
from advisor.samples.need.limits import Code
from advisor.units import HOURS_PER_DAY, counted, ratio_words


@dataclass(frozen=True, slots=True)
class MeasuredFleet:
    """Machines of one kind, of which some have telemetry."""

    provider: str
    region: str
    instance_type: str
    hosts: Sequence[HostCost]
    """Those with telemetry, the dearest first."""
    kind: EndpointMachines | None
    """Machines of the bill that they are; None: it does not say their type or their region."""

    @property
    def instances(self) -> int:
        """Machines in the bill, on average over its period."""
        return self.kind.instances if self.kind else len(self.hosts)

    @property
    def idle(self) -> list[HostCost]:
        """Hosts whose accelerators are all idle."""
        return [host for host in self.hosts if is_idle(host)]

    @property
    def working(self) -> list[HostCost]:
        """The other hosts with telemetry."""
        return [host for host in self.hosts if not is_idle(host)]

    @property
    def loaded(self) -> int:
        """Whole machines that carry what the working ones do in the busiest twentieth of the time."""
        working, count = self.working, accelerators_of(self.working)
        return math.ceil(needed_accelerators(working) * len(working) / count) if working else 0

    @property
    def enough(self) -> int:
        """Machines that carry the load. Of those without telemetry nothing is known: they stay."""
        unseen = len(self.kind.billed_seconds) - len(self.hosts) if self.kind else 0
        return self.loaded + unseen

    @property
    def needed(self) -> int:
        """Machines that stay: several where several run, so that any one may fail."""
        return max(self.enough, min(self.instances, FEWEST)) if self.enough else 0

    @property
    def gone(self) -> list[HostCost]:
        """Idle hosts that may go."""
        return self.idle[: max(0, self.instances - self.needed)]

    @property
    def kept(self) -> list[HostCost]:
        """Hosts that do not go for being idle; among them those that stay so that one may fail."""
        gone = {host.resource for host in self.gone}
        return [host for host in self.hosts if host.resource not in gone]

    @property
    def spare(self) -> int:
        """Machines of those kept that may go, for the others carry the load."""
        return max(0, min(self.instances - self.needed - len(self.gone), len(self.kept)))

    @property
    def too_little_known(self) -> str:
        """Reason why what was observed does not decide how many machines there should be; "": it does."""
        if self.kind is None:
            return "the bill does not say the type and the region of the machines"
        billed_seconds = self.kind.billed_seconds
        observed = sum(host.observed_billed_ratio * billed_seconds[host.resource] for host in self.hosts)
        observed_ratio = observed / (sum(billed_seconds.values()) or 1.0)
        if observed_ratio < LEAST_OBSERVED:
            return f"{ratio_words(observed_ratio)} of their billed time was observed, {LEAST_OBSERVED:.0%} is needed"
        if self.kind.spanned_hours < LEAST_DAYS * HOURS_PER_DAY:
            return f"the bill has {self.kind.spanned_hours:,.0f} hours of them, {LEAST_DAYS} days are needed"
        return ""


def is_idle(host: HostCost) -> bool:
    """Whether all accelerators of a host are idle."""
    return bool(host.use.verdicts) and set(host.use.verdicts) == {Code.IDLE.value}


def accelerators_of(hosts: Sequence[HostCost]) -> int:
    """Accelerators of some hosts."""
    return sum(host.use.accelerators for host in hosts)


def needed_accelerators(hosts: Sequence[HostCost], machines: int = 1) -> int:
    """Accelerators that carry the use of some hosts in the busiest twentieth of the time, in so many machines."""
    return enough_accelerators((host.use.p95 * host.use.accelerators for host in hosts), machines)


def fleets_of(kinds: Sequence[EndpointMachines], hosts: Sequence[HostCost]) -> Iterator[MeasuredFleet]:
    """Hosts with telemetry by the machines of the bill that they are (the dearest last), the dearest kind first."""
    left = {host.resource: host for host in sorted(hosts, key=lambda host: -host.cost)}
    for kind in reversed(kinds):
        seen = [left.pop(resource) for resource in list(left) if resource in kind.billed_seconds]
        if seen:
            yield MeasuredFleet(kind.provider, kind.region, kind.instance_type, seen, kind)
    for place, others in groupby(sorted(left.values(), key=_place), _place):
        yield MeasuredFleet(*place, list(others), None)


def _place(host: HostCost) -> tuple[str, str, str]:
    return host.provider, host.region, host.instance_type


_NOTABLE_ERRORS = 0.01
"""Share of failed requests from which they are said."""
_NOTABLE_REPEATS = 0.05
_COMMITTED = "coalesce(commitment, resource)"
_METER = "concat_ws(' ', meter, description, resource_type)"
_BETWEEN_PLACES = (
    "regional-bytes|regional data transfer|inter[ -]?(zone|availability zone|region)|-aws-(in|out)-bytes|"
    "data transfer (to|from) [a-z]|cross[- ](zone|region|az)"
)
EXPIRES_WITHIN = timedelta(days=60)
_NET_OF_CREDITS = "('usage', 'credit', 'adjustment')"


def request_findings(context: Context) -> Iterator[Finding]:
    """Findings of the request logs; none without them."""
    if context.traffic is None:
        return
    yield from _without_requests(context)
    yield from _failures(context)
    yield from _repeated(context)


def _without_requests(context: Context) -> Iterator[Finding]:
    log, silent = context.traffic.seconds if context.traffic else None, []
    for endpoint in context.endpoints:
        # The log has to be of all of the time in which an endpoint was billed; one without times is taken to be.
        billed = endpoint.billed_seconds
        is_covered = log is None or (billed is not None and log[0] <= billed[0] and billed[1] <= log[1])
        if endpoint.usage is None and endpoint.avoidable_cost > 0 and is_covered:
            silent.append(endpoint)
    if not silent or not any(endpoint.usage and endpoint.cost_source == "bill" for endpoint in context.endpoints):
        return  # names of log and bill have nothing in common: that nothing was asked is not known
    cost = sum((endpoint.avoidable_cost for endpoint in silent), ZERO)
    names = first_names([endpoint.name for endpoint in silent])
    evidence = f"{counted(len(silent), 'endpoint')} in the bill and in no request log: {names}"
    if any(endpoint.avoidable_cost != endpoint.cost for endpoint in silent):
        evidence += "; without what commitments and tokens cost, which does not end with an endpoint"
    resources = [(endpoint.name, endpoint.avoidable_cost) for endpoint in silent]
    yield context.finding(NO_REQUESTS, Interval.between(ZERO, cost), evidence, resources)


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
    share = f"{errors:,} of {requests:,} requests failed ({ratio_words(errors / requests)})"
    evidence = f"{share}, of {counted(len(failing), 'endpoint')}; cost by their tokens"
    resources = [(endpoint.name, _failed(endpoint)) for endpoint in failing]
    yield context.finding(FAILURES, Interval.between(ZERO, cost), evidence, resources)


def _repeated(context: Context) -> Iterator[Finding]:
    repeated = [
        (endpoint, spare)
        for endpoint in context.endpoints
        if endpoint.usage and endpoint.cost and (spare := _uncached(endpoint)) >= _NOTABLE_REPEATS
    ]
    if not repeated:
        return
    cost = sum(((endpoint.cost or ZERO) * Decimal(spare) for endpoint, spare in repeated), ZERO)
    most = max(spare for _, spare in repeated)
    asked = f"up to {most:.0%} of the prompts of {counted(len(repeated), 'endpoint')} asked before"
    evidence = f"{asked}, and no cache answered"
    resources = [(endpoint.name, endpoint.cost or ZERO) for endpoint, _ in repeated]
    yield context.finding(REPEATED, Interval.between(ZERO, cost), evidence, resources)


def _uncached(endpoint: Endpoint) -> float:
    """Share of the requests that repeat a prompt, beyond those that a cache answered."""
    usage = endpoint.usage
    if usage is None or usage.repeated_ratio is None or not usage.requests:
        return 0.0
    return usage.repeated_ratio - (usage.cache_hits or 0) / usage.requests


def _like(pattern: str) -> str:
    """Use of some meters, less what credits and refunds of the same meters gave back."""
    return f"charge IN {_NET_OF_CREDITS} AND regexp_matches({_METER}, '{pattern}', 'i')"


@dataclass(frozen=True, slots=True)
class Meters:
    """Charges that a finding is about."""

    rule: Rule
    where: str
    evidence: str
    """With the cost as ``{cost}`` and the counted resources as ``{count}``."""
    noun: str
    """Unit of what is counted."""


METERS = (
    Meters(UNUSED, "unused = 'commitment'", "{cost} of {count} covered nothing", "commitment"),
    Meters(
        RESERVATION, "unused = 'capacity_reservation'",
        "reserved capacity of {cost} stood empty, in {count}", "reservation",
    ),
    Meters(
        CROSS_ZONE, f"kind = 'network' AND {_like(_BETWEEN_PLACES)}",
        "{cost} for traffic of {count} between zones and regions; the bill does not say how much could stay in a zone",
        "resource",
    ),
    Meters(
        NAT,
        f"kind = 'network' AND {_like('natgateway-bytes|nat gateway.*(data|gb)|gb.*nat gateway|cloud nat.*data')}",
        "{cost} for data through {count}; weights from object storage and images need none", "NAT gateway",
    ),
    Meters(
        LOGS,
        _like("vendedlog|dataprocessing-bytes|log.* ingest|logs? (storage|volume)|analytics logs|data ingestion"),
        "{cost} for logs from {count}; requests logged in full are the usual cause", "source",
    ),
    Meters(
        KEPT,
        f"kind = 'storage' AND charge IN {_NET_OF_CREDITS} AND (regexp_matches({_METER}, 'snapshot', 'i') OR "
        "regexp_matches(concat(resource, resource_name), 'checkpoint|ckpt|snapshot', 'i'))",
        "{cost} for {count} of snapshots and checkpoints; the bill does not say how old they are", "store",
    ),
)  # fmt: skip
_SAVED_WHOLE = (UNUSED, RESERVATION)
"""Findings all of whose cost is saved by acting; of others the bill does not say how much is."""


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
    name = _COMMITTED if meters.rule is UNUSED else "resource"
    resources = context.resources(meters.where, name)
    saved = context.ledger.cost_within(meters.where)
    amount = Interval.exactly(saved) if meters.rule in _SAVED_WHOLE else Interval.between(ZERO, saved)
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
    listed, cost, count, first = context.ledger.database.row(
        f"SELECT sum(list_cost), sum(cost), count(DISTINCT commitment), min({ends}) FROM charges WHERE {where}"
    )
    if not count or listed is None or listed <= cost:
        return
    more = f"what they cover costs {context.money(listed - cost)} more at list prices"
    evidence = f"{counted(count, 'commitment')}, the first until {first:%Y-%m-%d}; {more}"
    resources = context.resources(where, _COMMITTED)
    commands = Commands.of_places(EXPIRING, context.places(where, _COMMITTED))
    yield context.finding(EXPIRING, Interval.between(ZERO, listed - cost), evidence, resources, commands)


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
    commands = Commands.of_places(UNUSED_NETWORK, context.places(idle))
    amount = Interval.exactly(context.ledger.cost_within(idle))
    yield context.finding(UNUSED_NETWORK, amount, evidence, resources, commands)


def _untagged(context: Context) -> Iterator[Finding]:
    """Charges without any of the tags that name an owner; files without a column of tags do not say which these are."""
    tells = "".join(f" AND format <> {text(name)}" for name in sorted(context.ledger.tagless))
    where = f"(tags_id IS NULL OR tags_id NOT IN (SELECT tags_id FROM tags)) AND charge <> 'tax'{tells}"
    cost = positive(context.ledger.cost_of(where))
    total = context.ledger.bill.cost
    if cost <= 0 or total <= 0:
        return
    taxes = positive(context.ledger.cost_of("charge = 'tax'"))
    beside = f", beside taxes ({ratio_words(float(taxes / total))})" if taxes else ""
    untagged = ratio_words(float(cost / total))
    evidence = f"{untagged} of the bill carries no tag{beside}: it cannot be shown back to an owner"
    tagged = "SELECT resource FROM charges WHERE tags_id IN (SELECT tags_id FROM tags) AND resource IS NOT NULL"
    commands = Commands.of_places(UNTAGGED_SPEND, context.places(f"{where} AND resource NOT IN ({tagged})"))
    amount = Interval.exactly(positive(context.ledger.cost_within(where)))
    yield context.finding(UNTAGGED_SPEND, amount, evidence, context.resources(where), commands)
