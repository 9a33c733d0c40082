"""What a scope costs at the least, before it is searched."""

import pytest
from hypothesis import given

from advisor.plan.problem.values import FleetSolution, PurchaseOption, Tariff
from advisor.plan.solve.objective import bound_with_spare, lower_bound
from advisor.units import HOURS_PER_MONTH
from advisor.workload.values import Limits, Survive
from plan.fleet.problems import everything, optimise, pool_of, problem_of, problems


@given(problems(everything))
def test_no_fleet_costs_less_than_its_bound(problem):
    """The bound of a scope is never above its cheapest fleet."""
    found = optimise(problem)
    if isinstance(found, FleetSolution):
        assert lower_bound(problem) <= found.objective_usd_per_month + 0.01
        assert bound_with_spare(problem) <= found.objective_usd_per_month + 0.01


def test_the_bound_knows_that_instances_are_whole():
    """Of small instances that cannot carry the requests alone, two are counted; of two zones, two that can together."""
    small, large = pool_of("small", 1.0, 1.0), pool_of("large", 4.0, 1.9)

    one = lower_bound(problem_of(small, large, planned=(1.5,)))
    two = lower_bound(problem_of(small, large, planned=(3.5,), limits=Limits(zones=2)))

    assert one == pytest.approx(1.9 * HOURS_PER_MONTH)
    assert two > 2.2 * HOURS_PER_MONTH


def test_the_bound_knows_what_the_loss_of_a_machine_has_to_leave():
    """Of 2 requests/s without any machine of 2 there have to be 4: two machines; of small ones five of 0.5."""
    large, small = pool_of("large", 2.0, 1.0), pool_of("small", 0.5, 0.3)
    limits = Limits(survive=Survive.INSTANCE)

    assert bound_with_spare(problem_of(large, planned=(2.0,), limits=limits)) == pytest.approx(2.0 * HOURS_PER_MONTH)
    assert bound_with_spare(problem_of(small, planned=(2.0,), limits=limits)) == pytest.approx(1.5 * HOURS_PER_MONTH)
    assert bound_with_spare(problem_of(small, planned=(2.0,), limits=Limits())) == 0.0


def test_the_bound_knows_what_the_loss_of_spot_has_to_leave():
    """2 requests/s without any of the machines on spot, of 2 each, take two of them, or one that is not on spot."""
    spot, steady = (
        pool_of("a", 2.0, tariffs=(Tariff(paid, usd),))
        for paid, usd in ((PurchaseOption.SPOT, 0.4), (PurchaseOption.ON_DEMAND, 1.0))
    )

    assert bound_with_spare(problem_of(spot, planned=(2.0,))) == pytest.approx(0.8 * HOURS_PER_MONTH)
    assert bound_with_spare(problem_of(steady, planned=(2.0,))) == 0.0
    assert bound_with_spare(problem_of(spot, steady, planned=(2.0,))) == pytest.approx(0.8 * HOURS_PER_MONTH)


def test_the_bound_counts_disks_and_the_way_to_the_users():
    """An instance with its disk, for all hours; and 0.7 × 4 requests/s at the cheapest way out."""
    tariff = Tariff(PurchaseOption.ON_DEMAND, 1.0, disk_parts_usd_per_hour=(0.05,))
    near, far = (pool_of(name, 4.0, tariffs=(tariff,), usd_per_request=usd) for name, usd in (("a", 2e-6), ("b", 3e-6)))
    answers = 0.7 * 4.0 * HOURS_PER_MONTH * 3600

    assert lower_bound(problem_of(near, far)) == pytest.approx(1.05 * HOURS_PER_MONTH + 2e-6 * answers)
    assert optimise(problem_of(near, far)).objective_usd_per_month == pytest.approx(
        1.05 * HOURS_PER_MONTH + 2e-6 * answers, abs=0.01
    )


def test_short_prompts_are_little_work():
    """An instance that serves 8 short or 1 long prompts a second serves 1.78 of both: 4 requests/s take three."""
    pool = pool_of("a", 1.78, 1.0, rates=[[8.0, 1.0]])

    assert lower_bound(problem_of(pool, buckets=(0.5, 0.5))) > 2.2 * HOURS_PER_MONTH
