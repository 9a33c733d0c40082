"""Which instances of a plan code is generated for, and what to say when they are not the recommended ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from advisor.codegen.model import Serves, Wanted
from advisor.codegen.summary import usd
from advisor.codegen.timetable import HOURS_PER_WEEK
from advisor.errors import AdvisorError, InputError
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.fleet.scaling_values import Policy
from advisor.plan.fleet.values import Paid
from advisor.plan.values import Option, Plan

_SPOT = "spot"
_BOUGHT_AHEAD = ("commitment", "owned")
_PLAN_HINT = "make a plan that allows it, such as providers: [aws, gcp, azure] in the workload file"


@dataclass(frozen=True, slots=True)
class Member:
    """Equal instances of the plan that code starts as one group."""

    serves: Serves
    hours: tuple[int, ...]
    """Instances in each hour of the week, from Monday 00:00 UTC (168)."""
    minutes_ahead: int
    """How long before its hour an instance has to be ordered."""
    request_share: float
    """Of all requests, in the busiest hours."""
    commitments: tuple[str, ...]
    committed_instances: int
    requests_per_second_per_replica: float
    usd_per_hour: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What code is generated for."""

    members: tuple[Member, ...]
    option: Option | None = None
    """The single type that it is; None: the fleet of the plan."""
    warnings: tuple[str, ...] = ()
    """Why it is not the recommended one, for stderr; empty when it is, or when the user named it."""


def choose(plan: Plan, wanted: Wanted, obstacle: Callable[[Choice], str]) -> Choice:
    """The single type that is wanted; without one the fleet, or else the cheapest single type without an obstacle.

    Args:
        plan: what was planned.
        wanted: what the user asks for.
        obstacle: why no code can be generated for a choice; empty when it can.

    Raises:
        InputError: there is no such option, or none that code can be generated for.
    """
    if wanted.rank is not None:
        return _single(_with_rank(plan, wanted.rank))
    first = of_fleet(plan.fleet) if plan.fleet is not None else _recommended(plan)
    reason = obstacle(first)
    if not reason:
        return first
    for option in sorted(plan.options, key=lambda one: (one.cost.total_usd_per_month, one.rank)):
        other = _single(option)
        if not obstacle(other):
            return Choice(other.members, option, (_warning(plan, first, option, reason),))
    raise InputError(f"nothing of the plan can be generated; the recommended: {reason}", hint=_PLAN_HINT)


def reason_against(check: Callable[[Choice], object]) -> Callable[[Choice], str]:
    """What *check* raises for a choice, in words; empty when it raises nothing."""

    def reason(choice: Choice) -> str:
        try:
            check(choice)
        except AdvisorError as error:
            return error.message
        return ""

    return reason


def of_fleet(fleet: Fleet) -> Choice:
    """The groups of a fleet: what is bought ahead runs as on-demand instances beside them."""
    merged: dict[str, list[Member]] = {}
    for group in fleet.groups:
        layout = group.name.rpartition("/")[0]
        kind = Paid(group.purchase).ordered_as.value
        merged.setdefault(f"{layout}/{kind}", []).append(_member(fleet, group))
    return Choice(tuple(_merge(members) for _, members in sorted(merged.items())))


def _single(option: Option) -> Choice:
    member = Member(
        serves=option,
        hours=(option.instances,) * HOURS_PER_WEEK,
        minutes_ahead=0,
        request_share=1.0,
        commitments=(),
        committed_instances=0,
        requests_per_second_per_replica=option.predicted.requests_per_second_per_replica.value,
        usd_per_hour=option.cost.instance_usd_per_hour,
    )
    return Choice((member,), option)


def _recommended(plan: Plan) -> Choice:
    if plan.recommended is None:
        raise InputError("the plan has nothing to generate code for", hint="see its rejected offers for the reasons")
    return _single(plan.recommended)


def _with_rank(plan: Plan, rank: int) -> Option:
    for option in plan.options:
        if option.rank == rank:
            return option
    ranks = f"1 to {max(option.rank for option in plan.options)}" if plan.options else "none at all"
    raise InputError(f"the plan has no option {rank}", hint=f"its options: {ranks}")


def _member(fleet: Fleet, group: FleetGroup) -> Member:
    ahead = 0
    hours = tuple(group.instances[hours] for hours in fleet.schedule)
    scheduled = next((one for one in fleet.scaling.schedule if one.name == group.name), None)
    policy = fleet.scaling.recommended
    if policy is Policy.STATIC or (policy is Policy.SCHEDULED and scheduled is None):
        hours = (max(group.instances),) * HOURS_PER_WEEK
    elif policy is Policy.SCHEDULED and scheduled is not None:
        ahead = scheduled.ordered_minutes_ahead
    bought_ahead = group.purchase in _BOUGHT_AHEAD
    return Member(
        serves=group,
        hours=hours,
        minutes_ahead=ahead,
        request_share=group.request_shares[-1],
        commitments=(group.commitment or group.purchase,) if bought_ahead else (),
        committed_instances=max(group.instances) if bought_ahead else 0,
        requests_per_second_per_replica=group.requests_per_second_per_replica.value,
        usd_per_hour=group.instance_usd_per_hour,
    )


def _merge(members: Sequence[Member]) -> Member:
    """Instances that differ only in how they are paid for; the price is that of those bought last."""
    last = max(members, key=lambda one: one.usd_per_hour)
    return Member(
        serves=last.serves,
        hours=tuple(sum(at) for at in zip(*(one.hours for one in members), strict=True)),
        minutes_ahead=max(one.minutes_ahead for one in members),
        request_share=sum(one.request_share for one in members),
        commitments=tuple(name for one in members for name in one.commitments),
        committed_instances=sum(one.committed_instances for one in members),
        requests_per_second_per_replica=last.requests_per_second_per_replica,
        usd_per_hour=last.usd_per_hour,
    )


def _warning(plan: Plan, first: Choice, option: Option, reason: str) -> str:
    planned = plan.fleet.cost.compute_usd_per_month if plan.fleet is not None else _total(first)
    month = option.cost.total_usd_per_month
    return (
        f"the recommended {'fleet' if first.option is None else 'option'} is not what is generated ({reason}).\n"
        f"  recommended: {'; '.join(named(one) for one in first.members)} at {usd(planned)} a month of compute\n"
        f"  generated:   #{option.rank} {named(_single(option).members[0])} at {usd(month)} a month of compute "
        f"({usd(month - planned)} more)"
    )


def _total(choice: Choice) -> float:
    return choice.option.cost.total_usd_per_month if choice.option is not None else 0.0


def named(member: Member) -> str:
    """A member in words."""
    one = member.serves
    return (
        f"{max(member.hours)} × {one.instance_type} {one.purchase.replace('_', ' ')} in {one.region} ({one.provider})"
    )
