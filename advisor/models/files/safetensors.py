"""Headers of safetensors: eight bytes with a length, a JSON object of that length, then the numbers, never read.

The format: https://huggingface.co/docs/safetensors (2026-11). An index file names the shards of a model that is spread
over several.
"""

from pathlib import Path
from typing import Any, TypeGuard

from advisor.errors import InputError
from advisor.models.files.mapped import header_of
from advisor.models.files.tensors import MOST_DIMENSIONS, MOST_ELEMENTS, MOST_NAME, MOST_TENSORS, Tensor
from advisor.reading import read_json

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

    Raises:
        InputError: a file is missing or cut off, its header contradicts itself, or there are too many tensors.
    """
    tensors: list[Tensor] = []
    for file in _shards(path) if path.name.endswith(".json") else [path]:
        tensors += _header(file)
        if len(tensors) > MOST_TENSORS:
            raise _too_many(len(tensors), path)
    return tuple(tensors)


def _too_many(count: int, path: Path) -> InputError:
    return InputError(
        f"{count:,} tensors; {MOST_TENSORS:,} are the most that a model may have",
        where=str(path),
        hint="join the matrices of a layer's experts to one tensor, as stacked checkpoints do",
    )


def _shards(index: Path) -> list[Path]:
    """Files that an index names, all beside it."""
    values = read_json(index, "index of safetensors", _HINT)
    weights = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise InputError("field 'weight_map' is missing", where=str(index), hint="use the index as it was published")
    names = sorted({str(name) for name in weights.values()})
    wrong = next((name for name in names if not name.endswith(".safetensors") or Path(name).name != name), None)
    if wrong is not None or len(names) > _MOST_SHARDS:
        what = f"{wrong[:80]!r} is no name of a safetensors file" if wrong else f"{len(names):,} shards"
        raise InputError(what, where=f"{index}: weight_map", hint="shards lie beside their index, 1,000 at most")
    absent = [name for name in names if not index.with_name(name).is_file()]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(names)} shards are missing, {absent[0][:80]} first",
            where=str(index),
            hint="download all shards into the folder of the index",
        )
    return [index.with_name(name) for name in names]


def _header(path: Path) -> tuple[Tensor, ...]:
    text, data_bytes = _header_text(path)
    values = header_of(text, f"{path}: header", _HINT)
    if not isinstance(values, dict):
        raise InputError("the header is no JSON object", where=str(path), hint=_HINT)
    if len(values) > MOST_TENSORS + 1:  # the metadata count as one
        raise _too_many(len(values), path)
    return tuple(_tensor(name, entry, data_bytes, path) for name, entry in values.items() if name != "__metadata__")


def _header_text(path: Path) -> tuple[str, int]:
    """The header, and the bytes that follow it."""
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
        raise InputError(
            f"a name of {len(name):,} characters; {MOST_NAME:,} are the most",
            where=where,
            hint="save the model again under shorter names",
        )
    fields = entry if isinstance(entry, dict) else {}
    storage, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    bits = _BITS.get(storage) if isinstance(storage, str) else None
    if bits is None:
        raise InputError(
            f"data type {str(storage)[:20]!r} is not known", where=where, hint=f"one of {', '.join(_BITS)}"
        )
    if not is_sizes(shape, MOST_DIMENSIONS) or not is_sizes(offsets, 2) or len(offsets) != 2:
        raise InputError(
            f"shape and data_offsets must be lists of whole numbers up to 2^53, at most {MOST_DIMENSIONS} and 2",
            where=where,
            hint=_HINT,
        )
    tensor = Tensor(name, tuple(shape), str(storage), bits)
    begin, end = offsets
    if tensor.elements > MOST_ELEMENTS or end - begin != -(-tensor.elements * bits // 8) or end > data_bytes:
        raise InputError(
            f"{storage} of shape {shape} does not fit bytes {begin:,} to {end:,} of {data_bytes:,}",
            where=where,
            hint=_HINT,
        )
    return tensor


def is_sizes(values: object, most: int) -> TypeGuard[list[int]]:
    """Whether a JSON value is a list of at most *most* whole numbers from 0 to 2^53."""
    if not isinstance(values, list) or len(values) > most:
        return False
    return all(type(size) is int and 0 <= size <= MOST_ELEMENTS for size in values)
