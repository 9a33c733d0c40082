"""CSV: tables of the catalog read into typed cells, with errors that name file, row and column; and rows written."""

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_type_hints

from advisor.errors import InputError
from advisor.reading import RESULT_FILE

Row = Mapping[str, str]
Choice = TypeVar("Choice", bound=StrEnum)
Value = TypeVar("Value")
AnyRecord = TypeVar("AnyRecord", bound="Record")
_FORMULA, _NUMBER = re.compile(r"[=+\-@\t\r]"), re.compile(r"-?[0-9.]+(?:e[+-][0-9]+)?")
CELLS_HINT = "give the row as many cells as the header has; quote a cell that holds commas"
OptionalText = Annotated[str, "empty"]
"""Type of a field whose cell may be empty, "" then; that of a plain ``str`` may not."""


class Record:
    """One row of a table, whose cells are read by column and type."""

    __slots__ = ("cells", "line", "path")

    def __init__(self, path: Path, line: int, cells: Row) -> None:
        """Keep where the row stands, for error messages."""
        self.path = path
        self.line = line
        self.cells = cells

    def text(self, column: str) -> str:
        """A cell that must not be empty."""
        return self.cells.get(column) or self._fail_empty(column)

    def optional_text(self, column: str) -> str:
        """A cell as it stands, "" when empty."""
        cell = self.cells.get(column)
        return self._fail_empty(column) if cell is None else cell

    def number(self, column: str) -> float:
        """A finite number."""
        return self._finite(column, self.text(column))

    def optional_number(self, column: str) -> float | None:
        """A finite number, or None for an empty cell: unknown is never zero."""
        cell = self.cells.get(column)
        return self._finite(column, cell) if cell else None if cell == "" else self._fail_empty(column)

    def _finite(self, column: str, cell: str) -> float:
        """The number of a cell."""
        try:
            value = float(cell)
        except ValueError:
            self.fail(column, f"'{cell}' is not a number")
        if not math.isfinite(value):
            self.fail(column, f"'{cell}' is not a finite number")
        return value

    def optional_integer(self, column: str) -> int | None:
        """A whole number, or None for an empty cell."""
        value = self.optional_number(column)
        if value is None:
            return None
        whole = int(value)
        return whole if whole == value else self.fail(column, f"'{self.cells[column]}' is not a whole number")

    def integer(self, column: str) -> int:
        """A whole number."""
        value = self.optional_integer(column)
        return int(self.text(column)) if value is None else value

    def words(self, column: str) -> tuple[str, ...]:
        """Words between semicolons; none in an empty cell."""
        return tuple(filter(None, self.optional_text(column).split(";")))

    def flag(self, column: str) -> bool:
        """Whether a cell says yes; no and an empty cell say no."""
        cell = self.optional_text(column)
        return cell == "yes" if cell in ("", "yes", "no") else self.fail(column, f"'{cell}' is neither yes nor no")

    def choice(self, column: str, kind: type[Choice]) -> Choice:
        """A word of a closed list."""
        cell = self.text(column)
        try:
            return kind(cell)
        except ValueError:
            self.fail(column, f"'{cell}' is none of {', '.join(kind)}")

    def value(self, kind: Callable[..., Value], **given: object) -> Value:
        """A value of a dataclass.

        Each field that is not *given* is the cell of the column of its name, read by the field's type: text, numbers
        and lists of words. A field with a default keeps it where the table has no such column.
        """
        cells = {
            name: read(self, name)
            for name, read, has_default in _cells_of(kind)
            if name not in given and not (has_default and name not in self.cells)
        }
        return kind(**cells, **given)

    def fail(self, column: str, message: str, hint: str = "") -> NoReturn:
        """Raise an error that names the file, the row and the column."""
        raise InputError(message, where=f"{self.path}:{self.line}: {column}", hint=hint)

    def _fail_empty(self, column: str) -> NoReturn:
        if column in self.cells:
            self.fail(column, "the cell is empty")
        raise InputError(f"there is no column '{column}'", where=str(self.path))


_READERS: Mapping[Any, Callable[[Record, str], object]] = {
    str: Record.text,
    OptionalText: Record.optional_text,
    bool: Record.flag,
    float: Record.number,
    float | None: Record.optional_number,
    int: Record.integer,
    int | None: Record.optional_integer,
    tuple[str, ...]: Record.words,
}


@cache
def _cells_of(kind: Any) -> tuple[tuple[str, Callable[[Record, str], object], bool], ...]:  # noqa: ANN401
    """Name, reader and presence of a default of the fields of a dataclass that cells hold."""
    hints = get_type_hints(kind, include_extras=True)
    cells = []
    for field in fields(kind):
        hint = hints[field.name]
        is_choice = isinstance(hint, type) and issubclass(hint, StrEnum)
        read = partial(Record.choice, kind=hint) if is_choice else _READERS.get(hint)
        if read is not None:
            cells.append((field.name, read, field.default is not MISSING))
    return tuple(cells)


def read_records(path: Path, holding: str = "") -> Iterator[Record]:
    """Rows of a CSV file with a header line, each with its place; see :func:`records_of`."""
    return records_of(Record, path, holding)


def records_of(kind: type[AnyRecord], path: Path, holding: str = "") -> Iterator[AnyRecord]:
    """Rows of a CSV file with a header line as records of a kind.

    *holding*: a text on the lines of the rows that are wanted; others may be left out unread. "": all are read. Raises
    InputError if the file cannot be read, or a row has another number of cells than the header.
    """
    RESULT_FILE.refuse(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = _Lines(stream, holding) if holding else None
            reader = csv.reader(lines or stream, strict=True)
            header = next(reader, [])
            for begin, cells in numbered_rows(reader):
                number = lines.number if lines else begin
                if len(cells) != len(header):
                    raise InputError(
                        f"{len(cells)} cells where the header has {len(header)}",
                        where=f"{path}:{number}",
                        hint=CELLS_HINT,
                    )
                yield kind(path, number, dict(zip(header, cells, strict=True)))
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=str(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"this is not a CSV table in UTF-8: {error}", where=str(path)) from error


def numbered_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401 - csv.reader() has no public type
    """Rows that are not blank, each with the line that it begins on, whatever line breaks its cells have."""
    begin = reader.line_num + 1
    for cells in reader:
        if cells:
            yield begin, cells
        begin = reader.line_num + 1


class _Lines:
    """The first line of a table and those that hold a text; the number of the last one that was given."""

    def __init__(self, stream: Iterable[str], holding: str) -> None:
        """None is given yet."""
        self.number = 0
        self._lines = (each for each in enumerate(stream, 1) if each[0] == 1 or holding in each[1])

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            self.number = number
            yield line


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a CSV file with a header line, cells as text; see :func:`read_records`."""
    for record in read_records(path):
        yield record.cells


def optional_float(cell: str) -> float | None:
    """A number, or None for an empty cell: unknown is never zero."""
    return float(cell) if cell else None


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as lines of a CSV, no cell of which a spreadsheet takes for a formula."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_inert(cell) for cell in row] for row in rows)
    return text.getvalue()


def _inert(cell: object) -> object:
    """A cell with an apostrophe before what begins as a formula does and is not a number."""
    is_formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell
