"""The block format of Snappy, for content that is put together from pieces which come again and again.

A search for matches byte by byte would cost more than it saves in this language. Who encodes knows better: most labels
of a series are those of the series before. A piece that was added before, not too far back, becomes a copy; everything
else is literal.
"""

_FARTHEST = 65535
_LONGEST_COPY = 64
_SHORTEST_COPY = 4
"""Bytes: a copy takes three."""


class SnappyBlock:
    """A block under construction."""

    def __init__(self) -> None:
        """Empty."""
        self._out = bytearray()
        self._literal = bytearray()
        self._size = 0
        self._seen: dict[bytes, int] = {}

    def add(self, piece: bytes) -> None:
        """Append a piece that may come again; an empty one is nothing."""
        at = self._seen.get(piece)
        self._seen[piece] = self._size
        if at is not None and len(piece) >= _SHORTEST_COPY and self._size - at <= _FARTHEST:
            self._flush()
            self._copy(self._size - at, len(piece))
        else:
            self._literal += piece
        self._size += len(piece)

    def add_once(self, piece: bytes) -> None:
        """Append a piece that is not worth remembering."""
        self._literal += piece
        self._size += len(piece)

    def finish(self) -> bytes:
        """The whole block; nothing can be added after it."""
        self._flush()
        return varint(self._size) + bytes(self._out)

    def _copy(self, distance: int, length: int) -> None:
        end = distance.to_bytes(2, "little")
        while length > 0:
            step = min(length, _LONGEST_COPY)
            self._out.append((step - 1) << 2 | 2)
            self._out += end
            length -= step

    def _flush(self) -> None:
        literal = self._literal
        if not literal:
            return
        length = len(literal) - 1
        if length < 60:
            self._out.append(length << 2)
        else:
            size = (length.bit_length() + 7) // 8
            self._out.append((59 + size) << 2)
            self._out += length.to_bytes(size, "little")
        self._out += literal
        self._literal = bytearray()


def varint(number: int) -> bytes:
    """A whole number of at most 64 bits, seven bits a byte, the lowest first; negative ones in two's complement."""
    rest = number & (1 << 64) - 1
    out = bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)
    return bytes(out)
