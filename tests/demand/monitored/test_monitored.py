"""Demand from real servers that were sent what engines and exporters show."""

from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
import pytest

from advisor.demand.busy import BusySecond, demand_from_busy
from advisor.demand.monitored import Monitored, busy_over_time, engine_demand
from advisor.demand.services import Wanted
from advisor.errors import InputError
from advisor.samples.query import Window
from advisor.samples.query.prometheus import PrometheusEndpoint
from demand.monitored.serving import counter, vllm_series
from samples.query.fleets import END_US, dcgm_labels, points
from samples.query.remote_writing import write
from samples.query.stub import stub

STEP_S = 15
HOURS = 6
WINDOW = Window(END_US - HOURS * 3_600_000_000, END_US)
TIMES_MS = np.arange(WINDOW.start_us // 1000 - 120_000, END_US // 1000 + 1, STEP_S * 1000) + 4_321
MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def rates(level: float) -> np.ndarray:
    """Requests per second at each scrape: a slow wave."""
    return level * (1 + 0.5 * np.sin(np.arange(len(TIMES_MS)) / 200))


def monitored(url: str, tag: str) -> Monitored:
    """The server, as one test sees it."""
    return Monitored.at(PrometheusEndpoint.of(url, environment={}), WINDOW, f'fleet="{tag}"')


def asked(model: str = MODEL, **more) -> Wanted:
    """Demand of a model."""
    return Wanted(model, "the server", "demand.prometheus", **more)


def test_requests_and_lengths_of_two_replicas(server_url):
    """Rates are the sum of the replicas', resets are no requests, lengths and cache hits are those that were counted."""
    first, second = counter(rates(2.0), STEP_S), counter(rates(3.0), STEP_S, reset_at=700)
    write(server_url, [
        *vllm_series({"instance": "a:8000", "fleet": "two"}, TIMES_MS, first),
        *vllm_series({"instance": "b:8000", "fleet": "two"}, TIMES_MS, second),
    ])  # fmt: skip
    demand = engine_demand(monitored(server_url, "two"), asked(context_tokens=131_072))

    assert demand.requests_per_second.mean == pytest.approx(rates(5.0).mean(), rel=0.02)
    assert demand.requests_per_second.peak == pytest.approx(7.5, rel=0.03)
    assert demand.requests == pytest.approx(5.0 * HOURS * 3600, rel=0.1)
    assert len(demand.profile.requests_per_minute) == HOURS * 60 - 1, "the last minute's end was not scraped yet"
    assert demand.profile.start_seconds == WINDOW.start_us / 1e6
    assert demand.input_tokens.mean == pytest.approx(700, rel=1e-3)
    assert demand.output_tokens.mean == pytest.approx(50, rel=1e-3)
    assert demand.tokens.mean_input_tokens() == pytest.approx(700, rel=1e-3)
    assert demand.tokens.mean_output_tokens() == pytest.approx(50, rel=1e-3)
    assert demand.tokens.prefix_cache_hit_ratio == pytest.approx(0.4, rel=1e-3)
    assert demand.input_tokens.max == 1000
    assert demand.longest_request_tokens == 1100
    assert "vLLM metrics at " in demand.source


def test_what_nobody_scraped_is_unknown(server_url):
    """An hour in which one of two replicas was not scraped is unknown, not quieter; one that left for good is gone."""
    up, half = counter(rates(2.0), STEP_S), 900 + counter(rates(2.1), STEP_S)
    minutes = (TIMES_MS * 1000 - WINDOW.start_us) / 60e6
    seen = (minutes < 120) | (minutes > 180)
    series = vllm_series({"instance": "a:8000", "fleet": "holes"}, TIMES_MS, up)
    series += vllm_series({"instance": "b:8000", "fleet": "holes"}, TIMES_MS[seen], half[seen])
    early = minutes < 60
    series += vllm_series({"instance": "c:8000", "fleet": "holes"}, TIMES_MS[early], half[early])
    write(server_url, series)
    demand = engine_demand(monitored(server_url, "holes"), asked())

    unknown = np.flatnonzero(np.isnan(demand.profile.requests_per_minute))
    assert 50 <= len(unknown) <= 75
    assert unknown.min() >= 115
    assert unknown.max() <= 185
    assert any("of the minutes were observed" in note for note in demand.notes)
    assert np.nanmax(demand.profile.requests_per_minute) < 3 * 2.0 * 1.6 * 60, "an hour of requests is no busy minute"


def through(url, limit):
    """Answers of a server as a proxy hands them on that cuts what is longer than so many bytes."""

    def answer(request):
        form = urlencode(request.form).encode() if request.method == "POST" else None
        path = request.path if form else f"{request.path}?{urlencode(request.form)}"
        with urlopen(Request(url + path, form), timeout=30) as response:
            content = response.read()
        is_whole_window = f"[{HOURS * 3_600_000}ms]" in request.form.get("query", "")
        if is_whole_window and "increase" in request.form["query"]:
            return 422, {}, b'{"status":"error","error":"query processing would load too many samples"}'
        return 200, {}, content[:limit]

    return answer


def test_a_proxy_that_cuts_long_answers(victoria_metrics_url):
    """What comes in pieces, of time or of growth, adds up to what one answer says."""
    write(
        victoria_metrics_url, vllm_series({"instance": "a:8000", "fleet": "cut"}, TIMES_MS, counter(rates(2.0), STEP_S))
    )
    whole = engine_demand(monitored(victoria_metrics_url, "cut"), asked())
    with stub(through(victoria_metrics_url, 4_000)) as proxy:
        demand = engine_demand(monitored(proxy.url, "cut"), asked())
    np.testing.assert_array_equal(demand.profile.requests_per_minute, whole.profile.requests_per_minute)
    assert demand.input_tokens.mean == pytest.approx(whole.input_tokens.mean, rel=1e-3)
    with stub(through(victoria_metrics_url, 300)) as proxy, pytest.raises(InputError, match="the answer was cut off"):
        engine_demand(monitored(proxy.url, "cut"), asked())


def test_nothing_that_matches_is_told_from_nothing_that_serves(victoria_metrics_url):
    """A slip in the selector is said as such, not as a want of token lengths."""
    access = PrometheusEndpoint.of(victoria_metrics_url, environment={})
    with pytest.raises(InputError, match=r"no series that the selector matches has a sample in 1 h") as caught:
        Monitored.between(access, 14, END_US / 1e6 - 3600, END_US / 1e6, 'fleet="nowhere"')
    assert "check the selector" in caught.value.hint


def test_samples_that_are_stored_twice(victoria_metrics_url):
    """What a sender sent again, for want of an answer, is stored again: each scrape still counts once."""
    series = vllm_series({"instance": "a:8000", "fleet": "twice"}, TIMES_MS, counter(rates(2.0), STEP_S))
    for _ in range(2):
        write(victoria_metrics_url, series)
    demand = engine_demand(monitored(victoria_metrics_url, "twice"), asked())
    assert demand.requests_per_second.mean == pytest.approx(rates(2.0).mean(), rel=0.02)
    assert demand.requests_per_second.peak == pytest.approx(3.0, rel=0.03)


def test_several_models_have_to_be_told_apart(server_url):
    """The model of the workload is taken where it is among them; else the error names them and their rates."""
    grown = counter(rates(1.0), STEP_S)
    write(server_url, [
        *vllm_series({"instance": "a:8000", "fleet": "models"}, TIMES_MS, grown),
        *vllm_series({"instance": "b:8000", "fleet": "models", "model_name": "qwen"}, TIMES_MS, grown * 9),
    ])  # fmt: skip
    server = monitored(server_url, "models")
    demand = engine_demand(server, asked())
    assert demand.requests_per_second.mean == pytest.approx(1.0, rel=0.1)
    assert any(note.startswith("other models are served there and not counted: qwen (9") for note in demand.notes)
    with pytest.raises(InputError, match=r"no engine there serves mistral: they serve qwen \(9") as caught:
        engine_demand(server, asked("mistral"))
    assert "`model` under demand.prometheus" in caught.value.hint
    named = engine_demand(server, asked("mistral", served_as="qwen"))
    assert named.requests_per_second.mean == pytest.approx(9.0, rel=0.1)


def test_an_engine_without_requests(victoria_metrics_url):
    """An engine that counted nothing in the window is named: no demand is made up from its accelerators."""
    series = vllm_series({"instance": "a:8000", "fleet": "idle"}, TIMES_MS, np.full(len(TIMES_MS), 1000.0))
    write(victoria_metrics_url, series)
    with pytest.raises(InputError, match=r"vLLM counted no request there in 6 h") as caught:
        engine_demand(monitored(victoria_metrics_url, "idle"), asked())
    assert "selector" in caught.value.hint


def test_busy_accelerators_where_no_engine_is_scraped(server_url):
    """Two accelerators, half an hour of which one was not scraped: that half hour is unknown."""
    times_us = TIMES_MS * 1000
    minutes = (times_us - WINDOW.start_us) / 60e6
    lost = (minutes > 60) & (minutes < 90)
    write(server_url, [
        ({"__name__": "DCGM_FI_DEV_GPU_UTIL", **dcgm_labels("busy", 0, gpu)},
         points(times_us, np.where(lost & (gpu == 1), np.nan, 30.0 + 20 * gpu)))
        for gpu in range(2)
    ])  # fmt: skip
    server = monitored(server_url, "busy")
    assert engine_demand(server, asked()) is None
    demand = demand_from_busy(busy_over_time(server), BusySecond(0.5, 4.0), None, (800, 200))

    assert demand.requests_per_second.mean == pytest.approx(0.8 * 4.0, rel=1e-6)
    known = ~np.isnan(demand.profile.requests_per_minute)
    assert 27 <= np.count_nonzero(~known) <= 33
    assert demand.interval.mean_low == pytest.approx(0.8 * 0.5, rel=1e-6)
    assert "busy accelerators are DCGM_FI_DEV_GPU_UTIL of dcgm-exporter" in server.notes


def test_profiling_signals_of_a_server_narrow_what_was_saturated(server_url):
    """Always busy, and SM active at 0.4 of the 0.8 that a saturated accelerator has: half of it at most."""
    flat = np.ones(len(TIMES_MS))
    write(server_url, [
        ({"__name__": name, **dcgm_labels("signals", 0, 0)}, points(TIMES_MS * 1000, flat * value))
        for name, value in (("DCGM_FI_DEV_GPU_UTIL", 100.0), ("DCGM_FI_PROF_SM_ACTIVE", 0.4))
    ])  # fmt: skip
    seen = busy_over_time(monitored(server_url, "signals"))
    np.testing.assert_allclose(seen.busy[1:-1], 1.0)
    np.testing.assert_allclose(seen.saturated[1:-1], 0.5)


def test_a_server_that_knows_neither(server_url):
    """The error says what would have been taken."""
    with pytest.raises(InputError, match="no series says how busy") as caught:
        busy_over_time(monitored(server_url, "nothing"))
    assert "vLLM" in caught.value.hint


def test_more_minutes_than_a_range_query_may_give(server_url):
    """Nine days are 12,960 minutes, above the 11,000 points of a query: they are asked for in two and joined."""
    window = Window(END_US - 9 * 86_400_000_000, END_US)
    times_ms = np.arange(window.start_us // 1000 - 60_000, END_US // 1000 + 1, 15_000)
    grown = np.arange(len(times_ms)) * 15.0
    labels = {"instance": "a:8000", "model_name": "m", "fleet": "long"}
    names = ("vllm:request_success_total", "vllm:prompt_tokens_total", "vllm:generation_tokens_total")
    write(server_url, [
        ({"__name__": name, **labels}, points(times_ms * 1000, grown * scale))
        for name, scale in zip(names, (1, 500, 100), strict=True)
    ])  # fmt: skip
    demand = engine_demand(
        Monitored.at(PrometheusEndpoint.of(server_url, environment={}), window, 'fleet="long"'), asked("m")
    )

    assert len(demand.profile.requests_per_minute) == 9 * 24 * 60
    np.testing.assert_allclose(demand.profile.requests_per_minute, 60, rtol=1e-9)
    assert demand.input_tokens.mean == pytest.approx(500, rel=1e-6)
    assert any("only mean token lengths are known" in note for note in demand.notes)


@pytest.mark.parametrize(
    ("engine", "series", "hit_ratio"),
    [
        ("SGLang", {"sglang:num_requests_total": 1, "sglang:prompt_tokens_total": 700, "sglang:generation_tokens_total": 50, "sglang:cached_tokens_total": 70}, 0.1),
        ("SGLang", {"sglang_num_requests_total": 1, "sglang_prompt_tokens_total": 700, "sglang_generation_tokens_total": 50}, 0.0),
        ("TGI", {"tgi_request_count": 1, "tgi_request_input_length_sum": 700, "tgi_request_generated_tokens_sum": 50}, 0.0),
        ("engines that the agent scrapes", {"advisor_engine_requests_finished_total": 1, "advisor_engine_prompt_tokens_total": 700, "advisor_engine_generated_tokens_total": 50, "advisor_engine_prefix_cache_hits_total": 350, "advisor_engine_prefix_cache_queries_total": 700}, 0.5),
    ],
)  # fmt: skip
def test_other_engines_counters(victoria_metrics_url, engine, series, hit_ratio):
    """Requests, mean lengths and cache hits come from each engine's own counters."""
    tag = f"{engine}-{min(series)}".replace(" ", "-")
    grown = counter(rates(1.0), STEP_S)
    labels = {"instance": "a:1", "host": "a", "fleet": tag}
    write(victoria_metrics_url, [
        ({"__name__": name, **labels}, points(TIMES_MS * 1000, grown * scale)) for name, scale in series.items()
    ])  # fmt: skip
    demand = engine_demand(monitored(victoria_metrics_url, tag), asked())
    assert demand.source.startswith(f"{engine} metrics at")
    assert demand.requests_per_second.mean == pytest.approx(1.0, rel=0.1)
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == pytest.approx((700, 50), rel=1e-3)
    assert demand.tokens.prefix_cache_hit_ratio == pytest.approx(hit_ratio, abs=1e-3)
