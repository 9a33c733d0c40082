"""Counters over gaps and resets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.need.counters import growth, spread_by_row, steps_by_row

NAN = np.nan


@pytest.mark.parametrize(
    ("counter", "total", "resets", "known_rows"),
    [
        ([10, 12, 15, 15], 5, 0, 4),
        ([10, NAN, NAN, 16], 6, 0, 4),
        ([10, 12, 3, 5], 7, 1, 3),
        ([NAN, NAN], 0, 0, 0),
        ([NAN, 7, NAN], 0, 0, 1),
    ],
)
def test_growth_over_gaps_and_resets(counter, total, resets, known_rows):
    """A gap between two readings loses nothing; after a reset what is shown was counted since."""
    grown = growth(np.array(counter, dtype=float))
    assert (grown.total, grown.resets, grown.known_rows) == (total, resets, known_rows)


def test_steps_belong_to_a_row_only_where_it_was_read_at_both_ends():
    """Over a gap a step is unknown in each of its rows unless nothing was counted; over a reset too."""
    np.testing.assert_array_equal(steps_by_row(np.array([1, 3, NAN, 3, NAN, 8, 2.0])), [NAN, 2, 0, 0, NAN, NAN, NAN])


@given(
    steps=st.lists(st.integers(0, 1000), min_size=1, max_size=50),
    lost=st.sets(st.integers(1, 48)),
)
def test_what_is_spread_adds_up_to_the_growth(steps, lost):
    """Whatever rows are lost between the first and the last, the total is exact and nothing is negative."""
    counter = np.cumsum([0, *steps]).astype(float)
    whole = growth(counter).total
    counter[[row for row in lost if row < counter.size - 1]] = NAN
    spread = spread_by_row(counter)
    assert float(np.nansum(spread)) == pytest.approx(whole)
    assert growth(counter).total == whole
    assert np.nanmin(spread) >= 0


@given(
    parts=st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=10), min_size=1, max_size=5),
    lost=st.sets(st.integers(0, 49)),
)
def test_a_reset_never_counts_more_than_there_was(parts, lost):
    """Restarts in any number, seen through any gaps, give at most what was truly counted."""
    counter = np.concatenate([np.cumsum(part) for part in parts]).astype(float)
    counter[[row for row in lost if row < counter.size]] = NAN
    assert growth(counter).total <= sum(map(sum, parts))
