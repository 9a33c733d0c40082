"""The alarms of a SageMaker endpoint: the plan's, on the metrics that SageMaker publishes for each variant.

Source: "Amazon SageMaker AI metrics in Amazon CloudWatch"; utilisation of GPUs is summed up over those of an instance.
"""

from collections.abc import Iterator, Mapping

from advisor.codegen.alarms import Missing
from advisor.codegen.model import Stack
from advisor.entries import picked
from advisor.records import dataclass

_INSTANCES = "/aws/sagemaker/Endpoints"
_INVOCATIONS = "AWS/SageMaker"


@dataclass(frozen=True, slots=True)
class Metric:
    """Metric by its SageMaker name."""

    namespace: str
    name: str
    statistic: str
    per_accelerator: bool = False


@dataclass(frozen=True, slots=True)
class EndpointAlarm:
    """One alarm of each variant."""

    name: str
    description: str
    metric: Metric
    below: bool
    threshold: float
    periods: int
    period_seconds: int
    missing: str
    needs_gpu: bool = False

    @property
    def title(self) -> str:
        """The name in the form that resources are named in."""
        return self.name.replace("_", "-")

    @property
    def facts(self) -> Mapping[str, object]:
        """Everything but the name, without what most alarms share."""
        facts = {
            "description": self.description,
            "namespace": self.metric.namespace,
            "metric": self.metric.name,
            "statistic": self.metric.statistic,
            **picked(self, "below", "threshold"),
            "per_accelerator": self.metric.per_accelerator,
            **picked(self, "periods", "period_seconds"),
            "missing": self.missing if self.missing != Missing.IS_FINE else False,
            "needs_gpu": self.needs_gpu,
        }
        return {name: fact for name, fact in facts.items() if fact is not False}


_METRICS = {
    "gpu_idle": Metric(_INSTANCES, "GPUUtilization", "Average", per_accelerator=True),
    "gpu_memory": Metric(_INSTANCES, "GPUMemoryUtilization", "Maximum", per_accelerator=True),
    "host_memory": Metric(_INSTANCES, "MemoryUtilization", "Maximum"),
    "metrics_silent": Metric(_INSTANCES, "MemoryUtilization", "SampleCount"),
    "no_requests": Metric(_INVOCATIONS, "Invocations", "Sum"),
}
"""Alarm of the plan → metric; the others are about hosts that nobody but SageMaker sees."""
ERRORS = EndpointAlarm(
    name="server_errors",
    description="More than 1 percent of the requests are answered with 5xx; a deployment in progress is rolled back.",
    metric=Metric(_INVOCATIONS, "Invocation5XXErrors", "Average"),
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
                name=alarm.name,
                description=f"{what} over the target of {alarm.target_seconds:g} s.",
                metric=Metric(
                    _INVOCATIONS, "FirstChunkLatency" if alarm.name == "ttft" else "ModelLatency", percentile
                ),
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
            name=alarm.name,
            description=alarm.description,
            metric=_METRICS[alarm.name],
            below=alarm.below,
            threshold=1 if alarm.name == "metrics_silent" else alarm.threshold,
            periods=alarm.periods,
            period_seconds=alarm.period_seconds,
            missing=alarm.missing.value,
            needs_gpu=alarm.needs_gpu,
        )
        for alarm in stack.alarms
        if alarm.name in _METRICS
    )
    return (ERRORS, *_times(stack), *planned)
