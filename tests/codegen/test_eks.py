"""EKS: images, alarms and pools of nodes, as the plan asks for them."""

from dataclasses import replace

import pytest
import yaml

from advisor.codegen import Language, Wanted, generate
from advisor.codegen.hcl import literal, read_hcl
from advisor.codegen.kubernetes_scaling import busy_spells
from advisor.codegen.selection import choose, scheduled_sizes
from advisor.codegen.stack import stacks_of
from advisor.codegen.targets.aws_eks import EKS, alarms_of_pods, ami_type, local_gib
from advisor.plan.fleet.chosen import Policy
from advisor.plan.values import Interval
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
    assert [one.name for one in alarms if one.threshold is None] == ["unavailable_replicas"]


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


def groups_of(plan):
    """The groups of ``fleet.tf`` for managed node groups."""
    text = generate(plan, Language.TERRAFORM, Wanted(target="eks", rank=1)).files["fleet.tf"]
    (values,) = read_hcl(text, "fleet.tf").body.blocks
    return literal(values.attributes["groups"].value.node)


def test_spot_groups_take_types_that_are_no_smaller():
    """Of the types that serve alike, those with the processors and memory of the planned one or more; on demand none."""
    fields = {"accelerator": "L40S", "usd_per_hour": 0.99}
    planned, smaller, larger = (
        make_option(purchase="spot", instance_type=f"g6e.{size}xlarge", rank=rank, **fields)
        for rank, size in enumerate(("2", "", "4"), start=1)
    )
    (group,) = groups_of(make_plan(planned, smaller, larger)).values()
    assert (group["instance_types"], group["capacity_type"]) == (["g6e.2xlarge", "g6e.4xlarge"], "SPOT")
    (group,) = groups_of(make_plan(make_option(), make_option(instance_type="g6.2xlarge", rank=2))).values()
    assert (group["instance_types"], group["capacity_type"]) == (["g6.xlarge"], "ON_DEMAND")


@pytest.mark.parametrize(
    ("instance_type", "accelerator", "weights_gib", "has_local"),
    [
        ("g6.xlarge", "L4", 14.96, True),
        ("g6.xlarge", "L4", 180.0, False),
        ("p4de.24xlarge", "A100-80GB-SXM", 14.96, True),
    ],
)
def test_weights_lie_on_local_disks_that_hold_them(instance_type, accelerator, weights_gib, has_local):
    """250 GB hold images and 15 GiB of weights and not 180: then the root volume holds them; EKS and Karpenter agree."""
    where = {"instance_type": instance_type, "accelerator": accelerator}
    option = make_option(**where, weights_gib=weights_gib, disk_gib=140)
    (group,) = stack_of(make_plan(option)).groups
    assert (local_gib(group) > 0) == has_local
    (planned,) = groups_of(make_plan(option)).values()
    assert planned["volume_gib"] == (140 if has_local else group.root_volume_gib)
    (node,) = pools_of(make_plan(option))["EC2NodeClass"].values()
    assert (node.get("instanceStorePolicy") == "RAID0") == has_local
    assert node["blockDeviceMappings"][0]["ebs"]["volumeSize"] == f"{planned['volume_gib']}Gi"


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


def test_karpenter_replaces_nodes_one_by_one_in_quiet_hours():
    """No node expires, whose end no budget delays; what a new image replaces goes one by one, and never while busy."""
    (pool,) = pools_of(make_fleet_plan(make_group()))["NodePool"].values()
    assert pool["template"]["spec"]["expireAfter"] == "Never"
    assert pool["disruption"]["budgets"] == [
        {"nodes": "1", "reasons": ["Drifted"]},
        {"nodes": "0", "reasons": ["Drifted"], "schedule": "48 6 * * 1,2,3,4,5", "duration": "732m"},
    ]
    (pool,) = pools_of(make_fleet_plan(make_group(), policy=Policy.STATIC))["NodePool"].values()
    assert pool["disruption"]["budgets"] == [{"nodes": "1", "reasons": ["Drifted"]}]


@pytest.mark.parametrize(
    ("hours", "spells"),
    [
        ([2, 3, 3, 5, 2, 2, *[2] * 18], [("0 1 * * *", 180)]),
        ([3, 2, 2, 4, 4, *[3] * 19], [("0 3 * * *", 22 * 60)]),
        ([2] * 24, []),
    ],
)
def test_a_busy_spell_is_one_whatever_runs_in_it(hours, spells):
    """Steps within it do not part it, and it runs over midnight."""
    group = replace(
        stack_of(make_plan(make_option())).groups[0], min_instances=2, schedule=scheduled_sizes(hours * 7, 0)
    )
    assert [(spell.start, spell.minutes) for spell in busy_spells(group)] == spells


def test_nodes_of_karpenter_boot_the_image_that_is_named():
    """No release of the image is taken unseen: the kustomization asks for one, and puts it in place."""
    plan = make_fleet_plan(make_group())
    (node,) = pools_of(plan)["EC2NodeClass"].values()
    files = generate(plan, Language.TERRAFORM, Wanted(target="eks-karpenter")).files
    kustomization = yaml.safe_load(files["kubernetes/karpenter/us-east-1/kustomization.yaml"])
    (settings,) = kustomization["configMapGenerator"]
    targets = {
        entry["source"]["fieldPath"]: entry["targets"][0]["fieldPaths"] for entry in kustomization["replacements"]
    }
    assert "AMI=set-me" in settings["literals"]
    assert targets["data.AMI"] == ["spec.amiSelectorTerms.0.alias"]
    assert [list(term) for term in node["amiSelectorTerms"]] == [["alias"]]


def test_serverless_capacity_is_refused():
    """A cluster has nodes, which a plan without any cannot fill."""
    assert "no nodes" in EKS.obstacle(stack_of(make_plan(make_option(purchase="serverless"))))


@pytest.mark.parametrize(("starts_in", "is_told"), [(300.0, False), (1500.0, True)])
def test_the_readme_says_where_an_update_of_nodes_would_fail(starts_in, is_told):
    """Managed node groups give a node 15 minutes, in which each pod has to leave it."""
    plan = make_fleet_plan(make_group(cold_start_seconds=Interval(starts_in, starts_in, starts_in)))
    for target in ("eks", "eks-karpenter"):
        readme = generate(plan, wanted=Wanted(target=target)).files["README.md"]
        assert ("PodEvictionFailure" in readme) == (is_told and target == "eks")
