"""Rates under bursts: as few replicas as carry the busiest minute, each with its part of the bursts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from advisor.performance.bursts import TOLERANCE, rates_with_bursts

SLIGHTLY = 1e-9


def rates_of(smooth, harm):
    """Rates that fall as the dispersion of a replica rises, down to 0."""
    return lambda rows, dispersion: np.maximum(smooth[rows] * (1 - harm[rows] * (dispersion - 1)), 0.0)


replicas = st.lists(st.tuples(st.just(0.0) | st.floats(1e-9, 20), st.floats(0, 1)), min_size=1, max_size=5)


@given(replicas=replicas, peak=st.floats(0.01, 500), dispersion=st.floats(1.001, 100))
def test_as_few_replicas_as_carry_the_peak(replicas, peak, dispersion):
    """So many replicas carry it at the dispersion that each then sees; noticeably fewer do not, unless one is enough."""
    smooth, harm = np.array(replicas).T
    rates_at, every = rates_of(smooth, harm), np.arange(smooth.size)

    def carried(count):
        return count * rates_at(every, 1 + (dispersion - 1) / count)

    rates = rates_with_bursts(rates_at, smooth, peak, dispersion)

    assert (rates[smooth == 0] == 0).all()
    found = rates > 0
    count = np.maximum(peak / np.where(found, rates, 1.0), 1.0)
    assert (carried(count) >= peak * (1 - SLIGHTLY))[found].all()
    several = found & (count > TOLERANCE)
    assert (carried(count / TOLERANCE**2) < peak)[several & (harm > 0) & (count / TOLERANCE**2 > 1)].all()


@given(replicas=replicas, peak=st.floats(0.01, 500), dispersion=st.floats(1.001, 100), factor=st.floats(1.1, 10))
def test_what_sustains_more_has_no_lower_rate(replicas, peak, dispersion, factor):
    """A looser target raises the rate at every dispersion, and so the rate with bursts."""
    smooth, harm = np.array(replicas).T

    tight = rates_with_bursts(rates_of(smooth, harm), smooth, peak, dispersion)
    loose = rates_with_bursts(rates_of(smooth * factor, harm), smooth * factor, peak, dispersion)

    assert (loose >= tight * (1 - SLIGHTLY) / TOLERANCE).all()
