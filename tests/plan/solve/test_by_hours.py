"""Fleets with other machines in quieter hours than in busier ones: cheaper, and within every limit in every hour."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.constraints import uses
from advisor.plan.problem.formulas import falls, mix_rate, paid_hours_per_month, starts_of
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import Allocation, Infeasible, PurchaseOption, Tariff
from advisor.plan.solve import by_hours as searched
from advisor.plan.solve.by_hours import by_hours
from advisor.plan.solve.neighbours import keeps_to_all, loaded_fleet
from advisor.plan.solve.objective import least_usd
from advisor.plan.solve.scopes import scopes
from advisor.units import HOURS_PER_MONTH, HOURS_PER_WEEK
from advisor.workload.values import Limits, Scaling
from plan.fleet.exhaustive import cost_of, counts_of
from plan.fleet.problems import LIMITS, optimise, pool_of, problem_of, problems

CENTS = 0.06
NOT_BY_THE_HOUR = (PurchaseOption.COMMITMENT, PurchaseOption.OWNED, PurchaseOption.SERVERLESS)
NIGHT = pool_of("aws/r/night", 2.0, 1.0, type_in_region="aws/r/night")
DAY = pool_of("aws/r/day", 9.0, 3.0, type_in_region="aws/r/day")
IN_TURN = Scaling(take_turns=True)
TWO_FOR_A_DAY = (("part", 6.0, 1.6), ("rest", 3.0, 0.85))


@pytest.mark.parametrize("family", ["nothing", "min_replicas", "zones", "survive_instance", "budget", "power"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_fleets_by_hours_are_cheaper_and_keep_to_every_limit(family, data):
    """An independent check prices each of them the same, and each hour class is carried."""
    problem = data.draw(problems(LIMITS[family], places=(1,), buckets=(0,), columns=4))
    problem = replace(problem, scaling=replace(problem.scaling, take_turns=True))
    fleet = optimise(problem)
    if isinstance(fleet, Infeasible):
        return
    with patch.object(searched, "_PROVIDERS", ("here", "there")):
        found = by_hours(problem, fleet)
    for cheaper in found:
        assert cheaper.objective_usd_per_month < fleet.objective_usd_per_month
        groups = cheaper.allocations
        assert any(falls(group.instances) for group in groups)
        assert all(len(set(group.instances)) == 1 for group in groups if group.tariff.paid in NOT_BY_THE_HOUR[:2])
        for at, hour in enumerate(problem.hours):
            carried = sum(group.instances[at] * mix_rate(problem, group.pool) for group in groups)
            assert carried >= hour.planned_rate * (1 - 1e-5)
        cost = cost_of(problem, counts_of(problem, cheaper))
        assert keeps_to_all(problem, cheaper) == (cost is not None)
        assert cost is None or cost <= cheaper.objective_usd_per_month + CENTS
        assert min(map(least_usd, scopes(problem))) <= cheaper.objective_usd_per_month + CENTS
        if cost is not None:
            assert all(use.used <= use.limit + 1e-6 for use in uses(problem, cheaper) if use.name.startswith("max_"))


def test_a_small_machine_serves_the_nights_and_a_large_one_the_days():
    """$1 an hour for two requests per second at night, $3 for nine by day; beside it the small one would do nothing."""
    problem = problem_of(NIGHT, DAY, planned=(2.0, 9.0), scaling=IN_TURN)
    fleet = optimise(problem)
    best = by_hours(problem, fleet)[0]

    assert {group.pool.key: group.instances for group in fleet.allocations} == {DAY.key: (0, 1), NIGHT.key: (1, 1)}
    assert {group.pool.key: group.instances for group in best.allocations} == {DAY.key: (0, 1), NIGHT.key: (1, 0)}
    assert best.objective_usd_per_month == pytest.approx(fleet.objective_usd_per_month - 365.0)
    assert keeps_to_all(problem, best)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_machines_that_may_not_stop_run_in_busier_hours_too(data):
    """From the cheapest fleet of one pool: what costs less carries every hour class, and no group has fewer by day."""
    problem = data.draw(problems(LIMITS["nothing"], places=(1,), buckets=(0,), columns=4))
    fleet = optimise(replace(problem, pools=problem.pools[:1]))
    if isinstance(fleet, Infeasible):
        return
    for cheaper in by_hours(problem, fleet):
        groups = cheaper.allocations
        assert cheaper.objective_usd_per_month < fleet.objective_usd_per_month
        assert not any(falls(group.instances) for group in groups)
        cost = cost_of(problem, counts_of(problem, cheaper))
        assert keeps_to_all(problem, cheaper) == (cost is not None)
        assert cost is None or cost <= cheaper.objective_usd_per_month + CENTS
        for at, hour in enumerate(problem.hours):
            carried = sum(group.instances[at] * mix_rate(problem, group.pool) for group in groups)
            assert carried >= hour.planned_rate * (1 - 1e-5)


def test_a_large_machine_is_joined_by_a_small_one_that_serves_the_nights():
    """$3 an hour by day alone and $1 at all hours, in place of $3 at all hours."""
    problem = problem_of(NIGHT, DAY, planned=(2.0, 9.0))
    large = optimise(replace(problem, pools=(DAY,)))
    best = by_hours(problem, large)[0]

    assert {group.pool.key: group.instances for group in best.allocations} == {DAY.key: (0, 1), NIGHT.key: (1, 1)}
    assert best.objective_usd_per_month == pytest.approx(large.objective_usd_per_month - 365.0)


def test_machines_of_another_fleet_serve_the_busier_hours():
    """Two kinds that serve the day together for less than one large machine, or several of either kind."""
    parts = [pool_of(f"aws/r/{name}", rate, usd, type_in_region=f"aws/r/{name}") for name, rate, usd in TWO_FOR_A_DAY]
    problem = problem_of(NIGHT, DAY, *parts, planned=(2.0, 9.0), scaling=IN_TURN)
    other = loaded_fleet(problem, tuple(Allocation(part, part.tariffs[0], (1, 1)) for part in parts))
    large = optimise(replace(problem, pools=(DAY,)))
    best = by_hours(problem, large, [other])[0]

    by_day = {part.key: (0, 1) for part in parts}
    assert {group.pool.key: group.instances for group in best.allocations} == by_day | {NIGHT.key: (1, 0)}
    assert best.objective_usd_per_month < by_hours(problem, large)[0].objective_usd_per_month


def test_what_may_not_change_or_has_too_many_types_is_refused():
    """The machine of the nights is a type, and two changes: it starts, and at night today's machine stops for it."""
    problem = problem_of(NIGHT, DAY, planned=(2.0, 9.0), scaling=IN_TURN)
    best = by_hours(problem, optimise(problem))[0]
    held = replace(problem, running={DAY.type_in_region: 1}, limits=Limits(max_changed_instances=0))

    assert not keeps_to_all(replace(problem, limits=Limits(max_instance_types=1)), best)
    assert not keeps_to_all(held, best)
    assert not keeps_to_all(replace(held, limits=Limits(max_changed_instances=1)), best)
    assert keeps_to_all(replace(held, limits=Limits(max_changed_instances=2)), best)
    assert not keeps_to_all(replace(problem, limits=Limits(min_replicas=2)), best)


def test_quotas_and_power_hold_both_while_one_takes_over():
    """A machine of the nights and one of the days, each within the limit, run together at the hand-over."""
    quota = ("aws/r/L-1", "on_demand")
    pools = [replace(pool, takes={Constraint.POWER: 1.0}, quotas={quota: 8.0}) for pool in (NIGHT, DAY)]
    problem = problem_of(*pools, planned=(2.0, 9.0), scaling=IN_TURN)
    best = by_hours(problem, optimise(problem))[0]
    limited = {
        most: replace(problem, limits=Limits(max_kw=most / 8), quota_limits={quota: most}) for most in (15.0, 16.0)
    }

    assert {use.name: use.used for use in uses(limited[16.0], best)} == {"max_kw": 2.0, "quota": 16.0}
    assert keeps_to_all(limited[16.0], best)
    assert not keeps_to_all(replace(limited[16.0], quota_limits={quota: 15.0}), best)
    assert not keeps_to_all(replace(limited[16.0], limits=Limits(max_kw=1.9)), best)
    assert not keeps_to_all(limited[15.0], best)


@pytest.mark.parametrize(
    "changed",
    [{"on_nodes": True}, {"type_in_region": "nebius/r/night", "key": "nebius/r/night"}],
    ids=["a node of a cluster", "a cloud without hosts"],
)
def test_clusters_have_no_machines_for_the_nights_alone(changed):
    """Its pods go at their hour, whether those of another backend are ready or not."""
    problem = problem_of(replace(NIGHT, **changed), DAY, planned=(2.0, 9.0), scaling=IN_TURN)
    assert by_hours(problem, optimise(problem)) == []


def test_hours_that_are_alike_and_requests_that_differ_have_none():
    """One class of hours, two places, or prompts that are told apart."""
    for more in ({"planned": (9.0,)}, {"planned": (2.0, 9.0), "places": (0.5, 0.5)}):
        pools = [
            replace(pool, mix_rates=np.repeat(pool.mix_rates, len(more.get("places", (1,))))) for pool in (NIGHT, DAY)
        ]
        pools = [replace(pool, rates=np.zeros((pool.mix_rates.size, 0))) for pool in pools]
        problem = problem_of(*pools, scaling=IN_TURN, **more)
        assert by_hours(problem, optimise(problem)) == []


def test_machines_stop_in_busier_hours_only_where_the_workload_allows_it():
    """The day hangs on the start of another machine."""
    problem = problem_of(NIGHT, DAY, planned=(2.0, 9.0))
    assert by_hours(problem, optimise(problem)) == []


def test_starts_for_quieter_hours_are_paid():
    """Twice a day from one class to the other: a machine of the nights starts as often as one of the days."""
    tariff = Tariff(PurchaseOption.ON_DEMAND, 1.0)
    pool = replace(NIGHT, lead_hours=0.5, start_usd=2.0)
    problem = problem_of(pool, planned=(2.0, 9.0))
    night, day = (Allocation(pool, tariff, counts) for counts in ((1, 0), (0, 1)))
    weekly = HOURS_PER_MONTH / HOURS_PER_WEEK

    assert starts_of(problem, night) == pytest.approx(7 * weekly)
    assert starts_of(problem, day) == pytest.approx(7 * weekly)
    assert paid_hours_per_month(problem, night) == pytest.approx((84 + 3.5) * weekly)
    assert paid_hours_per_month(problem, night) == pytest.approx(paid_hours_per_month(problem, day))
