"""Whose series are whose on a real server."""

import datetime as dt
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.catalog import load_catalog
from advisor.demand.monitored import Monitored
from advisor.discovery import Launch, Service
from advisor.discovery.find import Places, Server, find_services, observed_of, survey, unmatched_services
from advisor.samples.query.prometheus import PrometheusEndpoint
from discovery.simulated import SERVICES, series
from samples.query.conftest import victoria_metrics_url
from samples.query.fleets import dcgm_labels
from samples.query.remote_writing import write

__all__ = ["victoria_metrics_url"]
CHAT, CODER = SERVICES[0], SERVICES[1]


@pytest.fixture(scope="module")
def times_ms():
    """Half an hour of scrapes up to now."""
    end = time.time_ns() // 1_000_000
    return np.arange(end - 1_800_000, end, 30_000)


def watch(url, tag, written):
    """A survey of what was written under a tag."""
    write(url, [({**labels, "suite": tag}, points) for labels, points in written])
    access = PrometheusEndpoint.of(url, environment={})
    return survey(Monitored.between(access, 1 / 24, None, None, f'suite="{tag}"'), {"url": url, "window": "1h"})


def without(written, *names):
    """The same series without some labels."""
    return [({key: value for key, value in labels.items() if key not in names}, points) for labels, points in written]


def service(truth, **more):
    """A service as a cluster shows it."""
    launch = Launch(truth.engine, truth.model, truth.served_name)
    return replace(Service(truth.name, "here", launch, namespace=truth.namespace), **more)


def test_pods_of_a_deployment_are_its_own_past_ones_too(victoria_metrics_url, times_ms):
    """Series are selected by the names of pods in the namespace, and nobody else's are."""
    watched = watch(victoria_metrics_url, "pods", [*series(CHAT, times_ms), *series(CODER, times_ms)])
    own = service(CHAT, pods="llama-chat-[a-z0-9]{1,10}-[a-z0-9]{5}")

    observed = observed_of(own, watched)

    assert observed.fields["selector"] == (
        'suite="pods", namespace="chat", pod=~"llama-chat-[a-z0-9]{1,10}-[a-z0-9]{5}"'
    )
    assert (observed.fields["model"], observed.engine, observed.counts_tokens) == ("chat", "vLLM", True)
    assert observed.latency.ttft_p95_ms == pytest.approx(449, rel=0.05)
    assert observed.latency.tpot_p95_ms == pytest.approx(34.6, rel=0.05)
    assert observed_of(service(CHAT, pods="other-[0-9]+", launch=Launch("vLLM", "Qwen/Qwen3-8B")), watched) is None
    rest = list(unmatched_services(watched, [observed]))
    assert [(each.model, each.launch.engine) for each in rest] == [("Qwen/Qwen3-32B", "")]


def test_addresses_and_models_tell_where_pods_are_not_named(victoria_metrics_url, times_ms):
    """Without a label of the pod the scraped address is compared with the pods', and else the model's name."""
    written = without([*series(CHAT, times_ms), *series(CODER, times_ms)], "pod", "namespace")
    watched = watch(victoria_metrics_url, "bare", written)
    pods = frozenset({f"{CODER.name}-0", f"{CODER.name}-1"})  # what the simulation scrapes

    by_address = observed_of(service(CODER, pods="qwen-coder-[0-9]+", addresses=pods), watched)
    by_model = observed_of(service(CHAT, pods="llama-chat-.*"), watched)

    assert by_address.fields["selector"] == r'suite="bare", instance=~"qwen\\-coder\\-0:8000|qwen\\-coder\\-1:8000"'
    assert by_model.fields["selector"] == 'suite="bare", model_name="chat"'
    assert list(unmatched_services(watched, [by_address, by_model])) == []


def test_accelerators_without_engines_are_one_service(victoria_metrics_url, times_ms):
    """Where no engine is scraped, how busy accelerators were is a source of demand that leaves model and lengths open."""
    busy = [({"__name__": "DCGM_FI_DEV_GPU_UTIL", **dcgm_labels("bare", 0, 0)}, [(int(at), 50.0) for at in times_ms])]
    watched = watch(victoria_metrics_url, "dcgm", busy)

    (service,) = unmatched_services(watched, [])

    assert (service.model, service.observed.counts_tokens) == ("", False)
    assert service.observed.fields["selector"] == 'suite="dcgm"'


def test_a_server_alone_shows_services_by_model_and_namespace(victoria_metrics_url, times_ms):
    """Each engine, model and namespace is a service, named after the model; TGI, which names none, after its job."""
    watched = watch(victoria_metrics_url, "alone", [item for truth in SERVICES[:6] for item in series(truth, times_ms)])

    services = {each.name: each for each in unmatched_services(watched, [])}

    assert set(services) == {
        "chat", "Qwen3-32B", "Llama-3.3-70B-Instruct", "mistral", "qwen-rag", "gemma",
    }  # fmt: skip
    assert services["gemma"].observed.fields["selector"] == 'suite="alone", namespace="summaries"'
    assert services["qwen-rag"].observed.engine == "vLLM on Ray"


@pytest.mark.parametrize("slower", [1.0, 4.0])
def test_latency_under_load_is_told_from_the_usual_one(victoria_metrics_url, slower):
    """Six hours whose busiest twentieth has twice the requests: their latency and rate stand beside the median ones."""
    end = time.time_ns() // 1_000_000
    times_ms = np.arange(end - 6 * 3_600_000, end, 30_000)
    busy = np.arange(times_ms.size) >= times_ms.size * 0.94
    written = loaded(times_ms, np.where(busy, 4.0, 2.0), np.where(busy, slower, 1.0))
    tag = f"load-{slower:g}"
    write(victoria_metrics_url, [({**labels, "suite": tag}, points) for labels, points in written])
    access = PrometheusEndpoint.of(victoria_metrics_url, environment={})
    server = Monitored.between(access, 0.25, None, None, f'suite="{tag}"')
    watched = survey(server, {"url": victoria_metrics_url, "window": "6h"})

    by_load = observed_of(service(CHAT, pods="llama-chat-[0-9]"), watched).by_load

    assert by_load.usual.ttft_p95_ms == pytest.approx(240, rel=0.1)
    assert by_load.busiest.ttft_p95_ms == pytest.approx(240 * slower, rel=0.1)
    assert by_load.busiest_requests_per_second == pytest.approx(4.0, rel=0.05)
    assert by_load.rises() is (slower > 1.5)


def loaded(times_ms, rates, slower):
    """Series of one pod whose first tokens take up to 0.25 s, so many times as long."""
    labels = {"namespace": "chat", "pod": "llama-chat-0", "job": "chat", "model_name": "chat", "engine": "0"}
    counts = rates * 30.0
    yield {"__name__": "vllm:request_success_total", **labels}, points(times_ms, counts)
    name = "vllm:time_to_first_token_seconds"
    yield {"__name__": f"{name}_count", **labels}, points(times_ms, counts)
    for bound in (0.0, 0.25, 1.0, np.inf):
        shares = np.clip(bound / (0.25 * slower), 0.0, 1.0) if np.isfinite(bound) else np.ones_like(slower)
        le = "+Inf" if np.isinf(bound) else f"{bound}"
        yield {"__name__": f"{name}_bucket", "le": le, **labels}, points(times_ms, counts * shares)


def points(times_ms, increments):
    """A counter."""
    return [(int(at), float(value)) for at, value in zip(times_ms, np.cumsum(increments), strict=True)]


@pytest.mark.parametrize(("first_hours_ago", "is_full_hour"), [(26, True), (2, False)])
def test_the_window_ends_at_the_last_full_hour_where_a_day_was_seen(
    victoria_metrics_url, first_hours_ago, is_full_hour
):  # fmt: skip
    """Two questions within an hour have one answer; a server that saw less than a day is asked up to now."""
    end, tag = time.time_ns() // 1_000_000, f"full-hour-{first_hours_ago}"
    times_ms = np.arange(end - first_hours_ago * 3_600_000, end, 120_000)
    write(victoria_metrics_url, [({**labels, "suite": tag}, points) for labels, points in series(CHAT, times_ms)])
    access = PrometheusEndpoint.of(victoria_metrics_url, environment={})

    window = Monitored.between(access, 14, None, None, f'suite="{tag}"').window

    hour_us = 3_600_000_000
    assert window.end_us == (
        window.end_us // hour_us * hour_us if is_full_hour else end * 1000 // 60_000_000 * 60_000_000
    )
    assert window.end_us <= time.time_ns() // 1000


def test_a_stated_end_stands_in_the_workload_file(victoria_metrics_url, times_ms):
    """The file asks for the time that was asked for, so that a plan of it does not move."""
    tag = "stated-end"
    write(victoria_metrics_url, [({**labels, "suite": tag}, points) for labels, points in series(CHAT, times_ms)])
    until = dt.datetime.fromtimestamp(times_ms[-1] // 60_000 * 60, dt.UTC)
    places = Places(Path(), servers=(Server(victoria_metrics_url, 0.5, f'suite="{tag}"', until=until),))

    (found, *_) = find_services(places, load_catalog()).services

    assert found.observed.fields["until"] == f"{until:%Y-%m-%dT%H:%M:%SZ}"
    assert found.observed.fields["window"] == "12h"
