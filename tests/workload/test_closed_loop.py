"""Users who wait for their answers send as many requests as Little's law says."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.demand.values import ClosedLoop
from advisor.errors import InputError
from advisor.models import find_model
from advisor.workload.closed_loop import demand_as_declared, response_seconds
from advisor.workload.measured_demand import OnePassSize
from advisor.workload.values import DeclaredDemand, Slo
from builders import workload

SLO = Slo(ttft_p95_ms=1000, tpot_p95_ms=50)


def demand_of(declared: DeclaredDemand, slo: Slo = SLO):
    """The demand that is stated so."""
    stated = workload(demand=declared, slo=slo)
    return demand_as_declared(declared, stated, find_model(stated.model))


def users(count: float, think: float | None = None, peak: float | None = None) -> DeclaredDemand:
    """Users who read 800 tokens and are answered with 201."""
    return DeclaredDemand(None, peak, 800, 201, count, think)


def test_users_by_hand():
    """120 users wait 1 s + 200 × 50 ms = 11 s and think for 9 s: 6 requests/s, said with its parts."""
    demand = demand_of(users(120, think=9))

    rate = demand.requests_per_second
    assert (rate.mean, rate.peak) == (6.0, 6.0)
    assert any("120 concurrent users send 6 requests/s" in note and "11 s" in note for note in demand.notes)
    assert demand.closed_loop == ClosedLoop(120, 11)


def test_without_a_think_time_users_are_requests_in_flight():
    """110 of them at 11 s each are 10 a second."""
    assert demand_of(users(110)).requests_per_second.mean == pytest.approx(10)


def test_the_end_to_end_target_counts_where_it_is_shorter():
    """Of both ways to limit the response, the shorter one."""
    assert response_seconds(Slo(1000, 50, 5000), 201) == 5
    assert response_seconds(Slo(1000, 50, 50_000), 201) == pytest.approx(11)
    assert response_seconds(Slo(1000, None, None), 201) is None
    assert response_seconds(Slo(None, 50, None), 201) is None


def test_users_of_speech_wait_a_share_of_their_recording():
    """A factor of 0.1 on recordings of 90 s is 9 s, unless a latency is shorter; without lengths it states nothing."""
    assert response_seconds(Slo(real_time_factor=0.1), 0, 90) == 9
    assert response_seconds(Slo(real_time_factor=0.1, latency_ms=6000), 0, 90) == 6
    assert response_seconds(Slo(real_time_factor=0.1), 0) is None

    recorded = DeclaredDemand(None, None, None, None, 400, 60, size=OnePassSize(audio_seconds=90))
    stated = workload(demand=recorded, slo=Slo(real_time_factor=0.1), model="openai/whisper-large-v3-turbo")
    demand = demand_as_declared(recorded, stated, find_model(stated.model))
    assert demand.requests_per_second.mean == 400 / (9 + 60)


def simulated_rate(count: int, response: float, think: float, seconds: float) -> float:
    """Requests per second of users who send, wait and think in turn, counted one by one."""
    sent = 0
    for user in range(count):
        now = user * (response + think) / count
        while now < seconds:
            sent += 1
            now += response + think
    return sent / seconds


@given(st.integers(1, 60), st.floats(0.1, 20), st.floats(0, 60))
def test_the_rate_is_that_of_users_counted_one_by_one(count, response, think):
    """Little's law against users who send, wait and think in turn."""
    declared = DeclaredDemand(None, None, 10, 1, count, think)
    rate = demand_of(declared, Slo(e2e_p95_ms=response * 1000)).requests_per_second.mean

    cycles = 200 * (response + think)
    assert rate == pytest.approx(simulated_rate(count, response, think, cycles), rel=0.02)


def test_a_peak_beside_users_is_kept_and_checked():
    """It has to be at least the rate that the users send."""
    assert demand_of(users(120, think=9, peak=8)).requests_per_second.peak == 8
    with pytest.raises(InputError, match="a peak of 5 requests/s is below the mean of 6"):
        demand_of(users(120, think=9, peak=5))


@pytest.mark.parametrize("slo", [Slo(), Slo(ttft_p95_ms=500), Slo(tpot_p95_ms=50)])
def test_without_a_response_time_users_are_no_rate(slo):
    """The remedy names the targets."""
    with pytest.raises(InputError, match=r"slo\.e2e_p95, or slo\.ttft_p95 and slo\.tpot_p95"):
        demand_of(users(10), slo)


def test_a_stated_rate_stays_as_it_is():
    """Rates need no target and no note."""
    demand = demand_of(DeclaredDemand(5, 8, 800, 200), Slo())

    assert (demand.requests_per_second.mean, demand.requests_per_second.peak) == (5, 8)
    assert len(demand.notes) == 1
    assert math.isclose(demand.longest_request_tokens, 1000)
