"""Cost of a fleet whose numbers follow the load as it is seen, minute by minute."""

import math

import numpy as np

from advisor.demand.spread import mean_by_hour_of_week
from advisor.demand.values import DemandProfile, Floats, Forecast
from advisor.plan.cold_start import minimum_warm_replicas, reactive
from advisor.plan.fleet.scaling_values import ReactivePolicy
from advisor.plan.problem.formulas import Part, mix_rate, share_without
from advisor.plan.problem.values import Allocation, FleetSolution, Pool, Problem, PurchaseOption
from advisor.plan.solve.objective import allocation_parts
from advisor.records import dataclass
from advisor.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, SECONDS_PER_MINUTE, SECONDS_PER_MONTH

ROUNDING = 1e-9
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
        seen = mean_by_hour_of_week(counts, profile.start_seconds) / SECONDS_PER_MINUTE
        busy = np.nan_to_num(seen) > 0
        growth = float(np.median(forecast.mean[busy] / seen[busy])) if busy.any() else 1.0
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
    rate: float
    """Requests per second that all of them carry, beside what stands by."""
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
        carried = min(own, max(planned - beside, 0.0)) if _has_spare(problem, moving) else own
        least = 0 if problem.scaling.scale_to_zero else max(problem.limits.zones, problem.limits.min_replicas)
        return cls(
            instances=np.array([float(allocation.instances[-1]) for allocation in moving]),
            usd_per_hour=np.array([allocation.tariff.all_usd_per_hour for allocation in moving]),
            disk_usd_per_hour=np.array([allocation.tariff.disk_usd_per_hour for allocation in moving]),
            start_usd=np.array([allocation.pool.start_usd for allocation in moving]),
            rate=carried,
            steady_rate=beside,
            steady_usd_per_month=solution.objective_usd_per_month
            - math.fsum(_usd_per_month(problem, allocation) for allocation in moving),
            least_ratio=_least_ratio(problem, moving, steady) if least else 0.0,
            least_replicas=least,
            replica_rate=mix_rate(problem, main) / main.replicas,
        )  # fmt: skip

    def usd_per_month(self, rates: Floats, step_s: float, *, stopped: bool) -> Floats:
        """Cost of a month at each rate: of every group ``⌈its share of the busiest hours⌉``, never more than there.

        Args:
            rates: requests per second, one after the other; NaN where nobody knows.
            step_s: time between two of them.
            stopped: whether instances that are not needed are stopped and keep their disks; else each start downloads
                image and weights again.
        """
        above = np.maximum(rates - self.steady_rate, 0.0)
        share = np.divide(above, self.rate, out=np.ones_like(above), where=self.rate > 0)
        share = np.clip(share, self.least_ratio, 1.0)
        counts = np.ceil(share[:, None] * self.instances - ROUNDING)
        idle = (self.instances - counts) @ self.disk_usd_per_hour if stopped else 0.0
        usd = self.steady_usd_per_month + (counts @ self.usd_per_hour + idle) * HOURS_PER_MONTH
        return np.asarray(usd if stopped else usd + self._downloads(counts, step_s))

    def _downloads(self, counts: Floats, step_s: float) -> Floats:
        """USD a month, if every step were like each: what is started beyond all that ran shortly before."""
        if not counts.size:
            return np.zeros(0)
        steps = max(round(SCALE_IN_S / step_s), 1)
        recent = np.concatenate([np.repeat(counts[:1], steps - 1, axis=0), counts])
        most = np.fmax.reduce(np.lib.stride_tricks.sliding_window_view(recent, steps, axis=0), axis=-1)
        started = np.nan_to_num(np.maximum(np.diff(most, axis=0, prepend=most[:1]), 0.0))
        return np.asarray(started @ self.start_usd * (SECONDS_PER_MONTH / step_s))


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
    found = reactive(load.requests_per_minute, delay_s, within_ratio)
    headroom = found.headroom_requests_per_second
    if math.isnan(headroom):
        return None
    lag = max(math.ceil(delay_s / SECONDS_PER_MINUTE), 1)
    counts = load.requests_per_minute
    rates = np.maximum(counts[lag:], counts[:-lag]) / SECONDS_PER_MINUTE + headroom
    by_minute = fleet.usd_per_month(rates, SECONDS_PER_MINUTE, stopped=stopped)
    seen = mean_by_hour_of_week(by_minute, load.start_seconds + lag * SECONDS_PER_MINUTE)
    expected = fleet.usd_per_month(load.expected_rates + headroom, SECONDS_PER_HOUR, stopped=stopped)
    usd = float(np.where(np.isnan(seen), expected, seen).mean())
    warm = minimum_warm_replicas(counts, delay_s, within_ratio, fleet.replica_rate, load.peak_rate)
    return ReactivePolicy(delay_s, found.missed_ratio, headroom, max(warm, fleet.least_replicas), round(usd, 2))
