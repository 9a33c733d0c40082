"""Capacity and latency under random arrivals: invariants, and a simulation of continuous batching beside them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.values import TokenHistogram
from advisor.performance import head_draft
from advisor.performance.calibration import NODES
from advisor.performance.physics import decode_step_seconds, marginal_prefill_seconds, prompt_tokens_per_step
from advisor.performance.queueing import Learned, RequestTimes, length_points, offer, state_at
from advisor.performance.serving import (
    LEAST_AT_ONCE,
    SLOW_WHEN_FULL,
    capacity_at_slo,
    latency_at_rate,
    most_at_once,
)
from advisor.workload.values import Slo
from performance.deployment_builders import GIB, make_accelerator, make_deployment, make_shape, pack
from performance.simulator import Engine, simulate

TOLERANCE = 1e-4
"""Relative precision of the searches, with a margin."""
CHAT = TokenHistogram(
    np.array([100.0, 400, 800, 1500, 3000]),
    np.array([150.0, 250, 200, 300, 100]),
    np.array([0.2, 0.3, 0.25, 0.15, 0.1]),
)
CODE = TokenHistogram(
    np.array([500.0, 1500, 2500, 6000]), np.array([10.0, 25, 30, 60]), np.array([0.25, 0.35, 0.3, 0.1])
)
FLAT = TokenHistogram(np.array([1000.0]), np.array([200.0]), np.array([1.0]))


def capacity(deployment, tokens=CHAT, slo=None):
    """Requests per second of one deployment."""
    return float(capacity_at_slo(pack([deployment]), tokens, slo or Slo(1000.0, 50.0)).requests_per_second[0])


def latency(deployment, rate, tokens=CHAT):
    """(TTFT, TPOT, end-to-end) p95 in ms of one deployment."""
    found = latency_at_rate(pack([deployment]), tokens, np.array([rate]))
    return np.array([found.ttft_p95_ms[0], found.tpot_p95_ms[0], found.e2e_p95_ms[0]])


deployments = st.builds(
    lambda bandwidth, flops, cache, ranks, engine: make_deployment(
        accelerator=make_accelerator(memory_bandwidth_gb_per_second=bandwidth, fp16_tflops=flops),
        kv_cache_bytes=cache * GIB,
        tensor_parallel=ranks,
        engine=engine,
    ),
    bandwidth=st.floats(200, 8000),
    flops=st.floats(60, 2500),
    cache=st.floats(1, 200),
    ranks=st.sampled_from([1, 2, 4]),
    engine=st.sampled_from(["vLLM", "SGLang", "TensorRT-LLM"]),
)
slos = st.builds(
    Slo,
    ttft_p95_ms=st.none() | st.floats(100, 20_000),
    tpot_p95_ms=st.none() | st.floats(5, 500),
    e2e_p95_ms=st.none() | st.floats(500, 100_000),
)
histograms = st.lists(
    st.tuples(st.floats(1, 12_000), st.floats(1, 1500), st.floats(0.05, 1.0)), min_size=1, max_size=6
).map(
    lambda cells: TokenHistogram(
        np.array([cell[0] for cell in cells]),
        np.array([cell[1] for cell in cells]),
        np.array([cell[2] for cell in cells]) / sum(cell[2] for cell in cells),
    )
)


@given(deployment=deployments, tokens=histograms, slo=slos, looser=st.floats(1.0, 5.0))
@settings(max_examples=60, deadline=None)
def test_a_looser_slo_never_lowers_the_capacity(deployment, tokens, slo, looser):
    """Every target scaled up, or taken away, leaves at least the same rate."""
    targets = (slo.ttft_p95_ms, slo.tpot_p95_ms, slo.e2e_p95_ms)
    relaxed = Slo(*(None if target is None else target * looser for target in targets))
    base = capacity(deployment, tokens, slo)
    assert capacity(deployment, tokens, relaxed) >= base * (1 - TOLERANCE)
    assert capacity(deployment, tokens, Slo()) >= base * (1 - TOLERANCE)


def at_once(deployment, tokens, tpot_ms):
    """Requests that one deployment may run at a time."""
    return float(most_at_once(pack([deployment]), tokens, tpot_ms)[0])


@settings(max_examples=30, deadline=None)
@given(
    deployment=deployments, tokens=st.sampled_from((CHAT, CODE, FLAT)), target=st.floats(5, 200), looser=st.floats(1, 4)
)
def test_a_looser_time_per_token_never_allows_fewer_at_a_time(deployment, tokens, target, looser):
    """Nor does the size of the cache change their number."""
    fewer, more = (at_once(deployment, tokens, target * factor) for factor in (1, looser))
    larger = replace(deployment, kv_cache_bytes=deployment.kv_cache_bytes * 2)

    assert LEAST_AT_ONCE <= fewer <= more <= pack([deployment]).replicas.max_sequences[0]
    assert at_once(larger, tokens, target) == fewer


def test_one_more_at_a_time_would_make_too_many_slow():
    """A replica that an engine keeps full of 256 is too slow per token; at its limit it is not, at one more it is."""
    deployment = make_deployment(kv_cache_bytes=60 * GIB)
    packed, target = pack([deployment]), 30.0
    limit = at_once(deployment, FLAT, target)
    service = offer(packed, FLAT)
    shares = [
        RequestTimes(service, replace(state_at(service, batch), high_batch=batch)).slow_share(
            np.array([target / 1000])
        )[0]
        for batch in (np.array([limit]), np.array([limit + 1]))
    ]

    assert LEAST_AT_ONCE < limit < packed.replicas.max_sequences[0]
    assert shares[0] <= SLOW_WHEN_FULL < shares[1]


@given(deployment=deployments, tokens=histograms, slo=slos, more=st.floats(1.0, 4.0), what=st.sampled_from("bfmxl"))
@settings(max_examples=100, deadline=None)
def test_better_hardware_never_lowers_the_capacity(deployment, tokens, slo, more, what):
    """More bandwidth, FLOPs, memory, sequences or link speed leave at least the same rate."""
    accelerator = deployment.accelerator
    better = {
        "b": replace(accelerator, memory_bandwidth_gb_per_second=accelerator.memory_bandwidth_gb_per_second * more),
        "f": replace(accelerator, fp16_tflops=accelerator.fp16_tflops * more),
        "l": replace(accelerator, link_gb_per_second=accelerator.link_gb_per_second * more),
    }
    improved = replace(
        deployment,
        accelerator=better.get(what, accelerator),
        kv_cache_bytes=deployment.kv_cache_bytes * (more if what == "m" else 1),
        max_sequences=int(256 * more) if what == "x" else 256,
    )
    base = capacity(replace(deployment, max_sequences=256), tokens, slo)
    assert capacity(improved, tokens, slo) >= base * (1 - TOLERANCE)


@given(deployment=deployments, tokens=histograms, slope=st.floats(0.0, 2.0), share=st.floats(0.05, 1.0))
@settings(max_examples=60, deadline=None)
def test_what_the_capacity_promises_is_sustained_where_throughput_falls_with_the_batch(
    deployment, tokens, slope, share
):
    """Also where measurements say that more running requests serve fewer, any rate up to the capacity has a latency."""
    packed = pack([deployment])
    learned = Learned(slope * np.log(NODES)[None, :], np.ones(1))
    most = capacity_at_slo(packed, tokens, Slo(), learned).requests_per_second
    found = latency_at_rate(packed, tokens, most * share * (1 - TOLERANCE), learned)
    assert np.isfinite([found.ttft_p95_ms, found.tpot_p95_ms, found.e2e_p95_ms]).all()


@given(deployment=deployments, tokens=histograms, slo=slos, longer=st.floats(1.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_longer_prompts_never_raise_the_capacity(deployment, tokens, slo, longer):
    """Every prompt scaled up leaves at most the same rate."""
    stretched = replace(tokens, input_tokens=tokens.input_tokens * longer)
    assert capacity(deployment, stretched, slo) <= capacity(deployment, tokens, slo) * (1 + TOLERANCE)


@given(deployment=deployments, tokens=histograms, longer=st.floats(1.0, 3.0), target=st.floats(100, 20_000))
@settings(max_examples=60, deadline=None)
def test_longer_answers_never_raise_the_capacity_within_a_ttft(deployment, tokens, longer, target):
    """Every answer scaled up leaves at most the same rate (a TPOT target is apart: long answers even out stalls)."""
    slo = Slo(ttft_p95_ms=target)
    stretched = replace(tokens, output_tokens=tokens.output_tokens * longer)
    assert capacity(deployment, stretched, slo) <= capacity(deployment, tokens, slo) * (1 + TOLERANCE)


@given(deployment=deployments, tokens=histograms, share=st.floats(0.01, 0.9), more=st.floats(1.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_more_load_never_lowers_a_latency(deployment, tokens, share, more):
    """All three percentiles grow with the rate, and are infinite beyond what can be sustained.

    End to end to within 5 %: where one answer in twenty is longer than the others, its spread falls as its mean grows.
    """
    rate = share * capacity(deployment, tokens, Slo())
    low, high = latency(deployment, rate, tokens), latency(deployment, rate * more, tokens)
    assert np.all(high >= low * (1 - np.array([TOLERANCE, TOLERANCE, 0.05])))


@given(deployment=deployments, tokens=histograms, slo=slos)
@settings(max_examples=60, deadline=None)
def test_the_slo_holds_at_the_capacity(deployment, tokens, slo):
    """At the rate that was called the largest, no percentile is above its target."""
    rate = capacity(deployment, tokens, slo)
    if rate == 0:
        return
    targets = [np.inf if target is None else target for target in (slo.ttft_p95_ms, slo.tpot_p95_ms, slo.e2e_p95_ms)]
    assert np.all(latency(deployment, rate * (1 - TOLERANCE), tokens) <= np.array(targets) * (1 + 1e-3))


def test_a_deployment_too_slow_for_one_request_has_no_capacity_and_says_how_slow_it_is():
    """An impossible TTFT leaves 0 requests per second and reports the latency of a lone request."""
    found = capacity_at_slo(pack([make_deployment()]), CHAT, Slo(ttft_p95_ms=10.0))
    assert found.requests_per_second[0] == 0.0
    assert found.floor.ttft_p95_ms[0] > 10.0
    assert found.floor.ttft_p95_ms[0] == pytest.approx(latency(make_deployment(), 1e-6)[0], rel=1e-3)


def test_a_rate_beyond_the_capacity_has_no_finite_latency():
    """Twice the largest sustained rate never comes to rest."""
    assert np.all(np.isinf(latency(make_deployment(), 2 * capacity(make_deployment(), slo=Slo()))))


def test_many_deployments_at_once_are_the_same_as_one_by_one():
    """Packing does not mix them up."""
    fleet = [
        make_deployment(tensor_parallel=ranks, engine=engine) for ranks in (1, 2, 4) for engine in ("vLLM", "SGLang")
    ]
    together = capacity_at_slo(pack(fleet), CHAT, Slo(1000.0, 50.0)).requests_per_second
    assert together == pytest.approx([capacity(one) for one in fleet], rel=1e-9)


def simulated(deployment, tokens, rate):
    """(TTFT, TPOT, end-to-end) p95 in ms of a simulation step by step, with the fixed times that it leaves out."""
    packed = pack([deployment])
    replicas, constants = packed.replicas, packed.constants
    lengths = tokens.input_tokens[None, :]
    row = marginal_prefill_seconds(
        replicas.column(), constants.column(), lengths, lengths * tokens.prefix_cache_hit_ratio
    )[0]
    steps = decode_step_seconds(replicas, constants, np.arange(2000.0), length_points(tokens).resident_tokens)
    draft = (deployment.draft.tokens, deployment.draft.acceptance) if deployment.draft else (0, 0.0)
    engine = Engine(steps, row, lambda running: float(prompt_tokens_per_step(replicas, running)[0]), draft)
    found = simulate(engine, rate, tokens, seed=7)
    fixed_ms = 1000 * float((constants.step_wait * steps[1] + constants.request_s)[0])
    return np.array([found.ttft_p95_ms + fixed_ms, found.tpot_p95_ms, found.e2e_p95_ms + fixed_ms])


@pytest.mark.sampled(3)
@pytest.mark.parametrize("load", [0.3, 0.6], ids=["30 % of the largest rate", "60 %"])
@pytest.mark.parametrize("tokens", [CHAT, CODE, FLAT], ids=["chat", "code", "flat"])
def test_closed_forms_agree_with_a_simulation_of_continuous_batching(tokens, load):
    """All three percentiles are within 30 % of a simulation step by step.

    The simulation knows nothing of the formulas: it runs a queue, a chunk budget and a batch. 3,000 requests leave
    about 5 % of noise on a 95th percentile; the closed forms treat a step's prompts as served one after the other and
    the time per token as lognormal, which costs 10 to 20 % where answers are as short as a few steps.
    """
    rate = load * capacity(make_deployment(), tokens, Slo())
    expected = simulated(make_deployment(), tokens, rate)
    assert latency(make_deployment(), rate, tokens) == pytest.approx(expected, rel=0.30)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("tokens", [CHAT, CODE, FLAT], ids=["chat", "code", "flat"])
@pytest.mark.parametrize(
    ("changes", "hit_ratio"),
    [({"draft": head_draft(make_shape(), 3, 0.7)}, 0.0), ({}, 0.5), ({}, 0.9)],
    ids=["speculation", "half of the prompt cached", "most of the prompt cached"],
)
def test_speculation_and_cached_prompts_agree_with_the_simulation(tokens, changes, hit_ratio):
    """At 60 % of the largest rate all three percentiles are within 30 %, whatever is drafted or cached."""
    deployment, tokens = make_deployment(**changes), replace(tokens, prefix_cache_hit_ratio=hit_ratio)
    rate = 0.6 * capacity(deployment, tokens, Slo())
    assert latency(deployment, rate, tokens) == pytest.approx(simulated(deployment, tokens, rate), rel=0.30)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("budget", [512, 2048])
@pytest.mark.parametrize("tokens", [CHAT, CODE, FLAT], ids=["chat", "code", "flat"])
def test_a_stated_token_budget_agrees_with_the_simulation(tokens, budget):
    """Prompts and decodes share the budget: at 30 % of the largest rate all three percentiles are within 30 %."""
    deployment = make_deployment(max_batched_tokens=budget)
    rate = 0.3 * capacity(deployment, tokens, Slo())
    assert latency(deployment, rate, tokens) == pytest.approx(simulated(deployment, tokens, rate), rel=0.30)


def test_small_chunks_keep_short_answers_steady_and_make_first_tokens_wait():
    """512 tokens a step instead of 8,192 lower the slow tail of TPOT and raise TTFT, as in the simulation."""
    small, large = (make_deployment(max_batched_tokens=budget) for budget in (512, 8192))
    rate = 0.6 * capacity(large, CODE, Slo())
    for found in (
        [latency(one, rate, CODE) for one in (small, large)],
        [simulated(one, CODE, rate) for one in (small, large)],
    ):
        assert found[0][1] < 0.5 * found[1][1]
        assert found[0][0] > found[1][0]


@pytest.mark.sampled(2)
@given(deployment=deployments, tokens=histograms, slo=slos, hits=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)))
@settings(max_examples=30, deadline=None)
def test_more_cached_prompts_never_lower_the_capacity(deployment, tokens, slo, hits):
    """A higher hit ratio leaves at least the same rate within any targets, and no later first token at a given one."""
    few, many = (replace(tokens, prefix_cache_hit_ratio=ratio) for ratio in sorted(hits))
    assert capacity(deployment, many, slo) >= capacity(deployment, few, slo) * (1 - TOLERANCE)
    rate = 0.5 * capacity(deployment, few, Slo())
    assert latency(deployment, rate, many)[0] <= latency(deployment, rate, few)[0] * (1 + TOLERANCE)


@pytest.mark.sampled(2)
@given(deployment=deployments, tokens=histograms, rates=st.tuples(st.floats(0, 1), st.floats(0, 1)))
@settings(max_examples=30, deadline=None)
def test_a_better_draft_never_makes_tokens_slower(deployment, tokens, rates):
    """At a given rate a higher acceptance never raises TPOT."""
    poor, good = (replace(deployment, draft=head_draft(make_shape(), 4, rate)) for rate in sorted(rates))
    rate = 0.5 * capacity(poor, tokens, Slo())
    assert latency(good, rate, tokens)[1] <= latency(poor, rate, tokens)[1] * (1 + TOLERANCE)


def test_a_thinned_histogram_keeps_its_means():
    """Hundreds of cells become 20 points with the same mean prompt and answer."""
    rng = np.random.default_rng(3)
    tokens = TokenHistogram(rng.lognormal(6, 1, 500), rng.lognormal(5, 1, 500), rng.dirichlet(np.ones(500)))
    points = length_points(tokens)
    assert points.probability.size <= 20
    assert points.probability.sum() == pytest.approx(1.0)
    assert points.input_tokens @ points.probability == pytest.approx(tokens.mean_input_tokens())
    assert points.mean_output == pytest.approx(tokens.mean_output_tokens())
