"""One truth, two ways to it: agents' rows and a scraping server give the same demand of a simulated fleet."""

from dataclasses import dataclass

import numpy as np
import pytest

from advisor.demand.monitored import Monitored, engine_demand
from advisor.demand.recorded import kept
from advisor.demand.services import Wanted, demand_of_views
from advisor.errors import InputError
from advisor.samples.query import Window
from advisor.samples.query.prometheus import PrometheusEndpoint
from advisor.samples.store.reading import Store
from demand.simulated_fleet import HITS, LLAMA, QWEN, START, Load, Truth, page_scraped, processes, record, scraped
from samples.exporters.recorded import ENGINES, samples
from samples.query.conftest import prometheus_url, server_url, victoria_metrics_url
from samples.query.remote_writing import write
from samples.stores import views_of_store

__all__ = ["prometheus_url", "server_url", "victoria_metrics_url"]

SECONDS = 4 * 3600
LOADS = {"Poisson": 0.0, "bursty": 0.6}


@dataclass
class Fleet:
    """Two models, one engine of which restarts twice, and what was really asked of the first."""

    llama: list
    qwen: list
    truth: Truth


@pytest.fixture(scope="module", params=LOADS)
def fleet(request):
    """A fleet for each kind of arrivals."""
    load = Load(requests_per_second=2.5, burstiness=LOADS[request.param])
    llama = processes(load, 3, SECONDS, seed=3, restarts={1: (4000, 9001)}, before=(500, 800, 100))
    qwen = processes(Load(QWEN, 1.0, 1500, 300), 2, SECONDS, seed=4, before=(100, 900))
    return Fleet(llama, qwen, Truth.of(llama, SECONDS))


@pytest.fixture(scope="module")
def recorded(fleet, tmp_path_factory):
    """Rows of an agent on every host, and of two more that were given one engine's address; clocks are off."""
    directory = tmp_path_factory.mktemp("rows")
    for number, engine in enumerate((*fleet.llama, *fleet.qwen)):
        record(directory, f"gpu-{number}", lambda _, engine=engine: engine, "http://127.0.0.1:8000/metrics", SECONDS)
    for host, skew in (("cpu-0", 120), ("cpu-1", -45)):
        record(directory, host, lambda _: fleet.llama[0], "http://llama-0:8000/metrics", SECONDS, skew=skew)
    return directory


def of_rows(directory, model=LLAMA):
    """Demand from the rows of a directory."""
    wanted = Wanted(model, str(directory), "demand.samples", known_models=(LLAMA, QWEN))
    return demand_of_views(views_of_store(Store([str(directory)])), wanted, "rows")


def of_server(url, tag, model=LLAMA):
    """Demand from what a server scraped under a tag."""
    window = Window(START * 1_000_000, (START + SECONDS) * 1_000_000)
    server = Monitored.at(PrometheusEndpoint.of(url, environment={}), window, f'fleet="{tag}"')
    return engine_demand(server, Wanted(model, url, "demand.prometheus", known_models=(LLAMA, QWEN)))


def scrape(url, tag, fleet):
    """A job for every engine, at its own moments and with a few scrapes lost, and a second job for one of them."""
    series = []
    for number, engine in enumerate((*fleet.llama, *fleet.qwen)):
        labels = {"job": "vllm", "instance": f"10.0.0.{number}:8000", "fleet": tag}
        at = {"phase": 2.0 + 2.6 * number, "missed": (150 + number, 400, 401)}
        series += scraped(lambda _, engine=engine: engine, SECONDS, **labels, **at)
    pods = {"job": "pods", "instance": "llama-0:8000", "endpoint": "http", "namespace": "chat", "fleet": tag}
    series += scraped(lambda _: fleet.llama[0], SECONDS, **pods, phase=9.5, interval=30)
    write(url, series)


def assert_true(demand, truth):
    """Mean within 1 %, busiest minute within 5 %, p50 and p95 of lengths within 10 %, hits within a point."""
    rate = demand.requests_per_second
    assert rate.mean == pytest.approx(truth.mean, rel=0.01)
    assert rate.peak == pytest.approx(truth.peak, rel=0.05)
    for told, lengths in ((demand.input_tokens, truth.prompts), (demand.output_tokens, truth.answers)):
        assert told.mean == pytest.approx(lengths.mean(), rel=0.01)
        assert told.p50 == pytest.approx(np.quantile(lengths, 0.5), rel=0.1)
        assert told.p95 == pytest.approx(np.quantile(lengths, 0.95), rel=0.1)
    assert demand.tokens.prefix_cache_hit_ratio == pytest.approx(HITS, abs=0.01)
    assert demand.tokens.mean_input_tokens() == pytest.approx(truth.prompts.mean(), rel=0.01)
    assert demand.interval is None


@pytest.mark.sampled(2)
def test_agents_rows_tell_the_truth(recorded, fleet):
    """Whoever else read an engine, however far clocks are off, and although two models and a restart are there."""
    demand = of_rows(recorded)
    assert_true(demand, fleet.truth)
    assert any("count once" in note and "read on cpu-0" in note and "read on cpu-1" in note for note in demand.notes)
    assert any(note.startswith("other models") and "Qwen/Qwen3-32B (1" in note for note in demand.notes)
    assert any("restarted 2 times" in note for note in demand.notes)


def test_a_large_fleet_keeps_fewer_readings_and_the_same_demand(recorded, fleet):
    """The last reading of each minute, with those beside restarts: every minute as before, and engines still told apart."""
    whole = views_of_store(Store([str(recorded)]))
    few = [view.thinned() for view in whole]
    wanted = Wanted(LLAMA, "here", "demand.samples", known_models=(LLAMA, QWEN))
    assert sum(view.readings.seconds.size for view in few) < 0.27 * sum(view.readings.seconds.size for view in whole)
    before, after = demand_of_views(whole, wanted, "rows"), demand_of_views(few, wanted, "rows")
    assert_true(after, fleet.truth)
    np.testing.assert_allclose(after.profile.requests_per_minute, before.profile.requests_per_minute, atol=0.5)
    assert [note.partition(":")[0] for note in after.notes] == [note.partition(":")[0] for note in before.notes]


def test_views_are_thinned_once_there_are_many(recorded):
    """From so many readings on, those that came before are thinned too."""
    groups = [[view] for view in views_of_store(Store([str(recorded)]))]
    assert all(view.readings.is_thinned for view in kept(groups, 2 * groups[0][0].readings.seconds.size))
    assert not any(view.readings.is_thinned for view in kept(groups))


@pytest.mark.sampled(2)
def test_a_scraping_server_tells_the_truth(server_url, fleet):
    """One job twice, lost scrapes, and every engine scraped at its own moments."""
    tag = f"one-demand-{fleet.truth.mean:.6f}"
    scrape(server_url, tag, fleet)
    demand = of_server(server_url, tag)
    assert_true(demand, fleet.truth)
    assert any("count once: llama-0:8000 (job pods)" in note for note in demand.notes)
    assert any("Qwen/Qwen3-32B (1" in note for note in demand.notes)
    with pytest.raises(InputError, match=r"no engine there serves mistralai/Mistral-7B-v0.3: they serve .*Llama.*Qwen"):
        of_server(server_url, tag, "mistralai/Mistral-7B-v0.3")


@pytest.mark.sampled(2)
def test_agents_pages_that_a_server_scrapes_tell_the_truth(victoria_metrics_url, fleet):
    """What an agent shows of its engine is its last row: up to fifteen seconds old, and the same counters."""
    tag = f"pages-{fleet.truth.mean:.6f}"
    for number, engine in enumerate((*fleet.llama, *fleet.qwen)):
        write(
            victoria_metrics_url,
            page_scraped(engine, SECONDS, host=f"gpu-{number}", fleet=tag, phase=3.0 + number),
        )
    assert_true(of_server(victoria_metrics_url, tag), fleet.truth)


def test_both_give_the_same(recorded, victoria_metrics_url, fleet):
    """Rates, lengths and hits of the two ways are those of one fleet."""
    tag = f"same-{fleet.truth.mean:.6f}"
    scrape(victoria_metrics_url, tag, fleet)
    rows, server = of_rows(recorded), of_server(victoria_metrics_url, tag)
    assert rows.requests_per_second.mean == pytest.approx(server.requests_per_second.mean, rel=0.01)
    for mine, theirs in ((rows.input_tokens, server.input_tokens), (rows.output_tokens, server.output_tokens)):
        assert (mine.mean, mine.p50, mine.p95) == pytest.approx((theirs.mean, theirs.p50, theirs.p95), rel=0.02)
    hits = (rows.tokens.prefix_cache_hit_ratio, server.tokens.prefix_cache_hit_ratio)
    assert hits[0] == pytest.approx(hits[1], abs=0.005)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("seconds_per_token", [0.02, 0.3])
def test_requests_count_when_they_come_on_every_path(tmp_path, victoria_metrics_url, seconds_per_token):
    """Answers that take three seconds or a minute: the busiest minute is the one in which most were asked."""
    load = Load(requests_per_second=3.0, burstiness=0.8, seconds_per_token=seconds_per_token, aborted=0.0)
    engines = processes(load, 2, SECONDS, seed=8, restarts={1: (4000,)})
    series = []
    for number, engine in enumerate(engines):
        record(tmp_path, f"gpu-{number}", lambda _, engine=engine: engine, "http://127.0.0.1:8000/metrics", SECONDS)
        series += scraped(
            lambda _, engine=engine: engine,
            SECONDS,
            job="vllm",
            instance=f"10.0.0.{number}:8000",
            fleet=f"slow-{seconds_per_token}",
        )
        series += page_scraped(engine, SECONDS, host=f"gpu-{number}", fleet=f"slow-pages-{seconds_per_token}")
    write(victoria_metrics_url, series)
    truth = Truth.of(engines, SECONDS)
    for demand in (
        of_rows(tmp_path),
        of_server(victoria_metrics_url, f"slow-{seconds_per_token}"),
        of_server(victoria_metrics_url, f"slow-pages-{seconds_per_token}"),
    ):
        assert demand.requests_per_second.mean == pytest.approx(truth.mean, rel=0.01)
        assert demand.requests_per_second.peak == pytest.approx(truth.peak, rel=0.05)


def test_another_models_engines_are_refused_with_their_rates(recorded):
    """Every model that is there is named with its rate, and how to go on."""
    with pytest.raises(InputError, match=r"Llama-3.1-8B-Instruct \(2.\d+ requests/s\), Qwen/Qwen3-32B \(1") as caught:
        of_rows(recorded, "mistralai/Mistral-7B-Instruct-v0.3")
    assert "demand.samples" in caught.value.hint


ANSWERING = {
    "at random": lambda second: np.random.default_rng(int(second)).random() < 0.5,
    "in turn": lambda second: int(second) // 15 % 2 == 0,
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("before", [(5000, 800), (3000, 3001)], ids=["apart", "alike"])
@pytest.mark.parametrize("answering", ANSWERING)
def test_an_address_that_two_replicas_answer_at(tmp_path, victoria_metrics_url, answering, before):
    """Counters that jump back and forth are two replicas, not restarts, and it is said."""
    first, second = processes(Load(), 2, SECONDS, seed=5, before=before)
    truth = Truth.of([first, second], SECONDS)

    def at(moment):
        return first if ANSWERING[answering](moment) else second

    record(tmp_path, "cpu-0", at, "http://vllm:8000/metrics", SECONDS)
    tag = f"turns-{answering}-{before[0]}"
    write(victoria_metrics_url, scraped(at, SECONDS, job="vllm", instance="vllm:8000", fleet=tag))
    for demand in (of_rows(tmp_path), of_server(victoria_metrics_url, tag)):
        assert demand.requests_per_second.mean == pytest.approx(truth.mean, rel=0.02)
        is_apart = before[1] < 3000
        assert 0.75 < demand.requests_per_second.peak / truth.peak < 1.1
        assert not is_apart or demand.requests_per_second.peak / truth.peak > 0.9
        for told, lengths in ((demand.input_tokens, truth.prompts), (demand.output_tokens, truth.answers)):
            assert told.mean == pytest.approx(lengths.mean(), rel=0.02)
            assert told.p95 == pytest.approx(np.quantile(lengths, 0.95), rel=0.1)
        assert demand.tokens.prefix_cache_hit_ratio == pytest.approx(HITS, abs=0.01)
        assert any("jump back and forth: 2 replicas answer there" in note for note in demand.notes)
        assert any("so alike" in note for note in demand.notes) is not is_apart
        assert not any("restarted" in note for note in demand.notes)


def test_agents_that_reach_different_replicas_at_one_address(tmp_path):
    """Three agents are given a service's address: two reach one replica and one the other; both count, each once."""
    engines = processes(Load(), 2, SECONDS, seed=6)
    for number, reached in enumerate((0, 1, 1)):
        engine = engines[reached]
        record(tmp_path, f"cpu-{number}", lambda _, engine=engine: engine, "http://vllm:8000/metrics", SECONDS)
    demand = of_rows(tmp_path)
    assert demand.requests_per_second.mean == pytest.approx(Truth.of(engines, SECONDS).mean, rel=0.01)


class Growing:
    """An engine or gateway whose page grows from nothing to what it shows in the end."""

    def __init__(self, page):
        self.series = list(samples(page))

    def page(self, second):
        """The metrics page at a time."""
        share = (second - START) / SECONDS
        texts = [
            (name, ",".join(f'{key}="{value}"' for key, value in labels.items())) for name, labels, _ in self.series
        ]
        return "\n".join(
            f"{name}{{{labels}}} {value * share}"
            for (name, labels), (_, _, value) in zip(texts, self.series, strict=True)
        )


def of_pages(directory, kinds, **asked):
    """Demand from the rows of an agent that reads one page of each kind."""
    for kind in kinds:
        engine = Growing(ENGINES[kind])
        record(
            directory,
            "cpu-0",
            lambda _, engine=engine: engine,
            f"http://{kind}/metrics",
            SECONDS,
            name=f"engines-{kind}",
            kind=kind,
        )
    wanted = Wanted("llama", str(directory), "demand.samples", **asked)
    return demand_of_views(views_of_store(Store([str(directory)])), wanted, "rows")


@pytest.mark.parametrize(("kinds", "in_flight"), [(("dynamo", "trtllm"), 5), (("dynamo",), 0)])
def test_a_gateway_that_an_agent_reads_counts_nothing_twice(tmp_path, kinds, in_flight):
    """Requests of a gateway are those of the engines behind it: they count where no engine is read."""
    demand = of_pages(tmp_path, kinds)
    assert demand.requests_per_second.mean == pytest.approx((240 + in_flight) / SECONDS, rel=0.01)
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == pytest.approx((700, 100), rel=0.02)


def test_an_engine_that_counts_tokens_alone(tmp_path):
    """Rows of llama.cpp are requests by the stated length of an answer, as its series on a server are."""
    demand = of_pages(tmp_path, ("llamacpp",), input_tokens=700, output_tokens=100)
    assert demand.requests_per_second.mean == pytest.approx(240 / SECONDS, rel=0.02)
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == (700, 100)
    assert any("llama.cpp counts tokens and no requests" in note for note in demand.notes)
    assert of_pages(tmp_path, ()) is None, "no lengths are stated"
