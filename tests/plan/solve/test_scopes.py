"""Fleets below an amount: one is found where there are any, and it is one of the problem."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import Infeasible
from advisor.plan.solve.neighbours import keeps_to_all
from advisor.plan.solve.scopes import any_below, cheapest
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
