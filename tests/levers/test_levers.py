"""Levers: each is priced as the difference of two recommendations, alone and in one combination."""

import datetime as dt
import itertools
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from advisor.catalog.values import Purchase
from advisor.errors import InputError, NothingFeasible
from advisor.levers import Change, LeverSettings, MeasuredCache, ReasonCode, read_measured_cache
from advisor.levers.changes import _names, changes_of
from advisor.levers.pricing import LeverPlanner, price_levers
from advisor.performance.model import shipped_model
from advisor.pipeline import market_of_requests, plan_question, question_for
from advisor.plan.doubts import price_ends_of
from advisor.plan.request import question_document, requirements_of
from advisor.plan.rungs import Step, rungs_of
from advisor.plan.today import judged_current
from advisor.report.levers import lever_sections
from advisor.report.plan_words import carried_mean_of, is_beyond
from advisor.report.text_table import sections_text
from advisor.tables import read_rows
from advisor.workload.measured_demand import TraceDemand
from advisor.workload.values import DeclaredDemand, Deployment, Exclude, Limits, ResponseCache, Scaling, Slo
from builders import catalog_of, offer, workload

ROOT = Path(__file__).parents[2]
OFFERS = (
    offer("g5.12xlarge", on_demand=5.7, spot=2.5),
    offer("g5.xlarge", on_demand=1.0, spot=0.5),
    offer("g5.12xlarge", region="us-east-2", on_demand=5.2, spot=2.4),
    offer("g6e.xlarge", on_demand=1.9, spot=0.8),
    offer("g2-standard-4", "us-central1", 0.7, 0.2, "gcp"),
)
CATALOG = catalog_of(*OFFERS)
TODAY = Deployment("aws", "us-east-1", "g5.12xlarge", 1, Purchase.ON_DEMAND)
EXCLUDED = ("ca-central-1", "ca-west-1", "mx-central-1", "us-west-1", "us-west-2")
WIDENING = {"region", "accelerator", "cloud", "commit", "spot", "precision"}
PRICED = WIDENING | {"schedule", "scale_to_zero", "prefix_cache", "prompt", "model"}
FEW = {
    "purchase": (Purchase.ON_DEMAND, Purchase.SPOT),
    "prefix_cache_hit_ratio": 0.0,
    "exclude": Exclude(providers=("gcp", "azure")),
    "precisions": ("bf16",),
}
MAIN = "from advisor.cli.app import main; main()"
SMALL = """\
name: small
model: Qwen/Qwen2.5-7B-Instruct
slo: {ttft_p95: 1.5s, tpot_p95: 80ms}
demand:
  declared: {requests_per_second: 0.5, peak_requests_per_second: 0.8, input_tokens: 800, output_tokens: 100}
purchase: [on_demand, spot]
current: {provider: aws, region: us-east-1, instance_type: g5.12xlarge, count: 1, purchase: on_demand}
exclude: {providers: [azure, gcp]}
"""
SETTINGS = LeverSettings(quality_floor=0.8, prompt_shorter=0.2, hourly_rate_usd=100.0)


def asked(**changes):
    """A question in which every lever has something to change."""
    stated = {
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "current": TODAY,
        "precisions": ("bf16", "fp8", "int8"),
        "purchase": tuple(Purchase)[:3],
        "slo": Slo(ttft_p95_ms=1500, tpot_p95_ms=80),
        "limits": Limits(commit_without_history=True),
        "demand": DeclaredDemand(0.5, 0.8, 800, 100),
        "prefix_cache_hit_ratio": 0.3,
        "as_of": dt.date(2026, 11, 1),
    }
    return question_for(workload(**(stated | changes)), CATALOG, shipped_model())


def posed(question):
    """The planner of the tests' catalog."""
    return market_of_requests(question, CATALOG, shipped_model()).market


def report_of(settings=SETTINGS, **changes):
    """The levers of a question with a few of them: accelerator, region, spot, schedule."""
    return price_levers(asked(**(FEW | changes)), CATALOG, posed, settings)


@cache
def few():
    """The same without any setting."""
    return report_of(LeverSettings())


@cache
def report():
    """The report that most tests look at."""
    return price_levers(asked(), CATALOG, posed, SETTINGS)


@pytest.mark.parametrize(
    ("usd_per_month", "told"), [(0.0, "against $0.00 without any"), (None, "against - without any")]
)
def test_a_saving_of_what_costs_nothing_is_no_share(usd_per_month, told):
    """Against a plan of no cost, or of none that is known, the verdict names the amounts and no percentage."""
    report = few()
    lever = replace(report.levers[0], used=True)
    without = replace(report.without, total_usd_per_month=usd_per_month)

    verdict = lever_sections(replace(report, current=None, without=without, levers=(lever,)))[0].title

    assert told in verdict
    assert "%" not in verdict


@cache
def changes():
    """What its levers change."""
    return changes_of(asked(), CATALOG, SETTINGS)


@cache
def recommended(levers):
    """USD a month of what `advisor recommend` recommends with some levers pulled."""
    return plan_question(changes().question(levers), CATALOG).fleet.cost.total_usd_per_month


def of(lever):
    """One lever of the report."""
    return next(priced for priced in report().levers if priced.lever == lever)


@pytest.mark.parametrize("response_cache", [None, ResponseCache(0.5, 2.0), ResponseCache(0.5, 2.0, runs_already=True)])
def test_today_costs_and_keeps_the_same_beside_levers_as_in_a_plan(response_cache):
    """Whatever cache is stated, today's deployment is that of the recommendation, not of the plan without any lever."""
    stated = asked(**(FEW | {"response_cache": response_cache}))
    without = posed(changes_of(stated, CATALOG, LeverSettings()).without)
    current = judged_current(posed(stated))

    assert current.within_slo_ratio is not None
    assert judged_current(without, requirements_of(stated, CATALOG)) == current


@pytest.mark.parametrize(
    ("demand", "stated", "line"),
    [
        (DeclaredDemand(0.5, 0.8, 800, 100), 1.0, "input_tokens: 640"),
        (DeclaredDemand(0.5, 0.8, 800, 100), 0.5, "prompt_times: 0.4"),
        (TraceDemand(ROOT / "examples/chat/demand.json"), 1.0, "prompt_times: 0.8"),
    ],
)
def test_shorter_prompts_are_a_line_of_the_workload_file(demand, stated, line):
    """Whatever the demand comes from, that line gives the question that the lever makes."""
    question = asked(demand=demand, prompt_times=stated, context_tokens=16_384)
    change = changes_of(question, CATALOG, LeverSettings(prompt_shorter=0.2)).by_lever["prompt"]
    key, value = change.line.split(": ")
    written = {key: float(value)} if key == "prompt_times" else {"demand": replace(demand, input_tokens=float(value))}
    again = asked(**({"demand": demand, "prompt_times": stated, "context_tokens": 16_384} | written))

    assert change.line == line
    by_lever = change.to(question).demand
    assert again.demand.input_tokens == by_lever.input_tokens
    assert again.demand.tokens.mean_input_tokens() == pytest.approx(by_lever.tokens.mean_input_tokens())
    assert again.demand.longest_request_tokens == pytest.approx(by_lever.longest_request_tokens)


@pytest.mark.sampled(2)
def test_a_question_that_allows_everything_is_answered():
    """The fleet of a rung below may have machines that the rung itself does not look at."""
    wide = rungs_of(requirements_of(asked(), CATALOG), CATALOG)[-1].workload
    plan = plan_question(replace(asked(), workload=wide), CATALOG)

    costs = [rung.total_usd_per_month for rung in plan.ladder if rung.total_usd_per_month is not None]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == plan.fleet.cost.total_usd_per_month


def test_a_combination_costs_no_more_than_any_of_its_levers_alone(monkeypatch):
    """Where the search with all levers ends higher than with one of them, that one is the combination."""
    plan = LeverPlanner.plan

    def missing(planner, levers):
        told = plan(planner, levers)
        if len(levers) < 2:
            return told
        dear = told.usd_per_month * 1.3
        return replace(told, usd_per_month=dear, fleet=replace(told.fleet, total_usd_per_month=dear))

    monkeypatch.setattr(LeverPlanner, "plan", missing)
    told = report_of(LeverSettings())
    total = told.together.plan.total_usd_per_month
    used = [lever for lever in told.levers if lever.used]

    assert total == min(lever.priced.plan.total_usd_per_month for lever in told.levers)
    assert [lever.priced.plan.total_usd_per_month for lever in used] == [total]
    assert used[0].worth_usd_per_month == pytest.approx(told.without.total_usd_per_month - total)
    assert any("alone the plan costs $" in lever.dropped for lever in told.levers)


_OPEN = {"purchase": tuple(Purchase)[:3], "precisions": ("bf16", "fp8"), "prefix_cache_hit_ratio": 0.0}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "changes",
    [
        _OPEN | {"exclude": Exclude(providers=("gcp", "azure"))},
        _OPEN | {"demand": DeclaredDemand(4, 9, 800, 150)},
        _OPEN | {"demand": DeclaredDemand(2, 4, 500, 100), "current": None, "providers": ("aws", "gcp")},
        _OPEN | {"scaling": Scaling(scale_to_zero=True)},
        _OPEN | {"purchase": (Purchase.ON_DEMAND, Purchase.COMMITMENT), "demand": DeclaredDemand(9, 20, 300, 80)},
        _OPEN | {"purchase": (Purchase.ON_DEMAND,), "limits": Limits(max_regions=1)},
    ],
)
def test_a_combination_costs_no_more_than_the_recommendation_or_a_rung_of_its_levers(changes):
    """All levers together are at least as good as what the file allows, and as each rung whose levers may be pulled."""
    question = asked(**changes)
    told = price_levers(question, CATALOG, posed, LeverSettings())
    plan = plan_question(question, CATALOG)
    rungs = itertools.takewhile(lambda rung: rung.rung != Step.PRECISION, plan.ladder[1:])
    costs = [plan.fleet.cost.total_usd_per_month, *(rung.total_usd_per_month for rung in rungs)]

    assert told.together.plan.total_usd_per_month <= min(cost for cost in costs if cost is not None)


def test_a_lever_that_is_not_used_forbids_none_of_the_others():
    """A fleet that may scale to zero may be committed instead: pulled and not used, that takes nothing away."""
    told = price_levers(asked(**_OPEN, demand=DeclaredDemand(4, 9, 800, 150)), CATALOG, posed, LeverSettings())
    levers = {lever.lever: lever for lever in told.levers}

    assert levers["commit"].used
    assert not levers["scale_to_zero"].used
    assert "commitment" in {group.purchase for group in told.together.plan.groups}


def test_regions_that_the_file_names_are_allowed_on_any_continent():
    """Today is in one of them; without names the lever stays on today's continent."""
    named = changes_of(asked(regions=("us-east-1", "eu-west-1")), CATALOG, SETTINGS).by_lever["region"]
    alone = changes_of(asked(regions=("us-east-1",)), CATALOG, SETTINGS).by_lever["region"]

    assert named.told == "regions: us-east-1 → eu-west-1, us-east-1"
    assert not named.beyond_stated
    assert alone.code is ReasonCode.NOTHING_TO_CHANGE


@pytest.mark.sampled(2)
def test_every_lever_of_the_planner_is_priced():
    """In this world no lever that the planner can answer is left without a price."""
    assert {lever.lever for lever in report().levers} == PRICED


@pytest.mark.sampled(2)
@pytest.mark.parametrize("lever", sorted(PRICED))
def test_a_saving_is_the_difference_of_two_recommendations(lever):
    """A lever saves what the recommendation without it costs more than the one with it."""
    priced = of(lever).priced

    assert report().without.total_usd_per_month == pytest.approx(recommended(()), abs=0.005)
    assert priced.plan.total_usd_per_month == pytest.approx(recommended((lever,)), abs=0.005)
    assert priced.saving_usd_per_month == pytest.approx(recommended(()) - recommended((lever,)), abs=0.011)


def test_the_combination_is_the_recommendation_with_all_of_it():
    """All levers that are not left out are priced by one plan, and claim no more than the plan without any costs."""
    pulled = tuple(lever.lever for lever in report().levers if not lever.dropped)
    total = report().together.plan.total_usd_per_month

    assert total == pytest.approx(recommended(tuple(sorted(pulled))), abs=0.005)
    assert 0 <= report().together.saving_usd_per_month <= report().without.total_usd_per_month
    assert report().together.saving_usd_per_month == pytest.approx(recommended(()) - total, abs=0.011)


def test_prices_in_doubt_bound_the_combination_as_they_do_the_recommendation():
    """Both ends of its total are those that a plan of its levers has, and each doubtful price is named."""
    pulled = tuple(lever.lever for lever in report().levers if not lever.dropped)
    fleet = plan_question(changes().question(pulled), CATALOG).fleet
    ends = report().together.price_range

    expected = (fleet.price_range.low_usd_per_month, fleet.price_range.high_usd_per_month)
    assert (ends.low_usd_per_month, ends.high_usd_per_month) == pytest.approx(expected, abs=0.01)
    assert price_ends_of(fleet).prices == ends.prices
    assert ends.low_usd_per_month < report().together.plan.total_usd_per_month


def test_what_a_lever_is_worth_beside_the_others_is_a_difference_of_two_recommendations():
    """A lever that the combination uses is worth what the others that it uses cost more, and none is worth nothing."""
    used = [lever for lever in report().levers if lever.used]
    pulled = tuple(sorted(lever.lever for lever in used))

    assert used
    for lever in used:
        others = tuple(name for name in pulled if name != lever.lever)
        assert lever.worth_usd_per_month == pytest.approx(recommended(others) - recommended(pulled), abs=0.011)
        assert lever.worth_usd_per_month > 0


def test_a_lone_lever_has_one_worth_and_one_payback(monkeypatch):
    """Levers that would only take its place do not lower what the one lever of a combination is worth."""
    plan = LeverPlanner.plan

    def told(planner, levers):
        if "spot" in levers:
            usd, used = 300.0, {"spot"}
        else:
            usd, used = (700.0, {"region", "schedule"}) if {"region", "schedule"} <= levers else (1000.0, set())
        made = plan(planner, frozenset())
        fleet = replace(made.fleet, total_usd_per_month=usd)
        return replace(made, usd_per_month=usd, fleet=fleet, used=frozenset(used))

    monkeypatch.setattr(LeverPlanner, "plan", told)
    report = report_of(LeverSettings(hourly_rate_usd=100.0))
    (spot,) = [lever for lever in report.levers if lever.used]

    assert spot.lever == "spot"
    assert spot.priced.saving_usd_per_month == spot.worth_usd_per_month == 700.0
    assert spot.work.payback_months == report.work.payback_months


def test_the_order_of_levers_never_matters():
    """The question with some levers pulled is the same in whatever order they are named."""
    documents = {
        str(question_document(requirements_of(changes().question(order), CATALOG)))
        for seed in range(4)
        for order in [random.Random(seed).sample(sorted(PRICED), len(PRICED))]
    }

    assert len(documents) == 1
    for pair in itertools.combinations(sorted(WIDENING), 2):
        assert changes().question(pair).workload == changes().question(pair[::-1]).workload


def test_precisions_keep_the_floor_beside_a_smaller_model():
    """Where a smaller model leaves little quality, only precisions that keep the rest are allowed beside it."""
    model = next(change for lever, change in changes().by_lever.items() if lever == "model")
    left = model.quality.mean_ratio
    floor = LeverSettings(quality_floor=left - 0.0005)
    strict = changes_of(asked(), CATALOG, floor)

    assert "fp8" in strict.question(("precision",)).workload.precisions
    assert strict.question(("precision", "model")).workload.precisions == ("bf16", "int8", "fp16")


def test_quality_of_the_combination_keeps_the_floor():
    """The fleet with every lever keeps the share of the scores that was asked for."""
    assert report().together.quality.mean_ratio >= SETTINGS.quality_floor
    assert report().together.quality.low_ratio <= report().together.quality.mean_ratio


def test_a_floor_that_no_model_meets_is_said_with_the_nearest():
    """The lever is shown without a price, and names the model that comes nearest and what it keeps."""
    why = changes_of(asked(), CATALOG, LeverSettings(quality_floor=0.9)).by_lever["model"].why

    assert why.startswith(
        "no smaller model keeps 90% of its scores: Qwen/Qwen2.5-3B-Instruct keeps 84.3% (69.3% to 94.7%"
    )


def test_without_a_floor_no_quality_is_given_up_beyond_the_workload():
    """No model and no precision that the workload does not name is tried unless the user says what is enough."""
    bare = changes_of(asked(precisions=("bf16",)), CATALOG, LeverSettings())

    assert "--quality-floor" in bare.by_lever["model"].why
    assert "--quality-floor" in bare.by_lever["precision"].why


def test_a_precision_that_nobody_named_is_told_with_its_figure():
    """It is not pulled, but what the fleet as stated costs in one that keeps the scores is told, to the cent."""
    question = asked(**(FEW | {"current": None}))
    told = price_levers(question, CATALOG, posed, LeverSettings())
    (precision,) = (lever for lever in told.unpriced if lever.lever == "precision")
    kept = ("bf16", *(name for name in ("fp8", "int8") if name in precision.why))
    stated, eight = (
        plan_question(replace(question, workload=replace(question.workload, precisions=names)), CATALOG).fleet.cost
        for names in (("bf16",), kept)
    )
    less = stated.total_usd_per_month - eight.total_usd_per_month

    assert precision.code == "figure_missing"
    assert f"the fleet as stated costs ${eight.total_usd_per_month:,.2f} a month, ${less:,.2f} less" in precision.why
    assert "--quality-floor 0.99 prices it" in precision.why
    assert not any(lever.lever == "precision" for lever in told.levers)


@pytest.mark.parametrize(("floor", "code"), [(None, "figure_missing"), (1.0, "not_in_catalog")])
def test_what_servers_cast_weights_to_is_no_other_precision(floor, code):
    """Of a model that answers in one pass fp16 is how bf16 is computed: neither a lever nor a contradiction."""
    demand = DeclaredDemand(5, 8, 300, None)
    question = asked(model="BAAI/bge-m3", demand=demand, slo=Slo(latency_ms=500), precisions=("bf16", "fp16"))
    reason = changes_of(question, CATALOG, LeverSettings(quality_floor=floor)).by_lever["precision"]

    assert reason.code == code
    assert (
        floor
        or "no precision is named, so bf16 is planned, as fp32 or fp16 where a server computes in that" in reason.why
    )


def test_figures_of_others_never_enter_a_price(tmp_path):
    """Without a single claim or measurement of others every price is the same, and those levers are still shown."""
    for path in CATALOG.directory.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    facts = tmp_path / "lever_facts.csv"
    facts.write_text(facts.read_text().splitlines()[0] + "\n")
    bare = catalog_of(*OFFERS)
    bare.__dict__["levers"] = type(CATALOG)(tmp_path).levers
    told = price_levers(asked(**FEW), bare, posed, LeverSettings())

    semantic = next(lever for lever in few().unpriced if lever.lever == "semantic_cache")
    assert "vendor_claim" in {fact.evidence for fact in semantic.facts}
    assert [lever.priced for lever in told.levers] == [lever.priced for lever in few().levers]
    assert {lever.lever for lever in told.unpriced} == {lever.lever for lever in few().unpriced}


def test_levers_that_pay_back_too_late_are_left_out():
    """A combination holds nothing that is paid back after the limit, and is dearer for it; the reason is told."""
    no_commitment = {"limits": Limits()}
    settings = LeverSettings(hourly_rate_usd=100.0, max_payback_months=1.0, effort_hours={"spot": 10_000.0})
    free, strict = report_of(LeverSettings(), **no_commitment), report_of(settings, **no_commitment)
    spot = next(lever for lever in strict.levers if lever.lever == "spot")

    assert any(lever.used for lever in free.levers if lever.lever == "spot")
    assert "1 at most" in spot.dropped
    assert not spot.used
    assert all(lever.work.payback_months <= 1 for lever in strict.levers if lever.used)
    assert strict.together.plan.total_usd_per_month > free.together.plan.total_usd_per_month


def test_work_is_hours_times_rate():
    """One-off cost is hours × rate, and is paid back after cost ÷ what the lever is worth a month."""
    spot = of("spot")

    assert spot.work.one_off_usd == spot.work.effort_hours * 100
    assert spot.work.payback_months == pytest.approx(spot.work.one_off_usd / spot.worth_usd_per_month)


def test_levers_without_which_nothing_serves_are_part_of_the_base():
    """Where today's accelerator cannot serve at all, the plan without any lever has the levers that it takes."""
    told = report_of(LeverSettings(), model="Qwen/Qwen2.5-72B-Instruct", precisions=("bf16", "int4"),
                     slo=Slo(ttft_p95_ms=10_000, tpot_p95_ms=300), current=replace(TODAY, instance_type="g5.xlarge"))  # fmt: skip

    assert "precision" in told.needed
    assert not {lever.lever for lever in told.levers} & set(told.needed)


def test_nothing_feasible_says_so():
    """Where no lever makes a fleet possible the reason is told, as of the plan without any."""
    with pytest.raises(NothingFeasible, match="no fleet keeps the SLO, whatever is allowed"):
        report_of(slo=Slo(ttft_p95_ms=1))


def test_a_misspelt_lever_is_named():
    """An effort for a lever that does not exist is refused with the nearest name."""
    with pytest.raises(InputError, match="unknown lever 'spott'") as refused:
        report_of(LeverSettings(effort_hours={"spott": 3.0}))

    assert "spot" in refused.value.hint


def test_a_floor_close_to_all_is_told_as_it_was_given():
    """No rounding makes it 100 %."""
    why = changes_of(asked(), CATALOG, LeverSettings(quality_floor=0.9999)).by_lever["model"].why

    assert why.startswith("no smaller model keeps 99.99% of its scores")


def test_all_precisions_are_named():
    """A precision changes answers, so none hides in a number."""
    every = ("bf16", "fp8", "w8a8", "w4a16", "mxfp4", "int8")

    assert _names("precisions", every) == ", ".join(every)
    assert _names("accelerators", every) == "6 of them"


def test_changes_are_told_in_words():
    """Each lever says what it changes, and whether the workload file allows it yet."""
    told = {lever: change for lever, change in changes().by_lever.items() if isinstance(change, Change)}

    assert told["spot"].told == "purchase: on_demand → on_demand, spot"
    assert told["region"].told == "regions: us-east-1 → 7 of them"
    assert not told["spot"].beyond_stated
    assert told["cloud"].beyond_stated
    assert told["scale_to_zero"].beyond_stated


@pytest.mark.parametrize(
    ("stated", "line"),
    [
        ({"regions": (), "providers": ("aws",)}, "providers: [aws, gcp, azure]"),
        (
            {"regions": ("us-east-1",), "providers": ("aws",)},
            "providers: [aws, gcp, azure]; regions: [us-east-1, us-central1]",
        ),
        (
            {"regions": (), "providers": ("aws",), "near_current": True, "exclude": Exclude(regions=EXCLUDED)},
            "providers: [aws, gcp, azure]; regions: [us-east-1, us-east-2, us-central1]",
        ),
    ],
    ids=["open", "named", "near today"],
)
def test_lines_of_another_cloud_name_the_regions_of_its_fleets(stated, line):
    """Beside the stated regions only those that a fleet is in; none where the file leaves regions open."""
    change = changes_of(asked(**stated), CATALOG, SETTINGS).by_lever["cloud"]

    assert change.line_for({"us-east-1", "us-central1"}) == line


def test_a_response_cache_is_its_node_and_a_smaller_fleet():
    """A cache costs its node; the fleet is the recommendation for the requests that it does not answer."""
    told = report_of(LeverSettings(cache=MeasuredCache(0.5, 0.2, 1000)))
    lever = next(lever for lever in told.levers if lever.lever == "response_cache")
    measured = LeverSettings(cache=MeasuredCache(0.5, 0.2, 1000))
    fleet = plan_question(changes_of(asked(**FEW), CATALOG, measured).question(["response_cache"]), CATALOG).fleet

    assert lever.priced.plan.total_usd_per_month == pytest.approx(fleet.cost.total_usd_per_month, abs=0.005)
    assert "50.0% of the requests answered by 1 × cache.t4g.micro in us-east-1 ($9.34)" in lever.change
    assert lever.beyond_stated


def test_a_stated_response_cache_is_the_same_lever():
    """The plan without any lever serves all requests; the lever's plan is the one that the workload file asks for."""
    stated = FEW | {"response_cache": ResponseCache(0.5, 0.2)}
    lever = next(lever for lever in report_of(LeverSettings(), **stated).levers if lever.lever == "response_cache")
    changes = changes_of(asked(**stated), CATALOG, LeverSettings())

    assert not lever.beyond_stated
    assert requirements_of(changes.question([]), CATALOG).demand.requests_per_second.mean == pytest.approx(0.5)
    assert few().without.total_usd_per_month == pytest.approx(
        report_of(LeverSettings(), **stated).without.total_usd_per_month
    )


def test_a_lever_that_costs_more_is_said_first_and_left_out():
    """A cache that hits next to nothing costs its node: the report begins with it, and the combination is without it."""
    told = report_of(LeverSettings(cache=MeasuredCache(0.0001, 0.2, 1000)))
    lever = next(lever for lever in told.levers if lever.lever == "response_cache")

    assert lever.priced.saving_usd_per_month < 0
    assert lever.dropped == "costs more than it saves"
    assert lever_sections(told)[0].lines[0].startswith("Costs more: response cache alone adds $")


def test_a_cache_that_is_too_large_or_hits_nothing_is_shown_without_a_price():
    """Without a node that holds it, or a request that repeats, a response cache is no lever."""
    large = changes_of(asked(), CATALOG, LeverSettings(cache=MeasuredCache(0.5, 5_000.0, 1000)))
    useless = changes_of(asked(), CATALOG, LeverSettings(cache=MeasuredCache(0.0, 0.1, 1000)))

    assert large.by_lever["response_cache"].why.startswith("no node of aws in the catalog holds 5,000 GiB")
    assert useless.by_lever["response_cache"].why == "none of 1,000 requests of the log repeats another"


def test_the_smallest_size_that_hits_nearly_all_is_taken(tmp_path):
    """Of a replay the first size with 95 % of the hits of an unlimited cache counts; without answer sizes it is refused."""
    points = [{"entries": n, "memory_gib": n / 8, "hit_ratio": ratio} for n, ratio in ((1, 0.3), (2, 0.39), (4, 0.4))]
    path = tmp_path / "cache.json"
    path.write_text(json.dumps({"schema": "advisor.cache/v1", "requests": 9, "exact": {"points": points}}))

    assert read_measured_cache(path) == MeasuredCache(0.39, 0.25, 9)

    path.write_text(path.read_text().replace("0.25", "null"))
    with pytest.raises(InputError, match="how large its answer is"):
        read_measured_cache(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="not a replay of caches"):
        read_measured_cache(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hit_ratio", "5"), ("hit_ratio", "-0.1"), ("memory_gib", "-3"), ("memory_gib", '"abc"'), ("memory_gib", "1e400"),
        ("requests", "1e400"), ("requests", '"9"'),
    ],
)  # fmt: skip
def test_a_replay_with_impossible_numbers_is_refused(tmp_path, name, value):
    """Each number out of its bounds is named, with how to make the file anew."""
    fields = {"hit_ratio": "0.5", "memory_gib": "1", "requests": "9"} | {name: value}
    path = tmp_path / "cache.json"
    path.write_text(
        f'{{"schema": "advisor.cache/v1", "requests": {fields["requests"]}, "exact": {{"points": '
        f'[{{"memory_gib": {fields["memory_gib"]}, "hit_ratio": {fields["hit_ratio"]}}}]}}}}'
    )

    with pytest.raises(InputError, match=f"{name} is not a number from 0") as refused:
        read_measured_cache(path)

    assert "advisor demand cache" in refused.value.hint


def test_the_report_says_the_verdict_first():
    """The first line names the levers of the combination, their cost and the work; no line is wider than 80."""
    text = sections_text(lever_sections(report(), verbose=True), 80)
    used = " + ".join(lever.lever.replace("_", " ") for lever in report().levers if lever.used)

    assert " ".join(text.split("\n  - ")[0].split()).startswith(f"Pull {used}: $")
    assert "vendor claim" in text
    ends = report().together.price_range
    told = f"in doubt: the fleet costs ${ends.low_usd_per_month:,.2f} to ${ends.high_usd_per_month:,.2f}, and saves $"
    assert told in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_answers_in_one_pass_have_no_levers_on_tokens():
    """Of an embedder texts can be shorter; what acts on generated tokens has no price, and says why."""
    declared = DeclaredDemand(5, 10, 512, None)
    embedder = asked(model="BAAI/bge-m3", demand=declared, slo=Slo(latency_ms=500))
    changes = changes_of(embedder, CATALOG, SETTINGS).by_lever

    assert changes["prompt"].told == "texts 20% shorter"
    assert "one pass" in changes["speculation"].why
    assert "one pass" in changes["prefix_cache"].why


def test_every_fact_is_of_a_lever():
    """No figure of others stands in the table without a lever that it is shown with."""
    levers = {entry.lever: entry for entry in CATALOG.levers}
    rows = read_rows(CATALOG.directory / "lever_facts.csv")

    assert all(row["lever"] in levers for row in rows)
    assert set(levers) == PRICED | {entry.lever for entry in CATALOG.levers if entry.why_unpriced} | {
        "edge",
        "embedding_cache",
        "response_cache",
        "routing",
        "semantic_cache",
    }
    assert all(ReasonCode(entry.code) for entry in CATALOG.levers if entry.why_unpriced)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--hourly-rate", "0"], "0 is not above 0 and at most 100000: work is not free"),
        (["--max-payback", "6"], "--max-payback needs --hourly-rate"),
        (["--quality-floor", "1.5"], "above 0 and at most 1"),
        (["--effort", "spot"], "not a LEVER=HOURS"),
        (["--false-hits", "0.01"], "--false-hits needs --cache"),
    ],
)
def test_wrong_figures_are_refused_before_anything_is_planned(run_advisor, options, told):
    """An option out of range is wrong usage, and says what to give."""
    done = run_advisor("levers", "examples/chat/workload.yaml", *options)

    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.slow
def test_the_command_says_the_same_on_one_processor_and_on_many(run_advisor, tmp_path):
    """Plans that are made one after another or several at a time give the same bytes; table and JSON are one report."""
    path = tmp_path / "workload.yaml"
    path.write_text(SMALL)
    command = ("levers", str(path), "--hourly-rate", "100")
    on_one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); {MAIN}"
    alone = subprocess.run(
        [sys.executable, "-c", on_one, *command, "--format", "json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    total = json.loads(alone.stdout)["together"]["plan"]["total_usd_per_month"]

    assert run_advisor(*command, "--format", "json").stdout == alone.stdout
    assert f"${total:,.2f} a month" in " ".join(run_advisor(*command).stdout.split())


@pytest.mark.parametrize(
    ("lever", "settings", "rate"),
    [
        ("prompt", LeverSettings(prompt_shorter=0.2), 8.0),
        ("response_cache", LeverSettings(cache=MeasuredCache(0.8, 0.2, 1000)), 8.0),
    ],
)
def test_token_services_are_compared_as_the_plan_with_every_lever_compares_them(lever, settings, rate):
    """Shorter prompts and a response cache are on both sides: services, totals and break-even are those of that plan."""
    stated = FEW | {"demand": DeclaredDemand(rate, rate * 1.6, 800, 100), "compare": ("openai/gpt-4o",)}
    told = report_of(settings, **stated)
    levers = [priced.lever for priced in told.levers if priced.used]
    plan = plan_question(changes_of(asked(**stated), CATALOG, settings).question(levers), CATALOG)
    words = " ".join(lever_sections(told)[0].lines)

    assert lever in levers
    assert told.carried_requests_per_second == pytest.approx(carried_mean_of(plan.fleet))
    assert ("never costs less" in words) is is_beyond(plan.fleet, plan.token_apis[0].break_even_requests_per_second)
    assert told.services == plan.token_apis != ()
    assert ("requests/s behind the cache" in words) is (lever == "response_cache")
