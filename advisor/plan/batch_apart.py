"""Batch work beside requests as a workload of its own, whose machines run in its hours alone."""

from dataclasses import replace

from advisor.catalog.values import Purchase
from advisor.demand.declared import batch_demand
from advisor.plan.fleet.chosen import BatchApart, BatchPlan, PlannedPart
from advisor.plan.replay.confirmed import Confirmed
from advisor.plan.request import PlanRequest
from advisor.workload.closed_loop import deadline_slo
from advisor.workload.values import Limits, Routing, Scaling

_BY_THE_HOUR = (Purchase.ON_DEMAND, Purchase.SPOT)
"""Ways of paying for what runs in some hours."""


def question_apart(question: PlanRequest) -> PlanRequest | None:
    """The batch work beside the requests of a question, asked by itself; None where there is none.

    Ways of paying, machines and places are those of the question; targets, spare machines and budget are of requests.
    """
    workload, beside = question.workload, question.demand.beside
    if beside is None or workload.batch is None:
        return None
    limits, unit = Limits(), question.demand.unit
    demand = replace(batch_demand(beside.run, beside.input_tokens, beside.output_tokens), unit=unit)
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


def with_apart(batch: BatchPlan, requests_usd_per_month: float, alone: Confirmed) -> BatchPlan:
    """Runs beside requests with what both cost as workloads of their own.

    Args:
        batch: the runs.
        requests_usd_per_month: cost of the fleet for the requests alone.
        alone: the fleet for the batch work alone.
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
    return replace(batch, apart=BatchApart(requests_usd_per_month, alone.usd_per_month, parts))
