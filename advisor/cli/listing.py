"""Lists of catalog entries, in each format that lists have."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.cli.output import deliver, report_width
from advisor.report.text_table import Column, fit_table, render_markdown_table, wrap
from advisor.report.words import SOLD_UNPRICED
from advisor.tables import csv_text

Cell = str | int | float | None
Entry = Mapping[str, Cell]
PRICE = "usd_per_hour"
_REGIONS = "regions"
_NEEDED = frozenset(
    {
        "name",
        "item",
        "service",
        "accelerator",
        "region",
        _REGIONS,
        PRICE,
        "usd",
        "unit",
        "weights_gib",
        "precision",
        "input_usd_per_million",
        "output_usd_per_million",
    }
)
"""Columns that a table has however narrow it is."""
_WRAPPED = {"service": 10, _REGIONS: 20}
"""Characters that columns keep whose cells wrap."""


def deliver_entries(
    entries: Sequence[Entry], output_format: str, output: Path | None, heads: Mapping[str, str] | None = None
) -> None:  # fmt: skip
    """Entries with the same keys, in the format that is asked for.

    Args:
        entries: at least one.
        output_format: of :data:`advisor.cli.output.list_format_option`.
        output: file; None: stdout.
        heads: words above columns of a table by key, where those of the key take more room than its cells.
    """
    keys, named = tuple(entries[0]), heads or {}
    if output_format == "table":
        rows = [[_cell(entry, key) for key in keys] for entry in entries]
        if PRICE in keys:
            rows = right_aligned(rows, keys.index(PRICE))
        columns = [
            Column(named.get(key, key.replace("_", " ")), 0 if key in _NEEDED else at + 1, _WRAPPED.get(key, 0))
            for at, key in enumerate(keys)
        ]
        deliver(fitted(columns, rows, output), output)
    else:
        deliver(serialise(entries, keys, output_format), output)


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], output: Path | None) -> str:
    """A table as wide as lines of the result may be, and which columns only other formats have room for."""
    width = report_width(output, wide=False)
    table, left_out = fit_table(columns, rows, width)
    names = ", ".join(columns[at].header for at in left_out)
    note = wrap(f"(--format csv shows {names} too)", width, rest=" ") if names else []
    return "\n".join([table, *note]) + "\n"


def whole(value: float | None) -> Cell:
    """8 rather than 8.0."""
    return int(value) if value is not None and value.is_integer() else value


def serialise(entries: Sequence[Entry], keys: Sequence[str], output_format: str) -> str:
    """Entries as JSON, one to a line (NDJSON), as a Markdown table, or as CSV."""
    if output_format == "json":
        return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    if output_format == "ndjson":
        return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    if output_format == "markdown":
        heads = [key.replace("_", " ") for key in keys]
        return render_markdown_table(heads, [[_cell(entry, key) for key in keys] for entry in entries]) + "\n"
    return csv_text((keys, *([entry.get(key) for key in keys] for entry in entries)))


def right_aligned(rows: Sequence[Sequence[str]], at: int) -> list[list[str]]:
    """The rows with one column aligned to the right."""
    width = max(len(row[at]) for row in rows)
    return [[cell.rjust(width) if column == at else cell for column, cell in enumerate(row)] for row in rows]


def _cell(entry: Entry, key: str) -> str:
    """A cell of a table; a price that nobody states is told in words."""
    if key == PRICE and entry[key] is None:
        return SOLD_UNPRICED
    return shown(entry[key]).replace(";", "; ") if key == _REGIONS else shown(entry[key])


def shown(value: Cell) -> str:
    """A value in a table; a dash where there is none."""
    return "-" if value is None else str(value)
