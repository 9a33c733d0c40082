"""What request rates the accelerators can have served, when only how busy they were is known."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.errors import InputError
from advisor.units import SECONDS_PER_DAY

Floats = npt.NDArray[np.float64]
_BISECTIONS = 60


@dataclass(frozen=True, slots=True)
class BusySecond:
    """Requests that one fully busy accelerator serves in a second."""

    alone: float
    """While a single request runs: the least that busy can mean."""
    saturated: float
    """At its capacity: the most."""


@dataclass(frozen=True, slots=True)
class DemandInterval:
    """Requests per second, from the least to the most that the samples allow."""

    mean_low: float
    mean_high: float
    peak_low: float
    """In the busiest minute."""
    peak_high: float
    contradiction: str = ""
    """Why the stated volume cannot be true of these samples; empty when it can."""

    def words(self) -> str:
        """For the notes of a plan."""
        if self.contradiction:
            return self.contradiction
        peak = f"{self.peak_low:.3g} to {self.peak_high:.3g} requests/s in the busiest minute"
        mean = "" if self.mean_low == self.mean_high else f"{self.mean_low:.3g} to {self.mean_high:.3g} on average and "
        return (
            f"the samples allow {mean}{peak}: a busy accelerator serves one request at a time, or all that it can hold"
        )


def demand_interval(
    busy: Floats, saturated: Floats, serves: BusySecond, requests_per_day: float | None = None
) -> DemandInterval:  # fmt: skip
    """Bounds of the request rate in each window, and of the mean and the peak over them.

    An accelerator counts as busy while any kernel runs, so a busy second served at least what it serves while a
    single request runs, and at most what it serves when saturated. For b busy and s saturated accelerators::

        low = b × alone        high = max(s × saturated, low)

    s is b where nothing narrows it. With profiling signals it is the least of b, SM active ÷ 0.8 (a saturated
    accelerator has that much) and the greater of DRAM active ÷ 0.6 and tensor active ÷ 0.5 (a saturated one is bound
    by either); these quotients are as good as their limits, so a plan is still made for b. Both edges grow with b.
    They are usually a factor of 10 to 100 apart: batching is what they differ in. That is what samples of
    accelerators alone can say.

    With a stated volume the mean is known, and only its division among the windows is not: the peak is at most what
    the busiest window can hold with all others at their low edge, and at least the level at which no window exceeds
    its high edge and none falls below its low one.

    Args:
        busy: busy accelerators in each window, shape ``(windows,)``, NaN where unknown; at least one is known.
        saturated: the same, narrowed by SM, DRAM and tensor activity where those are known.
        serves: what a busy second can have served.
        requests_per_day: known volume, or None.
    """
    known = ~np.isnan(busy)
    narrowed = np.where(np.isnan(saturated), busy, np.minimum(saturated, busy))[known]
    low = busy[known] * serves.alone
    high = np.maximum(narrowed * serves.saturated, low)
    if requests_per_day is None:
        return DemandInterval(float(low.mean()), float(high.mean()), float(low.max()), float(high.max()))
    mean = requests_per_day / SECONDS_PER_DAY
    contradiction = _contradiction(mean, float(low.mean()), float(high.mean()))
    if contradiction:
        return DemandInterval(mean, mean, mean, mean, contradiction)
    spare = (mean - float(low.mean())) * low.size
    return DemandInterval(mean, mean, _least_peak(low, high, mean), float(np.minimum(high, low + spare).max()))


def interval_note(
    busy: Floats, saturated: Floats, serves: BusySecond | InputError, requests_per_day: float | None
) -> str:  # fmt: skip
    """:func:`demand_interval` in words, or why there is none."""
    if isinstance(serves, InputError):
        return f"how far the busiest minute may be off is not known: {serves.message}"
    return demand_interval(busy, saturated, serves, requests_per_day).words()


def _least_peak(low: Floats, high: Floats, mean: float) -> float:
    """The lowest level that serves the volume with no window above its high edge."""
    under, over = 0.0, float(high.max())
    for _ in range(_BISECTIONS):
        level = (under + over) / 2
        if float(np.minimum(high, level).mean()) < mean:
            under = level
        else:
            over = level
    return max(over, float(low.max()))


def _contradiction(mean: float, low: float, high: float) -> str:
    """In words, if a stated mean rate is outside of what the samples allow."""
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
