"""A plan for a terminal and for Markdown: verdict, warnings before acting on it, the ladder, the rest by section."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from advisor.catalog.precisions import BENCHMARKS, LIKELIHOOD
from advisor.cost import ENDING
from advisor.cost.services import CONNECTIONS_PER_LCU
from advisor.demand.capped import capped_note, capped_remedy, capped_words
from advisor.demand.values import DemandInterval
from advisor.models.model import SERVES_GGUF, ModelFile
from advisor.plan.doubts import capped_of, falls_short, is_refused, wanted_ratio
from advisor.plan.fleet.chosen import Confirmation, Failure, Fleet, FleetGroup, QuotaNeed, Spare
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.values import CurrentCost, Plan
from advisor.plan.words import (
    apart_words,
    beside_words,
    count_words,
    hours_words,
    least_share_words,
    replayed_run_words,
    replayed_words,
    saved_apart,
    spare_hours,
    start_hours,
    today_short_words,
    unavoidable_words,
)
from advisor.report.fleet_words import (
    detail_sections,
    fleet_lines,
    group_section,
    holds_words,
    hour_words,
    names_of,
    open_words,
    running_words,
)
from advisor.report.option_words import (
    SHOWN_OPTIONS,
    ladder_section,
    neighbour_words,
    option_section,
    other_engine_words,
    scaling_lines,
    size_lines,
)
from advisor.report.plan_words import (
    at_the_peak,
    cheaper_service,
    close_call_words,
    evidence_lines,
    measured_words,
    question_lines,
    question_words,
    risk_words,
    token_section,
)
from advisor.report.price_age import price_words
from advisor.report.text_table import (
    Column,
    Section,
    bullets,
    escape_markdown,
    markdown_line,
    markdown_list,
    sections_markdown,
    sections_text,
    wrap,
)
from advisor.report.words import (
    LATENCY_CODES,
    NO_TARGET,
    REFUSED,
    client_words,
    cluster_words,
    code_words,
    conflict_words,
    floor_words,
    rejection_counts,
    relaxation_words,
    savings_words,
    short_words,
    slice_words,
    slo_words,
    standing_words,
    today_cost_words,
    unused_cluster_words,
    whole_percent,
)
from advisor.units import (
    BYTES_PER_GB,
    BYTES_PER_KB,
    SECONDS_PER_HOUR,
    SECONDS_PER_MONTH,
    counted,
    kept_words,
    ratio_words,
    rounded,
    usd,
)
from advisor.workload.values import WIDE_PRECISIONS

_ROUNDING = 1e-4
"""Rates that are nearer to what was planned than this are as planned."""
_MOST_PARTS = 3
"""Parts that fail alike which are named."""
_NOTHING = "Nothing in the catalog serves this workload within its limits."
_OF_THE_SLO = {Constraint.DEMAND, Constraint.CAPACITY}
"""Constraints that a latency target below every candidate's may be behind."""
_P95_RATIO = 0.95
"""Share of the requests that a 95th percentile is a target of."""
_SAME = 0.005
"""Savings below this are none."""
_ANSWERS = "answers"
_LARGE_SHARE = 0.2
"""Share of the total from which on the transfer of answers is told."""
_TRAFFIC = {
    _ANSWERS: "answers on their way to the users",
    "http_requests": "HTTP requests of single items",
    "load_balancer_capacity": "capacity units of the load balancer",
    "load_balancer_data": "what goes through the load balancer",
    "gateway_capacity": "capacity units of the Gateway before the cluster",
    "gateway_data": "what goes through the Gateway before the cluster",
    "log_ingest": "access logs",
}
"""Items of the cost that grow with requests, whatever machines serve them."""
_WHY_SPARE = {
    "survive: instance": "so that any one instance may fail (limits.survive)",
    "survive: zone": "so that any one zone may fail (limits.survive)",
    "spot_reroute": "so that others take over where spot is withdrawn; if requests may wait instead, set "
    "limits.fault_tolerant_ratio (1: all of them)",
    "min_replicas": "for limits.min_replicas",
    "zones": "for limits.zones",
    "max_changed_instances": "since no more of what runs may change (limits.max_changed_instances)",
    "none": "which no limit asks for",
    "whole instances": "since instances come whole",
}
_MORE_THAN_PLANNED = 1.01
"""Minutes that are busier than planned by no more are planned for."""


def headline(plan: Plan) -> str:
    """Fleet to run, USD a month, saving and risk; or why there is nothing to run."""
    fleet, capped = plan.fleet, capped_of(plan)
    if fleet is None:
        lone = f" {capped_words(capped)}." if capped else ""
        if plan.conflict is None or set(plan.conflict.constraints) <= _OF_THE_SLO:
            why = _nothing_words(plan) if plan.conflict is None else conflict_words(plan.conflict)
            return f"{why}{_floor_words(plan)}{lone}"
        return f"{conflict_words(plan.conflict)}{lone}"
    total = usd(fleet.cost.total_usd_per_month)
    refused = is_refused(plan)
    how, lone = (REFUSED, f"; {capped_words(capped)}" if capped else "") if refused else ("Run", "")
    interval = plan.demand.get("interval")
    unmeasured = f"; demand not measured, {DemandInterval(**interval).words()}" if interval else ""
    return f"{how} {short_words(fleet)}: {total} a month{_saved(plan)}{unmeasured}{lone}; risk: {risk_words(plan)}"


def _nothing_words(plan: Plan) -> str:
    """Sentence that nothing serves, and the obstacle of what came closest, where that is not a latency."""
    codes = {nearest_miss.code for nearest_miss in plan.nearest_misses}
    closest = rejection_counts([rejection for rejection in plan.rejected if rejection.code in codes])
    return f"{_NOTHING} Closest: {closest}." if codes and not _floor_words(plan) else _NOTHING


def _floor_words(plan: Plan) -> str:
    """The shortest latency, where a target below it is what stands last in the way."""
    misses = {nearest_miss.code for nearest_miss in plan.nearest_misses}
    return floor_words(plan.rejected) if misses <= LATENCY_CODES else ""


def _saved(plan: Plan) -> str:
    if plan.savings is None:
        return ""
    ratio = plan.savings.ratio
    kept = None if plan.current is None else plan.current.within_slo_ratio
    misses = ", which misses the SLO" if kept is not None and kept < wanted_ratio(plan) else ""
    if kept is not None and _keeps_percentiles(plan):
        misses = f", which keeps {ratio_words(kept)} within the SLO ({ratio_words(wanted_ratio(plan))} asked)"
    if abs(ratio) < _SAME:
        return f", as much as today{misses}"
    return f", {abs(ratio):.0%} {'less' if ratio > 0 else 'more'} than today{misses}"


def _keeps_percentiles(plan: Plan) -> bool:
    """Whether today keeps what its p95 targets say by themselves, and less than the share that plans keep."""
    kept = None if plan.current is None else plan.current.within_slo_ratio
    return kept is not None and _has_p95(plan.workload["slo"]) and _P95_RATIO <= kept < wanted_ratio(plan)


def _has_p95(slo: Mapping[str, Any]) -> bool:
    """Whether targets are p95, so that 95% of the requests within each is what they say."""
    is_p95 = slo.get("latency_percentile", _P95_RATIO) == _P95_RATIO and not slo.get("latency_is_deadline")
    return is_p95 and slo_words(slo) != NO_TARGET


def verdict_lines(plan: Plan, shown: int = SHOWN_OPTIONS) -> Iterator[str]:
    """Warnings before acting on the first line, the gravest first; *shown* options are listed below."""
    fleet = plan.fleet
    yield from measured_words(plan)
    if fleet is not None:
        yield from _fleet_words(plan, fleet)
    else:
        yield from _capped_words(plan)
    yield from (f"{note}." for note in plan.notes if note.startswith(ENDING))
    yield from _today_words(plan)
    yield from neighbour_words(plan)
    yield from other_engine_words(plan)
    yield from cheaper_service(plan)
    yield from close_call_words(plan, shown)
    if fleet is not None:
        yield from _first_words(fleet)


def _fleet_words(plan: Plan, fleet: Fleet) -> Iterator[str]:
    apart, leads = apart_words(fleet), _is_better_apart(plan, fleet)
    yield from apart if leads else ()
    yield _replay_words(plan, fleet)
    yield from _closed_loop_words(plan)
    yield from _capped_words(plan)
    yield from _beyond_planned_words(plan, fleet)
    yield from beside_words(fleet)
    yield from apart
    yield from _obligation_words(fleet)
    yield from price_words(fleet, plan)
    yield from _traffic_words(plan, fleet)
    yield from standing_words(fleet)
    yield from _cache_words(fleet)
    yield from _spare_words(fleet, plan.workload["slo"]["within_ratio"])
    yield from _limit_words(fleet)
    yield from code_words(fleet)
    yield from slice_words(fleet)
    yield from cluster_words(fleet)
    yield from unused_cluster_words(plan, fleet)
    yield from client_words(fleet)
    yield from _failure_words(fleet)
    yield from _cheapest_words(fleet)
    yield from open_words(fleet)
    yield from _weight_words(plan, fleet)
    yield from _zone_words(fleet)
    yield from _place_words(plan, fleet)


def _is_better_apart(plan: Plan, fleet: Fleet) -> bool:
    """Whether two workloads save more of the cost of both than one file is worth (``limits.simplicity``)."""
    saved = saved_apart(fleet)
    return saved > 0 and saved > plan.workload["limits"]["simplicity"] * fleet.cost.total_usd_per_month


def _capped_words(plan: Plan) -> Iterator[str]:
    """Minutes that are counted at less than was seen, and how to plan for them in full."""
    if capped := capped_of(plan):
        yield f"Demand: {capped_note(capped)}; {capped_remedy(capped)}."


def _closed_loop_words(plan: Plan) -> Iterator[str]:
    """Response time that the rate of concurrent users assumes."""
    if (users := plan.demand.get("closed_loop")) is not None:
        seconds = rounded(users["response_seconds"])
        yield f"Demand: {users['users']:,g} users who wait {seconds} s for an answer; faster answers add load."


def _beyond_planned_words(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """A minute that came and is busier than any that is planned."""
    demand = plan.demand
    is_seen = demand.get("window_seconds") is not None and not (demand.get("capped") or demand.get("interval"))
    if fleet.batch is not None or not is_seen:
        return
    seen, planned = demand["requests_per_second"]["peak"], fleet.hour_classes[-1].planned_requests_per_second
    if seen > planned * _MORE_THAN_PLANNED:
        yield (
            f"Demand: the busiest minute seen had {rounded(seen)} requests/s; up to {rounded(planned)} are planned, "
            "which nine of ten hours of their kind stay within: requests of busier minutes may be late."
        )


def _replay_words(plan: Plan, fleet: Fleet) -> str:
    replay, wanted = fleet.confirmed, ratio_words(wanted_ratio(plan))
    if replay is None:
        return "Not replayed: only the closed form says that it keeps the SLO."
    kept = ratio_words(replay.within_slo_ratio)
    if fleet.batch is not None and fleet.is_batch_alone:
        paid_by_use = all(group.purchase == PurchaseOption.SERVERLESS for group in fleet.groups)
        return replayed_run_words(fleet.batch, replay, paid_by_use=paid_by_use)
    if falls_short(plan, fleet):
        return f"Do not rely on it: its replay finds {least_share_words(replay)}, {wanted} are asked."
    p95s = "".join(f", {words}" for words in replayed_words(fleet, plan.workload["slo"]))
    margin = "" if replay.reached else ", with less margin than is wanted"
    requests = counted(replay.requests, "request")
    asked = f"within the SLO{at_the_peak(plan)} ({wanted} asked{margin})"
    asked = f"answered ({NO_TARGET} is stated)" if slo_words(plan.workload["slo"]) == NO_TARGET else asked
    late = unavoidable_words(replay).removeprefix("; ")
    told = f"Replay: {kept} of {requests} {asked}{p95s}{''.join(f'; {words}' for words in holds_words(fleet))}."
    return f"{told} {late}." if late else told


def _obligation_words(fleet: Fleet) -> Iterator[str]:
    cost = fleet.cost
    if cost.obligation_usd <= 0:
        return
    until = f" until {cost.obligation_until}" if cost.obligation_until else ""
    regret = cost.regret_usd_per_month
    idle = (
        "" if regret is None else f"; if demand falls by half, {usd(regret)} a month more of it pays for idle capacity"
    )
    yield f"Obligation: {usd(cost.obligation_usd)}{until}, whatever the demand{idle}."


def _traffic_words(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Cost of requests on their way, where it is more than the machines, or for answers a large share of the total."""
    paid, units = dict[str, float](), dict[str, float]()
    for line in fleet.cost_lines:
        if line.in_total and line.item in _TRAFFIC:
            paid[line.item] = paid.get(line.item, 0.0) + (line.usd_per_month or 0.0)
            units[line.item] = units.get(line.item, 0.0) + line.quantity
    item = max(paid, key=paid.__getitem__, default="")
    if item == _ANSWERS and paid[item] >= _LARGE_SHARE * fleet.cost.total_usd_per_month:
        yield (
            f"Traffic: {usd(paid[item])} of the {usd(fleet.cost.total_usd_per_month)} are for {_TRAFFIC[item]}, "
            f"{rounded(units[item])} GB a month at internet prices: callers in the same region do not cost it."
        )
    elif item and paid[item] > fleet.cost.compute_usd_per_month:
        assumed = _payload_words(plan, item, units[item])
        yield (
            f"Traffic: {usd(paid[item])} of the {usd(fleet.cost.total_usd_per_month)} are for {_TRAFFIC[item]}, more "
            f"than the machines cost ({usd(fleet.cost.compute_usd_per_month)}){assumed}."
        )


def _payload_words(plan: Plan, item: str, units: float) -> str:
    """Mean size of a request that passes a load balancer, as assumed, if its bytes make the units: GB, or LCU-hours."""
    mean = float(plan.demand["requests_per_second"]["mean"])
    if not item.endswith(("_data", "_capacity")) or not mean:
        return ""
    gb = units / (mean * SECONDS_PER_MONTH)
    of_connections = 1 / (CONNECTIONS_PER_LCU * SECONDS_PER_HOUR)
    if item.endswith("_capacity") and gb <= of_connections * _MORE_THAN_PLANNED:
        return ""
    return f", assuming {rounded(gb * BYTES_PER_GB / BYTES_PER_KB)} kB for each request with its answer"


def _cache_words(fleet: Fleet) -> Iterator[str]:
    cache = fleet.response_cache
    if cache is not None:
        similar = "" if cache.similarity is None else f", from a similarity of {cache.similarity:g} on"
        yield (
            f"Cache: {cache.hit_ratio:.0%} of the requests answered by {cache.nodes_words}{similar}; "
            "while it is empty the fleet gets all of them, which it is not planned for: warm it in quiet hours."
        )


def _limit_words(fleet: Fleet) -> Iterator[str]:
    """Groups that carry less than their accelerators sustain."""
    told = {f"{group.instance_type} by its {group.limited_by}": None for group in fleet.groups if group.limited_by}
    if told:
        yield f"Limited: {' and '.join(told)}."


def _spare_words(fleet: Fleet, within_ratio: float) -> Iterator[str]:
    counts = {group.name: group.instances for group in fleet.groups}
    names, by_reason = names_of(fleet), dict[str, list[str]]()
    for spare in fleet.spare:
        of = f" of {count_words(counts[spare.group][-1:])}" if spare.group in counts else ""
        told = f"{spare.instances}{of} × {names.get(spare.group, spare.group)} ({usd(spare.usd_per_month)} a month)"
        by_reason.setdefault(_why_spare(spare, within_ratio, fleet.confirmed), []).append(told)
    for why, instances in by_reason.items():
        yield f"Spare: {' and '.join(instances)} beyond the load of the busiest hours, {why}."


def _why_spare(spare: Spare, within_ratio: float, confirmed: Confirmation | None) -> str:
    if (kept := spare.without_within_slo_ratio) is not None:
        if confirmed is not None and kept >= confirmed.least[0]:
            same = f"with and without it {ratio_words(kept)} are within the SLO where that is worst"
            return f"since its replay holds with no margin left: {same}"
        asked = f", and {ratio_words(within_ratio)} with a margin is asked" if kept >= within_ratio else ""
        within = f"{ratio_words(kept)} would be within the SLO where that is worst"
        return f"for the bursts of its replay: without it {within}{asked}"
    return _WHY_SPARE.get(spare.why, spare.why)


def _failure_words(fleet: Fleet) -> Iterator[str]:
    """The failures that leave least, where they leave less than the load."""
    worst = min(fleet.failures, key=lambda failure: failure.left_ratio, default=None)
    if worst is None or worst.left_ratio >= 1 - _ROUNDING:
        return
    by_hours: dict[str, list[str]] = {}
    for failure in fleet.failures:
        if failure.left_ratio <= worst.left_ratio + _ROUNDING:
            by_hours.setdefault(hour_words(fleet, failure), []).append(running_words(fleet, failure))
    if fleet.is_batch_alone:
        parts = dict.fromkeys(part for alike in by_hours.values() for part in alike)
        yield _interrupted_words(fleet, worst, _any_of(list(parts)))
        return
    left = f"{whole_percent(worst.left_ratio)} of the planned rate" if worst.left_ratio > 0 else "nothing"
    (hours, parts_first), *others = ((hours, _any_of(alike)) for hours, alike in by_hours.items())
    more = "".join(f"; the same without {parts} {then}" for then, parts in others)
    yield f"Failure: without {parts_first} {left} is left {hours}{more}."


def _any_of(parts: Sequence[str]) -> str:
    """Parts whose failure leaves as much: ``A, B or C``; of many the first and how many others."""
    named = list(parts[:_MOST_PARTS])
    if len(parts) > _MOST_PARTS:
        named[-1:] = [f"{len(parts) - _MOST_PARTS + 1} other parts"]
    return " or ".join(filter(None, (", ".join(named[:-1]), named[-1])))


def _interrupted_words(fleet: Fleet, worst: Failure, parts: str) -> str:
    """A failure in a run of batch work, which goes on when another machine is there."""
    pace = (
        f"goes on at {whole_percent(worst.left_ratio)} of its planned pace" if worst.left_ratio > 0 else "stands still"
    )
    start, spare = start_hours(fleet), spare_hours(fleet)
    until = f" ({hours_words(start)})" if start else ""
    left = "" if spare is None else f"; it has {hours_words(spare)} to spare"
    return f"Failure: without {parts} a run {pace} until the next is up{until}{left}."


def _cheapest_words(fleet: Fleet) -> Iterator[str]:
    cheapest = fleet.cheapest
    if cheapest is None:
        return
    told = f"Cheapest: {' + '.join(cheapest.groups)} costs {usd(cheapest.usd_per_month_more)} less"
    if cheapest.lossy_precisions:
        lossy = " and ".join(cheapest.lossy_precisions)
        yield f"{told} in {lossy}: {_kept_weights(fleet)} recommended (limits.simplicity)."
        return
    backends = len({group.backend for group in fleet.groups})
    if cheapest.backends == backends and cheapest.other_engines:
        others = " and ".join(cheapest.other_engines)
        kept = " and ".join(dict.fromkeys(group.engine for group in fleet.groups))
        yield f"{told} with {others}, not a preferred engine there: {kept} is recommended (limits.simplicity)."
        return
    is_alike = cheapest.backends == backends
    takes = "more instance types" if is_alike else f"{counted(cheapest.backends, 'backend')} in place of {backends}"
    yield f"{told} and takes {takes}: the simpler fleet is recommended (limits.simplicity)."


def _kept_weights(fleet: Fleet) -> str:
    """Weights of a fleet that is preferred to one of lossier precisions, with their verb."""
    lossy = dict.fromkeys(group.precision for group in fleet.groups if _is_quantised(group))
    if not lossy:
        return "the published weights are"
    return f"{' and '.join(lossy)}, named earlier in `precisions`, {'is' if len(lossy) == 1 else 'are'}"


def _weight_words(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Weights other than the published ones, how much quality they keep, and whether several serve side by side."""
    file = plan.provenance.model_file
    lossy = dict.fromkeys(
        _weights(group, file)
        for group in fleet.groups
        if _is_quantised(group) or _is_not_loaded(group, file) or group.engine.startswith(SERVES_GGUF)
    )
    if lossy:
        yield f"Weights: {'; '.join(lossy)}."
    precisions = dict.fromkeys(group.precision for group in fleet.groups)
    if len(precisions) > 1:
        named = " and ".join(precisions)
        yield f"Answers: {named} replicas serve side by side; equal requests may get different ones (`precisions`)."


def _is_quantised(group: FleetGroup) -> bool:
    """Whether other weights than the published ones are loaded."""
    return bool(group.weights_scheme) or group.has_unknown_weights


def _is_not_loaded(group: FleetGroup, file: ModelFile | None) -> bool:
    """Whether a GGUF file was planned with an engine that is planned with other weights of the model."""
    return file is not None and file.is_gguf and not group.engine.startswith(SERVES_GGUF)


def _weights(group: FleetGroup, file: ModelFile | None) -> str:
    if file is not None and _is_not_loaded(group, file) and not group.weights:
        return (
            f"{file.name} is GGUF, with which {group.engine} is not planned: speed and memory are those of another "
            f"checkpoint of the same model in {group.precision}, which you have to have, and to name in `model_ids` of "
            "the code; quality loss not known"
        )
    if (
        file is not None
        and file.is_gguf
        and group.engine.startswith(SERVES_GGUF)
        and file.precision in ("", group.precision)
    ):
        return f"{file.name} in {file.quantisation or group.precision}"
    if group.precision in WIDE_PRECISIONS:
        return _gguf_words(group)
    ratio = group.weights_quality_ratio
    is_gguf = group.engine.startswith(SERVES_GGUF)
    measure = LIKELIHOOD if is_gguf else BENCHMARKS
    kept = "quality loss not known" if ratio is None else f"keep {kept_words(ratio)} of the {measure}"
    if is_gguf:
        return f"{_gguf_words(group)}, {kept}"
    if group.has_unknown_weights:
        return f"no {group.precision} ones are known: make them and name them in `model_ids` of the code, {kept}"
    return f"{group.weights} in {group.precision} ({group.weights_scheme}), {kept}"


def _gguf_words(group: FleetGroup) -> str:
    """Origin of the GGUF of a model that was not planned from one."""
    if group.weights:
        return f"{group.weights}, converted to GGUF in {group.precision} when a server first starts"
    return f"a GGUF of the model in {group.precision}, which you name in `model_ids` of the code"


def _zone_words(fleet: Fleet) -> Iterator[str]:
    most: dict[tuple[str, str], int] = {}
    for group in fleet.groups:
        if group.zones > 1 and not group.zones_verified:
            sold = (group.instance_type, group.region)
            most[sold] = max(group.zones, most.get(sold, 0))
    if most:
        assumed = (f"{name} in {zones} zones of {region}" for (name, region), zones in most.items())
        yield f"Zones: assumed, not verified: {', '.join(assumed)}."


def _place_words(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Regions that nothing but their price speaks for; answers of batch work travel nowhere in a hurry."""
    if fleet.is_batch_alone or plan.current is not None:
        return
    if not any(plan.workload[key] for key in ("regions", "users", "residency")):
        places = " and ".join(dict.fromkeys(group.region for group in fleet.groups))
        yield f"Place: {places} by price alone, as the workload states no users, regions or residency."


def _today_words(plan: Plan) -> Iterator[str]:
    current = plan.current
    if current is None:
        return
    running = today_cost_words(current)
    if current.within_slo_ratio is None:
        yield f"Today: {running}, not judged{current.not_judged and f': {current.not_judged}'}."
        return
    verb = "keeps" if current.instances == 1 else "keep"
    precision = f" in {current.precision}" if current.precision else ""
    kept = f"{ratio_words(current.within_slo_ratio)} within the SLO{at_the_peak(plan)}{precision}"
    code = current.not_generated and f"; no code is generated for it: {current.not_generated}"
    yield (
        f"Today: {running} {verb} {kept}; {_needed(current, wanted_ratio(plan))}{code}{_predicted_words(plan)}"
        f"{_percentile_words(plan)}."
    )


def _percentile_words(plan: Plan) -> str:
    """Clause on the share that is asked, where today keeps what the targets say by themselves."""
    if not _keeps_percentiles(plan):
        return ""
    return f"; p95 targets alone ask for {ratio_words(_P95_RATIO)}: slo.within_ratio {_P95_RATIO:g}"


def _predicted_words(plan: Plan) -> str:
    """Clause on what to state where today is predicted to miss the SLO, and no latency that users get is stated."""
    stated = (plan.question or {}).get("workload", {}).get("current")
    kept = None if plan.current is None else plan.current.within_slo_ratio
    if not stated or stated.get("measured") or kept is None or kept >= wanted_ratio(plan):
        return ""
    return "; this is predicted, so where users see better, state current.measured"


def _needed(current: CurrentCost, within_ratio: float) -> str:
    needed = current.instances_needed
    if needed is None or current.not_judged:
        return current.not_judged or "no number of them would do"
    if needed == current.instances:
        return "that many are needed"
    if needed > current.instances:
        return today_short_words(current, within_ratio)
    return f"{needed} would do{' by predictions that users do not get' if current.slower else ''}"


def _first_words(fleet: Fleet) -> Iterator[str]:
    """Quotas to raise before anything starts, where the account is not known to have enough."""
    short = [need for need in fleet.quotas if need.account_limit is None or need.account_limit < need.most]
    if short:
        yield f"First: raise the quota {' and '.join(map(_raise_words, short))}."
    if fleet.unknown_quotas:
        held = " and ".join(fleet.unknown_quotas)
        yield f"Quota: the one for {held} is not known; ask the provider before an apply."


def _raise_words(need: QuotaNeed) -> str:
    """A quota, what to raise it to, how much of it runs, and what the rest is for."""
    name = need.name if need.name == need.code else f"{need.name} ({need.code})"
    rest = f" ({need.needed:,g} in use, {need.most - need.needed:,g} more while instances are replaced)"
    rest = rest if need.most > need.needed else ", and more while instances are replaced"
    return f"{name} in {need.region} to {need.most:,g} {need.unit}{rest}"


WIDTH = 80
"""Characters of a line where the terminal does not say."""
_MISS_COLUMNS = (Column("instance type"), Column("precision", importance=1), Column("why not", prose=40))


def plan_table(plan: Plan, shown: int = SHOWN_OPTIONS, *, width: int | None = WIDTH, verbose: bool = False) -> str:
    """The plan as text with so many options, in lines of a width (None: no limit).

    *verbose*: every section, not only those that a decision needs.
    """
    verdict = [*wrap(headline(plan), width, rest="    "), *bullets(list(verdict_lines(plan, shown)), width)]
    blocks = ["\n".join(verdict), "\n".join(wrap(question_words(plan), width, rest="    "))]
    blocks.append(sections_text(_sections(plan, shown, verbose=verbose), width, whole=verbose).strip("\n"))
    if not verbose:
        blocks.append("\n".join(wrap(_more_words(plan), width, rest="    ")))
    return "\n\n".join(block for block in blocks if block) + "\n"


def plan_markdown(plan: Plan, shown: int = SHOWN_OPTIONS, *, verbose: bool = False) -> str:
    """The same as Markdown, for a pull request or a wiki page; lines are not wrapped."""
    blocks = [f"## {escape_markdown(plan.workload['name'])}", f"**{escape_markdown(headline(plan))}**"]
    blocks += [markdown_list(list(verdict_lines(plan, shown))), markdown_line(question_words(plan))]
    blocks.append(sections_markdown(_sections(plan, shown, verbose=verbose), level=3))
    return "\n\n".join(block.strip("\n") for block in blocks if block) + "\n"


def _sections(plan: Plan, shown: int, *, verbose: bool) -> list[Section]:
    """Sections in reading order; each only where there is something to show."""
    fleet, conflict = plan.fleet, plan.conflict
    rejected = rejection_counts(plan.rejected) if verbose or fleet is None else ""
    sections = [
        Section("what would help by itself", tuple(relaxation_words(conflict)) if conflict else ()),
        ladder_section(plan, verbose=verbose),
        *([group_section(fleet)] if fleet else []),
        *(_details(plan) if verbose else []),
        option_section(plan, shown),
        *further_sections(plan, verbose=verbose),
        Section("nearest misses", headers=_MISS_COLUMNS, rows=miss_rows(plan)),
        Section("rejected", (rejected,) if rejected else ()),
        Section("notes", plan.notes),
    ]
    return [section for section in sections if section.rows or (section.lines and not section.headers)]


def further_sections(plan: Plan, *, verbose: bool) -> Iterator[Section]:
    """Sections that a terminal, Markdown and the page show in the same way; a new one is yielded here.

    *verbose*: also those that a decision does not need.
    """
    if plan.token_apis and (verbose or any(token_api.asked for token_api in plan.token_apis)):
        yield token_section(plan)


def _details(plan: Plan) -> Iterator[Section]:
    yield Section("question", tuple(question_lines(plan)))
    if plan.fleet is None:
        return
    lines = fleet_lines(plan.fleet, plan.workload["slo"]["within_ratio"])
    if plan.current is not None and plan.savings is not None:
        lines.append(f"saving: {savings_words(plan.current, plan.savings.usd_per_month, plan.savings.ratio)}")
    yield Section("why this fleet", tuple(lines))
    yield from detail_sections(plan.fleet)
    yield Section("how it scales", (*scaling_lines(plan.fleet), *size_lines(plan.fleet, plan.options, plan.ladder)))
    yield Section("predictions and prices", tuple(evidence_lines(plan)))


def _more_words(plan: Plan) -> str:
    """Further content that --verbose shows."""
    fleet, is_asked = plan.fleet is not None, any(token_api.asked for token_api in plan.token_apis)
    parts = [
        "cost, proof, replay, limits, failures, scaling, prices" if fleet else "the question",
        f"{len(plan.rejected):,} rejections by reason" if plan.rejected and fleet else "",
        "services by the token" if plan.token_apis and not is_asked else "",
    ]
    return f"--verbose shows {', '.join(part for part in parts if part)}; --format json holds everything."


def miss_rows(plan: Plan) -> tuple[tuple[str, str, str], ...]:
    """Instance type, precision and obstacle of what came closest."""
    return tuple((miss.instance_type, miss.precision, miss.message) for miss in plan.nearest_misses)
