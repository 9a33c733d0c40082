"""From a plan to what is replayed: its weights, and which groups a load balancer takes for one."""

import math
from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.performance.model import shipped_model
from advisor.pipeline import plan_for
from advisor.plan.replay.from_plan import planned
from advisor.workload.values import DeclaredDemand, Limits, Routing, Slo
from builders import catalog_of, offer, workload
from plan.fleet.test_choose import plan_of, week_of_days

CATALOG = catalog_of(offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g6e.2xlarge", on_demand=2.24, spot=0.8))


def test_requests_are_routed_by_the_shares_that_the_plan_holds():
    """The one route of a plan without buckets has the shares of the busiest hours, which the generated code writes."""
    plan = plan_for(workload(demand=DeclaredDemand(30, 30, 800, 200)), CATALOG)

    (route,) = planned(plan, CATALOG, shipped_model()).routes

    assert route.max_input_tokens == math.inf
    assert route.shares == {group.name: group.request_shares[-1] for group in plan.fleet.groups}
    assert sum(route.shares.values()) == pytest.approx(1.0)


def test_groups_that_serve_alike_in_a_region_are_one_target():
    """What is paid, and the size of the machine around one accelerator, make no other target; another region does."""
    plan = plan_for(workload(demand=DeclaredDemand(30, 30, 800, 200), purchase=(Purchase.ON_DEMAND,)), CATALOG)
    (group,) = plan.fleet.groups
    groups = [
        replace(group, name="a"),
        replace(group, name="b", purchase="spot"),
        replace(group, name="c", instance_type="g6e.2xlarge"),
        replace(group, name="d", region="us-west-2"),
    ]
    several = replace(plan, fleet=replace(plan.fleet, groups=tuple(groups)))

    targets = [one.target for one in planned(several, CATALOG, shipped_model()).groups]

    assert targets[0] == targets[1] == targets[2] != targets[3]


def test_an_instance_is_billed_after_its_last_hour_as_long_as_in_the_plan():
    """The replay of a plan counts the minutes of a stop that the plan pays for and the schedule allows."""
    stated = DeclaredDemand(20, 40, 800, 200)
    asked = workload(purchase=(Purchase.ON_DEMAND,), instance_types=("g6e.xlarge",), demand=stated)
    catalog = load_catalog()
    plan = plan_of(asked, catalog, week_of_days(40.0))
    (scheduled,) = plan.fleet.scaling.schedule
    (group,) = planned(plan, catalog, shipped_model()).groups

    assert len(scheduled.changes) > 1
    assert scheduled.stopped_minutes_after > 0
    assert group.stop_seconds == scheduled.stopped_minutes_after * 60


def test_prompts_are_routed_by_the_shares_of_their_bucket():
    """With routing by prompt length there is a route for each bucket, with the plan's shares of it."""
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.8))
    asked = workload(
        purchase=(Purchase.ON_DEMAND,), routing=Routing.BY_PROMPT_LENGTH, limits=Limits(),
        slo=Slo(ttft_p95_ms=2000, tpot_p95_ms=100), demand=DeclaredDemand(5, 8, 800, 200),
    )  # fmt: skip
    plan = plan_for(asked, catalog)

    routes = planned(plan, catalog, shipped_model()).routes

    edges = plan.fleet.bucket_max_input_tokens
    assert len(routes) == max(len(edges), 1)
    for at, route in enumerate(routes if edges else ()):
        assert route.shares == {one.name: one.bucket_shares[at] for one in plan.fleet.groups if one.bucket_shares[at]}
