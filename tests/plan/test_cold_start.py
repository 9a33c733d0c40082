"""How long a new replica takes, and what has to run already because of that."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advisor.candidates import Candidate, judge
from advisor.catalog import load_catalog
from advisor.catalog.processors import with_processors
from advisor.data_files import data_dir
from advisor.demand.lengths import declared_demand
from advisor.models import find_model
from advisor.plan.cold_start import (
    DISK_GB_PER_SECOND,
    METRIC_DELAY_S,
    cold_start,
    download_gb,
    image_gb,
    minimum_warm_replicas,
    reactive,
    start_of,
)
from advisor.requirements import require
from builders import workload

CATALOG = load_catalog()
FACTS = CATALOG.cold_start
MODEL_8B, MODEL_70B = "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct"


def candidate(model=MODEL_8B, provider="aws", instance_type="g6.xlarge", tensor_parallel=1) -> Candidate:
    """A 16-bit candidate of the shipped catalog."""
    asked = workload(model=model, providers=(provider,), precisions=("bf16",))
    needs = require(asked, find_model(model), declared_demand(5, 8, 800, 200), CATALOG)
    outcomes = judge(CATALOG.instance_type(provider, instance_type), needs, CATALOG)
    found = [one for one in outcomes if isinstance(one, Candidate) and not one.partition]
    return next(one for one in found if one.tensor_parallel == tensor_parallel)


BASE = candidate()


def with_weights(gib: float) -> Candidate:
    """The base candidate with other weights."""
    return replace(BASE, memory=replace(BASE.memory, weights_gib=gib, checkpoint_gib=gib))


def with_network(gbit_per_second: float | None) -> Candidate:
    """The base candidate with another network."""
    return replace(BASE, instance_type=replace(BASE.instance_type, network_gbit_per_second=gbit_per_second))


def test_the_stages_by_hand():
    """12 GB of image at 0.069 GB/s are 174 s; 15 GiB come at 500 MB/s and go in at 1.51 GiB/s; 16 + 38.4 + 0.31 · 15 s start vLLM."""
    wide = replace(with_weights(15), instance_type=with_network(None).instance_type)
    found = cold_start(wide, FACTS)

    assert found.launch_s.value == 120
    assert found.image_s.value == pytest.approx(12 / 0.069)
    assert found.weights_s.value == pytest.approx(15 * 2**30 / 0.5e9 + 15 / 1.51)
    assert found.engine_s.value == pytest.approx(16 + 38.4 + 0.31 * 15)
    assert found.total_s.value == pytest.approx(120 + 173.9 + 42.1 + 59.05, abs=0.2)
    assert found.lead_hours == math.ceil(found.total_s.high / 60) / 60
    assert found.total_s.high % 60
    assert found.reactive_delay_s == found.total_s.high + METRIC_DELAY_S


def test_what_is_downloaded_takes_the_time_not_what_is_served():
    """FP8 made of a 16-bit checkpoint: 15 GiB come over the network, and the engine starts with 8."""
    made = replace(BASE, memory=replace(BASE.memory, weights_gib=8, checkpoint_gib=15))

    assert cold_start(made, FACTS).weights_s == cold_start(with_weights(15), FACTS).weights_s
    assert cold_start(made, FACTS).engine_s == cold_start(with_weights(8), FACTS).engine_s


def converted(precision: str) -> Candidate:
    """A small model on processors, whose published weights (0.988 GB) llama.cpp converts first."""
    catalog = with_processors(CATALOG, ("aws",), 1.0, frozenset({"c7a.xlarge"}))
    name = "Qwen/Qwen2.5-0.5B-Instruct"
    asked = workload(model=name, providers=("aws",), precisions=(precision,), engines=("llama.cpp server",))
    needs = require(asked, find_model(name), declared_demand(0.1, 0.2, 300, 100), catalog)
    outcomes = judge(catalog.instance_type("aws", "c7a.xlarge"), needs, catalog)
    return next(one for one in outcomes if isinstance(one, Candidate))


@pytest.mark.parametrize(
    ("precision", "seconds"),
    [("bf16", 0.988 / 0.14), ("fp16", 0.988 / 0.518), ("int8", 0.988 / 0.289), ("int4", 0.988 / 0.14 + 0.988 / 0.417)],
)
def test_published_weights_are_converted_before_they_are_served(precision, seconds):
    """One rate for each step; published weights are downloaded, and the GGUF is read and kept."""
    made = converted(precision)
    found = cold_start(made, FACTS)
    assert found.conversion_s.value == pytest.approx(seconds, rel=0.001)
    assert found.conversion_s.high > found.conversion_s.value >= found.conversion_s.low > 0
    gguf_gib, published_gib = made.memory.checkpoint_gib - made.converted_gib, 0.988e9 / 2**30
    assert made.converted_gib == pytest.approx(published_gib, rel=0.001)
    network_gib = made.instance_type.network_gbit_per_second / 8 * 1e9 / 2**30
    assert found.weights_s.value == pytest.approx(published_gib / network_gib + gguf_gib / 1.51, rel=0.001)
    assert found.total_s.value == pytest.approx(
        sum(
            stage.value
            for stage in (found.launch_s, found.image_s, found.weights_s, found.conversion_s, found.engine_s)
        )
    )
    there = cold_start(replace(made, converted_gib=0.0), FACTS)
    assert there.conversion_s.high == 0
    assert found.warm_pool_total_s.value < there.warm_pool_total_s.value


def test_nothing_else_is_converted():
    """Engines that read published weights take no time for it."""
    assert cold_start(BASE, FACTS).conversion_s.high == 0


def test_a_70b_model_from_storage_takes_what_is_reported_of_it():
    """On a machine that is there a 70B model needs the 300 to 600 s that a cache project reports as typical."""
    found = cold_start(candidate(MODEL_70B, "aws", "p5.48xlarge", 4), FACTS)

    assert 300 < found.total_s.value - found.launch_s.value < 600


@pytest.mark.parametrize(("weights_gib", "measured_s"), [(131.4, 91.8), (438.0, 170.5), (15.0, 39.34)])
def test_engine_starts_are_as_measured(weights_gib, measured_s):
    """The start of vLLM after its weights are loaded lies within its range for models from 8B to 235B."""
    engine = cold_start(with_weights(weights_gib), FACTS).engine_s
    process_s = FACTS["process_start"].value

    assert engine.low <= measured_s + process_s <= engine.high


def test_a_small_model_on_a_local_disk_starts_as_reported():
    """3.4 GiB answered 59 s after the start of vLLM, 15 % more or less than the stages after the image add up to."""
    engine = cold_start(with_weights(3.4), FACTS).engine_s

    assert engine.value + 3.4 / FACTS["weights_local"].value == pytest.approx(59, rel=0.15)


def test_whole_boards_launch_slowly():
    """p5.48xlarge and trn2.48xlarge launch like metal, a single accelerator or four on PCIe do not."""
    launches = {
        name: cold_start(candidate(model, "aws", name, parallel), FACTS).launch_s.value
        for model, name, parallel in (
            (MODEL_70B, "p5.48xlarge", 8), (MODEL_70B, "trn2.48xlarge", 16), (MODEL_8B, "g6.12xlarge", 4), (MODEL_8B, "g6.xlarge", 1),
        )
    }  # fmt: skip

    assert launches["p5.48xlarge"] == launches["trn2.48xlarge"] == FACTS["launch_gpu_large"].value
    assert launches["g6.12xlarge"] == launches["g6.xlarge"] == FACTS["launch_gpu"].value


@pytest.mark.parametrize(
    ("provider", "name", "compiles_s", "cached_s"),
    [("aws", "inf2.8xlarge", 1200, 0), ("gcp", "ct6e-standard-1t", 1500, 300)],
)
def test_other_accelerators_compile_first(provider, name, compiles_s, cached_s):
    """Neuron and TPU compile the model before they serve; a warm pool keeps what was compiled."""
    other, gpu = cold_start(candidate(MODEL_8B, provider, name), FACTS), cold_start(BASE, FACTS)

    assert other.engine_s.value - gpu.engine_s.value == pytest.approx(compiles_s, abs=1)
    assert other.warm_pool_total_s.value - gpu.warm_pool_total_s.value == pytest.approx(cached_s, abs=15)


@pytest.mark.parametrize(("checkpoint_gib", "range_s"), [(15, (600, 1800)), (61, (600, 1800)), (131.4, (1800, 3600))])
def test_a_large_model_compiles_longer_on_neuron(checkpoint_gib, range_s):
    """The tutorial says 10 to 30 minutes, and 30 to 60 from 70 billion parameters on; nothing where the result is kept."""
    compilation = FACTS.compilation("aws", checkpoint_gib)

    assert (compilation.low, compilation.high) == range_s
    assert FACTS.compilation("aws", checkpoint_gib, is_cached=True) is None
    assert FACTS.compilation("nvidia", checkpoint_gib) is None


@given(st.floats(0.1, 800), st.floats(0.1, 800))
def test_more_weights_take_longer(one, other):
    """No stage, and so no total, gets shorter with more weights; its range holds it, and a warm pool is faster."""
    small, large = (cold_start(with_weights(gib), FACTS) for gib in sorted((one, other)))

    assert small.total_s.value <= large.total_s.value
    assert small.warm_pool_total_s.value <= large.warm_pool_total_s.value
    for found in (small, large):
        assert found.total_s.low <= found.total_s.value <= found.total_s.high
        assert found.warm_pool_total_s.value < found.total_s.value


@given(st.floats(0.1, 400), st.floats(0.1, 400))
def test_more_bandwidth_never_takes_longer(one, other):
    """A wider network shortens the pull and the download until something else binds; an unknown one binds nothing."""
    slow, fast, unknown = (cold_start(with_network(gbit), FACTS) for gbit in (*sorted((one, other)), None))

    assert unknown.total_s.value <= fast.total_s.value <= slow.total_s.value


def test_the_generated_volume_is_as_fast_as_taken_here():
    """The Terraform that is generated orders the disk bandwidth that cold starts are computed with."""
    template = (data_dir("templates") / "terraform/aws-ec2/compute.tf.j2").read_text()

    assert f"throughput            = {DISK_GB_PER_SECOND * 1000:g}" in template


def test_the_documentation_shows_these_totals():
    """The totals in the documentation are those of the shipped facts."""
    page = (Path(__file__).parents[2] / "docs/planning.md").read_text()

    for one in (candidate(MODEL_8B, "aws", "g5.12xlarge"), candidate(MODEL_70B, "aws", "p5.48xlarge", 4)):
        total = cold_start(one, FACTS).total_s
        assert f"**{total.value:.0f} s ({total.low:.0f}–{total.high:,.0f})**" in page


def test_the_headroom_of_a_step_by_hand():
    """60 → 240 requests a minute in one step: three minutes of lag see 180 more a minute; with none to miss, 3/s must run ahead."""
    counts = np.array([60.0] * 10 + [240.0] * 10)

    strict, loose = reactive(counts, 180, 1.0), reactive(counts, 180, 0.9)

    assert strict.headroom_requests_per_second == pytest.approx(3.0)
    served = 7 * 60 + 10 * 240
    assert strict.missed_ratio == pytest.approx(3 * 180 / served)
    assert loose.headroom_requests_per_second == pytest.approx((3 * 180 - 0.1 * served) / 3 / 60)


def test_a_flat_load_needs_no_headroom():
    """Where nothing rises a policy that follows misses nothing, and only the load itself is kept warm."""
    counts = np.full(60, 120.0)

    assert reactive(counts, 600, 1.0) == reactive(counts, 60, 1.0)
    assert reactive(counts, 600, 1.0).headroom_requests_per_second == 0
    assert minimum_warm_replicas(counts, 600, 0.99, replica_rate=0.9, peak_rate=2.0) == math.ceil(2 / 0.9)


COUNTS = arrays(np.float64, st.integers(5, 60), elements=st.one_of(st.floats(0, 600), st.just(math.nan)))


@given(COUNTS, st.floats(0.5, 1), st.floats(30, 240))
def test_the_headroom_is_just_enough(counts, within_ratio, delay_s):
    """With the headroom no more is missed than allowed at any delay up to that, and with a little less it would be."""
    found = reactive(counts, delay_s, within_ratio)
    pairs = [(counts[:-lag], counts[lag:]) for lag in range(1, max(math.ceil(delay_s / 60), 1) + 1)]
    known = [(before[seen], after[seen]) for before, after in pairs for seen in [~np.isnan(after - before)]]
    served = [(before, after) for before, after in known if after.sum() > 0]
    if math.isnan(found.headroom_requests_per_second):
        assert not served
        return

    def excess(headroom: float) -> float:
        """Most that any delay misses beyond what the SLO allows."""
        return max(
            float(np.maximum(after - before - headroom, 0).sum() - (1 - within_ratio) * after.sum())
            for before, after in served
        )

    headroom = found.headroom_requests_per_second * 60
    assert excess(headroom) <= 1e-6
    if headroom > 1e-3:
        assert excess(headroom * 0.99) > -1e-6


@given(COUNTS, st.floats(0.5, 1), st.floats(30, 600), st.floats(30, 600))
def test_a_longer_delay_never_looks_better(counts, within_ratio, one, other):
    """Even a load that repeats itself after the longer delay needs no less headroom, and misses no less without it."""
    short, long = (reactive(counts, delay_s, within_ratio) for delay_s in sorted((one, other)))

    if not math.isnan(short.headroom_requests_per_second):
        assert long.headroom_requests_per_second >= short.headroom_requests_per_second
        assert long.missed_ratio >= short.missed_ratio


def test_an_unknown_load_keeps_the_peak_warm():
    """Where no rise was observed, what the peak needs has to run."""
    for counts in (np.array([]), np.full(30, np.nan), np.zeros(30)):
        assert minimum_warm_replicas(counts, 300, 0.99, replica_rate=2.0, peak_rate=9.0) == 5


@given(COUNTS, st.floats(60, 600))
def test_never_more_is_warm_than_the_peak_needs(counts, delay_s):
    """The warm replicas do not exceed those of the busiest minute."""
    peak = float(np.nanmax(counts, initial=0.1)) / 60

    assert 0 <= minimum_warm_replicas(counts, delay_s, 0.99, 0.5, peak) <= math.ceil(peak / 0.5)


@pytest.mark.parametrize(
    ("count", "interconnect", "vendor", "launch"),
    [
        (8.0, "nvlink", "nvidia", "launch_gpu_large"),
        (8.0, "pcie", "nvidia", "launch_gpu"),
        (4.0, "nvlink", "nvidia", "launch_gpu"),
        (None, "nvlink", "nvidia", "launch_gpu"),
        (8.0, "roce", "intel", "launch_gpu_large"),
        (8.0, "ici", "google", "launch_tpu"),
    ],
)
def test_a_launch_is_slow_on_eight_accelerators_with_links_of_their_own(count, interconnect, vendor, launch):
    """Neither the number nor the links alone make one."""
    machine = replace(BASE.instance_type, accelerator_count=count, interconnect=interconnect)
    board = replace(BASE, instance_type=machine, accelerator=replace(BASE.accelerator, vendor=vendor))
    assert cold_start(board, FACTS).launch_s.value == FACTS[launch].value


def test_gaudi_warms_up_however_often_it_has():
    """Its cache keeps no graphs: a first start and one from a warm pool both take it."""
    gaudi = replace(BASE, accelerator=replace(BASE.accelerator, vendor="intel"))
    first, kept = cold_start(gaudi, FACTS), cold_start(BASE, FACTS)
    warm_up = FACTS["warm_up_gaudi"]

    assert first.engine_s.value - kept.engine_s.value == pytest.approx(warm_up.value)
    assert first.engine_s.high - kept.engine_s.high == pytest.approx(warm_up.high)
    assert first.warm_pool_total_s.value - kept.warm_pool_total_s.value == pytest.approx(warm_up.value)


def test_a_slow_network_is_what_downloads_wait_for():
    """0.4 Gbit/s are 0.05 GB/s, less than the disk, the hub or unpacking give."""
    slow = cold_start(replace(with_weights(16), instance_type=with_network(0.4).instance_type), FACTS)
    image = FACTS["image_vllm_cuda"]
    rate = min(FACTS["pull"].value, 0.05)

    assert slow.image_s.value == pytest.approx(image.value / rate)
    loaded = 16 / FACTS["weights_local"].value
    assert slow.weights_s.value - loaded == pytest.approx(16 * 2**30 / 1e9 / 0.05)
    assert slow.image_s.value > cold_start(with_weights(16), FACTS).image_s.value


def test_a_warm_pool_reads_weights_from_its_disk_or_the_hub_whichever_is_faster():
    """At 500 MB/s from the disk at most; a slow network changes nothing of that."""
    facts = FACTS
    base = with_weights(100)
    volume = min(facts["weights_volume"].value, 0.5e9 / 2**30)
    others = facts["launch_vm"].value + facts["process_start"].value + facts["engine_init_cached_base"].value
    others += 100 * facts["engine_init_cached_per_weights"].value
    slow = cold_start(replace(base, instance_type=with_network(0.4).instance_type), facts)
    hub = cold_start(base, facts).weights_s

    assert slow.warm_pool_total_s.value - others == pytest.approx(100 / volume)
    assert cold_start(base, facts).warm_pool_total_s.value - others == pytest.approx(min(100 / volume, hub.value))
    volume_fact = replace(facts["weights_volume"], value=0.001, low=0.001, high=0.001)
    slow_disk = replace(facts, parts={**facts.parts, "weights_volume": volume_fact})
    from_hub = cold_start(base, slow_disk)
    assert from_hub.warm_pool_total_s.value - others == pytest.approx(hub.value)
    for end, error in (("low", -13), ("high", 13)):
        parts = [getattr(facts[name], end) for name in ("launch_vm", "process_start")]
        line = facts["engine_init_cached_base"].value + 100 * facts["engine_init_cached_per_weights"].value
        rest = getattr(from_hub.warm_pool_total_s, end) - sum(parts) - max(line + error, 0)
        assert rest == pytest.approx(getattr(hub, end)), end


@pytest.mark.parametrize(
    ("provider", "instance_type", "parallel", "seconds"),
    [
        ("coreweave", "HGX H100 8x", 8, (300, 600, 900)),
        ("oracle", "BM.GPU.H100.8", 8, (600, 900, 1800)),
        ("oracle", "VM.GPU.A10.1", 1, (60, 120, 180)),
        ("ibm", "gx3d-160x1792x8gaudi3", 1, (600, 900, 1800)),
        ("nebius", "gpu-h100-sxm_8gpu-128vcpu-1600gb", 8, (180, 390, 600)),
        ("aws", "p5.48xlarge", 8, (180, 390, 600)),
    ],
)
def test_machines_start_as_their_provider_says(provider, instance_type, parallel, seconds):
    """Bare metal takes longer to be there than the virtual machines of the same accelerators."""
    launch = start_of(candidate(MODEL_8B, provider, instance_type, parallel), CATALOG).launch_s

    assert (launch.low, launch.value, launch.high) == seconds
    assert CATALOG.cold_start.machine("coreweave", instance_type, "ec2") is None


@pytest.mark.parametrize(
    ("engine", "vendor", "gb"),
    [
        ("Text Embeddings Inference", "cpu", 0.4),
        ("Text Embeddings Inference", "nvidia", 0.75),
        ("Triton (TensorRT)", "nvidia", 5.4),
        ("vLLM (pooling)", "nvidia", 12),
        ("vLLM (pooling)", "cpu", 2),
    ],
)
def test_a_start_downloads_the_image_of_its_engine(engine, vendor, gb):
    """Images for processors hold no CUDA, and servers of embeddings no vLLM."""
    served = replace(BASE, engine=engine, accelerator=replace(BASE.accelerator, vendor=vendor))
    assert image_gb(served, FACTS) == gb


def test_an_engine_never_starts_in_less_than_nothing():
    """A line through measured starts has an error of 13 s either way, of which the lower end is cut at none."""
    base = replace(FACTS["engine_init_base"], value=5.0)
    quick = replace(FACTS, parts={**FACTS.parts, "engine_init_base": base})
    engine = cold_start(with_weights(0), quick).engine_s
    process = FACTS["process_start"]
    assert (engine.low, engine.value, engine.high) == pytest.approx((process.low, process.value + 5, process.high + 18))


def test_what_a_start_downloads_is_the_image_and_the_weights_in_decimal_gigabytes():
    """Weights of 0.1 GiB are 0.107 GB, and those of 40 GiB 42.9 GB: no step is rounded up to."""
    for gib in (0.1, 25, 40):
        assert download_gb(with_weights(gib), FACTS) == pytest.approx(image_gb(BASE, FACTS) + gib * 1.073741824)


def test_capacity_that_is_ordered_late_is_late_by_a_period_of_the_metric():
    """A scaler sees a rise after a minute at most."""
    found = cold_start(BASE, FACTS)
    assert found.reactive_delay_s - found.total_s.high == 60
