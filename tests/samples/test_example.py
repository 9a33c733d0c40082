"""The example store is what its script records."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from advisor.samples.summary import busy_profile, summarise

from advisor.samples.store import read_samples

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/gpu-samples/samples"


@pytest.mark.usefixtures("fake_library")  # which skips where there is no compiler
def test_the_script_records_the_same_day_again(tmp_path):
    """Every value of every row in the example comes out of the recorded scenario, through the agent."""
    subprocess.run(
        [sys.executable, Path(__file__).with_name("record_example.py"), tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        check=True,
        timeout=120,
    )
    shipped, recorded = read_samples(EXAMPLE), read_samples(tmp_path)
    assert shipped.accelerators == recorded.accelerators
    np.testing.assert_array_equal(shipped.timestamp_us, recorded.timestamp_us)
    for name, column in shipped.columns.items():
        np.testing.assert_array_equal(column, recorded.columns[name])


def test_the_example_is_small_and_shows_a_peak():
    """Under 300 KB, a whole day without a gap, memory at 90 % throughout, and a peak far above the average."""
    assert sum(path.stat().st_size for path in EXAMPLE.rglob("*.parquet")) < 300_000
    frame = read_samples(EXAMPLE)
    profile = busy_profile(frame)
    assert len(profile.busy_accelerators) == 24 * 60
    assert not np.isnan(profile.busy_accelerators).any()
    assert profile.busy_accelerators.max() > 3 * profile.busy_accelerators.mean()
    for summary in summarise(frame):
        assert summary.coverage_ratio == pytest.approx(1.0)
        memory = summary.metrics["memory_used_bytes"]
        assert memory.max == memory.p50
        assert memory.max / summary.metrics["memory_total_bytes"].max == pytest.approx(0.9, abs=0.001)
