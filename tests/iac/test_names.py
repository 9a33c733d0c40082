"""Names at the limits of the providers: the longest name of a workload with the longest keys, on every target."""

import dataclasses
import json

import pytest

from advisor.codegen import generate
from iac import harness
from iac.modules import of_today
from iac.test_replans import IMPOSSIBLE, PLACES, TWO_KINDS, plan_of

NAMES = {"cut": "a-name-that-is-cut-at-the-end", "longest": "abcdefghijklmnopqrstuvw9", "shortest": "a1"}


@pytest.mark.parametrize("case", of_today([f"{target} | {name}" for target in PLACES for name in NAMES]))
def test_names_are_taken(case, tmp_path, simulated_clouds):
    """The rules of the providers are those of the simulated ones; a plan has all names."""
    target, name = case.split(" | ")
    place = PLACES[target]
    plan = plan_of(place, "scheduled" if (target, TWO_KINDS) in IMPOSSIBLE else TWO_KINDS)
    plan = dataclasses.replace(plan, workload={**plan.workload, "name": NAMES[name]})
    generated = generate(plan, wanted=place.wanted)
    terraform = harness.Terraform(harness.write_module(generated.files, tmp_path), simulated_clouds)
    region = plan.fleet.groups[0].region
    (tmp_path / "terraform.tfvars.json").write_text(json.dumps(place.variables(region)))
    terraform.init()
    assert terraform.plan()["resource_changes"]
    caution = "Another workload of the account that starts alike would have the same name"
    assert (caution in generated.files["README.md"]) == (name == "cut")


@pytest.mark.parametrize("scenario", of_today(["ec2-cache", "eks-cache", "vm-scale-set-cache", "mig-cache"]))
def test_a_cache_takes_a_name_with_two_hyphens_in_a_row(scenario, start):
    """As the input of a user may have them; the name that a plan gives never does."""
    terraform = start(scenario, filled=True)
    values = terraform.directory / "terraform.tfvars.json"
    values.write_text(json.dumps({**json.loads(values.read_text()), "name": "my--chat"}))
    assert terraform.plan()["resource_changes"]
