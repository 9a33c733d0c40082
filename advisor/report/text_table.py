"""Columns of text that line up."""

import re
from collections.abc import Sequence

from advisor.names import printable

GAP = "  "
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
    return _BLOCK_SIGNS.sub(_escaped_block, escape_markdown(text))


def _escaped_block(sign: re.Match[str]) -> str:
    return f"{sign[0][:-1]}\\{sign[0][-1]}"


def is_number(cell: str) -> bool:
    """Whether a cell reads as a quantity: ``12``, ``$1,234.50``, ``35 ms``, ``-``."""
    first = cell.strip().lstrip("$-–+~<>≤≥")
    return not first or first[0].isdigit()
