"""Virtual machine scale sets, those of each backend behind an internal load balancer of their own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from advisor.codegen.model import Backend, ComputeGroup, Container, Engine, Language, LoadBalancer, Scaling, Stack
from advisor.codegen.rendering import render_terraform
from advisor.codegen.targets.azure_alerts import PROGRAM, log_alert
from advisor.codegen.targets.target import Files, Target

_TERRAFORM = "terraform/azure-vm-scale-set"
_TEMPLATES = {
    "budget.tf": "budget.tf.j2",
    "compute.tf": "compute.tf.j2",
    "examples/complete/main.tf": "example.tf.j2",
    "fleet.tf": "fleet.tf.j2",
    "host.py": "host.py.j2",
    "identity.tf": "identity.tf.j2",
    "main.tf": "main.tf.j2",
    "monitoring.tf": "monitoring.tf.j2",
    "network.tf": "network.tf.j2",
    "outputs.tf": "outputs.tf.j2",
    "providers.tf": "providers.tf.j2",
    "scaling.tf": "scaling.tf.j2",
    "terraform.tfvars.example": "terraform.tfvars.example.j2",
    "tests/unit.tftest.hcl": "unit.tftest.hcl.j2",
    "user_data.sh.tftpl": "user_data.sh.tftpl.j2",
    "variables.tf": "variables.tf.j2",
    "versions.tf": "versions.tf.j2",
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
_SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Profile:
    """Bounds of the number of instances, from a time of the week on until the next profile, or whenever none holds."""

    name: str
    minimum: int
    default: int
    maximum: int
    days: tuple[str, ...] = ()
    hour: int = 0
    minute: int = 0


@dataclass(frozen=True, slots=True)
class ScaleSet:
    """What a group is on Azure beyond the stack."""

    group: ComputeGroup
    publisher: str
    offer: str
    sku: str
    priority: str
    repair_grace: str
    """ISO 8601."""
    profiles: tuple[Profile, ...]
    """The first one is the default."""
    scale_out_above: float
    """Finished requests per second of an instance."""
    scale_in_below: float


@dataclass(frozen=True, slots=True)
class Service:
    """What a backend runs on Azure beyond the stack."""

    backend: Backend
    before_model: tuple[str, ...]
    after_model: tuple[str, ...]
    requests_metric: str


@dataclass(frozen=True, slots=True)
class Place:
    """A region with the sum over its groups."""

    name: str
    weight: int
    zones: int
    min_instances: int


def known(stack: Stack) -> Mapping[str, object]:
    """What the templates use beside the stack."""
    return {
        "scale_sets": tuple(_scale_set(stack, group) for group in stack.groups),
        "services": tuple(_service(stack.load_balancer, backend) for backend in stack.backends),
        "places": tuple(
            Place(region.name, region.weight, region.subnets, _min_instances(stack, region.name))
            for region in stack.regions
        ),
        "alerts": tuple(log_alert(alarm) for alarm in stack.alarms),
        "program": PROGRAM,
        "is_reactive": stack.scaling is Scaling.REACTIVE,
        "unnamed": tuple(one for one in stack.backends if one.container.checkpoint.model_id is None),
        "idle_minutes": max(4, math.ceil(stack.load_balancer.idle_seconds / _SECONDS_PER_MINUTE)),
    }


def _min_instances(stack: Stack, region: str) -> int:
    return sum(group.min_instances for group in stack.groups if group.region == region)


def _scale_set(stack: Stack, group: ComputeGroup) -> ScaleSet:
    publisher, offer, sku, _version = group.platform.machine_image.split(":")
    shortest, longest = _REPAIR_GRACE_MINUTES
    grace = min(longest, max(shortest, math.ceil(group.start_seconds / _SECONDS_PER_MINUTE)))
    rate = group.requests_per_second_per_instance
    return ScaleSet(
        group=group,
        publisher=publisher,
        offer=offer,
        sku=sku,
        priority="Spot" if group.is_spot else "Regular",
        repair_grace=f"PT{grace}M",
        profiles=profiles(group, stack.scaling),
        scale_out_above=float(f"{rate * _OUT_SHARE:.3g}"),
        scale_in_below=float(f"{rate * _IN_SHARE:.3g}"),
    )


def profiles(group: ComputeGroup, scaling: Scaling) -> tuple[Profile, ...]:
    """The default profile, and one for each entry of the schedule.

    A recurring profile holds until the next one starts, so the default never does where there is a schedule. A group
    that never changes has bounds too: they replace spot instances that were taken back.
    """
    if scaling is Scaling.REACTIVE:
        return (Profile("default", group.min_instances, group.instances, group.max_instances),)
    default = Profile("default", group.instances, group.instances, group.instances)
    return (
        default,
        *(
            Profile(
                name=size.name,
                minimum=size.instances,
                default=size.instances,
                maximum=size.instances,
                days=tuple(_DAYS[day - 1] for day in size.weekdays),
                hour=size.hour,
                minute=size.minute,
            )
            for size in group.schedule
        ),
    )


def _service(load_balancer: LoadBalancer, backend: Backend) -> Service:
    container = backend.container
    return Service(
        backend=backend,
        before_model=container.command,
        after_model=(*container.arguments, *_address(load_balancer, container)),
        requests_metric=_REQUESTS.get(container.engine, ""),
    )


def _address(load_balancer: LoadBalancer, container: Container) -> tuple[str, ...]:
    tls = container.tls_options or ()
    return (f"{container.port_option}{load_balancer.host_port}", *(f"{option}{_TLS_FILE}" for option in tls))


def obstacle(stack: Stack) -> str:
    """Why the stack cannot run on scale sets; empty when it can."""
    if any(group.is_serverless for group in stack.groups):
        return "the plan is for a serverless service, which scale sets are not"
    plain = [one.container.engine.value for one in stack.backends if one.container.tls_options is None]
    if plain:
        return f"its load balancer passes connections on, and {plain[0]} has no HTTPS of its own"
    if any(len(profiles(group, stack.scaling)) > _MOST_PROFILES for group in stack.groups):
        return (
            f"the schedule has more than {_MOST_PROFILES - 1} changes a week, which is the most of an autoscale setting"
        )
    if stack.scaling is Scaling.REACTIVE and any(one.container.engine not in _REQUESTS for one in stack.backends):
        return "the rate of requests that it would scale by is not known of this engine"
    return ""


def _terraform(stack: Stack) -> Files:
    return render_terraform(_TERRAFORM, _TEMPLATES, stack, known(stack))


VM_SCALE_SET = Target(
    name="vm-scale-set",
    provider="azure",
    title="Azure virtual machine scale sets",
    renderers={Language.TERRAFORM: _terraform},
    obstacle=obstacle,
)
