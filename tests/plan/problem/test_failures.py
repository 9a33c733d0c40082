"""Redundancy means capacity: what counts as a replica, a zone and a reserve is what a failure leaves of the load."""

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.plan.fleet.spare import spare_of
from advisor.plan.problem.constraints import failures, uses
from advisor.plan.problem.formulas import Part, left_without, lost_in_zone, share_without
from advisor.plan.problem.values import Allocation, FleetSolution, Infeasible, PurchaseOption, Tariff
from advisor.workload.values import Limits, Survive
from plan.fleet.problems import limited, optimise, pool_of, problem_of

ON_DEMAND = Tariff(PurchaseOption.ON_DEMAND, 1.0)
SPOT = Tariff(PurchaseOption.SPOT, 0.3)
COMMITMENT, OWNED = Tariff(PurchaseOption.COMMITMENT, 0.6), Tariff(PurchaseOption.OWNED, 0.0)


def fleet(problem) -> dict[tuple[str, str], int]:
    """Instances of the busiest hours by pool and way of paying."""
    found = optimise(problem)
    assert isinstance(found, FleetSolution)
    return {(one.pool.key, one.tariff.paid.value): one.instances[-1] for one in found.allocations}


@pytest.mark.parametrize(
    ("limits", "machine", "zone"),
    [
        (Limits(), 0.0, 0.0),
        (Limits(min_replicas=4, survive=Survive.NOTHING), 0.75, 0.0),
        (Limits(min_replicas=2), 1.0, 0.0),
        (Limits(zones=3), 1.0, 2 / 3),
        (Limits(zones=3, survive=Survive.ZONE), 1.0, 1.0),
        (Limits(min_replicas=2, zones=2, survive=Survive.NOTHING), 0.5, 0.5),
    ],
)
def test_share_that_a_failure_has_to_leave(limits, machine, zone):
    """What has to be left without a machine or a zone follows from replicas, zones and what is to survive."""
    assert share_without(limits, Part.MACHINE) == pytest.approx(machine)
    assert share_without(limits, Part.ZONE) == pytest.approx(zone)


def test_spot_has_to_leave_what_cannot_wait():
    """A spot supply leaves all but the share of the requests that may wait."""
    assert share_without(Limits(fault_tolerant_ratio=0.3), Part.SUPPLY) == pytest.approx(0.7)


@pytest.mark.parametrize(("instances", "zones", "lost"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2), (5, 1, 5)])
def test_a_zone_takes_its_even_share(instances, zones, lost):
    """Instances are spread evenly, and the zone that is lost is the fullest."""
    assert lost_in_zone(instances, zones) == lost


@pytest.mark.parametrize(
    ("tariffs", "counts", "left"),
    [
        ((ON_DEMAND, SPOT), (1, 2), 1 / 4),  # the fullest zones of both groups are one
        ((ON_DEMAND, SPOT), (2, 2), 2 / 4),
        ((ON_DEMAND, SPOT), (1, 4), 2 / 4),  # four over three zones: two in one of them
        ((ON_DEMAND, COMMITMENT), (1, 2), 2 / 4),  # one group of three
        ((COMMITMENT, OWNED), (2, 2), 2 / 4),
        ((SPOT, OWNED), (3, 3), 4 / 4),
    ],
)
def test_each_group_loses_its_own_share_of_a_zone(tariffs, counts, left):
    """What is ordered alike is one group over three zones; a group on spot is another, spread by itself."""
    pool = pool_of("x", 1.0, tariffs=tariffs, zones=3, type_in_region="a/r/x")
    allocations = [Allocation(pool, tariff, (count,)) for tariff, count in zip(tariffs, counts, strict=True)]
    problem = problem_of(pool, planned=(4.0,), limits=Limits(survive=Survive.ZONE))

    assert left_without(problem, allocations, Part.ZONE) == {"a/r": pytest.approx(left)}


@given(
    groups=st.lists(
        st.tuples(st.sampled_from([1.0, 2.5]), st.integers(2, 4), st.integers(0, 6), st.integers(0, 6)),
        min_size=1,
        max_size=2,
    )
)
@settings(max_examples=150, deadline=None)
def test_no_placement_of_groups_leaves_less_than_is_told(groups):
    """Each group evenly over its zones, those of its fullest and emptiest ones in every order: the worst is what counts."""
    allocations = [
        Allocation(pool_of(f"p{at}", rate, zones=zones, type_in_region=f"a/r/{at}"), tariff, (count,))
        for at, (rate, zones, *counts) in enumerate(groups)
        for tariff, count in zip((ON_DEMAND, SPOT), counts, strict=True)
        if count
    ]
    if not allocations:
        return
    problem = problem_of(*dict.fromkeys(allocation.pool for allocation in allocations), planned=(4.0,))
    whole = sum(allocation.instances[0] * allocation.pool.mix_rates[0] for allocation in allocations)
    worst = max(
        sum(rates[zone] for rates in placement)
        for placement in product(*map(_placements, allocations))
        for zone in range(4)
    )

    assert left_without(problem, allocations, Part.ZONE)["a/r"] == pytest.approx((whole - worst) / 4.0)


def _placements(allocation: Allocation) -> set[tuple[float, ...]]:
    """Rates of a group in each of four zones, in every even spread over as many of them as it may use."""
    zones, count = allocation.pool.zones, allocation.instances[0]
    even = [len(range(zone, count, zones)) for zone in range(zones)] + [0] * (4 - zones)
    rate = float(allocation.pool.mix_rates[0])
    return {tuple(rate * instances for instances in order) for order in permutations(even)}


def test_zones_hold_where_one_type_is_paid_two_ways():
    """A half more than one carries: a zone takes one of each group, so three on spot stand beside one on demand."""
    pool = pool_of("x", 1.0, tariffs=(ON_DEMAND, SPOT), zones=3, type_in_region="a/r/x")
    limits = Limits(zones=2, survive=Survive.ZONE, on_demand_base_ratio=0.5)

    assert fleet(problem_of(pool, planned=(1.5,), limits=limits)) == {("x", "on_demand"): 1, ("x", "spot"): 3}


def test_a_small_second_machine_is_no_second_replica():
    """97 % of the load on one machine and 3 % on another do not make two replicas: half the load has to be left."""
    large, small = pool_of("large", 10.0, 3.0), pool_of("small", 0.4, 1.0)
    limits = Limits(min_replicas=2, survive=Survive.NOTHING)
    chosen = fleet(problem_of(large, small, planned=(10.0,), limits=limits))
    assert chosen["large", "on_demand"] == 2


def test_slices_of_one_machine_are_one_machine():
    """Several replicas on one machine are lost together, so two replicas need a second machine."""
    sliced = pool_of("sliced", 7.0, 3.0, replicas=7)
    assert fleet(problem_of(sliced, planned=(3.0,), limits=Limits(min_replicas=2))) == {("sliced", "on_demand"): 2}


def test_a_type_of_one_zone_needs_another_beside_it():
    """What is sold in one zone alone carries no zone's loss; beside what is sold in several, it may carry the rest."""
    lone, spread = (
        pool_of("lone", 1.0, 0.5, type_in_region="a/r/lone"),
        pool_of("spread", 1.0, 1.0, type_in_region="a/r/spread", zones=2),
    )
    limits = Limits(zones=2, survive=Survive.NOTHING)
    found = optimise(problem_of(lone, planned=(4.0,), limits=limits))
    assert isinstance(found, Infeasible)
    assert [one.value for one in found.conflict] == ["zones"]
    assert found.relaxations[0].needed == 1
    both = fleet(problem_of(lone, spread, planned=(4.0,), limits=limits))
    assert both["spread", "on_demand"] == 4


def test_another_region_does_not_fail_with_a_zone():
    """Two types of one zone each, in two regions, carry each other's loss."""
    here, there = (pool_of(name, 1.0, 1.0, type_in_region=f"a/{name}/t") for name in ("here", "there"))
    chosen = fleet(problem_of(here, there, planned=(3.0,), limits=Limits(zones=2, survive=Survive.ZONE)))
    assert chosen == {("here", "on_demand"): 3, ("there", "on_demand"): 3}


def test_zones_are_no_multiples():
    """Five instances over three zones lose two at most: nobody has to order six."""
    pool = pool_of("a", 1.0, 1.0, zones=3)
    limits = Limits(zones=3, survive=Survive.ZONE)
    assert fleet(problem_of(pool, planned=(3.0,), limits=limits)) == {("a", "on_demand"): 5}


def test_sizes_of_one_accelerator_are_one_supply():
    """Spot of one accelerator in two sizes is lost together; of another accelerator it is not."""
    tariffs = (SPOT,)
    small = pool_of("small", 1.0, tariffs=tariffs, supply="a/r/L4")
    large = pool_of("large", 1.0, tariffs=tariffs, supply="a/r/L4")
    other = pool_of("other", 1.0, tariffs=(Tariff(PurchaseOption.SPOT, 0.4),), supply="a/r/T4")
    assert isinstance(optimise(problem_of(small, large, planned=(2.0,))), Infeasible)
    chosen = fleet(problem_of(small, other, planned=(2.0,)))
    assert chosen == {("small", "spot"): 2, ("other", "spot"): 2}


def test_base_on_demand_is_never_on_spot():
    """A share of the planned load is carried by what is not on spot, and reported with what it is."""
    pool = pool_of("a", 1.0, tariffs=(ON_DEMAND, SPOT), zones=3)
    limits = Limits(on_demand_base_ratio=0.5)
    problem = problem_of(pool, planned=(6.0,), limits=limits)
    assert fleet(problem)["a", "on_demand"] == 3
    found = {one.name: one for one in uses(problem, optimise(problem))}
    assert (found["on_demand_base"].limit, found["on_demand_base"].used) == (0.5, 0.5)


def test_what_failures_leave_is_told():
    """Without one machine, one zone and one supply: the share of the load that is left and what was asked for."""
    pool = pool_of("a", 1.0, tariffs=(ON_DEMAND, SPOT), zones=2, type_in_region="x/r/a")
    problem = problem_of(pool, planned=(2.0,), limits=Limits(min_replicas=2))
    told = {one.part: one for one in failures(problem, optimise(problem))}
    assert told[Part.MACHINE].left_ratio >= told[Part.MACHINE].needed_ratio == 1
    assert told[Part.SUPPLY].left_ratio >= told[Part.SUPPLY].needed_ratio == 1
    assert told[Part.ZONE].needed_ratio == 0
    assert told[Part.ZONE].name == "x/r"


def test_other_ways_of_paying_are_changes():
    """Where nothing may change, what runs on demand stays on demand, although spot is cheaper."""
    pool = pool_of("a", 1.0, tariffs=(ON_DEMAND, SPOT), zones=3)
    held = {"running": {"a": 4}, "running_by_purchase": {("a", "on_demand"): 4}}
    problem = problem_of(pool, planned=(4.0,), limits=Limits(max_changed_instances=0), **held)
    assert fleet(problem) == {("a", "on_demand"): 4}
    assert fleet(limited(problem, max_changed_instances=None)) == {("a", "spot"): 6}


def test_what_is_committed_is_ordered_on_demand():
    """A commitment for an instance that runs on demand changes nothing that is ordered."""
    tariffs = (ON_DEMAND, Tariff(PurchaseOption.COMMITMENT, 0.4, "1 y", break_even_ratio=0.4))
    held = {"running": {"a": 4}, "running_by_purchase": {("a", "on_demand"): 4}}
    pool = pool_of("a", 1.0, tariffs=tariffs)
    problem = problem_of(pool, planned=(4.0,), limits=Limits(max_changed_instances=0), low_band=False, **held)
    assert fleet(problem) == {("a", "commitment"): 4}


@pytest.mark.parametrize(
    ("tariff", "count", "why"), [(ON_DEMAND, 1, "survive: instance"), (SPOT, 2, "spot_reroute")], ids=["demand", "spot"]
)
def test_spare_is_there_for_the_rule_that_asks_most(tariff, count, why):
    """On demand one more is kept for any instance that fails; on spot two, for those of a zone are withdrawn together."""
    pool = pool_of("x", 1.0, tariff.usd_per_hour, zones=3, tariffs=(tariff,))
    problem = problem_of(pool, planned=(4.0,), limits=Limits(min_replicas=2))
    (spare,) = spare_of(problem, optimise(problem))

    assert (spare.instances, spare.why) == (count, why)
