"""The files of ``advisor generate monitoring``: rules and their test for Prometheus, a dashboard for Grafana.

Error budgets burn ``b`` times too fast where more than ``b × 5 %`` of the requests are beyond a target at the 95th
percentile, that is where their ``(1 - b × 5 %)`` quantile is beyond it; two windows each, so that an alert comes and
goes soon (Google's SRE workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts").
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from advisor.codegen.engines.metrics import METRICS
from advisor.codegen.monitoring.watched import Target, Watched, watched
from advisor.plan.values import Plan
from advisor.records import dataclass, field
from advisor.tables import Row, read_rows
from advisor.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MILLION

_BURNS = (
    (14.4, "1h", "5m", "page"),
    (6.0, "6h", "30m", "page"),
    (3.0, "1d", "2h", "ticket"),
    (1.0, "3d", "6h", "ticket"),
)
"""Times too fast, long and short window, and who is told."""
_TOO_OFTEN = "more often than it may"
_OVER_BUDGET_RATIO = 1.05
_DEARER_RATIO = 1.5
_OVERSIZED_RATIO = 0.5
_KV_FULL_RATIO = 0.9
_KV_HALF_RATIO = 0.5
_FAILED_RATIO = 0.01


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that Prometheus keeps."""

    record: str
    expression: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of Prometheus."""

    name: str
    expression: str
    wait: str
    severity: str
    summary: str
    description: str
    labels: Mapping[str, str] = field(default_factory=dict)


def recordings_of(plan: Watched) -> Iterator[Recording]:
    """Series of what is served and spent, beside what was planned."""
    yield Recording("advisor:replicas:count", f"count(count by ({plan.replica_labels}) ({plan.present}))")
    if plan.publishes("requests_running"):
        yield Recording("advisor:requests_running:sum", f"sum({plan.series('requests_running')})")
    if plan.publishes("requests_waiting"):
        yield Recording("advisor:requests_waiting:sum", f"sum({plan.series('requests_waiting')})")
    if plan.publishes("kv_cache_used_ratio"):
        yield Recording("advisor:kv_cache_used:ratio", f"avg({plan.series('kv_cache_used_ratio')})")
    yield Recording("advisor:requests_per_second:rate5m", plan.finished_rate("5m"))
    yield Recording("advisor:requests_per_second:rate1h", plan.finished_rate("1h"))
    if plan.publishes("generated_tokens"):
        rate = f"sum(rate({plan.series('generated_tokens')}[1h]))"
        yield Recording("advisor:output_tokens_per_second:rate1h", rate)
    yield Recording("advisor:usd_per_hour:actual", f"{plan.own('replicas:count')} * {plan.usd_per_replica_hour:.6g}")
    yield Recording("advisor:usd_per_hour:planned", f"vector({plan.usd_per_hour:.6g})")
    spent = f"avg_over_time({plan.own('usd_per_hour:actual')}[1h])"
    for unit, series, size, planned in (
        ("1000_requests", "requests", 1000, plan.usd_per_1000_requests),
        ("million_output_tokens", "output_tokens", TOKENS_PER_MILLION, plan.usd_per_million_output_tokens),
    )[: 2 if plan.publishes("generated_tokens") else 1]:
        served = f"({plan.own(f'{series}_per_second:rate1h')} * {SECONDS_PER_HOUR / size:.6g} > 0)"
        yield Recording(f"advisor:usd_per_{unit}:actual", f"{spent} / {served}")
        yield Recording(f"advisor:usd_per_{unit}:planned", f"vector({planned:.6g})")
    each = plan.requests_per_second_per_replica
    yield Recording("advisor:requests_per_second:capacity", f"{plan.own('replicas:count')} * {each:.6g}")
    for target in _told(plan):
        value = plan.quantile(target, 1 - target.beyond_ratio, "5m")
        yield Recording(f"advisor:{target.name}_seconds:{target.percentile}", value)
        yield Recording(f"advisor:{target.name}_seconds:target", f"vector({target.seconds:.6g})")
    failed = _failed(plan)
    if failed:
        yield Recording("advisor:failed:ratio_rate5m", failed)
        failing = f"{plan.own('usd_per_hour:actual')} * {plan.own('failed:ratio_rate5m')}"
        yield Recording("advisor:usd_per_hour:failed", failing)


def alerts_of(plan: Watched) -> Iterator[Alert]:
    """Alerts for people: targets missed, money beyond the plan, capacity too small or too large."""
    for target in _told(plan):
        yield from _burns(plan, target) if plan.has_histogram(target) else _over_target(plan, target)
    yield from _of_money(plan)
    yield from _of_capacity(plan)
    gone = f"absent({plan.present})"
    yield Alert(
        "AdvisorNothingMeasured", gone, "10m", "page", "no engine of the workload is seen",
        "Nothing runs, or nothing scrapes it; every other rule is silent meanwhile.",
    )  # fmt: skip


def _told(plan: Watched) -> Iterator[Target]:
    """Targets whose times some engine tells."""
    return (target for target in plan.targets if plan.tells(target))


def _burns(plan: Watched, target: Target) -> Iterator[Alert]:
    """The alerts of one latency target."""
    allowed = target.beyond_ratio
    for times, long, short, severity in _BURNS:
        if times * allowed >= 1:  # more than all requests: of the median no budget burns so fast
            continue
        quantile = round(1 - times * allowed, 4)
        often = _TOO_OFTEN if times == 1 else f"{times:g} times as often as it may"
        over = [f"{plan.quantile(target, quantile, window)} > {target.seconds:.6g}" for window in (long, short)]
        yield Alert(
            "AdvisorLatencyBudgetBurn", " and ".join(over), "2m", severity,
            f"{_title(target)} is beyond its target {often}",
            f"More than {times * allowed:.0%} of the requests of the last {long} and of the last {short} "
            f"took longer than {target.seconds:g} s; {100 * allowed:g} % may.",
            {"target": target.name, "window": long},
        )  # fmt: skip


def _over_target(plan: Watched, target: Target) -> Iterator[Alert]:
    """The alert of a latency of which engines tell a few quantiles of the last minute: no budget follows from them."""
    over = [
        f"{plan.quantile(target, 1 - target.beyond_ratio, window)} > {target.seconds:.6g}" for window in ("1h", "5m")
    ]
    yield Alert(
        "AdvisorLatencyOverTarget", " and ".join(over), "2m", "page",
        f"{_title(target)} {target.percentile} is over its target",
        f"On the mean of the last hour and of the last 5 minutes it was over {target.seconds:g} s.",
        {"target": target.name},
    )  # fmt: skip


def _title(target: Target) -> str:
    return target.name.capitalize() if target.name == "latency" else target.name.upper()


def _of_money(plan: Watched) -> Iterator[Alert]:
    spent = f"avg_over_time({plan.own('usd_per_hour:actual')}[7d])"
    monthly = f"{spent} * {HOURS_PER_MONTH:g}"
    budget = plan.budget_usd_per_month
    yield Alert(
        "AdvisorOverBudget", f"{monthly} > {budget * _OVER_BUDGET_RATIO:.6g}", "1h", "ticket",
        "a month like the last seven days costs more than it may",
        f"{plan.budget_words}: {budget:,.2f} USD a month; now {{{{ $value | humanize }}}}. Plan again with "
        "`advisor recommend`.",
    )  # fmt: skip
    served = f"(avg_over_time({plan.own('requests_per_second:rate1h')}[7d]) * {SECONDS_PER_HOUR / 1000:g} > 0)"
    dearer = f"{spent} / {served} > {plan.usd_per_1000_requests * _DEARER_RATIO:.6g}"
    yield Alert(
        "AdvisorRequestsDearerThanPlanned", dearer, "1d", "ticket",
        "a request of the last seven days costs half as much again as planned, or more",
        f"Planned: {plan.usd_per_1000_requests:.4g} USD for 1,000; now {{{{ $value | humanize }}}}. "
        "The load is below the plan's, or more runs than was planned.",
    )  # fmt: skip
    if _failed(plan):
        yield Alert(
            "AdvisorPaidForFailures", f"{plan.own('failed:ratio_rate5m')} > {_FAILED_RATIO:g}", "15m", "page",
            f"more than 1 % of the requests {_error_words(plan)}",
            "{{ $value | humanizePercentage }} fail; advisor:usd_per_hour:failed is what they cost.",
        )  # fmt: skip


def _of_capacity(plan: Watched) -> Iterator[Alert]:
    load, capacity = plan.own("requests_per_second:rate5m"), plan.own("requests_per_second:capacity")
    yield Alert(
        "AdvisorLoadBeyondPlan", f"{load} > {capacity}", "15m", "page",
        "more requests arrive than the running replicas are planned to carry",
        f"A replica is planned for {plan.requests_per_second_per_replica:.4g} requests/s, the fleet for "
        f"{plan.peak_requests_per_second:.4g}.",
    )  # fmt: skip
    half = f"{_OVERSIZED_RATIO * plan.used_ratio:.6g} * min_over_time({capacity}[7d])"
    yield Alert(
        "AdvisorOversized", f"max_over_time({load}[7d]) < {half}", "1d", "ticket",
        "the busiest minutes of a week had less than half of the load that the plan has for such a fleet",
        "Plan again with what was measured: `advisor recommend --prometheus`.",
    )  # fmt: skip
    pages = [METRICS[engine] for engine in plan.engines if METRICS[engine].tells_progress]
    if pages:
        stalls = dict.fromkeys(page.stalled_query(plan.matchers, "3m", "instance") for page in pages)
        yield Alert(
            "AdvisorEngineStalled", " or ".join(stalls), "2m", "page",
            "an engine has requests and has made no progress on them for five minutes",
            "{{ $labels.instance }} hangs, and its probes still succeed: end it.",
        )  # fmt: skip
    if not plan.publishes("kv_cache_used_ratio") or not plan.publishes("requests_waiting"):
        return
    used = plan.own("kv_cache_used:ratio")
    yield Alert(
        "AdvisorKvCacheFull", f"{used} > {_KV_FULL_RATIO:g}", "15m", "page", "the KV cache is nearly full",
        "Requests queue or are preempted soon: {{ $value | humanizePercentage }} is used.",
    )  # fmt: skip
    conditions = (
        f"min_over_time({plan.own('requests_running:sum')}[6h]) > 0",
        f"max_over_time({used}[6h]) < {_KV_HALF_RATIO:g}",
        f"max_over_time({plan.own('requests_waiting:sum')}[6h]) == 0",
        f"{plan.own('replicas:count')} > 1",
    )
    yield Alert(
        "AdvisorBusyNotSaturated", " and ".join(conditions), "6h", "ticket",
        "all replicas have work at all times, and none of them ever had much",
        "Accelerators look busy; fewer replicas with larger batches would do: `advisor samples need` says how many.",
    )  # fmt: skip


def _error_words(plan: Watched) -> str:
    """Words for the failed requests: engines that count no status count those of clients, too."""
    counts_all = METRICS[plan.engines[0]].failed
    return "fail, those that clients sent wrong among them" if counts_all else "end in an error of the server"


def _failed(plan: Watched) -> str:
    """Share of the answers that are errors; "" where the engines of the fleet differ, or count none."""
    if len(plan.engines) != 1:
        return ""
    metrics = METRICS[plan.engines[0]]
    rates = metrics.error_rates(plan.matchers, "5m")
    if metrics.answers:  # counters of HTTP carry no name of a model
        rates = metrics.error_rates("", "5m", kept=f" and on (instance) {plan.series('requests_running')}")
    return f"({rates[0]} or vector(0)) / ({rates[1]} > 0)" if rates else ""


_SCHEMA_VERSION = 39
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8
_PANELS = Path(__file__).with_name("panels.csv")
"""Charts: title, unit as Grafana names it, and the recorded series by their names in the legend."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard_of(figures: Watched) -> dict[str, Any]:
    """The dashboard as Grafana imports it; panels of which nothing is recorded are left out."""
    recorded = {recording.record.removeprefix("advisor:") for recording in recordings_of(figures)}
    rows = [(row, dict(series.split("=") for series in row["series"].split(";"))) for row in read_rows(_PANELS)]
    panels = [(row, series) for row, series in rows if recorded.intersection(series.values())]
    return {
        "title": f"{_titled(figures.workload)}: plan and reality",
        "uid": None,
        "tags": ["advisor"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": list(_placed(panels, recorded, figures.workload)),
    }


def _placed(
    panels: Iterable[tuple[Row, Mapping[str, str]]], recorded: set[str], workload: str
) -> Iterator[dict[str, Any]]:
    """The panels in rows, with the series that are recorded."""
    in_row = _COLUMNS // _WIDTH
    for at, (panel, series) in enumerate(panels):
        yield {
            "id": at + 1,
            "type": "timeseries",
            "title": panel["title"],
            "datasource": _SOURCE,
            "gridPos": {"x": at % in_row * _WIDTH, "y": at // in_row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
            "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [
                {
                    "refId": chr(ord("A") + number),
                    "datasource": _SOURCE,
                    "expr": f"advisor:{record}{{workload={_quoted(workload)}}}",
                    "legendFormat": legend,
                }
                for number, (legend, record) in enumerate(series.items())
                if record in recorded
            ],
        }


def _titled(text: str) -> str:
    """A text in a title, in which Grafana replaces no variables: a space of no width parts the marks of one."""
    return text.replace("$", "$\u200b").replace("[[", "[\u200b[")


def _quoted(text: str) -> str:
    """A text in a query, in which Grafana replaces no variables."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("$", "\\x24")
    return f'"{escaped}"'


MONITORING = "monitoring"
"""Target of files that deploy nothing."""
RULES, RULES_TEST, DASHBOARD = "advisor-rules.yaml", "advisor-rules.test.yaml", "advisor-dashboard.json"
_HEAD = """\
# What is served and spent, beside what was planned.
#
#   promtool check rules advisor-rules.yaml
#   promtool test rules advisor-rules.test.yaml
"""
_MINUTES = 120


def monitoring_files(plan: Plan, matchers: str | None = None) -> Mapping[str, str]:
    """Name → text.

    *matchers*: label matchers of the workload's series; None: the model's name. Raises InputError if the plan has no
    fleet, or an engine publishes no metrics that are known.
    """
    figures = watched(plan, matchers)
    test = {RULES_TEST: _yaml(_rules_test(figures))} if figures.names_one_series else {}
    return {
        RULES: _HEAD + _yaml(_rules(figures)),
        **test,
        DASHBOARD: json.dumps(dashboard_of(figures), indent=1, ensure_ascii=False) + "\n",
    }


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=110, allow_unicode=True)


def _rules(figures: Watched) -> Mapping[str, Any]:
    workload = figures.workload
    recordings = [
        {"record": recording.record, "expr": recording.expression, "labels": {"workload": workload}}
        for recording in recordings_of(figures)
    ]
    alerts = [_alert(alert, workload) for alert in alerts_of(figures)]
    return {
        "groups": [
            {"name": f"advisor-plan-{workload}", "interval": "30s", "rules": recordings},
            {"name": f"advisor-alerts-{workload}", "rules": alerts},
        ]
    }


def _alert(alert: Alert, workload: str) -> Mapping[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.wait,
        "labels": {"severity": alert.severity, "workload": _literal(workload), **alert.labels},
        "annotations": {"summary": f"{_literal(workload)}: {alert.summary}", "description": alert.description},
    }


def _literal(text: str) -> str:
    """A text of the user's where Prometheus expands templates."""
    return text.replace("{{", '{{ "{{" }}')


def _rules_test(figures: Watched) -> Mapping[str, Any]:
    """A test that promtool runs: at the planned rate the planned cost and no alert of load, at twice the rate one."""
    each = figures.peak_requests_per_second / figures.replicas
    planned = min(each, figures.requests_per_second_per_replica) * 0.99
    return {
        "rule_files": [RULES],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": _series(figures, planned),
                "promql_expr_test": [
                    _expects("advisor:replicas:count", figures, figures.replicas),
                    _expects("advisor:usd_per_hour:actual", figures, figures.replicas * figures.usd_per_replica_hour),
                    _expects("advisor:usd_per_hour:planned", figures, figures.usd_per_hour),
                ],
                "alert_rule_test": [_rings([])],
            },
            {
                "interval": "1m",
                "input_series": _series(figures, figures.requests_per_second_per_replica * 2),
                "alert_rule_test": [_rings([_load_beyond_plan(figures)])],
            },
        ],
    }


def _load_beyond_plan(figures: Watched) -> Mapping[str, Any]:
    alert = next(alert for alert in alerts_of(figures) if alert.name == "AdvisorLoadBeyondPlan")
    return {
        "exp_labels": {"severity": alert.severity, "workload": figures.workload},
        "exp_annotations": {"summary": f"{figures.workload}: {alert.summary}", "description": alert.description},
    }


def _labels(figures: Watched, metric: str, replica: int) -> str:
    """Labels of a series of a replica, of the first engine."""
    methods = METRICS[figures.engines[0]].served_methods if metric == "requests_finished" else ()
    method = f'method="{methods[0]}"' if methods else ""
    return ",".join(filter(None, (figures.matchers, f'instance="replica-{replica}:8000"', method)))


def _series(figures: Watched, requests_per_second: float) -> list[Mapping[str, str]]:
    """Series of every replica that serves so many requests per second, of the first engine."""
    per_minute = requests_per_second * 60 * figures.finished_per_request[figures.names["requests_finished"][0]]
    shapes = {
        "requests_running": f"4x{_MINUTES}",
        "requests_waiting": f"0x{_MINUTES}",
        "kv_cache_used_ratio": f"0.4x{_MINUTES}",
        "requests_finished": f"0+{per_minute:.6g}x{_MINUTES}",
        "generated_tokens": f"0+{per_minute * 100:.6g}x{_MINUTES}",
    }
    return [
        {"series": f"{figures.names[metric][0]}{{{labels}}}", "values": values}
        for replica in range(figures.replicas)
        for metric, values in shapes.items()
        for labels in [_labels(figures, metric, replica)]
        if figures.publishes(metric)
    ]


def _expects(record: str, figures: Watched, value: float) -> Mapping[str, Any]:
    """The value of a recorded series, to the digits that its rule holds."""
    rounded = f"round({record}, 0.01)"
    labels = f"{{workload={json.dumps(figures.workload, ensure_ascii=False)}}}"
    samples = [{"labels": labels, "value": round(value, 2)}]
    return {"expr": rounded, "eval_time": f"{_MINUTES}m", "exp_samples": samples}


def _rings(expected: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"eval_time": f"{_MINUTES}m", "alertname": "AdvisorLoadBeyondPlan", "exp_alerts": expected}
