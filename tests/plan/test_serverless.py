"""Services that scale to zero: how long they run, and who meets a cold start."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advisor.candidates import Candidate, Rejection, judge
from advisor.catalog import load_catalog
from advisor.demand.lengths import declared_demand
from advisor.models import find_model
from advisor.plan.cold_start import cold_start
from advisor.plan.problem.serverless_pools import (
    LONGEST_IDLE_S,
    Duty,
    ServerlessOffer,
    cold_start_shortfall,
    duty_of_minutes,
    duty_of_rate,
    serverless_offers,
)
from advisor.requirements import require
from advisor.workload.scope import allows, in_scope
from advisor.workload.values import Exclude, Slo
from builders import workload

CATALOG = load_catalog()
COUNTS = arrays(np.float64, st.integers(1, 80), elements=st.integers(0, 9).map(float))


def simulated(counts, awake_s, cold_start_s, seed=0, runs=300):
    """Billed share of each minute and share of requests that wait, request by request."""
    random = np.random.default_rng(seed)
    billed, waits, total = np.zeros(len(counts)), 0, 0
    for _ in range(runs):
        minutes = np.repeat(np.arange(len(counts)), np.array(counts, dtype=int))
        warm_until, serving_from = -math.inf, -math.inf
        for second in np.sort(60 * (minutes + random.random(minutes.size))):
            total += 1
            if second >= warm_until:
                serving_from = second + cold_start_s
            waits += second < serving_from
            end = max(serving_from, second) + awake_s if second < serving_from else second + awake_s
            _bill(billed, max(second, warm_until), end)
            warm_until = max(warm_until, end)
    return billed / runs / 60, waits / total


def _bill(billed, start, end):
    for minute in range(int(start // 60), min(int(end // 60) + 1, billed.size)):
        billed[minute] += max(min(end, 60 * minute + 60) - max(start, 60 * minute), 0)


def test_one_request_an_hour_by_hand():
    """A request every hour and 300 s awake bill 301 s of each hour with a 1 s start, and every request waits."""
    counts = np.zeros(600)
    counts[30::60] = 1

    found = duty_of_minutes(counts, 300, 1)

    assert np.nanmean(found.billed_ratio[60:]) == pytest.approx(301 / 3600, rel=0.01)
    assert found.cold_request_ratio == pytest.approx(1.0)


def test_the_formula_is_what_a_simulation_finds():
    """Billed time and waiting requests agree with container by container simulation of a quiet and a busy stretch."""
    counts = np.array([0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 3, 9, 12, 6, 0, 0, 0, 0, 1, 0, 0, 0] * 2)
    ratio, waiting = simulated(counts, 90, 10)

    found = duty_of_minutes(counts.astype(float), 90, 10)

    assert np.nanmean(found.billed_ratio) == pytest.approx(
        float(np.mean(ratio[~np.isnan(found.billed_ratio)])), rel=0.05
    )
    assert found.cold_request_ratio == pytest.approx(waiting, rel=0.15)


def test_a_poisson_rate_is_the_limit_of_many_minutes():
    """Counts drawn at a constant rate give the duty of that rate."""
    counts = np.random.default_rng(1).poisson(0.5, 40_000).astype(float)

    found, expected = duty_of_minutes(counts, 100, 20), duty_of_rate(np.array([0.5 / 60]), 100, 20)

    assert np.nanmean(found.billed_ratio) == pytest.approx(expected.billed_ratio[0], rel=0.03)
    assert found.cold_request_ratio == pytest.approx(expected.cold_request_ratio, rel=0.05)


@settings(deadline=None)
@given(COUNTS, st.floats(1, 1000), st.floats(0, 300))
def test_ratios_are_shares(counts, awake_s, cold_start_s):
    """No minute is billed for more than itself, and no more requests wait than there are."""
    found = duty_of_minutes(counts, awake_s, cold_start_s)
    known = found.billed_ratio[~np.isnan(found.billed_ratio)]

    assert ((known >= 0) & (known <= 1)).all()
    assert math.isnan(found.cold_request_ratio) or 0 <= found.cold_request_ratio <= 1


@settings(deadline=None)
@given(COUNTS, st.floats(1, 500), st.floats(1, 500))
def test_staying_longer_is_billed_for_longer(counts, one, other):
    """Without the time of starts, a longer idle timeout never shortens the billed time of a minute."""
    short, long = (duty_of_minutes(counts, awake_s, 0.0) for awake_s in sorted((one, other)))
    known = ~np.isnan(short.billed_ratio + long.billed_ratio)

    assert (short.billed_ratio[known] <= long.billed_ratio[known] + 1e-9).all()


@given(st.floats(1e-6, 10), st.floats(1e-6, 10), st.floats(1, 900), st.floats(0, 300))
def test_a_higher_rate_meets_fewer_cold_starts(one, other, awake_s, cold_start_s):
    """The busier a service, the smaller the share that finds no container, whatever the start lasts."""
    low, high = sorted((one, other))
    quiet, busy = (duty_of_rate(np.array([rate]), awake_s, 0.0) for rate in (low, high))

    assert busy.cold_request_ratio <= quiet.cold_request_ratio
    assert duty_of_rate(np.array([low]), awake_s, cold_start_s).billed_ratio[0] >= quiet.billed_ratio[0]


def test_unknown_minutes_stay_unknown():
    """A hole in the telemetry makes itself, and what depends on it, unknown instead of idle."""
    counts = np.full(30, 1.0)
    counts[10] = np.nan
    found = duty_of_minutes(counts, 150, 5)

    assert np.flatnonzero(np.isnan(found.billed_ratio)).tolist() == [0, 1, 2, 10, 11, 12, 13]
    assert math.isnan(duty_of_minutes(np.full(5, np.nan), 150, 5).cold_request_ratio)
    assert math.isnan(duty_of_rate(np.zeros(3), 150, 5).cold_request_ratio)


def test_rare_cold_starts_are_within_the_percentile():
    """5 % of the requests may wait; more are rejected with both shares, unless the start is faster than the target."""
    slo = Slo(ttft_p95_ms=2000)
    rare, frequent = Duty(np.ones(1), 0.05), Duty(np.ones(1), 0.2)

    assert cold_start_shortfall(rare, 60, slo) is None
    assert cold_start_shortfall(frequent, 1.9, slo) is None
    assert cold_start_shortfall(frequent, 60, Slo(tpot_p95_ms=30)) is None
    found = cold_start_shortfall(frequent, 60, slo)
    assert (found.code, found.needed, found.available) == ("cold_start", pytest.approx(0.05), 0.2)
    assert "20.0% of the requests would wait 60 s" in found.reason
    assert cold_start_shortfall(Duty(np.ones(1), math.nan), 60, slo).available is None


def test_a_service_is_a_column_with_the_speed_of_its_accelerator():
    """Cloud Run's L4 is a machine with one L4 that the model can be judged on; a request that finds none waits a minute or more."""
    offer = next(one for one in serverless_offers(CATALOG, ("gcp",)) if isinstance(one, ServerlessOffer))
    model = find_model("meta-llama/Llama-3.1-8B-Instruct")
    needs = require(workload(providers=("gcp",)), model, declared_demand(5, 8, 800, 200), CATALOG)

    found = next(one for one in judge(offer.instance_type, needs, CATALOG) if isinstance(one, Candidate))

    assert (offer.region, offer.idle_s, found.accelerator.name) == ("us-central1", LONGEST_IDLE_S, "L4")
    assert 60 < offer.first_request_s(cold_start(found, CATALOG.cold_start)) < 300


def test_services_obey_what_the_workload_is_held_to():
    """A service with an accelerator or a region that is left out is no column."""
    free = list(serverless_offers(CATALOG, ("gcp",)))
    assert free
    held = workload(providers=("gcp",), exclude=Exclude(accelerators=("L4",)))
    left = serverless_offers(CATALOG, ("gcp",), (), partial(allows, in_scope(held, CATALOG)))
    assert all(one.instance_type.accelerator != "L4" for one in left if isinstance(one, ServerlessOffer))
    types = workload(providers=("gcp",), instance_types=("g2-standard-4",))
    assert not list(serverless_offers(CATALOG, ("gcp",), (), partial(allows, in_scope(types, CATALOG))))


def test_services_out_of_scope_are_left_out():
    """Another provider's services, or those of other regions, are no offers; an unknown start or price is a rejection."""
    assert not list(serverless_offers(CATALOG, ("aws",)))
    assert not list(serverless_offers(CATALOG, ("gcp",), ("europe-west6",)))
    (unpriced,) = serverless_offers(CATALOG, ("gcp",), ("europe-west4",))
    assert (unpriced.code, unpriced.region) == ("price_unknown", "europe-west4")
    assert "its price is not known" in unpriced.message
    outcomes = list(serverless_offers(CATALOG, ("runpod",)))
    assert outcomes
    assert all(isinstance(one, Rejection) and one.code == "cold_start" for one in outcomes)
