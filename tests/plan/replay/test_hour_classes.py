"""Hours that are seldom as busy as they are planned for are served then too."""

from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from advisor.catalog.values import Purchase
from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.synthetic_trace import Stress, classes_of, stressed, sustained_ratio, with_lengths
from advisor.demand.values import DemandProfile, Dispersion
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay import fleet_search
from advisor.plan.replay.below import at_need
from advisor.plan.replay.fleet import replay
from advisor.plan.replay.groups import routes_of
from advisor.plan.replay.trials import Trials
from advisor.plan.replay.validator import Confirmed, ReplayValidator
from advisor.plan.solve.alone import whole_shares
from advisor.plan.solve.by_hours import by_hours
from advisor.plan.solve.neighbours import loaded_fleet
from advisor.workload.values import Deployment, Limits, Scaling, Survive
from builders import catalog_of, offer
from plan.fleet.posing import posed_of
from plan.replay.test_confirm import CATALOG, asked_of, few_pools, flat, fleet

DAYS = 20
EVENINGS = (18, 22)
ROUTED = 0.003
"""Share of the requests that may be late for the replica that gets them in turn."""


def rates_by_minute(busy, night, days, late_days):
    """Requests per second of each minute: busy by day, at night few, and on some days busy for the evening too."""
    hours = np.arange(24)
    usual = np.where((hours >= 8) & (hours < EVENINGS[0]), busy, night)
    late = np.where((hours >= 8) & (hours < EVENINGS[1]), busy, night)
    return np.repeat([late if day in late_days else usual for day in range(days)], 60, axis=1).ravel()


def drawn(rates, seed):
    """A profile of random arrivals at some rates."""
    counts = np.random.default_rng(seed).poisson(rates * 60).astype(float)
    return DemandProfile(MONDAY_SECONDS, counts, Dispersion())


def question_of(busy, night, late_days, seed, **changes):
    """The question of a demand whose late evenings are few, with few pools."""
    profile = drawn(rates_by_minute(busy, night, DAYS, late_days), seed)
    formulation, context = posed_of(
        asked_of(profile.requests_per_minute.max() / 60, ttft_ms=1000, **changes), CATALOG, profile,
        rehearsed_requests=6_000, holds_up_to=False,
    )  # fmt: skip
    return few_pools(formulation), context


def day_within_slo(formulation, solution, context, rates, seed):
    """Share within the SLO of the requests of a fresh day, by hour of the day from Monday 00:00 on."""
    generator = np.random.default_rng(seed)
    counts = generator.poisson(rates * 60)
    starts = MONDAY_SECONDS + 60.0 * np.repeat(np.arange(counts.size), counts)
    seconds = np.sort(starts + 60 * generator.random(starts.size))
    requests = with_lengths(context.requirements.demand, seconds, generator.random((3, seconds.size)))
    groups = Trials(formulation, context)._groups(formulation, solution)
    routes = tuple(routes_of(formulation, solution))
    return replay(groups, requests, context.requirements.workload.slo, routes=routes).within_slo_ratio


@pytest.mark.sampled(4)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    busy=st.floats(1.0, 12.0), night=st.sampled_from((0.02, 0.05, 0.2)), count=st.integers(3, 10),
    seed=st.integers(0, 99), survive=st.sampled_from((Survive.NOTHING, Survive.INSTANCE)),
)  # fmt: skip
def test_a_late_evening_is_served_like_a_busy_day(busy, night, count, seed, survive):
    """Whatever the hours are planned for was replayed at the instances that they have."""
    late_days = set(np.random.default_rng(seed).permutation(DAYS)[:count].tolist())
    formulation, context = question_of(busy, busy * night, late_days, seed, limits=Limits(survive=survive))

    found = ReplayValidator(formulation, context).confirmed()

    assert isinstance(found, Confirmed)
    assert found.confirmation.reached
    planned = [formulation.problem.hours[hour_class].planned_rate for hour_class in formulation.week.schedule]
    # Hours of Monday in which the plan is for the busy rate are drawn at it, all others at what nights have.
    rates = np.repeat([busy if rate >= busy else busy * night for rate in planned[:24]], 60)
    kept = day_within_slo(found.formulation, found.solution, context, rates, seed + 1_000)
    assert kept >= context.requirements.workload.slo.within_ratio


def test_the_planned_rate_of_other_hours_is_replayed_where_the_closed_form_has_less():
    """One machine for hours that are planned as busy as those of two fails, and two hold; both hold a median hour."""
    rate = 6.0
    formulation, context = question_of(rate, 0.05 * rate, {2, 4, 9, 12, 15, 18}, 3)
    problem, trials = formulation.problem, Trials(formulation, context)
    pool = min(problem.pools, key=lambda pool: mix_rate(problem, pool))
    needed = int(np.ceil(problem.hours[-1].planned_rate / mix_rate(problem, pool)))
    counts = [needed if other is pool else 0 for other in problem.pools]
    whole = fleet(problem, counts)
    evening = formulation.week.schedule[EVENINGS[0] + 1]
    assert evening < len(problem.hours) - 1

    def with_fewest(first):
        fewer = tuple(1 if at < first else needed for at in range(len(problem.hours)))
        return replace(whole, allocations=(replace(whole.allocations[0], instances=fewer),))

    assert trials.of(formulation, whole).reached
    late = trials.of(formulation, with_fewest(evening + 1))
    assert not late.reached
    assert late.late == (0,)


def test_a_trial_is_the_same_whatever_replicas_are_planned_to_carry():
    """A fleet that is planned to carry twice as much, or half, runs the same machines, and its replays see them alone."""
    rate = 6.0
    formulation, context = question_of(
        rate, 0.3 * rate, {2, 4, 9, 12, 15, 18}, 3, limits=Limits(survive=Survive.INSTANCE)
    )
    problem = formulation.problem
    pool = min(problem.pools, key=lambda pool: mix_rate(problem, pool))
    needed = int(np.ceil(problem.hours[-1].planned_rate / mix_rate(problem, pool))) + 1
    (group,) = fleet(problem, [needed if other is pool else 0 for other in problem.pools]).allocations
    counts = (*(max(needed - len(problem.hours) + at, 1) for at in range(len(problem.hours) - 1)), needed)

    def trial(headroom):
        planned = replace(group, pool=group.pool.slower(headroom), instances=counts)
        shares = whole_shares(problem, planned.pool)
        solution = FleetSolution((planned,), shares, 0.0, 0.0, proven=False)
        return Trials(formulation, context).of(formulation, solution, every=True)

    usual = trial(1.0)
    for other in (trial(0.5), trial(2.0)):
        assert other.reached == usual.reached
        assert other.without_part_ratio == usual.without_part_ratio
        assert other.without_one_ratio == usual.without_one_ratio


def demand_of(seed):
    """Days of random bursty arrivals with some late evenings, and one to four pools that may serve them."""
    generator = np.random.default_rng(seed)
    busy, night, count = generator.uniform(1, 25), generator.choice([0.05, 0.2, 0.5]), generator.integers(0, 10)
    late_days = set(generator.permutation(DAYS)[:count].tolist())
    noise = 1 + 0.3 * np.tile(np.repeat(generator.random(24), 60), DAYS)
    profile = drawn(rates_by_minute(busy, busy * night, DAYS, late_days) * noise, seed)
    bursts = Dispersion(generator.uniform(1, 6), generator.uniform(1, 12))
    return replace(profile, dispersion=bursts), int(generator.integers(1, 5))


def cheapest_of(seed, *, scheduled, **limits):
    """The cheapest confirmed fleet of such a demand, and its question."""
    profile, pools = demand_of(seed)
    asked = asked_of(
        profile.requests_per_minute.max() / 60, ttft_ms=(500, 1000, 1500)[seed % 3],
        scaling=Scaling(scheduled=scheduled), limits=Limits(**limits),
    )  # fmt: skip
    formulation, context = posed_of(asked, CATALOG, profile, rehearsed_requests=4_000, holds_up_to=False)
    formulation = few_pools(formulation, pools)
    return ReplayValidator(formulation, context).confirmed(refined=True), formulation, context


@pytest.mark.sampled(4)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@example(seed=17, survive=Survive.NOTHING, tight=True)
@given(
    seed=st.integers(0, 999), survive=st.sampled_from((Survive.NOTHING, Survive.INSTANCE)), tight=st.booleans()
)  # fmt: skip
def test_counts_that_may_follow_the_hours_never_cost_more(seed, survive, tight):
    """Not where limits allow just as many replicas as are needed at all hours, either; each hour's rate is covered."""
    constant, formulation, _ = cheapest_of(seed, scheduled=False, survive=survive)
    limits = {"survive": survive}
    if tight:
        assert isinstance(constant, Confirmed)
        groups = constant.solution.allocations
        limits["max_replicas"] = sum(group.instances[0] * group.pool.replicas for group in groups)
        constant, formulation, _ = cheapest_of(seed, scheduled=False, **limits)

    following, formulation, _ = cheapest_of(seed, scheduled=True, **limits)

    assert isinstance(constant, Confirmed)
    assert isinstance(following, Confirmed)
    assert not constant.confirmation.reached or following.confirmation.reached
    assert following.usd_per_month <= constant.usd_per_month + 0.01
    if following.confirmation.reached:
        best = at_need(following)
        for at, hour in enumerate(formulation.problem.hours):
            rates = [
                group.instances[at] * mix_rate(formulation.problem, group.pool) for group in best.solution.allocations
            ]
            assert sum(rates) >= hour.planned_rate * (1 - 1e-6)


@pytest.mark.parametrize("seed", [2, 5, 11])
def test_the_same_fleet_holds_whether_counts_may_follow_the_hours_or_not(seed):
    """Requests are those of the demand's own hours: shares and words of the replay are the same to the last one."""
    found, *plain = cheapest_of(seed, scheduled=False)
    _, *hourly = cheapest_of(seed, scheduled=True)
    for less in (0, 1):
        trials = []
        for formulation, context in (plain, hourly):
            classes = len(formulation.problem.hours)
            groups = tuple(
                replace(group, instances=(max(group.instances[0] - less, 1),) * classes)
                for group in found.solution.allocations
            )
            solution = loaded_fleet(formulation.problem, groups)
            trials.append(Trials(formulation, context).of(formulation, solution, whole=True))
        of_plain, of_hourly = trials

        assert of_plain.within_slo_ratio == of_hourly.within_slo_ratio
        assert of_plain.reached == of_hourly.reached
        assert of_plain.rehearsal.words == of_hourly.rehearsal.words


@pytest.mark.parametrize("seed", [2, 5, 11])
def test_as_many_are_needed_at_all_hours_whether_counts_may_follow_them_or_not(seed):
    """The fewest of one kind at all hours are found by their own replays, not by those of the hourly fleet."""
    counts = []
    for scheduled in (False, True):
        _, formulation, context = cheapest_of(seed, scheduled=scheduled)
        first = formulation.of(formulation.problem.pools[:1])
        found = ReplayValidator(first, context).alone_at_all_hours(first)
        counts.append([group.instances for group in found.solution.allocations])

    assert counts[0] == counts[1]


@pytest.mark.sampled(4)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 999), survive=st.sampled_from((Survive.NOTHING, Survive.INSTANCE)), drawn_counts=st.data()
)  # fmt: skip
def test_more_machines_at_some_hours_never_hold_less(seed, survive, drawn_counts):
    """A fleet of one group is judged no worse with more at any hours, nor with as many at all as in the busiest.

    It is asked in the demand's own hours, or as one class of them. Replicas take requests in turn, and which of them
    gets a long one may change with their number: it may miss what is wanted by a few requests in a thousand.
    """
    profile, pools = demand_of(seed)
    asked = asked_of(profile.requests_per_minute.max() / 60, ttft_ms=1000, limits=Limits(survive=survive))
    formulation, context = posed_of(asked, CATALOG, profile, rehearsed_requests=4_000, holds_up_to=False)
    formulation = few_pools(formulation, pools)
    problem, trials = formulation.problem, Trials(formulation, context)
    pool = drawn_counts.draw(st.sampled_from(problem.pools))
    most = min(int(np.ceil(1.3 * problem.hours[-1].planned_rate / mix_rate(problem, pool))) + 1, 40)
    rising = st.lists(st.integers(1, most), min_size=len(problem.hours), max_size=len(problem.hours)).map(sorted)
    counts = tuple(drawn_counts.draw(rising))
    more = tuple(max(pair) for pair in zip(counts, drawn_counts.draw(rising), strict=True))
    whole = fleet(problem, [other is pool for other in problem.pools])
    constant = formulation.at_all_hours()

    def trial(posed, instances):
        groups = (replace(whole.allocations[0], instances=instances),)
        return trials.of(posed, loaded_fleet(posed.problem, groups), whole=True)

    few, many = trial(formulation, counts), trial(formulation, more)
    at_most = trial(constant, (more[-1],))

    assert at_most.within_slo_ratio == trial(formulation, (more[-1],) * len(more)).within_slo_ratio
    assert at_most.rehearsal is few.rehearsal
    for less, as_much in ((few, many), (many, at_most)):
        without_one = 1.0 if as_much.without_one_ratio is None else as_much.without_one_ratio
        least = min(as_much.within_slo_ratio, as_much.busiest_ratio, without_one)
        assert not less.reached or least >= trials.wanted - ROUTED


LUNCH = 0.72 + np.where(np.arange(24) == 12, 10.8, 0.0) + 1.8 * np.maximum(np.cos((np.arange(24) - 16) / 12 * np.pi), 0)
"""Requests per second in the hours of a day: those beside the busiest one are planned for far more than their mean."""


def lunch_question(most_changed):
    """Three days with a busy hour at noon, on up to six machines of which so many may change."""
    profile = drawn(np.tile(np.repeat(LUNCH, 60), 3), 3)
    asked = asked_of(
        profile.requests_per_minute.max() / 60, ttft_ms=1500,
        limits=Limits(survive=Survive.NOTHING, simplicity=0, max_changed_instances=most_changed),
        current=Deployment("aws", "us-east-1", "g6e.xlarge", 6, Purchase.ON_DEMAND),
    )  # fmt: skip
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    return posed_of(asked, catalog, profile, rehearsed_requests=4_000, holds_up_to=False)


def test_a_looser_limit_on_changes_never_costs_more():
    """Fleets that a limit forces to have more in the busiest hours are judged in all others like any other."""
    fleets = [ReplayValidator(*lunch_question(most)).confirmed(refined=True) for most in (None, 7, 4, 3, 2, 1, 0)]

    assert all(fleet.confirmation.reached for fleet in fleets)
    assert all(more.usd_per_month >= less.usd_per_month - 0.01 for less, more in pairwise(fleets))


@pytest.mark.parametrize("headroom", [0.125, 0.5, 0.9])
def test_a_fleet_is_judged_by_its_machines_whatever_it_was_planned_to_carry(headroom):
    """Hours in which replicas are late are replayed, whatever a search took these to carry."""
    formulation, context = lunch_question(None)
    trials, pools = Trials(formulation, context), formulation.problem.pools
    roomier = formulation.of(pool.slower(headroom) for pool in pools)
    classes, late = len(formulation.problem.hours), set()
    for fewest in range(classes):
        counts = tuple(1 if at <= fewest else 4 for at in range(classes))
        usual, other = (
            trials.of(posed, loaded_fleet(posed.problem, (Allocation(pool, pool.tariffs[0], counts),)))
            for posed in (formulation, roomier)
            for pool in posed.problem.pools[:1]
        )
        assert (usual.reached, usual.late_class) == (other.reached, other.late_class)
        late.add(usual.reached)
    assert late == {True, False}


def test_hours_that_are_late_get_more_instances_by_themselves():
    """The class whose requests are late is told, and one instance more there holds where the busiest hours do."""
    formulation, context = question_of(6.0, 0.3, {2, 4, 9, 12, 15, 18}, 3)
    problem = formulation.problem
    pool = min(problem.pools, key=lambda pool: mix_rate(problem, pool))
    formulation = formulation.of([pool])
    search = ReplayValidator(formulation, context)
    needed = search.alone_at_all_hours(formulation).solution.allocations[0].instances[0]
    evening = formulation.week.schedule[EVENINGS[0] + 1]
    few = needed // 2
    counts = tuple(few if at <= evening else needed for at in range(len(problem.hours)))
    whole = fleet(formulation.problem, [needed])
    failing = replace(whole, allocations=(replace(whole.allocations[0], instances=counts),))
    late = search._confirmed(formulation, failing, {})

    more = search._more_at_times(formulation, late, np.inf)

    assert not late.confirmation.reached
    assert search._trial(formulation, failing).late_class == evening
    (group,) = more.solution.allocations
    assert more.confirmation.reached
    assert group.instances[-1] == needed
    assert counts[evening] < group.instances[evening] <= needed
    assert group.instances[0] == few
    assert more.usd_per_month < whole.objective_usd_per_month


def test_other_machines_that_are_dearer_at_all_hours_are_tried_with_fewer_in_quieter_hours():
    """A fleet whose counts follow the hours is compared with others as they would follow them, not at their most."""
    formulation, context = question_of(6.0, 0.3, {2, 4, 9, 12, 15, 18}, 3)
    cheap, dear = sorted(formulation.problem.pools, key=lambda pool: mix_rate(formulation.problem, pool))[:2]
    ratio = 0.85 * mix_rate(formulation.problem, dear) / mix_rate(formulation.problem, cheap)
    price = cheap.tariffs[0].usd_per_hour * ratio
    dear = replace(dear, tariffs=(replace(dear.tariffs[0], usd_per_hour=price),))
    best = ReplayValidator(formulation.of([dear]), context).confirmed(refined=True)
    search = ReplayValidator(formulation.of([cheap, dear]), context)

    constant, thinned = search._constant_fleet(best), search._thinned_constant(best)

    assert {group.pool.key for group in thinned.solution.allocations} == {cheap.key}
    assert thinned.confirmation.reached
    assert thinned.usd_per_month < best.usd_per_month < constant.usd_per_month


def test_a_fleet_at_all_hours_in_place_of_one_that_fails_has_the_bound_of_all_fleets():
    """A search that ends with a fleet that is late says nothing of those with counts that follow the hours."""
    formulation, context = question_of(6.0, 0.3, {2, 4, 9, 12, 15, 18}, 3)
    pool = min(formulation.problem.pools, key=lambda pool: mix_rate(formulation.problem, pool))
    formulation = formulation.of([pool])
    searched = ReplayValidator._search
    late = ReplayValidator(formulation, context)._confirmed(formulation, fleet(formulation.problem, [1]), {})

    def ends_late(search, start):
        return late if len(search.problem.hours) > 1 else searched(search, start)

    search = ReplayValidator(formulation, replace(context, effort=replace(context.effort, every_kind=False)))
    with (
        patch.object(ReplayValidator, "_search", ends_late),
        patch.object(ReplayValidator, "_least_usd", lambda _: 1000.0),
    ):
        constant = search.confirmed()

    assert not late.confirmation.reached
    assert constant.confirmation.reached
    assert not constant.solution.proven
    assert constant.solution.bound_usd_per_month == 1000 < constant.usd_per_month


def test_a_group_with_too_much_at_its_weight_is_seen_where_the_fleet_has_enough():
    """One small machine beside a large one gets the weight of four: more than it sustains, of half of what both do."""
    rate = 10.0
    formulation, context = question_of(rate, 0.05 * rate, {2, 4, 9, 12, 15, 18}, 3)
    problem, trials = formulation.problem, Trials(formulation, context)
    counts = {"aws/g6e.xlarge": 4, "aws/p5.4xlarge": 1}
    whole = fleet(problem, [counts.get(pool.instance_type, 0) for pool in problem.pools])
    evening = formulation.week.schedule[EVENINGS[0] + 1]
    fewer = tuple(1 if at <= evening else 4 for at in range(len(problem.hours)))
    small, large = sorted(whole.allocations, key=lambda group: mix_rate(problem, group.pool))
    mixed = replace(whole, allocations=(replace(small, instances=fewer), large))

    assert trials.of(formulation, whole).reached
    planned = problem.hours[evening].planned_rate
    assert mix_rate(problem, small.pool) + mix_rate(problem, large.pool) > 1.5 * planned
    assert not trials.of(formulation, mixed).reached


def test_machines_of_the_nights_are_as_few_as_their_replays_confirm():
    """A fleet whose groups take turns begins with two machines in some hours, of which one is enough."""
    hours = np.arange(24)
    profile = drawn(np.tile(np.repeat(np.where((hours >= 8) & (hours < 20), 16.5, 0.5), 60), DAYS), 3)
    asked = asked_of(
        profile.requests_per_minute.max() / 60, ttft_ms=1000, limits=Limits(survive=Survive.NOTHING, simplicity=0),
        scaling=Scaling(take_turns=True),
    )  # fmt: skip
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("p5.4xlarge", on_demand=6.0))
    question = posed_of(asked, catalog, profile, rehearsed_requests=6_000, holds_up_to=False)

    def with_two_in_evenings(problem, solution, others=()):
        for cheaper in by_hours(problem, solution, others):
            groups = (
                replace(group, instances=(1, 1, 2, 0, 0)) if group.instances == (1, 1, 1, 0, 0) else group
                for group in cheaper.allocations
            )
            yield loaded_fleet(problem, tuple(groups))

    with patch.object(fleet_search, "by_hours", with_two_in_evenings):
        fleet = ReplayValidator(*question).confirmed(refined=True)

    assert fleet.confirmation.reached
    assert (1, 1, 1, 0, 0) in {group.instances for group in fleet.solution.allocations}


def test_a_failure_takes_a_machine_that_runs_in_the_hour_that_is_replayed():
    """Of two groups of one kind the first has none by day: a loss there leaves as much as of one group at all hours."""
    formulation, context = question_of(6.0, 0.3, {2, 4, 9}, 3, limits=Limits(survive=Survive.INSTANCE))
    problem, trials = formulation.problem, Trials(formulation, context)
    whole = fleet(problem, [2 if pool.instance_type == "aws/g6e.xlarge" else 0 for pool in problem.pools])
    (group,) = whole.allocations
    hours = range(len(problem.hours))
    by_night = replace(group, instances=tuple(0 if at else 2 for at in hours))
    by_day = replace(
        group, tariff=replace(group.tariff, label="by day"), instances=tuple(2 if at else 0 for at in hours)
    )

    alone = trials.of(formulation, whole, every=True)
    in_turn = trials.of(formulation, replace(whole, allocations=(by_night, by_day)), every=True)

    assert alone.without_one_ratio < trials.wanted
    assert in_turn.without_one_ratio == pytest.approx(alone.without_one_ratio, abs=0.02)
    assert not in_turn.reached


def test_fewer_requests_than_were_observed_come_as_many_as_asked_for_on_the_mean():
    """Of minutes of one request each a third is left, and none where a third of each is rounded down."""
    _, context = posed_of(asked_of(1 / 60), CATALOG, flat(1 / 60, Dispersion(), minutes=3_000))

    some = stressed(context.requirements.demand, 3_000, 1.0, stress=Stress(peak_ratio=1 / 3))

    assert some.seconds.size == pytest.approx(1_000, abs=100)


def test_the_minutes_about_the_busiest_tell_how_long_it_lasts():
    """Of a minute alone a twentieth, of an hour like it all; wherever the minute is."""
    lone = np.zeros(100)
    for at in (0, 50, 99):
        assert sustained_ratio(DemandProfile(0.0, np.where(np.arange(100) == at, 60.0, lone))) == pytest.approx(1 / 20)
    assert sustained_ratio(DemandProfile(0.0, np.full(100, 7.0))) == 1.0


def test_a_moment_is_of_the_class_of_its_hour():
    """In any week."""
    formulation, context = question_of(6.0, 0.3, {2, 4, 9}, 3)
    calendar = Trials(formulation, context)._calendar

    for hour in (0, 9, 19, 167):
        seconds = MONDAY_SECONDS + 3_600 * (hour + 168 * 5) + 1_800
        assert classes_of(calendar, np.array([seconds])) == [formulation.week.schedule[hour]]
