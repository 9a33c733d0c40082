"""Prices that cannot be relied on: derived, recalled or old; which decide a plan, and what listed ones would give."""

import datetime as dt
import math
from collections.abc import Iterator, Sequence

from advisor.catalog.catalog import Catalog
from advisor.catalog.price_trust import PriceTrust, trust
from advisor.catalog.values import Price, Provenance, Purchase, Quality
from advisor.plan.fleet.chosen import DoubtfulPrice, Fleet, FleetGroup
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.values import Option

_OF_PURCHASE = {
    PurchaseOption.ON_DEMAND: Purchase.ON_DEMAND,
    PurchaseOption.SERVERLESS: Purchase.ON_DEMAND,
    PurchaseOption.SPOT: Purchase.SPOT,
    PurchaseOption.COMMITMENT: Purchase.COMMITMENT,
    PurchaseOption.MANAGED: Purchase.MANAGED,
}


def doubtful_prices(
    fleet: Fleet, options: Sequence[Option], today: dt.date, catalog: Catalog
) -> Iterator[DoubtfulPrice]:
    """Prices of a fleet that are derived, recalled or old, and spot prices that differ from zone to zone.

    They decide where, at the upper end of their intervals, an option on listed prices is cheaper. A price that can only
    have fallen since decides nothing: the fleet is the cheapest all the more.

    Args:
        fleet: the recommended one.
        options: fleets of one type, the cheapest first.
        today: the day that ages are counted to.
        catalog: what the prices are from.
    """
    doubted = [
        (group, group_trust)
        for group in fleet.groups
        if (group_trust := _trust_of_group(group, today, catalog)) is not None
    ]  # fmt: skip
    rival = next((option for option in options if _is_certain(option, today, catalog)), None)
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


def _trust_of_group(group: FleetGroup, today: dt.date, catalog: Catalog) -> PriceTrust | None:
    """Reliability of a group's price; None where it can be relied on, or where nothing is paid."""
    purchase = _OF_PURCHASE.get(PurchaseOption(group.purchase))
    if purchase is None:
        return None
    origin = Provenance(group.price_source, group.price_as_of, Quality(group.price_quality))
    price = Price(group.instance_usd_per_hour, origin, _by_zone(group, purchase, catalog))
    price_trust = trust(price, purchase, today)
    return None if price_trust.certain else price_trust


def _is_certain(option: Option, today: dt.date, catalog: Catalog) -> bool:
    cost, purchase = option.cost, _OF_PURCHASE.get(PurchaseOption(option.purchase))
    if purchase is None:
        return False
    origin = Provenance(cost.price_source, cost.price_as_of, Quality(cost.price_quality))
    price = Price(cost.instance_usd_per_hour, origin, _by_zone(option, purchase, catalog))
    return trust(price, purchase, today).certain


def _by_zone(bought: FleetGroup | Option, purchase: Purchase, catalog: Catalog) -> tuple[float, float] | None:
    """Lowest and highest price of the region's zones where known: a plan keeps the median alone."""
    offer = catalog.offer(bought.provider, bought.region, bought.instance_type)
    spot = offer.spot if offer is not None and purchase is Purchase.SPOT else None
    return None if spot is None else spot.zones_usd_per_hour


def _words(option: Option) -> str:
    paid = option.purchase.replace("_", " ")
    return f"{option.instances} × {option.instance_type} {paid} in {option.region} ({option.provider})"
