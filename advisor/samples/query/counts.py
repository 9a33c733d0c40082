"""Counts of values, added up: from the counts of parts to quantiles of the whole, exactly.

The p-quantile of N known rows lies at h = p × (N - 1) in ascending order, counted from 0; between two rows it is
interpolated linearly (type 7 of Hyndman and Fan).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from advisor.samples.metrics import METRICS
from advisor.samples.store.histograms import steps_of, values_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_MOST_CELLS = 4_000_000
"""Cells of the table of counts that is held at once (8 bytes each)."""
_LONGEST_RANGE = 4_000_000
_QUANTILES = (0.5, 0.95)


_PLACE = {"host": "host", "index": "accelerator_index", "mig": "mig_index", "uuid": "accelerator_uuid"}
_LABEL = {**_PLACE, "product": "accelerator"}
_COMMON = pa.schema(
    {
        "identity": pa.string(),
        "host": pa.string(),
        "accelerator_index": pa.int32(),
        "mig_index": pa.int32(),
        "accelerator_uuid": pa.string(),
        "accelerator": pa.string(),
        "metric": pa.string(),
        "last_us": pa.int64(),
        "n": pa.int64(),
        "seconds": pa.float64(),
        "maximum": pa.float64(),
    }
)


class DamagedError(Exception):
    """Counts contradict each other: a file of them is damaged."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One metric of one accelerator."""

    owner: int
    p50: float
    p95: float
    max: float
    mean: float
    rows: int
    seconds: float
    """That the rows speak of."""


class Counts:
    """Counts of many accelerators and metrics, from several tables.

    A row of a table is one metric of one accelerator in one part of the time, with lists of values and of the rows that
    have each; values are in multiples of the column ``resolution`` where it is not null.
    """

    def __init__(self, tables: Sequence[pa.Table]) -> None:
        """Bring the owners of all tables together."""
        self._tables = tables
        common = pa.concat_tables([table.select(_COMMON.names).cast(_COMMON) for table in tables])
        coded = common["identity"].combine_chunks().dictionary_encode()
        self._owner: Integers = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self._owners = len(coded.dictionary)
        self._metric = common["metric"]
        self._maximum = common["maximum"].to_numpy()
        self._seconds = common["seconds"].to_numpy()
        order = np.lexsort((common["last_us"].to_numpy(), self._owner))
        newest = order[np.flatnonzero(np.diff(self._owner[order], append=self._owners))]
        self._labels: list[dict[str, Any]] = common.select(list(_LABEL.values())).take(pa.array(newest)).to_pylist()

    def label(self, owner: int) -> dict[str, Any]:
        """Host, index, mig, uuid and product of an owner, as last seen."""
        return {name: self._labels[owner][column] for name, column in _LABEL.items()}

    def distributions(self, metric: str) -> Iterator[Distribution]:
        """Distribution of one metric for each owner that has it.

        Raises:
            DamagedError: lists and sums of a table contradict each other.
        """
        is_wanted = pc.equal(self._metric, metric).to_numpy(zero_copy_only=False)
        if not is_wanted.any():
            return
        greatest = np.full(self._owners, -np.inf)
        np.maximum.at(greatest, self._owner[is_wanted], self._maximum[is_wanted])
        seconds = np.zeros(self._owners)
        np.add.at(seconds, self._owner[is_wanted], self._seconds[is_wanted])
        owner, values, counts = self._entries(is_wanted)
        distinct, rank = _ranked(values, METRICS[metric].resolution)
        block = max(_MOST_CELLS // len(distinct), 1)
        for first in range(0, self._owners, block):
            last = min(first + block, self._owners)
            inside = slice(None) if last - first == self._owners else (owner >= first) & (owner < last)
            cells = (owner[inside] - first) * len(distinct) + rank[inside]
            summed = np.bincount(cells, counts[inside], (last - first) * len(distinct))
            table = np.asarray(summed, dtype=np.float64).reshape(-1, len(distinct))
            yield from _of_table(table, distinct, greatest[first:last], seconds[first:last], first)

    def _entries(self, is_wanted: npt.NDArray[np.bool_]) -> tuple[Integers, Floats, Integers]:
        """Owner, value and count of each entry of the lists in some rows."""
        parts = []
        start = 0
        for table in self._tables:
            mine = is_wanted[start : start + table.num_rows]
            rows = table.select(["n", "mean_sum", "resolution", "values", "counts"]).filter(pa.array(mine))
            owner = self._owner[start : start + table.num_rows][mine]
            lengths = pc.list_value_length(rows["values"]).to_numpy()
            values = _scaled(_flat(rows["values"]), rows["resolution"], lengths)
            counts = _flat(rows["counts"])
            _check(rows, lengths, values, counts)
            parts.append((np.repeat(owner, lengths), values, counts))
            start += table.num_rows
        owners, values, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return owners, values, counts


def _check(rows: pa.Table, lengths: Integers, values: Floats, counts: Integers) -> None:
    """Prove that each list of counts adds up to its number of rows, and with the values to the sum of the means."""
    if not np.array_equal(lengths, pc.list_value_length(rows["counts"]).to_numpy()) or not lengths.all():
        raise DamagedError("lists of values and counts differ in length")
    if not len(lengths):
        return
    starts = np.concatenate(([0], np.cumsum(lengths[:-1])))
    sums = np.add.reduceat(counts, starts, dtype=np.int64)
    totals = np.add.reduceat(counts * values, starts)
    if not (np.array_equal(sums, rows["n"]) and np.allclose(totals, rows["mean_sum"], rtol=1e-9, atol=1e-9)):
        raise DamagedError("counts do not add up to the number and the sum of the rows")


def _flat(lists: pa.ChunkedArray) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, np.int32), *(chunk.flatten().to_numpy() for chunk in lists.chunks)])


def _scaled(values: npt.NDArray[Any], resolution: pa.ChunkedArray, lengths: Integers) -> Floats:
    """Values that come as multiples of a resolution, as they are."""
    if resolution.null_count == len(resolution):
        return values.astype(np.float64)
    scales = resolution.to_numpy()
    distinct = np.unique(scales)
    if len(distinct) == 1:
        return values_of(values, float(distinct[0]))
    scale = np.repeat(scales, lengths)
    result = np.empty(len(values))
    for one in distinct:
        result[scale == one] = values_of(values[scale == one], float(one))
    return result


def _ranked(values: Floats, resolution: float) -> tuple[Floats, Integers]:
    """Distinct values in ascending order, and the place of each value among them."""
    if resolution:
        steps = steps_of(values, resolution)
        least = int(steps.min())
        span = int(steps.max()) - least + 1
        if span <= _LONGEST_RANGE and np.array_equal(values_of(steps, resolution), values):
            is_there = np.zeros(span, dtype=bool)
            is_there[steps - least] = True
            distinct = np.flatnonzero(is_there)
            return values_of(distinct + least, resolution), (np.cumsum(is_there) - 1)[steps - least]
    distinct_values, rank = np.unique(values, return_inverse=True)
    return distinct_values, rank


def _of_table(
    table: Floats, values: Floats, greatest: Floats, seconds: Floats, first: int
) -> Iterator[Distribution]:  # fmt: skip
    """Of counts by owner and value: each owner's distribution; one without rows is left out."""
    below = np.cumsum(table, axis=1)
    known = np.flatnonzero(below[:, -1])
    below = below[known]
    rows = below[:, -1]
    p50, p95 = (_quantile(below, rows, values, share) for share in _QUANTILES)
    means = (table[known] @ values) / rows
    for number, owner in enumerate(known.tolist()):
        yield Distribution(
            owner=first + owner,
            p50=float(p50[number]),
            p95=float(p95[number]),
            max=float(greatest[owner]),
            mean=float(means[number]),
            rows=int(rows[number]),
            seconds=float(seconds[owner]),
        )


def _quantile(below: Floats, rows: Floats, values: Floats, share: float) -> Floats:
    at = share * (rows - 1)
    lower = np.floor(at)
    low = values[_value_at(below, lower)]
    high = values[_value_at(below, np.minimum(lower + 1, rows - 1))]
    result: Floats = low + (at - lower) * (high - low)
    return result


def _value_at(below: Floats, position: Floats) -> Integers:
    """Which value the row at a position has, when all are in order."""
    places: Integers = (below > position[:, None]).argmax(axis=1)
    return places
