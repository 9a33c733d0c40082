"""What a counter grew by."""

import numpy as np

from advisor.samples.frame import Booleans, Floats


def growth(counter: Floats, modulus: float | None = None) -> float | None:
    """Growth of a counter from its first to its last known value, whatever lay between; None with fewer than two.

    Args:
        counter: values in order of time, NaN where unknown.
        modulus: as in :func:`steps`.
    """
    known = counter[~np.isnan(counter)]
    return float(steps(known, modulus)[0].sum()) if len(known) > 1 else None


def steps(known: Floats, modulus: float | None = None) -> tuple[Floats, Booleans]:
    """What a counter grew by from each known value to the next, and whether it was reset between them.

    A step up is counted as it is, over gaps too. A step down is one of three: past its modulus the counter went on from
    0 (the step is what is left up to the modulus, and the new value); to less than half it was reset (the new value was
    counted since; what was counted between the last reading and the reset is unknown and left out); by less it is no
    growth, but two readings in the wrong order.

    Args:
        known: values in order of time.
        modulus: value at which the counter starts from 0 again, in its own unit, such as 2**32; None: it never does.
    """
    before, after = known[:-1], known[1:]
    change = after - before
    is_reset = after < before / 2
    grown = np.where(change >= 0, change, np.where(is_reset, after, 0.0))
    if modulus is not None:
        past = change + modulus
        wrapped = (change < 0) & (past < modulus / 2)
        grown, is_reset = np.where(wrapped, past, grown), is_reset & ~wrapped
    return grown, is_reset
