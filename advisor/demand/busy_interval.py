"""Request rates that the accelerators can have served, when only how busy they were is known."""

import numpy as np

from advisor.demand.values import DemandInterval, Floats
from advisor.records import dataclass, replace


@dataclass(frozen=True, slots=True)
class BusySecond:
    """Requests that one fully busy accelerator serves in a second."""

    alone: float
    """While a single request runs: the least that busy can mean."""
    saturated: float
    """At its capacity: the most."""


def demand_interval(
    busy: Floats, saturated: Floats, serves: BusySecond, stated_mean: float | None = None
) -> DemandInterval:  # fmt: skip
    """Bounds of the request rate on average and in the busiest window.

    An accelerator counts as busy while any kernel runs, so a busy second served at least what it serves while a
    single request runs, and at most what it serves when saturated. For b busy and s saturated accelerators::

        low = b × alone        high = max(s × saturated, low)

    s is b where nothing narrows it. With profiling signals it is the least of b, SM active ÷ 0.8 (a saturated
    accelerator has that much) and the greater of DRAM active ÷ 0.6 and tensor active ÷ 0.5 (a saturated one is bound
    by either); these quotients are as good as their limits, so a plan is still made for b. Both edges grow with b.
    They are usually a factor of 10 to 100 apart: batching is what they differ in. That is what samples of
    accelerators alone can say.

    Args:
        busy: busy accelerators in each window, shape ``(windows,)``, NaN where unknown; at least one is known.
        saturated: the same, narrowed by SM, DRAM and tensor activity where those are known.
        serves: what a busy second can have served.
        stated_mean: requests per second that are stated, to be held against the bounds.
    """
    known = ~np.isnan(busy)
    narrowed = np.where(np.isnan(saturated), busy, np.minimum(saturated, busy))[known]
    low = busy[known] * serves.alone
    high = np.maximum(narrowed * serves.saturated, low)
    bounds = DemandInterval(float(low.mean()), float(high.mean()), float(low.max()), float(high.max()))
    if stated_mean is None:
        return bounds
    return replace(bounds, contradiction=_contradiction(stated_mean, bounds.mean_low, bounds.mean_high))


def _contradiction(mean: float, low: float, high: float) -> str:
    """Contradiction, in words, of a stated mean rate outside of what the samples allow."""
    if mean > high:
        return (
            f"the stated volume ({mean:.3g} requests/s) is above what the busy accelerators can have served "
            f"({high:.3g}): check requests_per_day, the lengths and `current`"
        )
    if mean < low:
        return (
            f"the stated volume ({mean:.3g} requests/s) is below what the busy accelerators serve even one at a time "
            f"({low:.3g}): something else ran there, or requests_per_day is too low"
        )
    return ""
