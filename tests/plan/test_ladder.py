"""The ladder: the same question with more allowed on each rung, answered by the same planner."""

import datetime as dt
import itertools
import json
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.lengths import declared_demand
from advisor.models import find_model
from advisor.pipeline import plan_for, recommend
from advisor.plan.rungs import Step, rungs_of, steps_alone, widest
from advisor.report.option_words import ladder_section
from advisor.requirements import require
from advisor.workload.scope import restriction
from advisor.workload.values import DeclaredDemand, Deployment, Exclude, Limits, Slo
from builders import catalog_of, offer, workload

NAMED = "in the regions that the workload names"
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


KEYS = ("providers", "regions", "accelerators", "instance_types", "purchase", "precisions")
COSTLY = DeclaredDemand(20, 32, 800, 200)


def regions_of(work) -> set[str]:
    """Regions that a workload allows, written out."""
    return set(work.regions or (name for owner in work.providers for name in CATALOG.regions_of(owner)))


def within(name, narrow, wide) -> bool:
    """Whether a workload allows under a key no more than another; an empty list means any."""
    if name == "regions":
        return regions_of(narrow) <= regions_of(wide)
    less, more = getattr(narrow, name), getattr(wide, name)
    return not more or (bool(less) and set(less) <= set(more))


def asked_at_random(number):
    """Any combination of what a workload may state of where and on what to run."""
    draw = random.Random(number)
    providers = draw.choice((("aws",), ("gcp",), ("aws", "gcp"), ("aws", "gcp", "azure")))
    regions = draw.choice(((), (), ("us-east-1", "us-central1"), ("eu-west-1", "europe-west4", "westeurope")))
    regions = tuple(name for name in regions if any(name in CATALOG.regions_of(provider) for provider in providers))
    current = draw.choice(
        (None, None, TODAY, replace(TODAY, region="eu-west-1"), replace(TODAY, purchase=Purchase.SPOT))
    )
    accelerators = draw.choice(((), (), ("A10G", "L4"), ("L4", "A100-SXM4-40GB")))
    excluded = draw.choice(((), ("A100-SXM4-40GB",), ("A10G",))) if not accelerators else ()
    return workload(
        current=current,
        providers=providers,
        near_current=current is not None and not regions and providers == ("aws",),
        regions=regions,
        accelerators=accelerators,
        precisions=draw.choice((("bf16",), ("bf16", "fp8"), ("fp8", "bf16"), ("bf16", "fp8", "int8", "int4"))),
        purchase=draw.choice(((Purchase.ON_DEMAND,), (Purchase.SPOT,), tuple(Purchase)[:3])),
        residency=draw.choice(((), (), ("US",), ("EU",))),
        users=draw.choice(((), (), (("DE", 0.5), ("FR", 0.5)))),
        limits=Limits(commit_without_history=draw.random() < 0.5),
        exclude=Exclude(
            regions=draw.choice(((), ("us-east-1",), ("us-west-2", "europe-west1"))) if not regions else (),
            accelerators=excluded,
            providers=draw.choice(((), ("azure",))) if "azure" not in providers else (),
        ),
    )


@pytest.mark.parametrize("number", range(150))
def test_each_rung_allows_all_that_the_one_before_allows(number):
    """Up to a rung no more than is stated, from there on all that is stated and more; whatever is ruled out stays so."""
    work = asked_at_random(number)
    need = require(work, find_model(work.model), declared_demand(5, 8, 800, 200), CATALOG)
    rungs = rungs_of(need, CATALOG)
    asked = [rung.workload for rung in rungs if rung.workload is not None]
    allowed = [rung.workload for rung in rungs if rung.workload is not None and not rung.beyond_stated]

    assert [rung.step for rung in rungs] == list(Step)[:-1]
    assert [rung.beyond_stated for rung in rungs] == sorted(rung.beyond_stated for rung in rungs)
    for lower, higher in itertools.pairwise([*allowed, need.workload, *asked[len(allowed) :]]):
        assert not [name for name in KEYS if not within(name, lower, higher)]
    for one in asked:
        assert (one.limits, one.slo, one.exclude, one.residency, one.users) == (
            need.workload.limits, need.workload.slo, need.workload.exclude, work.residency, work.users,
        )  # fmt: skip
        assert not set(one.regions) & set(work.exclude.regions)
        assert not set(one.providers) & set(work.exclude.providers)
    for rung in rungs[:3]:
        assert bool(rung.why_none) or rung.step is Step.AS_IS or rung.workload is not None


@pytest.mark.parametrize("number", range(0, 150, 10))
def test_the_widest_allows_what_every_rung_and_the_workload_allow(number):
    """One supply serves them all."""
    work = asked_at_random(number)
    need = require(work, find_model(work.model), declared_demand(5, 8, 800, 200), CATALOG)
    rungs = rungs_of(need, CATALOG)
    wide = widest(need.workload, rungs, CATALOG)

    for one in (need.workload, *(rung.workload for rung in rungs if rung.workload is not None)):
        assert not [name for name in KEYS if not within(name, one, wide)]


def test_named_regions_hold_on_every_rung():
    """Clouds that the workload does not name are planned in the countries of the regions that it names."""
    need = requirements(regions=("us-east-1", "us-west-2"))
    rungs = {rung.step: rung.workload for rung in rungs_of(need, CATALOG)}
    own = set(CATALOG.regions_of("aws")) & regions_of(rungs[Step.ANY_CLOUD])
    others = regions_of(rungs[Step.ANY_CLOUD]) - own

    assert regions_of(rungs[Step.ANY_ACCELERATOR]) == own == {"us-east-1", "us-west-2"}
    assert {"us-central1", "eastus"} <= others
    assert {region.country_iso2 for key, region in CATALOG.regions.items() if key[1] in others} == {"US"}


def test_named_regions_of_todays_cloud_are_on_the_rung_of_that_cloud():
    """On another continent too: no other cloud is needed for them."""
    need = requirements(regions=("us-east-1", "eu-west-1"), current=TODAY)
    rungs = {rung.step: rung.workload for rung in rungs_of(need, CATALOG)}

    assert regions_of(rungs[Step.RESIZE]) == {"us-east-1"}
    assert regions_of(rungs[Step.SAME_CLOUD]) == {"us-east-1", "eu-west-1"}


@pytest.mark.parametrize("number", range(0, 150, 3))
def test_no_rung_or_step_is_where_another_account_is_needed(number):
    """Regions of governments and in China are in no scope unless named, whatever else is allowed."""
    work = asked_at_random(number)
    need = require(work, find_model(work.model), declared_demand(5, 8, 800, 200), CATALOG)
    narrow, steps = steps_alone(need, CATALOG)
    asked = [narrow, *steps.values(), *(rung.workload for rung in rungs_of(need, CATALOG))]

    regions = {name for one in asked if one and not isinstance(one, str) for name in regions_of(one)}

    assert regions
    assert not [name for name in regions if restriction(name)]


@pytest.mark.parametrize(("regions", "stays"), [(("us-gov-west-1",), True), (("us-gov-west-1", "us-east-1"), False)])
def test_no_rung_or_step_leaves_for_open_regions_where_all_named_ones_are_of_accounts_of_their_own(regions, stays):
    """Who may use regions for governments alone is not offered another cloud's open ones."""
    need = requirements(current=None, regions=regions)
    rung, (_, steps) = rungs_of(need, CATALOG)[-1], steps_alone(need, CATALOG)
    why = "the named regions are for governments and take an account of their own: to plan on another cloud, name it and its regions"

    assert rung.step is Step.ANY_CLOUD
    assert (rung.workload is None) == stays
    assert rung.why_none == (why if stays else "")
    assert (steps[Step.ANY_CLOUD] == why) == stays


@pytest.mark.parametrize(
    ("providers", "others"), [(("lambda",), "aws, gcp, azure"), (("oracle", "coreweave"), "aws, gcp, azure")]
)
def test_no_cloud_is_near_regions_of_unknown_location(providers, others):
    """What is left out is told: no region of the clouds is on the continent of one that is "global"."""
    need = requirements(current=None, regions=(), providers=providers)
    rung, (_, steps) = rungs_of(need, CATALOG)[-1], steps_alone(need, CATALOG)
    why = (
        f"where the regions to plan in are is not known (global), so none of {others} is counted as near: to plan on "
        "another cloud, name it and its regions"
    )

    assert (rung.step, rung.workload, rung.why_none) == (Step.ANY_CLOUD, None, why)
    assert steps[Step.ANY_CLOUD] == why
    beside = requirements(current=None, regions=(), providers=(*providers, "aws"))
    assert {"gcp", "azure"} <= set(rungs_of(beside, CATALOG)[-1].workload.providers)


@pytest.mark.parametrize("providers", [("aws",), ("aws", "azure"), ("aws", "azure", "gcp")])
def test_other_clouds_alone_are_as_near_as_todays(providers):
    """Whatever clouds the workload lists, without regions theirs are those of today's continent, open to any account."""
    _, steps = steps_alone(requirements(regions=(), providers=providers), CATALOG)
    own, clouds = (set(steps[step].regions) for step in (Step.SAME_CLOUD, Step.ANY_CLOUD))
    places = [key for key in CATALOG.regions if key[1] in clouds | own]

    assert {"us-central1", "eastus"} <= clouds
    assert {CATALOG.regions[key].continent for key in places} == {"North America"}
    assert not any(restriction(name) for name in clouds | own)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"current": TODAY, "regions": (), "near_current": True}, "in North America"),
        ({"current": None, "regions": ()}, "on any continent"),
        ({"current": None, "regions": (), "residency": ("EU",)}, "wherever users and residency allow"),
        (
            {"current": TODAY, "regions": ("us-east-1",)},
            f"{NAMED} for aws, and in all open regions of gcp and azure in US",
        ),
        (
            {"current": None, "providers": ("gcp",), "regions": ("europe-west4",)},
            f"{NAMED} for gcp, and in all open regions of azure in NL",
        ),
    ],
    ids=["near today", "anywhere", "residency", "named", "where one cloud has no region"],
)
def test_a_rung_says_where_its_regions_are(changes, where):
    """Nobody has to guess whether another continent was looked at."""
    assert rungs_of(requirements(**changes), CATALOG)[-1].where.startswith(where)


def test_the_report_says_how_far_the_regions_go(plan):
    """It stands below the heading of the ladder."""
    (line,) = ladder_section(plan).lines

    assert line == (
        f"up to any cloud, {NAMED} for aws, and in all open regions of gcp and azure in US; exclusions and residency "
        "hold on every rung"
    )


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "exclude",
    [
        Exclude(accelerators=("L40S", "L4")),
        Exclude(providers=("gcp",)),
        Exclude(instance_types=("g6.xlarge", "g6e.xlarge")),
        Exclude(engines=("vLLM",)),
        Exclude(regions=("us-east-2", "us-central1")),
        Exclude(purchase=("spot", "commitment")),
    ],
    ids=["accelerators", "providers", "instance_types", "engines", "regions", "purchase"],
)
def test_what_a_workload_excludes_is_on_no_rung(exclude):
    """Rungs allow more of what is listed, never what is ruled out."""
    regions = () if exclude.regions else ("us-east-1", "us-east-2", "us-central1")
    plan = plan_for(
        asked(exclude=exclude, providers=("aws", "gcp"), regions=regions, demand=COSTLY), catalog_of(*OFFERS)
    )
    used = [group for rung in plan.ladder for group in rung.groups]

    assert used
    for group in used:
        assert group.accelerator not in exclude.accelerators
        assert group.provider not in exclude.providers
        assert group.instance_type not in exclude.instance_types
        assert group.engine not in exclude.engines
        assert group.region not in exclude.regions
        assert group.purchase not in exclude.purchase


def test_without_spot_at_all_any_cloud_is_on_demand():
    """The rung of spot says why it has no fleet, and those above go on without it."""
    plan = plan_for(asked(exclude=Exclude(purchase=("spot",))), catalog_of(*OFFERS))
    rungs = {rung.rung: rung for rung in plan.ladder}

    assert (rungs["spot"].total_usd_per_month, rungs["spot"].why_none) == (None, "exclude.purchase names spot")
    assert {group.purchase for group in rungs["any_cloud"].groups} == {"on_demand"}
    assert rungs["any_cloud"].total_usd_per_month <= plan.fleet.cost.total_usd_per_month
    assert plan.workload["exclude"]["purchase"] == ["spot"]


def test_requests_stay_where_residency_allows_on_every_rung():
    """A cheaper cloud elsewhere is no rung."""
    sold = (offer("g6e.xlarge", "eu-west-1", 2.0, 1.0), offer("g2-standard-4", "us-central1", 0.2, 0.1, "gcp"))
    plan = plan_for(asked(current=None, regions=(), residency=("EU",)), catalog_of(*sold))

    assert {group.region for rung in plan.ladder for group in rung.groups} == {"eu-west-1"}


def test_every_rung_is_there_and_costs_never_rise(plan):
    """All eight in their order; none costs more than one below it."""
    assert [rung.rung for rung in plan.ladder] == [step.value for step in Step][:-1]
    totals = [rung.total_usd_per_month for rung in plan.ladder[1:] if rung.total_usd_per_month is not None]
    assert totals == sorted(totals, reverse=True)
    assert len(totals) >= 6


def test_rungs_allow_the_precision_that_todays_machines_are_judged_in():
    """Qwen3-32B in BF16 fits no A100 of 40 GB: today's are judged in FP8, and the next rung is no dearer than they are."""
    today = Deployment("gcp", "us-central1", "a2-highgpu-1g", 4, Purchase.ON_DEMAND)
    sold = [
        offer("a2-highgpu-1g", "us-central1", 3.7, None, "gcp"),
        offer("a2-highgpu-2g", "us-central1", 20.0, None, "gcp"),
    ]  # fmt: skip
    plan = plan_for(
        asked(
            model="Qwen/Qwen3-32B", precisions=("bf16", "fp8"), providers=("gcp",), regions=("us-central1",),
            current=today, demand=DeclaredDemand(0.4, 0.8, 800, 200),
        ),
        catalog_of(*sold),
    )  # fmt: skip
    as_is, resize = plan.ladder[:2]

    assert plan.current.precision == "fp8"
    assert {group.precision for group in resize.groups} == {"fp8"}
    assert resize.total_usd_per_month <= as_is.total_usd_per_month


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
            assert (group.weights == "meta-llama/Llama-3.1-8B-Instruct") == (group.precision in ("bf16", "fp16"))
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


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"current": None},
        {"purchase": (Purchase.SPOT,), "precisions": ("bf16", "fp8")},
        {"accelerators": ("L40S",), "regions": ("us-east-1", "us-east-2")},
        {"providers": ("aws", "gcp"), "regions": ("us-east-1", "us-central1"), "precisions": ("fp8",)},
    ],
    ids=["today", "no today", "spot", "L40S", "two clouds"],
)
def test_the_recommendation_stands_where_its_allowances_put_it(changes):
    """No rung that allows less costs less than it, none that allows more costs more; its row stands between them."""
    plan = plan_for(asked(demand=COSTLY, **changes), catalog_of(*OFFERS))
    total = plan.fleet.cost.total_usd_per_month
    less = [rung for rung in plan.ladder if not rung.beyond_stated and rung.total_usd_per_month is not None]
    more = [rung for rung in plan.ladder if rung.beyond_stated]

    assert plan.as_stated.total_usd_per_month == total
    assert all(rung.total_usd_per_month >= total - 0.01 for rung in less)
    assert more
    assert all(rung.total_usd_per_month <= total + 0.01 for rung in more if not rung.why_none)
    rows = [row[1] for row in ladder_section(plan).rows]
    assert rows.index("as stated") == len(plan.ladder) - len(more)
    assert [row[1] for row in ladder_section(plan).rows if row[0] == "→"] == ["as stated"]


def test_a_simpler_recommendation_leaves_no_cheaper_rung_below_it():
    """A fleet that allows less and costs less than a simpler one that is recommended is named in place of its rung."""
    sold = (offer("g6e.xlarge", on_demand=1.0), offer("g6.xlarge", on_demand=0.42), offer("p5.4xlarge", on_demand=4.1))
    plan = plan_for(
        asked(limits=Limits(simplicity=1.0), demand=COSTLY), catalog_of(*sold, offer("g5.12xlarge", on_demand=9.0))
    )
    costs = [rung.total_usd_per_month for rung in plan.ladder if rung.total_usd_per_month is not None]

    assert costs == sorted(costs, reverse=True)
    for rung in plan.ladder[1:]:
        assert (
            rung.beyond_stated
            or rung.total_usd_per_month is None
            or (rung.total_usd_per_month >= plan.as_stated.total_usd_per_month - 0.01)
        )


@pytest.mark.parametrize("step", ["resize", "spot"])
def test_a_rung_costs_what_the_plan_of_the_same_question_costs(step):
    """Also where targets near those of an idle replica let fewer instances hold than the closed form asks for."""
    sold = (
        offer("g5.2xlarge", on_demand=1.212), offer("g5.12xlarge", on_demand=5.672), offer("g6.xlarge", on_demand=0.8),
        offer("g4dn.xlarge", on_demand=0.53, spot=0.15),
    )  # fmt: skip
    today = replace(TODAY, instance_type="g5.2xlarge", count=12)
    work = asked(
        current=today, precisions=("bf16", "fp8"), demand=DeclaredDemand(12.6, 16, 40, 20), slo=Slo(1000.0, 37.0),
        limits=Limits(min_replicas=2, zones=2),
    )  # fmt: skip
    (rung,) = [rung for rung in plan_for(work, catalog_of(*sold)).ladder if rung.rung == step]
    allowed = {
        "resize": {"accelerators": ("A10G",), "precisions": ("bf16",)},
        "spot": {"purchase": (Purchase.ON_DEMAND, Purchase.SPOT)},
    }[step]

    plan = plan_for(replace(work, **allowed), catalog_of(*sold))

    assert rung.total_usd_per_month == pytest.approx(plan.fleet.cost.total_usd_per_month, rel=0.02)


def test_a_rung_of_an_example_costs_what_its_plan_costs(tmp_path):
    """Also where the cheapest fleet is near a dearer one than the search ends with."""
    example = Path(__file__).parents[2] / "examples" / "chat"
    shutil.copy(example / "demand.json", tmp_path)
    text = (example / "workload.yaml").read_text()
    for stated, narrow in (
        ("[bf16, fp8, int8, int4]", "[bf16]"),
        ("[aws, gcp, azure]", "[aws]"),
        ("[us-east-1, eu-west-1, us-central1]", "[us-east-1]"),
    ):
        assert stated in text
        text = text.replace(stated, narrow)
    nvidia = [name for name, one in CATALOG.accelerators.items() if one.vendor.casefold() == "nvidia"]
    (tmp_path / "workload.yaml").write_text(f"{text}accelerators: {json.dumps(nvidia)}\n")

    (rung,) = [rung for rung in recommend(example / "workload.yaml").ladder if rung.rung == "spot"]
    plan = recommend(tmp_path / "workload.yaml")

    assert rung.total_usd_per_month == pytest.approx(plan.fleet.cost.total_usd_per_month, rel=0.01)


def test_a_rung_looks_for_mixes_that_carry_more_than_the_closed_form_says():
    """Small machines beside large ones of a chip hold at less than large ones alone, on a rung as in its plan."""
    sold = (
        offer("g7e.12xlarge", on_demand=8.286, spot=1.871), offer("g7e.2xlarge", on_demand=3.363, spot=1.016),
        offer("g6e.12xlarge", on_demand=10.493),
    )  # fmt: skip
    work = asked(
        model="Qwen/Qwen3-32B", slo=Slo(2000.0, 80.0), demand=DeclaredDemand(7.9, 23.7, 100, 400),
        current=replace(TODAY, instance_type="g6e.12xlarge", count=3), limits=Limits(min_replicas=2),
    )  # fmt: skip
    (rung,) = [rung for rung in plan_for(work, catalog_of(*sold)).ladder if rung.rung == "spot"]
    plan = plan_for(replace(work, purchase=(Purchase.ON_DEMAND, Purchase.SPOT)), catalog_of(*sold))

    assert len(rung.groups) == 2
    assert rung.total_usd_per_month == pytest.approx(plan.fleet.cost.total_usd_per_month, rel=0.02)
    assert rung.total_usd_per_month == round(rung.total_usd_per_month, 2)


@pytest.mark.parametrize(("simplicity", "same"), [(1.0, True), (0.0, False)])
def test_a_precision_that_saves_little_is_no_step(simplicity, same):
    """A rung takes weights that lose more quality only where they save more than simplicity is worth."""
    question = asked(limits=Limits(simplicity=simplicity), precisions=("bf16",), demand=COSTLY)
    plan = plan_for(question, catalog_of(offer("g5.12xlarge", on_demand=9.0), offer("g6e.xlarge", on_demand=1.5)))
    (rung,) = [rung for rung in plan.ladder if rung.rung == "precision"]

    assert (rung.groups == plan.as_stated.groups) == same
    assert ({group.precision for group in rung.groups} == {"bf16"}) == same


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


def test_without_anything_running_no_rung_keeps_it():
    """The first three rungs say that nothing is stated to run; no saving is known."""
    plan = plan_for(asked(current=None), catalog_of(*OFFERS))

    assert [rung.rung for rung in plan.ladder[:3]] == ["as_is", "resize", "same_cloud"]
    assert {rung.why_none for rung in plan.ladder[:3]} == {"no `current` is stated"}
    assert plan.ladder[3].why_none == "not possible: a commitment takes 14 days of history, none of them known"
    assert {rung.saving_ratio for rung in plan.ladder[3:]} == {None}


def test_another_cloud_that_the_workload_names_is_a_move_from_today():
    """With an account on it already: today's machines are elsewhere all the same."""
    sold = (offer("g5.12xlarge", on_demand=5.7), offer("a2-highgpu-1g", "us-central1", 0.7, 0.2, "gcp"))
    plan = plan_for(asked(providers=("aws", "gcp"), regions=()), catalog_of(*sold))

    assert {group.provider for group in plan.as_stated.groups} == {"gcp"}
    assert "moving from aws to gcp" in plan.as_stated.requires
    assert plan.ladder[1].requires == ()


def test_without_anything_running_a_rung_takes_what_is_not_stated():
    """What the workload allows anyway is no requirement: clouds, regions, accelerators, precisions."""
    sold = (offer("g6e.xlarge", on_demand=9.0), offer("a2-highgpu-1g", "us-central1", 0.7, 0.2, "gcp"))
    open_to_all = asked(current=None, providers=("aws", "gcp"), regions=(), precisions=("bf16", "fp8", "int8", "int4"))
    only_aws = replace(open_to_all, providers=("aws",), accelerators=("L40S",), precisions=("bf16",))
    told = {one.rung: one.requires for one in plan_for(open_to_all, catalog_of(*sold)).ladder}
    beyond = {one.rung: one for one in plan_for(only_aws, catalog_of(*sold)).ladder}

    history = tuple(one for one in told.pop("commit") if "history" not in one)
    assert history == ()
    assert set(told.values()) == {()}
    assert beyond["spot"].requires == ()
    assert "an account on gcp" in beyond["any_cloud"].requires


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exclude": Exclude(accelerators=("A10G",))}, "exclude.accelerators names A10G, which runs today"),
        (
            {"exclude": Exclude(regions=("us-east-1",)), "regions": ()},
            "exclude.regions names us-east-1, which runs today",
        ),
        ({"regions": ("us-east-2",)}, "regions does not name us-east-1, which runs today"),
        ({"accelerators": ("L40S",), "regions": ()}, "accelerators does not name A10G, which runs today"),
    ],
    ids=["excluded", "excluded region", "other regions", "other accelerators"],
)
def test_what_runs_today_and_is_not_allowed_is_no_rung(changes, why):
    """The rungs that keep it say which key leaves it out."""
    plan = plan_for(asked(**changes), catalog_of(*OFFERS))

    assert [rung.why_none for rung in plan.ladder[:2]] == [why, why]
    assert plan.as_stated.total_usd_per_month is not None


def test_too_few_instances_today_are_no_rung():
    """What runs today and does not keep the SLO is no choice: the rung says how many would be needed."""
    busy = DeclaredDemand(60, 120, 800, 200)
    plan = plan_for(asked(current=replace(TODAY, count=1), demand=busy), catalog_of(*OFFERS))
    first = plan.ladder[0]

    assert first.total_usd_per_month is None
    assert f"{plan.current.instances_needed} are needed" in first.why_none


@pytest.mark.parametrize(("as_of", "ends"), [(None, "over 1 year"), (dt.date(2026, 12, 1), "until 2027-12-01")])
def test_a_term_that_begins_on_no_stated_day_ends_on_none(as_of, ends):
    """A rung beyond a workload without commitments says how long it obliges; with a planning day, until when."""
    limits = Limits(commit_without_history=True)
    sold = catalog_of(offer("g6.xlarge", on_demand=0.8), offer("g5.xlarge", on_demand=1.0))
    plan = plan_for(asked(limits=limits, current=None, as_of=as_of), sold)

    (risk,) = next(rung for rung in plan.ladder if rung.rung == "commit").risks
    assert re.fullmatch(rf"obliges to \$[\d,]+ {ends}", risk)
