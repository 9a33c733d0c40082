"""Stored rows as needs: engines beside accelerators, gaps, renamed hosts, restarts, several agents."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor.samples.metrics import Scope
from advisor.samples.need.fleet import Fleet, notes_on
from advisor.samples.need.verdict import Code
from advisor.samples.query.counts import Grid
from advisor.samples.query.embedded import engine_rows as rows_by_engine
from advisor.samples.store.reading import Store
from samples.engine_building import engine_rows
from samples.records import DAY, ENGINE_ROW, gap, row, spool, target, us
from samples.stores import fleet_of, read_back, store

GIB = 1024**3
COLUMNS = ("kv_cache_used_ratio", "kv_cache_used_ratio_max", "requests_finished")


def engines_of(directory):
    """Rows of all engines of a directory."""
    return rows_by_engine([read_back(directory, COLUMNS, Scope.ENGINE)[0]], COLUMNS)


def the_only(directory):
    """The only accelerator of a directory."""
    (one,) = fleet_of(directory).accelerators
    return one


def test_a_row_that_is_missing_is_unknown(tmp_path):
    """Of three rows the second is a gap: two are known, and the host was there for three."""
    store(tmp_path, [row(1, busy_ratio=(0.34, 0.9)), gap(1, 2), row(3, busy_ratio=0.5)])
    one = the_only(tmp_path)
    assert (one.rows, one.grid.rows, one.missed) == (2, 3, {"GPU is lost": 15})
    assert (one.gauges["busy_ratio"].rows, one.gauges["busy_ratio"].max) == (2, 0.9)
    low, value, high = one.gauges["busy_ratio"].share_p95
    known = [0.34, 0.5]
    assert (low, value, high) == pytest.approx([np.quantile([*known, *more], 0.95) for more in ([0], [], [1])])


def test_a_renamed_host_keeps_its_accelerator(tmp_path):
    """One accelerator under two names of its host is one, under the newer."""
    same = {"uuid": "GPU-1"}
    store(tmp_path, [row(number, of=target(host="old", **same)) for number in (1, 2)])
    store(tmp_path, [row(number, day=1, of=target(host="new", **same)) for number in (1, 2)])
    one = the_only(tmp_path)
    assert (one.who.host, one.rows) == ("new", 4)
    assert one.grid.rows == 5760 + 2


def test_rows_from_before_it_answered_are_of_the_accelerator_of_their_place(tmp_path):
    """A gap without a UUID belongs to the only accelerator that was there."""
    store(tmp_path, [gap(0, 1, of=target(uuid=None)), row(2)])
    one = the_only(tmp_path)
    assert (one.who.uuid, one.rows, one.grid.rows) == ("GPU-host-a-0", 1, 2)


def test_energy_is_the_growth_of_the_counter_over_days_and_resets(tmp_path):
    """From 100 J to 180 J, a day later 200 J, then a new driver that counted 5 J to 25 J: 80 + 20 + 5 + 20 J."""
    records = [row(1, energy_joules=100), row(3, energy_joules=180), row(1, day=1, energy_joules=200)]
    records += [row(2, day=1, energy_joules=5), row(4, day=1, energy_joules=25)]
    store(tmp_path, [*records, row(1, 1, energy_joules=7)])
    first, second = fleet_of(tmp_path).accelerators
    grown = first.counters["energy_joules"]
    assert (grown.total, grown.resets, grown.readings) == (125.0, 1, 5)
    assert grown.known_rows == 5760 + 4 - 1
    assert second.counters["energy_joules"].readings == 1


def test_engines_are_read_from_beside_the_accelerators(tmp_path):
    """Gauges with their maxima, counters, gaps, and each reading once, however many agents took it."""
    values = {"kv_cache_used_ratio": 0.4, "kv_cache_used_ratio_max": 0.6, "requests_finished": 10.0}
    engine_rows(tmp_path, [(15, values), (30, "no answer"), (45, {**values, "requests_finished": 25.0})])
    engine_rows(tmp_path, [(45, {**values, "requests_finished": 25.0})], name="engines-b")
    (rows,) = engines_of(tmp_path)
    assert rows.end_us.tolist() == [us(1), us(2), us(3)]
    engine = rows.on(Grid.over(us(0), us(3)), COLUMNS)
    np.testing.assert_allclose(engine.mean("kv_cache_used_ratio"), [0.4, np.nan, 0.4])
    np.testing.assert_allclose(engine.greatest("kv_cache_used_ratio"), [0.6, np.nan, 0.6])
    np.testing.assert_allclose(engine.mean("requests_finished"), [10, np.nan, 25])
    assert (engine.who.uuid, engine.who.product) == ("http://localhost:8000/metrics", "a-model")


def test_models_of_one_endpoint_are_kept_apart(tmp_path):
    """Two models of one engine at one time are two; a gap from before it named its only model is that one's."""
    both = {"kv_cache_used_ratio": 0.4}
    engine_rows(tmp_path, [(15, both)], model="one")
    engine_rows(tmp_path, [(15, both)], model="two", name="engines-b")
    assert [one.key.model for one in engines_of(tmp_path)] == ["one", "two"]
    engine_rows(tmp_path / "other", [(15, "no answer")], model=None)
    engine_rows(tmp_path / "other", [(30, both)], model="one", name="engines-b")
    (only,) = engines_of(tmp_path / "other")
    assert (only.key.model, only.end_us.tolist(), only.is_gap.tolist()) == ("one", [us(1), us(2)], [True, False])


def test_damaged_and_foreign_files_are_left_out_with_a_word(tmp_path):
    """What is no file of engines is passed over and named; with nothing else there is no engine."""
    folder = tmp_path / f"date={DAY:%Y-%m-%d}" / "host=host-a"
    folder.mkdir(parents=True)
    (folder / "engines-broken.parquet").write_bytes(b"PAR1 and no more")
    pq.write_table(pa.table({"timestamp": [1]}), folder / "engines-foreign.parquet")
    rows, notes = read_back(tmp_path, COLUMNS, Scope.ENGINE)
    assert rows.num_rows == 0
    assert [note.partition(": ")[2][:20] for note in notes] == ["cut short or damaged", "not written by `advi"]


def test_a_directory_is_judged_as_a_whole(tmp_path):
    """Accelerator and engine of one host meet: the KV cache is a quarter full, the accelerator has time to spare."""
    memory = {"memory_used_bytes": 36 * GIB, "memory_total_bytes": 40 * GIB}
    store(tmp_path, [row(number, busy_ratio=0.4, **memory) for number in range(1, 21)])
    kv = {"kv_cache_used_ratio": 0.25, "requests_waiting": 0.0, "requests_running": 3.0}
    counted = [{**kv, "requests_finished": 20.0 * row, "prompt_tokens": 8000.0 * row, "generated_tokens": 2000.0 * row}
               for row in range(1, 21)]  # fmt: skip
    engine_rows(tmp_path, [(15 * row, values) for row, values in enumerate(counted, start=1)])
    fleet = fleet_of(tmp_path)
    (one,) = fleet.needs
    assert one.verdict.code is Code.WITHIN_LIMITS
    assert (one.memory.low_bytes, one.memory.high_bytes) == (9 * GIB, 36 * GIB)
    assert notes_on(fleet.needs) == (
        "what limits the accelerators now: 1 within limits",
        "KV cache in use now: 25% at p95, 25% at most",
    )


def test_unknown_verdicts_name_what_is_missing_in_the_notes(tmp_path):
    """A note of a plan says which signals a verdict would have needed; without accelerators there is no note."""
    store(tmp_path, [row(number, busy_ratio=1.0) for number in range(1, 21)])
    (note,) = notes_on(fleet_of(tmp_path).needs)
    assert note.startswith("what limits the accelerators now: 1 unknown (not known: ")
    assert "sm_active_ratio" in note
    spool(tmp_path / "engines", [ENGINE_ROW])
    fleet = fleet_of(tmp_path / "engines")
    assert (notes_on(fleet.needs), fleet.engines) == ((), 1)


@pytest.mark.parametrize("directories", [("one", "two"), ("two", "one")])
def test_several_directories_are_one_store(tmp_path, directories):
    """Days of one host in two directories, one of them in both, are read once each."""
    store(tmp_path / "one", [row(1), row(2)])
    store(tmp_path / "two", [row(1), row(2)])
    store(tmp_path / "two", [row(1, day=1)])
    reader = Store([str(tmp_path / name) for name in directories])
    (one,) = Fleet.of(reader, reader.days()).accelerators
    assert (one.rows, one.grid.rows) == (3, 5761)
