"""Numbers and options in words; each phrase is made in one place for every format."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.cost import NOT_INCLUDED
from advisor.plan.values import CurrentCost, MeasureFirst, Option, Plan, Rejection

OPTION_HEADERS = (
    "#", "provider", "region", "instance type", "accelerator", "purchase", "precision", "TP", "count", "replicas",
    "TTFT p95", "TPOT p95", "req/s each", "USD/month", "USD/1M out",
)  # fmt: skip

_CODE_WORDS = {
    "budget": "over the budget",
    "max_replicas": "need more replicas than allowed",
    "memory": "too little memory",
    "model_unsupported": "engine does not list the model",
    "not_sold": "not sold in these regions",
    "parallelism": "heads cannot be split so",
    "precision_unsupported": "precision not served there",
    "prediction_abstained": "outside what can be predicted",
    "price_unknown": "price unknown",
    "slo_e2e": "too slow end to end",
    "slo_tpot": "too slow per token",
    "slo_ttft": "too slow to the first token",
    "unknown_hardware": "hardware facts unknown",
}

_FLOORS = {"slo_ttft": "TTFT p95", "slo_tpot": "TPOT p95", "slo_e2e": "end-to-end p95"}
_JUDGED = (*_FLOORS, "max_replicas", "price_unknown", "budget")
"""What is judged of those that can hold the model, in that order."""


def usd(amount: float) -> str:
    """``$1,234.50``; negative amounts keep their sign in front."""
    return f"-${-amount:,.2f}" if amount < 0 else f"${amount:,.2f}"


def milliseconds(value_ms: float) -> str:
    """``35 ms`` or ``1.2 s``: three significant digits."""
    return f"{value_ms:.3g} ms" if value_ms < 1000 else f"{value_ms / 1000:.3g} s"


def purchase_words(purchase: str) -> str:
    """``on demand`` or ``spot``."""
    return purchase.replace("_", " ")


def hardware_words(option: Option) -> str:
    """``8×A100-40GB-SXM``, or ``56×1g.5gb of A100-40GB-SXM`` where the accelerators are cut."""
    if option.partition:
        return f"{option.replicas_per_instance}×{option.partition.removeprefix('mig-')} of {option.accelerator}"
    return f"{option.accelerator_count:g}×{option.accelerator}"


def option_cells(option: Option) -> tuple[str, ...]:
    """The cells of an option under :data:`OPTION_HEADERS`."""
    predicted = option.predicted
    return (
        str(option.rank), option.provider, option.region, option.instance_type,
        hardware_words(option), purchase_words(option.purchase), option.precision,
        str(option.tensor_parallel), str(option.instances), str(option.replicas),
        milliseconds(predicted.ttft_p95_ms.value), milliseconds(predicted.tpot_p95_ms.value),
        f"{predicted.requests_per_second_per_replica.value:.3g}",
        f"{option.cost.total_usd_per_month:,.2f}", f"{option.cost.usd_per_million_output_tokens:,.2f}",
    )  # fmt: skip


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
        f"SLO: {slo_words(plan.workload['slo'])}",
        f"catalog of {plan.provenance.catalog_as_of}, predictions {plan.provenance.calibration_version}",
    ]


def slo_words(slo: Mapping[str, Any]) -> str:
    """``TTFT p95 ≤ 1 s, TPOT p95 ≤ 50 ms``."""
    names = {
        "ttft_p95_ms": "TTFT p95",
        "tpot_p95_ms": "TPOT p95 (per token after the first)",
        "e2e_p95_ms": "end-to-end p95",
    }
    targets = [f"{words} ≤ {milliseconds(slo[key])}" for key, words in names.items() if slo[key] is not None]
    return ", ".join(targets) or "none stated"


def advice(plan: Plan) -> str:
    """One sentence: what to do, and why."""
    option = plan.recommended
    if option is None:
        return f"Nothing in the catalog serves this workload within its limits.{floor_words(plan.rejected)}"
    sentence = (
        f"Run {option.instances} × {option.instance_type} ({hardware_words(option)}) on "
        f"{option.provider} in {option.region}, {purchase_words(option.purchase)}, {option.precision} with tensor "
        f"parallelism {option.tensor_parallel} ({_count(option.replicas, 'replica')}): "
        f"{usd(option.cost.total_usd_per_month)} a month, the cheapest of "
        f"{_count(len(plan.options), 'option')} that keep the SLO"
    )
    if plan.current is None or plan.savings is None:
        return f"{sentence}."
    return f"{sentence}; {savings_words(plan.current, plan.savings.usd_per_month, plan.savings.ratio)}."


def floor_words(rejected: Sequence[Rejection]) -> str:
    """The shortest latency of all candidates, where a target is below it; "" where something else stands in the way."""
    judged = [code for code in _JUDGED if any(one.code == code for one in rejected)]
    if not judged or judged[-1] not in _FLOORS:
        return ""
    floors = [
        (one.available, one)
        for one in rejected
        if one.code == judged[-1] and isinstance(one.available, int | float)
    ]  # fmt: skip
    floor_ms, fastest = min(floors, key=lambda floor: floor[0])
    of_those = " of those that keep the targets before it" if len(judged) > 1 else ""
    split = f" on {fastest.tensor_parallel} accelerators" if (fastest.tensor_parallel or 1) > 1 else ""
    return (
        f" The fastest candidate{of_those}, {fastest.instance_type} {fastest.precision}{split}, has "
        f"{_FLOORS[fastest.code]} {milliseconds(floor_ms)} with no other load; no target below that can be kept."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def savings_words(current: CurrentCost, usd_per_month: float, ratio: float) -> str:
    """The recommendation against what runs today."""
    today = f"{current.instances} × {current.instance_type} today ({usd(current.total_usd_per_month)})"
    if usd_per_month < 0:
        return f"{usd(-usd_per_month)} ({-ratio:.0%}) more than {today}"
    return f"{usd(usd_per_month)} ({ratio:.0%}) less than {today}"


def remarks(plan: Plan) -> list[str]:
    """What a reader must know before acting on it."""
    lines = []
    option = plan.recommended
    if option is not None:
        predicted = option.predicted
        lines.append(
            f"predicted at the busiest minute ({option.evidence}): "
            f"TTFT p95 {interval_ms(predicted.ttft_p95_ms)}, TPOT p95 {interval_ms(predicted.tpot_p95_ms)}, "
            f"end to end p95 {interval_ms(predicted.e2e_p95_ms)}; "
            f"price of {option.cost.price_as_of or 'unknown date'} ({option.cost.price_quality}), without "
            f"{', '.join(NOT_INCLUDED)}"
        )
        if option.purchase == "spot":
            lines.append(_spot_remark(plan.options))
    if plan.measure_first is not None:
        lines.append(_measure_words(plan.options, plan.measure_first))
    lines.extend(plan.notes)
    return lines


def _measure_words(options: Sequence[Option], found: MeasureFirst) -> str:
    """Which measurement would settle a close decision."""
    rival, measured = options[found.rival_rank - 1], options[found.rank - 1]
    return (
        f"too close to call: #1 may cost up to {usd(found.recommended_usd_per_month_high)} a month and #{rival.rank} "
        f"({rival.accelerator}, {rival.precision}) as little as {usd(found.rival_usd_per_month_low)}; the cheapest "
        f"measurement that narrows it is {found.hours:g} h of load on one {measured.instance_type} "
        f"({measured.accelerator}, {measured.precision}, #{measured.rank}; {usd(found.usd)}), then `advisor calibrate`"
    )


def interval_ms(interval: Any) -> str:  # noqa: ANN401 - any value with value, low and high
    """``410 ms (250 to 690 ms)``."""
    return f"{milliseconds(interval.value)} ({milliseconds(interval.low)} to {milliseconds(interval.high)})"


def rejection_counts(rejected: Sequence[Rejection]) -> str:
    """``412 too little memory, 30 price unknown``: most frequent first."""
    counts = Counter(rejection.code for rejection in rejected)
    return ", ".join(f"{count} {_CODE_WORDS.get(code, code)}" for code, count in counts.most_common())


def _spot_remark(options: Sequence[Option]) -> str:
    remark = "spot capacity can be withdrawn at short notice (30 s to 2 min), and there may be none to start with"
    steady = next((option for option in options if option.purchase == "on_demand"), None)
    if steady is None:
        return remark
    return (
        f"{remark}; the cheapest on demand is #{steady.rank}, {steady.instances} × {steady.instance_type} in "
        f"{steady.region} at {usd(steady.cost.total_usd_per_month)} a month"
    )
