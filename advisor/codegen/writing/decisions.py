"""Decision about one file.

Its base is the text as it was generated last, mine is what lies on disk, theirs is what is generated now.

A key follows the plan. A merge by lines alone would put what a user added to an entry that is gone into whichever new
entry looks most like it.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from advisor.codegen.writing.merging import (
    Action,
    Change,
    Conflict,
    ConflictPolicy,
    Lines,
    Piece,
    WriteOptions,
    has_markers,
    has_same_attributes,
    lines_of,
    merge,
    merge_attributes,
    repeated_names,
)
from advisor.records import dataclass, field, replace

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
    if repeated := _newly_repeated(merged.pieces, mine, theirs):
        both = f"your edits and the new code both add {', '.join(sorted(name.decode() for name in repeated))}"
        merged = Merged((Conflict(1, base, mine, theirs),), merged.notes, merged.reason or both)
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
    new = {key: [name for name in _new_beside(key, base, theirs) if name not in given] for key in edited}
    homeless = [key for key in edited if key not in theirs.entries and new[key]]
    deleted = [key for key in base.entries.keys() & theirs.entries.keys() if key not in mine.entries]
    changed = [key for key in deleted if base.entries[key] != theirs.entries[key]]
    marked = (base, mine.renamed(_edited_entry(homeless)), theirs.renamed(_edited_entry(changed)))
    pieces = merge(*(b"".join(side.lines) for side in marked))
    expanded = (name for piece in pieces for name in _expanded(piece, base, mine, theirs))
    reasons = [f"your edits lie in {_said_entry(key)}, in place of which there is {_all(new[key])}" for key in homeless]
    return Merged(tuple(expanded), tuple(_notes(edited, new, theirs)), "; ".join(reasons))


def _edited_entry(keys: list[bytes]) -> Mapping[bytes, bytes]:
    """Keys that are to differ from the same ones of the other texts."""
    return {key: key + _EDITED for key in keys}


def _new_beside(key: bytes, base: _Keyed, theirs: _Keyed) -> list[bytes]:
    """Entries of the same map that were not there before."""
    of_map = key.partition(b"/")[0] + b"/"
    return [other for other in theirs.entries if other.startswith(of_map) and other not in base.entries]


def _expanded(piece: Piece, base: _Keyed, mine: _Keyed, theirs: _Keyed) -> Iterator[Piece]:
    if isinstance(piece, Conflict):
        texts = base.expanded(piece.base), mine.expanded(piece.mine), theirs.expanded(piece.theirs)
        yield Conflict(mine.line_of(piece.line), *texts)
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
        for part in _merged_entry(base.entries.get(key, b""), own, theirs.entries[key]):
            if isinstance(part, Conflict):
                yield replace(part, line=mine.start_of(key) + part.line - 1)
            else:
                yield part


def _merged_entry(base: bytes, mine: bytes, theirs: bytes) -> tuple[Piece, ...]:
    """One entry, merged by lines; by its attributes where lines meet, or give other attributes than names do."""
    pieces = merge(base, mine, theirs)
    by_names = merge_attributes(base, mine, theirs)
    text = None if any(isinstance(piece, Conflict) for piece in pieces) else _text_of(pieces, ConflictPolicy.MINE)
    if by_names is not None:
        return pieces if text is not None and has_same_attributes(text, by_names) else (by_names,)
    return (Conflict(1, base, mine, theirs),) if _newly_repeated(pieces, mine, theirs) else pieces


def _newly_repeated(pieces: tuple[Piece, ...], mine: bytes, theirs: bytes) -> frozenset[bytes]:
    """Names that a block of the merge holds twice, whichever side conflicts go to, and no block of the two sides."""
    merges = (_text_of(pieces, side) for side in (ConflictPolicy.MINE, ConflictPolicy.THEIRS))
    return frozenset().union(*map(repeated_names, merges)) - repeated_names(mine) - repeated_names(theirs)


def _text_of(pieces: tuple[Piece, ...], side: ConflictPolicy | None) -> bytes:
    """The merged text, with conflicts decided for one side, or marked."""
    return b"".join(_resolved(piece, side) for piece in pieces)


def _given(base: _Keyed, mine: _Keyed, theirs: _Keyed, successors: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """New entries with the edits of those whose place they take, where these fit."""
    for key, own in mine.entries.items():
        of_map, _, name = key.decode().partition("/")
        other = f"{of_map}/{successors.get(name, name)}".encode()
        if base.entries.get(key, own) == own or other in base.entries or other not in theirs.entries:
            continue
        last, edited = (with_other_keys(text, successors) for text in (base.entries[key], own))
        parts = _merged_entry(last, edited, theirs.entries[other])
        if all(isinstance(part, bytes) for part in parts):
            yield other, b"".join(part for part in parts if isinstance(part, bytes))


def _carried(base: _Keyed, mine: _Keyed, keys: Keys, given: Container[bytes]) -> Iterator[str]:
    former = {now: old for old, now in keys.renamed.items()}
    for key, own in mine.entries.items():
        of_map, _, name = key.decode().partition("/")
        if base.entries.get(key, own) == own:
            continue
        if name in former:
            yield f"those of {of_map}.{former[name]} go on in {_said_entry(key)}"
        other = f"{of_map}/{keys.successors.get(name, name)}".encode()
        if other in given:
            yield f"those of {_said_entry(key)} are in {_said_entry(other)} too"


def _notes(edited: list[bytes], new: Mapping[bytes, list[bytes]], theirs: _Keyed) -> Iterator[str]:
    for key in edited:
        if key not in theirs.entries and not new[key]:
            yield f"those of {_said_entry(key)} went with it"
        elif key in theirs.entries and new[key]:
            yield f"those of {_said_entry(key)} are not in {_all(new[key])}"


def _all(keys: list[bytes]) -> str:
    return " and ".join(map(_said_entry, keys))


def _said_entry(key: bytes) -> str:
    return key.decode().replace("/", ".", 1)


_DELETED = "you deleted it; --force writes it again"
_YOURS = "with your edits"
_OUTCOMES = {
    ConflictPolicy.MARKERS: "conflict markers to be resolved",
    ConflictPolicy.THEIRS: "the new code taken",
    ConflictPolicy.MINE: "your edits taken",
}


@dataclass(frozen=True, slots=True)
class Versions:
    """The three texts of a file; None where there is none."""

    path: str
    base: bytes | None
    mine: bytes | None
    theirs: bytes | None
    was_generated: bool
    """An earlier run wrote it, though its text of that time may be lost."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old key → new key of groups and backends that go on under another one."""
    successors: Mapping[str, str] = field(default_factory=dict)
    """Key of what retires → key of what takes its place."""
    retired: bool = False
    """It is named after a backend that retired and is left out now."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is written, and what of it can be shown."""

    path: str
    reason: str
    conflicts: tuple[Conflict, ...] = ()


_NOT_GENERATED = "was not generated, and the code needs a file of that name"
_BASE_LOST = "was edited, and its text as it was generated last is not known"
_NO_LONGER = "was edited, and is no longer part of the code"
_RETIRED = "with your edits: what it is named after retired; a copy is under .advisor/replaced"
_UNRESOLVED = "still holds conflict markers: resolve them first"
_MEET = "your edits and the new code change the same lines"


def decide(file: Versions, manner: WriteOptions) -> Change | Refusal:
    """Change to a file, or a refusal where a program must not decide it."""
    if file.theirs is None:
        return _no_longer_generated(file, manner)
    if file.mine is None:
        kept = Change(file.path, Action.KEPT, None, None, _DELETED)
        is_kept = file.was_generated and not manner.force
        return kept if is_kept else Change(file.path, Action.CREATED, None, file.theirs)
    theirs = with_line_ends_of(file.mine, file.theirs)
    base = None if file.base is None else with_line_ends_of(file.mine, file.base)
    if file.mine in (file.theirs, theirs):
        return Change(file.path, Action.UNCHANGED, file.mine, file.mine)
    if file.mine == base:
        return Change(file.path, Action.REPLACED, file.mine, theirs)
    if manner.force:
        return Change(file.path, Action.REPLACED, file.mine, theirs, overrules=True)
    return _edited(file, file.mine, theirs, base, manner)


def decide_renamed(file: Versions, path: str, manner: WriteOptions) -> tuple[Change | Refusal, ...]:
    """Changes to a file that *path* follows under another name: edits go with it, and so does a deletion."""
    base, mine = (None if text is None else with_other_keys(text, file.renamed) for text in (file.base, file.mine))
    decided = decide(replace(file, base=base, mine=mine), manner)
    if isinstance(decided, Refusal):
        return (decided,)
    old = Change(file.path, Action.REMOVED if file.mine is not None else Action.KEPT, file.mine, None)
    action = Action.CREATED if decided.action in (Action.REPLACED, Action.UNCHANGED) else decided.action
    return old, replace(decided, path=path, action=action, before=None, overrules=False)


def decide_copied(file: Versions, path: str, manner: WriteOptions) -> Change:
    """Change that makes a new file in place of another, which stays: it is given the edits of that one."""
    base, mine = (None if text is None else with_other_keys(text, file.successors) for text in (file.base, file.mine))
    if mine is None or base is None or file.theirs is None or mine == base or manner.force:
        return Change(path, Action.CREATED, None, file.theirs)
    decided = decide(replace(file, base=base, mine=mine), replace(manner, conflicts=None))
    if isinstance(decided, Refusal):
        return Change(
            path, Action.CREATED, None, file.theirs, f"your edits of {file.path} do not fit, and are not in it"
        )
    return Change(path, Action.MERGED, None, decided.after, f"with your edits of {file.path}")


def _edited(file: Versions, mine: bytes, theirs: bytes, base: bytes | None, manner: WriteOptions) -> Change | Refusal:
    if base is None:
        return Refusal(file.path, _BASE_LOST if file.was_generated else _NOT_GENERATED)
    if has_markers(mine):
        return Refusal(file.path, _UNRESOLVED)
    merged = merge_entries(file.path, base, mine, theirs, Keys(file.renamed, file.successors))
    conflicts = tuple(piece for piece in merged.pieces if isinstance(piece, Conflict))
    if conflicts and manner.conflicts is None:
        return Refusal(file.path, merged.reason or _MEET, conflicts)
    after = _text_of(merged.pieces, manner.conflicts)
    if after == mine:
        return Change(file.path, Action.KEPT, mine, mine, _YOURS)
    overrules = (bool(conflicts) and manner.conflicts is ConflictPolicy.THEIRS) or bool(merged.notes)
    note = "; ".join((_said(conflicts, manner.conflicts), *merged.notes))
    return Change(file.path, Action.MERGED, mine, after, note, overrules)


def _resolved(piece: Piece, prefer: ConflictPolicy | None) -> bytes:
    if not isinstance(piece, Conflict):
        return piece
    if prefer is ConflictPolicy.MARKERS:
        return piece.marked
    return piece.mine if prefer is ConflictPolicy.MINE else piece.theirs


def _said(conflicts: Iterable[Conflict], prefer: ConflictPolicy | None) -> str:
    lines = ", ".join(str(conflict.line) for conflict in conflicts)
    if prefer is None or not lines:
        return _YOURS
    return f"{_YOURS}; {_OUTCOMES[prefer]} at line {lines}"


def _missing(file: Versions, theirs: bytes, manner: WriteOptions) -> Change:
    if file.was_generated and not manner.force:
        return Change(file.path, Action.KEPT, None, None, _DELETED)
    return Change(file.path, Action.CREATED, None, theirs)


def _no_longer_generated(file: Versions, manner: WriteOptions) -> Change | Refusal:
    if file.mine is None:
        return Change(file.path, Action.UNCHANGED, None, None)
    base = None if file.base is None else with_line_ends_of(file.mine, file.base)
    if file.mine == base:
        return Change(file.path, Action.REMOVED, file.mine, None)
    if manner.force or manner.conflicts is ConflictPolicy.THEIRS:
        return Change(file.path, Action.REMOVED, file.mine, None, overrules=True)
    if file.retired:
        return Change(file.path, Action.REMOVED, file.mine, None, _RETIRED, overrules=True)
    if manner.conflicts is not None:
        return Change(file.path, Action.KEPT, file.mine, file.mine, "yours now: it is no longer part of the code")
    return Refusal(file.path, _NO_LONGER)


def with_line_ends_of(mine: bytes, text: bytes) -> bytes:
    """*text* with the line ends of a file that an editor, or Git, turned to CRLF throughout."""
    is_crlf = b"\r\n" in mine and mine.count(b"\n") == mine.count(b"\r\n")
    return text.replace(b"\n", b"\r\n") if is_crlf else text


def entries_of(path: str, text: bytes) -> Mapping[str, bytes]:
    """``map/key`` → text of the entries of a file; none where it has none, or is not laid out as it was generated."""
    indent = _INDENT.get(PurePosixPath(path).name)
    held = None if indent is None else _keyed(text, indent)
    return {} if held is None else {key.decode(): entry for key, entry in held.entries.items()}
