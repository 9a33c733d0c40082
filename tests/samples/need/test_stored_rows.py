"""What the agent keeps of a simulated engine leads to the same verdict and need as its signals themselves."""

import datetime as dt
from functools import cache

import numpy as np
import pytest

from advisor.samples.metrics import METRICS, Gap, Kind, Row, Stats, Target
from advisor.samples.need.fleet import assess
from advisor.samples.need.verdict import Fixed
from advisor.samples.store.row_tables import encode_table, tables_of
from samples.need import simulate
from samples.need.simulate import GIB, ROW_SECONDS, START_US, accelerator, run, serving
from samples.stores import fleet_of

FIXED = Fixed(17 * GIB, 19 * GIB)
GPU = Target("host-a", "nvml", 0, None, "GPU-0", "NVIDIA H100 80GB HBM3")
ENGINE = Target("host-a", "vllm", 0, None, None, "a-model", "http://localhost:8000/metrics")


@cache
def simulated(name):
    """One of the loads, once."""
    return run(getattr(simulate, name))


def records(target, signals, gaps):
    """Rows of fifteen seconds as the agent makes them, and gaps."""
    rows = len(next(iter(signals.values()))) // ROW_SECONDS
    for row in range(rows):
        start_us = START_US + row * ROW_SECONDS * 1_000_000
        end_us = start_us + ROW_SECONDS * 1_000_000
        if row in gaps:
            yield Gap(target, start_us, end_us, ROW_SECONDS, "no answer")
            continue
        within = slice(row * ROW_SECONDS, (row + 1) * ROW_SECONDS)
        yield Row(target, end_us, {name: _stats(name, values[within]) for name, values in signals.items()})


def _stats(name, values):
    last = float(values[-1])
    if METRICS[name].kind is Kind.COUNTER:
        return Stats(float("nan"), float("nan"), float("nan"), last, len(values))
    return Stats(float(values.min()), float(values.mean()), float(values.max()), last, len(values))


def store(directory, seconds, gaps=()):
    """Files of accelerators and engines, as compaction writes them."""
    folder = directory / f"date={dt.datetime.fromtimestamp(START_US / 1e6, dt.UTC):%Y-%m-%d}" / "host=host-a"
    folder.mkdir(parents=True)
    kept = [*records(GPU, seconds.accelerator, gaps), *records(ENGINE, seconds.engine, gaps)]
    for scope, table in tables_of(kept).items():
        name = "rows" if scope == "accelerator" else "engines"
        (folder / f"{name}-0.parquet").write_bytes(encode_table(table))


@pytest.mark.parametrize("gaps", [(), (7, 8, 60)])
@pytest.mark.parametrize("name", ["IDLE", "MEMORY", "BANDWIDTH", "COMPUTE", "UNSATURATED", "THROTTLED"])
def test_stored_rows_lead_to_the_verdict_and_need_of_the_signals(tmp_path, name, gaps):
    """Through Parquet and back: the same verdict, and the same memory to the rounding of a row."""
    seconds = simulated(name)
    store(tmp_path, seconds, gaps)
    (stored,) = (one.besides(FIXED) for one in fleet_of(tmp_path).needs)
    (direct,) = assess([accelerator(seconds, gaps=gaps)], [serving(seconds, gaps=gaps)], FIXED)
    assert stored.verdict.code is direct.verdict.code
    assert stored.memory.need_bytes == pytest.approx(direct.memory.need_bytes, rel=0.02)
    assert stored.memory.low_bytes == pytest.approx(direct.memory.low_bytes, rel=0.02)
    for signal in ("busy", "sm_active", "tensor_active", "dram_active"):
        assert stored.ratio(signal) == pytest.approx(direct.ratio(signal), abs=0.006)
    np.testing.assert_allclose(stored.verdict.coverage_ratio, direct.verdict.coverage_ratio, atol=1e-9)
