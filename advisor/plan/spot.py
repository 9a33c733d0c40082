"""Cost of a spot instance beyond its price: interruptions lose work and capacity."""

import math

from advisor.catalog.planning import SpotRisk
from advisor.performance import Interval
from advisor.records import dataclass
from advisor.units import (
    HOURS_PER_MONTH,
    SECONDS_PER_HOUR,
)

TOP_BUCKET_RATIO = 0.20
"""Where the highest published bucket begins: more than 20 % interrupted in a month (AWS Spot Advisor)."""
HIGHEST_RATIO = 0.95
"""Taken for the upper end of that open bucket: all of them in a month would be no finite hazard."""
MEAN_PROGRESS = 0.5
"""Share of its work that a running request has done when it is interrupted at a random moment."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """Interruption rate of a spot instance."""

    per_hour: Interval
    """Interruptions per instance-hour."""
    source: str
    """What was published of it, by whom and when; or what is assumed, since nothing was."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Load and prices when an instance is interrupted."""

    running_requests: float
    """On the whole instance, on average."""
    requests_per_second: float
    """Capacity of the instance."""
    usd_per_hour: float
    """Price of the instance."""
    replacement_usd_per_hour: float
    """Price of the same capacity while it is missing: on demand where that is known."""
    cold_start_s: float
    """Until a new instance serves."""
    start_usd: float = 0.0
    """What that one downloads."""


def hazard_per_hour(interrupted_ratio: float) -> float:
    """Interruptions per instance-hour: ``-ln(1 - f) ÷ 730`` for a share *f* interrupted in a month.

    A constant hazard *h* leaves ``exp(-h·730)`` of the instances uninterrupted after a month of 730 h.
    """
    return -math.log1p(-min(interrupted_ratio, HIGHEST_RATIO)) / HOURS_PER_MONTH


def hazard(risk: SpotRisk | None) -> Hazard:
    """Hazard at the middle and the ends of the published bucket; of the highest bucket where nothing is published."""
    if risk is None:
        source = f"not published, taken as the most that is: over {TOP_BUCKET_RATIO:.0%} of instances in a month"
        return Hazard(_interval(TOP_BUCKET_RATIO, 1.0), source)
    low, high = risk.interrupted_low_ratio, risk.interrupted_high_ratio
    published = f"{risk.provenance.source.partition(' (')[0]} of {risk.provenance.as_of}"
    return Hazard(_interval(low, high), f"{published}: {_band_words(risk)} of instances in a month")


def interruption_words(risk: SpotRisk | None) -> str:
    """Share of instances interrupted in a month, as a reader sees it: the published bucket, or what is assumed."""
    if risk is None:
        return f"interruptions not published, over {TOP_BUCKET_RATIO:.0%} of instances a month assumed"
    return f"{_band_words(risk)} of instances interrupted in a month"


def _band_words(risk: SpotRisk) -> str:
    low, high = risk.interrupted_low_ratio, risk.interrupted_high_ratio
    if low == 0:
        return f"under {high:.0%}"
    return f"over {low:.0%}" if high == 1 else f"{low:.0%} to {high:.0%}"


def _interval(low_ratio: float, high_ratio: float) -> Interval:
    ratios = ((low_ratio + high_ratio) / 2, low_ratio, high_ratio)
    return Interval(*(hazard_per_hour(ratio) for ratio in ratios))


def usd_per_interruption(exposure: Exposure) -> float:
    """Work done twice and capacity bought elsewhere, USD.

    ``(running × ½ ÷ rate × price + cold start × replacement price) ÷ 3600 + start``: at its capacity an instance spends
    ``1 ÷ rate`` seconds on a request, half of which are lost for each that was running; until a new instance serves,
    its capacity is bought elsewhere; and that one downloads image and weights.
    """
    lost_s = exposure.running_requests * MEAN_PROGRESS / exposure.requests_per_second
    missing_usd = exposure.cold_start_s * exposure.replacement_usd_per_hour
    return (lost_s * exposure.usd_per_hour + missing_usd) / SECONDS_PER_HOUR + exposure.start_usd


def interruption_usd_per_hour(interruptions_per_hour: float, exposure: Exposure) -> float:
    """Expected cost of interruptions, USD per instance-hour: what the optimiser adds to the spot price."""
    return interruptions_per_hour * usd_per_interruption(exposure)
