"""Universal Binary JSON, as XGBoost writes it: values with a letter in front, lists of numbers in one piece.

The format: https://ubjson.org (draft 12); XGBoost's "l" and "L" are signed and big-endian.
"""

from typing import Any

import numpy as np

from advisor.models.files.mapped import Cursor, CutOff

_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_WORDS = {"Z": None, "T": True, "F": False}
_MOST_DEPTH, _MOST_KEY, _MOST_TEXT, _MOST_VALUES = 64, 4096, 2**24, 5_000_000


def read_ubjson(data: memoryview) -> Any:  # noqa: ANN401 - any JSON value
    """The value that *data* holds; lists of numbers of one type are arrays.

    Raises:
        CutOff: it ends too early, nests too deeply, or is none.
    """
    reader = _Reader(Cursor(data))
    return reader.value(reader.letter(), 0)


class _Reader:
    """One pass, which counts the values that it has met."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.met = 0

    def letter(self) -> str:
        return chr(self.cursor.take(1)[0])

    def value(self, kind: str, depth: int) -> Any:  # noqa: ANN401 - any JSON value
        """The value behind a letter."""
        self.met += 1
        if depth > _MOST_DEPTH or self.met > _MOST_VALUES:
            raise CutOff("it nests too deeply" if depth > _MOST_DEPTH else f"more than {_MOST_VALUES:,} values")
        if kind in _NUMBERS:
            form = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.cursor.take(form.itemsize), dtype=form)[0].item()
        if kind in _WORDS:
            return _WORDS[kind]
        match kind:
            case "S" | "C":
                return self.cursor.text(self._length() if kind == "S" else 1, _MOST_TEXT)
            case "[":
                return self._list(depth)
            case "{":
                return self._object(depth)
            case _:
                raise CutOff(f"a value of type {kind!r} at byte {self.cursor.at:,}")

    def _length(self, kind: str = "") -> int:
        """A count; its letter may have been taken before."""
        kind = kind or self.letter()
        if kind not in "iUIlL":
            raise CutOff(f"a length of type {kind!r}")
        form = np.dtype(_NUMBERS[kind])
        length = int(np.frombuffer(self.cursor.take(form.itemsize), dtype=form)[0])
        if length < 0:
            raise CutOff(f"a length of {length}")
        return length

    def _list(self, depth: int) -> Any:  # noqa: ANN401 - a list or an array
        letter = self.letter()
        if letter == "$":
            kind, hash_sign = self.letter(), self.letter()
            if kind not in _NUMBERS or hash_sign != "#":
                raise CutOff(f"a list of values of type {kind!r}")
            form, count = np.dtype(_NUMBERS[kind]), self._length()
            return np.frombuffer(self.cursor.take(count * form.itemsize), dtype=form)
        if letter == "#":
            return [self.value(self.letter(), depth + 1) for _ in range(self._bounded(self._length()))]
        values = []
        while letter != "]":
            values.append(self.value(letter, depth + 1))
            letter = self.letter()
        return values

    def _object(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        letter = self.letter()
        if letter == "#":
            for _ in range(self._bounded(self._length())):
                key = self._key(self.letter())
                values[key] = self.value(self.letter(), depth + 1)
            return values
        while letter != "}":
            key = self._key(letter)
            values[key] = self.value(self.letter(), depth + 1)
            letter = self.letter()
        return values

    def _key(self, letter: str) -> str:
        return self.cursor.text(self._length(letter), _MOST_KEY)

    def _bounded(self, count: int) -> int:
        """A count of values, of which each takes a byte at least."""
        if count > len(self.cursor.data) - self.cursor.at:
            raise CutOff(f"{count:,} values are announced at byte {self.cursor.at:,}")
        return count
