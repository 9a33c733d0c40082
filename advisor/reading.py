"""Files that a person names, read within bounds of size, depth and length; each failure says how to fix it."""

import codecs
import json
import os
import re
import stat
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NoReturn, TextIO

from advisor.errors import InputError, OutputIsInput
from advisor.units import BYTES_PER_MIB

OMITTED_AT_DEFAULT: Mapping[str, Any] = MappingProxyType({"omitted_at_default": True})
"""Metadata of a field that documents leave out where it has its default."""
MOST_BYTES = 512 * BYTES_PER_MIB
"""Largest file that is read into memory: Terraform writes plans of some hundred MiB."""
IN_THE_WAY = "move it away: only files are read here"
MOST_DIGITS = 40
"""Longest whole number of a JSON text; a float holds 17 digits."""
_SAVE_ANEW = "save it as UTF-8"
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
_PATIENCE_SECONDS = 3.0
_PIECE_BYTES = BYTES_PER_MIB
_STDIN = "-"


def read_text(path: Path, what: str, hint: str = "", most_bytes: int = MOST_BYTES) -> str:
    """Text of a file, pipe or device in UTF-8, without a byte order mark, its lines ended by line feeds.

    ``-`` is the standard input. Messages call it *what*, such as "plan". Raises InputError if it cannot be read, is
    larger, or is not UTF-8.
    """
    decoder, text = codecs.getincrementaldecoder("utf-8-sig")(), ""
    try:
        for piece in _pieces(path, what, hint, most_bytes):
            text += decoder.decode(piece)  # grows in place: a large file is in memory once
        text += decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        line = 1 + text.count("\n") + error.object.count(b"\n", 0, error.start)
        told = f"the {what} is not UTF-8 text: byte {error.object[error.start]:#04x}"
        raise InputError(told, where=f"{path}:{line}", hint=hint or _SAVE_ANEW) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


class ResultFile:
    """The file that the result of the run replaces: readers refuse it as an input, before the work is done."""

    def __init__(self) -> None:
        """None is known yet."""
        self._path = Path()
        self._status: os.stat_result | None = None

    def guard(self, path: Path | None) -> None:
        """Guard what lies at *path*, if it is a file; None: nothing is guarded any more."""
        self._status = None
        with suppress(OSError, ValueError):
            status = path.stat() if path is not None else None
            if path is not None and status is not None and stat.S_ISREG(status.st_mode):
                self._path, self._status = path, status

    def refuse(self, path: Path) -> None:
        """Refuse to read the file whose place the result is to take, under whatever name or link.

        Raises:
            OutputIsInput: it is that file.
        """
        if self._status is None:
            return
        with suppress(OSError, ValueError):
            if os.path.samestat(path.stat(), self._status):
                told = f"the output {self._path} is an input of this run, and the result would be written over it"
                raise OutputIsInput(told, where=str(path), hint="write the result to another file")


RESULT_FILE = ResultFile()
"""Set by the option that names it, and asked by every reader."""


def check_regular(path: Path, what: str, hint: str = IN_THE_WAY) -> None:
    """Refuse a pipe or a device in the place of a file that nobody named: reading it might never end.

    Raises InputError if it is no regular file, or is not there.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"cannot read the {what}: {error.strerror or error}", where=str(path), hint=hint) from error
    except ValueError as error:
        raise _no_path(path, what) from error
    RESULT_FILE.refuse(path)
    if not stat.S_ISREG(mode):
        raise InputError(f"the {what} is not a regular file", where=str(path), hint=hint)


def read_json(path: Path, what: str, hint: str = "") -> Any:  # noqa: ANN401 - any JSON value
    """Value of a JSON file; see :func:`read_text` and :func:`json_of`."""
    return json_of(read_text(path, what, hint), str(path), hint)


def json_of(text: str, where: str, hint: str = "", *, allows_nan: bool = False) -> Any:  # noqa: ANN401 - any JSON value
    """Value of a JSON text; NaN and infinity are refused, as by the standard, unless it *allows_nan*.

    Raises InputError if it is not JSON, nests too deeply, repeats a key, holds a number of more than 40 digits, or half
    a character, which no file can hold.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_whole_number,
            parse_constant=float if allows_nan else _refuse_constant,
        )
        if _HALF_CHARACTER.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise InputError("not JSON that can be read: it nests too deeply", where=where, hint=hint) from None
    except UnicodeEncodeError:
        raise InputError("not JSON that can be read: a text holds half a character", where=where, hint=hint) from None
    except ValueError as error:
        raise InputError(f"not JSON: {error}", where=where, hint=hint) from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:MOST_DIGITS]!r} is there twice in one object")
    return fields


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, and {MOST_DIGITS} are the most")
    return int(digits)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


def _pieces(path: Path, what: str, hint: str, most_bytes: int) -> Iterator[bytes]:
    """Pieces of a file as they are read; see :func:`read_text`."""
    size = 0
    try:
        with _opened(path, what) as stream:
            while piece := stream.read(_PIECE_BYTES):
                size += len(piece)
                if size > most_bytes:
                    break
                yield piece
    except OSError as error:
        raise InputError(f"cannot read the {what}: {error.strerror or error}", where=str(path), hint=hint) from error
    except ValueError as error:
        raise _no_path(path, what) from error
    if size > most_bytes:
        raise InputError(f"the {what} is larger than {most_bytes / BYTES_PER_MIB:,.0f} MiB", where=str(path), hint=hint)


def _no_path(path: Path, what: str) -> InputError:
    """The error of a path that holds a zero byte, which JSON can write and no system takes."""
    told = f"cannot read the {what}: no path holds the character U+0000"
    return InputError(told, where=str(path).replace("\0", "\\0"), hint="take it out")


@contextmanager
def _opened(path: Path, what: str) -> Iterator[BinaryIO]:
    """A file, or the standard input, which stays open."""
    if str(path) == _STDIN:
        yield standard_input().buffer
        return
    RESULT_FILE.refuse(path)
    with _word_of_waiting(path, what), path.open("rb") as stream:
        yield stream


def standard_input() -> TextIO:
    """The standard input. Raises InputError if the program was started without any, as some schedulers do."""
    if sys.stdin is None:
        raise InputError("the standard input is closed", where=_STDIN, hint="give a file, or pipe the content in")
    return sys.stdin


def asks_a_person() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def _word_of_waiting(path: Path, what: str) -> Iterator[None]:
    """A line on stderr where a pipe keeps silent: nobody waits without knowing what for."""
    notice = threading.Timer(
        _PATIENCE_SECONDS, lambda: sys.stderr.write(f"waiting for the {what} from {path}, which is not a file\n")
    )
    notice.daemon = True
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        notice.start()
    try:
        yield
    finally:
        notice.cancel()
