"""Ranked fleets of one instance type, and the recommended fleet in short, as values of a plan."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from advisor.demand.values import Forecast
from advisor.performance.evidence import LoadLatency
from advisor.performance.groups import limit_words
from advisor.performance.stage import latencies_at_load
from advisor.plan.fleet.chosen import Fleet
from advisor.plan.fleet.costing import cost_of
from advisor.plan.fleet.costs import FleetCost
from advisor.plan.fleet.describe import layout_of
from advisor.plan.options import Ranking, Single
from advisor.plan.problem.formulas import mix_rate
from advisor.plan.problem.values import (
    Allocation,
    PurchaseOption,
)
from advisor.plan.replay.below import at_need
from advisor.plan.replay.targets import name_of
from advisor.plan.replay.validator import Confirmed
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.plan.values import Option, OptionCost, Predicted
from advisor.records import fields, replace
from advisor.units import A_CENT, MINUTES_PER_HOUR

_PARTS = tuple(part.name for part in fields(FleetCost))
_NAMED = (PurchaseOption.COMMITMENT, PurchaseOption.MANAGED, PurchaseOption.SERVERLESS)
"""Ways of paying with a name of their own: of the commitment, or of the service."""


def options_of(
    ranking: Ranking, formulation: Formulation, context: PlanningContext, expected: Forecast, fleet: Fleet
) -> tuple[Option, ...]:  # fmt: skip
    """The ranked options as values of a plan."""
    formulation = ranking.with_sources(formulation)
    candidates = [formulation.pool_set.sources[single.pool.key].served.candidate for single in ranking.singles]
    loads = [_load_of_replica(formulation, single.solution.allocations[0], 1.0) for single in ranking.singles]
    latencies = latencies_at_load(candidates, loads, context.requirements, context.model)
    options: list[Option] = []
    for number, (single, latency) in enumerate(zip(ranking.singles, latencies, strict=True), start=1):
        confirmation = single.confirmed.confirmation if single.confirmed else None
        cost = cost_of(formulation, single.solution, context, expected)
        why_not = _why_not(single, candidates[number - 1].precision, fleet)
        ranked = {"rank": number, "confirmed": confirmation, "not_recommended": why_not}
        options.append(_option(formulation, single.solution.allocations[0], context, latency, cost, ranked))
    return tuple(options)


def recommended(confirmed: Confirmed, context: PlanningContext, fleet: Fleet, options: Sequence[Option]) -> Option:
    """The fleet in short, named by the group that serves most in the busiest hours; ranked where it is an option."""
    confirmed = at_need(confirmed)
    formulation = confirmed.formulation
    shares = {group.name: group.request_shares[-1] for group in fleet.groups}
    main = max(
        confirmed.solution.allocations,
        key=lambda allocation: (shares[name_of(allocation)], allocation.instances[-1], name_of(allocation)),
    )
    candidate = formulation.pool_set.sources[main.pool.key].served.candidate
    load = _load_of_replica(formulation, main, shares[name_of(main)] or 1.0)
    (latency,) = latencies_at_load([candidate], [load], context.requirements, context.model)
    option = _option(formulation, main, context, latency, fleet.cost, {"rank": 0})
    same = next((other for other in options if _alike(other, option)), option) if len(fleet.groups) == 1 else option
    planned = confirmed.planned_rates()[name_of(main)]
    return replace(
        option,
        rank=same.rank,
        predicted=same.predicted,
        confirmed=fleet.confirmed,
        groups=len(fleet.groups),
        planned_requests_per_second_per_instance=planned,
        limited_by=limit_words(candidate, planned, context.requirements),
    )


def _load_of_replica(formulation: Formulation, allocation: Allocation, share: float) -> float:
    """Requests per second that a replica receives of a share of the busiest hours' planned rate.

    No more than it sustains of the whole mix, where it is kept to requests that are easier.
    """
    replicas = max(allocation.instances[-1] * allocation.pool.replicas, 1)
    sustained = formulation.pool_set.sources[allocation.pool.key].served.requests_per_second_per_replica.value
    return min(formulation.problem.hours[-1].planned_rate * share / replicas, sustained)


def _alike(option: Option, other: Option) -> bool:
    """Whether two options are the same instances, paid for alike."""
    return all(
        getattr(option, name) == getattr(other, name)
        for name in ("stand", "purchase", "precision", "tensor_parallel", "partition", "engine", "instances_by_class")
    )


def _option(
    formulation: Formulation,
    allocation: Allocation,
    context: PlanningContext,
    latency: LoadLatency,
    cost: FleetCost,
    ranked: Mapping[str, Any],
) -> Option:
    """An option with what is known of it beside the others: its rank, and its replay."""
    pool, tariff = allocation.pool, allocation.tariff
    served = formulation.pool_set.sources[pool.key].served
    scheduled = len(set(allocation.instances)) > 1
    planned = mix_rate(formulation.problem, pool)
    return Option(
        **layout_of(formulation, allocation, context),
        **ranked,
        commitment=tariff.label if tariff.paid in _NAMED else "",
        instances=allocation.instances[-1],
        replicas=allocation.instances[-1] * pool.replicas,
        instances_by_class=allocation.instances,
        minutes_ahead=math.ceil(pool.lead_hours * MINUTES_PER_HOUR) if scheduled else 0,
        planned_requests_per_second_per_instance=planned,
        limited_by=limit_words(served.candidate, planned, context.requirements),
        predicted=Predicted(
            ttft_p95_ms=latency.ttft_p95_ms,
            tpot_p95_ms=latency.tpot_p95_ms,
            e2e_p95_ms=latency.e2e_p95_ms,
            requests_per_second_per_replica=served.requests_per_second_per_replica,
        ),
        evidence=served.evidence.value,
        cost=OptionCost(
            **{name: getattr(cost, name) for name in _PARTS},
            instance_usd_per_hour=tariff.usd_per_hour,
            price_source=tariff.source,
            price_as_of=tariff.as_of,
            price_quality=tariff.quality,
        ),
    )


def _why_not(single: Single, precision: str, fleet: Fleet) -> str:
    """Why an option that costs less than the fleet is not recommended: no fleet has fewer backends or types."""
    if single.usd_per_month >= fleet.cost.total_usd_per_month - A_CENT:
        return ""
    if single.confirmed is None:
        return "not replayed: options as cheap were refused by their replay"
    return f"{precision} loses more quality for less than limits.simplicity"
