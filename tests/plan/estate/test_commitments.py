"""Commitments that several workloads use together."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.values import DemandProfile
from advisor.plan.estate.values import HourlyUse, hourly_uses, shared_commitments
from advisor.units import HOURS_PER_DAY, HOURS_PER_MONTH, HOURS_PER_WEEK
from advisor.workload.values import Limits
from builders import LISTED, catalog_of, offer, workload

HOURS = np.arange(HOURS_PER_WEEK)
ON_DEMAND_AND_COMMITMENT = (Purchase.ON_DEMAND, Purchase.COMMITMENT)
DAY = (HOURS % HOURS_PER_DAY >= 8) & (HOURS % HOURS_PER_DAY < 20)


def world(on_demand=1.0):
    """One type in one region, with the shipped discounts."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=on_demand))
    catalog.__dict__["_commitments"] = load_catalog()._commitments
    return catalog


def use(instances, low=None, usd=1.0, years=(1, 3)) -> HourlyUse:
    """Instances of the type in each hour, as many of them at the lower edge where nothing else is said."""
    counts = np.broadcast_to(np.asarray(instances), HOURS.shape).astype(np.int64)
    edge = counts if low is None else np.broadcast_to(np.asarray(low), HOURS.shape).astype(np.int64)
    return HourlyUse("aws", "us-east-1", "g6.xlarge", usd, counts, edge, years)


def test_day_and_night_share_what_neither_would_commit_to():
    """Two workloads that run three instances each, one by day and one by night, commit to three together."""
    by_day, by_night = use(np.where(DAY, 3, 0)), use(np.where(DAY, 0, 3))

    (found,) = shared_commitments([by_day, by_night], world())

    assert shared_commitments([use(np.where(HOURS < 40, 3, 0))], world()) == ()
    assert found.count == 3
    assert found.in_use_ratio == pytest.approx(1)
    assert found.saved_usd_per_month == pytest.approx(3 * (1 - found.usd_per_hour) * HOURS_PER_MONTH, abs=0.01)


def test_the_lower_edge_of_the_forecast_bounds_them():
    """What is not in use for its break-even time at the lower edge is not committed to."""
    assert shared_commitments([use(5, low=2)], world())[0].count == 2
    assert shared_commitments([use(5, low=0)], world()) == ()


def test_a_term_is_entered_for_those_who_may_enter_it():
    """Three years cost less an hour than one, and are counted on the instances of those who state them only."""
    one_year, three_years = use(3, years=(1,)), use(2, years=(1, 3))

    (of_one,) = shared_commitments([one_year], world())
    (of_three,) = shared_commitments([three_years], world())
    (together,) = shared_commitments([one_year, use(1, years=(1, 3))], world())

    assert (", 1 y," in of_one.commitment, of_one.count) == (True, 3)
    assert (", 3 y," in of_three.commitment, of_three.count) == (True, 2)
    assert of_three.usd_per_hour < of_one.usd_per_hour
    assert (", 1 y," in together.commitment, together.count) == (True, 4)


def fleet_of(planned=2.0, low=1.0):
    """Four instances on demand at all hours, and two on spot."""
    group = {"provider": "aws", "region": "us-east-1", "instance_type": "g6.xlarge", "instance_usd_per_hour": 1.0}
    return SimpleNamespace(
        schedule=(0,) * HOURS_PER_WEEK,
        hour_classes=(SimpleNamespace(low_requests_per_second=low, planned_requests_per_second=planned),),
        groups=(
            SimpleNamespace(**group, purchase="on_demand", instances=(4,)),
            SimpleNamespace(**group, purchase="spot", instances=(2,)),
        ),
    )


@pytest.mark.parametrize(
    ("days", "limits", "purchase", "counted"),
    [
        (14, Limits(), ON_DEMAND_AND_COMMITMENT, [(4, 2, (1,))]),
        (14, Limits(commitment_years=(1, 3), commit_beyond_forecast=True), ON_DEMAND_AND_COMMITMENT, [(4, 4, (1, 3))]),
        (13, Limits(), ON_DEMAND_AND_COMMITMENT, []),
        (0, Limits(), ON_DEMAND_AND_COMMITMENT, []),
        (0, Limits(commit_without_history=True), ON_DEMAND_AND_COMMITMENT, [(4, 2, (1,))]),
        (14, Limits(), (Purchase.ON_DEMAND,), []),
    ],
)
def test_an_estate_commits_where_a_fleet_may(days, limits, purchase, counted):
    """History, terms and ways of paying count as in a fleet of one workload; what is not on demand stays as it is."""
    profile = DemandProfile(0.0, np.ones(days * 1440)) if days else None
    demand = SimpleNamespace(profile=profile, window_seconds=days * 86_400.0 if days else None, batch=None)
    stated = SimpleNamespace(workload=workload(limits=limits, purchase=purchase), demand=demand)

    found = hourly_uses(fleet_of(), stated)

    assert [(int(one.instances[0]), int(one.low[0]), one.years) for one in found] == counted


def test_other_regions_are_other_commitments():
    """Instances are added up by type and region only."""
    half = np.where(DAY, 2, 0)
    here, there = use(half), HourlyUse("aws", "us-west-2", "g6.xlarge", 1.0, 2 - half, 2 - half, (1, 3))
    catalog = catalog_of(offer("g6.xlarge", on_demand=1.0), offer("g6.xlarge", "us-west-2", on_demand=1.0))
    catalog.__dict__["_commitments"] = load_catalog()._commitments

    together = shared_commitments([here, use(2 - half)], catalog)
    apart = shared_commitments([here, there], catalog)

    assert sum(one.saved_usd_per_month for one in together) > sum(one.saved_usd_per_month for one in apart)
    assert all(one.price_source != LISTED.source for one in together)


counts = st.lists(st.integers(0, 4), min_size=7, max_size=7).map(lambda days: np.repeat(days, HOURS_PER_DAY))


@pytest.mark.sampled(2)
@given(st.lists(counts, min_size=1, max_size=3))
def test_no_other_number_saves_more(instances):
    """Of every price and every number of commitments, the one found saves the most."""
    uses = [use(one) for one in instances]
    whole = sum(one.instances for one in uses)
    catalog = world()
    (there,) = catalog.offers

    saved = [
        sum(min(count, have) for have in whole) / HOURS_PER_WEEK * HOURS_PER_MONTH
        - count * price.usd_per_hour * HOURS_PER_MONTH
        for price in catalog.commitments(there)
        for count in range(int(whole.max()) + 1)
    ]
    found = sum(one.saved_usd_per_month for one in shared_commitments(uses, catalog))
    assert found == pytest.approx(max([0.0, *saved]), abs=0.02)
