"""Existing clusters of providers whose nodes are the user's to make, and namespaces that are not a workload's to take.

Each provider is a row of node_pools.csv; the README of the code says what makes the nodes, and how many.

Sources: version 0.9.8 of Terraform's Kustomize provider (its schema, and the order of ``ids_prio``), and Pulumi's
Kubernetes provider 4 (``kustomize.v2.Directory``), read in November 2026.

Kubernetes reserves the prefix ``kube-`` and makes ``default``; the other names are recalled from what GKE, AKS, EKS and
their add-ons make.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from string import Template
from typing import Any

from advisor.catalog import load_catalog
from advisor.catalog.deployment import NodePool
from advisor.codegen import kubernetes
from advisor.codegen.container import Form, Language
from advisor.codegen.forms import kubernetes_files
from advisor.codegen.model import ComputeGroup, Scaling, Stack
from advisor.codegen.prometheus_rules import watched_words
from advisor.codegen.quoting import marked_slug
from advisor.codegen.rendering import render
from advisor.codegen.selection import LONGEST_NAME
from advisor.codegen.targets.target import CHECK_OF_PODS, Files, Target, in_each
from advisor.errors import InputError
from advisor.records import replace
from advisor.tables import read_rows

_RESERVED = tuple(row["name"] for row in read_rows(Path(__file__).with_name("reserved_namespaces.csv")))
"""Those of clouds' add-ons, and of the controllers that generated objects rely on; a star stands for any end."""


def is_reserved(name: str) -> bool:
    """Whether a namespace belongs to the cluster or to what is installed in it."""
    return any(fnmatchcase(name, pattern) for pattern in _RESERVED)


def own_namespace(name: str) -> str:
    """A name, or a longer one where the cluster has a namespace of that name."""
    if not is_reserved(name):
        return name
    longer = f"inference-{name}"
    fits = len(longer) <= LONGEST_NAME
    return longer if fits else marked_slug(longer, name, LONGEST_NAME, _HASH_DIGITS, "inference")


def with_own_namespace(stack: Stack) -> Stack:
    """The stack under a name whose namespace is its own: the network policy would cut off what runs in another."""
    name = own_namespace(stack.name)
    if name == stack.name:
        return stack
    return replace(stack, name=name).with_cautions(_RENAMED.format(name=name, reserved=stack.name))


_RENAMED = (
    "Resources and the namespace are named {name}: a namespace {reserved} belongs to the cluster, or to what is "
    "installed in it."
)
_FOLDER = "kubernetes"
_LONGEST_POOL = 15
_HASH_DIGITS = 4
_UNPRICED = "The total holds the machines: no prices are known of the cluster, of disks and of load balancers there."
_PLACEHOLDERS = {
    "CLUSTER": "the cluster, by its id or name",
    "COMPARTMENT": "the OCID of the compartment",
    "DOMAIN": "the availability domain",
    "DRIVERS": "a preset of NVIDIA drivers, which nebius mk8s node-group get-compatibility-matrix lists",
    "IMAGE": "the OCID of OKE's GPU image for the cluster's version, which "
    "oci ce node-pool-options get --node-pool-option-id all lists",
    "NODES": "the names of the nodes",
    "SUBNET": "the subnet of the nodes, by its id",
    "ZONE": "the zone",
}
"""What a word in capitals stands for in the commands of node_pools.csv."""
_FOLLOWED = (
    "The plan runs fewer nodes in quiet hours, and counts their cost so: the pools have to follow their pods between "
    "the bounds that this page names, else those of the busiest hours are paid for at all hours."
)


def _obstacle(stack: Stack) -> str:
    if stack.form is not Form.MANIFESTS:
        return f"its code applies manifests, and none of --form {stack.form.value}"
    return kubernetes.obstacle_to_kubernetes(stack)


def _completed(stack: Stack) -> Stack:
    """The stack with what its nodes cost beside the total."""
    return stack.with_cautions(*((_UNPRICED,) if stack.scaling is Scaling.STATIC else (_UNPRICED, _FOLLOWED)))


def _files(language: Language, stack: Stack) -> Files:
    return _with_objects(stack, render(language, _FOLDER, stack, _known(stack)))


def _with_objects(stack: Stack, files: Files) -> Files:
    labels = {group.key: label for group in stack.groups if (label := _own_label(stack, group))}
    cluster_facts = kubernetes.ClusterFacts(node_labels=labels, bucket=None, has_own_nodes=False)
    return dict(sorted((dict(files) | dict(kubernetes_files(stack, cluster_facts))).items()))


def _pool_of(stack: Stack, group: ComputeGroup) -> NodePool:
    pool = load_catalog().deployment.node_pool(stack.provider, group.instance_type)
    if pool is None:
        raise InputError(f"no node pool of {stack.provider} is known for {group.instance_type}")
    return pool


def _own_label(stack: Stack, group: ComputeGroup) -> Mapping[str, str]:
    """Label that the provider gives to nodes of the type; empty where it gives none."""
    pool = _pool_of(stack, group)
    key, _, value = pool.expanded(pool.label, group.instance_type).partition("=")
    return {key: value} if key else {}


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    regions = {
        region.name: {
            "weight": region.weight,
            "min_replicas": kubernetes.fewest_in(stack, region.name),
        }
        for region in stack.regions
    }
    commands = {group.key: _command(stack, group) for group in stack.groups}
    remarks = {group.key: _filled(stack, group, _pool_of(stack, group).remark) for group in stack.groups}
    return {
        "watched_by_prometheus": watched_words(stack),
        "serves_where": "on clusters of yours, one in each region",
        "regions": regions,
        "node_pools": {group.key: _node_pool(stack, group) for group in stack.groups},
        "commands": commands,
        "remarks": remarks,
        "placeholders": _placeholders((*commands.values(), *remarks.values())),
        "clusters": {
            region.name: {"kubeconfig": "~/.kube/config", "context": f"inference-{region.name}"}
            for region in stack.regions
        },
        "services": {_pool_of(stack, group).service: _pool_of(stack, group) for group in stack.groups},
        "may_be_empty": [name for name, region in regions.items() if region["min_replicas"] == 0],
    }


def _node_pool(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    """Nodes of a group as the plan has them."""
    pool = _pool_of(stack, group)
    return {
        "region": group.region,
        "name": pool_name(group),
        "provider": stack.provider,
        "instance_type": group.instance_type,
        "machine": pool.expanded(pool.machine, group.instance_type),
        "spot": group.is_spot,
        "min_nodes": group.min_instances,
        "nodes": group.instances,
        "max_nodes": group.max_instances,
        "disk_gib": kubernetes.node_volume_gib(group),
        "labels": {kubernetes.NODE_LABEL: kubernetes.node_pool_name(stack, group)},
        "taints": {kubernetes.DEVICES[group.platform.runtime].taint: "present"},
    }


def pool_name(group: ComputeGroup) -> str:
    """Name of the pool that the README gives: the accelerator, and a mark of the group."""
    return marked_slug(group.accelerator, group.key, _LONGEST_POOL, _HASH_DIGITS, "pool")


def _command(stack: Stack, group: ComputeGroup) -> str:
    """Command that makes the nodes of a group; words in capitals are the user's."""
    pool = _pool_of(stack, group)
    filled = _filled(stack, group, pool.command)
    return f"{filled} {pool.spot}".strip() if group.is_spot else filled


def _filled(stack: Stack, group: ComputeGroup, text: str) -> str:
    """A text of the group's row with its type and numbers."""
    return Template(_pool_of(stack, group).expanded(text, group.instance_type)).substitute(
        name=pool_name(group),
        nodes=group.instances,
        each=-(-group.instances // max(1, group.zones)),
        zones=max(1, group.zones),
        least=group.min_instances,
        most=group.max_instances,
        disk=kubernetes.node_volume_gib(group),
        key=kubernetes.NODE_LABEL,
        value=kubernetes.node_pool_name(stack, group),
        device=kubernetes.DEVICES[group.platform.runtime].taint,
    )


def _placeholders(texts: Iterable[str]) -> Mapping[str, str]:
    """Words that the user replaces in commands and remarks on them, with their meanings."""
    words = {word for text in texts for word in re.findall(r"\b[A-Z]+\b", text)}
    return {word: meaning for word, meaning in _PLACEHOLDERS.items() if word in words}


KUBERNETES = Target(
    name="kubernetes",
    is_cluster=True,
    provider="",
    title="Kubernetes",
    check=CHECK_OF_PODS,
    renderers=in_each(_files),
    obstacle=_obstacle,
    completed=_completed,
)
