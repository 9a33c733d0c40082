"""Container Apps on serverless GPUs: one container with one GPU for each replica, reached from inside the network only.

Sources: Microsoft's guides to Container Apps (workload profiles, serverless GPUs, ingress, health probes, scale rules,
metrics), read in November 2026.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from advisor.catalog import load_catalog
from advisor.codegen.alarms import Alarm
from advisor.codegen.container import Backend, Container, Engine, Quota
from advisor.codegen.engines import vllm
from advisor.codegen.kubernetes_scaling import windows
from advisor.codegen.model import START_PATIENCE, ComputeGroup, Stack
from advisor.codegen.quotas import quotas_of_updates
from advisor.codegen.quoting import marked_slug
from advisor.codegen.targets.azure_values import (
    EXAMPLE_IDS,
    EXAMPLE_VAULT,
    containers,
    example_subnet,
    planned_alarm,
)
from advisor.codegen.targets.target import (
    ENTRANCE_HEALTH,
    Paid,
    Target,
    against_adapters,
    container_facts,
    entrance_weight,
    entrypoint_of,
    health_path,
    obstacle_to_entrances,
    templated,
)
from advisor.cost.services import HOSTS, accelerated_container_price
from advisor.records import dataclass

_FOLDER = "azure-container-apps"
_PORT = 8000
"""TLS ends before the container."""
_STREAMING = [Engine.VLLM.value]
"""Engines that load weights straight from blobs. A replica has 8 GiB of disk to copy them to, whatever its GPU."""
_ENTRANCE_IMAGE = "haproxy:3.2"
_ENTRANCE_COMMAND = "printf '%s\\n' \"$CONFIGURATION\" >/tmp/haproxy.cfg && exec haproxy -W -db -f /tmp/haproxy.cfg"
_LONGEST_APP_NAME = 32
_HASH_DIGITS = 6
_END_SECONDS = 5
"""Of the time that a replica has to end, for what follows its last answer."""
_MOST_PROBES = 30
_LONGEST_PROBE_SECONDS = 240
_IDLE_SECONDS = 300
"""What Container Apps waits by default, and the catalog counts."""
_WINDOWS_MINUTES = {15: "PT15M", 30: "PT30M", 60: "PT1H", 360: "PT6H"}
"""Of metric alerts; without the shorter and the longer ones."""
_RESTARTS = (
    'ContainerAppSystemLogs_CL | where ContainerAppName_s == "APP" and Reason_s == "ContainerTerminated"'
    ' | where Log_s !has "ManuallyStopped" | summarize value = count()'
)
"""Replicas that scaling or a new revision stops are logged as stopped on purpose."""
_WAITING = (
    'ContainerAppConsoleLogs_CL | where ContainerAppName_s == "APP"'
    " | extend waiting = todouble(extract(@'PATTERN', 1, Log_s)) | where isnotnull(waiting)"
    " | summarize mean = avg(waiting) by ContainerGroupName_s | summarize value = max(mean) | where isnotnull(value)"
)
"""The mean queue of the replica that has the longest one."""
_LOGGED_QUEUES: Mapping[Engine, str] = {
    Engine.VLLM: "Waiting: ([0-9]+) req",
    Engine.VLLM_POOLING: "Waiting: ([0-9]+) req",
    Engine.VLLM_TRANSCRIPTION: "Waiting: ([0-9]+) req",
    Engine.SGLANG: "#queue-req: ([0-9]+)",
}
"""How engines write their queue into their log every few seconds (vLLM and SGLang, read in November 2026)."""
_FEWEST_FAILURES = 10
"""Single failures are not an alarm, however few requests there are."""
_FAILURES = (
    'ContainerAppConsoleLogs_CL | where ContainerAppName_s == "APP"'
    " | extend failed = todouble(extract(@' failed=([0-9]+) ', 1, Log_s)),"
    " requests = todouble(extract(@' requests=([0-9]+)', 1, Log_s))"
    " | where isnotnull(failed) and isnotnull(requests)"
    " | summarize arg_max(TimeGenerated, failed, requests) by ContainerGroupName_s"
    " | summarize failed = sum(failed), requests = sum(requests) | where failed >= FEWEST"
    " | project value = 100 * failed / requests"
)
"""Percentage of the requests of all replicas of an entrance that failed, by the last line of each that tells of one."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A workload profile with one GPU, and all that a replica may take of it."""

    name: str
    type: str
    accelerator: str
    """Name in the catalog."""
    cpu: int
    memory_gib: int


_T4 = Profile("gpu-t4", "Consumption-GPU-NC8as-T4", "T4", 8, 56)
_A100 = Profile("gpu-a100", "Consumption-GPU-NC24-A100", "A100-80GB-PCIe", 24, 220)
_PROFILES: Mapping[str, Profile] = {"T4": _T4, "A100-80GB-PCIe": _A100, "A100-80GB-SXM": _A100}


def _obstacle(stack: Stack) -> str:
    refusals = (reason for group in stack.groups if (reason := _refusal(group)))
    return next(refusals, "") or obstacle_to_entrances(stack) or against_adapters(stack, "container app")


def _refusal(group: ComputeGroup) -> str:
    """Why Container Apps cannot run a group; empty when it can."""
    if group.accelerator not in _PROFILES or group.accelerators_per_replica != 1:
        taken = f"{group.accelerators_per_replica} × {group.accelerator}"
        return f"a replica of {group.instance_type} takes {taken}; a container has one T4 or A100 with 80 GB"
    if group.is_spot:
        return f"{group.instance_type} is planned as spot, and Container Apps has no spot price"
    longest = _MOST_PROBES * _LONGEST_PROBE_SECONDS
    if group.start_seconds > longest:
        return f"{group.start_seconds} s until the model answers; Container Apps waits {longest} s"
    return ""


def _quotas(stack: Stack) -> tuple[Quota, ...]:
    """The former revision stays until the new one is ready."""
    name = "Managed Environment Consumption GPUs, asked for in a support case"
    return quotas_of_updates(
        (
            Quota(_PROFILES[group.accelerator].type, name, "GPUs"),
            group.region,
            group.max_instances * group.replicas_per_instance,
        )
        for group in stack.groups
    )


def _paid(group: ComputeGroup) -> Paid:
    profile = _PROFILES[group.accelerator]
    size = profile.cpu, profile.memory_gib
    service = ("azure", "Container Apps")
    return Paid(
        f"Container Apps {profile.accelerator} with {size[0]} vCPUs and {size[1]} GiB",
        accelerated_container_price(load_catalog(), service, group.region, profile.accelerator, size),
        is_planned=group.is_serverless,
    )


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    size = containers(stack).size
    return {
        "serves_where": "on Container Apps with serverless GPUs, reached from inside the network",
        "cautions": (*stack.summary.cautions, *_cautions(stack)),
        "groups": {group.key: _group(stack, group) for group in stack.groups},
        "backends": {backend.key: _backend(stack, backend) for backend in stack.backends},
        "draining": [backend.container.engine.value for backend in stack.backends if _drains(stack, backend)],
        "regions": {region.name: _region(stack, region.name, region.weight) for region in stack.regions},
        "port": _PORT,
        "entrance_health": ENTRANCE_HEALTH,
        "entrance_image": _ENTRANCE_IMAGE,
        "entrance": {"cpu": size.vcpus, "memory": f"{size.memory_gib:g}Gi"},
        "entrance_hosts": HOSTS,
        "failures_minutes": round(_minutes(planned_alarm(stack, "server_errors"))),
        "entrance_command": _ENTRANCE_COMMAND,
        "locations": {region.name: {"subnet_id": example_subnet(region.name)} for region in stack.regions},
        "example_token": f"{EXAMPLE_VAULT}/secrets/hub-token",
        **EXAMPLE_IDS,
        "identity": "app",
        "streaming_engines": _STREAMING,
    }


def _window(alarm: Alarm) -> str:
    """The shortest that holds the periods of *alarm*, or the longest there is."""
    minutes = _minutes(alarm)
    return _WINDOWS_MINUTES[
        next(
            (windows_minute for windows_minute in _WINDOWS_MINUTES if windows_minute >= minutes), max(_WINDOWS_MINUTES)
        )
    ]


def _region(stack: Stack, name: str, weight: int) -> Mapping[str, object]:
    used = {_PROFILES[group.accelerator] for group in stack.groups if group.region == name}
    return {
        "weight": weight,
        "health_path": health_path(stack, name),
        "profiles": {profile.name: profile.type for profile in sorted(used, key=lambda profile: profile.name)},
        "metric_alarms": {
            "missing-replicas": _missing(
                stack, HOSTS, "Fewer replicas of the entrance run than it keeps: it has no spare, or answers nobody."
            ),
        },
        "log_alarms": {"server-errors": _failures(stack, name)},
    }


def _failures(stack: Stack, region: str) -> Mapping[str, object]:
    """Alarm on answers with 5xx, a share of the requests that the entrance of a region has counted."""
    alarm = planned_alarm(stack, "server_errors")
    return {
        "description": (
            f"More than {alarm.threshold:g} percent of the requests of {_minutes(alarm):g} minutes, and at least "
            f"{_FEWEST_FAILURES}, are answered with 5xx."
        ),
        "query": _FAILURES.replace("APP", f"entrance-{region}").replace("FEWEST", f"{_FEWEST_FAILURES}"),
        "threshold": alarm.threshold,
    }


def _minutes(alarm: Alarm) -> float:
    """Minutes of the periods of an alarm."""
    return alarm.periods * alarm.period_seconds / 60


def _missing(stack: Stack, fewest: int, description: str) -> Mapping[str, object]:
    return {
        "description": description,
        "metric": "Replicas",
        "aggregation": "Maximum",
        "operator": "LessThan",
        "threshold": fewest,
        "window": _window(planned_alarm(stack, "unhealthy_hosts")),
    }


def _metric_alarms(stack: Stack, group: ComputeGroup) -> Mapping[str, Mapping[str, object]]:
    """Alarms on what Azure measures of an app; one that may be empty has no fewest replicas."""
    memory = {
        "description": "A container is nearly out of memory: the engine is about to be killed.",
        "metric": "MemoryPercentage",
        "aggregation": "Maximum",
        "threshold": planned_alarm(stack, "host_memory").threshold,
        "window": "PT5M",
    }
    missing = _missing(
        stack,
        group.min_instances * group.replicas_per_instance,
        "Fewer replicas run than the plan needs, for longer than one takes to start.",
    )
    alarms = {"container-memory": memory}
    return {**alarms, "missing-replicas": missing} if group.min_instances > 0 else alarms


def _log_alarms(stack: Stack, group: ComputeGroup) -> Mapping[str, Mapping[str, object]]:
    """Alarms on what the logs of an app say: restarts, and its queue where the workload has a target of TTFT."""
    restarts = {
        "description": "A container ended by itself and was started again: the engine failed, or answered too late.",
        "query": _RESTARTS.replace("APP", app_name(group)),
        "threshold": 0,
    }
    alarm = next((slo_alarm for slo_alarm in stack.slo_alarms if slo_alarm.per_request_rate), None)
    pattern = _LOGGED_QUEUES.get(stack.backend_of(group).container.engine)
    if alarm is None or pattern is None:
        return {"restarts": restarts}
    waiting = {
        "description": alarm.description,
        "query": _WAITING.replace("APP", app_name(group)).replace("PATTERN", pattern),
        "threshold": alarm.threshold_at(stack.queued_per_second(group) / group.replicas_per_instance),
    }
    return {"restarts": restarts, alarm.title: waiting}


def _group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    profile, each = _PROFILES[group.accelerator], group.replicas_per_instance
    return {
        "app": app_name(group),
        "region": group.region,
        "entrance_weight": entrance_weight(stack.groups, group),
        "backend": group.backend,
        "profile": profile.name,
        "cpu": profile.cpu,
        "memory": f"{profile.memory_gib}Gi",
        "min_replicas": group.min_instances * each,
        "max_replicas": group.max_instances * each,
        "concurrent_requests": f"{max(1, group.concurrent_requests_per_instance // each)}",
        "cooldown_seconds": _cooldown_seconds(group),
        "probe_seconds": min(_LONGEST_PROBE_SECONDS, math.ceil(START_PATIENCE * group.start_seconds / _MOST_PROBES)),
        "metric_alarms": _metric_alarms(stack, group),
        "log_alarms": _log_alarms(stack, group),
        "schedule": {
            f"{number}": {"start": window.start, "end": window.end, "desiredReplicas": f"{window.replicas}"}
            for number, window in enumerate(windows(group.schedule, group.min_instances, each))
        },
    }


def _cooldown_seconds(group: ComputeGroup) -> int:
    """Seconds that the last replica stays, counted from when it is scheduled: a shorter time ends it in its start."""
    return max(_IDLE_SECONDS, group.start_seconds)


def app_name(group: ComputeGroup) -> str:
    """Name of at most 32 lower-case letters, digits and hyphens: the size, and a mark of the group's key."""
    return marked_slug(
        group.instance_type.removeprefix("Standard_"), group.key, _LONGEST_APP_NAME, _HASH_DIGITS, fallback="gpu"
    )


def _backend(stack: Stack, backend: Backend) -> Mapping[str, object]:
    container = backend.container
    return {
        "region": backend.region,
        **container_facts(backend),
        "entrypoint": entrypoint_of(container),
        "arguments": [*_arguments(container), *_drains(stack, backend)],
        "revision_option": container.revision_option,
        "environment": _environment(container),
        "model_variable": container.model_environment,
        "model_prefix": container.model_prefix,
        "health_path": container.health_path,
    }


def _drains(stack: Stack, backend: Backend) -> tuple[str, ...]:
    """Option by which open requests may end: Container Apps gives the signal to stop at once, with no hook before."""
    return vllm.drain_arguments(backend.container, stack.load_balancer.drain_seconds - _END_SECONDS)


def _arguments(container: Container) -> list[str]:
    arguments = [argument for argument in container.arguments if argument not in container.sharing_arguments]
    return arguments + ([f"{container.port_option}{_PORT}"] if container.port_option else [])


def _environment(container: Container) -> Mapping[str, str]:
    port = {container.port_environment: f"{_PORT}"} if container.port_environment else {}
    return dict(container.environment) | port


def _cautions(stack: Stack) -> Iterator[str]:
    """Differences from the plan, in words."""
    for group in stack.groups:
        if group.min_instances == 0 and _cooldown_seconds(group) > _IDLE_SECONDS:
            yield (
                f"The last replica of {group.instance_type} in {group.region} stays for {_cooldown_seconds(group)} s "
                f"after its last request, as long as a start may take, where a plan counts {_IDLE_SECONDS}: Container "
                "Apps would otherwise end it before it answers."
            )
    yield (
        "Releases of the azurerm provider that send a minimum count with GPU profiles (its issue 31763, open in "
        "September 2026) fail at the environment with WorkloadProfilePropertyNotSupported. Take one that has fixed "
        "it, or make the environment with the az command line, by the names and settings of this code, and import it "
        "first."
    )
    yield "Container Apps ends a request after 240 seconds: stream longer answers, or take premium ingress."


CONTAINER_APPS = Target(
    name="container-apps",
    provider="azure",
    title="Azure Container Apps",
    check="az containerapp list --query \"[?tags.Group=='{key}'].[name,properties.runningStatus]\"",
    renderers=templated(_FOLDER, _known),
    obstacle=_obstacle,
    completed=lambda stack: containers(stack).within(stack),
    paid=_paid,
    own_quotas=_quotas,
)
