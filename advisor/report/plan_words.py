"""A plan in sentences: what was asked, what the answer rests on, and which decision is close."""

from collections.abc import Iterator, Sequence

from advisor.plan.batch_words import run_words
from advisor.plan.unit_words import compared_words, size_words, unit_of
from advisor.plan.values import MeasureFirst, Option, Plan
from advisor.report.fleet_words import forecast_words, price_words, rate_words
from advisor.report.option_words import about
from advisor.report.price_age import oldest_price
from advisor.report.words import slo_words, usd
from advisor.units import rounded, three_digits


def question_words(plan: Plan) -> str:
    """Question of the plan, in a line."""
    size = f", {size_words(plan.demand)}" if unit_of(plan.demand).is_one_pass else ""
    asked = f"{plan.workload['model']}, {_rate_words(plan)}{size}"
    return f"{plan.workload['name']}: {asked}; {slo_words(plan.workload['slo'])}"


def _rate_words(plan: Plan) -> str:
    """Mean and busiest minute as they were seen or stated, or the items of a run of batch work.

    The forecast has a busiest minute of its own.
    """
    rate = plan.demand["requests_per_second"]
    if plan.workload["slo"].get("latency_is_deadline"):
        if plan.fleet is not None and plan.fleet.batch is not None:
            return run_words(plan.fleet.batch)
        return f"{rounded(rate['mean'])} items/s on average, {rounded(rate['peak'])} while a run is worked on"
    origin = " stated" if plan.demand.get("window_seconds") is None else " seen"
    origin = "" if plan.demand.get("interval") else origin
    origin += ", without those that the cache answers" if plan.demand.get("answered_ratio") else ""
    return f"{rounded(rate['mean'])} requests/s on average, {rounded(rate['peak'])} in the busiest minute{origin}"


def question_lines(plan: Plan) -> list[str]:
    """Workload, demand, SLO, and the catalog and predictions that the answer rests on."""
    return [
        f"model: {plan.workload['model']}",
        f"demand: {_rate_words(plan)}; {size_words(plan.demand)}; {plan.demand['source']}",
        *([forecast_words(plan.fleet)] if plan.fleet else []),
        f"SLO: {slo_words(plan.workload['slo'])}",
        f"catalog of {plan.provenance.catalog_as_of}{_oldest(plan)}, predictions {plan.provenance.calibration_version}",
    ]


def _oldest(plan: Plan) -> str:
    """The date of the oldest price that is paid; nothing where none is."""
    oldest = oldest_price(plan)
    return "" if oldest is None else f" (oldest price used: {oldest.as_of or 'no date'})"


def evidence_lines(plan: Plan) -> list[str]:
    """Rates and prices of the fleet, and the cheapest option without spot."""
    if plan.fleet is None:
        return []
    on_spot = any(group.purchase == "spot" for group in plan.fleet.groups)
    return [rate_words(plan.fleet), price_words(plan.fleet), *(_steady_words(plan.options) if on_spot else ())]


def _steady_words(options: Sequence[Option]) -> Iterator[str]:
    """The cheapest option without spot."""
    steady = next((option for option in options if option.purchase == "on_demand"), None)
    if steady is not None:
        count = f"{steady.instances} × {steady.instance_type} in {steady.region}"
        total = f"{about(steady)}{usd(steady.cost.total_usd_per_month)}"
        unjudged = ", not replayed" if about(steady) else ""
        yield f"without spot, the cheapest option is #{steady.rank}, {count} on demand at {total} a month{unjudged}"


def close_call_words(plan: Plan, shown: int) -> Iterator[str]:
    """Which measurement would settle a close decision; a rival beyond the options that are shown has no number."""
    measure_first = plan.measure_first
    if measure_first is None or plan.recommended is None:
        return
    rival = plan.options[measure_first.rival_rank - 1]
    named = f"#{rival.rank}" if rival.rank <= shown else f"{rival.instance_type} in {rival.region}"
    most, least = usd(measure_first.recommended_usd_per_month_high), usd(measure_first.rival_usd_per_month_low)
    is_sure = most == usd(plan.recommended.cost.total_usd_per_month)
    yield (
        f"Close: {named} ({_told(rival)}) may cost as little as {least} a month, and the recommendation "
        f"{most}{'' if is_sure else ' at most'}{_measurement_words(plan, plan.recommended, measure_first)}."
    )


def _measurement_words(plan: Plan, recommended: Option, measure_first: MeasureFirst) -> str:
    """The measurement that would tell; "" where none would."""
    rank, cost_usd, hours = measure_first.rank, measure_first.usd, measure_first.hours
    if rank is None or cost_usd is None or hours is None:
        return ""
    measured = plan.options[rank - 1] if rank else recommended
    load = f"{hours:g} h of load on one {measured.instance_type} ({_told(measured)}; {usd(cost_usd)})"
    return f"; {load}, then `advisor calibrate`, would tell"


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
