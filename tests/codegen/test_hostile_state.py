"""What lies in a directory of code instead of a file is refused, not waited for."""

import os

import pytest

from advisor.codegen.writing.record import FOLDER, MANIFEST, read_bytes, read_record
from advisor.errors import InputError


@pytest.mark.parametrize("kind", ["pipe", "device", "huge"])
def test_a_manifest_that_is_no_file_is_refused(tmp_path, kind):
    """A pipe would block, a device and 1 GiB of nothing would fill the memory."""
    place = tmp_path / FOLDER / MANIFEST
    place.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        with place.open("wb") as stream:
            stream.truncate(2**30)

    with pytest.raises(InputError, match=r"pipe or a device|larger than 16 MiB"):
        read_record(tmp_path)


def test_what_is_not_there_is_none(tmp_path):
    """And a file is its content."""
    (tmp_path / "a").write_bytes(b"x")
    assert read_bytes(tmp_path / "a") == b"x"
    assert read_bytes(tmp_path / "b") is None
    assert read_bytes(tmp_path / "a" / "c") is None
