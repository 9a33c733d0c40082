"""A plan in sentences: what was asked, what to do, what to know before doing it."""

from collections.abc import Sequence

from advisor.plan.values import MeasureFirst, Option, Plan
from advisor.report.fleet_words import (
    fleet_words,
    forecast_words,
    price_words,
    proof_words,
    rate_words,
    ratio_words,
)
from advisor.report.limits_words import conflict_words
from advisor.report.price_age import oldest_price
from advisor.report.words import floor_words, savings_words, slo_words, usd


def heading(plan: Plan) -> list[str]:
    """What was asked: workload, demand, SLO and what the answer rests on."""
    rate = plan.demand["requests_per_second"]
    tokens_in, tokens_out = plan.demand["input_tokens"], plan.demand["output_tokens"]
    return [
        f"{plan.workload['name']}: {plan.workload['model']}",
        (
            f"demand: {rate['mean']:.3g} requests/s on average, {rate['peak']:.3g} in the busiest minute; "
            f"{tokens_in['mean']:,.0f} tokens in (p95 {tokens_in['p95']:,.0f}), "
            f"{tokens_out['mean']:,.0f} out (p95 {tokens_out['p95']:,.0f}); {plan.demand['source']}"
        ),
        *([forecast_words(plan.fleet)] if plan.fleet else []),
        f"SLO: {slo_words(plan.workload['slo'])}",
        f"catalog of {plan.provenance.catalog_as_of}{_oldest(plan)}, predictions {plan.provenance.calibration_version}",
    ]


def _oldest(plan: Plan) -> str:
    """The date of the oldest price that is paid; nothing where none is."""
    oldest = oldest_price(plan)
    return "" if oldest is None else f" (oldest price used: {oldest.as_of or 'no date'})"


def advice(plan: Plan) -> str:
    """What to do and why, in a sentence or two."""
    fleet = plan.fleet
    if fleet is None:
        told = conflict_words(plan.conflict) if plan.conflict else ""
        return f"{told or 'Nothing in the catalog serves this workload within its limits.'}{floor_words(plan.rejected)}"
    sentence = f"Run {fleet_words(fleet)}: {usd(fleet.cost.total_usd_per_month)} a month; {proof_words(fleet)}"
    if plan.current is not None and plan.savings is not None:
        saved = savings_words(plan.current, plan.savings.usd_per_month, plan.savings.ratio)
        sentence += f"; its compute is {saved}"
    wanted = plan.workload["slo"]["within_ratio"]
    if fleet.confirmed is not None and fleet.confirmed.within_slo_ratio < wanted:
        found = ratio_words(fleet.confirmed.within_slo_ratio)
        return (
            f"{sentence}. Do not rely on it: its replay finds {found} of the requests within the SLO, and "
            f"{ratio_words(wanted)} are asked."
        )
    return f"{sentence}."


def remarks(plan: Plan) -> list[str]:
    """What a reader must know before acting on it."""
    lines = [rate_words(plan.fleet), price_words(plan.fleet)] if plan.fleet else []
    if plan.fleet is not None and any(group.purchase == "spot" for group in plan.fleet.groups):
        lines += _steady_words(plan.options)
    if plan.measure_first is not None:
        lines.append(_measure_words(plan.options, plan.measure_first))
    return [*lines, *plan.notes]


def _steady_words(options: Sequence[Option]) -> list[str]:
    """What would do without spot."""
    steady = next((option for option in options if option.purchase == "on_demand"), None)
    if steady is None:
        return []
    count = f"{steady.instances} × {steady.instance_type} in {steady.region}"
    total = usd(steady.cost.total_usd_per_month)
    return [f"without spot, the cheapest single type on demand is #{steady.rank}, {count} at {total} a month"]


def _measure_words(options: Sequence[Option], found: MeasureFirst) -> str:
    """Which measurement would settle a close decision."""
    rival, measured = options[found.rival_rank - 1], options[found.rank - 1]
    return (
        f"too close to call among single types: #1 may cost up to {usd(found.recommended_usd_per_month_high)} a month "
        f"and #{rival.rank} ({rival.accelerator}, {rival.precision}) as little as "
        f"{usd(found.rival_usd_per_month_low)}; the cheapest measurement that narrows it is {found.hours:g} h of load "
        f"on one {measured.instance_type} ({measured.accelerator}, {measured.precision}, #{measured.rank}; "
        f"{usd(found.usd)}), then `advisor calibrate`"
    )
