"""Which alarms a deployment needs, and at which numbers they ring."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace
from advisor.tables import OptionalText, Record, read_records
from advisor.units import SECONDS_PER_DAY
from advisor.workload.values import Slo

PERIOD_SECONDS = 300
_RESERVED_MEMORY_SHARE = 0.7
"""How far into the memory that the engine leaves free an alarm rings."""
_BEYOND_P95_PERCENT = 5
"""Share of the requests that a target at the 95th percentile lets pass it."""
_MS_PER_SECOND = 1000
_IDLE_OF_QUIETEST = 0.5
"""Share of the load of the quietest hours: accelerators that work less serve less than the plan expects of them."""
_LEAST_IDLE_PERCENT = 1.0
"""Least use that clouds and NVML tell from none: they count in whole percent."""
_FEWEST_VISIBLE, _MOST_VISIBLE = 64, 10_000
"""Requests that an engine takes up at once, where that limits what its metrics count."""
REQUESTS_WAITING, TARGET_REQUESTS, OVER_TARGET = "requests_waiting", "target_requests", "over_target"
"""Metrics that a host makes of its engine's: its queue, the requests that the target counts for, those beyond it."""
STALLED_MINUTES = "stalled_minutes"
"""The same: minutes for which it has had requests and made no progress."""


class Source(StrEnum):
    """Who publishes a metric."""

    HOST = "host"
    """The metrics agent on the hosts, summed up over the group."""
    LOAD_BALANCER = "load_balancer"
    """View of a backend."""
    ENTRANCE = "entrance"
    """A region's load balancer, with the answers that it makes itself."""
    KERNEL_LOG = "kernel_log"
    """Lines of the hosts' kernel log that match a pattern, counted."""
    CERTIFICATE = "certificate"
    """Authority of the load balancers' certificates."""
    ENGINE = "engine"
    """The engines' own metrics."""


class Missing(StrEnum):
    """Meaning of a period without data (the values are CloudWatch's)."""

    RINGS = "breaching"
    IS_FINE = "notBreaching"


@dataclass(frozen=True, slots=True)
class WatchedMetric:
    """*statistic* of *metric* for *periods* in a row."""

    name: str
    description: str
    metric: str
    statistic: str
    periods: int
    below: bool = False
    """Rings below the threshold, else above it."""

    @property
    def title(self) -> str:
        """The name in the form that resources are named in."""
        return self.name.replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm(WatchedMetric):
    """One alarm against *threshold*."""

    source: Source
    threshold: float
    missing: Missing = Missing.IS_FINE
    per_instance: bool = False
    """The threshold counts for each planned instance."""
    tolerated: float = field(default=0.0, metadata=OMITTED_AT_DEFAULT)
    """Taken off the threshold of all instances together: reports that may be late."""
    ratio_of: OptionalText = ""
    """The metric is divided by this one, in percent."""
    beside: OptionalText = ""
    """Counts on both sides of the ratio: part of the whole that neither metric holds."""
    needs_gpu: bool = False
    """Only groups with NVIDIA accelerators publish it."""
    needs_agent: bool = False
    """Only hosts that the advisor agent was installed on publish it."""
    pattern: OptionalText = ""
    """Text that a line of the kernel log holds."""
    period_seconds: int = PERIOD_SECONDS
    per_request_rate: bool = False
    """The threshold counts for each request per second that an instance is planned for."""
    target_seconds: float | None = None
    """Time that *metric* counts the requests beyond: to the first token, of answers in one pass to the whole one."""

    @property
    def is_stall(self) -> bool:
        """Whether it rings for an engine that hangs."""
        return self.metric == STALLED_MINUTES

    @property
    def from_engine(self) -> bool:
        """The engines publish what it is made of."""
        return self.source is Source.ENGINE

    def threshold_at(self, requests_per_second: float) -> float:
        """The threshold for an instance that is planned for so many per second of what queues; of 1 it never rings."""
        return max(1.0, round(self.threshold * requests_per_second, 1)) if self.per_request_rate else self.threshold

    @property
    def quoted_pattern(self) -> str:
        """The pattern as one phrase of a CloudWatch filter."""
        return f'"{self.pattern}"'

    @property
    def rings_when_silent(self) -> bool:
        """A period without data counts as one beyond the threshold."""
        return self.missing is Missing.RINGS

    @property
    def needs_someone(self) -> bool:
        """Cannot ring for what may be empty: it has no fewest hosts, and a load balancer without requests is silent."""
        return self.per_instance or (self.source is Source.LOAD_BALANCER and self.rings_when_silent)


def idle_percent(quietest_load_ratio: float) -> float | None:
    """Use below which an hour of accelerators is idleness; None: the plan's own quiet hours are no busier than that.

    What carries a share of the rate that it sustains is busy for that share of the time, or longer: requests that come
    alone use it worse than those that share a pass. *quietest_load_ratio*: expected rate ÷ the rate that the instances
    sustain, in the hours in which that is least.
    """
    least = round(min(_rows()["gpu_idle"].number("threshold"), 100 * _IDLE_OF_QUIETEST * quietest_load_ratio), 1)
    return least if least >= _LEAST_IDLE_PERCENT else None


def idle_left_out(quietest_load_ratio: float) -> str:
    """Why a deployment has no alarm on idle accelerators; "" where it has one."""
    if idle_percent(quietest_load_ratio) is not None:
        return ""
    return (
        f"no alarm on idle accelerators: the plan's quietest hours have {100 * quietest_load_ratio:.2g} percent of the "
        "requests that its instances carry then, so that low use does not show an accelerator to be spare"
    )


def alarms_of(
    memory_utilization: float, start_seconds: int, *, has_gpu: bool, idle: float | None = None
) -> tuple[Alarm, ...]:
    """The alarms of a deployment.

    *start_seconds*: longest time from launch until the model answers; nothing rings for a host that is starting.
    *idle*: use in percent below which they are idle, see :func:`idle_percent`; None: that cannot be told.
    """
    starting = math.ceil(start_seconds / PERIOD_SECONDS) + 1
    silent = (_alarm(name, periods=starting) for name in ("unhealthy_hosts", "metrics_silent"))
    common = (*silent, _alarm("host_memory"), _alarm("host_disk"))
    if not has_gpu:
        return (_alarm("no_requests"), *common)
    taken_percent = 100 * memory_utilization
    threshold = round(taken_percent + 100 * (1 - memory_utilization) * _RESERVED_MEMORY_SHARE, 1)
    memory = _alarm("gpu_memory", {"taken": taken_percent}, threshold=threshold)
    of_use = () if idle is None else (_alarm("gpu_idle", threshold=idle),)
    return (*of_use, memory, _alarm("gpu_errors"), *common, _alarm("agent_silent", periods=starting))


@cache
def _rows() -> Mapping[str, Record]:
    return {row.text("name"): row for row in read_records(Path(__file__).with_name("alarms.csv"))}


def _alarm(row: str, words: Mapping[str, object] = MappingProxyType({}), **given: object) -> Alarm:
    """Alarm of a row of the table, with what is *given* in place of its cells; *words* of its description."""
    alarm = _rows()[row].value(Alarm, **given)
    return replace(alarm, description=alarm.description.format(threshold=alarm.threshold, **words))


@dataclass(frozen=True, slots=True)
class Promise:
    """Time that clients were promised, and the share of the requests that may take longer."""

    name: str
    """Name of the alarm: ``ttft``, or ``latency`` of whole answers."""
    title: str
    """As people call it: TTFT p95."""
    seconds: float
    beyond_percent: float

    @property
    def words(self) -> str:
        """The time without its percentile: TTFT, latency."""
        return self.title.split(" ")[0]


def promise_of(slo: Mapping[str, Any], demand: Mapping[str, Any]) -> Promise | None:
    """Promise of a workload to its clients, by its targets: TTFT, or the time to a whole answer in one pass.

    A real-time factor counts at the mean length of a recording; of two targets the tighter one. None: there is none,
    as of batch work, whose requests wait for each other by design.
    """
    if slo.get("latency_is_deadline"):
        return None
    if slo.get("ttft_p95_ms") is not None:
        return Promise("ttft", "TTFT p95", slo["ttft_p95_ms"] / _MS_PER_SECOND, _BEYOND_P95_PERCENT)
    targets_ms = [slo["latency_ms"]] if slo.get("latency_ms") is not None else []
    if slo.get("real_time_factor") is not None:
        targets_ms.append(slo["real_time_factor"] * demand["input_tokens"]["mean"])
    if not targets_ms:
        return None
    percentile = round(100 * slo.get("latency_percentile", Slo().latency_percentile), 3)
    title = f"latency p{percentile:g}"
    return Promise("latency", title, round(min(targets_ms) / _MS_PER_SECOND, 6), round(100 - percentile, 3))


def slo_alarms(promise: Promise | None) -> tuple[Alarm, ...]:
    """The alarms ``ttft`` or ``latency``, ``waiting_requests`` and ``server_errors`` on what clients were promised.

    Without a promise nobody can say what is too long, and the first two are left out.
    """
    if promise is None:
        return (_alarm("server_errors"),)
    told = {"title": f"{promise.title[:1].upper()}{promise.title[1:]}", "seconds": promise.seconds}
    times = {"threshold": promise.beyond_percent, "target_seconds": promise.seconds}
    slow = _alarm("promise", told, name=promise.name, **times)
    # Little's law: a queue of rate × time takes that time to empty.
    waiting = _alarm("waiting_requests", {"words": promise.words}, threshold=promise.seconds)
    return (slow, waiting, _alarm("server_errors"))


def certificate_alarm() -> Alarm:
    """The alarm on a certificate that nobody renews, later than clouds renew theirs."""
    return _alarm("certificate", period_seconds=SECONDS_PER_DAY)


def stalled_alarm() -> Alarm:
    """The alarm on an engine that hangs: it answers probes, and no client."""
    return _alarm("engine_stalled")


def at_balancer(slow: Alarm) -> Alarm:
    """The alarm by a percentile of the times that a load balancer measures, from its request to the host's answer."""
    return replace(
        slow,
        source=Source.LOAD_BALANCER,
        metric="TargetResponseTime",
        ratio_of="",
        statistic=f"p{100 - slow.threshold:g}",
    )


def visible_requests(alarms: Sequence[Alarm], requests_per_second: float) -> int | None:
    """Requests that an engine takes up at once, where an alarm can count no others; None: no alarm counts them.

    ``2 ** ceil(log2(2 * (longest queue + 1)))``, from 64 to 10,000, the most that OpenVINO Model Server takes: the
    queue that rings fits at least twice, and a plan that changes a little changes no command. *requests_per_second*:
    planned of what queues in an instance.
    """
    queues = [alarm.threshold_at(requests_per_second) for alarm in alarms if alarm.per_request_rate]
    if not queues:
        return None
    return min(max(1 << math.ceil(math.log2(2 * (max(queues) + 1))), _FEWEST_VISIBLE), _MOST_VISIBLE)
