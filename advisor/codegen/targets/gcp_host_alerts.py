"""The alarms of a stack as Cloud Monitoring takes them, for hosts that run the Ops Agent.

Sources: Google's lists of Ops Agent and load balancing metrics and its guide to PromQL in Cloud Monitoring, read in
November 2026.
"""

from collections.abc import Iterator, Mapping

from advisor.codegen.alarms import Alarm
from advisor.codegen.engines.metrics import METRICS, EngineMetrics, histogram_query, published
from advisor.codegen.model import ComputeGroup, Stack
from advisor.codegen.wanted import Engine
from advisor.units import MS_PER_SECOND

_GPU_MEMORY = "agent_googleapis_com:gpu_memory_bytes_used"
_QUERIES = {
    "gpu_idle": "avg(agent_googleapis_com:gpu_utilization{HOSTS})",
    "gpu_memory": (
        f'max(100 * sum by (instance_id, gpu_number) ({_GPU_MEMORY}{{HOSTS,memory_state="used"}})'
        f" / sum by (instance_id, gpu_number) ({_GPU_MEMORY}{{HOSTS}}))"
    ),
    "host_memory": 'max(agent_googleapis_com:memory_percent_used{HOSTS,state="used"})',
}
"""What is compared with the threshold; HOSTS stands for what picks the hosts of the deployment."""
_OF_EACH_GROUP = {"unhealthy_hosts": "sum", "metrics_silent": "count"}
"""The Ops Agent records 1 for each host whose engine answers and 0 for each whose engine does not."""
_LINES = {"agent_silent": "advisor-agent.service: Failed"}
"""What systemd writes when a service ends, and the startup script when the agent cannot be installed."""
_NO_REQUESTS = "No request for an hour that had some a week before: paid for and not used."
_REQUESTS = "loadbalancing_googleapis_com:https_internal_request_count"
_HOST_TIMES = "loadbalancing_googleapis_com:https_internal_backend_latencies"
"""Distribution in milliseconds."""


def metric_alerts(stack: Stack) -> Mapping[str, Mapping[str, object]]:
    """Alarms by title, those on engines by group and title: a query that has a result while the alarm rings."""
    return {**_host_queries(stack), **dict(_slo_queries(stack))}


def _slo_queries(stack: Stack) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Alarms on what clients were promised: 5xx of the load balancers, TTFT and queue of each group's engines."""
    for alarm in stack.slo_alarms:
        if not alarm.from_engine:
            yield alarm.title, _of_balancers(stack, alarm)
            continue
        for group in stack.groups:
            metrics = published(stack.backend_of(group).container.engine)
            if metrics is not None and (metrics.times or alarm.target_seconds is None):
                yield f"{group.key}/{alarm.title}", _of_engine(stack, alarm, group, metrics)


def scraped(engine: Engine) -> str:
    """Regular expression of the metrics that hosts send on; an image of the user's own may hold any engine."""
    known_engines = [METRICS[engine]] if engine in METRICS else METRICS.values()
    return "|".join(sorted({name for metrics in known_engines for name in metrics.load}))


def _of_engine(stack: Stack, alarm: Alarm, group: ComputeGroup, metrics: EngineMetrics) -> Mapping[str, object]:
    picked = f'deployment="NAME",group="{group.key}"'
    if alarm.target_seconds is None:
        threshold = alarm.threshold_at(stack.queued_per_second(group))
        return _query(alarm, f"avg({metrics.waiting}{{{picked}}})", threshold)
    value = metrics.quantile_query(1 - alarm.threshold / 100, picked, f"{alarm.period_seconds}s")
    return _query(alarm, value, alarm.target_seconds)


def _of_balancers(stack: Stack, alarm: Alarm) -> Mapping[str, object]:
    """An alarm on the answers of the load balancers, or on the times that their hosts took for them."""
    if alarm.target_seconds is None:
        return _query(alarm, _failed_percent(stack, alarm), alarm.threshold)
    window = f"{alarm.period_seconds}s"
    value = histogram_query(_HOST_TIMES, 1 - alarm.threshold / 100, _entrances(stack), window)
    return _query(alarm, f"{value} / {MS_PER_SECOND:.0f}", alarm.target_seconds)


def _failed_percent(stack: Stack, alarm: Alarm) -> str:
    """Percentage of the requests answered with 5xx; nothing where there are none."""
    failed, every = (
        f"sum(rate({_requests(stack, condition)}[{alarm.period_seconds}s]))"
        for condition in (',response_code_class="500"', "")
    )
    return f"100 * {failed} / {every}"


def _query(alarm: Alarm, value: str, threshold: float) -> Mapping[str, object]:
    sign = "<" if alarm.below else ">"
    query = f"{value} {sign} {threshold:g}"
    return {"description": alarm.description, "query": query, "seconds": _seconds(alarm)}


def _host_queries(stack: Stack) -> Mapping[str, Mapping[str, object]]:
    found: dict[str, Mapping[str, object]] = {}
    for alarm in stack.alarms:
        if alarm.name in _QUERIES:
            found[alarm.title] = _query(alarm, _QUERIES[alarm.name], alarm.threshold)
        elif alarm.name == "no_requests":
            found[alarm.title] = {"description": _NO_REQUESTS, "query": _no_requests(stack, alarm), "seconds": 0}
    return found


def descriptions(stack: Stack) -> Mapping[str, str]:
    """Description of every alarm, by title, as it is made here."""
    alarms = (*stack.alarms, *stack.slo_alarms)
    return {alarm.title: _NO_REQUESTS if alarm.name == "no_requests" else alarm.description for alarm in alarms}


def _no_requests(stack: Stack, alarm: Alarm) -> str:
    """A load balancer without requests has no series, which counts as none.

    Neither the first hours after an apply nor the quiet ones of every week are idleness: there were requests a week
    before. Alerts on queries read up to two years of metrics.
    """
    now, before = (f"sum(increase({_requests(stack)}[{_seconds(alarm)}s]{offset}))" for offset in ("", " offset 1w"))
    return f"({now} or vector(0)) < {alarm.threshold:g} and {before} >= {alarm.threshold:g}"


def _requests(stack: Stack, condition: str = "") -> str:
    """Series of the requests of all entrances; *condition* starts with a comma."""
    return f"{_REQUESTS}{{{_entrances(stack)}{condition}}}"


def _entrances(stack: Stack) -> str:
    """Matchers of the series of all entrances."""
    entrances = "|".join(region.name for region in stack.regions)
    return f'monitored_resource="internal_http_lb_rule",url_map_name=~"NAME-({entrances})"'


def host_alerts(stack: Stack) -> Mapping[str, Mapping[str, object]]:
    """Alarms on the number of a group's hosts, by title: how the records of its hosts are added up."""
    return {
        alarm.title: {
            "description": alarm.description,
            "function": _OF_EACH_GROUP[alarm.name],
            "seconds": _seconds(alarm),
        }
        for alarm in stack.alarms
        if alarm.name in _OF_EACH_GROUP
    }


def log_alerts(stack: Stack) -> Mapping[str, Mapping[str, object]]:
    """Alarms on lines of the hosts' journals, by title: the text that rings."""
    return {
        alarm.title: {"description": alarm.description, "text": alarm.pattern or _LINES[alarm.name]}
        for alarm in stack.alarms
        if alarm.pattern or alarm.name in _LINES
    }


def _seconds(alarm: Alarm) -> int:
    return alarm.periods * alarm.period_seconds
