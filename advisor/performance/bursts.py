"""Rates under bursts, which thin out over replicas: of as few replicas as carry the busiest minute so."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from advisor.performance.physics import Floats

Rows = npt.NDArray[np.intp]
LEAST_RATE = 1e-9
"""Requests per second below which nothing is served."""
GROWTH = 1.5
"""Growth of the number of replicas where bursts alone are too much for fewer."""
MOST_STEPS = 20
TOLERANCE = 1.005


def rates_with_bursts(
    rates_at: Callable[[Rows, Floats], Floats], smooth: Floats, peak: float, dispersion: float
) -> Floats:
    """Requests per second of a replica among the least n with ``n · rate(1 + (I - 1) / n) ≥ peak``, by bisection.

    Both factors rise with n. The rate is peak ÷ n, so that planning with it asks for n replicas; where one is enough,
    it is what one sustains.

    Args:
        rates_at: rates of some rows, at the dispersion that each replica sees.
        smooth: rates without bursts: (rows,); 0 stays 0.
        peak: requests per second of the busiest minute.
        dispersion: variance over mean of all arrivals, I.
    """

    def carried(rows: Rows, replicas: Floats) -> Floats:
        return replicas * rates_at(rows, 1 + (dispersion - 1) / replicas)

    rates = np.zeros_like(smooth)
    able = np.flatnonzero(smooth >= LEAST_RATE)
    least = np.maximum(peak / smooth[able], 1.0)
    together = carried(able, least)
    enough = together >= peak
    rates[able[enough]] = (together / least)[enough]
    rows, low, together = able[~enough], least[~enough], together[~enough]
    # With the rate of fewer replicas, which is no higher, so many are enough.
    high = np.divide(peak * low, together, out=low.copy(), where=together > 0)
    late = np.flatnonzero(together == 0)
    for _ in range(MOST_STEPS):
        low[late], high[late] = high[late], high[late] * GROWTH
        late = late[carried(rows[late], high[late]) < peak] if late.size else late
    rows, low, high = (np.delete(column, late) for column in (rows, low, high))
    while (wide := np.flatnonzero(high > low * TOLERANCE)).size:
        middle = np.sqrt(low[wide] * high[wide])
        is_enough = carried(rows[wide], middle) >= peak
        high[wide], low[wide] = np.where(is_enough, middle, high[wide]), np.where(is_enough, low[wide], middle)
    rates[rows] = peak / high
    return rates
