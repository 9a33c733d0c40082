"""``advisor recommend --prometheus URL``: a plan from what a server saw, and how it fails."""

import json
import time

import numpy as np
import pytest

from advisor.plan.request import read_question
from demand.monitored.serving import counter, vllm_series
from samples.query.conftest import prometheus_url, victoria_metrics_url
from samples.query.fleets import dcgm_labels, points
from samples.query.remote_writing import write

__all__ = ["prometheus_url", "victoria_metrics_url"]

WORKLOAD = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [bf16, fp8]
slo: {ttft_p95: 1s, tpot_p95: 50ms}
providers: [aws]
regions: [us-east-1]
"""
CURRENT = "current: {provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: 2}\n"


def now_ms() -> np.ndarray:
    """Two hours of scrapes up to now."""
    end = time.time_ns() // 1_000_000
    return np.arange(end - 2 * 3_600_000, end, 15_000)


@pytest.fixture(scope="module")
def engines_url(victoria_metrics_url):
    """A server that has seen two hours of a vLLM replica."""
    times = now_ms()
    grown = counter(4 + 2 * np.sin(np.arange(len(times)) * 8 * np.pi / len(times)), 15)
    write(victoria_metrics_url, vllm_series({"instance": "a:8000", "namespace": "chat"}, times, grown))
    return victoria_metrics_url


def workload(tmp_path, text=WORKLOAD):
    """A workload file."""
    path = tmp_path / "chat.yaml"
    path.write_text(text)
    return path


@pytest.mark.sampled(2)
def test_demand_from_a_server_makes_a_plan_that_can_be_made_again(tmp_path, run_advisor, engines_url):
    """Rate, lengths and cache hits are the engines'; the plan holds them, and is answered again without the server."""
    done = run_advisor(
        "recommend", workload(tmp_path), "--prometheus", engines_url, "--selector", 'namespace="chat"', "--window", "3h",
        "--format", "json", "-o", tmp_path / "plan.json", ADVISOR_PROMETHEUS_TOKEN="s3cret",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "plan.json").read_text()
    assert "s3cret" not in text
    plan = json.loads(text)
    assert plan["demand"]["requests_per_second"]["mean"] == pytest.approx(4, rel=0.02)
    assert plan["demand"]["input_tokens"]["mean"] == pytest.approx(700, rel=0.01)
    assert f"vLLM metrics at {engines_url}, 3 h" == plan["demand"]["source"]
    assert any("40% of the prompts' tokens" in note and "measured" in note for note in plan["notes"])
    assert read_question(plan["question"]).workload.prefix_cache_hit_ratio == pytest.approx(0.4, rel=1e-3)

    again = run_advisor("explain", tmp_path / "plan.json", "--what-if", "demand=2x")
    assert again.returncode == 0, again.stderr


def test_the_workload_file_may_name_the_server(tmp_path, run_advisor, engines_url):
    """``demand.prometheus`` is the same source, with what stands beside it."""
    demand = f"demand:\n  prometheus: {{url: '{engines_url}', window: 1d, selector: 'namespace=\"chat\"'}}\n"
    done = run_advisor(
        "recommend", workload(tmp_path, WORKLOAD + demand + "  prefix_cache_hit_ratio: 0\n"), "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert "vLLM metrics" in plan["demand"]["source"]
    assert not any("prefix caches" in note for note in plan["notes"])


@pytest.mark.sampled(2)
def test_busy_accelerators_make_a_plan_too(tmp_path, run_advisor, prometheus_url):
    """Where no engine is scraped, the shape is that of the accelerators, and the lengths are those that are stated."""
    times = now_ms()
    busy = 50 + 30 * np.sin(np.arange(len(times)) / 50)
    labels = dcgm_labels("recommend", 0, 0)
    write(prometheus_url, [({"__name__": "DCGM_FI_DEV_GPU_UTIL", **labels}, points(times * 1000, busy))])
    server = ("--prometheus", prometheus_url, "--selector", 'fleet="recommend"', "--window", "3h")

    refused = run_advisor("recommend", workload(tmp_path), *server)
    assert refused.returncode == 1
    assert "the workload states no token lengths" in refused.stderr
    lengths = "demand: {samples: {path: x, requests_per_day: 100000, input_tokens: 800, output_tokens: 200}}\n"
    done = run_advisor("recommend", workload(tmp_path, WORKLOAD + lengths), *server, "--format", "json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["demand"]["requests_per_second"]["mean"] == pytest.approx(100_000 / 86_400, rel=1e-5)
    assert "accelerators at" in plan["demand"]["source"]
    interval = plan["demand"]["interval"]
    assert interval["mean_low"] == interval["mean_high"] == plan["demand"]["requests_per_second"]["mean"]
    assert interval["peak_low"] < plan["demand"]["requests_per_second"]["peak"] <= interval["peak_high"]
    assert plan["fleet"]["proven"] is False
    done = run_advisor(
        "recommend", workload(tmp_path, WORKLOAD + CURRENT + lengths.replace("requests_per_day: 100000, ", "")), *server
    )
    assert "upper bound" in done.stdout
    assert "demand not measured, " in " ".join(done.stdout.split())


def test_a_server_that_holds_another_model_makes_no_plan(tmp_path, run_advisor, engines_url):
    """A workload for Qwen against a server that holds Llama alone: exit 1, the rate of what is there, and a remedy."""
    text = WORKLOAD.replace("meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct")
    done = run_advisor("recommend", workload(tmp_path, text), "--prometheus", engines_url, "--window", "3h")
    assert done.returncode == 1
    assert (
        "no engine there serves Qwen/Qwen2.5-7B-Instruct: they serve meta-llama/Llama-3.1-8B-Instruct (4" in done.stderr
    )
    assert "hint: " in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--prometheus", "http://127.0.0.1:9"), "cannot be reached"),
        (("--prometheus", "http://me:s3cret@127.0.0.1:9"), "holds a user or a password"),
        (("--prometheus", "prometheus"), "not the address"),
        (("--prometheus", "http://127.0.0.1:9", "--token-file", "nowhere"), "cannot read the token"),
    ],
)
def test_what_the_user_can_mend_exits_1(tmp_path, run_advisor, options, words):
    """A server that is not there or an address that is none is one plain error, and shows no secret."""
    done = run_advisor("recommend", workload(tmp_path), *options)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


def test_a_password_in_the_workload_file_is_refused(tmp_path, run_advisor):
    """It is not shown, and the line is named."""
    text = WORKLOAD + "demand: {prometheus: {url: 'http://me:s3cret@127.0.0.1:9'}}\n"
    done = run_advisor("recommend", workload(tmp_path, text))
    assert done.returncode == 1
    assert "chat.yaml:7: demand.prometheus.url" in done.stderr
    assert "s3cret" not in done.stderr


def test_a_directory_of_workloads_names_its_servers_itself(tmp_path, run_advisor):
    """With a directory ``--prometheus`` is wrong usage: whose demand would it be?"""
    done = run_advisor("recommend", tmp_path, "--prometheus", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "for one workload file" in done.stderr
