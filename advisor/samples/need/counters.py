"""Counters: what they grew by, over gaps, resets and all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.samples.frame import Booleans, Floats
from advisor.samples.growth import steps

Integers = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Growth:
    """What a counter grew by between its known readings."""

    total: float
    """Over all of them; a lower bound where there were resets."""
    resets: int
    """Times that it started anew (the engine or the driver was restarted)."""
    known_rows: int
    """Rows that a step without a reset speaks of, and the first reading's own, before which nothing is known."""
    rows: int

    @property
    def coverage_ratio(self) -> float:
        """Share of the rows whose growth is known; a gap between two readings loses nothing."""
        return self.known_rows / self.rows if self.rows else 0.0


def growth(counter: Floats) -> Growth:
    """Growth of a counter over rows, NaN where it was not read.

    What a step is, over resets too, says :func:`advisor.samples.growth.steps`: nothing is ever counted twice.

    Args:
        counter: last reading of each row, shape ``(rows,)``.
    """
    at, grown, is_reset, lengths = _steps(counter)
    known = int(lengths[~is_reset].sum()) + int(at.size > 0)
    return Growth(float(grown.sum()), int(is_reset.sum()), min(known, counter.size), counter.size)


def steps_by_row(counter: Floats) -> Floats:
    """Growth within each row, shape ``(rows,)``; NaN where gaps or resets do not say.

    A step over a gap belongs to several rows: 0 in each where nothing was counted, else unknown in each.
    """
    at, grown, is_reset, lengths = _steps(counter)
    is_known = ~is_reset & ((grown == 0) | (lengths == 1))
    return _laid(counter.size, at, np.where(is_known, grown, np.nan), lengths)


def spread_by_row(counter: Floats) -> Floats:
    """Growth laid evenly over the rows that each step speaks of; NaN before the first reading and over resets.

    The sum is that of all steps without a reset, exactly, however long the gaps between readings are.
    """
    at, grown, is_reset, lengths = _steps(counter)
    return _laid(counter.size, at, np.where(is_reset, np.nan, grown / np.maximum(lengths, 1)), lengths)


def _steps(counter: Floats) -> tuple[Integers, Floats, Booleans, Integers]:
    """Rows that were read, growth from each to the next, whether it was reset there, and how many rows that took."""
    at = np.flatnonzero(~np.isnan(counter))
    return at, *steps(counter[at]), np.diff(at)


def _laid(rows: int, at: Integers, values: Floats, lengths: Integers) -> Floats:
    """Each value over as many rows, from the one after the first reading on."""
    laid = np.full(rows, np.nan)
    if at.size:
        laid[at[0] + 1 : at[-1] + 1] = np.repeat(values, lengths)
    return laid
