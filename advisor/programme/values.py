"""Values of a programme, and how its file is read."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Any

from advisor.errors import InputError
from advisor.plan.plain_values import from_plain
from advisor.reading import read_json

SCHEMA = "advisor.programme/v1"
DAYS = 30
_HINT = "make it with `advisor programme … --format json -o programme.json`"


@dataclass(frozen=True, slots=True)
class Saving:
    """USD a month, and what it lies between."""

    usd_per_month: float
    low_usd_per_month: float
    high_usd_per_month: float

    def plus(self, other: "Saving") -> "Saving":
        """Sum of two savings of different money."""
        return Saving(
            self.usd_per_month + other.usd_per_month,
            self.low_usd_per_month + other.low_usd_per_month,
            self.high_usd_per_month + other.high_usd_per_month,
        )


NOTHING = Saving(0.0, 0.0, 0.0)


def total_of(savings: Iterable[Saving]) -> Saving:
    """Sum of savings."""
    return reduce(Saving.plus, savings, NOTHING)


@dataclass(frozen=True, slots=True)
class Item:
    """Something to do, in one of the four weeks."""

    id: str
    """``ADV101``, ``support-chat/spot``, ``assess/baseline``."""
    title: str
    detail: str
    """Change to make, or the finding."""
    command: str
    check: str
    """How to see that it worked."""
    risk: str
    effort_hours: float
    saving: Saving | None = None
    """None: it saves nothing by itself, or how much is to be measured."""
    counted_in: str = ""
    """Id of what holds its saving in the total; "" where it counts by itself."""
    resources: tuple[str, ...] = ()
    """Billed resources that it is about; empty for levers."""
    week: int = 1
    owner: str = "platform"
    one_off_usd: float = 0.0
    payback_months: float | None = None
    """None: it saves nothing by itself."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Levers of one workload together, as the planner priced them."""

    id: str
    """``levers/WORKLOAD``, or ``plan/WORKLOAD``."""
    workload: str
    paid_usd_per_month: float
    """Cost of today's deployment; of the plan without any lever where nothing runs."""
    usd_per_month: float
    """Cost with every lever of it."""
    alone_usd_per_month: tuple[tuple[str, float], ...]
    """Saving of each of its items by itself."""

    @property
    def saving(self) -> Saving:
        """Difference of two plans, which have no interval."""
        usd = self.paid_usd_per_month - self.usd_per_month
        return Saving(usd, usd, usd)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is no part of the programme."""

    id: str
    title: str
    why: str


@dataclass(frozen=True, slots=True)
class Programme:
    """Thirty days of work, and what it is to save."""

    start: dt.date
    days: int
    hourly_rate_usd: float
    total: Saving
    """Saving of all items, money that several are about counted once."""
    effort_hours: float
    one_off_usd: float
    payback_months: float | None
    items: tuple[Item, ...]
    """By week."""
    combinations: tuple[Combination, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def read_programme(path: Path) -> Programme:
    """A programme from its file.

    Raises:
        InputError: it is none.
    """
    return document_of(Programme, path, "programme", SCHEMA, _HINT)  # type: ignore[no-any-return]


def document_of(kind: type[Any], path: Path, what: str, schema: str, hint: str) -> Any:  # noqa: ANN401 - of that kind
    """Value of a JSON document of this program.

    Args:
        kind: dataclass whose fields are the document's keys; further keys of the document are left out.
        path: the file.
        what: noun for messages.
        schema: value of the document's ``schema``.
        hint: remedy.

    Raises:
        InputError: the file cannot be read, has another schema, or other fields.
    """
    document = read_json(path, what, hint)
    written = document.get("schema") if isinstance(document, dict) else None
    if written != schema:
        raise InputError(
            f"the schema is {str(written)[:40]!r}, and this version reads {schema}", where=str(path), hint=hint
        )  # fmt: skip
    try:
        return from_plain(kind, _fields(document, [field.name for field in fields(kind)]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"it is no {what} ({str(error)[:80]})", where=str(path), hint=hint) from error


def _fields(document: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}
