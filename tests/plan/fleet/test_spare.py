"""Spare: what is named may go while the busiest hours are carried, nothing beside it may, and its limit is the reason."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings

from advisor.plan.fleet.chosen import Confirmation, Spare
from advisor.plan.fleet.spare import judged_spare, spare_of, without_spare
from advisor.plan.problem.limits import Constraint
from advisor.plan.problem.supply import PoolSet
from advisor.plan.problem.values import Allocation, FleetSolution, HourClass, PurchaseOption, Tariff
from advisor.plan.replay.groups import Confirmed, name_of
from advisor.plan.solve.neighbours import loaded_fleet
from advisor.plan.solve.stage import Formulation
from advisor.workload.values import Limits, Survive
from plan.fleet.exhaustive import cost_of, counts_of
from plan.fleet.problems import everything, optimise, pool_of, problem_of, problems

NIGHTS = (HourClass(126, 1.5, 2.0, 1.0), HourClass(42, 7.0, 9.0, 5.0))
"""Three quarters of the week take two machines that sustain one request per second, a quarter one of nine."""
ON_DEMAND, SPOT = Tariff(PurchaseOption.ON_DEMAND, 1.0), Tariff(PurchaseOption.SPOT, 0.3)


def without(solution, gone):
    """The fleet without so many instances of each group in the busiest hours, and no more than that in others."""
    fewer = (
        replace(
            one, instances=tuple(min(count, one.instances[-1] - gone.get(name_of(one), 0)) for count in one.instances)
        )
        for one in solution.allocations
    )
    return replace(solution, allocations=tuple(fewer))


def carries(problem, solution):
    """Whether the busiest hours are carried, gone through by rules that are written down a second time."""
    limits = Limits(fault_tolerant_ratio=1.0, on_demand_base_ratio=problem.limits.on_demand_base_ratio)
    alone = replace(
        problem,
        hours=problem.hours[-1:],
        transitions=np.zeros((1, 1)),
        limits=limits,
        low_band=False,
        owned={pool.type_in_region: 99 for pool in problem.pools},
    )
    counts = {key: instances[-1:] for key, instances in counts_of(problem, solution).items()}
    return cost_of(alone, counts) is not None


FAST_FOR_ONE_PLACE = problem_of(
    pool_of("alike", (0.5, 0.5), tariffs=(SPOT,)),
    pool_of("fast", (0.5, 1.5), tariffs=(ON_DEMAND,), zones=2),
    planned=(3.0,),
    places=(0.25, 0.75),
    limits=Limits(survive=Survive.INSTANCE, fault_tolerant_ratio=0.5, on_demand_base_ratio=0.5),
    max_regions=2,
)
"""What is not on spot is planned for the place that it serves fast; its share of the load is counted over both."""


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(everything, buckets=(0,), held=True))
@example(FAST_FOR_ONE_PLACE)
def test_spare_may_go_and_nothing_more(problem):
    """Mixes of types, prices, places and limits: without the spare the load is carried, with one fewer it is not."""
    solution = optimise(problem)
    if not isinstance(solution, FleetSolution):
        return
    gone = Counter[str]()
    for one in spare_of(problem, solution):
        gone[one.group] += one.instances

    assert carries(problem, without(solution, gone))
    for one in without(solution, gone).allocations:
        if one.instances[-1] and problem.all_alike:
            more = gone + Counter({name_of(one): 1})
            assert not carries(problem, without(solution, more)), name_of(one)
    spares = list(spare_of(problem, solution))
    for spare in spares:
        every = sum(one.instances for one in spares if one.group == spare.group)
        left = counts_of(problem, without(solution, {spare.group: every}))
        assert spare.why == "none" or cost_of(problem, left) is None


def test_what_carries_the_base_on_demand_is_not_spare():
    """A third is never on spot: the spare machine is one on spot, though one on demand is the dearest."""
    pool = pool_of("x", 1.0, zones=4, tariffs=(ON_DEMAND, SPOT))
    limits = Limits(survive=Survive.INSTANCE, on_demand_base_ratio=0.3)
    problem = problem_of(pool, planned=(3.0,), limits=limits)
    (spare,) = spare_of(problem, optimise(problem))

    assert (spare.group, spare.instances, spare.why) == ("x/spot", 1, "survive: instance")


def test_machines_of_the_night_are_spare_by_day_alone():
    """Two small machines serve the nights and a large one the days: what they cost by day is spare, the nights are not."""
    small, large = pool_of("small", 1.0, 0.1), pool_of("large", 9.0, 1.0)
    problem = problem_of(small, large, hours=NIGHTS)

    assert spare_in(problem, (small, (2, 2)), (large, (0, 1))) == [
        ("small/on_demand", 2, "none", round(2 * 0.1 * 730 / 4, 2))
    ]
    assert spare_in(problem, (small, (2, 0)), (large, (0, 1))) == []


def test_a_replay_without_spare_keeps_the_nights():
    """What is taken away to judge the spare of the day is left in the hours that have nothing else."""
    small, large = pool_of("small", 1.0, 0.1), pool_of("large", 9.0, 1.0)
    problem = problem_of(small, large, hours=NIGHTS)
    groups = tuple(Allocation(pool, pool.tariffs[0], counts) for pool, counts in ((small, (2, 2)), (large, (0, 1))))
    solution = FleetSolution(groups, {}, 0.0, 0.0, proven=True)
    found = Confirmed(solution, Formulation(problem, None, None, None, (), None), confirmation_of(1.0))
    replayed = []

    def replay(_, fewer):
        replayed.append(tuple(one.instances for one in fewer.allocations))
        return confirmation_of(0.9)

    (spare,) = judged_spare(found, spare_of(problem, solution), replay)

    assert (spare.why, replayed) == ("replay", [((2, 0), (0, 1))])


def test_the_only_pool_near_a_place_is_not_spare():
    """Room in one region is none for users whom only the other one reaches, however dear it is."""
    near = pool_of("near", (8.0, 0.0), 1.0, type_in_region="a/here/t")
    far = pool_of("far", (0.0, 8.0), 9.0, type_in_region="a/there/t")
    problem = problem_of(near, far, planned=(2.0,), places=(0.5, 0.5), max_regions=2)

    assert list(spare_of(problem, optimise(problem))) == []


def test_replicas_that_are_counted_are_the_reason_before_failures():
    """Five replicas for the load of one: without one of them four carry any failure, so it is their number that counts."""
    problem = problem_of(pool_of("x", 4.0), planned=(3.0,), limits=Limits(min_replicas=5))
    (spare,) = spare_of(problem, optimise(problem))

    assert (spare.instances, spare.why) == (4, "min_replicas")


def test_what_may_not_be_stopped_is_kept_for_the_limit_of_changes():
    """Six run and nothing may change: what the load does not need stays for that."""
    pool = pool_of("x", 1.0)
    problem = problem_of(pool, planned=(4.0,), limits=Limits(max_changed_instances=0), running={"x": 6})
    (spare,) = spare_of(problem, optimise(problem))

    assert (spare.instances, spare.why) == (2, "max_changed_instances")


def confirmation_of(share):
    """A replay that finds such a share within the SLO, of which 99 % is asked."""
    return Confirmation(100, 1.0, 1.0, 1.0, 1.0, 1.0, share >= 0.99, "", 1.0, without_one_within_slo_ratio=share)


@pytest.mark.parametrize(
    ("share", "rest"), [(0.9, ("replay", 0.9)), (0.995, ("none", None))], ids=["its replay", "nothing that is known"]
)
def test_what_no_limit_keeps_is_told_apart_and_replayed(share, rest):
    """Four run where two carry the load and one may fail: one is for that, and a replay says whether the last is needed."""
    problem = problem_of(pool_of("x", 1.0), planned=(2.0,), limits=Limits(survive=Survive.INSTANCE))
    (allocation,) = optimise(problem).allocations
    solution = replace(optimise(problem), allocations=(replace(allocation, instances=(4,)),))
    found = Confirmed(solution, Formulation(problem, None, None, None, (), None), confirmation_of(1.0))
    replayed = []

    def replay(_, fewer):
        replayed.append(fewer.allocations[0].instances)
        return confirmation_of(share)

    spare = list(judged_spare(found, spare_of(problem, solution), replay))

    assert allocation.instances == (3,)
    assert [(one.instances, one.why, one.without_within_slo_ratio) for one in spare] == [
        (1, "survive: instance", None),
        (1, *rest),
    ]
    assert {one.usd_per_month for one in spare} == {730.0}
    assert replayed == [(3,)]


@pytest.mark.parametrize(
    ("needed", "left"), [(4, (3, 1)), (3, (2, 1)), (2, (1, 1))], ids=["every one", "one fewer", "two fewer"]
)
def test_instances_that_neither_a_limit_nor_a_replay_needs_are_taken_away(needed, left):
    """Three and one run where two carry the load: of what is spare, only what the replay needs stays."""
    pools = pool_of("x", 1.0, 1.0), pool_of("y", 1.0, 0.5)
    problem = problem_of(*pools, planned=(2.0,))
    groups = tuple(Allocation(pool, pool.tariffs[0], (count,)) for pool, count in zip(pools, (3, 1), strict=True))
    fleet = Confirmed(
        loaded_fleet(problem, groups), Formulation(problem, None, None, None, (), None), confirmation_of(1.0)
    )

    def replay(_, fewer):
        return confirmation_of(1.0 if sum(group.instances[0] for group in fewer.allocations) >= needed else 0.9)

    kept = without_spare(fleet, replay)

    assert tuple(group.instances[0] for group in kept.solution.allocations) == left
    assert kept.usd_per_month == pytest.approx(
        sum(group.instances[0] * group.tariff.usd_per_hour for group in kept.solution.allocations) * 730
    )
    assert not [part for part in judged_spare(kept, spare_of(problem, kept.solution), replay) if part.why == "none"]


@pytest.mark.parametrize(("turns", "left"), [(False, [(1, 1), (0, 3)]), (True, [(1, 0), (0, 3)])])
def test_a_machine_of_quiet_hours_goes_in_busy_ones_only_where_machines_take_turns(turns, left):
    """One at all hours and three by day, which carry the day without it."""
    pools = [
        pool_of(f"aws/r/{name}", rate, rate, type_in_region=f"aws/r/{name}") for name, rate in (("x", 1.0), ("y", 2.0))
    ]
    problem = problem_of(*pools, hours=(HourClass(126, 0.5, 0.9, 0.4), HourClass(42, 5.0, 6.0, 4.0)))
    problem = replace(problem, scaling=replace(problem.scaling, take_turns=turns))
    counts = (1, 1), (0, 3)
    groups = tuple(Allocation(pool, pool.tariffs[0], each) for pool, each in zip(pools, counts, strict=True))
    formulation = Formulation(problem, None, None, None, (), None)
    fleet = Confirmed(loaded_fleet(problem, groups), formulation, confirmation_of(1.0))

    kept = without_spare(fleet, lambda _, __: confirmation_of(1.0))

    assert [group.instances for group in kept.solution.allocations] == left


def test_spare_is_judged_at_the_rates_that_it_was_counted_with():
    """At the headroom that was looked for no instance is spare; at the rates of the plan one is: that one is taken."""
    usual = pool_of("x", 1.0)
    slowed = usual.slower(1.3)
    solution = FleetSolution((Allocation(slowed, slowed.tariffs[0], (3,)),), {}, 0.0, 0.0, proven=True)
    formulation = Formulation(problem_of(slowed, planned=(2.0,)), PoolSet((usual,), {}, ()), None, None, (), None)
    fleet = Confirmed(solution, formulation, replace(confirmation_of(1.0), headroom_factor=1.3))
    replayed = []

    def replay(_, fewer):
        replayed.append(fewer.allocations[0].instances)
        return confirmation_of(0.9)

    counted = Spare("x/on_demand", 1, "none", 730.0)
    (spare,) = judged_spare(fleet, [counted], replay)

    assert (spare.why, replayed) == ("replay", [(2,)])


def spare_in(problem, *groups):
    """Group, instances, reason and USD of what is spare in a fleet of (pool, instances)."""
    allocations = tuple(Allocation(pool, pool.tariffs[0], counts) for pool, counts in groups)
    fleet = FleetSolution(allocations, {}, 0.0, 0.0, proven=True)
    return [(one.group, one.instances, one.why, one.usd_per_month) for one in spare_of(problem, fleet)]


def test_the_dearest_capacity_goes_first():
    """$20 for a request per second on the small one, $10 on the large one, whose price is the higher."""
    large, small = pool_of("large", 0.3, 3.0), pool_of("small", 0.1, 2.0)
    problem = problem_of(large, small, planned=(0.2,))
    assert spare_in(problem, (large, (1,)), (small, (2,))) == [("small/on_demand", 2, "none", 2 * 2.0 * 730)]


def test_a_load_that_is_carried_to_the_last_request_leaves_nothing_spare():
    """Four instances of two requests per second for eight, of which half may not be on spot: two and two."""
    steady = pool_of("steady", 2.0, tariffs=(ON_DEMAND,))
    spot = pool_of("spot", 2.0, tariffs=(SPOT,), zones=2)
    problem = problem_of(
        steady, spot, planned=(8.0,), limits=Limits(on_demand_base_ratio=0.5, fault_tolerant_ratio=1.0)
    )
    assert spare_in(problem, (steady, (2,)), (spot, (2,))) == []
    assert [each[:3] for each in spare_in(problem, (steady, (3,)), (spot, (3,)))] == [
        ("steady/on_demand", 1, "none"),
        ("spot/spot", 1, "none"),
    ]
    assert [each[:3] for each in spare_in(problem, (steady, (2,)), (spot, (9,)))] == [("spot/spot", 7, "none")]


def test_room_for_users_of_two_places_is_spare():
    """Three machines that serve both places at the same rate, of which two carry the load."""
    pool = pool_of("x", (2.0, 2.0), 0.1234567)
    problem = problem_of(pool, planned=(4.0,), places=(0.5, 0.5))
    assert spare_in(problem, (pool, (3,))) == [("x/on_demand", 1, "none", 90.12)]  # 730 × 0.1234567


@pytest.mark.parametrize(
    ("limits", "more", "spare"),
    [
        ({}, {}, [(3, "none", 270.37)]),
        ({"min_replicas": 2, "survive": Survive.NOTHING}, {}, [(3, "none", 270.37)]),
        ({"min_replicas": 3, "survive": Survive.NOTHING}, {}, [(1, "min_replicas", 90.12), (2, "none", 180.25)]),
        ({"zones": 4, "survive": Survive.NOTHING}, {}, [(2, "zones", 180.24), (1, "none", 90.13)]),
        ({"max_kw": 100.0}, {}, [(3, "none", 270.37)]),
        ({"max_changed_instances": 1}, {"running": {"x": 4}}, [(1, "max_changed_instances", 90.12), (2, "none", 180.25)]),
        ({"max_changed_instances": 9}, {"running": {"x": 4}}, [(3, "none", 270.37)]),
    ],
)  # fmt: skip
def test_spare_of_five_that_carry_the_load_of_two(limits, more, spare):
    """What a limit keeps is told before what nothing keeps, each with what it costs: 1 to 5 cost 90.12, 180.25, …, 450.62."""
    pool = pool_of("x", 1.0, 0.1234567, takes={Constraint.POWER: 1.0}, zones=9)
    problem = problem_of(pool, planned=(2.0,), limits=Limits(**limits), **more)
    assert spare_in(problem, (pool, (5,))) == [("x/on_demand", *each) for each in spare]


@pytest.mark.parametrize(("more", "spare"), [(0.0, 2), (1e-6, 2), (2e-6, 1)])
def test_a_load_is_carried_but_for_a_millionth(more, spare):
    """Two machines carry two requests a second, and a millionth more, but not two; so does the base without spot."""
    pool = pool_of("x", 1.0, zones=9)
    load = 2 / (1 - more)
    for planned, base in ((load, 0.0), (load, 1.0)):
        limits = Limits(on_demand_base_ratio=base, fault_tolerant_ratio=1.0)
        told = spare_in(problem_of(pool, planned=(planned,), limits=limits), (pool, (4,)))
        assert sum(instances for _, instances, *_ in told) == spare
