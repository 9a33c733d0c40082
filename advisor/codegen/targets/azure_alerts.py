"""The alarms of a deployment as log alerts of Azure Monitor.

Each host writes one line a minute to the system log (``host.py report``): a JSON object that the Azure Monitor agent
carries to Log Analytics, beside the kernel log. One query for each alarm reads them.

Source: Microsoft's reference of scheduled query rules (``Microsoft.Insights/scheduledQueryRules``), read in November
2026: at most six evaluations in a row, and a fixed set of frequencies.
"""

import json
import math
from collections.abc import Mapping

from advisor.codegen.alarms import Alarm, Source
from advisor.codegen.model import Stack

PROGRAM = "inference-report"
"""Name that the hosts report under in the system log."""
_MOST_EVALUATIONS = 6
_FREQUENCIES_MINUTES = {5: "PT5M", 10: "PT10M", 15: "PT15M", 30: "PT30M", 45: "PT45M", 60: "PT1H", 120: "PT2H"}
_SHORTEST_WINDOW_MINUTES = 15
"""Lines take some minutes to arrive: a window of one evaluation alone would miss late ones."""
_REPORTS = (
    f'Syslog | where Facility == "local0" and ProcessName == "{PROGRAM}" | extend report = parse_json(SyslogMessage)'
)
_HOSTS = "summarize value = dcount(Computer)"
_VALUES: Mapping[str, str] = {
    "nvidia_smi_utilization_gpu": "summarize value = avg(todouble(report.gpu_percent)) | where isnotnull(value)",
    "nvidia_smi_memory_used": "summarize value = max(todouble(report.gpu_memory_percent)) | where isnotnull(value)",
    "mem_used_percent": "summarize value = max(todouble(report.memory_percent)) | where isnotnull(value)",
    "RequestCount": "summarize value = sum(toint(report.requests))",
    "HealthyHostCount": f"where report.healthy == true | {_HOSTS}",
    "procstat_lookup_pid_count": (
        "summarize running = max(toint(tobool(report.agent))) by Computer"
        " | summarize value = min(running) | where isnotnull(value)"
    ),
}
"""Metric of an alarm → how a query computes it from the reports."""
_COUNTED = "SampleCount"
"""Statistic of an alarm that counts the hosts that report at all."""


def log_alert(alarm: Alarm) -> Mapping[str, object]:
    """*alarm* on what the hosts report, as a scheduled query rule."""
    return query_rule(alarm, _query(alarm))


def query_rule(alarm: Alarm, query: str, description: str = "") -> Mapping[str, object]:
    """*alarm* as a scheduled query rule; the query gives one row with the column ``value``.

    So many evaluations in a row ring; ``per_instance`` counts the threshold for each planned instance of the region.
    """
    minutes, evaluations = _rhythm(alarm.period_seconds * alarm.periods / 60)
    return {
        "description": description or alarm.description,
        "query": query,
        "operator": "LessThan" if alarm.below else "GreaterThan",
        "threshold": 1 if alarm.per_instance else alarm.threshold,
        "per_instance": alarm.per_instance,
        "frequency": _FREQUENCIES_MINUTES[minutes],
        "window": _FREQUENCIES_MINUTES[max(minutes, _SHORTEST_WINDOW_MINUTES)],
        "evaluations": evaluations,
    }


def planned_alarm(stack: Stack, name: str) -> Alarm:
    """The alarm of that name."""
    return next(alarm for alarm in stack.alarms if alarm.name == name)


def _rhythm(minutes: float) -> tuple[int, int]:
    """The shortest frequency in minutes at which few enough evaluations span *minutes*, and their number."""
    for frequency in _FREQUENCIES_MINUTES:
        evaluations = math.ceil(minutes / frequency)
        if evaluations <= _MOST_EVALUATIONS:
            return frequency, evaluations
    return max(_FREQUENCIES_MINUTES), _MOST_EVALUATIONS


def _query(alarm: Alarm) -> str:
    if alarm.source is Source.KERNEL_LOG:
        pattern = json.dumps(alarm.pattern)
        return f'Syslog | where Facility == "kern" and SyslogMessage contains {pattern} | summarize value = count()'
    value = _HOSTS if alarm.statistic == _COUNTED else _VALUES[alarm.metric]
    return f"{_REPORTS} | {value}"
