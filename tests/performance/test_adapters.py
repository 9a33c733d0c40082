"""Time that LoRA adapters add to a step: their bytes, their arithmetic, their kernels, and what is copied first."""

import numpy as np
import pytest

from advisor.demand.values import TokenHistogram
from advisor.performance import AdapterLoad
from advisor.performance.calibration import features
from advisor.performance.model import shipped_model
from advisor.performance.physics import (
    decode_parts,
    decode_step_seconds,
    marginal_prefill_seconds,
    prefill_parts,
    prefill_seconds,
)
from advisor.performance.regimes import Load
from advisor.performance.steps import step_times
from performance.deployment_builders import make_deployment, pack
from performance.test_physics import IDEAL, replicas, step

BYTES = 80e6


def load(**changes):
    """24 adapters of 80 MB, which cost no more than their bytes and FLOPs."""
    fields = {"count": 24, "bytes_per_accelerator": BYTES, "step_ratio": 1.0, "miss_ratio": 0.0} | changes
    return AdapterLoad(**fields)


def test_each_active_adapter_is_read_once_a_step():
    """A lone sequence reads one of 80 MB at 3.35 TB/s, sixteen read 24 × (1 - (23 / 24)^16) = 11.9 of them."""
    lone = step(1, 0.0, adapters=load()) - step(1, 0.0)
    sixteen = step(16, 0.0, adapters=load()) - step(16, 0.0)

    assert lone == pytest.approx(BYTES / 3.35e12, rel=0.01)
    assert sixteen == pytest.approx(24 * (1 - (23 / 24) ** 16) * BYTES / 3.35e12, rel=0.05)


def test_a_prompt_reads_one_adapter_and_multiplies_by_it():
    """10,000 tokens × 80 MB, which are as many FLOP at 2 bytes a parameter, at 989 TFLOP/s: 0.81 ms."""
    tokens = np.array([10_000.0])
    more = marginal_prefill_seconds(replicas(adapters=load()), IDEAL, tokens)
    less = marginal_prefill_seconds(replicas(), IDEAL, tokens)

    assert float((more - less)[0]) == pytest.approx(10_000 * BYTES / 989e12)


def test_a_missed_adapter_is_copied_before_its_prompt():
    """A third of the requests wait for 80 MB over PCIe 3.0: 1.67 ms on average, whatever the prompt."""
    tokens = np.array([10.0, 5000.0])
    more = marginal_prefill_seconds(replicas(adapters=load(miss_ratio=1 / 3)), IDEAL, tokens)
    less = marginal_prefill_seconds(replicas(adapters=load()), IDEAL, tokens)

    assert (more - less).tolist() == pytest.approx([BYTES / 16e9 / 3] * 2)


@pytest.mark.parametrize("adapters", [None, load(step_ratio=1.3)])
def test_parts_sum_to_the_whole(adapters):
    """Of a step and of a prompt, with adapters and without."""
    packed = pack([make_deployment(adapters=adapters)])
    r, c = packed.replicas, packed.constants
    batch, tokens = np.array([12.0]), np.array([900.0])

    assert sum(decode_parts(r, c, batch, 700.0).values()) == pytest.approx(decode_step_seconds(r, c, batch, 700.0))
    assert sum(prefill_parts(r, c, tokens).values()) == pytest.approx(prefill_seconds(r, c, tokens))


@pytest.mark.parametrize(
    "more", [{"count": 48}, {"bytes_per_accelerator": 2 * BYTES}, {"step_ratio": 1.3}, {"miss_ratio": 0.5}]
)
def test_more_of_anything_takes_longer(more):
    """A step of sixteen sequences and a prompt together."""

    def seconds(adapters):
        r, tokens = replicas(adapters=adapters), np.array([500.0])
        whole = decode_step_seconds(r, IDEAL, np.array([16.0]), 500.0) + marginal_prefill_seconds(r, IDEAL, tokens)
        return float(whole[0])

    assert seconds(None) < seconds(load()) < seconds(load(**more))


def test_what_was_learned_without_adapters_is_asked_without_them():
    """The features of the learned factors are those of the base."""
    lengths = Load(np.array([1.0]), np.array([800.0]), np.array([200.0]), np.array([0.0]))
    base, adapted = (features(pack([make_deployment(adapters=adapters)]), lengths) for adapters in (None, load()))

    assert (base == adapted).all()


def test_a_replay_counts_the_copies():
    """The table that a replay reads begins each prompt with the mean wait."""
    tokens = TokenHistogram(np.array([800.0]), np.array([200.0]), np.array([1.0]))
    times = [
        step_times(make_deployment(adapters=adapters), shipped_model(), tokens, 2000)
        for adapters in (load(), load(miss_ratio=0.5))
    ]

    assert times[1].begin_s - times[0].begin_s == pytest.approx(0.5 * BYTES / 16e9)
    assert times[1].prompt_s == pytest.approx(times[0].prompt_s)
