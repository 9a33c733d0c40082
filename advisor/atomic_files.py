"""Writing files so that a crash or a full disk never loses what was there before."""

import os
import tempfile
from pathlib import Path

from advisor.errors import InputError

_WRITABLE = "give a path in a directory that exists, that you may write to, and that has space left"


def make_directory(directory: Path) -> None:
    """Make a directory with its parents.

    Raises:
        InputError: it cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        told = f"cannot make the directory: {error.strerror or error}"
        raise InputError(told, where=str(directory), hint="give a place that you may write to") from error


def write_text(path: Path, text: str) -> None:
    """Replace *path* by *text* in one step: write beside it, flush to disk, rename over it.

    Raises:
        InputError: the directory is missing or not writable, or the disk is full; *path* is then as it was.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Replace *path* by *content* in one step; see :func:`write_text`.

    What a crash may leave behind lies in *scratch*, a directory of the same file system; by default beside *path*.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=scratch or path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(_mode_of(path))
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        told = f"cannot write: {error.strerror or error}"
        raise InputError(told, where=str(path), hint=_WRITABLE) from error


def write_output(path: Path, content: bytes) -> None:
    """Write *content* where a person wants it: a file in one step, behind links; a device or a pipe as it is.

    Raises:
        InputError: it cannot be written; a file is then as it was.
    """
    try:
        place = path.resolve()
        is_file = place.is_file() or not place.exists()
        if not is_file:
            with place.open("wb") as stream:
                stream.write(content)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its links lead in a circle"
        raise InputError(f"cannot write: {reason or error}", where=str(path), hint=_WRITABLE) from error
    if is_file:
        write_bytes(place, content)


def _mode_of(path: Path) -> int:
    """Permission bits of the file being replaced, else what the umask gives a new file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
