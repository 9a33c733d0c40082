"""Cost of a chosen fleet, its obligation, and what paying ahead for it would be regretted by."""

import datetime as dt
import math
from collections.abc import Callable, Sequence

from advisor.catalog.price_trust import first_day
from advisor.demand.values import Forecast
from advisor.plan.fleet.costs import FleetCost
from advisor.plan.problem.charges import standing_usd_per_month
from advisor.plan.problem.formulas import (
    hours_per_month,
)
from advisor.plan.problem.values import Allocation, FleetSolution, Problem, PurchaseOption
from advisor.plan.solve.objective import (
    allocation_usd_per_month,
    disks_usd_per_month,
    interruptions_usd_per_month,
    starts_usd_per_month,
    switching_usd_per_month,
    transfer_usd_per_month,
)
from advisor.plan.solve.shares import planned_rates
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.units import (
    DAYS_PER_YEAR,
    HOURS_PER_YEAR,
    REQUESTS_PER_THOUSAND,
    SECONDS_PER_MONTH,
    TOKENS_PER_MILLION,
)


def cost_of(
    formulation: Formulation, solution: FleetSolution, context: PlanningContext, expected: Forecast
) -> FleetCost:
    """Cost of a solution, part by part; the total is what was minimised."""
    problem, allocations, total = formulation.problem, solution.allocations, solution.objective_usd_per_month
    requests = float(expected.mean.mean()) * SECONDS_PER_MONTH
    tokens = requests * context.requirements.demand.output_tokens.mean

    def summed(part: Callable[[Problem, Allocation], float]) -> float:
        return round(math.fsum(part(problem, allocation) for allocation in allocations), 2)

    obligation, until = obligation_of(allocations, context)
    return FleetCost(
        compute_usd_per_month=summed(allocation_usd_per_month),
        interruptions_usd_per_month=summed(interruptions_usd_per_month),
        transfer_usd_per_month=transfer_usd_per_month(problem, allocations, solution.shares),
        switching_usd_per_month=switching_usd_per_month(problem, allocations),
        total_usd_per_month=total,
        usd_per_million_output_tokens=total / tokens * TOKENS_PER_MILLION,
        usd_per_1000_requests=total / requests * REQUESTS_PER_THOUSAND,
        disks_usd_per_month=summed(disks_usd_per_month),
        starts_usd_per_month=summed(starts_usd_per_month),
        standing_usd_per_month=standing_usd_per_month(problem, allocations, solution.shares),
        obligation_usd=obligation,
        obligation_until=until,
        regret_usd_per_month=_regret(problem, solution) if obligation else None,
    )


def obligation_of(allocations: Sequence[Allocation], context: PlanningContext) -> tuple[float, str | None]:
    """USD that new commitments oblige to pay over their terms, and the day on which the last one ends."""
    committed = [allocation for allocation in allocations if allocation.tariff.paid is PurchaseOption.COMMITMENT]
    if not committed:
        return 0.0, None
    usd = math.fsum(
        max(allocation.instances) * allocation.tariff.usd_per_hour * allocation.tariff.term_years * HOURS_PER_YEAR
        for allocation in committed
    )
    start = planning_day(context)
    years = max(allocation.tariff.term_years for allocation in committed)
    return round(usd, 2), (start + dt.timedelta(days=round(years * DAYS_PER_YEAR))).isoformat()


def planning_day(context: PlanningContext) -> dt.date:
    """The day that a plan is made for: as stated, else that of the catalog, so that the same input gives the same."""
    stated = context.requirements.workload.as_of
    return stated or first_day(context.catalog.as_of) or dt.datetime.now(dt.UTC).date()


def _regret(problem: Problem, solution: FleetSolution) -> float:
    """USD a month paid for committed capacity that half of the planned rate would leave idle."""
    planned, committed = planned_rates(problem, solution), PurchaseOption.COMMITMENT
    bought = [
        (max(allocation.instances), planned[allocation.pool.key], allocation.tariff.usd_per_hour)
        for allocation in solution.allocations
        if allocation.tariff.paid is committed
    ]
    rate = math.fsum(instances * per_instance for instances, per_instance, _ in bought)
    usd_per_hour = math.fsum(instances * usd for instances, _, usd in bought)
    idle_hours = math.fsum(
        max(1 - hour.planned_rate / 2 / rate, 0.0) * hours_per_month(hour) for hour in problem.hours if rate > 0
    )
    return round(usd_per_hour * idle_hours, 2)
