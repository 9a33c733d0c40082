"""Prices of a plan against those of the catalog."""

import datetime as dt
from collections.abc import Iterator, Mapping

from advisor.catalog import Catalog
from advisor.catalog.price_trust import first_day
from advisor.catalog.values import Offer
from advisor.checks.policy import Policy
from advisor.plan.fleet.chosen import FleetGroup
from advisor.plan.values import Plan

RULES = ("CHK101", "CHK102", "CHK103")
_AGAIN = "advisor recommend WORKLOAD --previous PLAN.json"


def look(plan: Plan, catalog: Catalog, today: dt.date, policy: Policy) -> Iterator[tuple[str, str, str, str]]:
    """Prices that moved or are old, and types that are not sold any more."""
    offers = {(offer.provider, offer.region, offer.instance_type): offer for offer in catalog.offers}
    for group in plan.fleet.groups if plan.fleet else ():
        yield from _of_group(group, offers, policy)
        yield from _of_age(group, today, policy)


def _of_group(
    group: FleetGroup, offers: Mapping[tuple[str, str, str], Offer], policy: Policy
) -> Iterator[tuple[str, str, str, str]]:
    """The price of a group today, where it is sold on demand or spot: others are no rows of their own."""
    if group.purchase not in ("on_demand", "spot"):
        return
    offer = offers.get((group.provider, group.region, group.instance_type))
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
    day = first_day(group.price_as_of)
    most = policy.max_spot_price_age_days if group.purchase == "spot" else policy.max_price_age_days
    age = None if day is None else (today - day).days
    if age is None or age > most:
        told = "has no date" if age is None else f"is {age} days old"
        refresh = f"advisor catalog refresh {group.provider}"
        yield "CHK103", group.name, f"the price of {group.instance_type} {told}; {most:.0f} are accepted", refresh
