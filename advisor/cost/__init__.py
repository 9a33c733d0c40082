"""Prices and counts in; the one total out. Here: break-even of commitments, and which of those owned still hold."""

import datetime as dt
import math

from advisor.catalog import Catalog
from advisor.cost.services import FLEET_LEAVES_OUT, hourly_to_monthly
from advisor.records import dataclass
from advisor.units import HOURS_PER_DAY, HOURS_PER_MONTH, usd
from advisor.workload.holds import check_known
from advisor.workload.values import OwnedCommitment, Workload

__all__ = ["FLEET_LEAVES_OUT", "hourly_to_monthly"]

ENDING = "Commitment ends: "
"""Beginning of what is said of a commitment that ends within the horizon."""


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Use from which a commitment, paid every hour, is cheaper than paying only for the hours in use."""

    utilization: float
    """Share of the hours; above 1 it never pays off."""
    hours_per_month: float


@dataclass(frozen=True, slots=True)
class Owned:
    """Commitments that are paid for as long as a plan has to hold."""

    valid: tuple[OwnedCommitment, ...]
    notes: tuple[str, ...]
    """Names those that have expired, and those that end before that."""


def break_even(committed_usd_per_hour: float, alternative_usd_per_hour: float | None) -> BreakEven | None:
    """``utilization = committed ÷ alternative``: with it, the alternative's hours in use cost as much as all hours.

    The alternative is the price on demand or on spot; None when that is unknown.
    """
    if alternative_usd_per_hour is None:
        return None
    utilization = committed_usd_per_hour / alternative_usd_per_hour
    return BreakEven(utilization, utilization * HOURS_PER_MONTH)


def owned_commitments(workload: Workload, catalog: Catalog, today: dt.date) -> Owned:
    """The workload's commitments that hold to the end of its horizon, from its ``as_of`` day or else *today*.

    The day of expiry itself is still covered. One that ends before pays for nothing in a plan that has to hold longer.
    Raises InputError if a commitment names a provider, an instance type or a region that the catalog does not know.
    """
    day = workload.as_of or today
    valid, notes = [], []
    for index, owned in enumerate(workload.commitments):
        types = [name for provider, name in catalog.instance_types if provider == owned.provider]
        for kind, name, names in (
            ("provider", owned.provider, catalog.providers),
            (f"instance type of {owned.provider}", owned.instance_type, types),
            (f"region of {owned.provider}", owned.region, catalog.regions_of(owned.provider)),
        ):
            check_known(workload, f"commitments[{index}]", kind, name, names)
        if owned.expires < day:
            notes.append(
                f"the commitment to {owned.count} × {owned.instance_type} in {owned.region} expired on "
                f"{owned.expires.isoformat()}, before {day.isoformat()}: it is left out"
            )
        elif owned.expires < last_day(day, workload.horizon_days):
            notes.append(_ending_words(owned, workload, catalog, day))
        else:
            valid.append(owned)
    return Owned(tuple(valid), tuple(notes))


def last_day(day: dt.date, horizon_days: float) -> dt.date:
    """Last day of a horizon that begins on a day; that day where it is shorter."""
    return day + dt.timedelta(days=max(math.ceil(horizon_days) - 1, 0))


def _ending_words(owned: OwnedCommitment, workload: Workload, catalog: Catalog, day: dt.date) -> str:
    """Note on an end within the horizon: its day, the plan after it, and the worth of the instances until then."""
    offer = catalog.offer(owned.provider, owned.region, owned.instance_type)
    price = None if offer is None else offer.on_demand
    days = (owned.expires - day).days + 1
    worth = "" if price is None else f", worth {usd(owned.count * days * HOURS_PER_DAY * price.usd_per_hour)} on demand"
    return (
        f"{ENDING}{owned.count} × {owned.instance_type} in {owned.region} are paid until {owned.expires.isoformat()} "
        f"({days} of the {workload.horizon_days:g} days of demand.horizon): planned is what the fleet costs after it; "
        f"use them until then{worth}"
    )
