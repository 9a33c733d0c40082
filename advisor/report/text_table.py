"""Columns of text that line up, tables and sentences that fit a width, and sections of reports made of them."""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from advisor.names import printable
from advisor.records import dataclass, replace

GAP = "  "
T = TypeVar("T")
_MARKDOWN_SIGNS = re.compile(r"[\\`*_\[\]<>|~]|&(?=#?\w+;)|\$(?!\d)")
_HOST_SIGNS = re.compile(r"@(?=[\w\\])|[#!](?=\d)|:(?=//)|\bwww(?=\.)|\b(?:mailto|xmpp)(?=:)", re.IGNORECASE)
"""Signs before a name of a person, a number of an issue or a merge request, and in an address."""
_WORD_JOINER = "\u2060"
_BLOCK_SIGNS = re.compile(r"^(?:[-+=](?=[-+=\s]|$)|#(?=#|\s|$)|\d{1,9}[.)](?=\s|$))")
"""Begin of a list, a heading or a rule where a text begins a line."""


def render_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under headers; a column of numbers is aligned to the right, any other to the left."""
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    right = [all(is_number(cell) for cell in column[1:]) for column in columns]

    rule = ["-" * width for width in widths]
    return "\n".join(aligned(line, widths, right) for line in (headers, rule, *rows))


def aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """Cells in columns of these widths, numbers at the right."""
    padded = (
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    )
    return GAP.join(padded).rstrip()


def render_markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under headers as a Markdown table; cells are escaped, so none can break out of its column."""
    columns = list(zip(headers, *rows, strict=True))
    rule = ["---:" if all(is_number(cell) for cell in column[1:]) else "---" for column in columns]
    lines = [[escape_markdown(cell) for cell in row] for row in [headers, *rows]]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it stands, and of which no host makes a mention, a reference or a link.

    Hosts look for these after Markdown took its backslashes away; a word joiner, which nobody sees, keeps them apart.
    """
    plain = printable(" ".join(text.split()).replace("\x1b", "?"))
    return _HOST_SIGNS.sub(rf"\g<0>{_WORD_JOINER}", _MARKDOWN_SIGNS.sub(r"\\\g<0>", plain))


def markdown_list(lines: Sequence[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"- {markdown_line(line)}" for line in lines)


def markdown_line(text: str) -> str:
    """A paragraph or the content of a list item: :func:`escape_markdown`, and no block begins in it."""
    return _BLOCK_SIGNS.sub(lambda sign: f"{sign[0][:-1]}\\{sign[0][-1]}", escape_markdown(text))


def dashed(value: T | None, words: Callable[[T], str]) -> str:
    """A cell with a value in words; a dash where it is not known."""
    return "-" if value is None else words(value)


def is_number(cell: str) -> bool:
    """Whether a cell reads as a quantity: ``12``, ``$1,234.50``, ``35 ms``, ``-``."""
    first = cell.strip().lstrip("$-–+~<>≤≥")
    return not first or first[0].isdigit()


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
    """Rows under headers within a width (None: no limit), and the positions of the columns that were left out for it.

    A line break in a cell begins a new line.
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
    return max((_longest_word(column.header), *(len(line) for cell in cells for line in cell.split("\n"))))


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
    natural = [max(_natural(column, cells), len(column.header) if width is None else 1) for column, cells in by_column]
    room = None if width is None else width - len(GAP) * (len(columns) - 1)
    if room is None or sum(natural) <= room:
        kept = list(natural)
        for at, column in enumerate(columns):
            wider = max(kept[at], len(column.header))
            if room is None or sum(kept) - kept[at] + wider <= room:
                kept[at] = wider
        return kept
    choices = (
        [_least_width(column, cells) for column, cells in by_column],
        [max(map(_longest_word, (column.header, *cells))) for column, cells in by_column],
    )
    least = next((widths for widths in choices if sum(widths) <= room), [min(_LEAST, width) for width in natural])
    return _shared(least, natural, room)


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


_BULLET, _HANGING = "  - ", "    "
_EMPTY = ("", "-")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, sentences, and a table (no rows: none)."""

    title: str
    lines: tuple[str, ...] = ()
    headers: tuple[Column | str, ...] = ()
    """Of the columns; those whose cells are all empty or unknown are not shown."""
    rows: tuple[tuple[str, ...], ...] = ()
    commands: tuple[str, ...] = ()
    """Lines below it to be copied: never wrapped, whatever the width."""

    @property
    def table(self) -> tuple[list[Column], list[list[str]]]:
        """Columns and cells, without the columns that hold nothing."""
        filled = [at for at in range(len(self.headers)) if any(row[at] not in _EMPTY for row in self.rows)]
        heads = [Column(head) if isinstance(head, str) else head for head in self.headers]
        return [heads[at] for at in filled], [[row[at] for at in filled] for row in self.rows]


def sections_text(sections: Sequence[Section], width: int | None = None, *, whole: bool = False) -> str:
    """Text for a terminal in lines of a width; None: no limit.

    *whole*: columns that do not fit follow in a further table; otherwise they are left out, and named.
    """
    return "\n\n".join(_text(section, width, whole=whole) for section in sections) + "\n"


def _text(section: Section, width: int | None, *, whole: bool) -> str:
    head = "\n".join([*wrap(section.title, width, rest=_HANGING), *bullets(section.lines, width)])
    blocks = [_with_table(section, head, width, whole=whole), *filter(None, ["\n".join(_on_one_line(section))])]
    return "\n\n".join(blocks)


def _on_one_line(section: Section) -> Iterator[str]:
    return (command.replace("\n", "?") for command in section.commands)


def _with_table(section: Section, head: str, width: int | None, *, whole: bool) -> str:
    if not section.rows:
        return head
    columns, rows = section.table
    if whole:
        tables = fold_table(columns, rows, width)
    else:
        table, left_out = fit_table(columns, rows, width)
        names = ", ".join(columns[at].header for at in left_out)
        tables = ["\n".join([table, *wrap(f"(--wide shows {names} too)", width, rest=" ")] if names else [table])]
    gap = "\n\n" if section.lines else "\n"
    return gap.join([head, "\n\n".join(tables)])


def bullets(lines: Sequence[str], width: int | None) -> list[str]:
    """Sentences under each other, each with a dash before it."""
    return [part for line in lines for part in wrap(line, width, _BULLET, _HANGING)]


def sections_markdown(sections: Sequence[Section], level: int = 2) -> str:
    """Markdown for a pull request or a wiki page; headings are of that level."""
    blocks = (block for section in sections for block in _markdown_blocks(section, level))
    return "\n\n".join(block for block in blocks if block) + "\n"


def sections_as(
    output_format: str, sections: Sequence[Section], width: int | None, *, whole: bool = False
) -> str:  # fmt: skip
    """Sections in the format that a command was asked for: ``markdown``, else text."""
    return sections_markdown(sections) if output_format == "markdown" else sections_text(sections, width, whole=whole)


def _markdown_blocks(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {escape_markdown(section.title)}"
    yield markdown_list(section.lines)
    if section.rows:
        columns, rows = section.table
        cells = [["; ".join(cell.split("\n")) for cell in row] for row in rows]
        yield render_markdown_table([column.header for column in columns], cells)
    if section.commands:
        yield "\n".join(["```", *_on_one_line(section), "```"])
