"""Values that the targets on Google Cloud share: groups and backends as its provider takes them, alarms of hosts.

Sources: Google's guides to GPU machine types, managed instance groups, autoscaling and TPUs in Compute Engine, and the
provider's reference, its lists of Ops Agent and load balancing metrics and its guide to PromQL in Cloud Monitoring,
read in November 2026.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from advisor.codegen.alarms import Alarm
from advisor.codegen.container import Engine, Region
from advisor.codegen.engines.metrics import METRICS, EngineMetrics, histogram_query, published
from advisor.codegen.model import ComputeGroup, Scaling, ScheduledSize, Stack
from advisor.codegen.platforms import machine_of
from advisor.codegen.prometheus_rules import STALL_SECONDS, wait_seconds
from advisor.codegen.turns import has_hand_overs, lingering, serving_minutes
from advisor.records import dataclass, replace
from advisor.units import MINUTES_PER_DAY, MINUTES_PER_WEEK, MS_PER_SECOND, SECONDS_PER_MINUTE

_GPU_MEMORY = "agent_googleapis_com:gpu_memory_bytes_used"
_QUERIES = {
    "gpu_idle": "avg(agent_googleapis_com:gpu_utilization{HOSTS})",
    "gpu_memory": (
        f'max(100 * sum by (instance_id, gpu_number) ({_GPU_MEMORY}{{HOSTS,memory_state="used"}})'
        f" / sum by (instance_id, gpu_number) ({_GPU_MEMORY}{{HOSTS}}))"
    ),
    "host_memory": 'max(agent_googleapis_com:memory_percent_used{HOSTS,state="used"})',
    "host_disk": 'max(agent_googleapis_com:disk_percent_used{HOSTS,state="used",device!~".*loop.*"})',
}
"""Query compared with the threshold, without snaps, which are always full; HOSTS picks those of the deployment."""
_OF_EACH_GROUP = {"unhealthy_hosts": "sum", "metrics_silent": "count"}
"""The Ops Agent records 1 for each host whose engine answers and 0 for each whose engine does not."""
_LINES = {"agent_silent": "advisor-agent.service: Failed"}
"""What systemd writes when a service ends, and the startup script when the agent cannot be installed."""
_WEEK_SECONDS = "vector((time() + 259200) % 604800)"
"""Seconds since Monday 00:00 UTC: time began on a Thursday."""
_ABSENT_SECONDS = 300
ABSENT_TITLE = "no-host-at-its-hours"
ABSENT = (
    "No host of a group answers at an hour at which the plan has one: what handed over to it has gone or is about to."
)
_STRAY_TITLE = "hosts-outside-hours"
_STRAY = "A host of a group runs at an hour at which the plan has none: paid for and not planned."
_STRAY_SECONDS = 1800
"""Time that a host takes to go, beside that of a start for which an autoscaler keeps what it had."""
_NO_REQUESTS = "No request for an hour that had some a week before: paid for and not used."
_REQUESTS = "loadbalancing_googleapis_com:https_internal_request_count"
_HOST_TIMES = "loadbalancing_googleapis_com:https_internal_backend_latencies"
"""Distribution in milliseconds."""


def metric_alerts(stack: Stack) -> Mapping[str, Mapping[str, object]]:
    """Alarms by title, those on engines by group and title: a query that has a result while the alarm rings."""
    return {**_host_queries(stack), **dict(_slo_queries(stack)), **dict(_by_the_clock(stack))}


def _by_the_clock(stack: Stack) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Alarms on groups that may be empty: hosts at hours at which the plan has none, and no host at others.

    The second of groups that hand over alone: whether those of others answer, requests tell.
    """
    for group in stack.groups:
        hours = serving_minutes(group) if group.min_instances == 0 else ()
        up = f'up{{job="inference",deployment="NAME",group="{group.key}"}}'
        if hours and has_hand_overs(stack):
            query = f"((sum({up}) or vector(0)) < 1) and on() ({_within(hours)})"
            yield f"{group.key}/{ABSENT_TITLE}", {"description": ABSENT, "query": query, "seconds": _ABSENT_SECONDS}
        if hours:
            windows = serving_minutes(replace(group, schedule=tuple(lingering(stack, group)), start_seconds=0))
            query = f"(count({up}) > 0) unless on() ({_within(windows)})"
            seconds = _STRAY_SECONDS + 60 * math.ceil(group.start_seconds / SECONDS_PER_MINUTE)
            yield f"{group.key}/{_STRAY_TITLE}", {"description": _STRAY, "query": query, "seconds": seconds}


def _within(hours: Sequence[tuple[int, int]]) -> str:
    """A query that has a result between some minutes of the week."""
    return " or ".join(f"{_WEEK_SECONDS} >= {60 * begin} < {60 * end}" for begin, end in hours)


def _slo_queries(stack: Stack) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Alarms on what clients were promised: 5xx of the load balancers, TTFT and queue of each group's engines."""
    for alarm in stack.slo_alarms:
        if not alarm.from_engine:
            yield alarm.title, _of_balancers(stack, alarm)
            continue
        for group in stack.groups:
            metrics = published(stack.backend_of(group).container.engine)
            if metrics is not None and _is_told(alarm, metrics):
                yield f"{group.key}/{alarm.title}", _of_engine(stack, alarm, group, metrics)


def _is_told(alarm: Alarm, metrics: EngineMetrics) -> bool:
    """Whether an engine publishes what an alarm asks for."""
    if alarm.is_stall:
        return metrics.tells_progress
    return bool(metrics.times) or alarm.target_seconds is None


def scraped(engine: Engine) -> str:
    """Regular expression of the metrics that hosts send on; an image of the user's own may hold any engine."""
    known_engines = [METRICS[engine]] if engine in METRICS else METRICS.values()
    return "|".join(sorted({name for metrics in known_engines for name in metrics.load}))


def _of_engine(stack: Stack, alarm: Alarm, group: ComputeGroup, metrics: EngineMetrics) -> Mapping[str, object]:
    picked = f'deployment="NAME",group="{group.key}"'
    if alarm.is_stall:
        query = metrics.stalled_query(picked, f"{STALL_SECONDS}s", "instance")
        return {"description": alarm.description, "query": query, "seconds": wait_seconds(alarm)}
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
    queries: dict[str, Mapping[str, object]] = {}
    for alarm in stack.alarms:
        if alarm.name in _QUERIES:
            queries[alarm.title] = _query(alarm, _QUERIES[alarm.name], alarm.threshold)
        elif alarm.name == "no_requests":
            queries[alarm.title] = {"description": _NO_REQUESTS, "query": _no_requests(stack, alarm), "seconds": 0}
    return queries


def descriptions(stack: Stack) -> Mapping[str, str]:
    """Description of every alarm, by title, as it is made here."""
    alarms = (*stack.alarms, *stack.slo_alarms)
    told = {alarm.title: _NO_REQUESTS if alarm.name == "no_requests" else alarm.description for alarm in alarms}
    of_groups = {title.partition("/")[2]: str(alert["description"]) for title, alert in _by_the_clock(stack)}
    return {**told, **of_groups}


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


_SMALLEST_CAPACITY = 0.1
LONGEST_WAIT_SECONDS = 3600
"""Of auto-healing's initial delay and of the autoscaler's initialisation period."""
_TOPOLOGIES: Mapping[str, Mapping[float, str]] = {
    "tpu-v5p-slice": {4: "2x2x1"},
    "tpu-v5-lite-podslice": {1: "1x1", 4: "2x2", 8: "2x4"},
    "tpu-v6e-slice": {1: "1x1", 4: "2x2", 8: "2x4"},
}
"""Arrangement of the chips of one host."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which an autoscaler keeps at least so many instances."""

    name: str
    """Stable and unique within a group."""
    cron: str
    """Start, five fields in UTC."""
    duration_seconds: int
    instances: int


@dataclass(frozen=True, slots=True)
class GoogleGroup:
    """A compute group as Compute Engine and GKE take it."""

    group: ComputeGroup
    machine_type: str
    accelerator_type: str
    """As Compute Engine and GKE name it."""
    accelerator_count: int
    attached: int
    """Accelerators to attach to the machine; 0 where its type brings them."""
    disk_type: str
    boot_disk_gib: int
    """Without the weights where the machine's own disks hold them."""
    provisioning_model: str
    """STANDARD, SPOT, or RESERVATION_BOUND for what starts from a reservation only."""
    interchangeable_types: tuple[str, ...]
    """Empty where accelerators are attached: a choice of types takes no notice of them."""
    tpu_topology: str
    """Of one host; "" for a GPU."""
    windows: tuple[Window, ...]
    """Scheduled scaling; empty where the number of instances follows no clock."""
    image: str
    """Path of the machine image's family."""
    min_instances: int
    """In the quietest hours."""

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones that sell the machine type; empty where they are not known."""
        return self.group.zone_names if self.group.zones_verified else ()

    @property
    def needs_reservation(self) -> bool:
        """Google starts it from a reservation only."""
        return self.provisioning_model == "RESERVATION_BOUND"

    @property
    def warmup_seconds(self) -> int:
        """Time after a start in which an autoscaler does not count an instance."""
        return min(self.group.start_seconds, LONGEST_WAIT_SECONDS)

    @property
    def heals(self) -> bool:
        """Unanswered health checks replace an instance: not where a slow start may take longer than repair can wait."""
        return self.group.start_limit_seconds <= LONGEST_WAIT_SECONDS


def google_groups(stack: Stack) -> tuple[GoogleGroup, ...]:
    """The groups of *stack* in the words of Google Cloud, in their order."""
    return tuple(_google_group(stack, group, _fewest(stack, group)) for group in stack.groups)


def _fewest(stack: Stack, group: ComputeGroup) -> int:
    """Instances of a group in the quietest hours; load does not wake an empty group."""
    return max(1, group.min_instances) if stack.scaling is Scaling.REACTIVE else group.min_instances


def _google_group(stack: Stack, group: ComputeGroup, min_instances: int) -> GoogleGroup:
    machine = machine_of(group.instance_type)
    accelerator_type = machine.family.accelerator_type
    project, _, family = group.platform.machine_image.partition("/")
    return GoogleGroup(
        group=group,
        machine_type=machine.machine_type,
        accelerator_type=accelerator_type,
        accelerator_count=int(group.accelerator_count),
        attached=machine.attached,
        disk_type=machine.family.disk_type,
        boot_disk_gib=group.host_disk_gib,
        provisioning_model=_provisioning_model(group, starts_on_demand=machine.family.starts_on_demand),
        interchangeable_types=() if machine.attached else group.interchangeable_types,
        tpu_topology=_TOPOLOGIES.get(accelerator_type, {}).get(group.accelerator_count, ""),
        windows=windows_of(lingering(stack, group), min_instances),
        image=f"projects/{project}/global/images/family/{family}",
        min_instances=min_instances,
    )


def example_zones(stack: Stack, region: Region) -> list[str]:
    """Zones of a region that sell what its groups run on; letters of the alphabet where they are not known."""
    sold_in = [set(group.zone_names) for group in stack.groups if group.region == region.name and group.zone_names]
    names = sorted(set.union(*sold_in)) if sold_in else []
    return names if len(names) >= region.zones else [f"{region.name}-{letter}" for letter in "abcdef"[: region.zones]]


def _provisioning_model(group: ComputeGroup, *, starts_on_demand: bool) -> str:
    if group.is_spot:
        return "SPOT"
    return "STANDARD" if starts_on_demand else "RESERVATION_BOUND"


def windows_of(schedule: Sequence[ScheduledSize], at_least: int) -> tuple[Window, ...]:
    """The times in which more than *at_least* instances are wanted, from the entries of a weekly schedule.

    Entries of several weekdays become one window where they last equally long.
    """
    starts = sorted((_minute(day, entry), entry) for entry in schedule for day in entry.weekdays)
    days: dict[tuple[int, int, int, int], list[int]] = {}
    for number, (minute, entry) in enumerate(starts):
        following = starts[(number + 1) % len(starts)][0]
        lasts = (following - minute) % MINUTES_PER_WEEK or MINUTES_PER_WEEK
        if entry.instances > at_least:
            key = (entry.hour, entry.minute, lasts, entry.instances)
            days.setdefault(key, []).append(minute // MINUTES_PER_DAY + 1)
    return tuple(_window(*key, weekdays) for key, weekdays in sorted(days.items()))


def _minute(day: int, entry: ScheduledSize) -> int:
    """Minutes from Monday 00:00."""
    return (day - 1) * MINUTES_PER_DAY + entry.hour * 60 + entry.minute


def _window(hour: int, minute: int, lasts_minutes: int, instances: int, weekdays: Iterable[int]) -> Window:
    start = ScheduledSize(hour, minute, tuple(weekdays), instances)
    return Window(f"from-{start.name}-for-{lasts_minutes}m", start.cron, lasts_minutes * 60, instances)


def capacities(groups: Iterable[ComputeGroup]) -> Mapping[str, float]:
    """Share of each group's rate that makes a load balancer spread the requests by the weights, by key.

    A load balancer spreads them in proportion to ``rate × share × healthy instances``. Google takes 0 for none, and
    0.1 to 1.
    """
    per_rate = {
        group.key: group.weight / (group.requests_per_second_per_instance * max(1, group.instances)) for group in groups
    }
    most = max(per_rate.values())
    if most == 0:
        return dict.fromkeys(per_rate, 1.0)
    return {key: max(_SMALLEST_CAPACITY, round(share / most, 3)) if share else 0.0 for key, share in per_rate.items()}
