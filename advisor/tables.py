"""Reading the CSV tables of the catalog: text in, typed cells out, an error that names the file and the row."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from advisor.errors import InputError

Row = Mapping[str, str]


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a CSV file with a header line, cells as text.

    Raises:
        InputError: the file cannot be read, or a row has another number of cells than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            for cells in reader:
                if len(cells) != len(header):
                    raise InputError(
                        f"{len(cells)} cells where the header has {len(header)}", where=f"{path}:{reader.line_num}"
                    )
                yield dict(zip(header, cells, strict=True))
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=str(path)) from error


def optional_float(cell: str) -> float | None:
    """A number, or None for an empty cell: unknown is never zero."""
    return float(cell) if cell else None


def optional_int(cell: str) -> int | None:
    """A whole number, or None for an empty cell."""
    return int(cell) if cell else None
