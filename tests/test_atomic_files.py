"""Files are replaced whole or not at all."""

import os
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.atomic_files import write_bytes, write_output, write_outputs, write_text
from advisor.errors import InputError


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_the_new_content_replaces_the_old(tmp_path_factory, old, new):
    """What is read back is exactly what was written last, and nothing lies beside it."""
    path = tmp_path_factory.mktemp("atomic") / "file"

    write_bytes(path, old)
    write_bytes(path, new)

    assert path.read_bytes() == new
    assert list(path.parent.iterdir()) == [path]


def test_permissions_survive(tmp_path):
    """A file keeps its mode; a new one gets what the umask allows."""
    path = tmp_path / "file"
    old_umask = os.umask(0o027)
    try:
        write_text(path, "a")
    finally:
        os.umask(old_umask)
    assert path.stat().st_mode & 0o777 == 0o640
    path.chmod(0o600)

    write_text(path, "b")

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """A write that cannot finish changes nothing and leaves no temporary file."""
    path = tmp_path / "file"
    write_text(path, "precious")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InputError, match="cannot write"):
            write_bytes(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_directory_is_said(tmp_path):
    """The error names the path and what to do."""
    with pytest.raises(InputError) as caught:
        write_text(tmp_path / "no" / "file", "x")

    assert "no/file" in str(caught.value)
    assert "hint" in str(caught.value)


def test_results_go_where_a_link_leads(tmp_path):
    """A link stays a link, and its target is replaced in one step; of a circle it is said."""
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "circle").symlink_to("circle")

    write_output(tmp_path / "link", b"new")

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
    with pytest.raises(InputError, match="cannot write"):
        write_output(tmp_path / "circle", b"new")


def test_devices_and_pipes_stay_what_they_are(tmp_path):
    """Nothing is renamed over them."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    seen = []
    reading = threading.Thread(target=lambda: seen.append(pipe.read_bytes()))
    reading.start()

    write_output(pipe, b"new")
    write_output(Path("/dev/null"), b"new")
    reading.join(10)

    assert seen == [b"new"]
    assert pipe.is_fifo()
    assert Path("/dev/null").is_char_device()


def test_several_files_are_replaced_together_or_not_at_all(tmp_path):
    """Where the last cannot be written, the others stay as they were, which the error says, and nothing is left over."""
    files = {tmp_path / "a": b"new", tmp_path / "link": b"new", tmp_path / "folder": b"new"}
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("old")
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "folder").mkdir()

    with pytest.raises(InputError, match="Is a directory; none of the files was changed") as caught:
        write_outputs(files)
    assert caught.value.where == str(tmp_path / "folder")
    assert "directory that exists" not in str(caught.value)
    assert {(tmp_path / name).read_text() for name in ("a", "b")} == {"old"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "folder", "link"]

    (tmp_path / "folder").rmdir()
    write_outputs(files)

    assert {(tmp_path / name).read_text() for name in ("a", "b", "folder")} == {"new"}
    assert (tmp_path / "link").is_symlink()


def test_files_that_were_replaced_before_a_failure_are_named(tmp_path):
    """A pipe that nobody can be told through any more is found late: the error names what is new already."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = threading.Thread(target=lambda: os.close(os.open(pipe, os.O_RDONLY)))
    reading.start()

    with pytest.raises(InputError, match=f"cannot write: Broken pipe; replaced already: {tmp_path / 'a'}") as caught:
        write_outputs({tmp_path / "a": b"new", pipe: bytes(10_000_000)})
    reading.join(10)

    assert "whoever reads the pipe has ended" in str(caught.value)


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 127])
def test_a_name_may_be_as_long_as_the_system_takes(tmp_path, name):
    """The temporary file beside it has a shorter one; beyond that the hint asks for a shorter name."""
    write_output(tmp_path / name, b"new")

    assert (tmp_path / name).read_bytes() == b"new"
    with pytest.raises(InputError, match="name too long") as caught:
        write_output(tmp_path / (name * 2), b"new")
    assert "give a shorter name" in str(caught.value)


def test_a_removed_working_directory_is_said(tmp_path, monkeypatch):
    """No other path in it would help."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(InputError, match="the working directory was removed"):
        write_output(Path("file"), b"new")
