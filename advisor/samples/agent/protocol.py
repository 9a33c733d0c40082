"""Messages of a source to the supervisor on a pipe, each its length and its content.

Both ends are the same version of the same program on the same machine, and only this program writes to the pipe
(:mod:`advisor.samples.agent.child` takes standard output away from vendors' libraries): the content is pickled.
"""

import pickle
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any

BEAT_SECONDS = 5.0
"""No silence is longer than this, unless the source itself is silent."""
_LENGTH = struct.Struct("<I")
_LONGEST = 64 * 1024 * 1024
"""Bytes: more is not a message."""


class Word(IntEnum):
    """The first item of each message, and what follows it."""

    READY = 1
    """Description of what is seen."""
    TICK = 2
    """Tick in µs, cost in µs, µs between two ticks, why ticks before it were skipped, what was read."""
    BEAT = 3
    """Sign of life."""
    FAILED = 4
    """Message and hint: the end."""


class ProtocolError(Exception):
    """Bytes that are not a message."""


def message(word: Word, *items: object) -> bytes:
    """One message."""
    content = pickle.dumps((word, *items), pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content


class Reader:
    """Puts messages together from the pieces that a pipe gives."""

    def __init__(self) -> None:
        """Begin without bytes."""
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[tuple[Word, Sequence[Any]]]:
        """The messages that a piece completes. Raises ProtocolError if this is not a message."""
        data, at = self._rest + piece, 0
        while len(data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, at)
            if length > _LONGEST:
                raise ProtocolError(f"a message of {length} bytes")
            if len(data) - at < _LENGTH.size + length:
                break
            at += _LENGTH.size
            try:
                word, *items = pickle.loads(data[at : at + length])  # noqa: S301 - written by this very program, see above
                word = Word(word)
            except Exception as error:
                raise ProtocolError(str(error)) from error
            yield word, items
            at += length
        self._rest = data[at:]
