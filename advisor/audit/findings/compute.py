"""Findings on accelerated hosts: measured use, and ways of paying."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from statistics import fmean
from typing import NamedTuple

from advisor.audit import (
    BANDWIDTH,
    COMMIT,
    IDLE,
    LEAST_DAYS,
    MEMORY,
    NOT_SATURATED,
    OVERSIZED,
    SPOT,
    UNKNOWN,
    UNWATCHED,
    ZERO,
    Finding,
    HostCost,
)
from advisor.audit.findings import Commands, Context, Interval, Place, positive
from advisor.audit.findings.charges import MeasuredFleet, accelerators_of, fleets_of, is_idle, needed_accelerators
from advisor.audit.formats import MACHINE_SPEC
from advisor.audit.ledger import named
from advisor.audit.sql import text
from advisor.catalog.values import Offer
from advisor.names import first_names
from advisor.samples.need.limits import SM_INEFFECTIVE, Code
from advisor.units import SECONDS_PER_HOUR, counted, ratio_words

_Place = tuple[str, str, str]
"""Provider, region and type of machine."""
_Costs = Sequence[tuple[_Place, Decimal]]
"""Cost of the charges at each place."""
_INTERRUPTIBLE = "(^|[^a-z])(dev|test|qa|stag|sandbox|batch|train|experiment|offline|preprod)"
"""Values of tags, and words in names, of work that can be started again."""
_STEADY = 0.9
"""Share of the bill's hours in which a machine ran from which it is steady."""
_MOST_SHOWN = 10
"""Types of machines that a command shows, the dearest of a finding."""
_ON_DEMAND = "is_accelerated AND purchase = 'on_demand' AND charge = 'usage'"
_SPARE_KV = 0.5
"""So much of the KV cache has to stay unused, as in ``advisor samples need``."""


def compute_findings(context: Context) -> Iterator[Finding]:
    """Idle and oversized hosts, unused memory, poor saturation, spot and commitments, hosts without telemetry."""
    hosts = context.split.hosts
    working = [host for host in hosts if not is_idle(host)]
    fleets = list(fleets_of(context.machines, hosts))
    yield from _idle(context, fleets)
    yield from _oversized(context, fleets)
    yield from _memory(context, working)
    yield from _saturation(context, working)
    yield from _bandwidth(context, working)
    interruptible = _Interruptible.of(context)
    yield from _spot(context, interruptible)
    yield from _committed(context, _Steady.of(context, interruptible))
    yield from _unwatched(context)


def unpriced_machines(context: Context) -> list[str]:
    """Notes on ways of paying whose saving is unknown for all machines that they are about: no finding tells it."""
    interruptible = _Interruptible.of(context)
    steady = _Steady.of(context, interruptible)
    told = (
        (SPOT, "development, test or batch work on demand", interruptible, "spot"),
        (COMMIT, "steady use on demand", steady, "commitment"),
    )
    return [
        f"{rule.id}: {what}: what it saves is {_unknown_words(context, use.unpriced, price)}"
        for rule, what, use, price in told
        if use.unpriced and not use.priced
    ]


def untold_machines(context: Context) -> list[str]:
    """Note on accelerated machines on demand whose type no row names: no price of another purchase is known."""
    cost = positive(context.ledger.cost_of(f"{_ON_DEMAND} AND machine IS NULL"))
    if not cost:
        return []
    ids, what = f"{SPOT.id}, {COMMIT.id}", f"{context.money(cost)} of accelerators on demand"
    why = f"the bill names no type of their machines (family {UNKNOWN}), so no spot price or commitment is known"
    return [f"{ids}: {what}: {why}; Google Cloud's export names it in system_labels ({MACHINE_SPEC})"]


def _observed(host: HostCost) -> Decimal:
    """Cost of what was observed."""
    return host.cost - host.parts["unattributed"]


def _named(hosts: Sequence[HostCost]) -> list[tuple[str, Decimal]]:
    return [(host.resource, host.cost) for host in sorted(hosts, key=lambda host: -host.cost)]


def _idle(context: Context, fleets: Sequence[MeasuredFleet]) -> Iterator[Finding]:
    """Idle hosts that may go by the rule of ``--into``; others count among those of :func:`_oversized`."""
    hosts = [host for fleet in fleets for host in fleet.gone]
    if not hosts:
        return
    # Fewer of the machines that are committed to are paid all the same.
    rows = context.ledger.database.rows(
        "SELECT resource FROM charges WHERE kind = 'compute' AND charge = 'usage' AND resource IS NOT NULL "
        "GROUP BY resource HAVING bool_and(purchase = 'on_demand')"
    )
    on_demand = {str(resource) for (resource,) in rows}
    saved = [host for host in hosts if host.resource in on_demand]
    amount = Interval(
        sum(map(_observed, saved), ZERO),
        sum((host.parts["idle"] for host in saved), ZERO),
        sum((host.cost for host in hosts), ZERO),
    )
    count = sum(host.use.accelerators for host in hosts)
    use = f"busy {_percent(hosts, 'mean')} on average, {_percent(hosts, 'p95')} at p95"
    longest_seconds = max(host.use.seconds[1] - host.use.seconds[0] for host in hosts)
    time = counted(max(1, round(longest_seconds / SECONDS_PER_HOUR)), "hour")
    evidence = f"{counted(count, 'accelerator')} of {counted(len(hosts), 'host')}: {use}, in {time}"
    if len(saved) < len(hosts):
        evidence += f"; {len(hosts) - len(saved)} on spot or a commitment, which count in the highest amount alone"
    dearest = sorted(hosts, key=lambda host: -host.cost)
    places = [Place(host.provider, host.region, host.resource) for host in dearest]
    reasons = [fleet.too_little_known for fleet in fleets if fleet.gone]
    refused = "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""  # --into leaves every one of them as it is
    commands = Commands.of_places(IDLE, places)._replace(why_no_action=refused)
    yield context.finding(IDLE, amount, evidence, _named(hosts), commands)


def _oversized(context: Context, fleets: Sequence[MeasuredFleet]) -> Iterator[Finding]:
    """Machines of a fleet that the others can carry; where none may go, accelerators that smaller machines lack."""
    most, words, resources, actions = ZERO, list[str](), list[tuple[str, Decimal]](), list[str]()
    for fleet in fleets:
        hosts = fleet.kept
        count, enough = accelerators_of(hosts), needed_accelerators(hosts, len(hosts))
        if enough >= count:
            continue
        may_go = fleet.spare and not fleet.too_little_known
        most += _share(sum(map(_observed, hosts), ZERO), fleet.spare / len(hosts) if may_go else 1 - enough / count)
        why = f"; none of these goes: {fleet.too_little_known}" if fleet.spare else ""
        if not fleet.spare and fleet.enough < fleet.needed:
            why = f"; {fleet.needed} stay so that one may fail"
        words.append(
            f"{fleet.instance_type} in {fleet.region}: {count} accelerators busy {_percent(hosts, 'mean')} on "
            f"average and {_percent(hosts, 'p95')} at p95, {enough} would do"
            + (
                f", so {fleet.spare} of {counted(len(hosts), 'host')} may go"
                if may_go
                else f" on smaller machines{why}"
            )
        )
        resources += _named(hosts)
        actions.append("into" if may_go else "recommend")
    if words:
        act = "; ".join(context.command(OVERSIZED, action) for action in sorted(set(actions)))
        amount = Interval.between(ZERO, most)
        yield context.finding(OVERSIZED, amount, "; ".join(words), resources, Commands(act=act))


def _memory(context: Context, hosts: Sequence[HostCost]) -> Iterator[Finding]:
    host_costs = [host for host in hosts if host.use.kv_max is not None and host.use.kv_max < _SPARE_KV]
    if not host_costs:
        return
    high = sum((_share(_observed(host), 1 - (host.use.kv_max or 0.0)) for host in host_costs), ZERO)
    most = max(host.use.kv_max or 0.0 for host in host_costs)
    used = f"at most {most:.0%} of the KV cache ever in use on {counted(len(host_costs), 'host')}"
    evidence = f"{used}: less memory would do"
    yield context.finding(MEMORY, Interval.between(ZERO, high), evidence, _named(host_costs))


def _saturation(context: Context, hosts: Sequence[HostCost]) -> Iterator[Finding]:
    host_costs = [host for host in hosts if Code.BUSY_NOT_SATURATED.value in host.use.verdicts]
    if not host_costs:
        return
    high = _share(sum(map(_observed, host_costs), ZERO), 1 - SM_INEFFECTIVE.value)
    evidence = f"{counted(len(host_costs), 'host')} always busy, half of the multiprocessors idle: larger batches fit"
    yield context.finding(NOT_SATURATED, Interval.between(ZERO, high), evidence, _named(host_costs))


def _bandwidth(context: Context, hosts: Sequence[HostCost]) -> Iterator[Finding]:
    """Hosts limited by memory bandwidth where another machine in their region sells it cheaper."""
    host_costs, high, words = [], ZERO, []
    for host in hosts:
        cheaper = _cheaper_bandwidth(context, host) if Code.BANDWIDTH_BOUND.value in host.use.verdicts else None
        if cheaper is not None:
            host_costs.append(host)
            high += _share(_observed(host), cheaper[1])
            sold = f"{cheaper[0]} sells memory bandwidth {cheaper[1]:.0%} cheaper"
            words.append(f"{host.instance_type} in {host.region}: {sold}")
    if host_costs:
        evidence = "; ".join(dict.fromkeys(words))
        yield context.finding(BANDWIDTH, Interval.between(ZERO, high), evidence, _named(host_costs))


def _cheaper_bandwidth(context: Context, host: HostCost) -> tuple[str, float] | None:
    """Machine of the region whose memory bandwidth costs least on demand, and by how much less.

    Its accelerators have no less memory each, and no less for each GB/s: what fits today fits there.
    """
    offers = {
        offer.instance_type: cost
        for offer in context.catalog.offers_in([host.provider], [host.region])
        if _holds_as_much(context, offer, host) and (cost := _bandwidth_cost(context, offer)) is not None
    }
    if host.instance_type not in offers:
        return None
    best = min(offers, key=lambda name: (offers[name], name))
    saved = 1 - offers[best] / offers[host.instance_type]
    return (best, saved) if saved > 0 else None


def _holds_as_much(context: Context, offer: Offer, host: HostCost) -> bool:
    """Whether the accelerators of an offer have as much memory as those of a host, each and for each GB/s."""
    names = (offer.instance_type, host.instance_type)
    machines = [context.catalog.instance_types.get((host.provider, name)) for name in names]
    if any(machine is None or not machine.accelerator_count for machine in machines):
        return False
    other, own = (context.catalog.accelerator(machine.accelerator) for machine in machines if machine)
    memory, bandwidth = other.memory_gib, other.memory_bandwidth_gb_per_second
    return memory >= own.memory_gib and memory * own.memory_bandwidth_gb_per_second >= own.memory_gib * bandwidth


def _bandwidth_cost(context: Context, offer: Offer) -> float | None:
    """USD an hour of a GB/s of memory bandwidth."""
    machine = context.catalog.instance_types.get((offer.provider, offer.instance_type))
    if offer.on_demand is None or machine is None or not machine.accelerator_count:
        return None
    bandwidth = context.catalog.accelerator(machine.accelerator).memory_bandwidth_gb_per_second
    return offer.on_demand.usd_per_hour / (bandwidth * machine.accelerator_count) if bandwidth else None


class _Interruptible(NamedTuple):
    """Charges of work on demand that can be started again, and what spot saves of them."""

    where: str
    """SQL of the charges."""
    amount: Interval
    priced: Sequence[_Place]
    unpriced: _Costs
    """Those without a spot price in the catalog."""

    @classmethod
    def of(cls, context: Context) -> "_Interruptible":
        """Charges of a bill, by their tags and names."""
        named_so = (
            "tags_id IN (SELECT tags_id FROM tags "
            "WHERE lower(key) IN ('environment', 'env', 'stage', 'workload', 'purpose') "
            f"AND regexp_matches(value, '{_INTERRUPTIBLE}', 'i')) "
            f"OR regexp_matches(coalesce(resource_name, ''), '{_INTERRUPTIBLE}', 'i')"
        )
        where = f"is_accelerated AND purchase = 'on_demand' AND charge = 'usage' AND ({named_so})"
        amount, priced, unpriced = Interval(ZERO, ZERO, ZERO), list[_Place](), list[tuple[_Place, Decimal]]()
        for place, cost in _places(context, where):
            shares = _spot_shares(context, *place)
            if shares is None:
                unpriced.append((place, cost))
            else:
                priced.append(place)
                amount = Interval(*(total + _share(cost, share) for total, share in zip(amount, shares, strict=True)))
        return cls(where, amount, priced, unpriced)

    @property
    def where_priced(self) -> str:
        """SQL of the charges whose spot price is known; there are some."""
        return f"{self.where} AND {_at(self.priced)}"


def _spot(context: Context, interruptible: _Interruptible) -> Iterator[Finding]:
    priced = interruptible.priced
    if priced:
        left_out = _left_out(context, interruptible.unpriced, "spot")
        evidence = f"development, test or batch work on demand: {_place_words(priced)}; spot prices as in the catalog"
        resources = context.resources(interruptible.where_priced)
        yield context.finding(SPOT, interruptible.amount, evidence + left_out, resources, Commands(_show(priced)))


def _at(places: Sequence[_Place]) -> str:
    """SQL of charges at some places."""
    listed = ", ".join(f"({', '.join(map(text, place))})" for place in places)
    return f"(provider, region, machine) IN ({listed})"


def _left_out(context: Context, unpriced: _Costs, price: str) -> str:
    """Types of machines that an amount does not hold, for want of a price, with their cost; "" without any."""
    return f"; what it saves is {_unknown_words(context, unpriced, price)}" if unpriced else ""


def _unknown_words(context: Context, unpriced: _Costs, price: str) -> str:
    """``unknown for p4d.24xlarge in us-east-1 ($48,634.74, 71% of the bill): the catalog has no spot price of it``."""
    cost, total = sum((cost for _, cost in unpriced), ZERO), context.ledger.bill.cost
    share = f", {ratio_words(float(cost / total))} of the bill" if 0 < cost <= total else ""
    places = _place_words([place for place, _ in unpriced])
    theirs = "it" if len(unpriced) == 1 else "them"
    return f"unknown for {places} ({context.money(cost)}{share}): the catalog has no {price} price of {theirs}"


def _places(context: Context, where: str) -> list[tuple[_Place, Decimal]]:
    """Provider, region and machine of some charges, with their cost."""
    rows = context.ledger.database.rows(
        "SELECT provider, region, machine, sum(cost) FROM charges "
        f"WHERE {where} AND machine IS NOT NULL AND region IS NOT NULL "
        "GROUP BY ALL HAVING sum(cost) > 0 ORDER BY 4 DESC"
    )
    return [((provider, region, machine), Decimal(cost)) for provider, region, machine, cost in rows]


def _spot_shares(context: Context, provider: str, region: str, machine: str) -> tuple[float, float, float] | None:
    """Share of the on-demand price that spot saves: median, dearest zone, cheapest zone; None: unknown."""
    offer = context.catalog.offer(provider, region, machine)
    if offer is None or offer.on_demand is None or offer.spot is None:
        return None
    usual, on_demand = offer.spot.usd_per_hour, offer.on_demand.usd_per_hour
    cheapest, dearest = offer.spot.zones_usd_per_hour or (usual, usual)
    value, low, high = (max(0.0, 1 - price / on_demand) for price in (usual, dearest, cheapest))
    return value, low, high


class _Steady(NamedTuple):
    """Charges of steady machines on demand, and what commitments save of them."""

    where: str
    """SQL of the charges."""
    low: Decimal
    """By the least discount that can be bought."""
    high: Decimal
    """By the greatest."""
    priced: Sequence[_Place]
    unpriced: _Costs
    """Those without a commitment price in the catalog."""
    unsaving: Sequence[_Place]
    """Those of which no commitment that can be bought costs less than on demand."""

    @classmethod
    def of(cls, context: Context, interruptible: _Interruptible) -> "_Steady":
        """Neither idle machines nor those that may move to spot are a reason to commit; nor is a short bill."""
        low, high, bill = ZERO, ZERO, context.ledger.bill
        priced, unpriced, unsaving = list[_Place](), list[tuple[_Place, Decimal]](), list[_Place]()
        where = _steady_charges(context, interruptible)
        for place, cost in _places(context, where) if bill.hours >= LEAST_DAYS * 24 else ():
            discounts = _discounts(context, *place)
            if discounts is None:
                unpriced.append((place, cost))
            elif not discounts:
                unsaving.append(place)
            else:
                priced.append(place)
                low, high = low + _share(cost, min(discounts)), high + _share(cost, max(discounts))
        return cls(where, low, high, priced, unpriced, unsaving)


def _steady_charges(context: Context, interruptible: _Interruptible) -> str:
    """SQL of charges of machines that ran in nine tenths of the bill's hours, without idle ones and those for spot."""
    idle = sorted(host.resource for host in context.split.hosts if is_idle(host))
    without_idle = f" AND NOT {named(idle)}" if idle else ""
    steady = (
        "SELECT resource FROM charges WHERE is_accelerated AND purchase = 'on_demand' AND charge = 'usage' "
        f"AND resource IS NOT NULL{without_idle} GROUP BY resource "
        f"HAVING max(seconds) >= {_STEADY * context.ledger.bill.hours * 3600}"
    )
    to_spot = f" AND NOT coalesce({interruptible.where_priced}, false)" if interruptible.priced else ""
    return f"{_ON_DEMAND} AND resource IN ({steady}){to_spot}"


def _committed(context: Context, steady: _Steady) -> Iterator[Finding]:
    """Steady machines on demand, of which a commitment saves."""
    priced = steady.priced
    if not priced:
        return
    evidence = f"on demand in {_STEADY:.0%} of the hours or more: {_place_words(priced)}; one to three years"
    if steady.unsaving:
        evidence += f"; without {_place_words(steady.unsaving)}: no commitment saves there"
    evidence += _left_out(context, steady.unpriced, "commitment")
    untold = positive(context.ledger.cost_of(f"{steady.where} AND machine IS NULL"))
    evidence += f"; without {context.money(untold)} of machines whose type the bill does not name" if untold else ""
    machines = tuple(dict.fromkeys(machine for _, _, machine in priced))
    resources, commands = context.resources(f"{steady.where} AND {_at(priced)}"), Commands(_show(priced))
    yield context.finding(
        COMMIT, Interval(steady.low, steady.low, steady.high), evidence, resources, commands, machines
    )


def _discounts(context: Context, provider: str, region: str, machine: str) -> list[float] | None:
    """Savings of the commitments that can be bought, [] where none saves; None: no price of any is known."""
    offer = context.catalog.offer(provider, region, machine)
    commitments = () if offer is None else context.catalog.current_commitments(offer)
    if offer is None or offer.on_demand is None or not commitments:
        return None
    savings = [1 - each.usd_per_hour / offer.on_demand.usd_per_hour for each in commitments]
    return [saving for saving in savings if saving > 0]


def _unwatched(context: Context) -> Iterator[Finding]:
    """Accelerated compute without telemetry; only where there is telemetry of anything, or none was given."""
    watched = [host.resource for host in context.split.hosts]
    other = f" AND (resource IS NULL OR NOT {named(watched)})" if watched else ""
    used = f"is_accelerated AND unused IS NULL AND charge = 'usage'{other}"
    named_by_credits = f"charge IN ('credit', 'adjustment') AND resource IN (SELECT resource FROM charges WHERE {used})"
    where = f"({used} OR {named_by_credits})"
    cost = positive(context.ledger.cost_of(where))
    if cost <= 0:
        return
    resources = context.resources(where)
    what = f"{counted(len(resources), 'accelerated resource')} at {context.money(cost)}"
    evidence = f"{what}: how busy they are is not known"
    yield context.finding(UNWATCHED, Interval.exactly(cost), evidence, resources)


def _show(places: Sequence[_Place]) -> str:
    return "; ".join(
        f"advisor catalog show {machine} --provider {provider} --region {region}"
        for provider, region, machine in places[:_MOST_SHOWN]
    )


def _place_words(places: Sequence[_Place]) -> str:
    return first_names([f"{machine} in {region}" for _, region, machine in places])


def _share(cost: Decimal, share: float) -> Decimal:
    return cost * Decimal(share)


def _percent(hosts: Sequence[HostCost], statistic: str) -> str:
    return f"{fmean(getattr(host.use, statistic) for host in hosts):.0%}"
