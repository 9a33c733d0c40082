"""Fleets for answers that take minutes: a replay from empty machines on is over before they are as full as they stay."""

from functools import cache

import numpy as np
import pytest

from advisor.catalog.values import Purchase
from advisor.demand.synthetic_trace import SETTLING_RATIO, STEADY_MINUTES, steady, sustained_ratio
from advisor.demand.trace_columns import Requests
from advisor.demand.values import DemandProfile
from advisor.performance.model import shipped_model
from advisor.plan.replay.fleet import full_replica, simulate
from advisor.plan.replay.from_plan import planned
from advisor.plan.replay.result import within
from advisor.workload.values import DeclaredDemand, Slo
from builders import catalog_of, offer, workload
from plan.fleet.posing import posed_of
from plan.fleet.test_choose import plan_of

RATE, PROMPT = 5.0, 800
LIFETIMES = 6
"""Times as long as a request is with a full replica; the first of them is left out."""
CATALOG = catalog_of(
    offer("p5.4xlarge", on_demand=6.9), offer("p4de.24xlarge", on_demand=27.4), offer("p5en.48xlarge", on_demand=63.3)
)


def asked(answer, rate=RATE):
    """Requests at one rate at all hours, for answers of so many tokens."""
    return workload(
        purchase=(Purchase.ON_DEMAND,), precisions=("bf16",), slo=Slo(ttft_p95_ms=1000, tpot_p95_ms=50), context_tokens=None,
        demand=DeclaredDemand(rate, rate, PROMPT, answer),
    )  # fmt: skip


@cache
def fleet_of(answer, rate=RATE, minutes=None):
    """Targets and replicas of the plan for such answers, declared or seen for so many minutes."""
    profile = DemandProfile(345_600.0, np.full(minutes, rate * 60)) if minutes else None
    plan = plan_of(asked(answer, rate), CATALOG, profile)
    assert plan.fleet.confirmed.reached
    return planned(plan, CATALOG, shipped_model())


def seconds_with(group, answer):
    """Most requests that a replica runs, and seconds of one there when so many do."""
    return full_replica(group.steps, PROMPT, answer)


@pytest.mark.parametrize("answer", [8_000, 16_000, 32_000])
def test_a_fleet_for_long_answers_holds_once_it_is_full(answer):
    """Replayed from empty machines on for six times as long as a request takes, the first of them left out."""
    fleet = fleet_of(answer)
    lifetime = max(seconds_with(group, answer)[1] for group in fleet.groups)
    count = round(RATE * LIFETIMES * lifetime)
    arrivals = np.cumsum(np.random.default_rng(answer).exponential(1 / RATE, count))
    lengths = (np.full(count, tokens, dtype=np.int32) for tokens in (PROMPT, answer))
    requests = Requests(arrivals, *lengths)

    outcome = simulate(fleet.groups, requests, routes=fleet.routes).outcome

    settled = arrivals >= lifetime
    assert within(outcome, requests, fleet.slo)[settled].mean() >= fleet.slo.within_ratio


@pytest.mark.parametrize(
    ("answer", "rate", "minutes"),
    [(3_000, 9.0, None), (8_000, 5.0, None), (16_000, 5.0, None), (32_000, 2.0, None), (60_000, 1.0, None),
     (8_000, 5.0, 20), (32_000, 2.0, 58)],
)  # fmt: skip
def test_no_replica_has_more_in_flight_than_it_runs(answer, rate, minutes):
    """By Little's law rate × time in flight is the number in flight, at the load that the router sends to each."""
    fleet = fleet_of(answer, rate, minutes)
    (route,) = fleet.routes

    for group in fleet.groups:
        running, seconds = seconds_with(group, answer)
        own = rate * route.shares[group.name] / sum(route.shares.values())
        assert own * seconds <= running * group.instances_by_hour[0] * group.replicas_per_instance


def test_longer_answers_are_replayed_for_longer():
    """Twice the time where that is needed, of which the first quarter stands for no requests."""
    _, context = posed_of(asked(8_000), CATALOG)
    demand = context.requirements.demand

    usual, longer = (steady(demand, 2.0, 6e4, 24_000, minutes) for minutes in (STEADY_MINUTES, 4 * STEADY_MINUTES))

    assert usual.weights is None
    settled = 6e4 + SETTLING_RATIO * 4 * STEADY_MINUTES * 60
    assert np.array_equal(longer.weights > 0, longer.seconds >= settled)
    assert longer.seconds.size == pytest.approx(4 * usual.seconds.size, rel=0.1)
    assert longer.seconds.max() < 6e4 + 4 * STEADY_MINUTES * 60


def test_a_longer_time_about_the_busiest_minute_has_a_lower_rate():
    """No longer than the history is."""
    profile = DemandProfile(0.0, np.array([10.0] * 30 + [60.0] + [10.0] * 27))

    ratios = [sustained_ratio(profile, minutes) for minutes in (STEADY_MINUTES, 40, 58, 200)]

    assert ratios == sorted(ratios, reverse=True)
    assert ratios[2] == ratios[3] == pytest.approx((57 * 10 + 60) / 58 / 60)
