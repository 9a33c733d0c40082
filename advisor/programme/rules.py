"""Who does what when: the owner and the phase of every finding and lever, and what of the bill each programme has."""

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from advisor.audit.findings.rules import RULES
from advisor.audit.values import Audit, Effort, Phase
from advisor.errors import InputError
from advisor.names import normalised
from advisor.plan.plain_values import from_plain
from advisor.reading import OMITTED_AT_DEFAULT, json_of, read_text
from advisor.records import dataclass, field, fields, replace
from advisor.units import A_CENT, HOURS_PER_MONTH, to_cents

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
            InputError: it is no JSON, has another schema, or other fields.
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
            raise InputError(f"it is no {self.noun} ({str(error)[:80]})", where=where, hint=self.hint) from error


PROGRAMME = Document(Programme, "programme", SCHEMA, _HINT)


def _fields(document: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}


_SAME = 0.01
"""Relative difference below which two amounts are one."""


@dataclass(frozen=True, slots=True)
class BilledMonth:
    """A month of 730 hours of a bill, in USD."""

    usd_per_month: float
    by_name: Mapping[str, float] = field(default_factory=dict)
    """USD a month by value of a tag and by name of an endpoint; of one that several have the largest."""

    def of(self, workload: str) -> float | None:
        """USD a month of what has a workload's name; None: nothing has."""
        return self.by_name.get(normalised(workload))


def billed_month(audit: Audit) -> BilledMonth | None:
    """The month of an audit's bill; None where its period is not known, or it is in another currency."""
    if not audit.bill.hours or audit.bill.currency != "USD":
        return None
    months = audit.bill.hours / HOURS_PER_MONTH
    named = [(value, amount) for table in audit.tags for value, amount in table.values.items()]
    named += [(endpoint.name, endpoint.cost) for endpoint in audit.endpoints if endpoint.cost is not None]
    by_name: dict[str, float] = {}
    for name, amount in named:
        usd_per_month = float(amount) / months
        by_name[normalised(name)] = max(by_name.get(normalised(name), usd_per_month), usd_per_month)
    return BilledMonth(float(audit.bill.cost) / months, by_name)


def as_billed(
    combination: Combination, month: BilledMonth | None, left_usd_per_month: float, *, runs_today: bool
) -> tuple[Combination, str]:
    """A combination that saves of what the bill has, and a note where that is not known or differs; "" elsewhere.

    Args:
        combination: priced against today's deployment, or against a plan.
        month: the bill; None: there is none.
        left_usd_per_month: of the bill, beside what is paid of other combinations.
        runs_today: it is priced against today's deployment.
    """
    stated = combination.paid_usd_per_month
    if month is None:
        unpaid = f"neither a bill nor `current` says what is paid for {combination.workload}: savings are of the plan"
        return combination, "" if runs_today else f"{unpaid} without any of them ({stated:,.2f} USD a month)"
    billed = month.of(combination.workload)
    whose = "today's deployment as stated" if runs_today else "the plan without any of them"
    against = f"{whose} costs {stated:,.2f} USD a month"
    if billed is None:
        least = stated if runs_today else combination.usd_per_month
        told = _unnamed_words(combination.workload, month, against, runs_today=runs_today)
        return _paid(combination, min(stated, left_usd_per_month), least), told
    taken = _paid(combination, min(max(billed, 0.0), left_usd_per_month), max(stated, combination.usd_per_month))
    if abs(billed - stated) <= _SAME * max(billed, A_CENT):
        return taken, ""
    counted = "from which savings are counted" if billed >= 0 else "its credits exceed its charges: nothing is paid"
    return taken, f"the bill has {billed:,.2f} USD a month of {combination.workload}, {counted}; {against}"


def _paid(combination: Combination, paid: float, least: float) -> Combination:
    """The combination with another amount that is paid, and at least *least* of it."""
    moved = paid - combination.paid_usd_per_month
    alone = tuple((item, usd + moved) for item, usd in combination.alone_usd_per_month)
    return replace(
        combination,
        paid_usd_per_month=paid,
        alone_usd_per_month=alone,
        least_paid_usd_per_month=min(least, paid),
    )


def _unnamed_words(workload: str, month: BilledMonth, against: str, *, runs_today: bool) -> str:
    """Both numbers of a workload that the bill does not name, and what would tell."""
    unnamed = f"no tag and no endpoint of the bill, of {month.usd_per_month:,.2f} USD a month, is called {workload}"
    least = "" if runs_today else ", and what is paid for it today may be as little as the plan with them"
    remedy = "audit with --tag of the tag that names it" + ("" if runs_today else ", or state `current`")
    return f"{unnamed}; {against}{least} ({remedy})"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Owner and phase of a finding or a lever."""

    owner: str
    phase: Phase = Phase.QUICK


EFFORT_HOURS = {Effort.LOW: 4.0, Effort.MEDIUM: 24.0, Effort.HIGH: 120.0}
"""Hours of work of a finding, an estimate: half a day, three days, three weeks."""
MOST_HOURS_WEEK_2 = 8.0
"""Quick wins of so many hours begin in week 2, longer ones in week 3."""

FINDINGS = {rule.id: Assignment(rule.owner, rule.phase) for rule in RULES}
ABOUT_SERVING = frozenset(rule.id for rule in RULES if rule.is_serving)
AT_ENDPOINTS = frozenset(rule.id for rule in RULES if rule.is_at_endpoints)
LEVERS = {
    "accelerator": Assignment("platform", Phase.STRATEGIC),
    "cloud": Assignment("platform", Phase.STRATEGIC),
    "commit": Assignment("finance", Phase.STRATEGIC),
    "embedding_cache": Assignment("application"),
    "model": Assignment("ml", Phase.STRATEGIC),
    "region": Assignment("platform", Phase.STRATEGIC),
    "precision": Assignment("ml"),
    "prompt": Assignment("application"),
    "response_cache": Assignment("application"),
    "semantic_cache": Assignment("application"),
}
"""Levers that are not for the platform's owner, or no quick win."""
OTHERS = Assignment("platform")
OWNERS = tuple(dict.fromkeys(rule.owner for rule in (OTHERS, *FINDINGS.values(), *LEVERS.values())))
"""Owner tags that items have."""
EVALUATED = ("model", "precision", "prompt", "semantic_cache")
"""Levers that change answers."""
MEASURES = (
    (
        ("response_cache",),
        "Measure what caches would answer",
        "advisor demand cache requests.jsonl --format json -o {cache}",
        "`advisor levers {workload} --cache {cache}` prices the cache",
    ),
    (
        ("embedding_cache",),
        "Measure how many texts repeat",
        "advisor demand cache texts.jsonl --embedder {model} --format json -o {cache}",
        "`advisor levers {workload} --cache {cache}` prices the cache",
    ),
    (
        ("commit", "schedule"),
        "Record two weeks of demand",
        "advisor agent install systemd",
        "`advisor levers {workload}` prices commitments",
    ),
)
"""Levers without a price, and what measures the figure that they lack: levers, title, command, check."""
STEPS = {
    "response_cache": "the application looks answers up and stores them",
    "embedding_cache": "the application looks vectors up and stores them",
    "semantic_cache": "the application embeds each prompt, searches the stored ones and stores what it did not find",
}
"""Work beside the workload file, by lever: no engine does it."""
MEASURE_HOURS = 4.0
BASELINE_HOURS = 2.0
