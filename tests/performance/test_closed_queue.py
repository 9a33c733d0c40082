"""Users of one server, each of whom asks again after its cycle: the wait against a simulation, and its limits."""

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.performance.regimes import closed_queue_seconds

WARM_UP, SERVED = 2_000, 20_000


def wait(users, service, cycle):
    """The wait of one population."""
    return float(closed_queue_seconds(np.array([float(users)]), np.array([service]), np.array([cycle]))[0])


def simulated_wait(users, service, cycle):
    """Mean wait with exponential time between an answer and the next request, first come first served."""
    random = np.random.default_rng(0)
    away = cycle - service
    arrivals = [float(random.exponential(away)) for _ in range(users)]
    heapq.heapify(arrivals)
    free, waits = 0.0, []
    for _ in range(WARM_UP + SERVED):
        arrival = heapq.heappop(arrivals)
        start = max(arrival, free)
        free = start + service
        waits.append(start - arrival)
        heapq.heappush(arrivals, free + float(random.exponential(away)))
    return float(np.mean(waits[WARM_UP:]))


@pytest.mark.parametrize(("users", "cycle"), [(2, 2.0), (2, 10.0), (8, 4.0), (8, 20.0), (64, 40.0), (64, 200.0)])
def test_the_wait_is_that_of_a_simulation(users, cycle):
    """Within a fifth of a service and a fifth of the simulated wait, from a busy server to an idle one."""
    simulated = simulated_wait(users, 1.0, cycle)
    assert wait(users, 1.0, cycle) == pytest.approx(simulated, rel=0.2, abs=0.2)


def test_many_users_of_a_long_cycle_wait_as_in_an_open_queue():
    """A million users who keep the server half busy: M/D/1's share / (2 (1 - share)) services."""
    assert wait(1_000_000, 1.0, 2_000_000.0) == pytest.approx(0.5, rel=1e-3)


@given(
    users=st.floats(1, 10_000), more=st.floats(1, 10), service=st.floats(0, 100), away=st.floats(0, 10_000)
)  # fmt: skip
def test_nobody_waits_for_more_than_the_others(users, more, service, away):
    """No wait alone, never longer than one service of each other user, and never shorter with more of them."""
    cycle = service + away
    assert wait(1.0, service, cycle) == 0.0
    assert 0 <= wait(users, service, cycle) <= (users - 1) * service * (1 + 1e-9)
    assert wait(users * more, service, cycle) >= wait(users, service, cycle) * (1 - 1e-9)
