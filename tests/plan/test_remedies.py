"""What is said to help does: a budget that a replay confirms, and another way of paying."""

import datetime as dt
import re
from dataclasses import replace

import pytest

from advisor.catalog.values import Purchase
from advisor.demand.values import Dispersion
from advisor.demand_sources import measure_demand
from advisor.models import find_model
from advisor.pipeline import plan_for, plan_question
from advisor.plan.document import plan_from_json, plan_to_json
from advisor.plan.fleet.chosen import ReplayGap
from advisor.plan.replay.replayed import gap_of
from advisor.plan.request import PlanRequest
from advisor.report.words import conflict_words, relaxation_words
from advisor.workload.values import DeclaredDemand, Limits, OwnedCommitment, Slo, Survive
from builders import catalog_of, offer, workload
from plan.fleet.test_choose import week_of_days

ON_DEMAND, SPOT = (Purchase.ON_DEMAND,), (Purchase.SPOT,)
EITHER = (*ON_DEMAND, *SPOT)
CATALOG = catalog_of(offer("g6e.xlarge", on_demand=1.86, spot=0.7), offer("g6.xlarge", on_demand=0.8, spot=0.3))


def without_spare(purchase):
    """What a fleet costs that keeps nothing for failures."""
    asked = workload(limits=Limits(fault_tolerant_ratio=1.0), purchase=purchase)
    return plan_for(asked, CATALOG).fleet.cost.total_usd_per_month


def test_a_budget_conflicts_with_what_is_stated():
    """Spot and replicas both ask for a spare machine: the default of neither is named, but what the file says."""
    limits = Limits(min_replicas=2, max_usd_per_month=without_spare(SPOT))
    plan = plan_for(workload(limits=limits), CATALOG)

    assert plan.conflict.constraints == ("max_usd_per_month", "survive")
    (needed,) = (limit.needed for limit in plan.conflict.relaxations if limit.name == "max_usd_per_month")
    assert conflict_words(plan.conflict) == (
        "No fleet that was found keeps to limits.survive (instance, the default with limits.min_replicas 2) and costs at "
        f"most ${limits.max_usd_per_month:,} a month (limits.max_usd_per_month): the cheapest costs ${needed:,.2f}."
    )


def test_a_constraint_is_only_given_up_where_that_helps():
    """Spot asks for the same spare as N+1, so that giving up one of them is no remedy."""
    limits = Limits(survive=Survive.INSTANCE)
    spot, steady = (
        plan_for(
            workload(limits=replace(limits, max_usd_per_month=without_spare(purchase)), purchase=purchase), CATALOG
        )
        for purchase in (SPOT, ON_DEMAND)
    )

    assert spot.conflict.constraints == ("max_usd_per_month", "survive")
    assert spot.conflict.remedies == ()
    survive, spot_too = steady.conflict.remedies
    assert survive == "set limits.survive to nothing"
    both = plan_for(workload(limits=limits, purchase=EITHER), CATALOG).fleet.cost.total_usd_per_month
    assert spot_too.startswith(f"add spot to purchase: from {both:,.2f} USD")


@pytest.mark.parametrize("share", [0.5, 0.97])
def test_the_budget_that_is_named_is_confirmed(share):
    """Bursts take more than the closed form says: the budget that is asked for buys a fleet that its replay confirms."""
    asked = workload(purchase=ON_DEMAND)
    model = find_model(asked.model_reference)
    demand = replace(measure_demand(asked, model, CATALOG, None), profile=week_of_days(6.0, 1, Dispersion(20.0, 60.0)))
    free = plan_question(PlanRequest(asked, model, demand), CATALOG)
    limits = Limits(max_usd_per_month=round(share * free.fleet.cost.total_usd_per_month, 2))
    plan = plan_question(PlanRequest(replace(asked, limits=limits), model, demand), CATALOG)
    needed = float(re.search(r"to ([\d,.]+) USD", next(relaxation_words(plan.conflict)))[1].replace(",", ""))
    raised = replace(asked, limits=Limits(max_usd_per_month=needed))
    again = plan_question(PlanRequest(raised, model, demand), CATALOG)

    assert again.fleet.confirmed.reached
    assert again.fleet.cost.total_usd_per_month <= needed


def test_spot_and_what_is_owned_keep_no_base_on_demand():
    """The way of paying that is missing is named with what a fleet costs then."""
    owned = OwnedCommitment("aws", "us-east-1", "g4dn.xlarge", 1, dt.date(2027, 10, 31))
    asked = workload(
        purchase=SPOT, limits=Limits(on_demand_base_ratio=0.3), commitments=(owned,), as_of=dt.date(2026, 11, 1)
    )
    plan = plan_for(asked, CATALOG)
    (remedy,) = plan.conflict.remedies
    bought = plan_for(replace(asked, purchase=(*SPOT, *ON_DEMAND), limits=replace(asked.limits, simplicity=0)), CATALOG)

    poor = replace(asked, limits=replace(asked.limits, max_usd_per_month=100.0))

    assert plan_for(poor, CATALOG).conflict.remedies == (
        f"{remedy.partition(':')[0]}, and raise limits.max_usd_per_month from 100 to{remedy.partition('from')[2]}",
    )
    assert conflict_words(plan.conflict) == "No fleet keeps to limits.on_demand_base_ratio (0.3)."
    assert remedy == f"add on_demand to purchase: from {bought.fleet.cost.total_usd_per_month:,.2f} USD/month"


@pytest.mark.parametrize(
    ("stated", "key"),
    [
        ({"purchase": ON_DEMAND}, "purchase"),
        ({"purchase": EITHER, "instance_types": ("g6.xlarge",)}, "instance_types"),
        ({"purchase": EITHER, "accelerators": ("L4",)}, "accelerators"),
    ],
)
def test_the_first_rung_within_a_budget_is_named_by_the_keys_that_allow_it(stated, key):
    """A workload that states what is said has a fleet within its budget, at that cost or less."""
    asked = workload(**stated)
    most = plan_for(asked, CATALOG).fleet.cost.total_usd_per_month
    asked = replace(asked, limits=Limits(max_usd_per_month=most * 0.9))

    plan = plan_for(asked, CATALOG)

    assert plan.fleet is None
    (remedy,) = [words for words in relaxation_words(plan.conflict) if words.startswith("add")]
    changes, usd = remedy.split(": from ")
    added = {name: values.split(", ") for values, name in re.findall(r"add ([^:]+?) to (\w+)", changes)}
    assert key in added
    wider = replace(asked, **{name: (*getattr(asked, name), *values) for name, values in added.items()})
    if "purchase" in added:
        wider = replace(wider, purchase=tuple(map(Purchase, wider.purchase)))
    told = float(usd.removesuffix(" USD/month").replace(",", ""))
    assert plan_for(wider, CATALOG).fleet.cost.total_usd_per_month <= told + 0.01 <= most * 0.9


def test_a_budget_rejects_every_variant_by_its_own_cost():
    """Layouts that others outdo are no pools of the question, and are told of where every variant is asked for."""
    asked = workload(purchase=ON_DEMAND, limits=Limits(max_usd_per_month=1))
    plan = plan_for(asked, catalog_of(offer("p5.4xlarge", on_demand=4.6)), every_variant=True)

    dear = [rejection for rejection in plan.rejected if rejection.code == "budget"]
    assert {rejection.available for rejection in dear} == {1}
    assert len({rejection.partition for rejection in dear}) > 1


def test_a_budget_reads_back_from_a_plan_to_the_cent():
    """What a plan's file says is needed is what helps, however large it is."""
    asked = workload(purchase=ON_DEMAND, demand=DeclaredDemand(900, 1000, 800, 200), limits=Limits(max_usd_per_month=1))
    plan = plan_for(asked, CATALOG)

    (budget,) = plan.conflict.relaxations
    (read,) = plan_from_json(plan_to_json(plan)).conflict.relaxations
    assert budget.needed > 100_000
    assert read.needed == pytest.approx(budget.needed, abs=0.005)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(max_kw=0.3), "max_kw"),
        (Limits(max_replicas=1), "max_replicas"),
        (Limits(survive=Survive.INSTANCE, max_kw=0.4), "max_kw"),
    ],
    ids=["power", "replicas", "power beside a failure"],
)
def test_a_limit_that_is_said_to_help_gives_a_fleet_that_holds(limits, name):
    """Whatever else is asked: the planner finds a fleet with it that its whole replay confirms."""
    asked = workload(limits=limits, purchase=ON_DEMAND, demand=DeclaredDemand(20, 30, 800, 200))
    plan = plan_for(asked, CATALOG)
    (relaxed,) = [each for each in plan.conflict.relaxations if each.name == name]
    needed = type(getattr(limits, name))(relaxed.needed)

    again = plan_for(replace(asked, limits=replace(limits, **{name: needed})), CATALOG)

    assert again.fleet.confirmed.reached


@pytest.mark.parametrize(
    ("least", "gap"),
    [(0.9925, ReplayGap.NONE), (0.9924, ReplayGap.MARGIN), (0.99, ReplayGap.MARGIN), (0.9, ReplayGap.SLO)],
)
def test_one_rule_says_what_a_replay_is_short_of(least, gap):
    """A quarter of the rest is the margin: without it a fleet runs, and below the SLO it is refused."""
    assert gap_of(least, Slo(ttft_p95_ms=1000, within_ratio=0.99)) is gap
