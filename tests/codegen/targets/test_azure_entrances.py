"""Entrances on Azure: large enough for the plan, and no larger."""

from types import SimpleNamespace

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import Language, Wanted, generate
from advisor.codegen.pricing import read_projects
from advisor.codegen.targets.azure_entrances import containers, machines
from codegen.plans import make_plan
from codegen.scenarios import SCENARIOS
from codegen.scenarios.azure_vm_scale_set import azure_option

TOKEN_SECONDS, REQUEST_SECONDS = 0.000047, 0.0031


def stack_of(rate, *regions, tokens=200.0, resting=0.0):
    """What is asked of a stack: a group in each region at *rate* requests a second, and one that gets none."""
    groups = [
        SimpleNamespace(region=region, weight=weight, instances=1, requests_per_second_per_instance=per_second)
        for region in regions
        for weight, per_second in ((1, rate), (0, resting))
    ]
    return SimpleNamespace(
        groups=groups, regions=[SimpleNamespace(name=name) for name in regions], backends=regions, answer_tokens=tokens
    )


def test_a_small_fleet_has_burstable_hosts():
    """Two for each region at the catalog's price: tens of dollars a month, not hundreds."""
    entrances = machines(stack_of(5, "eastus2"))
    assert entrances.size.name == "Standard_B2ats_v2"
    assert entrances.usd_per_month == pytest.approx(2 * 0.0094 * 730)


@pytest.mark.parametrize("sizes", [machines, containers])
@pytest.mark.parametrize("rate", [1, 16, 17, 60, 200, 290])
def test_one_of_two_carries_twice_the_load(sizes, rate):
    """Requests × (connection + 200 tokens) of the busiest region, with as much again for bursts; no smaller one does."""
    needed = 2 * rate * (REQUEST_SECONDS + 200 * TOKEN_SECONDS)
    assert sizes(stack_of(rate, "eastus", "westeurope")).size.vcpus >= min(needed, 4)
    assert sizes(stack_of(rate / 8, "eastus")).size.vcpus <= sizes(stack_of(rate, "eastus")).size.vcpus


def test_what_waits_or_retires_in_a_cut_over_adds_nothing():
    """It gets no requests: hosts are not changed for some hours and back."""
    assert machines(stack_of(5, "eastus", resting=500)) == machines(stack_of(5, "eastus"))


def test_a_region_that_does_not_sell_the_small_size_has_the_next():
    """A size is the same in all regions, and sold in each."""
    assert machines(stack_of(5, "mexicocentral")).size.name == "Standard_D2s_v5"
    unknown = machines(stack_of(5, "eastus", "nowhere"))
    assert (unknown.size.name, unknown.usd_per_month) == ("Standard_D2s_v5", None)
    assert unknown.in_words == "what 4 × Standard_D2s_v5 cost (not known)"


@pytest.mark.parametrize("name", ["vm-scale-set-mixed", "container-apps-mixed"])
def test_price_of_a_directory_is_that_beside_the_total(name, tmp_path):
    """One number in the README, the budget and ``advisor price``."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    for path in ("fleet.tf", "compute.tf", "entrance.tf"):
        (tmp_path / path).write_text(files[path])
    (project,) = read_projects(tmp_path, None, load_catalog())
    hourly = sum(cost.hourly for cost in project.now.costs if ".entrance[" in cost.resource.address)
    assert f"the entrances: \\${hourly * 730:,.2f} a month" in files["README.md"]


def test_more_load_changes_the_data_alone():
    """The size is data of the plan: no other file follows it."""
    small, large = (
        generate(
            make_plan(azure_option(planned_requests_per_second_per_instance=rate)), Language.TERRAFORM, Wanted(rank=1)
        ).files
        for rate in (2.0, 60.0)
    )
    assert {path for path in small if small[path] != large[path]} == {"fleet.tf", "README.md"}
    assert 'size = "Standard_D4s_v5"' in large["fleet.tf"]
