"""Bytes, FLOPs and messages of one step, against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.performance.deployments import link_bytes_per_second
from advisor.performance.physics import (
    Constants,
    attended_tokens,
    decode_step_seconds,
    distinct_experts,
    kv_bytes_per_sequence,
    marginal_prefill_seconds,
    memory_batch,
    prefill_seconds,
)
from performance.deployment_builders import GIB, make_accelerator, make_deployment, make_shape, pack

IDEAL = Constants(
    weight_read=1.0,
    kv_read=1.0,
    gemm=1.0,
    attention=1.0,
    link_bytes=1.0,
    link_hop_s=0.0,
    layer_s=0.0,
    moe_layer_s=0.0,
    step_s=0.0,
    sequence_s=0.0,
    prompt_token_s=0.0,
    request_s=0.0,
    prefill_mix=1.0,
    step_wait=0.0,
    burst=0.0,
    moe_gemm=1.0,
)
"""Hardware that reaches its peaks and software that costs nothing."""


def replicas(**changes):
    """One deployment as arrays."""
    return pack([make_deployment(**changes)]).replicas


def step(batch, context, constants=IDEAL, **changes):
    """Seconds of a decode step of one deployment."""
    return float(decode_step_seconds(replicas(**changes), constants, np.array([float(batch)]), context)[0])


def test_a_lone_decode_step_reads_every_weight_but_the_embedding_once():
    """8.0e9 parameters less 128,000 × 4,096 of the embedding, at 2 bytes and 3.35 TB/s: 4.463 ms (context 0)."""
    expected = (8.0e9 - 128_000 * 4096) * 2 / 3.35e12
    assert step(1, 0.0) == pytest.approx(expected, rel=1e-3)


def test_the_cache_is_read_once_per_sequence():
    """64 sequences of 1,000 tokens × 65,536 elements × 2 bytes at 3.35 TB/s: 2.504 ms on top of the weights."""
    extra = step(64, 1000.0) - step(64, 0.0)
    assert extra == pytest.approx(64 * 1000 * 65_536 * 2 / 3.35e12, rel=1e-6)


def test_a_large_batch_is_bound_by_arithmetic():
    """At 100,000 sequences without context the step takes 2 × active × batch / peak, within 1 %."""
    expected = 2 * (8.0e9 - 128_000 * 4096) * 100_000 / 989e12
    assert step(100_000, 0.0) == pytest.approx(expected, rel=0.01)


def test_prefill_flops_follow_the_prompt():
    """8,192 tokens: 2 × 7.4757e9 × 8,192 + 2 × 8,192² × 131,072 FLOP at 989 TFLOP/s, weights negligible: 141.6 ms."""
    expected = (2 * (8.0e9 - 128_000 * 4096) * 8192 + 2 * 8192**2 * 131_072) / 989e12
    assert float(prefill_seconds(replicas(), IDEAL, 8192.0)[0]) == pytest.approx(expected, rel=1e-3)


def test_one_more_prompt_pays_neither_weights_nor_launches():
    """The marginal prefill of a short prompt is far below its prefill alone, which reads all weights."""
    alone = float(prefill_seconds(replicas(), IDEAL, 16.0)[0])
    assert float(marginal_prefill_seconds(replicas(), IDEAL, 16.0)[0]) < 0.1 * alone


def test_tensor_parallel_sends_two_all_reduces_a_layer():
    """4 ranks, 10 tokens: 2 × 32 × 2 × 3/4 × 10 × 4,096 × 2 bytes over 450 GB/s: 17.5 us on top of a quarter."""
    quarter = step(10, 0.0) / 4
    expected = quarter + 2 * 32 * 2 * 0.75 * 10 * 4096 * 2 / 450e9
    assert step(10, 0.0, tensor_parallel=4) == pytest.approx(expected, rel=1e-6)


def test_experts_are_reached_all_to_all():
    """4 ranks that each hold all of attention, 40 tokens, 2 experts a token of 64 in 32 layers, bf16.

    A rank sends its 10 tokens to 3 × (1 - (3/4)²) = 1.3125 others and gets them back: 32 × 2 × 10 × 1.3125 × 4,096 × 2
    bytes over 450 GB/s: 15.3 us, where two all-reduces a layer of all tokens take 69.9 us.
    """
    shape = make_shape(n_experts=64, experts_per_token=2, expert_params=3e6, moe_layers=32)
    apart = {"shape": shape, "attention_data_parallel": 4}
    reduced = 2 * 32 * 2 * 0.75 * 40 * 4096 * 2 / 450e9
    routed = 32 * 2 * 10 * 1.3125 * 4096 * 2 / 450e9
    saved = step(40, 0.0, **apart) - step(40, 0.0, expert_parallel=4, **apart)
    assert saved == pytest.approx(reduced - routed, rel=1e-6)


@pytest.mark.parametrize("changes", [{"tensor_parallel": 4}, {}], ids=["attention is split", "one rank"])
def test_expert_parallel_without_data_parallel_changes_nothing(changes):
    """Where each rank holds a part of every head its tokens are on all ranks anyway."""
    shape = make_shape(n_experts=64, experts_per_token=2, expert_params=3e6, moe_layers=32)
    assert step(40, 0.0, shape=shape, expert_parallel=4, **changes) == step(40, 0.0, shape=shape, **changes)


def test_cached_tokens_need_no_prefill_but_are_attended_to():
    """2,048 tokens after 6,144 cached ones: their own products, and attention of 8,192 less that of 6,144 tokens."""
    expected = 2 * (8.0e9 - 128_000 * 4096) * 2048 + 2 * (8192**2 - 6144**2) * 131_072
    found = float(marginal_prefill_seconds(replicas(), IDEAL, 8192.0, 6144.0)[0])
    assert found == pytest.approx(expected / 989e12, rel=1e-6)


def test_widened_weights_are_read_small_and_multiplied_slowly():
    """4.5-bit weights in bf16 arithmetic: a lone step reads less than a third, a long prompt takes 1.22 times as long."""
    stored = 8.0e9 * 4.5 / 8 + 128_000 * 4096 * 2 * (2 - 4.5 / 8)
    assert step(1, 0.0, weight_bytes=stored) < 0.5 * step(1, 0.0)
    widened, plain = (
        float(prefill_seconds(replicas(**changes), IDEAL, 8192.0)[0]) for changes in ({"weight_bytes": stored}, {})
    )
    products = 2 * (8.0e9 - 128_000 * 4096) * 8192 / 989e12
    assert widened - plain == pytest.approx(0.22 * products, rel=0.02)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(1.0, 8.0), (2.0, 8 + 8 * (1 - 8 / 256)), (1e6, 256.0)],
    ids=["one token hits its own", "two overlap by chance", "all in the end"],
)
def test_distinct_experts(tokens, expected):
    """Of 256 experts with 8 a token, the expected number hit grows from 8 to all."""
    found = distinct_experts(np.array([256.0]), np.array([8.0]), tokens)
    assert float(found[0]) == pytest.approx(expected, rel=1e-9)


def test_a_dense_model_hits_no_expert():
    """Zero experts are zero, not NaN."""
    assert float(distinct_experts(np.array([0.0]), np.array([0.0]), 5.0)[0]) == 0.0


@given(
    tokens=st.floats(1, 100_000),
    shares=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    window=st.sampled_from([0, 1000]),
    ranks=st.sampled_from([1, 4]),
)
def test_more_cached_tokens_never_lengthen_a_prefill(tokens, shares, window, ranks):
    """A prompt of which more is cached is prefilled no later, on an idle and in a busy replica."""
    shape = make_shape(window_tokens=window, window_kv_share=0.5 if window else 0.0)
    packed = pack([make_deployment(shape=shape, tensor_parallel=ranks)])
    few, many = (tokens * share for share in sorted(shares))
    for prefill in (prefill_seconds, marginal_prefill_seconds):
        later, sooner = (prefill(packed.replicas, packed.constants, tokens, cached)[0] for cached in (few, many))
        assert sooner <= later * (1 + 1e-12)


def test_a_window_limits_what_half_the_layers_attend_to():
    """Window 1,000 for half of the cache: a context of 9,000 counts as 5,000."""
    shape = make_shape(window_tokens=1000, window_kv_share=0.5)
    assert float(attended_tokens(replicas(shape=shape), 9000.0)[0]) == pytest.approx(5000.0)


@pytest.mark.parametrize(
    ("changes", "tensor_parallel", "copies"),
    [({}, 8, 1), ({"n_kv_heads": 2}, 8, 4), ({"is_mla": True, "n_kv_heads": 1}, 4, 4), ({"is_mla": True}, 1, 1)],
    ids=["heads enough", "two heads on eight ranks", "latent on four ranks", "latent alone"],
)
def test_ranks_without_a_head_of_their_own_hold_a_copy(changes, tensor_parallel, copies):
    """The cache of one sequence in the replica counts every copy."""
    found = kv_bytes_per_sequence(replicas(shape=make_shape(**changes), tensor_parallel=tensor_parallel), 100.0)
    assert float(found[0]) == pytest.approx(100 * 65_536 * 2 * copies)


def test_the_memory_holds_a_whole_number_of_sequences_worth_of_cache():
    """50 GiB ÷ (65,536 × 2 bytes × 4,096 tokens) = 100 sequences."""
    assert float(memory_batch(replicas(), 4096.0)[0]) == pytest.approx(50 * GIB / (65_536 * 2 * 4096))


def test_layer_split_neither_communicates_nor_speeds_up():
    """llama.cpp on four accelerators decodes as fast as on one: they take turns."""
    alone = step(1, 500.0, engine="llama.cpp")
    assert step(1, 500.0, engine="llama.cpp", tensor_parallel=4) == pytest.approx(alone)


def test_a_pipeline_holds_more_but_answers_no_sooner():
    """One sequence passes both stages one after the other."""
    assert step(1, 0.0, pipeline_parallel=2) == pytest.approx(step(1, 0.0))
    assert step(64, 0.0, pipeline_parallel=2) < step(64, 0.0) * 1.01


@pytest.mark.parametrize(
    ("kind", "interconnect", "accelerators", "expected"),
    [
        ("nvlink4", "", 8, 450e9),
        ("nvlink4", "pcie", 2, 32e9),
        ("nvlink3 bridge (pair) else pcie4 32", "", 2, 450e9),
        ("nvlink3 bridge (pair) else pcie4 32", "", 4, 32e9),
    ],
    ids=["own link", "instance joins by PCIe only", "bridged pair", "more than a bridge joins"],
)
def test_the_link_between_accelerators(kind, interconnect, accelerators, expected):
    """What joins the accelerators depends on the instance and on how many there are."""
    found = link_bytes_per_second(make_accelerator(link_kind=kind), interconnect, accelerators)
    assert found == pytest.approx(expected)


def test_an_unknown_link_is_taken_as_slow_pcie():
    """Nothing known is not infinite: 16 GB/s."""
    assert link_bytes_per_second(make_accelerator(link_gb_per_second=None, link_kind=""), "", 2) == 16e9


def test_an_unknown_peak_is_refused():
    """Packing a deployment whose precision has no peak is an error, never a zero."""
    with pytest.raises(ValueError, match="nvfp4"):
        pack([make_deployment(compute_precision="nvfp4")])


@given(
    batch=st.floats(1, 2000),
    more=st.floats(1.0, 4.0),
    context=st.floats(1, 30_000),
    ranks=st.sampled_from([1, 2, 4, 8]),
    experts=st.booleans(),
)
def test_a_step_never_gets_faster_with_more_work(batch, more, context, ranks, experts):
    """More sequences or longer ones never shorten a step; the time per sequence never grows with the batch."""
    moe = {"n_experts": 64, "experts_per_token": 4, "expert_params": 3e6, "moe_layers": 32}
    shape = make_shape(**moe) if experts else make_shape()
    packed = pack([make_deployment(shape=shape, tensor_parallel=ranks)])

    def seconds(sequences, tokens):
        return float(decode_step_seconds(packed.replicas, packed.constants, np.array([sequences]), tokens)[0])

    base = seconds(batch, context)
    assert seconds(batch * more, context) >= base * (1 - 1e-12)
    assert seconds(batch, context * more) >= base * (1 - 1e-12)
    assert seconds(batch * more, context) / more <= base * (1 + 1e-9)
