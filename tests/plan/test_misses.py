"""A refusal names what is judged last, since that alone stands between the offers and an option."""

import datetime as dt
from dataclasses import replace

import pytest

from advisor.candidates import Rejection
from advisor.catalog.values import Purchase, Quality
from advisor.pipeline import plan_for
from advisor.plan.remedies import nearest_misses
from advisor.plan.values import Conflict
from advisor.report.verdict import headline
from advisor.workload.values import Limits
from builders import LISTED, catalog_of, offer, workload

OFFERS = (offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g6f.4xlarge", on_demand=1.0))
"""The second one has too little memory, whatever is asked."""


def rejected(code, needed, available, name="g6.xlarge"):
    """A rejection of a type."""
    return Rejection("aws", "us-east-1", name, "*", None, code, needed, available, "", f"{name}: {code}")


def test_what_is_judged_last_comes_before_what_is_nearer():
    """An offer in the wrong country holds the model; one with almost enough memory does not."""
    near, far = rejected("memory", 16.0, 15.9, "near"), rejected("residency", "DE", "US", "far")

    assert nearest_misses([near, far]) == (far,)
    assert nearest_misses([near]) == (near,)


def test_a_service_without_a_price_is_no_nearer_than_what_misses_the_deadline():
    """It was not judged any further than what is not sold: other ways of paying would not make a run shorter."""
    service, late = rejected("price_unknown", "a price", "none", "Cloud Run L4"), rejected("deadline", 6.9, 1.0)

    assert nearest_misses([service, late]) == (late,)
    assert nearest_misses([service]) == (service,)


def test_the_closest_of_each_code_comes_first_and_nothing_is_said_twice():
    """Two types with the same two numbers are one miss; a further code comes before the next closest."""
    spot, again = (rejected("budget", 300.0, 200.0, name) for name in ("a", "b"))
    next_closest, zones = rejected("budget", 400.0, 200.0, "c"), rejected("zones", 4, 2, "d")

    assert nearest_misses([next_closest, zones, again, spot]) == (spot, zones, next_closest)


def test_what_is_sold_nowhere_is_named_by_no_one_machine():
    """Two types that a region lacks are one miss, which says how many; a single one is named."""
    two = [rejected("not_sold", "af-south-1", 0, name) for name in ("a", "b")]
    (miss,) = nearest_misses(two)
    assert miss.instance_type == "*"
    assert miss.message == "none of 2 instance types is known to be sold in af-south-1: name other regions"
    assert nearest_misses(two[:1]) == (two[0],)


def test_misses_are_about_the_limits_that_conflict():
    """Where a budget excludes a fleet, a type that is sold in too few zones is none of its reasons."""
    budget, zones = rejected("budget", 300.0, 200.0), rejected("zones", 4, 3, "d")

    assert nearest_misses([budget, zones], Conflict(("max_usd_per_month",), ())) == (budget,)


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"residency": ("DE",)}, "residency", "requests stay in DE"),
        ({"limits": Limits(zones=8)}, "zones", "limits.zones asks for 8"),
        ({"listed_only": True, "purchase": (Purchase.SPOT,)}, "not_listed", "left out by listed_only: recalled"),
        ({"users": (("AU", 1.0),)}, "network", "alone takes"),
    ],
)
def test_the_real_reason_is_named_not_memory(changes, code, told):
    """Every candidate that holds the model is stopped by one thing: it is the headline and the only kind of miss."""
    recalled = replace(LISTED, as_of="2026-11-20", quality=Quality.RECALLED)
    offers = [replace(one, spot=one.spot and replace(one.spot, provenance=recalled)) for one in OFFERS]
    asked = workload(**{"as_of": dt.date(2026, 11, 24), "slo": workload().slo, **changes})
    if "users" in changes:
        asked = replace(asked, slo=replace(asked.slo, ttft_p95_ms=150.0))
    plan = plan_for(asked, catalog_of(*offers))

    assert plan.fleet is None
    assert {one.code for one in plan.nearest_misses} == {code}
    assert told in plan.nearest_misses[0].message
    assert "memory" in {one.code for one in plan.rejected}
    assert "Closest: " in headline(plan)


def test_a_type_that_cannot_hold_the_model_is_not_rejected_for_its_country_too():
    """What no region could change has one reason."""
    plan = plan_for(workload(residency=("DE",)), catalog_of(*OFFERS))

    codes = {one.code for one in plan.rejected if one.instance_type == "g6f.4xlarge"}
    assert codes == {"memory"}
    assert "residency" in {one.code for one in plan.rejected if one.instance_type == "g6e.xlarge"}


def test_an_engine_that_is_left_out_is_a_miss_beside_a_type_that_is_no_longer_sold():
    """Of hardware alone no reason would be told; what the workload may change stands among those that are."""
    gone = rejected("not_sold", 1, 0, "dl1.24xlarge")
    excluded = rejected("engine_excluded", "engines to plan with", "vLLM", "g5.12xlarge")

    assert {miss.code for miss in nearest_misses([gone, excluded])} == {"not_sold", "engine_excluded"}
