"""Classes that a program holds its plan in, one table for all targets; ``plan.py.j2`` prints them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from advisor.codegen.quoting import Quoted
from advisor.data_files import facts_beside
from advisor.records import dataclass

_TABLE = facts_beside(__file__, "plan_classes.toml")
_PLAIN = {name: {"type": typed} for typed, names in _TABLE["plain"].items() for name in names}


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


def plan_classes(target: str, truth: Callable[[str], object], text: Callable[[str], str]) -> Mapping[str, PlanClass]:
    """Classes of a target's programs by name, in the order in which they stand.

    Args:
        target: name of its tables, such as ``aws-ec2``.
        truth: evaluates a condition.
        text: fills a description, of which parts may depend on the stack.
    """
    return {
        name: PlanClass(Quoted(name), Quoted(row["about"]), tuple(_fields(f"{target}.{name}", row, truth, text)))
        for name, row in _TABLE.get(target, {}).items()
        if "when" not in row or truth(row["when"])
    }


def _fields(
    place: str, row: Mapping[str, Any], truth: Callable[[str], object], text: Callable[[str], str]
) -> Iterator[PlanField]:
    left_out = {name for condition, names in row.get("only", {}).items() if not truth(condition) for name in names}
    for name in row["fields"]:
        if name not in left_out:
            facts = _facts(place, name)
            yield PlanField(Quoted(name), Quoted(text(facts["type"])), Quoted(text(facts.get("about", ""))))


def _facts(place: str, name: str) -> Mapping[str, str]:
    """The row of a target's own field, else that of its class, else that of all classes."""
    keys = (f"{place}.{name}", f"{place.rpartition('.')[2]}.{name}", name)
    return next(rows[key] for key in keys for rows in (_TABLE["fields"], _PLAIN) if key in rows)
