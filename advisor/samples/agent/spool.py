"""The spool: rows on disk a moment after they are made, in segments of an hour that only ever grow.

Each segment belongs to one process, which holds a lock (``flock``) on it as long as it writes: whoever gets the lock
knows that the segment is complete, even where its writer was killed. Names carry random digits and files are created
exclusively, so agents that share a directory never share a segment.

Standard library only: the agent imports this on inference hosts.
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import InputError
from advisor.samples.agent.record_lines import line_of, read_lines
from advisor.samples.places import SEGMENT_SUFFIX, US_PER_SECOND, spool_folder
from advisor.samples.rows import Record

_US_PER_HOUR = 3600 * US_PER_SECOND
_MODE = 0o640
_DIGIT = "[0-9]"


class SpoolFullError(InputError):
    """Rows cannot be written now: no space, a read-only file system, a disk that fails. They may be given again."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Content of one file of the spool."""

    records: tuple[Record, ...]
    skipped_bytes: int
    """Bytes that belong to no whole line: a torn tail, damage."""


class SpoolWriter:
    """Appends the rows of one process; to be closed."""

    def __init__(self, directory: Path, host: str) -> None:
        """Make sure that the directory can be written to, before there is anything to lose.

        Raises:
            InputError: it cannot.
        """
        self._folder = spool_folder(directory, host)
        self._stem = os.urandom(6).hex()
        self._sequence = 0
        self._file: int | None = None
        self._hour = 0
        self._size = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            probe = self._folder / f".{self._stem}.probe"
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"cannot write here: {error.strerror}",
                where=str(directory),
                hint="give a directory that you may write to and that has space left: --output DIR",
            ) from error

    def append(self, records: Sequence[Record]) -> None:
        """Write rows and gaps; they are safe after :meth:`sync`.

        Raises:
            SpoolFullError: not all of them could be written. They may be given again: what is there twice counts once.
        """
        for hour, group in _by_hour(records):
            self._write(self._segment_of(hour), group)

    def sync(self) -> None:
        """Bring to disk what was appended: it is acknowledged when this returns.

        Raises:
            SpoolFullError: the disk refused; what was appended since the last sync is not safe and may be given again.
        """
        if self._file is None:
            return
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._abandon()
            raise self._full(error) from error

    def close(self) -> None:
        """Bring everything to disk and let go of the segment, so that it can be compacted.

        Raises:
            SpoolFullError: as for :meth:`sync`.
        """
        self.sync()
        self._abandon()

    def _segment_of(self, hour: int) -> int:
        """The open segment of an hour, with the lock that says that it is being written."""
        if self._file is not None and hour == self._hour:
            return self._file
        self.close()
        file = self._create(time.strftime("%Y%m%dT%H", time.gmtime(hour * _US_PER_HOUR // US_PER_SECOND)))
        self._file, self._hour, self._size = file, hour, 0
        return file

    def _create(self, hour: str) -> int:
        """A new file under a name that no segment has had."""
        while True:
            path = self._folder / f"{hour}-{self._stem}-{self._sequence:06d}{SEGMENT_SUFFIX}"
            self._sequence += 1
            try:
                file = _create_locked(path)
            except OSError as error:
                raise self._full(error) from error
            if file is not None:
                return file

    def _write(self, file: int, records: Sequence[Record]) -> None:
        content = memoryview(line_of(records))
        written = 0
        try:
            while written < len(content):
                written += os.write(file, content[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)
            self._abandon()
            raise self._full(error) from error
        self._size += written

    def _abandon(self) -> None:
        """Close the segment; the lock goes with it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _full(self, error: OSError) -> SpoolFullError:
        return SpoolFullError(
            f"cannot write samples: {error.strerror}",
            where=str(self._folder),
            hint="make space or mount the disk writable; the agent goes on by itself then",
        )


def segments(directory: Path, host: str | None = None) -> list[Path]:
    """Segments of a host, or of all, in order of host, hour and writer."""
    root = spool_folder(directory, host) if host is not None else spool_folder(directory, "x").parent
    return sorted(root.rglob(f"{_DIGIT * 8}T{_DIGIT * 2}-*{SEGMENT_SUFFIX}")) if root.is_dir() else []


def read_segment(path: Path) -> Segment:
    """All whole rows and gaps of a segment, also of one that is being written.

    Raises:
        OSError: the file cannot be read at all.
    """
    records: list[Record] = []
    skipped_bytes = 0
    with path.open("rb") as stream:
        for read in read_lines(stream):
            if isinstance(read, int):
                skipped_bytes += read
            else:
                records += read
    return Segment(tuple(records), skipped_bytes)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold the lock of a segment; False where somebody writes it, or it is gone."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield _try_lock(file)
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    """Take the lock of an open file; False where another has it, or where the file has been deleted."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file).st_nlink > 0


def _create_locked(path: Path) -> int | None:
    """A new file that this process holds the lock of; None when the name is taken, or a compaction was quicker."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, _MODE)
    except FileExistsError:
        return None
    try:
        is_mine = _try_lock(file)
        if is_mine:
            sync_folder(path.parent)
    except OSError:
        os.close(file)
        raise
    if not is_mine:
        os.close(file)
    return file if is_mine else None


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder last."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has nothing to sync
            raise
    finally:
        os.close(file)


def _by_hour(records: Sequence[Record]) -> Iterator[tuple[int, Sequence[Record]]]:
    """Runs of records of the same hour (hours since 1970), in the order they came."""
    start = 0
    for number in range(1, len(records) + 1):
        if number == len(records) or _hour_of(records[number]) != _hour_of(records[start]):
            yield _hour_of(records[start]), records[start:number]
            start = number


def _hour_of(record: Record) -> int:
    return (record.end_us - 1) // _US_PER_HOUR
