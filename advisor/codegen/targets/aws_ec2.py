"""EC2 Auto Scaling groups behind internal Application Load Balancers, one in each region."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from advisor.codegen.alarms import (
    OVER_TARGET,
    PERIOD_SECONDS,
    REQUESTS_WAITING,
    STALLED_MINUTES,
    TARGET_REQUESTS,
    Alarm,
    Missing,
    Source,
    at_balancer,
    certificate_alarm,
)
from advisor.codegen.aws_places import has_budgets, is_sold_in_blocks, partition_of
from advisor.codegen.container import Backend, Container, Language, Region
from advisor.codegen.engines.metrics import GENERATION_SECONDS, EngineMetrics, published, without_times
from advisor.codegen.model import ComputeGroup, Scaling, ScheduledSize, Stack, is_warmed, sizes_together
from advisor.codegen.prometheus_rules import slo_left_out, stalled_left_out, tells_times
from advisor.codegen.rendering import ANSWERS, render, scaling_left_out
from advisor.codegen.rollout import leaves_weights
from advisor.codegen.targets.target import (
    Files,
    Target,
    backend_facts,
    in_each,
)
from advisor.codegen.turns import has_hand_overs, steps_of, waits_of
from advisor.records import replace

_FOLDER = "aws-ec2"
_FAILOVER = "aws_failover.asl.yaml.j2"

_NOT_TOLD = "-"
_PROGRESS = "progress"
"""Source of the alarm on engines that hang: hosts of those that tell it."""
"""In place of the name of a metric, where the engine has none."""
_MOST_BACKENDS = 5
"""Target groups that one action of a listener spreads requests over (AWS guide to Application Load Balancers)."""
_SECONDS_PER_MINUTE = 60
_SILENT_SECONDS = 3600
"""Heartbeat timeout of a lifecycle hook: a host that says nothing for so long while it starts is given up."""
_HEARTBEAT_SECONDS = 300
_LONGEST_WAIT_SECONDS = 48 * 3600
"""Wait of an instance in a lifecycle hook, whatever its heartbeats (EC2 Auto Scaling guide, November 2026)."""
_LONGEST_BUFFER_SECONDS = 3600
"""How far ahead of its forecast predictive scaling launches (EC2 Auto Scaling API)."""
_SPOT_DRAIN_SECONDS = 100
"""Of the 120 s between the notice and the end, for running requests; the container takes the rest."""
_WARMUP_SECONDS = 60
"""From the first answer until the load is spread: two health checks of 15 s, and a minute of metrics."""
_FAILED_PERIODS = 2
_EVERY_MIDNIGHT = "0 0 * * *"
_EXAMPLE_ACCOUNT = "123456789012"


def _obstacle(stack: Stack) -> str:
    if any(group.is_serverless for group in stack.groups):
        return "instances are not paid for by the request"
    backends = Counter(backend.region for backend in stack.backends)
    region, count = backends.most_common(1)[0]
    if count > _MOST_BACKENDS:
        return f"{count} kinds of instances in {region}, and a load balancer spreads requests over {_MOST_BACKENDS}"
    return ""


def _timed_at_balancer(stack: Stack) -> Stack:
    """The stack with the load balancer's percentile as its latency where no engine tells times of whole answers.

    Of a time to the first token the balancer knows nothing: there the alarm on it is left out.
    """
    engines = tuple(dict.fromkeys(backend.container.engine for backend in stack.backends))
    if any(map(tells_times, engines)):
        return stack
    if stack.latency_words != "latency":
        untimed = [without_times(stack.latency_words, engine) for engine in engines if published(engine) is not None]
        kept = tuple(alarm for alarm in stack.slo_alarms if alarm.target_seconds is None or not untimed)
        told = tuple(untimed) if len(kept) < len(stack.slo_alarms) else ()
        return replace(stack, slo_alarms=kept, slo_left_out=(*stack.slo_left_out, *told))
    alarms = tuple(at_balancer(alarm) if alarm.name == "latency" else alarm for alarm in stack.slo_alarms)
    return replace(stack, slo_alarms=alarms, slo_left_out=(*slo_left_out(alarms, engines), *stalled_left_out(engines)))


def _files(language: Language, stack: Stack) -> Files:
    answers = dict(sorted({**ANSWERS["aws"], "cidrBlock": "10.0.0.0/16"}.items()))
    context = {**_known(stack), "answers": answers}
    path = "failover.asl.yaml.tftpl" if language is Language.TERRAFORM else "inference/failover.asl.yaml"
    failover = {path: _FAILOVER} if context["fails_over"] else {}
    return render(language, _FOLDER, stack, context, failover, _left_out(stack, context))


def _left_out(stack: Stack, context: Mapping[str, Any]) -> tuple[str, ...]:
    """Templates that the stack does not need."""
    return scaling_left_out(stack) if context["fails_over"] else (*scaling_left_out(stack), "failover")


def _alarms(stack: Stack) -> tuple[Alarm, ...]:
    """Alarms that any of the groups or backends can have."""
    has_metrics = any(_pages(stack))
    of_slo = (alarm for alarm in stack.slo_alarms if has_metrics or not alarm.from_engine)
    return (*stack.alarms, certificate_alarm(), *of_slo)


def _pages(stack: Stack) -> Iterator[EngineMetrics]:
    """Metrics of the engines that publish any."""
    return filter(None, (published(backend.container.engine) for backend in stack.backends))


def _is_percentile(alarm: Alarm) -> bool:
    """Whether an alarm compares a percentile of the load balancer's own times with the target."""
    return alarm.source is Source.LOAD_BALANCER and alarm.target_seconds is not None


def _alarm(alarm: Alarm) -> Mapping[str, object]:
    """Facts of an alarm, without those that most of them share."""
    per = "longest_queue" if alarm.per_request_rate else "min_instances" if alarm.per_instance else ""
    facts = {
        "description": alarm.description,
        "source": _source(alarm),
        **_metrics_of(alarm),
        "statistic": alarm.statistic,
        "below": alarm.below,
        "threshold": 1 if alarm.per_request_rate else _threshold(alarm),
        "per": per,
        "tolerated": alarm.tolerated or "",
        "periods": alarm.periods,
        "period_seconds": "" if alarm.period_seconds == PERIOD_SECONDS else alarm.period_seconds,
        "missing": "" if alarm.missing is Missing.IS_FINE else alarm.missing.value,
        "needs_someone": alarm.needs_someone,
        "pattern": alarm.quoted_pattern if alarm.pattern else "",
    }
    return {name: fact for name, fact in facts.items() if fact != "" and fact is not False}


def _source(alarm: Alarm) -> str:
    """Who publishes the metric: all hosts, or those of them with a GPU or with the agent."""
    if alarm.source is not Source.HOST:
        return alarm.source.value
    return "agent" if alarm.needs_agent else "gpu" if alarm.needs_gpu else alarm.source.value


def _of_some(stack: Stack, alarm: Alarm) -> Mapping[str, str]:
    """The source of an alarm that only some of the engines with metrics can ring."""
    return {"source": _PROGRESS} if alarm.is_stall and _some_tell_progress(stack) else {}


def _some_tell_progress(stack: Stack) -> bool:
    """Whether engines that tell that they hang run beside engines with metrics that do not."""
    return len({page.tells_progress for page in _pages(stack)}) > 1


def _threshold(alarm: Alarm) -> float | None:
    return alarm.target_seconds if _is_percentile(alarm) else alarm.threshold


def _metrics_of(alarm: Alarm) -> Mapping[str, object]:
    """The metric; of a ratio all by the names that its expression gives them, where an absent count is none."""
    if not alarm.ratio_of:
        return {"metric": alarm.metric}
    if not alarm.beside:
        return {"metrics": {"part": alarm.metric, "whole": alarm.ratio_of}, "expression": "100 * part / whole"}
    return {
        "metrics": {"part": alarm.metric, "beside": alarm.beside, "whole": alarm.ratio_of},
        "expression": "100 * (FILL(part, 0) + FILL(beside, 0)) / (FILL(whole, 0) + FILL(beside, 0))",
    }


def _known(stack: Stack) -> Mapping[str, Any]:
    """Values that the templates use beside the stack."""
    return {
        "groups": {group.key: _group(stack, group) for group in stack.groups},
        "backends": {backend.key: _backend(stack, backend) for backend in stack.backends},
        "regions": {region.name: {"weight": region.weight, "subnets": region.subnets} for region in stack.regions},
        "alarms": {alarm.name: {**_alarm(alarm), **_of_some(stack, alarm)} for alarm in _alarms(stack)},
        "not_told": _NOT_TOLD,
        "some_tell_progress": _some_tell_progress(stack),
        "metric_names": {
            "requests": TARGET_REQUESTS,
            "over": OVER_TARGET,
            "waiting": REQUESTS_WAITING,
            "stalled": STALLED_MINUTES,
        },
        "told_alarms": _alarms(stack),
        "has_kernel_alarms": any(alarm.source is Source.KERNEL_LOG for alarm in stack.alarms),
        # The host script installs Docker where there is no GPU and the image lacks it.
        "package_regions": sorted({group.region for group in stack.groups if not group.has_gpu}),
        "networks": {region.name: _example_network(stack, region) for region in stack.regions},
        "example_secret": _example_secret(stack.regions[0]),
        "told_by_variable": any(_told_by_variable(backend.container) for backend in stack.backends),
        "plain_backends": [backend.key for backend in stack.backends if backend.container.tls_options is None],
        "spot_drain_seconds": _SPOT_DRAIN_SECONDS,
        # Where several backends are in a region, one may take over from another.
        "fails_over": leaves_weights(stack) or len(stack.backends) > len(stack.regions),
        "alone": list(_backends_of_one(stack)),
        "owns_weights": leaves_weights(stack),
        "hands_over": has_hand_overs(stack),
        "failover_periods": _failover_periods(stack),
        "warmup_seconds": _WARMUP_SECONDS,
        "silent_seconds": _SILENT_SECONDS,
        "heartbeat_seconds": _HEARTBEAT_SECONDS,
        "has_on_demand": not all(group.is_spot for group in stack.groups),
        "in_blocks": any(is_sold_in_blocks(group) for group in stack.groups),
        "generates": any(backend.container.generation_path for backend in stack.backends),
        "generation_seconds": GENERATION_SECONDS,
        "shares_port": any(backend.container.shares_port for backend in stack.backends),
        "has_quantiles": any(metrics.quantiles_us for metrics in _pages(stack)),
        "has_microseconds": any(metrics.latency_per_second != 1 for metrics in _pages(stack)),
        "has_metrics_ports": any(backend.container.metrics_port is not None for backend in stack.backends),
        "key_is_for": "Logs and alerts",
        "encrypts_logs": True,
        "has_budget": has_budgets(stack),
        "warms": any(is_warmed(stack.scaling, group) for group in stack.groups),
    }


def _backends_of_one(stack: Stack) -> Iterator[str]:
    """Backends with requests that have one instance at some hour, in regions with others that may take over."""
    for backend in stack.backends:
        sizes = sizes_together([group for group in stack.groups if group.backend == backend.key])
        others = [other for other in stack.backends if other.region == backend.region and other is not backend]
        if others and backend.weight and min((size for _, size in sizes if size), default=0) == 1:
            yield backend.key


def _failover_periods(stack: Stack) -> int:
    """Periods without a look that succeeds; longer than a host starts where a look fails for one that is missing."""
    if not has_hand_overs(stack):
        return _FAILED_PERIODS
    return max(alarm.periods for alarm in stack.alarms if alarm.name == "unhealthy_hosts")


def _group(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    return {
        "region": group.region,
        "backend": group.backend,
        "instance_types": list(group.startable_types),
        "spot": group.is_spot,
        "gpu": group.has_gpu,
        "instances": group.instances,
        "min_instances": group.min_instances,
        "max_instances": group.max_instances,
        **_scaling(stack, group),
        **_longest_queue(stack, group),
        "start_seconds": group.start_seconds,
        "start_limit_seconds": min(group.start_limit_seconds, _LONGEST_WAIT_SECONDS - _SILENT_SECONDS),
        "restart_seconds": group.restart_seconds,
        "root_volume_gib": group.host_disk_gib,
        "ami_parameter": group.platform.machine_image,
    }


def _longest_queue(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    """Queue of an instance beyond which an alarm rings, where the workload has a target that it would miss."""
    rate = stack.queued_per_second(group)
    longest = [alarm.threshold_at(rate) for alarm in stack.slo_alarms if alarm.per_request_rate]
    return {"longest_queue": longest[0]} if longest else {}


def _scaling(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    """Scaling settings of a group."""
    if stack.scaling is Scaling.STATIC:
        return {}
    warm = {"warm_pool": is_warmed(stack.scaling, group)}
    if stack.scaling is Scaling.SCHEDULED:
        return warm | {"schedule": _schedule(stack, group)}
    is_alone = [group.backend for group in stack.groups].count(group.backend) == 1
    return warm | {
        "requests_per_minute": _http_requests_per_second(stack, group) * _SECONDS_PER_MINUTE,
        "launch_ahead_seconds": min(group.start_seconds, _LONGEST_BUFFER_SECONDS) if is_alone else None,
    }


def _http_requests_per_second(stack: Stack, group: ComputeGroup) -> float:
    """HTTP requests that an instance is planned to answer, as its load balancer counts them.

    Clients that send items by themselves to one backend send them so to all.
    """
    each = max(backend.container.http_requests_per_request for backend in stack.backends)
    return group.requests_per_second_per_instance * each


def _schedule(stack: Stack, group: ComputeGroup) -> Mapping[str, object]:
    """Entries by name; a group that never changes is set once a day, since its size is left to the schedule.

    None gives up what others take over: what looks after the backends does that.
    """
    if not group.schedule:
        return {"daily": {"recurrence": _EVERY_MIDNIGHT, "instances": group.instances}}
    waiting = waits_of(stack, group)
    by_clock = (
        replace(entry, weekdays=tuple(day for day, minute in _days(entry) if (minute, entry.instances) not in waiting))
        for entry in group.schedule
    )
    return {
        entry.name: {"recurrence": entry.cron, "instances": entry.instances} for entry in by_clock if entry.weekdays
    }


def _days(entry: ScheduledSize) -> Iterator[tuple[int, int]]:
    """Days of an entry, each with its minute of the week."""
    return zip(entry.weekdays, entry.minutes_of_week, strict=True)


def _steps(stack: Stack, backend: Backend) -> Mapping[str, object]:
    """Planned instances by minute of the week, where any backend waits for others before it shrinks."""
    if not has_hand_overs(stack):
        return {}
    steps = steps_of(stack, backend)
    return {
        "steps": [
            {
                "minute": step.minute,
                "groups": dict(step.sizes),
                **({"needs": step.needs} if step.needs < step.instances else {}),
                **({"after": list(step.successors)} if step.successors else {}),
            }
            for step in steps
        ]
    }


def _backend(stack: Stack, backend: Backend) -> Mapping[str, object]:
    container = backend.container
    return {
        **backend_facts(backend, stack.load_balancer.host_port),
        "weight": stack.share_of(backend),
        **_model_variable(stack, container),
        "metrics": _metrics(stack, container),
        "protocol": "HTTP" if container.tls_options is None else "HTTPS",
        **({"generation_path": container.generation_path} if container.generation_path else {}),
        **({"former_keys": list(backend.former_keys)} if backend.former_keys else {}),
        **_steps(stack, backend),
    }


def _metrics(stack: Stack, container: Container) -> Mapping[str, object] | None:
    """Engine metrics that a host reads for the alarms; None where there is nothing to read or to compare with."""
    metrics = published(container.engine)
    compared = [alarm for alarm in stack.slo_alarms if alarm.from_engine]
    if metrics is None or not compared:
        return None
    targets = (alarm.target_seconds for alarm in compared if alarm.target_seconds is not None)
    own_port = {} if container.metrics_port is None else {"port": container.metrics_port}
    return {
        "path": metrics.path,
        "latency": metrics.times or _NOT_TOLD,
        "waiting": metrics.waiting,
        "target_seconds": next(targets, 0.0),
        "running": metrics.running or _NOT_TOLD,
        "progress": metrics.progress or _NOT_TOLD,
        **own_port,
    }


def _told_by_variable(container: Container) -> bool:
    """The image is told its model by a variable, and takes no command."""
    return bool(container.model_environment)


def _model_variable(stack: Stack, container: Container) -> Mapping[str, object]:
    """Text before the model where some image takes it from a variable; empty for those that do not."""
    if not any(_told_by_variable(backend.container) for backend in stack.backends):
        return {}
    is_told = _told_by_variable(container)
    return {"model_variable": f"{container.model_environment}={container.model_prefix}" if is_told else ""}


def _example_network(stack: Stack, region: Region) -> Mapping[str, object]:
    number = [region.name for region in stack.regions].index(region.name) + 1
    certificate = "00000000-0000-0000-0000-000000000000"
    return {
        "vpc_id": f"vpc-{number:017x}",
        "private_subnet_ids": [f"subnet-{16 * number + zone:017x}" for zone in range(region.subnets)],
        "certificate_arn": f"arn:{partition_of(region)}:acm:{region.name}:{_EXAMPLE_ACCOUNT}:certificate/{certificate}",
        "access_logs_bucket": f"load-balancer-logs-{region.name}",
    }


def _example_secret(region: Region) -> str:
    return f"arn:{partition_of(region)}:secretsmanager:{region.name}:{_EXAMPLE_ACCOUNT}:secret:hub-token-AbCdEf"


EC2 = Target(
    name="ec2",
    provider="aws",
    title="EC2 Auto Scaling",
    check="aws autoscaling describe-auto-scaling-groups --region {region} --filters "
    "Name=tag:Group,Values={key} --query "
    "'AutoScalingGroups[].Instances[].[InstanceId,LifecycleState,HealthStatus]'",
    renderers=in_each(_files),
    takes_cache=True,
    obstacle=_obstacle,
    completed=_timed_at_balancer,
)
