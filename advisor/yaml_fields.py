"""YAML fields that know their line: every complaint says where, what and how to fix it."""

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn, TypeVar

import yaml

from advisor.errors import InputError
from advisor.names import suggestion
from advisor.reading import read_text
from advisor.records import dataclass
from advisor.units import BYTES_PER_MIB, HOURS_PER_DAY, LONGEST, MS_PER_SECOND, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

T = TypeVar("T")

_MOST_YAML_BYTES = BYTES_PER_MIB
"""Largest YAML file that is read."""
_LARGE_CHARACTERS = 64 * 1024
_QUICK_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads large files in an eighth of the time, where it is there; the other one words its complaints better."""
MOST = 10**9
"""Largest count that is read."""
MOST_NUMBER = 1e15
"""Largest number that is read where a key has no bound of its own."""
SHARES_TOLERANCE = 0.005
"""Shares written with two decimals sum to one within this."""

_MS_PER_MINUTE = SECONDS_PER_MINUTE * MS_PER_SECOND
_MS_PER_UNIT = {"us": 1 / MS_PER_SECOND, "ms": 1.0, "s": MS_PER_SECOND, "m": _MS_PER_MINUTE, "h": 60 * _MS_PER_MINUTE}
_DAYS_PER_UNIT = {"d": 1.0, "w": 7.0, "y": 365.0}
_DAYS = re.compile(r"(\d+(?:\.\d+)?)\s*(d|w|y)", re.ASCII)
_HOURS = re.compile(r"(\d+(?:\.\d+)?)\s*h", re.ASCII)
_LONGEST_SHOWN = 40
"""Characters of a value that a message repeats."""
_TRUTH = {"true": True, "false": False}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h)", re.ASCII)
_NO_CHARACTER = re.compile("[\0\ud800-\udfff]")
_EXAMPLE = "see examples/chat/workload.yaml for one"
_KIND = {yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}


@dataclass(frozen=True, slots=True)
class Field:
    """One value of the document, with its dotted name and its place."""

    node: yaml.Node
    name: str
    path: Path

    @property
    def line(self) -> int:
        """Line in the file, from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def is_single(self) -> bool:
        """Whether it is a single value, no mapping and no list."""
        return isinstance(self.node, yaml.ScalarNode)

    def fail(self, message: str, hint: str = "") -> NoReturn:
        """Raise an InputError that names file, line and field."""
        place = f"{self.path}:{self.line}"
        raise InputError(message, where=f"{place}: {self.name}" if self.name else place, hint=hint)

    def mapping(
        self, allowed: Sequence[str], elsewhere: Mapping[str, str] = MappingProxyType({}), remedy: str = ""
    ) -> dict[str, "Field"]:
        """The fields of a mapping.

        Keys of other levels of the document are told with the level that each belongs to. Raises InputError if it is
        not a mapping, or has an unknown or a repeated key (*remedy* is its hint, else the nearest known one).
        """
        if not isinstance(self.node, yaml.MappingNode):
            self.fail(f"expected a mapping, found {_KIND[type(self.node)]}", f"give it keys: {', '.join(allowed)}")
        fields: dict[str, Field] = {}
        for key_node, value_node in self.node.value:
            key = str(key_node.value)
            field = Field(value_node, f"{self.name}.{key}" if self.name else key, self.path)
            key_field = Field(key_node, field.name, self.path)
            if key in fields:
                key_field.fail("the key is there twice", "keep one of them")
            if key not in allowed:
                hint = f"it belongs {elsewhere[key]}" if key in elsewhere else remedy or suggestion(key, allowed)
                key_field.fail(f"unknown key '{key}'", hint)
            fields[key] = field
        return fields

    def all_of(self, keys: Sequence[str], optional: Sequence[str] = (), remedy: str = "") -> dict[str, "Field"]:
        """The fields of a mapping in which every key that is not optional is present; *remedy*: of unknown keys."""
        fields = self.mapping(keys, remedy=remedy)
        missing = [key for key in keys if key not in fields and key not in optional]
        if missing:
            self.fail(f"missing: {', '.join(missing)}", f"add {missing[0]} under {self.name}")
        return fields

    @property
    def is_list(self) -> bool:
        """Whether it is written as a list."""
        return isinstance(self.node, yaml.SequenceNode)

    def items(self) -> Iterator["Field"]:
        """The items of a list; a single value stands for a list of one."""
        if isinstance(self.node, yaml.MappingNode):
            self.fail("expected a list, found a mapping", f"write it as {self.name}: [a, b]")
        nodes = self.node.value if isinstance(self.node, yaml.SequenceNode) else [self.node]
        for index, node in enumerate(nodes):
            yield Field(node, f"{self.name}[{index}]", self.path)

    def text(self, what: str = "text") -> str:
        """A non-empty string, which is to be read as something."""
        if not isinstance(self.node, yaml.ScalarNode):
            self.fail(f"expected {what}, found {_KIND[type(self.node)]}", f"write {self.name}: value")
        if self.node.tag == "tag:yaml.org,2002:null" or not self.node.value.strip():
            self.fail("the value is empty", "give it a value, or take the key out")
        return str(self.node.value).strip()

    def choice(self, allowed: Sequence[str]) -> str:
        """One of a few words."""
        value = self.text()
        if value not in allowed:
            self.fail(f"unknown value '{value}'", suggestion(value, allowed))
        return value

    def choices(self, allowed: Sequence[str]) -> tuple[str, ...]:
        """A list of some of a few words, each once."""
        return self._unique([item.choice(allowed) for item in self.items()])

    def texts(self) -> tuple[str, ...]:
        """A list of strings, each once."""
        return self._unique([item.text() for item in self.items()])

    def number(self, minimum: float, *, exclusive: bool = False, maximum: float = MOST_NUMBER) -> float:
        """A number in a range."""
        text = self.text("a number")
        value = self._parse(float, text, "a number")
        low_enough = value > minimum if exclusive else value >= minimum
        if not (low_enough and value <= maximum):
            bound = f"above {minimum:g}" if exclusive else f"at least {minimum:g}"
            top = "" if value <= minimum and maximum == MOST_NUMBER else f" and at most {maximum:g}"
            self.fail(f"{_shown(text)} is out of range", f"give a number {bound}{top}")
        return value

    def count(self, minimum: int, maximum: int = MOST) -> int:
        """A whole number from *minimum* to *maximum*."""
        text = self.text("a whole number")
        value = self._parse(int, text, "a whole number")
        if not minimum <= value <= maximum:
            top = "" if value < minimum and maximum == MOST else f" and at most {maximum:,}"
            self.fail(f"{_shown(text)} is out of range", f"give a whole number of at least {minimum}{top}")
        return value

    def duration_ms(self) -> float:
        """A positive time with its unit, in milliseconds."""
        most_ms = LONGEST.days * HOURS_PER_DAY * _MS_PER_UNIT["h"]
        return self._amount(_DURATION, _MS_PER_UNIT, "duration", "50ms, 1.5s or 2m", most_ms)

    def days(self) -> float:
        """A positive time in days, weeks or years, in days."""
        return self._amount(_DAYS, _DAYS_PER_UNIT, "number of days", "30d, 12w or 1y", LONGEST.days)

    def window_days(self) -> float:
        """A positive time in hours, or as :meth:`days` takes it, in days."""
        hours = _HOURS.fullmatch(self.text())
        return self.hours() / HOURS_PER_DAY if hours and float(hours[1]) else self.days()

    def hours(self) -> float:
        """A positive time, as :meth:`duration_ms` or :meth:`days` takes it, in hours."""
        text = self.text()
        if _DAYS.fullmatch(text):
            return self.days() * HOURS_PER_DAY
        return self.duration_ms() / (SECONDS_PER_HOUR * MS_PER_SECOND)

    def date(self, earliest: dt.date = dt.date.min, latest: dt.date = dt.date.max) -> dt.date:
        """A day, such as 2027-03-31, from the earliest to the latest."""
        text = self.text()
        try:
            day = dt.date.fromisoformat(text)
        except ValueError:
            self.fail(f"'{text}' is not a date", "write it as 2027-03-31")
        if not earliest <= day <= latest:
            self.fail(f"{text} is out of range", f"give a day from {earliest.isoformat()} to {latest.isoformat()}")
        return day

    def truth(self) -> bool:
        """True or false."""
        text = self.text().lower()
        if text not in _TRUTH:
            self.fail(f"'{text}' is neither true nor false", "write true or false")
        return _TRUTH[text]

    def shares(self) -> tuple[tuple[str, float], ...]:
        """A mapping of names to shares that sum to one."""
        if not isinstance(self.node, yaml.MappingNode):
            self.fail("expected a mapping of names to shares", f"write {self.name}: {{US: 0.7, DE: 0.3}}")
        fields = self.mapping([str(key.value) for key, _ in self.node.value])
        shares = tuple((name, field.number(0, exclusive=True, maximum=1)) for name, field in fields.items())
        total = sum(share for _, share in shares)
        if abs(total - 1) > SHARES_TOLERANCE:
            self.fail(f"the shares sum to {total:g}, not to 1", "correct one of them")
        return tuple((name, share / total) for name, share in shares)

    def _amount(
        self, pattern: re.Pattern[str], per_unit: Mapping[str, float], noun: str, examples: str, most: float
    ) -> float:  # fmt: skip
        text = self.text()
        match = pattern.fullmatch(text)
        if match is None or float(match[1]) == 0:
            self.fail(f"'{text}' is not a {noun}", f"write a number above 0 with its unit, such as {examples}")
        amount = float(match[1]) * per_unit[match[2]]
        if amount > most:
            unit = list(per_unit)[-1]
            self.fail(f"{_shown(text)} is out of range", f"give at most ten years ({most / per_unit[unit]:g}{unit})")
        return amount

    def _parse(self, kind: Callable[[str], T], text: str, what: str) -> T:
        try:
            return kind(text)
        except ValueError:
            self.fail(f"'{text}' is not {what}", f"give {what} in digits alone")

    def _unique(self, values: list[str]) -> tuple[str, ...]:
        if not values:
            self.fail("the list is empty", "name at least one, or take the key out")
        return tuple(dict.fromkeys(values))


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def read_document(path: Path, what: str = "workload", hint: str = _EXAMPLE) -> Field:
    """Root of a YAML file. Raises InputError if the file is missing, unreadable, above 1 MiB, empty or no YAML."""
    return document_of(read_text(path, what, f"give a {what}.yaml in UTF-8", _MOST_YAML_BYTES), path, what, hint)


def document_of(text: str, path: Path, what: str = "workload", hint: str = _EXAMPLE) -> Field:
    """The root of a YAML text; see :func:`read_document`."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader if len(text) < _LARGE_CHARACTERS else _QUICK_LOADER)
    except yaml.YAMLError as error:
        if refused := yaml.reader.Reader.NON_PRINTABLE.search(text):
            place = f"{path}:{1 + text.count(chr(10), 0, refused.start())}"
            told = f"not valid YAML: character U+{ord(refused[0]):04X}"
            raise InputError(told, where=place, hint="take it out, or save the file as UTF-8") from error
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        if isinstance(error, yaml.reader.ReaderError):
            line, mark = text.count("\n", 0, error.position) + 1, f"U+{ord(text[error.position]):04X}"
            told = f"not valid YAML: the character {mark}, which no text has"
            raise InputError(told, where=f"{path}:{line}", hint="remove it") from error
        told = f"not valid YAML: {getattr(error, 'problem', None) or 'it cannot be parsed'}"
        raise InputError(told, where=where, hint="check the indentation and the quotes there") from error
    except RecursionError:
        raise InputError("not YAML that can be read: it nests too deeply", where=str(path), hint=hint) from None
    if root is None:
        raise InputError(f"the {what} is empty", where=str(path), hint=hint)
    _check_texts(root, path)
    return Field(root, "", path)


def _check_texts(root: yaml.Node, path: Path) -> None:
    """Refuse keys that are no text, and texts with a character that no file can hold, which escapes can write.

    Raises:
        InputError: a key is a list or a mapping, or a text holds U+0000 or half a character.
    """
    left, seen = [root], set[int]()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                _check_key(key, path)
                left += (key, value)
        elif isinstance(node, yaml.SequenceNode):
            left += node.value
        elif refused := _NO_CHARACTER.search(node.value):
            told = f"not YAML that can be read: a text holds U+{ord(refused[0]):04X}, which is no character of a text"
            raise InputError(told, where=f"{path}:{node.start_mark.line + 1}", hint="take the escape out")


def _check_key(key: yaml.Node, path: Path) -> None:
    if not isinstance(key, yaml.ScalarNode):
        told = f"a key has to be text, found {_KIND[type(key)]}"
        raise InputError(told, where=f"{path}:{key.start_mark.line + 1}", hint="quote it, if its brackets belong to it")
