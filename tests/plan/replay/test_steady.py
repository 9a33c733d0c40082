"""Fleets that carry more than the closed form says are tried for long enough that a queue shows."""

from dataclasses import replace

import numpy as np
import pytest

from advisor.demand.synthetic_trace import STEADY_MINUTES, steady
from advisor.demand.values import Dispersion
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.replay.trials import Trials
from plan.fleet.posing import posed_of
from plan.replay.test_confirm import CATALOG, asked_of, flat, fleet

SLOW = {"ttft_ms": 30_000, "precisions": ("fp8",)}
"""Targets that a short sample keeps while a queue grows."""


def trial_of(load, *, steadily):
    """One machine of each pool in turn, under so many times what the closed form says that it serves."""
    formulation, context = posed_of(asked_of(8.0, **SLOW), CATALOG, flat(8.0, Dispersion()))
    rate = mix_rate(formulation.problem, formulation.problem.pools[0])
    asked = asked_of(rate * load, **SLOW)
    formulation, context = posed_of(asked, CATALOG, flat(rate * load, Dispersion()), rehearsed_requests=60)
    trials = Trials(formulation, context)
    counts = [1, *(0 for _ in formulation.problem.pools[1:])]
    if not steadily:
        trials._steadily = lambda *_, **__: None
    return trials.of(formulation, fleet(formulation.problem, counts))


@pytest.mark.parametrize(("load", "keeps_up"), [(0.9, True), (1.8, False)])
def test_a_fleet_that_gets_more_than_it_serves_is_late(load, keeps_up):
    """A sample that is over before the queue is long says otherwise."""
    assert trial_of(load, steadily=False).reached
    steadily = trial_of(load, steadily=True)
    assert steadily.reached is keeps_up
    assert (steadily.within_slo_ratio > 0.95) is keeps_up


@pytest.mark.parametrize(
    ("rate", "minutes"), [(1e-9, STEADY_MINUTES), (0.01, STEADY_MINUTES), (10.0, STEADY_MINUTES), (100.0, 4), (1e4, 1)]
)
def test_random_arrivals_go_on_for_long_where_they_are_few(rate, minutes):
    """In whole minutes, at the rate that is asked for, with the lengths of the demand, the same ones every time."""
    _, context = posed_of(asked_of(8.0), CATALOG)
    demand, most = context.requirements.demand, 24_000

    requests = steady(demand, rate, 6e4, most)

    expected = rate * minutes * 60
    assert requests.seconds.size == pytest.approx(expected, abs=6 * np.sqrt(expected) + 1)
    assert requests.seconds.size
    assert ((requests.seconds >= 6e4) & (requests.seconds < 6e4 + minutes * 60)).all()
    assert np.array_equal(requests.seconds, steady(replace(demand), rate, 6e4, most).seconds)
