"""What each exporter shows, through the real readers: the agent's engine pages, and servers that scraped them."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.demand.busy import BusySecond, demand_from_busy
from advisor.demand.monitored import Monitored, busy_over_time, engine_demand
from advisor.demand.services import Wanted
from advisor.errors import InputError
from advisor.samples.exporters import near_misses, shipped
from advisor.samples.query import Accelerator, Window
from advisor.samples.query.prometheus import PrometheusBackend, PrometheusEndpoint
from advisor.samples.sources.engines import PageReader
from samples.exporters.recorded import ACCELERATORS, ENGINES, samples
from samples.query.conftest import prometheus_url, server_url, victoria_metrics_url
from samples.query.fleets import END_US, MIB, points, times
from samples.query.remote_writing import write

__all__ = ["prometheus_url", "server_url", "victoria_metrics_url"]
WINDOW = Window(END_US - 2 * 3_600_000_000, END_US)
ASKED = Wanted("llama", "the server", "demand.prometheus")
STATED = Wanted("llama", "the server", "demand.prometheus", input_tokens=700.0, output_tokens=100.0)
BUSY = {"busy_ratio": 0.42}
FOUR_OF_24 = {"memory_used_bytes": 4e9, "memory_total_bytes": 24e9}


def served(url, page, tag, *, grows):
    """A server that scraped a page for two hours: values stand still, or grow from nothing to what the page says."""
    end_us = times(Window(WINDOW.start_us - 60_000_000, END_US), 15)
    ramp = np.linspace(0, 1, len(end_us)) if grows else np.ones(len(end_us))
    write(url, [
        ({"instance": "10.0.0.1:8000", **labels, "__name__": name, "fleet": tag}, points(end_us, ramp * value))
        for name, labels, value in samples(page)
    ])  # fmt: skip
    return PrometheusEndpoint.of(url, environment={}), f'fleet="{tag}"'


@pytest.mark.parametrize(
    ("exporter", "who", "values"),
    [
        ("telegraf", Accelerator("gpu-7", 1, None, "GPU-f9", "NVIDIA H100 80GB HBM3"),
         {**BUSY, "memory_total_bytes": 81559 * MIB, "memory_used_bytes": 40000 * MIB, "memory_reserved_bytes": 551 * MIB,
          "memory_busy_ratio": 0.21, "power_watts": 350.5, "sm_clock_mhz": 1980}),
        ("hw_gpu", Accelerator("10.0.0.5", 0, None, None, "H100"),
         {**BUSY, "memory_total_bytes": 85e9, "memory_used_bytes": 40e9, "power_watts": 350}),
        ("google_ops_agent", Accelerator("4520", 0, None, "GPU-05", "NVIDIA L4"), {**BUSY, **FOUR_OF_24}),
        ("gke", Accelerator("gke-1", 0, None, "GPU-0a", "NVIDIA L4"), {**BUSY, **FOUR_OF_24}),
        ("gke_device_plugin", Accelerator("10.0.0.8", 0, None, "GPU-0b", "NVIDIA L4"), {**BUSY, **FOUR_OF_24}),
        ("amd", Accelerator("mi-1", 3, None, None, "AMD Instinct MI300X"),
         {**BUSY, "memory_busy_ratio": 0.21, "memory_total_bytes": 196592 * MIB, "memory_used_bytes": 100000 * MIB,
          "power_watts": 700, "temperature_celsius": 61, "tensor_active_ratio": 0.3}),
        ("gaudi", Accelerator("10.0.0.9", 2, None, "01P0-HL2080A0-15", None),
         {**BUSY, "memory_used_bytes": 4e9, "memory_total_bytes": 96e9, "power_watts": 350, "temperature_celsius": 51}),
        ("neuron", Accelerator("i-09", 4, None, None, "trn1n.32xlarge"), BUSY),
        ("triton_gpu", Accelerator("10.0.0.3", 0, None, "GPU-t", None), {**BUSY, **FOUR_OF_24, "power_watts": 71}),
    ],
)  # fmt: skip
def test_accelerators(server_url, exporter, who, values):
    """Names, units, labels and conditions of each exporter become ours, and nothing else is made of the page."""
    access, selector = served(server_url, ACCELERATORS[exporter], exporter, grows=False)
    asked = PrometheusBackend(access, selector)
    found = list(asked.summaries(list(asked.metrics(WINDOW)), WINDOW))
    assert {one.accelerator for one in found} == {who}
    assert {one.metric: one.mean for one in found} == pytest.approx(values, rel=1e-9)


def test_a_prefix_that_its_configuration_set(victoria_metrics_url):
    """Names of AMD's exporter are known with the prefix of its documentation."""
    page = ACCELERATORS["amd"].replace("\ngpu_", "\namd_gpu_")
    access, selector = served(victoria_metrics_url, page, "amd-prefix", grows=False)
    found = list(PrometheusBackend(access, selector).summaries(["busy_ratio"], WINDOW))
    assert [one.mean for one in found] == pytest.approx([0.42])


LEVELS = {"requests_running": 3, "requests_waiting": 2, "kv_cache_used_ratio": 0.25}
COUNTS = {"requests_finished": 240, "prompt_tokens": 168000, "generated_tokens": 24000}
CACHE = {"prefix_cache_queries": 168000, "prefix_cache_hits": 42000}
TOKENS = {"prompt_tokens": 168000, "generated_tokens": 24000}


@pytest.mark.parametrize(
    ("engine", "model", "values", "ttft"),
    [
        ("ray_vllm", "llama", {**LEVELS, **COUNTS, **CACHE}, 0.5),
        ("trtllm", "llama", {**LEVELS, **COUNTS, **CACHE}, 0.5),
        ("nim", "llama", {**LEVELS, **COUNTS}, 0.5),
        ("dynamo", "llama", {**COUNTS, **CACHE}, 0.5),
        ("litellm", "llama", TOKENS, 0.5),
        ("gen_ai", "llama", COUNTS, 0.5),
        ("llamacpp", None, {**TOKENS, "requests_running": 3, "requests_waiting": 2}, None),
        ("tei", None, {"requests_finished": 240, "prompt_tokens": 168000, "requests_waiting": 2}, None),
    ],
)
def test_pages_of_engines(engine, model, values, ttft):
    """The agent reads each page with the right reader: what is there, in our units, and nothing that is not."""
    page = ENGINES[engine]
    table = shipped()
    speaking = [one for one in table.engines() if PageReader(one, table.of(one)).speaks(f"# A page.\n{page}")]
    assert [one.key for one in speaking] == [engine]
    (read,) = PageReader(speaking[0], table.of(speaking[0])).read(page).engines
    assert (read.model, read.values) == (model, pytest.approx(values))
    histogram = read.buckets.get("ttft_seconds")
    assert (histogram and histogram.total / histogram.counts[-1]) == (ttft and pytest.approx(ttft))


def test_a_gateway_with_two_names_for_a_model():
    """Requests of the inference gateway are of the model that they were sent to; its gauge names the other alone."""
    table = shipped()
    gateway = table.exporters["inference_gateway"]
    front, llama = PageReader(gateway, table.of(gateway)).read(ENGINES["inference_gateway"]).engines
    assert (front.model, front.values) == ("front", {"requests_running": 3})
    assert (llama.model, llama.values) == ("llama", TOKENS | CACHE)
    assert llama.buckets["ttft_seconds"].total == 120


@pytest.mark.parametrize("name", ["vllm_", "sglang_"])
def test_names_whose_colon_was_replaced(name):
    """Converted names are read as the engine's own."""
    table = shipped()
    engine = table.exporters[name.rstrip("_")]
    page = f'{name}num_{"requests_running" if name == "vllm_" else "running_reqs"}{{model_name="m"}} 3\n'
    (read,) = PageReader(engine, table.of(engine)).read(page).engines
    assert (read.model, read.values) == ("m", {"requests_running": 3})


TEXTS = replace(ASKED, is_one_pass=True, input_tokens=None, output_tokens=None, context_tokens=512)


@pytest.mark.parametrize(("engine", "texts"), [("tei", 1.0), ("ray_vllm", 1.0)])
def test_texts_of_engines_are_counted_with_their_lengths(server_url, engine, texts):
    """Lengths are those of the histogram, no longer than the model takes; its texts over requests are the items."""
    access, selector = served(server_url, ENGINES[engine], f"texts-{engine}", grows=True)
    demand = engine_demand(Monitored.at(access, WINDOW, selector), replace(TEXTS, context_tokens=650))
    assert demand.requests_per_second.mean == pytest.approx(240 / 7275, rel=0.02)
    assert demand.input_tokens.max == 650
    assert demand.output_tokens.mean == pytest.approx(texts, rel=1e-3)
    assert any("texts a request" in note for note in demand.notes)


@pytest.mark.parametrize("engine", ["ovms", "torchserve", "kserve", "mlserver"])
def test_requests_of_servers_that_count_no_tokens_have_the_stated_size(server_url, engine):
    """Without one it is asked for; questions about a model are no requests to it."""
    access, selector = served(server_url, ENGINES[engine], f"sized-{engine}", grows=True)
    watched = Monitored.at(access, WINDOW, selector)
    demand = engine_demand(watched, replace(TEXTS, input_tokens=300, output_tokens=23))
    assert demand.requests_per_second.mean == pytest.approx(240 / 7275, rel=0.02)
    assert (demand.input_tokens.mean, demand.input_tokens.max, demand.output_tokens.mean) == (300, 300, 23)
    with pytest.raises(InputError, match="counts requests there, but not their tokens") as refused:
        engine_demand(watched, TEXTS)
    assert "documents and tokens_per_document" in refused.value.hint


@pytest.mark.parametrize(
    ("engine", "hits", "has_spread"),
    [
        ("ray_vllm", 0.25, True), ("trtllm", 0.25, False), ("nim", 0.0, True), ("dynamo", 0.25, True),
        ("inference_gateway", 0.25, True), ("litellm", 0.0, False), ("gen_ai", 0.0, True),
    ],
)  # fmt: skip
def test_demand_of_engines(server_url, engine, hits, has_spread):
    """Requests, lengths and cache hits are those of the page, wherever an engine counts them."""
    access, selector = served(server_url, ENGINES[engine], f"demand-{engine}", grows=True)
    demand = engine_demand(Monitored.at(access, WINDOW, selector), ASKED)
    assert demand.source.startswith(f"{shipped().exporters[engine].name} metrics at")
    assert demand.requests_per_second.mean == pytest.approx(240 / 7275, rel=0.02)
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == pytest.approx((700, 100), rel=1e-3)
    assert demand.tokens.prefix_cache_hit_ratio == pytest.approx(hits, abs=1e-3)
    assert demand.input_tokens.max == 700
    assert (demand.input_tokens.p50 < 699) == has_spread, "a bucket of a histogram has a width"


def test_a_gateway_before_an_engine_counts_nothing_twice(victoria_metrics_url):
    """Where engines are scraped, what stands before them is left out: both count the same requests."""
    page = ENGINES["litellm"] + ENGINES["dynamo"] + ENGINES["ray_vllm"]
    access, selector = served(victoria_metrics_url, page, "both-count", grows=True)
    demand = engine_demand(Monitored.at(access, WINDOW, selector), ASKED)
    assert demand.source.startswith("vLLM on Ray metrics at")
    assert demand.requests_per_second.mean == pytest.approx(240 / 7275, rel=0.02)


def test_a_gateway_that_an_agent_shows_counts_nothing_twice(victoria_metrics_url):
    """Series of an agent that reads a gateway and the engine behind it: the engine's requests count."""
    page = "".join(
        f'advisor_engine_{name}_total{{host="h",engine="{engine}",endpoint="http://{engine}/metrics",model="llama",rank="0"}} {value}\n'
        for engine, requests in (("dynamo", 240), ("trtllm", 200))
        for name, value in (
            ("requests_finished", requests),
            ("prompt_tokens", 700 * requests),
            ("generated_tokens", 100 * requests),
        )
    )
    access, selector = served(victoria_metrics_url, page, "agent-both", grows=True)
    demand = engine_demand(Monitored.at(access, WINDOW, selector), ASKED)
    assert demand.requests_per_second.mean == pytest.approx(200 / 7275, rel=0.02)


def test_a_gateway_that_serves_hosted_models_too(victoria_metrics_url):
    """Requests for other models are not the workload's, whoever asked for them; without its model the rates are named."""
    hosted = ENGINES["litellm"].replace('requested_model="llama"', 'requested_model="gpt-5"')
    elsewhere = ENGINES["litellm"].replace('"u"', '"v"').replace('"hosted_vllm/llama"', '"other/llama"')
    page = ENGINES["litellm"] + hosted + elsewhere
    access, selector = served(victoria_metrics_url, page, "hosted", grows=True)
    server = Monitored.at(access, WINDOW, selector)
    demand = engine_demand(server, ASKED)
    assert demand.requests_per_second.mean == pytest.approx(480 / 7275, rel=0.02)
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == pytest.approx((700, 100), rel=1e-3)
    assert any("not counted: gpt-5 (0.03" in note for note in demand.notes)
    with pytest.raises(InputError, match=r"no engine there serves qwen: they serve llama \(0.06.*, gpt-5 \(0.03"):
        engine_demand(server, Wanted("qwen", "the server", "demand.prometheus"))


def test_names_that_could_be_anybodys(victoria_metrics_url):
    """Names without a prefix are NVIDIA NIM's only where its sign is; a shop that counts tokens is no engine."""
    page = 'prompt_tokens_total{shop="a"} 9\nrequest_success_total{shop="a"} 9\nnum_requests_running{shop="a"} 1\n'
    access, selector = served(victoria_metrics_url, page, "a-shop", grows=True)
    assert engine_demand(Monitored.at(access, WINDOW, selector), STATED) is None
    table = shipped()
    assert not any(PageReader(one, table.of(one)).speaks(page) for one in table.engines())


def test_tokens_without_requests(server_url):
    """llama.cpp counts tokens alone: with stated lengths they are requests, and the notes say so."""
    access, selector = served(server_url, ENGINES["llamacpp"], "tokens-only", grows=True)
    server = Monitored.at(access, WINDOW, selector)
    assert engine_demand(server, ASKED) is None
    demand = engine_demand(server, STATED)
    assert demand.requests_per_second.mean == pytest.approx(240 / 7275, rel=0.02)
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == (700, 100)
    assert any("llama.cpp counts tokens and no requests" in note for note in demand.notes)


@pytest.mark.parametrize("engine", ["tei", "triton"])
def test_requests_without_tokens(victoria_metrics_url, engine):
    """An engine that counts requests and not all of their tokens is no engine without demand: what is missing is said."""
    page = ENGINES.get(engine) or 'nv_inference_request_success{model="llama",version="1"} 240\n'
    access, selector = served(victoria_metrics_url, page, f"requests-{engine}", grows=True)
    with pytest.raises(InputError, match="counts requests there, but not their tokens"):
        engine_demand(Monitored.at(access, WINDOW, selector), ASKED)
    demand = engine_demand(Monitored.at(access, WINDOW, selector), STATED)
    assert demand.requests_per_second.mean == pytest.approx(240 / 7275, rel=0.02)
    assert (demand.input_tokens.mean, demand.output_tokens.mean) == pytest.approx((700, 100), rel=1e-3)


def test_busy_accelerators_of_any_exporter(victoria_metrics_url):
    """The shape of the demand is told from any exporter that says how busy accelerators are."""
    access, selector = served(victoria_metrics_url, ACCELERATORS["gaudi"], "busy-gaudi", grows=False)
    server = Monitored.at(access, WINDOW, selector)
    demand = demand_from_busy(busy_over_time(server), BusySecond(0.5, 2.0), None, (800, 200))
    assert demand.requests_per_second.mean == pytest.approx(0.84, rel=1e-6)
    assert "busy accelerators are habanalabs_utilization of Intel Gaudi metric exporter" in server.notes


def test_what_a_known_exporter_also_shows_is_no_near_miss():
    """Of an exporter that is read, the names that nothing needs are not taken for what was meant."""
    present = ["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_ENC_UTIL", "vllm:num_requests_running", "vllm:num_requests_swapped"]
    assert near_misses(shipped(), [*present, "acme_vllm:num_requests_running"]) == ["acme_vllm:num_requests_running"]


def test_names_that_look_alike_are_named(victoria_metrics_url):
    """Where nothing is known, the error lists what looks as if it were meant, and how to map it."""
    page = "my_gpu_utilization 42\nkserve_vllm:num_requests_running 3\nnode_cpu_seconds_total 9\nup 1\n"
    access, selector = served(victoria_metrics_url, page, "alike", grows=False)
    with pytest.raises(InputError) as caught:
        busy_over_time(Monitored.at(access, WINDOW, selector))
    assert "look alike: kserve_vllm:num_requests_running, my_gpu_utilization; map them" in caught.value.hint
    with pytest.raises(InputError, match="no metric that is known here"):
        PrometheusBackend(access, selector).window()
