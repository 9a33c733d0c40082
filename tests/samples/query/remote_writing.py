"""Samples into a real server by remote write, and nothing else: the smallest encoder that they take."""

import http.client
import struct
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

PATH = "/api/v1/write"
_SERIES_AT_ONCE = 200
_SAMPLES_AT_ONCE = 5_000

Points = Sequence[tuple[int, float]]
"""Milliseconds since 1970, value."""


def write(url: str, series: Sequence[tuple[Mapping[str, str], Points]]) -> None:
    """Send all points of all series, ``__name__`` among their labels."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    longest = max(len(points) for _, points in series)
    for first in range(0, longest, _SAMPLES_AT_ONCE):
        for at in range(0, len(series), _SERIES_AT_ONCE):
            some = [
                (labels, points[first : first + _SAMPLES_AT_ONCE])
                for labels, points in series[at : at + _SERIES_AT_ONCE]
            ]
            body = _snappy(b"".join(_field(1, _series(labels, points)) for labels, points in some if points))
            headers = {
                "Content-Encoding": "snappy",
                "Content-Type": "application/x-protobuf",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
            }
            connection.request("POST", PATH, body, headers)
            with connection.getresponse() as response:
                said = response.read()
                assert response.status // 100 == 2, said
    connection.request("GET", "/internal/force_flush")  # VictoriaMetrics shows what was written a second later
    with connection.getresponse() as response:
        response.read()
    connection.close()


def _series(labels, points):
    names = b"".join(
        _field(1, _field(1, key.encode()) + _field(2, value.encode())) for key, value in sorted(labels.items())
    )
    return names + b"".join(
        _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at)) for at, value in points
    )


def _field(number, content):
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value):
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _snappy(content):
    """The block format without compression: literals of at most 64 KiB."""
    parts = [_varint(len(content))]
    for first in range(0, len(content), 65_536):
        literal = content[first : first + 65_536]
        parts += [b"\xf4", struct.pack("<H", len(literal) - 1), literal]
    return b"".join(parts)
