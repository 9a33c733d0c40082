"""Alerts of Cloud Monitoring on metrics that Google's services publish by themselves.

Source: Google's list of metrics and the reference of alert policies, read in November 2026.
"""

from collections.abc import Mapping

from advisor.codegen.alarms import Alarm
from advisor.entries import picked
from advisor.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class Alert:
    """A metric against a threshold, for each group of its series."""

    description: str
    resource: str
    """Type of the monitored resource."""
    metric: str
    aligner: str
    """How a series becomes one value in 300 s."""
    reducer: str
    """How several series become one."""
    group_by: tuple[str, ...]
    """Labels of the resource by which series stay apart."""
    below: bool
    threshold: float
    seconds: int
    """How long without a break; 0: once."""
    condition: str = ""
    """Further terms of the filter, each after `` AND ``."""
    is_share: bool = False
    """The metric is divided by itself without the condition."""


def from_alarm(alarm: Alarm, alert: Alert, divisor: float = 1) -> Alert:
    """*alert* with threshold and duration of an alarm; a threshold in percent becomes a share by the divisor 100."""
    seconds = alarm.periods * alarm.period_seconds
    return replace(alert, below=alarm.below, threshold=round(alarm.threshold / divisor, 3), seconds=seconds)


def alert_data(alerts: Mapping[str, Alert]) -> Mapping[str, Mapping[str, object]]:
    """Alerts as the code holds them."""
    return {name: _entry(alert) for name, alert in alerts.items()}


def _entry(alert: Alert) -> Mapping[str, object]:
    return {
        **picked(alert, "description", "resource", "metric", "condition"),
        "share": alert.is_share,
        **picked(alert, "aligner", "reducer"),
        "group_by": [f"resource.label.{label}" for label in alert.group_by],
        "comparison": "COMPARISON_LT" if alert.below else "COMPARISON_GT",
        **picked(alert, "threshold", "seconds"),
    }
