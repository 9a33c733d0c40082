"""Frozen values ⇄ plain JSON values, following their type hints: one code for everything that is kept as JSON.

Arrays become one text of numbers, which takes a line where a list would take one a number; NaN becomes null. Without
a rounding every float comes back as the same float. A field that plays no part in comparison is left out.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import Path, PurePath
from typing import Any, Generic, TypeVar

import numpy as np

from advisor.errors import InputError
from advisor.reading import OMITTED_AT_DEFAULT, json_of, read_text
from advisor.records import dataclass

_Kind = TypeVar("_Kind")
DIGEST = "digest"
"""Field that holds the digest of all others, in canonical form."""


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of a document in canonical form (sorted keys, no spaces)."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def digest_mismatch(document: object, what: str, apart: str = "") -> str:
    """Why a document may not say what `advisor recommend` said: another digest, or none; "" when it says that.

    *apart*: field beside the digest that it is not made of.
    """
    if not isinstance(document, dict) or DIGEST not in document:
        return f"the {what} carries no digest: it was edited, or made before {what}s had one"
    rest = {name: value for name, value in document.items() if name not in (DIGEST, apart)}
    return "" if document[DIGEST] == digest(rest) else f"the {what} was edited after it was made: its digest is another"


_SHOWN = 60
_SINGLE = frozenset({str, int, bool, types.NoneType, float})
"""Types of JSON that hold no others."""
_SCALARS: Mapping[type, type | types.UnionType] = {float: float | int}
"""Type of a field → what else stands for it in JSON."""

Rounding = Callable[[float, str], float]
"""A float and the name of what it stands for → the float that is written."""


def exact(value: float, name: str) -> float:  # noqa: ARG001 - a rounding that needs no name
    """The float as it is."""
    return float(value)


def to_plain(value: Any, name: str = "", rounding: Rounding = exact) -> Any:  # noqa: ANN401 - any value
    """A value as JSON types; *name* is what a float in it stands for."""
    if type(value) in _SINGLE:  # most values: told first
        return _scalar(value, name, rounding)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = [field.name for field in _compared(type(value)) if not is_omitted(field, value)]
        return {field: to_plain(getattr(value, field), field, rounding) for field in kept}
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry, str(key), rounding) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(entry, name, rounding) for entry in value]
    if isinstance(value, np.ndarray):
        return " ".join(map(_number_text, value.tolist()))
    return _scalar(value, name, rounding)


@cache
def _compared(kind: type) -> "tuple[dataclasses.Field[Any], ...]":
    """Fields of a dataclass that play a part in comparison."""
    return tuple(field for field in dataclasses.fields(kind) if field.compare)


def is_omitted(field: "dataclasses.Field[Any]", value: Any) -> bool:  # noqa: ANN401 - any dataclass
    """Whether a field is left out: it says so of itself, and has its default."""
    return bool(field.metadata) and field.metadata == OMITTED_AT_DEFAULT and getattr(value, field.name) == field.default


def _scalar(value: Any, name: str, rounding: Rounding) -> Any:  # noqa: ANN401 - any value
    if isinstance(value, float):
        return None if math.isnan(value) else rounding(value, name)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, dt.date):
        return value.isoformat()
    return value


def _number_text(value: float) -> str:
    """The shortest text that reads as the same number."""
    return f"{value:.0f}" if float(value).is_integer() else repr(value)


def from_plain(hint: Any, entry: Any) -> Any:  # noqa: ANN401 - any value
    """The value that :func:`to_plain` made *entry* of. Raises KeyError, TypeError, ValueError if it does not fit."""
    origin = typing.get_origin(hint)
    if origin is not None:
        return _generic(origin, typing.get_args(hint), entry)
    if entry is None and hint is float:
        return float("nan")
    if dataclasses.is_dataclass(hint):
        return _of_dataclass(hint, entry)
    if isinstance(hint, type) and hint not in (Any, object):
        return _of_class(hint, entry)
    return entry


def _of_dataclass(kind: Any, entry: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any dataclass
    hints = _hints(kind)
    if not isinstance(entry, Mapping):
        raise TypeError(f"{kind.__name__}: {str(entry)[:_SHOWN]}")
    return kind(**{name: from_plain(hints[name], value) for name, value in entry.items()})


def _generic(origin: Any, arguments: tuple[Any, ...], entry: Any) -> Any:  # noqa: ANN401 - any value
    if origin in (types.UnionType, typing.Union):
        return _of_union(arguments, entry)
    if not isinstance(origin, type):
        return entry
    if issubclass(origin, Sequence):
        return _of_sequence(origin, arguments, entry)
    if origin is np.ndarray:
        return np.array([float(number) for number in entry.split()], dtype=typing.get_args(arguments[1])[0])
    if issubclass(origin, Mapping):
        return {_of_class(arguments[0], key): from_plain(arguments[1], value) for key, value in entry.items()}
    return entry


def _of_sequence(origin: type, arguments: tuple[Any, ...], entry: Any) -> Any:  # noqa: ANN401 - any value
    """A tuple, of values that have hints of their own or one for all; a list for other sequences."""
    if isinstance(entry, str):
        raise TypeError(f"a list is needed, not {entry[:_SHOWN]!r}")
    items = arguments if origin is tuple and arguments[-1] is not Ellipsis else arguments[:1] * len(entry)
    values = [from_plain(item, value) for item, value in zip(items, entry, strict=True)]
    return tuple(values) if origin is tuple else values


def _of_union(members: tuple[Any, ...], entry: Any) -> Any:  # noqa: ANN401 - any value
    """The member with the fewest fields beside a document's keys; what is not a document is its own value."""
    if entry is None:
        return None
    types_of_value = [member for member in members if member is not types.NoneType]
    if len(types_of_value) == 1:
        return from_plain(types_of_value[0], entry)
    if isinstance(entry, dict):
        kinds = [member for member in types_of_value if dataclasses.is_dataclass(member)]
        fitting = [kind for kind in kinds if set(entry) <= _names(kind)]
        return from_plain(min(fitting, key=lambda kind: len(_names(kind))), entry)
    return entry


def _of_class(kind: type, entry: Any) -> Any:  # noqa: ANN401 - any value
    if issubclass(kind, dt.date):
        return kind.fromisoformat(entry)
    if isinstance(entry, _SCALARS.get(kind, kind)):
        return entry
    if kind is Decimal and isinstance(entry, float | int):
        return Decimal(repr(entry))
    if issubclass(kind, PurePath) and isinstance(entry, str):
        return kind(entry)
    if issubclass(kind, Enum | int | str) and isinstance(entry, str | int | float):
        return kind(entry)
    raise TypeError(f"{kind.__name__}: {str(entry)[:_SHOWN]}")


def _names(kind: Any) -> set[str]:  # noqa: ANN401 - a dataclass
    return {field.name for field in _compared(kind)}


@cache
def _hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    return typing.get_type_hints(kind)


def document_of(text: str, where: str, schema: str, hint: str) -> dict[str, Any]:
    """Object of a JSON text of *schema*. Raises InputError with *hint* if it is not JSON, or of another schema."""
    document = json_of(text, where, hint)
    written = document.get("schema") if isinstance(document, dict) else None
    if written != schema:
        raise InputError(f"the schema is {written!r}, and this version reads {schema}", where=where, hint=hint)
    return typing.cast("dict[str, Any]", document)


@dataclass(frozen=True, slots=True)
class Document(Generic[_Kind]):
    """JSON document of this program whose keys are the fields of a dataclass; further keys are left out."""

    kind: type[_Kind]
    noun: str
    schema: str
    hint: str
    """Remedy where it cannot be read."""

    def read(self, path: Path) -> _Kind:
        """Value of a file. Raises InputError if the file cannot be read, has another schema, or other fields."""
        return self.parse(read_text(path, self.noun, self.hint), str(path))

    def parse(self, text: str, where: str) -> _Kind:
        """Value of a text. Raises InputError if it is not JSON, has another schema, or other fields."""
        document = document_of(text, where, self.schema, self.hint)
        names = [field.name for field in dataclasses.fields(self.kind)]  # type: ignore[arg-type] # a dataclass
        held = {name: document[name] for name in names if name in document}
        try:
            json.dumps(held, allow_nan=False)  # numbers beyond those of JSON
            return typing.cast("_Kind", from_plain(self.kind, held))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"it is not a {self.noun} ({str(error)[:80]})", where=where, hint=self.hint) from error
