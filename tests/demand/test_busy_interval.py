"""What busy accelerators can have served: bounds that hold, grow with busy, and say when a volume cannot be."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from advisor.demand.busy import BusySecond, demand_interval
from advisor.samples.need.limits import saturation

SERVES = BusySecond(alone=0.5, saturated=10.0)
windows = st.lists(st.floats(0, 8), min_size=1, max_size=30).map(np.array)
ratios = st.lists(st.none() | st.floats(0, 1), min_size=8, max_size=8).map(
    lambda values: np.array([np.nan if value is None else value for value in values])
)


def test_without_a_volume_the_bounds_are_one_at_a_time_and_saturated():
    """One and three busy accelerators: 0.5 to 10 requests/s for each, on average and in the busiest window."""
    busy = np.array([1.0, 3.0, np.nan])
    found = demand_interval(busy, busy, SERVES)
    assert (found.mean_low, found.mean_high, found.peak_low, found.peak_high) == (1.0, 20.0, 1.5, 30.0)
    assert found.words() == "1 to 20 requests/s on average and 1.5 to 30 in the busiest minute"


def test_twice_the_demand_has_twice_the_interval():
    """Every edge grows alike, and what contradicts a volume still does."""
    busy = np.array([1.0, 3.0])
    found = demand_interval(busy, busy, SERVES, 30.0)
    twice = found.times(2.0)
    assert (twice.mean_low, twice.mean_high, twice.peak_low, twice.peak_high) == (2.0, 40.0, 3.0, 60.0)
    assert twice.contradiction == found.contradiction


def test_profiling_signals_narrow_the_upper_edge_alone():
    """Half as saturated as busy, the accelerators can have served half as much at most, and no less at least."""
    busy = np.array([1.0, 3.0])
    wide, narrow = demand_interval(busy, busy, SERVES), demand_interval(busy, busy / 2, SERVES)
    assert (narrow.mean_high, narrow.peak_high) == (wide.mean_high / 2, wide.peak_high / 2)
    assert (narrow.mean_low, narrow.peak_low) == (wide.mean_low, wide.peak_low)


@pytest.mark.parametrize(("mean", "words"), [(30.0, "above what"), (0.5, "below what")])
def test_a_volume_that_the_samples_exclude_is_named(mean, words):
    """More than saturated accelerators serve, or less than one request at a time, is said with both numbers."""
    busy = np.array([1.0, 3.0])
    found = demand_interval(busy, busy, SERVES, mean)
    assert words in found.contradiction
    assert not demand_interval(busy, busy, SERVES, 4.0).contradiction


@given(busy=windows, more=st.lists(st.floats(0, 8), min_size=30, max_size=30))
def test_busier_accelerators_never_had_less_demand(busy, more):
    """Every edge grows with how busy any window was."""
    busier = busy + np.array(more[: busy.size])
    before, after = demand_interval(busy, busy, SERVES), demand_interval(busier, busier, SERVES)
    for edge in ("mean_low", "mean_high", "peak_low", "peak_high"):
        assert getattr(after, edge) >= getattr(before, edge) * (1 - 1e-12)


@given(busy=windows, share=st.floats(0, 1), division=st.lists(st.floats(0, 1), min_size=30, max_size=30))
def test_whatever_was_served_lies_within_the_interval(busy, share, division):
    """Any rates between the edges of each window have a mean and a peak within the bounds, and contradict nothing."""
    assume(busy.max() > 1e-3)
    low, high = busy * SERVES.alone, busy * SERVES.saturated
    rates = low + (high - low) * share * np.array(division[: busy.size])
    found = demand_interval(busy, busy, SERVES, float(rates.mean()))
    assert not found.contradiction or rates.mean() == pytest.approx(low.mean())
    assert found.mean_low * (1 - 1e-9) <= rates.mean() <= found.mean_high * (1 + 1e-9)
    assert found.peak_low * (1 - 1e-6) <= rates.max() <= found.peak_high * (1 + 1e-9) + 1e-9


@given(busy=ratios, sm=ratios, dram=ratios, tensor=ratios, extra=st.floats(0, 1), which=st.integers(0, 3))
def test_saturation_is_at_most_busy_and_grows_with_every_signal(busy, sm, dram, tensor, extra, which):
    """No signal raises it above busy; more of any never lowers it; it is unknown only where busy is."""
    signals = [busy, sm, dram, tensor]
    found = saturation(*signals)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(busy))
    known = ~np.isnan(busy)
    assert (found[known] <= busy[known]).all()
    grown = saturation(*[signal + extra if number == which else signal for number, signal in enumerate(signals)])
    assert (grown[known] >= found[known] - 1e-12).all()
