"""A referee of the whole question: every fleet of few instances, its limits by rules of their own, each one replayed."""

import math
import os
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from unittest.mock import patch

import numpy as np
import pytest

from advisor.candidates import match
from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.spread import MONDAY_SECONDS
from advisor.demand.values import DemandProfile, Dispersion, TokenHistogram
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.performance.stage import serve
from advisor.pipeline import recommend
from advisor.plan import choosing
from advisor.plan.choosing import Asked, recommended_fleet
from advisor.plan.geography import in_reach
from advisor.plan.market import market_of
from advisor.plan.options import rank
from advisor.plan.planning import plan_routed
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import Allocation, FleetSolution
from advisor.plan.replay.groups import name_of
from advisor.plan.replay.validator import ReplayValidator
from advisor.plan.request import PlanRequest, requirements_of
from advisor.plan.rung_fleets import Ladder, LowerRungs
from advisor.plan.rungs import rungs_of
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.stage import Effort, PlanningContext, standing_of
from advisor.workload.values import DeclaredDemand, Limits, Scaling, Slo, Survive
from builders import catalog_of, offer, workload
from plan.fleet.exhaustive import all_counts, cost_of
from plan.replay.test_confirm import few_pools, flat

MOST = 4
"""Instances of a pool under a tariff."""
WITHIN = 0.98
A_CENT = 0.01
SOLD = (
    offer("g6e.xlarge", on_demand=1.86, spot=0.9), offer("g6.xlarge", on_demand=0.8, spot=0.35),
    offer("g5.xlarge", on_demand=1.0, spot=0.6),
)  # fmt: skip
ELSEWHERE = (offer("g6e.xlarge", "us-west-2", on_demand=1.7, spot=0.8), SOLD[1])
ON_DEMAND, SPOT, COMMITMENT = (Purchase.ON_DEMAND,), (Purchase.SPOT,), (Purchase.COMMITMENT,)
SMOOTHER, BURSTY, SHARP = Dispersion(2.0, 3.0), Dispersion(4.0, 8.0), Dispersion(8.0, 20.0)


def priced(*types):
    """Offers of types in one region, by their prices on demand and on spot."""
    return tuple(offer(name, on_demand=usd, spot=spot_usd) for name, usd, spot_usd in types)


CASES = {
    "on demand and spot": (5.0, BURSTY, SOLD[:2], ON_DEMAND + SPOT, {}),
    "requests that may wait": (5.0, BURSTY, SOLD[:2], ON_DEMAND + SPOT, {"fault_tolerant_ratio": 1.0}),
    "n + 1": (4.0, SHARP, SOLD, ON_DEMAND, {"min_replicas": 2}),
    "n + 1 on spot too": (3.0, BURSTY, SOLD[:2], ON_DEMAND + SPOT, {"min_replicas": 2}),
    "two zones": (4.0, BURSTY, SOLD[:2], ON_DEMAND + SPOT, {"min_replicas": 2, "zones": 2}),
    "a zone may fail": (3.0, BURSTY, SOLD[:2], ON_DEMAND, {"zones": 2, "survive": Survive.ZONE}),
    "half on demand": (5.0, BURSTY, SOLD[:2], ON_DEMAND + SPOT, {"on_demand_base_ratio": 0.5}),
    "one type": (5.0, SHARP, SOLD, ON_DEMAND, {"max_instance_types": 1}),
    "two regions": (5.0, BURSTY, ELSEWHERE, ON_DEMAND, {"max_regions": 2}),
    "one of two regions": (5.0, BURSTY, ELSEWHERE, ON_DEMAND, {}),
    "a commitment": (5.0, BURSTY, SOLD[:1], ON_DEMAND + COMMITMENT, {"commit_without_history": True}),
    "smooth, little": (0.8, Dispersion(), SOLD, ON_DEMAND + SPOT, {"min_replicas": 2}),
    # Fleets up to 28 % cheaper than the planner's were found in these.
    "a supply of one": (1.55, SMOOTHER, priced(("g6.2xlarge", 1.07, 0.85), ("g6.xlarge", 2.8, 1.85)),
                        ON_DEMAND + SPOT, {"zones": 2, "survive": Survive.NOTHING}),
    "two that are late alone": (1.4, SHARP, priced(("g6e.xlarge", 4.03, 2.02), ("g5.2xlarge", 4.21, 1.53)),
                                ON_DEMAND + SPOT, {}),
    "half on demand, three": (1.32, SHARP, priced(("g6.xlarge", 1.58, 1.16), ("g5.2xlarge", 1.58, 0.87)),
                              ON_DEMAND + SPOT, {"min_replicas": 3, "on_demand_base_ratio": 0.5}),
    "half may wait": (1.21, SHARP, priced(("g6.xlarge", 0.84, 0.55), ("g6e.xlarge", 2.32, 1.28)), SPOT,
                      {"min_replicas": 2, "survive": Survive.NOTHING, "fault_tolerant_ratio": 0.5}),
    "half on demand, a zone": (0.9, SMOOTHER, priced(("g6.2xlarge", 2.55, 1.62), ("g6.xlarge", 1.45, 0.47)),
                               ON_DEMAND + SPOT, {"zones": 2, "survive": Survive.ZONE, "on_demand_base_ratio": 0.5}),
    "all on spot": (1.52, SMOOTHER, priced(("g6.2xlarge", 3.82, 3.09), ("g5.2xlarge", 2.89, 2.15)),
                    ON_DEMAND + SPOT, {}),
    "one of each": (1.46, SHARP, priced(("g6.xlarge", 3.24, 1.86), ("g6e.xlarge", 4.55, 3.68)), ON_DEMAND + SPOT, {}),
}  # fmt: skip


RANDOM_QUESTIONS = int(os.environ.get("ADVISOR_RANDOM_QUESTIONS", "40"))


def random_case(seed):
    """A question of one to three types at any prices, with limits that are drawn too."""
    draw = np.random.default_rng(seed)
    sold = {}
    for _ in range(int(draw.integers(1, 4))):
        kind = str(draw.choice(["g6e.xlarge", "g6.xlarge", "g6.2xlarge", "g5.xlarge", "g5.2xlarge"]))
        region = "us-west-2" if draw.random() < 0.3 else "us-east-1"
        usd = round(float(draw.uniform(0.5, 5.0)), 2)
        spot_usd = round(usd * float(draw.uniform(0.3, 0.9)), 2)
        sold.setdefault((kind, region), offer(kind, region, on_demand=usd, spot=spot_usd))
    purchase = (ON_DEMAND, ON_DEMAND + SPOT, SPOT)[draw.choice(3, p=[0.3, 0.55, 0.15])]
    rate = round(float(np.exp(draw.uniform(np.log(0.5), np.log(14)))), 2)
    dispersion = (Dispersion(), SMOOTHER, BURSTY, SHARP)[draw.integers(4)]
    survive = Survive(draw.choice(list(Survive)))
    limits = {
        "min_replicas": (0.6, int(draw.integers(1, 4))),
        "zones": (0.35, 2),
        "survive": (0.5, survive),
        "on_demand_base_ratio": (0.3 if purchase == ON_DEMAND + SPOT else 0.0, round(float(draw.uniform(0.1, 0.8)), 1)),
        "fault_tolerant_ratio": (0.3, round(float(draw.uniform(0.1, 1.0)), 1)),
        "max_regions": (0.3, 2),
    }
    stated = {name: value for name, (chance, value) in limits.items() if draw.random() < chance}
    if stated.get("survive") is Survive.ZONE:
        stated["zones"] = 2
    return rate, dispersion, tuple(sold.values()), purchase, stated


def market_for(rate, dispersion, sold, purchase, limits):
    """The question of a case, with the pools that are cheapest for what they carry."""
    asked = workload(
        purchase=purchase,
        precisions=("fp8", "bf16"),
        slo=Slo(ttft_p95_ms=1200, tpot_p95_ms=60),
        demand=DeclaredDemand(rate, rate, 1200, 200),
        limits=Limits(**limits),
    )
    catalog, model = catalog_of(*sold), find_model(asked.model_reference)
    demand = replace(measure_demand(asked, model, catalog, None), profile=flat(rate, dispersion))
    market = market_of_demand(asked, catalog, demand)
    formulation = few_pools(market.formulation, 3)
    return replace(market, formulation=formulation, validator=ReplayValidator(formulation, market.context))


def weekday_market(e2e_ms, purchase):
    """The market of a help desk that is open by day alone, whose longest answers a machine has to be fast for."""
    asked = workload(
        model="microsoft/phi-4", precisions=("bf16", "fp8", "int8"), slo=Slo(ttft_p95_ms=2500, e2e_p95_ms=e2e_ms),
        regions=("us-west-2",), instance_types=("g5.12xlarge", "g7e.2xlarge", "p5.4xlarge"), context_tokens=8192,
        demand=DeclaredDemand(0.1, 0.6, 961, 379), purchase=purchase, scaling=Scaling(scale_to_zero=True),
    )  # fmt: skip
    hours, days = np.arange(24), np.arange(15)
    rates = np.outer(days % 7 < 5, np.where((hours >= 8) & (hours < 18), 0.25, 0.0))
    counts = np.random.default_rng(0).poisson(60 * np.repeat(rates.ravel(), 60)).astype(float)
    quantiles = np.array([NormalDist().inv_cdf((at + 0.5) / 16) for at in range(16)])
    inputs, outputs = 700 * np.exp(0.8 * quantiles), np.minimum(300 * np.exp(0.7 * quantiles), 1500)
    tokens = TokenHistogram(np.repeat(inputs, 16), np.tile(outputs, 16), np.full(256, 1 / 256))
    catalog, model = load_catalog(), find_model(asked.model_reference)
    profile = DemandProfile(MONDAY_SECONDS, counts, Dispersion())
    return market_of_demand(
        asked, catalog, replace(measure_demand(asked, model, catalog, None), profile=profile, tokens=tokens)
    )


def market_of_demand(asked, catalog, demand):
    """The market of a workload whose demand is measured."""
    requirements = requirements_of(PlanRequest(asked, find_model(asked.model_reference), demand), catalog)
    matches = in_reach(match(requirements, catalog), asked, catalog)
    served, _ = serve(matches.candidates, requirements, shipped_model())
    standing, _ = standing_of(requirements, catalog)
    effort = Effort(rehearsed_requests=3_000, holds_up_to=False)
    context = PlanningContext(requirements, catalog, shipped_model(), standing, effort)
    return market_of(context, requirements, served, matches.offers)


def as_solution(problem, counts):
    """A fleet as the planner has it, loaded by capacity."""
    allocations = tuple(
        Allocation(problem.pools[g], problem.pools[g].tariffs[t], instances)
        for (g, t), instances in counts.items()
        if any(instances)
    )
    capacity: dict[str, float] = {}
    for one in allocations:
        capacity[one.pool.key] = capacity.get(one.pool.key, 0.0) + mix_rate(problem, one.pool) * one.instances[-1]
    whole = sum(capacity.values())
    shares = {key: np.full((len(problem.hours), 1, 1), rate / whole) for key, rate in capacity.items()}
    usd = objective_usd_per_month(problem, allocations, shares)
    return FleetSolution(allocations, shares, usd, usd, proven=False)


def cheaper_that_holds(market, below, fleet):
    """The cheapest other fleet below a cost that keeps to the limits and whose replay holds; None without."""
    own = {(group.name, group.instances) for group in fleet.groups}
    problem = market.formulation.problem
    for compute, counts in sorted(all_counts(problem, MOST, below), key=lambda pair: pair[0]):
        cost = cost_of(problem, counts)
        regions = {problem.pools[g].region for (g, _), instances in counts.items() if any(instances)}
        if cost is None or cost >= below or len(regions) > (problem.max_regions or len(regions)):
            continue
        solution = as_solution(problem, counts)
        if {(name_of(allocation), allocation.instances) for allocation in solution.allocations} == own:
            continue  # its parts are printed to the cent each, so that it costs a few cents more there
        if market.validator.replayed(market.formulation, solution).reached:
            return compute, [(one.pool.key, one.tariff.paid.value, one.instances) for one in solution.allocations]
    return None


def assert_nothing_cheaper(market):
    """The planner's fleet costs no more than 2 % above the cheapest that keeps to everything and whose replay holds.

    Nothing is cheaper than one that is called proven.
    """
    fleet = plan_routed(market, Asked(replayed=0))[1].choice.fleet

    assert fleet is not None
    assert fleet.confirmed.reached
    cheapest = fleet.cheapest.total_usd_per_month if fleet.cheapest else fleet.cost.total_usd_per_month
    assert cheapest < math.inf
    below = fleet.cost.total_usd_per_month - A_CENT if fleet.proven else WITHIN * cheapest
    assert cheaper_that_holds(market, below, fleet) is None


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", CASES)
def test_no_fleet_that_keeps_to_everything_is_cheaper_by_more_than_2_percent(case):
    """Limits, prices and the replay decide."""
    assert_nothing_cheaper(market_for(*CASES[case]))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", range(RANDOM_QUESTIONS))
def test_nor_is_one_of_a_question_that_nobody_chose(seed):
    """Types, prices, demand and limits are drawn."""
    assert_nothing_cheaper(market_for(*random_case(seed)))


@pytest.mark.parametrize("survive", ["zone", "nothing"])
def test_a_base_carries_its_share_without_all_that_is_on_spot(tmp_path, survive):
    """One machine was taken to carry half of the load, 3.5 times what it carries by itself, beside others on spot."""
    path = tmp_path / "workload.yaml"
    path.write_text(f"""
name: base
model: meta-llama/Llama-3.3-70B-Instruct
precisions: [bf16, fp8, int4]
slo: {{ttft_p95: 2500ms, tpot_p95: 60ms}}
demand:
  declared: {{requests_per_second: 4, peak_requests_per_second: 6, input_tokens: 1200, output_tokens: 300}}
providers: [aws]
regions: [us-east-1]
instance_types: [p5.4xlarge, p5.48xlarge]
purchase: [on_demand, spot]
limits: {{zones: 3, survive: {survive}, on_demand_base_ratio: 0.5, simplicity: 0}}
""")
    fleet = recommend(path).fleet

    carried = sum(
        max(group.instances) * group.replicas_per_instance * group.requests_per_second_per_replica.value
        for group in fleet.groups
        if group.purchase != "spot"
    )
    assert fleet.confirmed.reached
    assert carried >= 0.5 * fleet.hour_classes[-1].planned_requests_per_second * WITHIN


def test_a_cheaper_fleet_of_other_accelerators_is_found(tmp_path):
    """Where a search ends with one accelerator, mixes of the others are looked at: no rung that allows less is cheaper."""
    path = tmp_path / "workload.yaml"
    path.write_text(f"""
name: support-chat
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [bf16]
slo: {{ttft_p95: 1s, tpot_p95: 50ms}}
demand: {{summary: {Path("examples/chat/demand.json").resolve()}}}
providers: [aws]
regions: [us-east-1]
purchase: [on_demand, spot]
current: {{provider: aws, region: us-east-1, instance_type: p4d.24xlarge, count: 2, purchase: on_demand}}
limits: {{min_replicas: 2, zones: 2}}
scaling: {{scheduled: false}}
""")
    plan = recommend(path)

    most_usd = plan.fleet.cost.total_usd_per_month / 1.05  # limits.simplicity
    assert not any("would save" in rung.why_none for rung in plan.ladder)
    assert all(
        rung.total_usd_per_month >= most_usd
        for rung in plan.ladder
        if rung.total_usd_per_month and not rung.beyond_stated
    )


@pytest.mark.parametrize("e2e_ms", [18_500, 17_600, 16_500])
def test_an_allowance_that_nothing_uses_changes_no_answer(e2e_ms):
    """With commitments a fleet is looked for that never scales to zero; one that does is as cheap without."""
    fleets = [recommended_fleet(weekday_market(e2e_ms, purchase)) for purchase in (ON_DEMAND, ON_DEMAND + COMMITMENT)]

    assert not any(group.tariff.paid.always for group in fleets[1].solution.allocations)
    assert all(fleet.confirmation.reached for fleet in fleets)
    assert fleets[0].usd_per_month == pytest.approx(fleets[1].usd_per_month, abs=A_CENT)


def test_a_question_without_scaling_to_zero_is_asked_so_in_every_step():
    """Further layouts of its machines are formulated from the workload, which has to ask the same."""
    asked, answer = [], choosing._chosen_below

    def noted(market, *others):
        asked.append((market.workload.scaling, market.formulation.problem.scaling))
        return answer(market, *others)

    with patch.object(choosing, "_chosen_below", noted):
        recommended_fleet(weekday_market(18_500, ON_DEMAND + COMMITMENT))

    assert [own.scale_to_zero for own, _ in asked] == [True, False]
    assert all(own == posed for own, posed in asked)


def test_a_fleet_of_other_accelerators_has_the_bound_of_the_whole_question():
    """It is the cheapest of its own accelerators: of all others no more is known than the search before it says."""
    market = market_for(*CASES["on demand and spot"])
    options = rank(market.formulation, market.validator, market.context, None, 6).singles
    dearest = max((option.confirmed for option in options if option.confirmed), key=lambda fleet: fleet.usd_per_month)
    bound_usd = dearest.usd_per_month / 10
    ended = replace(dearest, solution=replace(dearest.solution, bound_usd_per_month=bound_usd, proven=False))

    with patch.object(choosing, "_cheaper", return_value=ended):
        best = recommended_fleet(market)

    assert best.usd_per_month < dearest.usd_per_month
    assert best.solution.bound_usd_per_month <= bound_usd
    assert not best.solution.proven


def test_its_own_instance_types_alone_make_no_cheaper_fleet(tmp_path):
    """With few types to choose from the search found a mix that it missed among many, 5.5 % cheaper."""
    text = """
name: summaries
model: mistralai/Mistral-Small-3.2-24B-Instruct-2506
slo: {ttft_p95: 1500ms, tpot_p95: 60ms}
demand: {declared: {concurrent_users: 120, think_time: 40s, input_tokens: 2200, output_tokens: 350}}
providers: [gcp]
regions: [europe-west4]
purchase: [on_demand, spot]
limits: {min_replicas: 2, zones: 2, on_demand_base_ratio: 0.5, simplicity: 0}
"""
    path = tmp_path / "workload.yaml"
    path.write_text(text)
    fleet = recommend(path).fleet
    path.write_text(f"{text}instance_types: [{', '.join({group.instance_type for group in fleet.groups})}]\n")

    assert fleet.cost.total_usd_per_month <= recommend(path).fleet.cost.total_usd_per_month + 0.01


def test_fewer_precisions_alone_make_no_fleet_without_the_charges_of_its_region(tmp_path):
    """In one precision slices were cheapest, whose cluster was charged in no total: half of what it costs, and wrong."""
    path = tmp_path / "workload.yaml"
    path.write_text("""
name: nightly
model: Qwen/Qwen3-8B
precisions: [bf16, fp8]
demand: {batch: {items: 250000, every: week, deadline: 3d, input_tokens: 900, output_tokens: 120}}
providers: [aws, gcp, azure]
regions: [us-east-1, us-central1, eastus]
""")
    fleet = recommend(path).fleet
    path.write_text(path.read_text().replace("[bf16, fp8]", "[fp8]"))

    assert fleet.standing
    assert fleet.cost.total_usd_per_month <= recommend(path).fleet.cost.total_usd_per_month + 0.01


def test_as_few_machines_for_an_hour_more_are_tried_where_a_replay_refuses_them(tmp_path):
    """51,000 items took two machines for five hours, 43 % dearer than 52,800 on one for six."""
    path = tmp_path / "workload.yaml"

    def usd_of(items):
        path.write_text(f"""
name: nightly
model: Qwen/Qwen3-8B
precisions: [bf16, fp8]
demand: {{batch: {{items: {items}, every: day, deadline: 20h, input_tokens: 900, output_tokens: 120}}}}
providers: [gcp]
regions: [us-central1]
purchase: [spot]
limits: {{simplicity: 0}}
""")
        return recommend(path).fleet.cost.total_usd_per_month

    assert usd_of(48_000) < usd_of(51_000) < usd_of(52_800)


LONGER_PROMPTS = """
name: documents
model: Qwen/Qwen2.5-14B-Instruct
precisions: [fp8]
slo: {ttft_p95: 1200ms, tpot_p95: 80ms}
demand: {declared: {requests_per_second: 13.68, peak_requests_per_second: 19.15, input_tokens: 2000, output_tokens: 120}}
providers: [gcp]
regions: [us-central1]
purchase: [on_demand, spot]
limits: {simplicity: 0, survive: instance}
"""
SHORT_PROMPTS = """
name: replies
model: mistralai/Mistral-7B-Instruct-v0.3
precisions: [bf16]
slo: {ttft_p95: 1200ms, tpot_p95: 80ms}
demand: {declared: {requests_per_second: 7.15, peak_requests_per_second: 12.87, input_tokens: 500, output_tokens: 220}}
providers: [aws]
regions: [eu-central-1]
purchase: [on_demand, spot]
limits: {simplicity: 0, survive: instance}
"""


@pytest.mark.parametrize(
    ("text", "types"),
    [(LONGER_PROMPTS, "a3-highgpu-1g, g4-standard-192"), (SHORT_PROMPTS, "g6e.4xlarge, inf2.24xlarge")],
    ids=["larger machines of an accelerator of its own", "more of one group and fewer of the other"],
)
def test_no_two_instance_types_alone_make_a_cheaper_fleet(tmp_path, text, types):
    """Fleets that differ in all their groups from the one that a search comes to were missed: 8.2 % and 3.2 % cheaper."""
    path = tmp_path / "workload.yaml"
    path.write_text(text)
    every = recommend(path).fleet
    path.write_text(f"{text}instance_types: [{types}]\n")

    assert every.cost.total_usd_per_month <= recommend(path).fleet.cost.total_usd_per_month * 1.005


def test_a_rung_tells_of_a_fleet_that_should_be_recommended_instead():
    """Where a search ended at a dear option, the rungs within what is stated come to what the full search finds."""
    market = market_for(*CASES["on demand and spot"])
    best, fleet = recommended_fleet(market), plan_routed(market, Asked())[1].choice.fleet
    options = rank(market.formulation, market.validator, market.context, None, 6).singles
    dearest = max((one.confirmed for one in options if one.confirmed), key=lambda one: one.usd_per_month)
    rungs = rungs_of(market.context.requirements, market.context.catalog)

    def climbed_beside(recommended):
        ladder = Ladder(market, LowerRungs(market, rungs, None), recommended)
        return ladder.climbed(next(ladder.higher()), fleet)

    assert dearest.usd_per_month > best.usd_per_month * 1.1
    assert climbed_beside(dearest).cheaper.usd_per_month <= best.usd_per_month + A_CENT
    assert climbed_beside(best).cheaper is None
