"""Rows and gaps as tables of typed columns: from the agent's records, and several tables as one.

A row is fifteen seconds. Of a gauge ``g`` a file has ``g`` (the mean), ``g_min``, ``g_max``, ``g_last`` and ``g_n``; of
a counter the last.

Gauges are coded by dictionary: rounded to their resolution they have few values. Counters are coded by their
differences where they are whole numbers.
"""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from advisor.samples.metrics import (
    ACCELERATOR_METRICS,
    ENGINE_METRICS,
    METRICS,
    ROW_SECONDS,
    Gap,
    Kind,
    Metric,
    Record,
    Scope,
    Stats,
    rounded,
)
from advisor.samples.places import ROW_US

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
    "timestamp": TIMESTAMP, "host": TEXT, "source": TEXT, "accelerator_index": pa.int32(), "mig_index": pa.int32(),
    "accelerator_uuid": TEXT, "accelerator": TEXT, **_ENDS,
}  # fmt: skip
ENGINE_KEYS: dict[str, pa.DataType] = {
    "timestamp": TIMESTAMP, "host": TEXT, "engine": TEXT, "endpoint": TEXT, "model": TEXT, "rank": pa.int32(), **_ENDS,
}  # fmt: skip
METADATA = {SCHEMA_KEY: SCHEMA_V2.encode(), INTERVAL_KEY: str(float(ROW_SECONDS)).encode()}


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
    return pa.schema({**keys, **{name: kind for metric in metrics for name, kind in columns_of(metric).items()}})


ACCELERATOR_COLUMNS = _schema(ACCELERATOR_KEYS, ACCELERATOR_METRICS)
ENGINE_COLUMNS = _schema(ENGINE_KEYS, ENGINE_METRICS)


def tables_of(records: Iterable[Record]) -> dict[Scope, pa.Table]:
    """Records as a table of accelerators and one of engines; one that would be empty is left out."""
    rows: dict[Scope, list[dict[str, Any]]] = {}
    for record in records:
        rows.setdefault(record.target.scope, []).append(_row_of(record))
    return {scope: table_of(entries, columns_of_scope(scope)) for scope, entries in rows.items()}


def columns_of_scope(scope: Scope) -> pa.Schema:
    """Columns of a file of accelerators or of engines."""
    return ACCELERATOR_COLUMNS if scope is Scope.ACCELERATOR else ENGINE_COLUMNS


def keys_of_scope(scope: Scope) -> tuple[str, ...]:
    """Columns that say of what and when a row is, and what is missing of it."""
    keys = ACCELERATOR_KEYS if scope is Scope.ACCELERATOR else ENGINE_KEYS
    return tuple(name for name in keys if name not in ("source", "read_errors"))


def merged(tables: Sequence[pa.Table], scope: Scope) -> pa.Table:
    """All rows of tables of one host, sorted by target and time, each once; a row goes before a gap of that time."""
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    target = _identity_codes(table, scope)
    is_gap = table["gap_reason"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    timestamp = table["timestamp"].cast(pa.int64()).to_numpy()
    order = np.lexsort((is_gap, timestamp, target))
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (np.diff(target[order]) != 0) | (np.diff(timestamp[order]) != 0)
    return table.take(pa.array(order[is_new])).combine_chunks()


def _identity_codes(table: pa.Table, scope: Scope) -> npt.NDArray[np.int64]:
    """A number for each target: an accelerator is its UUID, and where it has none its place."""
    if scope is Scope.ENGINE:
        return target_codes(table, ("host", "engine", "endpoint", "model", "rank"))
    has_uuid = table["accelerator_uuid"].is_valid()
    index, mig_index = (
        pc.if_else(has_uuid, pa.scalar(None, pa.int32()), table[name]) for name in ("accelerator_index", "mig_index")
    )
    identity = pa.table([table["host"], table["accelerator_uuid"], index, mig_index], names=["host", "uuid", "i", "m"])
    return target_codes(identity, ("host", "uuid", "i", "m"))


def target_codes(table: pa.Table, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """A number for each distinct combination of the columns, in order of their values."""
    combined = np.zeros(table.num_rows, dtype=np.int64)
    for name in names:
        codes = _ordered_codes(table[name].combine_chunks())
        if codes.size and codes.min() == codes.max():
            continue  # it tells no rows apart
        combined = np.unique(combined * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[1]
    return combined


def _ordered_codes(column: pa.Array) -> npt.NDArray[np.int64]:
    """Rank of each value of a column; null is the least."""
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = coded.dictionary.to_pylist()
    rank = {value: number for number, value in enumerate(sorted(set(values)), start=1)}
    ranks = np.array([*(rank[value] for value in values), 0], dtype=np.int64)
    indices = coded.indices.cast(pa.int64()).fill_null(len(values)).to_numpy(zero_copy_only=False)
    result: npt.NDArray[np.int64] = ranks[indices]
    return result


def table_of(entries: Sequence[Mapping[str, Any]], columns: pa.Schema) -> pa.Table:
    """Rows by column name as a table; columns that an entry does not name are null."""
    arrays = []
    for field in columns:
        values, is_text = [entry.get(field.name) for entry in entries], field.type.equals(TEXT)
        array = pa.array(values, type=pa.string() if is_text else field.type)
        arrays.append(array.dictionary_encode().cast(TEXT) if is_text else array)
    return pa.Table.from_arrays(arrays, schema=columns)


def _row_of(record: Record) -> dict[str, Any]:
    """A record by column; columns it does not name are null."""
    target = record.target
    values: dict[str, Any] = {"timestamp": record.end_us, "host": target.host, "missed_ticks": record.missed_ticks}
    if target.scope is Scope.ENGINE:
        values |= {"engine": target.source, "endpoint": target.endpoint, "model": target.name, "rank": target.index}
    else:
        values |= {"source": target.source, "accelerator_index": target.index, "mig_index": target.mig_index}
        values |= {"accelerator_uuid": target.uuid, "accelerator": target.name}
    if isinstance(record, Gap):
        return {**values, "gap_start": record.start_us, "gap_reason": record.reason}
    values["read_errors"] = record.note
    for name, stats in record.stats.items():
        values |= _values_of(name, stats)
    for name, buckets in record.buckets.items():
        values |= {f"{name}_bounds": buckets.bounds, f"{name}_counts": buckets.counts, f"{name}_sum": buckets.total}
    return values


def _values_of(name: str, stats: Stats) -> dict[str, Any]:
    """Columns of one value; what is not known, or not a metric, is left out."""
    metric = METRICS.get(name)
    if metric is None or metric.kind is Kind.HISTOGRAM:
        return {}
    if metric.kind is Kind.COUNTER:
        whole = metric.unit in _WHOLE_UNITS
        return {name: round(stats.last) if whole else stats.last} if math.isfinite(stats.last) else {}
    named = {"": stats.mean, "_min": stats.least, "_max": stats.greatest, "_last": stats.last}
    finite = {name + end: rounded(value, metric.resolution) for end, value in named.items() if math.isfinite(value)}
    return {**finite, f"{name}_n": stats.n}


_COMPRESSION_LEVEL = 9
_DIGEST_BYTES = 8
_NEEDED = ("timestamp", "host", "missed_ticks", "gap_reason")


class UnreadableError(Exception):
    """A file is no (whole) file of samples; the message says why."""


def encode_table(
    table: pa.Table, labels: Mapping[str, str] | None = None, facts: Mapping[str, str] | None = None
) -> bytes:
    """A table of rows as the content of a file, with labels and facts of the host; the same gives the same bytes."""
    plain = [field.name for field in table.schema if _is_plain(field)]
    coded = [field.name for field in table.schema if not _is_plain(field) and not pa.types.is_list(field.type)]
    floating = {name for name in plain if pa.types.is_floating(table.schema.field(name).type)}
    encodings = {name: "BYTE_STREAM_SPLIT" if name in floating else "DELTA_BINARY_PACKED" for name in plain}
    metadata = {LABELS_KEY: labels, HOST_KEY: facts}
    named = {key: json.dumps(values, sort_keys=True).encode() for key, values in metadata.items() if values}
    return encode_parquet(table, coded, encodings, {**METADATA, **named})


def encode_parquet(
    table: pa.Table, coded: Sequence[str], encodings: Mapping[str, str], metadata: Mapping[bytes, bytes]
) -> bytes:
    """A table as one row group, with some columns coded by dictionary and the others as said."""
    stream = io.BytesIO()
    with pq.ParquetWriter(
        stream,
        table.schema,
        compression="zstd",
        compression_level=_COMPRESSION_LEVEL,
        use_dictionary=list(coded),
        column_encoding=dict(encodings),
        write_statistics=["timestamp"] if "timestamp" in table.column_names else False,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        writer.write_table(table, row_group_size=max(table.num_rows, 1))
        writer.add_key_value_metadata({key.decode(): value.decode() for key, value in metadata.items()})
    return stream.getvalue()


def content_digest(content: bytes) -> str:
    """Digest that names a file by its content."""
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def read_table(path: Path, columns: pa.Schema, schema: str = SCHEMA_V2) -> pa.Table:
    """A file with the given columns; those that a file of rows lacks, as older agents may have written it, are null.

    Raises UnreadableError if it was cut short or damaged, or the agent did not write it, and FileNotFoundError if a
    compaction was quicker.
    """
    metadata = _metadata_of(path)
    _check_schema(metadata, schema)
    try:
        there = set(metadata.schema.to_arrow_schema().names)
        missing = [name for name in (_NEEDED if schema == SCHEMA_V2 else columns.names) if name not in there]
        if missing:
            raise UnreadableError(f"it has no column {missing[0]}")
        texts = [field.name for field in columns if field.type.equals(TEXT) and field.name in there]
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts, page_checksum_verification=True) as file:
            table = file.read(columns=[name for name in columns.names if name in there], use_threads=False)
        arrays = [
            table[field.name].cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
            for field in columns
        ]
        return pa.Table.from_arrays(arrays, schema=columns)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from error


def time_range_us(stream: BinaryIO) -> tuple[int, int] | None:
    """Begin of the first row in a file and end of the last; None: no rows. Raises UnreadableError if cut short."""
    metadata = _metadata_of(stream)
    _check_schema(metadata, SCHEMA_V2)
    columns = [metadata.row_group(number).column(0) for number in range(metadata.num_row_groups)]
    statistics = [column.statistics for column in columns if column.is_stats_set and column.statistics.has_min_max]
    if not statistics:
        return None
    first, last = min(int(bounds.min_raw) for bounds in statistics), max(int(bounds.max_raw) for bounds in statistics)
    return first - ROW_US, last


def read_named(source: Path | BinaryIO, key: bytes) -> dict[str, str]:
    """Static labels (``LABELS_KEY``) or facts (``HOST_KEY``) of the host that a file of rows is of; empty without.

    Raises UnreadableError if it was cut short or damaged.
    """
    named = json.loads((_metadata_of(source).metadata or {}).get(key, b"{}"))
    return {str(name): str(value) for name, value in named.items()}


def _metadata_of(source: Path | BinaryIO) -> pq.FileMetaData:
    try:
        return pq.read_metadata(source)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> UnreadableError:
    return UnreadableError(f"cut short or damaged ({str(error).splitlines()[0].rstrip('. ')})")


def _check_schema(metadata: pq.FileMetaData, wanted: str) -> None:
    """Refuse what is none of ours, or of another version."""
    named: dict[bytes, bytes] = metadata.metadata or {}
    if SCHEMA_KEY not in named:
        raise UnreadableError("not written by `advisor agent run`")
    schema = named[SCHEMA_KEY].decode(errors="replace")
    if schema != wanted:
        raise UnreadableError(f"written as {schema} by another version of the agent; this one reads {wanted}")


def _is_plain(field: pa.Field) -> bool:
    """Whether a dictionary would not help: times, counters and sums."""
    if field.name in ("timestamp", "gap_start"):
        return True
    metric = METRICS.get(field.name)
    is_sum = field.name.endswith("_sum") and field.name in ENGINE_COLUMNS.names
    return is_sum or (metric is not None and metric.kind is Kind.COUNTER)
