"""Costs of code on targets whose prices, or hours after an instance's last one, are not those of a plan's machines."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from advisor.catalog import load_catalog
from advisor.codegen.model import ComputeGroup, Row, Scaling, Stack
from advisor.codegen.selection import Choice, group_keys
from advisor.codegen.summary import Machine, items_of, part_rows, rows_of, standing_rows
from advisor.codegen.targets import target_of
from advisor.codegen.targets.target import Paid
from advisor.cost.services import Deployed, EntranceLoad, region_charges
from advisor.cost.standing import (
    BALANCER,
    BALANCER_ITEMS,
    CACHE_ITEMS,
    CLUSTER,
    GATEWAY,
    Further,
    Machines,
    StandingCharge,
)
from advisor.deployable import logs_requests
from advisor.plan.fleet.costs import FleetCost
from advisor.plan.values import Plan
from advisor.plan.words import unit_of
from advisor.records import replace
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, MINUTES_PER_HOUR, usd, whole_minutes

_Standing = tuple[StandingCharge, ...]
_UNKNOWN = "unknown"


def at_service_prices(stack: Stack, plan: Plan, choice: Choice, *, is_whole: bool) -> Stack:
    """The stack with costs and budget at the prices of its target, where they are not those of the plan.

    ``compute = Σ mean instances × containers of each × price``; and beside it what the code orders or needs in each
    region without hosts, and downloads, transfer and new types as the plan counts them. Unknown where a price is.
    *choice*: instances of the plan that code is generated for, of other stacks too. *is_whole*: whether the stack holds
    all of them, as that of a target does which was asked for.
    """
    paid_of = target_of(stack).paid
    paid = {} if paid_of is None else {group.key: paid_of(group) for group in stack.groups}
    counted = choice.option.cost if choice.option is not None else plan.fleet.cost if plan.fleet is not None else None
    if counted is None or all(each.is_planned for each in paid.values()):
        return stack if counted is None else _on_target(stack, plan, choice, counted, is_whole=is_whole)
    groups = at_paid_prices(stack, stack.groups)
    if groups is None:
        unpriced = (f"{paid[group.key].what} in {group.region}" for group in stack.groups if _lacks(paid[group.key]))
        return _without_total(stack, " and ".join(dict.fromkeys(unpriced)))
    cost, standing = _at_services(replace(stack, groups=groups), plan, choice, counted)
    total = cost.total_usd_per_month
    prices = [_price_row(group, paid[group.key]) for group in groups]
    rows = (*part_rows(cost, unit_of(plan.demand), ()), *standing_rows(standing))
    planned = stack.budget.usd_per_month or 0.0
    change = f"{usd(abs(total - planned))} {'more' if total >= planned else 'less'}"
    told = f"This code costs {usd(total)} a month at the prices of {_services(paid)}, {change} than the plan counts."
    budget = replace(
        stack.budget,
        usd_per_month=total,
        of="what this code runs, at the prices of its services,",
        holds_entrances=True,
        difference=told,
    )
    summary = replace(stack.summary, cost=(*prices, *rows, _planned_row(stack)))
    return replace(stack, groups=groups, budget=budget, summary=summary).with_cautions(told)


def _on_target(stack: Stack, plan: Plan, choice: Choice, planned: FleetCost, *, is_whole: bool) -> Stack:
    """The stack whose target bills other hours of instances than the plan counts, or stands behind a Gateway."""
    groups, counted = _by_hours(stack, choice)
    standing = _of_cluster(replace(stack, groups=groups), plan, choice) if is_whole else None
    own, hosts = standing, plan.fleet.standing if plan.fleet is not None else ()
    # Sums in cents, as the plan's is: their difference leads from one to the other.
    now, then = (round(math.fsum(group.usd_per_month for group in some), 2) for some in (groups, counted))
    of_hours, of_standing = round(now - then, 2), 0.0 if own is None else round(_sum(own) - _sum(hosts), 2)
    more = round(of_hours + of_standing, 2)
    # The budget has it already.
    raised = _raised(stack, choice) if is_whole else 0.0
    if own is None and not of_hours and not raised:
        return stack
    told = _told(stack, more, own, by_hours=bool(of_hours))
    rows, counted_items = stack.summary.cost, stack.summary.counted
    more_of: dict[Machine, float] = {}
    for group, before in zip(groups, counted, strict=True):
        more_of[_machine(group)] = more_of.get(_machine(group), 0.0) + group.usd_per_month - before.usd_per_month
    if is_whole:
        cost = replace(
            planned,
            compute_usd_per_month=round(planned.compute_usd_per_month + of_hours + raised, 2),
            standing_usd_per_month=round(planned.standing_usd_per_month + of_standing, 2),
        )
        cost = at_total(cost, round(planned.total_usd_per_month + more + raised, 2))
        charged = hosts if own is None else own
        rows, counted_items = tuple(rows_of(plan, choice, cost, more_of, charged)), items_of(charged)
    of = "what this code runs, by the hours of its target," if own is None else "what this code runs and orders,"
    budget = replace(stack.budget.with_more(more, of=of), difference=told)
    summary = replace(stack.summary, cost=rows, counted=counted_items)
    return replace(stack, groups=groups, budget=budget, summary=summary).with_cautions(told)


def _raised(stack: Stack, choice: Choice) -> float:
    """USD a month of sizes above those of the plan: that autoscalers of clusters raise, or that run at all hours."""
    planned = dict(zip(group_keys(choice.members), choice.members, strict=True))
    return round(math.fsum(group.usd_per_month - planned[group.key].usd_per_month for group in stack.groups), 2)


def _by_hours(stack: Stack, choice: Choice) -> tuple[tuple[ComputeGroup, ...], Sequence[ComputeGroup]]:
    """Groups as the stack's target bills their hours, and as the plan counts them."""
    fact = load_catalog().scale_ins.get(stack.target)
    is_by_clock = stack.scaling is Scaling.SCHEDULED and not any(group.is_serverless for group in stack.groups)
    if fact is None or not is_by_clock:
        return stack.groups, stack.groups
    stop, keys = whole_minutes(fact.value), group_keys(choice.members)
    # None of what the plan never stops, or counts no time of.
    planned_stop = {key: member.minutes_after or stop for key, member in zip(keys, choice.members, strict=True)}
    groups = tuple(_by_schedule(group, stop) for group in stack.groups)
    return groups, [_by_schedule(group, planned_stop.get(group.key, stop)) for group in groups]


def _of_cluster(stack: Stack, plan: Plan, choice: Choice) -> tuple[StandingCharge, ...] | None:
    """Standing charges of nodes where the plan counts those of hosts; None where it does not, or code starts hosts."""
    planned = plan.fleet.standing if choice.option is None and plan.fleet is not None else ()
    if not target_of(stack).is_cluster or not any(charge.item in BALANCER_ITEMS for charge in planned):
        return None
    machines = Machines.GPU_NODES if any(group.has_gpu for group in stack.groups) else Machines.NODES
    return (*_standing(stack, plan, choice, machines), *(charge for charge in planned if charge.item in CACHE_ITEMS))


def _told(stack: Stack, more: float, own: _Standing | None, *, by_hours: bool) -> str:
    """How much more or less than planned a stack costs, and why."""
    change = f"{usd(abs(more))} a month {'more' if more > 0 else 'less'} than the plan counts"
    reasons = []
    if by_hours:
        stop = whole_minutes(load_catalog().scale_ins[stack.target].value)
        reasons.append(f"an instance is paid for until {stop:g} min after its last hour")
    if own is not None and not any(charge.item == GATEWAY for charge in own):
        reasons.append("no load balancer is ordered, since what stands before the pods is yours, and its price with it")
    elif own is not None:
        has_fee = any(charge.item == CLUSTER for charge in own)
        counted = " and the cluster's control plane are" if has_fee else " is"
        reasons.append(f"no load balancer is ordered, and a Gateway of yours{counted} counted in its place")
    return f"This code costs {change}: here {', and '.join(reasons)}."


def _sum(charges: Iterable[StandingCharge]) -> float:
    return math.fsum(charge.usd_per_month or 0.0 for charge in charges)


def _machine(group: ComputeGroup) -> Machine:
    return group.region, group.instance_type, group.is_spot


def _by_schedule(group: ComputeGroup, stop_minutes: float) -> ComputeGroup:
    """A group by its schedule, paid for until so long after its last hour; what is bought ahead costs the same."""
    if group.committed_instances:
        return group
    mean = group.hours_per_week(stop_minutes / MINUTES_PER_HOUR).billed / HOURS_PER_WEEK
    return replace(group, usd_per_month=mean * group.usd_per_hour * HOURS_PER_MONTH)


def at_total(cost: FleetCost, total: float) -> FleetCost:
    """A cost with another total, and amounts of a request and a token by it."""
    ratio = total / cost.total_usd_per_month
    return replace(
        cost,
        total_usd_per_month=total,
        usd_per_million_output_tokens=ratio * cost.usd_per_million_output_tokens,
        usd_per_1000_requests=ratio * cost.usd_per_1000_requests,
    )


def at_paid_prices(stack: Stack, groups: Iterable[ComputeGroup]) -> tuple[ComputeGroup, ...] | None:
    """Groups at the prices of the stack's target, whatever they were recorded at; None: the catalog has none of one.

    *groups*: of it, and those that run beside it in a cut-over.
    """
    paid_of = target_of(stack).paid
    if paid_of is None:
        return tuple(groups)
    paid = [(group, paid_of(group)) for group in groups]
    if any(_lacks(each) for _, each in paid):
        return None
    return tuple(group if each.is_planned else _at_price(stack, group, each) for group, each in paid)


def _lacks(paid: Paid) -> bool:
    """Whether nobody knows what a group costs: neither the plan nor the catalog."""
    return paid.price is None and not paid.is_planned


def _services(paid: Mapping[str, Paid]) -> str:
    return " and ".join(dict.fromkeys(each.what for each in paid.values()))


def _planned_row(stack: Stack) -> Row:
    """Amount that the plan counts for what the stack deploys."""
    return Row("Total of the plan", f"{usd(stack.budget.usd_per_month or 0.0)} a month")


def _without_total(stack: Stack, unpriced: str) -> Stack:
    """The stack whose cost nobody knows: a budget of what the plan's machines cost would say nothing of it."""
    told = (
        f"The catalog has no price of {unpriced}: what this code costs is not known, and it makes a budget once "
        "budget_usd_per_month says how large."
    )
    rows = (Row("Total", f"{_UNKNOWN}: no price of {unpriced}"), _planned_row(stack))
    budget = replace(stack.budget, usd_per_month=None, holds_entrances=True, difference=told)
    return replace(stack, budget=budget, summary=replace(stack.summary, cost=rows)).with_cautions(told)


def _at_price(stack: Stack, group: ComputeGroup, paid: Paid) -> ComputeGroup:
    """A group at the price of its service, by the hours of the schedule, or else as many instances as the plan pays."""
    if paid.price is None:
        return group
    price = group.containers(stack.target) * paid.price.usd_per_hour
    if stack.scaling is Scaling.SCHEDULED and not group.is_serverless:
        stop = whole_minutes(load_catalog().scale_ins[stack.target].value)
        return _by_schedule(replace(group, usd_per_hour=price), stop)
    mean = group.usd_per_month / (group.usd_per_hour * HOURS_PER_MONTH)
    return replace(group, usd_per_hour=price, usd_per_month=mean * price * HOURS_PER_MONTH)


def _price_row(group: ComputeGroup, paid: Paid) -> Row:
    """Price of a container with its source, date and quality, and what the plan's hours of it cost."""
    if paid.price is None:
        return Row(paid.what, _UNKNOWN)
    source = paid.price.provenance
    month = f"{usd(group.usd_per_month)} a month by the hours of the plan"
    listed = f"{source.source}, {source.as_of or _UNKNOWN} ({source.quality.value})"
    return Row(f"{paid.what}, {group.region}", f"${paid.price.usd_per_hour:,.4f} an hour each, {month}; {listed}")


def _at_services(stack: Stack, plan: Plan, choice: Choice, planned: FleetCost) -> tuple[FleetCost, _Standing]:
    """Cost of a plan whose groups run on services, and its standing charges: no disks, and nothing of hosts."""
    if all(group.is_serverless or group.is_managed for group in stack.groups):
        standing = plan.fleet.standing if choice.option is None and plan.fleet is not None else ()
        standing_usd = planned.standing_usd_per_month
    else:
        standing = tuple(_standing(stack, plan, choice))
        standing_usd = sum(charge.usd_per_month or 0.0 for charge in standing)
    parts = replace(
        planned,
        compute_usd_per_month=round(sum(group.usd_per_month for group in stack.groups), 2),
        interruptions_usd_per_month=0.0,
        disks_usd_per_month=0.0,
        standing_usd_per_month=round(standing_usd, 2),
        obligation_usd=0.0,
        obligation_until=None,
    )
    return at_total(parts, round(sum(parts.parts_usd_per_month.values()), 2)), standing


def _standing(
    stack: Stack, plan: Plan, choice: Choice, machines: Machines | None = None
) -> Iterator[StandingCharge]:  # fmt: skip
    """Charges of each region by its share of the busiest hours' requests, without a load balancer of the code's.

    *machines* are those that serve; None: services alone do. Bytes pass a Gateway as the plan's load balancer.
    """
    planned = plan.fleet.standing if plan.fleet is not None else ()
    passing = {(charge.region, charge.item.replace(BALANCER, GATEWAY)): charge for charge in planned}
    catalog, mean = load_catalog(), float(plan.demand["requests_per_second"]["mean"])
    logs = any(logs_requests(member.serves.engine, catalog) for member in choice.members)
    for region in stack.regions:
        members = [group for group in stack.groups if group.region == region.name]
        entrance = EntranceLoad(region.peak_requests_per_second or 0.0, stack.answer_tokens)
        is_there = bool(plan.workload.get("existing_cluster"))
        deployed = Deployed(entrance, machines=machines or Machines.HOSTS, existing_cluster=is_there)
        charges = region_charges(catalog, stack.provider, region.name, 0.0, deployed)
        hours = sum(group.usd_per_month / group.usd_per_hour for group in members)
        rate = mean * region.weight / 1000
        further = Further(endpoints=len(members) - 1)
        if machines is not None:
            further = Further(len(members) - 1, len({group.backend for group in members}) - 1)
        if charges is not None:
            for charge in charges.charges(rate if logs else 0.0, None if machines is None else rate, hours, further):
                is_by_load = charge.item.startswith(f"{GATEWAY}_")
                counted = passing.get((charge.region, charge.item)) if is_by_load else None
                if counted is not None:
                    yield replace(counted, item=charge.item)
                elif charge.quantity or not is_by_load:
                    yield charge
