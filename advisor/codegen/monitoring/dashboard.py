"""The Grafana dashboard of a plan: cost, latency against targets, load against capacity, and what is spare."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from advisor.codegen.monitoring.rules import recordings_of
from advisor.codegen.monitoring.watched import Watched

_SCHEMA_VERSION = 39
_COLUMNS, _HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: what it shows, and the recorded series in it."""

    title: str
    unit: str
    """As Grafana names it."""
    series: tuple[tuple[str, str], ...]
    """Name in the legend, record."""
    width: int = 8
    kind: str = "timeseries"


_PANELS = (
    Panel("Cost per hour", "currencyUSD", (("actual", "usd_per_hour:actual"), ("planned", "usd_per_hour:planned"))),
    Panel(
        "Cost of 1,000 requests",
        "currencyUSD",
        (("actual", "usd_per_1000_requests:actual"), ("planned", "usd_per_1000_requests:planned")),
    ),
    Panel(
        "Cost of 1M tokens generated",
        "currencyUSD",
        (("actual", "usd_per_million_output_tokens:actual"), ("planned", "usd_per_million_output_tokens:planned")),
    ),
    Panel("Time to first token, p95", "s", (("p95", "ttft_seconds:p95"), ("target", "ttft_seconds:target"))),
    Panel("Time per output token, p95", "s", (("p95", "tpot_seconds:p95"), ("target", "tpot_seconds:target"))),
    Panel("End to end, p95", "s", (("p95", "e2e_seconds:p95"), ("target", "e2e_seconds:target"))),
    Panel(
        "Latency of whole answers",
        "s",
        (
            *((name, f"latency_seconds:{name}") for name in ("p50", "p95", "p99")),
            ("target", "latency_seconds:target"),
        ),
    ),
    Panel(
        "Requests per second against capacity",
        "reqps",
        (("requests", "requests_per_second:rate5m"), ("planned capacity", "requests_per_second:capacity")),
    ),
    Panel("Replicas", "none", (("running", "replicas:count"),)),
    Panel("KV cache used", "percentunit", (("mean", "kv_cache_used:ratio"),)),
    Panel(
        "Requests running and waiting",
        "none",
        (("running", "requests_running:sum"), ("waiting", "requests_waiting:sum")),
    ),
    Panel("Requests that fail", "percentunit", (("failed", "failed:ratio_rate5m"),)),
    Panel("Cost of failures per hour", "currencyUSD", (("failed", "usd_per_hour:failed"),)),
)


def dashboard_of(figures: Watched) -> dict[str, Any]:
    """The dashboard as Grafana imports it; panels of which nothing is recorded are left out."""
    recorded = {recording.record.removeprefix("advisor:") for recording in recordings_of(figures)}
    panels = [panel for panel in _PANELS if any(record in recorded for _, record in panel.series)]
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


def _placed(panels: Sequence[Panel], recorded: set[str], workload: str) -> Iterator[dict[str, Any]]:
    """The panels in rows."""
    across = down = 0
    for number, panel in enumerate(panels, start=1):
        if across + panel.width > _COLUMNS:
            across, down = 0, down + _HEIGHT
        place = {"x": across, "y": down, "w": panel.width, "h": _HEIGHT}
        across += panel.width
        yield {
            "id": number,
            "type": panel.kind,
            "title": panel.title,
            "datasource": _SOURCE,
            "gridPos": place,
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [
                {
                    "refId": chr(ord("A") + at),
                    "datasource": _SOURCE,
                    "expr": f"advisor:{record}{{workload={_quoted(workload)}}}",
                    "legendFormat": legend,
                }
                for at, (legend, record) in enumerate(panel.series)
                if record in recorded
            ],
        }


def _quoted(text: str) -> str:
    """A text in a query, in which Grafana replaces no variables."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("$", "\\x24")
    return f'"{escaped}"'
