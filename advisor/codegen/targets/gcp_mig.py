"""Managed instance groups behind regional internal Application Load Balancers, of GPU machines or of TPU VMs.

Google manages TPUs through Compute Engine: a TPU VM is an instance of a TPU machine type, and instances that serve by
themselves form an ordinary managed instance group.
"""

import math
from collections.abc import Mapping
from typing import Any

from advisor.codegen.container import Backend, Region, Runtime
from advisor.codegen.model import Scaling, Stack
from advisor.codegen.quotas import instances_while_replaced
from advisor.codegen.rendering import ANSWERS, scaling_left_out
from advisor.codegen.targets import gcp_values
from advisor.codegen.targets.gcp_values import descriptions, host_alerts, log_alerts, metric_alerts, scraped
from advisor.codegen.targets.target import (
    Target,
    backend_facts,
    health_path,
    obstacle_to_entrances,
    obstacle_to_hosts,
    stop_times,
    templated,
)
from advisor.codegen.turns import has_hand_overs

_FOLDER = "gcp-mig"
_ANSWERS = {
    "address": "10.0.0.2",
    "network": "projects/my-project/global/networks/inference",
    **ANSWERS["gcp"],
    "project": "my-project",
}
"""What data sources say in the tests of a program."""

_TARGET_UTILIZATION = 0.8
"""The rest is the room that the plan's headroom of a quarter gives."""
_SPOT_DRAIN_SECONDS = 20
_HEALING_LOOKS = 10
"""Failures that a health check counts at most."""
_LONGEST_INTERVAL_SECONDS = 300
"""Longest time between two looks of one."""
_WITHOUT_HOSTS = "tpu-v5-lite-podslice"
"""Google starts TPU v5e through GKE and the older Cloud TPU API only."""


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    groups = gcp_values.google_groups(stack)
    return _facts(stack, groups) | _choices(stack, groups) | {"answers": _ANSWERS}


def _facts(stack: Stack, groups: tuple[gcp_values.GoogleGroup, ...]) -> dict[str, Any]:
    """The data of ``fleet.tf``, and what an example fills in."""
    by_region = [[group for group in stack.groups if group.region == region.name] for region in stack.regions]
    capacity = {key: share for alike in by_region for key, share in gcp_values.capacities(alike).items()}
    return {
        # Plans of answers in one pass take requests to go round in turn (docs/kinds.md).
        "balancing": "ROUND_ROBIN" if stack.unit.is_one_pass else "LEAST_REQUEST",
        "groups": {group.group.key: _group(stack, group, capacity[group.group.key]) for group in groups},
        "backends": {backend.key: _backend(stack, backend) for backend in stack.backends},
        "regions": {region.name: _region(stack, region) for region in stack.regions},
        "metric_alerts": metric_alerts(stack),
        "host_alerts": host_alerts(stack),
        "log_alerts": log_alerts(stack),
        "descriptions": descriptions(stack),
        "networks": {region.name: _example_network(stack, region) for region in stack.regions},
        "account": "host",
        "query_policies": "metrics",
        "mounts_bucket": False,
        "example_reservations": {group.group.key: "my-reservation" for group in groups if group.needs_reservation},
    }


def _choices(stack: Stack, groups: tuple[gcp_values.GoogleGroup, ...]) -> dict[str, Any]:
    """Parts of the templates that a stack of this shape needs."""
    return {
        "has_attached": any(group.attached for group in groups),
        "has_flexible": any(group.interchangeable_types for group in groups),
        "has_on_demand": any(not group.group.is_spot for group in groups),
        "has_reserved": any(group.needs_reservation for group in groups),
        "may_be_empty": [group.group.key for group in groups if group.min_instances == 0],
        "has_several_regions": len(stack.regions) > 1,
        "hands_over": has_hand_overs(stack),
        "target_utilization": _TARGET_UTILIZATION,
        **stop_times(stack),
        "longest_wait_seconds": gcp_values.LONGEST_WAIT_SECONDS,
        "healing_looks": _HEALING_LOOKS,
        "unhealed": [group.group.key for group in groups if not group.heals],
        "accelerators": {
            group.group.key: [
                group.accelerator_count * instances
                for instances in (
                    group.group.instances,
                    instances_while_replaced(stack.provider, stack.target, group.group),
                )
            ]
            for group in groups
        },
        "serves_where": "behind internal HTTPS load balancers, on managed groups of instances",
    }


def _region(stack: Stack, region: Region) -> Mapping[str, object]:
    return {"weight": region.weight, "zones": region.zones, "health_path": health_path(stack, region.name)}


def _group(stack: Stack, google_group: gcp_values.GoogleGroup, capacity: float) -> Mapping[str, object]:
    group = google_group.group
    attached = {"type": google_group.accelerator_type, "count": google_group.attached}
    others = list(google_group.interchangeable_types)
    return {
        "region": group.region,
        "backend": group.backend,
        "fewest_zones": group.zones,
        "zones": list(google_group.zones),
        "machine_type": google_group.machine_type,
        **({"attached": attached} if google_group.attached else {}),
        **({"other_machine_types": others} if others else {}),
        "provisioning_model": google_group.provisioning_model,
        "image": google_group.image,
        **({"tpu": True} if group.platform.runtime is Runtime.TPU else {}),
        "disk_type": google_group.disk_type,
        "disk_gib": google_group.boot_disk_gib,
        "disk_gib_with_weights": group.root_volume_gib,
        "instances": group.instances,
        **_scaling(stack, google_group),
        "requests_per_second": group.requests_per_second_per_instance,
        "capacity": capacity,
        "drain_seconds": _SPOT_DRAIN_SECONDS if google_group.group.is_spot else stack.load_balancer.drain_seconds,
        "heals": google_group.heals,
    }


def _scaling(stack: Stack, google_group: gcp_values.GoogleGroup) -> Mapping[str, object]:
    """Autoscaler settings of a group."""
    if stack.scaling is Scaling.STATIC:
        return {}
    least = {"min_instances": google_group.min_instances}
    warm_up = {"warmup_seconds": google_group.warmup_seconds}
    if stack.scaling is Scaling.REACTIVE:
        return least | {"max_instances": google_group.group.max_instances} | warm_up
    windows = {
        window.name: {
            "cron": window.cron,
            "duration_seconds": window.duration_seconds,
            "instances": window.instances,
        }
        for window in google_group.windows
    }
    return least | {"max_instances": google_group.group.instances} | warm_up | {"windows": windows}


def _backend(stack: Stack, backend: Backend) -> Mapping[str, object]:
    facts = backend_facts(backend, stack.load_balancer.host_port)
    restarts = max(group.restart_seconds for group in stack.groups if group.backend == backend.key)
    interval = min(math.ceil(restarts / _HEALING_LOOKS), _LONGEST_INTERVAL_SECONDS)
    return {**facts, "healing_interval_seconds": interval, "scraped": scraped(backend.container.engine)}


def _example_network(stack: Stack, region: Region) -> Mapping[str, object]:
    number = [region.name for region in stack.regions].index(region.name)
    place = f"projects/my-project/regions/{region.name}"
    return {
        "subnetwork": f"{place}/subnetworks/inference",
        "proxy_only_cidr": f"10.129.{2 * number}.0/23",
        "zones": gcp_values.example_zones(stack, region),
        "ssl_certificate": f"{place}/sslCertificates/inference",
    }


def _obstacle(stack: Stack) -> str:
    refusal = obstacle_to_hosts(stack) or obstacle_to_entrances(stack)
    if refusal:
        return refusal
    if stack.has_processors:
        return "machines without an accelerator are generated as nodes of GKE"
    for google_group in gcp_values.google_groups(stack):
        if google_group.accelerator_type == _WITHOUT_HOSTS:
            return "Compute Engine starts no TPU v5e: Google offers it in GKE"
        if google_group.group.platform.runtime is Runtime.TPU and not google_group.tpu_topology:
            return f"{google_group.machine_type} is one of several hosts of a slice, which are not generated"
    return ""


def _obstacle_of_tpus(stack: Stack) -> str:
    for group in stack.groups:
        if group.platform.runtime is not Runtime.TPU:
            return f"{group.instance_type} is not a TPU VM"
    return _obstacle(stack)


_CHECK = "gcloud compute backend-services get-health {name}-{region} --region {region}"
MIG = Target(
    name="mig",
    provider="gcp",
    title="Managed instance groups",
    check=_CHECK,
    renderers=templated(_FOLDER, _known, without=scaling_left_out),
    takes_cache=True,
    obstacle=_obstacle,
)
TPU_VM = Target(
    name="tpu-vm",
    provider="gcp",
    title="TPU VMs",
    check=_CHECK,
    renderers=templated(_FOLDER, _known, without=scaling_left_out),
    obstacle=_obstacle_of_tpus,
)
