"""Remote write 1.0: samples as a ``prometheus.WriteRequest`` in protobuf, compressed with Snappy.

::

    WriteRequest  1: repeated TimeSeries
    TimeSeries    1: repeated Label, in the order of their names   2: repeated Sample, in the order of time
    Label         1: name   2: value
    Sample        1: value (double)   2: timestamp (int64, ms since 1970)
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from advisor.samples.agent.labels import Label
from advisor.samples.agent.outbox.snappy import SnappyBlock, varint
from advisor.samples.agent.series import Labels, points_of
from advisor.samples.rows import Row

_DOUBLE = struct.Struct("<d")
_NAME = "__name__"
ENDED: float = _DOUBLE.unpack((0x7FF0000000000002).to_bytes(8, "little"))[0]
"""Prometheus's staleness marker: a NaN of its own, which is known by its bits."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series at one time."""

    name: str
    labels: Labels
    time_ms: int
    value: float


def samples_of(rows: Iterable[Row], static: tuple[Label, ...] = ()) -> list[Sample]:
    """The samples of rows, at the ends of their rows, in the order of time, with the static labels of their host."""
    samples = [
        Sample(point.name, point.labels, row.end_us // 1000, point.value)
        for row in rows
        for point in points_of(row, static)
    ]
    samples.sort(key=lambda sample: sample.time_ms)
    return samples


def end_markers(row: Row, end_us: int, static: tuple[Label, ...] = ()) -> list[Sample]:
    """For each series of a row the value with which remote write says that it has ended."""
    return [Sample(point.name, point.labels, end_us // 1000, ENDED) for point in points_of(row, static)]


def write_request(samples: Sequence[Sample]) -> bytes:
    """The body of a request."""
    series: defaultdict[tuple[str, Labels], list[Sample]] = defaultdict(list)
    for sample in samples:
        series[sample.name, sample.labels].append(sample)
    block = SnappyBlock()
    for (name, labels), points in series.items():
        pieces = (_label(_NAME, name), *_pieces(labels))
        values = [(_value(point.value), _time(point.time_ms)) for point in points]
        length = sum(map(len, pieces)) + sum(2 + len(value) + len(time) for value, time in values)
        block.add_once(b"\x0a" + varint(length))
        for piece in pieces:
            block.add(piece)
        for value, time in values:
            block.add_once(b"\x12" + bytes((len(value) + len(time),)) + value)
            block.add(time)
    return block.finish()


@lru_cache(maxsize=8192)
def _pieces(labels: Labels) -> tuple[bytes, ...]:
    """Labels encoded, in pieces that come again: those of the target, apart from the bound that differs."""
    bound = next((number for number, (name, _) in enumerate(labels) if name == "le"), len(labels))
    encoded = [_label(*label) for label in labels]
    return b"".join(encoded[:bound]), b"".join(encoded[bound : bound + 1]), b"".join(encoded[bound + 1 :])


@lru_cache(maxsize=8192)
def _label(name: str, value: str) -> bytes:
    content = _text(1, name) + _text(2, value)
    return b"\x0a" + varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    content = text.encode("utf-8", "replace")
    return bytes((field << 3 | 2,)) + varint(len(content)) + content


def _value(value: float) -> bytes:
    return b"\x09" + _DOUBLE.pack(value)


def _time(time_ms: int) -> bytes:
    return b"\x10" + varint(time_ms)
