"""What Terraform itself plans for a generated root costs what the plan says."""

import json

import pytest

from advisor.catalog import load_catalog
from advisor.codegen import Language, generate
from advisor.codegen.pricing import read_projects
from codegen.plans import make_option, make_plan
from codegen.scenarios import SCENARIOS
from codegen.scenarios.ec2 import AGENT, variables
from iac import harness

NAMES = (
    "mixed-fleet", "eks-scheduled", "mig-t4-attached", "tpu-vm-v6e-spot", "cloud-run-l4-to-zero", "vm-scale-set-h100-tp8",
    "container-apps-mixed", "mig-cache", "vm-scale-set-cache",
)  # fmt: skip
"""One of each kind of machine, and two caches."""


def priced(terraform):
    """The costs of the plan of a root."""
    (project,) = read_projects(terraform.directory, json.dumps(terraform.plan()), load_catalog())
    return project.now


@pytest.mark.parametrize("instance_type", ["g6.xlarge", "g5.12xlarge"])
def test_plan_of_a_static_root_costs_the_plans_compute(instance_type, simulated_clouds, tmp_path):
    """A single type, always on: to the cent."""
    wanted = ("aws", "us-east-1", instance_type)
    (offer,) = [one for one in load_catalog().offers if (one.provider, one.region, one.instance_type) == wanted]
    option = make_option(instance_type=instance_type, instances=3, usd_per_hour=offer.on_demand.usd_per_hour)
    harness.write_module(generate(make_plan(option)).files, tmp_path)
    (tmp_path / "terraform.tfvars.json").write_text(json.dumps(variables("us-east-1", **AGENT)))
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    terraform.init()
    costs = priced(terraform)
    assert costs.unknown == ()
    assert f"{costs.hourly * 730:.2f}" == f"{option.cost.compute_usd_per_month:.2f}"


@pytest.mark.sampled(6)
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_plan_and_code_cost_the_same(name, start, tmp_path):
    """Terraform's plan and the code read without it give the same hourly cost, entrances included, on each cloud."""
    scenario = SCENARIOS[name]()
    in_plan = priced(start(name, filled=True))
    harness.write_module(generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files, tmp_path / "code")
    (project,) = read_projects(tmp_path / "code", None, load_catalog())
    in_code = project.now
    assert in_code.costs
    assert _hourly_of_each(in_code) == _hourly_of_each(in_plan)


@pytest.mark.parametrize("name", ["ibm-gaudi-scheduled", "ibm-h100"])
def test_groups_by_zone_cost_what_their_group_of_the_plan_does(name, start):
    """On IBM Terraform makes one for each zone, and the code says how many machines there are in all."""
    terraform = start(name, filled=True)
    in_plan = priced(terraform)
    (project,) = read_projects(terraform.directory, None, load_catalog())
    assert in_plan.unknown == project.now.unknown == ()
    assert len(in_plan.costs) == 2
    assert in_plan.hourly == project.now.hourly > 0


def _hourly_of_each(breakdown):
    """Address → USD an hour; None where a price is not known."""
    return {cost.resource.address: cost.hourly for cost in breakdown.costs}


@pytest.mark.slow
def test_pool_of_a_cluster_that_is_not_in_the_plan_is_unknown(start):
    """A pool says no place, and its cluster is the user's: no price is better than that of some region."""
    costs = priced(start("aks-a100-spot", filled=True))
    assert len(costs.unknown) == 1
    assert costs.hourly is None
