"""Parts of a pod that all forms have, as plain values; what of a stack changes on a cluster, and what is left over."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any

from advisor.catalog.precisions import is_hub_id
from advisor.codegen.container import MANIFEST_FORMS, Container, Engine, Form, Runtime
from advisor.codegen.cut_over_words import FORMS, WEIGHTED_FORMS, unweighting_command
from advisor.codegen.engines.metrics import METRICS, published
from advisor.codegen.kubernetes import POOLED, ClusterFacts, Pods, Served, node_volume_gib, served_in
from advisor.codegen.kubernetes_scaling import Scale
from advisor.codegen.model import Scaling, Stack
from advisor.codegen.templates import fill
from advisor.codegen.workloads import workload_name
from advisor.records import replace
from advisor.units import usd


def words(stack: Stack, weighted: Collection[str]) -> str:
    """Section of ``kubernetes/README.md`` that names the commands.

    Args:
        stack: what the folder holds.
        weighted: regions with a program that looks after weights.
    """
    made = [
        (
            " ".join(group.key for group in stack.groups if group.region == region.name),
            " ".join(backend.key for backend in stack.backends if backend.region == region.name),
        )
        for region in stack.regions
    ]
    context = {
        "pruned": [*_pruned(stack, FORMS[stack.form]["pruned"])],
        "unweighted": [*_unweighted(stack, weighted)],
        "routes": [*_pruned(stack, FORMS["routes"]["pruned"])] if stack.models else [],
        "former": {
            form.value: [
                command.format(name=stack.name, groups=groups, backends=backends)
                for groups, backends in made
                for command in FORMS[form]["made"]
            ]
            for form in Form
            if form is not stack.form and not (form is Form.MANIFESTS and stack.form in MANIFEST_FORMS)
        },
    }
    return fill("kubernetes", "forms/leftovers.md.j2", context)


def _unweighted(stack: Stack, weighted: Collection[str]) -> Iterator[str]:
    """Command for each region whose former plan may have left a program that changes weights."""
    for region in stack.regions if stack.form in WEIGHTED_FORMS else ():
        if region.name not in weighted:
            yield unweighting_command(stack.name, region.name)


def _pruned(stack: Stack, applied: Mapping[str, Sequence[str]]) -> Iterator[str]:
    # The kustomization does not name what looks after the weights of pools: its file is applied by itself.
    kept = ",app.kubernetes.io/component!=route-weights" if stack.form in POOLED else ""
    for region, (source, kinds) in product(stack.regions, applied.items()):
        allowed = " ".join(f"--prune-allowlist {kind}" for kind in kinds)
        yield (
            f"kubectl --context CONTEXT --namespace {stack.name} apply --prune "
            f"--selector app.kubernetes.io/part-of={stack.name}{kept} {allowed} {source.format(region=region.name)}"
        )


_OF_PODS = ("gke", "aks")
"""Targets whose nodes have one disk, for images and the weights of all pods; on EKS local disks hold them."""


def with_fixed_replicas(stack: Stack) -> Stack:
    """The stack with the replicas of the busiest hours at all hours where the engine does not tell its load.

    Utilization of a GPU is not a measure of it: one request keeps a GPU as busy as a full batch.
    """
    silent = {
        backend.key: backend.container
        for backend in stack.backends
        if (metrics := published(backend.container.engine)) is None or not metrics.finished
    }
    if not silent or stack.scaling is not Scaling.REACTIVE:
        return stack
    groups = tuple(group.at_all_hours(group.instances) if group.backend in silent else group for group in stack.groups)
    beyond = sum(now.usd_per_month - planned.usd_per_month for now, planned in zip(groups, stack.groups, strict=True))
    engines = " and ".join(dict.fromkeys(_silence(container) for container in silent.values()))
    caution = (
        f"The plan scales by load, which replicas of {engines} do not tell: those of the busiest hours run at all "
        f"hours, for {usd(beyond)} a month more."
    )
    return replace(
        stack.with_cautions(caution),
        groups=groups,
        scaling=Scaling.STATIC if len(silent) == len(stack.backends) else stack.scaling,
        budget=stack.budget.with_more(beyond, of=stack.budget.of),
    )


def with_node_disks(stack: Stack) -> Stack:
    """The stack with a caution on nodes whose disks are larger than those that the plan prices."""
    larger = {
        (group.instance_type, group.host_disk_gib, node_volume_gib(group))
        for group in stack.groups
        if node_volume_gib(group) > group.host_disk_gib
    }
    if stack.target not in _OF_PODS or not larger:
        return stack
    said = " and ".join(
        f"{whole} GiB on {machine}, where it prices {priced}" for machine, priced, whole in sorted(larger)
    )
    caution = f"The plan prices the disk of a host; on a node each replica has weights of its own: {said}."
    return stack.with_cautions(caution)


def _silence(container: Container) -> str:
    """The engine, and what would switch its metrics on."""
    metrics = METRICS.get(container.engine)
    if metrics is None:
        return container.image
    switch = metrics.switched_on_by
    return f"{container.engine} (without {switch} in its options file)" if switch else container.engine.value


Document = dict[str, Any]
"""An object or values of a chart, in the order in which it is printed."""

PORT = 8000
UNPRIVILEGED_USER = 2000
PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"
HUB_SECRET = "hub-token"  # noqa: S105 - the name of a secret
PROBE_SECONDS = 10
_HEADER = "# Generated by advisor. Yours to edit: a later run shows what you changed and never overwrites it unseen.\n"
_UNEQUAL_RATIO = 1.2
"""Between the busiest and the idlest replica: beyond it, an even spread is not what was planned."""


def dump(*documents: Document) -> str:
    """The documents as YAML; no text in them can change its structure."""
    import yaml  # noqa: PLC0415 - only where there is YAML to write

    # Equal parts are written out, where anchors would lead from one to the other.
    plain = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    parts = [yaml.dump(document, Dumper=plain, sort_keys=False, width=120) for document in documents]
    return _HEADER + "".join(f"---\n{part}" for part in parts)


def readme(stack: Stack, context: Mapping[str, Any] | None = None) -> str:
    """How the files of the form are installed, applied and removed."""
    return fill("kubernetes", f"forms/{stack.form}.md.j2", {"stack": stack, **(context or {})})


def region_files(
    stack: Stack,
    cluster_facts: ClusterFacts,
    file: str,
    objects_of: Callable[[list[tuple[Served, Pods]]], Iterable[Document]],
) -> Mapping[str, str]:
    """A file of objects for the cluster of each region, made of its pods, and how all are applied."""
    written = {
        f"kubernetes/{region.name}/{file}": dump(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": stack.name, "labels": part_of(stack)},
            },
            *objects_of(pods_in(stack, region.name, cluster_facts)),
        )
        for region in stack.regions
    }
    return {"kubernetes/README.md": readme(stack), **written}


def pods_in(stack: Stack, region: str, cluster_facts: ClusterFacts) -> list[tuple[Served, Pods]]:
    """Each group of pods in a region, after the backend that it answers for."""
    return [(served, pods) for served in served_in(stack, region, cluster_facts) for pods in served.pods]


def revision(container: Container) -> tuple[str, ...]:
    """Option for the commit of the model; none where the newest is taken."""
    return (f"{container.revision_option}{container.commit}",) if container.commit else ()


def vllm_obstacle(stack: Stack, project: str, runtimes: Sequence[Runtime]) -> str:
    """Why a project that starts vLLM by itself cannot serve the stack; empty when it can."""
    for backend in stack.backends:
        container = backend.container
        if container.engine is not Engine.VLLM:
            return f"{project} starts vLLM by itself, and the plan serves with {container.engine}"
        if backend.runtime not in runtimes:
            return f"{project} does not support {backend.runtime} accelerators"
        if container.checkpoint.model_id is None or not is_hub_id(stack.summary.model):
            return f"{project} needs the name of a checkpoint on a hub: {container.checkpoint.needed}"
    return ""


def spread_obstacle(stack: Stack, router: str) -> str:
    """Why a router that spreads requests evenly over replicas is not what was planned; empty when it is."""
    for region in stack.regions:
        shares = {
            group.key: group.weight / (group.instances * group.replicas_per_instance)
            for group in stack.groups
            if group.region == region.name and group.instances
        }
        if not shares:
            continue
        busiest, idlest = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
        if shares[busiest] > _UNEQUAL_RATIO * shares[idlest]:
            return (
                f"{router} spreads requests evenly over replicas, and the plan gives one of {busiest} "
                f"{shares[busiest]:.3g} of 1000 requests and one of {idlest} {shares[idlest]:.3g}"
            )
    return ""


def adapter_obstacle(stack: Stack, router: str) -> str:
    """Why a router that knows the models of its replicas by itself takes no LoRA adapters; empty without any."""
    has_adapters = any("--enable-lora" in backend.container.arguments for backend in stack.backends)
    return f"whether {router} routes requests by the names of LoRA adapters is not known" if has_adapters else ""


def container_word(text: str) -> str:
    """A word of a container's command, in which Kubernetes replaces ``$(NAME)``."""
    return text.replace("$", "$$")


def labels(stack: Stack, served: Served, pods: Pods) -> Document:
    """Labels of the pods of a group."""
    return {
        **part_of(stack),
        "inference/backend": served.backend.key,
        "inference/group": pods.group.key,
    }


def part_of(stack: Stack) -> Document:
    """Label of every object, by which those that a plan no longer has are found."""
    return {"app.kubernetes.io/part-of": stack.name}


def hub_token() -> Document:
    """The variable with the hub token, from a secret that may be missing."""
    reference = {"name": HUB_SECRET, "key": "token", "optional": True}
    return {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}}


def environment(served: Served) -> list[Document]:
    """Variables of the engine."""
    variables = served.backend.container.environment
    return [{"name": name, "value": container_word(value)} for name, value in variables.items()]


def resources(served: Served, pods: Pods) -> Document:
    """Requests of a replica, and its limits."""
    bounded = {
        "ephemeral-storage": f"{pods.disk_gib}Gi",
        served.device.resource: str(pods.group.accelerators_per_replica),
    }
    return {"requests": {"cpu": str(pods.cores), "memory": f"{pods.memory_gib}Gi", **bounded}, "limits": bounded.copy()}


def tolerations(pods: Pods) -> list[Document]:
    """Tolerations of the taints of the nodes."""
    return [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in pods.tolerated]


def placement(pods: Pods) -> Document:
    """Which nodes the pods run on."""
    return {"nodeSelector": dict(pods.node_labels), "tolerations": tolerations(pods)}


def apart(selected: Mapping[str, str]) -> Document:
    """Affinity of pods with the labels *selected*: on different nodes, where there are several."""
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": dict(selected)}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def security(served: Served) -> Document:
    """The user of a pod: root where the devices need it."""
    profile = {"seccompProfile": {"type": "RuntimeDefault"}}
    if served.device.needs_root:
        return profile
    user = UNPRIVILEGED_USER
    return {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user, **profile}


def container_security() -> Document:
    """No privilege; the root file system is the image's, which its projects write to."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def memory_volume(name: str, pods: Pods) -> Document:
    """Shared memory for the collective communication of the accelerators."""
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": f"{pods.shared_memory_gib}Gi"}}


def disk_volume(name: str, pods: Pods) -> Document:
    """The disk of the node, for weights and what the engine compiles."""
    return {"name": name, "emptyDir": {"sizeLimit": f"{pods.disk_gib}Gi"}}


def disruption_budgets(stack: Stack, groups: Sequence[tuple[Served, Pods]], suffix: str = "") -> list[Document]:
    """A PodDisruptionBudget for each group, so that updates of nodes take its pods one after the other.

    Args:
        stack: holds the groups.
        groups: of a cluster.
        suffix: of the names, where those of another form's may not be taken over.
    """
    return [
        disruption_budget(stack, f"{pods.group.key}{suffix}", {"inference/group": pods.group.key}) for _, pods in groups
    ]


def disruption_budget(stack: Stack, name: str, selected: Mapping[str, str]) -> Document:
    """The PodDisruptionBudget of the pods with the labels *selected*."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": stack.name, "labels": part_of(stack)},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": dict(selected)}},
    }


def scaled_objects(
    stack: Stack,
    groups: Sequence[tuple[Served, Pods]],
    kind: Mapping[str, str] = MappingProxyType({}),
) -> list[Document]:
    """KEDA's objects that set the replicas of what a project makes for the groups that scale.

    Args:
        stack: holds the groups.
        groups: of a cluster.
        kind: API version and kind of it, where it is not a Deployment.
    """
    return [
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": pods.group.key, "namespace": stack.name, "labels": part_of(stack)},
            "spec": _scaling(pods.scale, {**kind, "name": workload_name(stack, pods.group)}),
        }
        for _, pods in groups
        if pods.scale is not None
    ]


def _scaling(scale: Scale, target: Document) -> Document:
    """Replicas by the hours of the plan, or its load; the most while Prometheus does not answer."""
    hours = [
        {"timezone": "Etc/UTC", "start": window.start, "end": window.end, "desiredReplicas": str(window.replicas)}
        for window in scale.windows
    ]
    loads = [
        {"serverAddress": PROMETHEUS, "query": trigger.query, "threshold": trigger.threshold}
        for trigger in scale.triggers
    ]
    stabilization = {"scaleDown": {"stabilizationWindowSeconds": scale.stabilization_seconds}}
    fallback = {
        "fallback": {"failureThreshold": 3, "replicas": scale.fallback},
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": stabilization}},
    }
    return {
        "scaleTargetRef": target,
        "minReplicaCount": scale.least,
        "maxReplicaCount": scale.most,
        **(fallback if scale.triggers else {}),
        "triggers": [
            *({"type": "cron", "metadata": hour} for hour in hours),
            *({"type": "prometheus", "metadata": load} for load in loads),
        ],
    }
