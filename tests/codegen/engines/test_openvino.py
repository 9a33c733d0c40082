"""OpenVINO Model Server under its alarms: what its metrics can count, and what counts as an error."""

import shutil
import subprocess
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.alarms import Promise, slo_alarms, visible_requests
from advisor.codegen.monitoring import monitoring_files
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from codegen.scenarios import SCENARIOS

INFERENCES = 'method=~"ModelInfer|Predict"'
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make services")


def plan_on_openvino():
    """A plan of images that OpenVINO alone serves."""
    plan = SCENARIOS["ec2-images"]().plan
    (group,) = (group for group in plan.fleet.groups if group.engine.startswith("OpenVINO"))
    return replace(plan, fleet=replace(plan.fleet, groups=(group,)))


@pytest.mark.parametrize(
    ("name", "target", "language"),
    [
        ("ec2-images", None, Language.PYTHON),
        ("ec2-images", "eks", Language.TERRAFORM),
        ("aks-pictures", "aks", Language.TERRAFORM),
    ],
)
def test_openvino_takes_up_more_requests_than_an_alarm_lets_queue(name, target, language):
    """Its gauges count what its threads have taken up: threads for twice the longest queue, in each engine and form."""
    scenario = SCENARIOS[name]()
    wanted = Wanted(target=target)
    (stack,) = stacks_of(scenario.plan, choose(scenario.plan, wanted, lambda _choice: None), wanted)
    queues = [alarm for alarm in stack.slo_alarms if alarm.per_request_rate]
    served = [group for group in stack.groups if stack.backend_of(group).container.workers_option]
    assert served
    assert queues
    for group in served:
        workers = next(
            int(word.partition("=")[2])
            for word in stack.backend_of(group).container.arguments
            if word.startswith("--rest_workers=")
        )
        assert 2 * queues[0].threshold_at(stack.queued_per_second(group)) < workers <= 10_000
        made = "".join(generate(scenario.plan, language, wanted).files.values())
        assert f"--rest_workers={workers}" in made


@given(seconds=st.floats(0.001, 600), rate=st.floats(0.001, 5000))
def test_a_visible_queue_is_longer_than_the_alarm_it_rings(seconds, rate):
    """The threads of the server outnumber twice the queue, until the most that it takes."""
    alarms = slo_alarms(Promise("latency", "latency p95", seconds, 5))
    queue = max(alarm.threshold_at(rate) for alarm in alarms if alarm.per_request_rate)
    workers = visible_requests(alarms, rate)
    assert workers == 10_000 or workers > 2 * queue
    assert visible_requests(slo_alarms(None), rate) is None


def test_clusters_alert_on_failed_inferences():
    """Failed of all that were asked for an inference: neither metadata nor readiness counts, in alert or scaling."""
    made = generate(plan_on_openvino(), Language.TERRAFORM, Wanted(target="eks")).files
    (rules,) = (yaml.safe_load(text) for path, text in made.items() if path.endswith("prometheus-rule.yaml"))
    (alert,) = (
        rule for group in rules["spec"]["groups"] for rule in group["rules"] if rule["alert"] == "InferenceServerErrors"
    )
    failed, finished = (
        f"ovms_requests_{end}{{" in alert["expr"] and alert["expr"].count(f"ovms_requests_{end}{{")
        for end in ("fail", "success")
    )
    assert (failed, finished, alert["expr"].count(INFERENCES)) == (2, 1, 3)
    assert "5xx" not in alert["annotations"]["summary"]
    assert "no alarm on server errors" not in made["kubernetes/README.md"]


def test_clusters_alert_on_pictures_that_fail():
    """A run of the graph ends in an error or in a response: the first of both, per engine's own counters."""
    made = generate(SCENARIOS["aks-pictures"]().plan, Language.TERRAFORM, Wanted(target="aks")).files
    (rules,) = (yaml.safe_load(text) for path, text in made.items() if path.endswith("prometheus-rule.yaml"))
    (alert,) = (
        rule for group in rules["spec"]["groups"] for rule in group["rules"] if rule["alert"] == "InferenceServerErrors"
    )
    assert (alert["expr"].count("ovms_graph_error{"), alert["expr"].count("ovms_responses{")) == (2, 1)
    assert not any("no alarm on server errors" in text for text in made.values())


@needs_promtool
@pytest.mark.parametrize(("method", "rings"), [("ModelInfer", True), ("ModelMetadata", False)])
def test_failed_inferences_ring_in_monitoring_files(method, rings, tmp_path):
    """A tenth of the inferences fails: the alert rings; of requests for metadata it does not."""
    files = monitoring_files(plan_on_openvino())
    for name in ("advisor-rules.yaml", "advisor-rules.test.yaml"):
        (tmp_path / name).write_text(files[name])
    own = 'name="vit-base-patch16-224",instance="a"'
    series = {
        f'ovms_requests_success{{{own},method="ModelInfer"}}': "0+60x180",
        f'ovms_requests_success{{{own},method="ModelMetadata"}}': "0+60x180",
        f'ovms_requests_fail{{{own},method="{method}"}}': "0+7x180",
    }
    asked = {"eval_time": "2h", "alertname": "AdvisorPaidForFailures", "exp_alerts": []}
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, "alert_rule_test": [asked]}
    (tmp_path / "own.yaml").write_text(
        yaml.safe_dump({"rule_files": ["advisor-rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    run = ["promtool", "test", "rules"]
    own_test = subprocess.run([*run, "own.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (own_test.returncode != 0) is rings
    subprocess.run([*run, "advisor-rules.test.yaml"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
