"""A plan in sentences: what was asked, what the answer rests on, its risks, its replay, and token services."""

from collections.abc import Iterator, Mapping
from typing import Any

from advisor.cost.standing import cache_usd_per_month
from advisor.plan.doubts import falls_short
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.replay.values import ReplayResult
from advisor.plan.token_apis import TokenApi, carried_mean
from advisor.plan.values import MeasureFirst, Option, Plan
from advisor.plan.words import (
    compared_words,
    run_words,
    size_words,
    spare_hours,
    start_hours,
    unit_of,
)
from advisor.report.fleet_words import capacity_requests_per_second, forecast_words, price_words, rate_words
from advisor.report.option_words import option_cost_words
from advisor.report.price_age import oldest_price
from advisor.report.text_table import Column, Section, dashed, fold_table, render_table, wrap
from advisor.report.words import NO_TARGET, slo_words
from advisor.units import SECONDS_PER_DAY, milliseconds, price_usd, ratio_words, rounded, span_words, three_digits, usd
from advisor.workload.values import Slo

_WHOLE_MS = 10
"""Milliseconds from which no fraction of one is told."""
_GROUP_COLUMNS = (
    Column("group"), Column("requests"), Column("within", 2), Column("instance hours", 1), Column("cost"),
)  # fmt: skip


def filling_words(minutes: int) -> str:
    """Note on the time before a trace in which replicas fill up."""
    return (
        "answers are so long that replicas fill up slowly: before the trace, its first requests are served again for "
        f"{minutes:,} min, and do not count"
    )


def replay_table(title: str, result: ReplayResult, slo: Slo, width: int | None = None) -> str:
    """A line on the whole, latencies beside their targets, and the groups, in lines of a width; None: no limit."""
    latencies: tuple[tuple[str, float | None, float | None], ...] = (
        ("time to first token", result.ttft_p95_ms, slo.ttft_p95_ms),
        ("time per output token", result.tpot_p95_ms, slo.tpot_p95_ms),
        ("end to end", result.e2e_p95_ms, slo.e2e_p95_ms),
    )
    if slo.is_of_whole_answers:
        latencies = (("latency", result.e2e_p95_ms, slo.latency_ms),)
    groups = [
        (
            group.name, f"{group.requests:,}", dashed(group.within_slo_ratio, ratio_words),
            f"{group.instance_hours:,.2f}", usd(group.cost_usd),
        )
        for group in result.by_group
    ]  # fmt: skip
    kept = (
        f"{title}: {dashed(result.within_slo_ratio, ratio_words)} of {result.requests:,} requests kept every target, "
        f"for {usd(result.cost_usd)} of machines in {result.hours:,.2f} h ({usd(result.usd_per_month)} a month)"
    )
    lost = f"refused {result.refused:,} · preempted {result.preemptions:,} · interrupted {result.interruptions:,}"
    rows = [(what, _ms(measured), _ms(limit)) for what, measured, limit in latencies]
    if slo.real_time_factor is not None:
        rows = [(what, value, _of_recording(limit, slo.real_time_factor)) for what, value, limit in rows]
    lines = "\n".join(line for sentence in (kept, lost) for line in wrap(sentence, width))
    tables = [render_table(("p95", "replayed", "target"), rows), *fold_table(_GROUP_COLUMNS, groups, width)]
    return "\n\n".join([lines, *tables]) + "\n"


def _of_recording(limit: str, real_time_factor: float) -> str:
    """Target of a transcript: a share of its recording's length, and of all of them the limit that is stated."""
    share = f"{real_time_factor:g} × recording"
    return share if limit == "-" else f"{share}, {limit}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms" if value >= _WHOLE_MS else milliseconds(value)


_MOST_ERROR = 0.5
"""Error of the hourly rates in the forecast's back-test, from which on it is a risk."""
_BEYOND_PREDICTION = 1.5
"""Replicas planned at so many times the rate that is predicted for them rest on the replay alone."""


def risk_words(plan: Plan) -> str:
    """Every risk that applies, the gravest first: ``57 minutes of history, price, spot``; or ``none``.

    Demand (told from accelerators, or declared), replay, replicas beyond their prediction, lowered predictions,
    history, forecast, measured latency, prediction, network, price, commitment, failure, spot.
    """
    fleet = plan.fleet
    if fleet is None:
        return "none"
    applies = {
        "demand": plan.demand.get("interval") is not None,
        "demand declared (not measured)": _is_declared(plan),
        "replay": fleet.confirmed is None or falls_short(plan, fleet),
        **dict.fromkeys(_headroom_risks(fleet), True),
        **dict.fromkeys(_measured_risks(plan, fleet), True),
        **dict.fromkeys(_history_risks(plan, fleet), True),
        "measured latency": plan.current is not None and bool(plan.current.slower),
        "prediction": any(group.evidence == "roofline" for group in fleet.groups),
        "network not known": any(group.uncounted_gbit_per_second > 0 for group in fleet.groups),
        "price": bool(fleet.doubtful_prices),
        "commitment": fleet.cost.obligation_usd > 0,
        "failure": any(failure.left_ratio <= 0 for failure in fleet.failures) and not _waits_for_another(fleet),
        "spot": any(group.purchase == "spot" for group in fleet.groups),
    }
    return ", ".join(words for words, holds in applies.items() if holds) or "none"


def _waits_for_another(fleet: Fleet) -> bool:
    """Whether the runs of batch work that machines leave in the middle are done in time by those that replace them."""
    spare = spare_hours(fleet)
    return fleet.is_batch_alone and spare is not None and spare >= start_hours(fleet)


def _is_declared(plan: Plan) -> bool:
    """Whether the demand is stated, and nothing was counted."""
    return plan.demand.get("requests") is None and plan.demand.get("interval") is None


def at_the_peak(plan: Plan) -> str:
    """Words on a share of requests that is of the stated peak alone, which declared demand is replayed at; else ""."""
    rates, is_batch_alone = plan.demand["requests_per_second"], plan.fleet is not None and plan.fleet.is_batch_alone
    if is_batch_alone:
        return ""
    peak = " at the stated peak" if _is_declared(plan) and rates["peak"] > rates["mean"] else ""
    return f"{peak} with the stated growth" if (plan.workload.get("growth_per_year") or 0) > 0 else peak


def _headroom_risks(fleet: Fleet) -> Iterator[str]:
    """How far beyond their prediction replicas are planned, where only the replay says that they carry it."""
    planned = [group.planned_requests_per_second_per_instance / group.replicas_per_instance for group in fleet.groups]
    predicted = [group.requests_per_second_per_replica.value for group in fleet.groups]
    ratio = max((rate / expected for rate, expected in zip(planned, predicted, strict=True)), default=0.0)
    if ratio >= _BEYOND_PREDICTION:
        yield f"replicas planned at {rounded(ratio)} × the predicted rate (only the replay holds it)"


def _measured_risks(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Factor by which predictions for the fleet are lowered to what the workload file says was measured."""
    today = plan.current
    if today is not None and any(group.accelerator == today.measured_accelerator for group in fleet.groups):
        yield f"predictions at {today.measured_factor:.2g} × by current.measured"


def _history_risks(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """History of less than a day, and a forecast whose back-test was far off."""
    seconds = plan.demand.get("window_seconds")
    if seconds is not None and seconds < SECONDS_PER_DAY:
        yield f"{span_words(seconds)} of history"
    error = max((test.wape for test in fleet.forecast.backtest if test.chosen), default=0.0)
    if error > _MOST_ERROR:
        yield f"forecast off by {error:.0%}"


def question_words(plan: Plan) -> str:
    """Question of the plan, in a line."""
    size = f", {size_words(plan.demand)}" if unit_of(plan.demand).is_one_pass else ""
    asked = f"{plan.workload['model']}, {_rate_words(plan)}{size}"
    return f"{plan.workload['name']}: {asked}; {asked_words(plan.workload['slo'])}"


def asked_words(slo: Mapping[str, Any]) -> str:
    """Targets, and the share of the requests that has to keep all of them, whatever percentile they are."""
    targets = slo_words(slo)
    if targets == NO_TARGET or slo.get("latency_is_deadline"):
        return targets
    return f"{targets}, for {ratio_words(slo['within_ratio'])} of the requests (slo.within_ratio)"


def _rate_words(plan: Plan) -> str:
    """Mean and busiest minute, seen or stated (a forecast has its own), or the items of a run of batch work."""
    rate = plan.demand["requests_per_second"]
    if plan.workload["slo"].get("latency_is_deadline"):
        if plan.fleet is not None and plan.fleet.batch is not None:
            return run_words(plan.fleet.batch)
        return f"{rounded(rate['mean'])} items/s on average, {rounded(rate['peak'])} while a run is worked on"
    origin = " stated" if plan.demand.get("window_seconds") is None else " seen"
    origin = " counted" if plan.demand.get("capped") else "" if plan.demand.get("interval") else origin
    origin += ", without those that the cache answers" if plan.demand.get("answered_ratio") else ""
    return f"{rounded(rate['mean'])} requests/s on average, {rounded(rate['peak'])} in the busiest minute{origin}"


def question_lines(plan: Plan) -> list[str]:
    """Workload, demand, SLO, and the catalog and predictions that the answer rests on."""
    price = oldest_price(plan)
    oldest = "" if price is None else f" (oldest price used: {price.as_of or 'no date'})"
    return [
        f"model: {plan.workload['model']}",
        f"demand: {_rate_words(plan)}; {size_words(plan.demand)}; {plan.demand['source']}",
        *([forecast_words(plan.fleet)] if plan.fleet else []),
        f"SLO: {asked_words(plan.workload['slo'])}",
        f"catalog of {plan.provenance.catalog_as_of}{oldest}, predictions {plan.provenance.calibration_version}",
    ]


def evidence_lines(plan: Plan) -> list[str]:
    """Rates and prices of the fleet, and the cheapest option without spot."""
    if plan.fleet is None:
        return []
    on_spot = any(group.purchase == "spot" for group in plan.fleet.groups)
    steady = _steady_words(plan) if on_spot else ()
    return [rate_words(plan.fleet), price_words(plan.fleet), *steady, *_open_call_words(plan)]


def _steady_words(plan: Plan) -> Iterator[str]:
    """The cheapest option without spot."""
    steady = next((option for option in plan.options if option.purchase == "on_demand"), None)
    if steady is not None:
        yield f"without spot, the cheapest option is {option_cost_words(steady, plan.ladder)}"


def close_call_words(plan: Plan, shown: int) -> Iterator[str]:
    """Which measurement would settle a close decision; a rival beyond the options that are shown has no number.

    None where no measurement would: there is nothing to do about it.
    """
    measure_first, recommended = plan.measure_first, plan.recommended
    if measure_first is None or recommended is None:
        return
    if measurement := _measurement_words(plan, recommended, measure_first):
        yield f"Too close to call: {_rival_words(plan, recommended, measure_first, shown)}{measurement}."


def _open_call_words(plan: Plan) -> Iterator[str]:
    """A close decision that no measurement would settle, as nothing is learned from those of one-pass models."""
    measure_first, recommended = plan.measure_first, plan.recommended
    if measure_first is None or recommended is None or _measurement_words(plan, recommended, measure_first):
        return
    yield f"too close to call, and no measurement would tell: {_rival_words(plan, recommended, measure_first, 0)}"


def _rival_words(plan: Plan, recommended: Option, measure_first: MeasureFirst, shown: int) -> str:
    """Cost of a rival and of the recommendation by the range of predicted rates."""
    rival = plan.options[measure_first.rival_rank - 1]
    named = f"#{rival.rank}" if rival.rank <= shown else f"{rival.instance_type} in {rival.region}"
    most, least = usd(measure_first.recommended_usd_per_month_high), usd(measure_first.rival_usd_per_month_low)
    is_sure = most == usd(recommended.cost.total_usd_per_month)
    return (
        f"{named} ({_told(rival)}) may cost as little as {least} a month, "
        f"{f'less than the recommendation at {most}' if is_sure else f'and the recommendation {most} at most'}, "
        "by the range of predicted rates, at the prices planned"
    )


def _measurement_words(plan: Plan, recommended: Option, measure_first: MeasureFirst) -> str:
    """The measurement that would tell; "" where none would."""
    rank, cost_usd, hours = measure_first.rank, measure_first.usd, measure_first.hours
    if rank is None or cost_usd is None or hours is None:
        return ""
    measured = plan.options[rank - 1] if rank else recommended
    price = "runs today" if plan.current is not None and plan.current.runs(measured) else usd(cost_usd)
    load = f"{hours:g} h of load on one {measured.instance_type} ({_told(measured)}; {price})"
    return f". {load}, then `advisor calibrate`, would tell"


def _told(option: Option) -> str:
    return f"{option.accelerator}, {option.precision}"


def measured_words(plan: Plan) -> Iterator[str]:
    """Latency of today's machines far above its prediction, and how many of their kind are planned all the same."""
    current, fleet = plan.current, plan.fleet
    if current is None or not current.slower:
        return
    ratio = max(each.measured_ms / each.predicted_ms for each in current.slower)
    kind = (current.provider, current.instance_type)
    groups = [] if fleet is None else [each for each in fleet.groups if (each.provider, each.instance_type) == kind]
    planned = sum(group.instances[-1] for group in groups)
    fewer = f"{planned} are planned where {current.instances} run: "
    yield (
        f"Measured: users get up to {three_digits(ratio)} × what is predicted of {current.instance_type} "
        f"({compared_words(current.slower)}); {fewer if 0 < planned < current.instances else ''}"
        "find out what takes the time before anything is taken away."
    )


_HEADERS = (
    Column("service"),
    Column("model"),
    Column("weights", importance=4),
    Column("USD/month"),
    Column("USD/1M in", importance=2),
    Column("USD/1M out", importance=3),
    Column("fleet cheaper from", importance=1),
)
_SHOWN = 3


def token_section(plan: Plan) -> Section:
    """The cheapest services with the same weights, and every model that the workload names."""
    same = [token_api for token_api in plan.token_apis if token_api.same_weights and not token_api.asked][:_SHOWN]
    shown = [token_api for token_api in plan.token_apis if token_api.asked or token_api in same]
    dates = " and ".join(sorted({token_api.price_as_of for token_api in shown}))
    lines = [f"the mean demand at list prices of {dates}: no latency target, no volume discount"]
    if plan.fleet is not None and plan.fleet.response_cache is not None:
        lines.append("of the requests behind the response cache, whose cost is in each: it stands in front of all")
    if any(not token_api.same_weights for token_api in shown):
        lines.append("other weights answer otherwise: their quality is not compared")
    if plan.fleet is not None:
        lines.append(_break_even_words(plan, shown[0]))
    rows = tuple(_cells(token_api, plan.fleet) for token_api in shown)
    return Section("the same requests by the token, for comparison", tuple(lines), _HEADERS, rows)


def carried_mean_of(fleet: Fleet) -> float:
    """Mean rate at which the busiest minute is all that the fleet is planned to carry."""
    return carried_mean(
        (
            hours.hours_per_week,
            hours.mean_requests_per_second,
            hours.planned_requests_per_second,
            capacity_requests_per_second(fleet, at),
        )
        for at, hours in enumerate(fleet.hour_classes)
    )


def is_beyond(fleet: Fleet, requests_per_second: float) -> bool:
    """Whether a mean rate has busier minutes than a fleet of this size is planned to carry."""
    return requests_per_second > carried_mean_of(fleet)


def mean_rate_words(fleet: Fleet | None, requests_per_second: float) -> str:
    """``4.87 requests/s``, said to be behind the cache where one answers the others."""
    behind = " behind the cache" if fleet is not None and fleet.response_cache is not None else ""
    return f"{rounded(requests_per_second)} requests/s{behind}"


def never_words(rate: str, carried: float) -> str:
    """Clause that a fleet never costs less than a service: it would from one mean rate, and is full at another."""
    return f"never costs less at this size. It would from {rate} on average, and is full at {rounded(carried)}"


def _break_even_words(plan: Plan, cheapest: TokenApi) -> str:
    """Mean rate from which the fleet costs less than the cheapest service."""
    rate, mean = cheapest.break_even_requests_per_second or 0.0, plan.demand["requests_per_second"]["mean"]
    fleet = usd(plan.fleet.cost.total_usd_per_month) if plan.fleet else ""
    if rate <= mean:
        least = mean_rate_words(plan.fleet, rate)
        return f"at {fleet} the fleet costs less than each of them, and would from {least} on average"
    if plan.fleet and is_beyond(plan.fleet, rate):
        least = mean_rate_words(plan.fleet, rate)
        return f"against {cheapest.name} the fleet {never_words(least, carried_mean_of(plan.fleet))}"
    return (
        f"the fleet at {fleet} would have to carry {mean_rate_words(plan.fleet, rate)} on average to cost less than "
        f"{cheapest.name}; {rounded(mean)} is the mean demand"
    )


def _cells(api: TokenApi, fleet: Fleet | None) -> tuple[str, ...]:
    return (
        api.provider,
        api.api_model,
        "the same" if api.same_weights else "other",
        f"{api.total_usd_per_month:,.2f}",
        price_usd(api.input_usd_per_million).removeprefix("$"),
        price_usd(api.output_usd_per_million).removeprefix("$"),
        _cheaper_from(api.break_even_requests_per_second, fleet),
    )


def _cheaper_from(requests_per_second: float | None, fleet: Fleet | None) -> str:
    if requests_per_second is None or fleet is None:
        return ""
    return (
        "never at this size" if is_beyond(fleet, requests_per_second) else mean_rate_words(fleet, requests_per_second)
    )


def cheaper_service(plan: Plan) -> Iterator[str]:
    """The cheapest service with the same weights, where it costs less than the fleet."""
    if plan.fleet is None:
        return
    same = [token_api for token_api in plan.token_apis if token_api.same_weights]
    cheapest = min(same, key=lambda token_api: token_api.total_usd_per_month, default=None)
    if cheapest is None or cheapest.total_usd_per_month >= plan.fleet.cost.total_usd_per_month:
        return
    rate = cheapest.break_even_requests_per_second
    more = "" if rate is None else f"; {_from_rate(plan.fleet, rate)}"
    cache = "" if plan.fleet.response_cache is None else " with the same cache in front"
    yield (
        f"By the token: {cheapest.name} asks {usd(cheapest.total_usd_per_month)} for the same weights{cache}, without "
        f"a latency target{_as_answered_words(plan, cheapest)}{more}."
    )


def _as_answered_words(plan: Plan, service: TokenApi) -> str:
    """Clause on what a service asks for as many requests as concurrent users send where the fleet answers them."""
    planned, answered = plan.demand["requests_per_second"]["mean"], plan.demand.get("requests_per_second_as_answered")
    if answered is None or plan.fleet is None or rounded(answered) == rounded(planned):
        return ""
    cache_usd = cache_usd_per_month(plan.fleet.standing)
    asked = (service.total_usd_per_month - cache_usd) * answered / planned + cache_usd
    return (
        f", of {rounded(planned)} requests/s that the users send where answers are as slow as the targets; they send "
        f"{rounded(answered)} where this fleet answers, for which it asks {usd(asked)}"
    )


def _from_rate(fleet: Fleet, requests_per_second: float) -> str:
    rate = mean_rate_words(fleet, requests_per_second)
    if is_beyond(fleet, requests_per_second):
        return f"the fleet {never_words(rate, carried_mean_of(fleet))}"
    return f"the fleet costs less from {rate} on average"
