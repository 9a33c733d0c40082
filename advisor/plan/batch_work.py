"""Batch work beside requests: how much of it fits in what they leave idle, what the rest adds, and its own machines.

    idle rate of an hour  = Σ instances · rate, or what of it a failure may leave  -  planned rate of the requests
    items of a run there  = Σ over its open hours of idle rate · 3600 ÷ weight

An item weighs as many requests as a full replica serves of them while it serves one item. What does not fit raises the
planned rate of the open hours with the least capacity, all to one level, until it does: water that fills a valley.
Only the first of the open hours may be raised, so that machines are added for few hours and idle ones do the rest.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from advisor.catalog.values import Purchase
from advisor.demand.lengths import batch_demand
from advisor.demand.values import BatchRun, Forecast
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.costs import BatchApart, PlannedPart
from advisor.plan.problem.formulas import Part, lost_with, mix_rate, share_without
from advisor.plan.problem.hours import STEP
from advisor.plan.problem.values import Allocation, FleetSolution, Floats, Problem
from advisor.plan.replay.groups import Confirmed, name_of
from advisor.plan.request import PlanRequest
from advisor.plan.solve.neighbours import is_simple, loaded_fleet, sold_in
from advisor.plan.solve.stage import Formulation
from advisor.records import dataclass, replace
from advisor.units import A_CENT, HOURS_PER_WEEK, SECONDS_PER_HOUR
from advisor.workload.closed_loop import deadline_slo, pictures_of
from advisor.workload.values import Limits, Routing, Scaling

_BISECTIONS = 60
_ALL = 1 - 1e-6
"""Share of the items that counts as all of them."""
_BY_THE_HOUR = (Purchase.ON_DEMAND, Purchase.SPOT)
"""Ways of paying for what runs in some hours."""


@dataclass(frozen=True, slots=True, eq=False)
class Fill:
    """Batch work beside the requests of a fleet."""

    run: BatchRun
    items: float
    """Items of a run, with growth."""
    weight: float
    """Requests that an item counts for."""
    requests: Forecast
    """Forecast of the requests alone."""
    idle_items: float
    """Items of the run with the least room that the fleet for the requests alone has idle capacity for: by its planned
    rates, and no more than it holds in its replay where machines are added."""
    alone_usd_per_month: float
    """Cost of that fleet."""
    raised_hours: int
    """First so many open hours of a run that may be raised above the capacity of that fleet."""
    adds_machines: bool = False
    """Whether the fleet that is chosen for both has machines beyond that one's."""

    @property
    def takes_more(self) -> bool:
        """Whether not all of it fits what the requests leave idle."""
        return self.idle_items < self.items * _ALL

    def costs_machines(self, usd_per_month: float) -> bool:
        """Whether a fleet at this cost has machines beyond that of the requests alone, and costs more for them."""
        return self.adds_machines and usd_per_month > self.alone_usd_per_month + A_CENT

    def finished_hours(self, confirmed: Confirmed) -> float | None:
        """Hours from the start of a run to its last item on a fleet, in the slowest run; None: not by the deadline."""
        idle = idle_rates(confirmed, self.requests)
        hours = [self._finished(run, idle) for run in self.run.runs()]
        return None if None in hours else max(hour for hour in hours if hour is not None)

    def _finished(self, hours: Sequence[tuple[int, float]], idle: Floats) -> float | None:
        """The same of one run."""
        left = self.items * _ALL
        for offset, (hour, part) in zip(self.run.open_hours, hours, strict=True):
            done = items_in(((hour, part),), idle, self.weight)
            if done >= left:
                return offset + part * left / done
            left -= done
        return None


def fill_of(
    run: BatchRun, items: float, weight: float, requests: Forecast, confirmed: Confirmed, raised_hours: int
) -> Fill:
    """Batch work beside the requests of a fleet that is planned for these alone.

    *items*: of a run, with growth. *weight*: requests that an item counts for. *raised_hours*: first so many open hours
    that may be raised above its capacity.
    """
    idle = np.maximum(_capacity(confirmed) / STEP - requests.peak, 0.0)
    room = min(items_in(hours, idle, weight) for hours in run.runs())
    return Fill(run, items, weight, requests, min(room, items), confirmed.usd_per_month, raised_hours)


def idle_rates(confirmed: Confirmed, requests: Forecast) -> Floats:
    """Requests per second beyond the planned ones that a fleet has capacity for in each hour of the week, (168,)."""
    idle: Floats = np.maximum(_capacity(confirmed) - requests.peak, 0.0)
    return idle


def items_in(hours: Sequence[tuple[int, float]], idle: Floats, weight: float) -> float:
    """Items that are done in some hours of the week, each for a part of it, at idle rates."""
    return sum(float(idle[hour]) * part for hour, part in hours) * SECONDS_PER_HOUR / weight


def raised_forecast(fill: Fill, confirmed: Confirmed) -> Forecast:
    """Forecast of the requests and the batch work: in idle hours first, then evenly above the capacity of a fleet.

    A hundredth or three of the capacity is left (``STEP``): planned rates of hours are rounded up.
    """
    capacity, planned = _capacity(confirmed) / STEP, fill.requests.peak
    added = np.zeros(HOURS_PER_WEEK)
    for hours in fill.run.runs():
        at, part = np.array([hour for hour, _ in hours]), np.array([share for _, share in hours])
        wanted = fill.items * fill.weight / SECONDS_PER_HOUR
        added[at] = added_rates(capacity[at], planned[at], part, wanted, fill.raised_hours)
    rates = {name: getattr(fill.requests, name) + added for name in ("mean", "low", "high", "low_peak", "peak")}
    return replace(fill.requests, **rates)


def added_rates(
    capacity: Floats, planned: Floats, part: Floats, wanted: float, raised_hours: int | None = None
) -> Floats:
    """Rate that each open hour of a run takes: a share of what is idle, or up to one level where that is too little.

    *part*: share of each hour that is before the deadline. *wanted*: sum of the rates, each times its part.
    *raised_hours*: first so many that may be raised above the capacity; None: all.
    """
    idle = np.maximum(capacity - planned, 0.0)
    room = float(idle @ part)
    if room >= wanted:
        return idle * (wanted / room)
    if raised_hours is not None and raised_hours < idle.size:
        first, later = slice(raised_hours), slice(raised_hours, None)
        wanted -= float(idle[later] @ part[later])
        return np.concatenate([added_rates(capacity[first], planned[first], part[first], wanted), idle[later]])
    low, high = 0.0, float(max(capacity.max(), planned.max()) + wanted / part.sum())
    for _ in range(_BISECTIONS):
        level = (low + high) / 2
        is_enough = float(_up_to(level, capacity, planned) @ part) >= wanted
        low, high = (low, level) if is_enough else (level, high)
    return _up_to(high, capacity, planned)


def _up_to(level: float, capacity: Floats, planned: Floats) -> Floats:
    rates: Floats = np.maximum(np.maximum(capacity, level) - planned, 0.0)
    return rates


def adds_machines(confirmed: Confirmed, alone: Confirmed) -> bool:
    """Whether a fleet has more machines of some kind in some hour of the week than that of the requests alone."""
    fewest = _instances_by_hour(alone)
    none = np.zeros(HOURS_PER_WEEK)
    return any(bool((counts > fewest.get(name, none)).any()) for name, counts in _instances_by_hour(confirmed).items())


def fleets_beside(question: Formulation, alone: Confirmed, both: Confirmed) -> Iterator[FleetSolution]:
    """The fleet of the requests alone, and the same with the instances of another one in the hours with items.

    A fleet that serves both is planned to carry as little in all hours as its replicas have to in those with items.
    *question*: with the batch work; its hour classes are parts of those of the requests alone.
    """
    problem, schedule = question.problem, np.array(question.week.schedule)
    with_items = np.array(question.week.added_rates) > 0
    groups = {name_of(group): group for fleet in (both, alone) for group in fleet.solution.allocations}
    pools, none = {pool.key: pool for pool in problem.pools}, np.zeros(HOURS_PER_WEEK)
    by_hour, other = _instances_by_hour(alone), _instances_by_hour(both)
    joined = {name: np.where(with_items, other.get(name, none), by_hour.get(name, none)) for name in groups}
    for counts in (by_hour, joined):
        sold = [
            sold_in(pools.get(group.pool.key), replace(group, instances=_by_class(group, counts[name], schedule)))
            for name, group in groups.items()
            if name in counts and counts[name].any()
        ]
        if all(sold) and is_simple(problem):
            yield loaded_fleet(problem, tuple(filter(None, sold)))


def _by_class(group: Allocation, counts: Floats, schedule: Floats) -> tuple[int, ...]:
    """Most instances in the hours of each class; in all hours of the week of what is paid for at all of them."""
    hours = [
        np.full(schedule.size, group.tariff.paid.always) | (schedule == at) for at in range(int(schedule.max()) + 1)
    ]
    return tuple(int(counts[of_class].max()) for of_class in hours)


def _instances_by_hour(confirmed: Confirmed) -> Mapping[str, Floats]:
    """Instances of each group in each hour of the week, (168,), by the group's name."""
    schedule = list(confirmed.formulation.week.schedule)
    allocations = confirmed.solution.allocations
    return {name_of(allocation): np.array(allocation.instances, float)[schedule] for allocation in allocations}


def _capacity(confirmed: Confirmed) -> Floats:
    """Requests per second that a fleet may be planned for in each hour of the week: what a failure leaves, as asked."""
    problem, allocations = confirmed.formulation.problem, confirmed.solution.allocations
    by_class = np.array([_of_class(problem, allocations, at) for at in range(len(problem.hours))])
    capacity: Floats = by_class[list(confirmed.formulation.week.schedule)]
    return capacity


def _of_class(problem: Problem, allocations: Sequence[Allocation], at: int) -> float:
    """The same of an hour class; the rule of redundancy is that of :func:`shares_without`."""
    whole = sum(allocation.instances[at] * mix_rate(problem, allocation.pool) for allocation in allocations)
    left = [
        (whole - max(lost_with(problem, allocations, part, at).values(), default=0.0)) / share
        for part in Part
        if (share := share_without(problem.limits, part)) > 0
    ]
    return min((whole, *left))


def kept_beside(question: PlanRequest, fill: Fill) -> tuple[float, ...]:
    """Items of a run, as stated, that may stay beside the requests: none, and what fits there where not all does."""
    beside = question.demand.beside
    if beside is None or not fill.takes_more:
        return (0.0,)
    idle = float(round(beside.run.items * fill.idle_items / fill.items))
    return (0.0, idle) if idle else (0.0,)


def question_beside(question: PlanRequest, kept: float) -> PlanRequest:
    """The requests of a question with so many items of a run beside them."""
    beside = question.demand.beside
    some = beside.times(kept / beside.run.items) if beside is not None and kept else None
    workload = question.workload if some else replace(question.workload, batch=None)
    return replace(question, workload=workload, demand=replace(question.demand, beside=some))


def question_apart(question: PlanRequest, kept: float) -> PlanRequest | None:
    """The batch work beside the requests of a question but for some items, asked by itself; None where there is none.

    Ways of paying, machines and places are those of the question; targets, spare machines and budget are of requests.
    """
    workload, beside = question.workload, question.demand.beside
    if beside is None or workload.batch is None:
        return None
    limits, unit = Limits(), question.demand.unit
    run = beside.run.times(1 - kept / beside.run.items)
    demand = replace(
        batch_demand(run, beside.input_tokens, beside.output_tokens),
        unit=unit,
        pictures=pictures_of(workload.batch.size),
    )
    alone = replace(
        workload,
        demand=workload.batch,
        batch=None,
        slo=deadline_slo(beside.run, unit),
        purchase=tuple(purchase for purchase in _BY_THE_HOUR if purchase in workload.purchase) or _BY_THE_HOUR[:1],
        limits=replace(
            workload.limits,
            min_replicas=limits.min_replicas,
            zones=limits.zones,
            survive=limits.survive,
            fault_tolerant_ratio=1.0,
            on_demand_base_ratio=limits.on_demand_base_ratio,
            max_usd_per_month=limits.max_usd_per_month,
            max_changed_instances=limits.max_changed_instances,
        ),
        current=None,
        running=(),
        commitments=(),
        users=(),
        scaling=Scaling(scale_to_zero=True),
        routing=Routing.WEIGHTED,
        response_cache=None,
        prefix_cache_hit_ratio=0.0,
    )
    return PlanRequest(alone, question.model, demand)


def apart_of(requests: Fleet, alone: Fleet, kept: float) -> BatchApart:
    """Requests and batch work as two workloads.

    *requests*: fleet for the requests, with the items beside them. *alone*: fleet for the others. *kept*: items of a
    run beside the requests.
    """
    parts = tuple(
        PlannedPart(group.instance_type, group.region, group.purchase, max(group.instances)) for group in alone.groups
    )
    return BatchApart(requests.cost.total_usd_per_month, alone.cost.total_usd_per_month, parts, kept)
