"""How many pods of a group run in a cluster: by the clock, or by what its engines finish and queue."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from advisor.codegen.container import Engine, Form, Runtime
from advisor.codegen.engines.metrics import EngineMetrics, published
from advisor.codegen.model import ComputeGroup, Scaling, ScheduledSize, Stack, sizes_together, turns
from advisor.codegen.workloads import pods_start
from advisor.records import dataclass, replace
from advisor.units import MINUTES_PER_DAY, MINUTES_PER_WEEK, usd

_LONGEST_STABILIZATION_SECONDS = 3600
_JOINING_FORMS = (Form.MANIFESTS, Form.PRODUCTION_STACK)
"""Forms whose requests are spread over pods: the pickers of the others, and Dynamo's frontend, look at each replica."""
_JOINING_RUNTIMES = (Runtime.CUDA, Runtime.ROCM)
"""On which engines spread requests over replicas of theirs as they were measured to."""
_KV_CACHE_TARGET = 0.8
"""Share of the KV cache in use that replicas are added at: above it, engines begin to preempt requests."""
_TAKEN_SHARE = Fraction(9, 10)
"""Share of the present replicas, from which on a lower number is not taken: the tolerance of the autoscaler."""
_WAITING_TARGET = 4
"""Requests that may wait for each replica."""


@dataclass(frozen=True, slots=True)
class Window:
    """Times of the week in which so many replicas run."""

    start: str
    """Five cron fields, in UTC."""
    end: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Spell:
    """Times of the week of one length."""

    start: str
    """Five cron fields, in UTC."""
    minutes: int


@dataclass(frozen=True, slots=True)
class Trigger:
    """A Prometheus query, and how much of it one replica takes."""

    query: str
    threshold: str


@dataclass(frozen=True, slots=True)
class Scale:
    """How the number of replicas of a group changes."""

    least: int
    most: int
    fallback: int
    """While Prometheus does not answer."""
    stabilization_seconds: int
    """As long as a replica takes to start, so that none is stopped that is wanted again at once."""
    windows: tuple[Window, ...]
    triggers: tuple[Trigger, ...]


def follows_load(scaling: Scaling, engine: Engine) -> bool:
    """Whether pods follow the load: the plan scales by it, and the engine tells what it finishes."""
    metrics = published(engine)
    return scaling is Scaling.REACTIVE and metrics is not None and bool(metrics.finished)


def scale_of(stack: Stack, group: ComputeGroup) -> Scale | None:
    """How the pods of a group scale; None: their number stays."""
    engine = stack.backend_of(group).container.engine
    metrics = published(engine)
    each = group.replicas_per_instance
    by_load = follows_load(stack.scaling, engine)
    if not by_load and not group.schedule:
        return None
    return Scale(
        # Pods that are not there publish no metrics that could bring them back.
        least=max(1, group.min_instances * each) if by_load else group.min_instances * each,
        most=(group.max_instances if by_load else group.instances) * each,
        fallback=group.instances * each,
        stabilization_seconds=min(group.start_seconds, _LONGEST_STABILIZATION_SECONDS),
        windows=windows(group.schedule, group.min_instances, each),
        triggers=_triggers(stack, group, metrics) if by_load and metrics else (),
    )


def _triggers(stack: Stack, group: ComputeGroup, metrics: EngineMetrics) -> tuple[Trigger, ...]:
    matchers = f'namespace="{stack.name}",pod=~"{pods_start(stack, group)}-.+"'
    pods, served = f"{{{matchers}}}", ",".join(filter(None, (matchers, metrics.served)))
    container = stack.backend_of(group).container
    sustained = group.requests_per_second_per_instance / group.replicas_per_instance * container.finished_per_request
    waiting = _WAITING_TARGET * container.counted_per_request * group.joined_replicas
    triggers = (
        Trigger(f"sum(rate({metrics.finished}{{{served}}}[2m]))", f"{sustained:.4g}"),
        Trigger(f"sum({metrics.waiting}{pods})", f"{waiting:g}"),
    )
    if not metrics.kv_cache_used:
        return triggers
    return (*triggers, Trigger(f"sum({metrics.kv_cache_used}{pods})", f"{_KV_CACHE_TARGET * group.joined_replicas:g}"))


def with_joined_replicas(stack: Stack) -> Stack:
    """The stack with one pod on a node, whose engine spreads requests over the node's replicas as it does on a host.

    A Deployment that shrinks takes away pods of the fullest nodes first, and new pods go to the emptiest: with several
    on a node, few nodes would become empty, and be given back, when the plan counts them as gone.
    """
    joined = _joined(stack)
    backends = (
        replace(backend, container=replace(backend.container, sharing_arguments=()))
        if backend.key in joined
        else backend
        for backend in stack.backends
    )
    groups = tuple(group.joined() if group.backend in joined else group for group in stack.groups)
    return _with_full_nodes_told(replace(stack, backends=tuple(backends), groups=groups))


def _joined(stack: Stack) -> frozenset[str]:
    """Backends whose pods serve all replicas of a node."""
    apart = {group.backend for group in stack.groups if group.sharing is not None}
    joined = frozenset(
        backend.key
        for backend in stack.backends
        if stack.form in _JOINING_FORMS
        and backend.runtime in _JOINING_RUNTIMES
        and backend.container.sharing_arguments
        and backend.key not in apart
    )
    if stack.form is not Form.PRODUCTION_STACK:
        return joined
    # Its router gives each pod as much: a pod with several replicas beside one with fewer would have too little.
    replicas: dict[str, set[int]] = {}
    for group in stack.groups:
        replicas.setdefault(group.region, set()).add(group.replicas_per_instance if group.backend in joined else 1)
    return joined - {group.backend for group in stack.groups if len(replicas[group.region]) > 1}


def _with_full_nodes_told(stack: Stack) -> Stack:
    """The stack with a caution on nodes with several pods, which may not be empty when the plan counts them as gone."""
    beyond = 0.0
    for group in stack.groups:
        most = {size: min(group.instances, size * group.replicas_per_instance) for _, size in group.sizes_by_minute}
        beyond += group.with_sizes(most).usd_per_month - group.usd_per_month if group.schedule else 0.0
    if beyond <= 0:
        return stack
    return stack.with_cautions(
        "Nodes have several pods each, and pods that the hours take away may be on different nodes: those stay until "
        f"their last pod has gone, for up to {usd(beyond)} a month more than the plan counts."
    )


def with_taken_steps(stack: Stack) -> Stack:
    """The stack with numbers by the clock that a HorizontalPodAutoscaler brings about, and with what more they cost."""
    groups = tuple(group.with_sizes(taken_sizes(group)) if group.schedule else group for group in stack.groups)
    beyond = round(sum(now.usd_per_month - was.usd_per_month for now, was in zip(groups, stack.groups, strict=True)), 2)
    if not beyond:
        return stack
    caution = (
        "A HorizontalPodAutoscaler takes no step of a tenth or less: in hours for which the plan has a few replicas "
        f"fewer than for others, those of the others run, for {usd(beyond)} a month more."
    )
    return replace(
        stack.with_cautions(caution),
        groups=groups,
        scaling=stack.scaling if any(group.schedule for group in groups) else Scaling.STATIC,
        budget=stack.budget.with_more(beyond, of=stack.budget.of),
    )


def taken_sizes(group: ComputeGroup) -> Mapping[int, int]:
    """Each size of a schedule → the size in its place, such that every step between two is taken.

    From the largest down: what is a tenth below it or less is raised to it, since the step between the two would be
    taken neither up, where replicas would be missing, nor down.
    """
    taken: dict[int, int] = {}
    larger = 0
    for size in sorted({size for _, size in group.sizes_by_minute}, reverse=True):
        larger = larger if size >= _TAKEN_SHARE * larger > 0 else size
        taken[size] = larger
    return taken


def windows(schedule: tuple[ScheduledSize, ...], least: int, replicas_per_instance: int) -> tuple[Window, ...]:
    """The times in which more than *least* instances run, with their replicas."""
    sizes = sorted((minute, entry.instances) for entry in schedule for minute in entry.minutes_of_week)
    return tuple(
        Window(_cron(starts), _cron([start + length for start in starts]), size * replicas_per_instance)
        for length, size, starts in _spells(sizes, least)
    )


def busy_spells(group: ComputeGroup) -> tuple[Spell, ...]:
    """The times in which a schedule has more than its fewest instances."""
    changes = turns([(minute, int(size > group.min_instances)) for minute, size in group.sizes_by_minute])
    return tuple(Spell(_cron(starts), length) for length, _, starts in _spells(changes, 0))


def _spells(sizes: Sequence[tuple[int, int]], least: int) -> Iterator[tuple[int, int, list[int]]]:
    """Minutes for which a size above *least* lasts, the size, and the minutes of the week from which on it does."""
    starts_of: dict[tuple[int, int, int], list[int]] = {}
    for (start, size), (end, _) in pairwise(
        [*sizes, *((minute + MINUTES_PER_WEEK, size) for minute, size in sizes[:1])]
    ):
        if size > least:
            starts_of.setdefault((start % MINUTES_PER_DAY, end - start, size), []).append(start)
    for (_, length, size), starts in sorted(starts_of.items()):
        yield length, size, starts


def resting_minutes(groups: Sequence[ComputeGroup]) -> Sequence[tuple[int, int]]:
    """Minutes of the week in which schedules have no instance (Monday 00:00 UTC is 0): from the first to the second.

    Pairs of minutes in their order; empty where there is no schedule.
    """
    if not any(group.schedule for group in groups):
        return ()
    sizes = sizes_together(groups)
    first, last = sizes[0], sizes[-1]
    whole = [(0, last[1]), *sizes, (MINUTES_PER_WEEK, first[1])]
    return [(start, end) for (start, size), (end, _) in pairwise(whole) if size == 0 and start < end]


def _cron(minutes_of_week: list[int]) -> str:
    """The cron fields of times that lie at the same minute of their days."""
    hour, minute = divmod(minutes_of_week[0] % MINUTES_PER_DAY, 60)
    days = sorted({minute // MINUTES_PER_DAY % 7 + 1 for minute in minutes_of_week})
    return ScheduledSize(hour, minute, tuple(days), 0).cron
