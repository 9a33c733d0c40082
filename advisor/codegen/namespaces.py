"""Namespaces of clusters that are not a workload's to take: what runs there belongs to the cluster.

Kubernetes reserves the prefix ``kube-`` and makes ``default``; the other names are recalled from what GKE, AKS, EKS and
their add-ons make.
"""

from advisor.codegen.model import Stack
from advisor.errors import InputError

_PREFIXES = ("aks-", "amazon-", "anthos-", "azure-", "gke-", "gmp-", "kube-", "openshift-")
_NAMES = frozenset(
    {
        "app-routing-system",
        "aws-observability",
        "calico-apiserver",
        "calico-system",
        "cert-manager",
        "config-management-system",
        "dapr-system",
        "default",
        "envoy-gateway-system",
        "flux-system",
        "gatekeeper-system",
        "gateways",
        "gpu-operator",
        "ibm-operators",
        "ibm-system",
        "istio-system",
        "karpenter",
        "keda",
        "knative-serving",
        "kserve",
        "monitoring",
        "node-feature-discovery",
        "tigera-operator",
    }
)
"""Those of clouds' add-ons, and of the controllers that generated objects rely on."""


def is_reserved(name: str) -> bool:
    """Whether a namespace belongs to the cluster or to what is installed in it."""
    return name in _NAMES or name.startswith(_PREFIXES)


def check_namespaces(stack: Stack) -> None:
    """Refuse to make a namespace that is there already: its network policy would cut off what runs in it.

    Raises:
        InputError: a workload's name is such a namespace.
    """
    reserved = next((tenant.name for tenant in stack.serving if is_reserved(tenant.name)), None)
    if reserved is not None:
        raise InputError(
            f"the namespace {reserved} belongs to the cluster or to what is installed in it, and its network policy "
            "would cut that off",
            hint="set another name in the workload file, and plan again",
        )
