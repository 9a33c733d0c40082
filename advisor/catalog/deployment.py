"""Reach of generated code: machines by pattern, and limits of engines and targets."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from advisor.catalog.readers import Sources
from advisor.catalog.values import Provenance
from advisor.records import dataclass, field
from advisor.tables import OptionalText

GENERATED = "generated"
"""Status of a machine that code is generated for; any other is the code of a rejection."""

PROVIDER_OF_TARGET = {
    "ec2": "aws", "eks": "aws", "eks-karpenter": "aws", "sagemaker": "aws", "mig": "gcp", "tpu-vm": "gcp",
    "gke": "gcp", "cloud-run": "gcp", "vm-scale-set": "azure", "aks": "azure", "container-apps": "azure",
    "ibm-vpc": "ibm", "kubernetes": "",
}  # fmt: skip
"""Cloud of each target; "": clusters of the others, whose nodes are the user's to make."""


@dataclass(frozen=True, slots=True)
class MachineSupport:
    """Whether code is generated for the instance types of a provider that match a pattern."""

    provider: str
    pattern: re.Pattern[str]
    purchases: tuple[str, ...]
    """Ways of paying that a refusal holds for; empty: all of them."""
    status: str
    """``generated``, or the code of the rejection."""
    target: OptionalText
    """What runs the containers unless another target is asked for; "" for a refusal."""
    family: OptionalText
    """Key of machine images and quotas in the generator; of a service, what its limits stand under."""
    reason: OptionalText
    """Why no code is generated; "" where it is."""
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class NodePool:
    """How a managed Kubernetes gets nodes of the instance types that match a pattern."""

    provider: str
    pattern: re.Pattern[str]
    service: str
    """The managed Kubernetes, as its provider calls it."""
    machine: str
    """The type as the service calls it; ``\\1`` is a group of the pattern."""
    label: OptionalText
    """Label that the service itself gives to nodes of the type, as ``key=value``; "": none."""
    command: str
    """Command that makes the pool; what is filled in stands after ``$``."""
    remark: OptionalText
    """What a reader of the command must know, filled in likewise; "": nothing."""
    spot: OptionalText
    """Added to the command for nodes that the provider may take back; "": it sells none."""
    autoscaling: OptionalText
    """How the pool follows its pods; "": by the command."""
    devices: str
    """Software that offers the accelerators to pods."""
    provenance: Provenance

    def expanded(self, text: str, instance_type: str) -> str:
        """One of the texts, with the parts of an instance type that it names."""
        match = self.pattern.fullmatch(instance_type)
        return text if match is None else match.expand(text)


@dataclass(frozen=True, slots=True)
class SlicedNodes:
    """Slices that the nodes of a target cut the GPUs of the instance types into that match a pattern."""

    target: str
    provider: str
    pattern: re.Pattern[str]
    profiles: tuple[str, ...]
    """As NVIDIA names them: 1g.10gb."""
    provenance: Provenance


class ContainerSize(NamedTuple):
    """Size of a container beside its accelerator."""

    vcpus: int
    memory_gib: int


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of an engine, a target or a family."""

    value: str
    """A number, a word, or a list separated by semicolons."""
    notes: OptionalText
    """What it comes from, in words."""


@dataclass(frozen=True, eq=False)
class DeploymentFacts:
    """Machines that code is generated for, and limits of engines and targets."""

    rows: Sequence[MachineSupport]
    limits: Mapping[tuple[str, str], Limit]
    """By (engine, target or family; name of the limit)."""
    node_pools: Sequence[NodePool] = ()
    """Node pools of providers whose clusters code is written for, and not their nodes."""
    sliced_nodes: Sequence[SlicedNodes] = ()
    _matching: dict[tuple[str, str], tuple[MachineSupport, ...]] = field(default_factory=dict)
    _support: dict[tuple[str, str], MachineSupport | None] = field(default_factory=dict)
    _slices: dict[tuple[str, str], Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """Providers that code is generated for."""
        return tuple(dict.fromkeys(row.provider for row in self.rows))

    def support(self, provider: str, instance_type: str) -> MachineSupport | None:
        """The row that holds for an instance type whatever is paid for it; None where no row speaks of it."""
        key = (provider, instance_type)
        if key not in self._support:
            rows = [row for row in self._of(*key) if not row.purchases]
            self._support[key] = next((row for row in rows if row.status != GENERATED), rows[0] if rows else None)
        return self._support[key]

    def target(self, provider: str, instance_type: str) -> str:
        """Target that runs an instance type unless another is asked for; "" where that is not known."""
        support = self.support(provider, instance_type)
        return "" if support is None else support.target

    def family(self, provider: str, instance_type: str) -> str:
        """The key under which its images and quotas stand; "" where that is not known."""
        support = self.support(provider, instance_type)
        return "" if support is None else support.family

    def refusal(self, provider: str, instance_type: str, purchase: str) -> MachineSupport | None:
        """The row that refuses a way of paying for an instance type; None where none does."""
        for row in self._of(provider, instance_type):
            if purchase in row.purchases:
                return row
        return None

    def node_pool(self, provider: str, instance_type: str) -> NodePool | None:
        """How a managed Kubernetes gets nodes of an instance type; None where that is not known."""
        pools = (pool for pool in self.node_pools if pool.provider == provider)
        return next((pool for pool in pools if pool.pattern.fullmatch(instance_type)), None)

    def slices(self, provider: str, instance_type: str) -> Mapping[str, tuple[str, ...]]:
        """Target → profiles that generated code cuts the GPUs of an instance type into there."""
        key = (provider, instance_type)
        if key not in self._slices:
            rows = (nodes for nodes in self.sliced_nodes if nodes.provider == provider)
            self._slices[key] = {row.target: row.profiles for row in rows if row.pattern.fullmatch(instance_type)}
        return self._slices[key]

    def purchases(self, provider: str, instance_type: str) -> tuple[str, ...]:
        """Ways of paying that are refused for an instance type, sorted."""
        rows = self._of(provider, instance_type)
        return tuple(sorted({purchase for row in rows for purchase in row.purchases}))

    def number(self, subject: str, limit: str) -> float | None:
        """A limit that is a number; None where there is none."""
        stated = self.limits.get((subject, limit))
        return None if stated is None else float(stated.value)

    def words(self, subject: str, limit: str) -> tuple[str, ...]:
        """A limit that is a list of words; empty where there is none."""
        stated = self.limits.get((subject, limit))
        return () if stated is None else tuple(stated.value.split(";"))

    def container_sizes(self, provider: str, instance_type: str) -> tuple[ContainerSize, ...]:
        """Sizes that a container of a service may have, the smallest first; empty where files of it lie on a disk."""
        sizes = self.words(self.family(provider, instance_type), "container_sizes")
        return tuple(ContainerSize(*map(int, size.split("x"))) for size in sizes)

    def is_contiguous(self, engine: str) -> bool:
        """Whether the engine reserves one range of the longest length for each sequence: it has no paging."""
        return self.words(engine, "kv_layout") == ("contiguous",)

    def _of(self, provider: str, instance_type: str) -> tuple[MachineSupport, ...]:
        key = (provider, instance_type)
        if key not in self._matching:
            rows = (row for row in self.rows if row.provider == provider and row.pattern.fullmatch(instance_type))
            self._matching[key] = tuple(rows)
        return self._matching[key]


def read_deployment_facts(sources: Sources) -> DeploymentFacts:
    """Reach of generated code, by the tables of a catalog."""
    rows = tuple(
        sources.value(MachineSupport, row, pattern=re.compile(row.text("pattern"), re.ASCII))
        for row in sources.rows("machine_support")
    )
    limits = sources.by("subject limit", "deployment_limits", lambda row, _: row.value(Limit))
    pools = tuple(
        sources.value(NodePool, row, pattern=re.compile(row.text("pattern"), re.ASCII))
        for row in sources.rows("node_pools")
    )
    sliced = tuple(
        sources.value(
            SlicedNodes,
            row,
            pattern=re.compile(row.text("pattern"), re.ASCII),
            profiles=tuple(row.text("profiles").split(";")),
        )
        for row in sources.rows("sliced_nodes")
    )
    return DeploymentFacts(rows, limits, pools, sliced)
