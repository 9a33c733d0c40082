"""Values of a programme (savings, items, combinations of levers) and of its review, and their JSON documents."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt

from advisor.audit import Audit
from advisor.names import normalised
from advisor.plan.plain_values import Document
from advisor.plan.values import PriceEnds
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.units import A_CENT, HOURS_PER_MONTH, to_cents

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
    price_range: PriceEnds | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Cost of the plan over the range of its doubtful prices; None: no price is in doubt."""

    @property
    def saving(self) -> Saving:
        """Paid - plan; from the least that may be paid and the plan's upper prices to the plan's lower prices.

        If no more than the plan's own cost may be paid, its prices are those of what is paid, too: nothing is saved.
        """
        paid, planned, ends = self.paid_usd_per_month, self.usd_per_month, self.price_range
        least = paid if self.least_paid_usd_per_month is None else self.least_paid_usd_per_month
        low, high = (planned, planned) if ends is None else (ends.low_usd_per_month, ends.high_usd_per_month)
        high = planned if least <= planned else high
        return Saving(paid - planned, least - high, paid - low).in_cents()


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
    """Months from the start until the items, each from the end of its week, have saved what all of them cost."""
    items: tuple[Item, ...]
    """By week."""
    combinations: tuple[Combination, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


PROGRAMME = Document(Programme, "programme", SCHEMA, _HINT)


Floats = npt.NDArray[np.float64]

LEAST_DAYS = 14
"""Two of each weekday: with fewer a day cannot be told from its weekday."""
LARGEST_SCORE = 3.5
"""Modified z-score of an outlier (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
_NORMAL = 1.4826
"""Standard deviation of a normal distribution ÷ its median absolute deviation."""
_LEAST_SHARE = 0.01
"""Robust standard deviation at the least: a bill that never varies has no anomaly of a cent."""
_WEEK = 7
_AGREEING = 0.8
_TURNS = 4
REVIEW_SCHEMA = "advisor.review/v1"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Day whose cost is unlike that of its weekday."""

    day: dt.date
    cost_usd: float
    expected_usd: float
    score: float
    """Residual in robust standard deviations."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Regular part of a series of days."""

    expected: Floats
    per_day: float
    """Slope."""


def pattern_of(days: Sequence[dt.date], costs: Floats, breaks: Sequence[dt.date] = ()) -> Pattern:
    """Expected cost = (level between breaks + slope × day) × factor of the weekday, each a median.

    The slope is the median over pairs of days a whole number of weeks apart, in one stretch (Theil 1950, Sen 1968);
    none unless 80 % of the pairs agree on its direction. *breaks*: days on which something changed on purpose begin a
    level of their own. The three are found in turns, as each takes the others out of the costs. Some of the days may be
    missing.
    """
    number = np.array([(day - days[0]).days for day in days], np.float64)
    stretch = np.array([sum(day >= change for change in set(breaks)) for day in days])
    weekday = np.array([day.weekday() for day in days])
    factor, base, slope = np.ones(_WEEK), np.zeros_like(costs), 0.0
    for _ in range(_TURNS):
        even = costs / factor[weekday]
        slope = _slope(number, even, stretch)
        for part in np.unique(stretch):
            here = stretch == part
            base[here] = np.median((even - slope * number)[here]) + slope * number[here]
        if base.min() <= 0:
            break
        factor = np.array([_median((costs / base)[weekday == day], 1.0) for day in range(_WEEK)])
        factor = factor / factor.mean() if factor.min() > 0 else np.ones(_WEEK)
    return Pattern(base * factor[weekday], slope)


def anomalies_of(costs: Mapping[dt.date, float], breaks: Sequence[dt.date] = ()) -> tuple[Anomaly, ...] | None:
    """Days whose cost ÷ expected cost is beyond 3.5 robust standard deviations; None: there are too few days."""
    if len(costs) < LEAST_DAYS:
        return None
    days = sorted(costs)
    values = np.array([costs[day] for day in days])
    expected = pattern_of(days, values, breaks).expected
    judged = np.flatnonzero(expected > 0)
    ratios = values[judged] / expected[judged] - 1
    scores = ratios / max(robust_deviation(ratios), _LEAST_SHARE) if judged.size else ratios
    return tuple(
        Anomaly(days[at], float(values[at]), float(expected[at]), float(score))
        for at, score in zip(judged, scores, strict=True)
        if abs(score) > LARGEST_SCORE
    )


def robust_deviation(residuals: Floats) -> float:
    """Standard deviation of a normal distribution with the same median absolute deviation."""
    return _NORMAL * float(np.median(np.abs(residuals - np.median(residuals))))


def _slope(number: Floats, costs: Floats, stretch: npt.NDArray[np.int64]) -> float:
    first, second = np.triu_indices(number.size, 1)
    gap = number[second] - number[first]
    kept = (gap % _WEEK == 0) & (stretch[first] == stretch[second])
    slopes = (costs[second] - costs[first])[kept] / gap[kept]
    slope = _median(slopes)
    return slope if slopes.size and np.mean(np.sign(slopes) == np.sign(slope)) >= _AGREEING else 0.0


def _median(values: Floats, without: float = 0.0) -> float:
    return float(np.median(values)) if values.size else without


@dataclass(frozen=True, slots=True)
class Applied:
    """Items that were applied to the same money, and what became of it."""

    id: str
    items: tuple[str, ...]
    first_on: dt.date
    last_on: dt.date
    predicted: Predicted
    billed: Saving | None
    """By the bill: days before the first against days after the last; None: there are too few."""
    served: Saving | None
    """The same at today's number of requests; None: no request log spans both."""
    why_unknown: str
    days_before: int
    days_after: int


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """Resource whose cost changed."""

    resource: str
    before_usd_per_month: float
    after_usd_per_month: float


@dataclass(frozen=True, slots=True)
class PlannedCost:
    """Plan against the bill of accelerated machines."""

    plan: str
    planned_usd_per_month: float
    billed_usd_per_month: float


@dataclass(frozen=True, slots=True)
class Review:
    """Report on the time since a day."""

    since: dt.date
    until: dt.date
    """Last day of the bill."""
    cost: str
    """Which cost of the bill: effective or billed."""
    predicted: Predicted
    """Sum over what the bill can judge."""
    billed: Saving
    applied: tuple[Applied, ...]
    """Savings that turned out negative first."""
    usd_per_month: float
    """Cost of the days from :attr:`now_from` on, as a month."""
    now_from: dt.date
    """First of the latest whole weeks after the last applied change, or of the days; without a day after it, of all."""
    trend_usd_per_month: float | None
    """Change of the monthly cost in a month, apart from what was applied; None: too few days."""
    anomalies: tuple[Anomaly, ...] | None
    """None: too few days."""
    changes: tuple[ResourceChange, ...]
    before: tuple[dt.date, dt.date] | None
    """First and last day that the changes compare those from :attr:`now_from` on with: whole weeks, where there are."""
    plans: tuple[PlannedCost, ...]
    next_steps: tuple[str, ...]
    notes: tuple[str, ...]


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

    *left_usd_per_month*: of the bill, beside what is paid of other combinations. *runs_today*: it is priced against
    today's deployment, else against a plan.
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
    alone, without = (
        tuple((item, usd + moved) for item, usd in savings)
        for savings in (combination.alone_usd_per_month, combination.without_usd_per_month)
    )
    return replace(
        combination,
        paid_usd_per_month=paid,
        alone_usd_per_month=alone,
        without_usd_per_month=without,
        least_paid_usd_per_month=min(least, paid),
    )


def not_billed_words(combination: Combination, month: BilledMonth, left_usd: float, *, runs_today: bool) -> str:
    """A bill that neither names a workload nor is enough for it, and what savings are counted from instead."""
    least, stated = combination.usd_per_month, combination.paid_usd_per_month
    whose = "today's deployment as stated" if runs_today else "the plan without any of them"
    return (
        f"no tag and no endpoint of the bill, of {month.usd_per_month:,.2f} USD a month, is called "
        f"{combination.workload}, and the {left_usd:,.2f} left on it do not even pay for the plan with all levers "
        f"({least:,.2f}): it is not on this bill, and savings are of {whose} ({stated:,.2f} USD a month)"
    )


def _unnamed_words(workload: str, month: BilledMonth, against: str, *, runs_today: bool) -> str:
    """Both numbers of a workload that the bill does not name, and what would tell."""
    unnamed = f"no tag and no endpoint of the bill, of {month.usd_per_month:,.2f} USD a month, is called {workload}"
    least = "" if runs_today else ", and what is paid for it today may be as little as the plan with them"
    remedy = "audit with --tag of the tag that names it" + ("" if runs_today else ", or state `current`")
    return f"{unnamed}; {against}{least} ({remedy})"
