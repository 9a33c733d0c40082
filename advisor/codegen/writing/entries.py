"""Merge of files whose maps hold an entry for each group, backend or region: entry with entry, never line with line.

A key follows the plan. A merge by lines alone would put what a user added to an entry that is gone into whichever new
entry looks most like it.
"""

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from advisor.codegen.writing.merging import Conflict, Lines, Piece, lines_of, merge

_INDENT = {"fleet.tf": 2, "fleet.py": 4}
"""Name of the file → columns before the name of a map; its keys have twice as many."""
_OPENING = re.compile(rb'( *)"?([\w.-]+)"?(?: = |: |=)[\w.]*[({]\r?\n?')
_CLOSING = re.compile(rb"( *)[)}],?\r?\n?")
_MARK = b"\0"
_EDITED = b" edited"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that changed with the plan."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old key → new key of entries that go on under another one."""
    successors: Mapping[str, str] = field(default_factory=dict)
    """Key of an entry that stays for a while → key of the new one that takes its place."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged text in pieces, and what became of edits inside entries whose keys changed."""

    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()
    reason: str = ""
    """Of a conflict, beyond that both sides changed the same lines."""


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A text with a line of its own in place of each entry."""

    lines: Lines
    entries: Mapping[bytes, bytes]
    """``map/key`` → text."""

    def renamed(self, keys: Mapping[bytes, bytes]) -> "_Keyed":
        """Copy with other keys for some entries."""
        return _Keyed(
            [_MARK + keys[line[1:-1]] + b"\n" if line[1:-1] in keys else line for line in self.lines],
            {keys.get(key, key): entry for key, entry in self.entries.items()},
        )

    def expanded(self, text: bytes) -> bytes:
        """*text* with the entries in their places."""
        return b"".join(self.entries[_key(line)] if line.startswith(_MARK) else line for line in lines_of(text))

    def line_of(self, number: int) -> int:
        """The line of the whole text that line *number* here starts at; both from 1."""
        return 1 + self.expanded(b"".join(self.lines[: number - 1])).count(b"\n")

    def start_of(self, key: bytes) -> int:
        """The line of the whole text that an entry starts at, from 1."""
        return self.line_of(1 + next(at for at, line in enumerate(self.lines) if _key(line) == key))


def _key(line: bytes) -> bytes:
    return line[1:-1].removesuffix(_EDITED)


def merge_entries(path: str, base: bytes, mine: bytes, theirs: bytes, keys: Keys) -> Merged:
    """Merge one file.

    Args:
        path: by its name it is known whether it has entries.
        base: as it was generated last.
        mine: as it lies on disk.
        theirs: as it is generated now.
        keys: those that changed.
    """
    indent = _INDENT.get(PurePosixPath(path).name)
    base, mine = (with_other_keys(text, keys.renamed) for text in (base, mine))
    last, own, new = (None if indent is None else _keyed(text, indent) for text in (base, mine, theirs))
    if last is None or own is None or new is None:
        return Merged(merge(base, mine, theirs))
    given = dict(_given(last, own, new, keys.successors))
    merged = _merged(last, own, replace(new, entries={**new.entries, **given}), given)
    return replace(merged, notes=(*_carried(last, own, keys, given), *merged.notes))


def with_other_keys(text: bytes, renamed: Mapping[str, str]) -> bytes:
    """*text* with new keys in the place of old ones."""
    for old, now in renamed.items():
        text = re.sub(rb"(?<![\w-])%b(?![\w-])" % re.escape(old.encode()), now.encode(), text)
    return text


def _keyed(text: bytes, indent: int) -> _Keyed | None:
    """None for a text that is not laid out as it was generated: it is merged by lines."""
    lines: list[bytes] = []
    entries: dict[bytes, bytes] = {}
    name, key = b"", b""
    for line in lines_of(text):
        opening, closing = _OPENING.fullmatch(line), _CLOSING.fullmatch(line)
        if key:
            entries[key] += line
            key = b"" if closing and len(closing[1]) == 2 * indent else key
        elif opening and len(opening[1]) == 2 * indent and name:
            key = name + b"/" + opening[2]
            if key in entries:
                return None
            entries[key] = line
            lines.append(_MARK + key + b"\n")
        else:
            name = opening[2] if opening and len(opening[1]) == indent else name
            lines.append(line)
    return None if key or text.count(_MARK) else _Keyed(lines, entries)


def _merged(base: _Keyed, mine: _Keyed, theirs: _Keyed, given: Container[bytes]) -> Merged:
    edited = [key for key, entry in mine.entries.items() if base.entries.get(key, entry) != entry]
    new = {key: [one for one in _new_beside(key, base, theirs) if one not in given] for key in edited}
    homeless = [key for key in edited if key not in theirs.entries and new[key]]
    deleted = [key for key in base.entries.keys() & theirs.entries.keys() if key not in mine.entries]
    changed = [key for key in deleted if base.entries[key] != theirs.entries[key]]
    marked = (base, mine.renamed(_edited(homeless)), theirs.renamed(_edited(changed)))
    pieces = merge(*(b"".join(side.lines) for side in marked))
    expanded = (one for piece in pieces for one in _expanded(piece, base, mine, theirs))
    reasons = [f"your edits lie in {_said(key)}, in place of which there is {_all(new[key])}" for key in homeless]
    return Merged(tuple(expanded), tuple(_notes(edited, new, theirs)), "; ".join(reasons))


def _edited(keys: list[bytes]) -> Mapping[bytes, bytes]:
    """Keys that are to differ from the same ones of the other texts."""
    return {key: key + _EDITED for key in keys}


def _new_beside(key: bytes, base: _Keyed, theirs: _Keyed) -> list[bytes]:
    """Entries of the same map that were not there before."""
    of_map = key.partition(b"/")[0] + b"/"
    return [other for other in theirs.entries if other.startswith(of_map) and other not in base.entries]


def _expanded(piece: Piece, base: _Keyed, mine: _Keyed, theirs: _Keyed) -> Iterator[Piece]:
    if isinstance(piece, Conflict):
        whole = (side.expanded(text) for side, text in zip((base, mine, theirs), _sides(piece), strict=True))
        yield Conflict(mine.line_of(piece.line), *whole)
        return
    for line in lines_of(piece):
        if not line.startswith(_MARK):
            yield line
            continue
        key = _key(line)
        own = mine.entries.get(key)
        if own is None or key not in theirs.entries:
            yield theirs.entries[key] if own is None else own
            continue
        for part in merge(base.entries.get(key, b""), own, theirs.entries[key]):
            if isinstance(part, Conflict):
                yield replace(part, line=mine.start_of(key) + part.line - 1)
            else:
                yield part


def _sides(conflict: Conflict) -> tuple[bytes, bytes, bytes]:
    return conflict.base, conflict.mine, conflict.theirs


def _given(base: _Keyed, mine: _Keyed, theirs: _Keyed, successors: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """New entries with the edits of those whose place they take, where these fit."""
    for key, own in mine.entries.items():
        of_map, _, name = key.decode().partition("/")
        other = f"{of_map}/{successors.get(name, name)}".encode()
        if base.entries.get(key, own) == own or other in base.entries or other not in theirs.entries:
            continue
        last, edited = (with_other_keys(text, successors) for text in (base.entries[key], own))
        parts = merge(last, edited, theirs.entries[other])
        if all(isinstance(part, bytes) for part in parts):
            yield other, b"".join(part for part in parts if isinstance(part, bytes))


def _carried(base: _Keyed, mine: _Keyed, keys: Keys, given: Container[bytes]) -> Iterator[str]:
    former = {now: old for old, now in keys.renamed.items()}
    for key, own in mine.entries.items():
        of_map, _, name = key.decode().partition("/")
        if base.entries.get(key, own) == own:
            continue
        if name in former:
            yield f"those of {of_map}.{former[name]} go on in {_said(key)}"
        other = f"{of_map}/{keys.successors.get(name, name)}".encode()
        if other in given:
            yield f"those of {_said(key)} are in {_said(other)} too"


def _notes(edited: list[bytes], new: Mapping[bytes, list[bytes]], theirs: _Keyed) -> Iterator[str]:
    for key in edited:
        if key not in theirs.entries and not new[key]:
            yield f"those of {_said(key)} went with it"
        elif key in theirs.entries and new[key]:
            yield f"those of {_said(key)} are not in {_all(new[key])}"


def _all(keys: list[bytes]) -> str:
    return " and ".join(map(_said, keys))


def _said(key: bytes) -> str:
    return key.decode().replace("/", ".", 1)
