"""Inference services that run today: found in clusters, metrics, samples and accounts, and written as workload files.

Here is what a service is; then read in this order: ``launches`` reads how its engine was started,
``kubernetes_api`` and ``cluster`` read a cluster, ``monitored`` a Prometheus-compatible server; ``find`` reads an
account and samples and joins them all, ``proposal`` says what is missing and has the planner judge today's machines
under the proposed targets, ``workload_text`` writes. ``bill_changes`` edits Terraform as an audited bill asks.

Labels: https://kubernetes.io/docs/reference/labels-annotations-taints/ (instance type, region), EKS and Karpenter
(capacity type), GKE (spot, preemptible, accelerator), AKS (scale set priority), NVIDIA GPU feature discovery (product).
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from advisor.discovery.kubernetes_api import Item, mapping
from advisor.records import dataclass, field, first_of
from advisor.units import HOURS_PER_DAY

RISES = 1.5
"""Latency under load over the usual one from which it rises with load."""
Series = frozenset[tuple[str, str]]
"""Labels with their values."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a serving engine was started."""

    engine: str
    """Such as vLLM; "" where the program is not recognised."""
    model: str = ""
    """As its command line names it: a repository or a path."""
    served_name: str = ""
    """Name under which it answers; "": the model's own."""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    context_tokens: int | None = None
    """Longest request that it takes."""
    precision: str = ""
    """Of the weights, in the words of a workload file; "" where no flag says it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One host."""

    name: str
    provider: str = ""
    region: str = ""
    instance_type: str = ""
    purchase: str = ""
    """``on_demand``, ``spot`` or ``managed``; "" where nothing says it."""
    product: str = ""
    """Accelerator, as the node names it."""
    instance_id: str = ""

    @property
    def kind(self) -> tuple[str, str, str, str]:
        """Provider, region, instance type and purchase, by which machines are counted."""
        return self.provider, self.region, self.instance_type, self.purchase

    @property
    def is_known(self) -> bool:
        """Whether ``current`` of a workload file can be made of it."""
        return bool(self.provider and self.region and self.instance_type)


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency that users get today: 95th percentiles over the window, in ms; None where no histogram counts them."""

    ttft_p95_ms: float | None = None
    tpot_p95_ms: float | None = None
    e2e_p95_ms: float | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether nothing was measured."""
        return not any(self.values)

    @property
    def values(self) -> tuple[float | None, float | None, float | None]:
        """To the first token, per token, of the whole request."""
        return self.ttft_p95_ms, self.tpot_p95_ms, self.e2e_p95_ms


@dataclass(frozen=True, slots=True)
class ByLoad:
    """The same where load differs: 95th percentiles of short stretches, at the median of some of them."""

    usual: Latency
    """Median of all stretches with enough requests."""
    busiest: Latency
    """Median of the twentieth with most requests."""
    busiest_requests_per_second: float

    def rises(self) -> bool:
        """Whether a latency is half as long again in the busiest stretches: the machines do not carry them."""
        pairs = zip(self.usual.values, self.busiest.values, strict=True)
        return any(usual and busiest and busiest > RISES * usual for usual, busiest in pairs)


@dataclass(frozen=True, slots=True)
class Observed:
    """Where the demand of a service is recorded."""

    source: str
    """Key under ``demand`` of a workload file: ``prometheus``, ``samples`` or ``cloudwatch``."""
    fields: Mapping[str, str | float | tuple[str, ...]]
    counts_tokens: bool = True
    """Whether lengths of requests are recorded too."""
    latency: Latency = Latency()
    by_load: ByLoad | None = None
    """None: not read, or too few requests to tell."""
    model: str = ""
    engine: str = ""
    series: frozenset[Series] = frozenset()
    """Series of a server that are the service's own."""


@dataclass(frozen=True, slots=True)
class Service:
    """One model served by one deployment."""

    name: str
    origin: str
    """Where it was found, in words: ``Deployment chat/llama of prod``."""
    launch: Launch
    replicas: int | None = None
    accelerators: int | None = None
    """Of one replica, over all of its hosts."""
    machines: tuple[Machine, ...] = ()
    """Hosts of its replicas, each once."""
    namespace: str = ""
    pods: str = ""
    """Pattern of the names of its pods, past ones too."""
    addresses: frozenset[str] = frozenset()
    observed: Observed | None = None
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Model as the command line names it, else as the engine's metrics do."""
        return self.launch.model or (self.observed.model if self.observed else "")


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that was found in one place or several."""

    services: tuple[Service, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be read, and what to do about it."""

    def __add__(self, other: "Inventory") -> "Inventory":
        """Both, in order."""
        return Inventory(self.services + other.services, self.notes + other.notes)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a person about a service that nothing shows."""

    model: str = ""
    requests_per_second: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    fields: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Text of further keys of the workload file, such as ``slo``."""


def window_text(days: float) -> str:
    """A window as workload files write it."""
    hours = max(round(days * HOURS_PER_DAY), 1)
    return f"{hours // HOURS_PER_DAY}d" if hours % HOURS_PER_DAY == 0 else f"{hours}h"


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
    stated = {(key.lower(), value.lower()) for key, value in labels.items()}
    purchases = {purchase for pair, purchase in _PURCHASES.items() if pair in stated}
    on_google_or_azure = "on_demand" if provider in {"gcp", "azure"} else ""
    return Machine(
        name=name,
        provider=provider,
        region=first_of(labels, _REGION),
        instance_type=first_of(labels, _TYPE),
        purchase="spot" if "spot" in purchases else next(iter(purchases), on_google_or_azure),
        product=first_of(labels, _PRODUCT),
        instance_id=instance_id,
    )
