"""Counts of a day's rows of accelerators: exact, because row values are whole multiples of a resolution.

A row of the table is of one accelerator and one metric:

- of a gauge ``steps`` (values in multiples of ``resolution``, ascending) and ``counts`` (rows that have each), with the
  greatest of the row maxima, the sum of the row means and the number of known rows;
- of a counter its first and last value and their times, what it grew by in between, how often it was reset, and the
  time over which resets hide what it grew by;
- of ``rows`` how many there are, and from when to when anything is said of the accelerator, gaps included;
- of ``missed`` how many ticks gaps stand for, by ``reason``.

Counts of several days add up to the counts of all of them: :class:`advisor.samples.query.counts.Counts`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from advisor.samples.growth import Floats, Integers, steps
from advisor.samples.metrics import ACCELERATOR_METRICS, METRICS, Kind, Metric
from advisor.samples.places import ROW_US
from advisor.samples.store.row_tables import (
    HISTOGRAM_SCHEMA,
    SCHEMA_KEY,
    TEXT,
    encode_parquet,
    target_codes,
    typed_array,
)

PRESENT = "rows"
MISSED = "missed"
"""Names in the column ``metric`` that are no metrics."""
TARGET = ("host", "accelerator_index", "mig_index", "accelerator_uuid", "accelerator")
COLUMNS = pa.schema(
    {
        "host": TEXT,
        "accelerator_index": pa.int32(),
        "mig_index": pa.int32(),
        "accelerator_uuid": TEXT,
        "accelerator": TEXT,
        "metric": TEXT,
        "reason": TEXT,
        "first_us": pa.int64(),
        "last_us": pa.int64(),
        "rows": pa.int64(),
        "resolution": pa.float64(),
        "mean_sum": pa.float64(),
        "max": pa.float64(),
        "steps": pa.list_(pa.int32()),
        "counts": pa.list_(pa.int32()),
        "first_value": pa.float64(),
        "last_value": pa.float64(),
        "grown": pa.float64(),
        "resets": pa.int64(),
        "reset_us": pa.int64(),
    }
)
_TEXTS = [field.name for field in COLUMNS if field.type.equals(TEXT)]
_GAUGES = tuple(metric for metric in ACCELERATOR_METRICS if metric.kind is Kind.GAUGE)
_COUNTERS = tuple(metric.name for metric in ACCELERATOR_METRICS if metric.kind is Kind.COUNTER)
COUNTED_COLUMNS = (*_COUNTERS, *(name for metric in _GAUGES for name in (metric.name, f"{metric.name}_max")))
"""Columns of rows that are counted."""


def count_rows(rows: pa.Table) -> pa.Table:
    """Counts of rows that are sorted by target and time, each there once.

    Args:
        rows: keys of a file of accelerators, and :data:`COUNTED_COLUMNS`.
    """
    rows = rows.filter(rows["accelerator_index"].is_valid())
    codes = target_codes(rows, TARGET)
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if rows.num_rows else []
    columns = {name: rows[name].cast(pa.float64()).to_numpy() for name in COUNTED_COLUMNS}
    end_us, start_us, is_gap = times_of(rows)
    entries: list[dict[str, Any]] = []
    for group in groups:
        place = {name: rows[name][int(group[0])].as_py() for name in TARGET}
        read = group[~is_gap[group]]
        said = [_present(end_us[group], start_us[group], read.size), *_missed(rows, group[is_gap[group]])]
        said += _values({name: values[read] for name, values in columns.items()}, end_us[read])
        entries += [{**place, **entry} for entry in said]
    arrays = [typed_array([entry.get(field.name) for entry in entries], field.type) for field in COLUMNS]
    return pa.Table.from_arrays(arrays, schema=COLUMNS)


def encode_counts(counts: pa.Table) -> bytes:
    """Counts as the content of a file."""
    return encode_parquet(counts, _TEXTS, {}, {SCHEMA_KEY: HISTOGRAM_SCHEMA.encode()})


def times_of(rows: pa.Table) -> tuple[Integers, Integers, npt.NDArray[np.bool_]]:
    """End and begin of each row, µs since 1970, and whether it is a gap; a row speaks of fifteen seconds."""
    end_us = rows["timestamp"].cast(pa.int64()).to_numpy()
    is_gap = rows["gap_reason"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    gap_start = rows["gap_start"].cast(pa.int64()).fill_null(0).to_numpy()
    start_us = np.where(is_gap & (gap_start > 0), np.minimum(gap_start, end_us), end_us - ROW_US)
    return end_us, start_us, is_gap


def steps_of(values: Floats, resolution: float) -> Integers:
    """Values in multiples of their resolution."""
    scaled = values / resolution if resolution >= 1 else values * round(1 / resolution)
    result: Integers = np.rint(scaled).astype(np.int64)
    return result


def values_of(multiples: Integers, resolution: float) -> Floats:
    """The doubles that :func:`advisor.samples.metrics.rounded` gives, from multiples of the resolution."""
    values = multiples * resolution if resolution >= 1 else multiples / round(1 / resolution)
    return np.asarray(values, dtype=np.float64)


def _present(end_us: Integers, start_us: Integers, rows: int) -> dict[str, Any]:
    return {"metric": PRESENT, "first_us": int(start_us.min()), "last_us": int(end_us.max()), "rows": rows}


def _missed(rows: pa.Table, gaps: Integers) -> Iterator[dict[str, Any]]:
    """Ticks that gaps stand for, at least one each."""
    some = rows.select(["gap_reason", "missed_ticks"]).take(pa.array(gaps))
    ticks: dict[str, int] = {}
    for reason, missed in zip(some["gap_reason"].to_pylist(), some["missed_ticks"].to_pylist(), strict=True):
        ticks[reason] = ticks.get(reason, 0) + max(missed or 0, 1)
    return ({"metric": MISSED, "reason": reason, "rows": missed} for reason, missed in ticks.items())


def _values(columns: Mapping[str, Floats], end_us: Integers) -> Iterator[dict[str, Any]]:
    """Counts of each gauge and counter that one accelerator has."""
    for metric in _GAUGES:
        means = columns[metric.name]
        is_known = ~np.isnan(means)
        if is_known.any():
            yield _gauge(metric, means[is_known], columns[f"{metric.name}_max"][is_known])
    for name in _COUNTERS:
        is_known = ~np.isnan(columns[name])
        if is_known.any():
            yield _counter(METRICS[name], columns[name][is_known], end_us[is_known])


def _gauge(metric: Metric, means: Floats, maxima: Floats) -> dict[str, Any]:
    distinct, counts = np.unique(steps_of(means, metric.resolution), return_counts=True)
    return {
        "metric": metric.name,
        "rows": means.size,
        "resolution": metric.resolution,
        "mean_sum": float(values_of(distinct, metric.resolution) @ counts),
        "max": float(np.fmax(maxima, means).max()),
        "steps": distinct,
        "counts": counts,
    }


def _counter(metric: Metric, values: Floats, end_us: Integers) -> dict[str, Any]:
    grown, is_reset = steps(values)
    return {
        "metric": metric.name,
        "rows": values.size,
        "first_us": int(end_us[0]),
        "last_us": int(end_us[-1]),
        "first_value": float(values[0]),
        "last_value": float(values[-1]),
        "grown": float(grown.sum()),
        "resets": int(is_reset.sum()),
        "reset_us": int(np.diff(end_us)[is_reset].sum()),
    }
