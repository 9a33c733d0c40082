"""Replicas whose queue grows: a target that limits no wait does not hide it."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.demand.values import Requests
from advisor.plan.replay.fleet import replay, simulate
from advisor.plan.replay.values import Cutoff, ReplayGroup
from advisor.workload.values import Slo
from plan.replay.reference import make_steps

STEPS = make_steps(kv_tokens=4000, max_sequences=16)
PACE = Slo(tpot_p95_ms=1e6)


def arrivals(per_second, count=4000):
    """Requests at random, so many a second on average."""
    random = np.random.default_rng(7)
    seconds = random.exponential(1 / per_second, count).cumsum()
    return Requests(
        seconds, random.integers(20, 80, count, dtype=np.int32), random.integers(5, 60, count, dtype=np.int32)
    )


def fleet(replicas=1):
    """As many replicas as one machine each holds."""
    return [ReplayGroup("a", STEPS, (replicas,), 1.0)]


def sustained_per_second():
    """Requests that one replica answers a second while it is never idle."""
    result = replay(fleet(), arrivals(1e6), PACE)
    return result.requests / (result.e2e_p95_ms / 0.95 / 1000)


@pytest.mark.parametrize("slo", [PACE, Slo()])
@pytest.mark.parametrize(("load", "keeps_up"), [(0.5, True), (0.85, True), (1.25, False), (3.0, False)])
def test_requests_are_missed_where_the_queue_grows(slo, load, keeps_up):
    """Below what replicas sustain all requests count as in time, above it most do not, whatever the pace is."""
    share = replay(fleet(2), arrivals(2 * load * sustained_per_second()), slo).within_slo_ratio
    assert share > 0.99 if keeps_up else share < 0.6


def test_a_target_that_limits_waits_is_judged_alone():
    """With a time to first token, however long, a queue counts by that."""
    overloaded = arrivals(3 * sustained_per_second())
    assert replay(fleet(), overloaded, replace(PACE, ttft_p95_ms=1e9)).within_slo_ratio == 1


def test_an_early_end_sees_the_queue():
    """A replay that ends early finds what a whole one does."""
    overloaded = arrivals(2 * sustained_per_second())
    early = simulate(
        fleet(), overloaded, cutoff=Cutoff(PACE, most_late_ratio=200 / overloaded.seconds.size, is_share_asked=False)
    ).early
    assert early is not None
    assert not early.holds
