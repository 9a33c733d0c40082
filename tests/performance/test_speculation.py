"""Speculative decoding: the expected length by hand, what drafting costs, and published speed-ups."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.performance import DraftModel, head_draft, model_draft
from advisor.performance.physics import tokens_per_step
from advisor.performance.regimes import Load, closed_loop, static_batch
from advisor.performance.setups import Setup, resolve
from performance.deployment_builders import make_deployment, make_shape, pack

EAGLE3_ON_QWEN3 = (
    ("Qwen/Qwen3-1.7B", 2.13, 1.64),
    ("Qwen/Qwen3-4B", 2.07, 1.70),
    ("Qwen/Qwen3-8B", 2.00, 1.72),
    ("Qwen/Qwen3-14B", 1.87, 1.65),
    ("Qwen/Qwen3-32B", 2.01, 1.85),
    ("Qwen/Qwen3-30B-A3B", 2.10, 1.46),
)
"""Model, tokens a step and speed-up of one user on GSM8K with vLLM; AngelSlim documentation, 2026-03-01. Neither the
accelerator nor the number of drafted tokens is stated: two on an H20 fit the tokens per second."""


def seconds_per_token(deployment, users=1.0, regime=closed_loop):
    """TPOT of 200 tokens in and 500 out."""
    packed = pack([deployment])
    return float(regime(packed.replicas, packed.constants, Load(*np.array([[users], [200.0], [500.0]]))).tpot_s[0])


def speed_up(deployment, draft, users=1.0):
    """TPOT without the draft over TPOT with it."""
    return seconds_per_token(deployment, users) / seconds_per_token(replace(deployment, draft=draft), users)


@pytest.mark.parametrize(
    ("tokens", "acceptance", "expected"),
    [(0, 0.0, 1.0), (3, 0.0, 1.0), (3, 1.0, 4.0), (2, 0.5, 1.75), (4, 0.8, 3.3616)],
    ids=["no draft", "never right", "always right", "1 + 1/2 + 1/4", "1 + 0.8 + 0.64 + 0.512 + 0.4096"],
)
def test_the_expected_tokens_of_a_step(tokens, acceptance, expected):
    """A step yields one token, and each drafted one with the probability that all up to it are accepted."""
    replicas = pack([make_deployment(draft=DraftModel(tokens, acceptance))]).replicas
    assert float(tokens_per_step(replicas)[0]) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "length", "measured"), EAGLE3_ON_QWEN3)
def test_published_speed_ups_of_one_user(name, length, measured):
    """EAGLE-3 on six models of 1.7 to 32 billion parameters is predicted within 12 %."""
    deployment = resolve(Setup(name, "H20", 1, precision="bf16", engine="vLLM"), load_catalog()).deployment
    acceptance = (math.sqrt(4 * length - 3) - 1) / 2  # 1 + a + a² = length
    draft = head_draft(deployment.shape, 2, acceptance)
    assert speed_up(deployment, draft) == pytest.approx(measured, rel=0.12)


def test_speculation_stops_paying_when_the_batch_is_large():
    """Drafting with look-ups that are seldom right gains with one user and loses with 512."""
    draft = DraftModel(tokens=4, acceptance=0.3)
    assert speed_up(make_deployment(), draft) > 1.3
    assert speed_up(make_deployment(), draft, users=512.0) < 0.8


def test_a_dearer_draft_gains_less():
    """A look-up costs nothing, a head one layer, a model all of its layers."""
    shape = make_shape()
    small = make_shape(params_total=1e9, params_active=1e9, n_layers=16)
    drafts = (DraftModel(4, 0.7), head_draft(shape, 4, 0.7), model_draft(small, 4, 0.7))
    gains = [speed_up(make_deployment(), draft) for draft in drafts]
    assert gains == sorted(gains, reverse=True)


def test_verifying_more_tokens_hits_more_experts():
    """With a mixture of experts the same acceptance gains less than with a dense model of as many active parameters."""
    sparse = make_shape(params_total=60e9, n_experts=128, experts_per_token=4, expert_params=14e6, moe_layers=32)
    draft = DraftModel(tokens=4, acceptance=0.7)
    dense_gain = speed_up(make_deployment(), draft)
    assert speed_up(make_deployment(shape=sparse, weight_bytes=120e9), draft) < 0.8 * dense_gain


@given(
    rates=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    users=st.floats(1, 1000),
    tokens=st.integers(1, 8),
    regime=st.sampled_from([closed_loop, static_batch]),
)
def test_a_better_draft_never_makes_tokens_slower(rates, users, tokens, regime):
    """A higher acceptance never raises TPOT, with any number of users."""
    poor, good = (make_deployment(draft=head_draft(make_shape(), tokens, rate)) for rate in sorted(rates))
    assert seconds_per_token(good, users, regime) <= seconds_per_token(poor, users, regime) * (1 + 1e-12)
