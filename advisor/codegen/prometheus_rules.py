"""The SLO alarms of a stack as Prometheus queries on engines and kube-state-metrics, and what alarms leave out.

Sources: the list of pod metrics of kube-state-metrics, read in November 2026; Dynamo's catalog of metrics and
``lib/llm/src/http/service/metrics.rs``, read in December 2026.
"""

from collections.abc import Iterator, Sequence

from advisor.codegen.alarms import Alarm
from advisor.codegen.container import Backend, Engine, Form
from advisor.codegen.engines.metrics import METRICS, Answers, EngineMetrics, published, without_times
from advisor.codegen.model import ComputeGroup, Stack, WatchedModel
from advisor.codegen.workloads import pods_start
from advisor.plan.values import Plan
from advisor.plan.words import unit_of
from advisor.records import dataclass, replace


def file_cautions(plan: Plan, engines: Sequence[Engine]) -> Iterator[str]:
    """The file that a plan was made of, where what it starts loads another checkpoint of the model."""
    file = plan.provenance.model_file
    others = [engine.value for engine in engines if engine is not Engine.LLAMA_CPP_SERVER]
    if file is not None and file.is_gguf and others and not unit_of(plan.demand).is_one_pass:
        yield (
            f"the plan was made of {file.name}, and {' and '.join(others)} is planned without GGUF: speed and memory "
            "are those of another checkpoint of the same model, which model_ids has to name"
        )


def tells_times(engine: Engine) -> bool:
    """Whether an engine publishes times of its requests."""
    metrics = published(engine)
    return metrics is not None and bool(metrics.times)


def tells_progress(engine: Engine) -> bool:
    """Whether an engine tells that it hangs."""
    metrics = published(engine)
    return metrics is not None and metrics.tells_progress


def slo_left_out(alarms: Sequence[Alarm], engines: Sequence[Engine], without_target: str = "") -> Iterator[str]:
    """Why some alarms on what clients were promised and on waiting requests are missing.

    *without_target*: the reason where it has none.
    """
    slow = next((alarm for alarm in alarms if alarm.target_seconds is not None), None)
    if slow is None:
        yield without_target
        return
    words = "latency" if slow.name == "latency" else "TTFT"
    for engine in engines:
        if published(engine) is not None:
            if any(map(tells_times, engines)) and not tells_times(engine):
                yield without_times(words, engine)
            continue
        switch = METRICS[engine].switched_on_by if engine in METRICS else ""
        why = f"publishes metrics with {switch} in its options file only" if switch else "has no known metrics"
        missing = f"alarms on {words} and waiting requests" if slow.from_engine else "alarm on waiting requests"
        yield f"no {missing} of {engine.value}, which {why}"


def stalled_left_out(engines: Sequence[Engine]) -> Iterator[str]:
    """Why the alarm on engines that hang is missing for some."""
    for engine in engines:
        if not tells_progress(engine):
            yield f"no alarm where {engine.value} hangs, which has no known count of its progress"


def shared_left_out(groups: Sequence[ComputeGroup]) -> Iterator[str]:
    """Why groups that share their GPUs have no alarms on how busy and full these are."""
    shared = sorted({group.sharing.words for group in groups if group.sharing is not None})
    if shared:
        which = " or ".join(shared)
        yield f"no alarms on idle GPUs and their memory where each has {which}: neither is published of a part"


_WINDOW_SECONDS = 300
STALL_SECONDS = 180
"""Window of the query for an engine that hangs: no working one goes without a token for as long."""
_FRONTEND_ANSWERS = Answers("dynamo_frontend_requests_total", "", 'status="error"')
"""Counter of Dynamo, whose workers speak no HTTP; its errors include those of clients."""
_ENDED = 'phase=~"Failed|Succeeded"'
_NOT_READY = "pods_not_ready"
_SUBJECTS = {
    "ttft": "TTFT",
    "latency": "latency",
    "waiting_requests": "waiting requests",
    "server_errors": "errors",
    "engine_stalled": "engines that hang",
    _NOT_READY: "pods that never become ready",
}
"""Alert → what it watches, in words."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert of Prometheus."""

    name: str
    """In the form of alerts, such as InferenceTtft."""
    subject: str
    """Key of the backend or group that it watches."""
    expression: str
    wait_seconds: int
    """How long the expression has a result before the alert rings."""
    summary: str


def rules_of(stack: Stack, region: str, *, is_weighted: bool = False) -> tuple[Rule, ...]:
    """The alerts on the cluster of a region: each SLO alarm for each backend, and pods that never become ready.

    *is_weighted*: a Deployment ``route-weights`` looks after the weights of its backends.
    """
    backends = [backend for backend in stack.backends if backend.region == region]
    groups = [group for group in stack.groups if group.region == region]
    watched: list[tuple[WatchedModel | None, Alarm]] = [(None, alarm) for alarm in stack.slo_alarms]
    watched += [(model, alarm) for model in stack.models for alarm in model.alarms]
    slo = [
        Rule(
            name=_alert_name(alarm.name),
            subject=model.workload if model else backend.key,
            expression=query,
            wait_seconds=wait_seconds(alarm),
            summary=alert_words(stack, alarm, backend),
        )
        for model, alarm in watched
        for backend in backends
        if (query := slo_query(stack, alarm, backend, f'namespace="{stack.name}"', "namespace", model))
    ]
    # Dynamo's frontend answers for all backends of a region.
    slo = list({rule.expression: rule for rule in reversed(slo)}.values())[::-1]
    weights = [_unweighted(stack)] if is_weighted else []
    return (*slo, *(_not_ready(stack, group) for group in groups), *weights)


def _unweighted(stack: Stack) -> Rule:
    """The alert on a program that keeps no weights: its pod is gone, or its looks fail, which makes it unready."""
    pods = f'namespace="{stack.name}",deployment="route-weights"'
    return Rule(
        name=_alert_name("route_weights"),
        subject="route-weights",
        expression=f"max by (namespace) (kube_deployment_status_replicas_available{{{pods}}}) == 0",
        wait_seconds=_WINDOW_SECONDS,
        summary="Nothing looks after the weights of the route: a backend without ready pods keeps its requests.",
    )


def watched_words(stack: Stack) -> str:
    """Subjects of the alerts of all regions, in words: ``TTFT, waiting requests and pods that never become ready``."""
    names = {
        rule.name for served in stack.serving for region in served.regions for rule in rules_of(served, region.name)
    }
    subjects = [words for name, words in _SUBJECTS.items() if _alert_name(name) in names]
    *first, last = subjects
    return f"{', '.join(first)} and {last}" if first else last


def left_out(stack: Stack) -> Iterator[str]:
    """Why alarms are missing: on clusters the engines alone tell times and count answers, and some do not."""
    alarms = [*stack.slo_alarms, *(alarm for model in stack.models for alarm in model.alarms)]
    for engine in dict.fromkeys(backend.container.engine for backend in stack.backends):
        metrics = published(engine)
        if metrics is not None and not metrics.times and any(alarm.per_request_rate for alarm in alarms):
            yield without_times(stack.latency_words, engine)
        if metrics is None or not (metrics.answers or metrics.failed):
            yield f"no alarm on server errors of {engine.value}, which has no known count of its answers by status"


def alert_words(stack: Stack, alarm: Alarm, backend: Backend) -> str:
    """Words of an alert; engines that count failures without their status count those of clients, too."""
    metrics = published(backend.container.engine)
    counts_clients = stack.form is Form.DYNAMO or (metrics is not None and bool(metrics.failed))
    if alarm.name != "server_errors" or not counts_clients:
        return alarm.description
    return f"More than {alarm.threshold:g} percent of the requests fail, those that clients sent wrong among them."


def wait_seconds(alarm: Alarm) -> int:
    """Seconds that a query has a result before the alert rings: the alarm's, less the window of the query."""
    window = STALL_SECONDS if alarm.is_stall else _WINDOW_SECONDS
    return max(0, alarm.periods * alarm.period_seconds - window)


def slo_query(
    stack: Stack, alarm: Alarm, backend: Backend, series: str, by: str, model: WatchedModel | None
) -> str:  # fmt: skip
    """A query that has a result while *alarm* is beyond its threshold; "" where the engine publishes nothing for it.

    *model*: that of the server's that is asked for; None: it has one.
    """
    groups = [group for group in stack.groups if group.backend == backend.key]
    of_pods = f'{series},pod=~"({"|".join(pods_start(stack, group) for group in groups)})-.+"'
    of_pods += f',model="{model.name}"' if model else ""
    each = [group.replicas_per_instance * group.joined_replicas for group in groups]
    planned = [group.requests_per_second_per_instance / count for group, count in zip(groups, each, strict=True)]
    rate = model.requests_per_second if model else min(planned)
    metrics = published(backend.container.engine)
    if metrics is None:
        return ""
    if alarm.is_stall:
        return metrics.stalled_query(of_pods, f"{STALL_SECONDS}s", f"{by}, pod") if metrics.tells_progress else ""
    if alarm.name == "server_errors":
        rates = _error_rates(stack, metrics, series, of_pods, by)
        return f"100 * {rates[0]} / {rates[1]} > {alarm.threshold:g}" if rates else ""
    if alarm.name == "waiting_requests":
        waiting = f"avg by ({by}) (avg_over_time({metrics.waiting}{{{of_pods}}}[{_WINDOW_SECONDS}s]))"
        counted = backend.container.counted_per_request
        return f"{waiting} > {alarm.threshold_at(rate * counted):g}"
    if not metrics.times:
        return ""
    quantile = metrics.quantile_query(1 - alarm.threshold / 100, of_pods, f"{_WINDOW_SECONDS}s", by)
    return f"{quantile} > {alarm.target_seconds:g}"


def _error_rates(
    stack: Stack, metrics: EngineMetrics, series: str, of_pods: str, by: str
) -> tuple[str, str] | None:  # fmt: skip
    if stack.form is Form.DYNAMO:
        metrics, of_pods = replace(metrics, answers=_FRONTEND_ANSWERS), f'{series},pod=~"{stack.name}-frontend-.+"'
    return metrics.error_rates(of_pods, f"{_WINDOW_SECONDS}s", by)


def _not_ready(stack: Stack, group: ComputeGroup) -> Rule:
    """The alert on a pod that is not ready for longer than the plan's start time.

    Pods that ended, as those of a spot node that was taken back do, are waited for by nobody.
    """
    pods = f'namespace="{stack.name}",pod=~"{pods_start(stack, group)}-.+"'
    unready = f'max by (namespace, pod) (kube_pod_status_ready{{{pods},condition="true"}}) == 0'
    ended = f"max by (namespace, pod) (kube_pod_status_phase{{{pods},{_ENDED}}}) == 1"
    return Rule(
        name=_alert_name(_NOT_READY),
        subject=group.key,
        expression=f"{unready} unless {ended}",
        wait_seconds=group.start_seconds,
        summary="A pod is not ready for longer than the plan lets a start take.",
    )


def _alert_name(name: str) -> str:
    return f"Inference{name.title().replace('_', '')}"
