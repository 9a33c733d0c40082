"""Headers of GGUF, llama.cpp's format: metadata by name, then name, shape and block type of each tensor.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (2026-11), versions 2 and 3.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import InputError
from advisor.models.files.mapped import Cursor, CutOff, mapped
from advisor.models.files.tensors import MOST_ELEMENTS, MOST_NAME, Tensor

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_ENTRIES, _MOST_TENSORS, _MOST_WALKED, _MOST_DIMENSIONS, _MOST_PARTS = 65_536, 100_000, 3_000_000, 4, 1000
"""Values of lists that are walked in all: the largest vocabularies have 262,000 tokens, and 515,000 merges."""
_MOST_KEY, _MOST_KEPT = 65_535, 4096
_PART = re.compile(r"(.*)-(\d{1,5})-of-(\d{1,5})", re.ASCII | re.DOTALL)
_HINT = "download the file again, or convert the model anew with llama.cpp"
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_BLOCKS = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1),
    25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip
"""Name, weights and bytes of a block, by ``ggml_type``; ``GGML_QUANT_SIZES`` of the package gguf 0.19."""

Value = int | float | str | list[int | float]


@dataclass(frozen=True, slots=True)
class Gguf:
    """Header of a GGUF file."""

    metadata: dict[str, Value]
    """Numbers, and short texts and lists of numbers, by name."""
    lengths: dict[str, int]
    """Lengths of lists, such as the vocabulary's."""
    tensors: tuple[Tensor, ...]

    def number(self, name: str) -> int:
        """A whole number of the metadata; 0 where there is none. The largest, where layers differ."""
        value = self.metadata.get(name, 0)
        if isinstance(value, list):
            value = max(value, default=0)
        return int(value) if isinstance(value, (int, float)) and abs(value) < MOST_ELEMENTS else 0


def read_gguf(path: Path) -> Gguf:
    """Header of a file, with the tensors of all its parts where it is split.

    Raises:
        InputError: a part is missing, or a file is cut off or contradicts itself.
    """
    first, *others = _parts(path)
    header = _read(first)
    tensors = list(header.tensors)
    for part in others:
        tensors += _read(part).tensors
        if len(tensors) > _MOST_TENSORS:
            raise InputError(
                f"{len(tensors):,} tensors; {_MOST_TENSORS:,} are the most that a model may have",
                where=str(part),
                hint=_HINT,
            )
    return Gguf(header.metadata, header.lengths, tuple(tensors))


def _parts(path: Path) -> list[Path]:
    """``x-00001-of-00003.gguf`` and its siblings, or the file alone."""
    match = _PART.fullmatch(path.stem)
    if match is None or not 1 <= int(match[3]) <= _MOST_PARTS:
        return [path]
    base, number, total = match.groups()
    parts = [path.with_name(f"{base}-{part:0{len(number)}d}-of-{total}.gguf") for part in range(1, int(total) + 1)]
    absent = next((part for part in parts if not part.is_file()), None)
    if absent is not None:
        raise InputError(f"the part {absent.name} is missing", where=str(path), hint="keep all parts in one folder")
    return parts


def _read(path: Path) -> Gguf:
    data = mapped(path, "GGUF file", _HINT)
    try:
        return _Reader(Cursor(data)).header()
    except (CutOff, struct.error) as error:
        raise InputError(f"no sound GGUF header: {error}", where=str(path), hint=_HINT) from error


class _Reader:
    """One pass over a header."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.walked = 0
        self.metadata: dict[str, Value] = {}
        self.lengths: dict[str, int] = {}

    def header(self) -> Gguf:
        cursor = self.cursor
        if bytes(cursor.take(4)) != MAGIC:
            raise CutOff("it does not begin with GGUF")
        version = cursor.number("<I")
        if version not in _VERSIONS:
            raise CutOff(f"version {version} is not known; known are 2 and 3")
        tensors, entries = cursor.number("<Q"), cursor.number("<Q")
        if tensors > _MOST_TENSORS or entries > _MOST_ENTRIES:
            raise CutOff(
                f"{tensors:,} tensors and {entries:,} entries; {_MOST_TENSORS:,} and {_MOST_ENTRIES:,} are most"
            )
        for _ in range(entries):
            self._entry()
        listed = [self._tensor() for _ in range(tensors)]
        self._check_length(listed)
        return Gguf(self.metadata, self.lengths, tuple(tensor for tensor, _ in listed))

    def _entry(self) -> None:
        name = self._text(_MOST_KEY)
        kind = self.cursor.number("<I")
        if kind == _ARRAY:
            self._list(name)
        elif kind == _STRING:
            text = self.cursor.take(self.cursor.number("<Q"))
            if len(text) <= _MOST_KEPT:
                self.metadata[name] = bytes(text).decode("utf-8", "replace")
        else:
            self.metadata[name] = self._number(kind)

    def _list(self, name: str) -> None:
        """A list: its length is kept, and short ones of numbers whole."""
        kind, count = self.cursor.number("<I"), self.cursor.number("<Q")
        self.lengths[name] = count
        if kind in _NUMBERS and count > _MOST_KEPT:
            self.cursor.take(count * struct.calcsize(_NUMBERS[kind]))
            return
        self.walked += count
        if kind not in (_STRING, *_NUMBERS) or self.walked > _MOST_WALKED:
            raise CutOff(
                f"list {name[:60]!r} of {count:,} values of type {kind}; numbers and texts are read, "
                f"{_MOST_WALKED:,} of them in all lists"
            )
        if kind in _NUMBERS:
            data = self.cursor.take(count * struct.calcsize(_NUMBERS[kind]))
            self.metadata[name] = [value for (value,) in struct.iter_unpack(_NUMBERS[kind], data)]
            return
        for _ in range(count):
            self.cursor.take(self.cursor.number("<Q"))

    def _number(self, kind: int) -> int | float:
        form = _NUMBERS.get(kind)
        if form is None:
            raise CutOff(f"a value of type {kind} before byte {self.cursor.at:,}")
        value: int | float = struct.unpack(form, self.cursor.take(struct.calcsize(form)))[0]
        return value

    def _text(self, most: int) -> str:
        return self.cursor.text(self.cursor.number("<Q"), most)

    def _tensor(self) -> tuple[Tensor, int]:
        """A tensor, and the byte of the data that it ends before."""
        name = self._text(MOST_NAME)
        count = self.cursor.number("<I")
        if count > _MOST_DIMENSIONS:
            raise CutOff(f"tensor {name[:60]!r} has {count:,} dimensions; 4 are the most")
        shape = tuple(self.cursor.number("<Q") for _ in range(count))[::-1]  # the format lists the innermost first
        kind, offset = self.cursor.number("<I"), self.cursor.number("<Q")
        storage, block, size = _BLOCKS.get(kind, ("", 1, 0))
        tensor = Tensor(name, shape, storage, 8 * size / block)
        if not storage or tensor.elements > MOST_ELEMENTS or (shape and shape[-1] % block):
            raise CutOff(f"tensor {name[:60]!r} of type {kind} and shape {list(shape)} is none that blocks can hold")
        return tensor, offset + tensor.bytes

    def _check_length(self, listed: list[tuple[Tensor, int]]) -> None:
        alignment = self.metadata.get("general.alignment", 32)
        step = alignment if isinstance(alignment, int) and 0 < alignment <= 2**20 else 32
        start = -(-self.cursor.at // step) * step
        needed = start + max((end for _, end in listed), default=0)
        if needed > len(self.cursor.data):
            raise CutOff(f"its tensors need {needed:,} bytes, the file has {len(self.cursor.data):,}")
