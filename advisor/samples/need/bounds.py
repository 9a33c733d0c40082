"""Statistics that say what gaps leave open: the value of what was observed, and the least and greatest it can be."""

import numpy as np

from advisor.records import dataclass
from advisor.samples.need.limits import COVERAGE, Limit
from advisor.samples.query.values import Floats

Truth = bool | None
"""None: the samples do not say."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """One number about a span of time."""

    value: float | None
    """Of what was observed; None: nothing was."""
    low: float
    """The least it can be, whatever happened in the gaps."""
    high: float
    """The greatest it can be."""
    coverage_ratio: float
    """Share of the rows that are known."""
    basis: str
    """Signal that it was computed from."""

    def observed_alone(self) -> "Bounds":
        """Bounds as if what was not observed had been like the rest."""
        if self.value is None:
            return self
        return Bounds(self.value, self.value, self.value, 1.0, self.basis)


def quantile_bounds(values: Floats, share: float, basis: str, ceiling: float = 1.0) -> Bounds:
    """Quantile of rows of which some are unknown.

    ``low`` and ``high`` are the quantiles with every unknown row at 0 and at *ceiling*; one more unknown row can only
    move them apart. Interpolated linearly (type 7 of Hyndman and Fan).

    Args:
        values: shape ``(rows,)``, NaN where unknown, between 0 and *ceiling*.
        share: 0.95 for p95.
        basis: name of the signal.
        ceiling: the greatest a row can be.
    """
    known = values[~np.isnan(values)]
    if not values.size or not known.size:
        return Bounds(None, 0.0, ceiling, 0.0, basis)
    low, high = (float(np.quantile(np.where(np.isnan(values), fill, values), share)) for fill in (0.0, ceiling))
    return Bounds(float(np.quantile(known, share)), low, high, known.size / values.size, basis)


def share_bounds(is_true: Floats, basis: str) -> Bounds:
    """Share of rows in which something holds: 1 where it does, 0 where not, NaN where unknown."""
    rows = is_true.size
    known = is_true[~np.isnan(is_true)]
    if not known.size:
        return Bounds(None, 0.0, 1.0, 0.0, basis)
    holds = float(known.sum())
    return Bounds(holds / known.size, holds / rows, (holds + rows - known.size) / rows, known.size / rows, basis)


def at_least(bounds: Bounds, limit: Limit) -> Truth:
    """Whether a number reaches a limit; None where gaps leave it open or too little is known."""
    if bounds.coverage_ratio < COVERAGE.value:
        return None
    if bounds.low >= limit.value:
        return True
    return False if bounds.high < limit.value else None


def negation(truth: Truth) -> Truth:
    """Not."""
    return None if truth is None else not truth


def both(first: Truth, second: Truth) -> Truth:
    """Conjunction: false when either is false, whatever the other is."""
    if first is False or second is False:
        return False
    return None if first is None or second is None else True
