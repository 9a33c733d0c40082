"""Whether generated code can start what is planned; the plan and the generator both ask here.

Facts are ``machine_support.csv`` and ``deployment_limits.csv``. Of providers that no code is generated for, only the
memory that loading takes is judged: a workload names them, and their machines are started by hand.
"""

import math
from collections.abc import Sequence

from advisor.catalog import Catalog
from advisor.catalog.deployment import GENERATED, PROVIDER_OF_TARGET, ContainerSize
from advisor.catalog.one_pass_engines import version_of
from advisor.catalog.planning import start_seconds
from advisor.catalog.processors import CPU
from advisor.catalog.values import InstanceType
from advisor.records import dataclass
from advisor.units import HOURS_PER_DAY

CHECKPOINT_MARGIN = 1.2
"""Disk or memory for a checkpoint ÷ its size."""
NOT_GENERATED = "not_generated"
TARGETS = "targets"
"""Unit of a shortfall that holds for a whole machine: no target generates it."""
PURCHASE = "purchase"
"""Unit of a shortfall that holds for a way of paying, however the machine serves."""
MANAGED = "managed"
SERVERLESS = "serverless"
SAGEMAKER = "sagemaker"
"""The target of what is paid as managed."""
TARGET = "target"
"""Code of what none of the targets runs that a workload states."""
SERVICES = {"aws": {MANAGED: SAGEMAKER}, "gcp": {SERVERLESS: "cloud-run"}, "azure": {SERVERLESS: "container-apps"}}
"""Targets that are services, by provider and the way of paying that they are for."""
NODES_ON = ("eks", "eks-karpenter", "gke", "aks", "kubernetes")
"""Targets on whose clusters machines are nodes."""
CLUSTERS = {"gcp": "gke", "azure": "aks"}
"""Targets on clusters of providers whose load balancers reach hosts over HTTPS alone; AWS's reach plain HTTP too."""
SHARED_ON = {"aws": "eks", "gcp": "gke", "azure": "aks"}
"""Targets whose nodes run the pods of several workloads, by provider."""
TURNS_ON = ("eks", "gke", "aks")
"""Those of them whose nodes hand out an accelerator to several pods in turns."""
MPS_ON = ("eks", "aks")
"""Those of them whose nodes hand out equal parts of an accelerator by MPS, with NVIDIA's device plugin."""
MPS = "mps"
"""Subject of the limits of MPS in deployment_limits.csv, and limit of a target that has none of it."""
POD_CORES = 1
"""Processors that a pod asks for with each accelerator, or part of one."""
POD_MEMORY_GIB = 4
"""Memory that it asks for likewise: a quarter of what the smallest accelerated machines have."""
PODS_SHARE = 0.75
"""Share of a node's processors and memory that pods may ask for; the rest is for the system and its daemons."""
SLICES = "mig-"
"""Start of the names of slices in plans: mig-1g.10gb."""
_TPU_HOSTS, _INSTANCE_GROUPS = "tpu-vm", "mig"
_PLAIN_HTTP = "aws"
"""Provider whose load balancers reach hosts over plain HTTP."""
_ARM = "arm64"
_NONE = ("none",)
_CONTAINER_ENGINE_GIB = 6
"""Memory of the engine in a container whose files lie in memory too: an estimate."""
_VCPUS_OF_SYSTEM = 2
"""Of a node, for the system and what runs on every node."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Unmet need: what was needed, what there is, and the reason in words."""

    code: str
    unit: str
    needed: float | str | None
    available: float | str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Setup:
    """One machine as it is planned to serve."""

    provider: str
    instance_type: str
    accelerator: str
    """The whole one, whatever a rank has of it."""
    partition: str
    """Slices that its accelerators are cut into; "" for none."""
    replicas_per_instance: int
    precision: str
    engine: str
    """As engine_support.csv names it; "" for an image of the user's own."""
    checkpoint_gib: float
    """On disk: what is downloaded, and the GGUF that is made of it."""
    loading_gib: float | None = None
    """Most that one rank holds while weights are loaded; None: not known."""
    rank_gib: float | None = None
    """Memory of one rank: an accelerator, a core of it, or the share or slice that it has; None: not known."""
    adapters_host_gib: float = 0.0
    """LoRA adapters in host memory; 0 for none."""
    converted_gib: float = 0.0
    """Published weights that the server makes a GGUF of at its first start; 0: it makes none."""


def files_gib(checkpoint_gib: float) -> int:
    """Room for a checkpoint on a disk or in memory: ``⌈size × margin⌉``."""
    return math.ceil(checkpoint_gib * CHECKPOINT_MARGIN)


def container_size(sizes: Sequence[ContainerSize], held_gib: int) -> ContainerSize | None:
    """The smallest container that holds the engine and so many GiB of files in memory; None where none does.

    Plans count its price, and code orders it, where weights come from the hub.
    """
    return next((size for size in sizes if size.memory_gib >= held_gib + _CONTAINER_ENGINE_GIB), None)


def without_code(provider: str, catalog: Catalog) -> str:
    """Sentence that no code is generated for a provider; "" where it is."""
    return "" if provider in catalog.deployment.providers else f"no code is generated for {provider}"


def machine_shortfall(machine: InstanceType, catalog: Catalog) -> Shortfall | None:
    """Why nothing can be deployed on a machine, whatever serves on it: it is a preview, or has no known shape."""
    if machine.provider not in catalog.deployment.providers:
        return None
    support = catalog.deployment.support(machine.provider, machine.name)
    if support is not None and support.status not in (GENERATED, NOT_GENERATED):
        return Shortfall(support.status, "release", "generally available", support.status, support.reason)
    if machine.vcpus is None and machine.memory_gib is None:
        reason = "neither its vCPUs nor its memory are known: there is a price, and no machine to order"
        return Shortfall("no_machine", "vCPUs", "a known number", None, reason)
    return None


def shortfall(setup: Setup, catalog: Catalog) -> Shortfall | None:
    """Why a machine cannot be deployed so, whatever is paid for it; None where it can.

    Weights have to fit while they are loaded on machines of every provider.
    """
    unloadable = _rank_memory(setup)
    if unloadable is not None or setup.provider not in catalog.deployment.providers:
        return unloadable
    checks = (_ungenerated, _partitioned, _too_many_replicas, _other_precision, _without_image, _host_memory, _in_time)
    return next((failed for check in checks if (failed := check(setup, catalog)) is not None), None)


def seat_shortfall(setup: Setup, catalog: Catalog, *, by_mps: bool) -> Shortfall | None:
    """Why no generated code seats a workload so beside others on a machine; None where it does, or is not asked to.

    The workload has a slice to itself where accelerators are cut, else it takes turns on a whole one.

    *by_mps* it has an equal part of an accelerator by MPS in place of turns.
    """
    lacking = _mps_shortfall(setup, catalog) if by_mps else None
    if lacking is not None:
        return lacking
    if setup.provider not in catalog.deployment.providers:
        return None
    target = SHARED_ON.get(setup.provider, "")
    cut = catalog.deployment.slices(setup.provider, setup.instance_type).get(target, ())
    is_shared = setup.partition.removeprefix(SLICES) in cut if setup.partition else target in TURNS_ON
    if is_shared:
        return shortfall(setup, catalog)
    how = f"on {setup.partition} slices of" if setup.partition else "in turns on"
    reason = f"no code is generated for several workloads {how} its accelerators"
    return Shortfall(NOT_GENERATED, TARGETS, 1, 0, reason)


def _mps_shortfall(setup: Setup, catalog: Catalog) -> Shortfall | None:
    """Why MPS limits no memory of an accelerator, or no code has its nodes hand out parts by it."""
    facts, least = catalog.deployment, catalog.deployment.number(MPS, "compute_capability")
    capability = catalog.accelerator(setup.accelerator).compute_capability
    if least is not None and (capability is None or capability < least):
        has = "no known compute capability" if capability is None else f"compute capability {capability:g}"
        reason = f"MPS keeps its clients to limits from compute capability {least:g}, {setup.accelerator} has {has}"
        return Shortfall(NOT_GENERATED, "compute capability", least, capability, reason)
    target = SHARED_ON.get(setup.provider, "")
    if setup.provider not in facts.providers or target in MPS_ON:
        return None
    refusal = facts.limits.get((target, MPS))
    why = f": {refusal.notes}" if refusal is not None else ""
    reason = f"no code is generated for equal parts of its accelerators by MPS{f' on {target}' if target else ''}{why}"
    return Shortfall(NOT_GENERATED, TARGETS, 1, 0, reason)


def purchase_shortfall(setup: Setup, purchase: str, region: str, catalog: Catalog) -> Shortfall | None:
    """Why a machine that can be deployed so cannot be paid for in this way in a region; None where it can."""
    facts = catalog.deployment
    refusal = facts.refusal(setup.provider, setup.instance_type, purchase)
    if refusal is not None:
        return Shortfall(NOT_GENERATED, PURCHASE, purchase, _allowed(setup, catalog), refusal.reason)
    return _managed(setup, region, catalog) if purchase == MANAGED else None


def deployable(setup: Setup, purchase: str, region: str, catalog: Catalog) -> Shortfall | None:
    """Why generated code cannot start a machine so in a region, paid for in this way; None where it can."""
    machine = catalog.instance_types.get((setup.provider, setup.instance_type))
    unfit = None if machine is None else machine_shortfall(machine, catalog)
    return unfit or shortfall(setup, catalog) or purchase_shortfall(setup, purchase, region, catalog)


def several_models_server(engine: str, vendor: str, catalog: Catalog) -> str:
    """Image whose one server holds the models of several workloads, for an engine on a vendor's accelerators.

    Engines of one image are backends of one server. "": the engine serves one model, or no image of it is generated.
    """
    if not catalog.deployment.words(engine, "models_per_server"):
        return ""
    servers = (server for server in catalog.one_pass_engines if (server.engine, server.vendor) == (engine, vendor))
    return next((f"{server.image}:{server.release}" for server in servers if server.release), "")


def speaks_https(engine: str, release: str, catalog: Catalog) -> bool:
    """Whether a release of an engine, "" for the newest, encrypts connections by itself."""
    releases = catalog.deployment.words(engine, "https")
    if not releases or releases == _NONE:
        return not releases
    first, own = version_of(releases[0]), version_of(release)
    return first is None or own is None or own >= first


def logs_requests(engine: str, catalog: Catalog) -> bool:
    """Whether an engine writes a line for each request, as code starts it."""
    return catalog.deployment.words(engine, "request_log") != _NONE


def target_shortfall(
    setup: Setup, targets: Sequence[str], catalog: Catalog, *, https: bool, purchase: str = ""
) -> Shortfall | None:
    """Why none of the stated targets runs a machine so; None where one does, or none is stated.

    *https*: whether its engine speaks it. *purchase*: way of paying; "": any.
    """
    if not targets:
        return None
    able = _targets_of(setup, catalog, https=https)
    if purchase:
        able = [name for name in able if name == SERVICES.get(setup.provider, {}).get(purchase, name)]
        able = able if service_of(purchase) else [name for name in able if name not in _EVERY_SERVICE]
    if set(able) & set(targets):
        return None
    stated, others = " or ".join(targets), " or ".join(able)
    would = f"{others} would" if others else "no target does"
    reason = f"targets allows {stated}, and none of them runs it{f' paid as {purchase}' if purchase else ''}: {would}"
    return Shortfall(TARGET, TARGET, stated, others or None, reason)


_EVERY_SERVICE = frozenset(name for services in SERVICES.values() for name in services.values())


def _targets_of(setup: Setup, catalog: Catalog, *, https: bool) -> list[str]:
    """Targets that run a machine so, whatever is paid for it."""
    provider = setup.provider
    has_own = provider in SHARED_ON
    named = [name for name, own in PROVIDER_OF_TARGET.items() if own == provider or (not own and not has_own)]
    return [name for name in named if _runs_on(name, setup, catalog, https=https)]


def _runs_on(name: str, setup: Setup, catalog: Catalog, *, https: bool) -> bool:
    usual = catalog.deployment.target(setup.provider, setup.instance_type)
    if name in NODES_ON:
        is_several = setup.replicas_per_instance > 1 and usual == _TPU_HOSTS
        cut = catalog.deployment.slices(setup.provider, setup.instance_type).get(name, ())
        return setup.partition.removeprefix(SLICES) in cut if setup.partition else not is_several
    if name in _EVERY_SERVICE or setup.partition:
        return name in (SAGEMAKER, usual) and not setup.partition
    if setup.provider in CLUSTERS:
        return https and (usual == name or (usual, name) == (_TPU_HOSTS, _INSTANCE_GROUPS))
    return https or setup.provider == _PLAIN_HTTP


def is_on_nodes(provider: str, targets: Sequence[str]) -> bool:
    """Whether the stated targets of a provider are clusters and services alone; False where none is stated."""
    own = [name for name in targets if PROVIDER_OF_TARGET[name] == provider and name not in _EVERY_SERVICE]
    return bool(own) and all(name in NODES_ON for name in own)


def needs_cluster(
    provider: str, instance_type: str, catalog: Catalog, *, https: bool, partition: str = "", changes: int = 0
) -> bool:
    """Whether code runs a machine as a node of a cluster unless a target is asked for, since no host serves there so.

    *https* is whether its engine speaks it; slices are cut on nodes of clusters alone. *changes*: entries of a schedule
    by the clock, of which the setting of a scale set holds few; see :func:`changes_a_week`.
    """
    cluster, target = CLUSTERS.get(provider, ""), catalog.deployment.target(provider, instance_type)
    on_cluster = bool(cluster) and (not https or target == cluster or changes > most_changes(target, catalog))
    return bool(partition) or on_cluster


def most_changes(target: str, catalog: Catalog) -> float:
    """Entries of a schedule by the clock that a target takes."""
    most = catalog.deployment.number(target, "changes_a_week")
    return math.inf if most is None else most


def changes_a_week(classes: Sequence[int]) -> int:
    """Entries of a schedule that follows the class of each hour of the week, from Monday 00:00 UTC.

    Hours of a day from which on a class holds; the same hour of several days is one entry.
    """
    return len({(hour % HOURS_PER_DAY, own) for hour, own in enumerate(classes) if own != classes[hour - 1]})


def stop_seconds(provider: str, instance_type: str, purchase: str, catalog: Catalog, *, on_nodes: bool) -> float:
    """Seconds that a machine is billed after its last hour, as code takes it away by the clock.

    A service without machines keeps idle containers as its price says, and of providers without code nobody knows: 0.
    *on_nodes*: code runs it as a node of a cluster; see :func:`needs_cluster`.
    """
    if purchase == SERVERLESS:
        return 0.0
    hosts = SHARED_ON.get(provider, "") if on_nodes else catalog.deployment.target(provider, instance_type)
    fact = catalog.scale_ins.get(SAGEMAKER if purchase == MANAGED else hosts)
    return 0.0 if fact is None else fact.value


def service_of(purchase: str) -> str:
    """Service that runs machines paid for so, as the purchase names it; "" for plain machines."""
    return purchase if purchase in (MANAGED, SERVERLESS) else ""


def _allowed(setup: Setup, catalog: Catalog) -> str:
    refused = catalog.deployment.purchases(setup.provider, setup.instance_type)
    return " or ".join(purchase for purchase in ("on_demand", "spot") if purchase not in refused)


def _rank_memory(setup: Setup) -> Shortfall | None:
    """A rank holds what the engine keeps there while it quantises weights."""
    needed, available = setup.loading_gib, setup.rank_gib
    if needed is None or available is None or needed <= available:
        return None
    reason = (
        f"making {setup.precision} of 16-bit weights while loading takes {needed:.2f} GiB of each accelerator, "
        f"which has {available:.2f} GiB; a checkpoint stored in {setup.precision} would fit, and none is known"
    )
    return Shortfall("loading_memory", "GiB", needed, available, reason)


def _ungenerated(setup: Setup, catalog: Catalog) -> Shortfall | None:
    support = catalog.deployment.support(setup.provider, setup.instance_type)
    if support is None:
        return Shortfall(NOT_GENERATED, TARGETS, 1, 0, "no machine image is known for this family")
    if support.status == GENERATED:
        return None
    return Shortfall(support.status, TARGETS, 1, 0, support.reason)


def _partitioned(setup: Setup, catalog: Catalog) -> Shortfall | None:
    if not setup.partition:
        return None
    profiles = catalog.deployment.slices(setup.provider, setup.instance_type)
    if any(setup.partition.removeprefix(SLICES) in cut for cut in profiles.values()):
        return _too_many_pods(setup, catalog)
    reason = f"no code is generated that cuts its accelerators into {setup.partition} slices"
    others = "; ".join(f"{target} cuts them into {', '.join(cut)}" for target, cut in profiles.items())
    return Shortfall(NOT_GENERATED, TARGETS, 1, 0, f"{reason}; {others or 'whole ones can be deployed'}")


def _too_many_pods(setup: Setup, catalog: Catalog) -> Shortfall | None:
    """Slices have a pod each, which asks for a virtual processor of its node."""
    machine = catalog.instance_types.get((setup.provider, setup.instance_type))
    needed = setup.replicas_per_instance * POD_CORES + _VCPUS_OF_SYSTEM
    if machine is None or machine.vcpus is None or needed <= machine.vcpus:
        return None
    reason = (
        f"pods on {setup.replicas_per_instance} slices ask for a vCPU each and the system for {_VCPUS_OF_SYSTEM}, the "
        f"machine has {machine.vcpus:g}"
    )
    return Shortfall(NOT_GENERATED, "vCPUs", needed, machine.vcpus, reason)


def _too_many_replicas(setup: Setup, catalog: Catalog) -> Shortfall | None:
    if setup.partition:
        return None  # each slice has a container of its own
    replicas = setup.replicas_per_instance
    for subject in (setup.engine, catalog.deployment.target(setup.provider, setup.instance_type)):
        most = catalog.deployment.limits.get((subject, "replicas_per_machine"))
        if most is not None and replicas > float(most.value):
            reason = f"{replicas} {most.notes}"
            return Shortfall(NOT_GENERATED, "replicas", replicas, float(most.value), reason)
    return None


def _other_precision(setup: Setup, catalog: Catalog) -> Shortfall | None:
    precisions = catalog.deployment.words(setup.engine, "precisions")
    if not precisions or setup.precision in precisions:
        return None
    reason = f"{setup.precision} on {setup.engine} needs a checkpoint that is converted by hand"
    return Shortfall(NOT_GENERATED, "precision", setup.precision, " or ".join(precisions), reason)


def _without_image(setup: Setup, catalog: Catalog) -> Shortfall | None:
    """Published images for arm64 are built for newer GPUs and processors than those for x86_64."""
    machine = catalog.instance_types.get((setup.provider, setup.instance_type))
    if machine is None or machine.cpu_architecture != _ARM:
        return None
    accelerator = catalog.accelerator(setup.accelerator)
    needed = catalog.deployment.words(setup.engine, "arm64_arithmetic")
    if needed and accelerator.vendor == CPU and accelerator.fp16_tflops is None:
        reason = f"the arm64 image of {setup.engine} holds {needed[0]} instructions, which {setup.accelerator} has not"
        return Shortfall("no_image", "arithmetic", needed[0], "fp32", reason)
    least = catalog.deployment.number(setup.engine, "arm64_compute_capability")
    capability = accelerator.compute_capability
    if least is None or capability is None or capability >= least:
        return None
    reason = (
        f"the arm64 images of {setup.engine} are built for compute capability {least:g} and newer, "
        f"{setup.accelerator} has {capability:g}"
    )
    return Shortfall("no_image", "compute capability", least, capability, reason)


def _host_memory(setup: Setup, catalog: Catalog) -> Shortfall | None:
    """The host holds the engine, what loading and compiling take of the checkpoint, and files that lie in memory."""
    facts = catalog.deployment
    sizes = facts.container_sizes(setup.provider, setup.instance_type)
    if sizes:
        return _container_memory(files_gib(setup.checkpoint_gib), sizes)
    machine = catalog.instance_types.get((setup.provider, setup.instance_type))
    base = facts.number(setup.engine, "host_gib")
    if machine is None or machine.memory_gib is None or base is None:
        return None
    ratio = facts.number(setup.engine, "host_checkpoint_ratio") or 0.0
    engines = setup.replicas_per_instance if setup.partition else 1
    needed = engines * (base + ratio * setup.checkpoint_gib) + setup.adapters_host_gib
    if needed <= machine.memory_gib:
        return None
    if not ratio:
        reason = (
            f"the engine takes {base:g} GiB of host memory and adapters {setup.adapters_host_gib:.1f} GiB, the machine "
            f"has {machine.memory_gib:g} GiB"
        )
        return Shortfall("host_memory", "GiB", needed, machine.memory_gib, reason)
    reason = (
        f"loading and compiling take {needed:.1f} GiB of host memory ({base:g} GiB and {ratio:g} × the checkpoint of "
        f"{setup.checkpoint_gib:.1f} GiB{f', of {engines} engines' if engines > 1 else ''}), the machine has "
        f"{machine.memory_gib:g} GiB"
    )
    return Shortfall("host_memory", "GiB", needed, machine.memory_gib, reason)


def _container_memory(held_gib: int, sizes: Sequence[ContainerSize]) -> Shortfall | None:
    if container_size(sizes, held_gib) is not None:
        return None
    needed, most = held_gib + _CONTAINER_ENGINE_GIB, sizes[-1].memory_gib
    reason = f"weights lie in memory beside the engine, {needed} GiB, and a container has {most} GiB"
    return Shortfall("host_memory", "GiB", needed, most, reason)


def _in_time(setup: Setup, catalog: Catalog) -> Shortfall | None:
    facts = catalog.deployment
    slicing = next(iter(facts.slices(setup.provider, setup.instance_type)), "") if setup.partition else ""
    return _start_within(setup, slicing or facts.target(setup.provider, setup.instance_type), catalog)


def _start_within(setup: Setup, target: str, catalog: Catalog) -> Shortfall | None:
    longest = catalog.deployment.number(target, "longest_start_seconds")
    _, _, converts_s = catalog.cold_start.conversion_s(setup.precision, setup.converted_gib)
    needed = start_seconds(setup.checkpoint_gib, converts_s=converts_s)
    if longest is None or needed <= longest:
        return None
    reason = f"{needed:.0f} s until the model answers, and {target} waits {longest:.0f} s"
    return Shortfall(NOT_GENERATED, "s", needed, longest, reason)


def _managed(setup: Setup, region: str, catalog: Catalog) -> Shortfall | None:
    """Why SageMaker cannot run it as an endpoint."""
    if setup.adapters_host_gib:
        reason = "no code is generated that gives LoRA adapters to an endpoint of SageMaker"
        return Shortfall(NOT_GENERATED, PURCHASE, MANAGED, _allowed(setup, catalog), reason)
    if setup.partition:
        reason = f"SageMaker cuts no accelerators into {setup.partition} slices"
        return Shortfall(NOT_GENERATED, PURCHASE, MANAGED, _allowed(setup, catalog), reason)
    if region in catalog.deployment.words(SAGEMAKER, "regions_without_images"):
        reason = f"no registry of SageMaker's images is known in {region}"
        return Shortfall("no_image", "registries", 1, 0, reason)
    served = catalog.deployment.words(setup.engine, "managed_accelerators")
    if served and setup.accelerator not in served:
        accelerators = "no accelerator" if served == _NONE else ", ".join(served)
        reason = f"the image of {setup.engine} for SageMaker serves on {accelerators}"
        return Shortfall("no_image", "accelerator", setup.accelerator, accelerators, reason)
    return _start_within(setup, SAGEMAKER, catalog)
