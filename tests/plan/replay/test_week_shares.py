"""Shares of a sample stand for those of a week: each request counts as many as its class of hours has for it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.synthetic_trace import Calendar, classes_of, with_lengths
from advisor.percentiles import percentiles
from advisor.plan.replay.fleet import replay, simulate
from advisor.plan.replay.groups import routes_of
from advisor.plan.replay.result import within
from advisor.plan.replay.trials import Trials
from advisor.plan.solve.neighbours import loaded_fleet
from advisor.workload.values import Limits, Slo, Survive
from plan.fleet.posing import posed_of
from plan.replay.test_confirm import CATALOG, asked_of, fleet
from plan.replay.test_hour_classes import drawn

DAYS = 7
SLOW, FAST = "aws/g6e.xlarge", "aws/p5.4xlarge"
HOURS = np.arange(24)


def of_minutes(hourly):
    """Requests per second of each minute of a week of equal days."""
    return np.repeat(np.tile(hourly, DAYS), 60)


def office(noon):
    """Requests per second in each hour of a day: half a request in office hours, and another rate for one at noon."""
    return np.where(HOURS == 12, noon, 0.5 * ((HOURS >= 8) & (HOURS < 18)))


def trials_of(hourly, long_ratio):
    """The question and the trials of a demand some of whose answers are so long that slow machines are late."""
    rates = of_minutes(hourly)
    asked = asked_of(1.0, slo=Slo(e2e_p95_ms=10_000), limits=Limits(survive=Survive.NOTHING))
    formulation, context = posed_of(
        asked, CATALOG, drawn(np.tile(rates, 2), 5), rehearsed_requests=6_000, holds_up_to=False
    )  # fmt: skip
    demand = context.requirements.demand
    chances = np.array([1 - long_ratio, long_ratio])
    tokens = replace(
        demand.tokens, input_tokens=np.full(2, 1200.0), output_tokens=np.array([200.0, 1200.0]), probability=chances
    )  # fmt: skip
    requirements = replace(context.requirements, demand=replace(demand, tokens=tokens))
    return formulation, Trials(formulation, replace(context, requirements=requirements)), requirements


def slow_and_fast(problem, fast):
    """One slow machine at all hours, and a fast one in some classes of them."""
    whole = fleet(problem, [pool.instance_type in (SLOW, FAST) for pool in problem.pools])
    counts = {SLOW: (1,) * len(problem.hours), FAST: fast}
    groups = (replace(group, instances=counts[group.pool.instance_type]) for group in whole.allocations)
    return loaded_fleet(problem, tuple(group for group in groups if any(group.instances)))


def of_a_week(formulation, trials, requirements, solution, hourly):
    """Share within the SLO of the requests of a whole week, drawn anew."""
    generator = np.random.default_rng(8)
    counts = generator.poisson(of_minutes(hourly) * 60)
    starts = MONDAY_SECONDS + 60.0 * np.repeat(np.arange(counts.size), counts)
    seconds = np.sort(starts + 60 * generator.random(starts.size))
    requests = with_lengths(requirements.demand, seconds, generator.random((3, seconds.size)))
    routes = tuple(routes_of(formulation, solution))
    groups = trials._groups(formulation, solution)
    return replay(groups, requests, requirements.workload.slo, routes=routes).within_slo_ratio


def test_a_fast_machine_of_the_busiest_hours_alone_does_not_make_up_for_the_others():
    """It serves half of the sample and a seventh of the week: late requests of the other hours count as in the week."""
    hourly = office(noon=1.0)
    formulation, trials, requirements = trials_of(hourly, long_ratio=0.012)
    problem, slo = formulation.problem, requirements.workload.slo
    solution = slow_and_fast(problem, tuple(int(hour.mean_rate > 0.7) for hour in problem.hours))
    requests, routes = trials.rehearsal.requests, tuple(routes_of(formulation, solution))
    outcome = simulate(trials._groups(formulation, solution), requests, routes=routes).outcome
    week = of_a_week(formulation, trials, requirements, solution, hourly)

    trial = trials.of(formulation, solution, whole=True)

    assert within(outcome, requests, slo).mean() > trials.wanted > week
    assert trial.within_slo_ratio == pytest.approx(week, abs=0.002)
    assert trial.busiest_ratio > trials.wanted
    assert not trial.reached
    assert not trials.of(formulation, solution).reached
    (ttft, _, e2e) = trial.latencies
    assert e2e.within_target_ratio == trial.within_slo_ratio
    assert ttft.p95_ms == pytest.approx(trial.ttft_p95_ms, rel=1e-12)


@pytest.mark.sampled(2)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    night=st.floats(0.02, 0.3), day=st.floats(0.2, 0.8), noon=st.floats(0.5, 1.2), long_ratio=st.floats(0.002, 0.3),
    data=st.data(),
)  # fmt: skip
def test_the_share_of_a_sample_is_that_of_the_week(night, day, noon, long_ratio, data):
    """Within four standard errors, whatever hours have a fast machine."""
    hourly = np.select([HOURS == 12, (HOURS >= 8) & (HOURS < 18)], [noon, day], night)
    formulation, trials, requirements = trials_of(hourly, long_ratio)
    count = len(formulation.problem.hours)
    fast = tuple(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count).map(sorted)))
    solution = slow_and_fast(formulation.problem, fast)
    weights = trials.rehearsal.requests.weights
    weights = np.ones(1) if weights is None else weights

    share = trials.of(formulation, solution, whole=True).within_slo_ratio
    week = of_a_week(formulation, trials, requirements, solution, hourly)

    size = trials.rehearsal.requests.seconds.size * weights.mean() ** 2 / (weights**2).mean()
    assert abs(share - week) <= 4 * np.sqrt(week * (1 - week) / size) + 0.002


def test_a_request_stands_for_as_many_as_its_class_has_in_a_week():
    """Weights of the classes of hours in the sample are 1 on the mean."""
    formulation, trials, _ = trials_of(office(noon=1.0), long_ratio=0.01)
    calendar: Calendar = trials._calendar
    requests = trials.rehearsal.requests
    classes = classes_of(calendar, requests.seconds)
    hours = np.bincount(formulation.week.schedule)

    assert requests.weights.mean() == pytest.approx(1.0)
    of_class = np.bincount(classes, requests.weights, minlength=hours.size)
    expected = hours * np.array(calendar.mean_rates) * (of_class > 0)
    assert of_class / of_class.sum() == pytest.approx(expected / expected.sum())


def test_one_class_of_hours_has_no_weights():
    """All requests count alike."""
    _, trials, _ = trials_of(np.full(24, 0.5), long_ratio=0.01)

    assert len(trials._calendar.mean_rates) > 1 or trials.rehearsal.requests.weights is None


@given(values=arrays(float, st.integers(1, 60), elements=st.floats(0, 1e6)), data=st.data())
def test_so_much_of_the_weight_lies_below_a_weighted_percentile(values, data):
    """To two parts of as many as there are values; equal weights change nothing."""
    weights = data.draw(arrays(float, values.size, elements=st.floats(0.01, 10)))
    whole = weights.sum()

    assert percentiles(values, (0.05, 0.5, 0.95), np.full(values.size, 0.3)) == percentiles(values, (0.05, 0.5, 0.95))
    for share, value in zip((0.05, 0.5, 0.95), percentiles(values, (0.05, 0.5, 0.95), weights), strict=True):
        assert weights[values < value].sum() / whole <= share + 2 / values.size
        assert weights[values <= value].sum() / whole >= share - 2 / values.size
