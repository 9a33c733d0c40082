"""Values of a programme: savings, items, combinations of levers, and their JSON document."""

import datetime as dt
from collections.abc import Iterable
from functools import reduce

from advisor.plan.plain_values import Document
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field
from advisor.units import to_cents

SCHEMA = "advisor.programme/v1"
DAYS = 30
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
    """Cost that the bill has of it; else the cost of today's deployment, or of the plan without any lever."""
    usd_per_month: float
    """Cost with every lever of it."""
    alone_usd_per_month: tuple[tuple[str, float], ...]
    """Saving of each of its items by itself, of what is paid; never more than all of them save."""
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


PROGRAMME = Document(Programme, "programme", SCHEMA, _HINT)
