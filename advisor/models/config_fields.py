"""Reading the fields of a HuggingFace ``config.json``: typed, by any name in use, with errors that name them."""

from collections.abc import Mapping
from typing import Any

from advisor.errors import InputError

MOST = 10**9
"""Largest size that a field may state: a hundred times the longest context and the largest vocabulary of 2026."""
MOST_LAYERS = 10_000
_SHOWN = 60
_UNCHANGED = "use the config.json of the model's repository unchanged"


class ConfigFields:
    """The fields of a configuration.

    A field has had several names over the years (``hidden_size``, ``n_embd``, ``d_model``): every method takes all of
    them and returns the first that is there.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        """Keep *values*, and *where* they stand for error messages."""
        self.values = values
        self.where = where

    def section(self, name: str) -> "ConfigFields":
        """A nested configuration, empty when it is absent."""
        nested = self.values.get(name)
        return ConfigFields(nested if isinstance(nested, Mapping) else {}, f"{self.where}: {name}")

    def has(self, *names: str) -> bool:
        """Whether a field of one of these names holds a value."""
        return self._find(names) is not None

    def integer(self, *names: str, most: int = MOST) -> int:
        """A whole number from 1 to *most* that has to be there."""
        value = self._find(names)
        if value is None:
            raise self.missing(names)
        return self._within(names, value, 1, most)

    def integer_or(self, default: int, *names: str, least: int = 0) -> int:
        """A whole number of at least *least*, or *default* where the field is absent or null."""
        value = self._find(names)
        return default if value is None else self._within(names, value, least, MOST)

    def flag(self, name: str, *, default: bool) -> bool:
        """A boolean, or *default* where the field is absent or null."""
        value = self._find((name,))
        return default if value is None else bool(value)

    def text(self, default: str, *names: str) -> str:
        """A string, or *default*."""
        value = self._find(names)
        return value if isinstance(value, str) else default

    def items(self, *names: str) -> list[Any]:
        """A list, empty where the field is absent or no list."""
        value = self._find(names)
        return list(value) if isinstance(value, (list, tuple)) else []

    def missing(self, names: tuple[str, ...]) -> InputError:
        """The error for an absent field."""
        others = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
        told = f"field {names[0]!r}{others} is missing"
        return InputError(told, where=self.where, hint=_UNCHANGED)

    def _find(self, names: tuple[str, ...]) -> object:
        return next((self.values[name] for name in names if self.values.get(name) is not None), None)

    def _within(self, names: tuple[str, ...], value: object, least: int, most: int) -> int:
        number = self._as_integer(names, value)
        if not least <= number <= most:
            shown = repr(value)[:_SHOWN]
            told = f"field {names[0]!r} must be from {least:,} to {most:,}, not {shown}"
            raise InputError(told, where=self.where, hint=_UNCHANGED)
        return number

    def _as_integer(self, names: tuple[str, ...], value: object) -> int:
        """Accept 8, 8.0 and, where one number stands for all layers, [8, 8, 8]."""
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        told = f"field {names[0]!r} must be a whole number, not {repr(value)[:_SHOWN]}"
        raise InputError(told, where=self.where, hint=_UNCHANGED)
