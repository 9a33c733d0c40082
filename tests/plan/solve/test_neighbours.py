"""Fleets next to a given one: cheaper, and within every limit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.plan.problem.constraints import uses
from advisor.plan.problem.formulas import requests_per_month
from advisor.plan.problem.values import Allocation, FleetSolution, Infeasible, PurchaseOption, Tariff
from advisor.plan.replay.groups import instances_of
from advisor.plan.solve.neighbours import MOST, cheaper_neighbours, fewer_at_times, keeps_to_all, topped_up
from advisor.workload.values import Limits
from plan.fleet.exhaustive import cost_of, counts_of, usd_of_request
from plan.fleet.problems import LIMITS, limited, optimise, pool_of, problem_of, problems, scaled

CENTS = 0.06
FLOORS = ("min_replicas", "zones", "survive", "spot_reroute", "on_demand_base")
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("family", ["nothing", "min_replicas", "zones", "survive_instance", "budget", "power"])
@few
@given(data=st.data())
def test_neighbours_are_cheaper_and_keep_to_every_limit(family, data):
    """Of a fleet with room, for half as many requests again: an independent check prices each of them the same.

    Neighbours are loaded by capacity; other loads may be needed, or be cheaper where requests cost more on one pool.
    """
    problem = data.draw(problems(LIMITS[family], places=(1,), buckets=(0,)))
    fleet = optimise(limited(scaled(problem, 1.5), max_usd_per_month=None, max_kw=None))
    if isinstance(fleet, Infeasible):
        return
    for found in cheaper_neighbours(problem, fleet):
        if not keeps_to_all(problem, found):
            continue
        assert all(one.used >= one.limit - 1e-6 for one in uses(problem, found) if one.name in FLOORS)
        counts = counts_of(problem, found)
        cost = cost_of(problem, counts)
        assert cost is not None
        assert abs(found.objective_usd_per_month - cost) <= CENTS + _other_loads_usd(problem, counts)
        assert cost < fleet.objective_usd_per_month


def _other_loads_usd(problem, counts):
    """Most that other loads save a month: all requests on the pool of a fleet that they cost the least on."""
    used = [g for g in range(len(problem.pools)) if any(any(counts[key]) for key in counts if key[0] == g)]
    saved = 0.0
    for h, hour in enumerate(problem.hours):
        usd = [usd_of_request(problem, counts, g, h) for g in used]
        saved += (max(usd) - min(usd)) * requests_per_month(hour)
    return saved


def test_instances_are_left_out_and_exchanged():
    """Of four large ones: three or two, or one exchanged for as many smaller ones as still cost less."""
    large, small = (
        pool_of("a/r/large", 3.0, 3.0, type_in_region="a/r/large"),
        pool_of("a/r/small", 1.0, 1.1, type_in_region="a/r/small"),
    )
    fleet = optimise(problem_of(large, planned=(12.0,)))
    problem = problem_of(large, small, planned=(5.0,))

    found = [
        {one.pool.key: one.instances for one in each.allocations} for each in cheaper_neighbours(problem, fleet)
    ]  # fmt: skip

    assert {"a/r/large": (3,)} in found
    assert {"a/r/large": (2,)} in found
    assert {"a/r/large": (3,), "a/r/small": (2,)} in found


def test_other_accelerators_hide_no_neighbour_of_the_own():
    """Whatever else is sold at prices between: each neighbour of the question with its own accelerator alone is there."""
    own = [
        replace(pool_of(f"a/r/own-{usd}", rate, usd, type_in_region=f"a/r/own-{usd}"), supply="a/r/own")
        for usd, rate in ((6.0, 6.0), (2.0, 1.5), (1.0, 1.0))
    ]
    others = [
        replace(pool_of(f"a/r/other-{usd}", usd / 2, usd, type_in_region=f"a/r/other-{usd}"), supply=f"a/r/other-{usd}")
        for usd in (2.5, 3.0, 3.5, 4.0, 5.0, 7.0, 8.0, 9.0)
    ]
    fleet = optimise(problem_of(own[0], planned=(12.0,)))

    alone = cheaper_neighbours(problem_of(*own, planned=(7.0,)), fleet)
    wide = cheaper_neighbours(problem_of(*own, *others, planned=(7.0,)), fleet)

    assert any(len(each.allocations) > 1 for each in alone)
    assert {instances_of(each) for each in alone} <= {instances_of(each) for each in wide}
    assert len(wide) <= 2 * MOST


def test_a_fleet_that_fails_is_topped_up_below_the_cost_of_one_that_holds():
    """As many of another pool as the difference pays for, and a few fewer."""
    large, small = (
        pool_of("a/r/large", 3.0, 3.0, type_in_region="a/r/large"),
        pool_of("a/r/small", 1.0, 0.5, type_in_region="a/r/small"),
    )
    problem = problem_of(large, small, planned=(3.0,))
    fleet = optimise(problem_of(large, planned=(3.0,)))
    below = fleet.objective_usd_per_month + 2.1 * 0.5 * 730

    found = topped_up(problem, fleet, below)

    assert [one.allocations[1].instances for one in found] == [(2,), (1,)]
    assert all(one.objective_usd_per_month < below for one in found)


def test_a_fleet_is_topped_up_with_what_is_owned_before_any_is_bought():
    """Of four more machines three are owned, and cost nothing; a fleet that buys them has one that does not next to it."""
    large = pool_of("a/r/large", 3.0, 3.0, type_in_region="a/r/large")
    bought = pool_of("a/r/small", 1.0, 0.5, type_in_region="a/r/small")
    small = replace(bought, tariffs=(Tariff(PurchaseOption.OWNED, 0.0, "owned"), *bought.tariffs))
    problem = replace(problem_of(large, small, planned=(3.0,)), owned={"a/r/small": 3})
    fleet = optimise(problem_of(large, planned=(3.0,)))

    found = topped_up(problem, fleet, fleet.objective_usd_per_month + 4.1 * 0.5 * 730)
    paid = [{group.tariff.paid.value: group.instances for group in each.allocations[1:]} for each in found]
    assert paid[0] == {"on_demand": (1,), "owned": (3,)}
    assert found[0].objective_usd_per_month == pytest.approx(fleet.objective_usd_per_month + 0.5 * 730, abs=CENTS)

    on_demand = optimise(problem_of(bought, planned=(3.0,)))
    (same, *_) = cheaper_neighbours(problem, on_demand)[:1]
    assert [group.tariff.paid for group in same.allocations] == [PurchaseOption.OWNED]
    assert keeps_to_all(problem, same)


def test_a_fleet_is_topped_up_with_no_type_too_many_and_with_nothing_too_far_from_users():
    """Where one type is allowed it stays one; a pool that some users cannot be served from is no part of a fleet."""
    large, small = (
        pool_of("a/r/large", 3.0, 3.0, type_in_region="a/r/large"),
        pool_of("a/r/small", 1.0, 0.5, type_in_region="a/r/small"),
    )
    fleet = optimise(problem_of(large, planned=(3.0,)))
    below = fleet.objective_usd_per_month + 2.1 * 0.5 * 730
    one_type = problem_of(large, small, planned=(3.0,), limits=Limits(max_instance_types=1))
    far = replace(small, mix_rates=np.array([1.0, 0.0]))
    near = replace(large, mix_rates=np.array([3.0, 3.0]))
    places = replace(problem_of(near, far, planned=(3.0,)), place_shares=np.array([0.5, 0.5]))

    assert topped_up(one_type, fleet, below) == []
    assert topped_up(places, optimise(replace(places, pools=(near,))), below) == []


def test_a_fleet_is_topped_up_on_its_own_cloud_alone():
    """Where clouds are not mixed, however many regions a fleet may be in: of two equal pools the one on its cloud."""
    large, own = (
        pool_of("a/r/large", 3.0, 3.0, type_in_region="a/r/large"),
        pool_of("a/s/small", 1.0, 0.5, type_in_region="a/s/small"),
    )
    other = pool_of("b/r/small", 1.0, 0.4, type_in_region="b/r/small")
    fleet = optimise(problem_of(large, planned=(3.0,)))
    below = fleet.objective_usd_per_month + 1.1 * 0.5 * 730
    mixed = problem_of(large, own, other, planned=(3.0,))
    of_one_cloud = replace(mixed, mix_providers=False)

    found = topped_up(of_one_cloud, fleet, below)

    assert [one.allocations[1].pool.key for one in found] == ["a/s/small"]
    of_two = next(one for one in topped_up(mixed, fleet, below) if one.allocations[1].pool.key == "b/r/small")
    assert keeps_to_all(mixed, of_two)
    assert not keeps_to_all(of_one_cloud, of_two)


def test_nothing_is_next_to_a_fleet_whose_changes_are_counted():
    """Limits on changes and on types leave the search to the optimiser."""
    pool = pool_of("a/r/large", 1.0, 1.0, type_in_region="a/r/large")
    problem = problem_of(pool, planned=(4.0,), limits=Limits(max_changed_instances=2), running={"a/r/large": 4})

    assert cheaper_neighbours(problem, optimise(limited(problem, max_changed_instances=None))) == []


def test_instances_that_a_floor_asks_for_stay_in_quiet_hours():
    """Three replicas at all hours: the fleet of two in the quiet ones is cheaper and none."""
    pool = pool_of("a/r/one", 3.0, 3.0, type_in_region="a/r/one")
    problem = limited(problem_of(pool, planned=(1.0, 9.0)), min_replicas=3)
    fleet = optimise(problem)
    (group,) = fleet.allocations
    fewer = replace(fleet, allocations=(replace(group, instances=(2, *group.instances[1:])),))

    assert keeps_to_all(problem, fleet)
    assert not keeps_to_all(problem, fewer)


@pytest.mark.parametrize(("most", "found"), [(None, [0, 1]), (20, [0, 1]), (1, [0, 1]), (0, [0])])
def test_a_stated_limit_on_changes_leaves_out_what_changes_more_and_nothing_else(most, found):
    """One of six may go where five run today, and one more where as many may be stopped."""
    pool = pool_of("a/r/x", 3.0, 3.0, type_in_region="a/r/x")
    fleet = optimise(problem_of(pool, planned=(18.0,)))
    limits = Limits(max_changed_instances=most)
    problem = replace(problem_of(pool, planned=(12.0,), limits=limits), running={"a/r/x": 5})
    assert fleet.allocations[0].instances == (6,)

    near = cheaper_neighbours(problem, fleet)

    assert sorted(5 - each.allocations[0].instances[0] for each in near) == found
    assert all(keeps_to_all(problem, each) for each in near)
    assert keeps_to_all(problem, fleet) is (most is None or most >= 1)


def test_changes_are_counted_against_what_runs_today():
    """Not against the fleet itself, whose instances bound its program."""
    other, pool = pool_of("a/r/y", 3.0, 3.0, type_in_region="a/r/y"), pool_of("a/r/x", 3.0, 3.0, type_in_region="a/r/x")
    fleet = optimise(problem_of(other, planned=(12.0,)))
    asked = problem_of(other, pool, planned=(12.0,))
    running = {"a/r/x": 4}
    for most, allowed in ((7, False), (8, True)):
        limits = Limits(max_changed_instances=most)
        assert keeps_to_all(replace(asked, limits=limits, running=running), fleet) is allowed


def test_a_committed_instance_is_on_demand_in_busier_hours_instead():
    """Of two committed and one by the hour: one committed, and one or two by the hour from each class on."""
    hourly, committed = (
        Tariff(paid, usd) for paid, usd in ((PurchaseOption.ON_DEMAND, 3.0), (PurchaseOption.COMMITMENT, 2.0))
    )
    pool = pool_of("a/r/m", 1.0, tariffs=(hourly, committed))
    problem = problem_of(pool, planned=(0.5, 1.5, 3.0))
    groups = (Allocation(pool, hourly, (0, 0, 1)), Allocation(pool, committed, (2, 2, 2)))
    fleets = fewer_at_times(problem, FleetSolution(groups, {pool.key: np.ones((3, 1, 1))}, 0.0, 0.0, proven=False))
    instances = [{group.tariff.paid.value: group.instances for group in fleet.allocations} for fleet in fleets]

    assert {"on_demand": (0, 1, 2), "commitment": (1, 1, 1)} in instances
    assert {"on_demand": (0, 0, 2), "commitment": (1, 1, 1)} in instances
