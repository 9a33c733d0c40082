"""Plan A is applied, then plan B: nothing that serves is destroyed before its successor is in service."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from advisor.codegen import Wanted, generate, write_files
from advisor.plan.fleet.chosen import FleetGroup
from advisor.plan.fleet.scaling_values import Policy
from codegen.plans import make_fleet_plan, make_group
from codegen.scenarios import azure_vm_scale_set, ec2, eks, gcp_mig
from iac import harness
from iac.modules import of_today

SERVING = frozenset(
    {
        "aws_autoscaling_group",
        "aws_eks_node_group",
        "aws_launch_template",
        "aws_lb",
        "aws_lb_listener",
        "aws_lb_target_group",
        "azurerm_lb",
        "azurerm_lb_backend_address_pool",
        "azurerm_lb_rule",
        "azurerm_linux_virtual_machine_scale_set",
        "google_compute_forwarding_rule",
        "google_compute_region_backend_service",
        "google_compute_region_instance_group_manager",
        "google_compute_region_url_map",
    }
)
"""Types of resources that requests go through, or that hold what answers them."""


@dataclass(frozen=True)
class Place:
    """A target of generated code, with its base group and another type of machine."""

    group: Callable[..., FleetGroup]
    another_type: Mapping[str, Any]
    variables: Mapping[str, Any]
    target: str | None = None


def _google(**changes: Any) -> FleetGroup:
    where = {"provider": "gcp", "region": "us-central1", "instance_type": "g2-standard-8", "accelerator": "L4"}
    return make_group(**(where | changes))


PACKAGE = {
    "agent_package": "https://artifacts.example.com/inference_advisor_agent-0.1.0-py3-none-any.whl#sha256=" + "0" * 64
}
PLACES = {
    "aws-ec2": Place(
        make_group, {"instance_type": "g5.xlarge", "accelerator": "A10G"}, ec2.variables("us-east-1", **PACKAGE)
    ),
    "gcp-mig": Place(
        _google,
        {"instance_type": "g4-standard-48", "accelerator": "RTX-PRO-6000"},
        gcp_mig.variables("us-central1", **PACKAGE),
    ),
    "azure-vm-scale-set": Place(
        azure_vm_scale_set.azure_group,
        {"instance_type": "Standard_NC4as_T4_v3", "accelerator": "T4", "precision": "fp16", "kv_precision": "fp16"},
        azure_vm_scale_set.variables(),
    ),
    "eks": Place(
        make_group, {"instance_type": "g5.xlarge", "accelerator": "A10G"}, eks.variables("us-east-1"), target="eks"
    ),
}
STEADY = {"instances": (3, 3)}
SHAPES: Mapping[str, tuple[Mapping[str, Any], Policy]] = {
    "static": (STEADY, Policy.STATIC),
    "scheduled": ({}, Policy.SCHEDULED),
    "reactive": ({}, Policy.REACTIVE),
    "more instances": ({"instances": (5, 5)}, Policy.STATIC),
    "spot": ({**STEADY, "purchase": "spot"}, Policy.STATIC),
    "another engine": ({**STEADY, "engine": "SGLang", "engine_version": "0.5.9"}, Policy.STATIC),
}
ONE_ENGINE = {"gcp-mig", "azure-vm-scale-set"}
"""Targets that serve with vLLM alone."""


def neighbours() -> Iterator[tuple[str, str, str]]:
    """Target, shape before and shape after, each pair in both directions."""
    pairs = [("static", shape) for shape in SHAPES if shape != "static"] + [("scheduled", "reactive")]
    for target, (before, after) in itertools.product(PLACES, pairs):
        if after != "another engine" or target not in ONE_ENGINE:
            yield target, before, after
            yield target, after, before


def destroyed_first(planned: Mapping[str, Any]) -> list[str]:
    """Addresses of what serves and would be gone before what follows it is there."""
    return [
        change["address"]
        for change in planned["resource_changes"]
        if change["type"] in SERVING
        and change["change"]["actions"] in (["delete"], ["delete", "create"])
    ]  # fmt: skip


class Stack:
    """A root directory that is generated and applied again and again."""

    def __init__(self, place: Place, directory, simulated_clouds) -> None:
        """A directory without code."""
        self.place = place
        self.terraform = harness.Terraform(directory, simulated_clouds)

    def generate(self, changes: Mapping[str, Any], policy: Policy) -> None:
        """Write the code of a plan over what is there."""
        plan = make_fleet_plan(self.place.group(**changes), policy=policy)
        directory = self.terraform.directory
        write_files(generate(plan, wanted=Wanted(target=self.place.target)), directory)
        (directory / "terraform.tfvars.json").write_text(json.dumps(self.place.variables))
        self.terraform.init()

    def apply(self) -> None:
        """Apply what was planned last."""
        self.terraform("apply", "-no-color", "-input=false", "plan.bin").ok()


@pytest.fixture
def stack_of(tmp_path, simulated_clouds) -> Callable[[str], Stack]:
    """An empty directory for a target."""
    return lambda target: Stack(PLACES[target], tmp_path, simulated_clouds)


@pytest.mark.parametrize("pair", of_today([" | ".join(pair) for pair in neighbours()]))
def test_another_shape_destroys_nothing_that_serves(stack_of, pair):
    """Policies, counts, engines and ways of paying change while the service goes on."""
    target, before, after = pair.split(" | ")
    stack = stack_of(target)
    stack.generate(*SHAPES[before])
    stack.terraform.plan()
    stack.apply()
    stack.generate(*SHAPES[after])
    assert destroyed_first(stack.terraform.plan()) == []


@pytest.mark.parametrize("target", of_today(list(PLACES)))
def test_another_type_destroys_nothing_that_serves(stack_of, target):
    """Another machine takes over in place, or starts before the former one goes."""
    stack = stack_of(target)
    stack.generate(STEADY, Policy.STATIC)
    stack.terraform.plan()
    stack.apply()
    stack.generate({**STEADY, **stack.place.another_type}, Policy.STATIC)
    assert destroyed_first(stack.terraform.plan()) == []
