"""What is confirmed, planned and generated is one thing: weights, zones, timetable, start-up time and rates."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.codegen.container import Wanted
from advisor.codegen.model import Scaling
from advisor.codegen.selection import choose, per_mille
from advisor.codegen.stack import stacks_of
from advisor.performance.model import shipped_model
from advisor.plan.fleet.choose import forecast_of
from advisor.plan.fleet.chosen import Policy
from advisor.plan.fleet.describe import fleet_of
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.from_plan import planned
from advisor.plan.replay.groups import Confirmed, routes_of
from advisor.plan.replay.validator import ReplayValidator
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.units import HOURS_PER_WEEK
from advisor.workload.values import DeclaredDemand, Limits
from builders import catalog_of, offer, workload
from codegen.plans import NIGHTS_AND_WEEKENDS, make_fleet_plan, make_group, make_option, make_plan
from plan.fleet.posing import posed_of
from plan.fleet.test_choose import plan_of, week_of_days
from plan.replay.test_confirm import ON_DEMAND, SHORT, asked_of

ONE_POINT = 0.01
ROUNDING = 0.001 + 1e-6
"""A share is written in whole per mille; a plan's file keeps six digits."""
EAST = catalog_of(
    offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8), offer("p5.4xlarge", on_demand=6.9),
    offer("g5.xlarge", on_demand=1.0),
)  # fmt: skip
TWO_REGIONS = catalog_of(
    offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8),
    offer("g6e.xlarge", "us-west-2", on_demand=1.86), offer("p5.4xlarge", "us-west-2", on_demand=6.9),
)  # fmt: skip
ASKED = asked_of(precisions=("fp8",))
EAST_AND_WEST = replace(ASKED, users=(("US-east", 0.7), ("US-west", 0.3)), limits=Limits(max_regions=2))


def stacks(plan, rank=None):
    """What is generated for a plan, whatever its replay finds: weights and numbers are looked at."""
    wanted = Wanted(rank=rank, unconfirmed=True)
    return stacks_of(plan, choose(plan, wanted, lambda _choice: None), wanted)


def given_fleet(problem, counts):
    """So many instances of each pool on demand at all hours; requests of each place by capacity."""
    allocations = tuple(
        Allocation(pool, pool.tariffs[0], (count,) * len(problem.hours))
        for pool, count in zip(problem.pools, counts, strict=True)
        if count
    )
    capacity = {one.pool.key: mix_rate(problem, one.pool) * one.instances[-1] for one in allocations}
    shape = (len(problem.hours), len(problem.place_shares), 1)
    shares = {key: np.full(shape, one / sum(capacity.values())) for key, one in capacity.items()}
    usd = objective_usd_per_month(problem, allocations, shares)
    return FleetSolution(allocations, shares, usd, usd, proven=True)


def confirmed_and_planned(asked, catalog, counts):
    """A given fleet with what its confirmation routes by, and what a plan says of it."""
    formulation, context = posed_of(asked, catalog, **SHORT)
    each = [counts.pop(0) if counts else 0 for _ in formulation.problem.pools]
    solution = given_fleet(formulation.problem, each)
    search = ReplayValidator(formulation, context)
    found = Confirmed(solution, formulation, search.replayed(formulation, solution))
    return found, fleet_of(found, context, forecast_of(context.requirements), search)


def routed(found):
    """Share of all requests that the confirmation sends to each group."""
    shares = {}
    for route in routes_of(found.formulation, found.solution):
        for name, share in route.shares.items():
            place = found.formulation.problem.place_shares[route.place]
            shares[name] = shares.get(name, 0.0) + place * share
    return shares


@pytest.mark.parametrize(
    ("asked", "catalog", "counts"),
    [
        (ASKED, EAST, [4]),
        (ASKED, EAST, [3, 2, 1, 1]),
        (ASKED, EAST, [1, 1, 1, 0]),
        (ASKED, EAST, [90, 0, 1, 60]),
        (ASKED, TWO_REGIONS, [2, 3, 5, 1]),
        (EAST_AND_WEST, TWO_REGIONS, [2, 3, 5, 1]),
        (EAST_AND_WEST, TWO_REGIONS, [3, 0, 3, 0]),
    ],
)
def test_requests_are_replayed_planned_and_generated_by_the_same_weights(asked, catalog, counts):
    """The shares of the plan are those of its replay exactly, and the weights of the code within a per mille."""
    found, chosen = confirmed_and_planned(asked, catalog, list(counts))
    plan = replace(make_plan(make_option()), fleet=chosen)
    (stack,) = stacks(plan)

    shares = {group.name: group.request_shares[-1] for group in chosen.groups}
    assert routed(found) == pytest.approx(shares, abs=1e-9)
    generated = {(one.region, one.instance_type): one.weight for one in stack.groups}
    assert len(generated) == len(chosen.groups)
    for group in chosen.groups:
        weight = generated[group.region, group.instance_type]
        assert weight >= 1
        assert weight / 1000 == pytest.approx(group.request_shares[-1], abs=ROUNDING)


@pytest.mark.parametrize("counts", [[4], [3, 2, 1, 1], [90, 0, 1, 60], [2, 3, 5, 1]])
def test_what_load_balancers_and_names_take_is_the_plan_within_half_a_point(counts):
    """A target takes weights up to 999 and a record up to 255: each share is that of the plan within 0.5 points."""
    _, chosen = confirmed_and_planned(ASKED, TWO_REGIONS, list(counts))
    (stack,) = stacks(replace(make_plan(make_option()), fleet=chosen))

    def planned_of(key):
        return sum(one.request_shares[-1] for one in chosen.groups if key(one))

    records = {one.name: math.ceil(one.weight * 255 / 1000) for one in stack.regions}
    assert all(1 <= weight <= 255 for weight in records.values())
    for region in stack.regions:
        of_region = planned_of(lambda one, name=region.name: one.region == name)
        assert records[region.name] / sum(records.values()) == pytest.approx(of_region, abs=ONE_POINT / 2)
        targets = {one.key: min(one.weight, 999) for one in stack.backends if one.region == region.name}
        for group in stack.groups:
            if group.region == region.name:
                own = planned_of(lambda one, at=group: (one.region, one.instance_type) == (at.region, at.instance_type))
                written = targets[group.backend] / sum(targets.values())
                assert written == pytest.approx(own / of_region, abs=ONE_POINT / 2)


def test_a_plan_that_is_read_back_is_replayed_and_generated_by_the_same_weights():
    """The replay command and the generator read the same shares of the plan's file."""
    plan = plan_of(workload(demand=DeclaredDemand(30, 30, 800, 200), purchase=ON_DEMAND), EAST)
    (route,) = planned(plan, EAST, shipped_model()).routes
    (stack,) = stacks(plan)
    assert sum(one.weight for one in stack.groups) == 1000
    weights = {one.instance_type: one.weight for one in stack.groups}
    assert len(weights) == len(plan.fleet.groups) > 1
    for group in plan.fleet.groups:
        assert weights[group.instance_type] / 1000 == pytest.approx(route.shares[group.name], abs=ROUNDING)


@given(st.dictionaries(st.integers(), st.floats(0, 1e6), min_size=1, max_size=40))
def test_per_mille_is_whole_adds_up_and_leaves_nobody_out(shares):
    """Whole numbers of 1 or more that add up to 1000, each within 1 of its share unless that is below 1."""
    weights = per_mille(shares)
    total = sum(shares.values())
    assert sum(weights.values()) == 1000
    assert min(weights.values()) >= 1
    small = sum(1000 * share < total for share in shares.values())
    for key, share in shares.items():
        if total > 0 and 1000 * share >= total:
            assert abs(weights[key] - 1000 * share / total) < 1 + small


@pytest.fixture(scope="module")
def weekly():
    """A plan over hours of a week, with options on demand and on spot."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g6.xlarge", on_demand=0.8, spot=0.3))
    return plan_of(workload(limits=Limits(min_replicas=2, zones=2)), catalog, week_of_days(20.0))


def in_force(group, hour):
    """Instances that the timetable of a group has ordered when an hour of the week begins."""
    if not group.schedule:
        return group.instances
    entries = [
        ((day - 1) * 1440 + one.hour * 60 + one.minute, one.instances) for one in group.schedule for day in one.weekdays
    ]
    before = [one for one in entries if one[0] <= 60 * hour]
    return max(before or entries)[1]


def test_the_timetable_of_the_code_is_that_of_the_plan(weekly):
    """Each hour has what is planned for it, ordered ahead by the cold start; least and most are those of the plan."""
    assert weekly.fleet.scaling.recommended is Policy.SCHEDULED
    for rank in (None, *(option.rank for option in weekly.options)):
        for group in (group for stack in stacks(weekly, rank) for group in stack.groups):
            hours = _planned_hours(weekly, rank, group)
            assert all(in_force(group, hour) >= hours[hour] for hour in range(HOURS_PER_WEEK))
            assert (group.min_instances, group.instances) == (min(hours), max(hours))
            assert bool(group.schedule) == (len(set(hours)) > 1)


def _planned_hours(plan, rank, group):
    if rank is not None:
        counts = next(one for one in plan.options if one.rank == rank).instances_by_class
    else:
        of_group = [
            one.instances
            for one in plan.fleet.groups
            if one.instance_type == group.instance_type and (one.purchase == "spot") == group.is_spot
        ]
        counts = [sum(at) for at in zip(*of_group, strict=True)]
    return [counts[at] for at in plan.fleet.schedule]


def test_instances_start_as_long_ahead_as_the_code_waits_for_them(weekly):
    """Start-up time, grace of health checks and lead of the timetable are the plan's cold start at its upper edge."""
    scheduled = {one.name: one.ordered_minutes_ahead for one in weekly.fleet.scaling.schedule}
    for group in weekly.fleet.groups:
        assert scheduled[group.name] == math.ceil(group.cold_start_seconds.high / 60)
    (stack,) = stacks(weekly)
    assert {one.start_seconds for one in stack.groups} == {60 * minutes for minutes in scheduled.values()}
    for option in weekly.options:
        if option.minutes_ahead:
            (stack,) = stacks(weekly, option.rank)
            assert stack.start_seconds == 60 * option.minutes_ahead


def test_instances_aim_at_the_rate_that_is_planned(weekly):
    """After bursts, network and what the replay asked for: not what a replica sustains at best."""
    for option in weekly.options:
        (stack,) = stacks(weekly, option.rank)
        (group,) = stack.groups
        assert group.requests_per_second_per_instance == pytest.approx(option.planned_requests_per_second_per_instance)
    (group,) = stacks(make_fleet_plan(make_group(replicas_per_instance=2)))[0].groups
    assert group.requests_per_second_per_instance == pytest.approx(2.4)


def test_a_plan_without_a_cold_start_has_an_estimate_on_the_safe_side():
    """900 s + 14.96 GiB / 0.1 = 1049.6 s, in minutes 1080; with one, its upper edge of 700 s is 720."""
    (estimated,) = stacks(make_fleet_plan(make_group(cold_start_seconds=None)))[0].groups
    (known,) = stacks(make_fleet_plan(make_group()))[0].groups
    assert (estimated.start_seconds, known.start_seconds) == (1080, 720)


@pytest.mark.parametrize(
    ("asked", "changes", "expected"),
    [
        (1, {}, 1),
        (1, {"purchase": "spot"}, 4),
        (2, {}, 4),
        (3, {"zones": 2}, 2),
        (1, {"zones": 1}, 1),
    ],
    ids=["on demand, none asked for", "spot", "asked for", "sold in fewer", "one"],
)
def test_groups_are_spread_as_planned_where_the_plan_counts_on_it(asked, changes, expected):
    """Zones of the plan where zones or spot decide; the region has as many, and no fewer than asked for."""
    group = make_group(**({"zones": 4} | changes))
    plan = make_fleet_plan(group, zones=asked)
    (stack,) = stacks(plan)
    assert stack.groups[0].zones == expected
    assert stack.regions[0].zones == max(expected, asked)
    assert stack.regions[0].subnets == max(expected, asked, 2)


@pytest.mark.parametrize(("committed", "bought", "expected"), [(1, 1, 2), (2, 1, 3), (3, 3, 4), (1, 4, 4)])
def test_what_is_bought_in_two_ways_is_one_group_over_its_zones(committed, bought, expected):
    """As many zones as instances, of the four that sell the type: subnets are asked for as the plan counts on them."""
    names = tuple(f"use1-az{number}" for number in range(1, 5))
    groups = [
        make_group(
            name=f"g/{purchase}", purchase=purchase, instances=(count, count), zones=min(count, 4), zone_names=names,
            commitment="1 year" if purchase == "commitment" else "", request_shares=(0.5, 0.5),
        )
        for purchase, count in (("commitment", committed), ("on_demand", bought))
    ]  # fmt: skip
    (stack,) = stacks(make_fleet_plan(*groups, zones=2))
    assert [group.zones for group in stack.groups] == [expected]
    assert stack.regions[0].subnets == expected


def test_a_plan_that_must_survive_a_zone_is_spread_as_planned():
    """It counts on zones without asking for a number."""
    plan = make_fleet_plan(make_group(zones=3), zones=1)
    limits = plan.workload["limits"] | {"survive": "zone"}
    (stack,) = stacks(replace(plan, workload=plan.workload | {"limits": limits}))
    assert stack.groups[0].zones == 3


def test_instances_that_differ_in_what_is_paid_share_their_zones():
    """Two committed in two zones and four on demand in three are spread over the three that sell the type."""
    names = ("use1-az1", "use1-az2", "use1-az4")
    groups = [
        make_group(zones=zones, zone_names=names, purchase=purchase)
        for zones, purchase in ((2, "commitment"), (3, "on_demand"))
    ]
    (group,) = stacks(make_fleet_plan(*groups, zones=2))[0].groups
    assert group.zones == 3
    assert group.zone_names == names


def test_what_is_committed_runs_beside_what_is_on_demand():
    """Names of groups end with their commitment: two of them committed and two to four on demand are one group."""
    pool = "aws/us-east-1/g6.xlarge/bf16/tp1"
    label = "Compute Savings Plan, 1 y, no upfront"
    groups = [
        make_group(name=f"{pool}/on_demand", request_shares=(0.5, 2 / 3)),
        make_group(
            name=f"{pool}/commitment/{label}", purchase="commitment", commitment=label, instances=(2, 2),
            request_shares=(0.5, 1 / 3),
        ),
    ]  # fmt: skip
    (stack,) = stacks(make_fleet_plan(*groups))
    (group,) = stack.groups
    assert (group.min_instances, group.instances, group.committed_instances) == (4, 6, 2)
    assert (group.weight, group.commitments) == (1000, (label,))


def test_reactive_plans_of_older_files_still_generate():
    """Nothing recommends reactive scaling any more; a file that does is generated as it says."""
    (stack,) = stacks(make_fleet_plan(make_group(), policy=Policy.REACTIVE))
    (group,) = stack.groups
    assert stack.scaling is Scaling.REACTIVE
    assert (group.min_instances, group.instances, group.schedule) == (2, 4, ())
    assert set(NIGHTS_AND_WEEKENDS) == {0, 1}
