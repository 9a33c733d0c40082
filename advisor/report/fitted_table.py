"""Tables and sentences that fit a width: columns are left out, cells and lines are wrapped."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from advisor.records import dataclass, replace
from advisor.report.text_table import GAP, aligned, is_number

_LEAST = 4
"""Characters that any column keeps where nothing else is left to give."""
_BOUND = re.compile(r"(?<=\d) (?=(?:ms|s|h|days?|months?|req/s|requests/s|GB|GiB)\b|×)|(?<=\d ×) (?=\w)")
_NO_BREAK_SPACE = "\u00a0"


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column, and what gives way where the table is too wide."""

    header: str
    importance: int = 0
    """Columns with the highest number are left out first; 0: never."""
    prose: int = 0
    """Characters that its sentences keep, which wrap, until other columns are left out; 0: it holds no sentences."""


def fit_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> tuple[str, list[int]]:
    """Rows under headers within a width, and the positions of the columns that were left out for it.

    Args:
        columns: heads of the columns.
        rows: their cells; a line break in a cell begins a new line.
        width: characters of a line; None: no limit.
    """
    kept, left_out = list(range(len(columns))), []
    if width is not None:
        while _excess(columns, rows, kept, width) > 0 and (least := _least_important(columns, kept)) is not None:
            kept.remove(least)
            left_out.append(least)
    heads = [columns[at] for at in kept]
    cells = [[row[at] for at in kept] for row in rows]
    widths = _widths(heads, cells, width)
    right = [not head.prose and all(is_number(row[at]) for row in cells) for at, head in enumerate(heads)]
    lines = [*_lines([head.header for head in heads], widths, right), GAP.join("-" * width for width in widths)]
    lines += [line for row in cells for line in _lines(row, widths, right)]
    return "\n".join(lines), sorted(left_out)


def fold_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Tables that show every column within a width; each further one begins with the column that names rows."""
    table, left_out = fit_table(columns, rows, width)
    tables = [table]
    key = next((at for at in range(len(columns)) if all(row[at] for row in rows)), 0)
    while left_out:
        shown = [key, *(at for at in left_out if at != key)]
        heads = [replace(columns[at], importance=rank) for rank, at in enumerate(shown)]
        heads[1:2] = [replace(head, importance=0) for head in heads[1:2]]
        table, still_out = fit_table(heads, [[row[at] for at in shown] for row in rows], width)
        tables.append(table)
        left_out = [shown[at] for at in still_out]
    return tables


def wrap(text: str, width: int | None, first: str = "", rest: str = "") -> list[str]:
    """A sentence in lines of a width, with what stands before the first line and before the others.

    What holds no space is never broken: it stands alone on a line, however long. A number stays with what it counts.
    """
    if width is None:
        return [f"{first}{text}".rstrip()]
    lines = textwrap.wrap(
        _BOUND.sub(_NO_BREAK_SPACE, " ".join(text.split())),
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK_SPACE, " ") for line in lines] or [first.rstrip()]


def _natural(column: Column, cells: Sequence[str]) -> int:
    """Characters of the longest line of a column, its head wrapped."""
    return max(_longest_word(column.header), *(len(line) for cell in cells for line in cell.split("\n")))


def _least_width(column: Column, cells: Sequence[str]) -> int:
    """Characters below which other columns are left out first."""
    natural = _natural(column, cells)
    if not column.prose:
        return natural
    return max(min(natural, column.prose), min(natural, max(_longest_word(cell) for cell in cells)))


def _longest_word(text: str) -> int:
    return max((len(word) for word in text.split()), default=1)


def _excess(columns: Sequence[Column], rows: Sequence[Sequence[str]], kept: Sequence[int], width: int) -> int:
    needed = sum(_least_width(columns[at], [row[at] for row in rows]) for at in kept)
    return needed + len(GAP) * (len(kept) - 1) - width


def _least_important(columns: Sequence[Column], kept: Sequence[int]) -> int | None:
    """The column that is left out next; None: all that are left are needed."""
    least = max(kept, key=lambda at: (columns[at].importance, at), default=None)
    return least if least is not None and columns[least].importance > 0 else None


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Characters of each column: what it would take, or a fair part of what there is."""
    by_column = [(column, [row[at] for row in rows]) for at, column in enumerate(columns)]
    natural = [max(_natural(*one), len(one[0].header) if width is None else 1) for one in by_column]
    room = None if width is None else width - len(GAP) * (len(columns) - 1)
    if room is None or sum(natural) <= room:
        return _with_whole_heads(columns, natural, room)
    choices = (
        [_least_width(*one) for one in by_column],
        [max(map(_longest_word, (column.header, *cells))) for column, cells in by_column],
    )
    least = next((widths for widths in choices if sum(widths) <= room), [min(_LEAST, width) for width in natural])
    return _shared(least, natural, room)


def _with_whole_heads(columns: Sequence[Column], widths: Sequence[int], room: int | None) -> list[int]:
    """Widths at which heads need not wrap, as far as there is room."""
    found = list(widths)
    for at, column in enumerate(columns):
        wider = max(found[at], len(column.header))
        if room is None or sum(found) - found[at] + wider <= room:
            found[at] = wider
    return found


def _shared(least: Sequence[int], natural: Sequence[int], room: int) -> list[int]:
    """The room divided: each column its least, then equal parts to those that want more, the most modest first."""
    widths, left = list(least), room - sum(least)
    wanting = sorted(range(len(least)), key=lambda at: natural[at] - least[at])
    for rank, at in enumerate(wanting):
        given = min(max(natural[at] - least[at], 0), max(left, 0) // (len(wanting) - rank))
        widths[at] += given
        left -= given
    return widths


def _lines(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """One row, in as many lines as its longest cell takes."""
    columns = [list(_cell_lines(cell, width)) for cell, width in zip(cells, widths, strict=True)]
    height = max(len(lines) for lines in columns)
    filled = [lines + [""] * (height - len(lines)) for lines in columns]
    return [aligned(line, widths, right) for line in zip(*filled, strict=True)]


def _cell_lines(cell: str, width: int) -> Iterator[str]:
    """A cell in lines; what holds no space is broken only where a whole line cannot hold it."""
    for line in cell.split("\n"):
        if len(line) <= width:
            yield line
        else:
            yield from textwrap.wrap(line, width, break_on_hyphens=False) or [""]
