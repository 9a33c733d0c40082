"""Files that a person names are read within bounds, and every refusal says how to fix it."""

import json
import os
import threading
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.reading import check_regular, json_of, read_json, read_text

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(values)
def test_json_is_read_as_it_was_written(value):
    """Nothing of a sound document is lost."""
    assert json_of(json.dumps(value), "x.json") == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[" * 100_000, "nests too deeply"),
        ('{"a":' * 100_000, "nests too deeply"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('["\\ud800"]', "half a character"),
        ("9" * 400, "400 digits"),
        ("[NaN]", "NaN is not a number"),
        ("[-Infinity]", "-Infinity is not a number"),
        ("{", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused(text, expected):
    """The reason is named, with the file and the remedy."""
    with pytest.raises(InputError, match=expected) as raised:
        json_of(text, "x.json", "make it again")
    assert (raised.value.where, raised.value.hint) == ("x.json", "make it again")


def test_a_path_with_a_zero_byte_is_no_path():
    """JSON can write one; no system takes it."""
    for read in (read_text, check_regular):
        with pytest.raises(InputError, match="no path holds the character U\\+0000") as raised:
            read(Path("a\0b"), "plan")
        assert raised.value.where == "a\\0b"


def test_files_are_no_larger_than_they_may_be(tmp_path):
    """A device without an end is read up to the bound, and a file is not cut off in silence."""
    (tmp_path / "f").write_bytes(b"x" * 2_000_000)

    assert len(read_text(tmp_path / "f", "plan", most_bytes=2_000_000)) == 2_000_000
    for path in (tmp_path / "f", Path("/dev/zero")):
        with pytest.raises(InputError, match="the plan is larger than"):
            read_text(path, "plan", most_bytes=1_999_999)


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "cannot read the plan: No such file"), (b"\xff", "the plan is not UTF-8")]
)
def test_files_that_cannot_be_read_are_named(tmp_path, content, expected):
    """Missing and binary files."""
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=expected):
        read_text(path, "plan")


@pytest.mark.parametrize(
    ("content", "line"),
    [("name: é\n".encode("utf-16"), 1), (b"name: a\r\n# \xe9\n", 2), (b"\n" * 2_000_000 + b"\xc3", 2_000_001)],
)
def test_text_that_is_not_utf_8_is_told_with_its_line(tmp_path, content, line):
    """UTF-16, Latin-1, and half a character at the end of a file of several pieces."""
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not UTF-8 text: byte 0x") as raised:
        read_text(path, "plan")
    assert (raised.value.where, raised.value.hint) == (f"{path}:{line}", "save it as UTF-8")


def test_a_byte_order_mark_is_no_content(tmp_path):
    """As editors on Windows write it."""
    (tmp_path / "plan.json").write_bytes(b"\xef\xbb\xbf[1]")

    assert read_json(tmp_path / "plan.json", "plan") == [1]


def test_a_silent_pipe_is_said(tmp_path, capsys, monkeypatch):
    """Whoever waits is told for what; what comes in the end is read."""
    monkeypatch.setattr("advisor.reading._PATIENCE_SECONDS", 0.01)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = threading.Timer(0.3, lambda: pipe.write_text("[1]"))
    writing.start()

    assert read_json(pipe, "plan") == [1]
    writing.join()
    assert f"waiting for the plan from {pipe}" in capsys.readouterr().err


def test_a_large_file_is_in_memory_once(tmp_path):
    """The largest that is read, of 512 MiB, stays below 1 GB."""
    path, size = tmp_path / "plan.json", 64 << 20
    with path.open("wb") as stream:
        stream.truncate(size)
    tracemalloc.start()
    try:
        assert len(read_text(path, "plan")) == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 1.3 * size


def test_a_character_may_lie_across_the_pieces_that_are_read(tmp_path):
    """Half of it ends one piece, half of it begins the next; a byte order mark is left out."""
    path, text = tmp_path / "plan.json", "x" + "é" * (3 << 20)
    path.write_text(text, encoding="utf-8-sig")

    assert read_text(path, "plan") == text
