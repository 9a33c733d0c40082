"""Predictions beside what users get of the machines that run today."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog.values import Purchase
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.performance.model import MeasuredFactors, shipped_model
from advisor.pipeline import BRIEF, answer, market_for
from advisor.plan.document import as_written, plan_from_json, plan_to_json
from advisor.plan.measured import _replica, compared
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.today import judged_current
from advisor.report.verdict import headline
from advisor.workload.values import DeclaredDemand, Deployment, MeasuredLatency, Slo
from builders import catalog_of, offer, workload

TODAY = Deployment("aws", "us-east-1", "g6e.xlarge", 2, Purchase.ON_DEMAND)
CATALOG = catalog_of(offer("g6e.xlarge", on_demand=1.86))
SHIPPED = shipped_model()


def measured_model(*question):
    """The model with the factors of what was measured, and the notes on it."""
    comparison = compared(*question)
    return comparison.model, comparison.notes


def asked(measured, slo=Slo(1000.0, 60.0), rate=5.0):  # noqa: B008 - frozen
    """A question whose machines were measured, and its requirements."""
    work = workload(
        current=replace(TODAY, measured=measured), demand=DeclaredDemand(rate, rate * 1.2, 800, 200), slo=slo,
        precisions=("bf16",),
    )  # fmt: skip
    model = find_model(work.model_reference)
    question = PlanRequest(work, model, measure_demand(work, model, CATALOG, SHIPPED))
    return question, requirements_of(question, CATALOG)


def predicted(rate=5.0, factors=(1.0, 1.0)):
    """Latency that a replay predicts of today's replicas at a rate."""
    measured = MeasuredLatency(rate, 1.0)
    _, requirements = asked(measured)
    current = replace(TODAY, measured=measured)
    return _replica(current, measured, requirements, SHIPPED, CATALOG).latency(*factors)


def needed(measured):
    """Machines that a plan takes for targets that are tight for what is predicted."""
    base = predicted()
    question, _ = asked(measured, Slo(1.2 * base.ttft_p95_ms, 0.9 * base.tpot_p95_ms))
    return judged_current(market_for(question, CATALOG, SHIPPED).market).instances_needed


def test_faster_machines_than_predicted_lower_the_prediction_to_what_they_take():
    """The replay gives the measured time per token, never more, and the note has both numbers."""
    base = predicted()
    measured = MeasuredLatency(5.0, base.ttft_p95_ms * 0.8, base.tpot_p95_ms * 0.75)
    model, (note,) = measured_model(SHIPPED, asked(measured)[1], CATALOG)

    factors = model.measured
    after = predicted(factors=(factors.token, factors.ttft))
    assert 0.94 * measured.tpot_p95_ms <= after.tpot_p95_ms <= measured.tpot_p95_ms
    assert after.ttft_p95_ms <= measured.ttft_p95_ms * 1.001
    assert f"TPOT p95 {measured.tpot_p95_ms:.3g} ms measured, {base.tpot_p95_ms:.3g} ms predicted" in note


@pytest.mark.parametrize(("ratio", "words"), [(1.1, ()), (3.0, ("users get more than is predicted",))])
def test_slower_machines_than_predicted_leave_the_prediction(ratio, words):
    """Something else may take the time; where it is far more, that is said."""
    base = predicted()
    measured = MeasuredLatency(5.0, ratio * base.ttft_p95_ms, ratio * base.tpot_p95_ms)
    model, notes = measured_model(SHIPPED, asked(measured)[1], CATALOG)

    assert model is SHIPPED
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))


@pytest.mark.parametrize(("ratio", "told"), [(1.49, []), (1.51, ["tpot_p95_ms"])])
def test_the_plan_says_what_users_get_beyond_what_is_predicted(ratio, told):
    """From 1.5 × on it stands with both numbers beside today's machines, in the plan's document too."""
    base = predicted().tpot_p95_ms
    plan = answer(asked(MeasuredLatency(5.0, tpot_p95_ms=ratio * base))[0], CATALOG, SHIPPED, BRIEF).plan

    assert [each.latency for each in plan.current.slower] == told
    assert all(each.measured_ms / each.predicted_ms == pytest.approx(ratio) for each in plan.current.slower)
    assert plan_from_json(plan_to_json(plan)).current.slower == as_written(plan).current.slower
    assert ("slower" in json.loads(plan_to_json(plan))["current"]) is bool(told)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ttft_p95_ms", "a quarter of what is predicted for L40S"),
        ("tpot_p95_ms", "the 17.4 ms in which the weights are read from memory by L40S"),
        ("e2e_p95_ms", "a quarter of what is predicted for L40S"),
    ],
)
def test_what_no_such_set_up_can_reach_counts_for_nothing(name, words):
    """Less than a quarter of what is predicted, or than memory allows, is of another set-up; one that is near is enough."""
    base = getattr(predicted(), name)
    model, (note,) = measured_model(SHIPPED, asked(MeasuredLatency(5.0, **{name: base / 20}))[1], CATALOG)
    lowered, _ = measured_model(SHIPPED, asked(MeasuredLatency(5.0, **{name: base * 0.8}))[1], CATALOG)

    assert model is SHIPPED
    assert note.startswith(f"current.measured counts for nothing: less than {words}")
    assert lowered.measured.token < 1


@given(ratio=st.floats(0.05, 1.5), rate=st.sampled_from([2.0, 5.0]))
@settings(max_examples=8, deadline=None)
def test_no_measurement_makes_a_token_faster_than_its_weights_are_read(ratio, rate):
    """Even a request that runs alone takes as long; and a time per token leaves the first token's own factor."""
    measured = MeasuredLatency(rate, tpot_p95_ms=ratio * predicted(rate).tpot_p95_ms)
    model, _ = measured_model(SHIPPED, asked(measured)[1], CATALOG)
    factors = model.measured or MeasuredFactors("", 1.0, 1.0)
    weights_ms = 8.03e9 * 2 / 864e9 * 1000

    assert predicted(0.001, (factors.token, 1.0)).tpot_p95_ms >= 0.9 * weights_ms
    assert factors.ttft == 1.0


def test_a_rate_above_the_peak_is_taken_as_the_peak():
    """What the demand never reaches proves nothing of it: the note says so, and the factors are those of the peak."""
    tpot_ms = 0.85 * predicted(6.0).tpot_p95_ms
    at_peak, beyond = (
        measured_model(SHIPPED, asked(MeasuredLatency(rate, tpot_p95_ms=tpot_ms))[1], CATALOG) for rate in (6.0, 60.0)
    )

    assert beyond[0].measured == at_peak[0].measured
    assert beyond[1][-1].startswith("current.measured is taken as of the demand's peak: 60 requests/s")


def test_fewer_machines_are_needed_where_they_are_faster_and_no_more_where_they_are_slower():
    """A measurement never makes a plan ask for more of the same machines than without it."""
    base = predicted()
    faster, slower = (MeasuredLatency(5.0, f * base.ttft_p95_ms, f * base.tpot_p95_ms) for f in (0.6, 2.0))

    assert needed(faster) < needed(None) == needed(slower)


def test_other_accelerators_are_predicted_as_before():
    """Factors are those of the architecture on the accelerator that was measured."""
    question, requirements = asked(MeasuredLatency(5.0, tpot_p95_ms=0.8 * predicted().tpot_p95_ms))
    model, _ = measured_model(SHIPPED, requirements, CATALOG)
    elsewhere = replace(model, measured=MeasuredFactors("another | H100-SXM", 0.3, 0.3))

    plain, other = (
        market_for(replace(question, workload=replace(question.workload, current=TODAY)), CATALOG, each).market
        for each in (SHIPPED, elsewhere)
    )
    rates = [[served.requests_per_second_per_replica for served in market.supply.served] for market in (plain, other)]
    assert rates[0] == rates[1]


def test_the_plan_says_so():
    """Its notes hold the note, and its question the measurement, so that it is made again from its file alone."""
    measured = MeasuredLatency(5.0, tpot_p95_ms=0.8 * predicted().tpot_p95_ms)
    plan = answer(asked(measured)[0], CATALOG, SHIPPED, BRIEF).plan

    assert plan.current.slower == ()
    assert any(note.startswith("predictions for L40S are lowered") for note in plan.notes)
    assert plan.question["workload"]["current"]["measured"]["requests_per_second"] == 5.0
    assert plan.current.instances_needed is not None
    risk = f"predictions at {plan.current.measured_factor:.2g} × by current.measured"
    assert risk in headline(plan)
    others = tuple(replace(group, accelerator="H100-SXM") for group in plan.fleet.groups)
    assert risk not in headline(replace(plan, fleet=replace(plan.fleet, groups=others)))
