"""The three-way merge: nothing that a person or we wrote is lost, and nothing is merged that met."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen.writing.merging import Conflict, has_markers, merge, with_remarks

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"{\n", b"}\n", b"\n", b"\r\n", b"\xff\x00\n"]), max_size=12)


def joined(lines, last=b""):
    """A text; *last* has no line end."""
    return b"".join(lines) + last


TEXTS = st.builds(joined, LINES, st.sampled_from([b"", b"end"]))


def whole(pieces):
    """The result, or None where there is a conflict."""
    return None if any(isinstance(piece, Conflict) for piece in pieces) else b"".join(pieces)


@given(TEXTS, TEXTS)
def test_a_side_that_did_nothing_changes_nothing(base, other):
    """One side alone gives that side; both the same give it too."""
    assert whole(merge(base, other, base)) == other
    assert whole(merge(base, base, other)) == other
    assert whole(merge(base, other, other)) == other


@given(TEXTS, TEXTS, TEXTS)
def test_sides_can_be_swapped(base, one, other):
    """The result is the same, or a conflict both ways."""
    assert whole(merge(base, one, other)) == whole(merge(base, other, one))


@given(TEXTS, TEXTS, TEXTS)
def test_pieces_hold_each_side_whole(base, mine, theirs):
    """Taking one side at each conflict, and at nothing else, loses none of that side's lines."""
    pieces = merge(base, mine, theirs)
    for side, text in (("mine", mine), ("theirs", theirs)):
        taken = b"".join(getattr(piece, side) if isinstance(piece, Conflict) else piece for piece in pieces)
        for line in {line for line in text.split(b"\n") if line and line not in base.split(b"\n")}:
            assert line in taken


@given(
    st.lists(st.integers(0, 5), min_size=30, max_size=30),
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from(["mine", "theirs"]), st.sampled_from(["change", "insert", "delete"])
        ),
        max_size=8,
        unique_by=lambda edit: edit[0],
    ),
)
def test_edits_in_different_places_are_all_there(words, edits):
    """Lines that are unique and edits that are two lines apart: the result is every edit, applied to the base."""
    base = [f"{number} {word}\n".encode() for number, word in enumerate(words)]

    def edited(sides):
        lines = list(base)
        for place, side, kind in sorted(edits, reverse=True):
            if side in sides:
                at = 3 * place + 1
                new = [f"{side} {place}\n".encode()]
                lines[at : at + 1] = {"change": new, "insert": [lines[at], *new], "delete": []}[kind]
        return b"".join(lines)

    assert whole(merge(b"".join(base), edited({"mine"}), edited({"theirs"}))) == edited({"mine", "theirs"})


@given(TEXTS, TEXTS, TEXTS)
def test_what_was_merged_is_merged_already(base, mine, theirs):
    """The result as an edit of the new code: merging the same code again leaves it as it is."""
    merged = whole(merge(base, mine, theirs))
    if merged is not None:
        assert whole(merge(theirs, merged, theirs)) == merged


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (b"a\nX\nc\n", b"a\nY\nc\n"),
        (b"a\nX\nc\n", b"a\nc\n"),
        (b"a\nb\nc\nX\n", b"a\nb\nc\nY\n"),
        (b"a\nb\nX\n", b"a\nY\nc\n"),
    ],
    ids=["same line", "changed and deleted", "both appended", "neighbours"],
)
def test_meeting_edits_are_a_conflict(mine, theirs):
    """Also those that touch: which comes first, nobody can know."""
    assert whole(merge(b"a\nb\nc\n", mine, theirs)) is None


def test_conflict_has_its_line_and_its_three_texts():
    """The line is that of the user's text; the markers are those of Git, also where the last line does not end."""
    pieces = merge(b"a\nb\nc\nd", b"new\na\nb\nc\nD", b"a\nb\nc\nE")
    assert pieces[-1] == Conflict(line=5, base=b"d", mine=b"D", theirs=b"E")
    assert pieces[-1].marked == b"<<<<<<< yours\nD\n||||||| last generated\nd\n=======\nE\n>>>>>>> generated\n"
    assert has_markers(b"x\n" + pieces[-1].marked)
    assert not has_markers(b"a heredoc <<<<<<< x\n")


@pytest.mark.parametrize(
    ("mine", "theirs", "merged"),
    [
        ("# why\na\nb\n", "c\nd\n", "# why\nc\nd\n"),
        ("a\nb\n\n// why\n", "c\nd\ne\n", "c\nd\ne\n\n// why\n"),
        ("a\n  # why\nb\n", "c\nd\n", "c\n  # why\nd\n"),
        ("# one\na\n# two\nb\n# three\n", "c\nd\n", "# one\nc\n# two\nd\n# three\n"),
        ("a\n# why\nb\n", "c\n", None),
        ("#!/bin/sh\na\nb\n", "c\nd\n", None),
        ("a # why\nb\n", "c\nd\n", None),
        ("# why\na\n", "c\nd\n", None),
        ("x\na\nb\n", "c\nd\n", None),
        ("# why\na\nb\n", "", None),
    ],
)
def test_comments_beside_lines_that_change_are_no_conflict(mine, theirs, merged):
    """They stand where they stood; with lines that differ in number between them, nobody knows where that is."""
    conflict = Conflict(1, b"a\nb\n", mine.encode(), theirs.encode())
    assert with_remarks(conflict) == (conflict if merged is None else merged.encode())
    assert with_remarks(b"text") == b"text"
