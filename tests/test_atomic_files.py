"""Files are replaced whole or not at all."""

import os
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.atomic_files import write_bytes, write_output, write_text
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
