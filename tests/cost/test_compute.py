"""The one place where prices are multiplied and added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog.values import Price, Provenance, Quality
from advisor.cost import cost_of, hourly_to_monthly
from advisor.demand.declared import declared_demand

LISTED = Provenance("a price list", "2026-01-01", Quality.LISTED)


def test_a_month_by_hand():
    """3 instances at $0.8048 for 730 h are $1,762.51; at 2 requests/s of 100 tokens that is $3.35 per million tokens."""
    cost = cost_of(Price(0.8048, LISTED), 3, declared_demand(2, 5, 1000, 100))

    assert cost.total_usd_per_month == cost.compute_usd_per_month == 1762.51
    assert cost.usd_per_hour == pytest.approx(2.4144)
    assert cost.usd_per_million_output_tokens == pytest.approx(1762.51 / (2 * 3600 * 730 * 100) * 1e6)
    assert cost.usd_per_1000_requests == pytest.approx(1762.51 / (2 * 3600 * 730) * 1000)
    assert (cost.price_source, cost.price_as_of, cost.price_quality) == ("a price list", "2026-01-01", "listed")


@given(st.floats(0.01, 200), st.integers(1, 500))
def test_a_total_is_whole_cents(usd_per_hour, instances):
    """No total has a fraction of a cent, so printing it loses nothing."""
    total = hourly_to_monthly(usd_per_hour, instances)

    assert total == round(total, 2)
    assert total == pytest.approx(usd_per_hour * instances * 730, abs=0.0051)
