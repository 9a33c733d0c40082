"""Demand from the counters of serving engines: exact over gaps and restarts."""

from functools import cache

import numpy as np
import pytest

from advisor.demand.counted import demand_from_counts
from advisor.errors import InputError
from advisor.samples.need.served import served
from samples.need import simulate
from samples.need.simulate import run, serving


@cache
def simulated(name="WITHIN"):
    """One of the loads, once."""
    return run(getattr(simulate, name), 1800)


def with_counter(counter, **options):
    """An engine with that counter of finished requests, a row each."""
    base = simulated()
    rows = np.repeat(np.array(counter, dtype=float), simulate.ROW_SECONDS)
    engine = {name: rows * factor for name, factor in
              (("requests_finished", 1), ("prompt_tokens", 500), ("generated_tokens", 100))}  # fmt: skip
    return serving(simulate.Seconds(base.accelerator, engine, base.engine_of), **options)


def test_what_was_counted_is_what_was_served():
    """Of a simulated engine: as many requests and tokens as its counters grew by, minute for minute."""
    seconds = simulated("BANDWIDTH")
    found = served([serving(seconds)])
    finished = seconds.engine["requests_finished"]
    assert found.requests == finished[-1] - finished[14]
    at = np.arange(1, found.requests_per_minute.size - 1)
    edges = (found.start_seconds + 60 * at - simulate.START_US / 1e6).astype(int)
    expected = finished[edges + 59] - finished[edges - 1]
    np.testing.assert_allclose(found.requests_per_minute[1:-1], expected)
    prompt, generated = found.tokens_per_request
    assert prompt == pytest.approx(60, rel=0.05)
    assert generated == pytest.approx(900, rel=0.15)


def test_a_gap_between_two_readings_loses_no_request():
    """Forty requests during ten rows that were not read are laid evenly over them; the total is exact."""
    counter = [4 * row for row in range(40)]
    whole, gappy = served([with_counter(counter)]), served([with_counter(counter, gaps=range(10, 20))])
    assert gappy.requests == whole.requests == 156
    np.testing.assert_allclose(gappy.requests_per_minute, whole.requests_per_minute)


def test_a_restart_is_counted_and_said():
    """After 100 requests the engine starts anew and answers 30: at least 130 less the first reading, one restart."""
    found = served([with_counter([20, 60, 100, 10, 20, 30])])
    assert (found.requests, found.resets) == (110, 1)
    assert np.isnan(found.requests_per_minute).any()


def test_engines_add_up_and_one_that_came_later_leaves_earlier_minutes_known():
    """Two engines, the second from the half on: the first minutes are the first engine's alone."""
    first = with_counter([4 * row for row in range(40)])
    second = with_counter([8 * row for row in range(40)], gaps=range(20), endpoint="http://other/metrics")
    found = served([first, second])
    known = found.requests_per_minute[1:-1]
    assert not np.isnan(known[:3]).any()
    np.testing.assert_allclose(known[:3], 16)
    np.testing.assert_allclose(known[-3:], 48)


def test_engines_that_finished_nothing_say_nothing():
    """No request, no demand: nothing is made up."""
    assert served([]) is None
    assert served([with_counter([5, 5, 5])]) is None


def test_demand_of_counts():
    """Mean and peak of the known minutes, lengths on average, coverage and restarts in the notes."""
    demand = demand_from_counts(np.array([60.0, 180.0, np.nan, 120.0]), 1.76e9, (500.0, 100.0), resets=2)
    assert demand.requests_per_second.mean == 2.0
    assert demand.requests_per_second.peak == 3.0
    assert demand.tokens.mean_input_tokens() == 500
    assert demand.longest_request_tokens == 600
    assert demand.window_seconds == 180
    assert np.isnan(demand.profile.requests_per_minute[2])
    assert any("restarted 2 times" in note for note in demand.notes)
    assert any("only 75% of the minutes" in note for note in demand.notes)
    with pytest.raises(InputError, match="cover no whole minute"):
        demand_from_counts(np.array([np.nan]), 1.76e9, (1.0, 1.0))
