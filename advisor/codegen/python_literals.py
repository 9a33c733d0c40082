"""Python literals in the layout of ``ruff format``: whatever a value holds, it cannot leave its place in the code."""

import keyword
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from advisor.codegen.quoting import Quoted, lines_of, printable
from advisor.records import dataclass

_STEP = 4
_WIDTH = 120
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


def fleet_of(usd_per_month: float, facts: Mapping[str, Any], **classes: str) -> dict[str, object]:
    """Arguments of the class ``Fleet``: the planned cost, and records among *facts* by name, each of a class."""
    records = {name: calls(kind, facts[name]) for name, kind in classes.items()}
    return {"planned_usd_per_month": usd_per_month, **records}


def python_value(value: object, indent: int = 0) -> Quoted:
    """A literal that evaluates to *value*; sequences become lists (a lone surrogate becomes U+FFFD).

    A list, a mapping and a call have a line for each item, so that one item more is one line more in a diff.

    Args:
        value: text, number, truth, None, and sequences, mappings and calls made of them.
        indent: spaces before the line that the literal starts on.

    Raises:
        TypeError: there is no literal for it.
        ValueError: a number that is not finite, or a call whose names are no names.
    """
    if isinstance(value, str):
        return Quoted(_text_or_lines(value, indent))
    if value is None or isinstance(value, bool | int):
        return Quoted(repr(value))
    if isinstance(value, float):
        return Quoted(_number(value))
    if isinstance(value, Call):
        named = (f"{_word(key)}={python_value(argument, indent + _STEP)}" for key, argument in value.arguments.items())
        return Quoted(_lines(f"{_word(value.name)}(", named, ")", indent))
    if isinstance(value, Mapping):
        entries = (f"{_text(key)}: {python_value(item, indent + _STEP)}" for key, item in value.items())
        return Quoted(_lines("{", entries, "}", indent))
    if isinstance(value, Sequence):
        return Quoted(_lines("[", (python_value(item, indent + _STEP) for item in value), "]", indent))
    raise TypeError(f"{value!r} has no Python literal")


def _text_or_lines(text: str, indent: int) -> str:
    """A text, a program line by line; the formatter joins what fits on one line."""
    literal, lines = _text(text), lines_of(text)
    if not lines or indent + _STEP + len(literal) <= _WIDTH:
        return literal
    return _lines("(", (_text(f"{line}\n") for line in lines), ")", indent, after="")


def _word(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name in Python")
    return name


def _lines(start: str, entries: Iterable[str], end: str, indent: int, after: str = ",") -> str:
    inner = "".join(f"{' ' * (indent + _STEP)}{entry}{after}\n" for entry in entries)
    return f"{start}\n{inner}{' ' * indent}{end}" if inner else start + end


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is no number that code can hold")
    return str(int(value)) if value.is_integer() and abs(value) < _LARGEST_PLAIN else repr(value).replace("e+", "e")


def _text(text: str) -> str:
    """The quotes are those that need fewer escapes, double ones in doubt."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(f"\\{c}" if c == quote else _character(c) for c in text) + quote


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code <= _BYTE and not character.isprintable() else printable(character)
