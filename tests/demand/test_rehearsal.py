"""Requests made up after a demand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.declared import declared_demand
from advisor.demand.rehearsal import rehearse
from advisor.demand.values import DemandProfile, Dispersion

MONDAY = 1_699_833_600.0


def demand(counts, dispersion=None):
    """Declared demand with a profile of so many requests in each minute."""
    profile = DemandProfile(MONDAY, np.array(counts, dtype=float), dispersion or Dispersion())
    return replace(declared_demand(1.0, 2.0, 500, 100), profile=profile)


def index_of_seconds(seconds):
    """Variance over mean of the requests in each second, about their minute."""
    counts = np.bincount((seconds - MONDAY).astype(int), minlength=6000)[:6000].reshape(-1, 60)
    return float(counts.var(axis=1).mean() / counts.mean())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=30).filter(any))
def test_every_minute_has_its_requests(counts):
    """What was counted in a minute arrives in that minute, in order."""
    seconds = rehearse(demand(counts)).requests.seconds

    assert np.bincount(((seconds - MONDAY) // 60).astype(int), minlength=len(counts)).tolist() == counts
    assert (np.diff(seconds) >= 0).all()


@pytest.mark.parametrize("index", [1.0, 3.0, 8.0])
def test_it_is_as_bursty_as_measured(index):
    """The index of dispersion of the seconds comes out as it went in."""
    seconds = rehearse(demand([600] * 100, Dispersion(one_second=index, ten_seconds=1.0)), 60_000).requests.seconds

    assert index_of_seconds(seconds) == pytest.approx(index, rel=0.15)


def test_a_long_demand_is_cut_to_its_busiest_stretch():
    """Of a long demand the minutes around the busiest one are taken, and unknown ones are empty."""
    counts = [10.0] * 500 + [900.0] * 3 + [np.nan] + [10.0] * 500

    found = rehearse(demand(counts), 2_800)

    assert found.minutes < 60
    assert found.requests.seconds[0] >= MONDAY + 440 * 60
    assert 2_700 <= found.requests.seconds.size < 2_900


def test_declared_demand_comes_at_random_at_its_peak():
    """Numbers alone give Poisson arrivals at the stated peak."""
    found = rehearse(declared_demand(3.0, 6.0, 500, 100))

    assert found.requests.seconds.size / found.minutes / 60 == pytest.approx(6.0, rel=0.1)
    assert set(found.requests.input_tokens.tolist()) == {500}
    assert "stated peak" in found.words


def test_it_is_the_same_every_time():
    """Two rehearsals of one demand are equal to the last bit."""
    one, other = (rehearse(demand([50, 80, 20], Dispersion(3.0, 9.0))).requests for _ in range(2))

    assert (one.seconds == other.seconds).all()
    assert (one.input_tokens == other.input_tokens).all()
