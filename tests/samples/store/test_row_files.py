"""Rows of fifteen seconds on disk, and as readers get them."""

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.agent.spool import segments
from advisor.samples.metrics import ACCELERATOR_METRICS, Scope
from advisor.samples.query import Accelerator, Window
from advisor.samples.query.embedded import EmbeddedBackend
from advisor.samples.store.compact import compact
from advisor.samples.store.hosts import times_of
from advisor.samples.store.row_tables import ACCELERATOR_COLUMNS, columns_of, encode_table, tables_of
from samples.records import DAY, gap, row, spool, target, us
from samples.stores import read_back

FULL = {metric.name: 0.25 if metric.unit == "ratio" else 1048576.0 * 15 for metric in ACCELERATOR_METRICS}
TOMORROW = DAY + timedelta(days=1)
THE_DAY = Window(us(0), us(0, 1))


def test_every_value_comes_back_from_spool_hour_and_day(tmp_path):
    """A row with every metric, and one with none, read the same from the spool, an hour's file and a day's."""
    columns = [column for metric in ACCELERATOR_METRICS for column in columns_of(metric)]
    spool(tmp_path, [row(1, **FULL), row(2, processes=1)])
    for now in (None, DAY, TOMORROW):
        if now is not None:
            compact(tmp_path, "host-a", now=now)
        table = read_back(tmp_path, columns)[0]
        assert table["timestamp"].cast("int64").to_pylist() == [us(1), us(2)]
        first, second = table.to_pylist()
        assert {name: first[name] for name in FULL} == FULL
        assert first["busy_ratio_n"] == 15
        assert second["busy_ratio"] is None


def test_least_greatest_and_last_are_read_by_name(tmp_path):
    """Columns with an end hold what the row keeps besides its mean."""
    spool(tmp_path, [row(1, busy_ratio=(0.5, 0.95))])
    names = ("busy_ratio", "busy_ratio_min", "busy_ratio_max", "busy_ratio_last")
    (read,) = read_back(tmp_path, names)[0].select(names).to_pylist()
    assert tuple(read.values()) == (0.5, 0.5, 0.95, 0.5)


def test_missed_ticks_of_a_row_are_no_gap(tmp_path):
    """A row that lacks some ticks is a sample and says how many; a gap speaks of all the time it stands for."""
    spool(tmp_path, [row(1, missed_ticks=3), gap(1, 4)])
    for _ in range(2):
        rows = read_back(tmp_path)[0]
        assert rows["missed_ticks"].to_pylist() == [3, 45]
        assert rows["gap_reason"].to_pylist() == [None, "GPU is lost"]
        end_us, start_us, is_gap = times_of(rows)
        assert (end_us - start_us).tolist() == [15_000_000, 45_000_000]
        assert is_gap.tolist() == [False, True]
        compact(tmp_path, "host-a", now=TOMORROW)


def test_a_file_of_an_older_agent_lacks_metrics(tmp_path):
    """Where a file of v2 was written before a metric existed, it is unknown there and known elsewhere."""
    (table,) = tables_of([row(1, busy_ratio=0.5)]).values()
    older = [name for name in table.column_names if not name.startswith("sm_active")]
    folder = tmp_path / "date=2026-10-14/host=host-a"
    folder.mkdir(parents=True)
    (folder / "rows-20261014T00-a-000000.parquet").write_bytes(encode_table(table.select(older)))
    (summary,) = EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio", "sm_active_ratio"], THE_DAY)
    assert (summary.metric, summary.p50) == ("busy_ratio", 0.5)
    spool(tmp_path, [row(241, busy_ratio=0.5, sm_active_ratio=0.25)])
    compact(tmp_path, "host-a", now=DAY)
    found = list(EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio", "sm_active_ratio"], THE_DAY))
    assert [(one.metric, one.rows) for one in found] == [("busy_ratio", 2), ("sm_active_ratio", 1)]
    compact(tmp_path, "host-a", now=TOMORROW)
    assert read_back(tmp_path, ("sm_active_ratio",))[0]["sm_active_ratio"].to_pylist() == [None, 0.25]


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
    rows, notes = read_back(directory, ("busy_ratio",))
    assert [note.partition(": ")[0] for note in notes] == [str(damaged)]
    assert rows.num_rows == 39
    (summary,) = EmbeddedBackend([str(directory)]).summaries(["busy_ratio"], Window(us(0), us(0, 2)))
    assert summary.rows == 78
    min(directory.rglob("histograms-*.parquet")).unlink()
    backend = EmbeddedBackend([str(directory)])
    (summary,) = backend.summaries(["busy_ratio"], Window(us(0), us(0, 2)))
    assert summary.rows == 39
    assert any(damaged.name in note for note in backend.notes())


def test_damaged_counts_are_made_good_from_rows(tmp_path):
    """Where a byte of the counts is wrong the rows answer instead, and the file is named."""
    spool(tmp_path, [row(number, busy_ratio=number % 50 / 50) for number in range(1, 2000)])
    compact(tmp_path, "host-a", now=TOMORROW)
    (counts,) = tmp_path.rglob("histograms-*.parquet")
    content = counts.read_bytes()
    (expected,) = EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio"], THE_DAY)
    noted = 0
    for at in range(4, len(content) - 8, 61):
        counts.write_bytes(content[:at] + bytes((content[at] ^ 0xFF,)) + content[at + 1 :])
        backend = EmbeddedBackend([str(tmp_path)])
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
    """A gap of everything that a source reads is kept in the file and is no accelerator."""
    nothing = target(None, uuid=None)
    spool(tmp_path, [gap(1, 2, of=nothing), row(3)])
    for _ in range(2):
        assert set(read_back(tmp_path)[0]["accelerator_index"].to_pylist()) == {None, 0}
        assert [one.index for one in EmbeddedBackend([str(tmp_path)]).accelerators(THE_DAY)] == [0]
        compact(tmp_path, "host-a", now=TOMORROW)


def test_the_backend_answers_what_it_is_asked(tmp_path):
    """Window, accelerators, metrics and one summary, of a store and of an empty one."""
    spool(tmp_path, [row(1, 1, busy_ratio=0.5), row(4, 0, power_watts=300), row(2, 0, "host-b")], "host-a")
    backend = EmbeddedBackend([str(tmp_path)])
    window = backend.window()
    assert window == Window(us(0), us(4))
    places = [(one.host, one.index) for one in backend.accelerators(window)]
    assert places == [("host-a", 0), ("host-a", 1), ("host-b", 0)]
    assert backend.metrics(window) == ["busy_ratio", "power_watts"]
    asked = Accelerator("host-a", 1, None, "GPU-host-a-1", "NVIDIA H100")
    (found,) = (each for each in backend.summaries(["busy_ratio"], window) if each.accelerator == asked)
    assert (found.p50, found.rows, found.coverage_ratio) == (0.5, 1, 0.25)
    assert asked not in {each.accelerator for each in backend.summaries(["power_watts"], window)}
    assert backend.accelerators(Window(us(5), us(9))) == []
    with pytest.raises(InputError, match="there is no metric nonsense"):
        list(backend.summaries(["nonsense"], window))
    for path in segments(tmp_path):
        path.unlink()
    assert EmbeddedBackend([str(tmp_path)]).window() is None
    with pytest.raises(InputError, match="no such directory"):
        EmbeddedBackend([str(tmp_path / "absent")])
