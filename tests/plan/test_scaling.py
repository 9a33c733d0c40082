"""By the clock, by what is seen, or not at all: what each costs for one fleet, and with instances of what size."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advisor.candidates import match
from advisor.catalog import load_catalog
from advisor.demand.forecast import flat_forecast
from advisor.demand.lengths import declared_demand
from advisor.demand.spread import MONDAY_SECONDS, mean_by_hour_of_week
from advisor.demand.values import Demand, DemandProfile, Forecast
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.performance.stage import serve
from advisor.plan.cold_start import METRIC_DELAY_S, cold_start
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.fleet.chosen import Change, Policy, ReactivePolicy, ScalingPlan
from advisor.plan.problem.hours import week_of
from advisor.plan.problem.values import Allocation, FleetSolution, Problem, PurchaseOption, Tariff
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.scaling import (
    ObservedLoad,
    ReactiveFleet,
    group_schedule,
    main_pool,
    reactive_policy,
    recommend,
    scaling_of,
    static_usd_per_month,
)
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.scopes import cheapest
from advisor.plan.solve.stage import ExistingFleet, PlanningContext, formulate, supply_of
from advisor.workload.values import Limits, Scaling, Survive
from builders import workload
from plan.fleet.problems import pool_of, problem_of

ON_DEMAND = Tariff(PurchaseOption.ON_DEMAND, 1.0)
COMMITTED = Tariff(PurchaseOption.COMMITMENT, 0.5, "1 y")
FUNCTIONS = Tariff(PurchaseOption.SERVERLESS, 2.0, "functions", active_ratios=(0.25, 0.5))


def fleet(problem: Problem, *allocations: Allocation) -> FleetSolution:
    """A fleet that was found, whatever it carries."""
    usd = objective_usd_per_month(problem, allocations, {})
    return FleetSolution(allocations, {}, usd, usd, proven=True)


def two_classes(*allocations: Allocation, **more) -> tuple[Problem, FleetSolution]:
    """84 quiet and 84 busy hours a week, the busy ones with 4 requests/s."""
    problem = problem_of(*dict.fromkeys(one.pool for one in allocations), planned=(1.0, 4.0), **more)
    return problem, fleet(problem, *allocations)


# --- the clock


def test_a_timetable_names_the_hours_that_change():
    """Two instances on working days from 8 to 18 h and one otherwise are two entries a day, ordered 18 minutes ahead."""
    busy = [1 if hour // 24 < 5 and 8 <= hour % 24 < 18 else 0 for hour in range(168)]
    found = group_schedule(Allocation(pool_of("p", lead_hours=0.3), ON_DEMAND, (1, 2)), busy)
    assert found.name == "p/on_demand"
    assert found.ordered_minutes_ahead == 18
    assert found.stopped_minutes_after == 0
    slow = replace(ON_DEMAND, stop_hours=1020 / 3600)
    assert group_schedule(Allocation(pool_of("p"), slow, (1, 2)), busy).stopped_minutes_after == 17
    assert found.changes == tuple(
        Change(24 * day + hour, count) for day in range(5) for hour, count in ((8, 2), (18, 1))
    )


def test_a_number_that_never_changes_is_one_entry():
    """A commitment that runs at all hours is there from hour 0."""
    found = group_schedule(Allocation(pool_of(), COMMITTED, (3, 3)), [0, 1] * 84)
    assert found.changes == (Change(0, 3),)


@given(st.lists(st.integers(0, 3), min_size=168, max_size=168), st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_a_timetable_says_what_the_classes_say(classes, counts):
    """Followed around the week, the entries give each hour the instances of its class."""
    found = group_schedule(Allocation(pool_of(), ON_DEMAND, tuple(counts)), classes)
    told = {change.hour_of_week: change.instances for change in found.changes}
    count = found.changes[-1].instances
    for hour, at in enumerate(classes):
        count = told.get(hour, count)
        assert count == counts[at]


# --- static against scheduled


def test_the_busiest_fleet_at_all_hours_by_hand():
    """Three instances at 1 USD and two committed at 0.50 USD are 4 USD x 730 h; what runs at quiet hours alone is not in it."""
    pools = [pool_of(name, lead_hours=0.5) for name in "abc"]
    night = Allocation(pools[2], FUNCTIONS, (1, 0))
    problem, found = two_classes(
        Allocation(pools[0], ON_DEMAND, (1, 3)), Allocation(pools[1], COMMITTED, (2, 2)), night
    )
    assert static_usd_per_month(problem, found) == pytest.approx(4 * 730)
    scheduled = 365 * (1 + 3 + 2 * 0.5 * 2) + 2 * 7 * 0.5 / 168 * 730 + 365 * 2 * 0.25
    assert found.objective_usd_per_month == pytest.approx(scheduled, abs=0.02)


ALLOCATIONS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from((ON_DEMAND, COMMITTED)), st.floats(0, 1)),
    min_size=1,
    max_size=4,
)


@given(ALLOCATIONS)
def test_static_never_costs_less_than_scheduled(drawn):
    """With starts of up to an hour, following the hours never costs more than the busiest fleet all the time."""
    allocations = []
    for at, (one, other, tariff, lead) in enumerate(drawn):
        low, high = sorted((one, other))
        counts = (high, high) if tariff.paid.always else (low, high)
        allocations.append(Allocation(pool_of(f"p{at}", lead_hours=lead), tariff, counts))
    problem, found = two_classes(*allocations)
    assert static_usd_per_month(problem, found) >= found.objective_usd_per_month - 0.01 * len(drawn)


# --- following what is seen


def load_of(counts, peak=10.0, expected=1.0) -> ObservedLoad:
    """Minutes from a Monday on, and one rate expected in all hours that they do not show."""
    return ObservedLoad(np.array(counts, dtype=float), MONDAY_SECONDS, np.full(168, expected), peak)


def follows(instances=5, price=2.0, **changes) -> ReactiveFleet:
    """Instances that carry 1 request/s each, all of which follow."""
    alone = ReactiveFleet(
        np.array([instances * 1.0]), np.array([price]), np.zeros(1), np.zeros(1), np.zeros(1), instances * 1.0,
        0.0, 0.0, 0.0, 1, 1.0,
    )  # fmt: skip
    return replace(alone, **changes)


def test_a_step_by_hand():
    """60 → 240 requests a minute with 2 minutes of delay: 3 requests/s of headroom, so 4 replicas at least, 5 at most."""
    counts = [60.0] * 60 + [240.0] * 60
    found = reactive_policy(load_of(counts, peak=5.0, expected=1.0), follows(), 120, 1.0)
    assert found.headroom_requests_per_second == pytest.approx(3.0)
    assert found.minimum_warm_replicas == 4
    assert found.missed_ratio == pytest.approx(2 * 180 / (58 * 60 + 60 * 240))
    first, second, others = 4, 5, 4
    assert found.usd_per_month == pytest.approx((first + second + 166 * others) / 168 * 2 * 730, abs=0.01)


def test_instances_are_paid_from_their_order_on():
    """A minute of load is paid for in that minute, when the order goes out, and after the delay, when it serves."""
    counts = np.zeros(60)
    counts[30] = 60.0
    found = reactive_policy(load_of(counts, expected=0.0), follows(), 300, 0.0)
    assert found.headroom_requests_per_second == 0
    assert found.usd_per_month == pytest.approx(2 / 55 / 168 * 2 * 730, abs=0.01)


def test_a_start_downloads_and_a_stopped_instance_keeps_its_disk():
    """Two instances more every half hour: 48 of them a day at 3 USD; stopped ones pay for disks as long as they stand by."""
    hour = np.array(([1.0] * 15 + [3.0] * 15) * 2)
    fleet = follows(disk_usd_per_hour=np.array([0.1]), start_usd=np.array([3.0]))
    running = 2 * 2 * 730
    fresh = fleet.usd_per_month(np.tile(hour, 24), 60, stopped=False)
    kept = fleet.usd_per_month(np.tile(hour, 24), 60, stopped=True)
    assert fresh.mean() == pytest.approx(running + 2 * 48 * 3.0 * 730 / 24)
    assert kept.mean() == pytest.approx(running + (5 - 2) * 0.1 * 730)


def test_an_instance_is_paid_for_until_it_is_taken_away():
    """Two instances that stop every half hour, each billed for 0.5 USD after it, whether they are kept or not."""
    hour = np.array(([1.0] * 15 + [3.0] * 15) * 2)
    load, stops = np.tile(hour, 24), 2 * 48 * 0.5 * 730 / 24
    for stopped in (False, True):
        paid = follows(stop_usd=np.array([0.5])).usd_per_month(load, 60, stopped=stopped)
        assert paid.mean() == pytest.approx(follows().usd_per_month(load, 60, stopped=stopped).mean() + stops)


def test_a_short_dip_starts_nothing_anew():
    """Less load for under a quarter of an hour takes no instance away, so none is started after it."""
    dips = np.array(([3.0] * 20 + [1.0] * 14) * 10)
    fleet = follows(start_usd=np.array([3.0]))
    assert fleet.usd_per_month(dips, 60, stopped=False) == pytest.approx(
        follows().usd_per_month(dips, 60, stopped=True)
    )


def test_what_runs_anyway_is_no_headroom_to_pay_for():
    """Where commitments carry the load of all minutes and its headroom, nothing else is ever started."""
    fleet = follows(steady_rate=9.0, steady_usd_per_month=700.0)
    assert reactive_policy(load_of([60.0, 120.0] * 60), fleet, 60, 1.0).usd_per_month == 700.0


def test_too_short_a_load_is_unknown():
    """A load of less than the delay, or with gaps everywhere, says nothing of its rises."""
    assert reactive_policy(load_of([60.0]), follows(), 600, 0.99) is None
    assert reactive_policy(load_of([math.nan] * 90), follows(), 600, 0.99) is None


COUNTS = arrays(np.float64, st.integers(5, 120), elements=st.one_of(st.integers(0, 300).map(float), st.just(math.nan)))


@given(COUNTS, st.integers(1, 20), st.integers(1, 20), st.floats(0.5, 1))
def test_a_longer_start_never_needs_less(counts, one, other, within):
    """With a longer delay neither headroom nor warm replicas get fewer."""
    found = [reactive_policy(load_of(counts), follows(), 60 * delay, within) for delay in sorted((one, other))]
    if None not in found:
        quick, slow = found
        assert slow.headroom_requests_per_second >= quick.headroom_requests_per_second
        assert slow.minimum_warm_replicas >= quick.minimum_warm_replicas
        assert slow.missed_ratio >= quick.missed_ratio


@given(COUNTS, st.floats(60, 900), st.floats(0.5, 1))
def test_following_never_costs_more_than_all_of_it(counts, delay_s, within):
    """A policy that reacts runs at most the fleet of the busiest hours."""
    found = reactive_policy(load_of(counts), follows(), delay_s, within)
    assert found is None or found.usd_per_month <= 5 * 2 * 730 + 0.01


def test_a_fleet_follows_beside_what_is_committed():
    """Of 2 committed and 3 on demand the 3 follow, from the rate on that the 2 carry; nothing committed follows."""
    pool = pool_of("a", rate=1.0)
    problem, found = two_classes(Allocation(pool, COMMITTED, (2, 2)), Allocation(pool, ON_DEMAND, (0, 3)))
    following = ReactiveFleet.of(problem, found)
    assert (following.rate, following.steady_rate, following.replica_rate) == (3.0, 2.0, 1.0)
    assert following.usd_per_month(np.array([0.0, 2.0, 2.1, 4.0, 9.0]), 60, stopped=True) == pytest.approx(
        730 * (1.0 + np.array([0, 0, 1, 2, 3]))
    )
    problem, found = two_classes(Allocation(pool, COMMITTED, (2, 2)))
    assert ReactiveFleet.of(problem, found) is None


def test_zones_and_replicas_always_run():
    """Two zones need two instances and six replicas of two to an instance need three, unless zero is allowed."""
    one = Allocation(pool_of("a", rate=1.0, replicas=2), ON_DEMAND, (3, 5))
    for limits, scaling, least in (
        (Limits(zones=2, min_replicas=2), Scaling(), 2),
        (Limits(min_replicas=6), Scaling(), 3),
        (Limits(min_replicas=6), Scaling(scale_to_zero=True), 0),
    ):
        problem, found = two_classes(one, limits=limits, scaling=scaling)
        usd = ReactiveFleet.of(problem, found).usd_per_month(np.zeros(1), 60, stopped=False)
        assert usd == pytest.approx(730 * least)


def test_what_stands_by_for_a_failure_stands_by_at_any_load():
    """Of five instances where four carry the busiest hours with one lost, half the load runs three."""
    problem, found = two_classes(
        Allocation(pool_of("a", rate=1.0), ON_DEMAND, (2, 5)), limits=Limits(survive=Survive.INSTANCE)
    )
    assert ReactiveFleet.of(problem, found).usd_per_month(np.array([2.0, 4.0]), 60, stopped=False) == pytest.approx(
        [730 * 3, 730 * 5]
    )


def test_a_fleet_keeps_its_spare_in_proportion_beside_what_is_committed():
    """Five instances carry 4 requests/s with one lost: so many times the load and a quarter, of which 2 are committed."""
    pool = pool_of("a", rate=1.0)
    problem, solution = two_classes(
        Allocation(pool, COMMITTED, (2, 2)),
        Allocation(pool, ON_DEMAND, (0, 3)),
        limits=Limits(survive=Survive.INSTANCE),
    )
    loads = np.array([0.0, 1.6, 1.7, 2.0, 2.4, 3.0, 3.2, 4.0, 9.0])
    following = [min(max(math.ceil(round(load * 5 / 4 - 2, 9)), 0), 3) for load in loads]
    assert following == [0, 0, 1, 1, 1, 2, 2, 3, 3]
    usd = ReactiveFleet.of(problem, solution).usd_per_month(loads, 60, stopped=True)
    assert usd == pytest.approx(730 * (2 * 0.5 + np.array(following)))


def forecast_with(mean) -> Forecast:
    """A forecast of these mean rates."""
    return replace(flat_forecast(1.0, 9.0), mean=np.asarray(mean, dtype=float))


def test_the_observed_load_grows_as_the_forecast_does():
    """An hour seen at 1 request/s and forecast at 3 is followed at 3, whatever is forecast for hours never seen."""
    mean = np.full(168, 50.0)
    mean[24] = 3.0
    profile = DemandProfile(MONDAY_SECONDS + 86_400, np.array([60.0, math.nan] * 30))
    found = ObservedLoad.of(profile, forecast_with(mean))
    assert found.requests_per_minute[0] == pytest.approx(180.0)
    assert math.isnan(found.requests_per_minute[1])
    assert found.peak_rate == 9.0


def test_a_surge_that_is_not_expected_again_makes_the_other_minutes_no_smaller():
    """A day at a level of 1 with one hour at 100 is replayed as it was where 1 is forecast for every hour."""
    counts = np.full(1440, 60.0)
    counts[600:660] = 6000.0
    found = ObservedLoad.of(DemandProfile(MONDAY_SECONDS, counts), forecast_with(np.ones(168)))
    assert (found.requests_per_minute == counts).all()


def test_minutes_are_folded_into_the_hours_of_the_week():
    """Sunday's last minute and Monday's first are hours 167 and 0; what is unknown counts in neither."""
    found = mean_by_hour_of_week(np.array([4.0, 1.0, math.nan, 2.0]), MONDAY_SECONDS - 60)
    assert (found[167], found[0]) == (4.0, 1.5)
    assert np.isnan(found[1:167]).all()


# --- which of them


def test_the_policy_that_is_planned_is_recommended_with_its_figures():
    """What was planned, replayed and priced: by the clock where numbers differ by hour; the reason holds the others."""
    reacts = ReactivePolicy(600, 0.1, 2.5, 3, 800.0)
    pool = pool_of("only", 2.0)
    same, follows = (
        FleetSolution((Allocation(pool, ON_DEMAND, instances),), {}, 900.0, 900.0, proven=True)
        for instances in ((3, 3), (1, 3))
    )
    assert recommend(same, 900, None)[0] is Policy.STATIC
    assert recommend(follows, 1000, None)[0] is Policy.SCHEDULED
    policy, reason = recommend(follows, 1000, reacts)
    assert policy is Policy.SCHEDULED
    assert reason.startswith("USD 900 a month against 1,000 static and 800 reactive, which no replay has confirmed")


# --- all of it, on the shipped catalog

CATALOG = load_catalog()


def office_hours() -> Demand:
    """Two weeks of 20 requests/s at most: quiet nights, a noon peak, every minute told apart."""
    minutes = np.arange(14 * 24 * 60)
    shape = 0.1 + 0.9 * np.clip(np.sin(np.pi * (minutes / 60 % 24 - 6) / 14), 0, 1)
    counts = np.random.default_rng(7).poisson(20 * 60 * shape).astype(float)
    rate = counts / 60
    demand = declared_demand(float(rate.mean()), float(rate.max()), 800, 200)
    return replace(demand, profile=DemandProfile(MONDAY_SECONDS, counts))


def planned(demand: Demand, **changes) -> tuple[ScalingPlan, FleetSolution, PlanningContext]:
    """Scaling of the cheapest fleet in one region."""
    asked = workload(regions=("us-east-1",), purchase=("on_demand",), **changes)
    requirements = requirements_of(PlanRequest(asked, find_model(asked.model), demand), CATALOG)
    matches = match(requirements, CATALOG)
    served, _ = serve(matches.candidates, requirements, shipped_model())
    context = PlanningContext(requirements, CATALOG, shipped_model(), ExistingFleet({}, {}))
    expected = forecast_of(requirements)
    supply = supply_of(context, served, matches.offers)
    formulation = formulate(context, supply, week_of(expected, scheduled=asked.scaling.scheduled))
    solution = cheapest(formulation.problem)
    main = formulation.pool_set.sources[main_pool(formulation.problem, solution).key].served.candidate
    assert cold_start(main, CATALOG.cold_start).total_s.high > METRIC_DELAY_S
    return scaling_of(context, formulation, solution, expected), solution, context


def test_a_day_and_night_load_is_scheduled_or_followed():
    """For two weeks of office hours all policies have a price, static is the dearest and a warm pool needs less headroom."""
    found, solution, _ = planned(office_hours())
    assert found.scheduled_usd_per_month == solution.objective_usd_per_month
    assert found.static_usd_per_month > 1.2 * found.scheduled_usd_per_month
    assert found.recommended is not Policy.STATIC
    assert found.reactive.usd_per_month < found.static_usd_per_month
    assert found.warm_pool.delay_s < found.reactive.delay_s
    assert found.warm_pool.headroom_requests_per_second <= found.reactive.headroom_requests_per_second
    assert found.reactive_unknown == ""
    assert all(len(group.changes) > 1 for group in found.schedule)


def test_a_declared_load_says_nothing_of_its_rises():
    """Without a profile there are no reactive numbers, and the reason says why; a flat load is served statically."""
    found, *_ = planned(declared_demand(5, 8, 800, 200))
    assert found.reactive is None
    assert found.warm_pool is None
    assert "declared" in found.reactive_unknown
    assert found.recommended is Policy.STATIC
    assert found.static_usd_per_month == found.scheduled_usd_per_month


def test_a_fleet_of_one_number_can_still_be_compared():
    """Where the schedule is switched off, cold starts that the plan did not need are worked out for the comparison."""
    found, *_ = planned(office_hours(), scaling=Scaling(scheduled=False))
    assert found.static_usd_per_month == found.scheduled_usd_per_month
    assert found.reactive is not None
