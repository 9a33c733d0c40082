"""The alarms of a deployment as log alerts of Azure Monitor.

Each host writes one line a minute to the system log (``host.py report``): a JSON object that the Azure Monitor agent
carries to Log Analytics, beside the kernel log. One query for each alarm reads them.

Source: Microsoft's reference of scheduled query rules (``Microsoft.Insights/scheduledQueryRules``) and the provider's
of ``azurerm_monitor_scheduled_query_rules_alert_v2``, read in November 2026: a fixed set of windows, and several
evaluations in a row only of queries that give times. These give one row, also where no line came: the window of one
evaluation is as long as the alarm waits.
"""

import json
from collections.abc import Mapping

from advisor.codegen.alarms import OVER_TARGET, REQUESTS_WAITING, TARGET_REQUESTS, Alarm, Source
from advisor.codegen.model import Stack
from advisor.records import replace

PROGRAM = "inference-report"
"""Name that the hosts report under in the system log."""
_WINDOWS_MINUTES = {
    15: "PT15M",
    30: "PT30M",
    45: "PT45M",
    60: "PT1H",
    120: "PT2H",
    180: "PT3H",
    240: "PT4H",
    300: "PT5H",
    360: "PT6H",
}
"""Without the shorter ones: lines take some minutes to arrive."""
_REPORTS = (
    f'Syslog | where Facility == "local0" and ProcessName == "{PROGRAM}" | extend report = parse_json(SyslogMessage)'
)
_HOSTS = "summarize value = dcount(Computer)"


def _of_the_fullest(field: str) -> str:
    """The mean of the host that has the most: a short peak is none."""
    return (
        f"summarize mean = avg(todouble(report.{field})) by Computer"
        " | summarize value = max(mean) | where isnotnull(value)"
    )


def _percent_of(part: str, whole: str) -> str:
    """Percentage of all hosts' counts, as a query; without any there is no row and no alarm."""
    return (
        f"summarize part = sum(todouble(report.{part})), whole = sum(todouble(report.{whole}))"
        " | where whole > 0 | project value = 100.0 * part / whole"
    )


_VALUES: Mapping[str, str] = {
    "nvidia_smi_utilization_gpu": "summarize value = avg(todouble(report.gpu_percent)) | where isnotnull(value)",
    "nvidia_smi_memory_used": _of_the_fullest("gpu_memory_percent"),
    "mem_used_percent": _of_the_fullest("memory_percent"),
    "RequestCount": "summarize value = sum(toint(report.requests))",
    "HealthyHostCount": f"where report.healthy == true | {_HOSTS}",
    "procstat_lookup_pid_count": (
        "summarize running = max(toint(tobool(report.agent))), first = min(TimeGenerated) by Computer"
        " | where first < ago(10m) | summarize value = min(running) | where isnotnull(value)"
    ),
    OVER_TARGET: _percent_of(OVER_TARGET, TARGET_REQUESTS),
    REQUESTS_WAITING: _of_the_fullest("waiting_ratio"),
    "HTTPCode_Target_5XX_Count": _percent_of("server_errors", "answers"),
}
"""Metric of an alarm → how a query computes it from the reports."""
_COUNTED = "SampleCount"
"""Statistic of an alarm that counts the hosts that report at all."""


def log_alert(alarm: Alarm) -> Mapping[str, object]:
    """*alarm* on what the hosts report, as a scheduled query rule; a queue is reported as times of its limit."""
    return query_rule(replace(alarm, threshold=1) if alarm.per_request_rate else alarm, _query(alarm))


def query_rule(alarm: Alarm, query: str, description: str = "") -> Mapping[str, object]:
    """*alarm* as a scheduled query rule; the query gives one row with the column ``value``.

    ``per_instance`` counts the threshold for each planned instance of the region. What most rules share is left out.
    """
    return {
        "description": description or alarm.description,
        "query": query,
        **({"operator": "LessThan"} if alarm.below else {}),
        "threshold": 1 if alarm.per_instance else alarm.threshold,
        **({"per_instance": True} if alarm.per_instance else {}),
        "window": _window(alarm.period_seconds * alarm.periods / 60),
    }


def planned_alarm(stack: Stack, name: str) -> Alarm:
    """The alarm of that name."""
    return next(alarm for alarm in (*stack.alarms, *stack.slo_alarms) if alarm.name == name)


def _window(minutes: float) -> str:
    """The shortest that holds *minutes*, or the longest there is."""
    fitting = (length for length in _WINDOWS_MINUTES if length >= minutes)
    return _WINDOWS_MINUTES[next(fitting, max(_WINDOWS_MINUTES))]


def _query(alarm: Alarm) -> str:
    if alarm.source is Source.KERNEL_LOG:
        pattern = json.dumps(alarm.pattern)
        return f'Syslog | where Facility == "kern" and SyslogMessage contains {pattern} | summarize value = count()'
    value = _HOSTS if alarm.statistic == _COUNTED else _VALUES[alarm.metric]
    return f"{_REPORTS} | {value}"
