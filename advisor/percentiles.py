"""Percentiles of numbers: those of :func:`numpy.quantile`, which takes longer and loads masked arrays for it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_HALF = 0.5
Floats = npt.NDArray[np.float64]


def percentiles(values: Floats, shares: Sequence[float], weights: Floats | None = None) -> list[float]:
    """Value up to which each of some shares of the values lies, linear between two of them.

    There is one value at least, none is NaN; shares are from 0 to 1. A value of some weight counts as so many of equal
    ones, for weights whose mean is 1; they are not all 0.
    """
    places = [(values.size - 1) * share for share in shares]
    ends = [(int(place), min(int(place) + 1, values.size - 1)) for place in places]
    if weights is None:
        ordered = np.partition(values, sorted({at for pair in ends for at in pair}))
    else:
        ordered = _repeated(values, weights)
    return [
        _between(float(ordered[low]), float(ordered[high]), place - low)
        for (low, high), place in zip(ends, places, strict=True)
    ]


def _repeated(values: Floats, weights: Floats) -> Floats:
    """Values, ascending, each as often as its weight says, as many in all as before, (n,)."""
    order = np.argsort(values)
    ends = weights[order].cumsum()
    places = ends[-1] / values.size * (np.arange(values.size) + 0.5)
    repeated: Floats = values[order[np.searchsorted(ends, places)]]
    return repeated


def _between(below: float, above: float, part: float) -> float:
    difference = above - below
    return below + difference * part if part < _HALF else above - difference * (1 - part)
