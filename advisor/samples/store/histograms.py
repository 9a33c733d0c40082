"""Counts of every value of a day: exact, because row values are whole multiples of a resolution.

A row of the file is one gauge of one accelerator: ``steps`` (values in multiples of ``resolution``, ascending) and
``counts`` (rows that have each), with the greatest of the row maxima, the sum of the row means and the number of known
rows. Counts of several days or hosts add up to the counts of all of them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from advisor.samples.metrics import ACCELERATOR_METRICS, Kind, Metric
from advisor.samples.store.columns import HISTOGRAM_SCHEMA, SCHEMA_KEY, TEXT, TIMESTAMP
from advisor.samples.store.row_files import encode_parquet
from advisor.samples.store.row_tables import target_codes

Floats = npt.NDArray[np.float64]

_COLUMNS = pa.schema(
    {
        "host": TEXT,
        "accelerator_index": pa.int32(),
        "mig_index": pa.int32(),
        "accelerator_uuid": TEXT,
        "accelerator": TEXT,
        "last": TIMESTAMP,
        "metric": TEXT,
        "resolution": pa.float64(),
        "rows": pa.int64(),
        "mean_sum": pa.float64(),
        "max": pa.float64(),
        "steps": pa.list_(pa.int32()),
        "counts": pa.list_(pa.int32()),
    }
)
_TARGET = ("host", "accelerator_index", "mig_index", "accelerator_uuid", "accelerator")
_TEXTS = ["host", "accelerator_uuid", "accelerator", "metric"]
_GAUGES = tuple(metric for metric in ACCELERATOR_METRICS if metric.kind is Kind.GAUGE)
_MOST_STEPS = np.iinfo(np.int32).max


def encode_histograms(rows: pa.Table) -> bytes | None:
    """Counts of a day's rows as the content of a file; None where a value is no multiple of its resolution."""
    known = rows.filter(rows["accelerator_index"].is_valid())
    if not known.num_rows:
        return None
    entries: list[dict[str, Any]] = []
    target = target_codes(known, _TARGET)
    order = np.argsort(target, kind="stable")
    for positions in np.split(order, np.flatnonzero(np.diff(target[order])) + 1):
        for entry in _entries(known.take(pa.array(positions))):
            if entry is None:
                return None
            entries.append(entry)
    arrays = [_array([entry[field.name] for entry in entries], field.type) for field in _COLUMNS]
    return histogram_file(pa.Table.from_arrays(arrays, schema=_COLUMNS))


def histogram_file(table: pa.Table) -> bytes:
    """Counts as the content of a file."""
    return encode_parquet(table, _TEXTS, {}, {SCHEMA_KEY: HISTOGRAM_SCHEMA.encode()})


def steps_of(values: Floats, resolution: float) -> npt.NDArray[np.int64]:
    """Values in multiples of their resolution."""
    scaled = values / resolution if resolution >= 1 else values * round(1 / resolution)
    steps: npt.NDArray[np.int64] = np.rint(scaled).astype(np.int64)
    return steps


def values_of(steps: npt.NDArray[np.int64], resolution: float) -> Floats:
    """The doubles that :func:`advisor.samples.metrics.rounded` gives, from multiples of the resolution."""
    values = steps * resolution if resolution >= 1 else steps / round(1 / resolution)
    return np.asarray(values, dtype=np.float64)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind.equals(TEXT):
        return pa.array(values, type=pa.string()).dictionary_encode().cast(TEXT)
    return pa.array(values, type=kind)


def _entries(rows: pa.Table) -> Iterator[dict[str, Any] | None]:
    """Counts of each gauge that one accelerator has; None where they would not be exact."""
    place = {name: rows[name][0].as_py() for name in _TARGET}
    place["last"] = int(rows["timestamp"].cast(pa.int64()).to_numpy().max())
    for metric in _GAUGES:
        means = rows[metric.name].to_numpy()
        is_known = ~np.isnan(means)
        if is_known.any():
            yield _entry(place, metric, means[is_known], rows[f"{metric.name}_max"].to_numpy()[is_known])


def _entry(place: dict[str, Any], metric: Metric, means: Floats, maxima: Floats) -> dict[str, Any] | None:
    steps = steps_of(means, metric.resolution)
    if not np.array_equal(values_of(steps, metric.resolution), means) or np.abs(steps).max() > _MOST_STEPS:
        return None
    distinct, counts = np.unique(steps, return_counts=True)
    return {
        **place,
        "metric": metric.name,
        "resolution": metric.resolution,
        "rows": len(means),
        "mean_sum": float(values_of(distinct, metric.resolution) @ counts),
        "max": float(np.where(np.isnan(maxima), means, maxima).max()),
        "steps": distinct,
        "counts": counts,
    }
