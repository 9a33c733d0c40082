"""Three-way merge by lines: what two people did to the same text.

The classical diff3: lines that are the same in all three texts are fixed points. Between two of them either one side
alone changed something, or both did the same, or the stretch is a conflict.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import Match, SequenceMatcher
from enum import StrEnum
from pathlib import Path

from advisor.records import dataclass, field, replace

REMARK = re.compile(rb"\s*(?:(?:#(?!!)|//).*)?\n")
"""A comment, or an empty line; the first line of a script is none."""
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")

Lines = Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A stretch that both sides changed, each in its own way."""

    line: int
    """Where it starts in the text of the user, from 1."""
    base: bytes
    """As it was generated last."""
    mine: bytes
    theirs: bytes

    @property
    def marked(self) -> bytes:
        """All three versions between the markers that Git writes."""
        yours = b"<<<<<<< yours\n" + _ended(self.mine)
        last = b"||||||| last generated\n" + _ended(self.base)
        return yours + last + b"=======\n" + _ended(self.theirs) + b">>>>>>> generated\n"


Piece = bytes | Conflict
"""A stretch of the result."""


def with_insertions(piece: Piece) -> Piece:
    """A conflict settled where the user only added lines before or after others, which the new code changes."""
    if not isinstance(piece, Conflict) or len(lines_of(piece.base)) != len(lines_of(piece.theirs)) or not piece.base:
        return piece
    if piece.mine.startswith(piece.base):
        return piece.theirs + piece.mine.removeprefix(piece.base)
    if piece.mine.endswith(piece.base):
        return piece.mine.removesuffix(piece.base) + piece.theirs
    return piece


def with_remarks(piece: Piece) -> Piece:
    """A conflict settled where the user only added comments to lines that the new code changes.

    They stay before, after or between the same lines; between lines of which there are more or fewer now, they do not.
    """
    if not isinstance(piece, Conflict) or not (piece.base and piece.theirs):
        return piece
    base, theirs = lines_of(piece.base), lines_of(piece.theirs)
    before: list[list[bytes]] = [[] for _ in range(len(base) + 1)]
    at = 0
    for line in lines_of(piece.mine):
        if at < len(base) and line == base[at]:
            at += 1
        elif REMARK.fullmatch(line):
            before[at].append(line)
        else:
            return piece
    if at < len(base) or (len(base) != len(theirs) and any(before[1:-1])):
        return piece
    new = theirs if len(base) == len(theirs) else [piece.theirs]
    between = before if len(base) == len(theirs) else [before[0], before[-1]]
    parts = (b"".join((*remarks, line)) for remarks, line in zip(between, new, strict=False))
    return b"".join((*parts, *between[-1]))


def merge(base: bytes, mine: bytes, theirs: bytes) -> tuple[Piece, ...]:
    """The merged text in pieces, in order; without a conflict their bytes together are the result."""
    texts = (lines_of(base), lines_of(mine), lines_of(theirs))
    pieces: list[Piece] = []
    at = (0, 0, 0)
    for start, length in _fixed_points(*texts):
        pieces.append(_between(texts, at, start))
        at = (start[0] + length, start[1] + length, start[2] + length)
        pieces.append(b"".join(texts[0][start[0] : at[0]]))
    return tuple(piece for piece in pieces if piece)


def lines_of(text: bytes) -> list[bytes]:
    """Lines with their line feeds; a carriage return by itself ends none."""
    return _LINE.findall(text)


def has_markers(text: bytes) -> bool:
    """Whether it holds a conflict that nobody has resolved yet."""
    lines = lines_of(text)
    return all(any(line.startswith(mark) for line in lines) for mark in (b"<<<<<<< ", b">>>>>>> "))


def _between(texts: tuple[Lines, Lines, Lines], start: tuple[int, int, int], end: tuple[int, int, int]) -> Piece:
    """Piece between two fixed points."""
    base, mine, theirs = (b"".join(text[a:b]) for text, a, b in zip(texts, start, end, strict=True))
    if mine == base:
        return theirs
    if theirs in (base, mine):
        return mine
    return Conflict(line=start[1] + 1, base=base, mine=mine, theirs=theirs)


def _fixed_points(base: Lines, mine: Lines, theirs: Lines) -> Iterator[tuple[tuple[int, int, int], int]]:
    """Runs of lines that all three have: where they start in each, and how long they are; at last the common end."""
    to_mine, to_theirs = _matches(base, mine), _matches(base, theirs)
    i = j = 0
    while i < len(to_mine) and j < len(to_theirs):
        ours, other = to_mine[i], to_theirs[j]
        start = max(ours.a, other.a)
        end = min(ours.a + ours.size, other.a + other.size)
        if start < end:
            yield (start, ours.b + start - ours.a, other.b + start - other.a), end - start
        if ours.a + ours.size < other.a + other.size:
            i += 1
        else:
            j += 1
    yield (len(base), len(mine), len(theirs)), 0


def _matches(base: Lines, other: Lines) -> list[Match]:
    return SequenceMatcher(None, base, other, autojunk=False).get_matching_blocks()


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"


_NO_LINE_END = "\\ No newline at end of file\n"


class ConflictPolicy(StrEnum):
    """Policy where the user's edits and the new code meet."""

    MARKERS = "write"
    """Both, between the markers that Git writes."""
    THEIRS = "theirs"
    """The new code; what it replaces is kept under ``.advisor/replaced``."""
    MINE = "mine"
    """The edits."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options for how a run treats what it finds."""

    conflicts: ConflictPolicy | None = None
    """None: nothing at all is written when there is a conflict."""
    conflicts_of: Mapping[str, ConflictPolicy] = field(default_factory=dict)
    """Path of a file → policy for it alone."""
    force: bool = False
    """Every file becomes as it is generated: edits, files of others and deletions are overruled; with a policy for
    conflicts, files of others alone."""
    dry_run: bool = False
    """Only say what would happen."""

    @property
    def overwrites(self) -> bool:
        """Edits and deletions are overruled."""
        return self.force and self.conflicts is None

    def for_file(self, *paths: str) -> "WriteOptions":
        """Options for a file, by the paths that it has."""
        policy = next((self.conflicts_of[path] for path in paths if path in self.conflicts_of), self.conflicts)
        return replace(self, conflicts=policy)


class Action(StrEnum):
    """Action on a file."""

    CREATED = "created"
    REPLACED = "replaced"
    MERGED = "merged"
    """Edits of the user and the new code, together."""
    REMOVED = "removed"
    """Generated by an earlier run, and no longer part of the code."""
    UNCHANGED = "unchanged"
    KEPT = "kept"
    """Left as the user has it; the note says why."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file."""

    path: str
    action: Action
    before: bytes | None
    """On disk; None: there is no file."""
    after: bytes | None
    note: str = ""
    """For people: what is special about it."""
    overrules: bool = False
    """What the user had written is lost from the file, so a copy of it is kept."""

    @property
    def is_written(self) -> bool:
        """The file changes on disk."""
        return self.before != self.after

    @property
    def concerns_anyone(self) -> bool:
        """There is a file, or something to say about there being none."""
        return self.before is not None or self.after is not None or bool(self.note)


@dataclass(frozen=True, slots=True)
class WriteReport:
    """Report of what a run did to each path (relative to the directory), or would do when it is a dry run."""

    directory: Path
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    """For people, about the whole directory."""

    def paths(self, action: Action) -> tuple[str, ...]:
        """The files that something happens to."""
        return tuple(change.path for change in self.changes if change.action is action)

    @property
    def edited(self) -> tuple[Change, ...]:
        """Files that a person wrote in and that are written now: to be shown before."""
        return tuple(change for change in self.changes if change.overrules or change.action is Action.MERGED)

    @property
    def summary(self) -> str:
        """One line for people."""
        counted = {action: len(self.paths(action)) for action in Action}
        return f"{self.directory}: {', '.join(f'{number} {action}' for action, number in counted.items() if number)}"

    def patch(self, changes: Iterable[Change] | None = None) -> str:
        """Unified diff of what is written; of some files, or of all."""
        shown = self.changes if changes is None else changes
        return "".join(patch(change.path, change.before, change.after) for change in shown if change.is_written)


def patch(path: str, before: bytes | None, after: bytes | None) -> str:
    """Unified diff of a file; None where there is none."""
    old, new = ("/dev/null" if text is None else f"{side}/{path}" for side, text in (("a", before), ("b", after)))
    lines = difflib.unified_diff(_text(before), _text(after), old, new)
    return "".join(line if line.endswith("\n") else f"{line}\n{_NO_LINE_END}" for line in lines)


def _text(content: bytes | None) -> list[str]:
    return [line.decode("utf-8", "backslashreplace") for line in lines_of(content or b"")]
