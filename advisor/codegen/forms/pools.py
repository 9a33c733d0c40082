"""The manifests behind InferencePools of the Gateway API: pods are picked by their load, pools by the plan's shares.

As objects of their own, or as values of llm-d's router, whose chart makes the pool and the endpoint picker.

Sources: the resource ``inferencepools.inference.networking.k8s.io`` of the Gateway API inference extension 1.6; values
and templates of the chart ``llm-d-router-gateway`` 0.10, whose pods keep to the standard "baseline".
"""

from collections.abc import Iterable, Iterator, Mapping

from advisor.codegen import kubernetes
from advisor.codegen.engines.metrics import METRICS, published
from advisor.codegen.forms import network
from advisor.codegen.forms.shared import PORT, Document, dump, part_of, readme
from advisor.codegen.kubernetes import ClusterFacts, Served, served_in
from advisor.codegen.model import Stack

ROUTER_VERSION = "v0.10.0"
_GROUP = "inference.networking.k8s.io"
_PICKER_PORT = 9002
_SEPARATOR = "\n---\n"
_IS_ROUTE = "\nkind: HTTPRoute\n"
_LONGEST_PICKED = 40
"""Characters of a release that the name of its picker keeps."""
_RESTRICTED, _BASELINE = (f'pod-security.kubernetes.io/enforce: "{name}"' for name in ("restricted", "baseline"))


def obstacle(stack: Stack) -> str:
    """Why no picker can read the load of the pods; empty when one can."""
    for container in (backend.container for backend in stack.backends):
        metrics = published(container.engine)
        if metrics is None or not metrics.picker:
            return f"an endpoint picker cannot read the load of {container.image}"
    return ""


def inference_pool_files(stack: Stack, cluster_facts: ClusterFacts) -> Mapping[str, str]:
    """The manifests, with a pool for each backend and a route over the pools."""
    files = _manifests(stack, cluster_facts)
    for region in stack.regions:
        served = served_in(stack, region.name, cluster_facts)
        folder = f"kubernetes/{region.name}"
        files[f"{folder}/inference-pool.yaml"] = dump(*_policies(stack), *(_pool(stack, backend) for backend in served))
        google = f"{folder}/google-gateway.yaml"
        if google in files:
            files[google] = dump(*_of_pools(files[google]))
    return files


def llm_d_files(stack: Stack, cluster_facts: ClusterFacts) -> Mapping[str, str]:
    """The manifests, with values of llm-d's router for each backend and a route over its pools."""
    files = _manifests(stack, cluster_facts)
    for region in stack.regions:
        folder = f"kubernetes/{region.name}"
        files[f"{folder}/inference-pool.yaml"] = dump(*_policies(stack))
        namespace = f"{folder}/namespace.yaml"
        files[namespace] = files[namespace].replace(_RESTRICTED, _BASELINE)
        for served in served_in(stack, region.name, cluster_facts):
            metrics = METRICS[served.backend.container.engine]
            values = {
                "router": {
                    "modelServers": {
                        "type": metrics.picker,
                        "targetPorts": [{"number": PORT}],
                        "matchLabels": {"inference/backend": served.backend.key},
                    },
                    "epp": {
                        "image": {"tag": ROUTER_VERSION, "pullPolicy": "IfNotPresent"},
                        "metricsDataSource": {"scheme": "http", "path": metrics.path},
                    },
                    "inferencePool": {"create": True, "failureMode": "FailOpen"},
                },
                "provider": {"name": ("gke" if cluster_facts.has_google_gateways else "none")},
            }
            files[f"{folder}/router/{served.backend.key}.values.yaml"] = dump(values)
        google = f"{folder}/google-gateway.yaml"
        if google in files:
            policies = [document for document in _documents(files[google]) if document["kind"] == "NetworkPolicy"]
            files[google] = dump(*policies)
    return files


def _manifests(stack: Stack, cluster_facts: ClusterFacts) -> dict[str, str]:
    """The usual manifests, whose route leads to pools."""
    files = dict(kubernetes.kubernetes_files(stack, cluster_facts))
    for region in stack.regions:
        path = f"kubernetes/{region.name}/route.yaml"
        files[path] = _route_to_pools(files[path])
    releases = {
        region.name: [backend.key for backend in stack.backends if backend.region == region.name]
        for region in stack.regions
    }
    context = {"releases": releases, "version": ROUTER_VERSION}
    files["kubernetes/README.md"] += readme(stack, context)
    return files


def _documents(text: str) -> list[Document]:
    import yaml  # noqa: PLC0415 - only where there is YAML to read

    return [document for document in yaml.safe_load_all(text) if document]


def _route_to_pools(text: str) -> str:
    """The routes over pools, and what looks after their weights as it is."""
    _, *parts = text.split(_SEPARATOR)
    routes = [part for part in parts if _IS_ROUTE in part]
    others = [f"---\n{part.rstrip()}\n" for part in parts if part not in routes]
    return "".join((dump(*(_to_pools(document) for part in routes for document in _documents(part))), *others))


def _to_pools(route: Document) -> Document:
    for rule in route["spec"]["rules"]:
        rule["backendRefs"] = [
            {"group": _GROUP, "kind": "InferencePool", "name": reference["name"], "weight": reference["weight"]}
            for reference in rule["backendRefs"]
        ]
    return route


def _of_pools(text: str) -> Iterator[Document]:
    """Policies of Google's Gateways, aimed at the pools."""
    for document in _documents(text):
        target = document["spec"].get("targetRef")
        if target:
            target |= {"group": _GROUP, "kind": "InferencePool"}
        config = document["spec"].get("default", {}).get("config")
        if config:
            config["httpHealthCheck"] = {"requestPath": config["httpHealthCheck"]["requestPath"], "port": PORT}
        yield document


def _pool(stack: Stack, served: Served) -> Document:
    name = served.backend.key
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "InferencePool",
        "metadata": {"name": name, "namespace": stack.name, "labels": part_of(stack)},
        "spec": {
            "selector": {"matchLabels": {"inference/backend": name}},
            "targetPorts": [{"number": PORT}],
            "endpointPickerRef": {
                "name": f"{name[:_LONGEST_PICKED]}-epp",
                "port": {"number": _PICKER_PORT},
                # Without a picker, pods are taken in turn.
                "failureMode": "FailOpen",
            },
        },
    }


def _policies(stack: Stack) -> Iterable[Document]:
    """Network policies for pickers: requests to them, and their questions to pods and the API server.

    Names, and what the engines reach, are in the policy of the manifests.
    """
    pickers = {"podSelector": {"matchExpressions": [{"key": "inference/backend", "operator": "DoesNotExist"}]}}
    engines = {"podSelector": {"matchExpressions": [{"key": "inference/backend", "operator": "Exists"}]}}
    to_engines = network.rule("to", [engines], PORT)
    of_pickers = {
        "ingress": [network.rule("from", [network.CLIENTS], _PICKER_PORT)],
        "egress": [to_engines, {"ports": network.tcp(*network.API_SERVER)}],
    }
    yield network.network_policy(stack, "endpoint-pickers", pickers, **of_pickers)
    yield network.network_policy(stack, "engines", engines, [network.rule("from", [pickers], PORT)])
