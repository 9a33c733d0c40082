"""Commitments that several workloads use together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.plan.estate.commitments import HourlyUse, shared_commitments
from advisor.units import HOURS_PER_DAY, HOURS_PER_MONTH, HOURS_PER_WEEK
from builders import LISTED, catalog_of, offer

HOURS = np.arange(HOURS_PER_WEEK)
DAY = (HOURS % HOURS_PER_DAY >= 8) & (HOURS % HOURS_PER_DAY < 20)


def world(on_demand=1.0):
    """One type in one region, with the shipped discounts."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=on_demand))
    catalog.__dict__["_commitments"] = load_catalog()._commitments
    return catalog


def use(instances, low=None, usd=1.0) -> HourlyUse:
    """Instances of the type in each hour, as many of them at the lower edge where nothing else is said."""
    counts = np.broadcast_to(np.asarray(instances), HOURS.shape).astype(np.int64)
    edge = counts if low is None else np.broadcast_to(np.asarray(low), HOURS.shape).astype(np.int64)
    return HourlyUse("aws", "us-east-1", "g6.xlarge", usd, counts, edge)


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


def test_other_regions_are_other_commitments():
    """Instances are added up by type and region only."""
    half = np.where(DAY, 2, 0)
    here, there = use(half), HourlyUse("aws", "us-west-2", "g6.xlarge", 1.0, 2 - half, 2 - half)
    catalog = catalog_of(offer("g6.xlarge", on_demand=1.0), offer("g6.xlarge", "us-west-2", on_demand=1.0))
    catalog.__dict__["_commitments"] = load_catalog()._commitments

    together = shared_commitments([here, use(2 - half)], catalog)
    apart = shared_commitments([here, there], catalog)

    assert sum(one.saved_usd_per_month for one in together) > sum(one.saved_usd_per_month for one in apart)
    assert all(one.price_source != LISTED.source for one in together)


counts = st.lists(st.integers(0, 4), min_size=7, max_size=7).map(lambda days: np.repeat(days, HOURS_PER_DAY))


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
