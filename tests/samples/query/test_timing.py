"""How often series are sampled, whatever scrapes were missed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.query import Window
from advisor.samples.query.prometheus.api import Series, rhythm

END_US = 1_764_000_000_000_000


class Answering:
    """A server with one series."""

    def __init__(self, seconds):
        """Sampled at some seconds."""
        self._series = [Series({}, [(float(at), 1.0) for at in seconds])] if len(seconds) else []

    def over_range(self, *_):
        """Whether it has samples."""
        return self._series

    def instant(self, *_):
        """Its samples."""
        return self._series


def interval_s(seconds):
    """The scrape interval that is found, seconds; None: none."""
    found = rhythm(Answering(END_US / 1e6 - 300 + np.array(seconds)), "up", Window(END_US - 300_000_000, END_US))
    return None if found is None else found.interval_us / 1e6


@given(
    st.sampled_from([5.0, 15.0, 30.0, 60.0]),
    st.integers(20, 40).flatmap(lambda count: st.lists(st.booleans(), min_size=count, max_size=count)),
    st.integers(0, 99),
)
def test_missed_scrapes_do_not_change_the_interval(every_s, is_missed, seed):
    """As long as two scrapes in a row were stored a few times, whatever else was lost, and late by some milliseconds."""
    stored = np.flatnonzero(~np.array(is_missed))
    if np.count_nonzero(np.diff(stored) == 1) * 5 < max(len(stored) - 1, 1):
        return
    late = 0.003 * np.random.default_rng(seed).random(len(stored))
    assert interval_s(every_s * stored + late) == every_s


@pytest.mark.parametrize(
    ("distances", "found"),
    [
        ([15.0, 30.0] * 6 + [30.0] * 3, 15.0),
        ([15.0] * 20 + [300.0], 15.0),
        ([30.0] * 20 + [15.0], 30.0),
        ([0.0, 15.0] * 10, 15.0),
        ([4.0, 11.0] * 10, 4.0),
        ([0.0] * 10, None),
    ],
)
def test_the_interval_among_others(distances, found):
    """Missed, extra and doubled samples, two servers that scrape at moments of their own, and nothing but doubled ones."""
    assert interval_s(np.concatenate(([0.0], np.cumsum(distances)))) == found
