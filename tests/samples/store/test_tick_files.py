"""Samples on disk: what is written comes back, whole or reported, and nothing else does."""

import os
import re
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.store import read_samples
from advisor.samples.store.tick_files import VALUE_COLUMNS
from samples.building import MIDNIGHT, gap, sample, write
from samples.tick_values import AcceleratorSample

FULL = {
    "memory_total_bytes": 42_949_672_960, "memory_used_bytes": 38_600_000_001, "memory_reserved_bytes": 545_259_520,
    "busy_ratio": 0.123456789, "busy_peak_ratio": 1.0, "memory_busy_ratio": 0.25, "power_watts": 399.25,
    "energy_joules": 123_456_789.125, "sm_clock_mhz": 1410, "temperature_celsius": 63, "power_throttled_ratio": 0.0,
    "thermal_throttled_ratio": 1.0,
}  # fmt: skip
finite = st.none() | st.floats(0, 1e12)
whole = st.none() | st.integers(0, 2**50)
values = st.fixed_dictionaries(
    {
        name: whole
        if name.endswith("_bytes")
        else st.none() | st.integers(0, 4000)
        if name[:2] in ("sm", "te")
        else finite
        for name in VALUE_COLUMNS
    }
)


def test_the_columns_are_the_fields_of_a_sample():
    """Every measured field of a sample has its column, under the same name."""
    identity = {
        "timestamp", "host", "accelerator_index", "mig_index", "accelerator_uuid", "accelerator", "read_errors",
    }  # fmt: skip
    assert set(AcceleratorSample.__dataclass_fields__) - identity == set(VALUE_COLUMNS)


def test_every_value_comes_back_exactly(tmp_path):
    """A sample with every value set, and one with none, survive the disk; None comes back as NaN and never 0."""
    write(tmp_path, [sample(1, **FULL), sample(2, busy_ratio=None)])
    frame = read_samples(tmp_path)
    assert {name: column[0] for name, column in frame.columns.items()} == FULL
    assert all(np.isnan(column[1]) for column in frame.columns.values())
    assert frame.timestamp_us.tolist() == [int((MIDNIGHT.timestamp() + second) * 1e6) for second in (1, 2)]
    assert frame.interval_seconds.tolist() == [1.0, 1.0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(1, 200_000), st.integers(0, 3), values), min_size=1, max_size=12))
def test_any_store_reads_back_sorted_and_once(tmp_path_factory, rows):
    """Whatever is written, in whatever order and however often, comes back by accelerator and time, each row once."""
    directory = tmp_path_factory.mktemp("store")
    write(directory, [sample(second, index, **row) for second, index, row in rows])
    frame = read_samples(directory)
    expected = {}
    for second, index, row in rows:
        expected.setdefault((index, second), row)
    seconds = (frame.timestamp_us - int(MIDNIGHT.timestamp()) * 1_000_000) // 1_000_000
    indexes = [frame.accelerators[number].accelerator_index for number in frame.accelerator]
    assert list(zip(indexes, seconds.tolist(), strict=True)) == sorted(expected)
    first_rows = [expected[key] for key in sorted(expected)]
    for name, column in frame.columns.items():
        np.testing.assert_array_equal(column, [np.nan if row[name] is None else row[name] for row in first_rows])


def test_files_lie_by_date_and_host(tmp_path):
    """Readings on both sides of midnight go to the folders of their dates; names say start and sequence."""
    write(tmp_path, [sample(-1), sample(1)], started=MIDNIGHT - timedelta(seconds=2))
    paths = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet"))
    assert paths == [
        "date=2026-10-13/host=host-a/part-20261013T235958.000000Z-000000.parquet",
        "date=2026-10-14/host=host-a/part-20261013T235958.000000Z-000001.parquet",
    ]


@pytest.mark.parametrize("host", ["../../etc", "a/b", "..", "host name", "ünï", "x=1"])
def test_a_host_name_is_never_a_path(tmp_path, host):
    """Whatever a host is called, its files stay below the directory and its name comes back as it was."""
    directory = tmp_path / "deep" / "samples"
    write(directory, [sample(1, host=host)], host=host)
    (path,) = tmp_path.rglob("*.parquet")
    assert len(path.resolve().relative_to(directory.resolve()).parts) == 3
    assert read_samples(directory).accelerators[0].host == host


def test_a_minute_is_the_most_that_waits_in_memory(tmp_path):
    """At one reading a second a file appears after sixty of them, without being asked for."""
    writer = write(tmp_path, [])
    for second in range(1, 60):
        writer.append([sample(second)])
    assert writer.files_written == 0
    writer.append([sample(60)])
    assert writer.files_written == 1
    assert len(read_samples(tmp_path).timestamp_us) == 60


def test_files_written_before_are_never_touched(tmp_path):
    """A later run, even one with the same start, adds files and leaves the old ones as they were, to the byte."""
    write(tmp_path, [sample(1)])
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*.parquet")}
    write(tmp_path, [sample(2)])
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    assert len(read_samples(tmp_path).timestamp_us) == 2


def test_any_parquet_reader_can_read_a_file(tmp_path):
    """A file says in its metadata what it is, and its columns carry their units."""
    write(tmp_path, [sample(1, **FULL), gap(2)])
    (path,) = tmp_path.rglob("*.parquet")
    metadata = pq.read_metadata(path).metadata
    assert metadata[b"advisor.samples.schema"] == b"advisor.samples/v1"
    assert metadata[b"advisor.samples.interval_seconds"] == b"1.0"
    rows = pq.ParquetFile(path).read().to_pylist()
    assert rows[0]["missed_ticks"] == 0
    assert rows[0]["gap_reason"] is None
    assert rows[1]["missed_ticks"] == 1
    assert rows[1]["gap_reason"] == "GPU is lost"
    assert rows[1]["busy_ratio"] is None
    assert rows[0]["timestamp"] == MIDNIGHT + timedelta(seconds=1)


def test_pandas_reads_a_whole_directory(tmp_path):
    """The folders are named as other programs expect: host and date come from them without a clash with the files."""
    write(tmp_path, [sample(1, **FULL)])
    write(tmp_path, [sample(1, host="host-b"), sample(86_401, host="host-b")], host="host-b")
    table = pd.read_parquet(tmp_path)
    assert sorted(zip(table["host"], table["date"], strict=True)) == [
        ("host-a", "2026-10-14"), ("host-b", "2026-10-14"), ("host-b", "2026-10-15"),
    ]  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(keep=st.floats(0, 0.999), flip=st.booleans())
def test_a_damaged_file_is_reported_and_the_others_are_read(tmp_path_factory, keep, flip):
    """A file cut short anywhere is skipped with its name and a reason, and so is one with a page overwritten.

    What a page says of itself has no checksum: there the file is skipped, or read as it was written. No row is made up.
    """
    directory = tmp_path_factory.mktemp("store")
    write(directory, [sample(second, **FULL) for second in range(1, 50)])
    write(directory, [sample(second, **FULL) for second in range(50, 61)])
    damaged, whole_file = sorted(directory.rglob("*.parquet"))
    content, written = damaged.read_bytes(), read_samples(directory)
    if flip:
        middle = 4 + int(keep * 1000)
        damaged.write_bytes(
            content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 8]) + content[middle + 8 :]
        )
    else:
        damaged.write_bytes(content[: int(keep * len(content))])
    frame = read_samples(directory)
    if flip and not frame.skipped:
        assert all(np.array_equal(frame.columns[name], written.columns[name], equal_nan=True) for name in FULL)
        return
    assert [file.path for file in frame.skipped] == [damaged]
    assert "cut short or damaged" in frame.skipped[0].reason
    assert len(frame.timestamp_us) == 11
    assert whole_file.exists()


def test_an_unfinished_file_is_reported(tmp_path):
    """What a killed agent left half written is skipped and said to be unfinished."""
    write(tmp_path, [sample(1)])
    (path,) = tmp_path.rglob("*.parquet")
    unfinished = path.with_name(f".{path.name}.abc123")
    unfinished.write_bytes(b"PAR1")
    (skipped,) = read_samples(tmp_path).skipped
    assert skipped.path == unfinished
    assert "unfinished" in skipped.reason


def test_a_foreign_parquet_file_is_reported(tmp_path):
    """A Parquet file that the agent did not write is skipped, whatever columns it has."""
    write(tmp_path, [sample(1)])
    pq.write_table(pa.table({"timestamp": [1], "busy_ratio": [0.5]}), tmp_path / "other.parquet")
    (skipped,) = read_samples(tmp_path).skipped
    assert skipped.path.name == "other.parquet"
    assert skipped.reason == "not written by `advisor agent run`"


def test_a_file_of_another_version_is_reported(tmp_path):
    """A file that a later agent wrote is not misread: it is skipped, and both versions are named."""
    write(tmp_path, [sample(1)])
    (path,) = tmp_path.rglob("*.parquet")
    table = pq.ParquetFile(path).read()
    metadata = {"advisor.samples.schema": "advisor.samples/v3", "advisor.samples.interval_seconds": "1"}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "later.parquet")
    (skipped,) = read_samples(tmp_path).skipped
    assert re.search("advisor.samples/v3 .* reads advisor.samples/v1 and advisor.samples/v2", skipped.reason)


def test_a_file_that_lacks_a_column_is_reported(tmp_path):
    """A file that claims to be ours and has no host is named, and does not stop the reading."""
    write(tmp_path, [sample(1)])
    (path,) = tmp_path.rglob("*.parquet")
    parquet = pq.ParquetFile(path)
    pq.write_table(
        parquet.read().drop_columns(["host"]).replace_schema_metadata(parquet.metadata.metadata),
        tmp_path / "odd.parquet",
    )
    (skipped,) = read_samples(tmp_path).skipped
    assert "it has no column" in skipped.reason


def test_reading_many_files_tells_how_far_it_is(tmp_path):
    """Each file is counted as it is looked at, the unreadable too."""
    write(tmp_path, [sample(second) for second in range(1, 181)])
    (tmp_path / "broken.parquet").write_bytes(b"")
    counts = []
    read_samples(tmp_path, progress=counts.append)
    assert counts == [1, 2, 3, 4]


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon"])
def test_a_file_with_an_impossible_interval_is_reported(tmp_path, interval):
    """An interval that is no time makes a file unreadable instead of spoiling every coverage."""
    write(tmp_path, [sample(1)])
    (path,) = tmp_path.rglob("*.parquet")
    table = pq.ParquetFile(path).read()
    metadata = {"advisor.samples.schema": "advisor.samples/v1", "advisor.samples.interval_seconds": interval}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "odd.parquet")
    assert [file.path.name for file in read_samples(tmp_path).skipped] == ["odd.parquet"]


def test_a_directory_without_samples_is_an_error_with_a_hint(tmp_path):
    """No such directory, a file, an empty directory, and one with foreign files only: each says so, and what to do."""
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "x.parquet").write_bytes(b"nonsense")
    for name, message in [
        ("absent", "no such directory"),
        ("file", "not a directory"),
        ("empty", "no samples here"),
        ("foreign", "none of 1 files can be read; x.parquet: cut short or damaged"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            read_samples(tmp_path / name)
        assert caught.value.where == str(tmp_path / name)
        assert "advisor agent run --output" in caught.value.hint


def test_only_the_columns_asked_for_are_read(tmp_path):
    """A projection holds what was asked for and nothing else."""
    write(tmp_path, [sample(1, **FULL)])
    assert dict(read_samples(tmp_path, ("busy_ratio",)).columns) == {"busy_ratio": np.array([FULL["busy_ratio"]])}


def test_two_agents_on_one_accelerator_count_once(tmp_path):
    """Two agents with overlapping runs write the same ticks; each reading is kept once, a sample before a gap."""
    write(tmp_path, [sample(second) for second in (1, 2, 3)])
    write(tmp_path, [gap(2), gap(3), sample(4)], started=MIDNIGHT + timedelta(seconds=1.5))
    frame = read_samples(tmp_path)
    assert len(frame.timestamp_us) == 4
    assert not frame.missed_ticks.any()


def test_an_accelerator_that_moves_stays_one(tmp_path):
    """The UUID makes an accelerator: moved to another slot, it is shown at its newest place."""
    write(tmp_path, [sample(1, index=0, uuid="GPU-x"), sample(2, index=5, uuid="GPU-x")])
    frame = read_samples(tmp_path)
    assert [key.accelerator_index for key in frame.accelerators] == [5]


def test_a_directory_that_cannot_be_written_is_refused_before_sampling(tmp_path):
    """A path below a file is an error at once, and the option to change is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write here") as caught:
        write(tmp_path / "file" / "samples", [])
    assert "--output" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_refused_before_sampling(tmp_path):
    """A directory that may not be written to is an error before anything is read."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot write here"):
        write(closed, [])
