"""Node pools for existing GKE clusters, and the Kubernetes objects that run on them.

Sources: Google's guides to GPUs, TPUs and Spot VMs in GKE Standard, to the service account of nodes, to GKE's system
metrics and to its kube state metrics, read in November 2026.
"""

from collections.abc import Mapping
from typing import Any

from advisor.codegen import kubernetes
from advisor.codegen.alarms import Alarm
from advisor.codegen.container import Language, Region, Runtime
from advisor.codegen.forms import with_objects
from advisor.codegen.kubernetes_weights import GOOGLE_STORAGE
from advisor.codegen.model import Stack, WatchedModel
from advisor.codegen.prometheus_rules import alert_words, slo_query, wait_seconds
from advisor.codegen.quoting import marked_slug
from advisor.codegen.rendering import ANSWERS, render
from advisor.codegen.targets.gcp_values import GoogleGroup, example_zones, google_groups
from advisor.codegen.targets.target import CHECK_OF_PODS, Files, Target, in_each
from advisor.codegen.workloads import workloads_pattern

_FOLDER = "gcp-gke"
_OF_CLUSTER = {
    "network": "projects/my-project/global/networks/inference",
    "subnetwork": "projects/my-project/regions/us-central1/subnetworks/inference",
}
"""Network of a cluster, as a data source says it in the tests of a program."""
_LONGEST_POOL = 15
"""With the name of the deployment and a hyphen within the 40 characters of a node pool's name."""
_HASH_DIGITS = 6
_WITHOUT_GPU = (Runtime.TPU, Runtime.CPU)
_SPOT_TAINT = "cloud.google.com/gke-spot"
_CLUSTERS = 'location=~"LOCATIONS",cluster_name=~"CLUSTERS"'
_CONTAINERS = f'monitored_resource="k8s_container",{_CLUSTERS},namespace_name="NAMESPACE"'
_NODES = f'monitored_resource="k8s_node",{_CLUSTERS},metadata_user_inference_nodes=~"NODES"'
_MEMORY = "kubernetes_io:container_accelerator_memory"
_DISK = "kubernetes_io:node_ephemeral_storage"
_QUERIES = {
    "gpu_idle": f"avg by (cluster_name) (kubernetes_io:container_accelerator_duty_cycle{{{_CONTAINERS}}})",
    "gpu_memory": f"max by (cluster_name) (100 * {_MEMORY}_used{{{_CONTAINERS}}} / {_MEMORY}_total{{{_CONTAINERS}}})",
    "host_memory": (
        "max by (cluster_name) (100 * kubernetes_io:node_memory_allocatable_utilization"
        f'{{{_NODES},memory_type="non-evictable"}})'
    ),
    "host_disk": f"max by (cluster_name) (100 * {_DISK}_used_bytes{{{_NODES}}} / {_DISK}_total_bytes{{{_NODES}}})",
}
"""Alarm → what is compared with its threshold; the words in capitals are filled in by the code."""
_RESTARTS = f"sum by (cluster_name) (increase(kubernetes_io:container_restart_count{{{_CONTAINERS}}}[900s])) > 2"
_OF_PROMETHEUS = 'location=~"LOCATIONS",cluster=~"CLUSTERS",namespace="NAMESPACE"'


def _obstacle(stack: Stack) -> str:
    return kubernetes.obstacle_to_kubernetes(stack) or next(
        (reason for google_group in google_groups(stack) if (reason := _refusal(google_group))), ""
    )


def _refusal(google_group: GoogleGroup) -> str:
    """Why a node pool cannot serve a group; empty when it can."""
    group = google_group.group
    if group.platform.runtime is not Runtime.TPU:
        return ""
    if google_group.tpu_topology == "":
        return f"{group.instance_type} is one of several machines of a TPU slice, which is not generated"
    if group.replicas_per_instance > 1:
        return f"{group.instance_type}: a pod takes all chips of a TPU node, and {group.replicas_per_instance} share it"
    return ""


def _files(language: Language, stack: Stack) -> Files:
    return with_objects(stack, _cluster_facts, render(language, _FOLDER, stack, _known(stack, google_groups(stack))))


def _cluster_facts(stack: Stack) -> kubernetes.ClusterFacts:
    return kubernetes.ClusterFacts(
        spot_taint=_SPOT_TAINT,
        node_labels={group.group.key: _accelerator_labels(group) for group in google_groups(stack)},
        bucket=GOOGLE_STORAGE,
        has_google_gateways=True,
    )


def _accelerator_labels(google_group: GoogleGroup) -> Mapping[str, str]:
    """Labels that GKE itself gives to nodes; to pods that select Arm nodes it gives the toleration of their taint."""
    if google_group.group.platform.runtime is Runtime.CPU:
        return {"kubernetes.io/arch": google_group.group.platform.debian_architecture}
    if google_group.group.platform.runtime is not Runtime.TPU:
        sharing = google_group.group.sharing
        shared = {} if sharing is None else sharing.gke_labels
        return {"cloud.google.com/gke-accelerator": google_group.accelerator_type, **shared}
    return {
        "cloud.google.com/gke-tpu-accelerator": google_group.accelerator_type,
        "cloud.google.com/gke-tpu-topology": google_group.tpu_topology,
    }


def _known(stack: Stack, groups: tuple[GoogleGroup, ...]) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    regions = {region.name: _region(stack, region) for region in stack.regions}
    return {
        "groups": {group.group.key: _group(stack, group) for group in groups},
        "regions": regions,
        "queries": _queries(stack),
        "namespace": stack.name,
        "answers": ANSWERS["gcp"] | (_OF_CLUSTER if stack.cache else {}),
        "namespaces": [tenant.name for tenant in stack.tenants],
        "query_policies": "this",
        "node_label": kubernetes.NODE_LABEL,
        "spot_taint": _SPOT_TAINT,
        "serves_where": "on node pools of existing GKE clusters",
        "clusters": {region.name: _example_cluster(stack, region) for region in stack.regions},
        "example_reservations": {group.group.key: "my-reservation" for group in groups if group.needs_reservation},
        "has_gpu": any(group.group.platform.runtime not in _WITHOUT_GPU for group in groups),
        "may_be_empty": [name for name, region in regions.items() if region["min_replicas"] == 0],
        **kubernetes.replica_values(stack),
    }


def _group(stack: Stack, google_group: GoogleGroup) -> Mapping[str, object]:
    group = google_group.group
    is_tpu, is_gpu = group.platform.runtime is Runtime.TPU, group.platform.runtime not in _WITHOUT_GPU
    return {
        "pool": _pool(google_group),
        "label": kubernetes.node_pool_name(stack, group),
        "region": group.region,
        "fewest_zones": group.zones,
        "zones": list(google_group.zones),
        "machine_type": google_group.machine_type,
        # GKE knows the chips of a TPU by the machine type, and taints their nodes by itself.
        "accelerators": {google_group.accelerator_type: google_group.accelerator_count} if is_gpu else {},
        **({} if group.sharing is None else group.sharing.gke_node_pool),
        "taints": {} if is_tpu else {kubernetes.DEVICES[group.platform.runtime].taint: "present"},
        "spot": group.is_spot,
        "reserved": google_group.needs_reservation,
        "min_nodes": group.min_instances,
        "max_nodes": group.max_instances,
        "location_policy": "ANY" if group.is_spot and group.zones <= 1 else "BALANCED",
        "disk_type": google_group.disk_type,
        "disk_gib": kubernetes.node_volume_gib(group),
    }


def _pool(google_group: GoogleGroup) -> str:
    """The end of its name: the key of a group is too long for it."""
    return marked_slug(google_group.group.accelerator, google_group.group.key, _LONGEST_POOL, _HASH_DIGITS, "pool")


def _region(stack: Stack, region: Region) -> Mapping[str, int]:
    fewest = kubernetes.fewest_in(stack, region.name)
    return {"weight": region.weight, "zones": region.zones, "min_replicas": fewest}


def _queries(stack: Stack) -> Mapping[str, Mapping[str, object]]:
    """Alerts on all clusters, by name: a query that has a result while the alert rings."""
    usual = {alarm.name: _query(alarm) for alarm in stack.alarms if alarm.name in _QUERIES}
    unhealthy = next(alarm for alarm in stack.alarms if alarm.name == "unhealthy_hosts")
    slo = {
        f"{alarm.name}_{tenant.name}" if stack.tenants else alarm.name: _in_namespaces(
            entry, tenant.name if stack.tenants else ""
        )
        for tenant in stack.serving
        for alarm in tenant.slo_alarms
        if (entry := _slo_query(tenant, alarm))
    } | {
        f"{alarm.name}_{model.workload}": _in_namespaces(entry, tenant.name, model.workload)
        for tenant in stack.serving
        for model in tenant.models
        for alarm in model.alarms
        if (entry := _slo_query(tenant, alarm, model))
    }
    every = "|".join(tenant.name for tenant in stack.tenants)
    # Replicas that answer: a pod that still loads its model is none, nor is what routes requests to them.
    of_groups = f'{_OF_PROMETHEUS},deployment=~"{workloads_pattern(stack)}"'
    return (
        usual
        | slo
        | {
            "restarts": _in_namespaces(
                {
                    "description": "The engines of a cluster were restarted more than twice in 15 minutes.",
                    "query": _RESTARTS,
                    "seconds": 0,
                },
                every,
            ),
            # Against the fewest replicas of each region, which stand beside it.
            "missing_replicas": _in_namespaces(
                {
                    "description": "Fewer replicas answer than the plan needs, for longer than one takes to start.",
                    "query": f"(sum(kube_deployment_status_replicas_available{{{of_groups}}}) or vector(0))",
                    "seconds": unhealthy.periods * unhealthy.period_seconds,
                },
                every,
            ),
        }
    )


def _in_namespaces(entry: Mapping[str, object], names: str, subject: str = "") -> Mapping[str, object]:
    """An alert on namespaces that are known, in place of the one that the code fills in; as it is without names."""
    if not names:
        return entry
    said = f"{subject or names}: {entry['description']}" if "|" not in names else entry["description"]
    return {**entry, "description": said, "query": str(entry["query"]).replace('="NAMESPACE"', f'=~"{names}"')}


def _slo_query(stack: Stack, alarm: Alarm, model: WatchedModel | None = None) -> Mapping[str, object]:
    """*alarm* on every backend whose engine publishes what it asks, on one of its models; empty where none does."""
    asked = {
        query: alert_words(stack, alarm, backend)
        for backend in stack.backends
        if (query := slo_query(stack, alarm, backend, _OF_PROMETHEUS, "cluster", model))
    }
    joined, words = " or ".join(f"({query})" for query in asked), " ".join(dict.fromkeys(asked.values()))
    return {"description": words, "query": joined, "seconds": wait_seconds(alarm)} if asked else {}


def _query(alarm: Alarm) -> Mapping[str, object]:
    return {
        "description": alarm.description.replace("of a host", "of a node"),
        "query": f"{_QUERIES[alarm.name]} {'<' if alarm.below else '>'} {alarm.threshold:g}",
        "seconds": alarm.periods * alarm.period_seconds,
    }


def _example_cluster(stack: Stack, region: Region) -> Mapping[str, object]:
    return {"name": f"inference-{region.name}", "location": region.name, "zones": example_zones(stack, region)}


GKE = Target(
    name="gke",
    is_cluster=True,
    provider="gcp",
    title="GKE node pools",
    check=CHECK_OF_PODS,
    renderers=in_each(_files),
    takes_cache=True,
    takes_turns=True,
    obstacle=_obstacle,
)
