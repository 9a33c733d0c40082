"""AKS: pods find the nodes that are made for them, and no two deployments want the same pool."""

import re
from dataclasses import replace

import pytest
import yaml

from advisor.codegen import Language, generate
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets.azure_aks import pool_name
from codegen.scenarios import SCENARIOS

_NAMES = [name for name in SCENARIOS if name.startswith("aks-")]


@pytest.mark.parametrize("name", _NAMES)
def test_pods_select_nodes_that_are_there(name):
    """Each label that a pod asks for is on a pool, and each pool is asked for."""
    scenario = SCENARIOS[name]()
    files = generate(scenario.plan, Language.TERRAFORM, scenario.wanted).files
    fleet = next(text for path, text in files.items() if path.endswith("fleet.tf"))
    manifests = [text for path, text in files.items() if re.search(r"kubernetes/.+/.+[.]yaml$", path)]
    objects = [one for text in manifests for one in yaml.safe_load_all(text)]
    pods = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    labels = set(re.findall(r'"inference/nodes" += "(.+)"', fleet))
    assert labels
    assert {pod["nodeSelector"]["inference/nodes"] for pod in pods} == labels


def test_deployments_share_no_pool():
    """Equal groups of two deployments may run in one cluster."""
    scenario = SCENARIOS["aks-a100-spot"]()
    (one,) = stacks_of(scenario.plan, choose(scenario.plan, scenario.wanted, lambda _: None), scenario.wanted)
    (group,) = one.groups
    assert pool_name(one, group) != pool_name(replace(one, name="search"), group)
