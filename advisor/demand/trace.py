"""A request trace (CSV: arrival time, size and items of each request) → demand, read as a stream."""

import csv
import datetime as dt
import math
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from advisor.demand.spread import UNDATED, changed_unit, is_dated, on_the_calendar, ticks_per_second
from advisor.demand.tally import Integers, RequestTally
from advisor.demand.values import (
    LARGEST_SIZE,
    MAX_TOKENS,
    NUMBERS_OF_REQUESTS,
    OF_TOKENS,
    TIME,
    Column,
    Demand,
    Requests,
    SizeColumns,
)
from advisor.errors import InputError
from advisor.names import printable
from advisor.reading import RESULT_FILE
from advisor.tables import CELLS_HINT, numbered_rows
from advisor.units import counted

Block = tuple[npt.NDArray[np.float64], Integers, Integers]

_BLOCK_BYTES = 8 << 20
_LONGEST_HEADER = 1 << 20
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""Marks between columns that spreadsheets write in place of commas, in words."""
_FIRST_YEAR, _LAST_YEAR = 1677, 2262
"""Years of the times that 64 bits hold in nanoseconds: neither is whole."""
_NAMED_CELL = re.compile(r"invalid value '(?P<cell>.*)'", re.DOTALL)
_PACKED = (".gz", ".bz2", ".lz4", ".zst")
"""Endings by which pyarrow unpacks a file."""
_NULLS = ["", "nan", "NaN", "NAN", "null", "None", "NA", "inf", "-inf"]


def read_trace(path: Path, progress: Callable[[int], None] | None = None, columns: SizeColumns = OF_TOKENS) -> Demand:
    """Demand of a trace; see :func:`tally_trace`."""
    return tally_trace(path, progress, columns).demand(f"trace {path.name}")


def tally_trace(
    path: Path, progress: Callable[[int], None] | None, columns: SizeColumns = OF_TOKENS
) -> RequestTally:  # fmt: skip
    """Count the requests of a CSV trace; times are ISO 8601, seconds, or milli-, micro- or nanoseconds since 1970.

    *progress* is called with the number of requests read so far, after every block. Raises InputError: file missing or
    empty, a column missing, or a cell that is no time or no such count, with its line number.
    """
    needed = (TIME, *columns.columns)
    tally = RequestTally(time_unit=_time_unit(path, needed)[1], column_notes=_column_notes(path, needed))
    try:
        for block in read_blocks(path, columns):
            tally.add(*block)
            if progress:
                progress(tally.requests)
    except InputError as error:
        error.where = error.where or str(path)
        raise
    return tally


def read_blocks(path: Path, columns: SizeColumns) -> Iterator[Block]:
    """Arrival seconds, sizes and items (tokens in and out) of a trace, some thousand requests at a time; checked.

    Raises InputError as of :func:`tally_trace`.
    """
    names_by_key = _column_names(path, (TIME, *columns.columns))
    names = list(names_by_key.values())
    ticks, unit = _time_unit(path, (TIME,))
    rows = 0
    try:
        with pa_csv.open_csv(path, **_options(path, names)) as reader:
            for batch in reader:
                _check_cells(batch, path, names_by_key, rows)
                if unit:
                    _check_unit(batch.column(0), unit, path, names[0], rows)
                *factors, items = (_integers(batch, column, names_by_key) for column in columns.columns)
                sizes = _product(factors, columns, path, rows)
                rows += batch.num_rows
                yield _seconds(batch.column(0), ticks), sizes, items
    except pa.ArrowInvalid as error:
        named = _NAMED_CELL.search(str(error))
        bad_line = _first_bad_line(path, names, named["cell"] if named else None)
        hint = "save it as CSV in UTF-8, with a line for each request"
        told = f"not a readable CSV: {printable(str(error))}"
        raise bad_line or InputError(told, where=str(path), hint=hint) from error
    except OSError as error:
        is_packed = path.suffix in _PACKED
        told = f"cannot unpack the trace as {path.suffix[1:]}" if is_packed else "cannot read the trace"
        hint = "give it the ending of what it is: .csv for a CSV file" if is_packed else ""
        raise InputError(f"{told}: {error}", where=str(path), hint=hint) from error
    if not rows:
        raise InputError("the trace has a header and no rows", where=str(path), hint="give at least one request")


def mean_size(path: Path, columns: SizeColumns) -> float:
    """Mean size of an item over the requests of a trace that :func:`tally_trace` takes."""
    sums = [(float(sizes.sum()), len(sizes)) for _, sizes, _ in read_blocks(path, columns)]
    return sum(total for total, _ in sums) / sum(count for _, count in sums)


def first_longer(path: Path, columns: SizeColumns, most_tokens: float) -> str:
    """Place of the first request of more tokens: ``trace.csv:17``; the file alone where there is none.

    *columns*: tokens of a text and texts of a request, or tokens of prompt and answer; *most_tokens*: of a text, or of
    both.
    """
    rows = 0
    for _, sizes, items in read_blocks(path, columns):
        longer = np.flatnonzero((sizes + items if columns == OF_TOKENS else sizes) > most_tokens)
        if longer.size:
            return _place(path, rows + int(longer[0]))
        rows += sizes.size
    return str(path)


_REMEDIES = {
    b"\xff\xfe": "it is UTF-16: `iconv -f UTF-16 -t UTF-8 {0} > {0}.utf8.csv`",
    b"\xfe\xff": "it is UTF-16: `iconv -f UTF-16 -t UTF-8 {0} > {0}.utf8.csv`",
    b"\x1f\x8b": "it is packed: `gunzip -c {0} > {0}.csv`",
    b"PK\x03\x04": "it is packed: `unzip -p {0} > {0}.csv`",
    b"\x28\xb5\x2f\xfd": "it is packed: `unzstd -c {0} > {0}.csv`",
    b"PAR1": "it is a Parquet file: write its requests as CSV",
}
"""Commands that make a CSV file in UTF-8 of what begins with these bytes."""


_OTHER_FORMATS = {"PAR1": "a Parquet file", "{": "JSON", "[": "JSON"}
"""What begins with such characters."""
_WRITE_CSV = "write its requests as CSV: a header that names the columns, and a line for each request"


def _remedy(path: Path) -> str:
    """Remedy for a file that is not a text in UTF-8."""
    start = b""
    with suppress(OSError), path.open("rb") as stream:
        start = stream.read(4)
    named = (remedy.format(shlex.quote(str(path))) for begin, remedy in _REMEDIES.items() if start.startswith(begin))
    return next(named, "give a CSV file in UTF-8, and unpack one that is packed (gunzip, unzstd)")


def header_of(path: Path) -> list[str]:
    """Names of the columns of a trace; none of an empty file. Raises InputError: no file, or no text in UTF-8."""
    RESULT_FILE.refuse(path)
    if path.is_symlink() and not path.exists():
        told = f"this is a link to {str(path.readlink())!r}, and there is no such file"
        raise InputError(told, where=str(path), hint="mend the link, or name the file itself")
    if path.exists() and not path.is_file():
        kind = "a directory" if path.is_dir() else "a pipe or a device, and a trace is read more than once"
        raise InputError(f"this is {kind}", where=str(path), hint="give a CSV file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            line = stream.readline(_LONGEST_HEADER)
    except OSError as error:
        hint = "check its name, and that it may be read"
        raise InputError(f"cannot read the trace: {error.strerror}", where=str(path), hint=hint) from error
    except UnicodeDecodeError as error:
        raise InputError("cannot read the trace: it is not UTF-8 text", where=str(path), hint=_remedy(path)) from error
    if other := next((kind for begin, kind in _OTHER_FORMATS.items() if line.startswith(begin)), ""):
        raise InputError(f"this is {other}, and a trace is CSV", where=str(path), hint=_WRITE_CSV)
    if len(line) == _LONGEST_HEADER:
        told = f"the first line is longer than {_LONGEST_HEADER:,} characters"
        raise InputError(told, where=f"{path}:1", hint=_WRITE_CSV)
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:
        raise InputError(f"the header is no line of CSV: {error}", where=f"{path}:1", hint=_WRITE_CSV) from error


def _column_names(path: Path, columns: Sequence[Column]) -> dict[Column, str]:
    """Header names in this file of the columns that it has."""
    header = header_of(path)
    if not header:
        raise InputError(
            "the trace is empty",
            where=str(path),
            hint=f"it needs a header with {', '.join(column.name for column in columns if column.headers)}",
        )
    if len(header) == 1 and (separator := next((mark for mark in _SEPARATORS if mark in header[0]), "")):
        raise InputError(
            f"the columns are separated by {_SEPARATORS[separator]}, and those of a trace by commas",
            where=f"{path}:1",
            hint="save it with commas between columns, and points in decimal numbers",
        )
    keys = [name.strip().lower() for name in header]
    by_key = dict(zip(keys, header, strict=True))
    stated = {column: next((by_key[name] for name in column.headers if name in by_key), "") for column in columns}
    names = {column: name for column, name in stated.items() if name}
    missing = [column for column in columns if column not in names and column.usual is None]
    if missing:
        raise _missing(missing, header, path)
    if number := next((by_key[name] for name in NUMBERS_OF_REQUESTS if name in by_key), ""):
        raise InputError(
            f"rows of several requests (column {number!r}), and each row of a trace is one",
            where=f"{path}:1",
            hint="give a trace of single requests, or state rates and lengths (demand.declared)",
        )
    if any(keys.count(name.strip().lower()) > 1 for name in names.values()):
        raise InputError("two columns have one name", where=f"{path}:1", hint="rename or remove one of them")
    return names


def _column_notes(path: Path, columns: Sequence[Column]) -> tuple[str, ...]:
    """Notes on columns of a trace that mean the same by their headers, of which one is read."""
    header, names = header_of(path), _column_names(path, columns)
    notes = []
    for column, name in names.items():
        others = [other for other in header if other != name and other.strip().lower() in column.headers]
        if others:
            left_out = "means the same, is" if len(others) == 1 else "mean the same, are"
            notes.append(f"the column {name!r} counts, and {_listed(others)}, which {left_out} left out")
    return tuple(notes)


def _listed(names: Sequence[str]) -> str:
    """Names in quotes: ``'a', 'b' and 'c'``."""
    quoted = [repr(name) for name in names]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def _missing(columns: Sequence[Column], header: Sequence[str], path: Path) -> InputError:
    """The error that names every missing column, and the headers that each may have."""
    names = [f"'{column.name}'" for column in columns]
    headers = "; ".join(f"{column.name}: {', '.join(column.headers)}" for column in columns)
    is_one = len(columns) == 1
    told = f"column {names[0]} is" if is_one else f"columns {', '.join(names[:-1])} and {names[-1]} are"
    wanted = f"name it one of {', '.join(columns[0].headers)}" if is_one else f"name each one of {headers}"
    return InputError(
        f"the {told} missing", where=f"{path}:1", hint=f"{wanted}; the header has {printable(', '.join(header))}"
    )  # fmt: skip


def _options(path: Path, names: list[str]) -> dict[str, Any]:
    types = {names[0]: _time_type(path, names[0])} | dict.fromkeys(names[1:], pa.float64())
    return {
        "read_options": pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
        "convert_options": pa_csv.ConvertOptions(
            include_columns=names, column_types=types, null_values=_NULLS, timestamp_parsers=[pa_csv.ISO8601]
        ),
    }


def _time_type(path: Path, name: str) -> Any:  # noqa: ANN401 - pyarrow carries no types
    """Type of the time column, judged by its first cell: seconds, or ISO 8601 with or without a zone."""
    cell = _first_cell(path, name)
    if _is_number(cell):
        return pa.float64()
    return pa.timestamp("ns", tz="UTC") if _has_zone(cell) else pa.timestamp("ns")


def _has_zone(cell: str) -> bool:
    return cell.endswith("Z") or "+" in cell or cell.count("-") > 2


def _time_unit(path: Path, columns: Sequence[Column]) -> tuple[float, str]:
    """Ticks a second of the times of a trace, and their name, judged by the first; "" where times are ISO 8601."""
    cell = _first_cell(path, _column_names(path, columns)[TIME])
    return ticks_per_second(float(cell)) if _is_number(cell) else (1.0, "")


def _first_cell(path: Path, name: str) -> str:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        try:
            return str(next(csv.DictReader(stream), {}).get(name) or "").strip()
        except csv.Error as error:
            hint = "give requests a row each, with cells of at most 128 KiB, and prompts and answers left out"
            raise InputError(f"not a readable CSV: {error}", where=f"{path}:2", hint=hint) from error


def _check_cells(batch: Any, path: Path, names: dict[Column, str], rows_before: int) -> None:  # noqa: ANN401 - as above
    """Refuse missing, negative, fractional and absurd values, naming the line of the first."""
    for index, (kind, name) in enumerate(names.items()):
        column = batch.column(index)
        is_number = pa.types.is_floating(column.type)
        bad = pc.invert(pc.fill_null(pc.is_finite(column), False)) if is_number else pc.is_null(column)  # noqa: FBT003 - pyarrow's
        what = "the value is missing, or no finite number" if is_number else "the value is missing"
        if index and not pc.any(bad).as_py():
            column = pc.multiply(column, kind.per_cell)
            counts = pc.round(column) if kind.per_cell != 1 else column
            outside = pc.or_(pc.less(counts, kind.least), pc.greater(counts, MAX_TOKENS))
            bad = pc.or_(outside, pc.not_equal(pc.floor(counts), counts))
            what = f"{kind.counted} is a whole number from {kind.least} to {MAX_TOKENS:,}"
        if pc.any(bad).as_py():
            row = pc.index(bad, True).as_py()
            shown = f", found {column[row].as_py():g}" if column[row].is_valid and index else ""
            raise InputError(
                f"{what}{shown}", where=f"{_place(path, rows_before + row)}: {name}", hint="correct or remove that row"
            )


def _check_unit(column: Any, unit: str, path: Path, name: str, rows_before: int) -> None:  # noqa: ANN401 - as above
    """Refuse times of a batch that are dates in another unit than the first of the trace, naming the line."""
    changed = changed_unit(np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64), unit)
    if changed is not None:
        row, other = changed
        raise InputError(
            f"the time {column[row].as_py():.0f} is in {other} since 1970, and the first time of the trace in {unit}",
            where=f"{_place(path, rows_before + row)}: {name}",
            hint="give all times in one unit",
        )


def _seconds(column: Any, ticks: float) -> np.ndarray[Any, np.dtype[np.float64]]:  # noqa: ANN401 - as above
    if pa.types.is_timestamp(column.type):
        nanoseconds = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return np.asarray(nanoseconds / 1e9, dtype=np.float64)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64) / ticks


def _integers(batch: Any, column: Column, names: dict[Column, str]) -> Integers:  # noqa: ANN401 - as above
    """Cells of a column in the unit of the demand; its usual number where the trace has none."""
    if column not in names:
        return np.full(batch.num_rows, column.usual, dtype=np.int64)
    cells = np.asarray(batch.column(list(names).index(column)).to_numpy(zero_copy_only=False))
    return np.rint(cells * column.per_cell).astype(np.int64)


def _product(factors: Sequence[Integers], columns: SizeColumns, path: Path, rows_before: int) -> Integers:
    """Sizes of a batch of requests; of one factor that factor."""
    if len(factors) == 1:
        return factors[0]
    sizes = np.prod(np.stack(factors).astype(np.float64), axis=0)
    if sizes.max() > LARGEST_SIZE:
        row = int(np.flatnonzero(sizes > LARGEST_SIZE)[0])
        name = " × ".join(column.name for column in columns.sizes)
        raise InputError(
            f"{name} is at most {LARGEST_SIZE:,}, found {sizes[row]:,.0f}",
            where=_place(path, rows_before + row),
            hint="correct or remove that row",
        )
    return np.asarray(sizes, dtype=np.int64)


def _place(path: Path, row: int) -> str:
    """File and line of a row, from 0 for the first below the header."""
    with suppress(csv.Error), path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        line, _ = next(islice(numbered_rows(csv.reader(stream)), row + 1, None), (row + 2, []))
        return f"{path}:{line}"
    return str(path)


def _first_bad_line(path: Path, names: list[str], refused: str | None) -> InputError | None:
    """Read again, slowly, to say which line the fast reader could not take, or which has the cell that it names."""
    times = _time_type(path, names[0])
    expect_number = bool(pa.types.is_floating(times))
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        reader = csv.reader(stream)
        try:
            header = next(reader)
            for line, cells in numbered_rows(reader):
                where, row = f"{path}:{line}", dict(zip(header, cells, strict=False))
                if len(cells) != len(header):
                    told = "the row has another number of cells than the header"
                    return InputError(told, where=where, hint=CELLS_HINT)
                for index, name in enumerate(names):
                    is_number = bool(index) or expect_number
                    is_good = _is_number(row[name]) if is_number else _time_of(row[name]) is not None
                    if row[name] == refused or not is_good:
                        return _bad_cell(row[name], f"{where}: {name}", is_number=is_number)
                if not expect_number and _has_zone(row[names[0]].strip()) != bool(times.tz):
                    return _of_another_zone(row[names[0]], f"{where}: {names[0]}", first_has_zone=bool(times.tz))
        except csv.Error as error:
            told = f"the row cannot be read: {error}"
            return InputError(told, where=f"{path}:{reader.line_num}", hint="correct or remove that row")
    return None


def _bad_cell(cell: str, where: str, *, is_number: bool) -> InputError:
    if is_number:
        hint = "correct that row" if cell.isascii() else "write it with the digits 0 to 9"
        return InputError(f"{cell!r} is not a number", where=where, hint=hint)
    moment = _time_of(cell)
    if moment is not None and not _FIRST_YEAR < moment.year < _LAST_YEAR:
        hint = "correct the year, or remove that row"
        return InputError(f"{cell!r} is a time that no trace has", where=where, hint=hint)
    return InputError(f"{cell!r} is not a time (ISO 8601 or seconds)", where=where, hint="correct that row")


def _of_another_zone(cell: str, where: str, *, first_has_zone: bool) -> InputError:
    told = ("no zone", "has one") if first_has_zone else ("a zone", "has none")
    hint = "give every time its zone, such as Z for UTC, or none of them"
    return InputError(f"{cell!r} has {told[0]}, and the first time of the trace {told[1]}", where=where, hint=hint)


def _is_number(cell: str) -> bool:
    try:
        return cell.isascii() and math.isfinite(float(cell))
    except ValueError:
        return False


def _time_of(cell: str) -> dt.datetime | None:
    """Time of a cell in ISO 8601, to the microsecond and without its zone; None: it is none."""
    try:
        return dt.datetime.fromisoformat(cell.strip()[:26].rstrip("Z"))
    except ValueError:
        return None


def read_requests(path: Path, columns: SizeColumns = OF_TOKENS) -> Requests:
    """Requests of a trace, sorted by arrival, on the calendar; notes say where it was not so.

    Headers, times and checks are those of :func:`tally_trace`. Raises InputError as there.
    """
    blocks = [
        (seconds, sizes.astype(np.int32), items.astype(np.int32))
        for seconds, sizes, items in read_blocks(path, columns)
    ]
    seconds, sizes, items = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    notes = list(_column_notes(path, (TIME, *columns.columns)))
    early = int(np.count_nonzero(np.diff(seconds) < 0))
    if early:
        order = np.argsort(seconds, kind="stable")
        seconds, sizes, items = seconds[order], sizes[order], items[order]
        notes.append(f"{counted(early, 'row')} of the trace earlier than the row before: it was sorted by time")
    if not is_dated(float(seconds[0])):
        seconds = seconds + on_the_calendar(0.0)
        notes.append(UNDATED)
    return Requests(seconds, sizes, items, notes=tuple(notes))
