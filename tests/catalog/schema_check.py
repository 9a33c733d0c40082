"""What ``SCHEMA.csv`` says about a table, applied to every row of it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from advisor.tables import Row, read_rows

_PATTERNS = {
    "date": re.compile(r"20\d\d(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?"),
    "number": re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?"),
    "integer": re.compile(r"\d+"),
}


class Column(NamedTuple):
    """A line of the schema."""

    file: str
    name: str
    type: str
    required: bool

    def problem(self, cell: str, references: dict[str, set[str]]) -> str:
        """Why a cell does not fit, "" when it does."""
        if not cell:
            return "empty" if self.required else ""
        for kind in self.type.split():
            if not _fits(kind, cell, references):
                return f"'{cell}' is no {kind}"
        return ""


def _fits(kind: str, cell: str, references: dict[str, set[str]]) -> bool:
    name, _, argument = kind.rstrip(")").partition("(")
    if name in _PATTERNS:
        return _PATTERNS[name].fullmatch(cell) is not None
    match name:
        case "text" | "key":
            return cell == cell.strip()
        case "choice":
            return cell in argument.split("|")
        case "json":
            return isinstance(json.loads(cell), dict)
        case "reference":
            return cell in references[argument]
    raise AssertionError(f"the schema names an unknown type: {kind}")


def read_schema(directory: Path) -> dict[str, list[Column]]:
    """Columns of each file in order."""
    files: dict[str, list[Column]] = {}
    for row in read_rows(directory / "SCHEMA.csv"):
        column = Column(row["file"], row["column"], row["type"], row["required"] == "yes")
        files.setdefault(column.file, []).append(column)
    return files


def tables(directory: Path, pattern: str) -> dict[str, list[Row]]:
    """Rows of each file that a schema entry speaks of."""
    return {path.relative_to(directory).as_posix(): list(read_rows(path)) for path in sorted(directory.glob(pattern))}


def described(directory: Path) -> set[str]:
    """Files that the schema speaks of."""
    return {name for pattern in read_schema(directory) for name in tables(directory, pattern)}


def violations(directory: Path, references: dict[str, set[str]] | None = None) -> Iterator[str]:
    """Every cell, key and column that is not as the schema says; references are those of the catalog if not given."""
    schema = read_schema(directory)
    references = references or {
        "sources.source_id": {row["source_id"] for row in read_rows(directory / "sources.csv")},
        "accelerators.name": {row["name"] for row in read_rows(directory / "accelerators.csv")},
        "models.name": {row["name"] for row in read_rows(directory / "models.csv")},
    }
    for pattern, columns in schema.items():
        for file, rows in tables(directory, pattern).items():
            yield from _table_violations(file, rows, columns, references)


def _table_violations(
    file: str, rows: list[Row], columns: list[Column], references: dict[str, set[str]]
) -> Iterator[str]:
    if list(rows[0]) != [column.name for column in columns]:
        yield f"{file}: columns {list(rows[0])}"
        return
    key = [column.name for column in columns if "key" in column.type.split()]
    keys = [tuple(row[name] for name in key) for row in rows]
    yield from (f"{file}: {cells} occurs twice" for cells, count in Counter(keys).items() if count > 1)
    for column in columns:
        cells = {row[column.name] for row in rows}
        problems = {cell: problem for cell in cells if (problem := column.problem(cell, references))}
        for line, row in enumerate(rows, start=2) if problems else ():
            if row[column.name] in problems:
                yield f"{file}:{line}: {column.name}: {problems[row[column.name]]}"
