"""The ways of running containers that code is written for: one module each."""

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

from advisor.catalog import load_catalog
from advisor.codegen.container import Engine, Form
from advisor.codegen.gpu_sharing import SharingKind
from advisor.codegen.model import Stack
from advisor.codegen.targets.aws_ec2 import EC2
from advisor.codegen.targets.aws_eks import EKS
from advisor.codegen.targets.aws_sagemaker import SAGEMAKER
from advisor.codegen.targets.azure_aks import AKS
from advisor.codegen.targets.azure_vm_scale_set import VM_SCALE_SET
from advisor.codegen.targets.gcp_gke import GKE
from advisor.codegen.targets.gcp_mig import MIG, TPU_VM
from advisor.codegen.targets.managed_kubernetes import KUBERNETES
from advisor.codegen.targets.target import Files, Target
from advisor.deployable import MPS, needs_cluster
from advisor.errors import InputError
from advisor.records import replace

__all__ = ["TARGETS", "Files", "Target", "cluster_of", "comes_by_itself", "obstacle_on", "target_of", "targets_of"]

TARGETS: tuple[Target, ...] = tuple(
    {
        value.name: value
        for module in iter_modules(__path__)
        for value in vars(import_module(f"{__name__}.{module.name}")).values()
        if isinstance(value, Target)
    }.values()
)
"""The targets that the modules here define."""


def target_of(stack: Stack) -> Target:
    """The target that the stack names, or else the default one of its cloud.

    Raises:
        InputError: there is no such target, or the stack cannot run there; the message says why.
    """
    name = stack.target or _default(stack)
    of_provider = {target.name: target for target in targets_of(stack.provider)}
    target = of_provider.get(name)
    if target is None:
        raise InputError(
            f"no code is generated for the target {name!r} on {stack.provider}",
            hint=f"its targets: {', '.join(of_provider) or 'none yet'}",
        )
    obstacle = _against(stack, target)
    if obstacle:
        others = [other.name for other in of_provider.values() if other is not target and not _against(stack, other)]
        raise InputError(f"{target.title}: {obstacle}", hint=_way_out(stack, target, others))
    return target


def targets_of(provider: str) -> tuple[Target, ...]:
    """Targets that a provider's machines run on: its own, and clusters of the user's where code makes none there."""
    own = tuple(target for target in TARGETS if target.provider == provider)
    return own if provider in _HOSTS_AND_CLUSTER else (*own, KUBERNETES)


def obstacle_on(stack: Stack, name: str) -> str:
    """Why a stack cannot run on a target of its provider, by name; empty when it can."""
    target = next((target for target in targets_of(stack.provider) if target.name == name), None)
    return f"no code is generated for {name} on {stack.provider}" if target is None else _against(stack, target)


def cluster_of(provider: str) -> str:
    """Name of the target that starts nodes of a provider's clusters, whose control planes have a fee; "": none does."""
    return _HOSTS_AND_CLUSTER[provider][1].name if provider in _HOSTS_AND_CLUSTER else ""


def _way_out(stack: Stack, target: Target, others: Sequence[str]) -> str:
    """Where the stack can run, with what changed of it."""
    if others:
        return f"try --target {' or '.join(others)}"
    plain = replace(stack, form=Form.MANIFESTS)
    takes_manifests = stack.form is not Form.MANIFESTS and not _against(plain, target)
    return "take --form manifests" if takes_manifests else "choose --option RANK"


def _against(stack: Stack, target: Target) -> str:
    """Why a stack cannot run on a target; empty when it can."""
    return _against_paying(stack, target) or _against_sharing(stack, target) or target.obstacle(stack)


def _against_sharing(stack: Stack, target: Target) -> str:
    """Why the nodes of a target cannot hand out their GPUs as a group shares them; empty when they can."""
    facts = load_catalog().deployment
    for group in stack.groups:
        if group.sharing is None:
            continue
        can = {
            SharingKind.SLICES: group.sharing.profile
            in facts.slices(stack.provider, group.instance_type).get(target.name, ()),
            SharingKind.TURNS: target.takes_turns,
            SharingKind.MPS: target.divides_by_mps,
        }
        if not can[group.sharing.kind]:
            refusal = facts.limits.get((target.name, MPS)) if group.sharing.kind is SharingKind.MPS else None
            why = f": {refusal.notes}" if refusal is not None else ""
            return f"no code is written for it that hands out {group.sharing.words} of each {group.accelerator}{why}"
    return ""


def _against_paying(stack: Stack, target: Target) -> str:
    """Why a target cannot run what the plan pays a managed service for; empty when it can."""
    managed = [group.key for group in stack.groups if group.is_managed]
    if managed and target is not SAGEMAKER:
        return f"the plan pays SageMaker for {', '.join(managed)}"
    if managed and len(managed) < len(stack.groups):
        rest = ", ".join(group.key for group in stack.groups if not group.is_managed)
        return f"the plan pays SageMaker for {', '.join(managed)}, and EC2 for {rest}: one stack runs on one of them"
    return ""


def _default(stack: Stack) -> str:
    """Plain instances, unless the plan is for something else, or they cannot serve it and a cluster can."""
    if any(group.is_managed for group in stack.groups):
        return SAGEMAKER.name
    if any(group.is_serverless for group in stack.groups):
        return {"gcp": "cloud-run", "azure": "container-apps"}.get(stack.provider, "sagemaker")
    facts = load_catalog().deployment
    targets = {facts.target(stack.provider, group.instance_type) for group in stack.groups}
    if stack.provider not in _HOSTS_AND_CLUSTER:
        return KUBERNETES.name
    if targets == {TPU_VM.name}:
        return TPU_VM.name
    hosts, cluster = _HOSTS_AND_CLUSTER[stack.provider]
    return cluster.name if _needs_cluster(stack) else hosts.name


def comes_by_itself(name: str) -> bool:
    """Whether plans come to a target without anybody asking for it, where its machines alone can serve them."""
    hosts = {plain.name for plain, _ in _HOSTS_AND_CLUSTER.values()}
    return name in {*hosts, TPU_VM.name, KUBERNETES.name}


def _needs_cluster(stack: Stack) -> bool:
    """Whether hosts cannot serve all of a stack; of an image of the user's own, HTTPS is the user's to know."""
    https = {
        backend.key: backend.container.tls_options is not None or backend.container.engine is Engine.CUSTOM
        for backend in stack.backends
    }
    catalog = load_catalog()
    return stack.on_nodes or any(
        needs_cluster(
            stack.provider,
            group.instance_type,
            catalog,
            https=https[group.backend],
            partition="" if group.sharing is None else group.sharing.profile,
            changes=len(group.schedule),
        )
        for group in stack.groups
    )


_HOSTS_AND_CLUSTER = {"aws": (EC2, EKS), "gcp": (MIG, GKE), "azure": (VM_SCALE_SET, AKS)}
