"""What a workload holds its plan to is all that is planned with, and contradictions are named."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.candidates import match
from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.demand.lengths import declared_demand
from advisor.errors import InputError
from advisor.models import find_model
from advisor.pipeline import plan_for
from advisor.requirements import check_names, require
from advisor.workload.document import read_workload
from advisor.workload.holds import check_holds
from advisor.workload.kinds import unit_of
from advisor.workload.scope import allows, in_scope, restriction, scope_notes
from advisor.workload.values import DEFAULT_PRECISIONS, Deployment, Exclude, Limits, OwnedCommitment, Scaling, Slo
from builders import catalog_of, offer, workload

CATALOG = load_catalog()
TYPES = ("g5.xlarge", "g6.xlarge", "g6e.xlarge", "p4d.24xlarge")
ACCELERATORS = {"g5.xlarge": "A10G", "g6.xlarge": "L4", "g6e.xlarge": "L40S", "p4d.24xlarge": "A100-40GB"}
SOLD = [offer(name, on_demand=1.0 + at) for at, name in enumerate(TYPES)]
ALL = ("aws", "gcp", "azure")


def refusal(**changes) -> str:
    """What is said of holds that leave nothing."""
    with pytest.raises(InputError) as caught:
        check_names(workload(**changes), CATALOG)
    return str(caught.value)


def types_of(plan) -> set[str]:
    """Every instance type that a plan names."""
    groups = plan.fleet.groups if plan.fleet else ()
    return {one.instance_type for one in (*plan.options, *plan.rejected, *groups)}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(TYPES), min_size=1, unique=True),
    st.sampled_from(("instance_types", "accelerators")),
    st.booleans(),
)
def test_nothing_outside_the_hold_is_judged(names, key, excluded):
    """Candidates and rejections are of the types left, all of which are accounted for."""
    held = tuple(names if key == "instance_types" else [ACCELERATORS[name] for name in names])
    left = {name for name in TYPES if (name in names) != excluded}
    asked = workload(exclude=Exclude(**{key: held})) if excluded else workload(**{key: held})
    catalog = catalog_of(*SOLD)
    model = find_model(asked.model)

    matches = match(require(asked, model, declared_demand(5, 8, 800, 200), catalog), catalog)

    judged = {one.instance_type.name for one in matches.candidates} | {one.instance_type for one in matches.rejections}
    scope = in_scope(asked, CATALOG)
    machines = {machine.name: machine for machine in CATALOG.instance_types.values() if machine.provider == "aws"}
    assert left <= judged
    assert all(allows(scope, machines[name]) for name in judged)
    assert {name for _, name in matches.offers} == left


@pytest.mark.parametrize("held", [{"accelerators": ("L40S",)}, {"exclude": Exclude(accelerators=("L4",))}])
def test_a_hold_never_makes_a_fleet_cheaper(held):
    """The plan names nothing that is left out, and costs no less than without the hold."""
    free, plan = plan_for(workload(), catalog_of(*SOLD)), plan_for(workload(**held), catalog_of(*SOLD))

    assert "g6.xlarge" not in types_of(plan)
    assert plan.fleet.cost.total_usd_per_month >= free.fleet.cost.total_usd_per_month - 0.01


def test_holds_stand_in_the_plan_in_the_catalogs_names():
    """However an accelerator or an engine is spelled, the plan names it as the catalog does."""
    plan = plan_for(workload(accelerators=("l4",), engines=("vllm",)), catalog_of(*SOLD))

    assert plan.workload["accelerators"] == ["L4"]
    assert plan.workload["engines"] == ["vLLM"]
    assert {group.engine for group in plan.fleet.groups} == {"vLLM"}


def test_a_bare_name_is_every_variant_of_an_accelerator():
    """H100 without its form factor stands for all of them."""
    assert set(in_scope(workload(accelerators=("H100",)), CATALOG).accelerators) >= {"H100-SXM", "H100-NVL"}


def test_exclude_leaves_out_one_variant_of_an_accelerator_that_is_asked_for():
    """``accelerators: [H100]`` without H100-NVL plans with the others."""
    work = workload(accelerators=("H100",), exclude=Exclude(accelerators=("H100-NVL",)))
    check_holds(work, CATALOG)
    scope = in_scope(work, CATALOG)
    machines = [machine.accelerator for machine in CATALOG.instance_types.values() if allows(scope, machine)]

    assert set(machines) == {"H100-SXM"}


def test_an_engine_that_is_left_out_is_a_rejection_with_both_names():
    """A machine that only another engine serves says which, and the next engine in order is taken elsewhere."""
    plan = plan_for(workload(exclude=Exclude(engines=("vLLM",))), catalog_of(*SOLD, offer("inf2.8xlarge")))

    assert "vLLM" not in {group.engine for group in plan.fleet.groups}
    neuron = plan_for(workload(engines=("vLLM",)), catalog_of(*SOLD, offer("inf2.8xlarge")))
    rejected = [one for one in neuron.rejected if one.code == "engine_excluded"]
    assert {one.instance_type for one in rejected} == {"inf2.8xlarge"}
    assert {(one.needed, one.available[:6]) for one in rejected} == {("vLLM", "vLLM-N")}


def test_excluded_providers_and_regions_sell_nothing():
    """What is excluded is neither planned with nor reported."""
    sold = [offer(), offer(region="us-west-2", on_demand=0.1), offer("a2-highgpu-1g", "us-central1", 0.1, None, "gcp")]
    asked = workload(providers=ALL, exclude=Exclude(providers=("gcp",), regions=("us-west-2",)))

    plan = plan_for(asked, catalog_of(*sold))

    assert {(group.provider, group.region) for group in plan.fleet.groups} == {("aws", "us-east-1")}
    assert {one.provider for one in plan.rejected} <= {"aws", "azure"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"accelerators": ("H1000",)}, ("accelerators", "unknown accelerator: 'H1000'", "did you mean")),
        ({"instance_types": ("g6.xlarg",)}, ("instance_types", "unknown instance type", "g6.xlarge")),
        ({"engines": ("vllmm",)}, ("engines", "unknown engine: 'vllmm'", "did you mean vLLM")),
        ({"exclude": Exclude(providers=("awz",))}, ("exclude.providers", "unknown provider", "aws")),
        ({"exclude": Exclude(regions=("us-est-1",))}, ("exclude.regions", "unknown region", "us-east-1")),
        ({"exclude": Exclude(providers=("aws",))}, ("exclude.providers", "0 of 1 providers are left", "providers")),
        (
            {"regions": ("us-east-1",), "exclude": Exclude(regions=("us-east-1",))},
            ("exclude.regions", "0 regions", "change regions"),
        ),
        (
            {"instance_types": ("g6.xlarge",), "exclude": Exclude(instance_types=("g6.xlarge",))},
            ("exclude.instance_types", "g6.xlarge is asked for under instance_types and excluded", "change"),
        ),
        (
            {"accelerators": ("H100",), "exclude": Exclude(accelerators=("H100",))},
            ("exclude.accelerators", "H100 is asked for under accelerators and excluded", "change"),
        ),
        (
            {"accelerators": ("TPU-v6e",)},
            ("accelerators", "0 of the ", "allow one of those that sell it: gcp "),
        ),
        (
            {"accelerators": ("H100-SXM",), "instance_types": ("g6.xlarge",)},
            ("accelerators", "the other keys leave 0 of them", "a machine in common"),
        ),
        (
            {"accelerators": ("L4",), "engines": ("vLLM-TPU",)},
            ("engines", "serve bf16 or fp8 on 0 of the 1 accelerators", "vLLM"),
        ),
    ],
)  # fmt: skip
def test_holds_that_leave_nothing_are_refused(changes, expected):
    """The field, the two numbers and the remedy are named."""
    said = refusal(**changes)
    assert all(part in said for part in expected), said


def test_a_hold_that_is_sold_in_part_says_what_is_left_out():
    """One of two accelerators that is not sold there is a note, not an error."""
    plan = plan_for(workload(accelerators=("L4", "TPU-v6e")), catalog_of(*SOLD))

    assert plan.fleet is not None
    assert "TPU-v6e is not known to be sold where the plan may run, so it is left out" in plan.notes


RUNNING = Deployment("aws", "eu-central-1", "g5.12xlarge", 2, Purchase.ON_DEMAND)


def test_a_plan_stays_near_what_runs():
    """Without providers and regions stated, it is the provider and the continent of the current deployment."""
    near = workload(current=RUNNING, near_current=True)

    regions = in_scope(near, CATALOG).regions

    assert "eu-west-1" in regions
    assert {CATALOG.regions["aws", name].continent for name in regions} == {"Europe"}
    (note,) = scope_notes(near, CATALOG)
    assert note.startswith("planned within aws in Europe")


RESTRICTED = ("cn-north-1", "cn-northwest-1", "us-gov-east-1", "us-gov-west-1")


def test_regions_that_take_an_account_of_their_own_are_left_out():
    """Without regions it is every other one, and one note counts and names those left out."""
    stated = workload(providers=("aws", "runpod"))

    scope = in_scope(stated, CATALOG)

    assert set(scope.regions) == {*CATALOG.regions_of("aws"), *CATALOG.regions_of("runpod"), ""} - {*RESTRICTED}
    assert in_scope(scope, CATALOG) == scope
    (note,) = scope_notes(stated, CATALOG)
    assert note.startswith(
        "regions for governments and in China take an account of their own and are left out (4: cn-n"
    )


@pytest.mark.parametrize("regions", [RESTRICTED[2:], ("us-east-1", "cn-north-1")])
def test_named_regions_may_take_an_account_of_their_own(regions):
    """A region that the workload names is planned in, whoever's it is."""
    stated = workload(regions=regions)

    assert (in_scope(stated, CATALOG).regions, scope_notes(stated, CATALOG)) == (regions, ())


@pytest.mark.parametrize(
    ("region", "near", "left"),
    [
        ("us-east-1", True, ()),
        ("us-gov-west-1", True, RESTRICTED[2:]),
        ("us-gov-west-1", False, RESTRICTED[2:]),
        ("cn-north-1", False, RESTRICTED[:2]),
    ],
)
def test_an_account_of_its_own_is_that_of_what_runs(region, near, left):
    """Beside a current deployment in such a region its kind is open, and no other."""
    scope = in_scope(workload(current=replace(RUNNING, region=region), near_current=near), CATALOG)

    assert {name for name in scope.regions if name in RESTRICTED} == set(left)
    assert ("us-east-1" in scope.regions) == (not near or not left)


@pytest.mark.parametrize(
    ("region", "is_open"),
    [
        *(
            (name, False)
            for name in ("usgovvirginia", "usdodcentral", "chinaeast2", "eusc-de-east-1", "us-gov-ashburn-1")
        ),
        *((name, True) for name in ("us-east-1", "eastus", "uksouth", "us-gulf-1", "ca-central-1", "chile-1")),
    ],
)
def test_regions_with_an_account_of_their_own_are_told_by_name(region, is_open):
    """Those of any provider are recognised, and no other."""
    assert (not restriction(region)) == is_open


def test_a_provider_of_such_regions_alone_is_refused():
    """Nothing to plan in is an error with the names to choose from, never every region."""
    shut = catalog_of(*SOLD)
    shut.__dict__["regions"] = {key: region for key, region in CATALOG.regions.items() if key[1] in RESTRICTED}

    with pytest.raises(InputError, match=r"all 4 regions of aws take an account .*\n?.*under regions: cn-north-1"):
        in_scope(workload(), shut)


@pytest.mark.parametrize("named", [False, True])
def test_a_cheap_region_that_takes_another_account_is_no_way_to_save(named):
    """No fleet, option or rung is there, at whatever price, unless the workload names it."""
    cheap = [offer(one.instance_type, region=region, on_demand=0.01) for one in SOLD for region in RESTRICTED]
    stated = workload(regions=("us-east-1", *RESTRICTED) if named else (), providers=("aws", "gcp"))

    plan = plan_for(stated, catalog_of(*SOLD, *cheap))

    rungs = [group for rung in plan.ladder for group in rung.groups]
    used = {group.region for group in (*plan.fleet.groups, *plan.options, *rungs)}
    assert bool(used & {*RESTRICTED}) == named


@pytest.mark.parametrize("stated", [{"users": (("IN-west", 1.0),)}, {"residency": ("IN",)}])
def test_users_and_residency_say_where_to_plan(stated):
    """They free the plan of the continent, not of the provider."""
    free = workload(current=RUNNING, near_current=True, **stated)

    assert {"eu-west-1", "ap-south-1"} <= set(in_scope(free, CATALOG).regions)
    note, _ = scope_notes(free, CATALOG)
    assert note.startswith("planned within aws, where")


CURRENT = "current: {provider: gcp, region: europe-west4, instance_type: a2-highgpu-1g, count: 1}\n"


@pytest.mark.parametrize(
    ("stated", "providers", "near"),
    [
        (CURRENT, ("gcp",), True),
        (CURRENT + "regions: [us-central1]\n", ALL, False),
        (CURRENT + "providers: [aws]\n", ("aws",), False),
        ("", ALL, False),
    ],
)
def test_the_file_says_whether_the_plan_stays(tmp_path: Path, stated, providers, near):
    """A stated provider or region sets it free."""
    path = tmp_path / "workload.yaml"
    path.write_text(
        "name: chat\nmodel: meta-llama/Llama-3.1-8B-Instruct\n"
        "demand: {declared: {requests_per_second: 1, input_tokens: 8, output_tokens: 8}}\n" + stated
    )

    read = read_workload(path)

    assert (read.providers, read.near_current) == (providers, near)


@pytest.mark.parametrize(
    "changes",
    [
        {"commitments": (OwnedCommitment("aws", "us-east-1", "g6.xlarge", 1, date(2027, 6, 1)),)},
        {"scaling": Scaling(scale_to_zero=True)},
        {"purchase": (Purchase.SPOT, Purchase.ON_DEMAND)},
    ],
    ids=["owned", "by the second", "on demand"],
)
def test_a_base_on_demand_contradicts_spot_alone_only_where_nothing_else_may_carry_it(changes):
    """What is owned, sold by the second or on demand is no spot."""
    stated = workload(purchase=(Purchase.SPOT,), limits=Limits(on_demand_base_ratio=0.5))

    with pytest.raises(InputError, match=r"on_demand_base_ratio 0\.5 contradicts purchase: \[spot\]"):
        check_holds(stated, CATALOG)
    check_holds(replace(stated, **changes), CATALOG)


@pytest.mark.parametrize(
    ("model", "planned"),
    [
        ("openai/gpt-oss-120b", ("mxfp4",)),
        ("deepseek-ai/DeepSeek-V3", ("fp8",)),
        ("meta-llama/Llama-3.1-8B-Instruct", ("bf16",)),
        ("openai/whisper-large-v3", ("bf16",)),
    ],
)
def test_a_model_is_planned_in_the_precision_that_it_is_published_in(model, planned):
    """Nobody makes 16 bit of weights that are published in 4: it would take twice the machines and more."""
    asked = replace(workload(model=model), precisions=DEFAULT_PRECISIONS)
    demand = replace(declared_demand(1, 1, 800, 200), unit=unit_of(find_model(model), asked))

    assert require(replace(asked, slo=Slo()), find_model(model), demand, CATALOG).workload.precisions == planned
    stated = replace(asked, lines={"precisions": 3}, slo=Slo())
    assert require(stated, find_model(model), demand, CATALOG).workload.precisions == DEFAULT_PRECISIONS
