"""A heading, sentences and a table: what a report is made of, as text or as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advisor.report.text_table import escape_markdown, render_markdown_table, render_table


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, sentences, and a table (no rows: none)."""

    title: str
    lines: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def sections_text(sections: Sequence[Section]) -> str:
    """For a terminal."""
    return "\n\n".join(block for section in sections for block in _text_blocks(section)) + "\n"


def _text_blocks(section: Section) -> Iterator[str]:
    yield "\n".join([section.title, *(f"  - {line}" for line in section.lines)])
    if section.rows:
        yield render_table(section.headers, section.rows)


def sections_markdown(sections: Sequence[Section], level: int = 2) -> str:
    """For a pull request or a wiki page; headings are of that level."""
    blocks = (block for section in sections for block in _markdown_blocks(section, level))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _markdown_blocks(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {escape_markdown(section.title)}"
    yield markdown_list(section.lines)
    if section.rows:
        yield render_markdown_table(section.headers, section.rows)


def markdown_list(lines: Sequence[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"- {escape_markdown(line)}" for line in lines)
