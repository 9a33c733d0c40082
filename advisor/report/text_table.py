"""Columns of text that line up."""

from collections.abc import Sequence

GAP = "  "


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
    """Text that Markdown shows as it stands."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def is_number(cell: str) -> bool:
    """Whether a cell reads as a quantity: ``12``, ``$1,234.50``, ``35 ms``, ``-``."""
    first = cell.strip().lstrip("$-–+~<>≤≥")
    return not first or first[0].isdigit()
