"""Rows that could not be sent yet: on disk, in order, with a cursor that survives the process.

Records are appended as frames to numbered files of limited size; the oldest is read whole, and deleted when all of it
was taken care of. What is sent twice after a crash is the same sample, which servers take without a word.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from advisor.errors import InputError
from advisor.samples.agent.frames import frame_bytes, read_frames
from advisor.samples.rows import Record
from advisor.units import BYTES_PER_MIB

CURSOR_FILE = "cursor.json"
_LOCK_FILE = "lock"
_SUFFIX = ".frames"
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    url: str = ""
    """Where to, without credentials."""
    file: int = 0
    """Number of the file that is read."""
    records: int = 0
    """Records of it that were taken care of."""
    taken_us: int = 0
    """Rows that end until then were sent, or are in the backlog; 0: it never ran."""
    sent_samples: int = 0
    parked_samples: int = 0
    """Refused by the server for good."""
    dropped_files: int = 0
    """Left out because the backlog was full."""
    failing: str = ""
    """Why nothing can be sent at the moment; "" while it works."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a backlog may take."""

    file_bytes: int = 256 * 1024
    """Read into memory at once."""
    total_bytes: int = 256 * BYTES_PER_MIB
    """On disk: beyond it the oldest file is dropped."""


DEFAULT_BOUNDS = Bounds()


class Backlog:
    """A queue of records in a folder; for one thread of one process, which holds a lock on it."""

    def __init__(self, folder: Path, url: str, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        """Take up what the process before left.

        Raises:
            InputError: the folder cannot be written to, or another process has it.
        """
        self._folder, self._bounds = folder, bounds
        self._writing: int | None = None
        self._lock: int | None = None
        self._ahead: Sequence[Record] = ()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / _LOCK_FILE)
            self.progress = replace(_read_progress(folder / CURSOR_FILE), url=url)
            self._files = {number: self._path(number).stat().st_size for number in self._numbers()}
            self.save()
        except OSError as error:
            raise InputError(f"cannot write here: {error.strerror}", where=str(folder)) from error

    @property
    def size_bytes(self) -> int:
        """On disk."""
        return sum(self._files.values())

    def append(self, records: Sequence[Record]) -> None:
        """Keep records for later; they are safe when it returns.

        Raises:
            OSError: the disk does not take them.
        """
        if self._writing is None:
            self._begin_file()
        number, content = max(self._files), b"".join(map(frame_bytes, records))
        _write_all(self._writing, content)
        self._files[number] += len(content)
        if self._files[number] >= self._bounds.file_bytes:
            self._end_file()
        while self.size_bytes > self._bounds.total_bytes and len(self._files) > 1:
            self._delete(min(self._files))
            self.progress = replace(self.progress, dropped_files=self.progress.dropped_files + 1)

    def peek(self, most: int) -> Sequence[Record]:
        """The oldest records, at most so many; empty when there are none. They stay until :meth:`done`."""
        while not self._ahead and self._files:
            oldest = min(self._files)
            if oldest == max(self._files):
                self._end_file()
            skipped = self.progress.records if oldest == self.progress.file else 0
            self.progress = replace(self.progress, file=oldest, records=skipped)
            self._ahead = self._read(oldest)[skipped:]
            if not self._ahead:
                self._delete(oldest)
        return self._ahead[:most]

    def done(self, count: int) -> None:
        """Take the oldest records off: they were taken care of."""
        self._ahead = self._ahead[count:]
        self.progress = replace(self.progress, records=self.progress.records + count)
        if not self._ahead:
            self._delete(self.progress.file)
        self.save()

    def save(self) -> None:
        """Write the cursor down.

        Raises:
            OSError: the disk does not take it.
        """
        path = self._folder / CURSOR_FILE
        fresh = path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as stream:
            json.dump({**asdict(self.progress), "backlog_bytes": self.size_bytes}, stream)
            stream.flush()
            os.fdatasync(stream.fileno())
        fresh.replace(path)

    def close(self) -> None:
        """Let go of the files; what waits stays for the next process."""
        self._end_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _begin_file(self) -> None:
        """A new file, with a number that no file has had: a torn end of the last one stays at its end."""
        number = max(self._files, default=self.progress.file) + 1
        self._writing = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        self._files[number] = 0

    def _end_file(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _read(self, number: int) -> Sequence[Record]:
        try:
            with self._path(number).open("rb") as stream:
                return tuple(read_frames(stream))
        except OSError:
            return ()

    def _delete(self, number: int) -> None:
        if number == self.progress.file:
            self._ahead = ()
        if number == max(self._files, default=number):
            self._end_file()
        self._files.pop(number, None)
        with suppress(OSError):
            self._path(number).unlink()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}{_SUFFIX}"

    def _numbers(self) -> Sequence[int]:
        return [int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdigit()]


class MemoryBacklog:
    """The same without a disk: bounded, and lost with the process."""

    def __init__(self, url: str, most_records: int = 5000) -> None:
        """Empty."""
        self._records: list[Record] = []
        self._most = most_records
        self.progress = Progress(url)

    @property
    def size_bytes(self) -> int:
        """On disk: nothing."""
        return 0

    def append(self, records: Sequence[Record]) -> None:
        """Keep records for later; the oldest go when there are too many."""
        self._records += records
        if len(self._records) > self._most:
            del self._records[: -self._most]
            self.progress = replace(self.progress, dropped_files=self.progress.dropped_files + 1)

    def peek(self, most: int) -> Sequence[Record]:
        """The oldest records, at most so many."""
        return self._records[:most]

    def done(self, count: int) -> None:
        """Take the oldest records off."""
        del self._records[:count]

    def save(self) -> None:
        """Nothing outlives the process."""

    def close(self) -> None:
        """Nothing to let go of."""


def _locked(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise InputError(
            "another process sends the rows of this host to this address",
            where=str(path.parent),
            hint="end it first; two would send everything twice",
        ) from error
    return file


def _read_progress(path: Path) -> Progress:
    """What a cursor file says; the beginning where there is none, or one that cannot be understood."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        defaults = asdict(Progress())
        known = {field.name: content[field.name] for field in fields(Progress) if field.name in content}
        if any(type(value) is not type(defaults[name]) for name, value in known.items()):
            return Progress()
        return Progress(**known)
    except (OSError, ValueError, TypeError):
        return Progress()


def _write_all(file: int | None, content: bytes) -> None:
    rest = memoryview(content)
    while rest and file is not None:
        rest = rest[os.write(file, rest) :]
    if file is not None:
        os.fdatasync(file)
