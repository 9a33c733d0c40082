"""Tables of inputs: a target's own, on top of its cloud's, on top of those that several clouds share."""

import math
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from advisor.codegen.quoting import hcl_number
from advisor.records import dataclass

Truth = Callable[[str], Any]
"""Value of an expression of the template language, in what a target knows."""
CIDR = "CIDR"
"""In place of a pattern: a block of addresses."""
REGION = "<region>"
"""In the pattern of a field: the region that its record is for."""
ID = "(?i)/subscriptions/"
"""Start of the pattern of a resource id of Azure, which writes them in any case."""
EVERY = "all"
"""In place of a name: every input that a target has."""
_DECLARED = re.compile(r'^(?:[ \t]*variable\s+"?(\w+)"?\s*\{|    (\w+): .* = setting\()', re.MULTILINE)
_FIXED_WORD = re.compile(r"(?<=/)[A-Za-z][A-Za-z]*(?:\[[.]\][A-Za-z]+)?(?=/|$)")
_TABLES = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Bounds:
    """Range of a number."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self != Bounds()

    @property
    def words(self) -> str:
        """The range in words, such as ``30 to 730``."""
        if self.above > -math.inf:
            return f"more than {hcl_number(self.above)}" + self._at_most(" and at most ")
        return f"{hcl_number(self.least)}" + (self._at_most(" to ") or " or more")

    def _at_most(self, before: str) -> str:
        return "" if self.most == math.inf else f"{before}{hcl_number(self.most)}"


@dataclass(frozen=True, slots=True)
class Check:
    """Condition over several inputs or the plan, written for both languages beside each other."""

    condition: str
    """HCL expression."""
    message: str
    """The inside of an HCL string."""
    python: str
    """Statements that yield a line for each problem, in *settings* and *fleet*."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that a mapping may have, as an expression of each language."""

    hcl: str
    python: str


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """Texts that the innermost keys of a mapping have to be."""

    pattern: str
    """Regular expression for the whole of each key."""
    expected: str
    """Key that passes, in words after "it must be"."""


class Regions(StrEnum):
    """Keys of a mapping by region."""

    EXACTLY = "exactly"
    """Those of the plan, and no other."""
    AT_LEAST = "at least"
    """Those of the plan, and any others."""


class Shown(StrEnum):
    """Where an example stands as a value; elsewhere, of ``terraform.tfvars.example``, as a comment."""

    GIVEN = "given"
    """Everywhere."""
    OFFERED = "offered"
    """In calls of modules and in configurations of programs."""
    SUGGESTED = "suggested"
    """Nowhere."""


@dataclass(frozen=True, slots=True)
class Example:
    """Value that a user may begin with."""

    value: object
    hint: str
    """Comment before it."""
    shown: Shown


@dataclass(frozen=True, slots=True)
class Input:
    """Variable of a root, setting of a program, or field of one that is a record."""

    name: str
    type: str
    """As in Python, with ``Input[…]`` for what may be an output of another resource."""
    description: str
    is_required: bool
    default: object
    pattern: str
    """Regular expression for the whole of each text; :data:`CIDR` for blocks of addresses."""
    expected: str
    """Text or number that passes, in words after "it must be"."""
    never_starts: str
    keys: Keys | None
    key_pattern: KeyPattern | None
    bounds: Bounds
    taken: Mapping[str, str]
    """Keys that a mapping must not have, each with the reason."""
    is_of_provider: bool
    """Whether it is the provider's: a root has it beside its provider, a module does not have it."""
    regions: "Regions | None"
    """Whether its keys are regions of the plan."""
    record: "Record | None"
    checks: tuple[Check, ...]
    example: Example | None

    @property
    def is_id(self) -> bool:
        """Whether it holds resource ids of Azure."""
        return self.pattern.startswith(ID)

    @property
    def is_nullable(self) -> bool:
        """Whether it may be left out without another value in its place."""
        return not self.is_required and self.default is None


@dataclass(frozen=True, slots=True)
class Record:
    """Class of a program, object type of a root."""

    name: str
    about: str
    fields: tuple[Input, ...]


def inputs_of(
    target: str, truth: Truth, text: Callable[[str], str], wanted: Collection[str] = (EVERY,)
) -> tuple[Input, ...]:
    """Inputs of a stack, in its table's order, of rare inputs those *wanted* by name; :data:`EVERY`: all."""
    rare = () if EVERY in wanted else rare_inputs(target, truth)
    return tuple(
        _input(name, row, truth, text)
        for name, row in _rows(target).items()
        if _holds(row, truth) and (name not in rare or name in wanted)
    )


def rare_inputs(target: str, truth: Truth) -> tuple[str, ...]:
    """Names of the inputs that few deployments set: code has them where they are wanted."""
    rows = _rows(target).items()
    return tuple(name for name, row in rows if _applies(row.get("rare", False), truth) and _holds(row, truth))


def input_names() -> frozenset[str]:
    """Names of the inputs of all targets."""
    tables = (_read(path.stem) for path in _TABLES.glob("*.toml"))
    return frozenset(name for table in tables for name in table.get("order", ()))


@cache
def inputs_of_plan() -> frozenset[str]:
    """Names of the inputs whose defaults a plan rests on: another value deploys something else."""
    tables = (_read(path.stem) for path in _TABLES.glob("*.toml"))
    return frozenset(name for table in tables for name, row in table.items() if name != "order" and row.get("of_plan"))


def declared_inputs(texts: Iterable[str]) -> frozenset[str]:
    """Names of the inputs that code declares as variables or settings."""
    return input_names() & {match[match.lastindex or 0] for text in texts for match in _DECLARED.finditer(text)}


@cache
def _rows(target: str) -> Mapping[str, Mapping[str, Any]]:
    return {name: _merged_row(target, name) for name in _read(target)["order"]}


def _merged_row(target: str, name: str) -> Mapping[str, Any]:
    row: Mapping[str, Any] = {}
    for table in ("shared", target.partition("-")[0], target):
        row = _merged(row, _read(table).get(name, {}))
    return row


@cache
def _read(table: str) -> Mapping[str, Any]:
    return tomllib.loads((_TABLES / f"{table}.toml").read_text(encoding="utf-8"))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        **below,
        **{
            key: _merged(below.get(key, {}), value) if isinstance(value, Mapping) else value
            for key, value in above.items()
        },
    }


def _holds(row: Mapping[str, Any], truth: Truth) -> bool:
    return "when" not in row or bool(truth(row["when"]))


def _input(name: str, row: Mapping[str, Any], truth: Truth, text: Callable[[str], str]) -> Input:
    bounds = Bounds(**{end: row[end] for end in ("least", "most", "above") if end in row})
    return Input(
        name=name,
        type=row["type"],
        description=text(row["description"]),
        is_required=_applies(row.get("required", False), truth),
        default=truth(row["default_from"]) if "default_from" in row else row.get("default", _empty(row)),
        pattern=row.get("pattern", ""),
        expected=row.get("expected", "") or _number_words(row, bounds),
        never_starts=row.get("never_starts", ""),
        keys=Keys(**row["keys"]) if "keys" in row else None,
        key_pattern=KeyPattern(**row["key_pattern"]) if "key_pattern" in row else None,
        bounds=bounds,
        taken=row.get("taken", {}),
        is_of_provider=row.get("of_provider", False),
        regions=Regions(row["by_region"]) if "by_region" in row else None,
        record=_record(row, truth, text) if "fields" in row else None,
        checks=tuple(
            Check(check["condition"].strip(), check["message"], check["python"].strip())
            for check in row.get("checks", ())
            if _holds(check, truth)
        ),
        example=_example(row, truth, text),
    )


def _applies(condition: str | bool, truth: Truth) -> bool:  # noqa: FBT001 - as a table has it
    return bool(truth(condition)) if isinstance(condition, str) else condition


def _example(row: Mapping[str, Any], truth: Truth, text: Callable[[str], str]) -> Example | None:
    """The example of a row; None where it is empty, or there is none."""
    value = truth(row["example_from"]) if "example_from" in row else row.get("example")
    if value is None or value in ("", {}, []):
        return None
    shown = Shown.GIVEN if _applies(row.get("required", False), truth) else row.get("shown", Shown.GIVEN)
    return Example(value, text(row.get("hint", "")), Shown(shown))


def id_words(inputs: Iterable[Input]) -> dict[str, str]:
    """Fixed words of resource ids as the provider reads them, by the same in lower case."""
    fields = (field for row in inputs for field in (row, *(row.record.fields if row.record is not None else ())))
    patterns = (field.pattern.removeprefix("(?i)") for field in fields if field.is_id)
    words = {word.replace("[.]", ".") for pattern in patterns for word in _FIXED_WORD.findall(pattern)}
    return {word.lower(): word for word in sorted(words)}


def examples(inputs: Iterable[Input]) -> dict[str, object]:
    """Values for a call or a configuration that works as it stands, by input."""
    given = {row.name: row.example for row in inputs if row.example is not None}
    return {name: example.value for name, example in given.items() if example.shown is not Shown.SUGGESTED}


def _number_words(row: Mapping[str, Any], bounds: Bounds) -> str:
    if not bounds:
        return ""
    return f"a whole number, {bounds.words}" if "int" in row["type"] else bounds.words


def _empty(row: Mapping[str, Any]) -> object:
    """The default where none is named: empty for what holds several, else none."""
    if row.get("nullable"):
        return None
    return {"Mapping": {}, "Sequence": []}.get(row["type"].partition("[")[0])


def _record(row: Mapping[str, Any], truth: Truth, text: Callable[[str], str]) -> Record:
    fields = [
        _input(name, {"required": not ("nullable" in field or "default" in field), **field}, truth, text)
        for name, field in row["fields"].items()
        if _holds(field, truth)
    ]
    class_name = row["type"].removeprefix("Mapping[str, ").removesuffix("]")
    return Record(class_name, text(row["about"]), tuple(fields))
