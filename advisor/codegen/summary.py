"""Why the deployment is what it is, in words and numbers: the rows of the generated README."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from advisor.codegen.aws_platform import Quota
from advisor.cost import NOT_INCLUDED
from advisor.plan.values import Interval, Option, Plan
from advisor.units import HOURS_PER_MONTH

_UNKNOWN = "unknown"
_WHOLE_ABOVE = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: what, and its value."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What the reader of the generated code wants to know of the plan."""

    workload: str
    model: str
    headline: str
    demand: tuple[Row, ...]
    prediction: tuple[Row, ...]
    cost: tuple[Row, ...]
    not_included: str
    quota: Quota
    caution: str
    """Empty when the option is the recommended one."""


def summary_of(plan: Plan, option: Option, quota: Quota) -> Summary:
    """The rows for *option*."""
    return Summary(
        workload=str(plan.workload["name"]),
        model=str(plan.workload["model"]),
        headline=_headline(option),
        demand=tuple(_demand(plan.demand)),
        prediction=tuple(_prediction(plan.workload["slo"], option)),
        cost=tuple(_cost(plan, option)),
        not_included=", ".join(NOT_INCLUDED),
        quota=quota,
        caution=_caution(plan, option),
    )


def usd(amount: float) -> str:
    """An amount of money with cents and thousands separators."""
    sign = "-" if amount < 0 else ""
    return f"{sign}${abs(amount):,.2f}"


def _headline(option: Option) -> str:
    purchase = "spot" if option.purchase == "spot" else "on demand"
    replicas = f"{option.replicas} replica" + ("s" if option.replicas > 1 else "")
    split = f"tensor parallel {option.tensor_parallel}"
    if option.pipeline_parallel > 1:
        split += f", pipeline parallel {option.pipeline_parallel}"
    machine = f"{option.instance_type} ({option.accelerator_count:g} × {option.accelerator}, {purchase})"
    cache = "unquantised" if option.kv_precision == "auto" else option.kv_precision
    weights = f"{option.precision} weights, {cache} KV cache"
    return f"{option.instances} × {machine} in {option.region}: {replicas}, {split}, {weights}"


def _demand(demand: Mapping[str, Any]) -> Iterator[Row]:
    rate, sent, answered = (demand[key] for key in ("requests_per_second", "input_tokens", "output_tokens"))
    yield Row("Requests per second, mean", f"{_figure(rate['mean'])}")
    yield Row("Requests per second, 95th percentile minute", f"{_figure(rate['p95'])}")
    yield Row("Requests per second, busiest minute", f"{_figure(rate['peak'])}")
    yield Row("Prompt tokens, median / 95th percentile", f"{sent['p50']:,.0f} / {sent['p95']:,.0f}")
    yield Row("Answer tokens, median / 95th percentile", f"{answered['p50']:,.0f} / {answered['p95']:,.0f}")
    yield Row("Source", str(demand.get("source") or _UNKNOWN))


def _prediction(slo: Mapping[str, Any], option: Option) -> Iterator[Row]:
    predicted = option.predicted
    yield Row("Time to first token, p95", _latency(predicted.ttft_p95_ms, slo.get("ttft_p95_ms")))
    yield Row("Time per output token after the first, p95", _latency(predicted.tpot_p95_ms, slo.get("tpot_p95_ms")))
    yield Row("Whole answer, p95", _latency(predicted.e2e_p95_ms, slo.get("e2e_p95_ms")))
    rate = predicted.requests_per_second_per_replica
    yield Row("Requests per second that one replica sustains", _interval(rate, ""))
    yield Row("Evidence", option.evidence)


def _latency(predicted: Interval, target_ms: float | None) -> str:
    target = "no target" if target_ms is None else f"target {_figure(target_ms)} ms"
    return f"{_interval(predicted, ' ms')}, {target}"


def _interval(interval: Interval, unit: str) -> str:
    return f"{_figure(interval.value)}{unit} (from {_figure(interval.low)} to {_figure(interval.high)})"


def _figure(value: float) -> str:
    """Three significant digits, never in scientific notation above one."""
    return f"{value:,.0f}" if value >= _WHOLE_ABOVE else f"{value:.3g}"


def _cost(plan: Plan, option: Option) -> Iterator[Row]:
    cost = option.cost
    price = f"${cost.instance_usd_per_hour:,.4f} an hour × {option.instances}"
    yield Row("Instances", f"{price} = ${cost.usd_per_hour:,.4f} an hour")
    yield Row(f"Compute, a month of {HOURS_PER_MONTH} hours", usd(cost.compute_usd_per_month))
    yield Row(f"Total, a month of {HOURS_PER_MONTH} hours", usd(cost.total_usd_per_month))
    yield Row("Per million output tokens", usd(cost.usd_per_million_output_tokens))
    yield Row("Per 1,000 requests", f"${cost.usd_per_1000_requests:,.4f}")
    yield Row("Price", f"{cost.price_source}, {cost.price_as_of or _UNKNOWN} ({cost.price_quality})")
    if plan.current is not None:
        now = plan.current
        yield Row("Today", f"{now.instances} × {now.instance_type}: {usd(now.total_usd_per_month)} a month")
        yield Row("Saved against today", f"{usd(now.total_usd_per_month - cost.total_usd_per_month)} a month")


def _caution(plan: Plan, option: Option) -> str:
    best = plan.recommended
    if best is None or best.rank == option.rank:
        return ""
    more = option.cost.total_usd_per_month - best.cost.total_usd_per_month
    where = f"{best.instances} × {best.instance_type} in {best.region} ({best.provider})"
    return f"The plan recommends {where}; this option costs {usd(more)} a month more."
