"""Prefill and decoding apart: invariants, and a simulation of the two stages one after the other."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.performance.disaggregation import (
    Pool,
    best_split,
    disaggregated,
    latency_of_pool,
    transfer_seconds,
)
from advisor.performance.physics import decode_step_seconds, marginal_prefill_seconds
from advisor.performance.points import length_points
from advisor.performance.serving import capacity_at_slo
from advisor.workload.values import Slo
from performance.deployment_builders import make_deployment, pack
from performance.simulator import REQUESTS, Engine, percentiles, serve
from performance.test_serving import CHAT, CODE, FLAT, deployments, histograms, slos

LINK = 50e9
POOL = Pool(prefill_replicas=2, decode_replicas=2, link_bytes_per_second=LINK)


def rate_of(deployment, tokens, slo, pool=POOL):
    """Requests per second of a pool of one deployment."""
    return float(disaggregated(pack([deployment]), tokens, slo, pool).requests_per_second[0])


def simulated(tokens, pool, rate):
    """(TTFT, TPOT, end-to-end) p95 in ms: random arrivals, sent to a random replica of each stage in turn."""
    packed, rng = pack([make_deployment()]), np.random.default_rng(7)
    lengths = tokens.input_tokens[None, :]
    row = marginal_prefill_seconds(packed.replicas.column(), packed.constants.column(), lengths)[0]
    context = length_points(tokens).resident_tokens
    steps = decode_step_seconds(packed.replicas, packed.constants, np.arange(2000.0), context)
    kind = rng.choice(tokens.probability.size, REQUESTS, p=tokens.probability)
    arrival = np.cumsum(rng.exponential(1 / rate, REQUESTS))
    prompts = replace(tokens, output_tokens=np.ones_like(tokens.output_tokens))
    answers = replace(tokens, prefix_cache_hit_ratio=1.0)
    first, last = np.zeros(REQUESTS), np.zeros(REQUESTS)
    chosen = rng.integers(pool.prefill_replicas, size=REQUESTS)
    for replica in range(pool.prefill_replicas):
        mine = np.flatnonzero(chosen == replica)
        first[mine] = serve(Engine(steps, row), prompts, kind[mine], arrival[mine], rng)[0]
    sent = np.array([float(transfer_seconds(packed.replicas, length, pool)[0]) for length in tokens.input_tokens])
    ready = first + sent[kind]
    order, chosen = np.argsort(ready), rng.integers(pool.decode_replicas, size=REQUESTS)
    for replica in range(pool.decode_replicas):
        mine = order[chosen[order] == replica]
        last[mine] = serve(Engine(steps, np.zeros_like(row)), answers, kind[mine], ready[mine], rng)[1]
    found = percentiles(tokens, kind, (ready - arrival, last - ready, last - arrival))
    fixed_ms = 1000 * float((packed.constants.step_wait * steps[1] + packed.constants.request_s)[0])
    return np.array([found.ttft_p95_ms + fixed_ms, found.tpot_p95_ms, found.e2e_p95_ms + 2 * fixed_ms])


@pytest.mark.parametrize("load", [0.3, 0.6], ids=["30 % of the largest rate", "60 %"])
@pytest.mark.parametrize("tokens", [CHAT, CODE, FLAT], ids=["chat", "code", "flat"])
def test_the_pool_agrees_with_a_simulation_of_its_stages(tokens, load):
    """TTFT and TPOT p95 are within 30 % of the simulation; end to end, where both are added up, never far below it."""
    prefill = int(best_split(pack([make_deployment()]), tokens, Slo(), POOL)[0])
    pool = Pool(prefill, 4 - prefill, LINK)
    rate = load * rate_of(make_deployment(), tokens, Slo(), pool)
    found = latency_of_pool(pack([make_deployment()]), tokens, np.array([rate]), pool)
    expected = simulated(tokens, pool, rate)
    assert [found.ttft_p95_ms[0], found.tpot_p95_ms[0]] == pytest.approx(expected[:2], rel=0.30)
    assert 0.9 < found.e2e_p95_ms[0] / expected[2] < 1.4


def test_prompts_do_not_stall_answers():
    """Within a tight TPOT two and two replicas apart serve more than four that do both; within a loose one they don't."""
    tight, loose = Slo(ttft_p95_ms=1000.0, tpot_p95_ms=12.0), Slo(ttft_p95_ms=1000.0, tpot_p95_ms=100.0)
    packed = pack([make_deployment()])
    together = {slo: 4 * float(capacity_at_slo(packed, CHAT, slo).requests_per_second[0]) for slo in (tight, loose)}
    assert rate_of(make_deployment(), CHAT, tight) > 1.5 * together[tight]
    assert rate_of(make_deployment(), CHAT, loose) < together[loose]


def test_the_best_split_follows_the_lengths():
    """Long prompts with short answers want more prefill replicas than short prompts with long answers."""
    packed, pool = pack([make_deployment()]), Pool(4, 4, LINK)
    assert best_split(packed, CODE, Slo(), pool)[0] > best_split(packed, FLAT, Slo(), pool)[0]


def test_the_transfer_of_a_prompt_s_cache():
    """1,000 tokens × 65,536 elements × 2 bytes over 50 GB/s: 2.62 ms, however many ranks hold copies of a head."""
    replicas = pack([make_deployment(), make_deployment(tensor_parallel=16)]).replicas
    assert transfer_seconds(replicas, 1000.0, POOL) == pytest.approx([0.00262144, 0.00262144])


@given(deployment=deployments, tokens=histograms, slo=slos, more=st.floats(1.0, 20.0), link=st.floats(1e8, 1e11))
@settings(max_examples=40, deadline=None)
def test_a_faster_link_never_lowers_the_rate(deployment, tokens, slo, more, link):
    """More bytes per second between the sides leave at least the same rate and no later first token."""
    slow, fast = Pool(2, 2, link), Pool(2, 2, link * more)
    base = rate_of(deployment, tokens, slo, slow)
    assert rate_of(deployment, tokens, slo, fast) >= base * (1 - 1e-4)
    rates = np.array([0.5 * rate_of(deployment, tokens, Slo(), slow)])
    before, after = (latency_of_pool(pack([deployment]), tokens, rates, pool).ttft_p95_ms[0] for pool in (slow, fast))
    assert after <= before * (1 + 1e-4)
