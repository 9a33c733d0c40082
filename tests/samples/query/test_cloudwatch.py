"""CloudWatch by the real client, against a server that refuses what the real one would refuse."""

import numpy as np
import pytest

from advisor.errors import InputError
from advisor.samples.query import Accelerator, Window
from samples.query.fleets import MIB, wave
from samples.query.reference import Rows, assert_same, reference

boto3 = pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'inference-advisor[aws]')")

from advisor.samples.query.cloudwatch import CloudWatchBackend  # noqa: E402 - after the skip
from samples.query.cloudwatch_stub import cloudwatch  # noqa: E402 - it needs botocore too

NOW = 1_764_000_000.0
DAY = 86_400


@pytest.fixture
def backend_of(monkeypatch):
    """A backend of a running stub, by the address that a user gives."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s3cret"), ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/nonexistent"), ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)

    def make(server) -> CloudWatchBackend:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", server.url)
        return CloudWatchBackend.at("cloudwatch://us-east-1", lambda: NOW)

    return make


def dimensions(**names: str) -> list[dict[str, str]]:
    """As CloudWatch writes them."""
    return [{"Name": name.replace("_", ""), "Value": value} for name, value in names.items()]


def fleet(server, accelerators: int, days: int, period: int):
    """Series of the CloudWatch agent with missing points, and the rows that they are."""
    starts = np.arange(NOW - days * DAY, NOW, period)
    rows = []
    for number in range(accelerators):
        who = Accelerator(f"i-{number // 8:04d}", number % 8, None, None, "Tesla T4")
        place = dimensions(InstanceId=who.host, index=str(who.index), name=who.product, arch="Turing")
        there = np.random.default_rng(number).random(len(starts)) > 0.02
        for metric, name, scale, high in (
            ("memory_used_bytes", "nvidia_smi_memory_used", MIB, 15_000),
            ("busy_ratio", "nvidia_smi_utilization_gpu", 0.01, 90),
        ):
            mean = wave(number, len(starts), 0, high)[there]
            greatest = mean + 5
            server.metrics.append(("CWAgent", name, place, starts[there], mean, greatest))
            ends_us = (starts[there] + period).astype(np.int64) * 1_000_000
            rows.append(Rows(who, metric, ends_us, mean * scale, greatest * scale))
    return rows


@pytest.mark.parametrize(("days", "period"), [(1, 60), (14, 60), (30, 300), (100, 3600)])
def test_the_answers_are_those_of_the_points(backend_of, days, period):
    """Quantiles of averages, the maximum of maxima, and coverage, with the period that is kept for so long."""
    window = Window(int(NOW - days * DAY) * 1_000_000, int(NOW) * 1_000_000)
    with cloudwatch(NOW) as server:
        rows = fleet(server, 3, days, period)
        backend = backend_of(server)
        found = list(backend.summaries(["memory_used_bytes", "busy_ratio"], window))
        assert_same(found, [reference(one, window, period) for one in rows])
        assert backend.accelerators(window) == list(dict.fromkeys(one.accelerator for one in rows))
        assert backend.metrics(window) == ["memory_used_bytes", "busy_ratio"]
    assert any(f"a row is {period} s" in note and "not seen" in note for note in backend.notes())
    assert "busy_ratio is nvidia_smi_utilization_gpu of CWAgent" in backend.notes()


def test_pages_are_put_together_and_throttling_passes(backend_of):
    """Lists and points that come in many pages are whole, and requests that are throttled are sent again."""
    window = Window(int(NOW - DAY) * 1_000_000, int(NOW) * 1_000_000)
    with cloudwatch(NOW, page_metrics=3, page_points=2000, throttled=1) as server:
        rows = fleet(server, 4, 1, 60)
        found = list(backend_of(server).summaries(["memory_used_bytes", "busy_ratio"], window))
        assert_same(found, [reference(one, window, 60) for one in rows])
        assert sum("NextToken" in asked for _, asked in server.requests) > 10


def test_the_edges_of_a_window(backend_of):
    """A period belongs to the window that its end is in."""
    with cloudwatch(NOW) as server:
        rows = fleet(server, 1, 1, 60)
        backend = backend_of(server)
        for start, end in ((NOW - 3600, NOW - 60), (NOW - 3630, NOW - 90), (NOW - 60, NOW)):
            window = Window(int(start) * 1_000_000, int(end) * 1_000_000)
            assert_same(list(backend.summaries(["busy_ratio"], window)), [reference(rows[1], window, 60)])
        whole = backend.window()
        assert (whole.start_us, whole.end_us) == (int(NOW - DAY) * 1_000_000, int(NOW) * 1_000_000)


def test_container_insights(backend_of):
    """Devices of EKS nodes are accelerators; sums over a node or a cluster are not."""
    starts = np.arange(NOW - 3600, NOW, 60)
    values = wave(1, len(starts), 0, 100)
    node = {"ClusterName": "c", "NodeName": "ip-10-0-0-1", "InstanceId": "i-1"}
    with cloudwatch(NOW) as server:
        for name, place in (
            ("node_gpu_utilization", {"ClusterName": "c"}),
            ("node_gpu_utilization", node),
            ("node_gpu_utilization", {**node, "InstanceType": "g5.xlarge", "GpuDevice": "nvidia3"}),
            ("node_neuroncore_utilization", {**node, "InstanceType": "inf2.xlarge", "NeuronDevice": "device0", "NeuronCore": "core1"}),
        ):  # fmt: skip
            server.metrics.append(("ContainerInsights", name, dimensions(**place), starts, values, values))
        window = Window(int(NOW - 3600) * 1_000_000, int(NOW) * 1_000_000)
        found = list(backend_of(server).summaries(["busy_ratio"], window))
    assert [(one.accelerator.host, one.accelerator.index) for one in found] == [("i-1", 1), ("i-1", 3)]
    assert found[0].mean == pytest.approx(values.mean() / 100, rel=1e-9)


def test_too_long_ago(backend_of):
    """What CloudWatch no longer keeps is said, not answered with nothing."""
    with cloudwatch(NOW) as server:
        fleet(server, 1, 1, 60)
        with pytest.raises(InputError, match="keeps nothing for longer than 455"):
            list(
                backend_of(server).summaries(
                    ["busy_ratio"], Window(int(NOW - 500 * DAY) * 1_000_000, int(NOW) * 1_000_000)
                )
            )


def test_refusals_are_said_with_what_to_do(backend_of, monkeypatch):
    """A refusal, no credentials and no region are plain errors."""
    with cloudwatch(NOW) as server:
        backend = backend_of(server)
        with pytest.raises(InputError, match="AccessDenied") as caught:
            list(backend._api.pages("list_dashboards"))
        assert "cloudwatch:GetMetricData" in caught.value.hint
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(InputError, match="credentials") as caught:
            backend_of(server).metrics(Window(0, 1))
        assert "aws sts get-caller-identity" in caught.value.hint
    with pytest.raises(InputError, match="region"):
        CloudWatchBackend.at("cloudwatch://")
