"""Layout of calls in generated Python as ``ruff format`` has it: what a template is given, and its text in the end."""

import json
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from advisor.codegen.quoting import Quoted

_WIDTH = 120
_START, _END = "\x01", "\x02"
_PLACED = re.compile(rf"^([ ]*)([^\n]*){_START}(.*?){_END}", re.MULTILINE)


class Group(NamedTuple):
    """Brackets and what is between them: entries with a comma each, or the parts of a comprehension."""

    start: str
    entries: Sequence["Entry"]
    end: str
    comma: str = ","


class Entry(NamedTuple):
    """Text before a value, the value, and the comments above and behind it."""

    before: str
    value: Any
    above: Sequence[str] = ()
    behind: str = ""


def placed(value: Group | str) -> Quoted:
    """A value in a template's text, to be laid out by :func:`laid_out` where it comes to stand."""
    return Quoted(f"{_START}{json.dumps(value)}{_END}")


def laid_out(text: str) -> str:
    """Python with the calls in it as ``ruff format`` lays them out."""
    return _PLACED.sub(_placed, text) if _START in text else text


def _placed(match: re.Match[str]) -> str:
    return match[1] + match[2] + _lines(json.loads(match[3]), len(match[1]))


def _lines(group: Any, indent: int) -> str:  # noqa: ANN401 - groups from JSON are lists
    start, entries, end, comma = group
    inner = " " * (indent + 4)
    row = row_of(["[", entries, "]", comma])
    if not comma and row is not None and indent + 2 + len(row) <= _WIDTH:
        return f"{start}\n{inner}{row[1:-1]}\n{' ' * indent}{end}"
    lines = []
    for before, value, above, behind in entries:
        about = " ".join(comment.lstrip("# ") for comment in above)
        lines += textwrap.wrap(about, _WIDTH, initial_indent=f"{inner}# ", subsequent_indent=f"{inner}# ")
        row = row_of(value)
        fits = row is not None and indent + 4 + len(before) + len(row) + len(comma) <= _WIDTH
        shown = row if fits or isinstance(value, str) else _lines(value, indent + 4)
        lines.append(f"{inner}{before}{shown}{comma}{behind and '  ' + behind}")
    return "\n".join([start, *lines, " " * indent + end])


def row_of(value: Any) -> str | None:  # noqa: ANN401
    """On one line; None where a comment stands in it."""
    if isinstance(value, str):
        return value
    start, entries, end, comma = value if value[0] != "(" else ("", value[1], "", value[3])
    parts = [(before, row_of(inner), above, behind) for before, inner, above, behind in entries]
    if any(above or behind or row is None for _, row, above, behind in parts):
        return None
    return start + (f"{comma} ".join(f"{before}{row}" for before, row, _, _ in parts)) + end
