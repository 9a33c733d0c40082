"""When two options are too close to call: which cheap measurement would tell them apart."""

from collections.abc import Sequence

from advisor.performance.values import Evidence
from advisor.plan.values import MeasureFirst, Option

HOURS = 1
"""How long a load test of one instance takes, with the loading of the model."""


def measure_first(chosen: Option | None, options: Sequence[Option]) -> MeasureFirst | None:
    """The cheapest measurement that could overturn the recommendation; None where none could, or nothing is unsure.

    An option may cost as little as its instances at the upper end of a replica's rate, and as much as at the lower
    end. The closest rival runs on another accelerator or in another precision, and may be cheaper than the
    recommendation may be dear.

    Args:
        chosen: the recommended fleet in short; None where there is none.
        options: fleets of one type.
    """
    if chosen is None:
        return None
    rivals = [one for one in options if _kind(one) != _kind(chosen)]
    rival = min(rivals, key=_least_usd, default=None)
    if rival is None or _least_usd(rival) >= _most_usd(chosen):
        return None
    unmeasured = [one for one in (chosen, rival) if one.evidence != Evidence.MEASURED and not one.partition]
    if not unmeasured:
        return None
    measured = min(unmeasured, key=lambda one: one.cost.instance_usd_per_hour)
    return MeasureFirst(
        rank=measured.rank,
        rival_rank=rival.rank,
        usd=round(measured.cost.instance_usd_per_hour * HOURS, 2),
        hours=HOURS,
        recommended_usd_per_month_high=round(_most_usd(chosen), 2),
        rival_usd_per_month_low=round(_least_usd(rival), 2),
    )


def _kind(option: Option) -> tuple[str, str]:
    return option.accelerator, option.precision


def _least_usd(option: Option) -> float:
    rate = option.predicted.requests_per_second_per_replica
    return option.cost.total_usd_per_month * rate.value / rate.high


def _most_usd(option: Option) -> float:
    rate = option.predicted.requests_per_second_per_replica
    return option.cost.total_usd_per_month * rate.value / rate.low
