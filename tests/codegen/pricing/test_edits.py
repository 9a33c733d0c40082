"""Costs of generated code that was edited: read, or unknown with the reason, and never those of before."""

import json
import re

import pytest

from advisor.catalog import load_catalog
from advisor.cli.app import main
from advisor.cli.price_table import price_table
from advisor.codegen import Wanted, generate, write_files
from advisor.codegen.pricing import read_projects
from advisor.plan.fleet.chosen import Policy
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import azure_vm_scale_set

GOOGLE = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8", "accelerator": "L4"}
GROUPS = {
    "ec2": make_group,
    "eks": make_group,
    "mig": lambda **facts: make_group(**GOOGLE, **facts),
    "gke": lambda **facts: make_group(**GOOGLE, **facts),
    "vm-scale-set": azure_vm_scale_set.azure_group,
    "aks": azure_vm_scale_set.azure_group,
}


@pytest.fixture
def written(tmp_path):
    """Writes code of a fleet, on spot where that has a price, and gives its directory."""

    def write(target, instances=(2, 2), policy=Policy.STATIC):
        purchase = "on_demand" if target in ("vm-scale-set", "aks") else "spot"
        plan = make_fleet_plan(GROUPS[target](purchase=purchase, instances=instances), policy=policy)
        write_files(generate(plan, wanted=Wanted(target=target)), tmp_path)
        return tmp_path

    return write


def project_of(directory):
    """Costs of a directory."""
    (project,) = read_projects(directory, None, load_catalog())
    return project


def edit(directory, file, pattern, replacement):
    """Change the first place of a file that has this pattern."""
    path = directory / file
    text, number = re.subn(pattern, replacement, path.read_text(), count=1)
    assert number == 1
    path.write_text(text)


@pytest.mark.parametrize(
    ("target", "pattern", "replacement", "address"),
    [
        ("ec2", r"(on_demand_percentage_above_base_capacity +=) 0", r"\1 100", "aws_autoscaling_group.this"),
        ("ec2", r"(\n +instance_type +=) each.*", r'\1 "g6.48xlarge"', "aws_launch_template.this"),
        ("ec2", r"(desired_capacity +=) .*", r"\1 9", "aws_autoscaling_group.this"),
        ("ec2", r"(for_each +=) local.groups\n\n  region +=", r"\1 {}\n\n  region =", "aws_launch_template.this"),
        ("eks", r"(capacity_type +=) .*", r'\1 "ON_DEMAND"', "aws_eks_node_group.this"),
        ("mig", r"(provisioning_model +=) .*", r'\1 "STANDARD"', "google_compute_region_instance_template.this"),
        ("gke", r"(\n +spot +=) .*", r"\1 false", "google_container_node_pool.this"),
        ("vm-scale-set", r"(priority +=) .*", r'\1 "Regular"', "azurerm_linux_virtual_machine_scale_set.this"),
        ("aks", r"(vm_size +=) .*", r'\1 "Standard_NC4as_T4_v3"', "azurerm_kubernetes_cluster_node_pool.this"),
    ],
)
def test_machines_whose_code_was_edited_have_no_price(target, pattern, replacement, address, written):
    """Their type, number and purchase are what Terraform makes of the code; the reason and the remedy are told."""
    directory = written(target)
    before = project_of(directory)
    assert before.now.costs[0].hourly is not None
    assert before.not_read == ()
    edit(directory, "compute.tf", pattern, replacement)
    project = project_of(directory)
    rows = [cost for cost in project.now.costs if cost.hourly is None]
    assert [cost.resource.address for cost in rows] == [before.now.costs[0].resource.address]
    assert rows[0].components[0].name.endswith(": edited in compute.tf")
    assert project.not_read == (f"{address} (compute.tf)",)
    table = price_table(project)
    assert "\ntotal of what is known (without the edits below): " in table
    assert f"edited or added since it was generated, and not in the total: {address} (compute.tf)" in table
    assert "terraform show -json tfplan | advisor price -" in table


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"(health_check_grace_period +=) .*", r"\1 5"),
        (r"\n\n", "\n\n# mine\n"),
        (r"(default_cooldown|tags) +=", r"\1  ="),
    ],
)
def test_edits_that_pay_for_nothing_else_leave_the_price(pattern, replacement, written):
    """A grace period, a comment, the layout."""
    directory = written("ec2")
    before = price_table(project_of(directory))
    edit(directory, "compute.tf", pattern, replacement)
    assert price_table(project_of(directory)) == before


def test_a_renamed_file_is_no_edit(written):
    """A renamed file is read for what it holds."""
    directory = written("ec2")
    before = price_table(project_of(directory))
    (directory / "compute.tf").rename(directory / "asg.tf")
    assert price_table(project_of(directory)) == before


def test_an_override_is_an_edit(written):
    """Terraform merges it into the resource of the same address."""
    directory = written("ec2")
    (directory / "mine_override.tf").write_text(
        'resource "aws_autoscaling_group" "this" {\n  desired_capacity = 9\n}\n'
    )
    assert project_of(directory).not_read == ("aws_autoscaling_group.this (mine_override.tf)",)


def test_a_local_value_that_a_resource_is_made_of_is_an_edit(written):
    """It is written out where it is named."""
    directory = written("ec2")
    edit(directory, "compute.tf", r"(\n +instance_type +=) each.*", r"\1 local.kind")
    (directory / "mine.tf").write_text('locals {\n  kind = "g6.48xlarge"\n}\n')
    assert project_of(directory).not_read == ("aws_launch_template.this (compute.tf)",)


OWN = """resource "aws_instance" "mine" {
  count         = 2
  region        = "us-east-1"
  ami           = "ami-1"
  instance_type = "g6.xlarge"
}

resource "aws_launch_template" "mine" {
  instance_type = "g6.2xlarge"
}

resource "aws_autoscaling_group" "mine" {
  region           = "us-east-1"
  min_size         = 1
  desired_capacity = 3

  launch_template { id = aws_launch_template.mine.id }
}

resource "aws_nat_gateway" "mine" {}
"""


def test_resources_of_ones_own_are_priced(written):
    """As many as there are, with the template that they name; what has no price here is counted."""
    directory = written("ec2")
    generated = project_of(directory).now.hourly
    (directory / "mine.tf").write_text(OWN)
    project = project_of(directory)
    own = {cost.resource.address: cost for cost in project.now.costs[1:]}
    assert {address: cost.components[0].number for address, cost in own.items()} == {
        "aws_instance.mine": 2,
        "aws_autoscaling_group.mine": 3,
    }
    assert "on-demand, g6.2xlarge, us-east-1" in own["aws_autoscaling_group.mine"].components[0].name
    assert project.now.hourly == generated + sum(cost.hourly for cost in own.values())
    assert (project.now.free, project.now.unsupported) == ({"aws_launch_template": 1}, {"aws_nat_gateway": 1})
    assert project.not_read == ()


@pytest.mark.parametrize(
    "change",
    [("count         = 2", "count         = var.number"), ('"g6.xlarge"', "var.kind"), ('"us-east-1"', "var.place")],
)
def test_computed_arguments_of_ones_own_leave_the_price_unknown(change, written):
    """A number, a type and a place that a variable gives."""
    directory = written("ec2")
    generated = project_of(directory).now.hourly
    (directory / "mine.tf").write_text(OWN.partition("\n\n")[0].replace(*change) + "\n")
    project = project_of(directory)
    assert project.now.hourly == generated
    assert project.now.unknown == ("aws_instance.mine",)
    assert project.not_read == ("aws_instance.mine (mine.tf)",)


def test_modules_that_are_called_are_named(written):
    """Own modules deploy from elsewhere."""
    directory = written("ec2")
    (directory / "mine.tf").write_text('module "cache" {\n  source = "./cache"\n}\n')
    assert project_of(directory).not_read == ("module.cache (mine.tf)",)


def test_hours_of_a_schedule_that_was_edited_are_unknown(written):
    """The recorded timetable says nothing of the code; what was edited is named."""
    directory = written("ec2", (0, 2), Policy.SCHEDULED)
    assert "unknown" not in price_table(project_of(directory))
    edit(directory, "scaling.tf", r"(recurrence +=) .*", r'\1 "0 0 * * *"')
    told = "unknown, since it was edited: aws_autoscaling_schedule.this (scaling.tf)"
    assert told in price_table(project_of(directory))


def test_json_names_edits_on_stderr(written, monkeypatch, capsys):
    """The document has null, and the note the file and the remedy."""
    directory = written("ec2")
    edit(directory, "compute.tf", r"(desired_capacity +=) .*", r"\1 9")
    monkeypatch.setattr("sys.argv", ["advisor", "price", str(directory), "--format", "json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    out, err = capsys.readouterr()
    assert stopped.value.code == 0
    assert json.loads(out)["projects"][0]["breakdown"]["resources"][0]["monthlyCost"] is None
    assert "note: edited or added since it was generated: aws_autoscaling_group.this (compute.tf)" in err
    assert "terraform show -json" in err
