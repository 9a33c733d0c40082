"""Batch work beside requests as a workload of its own, whose machines run in its hours alone."""

import math

from advisor.catalog.values import Purchase
from advisor.demand.lengths import batch_demand
from advisor.plan.batch_fill import Fill
from advisor.plan.fleet.costs import BatchApart, PlannedPart
from advisor.plan.replay.confirmed import Confirmed
from advisor.plan.request import PlanRequest
from advisor.records import replace
from advisor.workload.closed_loop import deadline_slo, pictures_of
from advisor.workload.values import Limits, Routing, Scaling

_BY_THE_HOUR = (Purchase.ON_DEMAND, Purchase.SPOT)
"""Ways of paying for what runs in some hours."""


def kept_beside(question: PlanRequest, fill: Fill) -> tuple[float, ...]:
    """Items of a run, as stated, that may stay beside the requests: none, and what fits there where not all does."""
    beside = question.demand.beside
    if beside is None or not fill.takes_more:
        return (0.0,)
    idle = float(math.floor(beside.run.items * fill.idle_items / fill.items))
    return (0.0, idle) if idle else (0.0,)


def question_beside(question: PlanRequest, kept: float) -> PlanRequest:
    """The requests of a question with so many items of a run beside them."""
    beside = question.demand.beside
    some = beside.times(kept / beside.run.items) if beside is not None and kept else None
    return replace(question, demand=replace(question.demand, beside=some))


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


def apart_of(requests_usd_per_month: float, alone: Confirmed, kept: float) -> BatchApart:
    """Requests and batch work as two workloads.

    Args:
        requests_usd_per_month: cost of the fleet for the requests, with the items beside them.
        alone: the fleet for the other items.
        kept: items of a run beside the requests.
    """
    sources = alone.formulation.pool_set.sources
    parts = tuple(
        PlannedPart(
            sources[allocation.pool.key].offer.instance_type,
            sources[allocation.pool.key].offer.region,
            allocation.tariff.paid.value,
            max(allocation.instances),
        )
        for allocation in alone.solution.allocations
    )
    return BatchApart(requests_usd_per_month, alone.usd_per_month, parts, kept)
