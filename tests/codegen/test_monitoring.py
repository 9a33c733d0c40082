"""``advisor generate monitoring``: rules that Prometheus reads, and that ring at the right numbers."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from advisor.codegen.monitoring import monitoring_files
from advisor.errors import InputError, NotDeployable
from advisor.plan.document import plan_from_json
from codegen.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed: make services")


@pytest.fixture(scope="module")
def plan(run_advisor, tmp_path_factory):
    """The plan of an example, as its file."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    run_advisor("recommend", ROOT / "examples/chat/workload.yaml", "--format", "json", "-o", path)
    return path


@pytest.fixture
def read(plan):
    """The same as a value."""
    return plan_from_json(plan.read_text())


def written(files, directory):
    """The files in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    return directory


def promtool(directory, *arguments):
    """A run of promtool, which has to end well."""
    result = subprocess.run([PROMTOOL, *arguments], cwd=directory, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def as_engine(plan, *engines):
    """The plan with its groups on other engines, in turn."""
    groups = tuple(replace(group, engine=engines[at % len(engines)]) for at, group in enumerate(plan.fleet.groups))
    return replace(plan, fleet=replace(plan.fleet, groups=groups))


@pytest.mark.sampled(3)
@needs_promtool
@pytest.mark.parametrize("engines", [("vLLM",), ("SGLang",), ("TensorRT-LLM",), ("vLLM", "SGLang")])
def test_prometheus_reads_the_rules_and_their_test_holds(read, engines, tmp_path):
    """Rules of every engine, and of two together, parse, record the planned cost, and ring at twice the load."""
    directory = written(monitoring_files(as_engine(read, *engines)), tmp_path)
    promtool(directory, "check", "rules", "advisor-rules.yaml")
    promtool(directory, "test", "rules", "advisor-rules.test.yaml")


def rules_test(read, series, alerts, minutes):
    """A test of promtool: which of the alerts ring after so many minutes."""
    rules = yaml.safe_load(monitoring_files(read)["advisor-rules.yaml"])["groups"][1]["rules"]

    def expected(name):
        return [{"exp_labels": {**rule["labels"]}, "exp_annotations": None} for rule in rules if rule["alert"] == name]

    return {
        "rule_files": ["advisor-rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'count by (alertname) (ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0',
                        "eval_time": f"{minutes}m",
                        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}] if rings else [],
                    }
                    for name, rings in alerts.items()
                    if expected(name)
                ],
            }
        ],
    }


@needs_promtool
@pytest.mark.parametrize(
    ("slow_ratio", "failed_ratio", "kv_ratio", "rings"),
    [
        (0.01, 0.0, 0.3, set()),
        (0.8, 0.0, 0.3, {"AdvisorLatencyBudgetBurn"}),
        (0.01, 0.05, 0.3, {"AdvisorPaidForFailures"}),
        (0.01, 0.0, 0.95, {"AdvisorKvCacheFull"}),
        (0.01, 0.0, 0.3, {"AdvisorEngineStalled"}),
    ],
)
def test_alerts_ring_for_what_they_name_alone(read, slow_ratio, failed_ratio, kv_ratio, rings, tmp_path):
    """Slow answers burn the budget, failures cost, a full cache and an engine that hangs are told; else nothing rings."""
    model = f'model_name="{read.workload["model"]}"'
    series = {}
    for replica in range(3):
        own = f'{model},instance="r{replica}"'
        series |= {
            f"vllm:num_requests_running{{{own}}}": "4x180",
            f"vllm:num_requests_waiting{{{own}}}": "0x180",
            f"vllm:kv_cache_usage_perc{{{own}}}": f"{kv_ratio}x180",
            f"vllm:request_success_total{{{own}}}": "0+120x180",
            f"vllm:generation_tokens_total{{{own}}}": "7x180" if "Stalled" in str(rings) and replica else "0+12000x180",
            f'http_requests_total{{handler="/v1/chat",status="2xx",instance="r{replica}"}}': f"0+{1000 * (1 - failed_ratio)}x180",
            f'http_requests_total{{handler="/v1/chat",status="500",instance="r{replica}"}}': f"0+{1000 * failed_ratio}x180",
            f'vllm:time_to_first_token_seconds_bucket{{{own},le="1.0"}}': f"0+{100 * (1 - slow_ratio)}x180",
            f'vllm:time_to_first_token_seconds_bucket{{{own},le="2.5"}}': "0+100x180",
            f'vllm:time_to_first_token_seconds_bucket{{{own},le="+Inf"}}': "0+100x180",
        }
    names = (
        "AdvisorLatencyBudgetBurn", "AdvisorPaidForFailures", "AdvisorKvCacheFull", "AdvisorLoadBeyondPlan",
        "AdvisorEngineStalled",
    )  # fmt: skip
    directory = written(monitoring_files(read), tmp_path)
    document = rules_test(read, series, {name: name in rings for name in names}, 170)
    (directory / "own.test.yaml").write_text(yaml.safe_dump(document))
    promtool(directory, "test", "rules", "own.test.yaml")


@needs_promtool
def test_two_workloads_on_one_prometheus_stay_apart(read, tmp_path):
    """A series that one workload's rules record is no input of the other's."""
    other = replace(read, workload={**read.workload, "name": 'other "{{ $x }}"', "model": "org/other"})
    documents = [yaml.safe_load(monitoring_files(plan)["advisor-rules.yaml"]) for plan in (read, other)]
    own = f'workload="{read.workload["name"]}"'
    for rule in (rule for group in documents[0]["groups"] for rule in group["rules"]):
        recorded = rule["expr"].count("advisor:")
        assert rule["expr"].count(own) == recorded
    written({"other.yaml": yaml.safe_dump(documents[1])}, tmp_path)
    promtool(tmp_path, "check", "rules", "other.yaml")


@needs_promtool
def test_names_outside_ascii_and_matchers_of_ones_own_are_read(read, tmp_path):
    """An emoji in a name, and matchers by pattern, for which no test is written; what is no matcher is refused."""
    named = replace(
        read, workload={**read.workload, "name": "chat \N{GRINNING FACE}", "model": "org/\N{GRINNING FACE}"}
    )
    directory = written(monitoring_files(named), tmp_path / "named")
    promtool(directory, "check", "rules", "advisor-rules.yaml")
    promtool(directory, "test", "rules", "advisor-rules.test.yaml")
    files = monitoring_files(read, 'namespace=~"chat.*",pod!="x"')
    assert "advisor-rules.test.yaml" not in files
    promtool(written(files, tmp_path / "matched"), "check", "rules", "advisor-rules.yaml")
    for wrong in ("x", 'a="b"} or vector(1) or x{c="d"', 'a="b" c="d"', "a='b'"):
        with pytest.raises(InputError, match="matchers"):
            monitoring_files(read, wrong)


@needs_promtool
def test_every_query_of_the_dashboard_is_one(read, tmp_path):
    """Each panel asks for series that the rules record."""
    files = monitoring_files(read)
    recorded = {rule["record"] for rule in yaml.safe_load(files["advisor-rules.yaml"])["groups"][0]["rules"]}
    dashboard = json.loads(files["advisor-dashboard.json"])
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert {query.split("{")[0] for query in queries} <= recorded
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    rules = [{"record": f"x:{at}", "expr": query} for at, query in enumerate(queries)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool(tmp_path, "check", "rules", "panels.yaml")


@pytest.mark.parametrize("name", ["${datasource}", "$datasource", "[[datasource]]", "plain"])
def test_no_title_has_a_variable(read, name):
    """Grafana replaces ``${x}``, ``$x`` and ``[[x]]`` in titles; a workload's name stays what it is to the eye."""
    workload = {**read.workload, "name": name}
    title = json.loads(monitoring_files(replace(read, workload=workload))["advisor-dashboard.json"])["title"]
    assert not re.search(r"\$\w|\$\{|\[\[", title)
    assert title.replace("\u200b", "") == f"{name}: plan and reality"


@pytest.mark.sampled(2)
def test_a_second_run_changes_nothing_and_code_of_another_kind_stays(plan, run_advisor, tmp_path):
    """Files are written once; a directory of Terraform is refused, and so is Terraform over these files."""
    watched, infra = tmp_path / "watched", tmp_path / "infra"
    assert run_advisor("generate", "monitoring", plan, "--into", watched).returncode == 0
    again = run_advisor("generate", "monitoring", plan, "--into", watched)
    assert "3 unchanged" in again.stdout
    assert run_advisor("generate", "terraform", plan, "--into", infra).returncode == 0
    for kind, directory in (("monitoring", infra), ("terraform", watched)):
        refused = run_advisor("generate", kind, plan, "--into", directory)
        assert refused.returncode == 1
        assert "another directory" in refused.stderr


def test_what_cannot_be_watched_is_said(read):
    """A plan without a fleet, and engines without known metrics."""
    with pytest.raises(NotDeployable, match="no fleet"):
        monitoring_files(replace(read, fleet=None))
    with pytest.raises(InputError, match="publishes no metrics"):
        monitoring_files(as_engine(read, "NIM"))
    with pytest.raises(InputError, match=r"llama\.cpp server does not count what it finishes"):
        monitoring_files(SCENARIOS["ec2-gguf"]().plan)


@needs_promtool
@pytest.mark.parametrize("name", ["ec2-images", "eks-reranker", "mig-speech"])
def test_answers_in_one_pass_are_watched_in_their_own_measures(name, tmp_path):
    """Rules of each kind parse and pass their test: whole answers in place of tokens, texts counted as the engine does."""
    directory = written(monitoring_files(SCENARIOS[name]().plan), tmp_path)
    promtool(directory, "check", "rules", "advisor-rules.yaml")
    promtool(directory, "test", "rules", "advisor-rules.test.yaml")
    rules = (directory / "advisor-rules.yaml").read_text()
    assert "advisor:latency_seconds:p95" in rules
    assert not re.search("tokens|kv_cache|ttft", rules)


@pytest.mark.parametrize(("name", "model"), [("gke-images", "vit-base-patch16-224"), ("ec2-trees", "fraud")])
def test_series_of_triton_are_told_by_their_model(name, model):
    """One server may hold others, and each of its GPUs has series of its own."""
    rules = monitoring_files(SCENARIOS[name]().plan)["advisor-rules.yaml"]
    assert f'nv_inference_request_success{{model="{model}"}}' in rules
    assert "gpu_uuid" in rules


@needs_promtool
def test_histograms_in_microseconds_are_held_against_seconds(tmp_path):
    """Pictures of OpenVINO Model Server, whose times are recorded and alarmed in seconds against a target of 120 s."""
    directory = written(monitoring_files(SCENARIOS["aks-pictures"]().plan), tmp_path)
    promtool(directory, "test", "rules", "advisor-rules.test.yaml")
    groups = yaml.safe_load((directory / "advisor-rules.yaml").read_text())["groups"]
    rules = {rule.get("record") or rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}
    times = "sum by (le) (rate(ovms_graph_processing_time_us_bucket[5m]))) / 1000000"
    assert rules["advisor:latency_seconds:p95"] == f"histogram_quantile(0.95, {times}"
    assert re.search(
        r"ovms_graph_processing_time_us.* / 1000000 > 120 and .* / 1000000 > 120", rules["AdvisorLatencyBudgetBurn"]
    )


@needs_promtool
@pytest.mark.parametrize(("microseconds", "rings"), [("40000x180", False), ("60000x180", True), ("NaN " * 181, False)])
def test_quantiles_over_the_target_ring(microseconds, rings, tmp_path):
    """Triton's p95 of each minute against 50 ms; minutes without a request say nothing."""
    plan = SCENARIOS["ec2-images"]().plan
    own = 'model="vit-base-patch16-224",instance="a"'
    series = {
        f'nv_inference_request_summary_us{{{own},quantile="0.95"}}': microseconds.strip(),
        f"nv_inference_request_success{{{own}}}": "0+60x180",
        f"nv_inference_pending_request_count{{{own}}}": "0x180",
    }
    directory = written(monitoring_files(plan), tmp_path)
    document = rules_test(plan, series, {"AdvisorLatencyOverTarget": rings}, 170)
    (directory / "own.test.yaml").write_text(yaml.safe_dump(document))
    promtool(directory, "test", "rules", "own.test.yaml")
