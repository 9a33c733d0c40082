"""A heading, sentences and a table: what a report is made of, as text or as Markdown."""

from collections.abc import Iterator, Sequence

from advisor.records import dataclass
from advisor.report.text_table import (
    Column,
    escape_markdown,
    fit_table,
    fold_table,
    markdown_list,
    render_markdown_table,
    wrap,
)

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
    """Text for a terminal.

    Args:
        sections: what is shown.
        width: characters of a line; None: no limit.
        whole: columns that do not fit follow in a further table; otherwise they are left out, and named.
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
    return [one for line in lines for one in wrap(line, width, _BULLET, _HANGING)]


def sections_markdown(sections: Sequence[Section], level: int = 2) -> str:
    """Markdown for a pull request or a wiki page; headings are of that level."""
    blocks = (block for section in sections for block in _markdown_blocks(section, level))
    return "\n\n".join(block for block in blocks if block) + "\n"


def sections_as(
    output_format: str, sections: Sequence[Section], width: int | None = None, *, whole: bool = False
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
