"""Charges of Google: machines, managed groups, GKE node pools, Cloud Run with a GPU, TPUs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from advisor.catalog.values import Purchase
from advisor.codegen.pricing.resources import (
    HELD,
    NOTEBOOK,
    Resource,
    Resources,
    Rules,
    Use,
    cache_node,
    first_known,
    listed,
    text,
    whole,
)
from advisor.records import replace

_TEMPLATES = ("google_compute_instance_template", "google_compute_region_instance_template")
_AUTOSCALERS = ("google_compute_autoscaler", "google_compute_region_autoscaler")
_ATTACHED = {"nvidia-tesla-t4": "T4", "nvidia-tesla-v100": "V100", "nvidia-tesla-p100": "P100", "nvidia-tesla-p4": "P4"}
"""Accelerators that are attached to N1 machines; all others belong to the machine type."""
_RUN = {"nvidia-l4": "L4", "nvidia-rtx-pro-6000": "RTX-PRO-6000"}
_TPU = re.compile(r"(?P<kind>v5litepod|v5e|v6e|v5p)-(?P<size>\d+)")
_TPU_MACHINES = {"v5litepod": "ct5lp-hightpu-{}t", "v5e": "ct5lp-hightpu-{}t", "v6e": "ct6e-standard-{}t"}
_MIB_PER_GIB = 1024
_ACCELERATED = re.compile(r"(a\d|g\d|ct\d)")
"""How machine types begin that accelerators belong to."""
_ZONE = re.compile(r"(?P<region>[a-z]+-[a-z]+\d+)-[a-z]$")


def _instance(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    return (_use(resource, resource, 1),)


def _group(resource: Resource, everything: Resources) -> tuple[Use, ...]:
    template = everything.linked(resource, "version", *_TEMPLATES)
    number = whole(resource.values.get("target_size"))
    if number is None:
        scaler = everything.pointing_to(resource, "target", *_AUTOSCALERS)
        number = whole(scaler.first("autoscaling_policy", "min_replicas")) if scaler else None
    return (_use(resource, template, number),) if template else (_machine(resource, None, Purchase.ON_DEMAND, number),)


def _node_pool(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    nodes = resource.part("node_config")
    kind = with_attached(nodes.first("machine_type"), nodes.blocks("guest_accelerator"))
    spot = nodes.values.get("spot") or nodes.values.get("preemptible")
    return (_machine(resource, kind, Purchase.SPOT if spot else Purchase.ON_DEMAND, _nodes(resource)),)


def _nodes(resource: Resource) -> float | None:
    """Counts of a pool are for each zone, except the totals of its autoscaler."""
    each = first_known(
        resource.values.get("node_count"),
        resource.first("autoscaling", "min_node_count"),
        resource.values.get("initial_node_count"),
    )
    total = whole(resource.first("autoscaling", "total_min_node_count"))
    if total:
        return total
    zones = listed(resource.values.get("node_locations")) or ([1] if _ZONE.match(_place(resource) or "") else [])
    return each * len(zones) if each is not None and zones else None


def _run(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    accelerator = text(resource.first("template", "node_selector", "accelerator"))
    if accelerator is None:
        return ()
    redundant = resource.first("template", "gpu_zonal_redundancy_disabled") is False
    least = first_known(resource.first("template", "scaling", "min_instance_count"), 0)
    return (container(region_of(_place(resource)), accelerator, least, _limits(resource), redundant=redundant),)


def _limits(resource: Resource) -> list[Any]:
    """Limits of each container of one instance."""
    return [
        Resource("", "", "", container).first("resources", "limits")
        for container in resource.blocks("template", "containers")
    ]


def _size(limits: Sequence[Any]) -> tuple[float, float] | None:
    """Processors and GiB of the containers of one instance; None where one has no limits."""
    sizes = [
        (_quantity(limit.get("cpu"), {"": 1, "m": 1000}), _quantity(limit.get("memory"), {"Gi": 1, "Mi": _MIB_PER_GIB}))
        for limit in limits
        if isinstance(limit, dict)
    ]
    stated = [(cpu, gib) for cpu, gib in sizes if cpu is not None and gib is not None]
    if not stated or len(stated) < len(limits):
        return None
    return sum(cpu for cpu, _ in stated), sum(gib for _, gib in stated)


def _quantity(text: object, divisors: Mapping[str, int]) -> float | None:
    """Number that Kubernetes writes with a suffix, such as ``8000m`` or ``32Gi``; None with another suffix."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", str(text))
    return float(match[1]) / divisors[match[2]] if match and match[2] in divisors else None


def _reservation(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    machine = resource.part("specific_reservation", "instance_properties")
    attached = [
        {"type": block.get("accelerator_type"), "count": block.get("accelerator_count")}
        for block in machine.blocks("guest_accelerators")
    ]
    what = with_attached(machine.values.get("machine_type"), attached)
    number = whole(resource.first("specific_reservation", "count"))
    return (replace(_machine(resource, what, Purchase.ON_DEMAND, number), unpriced=HELD),)


def _workbench(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    setup = resource.part("gce_setup")
    attached = [
        # Workbench writes NVIDIA_TESLA_T4 what machines write nvidia-tesla-t4.
        {"type": str(block.get("type")).lower().replace("_", "-"), "count": block.get("core_count")}
        for block in setup.blocks("accelerator_configs")
    ]
    kind = text(setup.values.get("machine_type"))
    use = replace(_machine(resource, with_attached(kind, attached), Purchase.ON_DEMAND, 1), unpriced=NOTEBOOK)
    return (replace(use, is_accelerated=bool(attached) or _ACCELERATED.match(kind or "") is not None),)


def container(
    region: str | None, accelerator: str, least: float | None, limits: Sequence[Any], *, redundant: bool
) -> Use:
    """Containers of Cloud Run with such limits: above the fewest it is paid for by use, which no code knows."""
    service = "Cloud Run with zonal redundancy" if redundant else "Cloud Run"
    what, remark = _RUN.get(accelerator, accelerator), "" if least else "by use"
    return Use("gcp", region, what, Purchase.ON_DEMAND, least or None, service, remark, _size(limits))


def _tpu(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    match = _TPU.fullmatch(text(resource.values.get("accelerator_type")) or "")
    spot = resource.first("scheduling_config", "spot") or resource.first("scheduling_config", "preemptible")
    kind, number = _tpu_machine(match["kind"], int(match["size"])) if match else (None, None)
    return (_machine(resource, kind, Purchase.SPOT if spot else Purchase.ON_DEMAND, number),)


def _tpu_machine(kind: str, size: int) -> tuple[str | None, float]:
    """The machine with as many chips, and how many of them; larger slices are made of machines with four."""
    chips = size // 2 if kind == "v5p" else size
    if kind == "v5p":
        return "ct5p-hightpu-4t", chips / 4
    machine = _TPU_MACHINES[kind]
    return (machine.format(chips), 1) if chips in (1, 4, 8) else (machine.format(4), chips / 4)


def _use(resource: Resource, machine: Resource, number: float | None) -> Use:
    """Machines of a resource as it, or its template, describes them."""
    model = machine.first("scheduling", "provisioning_model")
    spot = model == "SPOT" or machine.first("scheduling", "preemptible")
    purchase = Purchase.SPOT if spot else Purchase.ON_DEMAND if model in (None, "", "STANDARD") else None
    kind = with_attached(machine.values.get("machine_type"), machine.blocks("guest_accelerator"))
    return _machine(resource, kind, purchase, number)


def with_attached(machine_type: object, accelerators: Iterable[Mapping[str, Any]]) -> str | None:
    """The name in the catalog of a machine type with what is attached to it; None without a type."""
    kind = text(machine_type)
    for accelerator in accelerators if kind else ():
        attached = _ATTACHED.get(str(accelerator.get("type")).rpartition("/")[2])
        if attached is not None:
            return f"{kind}+{accelerator.get('count')}x{attached}"
    return kind


def _machine(resource: Resource, kind: str | None, purchase: Purchase | None, number: float | None) -> Use:
    return Use("gcp", region_of(_place(resource)), kind, purchase, number)


def _place(resource: Resource) -> str | None:
    own = (text(resource.values.get(key)) for key in ("zone", "location", "region"))
    of_zones = (listed(resource.values.get(key)) for key in ("node_locations", "distribution_policy_zones"))
    zones = (text(zone) for zones in of_zones for zone in zones)
    provider = (resource.provider.get(key) for key in ("zone", "region"))
    return next((key for key in (*own, *zones, *provider) if key), None)


def _cache(resource: Resource, _all: Resources) -> tuple[Use, ...]:
    """Nodes of Memorystore for Valkey: of each shard one that writes, and its replicas."""
    shards, replicas = (whole(resource.values.get(name)) for name in ("shard_count", "replica_count"))
    node = (text(resource.values.get("node_type")) or "").lower().replace("_", "-") or None
    number = None if shards is None else shards * (1 + (replicas or 0))
    return (cache_node("gcp", text(resource.values.get("location")), node, "valkey", number),)


def region_of(place: str | None) -> str | None:
    """The region of a zone, or of a link to one; a region is its own."""
    name = (place or "").rpartition("/")[2]
    match = _ZONE.match(name)
    return match["region"] if match else name or None


RULES: Rules = {
    "google_compute_instance": _instance,
    "google_compute_reservation": _reservation,
    "google_compute_instance_group_manager": _group,
    "google_compute_region_instance_group_manager": _group,
    "google_container_node_pool": _node_pool,
    "google_cloud_run_v2_service": _run,
    "google_memorystore_instance": _cache,
    "google_tpu_v2_vm": _tpu,
    "google_workbench_instance": _workbench,
}
