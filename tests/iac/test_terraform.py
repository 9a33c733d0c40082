"""What real Terraform says of the generated modules, against the schema of today's AWS provider."""

import subprocess

import pytest

from codegen.plans import SCENARIOS
from iac import harness
from iac.modules import fill_in, resources, user_data

LIFECYCLES = [
    name if name in ("l4-spot", "inferentia2") else pytest.param(name, marks=pytest.mark.slow) for name in SCENARIOS
]


@pytest.mark.parametrize("name", SCENARIOS)
def test_module_is_formatted_valid_and_passes_its_own_tests(name, start):
    """Each module is formatted, valid without a warning, and its generated tests pass with no values filled in."""
    terraform = start(name)
    assert terraform("fmt", "-check", "-recursive", "-diff").ok().out == ""
    validated = terraform("validate", "-json").ok().json
    assert validated["valid"]
    assert validated["diagnostics"] == []
    tested = terraform("test", "-no-color").ok()
    assert "4 passed, 0 failed" in tested.out


@pytest.mark.parametrize("name", SCENARIOS)
def test_host_script_is_clean_and_serves_the_plan(name, start, tmp_path):
    """The boot script that a plan holds passes ShellCheck, and carries the arguments of the option as words."""
    terraform = start(name)
    fill_in(terraform.directory)
    plan = terraform.plan()
    script = tmp_path / "user_data.sh"
    script.write_text(user_data(plan))
    checked = subprocess.run([harness.tool("tools", "shellcheck"), script], text=True, capture_output=True, check=False)
    assert checked.stdout == ""
    _, option = SCENARIOS[name]()
    assert f"'--max-model-len={option.context_tokens}'" in script.read_text()
    assert f"'--max-num-seqs={option.max_concurrency}'" in script.read_text()
    (group,) = resources(plan)["aws_autoscaling_group"]
    assert (group["min_size"], group["desired_capacity"]) == (option.instances, option.instances)
    assert bool(group["mixed_instances_policy"]) == (option.purchase == "spot")


@pytest.mark.parametrize("name", LIFECYCLES)
def test_apply_then_plan_changes_nothing_and_destroy_leaves_nothing(name, start):
    """A module only creates, applies, shows no change when planned again, and destroys without leftovers."""
    terraform = start(name)
    fill_in(terraform.directory)
    actions = [tuple(change["change"]["actions"]) for change in terraform.plan()["resource_changes"]]
    assert set(actions) <= {("create",), ("read",)}
    terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
    terraform("plan", "-no-color", "-input=false", "-detailed-exitcode").ok()
    terraform("destroy", "-no-color", "-auto-approve").ok()
    assert terraform("show", "-json").ok().json.get("values") is None


@pytest.mark.slow
def test_module_works_with_the_oldest_admitted_core(start):
    """Terraform 1.9.8 validates, tests and plans what 1.15 does."""
    terraform = start("l4-spot", "floor")
    assert terraform("validate", "-json").ok().json["valid"]
    terraform("test", "-no-color").ok()
    fill_in(terraform.directory)
    terraform.plan()


def test_mistakes_do_not_pass(simulated_aws, tmp_path):
    """The simulated provider is no rubber stamp: a wrong argument, type and instance are three errors."""
    (tmp_path / "main.tf").write_text(
        'resource "aws_launch_template" "a" {\n  instance_typ = "g5.xlarge"\n}\n'
        'resource "aws_launch_template" "b" {\n  ebs_optimized = ["yes"]\n}\n'
    )
    terraform = harness.Terraform(tmp_path, simulated_aws)
    terraform.init()
    summaries = {found["summary"] for found in terraform("validate", "-json").json["diagnostics"]}
    assert summaries == {"Unsupported argument", "Incorrect attribute value type"}
    (tmp_path / "main.tf").write_text('resource "aws_launch_template" "a" {\n  instance_type = "g5.3xlarge"\n}\n')
    (complaint,) = terraform("validate", "-json").json["diagnostics"]
    assert complaint["summary"] == "instance_type: AWS sells no g5.3xlarge"
