"""Stored rows on a grid: agents of today and of before, engines beside them, gaps, renamed hosts, restarts."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.samples.need.engine_rows import rows_of_engines
from advisor.samples.need.fleet import fleet_of
from advisor.samples.need.rows import grids, rows_of_samples, timelines
from advisor.samples.need.verdict import Code
from advisor.samples.store import read_engines, read_samples
from samples.building import MIDNIGHT, gap, sample, write
from samples.engine_building import engine_rows

GIB = 1024**3


def read_engine_rows(directory):
    """Rows of all engines of a directory."""
    return rows_of_engines(read_engines(directory).table)


def timeline_of(directory):
    """The only accelerator of a directory."""
    rows = rows_of_samples(read_samples(directory))
    (one,) = timelines(rows, grids([rows]))
    return one


def test_readings_of_a_second_become_rows_of_fifteen(tmp_path):
    """Means and maxima of each fifteen readings; a row of which all readings are missing is unknown."""
    write(tmp_path, [sample(second, busy_ratio=0.9 if second == 3 else 0.3) for second in range(1, 16)])
    write(tmp_path, [gap(30, missed_ticks=15)], started=MIDNIGHT + dt.timedelta(seconds=15))
    write(tmp_path, [sample(second, busy_ratio=0.5) for second in range(31, 46)], started=MIDNIGHT + dt.timedelta(1))
    one = timeline_of(tmp_path)
    np.testing.assert_allclose(one.mean("busy_ratio"), [0.34, np.nan, 0.5])
    np.testing.assert_allclose(one.greatest("busy_ratio"), [0.9, np.nan, 0.5])


def test_longer_intervals_make_longer_rows(tmp_path):
    """A reading a minute is a row a minute: none of its quarters is taken for a gap."""
    write(tmp_path, [sample(60 * minute, busy_ratio=0.5) for minute in range(1, 6)], interval_seconds=60)
    assert timeline_of(tmp_path).mean("busy_ratio").tolist() == [0.5] * 5


def test_a_renamed_host_keeps_its_accelerator(tmp_path):
    """One accelerator under two names of its host is one, under the newer."""
    write(tmp_path, [sample(second, host="old", uuid="GPU-1") for second in range(1, 31)], host="old")
    write(tmp_path, [sample(second, host="new", uuid="GPU-1") for second in range(31, 61)], host="new")
    one = timeline_of(tmp_path)
    assert one.who.host == "new"
    assert not np.isnan(one.mean("busy_ratio")).any()


def test_engines_are_read_from_beside_the_accelerators(tmp_path):
    """Gauges with their maxima, counters, gaps, and each reading once, however many agents took it."""
    values = {"kv_cache_used_ratio": 0.4, "kv_cache_used_ratio_max": 0.6, "requests_finished": 10.0}
    engine_rows(tmp_path, [(15, values), (30, "no answer"), (45, {**values, "requests_finished": 25.0})])
    engine_rows(tmp_path, [(45, {**values, "requests_finished": 25.0})], name="engines-b")
    rows = read_engine_rows(tmp_path)
    (engine,) = timelines(rows, grids([rows]))
    np.testing.assert_allclose(engine.mean("kv_cache_used_ratio"), [0.4, np.nan, 0.4])
    np.testing.assert_allclose(engine.greatest("kv_cache_used_ratio"), [0.6, np.nan, 0.6])
    np.testing.assert_allclose(engine.mean("requests_finished"), [10, np.nan, 25])
    assert (engine.who.uuid, engine.who.product) == ("http://localhost:8000/metrics", "a-model")


def test_models_of_one_endpoint_are_kept_apart(tmp_path):
    """Two models of one engine at one time are two; a gap from before it named its only model is that one's."""
    both = {"kv_cache_used_ratio": 0.4}
    engine_rows(tmp_path, [(15, both)], model="one")
    engine_rows(tmp_path, [(15, both)], model="two", name="engines-b")
    assert [who.product for who in read_engine_rows(tmp_path).who] == ["one", "two"]
    engine_rows(tmp_path / "other", [(15, "no answer")], model=None)
    engine_rows(tmp_path / "other", [(30, both)], model="one", name="engines-b")
    assert [who.product for who in read_engine_rows(tmp_path / "other").who] == ["one"]


def test_damaged_and_foreign_files_are_left_out(tmp_path):
    """What is no file of engines is passed over; with nothing else there is no engine."""
    (tmp_path / "engines-broken.parquet").write_bytes(b"PAR1 and no more")
    pq.write_table(pa.table({"timestamp": [1]}), tmp_path / "engines-foreign.parquet")
    assert read_engine_rows(tmp_path).who == ()


def test_a_directory_is_judged_as_a_whole(tmp_path):
    """Accelerator and engine of one host meet: the KV cache is a quarter full, the accelerator has time to spare."""
    memory = {"memory_used_bytes": 36 * GIB, "memory_total_bytes": 40 * GIB}
    write(tmp_path, [sample(second, busy_ratio=0.4, **memory) for second in range(1, 301)])
    kv = {"kv_cache_used_ratio": 0.25, "requests_waiting": 0.0, "requests_running": 3.0}
    counted = [{**kv, "requests_finished": 20.0 * row, "prompt_tokens": 8000.0 * row, "generated_tokens": 2000.0 * row}
               for row in range(1, 21)]  # fmt: skip
    engine_rows(tmp_path, [(15 * row, values) for row, values in enumerate(counted, start=1)])
    fleet = fleet_of(read_samples_without_engines(tmp_path), tmp_path)
    (one,) = fleet.needs
    assert one.verdict.code is Code.WITHIN_LIMITS
    assert (one.memory.low_bytes, one.memory.high_bytes) == (9 * GIB, 36 * GIB)
    assert fleet.notes() == (
        "what limits the accelerators now: 1 within limits",
        "KV cache in use now: 25% at p95, 25% at most",
    )


def read_samples_without_engines(directory):
    """Samples of accelerators; that engines' files are none of them is said in the frame, not raised."""
    return read_samples(directory)


def test_unknown_verdicts_name_what_is_missing_in_the_notes(tmp_path):
    """A note of a plan says which signals a verdict would have needed."""
    write(tmp_path, [sample(second, busy_ratio=1.0) for second in range(1, 301)])
    (note,) = fleet_of(read_samples(tmp_path), tmp_path).notes()
    assert note.startswith("what limits the accelerators now: 1 unknown (not known: ")
    assert "sm_active_ratio" in note


@pytest.mark.parametrize("seconds", [1, 14, 16])
def test_any_length_of_time_has_a_grid(tmp_path, seconds):
    """Less than a row is one row, a second more than one is two."""
    write(tmp_path, [sample(second) for second in range(1, seconds + 1)])
    assert timeline_of(tmp_path).grid.rows == -(-seconds // 15)
