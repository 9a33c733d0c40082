"""What runs today, judged by the replay that confirms the fleet."""

import datetime as dt
from dataclasses import replace

import pytest

from advisor.catalog.values import Purchase
from advisor.demand_sources import measure_demand
from advisor.errors import InputError
from advisor.models import find_model
from advisor.performance.model import shipped_model
from advisor.pipeline import BRIEF, answer, plan_for, prepared
from advisor.plan.alternatives import as_is
from advisor.plan.request import PlanRequest
from advisor.plan.rungs import RungScope, Step
from advisor.plan.values import CurrentCost
from advisor.plan.words import today_short_words
from advisor.units import ratio_words
from advisor.workload.values import DeclaredDemand, Deployment, Exclude, Limits, OwnedCommitment, Slo, Survive
from builders import catalog_of, offer, workload
from plan.fleet.test_choose import plan_of, week_of_days
from recompute.drawn import drawn

TODAY = Deployment("aws", "us-east-1", "g6e.xlarge", 2, Purchase.ON_DEMAND)
OFFERS = (offer("g6e.xlarge", on_demand=1.86, spot=0.9), offer("g4dn.xlarge", on_demand=0.5))


def judged(count=2, rate=5.0, today=TODAY, **changes):
    """What a plan says of so many instances today."""
    work = workload(
        current=replace(today, count=count), demand=DeclaredDemand(rate, rate * 1.6, 800, 200), **changes
    )  # fmt: skip
    return plan_for(work, catalog_of(*OFFERS)).current


def test_more_instances_keep_more_within_the_slo():
    """The share never falls with their number, and as many as are needed keep what is asked."""
    needed = judged(1, rate=40.0).instances_needed
    shares = [judged(count, rate=40.0).within_slo_ratio for count in (1, needed // 2, needed, needed + 2)]

    assert shares == sorted(shares)
    assert shares[0] < 0.99 <= shares[-1]


def test_as_many_as_are_needed_would_be_enough():
    """The number named keeps the SLO; one instance less keeps less than is asked, or leaves no spare that is asked."""
    needed = judged(1, rate=40.0, precisions=("fp8",)).instances_needed

    assert judged(needed, rate=40.0, precisions=("fp8",)).within_slo_ratio >= 0.99
    assert judged(needed, rate=40.0, precisions=("fp8",)).instances_needed == needed
    assert judged(max(needed - 2, 1), rate=40.0, precisions=("fp8",)).within_slo_ratio < 0.99


def test_machines_whose_queue_grows_do_not_keep_an_slo_without_a_limit_of_waits():
    """One machine under many times what it serves keeps its pace; its requests are missed, and more are needed."""
    current = judged(1, rate=60.0, slo=Slo(tpot_p95_ms=500.0), precisions=("fp8",))

    assert current.within_slo_ratio < 0.5
    assert current.instances_needed > 1


def test_spare_is_what_runs_beyond_the_need():
    """Ten instances for a load of one: the plan says how many would do."""
    current = judged(10, rate=0.5)

    assert current.within_slo_ratio == pytest.approx(1.0, abs=0.001)
    assert current.instances_needed == 1


def test_what_is_needed_keeps_to_the_limits():
    """Two replicas in two zones are needed however small the load is."""
    assert judged(10, rate=0.5, limits=Limits(min_replicas=2, zones=2)).instances_needed == 2


def test_accelerators_without_bf16_are_judged_in_what_they_run():
    """T4 serve models published in bf16 in fp16, which is planned first where no precision is stated, and only there."""
    today = replace(TODAY, instance_type="g4dn.xlarge")
    running = workload(
        model="Qwen/Qwen3-4B", current=today, demand=DeclaredDemand(0.4, 0.4, 3000, 250), precisions=("bf16",),
        slo=Slo(ttft_p95_ms=3000.0, tpot_p95_ms=100.0),
    )  # fmt: skip
    plan = plan_for(running, catalog_of(*OFFERS))

    assert plan.current.precision == "fp16"
    assert plan.workload["precisions"] == ["fp16", "bf16"]
    assert {group.instance_type for group in plan.fleet.groups} == {"g4dn.xlarge"}
    assert plan_for(replace(running, current=TODAY), catalog_of(*OFFERS)).workload["precisions"] == ["bf16"]
    stated = replace(running, lines={"precisions": 3})
    assert plan_for(stated, catalog_of(*OFFERS)).current.machines_alone


def test_a_type_that_cannot_serve_is_not_judged():
    """Where the machine cannot hold the model in the precision asked, the reason stands in place of a share."""
    current = judged(2, today=replace(TODAY, instance_type="g4dn.xlarge"), precisions=("bf16",))

    assert current.within_slo_ratio is None
    assert current.instances_needed is None
    assert "g4dn.xlarge" in current.not_judged


def test_a_region_that_no_network_is_known_to_is_said_of_a_machine_that_cannot_be_planned():
    """A machine of today whose region is nowhere is not judged, and its own reason says why."""
    question, catalog = drawn(103_918)

    plan = answer(question, catalog, shipped_model(), BRIEF).plan

    assert plan.fleet is None
    assert "the network between DE and global is not known" in plan.current.not_judged


def test_what_a_previous_plan_runs_is_judged():
    """The fleet of one type is what runs today, in its own precision; of a mix the ladder says that it is none."""
    work = workload(demand=DeclaredDemand(5, 8, 800, 200), purchase=(Purchase.ON_DEMAND,), precisions=("bf16", "fp8"))
    before = plan_for(replace(work, precisions=("fp8",)), catalog_of(OFFERS[0]))
    grown = replace(work, demand=DeclaredDemand(20, 32, 800, 200))
    again = plan_for(prepared(grown, catalog_of(OFFERS[0]), previous=before), catalog_of(OFFERS[0]))
    (group,) = before.fleet.groups
    mix = replace(before, fleet=replace(before.fleet, groups=(group, replace(group, instance_type="g4dn.xlarge"))))
    mixed = prepared(grown, catalog_of(*OFFERS), previous=mix)

    assert (again.current.instance_type, again.current.instances) == ("g6e.xlarge", before.recommended.instances)
    assert again.current.precision == "fp8"
    assert again.current.instances_needed > again.current.instances
    assert again.savings.usd_per_month < 0
    assert prepared(replace(grown, current=TODAY), catalog_of(*OFFERS), previous=before).current == TODAY
    assert mixed.current is None
    assert plan_for(mixed, catalog_of(*OFFERS)).ladder[0].why_none.startswith("what runs is not one type")


def test_a_previous_plan_leaves_its_cost_as_it_is():
    """What runs today is not switched to, whatever a previous plan ran; a fleet of other machines is, in a line of its own."""
    work = workload(current=TODAY, demand=DeclaredDemand(5, 8, 800, 200), purchase=(Purchase.ON_DEMAND,))
    before = ((("aws/us-east-1/g4dn.xlarge", "on_demand"), 2),)
    without, beside = (plan_for(replace(work, running=running), catalog_of(OFFERS[0])) for running in ((), before))

    assert beside.current.total_usd_per_month == without.current.total_usd_per_month
    assert without.fleet.cost.switching_usd_per_month == 0 < beside.fleet.cost.switching_usd_per_month
    assert any(line.item == "switching" for line in beside.fleet.cost_lines)


def test_its_total_is_that_of_the_same_fleet():
    """Today's instances cost what a recommended fleet of as many costs, all parts included."""
    work = workload(current=TODAY, demand=DeclaredDemand(5, 8, 800, 200), purchase=(Purchase.ON_DEMAND,))
    plan = plan_for(work, catalog_of(OFFERS[0]))
    same = plan_for(replace(work, current=replace(TODAY, count=plan.recommended.instances)), catalog_of(OFFERS[0]))

    assert same.current.total_usd_per_month == pytest.approx(same.fleet.cost.total_usd_per_month, abs=0.02)


def test_what_is_owned_is_not_paid_for_again_and_the_rest_is():
    """Of five instances two are owned: three are paid for, and all have disks and carry the load."""
    owned = (OwnedCommitment("aws", "us-east-1", "g6e.xlarge", 2, dt.date(2027, 10, 31)),)
    day = dt.date(2026, 11, 24)

    current = judged(5, commitments=owned, as_of=day)
    every = judged(5)

    assert every.total_usd_per_month - current.total_usd_per_month == pytest.approx(2 * 1.86 * 730, abs=0.02)
    assert current.within_slo_ratio == every.within_slo_ratio


def test_what_is_owned_pays_for_no_spot_machine():
    """Of five spot instances all are paid for, whatever is owned on demand."""
    owned = (OwnedCommitment("aws", "us-east-1", "g6e.xlarge", 2, dt.date(2027, 10, 31)),)
    spot = replace(TODAY, purchase=Purchase.SPOT)

    current, alone = judged(5, today=spot, commitments=owned, as_of=dt.date(2026, 11, 24)), judged(5, today=spot)

    assert current.usd_per_hour == alone.usd_per_hour > 0
    assert current.total_usd_per_month == alone.total_usd_per_month


def test_what_is_owned_is_not_paid_for_again_where_nobody_knows_how_it_serves():
    """A machine that cannot hold the model as asked is charged for what is not owned of it, alone: no saving is told."""
    day = dt.date(2026, 11, 24)
    totals = []
    for count in (1, 3):
        owned = (OwnedCommitment("aws", "us-east-1", "g4dn.xlarge", count, dt.date(2027, 10, 31)),)
        work = workload(
            current=replace(TODAY, instance_type="g4dn.xlarge", count=3), precisions=("bf16",), commitments=owned, as_of=day
        )  # fmt: skip
        plan = plan_for(work, catalog_of(*OFFERS))
        assert plan.current.within_slo_ratio is None
        assert plan.current.machines_alone
        assert plan.savings is None
        totals.append(plan.current.total_usd_per_month)

    assert totals == [pytest.approx(2 * 0.5 * 730, abs=0.02), 0.0]


def brief(work, catalog):
    """The plan of a workload in short."""
    model = find_model(work.model_reference)
    question = PlanRequest(work, model, measure_demand(work, model, catalog, shipped_model()))
    return answer(question, catalog, shipped_model(), BRIEF).plan


@pytest.mark.parametrize(
    ("changes", "planned"),
    [
        ({"exclude": Exclude(instance_types=("g6e.xlarge",))}, plan_for),
        ({"limits": Limits(max_usd_per_month=1.0)}, plan_for),
        ({}, brief),
    ],
    ids=["excluded", "without a fleet to recommend", "in short"],
)
def test_its_total_is_one_number(changes, planned):
    """It costs as much in a plan that does not judge it as in one that does."""
    work = workload(current=TODAY, demand=DeclaredDemand(5, 8, 800, 200))
    judgement = plan_for(work, catalog_of(*OFFERS)).current
    other = planned(replace(work, **changes), catalog_of(*OFFERS)).current

    assert judgement.within_slo_ratio is not None
    assert other.total_usd_per_month == judgement.total_usd_per_month


def test_it_is_judged_where_nothing_can_be_recommended():
    """A budget that nothing keeps to says nothing of what runs today."""
    judgement = judged(2, rate=5.0)

    assert replace(judged(2, rate=5.0, limits=Limits(max_usd_per_month=1.0)), not_judged="") == judgement


def test_a_budget_that_nothing_keeps_to_is_said_with_what_enough_machines_cost():
    """The number that keeps the SLO, what it costs, and the limit: not that no number would do."""
    needed, total = judged(2).instances_needed, judged(judged(2).instances_needed).total_usd_per_month

    told = judged(2, limits=Limits(max_usd_per_month=1.0))

    assert told.not_judged == f"{needed} are needed, at ${total:,.2f} a month; limits.max_usd_per_month allows $1.00"
    assert told.instances_needed == needed


def test_machines_that_are_enough_and_beyond_a_budget_are_told_with_one_amount():
    """Today's line and rung have their cost already; the rung says what runs before why it is none."""
    needed = judged(1, rate=40.0).instances_needed
    limits = Limits(max_usd_per_month=1.0)
    told = judged(needed, rate=40.0, limits=limits)
    why = "that many are needed; limits.max_usd_per_month allows $1.00"

    assert told.not_judged == why
    rung = as_is(told, RungScope(Step.AS_IS, workload()), Survive.NOTHING, 0.99)
    assert rung.why_none.startswith(f"{needed} × g6e.xlarge keep ")
    assert rung.why_none.endswith(f" of the replayed requests within the SLO; {why}")


def test_limits_on_changes_have_no_part_in_what_a_load_needs():
    """Two machines of which one may change: as many are needed as without that limit."""
    free = judged(2, rate=40.0)

    assert free.instances_needed > 3
    assert judged(2, rate=40.0, limits=Limits(max_changed_instances=1)) == free


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        (Limits(max_kw=0.4), "limits.max_kw allows 0.400 kW"),
        (Limits(max_replicas=1), "limits.max_replicas allows 1 replica"),
        (
            Limits(max_kw=0.4, max_usd_per_month=1.0),
            "limits.max_usd_per_month allows $1.00 and limits.max_kw allows 0.400 kW",
        ),
    ],
)
def test_machines_beyond_a_cap_are_counted_with_what_it_allows(limits, allowed):
    """The load needs as many as without the cap, which is named."""
    free = judged(2, rate=40.0)

    told = judged(2, rate=40.0, limits=limits)

    assert (told.within_slo_ratio, told.instances_needed) == (free.within_slo_ratio, free.instances_needed)
    assert told.not_judged.startswith(f"{free.instances_needed} are needed, at $")
    assert told.not_judged.endswith(f"; {allowed}")


def test_machines_beyond_a_cap_are_counted_where_hours_differ():
    """Nights that need fewer machines than days: those of the busiest hours are what the cap is held against."""
    work = workload(current=replace(TODAY, count=1), limits=Limits(max_replicas=1))

    told = plan_of(work, catalog_of(*OFFERS), week_of_days(40.0)).current

    assert told.instances_needed > 1
    assert told.not_judged.endswith("; limits.max_replicas allows 1 replica")


def test_an_unknown_price_is_said():
    """A deployment that cannot be priced is an error, not a saving of everything."""
    with pytest.raises(InputError, match="no spot price for g4dn"):
        judged(2, today=replace(TODAY, instance_type="g4dn.xlarge", purchase=Purchase.SPOT))


def test_it_is_judged_in_the_precision_that_the_ladder_begins_with():
    """A faster precision that is allowed too makes today's machines no better: what they need is what `resize` has."""
    work = workload(current=TODAY, precisions=("bf16", "fp8"), demand=DeclaredDemand(40, 64, 800, 200))
    plan = plan_for(work, catalog_of(OFFERS[0]))
    resize = next(rung for rung in plan.ladder if rung.rung == "resize")

    assert plan.current.precision == "bf16"
    assert plan.current.instances_needed == sum(group.instances for group in resize.groups)


def test_what_was_withdrawn_is_priced_and_judged_and_never_planned():
    """It runs there still: its cost and need are known, and the fleet, though dearer, is of what is sold."""
    gone = replace(offer("g6e.xlarge", on_demand=0.5), withdrawn=True)
    work = workload(current=TODAY, precisions=("fp8",), demand=DeclaredDemand(5, 8, 800, 200))
    plan = plan_for(work, catalog_of(gone, offer("g6.xlarge", on_demand=0.8)))

    assert {group.instance_type for group in plan.fleet.groups} == {"g6.xlarge"}
    assert plan.current.usd_per_hour == 1.0
    assert plan.current.within_slo_ratio == pytest.approx(1.0, abs=0.01)
    assert plan.current.instances_needed
    assert plan.current.not_generated == "it is not sold in us-east-1 any more"
    messages = [one.message for one in plan.rejected if one.instance_type == "g6e.xlarge"]
    assert messages == ["g6e.xlarge: not sold in any region any more"]


def test_a_machine_that_no_code_is_generated_for_is_judged_all_the_same():
    """It runs and serves, whatever started it: its share and need are known, and why no plan can be made of it."""
    sold = [
        offer(name, "westeurope", usd, provider="azure")
        for name, usd in (("Standard_NV36ads_A10_v5", 1.0), ("Standard_NC24ads_A100_v4", 4.0))
    ]
    today = Deployment("azure", "westeurope", "Standard_NV36ads_A10_v5", 4, Purchase.ON_DEMAND)
    work = workload(
        current=today, providers=("azure",), regions=(), precisions=("fp8",), demand=DeclaredDemand(1, 1, 800, 200)
    )  # fmt: skip
    plan = plan_for(work, catalog_of(*sold))
    by_name = {rung.rung: rung for rung in plan.ladder}

    assert {group.instance_type for group in plan.fleet.groups} == {"Standard_NC24ads_A100_v4"}
    assert (plan.current.within_slo_ratio, plan.current.instances_needed) == (1.0, 2)
    assert plan.current.not_generated.startswith("it needs the GRID driver")
    assert by_name["resize"].why_none == (
        "nothing that it allows can be deployed: Standard_NV36ads_A10_v5: " + plan.current.not_generated
    )
    assert by_name["as_is"].risks[-1] == f"no code is generated for it: {plan.current.not_generated}"


def test_a_further_way_of_paying_makes_no_change_of_machines_dearer():
    """What an instance of another type costs once is two hours of its price on demand, whether that is allowed or not."""
    offers = (offer("g6e.xlarge", on_demand=1.86, spot=0.6), offer("g6.xlarge", on_demand=0.8, spot=0.3))
    costs = [
        plan_for(
            workload(current=TODAY, purchase=purchase, instance_types=("g6.xlarge",)), catalog_of(*offers)
        ).fleet.cost
        for purchase in ((Purchase.SPOT,), (Purchase.ON_DEMAND, Purchase.SPOT))
    ]

    assert costs[0].switching_usd_per_month == costs[1].switching_usd_per_month > 0
    assert costs[1].total_usd_per_month <= costs[0].total_usd_per_month


@pytest.mark.parametrize(
    ("survival", "kept", "words"),
    [
        (Survive.NOTHING, 0.5, "SLO; 3 are needed"),
        (Survive.INSTANCE, 0.5, "SLO; 3 are needed with failures covered"),
        (Survive.NOTHING, 0.9914, "99.14% of the replayed requests within the SLO; 3 are needed for the 99.25% that plans keep, 99% and a margin"),
    ],
)  # fmt: skip
def test_failures_and_margins_are_covered_only_where_they_have_to_be(survival, kept, words):
    """A workload that survives nothing needs no machine for it; machines that keep the stated share lack the margin."""
    current = CurrentCost("aws", "us-east-1", "g5.xlarge", "on_demand", 2, 2.0, 1460.0, kept, 3)

    assert as_is(current, RungScope(Step.AS_IS, workload()), survival, 0.99).why_none.endswith(words)


def test_a_failure_that_today_does_not_survive_is_told_with_its_share():
    """Three machines keep the SLO until one fails: the share left then is what more of them are needed for."""
    limits = Limits(survive=Survive.INSTANCE)
    plenty = judged(10, rate=2.0, limits=limits).instances_needed
    current = judged(plenty - 1, rate=2.0, limits=limits)

    assert current.within_slo_ratio > 0.9925 > current.least_within_slo_ratio
    assert current.least_within_slo_when == "with one machine gone"
    assert today_short_words(current, 0.99) == (
        f"{ratio_words(current.least_within_slo_ratio)} with one machine gone; "
        f"{plenty} are needed for 99.25% then, 99% and a margin"
    )
