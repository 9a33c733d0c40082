"""Rows and gaps as frames of bytes, for the spool and for pipes: whatever is damaged, the rest is read.

A frame is, in little endian::

    magic    4 bytes   "ASF" and the version of the format, "1"
    length   uint32    of the payload, in bytes
    crc      uint32    CRC-32 of length and payload
    payload  kind (uint8) and what follows from it

==========  ==========================================================================================================
kind        payload after it
==========  ==========================================================================================================
1 target    JSON of its fields
2 layout    JSON list of the names of a row's values; one with "+" has all statistics, any other only last and n
3 row       digest of target, digest of layout, end (µs), missed ticks; for each value of the layout its doubles and n;
            histograms: number of them, then each name, number of buckets, bounds, counts and sum; note
4 gap       digest of target, start and end (µs), missed ticks, reason
==========  ==========================================================================================================

Rows name target and layout by the first 8 bytes of a BLAKE2 digest of that frame's payload. A definition can so stand
anywhere in a file, before or after the rows that need it, and more than once.

Standard library only: the agent imports this on inference hosts.
"""

import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Protocol

from advisor.samples.rows import Buckets, Gap, Record, Row, Stats, Target

MAGIC = b"ASF1"
LONGEST_PAYLOAD_BYTES = 1 << 20
"""A frame that claims to be longer is damaged."""

_HEADER = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")
_SHORT = struct.Struct("<H")
_TARGET, _LAYOUT, _ROW, _GAP = 1, 2, 3, 4
_ROW_HEAD = struct.Struct("<B8s8sqI")
_GAP_HEAD = struct.Struct("<B8sqqI")
_DIGEST_BYTES = 8
_FULL = "+"
_LONGEST_TEXT_BYTES = 4096
_READ_BYTES = 1 << 16

Layout = tuple[str, ...]


class ByteStream(Protocol):
    """Something that bytes come from: a file, a pipe, memory."""

    def read1(self, size: int, /) -> bytes:
        """What is there, at most so many bytes, waiting only when there is nothing; empty at the end."""
        ...


def frame_bytes(record: Record) -> bytes:
    """A row or gap with all that is needed to read it, for a pipe."""
    return b"".join((*(frame for _, frame in definitions(record)), record_frame(record)))


def definitions(record: Record) -> list[tuple[bytes, bytes]]:
    """Digest and frame of what the frame of a record refers to: its target, and of a row its layout."""
    needed = [_target_definition(record.target)]
    if isinstance(record, Row):
        needed.append(_layout_definition(_layout_of(record.stats)))
    return needed


def record_frame(record: Record) -> bytes:
    """A row or gap as a frame that refers to its definitions."""
    target = _target_definition(record.target)[0]
    if isinstance(record, Gap):
        head = _GAP_HEAD.pack(_GAP, target, record.start_us, record.end_us, record.missed_ticks)
        return _framed(head + _text(record.reason))
    layout = _layout_of(record.stats)
    numbers: list[float] = []
    for name, stats in zip(layout, record.stats.values(), strict=True):
        if name.endswith(_FULL):
            numbers += (stats.least, stats.mean, stats.greatest)
        numbers += (stats.last, stats.n)
    head = _ROW_HEAD.pack(_ROW, target, _layout_definition(layout)[0], record.end_us, record.missed_ticks)
    histograms = b"".join(_histogram(name, buckets) for name, buckets in record.buckets.items())
    values = _values_struct(layout).pack(*numbers)
    return _framed(b"".join((head, values, bytes((len(record.buckets),)), histograms, _text(record.note or ""))))


class FrameReader:
    """Records of a stream of frames; an iterator that never raises over bad bytes, and counts them."""

    def __init__(self, stream: ByteStream) -> None:
        """Nothing is read until the first record is asked for."""
        self._stream = stream
        self._buffer = bytearray()
        self._definitions: dict[bytes, Target | Layout] = {}
        self._waiting: list[bytes] = []
        self._skipped_bytes = 0
        self._records = self._read()

    @property
    def skipped_bytes(self) -> int:
        """Bytes so far that were no whole frame, or that nothing was found to read with."""
        return self._skipped_bytes

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def __next__(self) -> Record:
        return next(self._records)

    def _read(self) -> Iterator[Record]:
        for payload in self._payloads():
            if payload[0] in (_TARGET, _LAYOUT):
                yield from self._define(payload)
            elif payload[0] in (_ROW, _GAP):
                yield from self._decode(payload)
            else:
                self._skip(payload)
        for payload in self._waiting:
            self._skip(payload)

    def _skip(self, payload: bytes) -> None:
        self._skipped_bytes += _HEADER.size + len(payload)

    def _define(self, payload: bytes) -> Iterator[Record]:
        """Learn a definition, and read what waited for it."""
        digest = _digest(payload)
        if digest in self._definitions:
            return
        try:
            self._definitions[digest] = _definition_of(payload)
        except (ValueError, TypeError, AttributeError):
            self._skip(payload)
            return
        waiting, self._waiting = self._waiting, []
        for earlier in waiting:
            yield from self._decode(earlier)

    def _decode(self, payload: bytes) -> Iterator[Record]:
        try:
            yield _record_of(payload, self._definitions)
        except KeyError:
            self._waiting.append(payload)
        except (ValueError, TypeError, struct.error):
            self._skip(payload)

    def _payloads(self) -> Iterator[bytes]:
        """Payloads of whole frames; after anything else the next magic is looked for."""
        while self._fill(_HEADER.size):
            magic, length, crc = _HEADER.unpack_from(self._buffer)
            if magic != MAGIC or not 0 < length <= LONGEST_PAYLOAD_BYTES or not self._fill(_HEADER.size + length):
                self._resynchronise()
                continue
            payload = bytes(self._buffer[_HEADER.size : _HEADER.size + length])
            if _crc(payload) != crc:
                self._resynchronise()
                continue
            del self._buffer[: _HEADER.size + length]
            yield payload
        self._skipped_bytes += len(self._buffer)

    def _resynchronise(self) -> None:
        """Drop what comes before the next magic, or before what may be the begin of one."""
        found = self._buffer.find(MAGIC, 1)
        dropped = found if found > 0 else max(len(self._buffer) - len(MAGIC) + 1, 1)
        self._skipped_bytes += dropped
        del self._buffer[:dropped]

    def _fill(self, size: int) -> bool:
        """Read until there are so many bytes; False when there are not."""
        while len(self._buffer) < size:
            more = self._stream.read1(_READ_BYTES)
            if not more:
                return False
            self._buffer += more
        return True


def read_frames(stream: ByteStream) -> FrameReader:
    """Rows and gaps of a stream, as they come.

    Torn tails and garbage are skipped: the reader goes on at the next magic, takes only what its checksum proves, and
    tells in :attr:`FrameReader.skipped_bytes` how much it left out.
    """
    return FrameReader(stream)


def _framed(payload: bytes) -> bytes:
    return _HEADER.pack(MAGIC, len(payload), _crc(payload)) + payload


def _crc(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))


def _digest(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_DIGEST_BYTES).digest()


@lru_cache(maxsize=4096)
def _target_definition(target: Target) -> tuple[bytes, bytes]:
    values = {field.name: getattr(target, field.name) for field in fields(Target)}
    payload = bytes((_TARGET,)) + json.dumps(values, separators=(",", ":")).encode()
    return _digest(payload), _framed(payload)


@lru_cache(maxsize=1024)
def _layout_definition(layout: Layout) -> tuple[bytes, bytes]:
    payload = bytes((_LAYOUT,)) + json.dumps(layout, separators=(",", ":")).encode()
    return _digest(payload), _framed(payload)


def _layout_of(stats: Mapping[str, Stats]) -> Layout:
    """Names of a row's values, marked where there is more than the last."""
    return tuple(name if math.isnan(one.mean) else name + _FULL for name, one in stats.items())


@lru_cache(maxsize=1024)
def _values_struct(layout: Layout) -> struct.Struct:
    return struct.Struct("<" + "".join("ddddH" if name.endswith(_FULL) else "dH" for name in layout))


@cache
def _doubles(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}d")


def _text(text: str) -> bytes:
    """A text with its length before it; one that is too long is cut."""
    encoded = text.encode(errors="replace")[:_LONGEST_TEXT_BYTES]
    return _SHORT.pack(len(encoded)) + encoded


def _histogram(name: str, buckets: Buckets) -> bytes:
    bounds = len(buckets.bounds)
    doubles = _doubles(2 * bounds + 1).pack(*buckets.bounds, *buckets.counts, buckets.total)
    return _text(name) + _SHORT.pack(bounds) + doubles


def _definition_of(payload: bytes) -> Target | Layout:
    value = json.loads(payload[1:])
    if payload[0] == _LAYOUT:
        return tuple(str(name) for name in value)
    known = {field.name for field in fields(Target)}
    return Target(**{name: one for name, one in value.items() if name in known})


def _record_of(payload: bytes, known: Mapping[bytes, Target | Layout]) -> Record:
    """A row or gap; KeyError: a definition that it needs has not been read."""
    if payload[0] == _GAP:
        _, digest, start_us, end_us, missed_ticks = _GAP_HEAD.unpack_from(payload)
        reason, _ = _text_at(payload, _GAP_HEAD.size)
        return Gap(_known_target(known, digest), start_us, end_us, missed_ticks, reason)
    _, digest, layout_digest, end_us, missed_ticks = _ROW_HEAD.unpack_from(payload)
    target, layout = _known_target(known, digest), known[layout_digest]
    if isinstance(layout, Target):
        raise TypeError("a target stands where a layout should")
    values = _values_struct(layout)
    at = _ROW_HEAD.size + values.size
    stats = _stats_of(layout, iter(values.unpack_from(payload, _ROW_HEAD.size)))
    buckets, at = _histograms_at(payload, at)
    note, _ = _text_at(payload, at)
    return Row(target, end_us, stats, buckets, missed_ticks, note or None)


def _known_target(known: Mapping[bytes, Target | Layout], digest: bytes) -> Target:
    target = known[digest]
    if not isinstance(target, Target):
        raise TypeError("a layout stands where a target should")
    return target


def _stats_of(layout: Layout, numbers: Iterator[float]) -> dict[str, Stats]:
    stats = {}
    for name in layout:
        if name.endswith(_FULL):
            least, mean, greatest, last = next(numbers), next(numbers), next(numbers), next(numbers)
            stats[name.removesuffix(_FULL)] = Stats(least, mean, greatest, last, int(next(numbers)))
        else:
            stats[name] = Stats(math.nan, math.nan, math.nan, next(numbers), int(next(numbers)))
    return stats


def _histograms_at(payload: bytes, at: int) -> tuple[dict[str, Buckets], int]:
    """Histograms of a row, and where they end."""
    if at >= len(payload):
        raise ValueError("a row ends before its histograms")
    count = payload[at]
    at += 1
    histograms = {}
    for _ in range(count):
        name, at = _text_at(payload, at)
        (bounds,) = _SHORT.unpack_from(payload, at)
        doubles = _doubles(2 * bounds + 1)
        numbers = doubles.unpack_from(payload, at + _SHORT.size)
        at += _SHORT.size + doubles.size
        histograms[name] = Buckets(numbers[:bounds], numbers[bounds:-1], numbers[-1])
    return histograms, at


def _text_at(payload: bytes, at: int) -> tuple[str, int]:
    """A text, and where it ends."""
    (length,) = _SHORT.unpack_from(payload, at)
    end = at + _SHORT.size + length
    return payload[at + _SHORT.size : end].decode(errors="replace"), end
