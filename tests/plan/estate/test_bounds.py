"""What a scope costs at the least, before it is searched."""

import pytest
from hypothesis import given

from advisor.plan.fleet.optimise import optimise
from advisor.plan.fleet.scopes import lower_bound
from advisor.plan.fleet.values import FleetSolution
from advisor.units import HOURS_PER_MONTH
from advisor.workload.values import Limits
from plan.fleet.problems import everything, pool_of, problem_of, problems


@given(problems(everything))
def test_no_fleet_costs_less_than_its_bound(problem):
    """The bound of a scope is never above its cheapest fleet."""
    found = optimise(problem)
    if isinstance(found, FleetSolution):
        assert lower_bound(problem) <= found.objective_usd_per_month + 0.01


def test_the_bound_knows_that_instances_are_whole():
    """Of small instances that cannot carry the requests alone, two are counted; of two zones, two that can together."""
    small, large = pool_of("small", 1.0, 1.0), pool_of("large", 4.0, 1.9)

    one = lower_bound(problem_of(small, large, planned=(1.5,)))
    two = lower_bound(problem_of(small, large, planned=(3.5,), limits=Limits(zones=2)))

    assert one == pytest.approx(1.9 * HOURS_PER_MONTH)
    assert two > 2.2 * HOURS_PER_MONTH
