"""Servers that batch under random arrivals: the closed form beside a plain simulation, and what it may never do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.performance.bursts import Bursts
from advisor.performance.one_pass.batching import (
    ENDLESS_S,
    Batching,
    busy_at,
    largest_batch,
    late_share,
    latency_at,
    rate_within,
)
from performance.batch_simulator import simulate

REQUESTS = 12_000
SERVERS = st.tuples(st.floats(1e-4, 0.05), st.floats(1e-4, 0.05), st.sampled_from([4, 16, 64, 1000]))
"""Seconds of a batch and of an item, and items of a batch at most."""


def server(fixed_s, item_s, largest, items=1.0, wait_s=0.0) -> Batching:
    """One server, requests of one size."""
    columns = (np.array([number]) for number in (fixed_s, items, largest, wait_s))
    fixed, count, most, wait = columns
    return Batching(fixed, np.array([[item_s]]), count, np.array([1.0]), most, wait)


def simulated(fixed_s, item_s, largest, rate):
    """Latencies of requests that reach a server at random."""
    arrivals = np.cumsum(np.random.default_rng(7).exponential(1 / rate, REQUESTS))
    return simulate(arrivals, np.full(REQUESTS, item_s), fixed_s, largest)


def limits(batching, seconds):
    """A limit for every size."""
    return np.full(batching.item_s.shape, seconds)


@settings(max_examples=5)
@given(of=SERVERS, load=st.floats(0.1, 0.85))
def test_latency_is_that_of_a_simulation(of, load):
    """Percentiles are at most a tenth below those of a simulation, and not half as much above where batches hold all."""
    batching = server(*of)
    rate = load * float(batching.most_per_second[0])
    found = simulated(*of, rate)
    for late in (0.5, 0.05):
        seconds = float(latency_at(batching, np.array([rate]), late)[0])
        ratio = seconds / float(np.quantile(found, 1 - late))
        assert ratio >= 0.9
        assert ratio <= 1.45 or of[2] < 1000


@settings(max_examples=5)
@given(of=SERVERS, slack=st.floats(1.3, 20))
def test_rate_within_a_limit_is_kept_by_a_simulation(of, slack):
    """At the rate that keeps 95 % within a limit no more than 8 % of simulated requests are late."""
    batching = server(*of)
    limit = slack * (of[0] + of[1])
    rate = float(rate_within(batching, limits(batching, limit), 0.05)[0])
    assert rate > 0
    assert (simulated(*of, rate) > limit).mean() <= 0.08


@settings(max_examples=10)
@given(of=SERVERS, slack=st.floats(1.1, 20), more=st.floats(1.01, 3))
def test_more_time_and_more_speed_never_serve_less(of, slack, more):
    """A looser limit, a faster server and fewer late requests allowed: each moves the rate one way."""
    batching, limit = server(*of), slack * (of[0] + of[1])
    rate = rate_within(batching, limits(batching, limit), 0.05)[0]
    faster = server(of[0] / more, of[1] / more, of[2])
    assert rate_within(batching, limits(batching, limit * more), 0.05)[0] >= rate * (1 - 1e-6)
    assert rate_within(faster, limits(faster, limit), 0.05)[0] >= rate * (1 - 1e-6)
    assert rate_within(batching, limits(batching, limit), 0.01)[0] <= rate * (1 + 1e-6)
    assert rate_within(batching, limits(batching, limit), 0.05, Bursts(4.0, 1e9))[0] <= rate * (1 + 1e-6)


def test_batches_by_hand():
    """At 50 requests/s of 10 ms beside 5 ms, u = 0.5 and S = (5 + 10 q) / 0.5 ms with q = exp(-50 S) its own root."""
    _, exact = server(0.005, 0.010, 1000).both
    state = busy_at(exact, np.array([50.0]))
    seconds = float(state.batch_s[0])
    assert seconds == pytest.approx((0.005 + 0.010 * np.exp(-50 * seconds)) / 0.5)
    assert state.busy[0] == pytest.approx(50 * seconds / (50 * seconds + np.exp(-50 * seconds)))


def test_a_lone_request_decides_whether_a_limit_can_be_kept():
    """Below the time of a request that finds the server idle no rate is within; well above, nearly all capacity."""
    batching = server(0.005, 0.010, 64)
    assert rate_within(batching, limits(batching, 0.0149), 0.05)[0] == 0
    assert rate_within(batching, limits(batching, ENDLESS_S), 0.05)[0] <= batching.most_per_second[0]
    assert late_share(batching, busy_at(batching, np.array([1e-9])), limits(batching, 0.0151))[0] < 1e-6


def test_a_request_of_more_items_than_a_batch_holds_takes_several():
    """Sixty items of 10 ms in batches of 32 take 600 ms and two times the 5 ms of a batch."""
    assert server(0.005, 0.010, 32, items=60).alone_s[0, 0] == pytest.approx(0.610)


def test_the_largest_batch_leaves_time_to_wait_for_one():
    """Of 200 ms half is for one's own batch: 95 ms after its 5 ms are nine items of 10 ms; never fewer than one."""
    of = (np.array([0.005]), np.array([0.010]))
    assert largest_batch(*of, np.array([0.2]), np.array([32.0]))[0] == 9
    assert largest_batch(*of, np.array([0.2]), np.array([4.0]))[0] == 4
    assert largest_batch(*of, np.array([0.001]), np.array([32.0]))[0] == 1
