"""Folders for temporary files that are gone afterwards, however the program ends."""

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

_PREFIX = "advisor-scratch-"
_YOUNGEST_SECONDS = 60
"""Folders that are younger may be about to be locked."""
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_EXIT_BASE = 128


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that nobody else may read, removed at the end and on SIGTERM, SIGHUP and Ctrl-C.

    A process that was killed leaves its folder unlocked; the next call removes it.

    It lies in *parent*, or in the system's folder for temporary files (``TMPDIR``).

    Raises:
        OSError: it cannot be made.
    """
    place = parent or Path(tempfile.gettempdir())
    _remove_abandoned(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with _ended_in_order():
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
def _ended_in_order() -> Iterator[None]:
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
