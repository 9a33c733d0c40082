"""Decision about one file.

Its base is the text as it was generated last, mine is what lies on disk, theirs is what is generated now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from advisor.codegen.writing.entries import Keys, merge_entries, with_other_keys
from advisor.codegen.writing.merging import Conflict, Piece, has_markers
from advisor.codegen.writing.report import Action, Change, ConflictPolicy, WriteOptions

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
        return _missing(file, file.theirs, manner)
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
    after = b"".join(_resolved(piece, manner.conflicts) for piece in merged.pieces)
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
