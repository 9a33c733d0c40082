"""Entrances on Azure: large enough for the plan, and no larger."""

import dataclasses
import re
from types import SimpleNamespace

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import Language, Stage, Wanted, beside_total, generate
from advisor.codegen.pricing import read_projects
from advisor.codegen.rollout import Former
from advisor.codegen.targets.azure_values import containers, machines
from advisor.pipeline import recommend
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group, make_plan
from codegen.scenarios import SCENARIOS
from codegen.scenarios.azure_vm_scale_set import azure_option

TOKEN_SECONDS, REQUEST_SECONDS = 0.000047, 0.0031


def stack_of(rate, *regions, tokens=200.0):
    """What is asked of a stack: *rate* requests a second in the busiest minute of each region."""
    places = [SimpleNamespace(name=name, peak_requests_per_second=rate) for name in regions]
    return SimpleNamespace(regions=places, backends=regions, answer_tokens=tokens)


def test_a_small_fleet_has_burstable_hosts():
    """Two for each region with a disk each, at the catalog's prices: tens of dollars a month, not hundreds."""
    entrances = machines(stack_of(5, "eastus2"))
    assert entrances.size.name == "Standard_B2ats_v2"
    assert entrances.usd_per_month == pytest.approx(2 * (0.0094 * 730 + 2.40))


@pytest.mark.parametrize("sizes", [machines, containers])
@pytest.mark.parametrize("rate", [1, 16, 17, 60, 200, 290])
def test_one_of_two_carries_twice_the_load(sizes, rate):
    """Requests × (connection + 200 tokens) of the whole demand, with as much again for bursts; no smaller one does."""
    needed = 2 * rate * (REQUEST_SECONDS + 200 * TOKEN_SECONDS)
    assert sizes(stack_of(rate, "eastus", "westeurope")).size.vcpus >= min(needed, 4)
    assert sizes(stack_of(rate / 8, "eastus")).size.vcpus <= sizes(stack_of(rate, "eastus")).size.vcpus


def at_peak(plan, requests_per_second):
    """The plan at another demand in its busiest minute."""
    rates = {**plan.demand["requests_per_second"], "peak": requests_per_second}
    return dataclasses.replace(plan, demand={**plan.demand, "requests_per_second": rates})


def entrance_of(files):
    """Sizes of hosts of the entrance, and totals in the README's section on the cut-over."""
    section = files["README.md"].partition("## Cut-over")[2].replace("\\", "")
    return re.findall(r'size += "(Standard_B\w+|Standard_D\w+)"', files["fleet.tf"]), re.findall(
        r"\$([\d,.]+) in all", section
    )


def test_the_entrance_is_for_the_demand_and_one_size_through_a_cut_over():
    """Twenty machines for the sake of memory call for no larger one; both stages take the larger of both demands."""
    machines_of = {"provider": "azure", "region": "eastus", "instance_type": "Standard_NC24ads_A100_v4"}
    here = {**machines_of, "accelerator": "A100-80GB-PCIe", "instances": (20, 20)}
    quiet, busy = (
        at_peak(make_fleet_plan(make_group(**(here | {"region": region})), policy=Policy.STATIC), peak)
        for region, peak in (("eastus", 4.0), ("swedencentral", 60.0))
    )
    sizes, rollouts = [], {}
    for plan, stage in ((quiet, None), (busy, None), (busy, Stage.SHIFT), (busy, Stage.FINISH), (quiet, None)):
        generated = generate(plan, former=Former(rollouts, roots=("",), stage=stage))
        rollouts = generated.rollouts
        size, totals = entrance_of(generated.files)
        sizes += size
        assert [total for note in generated.notes for total in re.findall(r"\$([\d,.]+) in all", note)] == totals
    assert sizes == ["Standard_B2ats_v2", *["Standard_D2s_v5"] * 4]


def test_a_region_that_does_not_sell_the_small_size_has_the_next():
    """A size is the same in all regions, and sold in each."""
    assert machines(stack_of(5, "mexicocentral")).size.name == "Standard_D2s_v5"
    unknown = machines(stack_of(5, "eastus", "nowhere"))
    assert (unknown.size.name, unknown.usd_per_month) == ("Standard_D2s_v5", None)
    assert unknown.in_words == "what 4 × Standard_D2s_v5 cost (not known)"


@pytest.mark.parametrize("name", ["vm-scale-set-mixed", "container-apps-mixed"])
def test_price_of_a_directory_is_that_beside_the_total(name, tmp_path):
    """One number in the README, the budget and beside or in the total: that of ``advisor price``, without disks."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    for path in ("fleet.tf", "compute.tf", "entrance.tf"):
        (tmp_path / path).write_text(files[path])
    (project,) = read_projects(tmp_path, None, load_catalog())
    entrances = [cost for cost in project.now.costs if ".entrance[" in cost.resource.address]
    disks = 2 * 2.40 * len(entrances) if name.startswith("vm-") else 0
    usd = f"{float(sum(cost.hourly for cost in entrances)) * 730 + disks:,.2f} a month"
    (told,) = beside_total(scenario.plan, scenario.wanted)
    if name.startswith("container-"):
        assert f"| In the total: entrance of containers in eastus | \\${usd} |" in files["README.md"]
        assert "entrance" not in told
        return
    assert f"the entrances: \\${usd}" in files["README.md"]
    assert told.startswith(f"The total leaves out the entrances: ${usd}")


def test_the_total_of_a_plan_holds_what_its_code_orders(tmp_path):
    """Entrance and load balancers are lines of the plan, as many and as dear as those of its Terraform."""
    workload = tmp_path / "workload.yaml"
    workload.write_text(
        "name: chat\nmodel: Qwen/Qwen3-8B\nproviders: [azure]\nregions: [eastus]\nslo: {ttft_p95: 1s}\n"
        "demand: {declared: {requests_per_second: 12, input_tokens: 900, output_tokens: 200}}\n"
    )
    plan = recommend(workload)
    files = generate(plan, Language.TERRAFORM, Wanted()).files
    for path in ("fleet.tf", "compute.tf", "entrance.tf"):
        (tmp_path / path).write_text(files[path])
    (project,) = read_projects(tmp_path, None, load_catalog())
    lines = {charge.item: charge for charge in plan.fleet.standing}
    hourly = sum(cost.hourly for cost in project.now.costs if ".entrance[" in cost.resource.address)
    backends = re.search(r"^  backends = {\n(.*?)^  }", files["fleet.tf"], re.DOTALL | re.MULTILINE)[1]

    assert lines["entrance"].usd_per_month == pytest.approx(float(hourly) * 730, abs=0.005)
    assert lines["load_balancer"].quantity == 730 * (1 + len(re.findall(r"^    [\w-]+ = {", backends, re.MULTILINE)))
    assert beside_total(plan) == ()
    assert f"{plan.fleet.cost.total_usd_per_month:.2f}" in files["fleet.tf"]


def test_more_load_changes_the_data_alone():
    """The size is data of the plan: no other file follows it."""
    small, large = (
        generate(at_peak(make_plan(azure_option()), rate), Language.TERRAFORM, Wanted(rank=1)).files
        for rate in (2.0, 150.0)
    )
    assert {path for path in small if small[path] != large[path]} == {"fleet.tf", "README.md"}
    assert 'size = "Standard_D4s_v5"' in large["fleet.tf"]
