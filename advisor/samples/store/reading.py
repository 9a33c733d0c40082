"""A store as its readers see it: host after host, in bounded memory, whatever is damaged left out with a word.

Hosts that had the same accelerators one after the other (a renamed host, a machine that was replaced) are one group. A
finished day is read from its one file; what is not finished, or lies in several places, is merged first, each row once.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from advisor.errors import InputError
from advisor.records import dataclass, field
from advisor.samples.agent.spool import read_segment
from advisor.samples.metrics import Record, Scope
from advisor.samples.places import ROW_US, US_PER_DAY, day_of, start_us
from advisor.samples.query import Window
from advisor.samples.store import hosts, row_tables
from advisor.samples.store.bucket import StoredFile, at_hand, folders_of
from advisor.samples.store.hosts import DayFiles, HostFiles, is_meant, is_whole, read_inventory

_THREADS = 2
Paths = Mapping[StoredFile, Path]
_Answer = TypeVar("_Answer")
Progress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are."""
_AHEAD = timedelta(days=1)
"""Dates that clocks elsewhere may have already."""
_UNFINISHED = "unfinished: it is being written now, or its writer was killed"


class Store:
    """Directories of samples, of this machine or of object storage."""

    def __init__(self, places: Sequence[str]) -> None:
        """List the names of the files in directories or copies of them in object storage; none is opened yet.

        Raises InputError if there is no such directory, or it may not be read.
        """
        self.where = ", ".join(places)
        self._folders = folders_of(places)
        self._notes: dict[str, None] = {}
        self._hosts = self._inventory()

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts that there is anything of."""
        return list(self._hosts)

    def notes(self) -> list[str]:
        """Files that were left out so far, and why."""
        return sorted(self._notes)

    def note(self, where: str, reason: str) -> None:
        """Remember what was left out."""
        self._notes[f"{where}: {reason}"] = None

    def days(self) -> Window | None:
        """Window from the midnight before the first to that after the last day with a file; None without any."""
        days = [day for host in self._hosts.values() for day in host.days]
        return Window(start_us(min(days)), start_us(max(days)) + US_PER_DAY) if days else None

    def window(self) -> Window | None:
        """Window from the first to the last row; None where there is none."""
        return self._listed_anew(self._window)

    def answers(
        self,
        window: Window,
        ask: Callable[["HostReader"], _Answer],
        hosts: Sequence[str] = (),
        progress: Progress | None = None,
        among: AbstractSet[str] | None = None,
    ) -> Iterator[_Answer]:
        """Answers for each group of hosts, in order, some asked at once.

        *ask* reads what it needs of one group, in a thread. *hosts*: names or patterns; none: all. *progress* is told
        how many groups were asked. *among*: hosts, of which each group that is asked has at least one; None: every
        group is.
        """
        every = self._listed_anew(lambda: self._groups(window, hosts))
        groups = [group for group in every if among is None or not among.isdisjoint(group)]
        with ThreadPoolExecutor(_THREADS) as workers:
            asked: deque[Future[_Answer]] = deque()
            for done, group in enumerate(groups, start=1):
                asked.append(workers.submit(self._answer, group, window, ask))
                if len(asked) > _THREADS:
                    yield asked.popleft().result()
                if progress is not None:
                    progress("hosts read", done, len(groups))
            while asked:
                yield asked.popleft().result()

    def _answer(self, group: Sequence[str], window: Window, ask: Callable[["HostReader"], _Answer]) -> _Answer:
        return self._listed_anew(lambda: ask(self._reader(group, window)))

    def _reader(self, group: Sequence[str], window: Window) -> "HostReader":
        return HostReader(self, [self._hosts[host] for host in group if host in self._hosts], window)

    def _listed_anew(self, ask: Callable[[], _Answer]) -> _Answer:
        """An answer, from a new list of files where a compaction removed what was listed."""
        try:
            return ask()
        except FileNotFoundError:
            self._hosts = self._inventory()
            return ask()

    def _inventory(self) -> dict[str, HostFiles]:
        """Files by host, without those of dates to come; with them where there are no others: our clock may be off."""
        hosts = read_inventory(self._folders)
        latest = datetime.now(UTC).date() + _AHEAD
        if all(day > latest for host in hosts.values() for day in host.days):
            return hosts
        for host in hosts.values():
            ahead = sorted(day for day in host.days if day > latest)
            if ahead:
                self.note(f"host {host.host}", f"rows from {ahead[0]} on lie in the future: its clock is wrong")
            for day in ahead:
                del host.days[day]
        return {name: host for name, host in hosts.items() if host.days}

    def _groups(self, window: Window, patterns: Sequence[str]) -> list[list[str]]:
        """Hosts with something in the window; together those that had the same accelerators one after the other."""
        days = {
            name: {day for day, _ in host.days_within(window.start_us, window.end_us)}
            for name, host in self._hosts.items()
            if is_meant(name, patterns)
        }
        every_day = set().union(*days.values())
        whole = [[host] for host, some in days.items() if some == every_day and some]
        partial = [host for host, some in days.items() if some and some != every_day]
        if len(partial) < 2:
            return sorted([*whole, *([host] for host in partial)])
        return sorted([*whole, *_joined({host: self._reader([host], window).uuids() for host in partial})])

    def _window(self) -> Window | None:
        days = sorted({day for host in self._hosts.values() for day in host.days})
        earliest = next(filter(None, (list(self._ranges(day)) for day in days)), None)
        latest = next(filter(None, (list(self._ranges(day)) for day in reversed(days))), None)
        if earliest is None or latest is None:
            return None
        return Window(min(part.start_us for part in earliest), max(part.end_us for part in latest))

    def _ranges(self, day: date) -> Iterator[Window]:
        """Begin and end of what there is of a day, of as few files as show that nothing is earlier or later."""
        begins, ends = False, False
        for host in self._hosts.values():
            for window in self._ranges_of(host.days.get(day, DayFiles())):
                yield window
                begins = begins or window.start_us <= start_us(day)
                ends = ends or window.end_us >= start_us(day) + US_PER_DAY
                if begins and ends:
                    return

    def _ranges_of(self, files: DayFiles) -> Iterator[Window]:
        for file in (*files.rows.values(), *files.engines.values()):
            try:
                with file.folder.open(file) as stream:
                    span = row_tables.time_range_us(stream)
            except FileNotFoundError:
                raise
            except (OSError, row_tables.UnreadableError) as error:
                self.note(file.where, str(error))
                continue
            if span is not None:
                yield Window(*span)
        with at_hand(list(files.spool.values())) as paths:
            ends = [record.end_us for path in paths.values() for record in self.segment(path)]
        if ends:
            yield Window(min(ends) - ROW_US, max(ends))

    def segment(self, path: Path) -> Sequence[Record]:
        """Rows and gaps of a segment of the spool; damage in it is skipped with a word."""
        try:
            segment = read_segment(path)
        except FileNotFoundError:
            raise
        except OSError as error:
            self.note(str(path), f"cannot be read: {error.strerror}")
            return ()
        if segment.skipped_bytes:
            self.note(str(path), f"{segment.skipped_bytes} bytes of it are damaged or unfinished; the rest was read")
        return segment.records


@dataclass(slots=True)
class HostReader:
    """Hosts that are read together, over a window."""

    _store: Store
    _files: Sequence[HostFiles]
    window: Window
    _spooled: dict[tuple[str, date], Mapping[Scope, pa.Table]] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        """Their names."""
        return [files.host for files in self._files]

    def counts_by_day(self) -> Iterator[pa.Table]:
        """Counts of the accelerators' rows, of each host and date: as compaction made them, else made now."""
        days = list(self._days())
        counted = {(host, day): self._counted(day, files) for host, day, files in days}
        wanted = [counted[host, day] or file for host, day, files in days for file in files.rows.values()]
        with _fetched([file for file in dict.fromkeys(wanted) if file is not None]) as paths:
            for host, day, files in days:
                ready = counted[host, day]
                counts = (
                    None if ready is None else self._table(ready, paths, hosts.COLUMNS, row_tables.HISTOGRAM_SCHEMA)
                )
                if counts is None:
                    counts = self._count_now(host, day, files, paths)
                if counts is not None:
                    yield counts

    def uuids(self) -> set[str]:
        """UUIDs of the accelerators, from columns alone."""
        days = list(self._days())
        counted = [self._counted(day, files) for _, day, files in days]
        ready = [file for file in counted if file is not None]
        column = pa.schema([hosts.COLUMNS.field("accelerator_uuid")])
        with _fetched(ready) as paths:
            tables = [self._table(file, paths, column, row_tables.HISTOGRAM_SCHEMA) for file in ready]
        others = {day for (_, day, _), file in zip(days, counted, strict=True) if file is None}
        tables += self.rows_by_day(Scope.ACCELERATOR, (), others)
        columns = [table["accelerator_uuid"] for table in tables if table is not None]
        return {uuid for column in columns for uuid in column.unique().to_pylist() if uuid is not None}

    def rows_by_day(
        self, scope: Scope, columns: Sequence[str], days: Collection[date] | None = None
    ) -> Iterator[pa.Table]:
        """Rows of each host and date, by target and time, each once: the keys and *columns*; *days* None: all."""
        some = [(host, day, files) for host, day, files in self._days() if days is None or day in days]
        with _fetched([file for _, _, files in some for file in _of_scope(files, scope)]) as paths:
            for host, day, files in some:
                rows = self._day_rows(host, day, files, scope, columns, paths)
                if rows.num_rows:
                    yield rows

    def _days(self) -> Iterator[tuple[str, date, DayFiles]]:
        for files in self._files:
            for day, day_files in files.days_within(self.window.start_us, self.window.end_us):
                yield files.host, day, day_files

    def _counted(self, day: date, files: DayFiles) -> StoredFile | None:
        """Counts that say all that is known of a day in the window."""
        return files.counted if is_whole(day, self.window.start_us, self.window.end_us) else None

    def _count_now(self, host: str, day: date, files: DayFiles, paths: Paths) -> pa.Table | None:
        rows = files.rows.values()
        with _fetched([file for file in rows if file not in paths]) as more:
            table = self._day_rows(host, day, files, Scope.ACCELERATOR, hosts.COUNTED_COLUMNS, {**paths, **more})
        return hosts.count_rows(table) if table.num_rows else None

    def _day_rows(
        self, host: str, day: date, files: DayFiles, scope: Scope, columns: Sequence[str], paths: Paths
    ) -> pa.Table:  # fmt: skip
        for unfinished in files.unfinished.values():
            self._store.note(unfinished.where, _UNFINISHED)
        every, names = row_tables.columns_of_scope(scope), dict.fromkeys((*row_tables.keys_of_scope(scope), *columns))
        schema = pa.schema([every.field(name) for name in names])
        stored = [self._table(file, paths, schema) for file in _of_scope(files, scope)]
        tables = [table for table in stored if table is not None]
        spooled = self._spool(host, day, files).get(scope)
        if spooled is not None:
            tables.append(spooled.select(schema.names))
        if len(tables) != 1 or spooled is not None:
            tables = [row_tables.merged(tables, scope) if tables else schema.empty_table()]
        return self._inside(tables[0], day)

    def _spool(self, host: str, day: date, files: DayFiles) -> Mapping[Scope, pa.Table]:
        """Rows still in the spool of a day, by scope."""
        if (host, day) not in self._spooled:
            with _fetched(list(files.spool.values())) as paths:
                records = [record for path in paths.values() for record in self._store.segment(path)]
            self._spooled[host, day] = row_tables.tables_of(
                record for record in records if day_of(record.end_us) == day
            )
        return self._spooled[host, day]

    def _table(self, file: StoredFile, paths: Paths, columns: pa.Schema, *schema: str) -> pa.Table | None:
        """Content of a file; None where it cannot be used, which is noted."""
        try:
            return row_tables.read_table(paths[file], columns, *schema)
        except row_tables.UnreadableError as error:
            self._store.note(file.where, str(error))
            return None

    def _inside(self, rows: pa.Table, day: date) -> pa.Table:
        if is_whole(day, self.window.start_us, self.window.end_us):
            return rows
        end_us = rows["timestamp"].cast(pa.int64()).to_numpy()
        return rows.filter(pa.array((end_us > self.window.start_us) & (end_us <= self.window.end_us)))


@contextmanager
def _fetched(files: Sequence[StoredFile]) -> Iterator[Paths]:
    """Paths of files; FileNotFoundError where a compaction removed one of them."""
    with at_hand(files) as paths:
        for file in files:
            if file not in paths:
                raise FileNotFoundError(file.where)
        yield paths


def _of_scope(files: DayFiles, scope: Scope) -> list[StoredFile]:
    return list((files.rows if scope is Scope.ACCELERATOR else files.engines).values())


def no_rows(where: str, unread: Sequence[str]) -> InputError:
    """Why there is nothing in a store: no file, or none that can be read; *unread*: files left out, and why."""
    if not unread:
        return InputError(
            "no samples here",
            where=where,
            hint="collect some on an inference host: `advisor agent run --output DIR`",
        )
    hint = "give the directory that `advisor agent run --output` writes to"
    return InputError(f"none of {len(unread)} files can be read; {unread[0]}", where=where, hint=hint)


def _joined(uuids: Mapping[str, AbstractSet[str]]) -> list[list[str]]:
    """Hosts in groups that share a UUID, from the UUIDs that each has had."""
    group_of = {host: [host] for host in uuids}
    first_with: dict[str, str] = {}
    for host, uuid in ((host, uuid) for host, some in uuids.items() for uuid in some):
        mine, theirs = group_of[host], group_of[first_with.setdefault(uuid, host)]
        if mine is not theirs:
            theirs += mine
            group_of |= dict.fromkeys(mine, theirs)
    return [sorted(group) for group in {id(group): group for group in group_of.values()}.values()]
