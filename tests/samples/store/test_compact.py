"""Compaction: spool to files to days with counts, and nothing lost or doubled whatever ends it."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from advisor.errors import InputError
from advisor.samples.agent.compact_command import tidy
from advisor.samples.agent.spool import SpoolWriter, segments
from advisor.samples.agent.status import status_path
from advisor.samples.metrics import Scope
from advisor.samples.need.fleet import Fleet
from advisor.samples.places import day_folder, spool_folder
from advisor.samples.query import Window
from advisor.samples.query.embedded import EmbeddedBackend
from advisor.samples.store.compact import compact
from advisor.samples.store.reading import Store
from advisor.samples.store.row_tables import LABELS_KEY, read_named
from samples.records import DAY, ENGINE_ROW, gap, row, spool, target, us
from samples.stores import read_back

MOMENTS = int(os.environ.get("COMPACTION_KILL_MOMENTS", "12"))
"""Random moments at which a compaction is killed."""
TOMORROW = DAY + timedelta(days=1)
THE_DAY = Window(us(0), us(0, 1))


def files(directory, kind="*"):
    """Names of the Parquet files of a kind."""
    return sorted(path.name for path in directory.rglob(f"{kind}-*.parquet"))


def ends(directory):
    """Ends of all rows and gaps that are read."""
    return read_back(directory)[0]["timestamp"].cast("int64").to_pylist()


def test_closed_segments_become_files_and_the_open_one_stays(tmp_path):
    """A compaction beside a running agent takes the hours that are over and leaves the segment being written."""
    writer = SpoolWriter(tmp_path, "host-a")
    writer.append([row(1), row(240), row(241)])
    done = compact(tmp_path, "host-a", now=DAY)
    assert (done.segments, done.rows) == (1, 2)
    assert len(segments(tmp_path)) == 1
    assert ends(tmp_path) == [us(1), us(240), us(241)]
    writer.append([row(242)])
    writer.close()
    assert compact(tmp_path, "host-a", now=DAY).segments == 1
    assert segments(tmp_path) == []
    assert ends(tmp_path) == [us(1), us(240), us(241), us(242)]


def test_a_finished_day_becomes_one_file_with_its_counts(tmp_path):
    """The files of a day over become one, and beside it are counts of the same digest; today's stay apart."""
    spool(tmp_path, [row(number) for number in (1, 241, 481)])
    spool(tmp_path, [row(1, day=1)])
    compact(tmp_path, "host-a", now=DAY + timedelta(hours=23))
    assert len(files(tmp_path, "rows")) == 4
    done = compact(tmp_path, "host-a", now=TOMORROW)
    assert done.days == [date(2026, 10, 14)]
    (day,) = (tmp_path / "date=2026-10-14/host=host-a").glob("rows-*")
    (counts,) = tmp_path.rglob("histograms-*.parquet")
    assert counts.name == day.name.replace("rows", "histograms")
    assert pq.read_metadata(day).metadata[b"advisor.samples.schema"] == b"advisor.samples/v2"
    present, entry = pq.ParquetFile(counts).read().to_pylist()
    assert (present["metric"], present["rows"]) == ("rows", 3)
    assert (entry["metric"], entry["rows"], entry["steps"], entry["counts"]) == ("busy_ratio", 3, [100], [3])


def test_doing_it_again_changes_nothing(tmp_path):
    """A second compaction leaves every file as it was, to the byte."""
    spool(tmp_path, [row(number, index) for number in (1, 241) for index in (0, 1)])
    compact(tmp_path, "host-a", now=TOMORROW)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    done = compact(tmp_path, "host-a", now=TOMORROW)
    assert (done.segments, done.days) == (0, [])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before


def test_rows_that_come_late_join_their_day(tmp_path):
    """Rows of a day that was merged are added to it, and the counts follow."""
    spool(tmp_path, [row(1, busy_ratio=0.25)])
    compact(tmp_path, "host-a", now=TOMORROW)
    spool(tmp_path, [row(2, busy_ratio=0.75)])
    (before,) = EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio"], THE_DAY)
    compact(tmp_path, "host-a", now=TOMORROW)
    (after,) = EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio"], THE_DAY)
    assert before.p95 == pytest.approx(after.p95, rel=1e-12)
    assert (before.rows, after.rows, after.p50) == (2, 2, 0.5)
    assert len(files(tmp_path)) == 2


def test_a_row_counts_once_however_often_it_is_there(tmp_path):
    """Two agents, rows twice and in no order, a gap where another agent has a row: each time counts once."""
    spool(tmp_path, [row(3), row(1), row(2), row(1)])
    spool(tmp_path, [row(2), gap(2, 4)])
    for _ in range(2):
        assert ends(tmp_path) == [us(1), us(2), us(3), us(4)]
        (summary,) = EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio"], THE_DAY)
        assert summary.rows == 3
        compact(tmp_path, "host-a", now=TOMORROW)
    (summary,) = EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio"], THE_DAY)
    assert summary.rows == 3


def test_what_a_killed_compaction_left_in_two_places_counts_once(tmp_path):
    """A segment that is still there beside its file is compacted again, to the same file."""
    spool(tmp_path, [row(1), row(2)])
    (segment,) = segments(tmp_path)
    content = segment.read_bytes()
    compact(tmp_path, "host-a", now=DAY)
    segment.write_bytes(content)
    unfinished = tmp_path / "date=2026-10-14/host=host-a/.rows-20261014T00.parquet.x1y2"
    unfinished.write_bytes(b"PAR1")
    assert ends(tmp_path) == [us(1), us(2)]
    compact(tmp_path, "host-a", now=DAY)
    assert len(files(tmp_path)) == 1
    assert not unfinished.exists()
    assert read_back(tmp_path)[1] == []


@pytest.mark.sampled(2)
def test_kill_9_at_random_moments_loses_and_doubles_nothing(tmp_path):
    """A compaction that is killed again and again, and once not: every row is there, once, and counted once."""
    expected = []
    for moment in range(MOMENTS):
        first = moment * 230 % 5300
        numbers = range(first + 1, first + 460, 3)
        spool(tmp_path, [row(number, busy_ratio=number % 100 / 100) for number in numbers])
        expected += [us(number) for number in numbers]
        process = subprocess.Popen(
            [sys.executable, "-m", "advisor.samples.agent.compact_command", tmp_path, "--host", "host-a"],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.35 + (moment * 0.61803 % 1) * 0.25)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ends(tmp_path) == sorted(set(expected))
    assert subprocess.run(
        [sys.executable, "-m", "advisor.samples.agent.compact_command", tmp_path, "--host", "host-a"], check=True
    )
    assert ends(tmp_path) == sorted(set(expected))
    values = np.array([(end - us(0)) // 15_000_000 % 100 / 100 for end in sorted(set(expected))])
    (counted,) = EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio"], THE_DAY)
    assert counted.rows == len(values)
    assert (counted.p50, counted.p95) == pytest.approx(np.quantile(values, (0.5, 0.95)), abs=1e-9)


def test_two_compactions_exclude_each_other(tmp_path):
    """While one process compacts a host another does nothing, and says so."""
    spool(tmp_path, [row(1)])
    with (tmp_path / "spool/host=host-a/.compact.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert compact(tmp_path, "host-a", now=TOMORROW) is None
        said = subprocess.run(
            [sys.executable, "-m", "advisor.samples.agent.compact_command", tmp_path, "--host", "host-a"],
            capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
    assert "another compaction of host-a" in said
    assert len(segments(tmp_path)) == 1


def test_old_days_go_and_new_ones_stay(tmp_path):
    """Days older than is kept are removed, oldest first, and so are days beyond the bound; today's never is."""
    for day in range(6):
        spool(tmp_path, [row(number, day=day) for number in range(1, 40)])
    now = DAY + timedelta(days=5)
    done = compact(tmp_path, "host-a", keep_days=3, now=now)
    assert done.removed == [date(2026, 10, 14), date(2026, 10, 15)]
    a_day = sum(path.stat().st_size for path in (tmp_path / "date=2026-10-17").rglob("*.parquet"))
    done = compact(tmp_path, "host-a", max_bytes=done.total_bytes - a_day, now=now)
    assert done.removed == [date(2026, 10, 16)]
    assert sorted(path.name for path in tmp_path.glob("date=*")) == [
        f"date=2026-10-{day}" for day in (17, 18, 19)
    ]  # fmt: skip
    compact(tmp_path, "host-a", max_bytes=1, now=now)
    assert [path.name for path in tmp_path.glob("date=*")] == ["date=2026-10-19"]


def test_another_hosts_days_are_left_alone(tmp_path):
    """Retention of one host removes nothing of another in the same directory."""
    for host in ("host-a", "host-b"):
        spool(tmp_path, [row(1, host=host)], host)
        compact(tmp_path, host, now=TOMORROW)
    compact(tmp_path, "host-a", keep_days=0, now=DAY + timedelta(days=9))
    assert set(read_back(tmp_path)[0]["host"].to_pylist()) == {"host-b"}


def test_nothing_but_our_files_is_removed(tmp_path):
    """A link in place of a day, and what others put into one, stay; the rest of the day goes."""
    spool(tmp_path, [row(1)])
    compact(tmp_path, "host-a", now=TOMORROW)
    folder = day_folder(tmp_path, DAY.date(), "host-a")
    (folder / "notes").mkdir()
    (folder / "mine.txt").write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "rows-day-1.parquet").write_text("another's")
    link = day_folder(tmp_path, DAY.date() - timedelta(days=1), "host-a")
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    done = compact(tmp_path, "host-a", keep_days=1, now=DAY + timedelta(days=9))
    assert done.removed == [DAY.date()]
    assert sorted(path.name for path in folder.iterdir()) == ["mine.txt", "notes"]
    assert (elsewhere / "rows-day-1.parquet").exists()


def test_trouble_with_a_file_is_no_traceback(tmp_path):
    """A day that this user may not change ends the command with a word and a hint."""
    spool(tmp_path, [row(1)])
    (spool_folder(tmp_path, "host-a") / "uploads.json").mkdir()
    code = (
        "import sys; from pathlib import Path; from advisor.samples.store import compact;"
        "from advisor.samples.agent.compact_command import main;"
        "compact._HostStore.total_bytes = lambda store: Path('/proc/1/none').stat(); sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, "--host", "host-a"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "/proc/1/none: No such file" in done.stderr


def test_a_damaged_file_is_named_and_never_removed(tmp_path):
    """A file of an hour that was cut short stays where it is; the others become the day without it."""
    spool(tmp_path, [row(1), row(241)])
    compact(tmp_path, "host-a", now=DAY)
    damaged = min(tmp_path.rglob("rows-*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-10])
    done = compact(tmp_path, "host-a", now=TOMORROW)
    assert [file.path for file in done.skipped] == [damaged]
    assert damaged.exists()
    assert ends(tmp_path) == [us(241)]
    backend = EmbeddedBackend([str(tmp_path)])
    (summary,) = backend.summaries(["busy_ratio"], THE_DAY)
    assert summary.rows == 1
    assert any(damaged.name in note and "cut short or damaged" in note for note in backend.notes())


def test_a_torn_tail_is_reported_and_the_rest_kept(tmp_path):
    """A segment whose last frame was cut by a crash becomes a file of the rows before it, and the loss is named."""
    spool(tmp_path, [row(1), row(2), row(3)])
    (segment,) = segments(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-5])
    (skipped,) = compact(tmp_path, "host-a", now=DAY).skipped
    assert "damaged or unfinished" in skipped.reason
    assert ends(tmp_path) == [us(1), us(2)]


def test_a_full_disk_keeps_the_spool(tmp_path):
    """Where a file cannot be written the segment stays, the error says what to do, and a later compaction does it."""
    spool(tmp_path, [row(number) for number in range(1, 100)])
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500));"
        "from advisor.samples.agent.compact_command import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, "--host", "host-a"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "cannot write: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(segments(tmp_path)) == 1
    assert files(tmp_path) == []
    compact(tmp_path, "host-a", now=DAY)
    assert len(ends(tmp_path)) == 99


def test_a_directory_that_cannot_be_written_is_an_error_with_a_hint(tmp_path):
    """A path below a file ends the compaction with a word, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write here"):
        compact(tmp_path / "file", "host-a")


def test_engines_have_files_of_their_own(tmp_path):
    """Rows of engines are kept with their histograms, read as a table, and asked like accelerators."""
    spool(tmp_path, [ENGINE_ROW, row(1), gap(1, 2, of=ENGINE_ROW.target)])
    for _ in range(2):
        columns = ("requests_running", "ttft_seconds_counts")
        rows = read_back(tmp_path, columns, Scope.ENGINE)[0].to_pylist()
        assert [entry["gap_reason"] for entry in rows] == [None, "GPU is lost"]
        assert rows[0]["requests_running"] == 3.0
        assert rows[0]["ttft_seconds_counts"] == [1.0, 5.0, 6.0]
        assert rows[0]["model"] == "meta-llama/Llama-3.1-8B"
        backend = EmbeddedBackend([str(tmp_path)])
        (summary,) = backend.summaries(["requests_running"], THE_DAY)
        assert (summary.accelerator.uuid, summary.p50) == (ENGINE_ROW.target.endpoint, 3.0)
        assert "requests_running" in backend.metrics(THE_DAY)
        compact(tmp_path, "host-a", now=TOMORROW)
    assert len(files(tmp_path, "engines")) == 1


def test_an_accelerator_divided_anew_is_other_accelerators(tmp_path):
    """After MIG is reconfigured each instance has its own rows and coverage, before and after compaction."""
    whole, half = target(0, uuid="GPU-1"), target(0, uuid="MIG-1", mig_index=0)
    spool(tmp_path, [row(1, of=whole), row(2, of=half), row(3, of=half)])
    for _ in range(2):
        found = {
            one.accelerator.uuid: one.rows
            for one in EmbeddedBackend([str(tmp_path)]).summaries(["busy_ratio"], THE_DAY)
        }
        assert found == {"GPU-1": 1, "MIG-1": 2}
        compact(tmp_path, "host-a", now=TOMORROW)


def test_a_host_that_was_renamed_keeps_its_accelerators(tmp_path):
    """The same UUID under two names of a host, one after the other, is one accelerator at its newest place."""
    spool(tmp_path, [row(1, of=target(0, "old", "GPU-1"))], "old")
    spool(tmp_path, [row(1, day=1, of=target(0, "new", "GPU-1"))], "new")
    window = Window(us(0), us(0, 2))
    for _ in range(2):
        backend = EmbeddedBackend([str(tmp_path)])
        (summary,) = backend.summaries(["busy_ratio"], window)
        assert (summary.accelerator.host, summary.rows) == ("new", 2)
        assert [one.host for one in backend.accelerators(window)] == ["new"]
        for host in ("old", "new"):
            compact(tmp_path, host, now=DAY + timedelta(days=3))


def test_the_command_says_what_it_did(tmp_path):
    """As a program it ends with 0 and one line."""
    spool(tmp_path, [row(1)])
    done = subprocess.run(
        [sys.executable, "-m", "advisor.samples.agent.compact_command", tmp_path, "--host", "host-a", "--keep-days", "99999"],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.startswith("1 rows of 1 segments")


def test_a_reader_is_not_confused_by_a_compaction(tmp_path):
    """What was listed before a compaction moved it is found where it is now, each row once."""
    spool(tmp_path, [row(number) for number in (1, 241, 481)])
    before_all = EmbeddedBackend([str(tmp_path)])
    compact(tmp_path, "host-a", now=DAY)
    before_merging = EmbeddedBackend([str(tmp_path)])
    compact(tmp_path, "host-a", now=TOMORROW)
    for backend in (before_all, before_merging):
        (summary,) = backend.summaries(["busy_ratio"], THE_DAY)
        assert summary.rows == 3
        assert list(backend.notes()) == []


def test_labels_of_the_host_are_in_every_file(tmp_path):
    """Static labels that the agent has are in the files of its hours and days; later ones win when both are of a day."""
    for number, labels in ((1, {"team": "chat", "env": "test"}), (241, {"team": "search"})):
        spool(tmp_path, [row(number), replace(ENGINE_ROW, end_us=us(number))])
        status_path(tmp_path, "host-a").write_text(json.dumps({"labels": labels}))
        compact(tmp_path, "host-a", now=DAY)
    hours = sorted(tmp_path.rglob("*.parquet"), key=lambda path: path.name)
    assert [read_named(path, LABELS_KEY) for path in hours] == 2 * [{"team": "chat", "env": "test"}, {"team": "search"}]
    compact(tmp_path, "host-a", now=TOMORROW)
    days = {path.name.split("-day-")[0]: read_named(path, LABELS_KEY) for path in tmp_path.rglob("*-day-*.parquet")}
    assert days["rows"] == days["engines"] == {"team": "search", "env": "test"}


def test_old_segments_go_where_nothing_compacts(tmp_path):
    """Without Parquet the spool keeps so many whole days, and the segment that is being written."""
    for day in range(4):
        spool(tmp_path, [row(1, day=day)])
    writer = SpoolWriter(tmp_path, "host-a")
    writer.append([row(2)])
    removed = tidy(tmp_path, "host-a", 1, (DAY + timedelta(days=3)).date())
    assert [path.name[:8] for path in removed] == ["20261014", "20261015"]
    assert [path.name[:8] for path in segments(tmp_path)] == ["20261014", "20261016", "20261017"]
    writer.close()


def test_a_compaction_between_listing_and_reading_loses_nothing(tmp_path):
    """Segments that became files, and files that became a day, after a reader had listed them: each row once."""
    spool(tmp_path, [row(number) for number in (1, 241)])
    for now in (DAY, TOMORROW):
        reader = Store([str(tmp_path)])
        compact(tmp_path, "host-a", now=now)
        (one,) = Fleet.of(reader, reader.days()).accelerators
        assert one.rows == 2
        reader = Store([str(tmp_path)])
        assert reader.window() == Window(us(0), us(241))


def test_hosts_that_shared_an_accelerator_are_read_together(tmp_path):
    """Of three hosts on different days two had the same accelerator: it is one, whether its days are counted or not."""
    for name, uuid, day in (("old", "GPU-1", 0), ("new", "GPU-1", 1), ("other", "GPU-2", 1)):
        spool(tmp_path, [row(number, day=day, of=target(host=name, uuid=uuid)) for number in (1, 2)], name)
    for now in (None, DAY + timedelta(days=3)):
        for name in ("old", "new", "other") if now else ():
            compact(tmp_path, name, now=now)
        reader = Store([str(tmp_path)])
        found = Fleet.of(reader, reader.days()).accelerators
        assert [(one.who.host, one.who.uuid, one.rows) for one in found] == [("new", "GPU-1", 4), ("other", "GPU-2", 2)]
