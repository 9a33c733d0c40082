"""Fleets with more headroom: whether one keeps to every limit, so that nothing cheaper has to be looked for."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.values import FleetSolution
from advisor.plan.replay.below import with_headroom, with_less
from advisor.plan.solve.optimise import optimise
from plan.fleet.exhaustive import cost_of, counts_of
from plan.fleet.problems import everything, problems


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(problem=problems(everything, buckets=(0,), held=True), headroom=st.sampled_from((1.0, 1.03, 1.2, 1.5)))
def test_a_fleet_that_keeps_to_all_limits_with_more_headroom_is_the_cheapest_there(problem, headroom):
    """The same instances keep to them by rules that are written down a second time, and no others cost less."""
    solution = optimise(problem)
    if not isinstance(solution, FleetSolution):
        return
    less = with_headroom(problem, headroom)
    fleet = with_less(problem, solution, headroom)

    assert (fleet is not None) == (cost_of(less, counts_of(problem, solution)) is not None)
    if fleet is not None:
        assert math.isclose(optimise(less).objective_usd_per_month, solution.objective_usd_per_month, abs_tol=0.02)
