"""Counts of days, added up: from the counts of parts to quantiles and growth of the whole, exactly.

The p-quantile of N known rows lies at h = p × (N - 1) in ascending order, counted from 0; between two rows it is
interpolated linearly (type 7 of Hyndman and Fan).

Rows of accelerators and engines on one even grid of time; what was not read is NaN.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from advisor.records import dataclass
from advisor.samples.growth import Booleans, Floats, Integers, step
from advisor.samples.metrics import ACCELERATOR_METRICS, Kind
from advisor.samples.places import ROW_US
from advisor.samples.query import Accelerator
from advisor.samples.store.hosts import MISSED, PRESENT, TARGET, values_of
from advisor.samples.store.row_tables import target_codes

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
        return cls(start_us, ROW_US, max(-(-(end_us - start_us) // ROW_US), 1))

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
        means = self.mean(metric)
        return np.fmax(self.maxima[metric], means) if metric in self.maxima else means

    def knows(self, metric: str) -> bool:
        """Whether the metric has any value."""
        return bool((~np.isnan(self.mean(metric))).any())


def timeline(who: Accelerator, grid: Grid, end_us: npt.NDArray[np.int64], columns: Mapping[str, Floats]) -> Timeline:
    """Rows on a grid; where two of them fall into one row of it, as around a gap, the known value counts.

    *end_us*: end of each row, µs since 1970; *columns*: values, the greatest of a row under ``<metric>_max``.
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


_COUNTER_COLUMNS = ("first_us", "last_us", "first_value", "last_value", "grown", "resets", "reset_us")


@dataclass(frozen=True, slots=True)
class Distribution:
    """Known rows of a gauge."""

    p50: float
    p95: float
    max: float
    mean: float
    rows: int
    share_p95: tuple[float, float, float]
    """p95 of the rows as shares (0 to 1): with every unknown row of the grid at 0, of the known rows, and with every
    unknown row at 1."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth of a counter between its known readings."""

    total: float
    """Over all of them; a lower bound where there were resets."""
    resets: int
    """Times that it started anew (the engine or the driver was restarted)."""
    known_rows: int
    """Rows that a step without a reset speaks of, and the first reading's own, before which nothing is known."""
    readings: int


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """One accelerator over the sampled time of its host."""

    who: Accelerator
    grid: Grid
    """Of its host."""
    rows: int
    missed: Mapping[str, int]
    """Ticks without a reading, by reason."""
    gauges: Mapping[str, Distribution]
    """By metric; one that was never known is left out."""
    counters: Mapping[str, Growth]
    span: tuple[int, int]
    """From when to when anything is said of it, µs since 1970."""


class Counts:
    """Counts of some accelerators over several days."""

    def __init__(self, tables: Sequence[pa.Table]) -> None:
        """Bring the rows of each accelerator together, wherever it was."""
        table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
        self._table = table
        self._metric = table["metric"].combine_chunks()
        self._first, self._last = (table[name].fill_null(0).to_numpy() for name in ("first_us", "last_us"))
        self._rows = table["rows"].to_numpy()
        self._owner, self._who = _owners(table, self._last)
        present = self._is(PRESENT)
        self._owners = len(self._who)
        self._spans = np.array([np.full(self._owners, np.iinfo(np.int64).max), np.zeros(self._owners)], dtype=np.int64)
        np.minimum.at(self._spans[0], self._owner[present], self._first[present])
        np.maximum.at(self._spans[1], self._owner[present], self._last[present])

    def spans(self) -> Iterator[tuple[str, int, int]]:
        """Host of each accelerator, and from when to when anything is said of it."""
        for who, first, last in zip(self._who, *self._spans.tolist(), strict=True):
            yield who.host, first, last

    def accelerators(self, grids: Mapping[str, Grid]) -> list[Counted]:
        """Every accelerator, in order of host, index and MIG instance."""
        rows = np.array([grids[who.host].rows for who in self._who])
        gauges: list[dict[str, Distribution]] = [{} for _ in self._who]
        counters: list[dict[str, Growth]] = [{} for _ in self._who]
        for metric in ACCELERATOR_METRICS:
            is_wanted = self._is(metric.name)
            if not is_wanted.any():
                continue
            if metric.kind is Kind.GAUGE:
                for owner, distribution in self._distributions(is_wanted, metric.resolution, rows):
                    gauges[owner][metric.name] = distribution
            else:
                for owner, growth in self._growth(is_wanted):
                    counters[owner][metric.name] = growth
        present = self._is(PRESENT)
        read = np.bincount(self._owner[present], self._rows[present], self._owners).astype(np.int64).tolist()
        missed = self._missed()
        spans = list(zip(*self._spans.tolist(), strict=True))
        counteds = [
            Counted(who, grids[who.host], read[owner], missed[owner], gauges[owner], counters[owner], spans[owner])
            for owner, who in enumerate(self._who)
        ]
        return sorted(counteds, key=lambda counted: counted.who.place)

    def _is(self, metric: str) -> Booleans:
        return np.asarray(pc.equal(self._metric, metric).to_numpy(zero_copy_only=False), dtype=np.bool_)

    def _missed(self) -> list[dict[str, int]]:
        """Ticks by reason, the most frequent first."""
        by_accelerator: list[dict[str, int]] = [{} for _ in self._who]
        is_missed = self._is(MISSED)
        reasons = self._table["reason"].filter(pa.array(is_missed)).to_pylist()
        owners, ticks = self._owner[is_missed].tolist(), self._rows[is_missed].tolist()
        for owner, reason, missed in zip(owners, reasons, ticks, strict=True):
            by_accelerator[owner][reason] = by_accelerator[owner].get(reason, 0) + missed
        return [dict(sorted(each.items(), key=lambda entry: -entry[1])) for each in by_accelerator]

    def _growth(self, is_wanted: Booleans) -> Iterator[tuple[int, Growth]]:
        """Growth of one counter for each accelerator that has it, over its days and the nights between them."""
        rows = np.flatnonzero(is_wanted)
        rows = rows[np.lexsort((self._first[rows], self._owner[rows]))]
        there, begins = np.unique(self._owner[rows], return_index=True)
        for number, part in zip(there.tolist(), np.split(rows, begins[1:]), strict=True):
            columns = {name: self._table[name].to_numpy()[part] for name in _COUNTER_COLUMNS}
            first_us, last_us = columns["first_us"], columns["last_us"]
            overnight, is_reset = step(columns["last_value"][:-1], columns["first_value"][1:])
            hidden_us = columns["reset_us"].sum() + (first_us[1:] - last_us[:-1])[is_reset].sum()
            yield (
                number,
                Growth(
                    total=float(columns["grown"].sum() + overnight.sum()),
                    resets=int(columns["resets"].sum() + is_reset.sum()),
                    known_rows=round((last_us[-1] - first_us[0] - hidden_us) / ROW_US) + 1,
                    readings=int(self._rows[part].sum()),
                ),
            )

    def _distributions(
        self, is_wanted: Booleans, resolution: float, grid_rows: Integers
    ) -> Iterator[tuple[int, Distribution]]:  # fmt: skip
        """Distribution of one gauge for each accelerator that has it."""
        part = self._table.filter(pa.array(is_wanted))
        owner, greatest = self._owner[is_wanted], np.full(self._owners, -np.inf)
        np.maximum.at(greatest, owner, part["max"].to_numpy())
        lengths = pc.list_value_length(part["steps"]).to_numpy()
        multiples, counts = (part[name].combine_chunks().flatten().to_numpy() for name in ("steps", "counts"))
        distinct, rank = np.unique(multiples, return_inverse=True)
        cells = np.repeat(owner, lengths) * distinct.size + rank
        table = np.bincount(cells, counts, self._owners * distinct.size).reshape(self._owners, distinct.size)
        values = values_of(distinct.astype(np.int64), resolution)
        for number in np.unique(owner).tolist():
            ascending = _Ascending(values, np.cumsum(table[number]))
            shares = _Ascending(np.clip(values, 0.0, 1.0), ascending.upto)
            unknown = max(int(grid_rows[number]) - ascending.rows, 0)
            yield number, Distribution(
                p50=ascending.quantile(0.5),
                p95=ascending.quantile(0.95),
                max=float(greatest[number]),
                mean=float(table[number] @ values) / ascending.rows,
                rows=ascending.rows,
                share_p95=(
                    shares.quantile(0.95, below=unknown), shares.quantile(0.95), shares.quantile(0.95, above=unknown),
                ),
            )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Ascending:
    """Rows in order of their values."""

    values: Floats
    """Distinct, ascending."""
    upto: Floats
    """Rows of at most each."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.upto[-1])

    def quantile(self, share: float, below: int = 0, above: int = 0) -> float:
        """A quantile, of them and of as many rows of 0 below them and of 1 above."""
        at = share * (self.rows + below + above - 1)
        low, high = self._at(int(at) - below), self._at(min(int(at) + 1, self.rows + below + above - 1) - below)
        return low + (at - int(at)) * (high - low)

    def _at(self, position: int) -> float:
        if position < 0:
            return 0.0
        if position >= self.rows:
            return 1.0
        return float(self.values[np.searchsorted(self.upto, position, "right")])


def _owners(table: pa.Table, last_us: Integers) -> tuple[Integers, list[Accelerator]]:
    """Index of each row's accelerator, and the accelerators as last seen.

    One accelerator is one UUID, even when it moves to another place or host. Rows from before it answered for the first
    time have none: they belong to the accelerator of their place when there was only one.
    """
    codes = target_codes(table, TARGET)
    firsts = np.unique(codes, return_index=True)[1]
    distinct = [tuple(entry.values()) for entry in table.select(TARGET).take(pa.array(firsts)).to_pylist()]
    newest = np.zeros(len(distinct), dtype=np.int64)
    np.maximum.at(newest, codes, last_us)
    uuids_at: dict[tuple[Any, ...], set[str]] = {}
    for place in distinct:
        if place[3] is not None:
            uuids_at.setdefault(place[:3], set()).add(place[3])
    identities = []
    for place in distinct:
        here = uuids_at.get(place[:3], set())
        identities.append(next(iter(here)) if place[3] is None and len(here) == 1 else place[3] or place[:3])
    latest: dict[Any, tuple[bool, int, int]] = {}
    for position, identity in enumerate(identities):
        seen = (distinct[position][3] is not None, int(newest[position]), position)
        latest[identity] = max(seen, latest.get(identity, seen))
    owner = {identity: position for position, identity in enumerate(latest)}
    who = [Accelerator(*distinct[position]) for _, _, position in latest.values()]
    return np.array([owner[identity] for identity in identities], dtype=np.int64)[codes], who
