"""The wire format of protocol buffers: fields of a message one after the other, without a schema and without copies.

https://protobuf.dev/programming-guides/encoding (2026-11).
"""

import struct
from collections.abc import Iterator

from advisor.models.files.mapped import CutOff

_MOST_VARINT_BYTES = 10
_FIXED = {1: 8, 5: 4}


def fields_of(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: a whole number, or the bytes of a text, a message or a float.

    Raises:
        CutOff: a field is longer than what is left, or of a kind that is no longer in use.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise CutOff(f"a field of wire type {kind}")
        if length > end - at:
            raise CutOff(f"a field of {length:,} bytes where {end - at:,} are left")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of up to 64 bits in groups of seven, and the place behind it."""
    value = 0
    for step in range(_MOST_VARINT_BYTES):
        if at + step >= len(message):
            raise CutOff("a number is cut off")
        group = message[at + step]
        value |= (group & 0x7F) << (7 * step)
        if group < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + step + 1
    raise CutOff("a number of more than ten bytes")


def signed(value: int) -> int:
    """A 64-bit number with its sign."""
    return value - 2**64 if value >= 2**63 else value


def integers(value: int | memoryview) -> list[int]:
    """Numbers of a repeated field, which may be packed into one."""
    if isinstance(value, int):
        return [signed(value)]
    numbers, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        numbers.append(signed(number))
    return numbers


def text(value: int | memoryview, most: int = 4096) -> str:
    """A text, cut at *most* bytes."""
    return "" if isinstance(value, int) else bytes(value[:most]).decode("utf-8", "replace")


def float_of(value: int | memoryview) -> float:
    """A 32-bit float."""
    if isinstance(value, int) or len(value) != 4:
        raise CutOff("a float of another length than four bytes")
    return float(struct.unpack("<f", value)[0])
