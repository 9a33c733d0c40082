"""Demand from CloudWatch by the real client, against a server that keeps and aggregates as the real one does."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.demand.busy import BusySecond, demand_from_busy
from advisor.demand.monitored.cloudwatch import CloudWatched, busy_in_cloudwatch, endpoint_demand
from advisor.errors import InputError

pytest.importorskip("boto3", reason="boto3 is not installed (pip install 'inference-advisor[aws]')")

from advisor.samples.query.cloudwatch import CloudWatchApi
from samples.query.cloudwatch_stub import cloudwatch

NOW = 1_764_000_000.0
DAY = 86_400.0
TOKENS = (700.0, 120.0)


@pytest.fixture
def asked(monkeypatch):
    """What a running stub is asked, over the days up to now."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s3cret"), ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/nonexistent"), ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)

    def make(server, days: float = 2.0, **chosen) -> CloudWatched:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", server.url)
        api = CloudWatchApi.of("us-east-1", None, "test")
        api.now_seconds = lambda: NOW
        return replace(CloudWatched.between(api, days, None, None), **chosen)

    return make


def dims(**names: str) -> list[dict[str, str]]:
    """As CloudWatch writes them."""
    return [{"Name": name, "Value": value} for name, value in names.items()]


def endpoint(server, name: str, rate: float, days: float, seed: int = 0, missing=(np.inf, np.inf)) -> np.ndarray:
    """An endpoint of two variants; requests by the minute of all its time, NaN where nothing was reported."""
    rng = np.random.default_rng(seed)
    starts = np.arange((NOW - days * DAY) // 60 * 60, NOW, 60.0)
    there = ~((starts >= missing[0]) & (starts < missing[1]))
    shape = 1 + 0.8 * np.sin(starts * 2 * np.pi / DAY)
    total = np.zeros(len(starts))
    for variant, share in (("blue", 0.75), ("green", 0.25)):
        place = dims(EndpointName=name, VariantName=variant)
        counts = rng.poisson(rate * 60 * share * shape) * (rng.random(len(starts)) < 0.97) * there
        total += counts
        some = counts > 0  # a minute without a request has no point
        moments = np.repeat(starts[some], 2)
        halves = np.stack([counts[some] // 2, counts[some] - counts[some] // 2], axis=1).ravel()
        server.observed.append(("AWS/SageMaker", "Invocations", place, moments, halves))
        server.observed.append(("AWS/SageMaker", "Invocations", [*place, *dims(InstanceId="i-1")], moments, halves))
        server.observed.append(("AWS/SageMaker", "ModelLatency", place, starts[some], np.full(some.sum(), 2_500_000.0)))
        for metric, value in (("CPUUtilization", 20.0), ("GPUUtilization", 160.0), ("GPUMemoryUtilization", 310.0)):
            values = np.full(there.sum(), value)
            server.observed.append(("/aws/sagemaker/Endpoints", metric, place, starts[there], values))
    return np.where(there, total, np.nan)


def test_an_endpoint_is_counted_to_the_minute(asked):
    """Variants add up, series of single instances count nothing twice, and a minute without a point had no request."""
    with cloudwatch(NOW, page_points=5000) as server:
        truth = endpoint(server, "chat", 3.0, 2.0)
        demand = endpoint_demand(asked(server), TOKENS)
    within = truth[: len(demand.profile.requests_per_minute)]
    np.testing.assert_array_equal(demand.profile.requests_per_minute, within)
    assert demand.requests == within.sum()
    assert demand.requests_per_second.mean == pytest.approx(within.mean() / 60, rel=1e-12)
    assert demand.requests_per_second.peak == within.max() / 60
    assert (within == 0).any()
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == TOKENS
    notes = " ".join(demand.notes)
    assert "chat is the only endpoint there" in notes
    assert "2.5 s on average (ModelLatency" in notes
    assert "1.6 accelerators busy (GPUUtilization)" in notes
    assert "unknown" not in notes
    assert demand.source == "Invocations of the endpoint chat in cloudwatch us-east-1, 2 days"


def test_what_no_instance_reported_is_unknown(asked):
    """An endpoint that was away for an hour is not idle; the edge of the minutes that are kept is said."""
    away = NOW - 30 * 3600, NOW - 29 * 3600
    with cloudwatch(NOW) as server:
        truth = endpoint(server, "chat", 3.0, 20.0, missing=away)
        demand = endpoint_demand(asked(server, days=20.0), TOKENS)
    per_minute = demand.profile.requests_per_minute
    assert np.isnan(per_minute).sum() == 60
    recent = per_minute[-14 * 1440 :]
    np.testing.assert_array_equal(recent, truth[: len(per_minute)][-14 * 1440 :])
    assert np.nansum(per_minute) == pytest.approx(np.nansum(truth[: len(per_minute)]), rel=1e-3)
    assert any("CloudWatch keeps five minutes or hours" in note for note in demand.notes)
    assert any("unknown, not idle" in note for note in demand.notes)


def test_several_endpoints_are_named_with_their_rates(asked):
    """None is guessed; a name or an inference component chooses, and another name is answered with those there."""
    with cloudwatch(NOW) as server:
        endpoint(server, "chat", 3.0, 1.0)
        endpoint(server, "search", 1.0, 1.0, seed=1)
        part = dims(InferenceComponentName="llama"), np.arange(NOW - 7200, NOW, 60.0)
        server.observed.append(("AWS/SageMaker", "Invocations", *part, np.full(120, 30.0)))
        with pytest.raises(InputError, match=r"chat \(\d\.?\d* requests/s\), search \(\d\.?\d* requests/s\)") as caught:
            endpoint_demand(asked(server, 1.0), TOKENS)
        assert "endpoint" in caught.value.hint
        chat = endpoint_demand(asked(server, 1.0, endpoint="chat"), TOKENS)
        assert chat.requests_per_second.mean == pytest.approx(3, rel=0.1)
        assert any("llama" in note and "several models" in note for note in chat.notes)
        llama = endpoint_demand(asked(server, 1.0, component="llama"), TOKENS)
        assert llama.requests_per_second.mean == pytest.approx(0.5)
        assert any("no instance of it reports" in note for note in llama.notes)
        with pytest.raises(InputError, match="no endpoint chta") as caught:
            endpoint_demand(asked(server, 1.0, endpoint="chta"), TOKENS)
        assert caught.value.hint == "there: chat, search"


def test_accelerators_alone_are_an_interval(asked):
    """The CloudWatch agent's GPUs give a shape; periods that too few reported are unknown."""
    starts = np.arange((NOW - 6 * 3600) // 60 * 60, NOW, 60.0)
    busy = 50 + 40 * np.sin(starts / 3000)
    with cloudwatch(NOW) as server:
        for number in range(4):
            place = dims(InstanceId=f"i-{number}", index="0", name="Tesla T4", arch="Turing")
            there = np.ones(len(starts), dtype=bool)
            there[100:110] = number > 1  # two of four are away
            server.observed.append(("CWAgent", "nvidia_smi_utilization_gpu", place, starts[there], busy[there]))
        watched = asked(server, 0.25)
        assert endpoint_demand(watched, TOKENS) is None
        seen = busy_in_cloudwatch(watched)
        assert np.isnan(seen.busy).sum() == 5 + 10, "five minutes before the first point, and ten with too few"
        known = ~np.isnan(seen.busy)
        np.testing.assert_allclose(seen.busy[known], 4 * np.roll(busy, 5)[: len(seen.busy)][known] / 100, rtol=1e-9)
        half = busy_in_cloudwatch(replace(watched, hosts=("i-[01]",)))
        assert np.nanmax(half.present) == 2
        with pytest.raises(InputError, match="no metric says how busy") as caught:
            busy_in_cloudwatch(replace(watched, hosts=("gpu-*",)))
        assert "i-0, i-1" in caught.value.hint
    demand = demand_from_busy(seen, BusySecond(0.2, 5.0), None, TOKENS)
    assert demand.interval is not None
    assert demand.interval.mean_low < demand.interval.mean_high


def test_a_large_fleet_is_asked_for_five_minutes_at_a_time(asked):
    """Means of five minutes, with a fifth of the points."""
    starts = np.arange((NOW - 3600) // 300 * 300, NOW, 60.0)
    with cloudwatch(NOW) as server:
        for number in range(201):
            place = dims(InstanceId=f"i-{number}", index="0", name="Tesla T4", arch="Turing")
            server.observed.append(("CWAgent", "nvidia_smi_utilization_gpu", place, starts, np.full(len(starts), 40.0)))
        seen = busy_in_cloudwatch(asked(server, 1 / 24))
        assert {
            asked["MetricDataQueries"][0]["MetricStat"]["Period"]
            for name, asked in server.requests
            if name == "GetMetricData"
        } == {300}
    assert seen.window_seconds == 300
    assert np.nanmax(seen.busy) == pytest.approx(201 * 0.4)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("ExpiredTokenException", "renew the credentials"), ("AccessDenied", "allow cloudwatch:ListMetrics")],
)
def test_refusals_are_told_apart(asked, code, remedy):
    """Old credentials are renewed; those that may not need a permission."""
    with cloudwatch(NOW, refuses=code) as server, pytest.raises(InputError, match=code) as caught:
        endpoint_demand(asked(server), TOKENS)
    assert remedy in caught.value.hint
