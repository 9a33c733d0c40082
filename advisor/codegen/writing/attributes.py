"""Three-way merge of one entry by the names of its attributes, which have no order.

By lines, an edit meets whatever changed on the line beside it, and every line of the entry where the longest name, and
so the column of the signs, is another one. By names only an attribute that both sides changed is a conflict.
"""

import re
from collections.abc import Mapping

from advisor.codegen.writing.merging import lines_of
from advisor.records import dataclass

_ATTRIBUTE = re.compile(
    rb'(?P<before> +(?P<quote>"?)(?P<name>[\w.-]+)(?P=quote) *(?:=(?!=)|:) *)(?P<value>.*\n)', re.DOTALL
)
_STRING = re.compile(rb'"(?:\\.|[^"\\\n])*"')
_OPENED, _CLOSED = (b"[", b"(", b"{"), (b"]", b")", b"}")
_TERRAFORM = b" = {"
"""End of an entry's opening line in Terraform, where no commas part attributes."""


@dataclass(frozen=True, slots=True)
class _Entry:
    opening: bytes
    attributes: Mapping[bytes, tuple[bytes, bytes]]
    """Name → what stands before the value, and the value."""
    closing: bytes

    def value(self, name: bytes) -> bytes | None:
        """None where the entry has no such attribute."""
        return self.attributes[name][1] if name in self.attributes else None


def merge_attributes(base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
    """The entry as *theirs* lays it out, with the edits of *mine*.

    None where both changed one attribute, or where a text is more than an opening line, attributes and a closing one,
    each attribute with its brackets and quotes closed and, in Python, its comma.
    """
    last, own, new = (_entry(text) for text in (base, mine, theirs))
    if last is None or own is None or new is None or own.opening != last.opening:
        return None
    names = (*new.attributes, *(name for name in own.attributes if name not in new.attributes))
    kept: list[bytes] = []
    for name in names:
        before, edited, now = (entry.value(name) for entry in (last, own, new))
        if edited != before and now not in (before, edited):
            return None
        value = now if edited == before else edited
        if value is not None:
            kept.append((new if name in new.attributes else own).attributes[name][0] + value)
    return new.opening + b"".join(kept) + new.closing


def has_same_attributes(text: bytes, other: bytes) -> bool:
    """Whether two entries have the same values under the same names, in any order."""
    entries = (_entry(text), _entry(other))
    values = [entry and {name: value for name, (_, value) in entry.attributes.items()} for entry in entries]
    return values[0] is not None and values[0] == values[1]


def repeated_names(text: bytes) -> frozenset[bytes]:
    """Names that stand more than once in one block: no language of the generated code takes them."""
    blocks: list[tuple[int, set[bytes]]] = [(-1, set())]
    repeated: set[bytes] = set()
    for line in lines_of(text):
        indent = _indent(line)
        # By columns too: a program in a text has brackets of its own.
        while line[indent:].startswith(_CLOSED) and blocks[-1][0] >= indent:
            blocks.pop()
        if match := _ATTRIBUTE.fullmatch(line):
            repeated |= blocks[-1][1] & {match["name"]}
            blocks[-1][1].add(match["name"])
        if line.rstrip().endswith(_OPENED):
            blocks.append((indent, set()))
    return frozenset(repeated)


def _entry(text: bytes) -> _Entry | None:
    lines = lines_of(text)
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


def _is_whole(value: bytes, end: bytes) -> bool:
    """Whether a value, which *end* ends, is closed: nothing of it may stand on the lines after it."""
    lines = lines_of(value)
    outline = _STRING.sub(b"", lines[0] if len(lines) == 1 else lines[0] + lines[-1])
    is_closed = all(
        outline.count(opened) == outline.count(closed) for opened, closed in zip(_OPENED, _CLOSED, strict=True)
    )
    return is_closed and b'"' not in outline and value.rstrip().endswith(end)


def _size(lines: list[bytes]) -> int:
    """How many lines the first attribute takes: up to the bracket of its own column where one is open at its end."""
    if not lines[0].rstrip().endswith(_OPENED):
        return 1
    indent = _indent(lines[0])
    ends = (at for at, line in enumerate(lines) if at and line[:indent].isspace() and line[indent:].startswith(_CLOSED))
    return next(ends, len(lines) - 1) + 1


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip())
