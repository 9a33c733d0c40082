"""Fields of JSON documents that other programs wrote: any of them may be absent or of another kind."""

from collections.abc import Iterator
from pathlib import Path

from advisor.errors import InputError
from advisor.reading import json_of


def documents(text: str, path: Path) -> Iterator[tuple[str, object]]:
    """Every document of a JSON file or of JSON lines, with its place.

    Raises:
        InputError: a line is no JSON.
    """
    try:
        whole = json_of(text, str(path), allows_nan=True)
    except InputError as error:
        first_line = text.strip().partition("\n")[0]
        if not first_line.endswith(("}", "]")):
            raise InputError(f"neither JSON nor JSON lines: {error.message}", where=str(path)) from error
        yield from _lines(text, path)
        return
    if isinstance(whole, list):
        yield from ((f"{path}#{index}", document) for index, document in enumerate(whole))
    else:
        yield str(path), whole


def value_at(document: object, *names: str) -> object:
    """Value under a path of names, None where the path ends early."""
    for name in names:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def number_at(document: object, *names: str) -> float | None:
    """A number, also one that was written as text; NaN and infinity stand for themselves."""
    value = value_at(document, *names)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def text_at(document: object, *names: str) -> str:
    """A text, "" where there is none."""
    value = value_at(document, *names)
    return value if isinstance(value, str) else ""


def _lines(text: str, path: Path) -> Iterator[tuple[str, object]]:
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip():
            where = f"{path}:{line}"
            try:
                yield where, json_of(content, where, allows_nan=True)
            except InputError as error:
                raise InputError(f"neither JSON nor JSON lines: {error.message}", where=where) from error
