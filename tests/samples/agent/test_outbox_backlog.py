"""Rows that wait on disk to be sent."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.agent.outbox.backlog import CURSOR_FILE, Backlog, Bounds, MemoryBacklog, Progress
from samples.agent.recorded import END_US, ROW_US, gpu_row

SMALL = Bounds(file_bytes=2000, total_bytes=1 << 20)
URL = "http://server/api/v1/write"


def rows(first, count):
    """Rows one after the other."""
    return [gpu_row(END_US + number * ROW_US) for number in range(first, first + count)]


def drain(backlog, most=3):
    """Everything that waits, oldest first."""
    taken = []
    while records := backlog.peek(most):
        assert len(records) <= most
        taken += records
        backlog.done(len(records))
    return taken


def test_first_in_first_out(tmp_path):
    """Rows come out in the order they went in, across files, and leave no file behind."""
    backlog = Backlog(tmp_path / "b", URL, SMALL)
    backlog.append(rows(0, 10))
    backlog.append(rows(10, 10))
    assert len(list((tmp_path / "b").glob("*.frames"))) > 1
    assert drain(backlog) == rows(0, 20)
    assert not list((tmp_path / "b").glob("*.frames"))


def test_a_process_goes_on_where_the_one_before_stopped(tmp_path):
    """What was done before a process ended is not done again, what waited still waits, and counts are kept."""
    first = Backlog(tmp_path, URL, SMALL)
    first.append(rows(0, 10))
    first.done(len(first.peek(4)))
    first.append(rows(10, 3))
    first.close()
    second = Backlog(tmp_path, URL, SMALL)
    second.append(rows(13, 2))
    assert drain(second) == rows(4, 11)


def test_two_processes_do_not_share_it(tmp_path):
    """A second process for the same host and address is refused while the first runs, and not after it."""
    first = Backlog(tmp_path, URL)
    with pytest.raises(InputError, match="another process"):
        Backlog(tmp_path, URL)
    first.close()
    Backlog(tmp_path, URL).close()


def test_a_torn_end_costs_one_record(tmp_path):
    """A file that ends within a frame gives everything before it, and the next file is not harmed."""
    first = Backlog(tmp_path, URL)
    first.append(rows(0, 5))
    first.close()
    (path,) = tmp_path.glob("*.frames")
    path.write_bytes(path.read_bytes()[:-7])
    second = Backlog(tmp_path, URL)
    second.append(rows(5, 2))
    assert drain(second) == rows(0, 4) + rows(5, 2)


def test_it_is_bounded(tmp_path):
    """When too much waits the oldest files go, and their number is kept."""
    backlog = Backlog(tmp_path, URL, Bounds(file_bytes=1000, total_bytes=5000))
    for number in range(100):
        backlog.append(rows(number, 1))
    assert backlog.size_bytes <= 5000
    left = drain(backlog)
    assert left == rows(100 - len(left), len(left))
    assert backlog.progress.dropped_files > 0


def test_what_is_peeked_at_may_be_dropped_meanwhile(tmp_path):
    """The oldest file may go while it is being sent: what is done with it later does no harm."""
    backlog = Backlog(tmp_path, URL, Bounds(file_bytes=500, total_bytes=2000))
    backlog.append(rows(0, 3))
    backlog.peek(1)
    for number in range(3, 40):
        backlog.append(rows(number, 1))
    backlog.done(1)
    left = drain(backlog)
    assert left[-1] == rows(39, 1)[0]
    assert all(a.end_us < b.end_us for a, b in pairwise(left))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"file": "x"}', '{"records": null}', '{"future": 1}'])
def test_a_cursor_that_cannot_be_understood(tmp_path, content):
    """A damaged cursor, or one of another version, costs a repetition and nothing else."""
    first = Backlog(tmp_path, URL)
    first.append(rows(0, 5))
    first.done(2)
    first.close()
    (tmp_path / CURSOR_FILE).write_text(content)
    assert drain(Backlog(tmp_path, URL)) == rows(0, 5)


def test_the_cursor_tells_how_far_it_is(tmp_path):
    """The cursor file holds what a person wants to know, and no credentials."""
    Backlog(tmp_path, URL).close()
    assert json.loads((tmp_path / CURSOR_FILE).read_text())["url"] == URL
    assert set(json.loads((tmp_path / CURSOR_FILE).read_text())) == {*Progress.__slots__, "backlog_bytes"}


def test_a_folder_that_cannot_be_written(tmp_path):
    """A backlog that has no place is an error before there is anything to lose."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write here"):
        Backlog(tmp_path / "file" / "backlog", URL)


def test_in_memory():
    """Without a directory the newest rows are kept."""
    backlog = MemoryBacklog(URL, most_records=10)
    backlog.append(rows(0, 8))
    backlog.append(rows(8, 8))
    assert drain(backlog) == rows(6, 10)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 5).map(lambda n: ("append", n)), st.integers(1, 5).map(lambda n: ("done", n)),
                          st.just(("restart", 0))), max_size=25))  # fmt: skip
def test_nothing_is_lost_and_nothing_comes_twice(tmp_path_factory, steps):
    """However appending, sending and restarts follow each other, each row comes out once and in its order."""
    folder = tmp_path_factory.mktemp("backlog")
    backlog, appended, taken = Backlog(folder, URL, SMALL), 0, []
    for step, count in steps:
        if step == "append":
            backlog.append(rows(appended, count))
            appended += count
        elif step == "done":
            records = backlog.peek(count)
            taken += records
            if records:
                backlog.done(len(records))
        else:
            backlog.close()
            backlog = Backlog(folder, URL, SMALL)
    assert taken + drain(backlog) == rows(0, appended)
