"""Files of a store, by host and date: names only, nothing is opened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import PurePosixPath

from advisor.samples import places
from advisor.samples.store.files import Folder, StoredFile


@dataclass(slots=True)
class DayFiles:
    """Files of one host and date, each name once however many directories have it."""

    rows: dict[str, StoredFile] = field(default_factory=dict)
    engines: dict[str, StoredFile] = field(default_factory=dict)
    counts: dict[str, StoredFile] = field(default_factory=dict)
    spool: dict[str, StoredFile] = field(default_factory=dict)
    """Segments that have not become files yet."""
    unfinished: dict[str, StoredFile] = field(default_factory=dict)

    @property
    def counted(self) -> StoredFile | None:
        """Counts that say all that is known of accelerators on this day; None where rows have to be read."""
        if len(self.rows) != 1 or self.spool:
            return None
        return self.counts.get(next(iter(self.rows)).replace(places.ROWS, places.HISTOGRAMS, 1))

    def take(self, file: StoredFile) -> None:
        """Sort a file by its name; what is not of this store is left out."""
        kinds = {places.ROWS: self.rows, places.ENGINES: self.engines, places.HISTOGRAMS: self.counts}
        kind = kinds.get(file.name.lstrip(".").partition("-")[0])
        if kind is None:
            return
        if file.name.endswith(".parquet") and not file.name.startswith("."):
            kind[file.name] = file
        elif file.name.startswith(".") and ".parquet" in file.name:
            self.unfinished[file.name] = file


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Files of one host."""

    host: str
    days: dict[date, DayFiles] = field(default_factory=dict)

    def days_within(self, first_us: int, last_us: int) -> Iterator[tuple[date, DayFiles]]:
        """Dates that may have rows that end after the one time and not after the other."""
        for day in sorted(self.days):
            if places.start_us(day) < last_us and places.start_us(day + timedelta(days=1)) > first_us:
                yield day, self.days[day]


def is_whole(day: date, first_us: int, last_us: int) -> bool:
    """Whether all rows of a day lie in a window."""
    return places.start_us(day) >= first_us and places.start_us(day) + places.US_PER_DAY <= last_us


def read_inventory(folders: Sequence[Folder]) -> dict[str, HostFiles]:
    """Files by host, in order of name.

    Raises:
        InputError: there is no such directory, or it may not be read.
    """
    hosts: dict[str, HostFiles] = {}
    for folder in folders:
        for file in folder.files():
            day = _day_of(file)
            if day is None:
                continue
            host = places.host_of(PurePosixPath(file.parts[1]))
            files = hosts.setdefault(host, HostFiles(host)).days.setdefault(day, DayFiles())
            if file.parts[0] == places.SPOOL:
                files.spool[file.name] = file
            else:
                files.take(file)
    return dict(sorted(hosts.items()))


def _day_of(file: StoredFile) -> date | None:
    """The date whose rows a file has; None where it is none of ours."""
    if file.parts[0] != places.SPOOL:
        return places.day_of_folder(PurePosixPath(file.parts[0]))
    if not file.name.endswith(places.SEGMENT_SUFFIX):
        return None
    try:
        return date.fromisoformat(file.name[:8])
    except ValueError:
        return None
