"""Entries: parts of a generated file that belong to a key of the plan, each merged by itself.

In ``fleet.tf`` and ``fleet.py`` they are entries of maps; in manifests documents; and where a manifest holds a list of
models or workers, the items of that list.
"""

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from advisor.codegen.writing.merging import Conflict, Lines, Piece, lines_of
from advisor.records import dataclass

_INDENT = {"fleet.tf": 2, "fleet.py": 4}
"""Name of the file → columns before the name of a map; its keys have twice as many."""
_OPENING = re.compile(rb'( *)"?([\w.-]+)"?(?: = |: |=)[\w.]*[({]\r?\n?')
_ROW = re.compile(rb'( *)"?([\w.-]+)"? *= \{ .* \}\r?\n')
_CLOSING = re.compile(rb"( *)[)}],?\r?\n?")
_MANIFESTS = "kubernetes"
"""Folder of what is applied to clusters."""
_LISTS = {"values.yaml": (b"modelSpec", b"extraObjects"), "dynamo.yaml": (b"components",)}
"""Name of the manifest → names of the lists whose items are entries."""
_LIST = re.compile(rb"( *)([\w-]+):\r?\n?")
_SEPARATOR = re.compile(rb"---\s*")
_GROUP = re.compile(rb'^ +inference/group: "?([\w.-]+)', re.MULTILINE)
"""Label of the pods of an item, whose own name may be cut."""
_KIND = re.compile(rb'^[ -]*kind: "?([\w.-]+)', re.MULTILINE)
_NAME = re.compile(rb'^ *(?:- | )name: "?([\w.-]+)', re.MULTILINE)
_DOCUMENT_NAME = re.compile(rb'^  name: "?([\w.-]+)', re.MULTILINE)
_FOR_ENGINE = re.compile(
    rb'( *(?:- )?)"?(image|repository|tag|entrypoint|command|args|(?:docker_)?arguments|env|environment'
    rb'|vllmConfig)"?(?: *[=:]).*\s*'
)
"""First line of an attribute that holds for one engine alone; repository and tag are of its image."""
_GOES_ON = (b"- ", b"]", b")", b"}")
"""Starts of lines in the column of an attribute's name that are of its value."""
_MARK = b"\0"
_EDITED = b" edited"


@dataclass(frozen=True, slots=True)
class Keyed:
    """A text with a line of its own in place of each entry."""

    lines: Lines
    entries: Mapping[bytes, bytes]
    """``map/key`` → text."""

    def marked(self, keys: Collection[bytes] = ()) -> bytes:
        """The lines, of which those of some entries are to differ from the ones of the same entries elsewhere."""
        return b"".join(line[:-1] + _EDITED + b"\n" if key_of(line) in keys else line for line in self.lines)

    def expanded(self, text: bytes) -> bytes:
        """*text* with the entries in their places."""
        return b"".join(self.entries[key_of(line)] if key_of(line) else line for line in lines_of(text))

    def line_of(self, number: int) -> int:
        """The line of the whole text that line *number* here starts at; both from 1."""
        return 1 + self.expanded(b"".join(self.lines[: number - 1])).count(b"\n")

    def start_of(self, key: bytes) -> int:
        """The line of the whole text that an entry starts at, from 1."""
        return self.line_of(1 + next(at for at, line in enumerate(self.lines) if key_of(line) == key))


def key_of(line: bytes) -> bytes:
    """Key of the entry that a line stands for; "" of another line."""
    return line[1:-1].removesuffix(_EDITED) if line.startswith(_MARK) else b""


def with_both_entries(piece: Piece) -> Piece:
    """A conflict settled where whole entries alone come and go: each side's are there, whatever their order.

    Not where one side changed an entry that the other took away, or both add one of the same key.
    """
    if not isinstance(piece, Conflict):
        return piece
    sides = [lines_of(text) for text in (piece.base, piece.mine, piece.theirs)]
    last, own, new = ([line for line in lines if key_of(line)] for lines in sides)
    ends = {tuple(bool(_SEPARATOR.fullmatch(lines[at])) for at in (0, -1)) for lines in sides if lines}
    is_whole = all(key_of(line) or _SEPARATOR.fullmatch(line) for lines in sides for line in lines)
    added = [line for line in own if line not in last]
    taken = {key_of(line) for line in last if line not in own}
    if not is_whole or len(ends) != 1 or all(*ends) or {key_of(line) for line in added} & {*map(key_of, (*last, *new))}:
        return piece
    if any(key_of(line) in taken and line not in last for line in new):
        return piece
    ((starts, stops),) = ends
    separator = next((line for lines in sides for line in lines if _SEPARATOR.fullmatch(line)), b"")
    kept = [line for line in new if key_of(line) not in taken] + added
    text = separator.join(kept)
    return b"".join((separator if starts else b"", text, separator if stops else b"")) if kept else b""


def keyed(path: str, text: bytes) -> Keyed | None:
    """A text by its entries.

    Args:
        path: by its name it is known what the entries are.
        text: the file.

    Returns:
        None for a file without entries, or one that is not laid out as it was generated: it is merged by lines.
    """
    place = PurePosixPath(path)
    if place.name in _INDENT:
        parts = _of_maps(text, _INDENT[place.name])
    elif _MANIFESTS in place.parts and place.suffix == ".yaml":
        parts = _of_documents(text, _LISTS.get(place.name, ()))
    else:
        return None
    lines: list[bytes] = []
    entries: dict[bytes, bytes] = {}
    for key, part in parts:
        if key in entries:
            return None
        entries |= {key: part} if key else {}
        lines.append(_MARK + key + b"\n" if key else part)
    return None if text.count(_MARK) else Keyed([line for part in lines for line in lines_of(part)], entries)


def without_entries(path: str, text: bytes, keys: Collection[bytes]) -> bytes:
    """A text without some of its entries, and without the separators before these."""
    held = keyed(path, text)
    if held is None:
        return text
    kept: list[bytes] = []
    for line in held.lines:
        if key_of(line) not in keys:
            kept.append(line)
        elif kept and _SEPARATOR.fullmatch(kept[-1]):
            kept.pop()
    return held.expanded(b"".join(kept))


def without_engine_edits(base: bytes, mine: bytes) -> tuple[bytes, Sequence[bytes]]:
    """An edited entry without the edits that hold for its engine alone, and the names of what these were of.

    Args:
        base: the entry as it was generated last.
        mine: as it lies on disk.

    Returns:
        *base* where an attribute that holds for the engine was deleted.
    """
    parts = list(_engine_parts(mine))
    last, own = (_by_name(texts) for texts in (_engine_parts(base), parts))
    edited = [name for name in {**last, **own} if name and _words(last.get(name, ())) != _words(own.get(name, ()))]
    if any(len(texts) > len(own.get(name, ())) for name, texts in last.items() if name):
        return base, edited
    left = {name: iter(texts) for name, texts in last.items()}
    return b"".join(next(left.get(name, iter(())), b"") if name else text for name, text in parts), edited


def _by_name(parts: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, Sequence[bytes]]:
    texts: dict[bytes, list[bytes]] = {}
    for name, text in parts:
        texts.setdefault(name, []).append(text)
    return texts


def _words(texts: Iterable[bytes]) -> Sequence[Sequence[bytes]]:
    """Texts without their layout, which follows the longest name."""
    return [text.split() for text in texts]


def _engine_parts(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and text of each attribute that holds for one engine alone; "" and a line beside them."""
    name, part, column = b"", b"", 0
    held: list[bytes] = []
    for line in lines_of(text):
        first = line.lstrip()
        indent = len(line) - len(first)
        is_deeper = indent > column or (indent == column and first.startswith(_GOES_ON))
        if name and (not first or (first.startswith(b"#") and not is_deeper)):
            held.append(line)
            continue
        if name and is_deeper:
            part, held = b"".join((part, *held, line)), []
            continue
        if name:
            yield name, part
            yield from ((b"", other) for other in held)
            name, held = b"", []
        opening = _FOR_ENGINE.fullmatch(line)
        if opening:
            name, part, column = opening[2], line, len(opening[1])
        else:
            yield b"", line
    if name:
        yield name, part
    yield from ((b"", other) for other in held)


def _of_maps(text: bytes, indent: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and text of each entry; "" and a line beside them."""
    name, key, entry = b"", b"", b""
    for line in lines_of(text):
        opening, closing = _OPENING.fullmatch(line), _CLOSING.fullmatch(line)
        row = _ROW.fullmatch(line)
        if key:
            entry += line
            if closing and len(closing[1]) == 2 * indent:
                yield key, entry
                key = b""
        elif opening and len(opening[1]) == 2 * indent and name:
            key, entry = name + b"/" + opening[2], line
        else:
            name = opening[2] if opening and len(opening[1]) == indent else name
            is_entry = row is not None and len(row[1]) == 2 * indent and name
            yield name + b"/" + row[2] if row and is_entry else b"", line
    if key:
        yield b"", entry


def _of_documents(text: bytes, lists: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Key and text of each document, or of each item of its lists; "" and what is beside them."""
    for is_separator, group in itertools.groupby(lines_of(text), lambda line: bool(_SEPARATOR.fullmatch(line))):
        document = list(group)
        parts = [] if is_separator else list(_of_lists(document, lists))
        if any(key for key, _ in parts):
            yield from parts
        else:
            whole = b"".join(document)
            yield b"" if is_separator else _named(whole, b"", _DOCUMENT_NAME), whole


def _of_lists(lines: Lines, lists: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Key and text of each item of some lists, whose hyphens stand below their names; "" and a line beside them."""
    name, indent, item = b"", b"", b""
    held: list[bytes] = []
    for line in (*lines, b""):
        is_within, text = line.startswith(indent + b"  "), line.strip()
        if item and line and not is_within and (text.startswith(b"#") or (held and not text)):
            # Whatever its column, a comment is of the item where more of it follows.
            held.append(line)
            continue
        if item and not is_within and (text or not line):
            yield _named(item, name, _NAME), item
            yield from ((b"", comment) for comment in held)
            item, held = b"", []
        if item or (name and line.startswith(indent + b"- ")):
            item, held = b"".join((item, *held, line)), []
            continue
        opening = _LIST.fullmatch(line)
        if opening:
            name, indent = (opening[2], opening[1]) if opening[2] in lists else (b"", b"")
        if line:
            yield b"", line


def _named(text: bytes, of_list: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """Key of an object by its kind, or the list that it stands in; "" where it has no name."""
    kind, name = _KIND.search(text), _GROUP.search(text) if of_list else None
    name = name or pattern.search(text)
    of_map = kind[1] if kind else of_list
    return of_map + b"/" + name[1] if of_map and name else b""
