"""Percentiles of numbers: those of :func:`numpy.quantile`, which takes longer and loads masked arrays for it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_HALF = 0.5
Floats = npt.NDArray[np.float64]


def percentiles(values: Floats, shares: Sequence[float]) -> list[float]:
    """Value up to which each of some shares of the values lies, linear between two of them.

    There is one value at least, none is NaN; shares are from 0 to 1.
    """
    places = [(values.size - 1) * share for share in shares]
    ends = [(int(place), min(int(place) + 1, values.size - 1)) for place in places]
    ordered = np.partition(values, sorted({at for pair in ends for at in pair}))
    return [
        _between(float(ordered[low]), float(ordered[high]), place - low)
        for (low, high), place in zip(ends, places, strict=True)
    ]


def _between(below: float, above: float, part: float) -> float:
    difference = above - below
    return below + difference * part if part < _HALF else above - difference * (1 - part)
