"""Outcome of a plan, and who came second: read from the plan, nothing is planned again."""

from advisor.plan.fleet.chosen import Fleet
from advisor.plan.refusal import is_refused
from advisor.plan.values import Conflict, Option, Plan
from advisor.reading import OMITTED_AT_DEFAULT
from advisor.records import dataclass, field


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The cheapest option on an instance type that the recommended fleet does not use."""

    option: Option
    usd_per_month_more: float
    price_ratio_to_draw: float | None
    """Of the fleet's compute: at so many times its price both cost the same; None where it has no compute."""


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
    recommended: Option | None
    """The fleet in short."""
    options: int
    runner_up: RunnerUp | None
    refused: bool
    """Whether the fleet is only the closest of those that no replay confirms."""
    nearest_misses: tuple[str, ...]
    """Where nothing is feasible: what came closest, in words."""
    seated_on: str = field(default="", metadata=OMITTED_AT_DEFAULT)
    """Shared machine that an estate seats the workload on instead, in words; "" where there is none."""


def cost_of_plan(plan: Plan) -> float | None:
    """USD a month that is minimised; None where nothing serves the workload."""
    return plan.fleet.cost.total_usd_per_month if plan.fleet and not is_refused(plan) else None


def outcome_of(plan: Plan) -> Outcome:
    """A plan in short."""
    return Outcome(
        total_usd_per_month=cost_of_plan(plan),
        within_ratio=plan.workload["slo"]["within_ratio"],
        fleet=plan.fleet,
        conflict=plan.conflict,
        recommended=plan.recommended,
        options=len(plan.options),
        runner_up=_runner_up(plan, plan.fleet) if plan.fleet else None,
        refused=is_refused(plan),
        nearest_misses=tuple(miss.message for miss in plan.nearest_misses),
        seated_on=plan.seated_on,
    )


def _runner_up(plan: Plan, fleet: Fleet) -> RunnerUp | None:
    used = {(group.provider, group.instance_type) for group in fleet.groups}
    other = next((option for option in plan.options if (option.provider, option.instance_type) not in used), None)
    if other is None:
        return None
    more = other.cost.total_usd_per_month - fleet.cost.total_usd_per_month
    compute = fleet.cost.compute_usd_per_month
    return RunnerUp(other, more, 1 + more / compute if compute > 0 else None)
