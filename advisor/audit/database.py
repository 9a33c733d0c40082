"""A database on disk for the time of one audit, within bounds of memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from advisor.atomic_files import scratch_folder
from advisor.audit.files import Table, place_of, reason_of
from advisor.audit.sql import DAY_FIRST, text
from advisor.errors import InputError
from advisor.processes import usable_processors
from advisor.records import dataclass
from advisor.units import counted

MEMORY_MIB = 640
"""Most that the database holds in memory; the rest of an audit stays below 300 MiB."""
_POLL_SECONDS = 0.2
_MOST_PARAMETERS = 10_000
"""Rows that a statement takes as parameters; Arrow is faster for more, and takes half a second to load."""
Progress = Callable[[str, int, int], None]
"""Told what is read, and how much of how much."""


@dataclass(frozen=True, slots=True)
class Database:
    """A connection, and a folder that goes with it."""

    connection: duckdb.DuckDBPyConnection
    scratch: Path
    progress: Progress | None

    def run(self, statement: str, what: str = "") -> None:
        """Run a statement. Raises InputError if the files cannot be read, or the sums are too large."""
        try:
            if self.progress is None or not what:
                self.connection.execute(statement)
            else:
                self._watched(statement, what, self.progress)
        except duckdb.OutOfRangeException as error:
            hint = "see that it is in the right column"
            raise InputError("an amount is too large to be summed exactly", hint=hint) from error
        except duckdb.OutOfMemoryException as error:
            hint = "give fewer files at a time, or make room where temporary files go (TMPDIR)"
            raise InputError(f"more than {MEMORY_MIB} MiB and the disk's room are needed", hint=hint) from error
        except duckdb.Error as error:
            hint = "see that the export is whole"
            raise InputError(f"cannot read: {reason_of(error)}", where=place_of(error), hint=hint) from error
        except RuntimeError as error:
            if "interrupted" not in str(error):
                raise
            raise KeyboardInterrupt from error  # a signal ended the query, and the database hides which

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of an answer that is small. Raises InputError as of :meth:`run`."""
        self.run(query)
        return self.connection.fetchall()

    def row(self, query: str) -> tuple[Any, ...]:
        """The one row of an answer."""
        return self.rows(query)[0]

    def load(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
        """Rows as a temporary table, in place of one of that name; *columns*: name and type of each."""
        values = [[row[position] for row in rows] for position in range(len(columns))]
        create = f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT"
        if len(rows) <= _MOST_PARAMETERS:
            types = enumerate(columns.items(), start=1)
            lists = ", ".join(f"unnest(${place}::{kind}[]) AS {column}" for place, (column, kind) in types)
            self.connection.execute(f"{create} {lists}", values)
            return
        import pyarrow as pa  # noqa: PLC0415 - few bills have as many sets of tags

        self.connection.register("arrow_rows", pa.table(values, names=list(columns)))
        casts = ", ".join(f"{column}::{kind} AS {column}" for column, kind in columns.items())
        self.connection.execute(f"{create} {casts} FROM arrow_rows")
        self.connection.unregister("arrow_rows")

    def _watched(self, statement: str, what: str, progress: Progress) -> None:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.connection.execute, statement)
            try:
                while not running.done():
                    with suppress(NotYet):
                        running.result(_POLL_SECONDS)
                        return
                    progress(what, max(1, int(self.connection.query_progress())), 100)
            except BaseException:
                self.connection.interrupt()
                raise
            running.result()


@contextmanager
def opened(progress: Progress | None = None, folder: Path | None = None) -> Iterator[Database]:
    """A database whose files in a folder (None: temporary) vanish. Raises InputError if none can be written there."""
    with scratch_folder(folder) as scratch:
        config: dict[str, Any] = {
            "memory_limit": f"{MEMORY_MIB}MiB",
            "threads": usable_processors(),
            "temp_directory": str(scratch / "spill"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
        }
        try:
            connection = duckdb.connect(str(scratch / "audit.duckdb"), config=config)
            settings = "SET TimeZone = 'UTC'; SET enable_progress_bar = true; SET enable_progress_bar_print = false"
            connection.execute(settings)
        except duckdb.Error as error:
            hint = "make room there, or name another folder in TMPDIR"
            raise InputError("cannot write temporary files", where=str(scratch), hint=hint) from error
        with connection:
            yield Database(connection, scratch, progress)


def repeated_columns(database: Database, table: Table, statement: str) -> list[str]:
    """Notes on columns that a statement reads of a table and that stand there twice with the same values.

    Raises InputError if the values differ, so that nothing says which of them is meant.
    """
    notes = []
    for first, other in table.columns.repeated(statement):
        query = f"SELECT count(*) FROM {table.source} WHERE {table.columns.contradicts(other, first)}"
        (lines,) = database.row(query)
        told = (
            f"the column {first} is there twice" if other.startswith(first) else f"{first} and {other} are one column"
        )
        if lines:
            said = f"{told}, with different values in {counted(lines, 'line')}"
            raise InputError(said, where=table.where, hint="rename or remove one of them")
        notes.append(f"{table.where}: {told}: the first counts, and the other says nothing else")
    return notes


def unreadable_time(database: Database, table: Table, column: str) -> str | None:
    """A cell of a column that is not a time; None: it has none.

    Raises InputError if some dates name the day first, so that others are read as another day.
    """
    value, moment = table.columns.text(column), table.columns.time(column)
    is_day_first = f"regexp_matches({value}, {text(DAY_FIRST)})"
    rows = database.rows(
        f"SELECT {value}, {is_day_first} FROM {table.source} WHERE {value} IS NOT NULL AND {moment} IS NULL "
        f"ORDER BY {is_day_first} DESC LIMIT 1"
    )
    for example, names_day_first in rows:
        if names_day_first:
            raise InputError(
                f"{column} names the day before the month, such as {example[:10]!r}, and is read as month/day/year",
                where=table.where,
                hint="write dates as YYYY-MM-DD",
            )
        return str(example[:40])
    return None
