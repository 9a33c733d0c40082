"""Rows of accelerators and engines on one even grid of time; what was not read is NaN."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of even length, from ``start_us`` on."""

    start_us: int
    row_us: int
    rows: int

    @property
    def row_seconds(self) -> float:
        """Length of a row."""
        return self.row_us / 1e6

    @property
    def seconds(self) -> float:
        """Length of all of them."""
        return self.rows * self.row_seconds

    @property
    def start_seconds(self) -> float:
        """Begin of the first row, seconds since 1970 UTC."""
        return self.start_us / 1e6


@dataclass(frozen=True, slots=True)
class Who:
    """What a timeline is of."""

    host: str
    index: int
    mig_index: int | None = None
    uuid: str | None = None
    """Of an engine: its endpoint."""
    product: str | None = None
    """Of an engine: its model."""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """One accelerator or engine over a grid; every array has shape ``(rows,)``."""

    who: Who
    grid: Grid
    means: Mapping[str, Floats]
    """Row means of gauges, and last readings of counters, by metric."""
    maxima: Mapping[str, Floats]
    """Greatest reading of each row; a metric that is not here has none but its mean."""

    def mean(self, metric: str) -> Floats:
        """Row means; all NaN where nothing is known of the metric."""
        found = self.means.get(metric)
        return np.full(self.grid.rows, np.nan) if found is None else found

    def greatest(self, metric: str) -> Floats:
        """Row maxima, or the means in rows that have none."""
        found = self.maxima.get(metric)
        means = self.mean(metric)
        greatest: Floats = means if found is None else np.fmax(found, means)
        return greatest

    def knows(self, metric: str) -> bool:
        """Whether the metric has any value."""
        return bool((~np.isnan(self.mean(metric))).any())
