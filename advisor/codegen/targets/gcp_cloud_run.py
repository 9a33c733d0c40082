"""Cloud Run services with a GPU: containers that start with the requests, reached from inside the network only.

Sources: Google's guides to Cloud Run (GPUs, health checks, request timeout, Direct VPC egress, volumes) and the list of
its metrics in Cloud Monitoring, and the reference of alert policies, read in November 2026.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from advisor.catalog import load_catalog
from advisor.catalog.deployment import ContainerSize
from advisor.codegen.alarms import Alarm
from advisor.codegen.container import Backend, Container, Quota
from advisor.codegen.model import ComputeGroup, Scaling, Stack
from advisor.codegen.platforms import GPUS, LONGEST_START_SECONDS, is_redundant, quota_of
from advisor.codegen.quotas import quotas_of_updates
from advisor.codegen.quoting import marked_slug
from advisor.codegen.serving import pin_key
from advisor.codegen.targets.target import (
    Paid,
    Target,
    against_adapters,
    container_facts,
    entrypoint_of,
    templated,
)
from advisor.cost.services import accelerated_container_price
from advisor.deployable import container_size
from advisor.records import dataclass, picked, replace


@dataclass(frozen=True, slots=True)
class Alert:
    """A metric against a threshold, for each group of its series."""

    description: str
    resource: str
    """Type of the monitored resource."""
    metric: str
    aligner: str
    """How a series becomes one value in 300 s."""
    reducer: str
    """How several series become one."""
    group_by: tuple[str, ...]
    """Labels of the resource by which series stay apart."""
    below: bool
    threshold: float
    seconds: int
    """How long without a break; 0: once."""
    condition: str = ""
    """Further terms of the filter, each after `` AND ``."""
    is_share: bool = False
    """The metric is divided by itself without the condition."""


def from_alarm(alarm: Alarm, alert: Alert, divisor: float = 1) -> Alert:
    """*alert* with threshold and duration of an alarm; a threshold in percent becomes a share by the divisor 100."""
    seconds = alarm.periods * alarm.period_seconds
    return replace(alert, below=alarm.below, threshold=round(alarm.threshold / divisor, 3), seconds=seconds)


def alert_data(alerts: Mapping[str, Alert]) -> Mapping[str, Mapping[str, object]]:
    """Alerts as the code holds them."""
    return {name: _entry(alert) for name, alert in alerts.items()}


def _entry(alert: Alert) -> Mapping[str, object]:
    return {
        **picked(alert, "description", "resource", "metric", "condition"),
        "share": alert.is_share,
        **picked(alert, "aligner", "reducer"),
        "group_by": [f"resource.label.{label}" for label in alert.group_by],
        "comparison": "COMPARISON_LT" if alert.below else "COMPARISON_GT",
        **picked(alert, "threshold", "seconds"),
    }


_FOLDER = "gcp-cloud-run"
_CONTAINER_PORT = 8080
"""Where Cloud Run sends requests by default; TLS ends before the container."""
_LONGEST_SERVICE = 24
"""With the name of the deployment and a hyphen within the 49 characters of a service's name."""
_HASH_DIGITS = 6
_MS_PER_SECOND = 1000
_MOST_CONCURRENT_REQUESTS = 1000
"""Of one container (Cloud Run's limit)."""
_PROBE_SECONDS = 10
_REGISTRY = "docker.io/"
"""What an image without a registry means."""
# Cloud Run pulls from Docker Hub and from Google's registries only.
_PULLED = re.compile(r"([a-z0-9-]+-docker\.pkg\.dev|([a-z]+\.)?gcr\.io|docker\.io)/.+")
_UTILIZATION_METRICS = {
    "gpu_idle": ("container/gpu/utilizations", "ALIGN_PERCENTILE_50", "REDUCE_MEAN"),
    "gpu_memory": ("container/gpu/memory_utilizations", "ALIGN_PERCENTILE_99", "REDUCE_MAX"),
    "host_memory": ("container/memory/utilizations", "ALIGN_PERCENTILE_99", "REDUCE_MAX"),
}
"""Alarm → metric of Cloud Run in place of the hosts' (a distribution of shares), and how it is read."""


def _alert(description: str, metric: str, aligner: str, reducer: str, **changes: Any) -> Alert:  # noqa: ANN401
    """Alert on a metric of Cloud Run; above 0 once, if *changes* say nothing else."""
    by_service = {"resource": "cloud_run_revision", "group_by": ("service_name", "location")}
    once = {"below": False, "threshold": 0, "seconds": 0}
    fields = {"description": description, "metric": f"run.googleapis.com/{metric}", "aligner": aligner}
    return Alert(**(by_service | once | fields | {"reducer": reducer} | changes))


_UNHEALTHY = _alert(
    "A container did not start in time, or stopped answering and was replaced.",
    "container/completed_probe_count",
    "ALIGN_DELTA",
    "REDUCE_SUM",
    condition=" AND metric.labels.is_healthy = false",
)
_SERVER_ERRORS = _alert(
    "",
    "request_count",
    "ALIGN_RATE",
    "REDUCE_SUM",
    condition=' AND metric.labels.response_code_class = "5xx"',
    is_share=True,
)
_PENDING = _alert("", "request_latency/pending", "ALIGN_PERCENTILE_95", "REDUCE_MAX")
"""Milliseconds that requests wait for a container; the engines' own metrics stay within."""


def _obstacle(stack: Stack) -> str:
    refusals = (reason for group in stack.groups if (reason := _refusal(group)))
    return next(refusals, "") or against_adapters(stack, "service of Cloud Run")


def _refusal(group: ComputeGroup) -> str:
    """Why Cloud Run cannot run a group; empty when it can."""
    gpu = GPUS.get(group.accelerator)
    if gpu is None or group.accelerator_count != 1:
        had = " or ".join(GPUS)
        return f"{group.instance_type} has {group.accelerator_count:g} × {group.accelerator}; Cloud Run has one {had}"
    if group.is_spot:
        return f"{group.instance_type} is planned as spot, and Cloud Run has no spot price"
    if gpu.regions and group.region not in gpu.regions:
        return f"Cloud Run has no {group.accelerator} in {group.region}, only in {', '.join(sorted(gpu.regions))}"
    if group.start_seconds > LONGEST_START_SECONDS:
        return f"{group.start_seconds} s until the model answers; Cloud Run waits {LONGEST_START_SECONDS} s"
    sizes = _sizes(group)
    if container_size(sizes, group.checkpoint_gib) is None:
        most = sizes[-1].memory_gib
        return f"{group.checkpoint_gib} GiB of weights lie in memory beside the engine, and a container has {most} GiB"
    return ""


def _sizes(group: ComputeGroup) -> Sequence[ContainerSize]:
    """Sizes that a container with the group's GPU may have, the smallest first."""
    return load_catalog().deployment.container_sizes("gcp", f"Cloud Run {group.accelerator}")


def _downloading(group: ComputeGroup) -> ContainerSize:
    """Container that weights from the hub lie in: of code that is refused, and never written, the largest."""
    sizes = _sizes(group)
    return container_size(sizes, group.checkpoint_gib) or sizes[-1]


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    return {
        "groups": {group.key: _group(group) for group in stack.groups},
        "backends": {backend.key: _backend(backend) for backend in stack.backends},
        "regions": {region.name: {"weight": region.weight} for region in stack.regions},
        "alerts": alert_data(_alerts(stack)),
        "probe_seconds": _PROBE_SECONDS,
        "probe_failures": LONGEST_START_SECONDS // _PROBE_SECONDS,
        "cautions": (*stack.summary.cautions, *_cautions(stack)),
        "container_port": _CONTAINER_PORT,
        "serves_where": "on Cloud Run, reached from inside the network",
        "subnetworks": {
            region.name: f"projects/my-project/regions/{region.name}/subnetworks/inference" for region in stack.regions
        },
        "example_images": {
            pin_key(stack, backend): f"us-docker.pkg.dev/my-project/copies/{backend.container.image.rpartition('/')[2]}"
            for backend in stack.backends
            if _PULLED.fullmatch(_image(backend.container.image)) is None
        },
        "account": "this",
        "mounts_bucket": True,
    }


def _group(group: ComputeGroup) -> Mapping[str, object]:
    gpu = GPUS[group.accelerator]
    return {
        "service": marked_slug(group.accelerator, group.key, _LONGEST_SERVICE, _HASH_DIGITS, "gpu"),
        "region": group.region,
        "backend": group.backend,
        "accelerator": gpu.accelerator,
        "zonal_redundancy": is_redundant(group.instance_type),
        # A plan for a serverless group counts on nothing running between the requests.
        "min_instances": 0 if group.is_serverless else group.min_instances,
        "max_instances": group.max_instances,
        "concurrent_requests": min(group.concurrent_requests_per_instance, _MOST_CONCURRENT_REQUESTS),
        "downloading": _limits(_downloading(group)),
        "mounting": _limits(_sizes(group)[0]),
    }


def _paid(group: ComputeGroup) -> Paid:
    """A container that weights from the hub lie in."""
    size = _downloading(group)
    service = "Cloud Run with zonal redundancy" if is_redundant(group.instance_type) else "Cloud Run"
    return Paid(
        f"{service} {group.accelerator} with {size.vcpus} vCPUs and {size.memory_gib} GiB",
        accelerated_container_price(load_catalog(), ("gcp", service), group.region, group.accelerator, size),
        is_planned=group.is_serverless,
    )


def _limits(size: ContainerSize) -> Mapping[str, str]:
    return {"cpu": f"{size.vcpus}", "memory": f"{size.memory_gib}Gi", "nvidia.com/gpu": "1"}


def _backend(backend: Backend) -> Mapping[str, object]:
    container = backend.container
    return {
        **container_facts(backend),
        "entrypoint": entrypoint_of(container),
        "image": _image(container.image),
        "revision_option": container.revision_option,
        "arguments": _arguments(container),
        "model_environment": container.model_environment,
        "model_prefix": container.model_prefix,
        "environment": _environment(container),
        "health_path": container.health_path,
    }


def _arguments(container: Container) -> list[str]:
    port = f"{container.port_option}{_CONTAINER_PORT}"
    return [*container.arguments, *([port] if container.port_option else [])]


def _environment(container: Container) -> Mapping[str, str]:
    """Cloud Run sets PORT itself, and refuses another."""
    port = container.port_environment
    return dict(container.environment) | ({port: f"{_CONTAINER_PORT}"} if port not in ("", "PORT") else {})


def _image(image: str) -> str:
    host, slash, _ = image.partition("/")
    has_registry = bool(slash) and ("." in host or ":" in host)
    return image if has_registry else f"{_REGISTRY}{image}"


def _quotas(stack: Stack) -> tuple[Quota, ...]:
    """Google starts a revision beside the former one, which goes on until the new one answers."""
    return quotas_of_updates(
        (quota_of(group.accelerator, redundant=is_redundant(group.instance_type)), group.region, group.max_instances)
        for group in stack.groups
    )


def _cautions(stack: Stack) -> Iterator[str]:
    """Differences from the plan, in words."""
    for group in stack.groups:
        smallest = _sizes(group)[0]
        if _downloading(group) != smallest:
            yield (
                f"Weights from the hub lie in memory and take a larger container than the {smallest.vcpus} vCPU and "
                f"{smallest.memory_gib} GiB of one that mounts a bucket ({group.key}): mount one by model_source."
            )
    if stack.scaling is Scaling.SCHEDULED:
        yield "The plan scales by the clock; Cloud Run has no schedule and follows the requests by itself."


def _alerts(stack: Stack) -> Mapping[str, Alert]:
    """Alerts, without those on hosts that a container has not (Xid errors, silent agents)."""
    usual = {
        alarm.name: from_alarm(alarm, _of_container(alarm), divisor=100)
        for alarm in stack.alarms
        if alarm.name in _UTILIZATION_METRICS
    }
    return usual | {"unhealthy": _UNHEALTHY} | dict(_slo_alerts(stack))


def _slo_alerts(stack: Stack) -> Iterator[tuple[str, Alert]]:
    """TTFT is left out: nobody but the engine knows it, and its metrics stay within the container.

    An answer in one pass takes as long as its request, which Cloud Run measures.
    """
    for alarm in stack.slo_alarms:
        if alarm.name == "latency" and alarm.target_seconds is not None:
            aligner = f"ALIGN_PERCENTILE_{100 - alarm.threshold:02g}"
            latencies = _alert(alarm.description, "request_latencies", aligner, "REDUCE_MAX")
            target = replace(alarm, threshold=alarm.target_seconds)
            yield alarm.name, from_alarm(target, latencies, divisor=1 / _MS_PER_SECOND)
        elif alarm.name == "server_errors":
            yield alarm.name, replace(from_alarm(alarm, _SERVER_ERRORS, divisor=100), description=alarm.description)
        elif alarm.name == "waiting_requests":
            description = f"One request in 20 waits for a container longer than {stack.latency_words} may take, "
            description += f"{alarm.threshold:g} s."
            pending = from_alarm(alarm, _PENDING, divisor=1 / _MS_PER_SECOND)
            yield alarm.name, replace(pending, description=description)


def _of_container(alarm: Alarm) -> Alert:
    metric, aligner, reducer = _UTILIZATION_METRICS[alarm.name]
    description = alarm.description.replace("of a host", "of a container")
    return _alert(description, metric, aligner, reducer)


CLOUD_RUN = Target(
    name="cloud-run",
    provider="gcp",
    title="Cloud Run",
    check="gcloud run services list --region {region}",
    renderers=templated(_FOLDER, _known),
    obstacle=_obstacle,
    paid=_paid,
    own_quotas=_quotas,
)
