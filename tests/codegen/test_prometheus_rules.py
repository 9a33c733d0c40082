"""The SLO alerts on clusters, asked of Prometheus itself: when they ring, and when they do not."""

import shutil
import subprocess

import pytest
import yaml

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.container import Engine
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.prometheus_rules import rules_of
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan
from codegen.scenarios import SCENARIOS

CLUSTERS = ("eks", "gke", "aks", "kubernetes")
NAMES = [name for name, make in SCENARIOS.items() if (make().wanted.target or "").startswith(CLUSTERS)]
GROUP = "us-east-1-g6-xlarge-bf16-tp1-on-demand"
POD = f'namespace="support-chat",pod="{GROUP}-5d-x"'
START_MINUTES = 12
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make services")


def stack_of(plan, wanted=Wanted()):  # noqa: B008 - frozen
    """The only stack of a plan."""
    (stack,) = stacks_of(plan, choose(plan, wanted, lambda _choice: None), wanted)
    return stack


def promtool(directory, *words):
    """What Prometheus's own tool says."""
    return subprocess.run(["promtool", *words], cwd=directory, text=True, capture_output=True, timeout=60, check=False)


def rings(directory, series, alert, minute):
    """Whether *alert* rings in the minute, with series by their name and labels."""
    files = generate(make_fleet_plan(make_group()), Language.TERRAFORM, Wanted(target="eks")).files
    rule = yaml.safe_load(files["kubernetes/us-east-1/prometheus-rule.yaml"])
    (directory / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    asked = {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []}
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": inputs, "alert_rule_test": [asked]}
    (directory / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]})
    )
    ran = promtool(directory, "test", "rules", "test.yaml")
    assert ran.returncode == 0 or "got:[" in (ran.stdout + ran.stderr).replace(" ", "").replace("\n", "")
    return ran.returncode != 0


@needs_promtool
def test_every_generated_rule_is_one(tmp_path):
    """Prometheus takes the rules of every scenario, the hostile ones too."""
    for name in NAMES:
        scenario = SCENARIOS[name]()
        for path, text in generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files.items():
            if path.endswith("prometheus-rule.yaml"):
                (tmp_path / f"{name}-{path.split('/')[-2]}.yaml").write_text(
                    yaml.safe_dump(yaml.safe_load(text)["spec"])
                )
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) >= len(NAMES)
    ran = promtool(tmp_path, "check", "rules", *files)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
@pytest.mark.parametrize(
    ("ready", "phase", "minute", "expected"),
    [
        ("0x60", "Running", START_MINUTES - 1, False),
        ("0x60", "Running", START_MINUTES + 1, True),
        (f"0x{START_MINUTES - 2} 1x60", "Running", 40, False),
        ("1x30 0x30", "Running", 41, False),
        ("1x30 0x30", "Running", 31 + START_MINUTES, True),
        ("0x60", "Failed", 40, False),
    ],
    ids=["loads", "never ready", "was ready in time", "loads again", "does not come back", "was evicted"],
)
def test_pod_rings_once_its_planned_start_is_over(ready, phase, minute, expected, tmp_path):
    """A pod that loads rings nothing, one that never becomes ready does, and one that ended does not."""
    series = {
        f'kube_pod_status_ready{{{POD},condition="true"}}': ready,
        f'kube_pod_status_phase{{{POD},phase="{phase}"}}': "1x60",
    }
    assert rings(tmp_path, series, "InferencePodsNotReady", minute) == expected


@needs_promtool
@pytest.mark.parametrize(("slow", "expected"), [(4, False), (7, True)])
def test_ttft_rings_at_the_plan_s_target(slow, expected, tmp_path):
    """Target 1 s at the 95th percentile: 4 of 100 requests may take longer, 7 may not."""
    buckets = {"1.0": 100 - slow, "2.5": 100, "+Inf": 100}
    name = "vllm:time_to_first_token_seconds_bucket"
    series = {f'{name}{{{POD},le="{le}"}}': f"0+{count}x60" for le, count in buckets.items()}
    assert rings(tmp_path, series, "InferenceTtft", 30) == expected


@needs_promtool
@pytest.mark.parametrize(("waiting", "expected"), [(1, False), (3, True)])
def test_queue_rings_beyond_what_empties_in_time(waiting, expected, tmp_path):
    """1.2 requests per second and a target of 1 s: 1.2 may wait for a replica."""
    assert rings(
        tmp_path, {f"vllm:num_requests_waiting{{{POD}}}": f"{waiting}x60"}, "InferenceWaitingRequests", 30
    ) == (expected)


@needs_promtool
@pytest.mark.parametrize(
    ("path", "failed", "expected"), [("/v1/completions", 1, False), ("/v1/completions", 3, True), ("/health", 3, False)]
)
def test_errors_ring_above_one_percent_of_the_clients_requests(path, failed, expected, tmp_path):
    """3 of 203 answers are too many, 1 of 201 is not, and probes are no requests."""
    series = {
        f'http_requests_total{{{POD},handler="/v1/completions",status="2xx"}}': "0+200x60",
        f'http_requests_total{{{POD},handler="{path}",status="5xx"}}': f"0+{failed}x60",
    }
    assert rings(tmp_path, series, "InferenceServerErrors", 30) == expected


@needs_promtool
@pytest.mark.parametrize(
    ("running", "tokens", "minute", "expected"),
    [
        ("2x60", "0+900x10 9000x50", 17, True),
        ("2x60", "0+900x10 9000x50", 12, False),
        ("0x60", "9000x60", 30, False),
        ("0x10 2x50", "0x12 0+900x48", 30, False),
        ("2x60", "0+1x60", 30, False),
    ],
    ids=["hangs", "has just stopped", "idle", "starts to work", "slow"],
)
def test_an_engine_that_hangs_rings(running, tokens, minute, expected, tmp_path):
    """Requests and no token for five minutes, in one of two engines of a pod, whatever the other does."""
    series = {
        f'vllm:num_requests_running{{{POD},engine="0"}}': running,
        f'vllm:generation_tokens_total{{{POD},engine="0"}}': tokens,
        f'vllm:num_requests_running{{{POD},engine="1"}}': "1x60",
        f'vllm:generation_tokens_total{{{POD},engine="1"}}': "0+300x60",
    }
    assert rings(tmp_path, series, "InferenceEngineStalled", minute) == expected


@pytest.mark.parametrize(("engine", "rings_for"), [("SGLang", True), ("TensorRT-LLM", False)])
def test_engines_whose_progress_is_known_are_watched(engine, rings_for):
    """SGLang counts the tokens of a request at its end; the alert asks its scheduler, which counts them as they come."""
    stack = stack_of(make_plan(make_option(engine=engine)), Wanted(rank=1))
    queries = [rule.expression for rule in rules_of(stack, "us-east-1") if rule.name == "InferenceEngineStalled"]
    assert len(queries) == rings_for
    said = [why for why in stack.slo_left_out if why.startswith("no alarm where")]
    assert said == (
        [] if rings_for else [f"no alarm where {engine.lower()} hangs, which has no known count of its progress"]
    )
    assert all("sglang:realtime_tokens_total" in query and "dp_rank" in query for query in queries)


def test_an_engine_that_publishes_nothing_has_the_alert_on_its_pods_only():
    """An image of the user's own: no query asks for series that are not there, and the stack says why."""
    wanted = Wanted(engine=Engine.CUSTOM, image="registry.example.com/nim:1", rank=1)
    stack = stack_of(make_plan(make_option()), wanted)
    assert {rule.name for rule in rules_of(stack, "us-east-1")} == {"InferencePodsNotReady"}
    assert stack.slo_left_out


@needs_promtool
def test_gke_counts_replicas_that_answer(tmp_path):
    """Two replicas of which one still loads are one, in the query that Cloud Monitoring compares with the plan's fewest.

    What routes requests to them is none.
    """
    scenario = SCENARIOS["gke-l4-spot"]()
    text = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files["fleet.tf"]
    (values,) = read_hcl(text, "fleet.tf").body.blocks
    query = literal(values.attributes["queries"].value.node)["missing_replicas"]["query"]
    (group,) = literal(values.attributes["groups"].value.node)
    for word, meant in {"LOCATIONS": "us-central1", "CLUSTERS": "a", "NAMESPACE": "support-chat"}.items():
        query = query.replace(word, meant)
    where = 'location="us-central1",cluster="a",namespace="support-chat"'
    series = [
        {"series": f'kube_deployment_status_replicas_available{{{where},deployment="{group}"}}', "values": "1x10"},
        {
            "series": f'kube_deployment_status_replicas_available{{{where},deployment="route-weights"}}',
            "values": "1x10",
        },
        {"series": f'kube_deployment_spec_replicas{{{where},deployment="{group}"}}', "values": "2x10"},
    ]
    asked = {"expr": query, "eval_time": "5m", "exp_samples": [{"labels": "{}", "value": 1}]}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    ran = promtool(tmp_path, "test", "rules", "test.yaml")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["gke-embeddings", "gke-l4-spot", "aks-reranker", "eks-reranker"])
def test_a_missing_alarm_on_server_errors_is_said(name):
    """Text Embeddings Inference does not count its answers by status: both READMEs name the engine, and no other."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    engines = {backend.container.engine for backend in stack_of(scenario.plan, scenario.wanted).backends}
    for path in ("README.md", "kubernetes/README.md"):
        told = {engine for engine in engines if f"no alarm on server errors of {engine.value}," in files[path]}
        assert told == engines & {Engine.TEXT_EMBEDDINGS_INFERENCE}
