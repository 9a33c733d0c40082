"""Messages of a source to the supervisor on a pipe, each its length and its content.

The targets are described once and then go by their number, so that a tick is small. Both ends are the same version of
the same program on the same machine, which is what lets the content be the interpreter's own serialisation (marshal):
it is the cheapest there is, and holds nothing but plain values.
"""

import marshal
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any

from advisor.samples.metrics import MOST_VALUE
from advisor.samples.rows import Buckets, Missed, Reading, Target

BEAT_SECONDS = 5.0
"""No silence is longer than this, unless the source itself is silent."""
_LENGTH = struct.Struct("<I")
_LONGEST = 64 * 1024 * 1024
"""Bytes: more is no message."""


class Word(IntEnum):
    """The first item of each message, and what follows it."""

    READY = 1
    """Description of what is seen."""
    TARGETS = 2
    """A list of targets; their numbers are their places in it."""
    TICK = 3
    """Tick in µs, cost in µs, µs between two ticks, why ticks before it were skipped, what was read."""
    BEAT = 4
    """Sign of life."""
    FAILED = 5
    """Message and hint: the end."""


class ProtocolError(Exception):
    """Bytes that are no message."""


def message(word: Word, *items: object) -> bytes:
    """One message."""
    content = marshal.dumps([int(word), *items])
    return _LENGTH.pack(len(content)) + content


class Reader:
    """Puts messages together from the pieces that a pipe gives, and readings from messages."""

    def __init__(self) -> None:
        """Begin without bytes and targets."""
        self._rest = b""
        self._targets: list[Target] = []

    def feed(self, piece: bytes) -> Iterator[tuple[Word, Sequence[Any]]]:
        """The messages that a piece completes, but for those that only name targets; a tick ends with its readings.

        Raises:
            ProtocolError: this is no message.
        """
        data, at = self._rest + piece, 0
        while len(data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, at)
            if length > _LONGEST:
                raise ProtocolError(f"a message of {length} bytes")
            if len(data) - at < _LENGTH.size + length:
                break
            at += _LENGTH.size
            word, items = _decoded(data[at : at + length])
            at += length
            if word is Word.TARGETS:
                self._targets = [Target(*target) for target in items[0]]
                continue
            if word is Word.TICK:
                items[4] = [_heard(target, entry) for target, entry in zip(self._targets, items[4], strict=True)]
            yield word, items
        self._rest = data[at:]


class Speaker:
    """Turns readings into messages: says who is meant only when that changes."""

    def __init__(self) -> None:
        """Nobody is known yet."""
        self._targets: list[Target] = []

    def tick(
        self, tick_us: int, cost_us: int, step_us: int, skipped: str | None, read: Sequence[Reading | Missed]
    ) -> bytes:
        """The messages of one tick."""
        targets = [each.target for each in read]
        said = b""
        if targets != self._targets:
            self._targets = targets
            said = message(Word.TARGETS, [_plain(target) for target in targets])
        return said + message(Word.TICK, tick_us, cost_us, step_us, skipped, [_entry(each) for each in read])


def _plain(target: Target) -> tuple[object, ...]:
    return (
        target.host, target.source, target.index, target.mig_index, target.uuid, target.name, target.endpoint,
    )  # fmt: skip


def _entry(each: Reading | Missed) -> tuple[object, ...]:
    """A reading or a miss in plain values; a number that is no measurement is left out."""
    if isinstance(each, Missed):
        return (each.reason,)
    values = {name: value for name, value in each.values.items() if abs(value) <= MOST_VALUE}
    if not each.buckets:
        return (values, each.note)
    return (values, each.note, {name: (kept.bounds, kept.counts, kept.total) for name, kept in each.buckets.items()})


def _heard(target: Target, entry: Sequence[Any]) -> Reading | Missed:
    if len(entry) == 1:
        return Missed(target, str(entry[0]))
    values, note, *buckets = entry
    known = {name: Buckets(*kept) for name, kept in buckets[0].items()} if buckets else {}
    return Reading(target, values, known, note)


def _decoded(content: bytes) -> tuple[Word, list[Any]]:
    try:
        word, *items = marshal.loads(content)  # noqa: S302 - written by this very program, see above
        return Word(word), items
    except (ValueError, TypeError, EOFError) as error:
        raise ProtocolError(str(error)) from error
