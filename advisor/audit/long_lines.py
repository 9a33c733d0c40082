"""Lines of CSV longer than the database's buffer, which drops them without a word: they are looked for first."""

import gzip
import re
import zlib
from pathlib import Path
from typing import BinaryIO

from advisor.errors import InputError
from advisor.units import BYTES_PER_MIB

_STRIDE_BYTES = 32 * BYTES_PER_MIB
"""The database refuses lines over 16 MiB by itself while they fit its buffer of 256 MiB."""
_PIECE_BYTES = BYTES_PER_MIB
_LINE_END = re.compile(rb"[\r\n]")


def opened(path: Path) -> BinaryIO | gzip.GzipFile:
    """A file to read, unpacked where its name says that it is packed."""
    return gzip.open(path) if path.name.casefold().endswith(".gz") else path.open("rb")


def refuse_endless_lines(path: Path, what: str) -> None:
    """Refuse a file with a line of twice 32 MiB or more.

    Such a line covers a multiple of 32 MiB and as much after it. So of a plain file only the places after these
    multiples are read, up to the first line end; a packed one is read whole.

    Args:
        path: file, plain or packed.
        what: noun for messages.

    Raises:
        InputError: it has such a line, or is a damaged archive.
    """
    try:
        with opened(path) as stream:
            is_endless = _is_endless(stream) if isinstance(stream, gzip.GzipFile) else _is_endless_at_a_stride(stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"the {what} is a damaged gzip file", where=str(path)) from error
    if is_endless:
        reason = f"the {what} has a line of more than {_STRIDE_BYTES / BYTES_PER_MIB:g} MiB"
        raise InputError(reason, where=str(path), hint="see that the export is whole")


def _is_endless_at_a_stride(stream: BinaryIO) -> bool:
    size = stream.seek(0, 2)
    for start in range(0, size - _STRIDE_BYTES, _STRIDE_BYTES):
        stream.seek(start)
        if not any(_LINE_END.search(stream.read(_PIECE_BYTES)) for _ in range(_STRIDE_BYTES // _PIECE_BYTES)):
            return True
    return False


def _is_endless(stream: gzip.GzipFile) -> bool:
    since_end = 0
    while piece := stream.read(_PIECE_BYTES):
        end = max(piece.rfind(b"\n"), piece.rfind(b"\r"))
        since_end = since_end + len(piece) if end < 0 else len(piece) - end
        if since_end > _STRIDE_BYTES:
            return True
    return False
