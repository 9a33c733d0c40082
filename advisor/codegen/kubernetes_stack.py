"""Stacks as clusters run them: with replicas that cannot follow the load, and disks for the weights of each replica."""

from advisor.codegen.container import Container
from advisor.codegen.engines.metrics import METRICS, published
from advisor.codegen.kubernetes import node_volume_gib
from advisor.codegen.model import Scaling, Stack
from advisor.codegen.summary import usd
from advisor.records import replace

_OF_PODS = ("gke", "aks")
"""Targets whose nodes have one disk, for images and the weights of all pods; on EKS local disks hold them."""


def with_fixed_replicas(stack: Stack) -> Stack:
    """The stack with the replicas of the busiest hours at all hours where the engine does not tell its load.

    Utilization of a GPU is no measure of it: one request keeps a GPU as busy as a full batch.
    """
    silent = {
        backend.key: backend.container
        for backend in stack.backends
        if (metrics := published(backend.container.engine)) is None or not metrics.finished
    }
    if not silent or stack.scaling is not Scaling.REACTIVE:
        return stack
    groups = tuple(group.at_all_hours(group.instances) if group.backend in silent else group for group in stack.groups)
    beyond = sum(now.usd_per_month - planned.usd_per_month for now, planned in zip(groups, stack.groups, strict=True))
    engines = " and ".join(dict.fromkeys(_silence(container) for container in silent.values()))
    caution = (
        f"The plan scales by load, which replicas of {engines} do not tell: those of the busiest hours run at all "
        f"hours, for {usd(beyond)} a month more."
    )
    return replace(
        stack.with_cautions(caution),
        groups=groups,
        scaling=Scaling.STATIC if len(silent) == len(stack.backends) else stack.scaling,
        budget=replace(stack.budget, usd_per_month=round(stack.budget.usd_per_month + beyond, 2)),
    )


def with_node_disks(stack: Stack) -> Stack:
    """The stack with a caution on nodes whose disks are larger than those that the plan prices."""
    larger = {
        (group.instance_type, group.host_disk_gib, node_volume_gib(group))
        for group in stack.groups
        if node_volume_gib(group) > group.host_disk_gib
    }
    if stack.target not in _OF_PODS or not larger:
        return stack
    said = " and ".join(
        f"{whole} GiB on {machine}, where it prices {priced}" for machine, priced, whole in sorted(larger)
    )
    caution = f"The plan prices the disk of a host; on a node each replica has weights of its own: {said}."
    return stack.with_cautions(caution)


def with_own_entrance(stack: Stack) -> Stack:
    """The stack with a caution on what the plan prices before hosts, and no code for a cluster orders."""
    amount = stack.budget.entrances_usd
    if not amount:
        return stack
    caution = (
        f"The plan prices hosts: {usd(amount)} a month of its total are for load balancers that this code does not "
        "order. What stands before the pods is yours, and its price with it."
    )
    return stack.with_cautions(caution)


def _silence(container: Container) -> str:
    """The engine, and what would switch its metrics on."""
    metrics = METRICS.get(container.engine)
    if metrics is None:
        return container.image
    switch = metrics.switched_on_by
    return f"{container.engine} (without {switch} in its options file)" if switch else container.engine.value
