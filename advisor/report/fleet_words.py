"""The fleet of a plan in sentences and tables; each phrase is made in one place for every format."""

from collections.abc import Iterator
from functools import partial
from string import ascii_uppercase

from advisor.cost import FLEET_LEAVES_OUT
from advisor.demand.forecast import DAYS, DECLARED, FLAT
from advisor.performance.groups import PLANNED_BUSY_SHARE
from advisor.plan.fleet.chosen import (
    LARGEST_RATIO,
    Confirmation,
    ConstraintUse,
    Failure,
    Fleet,
    FleetGroup,
    StaticPeak,
)
from advisor.plan.problem.formulas import falls
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.solve.stage import by_type_in_region, running_of
from advisor.plan.values import Plan
from advisor.plan.words import (
    count_words,
    fleet_turns,
    items_word,
    latency_words,
    running_count_words,
    unavoidable_words,
)
from advisor.report.text_table import Column, Section
from advisor.report.words import (
    PART_WORDS,
    hardware_words,
    layout_words,
    paid_words,
    use_words,
    whole_percent,
)
from advisor.units import HOURS_PER_DAY, counted, ratio_words, rounded, times_words, unit_usd, usd

_GROUP_COLUMNS = (
    Column(""),
    Column("provider", importance=4),
    Column("region", importance=1),
    Column("instance type"),
    Column("accelerator", importance=3),
    Column("purchase"),
    Column("precision"),
    Column("TP", importance=8),
    Column("engine", importance=7),
    Column("replicas each", importance=9),
    Column("zones", importance=11),
    Column("instances"),
    Column("requests", importance=5),
    Column("req/s each", importance=2),
    Column("USD/hour each", importance=6),
    Column("USD/month"),
)
_MACHINE = "one instance of "
_HOUR_HEADERS = ("hours a week", "requests/s on average", "busiest minute planned")
_BATCH_HEADERS = ("hours a week", "items/s on average", "items/s planned")


def letters(fleet: Fleet) -> list[str]:
    """Names of the groups in tables and sentences: A, B, … and after Z: AA, BB and so on."""
    turns = len(ascii_uppercase)
    return [ascii_uppercase[at % turns] * (at // turns + 1) for at in range(len(fleet.groups))]


def lettered(fleet: Fleet) -> list[tuple[str, FleetGroup]]:
    """Groups with their letters."""
    return list(zip(letters(fleet), fleet.groups, strict=True))


def group_section(fleet: Fleet) -> Section:
    """The groups: where, what, how many, at which price."""
    return Section("fleet", headers=_GROUP_COLUMNS, rows=tuple(_group_rows(fleet)))


def detail_sections(fleet: Fleet) -> list[Section]:
    """Instances by hours, prompts by length, and what failures leave; each where there is something to say."""
    tables = [
        Section(
            "instances by hours of the week (which hours: --format json)",
            headers=(*(_BATCH_HEADERS if fleet.is_batch_alone else _HOUR_HEADERS), *letters(fleet)),
            rows=tuple(_hour_rows(fleet)),
        ),
        Section(
            "routing of prompts in the busiest hours",
            headers=("prompts up to", *letters(fleet)),
            rows=tuple(
                (f"{longest:,.0f} tokens", *(f"{group.bucket_shares[at]:.0%}" for group in fleet.groups))
                for at, longest in enumerate(fleet.bucket_max_input_tokens)
            ),
        ),
        Section(
            "what a failure leaves of the planned rate, in the hours that it hits hardest"
            + (", of prompts of all lengths alike" if fleet.bucket_max_input_tokens else ""),
            headers=("failure", "left", "when"),
            rows=tuple(
                (part_words(fleet, failure.of), whole_percent(failure.left_ratio), hour_words(fleet, failure))
                for failure in fleet.failures
            ),
        ),
    ]
    return [table for table in tables if table.rows]


def names_of(fleet: Fleet) -> dict[str, str]:
    """``g6e.xlarge spot`` for the name of each group, with its layout where others of its type have another."""
    told = zip(fleet.groups, layout_words(fleet.groups), strict=True)
    return {group.name: f"{group.instance_type} {paid_words(group)}{layout}" for group, layout in told}


def part_words(fleet: Fleet, part: str, *, count: int = 1) -> str:
    """A part that fails, an instance by its type: with its region where groups are in several.

    *part*: as :attr:`Failure.of` names it. *count*: instances of which one fails (``one of 3 instances of
    g6e.xlarge``).
    """
    own = _instances_of(fleet, part)
    if not own:
        return part
    several = len({group.region for group in fleet.groups}) > 1
    machine = f"one of {count} instances of " if count > 1 else _MACHINE
    return f"{machine}{own[0].instance_type}{f' in {own[0].region}' if several else ''}"


def running_words(fleet: Fleet, failure: Failure) -> str:
    """The same of a failure, with the number of instances where as many run in all hours that it hits hardest."""
    own = _instances_of(fleet, failure.of)
    running = {sum(group.instances[hour_class] for group in own) for hour_class in hit_hardest(failure)}
    return part_words(fleet, failure.of, count=running.pop() if len(running) == 1 else 1)


def _instances_of(fleet: Fleet, part: str) -> list[FleetGroup]:
    """Groups that one instance fails of; none for a zone or a supply."""
    pool = part.removeprefix(_MACHINE)
    return [group for group in fleet.groups if pool != part and group.name.startswith(f"{pool}/")]


def hit_hardest(failure: Failure) -> tuple[int, ...]:
    """Classes of the hours that a failure hits hardest."""
    return failure.hour_classes or (failure.hour_class,)


def hour_words(fleet: Fleet, failure: Failure) -> str:
    """``in 32 hours a week (first: Mon 07:00 UTC)``: those that *failure* hits hardest."""
    hit = set(hit_hardest(failure))
    if len(hit) == len(fleet.hour_classes):
        return "at all hours"
    day, hour = divmod(next(at for at, hour_class in enumerate(fleet.schedule) if hour_class in hit), HOURS_PER_DAY)
    hours = sum(fleet.hour_classes[hour_class].hours_per_week for hour_class in hit)
    return f"in {counted(hours, 'hour')} a week (first: {DAYS[day][:3]} {hour:02d}:00 UTC)"


def capacity_requests_per_second(fleet: Fleet, hour_class: int = -1) -> float:
    """Requests/s that the instances of a class of hours are planned to carry, the busiest where none is given."""
    return sum(group.instances[hour_class] * group.planned_requests_per_second_per_instance for group in fleet.groups)


def _group_rows(fleet: Fleet) -> Iterator[tuple[str, ...]]:
    for letter, group in lettered(fleet):
        yield (
            letter, group.provider, group.region, group.instance_type, hardware_words(group), paid_words(group),
            group.precision, str(group.tensor_parallel), f"{group.engine} {group.engine_version}".strip(),
            str(group.replicas_per_instance), str(group.zones), count_words(group.instances),
            f"{_request_share(fleet, group):.0%}", rounded(group.planned_requests_per_second_per_instance),
            f"{group.instance_usd_per_hour:,.4f}", f"{group.compute_usd_per_month:,.2f}",
        )  # fmt: skip


def _request_share(fleet: Fleet, group: FleetGroup) -> float:
    weights = [hour.mean_requests_per_second * hour.hours_per_week for hour in fleet.hour_classes]
    served = [share * weight for share, weight in zip(group.request_shares, weights, strict=True)]
    return sum(served) / sum(weights) if sum(weights) else 0.0


def _hour_rows(fleet: Fleet) -> Iterator[tuple[str, ...]]:
    for at, hour in enumerate(fleet.hour_classes if len(fleet.hour_classes) > 1 else ()):
        rates = (rounded(hour.mean_requests_per_second), rounded(hour.planned_requests_per_second))
        yield (str(hour.hours_per_week), *rates, *(str(group.instances[at]) for group in fleet.groups))


_FORECASTS = {
    FLAT: "the observed level of whole minutes at all hours, since less than a day was seen",
    DECLARED: "none, the declared demand at all hours",
}
_SAME = 0.005
_TOO_FEW = 100
"""Requests of a replay, of fewer than which nobody can say how much more a fleet would hold."""
_UP_TO = "up to "
_MINUTE = "the busiest minute expected"


def fleet_words(fleet: Fleet) -> str:
    """``2 × g6e.xlarge (1×L40S, spot, fp8) + … on aws in us-east-1``."""
    places = {f"{group.provider} in {group.region}" for group in fleet.groups}
    where = f" on {next(iter(places))}" if len(places) == 1 else ""
    turns = fleet_turns(fleet)
    return " + ".join(map(partial(_group_words, with_place=not where), fleet.groups, turns)) + where


def _group_words(group: FleetGroup, turn: str, *, with_place: bool) -> str:
    place = f"{group.provider} {group.region}, " if with_place else ""
    told = f"{hardware_words(group)}, {place}{paid_words(group)}, {group.precision}{turn and f', {turn}'}"
    return f"{running_count_words(group.instances, turn)} × {group.instance_type} ({told})"


def forecast_words(fleet: Fleet) -> str:
    """Demand that the plan expects."""
    forecast_used, busiest = fleet.forecast, fleet.hour_classes[-1]
    planned, low = rounded(busiest.planned_requests_per_second), rounded(busiest.low_requests_per_second)
    edge = f"lower edge of the {forecast_used.interval_level:.0%} interval"
    interval = "" if low == planned else f" ({low} at the {edge})"
    hours = sum(hour.hours_per_week for hour in fleet.hour_classes)
    mean = sum(hour.hours_per_week * hour.mean_requests_per_second for hour in fleet.hour_classes) / hours
    weighed = "" if fleet.batch is None else " (items of batch work as the requests that a replica serves meanwhile)"
    of_requests = f"{rounded(mean)} requests/s on average{weighed}, planned for {planned} requests/s in {_MINUTE}"
    told = f"planned for {planned} items/s in their hours" if fleet.is_batch_alone else of_requests
    return (
        f"forecast: {_FORECASTS.get(forecast_used.method, forecast_used.method)}; for "
        f"{forecast_used.horizon_days:g} days, {told}{interval}"
    )


def fleet_lines(fleet: Fleet, within_ratio: float) -> list[str]:
    """Cost of the fleet, how sure that is, and what decides it; *within_ratio*: wanted share within the SLO."""
    lines = [
        cost_words(fleet),
        *standing_lines(fleet),
        _search_words(fleet),
        *_static_words(fleet),
        confirmation_words(fleet, within_ratio),
        *_balancing_words(fleet),
        *(f"replay: {words}" for words in (*_loss_words(fleet), *holds_words(fleet))),
        *_capacity_words(fleet),
        *_network_words(fleet),
    ]
    return [*lines, *constraint_words(fleet), *_commitment_words(fleet), *_spot_words(fleet)]


def cost_words(fleet: Fleet) -> str:
    """The parts of the total, to the cent."""
    cost = fleet.cost
    told = " + ".join(
        f"{usd(amount)} {PART_WORDS[part]}"
        for part, amount in fleet.parts_usd_per_month.items()
        if amount or part == "compute"
    )
    return (
        f"cost: {told} = {usd(cost.total_usd_per_month)} a month "
        f"(${unit_usd(cost.usd_per_million_output_tokens)} per 1M {items_word(fleet.unit)}, "
        f"${unit_usd(cost.usd_per_1000_requests)} per 1,000 requests), without {FLEET_LEAVES_OUT}"
    )


def standing_lines(fleet: Fleet) -> Iterator[str]:
    """Standing charges of each region, which the total holds."""
    if not fleet.standing:
        return
    told = [
        f"{charge.title} {'at an unknown price' if charge.usd_per_month is None else usd(charge.usd_per_month)}"
        for charge in fleet.standing
    ]
    unknown = any(charge.usd_per_month is None for charge in fleet.standing)
    total = f"{'at least ' if unknown else ''}{usd(fleet.cost.standing_usd_per_month)} a month"
    yield f"in the total, whatever machines run: {', '.join(told)} = {total}"


def _bounded_words(fleet: Fleet) -> str:
    """Fleets that a bound is of: of all where groups take turns, and where all hours are alike."""
    if len(fleet.hour_classes) == 1 or any(falls(group.instances) for group in fleet.groups):
        return ""
    return " (among fleets whose groups never shrink as the load rises)"


def _gap_words(fleet: Fleet) -> str:
    open_ratio = fleet.planned_gap_ratio
    if open_ratio < _SLIGHT_RATIO:
        most = usd(fleet.cost.total_usd_per_month * open_ratio)
        return f"no fleet that carries the planned rates costs less by more than {most}"
    return f"no cheaper one was confirmed; one that carries the planned rates may be up to {open_ratio:.1%} cheaper"


def open_words(fleet: Fleet) -> Iterator[str]:
    """Words for the verdict where the search leaves much open, and how to ask about a type: a fleet that holds."""
    confirmed = fleet.confirmed is not None and fleet.confirmed.reached
    if not confirmed or fleet.proven or fleet.cheapest is not None or fleet.planned_gap_ratio <= _LARGE_RATIO:
        return
    least = usd(fleet.bound_usd_per_month)
    yield (
        f"Search: cheaper fleets that carry the planned rates are ruled out only below {least} a month"
        f"{_bounded_words(fleet)}. `advisor explain PLAN --why TYPE` prices a type that you expect to cost less."
    )


_LARGE_RATIO = 0.1
"""Gap of a bound that the verdict tells."""
_SLIGHT_RATIO = 0.001
"""Gap of a bound that is told as an amount."""


def proof_words(fleet: Fleet) -> str:
    """How sure it is that nothing is cheaper."""
    if fleet.cheapest is not None:
        less = usd(fleet.cheapest.usd_per_month_more)
        return f"preferred within limits.simplicity of the cheapest, which costs {less} less"
    if fleet.confirmed is not None and not fleet.confirmed.reached:
        return "no fleet that was tried keeps the SLO"
    if fleet.proven:
        return "no cheaper fleet keeps the SLO (proven)"
    if fleet.planned_gap_ratio:
        return _gap_words(fleet)
    if fleet.confirmed is None or fleet.confirmed.headroom_factor == 1:
        return f"no cheaper fleet carries the planned rates{_bounded_words(fleet)}"
    return "the cheapest found that its replay confirms"


def _search_words(fleet: Fleet) -> str:
    pools = f"of {fleet.pools_considered:,} pools (instance type × region × replica layout): {proof_words(fleet)}"
    if not fleet.planned_gap_ratio:
        return pools
    least, of_which = usd(fleet.bound_usd_per_month), _bounded_words(fleet)
    return f"{pools}; nothing below {least} carries the planned rates, by replays of each kind of replica{of_which}"


def _static_words(fleet: Fleet) -> Iterator[str]:
    static = fleet.static_peak
    if static is None:
        return
    same = abs(static.saved_ratio) < _SAME
    if same and _is_static(fleet, static):
        return
    verb = f"{abs(static.saved_ratio):.0%} {'less' if static.saved_ratio > 0 else 'more'}"
    paid = "as endpoints" if all(group.purchase == PurchaseOption.MANAGED for group in fleet.groups) else "on demand"
    share = static.within_slo_ratio
    kept = "not replayed" if share is None else f"{ratio_words(share)} of the replayed requests within the SLO"
    alone = f"{static.instances} × {static.instance_type} in {static.region}, {paid} around the clock ({kept})"
    yield (
        f"static peak: within the same limits the fleet's main type alone, {alone}, would be "
        f"{usd(static.compute_usd_per_month)} of compute; the fleet's is {'the same' if same else verb}"
    )


def _is_static(fleet: Fleet, static: StaticPeak) -> bool:
    """Whether a fleet is its own static peak, which the lines on its replay are about."""
    (group, *others) = fleet.groups
    is_same_type = (group.instance_type, group.region) == (static.instance_type, static.region)
    return not others and is_same_type and {static.instances} == set(group.instances)


def _balancing_words(fleet: Fleet) -> Iterator[str]:
    """Load balancing that the plan rests on, where there are several replicas."""
    replicas = sum(max(group.instances, default=0) * group.replicas_per_instance for group in fleet.groups)
    if fleet.unit.is_one_pass and replicas > 1:
        yield "load balancing: one entrance sends requests to the replicas in turn, or to the least loaded of all"


def confirmation_words(fleet: Fleet, within_ratio: float) -> str:
    """Result of the replay, and the headroom that it asked for."""
    confirmation = fleet.confirmed
    if confirmation is None:
        return "not replayed: nothing but the closed form says that it keeps the SLO"
    least, when = (confirmation.within_slo_ratio, "") if fleet.is_batch_alone else confirmation.least
    short = least < within_ratio
    part = f", {ratio_words(least)} {when}" if short and when else ""
    verdict = "WARNING, the replay falls short" if short else "replay"
    margin = "" if confirmation.reached or short else ", with less margin than is wanted for requests unlike these"
    latencies = latency_words(fleet.unit, confirmation.ttft_p95_ms, confirmation.tpot_p95_ms)
    p95s = "".join(f", {words}" for words in latencies)
    headroom = _headroom_words(fleet, confirmation)
    if fleet.is_batch_alone:
        items = counted(confirmation.requests, "item")
        done = f"{ratio_words(confirmation.within_slo_ratio)} of {items} done by the deadline"
        return f"{verdict}: {done}; {confirmation.arrivals}{headroom}"
    requests = counted(confirmation.requests, "request")
    return (
        f"{verdict}: {ratio_words(confirmation.within_slo_ratio)} of {requests} within the SLO{part} "
        f"({ratio_words(within_ratio)} asked{margin}){p95s}{unavoidable_words(confirmation)}; "
        f"{confirmation.arrivals}{headroom}"
    )


def _loss_words(fleet: Fleet) -> Iterator[str]:
    """Shares of the requests that failures leave within the SLO, as far as they were replayed."""
    replay = fleet.confirmed
    if replay is None or fleet.is_batch_alone:
        return
    machine, part = replay.without_one_within_slo_ratio, replay.without_part_within_slo_ratio
    if machine is not None:
        yield f"without any one machine {ratio_words(machine)} within the SLO in the busiest stretch"
    if part is not None:
        parts, asked = "zone or spot supply, or machine in quieter hours,", "that the limits ask to be served then"
        yield f"without any one {parts} {ratio_words(part)} of the requests {asked} within the SLO"


def _headroom_words(fleet: Fleet, confirmation: Confirmation) -> str:
    """Share of the rate after bursts that replays leave the kind of replicas that is late most; "" for all or more."""
    factor = confirmation.headroom_factor
    if factor <= 1:
        return ""
    more = " or more" if len(fleet.groups) > 1 else ""
    return f"; replicas are planned at 1/{factor:.3g} of the rate that bursts leave{more}"


def holds_words(fleet: Fleet) -> Iterator[str]:
    """How far beyond its plan the fleet keeps the SLO."""
    holds, replay = fleet.holds_up_to, fleet.confirmed
    if holds is not None and replay is not None and replay.requests < _TOO_FEW:
        yield f"too few requests to say how far beyond the plan it holds (fewer than {_TOO_FEW})"
    elif holds is not None:
        peak, dispersion = (held_words(ratio) for ratio in (holds.peak_ratio, holds.dispersion_ratio))
        if peak.startswith(_UP_TO):
            dispersion = dispersion.removeprefix(_UP_TO)
        minute = "the busiest minute" if abs(fleet.forecast.growth_ratio - 1) < _SAME else "today's busiest minute"
        yield f"holds {peak} {minute} and {dispersion} its burstiness"


def held_words(ratio: float) -> str:
    """Factor that a fleet holds, such as ``up to 1.6 ×``; ``at least`` where no larger one was replayed."""
    return f"{'at least ' if ratio >= LARGEST_RATIO else _UP_TO}{times_words(ratio)} ×"


def _capacity_words(fleet: Fleet) -> Iterator[str]:
    """Planned rates summed over the busiest hours' instances against the rate that they have to carry."""
    terms = [
        f"{letter} {group.instances[-1]} × {rounded(group.planned_requests_per_second_per_instance)}"
        for letter, group in lettered(fleet)
        if group.instances[-1]
    ]
    stopped = "".join(
        f"; {letter} runs {turn}"
        for (letter, group), turn in zip(lettered(fleet), fleet_turns(fleet), strict=True)
        if not group.instances[-1] and turn
    )
    total, needed = capacity_requests_per_second(fleet), rounded(fleet.hour_classes[-1].planned_requests_per_second)
    hours, counted_in = ("hours of a run", "items") if fleet.is_batch_alone else ("busiest hours", "requests")
    capacity = f"{' + '.join(terms)} = {rounded(total)} {counted_in}/s"
    yield f"capacity in the {hours}: {capacity} for {needed} planned{stopped}"


def constraint_words(fleet: Fleet) -> Iterator[str]:
    """Named limits: those that bind, then the others."""
    for word, binding in (("binding limits", True), ("limits with room", False)):
        told = [use_words(use) for use in fleet.constraints if _binds(use) == binding]
        if told:
            yield f"{word}: {', '.join(told)}"


def _binds(use: ConstraintUse) -> bool:
    """Whether a limit binds, as far as the printed digits tell: 100% of 100% leaves no room."""
    is_share = use.unit == "share of requests"
    return use.binding or (is_share and whole_percent(use.used) == whole_percent(use.limit))


def _network_words(fleet: Fleet) -> Iterator[str]:
    """Limits that keep replicas below what their accelerators sustain."""
    told = [f"{letter} {group.limited_by}" for letter, group in lettered(fleet) if group.limited_by]
    if told:
        yield f"rate of a replica limited by: {', '.join(told)}, planned {PLANNED_BUSY_SHARE:.0%} busy"


def _commitment_words(fleet: Fleet) -> Iterator[str]:
    told: dict[str, list[str]] = {}
    for letter, group in lettered(fleet):
        if group.break_even_ratio is not None:
            told.setdefault(group.commitment, []).append(f"{letter} {group.break_even_ratio:.0%}")
    for commitment, ratios in told.items():
        yield (
            f"{commitment}: paid for at all hours, and cheaper than on demand from this share of them in use: "
            f"{', '.join(ratios)}"
        )


def _spot_words(fleet: Fleet) -> Iterator[str]:
    """How often an instance is interrupted, and whether one is to be had, each with what is known of it."""
    on_spot = [(letter, group) for letter, group in lettered(fleet) if group.interruptions_per_instance_hour > 0]
    by_source: dict[str, list[str]] = {}
    for letter, group in on_spot:
        days = 1 / (group.interruptions_per_instance_hour * HOURS_PER_DAY)
        by_source.setdefault(group.interruptions_source, []).append(f"{letter} about every {days:,.0f} days")
    for source, told in by_source.items():
        founded = f" ({source})" if source else ""
        yield f"spot: an instance is interrupted at 30 s to 2 min notice, {', '.join(told)}{founded}"
    if on_spot:
        unfilled = ", ".join(f"{letter} {_unfilled(group)}" for letter, group in on_spot)
        yield f"spot: share of orders that meet insufficient capacity: {unfilled}"


def _unfilled(group: FleetGroup) -> str:
    ratio = group.insufficient_capacity_ratio
    return "unknown (no provider publishes it)" if ratio is None else f"{ratio:.0%}"


def rate_words(fleet: Fleet) -> str:
    """Planned rate of each replica, the predicted one, how far that may be off, and what it rests on."""
    told = []
    for letter, group in lettered(fleet):
        planned = group.planned_requests_per_second_per_instance / group.replicas_per_instance
        rate = group.requests_per_second_per_replica
        interval = f"{rounded(rate.value)} ({rounded(rate.low)} to {rounded(rate.high)})"
        told.append(f"{letter} planned {rounded(planned)}, predicted {interval} ({group.evidence})")
    of_all = " and of prompts of all lengths" if fleet.bucket_max_input_tokens else ""
    kinds = f"planned after bursts and replays, predicted without{of_all}"
    return f"requests/s of a replica within the SLO, {kinds}: {', '.join(told)}"


def price_words(fleet: Fleet) -> str:
    """How well each price is founded."""
    told = ", ".join(
        f"{letter} {group.price_quality} of {group.price_as_of or 'unknown date'}" if group.price_quality
        else f"{letter} {group.price_source or 'paid for already'}"
        for letter, group in lettered(fleet)
    )  # fmt: skip
    return f"prices: {told}"


def change_words(previous: Plan, plan: Plan) -> str:
    """Changes from the running fleet, by provider, region and type, in the busiest hours."""
    before, after = by_type_in_region(running_of(previous)), by_type_in_region(running_of(plan))
    counts = {
        type_in_region: (before.get(type_in_region, 0), after.get(type_in_region, 0))
        for type_in_region in (*before, *after)
    }
    told = [_change(type_in_region, *count) for type_in_region, count in counts.items() if count[0] != count[1]]
    if not told:
        return "against the previous plan: the same instances"
    cost = plan.fleet.cost.switching_usd_per_month if plan.fleet else 0.0
    switching = f"; leaving it costs {usd(cost)} a month until the horizon" if cost else ""
    return f"against the previous plan: {', '.join(told)}{switching}"


def _change(type_in_region: str, before: int, after: int) -> str:
    if before == 0:
        return f"{after} × {type_in_region} added"
    return f"{before} × {type_in_region} removed" if after == 0 else f"{type_in_region} from {before} to {after}"
