"""Counters of engines, row by row."""

import numpy as np

from advisor.samples.growth import Floats, steps


def steps_by_row(counter: Floats) -> Floats:
    """Growth within each row, shape ``(rows,)``; NaN where gaps or resets do not say.

    A step over a gap belongs to several rows: 0 in each where nothing was counted, else unknown in each.

    Args:
        counter: last reading of each row, NaN where it was not read.
    """
    at = np.flatnonzero(~np.isnan(counter))
    grown, is_reset = steps(counter[at])
    lengths = np.diff(at)
    is_known = ~is_reset & ((grown == 0) | (lengths == 1))
    laid = np.full(counter.size, np.nan)
    if at.size:
        laid[at[0] + 1 : at[-1] + 1] = np.repeat(np.where(is_known, grown, np.nan), lengths)
    return laid
