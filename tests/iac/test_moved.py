"""A changed plan, applied by real Terraform: what runs is moved and changed in place."""

import json

import pytest

from advisor.codegen import generate, write_files
from codegen.plans import make_option, make_plan
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
