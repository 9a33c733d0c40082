"""Which files a store has, by host and date: names only, nothing is opened."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from advisor.errors import InputError
from advisor.samples.agent.spool import segments
from advisor.samples.places import ENGINES, HISTOGRAMS, ROWS, TICKS, US_PER_DAY, day_of_folder, host_of, start_us


@dataclass(slots=True)
class DayFiles:
    """Files of one host and date."""

    rows: list[Path] = field(default_factory=list)
    engines: list[Path] = field(default_factory=list)
    histograms: list[Path] = field(default_factory=list)
    ticks: list[Path] = field(default_factory=list)
    """Of schema v1."""

    @property
    def counted(self) -> Path | None:
        """Histograms that say all that is known of accelerators on this day; None where rows have to be read."""
        if len(self.rows) != 1 or self.ticks:
            return None
        name = self.rows[0].name.replace(ROWS, HISTOGRAMS, 1)
        return next((path for path in self.histograms if path.name == name), None)

    def take(self, folder: Path, name: str) -> None:
        """Sort a file by its name; what is unfinished or not of this store is left out."""
        kinds = {ROWS: self.rows, ENGINES: self.engines, HISTOGRAMS: self.histograms, TICKS: self.ticks}
        kind = kinds.get(name.partition("-")[0])
        if kind is not None and name.endswith(".parquet"):
            kind.append(folder / name)


def segment_day(path: Path) -> date:
    """The date whose rows a segment of the spool has."""
    return date.fromisoformat(path.name[:8])


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Files of one host."""

    days: dict[date, DayFiles]
    spool: list[Path]
    """Segments that have not become files yet."""

    def spooled_days(self) -> set[date]:
        """Dates of which there are rows in the spool."""
        return {segment_day(path) for path in self.spool}

    def days_within(self, first_us: int, last_us: int) -> Iterator[tuple[date, DayFiles]]:
        """Dates that may have rows that end after the one time and not after the other."""
        for day in sorted(self.days):
            # A row of v1 that ends at midnight lies with the day that begins then.
            if start_us(day) <= last_us and start_us(day + timedelta(days=1)) > first_us:
                yield day, self.days[day]

    def whole_days(self, first_us: int, last_us: int) -> dict[date, Path]:
        """Histograms of the days that lie in a window entirely and need no row to be read."""
        spooled = self.spooled_days()
        found = {}
        for day, files in self.days_within(first_us, last_us):
            start = start_us(day)
            if start >= first_us and start + US_PER_DAY <= last_us and day not in spooled:
                counted = files.counted
                if counted is not None:
                    found[day] = counted
        return found


def read_inventory(directory: Path) -> dict[str, HostFiles]:
    """Files by host, in order of name.

    Raises:
        InputError: there is no such directory.
    """
    if not directory.is_dir():
        raise InputError(
            "no such directory" if not directory.exists() else "not a directory",
            where=str(directory),
            hint="give the directory that `advisor agent run --output` writes to",
        )
    hosts: dict[str, HostFiles] = {}
    # The spool first: what a compaction moves meanwhile is then seen twice rather than not at all.
    for path in segments(directory):
        _of_host(hosts, path.parent).spool.append(path)
    for folder in _folders(directory, "date="):
        day = day_of_folder(folder)
        if day is not None:
            for host_folder in _folders(folder, "host="):
                files = _of_host(hosts, host_folder).days.setdefault(day, DayFiles())
                with os.scandir(host_folder) as entries:
                    for name in sorted(entry.name for entry in entries):
                        files.take(host_folder, name)
    return dict(sorted(hosts.items()))


def _of_host(hosts: dict[str, HostFiles], folder: Path) -> HostFiles:
    return hosts.setdefault(host_of(folder), HostFiles({}, []))


def _folders(directory: Path, prefix: str) -> list[Path]:
    with os.scandir(directory) as entries:
        return sorted(directory / entry.name for entry in entries if entry.name.startswith(prefix) and entry.is_dir())
