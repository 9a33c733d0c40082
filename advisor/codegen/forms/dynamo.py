"""NVIDIA Dynamo: one DynamoGraphDeployment for the cluster of each region, aggregated, with a worker for each group.

Sources: the resource ``dynamographdeployments.nvidia.com`` (v1beta1), the guides to health probes and autoscaling and
the aggregated example of Dynamo 1.4, read in November 2026.
"""

from collections.abc import Mapping

from advisor.codegen.container import Runtime
from advisor.codegen.forms import network, shared
from advisor.codegen.kubernetes import ClusterFacts, Pods, Served
from advisor.codegen.model import Stack
from advisor.codegen.workloads import part_name
from advisor.records import replace

VERSION = "1.4.2"
IMAGE = f"nvcr.io/nvidia/ai-dynamo/vllm-runtime:{VERSION}"
_MOST_COMPONENTS = 25
_SYSTEM_PORT = 9090
_EVENTS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dynamo-system"}}}
_EVENTS_PORT = 4222
"""Port of NATS, where the platform was installed with it."""
_FRONTENDS = 2
_FRONTEND_LABELS = {"inference/part": "frontend"}


def obstacle(stack: Stack) -> str:
    """Why Dynamo cannot serve the stack; empty when it can."""
    most = max(sum(group.region == region.name for group in stack.groups) for region in stack.regions)
    if most >= _MOST_COMPONENTS:
        return f"Dynamo takes {_MOST_COMPONENTS} components, and a region has {most} groups and a frontend"
    return (
        shared.vllm_obstacle(stack, "Dynamo", (Runtime.CUDA,))
        or shared.spread_obstacle(stack, "the frontend of Dynamo")
        or shared.adapter_obstacle(stack, "Dynamo")
    )


def with_its_image(stack: Stack) -> Stack:
    """The stack with Dynamo's image, which holds vLLM: no other speaks with its frontend."""
    caution = f"{IMAGE} brings a vLLM of its own, and not the planned release: measure it before relying on the plan."
    backends = tuple(replace(backend, container=replace(backend.container, image=IMAGE)) for backend in stack.backends)
    return replace(stack.with_cautions(caution), backends=backends)


def files(stack: Stack, cluster_facts: ClusterFacts) -> Mapping[str, str]:
    """One file of objects for the cluster of each region."""
    # The operator gives each component an adapter, which is scaled in its place.
    adapter = {"apiVersion": "nvidia.com/v1alpha1", "kind": "DynamoGraphDeploymentScalingAdapter"}

    def objects(groups: list[tuple[Served, Pods]]) -> list[shared.Document]:
        frontend = shared.disruption_budget(stack, "frontend", _FRONTEND_LABELS)
        budgets = shared.disruption_budgets(stack, groups)
        policies = _policies(stack)
        return [_graph(stack, groups), *policies, frontend, *budgets, *shared.scaled_objects(stack, groups, adapter)]

    return shared.region_files(stack, cluster_facts, "dynamo.yaml", objects)


def _policies(stack: Stack) -> tuple[shared.Document, shared.Document]:
    """Requests to the frontend; what the pods of the graph say to each other, at ports that the system gives them."""
    frontend: shared.Document = {"podSelector": {"matchLabels": dict(_FRONTEND_LABELS)}}
    graph = [frontend, network.ENGINES]
    among, to_graph = network.rule("from", graph), network.rule("to", graph)
    # They find each other at the API server.
    egress = [to_graph, network.rule("to", [_EVENTS], _EVENTS_PORT), network.names_and_hub(*network.API_SERVER)]
    from_clients = {"engines": (_SYSTEM_PORT,), "frontend": (shared.PORT, _SYSTEM_PORT)}
    engines, entrance = (
        network.network_policy(
            stack, name, selected, [among, network.rule("from", [network.CLIENTS], *from_clients[name])], egress
        )
        for name, selected in (("engines", network.ENGINES), ("frontend", frontend))
    )
    return engines, entrance


def _graph(stack: Stack, groups: list[tuple[Served, Pods]]) -> shared.Document:
    return {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": stack.name, "namespace": stack.name, "labels": shared.part_of(stack)},
        "spec": {
            "backendFramework": "vllm",
            "components": [_frontend(groups[0][0]), *(_worker(stack, served, pods) for served, pods in groups)],
        },
    }


def _frontend(served: Served) -> shared.Document:
    main = {
        "name": "main",
        "image": served.backend.container.image,
        "env": [{"name": "DYN_ROUTER_MODE", "value": "round-robin"}, shared.hub_token()],
        "securityContext": shared.container_security(),
    }
    template = {
        "metadata": {"labels": dict(_FRONTEND_LABELS)},
        "spec": {"affinity": shared.apart(_FRONTEND_LABELS), "containers": [main]},
    }
    return {"name": "Frontend", "type": "frontend", "replicas": _FRONTENDS, "podTemplate": template}


def _worker(stack: Stack, served: Served, pods: Pods) -> shared.Document:
    return {
        "name": part_name(stack, pods.group),
        "type": "worker",
        "replicas": pods.replicas,
        **({} if pods.scale is None else {"scalingAdapter": {}}),
        "sharedMemorySize": f"{pods.shared_memory_gib}Gi",
        "podTemplate": {"metadata": {"labels": shared.labels(stack, served, pods)}, "spec": _pod(stack, served, pods)},
    }


def _pod(stack: Stack, served: Served, pods: Pods) -> shared.Document:
    container = served.backend.container
    model = container.checkpoint.model_id or ""
    main = {
        "name": "main",
        "image": served.backend.container.image,
        "command": ["python3", "-m", "dynamo.vllm"],
        "args": ["--model", model, *map(shared.container_word, (*served.arguments, *shared.revision(container)))],
        "env": [{"name": "HOME", "value": "/cache"}, shared.hub_token(), *shared.environment(served)],
        "resources": shared.resources(served, pods),
        "startupProbe": {
            "httpGet": {"path": "/live", "port": _SYSTEM_PORT},
            "periodSeconds": shared.PROBE_SECONDS,
            "failureThreshold": pods.start_probes,
        },
        "securityContext": shared.container_security(),
        "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    }
    return {
        **shared.placement(pods),
        "terminationGracePeriodSeconds": stack.load_balancer.drain_seconds,
        "securityContext": shared.security(served),
        "containers": [main],
        "volumes": [shared.disk_volume("cache", pods)],
    }
