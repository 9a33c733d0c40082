"""A replay ends as soon as too many requests are late; of very many a sample of the replicas is simulated."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.values import Requests
from advisor.plan.replay.fleet import simulate
from advisor.plan.replay.result import EarlyEnd, within
from advisor.plan.replay.sessions import Session
from advisor.plan.replay.values import Cutoff, ReplayGroup, Route
from advisor.workload.values import Slo
from plan.replay.reference import make_steps

COUNT = 4_000
ALLOWED = 0.01


def load(seconds):
    """So many random arrivals in so long."""
    generator = np.random.default_rng(5)
    arrivals = MONDAY_SECONDS + np.sort(generator.random(COUNT)) * seconds
    lengths = generator.integers(20, 150, (2, COUNT)).astype(np.int32)
    return Requests(arrivals, lengths[0], lengths[1])


def fleet(instances):
    """One group."""
    return [ReplayGroup("a", make_steps(), (instances,), 1.0)]


def judged(instances, requests, slo, **cutoff):
    """What is clear early, and the share of a whole replay."""
    early = simulate(fleet(instances), requests, cutoff=Cutoff(slo, ALLOWED, **cutoff)).early
    outcome = simulate(fleet(instances), requests).outcome
    return early, float(within(outcome, requests, slo).mean())


@given(instances=st.integers(2, 24), seconds=st.floats(200, 8000), ttft_ms=st.floats(50, 2000))
@settings(max_examples=40, deadline=None)
def test_only_too_many_late_requests_end_a_replay(instances, seconds, ttft_ms):
    """Whatever the replicas that are simulated first show: it ends early just where the whole fails."""
    early, share = judged(instances, load(seconds), Slo(ttft_p95_ms=ttft_ms))

    assert (early is not None) == (share < 0.99)
    assert early is None or not early.holds


@given(instances=st.integers(2, 24), seconds=st.floats(200, 8000), ttft_ms=st.floats(50, 2000), skew=st.floats(0.1, 9))
@settings(max_examples=30, deadline=None)
def test_late_requests_count_as_many_as_they_stand_for(instances, seconds, ttft_ms, skew):
    """It ends early just where too much of the weight is late, or too many of the first half by themselves."""
    weights = np.where(np.arange(COUNT) < COUNT // 2, 1.0, skew)
    requests, slo = replace(load(seconds), weights=weights), Slo(ttft_p95_ms=ttft_ms)
    kept = within(simulate(fleet(instances), requests).outcome, requests, slo)
    early = simulate(fleet(instances), requests, cutoff=Cutoff(slo, ALLOWED, busiest=COUNT // 2)).early

    holds = np.average(kept, weights=weights) >= 1 - ALLOWED and kept[: COUNT // 2].mean() >= 1 - ALLOWED
    assert (early is None) == holds


@given(instances=st.integers(1, 4), seconds=st.floats(100, 4000), ttft_ms=st.floats(50, 2000))
@settings(max_examples=30, deadline=None)
def test_a_replica_is_not_served_on_once_too_many_are_late(instances, seconds, ttft_ms):
    """Whether a fleet holds is the same, whatever is left out of what it does."""
    cutoff = Cutoff(Slo(ttft_p95_ms=ttft_ms), ALLOWED, busiest=COUNT // 2)
    whole = simulate(fleet(instances), load(seconds), cutoff=cutoff)
    brief = simulate(fleet(instances), load(seconds), cutoff=replace(cutoff, is_share_asked=False))

    assert (brief.early is None) == (whole.early is None)
    assert (brief.outcome.group >= 0).sum() <= (whole.outcome.group >= 0).sum()
    if brief.early is not None:
        assert not brief.early.holds


def test_an_overload_is_seen_in_a_part_of_the_requests():
    """One replica is told by its first requests."""
    brief = Cutoff(Slo(ttft_p95_ms=100), ALLOWED, is_share_asked=False)
    served = simulate(fleet(1), load(50), cutoff=brief)

    assert served.early is not None
    assert served.early.share < 0.9
    assert (served.outcome.group >= 0).sum() < COUNT / 2


def test_the_busiest_requests_are_judged_by_themselves():
    """As large a share of late ones is allowed among them as among all."""
    requests = load(4000)
    burst = replace(requests, seconds=np.concatenate([MONDAY_SECONDS + np.arange(400) * 0.01, requests.seconds[400:]]))
    few_late = Cutoff(Slo(ttft_p95_ms=2000), 0.2, busiest=400)

    found = simulate(fleet(2), replace(burst, seconds=np.sort(burst.seconds)), cutoff=few_late).early
    all_alike = simulate(
        fleet(2), replace(burst, seconds=np.sort(burst.seconds)), cutoff=replace(few_late, busiest=None)
    ).early  # fmt: skip

    assert found is not None
    assert not found.holds
    assert found.busiest_share < 0.8
    assert all_alike is None


def test_a_sample_takes_every_fourth_replica_and_interrupted_ones():
    """Of those alike, in their order."""
    sessions = [Session(0, (at, 0), 0.0, np.inf, interrupted=False) for at in range(8)]
    sessions.append(Session(0, (8, 0), 0.0, 50.0, interrupted=True))
    members = [[np.arange(at * 10, at * 10 + 10)] for at in range(9)]

    assert EarlyEnd(Cutoff(Slo(), 1 / 90, most_served=22), sessions, members, 90).positions == [0, 4, 8]


def test_a_sample_of_the_replicas_stands_for_all_of_each_group():
    """At most so many requests are simulated; a small group counts as much as its requests, however many are."""
    slow, fast = (ReplayGroup(name, make_steps(), (count,), 1.0) for name, count in (("a", 1), ("b", 31)))
    routes = (Route(math.inf, {"a": 0.25, "b": 0.75}),)
    cutoff = Cutoff(Slo(ttft_p95_ms=100), most_served=COUNT // 8)

    sampled = simulate([slow, fast], load(500), routes=routes, cutoff=cutoff)
    whole = simulate([slow, fast], load(500), routes=routes).outcome

    assert sampled.early is not None
    assert (sampled.outcome.group >= 0).sum() < COUNT / 2
    share = float(within(whole, load(500), cutoff.slo).mean())
    assert 0.1 < share < 0.99
    assert sampled.early.share == pytest.approx(share, abs=0.03)
