"""The alert on idle TPUs, asked of Prometheus itself: it knows the hours that are quiet every week."""

import shutil
import subprocess

import pytest
import yaml

from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets.gcp_host_alerts import descriptions, metric_alerts
from codegen.scenarios import SCENARIOS

_HOUR = 60
_WEEK = 7 * 24 * _HOUR
_SERIES = (
    "loadbalancing_googleapis_com:https_internal_request_count"
    '{monitored_resource="internal_http_lb_rule",url_map_name="chat-us-east5"}'
)


def stack():
    """TPU hosts in one region."""
    scenario = SCENARIOS["tpu-vm-v6e"]()
    (only,) = stacks_of(scenario.plan, choose(scenario.plan, scenario.wanted, lambda _: None), scenario.wanted)
    return only


@pytest.mark.parametrize(
    ("values", "minute", "rings"),
    [
        ("_x60", _HOUR, False),
        (f"_x{_WEEK + 2 * _HOUR}", _WEEK + _HOUR, False),
        (f"0+7x{_WEEK + 2 * _HOUR}", _WEEK + _HOUR, False),
        (f"0+7x{_HOUR} _x{_WEEK}", _WEEK + _HOUR, True),
        (f"0+7x{_HOUR} _x{_WEEK + 2 * _HOUR}", _WEEK + 3 * _HOUR, False),
    ],
    ids=["first hour", "never asked", "asked all the time", "asked a week before", "quiet a week before"],
)
def test_idle_is_what_was_not_idle_a_week_before(values, minute, rings, tmp_path):
    """It rings in an hour that had requests a week before, and neither after the first apply nor at night."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: make services")
    query = metric_alerts(stack())["no-requests"]["query"].replace("NAME", "chat")
    expected = [{"labels": "{}", "value": 0}] if rings else []
    asked = {"expr": query, "eval_time": f"{minute}m", "exp_samples": expected}
    test = {"interval": "1m", "input_series": [{"series": _SERIES, "values": values}], "promql_expr_test": [asked]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    ran = subprocess.run(["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, text=True, capture_output=True, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_readme_says_what_the_alert_does():
    """The description of the code's README is the alert's."""
    alerts, told = metric_alerts(stack()), descriptions(stack())
    assert told["no-requests"] == alerts["no-requests"]["description"]
    assert "a week before" in told["no-requests"]
