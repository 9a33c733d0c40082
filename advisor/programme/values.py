"""Values of a programme: savings, items, combinations of levers, and their JSON document."""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from advisor.errors import InputError
from advisor.plan.plain_values import from_plain
from advisor.reading import OMITTED_AT_DEFAULT, json_of, read_text
from advisor.records import dataclass, field, fields
from advisor.units import to_cents

SCHEMA = "advisor.programme/v1"
DAYS = 30
_Kind = TypeVar("_Kind")
_HINT = "make it with `advisor programme … --format json -o programme.json`"


@dataclass(frozen=True, slots=True)
class Saving:
    """USD a month, and what it lies between."""

    usd_per_month: float
    low_usd_per_month: float
    high_usd_per_month: float

    def in_cents(self) -> "Saving":
        """Each amount rounded to cents, as it is shown: so that those of a total add up to it."""
        return Saving(*map(to_cents, (self.usd_per_month, self.low_usd_per_month, self.high_usd_per_month)))

    def at_most(self, usd_per_month: float) -> "Saving":
        """The same, and none of its amounts above *usd_per_month*."""
        amounts = (self.usd_per_month, self.low_usd_per_month, self.high_usd_per_month)
        return Saving(*(min(amount, usd_per_month) for amount in amounts))

    def plus(self, other: "Saving") -> "Saving":
        """Sum of two savings of different money."""
        return Saving(
            self.usd_per_month + other.usd_per_month,
            self.low_usd_per_month + other.low_usd_per_month,
            self.high_usd_per_month + other.high_usd_per_month,
        )


@dataclass(frozen=True, slots=True)
class Predicted:
    """Saving that was predicted, USD a month."""

    usd_per_month: float | None
    """None: no more is known than what it lies between."""
    low_usd_per_month: float
    high_usd_per_month: float


NOTHING = Saving(0.0, 0.0, 0.0)


def total_of(savings: Iterable[Saving]) -> Saving:
    """Sum of savings."""
    return reduce(Saving.plus, savings, NOTHING)


def predicted_in_all(parts: Sequence[Saving | Predicted]) -> Predicted:
    """Sum of what was predicted; between two amounts where a part is."""
    points = [part.usd_per_month for part in parts if part.usd_per_month is not None]
    return Predicted(
        sum(points) if len(points) == len(parts) else None,
        sum(part.low_usd_per_month for part in parts),
        sum(part.high_usd_per_month for part in parts),
    )


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
    """Cost that the bill has of it; else the cost of today's deployment, or of the plan without any lever."""
    usd_per_month: float
    """Cost with every lever of it."""
    alone_usd_per_month: tuple[tuple[str, float], ...]
    """Saving of each of its items by itself, of what is paid; never more than all of them save."""
    without_usd_per_month: tuple[tuple[str, float], ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Saving of all of its items but each, of what is paid; of those without which a fleet is known."""
    least_paid_usd_per_month: float | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Least that may be paid, where bill and workload do not tell it; None: as much as is paid."""

    @property
    def saving(self) -> Saving:
        """Difference of what is paid and the plan; from the least that may be paid."""
        usd = self.paid_usd_per_month - self.usd_per_month
        least = self.paid_usd_per_month if self.least_paid_usd_per_month is None else self.least_paid_usd_per_month
        return Saving(usd, least - self.usd_per_month, usd).in_cents()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not a part of the programme."""

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


@dataclass(frozen=True, slots=True)
class Document(Generic[_Kind]):
    """JSON document of this program whose keys are the fields of a dataclass; further keys are left out."""

    kind: type[_Kind]
    noun: str
    schema: str
    hint: str
    """Remedy where it cannot be read."""

    def read(self, path: Path) -> _Kind:
        """Value of a file.

        Raises:
            InputError: the file cannot be read, has another schema, or other fields.
        """
        return self.parse(read_text(path, self.noun, self.hint), str(path))

    def parse(self, text: str, where: str) -> _Kind:
        """Value of a text.

        Raises:
            InputError: it is not JSON, has another schema, or other fields.
        """
        document = json_of(text, where, self.hint)
        written = document.get("schema") if isinstance(document, dict) else None
        if written != self.schema:
            told = f"the schema is {str(written)[:40]!r}, and this version reads {self.schema}"
            raise InputError(told, where=where, hint=self.hint)
        held = _fields(document, [field.name for field in fields(self.kind)])  # type: ignore[arg-type] # a dataclass
        try:
            json.dumps(held, allow_nan=False)  # numbers beyond those of JSON
            return cast("_Kind", from_plain(self.kind, held))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"it is not a {self.noun} ({str(error)[:80]})", where=where, hint=self.hint) from error


PROGRAMME = Document(Programme, "programme", SCHEMA, _HINT)


def _fields(document: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}
