"""Headers of safetensors: eight bytes with a length, a JSON object of that length, then the numbers, never read.

The format: https://huggingface.co/docs/safetensors (2026-11). An index file names the shards of a model that is spread
over several.

Files of many GiB are mapped and never read as a whole. Protocol buffers in them:
https://protobuf.dev/programming-guides/encoding (2026-11).
"""

import stat
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from advisor.errors import InputError
from advisor.reading import RESULT_FILE, json_of, read_json
from advisor.records import dataclass

MOST_VALUES = 3_000_000
"""Largest header: twelve values for each of 250,000 tensors, or the objects of some 10,000 trees of scikit-learn."""


def header_of(text: str, where: str, hint: str) -> Any:  # noqa: ANN401 - any JSON value
    """Value of a JSON text. Raises as :func:`advisor.reading.json_of`, and InputError if it may hold too much."""
    values = sum(text.count(mark) for mark in "[{,")  # each value follows one of them: an upper bound
    if values > MOST_VALUES:
        told = f"about {values:,} JSON values; {MOST_VALUES:,} are the most that are read"
        raise InputError(told, where=where, hint="save the model in several smaller files")
    return json_of(text, where, hint)


class CutOff(Exception):  # noqa: N818 - caught by each reader, which knows the place
    """Content that ends before what it announces, or announces more than is allowed."""


def mapped(path: Path, what: str, hint: str) -> memoryview:
    """Bytes of a regular file, read as they are used. Raises InputError if it cannot be opened, or is not a file."""
    RESULT_FILE.refuse(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"the {what} is not a regular file", where=str(path), hint=hint)
        if not path.stat().st_size:
            raise InputError(f"the {what} is empty", where=str(path), hint=hint)
        return memoryview(np.memmap(path, dtype=np.uint8, mode="r"))  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(f"cannot read the {what}: {error.strerror or error}", where=str(path), hint=hint) from error


class Cursor:
    """A place in bytes, from which numbers and texts are taken one after the other."""

    def __init__(self, data: memoryview) -> None:
        """Begin at the first byte."""
        self.data, self.at = data, 0

    def take(self, count: int) -> memoryview:
        """The next *count* bytes, without a copy. Raises CutOff if there are fewer."""
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

    Raises CutOff if a field is longer than what is left, or of a kind that is no longer in use.
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


MOST_ELEMENTS = 2**53
"""Largest tensor: a float still counts it exactly."""
MOST_TENSORS = 250_000
"""Of all files of a model; mixtures of 384 experts in 60 layers have 207,000 with their scales."""
MOST_DIMENSIONS = 8
MOST_NAME = 1024
"""Longest name of a tensor; GGUF itself allows 64 bytes, PyTorch's modules stay below 200."""
_BUFFERS = (".running_mean", ".running_var", ".position_ids", ".num_batches_tracked", ".attn.bias", ".inv_freq")
"""Ends of names that hold state of the computation, not what was learned."""
_SCALES = (".scales", ".qzeros", ".g_idx", "weight_scale", "weight_scale_inv", "weight_scale_2", "_scales", ".absmax")
"""Ends of names that hold the scales of quantised matrices."""
_PACKED = {"qweight": 32, "weight_packed": 32, "_blocks": 8}
"""Ends of names of matrices of four-bit numbers, and the bits of a stored element that they are packed into."""
_UNLEARNED, _PACKED_ENDS = (*_BUFFERS, *_SCALES), tuple(_PACKED)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a weight file."""

    name: str
    shape: tuple[int, ...]
    storage: str
    """Data type as the format names it: ``BF16``, ``Q4_K``, ``FLOAT``."""
    bits: float
    """Of a stored element, scales of its block included."""

    @property
    def elements(self) -> int:
        """Stored elements; 1 for a scalar."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes in the file."""
        return round(self.elements * self.bits / 8)

    @property
    def parameters(self) -> int:
        """Learned numbers: none for buffers, scales and indices, eight for each 32 bits of packed four-bit numbers."""
        if self.name.endswith(_UNLEARNED):
            return 0
        if not self.name.endswith(_PACKED_ENDS):
            return 0 if self.storage in ("I64", "I32", "BOOL") else self.elements
        packed = next((bits for end, bits in _PACKED.items() if self.name.endswith(end) and self.bits == bits), None)
        return self.elements * packed // 4 if packed else self.elements


def parameters_of(tensors: Iterable[Tensor]) -> int:
    """Learned numbers of all tensors."""
    return sum(tensor.parameters for tensor in tensors)


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes that all tensors take in their files."""
    return sum(tensor.bytes for tensor in tensors)


_PRECISIONS = {
    **dict.fromkeys(("F32", "FLOAT", "F64", "DOUBLE"), "fp32"),
    **dict.fromkeys(("F16", "FLOAT16"), "fp16"),
    **dict.fromkeys(("BF16", "BFLOAT16"), "bf16"),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "FLOAT8E4M3FN", "FLOAT8E5M2"), "fp8"),
    "MXFP4": "mxfp4",
    "NVFP4": "nvfp4",
}


def precision_of(tensors: Sequence[Tensor]) -> str:
    """Precision that most parameters are stored in; of integers and blocks, the one whose bits come nearest.

    GGUF's Q4_K_M takes 4.85 bits a weight and counts as int4, Q8_0 takes 8.5 and counts as int8: their exact bytes are
    kept beside it.
    """
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[_precision(tensor)] += tensor.parameters
    return counts.most_common(1)[0][0] if counts else "fp32"


def _precision(tensor: Tensor) -> str:
    packed = "int4" if tensor.bits < 6 or tensor.name.endswith(_PACKED_ENDS) else "int8"
    return _PRECISIONS.get(tensor.storage, packed)


_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 100_000_000
"""As the format's own library allows."""
_MOST_SHARDS = 1000
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_HINT = "download the file again; a whole one begins with a header that lists every tensor"
INDEX_ENDING = ".safetensors.index.json"


def read_safetensors(path: Path) -> tuple[Tensor, ...]:
    """Tensors of a file, or of all shards of an index.

    Raises InputError if a file is missing or cut off, its header contradicts itself, or there are too many tensors.
    """
    tensors: list[Tensor] = []
    for file in _shards(path) if path.name.endswith(".json") else [path]:
        tensors += _header(file)
        if len(tensors) > MOST_TENSORS:
            raise _too_many(len(tensors), path)
    return tuple(tensors)


def _too_many(count: int, path: Path) -> InputError:
    told = f"{count:,} tensors; {MOST_TENSORS:,} are the most that a model may have"
    hint = "join the matrices of a layer's experts to one tensor, as stacked checkpoints do"
    return InputError(told, where=str(path), hint=hint)


def _shards(index: Path) -> list[Path]:
    """Files that an index names, all beside it."""
    values = read_json(index, "index of safetensors", _HINT)
    weights = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise InputError("field 'weight_map' is missing", where=str(index), hint="use the index as it was published")
    names = sorted({str(name) for name in weights.values()})
    wrong = next((name for name in names if not name.endswith(".safetensors") or Path(name).name != name), None)
    if wrong is not None or len(names) > _MOST_SHARDS:
        what = f"{wrong[:80]!r} is not the name of a safetensors file" if wrong else f"{len(names):,} shards"
        raise InputError(what, where=f"{index}: weight_map", hint="shards lie beside their index, 1,000 at most")
    absent = [name for name in names if not index.with_name(name).is_file()]
    if absent:
        told = f"{len(absent)} of {len(names)} shards are missing, {absent[0][:80]} first"
        raise InputError(told, where=str(index), hint="download all shards into the folder of the index")
    return [index.with_name(name) for name in names]


def _header(path: Path) -> tuple[Tensor, ...]:
    text, data_bytes = _header_text(path)
    values = header_of(text, f"{path}: header", _HINT)
    if not isinstance(values, dict):
        raise InputError("the header is not a JSON object", where=str(path), hint=_HINT)
    if len(values) > MOST_TENSORS + 1:  # the metadata count as one
        raise _too_many(len(values), path)
    return tuple(_tensor(name, entry, data_bytes, path) for name, entry in values.items() if name != "__metadata__")


def _header_text(path: Path) -> tuple[str, int]:
    """The header, and the bytes that follow it."""
    RESULT_FILE.refuse(path)
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            if not 2 <= length <= min(_MOST_HEADER_BYTES, size - _LENGTH_BYTES):
                raise InputError(
                    f"the header says that it has {length:,} bytes; the file has {size:,}, "
                    f"and {_MOST_HEADER_BYTES:,} are the most",
                    where=str(path),
                    hint=_HINT,
                )
            return stream.read(length).decode("utf-8"), size - _LENGTH_BYTES - length
    except OSError as error:
        raise InputError(f"cannot read the weights: {error.strerror}", where=str(path), hint=_HINT) from error
    except UnicodeDecodeError as error:
        raise InputError("the header is not UTF-8 text", where=str(path), hint=_HINT) from error


def _tensor(name: str, entry: Any, data_bytes: int, path: Path) -> Tensor:  # noqa: ANN401 - any JSON value
    """One entry of the header, whose bytes follow from its shape."""
    where = f"{path}: {name[:80]!r}"
    if len(name) > MOST_NAME:
        fault = f"a name of {len(name):,} characters; {MOST_NAME:,} are the most"
        raise InputError(fault, where=where, hint="save the model again under shorter names")
    fields = entry if isinstance(entry, dict) else {}
    storage, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    bits = _BITS.get(storage) if isinstance(storage, str) else None
    if bits is None:
        fault = f"data type {str(storage)[:20]!r} is not known"
        raise InputError(fault, where=where, hint=f"one of {', '.join(_BITS)}")
    if not is_sizes(shape, MOST_DIMENSIONS) or not is_sizes(offsets, 2) or len(offsets) != 2:
        fault = f"shape and data_offsets must be lists of whole numbers up to 2^53, at most {MOST_DIMENSIONS} and 2"
        raise InputError(fault, where=where, hint=_HINT)
    tensor = Tensor(name, tuple(shape), str(storage), bits)
    begin, end = offsets
    if tensor.elements > MOST_ELEMENTS or end - begin != -(-tensor.elements * bits // 8) or end > data_bytes:
        fault = f"{storage} of shape {shape} does not fit bytes {begin:,} to {end:,} of {data_bytes:,}"
        raise InputError(fault, where=where, hint=_HINT)
    return tensor


def is_sizes(values: object, most: int) -> TypeGuard[list[int]]:
    """Whether a JSON value is a list of at most *most* whole numbers from 0 to 2^53."""
    if not isinstance(values, list) or len(values) > most:
        return False
    return all(type(size) is int and 0 <= size <= MOST_ELEMENTS for size in values)
