"""The Kubernetes objects of a stack: what runs on the nodes of EKS, GKE and AKS, as a kustomization for each region.

One pod serves one replica, or those of a whole node as one, so that the cluster places, replaces and counts pods by
themselves.

Sources: KEDA's documentation of its cron and Prometheus triggers;
the device plugins' resource names; vLLM's image, whose unprivileged user is 2000; the reference of GKE's policies for
Gateways (networking.gke.io/v1), and KServe's issue 5311 on routes that GKE refuses. Read in November 2026.
"""

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from advisor.catalog import load_catalog
from advisor.codegen.container import Backend, Container, Form, HeldModel, Runtime
from advisor.codegen.engines.metrics import CLIENT_PATHS, GENERATION_SECONDS, METRICS, EngineMetrics
from advisor.codegen.kubernetes_scaling import Scale, resting_minutes, scale_of
from advisor.codegen.kubernetes_weights import S3, Bucket, model_map_name, streaming_engines, weights_files
from advisor.codegen.model import ComputeGroup, Scaling, Stack, take_turns
from advisor.codegen.prometheus_rules import rules_of
from advisor.codegen.quotas import vcpus_of
from advisor.codegen.route_weights import WeightedBackend, route_weights
from advisor.codegen.templates import fill
from advisor.cost.services import COMPILED_GIB, SCRATCH_GIB, replica_disk_gib
from advisor.deployable import POD_CORES, POD_MEMORY_GIB, PODS_SHARE
from advisor.records import dataclass, field

GROUP_LABEL = "inference/group"
"""Label of the pods of a group, with its key as the value."""
NODE_LABEL = "inference/nodes"
"""Label of the nodes of a group, with :func:`node_pool_name` as the value: its pods select by it."""
POOLED = frozenset({Form.INFERENCE_POOL, Form.LLM_D})
"""Forms whose route leads to InferencePools in place of Services."""
IGNORED_FINDINGS = ".trivyignore.yaml"
"""Path of the reasons why some findings of Trivy are accepted."""

_FOLDER = "kubernetes"
_OF_EACH_REGION = ("kustomization.yaml", "namespace.yaml", "pod-monitor.yaml", "prometheus-rule.yaml", "route.yaml")
_OF_GOOGLE = ("google-gateway.yaml", "google-pod-monitoring.yaml")
_GOOGLE_RANGES = ("35.191.0.0/16", "130.211.0.0/22")
"""Health checks of Google's load balancers come from there; the requests too where a Gateway is a global one."""
_PORT = 8000
_PORT_NAMES = {Form.PRODUCTION_STACK: "container-port", Form.DYNAMO: "system"}
"""Name that a project gives the port with the engines' metrics, where it is not ours to name."""
_UNPRIVILEGED_USER = 2000
_SHARED_MEMORY_GIB = 2
"""For each accelerator: NCCL asks for 1."""
_PROCESSORS_TAINT = "inference/processors"
_MEMORY_SHARE = 0.25
"""Memory of a node without an accelerator for a pod beside its weights; the rest is for the system and its daemons."""
_PROBE_SECONDS = 10
_SCHEDULING_SECONDS = 600
"""What a rollout may wait for a node beyond the start of a replica."""
_GRACE_SECONDS = 30
"""From the signal to the end, after requests have drained."""
_ENTRANCE = "inference"
"""Service over every pod of a region."""
_FEWEST_MEMBERS = 2
_ALIKE = 1.25
"""Most that the share of one replica may be of another's for a Service to spread requests over both."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Facts of a cloud's clusters that the manifests depend on."""

    spot_taint: str = ""
    """Key of the taint on spot nodes; "": none."""
    node_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Key of a group → labels that its pods select beside :data:`NODE_LABEL`."""
    bucket: Bucket | None = S3
    """Where weights may lie in place of the hub; None: in a folder alone."""
    has_own_nodes: bool = True
    """The code beside the manifests makes the nodes; else it applies the manifests, and the nodes are the user's."""
    has_google_gateways: bool = False
    """GKE's own Gateways and Prometheus reach the pods by themselves, and need objects of their own."""


@dataclass(frozen=True, slots=True)
class Device:
    """How a pod gets accelerators of a kind."""

    resource: str
    """As the device plugin names it, and nodes are tainted; "": processors, which need no plugin."""
    needs_root: str = ""
    """Why the container has to run as root; "": it does not."""

    @property
    def taint(self) -> str:
        """Key of the taint on nodes that have it, so that nothing else runs there."""
        return self.resource or _PROCESSORS_TAINT


DEVICES: Mapping[Runtime, Device] = {
    Runtime.CUDA: Device("nvidia.com/gpu"),
    Runtime.ROCM: Device("amd.com/gpu", "the render group that owns the devices has another number on each node image"),
    Runtime.NEURON: Device("aws.amazon.com/neuron"),
    Runtime.GAUDI: Device("habana.ai/gaudi", "the devices belong to root"),
    Runtime.TPU: Device("google.com/tpu", "the devices belong to root"),
    Runtime.CPU: Device(""),
}


@dataclass(frozen=True, slots=True)
class Pods:
    """Pods of one group: replicas on equal nodes."""

    group: ComputeGroup
    replicas: int
    """In the busiest hours."""
    scale: Scale | None
    """None: the number never changes."""
    stated_replicas: int | None
    """Number in the Deployment; None: left to what scales it."""
    node_labels: Mapping[str, str]
    tolerated: tuple[str, ...]
    """Keys of taints."""
    cores: int
    memory_gib: int
    shared_memory_gib: int
    cache_gib: int
    disk_gib: int
    start_probes: int
    progress_seconds: int
    apart: int
    """Nodes that the pods are spread over, one each; 0: as they come."""

    @property
    def has_shared_memory(self) -> bool:
        """Whether /dev/shm is a volume of each pod."""
        return self.group.sharing is None or not self.group.sharing.brings_shared_memory


@dataclass(frozen=True, slots=True)
class Served:
    """A backend with the pods behind its service."""

    backend: Backend
    model_map: str
    """Name of the map that holds its model and revision."""
    device: Device
    metrics: EngineMetrics | None
    """None: those of the image are not known."""
    arguments: tuple[str, ...]
    """Of a container that serves one replica."""
    pods: tuple[Pods, ...]
    metrics_port_name: str
    """Name of the port that metrics are read at."""

    @property
    def model_maps(self) -> Mapping[str, Container | HeldModel]:
        """Name of each map that holds a model and its revision → what loads it."""
        return {self.map_of(loads): loads for loads in self.backend.container.loaded}

    def map_of(self, loads: Container | HeldModel) -> str:
        """Name of the map of one of its models."""
        return model_map_name(self.backend, loads) if isinstance(loads, HeldModel) else self.model_map


@dataclass(frozen=True, slots=True)
class Entrance:
    """How the requests of a region find its pods."""

    services: Mapping[str, str]
    """Name of each Service → path on which its pods are probed."""
    is_shared: bool
    """There is a Service over all pods."""
    shares: Mapping[str, int]
    """Service → per mille of the plan's requests: what the route spreads."""

    @property
    def is_weighted(self) -> bool:
        """Whether the route spreads requests over several backends, whose weights a program looks after."""
        return len(self.shares) > 1


def entrance_of(served: Sequence[Served], shares: Mapping[str, int], *, has_pools: bool = False) -> Entrance:
    """A Service for each backend, and one over all of them where they are probed alike.

    That one takes every request where replicas are planned for like shares: it knows ready pods only. Otherwise the
    route follows the shares. *shares*: key of each backend → per mille of all requests. *has_pools*: the route leads to
    an InferencePool for each backend, and there is none over all of them.
    """
    services = {backend.backend.key: backend.backend.container.health_path for backend in served}
    is_shared = not has_pools and len(services) > 1 and len(set(services.values())) == 1
    if not is_shared:
        return Entrance(services, is_shared, shares)
    each = [shares[backend.backend.key] / max(1, sum(pods.replicas for pods in backend.pods)) for backend in served]
    are_alike = min(each) > 0 and max(each) <= _ALIKE * min(each)
    shared = {_ENTRANCE: served[0].backend.container.health_path}
    return Entrance(services | shared, is_shared, {_ENTRANCE: sum(shares.values())} if are_alike else shares)


@dataclass(frozen=True, slots=True)
class Route:
    """Requests that are let through to the pods of a region, by host name and path."""

    name: str
    host: str
    """Start of the host name."""
    paths: tuple[str, ...]
    """First parts of the paths."""
    model: str = ""
    """Model that is asked for in place of them, where the server holds those of several workloads."""


def routes_of(stack: Stack, served: Sequence[Served]) -> tuple[Route, ...]:
    """The route of the stack, or of each workload whose model its server holds."""
    of_models = tuple(Route(model.workload, model.workload, (), model.name) for model in stack.models)
    return of_models or (Route("inference", stack.name, client_paths(served)),)


def client_paths(served: Sequence[Served]) -> tuple[str, ...]:
    """First parts of the paths that a route lets through: those that every engine of the region answers."""
    engines = [CLIENT_PATHS[manifest.backend.container.engine] for manifest in served]
    return tuple(path for path in engines[0] if all(path in paths for paths in engines))


def obstacle_to_kubernetes(stack: Stack) -> str:
    """Why the stack cannot run on a cluster; empty when it can."""
    if any(group.is_serverless for group in stack.groups):
        return "serverless capacity has no nodes"
    members = ([group for group in stack.groups if group.backend == backend.key] for backend in stack.backends)
    if any(take_turns(*pair) for pair in itertools.combinations(members, 2)):
        return (
            "KEDA takes the pods of one backend away at its hour, whether those of the other are ready or not, and the "
            "plan's take turns (scaling.take_turns)"
        )
    writing = (backend.container.engine for backend in stack.backends if backend.container.writes_system_files)
    return next((f"{engine.value} writes outside its cache as root, which pods may not" for engine in writing), "")


def node_pool_name(stack: Stack, group: ComputeGroup) -> str:
    """Unique in a cluster that serves several deployments; at most 63 characters."""
    return stack.nodes or f"{stack.name}-{group.key}"


def node_volume_gib(group: ComputeGroup) -> int:
    """Root volume of a node, on which each replica keeps weights of its own."""
    if group.node_disk_gib is not None:
        return group.node_disk_gib
    return group.root_volume_gib + (group.replicas_per_instance - 1) * replica_disk_gib(group.checkpoint_gib)


def fewest_replicas(stack: Stack, group: ComputeGroup) -> int:
    """Replicas of a group in the quietest hours."""
    scale = scale_of(stack, group)
    return group.instances * group.replicas_per_instance if scale is None else scale.least


def stated_replicas(stack: Stack, group: ComputeGroup) -> int | None:
    """Replicas that the Deployment of a group states; None: it leaves them to what scales it.

    A number that an earlier run stated stays, at the most that may run: whoever applies the file without it would take
    it from the Deployment, and the default is one pod (Kubernetes, guide to horizontal pod autoscaling, "Migrating
    Deployments and StatefulSets to horizontal autoscaling", read in November 2026).
    """
    scale = scale_of(stack, group)
    if scale is None:
        return group.instances * group.replicas_per_instance
    return scale.most if group.states_replicas else None


def drain_seconds(stack: Stack, group: ComputeGroup) -> int:
    """Seconds in which the pods of a node leave it: one after the other, each once the one before has a successor."""
    return group.replicas_per_instance * (group.start_seconds + stack.load_balancer.drain_seconds + _GRACE_SECONDS)


def fewest_in(stack: Stack, region: str) -> int:
    """Replicas that run in a region's quietest hours."""
    return sum(fewest_replicas(stack, group) for group in stack.groups if group.region == region)


def replica_values(stack: Stack) -> Mapping[str, Mapping[str, int]]:
    """Template values: the replicas of each group in its busiest and in its quietest hours."""
    return {
        "replicas": {group.key: group.instances * group.replicas_per_instance for group in stack.groups},
        "fewest_replicas": {group.key: fewest_replicas(stack, group) for group in stack.groups},
    }


def kubernetes_files(stack: Stack, cluster_facts: ClusterFacts) -> Mapping[str, str]:
    """The manifests below ``kubernetes/``, and the reasons for what scanners would say of them.

    *stack*: one that :func:`obstacle_to_kubernetes` has nothing against.
    """
    as_root = dict.fromkeys(DEVICES[backend.runtime].needs_root for backend in stack.backends)
    whole = {
        "stack": stack,
        "by_load": stack.scaling is Scaling.REACTIVE,
        "as_root": [reason for reason in as_root if reason],
        "has_google_gateways": cluster_facts.has_google_gateways,
        "has_own_nodes": cluster_facts.has_own_nodes,
        "has_pools": stack.form in POOLED,
        "has_joined": any(group.joined_replicas > 1 for group in stack.groups),
        "has_apart": any(group.replicas_per_instance > 1 for group in stack.groups),
        "lonely": _lonely(stack),
        "stating": [group for group in stack.groups if scale_of(stack, group) is not None and group.states_replicas],
        "has_latest": any(backend.container.image.endswith(":latest") for backend in stack.backends),
        "port": _PORT,
        "bucket": cluster_facts.bucket,
        "streams": cluster_facts.bucket is not None and bool(streaming_engines(stack)),
        "user": _UNPRIVILEGED_USER,
    }
    entrances = {region.name: _entrance_in(stack, region.name, cluster_facts) for region in stack.regions}
    weighted = [name for name, entrance in entrances.items() if entrance.is_weighted]
    whole |= {"weighted": weighted, "alerts": alerts_of(stack, weighted)}
    files = {
        **weights_files(stack, cluster_facts.bucket, whole),
        IGNORED_FINDINGS: fill(_FOLDER, "trivyignore.yaml.j2", whole),
        f"{_FOLDER}/README.md": fill(_FOLDER, "README.md.j2", whole),
    }
    for region in stack.regions:
        served = served_in(stack, region.name, cluster_facts)
        backends = [server.backend for server in served]
        containers = [backend.container for backend in backends]
        context = whole | {
            "served": served,
            "entrance": entrances[region.name],
            "routes": routes_of(stack, served),
            "model_maps": {name: loads for server in served for name, loads in server.model_maps.items()},
            "rules": rules_of(stack, region.name, is_weighted=region.name in weighted),
            "metrics_ports": sorted({container.metrics_port or _PORT for container in containers} - {_PORT}),
            "has_metrics": any(server.metrics is not None for server in served),
            # Engines whose image takes arguments.
            "engines": sorted({backend.pin for backend in backends if not backend.container.model_environment}),
            "repositories": sorted({repository(container.image) for container in containers}),
            "google_ranges": _GOOGLE_RANGES,
            "group_label": GROUP_LABEL,
            "is_restricted": not any(server.device.needs_root for server in served),
            "scratch_gib": SCRATCH_GIB,
            "probe_seconds": _PROBE_SECONDS,
            "generation_seconds": GENERATION_SECONDS,
            "grace_seconds": stack.load_balancer.drain_seconds + _GRACE_SECONDS,
        }
        folder = f"{_FOLDER}/{region.name}"
        for name in (*_OF_EACH_REGION, *(_OF_GOOGLE if cluster_facts.has_google_gateways else ())):
            files[f"{folder}/{name}"] = fill(_FOLDER, f"{name}.j2", context)
        if entrances[region.name].is_weighted:
            files[f"{folder}/route.yaml"] += route_weights(stack, weighted_backends(stack, served))
        for server in served:
            files[f"{folder}/{server.backend.key}.yaml"] = fill(_FOLDER, "backend.yaml.j2", context | {"one": server})
    return files


def _entrance_in(stack: Stack, region: str, cluster_facts: ClusterFacts) -> Entrance:
    served = served_in(stack, region, cluster_facts)
    shares = {server.backend.key: stack.share_of(server.backend) for server in served}
    return entrance_of(served, shares, has_pools=stack.form in POOLED)


def weighted_backends(stack: Stack, served: Sequence[Served]) -> Mapping[str, WeightedBackend]:
    """Key of each backend of a region → what decides on its weight."""
    weighed = {}
    for server in served:
        groups = [pods.group for pods in server.pods]
        deployments = tuple(group.key for group in groups)
        weighed[server.backend.key] = WeightedBackend(
            stack.share_of(server.backend), resting_minutes(groups), deployments
        )
    return weighed


def _lonely(stack: Stack) -> Sequence[tuple[Sequence[str], bool]]:
    """Backends with fewer than two replicas in the quietest hours, and whether their regions have others."""
    replicas: dict[str, int] = {}
    for group in stack.groups:
        replicas[group.backend] = replicas.get(group.backend, 0) + fewest_replicas(stack, group)
    regions = {backend.key: backend.region for backend in stack.backends}
    counts = Counter(regions.values())
    lonely = [key for key, count in sorted(replicas.items()) if count < _FEWEST_MEMBERS]
    parts = [([key for key in lonely if (counts[regions[key]] > 1) is others], others) for others in (True, False)]
    return [(keys, others) for keys, others in parts if keys]


def monitoring_files(stack: Stack, cluster_facts: ClusterFacts, weighted: Collection[str]) -> Mapping[str, str]:
    """Monitors and alerts of each region, of a form in which a project's own objects run the pods.

    *weighted*: regions with a program that looks after weights.
    """
    # The chart of Dynamo's platform has PodMonitors of all its pods; another would count each request twice.
    monitors = [] if stack.form is Form.DYNAMO else ["pod-monitor.yaml"]
    google = ["google-pod-monitoring.yaml"] if cluster_facts.has_google_gateways else []
    files = {}
    for region in stack.regions:
        rules = rules_of(stack, region.name, is_weighted=region.name in weighted)
        context = {"stack": stack, "served": served_in(stack, region.name, cluster_facts), "rules": rules}
        for name in ("prometheus-rule.yaml", *monitors, *google):
            files[f"{_FOLDER}/{region.name}/{name}"] = fill(_FOLDER, f"{name}.j2", context)
    return files


def alerts_of(stack: Stack, weighted: Collection[str]) -> Mapping[tuple[str, str], str]:
    """Name of each Prometheus alert of the stack, and the workload whose model it watches or "" → its meaning."""
    workloads = {model.workload for model in stack.models}
    regions = [region.name for region in stack.regions]
    rules = (rule for name in regions for rule in rules_of(stack, name, is_weighted=name in weighted))
    return {(rule.name, rule.subject if rule.subject in workloads else ""): rule.summary for rule in rules}


def repository(image: str) -> str:
    """The reference of an image without its tag and digest."""
    path, slash, name = image.partition("@")[0].rpartition("/")
    return f"{path}{slash}{name.partition(':')[0]}"


def served_in(stack: Stack, region: str, cluster_facts: ClusterFacts) -> list[Served]:
    """The backends of a region with their pods, in the order of their keys."""
    return [_served(stack, backend, cluster_facts) for backend in stack.backends if backend.region == region]


def _served(stack: Stack, backend: Backend, cluster_facts: ClusterFacts) -> Served:
    container = backend.container
    return Served(
        backend=backend,
        model_map=model_map_name(backend, beside=stack.backends),
        device=DEVICES[backend.runtime],
        metrics=METRICS.get(container.engine),
        arguments=(
            *(argument for argument in container.arguments if argument not in container.sharing_arguments),
            *container.adapter_arguments,
        ),
        pods=tuple(_pods(stack, group, cluster_facts) for group in stack.groups if group.backend == backend.key),
        metrics_port_name=_PORT_NAMES.get(stack.form, "http" if container.metrics_port is None else "metrics"),
    )


def _pods(stack: Stack, group: ComputeGroup, cluster_facts: ClusterFacts) -> Pods:
    device = DEVICES[group.platform.runtime]
    machine = load_catalog().cpu_instances.get((stack.provider, group.instance_type))
    share = POD_MEMORY_GIB if machine is None else math.floor(machine.memory_gib * _MEMORY_SHARE)
    of_processors = max(1, min(POD_MEMORY_GIB, share)) + group.checkpoint_gib
    spot = (cluster_facts.spot_taint,) if group.is_spot and cluster_facts.spot_taint else ()
    accelerators = group.accelerators_per_replica
    return Pods(
        group=group,
        replicas=group.instances * group.replicas_per_instance,
        scale=scale_of(stack, group),
        stated_replicas=stated_replicas(stack, group),
        node_labels={NODE_LABEL: node_pool_name(stack, group)} | dict(cluster_facts.node_labels.get(group.key, {})),
        tolerated=(device.taint, *spot),
        cores=POD_CORES * accelerators if device.resource else most_of_the_cores(stack.provider, group),
        memory_gib=POD_MEMORY_GIB * accelerators if device.resource else of_processors,
        shared_memory_gib=_SHARED_MEMORY_GIB * accelerators,
        cache_gib=group.checkpoint_gib + COMPILED_GIB,
        disk_gib=replica_disk_gib(group.checkpoint_gib),
        start_probes=-(-group.start_limit_seconds // _PROBE_SECONDS),
        progress_seconds=group.start_limit_seconds + _SCHEDULING_SECONDS,
        apart=group.instances if stack.nodes and group.instances > 1 else 0,
    )


def most_of_the_cores(provider: str, group: ComputeGroup) -> int:
    """Virtual processors that a replica without an accelerator asks for: so many that no second one fits on a node."""
    vcpus = vcpus_of(provider, group)
    return POD_CORES if vcpus is None else max(POD_CORES, math.floor(vcpus * PODS_SHARE))
