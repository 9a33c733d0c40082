"""Prices of a plan that cannot be relied on, and which of them decide."""

import datetime as dt
from dataclasses import replace

import pytest

from advisor.catalog.values import Offer, Price, Provenance, Purchase, Quality
from advisor.pipeline import plan_for
from advisor.report.price_age import price_words
from advisor.units import price_usd
from advisor.workload.values import Limits
from builders import LISTED, catalog_of, workload

TODAY = dt.date(2026, 1, 2)
OLD = Provenance("a price list", "2024-08-01", Quality.LISTED)
RECALLED = Provenance("memory", "2026-01-01", Quality.RECALLED)


def sold(name, usd, provenance=LISTED, spot=None) -> Offer:
    """An offer in us-east-1 whose prices are from somewhere."""
    on_demand = None if usd is None else Price(usd, provenance)
    return Offer("aws", "us-east-1", name, on_demand, None if spot is None else Price(spot, provenance))


def planned(*offers, **changes):
    """A plan of 2 January 2026, a day after the listed prices."""
    work = workload(purchase=(Purchase.ON_DEMAND,), as_of=TODAY, **changes)
    return plan_for(work, catalog_of(*offers))


def test_listed_and_recent_prices_are_not_in_doubt():
    """Nothing is said of a price that stands in a list of yesterday."""
    assert planned(sold("g6e.xlarge", 1.86), sold("g5.xlarge", 3.0)).fleet.doubtful_prices == ()


def test_a_price_that_decides_names_the_runner_up():
    """A recalled price that makes the difference is named, with the cheapest option on listed prices."""
    plan = planned(sold("g6e.xlarge", 1.0, RECALLED), sold("g6e.2xlarge", 1.2))
    (doubt,) = plan.fleet.doubtful_prices

    assert "recalled" in doubt.reason
    assert doubt.group == plan.fleet.groups[0].name
    assert "g6e.2xlarge" in doubt.runner_up[0]
    assert doubt.runner_up_usd_per_month >= plan.fleet.cost.total_usd_per_month
    assert doubt.low_ratio <= 1 <= doubt.high_ratio
    assert doubt.decides


def test_a_price_that_may_only_have_fallen_decides_nothing():
    """List prices of a year ago are in doubt, but not higher today: the fleet stays the cheapest."""
    for others in ((sold("g6e.2xlarge", 1.2),), ()):
        (doubt,) = planned(sold("g6e.xlarge", 1.0, OLD), *others).fleet.doubtful_prices
        assert (doubt.decides, doubt.high_ratio) == (False, 1.0)
        assert "older than 90 days" in doubt.reason


def test_an_old_price_that_cannot_rise_over_the_runner_up_does_not_decide():
    """Where the dearest that it may be today is still the cheapest, the price is in doubt and decides nothing."""
    plan = planned(sold("g6e.xlarge", 0.5, RECALLED), sold("p5.48xlarge", 55.0))

    assert plan.fleet.groups[0].instance_type == "g6e.xlarge"
    assert [doubt.decides for doubt in plan.fleet.doubtful_prices] == [False]


def test_without_an_option_on_listed_prices_every_doubt_decides():
    """Nothing to compare with: the doubt is told, and that there is no runner-up."""
    (doubt,) = planned(sold("g6e.xlarge", 1.86, RECALLED)).fleet.doubtful_prices

    assert doubt.decides
    assert doubt.runner_up == ()
    assert doubt.runner_up_usd_per_month is None


def test_spot_that_differs_from_zone_to_zone_is_in_doubt():
    """The median is planned with; the dearest zone decides where it costs more than what is certain."""
    doubts = []
    for high in (0.32, 2.0):
        spot = Price(0.3, LISTED, (0.2, high))
        offer = Offer("aws", "us-east-1", "g6e.xlarge", None, spot)
        work = workload(purchase=(Purchase.ON_DEMAND, Purchase.SPOT), as_of=TODAY)
        plan = plan_for(work, catalog_of(offer, sold("g6e.2xlarge", 0.8)))
        assert {group.instance_usd_per_hour for group in plan.fleet.groups} == {0.3}
        doubts += plan.fleet.doubtful_prices
    assert [doubt.reason for doubt in doubts] == ["$0.20 to $0.32 by zone", "$0.20 to $2.00 by zone"]
    assert [round(doubt.high_ratio, 2) for doubt in doubts] == [1.07, 6.67]
    assert [doubt.decides for doubt in doubts] == [False, True]


def test_listed_only_plans_without_them():
    """With ``listed_only`` what is in doubt is not sold, and its rejection says why."""
    plan = planned(sold("g6e.xlarge", 0.5, OLD), sold("g5.xlarge", 1.0), listed_only=True)

    assert {group.instance_type for group in plan.fleet.groups} == {"g5.xlarge"}
    assert plan.fleet.doubtful_prices == ()
    assert any(one.instance_type == "g6e.xlarge" and one.code == "not_listed" for one in plan.rejected)


def test_the_upper_end_is_told_with_the_rival_and_the_break_even_price():
    """At the break-even price of a machine the fleet costs what the first rival costs, replanned with that price."""
    rival = sold("g6e.2xlarge", 1.2)
    plan = planned(sold("g6e.xlarge", 1.0, RECALLED), rival)
    (doubt,), ends = plan.fleet.doubtful_prices, plan.fleet.price_range
    at_most = planned(sold("g6e.xlarge", doubt.high_ratio), sold("g5.xlarge", 30.0))
    at_break_even = planned(sold("g6e.xlarge", doubt.break_even_usd_per_hour), sold("g5.xlarge", 30.0))

    assert at_most.fleet.groups[0].instances == plan.fleet.groups[0].instances
    assert ends.high_usd_per_month == pytest.approx(at_most.fleet.cost.total_usd_per_month, abs=0.02)
    assert at_break_even.fleet.cost.total_usd_per_month == pytest.approx(ends.rival_usd_per_month, abs=0.02)
    assert ends.low_usd_per_month < plan.fleet.cost.total_usd_per_month < ends.rival_usd_per_month
    assert "g6e.2xlarge" in ends.rival
    assert not ends.rival_in_doubt
    below, above = (
        planned(sold("g6e.xlarge", doubt.break_even_usd_per_hour * ratio), rival).fleet.groups[0].instance_type
        for ratio in (0.99, 1.01)
    )
    assert (below, above) == ("g6e.xlarge", "g6e.2xlarge")


def test_a_price_that_may_break_the_budget_decides():
    """At the price that is told the fleet costs the budget, replanned with it; no rival is needed to decide."""
    offers = (sold("g6e.xlarge", 0.5, RECALLED), sold("p5.48xlarge", 55.0))
    free = planned(*offers).fleet
    most_usd = round((free.cost.total_usd_per_month + free.price_range.high_usd_per_month) / 2)
    fleet = planned(*offers, limits=Limits(max_usd_per_month=most_usd)).fleet
    (doubt,) = fleet.doubtful_prices

    assert free.doubtful_prices[0].budget_usd_per_hour is None
    assert doubt.decides
    assert doubt.break_even_usd_per_hour is None
    at_budget = planned(sold("g6e.xlarge", doubt.budget_usd_per_hour), offers[1]).fleet
    assert at_budget.cost.total_usd_per_month == pytest.approx(most_usd, abs=0.02)
    (words,) = price_words(fleet)
    assert (
        f"in doubt and decides. The answer holds while it costs less than {price_usd(doubt.budget_usd_per_hour)} an hour: "
        "above that the fleet is beyond limits.max_usd_per_month. No option rests on listed prices alone. At its upper price the fleet costs "
    ) in words


def test_of_rival_and_budget_the_one_that_comes_first_is_told():
    """The answer holds up to the smaller of both prices; a rival that is beyond the budget itself is none."""
    offers = (sold("g6e.xlarge", 1.0, RECALLED), sold("g6e.2xlarge", 1.2))
    free = planned(*offers).fleet
    total, even = free.cost.total_usd_per_month, free.doubtful_prices[0].break_even_usd_per_hour
    for ratio, names_budget in ((1.05, True), (1.3, False)):
        fleet = planned(*offers, limits=Limits(max_usd_per_month=total * ratio)).fleet
        (doubt,), (words,) = fleet.doubtful_prices, price_words(fleet)
        assert doubt.break_even_usd_per_hour == (None if names_budget else pytest.approx(even))
        assert doubt.budget_usd_per_hour == pytest.approx(ratio, abs=0.01) or not names_budget
        assert ("beyond limits.max_usd_per_month" in words) is names_budget
        below = doubt.budget_usd_per_hour if names_budget else even
        assert f"less than {price_usd(below)} an hour" in words


def test_sizes_of_one_accelerator_rise_together():
    """A size that is in doubt for the same reason is no rival; one of another accelerator, or on a listed price, is."""
    offers = (sold("g6e.xlarge", 1.0, RECALLED), sold("g6e.2xlarge", 1.1, RECALLED))
    alone = planned(*offers).fleet
    others = (sold("g5.2xlarge", 0.3, RECALLED), sold("g6e.4xlarge", 1.2))

    assert alone.price_range.rival == ""
    assert alone.doubtful_prices[0].break_even_usd_per_hour is None
    for other in others:
        fleet = planned(*offers, other).fleet
        assert fleet.groups[0].instance_type == "g6e.xlarge"
        assert other.instance_type in fleet.price_range.rival


def test_a_rival_by_a_price_in_doubt_decides_too():
    """An option that is cheaper as priced overturns the answer, though its own price is in doubt, and that is said."""
    elsewhere = replace(sold("g6e.2xlarge", 1.1, RECALLED), region="us-west-2")
    plan = planned(sold("g6e.xlarge", 1.0, RECALLED), elsewhere, sold("p5.48xlarge", 90.0))
    (doubt,), ends = plan.fleet.doubtful_prices, plan.fleet.price_range

    assert doubt.decides
    assert "g6e.2xlarge" in ends.rival
    assert ends.rival_in_doubt
    assert "p5.48xlarge" in doubt.runner_up[0]


def test_an_old_list_price_is_a_listed_runner_up():
    """List prices only fell, so that an option on an old one costs no more than it says."""
    (doubt,) = planned(sold("g6e.xlarge", 1.0, RECALLED), sold("g6e.2xlarge", 1.2, OLD)).fleet.doubtful_prices

    assert "g6e.2xlarge" in doubt.runner_up[0]


def test_what_is_named_on_listed_prices_is_what_listed_only_plans():
    """An old list price is no such option, is told apart where nothing newer is there, and yields to a newer one."""
    offers = (sold("g6e.xlarge", 1.0, RECALLED), sold("g6e.2xlarge", 1.2, OLD))
    (old,) = planned(*offers).fleet.doubtful_prices
    assert old.runner_up_is_old
    assert planned(*offers, listed_only=True).fleet is None
    assert any(
        "No option has only list prices that are recent" in words for words in price_words(planned(*offers).fleet)
    )

    offers = (*offers, sold("p5.48xlarge", 90.0))
    (recent,) = planned(*offers).fleet.doubtful_prices
    assert not recent.runner_up_is_old
    assert "p5.48xlarge" in recent.runner_up[0]
    assert planned(*offers, listed_only=True).fleet.groups[0].instance_type == "p5.48xlarge"


def test_prices_without_doubt_have_no_range():
    """Nothing is said of ranges where every price is certain."""
    assert planned(sold("g6e.xlarge", 1.86)).fleet.price_range is None
