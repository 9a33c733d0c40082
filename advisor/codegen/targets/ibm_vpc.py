"""Instance groups of IBM Cloud VPC behind a private application load balancer.

Sources: IBM's documentation of instance groups, application load balancers, the metadata service and Secrets Manager,
and the source of its Terraform provider 2.5, read in November 2026. None of it was tried on IBM Cloud.
"""

from collections.abc import Mapping
from typing import Any

from advisor.codegen.alarms import stalled_alarm
from advisor.codegen.container import Language, Region, Runtime
from advisor.codegen.model import ComputeGroup, Scaling, Stack
from advisor.codegen.rendering import render, scaling_left_out
from advisor.codegen.targets.target import (
    Files,
    Target,
    backend_facts,
    obstacle_to_hosts,
    stop_times,
)

_LARGEST_BOOT_VOLUME_GIB = 250
"""Provider's reference of instances: boot_volume.size."""
_MOST_MEMBERS = 50
"""Members of a pool of an application load balancer, at most."""
_LOOK_SECONDS = 15
"""Time between two looks of a host at its pool."""
_LEAVE_SECONDS = 60
"""Time that a host has to leave its pool, while the load balancer may take in another change."""
_HEALTH_DELAY_SECONDS = 10
"""Time between two checks of the load balancer."""
_IMAGE_NEEDS = {
    Runtime.CUDA: "Ubuntu with Docker, NVIDIA's driver (580 or newer) and its container toolkit",
    Runtime.GAUDI: "Ubuntu with Docker, Intel's Gaudi driver (habanalabs-dkms, of the release of the serving image), "
    "its firmware and habanalabs-container-runtime",
}
_UNPRICED = "The total holds the machines: no prices are known of boot volumes, the load balancer and traffic there."
_UNTRIED = (
    "None of this was tried on IBM Cloud yet: arguments and limits are from the source of its Terraform provider, the "
    "calls of hosts from its documentation. Try it with one instance before it serves."
)


def _terraform(stack: Stack) -> Files:
    return render(Language.TERRAFORM, "ibm-vpc", stack, _known(stack), without=scaling_left_out(stack))


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    (region,) = stack.regions
    return {
        "serves_where": "behind a private load balancer, on a group of VPC instances",
        # Plans of answers in one pass take requests to go round in turn (docs/kinds.md).
        "balancing": "round_robin" if stack.unit.is_one_pass else "least_connections",
        "groups": {group.key: _group(stack, group) for group in stack.groups},
        "backends": {backend.key: backend_facts(backend, stack.load_balancer.host_port) for backend in stack.backends},
        "regions": {region.name: {"zones": region.zones}},
        "subnets": _example_subnets(region),
        "sold_in": sorted({zone for group in stack.groups if group.zones_verified for zone in group.zone_names}),
        **stop_times(stack),
        "tells_progress": any(alarm.name == stalled_alarm().name for alarm in stack.slo_alarms),
        "look_seconds": _LOOK_SECONDS,
        "leave_seconds": _LEAVE_SECONDS,
        "health_delay_seconds": _HEALTH_DELAY_SECONDS,
        "longest_start_limit": max(group.start_limit_seconds for group in stack.groups),
        "image_needs": "; ".join(dict.fromkeys(_IMAGE_NEEDS[group.platform.runtime] for group in stack.groups)),
    }


def _group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    sizes = {size.name: {"cron": size.cron, "instances": size.instances} for size in group.schedule}
    return {
        "region": group.region,
        "backend": group.backend,
        "weight": group.weight,
        "zones": _zones(group),
        "instance_type": group.instance_type,
        "disk_gib": group.host_disk_gib,
        "disk_gib_with_weights": group.root_volume_gib,
        "instances": group.instances,
        "start_limit_seconds": group.start_limit_seconds,
        **({"schedule": sizes} if stack.scaling is Scaling.SCHEDULED else {}),
    }


def _zones(group: ComputeGroup) -> int:
    """Zones that the instances of a group are shared out over."""
    return max(1, group.zones)


def _example_subnets(region: Region) -> Mapping[str, str]:
    return {
        f"{region.name}-{number}": f"0717-00000000-0000-0000-0000-{number:012}" for number in range(1, region.zones + 1)
    }


def _obstacle(stack: Stack) -> str:
    serving = [group for group in stack.groups if group.weight]
    if refusal := obstacle_to_hosts(stack):
        return refusal
    if len(stack.regions) > 1:
        return "IBM's provider works in one region, and the plan has several"
    if len(serving) > 1:
        return "its load balancer sends all requests to one group, and the plan shares them out over several"
    return _against_scaling(stack) or _against_disks(stack)


def _against_scaling(stack: Stack) -> str:
    """Why instance groups cannot follow the plan's sizes; empty when they can."""
    if stack.scaling is Scaling.REACTIVE:
        return "its groups follow processors, memory and network, none of which is the load of a model"
    if any(size.instances < _zones(group) for group in stack.groups for size in group.schedule):
        return "IBM's provider passes on no scheduled size of 0, which the plan has in some zone"
    most = max(group.instances for group in stack.groups)
    if most > _MOST_MEMBERS:
        return f"its load balancer takes {_MOST_MEMBERS} hosts of a group, and the plan has {most}"
    return ""


def _against_disks(stack: Stack) -> str:
    """Why boot volumes cannot hold what hosts download; empty when they can."""
    largest = max(group.host_disk_gib for group in stack.groups)
    if largest <= _LARGEST_BOOT_VOLUME_GIB:
        return ""
    return f"a host needs a boot volume of {largest} GiB, and IBM's have {_LARGEST_BOOT_VOLUME_GIB} at most"


def _completed(stack: Stack) -> Stack:
    """The stack that says what its hosts cost beside the total, and that nobody has run it."""
    return stack.with_cautions(_UNPRICED, _UNTRIED)


IBM_VPC = Target(
    name="ibm-vpc",
    provider="ibm",
    title="VPC instance groups",
    check="ibmcloud is load-balancer-pool-members {name} {name}-{key}",
    renderers={Language.TERRAFORM: _terraform},
    obstacle=_obstacle,
    completed=_completed,
)
