"""The alert on idle TPUs, asked of Prometheus itself: it knows the hours that are quiet every week."""

import ast
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

import pytest
import yaml

from advisor.codegen import Language, generate
from advisor.codegen.container import Engine
from advisor.codegen.engines.metrics import published
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets.gcp_values import _of_engine, descriptions, metric_alerts, scraped
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
    query = metric_alerts(stack())["no-requests"]["query"]
    check(tmp_path, query, {_SERIES: values}, minute, rings)


@pytest.mark.parametrize(
    ("title", "series", "rings"),
    [
        ("ttft", {"_bucket": {"1": "0+90x60", "2": "0+100x60", "+Inf": "0+100x60"}}, True),
        ("ttft", {"_bucket": {"1": "0+99x60", "2": "0+100x60", "+Inf": "0+100x60"}}, False),
        ("waiting-requests", {"": {"": "90x60"}}, True),
        ("waiting-requests", {"": {"": "1x60"}}, False),
        (
            "engine-stalled",
            {"num_requests_running": {"": "3x60"}, "generation_tokens_total": {"": "0+9x20 180x40"}},
            True,
        ),
        ("engine-stalled", {"num_requests_running": {"": "3x60"}, "generation_tokens_total": {"": "0+9x60"}}, False),
        ("engine-stalled", {"num_requests_running": {"": "0x60"}, "generation_tokens_total": {"": "9x60"}}, False),
        ("server-errors", {"": {"200": "0+98x60", "500": "0+2x60"}}, True),
        ("server-errors", {"": {"200": "0+100x60"}}, False),
    ],
    ids=["slow", "quick", "long queue", "no queue", "hangs", "works", "idle", "failing", "sound"],
)
def test_what_clients_were_promised_rings(title, series, rings, tmp_path):
    """TTFT p95 over 1 s, a queue of more than the planned rate clears in 1 s, and more than 1 percent of 5xx."""
    alerts = metric_alerts(stack())
    (name,) = [name for name in alerts if name.endswith(title)]
    group = f'deployment="chat",group="{name.partition("/")[0]}"'
    engine = {"ttft": "vllm:time_to_first_token_seconds", "waiting-requests": "vllm:num_requests_waiting",
              "engine-stalled": "vllm:"}.get(title)  # fmt: skip
    given = {}
    for suffix, values in series.items():
        for label, text in values.items():
            told = f'{{{group},le="{label}"}}' if engine else f',response_code_class="{label}"}}'
            given[f"{engine}{suffix}{told}" if engine else _SERIES.removesuffix("}") + told] = text
    check(tmp_path, alerts[name]["query"], given, 30, rings)


@pytest.mark.parametrize(("device", "rings"), [("/dev/sda1", True), ("/dev/loop3", False)], ids=["system", "snap"])
def test_a_full_disk_rings_and_a_full_snap_does_not(device, rings, tmp_path):
    """Snaps are images that hold nothing but themselves."""
    query = metric_alerts(stack())["host-disk"]["query"].replace("HOSTS", 'monitored_resource="gce_instance"')
    labels = f'{{monitored_resource="gce_instance",state="used",device="{device}"}}'
    check(tmp_path, query, {f"agent_googleapis_com:disk_percent_used{labels}": "91x60"}, 30, rings)


def cache_alerts():
    """The alerts on a response cache, as the program that Pulumi runs makes them; Terraform's are the same (parity)."""
    scenario = SCENARIOS["mig-cache"]()
    code = generate(scenario.plan, Language.PYTHON, scenario.wanted).files["inference/cache.py"]
    wanted = ("MOST_MISSES_RATIO", "METRICS", "_Alert", "_alerts")
    parts = [
        node
        for node in ast.parse(code).body
        if getattr(node, "name", "") in wanted or (isinstance(node, ast.Assign) and node.targets[0].id in wanted)
    ]
    names = {"NamedTuple": NamedTuple, "Mapping": Mapping}
    exec(compile(ast.Module(parts, []), "cache.py", "exec"), names)
    return names["_alerts"]("chat-cache")


@pytest.mark.parametrize(
    ("hits", "misses", "rings"),
    [
        (None, "0+60x60", True),
        ("0x60", "0+60x60", True),
        ("0+60x60", "0+60x60", False),
        ("0+60x60", None, False),
        ("0x60", "0x60", False),
        (None, None, False),
    ],
    ids=["no series of hits", "no hits", "as planned", "no series of misses", "no requests", "nothing yet"],
)
def test_a_cache_that_answers_nothing_rings(hits, misses, rings, tmp_path):
    """A share of the requests: no hit at all is the worst, and not silence."""
    labels = '{monitored_resource="memorystore.googleapis.com/Instance",instance_id="projects/p/locations/l/instances/chat-cache"}'  # fmt: skip
    name = "memorystore_googleapis_com:instance_stats_total_keyspace_%s_count" + labels
    series = {name % "hits": hits, name % "misses": misses}
    given = {key: values for key, values in series.items() if values}
    check(tmp_path, cache_alerts()["misses"].query, given or {"up": "1x60"}, 30, rings)


def test_hits_that_were_never_counted_are_none():
    """What has no series is missing from a sum, and with it the whole ratio, unless it stands for zero."""
    query = cache_alerts()["misses"].query
    assert re.search(r"\(sum\(rate\([^()]*hits_count\{.*?\}\[10m\]\)\) or vector\(0\)\)", query)
    assert re.search(r"> 0\.\d+$", query)


def check(folder, query, series, minute, rings):
    """Whether *query* has a result in a *minute* of the *series*, asked of Prometheus."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: make services")
    expected = [{"labels": "{}", "value": 1}] if rings else []
    counted = f"count({query.replace('NAME', 'chat')})"
    asked = {"expr": counted, "eval_time": f"{minute}m", "exp_samples": expected}
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": [asked]}
    (folder / "test.yaml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    ran = subprocess.run(["promtool", "test", "rules", "test.yaml"], cwd=folder, text=True, capture_output=True, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_readme_says_what_the_alert_does():
    """The description of the code's README is the alert's."""
    alerts, told = metric_alerts(stack()), descriptions(stack())
    assert told["no-requests"] == alerts["no-requests"]["description"]
    assert "a week before" in told["no-requests"]


@pytest.mark.parametrize("engine", [engine for engine in Engine if published(engine)])
def test_hosts_send_on_what_alerts_ask_for(engine):
    """Of every engine, whatever its names: a series that is dropped on the host is an alarm that never rings."""
    metrics, group = published(engine), stack().groups[0]
    on_engine = [alarm for alarm in stack().slo_alarms if alarm.from_engine]
    alarms = [alarm for alarm in on_engine if not alarm.is_stall and (metrics.latency or alarm.per_request_rate)]
    queries = [_of_engine(stack(), alarm, group, metrics)["query"] for alarm in alarms]
    asked = {name for query in queries for name in re.findall(r"([\w:]+)\{", query)}
    assert len(asked) == len(alarms) == (2 if metrics.latency else 1)
    assert all(re.fullmatch(scraped(kept), name) for name in asked for kept in (engine, Engine.CUSTOM))
    assert not re.fullmatch(scraped(engine), "process_open_fds")
    if metrics.progress:
        (stall,) = (alarm for alarm in on_engine if alarm.is_stall)
        asked = re.findall(r"([\w:]+)\{", _of_engine(stack(), stall, group, metrics)["query"])
        assert set(asked) == {metrics.running, metrics.progress}
        assert all(re.fullmatch(scraped(engine), name) for name in asked)
