"""Writing files so that a crash or a full disk never loses what was there before; folders of temporary files."""

import errno
import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from advisor.errors import InputError

_WRITABLE = "give a path in a directory that exists, that you may write to, and that has space left"
_NO_SPACE = "free some space, or give a path on another disk"
_HINTS = {
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EISDIR: "give the name of a file, or move the directory away",
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
    errno.EFBIG: "the limit on the size of files (ulimit -f) is too low for it",
    errno.EPIPE: "whoever reads the pipe has ended: see why",
}
"""Remedy by the cause that the system tells."""
_PREFIX_LENGTH = 50
"""Characters of a file's name that its temporary file has: a name may have 255 bytes."""


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
    with _told(path):
        temporary = _staged(path, content, scratch)
        _take(temporary, path)


def write_output(path: Path, content: bytes) -> None:
    """Write *content* where a person wants it: a file in one step, behind links; a device or a pipe as it is.

    Raises InputError if it cannot be written; a file is then as it was.
    """
    write_outputs({path: content})


def write_outputs(contents: Mapping[Path, bytes]) -> None:
    """Write files as :func:`write_output` does, in order, and the first only when all of them are on the disk.

    Raises InputError with the one that cannot be written, and the ones that were replaced before it, as a rule none.
    """
    staged: dict[Path, Path] = {}
    places: dict[Path, Path] = {}
    written: list[str] = []
    try:
        for path, content in contents.items():
            with _told(path, _untouched(contents)):
                places[path] = path.resolve()
                if _is_replaceable(places[path]):
                    staged[path] = _staged(places[path], content)
        for path, place in places.items():
            with _told(path, f"; replaced already: {', '.join(written)}" if written else _untouched(contents)):
                if path in staged:
                    _take(staged[path], place)
                else:
                    place.write_bytes(contents[path])
            written.append(str(path))
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def _untouched(contents: Collection[Path]) -> str:
    return "; none of the files was changed" if len(contents) > 1 else ""


def _is_replaceable(place: Path) -> bool:
    """Whether a new file may take a place, which is free or a file; False: a device or a pipe."""
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return place.is_file() or not place.exists()


def _staged(path: Path, content: bytes, scratch: Path | None = None) -> Path:
    """A file with *content* and the permissions of *path*, on the disk and beside it, or in *scratch*."""
    folder = scratch or path.parent
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name[:_PREFIX_LENGTH]}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(_mode_of(path))
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _take(temporary: Path, path: Path) -> None:
    """Put a staged file in its place; where that fails, it is removed."""
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _told(path: Path, state: str = "") -> Iterator[None]:
    """Turn errors of the system into an InputError with the file, the *state* of others, and a remedy."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else "its links lead in a circle"
        raise InputError(f"cannot write: {reason}{state}", where=str(path), hint=_remedy(error, path)) from error


def _remedy(error: OSError | RuntimeError, path: Path) -> str:
    if isinstance(error, FileNotFoundError) and not path.is_absolute() and not _has_working_directory():
        return "the working directory was removed: change to one that exists"
    return _HINTS.get(error.errno or 0, _WRITABLE) if isinstance(error, OSError) else _WRITABLE


def _has_working_directory() -> bool:
    try:
        return Path.cwd().is_dir()
    except FileNotFoundError:
        return False


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
