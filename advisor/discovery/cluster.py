"""Serving deployments of a cluster, each with its engine, accelerators and nodes.

Looked at are Deployments, StatefulSets, LeaderWorkerSets, KServe's InferenceServices and Ray's RayServices. What one of
them makes of another (the Deployment of an InferenceService) counts once, as the outermost that can be listed.

https://docs.ray.io/en/latest/serve/llm/ (``LLMConfig``: ``model_loading_config``, ``engine_kwargs``).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from advisor.discovery import Inventory, Launch, Machine, Service, machine_by_labels, machine_of, place_of
from advisor.discovery.kubernetes_api import (
    Item,
    KubernetesApi,
    Resource,
    UnreadableYamlError,
    items,
    mapping,
    yaml_value,
)
from advisor.discovery.launches import launch_of, stored_model
from advisor.errors import InputError
from advisor.records import dataclass, replace

_ENGINE = "vllm"
_MOST_CHARACTERS = 200_000
_MOST_MODELS = 100


def ray_launches(text: str) -> Iterator[Launch]:
    """Launches of the first 100 models that a configuration names; none where it names none, is long or is not YAML."""
    try:
        document = yaml_value(text) if len(text) <= _MOST_CHARACTERS else None
    except UnreadableYamlError:
        return
    yield from islice(_launches(document), _MOST_MODELS)


def _launches(document: object) -> Iterator[Launch]:
    for application in items(document, "applications"):
        configs = items(application, "args", "llm_configs")
        for config in configs:
            loading, engine = mapping(config, "model_loading_config"), mapping(config, "engine_kwargs")
            name, source = loading.get("model_id"), loading.get("model_source")
            model = source if isinstance(source, str) and "://" not in source else name
            yield _of_arguments({**engine, "model": model, "served_model_name": name})
        if not configs:
            arguments = {**mapping(application, "runtime_env", "env_vars"), **mapping(application, "args")}
            if any(isinstance(key, str) and "model" in key.lower() for key in arguments):
                yield _of_arguments(arguments)


def _of_arguments(arguments: Mapping[str, Any]) -> Launch:
    """Launch of arguments that are called like vLLM's flags, in any case."""
    words = [_ENGINE]
    for key, value in arguments.items():
        if isinstance(key, str) and isinstance(value, str | int) and not isinstance(value, bool):
            name = key.lower().replace("_", "-").replace("model-id", "model")
            words += [f"--{name.replace('tensor-parallelism', 'tensor-parallel-size')}", str(value)]
    return launch_of(words)


_PODS, _NODES = Resource("Pod", "pods"), Resource("Node", "nodes", has_namespace=False)
_DEPLOYMENTS = Resource("Deployment", "deployments", "apps")
_STATEFUL_SETS = Resource("StatefulSet", "statefulsets", "apps")
_LEADER_SETS = Resource("LeaderWorkerSet", "leaderworkersets", "leaderworkerset.x-k8s.io")
_INFERENCE_SERVICES = Resource("InferenceService", "inferenceservices", "serving.kserve.io", "v1beta1")
_RAY_SERVICES = Resource("RayService", "rayservices", "ray.io")
_OUTER = (_LEADER_SETS, _INFERENCE_SERVICES, _RAY_SERVICES)
_LABEL_OF: Mapping[Resource, str] = {
    _LEADER_SETS: "leaderworkerset.sigs.k8s.io/name",
    _INFERENCE_SERVICES: "serving.kserve.io/inferenceservice",
    _RAY_SERVICES: "ray.io/originated-from-cr-name",
}
"""Label of the pods of each, with its name."""
_ACCELERATORS = re.compile(
    r"(nvidia\.com/(gpu|mig-.+)|amd\.com/gpu|aws\.amazon\.com/(neuron|neuroncore|neurondevice)|google\.com/tpu"
    r"|habana\.ai/gaudi|gpu\.intel\.com/.+)(\.shared)?"
)
_PLURAL_SUFFIX = {
    _DEPLOYMENTS: r"-[a-z0-9]{1,10}-[a-z0-9]{5}", _STATEFUL_SETS: r"-[0-9]+", _LEADER_SETS: r"-[0-9]+(-[0-9]+)?",
    _INFERENCE_SERVICES: r"-predictor-.+", _RAY_SERVICES: r"-(raycluster-)?[a-z0-9]{5}-(.+-)?(head|worker)(-.+)?",
}  # fmt: skip
"""End of the names of a deployment's pods, past ones too."""
_MOST_NAMED = 10
_MOUNT = "/mnt/models"
_ENGINE_OF_FORMAT = {"huggingface": "vLLM", "vllm": "vLLM", "triton": "Triton", "tensorrt": "Triton"}
"""Engine of KServe's own runtime for a model format."""


@dataclass(frozen=True, slots=True)
class _Owner:
    """One deployment."""

    resource: Resource
    namespace: str
    name: str
    labels: Mapping[str, str]
    """Labels that its pods have."""
    replicas: int | None
    pod_specs: tuple[tuple[Item, int], ...]
    """Pods of one replica, each kind once with their number."""
    storage: str = ""
    """Address of the weights that are mounted."""
    engine: str = ""
    """Where no container says it."""
    launches: tuple[Launch, ...] = ()
    """Launches that stand in the object itself; none: the containers say them."""


@dataclass(frozen=True, slots=True)
class _Pod:
    """Parts of a running pod that matter."""

    namespace: str
    labels: Mapping[str, str]
    node: str
    address: str
    spec: Item
    accelerators: int


@dataclass(frozen=True, slots=True)
class _Running:
    """Pods of a deployment."""

    count: int = 0
    first: Item | None = None
    accelerators: int = 0
    nodes: tuple[str, ...] = ()
    """Nodes of those that hold accelerators, else of all; each once."""
    addresses: frozenset[str] = frozenset()


def services_of_cluster(api: KubernetesApi) -> Inventory:
    """Every visible serving deployment. Raises InputError if the cluster is unreachable, or none may be listed."""
    owners = list(_owners(api))
    pods = _RunningPods(pod for pod in map(_pod, api.list(_PODS) or ()) if pod is not None)
    nodes = _Nodes(map(machine_of, api.list(_NODES) or ()))
    if {_DEPLOYMENTS, _STATEFUL_SETS} <= set(api.refused) and not owners:
        raise InputError("no deployment may be listed", where=api.where, hint="; ".join(api.permission_notes()))
    services, notes = [], list(api.permission_notes())
    for owner in owners:
        made = list(_services(owner, pods.of(owner), nodes, api))
        services += [each for each in made if each.launch.engine and (each.accelerators or each.launch.model)]
        strange = [service for service in made if not service.launch.engine and service.accelerators]
        notes += [
            f"{each.origin} asks for {each.accelerators} accelerators and runs no serving engine that is known here"
            for each in strange
        ]
    return Inventory(tuple(_sharing(services)), tuple(notes))


class _RunningPods:
    """Pods by label, so that a deployment is compared only with those that have its rarest one."""

    def __init__(self, pods: Iterable[_Pod]) -> None:
        """Index them."""
        self._by_label: dict[tuple[str, str, str], list[_Pod]] = {}
        self._seen: dict[tuple[str, frozenset[tuple[str, str]]], _Running] = {}
        for pod in pods:
            for key, value in pod.labels.items():
                self._by_label.setdefault((pod.namespace, key, value), []).append(pod)

    def of(self, owner: _Owner) -> _Running:
        """Pods with all labels of a deployment; none where it names no label."""
        labels = frozenset(owner.labels.items())
        key = owner.namespace, labels
        if key not in self._seen:
            having = [self._by_label.get((owner.namespace, *label), []) for label in labels]
            pods = [pod for pod in min(having, key=len, default=[]) if labels <= pod.labels.items()]
            serving = [pod for pod in pods if pod.accelerators] or pods
            self._seen[key] = _Running(
                count=len(pods),
                first=pods[0].spec if pods else None,
                accelerators=sum(pod.accelerators for pod in pods),
                nodes=tuple(sorted({pod.node for pod in serving})),
                addresses=frozenset(pod.address for pod in serving if pod.address),
            )
        return self._seen[key]


class _Nodes:
    """Machines of nodes; deployments on the same nodes share their list."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        """Index those that are listed."""
        self._listed = {machine.name: machine for machine in machines}
        self._named: dict[tuple[tuple[str, ...], Machine], tuple[Machine, ...]] = {}

    def named(self, names: tuple[str, ...], unlisted: Machine) -> tuple[Machine, ...]:
        """Machines of some nodes; *unlisted* stands in for one that is not listed."""
        key = names, unlisted
        if key not in self._named:
            self._named[key] = tuple(self._listed.get(name) or replace(unlisted, name=name) for name in names)
        return self._named[key]


def _owners(api: KubernetesApi) -> Iterator[_Owner]:
    """Deployments of every kind; those that belong to another one that can be listed are left to it."""
    listed = {resource: api.list(resource) for resource in _OUTER}
    outer_labels = {_LABEL_OF[resource] for resource, objects in listed.items() if objects is not None}
    makers = {_LEADER_SETS: _of_leader_set, _INFERENCE_SERVICES: _of_inference_service, _RAY_SERVICES: _of_ray}
    for resource, objects in listed.items():
        yield from (makers[resource](item) for item in objects or ())
    for resource in (_DEPLOYMENTS, _STATEFUL_SETS):
        for item in api.list(resource) or ():
            labels = _labels(mapping(item, "spec", "template"))
            if not outer_labels & labels.keys():
                selector = {str(k): str(v) for k, v in mapping(item, "spec", "selector", "matchLabels").items()}
                specs = ((mapping(item, "spec", "template", "spec"), 1),)
                yield _owner(item, resource, selector, _whole(mapping(item, "spec").get("replicas"), 1), specs)


def _owner(
    item: Item, resource: Resource, labels: Mapping[str, str], replicas: int | None, specs: tuple[tuple[Item, int], ...]
) -> _Owner:  # fmt: skip
    metadata = mapping(item, "metadata")
    namespace, name = str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
    own = {_LABEL_OF[resource]: name} if resource in _LABEL_OF else labels
    return _Owner(resource, namespace, name, own, replicas, specs)


def _of_leader_set(item: Item) -> _Owner:
    template = mapping(item, "spec", "leaderWorkerTemplate")
    worker = mapping(template, "workerTemplate", "spec")
    leader = mapping(template, "leaderTemplate", "spec") or worker
    hosts = _whole(template.get("size"), 1) or 1
    specs = ((leader, 1), (worker, hosts - 1))
    return _owner(item, _LEADER_SETS, {}, _whole(mapping(item, "spec").get("replicas"), 1), specs)


def _of_inference_service(item: Item) -> _Owner:
    """An InferenceService; its pods, where there are any, say what its runtime adds to its arguments."""
    predictor = mapping(item, "spec", "predictor")
    model = mapping(predictor, "model")
    spec = {"containers": [*items(predictor, "containers"), *([model] if model else [])]}
    owner = _owner(item, _INFERENCE_SERVICES, {}, None, ((spec, 1),))
    engine = _ENGINE_OF_FORMAT.get(str(mapping(model, "modelFormat").get("name") or "").lower(), "")
    return replace(owner, storage=str(model.get("storageUri") or ""), engine=engine)


def _of_ray(item: Item) -> _Owner:
    groups = items(item, "spec", "rayClusterConfig", "workerGroupSpecs")
    specs = [(mapping(group, "template", "spec"), _whole(mapping(group).get("replicas"), 1) or 0) for group in groups]
    owner = _owner(item, _RAY_SERVICES, {}, None, tuple(specs))
    return replace(owner, launches=tuple(ray_launches(str(mapping(item, "spec").get("serveConfigV2") or ""))))


def _pod(item: Item) -> _Pod | None:
    """A pod that runs on a node; None for any other."""
    spec, status, metadata = mapping(item, "spec"), mapping(item, "status"), mapping(item, "metadata")
    if status.get("phase") != "Running" or not spec.get("nodeName"):
        return None
    namespace, node = str(metadata.get("namespace") or ""), str(spec["nodeName"])
    return _Pod(namespace, _labels(item), node, str(status.get("podIP") or ""), spec, _count(spec))


def _services(owner: _Owner, pods: _Running, nodes: _Nodes, api: KubernetesApi) -> Iterator[Service]:
    """Services of a deployment: one, or one for each model that it names itself."""
    counted = [(spec, count) for spec, count in owner.pod_specs if count]
    if owner.resource is _INFERENCE_SERVICES and pods.first is not None:
        counted = [(pods.first, 1)]
    specs = [spec for spec, _ in counted]
    launches = owner.launches or (_launch(specs, owner),)
    place = place_of(api.access.context, api.access.server)
    hosts = nodes.named(pods.nodes, _unlisted(specs, place))
    notes = () if len(launches) == 1 else (f"one of {len(launches)} models of the same accelerators",)
    for launch in launches:
        per_replica = sum(_count(spec) * count for spec, count in counted) or None
        replicas = owner.replicas if owner.replicas is not None else pods.count or None
        if owner.launches:
            per_replica = launch.tensor_parallel * launch.pipeline_parallel
            replicas = pods.accelerators // per_replica or None if len(launches) == 1 else None
        yield Service(
            name=owner.name if len(launches) == 1 else f"{owner.name}-{launch.served_name or launch.model}",
            origin=f"{owner.resource.kind} {owner.namespace}/{owner.name} of {api.access.context}",
            launch=launch,
            replicas=replicas,
            accelerators=per_replica,
            machines=hosts,
            namespace=owner.namespace,
            pods=re.escape(owner.name).replace(r"\-", "-") + _PLURAL_SUFFIX[owner.resource],
            addresses=pods.addresses,
            notes=notes,
        )


def _unlisted(specs: Sequence[Item], place: tuple[str, str]) -> Machine:
    """Machine of a node that no list shows, by what its pods ask of it."""
    asked = {str(k): str(v) for spec in specs for k, v in mapping(spec, "nodeSelector").items()}
    machine = machine_by_labels("", place[0], asked)
    paid = machine.purchase if machine.purchase == "spot" else ""
    return replace(machine, region=machine.region or place[1], purchase=paid)


def _launch(specs: Sequence[Item], owner: _Owner) -> Launch:
    """The first container of a replica whose program is a serving engine; one without a name where none is."""
    launches = []
    for container in (each for spec in specs for each in items(spec, "containers") if isinstance(each, dict)):
        words = [str(word) for key in ("command", "args") for word in items(container, key)]
        variables = {
            str(pair["name"]): str(pair["value"])
            for pair in items(container, "env")
            if isinstance(pair, dict) and "name" in pair and pair.get("value") is not None
        }
        launches.append(launch_of(words, str(container.get("image") or ""), variables))
    launch = next((each for each in launches if each.engine), launches[0] if owner.engine and launches else Launch(""))
    launch, storage = replace(launch, engine=launch.engine or owner.engine), owner.storage
    if storage and (not launch.model or launch.model.startswith(_MOUNT)):
        launch = replace(launch, model=stored_model(storage))
    return launch


def _count(spec: Item) -> int:
    """Accelerators that a pod asks for."""
    total = 0
    for container in items(spec, "containers"):
        resources = mapping(container, "resources")
        asked = mapping(resources, "limits") or mapping(resources, "requests")
        total += sum(_whole(amount, 0) or 0 for name, amount in asked.items() if _ACCELERATORS.fullmatch(str(name)))
    return total


def _labels(item: Item) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping(item, "metadata", "labels").items()}


def _whole(value: Any, default: int | None) -> int | None:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool) or value is None:
        return default
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 10 else default


def _sharing(services: Sequence[Service]) -> Iterator[Service]:
    """Services with a note where others run on the same hosts."""
    on_host: dict[str, list[int]] = {}
    for number, service in enumerate(services):
        for host in {machine.name for machine in service.machines}:
            on_host.setdefault(host, []).append(number)
    for number, service in enumerate(services):
        beside: set[int] = set()
        for machine in service.machines:
            beside.update(islice((other for other in on_host[machine.name] if other != number), _MOST_NAMED + 1))
            if len(beside) > _MOST_NAMED:
                break  # no note names more
        others = sorted(beside)
        names = [services[other].name for other in others[:_MOST_NAMED]]
        shown = ", ".join(names) + (" and more" if len(others) > _MOST_NAMED else "")
        note = f"its machines also run {shown}: `current` counts them whole" if others else ""
        yield replace(service, notes=(*service.notes, note)) if note else service
