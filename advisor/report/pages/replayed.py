"""Distribution of each latency of the replay, against its target: share of the requests that took no longer."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from advisor.plan.fleet.chosen import Fleet, LatencyDistribution
from advisor.plan.unit_words import first_name, unit_of
from advisor.plan.values import Plan
from advisor.report.pages.axes import Axis, log_around, percent
from advisor.report.sections import Section
from advisor.units import milliseconds, ratio_words

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_PERCENTS = 100.0


@dataclass(frozen=True, slots=True)
class DistributionChart:
    """A latency at its percentiles, in percent of the chart's box: ms to the right, share of the requests upward."""

    title: str
    points: tuple[tuple[str, str, str], ...]
    """x, y and words of each percentile."""
    lines: tuple[tuple[str, str, str, str], ...]
    """Between neighbours: x1, y1, x2, y2."""
    x_marks: tuple[tuple[str, str], ...]
    y_marks: tuple[tuple[str, str], ...]
    target: str
    """Place of the target; "" without one."""
    target_words: str
    summary: str


def distribution_charts(plan: Plan, fleet: Fleet) -> Iterator[DistributionChart]:
    """A chart for each latency that the plan holds the distribution of."""
    for latency in fleet.latencies:
        yield _chart(_title(plan, latency), latency, _target_ms(plan, latency))


def distribution_section(plan: Plan, fleet: Fleet) -> Section:
    """The same numbers as a table, with the share of the requests within each target."""
    rows = tuple(_cells(_title(plan, latency), latency, _target_ms(plan, latency)) for latency in fleet.latencies)
    names = fleet.latencies[0].quantiles if fleet.latencies else {}
    return Section("latency at percentiles", headers=("", *map(_percentile, names), "target", "within it"), rows=rows)


def _title(plan: Plan, latency: LatencyDistribution) -> str:
    return {
        "ttft": "TTFT",
        "tpot": "TPOT",
        "e2e": "whole answer",
        "latency": first_name(unit_of(plan.demand)).removesuffix(" p95"),
    }[latency.name]


def _target_ms(plan: Plan, latency: LatencyDistribution) -> float | None:
    name = "latency_ms" if latency.name == "latency" else f"{latency.name}_p95_ms"
    target: float | None = plan.workload["slo"].get(name)
    return target


def _chart(title: str, latency: LatencyDistribution, target_ms: float | None) -> DistributionChart:
    targets = () if target_ms is None else (target_ms,)
    x, y = log_around((*latency.quantiles.values(), *targets)), Axis(0.0, 1.0)
    points = tuple(
        (percent(x.at(ms)), percent(_PERCENTS - y.at(quantile)), f"{_percentile(quantile)}: {milliseconds(ms)}")
        for quantile, ms in latency.quantiles.items()
    )
    told = ", ".join(words for _, _, words in points)
    return DistributionChart(
        title=title,
        points=points,
        lines=tuple((x1, y1, x2, y2) for (x1, y1, _), (x2, y2, _) in pairwise(points)),
        x_marks=tuple((percent(x.at(mark)), milliseconds(mark)) for mark in x.marks()),
        y_marks=tuple((percent(_PERCENTS - y.at(share)), ratio_words(share)) for share in _SHARES),
        target="" if target_ms is None else percent(x.at(target_ms)),
        target_words="" if target_ms is None else f"target {milliseconds(target_ms)}",
        summary=f"Share of {latency.requests:,} answers against {title}. {told}.{_within(latency)}",
    )


def _within(latency: LatencyDistribution) -> str:
    ratio = latency.within_target_ratio
    return "" if ratio is None else f" {ratio_words(ratio)} are within the target."


def _cells(title: str, latency: LatencyDistribution, target_ms: float | None) -> tuple[str, ...]:
    ratio = latency.within_target_ratio
    return (
        title,
        *map(milliseconds, latency.quantiles.values()),
        "-" if target_ms is None else milliseconds(target_ms),
        "-" if ratio is None else ratio_words(ratio),
    )


def _percentile(quantile: float) -> str:
    """``p99.9``."""
    return f"p{_PERCENTS * quantile:.10g}"
