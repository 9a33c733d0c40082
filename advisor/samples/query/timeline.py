"""Rows of accelerators and engines on one even grid of time; what was not read is NaN."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from advisor.records import dataclass
from advisor.samples.growth import Floats
from advisor.samples.metrics import ROW_SECONDS
from advisor.samples.places import US_PER_SECOND
from advisor.samples.query.values import Accelerator

_MAXIMUM = "_max"


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows of even length, from ``start_us`` on."""

    start_us: int
    row_us: int
    rows: int

    @classmethod
    def over(cls, start_us: int, end_us: int) -> "Grid":
        """Rows of the agent's length over a span of time, at least one."""
        row_us = ROW_SECONDS * US_PER_SECOND
        return cls(start_us, row_us, max(-(-(end_us - start_us) // row_us), 1))

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


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """One accelerator or engine over a grid; every array has shape ``(rows,)``."""

    who: Accelerator
    grid: Grid
    means: Mapping[str, Floats]
    """Row means of gauges, and last readings of counters, by metric."""
    maxima: Mapping[str, Floats]
    """Greatest reading of each row; a metric that is not here has none but its mean."""

    def mean(self, metric: str) -> Floats:
        """Row means; all NaN where nothing is known of the metric."""
        values = self.means.get(metric)
        return np.full(self.grid.rows, np.nan) if values is None else values

    def greatest(self, metric: str) -> Floats:
        """Row maxima, or the means in rows that have none."""
        values = self.maxima.get(metric)
        means = self.mean(metric)
        greatest: Floats = means if values is None else np.fmax(values, means)
        return greatest

    def knows(self, metric: str) -> bool:
        """Whether the metric has any value."""
        return bool((~np.isnan(self.mean(metric))).any())


def timeline(who: Accelerator, grid: Grid, end_us: npt.NDArray[np.int64], columns: Mapping[str, Floats]) -> Timeline:
    """Rows on a grid; where two of them fall into one row of it, as around a gap, the known value counts.

    Args:
        who: what they are of.
        grid: of its host.
        end_us: end of each row, µs since 1970.
        columns: values by column, the greatest of a row under ``<metric>_max``.
    """
    slot = np.clip(-(-(end_us - grid.start_us) // grid.row_us) - 1, 0, grid.rows - 1)
    means: dict[str, Floats] = {}
    maxima: dict[str, Floats] = {}
    for name, values in columns.items():
        is_observed = ~np.isnan(values)
        laid = np.full(grid.rows, np.nan)
        laid[slot[is_observed]] = values[is_observed]
        metric = name.removesuffix(_MAXIMUM)
        (means if metric == name else maxima)[metric] = laid
    return Timeline(who, grid, means, maxima)
