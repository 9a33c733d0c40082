"""Model of a deployment, small and cloud-neutral: every decision and all arithmetic are in it before a template runs.

Generators only read these values, so that two languages can never disagree about a number.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from advisor import units
from advisor.codegen.alarms import Alarm
from advisor.codegen.container import (
    Agent,
    Api,
    Backend,
    Form,
    LoadBalancer,
    Pin,
    Platform,
    Quota,
    Region,
    Runtime,
    ServedAdapter,
    Stage,
)
from advisor.codegen.gpu_sharing import GpuSharing
from advisor.cost.response_cache import PlannedCache
from advisor.demand.values import Unit
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field, replace

START_PATIENCE = 2
"""Times the predicted start, at its upper edge, that one is waited for before it counts as failed."""
_START_STEP_SECONDS, _RESTART_STEP_SECONDS = 3600, 300
"""Least of the time that a start and a restart may take, in whose multiples it is told."""
_OF_REPLICAS = "container-apps"
"""Target whose containers hold a replica each."""


class Scaling(StrEnum):
    """Decider of how many instances run (the plan's policy)."""

    STATIC = "static"
    SCHEDULED = "scheduled"
    REACTIVE = "reactive"


@dataclass(frozen=True, slots=True)
class ScheduledSize:
    """Number of instances from this time of these days on (UTC), until the next entry."""

    hour: int
    minute: int
    weekdays: tuple[int, ...]
    """1 Monday to 7 Sunday, ascending."""
    instances: int

    @property
    def name(self) -> str:
        """Stable and unique within a group, such as ``0745-12345``."""
        return f"{self.hour:02}{self.minute:02}-{''.join(map(str, self.weekdays))}"

    @property
    def minutes_of_week(self) -> Sequence[int]:
        """Minutes from Monday 00:00 UTC, one on each of its days."""
        of_day = self.hour * units.MINUTES_PER_HOUR + self.minute
        return [(day - 1) * units.MINUTES_PER_DAY + of_day for day in self.weekdays]

    @property
    def cron(self) -> str:
        """Five fields, in UTC; Sunday is 0."""
        days = "*" if len(self.weekdays) == 7 else ",".join(str(day % 7) for day in self.weekdays)
        return f"{self.minute} {self.hour} * * {days}"


def _whole_steps(seconds: int, step: int) -> int:
    """Seconds of whole steps, one at least."""
    return step * max(1, math.ceil(seconds / step))


def at_times(changes: Iterable[tuple[int, int]]) -> tuple[ScheduledSize, ...]:
    """Entries by time of day, of the minutes of the week from which on so many instances run."""
    days: dict[tuple[int, int], list[int]] = {}
    for minute, size in changes:
        day, minute_of_day = divmod(minute, units.MINUTES_PER_DAY)
        days.setdefault((minute_of_day, size), []).append(day + 1)
    return tuple(
        ScheduledSize(*divmod(minute_of_day, units.MINUTES_PER_HOUR), tuple(sorted(weekdays)), size)
        for (minute_of_day, size), weekdays in sorted(days.items())
    )


def turns(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Minutes and sizes that differ from the one before; the first follows the last, a week earlier."""
    return [after for before, after in zip([*sizes[-1:], *sizes[:-1]], sizes, strict=True) if before[1] != after[1]]


class Hours(NamedTuple):
    """Hours of a group in a week."""

    running: float
    """In which any instance runs."""
    billed: float
    """Of instances."""


@dataclass(frozen=True, slots=True)
class ComputeGroup:
    """Equal instances that start, scale and are bought together."""

    key: str
    """Stable from plan to plan and unique: a slug of at most 38 characters of region, type, precision, layout and
    purchase. Code keys its resources by it."""
    region: str
    backend: str
    """Key of the :class:`Backend` that its instances answer for."""
    weight: int
    """Per mille of the stack, 1000 together: of all requests in the busiest hours where all of them run then; 0 in a
    cut-over alone."""
    zones: int
    """Fewest zones that its instances are spread over."""
    zone_names: tuple[str, ...]
    """Zones of the region that sell the type; empty: not known by name."""
    zones_verified: bool
    """A source lists the type in these zones; otherwise they are those of the region."""
    instance_type: str
    interchangeable_types: tuple[str, ...]
    """Other types of the plan that serve the same way: a wider choice of capacity."""
    accelerator: str
    accelerator_count: float
    platform: Platform
    is_spot: bool
    is_serverless: bool
    """A service that runs and is paid for by the request, and may scale to zero."""
    is_managed: bool
    """A service that runs the endpoint on instances of its own, and sells them by the hour."""
    commitments: tuple[str, ...]
    """Instrument, term and payment of what the plan buys ahead for it; bought in the console, not by code."""
    committed_instances: int
    """So many of the instances are paid for by commitments."""
    instances: int
    """In the busiest hours."""
    min_instances: int
    """In the quietest hours."""
    max_instances: int
    """With the room that a rolling replacement takes, and the headroom of reactive scaling."""
    schedule: tuple[ScheduledSize, ...]
    """Empty unless the plan scales by the clock; entries are early enough for instances to serve at their hour."""
    requests_per_second_per_instance: float
    """Sustained within the SLO: what target tracking aims at."""
    root_volume_gib: int
    """Room for system, serving image and weights."""
    start_seconds: int
    """From the order until the model answers, at the upper edge: what the plan orders ahead by, where it does."""
    usd_per_hour: float
    """Of one instance."""
    usd_per_month: float
    """Of its instances in the hours of the week, at :attr:`usd_per_hour`."""
    replicas_per_instance: int
    accelerators_per_replica: int
    checkpoint_gib: int
    """Weights on disk, with a margin."""
    concurrent_requests_per_instance: int
    """As many as its replicas serve at a time; more of them wait in the engine."""
    priced_disk_gib: int | None = None
    """Boot disk of a host, as the plan prices it; None: a record of what runs that does not say it."""
    node_disk_gib: int | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """Disk of a node that pods of several workloads share; None: its replicas are alike."""
    sharing: GpuSharing | None = field(default=None, metadata=OMITTED_AT_DEFAULT)
    """How its nodes hand out each GPU to several replicas; None: a replica has whole ones."""
    serving_types: tuple[str, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """Other types of the plan that serve the same way, whatever they cost."""
    states_replicas: bool = field(default=False, metadata=OMITTED_AT_DEFAULT)
    """Its Deployment had a fixed number of pods in this directory: a number stays in it, though another decides."""
    loaded: tuple[ScheduledSize, ...] = field(default=(), metadata=OMITTED_AT_DEFAULT)
    """As the schedule, of the instances that the planned rate takes, without spare; empty: all of them."""
    compile_minutes: int = field(default=0, metadata=OMITTED_AT_DEFAULT)
    """Part of its start in which the engine compiles the model, where no earlier result is there."""
    joined_replicas: int = field(default=1, metadata=OMITTED_AT_DEFAULT)
    """Replicas of the plan that a pod serves behind one port, and that count as one here."""
    former_maximum: int = field(default=0, metadata=OMITTED_AT_DEFAULT)
    """Most nodes that it could have in this directory, where that is no less than now: so many may run."""

    @property
    def sizes_by_minute(self) -> Sequence[tuple[int, int]]:
        """Minutes of the week, from Monday 00:00 UTC, with the instances from then on; else the fewest at all hours."""
        minutes = ((minute, entry.instances) for entry in self.schedule for minute in entry.minutes_of_week)
        return sorted(minutes) or [(0, self.min_instances)]

    @property
    def loads_by_minute(self) -> Sequence[tuple[int, int]]:
        """Minutes as of :attr:`sizes_by_minute`, with the instances that the planned rate takes from then on."""
        minutes = ((minute, entry.instances) for entry in self.loaded for minute in entry.minutes_of_week)
        return sorted(minutes) or self.sizes_by_minute

    def hours_per_week(self, stop_hours: float) -> "Hours":
        """Hours by the schedule, with those for which each instance is billed after its last one (*stop_hours*)."""
        sizes = self.sizes_by_minute
        whole = [*sizes, (sizes[0][0] + units.MINUTES_PER_WEEK, sizes[0][1])]
        lasting = [((end - start) / units.MINUTES_PER_HOUR, size) for (start, size), (end, _) in pairwise(whole)]
        stops = sum(max(before - after, 0) for (_, before), (_, after) in pairwise(whole))
        running = sum(hours for hours, size in lasting if size)
        return Hours(running, sum(hours * size for hours, size in lasting) + stops * stop_hours)

    def containers(self, target: str) -> int:
        """Containers of an instance that a target bills; 1 where it bills instances."""
        return self.replicas_per_instance if target == _OF_REPLICAS else 1

    @property
    def host_disk_gib(self) -> int:
        """Boot disk that a host is ordered with: exactly what was priced."""
        return self.root_volume_gib if self.priced_disk_gib is None else self.priced_disk_gib

    @property
    def startable_types(self) -> tuple[str, ...]:
        """Types that spot capacity is taken of, the planned one first; on demand that one alone."""
        return (self.instance_type, *(self.interchangeable_types if self.is_spot else ()))

    @property
    def start_limit_seconds(self) -> int:
        """Time after which a start has failed: slower ones than predicted are waited for, an hour at least.

        In whole hours, since another number is another script of hosts, or template of pods, which replaces them.
        """
        return _whole_steps(START_PATIENCE * self.start_seconds, _START_STEP_SECONDS)

    @property
    def restart_seconds(self) -> int:
        """Time that an engine which answers no more has to come back, before its host is replaced: as long as a start.

        In whole five minutes, for the same reason.
        """
        return _whole_steps(self.start_seconds, _RESTART_STEP_SECONDS)

    @property
    def has_gpu(self) -> bool:
        """NVIDIA: GPU metrics and the agent's sampler exist."""
        return self.platform.runtime is Runtime.CUDA

    @property
    def tells_gpu_use(self) -> bool:
        """Clouds and NVML tell how busy a whole GPU is, and not a slice or a turn of it."""
        return self.has_gpu and self.sharing is None

    def at_all_hours(self, instances: int) -> "ComputeGroup":
        """The group with so many instances whatever the hour and the load."""
        return replace(
            self,
            instances=instances,
            min_instances=instances,
            max_instances=instances + self.max_instances - self.instances,
            schedule=(),
            usd_per_month=instances * self.usd_per_hour * units.HOURS_PER_MONTH,
        )

    def joined(self) -> "ComputeGroup":
        """The group with the replicas of an instance as one, which has their accelerators."""
        return replace(
            self,
            replicas_per_instance=1,
            accelerators_per_replica=self.accelerators_per_replica * self.replicas_per_instance,
            joined_replicas=self.replicas_per_instance,
        )

    def with_sizes(self, run: Mapping[int, int]) -> "ComputeGroup":
        """The group with other numbers of instances in place of those of its schedule, the most as it is.

        *run*: planned number → the number in its place.
        """
        if all(size == run[size] for _, size in self.sizes_by_minute):
            return self
        sizes = turns([(minute, run[size]) for minute, size in self.sizes_by_minute])
        if not sizes:
            return self.at_all_hours(self.instances)
        raised = replace(self, schedule=at_times(sizes), min_instances=min(size for _, size in sizes))
        more = raised.hours_per_week(0).billed - self.hours_per_week(0).billed
        more_usd = more * self.usd_per_hour * units.HOURS_PER_MONTH / units.HOURS_PER_WEEK
        return replace(raised, usd_per_month=round(self.usd_per_month + more_usd, 2))


def fewest_at_once(groups: Iterable[ComputeGroup]) -> int:
    """Instances of some groups together in the minute of the week in which these are fewest."""
    sizes = [group.sizes_by_minute for group in groups]
    minutes = {minute for size in sizes for minute, _ in size}
    return min((sum(size_at(size, minute) for size in sizes) for minute in minutes), default=0)


def sizes_together(groups: Sequence[ComputeGroup]) -> Sequence[tuple[int, int]]:
    """Minutes of the week with the instances of some groups together from then on, where their number changes."""
    sizes = [group.sizes_by_minute for group in groups]
    minutes = sorted({minute for size in sizes for minute, _ in size})
    totals = [(minute, sum(size_at(size, minute) for size in sizes)) for minute in minutes]
    return [after for at, after in enumerate(totals) if at == 0 or totals[at - 1][1] != after[1]]


def empties_beside(groups: Iterable[ComputeGroup], others: Iterable[ComputeGroup]) -> bool:
    """Whether some groups have no instance at a time at which others have some."""
    own, theirs = ([group.sizes_by_minute for group in members] for members in (groups, others))
    return any(
        not any(size_at(size, minute) for size in own) and any(size_at(size, minute) for size in theirs)
        for minute in {minute for size in (*own, *theirs) for minute, _ in size}
    )


def take_turns(groups: Sequence[ComputeGroup], others: Sequence[ComputeGroup]) -> bool:
    """Whether some groups are empty while others run, and at another time these while those run."""
    return empties_beside(groups, others) and empties_beside(others, groups)


def is_warmed(scaling: Scaling, group: ComputeGroup) -> bool:
    """Whether stopped instances of EC2 wait for a group that grows; spot capacity cannot be held that way."""
    return scaling is not Scaling.STATIC and not group.is_spot and group.min_instances < group.instances


def size_at(sizes: Sequence[tuple[int, int]], minute: int) -> int:
    """Instances at a minute of the week, from the minutes from which on there are so many, in their order."""
    return next((size for start, size in reversed(sizes) if start <= minute), sizes[-1][1])


@dataclass(frozen=True, slots=True)
class Budget:
    """Spending that is expected, and what is added before anyone is told."""

    usd_per_month: float | None
    """None: the catalog has no price of what the code deploys."""
    margin_ratio: float = 0.25
    """Disks, load balancer and data transfer are not in the plan's total."""
    of: str = "the plan"
    """Whose spending it is."""
    holds_entrances: bool = False
    """Whether the total holds Azure's entrances and the load balancers behind them."""
    difference: str = ""
    """How much more or less that is than the plan counts, or why it is not known; "": it is what the plan counts."""
    most_usd_per_month: float | None = None
    """Spending that the workload allows (``limits.max_usd_per_month``); None: it states none."""

    month_hours: tuple[int, int] = (units.LONGEST_MONTH_HOURS, units.HOURS_PER_MONTH)
    """Hours of the longest month, and of that of the plan."""

    def with_more(self, usd_per_month: float | None, of: str) -> "Budget":
        """The budget with so much more, of which it is; not known where either is not."""
        own = self.usd_per_month
        total = None if own is None or usd_per_month is None else round(own + usd_per_month, 2)
        return replace(self, usd_per_month=total, of=of)

    @property
    def at_most(self) -> str:
        """End of a sentence on the total and its margin."""
        most = self.most_usd_per_month
        return "" if most is None else f", but no more than the {most:,.2f} USD that the workload allows"

    @property
    def held(self) -> str:
        """Amount of the budget in words."""
        if self.usd_per_month is None:
            return "as large as budget_usd_per_month says, and none without it"
        return f"the total and a margin{self.at_most}"

    @property
    def meaning(self) -> str:
        """The amount in words."""
        return f"Total of {self.of} for a month of {units.HOURS_PER_MONTH} hours, in USD"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: what, and its value."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of the plan for the reader of the generated code."""

    workload: str
    model: str
    headlines: tuple[str, ...]
    """One for each group of equal instances."""
    demand: tuple[Row, ...]
    prediction: tuple[Row, ...]
    cost: tuple[Row, ...]
    not_included: str
    quotas: tuple[Quota, ...]
    commitments: tuple[str, ...]
    """What the plan buys ahead, in words; code does not buy it."""
    cautions: tuple[str, ...]
    """What the reader has to know before merging."""
    counted: frozenset[str] = frozenset()
    """Items of what regions charge beside machines that the total holds."""


@dataclass(frozen=True, slots=True)
class CutOver:
    """Groups that run beside what replaces them, or that wait for their requests beside what serves."""

    stage: Stage
    following: Stage
    """The next one."""
    retiring: tuple[ComputeGroup, ...]
    new: tuple[ComputeGroup, ...]
    members: frozenset[str]
    """Keys of those that share a backend with others: they get requests as long as they answer, in every stage."""
    usd_per_month: float | None
    """Compute beyond the plan, while both run; None: the catalog has no price of some of it."""
    checks: tuple[str, ...]
    """Commands that show whether the instances of the new groups serve; where there is none, of one that goes on."""
    removals: tuple[str, ...] = ()
    """Commands that remove from clusters what is left out at the end, before the nodes go."""
    zones: tuple[str, ...] = ()
    """Zones that inputs have to name beyond those of before, in words."""


@dataclass(frozen=True, slots=True)
class Component:
    """Code that is called from a larger program: a Terraform module, or a call of ``advisor.pulumi``."""

    plan: str
    """The plan as JSON, in ASCII."""
    choice: Mapping[str, str | int]
    """Named arguments of ``InferenceFleet.from_plan``: what is taken of the plan."""


@dataclass(frozen=True, slots=True)
class WatchedModel:
    """Model of a server that holds those of several workloads, with what was promised of it."""

    workload: str
    name: str
    """Label ``model`` of the server's metrics."""
    alarms: tuple[Alarm, ...]
    requests_per_second: float
    """Planned rate of a replica."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything of one cloud that a generator renders."""

    name: str
    """A slug of at most 24 characters."""
    provider: str
    target: str
    advisor_version: str
    plan_digest: str
    groups: tuple[ComputeGroup, ...]
    """In the order of their keys."""
    backends: tuple[Backend, ...]
    regions: tuple[Region, ...]
    scaling: Scaling
    load_balancer: LoadBalancer
    answer_tokens: float
    """Mean tokens of an answer."""
    alarms: tuple[Alarm, ...]
    """On hosts and what they cost."""
    slo_alarms: tuple[Alarm, ...]
    """``ttft`` or ``latency`` and ``waiting_requests``, where the workload has a target for them, and
    ``server_errors``."""
    slo_left_out: tuple[str, ...]
    """Which of them are missing for what, and why."""
    agent: Agent | None
    """None where no group has a GPU that it samples."""
    budget: Budget
    metrics_namespace: str
    tags: Mapping[str, str]
    owner: Mapping[str, str]
    """Team and environment that the workload names, by these words; tags that the user gives come before them."""
    summary: Summary
    on_nodes: bool = False
    """Whether the plan counts its machines as nodes of a cluster."""
    cut_over: CutOver | None = None
    """None: nothing retires."""
    form: Form = Form.MANIFESTS
    component: Component | None = None
    """None: a root of its own, with the whole source."""
    unit: Unit = Unit.TOKENS
    """Unit of the requests."""
    cache: PlannedCache | None = None
    """Response cache in front of the fleet; None: there is none."""
    tenants: tuple["Stack", ...] = ()
    """Workloads that its nodes run the pods of, each in a namespace of its own; empty: it runs its own pods."""
    nodes: str = ""
    """Label of the nodes that its pods run on, where a stack with tenants makes them; "": its own nodes."""
    models: tuple[WatchedModel, ...] = ()
    """Models of several workloads that its server holds; empty: it is of one workload."""
    idle_percent: float | None = None
    """Use of accelerators in percent below which an hour is idleness; None: quiet hours of the plan are no busier."""
    idle_left_out: str = ""
    """Why it has no alarm on idle accelerators; "": it has one, or none whose use a cloud tells."""
    inputs: frozenset[str] = frozenset()
    """Rare inputs that its code takes, by name."""
    check: str = ""
    """Command of its target that shows whether the instances of a group serve."""
    pins: tuple[Pin, ...] = ()
    """Names of engines among pins: of its backends, and of what the directory had before."""
    left_weights: bool = False
    """Whether former code left the weights of its entrances to a state machine."""

    @property
    def serving(self) -> tuple["Stack", ...]:
        """The stacks whose pods its nodes run."""
        return self.tenants or (self,)

    @property
    def owner_tags(self) -> Mapping[str, str]:
        """The owner as AWS and Azure write tags; Google's labels are lower case."""
        return {key.title(): value for key, value in self.owner.items()}

    @property
    def api(self) -> Api:
        """Requests that the backends answer."""
        return self.backends[0].container.api

    @property
    def adapters(self) -> tuple[ServedAdapter, ...]:
        """LoRA adapters that its backends start with."""
        return tuple(dict.fromkeys(adapter for backend in self.backends for adapter in backend.container.adapters))

    @property
    def has_local_adapters(self) -> bool:
        """Whether the hub lacks one of its adapters."""
        return not all(adapter.on_hub for adapter in self.adapters)

    @property
    def has_gpu(self) -> bool:
        """Any group publishes NVIDIA metrics."""
        return any(group.has_gpu for group in self.groups)

    @property
    def has_accelerators(self) -> bool:
        """Any group has more than processors."""
        return any(group.platform.runtime is not Runtime.CPU for group in self.groups)

    @property
    def has_processors(self) -> bool:
        """Any group has processors alone."""
        return any(group.platform.runtime is Runtime.CPU for group in self.groups)

    @property
    def has_spot(self) -> bool:
        """Any group is bought as spot."""
        return any(group.is_spot for group in self.groups)

    @property
    def start_seconds(self) -> int:
        """The longest start of any group."""
        return max(group.start_seconds for group in self.groups)

    @property
    def compile_minutes(self) -> int:
        """The longest compilation of any group."""
        return max(group.compile_minutes for group in self.groups)

    @property
    def latency_words(self) -> str:
        """Time that clients were promised, as people call it."""
        by_latency = self.unit.is_one_pass or any(alarm.name == "latency" for alarm in self.slo_alarms)
        return "latency" if by_latency else "TTFT"

    def with_cautions(self, *cautions: str) -> "Stack":
        """The stack that tells more to the reader of its code."""
        return replace(self, summary=replace(self.summary, cautions=(*self.summary.cautions, *cautions)))

    def queued_per_second(self, group: ComputeGroup) -> float:
        """Entries that queue in an instance of *group* each second at its planned rate: requests, or texts."""
        return group.requests_per_second_per_instance * self.backend_of(group).container.counted_per_request

    def share_of(self, part: Backend | ComputeGroup) -> int:
        """Weight among its like in the region; 1 where the region has none: whoever still calls it is answered."""
        parts: tuple[Backend | ComputeGroup, ...] = self.backends if isinstance(part, Backend) else self.groups
        return part.weight if any(other.weight for other in parts if other.region == part.region) else 1

    def members_of(self, backend: Backend) -> Sequence[ComputeGroup]:
        """Groups that answer for *backend*."""
        return [group for group in self.groups if group.backend == backend.key]

    @property
    def resting_backends(self) -> frozenset[str]:
        """Keys of backends that are empty at hours in which another one of the region has instances."""
        return frozenset(
            backend.key
            for backend in self.backends
            if any(
                empties_beside(self.members_of(backend), self.members_of(other))
                for other in self.backends
                if other.region == backend.region and other != backend
            )
        )

    def backend_of(self, group: ComputeGroup) -> Backend:
        """Backend that *group* answers for."""
        return next(backend for backend in self.backends if backend.key == group.backend)
