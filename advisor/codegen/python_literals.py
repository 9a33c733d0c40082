"""Python in the layout of ``ruff format``: literals that cannot leave their place in the code, and calls; and read."""

import ast
import json
import keyword
import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from advisor.codegen.quoting import MOST_IN_A_ROW, Quoted, lines_of, printable
from advisor.errors import InputError
from advisor.records import dataclass

_STEP = 4
_WIDTH = 120
_UNKNOWN = 40
"""Room for what a template writes before a literal."""
_ENTRY_DEPTH = 2
"""Entries of a map of a call: each has lines of its own, by which edits of two sides are told apart."""
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_BYTE = 0xFF
_LARGEST_PLAIN = 1e15


@dataclass(frozen=True, slots=True)
class Call:
    """Value written as a call of a class with named arguments."""

    name: str
    arguments: Mapping[str, object]


def calls(name: str, arguments: Mapping[str, Mapping[str, object]]) -> Mapping[str, Call]:
    """Key → call of *name*: a mapping of records as Python code holds it."""
    return {key: Call(name, argument) for key, argument in arguments.items()}


def parse_python(text: str, where: str) -> ast.Module:
    """Statements of a module; messages call it *where*. Raises InputError if it is not valid Python."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        cause = getattr(error, "msg", None) or error
        hint = "correct the line, or write the file anew"
        raise InputError(f"not valid Python: {cause}", where=f"{where}:{line}" if line else where, hint=hint) from error


def python_value(value: object, indent: int = 0, before: int = _UNKNOWN, depth: int = 0) -> Quoted:
    """A literal that evaluates to *value*; sequences become lists (a lone surrogate becomes U+FFFD).

    As in HCL, a list of plain values stands on one line where it fits, and so does a short mapping within an entry;
    else a list, a mapping and a call have a line for each item. *before*: characters before the literal on that line.
    *depth*: mappings and calls that it lies in. Raises TypeError if there is no literal for it, and ValueError for a
    number that is not finite, or a call whose names are not names.
    """
    if isinstance(value, str):
        return Quoted(_text_or_lines(value, indent))
    if value is None or isinstance(value, bool | int):
        return Quoted(repr(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value!r} is not a number that code can hold")
        is_plain = value.is_integer() and abs(value) < _LARGEST_PLAIN
        return Quoted(str(int(value)) if is_plain else repr(value).replace("e+", "e"))
    if not isinstance(value, Call | Mapping | Sequence):
        raise TypeError(f"{value!r} has no Python literal")
    start, entries, end = _parts(value, indent, depth)
    return Quoted(_row(value, start, entries, end, depth, indent + before) or _lines(start, entries, end, indent))


def _parts(
    value: Call | Mapping[str, object] | Sequence[object], indent: int, depth: int
) -> tuple[str, list[str], str]:
    inner = indent + _STEP
    if isinstance(value, Call):
        words = ((f"{_word(key)}=", argument) for key, argument in value.arguments.items())
        start, end = f"{_word(value.name)}(", ")"
    elif isinstance(value, Mapping):
        words = ((f"{_text(key)}: ", item) for key, item in value.items())
        start, end = "{", "}"
    else:
        return "[", [python_value(item, inner, 0, depth) for item in value], "]"
    return start, [word + python_value(item, inner, len(word), depth + 1) for word, item in words], end


def _row(value: object, start: str, entries: Sequence[str], end: str, depth: int, before: int) -> str:
    """All on one line; empty where it does not fit, or is read better line by line."""
    row = f"{start}{', '.join(entries)}{end}"
    is_short = isinstance(value, Sequence) or (depth > _ENTRY_DEPTH and len(entries) <= MOST_IN_A_ROW)
    is_plain = not any(entry.endswith(("]", "}", ")")) for entry in entries)
    return row if is_short and is_plain and "\n" not in row and before + len(row) < _WIDTH else ""


def class_names(value: object) -> Quoted:
    """Names of the classes that a literal calls, as an import lists them."""
    return Quoted(", ".join(sorted(map(_word, set(_called(value))))))


def _called(value: object) -> Iterator[str]:
    if isinstance(value, Call):
        yield value.name
        value = value.arguments
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _called(item)


def _text_or_lines(text: str, indent: int) -> str:
    """A text, a program line by line; the formatter joins what fits on one line."""
    literal, lines = _text(text), lines_of(text)
    if not lines or indent + _STEP + len(literal) <= _WIDTH:
        return literal
    return _lines("(", (_text(f"{line}\n") for line in lines), ")", indent, after="")


def _word(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is not a name in Python")
    return name


def _lines(start: str, entries: Iterable[str], end: str, indent: int, after: str = ",") -> str:
    inner = "".join(f"{' ' * (indent + _STEP)}{entry}{after}\n" for entry in entries)
    return f"{start}\n{inner}{' ' * indent}{end}" if inner else start + end


def _text(text: str) -> str:
    """The quotes are those that need fewer escapes, double ones in doubt."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(f"\\{c}" if c == quote else _character(c) for c in text) + quote


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code <= _BYTE and not character.isprintable() else printable(character)


_CALL_WIDTH = 120
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
    return match[1] + match[2] + _call_lines(json.loads(match[3]), len(match[1]))


def _call_lines(group: Any, indent: int) -> str:  # noqa: ANN401 - groups from JSON are lists
    start, entries, end, comma = group
    inner = " " * (indent + 4)
    row = row_of(["[", entries, "]", comma])
    if not comma and row is not None and indent + 2 + len(row) <= _CALL_WIDTH:
        return f"{start}\n{inner}{row[1:-1]}\n{' ' * indent}{end}"
    lines = []
    for before, value, above, behind in entries:
        about = " ".join(comment.lstrip("# ") for comment in above)
        lines += textwrap.wrap(about, _CALL_WIDTH, initial_indent=f"{inner}# ", subsequent_indent=f"{inner}# ")
        row = row_of(value)
        fits = row is not None and indent + 4 + len(before) + len(row) + len(comma) <= _CALL_WIDTH
        shown = row if fits or isinstance(value, str) else _call_lines(value, indent + 4)
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
