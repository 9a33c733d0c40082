"""Nodes of a cluster → :class:`Machine`: provider, region, instance type and way of paying, by the labels they carry.

Labels: https://kubernetes.io/docs/reference/labels-annotations-taints/ (instance type, region), EKS and Karpenter
(capacity type), GKE (spot, preemptible, accelerator), AKS (scale set priority), NVIDIA GPU feature discovery (product).
"""

import re
from collections.abc import Mapping, Sequence

from advisor.discovery.kubernetes_api import Item, mapping
from advisor.discovery.values import Machine

_PROVIDERS = {
    "aws": "aws", "gce": "gcp", "azure": "azure", "digitalocean": "digitalocean", "vultr": "vultr", "ibm": "ibm",
    "oci": "oracle", "nebius": "nebius",
}  # fmt: skip
_TYPE = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_PRODUCT = (
    "nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "karpenter.k8s.aws/instance-gpu-name",
    "k8s.amazonaws.com/accelerator", "amd.com/gpu.product-name", "cloud.google.com/gke-tpu-accelerator",
)  # fmt: skip
_PURCHASES: Mapping[tuple[str, str], str] = {
    ("eks.amazonaws.com/capacitytype", "spot"): "spot",
    ("eks.amazonaws.com/capacitytype", "on_demand"): "on_demand",
    ("karpenter.sh/capacity-type", "spot"): "spot",
    ("karpenter.sh/capacity-type", "on-demand"): "on_demand",
    ("cloud.google.com/gke-spot", "true"): "spot",
    ("cloud.google.com/gke-preemptible", "true"): "spot",
    ("cloud.google.com/gke-provisioning", "spot"): "spot",
    ("cloud.google.com/gke-provisioning", "preemptible"): "spot",
    ("cloud.google.com/gke-provisioning", "standard"): "on_demand",
    ("kubernetes.azure.com/scalesetpriority", "spot"): "spot",
    ("kubernetes.azure.com/scalesetpriority", "regular"): "on_demand",
}
_INSTANCE = re.compile(r"/(i-[0-9a-f]{8,17})$")


_PLACES: Sequence[tuple[str, re.Pattern[str]]] = (
    ("aws", re.compile(r"\.([a-z]+(?:-[a-z]+)+-[0-9]+)\.eks\.amazonaws\.com")),
    ("azure", re.compile(r"\.hcp\.([a-z0-9]+)\.azmk8s\.io")),
    ("gcp", re.compile(r"^gke_[^_]+_([a-z]+-[a-z]+[0-9]+)(?:-[a-z])?_")),
)
"""Address of an API server, or name of a context, by which a cloud's own tools say where a cluster is."""


def place_of(context: str, server: str) -> tuple[str, str]:
    """Provider and region of a managed cluster; ("", "") where neither its context nor its address says it."""
    for provider, pattern in _PLACES:
        if match := pattern.search(context) or pattern.search(server):
            return provider, match[1]
    return "", ""


def machine_of(node: Item) -> Machine:
    """A node as a machine; what neither its labels nor its provider id say stays unknown."""
    provider_id = str(mapping(node, "spec").get("providerID") or "")
    provider = _PROVIDERS.get(provider_id.partition("://")[0], "")
    labels = {str(key): str(value) for key, value in mapping(node, "metadata", "labels").items()}
    name = str(mapping(node, "metadata").get("name") or "")
    instance = _INSTANCE.search(provider_id)
    return machine_by_labels(name, provider, labels, instance[1] if instance else "")


def machine_by_labels(name: str, provider: str, labels: Mapping[str, str], instance_id: str = "") -> Machine:
    """A machine by the labels of its node, or by those that a pod asks its node to have."""
    purchases = {
        purchase
        for (label, value), purchase in _PURCHASES.items()
        if any(key.lower() == label and stated.lower() == value for key, stated in labels.items())
    }
    on_google_or_azure = "on_demand" if provider in {"gcp", "azure"} else ""
    return Machine(
        name=name,
        provider=provider,
        region=_first(labels, _REGION),
        instance_type=_first(labels, _TYPE),
        purchase="spot" if "spot" in purchases else next(iter(purchases), on_google_or_azure),
        product=_first(labels, _PRODUCT),
        instance_id=instance_id,
    )


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")
