"""Scaling of a fleet with its load: by the clock, by what it sees, or not at all; their cost, and what has to run."""

import math
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np

from advisor import units
from advisor.demand.spread import mean_by_hour_of_week
from advisor.demand.values import DemandProfile, Floats, Forecast
from advisor.plan.cold_start import METRIC_DELAY_S, ColdStart, minimum_warm_replicas, reactive, start_of
from advisor.plan.fleet.chosen import Change, GroupSchedule, Policy, ReactivePolicy, ScalingPlan
from advisor.plan.problem.formulas import Part, mix_rate, share_without
from advisor.plan.problem.values import Allocation, FleetSolution, Pool, Problem, PurchaseOption
from advisor.plan.replay.groups import name_of
from advisor.plan.solve.objective import allocation_parts, objective_usd_per_month
from advisor.plan.solve.stage import Formulation, PlanningContext
from advisor.records import dataclass, replace

SCALE_IN_S = 900.0
"""How long scalers see less load before they take instances away: a quarter of an hour at AWS."""


@dataclass(frozen=True, slots=True, eq=False)
class ObservedLoad:
    """The load minute by minute, at the level that is forecast for the same hours."""

    requests_per_minute: Floats
    """NaN: nobody knows."""
    start_seconds: float
    expected_rates: Floats
    """Requests per second in each hour of the week, for hours never observed: (168,)."""
    peak_rate: float
    """Requests per second of the busiest minute to plan for."""

    @classmethod
    def of(cls, profile: DemandProfile, forecast: Forecast) -> "ObservedLoad":
        """A profile, grown (or shrunk) as much as the forecast of the hours that it shows, in their median.

        Surges that the forecast does not expect again make the rest of the load no smaller.
        """
        counts = np.asarray(profile.requests_per_minute, dtype=np.float64)
        seen = mean_by_hour_of_week(counts, profile.start_seconds) / units.SECONDS_PER_MINUTE
        busy = np.nan_to_num(seen) > 0
        growth = median((forecast.mean[busy] / seen[busy]).tolist()) if busy.any() else 1.0
        return cls(counts * growth, profile.start_seconds, forecast.mean, float(forecast.peak.max()))


def main_pool(problem: Problem, solution: FleetSolution) -> Pool:
    """The pool with the most capacity in the busiest hours."""
    rates: dict[str, float] = {}
    pools: dict[str, Pool] = {}
    for allocation in solution.allocations:
        pools[allocation.pool.key] = allocation.pool
        rates[allocation.pool.key] = rates.get(allocation.pool.key, 0.0) + allocation.instances[-1] * mix_rate(
            problem, allocation.pool
        )
    return pools[max(rates, key=lambda key: rates[key])]


@dataclass(frozen=True, slots=True, eq=False)
class ReactiveFleet:
    """Part of a fleet that starts and stops, in the proportions of its busiest hours, beside what is paid anyway."""

    instances: Floats
    """Of each group that follows, in the busiest hours."""
    usd_per_hour: Floats
    """Of one instance of each group, with its disk and expected interruptions; below, its disk alone."""
    disk_usd_per_hour: Floats
    start_usd: Floats
    """What each start downloads."""
    stop_usd: Floats
    """Cost of an instance after its last hour, until it is taken away."""
    rate: float
    """Requests per second that all of them carry, without their part of the fleet's spare."""
    steady_rate: float
    """The same of commitments, of what is owned, and of serverless, which follows by itself."""
    steady_usd_per_month: float
    """Of those, with data transfer and whatever else does not depend on the numbers."""
    least_ratio: float
    """Share of the instances that zones and replicas ask for at any time."""
    least_replicas: int
    replica_rate: float
    """Requests per second of one replica of the main type."""

    @classmethod
    def of(cls, problem: Problem, solution: FleetSolution) -> "ReactiveFleet | None":
        """The fleet that was chosen; None where nothing of it follows the load of all requests."""
        moving = [allocation for allocation in solution.allocations if not _steady(allocation)]
        steady = [allocation for allocation in solution.allocations if _steady(allocation)]
        planned = problem.hours[-1].planned_rate
        main = main_pool(problem, solution)
        beside = sum(allocation.instances[-1] * mix_rate(problem, allocation.pool) for allocation in steady)
        own = sum(allocation.instances[-1] * mix_rate(problem, allocation.pool) for allocation in moving)
        if own <= 0:
            return None
        carried_ratio = min(planned / (own + beside), 1.0) if _has_spare(problem, moving) else 1.0
        least = 0 if problem.scaling.scale_to_zero else max(problem.limits.zones, problem.limits.min_replicas)
        return cls(
            instances=np.array([float(allocation.instances[-1]) for allocation in moving]),
            usd_per_hour=np.array([allocation.tariff.all_usd_per_hour for allocation in moving]),
            disk_usd_per_hour=np.array([allocation.tariff.disk_usd_per_hour for allocation in moving]),
            start_usd=np.array([allocation.pool.start_usd for allocation in moving]),
            stop_usd=np.array(
                [allocation.tariff.all_usd_per_hour * allocation.tariff.stop_hours for allocation in moving]
            ),
            rate=carried_ratio * own,
            steady_rate=carried_ratio * beside,
            steady_usd_per_month=solution.objective_usd_per_month
            - math.fsum(_usd_per_month(problem, allocation) for allocation in moving),
            least_ratio=_least_ratio(problem, moving, steady) if least else 0.0,
            least_replicas=least,
            replica_rate=mix_rate(problem, main) / main.replicas,
        )  # fmt: skip

    def usd_per_month(self, rates: Floats, step_s: float, *, stopped: bool) -> Floats:
        """Cost of a month at each rate: of every group ``⌈its share of the busiest hours⌉``, never more than there.

        *rates*: requests per second, one after the other; NaN where nobody knows. *stopped*: whether instances that are
        not needed are stopped and keep their disks; else each start downloads image and weights again.
        """
        above = np.maximum(rates - self.steady_rate, 0.0)
        share = np.divide(above, self.rate, out=np.ones_like(above), where=self.rate > 0)
        share = np.clip(share, self.least_ratio, 1.0)
        counts = np.ceil(share[:, None] * self.instances - units.ROUNDING)
        idle = (self.instances - counts) @ self.disk_usd_per_hour if stopped else 0.0
        usd = self.steady_usd_per_month + (counts @ self.usd_per_hour + idle) * units.HOURS_PER_MONTH
        each_usd = self.stop_usd if stopped else self.stop_usd + self.start_usd
        return np.asarray(usd + self._started(counts, step_s) @ each_usd * (units.SECONDS_PER_MONTH / step_s))

    def _started(self, counts: Floats, step_s: float) -> Floats:
        """Instances of each group that each step starts, beyond all that ran shortly before; each is stopped once."""
        if not counts.size:
            return counts
        steps = max(round(SCALE_IN_S / step_s), 1)
        recent = np.concatenate([np.repeat(counts[:1], steps - 1, axis=0), counts])
        most = np.fmax.reduce(np.lib.stride_tricks.sliding_window_view(recent, steps, axis=0), axis=-1)
        return np.asarray(np.nan_to_num(np.maximum(np.diff(most, axis=0, prepend=most[:1]), 0.0)))


def _steady(allocation: Allocation) -> bool:
    return allocation.tariff.paid.always or allocation.tariff.paid is PurchaseOption.SERVERLESS


def _usd_per_month(problem: Problem, allocation: Allocation) -> float:
    return math.fsum(allocation_parts(problem, allocation))


def _has_spare(problem: Problem, moving: list[Allocation]) -> bool:
    """Whether instances stand by for others that may fail: they have to in every hour."""
    on_spot = any(allocation.tariff.paid is PurchaseOption.SPOT for allocation in moving)
    return on_spot or max(share_without(problem.limits, part) for part in (Part.MACHINE, Part.ZONE)) > 0


def _least_ratio(problem: Problem, moving: list[Allocation], steady: list[Allocation]) -> float:
    """Share of the moving instances of the busiest hours with which there is one in each zone, and enough replicas."""
    limits = problem.limits

    def share(floor: int, moving_count: int, steady_count: int) -> float:
        return min(max((floor - steady_count) / max(moving_count, 1), 0.0), 1.0)

    zones = share(limits.zones, *(sum(allocation.instances[-1] for allocation in part) for part in (moving, steady)))
    replicas = [
        sum(allocation.instances[-1] * allocation.pool.replicas for allocation in part) for part in (moving, steady)
    ]
    return max(zones, share(limits.min_replicas, *replicas))


def reactive_policy(
    load: ObservedLoad, fleet: ReactiveFleet, delay_s: float, within_ratio: float, *, stopped: bool = False
) -> ReactivePolicy | None:
    """The fleet at ``r(t - delay) + headroom``, paid for from the order on: at the larger of r(t) and r(t - delay).

    With *stopped* instances, those that do not run keep their disks, and download nothing when they start again.

    Hours of the week that were never observed count at their forecast; None where too little of the load is known.
    """
    missed = reactive(load.requests_per_minute, delay_s, within_ratio)
    headroom = missed.headroom_requests_per_second
    if math.isnan(headroom):
        return None
    lag = max(math.ceil(delay_s / units.SECONDS_PER_MINUTE), 1)
    counts = load.requests_per_minute
    rates = np.maximum(counts[lag:], counts[:-lag]) / units.SECONDS_PER_MINUTE + headroom
    by_minute = fleet.usd_per_month(rates, units.SECONDS_PER_MINUTE, stopped=stopped)
    seen = mean_by_hour_of_week(by_minute, load.start_seconds + lag * units.SECONDS_PER_MINUTE)
    expected = fleet.usd_per_month(load.expected_rates + headroom, units.SECONDS_PER_HOUR, stopped=stopped)
    usd = float(np.where(np.isnan(seen), expected, seen).mean())
    warm = minimum_warm_replicas(counts, delay_s, within_ratio, fleet.replica_rate, load.peak_rate)
    return ReactivePolicy(delay_s, missed.missed_ratio, headroom, max(warm, fleet.least_replicas), round(usd, 2))


def scaling_of(
    context: PlanningContext, formulation: Formulation, solution: FleetSolution, forecast: Forecast
) -> ScalingPlan:
    """Compare the policies for a fleet that was chosen."""
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
        ordered_minutes_ahead=minutes_of(allocation.pool.lead_hours),
        stopped_minutes_after=minutes_of(allocation.tariff.stop_hours),
        changes=tuple(changes) or (Change(0, counts[0]),),
    )


def minutes_of(hours: float) -> int:
    """Minutes of a time that is a whole number of them."""
    return round(hours * units.MINUTES_PER_HOUR)


def static_usd_per_month(problem: Problem, solution: FleetSolution) -> float:
    """The fleet of the busiest hours at all hours: nothing is ever started ahead of its use."""
    hours = len(problem.hours)
    fixed = tuple(
        replace(allocation, instances=allocation.instances[-1:] * hours)
        for allocation in solution.allocations
        if allocation.instances[-1]
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
