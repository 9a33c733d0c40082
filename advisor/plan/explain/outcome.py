"""What a plan comes to, what binds it, and who came second: read from the plan, nothing is planned again."""

import math
from dataclasses import dataclass

from advisor.plan.fleet.chosen import Conflict, Fleet
from advisor.plan.values import Option, Plan
from advisor.units import HOURS_PER_MONTH

_TARGETS = ("ttft_p95_ms", "tpot_p95_ms", "e2e_p95_ms")


@dataclass(frozen=True, slots=True)
class Margin:
    """How much of a target is used at the busiest minute."""

    target: str
    """ttft_p95, tpot_p95 or e2e_p95."""
    predicted_ms: float
    target_ms: float
    used_ratio: float


@dataclass(frozen=True, slots=True)
class Binding:
    """What decides how many instances of a single type there are."""

    count_set_by: str
    """demand, min_replicas, zones or replicas_per_instance (whole instances hold more replicas than are needed)."""
    replicas_for_demand: int
    """Replicas that the busiest minute needs."""
    headroom_factor: float
    """Demand that the replicas carry within the SLO ÷ the busiest minute."""
    margins: tuple[Margin, ...]
    """Of each stated target, the closest first."""


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The cheapest option on another instance type."""

    option: Option
    usd_per_month_more: float
    instance_usd_per_hour_to_draw: float
    """Price of the winner's instance at which both cost the same."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan in short."""

    total_usd_per_month: float | None
    """Of the fleet; None: nothing serves the workload."""
    within_ratio: float
    """Share of the requests that the workload wants within the SLO."""
    fleet: Fleet | None
    conflict: Conflict | None
    """Why there is no fleet, where limits exclude each other."""
    winner: Option | None
    """The cheapest single type for the busiest minute."""
    options: int
    binding: Binding | None
    runner_up: RunnerUp | None
    nearest_misses: tuple[str, ...]
    """Where nothing is feasible: what came closest, in words."""


def cost_of_plan(plan: Plan) -> float | None:
    """What is minimised; None where nothing serves the workload."""
    return plan.fleet.cost.total_usd_per_month if plan.fleet else None


def outcome_of(plan: Plan) -> Outcome:
    """A plan in short."""
    winner = plan.recommended
    return Outcome(
        total_usd_per_month=cost_of_plan(plan),
        within_ratio=plan.workload["slo"]["within_ratio"],
        fleet=plan.fleet,
        conflict=plan.conflict,
        winner=winner,
        options=len(plan.options),
        binding=_binding(plan, winner) if winner else None,
        runner_up=_runner_up(plan, winner) if winner else None,
        nearest_misses=tuple(miss.message for miss in plan.nearest_misses),
    )


def usd_per_hour_for(usd_per_month: float, instances: int) -> float:
    """Price of one instance at which so many of them cost so much: ``total / (instances × 730 h)``."""
    return usd_per_month / (instances * HOURS_PER_MONTH)


def _binding(plan: Plan, winner: Option) -> Binding:
    peak = plan.demand["requests_per_second"]["peak"]
    rate = winner.predicted.requests_per_second_per_replica.value
    limits = plan.workload["limits"]
    for_demand = math.ceil(peak / rate)
    needed = max(for_demand, limits["min_replicas"])
    causes = {
        "zones": winner.instances > math.ceil(needed / winner.replicas_per_instance),
        "min_replicas": needed > for_demand,
        "replicas_per_instance": winner.replicas > needed,
    }
    return Binding(
        count_set_by=next((cause for cause, holds in causes.items() if holds), "demand"),
        replicas_for_demand=for_demand,
        headroom_factor=rate * winner.replicas / peak,
        margins=tuple(sorted(_margins(plan, winner), key=lambda margin: -margin.used_ratio)),
    )


def _margins(plan: Plan, winner: Option) -> list[Margin]:
    predicted = winner.predicted
    values = (predicted.ttft_p95_ms.value, predicted.tpot_p95_ms.value, predicted.e2e_p95_ms.value)
    stated = [(key, value, plan.workload["slo"][key]) for key, value in zip(_TARGETS, values, strict=True)]
    return [
        Margin(key.removesuffix("_ms"), value, target, value / target)
        for key, value, target in stated
        if target is not None
    ]


def _runner_up(plan: Plan, winner: Option) -> RunnerUp | None:
    kind = (winner.provider, winner.instance_type)
    other = next((one for one in plan.options if (one.provider, one.instance_type) != kind), None)
    if other is None:
        return None
    total = other.cost.total_usd_per_month
    return RunnerUp(other, total - winner.cost.total_usd_per_month, usd_per_hour_for(total, winner.instances))
