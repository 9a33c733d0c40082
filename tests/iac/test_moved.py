"""A changed plan, applied by real Terraform: what runs is moved and changed in place."""

import json
import re

import pytest

from advisor.codegen import Language, generate, write_files
from advisor.codegen.moved import with_moves
from codegen.plans import make_option, make_plan
from codegen.scenarios import SCENARIOS
from codegen.scenarios.ec2 import variables
from iac import harness

KEY = "us-east-1-g6-xlarge-bf16-tp1-on-demand"
NAMED_BY_KEY = ("aws_cloudwatch_metric_alarm",)
"""Their names hold the key of the group, so they are made anew."""


def write(directory, **changes):
    """Code for a plan with one type."""
    write_files(generate(make_plan(make_option(**changes))), directory)


@pytest.fixture
def applied(tmp_path, simulated_clouds):
    """A root that was applied with g6.xlarge."""
    package = "https://artifacts.example.com/inference_advisor_agent-0.1.0-py3-none-any.whl#sha256=" + "0" * 64
    write(tmp_path)
    (tmp_path / "terraform.tfvars.json").write_text(json.dumps(variables("us-east-1", agent_package=package)))
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    terraform.init()
    terraform.plan()
    terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
    return terraform


def changed(terraform):
    """Address → actions and former address, of what a plan changes."""
    found = {one["address"]: one for one in terraform.plan()["resource_changes"]}
    return {
        address: (tuple(one["change"]["actions"]), one.get("previous_address"))
        for address, one in found.items()
        if one["change"]["actions"] != ["no-op"] or "previous_address" in one
    }


def test_another_instance_type_is_an_update_in_place(applied):
    """The group gets another key: group and launch template are moved, nothing but alarms is destroyed."""
    write(applied.directory, instance_type="g5.xlarge", accelerator="A10G")
    assert applied("fmt", "-check", "-recursive", "-diff").ok().out == ""
    changes = changed(applied)
    destroyed = [address for address, (actions, _) in changes.items() if "delete" in actions]
    assert [address for address in destroyed if not address.startswith(NAMED_BY_KEY)] == []
    old, new = f'["{KEY}"]', f'["{KEY.replace("g6", "g5")}"]'
    for resource in ("aws_launch_template.this", "aws_autoscaling_group.this"):
        assert changes[resource + new] == (("update",), resource + old)
    applied("apply", "-no-color", "-input=false", "plan.bin").ok()
    applied("plan", "-no-color", "-input=false", "-detailed-exitcode").ok()


def test_back_again_is_an_update_in_place_too(applied):
    """Moves there and back do not go in circles."""
    write(applied.directory, instance_type="g6.2xlarge")
    applied.plan()
    applied("apply", "-no-color", "-input=false", "plan.bin").ok()
    write(applied.directory)
    changes = changed(applied)
    assert changes[f'aws_autoscaling_group.this["{KEY}"]'][0] == ("update",)


def test_state_that_skipped_a_run_finds_its_way(applied):
    """Two changed plans and one apply: the moves are chained."""
    write(applied.directory, instance_type="g6.2xlarge")
    write(applied.directory, instance_type="g5.xlarge", accelerator="A10G")
    changes = changed(applied)
    new = f'aws_autoscaling_group.this["{KEY.replace("g6", "g5")}"]'
    assert changes[new] == (("update",), f'aws_autoscaling_group.this["{KEY}"]')


LABELS = ("clients", "probes", "nothing_else_in", "https_out", "names_out", "nothing_else_out")
TABLE = re.compile(r'resource "azurerm_network_security_rule" "this" {\n.*?\n}\n', re.DOTALL)


def of_the_former_layout(files):
    """Files of a root of scale sets as they were while each rule was a resource for each region."""
    table = TABLE.search(files["network.tf"])[0]
    rules = []
    for label in LABELS:
        name = label.replace("_", "-")
        text = table.replace('"this"', f'"{label}"').replace("local.rules_of", "local.regions")
        text = text.replace("each.value.region", "each.key").replace("each.value.name", f'"{name}"')
        rules.append(text.replace("each.value.", f'local.rules["{name}"].'))
    joined = {path: text.replace("security_rule.this,", "security_rule.https_out,") for path, text in files.items()}
    return {**joined, "network.tf": TABLE.sub(lambda _: "\n".join(rules), files["network.tf"])}


@pytest.mark.parametrize("name", ["vm-scale-set-h100-tp8", "vm-scale-set-two-regions"])
def test_rules_of_the_former_layout_stay_as_they_are(name, simulated_clouds, tmp_path):
    """State of that layout: each rule is moved to its place in the table, and nothing is made, changed or destroyed."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    former = of_the_former_layout(files)
    harness.write_module(former, tmp_path)
    (tmp_path / "terraform.tfvars.json").write_text(json.dumps(dict(scenario.variables)))
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    terraform.init()
    terraform.plan()
    terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
    harness.write_module(with_moves(files, former, ("",)), tmp_path)
    planned = terraform.plan()["resource_changes"]
    assert {one["previous_address"]: one["address"] for one in planned if "previous_address" in one} == {
        f'azurerm_network_security_rule.{label}["{region}"]': f'azurerm_network_security_rule.this["{region}-{label.replace("_", "-")}"]'
        for label in LABELS
        for region in scenario.variables["locations"]
    }
    assert {tuple(one["change"]["actions"]) for one in planned if one["mode"] == "managed"} == {("no-op",)}
