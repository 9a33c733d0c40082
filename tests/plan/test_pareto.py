"""The cost of a tighter target; every point is held against a plan made with it."""

from dataclasses import replace

import pytest

from advisor.demand.lengths import declared_demand
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.pipeline import market_for, plan_question, under_targets
from advisor.plan.explain.pareto import OF_TOKENS, Fastest, Front, Point, pareto_front
from advisor.plan.request import PlanRequest
from advisor.report.explain_plan import front_section
from advisor.workload.values import Limits, Slo
from builders import catalog_of, offer, workload

CATALOG = catalog_of(
    offer("g4dn.xlarge", on_demand=0.526),
    offer("g6.xlarge", on_demand=0.8),
    offer("g6e.xlarge", on_demand=1.86),
    offer("p5.48xlarge", on_demand=55.0),
    offer("g5.xlarge", on_demand=None),
)


def asked(**changes) -> PlanRequest:
    """The builder's workload as a question."""
    one = workload(**changes)
    return PlanRequest(one, find_model(one.model), declared_demand(5, 8, 800, 200))


def front_of(question: PlanRequest, target: str, catalog=CATALOG):
    """Cost against a target, with the shipped calibration."""

    def under(targets_ms):
        return market_for(under_targets(question, targets_ms), catalog, shipped_model())

    def anywhere(targets_ms):
        placeless = replace(question, workload=replace(question.workload, users=()))
        return market_for(under_targets(placeless, targets_ms), catalog, shipped_model())

    return pareto_front(under, anywhere, target, getattr(question.workload.slo, f"{target}_ms"))


def total(question: PlanRequest, target: str, target_ms: float) -> float:
    """What the recommendation costs with a target; infinite when there is none."""
    plan = plan_question(under_targets(question, {f"{target}_ms": target_ms}), CATALOG)
    return plan.fleet.cost.total_usd_per_month if plan.fleet else float("inf")


@pytest.mark.sampled(6)
@pytest.mark.parametrize("target", OF_TOKENS)
def test_every_point_is_what_a_plan_costs(target):
    """A plan with a point's latency as its target costs what the point says, to the cent."""
    question = asked()
    front = front_of(question, target)

    assert len(front.points) > 2
    for point in front.points:
        assert (point.fleet_instances > point.instances) == (point.groups > 1)
        assert total(question, target, point.latency_ms) == pytest.approx(point.total_usd_per_month, abs=0.01)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("target", ["ttft_p95", "tpot_p95"])
def test_the_stated_target_is_the_plan(target):
    """One point is marked as the workload's own target, and it is the fleet that the plan recommends."""
    question = asked()
    (stated,) = [point for point in front_of(question, target).points if point.stated]
    plan = plan_question(question, CATALOG)

    assert stated.latency_ms == getattr(question.workload.slo, f"{target}_ms")
    assert stated.total_usd_per_month == pytest.approx(plan.fleet.cost.total_usd_per_month, abs=0.01)
    assert stated.groups == len(plan.fleet.groups)
    assert stated.instance_type in {group.instance_type for group in plan.fleet.groups}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("target", OF_TOKENS)
def test_no_point_is_dominated(target):
    """Each point is tighter and dearer than the one before, beside the stated one, which may be as cheap as a tighter."""
    front = front_of(asked(), target)
    latencies = [point.latency_ms for point in front.points]
    totals = [point.total_usd_per_month for point in front.points if not point.stated]

    assert latencies == sorted(set(latencies), reverse=True)
    assert totals == sorted(set(totals))
    assert latencies[-1] >= front.fastest.latency_ms


@pytest.mark.sampled(3)
@pytest.mark.parametrize("target", OF_TOKENS)
def test_below_the_physical_minimum_nothing_serves(target):
    """The minimum named is the shortest latency of all candidates: less cannot be had at any price."""
    question = replace(asked(), workload=workload(slo=Slo()))
    front = front_of(question, target)

    assert total(question, target, front.fastest.latency_ms * 0.999) == float("inf")
    assert total(question, target, front.fastest.latency_ms * 1.2) < float("inf")


def test_a_point_says_the_fewest_instances_beside_the_most():
    """Where their number follows the hours, as the plan itself says."""
    point = Point(
        250.0,
        900.0,
        "aws",
        "us-east-1",
        "g6.xlarge",
        "on_demand",
        "fp8",
        1,
        4,
        4,
        1,
        stated=True,
        instances_by_class=(1, 4),
    )
    fastest = Fastest(20.0, "aws", "g6.xlarge", "fp8", 1)
    steady = replace(point, instances_by_class=())
    section = front_section(Front("ttft_p95", 250.0, fastest, (point, steady)))

    assert [row[-1] for row in section.rows] == ["1…4", "4"]


def test_a_model_that_nothing_holds_has_no_front():
    """Where no candidate holds the model there is neither a minimum nor a point."""
    nothing = catalog_of(offer("g4dn.xlarge", region="us-west-2", on_demand=None))
    front = front_of(asked(precisions=("bf16",)), "ttft_p95", nothing)

    assert front.fastest is None
    assert front.points == ()


def test_the_front_keeps_to_the_residency():
    """A cheaper offer in a country that may not process the requests is on no point of the front."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8), offer("g5.xlarge", region="ap-southeast-1", on_demand=0.1))
    front = front_of(asked(residency=("US",)), "tpot_p95", catalog)

    assert {point.instance_type for point in front.points} == {"g6.xlarge"}


def test_users_far_from_every_machine_do_not_hide_the_fastest():
    """The way to users is longer than an impossible target, and no reason to say that nothing holds the model."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8))
    front = front_of(asked(users=(("DE", 1.0),), slo=Slo(ttft_p95_ms=4000)), "ttft_p95", catalog)

    assert front.fastest == front_of(asked(), "ttft_p95", catalog).fastest
    assert front.points


def test_a_front_without_a_point_says_why():
    """A budget that no target's fleet keeps to is named in place of rows."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8))
    front = front_of(asked(limits=Limits(max_usd_per_month=10)), "tpot_p95", catalog)
    section = front_section(front)

    assert front.points == ()
    assert section.rows == ()
    assert section.lines[-1] == "no target has a fleet: no fleet that was found keeps to max_usd_per_month"
