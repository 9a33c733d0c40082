"""Values of a review, which are read and shown where no bill is."""

import datetime as dt
from dataclasses import dataclass

from advisor.programme.residuals import Anomaly
from advisor.programme.values import Saving

SCHEMA = "advisor.review/v1"


@dataclass(frozen=True, slots=True)
class Applied:
    """Items that were applied to the same money, and what became of it."""

    id: str
    items: tuple[str, ...]
    first_on: dt.date
    last_on: dt.date
    predicted: Saving
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
    predicted: Saving
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
