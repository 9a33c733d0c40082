"""Rows and gaps as lines of a file: JSON, compressed (zlib, whose checksum proves it) and in base64.

A line has what was written at once, and a damaged place costs the lines that it touches and no others. The JSON is a
list of objects. Their target is the list of its fields; a value of a row is ``[least, mean, greatest, last, n]`` for a
gauge and ``[last, n]`` for a counter, and a histogram is ``[bounds, counts, total]``.

Standard library only: the agent imports this on inference hosts.
"""

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan
from typing import Any, BinaryIO
from zlib import compress, decompressobj
from zlib import error as zlib_error

from advisor.samples.metrics import MOST_VALUE
from advisor.samples.rows import Buckets, Gap, Record, Row, Stats, Target

MOST_BYTES = 16 << 20
"""A line of more than that, compressed or not, is none of ours."""
_MOST_US = 2**57
"""Year 6536: dates end soon after."""
_MOST_TICKS = 2**31 - 1
_MOST_READINGS = 2**15 - 1
_LEVEL = 1


def line_of(records: Sequence[Record]) -> bytes:
    """Rows and gaps as a line, with its end."""
    content = json.dumps([_fields_of(record) for record in records], separators=(",", ":"))
    return b2a_base64(compress(content.encode(), _LEVEL))


def read_lines(stream: BinaryIO) -> Iterator[Sequence[Record] | int]:
    """The records of each whole line; of any other the number of its bytes."""
    while line := stream.readline(MOST_BYTES):
        try:
            yield [_record_of(fields) for fields in json.loads(_content_of(line))]
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError, zlib_error):
            yield len(line)


def _content_of(line: bytes) -> bytes:
    """Decompressed content; ValueError: the line is cut short, or far too long."""
    decompress = decompressobj()
    content = decompress.decompress(a2b_base64(line), MOST_BYTES)
    if not decompress.eof:
        raise ValueError("cut short, or far too long")
    return content


def _fields_of(record: Record) -> dict[str, Any]:
    """Plain values: JSON as Python writes it has NaN and infinity too."""
    target = record.target
    fields: dict[str, Any] = {
        "target": [
            target.host, target.source, target.index, target.mig_index, target.uuid, target.name, target.endpoint
        ],
        "end_us": record.end_us,
        "missed_ticks": min(record.missed_ticks, _MOST_TICKS),  # a clock may be set forward by decades
    }  # fmt: skip
    if isinstance(record, Gap):
        return {**fields, "start_us": record.start_us, "reason": record.reason}
    buckets = {name: [kept.bounds, kept.counts, kept.total] for name, kept in record.buckets.items()}
    return {**fields, "stats": _plain_stats(record.stats), "buckets": buckets, "note": record.note}


def _plain_stats(stats: Mapping[str, Stats]) -> dict[str, Sequence[float]]:
    return {
        name: (kept.last, kept.n) if isnan(kept.mean) else (kept.least, kept.mean, kept.greatest, kept.last, kept.n)
        for name, kept in stats.items()
    }


def _record_of(fields: Mapping[str, Any]) -> Record:
    """A row or gap, with every value of its type: another host that shares the directory may have written it.

    Raises:
        ValueError, TypeError, KeyError, ArithmeticError: these are not its fields.
    """
    host, source, index, mig_index, *texts = fields["target"]
    uuid, name, endpoint = map(_text_or_none, texts)
    target = Target(_text(host), _text(source), _integer(index), _integer(mig_index), uuid, name, endpoint)
    end_us, missed_ticks = _whole(fields["end_us"]), _whole(fields["missed_ticks"], _MOST_TICKS)
    if "reason" in fields:
        return Gap(target, _whole(fields["start_us"]), end_us, missed_ticks, _text(fields["reason"]))
    stats = {str(name): _stats_of(*kept) for name, kept in fields["stats"].items()}
    buckets = {
        str(name): Buckets(tuple(map(float, bounds)), tuple(map(float, counts)), float(total))
        for name, (bounds, counts, total) in fields["buckets"].items()
    }
    return Row(target, end_us, stats, buckets, missed_ticks, _text_or_none(fields["note"]))


def _stats_of(*kept: float) -> Stats:
    *values, readings = kept
    least, mean, greatest, last = map(float, (nan, nan, nan, *values) if len(values) == 1 else values)
    if any(abs(value) > MOST_VALUE for value in values):
        raise ValueError("out of bounds")
    return Stats(least, mean, greatest, last, _whole(readings, _MOST_READINGS))


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _text(value: object) -> str:
    """Text that UTF-8 can hold: JSON can name half a surrogate pair."""
    return str(value).encode(errors="replace").decode()


def _integer(number: float | None) -> int | None:
    return None if number is None else _whole(number, _MOST_TICKS)


def _whole(number: float, most: int = _MOST_US) -> int:
    if not 0 <= number <= most:
        raise ValueError("out of bounds")
    return int(number)
