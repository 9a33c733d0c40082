"""Scaling of a fleet with its load: by the clock, by what it sees, or not at all; their cost, and what has to run."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from advisor.demand.values import Forecast
from advisor.plan.cold_start import METRIC_DELAY_S, ColdStart, start_of
from advisor.plan.fleet.scaling_values import Change, GroupSchedule, Policy, ReactivePolicy, ScalingPlan
from advisor.plan.problem.values import Allocation, FleetSolution, Problem, PurchaseOption
from advisor.plan.replay.targets import name_of
from advisor.plan.solve.objective import objective_usd_per_month
from advisor.plan.solve.reactive_scaling import ObservedLoad, ReactiveFleet, reactive_policy
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.records import replace
from advisor.units import MINUTES_PER_HOUR


def scaling_of(
    context: PlanningContext, formulation: Formulation, solution: FleetSolution, forecast: Forecast
) -> ScalingPlan:
    """Compare the policies for a fleet that was chosen.

    Args:
        context: what was asked.
        formulation: the problem that was solved.
        solution: its fleet.
        forecast: what the hours were made of.
    """
    static = static_usd_per_month(formulation.problem, solution)
    reactive_policies = _reactive(context, formulation, solution, forecast)
    reactive, warm_pool = (None, None) if isinstance(reactive_policies, str) else reactive_policies
    recommended, reason = recommend(solution, static, reactive)
    return ScalingPlan(
        recommended=recommended,
        reason=reason,
        schedule=tuple(group_schedule(allocation, formulation.week.schedule) for allocation in solution.allocations),
        scheduled_usd_per_month=solution.objective_usd_per_month,
        static_usd_per_month=static,
        reactive=reactive,
        warm_pool=warm_pool,
        reactive_unknown=reactive_policies if isinstance(reactive_policies, str) else "",
    )


def group_schedule(allocation: Allocation, schedule: Sequence[int]) -> GroupSchedule:
    """Schedule of the number of instances, given the class of each hour of the week."""
    counts = [allocation.instances[at] for at in schedule]
    changes = [Change(hour, count) for hour, count in enumerate(counts) if count != counts[hour - 1]]
    return GroupSchedule(
        name=name_of(allocation),
        ordered_minutes_ahead=math.ceil(allocation.pool.lead_hours * MINUTES_PER_HOUR),
        changes=tuple(changes) or (Change(0, counts[0]),),
    )


def static_usd_per_month(problem: Problem, solution: FleetSolution) -> float:
    """The fleet of the busiest hours at all hours: nothing is ever started ahead of its use."""
    hours = len(problem.hours)
    fixed = tuple(
        replace(allocation, instances=allocation.instances[-1:] * hours) for allocation in solution.allocations
    )
    shares = {key: np.repeat(share[-1:], hours, axis=0) for key, share in solution.shares.items()}
    return objective_usd_per_month(problem, fixed, shares)


def recommend(
    solution: FleetSolution, static_usd: float, reactive: ReactivePolicy | None
) -> tuple[Policy, str]:  # fmt: skip
    """The policy that is planned, replayed and priced: the clock where numbers differ by hour, else none; and why."""
    planned = solution.objective_usd_per_month
    follows = any(len(set(allocation.instances)) > 1 for allocation in solution.allocations)
    others = [] if reactive is None else [f"{reactive.usd_per_month:,.0f} reactive, which no replay has confirmed"]
    if not follows:
        beside = f" (against {others[0]})" if others else ""
        same = "the hours are alike, or too few instances run for them to differ"
        return Policy.STATIC, f"USD {planned:,.0f} a month{beside}: {same}"
    against = " and ".join([f"{static_usd:,.0f} static", *others])
    return Policy.SCHEDULED, f"USD {planned:,.0f} a month against {against}: hours known ahead need no headroom"


def _reactive(
    context: PlanningContext, formulation: Formulation, solution: FleetSolution, forecast: Forecast
) -> tuple[ReactivePolicy, ReactivePolicy] | str:
    """Policies from a cold start and from a warm pool; or why they are not known."""
    profile = context.requirements.demand.profile
    if profile is None:
        return "the demand is declared: how fast it rises is not known"
    load = ObservedLoad.of(profile, forecast)
    fleet = ReactiveFleet.of(formulation.problem, solution)
    if fleet is None:
        return "nothing of this fleet is started and stopped with the load: it is committed, owned or serverless"
    starts = list(_cold_starts(context, formulation, solution))
    delays = (
        max(start.reactive_delay_s for start in starts),
        max(start.warm_pool_total_s.high for start in starts) + METRIC_DELAY_S,
    )
    within = context.requirements.workload.slo.within_ratio
    cold, warm = (
        reactive_policy(load, fleet, delay_s, within, stopped=stopped)
        for delay_s, stopped in zip(delays, (False, True), strict=True)
    )
    if cold is None or warm is None:
        return "less of the load is known than the time that an instance takes to start"
    return cold, warm


def _cold_starts(context: PlanningContext, formulation: Formulation, solution: FleetSolution) -> Iterator[ColdStart]:
    """Cold starts of the instances; those of a fleet of one number at all hours were not needed before."""
    for allocation in solution.allocations:
        source = formulation.pool_set.sources[allocation.pool.key]
        if not allocation.tariff.paid.always and allocation.tariff.paid is not PurchaseOption.SERVERLESS:
            yield source.cold_start or start_of(source.served.candidate, context.catalog)
