"""Growth of counters over gaps, resets and wraps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.growth import growth

steps = st.lists(st.integers(0, 2**20), min_size=2, max_size=30)


@given(steps, st.data())
def test_gaps_lose_nothing(steps, data):
    """Whichever readings between the first and the last are missing, growth is the same."""
    counter = np.cumsum(steps).astype(float)
    sparse = counter.copy()
    sparse[data.draw(st.lists(st.integers(1, len(steps) - 1), max_size=5))[:-1]] = np.nan
    sparse[-1] = counter[-1]
    assert growth(sparse) == counter[-1] - counter[0]


@given(st.lists(st.integers(0, 2**30), min_size=2, max_size=30))
def test_a_counter_that_wraps_goes_on(steps):
    """A counter of 32 bits that starts from 0 again has grown as one that does not."""
    whole = np.cumsum(steps)
    assert growth((whole % 2**32).astype(float), modulus=2**32) == whole[-1] - whole[0]


@pytest.mark.parametrize(
    ("counter", "expected"),
    [
        ([], None),
        ([5.0], None),
        ([np.nan, 5.0, np.nan], None),
        ([5.0, 5.0], 0.0),
        ([100.0, 150.0, 10.0, 30.0], 80.0),
        ([100.0, 150.0, 149.0, 160.0], 61.0),
        ([100.0, 0.0, 0.0], 0.0),
    ],
)
def test_resets_and_small_steps_back(counter, expected):
    """A reset counts what came after it; a small step back is no growth; one value or none says nothing."""
    assert growth(np.array(counter)) == expected
