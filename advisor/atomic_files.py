"""Writing files so that a crash or a full disk never loses what was there before; folders of temporary files."""

import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from advisor.errors import InputError

_WRITABLE = "give a path in a directory that exists, that you may write to, and that has space left"


def make_directory(directory: Path) -> None:
    """Make a directory with its parents. Raises InputError if it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        told = f"cannot make the directory: {error.strerror or error}"
        raise InputError(told, where=str(directory), hint="give a place that you may write to") from error


def write_text(path: Path, text: str) -> None:
    """Replace *path* by *text* in one step: write beside it, flush to disk, rename over it.

    Raises InputError if the directory is missing or not writable, or the disk is full; *path* is then as it was.
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

    Raises InputError if it cannot be written; a file is then as it was.
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


_PREFIX = "advisor-scratch-"
_YOUNGEST_SECONDS = 60
"""Folders that are younger may be about to be locked."""
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_EXIT_BASE = 128


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that nobody else may read, removed at the end and on SIGTERM, SIGHUP and Ctrl-C.

    A process that was killed leaves its folder unlocked; the next call removes it.

    It lies in *parent*, or in the system's folder for temporary files (``TMPDIR``). Raises OSError if it cannot be
    made.
    """
    place = parent or Path(tempfile.gettempdir())
    _remove_abandoned(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with ended_in_order():
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(place: Path) -> None:
    """Remove own folders that no process holds any more."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            is_own = status.st_uid == os.getuid() and not folder.is_symlink()
            if is_own and time.time() - status.st_mtime > _YOUNGEST_SECONDS and not _is_locked(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program by an exception, so that what is temporary is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [
        (number, signal.signal(number, _end)) for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL
    ]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_EXIT_BASE + number)
