"""The spool: rows on disk a moment after they are made, in segments of an hour that only ever grow.

Each segment belongs to one process, which holds a lock (``flock``) on it as long as it writes: whoever gets the lock
knows that the segment is complete, even where its writer was killed. Names carry random digits and files are created
exclusively, so agents that share a directory never share a segment.

A line has what was written at once, and a damaged place costs the lines that it touches and no others. The JSON is a
list of objects. Their target is the list of its fields; a value of a row is ``[least, mean, greatest, last, n]`` for a
gauge and ``[last, n]`` for a counter, and a histogram is ``[bounds, counts, total]``.

Standard library only: the agent imports this on inference hosts.
"""

import contextlib
import errno
import fcntl
import json
import os
import time
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from math import isnan, nan
from pathlib import Path
from typing import Any, BinaryIO
from zlib import compress, decompressobj
from zlib import error as zlib_error

from advisor.errors import InputError
from advisor.records import dataclass
from advisor.samples.metrics import MOST_VALUE, Buckets, Gap, Record, Row, Stats, Target
from advisor.samples.places import SEGMENT_SUFFIX, US_PER_SECOND, spool_folder

MOST_BYTES = 16 << 20
"""A line of more than that, compressed or not, is none of ours."""
_MOST_US = 2**57
"""Year 6536: dates end soon after."""
_MOST_TICKS = 2**31 - 1
_MOST_READINGS = 2**15 - 1
_LEVEL = 1


def line_of(records: Sequence[Record]) -> bytes:
    """Rows and gaps as a line, with its end."""
    content = json.dumps([_fields_of(record) for record in records], separators=(",", ":"))
    return b2a_base64(compress(content.encode(), _LEVEL))


def read_lines(stream: BinaryIO) -> Iterator[Sequence[Record] | int]:
    """The records of each whole line; of any other the number of its bytes."""
    while line := stream.readline(MOST_BYTES):
        try:
            yield [_record_of(fields) for fields in json.loads(_content_of(line))]
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError, zlib_error):
            yield len(line)


def _content_of(line: bytes) -> bytes:
    """Decompressed content; ValueError: the line is cut short, or far too long."""
    decompress = decompressobj()
    content = decompress.decompress(a2b_base64(line), MOST_BYTES)
    if not decompress.eof:
        raise ValueError("cut short, or far too long")
    return content


def _fields_of(record: Record) -> dict[str, Any]:
    """Plain values: JSON as Python writes it has NaN and infinity too."""
    target = record.target
    fields: dict[str, Any] = {
        "target": [
            target.host, target.source, target.index, target.mig_index, target.uuid, target.name, target.endpoint
        ],
        "end_us": record.end_us,
        "missed_ticks": min(record.missed_ticks, _MOST_TICKS),  # a clock may be set forward by decades
    }  # fmt: skip
    if isinstance(record, Gap):
        return {**fields, "start_us": record.start_us, "reason": record.reason}
    stats = {
        name: (kept.last, kept.n) if isnan(kept.mean) else (kept.least, kept.mean, kept.greatest, kept.last, kept.n)
        for name, kept in record.stats.items()
    }
    buckets = {name: [kept.bounds, kept.counts, kept.total] for name, kept in record.buckets.items()}
    return {**fields, "stats": stats, "buckets": buckets, "note": record.note}


def _record_of(fields: Mapping[str, Any]) -> Record:
    """A row or gap, with every value of its type: another host that shares the directory may have written it."""
    host, source, index, mig_index, *texts = fields["target"]
    uuid, name, endpoint = map(_text_or_none, texts)
    target = Target(_text(host), _text(source), _integer(index), _integer(mig_index), uuid, name, endpoint)
    end_us, missed_ticks = _whole(fields["end_us"]), _whole(fields["missed_ticks"], _MOST_TICKS)
    if "reason" in fields:
        return Gap(target, _whole(fields["start_us"]), end_us, missed_ticks, _text(fields["reason"]))
    stats = {str(name): _stats_of(*kept) for name, kept in fields["stats"].items()}
    buckets = {
        str(name): Buckets(tuple(map(float, bounds)), tuple(map(float, counts)), float(total))
        for name, (bounds, counts, total) in fields["buckets"].items()
    }
    return Row(target, end_us, stats, buckets, missed_ticks, _text_or_none(fields["note"]))


def _stats_of(*kept: float) -> Stats:
    *values, readings = kept
    least, mean, greatest, last = map(float, (nan, nan, nan, *values) if len(values) == 1 else values)
    if any(abs(value) > MOST_VALUE for value in values):
        raise ValueError("out of bounds")
    return Stats(least, mean, greatest, last, _whole(readings, _MOST_READINGS))


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    """Text that UTF-8 can hold: JSON can name half a surrogate pair."""
    return str(value).encode(errors="replace").decode()


def _integer(number: float | None) -> int | None:
    return None if number is None else _whole(number, _MOST_TICKS)


def _whole(number: float, most: int = _MOST_US) -> int:
    if not 0 <= number <= most:
        raise ValueError("out of bounds")
    return int(number)


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
        """Check that the directory can be written to before there is anything to lose, or raise InputError."""
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
            hint = "give a directory that you may write to and that has space left: --output DIR"
            raise InputError(f"cannot write here: {error.strerror}", where=str(directory), hint=hint) from error

    def append(self, records: Sequence[Record]) -> None:
        """Write rows and gaps; they are safe after :meth:`sync`.

        Raises SpoolFullError if not all of them could be written. They may be given again: what is there twice counts
        once.
        """
        for hour, group in groupby(records, key=lambda record: (record.end_us - 1) // _US_PER_HOUR):
            self._write(self._segment_of(hour), list(group))

    def sync(self) -> None:
        """Bring to disk what was appended: it is acknowledged when this returns.

        Raises SpoolFullError if the disk refused; what was appended since the last sync is not safe and may be given
        again.
        """
        if self._file is None:
            return
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._abandon()
            raise self._full(error) from error

    def close(self) -> None:
        """Sync and let go of the segment, to be compacted. Raises SpoolFullError as for :meth:`sync`."""
        self.sync()
        self._abandon()

    def _segment_of(self, hour: int) -> int:
        """The open segment of an hour, with the lock that says that it is being written."""
        if self._file is not None and hour == self._hour:
            return self._file
        self.close()
        begin = time.strftime("%Y%m%dT%H", time.gmtime(hour * _US_PER_HOUR // US_PER_SECOND))
        file = None
        while file is None:  # until a name is met that no segment has had
            path = self._folder / f"{begin}-{self._stem}-{self._sequence:06d}{SEGMENT_SUFFIX}"
            self._sequence += 1
            try:
                file = _create_locked(path)
            except OSError as error:
                raise self._full(error) from error
        self._file, self._hour, self._size = file, hour, 0
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
        hint = "make space or mount the disk writable; the agent goes on by itself then"
        return SpoolFullError(f"cannot write samples: {error.strerror}", where=str(self._folder), hint=hint)


def segments(directory: Path, host: str | None = None) -> list[Path]:
    """Segments of a host, or of all, in order of host, hour and writer."""
    root = spool_folder(directory, host) if host is not None else spool_folder(directory, "x").parent
    return sorted(root.rglob(f"{_DIGIT * 8}T{_DIGIT * 2}-*{SEGMENT_SUFFIX}")) if root.is_dir() else []


def read_segment(path: Path) -> Segment:
    """All whole rows and gaps of a segment, also one being written. Raises OSError if the file cannot be read."""
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
