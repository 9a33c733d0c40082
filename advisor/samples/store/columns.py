"""Columns of the files, with their types.

A row is fifteen seconds. Of a gauge ``g`` a file has ``g`` (the mean), ``g_min``, ``g_max``, ``g_last`` and ``g_n``; of
a counter the last.
"""

import pyarrow as pa

from advisor.samples.metrics import ACCELERATOR_METRICS, ENGINE_METRICS, Kind, Metric

SCHEMA_V2 = "advisor.samples/v2"
HISTOGRAM_SCHEMA = "advisor.histograms/v2"
SCHEMA_KEY = b"advisor.samples.schema"
INTERVAL_KEY = b"advisor.samples.interval_seconds"
LABELS_KEY = b"advisor.samples.labels"
HOST_KEY = b"advisor.samples.host"
"""Static labels of the host, as a JSON object; absent without any."""

TEXT = pa.dictionary(pa.int32(), pa.string())
TIMESTAMP = pa.timestamp("us", tz="UTC")
STATISTICS = ("min", "max", "last")
"""What a file keeps of a gauge besides its mean, as ends of column names."""

_WHOLE_UNITS = ("bytes", "errors")
_ENDS = {"gap_start": TIMESTAMP, "missed_ticks": pa.int32(), "gap_reason": TEXT, "read_errors": TEXT}
ACCELERATOR_KEYS: dict[str, pa.DataType] = {
    "timestamp": TIMESTAMP,
    "host": TEXT,
    "source": TEXT,
    "accelerator_index": pa.int32(),
    "mig_index": pa.int32(),
    "accelerator_uuid": TEXT,
    "accelerator": TEXT,
    **_ENDS,
}
ENGINE_KEYS: dict[str, pa.DataType] = {
    "timestamp": TIMESTAMP,
    "host": TEXT,
    "engine": TEXT,
    "endpoint": TEXT,
    "model": TEXT,
    "rank": pa.int32(),
    **_ENDS,
}


def columns_of(metric: Metric) -> dict[str, pa.DataType]:
    """Columns of one metric in a file."""
    name = metric.name
    if metric.kind is Kind.COUNTER:
        return {name: pa.int64() if metric.unit in _WHOLE_UNITS else pa.float64()}
    if metric.kind is Kind.HISTOGRAM:
        doubles = pa.list_(pa.float64())
        return {f"{name}_bounds": doubles, f"{name}_counts": doubles, f"{name}_sum": pa.float64()}
    values = {f"{name}_{statistic}": pa.float64() for statistic in STATISTICS}
    return {name: pa.float64(), **values, f"{name}_n": pa.int16()}


def _schema(keys: dict[str, pa.DataType], metrics: tuple[Metric, ...]) -> pa.Schema:
    columns = dict(keys)
    for metric in metrics:
        columns |= columns_of(metric)
    return pa.schema(columns)


ACCELERATOR_COLUMNS = _schema(ACCELERATOR_KEYS, ACCELERATOR_METRICS)
ENGINE_COLUMNS = _schema(ENGINE_KEYS, ENGINE_METRICS)
