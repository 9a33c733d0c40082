"""What a counter grew by."""

import numpy as np

from advisor.samples.frame import Floats


def growth(counter: Floats, modulus: float | None = None) -> float | None:
    """Growth of a counter from its first to its last known value, whatever lay between; None with fewer than two.

    A step up is counted as it is, over gaps too. A step down is one of three: past its modulus the counter went on from
    0 (the step is what is left up to the modulus, and the new value); to less than half it was reset (the new value was
    counted since; what was counted between the last reading and the reset is unknown and left out); by less it is no
    growth, but two readings in the wrong order.

    Args:
        counter: values in order of time, NaN where unknown.
        modulus: value at which the counter starts from 0 again, in its own unit, such as 2**32; None: it never does.
    """
    known = counter[~np.isnan(counter)]
    if len(known) < 2:
        return None
    before, after = known[:-1], known[1:]
    steps = after - before
    is_reset = after < before / 2
    grown = np.where(steps >= 0, steps, np.where(is_reset, after, 0.0))
    if modulus is not None:
        past = steps + modulus
        grown = np.where((steps < 0) & (past < modulus / 2), past, grown)
    return float(grown.sum())
