"""All samples below a directory as one frame: files of both schemas, and what is still in the spool."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from advisor.errors import InputError
from advisor.samples.agent.spool import read_segment, segments
from advisor.samples.frame import FileRows, SampleFrame, SkippedFile, UnreadableError, build_frame
from advisor.samples.metrics import Scope
from advisor.samples.places import ENGINES, HISTOGRAMS
from advisor.samples.rows import Record
from advisor.samples.store.columns import ENGINE_COLUMNS
from advisor.samples.store.row_files import decode, frame_rows, read_table
from advisor.samples.store.row_tables import merged, tables_of
from advisor.samples.store.tick_files import VALUE_COLUMNS

Progress = Callable[[int], None]


class OnlyEnginesError(InputError):
    """A directory has rows of serving engines, and none of accelerators."""


@dataclass(frozen=True, slots=True, eq=False)
class EngineRows:
    """Rows and gaps of serving engines."""

    table: pa.Table
    """Columns as in the files, sorted by engine, endpoint, model, rank and time, each row once."""
    skipped: tuple[SkippedFile, ...]


def read_samples(
    directory: Path, columns: Sequence[str] = VALUE_COLUMNS, progress: Progress | None = None
) -> SampleFrame:
    """All samples below a directory, by accelerator and time, each reading once.

    Args:
        directory: what ``advisor agent run --output`` wrote to.
        columns: the values that are wanted; fewer are quicker.
        progress: called with the number of files looked at so far.

    Returns:
        The samples, with the files that could not be read and why.

    Raises:
        InputError: there is no such directory, or not one sample in it.
    """
    _check_directory(directory)
    found = _Found(directory, progress)
    rows = [decoded for path in found.files(_is_of_accelerators) if (decoded := found.take(path, columns)) is not None]
    spooled = tables_of(found.spooled())
    if Scope.ACCELERATOR in spooled:
        rows.append(frame_rows(spooled[Scope.ACCELERATOR], columns))
    if not any(file.table.num_rows for file in rows):
        has_engines = Scope.ENGINE in spooled or next(found.files(_is_of_engines), None) is not None
        raise _only_engines(directory) if has_engines else _nothing_read(directory, found.skipped)
    return build_frame(rows, columns, tuple(found.skipped))


def read_engines(directory: Path, progress: Progress | None = None) -> EngineRows:
    """All rows of serving engines below a directory.

    Args:
        directory: what ``advisor agent run --output`` wrote to.
        progress: called with the number of files looked at so far.

    Returns:
        The rows, none when no engine was watched, with the files that could not be read and why.

    Raises:
        InputError: there is no such directory.
    """
    _check_directory(directory)
    found = _Found(directory, progress)
    tables = [ENGINE_COLUMNS.empty_table()]
    tables += [table for path in found.files(_is_of_engines) if (table := found.take_engines(path)) is not None]
    spooled = tables_of(found.spooled())
    if Scope.ENGINE in spooled:
        tables.append(spooled[Scope.ENGINE])
    return EngineRows(merged(tables, Scope.ENGINE), tuple(found.skipped))


class _Found:
    """What is being read, what was skipped of it, and how far it is."""

    def __init__(self, directory: Path, progress: Progress | None) -> None:
        self._directory = directory
        self._progress = progress
        self._looked_at = 0
        self.skipped: list[SkippedFile] = []

    def files(self, is_wanted: Callable[[str], bool]) -> Iterator[Path]:
        """Parquet files in a fixed order; what was to become one is skipped with a word."""
        for path in sorted(path for path in self._directory.rglob("*.parquet*") if path.is_file()):
            if not is_wanted(path.name):
                continue
            self._count()
            if path.name.startswith("."):
                self.skipped.append(SkippedFile(path, "unfinished: it is being written now, or its writer was killed"))
            else:
                yield path

    def take(self, path: Path, columns: Sequence[str]) -> FileRows | None:
        """Rows of a file of accelerators."""
        try:
            return decode(path, columns)
        except UnreadableError as error:
            self.skipped.append(SkippedFile(path, str(error)))
            return None

    def take_engines(self, path: Path) -> pa.Table | None:
        """Rows of a file of engines."""
        try:
            return read_table(path, ENGINE_COLUMNS)
        except UnreadableError as error:
            self.skipped.append(SkippedFile(path, str(error)))
            return None

    def spooled(self) -> Iterator[Record]:
        """What no compaction has turned into files yet; damage in it is skipped with a word."""
        for path in segments(self._directory):
            self._count()
            try:
                segment = read_segment(path)
            except OSError as error:  # a compaction was quicker, or it may not be read
                self.skipped.append(SkippedFile(path, f"cannot be read: {error.strerror}"))
                continue
            if segment.skipped_bytes:
                reason = f"{segment.skipped_bytes} bytes of it are damaged or unfinished; the rest was read"
                self.skipped.append(SkippedFile(path, reason))
            yield from segment.records

    def _count(self) -> None:
        self._looked_at += 1
        if self._progress:
            self._progress(self._looked_at)


def _is_of_engines(name: str) -> bool:
    return name.lstrip(".").startswith(f"{ENGINES}-")


def _is_of_accelerators(name: str) -> bool:
    """Whether a file may hold rows of accelerators, whoever wrote it."""
    return not name.lstrip(".").startswith((f"{ENGINES}-", f"{HISTOGRAMS}-"))


def _check_directory(directory: Path) -> None:
    if not directory.is_dir():
        raise InputError(
            "no such directory" if not directory.exists() else "not a directory",
            where=str(directory),
            hint="give the directory that `advisor agent run --output` writes to",
        )


def _only_engines(directory: Path) -> OnlyEnginesError:
    return OnlyEnginesError(
        "serving engines were watched here, and no accelerators",
        where=str(directory),
        hint="`advisor samples summary` shows engines",
    )


def _nothing_read(directory: Path, skipped: Sequence[SkippedFile]) -> InputError:
    """Why there are no samples, by way of the first file if there is any."""
    if not skipped:
        return InputError(
            "no samples here",
            where=str(directory),
            hint="collect some on an inference host: `advisor agent run --output DIR`",
        )
    first = skipped[0]
    return InputError(
        f"none of {len(skipped)} files can be read; {first.path.relative_to(directory)}: {first.reason}",
        where=str(directory),
        hint="give the directory that `advisor agent run --output` writes to",
    )
