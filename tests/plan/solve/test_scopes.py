"""Fleets below an amount: one is found where there are any, and it is one of the problem."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import FleetSolution, Infeasible, PurchaseOption
from advisor.plan.solve.alone import alone
from advisor.plan.solve.neighbours import keeps_to_all
from advisor.plan.solve.optimise import ROUNDED_USD
from advisor.plan.solve.scopes import PoolsAlone, Singles, any_below, cheapest
from plan.fleet.problems import everything, problems

CENTS = 0.06
"""Every part is rounded to the cent, and the search stops half a cent before the end."""


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(everything, held=True), st.sampled_from((0.5, 0.99, 1.05, 1.5)))
def test_a_fleet_below_an_amount_is_found_where_there_are_any(problem, ratio):
    """What is found costs less than the amount, no less than the cheapest fleet, and keeps to all limits."""
    best = cheapest(problem)
    if isinstance(best, Infeasible):
        assert any_below(problem, 1e9) is None
        return
    most = best.objective_usd_per_month * ratio
    fleet = any_below(problem, most)
    assert (fleet is not None) == (ratio > 1)
    if fleet is not None:
        assert best.objective_usd_per_month - CENTS <= fleet.objective_usd_per_month < most
        assert keeps_to_all(problem, fleet)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(everything, columns=9), st.sampled_from((None, 0.25, 0.9, 3.0)), st.sampled_from((0.99, 1.01)))
def test_no_fleet_of_one_pool_is_cheaper_than_the_cheapest_single(problem, headroom, ratio):
    """No bound is above what a pool costs alone, so that none that is skipped would have been cheaper."""
    pools = PoolsAlone(problem)
    bounds, usd = pools.usd_per_month(headroom), {}
    for pool, bound in zip(pools.able, bounds, strict=True):
        slower = pool if headroom is None else pool.slower(headroom)
        for tariff in pool.tariffs:
            fleet = alone(problem, slower, tariff)
            if tariff.paid is not PurchaseOption.OWNED and isinstance(fleet, FleetSolution):
                usd[pool.key, tariff] = fleet.objective_usd_per_month
                assert bound <= fleet.objective_usd_per_month + ROUNDED_USD

    singles = Singles(problem, headroom=headroom)

    assert (singles.cheapest is None) == (not usd)
    if usd:
        assert singles.cheapest.objective_usd_per_month == min(usd.values())
        assert singles.is_any_below(min(usd.values()) * ratio) == (ratio > 1 and min(usd.values()) > 0)
