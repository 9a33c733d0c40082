"""Why the deployment is what it is, in words and numbers: the rows of the generated README."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from advisor.catalog import load_catalog
from advisor.codegen.alarms import promise_of
from advisor.codegen.container import Quota
from advisor.codegen.gpu_sharing import sharing_of
from advisor.codegen.model import Row, Summary
from advisor.codegen.selection import Choice, Member
from advisor.cost import FLEET_LEAVES_OUT
from advisor.cost.services import disk_usd_per_month, download_usd
from advisor.cost.standing import StandingCharge
from advisor.demand.values import Unit
from advisor.deployable import service_of
from advisor.models.model import TextAnswer
from advisor.models.values import answer_call
from advisor.plan import words
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.fleet.costs import BatchPlan, FleetCost
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.values import Interval, Option, OptionCost, Plan
from advisor.units import HOURS_PER_MONTH, ratio_words, unit_usd, usd

_UNKNOWN = "unknown"
_WHOLE_ABOVE = 100


def summary_of(plan: Plan, choice: Choice, quotas: Sequence[Quota]) -> Summary:
    """The rows for what was chosen."""
    option, fleet, unit = choice.option, plan.fleet, words.unit_of(plan.demand)
    of_fleet = fleet if option is None else None
    return Summary(
        workload=str(plan.workload["name"]),
        model=str(plan.workload["model"]),
        headlines=tuple(_headline(member, unit) for member in choice.members),
        demand=(
            *_demand(plan.demand, is_batch=bool(plan.workload["slo"].get("latency_is_deadline"))),
            *_http_requests(choice.members, unit),
        ),
        # Groups that only differ in how they are paid for are predicted alike.
        prediction=tuple(
            dict.fromkeys(_prediction(plan, option) if option else _confirmation(of_fleet, plan.workload["slo"]))
        ),
        cost=tuple(_option_cost(plan, option) if option else _fleet_cost(of_fleet, unit)),
        not_included=FLEET_LEAVES_OUT if of_fleet or option else "",
        quotas=tuple(quotas),
        commitments=tuple(
            f"{' and '.join(dict.fromkeys(member.commitments))} for {member.committed_instances} × "
            f"{member.serves.instance_type} in {member.serves.region}"
            for member in choice.members
            if member.committed_instances
        ),
        cautions=(*_calls(plan), *_cautions(plan, choice)),
        counted=frozenset() if of_fleet is None else items_of(of_fleet.standing),
    )


def _headline(member: Member, unit: Unit) -> str:
    serves = member.serves
    split = f"tensor parallel {serves.tensor_parallel}"
    if serves.pipeline_parallel > 1:
        split += f", pipeline parallel {serves.pipeline_parallel}"
    if serves.expert_parallel and serves.tensor_parallel > 1:
        split += ", expert parallel"
    each = "1 replica" if serves.replicas_per_instance == 1 else f"{serves.replicas_per_instance} replicas"
    purchase = PurchaseOption(serves.purchase).ordered_as.replace("_", " ")
    sharing = sharing_of(serves.partition, serves.replicas_per_instance, serves.accelerator_count)
    cut = "" if sharing is None else f", each in {sharing.words}"
    machine = f"{serves.instance_type} ({serves.accelerator_count:g} × {serves.accelerator}{cut}, {purchase})"
    cache = "unquantised" if serves.kv_precision == "auto" else serves.kv_precision
    few, many = min(member.hours), max(member.hours)
    count = f"{few} to {many}" if few != many else f"{many}"
    weights = f"{serves.precision} weights" + ("" if unit.is_one_pass else f", {cache} KV cache")
    return f"{count} × {machine} in {serves.region}{_zones(member)}: {each} an instance, {split}, {weights}"


def _zones(member: Member) -> str:
    """Over how many zones the instances spread, and which sell the type; "" where the plan does not say so."""
    serves = member.serves
    if service_of(serves.purchase) or not serves.zone_names:
        return ""
    names = "sold in" if serves.zones_verified else "perhaps not sold in all of"
    over = f"over {member.zones} of {len(serves.zone_names)} zones" if member.zones > 1 else "in any zone"
    return f", {over} ({names} {', '.join(serves.zone_names)})"


def _demand(demand: Mapping[str, Any], *, is_batch: bool) -> Iterator[Row]:
    rate, sent, answered = (demand[key] for key in ("requests_per_second", "input_tokens", "output_tokens"))
    if is_batch:
        yield Row("Items per second, mean of the week", f"{_figure(rate['mean'])}")
        yield Row("Items per second, while a run is worked on", f"{_figure(rate['peak'])}")
    else:
        yield Row("Requests per second, mean", f"{_figure(rate['mean'])}")
        yield Row("Requests per second, 95th percentile minute", f"{_figure(rate['p95'])}")
        yield Row("Requests per second, busiest minute", f"{_figure(rate['peak'])}")
    if words.unit_of(demand).is_one_pass:
        yield Row("A request, mean", words.size_words(demand).removesuffix(" a request"))
    else:
        yield Row("Prompt tokens, median / 95th percentile", f"{sent['p50']:,.0f} / {sent['p95']:,.0f}")
        if images := words.images_words(demand):
            yield Row("Images of a prompt, whose tokens are among its own", images)
        yield Row("Answer tokens, median / 95th percentile", f"{answered['p50']:,.0f} / {answered['p95']:,.0f}")
    yield Row("Source", str(demand.get("source") or _UNKNOWN))


def _http_requests(members: Sequence[Member], unit: Unit) -> Iterator[Row]:
    """HTTP requests of a request, where clients send its items by themselves."""
    count = max(member.serves.http_requests_per_call for member in members)
    if count > 1:
        yield Row(
            "HTTP requests of a request, mean",
            f"{count:,.4g}, one for each of its {words.items_word(unit)}, all at once",
        )


def _prediction(plan: Plan, option: Option) -> Iterator[Row]:
    predicted, slo = option.predicted, plan.workload["slo"]
    if words.unit_of(plan.demand).is_one_pass:
        promise = promise_of(slo, plan.demand)
        target = f"target {promise.title} {promise.seconds:g} s" if promise else "no target"
        yield Row("Whole answer, p95", f"{_interval(predicted.e2e_p95_ms, ' ms')}, {target}")
    else:
        yield Row("Time to first token, p95", _latency(predicted.ttft_p95_ms, slo.get("ttft_p95_ms")))
        yield Row("Time per output token after the first, p95", _latency(predicted.tpot_p95_ms, slo.get("tpot_p95_ms")))
        yield Row("Whole answer, p95", _latency(predicted.e2e_p95_ms, slo.get("e2e_p95_ms")))
    rate = predicted.requests_per_second_per_replica
    yield Row("Requests per second of one replica", _rate(option, rate))
    yield Row("Evidence", option.evidence)


def _rate(serves: Option | FleetGroup, predicted: Interval) -> str:
    """Planned rate of a replica after bursts and replays, and the predicted rate without."""
    planned = serves.planned_requests_per_second_per_instance / serves.replicas_per_instance
    return f"{_figure(planned)} planned; {_interval(predicted, '')} predicted"


def _confirmation(fleet: Fleet | None, slo: Mapping[str, Any]) -> Iterator[Row]:
    if fleet is None:
        return
    for group in fleet.groups:
        rate = _rate(group, group.requests_per_second_per_replica)
        limit = f"; limited by {group.limited_by}" if group.limited_by else ""
        yield Row(f"Requests per second of one replica, {group.instance_type}", f"{rate}; {group.evidence}{limit}")
    replay = fleet.confirmed
    if fleet.batch is not None:
        yield from _batch_rows(fleet.batch, fleet.groups)
    if replay is not None and not fleet.is_batch_alone:
        share = f"{ratio_words(replay.within_slo_ratio)} of {replay.requests:,} requests within the SLO"
        yield Row("Replayed", f"{share} ({replay.arrivals})")
        first = "Whole answer" if fleet.unit.is_one_pass else "Time to first token"
        percentile, value_ms = words.replayed_first(fleet, slo)
        yield Row(f"{first}, {percentile}, replayed", _milliseconds(value_ms))
        if not fleet.unit.is_one_pass:
            yield Row("Time per output token after the first, p95, replayed", _milliseconds(replay.tpot_p95_ms))


def _batch_rows(batch: BatchPlan, groups: Sequence[FleetGroup]) -> Iterator[Row]:
    """Runs of batch work, and what their client has to do."""
    in_flight = sum(max(group.instances) * group.replicas_per_instance * group.max_concurrency for group in groups)
    yield Row("Run", f"{words.run_words(batch)}, within {words.hours_words(batch.deadline_hours)}")
    if batch.finished_hours is not None:
        yield Row("Last item", f"after {words.hours_words(batch.finished_hours)}")
    if batch.idle_items is not None:
        yield Row("Pace of the client", "no faster than the requests' latency targets allow: they go first")
        return
    yield Row("Machines are up", f"{batch.machine_hours} h of a run")
    own = "HTTP requests of one item each" if any(group.http_requests_per_call > 1 for group in groups) else "Requests"
    yield Row(f"{own} that the client keeps in flight", f"{in_flight:,}; it sends those again that are cut off")


def _milliseconds(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{_figure(value)} ms"


def _latency(predicted: Interval, target_ms: float | None) -> str:
    target = "no target" if target_ms is None else f"target {_figure(target_ms)} ms"
    return f"{_interval(predicted, ' ms')}, {target}"


def _interval(interval: Interval, unit: str) -> str:
    return f"{_figure(interval.value)}{unit} (from {_figure(interval.low)} to {_figure(interval.high)})"


def _figure(value: float) -> str:
    """Three significant digits, never in scientific notation above one."""
    return f"{value:,.0f}" if value >= _WHOLE_ABOVE else f"{value:.3g}"


def _option_cost(plan: Plan, option: Option) -> Iterator[Row]:
    cost = option.cost
    yield _price(option, cost, "")
    yield from part_rows(cost, words.unit_of(plan.demand), [option])
    if plan.current is not None:
        now = plan.current
        yield Row("Today", f"{now.instances} × {now.instance_type}: {usd(now.total_usd_per_month)} a month")
        yield Row("Saved against today", f"{usd(now.total_usd_per_month - cost.total_usd_per_month)} a month")


def _fleet_cost(fleet: Fleet | None, unit: Unit) -> Iterator[Row]:
    if fleet is None:
        return
    for group in fleet.groups:
        yield _price(group, group, f", {usd(group.compute_usd_per_month)} a month")
    yield from part_rows(fleet.cost, unit, fleet.groups)
    yield from standing_rows(fleet.standing)


Machine = tuple[str, str, bool]
"""Region and type of a machine, and whether it is bought on spot."""


def rows_of(
    plan: Plan, choice: Choice, cost: FleetCost, more_of: Mapping[Machine, float], standing: Iterable[StandingCharge]
) -> Iterator[Row]:  # fmt: skip
    """Rows of a cost that is not the plan's: USD a month that the code pays more, or less, for a machine are in it."""
    option, fleet, unit = choice.option, plan.fleet, words.unit_of(plan.demand)
    if option is not None:
        yield _price(option, option.cost, "")
        yield from part_rows(cost, unit, [option])
    elif fleet is not None:
        machines = [
            (group.region, group.instance_type, group.purchase == PurchaseOption.SPOT) for group in fleet.groups
        ]
        for group, machine in zip(fleet.groups, machines, strict=True):
            month = f", {usd(group.compute_usd_per_month + more_of.get(machine, 0.0))} a month"
            yield _price(group, group, month if machines.count(machine) == 1 else "")
        yield from part_rows(cost, unit, fleet.groups)
        yield from standing_rows(standing)


def items_of(standing: Iterable[StandingCharge]) -> frozenset[str]:
    """Items whose charges are known, and so part of a total."""
    return frozenset(charge.item for charge in standing if charge.usd_per_month is not None)


def standing_rows(standing: Iterable[StandingCharge]) -> Iterator[Row]:
    """Rows of what regions charge beside machines."""
    for charge in standing:
        amount = _UNKNOWN if charge.usd_per_month is None else f"{usd(charge.usd_per_month)} a month"
        yield Row(f"In the total: {charge.title}", amount)


def part_rows(cost: FleetCost, unit: Unit, serving: Sequence[Option | FleetGroup]) -> Iterator[Row]:
    """The total and what it is made of; what a region of hosts has no known price of is not counted."""
    catalog = load_catalog()
    places = {(runs.provider, runs.region) for runs in serving if not service_of(runs.purchase)}
    without_disks = {cloud for cloud, region in places if disk_usd_per_month(catalog, cloud, region, 1) is None}
    without_downloads = {cloud for cloud, region in places if download_usd(catalog, cloud, region, 1) is None}
    yield Row("Compute", f"{usd(cost.compute_usd_per_month)} a month of {HOURS_PER_MONTH} hours")
    yield Row("Disks", _counted(cost.disks_usd_per_month, without_disks))
    yield Row("Downloads of started instances", _counted(cost.starts_usd_per_month, without_downloads))
    yield Row("Expected spot interruptions", f"{usd(cost.interruptions_usd_per_month)} a month")
    yield Row("Data transfer to the users", f"{usd(cost.transfer_usd_per_month)} a month")
    yield Row("Putting new types into service", f"{usd(cost.switching_usd_per_month)} a month")
    is_whole = not (without_disks or without_downloads)
    yield Row("Total" if is_whole else "Total of what is known", f"{usd(cost.total_usd_per_month)} a month")
    if cost.obligation_until is not None:
        yield Row("Obligation of new commitments", f"{usd(cost.obligation_usd)} until {cost.obligation_until}")
    yield Row(f"Per million {words.items_word(unit)}", f"${unit_usd(cost.usd_per_million_output_tokens)}")
    yield Row("Per 1,000 requests", f"${unit_usd(cost.usd_per_1000_requests)}")


def _counted(usd_per_month: float, unpriced: Collection[str]) -> str:
    """A part of the cost, which may be without that of some providers."""
    if not unpriced:
        return f"{usd(usd_per_month)} a month"
    if not usd_per_month:
        return _UNKNOWN
    return f"{usd(usd_per_month)} a month, without those of {', '.join(sorted(unpriced))}, which are {_UNKNOWN}"


def _price(serves: Option | FleetGroup, paid: OptionCost | FleetGroup, more: str) -> Row:
    """Price with its source, date and quality; the source alone of what no list has, such as a commitment held."""
    listed = f"{paid.price_source}, {paid.price_as_of or _UNKNOWN} ({paid.price_quality})"
    source = listed if paid.price_quality else paid.price_source or _UNKNOWN
    what = f"{serves.instance_type}, {serves.purchase.replace('_', ' ')}, {serves.region}"
    return Row(what, f"${paid.instance_usd_per_hour:,.4f} an hour each{more}; {source}")


def _calls(plan: Plan) -> Iterator[str]:
    """How clients ask for an answer to texts that is not an embedding."""
    answer = TextAnswer(plan.workload.get("model_answer", TextAnswer.VECTOR))
    if call := answer_call(answer, plan.workload.get("model_type", "")):
        kind = "a vector for each token" if answer is TextAnswer.VECTORS else "weights of terms"
        yield f"The model answers {kind} of a text, and no embedding: clients call {call}."


def _cautions(plan: Plan, choice: Choice) -> Iterator[str]:
    fleet, option = plan.fleet, choice.option
    if option is None and fleet is not None:
        providers = {group.provider for group in fleet.groups}
        part = f"{sum(member.request_share for member in choice.members):.1%}"
        if len(providers) > 1:
            held = f"one cloud, for {part} of the requests; the costs are of all"
            yield f"The fleet is on {', '.join(sorted(providers))}; this folder holds {held}."
        elif len({service_of(group.purchase) for group in fleet.groups}) > 1:
            held = f"one part, for {part} of the requests; the costs are of all"
            yield f"A service runs a part of the fleet; this folder holds {held}."
        if fleet.bucket_max_input_tokens:
            yield "The plan routes by prompt length: set a router in front that does; equal routing was not planned."
        if fleet.confirmed is not None and not fleet.confirmed.reached:
            yield "The replay found fewer requests within the SLO than were asked for."
        return
    best = plan.recommended
    if fleet is not None and option is not None:
        planned = f"{usd(fleet.cost.total_usd_per_month)} a month"
        own = usd(option.cost.total_usd_per_month)
        yield f"The plan recommends its fleet at {planned}; this is option {option.rank}, at {own}."
    elif best is not None and option is not None and best.rank != option.rank:
        more = option.cost.total_usd_per_month - best.cost.total_usd_per_month
        where = f"{best.instances} × {best.instance_type} in {best.region} ({best.provider})"
        yield f"The plan recommends {where}; this option costs {usd(more)} a month more."
