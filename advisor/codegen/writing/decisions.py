"""Decision about one file.

Its base is the text as it was generated last, mine is what lies on disk, theirs is what is generated now.

A key follows the plan. A merge by lines alone would put what a user added to an entry that is gone into whichever new
entry looks most like it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from advisor.codegen.writing.attributes import (
    by_names,
    carry_attributes,
    has_same_attributes,
    merge_attributes,
    repeated_names,
    with_assignments,
)
from advisor.codegen.writing.checkout import CRLF, LF, has_crlf, is_document, is_text_left
from advisor.codegen.writing.entries import (
    Keyed,
    key_of,
    keyed,
    with_both_entries,
    without_engine_edits,
    without_entries,
)
from advisor.codegen.writing.kustomizations import KUSTOMIZATION
from advisor.codegen.writing.merging import (
    Action,
    Change,
    Conflict,
    ConflictPolicy,
    Piece,
    WriteOptions,
    has_markers,
    lines_of,
    merge,
    patch,
    with_insertions,
    with_remarks,
)
from advisor.records import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that changed with the plan."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old key → new key of entries that go on under another one."""
    successors: Mapping[str, str] = field(default_factory=dict)
    """Key of an entry that retires → key of the new one that takes its place."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Region → new one that takes over from it."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """Key → engine of what it follows, where that is another one: its image, arguments and environment stay."""
    follows: bool = False
    """The whole file follows another, by whose keys its entries went."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged text in pieces, and what became of edits inside entries whose keys changed."""

    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()
    reason: str = ""
    """Of a conflict, beyond that both sides changed the same lines."""


@dataclass(frozen=True, slots=True)
class _Heir:
    """A new entry with the edits of the one whose place it takes."""

    former: bytes
    key: bytes
    text: bytes
    lacking: Sequence[bytes]
    """Attributes whose edits do not fit it."""
    notes: Sequence[str] = ()
    """On edits for another engine."""
    is_edited: bool = True
    """Edits are left that hold for its engine too."""


def merge_entries(path: str, base: bytes, mine: bytes, theirs: bytes, keys: Keys) -> Merged:
    """Merge one file.

    Args:
        path: by its name it is known whether it has entries.
        base: as it was generated last.
        mine: as it lies on disk.
        theirs: as it is generated now.
        keys: those that changed.
    """
    base, mine = (with_other_keys(text, keys.renamed) for text in (base, mine))
    last, own, new = (keyed(path, text) for text in (base, mine, theirs))
    if last is None or own is None or new is None:
        return Merged(merge(base, mine, theirs))
    own, for_engines = _without_engine_edits(last, own, keys)
    given = {heir.former: heir for heir in _heirs(last, own, new, keys, path)}
    filled = replace(new, entries={**new.entries, **{heir.key: heir.text for heir in given.values()}})
    merged = _merged(last, own, filled, given)
    if repeated := _newly_repeated(merged.pieces, mine, theirs):
        both = f"your edits and the new code both add {', '.join(sorted(name.decode() for name in repeated))}"
        merged = Merged((Conflict(1, base, mine, theirs),), merged.notes, merged.reason or both)
    carried = _carried(_edited_keys(last, own), new, keys.renamed, given)
    return replace(merged, notes=(*carried, *for_engines, *merged.notes))


def _without_engine_edits(base: Keyed, mine: Keyed, keys: Keys) -> tuple[Keyed, Sequence[str]]:
    """Edited entries that go on with another engine without what was for the former one, and notes on that."""
    origins = {new: old for old, new in ({**keys.successors, **keys.renamed} if keys.follows else keys.renamed).items()}
    entries = dict(mine.entries)
    notes: list[str] = []
    for key in _edited_keys(base, mine):
        of_map, _, name = key.decode().partition("/")
        # What takes the place of another beside it follows itself, where it was there before.
        if name in keys.engines and (name in origins or name not in keys.successors.values()):
            entries[key], edited = without_engine_edits(base.entries[key], entries[key])
            notes += _of_engine(f"{of_map}/{origins.get(name, name)}".encode(), key, edited, keys.engines[name])
    return replace(mine, entries=entries), notes


def _of_engine(former: bytes, key: bytes, edited: Sequence[bytes], engine: str) -> Iterator[str]:
    """Note on edits that an entry of another engine lacks; none without such edits."""
    if edited:
        names = " and ".join(name.decode() for name in edited)
        yield f"those of {_said_entry(former)} in {names} are for {engine}, and not in {_said_entry(key)}: {WRITE_THEM}"


def with_other_keys(text: bytes, renamed: Mapping[str, str]) -> bytes:
    """*text* with new keys in the place of old ones."""
    for old, now in renamed.items():
        text = re.sub(rb"(?<![\w-])%b(?![\w-])" % re.escape(old.encode()), now.encode(), text)
    return text


def _merged(base: Keyed, mine: Keyed, theirs: Keyed, heirs: Mapping[bytes, _Heir]) -> Merged:
    edited = _edited_keys(base, mine)
    filled = {heir.key for heir in heirs.values()}
    new = {key: [name for name in _new_beside(key, base, theirs) if name not in filled] for key in edited}
    homeless = [key for key in edited if key not in theirs.entries and key not in heirs and new[key]]
    deleted = [key for key in base.entries.keys() & theirs.entries.keys() if key not in mine.entries]
    changed = [key for key in deleted if base.entries[key] != theirs.entries[key]]
    merged = merge(base.marked(), mine.marked(homeless), theirs.marked(changed))
    pieces = map(with_both_entries, merged)
    expanded = (name for piece in pieces for name in _expanded(piece, base, mine, theirs))
    reasons = [f"your edits lie in {_said_entry(key)}, in place of which there is {_all(new[key])}" for key in homeless]
    return Merged(tuple(expanded), tuple(_notes(edited, new, theirs, heirs)), "; ".join(reasons))


def _new_beside(key: bytes, base: Keyed, theirs: Keyed) -> list[bytes]:
    """Entries of the same map that were not there before."""
    of_map = key.partition(b"/")[0] + b"/"
    return [other for other in theirs.entries if other.startswith(of_map) and other not in base.entries]


def _expanded(piece: Piece, base: Keyed, mine: Keyed, theirs: Keyed) -> Iterator[Piece]:
    if isinstance(piece, Conflict):
        texts = base.expanded(piece.base), mine.expanded(piece.mine), theirs.expanded(piece.theirs)
        yield Conflict(mine.line_of(piece.line), *texts)
        return
    for line in lines_of(piece):
        key = key_of(line)
        if not key:
            yield line
            continue
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


def _with_opening_of(base: bytes, mine: bytes, theirs: bytes) -> tuple[bytes, bytes]:
    """Both with the first line of the new code, where the user left it alone: an edit below it meets no other name."""
    (last, *before), (own, *edited), (opening, *_) = (lines_of(text) or [b""] for text in (base, mine, theirs))
    return (b"".join((opening, *before)), b"".join((opening, *edited))) if last == own else (base, mine)


def _newly_repeated(pieces: tuple[Piece, ...], mine: bytes, theirs: bytes) -> frozenset[bytes]:
    """Names that a block of the merge holds twice, whichever side conflicts go to, and no block of the two sides."""
    merges = (_text_of(pieces, side) for side in (ConflictPolicy.MINE, ConflictPolicy.THEIRS))
    return frozenset().union(*map(repeated_names, merges)) - repeated_names(mine) - repeated_names(theirs)


def _text_of(pieces: tuple[Piece, ...], side: ConflictPolicy | None) -> bytes:
    """The merged text, with conflicts decided for one side, or marked."""
    return b"".join(_resolved(piece, side) for piece in pieces)


def _heirs(base: Keyed, mine: Keyed, theirs: Keyed, keys: Keys, path: str) -> Iterator[_Heir]:
    """New entries that take the places of edited ones, with the edits that fit."""
    moved = {old.encode(): new.encode() for old, new in keys.moved.items()}
    for key in _edited_keys(base, mine):
        of_map, _, name = key.decode().partition("/")
        other = f"{of_map}/{keys.successors.get(name, name)}".encode()
        if other in base.entries or other not in theirs.entries:
            continue
        last, edited = (with_other_keys(side.entries[key], keys.successors) for side in (base, mine))
        notes: list[str] = []
        if former_engine := keys.engines.get(other.decode().partition("/")[2]):
            edited, names = without_engine_edits(last, edited)
            notes = list(_of_engine(key, other, names, former_engine))
            if edited == last:
                yield _Heir(key, other, theirs.entries[other], (), notes, is_edited=False)
                continue
        last, edited = _with_opening_of(last, edited, theirs.entries[other])
        carried = carry_attributes(last, edited, theirs.entries[other], moved, path)
        if carried is None:
            parts = tuple(by_names(part, path) for part in merge(last, edited, theirs.entries[other]))
            carried = (_text_of(parts, None), tuple(_lines_lost(parts)))
        if carried[0] != theirs.entries[other] or not carried[1]:
            yield _Heir(key, other, *carried, notes)


def _lines_lost(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """Lines of the user that are not in the new code, each once; what a user took out is a line of its own."""
    lines: dict[bytes, None] = {}
    for piece in pieces:
        if isinstance(piece, Conflict):
            own = [line.strip() for line in lines_of(piece.mine) if line not in lines_of(piece.base)]
            lines |= dict.fromkeys(filter(None, own)) or {b"lines that you took out": None}
    yield from lines


def _joined(lines: Iterable[bytes]) -> str:
    return " and ".join(line.decode("utf-8", "backslashreplace") for line in lines)


def _edited_keys(base: Keyed, mine: Keyed) -> list[bytes]:
    return [key for key, entry in mine.entries.items() if base.entries.get(key, entry) != entry]


def _carried(
    edited: list[bytes], theirs: Keyed, renamed: Mapping[str, str], heirs: Mapping[bytes, _Heir]
) -> Iterator[str]:
    former = {now: old for old, now in renamed.items()}
    for key in edited:
        of_map, _, name = key.decode().partition("/")
        if name in former:
            yield f"those of {of_map}.{former[name]} go on in {_said_entry(key)}"
        if key in heirs and heirs[key].is_edited:
            go_on = "are in {} too" if key in theirs.entries else "go on in {}"
            lacking = _joined(heirs[key].lacking)
            but = f", but for {lacking}: {WRITE_THEM}" if lacking else ""
            yield f"those of {_said_entry(key)} {go_on.format(_said_entry(heirs[key].key))}{but}"
        if key in heirs:
            yield from heirs[key].notes


def _notes(
    edited: list[bytes], new: Mapping[bytes, list[bytes]], theirs: Keyed, heirs: Mapping[bytes, _Heir]
) -> Iterator[str]:
    for key in edited:
        if key not in theirs.entries and key not in heirs and not new[key]:
            yield f"those of {_said_entry(key)} went with it"
        elif new[key]:
            yield f"those of {_said_entry(key)} are not in {_all(new[key])}: {WRITE_THEM}"


def _all(keys: list[bytes]) -> str:
    return " and ".join(map(_said_entry, keys))


def _said_entry(key: bytes) -> str:
    return key.decode().replace("/", ".", 1)


WRITE_THEM = "write them there too, where they should hold"
"""What a person does about edits that a new file or entry lacks."""
_DELETED = "you deleted it; --force writes it again"
_DELETED_CHANGED = "you deleted it, and its text changed; --force writes it again"
_STAYS_DELETED = "you deleted it, and its text changed: your deletion taken"
_IS_DELETED = "was deleted, and the new code changes it"
_DELETED_LOST = "was deleted, and its text as it was generated last is not known"
_OWN_TEXT = "yours: nothing of the generated text is left in it"
_YOURS = "with your edits"
_OUTCOMES = {
    ConflictPolicy.MARKERS: "conflict markers to be resolved",
    ConflictPolicy.THEIRS: "the new code taken",
    ConflictPolicy.MINE: "your edits taken",
}
_TAKEN = re.compile(f"; {_OUTCOMES[ConflictPolicy.THEIRS]} at line [0-9, ]+")


@dataclass(frozen=True, slots=True)
class Versions:
    """The three texts of a file; None where there is none."""

    path: str
    """Where it lies."""
    base: bytes | None
    mine: bytes | None
    theirs: bytes | None
    was_generated: bool
    """An earlier run wrote it, though its text of that time may be lost."""
    generated_path: str = ""
    """Path of the code that it holds, where a person gave it another name; else ""."""
    holders: tuple[str, ...] = ()
    """Files that hold a part of its code, where it was deleted."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old key → new key of groups and backends that go on under another one."""
    successors: Mapping[str, str] = field(default_factory=dict)
    """Key of what retires → key of what takes its place."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Region → new one that takes over from it."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """Key → engine of what it follows, where that is another one."""
    follows: bool = False
    """It has another name than the file whose edits it is given."""
    retired: bool = False
    """It is named after a backend that retired and is left out now, or lies in the folder of a region that is."""
    is_copied: bool = False
    """A new file is made in its place, and it stays."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is written, and what of it can be shown."""

    path: str
    reason: str
    conflicts: tuple[Conflict, ...] = ()
    difference: str = ""
    """Change of the new code to a file that was deleted, as a patch."""


_NOT_GENERATED = "was not generated, and the code needs a file of that name"
_BASE_LOST = "was edited, and its text as it was generated last is not known"
_NO_LONGER = "was edited, and is no longer part of the code"
_RETIRED = "with your edits: what it is named after retired; a copy is under .advisor/replaced"
_UNRESOLVED = "still holds conflict markers: resolve them first"
_MEET = "your edits and the new code change the same lines"


def decide(file: Versions, write_options: WriteOptions) -> Change | Refusal:
    """Change to a file, or a refusal where a program must not decide it."""
    if file.theirs is None:
        return _no_longer_generated(file, write_options)
    if file.mine is None:
        is_deleted = file.was_generated and not write_options.overwrites
        new = Change(file.path, Action.CREATED, None, file.theirs)
        return _deleted(file, new, write_options) if is_deleted else new
    theirs = with_line_ends_of(file.mine, file.theirs)
    base = None if file.base is None else with_line_ends_of(file.mine, file.base)
    if file.mine in (file.theirs, theirs):
        return Change(file.path, Action.UNCHANGED, file.mine, file.mine)
    if file.mine == base:
        return Change(file.path, Action.REPLACED, file.mine, theirs)
    if write_options.overwrites or (write_options.force and base is None):
        return Change(file.path, Action.REPLACED, file.mine, theirs, overrules=True)
    return _edited(file, file.mine, theirs, base, write_options)


def _deleted(file: Versions, new: Change, write_options: WriteOptions) -> Change | Refusal:
    """Change to a file that a person deleted: a text that the plan changes is not left out unless that is asked for."""
    is_same = new.after == file.base
    if is_same or is_document(file.path):
        return Change(file.path, Action.KEPT, None, None, _DELETED if is_same else _DELETED_CHANGED)
    if write_options.conflicts is None:
        return _refused_deletion(file, new)
    if write_options.conflicts is ConflictPolicy.MINE:
        return Change(file.path, Action.KEPT, None, None, _STAYS_DELETED)
    marked = Conflict(1, file.base or b"", b"", new.after or b"").marked
    is_marked = write_options.conflicts is ConflictPolicy.MARKERS
    return replace(new, after=marked, note=_OUTCOMES[ConflictPolicy.MARKERS]) if is_marked else new


def _refused_deletion(file: Versions, new: Change) -> Refusal:
    """Refusal that shows what the new code changes in a file that a person deleted."""
    if file.base is None:
        return Refusal(file.path, _DELETED_LOST)
    held = f" ({' and '.join(file.holders)} {_HOLD[len(file.holders) > 1]} blocks of it)" if file.holders else ""
    return Refusal(file.path, f"{_IS_DELETED}{held}", (), patch(file.path, file.base, new.after))


_HOLD = ("holds", "hold")


def decide_renamed(file: Versions, path: str, write_options: WriteOptions) -> tuple[Change | Refusal, ...]:
    """Changes to a file that *path* follows under another name: edits go with it, and so does a deletion."""
    decided = decide(_with_new_keys(file), write_options)
    if isinstance(decided, Refusal) or path == file.path:
        return (decided,)
    gone = Action.REMOVED if file.mine is not None else Action.KEPT
    old = Change(file.path, gone, file.mine, None, overrules=decided.overrules)
    action = Action.CREATED if decided.action in (Action.REPLACED, Action.UNCHANGED) else decided.action
    return old, replace(decided, path=path, action=action, before=None, overrules=False)


def decide_copied(file: Versions, path: str, write_options: WriteOptions) -> Change:
    """Change that makes a new file in place of another, which stays: it is given the edits of that one."""
    created = Change(path, Action.CREATED, None, file.theirs)
    if file.mine is None or file.base is None or write_options.overwrites:
        return created
    copied = replace(_with_new_keys(_without_own_objects(file, path)), is_copied=True)
    decided = decide(copied, replace(write_options, conflicts=None, force=False))
    lost = tuple(_lines_lost(decided.conflicts)) if isinstance(decided, Refusal) else ()
    if isinstance(decided, Refusal):
        decided = decide(copied, replace(write_options, conflicts=ConflictPolicy.THEIRS, force=False))
    if isinstance(decided, Refusal) or (lost and decided.after == file.theirs):
        return replace(created, note=f"your edits of {file.path} do not fit, and are not in it: {WRITE_THEM}")
    if decided.action not in (Action.MERGED, Action.KEPT):
        return created
    but = f", but for {_joined(lost)}: {WRITE_THEM}" if lost else ""
    note = _TAKEN.sub("", decided.note).replace(_YOURS, f"{_YOURS} of {file.path}{but}", 1)
    return Change(path, Action.MERGED, None, decided.after, note)


def _without_own_objects(file: Versions, path: str) -> Versions:
    """Versions without the objects that a person added, where a copy would have the same names in the same cluster."""
    if file.mine is None or PurePosixPath(path).parent != PurePosixPath(file.path).parent:
        return file
    texts = (keyed(file.generated_path or file.path, text or b"") for text in (file.base, file.mine))
    last, own = (frozenset() if held is None else held.entries.keys() for held in texts)
    keys = {**file.successors, **file.renamed}
    same = [key for key in own - last if with_other_keys(key, keys) == key]
    return replace(file, mine=without_entries(file.generated_path or file.path, file.mine, same))


def _with_new_keys(file: Versions) -> Versions:
    """Versions of a file whose texts name what goes on, and what takes the place of what retires, by the new keys."""
    keys = {**file.successors, **file.renamed}
    base, mine = (None if text is None else with_other_keys(text, keys) for text in (file.base, file.mine))
    return replace(file, base=base, mine=mine, follows=True)


def _edited(
    file: Versions, mine: bytes, theirs: bytes, base: bytes | None, write_options: WriteOptions
) -> Change | Refusal:
    if base is None:
        return Refusal(file.path, _BASE_LOST if file.was_generated else _NOT_GENERATED)
    if has_markers(mine):
        return Refusal(file.path, _UNRESOLVED)
    if is_document(file.path) and not is_text_left(base, mine):
        return Change(file.path, Action.KEPT, mine, mine, _OWN_TEXT)
    keys = Keys(file.renamed, file.successors, file.moved, file.engines, file.follows)
    merged = merge_entries(file.generated_path or file.path, base, mine, theirs, keys)
    merged = _without_gone_pins(merged, file.path)
    merged = replace(merged, pieces=_settled(merged.pieces, file.path, mine, theirs))
    merged = replace(merged, pieces=tuple(map(with_insertions, merged.pieces))) if file.is_copied else merged
    conflicts = tuple(piece for piece in merged.pieces if isinstance(piece, Conflict))
    if conflicts and write_options.conflicts is None:
        return Refusal(file.path, merged.reason or _MEET, conflicts)
    after = _text_of(merged.pieces, write_options.conflicts)
    if after == mine:
        return Change(file.path, Action.KEPT, mine, mine, _YOURS)
    overrules = (bool(conflicts) and write_options.conflicts is ConflictPolicy.THEIRS) or bool(merged.notes)
    said = _said(conflicts, write_options.conflicts)
    note = "; ".join(merged.notes if merged.notes and after == theirs else (said, *merged.notes))
    return Change(file.path, Action.MERGED, mine, after, note, overrules)


_PINNED = re.compile(rb'^( +- )"?MODEL_REVISION=([\w./-]+)"?.*\n', re.MULTILINE)
"""Revision of a model in the map of its kustomization."""


def _without_gone_pins(merged: Merged, path: str) -> Merged:
    """A merge without the maps of models that nothing loads any more, in which a person pinned the revision alone."""
    if PurePosixPath(path).name != KUSTOMIZATION:
        return merged
    gone = [
        piece
        for piece in merged.pieces
        if isinstance(piece, Conflict)
        and not piece.theirs.strip()
        and _PINNED.sub(b"", piece.mine) == _PINNED.sub(b"", piece.base)
    ]
    pins = [pin[2].decode() for piece in gone for pin in _PINNED.finditer(piece.mine)]
    notes = [f"your MODEL_REVISION {pin} went with its model, which nothing loads any more" for pin in pins]
    kept = tuple(piece.theirs if piece in gone else piece for piece in merged.pieces)
    return replace(merged, pieces=kept, notes=(*merged.notes, *notes)) if gone else merged


def _settled(pieces: tuple[Piece, ...], path: str, mine: bytes, theirs: bytes) -> tuple[Piece, ...]:
    """Pieces without the conflicts in which only comments, assignments and flags of other names meet the new code."""
    by_lines = tuple(map(with_remarks, pieces))
    by_names = tuple(with_assignments(piece, path) for piece in by_lines)
    return by_lines if _newly_repeated(by_names, mine, theirs) else by_names


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


def _no_longer_generated(file: Versions, write_options: WriteOptions) -> Change | Refusal:
    if file.mine is None:
        return Change(file.path, Action.UNCHANGED, None, None)
    base = None if file.base is None else with_line_ends_of(file.mine, file.base)
    if file.mine == base:
        return Change(file.path, Action.REMOVED, file.mine, None)
    if write_options.overwrites or write_options.conflicts is ConflictPolicy.THEIRS:
        return Change(file.path, Action.REMOVED, file.mine, None, overrules=True)
    if file.retired:
        return Change(file.path, Action.REMOVED, file.mine, None, _RETIRED, overrules=True)
    if write_options.conflicts is not None:
        return Change(file.path, Action.KEPT, file.mine, file.mine, "yours now: it is no longer part of the code")
    return Refusal(file.path, _NO_LONGER)


def with_line_ends_of(mine: bytes, text: bytes) -> bytes:
    """*text* with the line ends of a file that an editor, or Git, turned to CRLF throughout."""
    return text.replace(LF, CRLF) if has_crlf(mine) else text


def entries_of(path: str, text: bytes) -> Mapping[str, bytes]:
    """``map/key`` → text of the entries of a file; none where it has none, or is not laid out as it was generated."""
    held = keyed(path, text)
    return {} if held is None else {key.decode(): entry for key, entry in held.entries.items()}
