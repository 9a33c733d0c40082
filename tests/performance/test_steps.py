"""Single steps against the closed forms: the same model, so the same latencies, alone and under load."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.data_files import data_dir
from advisor.demand.tally import read_summary
from advisor.demand.values import TokenHistogram
from advisor.performance import head_draft
from advisor.performance.model import shipped_model
from advisor.performance.physics import SECONDS_PER_PIXEL, picture_seconds
from advisor.performance.queueing import Bursts
from advisor.performance.serving import capacity_at_slo, latency_at_rate
from advisor.performance.steps import step_times
from advisor.plan.replay.engine import serve
from advisor.workload.values import Slo
from performance.deployment_builders import GIB, make_accelerator, make_deployment, make_shape, pack

CONTEXT = 16_384
SLO = Slo(ttft_p95_ms=2000.0, tpot_p95_ms=60.0)
FLAT = TokenHistogram(np.array([1000.0]), np.array([200.0]), np.array([1.0]))
REQUESTS = 12_000
SMALL = make_accelerator(
    name="L40S", architecture="Ada", compute_capability=8.9, memory_gib=44.99, memory_bandwidth_gb_per_second=864.0,
    fp32_tflops=91.6, fp16_tflops=362.0, fp8_tflops=733.0, link_gb_per_second=None, link_kind="", tdp_watts=350.0,
)  # fmt: skip
MIDDLE = make_accelerator(
    name="A100-80GB-SXM", architecture="Ampere", compute_capability=8.0, memory_bandwidth_gb_per_second=2039.0,
    fp16_tflops=312.0, fp8_tflops=None, fp32_tflops=19.5, link_gb_per_second=300.0, tdp_watts=400.0,
)  # fmt: skip
DEPLOYMENTS = {
    "L40S": make_deployment(accelerator=SMALL, kv_cache_bytes=22.0 * GIB),
    "2 × A100": make_deployment(accelerator=MIDDLE, tensor_parallel=2, kv_cache_bytes=110.0 * GIB),
    "H100": make_deployment(),
}


@cache
def histogram(name):
    """Lengths of the Azure conversation or code trace, as the examples have them."""
    return read_summary(data_dir("instance_catalog").parent / "examples" / name / "demand.json").tokens


def closed(deployment, tokens, rate, dispersion=1.0):
    """(TTFT, TPOT) p95 in ms by the closed forms."""
    packed = pack([deployment])
    learned = shipped_model().open_loop(packed, tokens)
    found = latency_at_rate(packed, tokens, np.array([rate]), learned, Bursts(dispersion))
    return np.array([found.ttft_p95_ms[0], found.tpot_p95_ms[0]])


def capacity(deployment, tokens, slo=SLO, dispersion=1.0):
    """Requests per second within the targets by the closed forms."""
    packed = pack([deployment])
    found = capacity_at_slo(packed, tokens, slo, shipped_model().open_loop(packed, tokens), Bursts(dispersion))
    return float(found.requests_per_second[0])


def replayed(deployment, tokens, rate, dispersion=1.0):
    """TTFT and TPOT of each request in ms, by single steps: renewal arrivals with gamma gaps (1: Poisson)."""
    rng = np.random.default_rng(11)
    arrivals = np.cumsum(rng.gamma(1 / dispersion, dispersion / rate, REQUESTS))
    kind = rng.choice(tokens.probability.size, REQUESTS, p=tokens.probability)
    prompts, answers = (np.maximum(np.rint(column[kind]), 1).astype(np.int32)
                        for column in (tokens.input_tokens, tokens.output_tokens))  # fmt: skip
    times = step_times(deployment, shipped_model(), tokens, CONTEXT)
    found = serve(times, arrivals, prompts, answers)
    ttft = 1000 * times.ttft_factor * (found.first_s + found.lag_s - arrivals)
    several = answers > 1
    tpot = np.zeros(REQUESTS)
    tpot[several] = 1000 * (found.last_s - found.first_s)[several] / (answers - 1)[several]
    return ttft, tpot, several


def percentiles(ttft, tpot, several):
    """The 95th of both."""
    return np.array([np.quantile(ttft, 0.95), np.quantile(tpot[several], 0.95)])


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_lone_request_takes_what_the_closed_form_says(name):
    """TPOT to two parts in a thousand; TTFT to 5 %: the closed form counts decodes beside a prompt even when idle."""
    times = step_times(DEPLOYMENTS[name], shipped_model(), FLAT, CONTEXT)
    arrivals = np.arange(1.0, 4.0) * 1000
    found = serve(times, arrivals, np.full(3, 1000, dtype=np.int32), np.full(3, 200, dtype=np.int32))
    ttft = 1000 * times.ttft_factor * (found.first_s + found.lag_s - arrivals)
    tpot = 1000 * (found.last_s - found.first_s) / 199
    expected = closed(DEPLOYMENTS[name], FLAT, 1e-6)
    assert ttft == pytest.approx(np.full(3, expected[0]), rel=0.05)
    assert tpot == pytest.approx(np.full(3, expected[1]), rel=2e-3)


@pytest.mark.parametrize("changes", [
    {"draft": head_draft(make_shape(), 3, 0.7)}, {"max_batched_tokens": 2048}, {"tensor_parallel": 4},
    {"shape": make_shape(window_tokens=512, window_kv_share=0.5)}, {"picture_flop": 5e12, "picture_pixels": 1e6},
], ids=["speculation", "token budget", "tensor parallel", "windows", "pictures"])  # fmt: skip
def test_what_the_physics_knows_the_steps_know(changes):
    """A lone request's time per token is that of the closed form, whatever the deployment does."""
    deployment = make_deployment(**changes)
    times = step_times(deployment, shipped_model(), FLAT, CONTEXT)
    found = serve(times, np.array([1.0]), np.array([1000], dtype=np.int32), np.array([200], dtype=np.int32))
    tpot = 1000 * (found.last_s - found.first_s)[0] / 199
    assert tpot == pytest.approx(closed(deployment, FLAT, 1e-6)[1], rel=2e-3)


def test_pictures_are_encoded_before_the_first_token():
    """Seconds of the FLOPs at the 16-bit peak, and of the pixels: in the closed form and in single steps alike."""
    text = DEPLOYMENTS["H100"]
    shown = replace(text, picture_flop=2e13, picture_pixels=2e6)
    packed = pack([shown])
    pictures_ms = 1000 * float(picture_seconds(packed.replicas, packed.constants)[0])
    assert pictures_ms > 1000 * (2e13 / 990e12 + 2e6 * SECONDS_PER_PIXEL)
    more = closed(shown, FLAT, 1e-6) - closed(text, FLAT, 1e-6)
    factor = step_times(shown, shipped_model(), FLAT, CONTEXT).ttft_factor
    assert more[0] == pytest.approx(factor * pictures_ms, rel=0.02)
    single = replayed(shown, FLAT, 1e-3)[0] - replayed(text, FLAT, 1e-3)[0]
    assert np.median(single) == pytest.approx(factor * pictures_ms, rel=0.02)
    assert capacity(shown, FLAT) < capacity(text, FLAT)


def test_cached_prompt_tokens_are_not_computed():
    """With nine tenths of a long prompt held, its first token comes much earlier."""
    firsts = []
    for ratio in (0.0, 0.9):
        tokens = replace(FLAT, prefix_cache_hit_ratio=ratio)
        times = step_times(make_deployment(), shipped_model(), tokens, CONTEXT)
        found = serve(times, np.array([1.0]), np.array([8000], dtype=np.int32), np.array([1], dtype=np.int32))
        firsts.append(found.first_s[0] - 1.0)
    assert firsts[1] < 0.4 * firsts[0]


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
@pytest.mark.parametrize("lengths", ["chat", "code"])
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_closed_form_agrees_with_the_replay(name, lengths, load):
    """Random arrivals with the lengths of the Azure traces: both percentiles within 30 % up to 85 % of the capacity."""
    tokens = histogram(lengths)
    rate = load * capacity(DEPLOYMENTS[name], tokens)
    expected = closed(DEPLOYMENTS[name], tokens, rate)
    found = percentiles(*replayed(DEPLOYMENTS[name], tokens, rate))
    assert found == pytest.approx(expected, rel=0.30)


@pytest.mark.parametrize("dispersion", [3.0, 10.0])
@pytest.mark.parametrize("lengths", ["chat", "code"])
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_bursts_are_foreseen_within_a_factor_of_two(name, lengths, dispersion):
    """Renewal arrivals with gamma gaps at 60 % of the capacity: both percentiles within a factor of two.

    Without the dispersion the closed form is up to eight times too low (10, code).
    """
    tokens = histogram(lengths)
    rate = 0.6 * capacity(DEPLOYMENTS[name], tokens, Slo(20_000, 200), dispersion)
    ratio = percentiles(*replayed(DEPLOYMENTS[name], tokens, rate, dispersion)) / closed(
        DEPLOYMENTS[name], tokens, rate, dispersion
    )
    assert np.all(ratio > 0.5)
    assert np.all(ratio < 2.0)


@pytest.mark.parametrize("lengths", ["chat", "code"])
@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_capacity_is_kept_in_the_replay(name, lengths):
    """95 % of the requests keep the targets at 85 % of the rate that the closed form calls the largest, 90 % at all of it."""
    tokens = histogram(lengths)
    rate = capacity(DEPLOYMENTS[name], tokens)
    for load, share in ((0.85, 0.95), (1.0, 0.90)):
        ttft, tpot, _ = replayed(DEPLOYMENTS[name], tokens, load * rate)
        assert np.mean((ttft <= SLO.ttft_p95_ms) & (tpot <= SLO.tpot_p95_ms)) >= share


@pytest.mark.sampled(2)
@given(
    name=st.sampled_from(sorted(DEPLOYMENTS)), dispersions=st.tuples(st.floats(1, 20), st.floats(1, 20)),
    share=st.floats(0.05, 0.9),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_more_bursts_never_raise_the_capacity_nor_lower_a_latency(name, dispersions, share):
    """A larger index of dispersion leaves at most the same rate, and at a given rate at least the same latency."""
    tokens = histogram("chat")
    calm, wild = sorted(dispersions)
    assert capacity(DEPLOYMENTS[name], tokens, SLO, wild) <= capacity(DEPLOYMENTS[name], tokens, SLO, calm) * 1.0001
    rate = share * capacity(DEPLOYMENTS[name], tokens, Slo())
    low, high = (closed(DEPLOYMENTS[name], tokens, rate, dispersion) for dispersion in (calm, wild))
    assert np.all(high >= low * 0.9999)
