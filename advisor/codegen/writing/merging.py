"""Three-way merge by lines: what two people did to the same text, put together where they did not meet.

The classical diff3: lines that are the same in all three texts are fixed points. Between two of them either one side
alone changed something, or both did the same, or the stretch is a conflict.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher

from advisor.records import dataclass

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
        one, other = to_mine[i], to_theirs[j]
        start = max(one.a, other.a)
        end = min(one.a + one.size, other.a + other.size)
        if start < end:
            yield (start, one.b + start - one.a, other.b + start - other.a), end - start
        if one.a + one.size < other.a + other.size:
            i += 1
        else:
            j += 1
    yield (len(base), len(mine), len(theirs)), 0


def _matches(base: Lines, other: Lines) -> list[Match]:
    return SequenceMatcher(None, base, other, autojunk=False).get_matching_blocks()


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"
