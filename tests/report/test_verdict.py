"""The first screen of a plan: what to run, what it risks, and what to know before running it."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.catalog import load_catalog
from advisor.cost.services import Deployed, region_charges
from advisor.cost.standing import Machines, StandingCharge
from advisor.demand.values import Backtest, Unit
from advisor.models.model import ModelFile
from advisor.plan.fleet.chosen import (
    Cheapest,
    ConstraintUse,
    DoubtfulPrice,
    Failure,
    ForecastUsed,
    PlannedHours,
    PriceRange,
    QuotaNeed,
    Spare,
)
from advisor.plan.fleet.costs import CostKind, CostLine
from advisor.plan.token_apis import TokenApi
from advisor.plan.values import ComparedLatency, CurrentCost, MeasureFirst
from advisor.report.fleet_words import constraint_words, open_words, proof_words
from advisor.report.option_words import ladder_section, option_cells
from advisor.report.plan_words import carried_mean_of, close_call_words, evidence_lines, question_words, risk_words
from advisor.report.verdict import headline, plan_markdown, plan_table, verdict_lines
from advisor.units import HOURS_PER_MONTH, price_usd, rounded
from report.plans import (
    make_fleet,
    make_group,
    make_option,
    make_plan,
    make_rung,
    mixed_plan,
    no_plan,
    no_rung,
    rejection,
    spot_plan,
    with_today,
)

GOLDEN = Path(__file__).parent / "golden"
SHAPES = {"spot": spot_plan, "mixed": mixed_plan, "infeasible": no_plan}


def test_the_response_time_that_users_are_counted_at_is_told_in_one_line():
    """The rate of concurrent users assumes answers as slow as the targets; a stated rate has no such line."""
    plan = spot_plan()
    users = replace(plan, demand={**plan.demand, "closed_loop": {"users": 4000.0, "response_seconds": 12.2}})
    told = "Demand: 4,000 users who wait 12.2 s for an answer; faster answers add load."
    assert [line for line in verdict_lines(users) if line.startswith("Demand")] == [told]
    assert f"\n  - {told}\n" in plan_table(users)
    assert len(f"  - {told}") <= 80
    assert not [line for line in verdict_lines(plan) if "users" in line]


def over(plan, seconds):
    """A plan whose demand was observed for so many seconds; None: declared."""
    return replace(plan, demand={**plan.demand, "window_seconds": seconds})


def forecast_off_by(error):
    """A forecast with such an error in its back-test, beside a worse one that was not chosen."""
    tests = (Backtest("level", error, 0.2, 0.9, 0.1, chosen=True), Backtest("last", 9.0, 0.2, 0.9, 0.1, chosen=False))
    return ForecastUsed("level", 0.8, 30.0, tests)


def lines_of(plan):
    """The lines of a verdict after the first one, by their first word."""
    return {line.split(":")[0]: line for line in verdict_lines(plan)}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_report_reads_as_it_did(golden, shape):
    """The default report and the verbose one of three plans, as a user sees them in a terminal of 80 columns."""
    golden(GOLDEN / f"{shape}.txt", plan_table(SHAPES[shape]()))
    golden(GOLDEN / f"{shape}-verbose.txt", plan_table(SHAPES[shape](), verbose=True))


def test_the_first_line_says_what_to_run():
    """Fleet, USD a month, saving and risk stand in the first line of text and in bold in Markdown."""
    expected = (
        "Run 4 × g6e.xlarge spot (aws us-east-1): $2,213.49 a month, 87% less than today, "
        "which misses the SLO; risk: 57 minutes of history, spot"
    )

    assert headline(spot_plan()) == expected
    assert plan_table(spot_plan(), width=None).splitlines()[0] == expected
    assert f"**{expected}**" in plan_markdown(spot_plan())
    assert "--verbose" not in plan_markdown(spot_plan())


@pytest.mark.parametrize(("usd", "compared"), [(12_330.84, "56% less than"), (5_458.12, "as much as")])
def test_what_runs_today_is_said_to_miss_the_slo_whatever_it_costs(usd, compared):
    """Dearer than the fleet, or as dear: a reader has to know that it does not serve."""
    today = CurrentCost("aws", "us-east-1", "g5.12xlarge", "on_demand", 4, 22.69, usd, 0.79, 9)
    plan = with_today(make_plan(make_fleet(make_group())), today)

    assert f", {compared} today, which misses the SLO;" in headline(plan)


@pytest.mark.parametrize(
    ("kept", "slo", "is_told"),
    [(0.9824, {}, True), (0.94, {}, False), (0.995, {}, False), (0.9824, {"ttft_p95_ms": None, "tpot_p95_ms": None}, False)],
)  # fmt: skip
def test_today_that_keeps_its_p95_targets_is_told_apart(kept, slo, is_told):
    """Between 95% of the requests, which such targets say, and the share that plans keep."""
    today = CurrentCost("aws", "us-east-1", "g5.12xlarge", "on_demand", 4, 22.69, 16_562.24, kept, 9)
    plan = with_today(make_plan(make_fleet(make_group())), today)
    plan = replace(plan, workload=plan.workload | {"slo": plan.workload["slo"] | {"e2e_p95_ms": None} | slo})

    assert (", which keeps 98.24% within the SLO (99% asked);" in headline(plan)) == is_told
    told = lines_of(plan)["Today"]
    assert told.endswith("; p95 targets alone ask for 95%: slo.within_ratio 0.95.") == is_told


def test_the_share_of_the_requests_that_is_asked_is_part_of_the_question():
    """The targets are percentiles of their own; a workload without any asks for no share."""
    plan = spot_plan()
    without = replace(
        plan, workload=plan.workload | {"slo": dict.fromkeys(plan.workload["slo"]) | {"within_ratio": 0.99}}
    )

    assert question_words(plan).endswith(", for 99% of the requests (slo.within_ratio)")
    assert "slo.within_ratio" not in question_words(without)


def test_the_verdict_comes_before_the_ladder_and_the_ladder_before_the_options():
    """A reader who stops early has read the most important part."""
    text = plan_table(spot_plan())

    assert text.startswith("Run ")
    assert text.index("Replay:") < text.index("ladder:") < text.index("options,") < text.index("--verbose shows")


def test_demand_told_from_accelerators_stands_in_the_first_line():
    """Its interval and its risk; and of a plan that rests on it no more is said than what carries the planned rates."""
    plan = spot_plan()
    interval = {"mean_low": 2.57, "mean_high": 2.57, "peak_low": 3.0, "peak_high": 19.0, "contradiction": ""}
    told = replace(plan, demand={**plan.demand, "interval": interval})
    assert headline(told).endswith(
        "; demand not measured, 2.57 requests/s on average and 3 to 19 in the busiest minute; "
        "risk: demand, 57 minutes of history, spot"
    )
    total_usd = plan.fleet.cost.total_usd_per_month
    unproven = replace(plan.fleet, proven=False, gap_ratio=None, bound_usd_per_month=total_usd, cheapest=None)
    assert proof_words(unproven) == "no cheaper fleet carries the planned rates"
    by_hour = replace(unproven, hour_classes=unproven.hour_classes * 2)
    assert proof_words(by_hour) == (
        "no cheaper fleet carries the planned rates (among fleets whose groups never shrink as the load rises)"
    )


@pytest.mark.parametrize(("gap_ratio", "is_told"), [(0.686, True), (0.11, True), (0.1, False)])
def test_a_search_that_leaves_much_open_says_so_in_the_verdict(gap_ratio, is_told):
    """Below what no fleet carries the planned rates, and how to ask about a type; not of a fleet proven or refused."""
    plan = spot_plan()
    least_usd = plan.fleet.cost.total_usd_per_month * (1 - gap_ratio)
    fleet = replace(plan.fleet, proven=False, gap_ratio=None, bound_usd_per_month=least_usd, cheapest=None)
    told = " ".join(verdict_lines(replace(plan, fleet=fleet)))

    assert (f"the planned rates are ruled out only below ${least_usd:,.2f} a month." in told) is is_told
    assert ("`advisor explain PLAN --why TYPE` prices a type that you expect to cost less." in told) is is_told
    by_hour = replace(fleet, hour_classes=fleet.hour_classes * 2)
    assert (
        "a month (among fleets whose groups never shrink as the load rises). `advisor explain"
        in " ".join(open_words(by_hour))
    ) is is_told
    assert not list(open_words(replace(fleet, proven=True)))
    refused = replace(fleet.confirmed, reached=False)
    assert not list(open_words(replace(fleet, confirmed=refused)))


def planned_beyond(ratio):
    """A fleet whose replay holds with replicas that carry so many times the rate that is predicted."""
    predicted = make_group().requests_per_second_per_replica.value
    return make_fleet(make_group(planned_requests_per_second_per_instance=ratio * predicted))


@pytest.mark.parametrize(
    ("fleet", "risk"),
    [
        (make_fleet(make_group()), "none"),
        (make_fleet(make_group(purchase="spot")), "spot"),
        (mixed_plan().fleet, "price, commitment, spot"),
        (replace(mixed_plan().fleet, doubtful_prices=()), "commitment, spot"),
        (replace(make_fleet(make_group()), failures=(Failure("one instance of it", 0.0, 0),)), "failure"),
        (make_fleet(make_group(purchase="spot", evidence="roofline")), "prediction, spot"),
        (make_fleet(make_group(evidence="roofline"), confirmed=None), "replay, prediction"),
        (planned_beyond(2.5), "replicas planned at 2.5 × the predicted rate (only the replay holds it)"),
        (planned_beyond(1.1), "none"),
        (make_fleet(make_group(), forecast=forecast_off_by(0.65)), "forecast off by 65%"),
        (make_fleet(make_group(), forecast=forecast_off_by(0.49)), "none"),
    ],
    ids=[
        "none",
        "spot",
        "price",
        "commitment",
        "failure",
        "prediction",
        "replay",
        "beyond the prediction",
        "near the prediction",
        "forecast",
        "good forecast",
    ],
)
def test_every_risk_that_applies_is_named(fleet, risk):
    """A replay that falls short comes before predictions, those before prices, commitments, failures and spot."""
    assert risk_words(over(make_plan(fleet), 7 * 86_400)) == risk


@pytest.mark.parametrize(
    ("seconds", "risk"),
    [
        (60.0, "1 minute of history"),
        (3435.0, "57 minutes of history"),
        (7200.0, "2 hours of history"),
        (86_399.0, "23 hours of history"),
        (86_400.0, "none"),
        (None, "none"),
    ],
)
def test_less_than_a_day_of_history_is_a_risk(seconds, risk):
    """How much there is stands in the first line; declared demand has no history that could be short."""
    assert headline(over(make_plan(make_fleet(make_group())), seconds)).endswith(f"; risk: {risk}")


def test_a_replay_that_falls_short_is_said_first():
    """It is the first sentence after the headline, whatever else there is to say."""
    plan = spot_plan()
    short = replace(plan, fleet=replace(plan.fleet, confirmed=replace(plan.fleet.confirmed, within_slo_ratio=0.9731)))

    assert next(verdict_lines(short)) == (
        "Do not rely on it: its replay finds 97.31% of the requests within the SLO, 99% are asked."
    )
    assert headline(short).startswith("No fleet keeps the SLO in its replay; closest: ")
    assert headline(short).endswith("risk: replay, 57 minutes of history, spot")


def test_machines_without_code_are_told():
    """A provider that no code is generated for is told once, whatever is planned there."""
    group = make_group()
    by_hand = [replace(group, not_generated="no code is generated for lambda", name=name) for name in ("a", "b")]

    assert lines_of(make_plan(make_fleet(*by_hand)))["Code"].endswith(
        "no code is generated for lambda; its machines are started by hand."
    )
    assert "Code" not in lines_of(make_plan(make_fleet(group)))


def test_what_does_not_matter_is_not_said():
    """Without obligation, spare, doubts, ladder or rivals there is one line: the replay."""
    assert list(lines_of(make_plan(make_fleet(make_group())))) == ["Replay"]


def test_an_obligation_has_its_sum_its_end_and_its_regret():
    """What is owed until when, and what half of the demand would leave idle."""
    told = lines_of(mixed_plan())["Obligation"]

    assert "$21,199.20 until 2027-11-09" in told
    assert "if demand falls by half, $412.33 a month" in told


@pytest.mark.parametrize(("share", "is_told"), [(0.51, True), (0.49, False)])
def test_charges_that_no_load_changes_are_told_where_they_are_most(share, is_told):
    """More than half of the total; what grows with the requests is no part of them."""
    fleet = make_fleet(make_group())
    usd = round(fleet.cost.total_usd_per_month * share, 2)
    standing = tuple(
        StandingCharge("aws", "us-east-1", item, 730.0, "hour", 0.1, cost, "a list", "2026-11-24", "listed")
        for item, cost in (("cluster", usd - 3.0), ("nat_gateway", 2.0), ("public_ip", 1.0), ("log_ingest", 9_999.0))
    )
    lines = lines_of(make_plan(replace(fleet, standing=standing)))

    assert ("Standing" in lines) == is_told
    if is_told:
        assert (
            f"Standing: ${usd:,.2f} of the ${fleet.cost.total_usd_per_month:,.2f} are for what stands"
            in lines["Standing"]
        )
        assert f"(control plane of the cluster ${usd - 3:,.2f}, NAT gateway $3.00): " in lines["Standing"]


@pytest.mark.parametrize(("share", "told"), [(1.01, ["Replay", "Traffic"]), (0.99, ["Replay"])])
def test_traffic_that_costs_more_than_the_machines_is_told_with_both_sums(share, told):
    """Bytes of requests that are the dearest part of a fleet are no detail; a cheaper part is one."""
    fleet = make_fleet(make_group())
    usd = fleet.cost.compute_usd_per_month * share
    units = CostLine(CostKind.NETWORK, "load_balancer_capacity", "aws/us-east-1", usd / 0.008, "LCU-hour", 0.008, usd)
    lines = lines_of(make_plan(replace(fleet, cost_lines=(*fleet.cost_lines, units))))

    assert list(lines) == told
    if "Traffic" in told:
        assert f"${usd:,.2f} of the" in lines["Traffic"]
        assert f"(${fleet.cost.compute_usd_per_month:,.2f})" in lines["Traffic"]


@pytest.mark.parametrize(("share", "is_told"), [(0.26, True), (0.14, False)])
def test_answers_that_are_a_large_share_of_the_total_are_told(share, is_told):
    """Who calls from the same region does not pay for data that leaves it, which no key of a workload says."""
    fleet = make_fleet(make_group())
    paid = fleet.cost.total_usd_per_month * share
    sent = CostLine(CostKind.NETWORK, "answers", "aws/us-east-1", paid / 0.09, "GB", 0.09, paid)
    told = lines_of(make_plan(replace(fleet, cost_lines=(*fleet.cost_lines, sent)))).get("Traffic", "")

    assert bool(told) == is_told
    if is_told:
        assert f"are for answers on their way to the users, {rounded(paid / 0.09)} GB a month" in told
        assert told.endswith("at internet prices: callers in the same region do not cost it.")


def test_traffic_is_told_with_the_bytes_that_it_assumes():
    """A GB of data that passes a Gateway for each thousand requests of a month is 1,000 kB of each."""
    fleet = make_fleet(make_group())
    plan = make_plan(fleet)
    gb = plan.demand["requests_per_second"]["mean"] * 730 * 3600 / 1000
    data = CostLine(CostKind.NETWORK, "gateway_data", "gcp/us-central1", gb, "GB", 1.0, 1e6)
    told = lines_of(replace(plan, fleet=replace(fleet, cost_lines=(*fleet.cost_lines, data))))["Traffic"]

    assert "what goes through the Gateway before the cluster" in told
    assert told.endswith("assuming 1,000 kB for each request with its answer.")


@pytest.mark.parametrize("machines", [Machines.NODES, Machines.HOSTS])
def test_nodes_of_a_cluster_are_told_with_the_fee_that_the_total_holds(machines):
    """In the verdict where code starts nodes of one; of machines that code starts by themselves nothing."""
    fleet = make_fleet(make_group())
    charges = region_charges(load_catalog(), "gcp", "us-central1", 1e-6, Deployed(machines=machines))
    lines = lines_of(make_plan(replace(fleet, standing=tuple(charges.charges(1.0, 1.0)))))

    assert ("Cluster" in lines) is (machines is Machines.NODES)
    if machines is Machines.NODES:
        assert "nodes of a GKE cluster in us-central1" in lines["Cluster"]
        assert "fee ($73.00 a month) is in the total" in lines["Cluster"]


@pytest.mark.parametrize("machines", [Machines.NODES, Machines.HOSTS])
def test_a_cluster_that_a_fleet_of_hosts_leaves_unused_is_told(machines):
    """With what uses it; nodes join it, and need no word."""
    fleet = make_fleet(make_group())
    deployed = Deployed(machines=machines, existing_cluster=True)
    charges = region_charges(load_catalog(), "aws", "us-east-1", 1e-6, deployed)
    plan = make_plan(replace(fleet, standing=tuple(charges.charges(1.0, 1.0))))
    lines = lines_of(replace(plan, workload={**plan.workload, "existing_cluster": True}))

    assert ("Cluster" in lines) is (machines is Machines.HOSTS)
    if machines is Machines.HOSTS:
        assert "no effect, since the fleet runs on hosts" in lines["Cluster"]
        assert "--target eks uses it" in lines["Cluster"]


def test_a_spare_names_its_machines_and_its_rule():
    """How many of how many, and which key of the workload file keeps them."""
    told = lines_of(spot_plan())["Spare"]

    assert "1 of 4 × g6e.xlarge spot" in told
    assert "limits.fault_tolerant_ratio" in told


def test_spares_of_one_rule_stand_in_one_line():
    """Two groups, one reason, one sentence."""
    first, second = make_group(), make_group(2, instance_type="g7e.2xlarge")
    spare = (Spare(first.name, 1, "survive: zone", 1319.89), Spare(second.name, 2, "survive: zone", 4910.16))
    plan = make_plan(make_fleet(first, second, spare=spare))

    told = [line for line in verdict_lines(plan) if line.startswith("Spare")]
    assert len(told) == 1
    assert (
        "1 of 4 × g6e.xlarge on demand ($1,319.89 a month) and 2 of 2 × g7e.2xlarge on demand ($4,910.16 a month)"
        in told[0]
    )


def test_a_spare_says_what_it_costs_and_what_its_replay_finds_without_it():
    """The part that a limit keeps and the part that only the replay asks for stand in a line each."""
    group = make_group()
    spare = (Spare(group.name, 1, "survive: instance", 1319.89), Spare(group.name, 1, "replay", 1319.89, 0.98884))
    told = [line for line in verdict_lines(make_plan(make_fleet(group, spare=spare))) if line.startswith("Spare")]

    assert told == [
        (
            "Spare: 1 of 4 × g6e.xlarge on demand ($1,319.89 a month) beyond the load of the busiest hours, so that any one "
            "instance may fail (limits.survive)."
        ),
        (
            "Spare: 1 of 4 × g6e.xlarge on demand ($1,319.89 a month) beyond the load of the busiest hours, for the bursts of "
            "its replay: without it 98.88% would be within the SLO where that is worst."
        ),
    ]


def test_a_failure_names_the_hours_that_it_hits():
    """Quiet hours with few instances can be hit harder than the busiest ones; all that is planned is enough."""
    group = make_group((1, 3))
    schedule = ((1,) * 6 + (0,) * 12 + (1,) * 6) * 7
    hours = (PlannedHours(84, 1.0, 2.0, 1.0), PlannedHours(84, 4.0, 8.0, 4.0))
    fleet = make_fleet(group, hour_classes=hours, schedule=schedule)
    quiet, rounded = Failure("one zone of us-east-1", 0.4, 0), Failure("one zone of us-east-1", 0.99999, 1)

    assert lines_of(make_plan(replace(fleet, failures=(quiet,))))["Failure"] == (
        "Failure: without one zone of us-east-1 40% of the planned rate is left in 84 hours a week (first: Mon 06:00 UTC)."
    )
    assert "Failure" not in lines_of(make_plan(replace(fleet, failures=(rounded,))))


@pytest.mark.parametrize(
    ("hour_classes", "words"),
    [
        ((0,), "in 100 hours a week (first: Mon 06:00 UTC)"),
        ((0, 2), "in 126 hours a week (first: Mon 04:00 UTC)"),
        ((0, 1, 2), "at all hours"),
    ],
)
def test_a_failure_names_all_hours_that_it_hits_alike(hour_classes, words):
    """Hours of several classes are one number of hours, and all classes all hours."""
    night = (1,) * 4 + (2,) * 2
    schedule = (night + (0,) * 12 + (1,) * 6) * 7
    hours = (PlannedHours(100, 1.0, 2.0, 1.0), PlannedHours(42, 1.0, 2.0, 1.0), PlannedHours(26, 4.0, 8.0, 4.0))
    fleet = make_fleet(make_group((1, 1, 1)), hour_classes=hours, schedule=schedule)
    failure = Failure("one zone of us-east-1", 0.0, hour_classes[0], hour_classes)

    assert lines_of(make_plan(replace(fleet, failures=(failure,))))["Failure"] == (
        f"Failure: without one zone of us-east-1 nothing is left {words}."
    )


def test_only_the_worst_failure_is_in_the_verdict():
    """Where every failure leaves enough nothing is said; otherwise the failure that leaves least."""
    group = make_group()
    enough = (Failure(f"one instance of {group.name}", 1.0, 0),)
    some = (*enough, Failure("one zone of us-east-1", 0.5, 0), Failure("spot of x in one zone", 0.0, 0))

    assert "Failure" not in lines_of(make_plan(make_fleet(group, failures=enough)))
    assert (
        "without one zone of us-east-1 50% of the planned rate"
        in (lines_of(make_plan(make_fleet(group, failures=some[:2])))["Failure"])
    )
    assert (
        "without spot of x in one zone nothing is left"
        in (lines_of(make_plan(make_fleet(group, failures=some)))["Failure"])
    )


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("one zone of us-east-1",), "without one zone of us-east-1 50% of"),
        (("one zone of us-east-1", "spot of x in one zone"), "without one zone of us-east-1 or spot of x in one zone 50% of"),
        (("zone a", "zone b", "zone c"), "without zone a, zone b or zone c 50% of"),
        (("zone a", "zone b", "zone c", "zone d"), "without zone a, zone b or 2 other parts 50% of"),
    ],
)  # fmt: skip
def test_failures_that_leave_as_little_are_all_told(parts, words):
    """Only the first of them was; one that leaves more is left out."""
    failures = (*(Failure(part, 0.5, 0) for part in parts), Failure("one zone of us-west-2", 0.6, 0))

    assert words in lines_of(make_plan(make_fleet(make_group(), failures=failures)))["Failure"]
    assert "us-west-2" not in lines_of(make_plan(make_fleet(make_group(), failures=failures)))["Failure"]


def test_failures_alike_in_other_hours_are_told_with_theirs():
    """Of machines that take turns each is all that runs in its own hours."""
    night, day = make_group((1, 0)), replace(make_group((0, 1)), name="aws/us-east-1/g6.xlarge/on_demand")
    day = replace(day, instance_type="g6.xlarge")
    schedule = ((0,) * 6 + (1,) * 12 + (0,) * 6) * 7
    hours = (PlannedHours(84, 1.0, 2.0, 1.0), PlannedHours(84, 4.0, 8.0, 4.0))
    failures = tuple(
        Failure(f"one instance of {group.name.removesuffix('/on_demand')}", 0.0, at, (at,))
        for at, group in enumerate((night, day))
    )
    fleet = make_fleet(night, day, hour_classes=hours, schedule=schedule, failures=failures)

    assert lines_of(make_plan(fleet))["Failure"] == (
        "Failure: without one instance of g6e.xlarge nothing is left in 84 hours a week (first: Mon 00:00 UTC); the same "
        "without one instance of g6.xlarge in 84 hours a week (first: Mon 06:00 UTC)."
    )


@pytest.mark.parametrize(("counts", "words"), [((3, 3), "one of 3 instances of"), ((2, 3), "one instance of")])
def test_instances_that_fail_alike_are_counted(counts, words):
    """Any of the instances of a group; in hours with other numbers of them it is one of some number."""
    group = make_group(counts)
    hours = (PlannedHours(84, 1.0, 2.0, 1.0), PlannedHours(84, 4.0, 8.0, 4.0))
    failure = Failure(f"one instance of {group.name.removesuffix('/on_demand')}", 0.6, 0, (0, 1))
    fleet = make_fleet(group, hour_classes=hours, schedule=(0, 1) * 84, failures=(failure,))

    assert f"without {words} g6e.xlarge 60%" in lines_of(make_plan(fleet))["Failure"]


def test_a_cheaper_fleet_that_is_not_recommended_is_named():
    """With its difference and what it takes more."""
    told = lines_of(mixed_plan())["Cheapest"]

    assert "2 × g6e.xlarge committed for 1 year + 1 × inf2.8xlarge spot costs $111.60 less" in told
    assert "(proven)" not in plan_table(mixed_plan(), width=None, verbose=True)


@pytest.mark.parametrize(
    ("group", "lossy", "words"),
    [
        ({}, ("int4",), "in int4: the published weights are recommended"),
        ({"precision": "fp8", "weights_scheme": "FP8"}, ("int4",), "in int4: fp8, named earlier in `precisions`, is"),
        ({"precision": "int8", "weights": ""}, ("int4",), "in int4: int8, named earlier in `precisions`, is"),
        ({}, (), "takes more instance types: the simpler fleet"),
    ],
)
def test_a_cheaper_fleet_names_what_is_preferred_to_it(group, lossy, words):
    """Published weights or an earlier precision; on as many backends it can only be the number of types."""
    cheapest = Cheapest(("2 × g6e.xlarge spot", "1 × g6e.2xlarge spot"), 900.0, 12.0, 1, lossy)
    fleet = make_fleet(make_group(2, **group), make_group(1, **group), cheapest=cheapest)

    assert words in lines_of(make_plan(fleet))["Cheapest"]


def test_a_cheaper_fleet_with_an_engine_that_is_not_preferred_is_told_so():
    """It has one backend and one type too: an engine beside the preferred one counts twice."""
    cheapest = Cheapest(("2 × p5.48xlarge spot",), 900.0, 12.0, 1, other_engines=("TensorRT-LLM",))
    told = lines_of(make_plan(make_fleet(make_group(6, engine="vLLM"), cheapest=cheapest)))["Cheapest"]

    assert told == (
        "Cheapest: 2 × p5.48xlarge spot costs $12.00 less with TensorRT-LLM, not a preferred engine there: vLLM is "
        "recommended (limits.simplicity)."
    )


def test_a_spare_that_no_share_misses_is_not_said_to_raise_one():
    """The replay has the same least share with it and without: the words do not claim that it helps."""
    group = make_group()
    fleet = make_fleet(group, spare=(Spare(group.name, 1, "replay", 8.32, 0.991),))
    confirmed = replace(fleet.confirmed, within_slo_ratio=0.991)
    (told,) = (
        line for line in verdict_lines(make_plan(replace(fleet, confirmed=confirmed))) if line.startswith("Spare")
    )

    assert "with and without it 99.1% are within the SLO where that is worst" in told
    assert "without it 99.1% would" not in told


def test_zones_of_a_type_are_doubted_once():
    """Groups of a type in a region that are thought to be in two and in three of its zones: the larger number."""
    groups = [
        make_group(2, zones=zones, zones_verified=False, purchase=paid)
        for zones, paid in ((2, "spot"), (3, "on_demand"))
    ]

    assert (
        lines_of(make_plan(make_fleet(*groups)))["Zones"]
        == "Zones: assumed, not verified: g6e.xlarge in 3 zones of us-east-1."
    )


def test_a_transcript_is_told_with_its_real_time_factor():
    """The target that is stated, before the latency that it is of."""
    replay = replace(make_fleet(make_group(1)).confirmed, real_time_factor_p95=0.1434)
    fleet = make_fleet(make_group(1), unit=Unit.AUDIO, confirmed=replay)

    assert ", real-time factor p95 0.14, latency p95 " in lines_of(make_plan(fleet))["Replay"]


def test_weights_of_a_file_are_those_that_it_holds():
    """llama.cpp serves a GGUF file in its own quantisation: nobody has to make other weights."""
    group = make_group(2, precision="int8", weights="", engine="llama.cpp server")
    plan = make_plan(make_fleet(group))
    file = ModelFile("emb.gguf", 1, "", "Q6_K", "int8")
    plan = replace(plan, provenance=replace(plan.provenance, model_file=file))
    assert lines_of(plan)["Weights"] == "Weights: emb.gguf in Q6_K."


def test_weights_that_nobody_published_are_said():
    """They have to be made before anything can be applied."""
    told = lines_of(make_plan(make_fleet(make_group(2, precision="int8", weights=""))))["Weights"]

    assert "no int8 ones are known: make them and name them in `model_ids` of the code, quality loss not known." in told
    assert "Weights" not in lines_of(make_plan(make_fleet(make_group(2, precision="bf16", weights=""))))


def test_a_price_in_doubt_comes_with_the_fleet_on_listed_prices():
    """Which price, what it may be today, why it is in doubt, and the runner-up."""
    told = lines_of(mixed_plan())["Price"]

    assert "g6e.2xlarge spot at $0.90 an hour, today $0.558 to $1.26" in told
    assert "derived, 499 days old" in told
    assert "5 × g6e.xlarge on demand at $6,817.45" in told


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (
            PriceRange(3000.0, 4500.0, "A", 4100.0, rival_replayed=True, rival_in_doubt=True),
            "fleet costs $4,500.00 and A $4,100.00 by a price that is in doubt too. On listed prices alone, at most: B at $6,817.45.",
        ),
        (
            PriceRange(3000.0, 4500.0, "5 × g6e.xlarge on demand", 4100.0, rival_replayed=False, rival_in_doubt=False),
            "fleet costs $4,500.00 and 5 × g6e.xlarge on demand ~$4,100.00 (not replayed).",
        ),
    ],
)
def test_the_upper_end_stands_beside_the_rival(ends, words):
    """The break-even price, the total at the upper end and that of what would then be cheaper."""
    fleet = mixed_plan().fleet
    (doubt,) = fleet.doubtful_prices
    doubt = replace(doubt, break_even_usd_per_hour=1.1, runner_up=("B",))
    fleet = replace(fleet, doubtful_prices=(doubt,), price_range=ends)
    told = lines_of(replace(mixed_plan(), fleet=fleet))["Price"]
    assert "is in doubt and decides. No option is cheaper while it costs less than $1.10 an hour. At its upper" in told
    assert told.endswith(f" the {words}")


def test_several_prices_hold_together():
    """The limit is of all that rise together, and `explain --why` has that of one; groups of one price are one."""
    plan = mixed_plan()
    (doubt,) = plan.fleet.doubtful_prices
    ends = PriceRange(3000.0, 4500.0, "A", 4100.0, rival_replayed=True, rival_in_doubt=False)
    rising = [
        replace(doubt, group=group.name, break_even_usd_per_hour=group.instance_usd_per_hour * 2)
        for group in plan.fleet.groups
    ]
    fleet = replace(plan.fleet, doubtful_prices=tuple(rising), price_range=ends)
    told = lines_of(replace(plan, fleet=fleet))["Price"]
    prices = " and ".join(price_usd(group.instance_usd_per_hour * 2) for group in plan.fleet.groups)
    assert (
        f" are in doubt and decide. No option is cheaper while they rise together and cost less than {prices} an hour "
        "(one alone: `advisor explain PLAN --why TYPE`). At their upper prices the fleet costs $4,500.00"
    ) in told
    alike = [replace(plan.fleet.groups[0], name=f"{plan.fleet.groups[0].name}{at}") for at in range(2)]
    same = [replace(rising[0], group=group.name) for group in alike]
    fleet = replace(plan.fleet, groups=tuple(alike), doubtful_prices=tuple(same), price_range=ends)
    told = lines_of(replace(plan, fleet=fleet))["Price"]
    assert told.count(" an hour, today ") == 1
    assert " is in doubt and decides. No option is cheaper while it costs less than $" in told


def test_an_upper_end_below_every_rival_is_told():
    """A price that may rise and overturns nothing is told with what the fleet may then cost."""
    fleet = mixed_plan().fleet
    (doubt,) = fleet.doubtful_prices
    ends = PriceRange(3000.0, 4500.0, "5 × g6e.xlarge on demand", 6817.45, rival_replayed=True, rival_in_doubt=False)
    fleet = replace(fleet, doubtful_prices=(replace(doubt, decides=False),), price_range=ends)
    assert lines_of(replace(mixed_plan(), fleet=fleet))["Price"].endswith(
        " is in doubt; even at its upper price, where the fleet costs $4,500.00, no option costs less."
    )


def test_a_price_in_doubt_that_does_not_decide_is_told_too():
    """An old list price is a risk of the first line, and that no option on listed prices is cheaper is said."""
    group = make_group()
    doubt = DoubtfulPrice(group.name, "of 2026-06-18, older than 90 days", 0.81, 1.0, (), None, decides=False)
    plan = over(make_plan(make_fleet(group, doubtful_prices=(doubt,))), None)

    assert headline(plan).endswith("; risk: price")
    assert lines_of(plan)["Price"] == (
        "Price: g6e.xlarge on demand at $1.861 an hour, today $1.507 to $1.861 (of 2026-06-18, older than 90 days) is in "
        "doubt; even so no option on listed prices is cheaper."
    )


_RAISE = (
    "First: raise the quota G and VT (L-DB2E81BA) in us-east-1 to 800 vCPUs (624 in use, 176 more while instances are "
    "replaced)."
)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (None, _RAISE),
        (799.0, _RAISE),
        (800.0, None),
    ],
)
def test_the_verdict_ends_with_the_quotas_to_raise(limit, told):
    """What has to be done first, unless the account is known to have enough."""
    need = QuotaNeed("aws", "us-east-1", "L-DB2E81BA", "G and VT", "vCPUs", 624.0, limit, 800.0)

    assert lines_of(make_plan(make_fleet(make_group(), quotas=(need,)))).get("First") == told


def test_zones_that_no_source_lists_are_not_claimed():
    """An assumed zone is said to be one; a verified one is not mentioned."""
    assert "not verified: g6e.xlarge in 3 zones of us-east-1" in lines_of(spot_plan())["Zones"]
    assert "Zones" not in lines_of(mixed_plan())


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({}, "Place: us-east-1 by price alone, as the workload states no users, regions or residency."),
        ({"regions": ["us-east-1"]}, None),
        ({"users": {"DE": 1.0}}, None),
        ({"residency": ["EU"]}, None),
    ],
)
def test_a_place_that_only_its_price_speaks_for_is_told(stated, told):
    """Nothing that the workload states, and no machine of today, is near it."""
    plan = make_plan(make_fleet(make_group()))
    alike = replace(plan, workload=plan.workload | {"regions": [], "users": {}, "residency": []} | stated)
    today = CurrentCost("aws", "us-east-1", "g5.12xlarge", "on_demand", 4, 22.69, 16_562.24)

    assert lines_of(alike).get("Place") == told
    assert "Place" not in lines_of(with_today(alike, today))


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ({"within_slo_ratio": 0.6123, "instances_needed": 17}, "keep 61.23% within the SLO; 17 are needed."),
        (
            {
                "within_slo_ratio": 0.9914,
                "instances_needed": 7,
                "unavoidable_late_ratio": 0.0059,
                "least_within_slo_ratio": 0.7437,
                "least_within_slo_when": "with one machine gone",
            },
            "keep 99.14% within the SLO; 74.37% with one machine gone; 7 are needed for 99.1% then, 99% and a margin.",
        ),
        ({"within_slo_ratio": 0.9999, "instances_needed": 2}, "keep 99.99% within the SLO; 2 would do."),
        ({"within_slo_ratio": 0.995, "instances_needed": 4}, "within the SLO; that many are needed."),
        (
            {"within_slo_ratio": 0.1, "not_judged": "no number of them keeps the SLO"},
            "no number of them keeps the SLO.",
        ),
        (
            {"within_slo_ratio": 0.71, "instances_needed": 6, "not_generated": "it needs the GRID driver"},
            "keep 71% within the SLO; 6 are needed; no code is generated for it: it needs the GRID driver.",
        ),
        ({"not_judged": "too little memory"}, "not judged: too little memory."),
    ],
)
def test_what_runs_today_is_judged(current, expected):
    """Share within the SLO and the number that the demand takes, or why neither is known."""
    today = CurrentCost("aws", "us-east-1", "g5.12xlarge", "on_demand", 4, 22.69, 16_562.24, **current)
    told = lines_of(with_today(make_plan(make_fleet(make_group())), today))["Today"]

    assert told.startswith("Today: 4 × g5.12xlarge at $16,562.24 a month")
    assert told.endswith(expected)


@pytest.mark.parametrize(
    ("requests", "mean", "words"), [(None, 2.0, " at the stated peak"), (None, 4.0, ""), (9_000, 2.0, "")]
)
def test_shares_of_declared_demand_are_of_its_peak(requests, mean, words):
    """What is stated is replayed at its peak alone: a share within the SLO says so where the mean is below it."""
    today = CurrentCost("aws", "us-east-1", "g5.12xlarge", "on_demand", 4, 22.69, 16_562.24, 0.6123, 17)
    plan = with_today(spot_plan(), today)
    demand = {**plan.demand, "requests": requests, "interval": None}
    declared = replace(plan, demand={**demand, "requests_per_second": {"mean": mean, "peak": 4.0}})
    told = lines_of(declared)

    assert f"keep 61.23% within the SLO{words};" in told["Today"]
    assert f"within the SLO{words} (99% asked" in told["Replay"]


@pytest.mark.parametrize(("ratio", "is_told"), [(1.5, True), (1.0, False)])
def test_a_minute_that_came_and_is_busier_than_planned_is_named(ratio, is_told):
    """Planned is what nine of ten hours stay within: a busier minute that was seen is told."""
    plan = spot_plan()
    planned = plan.fleet.hour_classes[-1].planned_requests_per_second
    demand = {**plan.demand, "window_seconds": 86_400.0, "interval": None}
    seen = {**demand["requests_per_second"], "peak": ratio * planned}
    told = lines_of(replace(plan, demand={**demand, "requests_per_second": seen}))

    assert ("Demand" in told) == is_told
    if is_told:
        assert f"had {rounded(1.5 * planned)} requests/s; up to {rounded(planned)} are planned" in told["Demand"]


def test_a_measured_latency_far_above_its_prediction_is_said_first_with_the_machines_taken_away():
    """A risk of the first line, then both numbers; and what would do is said to be so by prediction alone."""
    slower = (ComparedLatency("ttft_p95_ms", 8990.0, 224.0), ComparedLatency("tpot_p95_ms", 230.0, 38.9))
    group = make_group()
    today = CurrentCost(
        group.provider, group.region, group.instance_type, "on_demand", 6, 11.2, 8_176.0, 1.0, 4, slower=slower
    )
    plan = with_today(make_plan(make_fleet(group)), today)

    assert "; risk: 57 minutes of history, measured latency" in headline(plan)
    assert next(iter(verdict_lines(plan))) == (
        "Measured: users get up to 40.1 × what is predicted of g6e.xlarge (TTFT p95 8.99 s measured, 224 ms predicted, "
        "TPOT p95 230 ms measured, 38.9 ms predicted); 4 are planned where 6 run: find out what takes the time before "
        "anything is taken away."
    )
    assert lines_of(plan)["Today"].endswith("4 would do by predictions that users do not get.")
    as_predicted = with_today(plan, replace(today, slower=()))
    assert "measured" not in headline(as_predicted)
    assert "Measured" not in lines_of(as_predicted)


def test_the_rungs_beside_the_recommendation_are_named():
    """The nearest rung that costs more below, the nearest that costs less above; or that more saves nothing."""
    assert lines_of(spot_plan())["Ladder"] == (
        "Ladder: the rung below (commit) costs $5,474.55; the rung above (any cloud, in int8 too) costs $834.96."
    )
    ladder = (
        make_rung("same_cloud", make_group(), recommended=True),
        make_rung("any_cloud", make_group(), beyond_stated=True),
    )
    plan = make_plan(make_fleet(make_group()), ladder=ladder)
    assert lines_of(plan)["Ladder"] == "Ladder: no rung above (up to any cloud) saves more."


def test_a_rung_above_says_what_else_its_fleet_changes():
    """Each rung allows what those below it do: spot comes with another precision, and that with any cloud."""
    spot, eight = replace(make_group(1), purchase="spot"), {"precision": "int4"}
    ladder = (
        make_rung("precision", replace(make_group(3), purchase="spot", **eight), beyond_stated=True),
        make_rung("any_cloud", replace(spot, **eight), beyond_stated=True),
    )
    told = lines_of(make_plan(make_fleet(make_group()), ladder=ladder))["Ladder"]

    assert "the rung above (precision, on spot too) costs" in told
    assert "the cheapest (any cloud, on spot and in int4 too)" in told


def test_the_cheapest_rung_is_named_beside_the_next_one():
    """A reader sees how far down it goes, not only the next step."""
    ladder = (
        make_rung("precision", make_group(3), beyond_stated=True),
        make_rung("any_cloud", make_group(1), beyond_stated=True),
    )
    told = lines_of(make_plan(make_fleet(make_group()), ladder=ladder))["Ladder"]

    assert told == "Ladder: the rung above (precision) costs $4,116.02; the cheapest (any cloud) $1,398.96."


def test_a_rung_whose_instances_follow_the_hours_says_the_fewest_too():
    """A count is a range wherever the fleet has fewer at night, in the ladder as in the first line."""
    group = make_group((1, 3))
    fleet = make_fleet(group, hour_classes=(PlannedHours(68, 1.1, 2.6, 1.8), PlannedHours(100, 6.1, 9.75, 5.7)))
    text = plan_table(make_plan(fleet, ladder=(make_rung("spot", group, recommended=True),)))

    assert text.startswith("Run 1…3 × g6e.xlarge")
    assert "1…3 × g6e.xlarge" in text.partition("ladder:")[2]


def test_a_rung_named_after_spot_says_where_it_has_none():
    """Spot that is not sold, or costs no less, leaves the fleet of the rung before, and the row says so."""
    group = make_group()
    ladder = (make_rung("same_cloud", group, recommended=True), make_rung("spot", group))
    text = plan_table(make_plan(make_fleet(group), ladder=ladder))

    assert "the same as same cloud; spot costs no less" in text
    assert "spot costs no less" not in plan_table(spot_plan(), width=None)

    stated = make_rung("same_cloud", replace(group, purchase="spot"), recommended=True)
    committed = make_rung("commit", replace(group, purchase="commitment"), beyond_stated=True)
    spot = make_rung("spot", replace(group, purchase="commitment"), beyond_stated=True)
    text = plan_table(make_plan(make_fleet(group), ladder=(stated, committed, spot)), width=None)
    assert "the same as commit, which costs less than spot" in text


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (4.9, "; the fleet costs less from 4.9 requests/s on average."),
        (
            9.2,
            "; the fleet never costs less at this size. It would from 9.2 requests/s on average, and is full at 4.93.",
        ),
    ],
)
def test_a_break_even_beyond_what_the_fleet_carries_is_never_reached(rate, words):
    """Four instances of 2.86 requests/s carry 11.4 in the busiest minute: 4.93 on average, as 9.75 go with 4.2."""
    service = TokenApi("d", "q", 612.4, 0.1, 0.1, "list", "2026-11", break_even_requests_per_second=rate)
    plan = make_plan(make_fleet(make_group()), token_apis=(service,))

    assert lines_of(plan)["By the token"].endswith(words)
    assert ("never at this size" in plan_table(plan, width=None, verbose=True)) == (rate > 4.93)


def test_a_fleet_that_stops_machines_is_full_where_its_fullest_hours_are():
    """The quietest hours, 1 of 2 instances, carry 1.1 times their busiest minute; the busiest 2 times."""
    quiet, busy = PlannedHours(84, 1.0, 2.6, 1.0), PlannedHours(84, 2.0, 2.86, 1.0)
    fleet = make_fleet(replace(make_group(), instances=(1, 2)), hour_classes=(quiet, busy))

    assert carried_mean_of(fleet) == pytest.approx(1.5 * 2.86 / 2.6)


@pytest.mark.parametrize(("usd", "told"), [(612.4, True), (99_999.0, False)])
def test_a_service_by_the_token_is_named_where_it_costs_less(usd, told):
    """The same weights for less than the fleet are worth a line; for more they are not."""
    services = (
        TokenApi("openai", "other", 1.0, 0.1, 0.1, "list", "2026-11", same_weights=False, asked=True),
        TokenApi("deepinfra", "qwen", usd, 0.1, 0.1, "list", "2026-11", break_even_requests_per_second=9.2),
    )
    found = lines_of(make_plan(make_fleet(make_group()), token_apis=services))

    assert ("By the token" in found) == told
    if told:
        assert "deepinfra/qwen asks $612.40" in found["By the token"]


def test_a_rung_without_a_fleet_says_why_on_its_row():
    """The reason stands where the fleet would."""
    plan = make_plan(make_fleet(make_group()), ladder=(no_rung("commit", "no commitment is sold here"),))
    row = next(line for line in plan_table(plan).splitlines() if line.strip().startswith("commit"))

    assert "no commitment is sold here" in row


def test_a_cheaper_option_says_on_its_row_why_it_is_not_recommended():
    """The reason is in the option's own row, at any width."""
    option = make_option(make_group(2), not_recommended="fewer backends are recommended")
    plan = make_plan(make_fleet(make_group()), option)

    for width in (60, 80, None):
        assert "fewer backends" in next(
            line for line in plan_table(plan, width=width).splitlines() if line.startswith("1  ")
        )


def test_nothing_feasible_says_what_stands_against_it():
    """The first line names the limits; what would help, the nearest misses and all rejections follow."""
    text = plan_table(no_plan(), width=None)

    assert text.startswith(
        "No fleet that was found keeps to limits.zones and costs at most $500 a month (limits.max_usd_per_month)"
    )
    assert "raise limits.max_usd_per_month from 500 to 1,358.53 USD/month" in text
    assert "2 TPOT over target, 1 over the budget, 1 preview only" in text


def test_verbose_leaves_nothing_out():
    """Every column and every note that a wide terminal shows is there in 80 columns too."""
    text = plan_table(spot_plan(), verbose=True)

    for words in ("TTFT p95", "engine", "vLLM 0.30.0", "USD/1M", "less than a day is known", "attention heads"):
        assert words in text
    assert "--wide" not in text


NAME = st.text(st.characters(categories=("L", "N"), include_characters="-._/ "), min_size=1, max_size=90)


@settings(max_examples=60)
@given(NAME, NAME, NAME, st.integers(40, 120), st.booleans())
def test_no_line_is_wider_than_the_terminal(instance_type, region, name, width, verbose):
    """Whatever things are called: only words that hold no space, with their count, stand beyond the width, alone."""
    group = make_group(3, instance_type=instance_type, region=region, zones_verified=False)
    second = make_group(1, instance_type=f"{instance_type}2", purchase="spot", region=region)
    fleet = make_fleet(
        group, second, spare=(Spare(group.name, 1, "zones", 0.0),), failures=(Failure(f"x {group.name}", 0.5, 0),)
    )
    rungs = (no_rung("as_is", name), make_rung("spot", group, second, requires=(name,), risks=(instance_type, region)))
    option = make_option(group, not_recommended=name)
    plan = make_plan(fleet, option, ladder=rungs, name=name, model=instance_type, notes=(name,))

    for line in plan_table(plan, width=width, verbose=verbose).splitlines():
        words = line.removeprefix("  - ").replace(" × ", "×").split()
        assert len(line) <= width or len(words) == 1, line


@pytest.mark.parametrize(
    ("purchase", "counts", "compute_usd", "words"),
    [
        ("on_demand", (2, 4), 9_000.0, "(aws us-east-1), in quieter hours fewer than today"),
        ("spot", (4, 4), 9_000.0, "(aws us-east-1), as many as today's on demand"),
        ("on_demand", (4, 4), 9_000.0, "(aws us-east-1), at a lower price than today"),
        ("on_demand", (4, 4), 1_000.0, "(aws us-east-1), at a lower price or with less beside them than today"),
        ("on_demand", (3, 3), 9_000.0, "(aws us-east-1)"),
    ],
)
def test_a_rung_of_todays_machines_says_why_it_costs_less(purchase, counts, compute_usd, words):
    """As many of the same machines for less are no riddle: hours, a way of paying, a price, or what is beside them."""
    group = replace(make_group(4), instances=counts, purchase=purchase)
    place = group.provider, group.region, group.instance_type
    current = CurrentCost(*place, "on_demand", 4, compute_usd / HOURS_PER_MONTH, 9_999.0)
    rung = make_rung("resize", group, total_usd_per_month=8_000.0)
    plan = replace(spot_plan(), current=current, ladder=(rung,), as_stated=None)
    (row,) = ladder_section(plan).rows

    assert row[-1].endswith(words)


@pytest.mark.parametrize(
    ("kept", "measured", "is_told"), [(0.5, None, True), (0.5, {"ttft_p95_ms": 300.0}, False), (0.995, None, False)]
)
def test_what_to_state_is_told_where_today_is_only_predicted_to_miss_the_slo(kept, measured, is_told):
    """Not where users' latency is stated, nor where the SLO is kept."""
    today = CurrentCost("aws", "us-east-1", "g5.12xlarge", "on_demand", 4, 22.69, 16_562.24, kept, 6)
    plan = with_today(make_plan(make_fleet(make_group())), today)
    plan = replace(plan, question={"workload": {"current": {"measured": measured}}})

    assert ("where users see better, state current.measured." in lines_of(plan)["Today"]) == is_told


@pytest.mark.parametrize(("high_ratio", "words"), [(1.0, "at $1,234.50,"), (1.5, "$1,851.75 at most,")])
def test_a_close_call_names_a_range_only_where_there_is_one(high_ratio, words):
    """A recommendation whose rate is measured costs what it costs."""
    plan = spot_plan()
    cost = replace(plan.recommended.cost, total_usd_per_month=1234.5)
    close = MeasureFirst(1, 1, 2.0, 1, round(1234.5 * high_ratio, 2), 1000.0)
    plan = replace(plan, recommended=replace(plan.recommended, cost=cost), measure_first=close)

    (text,) = close_call_words(plan, 5)
    assert "may cost as little as $1,000.00 a month" in text
    assert f"the recommendation {words} by the range of predicted rates, at the prices planned." in text


def test_a_close_call_that_no_measurement_would_settle_is_told_in_detail_alone():
    """Nothing is learned from load on models that answer in one pass, so nobody can act on it."""
    plan = replace(spot_plan(), measure_first=MeasureFirst(None, 1, None, None, 3000.0, 1000.0))
    told = "too close to call, and no measurement would tell: "

    assert not list(close_call_words(plan, 5))
    assert told not in plan_table(plan, width=None)
    assert told in plan_table(plan, width=None, verbose=True)
    (text,) = (words for words in evidence_lines(plan) if words.startswith(told))
    assert text.endswith(
        "may cost as little as $1,000.00 a month, and the recommendation $3,000.00 at most, by the range of predicted "
        "rates, at the prices planned"
    )


def test_a_measurement_of_what_runs_today_says_so():
    """It takes no machine that is not paid for."""
    plan = spot_plan()
    told = plan.options[0]
    current = CurrentCost(told.provider, told.region, told.instance_type, "on_demand", 3, 9.0, 20_000.0)
    plan = replace(plan, current=current, measure_first=MeasureFirst(told.rank, 3, 0.0, 1, 3000.0, 1000.0))

    (text,) = close_call_words(plan, 5)
    assert f"1 h of load on one {told.instance_type} ({told.accelerator}, {told.precision}; runs today), then" in text


def test_a_close_call_names_the_machine_of_an_option_that_is_not_listed():
    """A number is one that the reader finds in the table; a rival beyond its rows is told by what it runs."""
    plan = spot_plan()
    plan = replace(plan, measure_first=MeasureFirst(1, 3, 2.0, 1, 3000.0, 1000.0))
    rival = plan.options[2]
    machine = f"{rival.instance_type} in {rival.region} ("

    assert f"Too close to call: #{rival.rank} (" in plan_table(plan, 3, width=None)
    assert f"Too close to call: {machine}" in plan_table(plan, 2, width=None)
    assert f"Too close to call: {machine}" in plan_markdown(plan, 2)


def test_two_precisions_behind_one_service_are_remarked_on():
    """Answers may differ from replica to replica; of one precision nothing is said."""
    mixed = make_fleet(make_group(precision="bf16"), make_group(precision="fp8"))
    lines = {
        precisions: [line for line in verdict_lines(make_plan(fleet=fleet)) if line.startswith("Answers:")]
        for precisions, fleet in (("two", mixed), ("one", make_fleet(make_group(), make_group(purchase="spot"))))
    }

    assert lines["one"] == []
    (line,) = lines["two"]
    assert "bf16 and fp8 replicas serve side by side" in line


def test_the_fastest_candidate_is_named_only_where_latency_stands_last_in_the_way():
    """Where what keeps the targets is sold in too few zones, no target is said to be below what can be kept."""
    slow = replace(rejection("slo_ttft", "slow"), needed=10.0, available=40.0)
    zones = rejection("zones", "sold in 2 zones, and limits.zones asks for 9")

    by_latency = make_plan(None, rejected=(slow,), nearest_misses=(slow,))
    assert "The fastest candidate, g5.xlarge" in headline(by_latency)
    assert headline(make_plan(None, rejected=(slow, zones), nearest_misses=(zones,))) == (
        "Nothing in the catalog serves this workload within its limits. Closest: 1 sold in too few zones."
    )


def test_a_share_that_reads_as_its_limit_leaves_no_room():
    """A hundredth of a percent more is not seen in 100% of 100%."""
    shares = {"survive": 1.0001, "spot_reroute": 1.02}
    uses = tuple(
        ConstraintUse(name, "", 1.0, used, "share of requests", binding=False) for name, used in shares.items()
    )

    binding, with_room = constraint_words(replace(make_fleet(make_group()), constraints=uses))

    assert binding == "binding limits: survive 100% of 100%"
    assert with_room == "limits with room: spot_reroute 102% of 100%"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tensor_parallel": 2}, ("TP 1", "TP 2")),
        ({"precision": "int4"}, ("fp8", "int4")),
        ({"engine": "SGLang"}, ("with vLLM", "with SGLang")),
    ],
)
def test_groups_of_the_same_machines_are_told_apart(changes, told):
    """The first line, the ladder and the spare name what differs, and nothing where no two are alike."""
    groups = (make_group(3, name="a"), make_group(1, name="b", **changes))
    spare = Spare("b", 1, "none", 12.0)
    plan = make_plan(make_fleet(*groups, spare=(spare,)))
    first, second = told

    assert f"3 × g6e.xlarge on demand {first} + 1 × g6e.xlarge on demand {second} (aws us-east-1)" in headline(plan)
    assert f"1 of 1 × g6e.xlarge on demand {second} ($12.00 a month)" in lines_of(plan)["Spare"]
    other = replace(groups[1], instance_type="g6e.2xlarge")
    assert "3 × g6e.xlarge on demand + 1 × g6e.2xlarge on demand (" in headline(make_plan(make_fleet(groups[0], other)))


def test_an_option_that_only_the_ladder_replayed_has_its_figure():
    """One fleet has one cost: that of its replay, in the line on prices and in the table; else what differs is told."""
    group = make_group(3, instance_type="g6e.2xlarge", usd_per_hour=2.5)
    option = replace(make_option(group, rank=1), confirmed=None)
    rung = make_rung("same_cloud", replace(group, instances=(4,), compute_usd_per_month=8_000.0))
    other = replace(rung, groups=(replace(rung.groups[0], precision="bf16"),))
    listed, dear = "3 × g6e.2xlarge on demand in us-east-1 (aws)", make_group(usd_per_hour=1.0)
    doubt = DoubtfulPrice(dear.name, "derived", 0.6, 1.4, (listed,), 6_000.0, runner_up_replayed=False)
    plan = make_plan(make_fleet(dear, doubtful_prices=(doubt,)), option)
    total = f"{rung.total_usd_per_month:,.2f}"

    alone, same, unlike = (
        lines_of(over(replace(plan, ladder=ladder), None))["Price"] for ladder in ((), (rung,), (other,))
    )
    assert f"at most: {listed} in fp8 at ~$6,000.00 (not replayed)." in alone
    assert f"at most: 4 × g6e.2xlarge on demand in us-east-1 (aws) at ${total}." in same
    assert f"at most: {listed} in fp8 at ~$6,000.00 (not replayed; on the ladder in bf16)." in unlike
    assert option_cells(option) == option_cells(option, ladder=(other,))
    assert {"4", "99.58%", total} <= set(option_cells(option, ladder=(rung,)))
    assert {"~3", "-"} <= set(option_cells(option))
