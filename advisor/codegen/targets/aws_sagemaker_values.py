"""Values of SageMaker endpoints: images that answer as it asks and their hosts, alarms on the metrics it publishes.

Source: "Amazon SageMaker AI metrics in Amazon CloudWatch"; utilisation of GPUs is summed up over those of an instance.

Sources, read in November 2026: changelogs, configuration and region availability of the AWS Deep Learning Containers;
``InferenceAmiVersion`` of the SageMaker API. The images are in a registry of the region: endpoints pull from no other
registry than ECR, and not from its public gallery.
"""

import re
from collections.abc import Iterator, Mapping

from advisor.codegen.alarms import Missing
from advisor.codegen.aws_places import registry_of
from advisor.codegen.container import Backend, Runtime
from advisor.codegen.model import Stack
from advisor.codegen.wanted import Engine
from advisor.entries import picked
from advisor.records import dataclass

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


@dataclass(frozen=True, slots=True)
class EndpointAlarm:
    """One alarm of each variant."""

    name: str
    description: str
    namespace: str
    metric: str
    """Name at SageMaker."""
    statistic: str
    below: bool
    threshold: float
    periods: int
    period_seconds: int
    missing: str
    needs_gpu: bool = False
    per_accelerator: bool = False

    @property
    def title(self) -> str:
        """The name in the form that resources are named in."""
        return self.name.replace("_", "-")

    @property
    def facts(self) -> Mapping[str, object]:
        """Everything but the name, without what most alarms share."""
        what = picked(self, "description", "namespace", "metric", "statistic", "below", "threshold", "per_accelerator")
        missing = self.missing if self.missing != Missing.IS_FINE else False
        facts = {**what, **picked(self, "periods", "period_seconds"), "missing": missing, "needs_gpu": self.needs_gpu}
        return {name: fact for name, fact in facts.items() if fact is not False}


_METRICS = {
    "gpu_idle": (_INSTANCES, "GPUUtilization", "Average"),
    "gpu_memory": (_INSTANCES, "GPUMemoryUtilization", "Maximum"),
    "host_memory": (_INSTANCES, "MemoryUtilization", "Maximum"),
    "metrics_silent": (_INSTANCES, "MemoryUtilization", "SampleCount"),
    "no_requests": (_INVOCATIONS, "Invocations", "Sum"),
}
"""Alarm of the plan → namespace, metric and statistic, on GPUs of each; the others are about hosts that nobody but
SageMaker sees."""
ERRORS = EndpointAlarm(
    "server_errors",
    "More than 1 percent of the requests are answered with 5xx; a deployment in progress is rolled back.",
    *(_INVOCATIONS, "Invocation5XXErrors", "Average"),
    below=False,
    threshold=0.01,
    periods=3,
    period_seconds=60,
    missing=Missing.IS_FINE.value,
)


_MICROSECONDS = 1_000_000
NO_QUEUE = "no alarm on waiting requests, which SageMaker does not count"


def _times(stack: Stack) -> Iterator[EndpointAlarm]:
    """The alarm on the first chunk of streamed answers, from the entrance on, or on whole answers in one pass."""
    for alarm in stack.slo_alarms:
        if alarm.target_seconds is not None:
            percentile = f"p{100 - alarm.threshold:g}"
            what = f"TTFT {percentile} of streamed answers" if alarm.name == "ttft" else f"Latency {percentile}"
            yield EndpointAlarm(
                alarm.name,
                f"{what} over the target of {alarm.target_seconds:g} s.",
                _INVOCATIONS,
                "FirstChunkLatency" if alarm.name == "ttft" else "ModelLatency",
                percentile,
                below=False,
                threshold=alarm.target_seconds * _MICROSECONDS,
                periods=alarm.periods,
                period_seconds=alarm.period_seconds,
                missing=alarm.missing.value,
            )


def alarms_of(stack: Stack) -> tuple[EndpointAlarm, ...]:
    """The alarms of each variant, the one that rolls deployments back first."""
    planned = tuple(
        EndpointAlarm(
            alarm.name,
            alarm.description,
            *_METRICS[alarm.name],
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
