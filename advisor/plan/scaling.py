"""How a fleet follows its load: by the clock, by what it sees, or not at all; what each costs, and what has to run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from advisor.demand.clock import mean_by_hour_of_week
from advisor.demand.values import DemandProfile, Floats, Forecast
from advisor.plan.cold_start import METRIC_DELAY_S, ColdStart, cold_start, minimum_warm_replicas, reactive
from advisor.plan.fleet.optimise import allocation_usd_per_month, interruptions_usd_per_month, objective_usd_per_month
from advisor.plan.fleet.program import mix_rate
from advisor.plan.fleet.sizes import SizeAlternative, main_pool, size_alternatives
from advisor.plan.fleet.stage import Posed, Setting
from advisor.plan.fleet.values import Allocation, FleetSolution, Paid, Problem
from advisor.units import HOURS_PER_MONTH, MINUTES_PER_HOUR, SECONDS_PER_MINUTE

ROUNDING = 1e-9


class Policy(StrEnum):
    """What decides how many instances run; of two that cost the same the first one is recommended."""

    STATIC = "static"
    """The same number at all times."""
    SCHEDULED = "scheduled"
    """The clock: numbers by hour of the week, ordered ahead."""
    REACTIVE = "reactive"
    """The load as it is seen, with headroom for what rises before new instances serve."""


@dataclass(frozen=True, slots=True)
class Change:
    """From this hour of the week on so many instances serve."""

    hour_of_week: int
    """From Monday 00:00 UTC."""
    instances: int


@dataclass(frozen=True, slots=True)
class GroupSchedule:
    """The timetable of equal instances that are paid for in one way."""

    pool: str
    paid: Paid
    label: str
    ordered_minutes_ahead: int
    """How long before its hour an instance has to be ordered."""
    changes: tuple[Change, ...]
    """One entry, hour 0, where the number never changes."""


@dataclass(frozen=True, slots=True)
class ReactivePolicy:
    """Capacity that follows the load as observed."""

    delay_s: float
    """From a rise of the load until capacity ordered because of it serves, at the upper edge."""
    missed_ratio: float
    """Share of the requests that would come before their capacity without headroom."""
    headroom_requests_per_second: float
    """Capacity kept ahead of the load, so that no more come too early than the SLO lets miss."""
    minimum_warm_replicas: int
    """Never fewer of the main type run."""
    usd_per_month: float
    """Expected; headroom and what is started ahead of its use are paid for."""


@dataclass(frozen=True, slots=True)
class ScalingPlan:
    """The policies side by side, for the same fleet."""

    recommended: Policy
    reason: str
    schedule: tuple[GroupSchedule, ...]
    scheduled_usd_per_month: float
    """Of the plan."""
    static_usd_per_month: float
    """Of the numbers of the busiest hours at all hours."""
    reactive: ReactivePolicy | None
    """None: not known, for the reason given."""
    reactive_unknown: str
    warm_pool: ReactivePolicy | None
    """The same with instances that were stopped with their disks, which are not priced: the catalog has no prices of disks."""
    sizes: tuple[SizeAlternative, ...]
    """Horizontal against vertical."""


def scaling_of(setting: Setting, posed: Posed, solution: FleetSolution, forecast: Forecast) -> ScalingPlan:
    """Compare the policies for a fleet that was chosen.

    Args:
        setting: what was asked.
        posed: the problem that was solved.
        solution: its fleet.
        forecast: what the hours were made of.
    """
    problem = posed.problem
    static = static_usd_per_month(problem, solution)
    following = _Following.of(problem, solution)
    found = _reactive(setting, posed, solution, forecast, following)
    policies = (None, None) if isinstance(found, str) else found
    scheduled = solution.objective_usd_per_month
    recommended, reason = _recommended(static, scheduled, policies[0])
    return ScalingPlan(
        recommended=recommended,
        reason=reason,
        schedule=tuple(group_schedule(one, posed.week.schedule) for one in solution.allocations),
        scheduled_usd_per_month=scheduled,
        static_usd_per_month=static,
        reactive=policies[0],
        reactive_unknown=found if isinstance(found, str) else "",
        warm_pool=policies[1],
        sizes=size_alternatives(problem, solution),
    )
