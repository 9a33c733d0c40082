"""What real Terraform says of the generated roots, against the schemas of today's providers."""

import datetime as dt
import os
import re

import pytest

from advisor.codegen import Language
from codegen.scenarios import SCENARIOS
from iac import harness

NAMES = [name for name, make in SCENARIOS.items() if Language.TERRAFORM in make().languages]
QUICK = "l4-spot"
"""The scenario whose whole life is tried in every run."""
EVERY = os.environ.get("ADVISOR_EVERY_STACK") == "1"
THIRD = dt.datetime.now(tz=dt.UTC).timetuple().tm_yday % 3
"""A life takes long, so each scenario has its turn every third day."""
TURN = [name for number, name in enumerate(sorted(NAMES)) if EVERY or number % 3 == THIRD]
LIVES = [QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in TURN if name != QUICK)]


@pytest.mark.parametrize("name", NAMES)
def test_root_is_formatted_valid_and_passes_its_own_tests(name, start):
    """Each root is formatted, valid without a warning, and its generated tests pass with no values filled in."""
    terraform = start(name)
    assert terraform("fmt", "-check", "-recursive", "-diff").ok().out == ""
    validated = terraform("validate", "-json").ok().json
    assert validated["valid"]
    assert validated["diagnostics"] == []
    tested = terraform("test", "-no-color").ok()
    assert re.search(r"[1-9]\d* passed, 0 failed", tested.out)


@pytest.mark.parametrize("name", LIVES)
def test_apply_then_plan_changes_nothing_and_destroy_leaves_nothing(name, start):
    """A root only creates, applies, shows no change when planned again, and destroys without leftovers."""
    terraform = start(name, filled=True)
    actions = [tuple(change["change"]["actions"]) for change in terraform.plan()["resource_changes"]]
    assert set(actions) <= {("create",), ("read",)}
    terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
    terraform("plan", "-no-color", "-input=false", "-detailed-exitcode").ok()
    terraform("destroy", "-no-color", "-auto-approve").ok()
    assert terraform("show", "-json").ok().json.get("values") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", TURN[:: max(1, len(TURN) // 4)])
def test_root_works_with_the_oldest_admitted_core(name, start):
    """Terraform 1.9.8 validates, tests and plans what 1.15 does."""
    terraform = start(name, "floor", filled=True)
    assert terraform("validate", "-json").ok().json["valid"]
    terraform("test", "-no-color").ok()
    terraform.plan()


def test_mistakes_do_not_pass(simulated_clouds, tmp_path):
    """The simulated provider is no rubber stamp: a wrong argument, type and instance are three errors."""
    (tmp_path / "main.tf").write_text(
        'resource "aws_launch_template" "a" {\n  instance_typ = "g5.xlarge"\n}\n'
        'resource "aws_launch_template" "b" {\n  ebs_optimized = ["yes"]\n}\n'
    )
    terraform = harness.Terraform(tmp_path, simulated_clouds)
    terraform.init()
    summaries = {found["summary"] for found in terraform("validate", "-json").json["diagnostics"]}
    assert summaries == {"Unsupported argument", "Incorrect attribute value type"}
    (tmp_path / "main.tf").write_text('resource "aws_launch_template" "a" {\n  instance_type = "g5.3xlarge"\n}\n')
    (complaint,) = terraform("validate", "-json").json["diagnostics"]
    assert complaint["summary"] == "instance_type: AWS sells no g5.3xlarge"
    group = 'cluster_name = "a"\n  node_role_arn = "b"\n  subnet_ids = ["c"]\n  scaling_config {\n'
    group += "    desired_size = 1\n    max_size = 1\n    min_size = 1\n  }\n"
    wrong = 'ami_type = "AL2023_NVIDIA"\n  capacity_type = "CHEAP"\n  instance_types = ["g6.3xlarge"]\n'
    (tmp_path / "main.tf").write_text(f'resource "aws_eks_node_group" "a" {{\n  {group}  {wrong}}}\n')
    complaints = {found["summary"] for found in terraform("validate", "-json").json["diagnostics"]}
    assert complaints == {
        "ami_type: EKS knows no AL2023_NVIDIA",
        "capacity_type: EKS knows no CHEAP",
        "instance_types: AWS sells no g6.3xlarge",
    }
