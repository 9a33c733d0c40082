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


_PLACE = pa.schema(
    {
        "host": pa.string(),
        "accelerator_index": pa.int32(),
        "mig_index": pa.int32(),
        "accelerator_uuid": pa.string(),
        "accelerator": pa.string(),
    }
)
_LABEL = dict(zip(("host", "index", "mig", "uuid", "product"), _PLACE.names, strict=True))
_COMMON = pa.schema(
    {
        "identity": pa.string(),
        "metric": pa.string(),
        "last_us": pa.int64(),
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
        newest = pa.array(order[np.flatnonzero(np.diff(self._owner[order], append=self._owners))])
        places = pa.concat_tables([table.select(_PLACE.names).cast(_PLACE) for table in tables])
        self._labels: list[dict[str, Any]] = places.take(newest).to_pylist()

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
        owner, values, counts = self._entries(is_wanted, METRICS[metric].resolution)
        distinct, rank = _ranked(values, METRICS[metric].resolution)
        block = max(_MOST_CELLS // len(distinct), 1)
        for first in range(0, self._owners, block):
            last = min(first + block, self._owners)
            inside = slice(None) if last - first == self._owners else (owner >= first) & (owner < last)
            cells = (owner[inside] - first) * len(distinct) + rank[inside]
            summed = np.bincount(cells, counts[inside], (last - first) * len(distinct))
            table = np.asarray(summed, dtype=np.float64).reshape(-1, len(distinct))
            yield from _of_table(table, distinct, greatest[first:last], seconds[first:last], first)

    def _entries(
        self, is_wanted: npt.NDArray[np.bool_], resolution: float
    ) -> tuple[Integers, Integers | Floats, Integers]:  # fmt: skip
        """Owner, value and count of each entry of some rows' lists; whole numbers are multiples of *resolution*."""
        parts = []
        start = 0
        for table in self._tables:
            mine = is_wanted[start : start + table.num_rows]
            rows = table.select(["n", "mean_sum", "resolution", "values", "counts"]).filter(pa.array(mine))
            lengths = pc.list_value_length(rows["values"]).to_numpy()
            owner = np.repeat(self._owner[start : start + table.num_rows][mine], lengths)
            parts.append((owner, _steps_or_values(rows, lengths, resolution), _checked_counts(rows, lengths)))
            start += table.num_rows
        if any(values.dtype == np.float64 for _, values, _ in parts):
            parts = [(owner, _as_values(values, resolution), counts) for owner, values, counts in parts]
        owners, values, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return owners, values, counts


def _steps_or_values(rows: pa.Table, lengths: Integers, resolution: float) -> Integers | Floats:
    """Values as multiples of a resolution where they are that, else as they are; proved against their sum."""
    entries = _flat(rows["values"])
    counts = _flat(rows["counts"])
    if len(entries) != len(counts):
        raise DamagedError("lists of values and counts differ in length")
    scales = np.unique(rows["resolution"].to_numpy())
    if len(scales) == 1 and scales[0] == resolution:
        _prove(values_of(_sums(entries.astype(np.int64) * counts, lengths), resolution), rows["mean_sum"].to_numpy())
        return entries
    values = entries.astype(np.float64)
    scale = np.repeat(rows["resolution"].to_numpy(), lengths)
    for one in scales[~np.isnan(scales)]:
        values[scale == one] = values_of(entries[scale == one], float(one))
    _prove(_sums(values * counts, lengths), rows["mean_sum"].to_numpy())
    steps = steps_of(values, resolution)
    return steps if np.array_equal(values_of(steps, resolution), values) else values


def _checked_counts(rows: pa.Table, lengths: Integers) -> Integers:
    """Counts, proved against the number of rows."""
    counts = _flat(rows["counts"])
    _prove(_sums(counts.astype(np.int64), lengths), rows["n"].to_numpy())
    return counts


def _sums(entries: npt.NDArray[Any], lengths: Integers) -> npt.NDArray[Any]:
    """Sum of each list."""
    if not lengths.all():
        raise DamagedError("a list of values is empty")
    starts = np.cumsum(lengths) - lengths
    return np.add.reduceat(entries, starts) if len(starts) else np.empty(0)


def _prove(found: npt.NDArray[Any], stated: npt.NDArray[Any]) -> None:
    if not np.allclose(found, stated, rtol=1e-9, atol=1e-9):
        raise DamagedError("counts do not add up to the number and the sum of the rows")


def _as_values(steps: Integers | Floats, resolution: float) -> Floats:
    return steps.astype(np.float64) if steps.dtype == np.float64 else values_of(steps.astype(np.int64), resolution)


def _flat(lists: pa.ChunkedArray) -> npt.NDArray[Any]:
    chunks = [chunk.flatten().to_numpy() for chunk in lists.chunks]
    return np.concatenate(chunks) if chunks else np.empty(0, np.int32)


def _ranked(values: Integers | Floats, resolution: float) -> tuple[Floats, Integers]:
    """Distinct values in ascending order, and the place of each among them; whole numbers are multiples."""
    if values.dtype != np.float64:
        least = int(values.min())
        span = int(values.max()) - least + 1
        if span <= _LONGEST_RANGE:
            is_there = np.zeros(span, dtype=bool)
            is_there[values - least] = True
            distinct = np.flatnonzero(is_there) + least
            return values_of(distinct, resolution), (np.cumsum(is_there) - 1)[values - least]
    distinct_values, rank = np.unique(_as_values(values, resolution), return_inverse=True)
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
