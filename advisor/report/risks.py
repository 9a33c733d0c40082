"""Risks of a plan in words, for the first line of a report."""

from collections.abc import Iterator

from advisor.plan.batch_words import spare_hours, start_hours
from advisor.plan.doubts import falls_short
from advisor.plan.fleet.chosen import Fleet, FleetGroup
from advisor.plan.values import Plan
from advisor.units import SECONDS_PER_DAY, rounded, span_words

_MOST_ERROR = 0.5
"""Error of the hourly rates in the forecast's back-test, from which on it is a risk."""
_BEYOND_PREDICTION = 1.5
"""Replicas planned at so many times the rate that is predicted for them rest on the replay alone."""


def risk_words(plan: Plan) -> str:
    """Every risk that applies, the gravest first: ``57 minutes of history, price, spot``; or ``none``.

    Demand (told from accelerators, or declared), replay, replicas beyond their prediction, lowered predictions,
    history, forecast, measured latency, prediction, network, price, commitment, failure, spot.
    """
    fleet = plan.fleet
    if fleet is None:
        return "none"
    applies = {
        "demand": plan.demand.get("interval") is not None,
        "demand declared (not measured)": _is_declared(plan),
        "replay": fleet.confirmed is None or falls_short(plan, fleet),
        **dict.fromkeys(_headroom_risks(fleet), True),
        **dict.fromkeys(_measured_risks(plan, fleet), True),
        **dict.fromkeys(_history_risks(plan, fleet), True),
        "measured latency": plan.current is not None and bool(plan.current.slower),
        "prediction": any(group.evidence == "roofline" for group in fleet.groups),
        "network not known": any(group.uncounted_gbit_per_second > 0 for group in fleet.groups),
        "price": bool(fleet.doubtful_prices),
        "commitment": fleet.cost.obligation_usd > 0,
        "failure": any(failure.left_ratio <= 0 for failure in fleet.failures) and not _waits_for_another(fleet),
        "spot": any(group.purchase == "spot" for group in fleet.groups),
    }
    return ", ".join(words for words, holds in applies.items() if holds) or "none"


def _waits_for_another(fleet: Fleet) -> bool:
    """Whether the runs of batch work that machines leave in the middle are done in time by those that replace them."""
    spare = spare_hours(fleet)
    return fleet.is_batch_alone and spare is not None and spare >= start_hours(fleet)


def _is_declared(plan: Plan) -> bool:
    """Whether the demand is stated, and nothing was counted."""
    return plan.demand.get("requests") is None and plan.demand.get("interval") is None


def _headroom_risks(fleet: Fleet) -> Iterator[str]:
    """How far beyond their prediction replicas are planned, where only the replay says that they carry it."""
    ratio = max(map(_planned_ratio, fleet.groups), default=0.0)
    if ratio >= _BEYOND_PREDICTION:
        yield f"replicas planned at {rounded(ratio)} × the predicted rate"


def _planned_ratio(group: FleetGroup) -> float:
    """Planned ÷ predicted requests per second of a replica."""
    planned = group.planned_requests_per_second_per_instance / group.replicas_per_instance
    return planned / group.requests_per_second_per_replica.value


def _measured_risks(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Factor by which predictions for the fleet are lowered to what the workload file says was measured."""
    today = plan.current
    if today is not None and any(group.accelerator == today.measured_accelerator for group in fleet.groups):
        yield f"predictions at {today.measured_factor:.2g} × by current.measured"


def _history_risks(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """History of less than a day, and a forecast whose back-test was far off."""
    seconds = plan.demand.get("window_seconds")
    if seconds is not None and seconds < SECONDS_PER_DAY:
        yield f"{span_words(seconds)} of history"
    error = max((test.wape for test in fleet.forecast.backtest if test.chosen), default=0.0)
    if error > _MOST_ERROR:
        yield f"forecast off by {error:.0%}"
