"""Files that a person names (files, folders, patterns), and tables of the same columns among them."""

import csv
import glob
import gzip
import io
import re
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import duckdb

from advisor.audit.sql import Columns, numbered_column, text, texts
from advisor.errors import InputError
from advisor.names import first_names
from advisor.reading import RESULT_FILE
from advisor.records import dataclass
from advisor.units import BYTES_PER_MIB, counted

_STRIDE_BYTES = 32 * BYTES_PER_MIB
"""The database refuses lines over 16 MiB by itself while they fit its buffer of 256 MiB."""
_PIECE_BYTES = BYTES_PER_MIB
_LINE_END = re.compile(rb"[\r\n]")
_CSV, _PARQUET, _JSON = ".csv", ".parquet", ".json"
_ENDINGS = {".csv": _CSV, ".tsv": _CSV, ".parquet": _PARQUET, ".json": _JSON, ".jsonl": _JSON, ".ndjson": _JSON}
_PACKED = (".gz", ".zst")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
UTF_16_HINT = "save it as UTF-8: `iconv -f UTF-16 -t UTF-8 FILE > NEW`"
_LINES, _ARRAY = "newline_delimited", "array"
"""Layouts of JSON: an object a line, or one list of them."""
_HEADER_BYTES = 1024 * 1024
_MOST_COLUMNS = 10_000
"""Columns of a table: a bill with a column for each tag has some hundreds."""
_LONGEST_LINE = 16 * 1024 * 1024
_DELIMITERS = (",", ";", "\t", "|")
_GLOB_SIGNS = frozenset("*?[")
_KINDS = "CSV or JSON (also .gz and .zst), or Parquet"
_WHOLE = "see that the export is whole"
_JSON_HINT = "write an object a line, or one list of objects"
_NAMED_FILE = re.compile(r"(?<=\bfile )(?:'[^']*'|\"[^\"]*\")\s?", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_REASON = re.compile(
    r"^(Expected Number of Columns: \d+ Found: \d+|Value with unterminated quote found\.|"
    r"Maximum line size of \d+ bytes exceeded\.|Invalid unicode \(byte sequence mismatch\) detected\.)",
    re.MULTILINE,
)
"""Lines of messages that hold nothing of a file."""
_FILE_LINE = re.compile(r"^\s*file ?= ?(.+)$", re.MULTILINE)
_FILE_WORDS = re.compile(r"in file \"([^\"]+)\"")
_NO_FOLDERS = "hive_partitioning = false"
"""A folder called ``EffectiveCost=0`` is not a column: it would take the place of the file's own."""
NULLS = ("", "NULL", "null")
"""Cells of a CSV that hold nothing."""


def opened(path: Path) -> BinaryIO:
    """A file to read, unpacked where its name says that it is packed."""
    if path.name.casefold().endswith(".zst"):
        import pyarrow as pa  # noqa: PLC0415 - files that are not packed so do without

        return cast("BinaryIO", pa.CompressedInputStream(path, "zstd"))
    return cast("BinaryIO", gzip.open(path)) if path.name.casefold().endswith(".gz") else path.open("rb")


def refuse_endless_lines(path: Path, what: str) -> None:
    """Refuse a file with a line of twice 32 MiB or more.

    Such a line covers a multiple of 32 MiB and as much after it. So of a plain file only the places after these
    multiples are read, up to the first line end; a packed one is read whole. *what*: noun for messages. Raises
    InputError if it has such a line, or is a damaged archive.
    """
    try:
        with opened(path) as stream:
            is_packed = path.name.casefold().endswith(_PACKED)
            is_endless = _is_endless(stream) if is_packed else _is_endless_at_a_stride(stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"the {what} is a damaged gzip file", where=str(path), hint=_WHOLE) from error
    if is_endless:
        reason = f"the {what} has a line of more than {_STRIDE_BYTES / BYTES_PER_MIB:g} MiB"
        raise InputError(reason, where=str(path), hint=_WHOLE)


def _is_endless_at_a_stride(stream: BinaryIO) -> bool:
    size = stream.seek(0, 2)
    for start in range(0, size - _STRIDE_BYTES, _STRIDE_BYTES):
        stream.seek(start)
        if not any(_LINE_END.search(stream.read(_PIECE_BYTES)) for _ in range(_STRIDE_BYTES // _PIECE_BYTES)):
            return True
    return False


def _is_endless(stream: BinaryIO) -> bool:
    since_end = 0
    while piece := stream.read(_PIECE_BYTES):
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r"))
        since_end = since_end + len(piece) if end < 0 else len(piece) - end
        if since_end > _STRIDE_BYTES:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Table:
    """Files with the same columns."""

    paths: tuple[Path, ...]
    columns: Columns
    sources: tuple[str, ...]
    """SQL that reads each of them."""
    source: str
    """SQL that reads all of them."""

    @property
    def where(self) -> str:
        """Their names, for messages."""
        return first_names([str(path) for path in self.paths], 1)


def files_of(places: Sequence[str], what: str) -> list[Path]:
    """Files of names, folders and patterns, each once, in order. Raises InputError if a name stands for nothing."""
    try:
        paths = [path for place in places for path in _files_at(place, what)]
    except OSError as error:
        raise InputError(
            f"cannot look for the {what}: {error.strerror or error}", where=(error.filename or "")[:200]
        ) from error
    for path in paths:
        RESULT_FILE.refuse(path)
        if path.exists() and not path.is_file():
            hint = "write it to a file"
            raise InputError(f"the {what} is a pipe or a device, and it is read twice", where=str(path), hint=hint)
    return list({path.resolve(): path for path in paths}.values())


def _files_at(place: str, what: str) -> list[Path]:
    path = Path(place)
    if path.is_dir():
        paths = sorted(each for each in _visible(path) if _kind(each))
    elif path.exists():
        paths = [path]
    elif not _GLOB_SIGNS & set(place):
        why = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise InputError(f"the {what} {why}", where=place, hint=f"give {_KINDS}")
    else:
        paths = sorted(Path(each) for each in glob.glob(place, recursive=True) if Path(each).is_file())  # noqa: PTH207
    if not paths:
        raise InputError(f"no file of the {what} here", where=place, hint=f"give {_KINDS}")
    return paths


def _visible(folder: Path) -> Iterator[Path]:
    """Files in a folder, without hidden ones and manifests that providers put beside the parts of an export."""
    for path in folder.rglob("*"):
        is_hidden = any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        if path.is_file() and not is_hidden and "manifest" not in path.name.casefold():
            yield path


def ignored_files(places: Sequence[str], what: str) -> list[str]:
    """Notes on files of folders that are not read, because their names tell no kind that can be."""
    notes = []
    for folder in (Path(place) for place in places if Path(place).is_dir()):
        others = sorted(str(each.relative_to(folder)) for each in _visible(folder) if not _kind(each))
        if others:
            said = f"{counted(len(others), 'file')} not read for the {what} ({first_names(others)})"
            notes.append(f"{folder}: {said}: give {_KINDS}")
    return notes


def _kind(path: Path) -> str:
    """Kind of a file by its ending; "" for any other."""
    packed = path.suffix.casefold() in _PACKED
    kind = _ENDINGS.get((path.with_suffix("") if packed else path).suffix.casefold(), "")
    return "" if packed and kind == _PARQUET else kind


def tables_of(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], scratch: Path, what: str) -> list[Table]:
    """Files by their columns; *scratch* takes links to files whose names are patterns to the database.

    Raises InputError if a file cannot be read, or has no columns.
    """
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        groups.setdefault(_signature(connection, path, scratch, what), []).append(path)
    tables = []
    for (kind, delimiter, *rest), alike in groups.items():
        columns = Columns(dict(zip(rest[::2], rest[1::2], strict=True)))
        safe = [_safe(path, scratch) for path in alike]
        each = tuple(_reader(kind, [path], delimiter, columns) for path in safe)
        tables.append(Table(tuple(alike), columns, each, _reader(kind, safe, delimiter, columns)))
    return tables


def _signature(connection: duckdb.DuckDBPyConnection, path: Path, scratch: Path, what: str) -> tuple[str, ...]:
    """Kind, delimiter (of JSON the layout) and columns with their types."""
    kind = _kind(path)
    if not kind:
        raise InputError(f"the {what} is of no kind that can be read", where=str(path), hint=f"give {_KINDS}")
    try:
        if kind == _CSV:
            refuse_endless_lines(path, what)
            delimiter, names = _csv_header(path, what)
            return (kind, delimiter, *(part for column in names for part in (column, "VARCHAR")))
        layout = ""
        if kind == _JSON:
            with opened(path) as stream:
                is_list = stream.read(_HEADER_BYTES).removeprefix(BOM_UTF8).lstrip().startswith(b"[")
            layout = _ARRAY if is_list else _LINES
        reader = _reader(kind, [_safe(path, scratch)], layout)
        columns = connection.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
        if kind == _PARQUET:
            _refuse_long_cells(connection, path, _safe(path, scratch), what)
    except duckdb.Error as error:
        hint = _JSON_HINT if kind == _JSON else _WHOLE
        raise InputError(f"cannot read the {what}: {reason_of(error)}", where=str(path), hint=hint) from error
    except OSError as error:
        hint = "check its name, and that it may be read" if error.errno else _WHOLE
        raise InputError(f"cannot read the {what}: {error.strerror or error}", where=str(path), hint=hint) from error
    if kind == _JSON and [row[0] for row in columns] == ["json"]:
        raise InputError(f"the {what} holds no objects of JSON", where=str(path), hint=_JSON_HINT)
    _refuse_width(len(columns), path, what)
    types = {row[0]: "VARCHAR" if kind == _JSON else row[1] for row in columns}
    return (kind, layout, *(part for column in types.items() for part in column))


def _refuse_long_cells(connection: duckdb.DuckDBPyConnection, path: Path, safe: Path, what: str) -> None:
    """Refuse a Parquet file whose values of a column in a group of rows are longer on average than a line may be."""
    query = (
        "SELECT path_in_schema, row_group_num_rows, total_uncompressed_size / num_values, "
        "(SELECT sum(num_rows) FROM (SELECT DISTINCT row_group_id AS number, row_group_num_rows AS num_rows "
        f"FROM parquet_metadata({text(str(safe))})) WHERE number < row_group_id) "
        f"FROM parquet_metadata({text(str(safe))}) WHERE type = 'BYTE_ARRAY' "
        f"AND total_uncompressed_size > {_LONGEST_LINE} * num_values ORDER BY row_group_id, column_id LIMIT 1"
    )
    for column, rows, length, before in connection.execute(query).fetchall():
        first = (before or 0) + 1
        cells = "a cell of" if rows == 1 else "cells that average"
        lines = f"row {first:,}" if rows == 1 else f"rows {first:,} to {first + rows - 1:,}"
        said = (
            f"the {what} has {cells} {length / BYTES_PER_MIB:,.0f} MiB in {lines}, column {column}; "
            f"{_LONGEST_LINE / BYTES_PER_MIB:g} MiB are the most that are read"
        )
        raise InputError(said, where=str(path), hint="leave out that column, or shorten its text")


def _refuse_width(columns: int, path: Path, what: str) -> None:
    if columns > _MOST_COLUMNS:
        told = f"the {what} has {columns:,} columns, and {_MOST_COLUMNS:,} are the most that are read"
        raise InputError(told, where=str(path), hint="leave out those that are neither amounts, names nor tags")


def _csv_header(path: Path, what: str) -> tuple[str, list[str]]:
    """Delimiter and names of the columns."""
    try:
        with opened(path) as stream:
            start = stream.read(_HEADER_BYTES)
            while not _LINE_END.search(start, max(len(start) - _PIECE_BYTES, 0)) and (
                more := stream.read(_PIECE_BYTES)
            ):
                start += more
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"the {what} is a damaged gzip file", where=str(path), hint=_WHOLE) from error
    if start.startswith(_UTF_16):
        raise InputError(f"the {what} is written in UTF-16", where=str(path), hint=UTF_16_HINT)
    head = start.decode("utf-8-sig", errors="replace")
    line = head.splitlines()[0] if head.strip() else ""
    delimiter = max(_DELIMITERS, key=line.count)
    try:
        names = next(csv.reader(io.StringIO(head), delimiter=delimiter), []) if line else []
    except csv.Error as error:
        raise InputError(
            f"the header of the {what} is not a line of CSV: {error}", where=str(path), hint=_WHOLE
        ) from error
    if not any(names):
        raise InputError(f"the {what} is empty: it has not even a header line", where=str(path), hint=_WHOLE)
    _refuse_width(len(names), path, what)
    if broken := next((column for column in names if len(column.splitlines()) > 1), None):
        words = " ".join(broken.split())
        raise InputError(f"the name of the column {words!r} has a line break", where=str(path), hint="take it out")
    seen: Counter[str] = Counter()
    distinct = []  # with a number behind those that stand there again in any case
    for plain in (column.strip() or "column" for column in names):
        seen[plain.casefold()] += 1
        distinct.append(numbered_column(plain, seen[plain.casefold()]))
    return delimiter, distinct


def _reader(kind: str, paths: Sequence[Path], delimiter: str = "", columns: Columns | None = None) -> str:
    listed = texts([str(path) for path in paths])
    if kind == _PARQUET:
        return f"read_parquet({listed}, union_by_name = true, {_NO_FOLDERS})"
    types = ", ".join(f"{text(column)}: 'VARCHAR'" for column in columns.types) if columns else ""
    if kind == _JSON:
        shape = f"columns = {{{types}}}" if columns else "sample_size = 20000"
        size = f"maximum_object_size = {_LONGEST_LINE}"
        return f"read_json({listed}, format = {text(delimiter)}, {size}, {shape}, {_NO_FOLDERS})"
    return (
        f"read_csv({listed}, auto_detect = false, header = true, delim = {text(delimiter)}, quote = '\"', "
        f"escape = '\"', nullstr = {texts(NULLS)}, max_line_size = {_LONGEST_LINE}, "
        f"columns = {{{types}}}, {_NO_FOLDERS})"
    )


def _safe(path: Path, scratch: Path) -> Path:
    """A path in which the database sees no pattern, of a file whose lines all end alike."""
    absolute = path.resolve()
    if _kind(path) == _CSV and _is_mixed(path):
        return _even(path, scratch)
    if not _GLOB_SIGNS & set(str(absolute)):
        return absolute
    link = _beside(path, scratch, path.name)
    if not link.is_symlink():
        link.symlink_to(absolute)
    return link


def _beside(path: Path, scratch: Path, named: str) -> Path:
    return scratch / f"{abs(hash(str(path.resolve())))}-{''.join(sign for sign in named if sign not in _GLOB_SIGNS)}"


def _is_mixed(path: Path) -> bool:
    """Whether the header's line ends otherwise than those after it: the database takes all of them for the first."""
    with opened(path) as stream:
        head, end, rest = stream.read(_HEADER_BYTES).partition(b"\n")
    ends_alike = b"\r\n" in rest if head.endswith(b"\r") else b"\r\n" not in rest
    return bool(end) and b"\n" in rest and not ends_alike


def _even(path: Path, scratch: Path) -> Path:
    """A copy of a CSV, unpacked, whose lines all end with a line feed."""
    copy = _beside(path, scratch, path.stem if path.suffix.casefold() in _PACKED else path.name)
    if not copy.exists():
        with opened(path) as stream, copy.open("wb") as lines:
            while piece := stream.read(_PIECE_BYTES):
                if piece.endswith(b"\r"):
                    piece += stream.read(1)
                lines.write(piece.replace(b"\r\n", b"\n"))
    return copy


def reason_of(error: Exception) -> str:
    """A database's complaint about a file, without anything of the file's content: it may hold prompts."""
    message = str(error)
    first = message.splitlines()[0] if message else type(error).__name__
    reason = _REASON.search(message)
    plain = _QUOTED.sub("…", _NAMED_FILE.sub("", first.partition(": ")[2] or first)).rstrip()
    return f"{plain}. {reason[0]}" if reason else plain


def place_of(error: Exception) -> str:
    """The file that an error of a database is about; "" where it names none."""
    matches = _FILE_LINE.findall(str(error)) or _FILE_WORDS.findall(str(error).partition("\n")[0])
    return str(matches[-1]) if matches else ""


def sample_names(columns: Columns, most: int = 8) -> str:
    """Some names of columns, for messages."""
    names = list(columns.types)
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")
