"""Small fleets that are counted out: what the program finds, for any limit on rates and failures."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import PurchaseOption, Tariff
from advisor.plan.solve.optimise import fleet_if_any
from advisor.plan.solve.scopes import cheapest, counted, is_countable
from advisor.workload.values import Limits, Scaling, Survive
from plan.fleet.problems import LIMITS, limited, pool_of, problem_of, problems

CENTS = 0.06
"""Every part is rounded to the cent, and the search stops half a cent before the end."""
FAMILIES = ("nothing", "min_replicas", "zones", "survive_instance", "survive_zone", "spot_reroute", "on_demand_base")
many = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("family", FAMILIES)
@many
@given(data=st.data())
def test_equals_the_program(family, data):
    """Pools in several regions that charge for their use and for hosts, with starts, moves, and hours without requests."""
    hourly = problems(
        LIMITS[family], paid=(PurchaseOption.ON_DEMAND, PurchaseOption.SPOT), places=(1,), buckets=(0,), held=True
    )
    problem = data.draw(hourly)
    pools = tuple(replace(pool, usd_per_request=1e-6) for pool in problem.pools)
    charges = {
        region: replace(charged, rules=(charged.rules[0], charged.rules[3]))
        for region, charged in problem.charges.items()
    }
    idle = data.draw(st.booleans())
    hours = (replace(problem.hours[0], planned_rate=0.0, mean_rate=0.0, low_rate=0.0), *problem.hours[1:])
    scaling = Scaling(scale_to_zero=idle)
    problem = replace(problem, pools=pools, hours=hours if idle else problem.hours, scaling=scaling, charges=charges)
    assert is_countable(problem)
    fleet, expected = counted(problem), fleet_if_any(problem)
    assert (fleet is None) == (expected is None)
    if fleet is not None and expected is not None:
        assert abs(fleet.objective_usd_per_month - expected.objective_usd_per_month) <= CENTS
        assert all(0 <= share.min() <= share.max() <= 1 for share in fleet.shares.values())
        assert all(list(one.instances) == sorted(one.instances) for one in fleet.allocations)


def test_leaves_to_the_program_what_is_no_matter_of_rates_alone():
    """Caps, commitments, places, transfer at several prices, several regions where one is allowed, and large grids."""
    two = problem_of(pool_of("a", type_in_region="c/r0/a"), pool_of("b", type_in_region="c/r1/b"))
    committed = (Tariff(PurchaseOption.COMMITMENT, 0.5, "1 y", break_even_ratio=0.5),)
    assert is_countable(two)
    assert not is_countable(limited(two, max_replicas=9))
    assert not is_countable(limited(two, max_usd_per_month=9_000.0))
    assert not is_countable(replace(two, max_regions=1))
    assert not is_countable(problem_of(pool_of(tariffs=committed)))
    assert not is_countable(problem_of(pool_of(rate=(1.0, 2.0)), places=(0.5, 0.5)))
    assert not is_countable(problem_of(pool_of("a"), pool_of("b", usd_per_request=1e-6)))
    assert not is_countable(problem_of(*(pool_of(f"p{at}") for at in range(8)), planned=(40.0,)))


def test_says_what_conflicts_where_no_fleet_is_counted():
    """A machine of one zone cannot leave half of the load without that zone."""
    found = cheapest(limited(problem_of(pool_of(zones=1)), zones=2))
    assert found == cheapest(limited(problem_of(pool_of(zones=1)), zones=2, max_replicas=99))


def test_needs_as_few_instances_as_the_limits_leave():
    """Four instances carry four requests a second, and one more is there in case that one fails."""
    fleet = counted(problem_of(pool_of(), limits=Limits(min_replicas=1_000)))
    assert fleet is not None
    assert fleet.allocations[0].instances == (1_000,)
    spare = counted(problem_of(pool_of(), limits=Limits(survive=Survive.INSTANCE)))
    assert spare is not None
    assert spare.allocations[0].instances == (5,)
