"""What a counter grew by."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


def steps(known: Floats) -> tuple[Floats, Booleans]:
    """What a counter grew by from each known value to the next, and whether it was reset between them.

    Args:
        known: values in order of time.
    """
    return step(known[:-1], known[1:])


def step(before: Floats, after: Floats) -> tuple[Floats, Booleans]:
    """What counters grew by from one value to the other, and whether they were reset in between.

    A step up is counted as it is, over gaps too. A step down is one of two: to less than half it was reset (the new
    value was counted since; what was counted between the last reading and the reset is unknown and left out); by less
    it is no growth, but two readings in the wrong order.
    """
    change = after - before
    is_reset = after < before / 2
    return np.where(change >= 0, change, np.where(is_reset, after, 0.0)), is_reset
