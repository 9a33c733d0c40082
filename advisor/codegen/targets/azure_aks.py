"""Node pools for existing AKS clusters, and the Kubernetes objects that run on them.

Sources: Microsoft's guides to node pools, spot node pools, NVIDIA and AMD GPUs on AKS, to the tables of Container
Insights and to its monitoring of GPUs, read in November and December 2026.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from advisor.codegen import kubernetes
from advisor.codegen.container import Language, Runtime
from advisor.codegen.forms import with_objects
from advisor.codegen.gpu_sharing import SharingKind
from advisor.codegen.kubernetes_weights import AZURE_BLOBS
from advisor.codegen.model import ComputeGroup, Stack
from advisor.codegen.prometheus_rules import watched_words
from advisor.codegen.rendering import render
from advisor.codegen.targets.azure_values import EXAMPLE_SUBSCRIPTION, example_subnet, planned_alarm, query_rule
from advisor.codegen.targets.target import CHECK_OF_PODS, Files, Target, in_each
from advisor.codegen.workloads import workloads_pattern
from advisor.records import replace

_FOLDER = "azure-aks"
_SPOT = "kubernetes.azure.com/scalesetpriority"
"""Label and taint that AKS gives spot nodes."""
_CLUSTER_FACTS = kubernetes.ClusterFacts(spot_taint=_SPOT, bucket=AZURE_BLOBS)
_EXAMPLE_ISSUER = "https://oidc.example.com/"
_USUAL_DRAIN_MINUTES, _LONGEST_DRAIN_MINUTES = 30, 1440
"""Default of AKS, and the most that azurerm takes (``upgradeSettingsSchema`` of its node pools)."""
_LONGEST_POOL_NAME = 12
_HASH_DIGITS = 4
_PODS_BESIDE = 30
"""Pods of the cluster itself on a node: as many as a node may have of all by default where pods have addresses of the
network, which a node with 56 slices is beyond."""
_OF_CLUSTER = 'where ClusterId =~ "<cluster>"'
"""A workspace may hold several clusters; the code puts the id of the region's one in place of ``<cluster>``."""
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_OTHERS = "".join(f" AND !(ActionMatches{{'{_BLOBS}/{action}'}})" for action in ("write", "add/action", "delete"))
_PREFIX_CONDITION = (
    f"((!(ActionMatches{{'{_BLOBS}/read'}} AND NOT SubOperationMatches{{'Blob.List'}}){_OTHERS})",
    f" OR (@Resource[{_BLOBS}:path] StringStartsWith 'PREFIX'))",
    f" AND (!(ActionMatches{{'{_BLOBS}/read'}} AND SubOperationMatches{{'Blob.List'}})",
    f" OR (@Request[{_BLOBS}:prefix] StringStartsWith 'PREFIX'))",
)
"""What a role that reads or writes blobs holds for: those below a prefix, and lists of them."""
_READY = (
    'InsightsMetrics | where Name == "kube_deployment_status_replicas_ready" | extend tags = parse_json(Tags)'
    ' | where tags["container.azm.ms/clusterId"] =~ "<cluster>" and tags.k8sNamespace {namespace}'
    ' and tostring(tags.deployment) matches regex "^{workloads}$"'
    " | summarize ready = max(Val) by tostring(tags.deployment), bin(TimeGenerated, 5m)"
    " | summarize ready = sum(ready) by TimeGenerated"
    " | summarize value = coalesce(max(ready), 0.0)"
)
"""The most replicas of engines that answered at any time of the window: a pod that still loads its model is none."""
_PODS = "KubePodInventory | {of_cluster} and Namespace {namespace}"


def _files(language: Language, stack: Stack) -> Files:
    return with_objects(stack, lambda _: _CLUSTER_FACTS, render(language, _FOLDER, stack, _known(stack)))


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    regions = {
        region.name: {
            "weight": region.weight,
            "zones": region.subnets,
            "min_replicas": kubernetes.fewest_in(stack, region.name),
        }
        for region in stack.regions
    }
    return {
        "serves_where": "on node pools of existing AKS clusters, one in each region",
        "watched_by_prometheus": watched_words(stack),
        "has_slices": any(group.sharing and group.sharing.kind is SharingKind.SLICES for group in stack.groups),
        "configurations": {
            group.sharing.plugin_configuration: group.sharing
            for group in stack.groups
            if group.sharing and group.sharing.plugin_labels
        },
        "has_rocm": any(group.platform.runtime is Runtime.ROCM for group in stack.groups),
        "regions": regions,
        "prefix_condition": "".join(_PREFIX_CONDITION),
        "prefix_condition_lines": _PREFIX_CONDITION,
        "groups": {group.key: _group(stack, group) for group in stack.groups},
        "alarms": alarms_of_pods(stack),
        "namespaces": [served.name for served in stack.serving],
        "clusters": {region.name: _example_cluster(region.name) for region in stack.regions},
        "issuing_clusters": {
            region.name: {**_example_cluster(region.name), "oidc_issuer_url": _EXAMPLE_ISSUER}
            for region in stack.regions
        },
        "may_be_empty": [name for name, facts in regions.items() if facts["min_replicas"] == 0],
        **kubernetes.replica_values(stack),
    }


def _group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    spot = {_SPOT: "spot"} if group.is_spot else {}
    tainted = {kubernetes.DEVICES[group.platform.runtime].taint: "present"} | spot
    return {
        "region": group.region,
        "pool": pool_name(stack, group),
        "size": group.instance_type,
        "priority": "Spot" if group.is_spot else "Regular",
        # Of AMD accelerators, the operator in the cluster brings the driver.
        "gpu_driver": _GPU_DRIVERS.get(group.platform.runtime, "Install"),
        "min_instances": group.min_instances,
        "instances": group.instances,
        "max_instances": group.max_instances,
        "os_disk_gib": kubernetes.node_volume_gib(group),
        "drain_minutes": drain_minutes(stack, group),
        "labels": {kubernetes.NODE_LABEL: kubernetes.node_pool_name(stack, group)} | spot | dict(_plugin_labels(group)),
        "taints": [f"{key}={value}:NoSchedule" for key, value in tainted.items()],
        **_parts(group),
    }


def drain_minutes(stack: Stack, group: ComputeGroup) -> int:
    """Minutes that AKS waits for the pods of a node to leave it, after which an upgrade fails."""
    return min(_LONGEST_DRAIN_MINUTES, max(_USUAL_DRAIN_MINUTES, -(-kubernetes.drain_seconds(stack, group) // 60)))


def _parts(group: ComputeGroup) -> Mapping[str, object]:
    """How AKS cuts each GPU, and room for a pod on each part; of whole GPUs nothing, which is the default."""
    if group.sharing is None:
        return {}
    is_cut = group.sharing.kind is SharingKind.SLICES
    slices = {"gpu_instance": group.sharing.aks_instance_profile} if is_cut else {}
    return {**slices, "max_pods": group.replicas_per_instance + _PODS_BESIDE}


def _plugin_labels(group: ComputeGroup) -> Mapping[str, str]:
    """Labels by which the device plugin of the cluster shares the GPUs of the nodes, where AKS does not cut them."""
    return {} if group.sharing is None else group.sharing.plugin_labels


_GPU_DRIVERS = {Runtime.ROCM: "None", Runtime.CPU: None}


def pool_name(stack: Stack, group: ComputeGroup) -> str:
    """Name of at most 12 lower-case letters and digits: the start of the size, and a mark of deployment and group."""
    mark = hashlib.sha256(kubernetes.node_pool_name(stack, group).encode()).hexdigest()[:_HASH_DIGITS]
    size = re.sub(r"[^a-z0-9]", "", group.instance_type.removeprefix("Standard_").lower())
    return f"{size[: _LONGEST_POOL_NAME - _HASH_DIGITS]}{mark}"


def alarms_of_pods(stack: Stack) -> Mapping[str, Mapping[str, object]]:
    """The stack's alarms, by name, as queries of what Container Insights collects of the cluster.

    Container Insights knows no driver errors (Xid), no agent and, from Kubernetes 1.20 on, no use of GPUs.
    """
    namespace = _namespaces(stack)
    pods = _PODS.format(of_cluster=_OF_CLUSTER, namespace=namespace)
    unhealthy = planned_alarm(stack, "unhealthy_hosts")
    return {
        "unavailable-replicas": query_rule(
            unhealthy,
            _READY.format(namespace=namespace, workloads=workloads_pattern(stack)),
            "Fewer replicas answer than the plan needs, for longer than one takes to start.",
        ),
        "metrics-silent": query_rule(
            replace(planned_alarm(stack, "metrics_silent"), per_instance=False, threshold=1),
            f"KubeNodeInventory | {_OF_CLUSTER} | summarize value = dcount(Computer)",
            "Container Insights collects nothing of the cluster: the other alarms do not see it.",
        ),
        "host-memory": query_rule(
            planned_alarm(stack, "host_memory"),
            'Perf | where ObjectName == "K8SNode" and CounterName in ("memoryWorkingSetBytes", "memoryCapacityBytes")'
            f" | where Computer in (({pods} | distinct Computer))"
            " | summarize used = avgif(CounterValue, CounterName == 'memoryWorkingSetBytes'),"
            " whole = avgif(CounterValue, CounterName == 'memoryCapacityBytes') by Computer"
            " | summarize value = max(100.0 * used / whole) | where isnotnull(value)",
        ),
        "host-disk": query_rule(
            planned_alarm(stack, "host_disk"),
            'InsightsMetrics | where Namespace == "container.azm.ms/disk" and Name == "used_percent"'
            f" | where Computer in (({pods} | distinct Computer))"
            " | summarize mean = avg(Val) by Computer, device = tostring(parse_json(Tags).device)"
            " | summarize value = max(mean) | where isnotnull(value)",
        ),
    }


def _namespaces(stack: Stack) -> str:
    """Condition on the namespaces of the pods."""
    names = ", ".join(f'"{served.name}"' for served in stack.serving)
    return f"in ({names})" if stack.tenants else f"== {names}"


def _example_cluster(region: str) -> Mapping[str, object]:
    operations = f"{EXAMPLE_SUBSCRIPTION}/resourceGroups/operations/providers"
    return {
        "id": f"{operations}/Microsoft.ContainerService/managedClusters/inference-{region}",
        "subnet_id": example_subnet(region),
        "zones": ["1", "2", "3"],
        "log_analytics_workspace_id": f"{operations}/Microsoft.OperationalInsights/workspaces/inference-{region}",
    }


AKS = Target(
    name="aks",
    is_cluster=True,
    provider="azure",
    title="AKS node pools",
    check=CHECK_OF_PODS,
    renderers=in_each(_files),
    takes_cache=True,
    takes_turns=True,
    divides_by_mps=True,
    obstacle=kubernetes.obstacle_to_kubernetes,
)
