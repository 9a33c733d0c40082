"""The files of ``advisor generate monitoring``: rules and their test for Prometheus, a dashboard for Grafana."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from advisor.codegen.engines.metrics import METRICS
from advisor.codegen.monitoring.rules import Alert, alerts_of, recordings_of
from advisor.codegen.monitoring.watched import Watched, watched
from advisor.plan.values import Plan
from advisor.tables import Row, read_rows

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
        "title": f"{figures.workload}: plan and reality",
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

    Args:
        plan: what runs.
        matchers: label matchers of the workload's series; None: the model's name.

    Raises:
        InputError: the plan has no fleet, or an engine publishes no metrics that are known.
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
                "alert_rule_test": [_rings("AdvisorLoadBeyondPlan", [])],
            },
            {
                "interval": "1m",
                "input_series": _series(figures, figures.requests_per_second_per_replica * 2),
                "alert_rule_test": [_rings("AdvisorLoadBeyondPlan", [_load_beyond_plan(figures)])],
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


def _rings(alert: str, expected: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"eval_time": f"{_MINUTES}m", "alertname": alert, "exp_alerts": expected}
