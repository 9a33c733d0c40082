"""Month of a bill by workload, and savings counted from what it has."""

from collections.abc import Mapping

from advisor.audit.values import Audit
from advisor.names import normalised
from advisor.programme.values import Combination
from advisor.records import dataclass, field, replace
from advisor.units import A_CENT, HOURS_PER_MONTH

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


def _unnamed_words(workload: str, month: BilledMonth, against: str, *, runs_today: bool) -> str:
    """Both numbers of a workload that the bill does not name, and what would tell."""
    unnamed = f"no tag and no endpoint of the bill, of {month.usd_per_month:,.2f} USD a month, is called {workload}"
    least = "" if runs_today else ", and what is paid for it today may be as little as the plan with them"
    remedy = "audit with --tag of the tag that names it" + ("" if runs_today else ", or state `current`")
    return f"{unnamed}; {against}{least} ({remedy})"
