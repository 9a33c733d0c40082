"""Stored rows as timelines on one even grid for each host."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from advisor.samples.frame import SampleFrame
from advisor.samples.metrics import ACCELERATOR_METRICS, METRICS, ROW_SECONDS, Kind
from advisor.samples.need.timeline import Grid, Timeline, Who

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_US_PER_SECOND = 1_000_000
_MAXIMUM = "_max"
_THROTTLED_RATIOS = ("power_throttled_ratio", "thermal_throttled_ratio")
"""Columns of schema v1 alone."""
NEED_COLUMNS = (
    *(metric.name for metric in ACCELERATOR_METRICS),
    *(f"{metric.name}{_MAXIMUM}" for metric in ACCELERATOR_METRICS if metric.kind is Kind.GAUGE),
    *_THROTTLED_RATIOS,
)
"""What a frame has to hold of accelerators."""
_STATISTICS = ("_min", "_last", "_n", _MAXIMUM)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows and gaps of accelerators or engines; arrays of shape ``(rows,)``, in order of time for each target."""

    who: tuple[Who, ...]
    target: Integers
    """Which of ``who`` a row is of; ascending."""
    timestamp_us: Integers
    """End of the row."""
    start_us: Integers
    """Begin of what it speaks of."""
    is_gap: npt.NDArray[np.bool_]
    columns: Mapping[str, Floats]
    """Values by column, NaN where unknown; the greatest of a row under ``<metric>_max`` where there is one."""

    def of(self, number: int) -> slice:
        """The rows of one target."""
        first, last = np.searchsorted(self.target, [number, number + 1])
        return slice(int(first), int(last))


def rows_of_samples(frame: SampleFrame) -> Rows:
    """Rows of a frame of accelerators; what has a reason is a gap, whatever ticks a row missed."""
    is_gap = np.array([reason is not None for reason in frame.gap_reason])[frame.gap_reason_code]
    row_start = frame.end_seconds - frame.interval_seconds
    start_seconds = np.where(is_gap, np.minimum(frame.start_seconds, row_start), row_start)
    return Rows(
        who=tuple(Who(*key) for key in frame.accelerators),
        target=frame.accelerator,
        timestamp_us=frame.timestamp_us,
        start_us=np.rint(start_seconds * _US_PER_SECOND).astype(np.int64),
        is_gap=is_gap,
        columns=frame.columns,
    )


def grids(parts: Sequence[Rows]) -> Mapping[str, Grid]:
    """One grid for each host, over all that was recorded of it, gaps included.

    A row of it is fifteen seconds, or as long as the longest row of that host.
    """
    spans: dict[str, list[tuple[int, int, int]]] = {}
    for part in parts:
        for number, who in enumerate(part.who):
            spans.setdefault(who.host, []).extend(_span(part, part.of(number)))
    return {host: _grid(found) for host, found in spans.items() if found}


def _grid(spans: Sequence[tuple[int, int, int]]) -> Grid:
    start_us = min(start for start, _, _ in spans)
    end_us = max(end for _, end, _ in spans)
    row_us = max(ROW_SECONDS * _US_PER_SECOND, *(longest for _, _, longest in spans))
    return Grid(start_us, row_us, max(-(-(end_us - start_us) // row_us), 1))


def timelines(rows: Rows, grid_of: Mapping[str, Grid]) -> list[Timeline]:
    """Each target on the grid of its host, in the order of the rows' targets."""
    return [_timeline(rows, number, who, grid_of[who.host]) for number, who in enumerate(rows.who)]


def _span(rows: Rows, mine: slice) -> list[tuple[int, int, int]]:
    """Begin, end and longest row of one target, in µs; nothing where it has no rows."""
    starts, ends = rows.start_us[mine], rows.timestamp_us[mine]
    if not starts.size:
        return []
    longest = int(np.where(rows.is_gap[mine], 0, ends - starts).max())
    return [(int(starts.min()), int(ends.max()), longest)]


def _timeline(rows: Rows, number: int, who: Who, grid: Grid) -> Timeline:
    whole = rows.of(number)
    mine = np.arange(whole.start, whole.stop)[~rows.is_gap[whole]]
    slot = np.clip(-(-(rows.timestamp_us[mine] - grid.start_us) // grid.row_us) - 1, 0, grid.rows - 1)
    means: dict[str, Floats] = {}
    maxima: dict[str, Floats] = {}
    for name, column in rows.columns.items():
        metric = name.removesuffix(_MAXIMUM)
        if name.endswith(_STATISTICS) and not (name.endswith(_MAXIMUM) and metric in rows.columns):
            continue
        values = column[mine]
        if name.endswith(_MAXIMUM):
            maxima[metric] = _largest(values, slot, grid.rows)
        elif name in METRICS and METRICS[name].kind is Kind.COUNTER:
            means[name] = _last(values, slot, grid.rows)
        else:
            means[name] = _mean(values, slot, grid.rows)
            if f"{name}{_MAXIMUM}" not in rows.columns:
                maxima[name] = _largest(values, slot, grid.rows)
    return Timeline(who, grid, means, maxima)


def _mean(values: Floats, slot: Integers, rows: int) -> Floats:
    known = ~np.isnan(values)
    counts = np.bincount(slot[known], minlength=rows)
    sums = np.bincount(slot[known], weights=values[known], minlength=rows)
    means: Floats = np.divide(sums, counts, out=np.full(rows, np.nan), where=counts > 0)
    return means


def _largest(values: Floats, slot: Integers, rows: int) -> Floats:
    known = ~np.isnan(values)
    largest = np.full(rows, -np.inf)
    np.maximum.at(largest, slot[known], values[known])
    return np.where(np.isneginf(largest), np.nan, largest)


def _last(values: Floats, slot: Integers, rows: int) -> Floats:
    known = ~np.isnan(values)
    last = np.full(rows, np.nan)
    last[slot[known]] = values[known]
    return last
