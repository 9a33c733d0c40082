"""The cost of a tighter target; every point is held against a plan made with it."""

from dataclasses import replace

import pytest

from advisor.demand.declared import declared_demand
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.pipeline import plan_question
from advisor.plan.explain.pareto import TARGETS, pareto_front
from advisor.plan.question import Question
from advisor.workload.values import Slo
from builders import catalog_of, offer, workload

CATALOG = catalog_of(
    offer("g4dn.xlarge", on_demand=0.526),
    offer("g6.xlarge", on_demand=0.8),
    offer("g6e.xlarge", on_demand=1.86),
    offer("p5.48xlarge", on_demand=55.0),
    offer("g5.xlarge", on_demand=None),
)


def asked(**changes) -> Question:
    """The builder's workload as a question."""
    one = workload(**changes)
    return Question(one, find_model(one.model), declared_demand(5, 8, 800, 200))


def total(question: Question, target: str, target_ms: float) -> float:
    """What the recommendation costs with a target; infinite when there is none."""
    slo = replace(question.workload.slo, **{f"{target}_ms": target_ms})
    plan = plan_question(replace(question, workload=replace(question.workload, slo=slo)), CATALOG)
    return plan.recommended.cost.total_usd_per_month if plan.recommended else float("inf")


@pytest.mark.parametrize("target", TARGETS)
def test_every_point_is_what_a_plan_costs(target):
    """A plan with a point's latency as its target costs what the point says, and just below it no less."""
    question = asked()
    front = pareto_front(question, CATALOG, shipped_model(), target)

    assert len(front.points) > 2
    for point in front.points:
        assert total(question, target, point.latency_ms * 1.00001) == point.total_usd_per_month
        assert total(question, target, point.latency_ms * 0.99) >= point.total_usd_per_month


@pytest.mark.parametrize("target", TARGETS)
def test_no_point_is_dominated(target):
    """Each point is faster and dearer than the one before, and slower than physics allows."""
    front = pareto_front(asked(), CATALOG, shipped_model(), target)
    latencies = [point.latency_ms for point in front.points]
    totals = [point.total_usd_per_month for point in front.points]

    assert latencies == sorted(set(latencies), reverse=True)
    assert totals == sorted(set(totals))
    assert latencies[-1] >= front.fastest.latency_ms


@pytest.mark.parametrize("target", TARGETS)
def test_below_the_physical_minimum_nothing_serves(target):
    """The minimum named is the shortest latency of all candidates: less cannot be had at any price."""
    question = replace(asked(), workload=workload(slo=Slo()))
    front = pareto_front(question, CATALOG, shipped_model(), target)

    assert total(question, target, front.fastest.latency_ms * 0.999) == float("inf")
    assert total(question, target, front.fastest.latency_ms * 1.2) < float("inf")


def test_a_model_that_nothing_holds_has_no_front():
    """Where no candidate holds the model there is neither a minimum nor a point."""
    front = pareto_front(
        asked(), catalog_of(offer("g4dn.xlarge", region="us-west-2", on_demand=None)), shipped_model(), "ttft_p95"
    )

    assert front.fastest is None
    assert front.points == ()


def test_the_front_keeps_to_the_residency():
    """A cheaper offer in a country that may not process the requests is on no point of the front."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8), offer("g5.xlarge", region="ap-southeast-1", on_demand=0.1))
    front = pareto_front(asked(residency=("US",)), catalog, shipped_model(), "tpot_p95")

    assert {point.instance_type for point in front.points} == {"g6.xlarge"}
