"""Cheap measurements that would tell two options apart which are too close to call."""

import math
from collections.abc import Sequence

from advisor.performance.values import Evidence
from advisor.plan.problem.formulas import Part, lost_in_zone, share_without
from advisor.plan.problem.values import PurchaseOption
from advisor.plan.values import MeasureFirst, Option
from advisor.workload.values import Limits, Survive

ROUNDING = 1e-9
HOURS = 1
"""How long a load test of one instance takes, with the loading of the model."""


def measure_first(
    chosen: Option | None, options: Sequence[Option], limits: Limits, planned_rate: float, *, is_one_pass: bool = False
) -> MeasureFirst | None:  # fmt: skip
    """The cheapest measurement that could overturn the recommendation; None where none could, or nothing is unsure.

    An option may cost as little as the whole instances that it takes at the upper end of a replica's rate, and as much
    as at the lower end; what failures and floors ask for stays. The closest rival runs on another accelerator or in
    another precision, and may be cheaper than the recommendation may be dear.

    Args:
        chosen: the recommended fleet in short; None where there is none.
        options: fleets of one type.
        limits: what every fleet keeps to.
        planned_rate: requests per second of the busiest hours.
        is_one_pass: of a model that answers in one pass; only how close the options are is told, since calibration
            learns from measurements of tokens alone.
    """
    bounds = [_bounds_usd(option, limits, planned_rate) for option in options]
    rivals = [(least, at) for at, (least, _) in enumerate(bounds) if chosen and _kind(options[at]) != _kind(chosen)]
    if chosen is None or not rivals:
        return None
    least, at = min(rivals)
    _, most = _bounds_usd(chosen, limits, planned_rate)
    if least >= most:
        return None
    unmeasured = [
        option for option in (chosen, options[at]) if option.evidence != Evidence.MEASURED and not option.partition
    ]  # fmt: skip
    if not unmeasured:
        return None
    measured = min(unmeasured, key=lambda option: option.cost.instance_usd_per_hour)
    return MeasureFirst(
        rank=None if is_one_pass else measured.rank,
        rival_rank=options[at].rank,
        usd=None if is_one_pass else round(measured.cost.instance_usd_per_hour * HOURS, 2),
        hours=None if is_one_pass else HOURS,
        recommended_usd_per_month_high=round(most, 2),
        rival_usd_per_month_low=round(least, 2),
    )


def _kind(option: Option) -> tuple[str, str]:
    return option.accelerator, option.precision


def _bounds_usd(option: Option, limits: Limits, planned_rate: float) -> tuple[float, float]:
    """Lowest and highest cost: a replica sustains as much, and as little, as its rate may be.

    Data transfer follows the demand, and standing charges follow nothing, however many instances there are.
    """
    rate, count = option.predicted.requests_per_second_per_replica, option.instances
    spare = int(limits.survival is not Survive.NOTHING and option.groups == 1)
    planned = option.planned_requests_per_second_per_instance
    loaded = min(planned_rate / planned, count) if planned and option.groups == 1 else float(max(count - spare, 1))
    floor = max(limits.zones, math.ceil(limits.min_replicas / option.replicas_per_instance), 1 + spare)
    fewest, most = (_least_instances(option, limits, loaded * rate.value / end, spare) for end in (rate.high, rate.low))
    fixed = option.cost.standing_usd_per_month + option.cost.transfer_usd_per_month
    usd = (option.cost.total_usd_per_month - fixed) / count
    return fixed + usd * min(max(fewest, floor), count), fixed + usd * max(most, count)


def _least_instances(option: Option, limits: Limits, loaded: float, spare: int) -> int:
    """Whole instances for a load of so many, and beside those that a machine, a zone or spot in it may take."""
    count = math.ceil(loaded - ROUNDING) + spare
    lost_shares = [share_without(limits, Part.ZONE)]
    if option.purchase == PurchaseOption.SPOT:
        lost_shares.append(share_without(limits, Part.SUPPLY))
    left = max(lost_shares) * loaded
    while option.groups == 1 and option.zones > 1 and count - lost_in_zone(count, option.zones) < left - ROUNDING:
        count += 1
    return count
