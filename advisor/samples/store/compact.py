"""Compaction of one host, in a short-lived process (:mod:`advisor.samples.agent.compact_command`).

It turns the segments that nobody writes any more into a file each, the files of
a finished day into one, counts the day's values, uploads finished days, and removes the oldest as it is told to.

Killed at any moment it loses and doubles nothing: every file appears whole or not at all, what it was made of goes only
after it is on disk, and a row that is found twice counts once. A day's file carries a digest of its content in its name
and its histograms carry the same one, so that counts are never taken for rows that they were not made from.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

from advisor.atomic_files import write_bytes
from advisor.errors import AdvisorError, InputError
from advisor.records import dataclass, field
from advisor.samples import places
from advisor.samples.agent.compaction import BucketUrl
from advisor.samples.agent.host_facts import read_facts
from advisor.samples.agent.spool import claimed, read_segment, segments, sync_folder
from advisor.samples.agent.status import read_object, status_path
from advisor.samples.metrics import Record, Scope
from advisor.samples.store import row_tables
from advisor.samples.store.bucket import Uploaded, Uploads
from advisor.samples.store.hosts import count_rows, encode_counts

_NAMES = {Scope.ACCELERATOR: places.ROWS, Scope.ENGINE: places.ENGINES}
_DAY = "day"


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that could not be read, whole or in part."""

    path: Path
    reason: str


@dataclass(slots=True)
class Compacted:
    """Result of a compaction."""

    segments: int = 0
    """Segments that became files."""
    rows: int = 0
    """Rows and gaps in them."""
    days: list[date] = field(default_factory=list)
    """Days whose files became one."""
    removed: list[date] = field(default_factory=list)
    """Days that were removed to keep the bounds."""
    held: set[date] = field(default_factory=set)
    """Days that the bounds would remove, and that are not uploaded yet."""
    uploaded: Uploaded | None = None
    """None: nothing was to be uploaded."""
    trouble: AdvisorError | None = None
    """Why not all was uploaded."""
    skipped: list[SkippedFile] = field(default_factory=list)
    total_bytes: int = 0

    def __str__(self) -> str:
        """Summary in a line."""
        parts = [f"{self.rows:,} rows of {self.segments} segments", f"{len(self.days)} days merged"]
        parts += [f"removed {day}" for day in self.removed]
        parts += [] if self.uploaded is None else [str(self.uploaded)]
        parts += [f"{len(self.held)} days kept until they are uploaded"] if self.held else []
        return ", ".join([*parts, f"{self.total_bytes / 1e6:.1f} MB in all"])


def compact(
    directory: Path,
    host: str,
    keep_days: int | None = None,
    max_bytes: int | None = None,
    now: datetime | None = None,
    upload: BucketUrl | None = None,
) -> Compacted | None:
    """Compact what the agents of a host wrote to a directory; None when another process compacts this host now.

    *keep_days*: whole days before today that are kept; None: all. *max_bytes*: what the host's files may take; the
    oldest days go first, today's never. None: any. *now*: the time, by which a day is finished; None: the clock's.
    *upload*: where finished days go; no bound removes a day that is not verified there. None: nowhere. Raises
    InputError if it cannot write here. What was not compacted stays as it was.
    """
    today = (now or datetime.now(UTC)).date()
    done = Compacted()
    with _only_one(places.spool_folder(directory, host)) as is_mine:
        if not is_mine:
            return None
        uploads = None if upload is None else Uploads(directory, host, upload)
        store = _HostStore(directory, host, done, uploads)
        store.remove_unfinished()
        store.remove_days(today, keep_days, max_bytes)
        for path in segments(directory, host):
            store.take_segment(path)
        finished = [day for day in store.days() if day < today]
        for day in finished:
            store.merge_day(day)
        store.upload(finished)
        store.remove_days(today, keep_days, max_bytes)
        done.total_bytes = store.total_bytes()
    return done


def upload_today(directory: Path, host: str, url: BucketUrl, now: datetime | None = None) -> Uploaded | None:
    """Upload what there is of today, too: for a host that may not be there tomorrow. See :func:`compact`.

    Raises InputError if the bucket refuses, or cannot be reached.
    """
    with _only_one(places.spool_folder(directory, host)) as is_mine:
        return Uploads(directory, host, url).send([(now or datetime.now(UTC)).date()]) if is_mine else None


class _HostStore:
    """The files of one host."""

    def __init__(self, directory: Path, host: str, done: Compacted, uploads: Uploads | None = None) -> None:
        self._uploads = uploads
        self._directory = directory
        self._host = host
        self._done = done
        labels = read_object(status_path(directory, host)).get("labels")
        self._labels = {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}
        """Static labels that the agent has now."""
        self._facts = read_facts(directory, host)
        """What the host is now."""

    def days(self) -> list[date]:
        """Dates of which there are files, oldest first; a link is none of ours."""
        files = self._directory.glob(f"date=*/{places.host_folder(self._host)}/*.parquet")
        folders = {path.parent for path in files}
        days = (places.day_of_folder(folder.parent) for folder in folders if not folder.is_symlink())
        return sorted(day for day in days if day is not None)

    def total_bytes(self) -> int:
        """Size of all files of the host, in bytes."""
        folders = [self._folder(day) for day in self.days()] + [places.spool_folder(self._directory, self._host)]
        size = 0
        for folder in folders:
            with contextlib.suppress(FileNotFoundError):
                for path in folder.iterdir():
                    size += path.stat().st_size
        return size

    def remove_unfinished(self) -> None:
        """Remove what a killed compaction left half written; no other is at work."""
        for day in self.days():
            for name in (*_NAMES.values(), places.HISTOGRAMS):
                for path in self._folder(day).glob(f".{name}-*.parquet.*"):
                    path.unlink(missing_ok=True)

    def take_segment(self, path: Path) -> None:
        """Turn a segment that nobody writes into files, then remove it."""
        with claimed(path) as is_mine:
            if not is_mine:
                return
            segment = read_segment(path)
            if segment.skipped_bytes:
                reason = f"{segment.skipped_bytes} bytes of it were damaged or unfinished; the rest was kept"
                self._done.skipped.append(SkippedFile(path, reason))
            dated = sorted(segment.records, key=_day_of)
            for day, records in groupby(dated, key=_day_of):
                for scope, table in row_tables.tables_of(records).items():
                    content = row_tables.encode_table(row_tables.merged([table], scope), self._labels, self._facts)
                    self._write(day, f"{_NAMES[scope]}-{path.stem}.parquet", content)
            path.unlink()
            self._done.segments += 1
            self._done.rows += len(segment.records)

    def merge_day(self, day: date) -> None:
        """Make one file of a finished day's files, and count its values."""
        name = self._merge_files(day, Scope.ACCELERATOR)
        self._merge_files(day, Scope.ENGINE)
        if name is not None:
            self._count(day, name)

    def upload(self, days: list[date]) -> None:
        """Upload what is missing of finished days; trouble is kept for the end."""
        if self._uploads is None:
            return
        try:
            self._done.uploaded = self._uploads.send(days)
        except AdvisorError as error:
            self._done.trouble = error

    def remove_days(self, today: date, keep_days: int | None, max_bytes: int | None) -> None:
        """Remove what is too old, then the oldest days until the rest is small enough; never what is to be uploaded."""
        self._done.held = set()
        days = [day for day in self.days() if day < today]
        if keep_days is not None:
            for day in [day for day in days if day < today - timedelta(days=keep_days)]:
                self._remove_if_safe(day)
                days.remove(day)
        while max_bytes is not None and days and self.total_bytes() > max_bytes:
            self._remove_if_safe(days.pop(0))

    def _remove_if_safe(self, day: date) -> None:
        if self._uploads is None:
            self._remove_day(day)
        elif self._uploads.is_safe(day):
            self._uploads.forget(day)
            self._remove_day(day)
        else:
            self._done.held.add(day)

    def _merge_files(self, day: date, scope: Scope) -> str | None:
        """Name of the one file that all readable files of a day became; None when there is none."""
        paths = sorted(self._folder(day).glob(f"{_NAMES[scope]}-*.parquet"))
        if len(paths) == 1 and paths[0].name.startswith(f"{_NAMES[scope]}-{_DAY}-"):
            return paths[0].name
        read = {}
        labels, facts = dict[str, str](), dict[str, str]()
        for path in paths:
            try:
                read[path] = row_tables.read_table(path, row_tables.columns_of_scope(scope))
                labels |= row_tables.read_named(path, row_tables.LABELS_KEY)
                facts |= row_tables.read_named(path, row_tables.HOST_KEY)
            except row_tables.UnreadableError as error:
                self._done.skipped.append(SkippedFile(path, str(error)))
        if not read:
            return None
        content = row_tables.encode_table(row_tables.merged(list(read.values()), scope), labels, facts)
        name = f"{_NAMES[scope]}-{_DAY}-{row_tables.content_digest(content)}.parquet"
        self._write(day, name, content)
        for path in read:
            if path.name != name:
                self._replace(path)
        if day not in self._done.days:
            self._done.days.append(day)
        return name

    def _count(self, day: date, rows_name: str) -> None:
        """Write the histograms of a day's file, unless they are there, and remove those of another."""
        folder = self._folder(day)
        name = rows_name.replace(places.ROWS, places.HISTOGRAMS, 1)
        for path in folder.glob(f"{places.HISTOGRAMS}-*.parquet"):
            if path.name != name:
                self._replace(path)
        if (folder / name).exists():
            return
        with contextlib.suppress(row_tables.UnreadableError):
            counts = count_rows(
                row_tables.read_table(folder / rows_name, row_tables.columns_of_scope(Scope.ACCELERATOR))
            )
            if counts.num_rows:
                self._write(day, name, encode_counts(counts))

    def _replace(self, path: Path) -> None:
        """Remove a file of which another one has everything."""
        if self._uploads is not None:
            self._uploads.replaced(path)
        path.unlink(missing_ok=True)

    def _write(self, day: date, name: str, content: bytes) -> None:
        """Bring a file of a day to disk, and its name too."""
        folder = self._folder(day)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, content)
            for parent in (folder, folder.parent, self._directory):
                sync_folder(parent)
        except OSError as error:
            raise _cannot_write(folder, error) from error

    def _remove_day(self, day: date) -> None:
        """Remove all files of a day, counts before what they count."""
        folder = self._folder(day)
        files = sorted(folder.glob("*.parquet"))
        for path in sorted(files, key=lambda path: not path.name.startswith(places.HISTOGRAMS)):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another host has files of that date, or somebody else put something here
            folder.rmdir()
            folder.parent.rmdir()
        self._done.removed.append(day)

    def _folder(self, day: date) -> Path:
        return places.day_folder(self._directory, day, self._host)


@contextmanager
def _only_one(folder: Path) -> Iterator[bool]:
    """Keep other compactions of the host out; False when one is at work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / ".compact.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(file)


def _day_of(record: Record) -> date:
    return places.day_of(record.end_us)


def _cannot_write(folder: Path, error: OSError) -> InputError:
    hint = "make space, or give a directory that you may write to; nothing is lost, the spool keeps what is there"
    return InputError(f"cannot write here: {error.strerror}", where=str(folder), hint=hint)
