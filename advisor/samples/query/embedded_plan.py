"""Which files answer a question, and which hosts are asked at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from advisor.samples.agent.spool import read_segment
from advisor.samples.frame import UnreadableError
from advisor.samples.metrics import ROW_SECONDS, Scope
from advisor.samples.places import US_PER_DAY, US_PER_SECOND, day_of, start_us
from advisor.samples.query.embedded_sql import Parts
from advisor.samples.query.values import Window
from advisor.samples.rows import Record
from advisor.samples.store.columns import ENGINE_GAUGES, GAUGES
from advisor.samples.store.inspection import Inspected, inspect, interval_of, time_range_us, uuids_of
from advisor.samples.store.inventory import DayFiles, HostFiles, read_inventory, segment_day
from advisor.samples.store.row_tables import tables_of

_CHUNK_BYTES = 40_000_000
"""Parquet files of rows that are read at once; one host is read whole."""
_CHUNK_HISTOGRAMS = 350
"""Histograms that are read at once."""
_Answer = TypeVar("_Answer")
_ROW_US = ROW_SECONDS * US_PER_SECOND


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is asked at once: some hosts, over a window."""

    histograms: tuple[Path, ...]
    rows: Parts
    engines: Parts
    spooled: Mapping[Scope, pa.Table]
    """Rows that are still in the spool."""


class FilePlan:
    """The files of a directory, and what is known of them so far."""

    def __init__(self, directory: Path, *, exact: bool) -> None:
        """List the names.

        Raises:
            InputError: there is no such directory.
        """
        self._directory = directory
        self._exact = exact
        self._hosts = read_inventory(directory)
        self._inspected: dict[Path, Inspected] = {}
        self._intervals: dict[Path, float] = {}
        self._notes: dict[str, None] = {}

    def notes(self) -> list[str]:
        """Files that were left out so far, and why."""
        return list(self._notes)

    def window(self) -> Window | None:
        """From the first to the last row that there is; None where there is none."""
        return self._listed_anew(self._window)

    def groups(self, window: Window) -> list[list[str]]:
        """Hosts that are asked at once: those that share accelerators, and as many more as memory allows."""
        return self._listed_anew(lambda: self._groups(window))

    def chunk(self, hosts: Sequence[str], window: Window) -> Chunk:
        """What has to be read of some hosts."""
        return self._listed_anew(lambda: self._chunk(hosts, window))

    def _listed_anew(self, ask: Callable[[], _Answer]) -> _Answer:
        """An answer, from a new list of files where a compaction removed what was listed."""
        try:
            return ask()
        except FileNotFoundError:
            self._hosts = read_inventory(self._directory)
            return ask()

    def _window(self) -> Window | None:
        days = sorted({day for host in self._hosts.values() for day in host.days})
        spooled = [record for host in self._hosts.values() for record in self._spooled(host.spool)]
        first = [record.end_us - _ROW_US for record in spooled]
        last = [record.end_us for record in spooled]
        for day in days:
            if ranges := list(self._ranges(day, first_us=start_us(day))):
                first.append(min(found[0] for found in ranges))
                break
        for day in reversed(days):
            if ranges := list(self._ranges(day, last_us=start_us(day) + US_PER_DAY)):
                last.append(max(found[1] for found in ranges))
                break
        return Window(min(first), max(last)) if first and last else None

    def _groups(self, window: Window) -> list[list[str]]:
        groups: list[list[str]] = []
        room_histograms, room_bytes = 0, 0
        for linked in self._linked_hosts(window):
            sizes = [self._size_of(self._hosts[host], window) for host in linked]
            histograms, size_bytes = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
            if histograms > room_histograms or size_bytes > room_bytes:
                groups.append([])
                room_histograms, room_bytes = _CHUNK_HISTOGRAMS, _CHUNK_BYTES
            groups[-1] += linked
            room_histograms -= histograms
            room_bytes -= size_bytes
        return groups

    def _size_of(self, host: HostFiles, window: Window) -> tuple[int, int]:
        """Histograms and bytes of rows that would be read of a host."""
        whole = self._whole_days(host, window)
        size_bytes = 1
        for day, files in host.days_within(window.start_us, window.end_us):
            if day not in whole:
                size_bytes += sum(_size_bytes(path) for path in (*files.rows, *files.ticks))
        return len(whole), size_bytes

    def _linked_hosts(self, window: Window) -> list[list[str]]:
        """Hosts with something in the window; together those that had the same accelerators one after the other."""
        days = {host: self._days_of(files, window) for host, files in self._hosts.items()}
        every_day = set().union(*days.values())
        whole = [[host] for host, some in days.items() if some == every_day and some]
        partial = [host for host, some in days.items() if some and some != every_day]
        if len(partial) > 1:
            return sorted([*whole, *_joined(partial, self._uuids(partial, window))])
        return sorted([*whole, *([host] for host in partial)])

    def _days_of(self, host: HostFiles, window: Window) -> set[date]:
        found = {day for day, _ in host.days_within(window.start_us, window.end_us)}
        first, last = day_of(window.start_us + 1), day_of(window.end_us)
        return found | {day for day in host.spooled_days() if first <= day <= last}

    def _chunk(self, hosts: Sequence[str], window: Window) -> Chunk:
        histograms: list[Path] = []
        rows, engines = Parts(Scope.ACCELERATOR), Parts(Scope.ENGINE)
        records: list[Record] = []
        for host in hosts:
            if host not in self._hosts:
                continue
            files = self._hosts[host]
            whole = self._whole_days(files, window)
            histograms += whole.values()
            spooled = files.spooled_days()
            for day, found in files.days_within(window.start_us, window.end_us):
                if day not in whole:
                    self._add(rows, found.rows, found.ticks, is_single=day not in spooled)
                self._add(engines, found.engines, [], is_single=day not in spooled)
            records += self._records_of(files, window)
        tables = tables_of(records)
        for parts in (rows, engines):
            parts.has_spool = parts.scope in tables
            self._note_columns(parts)
        return Chunk(tuple(histograms), rows, engines, tables)

    def _whole_days(self, files: HostFiles, window: Window) -> dict[date, Path]:
        """Histograms that can be taken for rows."""
        if self._exact:
            return {}
        whole = files.whole_days(window.start_us, window.end_us)
        return {day: path for day, path in whole.items() if self._is_usable(path)}

    def _add(self, parts: Parts, paths: Sequence[Path], ticks: Sequence[Path], *, is_single: bool) -> None:
        """Add the files of a host and date."""
        usable = [path for path in paths if self._is_usable(path)]
        if is_single and len(usable) == 1 and not ticks:
            parts.single += usable
        else:
            parts.several += usable
        for path in ticks:
            try:
                if self._is_usable(path):
                    parts.ticks.setdefault(self._interval(path), []).append(path)
            except UnreadableError as error:
                self._inspected[path] = Inspected(frozenset(), str(error))
                self._is_usable(path)

    def _interval(self, path: Path) -> float:
        if path not in self._intervals:
            self._intervals[path] = interval_of(path)
        return self._intervals[path]

    def _is_usable(self, path: Path) -> bool:
        """Whether nothing speaks against a file so far; what does is noted."""
        inspected = self._inspected.get(path)
        if inspected is None or inspected.reason is None:
            return True
        self._notes[f"{path}: {inspected.reason}; it was left out"] = None
        return False

    def _note_columns(self, parts: Parts) -> None:
        """Say which columns are not there, as far as files were looked at."""
        looked_at = [self._inspected.get(path) for path in (*parts.single, *parts.several)]
        columns = [one.columns for one in looked_at if one is not None]
        if columns and len(columns) == len(looked_at):
            parts.is_mixed = True
            there = frozenset().union(*columns)
            wanted = {name for gauge in (*GAUGES, *ENGINE_GAUGES) for name in (gauge, f"{gauge}_max")}
            parts.absent = frozenset(wanted - there)

    def _records_of(self, files: HostFiles, window: Window) -> list[Record]:
        """What is in the spool for a window."""
        first, last = day_of(window.start_us + 1), day_of(window.end_us)
        return self._spooled([path for path in files.spool if first <= segment_day(path) <= last])

    def _spooled(self, paths: Sequence[Path]) -> list[Record]:
        records: list[Record] = []
        for path in paths:
            segment = read_segment(path)
            records += segment.records
            if segment.skipped_bytes:
                note = f"{path}: {segment.skipped_bytes} bytes of it are damaged or unfinished; the rest was read"
                self._notes[note] = None
        return records

    def look_again(self, hosts: Sequence[str], window: Window) -> None:
        """List the files anew, and read those of some hosts whole to find what is damaged."""
        self._hosts = read_inventory(self._directory)
        chunk = self.chunk(hosts, window)
        for path in (*chunk.histograms, *chunk.rows.paths(), *chunk.engines.paths()):
            self._inspected.setdefault(path, inspect(path))

    def _uuids(self, hosts: Sequence[str], window: Window) -> Iterator[tuple[str, str]]:
        """Hosts and the UUIDs that they have had in a window."""
        for host in hosts:
            files = self._hosts[host]
            for _, day in files.days_within(window.start_us, window.end_us):
                paths = [day.counted] if day.counted is not None else [*day.rows, *day.ticks]
                yield from ((host, uuid) for path in paths for uuid in uuids_of(path))
            for record in self._records_of(files, window):
                if record.target.uuid is not None:
                    yield host, record.target.uuid

    def _ranges(
        self, day: date, first_us: int | None = None, last_us: int | None = None
    ) -> Iterator[tuple[int, int]]:  # fmt: skip
        """Begin and end of the files of a day, up to one that begins, or ends, as early or late as any may."""
        for host in self._hosts.values():
            files = host.days.get(day, DayFiles())
            for path in (*files.rows, *files.engines, *files.ticks):
                found = self._range_of(path)
                if found is not None:
                    yield found
                    if (first_us is not None and found[0] <= first_us) or (last_us is not None and found[1] >= last_us):
                        return

    def _range_of(self, path: Path) -> tuple[int, int] | None:
        try:
            return time_range_us(path)
        except UnreadableError as error:
            self._inspected[path] = Inspected(frozenset(), str(error))
            self._is_usable(path)
            return None


def _joined(hosts: Iterable[str], uuids: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Hosts in groups that share a UUID."""
    group_of = {host: [host] for host in hosts}
    first_with: dict[str, str] = {}
    for host, uuid in uuids:
        other = first_with.setdefault(uuid, host)
        mine, theirs = group_of[host], group_of[other]
        if mine is not theirs:
            theirs += mine
            for moved in mine:
                group_of[moved] = theirs
    return [sorted(group) for group in {id(group): group for group in group_of.values()}.values()]


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
