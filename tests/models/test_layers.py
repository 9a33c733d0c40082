"""Parts of a layer with every option, counted weight by weight as the matrices of the networks are shaped."""

import pytest

from advisor.models.layers import (
    AttentionOptions,
    FeedForward,
    Heads,
    LatentHeads,
    Layer,
    Mixer,
    MixerKind,
    attention,
    dense,
    latent_attention,
)

HIDDEN = 100
HEADS = Heads(count=8, kv_count=2, dim=10, value_dim=6)
QUERIES, KEYS, VALUES, OUTPUT = 8 * 10, 2 * 10, 2 * 6, 8 * 6
"""Rows of the four projections, one after the other."""


@pytest.mark.parametrize(
    ("options", "matrices", "others", "cached", "kv"),
    [
        ({}, 100 * (80 + 20 + 12 + 48), 0, 20 + 12, 100 * 32),
        ({"output_gate": True}, 100 * (160 + 20 + 12 + 48), 0, 32, 3200),
        ({"qkv_bias": True}, 16_000, 80 + 20 + 12, 32, 3200),
        ({"qkv_bias": True, "output_gate": True}, 24_000, 160 + 20 + 12, 32, 3200),
        ({"output_bias": True}, 16_000, 100, 32, 3200),
        ({"norm_parameters": 7, "sinks": True}, 16_000, 7 + 8, 32, 3200),
        ({"qkv_bias": True, "output_bias": True, "norm_parameters": 7}, 16_000, 112 + 100 + 7, 32, 3200),
        ({"values_are_keys": True}, 100 * (80 + 20 + 48), 0, 32, 100 * 20),
        ({"values_are_keys": True, "qkv_bias": True}, 14_800, 80 + 20, 32, 2000),
        ({"borrows_cache": True}, 100 * (80 + 48), 0, 0, 0),
        ({"borrows_cache": True, "qkv_bias": True, "extra_cache_elements": 9}, 12_800, 80, 0, 0),
        ({"extra_parameters": 13, "extra_cache_elements": 9, "window_tokens": 64}, 16_013, 0, 41, 3200),
    ],
)  # fmt: skip
def test_attention_weight_by_weight(options, matrices, others, cached, kv):
    """Projections of queries, keys, values and output, their biases and norms, and what a token leaves in the cache."""
    mixer = attention(HIDDEN, HEADS, AttentionOptions(**options))

    assert (mixer.matrix_parameters, mixer.other_parameters) == (matrices, others)
    assert (mixer.cache_elements, mixer.kv_parameters, mixer.kv_heads) == (cached, kv, 2)
    assert mixer.parameters == matrices + others
    assert mixer.window_tokens == options.get("window_tokens", 0)
    assert mixer.width == (8 * 10 + 8 * 6) / 2
    assert isinstance(mixer.width, int)


@pytest.mark.parametrize(
    ("query_rank", "options", "matrices", "others"),
    [
        # queries 100 × 8 × 15, compressed 100 × 25, up to keys and values 20 × 8 × 18, output 8 × 8 × 100
        (0, {}, 12_000 + 2_500 + 2_880 + 6_400, 20),
        # queries 100 × 30 and 30 × 8 × 15; norms on both ranks
        (30, {}, 3_000 + 3_600 + 2_500 + 2_880 + 6_400, 30 + 20),
        # biases on what is compressed (30 + 25), and on the output
        (30, {"qkv_bias": True, "output_bias": True, "norm_parameters": 3}, 18_380, 50 + 55 + 100 + 3),
        (0, {"qkv_bias": True}, 23_780, 20 + 25),
        (0, {"extra_parameters": 11, "extra_cache_elements": 4, "window_tokens": 9}, 23_791, 20),
    ],
)  # fmt: skip
def test_latent_attention_weight_by_weight(query_rank, options, matrices, others):
    """Queries directly or through a rank of their own, and one compressed vector for keys and values of all heads."""
    heads = LatentHeads(count=8, query_rank=query_rank, kv_rank=20, nope_dim=10, rope_dim=5, value_dim=8)
    mixer = latent_attention(HIDDEN, heads, AttentionOptions(**options))

    assert mixer.kind is MixerKind.LATENT
    assert (mixer.matrix_parameters, mixer.other_parameters) == (matrices, others)
    assert mixer.cache_elements == 20 + 5 + options.get("extra_cache_elements", 0)
    assert mixer.replicated_parameters == 100 * (query_rank + 25) + options.get("extra_parameters", 0)
    assert (mixer.kv_heads, mixer.window_tokens) == (1, options.get("window_tokens", 0))
    assert mixer.width == 8 * (10 + 5 + 8) / 2
    assert isinstance(mixer.width, int)


def test_a_dense_network_with_and_without_a_gate():
    """Two matrices or three, and a bias for every row of each."""
    assert dense(100, 40, 2).parameters == dense(100, 40, 2).parameters_active == 2 * 100 * 40
    assert dense(100, 40, 3, bias=True).parameters == 3 * 100 * 40 + 40 + 40 + 100
    assert dense(100, 40, 2, bias=True).other_parameters == 40 + 100


def test_experts_are_counted_all_and_met_a_few():
    """Eight of (50 + 2) of which a token meets two, beside what each token passes through."""
    network = FeedForward(
        matrix_parameters=300, other_parameters=7, router_parameters=11, experts=8, experts_per_token=2,
        expert_matrix_parameters=50, expert_other_parameters=2,
    )  # fmt: skip
    assert network.parameters == 300 + 7 + 11 + 8 * 52
    assert network.parameters_active == 300 + 7 + 11 + 2 * 52


def test_a_layer_is_its_parts_and_either_may_be_absent():
    """Norms and extra matrices stand there without mixer and feed-forward network too."""
    mixer = Mixer(MixerKind.RECURRENT, 40, 3, state_elements=10, state_element_bytes=4, convolution_elements=6)
    network = FeedForward(20, 1, experts=4, experts_per_token=1, expert_matrix_parameters=5)

    whole, alone = Layer(mixer, network, 8, extra_parameters=2), Layer(None, None, 8, extra_parameters=2)
    assert (whole.parameters, whole.parameters_active) == (8 + 2 + 43 + 21 + 20, 8 + 2 + 43 + 21 + 5)
    assert (alone.parameters, alone.parameters_active) == (10, 10)
    assert mixer.state_bytes == 10 * 4 + 6 * 2
