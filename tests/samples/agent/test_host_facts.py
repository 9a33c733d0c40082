"""What a host is, from metadata services as the providers' documentation has them, and from processes."""

import json
import socket
import time

import pytest

from advisor.samples.agent import host_facts
from advisor.samples.agent.host_facts import facts_here, keep_facts, read_facts
from advisor.samples.places import spool_folder
from samples.query.stub import stub

AWS = {
    "instance-type": "g6e.xlarge", "placement/region": "eu-central-1", "placement/availability-zone": "eu-central-1b",
    "instance-life-cycle": "spot", "ami-id": "ami-0abc",
}  # fmt: skip
GCP = {
    "machine-type": "projects/1/machineTypes/a3-highgpu-8g", "zone": "projects/1/zones/us-central1-a",
    "scheduling/preemptible": "FALSE", "image": "projects/p/global/images/deep-1",
}  # fmt: skip
AZURE = {
    "vmSize": "Standard_NC24ads_A100_v4", "location": "eastus", "zone": "2", "priority": "Spot", "userData": "s3cret",
    "storageProfile": {"imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204", "version": "1"}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def anybody(monkeypatch, tmp_path):
    """A machine whose firmware names nobody."""
    monkeypatch.setattr(host_facts, "_VENDOR", tmp_path / "no-firmware")


def aws(request):
    """IMDSv2: nothing without a token that was put."""
    if (request.method, request.path) == ("PUT", "/latest/api/token"):
        assert request.headers["x-aws-ec2-metadata-token-ttl-seconds"]
        return 200, {}, b"t0ken"
    value = AWS.get(request.path.removeprefix("/latest/meta-data/"))
    if request.headers.get("x-aws-ec2-metadata-token") != "t0ken" or value is None:
        return 401 if value else 404, {}, b""
    return 200, {}, value.encode()


def gcp(request):
    """Nothing without its header."""
    value = GCP.get(request.path.removeprefix("/computeMetadata/v1/instance/"))
    if request.headers.get("metadata-flavor") != "Google" or value is None:
        return 403, {}, b""
    return 200, {"Metadata-Flavor": "Google"}, value.encode()


def azure(request):
    """One document."""
    if request.path != "/metadata/instance/compute" or request.headers.get("metadata") != "true":
        return 400, {}, b""
    return 200, {}, json.dumps(AZURE).encode()


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (aws, {"provider": "aws", "instance_type": "g6e.xlarge", "region": "eu-central-1", "zone": "eu-central-1b", "purchase": "spot", "image": "ami-0abc"}),
        (gcp, {"provider": "gcp", "instance_type": "a3-highgpu-8g", "region": "us-central1", "zone": "us-central1-a", "purchase": "on_demand", "image": "deep-1"}),
        (azure, {"provider": "azure", "instance_type": "Standard_NC24ads_A100_v4", "region": "eastus", "zone": "2", "purchase": "spot", "image": "microsoft-dsvm:ubuntu-hpc:2204:1"}),
    ],
)  # fmt: skip
def test_each_provider_says_what_the_machine_is(tmp_path, service, expected):
    """In the words of a workload file; nothing else of its answers is kept."""
    with stub(service) as running:
        assert facts_here(running.url, tmp_path) == expected


def test_nobody_there_costs_little_and_says_nothing(tmp_path):
    """A port that never answers ends in seconds, and unknown stays unknown."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        assert facts_here(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path) == {}
        assert time.monotonic() - begun < 6
    with stub(lambda _: (200, {}, b"<html>a captive portal\0\n</html>")) as portal:
        assert "instance_type" not in facts_here(portal.url, tmp_path)


def test_a_firmware_of_nobody_asks_nobody(tmp_path, monkeypatch):
    """On a machine of one's own nothing is waited for."""
    (tmp_path / "no-firmware").write_text("Supermicro\n")
    with stub(aws) as running:
        assert facts_here(running.url, tmp_path) == {}
        assert running.requests == []
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", running.url)
        assert facts_here("http://127.0.0.1:1", tmp_path)["provider"] == "aws"


def test_engines_are_kept_without_secrets(tmp_path):
    """Only flags that say how an engine runs are kept, of engines alone."""
    for number, words in enumerate((
        ("/usr/bin/python3", "/usr/bin/vllm", "serve", "meta-llama/Llama-3.1-8B-Instruct", "--api-key", "s3cret", "--tensor-parallel-size", "2", "--dtype=bfloat16", "--enable-prefix-caching", "--port", "8000"),
        ("python3", "-m", "sglang.launch_server", "--model-path", "Qwen/Qwen3-32B", "--tp", "4", "--hf-token=s3cret", "--served-model-name", "https://me:s3cret@hub/x"),
        ("python3", "train.py", "--model", "x", "--dtype", "s3cret"),
    )):  # fmt: skip
        folder = tmp_path / str(100 + number)
        folder.mkdir()
        (folder / "cmdline").write_bytes("\0".join(words).encode() + b"\0")
    assert facts_here("http://127.0.0.1:1", tmp_path) == {
        "engines": "sglang --model-path Qwen/Qwen3-32B --tp 4 --served-model-name; "
        "vllm meta-llama/Llama-3.1-8B-Instruct --tensor-parallel-size 2 --dtype bfloat16 --enable-prefix-caching"
    }


def test_what_is_known_stays_until_the_machine_is_started_again(tmp_path, monkeypatch):
    """A metadata service that is away for an hour takes nothing back; another boot may be another machine."""
    keep_facts(tmp_path, "a", lambda: {"provider": "aws", "zone": "b"})
    keep_facts(tmp_path, "a", lambda: {"zone": "c"})
    assert read_facts(tmp_path, "a") == {"provider": "aws", "zone": "c"}
    monkeypatch.setattr(host_facts, "_boot", lambda: "another")
    keep_facts(tmp_path, "a", dict)
    assert read_facts(tmp_path, "a") == {}
    keep_facts(tmp_path / "file", "a", dict)
    (tmp_path / "full").write_text("no folder")
    keep_facts(tmp_path / "full", "a", lambda: {"provider": "aws"})
    assert not spool_folder(tmp_path / "file", "a").exists()
