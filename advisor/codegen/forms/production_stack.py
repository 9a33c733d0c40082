"""vLLM production-stack: values of its Helm chart, one for the cluster of each region.

Sources: values, JSON schema and templates of the chart ``vllm-stack`` 0.1.12. The schema takes no list of triggers,
so that what scales stands among its extra objects; it names pods after release and model, within 63 characters.
"""

from collections.abc import Mapping

from advisor.codegen.container import Runtime
from advisor.codegen.engines import vllm
from advisor.codegen.forms import network, shared
from advisor.codegen.kubernetes import ClusterFacts, Pods, Served, repository
from advisor.codegen.model import Stack
from advisor.codegen.workloads import part_name

_PATIENCE: Mapping[str, Mapping[str, int]] = {
    "readinessProbe": {"periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 3},
    "livenessProbe": {"periodSeconds": shared.PROBE_SECONDS, "timeoutSeconds": 10, "failureThreshold": 6},
}
"""As in the manifests: an engine at the limit of its load answers late, and the chart's second would end it."""
_DRAIN_SECONDS = 25
"""Of the 30 that Kubernetes gives a pod to end: the chart has no word for more, and no hook before."""
_ROUTERS = 2
_PROJECT = "the router of production-stack"


def obstacle(stack: Stack) -> str:
    """Why the chart cannot serve the stack; empty when it can."""
    runtimes = {backend.runtime for backend in stack.backends}
    return (
        shared.vllm_obstacle(stack, "production-stack", (Runtime.CUDA, Runtime.ROCM))
        or shared.spread_obstacle(stack, _PROJECT)
        or shared.adapter_obstacle(stack, _PROJECT)
        or ("production-stack runs all pods as one user, and AMD devices need root" if len(runtimes) > 1 else "")
    )


def files(stack: Stack, cluster_facts: ClusterFacts) -> Mapping[str, str]:
    """Values of the chart for each region."""
    written = {
        f"kubernetes/{region.name}/values.yaml": shared.dump(
            _values(stack, shared.pods_in(stack, region.name, cluster_facts))
        )
        for region in stack.regions
    }
    drains = all(vllm.drain_arguments(backend.container, _DRAIN_SECONDS) for backend in stack.backends)
    return {"kubernetes/README.md": shared.readme(stack, {"drain_seconds": _DRAIN_SECONDS if drains else 0}), **written}


def _values(stack: Stack, groups: list[tuple[Served, Pods]]) -> shared.Document:
    served, _ = groups[0]
    budgets = shared.disruption_budgets(stack, groups, suffix="-engine")  # Helm takes over no object of another form
    starts = {"periodSeconds": shared.PROBE_SECONDS, "failureThreshold": max(pods.start_probes for _, pods in groups)}
    return {
        "servingEngineSpec": {
            "enableEngine": True,
            "containerPort": shared.PORT,
            "imagePullPolicy": "IfNotPresent",
            "runtimeClassName": "",
            "securityContext": shared.security(served),
            "containerSecurityContext": {
                "runAsNonRoot": not served.device.needs_root,
                **shared.container_security(),
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "startupProbe": _probe(served, starts),
            **{name: _probe(served, patience) for name, patience in _PATIENCE.items()},
            "modelSpec": [_model(stack, served, pods) for served, pods in groups],
        },
        "routerSpec": {
            "enableRouter": True,
            "replicaCount": _ROUTERS,
            "pdb": {"enabled": True, "maxUnavailable": 1},
            "affinity": shared.apart(_of_router(stack)),
            "serviceType": "ClusterIP",
            "routingLogic": "roundrobin",
        },
        "extraObjects": [*_policies(stack), *budgets, *shared.scaled_objects(stack, groups)],
    }


def _of_router(stack: Stack) -> Mapping[str, str]:
    """Labels that the chart gives the pods of its router."""
    return {"app.kubernetes.io/component": "router", "app.kubernetes.io/instance": stack.name}


def _policies(stack: Stack) -> tuple[shared.Document, shared.Document]:
    """Requests to the router, and from it to the pods, which it finds at the API server; metrics of both."""
    router = {"podSelector": {"matchLabels": _of_router(stack)}}
    return (
        network.network_policy(
            stack,
            f"{stack.name}-engines",
            network.ENGINES,
            [network.rule("from", [router, network.CLIENTS], shared.PORT)],
            [network.names_and_hub()],
        ),
        network.network_policy(
            stack,
            f"{stack.name}-router",
            router,
            [network.rule("from", [network.CLIENTS], shared.PORT)],
            [network.rule("to", [network.ENGINES], shared.PORT), network.names_and_hub(*network.API_SERVER)],
        ),
    )


def _probe(served: Served, patience: Mapping[str, int]) -> shared.Document:
    return {**patience, "httpGet": {"path": served.backend.container.health_path, "port": shared.PORT}}


def _model(stack: Stack, served: Served, pods: Pods) -> shared.Document:
    container = served.backend.container
    name = repository(container.image)
    selected = [{"key": key, "operator": "In", "values": [value]} for key, value in pods.node_labels.items()]
    arguments = (*served.arguments, *shared.revision(container), *vllm.drain_arguments(container, _DRAIN_SECONDS))
    return {
        "name": part_name(stack, pods.group),
        "repository": name,
        "tag": container.image.removeprefix(f"{name}:"),
        "modelURL": container.checkpoint.model_id,
        "replicaCount": pods.replicas,
        "resources": shared.resources(served, pods),
        "nodeSelectorTerms": [{"matchExpressions": selected}],
        "tolerations": shared.tolerations(pods),
        "podLabels": shared.labels(stack, served, pods),
        # The chart puts the weights there, and the engines what they compile.
        "env": [{"name": "HOME", "value": "/tmp"}, shared.hub_token(), *shared.environment(served)],  # noqa: S108 - in a container
        "extraVolumes": [shared.disk_volume("cache", pods), shared.memory_volume("shared-memory", pods)],
        "extraVolumeMounts": [
            {"name": "cache", "mountPath": "/tmp"},  # noqa: S108 - in a container
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - in a container
        ],
        # Without a word, the chart switches prefix caching off.
        "vllmConfig": {
            "enablePrefixCaching": True,
            "extraArgs": [shared.container_word(argument) for argument in arguments],
        },
    }
