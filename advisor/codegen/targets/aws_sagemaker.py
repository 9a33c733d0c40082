"""SageMaker real-time endpoints, one in each region, with a production variant for each group of instances.

Sources, read in November 2026: the SageMaker API (CreateEndpointConfig, exclusions of the deployment guardrails), the
AWS Deep Learning Containers documentation (images of vLLM and SGLang for SageMaker, their variables and registries).

Instance types: ``ProductionVariantInstanceType`` of the SageMaker API (botocore); a test compares them. Alarms: "Amazon
SageMaker AI metrics in Amazon CloudWatch"; utilisation of GPUs is summed up over those of an instance. Images:
changelogs, configuration and region availability of the AWS Deep Learning Containers; ``InferenceAmiVersion`` of the
SageMaker API. The images are in a registry of the region: endpoints pull from no other registry than ECR, and not from
its public gallery.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from advisor.catalog import load_catalog
from advisor.catalog.values import Purchase
from advisor.codegen.alarms import Missing, WatchedMetric
from advisor.codegen.aws_places import registry_of
from advisor.codegen.container import Backend, Engine, Quota, Region, Runtime
from advisor.codegen.model import ComputeGroup, Scaling, Stack
from advisor.codegen.prometheus_rules import stalled_left_out
from advisor.codegen.quotas import quotas_of_updates
from advisor.codegen.rendering import scaling_left_out
from advisor.codegen.targets.target import Paid, Target, against_adapters, templated
from advisor.records import dataclass, picked
from advisor.tables import read_rows

_ECR = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+")
_PUBLIC = {Engine.VLLM: "vllm/vllm-openai:", Engine.SGLANG: "lmsysorg/sglang:"}
"""Repositories whose images have a counterpart for SageMaker."""
_CUDA_12_HOST = "al2-ami-sagemaker-inference-gpu-3-1"
_CUDA_13_HOST = "al2023-ami-sagemaker-inference-gpu-4-1"
_NEURON_HOST = "al2-ami-sagemaker-inference-neuron-2"
_VLLM_TAGS = {"0.19": "v1.1", "0.24": "v2.1", "0.26": "v2.2", "0.27": "v2.4", "0.30": "v2.5"}
"""Release of vLLM → tag of the image."""
_NEWEST_VLLM_TAG = "v2.5"
_SGLANG_TAG = "v1.3"
_CUDA_12_TAGS = ("v1.1",)
_SGLANG_ACCELERATORS = ("H100", "H200", "B200", "B300", "GH200", "GB200", "GB300")
"""The image of SGLang is built for Hopper and Blackwell alone."""


def against(backend: Backend, accelerator: str) -> str:
    """Why no image serves the backend on SageMaker; empty when one does."""
    container = backend.container
    if not registry_of(backend.region):
        return f"no registry of its images is known in {backend.region}"
    if _ECR.fullmatch(container.image):
        return "" if container.engine is not Engine.TENSORRT_LLM else _no_image(container.engine)
    if container.engine not in _PUBLIC or backend.runtime is not Runtime.CUDA:
        return _no_image(container.engine)
    if not container.image.startswith(_PUBLIC[container.engine]):
        return f"it pulls from ECR only; copy {container.image} there, and name the copy with --image"
    if container.engine is Engine.SGLANG and not accelerator.startswith(_SGLANG_ACCELERATORS):
        return f"its image of SGLang is built for Hopper and Blackwell, not for {accelerator}"
    return ""


def _no_image(engine: Engine) -> str:
    return (
        f"no image of {engine.value} for this accelerator answers as it asks; "
        "take --engine custom with --image, an ECR image that serves /ping and /invocations on port 8080"
    )


def image(backend: Backend) -> str:
    """The user's ECR image, or else that of the engine for SageMaker, in the backend's region."""
    if _ECR.fullmatch(backend.container.image):
        return backend.container.image
    repository = "vllm" if backend.container.engine is Engine.VLLM else "sglang"
    return f"{registry_of(backend.region)}/{repository}:server-sagemaker-cuda-{_tag(backend)}"


def caution(backend: Backend) -> str:
    """Caution that the image holds another release of vLLM than the planned one; "" where it does not."""
    planned = _planned_vllm(backend)
    if not planned or planned in _VLLM_TAGS or _ECR.fullmatch(backend.container.image):
        return ""
    held = next(release for release, tag in _VLLM_TAGS.items() if tag == _NEWEST_VLLM_TAG)
    return (
        f"No image for SageMaker is known that holds vLLM {planned}: this code takes "
        f"{_NEWEST_VLLM_TAG}, which holds {held}. Measure it, or name another image."
    )


def _planned_vllm(backend: Backend) -> str:
    """Major and minor version of vLLM in the plan; "" of another engine."""
    planned = re.search(r":v(\d+\.\d+)", backend.container.image)
    return planned[1] if planned and backend.container.engine is Engine.VLLM else ""


def _tag(backend: Backend) -> str:
    if backend.container.engine is Engine.SGLANG:
        return _SGLANG_TAG
    return _VLLM_TAGS.get(_planned_vllm(backend), _NEWEST_VLLM_TAG)


def host_image(backend: Backend) -> str:
    """The image of the host whose driver the container needs; the default ones are too old for any of these."""
    if backend.runtime is Runtime.NEURON:
        return _NEURON_HOST
    is_ours = _ECR.fullmatch(backend.container.image) is None
    return _CUDA_12_HOST if is_ours and _tag(backend) in _CUDA_12_TAGS else _CUDA_13_HOST


_INSTANCES = "/aws/sagemaker/Endpoints"
_INVOCATIONS = "AWS/SageMaker"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAlarm(WatchedMetric):
    """One alarm of each variant, on a metric by its name at SageMaker."""

    namespace: str = _INVOCATIONS
    threshold: float
    period_seconds: int
    missing: str
    needs_gpu: bool = False
    per_accelerator: bool = False

    @property
    def facts(self) -> Mapping[str, object]:
        """Everything but the name, without what most alarms share."""
        what = picked(self, "description", "namespace", "metric", "statistic", "below", "threshold", "per_accelerator")
        missing = self.missing if self.missing != Missing.IS_FINE else False
        facts = {**what, **picked(self, "periods", "period_seconds"), "missing": missing, "needs_gpu": self.needs_gpu}
        return {name: fact for name, fact in facts.items() if fact is not False}


_NO_REQUESTS = "no_requests"
_METRICS = {
    "gpu_idle": ("GPUUtilization", "Average"),
    "gpu_memory": ("GPUMemoryUtilization", "Maximum"),
    "host_memory": ("MemoryUtilization", "Maximum"),
    "host_disk": ("DiskUtilization", "Maximum"),
    "metrics_silent": ("MemoryUtilization", "SampleCount"),
    _NO_REQUESTS: ("Invocations", "Sum"),
}
"""Alarm of the plan → metric and statistic, on GPUs of each; the others are about hosts that nobody but
SageMaker sees."""
ERRORS = EndpointAlarm(
    "server_errors",
    "More than 1 percent of the requests are answered with 5xx; a deployment in progress is rolled back.",
    "Invocation5XXErrors",
    "Average",
    threshold=0.01,
    periods=3,
    period_seconds=60,
    missing=Missing.IS_FINE.value,
)
_MICROSECONDS = 1_000_000
NO_QUEUE = "no alarm on waiting requests, which SageMaker does not count"
NO_PROGRESS = (
    "no alarm where an engine hangs: its count of tokens stays in the container, which SageMaker does not read"
)


def _times(stack: Stack) -> Iterator[EndpointAlarm]:
    """The alarm on the first chunk of streamed answers, from the entrance on, or on whole answers in one pass."""
    for alarm in stack.slo_alarms:
        if alarm.target_seconds is not None:
            percentile = f"p{100 - alarm.threshold:g}"
            what = f"TTFT {percentile} of streamed answers" if alarm.name == "ttft" else f"Latency {percentile}"
            yield EndpointAlarm(
                alarm.name,
                f"{what} over the target of {alarm.target_seconds:g} s.",
                "FirstChunkLatency" if alarm.name == "ttft" else "ModelLatency",
                percentile,
                threshold=alarm.target_seconds * _MICROSECONDS,
                periods=alarm.periods,
                period_seconds=alarm.period_seconds,
                missing=alarm.missing.value,
            )


_SILENT = "The instances of a variant send no metrics: the other alarms do not see them."


def alarms_of(stack: Stack) -> tuple[EndpointAlarm, ...]:
    """The alarms of each variant, the one that rolls deployments back first."""
    planned = tuple(
        EndpointAlarm(
            alarm.name,
            _SILENT if alarm.name == "metrics_silent" else alarm.description,
            *_METRICS[alarm.name],
            namespace=_INVOCATIONS if alarm.name == _NO_REQUESTS else _INSTANCES,
            below=alarm.below,
            threshold=1 if alarm.name == "metrics_silent" else alarm.threshold,
            periods=alarm.periods,
            period_seconds=alarm.period_seconds,
            missing=alarm.missing.value,
            needs_gpu=alarm.needs_gpu,
            per_accelerator=alarm.name.startswith("gpu_"),
        )
        for alarm in stack.alarms
        if alarm.name in _METRICS
    )
    return (ERRORS, *_times(stack), *planned)


SIZES = {row["family"]: row["sizes"].split(";") for row in read_rows(Path(__file__).with_name("sagemaker_types.csv"))}
"""Family → sizes; those that nothing serves on any more are left out."""
_WITHOUT_DISK = ("inf2",)
"""Families whose instances have no disk of their own, so that a volume is attached."""


def ml_type(instance_type: str) -> str:
    """The name of an EC2 type at SageMaker."""
    return f"ml.{instance_type}"


def is_sold(instance_type: str) -> bool:
    """SageMaker hosts endpoints on it."""
    family, _, size = instance_type.partition(".")
    return size in SIZES.get(family, ())


def has_own_disk(instance_type: str) -> bool:
    """Image and weights lie on a disk of the machine, whose size cannot be chosen."""
    return instance_type.partition(".")[0] not in _WITHOUT_DISK


_FOLDER = "aws-sagemaker"

_PORT = 8080
"""Where SageMaker calls /ping and /invocations."""
_LONGEST_START_SECONDS = 3600
"""Longest health check of a container that starts (ContainerStartupHealthCheckTimeoutInSeconds)."""
_LARGEST_VOLUME_GIB = 512
_MOST_VARIANTS = 10
"""Of an endpoint, and alarms that may roll a deployment back."""
_SECONDS_PER_MINUTE = 60
_EXAMPLE_PREFIX = "s3://weights/model/"
_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_EVERY_MIDNIGHT = "cron(0 0 ? * * *)"
_PREFIXES = {Engine.VLLM: "SM_VLLM_", Engine.SGLANG: "SM_SGLANG_"}
"""The SageMaker images turn SM_VLLM_MAX_MODEL_LEN=4096 into --max-model-len 4096."""
_MODEL_VARIABLES = {Engine.VLLM: "SM_VLLM_MODEL", Engine.SGLANG: "SM_SGLANG_MODEL_PATH"}


def _obstacle(stack: Stack) -> str:
    against_groups = (_against_group(group) for group in stack.groups)
    reasons = (
        *against_groups,
        _against_number(stack),
        _against_image(stack),
        against_adapters(stack, "real-time endpoint"),
    )
    return next((reason for reason in reasons if reason), "")


def _against_group(group: ComputeGroup) -> str:
    """Why a group cannot be a production variant; empty when it can."""
    refused = {
        "endpoints are not bought as spot": group.is_spot,
        "its serverless inference has no GPU": group.is_serverless,
        f"it sells no {ml_type(group.instance_type)}": not is_sold(group.instance_type),
        "commitments to EC2 do not pay for its instances, only Machine Learning Savings Plans do": bool(
            group.commitments
        ),
        f"{group.key} goes down to no instance, and a variant keeps one": group.min_instances < 1,
        f"{group.key} may take {group.start_seconds} s to start, and a container has {_LONGEST_START_SECONDS} s": (
            group.start_seconds > _LONGEST_START_SECONDS
        ),
        f"{group.key} needs a volume of {group.root_volume_gib} GiB, and the largest has {_LARGEST_VOLUME_GIB}": (
            group.root_volume_gib > _LARGEST_VOLUME_GIB and not has_own_disk(group.instance_type)
        ),
    }
    return next((reason for reason, is_true in refused.items() if is_true), "")


def _against_number(stack: Stack) -> str:
    region, count = Counter(group.region for group in stack.groups).most_common(1)[0]
    if count > _MOST_VARIANTS:
        return f"{count} groups in {region}, and an endpoint has {_MOST_VARIANTS} variants"
    return ""


def _against_image(stack: Stack) -> str:
    reasons = (against(backend, group.accelerator) for group in stack.groups for backend in (stack.backend_of(group),))
    return next((reason for reason in reasons if reason), "")


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    alarms = alarms_of(stack)
    return {
        "groups": {group.key: _group(stack, group) for group in stack.groups},
        "backends": {backend.key: _backend(backend) for backend in stack.backends},
        "regions": {region.name: _region(stack, region) for region in stack.regions},
        "key_is_for": "Volumes, logs and alerts",
        "encrypts_logs": True,
        "longest_start_seconds": _LONGEST_START_SECONDS,
        "has_budget": True,
        "alarms": alarms,
        "deployed": "endpoints",
        "rollback_alarm": ERRORS.name,
        "planned": {"alarms": {alarm.name: alarm.facts for alarm in alarms}},
        "alarms_left_out": tuple(_alarms_left_out(stack)),
        "rollback_title": ERRORS.title,
        "networks": {region.name: _example_network(stack, region) for region in stack.regions},
        "all_data": {backend.key: _EXAMPLE_PREFIX for backend in stack.backends},
        "example_data": {
            backend.key: _EXAMPLE_PREFIX for backend in stack.backends if backend.container.checkpoint.model_id is None
        },
        "serves_where": "on a SageMaker real-time endpoint in each region; each group is a production variant",
        "cautions": tuple(_cautions(stack)),
    }


def _quotas(stack: Stack) -> tuple[Quota, ...]:
    """Quotas of instances, as many again as may run: those that an update starts.

    It starts them all at once where it does not go step by step, and otherwise where it is rolled back
    (RollbackMaximumBatchSize of the API's RollingUpdatePolicy).
    """
    return quotas_of_updates(
        (
            Quota(f"{ml_type(group.instance_type)} for endpoint usage", "SageMaker", "instances"),
            group.region,
            _most_instances(stack, group),
        )
        for group in sorted(stack.groups, key=lambda group: (group.instance_type, group.region))
    )


def _most_instances(stack: Stack, group: ComputeGroup) -> int:
    """Instances that the scaling of a variant may start."""
    return group.max_instances if stack.scaling is Scaling.REACTIVE else group.instances


def _alarms_left_out(stack: Stack) -> Iterator[str]:
    if any(alarm.per_request_rate for alarm in stack.slo_alarms):
        yield NO_QUEUE
    else:
        of_some = set(stalled_left_out([backend.container.engine for backend in stack.backends]))
        yield from (reason for reason in stack.slo_left_out if reason not in of_some)
    yield NO_PROGRESS
    if stack.idle_left_out:
        yield stack.idle_left_out


def _cautions(stack: Stack) -> Iterator[str]:
    yield from dict.fromkeys(filter(None, map(caution, stack.backends)))
    yield from stack.summary.cautions


def _paid(group: ComputeGroup) -> Paid:
    catalog = load_catalog()
    offer = catalog.offer("aws", group.region, group.instance_type)
    price = None if offer is None else catalog.price(offer, Purchase.MANAGED)
    return Paid(f"SageMaker {ml_type(group.instance_type)}", price, is_planned=group.is_managed)


def _group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    return {
        "region": group.region,
        "backend": group.backend,
        "instance_type": ml_type(group.instance_type),
        "accelerators": int(group.accelerator_count),
        "gpu": group.has_gpu,
        "instances": group.instances,
        "weight": stack.share_of(group),
        **_scaling(stack, group),
        "volume_gib": None if has_own_disk(group.instance_type) else group.root_volume_gib,
        "host_image": host_image(stack.backend_of(group)),
    }


def _scaling(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    """Scaling of a variant: none for one without requests, in a cut-over, so that it can go or come at any time.

    An update of an endpoint sets each variant to its initial number: as many as the load may have brought.
    """
    is_at_rest = group.weight == 0
    if stack.scaling is Scaling.STATIC:
        return {}
    limits = {"min_instances": group.min_instances}
    if stack.scaling is Scaling.SCHEDULED:
        return limits | {"max_instances": group.instances, "schedule": {} if is_at_rest else _schedule(group)}
    return limits | {
        "max_instances": group.max_instances,
        "initial_instances": group.instances if is_at_rest else group.max_instances,
        "requests_per_minute": 0 if is_at_rest else group.requests_per_second_per_instance * _SECONDS_PER_MINUTE,
        "start_seconds": group.start_seconds,
    }


def _schedule(group: ComputeGroup) -> Mapping[str, object]:
    """Entries by name; a group that never changes is set once a day."""
    if not group.schedule:
        return {"daily": {"recurrence": _EVERY_MIDNIGHT, "instances": group.instances}}
    return {
        scheduled_size.name: {
            "recurrence": _cron(scheduled_size.hour, scheduled_size.minute, scheduled_size.weekdays),
            "instances": scheduled_size.instances,
        }
        for scheduled_size in group.schedule
    }


def _cron(hour: int, minute: int, weekdays: tuple[int, ...]) -> str:
    """Cron expression of Application Auto Scaling: six fields, days by name."""
    days = "*" if len(weekdays) == len(_DAYS) else ",".join(_DAYS[day - 1] for day in weekdays)
    return f"cron({minute} {hour} ? * {days} *)"


def _backend(backend: Backend) -> Mapping[str, object]:
    container = backend.container
    return {
        "region": backend.region,
        "engine": backend.pin,
        "image": image(backend),
        "model": container.checkpoint.model_id,
        **({"commit": container.commit} if container.commit else {}),
        "checkpoint": container.checkpoint.needed,
        "model_variable": container.model_environment or _MODEL_VARIABLES[container.engine],
        "model_prefix": container.model_prefix,
        "revision_variable": f"{_PREFIXES[container.engine]}REVISION" if container.revision_option else "",
        "environment": dict(sorted(_environment(backend))),
    }


def _environment(backend: Backend) -> Iterator[tuple[str, str]]:
    """The arguments of the plan as the SageMaker images read them; these bring host and port of their own."""
    container = backend.container
    yield from container.environment.items()
    if container.port_environment:
        yield container.port_environment, str(_PORT)
    for argument in container.arguments:
        option, has_value, value = argument.removeprefix("--").partition("=")
        if option != "host":
            yield f"{_PREFIXES[container.engine]}{option.replace('-', '_').upper()}", value if has_value else "true"


def _region(stack: Stack, region: Region) -> Mapping[str, object]:
    of_region = [group for group in stack.groups if group.region == region.name]
    is_rolling = len(of_region) == 1 and of_region[0].instances > 1
    return {"weight": region.weight, "subnets": region.subnets, "rolling": is_rolling}


def _example_network(stack: Stack, region: Region) -> Mapping[str, object]:
    number = [region.name for region in stack.regions].index(region.name) + 1
    return {
        "vpc_id": f"vpc-{number:017x}",
        "private_subnet_ids": [f"subnet-{16 * number + zone:017x}" for zone in range(region.subnets)],
    }


SAGEMAKER = Target(
    name="sagemaker",
    provider="aws",
    title="SageMaker",
    check="aws sagemaker describe-endpoint --region {region} --endpoint-name {name} --query "
    "'ProductionVariants[].[VariantName,CurrentInstanceCount,DesiredInstanceCount]'",
    renderers=templated(_FOLDER, _known, without=scaling_left_out),
    obstacle=_obstacle,
    paid=_paid,
    own_quotas=_quotas,
)
