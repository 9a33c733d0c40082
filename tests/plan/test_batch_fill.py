"""Batch work in idle hours, beside numbers that were worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.plan.batch_work import added_rates, items_in

WHOLE = np.ones(4)


def test_items_of_idle_hours():
    """Two requests a second for an hour and one for half of one are 9,000 requests; an item weighs one and a half."""
    idle = np.zeros(168)
    idle[[22, 23]] = 2.0, 1.0

    assert items_in([(22, 1.0), (23, 0.5), (24, 1.0)], idle, 1.5) == pytest.approx(6_000)


def test_what_fits_takes_a_share_of_what_is_idle():
    """Half of 3 + 1 + 0 + 4."""
    added = added_rates(np.array([5.0, 5, 5, 5]), np.array([2.0, 4, 5, 1]), WHOLE, 4.0)

    assert added.tolist() == [1.5, 0.5, 0.0, 2.0]


def test_the_rest_raises_the_lowest_hours_first():
    """Of capacities 5, 5, 5 and 9 all is taken (8), and six more make the first three seven."""
    added = added_rates(np.array([5.0, 5, 5, 9]), np.array([2.0, 4, 5, 8]), WHOLE, 5.0 + 6.0)

    assert (np.array([2.0, 4, 5, 8]) + added).tolist() == pytest.approx([7.0, 7.0, 7.0, 9.0], abs=1e-6)


def test_an_hour_that_ends_early_counts_for_its_part():
    """A level of three in an hour and in half of one: four and a half."""
    added = added_rates(np.zeros(2), np.zeros(2), np.array([1.0, 0.5]), 4.5)

    assert added.tolist() == pytest.approx([3.0, 3.0], abs=1e-6)


def test_only_the_first_hours_are_raised():
    """The last two of four hours give their idle 1 and 2; of 12 the other 9 make the first two 6 and a half."""
    added = added_rates(np.array([5.0, 5, 5, 5]), np.array([2.0, 2, 4, 3]), WHOLE, 12.0, 2)

    assert added.tolist() == pytest.approx([4.5, 4.5, 1.0, 2.0], abs=1e-6)


rates = st.lists(st.floats(0, 50), min_size=1, max_size=8)


@given(rates, st.data(), st.floats(0.01, 500), st.floats(1, 3))
def test_all_is_placed_and_more_is_nowhere_less(planned, data, wanted, factor):
    """The items fit, no hour is taken below its requests, and idle hours are not left while others are raised."""
    room = data.draw(st.lists(st.floats(0, 30), min_size=len(planned), max_size=len(planned)))
    planned, part = np.array(planned), np.ones(len(planned))
    capacity = planned + np.array(room)
    added, more = (added_rates(capacity, planned, part, amount) for amount in (wanted, wanted * factor))

    assert added.sum() == pytest.approx(wanted, rel=1e-6)
    assert (added >= 0).all()
    assert (more >= added - 1e-6).all()
    if wanted <= (capacity - planned).sum():
        assert (planned + added <= capacity + 1e-9).all()
    else:
        assert (planned + added >= capacity - 1e-6).all()
