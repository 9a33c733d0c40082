"""Whether a price may decide by itself, and within which bounds today's price lies otherwise.

The bounds are the 5th and the 95th percentile of newer price ÷ older price, each pair of region and type counted once
at its longest interval. The middle 80 % of list prices did not move, so that narrower bounds would hide the cuts.

================= ======================================== ===== ============================ ==========
price             measured on                              pairs 5th, 50th, 95th percentile   extremes
================= ======================================== ===== ============================ ==========
listed, to 1 year price lists in karpenter-provider-aws      166 0.81, 1.00, 1.00; 92 % same  0.54, 1.00
                  @6fc13b5 and -azure @2b431da, 2023-10 to
                  2026-07, 91 to 365 days apart
listed, older     the same lists, 1 to 3 years apart         130 0.69, 1.00, 1.00; 93 % same  0.54, 1.00
listed, to 1 year shipped prices against azure-pricing-      211 1.00, 1.00, 1.00; 99 % same  1.00, 1.16
                  radar @cf741f2 and skypilot-catalog
                  @2c3d7ea, 2 to 11 months apart
spot              shipped AWS spot against skypilot-catalog   67 0.36, 1.00, 2.04; 7 % same   0.24, 3.25
                  @2c3d7ea, 2 to 11 months apart
derived           AWS rules where a list price is known too  134 1.00, 1.00, 1.00; all same   1.00, 1.00
recalled          Azure's reservations against its savings    55 1.06, 1.30, 1.30             1.06, 1.30
                  plans of 2026-08: another instrument
================= ======================================== ===== ============================ ==========

List prices only fell: P4d and P4de by a third, P5 by 44 %, P5en by a quarter (June 2025); on Azure H200 by 28 %,
MI300X by 46 %, RTX PRO 6000 by 19 %. Derived prices have the bounds of list prices: the rules of Google and of prices
after a cut could not be checked. Recalled ones have the wider of both sides. Spot outside AWS was not measured and
has the bounds of AWS. Zones of one region differ too: see :attr:`advisor.catalog.values.Price.zones_usd_per_hour`.
"""

import datetime as dt
from collections.abc import Iterator

from advisor.catalog.values import Price, Purchase, Quality
from advisor.records import dataclass
from advisor.units import price_usd

LEAST_USD_PER_HOUR, MOST_USD_PER_HOUR = 0.001, 10_000.0
"""Prices of a machine: the facts have 0.0042 (the smallest on demand) to 216 (128 accelerators)."""
MOST_DAYS = 90
MOST_SPOT_DAYS = 30
_YEAR_DAYS = 365
_WITHIN_A_YEAR = (0.81, 1.00)
_OLDER = (0.69, 1.00)
_RECALLED = (0.69, 1.30)
_SPOT = (0.36, 2.04)
_SAME_RATIO = 0.05
"""Prices of zones that differ from their median by no more are one price."""
_UNFOUNDED = {
    Quality.DERIVED: ("derived from other prices", _WITHIN_A_YEAR),
    Quality.RECALLED: ("recalled, no source was read", _RECALLED),
    Quality.STALE: ("changed since it was listed", _RECALLED),
    Quality.WITHDRAWN: ("not sold any more", _RECALLED),
}


@dataclass(frozen=True, slots=True)
class PriceTrust:
    """How far a price can be relied on."""

    listed: bool
    """It may decide by itself: it stands in a source, and that source is not old."""
    low_ratio: float
    """Today's price is at least this × the price, in 19 of 20 cases; 1 where it is certain."""
    high_ratio: float
    """Today's price is at most this × the price, in 19 of 20 cases; 1 where it is certain."""
    reason: str
    """Why it is not certain; "" where it is."""
    on_list: bool = True
    """It stands in a source, and if that is old, it can only have fallen since."""

    @property
    def certain(self) -> bool:
        """Whether it is listed, and one price holds in the whole region."""
        return not self.reason


def trust(price: Price, purchase: Purchase, today: dt.date) -> PriceTrust:
    """How far a price can be relied on.

    Where the prices of zones are known, the bounds of a spot price hold all of them, however new they are. A price
    under a commitment may be on demand less a discount, so that being derived is not a doubt: judge its
    on-demand price as well.
    """
    doubts = list(_doubts(price, purchase, today))
    bounds = [_SPOT] if doubts and purchase is Purchase.SPOT else [ratios for _, ratios in doubts]
    words = [reason for reason, _ in doubts]
    if (zones := price.zones_usd_per_hour) is not None:
        ratios = zones[0] / price.usd_per_hour, zones[1] / price.usd_per_hour
        if any(abs(ratio - 1) > _SAME_RATIO for ratio in ratios):
            bounds.append(ratios)
            words.append(f"{price_usd(zones[0])} to {price_usd(zones[1])} by zone")
    high_ratio = max((high for _, high in bounds), default=1.0)
    return PriceTrust(
        listed=not doubts,
        low_ratio=min((low for low, _ in bounds), default=1.0),
        high_ratio=high_ratio,
        reason="; ".join(words),
        on_list=high_ratio <= 1 and not _is_unfounded(price, purchase),
    )


def is_listed(price: Price, purchase: Purchase, on_demand: Price | None, today: dt.date) -> bool:
    """Whether a price is listed and recent; one under a commitment together with the price on demand that it is below.

    ``listed_only`` plans with these prices alone, and the verdict names the best option on them.
    """
    if not trust(price, purchase, today).listed:
        return False
    return (
        purchase is not Purchase.COMMITMENT or on_demand is None or trust(on_demand, Purchase.ON_DEMAND, today).listed
    )


def _is_unfounded(price: Price, purchase: Purchase) -> bool:
    """Whether a price stands in no source as it is."""
    quality = price.provenance.quality
    return quality in _UNFOUNDED and (purchase, quality) != (Purchase.COMMITMENT, Quality.DERIVED)


def _doubts(price: Price, purchase: Purchase, today: dt.date) -> Iterator[tuple[str, tuple[float, float]]]:
    """Reasons not to rely on a price, each with the bounds of a price that is not spot."""
    as_of = price.provenance.as_of
    if _is_unfounded(price, purchase):
        yield _UNFOUNDED[price.provenance.quality]
    day = first_day(as_of)
    if day is None:
        yield "without a date", _OLDER
        return
    most_days = MOST_SPOT_DAYS if purchase is Purchase.SPOT else MOST_DAYS
    age_days = (today - day).days
    if age_days < -_YEAR_DAYS:
        yield f"of {as_of}, years after {today}", _OLDER
    if age_days > most_days:
        yield f"of {as_of}, older than {most_days} days", _WITHIN_A_YEAR if age_days <= _YEAR_DAYS else _OLDER


def first_day(as_of: str) -> dt.date | None:
    """The first day that a date of a price may mean: of a month or a year its first one; None where it says none."""
    try:
        match [int(part) for part in as_of.split("-")]:
            case [year, month, day]:
                return dt.date(year, month, day)
            case [year, month]:
                return dt.date(year, month, 1)
            case [year]:
                return dt.date(year, 1, 1)
    except ValueError:
        return None
    return None
