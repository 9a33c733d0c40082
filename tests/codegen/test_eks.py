"""EKS: images, alarms and pools of nodes, as the plan asks for them."""

import pytest
import yaml

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.selection import choose
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets.aws_eks import EKS, alarms_of_pods, ami_type
from advisor.plan.fleet.scaling_values import Policy
from codegen.plans import make_fleet_plan, make_group, make_option, make_plan

NEURON = {"accelerator": "Trainium1", "instance_type": "trn1.2xlarge", "engine": "vLLM-NxDI", "engine_version": "0.16",
          "weights_gib": 5.98}  # fmt: skip


def stack_of(plan, wanted=Wanted()):  # noqa: B008 - frozen
    """The only stack of a plan."""
    (stack,) = stacks_of(plan, choose(plan, wanted, lambda _choice: None), wanted)
    return stack


def pools_of(plan):
    """NodePool and EC2NodeClass of each group, by name."""
    files = generate(plan, Language.TERRAFORM, Wanted(target="eks-karpenter")).files
    documents = list(yaml.safe_load_all(files["kubernetes/karpenter/us-east-1/nodes.yaml"]))
    return {
        kind: {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == kind}
        for kind in ("NodePool", "EC2NodeClass")
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "AL2023_x86_64_NVIDIA"),
        ({"instance_type": "g5g.xlarge", "accelerator": "T4G", "precision": "fp16"}, "AL2023_ARM_64_NVIDIA"),
        (NEURON, "AL2023_x86_64_NEURON"),
    ],
)
def test_nodes_boot_the_image_of_their_accelerator(fields, expected):
    """The names are those of the EKS API."""
    wanted = Wanted(image="registry.example.com/server:1")
    (group,) = stack_of(make_plan(make_option(**fields)), wanted).groups
    assert ami_type(group) == expected


def test_alarms_ask_what_the_accelerator_publishes():
    """A fleet of GPUs and NeuronCores has the idle alarm of each, and no alarm on metrics that a cluster does not have."""
    alarms = {one.name: one for one in alarms_of_pods(stack_of(make_fleet_plan(make_group(), make_group(**NEURON))))}
    assert alarms["gpu_idle"].accelerator == "nvidia.com/gpu"
    assert alarms["neuron_idle"].accelerator == "aws.amazon.com/neuron"
    assert not {"gpu_errors", "agent_silent", "unhealthy_hosts"} & set(alarms)
    only_neuron = {one.name for one in alarms_of_pods(stack_of(make_plan(make_option(**NEURON))))}
    assert only_neuron == {"neuron_idle", "host_memory", "metrics_silent", "unavailable_replicas"}


def test_silence_and_missing_replicas_ring():
    """The two alarms that see a group that is not there ring when there is no data."""
    alarms = alarms_of_pods(stack_of(make_plan(make_option())))
    assert {one.name for one in alarms if one.rings_when_silent} == {"metrics_silent", "unavailable_replicas"}
    assert [one.name for one in alarms if one.per_replica] == ["unavailable_replicas"]


def test_pools_buy_what_the_plan_bought():
    """Spot takes any type that serves alike, on demand the planned one; no pool grows beyond the plan's room."""
    larger = make_option(purchase="spot", instance_type="g6.2xlarge", rank=2)
    spot = make_group(purchase="spot", instances=(0, 4))
    plan = make_fleet_plan(make_group(instances=(2, 2)), spot)
    plan = type(plan)(**{name: getattr(plan, name) for name in plan.__slots__} | {"options": (*plan.options, larger)})
    pools = pools_of(plan)["NodePool"]
    bought = {}
    for name, pool in pools.items():
        asked = {one["key"]: one["values"] for one in pool["template"]["spec"]["requirements"]}
        bought[name] = (asked["karpenter.sh/capacity-type"], asked["node.kubernetes.io/instance-type"], pool["limits"])
    assert bought == {
        "support-chat-us-east-1-g6-xlarge-bf16-tp1-on-demand": (["on-demand"], ["g6.xlarge"], {"nvidia.com/gpu": 3}),
        "support-chat-us-east-1-g6-xlarge-bf16-tp1-spot": (
            ["spot"],
            ["g6.xlarge", "g6.2xlarge"],
            {"nvidia.com/gpu": 5},
        ),
    }


def test_karpenter_nodes_are_private_and_encrypted():
    """IMDSv2 from no further than the node, an encrypted disk, the tags of the budget, and a taint."""
    pools = pools_of(make_fleet_plan(make_group(), policy=Policy.STATIC))
    ((name, pool),) = pools["NodePool"].items()
    node = pools["EC2NodeClass"][name]
    assert node["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
    }
    assert [one["ebs"]["encrypted"] for one in node["blockDeviceMappings"]] == [True]
    assert node["tags"]["Deployment"] == "support-chat"
    assert [one["key"] for one in pool["template"]["spec"]["taints"]] == ["nvidia.com/gpu"]
    assert pool["template"]["spec"]["nodeClassRef"]["name"] == name


def test_serverless_capacity_is_refused():
    """A cluster has nodes, which a plan without any cannot fill."""
    assert "no nodes" in EKS.obstacle(stack_of(make_plan(make_option(purchase="serverless"))))
