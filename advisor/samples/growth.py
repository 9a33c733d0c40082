"""Growth of a counter."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


def steps(values: Floats) -> tuple[Floats, Booleans]:
    """Growth of a counter from each known value, in order of time, to the next; whether it was reset between them."""
    return step(values[:-1], values[1:])


def step(before: Floats, after: Floats) -> tuple[Floats, Booleans]:
    """Growth of counters from one value to the other, and whether they were reset in between.

    A step up is counted as it is, over gaps too. A step down is one of two: to less than half it was reset (the new
    value was counted since; what was counted between the last reading and the reset is unknown and left out); by less
    it is not growth, but two readings in the wrong order.
    """
    change = after - before
    is_reset = after < before / 2
    return np.where(change >= 0, change, np.where(is_reset, after, 0.0)), is_reset


def steps_by_row(counter: Floats) -> Floats:
    """Growth within each row, shape ``(rows,)``; NaN where gaps or resets do not say.

    A step over a gap belongs to several rows: 0 in each where nothing was counted, else unknown in each. *counter* has
    the last reading of each row, NaN where it was not read.
    """
    at = np.flatnonzero(~np.isnan(counter))
    grown, is_reset = steps(counter[at])
    lengths = np.diff(at)
    is_known = ~is_reset & ((grown == 0) | (lengths == 1))
    laid = np.full(counter.size, np.nan)
    if at.size:
        laid[at[0] + 1 : at[-1] + 1] = np.repeat(np.where(is_known, grown, np.nan), lengths)
    return laid
