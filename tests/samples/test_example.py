"""The example store is what its script records."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.demand.recorded import busy_profile
from samples.stores import fleet_of

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/gpu-samples/samples"


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.usefixtures("fake_library")  # which skips where there is no compiler
def test_the_script_records_the_same_day_again(tmp_path):
    """Every value of every row and count in the example comes out of the recorded scenario, through agent and compaction."""
    subprocess.run(
        [sys.executable, Path(__file__).with_name("record_example.py"), tmp_path],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        check=True,
        timeout=240,
    )
    shipped, recorded = (
        {path.name.partition("-")[0]: pq.ParquetFile(path).read() for path in folder.rglob("*.parquet")}
        for folder in (EXAMPLE, tmp_path)
    )
    for kind, table in shipped.items():
        assert table.schema == recorded[kind].schema
        for name, values in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_floating(values.type):  # processors add numbers in different orders
                np.testing.assert_allclose(*map(_numbers, (values, recorded[kind][name])), rtol=1e-12)
            else:
                assert values.equals(recorded[kind][name])


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    """A column as numbers, without a value where it has none."""
    return np.array(values.to_pylist(), dtype=float)


def test_the_example_is_small_and_shows_a_peak():
    """Under 400 KB, a whole day without a gap, memory at 90 % throughout, and a peak far above the average."""
    assert sum(path.stat().st_size for path in EXAMPLE.rglob("*.parquet")) < 400_000
    fleet = fleet_of(EXAMPLE)
    profile = busy_profile(fleet.store, fleet.window, fleet.accelerators)
    assert len(profile.busy) == 24 * 60
    assert not np.isnan(profile.busy).any()
    assert profile.busy.max() > 3 * profile.busy.mean()
    for one in fleet.accelerators:
        assert one.rows == one.grid.rows
        memory = one.gauges["memory_used_bytes"]
        assert memory.max == memory.p50
        assert memory.max / one.gauges["memory_total_bytes"].max == pytest.approx(0.9, abs=0.001)
