"""How many accelerators of a store were busy in each minute, from their rows.

What nobody observed is unknown, never idle.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from advisor.errors import InputError
from advisor.records import dataclass
from advisor.samples.growth import Floats
from advisor.samples.metrics import ROW_SECONDS, Scope
from advisor.samples.need.limits import saturation
from advisor.samples.places import US_PER_SECOND
from advisor.samples.query.counts import Counted
from advisor.samples.query.values import Window
from advisor.samples.store.reading import HostReader, Store
from advisor.units import SECONDS_PER_MINUTE

LEAST_COVERAGE = 0.9
"""Share of a minute, over all accelerators, that has to be observed for it to count."""
_MINUTE_US = round(SECONDS_PER_MINUTE) * US_PER_SECOND
_COLUMNS = ("busy_ratio", "sm_active_ratio", "dram_active_ratio", "tensor_active_ratio")


@dataclass(frozen=True, slots=True, eq=False)
class BusyProfile:
    """How busy the accelerators were in each minute; arrays of shape ``(minutes,)``."""

    start_seconds: float
    """Begin of the first minute, since 1970, UTC."""
    busy: Floats
    """Sum over accelerators of the share of the minute in which each was busy; NaN: too little of it was observed."""
    saturated: Floats
    """The same, narrowed by SM, DRAM and tensor activity where those are known."""
    coverage_ratio: Floats
    """Observed accelerator-seconds over those that the present accelerators have."""
    present: Floats
    """Accelerators of which anything is said before and after the minute."""


def busy_profile(
    store: Store, window: Window, accelerators: Sequence[Counted], hosts: Sequence[str] = ()
) -> BusyProfile:
    """The fleet's busy accelerators in each minute.

    A minute of which less than :data:`LEAST_COVERAGE` was observed is unknown (NaN); in any other, what was not
    observed is taken to be as busy as the rest. An accelerator takes part from its first to its last row: a host
    that came later, or went for good, is not held to be unknown the rest of the time.

    Raises:
        InputError: no accelerator says how busy it is.
    """
    counteds = [accelerator for accelerator in accelerators if "busy_ratio" in accelerator.gauges]
    if not counteds:
        hint = "MIG instances and some virtual accelerators cannot; plan from a request trace instead"
        raise InputError("no accelerator in these samples says how busy it is", where=store.where, hint=hint)
    spans = np.clip(np.array([counted.span for counted in counteds]), window.start_us, window.end_us)
    first, last = int(spans[:, 0].min() // _MINUTE_US), int(-(-spans[:, 1].max() // _MINUTE_US))
    observed, busy, saturated = np.zeros((3, last - first))
    for minutes, sums in (part for parts in store.answers(window, _minutes, hosts) for part in parts):
        for total, part in zip((observed, busy, saturated), sums, strict=True):
            total[minutes - first] += part
    present = np.zeros(last - first + 1)
    np.add.at(present, spans[:, 0] // _MINUTE_US - first, 1.0)
    np.add.at(present, -(-spans[:, 1] // _MINUTE_US) - first, -1.0)
    present = np.cumsum(present)[:-1]
    rows = present * SECONDS_PER_MINUTE / ROW_SECONDS
    coverage = np.divide(observed, rows, out=np.zeros_like(observed), where=rows > 0)
    enough = coverage >= LEAST_COVERAGE
    mean_busy, mean_saturated = (
        np.divide(total, observed, out=np.full_like(total, np.nan), where=enough) for total in (busy, saturated)
    )
    return BusyProfile(first * SECONDS_PER_MINUTE, mean_busy * present, mean_saturated * present, coverage, present)


def _minutes(hosts: HostReader) -> list[tuple[npt.NDArray[np.int64], Floats]]:
    return [_minutes_of(rows) for rows in hosts.rows_by_day(Scope.ACCELERATOR, _COLUMNS)]


def _minutes_of(rows: pa.Table) -> tuple[npt.NDArray[np.int64], Floats]:
    """Minutes with rows of a date, and in each the known rows and sums of busy and saturated shares."""
    busy, *activity = (rows[name].cast(pa.float64()).to_numpy() for name in _COLUMNS)
    minute = (rows["timestamp"].cast(pa.int64()).to_numpy() - 1) // _MINUTE_US
    observed = np.flatnonzero(~np.isnan(busy))
    if not observed.size:
        return np.zeros(0, dtype=np.int64), np.zeros((3, 0))
    begin = int(minute[observed].min())
    at = minute[observed] - begin
    narrowed = saturation(busy[observed], *(values[observed] for values in activity))
    each = (np.ones(observed.size), busy[observed], narrowed)
    sums = [np.bincount(at, weights, int(at.max()) + 1) for weights in each]
    return begin + np.arange(sums[0].size), np.array(sums)
