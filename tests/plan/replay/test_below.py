"""Fleets below the closed form: what is mixed, and whether one with more headroom keeps to every limit."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.catalog.values import Purchase
from advisor.pipeline import plan_for
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.below import at_need, cheapest_by_payment, with_headroom, with_less
from advisor.plan.replay.groups import Confirmed, name_of
from advisor.plan.solve.neighbours import loaded_by_capacity
from advisor.workload.values import DeclaredDemand, Limits, QuotaLimit
from builders import catalog_of, offer, workload
from plan.fleet.described import HELD
from plan.fleet.exhaustive import cost_of, counts_of
from plan.fleet.problems import everything, optimise, pool_of, problem_of, problems


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(problem=problems(everything, buckets=(0,), held=True), headroom=st.sampled_from((1.0, 1.03, 1.2, 1.5)))
def test_a_fleet_that_keeps_to_all_limits_with_more_headroom_is_the_cheapest_there(problem, headroom):
    """The same instances keep to them by rules that are written down a second time, and no others cost less.

    Slower pools may leave more requests to a region that charges more for them: by so much others may be cheaper.
    """
    solution = optimise(problem)
    if not isinstance(solution, FleetSolution):
        return
    less = with_headroom(problem, headroom)
    fleet = with_less(problem, solution, headroom)

    cost = cost_of(less, counts_of(problem, solution))
    assert (fleet is not None) == (cost is not None)
    if fleet is not None:
        cheapest, routing_usd = optimise(less), max(cost - solution.objective_usd_per_month, 0.0)
        assert math.isclose(
            cheapest.objective_usd_per_month, solution.objective_usd_per_month, abs_tol=0.02 + routing_usd
        )


def test_small_machines_are_mixed_with_large_ones_that_cost_as_much_for_what_they_carry():
    """Eight accelerators in one machine or in eight at nearly one price: both, and nothing that costs much more."""
    eight = pool_of("a/r/eight", 8.0, 8.0, type_in_region="a/r/eight")
    single = pool_of("a/r/one", 1.0, 1.02, type_in_region="a/r/one")
    dear = pool_of("a/r/dear", 1.0, 1.3, type_in_region="a/r/dear")
    elsewhere = pool_of("a/s/one", 1.0, 0.9, type_in_region="a/s/one")

    pools = cheapest_by_payment(problem_of(eight, single, dear, elsewhere))

    assert [pool.key for pool in pools] == ["a/r/eight", "a/r/one"]


def test_types_that_quotas_limit_are_mixed_at_what_each_carries_by_itself():
    """A tenth of the machines are of a type that a quota limits to three: the mix costs a fifth less than without it."""
    g6e, g5 = offer("g6e.xlarge", on_demand=1.861), offer("g5.xlarge", "eu-west-1", on_demand=1.123)
    demand = DeclaredDemand(20.0, 30.0, 800, 250)
    quota = QuotaLimit("aws", "us-east-1", "L-DB2E81BA", 12.0)
    asked = workload(
        precisions=("fp8",), purchase=(Purchase.ON_DEMAND,), demand=demand,
        limits=Limits(max_regions=2, min_replicas=3, quotas=(quota,)),
    )  # fmt: skip

    plan = plan_for(asked, catalog_of(g6e, g5))
    without = plan_for(asked, catalog_of(g5))

    counts = {group.instance_type: group.instances[-1] for group in plan.fleet.groups}
    assert counts["g6e.xlarge"] == 3
    assert plan.fleet.confirmed.reached
    assert plan.fleet.cost.total_usd_per_month < 0.8 * without.fleet.cost.total_usd_per_month


@pytest.mark.parametrize(
    ("instances", "beyond", "planned"), [(1, 8.0, 17.0), (1, 1.7, 17.0), (2, 8.0, 17.0), (3, 1.0, 10.0)]
)
def test_replicas_are_planned_beyond_the_closed_form_as_far_as_the_load_asks(instances, beyond, planned):
    """One of 10 a second that may carry more is planned at the 17 asked for, and so is each of two that stand in for both."""
    problem = problem_of(pool_of(rate=10.0), planned=(17.0,), limits=Limits(min_replicas=min(instances, 2)))
    roomy = with_headroom(problem, 1 / beyond)
    solution = optimise(roomy)
    (allocation,) = solution.allocations
    assert allocation.instances == (instances,)
    confirmed = Confirmed(solution, SimpleNamespace(problem=roomy), replace(HELD, headroom_factor=1 / beyond))
    needed = at_need(confirmed)
    assert needed.planned_rates()[name_of(allocation)] == pytest.approx(planned)
    assert needed.confirmation.headroom_factor == pytest.approx(10.0 / planned)


@pytest.mark.parametrize(
    ("headroom", "planned"), [(1.3, 10.0), (1.15, 10.0), (1.9, 7.5)], ids=["room", "less room", "one more than asked"]
)
def test_room_is_not_said_to_be_slower_replicas(headroom, planned):
    """Two of 10 a second carry 15, whatever headroom they were found with; the closed form asks for a third below 7.5."""
    problem = problem_of(pool_of(rate=10.0), planned=(15.0,))
    slower = with_headroom(problem, headroom)
    pool = slower.pools[0]
    instances = (3 if headroom > 1.5 else 2,)
    solution = loaded_by_capacity(
        slower, FleetSolution((Allocation(pool, pool.tariffs[0], instances),), {}, 0.0, 0.0, proven=False)
    )
    formulation = SimpleNamespace(problem=slower, pool_set=SimpleNamespace(pools=problem.pools))
    confirmed = Confirmed(solution, formulation, replace(HELD, headroom_factor=headroom))
    needed = at_need(confirmed)
    assert needed.planned_rates()[name_of(solution.allocations[0])] == pytest.approx(planned)
    assert needed.confirmation.headroom_factor == pytest.approx(10.0 / planned)


def test_groups_that_never_run_together_are_planned_apart():
    """A small machine that carries more at night than the closed form says makes no large one faster by day."""
    small, large = pool_of("small", 1.0), pool_of("large", 10.0)
    roomy = with_headroom(problem_of(small, large, planned=(1.5, 9.0)), 1 / 1.5)
    groups = (
        Allocation(roomy.pools[0], small.tariffs[0], (1, 0)),
        Allocation(roomy.pools[1], large.tariffs[0], (0, 1)),
    )
    solution = loaded_by_capacity(roomy, FleetSolution(groups, {}, 0.0, 0.0, proven=False))
    confirmed = Confirmed(solution, SimpleNamespace(problem=roomy), replace(HELD, headroom_factor=1 / 1.5))
    rates = at_need(confirmed).planned_rates()
    assert [rates[name_of(group)] for group in groups] == pytest.approx([1.5, 10.0])
