"""Counters of engines, row by row."""

import numpy as np

from advisor.samples.growth import steps_by_row

NAN = np.nan


def test_steps_belong_to_a_row_only_where_it_was_read_at_both_ends():
    """Over a gap a step is unknown in each of its rows unless nothing was counted; over a reset too."""
    np.testing.assert_array_equal(steps_by_row(np.array([1, 3, NAN, 3, NAN, 8, 2.0])), [NAN, 2, 0, 0, NAN, NAN, NAN])
