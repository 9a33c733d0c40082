"""Share of its capacity that an accelerator can have used, by what is known of its activity."""

import numpy as np

from advisor.samples.growth import Floats
from advisor.samples.need.limits import DRAM, SM_EFFECTIVE, TENSOR


def saturation(busy: Floats, sm_active: Floats, dram_active: Floats, tensor_active: Floats) -> Floats:
    """Busy, narrowed where profiling signals are known; never more than busy, and it grows with each of them.

    A saturated accelerator has SM active ≥ 0.8, and is bound by memory bandwidth (DRAM active ≥ 0.6) or by arithmetic
    (tensor active ≥ 0.5). One with less of them used that much less of its capacity at most::

        min(busy, SM active ÷ 0.8, max(DRAM active ÷ 0.6, tensor active ÷ 0.5))

    Arrays of one shape, NaN where unknown; a signal that is unknown narrows nothing.
    """
    both_known = ~np.isnan(dram_active) & ~np.isnan(tensor_active)
    bound = np.where(both_known, np.fmax(dram_active / DRAM.value, tensor_active / TENSOR.value), np.nan)
    narrowed = np.fmin(np.fmin(busy, sm_active / SM_EFFECTIVE.value), bound)
    return np.where(np.isnan(busy), np.nan, narrowed)
