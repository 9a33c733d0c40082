"""Policies of the network for the pods that other projects start: who reaches them, and what they reach.

Each selects the pods of the plan, and those of a router or a picker by the labels of their project, so that what else
is in the namespace (a Gateway that its project starts there) is left as it is.
"""

from collections.abc import Iterable

from advisor.codegen.forms.shared import Document, part_of
from advisor.codegen.model import Stack

ENGINES: Document = {"podSelector": {"matchExpressions": [{"key": "inference/group", "operator": "Exists"}]}}
"""Pods with the label that those of each group have."""
CLIENTS: Document = {"namespaceSelector": {"matchLabels": {"inference/client": "true"}}}
"""Namespaces of Gateways, of Prometheus and of those who send requests."""
_DNS, _HTTPS = 53, 443
API_SERVER = (_HTTPS, 6443)
"""Ports of the API server, which is behind an address of the cluster in most of these."""


def rule(direction: str, peers: Iterable[Document], *ports: int) -> Document:
    """A rule that lets peers in (``from``) or is open to them (``to``); without ports, at all of them."""
    return {direction: [*peers], **({"ports": tcp(*ports)} if ports else {})}


def tcp(*ports: int) -> list[Document]:
    """Ports of TCP."""
    return [{"protocol": "TCP", "port": port} for port in ports]


def names_and_hub(*ports: int) -> Document:
    """The rule for names, and for other ports of TCP anywhere: HTTPS for images and weights, if no other is named."""
    return {"ports": [{"protocol": "UDP", "port": _DNS}, *tcp(_DNS, *(ports or (_HTTPS,)))]}


def network_policy(
    stack: Stack, name: str, selected: Document, ingress: Iterable[Document], egress: Iterable[Document] = ()
) -> Document:  # fmt: skip
    """A NetworkPolicy.

    Args:
        stack: in whose namespace it is.
        name: of the object.
        selected: pods that it holds for.
        ingress: rules on who reaches these.
        egress: rules on what these reach; none: it says nothing on that.
    """
    to = [*egress]
    spec = {
        **selected,
        "policyTypes": ["Ingress", *(["Egress"] if to else [])],
        "ingress": [*ingress],
        **({"egress": to} if to else {}),
    }
    metadata = {"name": name, "namespace": stack.name, "labels": part_of(stack)}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
