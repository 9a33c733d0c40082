"""``demand.cloudwatch``: a plan from what CloudWatch saw, and how it fails."""

import json
import time

import numpy as np
import pytest

pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'inference-advisor[aws]')")

from samples.query.cloudwatch_stub import cloudwatch

WORKLOAD = """\
name: chat
model: meta-llama/Llama-3.1-8B-Instruct
slo: {ttft_p95: 1s, tpot_p95: 50ms}
providers: [aws]
regions: [us-east-1]
"""
CURRENT = "current: {provider: aws, region: us-east-1, instance_type: g6e.xlarge, count: 2}\n"
LENGTHS = ", input_tokens: 700, output_tokens: 120"


def settings(server) -> dict[str, str]:
    """Credentials, and where the stub is."""
    return {
        "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_ENDPOINT_URL_CLOUDWATCH": server.url,
    }  # fmt: skip


def dims(**names: str) -> list[dict[str, str]]:
    """As CloudWatch writes them."""
    return [{"Name": name, "Value": value} for name, value in names.items()]


def workload(tmp_path, source: str, more: str = ""):
    """A workload file with this source."""
    path = tmp_path / "chat.yaml"
    path.write_text(f"{WORKLOAD}{more}demand:\n  cloudwatch: {{region: us-east-1{source}}}\n")
    return path


def test_an_endpoint_makes_a_plan_that_is_made_again_without_it(tmp_path, run_advisor):
    """Requests are the endpoint's, lengths the stated ones; without lengths it is refused."""
    now = time.time()
    starts = np.arange((now - 7200) // 60 * 60, now, 60.0)
    place = dims(EndpointName="chat", VariantName="AllTraffic")
    with cloudwatch(now) as server:
        server.observed.append(("AWS/SageMaker", "Invocations", place, starts, np.full(len(starts), 120.0)))
        server.observed.append(("/aws/sagemaker/Endpoints", "CPUUtilization", place, starts, np.full(len(starts), 9.0)))
        refused = run_advisor("recommend", workload(tmp_path, ", endpoint: chat"), **settings(server))
        assert refused.returncode == 1
        assert "input_tokens and output_tokens under demand.cloudwatch" in refused.stderr
        file = workload(tmp_path, f", endpoint: chat, window: 1d{LENGTHS}")
        done = run_advisor("recommend", file, "--format", "json", "-o", tmp_path / "plan.json", **settings(server))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "plan.json").read_text()
    assert "s3cret" not in text
    plan = json.loads(text)
    assert plan["demand"]["requests_per_second"]["mean"] == pytest.approx(2.0)
    assert plan["demand"]["source"] == "Invocations of the endpoint chat in cloudwatch us-east-1, 24 h"
    again = run_advisor("explain", tmp_path / "plan.json", "--what-if", "demand=2x")
    assert again.returncode == 0, again.stderr


def test_accelerators_of_hosts_are_weak_evidence(tmp_path, run_advisor):
    """The headline says the interval."""
    now = time.time()
    starts = np.arange((now - 7200) // 60 * 60, now, 60.0)
    place = dims(InstanceId="i-1", index="0", name="NVIDIA L40S", arch="Ada")
    with cloudwatch(now) as server:
        busy = 50 + 30 * np.sin(starts / 600)
        server.observed.append(("CWAgent", "nvidia_smi_utilization_gpu", place, starts, busy))
        file = workload(tmp_path, f", hosts: ['i-*'], window: 1d{LENGTHS}", CURRENT)
        done = run_advisor("recommend", file, "--format", "json", **settings(server))
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["demand"]["source"] == "accelerators in cloudwatch us-east-1"
    assert any("accelerators alone allow" in note for note in plan["notes"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (f", endpoint: a, hosts: [b]{LENGTHS}", "keep either endpoint or hosts"),
        (f", endpont: a{LENGTHS}", "endpoint"),
        (f", window: soon{LENGTHS}", "window"),
        (f", from: 2027-02-01, until: 2027-01-01{LENGTHS}", "before it begins"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, run_advisor, source, words):
    """With the line, the field and what to write."""
    done = run_advisor("recommend", workload(tmp_path, source))
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_region_that_is_none_is_named_with_the_nearest(tmp_path, run_advisor):
    """No answer from us-esat-1 is no mystery."""
    with cloudwatch(0.0) as server:
        environment = settings(server) | {"AWS_ENDPOINT_URL_CLOUDWATCH": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    file = workload(tmp_path, f", endpoint: a{LENGTHS}")
    file.write_text(file.read_text().replace("region: us-east-1", "region: us-esat-1"))
    done = run_advisor("recommend", file, **environment)
    assert done.returncode == 1
    assert "AWS has no region us-esat-1" in done.stderr
    assert "us-east-1" in done.stderr
