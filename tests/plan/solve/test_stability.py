"""A fleet that runs stays what it is unless something else saves more than the change costs."""

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import FleetSolution, PurchaseOption
from advisor.plan.solve.objective import switching_usd_per_month
from plan.fleet.problems import optimise, problems, scaled

CENTS = 0.06
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
many_types = problems(columns=6, paid=(PurchaseOption.ON_DEMAND, PurchaseOption.SPOT))


def planned(problem) -> FleetSolution:
    """The cheapest fleet, of problems that have one."""
    found = optimise(problem)
    assume(isinstance(found, FleetSolution))
    return found


def types_in_region(found) -> set[str]:
    """Types in regions that a fleet uses."""
    return {one.pool.type_in_region for one in found.allocations}


def after(problem, found):
    """The problem once a fleet runs; each instance of another stand has its cost."""
    running: dict[str, int] = {}
    for one in found.allocations:
        running[one.pool.type_in_region] = running.get(one.pool.type_in_region, 0) + one.instances[-1]
    pools = tuple(replace(pool, switching_usd=max(pool.switching_usd, 1.0)) for pool in problem.pools)
    return replace(problem, running=running, pools=pools)


def kept(problem) -> float:
    """Cost of the cheapest fleet of the stands that run; infinite where they cannot carry the demand."""
    pools = tuple(pool for pool in problem.pools if problem.running.get(pool.type_in_region))
    found = optimise(replace(problem, pools=pools))
    return found.objective_usd_per_month if isinstance(found, FleetSolution) else float("inf")


@few
@given(many_types)
def test_asked_again_nothing_changes(problem):
    """With its own fleet running, the same demand asks for no other stand and costs the same."""
    found = planned(problem)
    again = planned(after(problem, found))
    assert types_in_region(again) <= types_in_region(found)
    assert abs(again.objective_usd_per_month - found.objective_usd_per_month) <= CENTS


@few
@given(many_types, st.sampled_from((0.95, 1.05)))
def test_a_little_more_or_less_demand_flips_nothing_that_does_not_pay(problem, factor):
    """With 5 % more or less, another stand comes in only where it saves more than putting it into service costs."""
    running = after(problem, planned(problem))
    now = scaled(running, factor)
    found = planned(now)
    switching = switching_usd_per_month(now, found.allocations)
    saved = kept(now) - (found.objective_usd_per_month - switching)
    assert saved >= switching - CENTS
    assert switching > 0 or types_in_region(found) <= set(running.running)


@few
@given(many_types)
def test_there_and_back_comes_to_rest(problem):
    """After 5 % more and back again, each step paid for itself, and asking again changes nothing."""
    running = after(problem, planned(problem))
    for factor in (1.05, 1.0, 1.0):
        now = scaled(running, factor)
        found = planned(now)
        assert found.objective_usd_per_month <= kept(now) + CENTS
        last, running = set(running.running), after(problem, found)
    assert set(running.running) <= last
