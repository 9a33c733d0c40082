"""The one place where prices are multiplied and added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.cost import hourly_to_monthly


@given(st.floats(0.01, 200), st.integers(1, 500))
def test_a_total_is_whole_cents(usd_per_hour, instances):
    """No total has a fraction of a cent, so printing it loses nothing."""
    total = hourly_to_monthly(usd_per_hour, instances)

    assert total == round(total, 2)
    assert total == pytest.approx(usd_per_hour * instances * 730, abs=0.0051)
