"""Virtual machine scale sets, those of each backend behind an internal load balancer of their own."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.codegen.model import Backend, ComputeGroup, Container, Engine, Language, LoadBalancer, Scaling, Stack
from advisor.codegen.rendering import render_terraform
from advisor.codegen.targets.azure_alerts import PROGRAM, log_alert
from advisor.codegen.targets.azure_names import EXAMPLE_VAULT, example_models, example_subnet
from advisor.codegen.targets.target import Files, Target

_TERRAFORM = "terraform/azure-vm-scale-set"
_TEMPLATES = {
    "budget.tf": "azure_budget.tf.j2",
    "compute.tf": "compute.tf.j2",
    "examples/complete/main.tf": "example.tf.j2",
    "fleet.tf": "fleet.tf.j2",
    "host.py": "host.py.j2",
    "identity.tf": "identity.tf.j2",
    "main.tf": "main.tf.j2",
    "monitoring.tf": "monitoring.tf.j2",
    "network.tf": "network.tf.j2",
    "outputs.tf": "outputs.tf.j2",
    "providers.tf": "azure_providers.tf.j2",
    "scaling.tf": "scaling.tf.j2",
    "terraform.tfvars.example": "terraform.tfvars.example.j2",
    "tests/unit.tftest.hcl": "unit.tftest.hcl.j2",
    "user_data.sh.tftpl": "user_data.sh.tftpl.j2",
    "variables.tf": "variables.tf.j2",
    "versions.tf": "azure_versions.tf.j2",
}
_TLS_FILE = "/run/inference/tls.pem"
"""Key and certificates in one file, in memory, written at each start."""
_REQUESTS: Mapping[Engine, str] = {
    Engine.VLLM: "vllm:request_success_total",
    Engine.SGLANG: "sglang:num_requests_total",
}
"""Counter of finished requests on the engine's metrics page (vLLM and SGLang documentation, November 2026)."""
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MOST_PROFILES = 20
"""Of an autoscale setting."""
_REPAIR_GRACE_MINUTES = (10, 90)
"""What Azure admits."""
_OUT_SHARE = 0.8
"""Of the rate that an instance sustains: finished requests never exceed it, so an instance is added before."""
_IN_SHARE = 0.4
"""Half of the share above: two instances that become one do not call for the second again."""
_FEWEST_IDLE_MINUTES = 4
_SECONDS_PER_MINUTE = 60


def _obstacle(stack: Stack) -> str:
    if any(group.is_serverless for group in stack.groups):
        return "instances are not paid for by the request"
    plain = [one.container.engine.value for one in stack.backends if one.container.tls_options is None]
    if plain:
        return f"its load balancer passes connections on, and {plain[0]} has no HTTPS of its own"
    if any(len(group.schedule) >= _MOST_PROFILES for group in stack.groups):
        return f"an autoscale setting takes {_MOST_PROFILES - 1} changes a week, and the schedule has more"
    if stack.scaling is Scaling.REACTIVE and any(one.container.engine not in _REQUESTS for one in stack.backends):
        return "the engine does not say how many requests it answers, which a reactive fleet scales by"
    return ""


def _terraform(stack: Stack) -> Files:
    return render_terraform(_TERRAFORM, _TEMPLATES, stack, _known(stack))


def _known(stack: Stack) -> Mapping[str, Any]:
    """What the templates use beside the stack."""
    return {
        "serves_where": "on virtual machine scale sets behind internal load balancers; the engine itself speaks HTTPS",
        "cautions": stack.summary.cautions,
        "groups": {group.key: _group(stack, group) for group in stack.groups},
        "backends": {backend.key: _backend(stack.load_balancer, backend) for backend in stack.backends},
        "regions": {
            region.name: {
                "weight": region.weight,
                "zones": region.subnets,
                "min_instances": sum(one.min_instances for one in stack.groups if one.region == region.name),
            }
            for region in stack.regions
        },
        "alarms": {alarm.title: log_alert(alarm) for alarm in stack.alarms},
        "program": PROGRAM,
        "idle_minutes": max(_FEWEST_IDLE_MINUTES, math.ceil(stack.load_balancer.idle_seconds / _SECONDS_PER_MINUTE)),
        "is_reactive": stack.scaling is Scaling.REACTIVE,
        "locations": {
            region.name: {"subnet_id": example_subnet(region.name), "zones": ["1", "2", "3"]}
            for region in stack.regions
        },
        "example_certificate": f"{EXAMPLE_VAULT}/secrets/inference-certificate",
        "example_token": f"{EXAMPLE_VAULT}/secrets/hub-token",
        "example_models": example_models(stack),
    }


def _group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    publisher, offer, sku, _version = group.platform.machine_image.split(":")
    shortest, longest = _REPAIR_GRACE_MINUTES
    grace = min(longest, max(shortest, math.ceil(group.start_seconds / _SECONDS_PER_MINUTE)))
    return {
        "region": group.region,
        "backend": group.backend,
        "size": group.instance_type,
        "priority": "Spot" if group.is_spot else "Regular",
        "os_disk_gib": group.root_volume_gib,
        "repair_grace": f"PT{grace}M",
        "image": {"publisher": publisher, "offer": offer, "sku": sku},
        **(_thresholds(group) if stack.scaling is Scaling.REACTIVE else {}),
        "profiles": profiles(group, stack.scaling),
    }


def _thresholds(group: ComputeGroup) -> Mapping[str, float]:
    """Finished requests per second of an instance above and below which their number changes."""
    rate = group.requests_per_second_per_instance
    return {"scale_out_above": float(f"{rate * _OUT_SHARE:.3g}"), "scale_in_below": float(f"{rate * _IN_SHARE:.3g}")}


def profiles(group: ComputeGroup, scaling: Scaling) -> Sequence[Mapping[str, object]]:
    """Bounds of the number of instances: the default ones, and for each entry of the schedule those from then on.

    A recurring profile holds until the next one starts, so the default never does where there is a schedule. A group
    that never changes has bounds too: they replace spot instances that were taken back.
    """
    if scaling is Scaling.REACTIVE:
        return [_profile("default", (group.min_instances, group.instances, group.max_instances), (), (0, 0))]
    default = _profile("default", (group.instances,) * 3, (), (0, 0))
    return [
        default,
        *(
            _profile(
                size.name,
                (size.instances,) * 3,
                tuple(_DAYS[day - 1] for day in size.weekdays),
                (size.hour, size.minute),
            )
            for size in group.schedule
        ),
    ]


def _profile(
    name: str, bounds: tuple[int, int, int], days: Sequence[str], time: tuple[int, int]
) -> Mapping[str, object]:
    minimum, default, maximum = bounds
    hour, minute = time
    return {
        "name": name,
        "minimum": minimum,
        "default": default,
        "maximum": maximum,
        "days": list(days),
        "hour": hour,
        "minute": minute,
    }


def _backend(load_balancer: LoadBalancer, backend: Backend) -> Mapping[str, object]:
    container = backend.container
    return {
        "region": backend.region,
        "weight": backend.weight,
        "image": container.image,
        "model": container.checkpoint.model_id,
        "checkpoint": container.checkpoint.needed,
        "entrypoint": container.entrypoint,
        "command": list(container.command),
        "model_option": container.model_option,
        "arguments": _arguments(load_balancer, container),
        "revision_option": container.revision_option,
        "docker_arguments": [
            *container.device_arguments,
            *(f"--env={name}={value}" for name, value in container.environment.items()),
        ],
        "health_path": container.health_path,
        "requests_metric": _REQUESTS.get(container.engine, ""),
    }


def _arguments(load_balancer: LoadBalancer, container: Container) -> list[str]:
    arguments = list(container.arguments)
    if container.port_option:
        arguments.append(f"{container.port_option}{load_balancer.host_port}")
    return arguments + [f"{option}{_TLS_FILE}" for option in container.tls_options or ()]


VM_SCALE_SET = Target(
    name="vm-scale-set",
    provider="azure",
    title="Azure virtual machine scale sets",
    renderers={Language.TERRAFORM: _terraform},
    obstacle=_obstacle,
)
