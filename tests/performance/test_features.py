"""What the learned residual looks at: finite everywhere, and blind to what would break the physics' order."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.performance import DraftModel
from advisor.performance.calibration import FEATURES, PARTS, features
from advisor.performance.deployments import TRAITS, traits_of
from advisor.performance.regimes import Load
from performance.deployment_builders import catalogued, make_accelerator, make_deployment, pack


def row_of(deployment, users=1.0, lengths=(1024.0, 256.0), hits=0.0):
    """Features of one question, by name."""
    load = Load(*np.array([[users], [lengths[0]], [lengths[1]]]), hits)
    return dict(zip(FEATURES, features(pack([deployment]), load)[0].tolist(), strict=True))


@given(
    prompt=st.floats(1, 100_000), answer=st.floats(1, 10_000), hits=st.floats(0, 0.99), users=st.floats(1, 10_000)
)  # fmt: skip
@settings(max_examples=20)
def test_every_catalogued_set_up_has_finite_features(prompt, answer, hits, users):
    """No ratio of any accelerator and kind of model is infinite or undefined, whatever the lengths."""
    packed = pack([setup.deployment for setup in catalogued()])
    shape = packed.origin.shape
    load = Load(*(np.full(shape, number) for number in (users, prompt, answer)), hits)
    assert np.isfinite(features(packed, load)).all()


@pytest.mark.parametrize("change", [{"users": 4096.0}, {}], ids=["users", "bandwidth"])
def test_neither_users_nor_bandwidth_are_looked_at(change):
    """A learned factor that depended on them could turn the physics' order around."""
    fast = make_accelerator(memory_bandwidth_gb_per_second=20_000.0)
    deployment = make_deployment() if change else make_deployment(accelerator=fast)
    assert row_of(deployment, **change) == row_of(make_deployment())


def test_shares_of_a_step_add_up():
    """The parts of a decode step, with one and with many sequences, are all of it."""
    found = row_of(make_deployment(tensor_parallel=4))
    for batch in (1, 64):
        assert sum(found[f"{part}_share_at_{batch}"] for part in PARTS) == pytest.approx(1.0, abs=1e-5)


def test_a_name_makes_no_difference():
    """Two models, or accelerators, that differ in nothing but their name have the same features."""
    renamed = replace(make_deployment(), accelerator=make_accelerator(name="H100-PCIE"), family="other")
    assert row_of(renamed) == row_of(make_deployment())


def test_speculation_shows_in_the_parts_of_a_step():
    """Verifying drafted tokens is more arithmetic in the same step."""
    drafted = row_of(make_deployment(draft=DraftModel(4, 0.7)))
    assert drafted["arithmetic_share_at_64"] > row_of(make_deployment())["arithmetic_share_at_64"]


@pytest.mark.parametrize(
    ("engine", "part", "expected"),
    [
        ("vLLM", {}, {"engine_vllm", "generation_hopper"}),
        ("NVIDIA NIM (TensorRT-LLM)", {"architecture": "Ampere"}, {"engine_trtllm", "generation_ampere"}),
        ("FooServe", {"vendor": "acme", "architecture": "X"}, {"engine_other"}),
    ],
    ids=["known", "by a word of it", "unknown"],
)
def test_kinds_of_engine_and_hardware(engine, part, expected):
    """Each kind is 1 where it applies; what is unknown is of no kind, and its engine is another one."""
    found = traits_of([make_deployment(engine=engine, accelerator=make_accelerator(**part))])[0]
    assert {name for name, value in zip(TRAITS, found, strict=True) if value} - {
        "version_known",
        "years_of_version",
    } == expected
