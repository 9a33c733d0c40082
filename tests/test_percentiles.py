"""Percentiles are those of numpy, to the last bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advisor.percentiles import Floats, percentiles

NUMBERS = arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e9, 1e9))
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=4)


@given(NUMBERS, SHARES)
def test_they_are_those_of_numpy(values: Floats, shares: list[float]) -> None:
    """Any shares of any numbers, which stay as they are."""
    before = values.copy()
    assert percentiles(values, shares) == np.quantile(values, shares).tolist()
    assert (values == before).all()


@given(NUMBERS)
def test_usual_shares_are_those_of_numpy(values: Floats) -> None:
    """Those that demand and replays are told by."""
    assert percentiles(values, (0.5, 0.95, 0.99)) == np.percentile(values, [50, 95, 99]).tolist()
