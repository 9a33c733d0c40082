"""Prices that are listed and recent alone, where nothing else may be used."""

import datetime as dt

from advisor.catalog.values import Offer, Price, Provenance, Quality
from advisor.pipeline import plan_for
from builders import catalog_of, workload

DAY = dt.date(2026, 11, 24)


def sold(name: str, usd_per_hour: float, as_of: str, quality: Quality = Quality.LISTED) -> Offer:
    """A machine on demand at a price of some day and quality."""
    price = Price(usd_per_hour, Provenance("a price list", as_of, quality))
    return Offer("aws", "us-east-1", name, on_demand=price, spot=None)


def test_only_listed_and_recent_prices_are_used():
    """Derived and old prices are cheaper and left out, each with its reason; they count where they may."""
    catalog = catalog_of(
        sold("g6e.xlarge", 1.86, "2026-11-01"),
        sold("g5.xlarge", 0.10, "2026-11-01", Quality.DERIVED),
        sold("g6.xlarge", 0.11, "2026-01-01"),
    )

    free = plan_for(workload(as_of=DAY), catalog)
    plan = plan_for(workload(as_of=DAY, listed_only=True), catalog)

    assert {group.instance_type for group in free.fleet.groups} <= {"g5.xlarge", "g6.xlarge"}
    assert {group.instance_type for group in plan.fleet.groups} == {"g6e.xlarge"}
    assert {option.instance_type for option in plan.options} == {"g6e.xlarge"}
    left_out = {one.instance_type for one in plan.rejected if one.code == "not_listed"}
    assert left_out == {"g5.xlarge", "g6.xlarge"}
