"""Instances of a plan that code is generated for, by hour of the week, and lasting names of their groups."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

from advisor.catalog.planning import start_seconds
from advisor.codegen.container import Backend, Region, Serves, Wanted
from advisor.codegen.engines.triton import with_models
from advisor.codegen.model import ComputeGroup, ScheduledSize, Stack, WatchedModel, at_times, turns
from advisor.codegen.quoting import slug
from advisor.errors import AdvisorError, InputError, NotDeployable
from advisor.plan.doubts import is_refused, refusal_words
from advisor.plan.estate.packing import SharedMachine
from advisor.plan.fleet.chosen import Fleet, FleetGroup, Policy
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.values import Option, Plan
from advisor.records import dataclass, replace
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK, MINUTES_PER_HOUR, MINUTES_PER_WEEK, SECONDS_PER_MINUTE


def scheduled_sizes(
    instances: Sequence[int], minutes_ahead: int, minutes_after: int = 0
) -> tuple[ScheduledSize, ...]:  # fmt: skip
    """The entries after which at least *instances* serve in each hour, none for dips shorter than a stop and a start.

    *instances*: of each hour of the week, from Monday 00:00 UTC (168). *minutes_ahead*: how long before its hour an
    instance has to be ordered. *minutes_after*: how long one is there after its number was lowered. Entries by time of
    day; none where the number never changes.
    """
    return at_times(_changes(instances, minutes_ahead, minutes_after))


def _changes(instances: Sequence[int], minutes_ahead: int, minutes_after: int) -> list[tuple[int, int]]:
    """Minute of the week and the number from then on, where it differs from the one before."""
    hours = [hour * MINUTES_PER_HOUR for hour in range(HOURS_PER_WEEK)]
    moments = sorted({*hours, *((minute - minutes_ahead) % MINUTES_PER_WEEK for minute in hours)})
    # At each, the most that serve at any time until what is ordered then would serve.
    hours_of = (range(at // MINUTES_PER_HOUR, (at + minutes_ahead) // MINUTES_PER_HOUR + 1) for at in moments)
    sizes = [max(instances[hour % HOURS_PER_WEEK] for hour in served) for served in hours_of]
    changes = turns(list(zip(moments, sizes, strict=True)))
    while (dip := _shortest_dip(changes)) is not None and _minutes(changes, dip) < minutes_ahead + minutes_after:
        neighbours = changes[dip - 1], changes[(dip + 1) % len(changes)]
        changes[dip] = (changes[dip][0], min(size for _, size in neighbours))
        changes = turns(changes)
    return changes


def _shortest_dip(changes: Sequence[tuple[int, int]]) -> int | None:
    """Index of the size that is smaller than both beside it for the fewest minutes; None without any change.

    A machine that stops for less time than its end and its start take spends all of it on leaving and coming back.
    """
    dips = [
        index
        for index, (_, size) in enumerate(changes)
        if size < changes[index - 1][1] and size < changes[(index + 1) % len(changes)][1]
    ]
    return min(dips, key=lambda index: _minutes(changes, index), default=None)


def _minutes(changes: Sequence[tuple[int, int]], index: int) -> int:
    return (changes[(index + 1) % len(changes)][0] - changes[index][0]) % MINUTES_PER_WEEK


_BOUGHT_AHEAD = ("commitment", "owned")
_MAKE_AGAIN = "make the plan again: it was edited"
_RELAX_HINT = "relax slo in the workload and plan again"
_PLAN_HINT = "make a plan that allows it, such as providers: [aws, gcp, azure] in the workload file"


@dataclass(frozen=True, slots=True)
class Member:
    """Equal instances of the plan that code starts as one group."""

    serves: Serves
    hours: tuple[int, ...]
    """Instances in each hour of the week, from Monday 00:00 UTC (168)."""
    minutes_ahead: int
    """How long before its hour an instance has to be ordered."""
    minutes_after: int
    """How long it is there, and paid for, after its last hour."""
    cold_start_seconds: float | None
    """From the order to the first answer, at the upper edge of the plan; None: nothing in the plan depends on it."""
    zones: int
    """Over which the plan spreads them."""
    request_share: float
    """Weight among all members: of the requests in the busiest hours, where it runs then."""
    commitments: tuple[str, ...]
    committed_instances: int
    requests_per_second_per_replica: float
    usd_per_hour: float
    compute_usd_per_month: float
    """As planned, with the hours that instances are started ahead."""
    peak_usd_per_hour: float
    """Price of the busiest hours' instances together."""
    loaded_hours: tuple[int, ...] = ()
    """Instances that the planned rate of each hour takes: the others are spare; empty: not known."""

    @property
    def requests_per_second_per_instance(self) -> float:
        """Planned for an instance with all its replicas."""
        return self.requests_per_second_per_replica * self.serves.replicas_per_instance

    @property
    def usd_per_month(self) -> float:
        """Price of the hours of its schedule, without those that instances are started ahead; of a service, of all."""
        if self.serves.purchase == "serverless":
            return self.compute_usd_per_month
        return sum(self.hours) * self.usd_per_hour * HOURS_PER_MONTH / len(self.hours)


@dataclass(frozen=True, slots=True)
class Choice:
    """Instances that code is generated for."""

    members: tuple[Member, ...]
    option: Option | None = None
    """The single type that it is; None: the fleet of the plan."""


def choose(plan: Plan, wanted: Wanted, obstacle: Callable[[Choice], AdvisorError | None]) -> Choice:
    """The single type that is wanted; without one the fleet. No other is taken where it cannot be generated.

    *obstacle*: why no code can be generated for a choice; None when it can. Raises InputError if there is no such
    option, or none that code can be generated for as the user asks, and NotDeployable if no generated code can start
    it, or no replay confirms the fleet.
    """
    if wanted.rank is None and not wanted.unconfirmed:
        check_confirmed(plan, takes_option=True)
    if wanted.rank is not None:
        choice = _single(_with_rank(plan, wanted.rank), plan.fleet)
    else:
        choice = of_fleet(plan.fleet) if plan.fleet is not None else _recommended(plan)
    if not choice.members:
        raise InputError("the fleet of the plan has no groups: there is nothing to deploy", hint=_MAKE_AGAIN)
    error = obstacle(choice)
    if not error:
        return choice
    if wanted.is_as_planned:
        raise _not_deployable(choice, error, _generated_ranks(plan, choice, obstacle)) from error
    raise error


def check_confirmed(plan: Plan, *, takes_option: bool) -> None:
    """Refuse a fleet that is only the closest of those that no replay confirms.

    *takes_option*: whether the command takes an option of the plan in its place. Raises NotDeployable with what its
    replay finds.
    """
    if not is_refused(plan):
        return
    closest = "--unconfirmed takes the closest fleet"
    if takes_option and plan.options:
        closest = "--option RANK takes an option whose replay holds, --unconfirmed the closest fleet"
    raise NotDeployable(refusal_words(plan), hint=f"{_RELAX_HINT}; {closest}")


def reason_against(check: Callable[[Choice], object]) -> Callable[[Choice], AdvisorError | None]:
    """Error that *check* raises for a choice; None when it raises nothing."""

    def reason(choice: Choice) -> AdvisorError | None:
        try:
            check(choice)
        except AdvisorError as error:
            return error
        return None

    return reason


def _generated_ranks(plan: Plan, choice: Choice, obstacle: Callable[[Choice], AdvisorError | None]) -> list[int]:
    others = [option for option in plan.options if choice.option is None or option.rank != choice.option.rank]
    return [option.rank for option in others if obstacle(_single(option, plan.fleet)) is None]


def _not_deployable(choice: Choice, error: AdvisorError, others: Sequence[int]) -> NotDeployable:
    """The refusal of what is planned: what it is, why, and the ranks of the other options that can be generated."""
    what = "the fleet" if choice.option is None else f"option {choice.option.rank}"
    hint = error.hint or _PLAN_HINT
    if others:
        how = "options" if "--option" in hint else "--option RANK takes another of its options"
        hint = f"{hint}; {how}: {_ranks(others)}"
    elif "--option" in hint:
        hint = f"{hint}; of this plan no other option can be generated"
    return NotDeployable(
        f"{what} of the plan cannot be generated, {'; '.join(named(member) for member in choice.members)}: "
        f"{error.message}",
        where=error.where,
        hint=hint,
    )


def _ranks(ranks: Sequence[int]) -> str:
    """``2 to 5``, or one by one where some between are missing."""
    ordered = sorted(ranks)
    is_gapless = ordered[-1] - ordered[0] == len(ordered) - 1
    return f"{ordered[0]} to {ordered[-1]}" if is_gapless and len(ordered) > 1 else ", ".join(map(str, ordered))


def of_fleet(fleet: Fleet) -> Choice:
    """The groups of a fleet: what is bought ahead runs as on-demand instances beside them."""
    merged: dict[str, list[Member]] = {}
    for group in fleet.groups:
        layout = group.name.partition(f"/{group.purchase}")[0]
        kind = PurchaseOption(group.purchase).ordered_as.value
        merged.setdefault(f"{layout}/{kind}", []).append(_member(fleet, group))
    return Choice(tuple(_merge(members) for _, members in sorted(merged.items())))


def _single(option: Option, fleet: Fleet | None) -> Choice:
    by_class = option.instances_by_class
    follows = fleet is not None and len(by_class) == len(fleet.hour_classes)
    schedule = fleet.schedule if fleet is not None and follows else (0,) * HOURS_PER_WEEK
    counts = by_class if follows else (option.instances,)
    member = Member(
        serves=option,
        hours=tuple(counts[at] for at in schedule),
        minutes_ahead=option.minutes_ahead,
        minutes_after=option.minutes_after,
        cold_start_seconds=option.minutes_ahead * SECONDS_PER_MINUTE or None,
        zones=option.zones,
        request_share=1.0,
        commitments=(option.commitment or option.purchase,) if option.purchase in _BOUGHT_AHEAD else (),
        committed_instances=option.instances if option.purchase in _BOUGHT_AHEAD else 0,
        requests_per_second_per_replica=_planned_rate(option),
        usd_per_hour=option.cost.instance_usd_per_hour,
        compute_usd_per_month=option.cost.compute_usd_per_month,
        peak_usd_per_hour=max(counts) * option.cost.instance_usd_per_hour,
    )
    return Choice((member,), option)


def _planned_rate(serves: Serves) -> float:
    return serves.planned_requests_per_second_per_instance / serves.replicas_per_instance


def _recommended(plan: Plan) -> Choice:
    if plan.recommended is None:
        raise NotDeployable("the plan has nothing to generate code for", hint="see its rejected offers for the reasons")
    return _single(plan.recommended, plan.fleet)


def _with_rank(plan: Plan, rank: int) -> Option:
    for option in plan.options:
        if option.rank == rank:
            return option
    ranks = f"1 to {max(option.rank for option in plan.options)}" if plan.options else "none at all"
    raise InputError(f"the plan has no option {rank}", hint=f"its options: {ranks}")


def _member(fleet: Fleet, group: FleetGroup) -> Member:
    ahead, after = 0, 0
    hours = tuple(group.instances[hours] for hours in fleet.schedule)
    scheduled = next(
        (group_schedule for group_schedule in fleet.scaling.schedule if group_schedule.name == group.name), None
    )
    policy = fleet.scaling.recommended
    if policy is Policy.STATIC or (policy is Policy.SCHEDULED and scheduled is None):
        hours = (max(group.instances),) * HOURS_PER_WEEK
    elif policy is Policy.SCHEDULED and scheduled is not None:
        ahead, after = scheduled.ordered_minutes_ahead, scheduled.stopped_minutes_after
    bought_ahead = group.purchase in _BOUGHT_AHEAD
    return Member(
        serves=group,
        hours=hours,
        minutes_ahead=ahead,
        minutes_after=after,
        cold_start_seconds=None if group.cold_start_seconds is None else group.cold_start_seconds.high,
        zones=group.zones,
        request_share=fleet.router_weights[group.name],
        commitments=(group.commitment or group.purchase,) if bought_ahead else (),
        committed_instances=max(group.instances) if bought_ahead else 0,
        requests_per_second_per_replica=_planned_rate(group),
        usd_per_hour=group.instance_usd_per_hour,
        compute_usd_per_month=group.compute_usd_per_month,
        peak_usd_per_hour=max(hours) * group.instance_usd_per_hour,
        loaded_hours=_loaded(fleet, group),
    )


def _loaded(fleet: Fleet, group: FleetGroup) -> tuple[int, ...]:
    """Instances of a group that the planned rate of each hour of the week takes, one at least where it has any."""
    rates = [planned.planned_requests_per_second for planned in fleet.hour_classes]
    loads = [
        rate * share / group.planned_requests_per_second_per_instance
        for rate, share in zip(rates, group.request_shares, strict=True)
    ]
    least = [min(count, max(1, math.ceil(round(load, 6)))) for count, load in zip(group.instances, loads, strict=True)]
    return tuple(least[at] for at in fleet.schedule)


def _merge(members: Sequence[Member]) -> Member:
    """Instances that differ only in how they are paid for; the price is that of those bought last."""
    last = max(members, key=lambda member: member.usd_per_hour)
    return Member(
        serves=last.serves,
        hours=tuple(sum(at) for at in zip(*(member.hours for member in members), strict=True)),
        minutes_ahead=max(member.minutes_ahead for member in members),
        minutes_after=max(member.minutes_after for member in members),
        cold_start_seconds=max(member.cold_start_seconds or 0.0 for member in members) or None,
        zones=_zones_of(members),
        request_share=sum(member.request_share for member in members),
        commitments=tuple(name for member in members for name in member.commitments),
        committed_instances=sum(member.committed_instances for member in members),
        requests_per_second_per_replica=last.requests_per_second_per_replica,
        usd_per_hour=last.usd_per_hour,
        compute_usd_per_month=sum(member.compute_usd_per_month for member in members),
        peak_usd_per_hour=sum(member.peak_usd_per_hour for member in members),
        loaded_hours=tuple(sum(at) for at in zip(*(member.loaded_hours for member in members), strict=True)),
    )


def _zones_of(members: Sequence[Member]) -> int:
    """Zones of members that are one group: as many as each has, or has together, and no more than instances."""
    most: int = max(sum(at) for at in zip(*(member.hours for member in members), strict=True))
    sold = max(max(len(member.serves.zone_names), member.zones) for member in members)
    return max(min(sum(member.zones for member in members), sold, most), 1)


def named(member: Member) -> str:
    """A member in words."""
    serves = member.serves
    bought = serves.purchase.replace("_", " ")
    return f"{max(member.hours)} × {serves.instance_type} {bought} in {serves.region} ({serves.provider})"


_MILLE = 1000
_LONGEST_KEY = 38
"""With the name and a hyphen within the 63 characters of a host name."""
_HASH_DIGITS = 6


def _split(member: Member) -> str:
    serves = member.serves
    stages = f"pp{serves.pipeline_parallel}" if serves.pipeline_parallel > 1 else ""
    replicas = f"x{serves.replicas_per_instance}" if serves.replicas_per_instance > 1 else ""
    slices = f" {serves.partition}" if serves.partition else ""
    return f"{serves.precision} tp{serves.tensor_parallel}{stages}{replicas}{slices}"


def group_keys(members: Sequence[Member]) -> tuple[str, ...]:
    """The key of the group of each member: stable from plan to plan, and unique."""
    names = []
    for member in members:
        kind = PurchaseOption(member.serves.purchase).ordered_as.replace("_", "-")
        machine = member.serves.instance_type.removeprefix("Standard_")
        names.append(f"{member.serves.region} {machine} {_split(member)} {kind}")
    keys = unique_keys(names)
    return tuple(keys[name] for name in names)


def backend_name(member: Member, wanted: Wanted) -> str:
    """Name of the backend of a member: what serves alike in one region has the same."""
    serves = member.serves
    engine = serves.engine if wanted.engine is None else wanted.engine.value
    return f"{serves.region} {serves.accelerator_count:g}x{serves.accelerator} {_split(member)} {engine}"


def unique_keys(names: Sequence[str]) -> Mapping[str, str]:
    """Name → slug within the longest length; names that are cut, or meet, carry a hash of the whole name."""
    plain = {name: slug(name, 10 * _LONGEST_KEY, "group") for name in names}
    counts = list(plain.values())
    return {
        name: text if len(text) <= _LONGEST_KEY and counts.count(text) == 1 else _cut(name, text)
        for name, text in plain.items()
    }


def _cut(name: str, text: str) -> str:
    mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_HASH_DIGITS]
    return f"{text[: _LONGEST_KEY - _HASH_DIGITS - 1].rstrip('-')}-{mark}"


def per_mille(shares: Mapping[str, float], of: int = _MILLE) -> Mapping[str, int]:
    """Shares as whole per mille that add up to *of*, each at least 1 where that reaches (largest remainders)."""
    total, least = sum(shares.values()), 1 if of >= len(shares) else 0
    exact = {key: of * share / total if total > 0 else of / len(shares) for key, share in shares.items()}
    whole = {key: max(least, math.floor(value)) for key, value in exact.items()}
    by_remainder = sorted(exact, key=lambda key: (whole[key] - exact[key], key))
    step = 1 if sum(whole.values()) < of else -1
    order = by_remainder if step > 0 else [key for key in reversed(by_remainder) if whole[key] > 1]
    for key in (order * _MILLE)[: abs(of - sum(whole.values()))]:
        whole[key] += step
    return whole


_LIVE_PATH = "/v2/health/live"
"""Triton's answer to whether it runs; that to whether it is ready fails while any of its models is loaded anew.

Source: issues 7014 and 5940 of triton-inference-server/server.
"""


def joined(name: str, tenants: Sequence[Stack]) -> Stack:
    """The stack of one server. *tenants*: workloads with a model each, of one image on the same nodes."""
    first = tenants[0]
    key = f"{first.groups[0].region}-models"
    group = _group(unique_keys([key])[key], [tenant.groups[0] for tenant in tenants])
    held = with_models({tenant.name: tenant.backends[0].container for tenant in tenants})
    container = replace(held, live_path=_LIVE_PATH)
    backend = Backend(group.backend, group.region, container, first.backends[0].weight, first.backends[0].runtime)
    models = tuple(
        WatchedModel(tenant.name, model.name, tenant.slo_alarms, tenant.groups[0].requests_per_second_per_instance)
        for tenant, model in zip(tenants, container.models, strict=True)
    )
    return replace(
        first,
        name=name,
        groups=(group,),
        backends=(backend,),
        regions=(united([tenant.regions[0] for tenant in tenants]),),
        slo_alarms=(),
        slo_left_out=tuple(dict.fromkeys(f"{tenant.name}: {why}" for tenant in tenants for why in tenant.slo_left_out)),
        owner={},
        summary=replace(
            first.summary,
            workload=", ".join(tenant.name for tenant in tenants),
            model=", ".join(dict.fromkeys(tenant.summary.model for tenant in tenants)),
        ),
        models=models,
    )


def _group(key: str, groups: Sequence[ComputeGroup]) -> ComputeGroup:
    """Pods of the server: what each model takes adds up, and they are downloaded one after another."""
    checkpoint_gib = sum(group.checkpoint_gib for group in groups)
    first = max(groups, key=lambda group: group.start_seconds)
    others_s = start_seconds(checkpoint_gib) - start_seconds(first.checkpoint_gib)
    return replace(
        first,
        key=key,
        backend=key,
        weight=1000,
        requests_per_second_per_instance=sum(group.requests_per_second_per_instance for group in groups),
        concurrent_requests_per_instance=sum(group.concurrent_requests_per_instance for group in groups),
        checkpoint_gib=checkpoint_gib,
        start_seconds=round(first.start_seconds + others_s),
        root_volume_gib=max(group.root_volume_gib for group in groups) + checkpoint_gib - first.checkpoint_gib,
        zones=max(group.zones for group in groups),
    )


def united(regions: Sequence[Region]) -> Region:
    """One region's part of several stacks as that of one: requests of all come together."""
    return replace(
        regions[0],
        subnets=max(region.subnets for region in regions),
        zones=max(region.zones for region in regions),
        peak_requests_per_second=sum(region.peak_requests_per_second or 0.0 for region in regions),
    )


_ESTATE_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A shared machine of an estate, with the plans of those who sit on it."""

    position: int
    """In the estate, from 0."""
    machine: SharedMachine
    plans: Mapping[str, Plan]
    """By file."""
    estate: str = ""
    """Name of the estate; "" where it has none."""

    @property
    def name(self) -> str:
        """Folder of its code."""
        return f"shared-{self.position + 1}"

    @property
    def deployment(self) -> str:
        """Name of its resources and of its nodes, which two estates in one organisation or cluster do not share."""
        return self._of_estate(self.name)

    @property
    def servers(self) -> Mapping[str, tuple[str, ...]]:
        """Name of the namespace of each server that holds several models → its workloads."""
        return {self._of_estate(f"{self.name}-server-{at}"): of for at, of in enumerate(self.machine.servers, start=1)}

    def _of_estate(self, name: str) -> str:
        if not self.estate:
            return name
        longest = LONGEST_NAME - len(name) - 1
        whole = slug(self.estate, 10 * LONGEST_NAME, "estate")
        mark = hashlib.sha256(self.estate.encode("utf-8", "replace")).hexdigest()[:_ESTATE_DIGITS]
        short = whole if len(whole) <= longest else f"{whole[: longest - _ESTATE_DIGITS - 1].rstrip('-')}-{mark}"
        return f"{short}-{name}"


LONGEST_NAME = 24
"""A load balancer's name may have 32 characters, and a suffix has to fit."""
