"""AKS: pods find the nodes that are made for them, and no two deployments want the same pool."""

import re
from dataclasses import replace

import pytest
import yaml

from advisor.codegen import Language, generate
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets.azure_aks import alarms_of_pods, drain_minutes, pool_name
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


@pytest.mark.parametrize(("start_seconds", "replicas", "minutes"), [(600, 1, 30), (1800, 2, 65), (3600, 48, 1440)])
def test_a_node_drains_as_long_as_its_pods_take(start_seconds, replicas, minutes):
    """One pod after the other, each once the one before has a successor: never less than AKS's default, nor its limit."""
    scenario = SCENARIOS["aks-a100-spot"]()
    (stack,) = stacks_of(scenario.plan, choose(scenario.plan, scenario.wanted, lambda _: None), scenario.wanted)
    group = replace(stack.groups[0], start_seconds=start_seconds, replicas_per_instance=replicas)
    assert drain_minutes(stack, group) == minutes


def test_replicas_that_load_do_not_count():
    """The alarm reads the replicas that are ready, over a window no shorter than a start takes."""
    scenario = SCENARIOS["aks-scheduled"]()
    (stack,) = stacks_of(scenario.plan, choose(scenario.plan, scenario.wanted, lambda _: None), scenario.wanted)
    alarm = alarms_of_pods(stack)["unavailable-replicas"]
    assert "kube_deployment_status_replicas_ready" in alarm["query"]
    assert "PodStatus" not in alarm["query"]
    assert f'tostring(tags.deployment) matches regex "^({stack.groups[0].key}' in alarm["query"]
    assert "route-weights" not in alarm["query"]
    assert (alarm["operator"], alarm["per_instance"]) == ("LessThan", True)
    minutes = {"PT15M": 15, "PT30M": 30, "PT45M": 45}[alarm["window"]]
    assert minutes * 60 > stack.start_seconds
