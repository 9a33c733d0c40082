"""Constraints in words: where each is set, what a fleet takes of it, and what has to give where they conflict."""

import math
from collections.abc import Iterator, Mapping

from advisor.plan.fleet.chosen import Conflict, ConstraintUse, RelaxedLimit
from advisor.plan.problem.values import Constraint

SET_BY: Mapping[str, str] = {
    Constraint.DEMAND: "demand",
    Constraint.CAPACITY: "slo",
    Constraint.MIN_REPLICAS: "limits.min_replicas",
    Constraint.MAX_REPLICAS: "limits.max_replicas",
    Constraint.ZONES: "limits.zones",
    Constraint.SURVIVE: "limits.survive",
    Constraint.SPOT_REROUTE: "limits.fault_tolerant_ratio",
    Constraint.ON_DEMAND_BASE: "limits.on_demand_base_ratio",
    Constraint.OWNED: "commitments",
    Constraint.COMMITMENT_LOW_BAND: "limits.commit_beyond_forecast",
    Constraint.QUOTA: "limits.quotas",
    Constraint.MAX_REGIONS: "limits.max_regions",
    Constraint.MAX_INSTANCE_TYPES: "limits.max_instance_types",
    Constraint.MAX_CHANGED_INSTANCES: "limits.max_changed_instances",
    Constraint.BUDGET: "limits.max_usd_per_month",
    Constraint.CARBON: "limits.max_kg_co2e_per_month",
    Constraint.POWER: "limits.max_kw",
}
"""The key of the workload file that decides each constraint."""

_GIVE_UP: Mapping[str, str] = {
    Constraint.SURVIVE: "set limits.survive to nothing",
    Constraint.COMMITMENT_LOW_BAND: "set limits.commit_beyond_forecast to true",
}
"""Non-numeric limits: what to set in their place."""
_DECIMALS = {"USD/month": 2, "share of requests": 4, "kW": 3, "kg CO2e/month": 1}
"""Digits of a relaxed limit after the point, by unit; 0 for all others."""


def use_words(use: ConstraintUse) -> str:
    """``min_replicas 2 of 2 replicas``."""
    detail = f" ({use.detail})" if use.detail else ""
    return f"{use.name}{detail} {_amount(use.used)} of {_amount(use.limit)} {use.unit}"


def _amount(value: float) -> str:
    """A count in full, any other number in three digits."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:,.3g}"


def conflict_words(conflict: Conflict) -> str:
    """Which limits exclude each other, in one sentence."""
    keys = [SET_BY[name] for name in conflict.constraints]
    if not keys:
        return "No fleet carries the demand within the SLO from where it may run."
    if len(keys) == 1:
        return f"No fleet keeps to {keys[0]}."
    return f"No fleet keeps to {', '.join(keys[:-1])} and {keys[-1]} together; without any one of them there is one."


def relaxation_words(conflict: Conflict) -> Iterator[str]:
    """What would help by itself, the smallest change first."""
    yield from (_relaxed(one) for one in conflict.relaxations)
    yield from (_GIVE_UP[name] for name in conflict.constraints if name in _GIVE_UP)


def _relaxed(one: RelaxedLimit) -> str:
    verb, round_off = ("raise", math.ceil) if one.needed > one.limit else ("lower", math.floor)
    scale = 10 ** _DECIMALS.get(one.unit, 0)
    needed = round_off(one.needed * scale + math.copysign(1e-6, one.limit - one.needed)) / scale
    detail = f" of {one.detail}" if one.detail else ""
    return f"{verb} {SET_BY[one.name]}{detail} from {one.limit:,.10g} to {needed:,.10g} {one.unit}"
