"""Nodes for existing EKS clusters, managed node groups or Karpenter's, and the Kubernetes objects that run on them.

Sources: the EKS guide to accelerated images, managed node groups and capacity blocks; the metric declarations of the
CloudWatch agent for Container Insights; Karpenter's v1 API; Bottlerocket's settings of device plugins and of local
disks, which Karpenter writes alike. Read in November 2026.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from advisor.catalog import load_catalog
from advisor.codegen import kubernetes
from advisor.codegen.alarms import WatchedMetric
from advisor.codegen.aws_places import has_budgets, is_sold_in_blocks, roomy_types
from advisor.codegen.container import Form, Language, Region, Runtime
from advisor.codegen.forms import with_objects
from advisor.codegen.gpu_sharing import GpuSharing, SharingKind
from advisor.codegen.kubernetes_scaling import busy_spells
from advisor.codegen.kubernetes_weights import COPY_ACCOUNT
from advisor.codegen.model import ComputeGroup, Scaling, Stack
from advisor.codegen.prometheus_rules import watched_words
from advisor.codegen.quotas import vcpus_of
from advisor.codegen.rendering import ANSWERS, render
from advisor.codegen.targets.target import CHECK_OF_PODS, Files, Target, in_each
from advisor.codegen.templates import fill
from advisor.codegen.workloads import workload_name
from advisor.cost.services import local_disks_gib
from advisor.records import dataclass, picked, replace

_FOLDER = "aws-eks"
_NODE_GROUPS = ("compute",)
"""Templates that nodes started by Karpenter do without."""
_OF_CLUSTER = {
    "vpcConfig": {
        "clusterSecurityGroupId": "sg-0123456789abcdef0",
        "subnetIds": ["subnet-00000000000000001", "subnet-00000000000000002"],
        "vpcId": "vpc-0123456789abcdef0",
    }
}
"""Network of a cluster, as a data source says it in the tests of a program."""
_MADE_UP = {"aws:eks/nodeGroup:NodeGroup": {"resources": [{"autoscalingGroups": [{"name": "eks-group"}]}]}}
"""What EKS makes beside a node group, in those tests."""

_CLUSTER_FACTS = kubernetes.ClusterFacts()
_PROVIDER = "aws"
_GPU_LABEL = "nvidia.com/gpu.present"
"""What DaemonSets for GPUs select nodes by where no feature discovery runs."""
_DRAIN_MINUTES = 15
"""Time that the pods of a node have to leave it in an update of a managed node group (the EKS guide to its phases)."""
_IDLE_PERIODS = 12
_PERIOD_SECONDS = 300
_GPU_MODELS = {
    "A100-40GB-SXM": "a100.40gb",
    "A100-80GB-SXM": "a100.80gb",
    "H100-SXM": "h100.80gb",
    "H200": "h200.141gb",
    "B200": "b200.180gb",
    "RTX-PRO-6000": "rtxpro6000.96gb",
}
"""Accelerator → name in Bottlerocket's settings of slices."""
_ON_LOCAL_DISKS = Path(__file__).with_name("bottlerocket_disks.toml").read_text(encoding="utf-8").splitlines()
"""Settings by which Bottlerocket keeps images and the volumes of pods on local disks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAlarm(WatchedMetric):
    """An alarm on what Container Insights publishes for the pods of a group."""

    threshold: float | None = None
    """None: as many replicas as run in the quietest hours."""
    rings_when_silent: bool = False
    accelerator: str = ""
    """Only groups with this one publish it; "": all do."""


def _files(language: Language, stack: Stack) -> Files:
    context = {**_known(stack, is_karpenter=False), "made_up": _MADE_UP}
    return _with_objects(stack, render(language, _FOLDER, stack, context))


def _karpenter_files(language: Language, stack: Stack) -> Files:
    files = render(language, _FOLDER, stack, _known(stack, is_karpenter=True), without=_NODE_GROUPS)
    return _with_objects(stack, files, _node_pools(stack))


def _with_objects(stack: Stack, *files: Files) -> Files:
    """Files with the Kubernetes objects that all languages have."""
    return with_objects(stack, lambda _: _CLUSTER_FACTS, *files)


def _node_pools(stack: Stack) -> Files:
    files = {}
    for region in stack.regions:
        context = {
            "stack": stack,
            "pools": [_pool(stack, group) for group in stack.groups if group.region == region.name],
        }
        for name in ("kustomization.yaml", "nodes.yaml"):
            files[f"kubernetes/karpenter/{region.name}/{name}"] = fill("kubernetes", f"karpenter/{name}.j2", context)
    return files


def _known(stack: Stack, *, is_karpenter: bool) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    alarms = alarms_of_pods(stack)
    describe = _karpenter_group if is_karpenter else _node_group
    in_blocks = [group.key for group in stack.groups if is_sold_in_blocks(group)]
    return {
        "watched_by_prometheus": watched_words(stack),
        "has_bottlerocket": any(group.sharing for group in stack.groups),
        "mps_release": _mps_release(stack),
        "key_is_for": "Alerts",
        "encrypts_logs": False,
        "has_budget": has_budgets(stack),
        "is_karpenter": is_karpenter,
        "regions": {region.name: {"weight": region.weight, "subnets": region.subnets} for region in stack.regions},
        "groups": {group.key: describe(stack, group) for group in stack.groups},
        "workloads": {tenant.name: _karpenter_group(tenant, tenant.groups[0]) for tenant in stack.tenants},
        "alarms": alarms,
        "namespace": stack.name,
        "answers": ANSWERS["aws"] | (_OF_CLUSTER if stack.cache else {}),
        "planned": {"alarms": {alarm.name: _alarm(alarm) for alarm in alarms}},
        "period_seconds": _PERIOD_SECONDS,
        "copy_account": COPY_ACCOUNT,
        "clusters": {
            region.name: _example_cluster(stack, region, is_karpenter=is_karpenter) for region in stack.regions
        },
        "block_group": in_blocks[0] if in_blocks else "",
        "is_static": stack.scaling is Scaling.STATIC,
        "slow_drains": {} if is_karpenter else _slow_drains(stack),
        "may_be_empty": [group.key for group in stack.groups if kubernetes.fewest_replicas(stack, group) == 0],
        **kubernetes.replica_values(stack),
    }


def _slow_drains(stack: Stack) -> Mapping[str, int]:
    """Groups whose pods may need longer to leave a node than EKS waits for in an update → minutes."""
    minutes = {group.key: -(-kubernetes.drain_seconds(stack, group) // 60) for group in stack.groups}
    return {key: needed for key, needed in minutes.items() if needed > _DRAIN_MINUTES}


def _mps_release(stack: Stack) -> str:
    """First release of Bottlerocket whose MPS takes the pods; "" where no group divides its GPUs by it."""
    by_mps = any(group.sharing and group.sharing.kind is SharingKind.MPS for group in stack.groups)
    return "".join(load_catalog().deployment.words(EKS.name, "mps_release")) if by_mps else ""


def _alarm(alarm: PodAlarm) -> Mapping[str, object]:
    """Facts of an alarm, without those that most of them share."""
    facts = picked(
        alarm, "description", "metric", "statistic", "below", "threshold", "periods", "rings_when_silent", "accelerator"
    )
    return {name: fact for name, fact in facts.items() if fact not in (None, "") and fact is not False}


def _node_group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    return {
        "region": group.region,
        "instance_types": _instance_types(group),
        "capacity_type": "SPOT" if group.is_spot else "ON_DEMAND",
        "ami_type": ami_type(group),
        "accelerator": kubernetes.DEVICES[group.platform.runtime].taint,
        "accelerators": _accelerators(group),
        "labels": _labels(stack, group),
        **_sizes(stack, group),
        **_pods_of_group(stack, group),
        "volume_gib": _volume_gib(group),
        "local_gib": local_gib(group),
        **({} if group.sharing is None else {"bottlerocket": bottlerocket_settings(group, group.sharing)}),
    }


def _sizes(stack: Stack, group: ComputeGroup) -> Mapping[str, int]:
    """Limits of a node group, and its size at first.

    An update with a present size outside of the limits is refused (EKS API, November 2026). Where the autoscaler moves
    the size, the limits therefore hold whatever it is: pods decide how few nodes run.
    """
    is_static = stack.scaling is Scaling.STATIC
    return {
        "min_instances": group.min_instances if is_static else 0,
        "instances": group.instances,
        "max_instances": group.max_instances if is_static else max(group.max_instances, group.former_maximum),
    }


def bottlerocket_settings(group: ComputeGroup, sharing: GpuSharing) -> list[str]:
    """Lines of the settings (TOML) by which a node of Bottlerocket hands out its GPUs, and uses its local disks.

    Its device plugin offers each slice, turn or part as one nvidia.com/gpu.
    """
    plugin = "settings.kubelet-device-plugins.nvidia"
    if sharing.kind is SharingKind.SLICES:
        strategy = 'device-partitioning-strategy = "mig"'
        values = [f"[{plugin}.mig.profile]", f'"{_GPU_MODELS[group.accelerator]}" = "{sharing.profile}"']
    else:
        way = "mps" if sharing.kind is SharingKind.MPS else "time-slicing"
        strategy = f'device-sharing-strategy = "{way}"'
        replicas = f"replicas = {sharing.clients_per_accelerator}"
        values = [f"[{plugin}.{way}]", replicas, "rename-by-default = false"]
    lines = [f"[{plugin}]", strategy, "", *values]
    return [*lines, "", *_ON_LOCAL_DISKS] if local_gib(group) else lines


def _karpenter_group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    """Facts of a group for the alarms; the nodes are in the manifests."""
    return {
        "region": group.region,
        "accelerator": kubernetes.DEVICES[group.platform.runtime].taint,
        **_pods_of_group(stack, group),
    }


def _pods_of_group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    """Pods of a group for the alarms; of nodes that several workloads share, these are watched in its place."""
    if stack.tenants:
        return {}
    return {"workload": workload_name(stack, group), "min_replicas": kubernetes.fewest_replicas(stack, group)}


def _pool(stack: Stack, group: ComputeGroup) -> Mapping[str, Any]:
    return {
        "name": kubernetes.node_pool_name(stack, group),
        "group": group,
        "labels": _labels(stack, group),
        "instance_types": _instance_types(group),
        "capacity_type": "spot" if group.is_spot else "on-demand",
        "architecture": group.platform.debian_architecture,
        "accelerator": kubernetes.DEVICES[group.platform.runtime].taint,
        "busy": busy_spells(group),
        "limited": kubernetes.DEVICES[group.platform.runtime].resource or "cpu",
        "limit": group.max_instances * (_accelerators(group) or math.ceil(vcpus_of(_PROVIDER, group) or 0)),
        "volume_gib": _volume_gib(group),
        "has_local_disks": local_gib(group) > 0,
    }


def _volume_gib(group: ComputeGroup) -> int:
    """Root volume of a node; where local disks hold images and weights, what the plan prices for a host is enough."""
    return group.host_disk_gib if local_gib(group) else kubernetes.node_volume_gib(group)


def local_gib(group: ComputeGroup) -> int:
    """GiB of a node's local NVMe disks together; 0 unless every type that may be bought has enough of them."""
    types = load_catalog().instance_types
    instance_types = [types.get((_PROVIDER, name)) for name in _instance_types(group)]
    gigabytes = [instance_type.local_nvme_gb or 0 if instance_type else 0 for instance_type in instance_types]
    return local_disks_gib(min(gigabytes), kubernetes.node_volume_gib(group))


def _instance_types(group: ComputeGroup) -> list[str]:
    """Spot is bought as whichever type is there; on demand, the plan is priced with one."""
    return [group.instance_type, *(roomy_types(group) if group.is_spot else ())]


def _labels(stack: Stack, group: ComputeGroup) -> Mapping[str, str]:
    """Labels of the nodes; Bottlerocket has a device plugin of its own, beside which no DaemonSet has to run."""
    needs_plugin = group.has_gpu and group.sharing is None
    return {kubernetes.NODE_LABEL: kubernetes.node_pool_name(stack, group)} | (
        {_GPU_LABEL: "true"} if needs_plugin else {}
    )


def _accelerators(group: ComputeGroup) -> int:
    """Accelerators of a node, or slices and turns of them, which a device plugin counts; a part counts as one."""
    each = 1 if group.sharing is None else group.sharing.clients_per_accelerator
    return each * math.ceil(group.accelerator_count) if kubernetes.DEVICES[group.platform.runtime].resource else 0


def ami_type(group: ComputeGroup) -> str:
    """The image of EKS that a node boots, by its name in the API."""
    if group.platform.runtime is Runtime.NEURON:
        return "AL2023_x86_64_NEURON"
    if group.platform.runtime is Runtime.CPU:
        return "AL2023_ARM_64_STANDARD" if group.platform.cpu_architecture == "arm64" else "AL2023_x86_64_STANDARD"
    system = "AL2023" if group.sharing is None else "BOTTLEROCKET"
    return f"{system}_ARM_64_NVIDIA" if group.platform.cpu_architecture == "arm64" else f"{system}_x86_64_NVIDIA"


def alarms_of_pods(stack: Stack) -> tuple[PodAlarm, ...]:
    """The stack's alarms on the metrics that a cluster has.

    Container Insights counts no driver errors (Xid): nodes that have them are repaired in their place. It tells
    Deployments by their whole names, which Dynamo's operator ends with a mark of its own: then there are none.
    """
    if stack.form is Form.DYNAMO:
        return ()
    planned = {alarm.name: alarm for alarm in stack.alarms}
    host_memory, unhealthy = planned["host_memory"], planned["unhealthy_hosts"]
    alarms = [
        PodAlarm(
            "unavailable_replicas",
            "Fewer replicas answer than the plan needs, for longer than one takes to start.",
            "status_replicas_available", "Minimum", below=True, periods=unhealthy.periods, rings_when_silent=True,
        ),
        PodAlarm(
            "metrics_silent",
            "Container Insights publishes nothing of the pods: the other alarms do not see them.",
            "pod_memory_utilization", "SampleCount", below=True, periods=unhealthy.periods, threshold=1,
            rings_when_silent=True,
        ),
        PodAlarm(
            "host_memory", host_memory.description, "pod_memory_utilization", "Maximum",
            periods=host_memory.periods, threshold=host_memory.threshold,
        ),
    ]  # fmt: skip
    if "gpu_memory" in planned:
        gpu, memory, idle = kubernetes.DEVICES[Runtime.CUDA].resource, planned["gpu_memory"], planned.get("gpu_idle")
        if idle is not None:
            alarms.append(
                PodAlarm(
                    "gpu_idle",
                    idle.description,
                    "pod_gpu_utilization",
                    "Average",
                    below=True,
                    periods=idle.periods,
                    threshold=idle.threshold,
                    accelerator=gpu,
                )
            )
        alarms += [
            PodAlarm(
                "gpu_memory", memory.description, "pod_gpu_memory_utilization", "Maximum",
                periods=memory.periods, threshold=memory.threshold, accelerator=gpu,
            ),
        ]  # fmt: skip
    if stack.idle_percent is not None and any(group.platform.runtime is Runtime.NEURON for group in stack.groups):
        alarms.append(
            PodAlarm(
                "neuron_idle", f"NeuronCores below {stack.idle_percent:g} percent for an hour: paid for and not used.",
                "pod_neuroncore_utilization", "Average", below=True, periods=_IDLE_PERIODS,
                threshold=stack.idle_percent, accelerator=kubernetes.DEVICES[Runtime.NEURON].resource,
            )
        )  # fmt: skip
    return tuple(sorted(alarms, key=lambda alarm: alarm.name))


def _example_cluster(stack: Stack, region: Region, *, is_karpenter: bool) -> Mapping[str, object]:
    number = [region.name for region in stack.regions].index(region.name) + 1
    subnets = [f"subnet-{16 * number + zone:017x}" for zone in range(region.subnets)]
    return {"name": f"inference-{region.name}"} | ({} if is_karpenter else {"subnet_ids": subnets})


EKS = Target(
    name="eks",
    is_cluster=True,
    provider="aws",
    title="EKS managed node groups",
    check=CHECK_OF_PODS,
    renderers=in_each(_files),
    takes_cache=True,
    takes_turns=True,
    divides_by_mps=True,
    obstacle=kubernetes.obstacle_to_kubernetes,
)
EKS_KARPENTER = replace(
    EKS,
    name="eks-karpenter",
    title="EKS with Karpenter",
    renderers=in_each(_karpenter_files),
    takes_turns=False,
    divides_by_mps=False,
)
