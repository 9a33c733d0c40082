"""Decisions of a plan as code holds them: records in ``fleet.tf``, values of classes in a program, from one table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from advisor.codegen.python_literals import Call
from advisor.codegen.quoting import Quoted
from advisor.data_files import facts_beside
from advisor.records import dataclass

_TABLE = facts_beside(__file__, "plan_classes.toml")
_PLAIN = {name: {"type": typed} for typed, names in _TABLE["plain"].items() for name in names}
_FLEET = "Fleet"
_TOTAL = "planned_usd_per_month"
Truth = Callable[[str], object]
"""Value of an expression of the template language, in what a target knows."""
Text = Callable[[str], str]
"""Description of which parts may depend on the stack, filled in."""


@dataclass(frozen=True, slots=True)
class PlanField:
    """Field of a class, with its default where it has one."""

    name: Quoted
    type: Quoted
    about: Quoted
    """Empty for one whose name says all."""


@dataclass(frozen=True, slots=True)
class PlanClass:
    """Class of a program."""

    name: Quoted
    about: Quoted
    fields: tuple[PlanField, ...]

    def has(self, name: str) -> bool:
        """Whether it has a field of this name."""
        return any(field.name == name for field in self.fields)


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """Part of the plan in ``fleet.tf``."""

    name: Quoted
    about: tuple[Quoted, ...]
    """Lines of the comment before it."""
    value: Any


def plan_classes(target: str, truth: Truth, text: Text) -> Mapping[str, PlanClass]:
    """Classes of a target's programs by name, in the order in which they stand.

    Args:
        target: name of its tables, such as ``aws-ec2``.
        truth: evaluates a condition.
        text: fills a description.
    """

    def field(place: str, name: str) -> PlanField:
        keys = (f"{place}.{name}", f"{place.rpartition('.')[2]}.{name}", name)
        facts = next(rows[key] for key in keys for rows in (_TABLE["fields"], _PLAIN) if key in rows)
        return PlanField(Quoted(name), Quoted(text(facts["type"])), Quoted(text(facts.get("about", ""))))

    rows = {name: row for name, row in _TABLE[target].items() if "when" not in row or truth(row["when"])}
    rows |= {_FLEET: {"about": "The whole plan of one cloud.", "fields": [_TOTAL, *_fleet_rows(target, truth)]}}
    return {
        name: PlanClass(
            Quoted(name),
            Quoted(row["about"]),
            tuple(field(f"{target}.{name}", part) for part in row["fields"] if part not in _left_out(row, truth)),
        )
        for name, row in rows.items()
    }


def plan_records(target: str, truth: Truth, text: Text, facts: Mapping[str, Any]) -> tuple[PlanRecord, ...]:
    """Parts of the plan in their order, with their values among *facts*."""
    return tuple(
        PlanRecord(Quoted(name), tuple(map(Quoted, text(about).split("\n"))), facts[name])
        for name, about in _fleet_rows(target, truth).items()
    )


def plan_value(classes: Mapping[str, PlanClass], usd_per_month: float, records: Sequence[PlanRecord]) -> Call:
    """The plan as a program holds it: calls of its classes, each where the type of a field names it."""
    return _made(classes, _FLEET, {_TOTAL: usd_per_month, **{record.name: record.value for record in records}})


def _made(classes: Mapping[str, PlanClass], name: str, values: Mapping[str, Any]) -> Call:
    types = {str(field.name): field.type.partition(" = ")[0] for field in classes[name].fields}
    return Call(name, {key: _typed(classes, types[key], value) for key, value in values.items()})


def _typed(classes: Mapping[str, PlanClass], typed: str, value: object) -> object:
    """A value of a type: of a class, of a mapping or sequence of one, or as it is."""
    head, _, inner = typed.replace('"', "").removesuffix(" | None").removesuffix("]").rpartition("[")
    name = inner.removeprefix("str, ")
    if name not in classes:
        return value
    if isinstance(value, Mapping):
        return _made(classes, name, value) if not head else {key: _made(classes, name, value[key]) for key in value}
    return [_made(classes, name, item) for item in value] if isinstance(value, Sequence) else value


def _fleet_rows(target: str, truth: Truth) -> Mapping[str, str]:
    """Parts of a target's plan, each with what ``fleet.tf`` says of it."""
    rows = _TABLE[target][_FLEET]
    without = {"only", *_left_out(rows, truth)}
    return {name: about for name, about in rows.items() if name not in without}


def _left_out(row: Mapping[str, Any], truth: Truth) -> frozenset[str]:
    """Names that are only there on a condition that does not hold."""
    conditions = row.get("only", {}).items()
    return frozenset(name for condition, names in conditions if not truth(condition) for name in names)
