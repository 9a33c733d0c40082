"""The plan in words: the fleet first, its total to the cent, what binds it, and what to do where there is none."""

import re
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner

from advisor.catalog.values import Purchase
from advisor.cli.recommend import command
from advisor.demand.values import CappedMinutes, DemandProfile
from advisor.demand_sources import measure_demand
from advisor.errors import NothingFeasible
from advisor.models import find_model
from advisor.pipeline import plan_for, plan_question
from advisor.plan.doubts import is_refused, refusal_words
from advisor.plan.fleet.chosen import ConstraintUse, Failure, HoldsUpTo
from advisor.plan.request import PlanRequest
from advisor.plan.solve.stage import running_of
from advisor.report.fleet_words import change_words, confirmation_words, fleet_lines, forecast_words
from advisor.report.option_words import SHOWN_OPTIONS, size_lines
from advisor.report.verdict import plan_markdown, plan_table
from advisor.report.words import conflict_words, relaxation_words, use_words
from advisor.units import ratio_words
from advisor.workload.values import DeclaredDemand, Limits, QuotaLimit, Routing, Survive
from builders import catalog_of, offer, workload
from report.plans import mixed_plan

MONDAY = 1_699_833_600.0
CATALOG = catalog_of(
    offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g5.xlarge", on_demand=1.0), offer("g6.xlarge", on_demand=0.8)
)
ON_DEMAND = (Purchase.ON_DEMAND,)

WORKLOAD = """name: chat
model: meta-llama/Llama-3.1-8B-Instruct
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand: {declared: {requests_per_second: 5, input_tokens: 800, output_tokens: 200}}
providers: [aws]
"""


@pytest.fixture(scope="module")
def plan():
    """A small plan on demand and spot."""
    return plan_for(workload(limits=Limits(zones=2)), CATALOG)


@pytest.fixture(scope="module")
def weekly():
    """A plan for two weeks of busy days and quiet nights."""
    asked = workload(purchase=ON_DEMAND, demand=DeclaredDemand(20, 40, 800, 200))
    model = find_model(asked.model_reference)
    hours = np.arange(24 * 14)
    shape = 0.2 + 0.8 * np.clip(np.sin(np.pi * ((hours % 24) - 6) / 15), 0, 1)
    profile = DemandProfile(MONDAY, np.repeat(2400 * shape, 60).round())
    demand = replace(measure_demand(asked, model, CATALOG, None), profile=profile)
    return plan_question(PlanRequest(asked, model, demand), CATALOG)


def full(plan):
    """Everything, in lines as long as they get."""
    return plan_table(plan, width=None, verbose=True)


@pytest.mark.parametrize("render", [full, partial(plan_markdown, verbose=True)])
def test_the_fleet_comes_first_with_its_total(plan, render):
    """The verdict names the fleet and the total that was minimised; options come after the fleet and its proof."""
    text = render(plan).replace("\\", "")
    total = f"${plan.fleet.cost.total_usd_per_month:,.2f} a month"

    assert re.search(rf"Run \d+ × .*: {re.escape(total)}.*; risk: ", text)
    assert (
        text.index("Run ")
        < text.index("no cheaper fleet carries the planned rates")
        < text.index("options, fleets of one type")
    )
    for group in plan.fleet.groups:
        assert group.instance_type in text


def test_the_parts_of_the_cost_add_up_as_printed(plan):
    """The parts that are printed add up to the total that is printed."""
    cost = next(line for line in fleet_lines(plan.fleet, 0.99) if line.startswith("cost:"))
    parts, total = cost.split(" a month")[0].split(" = ")

    assert sum(float(amount.replace(",", "")) for amount in re.findall(r"\$([\d,.]+)", parts)) == pytest.approx(
        float(total.removeprefix("$").replace(",", ""))
    )


def test_constraints_stand_under_their_names(plan):
    """What binds is told apart from what is kept with room, by the names of the constraints."""
    text = full(plan)

    for use in plan.fleet.constraints:
        line = next(line for line in text.splitlines() if use_words(use) in line)
        assert line.strip().startswith("- binding limits:" if use.binding else "- limits with room:")


@pytest.mark.parametrize(
    ("ratio", "percent", "times"), [(1.1781, "117%", "1.17"), (1.2, "120%", "1.2"), (0.8179, "81%", "0.81")]
)
def test_what_holds_is_rounded_down_everywhere(plan, ratio, percent, times):
    """A limit, a failure and how far a fleet holds say one number of one share, and none more than it is."""
    use = ConstraintUse("survive", "without one machine", 1.0, ratio, "share of requests", binding=False)
    fleet = replace(
        plan.fleet,
        failures=(Failure("one zone of x", ratio, 0),),
        holds_up_to=HoldsUpTo(ratio, ratio),
        constraints=(use,),
    )
    text = full(replace(plan, fleet=fleet))

    assert f"survive (without one machine) {percent} of 100%" in text
    assert re.search(rf"one zone of x +{percent} ", text)
    assert f"holds up to {times} × the busiest minute and {times} × its burstiness" in text


@pytest.mark.parametrize(("growth_ratio", "minute"), [(1.0, "the busiest minute"), (1.27, "today's busiest minute")])
def test_the_minute_that_is_held_is_todays_where_demand_grows(plan, growth_ratio, minute):
    """A fleet that is planned for growth holds a multiple of what comes today, not of what it is planned for."""
    forecast = replace(plan.fleet.forecast, growth_ratio=growth_ratio)
    fleet = replace(plan.fleet, forecast=forecast, holds_up_to=HoldsUpTo(2.02, 4.0))
    assert f"holds up to 2.02 × {minute} and" in " ".join(full(replace(plan, fleet=fleet)).split())


@pytest.mark.parametrize(("requests", "told"), [(1, "1 request within"), (99, "99 requests within")])
def test_a_replay_of_few_requests_does_not_say_how_far_the_fleet_holds(plan, requests, told):
    """What one request found is no reach beyond the plan."""
    few = replace(plan.fleet.confirmed, requests=requests)
    fleet = replace(plan.fleet, confirmed=few, holds_up_to=HoldsUpTo(4.0, 4.0))
    text = " ".join(full(replace(plan, fleet=fleet)).split())

    assert told in text
    assert "too few requests to say how far beyond the plan it holds" in text
    assert "holds up to" not in text


@pytest.mark.parametrize(
    ("peak", "dispersion", "told"),
    [
        (1.61, 4.0, "holds up to 1.61 × the busiest minute and at least 4 × its burstiness"),
        (4.0, 2.5, "holds at least 4 × the busiest minute and up to 2.5 × its burstiness"),
    ],
)
def test_the_largest_factor_that_is_tried_is_no_limit_of_the_fleet(plan, peak, dispersion, told):
    """Nothing beyond four times is replayed, so that the fleet may hold more."""
    text = full(replace(plan, fleet=replace(plan.fleet, holds_up_to=HoldsUpTo(peak, dispersion))))
    assert told in " ".join(text.split())


def test_rates_are_written_without_powers_of_ten(plan):
    """Two thousand requests a second are 2,000 in the line of the demand and in the capacity."""
    rates = {**plan.demand["requests_per_second"], "mean": 1999.6, "peak": 23_912.0}
    group = replace(plan.fleet.groups[0], planned_requests_per_second_per_instance=12_345.0)
    fleet = replace(plan.fleet, groups=(group, *plan.fleet.groups[1:]))
    text = full(replace(plan, demand={**plan.demand, "requests_per_second": rates}, fleet=fleet))
    assert "2,000 requests/s on average, 23,912 in the busiest minute" in " ".join(text.split())
    assert "12,345" in text
    assert not re.search(r"\de\+\d", text)


def test_hours_of_the_week_have_a_table_of_their_own(plan, weekly):
    """A fleet that follows the hours shows its instances in each class of them, and the span of each group."""
    text = full(weekly)
    rows = re.findall(r"^ *(\d+) +[\d.]+ +[\d.]+ +\d", text.split("hours of the week")[1], re.MULTILINE)

    assert sum(map(int, rows)) == 168
    assert any(f"{min(group.instances)}…{max(group.instances)}" in text for group in weekly.fleet.groups)
    assert "hours of the week" not in full(plan)
    assert "forecast: the observed level" not in text


def test_the_policy_is_said_with_its_reason(plan, weekly):
    """How the fleet follows its load is said, and how far ahead instances are ordered where the hours differ."""
    for one in (plan, weekly):
        assert f"policy: {one.fleet.scaling.recommended}, {one.fleet.scaling.reason}" in full(one)

    assert "min ahead of its hour" in full(weekly)
    assert "min ahead of its hour" not in full(plan)


def test_the_risks_of_spot_have_a_source_or_are_unknown(plan):
    """How often an instance is interrupted comes with its source; whether one is to be had is known to nobody."""
    (group,) = (one for one in plan.fleet.groups if one.purchase == "spot")
    days = 1 / group.interruptions_per_instance_hour / 24

    assert group.insufficient_capacity_ratio is None
    assert f"about every {days:,.0f} days ({group.interruptions_source})" in full(plan)
    assert "insufficient capacity: A unknown" in full(plan)


def test_prompts_have_a_table_where_they_are_routed():
    """With routing by prompt length, the share of each bucket that each group takes is shown."""
    asked = workload(purchase=ON_DEMAND, routing=Routing.BY_PROMPT_LENGTH)
    plan = plan_for(asked, CATALOG)

    assert ("prompts up to" in full(plan)) == bool(plan.fleet.bucket_max_input_tokens)


def test_few_options_are_shown_and_the_rest_counted():
    """The table lists a few options and says how many there are."""
    catalog = catalog_of(*(offer("g6e.xlarge", region, 1.86) for region in ("us-east-1", "us-east-2", "us-west-2")))

    assert "all 3" in plan_table(plan_for(workload(), catalog), SHOWN_OPTIONS)
    assert "the cheapest 2 of 3 (all: --format json)" in plan_table(plan_for(workload(), catalog), 2, width=None)


@pytest.mark.parametrize(
    ("found", "reached", "expected"),
    [
        (0.97, False, ["WARNING, the replay falls short: 97%", "Do not rely on it: its replay finds 97%"]),
        (0.992, False, ["replay: 99.2%", "with less margin than is wanted"]),
        (0.99999, True, ["replay: 99.99%"]),
    ],
)
def test_a_replay_that_falls_short_is_no_small_print(plan, found, reached, expected):
    """A fleet that its replay does not confirm is not recommended without saying so."""
    confirmed = replace(plan.fleet.confirmed, within_slo_ratio=found, reached=reached)
    text = full(replace(plan, fleet=replace(plan.fleet, confirmed=confirmed)))

    for words in expected:
        assert words in text
    assert ("Do not rely on it" in text) == (found < 0.99)


def test_a_replay_that_falls_short_with_one_machine_gone_is_refused(plan):
    """What a failure leaves has to keep the SLO too, where one has to be survived."""
    confirmed = replace(plan.fleet.confirmed, without_one_within_slo_ratio=0.51, reached=False)
    short = replace(plan, fleet=replace(plan.fleet, confirmed=confirmed))
    text = full(short)

    assert (
        "Do not rely on it: its replay finds 51% of the requests within the SLO with one machine gone, 99%"
        in " ".join(text.split())
    )
    assert "WARNING, the replay falls short" in text
    assert is_refused(short)
    assert "51% of the requests within it with one machine gone" in refusal_words(short)


def test_the_closest_of_refused_fleets_is_shown_and_is_no_answer(plan, tmp_path, monkeypatch):
    """The command shows it, without "Run", and ends as where nothing is feasible."""
    confirmed = replace(plan.fleet.confirmed, within_slo_ratio=0.0, reached=False)
    short = replace(plan, fleet=replace(plan.fleet, confirmed=confirmed))
    monkeypatch.setattr("advisor.cli.recommend.recommend", lambda *_args, **_options: short)
    (tmp_path / "workload.yaml").write_text(WORKLOAD)
    done = CliRunner().invoke(command, [str(tmp_path / "workload.yaml")])

    assert done.stdout.startswith("No fleet keeps the SLO in its replay; closest: ")
    assert isinstance(done.exception, NothingFeasible)
    assert "has 0% of the requests within it, 99% are asked" in done.exception.message
    assert done.exception.hint.startswith("relax the targets of slo")


def test_the_closest_of_refused_fleets_names_the_lone_minute_that_it_was_judged_by(plan, tmp_path, monkeypatch):
    """In the first line and in the error, with both numbers; to look at that minute comes before looser targets."""
    confirmed = replace(plan.fleet.confirmed, within_slo_ratio=0.0, reached=False)
    capped = asdict(CappedMinutes(1, 20_158, 1_699_833_600.0, 500.0, 4.5))
    short = replace(plan, fleet=replace(plan.fleet, confirmed=confirmed), demand={**plan.demand, "capped": capped})
    monkeypatch.setattr("advisor.cli.recommend.recommend", lambda *_args, **_options: short)
    (tmp_path / "workload.yaml").write_text(WORKLOAD)
    done = CliRunner().invoke(command, [str(tmp_path / "workload.yaml")])
    told = "; the minute 2023-11-13T00:00Z with 500 requests/s is counted at 4.5"

    assert f"{told}; risk: " in " ".join(done.stdout.split("\n  - ")[0].split())
    assert done.exception.message.endswith(told)
    assert done.exception.hint.startswith("to plan for it in full, state demand.declared with peak_requests_per_second")
    assert done.exception.hint.endswith("or relax the targets of slo, or allow more providers, regions or accelerators")


def test_an_unproven_fleet_says_how_much_cheaper_another_may_be(plan):
    """The gap and the bound are printed where the search ran out of time."""
    least_usd = plan.fleet.cost.total_usd_per_month * (1 - 0.031)
    fleet = replace(plan.fleet, proven=False, gap_ratio=None, bound_usd_per_month=least_usd)
    text = full(replace(plan, fleet=fleet))

    assert "one that carries the planned rates may be up to 3.1% cheaper" in text
    assert f"nothing below ${least_usd:,.2f} carries the planned rates" in text
    assert "never shrink" not in text
    assert "proven" not in text
    groups = tuple(
        replace(group, instances=group.instances * 2, request_shares=group.request_shares * 2) for group in fleet.groups
    )
    by_hour = replace(fleet, groups=groups, hour_classes=fleet.hour_classes * 2)
    assert " (among fleets whose groups never shrink as the load rises)" in full(replace(plan, fleet=by_hour))


def test_almost_all_is_not_all():
    """A share below 1 never reads as 100%."""
    assert [ratio_words(ratio) for ratio in (1.0, 0.99999, 0.99, 0.995)] == ["100%", "99.99%", "99%", "99.5%"]


QUOTA = QuotaLimit("aws", "us-east-1", "L-DB2E81BA", 2.0)


@pytest.mark.parametrize(
    ("limits", "relaxed"),
    [
        (Limits(max_usd_per_month=100), lambda limits, needed: replace(limits, max_usd_per_month=needed)),
        (Limits(zones=2, max_kw=0.05), lambda limits, needed: replace(limits, max_kw=needed)),
        (
            Limits(min_replicas=2, quotas=(QUOTA,)),
            lambda limits, needed: replace(limits, quotas=(replace(QUOTA, limit=needed),)),
        ),
    ],
)
def test_what_would_help_does(limits, relaxed):
    """Where limits exclude each other, they are named, and the relaxation that is printed gives a fleet."""
    asked = workload(purchase=ON_DEMAND, limits=limits)
    plan = plan_for(asked, CATALOG)
    words = list(relaxation_words(plan.conflict))
    needed = float(
        re.search(r"raise .* to ([\d,.]+)", next(one for one in words if one.startswith("raise")))[1].replace(",", "")
    )

    assert plan.fleet is None
    assert conflict_words(plan.conflict) in full(plan)
    assert words[0] in full(plan)
    assert plan_for(replace(asked, limits=relaxed(limits, needed)), CATALOG).fleet is not None


def test_a_limit_that_is_no_number_is_given_up_by_name():
    """What survives a failure is no number: the words say what to set instead."""
    one = catalog_of(offer("g6e.xlarge", on_demand=1.86))
    plan = plan_for(workload(purchase=ON_DEMAND, limits=Limits(survive=Survive.INSTANCE, max_usd_per_month=3000)), one)

    assert plan.conflict is not None
    assert "survive" in plan.conflict.constraints
    assert "set limits.survive to nothing" in full(plan)


def test_what_changes_against_a_previous_plan_is_said(plan):
    """Stands that come, go or change in number are named, with what leaving the old fleet costs."""
    dearer = catalog_of(offer("g5.xlarge", on_demand=0.1))
    after = plan_for(workload(running=tuple(running_of(plan).items())), dearer)

    words = change_words(plan, after)

    assert "g5.xlarge added" in words
    assert "removed" in words
    assert f"leaving it costs ${after.fleet.cost.switching_usd_per_month:,.2f} a month" in words
    assert change_words(plan, plan) == "against the previous plan: the same instances"


def test_headroom_takes_the_proof_back(plan):
    """Where a replay asked for headroom, the fleet is the cheapest that was confirmed, and no more is claimed."""
    confirmed = replace(plan.fleet.confirmed, headroom_factor=1.21)
    text = full(replace(plan, fleet=replace(plan.fleet, confirmed=confirmed, proven=False)))

    assert "the cheapest found that its replay confirms" in text
    assert "replicas are planned at 1/1.21 of the rate that bursts leave" in text
    assert "proven" not in text


@pytest.mark.parametrize(
    ("factor", "told"),
    [(1.21, "; replicas are planned at 1/1.21 of the rate that bursts leave"),
     (0.8, ""), (1.0, "")],
)  # fmt: skip
def test_what_replays_leave_of_a_rate_is_said_where_it_is_less(plan, factor, told):
    """Less than bursts leave; nothing where the search tried more, since the table names the planned rate."""
    confirmed = replace(plan.fleet.confirmed, headroom_factor=factor)
    words = confirmation_words(replace(plan.fleet, groups=plan.fleet.groups[:1], confirmed=confirmed), 0.99)

    assert words.endswith(f"{confirmed.arrivals}{told}")


def test_shares_that_failures_leave_are_told(plan):
    """Each as it was replayed; nothing of those that were not."""
    confirmed = replace(plan.fleet.confirmed, without_one_within_slo_ratio=0.9965, without_part_within_slo_ratio=0.994)
    text = " ".join(full(replace(plan, fleet=replace(plan.fleet, confirmed=confirmed))).split())

    assert "replay: without any one machine 99.65% within the SLO in the busiest stretch" in text
    assert "99.4% of the requests that the limits ask to be served then within the SLO" in text
    none = replace(confirmed, without_one_within_slo_ratio=None, without_part_within_slo_ratio=None)
    assert "replay: without any" not in " ".join(full(replace(plan, fleet=replace(plan.fleet, confirmed=none))).split())


def test_a_replica_has_one_planned_rate(plan):
    """The table, the capacity and the prediction name the same; what is predicted is called so."""
    text = " ".join(full(plan).split())
    for group in plan.fleet.groups:
        planned = f"{group.planned_requests_per_second_per_instance:.3g}"
        assert group.replicas_per_instance == 1
        assert f"{group.instances[-1]} × {planned}" in text
        assert f"planned {planned}, predicted {group.requests_per_second_per_replica.value:.3g} (" in text


def test_fewer_and_more_instances_are_options_of_the_plan(plan):
    """Larger and smaller instances are read from the options: no second number is computed for them."""
    fewer, more = (
        replace(plan.options[0], rank=rank, instances=max(by_class), instances_by_class=by_class)
        for rank, by_class in ((7, (1, 1)), (9, (20, 50)))
    )
    (line,) = size_lines(plan.fleet, (plan.recommended, fewer, more))

    total = f"at ${fewer.cost.total_usd_per_month:,.2f} a month"
    assert f"fewer instances: #7, 1 × {fewer.instance_type}" in line
    assert f"more: #9, 20…50 × {more.instance_type}" in line
    assert line.count(total) == 2
    assert tuple(size_lines(plan.fleet, (plan.recommended,))) == ()


def test_a_machine_that_fails_is_named_by_its_type(plan):
    """The key of a pool is for programs; people read the instance type."""
    machine = next(one for one in plan.fleet.failures if one.of.startswith("one instance of "))

    assert machine.of.removeprefix("one instance of ") not in full(plan)
    assert f"one instance of {plan.fleet.groups[0].instance_type} " in full(plan)


@pytest.mark.parametrize(("low", "has_interval"), [(0.2 - 1e-9, False), (0.15, True)])
def test_an_interval_is_told_where_its_edge_is_another_number(low, has_interval):
    """Declared demand has none, whatever the last digit of its rate."""
    fleet = mixed_plan().fleet
    hours = replace(fleet.hour_classes[-1], planned_requests_per_second=0.2, low_requests_per_second=low)
    assert ("lower edge" in forecast_words(replace(fleet, hour_classes=(hours,)))) is has_interval
