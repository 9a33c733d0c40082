"""Rows of fifteen seconds on disk and as a frame, beside files of the schema before it."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.agent.spool import segments
from advisor.samples.metrics import ACCELERATOR_METRICS, Scope
from advisor.samples.query.embedded import EmbeddedBackend
from advisor.samples.query.values import Accelerator, Window
from advisor.samples.store import read_samples
from advisor.samples.store.columns import ACCELERATOR_COLUMNS, columns_of
from advisor.samples.store.compact import compact
from advisor.samples.store.row_files import encode_table
from advisor.samples.store.row_tables import tables_of
from samples.building import MIDNIGHT
from samples.records import DAY, gap, row, spool, target, us

V1 = Path(__file__).with_name("v1.parquet")
"""Written by the first version of the agent; two accelerators, 30 readings each, and a gap."""
FULL = {metric.name: 0.25 if metric.unit == "ratio" else 1048576.0 * 15 for metric in ACCELERATOR_METRICS}
TOMORROW = DAY + timedelta(days=1)
THE_DAY = Window(us(0), us(0, 1))


def with_v1(directory):
    """A directory as the first version of the agent left it."""
    folder = directory / "date=2026-10-14/host=host-a"
    folder.mkdir(parents=True)
    (folder / "part-20261014T000000.000000Z-000000.parquet").write_bytes(V1.read_bytes())
    return directory


def test_every_value_comes_back_from_spool_hour_and_day(tmp_path):
    """A row with every metric, and one with none, read the same from the spool, an hour's file and a day's."""
    columns = [column for metric in ACCELERATOR_METRICS for column in columns_of(metric)]
    spool(tmp_path, [row(1, **FULL), row(2, processes=1)])
    for now in (None, DAY, TOMORROW):
        if now is not None:
            compact(tmp_path, "host-a", now=now)
        frame = read_samples(tmp_path, columns)
        assert frame.timestamp_us.tolist() == [us(1), us(2)]
        assert {name: frame.columns[name][0] for name in FULL} == FULL
        assert frame.columns["busy_ratio_n"][0] == 15
        assert np.isnan(frame.columns["busy_ratio"][1])
        assert frame.interval_seconds.tolist() == [15, 15]


def test_least_greatest_and_last_are_read_by_name(tmp_path):
    """Columns with an end hold what the row keeps besides its mean."""
    spool(tmp_path, [row(1, busy_ratio=(0.5, 0.95))])
    frame = read_samples(tmp_path, ("busy_ratio", "busy_ratio_min", "busy_ratio_max", "busy_ratio_last"))
    assert {name: column.tolist() for name, column in frame.columns.items()} == {
        "busy_ratio": [0.5], "busy_ratio_min": [0.5], "busy_ratio_max": [0.95], "busy_ratio_last": [0.5],
    }  # fmt: skip


def test_missed_ticks_of_a_row_are_no_gap(tmp_path):
    """A row that lacks some ticks is a sample and says how many; a gap speaks of all the time it stands for."""
    spool(tmp_path, [row(1, missed_ticks=3), gap(1, 4)])
    for _ in range(2):
        frame = read_samples(tmp_path, ("busy_ratio",))
        assert frame.missed_ticks.tolist() == [0, 45]
        assert frame.lost_ticks.tolist() == [3, 0]
        assert (frame.end_seconds - frame.start_seconds).tolist() == [15, 45]
        assert frame.gap_reason[frame.gap_reason_code[1]] == "GPU is lost"
        compact(tmp_path, "host-a", now=TOMORROW)


def test_files_of_the_first_schema_are_read_for_good(tmp_path):
    """A file of v1 gives its readings under its own names, and each as its own least, greatest and last."""
    frame = read_samples(with_v1(tmp_path), ("busy_ratio", "busy_ratio_max", "busy_ratio_n", "power_throttled_ratio"))
    assert len(frame.accelerators) == 2
    assert frame.rows_of(0) == slice(0, 31)
    assert frame.missed_ticks[30] == 3
    assert frame.columns["busy_ratio"][:30].tolist() == [second / 100 for second in range(1, 31)]
    assert frame.columns["busy_ratio_max"][:30].tolist() == frame.columns["busy_ratio"][:30].tolist()
    assert frame.columns["busy_ratio_n"][:30].tolist() == [1] * 30
    assert frame.columns["power_throttled_ratio"][0] == 0.25


def test_both_schemas_are_asked_alike(tmp_path):
    """An accelerator that has rows of both schemas is one, and each row counts for the time it speaks of."""
    with_v1(tmp_path)
    spool(tmp_path, [row(number, busy_ratio=0.25) for number in (10, 20)])
    (first, second) = EmbeddedBackend(tmp_path).summaries(["busy_ratio"], THE_DAY)
    assert (first.rows, second.rows) == (32, 30)
    assert first.coverage_ratio == pytest.approx((30 + 30) / 86_400)
    assert first.max == 0.3
    window = EmbeddedBackend(tmp_path).window()
    assert window == Window(int(MIDNIGHT.timestamp() * 1e6), us(20))


def test_a_file_of_an_older_agent_lacks_metrics(tmp_path):
    """Where a file of v2 was written before a metric existed, it is unknown there and known elsewhere."""
    (table,) = tables_of([row(1, busy_ratio=0.5)]).values()
    older = [name for name in table.column_names if not name.startswith("sm_active")]
    folder = tmp_path / "date=2026-10-14/host=host-a"
    folder.mkdir(parents=True)
    (folder / "rows-20261014T00-a-000000.parquet").write_bytes(encode_table(table.select(older)))
    (summary,) = EmbeddedBackend(tmp_path).summaries(["busy_ratio", "sm_active_ratio"], THE_DAY)
    assert (summary.metric, summary.p50) == ("busy_ratio", 0.5)
    spool(tmp_path, [row(241, busy_ratio=0.5, sm_active_ratio=0.25)])
    compact(tmp_path, "host-a", now=DAY)
    found = list(EmbeddedBackend(tmp_path).summaries(["busy_ratio", "sm_active_ratio"], THE_DAY))
    assert [(one.metric, one.rows) for one in found] == [("busy_ratio", 2), ("sm_active_ratio", 1)]
    compact(tmp_path, "host-a", now=TOMORROW)
    assert np.isnan(read_samples(tmp_path, ("sm_active_ratio",)).columns["sm_active_ratio"]).tolist() == [True, False]


@settings(suppress_health_check=list(HealthCheck), max_examples=12, deadline=None)
@given(keep=st.floats(0, 0.999))
def test_a_file_cut_short_is_left_out_by_every_reader(tmp_path_factory, keep):
    """Wherever a day's file ends too early, it is named, its counts still answer, and no row is made up."""
    directory = tmp_path_factory.mktemp("store")
    for day in (0, 1):
        spool(directory, [row(number, day=day) for number in range(1, 40)])
    compact(directory, "host-a", now=DAY + timedelta(days=3))
    damaged = min(directory.rglob("rows-*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[: int(keep * damaged.stat().st_size)])
    frame = read_samples(directory, ("busy_ratio",))
    assert [file.path for file in frame.skipped] == [damaged]
    assert len(frame.timestamp_us) == 39
    backend = EmbeddedBackend(directory, exact=True)
    (summary,) = backend.summaries(["busy_ratio"], Window(us(0), us(0, 2)))
    assert summary.rows == 39
    assert any(damaged.name in note for note in backend.notes())


def test_damaged_counts_are_made_good_from_rows(tmp_path):
    """Where a byte of the counts is wrong the rows answer instead, and the file is named."""
    spool(tmp_path, [row(number, busy_ratio=number % 50 / 50) for number in range(1, 2000)])
    compact(tmp_path, "host-a", now=TOMORROW)
    (counts,) = tmp_path.rglob("histograms-*.parquet")
    content = counts.read_bytes()
    (expected,) = EmbeddedBackend(tmp_path, exact=True).summaries(["busy_ratio"], THE_DAY)
    noted = 0
    for at in range(4, len(content) - 8, 61):
        counts.write_bytes(content[:at] + bytes((content[at] ^ 0xFF,)) + content[at + 1 :])
        backend = EmbeddedBackend(tmp_path)
        (found,) = backend.summaries(["busy_ratio"], THE_DAY)
        assert (found.p50, found.p95, found.max, found.rows) == pytest.approx(
            (expected.p50, expected.p95, expected.max, expected.rows)
        )
        noted += bool(backend.notes())
    assert noted


def test_a_file_is_its_rows_and_nothing_else():
    """The same rows give the same bytes, so that a file can be named after its content."""
    tables = [tables_of([row(1, **FULL), row(2)])[Scope.ACCELERATOR] for _ in range(2)]
    assert encode_table(tables[0]) == encode_table(tables[1])
    read = pq.read_table(pa.BufferReader(encode_table(tables[0])))
    assert read.column_names == ACCELERATOR_COLUMNS.names


def test_a_source_that_sees_no_accelerator_yet_leaves_no_accelerator(tmp_path):
    """A gap of everything that a source reads is kept in the file and is no accelerator in a frame."""
    nothing = target(None, uuid=None)
    spool(tmp_path, [gap(1, 2, of=nothing), row(3)])
    for _ in range(2):
        assert [key.accelerator_index for key in read_samples(tmp_path).accelerators] == [0]
        assert [one.index for one in EmbeddedBackend(tmp_path).accelerators(THE_DAY)] == [0]
        compact(tmp_path, "host-a", now=TOMORROW)


def test_the_backend_answers_what_it_is_asked(tmp_path):
    """Window, accelerators, metrics and one summary, of a store and of an empty one."""
    spool(tmp_path, [row(1, 1, busy_ratio=0.5), row(4, 0, power_watts=300), row(2, 0, "host-b")], "host-a")
    backend = EmbeddedBackend(tmp_path)
    window = backend.window()
    assert window == Window(us(0), us(4))
    places = [(one.host, one.index) for one in backend.accelerators(window)]
    assert places == [("host-a", 0), ("host-a", 1), ("host-b", 0)]
    assert backend.metrics(window) == ["busy_ratio", "power_watts"]
    found = backend.summary(Accelerator("host-a", 1), "busy_ratio", window)
    assert (found.p50, found.rows, found.coverage_ratio) == (0.5, 1, 0.25)
    assert backend.summary(Accelerator("host-a", 1), "power_watts", window) is None
    assert backend.accelerators(Window(us(5), us(9))) == []
    with pytest.raises(InputError, match="there is no metric nonsense"):
        list(backend.summaries(["nonsense"], window))
    for path in segments(tmp_path):
        path.unlink()
    assert EmbeddedBackend(tmp_path).window() is None
    with pytest.raises(InputError, match="no such directory"):
        EmbeddedBackend(tmp_path / "absent")
