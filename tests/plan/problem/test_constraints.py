"""What a fleet takes of each limit, beside numbers that were worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from advisor.plan.problem.constraints import most_headroom, uses
from advisor.plan.problem.formulas import zone_room
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.values import Allocation, FleetSolution, PurchaseOption, Tariff
from advisor.units import HOURS_PER_MONTH
from advisor.workload.values import Limits, Scaling, Survive
from plan.fleet.problems import pool_of, problem_of

STEADY, SPOT = Tariff(PurchaseOption.ON_DEMAND, 3.0), Tariff(PurchaseOption.SPOT, 1.0)
LARGE = pool_of(
    "large",
    4.0,
    tariffs=(STEADY,),
    replicas=2,
    zones=2,
    takes={Constraint.POWER: 2.0, Constraint.CARBON: 0.5},
    type_in_region="cloud/a/x",
    kind="x",
)
SMALL = pool_of(
    "small",
    1.5,
    tariffs=(SPOT,),
    zones=2,
    takes={Constraint.POWER: 0.5, Constraint.CARBON: 0.25},
    type_in_region="cloud/a/y",
    kind="y",
)
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
        ({"zones": 2}, "zones", (2, 2, True)),  # of the region's two, however many instances
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


@pytest.mark.parametrize(
    ("large", "far", "zones"),
    [
        ((1, 2), (0, 0), 1),  # fewest in the quiet hours
        ((9, 9), (0, 0), 2),  # sold in two
        ((9, 9), (1, 1), 3),  # and one of another region
        ((0, 9), (2, 5), 2),
    ],
)
def test_zones_are_counted_not_instances(large, far, zones):
    """Zones of each region, no more than instances are there."""
    elsewhere = replace(LARGE, key="far", type_in_region="cloud/b/x", zones=3)
    allocations = (Allocation(LARGE, STEADY, large), Allocation(elsewhere, STEADY, far))
    problem = problem_of(LARGE, elsewhere, planned=PLANNED, limits=Limits(zones=2))

    (use,) = (
        use for use in uses(problem, FleetSolution(allocations, {}, USD, USD, proven=True)) if use.name == "zones"
    )

    assert (use.used, use.unit) == (zones, "zones")


def test_groups_that_spread_by_themselves_may_take_the_same_zones():
    """Three on demand and four on spot are sure to be in four of five zones."""
    pool = replace(LARGE, zones=5, tariffs=(STEADY, SPOT))
    allocations = (Allocation(pool, STEADY, (3,)), Allocation(pool, SPOT, (4,)))
    problem = problem_of(pool, planned=(8.0,), limits=Limits(zones=3))

    (use,) = (
        use for use in uses(problem, FleetSolution(allocations, {}, USD, USD, proven=True)) if use.name == "zones"
    )

    assert (use.used, use.limit, use.binding) == (4, 3, False)


@pytest.mark.parametrize("name", ["zones", "min_replicas"])
def test_hours_in_which_nothing_has_to_run_are_not_counted(name):
    """Where zero is allowed the hours without requests ask for nothing."""
    limits = Limits(**{name: 2})
    problem = problem_of(LARGE, planned=(0.0, 8.0), limits=limits, scaling=Scaling(scale_to_zero=True))
    solution = FleetSolution((Allocation(LARGE, STEADY, (0, 2)),), {}, USD, USD, proven=True)

    (used,) = (use.used for use in uses(problem, solution) if use.name == name)

    assert used == {"zones": 2, "min_replicas": 4}[name]


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


def test_headroom_of_a_share_that_a_failure_has_to_leave():
    """Half may be lost: without all six on spot, which are in one zone, one large machine carries just that half."""
    lone = pool_of("small", 1.5, tariffs=(SPOT,), zones=1)
    problem = problem_of(LARGE, lone, planned=PLANNED, limits=Limits(fault_tolerant_ratio=0.5))
    solution = FleetSolution(
        (Allocation(LARGE, STEADY, (1, 1)), Allocation(lone, SPOT, (6, 6))), {}, USD, USD, proven=True
    )
    assert most_headroom(problem, solution) == pytest.approx(4 / 8 / 0.5)


@pytest.mark.parametrize(("planned", "factor"), [((0.0, 8.0), 12.5 / 8), ((0.8, 8.0), 1.0 / 0.8), ((0.0, 0.0), 1.0)])
def test_headroom_of_hours_with_a_load(planned, factor):
    """Hours without requests have no factor, those with the fewest have one; without any load it is one."""
    slow = pool_of("slow", 1.0, tariffs=(STEADY,))
    allocations = (Allocation(slow, STEADY, (1, 8)), Allocation(LARGE, STEADY, (0, 1)))
    problem = problem_of(slow, LARGE, planned=planned, limits=Limits(on_demand_base_ratio=0.9))
    solution = FleetSolution(allocations, {}, USD, USD, proven=True)
    assert most_headroom(problem, solution) == pytest.approx(factor if not planned[1] else min(factor, 12 / 8))


def test_a_base_is_counted_in_hours_with_a_load():
    """One large machine of four a second: five times the load of the quiet hours, half of the busy ones."""
    limits = Limits(on_demand_base_ratio=0.2)
    for planned, used in (((0.8, 8.0), 4 / 8), ((0.0, 2.0), 4 / 2), ((0.5, 0.4), 4 / 0.5)):
        problem = problem_of(LARGE, SMALL, planned=planned, limits=limits)
        bases = [use for use in uses(problem, fleet(large=(1, 1))) if use.name == "on_demand_base"]
        assert [use.used for use in bases] == [pytest.approx(used)]


def test_two_replicas_and_no_reserve_of_spot():
    """Two are a limit, one is none; where all requests may wait spot has nothing to leave."""
    limits = Limits(min_replicas=2, survive=Survive.NOTHING, fault_tolerant_ratio=1.0)
    assert taken(limits) == {"min_replicas": (2, 4, False)}


def test_replicas_for_the_load_are_those_of_the_busiest_hours():
    """In the last of three classes large ones of four a second receive half of twelve: 1.5 of two replicas each."""
    limits = Limits(max_replicas=9, fault_tolerant_ratio=1.0)
    problem = problem_of(LARGE, SMALL, planned=(1.0, 6.0, 12.0), limits=limits)
    sent = np.array([1.0, 1.0, 0.5]).reshape(3, 1, 1)
    allocations = (Allocation(LARGE, STEADY, (1, 2, 2)), Allocation(SMALL, SPOT, (0, 0, 4)))
    solution = FleetSolution(allocations, {"large": sent, "small": 1 - sent}, USD, USD, proven=False)

    assert [use.used for use in uses(problem, solution)] == [2 * 1.5 + 4]  # a whole number, and not one more


def test_power_and_carbon_of_what_is_not_known_are_not_counted():
    """What nobody knows the power of adds nothing to what the others take."""
    unknown = pool_of("unknown", 4.0, tariffs=(STEADY,))
    limits = Limits(max_kw=9.0, max_kg_co2e_per_month=9.0, fault_tolerant_ratio=1.0)
    solution = FleetSolution((Allocation(unknown, STEADY, (1, 3)),), {}, USD, USD, proven=True)
    told = {use.name: use.used for use in uses(problem_of(unknown, planned=PLANNED, limits=limits), solution)}
    assert told == {"max_kw": 0.0, "max_kg_co2e_per_month": 0.0}


def test_a_quota_is_what_the_busiest_hours_take_of_it():
    """Each large machine takes four units on demand, each small one three on spot: 8 and 9 of both limits."""
    large = pool_of("large", 4.0, tariffs=(STEADY,), quotas={("G", "on_demand"): 4.0})
    small = pool_of("small", 1.5, tariffs=(SPOT,), quotas={("G", "spot"): 3.0, ("G", "on_demand"): 7.0})
    limits = {("G", "on_demand"): 8.0, ("G", "spot"): 12.0}
    problem = problem_of(large, small, planned=PLANNED, quota_limits=limits, limits=Limits(fault_tolerant_ratio=1.0))
    solution = FleetSolution(
        (Allocation(large, STEADY, (1, 2)), Allocation(small, SPOT, (1, 3))), {}, USD, USD, proven=True
    )

    assert [(use.detail, use.limit, use.used, use.binding) for use in uses(problem, solution)] == [
        ("G (on demand)", 8.0, 8.0, True),
        ("G (spot)", 12.0, 9.0, False),
    ]


def test_of_what_is_owned_only_what_is_paid_for_so_counts():
    """Three of five that are owned run; two of the same type on demand, and owned ones of another, are none of them."""
    owned = Tariff(PurchaseOption.OWNED, 0.0)
    here, there = (
        pool_of(name, 4.0, tariffs=(STEADY, owned), type_in_region=f"a/r/{name}") for name in ("here", "there")
    )
    allocations = (Allocation(here, owned, (1, 3)), Allocation(here, STEADY, (0, 2)), Allocation(there, owned, (1, 1)))
    limits = Limits(fault_tolerant_ratio=1.0)
    problem = problem_of(here, there, planned=PLANNED, owned={"a/r/here": 5, "a/r/there": 1}, limits=limits)

    assert [
        (use.name, use.detail, use.limit, use.used, use.binding)
        for use in uses(problem, FleetSolution(allocations, {}, USD, USD, proven=True))
    ] == [("owned", "a/r/here", 5, 3, False), ("owned", "a/r/there", 1, 1, True)]


@pytest.mark.parametrize(
    ("by_purchase", "changed"),
    [
        # small: 3 are new, the first of them in the quiet hours, in which 4 of 5 large ones are off; gone: 4 are stopped
        ({}, 3 + 4 + 4),
        # large: 2 of 1 on demand, and 4 on spot are stopped at all hours
        ({("cloud/a/x", "on_demand"): 1, ("cloud/a/x", "spot"): 4, ("cloud/a/z", "on_demand"): 4}, 1 + 4 + 3 + 4),
    ],
)  # fmt: skip
def test_changes_are_what_is_started_and_stopped(by_purchase, changed):
    """Of each type and, where that is known, way of ordering."""
    running = {"cloud/a/x": 5, "cloud/a/z": 4}
    limits = Limits(max_changed_instances=20)
    use = taken(limits, running=running, running_by_purchase=by_purchase)["max_changed_instances"]
    assert use == (20, changed, False)


@pytest.mark.parametrize(("apart", "binding"), [(0.0, True), (1e-6, True), (2e-6, False)])
def test_a_millionth_from_a_limit_is_at_it(apart, binding):
    """Below what may not be exceeded, and above what is asked for."""
    limits = Limits(max_usd_per_month=apart, on_demand_base_ratio=1.0, fault_tolerant_ratio=1.0)
    pool = pool_of("x", 1.0 + apart, tariffs=(STEADY,))
    solution = FleetSolution((Allocation(pool, STEADY, (1,)),), {}, 0.0, 0.0, proven=True)
    told = [(use.name, use.binding) for use in uses(problem_of(pool, planned=(1.0,), limits=limits), solution)]
    assert told == [("max_usd_per_month", binding), ("on_demand_base", binding)]


@pytest.mark.parametrize(("ratio", "factor"), [(0.5, 2.0), (0.4, 2.5), (0.6, 0.0)])
def test_no_headroom_makes_a_base_of_what_carries_too_little_by_itself(ratio, factor):
    """Two large ones of four a second carry a half of sixteen however much they are planned with beside twelve on spot."""
    planned = (16.0,)
    large, small = LARGE.slower(0.5), pool_of("small", 3.0, tariffs=(SPOT,), zones=2)
    limits = Limits(fault_tolerant_ratio=1.0, on_demand_base_ratio=ratio)
    solution = FleetSolution(
        (Allocation(large, STEADY, (2,)), Allocation(small, SPOT, (12,))), {}, USD, USD, proven=True
    )
    problem = problem_of(large, small, planned=planned, limits=limits)
    whole = (2 * 8 + 12 * 3.0) / 16
    assert most_headroom(problem, solution) == pytest.approx(min(whole, factor))
    assert [use.used for use in uses(problem, solution) if use.name == "on_demand_base"] == [0.5]


@pytest.mark.parametrize(
    ("counts", "elsewhere", "zones", "room"),
    [
        ((3, 3), 0, 1, math.inf),
        ((2, 0), 0, 2, 4.0 / (8 / 4)),
        ((1, 1), 0, 2, 0.0),  # two groups of one may stand in one zone
        ((2, 1), 0, 3, 0.0),
        ((3, 0), 0, 3, 4.0 / (8 / 4)),  # half of an equal part of two zones is more than one of three
        ((2, 3), 0, 3, 1.5 / (8 / 6)),
        ((5, 1), 0, 3, 4.0 / (8 / 6)),
        ((1, 0), 1, 2, 1.5 / (8 / 4)),  # regions are zones apart: the large one has the small one beside it
    ],
)
def test_a_zone_counts_with_what_is_sure_to_stand_in_it(counts, elsewhere, zones, room):
    """Each group spreads by itself: of the rates in each of so many zones the least, in half of equal parts."""
    large, small = (replace(pool, zones=4) for pool in (LARGE, SMALL))
    far = replace(small, key="far", type_in_region="cloud/b/y")
    groups = [(large, STEADY, counts[0]), (small, SPOT, counts[1]), (far, SPOT, elsewhere)]
    allocations = tuple(Allocation(pool, tariff, (count,)) for pool, tariff, count in groups if count)
    problem = problem_of(large, small, far, planned=(8.0,), limits=Limits(zones=zones))

    assert zone_room(problem, allocations) == pytest.approx(room)
