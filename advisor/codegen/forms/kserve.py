"""KServe: one LLMInferenceService for each group of nodes, weighted within one routing group.

KServe's own template starts vLLM, fetches the weights and ends TLS; only what the plan decides is laid over it.

Sources: the resource ``llminferenceservices.serving.kserve.io`` and the template ``kserve-config-llm-template`` of
KServe 0.20, whose shell evaluates the arguments once more.
"""

import shlex
from collections.abc import Mapping

from advisor.codegen.container import Runtime
from advisor.codegen.engines.request import SERVED_NAME
from advisor.codegen.forms import network, shared
from advisor.codegen.kubernetes import ClusterFacts, Pods, Served
from advisor.codegen.kubernetes_scaling import resting_minutes
from advisor.codegen.model import ComputeGroup, Stack
from advisor.codegen.route_weights import WeightedBackend, route_weights
from advisor.codegen.workloads import workload_name

_CONTAINER = "main"
_SERVICES = "llm-inference-services.yaml"
_DEAD_SECONDS = 10
_PICKERS: shared.Document = {
    "podSelector": {"matchLabels": {"app.kubernetes.io/component": "llminferenceservice-router-scheduler"}}
}
"""Pods of KServe's scheduler, one Deployment for each service."""
_PICKER_PORT, _PICKER_METRICS_PORT = 9002, 9090
_ROOT = {"runAsNonRoot": False, "runAsUser": 0}


def obstacle(stack: Stack) -> str:
    """Why KServe cannot serve the stack; empty when it can."""
    return shared.vllm_obstacle(stack, "KServe", (Runtime.CUDA, Runtime.ROCM))


def files(stack: Stack, cluster_facts: ClusterFacts) -> Mapping[str, str]:
    """One file of objects for the cluster of each region."""

    def objects(groups: list[tuple[Served, Pods]]) -> list[shared.Document]:
        # KServe leaves the number of a Deployment alone where the service names none.
        scaled = shared.scaled_objects(stack, groups)
        budgets = shared.disruption_budgets(stack, groups)
        services = (_service(stack, served, pods) for served, pods in groups)
        return [*services, *_policies(stack), *budgets, *scaled]

    written = dict(shared.region_files(stack, cluster_facts, _SERVICES, objects))
    for region in stack.regions:
        groups = [group for group in stack.groups if group.region == region.name]
        if len(groups) > 1:
            weighed = {group.key: _weighted_service(stack, group) for group in groups}
            written[f"kubernetes/{region.name}/{_SERVICES}"] += route_weights(stack, weighed, by_service=True)
    return written


def _policies(stack: Stack) -> tuple[shared.Document, shared.Document]:
    """Requests from Gateways to pods and pickers; questions of pickers to the pods and the API server."""
    return (
        network.network_policy(
            stack,
            "engines",
            network.ENGINES,
            [network.rule("from", [_PICKERS, network.CLIENTS], shared.PORT)],
            [network.names_and_hub()],
        ),
        network.network_policy(
            stack,
            "pickers",
            _PICKERS,
            [network.rule("from", [network.CLIENTS], _PICKER_PORT, _PICKER_METRICS_PORT)],
            [network.rule("to", [network.ENGINES], shared.PORT), network.names_and_hub(*network.API_SERVER)],
        ),
    )


def _weighted_service(stack: Stack, group: ComputeGroup) -> WeightedBackend:
    return WeightedBackend(group.weight, resting_minutes([group]), (workload_name(stack, group),))


def _service(stack: Stack, served: Served, pods: Pods) -> shared.Document:
    checkpoint = served.backend.container.checkpoint
    named = (checkpoint.model_id, checkpoint.commit)  # hf://MODEL:COMMIT, as KServe's storage initializer reads it
    return {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": {"name": pods.group.key, "namespace": stack.name, "labels": shared.part_of(stack)},
        "spec": {
            "model": {"uri": f"hf://{':'.join(filter(None, named))}", "name": stack.summary.model},
            **({"replicas": pods.replicas} if pods.scale is None else {}),
            "labels": shared.labels(stack, served, pods),
            "router": {
                "gateway": {},
                "route": {"group": stack.name, "weight": pods.group.weight},
                "scheduler": {},
            },
            "template": _pod(stack, served, pods),
        },
    }


def _pod(stack: Stack, served: Served, pods: Pods) -> shared.Document:
    root = {"securityContext": dict(_ROOT)} if served.device.needs_root else {}
    arguments = [argument for argument in served.arguments if not argument.startswith(SERVED_NAME)]
    return {
        **shared.placement(pods),
        "terminationGracePeriodSeconds": stack.load_balancer.drain_seconds,
        "securityContext": shared.security(served),
        "initContainers": [{"name": "storage-initializer", "env": [shared.hub_token()]}],
        "containers": [
            {
                "name": _CONTAINER,
                "image": served.backend.container.image,
                "ports": [{"name": served.metrics_port_name, "containerPort": shared.PORT, "protocol": "TCP"}],
                "args": [shared.container_word(shlex.quote(argument)) for argument in arguments],
                "env": shared.environment(served),
                "resources": shared.resources(served, pods),
                "startupProbe": {"periodSeconds": shared.PROBE_SECONDS, "failureThreshold": pods.start_probes},
                # A dead engine has no requests to drain.
                "livenessProbe": {"terminationGracePeriodSeconds": _DEAD_SECONDS},
                **root,
            }
        ],
        "volumes": [shared.memory_volume("dshm", pods)],
    }
