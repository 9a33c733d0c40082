"""What-if: the question of a plan asked otherwise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.cli import explain
from advisor.demand.lengths import declared_demand, with_token_lengths
from advisor.demand.values import DemandProfile
from advisor.demand_sources import measure_demand
from advisor.errors import InputError
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.pipeline import plan_question, question_for
from advisor.plan.explain.settings import changed_by
from advisor.plan.explain.whatif import compare, types_priced, what_if
from advisor.plan.request import PlanRequest, catalog_for, requirements_of
from advisor.plan.token_apis import TokenApi
from advisor.report.explain_plan import what_if_section
from advisor.report.plan_words import cheaper_service
from advisor.workload.document import read_workload
from advisor.workload.scope import restriction
from advisor.workload.values import DeclaredDemand, Deployment, Exclude, Limits, QuotaLimit, ResponseCache, Slo, Survive
from builders import catalog_of, offer, workload

CATALOG = catalog_of(
    offer("g6.xlarge", on_demand=0.8, spot=0.3),
    offer("g6.xlarge", region="us-west-2", on_demand=0.9),
    offer("g5.xlarge", on_demand=1.0),
    offer("g6e.xlarge", on_demand=None),
)


def asked(**changes) -> PlanRequest:
    """The builder's workload as a question."""
    one = workload(**changes)
    return PlanRequest(one, find_model(one.model), declared_demand(5, 8, 800, 200))


@pytest.mark.parametrize(("limits", "before"), [({"zones": 2}, "instance"), ({}, "nothing")])
def test_what_survives_without_being_stated_is_shown_as_it_holds(limits, before):
    """The failure that replicas or zones let a plan survive by default, and not that none is stated."""
    _, change = changed_by(asked(limits=Limits(**limits)), "limits.survive", "instance")
    assert (change.before, change.after) == (before, "instance")


@pytest.mark.parametrize(
    ("text", "read", "expected"),
    [
        ("slo.tpot_p95=30ms", lambda one: one.workload.slo, Slo(1000, 30.0)),
        ("slo.ttft_p95=1.5s,slo.tpot_p95=none", lambda one: one.workload.slo, Slo(1500.0, None)),
        ("slo.within_ratio=0.95", lambda one: one.workload.slo.within_ratio, 0.95),
        ("slo.e2e_p95=1m", lambda one: one.workload.slo.e2e_p95_ms, 60_000),
        ("demand=2x", lambda one: one.demand.requests_per_second.peak, 16),
        ("demand=+50%", lambda one: one.demand.requests_per_second.mean, 7.5),
        ("demand=-20%", lambda one: one.demand.requests_per_second.mean, 4),
        ("demand=10", lambda one: one.demand.requests_per_second.peak, 16),
        ("input_tokens=400", lambda one: one.demand.tokens.mean_input_tokens(), 400),
        ("output_tokens=2x", lambda one: one.demand.longest_request_tokens, 1200),
        ("purchase=spot+on_demand", lambda one: one.workload.purchase, (Purchase.SPOT, Purchase.ON_DEMAND)),
        ("purchase=[on_demand]", lambda one: one.workload.purchase, (Purchase.ON_DEMAND,)),
        (
            "demand=2x,purchase=[spot, on_demand]",
            lambda one: one.workload.purchase,
            (Purchase.SPOT, Purchase.ON_DEMAND),
        ),
        ("precisions=fp8+int4", lambda one: one.workload.precisions, ("fp8", "int4")),
        ("providers=aws+gcp", lambda one: one.workload.providers, ("aws", "gcp")),
        ("regions=us-east-1", lambda one: one.workload.regions, ("us-east-1",)),
        ("regions=all", lambda one: one.workload.regions, ()),
        ("context_tokens=8192", lambda one: one.workload.context_tokens, 8192),
        ("prefix_cache_hit_ratio=0.3", lambda one: one.workload.prefix_cache_hit_ratio, 0.3),
        ("limits.zones=3,limits.survive=zone", lambda one: one.workload.limits.survive, Survive.ZONE),
        ("limits.max_usd_per_month=900", lambda one: one.workload.limits.max_usd_per_month, 900),
        ("limits.commit_beyond_forecast=true", lambda one: one.workload.limits.commit_beyond_forecast, True),
        ("limits.survive=instance", lambda one: one.workload.limits.survival, Survive.INSTANCE),
        ("limits.commitment_years=1+3", lambda one: one.workload.limits.commitment_years, (1, 3)),
        ("limits.simplicity=0.1", lambda one: one.workload.limits.simplicity, 0.1),
        ("accelerators=L4+H100", lambda one: one.workload.accelerators, ("L4", "H100")),
        ("engines=vLLM", lambda one: one.workload.engines, ("vLLM",)),
        ("exclude.regions=us-east-1+us-east-2", lambda one: one.workload.exclude.regions, ("us-east-1", "us-east-2")),
        ("listed_only=true", lambda one: one.workload.listed_only, True),
        ("scaling.scale_to_zero=true", lambda one: one.workload.scaling.scale_to_zero, True),
        ("response_cache=0.4+20", lambda one: one.workload.response_cache, ResponseCache(0.4, 20)),
        ("response_cache=0.4+20+1h", lambda one: one.workload.response_cache, ResponseCache(0.4, 20, 3600)),
    ],
)
def test_a_key_changes_what_it_says(text, read, expected):
    """A key sets its field as the workload file would, and the change is reported under its name."""
    question, _, changes = what_if(asked(regions=("us-west-2",)), CATALOG, text)

    assert read(question) == pytest.approx(expected) if isinstance(expected, float) else read(question) == expected
    assert [change.key for change in changes] == [
        context.split("=")[0] for context in text.split(",") if "=" in context
    ]
    assert all(change.before != change.after for change in changes)


def test_what_is_not_named_stays():
    """Other limits, quotas among them, are what they were."""
    before = Limits(min_replicas=2, zones=2, quotas=(QuotaLimit("aws", "us-east-1", "L-DB2E81BA", 96.0),))
    question, _, _ = what_if(asked(limits=before), CATALOG, "limits.max_replicas=9")

    assert question.workload.limits == replace(before, max_replicas=9)


def test_lists_stay_and_can_be_taken_back():
    """Another limit leaves a list of years as it is; ``none`` and ``all`` take a list out."""
    before = asked(limits=Limits(commitment_years=(1, 3)), exclude=Exclude(engines=("SGLang",), regions=("us-east-1",)))

    question, _, _ = what_if(before, CATALOG, "limits.max_replicas=9,exclude.engines=none")
    assert question.workload.limits == Limits(commitment_years=(1, 3), max_replicas=9)
    assert question.workload.exclude == Exclude(regions=("us-east-1",))

    question, _, (change,) = what_if(asked(accelerators=("L4",)), CATALOG, "accelerators=all")
    assert question.workload.accelerators == ()
    assert (change.before, change.after) == ("L4", "all")


def test_another_provider_frees_a_plan_of_its_continent():
    """Providers and regions that are named count in place of what runs today."""
    current = Deployment("aws", "us-east-1", "g6.xlarge", 1, Purchase.ON_DEMAND)
    near = asked(current=current, near_current=True, regions=("us-east-1", "us-east-2"))

    question, _, _ = what_if(near, CATALOG, "providers=aws+gcp")

    assert (question.workload.regions, question.workload.near_current) == ((), False)


OPEN = {name for name in CATALOG.regions_of("aws") if not restriction(name)}


@pytest.mark.parametrize(
    ("text", "left"),
    [("providers=gcp", set()), ("exclude.regions=us-west-2", OPEN - {"us-west-2"}), ("demand=2x", OPEN)],
)
def test_regions_that_nobody_named_are_written_out_anew(text, left):
    """The question of a plan without regions stays one, whatever else is changed, and shows them as all."""
    stated = replace(asked(), workload=requirements_of(asked(regions=()), CATALOG).workload)

    question, _, _ = what_if(stated, CATALOG, text)
    _, _, (change,) = what_if(stated, CATALOG, "regions=us-gov-west-1")

    assert set(requirements_of(question, CATALOG).workload.regions) == left
    assert (change.before, change.after) == ("all", "us-gov-west-1")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("slo.tpot=30ms", "unknown key 'slo.tpot'", "slo.tpot_p95"),
        ("demand.images.count=2", "unknown key 'demand.images.count'", "from a changed workload file"),
        ("demand.batch.dedline=2h", "unknown key 'demand.batch.dedline'", "demand.batch.deadline"),
        (
            "foo=1",
            "unknown key 'foo'",
            "are known, such as slo.ttft_p95, slo.tpot_p95, slo.e2e_p95, slo.latency, horizon, demand",
        ),
        ("limits.zone=3", "unknown key 'limits.zone'", "limits.zones"),
        ("slo.tpot_p95=30", "'30' is not a duration", "50ms"),
        ("slo.tpot_p95", "not a key=value", "slo.tpot_p95=30ms"),
        ("demand=double", "'double' is not an amount", "2x"),
        ("demand=-100%", "not an amount above 0", "2x"),
        ("demand.batch.items=2x", "has no batch work", "or demand"),
        ("purchase=spott", "unknown value 'spott'", "spot"),
        ("limits.max_replicas=1,limits.min_replicas=3", "contradicts", "raise max_replicas"),
        ("limits.zones=none,limits.survive=zone", "nothing survives", "zones: 2"),
        ("price.g6.xlrge=1", "is not sold in the regions", "g6.xlarge"),
        ("price.g6e.xlarge=-10%", "price is not known", "=2.50"),
        ("price.g6.xlarge=0", "not an amount above 0", "2x"),
    ],
)
def test_a_change_that_cannot_be_read_is_refused(text, message, hint):
    """The message says what is wrong, where, and what would be right."""
    with pytest.raises(InputError, match=message) as caught:
        what_if(asked(), CATALOG, text)
    assert hint in caught.value.hint
    assert "--what-if" in caught.value.where


def test_settings_are_read_before_anything_is_planned(monkeypatch):
    """A typo does not cost the time of a plan."""
    monkeypatch.setattr(explain, "plan_question", lambda *_, **__: pytest.fail("planned"))
    with pytest.raises(InputError, match="unknown value 'spott'"):
        explain._explain(None, asked(), CATALOG, shipped_model(), explain._Asked(changes="purchase=spott"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price.g6.xlarge=2.50", [(2.5, 2.5), (2.5, 2.5)]),
        ("price.g6.xlarge=-50%", [(0.4, 0.15), (0.45, None)]),
        ("price.g6.xlarge.spot=2x", [(0.8, 0.6), (0.9, None)]),
        ("price.g6.xlarge.on_demand=1", [(1.0, 0.3), (1.0, None)]),
    ],
)
def test_a_price_can_be_supposed(text, expected):
    """A number is the price however it is bought, a part changes what is known, and a suffix names one purchase option."""
    _, catalog, _ = what_if(asked(), CATALOG, text)
    offers = [one for one in catalog.offers if one.instance_type == "g6.xlarge"]
    found = [tuple(price and price.usd_per_hour for price in (one.on_demand, one.spot)) for one in offers]

    assert found == [pytest.approx(pair) for pair in expected]
    assert [one for one in catalog.offers if one.instance_type != "g6.xlarge"] == list(CATALOG.offers[2:])


def test_the_difference_is_that_of_the_two_plans():
    """Cost before, cost after, their difference and what binds afterwards are those of the plans."""
    question = asked()
    changed, catalog, changes = what_if(question, CATALOG, "purchase=on_demand,demand=3x")
    before, after = plan_question(question, CATALOG), plan_question(changed, catalog)
    found = compare(changes, before, after)

    assert before.recommended.purchase == "spot"
    assert {group.purchase for group in after.fleet.groups} == {"on_demand"}
    assert found.usd_per_month_change == pytest.approx(
        after.fleet.cost.total_usd_per_month - before.fleet.cost.total_usd_per_month
    )
    assert found.after.fleet == after.fleet


def test_a_change_that_nothing_serves_has_no_cost():
    """Where no plan is left, the difference is unknown and the nearest misses are named."""
    question = asked()
    changed, catalog, changes = what_if(question, CATALOG, "slo.ttft_p95=1ms")
    found = compare(changes, plan_question(question, CATALOG), plan_question(changed, catalog))

    assert found.usd_per_month_change is None
    assert found.after.total_usd_per_month is None
    assert found.after.nearest_misses


@given(st.floats(0.01, 100))
def test_more_demand_is_more_at_every_moment(factor):
    """A factor on the demand scales every rate and every known minute, and leaves lengths and gaps alone."""
    demand = replace(declared_demand(5, 8, 800, 200), profile=DemandProfile(0.0, np.array([60.0, np.nan])))
    found = demand.times(factor)

    assert found.requests_per_second.peak == 8 * factor
    assert np.array_equal(found.profile.requests_per_minute, np.array([60.0 * factor, np.nan]), equal_nan=True)
    assert found.tokens is demand.tokens


@given(st.floats(0.0001, 100))
def test_no_request_becomes_shorter_than_a_token(factor):
    """Token lengths follow the factor down to one token, and the longest request holds its prompt and answer."""
    found = with_token_lengths(declared_demand(5, 8, 800, 200), input_factor=factor)

    assert found.tokens.input_tokens.min() == max(800 * factor, 1.0)
    assert found.longest_request_tokens == pytest.approx(200 + 800 * factor)


def test_the_question_before_and_after_is_answered_from_the_same_machines():
    """A price of a machine that a question has no use for brings it in before as after the change."""
    work = read_workload(Path("examples/embedding/workload.yaml"))
    model = find_model(work.model_reference)
    catalog, text = load_catalog(), "price.r8i.96xlarge=30"
    question = PlanRequest(work, model, measure_demand(work, model, catalog, None))

    _, after, _ = what_if(question, catalog, text)
    before = catalog_for(work, model, catalog, types_priced(text))

    assert ("aws", "r8i.96xlarge") not in catalog_for(work, model, catalog).instance_types
    assert ("aws", "r8i.96xlarge") in before.instance_types
    assert before.instance_types == after.instance_types


FEW = catalog_of(
    offer("g6.xlarge", on_demand=0.8, spot=0.3), offer("g5.xlarge", on_demand=1.0), offer("g6e.xlarge", on_demand=1.9)
)
USERS = DeclaredDemand(None, None, 900, 180, 60, 20)


def asked_by_users(declared: DeclaredDemand, slo: Slo) -> PlanRequest:
    """The question of a workload file with these users and targets."""
    return question_for(workload(demand=declared, slo=slo), FEW, shipped_model())


@settings(max_examples=6, deadline=None)
@given(
    tpot_ms=st.sampled_from([25, 40, 80, 160]),
    ttft_ms=st.sampled_from([None, 600, 3000]),
    users=st.sampled_from([None, 20, 240]),
    output_tokens=st.sampled_from([None, 90, 360]),
    think=st.sampled_from([None, 5.0, 120.0]),
)
def test_users_are_answered_as_a_plan_of_the_changed_file_answers_them(tpot_ms, ttft_ms, users, output_tokens, think):
    """Other targets, users and answers change the rate of users who wait: to the cent the plan of that file."""
    declared, slo = replace(USERS, think_time_seconds=think), Slo(1500, 60)
    changes = {"slo.tpot_p95": f"{tpot_ms}ms", "slo.ttft_p95": ttft_ms and f"{ttft_ms}ms"}
    changes |= {"concurrent_users": users, "output_tokens": output_tokens}
    text = ",".join(f"{key}={value}" for key, value in changes.items() if value is not None)

    question, catalog, told = what_if(asked_by_users(declared, slo), FEW, text)
    changed = replace(declared, concurrent_users=users or 60, output_tokens=output_tokens or 180)
    stated = asked_by_users(changed, Slo(ttft_ms or 1500, tpot_ms))
    supposed, planned = plan_question(question, catalog), plan_question(stated, FEW)

    assert question.demand.requests_per_second == stated.demand.requests_per_second
    assert question.demand.notes == stated.demand.notes
    assert supposed.fleet == planned.fleet
    assert [change.after for change in told if change.key == "demand"] == [
        f"{stated.demand.requests_per_second.mean:.4g} requests/s"
    ]


def test_the_rate_of_users_by_hand():
    """60 users who think for 20 s: 60 ÷ (1.5 s + 179 × 60 ms + 20 s), and half the answer time asks more often."""
    question = asked_by_users(USERS, Slo(1500, 60))

    def rate(text: str) -> float:
        return what_if(question, FEW, text)[0].demand.requests_per_second.mean

    assert rate("slo.tpot_p95=30ms") == pytest.approx(60 / (1.5 + 179 * 0.03 + 20))
    assert rate("concurrent_users=2x") == pytest.approx(120 / (1.5 + 179 * 0.06 + 20))
    assert rate("demand=2x,slo.tpot_p95=30ms") == pytest.approx(2 * rate("slo.tpot_p95=30ms"))
    assert rate("demand=7,slo.tpot_p95=30ms") == rate("slo.tpot_p95=30ms,demand=7") == pytest.approx(7)


def test_a_stated_peak_stays_and_bounds_the_rate_of_users():
    """The busiest minute is the file's; users who would send more than it holds are refused, as of the file."""
    question = asked_by_users(replace(USERS, peak_requests_per_second=2.2), Slo(1500, 60))

    slower = what_if(question, FEW, "slo.tpot_p95=90ms")[0].demand.requests_per_second
    assert (slower.peak, slower.mean) == (2.2, pytest.approx(60 / (1.5 + 179 * 0.09 + 20)))
    with pytest.raises(InputError, match=r"a peak of 2.2 requests/s is below the mean of 2.233"):
        what_if(question, FEW, "slo.tpot_p95=30ms")


def test_users_are_told_apart_from_a_rate():
    """Of a stated rate there are no users to change, and the error says what to ask instead."""
    with pytest.raises(InputError, match="states no concurrent users") as raised:
        what_if(asked(), CATALOG, "concurrent_users=90")
    assert raised.value.hint == "ask demand=3x"
    with pytest.raises(InputError, match="unknown key 'users'") as raised:
        what_if(asked(), CATALOG, "users=90")
    assert raised.value.hint == "did you mean concurrent_users?"
    with pytest.raises(InputError, match="unknown key") as raised:
        what_if(asked(), CATALOG, "demand.declared.concurrent_users=90")
    assert raised.value.hint == "did you mean concurrent_users?"


def test_growth_says_over_what_time_it_counts():
    """Growth of a year changes little within the month that a plan holds for by default, and the answer says so."""

    def told(text: str) -> str:
        question, catalog, changes = what_if(asked(), FEW, text)
        plans = (plan_question(each, catalog) for each in (asked(), question))
        return "\n".join(what_if_section(compare(changes, *plans)).lines)

    assert "growth counts within the horizon of 30 d: ask horizon=365d beside it, or state horizon: 365d" in told(
        "growth_per_year=2"
    )
    assert "horizon of" not in told("growth_per_year=2,horizon=365d")
    _, change = changed_by(asked(), "horizon", "365d")
    assert (change.before, change.after) == ("30 d", "365 d")


def test_a_service_is_compared_at_the_rate_of_the_fleet_s_own_answers_too():
    """Users who are answered sooner than the targets say send more, for which a service asks more."""
    question = asked_by_users(USERS, Slo(1500, 60))
    plan = plan_question(question, FEW)
    replay = plan.fleet.confirmed
    answered = 60 / ((replay.ttft_p95_ms + 179 * replay.tpot_p95_ms) / 1000 + 20)

    assert plan.demand["requests_per_second_as_answered"] == pytest.approx(answered)
    assert answered > plan.demand["requests_per_second"]["mean"]
    service = TokenApi("seller", "model", 10.0, 0.1, 0.2, "", "2026-11", break_even_requests_per_second=9.0)
    (told,) = cheaper_service(replace(plan, token_apis=(service,)))
    asks = 10.0 * answered / plan.demand["requests_per_second"]["mean"]
    assert "seller/model asks $10.00 for the same weights" in told
    assert f"they send {answered:.3g} where this fleet answers, for which it asks ${asks:,.2f}" in told
    assert "requests_per_second_as_answered" not in plan_question(asked(), FEW).demand
