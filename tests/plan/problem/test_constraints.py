"""What a fleet takes of each limit, beside numbers that were worked out by hand."""

import numpy as np
import pytest

from advisor.plan.problem.constraints import most_headroom, uses
from advisor.plan.problem.values import Allocation, FleetSolution, PurchaseOption, Tariff
from advisor.units import HOURS_PER_MONTH
from advisor.workload.values import Limits, Survive
from plan.fleet.problems import pool_of, problem_of

STEADY, SPOT = Tariff(PurchaseOption.ON_DEMAND, 3.0), Tariff(PurchaseOption.SPOT, 1.0)
LARGE = pool_of(
    "large", 4.0, tariffs=(STEADY,), replicas=2, zones=2, kw=2.0, kg_co2e_per_hour=0.5, stand="cloud/a/x", kind="x"
)
SMALL = pool_of("small", 1.5, tariffs=(SPOT,), zones=2, kw=0.5, kg_co2e_per_hour=0.25, stand="cloud/a/y", kind="y")
PLANNED = (2.0, 8.0)
USD = 4321.0


def fleet(large=(1, 2), small=(2, 3)):
    """Two large machines on demand in busy hours, one in quiet ones, and small ones on spot."""
    allocations = (Allocation(LARGE, STEADY, large), Allocation(SMALL, SPOT, small))
    shares = {"large": np.full((2, 1, 1), 0.75), "small": np.full((2, 1, 1), 0.25)}
    return FleetSolution(allocations, shares, USD, USD, proven=False)


def taken(limits, solution=None, **more):
    """Limit, number and whether it binds, by the names of limits."""
    problem = problem_of(LARGE, SMALL, planned=PLANNED, limits=limits, **more)
    return {use.name: (use.limit, pytest.approx(use.used), use.binding) for use in uses(problem, solution or fleet())}


@pytest.mark.parametrize(
    ("limits", "name", "expected"),
    [
        ({"min_replicas": 4}, "min_replicas", (4, 4, True)),  # quiet hours: 1 × 2 + 2
        ({"min_replicas": 3}, "min_replicas", (3, 4, False)),
        ({"zones": 2}, "zones", (2, 3, False)),
        ({"zones": 3}, "zones", (3, 3, True)),
        ({"max_replicas": 5}, "max_replicas", (5, 5, True)),  # 8 × 0.75 / 4 × 2 + 8 × 0.25 / 1.5 = 4.33
        ({"max_instance_types": 2}, "max_instance_types", (2, 2, True)),
        ({"max_instance_types": 3}, "max_instance_types", (3, 2, False)),
        ({"max_usd_per_month": USD}, "max_usd_per_month", (USD, USD, True)),
        ({"max_kw": 6.0}, "max_kw", (6.0, 5.5, False)),  # 2 × 2 + 3 × 0.5
        ({"max_kg_co2e_per_month": 1000.0}, "max_kg_co2e_per_month", (1000.0, HOURS_PER_MONTH * (1.0 + 1.75) / 2, True)),
        ({"on_demand_base_ratio": 0.5}, "on_demand_base", (0.5, 1.0, False)),  # 2 × 4 ÷ 8
        ({"survive": Survive.INSTANCE}, "survive", (1.0, 8.5 / 8, False)),  # 2 × 4 + 3 × 1.5 - 4
        ({"survive": Survive.ZONE}, "survive", (1.0, 5.5 / 8, True)),  # less 4 + 2 × 1.5 of one zone
        ({"fault_tolerant_ratio": 0.0}, "spot_reroute", (1.0, 9.5 / 8, False)),  # less 2 × 1.5
    ],
)  # fmt: skip
def test_a_use_is_what_is_worked_out_by_hand(limits, name, expected):
    """Each limit has its number, and binds where the number is at it."""
    assert taken(Limits(**limits))[name] == expected


@pytest.mark.parametrize("limits", [Limits(), Limits(min_replicas=1, zones=1)])
def test_what_is_not_stated_is_not_used(limits):
    """A limit that nobody asks for has no number; the spot reserve is always asked for."""
    assert set(taken(limits)) == {"spot_reroute"}


@pytest.mark.parametrize(
    ("limits", "factor"),
    [
        (Limits(fault_tolerant_ratio=1.0), 12.5 / 8),  # busy hours: 2 × 4 + 3 × 1.5
        (Limits(), 9.5 / 8),
        (Limits(fault_tolerant_ratio=1.0, survive=Survive.INSTANCE), 8.5 / 8),
        (Limits(fault_tolerant_ratio=1.0, survive=Survive.ZONE), 5.5 / 8),
        (Limits(fault_tolerant_ratio=1.0, on_demand_base_ratio=0.8), 8 / 8 / 0.8),
    ],
)
def test_headroom_is_that_of_the_tightest_hour_and_failure(limits, factor):
    """By so much less may every instance sustain."""
    assert most_headroom(problem_of(LARGE, SMALL, planned=PLANNED, limits=limits), fleet()) == pytest.approx(factor)
