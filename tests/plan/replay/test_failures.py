"""What a failure leaves of a fleet is what the closed form counts as lost."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.plan.problem.formulas import Part, left_after, lost_with, mix_rate
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.groups import routes_left
from advisor.plan.replay.values import Route
from plan.fleet.problems import LIMITS, optimise, problems


@pytest.mark.parametrize("part", [Part.ZONE, Part.SUPPLY])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_each_loss_takes_the_rate_that_the_closed_form_says(part, data):
    """Of every zone and every spot supply, in every hour; nothing else is lost."""
    problem = data.draw(problems(LIMITS["spot_reroute"]))
    fleet = optimise(problem)
    allocations = fleet.allocations if isinstance(fleet, FleetSolution) else ()
    several = tuple(
        Allocation(one.pool, tariff, one.instances) for one in allocations for tariff in one.pool.tariffs[:2]
    )

    for fleet_of in (allocations, several):
        for at in range(len(problem.hours)):
            rates = sorted(
                sum(
                    (one.instances[at] - left[at]) * mix_rate(problem, one.pool)
                    for one, left in zip(fleet_of, counts, strict=True)
                )
                for counts in left_after(fleet_of, part)
            )
            expected = sorted(lost_with(problem, fleet_of, part, at).values())
            assert [rate for rate in rates if rate > 0] == pytest.approx([rate for rate in expected if rate > 0])


def test_a_balancer_that_follows_what_is_up_sends_the_rest_what_a_failure_leaves():
    """Half of the large machines gone: they get half as large a part of the same requests, the others the rest."""
    groups = [
        SimpleNamespace(name="large", instances_by_hour=(1, 2)),
        SimpleNamespace(name="small", instances_by_hour=(6, 6)),
    ]
    left = [SimpleNamespace(name="large", instances_by_hour=(0, 1)), groups[1]]
    routes = (Route(math.inf, {"large": 0.5, "small": 0.5}), Route(math.inf, {"large": 0.2}, place=1))

    after = routes_left(routes, groups, left)

    assert after[0].shares == pytest.approx({"large": 1 / 3, "small": 2 / 3})
    assert after[1].shares == pytest.approx({"large": 0.2})
    gone = routes_left(routes[1:], groups[:1], [SimpleNamespace(name="large", instances_by_hour=(0, 0))])
    assert gone == routes[1:]
