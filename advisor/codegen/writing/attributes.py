"""Three-way merge by names: of the attributes of an entry, and of assignments and flags in which edits meet new code.

By lines, an edit meets whatever changed on the line beside it, and every line of the entry where the longest name, and
so the column of the signs, is another one. By names only an attribute that both sides changed is a conflict.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath

from advisor.codegen.writing.merging import (
    REMARK,
    Conflict,
    Piece,
    lines_of,
    merge,
    with_insertions,
    with_remarks,
)
from advisor.records import dataclass

_ATTRIBUTE = re.compile(
    rb'(?P<before> +(?P<quote>"?)(?P<name>[\w.-]+)(?P=quote) *(?:=(?!=)|:) *)(?P<value>.*\n)', re.DOTALL
)
_STRING = re.compile(rb'"(?:\\.|[^"\\\n])*"')
_OPENED, _CLOSED = (b"[", b"(", b"{"), (b"]", b")", b"}")
_BETWEEN = b", "
_TERRAFORM = b" = {"
"""End of an entry's opening line in Terraform, where no commas part attributes."""


@dataclass(frozen=True, slots=True)
class _Entry:
    opening: bytes
    attributes: Mapping[bytes, tuple[bytes, bytes]]
    """Name → what stands before the value, and the value."""
    closing: bytes
    separator: bytes = b""
    """Text between two attributes on one line; "" where each has lines of its own."""

    def value(self, name: bytes) -> bytes | None:
        """None where the entry has no such attribute."""
        return self.attributes[name][1] if name in self.attributes else None

    def is_opened_like(self, other: "_Entry") -> bool:
        """Whether both have one layout and one name; the column of the sign follows the names beside it."""
        return (self.opening.split(), self.separator) == (other.opening.split(), other.separator)


def merge_attributes(base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
    """The entry as *theirs* lays it out, with the edits of *mine*.

    None where both changed one attribute, or where a text is more than an opening line, attributes and a closing one,
    each attribute with its brackets and quotes closed and, in Python, its comma.
    """
    merged = _by_attributes(base, mine, theirs, lambda *_: None)
    return merged[0] if merged and not merged[1] else None


def carry_attributes(
    base: bytes, mine: bytes, theirs: bytes, moved: Mapping[bytes, bytes], path: str
) -> tuple[bytes, Sequence[bytes]] | None:
    """Another entry with the edits of *mine*, and the names of the attributes whose edits do not fit it.

    None where a text is not laid out as an entry.

    Args:
        base: the entry as it was generated last, with the keys of the other one.
        mine: as it lies on disk, likewise.
        theirs: the other entry as it is generated now.
        moved: old region → new one: a value that differs in these alone is the user's, in the new region.
        path: file that the other entry is of.
    """

    def settled(before: bytes, edited: bytes, now: bytes) -> bytes | None:
        for old, new in moved.items():
            if before.replace(old, new) == now:
                return edited.replace(old, new)
        pieces = [by_names(piece, path) for piece in merge(before, edited, now)]
        texts = [piece for piece in pieces if isinstance(piece, bytes)]
        return b"".join(texts) if len(texts) == len(pieces) else None

    return _by_attributes(base, mine, theirs, settled)


def _by_attributes(
    base: bytes, mine: bytes, theirs: bytes, settle: Callable[[bytes, bytes, bytes], bytes | None]
) -> tuple[bytes, Sequence[bytes]] | None:
    """The merge of three entries, and the names of attributes that both changed and that are not settled."""
    last, own, new = (_entry(text) for text in (base, mine, theirs))
    if last is None or own is None or new is None or not own.is_opened_like(last) or own.separator != new.separator:
        return None
    kept: list[bytes] = []
    unsettled: list[bytes] = []
    for name in (*new.attributes, *(name for name in own.attributes if name not in new.attributes)):
        before, edited, now = (entry.value(name) for entry in (last, own, new))
        value = now if edited == before else edited
        if edited != before and now not in (before, edited):
            value = settle(before, edited, now) if before and edited and now else None
            if value is None:
                unsettled.append(name)
                value = now
        if value is not None:
            kept.append((new if name in new.attributes else own).attributes[name][0] + value)
    return new.opening + new.separator.join(kept) + new.closing, unsettled


def has_same_attributes(text: bytes, other: bytes) -> bool:
    """Whether two entries have the same values under the same names, in any order."""
    entries = (_entry(text), _entry(other))
    values = [entry and {name: value for name, (_, value) in entry.attributes.items()} for entry in entries]
    return values[0] is not None and values[0] == values[1]


def repeated_names(text: bytes) -> frozenset[bytes]:
    """Names that stand more than once between the brackets of one block: no language of the code takes them."""
    blocks: list[tuple[int, set[bytes]]] = [(-1, set())]
    repeated: set[bytes] = set()
    for line in lines_of(text):
        indent = _indent(line)
        # By columns too: a program in a text has brackets of its own.
        while line[indent:].startswith(_CLOSED) and blocks[-1][0] >= indent:
            blocks.pop()
        if len(blocks) > 1 and (match := _ATTRIBUTE.fullmatch(line)):
            repeated |= blocks[-1][1] & {match["name"]}
            blocks[-1][1].add(match["name"])
        if line.rstrip().endswith(_OPENED):
            blocks.append((indent, set()))
    return frozenset(repeated)


def _entry(text: bytes) -> _Entry | None:
    lines = lines_of(text)
    if row := _ROW.fullmatch(text):
        return _row(row)
    if len(lines) < len(("opening", "closing")) or not lines[0].rstrip().endswith(_OPENED):
        return None
    end = b"" if lines[0].rstrip().endswith(_TERRAFORM) else b","
    attributes: dict[bytes, tuple[bytes, bytes]] = {}
    inner = lines[1:-1]
    while inner:
        size = _size(inner)
        match = _ATTRIBUTE.fullmatch(b"".join(inner[:size]))
        if not match or match["name"] in attributes or not _is_whole(match["value"], end):
            return None
        attributes[match["name"]] = (match["before"], match["value"])
        inner = inner[size:]
    return _Entry(lines[0], attributes, lines[-1])


_ROW = re.compile(rb'(?P<opening> *"?[\w.-]+"? *= \{ )(?P<inner>[^\n]*)(?P<closing> \}\r?\n)')
_CELL = re.compile(rb"(?P<before>(?P<name>[\w.-]+) = )(?P<value>.+)")


def _row(row: re.Match[bytes]) -> _Entry | None:
    """An entry on one line, whose attributes commas part."""
    attributes: dict[bytes, tuple[bytes, bytes]] = {}
    for cell in _cells(row["inner"]):
        match = _CELL.fullmatch(cell)
        if not match or match["name"] in attributes:
            return None
        attributes[match["name"]] = (match["before"], match["value"])
    return _Entry(row["opening"], attributes, row["closing"], _BETWEEN)


def _cells(text: bytes) -> Sequence[bytes]:
    """Parts of a line between the commas that stand in no text and no brackets."""
    outline = _STRING.sub(lambda text: b"_" * len(text[0]), text)
    starts, depth = [0], 0
    for at in range(len(outline)):
        sign = outline[at : at + 1]
        depth += (sign in _OPENED) - (sign in _CLOSED)
        if depth == 0 and outline.startswith(_BETWEEN, at):
            starts.append(at + len(_BETWEEN))
    ends = [*(start - len(_BETWEEN) for start in starts[1:]), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def by_names(piece: Piece, path: str) -> Piece:
    """A conflict of a new entry settled by remarks, names and insertions, in that order."""
    return with_insertions(with_assignments(with_remarks(piece), path))


_FLAG = re.compile(rb'(?P<before> +(?:- )?"?)(?P<name>--[\w-]+)(?P<value>"?,?\s*\n|=.*\n)')
_ITEM = re.compile(rb'(?P<before> *- name: *)(?P<quote>"?)(?P<name>[\w.-]+)(?P=quote)\s*\n')
"""First line of an item of a list of YAML that has a name, as variables, ports and images do."""
_PLAIN_ITEM = re.compile(rb' *- "?(?!-)(?![^"\n]*: )[^\s|>&*!{["][^\n]*\n')
"""Item of a list of YAML that is the value of the flag above it."""
_CONTINUED = re.compile(rb"(?:.*<<[-~]?\w+|[|>][-+\d]*)?\s*")
"""Values of which the rest stands on the lines below."""
_ENDS = {".tf": b"", ".py": b",", ".yaml": b""}
"""Suffix of a file → end of an assignment in it."""
_LAST = b""
"""Name under which the comments below the last assignment stand."""


@dataclass(frozen=True, slots=True)
class _Assignment:
    """Assignment, or flag of a list, with the comments and empty lines above it."""

    remarks: bytes
    before: bytes
    """Text up to the value; of a flag its columns alone."""
    value: bytes


_Assignments = Mapping[bytes, _Assignment]


def with_assignments(piece: Piece, path: str) -> Piece:
    """A conflict settled where it holds assignments and flags alone, and none of one name that both sides changed.

    Args:
        piece: a stretch of the result.
        path: file that it is of; its suffix says how an assignment ends.
    """
    suffix = PurePosixPath(path).suffix
    if not isinstance(piece, Conflict) or suffix not in _ENDS:
        return piece
    last, own, new = (_assignments(text, suffix) for text in (piece.base, piece.mine, piece.theirs))
    if last is None or own is None or new is None:
        return piece
    merge_parts = partial(_merged_assignment, path=path)
    indents = {_indent(part.before) for side in (last, own, new) for name, part in side.items() if name != _LAST}
    parts = [merge_parts(last.get(name), own.get(name), new.get(name)) for name in _in_order(last, own, new)]
    texts = [part for part in parts if part is not None]
    return b"".join(texts) if len(indents) <= 1 and len(texts) == len(parts) else piece


def _in_order(last: _Assignments, own: _Assignments, new: _Assignments) -> Sequence[bytes]:
    """Names as the new code has them; those that the user added stand below the same ones as before."""
    names = [*(name for name in last if name not in new), *new]
    at = 0
    for name in own:
        if name in names:
            at = names.index(name) + 1
        else:
            names.insert(at, name)
            at += 1
    return names


def _merged_assignment(
    last: _Assignment | None, own: _Assignment | None, new: _Assignment | None, path: str
) -> bytes | None:
    """Text of an assignment, "" where a side took it away; None where both changed it."""
    remarks = _of_one_side(*(side.remarks if side else None for side in (last, own, new)))
    value = _of_one_side(*(side.value if side else None for side in (last, own, new)))
    if value is None and last and own and new:
        value = _inside_item(last.value, own.value, new.value, path)
    if remarks is None or value is None:
        return None
    is_laid_out_anew = own is not None and (last is None or own.before != last.before)
    layout = own if new is None or is_laid_out_anew else new
    return remarks[0] + layout.before + value[0] if layout and value[0] is not None and remarks[0] is not None else b""


def _of_one_side(last: bytes | None, own: bytes | None, new: bytes | None) -> tuple[bytes | None] | None:
    """Text of the one side that changed it; None where both did, each in its own way."""
    if own in (last, new):
        return (new,)
    return (own,) if new == last else None


def _inside_item(last: bytes, own: bytes, new: bytes, path: str) -> tuple[bytes] | None:
    """Item of YAML whose attributes both sides changed, merged by their names; None where they meet."""
    (_, *before), (_, *edited), (opening, *now) = map(lines_of, (last, own, new))
    if not (before and edited and now) or PurePosixPath(path).suffix != ".yaml":
        return None
    merged = with_assignments(Conflict(1, *map(b"".join, (before, edited, now))), path)
    return None if isinstance(merged, Conflict) else (opening + merged,)


def _assignments(text: bytes, suffix: str) -> _Assignments | None:
    """Assignments by their names; None where a stretch holds anything else, or a name twice."""
    assignments: dict[bytes, _Assignment] = {}
    remarks, lines = b"", lines_of(text)
    while lines:
        if REMARK.fullmatch(lines[0]):
            remarks += lines.pop(0)
            continue
        size = (_item_size(lines) if suffix == ".yaml" else 0) or _size(lines)
        part = _assignment(remarks, b"".join(lines[:size]), suffix)
        if part is None or part[0] in assignments:
            return None
        assignments[part[0]] = part[1]
        remarks, lines = b"", lines[size:]
    return {**assignments, _LAST: _Assignment(remarks, b"", b"")}


def _assignment(remarks: bytes, text: bytes, suffix: str) -> tuple[bytes, _Assignment] | None:
    """Name of an assignment or flag, and what it is; None for any other text."""
    is_yaml = suffix == ".yaml"
    first, *more = lines_of(text)
    if is_yaml and more:
        item = _ITEM.fullmatch(first) or _FLAG.fullmatch(first)
        if item is None or text.rstrip().endswith(b":"):
            return None
        at = _indent(first) if item.re is _FLAG else item.end("before")
        name = item["name"] if item["name"].startswith(b"--") else b"- " + item["name"]
        return name, _Assignment(remarks, text[:at], text[at:])
    if flag := _FLAG.fullmatch(text):
        is_item = is_yaml == (b"- " in flag["before"]) and (is_yaml or flag["value"].rstrip().endswith(b'",'))
        # Quotes that one side alone has are of its value.
        indent = _indent(text)
        return (flag["name"], _Assignment(remarks, text[:indent], text[indent:])) if is_item else None
    match = _ATTRIBUTE.fullmatch(text)
    if not match or _CONTINUED.fullmatch(match["value"]) or not _is_whole(match["value"], _ENDS[suffix]):
        return None
    if is_yaml and not match["before"].rstrip().endswith(b":"):
        return None
    return match["name"], _Assignment(remarks, match["before"], match["value"])


def _is_whole(value: bytes, end: bytes) -> bool:
    """Whether a value, which *end* ends, is closed: nothing of it may stand on the lines after it."""
    lines = lines_of(value)
    outline = _STRING.sub(b"", lines[0] if len(lines) == 1 else lines[0] + lines[-1])
    is_closed = all(
        outline.count(opened) == outline.count(closed) for opened, closed in zip(_OPENED, _CLOSED, strict=True)
    )
    return is_closed and b'"' not in outline and value.rstrip().endswith(end)


def _item_size(lines: list[bytes]) -> int:
    """How many lines an item of YAML takes: those deeper than its hyphen, or a flag and its values; 0 of other text."""
    indent = _indent(lines[0])
    if _ITEM.fullmatch(lines[0]):
        goes_on = [line.strip() != b"" and _indent(line) > indent for line in lines]
    elif _FLAG.fullmatch(lines[0]) and b"=" not in lines[0] and lines[0][indent:].startswith(b"- "):
        goes_on = [_indent(line) == indent and bool(_PLAIN_ITEM.fullmatch(line)) for line in lines]
    else:
        return 0
    return next((at for at in range(1, len(lines)) if not goes_on[at]), len(lines))


def _size(lines: list[bytes]) -> int:
    """How many lines the first attribute takes: up to the bracket of its own column where one is open at its end."""
    if not lines[0].rstrip().endswith(_OPENED):
        return 1
    indent = _indent(lines[0])
    ends = (at for at, line in enumerate(lines) if at and line[:indent].isspace() and line[indent:].startswith(_CLOSED))
    return next(ends, len(lines) - 1) + 1


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip())
