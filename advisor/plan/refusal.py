"""Plans whose fleet is only the closest of those that no replay confirms."""

from advisor.plan.fleet.chosen import Fleet
from advisor.plan.values import Plan
from advisor.units import ratio_words


def wanted_ratio(plan: Plan) -> float:
    """Share of the requests that has to be within the SLO."""
    return float(plan.workload["slo"]["within_ratio"])


def falls_short(plan: Plan, fleet: Fleet) -> bool:
    """Whether a replay finds fewer requests within the SLO than that share."""
    return fleet.confirmed is not None and fleet.confirmed.within_slo_ratio < wanted_ratio(plan)


def is_refused(plan: Plan) -> bool:
    """Whether a plan's fleet is only the closest of fleets that no replay confirms; a run of a batch has no replay."""
    fleet = plan.fleet
    if fleet is None or fleet.is_batch_alone:
        return False
    return falls_short(plan, fleet)


def refusal_words(plan: Plan, fleet_words: str = "") -> str:
    """``no fleet keeps the SLO in its replay: the closest has 98% of the requests within it, 99% are asked``."""
    confirmed = None if plan.fleet is None else plan.fleet.confirmed
    kept = 0.0 if confirmed is None else confirmed.within_slo_ratio
    closest = f"{fleet_words}, the closest," if fleet_words else "the closest"
    return (
        f"no fleet keeps the SLO in its replay: {closest} has {ratio_words(kept)} of the requests within it, "
        f"{ratio_words(wanted_ratio(plan))} are asked"
    )
