"""Why an instance type does not win, and what would turn that; every answer is held against a plan made with it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.lengths import declared_demand
from advisor.demand.values import TokenHistogram
from advisor.errors import InputError
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.pipeline import market_for, plan_question, question_for, under_targets
from advisor.plan.explain.obstacles import obstacles_of
from advisor.plan.explain.settings import Change
from advisor.plan.explain.whatif import WhatIf, what_if
from advisor.plan.explain.why import FAR_RATIO, Contender, LoadRange, PriceChange, Why, why
from advisor.plan.fleet.chosen import Confirmation
from advisor.plan.replay.trials import Trials
from advisor.plan.request import PlanRequest
from advisor.report.explain_plan import why_section
from advisor.report.words import usd
from advisor.requirements import require
from advisor.units import milliseconds
from advisor.workload.document import read_workload
from advisor.workload.values import Deployment, Exclude, Limits, Slo
from builders import catalog_of, offer, workload

CATALOG = catalog_of(
    offer("g6.xlarge", on_demand=0.8, spot=0.4),
    offer("g5.xlarge", on_demand=1.0),
    offer("g6e.xlarge", on_demand=1.86),
    offer("p5.48xlarge", on_demand=55.0),
    offer("g5.12xlarge", on_demand=None),
    offer("g4dn.xlarge", region="us-west-2", on_demand=0.5),
)
few = settings(max_examples=5, deadline=None)


def asked(rate=5.0, **changes) -> PlanRequest:
    """The builder's workload as a question."""
    one = workload(**changes)
    return PlanRequest(one, find_model(one.model), declared_demand(rate, rate * 1.6, 800, 200))


def explained(instance_type, question=None, catalog=CATALOG, region=None):
    """Why, with the shipped calibration."""
    question = question or asked()

    def under(targets_ms, sold, demand_factor):
        other = under_targets(question, targets_ms)
        return market_for(replace(other, demand=other.demand.times(demand_factor)), sold, shipped_model())

    return why(under, catalog, instance_type, region)


def winners(question: PlanRequest, catalog, text: str) -> set[str]:
    """The instance types of the fleet that is recommended with a change in force."""
    changed, catalog, _ = what_if(question, catalog, text)
    plan = plan_question(changed, catalog)
    return {group.instance_type for group in plan.fleet.groups} if plan.fleet else set()


@pytest.mark.sampled(3)
@few
@given(st.integers(10, 900).map(lambda cents: cents / 100), st.floats(0.5, 40))
def test_below_the_price_named_it_wins(usd, rate):
    """Below the break-even price, by more than the 2 % of the search, a plan recommends the instance type."""
    catalog = catalog_of(
        offer("g6.xlarge", on_demand=0.8), offer("g5.xlarge", on_demand=usd), offer("g6e.xlarge", on_demand=1.86)
    )
    question = asked(rate)
    found = explained("g5.xlarge", question, catalog)

    assert found.price.ratio == pytest.approx(found.price.usd_per_hour / usd)
    assert "g5.xlarge" in winners(question, catalog, f"price.g5.xlarge={found.price.usd_per_hour * 0.95:.4f}")
    if found.wins:
        assert found.price.ratio >= 1
    else:
        assert found.contender.total_usd_per_month >= found.rival.total_usd_per_month * 0.98


WITH_BATCH = """\
name: chat
model: Qwen/Qwen2.5-3B-Instruct
demand:
  declared: {requests_per_second: 6, input_tokens: 700, output_tokens: 150}
  batch: {items: 120000, every: day, window: "20:00-08:00", input_tokens: 900, output_tokens: 120}
providers: [aws]
regions: [us-east-1]
instance_types: [inf2.xlarge, inf2.8xlarge, trn1.2xlarge, g6.xlarge]
purchase: [spot]
limits: {simplicity: 0, min_replicas: 2}
slo: {ttft_p95: 700ms, tpot_p95: 35ms}
"""


def beside_batch(directory):
    """Requests with batch work beside them, which fills the hours that another fleet leaves idle otherwise."""
    path = directory / "workload.yaml"
    path.write_text(WITH_BATCH)
    return read_workload(path)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("instance_type", "has_batch"), [("inf2.xlarge", True), ("g6.xlarge", False)])
def test_fleets_with_and_without_a_type_are_those_of_plans(tmp_path, instance_type, has_batch):
    """The rival costs what a plan without the type does, and its own fleet what one of the type alone does."""
    work = beside_batch(tmp_path)
    work = work if has_batch else replace(work, demand=replace(work.demand, batch=None))
    catalog, model = load_catalog(), shipped_model()
    question = question_for(work, catalog, model)
    answer = explained(instance_type, question, catalog)

    def usd_with(**changes):
        return plan_question(
            replace(question, workload=replace(work, **changes)), catalog
        ).fleet.cost.total_usd_per_month

    others = tuple(name for name in work.instance_types if name != instance_type)
    assert answer.rival.total_usd_per_month == pytest.approx(usd_with(instance_types=others))
    assert answer.contender.total_usd_per_month == pytest.approx(usd_with(instance_types=(instance_type,)))
    assert answer.recommended_usd_per_month == pytest.approx(usd_with())


@pytest.mark.parametrize(("instance_type", "is_large"), [("g5.xlarge", True), ("p5.48xlarge", False)])
def test_a_type_far_from_winning_is_judged_by_itself(instance_type, is_large):
    """Looser targets and less demand ask for its own offers alone; below the price named a plan recommends it."""
    rate = 60.0 if is_large else 5.0
    catalog = catalog_of(
        offer("g6.xlarge", on_demand=0.8), offer("g5.xlarge", on_demand=30.0), offer("p5.48xlarge", on_demand=200.0)
    )
    question = asked(rate)
    types_asked = []

    def under(targets_ms, sold, demand_factor):
        types_asked.append({each.instance_type for each in sold.offers})
        other = under_targets(question, targets_ms)
        return market_for(replace(other, demand=other.demand.times(demand_factor)), sold, shipped_model())

    answer = why(under, catalog, instance_type)
    winning = winners(question, catalog, f"price.{instance_type}={answer.price.usd_per_hour * 0.95:.4f}")

    assert (answer.wins, answer.contender.instances >= 20) == (False, is_large)
    assert answer.contender.total_usd_per_month > FAR_RATIO * answer.recommended_usd_per_month
    assert types_asked.count({instance_type}) > len(types_asked) / 2
    assert instance_type in winning


@pytest.mark.sampled(3)
@pytest.mark.parametrize("instance_type", ["p5.4xlarge", "g6.xlarge"])
def test_a_part_of_the_recommended_fleet_is_held_against_that_fleet(instance_type):
    """Two types together cost less than either alone: the price named is what the mix can bear, today's at least."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.63), offer("p5.4xlarge", on_demand=5.56))
    question = asked(19.0, purchase=(Purchase.ON_DEMAND,))
    fleet = plan_question(question, catalog).fleet
    found = explained(instance_type, question, catalog)
    section = why_section(found)
    total = fleet.cost.total_usd_per_month

    assert {group.instance_type for group in fleet.groups} == {"p5.4xlarge", "g6.xlarge"}
    assert found.wins
    assert found.recommended_usd_per_month == pytest.approx(total)
    assert found.contender.total_usd_per_month > total
    assert found.price.usd_per_hour >= found.price.today_usd_per_hour
    assert section.title.endswith("is part of the recommended fleet, and alone it would cost more")
    assert section.lines[0] == f"the recommended fleet costs {usd(total)} a month"


@pytest.mark.sampled(3)
def test_a_win_at_todays_demand_alone_is_said_in_words():
    """No range from 1 to 1."""
    found = replace(explained("g6e.xlarge"), load=(LoadRange(1.0, 1.0),))

    assert found.wins
    assert why_section(found).lines[-1] == (
        "load: it is part of the cheapest fleet at today's demand, and no longer at a tenth less or more"
    )


@pytest.mark.parametrize(
    ("key", "demand"), [("demand", "the changed"), ("demand.times", "the changed"), ("slo.ttft_p95", "today's")]
)
def test_factors_are_of_the_demand_that_was_asked_about(key, demand):
    """Where a change makes the demand another, the factors are on that one."""
    changed = WhatIf((Change(key, "1", "2"),), None, None, None, None)
    won = replace(explained("g6e.xlarge"), load=(LoadRange(1.0, 1.0),))

    assert f"the cheapest fleet at {demand} demand, and" in why_section(won, changed).lines[-1]


@pytest.mark.sampled(3)
def test_a_range_with_equal_ends_is_one_value():
    """A type that joins the fleet at one looked-at demand alone is told with that demand once."""
    found = replace(explained("g6e.xlarge"), wins=False, load=(LoadRange(2 / 3, 2 / 3), LoadRange(4.0, None)))

    assert why_section(found).lines[-1] == (
        "load: it would be part of the cheapest fleet at about 0.667 and 4 to 16 times today's demand"
    )


@pytest.mark.sampled(3)
def test_the_smallest_demand_has_one_notation():
    """A type that wins at the lower end of what was looked at alone."""
    found = replace(explained("g6e.xlarge"), wins=False, load=(LoadRange(None, 1 / 16), LoadRange(1 / 12, 0.25)))

    assert why_section(found).lines[-1] == (
        "load: it would be part of the cheapest fleet at about 1/16 and 1/12 to 0.25 times today's demand"
    )


@pytest.mark.sampled(3)
def test_a_tighter_target_turns_to_the_fast_one():
    """The dear, fast instance type wins from the target named on, and not at a looser one."""
    question = asked()
    tpot = next(one for one in explained("p5.48xlarge", question).targets if one.target == "tpot_p95")

    assert tpot.looser_ms is None
    assert "p5.48xlarge" in winners(question, CATALOG, f"slo.tpot_p95={tpot.tighter_ms:.6f}ms")
    assert "p5.48xlarge" not in winners(question, CATALOG, f"slo.tpot_p95={tpot.tighter_ms * 1.5:.6f}ms")


def test_a_looser_target_turns_to_the_slow_one():
    """The slow, cheap instance type wins at the target named, and not at a tighter one."""
    question = asked(slo=Slo(ttft_p95_ms=250.0))
    catalog = catalog_of(offer("g6e.xlarge", on_demand=1.86), offer("g6.xlarge", on_demand=0.3))
    (ttft,) = explained("g6.xlarge", question, catalog).targets

    assert "g6.xlarge" in winners(question, catalog, f"slo.ttft_p95={ttft.looser_ms:.6f}ms")
    assert winners(question, catalog, "slo.ttft_p95=250ms") == {"g6e.xlarge"}


@pytest.mark.sampled(4)
def test_it_wins_within_the_range_of_demand_named():
    """Inside the range of factors it is recommended, beyond its ends it is not."""
    question = asked()
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8), offer("g6e.xlarge", on_demand=1.5))
    loser = next(name for name in ("g6.xlarge", "g6e.xlarge") if not explained(name, question, catalog).wins)
    ranges = explained(loser, question, catalog).load

    assert ranges
    for span in ranges:
        low, high = span.low_factor or 1 / 16, span.high_factor or 16
        assert loser in winners(question, catalog, f"demand={(low * high) ** 0.5:.6f}x")
    assert loser not in winners(question, catalog, "demand=1x")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("text", ["price.g6e.xlarge={price}", "slo.tpot_p95={tighter}ms"])
def test_the_winner_is_told_what_it_can_bear(text):
    """The instance type that wins does so up to the price and the target named; beyond them not by itself."""
    question = asked()
    found = explained("g6e.xlarge", question)
    tpot = next(one for one in found.targets if one.target == "tpot_p95")
    price, tighter = found.price.usd_per_hour, tpot.tighter_ms

    assert found.wins
    inside = text.format(price=price * 0.95, tighter=tighter * 1.5)
    assert "g6e.xlarge" in winners(question, CATALOG, inside)
    beyond = text.format(price=price * 1.03, tighter=tighter * 0.9999)
    assert winners(question, CATALOG, beyond) != {"g6e.xlarge"}


def test_a_type_that_cannot_hold_the_model_is_told_what_would_lift_that():
    """Too little memory is a reason with its two numbers, and the precisions that would fit are named."""
    question = asked(precisions=("bf16",), context_tokens=16384)
    found = explained("g4dn.xlarge", question)
    memory = {one.code: one for one in found.obstacles}

    assert not found.wins
    assert found.contender is None
    assert found.price is None
    assert set(memory) <= {"memory", "precision_unsupported", "model_unsupported"}
    assert all(one.message and (one.lifted_by or one.code != "memory") for one in found.obstacles)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("instance_type", "question", "code", "lifted_by"),
    [
        ("g5.12xlarge", asked(), "price_unknown", "price.g5.12xlarge="),
        ("g5.12xlarge", asked(regions=("us-west-2",)), "not_sold", "regions=us-east-1"),
        ("a2-highgpu-1g", asked(), "not_asked", "providers=aws+gcp"),
        ("g5.xlarge", asked(accelerators=("L4",)), "not_asked", "accelerators=L4+A10G"),
        ("g5.xlarge", asked(instance_types=("g6.xlarge",)), "not_asked", "instance_types=g6.xlarge+g5.xlarge"),
        ("g5.xlarge", asked(exclude=Exclude(accelerators=("A10G",))), "not_asked", "exclude.accelerators=none"),
        ("g6.xlarge", asked(slo=Slo(ttft_p95_ms=5.0)), "slo_ttft", "slo.ttft_p95="),
        ("g5.xlarge", asked(precisions=("bf16",), context_tokens=36_000), "memory", "limits.memory_utilization=0.95"),
        ("g6.xlarge", asked(limits=Limits(max_replicas=1)), "max_replicas", "limits.max_replicas="),
        ("p5.48xlarge", asked(limits=Limits(max_usd_per_month=2000)), "budget", "limits.max_usd_per_month="),
    ],
)
def test_each_reason_names_what_lifts_it(instance_type, question, code, lifted_by):
    """A rejected instance type is answered with the code, the numbers and the what-if that lifts it."""
    found = explained(instance_type, question)
    reasons = {one.code: one for one in found.obstacles}

    assert not found.wins
    assert reasons[code].lifted_by.startswith(lifted_by)


def test_a_budget_that_is_named_is_enough():
    """It is whole USD, no less than what the fleet of the type costs, and asked as a what-if it has that fleet."""
    question = asked(limits=Limits(max_usd_per_month=2000))
    (reason,) = (each for each in explained("p5.48xlarge", question).obstacles if each.code == "budget")
    key, _, budget = reason.lifted_by.partition("=")
    raised, _, _ = what_if(question, CATALOG, reason.lifted_by)
    explanation = explained("p5.48xlarge", raised)

    assert key == "limits.max_usd_per_month"
    assert 0 <= float(budget) - reason.needed < 1
    assert explanation.contender.total_usd_per_month == pytest.approx(reason.needed)
    assert not explanation.obstacles


def test_more_memory_lifts_a_reason_only_in_the_layout_that_is_rejected():
    """A model that whole accelerators hold is in no slice of them at any share of its memory or in wider weights."""
    question = asked(model="Qwen/Qwen3-32B", precisions=("bf16",), limits=Limits(max_usd_per_month=100))
    (reason,) = (each for each in explained("p5.48xlarge", question).obstacles if each.code == "memory")

    assert "mig" in reason.message
    assert reason.lifted_by == "precisions=fp8"


def test_a_precision_that_an_accelerator_lacks_is_lifted_by_the_nearest_that_it_has():
    """T4 has no bf16: fp16 suffices, no other is named, and no target or load is said to change nothing."""
    question = asked(model="Qwen/Qwen3-1.7B", precisions=("bf16",))
    found = explained("g4dn.xlarge", question)
    (reason,) = (each for each in found.obstacles if each.code == "precision_unsupported")
    lifted, _, _ = what_if(question, CATALOG, reason.lifted_by)

    assert reason.lifted_by == "precisions=fp16"
    assert not any(each.code == "precision_unsupported" for each in explained("g4dn.xlarge", lifted).obstacles)
    assert not any("no target up to" in line for line in why_section(found).lines)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("target", ["ttft_p95_ms", "tpot_p95_ms", "e2e_p95_ms"])
def test_a_target_that_lone_requests_keep_is_named(target):
    """The target named lifts the reason, and none a little tighter does; it is the number of the reason too."""
    question = asked(slo=replace(Slo(), **{target: 1.0}))
    code = f"slo_{target.removesuffix('_p95_ms')}"
    (reason,) = (one for one in explained("g6.xlarge", question).obstacles if one.code == code)
    key, _, value = reason.lifted_by.partition("=")
    least_ms = float(value.removesuffix("ms"))

    def reasons(target_ms):
        changed, _, _ = what_if(question, CATALOG, f"{key}={target_ms:.12f}ms")
        return {one.code for one in explained("g6.xlarge", changed).obstacles}

    assert f" is {milliseconds(least_ms)} with no other load" in reason.message
    assert code not in reasons(least_ms)
    assert code in reasons(reason.available * 0.999)


def test_an_unknown_price_has_a_break_even_all_the_same():
    """What nobody sells at a known price would win at the price named."""
    question = asked()
    found = explained("g5.12xlarge", question)

    assert found.price.today_usd_per_hour is None
    assert "g5.12xlarge" in winners(question, CATALOG, f"price.g5.12xlarge={found.price.usd_per_hour * 0.95:.4f}")


def with_long_prompts(rate, **changes):
    """A question of which 3 % of the prompts miss the target on small accelerators, though 95 % are in time."""
    question = asked(rate=rate, slo=Slo(ttft_p95_ms=600.0), context_tokens=8192, **changes)
    tokens = TokenHistogram(np.array([800.0, 6000.0]), np.array([200.0, 200.0]), np.array([0.97, 0.03]))
    return replace(question, demand=replace(question.demand, tokens=tokens, longest_request_tokens=6200.0))


def refused_by_its_replay():
    """A type on which the long prompts miss the target; its price is unknown elsewhere."""
    slow = (offer("g5.xlarge", on_demand=1.0), offer("g5.xlarge", region="us-west-2", on_demand=None))
    return explained("g5.xlarge", with_long_prompts(2.0), catalog_of(*slow, offer("p5.48xlarge", on_demand=55.0)))


def holds_within(ratio):
    """Whether some number of these machines keeps so many of the requests within the target."""
    question = with_long_prompts(2.0)
    slo = replace(question.workload.slo, within_ratio=ratio)
    loosened = replace(question, workload=replace(question.workload, slo=slo))
    return plan_question(loosened, catalog_of(offer("g5.xlarge", on_demand=1.0))).fleet.confirmed.reached


def test_more_machines_that_keep_no_more_are_not_the_closest():
    """Shares of replays that stop early flatter them: 2,911 machines were named where far fewer keep as much."""
    plan = plan_question(with_long_prompts(8.0), catalog_of(offer("g5.xlarge", on_demand=1.0)))
    refused = [rejection for rejection in plan.rejected if rejection.code == "replay"]

    assert not plan.fleet.confirmed.reached
    assert sum(max(group.instances) for group in plan.fleet.groups) < 500
    assert plan.fleet.confirmed.least[0] >= max(rejection.available for rejection in refused) - 2e-4


def test_a_rung_that_fails_names_the_share_that_it_misses():
    """With what is asked of it: the share of the week alone may be as large as is asked."""
    today = Deployment("aws", "us-east-1", "g5.xlarge", 4, Purchase.ON_DEMAND)
    catalog = catalog_of(offer("g5.xlarge", on_demand=1.0), offer("p5.48xlarge", on_demand=55.0))
    plan = plan_question(with_long_prompts(2.0, current=today), catalog)
    (resized,) = (rung for rung in plan.ladder if rung.rung == "resize")

    assert resized.why_none == (
        "the best fleet keeps 97.32% of the requests within the SLO, 99% are asked; 2.68% are late on any number of "
        "these machines"
    )


def test_a_share_that_is_asked_but_has_no_margin_is_refused_for_the_margin(monkeypatch):
    """Requests are made up, so a quarter of those that may be late is kept for others, where more machines can do so."""
    monkeypatch.setattr(Trials, "_asking_of", lambda trials, *_: trials)
    monkeypatch.setattr(Confirmation, "least", property(lambda _replay: (0.9903, "")))
    replay, *_ = refused_by_its_replay().obstacles

    assert "finds 99.03% of the requests within the SLO, 99.25% are wanted of it, 99% and a margin" in replay.message


def test_a_type_that_its_replay_refuses_is_told_so():
    """Its replay is the reason, and a price that is unknown elsewhere is none."""
    found = refused_by_its_replay()
    replay, *others = found.obstacles

    assert not found.wins
    assert (replay.code, replay.needed) == ("replay", 0.99)
    assert 0.95 < replay.available < 0.99
    key, _, lifted = replay.lifted_by.partition("=")
    assert key == "slo.within_ratio"
    assert [holds_within(float(lifted) + more) for more in (0.0, 0.01)] == [True, False]
    assert "are asked" in replay.message
    assert replay.message.startswith(
        "no number of g5.xlarge bf16 was found that serves this alone: replaying the closest fleet finds "
    )
    assert "price_unknown" not in {one.code for one in others}
    assert why_section(found).title == "g5.xlarge cannot serve this alone as it is asked"
    assert found.targets[0].looser_ms > 600


def test_a_region_is_a_competitor_of_its_own():
    """With a region named, the same type elsewhere is a rival."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8), offer("g6.xlarge", region="us-west-2", on_demand=0.9))
    found = explained("g6.xlarge", catalog=catalog, region="us-west-2")

    assert not found.wins
    assert found.rival.region == "us-east-1"


@pytest.mark.parametrize(
    ("instance_type", "region", "hint"),
    [("g6.xlrge", None, "g6.xlarge"), ("g6.xlarge", "us-east-11", "us-east-1")],
)
def test_unknown_names_are_answered_with_the_nearest(instance_type, region, hint):
    """A name that the catalog does not know is refused with those it resembles."""
    with pytest.raises(InputError, match="unknown") as caught:
        explained(instance_type, region=region)
    assert hint in caught.value.hint


def test_what_may_not_process_the_requests_does_not_compete():
    """A cheaper type in a country outside the residency is no rival, and is told so when it is asked about."""
    catalog = catalog_of(offer("g6.xlarge", on_demand=0.8), offer("g5.xlarge", region="ap-southeast-1", on_demand=0.1))
    question = asked(residency=("US",))

    assert explained("g6.xlarge", question, catalog).wins
    assert [one.code for one in explained("g5.xlarge", question, catalog).obstacles] == ["residency"]


@pytest.mark.parametrize(
    ("asked_for", "region", "lifted_by"),
    [
        ({"providers": ("aws",)}, None, []),
        ({"providers": ("aws",)}, "us-east-1", []),
        ({"providers": ("aws",), "regions": ("us-west-2",)}, "us-east-1", ["regions=us-west-2+us-east-1"]),
        ({"providers": ("gcp",), "regions": ("us-central1",)}, None, ["providers=gcp+aws"]),
    ],
)
def test_a_type_without_a_rejection_is_left_out_only_by_what_the_workload_says(asked_for, region, lifted_by):
    """Who asks for AWS is not told to ask for AWS: its type is missing for its replay or a limit, and those are told."""
    work = workload(**({"regions": ("us-east-1",)} | asked_for))
    need = require(work, find_model(work.model), declared_demand(5, 8, 800, 200), CATALOG)
    assert [each.lifted_by for each in obstacles_of([], need, CATALOG, ("g6.xlarge", region))] == lifted_by


@pytest.mark.parametrize(
    ("cost_usd", "told"),
    [
        (6_266.52, "does not win, though it costs 7.0% less: the search missed it, so plan with it alone"),
        (6_700.0, "does not win: it costs 0.6% less, and the search ends within 2% of the cheapest"),
        (7_000.0, "does not win: it costs more"),
    ],
)
def test_a_cheaper_fleet_that_the_search_missed_is_told_by_how_much(cost_usd, told):
    """The words hold for the numbers beside them."""
    place = {"provider": "aws", "region": "us-east-1", "purchase": "spot", "precision": "fp8", "tensor_parallel": 1}
    ours = Contender(instance_type="g7e.2xlarge", instances=8, usd_per_hour=1.0, total_usd_per_month=cost_usd, **place)
    others = replace(ours, instance_type="g7e.12xlarge", total_usd_per_month=6_738.31)
    answer = Why(
        instance_type="g7e.2xlarge", region=None, wins=False, contender=ours, rival=others,
        recommended_usd_per_month=6_738.31, price=None, targets=(), load=(), obstacles=(),
    )  # fmt: skip

    assert told in str(why_section(answer))


@pytest.mark.parametrize(
    ("engine", "told"),
    [
        (
            "TensorRT-LLM",
            "does not win: it costs 7.0% less with TensorRT-LLM, not a preferred engine there (limits.simplicity)",
        ),
        ("", "does not win: it costs 7.0% less and is less simple or lossier"),
    ],
)
def test_a_cheaper_fleet_that_is_less_simple_was_not_missed(engine, told):
    """The recommended fleet is preferred to it within ``limits.simplicity``."""
    place = {"provider": "aws", "region": "us-east-1", "purchase": "spot", "precision": "fp8", "tensor_parallel": 8}
    ours = Contender(
        instance_type="p5.48xlarge", instances=2, usd_per_hour=1.0, total_usd_per_month=6_266.52, other_engine=engine, **place
    )  # fmt: skip
    others = replace(ours, instance_type="p4de.24xlarge", total_usd_per_month=6_738.31, other_engine="")
    answer = Why(
        instance_type="p5.48xlarge", region=None, wins=False, contender=ours, rival=others,
        recommended_usd_per_month=6_738.31, price=None, targets=(), load=(), obstacles=(), is_less_simple=True,
    )  # fmt: skip

    assert told in str(why_section(answer))


def test_the_price_of_a_winner_is_told_as_its_own_alone():
    """The verdict has another limit, of all doubtful prices that rise together."""
    place = {"provider": "aws", "region": "us-east-1", "purchase": "spot", "precision": "bf16", "tensor_parallel": 1}
    ours = Contender(instance_type="g6e.4xlarge", instances=8, usd_per_hour=1.0, total_usd_per_month=7_000.0, **place)
    answer = Why(
        instance_type="g6e.4xlarge", region=None, wins=True, contender=ours, rival=None, recommended_usd_per_month=7_000.0,
        price=PriceChange(1.25, 1.0, 1.25, 8), targets=(), load=(), obstacles=(),
    )  # fmt: skip
    told = "if its price alone rises, it stays recommended up to $1.25 per hour (today $1.00, 125% of that)"
    assert told in str(why_section(answer))


def test_a_cheaper_fleet_without_a_recommended_type_is_said_with_how_to_plan_it():
    """The type does not stay recommended beside a fleet of others that costs less."""
    place = {"provider": "aws", "region": "us-east-1", "purchase": "spot", "precision": "bf16", "tensor_parallel": 1}
    ours = Contender(instance_type="g6e.4xlarge", instances=8, usd_per_hour=1.0, total_usd_per_month=8_172.38, **place)
    others = replace(ours, instance_type="g6e.12xlarge", total_usd_per_month=7_071.17)
    answer = Why(
        instance_type="g6e.4xlarge", region=None, wins=True, contender=ours, rival=others,
        recommended_usd_per_month=7_512.68, price=None, targets=(), load=(), obstacles=(), is_rival_missed=True,
    )  # fmt: skip
    told = str(why_section(answer))

    assert (
        "$441.51 less than the recommended fleet: the search missed it, so plan without g6e.4xlarge "
        "(exclude: {instance_types: [g6e.4xlarge]})" in told
    )
    assert "stays recommended" not in told
    assert "load:" not in told
