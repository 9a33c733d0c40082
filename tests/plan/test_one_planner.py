"""One planner: whatever is printed, written as JSON, explained or generated for a workload is of the same fleet."""

import dataclasses
import datetime as dt
import json
import math
import re
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import generate
from advisor.codegen.container import Wanted
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.demand.values import Unit
from advisor.pipeline import plan_question, recommend
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.explain.whatif import outcome_of
from advisor.plan.request import read_question
from advisor.report.explain_plan import outcome_sections
from advisor.report.text_table import sections_text
from advisor.report.verdict import plan_table
from advisor.workload.values import Survive
from plan.generated import made, tried

EXAMPLES = sorted(Path("examples").glob("*/workload.yaml"))
A_CENT = 0.011
ROUNDED = 1e-5
"""Of numbers with six digits."""
every_workload = pytest.mark.parametrize(
    "workload", [*(path.parent.name for path in EXAMPLES), *(f"made-{number}" for number in tried())]
)


@cache
def text_of(name):
    """The plan as JSON text, as it is written."""
    if name.startswith("made-"):
        return plan_to_json(plan_question(made(int(name.removeprefix("made-"))).question, load_catalog()))
    return plan_to_json(recommend(Path("examples") / name / "workload.yaml"))


@cache
def plan_of(name):
    """The plan as it reads back."""
    return plan_from_json(text_of(name))


@cache
def planned(name):
    """The plan with a fleet; workloads without one are left out."""
    plan = plan_of(name)
    if plan.fleet is None:
        pytest.skip(f"nothing serves {name}")
    return plan


def total(plan):
    """What the fleet costs a month."""
    return plan.fleet.cost.total_usd_per_month


def carried(fleet, at):
    """What the running instances of an hour class are planned to carry."""
    return math.fsum(one.planned_requests_per_second_per_instance * one.instances[at] for one in fleet.groups)


def least_without(fleet, rate, part):
    """Least share of the planned rate that the fleet sustains without so much of it, in hours when the part runs."""
    pool = part.removeprefix("one instance of ")
    return min(
        (carried(fleet, at) - rate) / hour.planned_requests_per_second
        for at, hour in enumerate(fleet.hour_classes)
        if hour.planned_requests_per_second > 0
        and any(one.instances[at] for one in fleet.groups if one.name.startswith(pool))
    )


@every_workload
def test_the_option_that_is_recommended_is_planned_as_the_fleet(workload):
    """One rate of an instance, where requests of all places and lengths are alike to it."""
    plan = planned(workload)
    rank = plan.recommended.rank
    if not rank or len(plan.fleet.places) > 1 or plan.fleet.bucket_max_input_tokens:
        pytest.skip("a mix, or several rates of one machine")
    option = next(option for option in plan.options if option.rank == rank)

    (rate,) = {group.planned_requests_per_second_per_instance for group in plan.fleet.groups}
    assert rate == pytest.approx(option.planned_requests_per_second_per_instance, rel=ROUNDED)


@every_workload
def test_a_workload_without_a_fleet_says_why(workload):
    """A conflict or the nearest misses, and no recommendation; with a fleet there is one."""
    plan = plan_of(workload)

    assert (plan.fleet is None) == (plan.recommended is None)
    assert plan.fleet is not None or plan.conflict is not None or plan.nearest_misses
    assert plan.fleet is None or plan.conflict is None


@every_workload
def test_the_lines_of_the_cost_add_up_to_its_total(workload):
    """Each line is its quantity × its price, to the cent that roundings leave; those of the total sum up to it."""
    fleet = planned(workload).fleet
    own = [line for line in fleet.cost_lines if line.in_total]

    assert round(math.fsum(line.usd_per_month for line in own), 2) == total(planned(workload))
    for line in fleet.cost_lines:
        assert line.usd_per_month == pytest.approx(line.quantity * line.usd_per_unit, rel=1e-6, abs=0.02)
    assert math.fsum(
        line.usd_per_month for line in own if line.kind == "storage" and line.item != "entrance_disk"
    ) == pytest.approx(fleet.cost.disks_usd_per_month, abs=0.005)


@every_workload
def test_the_recommendation_is_the_fleet_in_short(workload):
    """One total, and the machines of one of its groups."""
    plan = planned(workload)
    short, fleet = plan.recommended, plan.fleet
    shown = ("type_in_region", "purchase", "precision", "tensor_parallel", "partition", "engine", "zones")
    of_short = [getattr(short, name) for name in shown]
    main = [one for one in fleet.groups if [getattr(one, name) for name in shown] == of_short]

    assert short.cost.total_usd_per_month == total(plan)
    assert short.groups == len(fleet.groups)
    assert short.confirmed == fleet.confirmed
    assert any(one.instances == short.instances_by_class for one in main)
    assert short.instances == max(short.instances_by_class)
    if short.rank:
        option = plan.options[short.rank - 1]
        assert (option.type_in_region, option.purchase, option.instances) == (
            short.type_in_region,
            short.purchase,
            short.instances,
        )
        assert option.cost.total_usd_per_month == total(plan)


@every_workload
def test_the_table_and_the_explanation_name_the_same_fleet(workload):
    """Each group with its number of instances, and the total to the cent."""
    plan = planned(workload)
    amount = f"${total(plan):,.2f}"
    table, explained = plan_table(plan, width=None), sections_text(outcome_sections(outcome_of(plan)), None, whole=True)

    assert amount in table.splitlines()[0] + table.splitlines()[1]
    assert amount in explained.splitlines()[0]
    for group in plan.fleet.groups:
        assert group.instance_type in explained
        assert re.search(rf"\b{max(group.instances)} × ", explained)
    assert outcome_of(plan).total_usd_per_month == plan.recommended.cost.total_usd_per_month


@every_workload
def test_the_code_starts_the_fleet(workload):
    """Instances, types, markets and weights of the generated stacks are those of the plan."""
    plan = planned(workload)
    generated = generate(plan, catalog=load_catalog())

    stacks = stacks_of(plan, choose(plan, Wanted(), lambda _: None), Wanted())
    coded, of_plan = Counter(), Counter()
    for stack in stacks:
        for group in stack.groups:
            coded[stack.provider, group.region, group.instance_type, group.is_spot] += group.instances
    for group in plan.fleet.groups:
        of_plan[group.provider, group.region, group.instance_type, group.purchase == "spot"] += max(group.instances)
    assert coded == of_plan
    assert set(generated.targets) >= {stack.target for stack in stacks if stack.target}
    shares = Counter()
    for group in plan.fleet.groups:
        shares[group.provider, group.region] += group.request_shares[-1]
    for stack in stacks:
        own = sum(share for (provider, _), share in shares.items() if provider == stack.provider)
        coded = sum(region.weight for region in stack.regions)
        for region in stack.regions:
            assert region.weight / coded == pytest.approx(shares[stack.provider, region.name] / own, abs=0.003)
    assert sum(shares.values()) == pytest.approx(1, abs=ROUNDED)


@every_workload
def test_every_group_that_is_paid_has_load(workload):
    """A group that runs in the busiest hours serves requests then."""
    for group in planned(workload).fleet.groups:
        assert max(group.instances) > 0
        assert group.instances[-1] == 0 or group.request_shares[-1] > 0


@every_workload
def test_no_option_is_cheaper_unless_it_says_why(workload):
    """An option below the recommendation carries its reason in its row, and no other does."""
    plan = planned(workload)

    for option in plan.options:
        cheaper = option.cost.total_usd_per_month < total(plan) - A_CENT
        assert bool(option.not_recommended) == cheaper, (option.rank, option.cost.total_usd_per_month, total(plan))
    assert [one.rank for one in plan.options] == list(range(1, len(plan.options) + 1))


@every_workload
def test_capacity_can_be_checked_by_hand(workload):
    """What the running instances are planned to carry covers each hour class, of the fleet and of each option."""
    plan = planned(workload)

    for at, hour in enumerate(plan.fleet.hour_classes):
        assert carried(plan.fleet, at) >= hour.planned_requests_per_second * (1 - ROUNDED)
        for option in plan.options:
            own = option.planned_requests_per_second_per_instance * option.instances_by_class[at]
            assert own >= hour.planned_requests_per_second * (1 - ROUNDED), option.rank


@every_workload
def test_costs_are_sums_of_their_parts(workload):
    """Of the fleet, of its groups and of each option, to the cent."""
    plan = planned(workload)
    parts = ("compute", "interruptions", "transfer", "switching", "disks", "starts", "standing")

    for cost in (plan.fleet.cost, *(option.cost for option in plan.options)):
        told = dataclasses.asdict(cost)
        summed = math.fsum(told[f"{part}_usd_per_month"] for part in parts)
        assert cost.total_usd_per_month == pytest.approx(summed, abs=A_CENT)
    compute = math.fsum(group.compute_usd_per_month for group in plan.fleet.groups)
    assert plan.fleet.cost.compute_usd_per_month == pytest.approx(compute, abs=A_CENT * len(plan.fleet.groups))


@every_workload
def test_spare_failures_and_obligation_follow_from_the_groups(workload):
    """Recomputed from the groups alone, they are the same; what has to survive does."""
    fleet = planned(workload).fleet
    groups, planned_rate = {one.name: one for one in fleet.groups}, fleet.hour_classes[-1].planned_requests_per_second
    whole = carried(fleet, -1)
    rates = {name: one.planned_requests_per_second_per_instance for name, one in groups.items()}

    spare = math.fsum(one.instances * rates[one.group] for one in fleet.spare)
    assert whole - spare >= planned_rate * (1 - ROUNDED)
    left, gone = whole - spare - planned_rate, Counter[str]()
    for one in fleet.spare:
        gone[one.group] += one.instances
    kept = [name for name, one in groups.items() if one.instances[-1] > gone.get(name, 0)]
    steady = math.fsum(
        rates[name] * (one.instances[-1] - gone.get(name, 0)) for name, one in groups.items() if one.purchase != "spot"
    )
    base = steady - planned_rate * planned(workload).workload["limits"]["on_demand_base_ratio"]
    room = {name: left if groups[name].purchase == "spot" else min(left, base) for name in kept}
    assert all(room[name] < rates[name] + planned_rate * ROUNDED for name in kept)
    assert all(0 < one.instances <= groups[one.group].instances[-1] and one.why for one in fleet.spare)
    for one in fleet.failures:
        rate = next(
            (rate for name, rate in rates.items() if name.startswith(one.of.removeprefix("one instance of "))), 0
        )
        if one.of.startswith("one instance of "):
            assert one.left_ratio == pytest.approx(least_without(fleet, rate, one.of), rel=1e-4)
    assert len([one for one in fleet.failures if one.of.startswith("one instance of ")]) == len(
        {(one.type_in_region, one.precision, one.tensor_parallel, one.partition) for one in fleet.groups}
    )
    committed = [one for one in fleet.groups if one.purchase == "commitment"]
    assert (fleet.cost.obligation_usd > 0) == bool(committed)
    assert (fleet.cost.obligation_until is not None) == bool(committed)
    if committed:
        assert dt.date.fromisoformat(fleet.cost.obligation_until) > dt.date(2026, 11, 1)
        hourly = math.fsum(one.instance_usd_per_hour * max(one.instances) for one in committed)
        assert hourly * 8759 <= fleet.cost.obligation_usd <= hourly * 3 * 8767


@every_workload
def test_the_stated_limits_are_kept(workload):
    """Counted from the groups: replicas, zones, types, budget, and a share of the load that any failure leaves."""
    plan = planned(workload)
    fleet, limits = plan.fleet, plan.workload["limits"]
    survives = Survive(limits["survive"])

    for at, hour in enumerate(fleet.hour_classes):
        replicas = sum(one.instances[at] * one.replicas_per_instance for one in fleet.groups)
        assert replicas >= limits["min_replicas"]
        least = (limits["min_replicas"] - 1) / limits["min_replicas"] if survives is Survive.NOTHING else 1.0
        for one in fleet.groups:
            left = carried(fleet, at) - (one.planned_requests_per_second_per_instance if one.instances[at] else 0.0)
            assert left >= least * hour.planned_requests_per_second * (1 - ROUNDED)
    zones = [one.left_ratio for one in fleet.failures if one.of.startswith("one zone of")]
    needed = 1.0 if survives is Survive.ZONE else (limits["zones"] - 1) / limits["zones"]
    assert all(ratio >= needed - 1e-4 for ratio in zones)
    ceilings = {
        "max_usd_per_month": total(plan),
        "max_instance_types": len({one.instance_type for one in fleet.groups}),
        "max_regions": len({(one.provider, one.region) for one in fleet.groups}),
    }
    assert all(limits[name] is None or used <= limits[name] + A_CENT for name, used in ceilings.items())
    assert len({one.provider for one in fleet.groups}) == 1 or limits["mix_providers"]
    steady = math.fsum(
        one.planned_requests_per_second_per_instance * one.instances[-1]
        for one in fleet.groups
        if one.purchase != "spot"
    )
    wanted = limits["on_demand_base_ratio"] * fleet.hour_classes[-1].planned_requests_per_second
    assert steady >= wanted * (1 - ROUNDED)
    assert {one.purchase for one in fleet.groups} <= {*plan.workload["purchase"], "owned"}
    cast = set() if fleet.unit is Unit.TOKENS else {"fp16", "fp32"}
    assert {one.precision for one in fleet.groups} <= {*plan.workload["precisions"], *cast}


@every_workload
def test_costs_never_rise_from_rung_to_rung(workload):
    """Among rungs with a fleet, and the recommendation between them; a rung without one says why."""
    plan = planned(workload)
    rungs = {one.rung: one for one in plan.ladder}
    beyond = next((at for at, one in enumerate(plan.ladder) if one.beyond_stated), len(plan.ladder))
    every = (*plan.ladder[:beyond], plan.as_stated, *plan.ladder[beyond:])
    costs = [one.total_usd_per_month for one in every if one.total_usd_per_month is not None]

    assert list(rungs) == [
        "as_is", "resize", "same_cloud", "commit", "spot", "precision", "any_accelerator", "any_cloud"
    ]  # fmt: skip
    assert all(before >= after - A_CENT for before, after in pairwise(costs)), costs
    for one in plan.ladder:
        assert (one.total_usd_per_month is None) == bool(one.why_none), one.rung
        assert one.rung == "as_is" or bool(one.groups) == (one.total_usd_per_month is not None)
    assert sum(one.recommended for one in plan.ladder) <= 1
    for one in plan.ladder:
        assert not one.recommended or one.total_usd_per_month == pytest.approx(total(plan), abs=A_CENT)
    for group in (group for one in plan.ladder for group in one.groups):
        assert group.instances == max(group.instances_by_class or (group.instances,))


@every_workload
def test_no_rung_within_the_workload_is_cheaper_than_the_recommendation(workload):
    """A rung whose fleet the workload allows costs no less than the cheapest fleet, to 2 %."""
    plan = planned(workload)
    cheapest = plan.fleet.cheapest.total_usd_per_month if plan.fleet.cheapest else total(plan)
    stated = plan.workload

    for rung in plan.ladder:
        allowed = rung.groups and all(
            one.provider in stated["providers"]
            and (not stated["regions"] or one.region in stated["regions"])
            and one.precision in stated["precisions"]
            and one.purchase in stated["purchase"]
            for one in rung.groups
        )
        if allowed:
            assert rung.total_usd_per_month >= cheapest * 0.98 - A_CENT, rung.rung


@every_workload
def test_what_runs_today_is_judged(workload):
    """The share of requests within the SLO and the instances that it takes; or why there is no judgement."""
    plan = planned(workload)
    if plan.current is None:
        assert plan.savings is None
        return
    current = plan.current

    assert current.not_judged or (current.within_slo_ratio is not None and current.instances_needed is not None)
    assert current.instances_needed is None or current.instances_needed > 0
    saved = current.total_usd_per_month - total(plan)
    if current.machines_alone:
        assert plan.savings is None
        return
    assert plan.savings.usd_per_month == pytest.approx(saved, abs=A_CENT)


@every_workload
def test_the_recommended_fleet_is_confirmed(workload):
    """Its replay holds, or the plan says that it does not; what is proven is no dearer than its bound."""
    fleet = planned(workload).fleet
    wanted = planned(workload).workload["slo"]["within_ratio"]

    assert fleet.confirmed.reached
    assert fleet.confirmed.within_slo_ratio >= wanted - ROUNDED
    assert fleet.holds_up_to.peak_ratio >= 1
    assert fleet.holds_up_to.dispersion_ratio >= 1
    assert fleet.bound_usd_per_month <= fleet.cost.total_usd_per_month + A_CENT
    assert fleet.gap_ratio == (0 if fleet.proven else None)


@every_workload
def test_the_json_reads_back_to_equal_values(workload):
    """The document validates, the plan that is read from it gives the same bytes, and so does the question."""
    plan, text = plan_of(workload), text_of(workload)

    assert plan_to_json(plan) == text
    assert plan_from_json(plan_to_json(plan)) == plan
    assert json.loads(text)["schema"] == plan.schema
    if workload.startswith("made-"):
        question = read_question(plan.question)
        asked = made(int(workload.removeprefix("made-"))).question
        assert question.workload == asked.workload
        assert question.demand.requests_per_second == asked.demand.requests_per_second
