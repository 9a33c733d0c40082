"""Prices of a plan against those of the catalog."""

import datetime as dt
from collections.abc import Iterator

from advisor.catalog import Catalog
from advisor.catalog.price_trust import first_day
from advisor.checks.values import Policy
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.values import Plan
from advisor.units import A_CENT

RULES = ("CHK101", "CHK102", "CHK103", "CHK104")
_AGAIN = "advisor recommend WORKLOAD --previous PLAN.json"


def look(plan: Plan, catalog: Catalog, today: dt.date, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """Prices that moved or are old, types that are not sold any more, and what they add up to against the budget."""
    for group in plan.fleet.groups if plan.fleet else ():
        yield from _of_group(group, catalog, policy)
        yield from _of_age(group, today, policy)
    yield from _over_budget(plan, catalog, policy)


def _of_group(group: FleetGroup, catalog: Catalog, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """The price of a group today, where it is sold on demand or spot: others are no rows of their own."""
    if group.purchase not in ("on_demand", "spot"):
        return
    offer = catalog.offer(group.provider, group.region, group.instance_type)
    if offer is None or offer.withdrawn:
        yield "CHK102", group.name, f"{group.instance_type} is not sold in {group.region} any more", _AGAIN
        return
    price = offer.spot if group.purchase == "spot" else offer.on_demand
    if price is None:
        yield "CHK102", group.name, f"{group.instance_type} has no price on {group.purchase} in {group.region}", _AGAIN
        return
    then, now = group.instance_usd_per_hour, price.usd_per_hour
    if then and abs(now / then - 1) > policy.price_tolerance_ratio:
        told = f"planned at {then:.5g} USD an hour, now {now:.5g} ({now / then - 1:+.1%})"
        yield "CHK101", group.name, f"{told}; {policy.price_tolerance_ratio:.0%} is tolerated", _AGAIN


def _of_age(group: FleetGroup, today: dt.date, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    if group.purchase == "owned":
        return
    day = first_day(group.price_as_of)
    most = policy.max_spot_price_age_days if group.purchase == "spot" else policy.max_price_age_days
    age = None if day is None else (today - day).days
    if age is None or age > most:
        told = "has no date" if age is None else f"is {age} days old"
        refresh = f"advisor catalog refresh {group.provider}"
        yield "CHK103", group.name, f"the price of {group.instance_type} {told}; {most:.0f} are accepted", refresh


def _over_budget(plan: Plan, catalog: Catalog, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """The total at today's prices against the lower of the budgets that workload and policy state."""
    stated = {
        "limits.max_usd_per_month of the workload": plan.workload["limits"]["max_usd_per_month"],
        "max_usd_per_month of the policy": policy.max_usd_per_month,
    }
    budgets = [(usd, where) for where, usd in stated.items() if usd is not None]
    if plan.fleet is None or not budgets:
        return
    budget, where = min(budgets)
    now = usd_today(plan.fleet, catalog)
    if now > budget + A_CENT / 2:
        yield "CHK104", "", f"{now:,.2f} USD a month at today's prices, {budget:,.2f} are budgeted ({where})", _AGAIN


def usd_today(fleet: Fleet, catalog: Catalog) -> float:
    """USD a month of the fleet where what it pays on demand and on spot costs what it costs today."""
    usd = fleet.cost.total_usd_per_month
    for group in fleet.groups:
        offer = catalog.offer(group.provider, group.region, group.instance_type)
        price = None if offer is None else {"spot": offer.spot, "on_demand": offer.on_demand}.get(group.purchase)
        if price is not None and group.instance_usd_per_hour:
            usd += group.compute_usd_per_month * (price.usd_per_hour / group.instance_usd_per_hour - 1)
    return usd
