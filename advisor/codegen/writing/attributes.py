"""Three-way merge of one entry by the names of its attributes, which have no order.

By lines, an edit meets whatever changed on the line beside it, and every line of the entry where the longest name, and
so the column of the signs, is another one. By names only an attribute that both sides changed is a conflict.
"""

import re
from collections.abc import Mapping

from advisor.codegen.writing.merging import lines_of
from advisor.records import dataclass

_ATTRIBUTE = re.compile(rb'( +"?([\w.-]+)"? *(?:=|:) *)(.*\n)', re.DOTALL)
_OPENED, _CLOSED = b"[({", b"])}"


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

    None where both changed one attribute, or where a text is more than an opening line, attributes and a closing one.
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


def _entry(text: bytes) -> _Entry | None:
    lines = lines_of(text)
    if len(lines) < len(("opening", "closing")) or lines[0].rstrip()[-1:] not in _OPENED:
        return None
    attributes: dict[bytes, tuple[bytes, bytes]] = {}
    inner = lines[1:-1]
    while inner:
        size = _size(inner)
        match = _ATTRIBUTE.fullmatch(b"".join(inner[:size]))
        if not match or match[2] in attributes:
            return None
        attributes[match[2]] = (match[1], match[3])
        inner = inner[size:]
    return _Entry(lines[0], attributes, lines[-1])


def _size(lines: list[bytes]) -> int:
    """How many lines the first attribute takes: up to the bracket of its own column where one is open at its end."""
    if lines[0].rstrip()[-1:] not in _OPENED:
        return 1
    indent = len(lines[0]) - len(lines[0].lstrip())
    ends = (
        at for at, line in enumerate(lines) if at and line[:indent].isspace() and line[indent : indent + 1] in _CLOSED
    )
    return next(ends, len(lines) - 1) + 1
