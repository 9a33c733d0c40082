"""Latencies of a replay at fixed percentiles: those of the requests, and the share within each target."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.demand.values import Requests, Unit
from advisor.plan.fleet.chosen import QUANTILES
from advisor.plan.replay.result import distributions, latencies_s, p95_ms, real_time_factor_p95
from advisor.plan.replay.values import Outcome
from advisor.workload.values import Slo

SLO = Slo(ttft_p95_ms=500.0, tpot_p95_ms=40.0)


def outcome_of(ttft_s, decode_s, group=None):
    """What became of requests, none of which was cut off."""
    size = len(ttft_s)
    groups = np.zeros(size, dtype=np.int32) if group is None else np.array(group, dtype=np.int32)
    return Outcome(np.array(ttft_s), np.array(decode_s), groups, np.zeros(size, dtype=np.bool_))


def requests_of(output_tokens):
    """Requests with answers of so many tokens."""
    size = len(output_tokens)
    return Requests(np.arange(float(size)), np.full(size, 100, np.int32), np.array(output_tokens, np.int32))


def test_each_latency_is_of_the_answers_that_have_it():
    """One token takes no time per token; what was refused has no latency."""
    outcome = outcome_of([0.1, 0.2, 0.9, np.nan], [3.0, 0.0, 9.0, np.nan], [0, 0, 0, -1])
    found = latencies_s(outcome, requests_of([101, 1, 101, 50]))
    of_tokens = {one.name: one for one in distributions(found, SLO, Unit.TOKENS)}

    assert {name: one.requests for name, one in of_tokens.items()} == {"ttft": 3, "tpot": 2, "e2e": 3}
    assert of_tokens["ttft"].within_target_ratio == pytest.approx(2 / 3)
    assert of_tokens["tpot"].within_target_ratio == 0.5
    assert of_tokens["e2e"].within_target_ratio is None
    assert of_tokens["tpot"].p50_ms == pytest.approx(60.0)


def test_a_real_time_factor_is_of_each_recording():
    """Seconds of a transcript ÷ those of its own recording, of those that are answered: a short one may have the most."""
    sizes = np.array([2_000, 60_000, 1_000], np.int32)
    requests = Requests(np.arange(3.0), sizes, np.ones(3, np.int32))

    assert real_time_factor_p95(outcome_of([0.4, 3.0, 0.9], [0.0] * 3, [0, 0, -1]), requests) == pytest.approx(
        0.2, abs=0.01
    )
    assert real_time_factor_p95(outcome_of([0.4] * 3, [0.0] * 3, [-1] * 3), requests) is None


def test_answers_of_one_pass_have_one_latency():
    """Against the target of the whole answer."""
    found = latencies_s(outcome_of([0.1, 0.3], [0.0, 0.0]), requests_of([1, 1]))
    (latency,) = distributions(found, Slo(latency_ms=200.0), Unit.TEXTS)

    assert (latency.name, latency.requests, latency.within_target_ratio) == ("latency", 2, 0.5)


@given(st.lists(st.floats(0.001, 1e3), min_size=1, max_size=200))
def test_percentiles_rise_and_agree_with_the_one_that_stands_alone(seconds):
    """From the fastest to the slowest request, with the 95th the same to the last bit."""
    latencies = latencies_s(outcome_of(seconds, [0.0] * len(seconds)), requests_of([1] * len(seconds)))
    (ttft, e2e) = distributions(latencies, SLO, Unit.TOKENS)
    values = list(ttft.quantiles.values())

    assert list(ttft.quantiles) == list(QUANTILES.values())
    assert values == sorted(values)
    assert min(seconds) * 1000 <= values[0] * (1 + 1e-9)
    assert values[-1] <= max(seconds) * 1000 * (1 + 1e-9)
    assert ttft.p95_ms == pytest.approx(p95_ms(*latencies["ttft"]), rel=1e-12)
    assert e2e.quantiles == ttft.quantiles


@given(seconds=st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_the_percentile_is_that_of_numpy(seconds):
    """It is interpolated alike, to the last bit."""
    values = np.array(seconds)
    before = values.copy()

    assert p95_ms(values) == float(np.quantile(values, 0.95)) * 1_000
    assert (values == before).all()
