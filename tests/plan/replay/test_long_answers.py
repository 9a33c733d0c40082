"""Fleets for answers that take minutes: a replay from empty machines on is over before they are as full as they stay."""

import datetime as dt
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from advisor.catalog.values import Purchase
from advisor.checks.replanned import _latency
from advisor.checks.run import Now
from advisor.demand.synthetic_trace import SETTLING_RATIO, STEADY_MINUTES, rehearse, steady, sustained_ratio
from advisor.demand.values import DemandProfile, Requests
from advisor.estate import within_slo_ratios
from advisor.performance.model import shipped_model
from advisor.plan.estate.seats import Seat, Way
from advisor.plan.replay.fleet import full_replica, replay, simulate
from advisor.plan.replay.from_plan import planned
from advisor.plan.replay.result import latencies_s, p95_ms, within
from advisor.plan.replay.steady import with_filling
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
def answered(answer, rate=RATE, minutes=None):
    """The plan for such answers, declared or seen for so many minutes."""
    profile = DemandProfile(345_600.0, np.full(minutes, rate * 60)) if minutes else None
    plan = plan_of(asked(answer, rate), CATALOG, profile)
    assert plan.fleet.confirmed.reached
    return plan


def fleet_of(answer, rate=RATE, minutes=None):
    """Its targets and replicas."""
    return planned(answered(answer, rate, minutes), CATALOG, shipped_model())


def with_fewer(plan, ratio):
    """A plan with a share of its instances."""
    groups = tuple(
        replace(group, instances=tuple(max(round(ratio * count), 1) for count in group.instances))
        for group in plan.fleet.groups
    )
    return replace(plan, fleet=replace(plan.fleet, groups=groups))


def arrivals_of(answer, rate, seconds):
    """Random arrivals at one rate for so long."""
    count = round(rate * seconds)
    arrivals = np.cumsum(np.random.default_rng(answer).exponential(1 / rate, count))
    return Requests(arrivals, *(np.full(count, tokens, dtype=np.int32) for tokens in (PROMPT, answer)))


def seconds_with(group, answer):
    """Most requests that a replica runs, and seconds of one there when so many do."""
    return full_replica(group.steps, PROMPT, answer)


@pytest.mark.parametrize("answer", [8_000, 16_000, 32_000])
def test_a_fleet_for_long_answers_holds_once_it_is_full(answer):
    """Replayed from empty machines on for six times as long as a request takes, the first of them left out."""
    fleet = fleet_of(answer)
    lifetime = max(seconds_with(group, answer)[1] for group in fleet.groups)
    requests = arrivals_of(answer, RATE, LIFETIMES * lifetime)

    outcome = simulate(fleet.groups, requests, routes=fleet.routes).outcome

    settled = requests.seconds >= lifetime
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


@pytest.mark.parametrize(("answer", "rate"), [(16_000, 5.0), (32_000, 2.0), (60_000, 1.0)])
def test_a_plan_says_what_full_machines_do(answer, rate):
    """Its share is that of a replay whose first lifetimes are left out, and its times per token are no shorter."""
    fleet, confirmed = fleet_of(answer, rate), answered(answer, rate).fleet.confirmed
    lifetime = max(seconds_with(group, answer)[1] for group in fleet.groups)
    requests = arrivals_of(answer, rate, LIFETIMES * lifetime)
    settled = (requests.seconds >= LIFETIMES / 2 * lifetime).astype(np.float64)

    outcome = simulate(fleet.groups, requests, routes=fleet.routes).outcome

    share = within(outcome, requests, fleet.slo)[settled > 0].mean()
    assert confirmed.within_slo_ratio == pytest.approx(share, abs=0.01)
    latencies = latencies_s(outcome, replace(requests, weights=settled))
    assert confirmed.tpot_p95_ms >= 0.9 * p95_ms(*latencies["tpot"])


def test_a_trace_is_replayed_on_full_machines():
    """Twenty minutes of a trace on a part of the fleet, which empty machines would serve in time."""
    answer, rate = 32_000, 2.0
    fleet = planned(with_fewer(answered(answer, rate), 0.5), CATALOG, shipped_model())
    trace = arrivals_of(answer, rate, 1_200.0)
    filled, minutes = with_filling(trace, fleet.groups)

    empty, full = (replay(fleet.groups, requests, fleet.slo, routes=fleet.routes) for requests in (trace, filled))

    assert minutes > 20
    assert full.within_slo_ratio < fleet.slo.within_ratio < empty.within_slo_ratio
    assert (full.requests, full.hours, full.cost_usd) == (empty.requests, empty.hours, empty.cost_usd)
    assert sum(group.requests for group in full.by_group) + full.refused == trace.seconds.size


def test_a_trace_of_short_answers_is_replayed_as_it_is():
    """Replicas are as full as they stay within the first seconds."""
    fleet = fleet_of(8_000)
    trace = arrivals_of(200, RATE, 1_200.0)

    assert with_filling(trace, fleet.groups) == (trace, 0)


@pytest.mark.parametrize(("ratio", "holds"), [(1.0, True), (0.5, False)])
def test_check_and_estate_replay_on_full_machines(ratio, holds):
    """A check of today's demand, and the seats of an estate, find what the plan's own replay does."""
    answer, rate = 32_000, 2.0
    plan = with_fewer(answered(answer, rate), ratio)
    _, context = posed_of(asked(answer, rate), CATALOG)
    now = Now(CATALOG, shipped_model(), dt.date(2026, 12, 1))

    findings = list(_latency(plan, context.requirements.demand, now, []))

    assert [rule for rule, *_ in findings] == ([] if holds else ["CHK202"])
    (group,) = plan.fleet.groups
    fields = {name: getattr(group, name) for name in Seat.__dataclass_fields__ if hasattr(group, name)}
    fields["planned_requests_per_second_per_instance"] = rate / (group.instances[0] * group.replicas_per_instance)
    seat = SimpleNamespace(**fields, workload="a", way=Way.TURNS)
    kept, wanted = within_slo_ratios(seat, plan, 1, CATALOG, shipped_model())
    assert wanted == pytest.approx(asked(answer, rate).slo.rehearsed_ratio)
    assert (kept >= plan.workload["slo"]["within_ratio"]) is holds


@pytest.mark.parametrize("minutes", [None, 90])
def test_minutes_before_a_rehearsal_change_nothing_in_it(minutes):
    """The same requests after others that stand for none; those that were seen where there are any."""
    profile = DemandProfile(345_600.0, np.arange(60.0, 60.0 + minutes)) if minutes else None
    _, context = posed_of(asked(8_000), CATALOG, profile)
    demand = context.requirements.demand

    usual, filled = (rehearse(demand, 3_000, scale=1.0, filling_minutes=filling) for filling in (0, 10))

    assert filled.judged == usual.judged == usual.requests.seconds.size
    assert filled.minutes == usual.minutes
    judged = filled.requests.weights > 0
    assert filled.requests.seconds[judged] == pytest.approx(usual.requests.seconds)
    assert np.array_equal(filled.requests.output_tokens[judged], usual.requests.output_tokens)
    before_s = usual.requests.seconds[0] - filled.requests.seconds[0]
    assert before_s == pytest.approx(600, abs=60)
    rate = filled.filling / 600
    assert rate == pytest.approx(usual.judged / (usual.minutes * 60), rel=0.25)
