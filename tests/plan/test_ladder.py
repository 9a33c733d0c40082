"""The ladder: the same question with more allowed on each rung, answered by the same planner."""

import itertools
from dataclasses import replace

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.declared import declared_demand
from advisor.models import find_model
from advisor.pipeline import plan_for
from advisor.plan.ladder import Step, home_of, rung_workloads, widest
from advisor.report.ladder_words import ladder_section
from advisor.requirements import require
from advisor.workload.values import DeclaredDemand, Deployment, Limits
from builders import catalog_of, offer, workload

CATALOG = load_catalog()
TODAY = Deployment("aws", "us-east-1", "g5.12xlarge", 4, Purchase.ON_DEMAND)
OFFERS = (
    offer("g5.12xlarge", on_demand=5.7, spot=2.5),
    offer("g5.xlarge", on_demand=1.0, spot=0.5),
    offer("g6.xlarge", on_demand=0.8, spot=0.35),
    offer("g6e.xlarge", region="us-east-2", on_demand=1.5, spot=0.6),
    offer("inf2.8xlarge", on_demand=1.9, spot=0.3),
    offer("g2-standard-4", "us-central1", 0.7, 0.2, "gcp"),
)


def asked(**changes):
    """The builder's workload, in its first precision on demand, beside what runs today."""
    stated = {"current": TODAY, "precisions": ("bf16",), "purchase": (Purchase.ON_DEMAND,), "regions": ("us-east-1",)}
    return workload(**(stated | changes))


def requirements(**changes):
    """The same as requirements of the shipped catalog."""
    work = asked(**changes)
    return require(work, find_model(work.model), declared_demand(5, 8, 800, 200), CATALOG)


@pytest.fixture(scope="module")
def plan():
    """A plan of six offers on two clouds."""
    return plan_for(asked(), catalog_of(*OFFERS))


def within(narrow, wide) -> bool:
    """Whether an empty list, which means any, or a longer list allows all that another one does."""
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


@pytest.mark.parametrize("current", [TODAY, None])
def test_each_rung_allows_all_that_the_one_before_allows(current):
    """Providers, regions, accelerators, types, purchases and precisions only grow; limits and targets stay."""
    need = requirements(current=current)
    rungs = rung_workloads(need, home_of(need, CATALOG), CATALOG)

    assert list(rungs) == [step for step in Step if step in rungs]
    for lower, higher in itertools.pairwise(rungs.values()):
        for name in ("providers", "regions", "accelerators", "instance_types", "purchase", "precisions"):
            assert within(getattr(lower, name), getattr(higher, name)), name
        assert (lower.limits, lower.slo, lower.exclude) == (higher.limits, higher.slo, higher.exclude)


def test_the_widest_allows_what_every_rung_and_the_workload_allow():
    """One supply serves them all."""
    need = requirements()
    rungs = rung_workloads(need, home_of(need, CATALOG), CATALOG)
    wide = widest(need.workload, rungs, CATALOG)

    for one in (need.workload, *rungs.values()):
        for name in ("providers", "regions", "accelerators", "instance_types", "purchase", "precisions"):
            assert within(getattr(one, name), getattr(wide, name)), name


def test_every_rung_is_there_and_costs_never_rise(plan):
    """All eight in their order; none costs more than one below it."""
    assert [rung.rung for rung in plan.ladder] == [step.value for step in Step]
    totals = [rung.total_usd_per_month for rung in plan.ladder[1:] if rung.total_usd_per_month is not None]
    assert totals == sorted(totals, reverse=True)
    assert len(totals) >= 6


def test_a_rung_says_what_it_takes_and_risks(plan):
    """Another cloud needs an account, another accelerator its image, spot is interrupted."""
    by_name = {rung.rung: rung for rung in plan.ladder}
    last = by_name["any_cloud"]

    if any(group.provider == "gcp" for group in last.groups):
        assert "an account on gcp" in last.requires
    if any(group.purchase == "spot" for group in by_name["spot"].groups):
        assert any("interrupted" in risk for risk in by_name["spot"].risks)
    for rung in plan.ladder:
        for group in rung.groups:
            if group.accelerator != "A10G":
                assert any(group.accelerator in text for text in rung.requires)
            if group.precision != "bf16":
                assert any(text.startswith(f"{group.precision} weights") for text in rung.requires)


def test_every_fleet_keeps_to_the_share_within_the_slo(plan):
    """Each rung's fleet is replayed, and keeps what the workload asks."""
    for rung in plan.ladder:
        if rung.groups:
            assert rung.within_slo_ratio >= 0.99
            assert rung.evidence in ("measured", "calibrated", "roofline")
            assert rung.saving_ratio == pytest.approx(1 - rung.total_usd_per_month / plan.current.total_usd_per_month)


def test_the_first_rung_with_the_recommended_fleet_is_marked():
    """Where a workload allows what a rung allows, that rung is the recommendation, and it has its cost."""
    plan = plan_for(asked(regions=("us-east-1", "us-east-2")), catalog_of(*OFFERS))
    (marked,) = [rung for rung in plan.ladder if rung.recommended]

    assert marked.rung == "same_cloud"
    assert marked.total_usd_per_month == pytest.approx(plan.fleet.cost.total_usd_per_month, abs=0.02)


def test_a_recommendation_between_two_rungs_is_none_of_them(plan):
    """A workload of one region is below the rung that allows the continent: no rung is marked, the table shows it."""
    assert not any(rung.recommended for rung in plan.ladder)
    (row,) = [row for row in ladder_section(plan).rows if row[0] == "→"]
    assert row[1] == "as stated"
    assert row[2].partition("\n")[0] == f"{plan.fleet.cost.total_usd_per_month:,.2f}"


def test_limits_hold_on_every_rung():
    """Two replicas in two zones and a bound on instance types hold for the fleets of rungs as for the plan's."""
    plan = plan_for(asked(limits=Limits(min_replicas=2, zones=2, max_instance_types=1)), catalog_of(*OFFERS))

    for rung in plan.ladder:
        if rung.groups:
            assert len({group.instance_type for group in rung.groups}) == 1
            assert sum(group.instances for group in rung.groups) >= 2


def test_a_rung_without_a_fleet_says_why():
    """Where a type of today is sold in no number that keeps the SLO, its rung has no cost and a reason."""
    today = replace(TODAY, instance_type="g4dn.xlarge", count=2)
    plan = plan_for(asked(current=today), catalog_of(offer("g4dn.xlarge", on_demand=0.5), *OFFERS))
    by_name = {rung.rung: rung for rung in plan.ladder}

    assert by_name["resize"].total_usd_per_month is None
    assert by_name["as_is"].total_usd_per_month is None
    for rung in plan.ladder:
        assert (rung.total_usd_per_month is None) == bool(rung.why_none)
    assert by_name["same_cloud"].total_usd_per_month is not None


def test_without_anything_running_the_ladder_starts_at_the_first_region():
    """The first two rungs say that nothing is stated to run; no saving is known."""
    plan = plan_for(asked(current=None), catalog_of(*OFFERS))
    first, second, *others = plan.ladder

    assert [first.rung, second.rung] == ["as_is", "resize"]
    assert first.why_none == second.why_none == "no `current` is stated"
    assert {rung.saving_ratio for rung in others} == {None}


def test_too_few_instances_today_are_no_rung():
    """What runs today and does not keep the SLO is no choice: the rung says how many would be needed."""
    busy = DeclaredDemand(60, 120, 800, 200)
    plan = plan_for(asked(current=replace(TODAY, count=1), demand=busy), catalog_of(*OFFERS))
    first = plan.ladder[0]

    assert first.total_usd_per_month is None
    assert f"{plan.current.instances_needed} are needed" in first.why_none
