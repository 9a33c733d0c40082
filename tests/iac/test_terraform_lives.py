"""The whole life of generated roots in real Terraform: apply, plan again, destroy; those of the day."""

import re

import pytest

from advisor.codegen import Language
from codegen.scenarios import SCENARIOS
from iac.modules import of_today

GROUP = "aws_autoscaling_group"
QUICK = "l4-spot"
"""Tried in quick runs too."""
TODAY = of_today([name for name, make in SCENARIOS.items() if Language.TERRAFORM in make().languages])
CACHED = ["aks-cache", "ec2-cache", "eks-cache", "gke-cache", "mig-cache", "vm-scale-set-cache"]
LIVES = [QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in TODAY if name != QUICK)]


@pytest.mark.sampled(3)
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


@pytest.mark.parametrize("name", ["l4-spot", pytest.param("scheduled", marks=pytest.mark.slow)])
def test_the_first_hosts_wait_for_their_model_and_older_groups_stay(name, start):
    """The hook is there with the group; one that was made without it is not replaced, and shows no change."""
    terraform = start(name, filled=True)
    compute = terraform.directory / "compute.tf"
    code = compute.read_text()
    compute.write_text(re.sub(r"  initial_lifecycle_hook \{\n.*?^  \}\n", "", code, flags=re.MULTILINE | re.DOTALL))
    terraform.plan()
    terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
    compute.write_text(code)
    terraform("plan", "-no-color", "-input=false", "-detailed-exitcode").ok()

    terraform("destroy", "-no-color", "-auto-approve").ok()
    made = [one["change"]["after"] for one in terraform.plan()["resource_changes"] if one["type"] == GROUP]
    assert made
    for group in made:
        (hook,) = group["initial_lifecycle_hook"]
        assert (hook["name"], hook["default_result"]) == ("ready", "ABANDON")


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize("name", TODAY[:: max(1, len(TODAY) // 4)])
def test_root_works_with_the_oldest_admitted_core(name, start):
    """Terraform 1.9.8 validates, tests and plans what 1.15 does."""
    terraform = start(name, "floor", filled=True)
    assert terraform("validate", "-json").ok().json["valid"]
    terraform("test", "-no-color").ok()
    terraform.plan()


@pytest.mark.slow
@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", CACHED)
def test_own_tests_hold_the_nodes_of_a_cache(name, start):
    """The generated tests pass, and fail where the code has another number of nodes than the plan."""
    terraform = start(name)
    assert " 0 failed" in terraform("test", "-no-color").ok().out
    cache = terraform.directory / "cache.tf"
    other = {"1": "2", "2": "1", "3": "6", "4": "2"}
    changed = re.sub(r"(nodes +=) ([1-4])\b", lambda match: f"{match[1]} {other[match[2]]}", cache.read_text())
    cache.write_text(changed)
    assert 'run "holds_the_planned_cache"... fail' in terraform("test", "-no-color").out


@pytest.mark.slow
@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", CACHED)
def test_cache_joins_what_serves(name, start):
    """A response cache is added to an applied root: nothing else changes, and the next plan has nothing to do."""
    terraform = start(name, filled=True)
    cache = terraform.directory / "cache.tf"
    code = cache.read_text()
    azure = name.startswith(
        ("aks", "vm-scale-set")
    )  # where an input of the cache is checked by what the code says of it
    cache.write_text("".join(re.findall(r"^locals \{\n.*?^\}\n", code, re.MULTILINE | re.DOTALL)) if azure else "")
    terraform.plan()
    terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
    cache.write_text(code)
    actions = {tuple(change["change"]["actions"]) for change in terraform.plan()["resource_changes"]}
    assert actions <= {("create",), ("read",), ("no-op",)}
    assert ("create",) in actions
    terraform("apply", "-no-color", "-input=false", "plan.bin").ok()
    terraform("plan", "-no-color", "-input=false", "-detailed-exitcode").ok()
