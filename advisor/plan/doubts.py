"""Prices that cannot be relied on: derived, recalled or old; which decide a plan, and what listed ones would give."""

import datetime as dt
import math
from collections.abc import Iterator, Sequence

from advisor.catalog.price_trust import PriceTrust, trust
from advisor.catalog.values import Price, Provenance, Purchase, Quality
from advisor.plan.fleet.chosen import DoubtfulPrice, Fleet, FleetGroup
from advisor.plan.problem.values import Paid
from advisor.plan.values import Option

_OF_PURCHASE = {
    Paid.ON_DEMAND: Purchase.ON_DEMAND,
    Paid.SERVERLESS: Purchase.ON_DEMAND,
    Paid.SPOT: Purchase.SPOT,
    Paid.COMMITMENT: Purchase.COMMITMENT,
    Paid.MANAGED: Purchase.MANAGED,
}


def doubtful_prices(fleet: Fleet, options: Sequence[Option], today: dt.date) -> Iterator[DoubtfulPrice]:
    """Prices of a fleet that are derived, recalled or old.

    They decide where, at the upper end of their intervals, an option on listed prices is cheaper. A price that can only
    have fallen since decides nothing: the fleet is the cheapest all the more.

    Args:
        fleet: the recommended one.
        options: fleets of one type, the cheapest first.
        today: the day that ages are counted to.
    """
    doubted = [
        (group, group_trust)
        for group in fleet.groups
        if (group_trust := _trust_of_group(group, today)) is not None
    ]  # fmt: skip
    rival = next((option for option in options if _is_listed(option, today)), None)
    dearest = fleet.cost.total_usd_per_month + math.fsum(
        group.compute_usd_per_month * (group_trust.high_ratio - 1) for group, group_trust in doubted
    )
    overtaken = rival is None or dearest > rival.cost.total_usd_per_month
    for group, group_trust in doubted:
        yield DoubtfulPrice(
            group=group.name,
            reason=group_trust.reason,
            low_ratio=group_trust.low_ratio,
            high_ratio=group_trust.high_ratio,
            runner_up=() if rival is None else (_words(rival),),
            runner_up_usd_per_month=None if rival is None else rival.cost.total_usd_per_month,
            decides=overtaken and group_trust.high_ratio > 1,
        )


def _trust_of_group(group: FleetGroup, today: dt.date) -> PriceTrust | None:
    """How far a group's price can be relied on; None where it can, or where nothing is paid."""
    purchase = _OF_PURCHASE.get(Paid(group.purchase))
    if purchase is None:
        return None
    origin = (group.price_source, group.price_as_of, group.price_quality)
    found = _trust(group.instance_usd_per_hour, origin, purchase, today)
    return None if found.listed else found


def _is_listed(option: Option, today: dt.date) -> bool:
    cost, purchase = option.cost, _OF_PURCHASE.get(Paid(option.purchase))
    origin = (cost.price_source, cost.price_as_of, cost.price_quality)
    return purchase is not None and _trust(cost.instance_usd_per_hour, origin, purchase, today).listed


def _trust(usd_per_hour: float, origin: tuple[str, str, str], purchase: Purchase, today: dt.date) -> PriceTrust:
    source, as_of, quality = origin
    return trust(Price(usd_per_hour, Provenance(source, as_of, Quality(quality))), purchase, today)


def _words(option: Option) -> str:
    paid = option.purchase.replace("_", " ")
    return f"{option.instances} × {option.instance_type} {paid} in {option.region} ({option.provider})"
