"""Files of many GiB, mapped and never read as a whole, and the fields of a protocol buffer in them.

Protocol buffers: https://protobuf.dev/programming-guides/encoding (2026-11).
"""

import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from advisor.errors import InputError
from advisor.reading import json_of

MOST_VALUES = 3_000_000
"""Largest header: twelve values for each of 250,000 tensors, or the objects of some 10,000 trees of scikit-learn."""


def header_of(text: str, where: str, hint: str) -> Any:  # noqa: ANN401 - any JSON value
    """Value of a JSON text.

    Args:
        text: the whole text.
        where: file and part of it, for messages.
        hint: remedy where it is no JSON.

    Raises:
        InputError: it may hold more values than are read, or as of :func:`advisor.reading.json_of`.
    """
    values = sum(text.count(mark) for mark in "[{,")  # each value follows one of them: an upper bound
    if values > MOST_VALUES:
        raise InputError(
            f"about {values:,} JSON values; {MOST_VALUES:,} are the most that are read",
            where=where,
            hint="save the model in several smaller files",
        )
    return json_of(text, where, hint)


class CutOff(Exception):  # noqa: N818 - caught by each reader, which knows the place
    """Content that ends before what it announces, or announces more than is allowed."""


def mapped(path: Path, what: str, hint: str) -> memoryview:
    """Bytes of a regular file; nothing is read before it is looked at.

    Raises:
        InputError: it cannot be opened, or is no file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"the {what} is no regular file", where=str(path), hint=hint)
        if not path.stat().st_size:
            raise InputError(f"the {what} is empty", where=str(path), hint=hint)
        return memoryview(np.memmap(path, dtype=np.uint8, mode="r"))  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(f"cannot read the {what}: {error.strerror or error}", where=str(path), hint=hint) from error


class Cursor:
    """A place in bytes, from which numbers and texts are taken one after the other."""

    def __init__(self, data: memoryview, at: int = 0) -> None:
        """Begin at byte *at*."""
        self.data = data
        self.at = at

    def take(self, count: int) -> memoryview:
        """The next *count* bytes, without a copy.

        Raises:
            CutOff: there are fewer.
        """
        if count < 0 or count > len(self.data) - self.at:
            raise CutOff(f"{count:,} bytes are announced at byte {self.at:,}, {len(self.data) - self.at:,} are left")
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def number(self, form: str) -> int:
        """A whole number; *form* is a code of :mod:`struct` with its byte order."""
        value = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return int(value)

    def text(self, count: int, most: int) -> str:
        """A text of *count* bytes, *most* of them allowed."""
        if count > most:
            raise CutOff(f"a text of {count:,} bytes at byte {self.at:,}; {most:,} are the most")
        return bytes(self.take(count)).decode("utf-8", "replace")


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
