"""Files of rows (schema v2): written in one step, read with every page's checksum proved.

Gauges are coded by dictionary: rounded to their resolution they have few values. Counters are coded by their
differences where they are whole numbers.
"""

import io
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from advisor.samples.frame import FileRows, UnreadableError
from advisor.samples.metrics import METRICS, ROW_SECONDS
from advisor.samples.store.columns import (
    ACCELERATOR_COLUMNS,
    ACCELERATOR_KEYS,
    ENGINE_COLUMNS,
    HOST_KEY,
    INTERVAL_KEY,
    LABELS_KEY,
    SCHEMA_KEY,
    SCHEMA_V1,
    SCHEMA_V2,
    STATISTICS,
    TEXT,
)
from advisor.samples.store.row_tables import METADATA
from advisor.samples.store.tick_files import VALUE_COLUMNS as TICK_COLUMNS
from advisor.samples.store.tick_files import decode as decode_ticks

_COMPRESSION_LEVEL = 9
_US_PER_SECOND = 1_000_000
_DIGEST_BYTES = 8


def encode_table(
    table: pa.Table, labels: Mapping[str, str] | None = None, facts: Mapping[str, str] | None = None
) -> bytes:
    """A table of rows as the content of a file, with labels and facts of the host; the same gives the same bytes."""
    plain = [field.name for field in table.schema if _is_plain(field)]
    coded = [field.name for field in table.schema if not _is_plain(field) and not pa.types.is_list(field.type)]
    encodings = {name: _encoding_of(table.schema.field(name).type) for name in plain}
    known = {LABELS_KEY: labels, HOST_KEY: facts}
    named = {key: json.dumps(values, sort_keys=True).encode() for key, values in known.items() if values}
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
    """What names a file by what is in it."""
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def read_table(path: Path, columns: pa.Schema) -> pa.Table:
    """A file of v2 with the given columns; those that it lacks, as older agents may have written it, are null.

    Raises:
        UnreadableError: it was cut short or damaged, or the agent did not write it.
    """
    metadata = _metadata_of(path)
    if _schema_of(metadata) != SCHEMA_V2:
        raise UnreadableError(f"not written as {SCHEMA_V2}")
    try:
        there = set(metadata.schema.to_arrow_schema().names)
        texts = [field.name for field in columns if field.type.equals(TEXT) and field.name in there]
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts, page_checksum_verification=True) as file:
            return _fitted(file, there, columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from error


def read_named(path: Path, key: bytes) -> dict[str, str]:
    """Static labels (``LABELS_KEY``) or facts (``HOST_KEY``) of the host that a file of rows is of; empty without.

    Raises:
        UnreadableError: it was cut short or damaged.
    """
    named = json.loads((_metadata_of(path).metadata or {}).get(key, b"{}"))
    return {str(name): str(value) for name, value in named.items()}


def decode(path: Path, columns: Sequence[str]) -> FileRows:
    """Keys and values of a file of accelerators, of v1 or v2, as a frame takes them.

    Raises:
        UnreadableError: it was cut short or damaged, or the agent did not write it.
    """
    if _schema_of(_metadata_of(path)) == SCHEMA_V2:
        return frame_rows(read_table(path, _wanted_columns(columns)), columns)
    return _tick_rows(path, columns)


def frame_rows(table: pa.Table, columns: Sequence[str]) -> FileRows:
    """Rows of v2 as a frame takes them: missed ticks only of gaps, and an interval for each row."""
    table = table.filter(table["accelerator_index"].is_valid())
    end = table["timestamp"].cast(pa.int64()).to_numpy()
    is_gap = table["gap_reason"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    ticks = table["missed_ticks"].fill_null(0).to_numpy()
    start = table["gap_start"].cast(pa.int64()).fill_null(0).to_numpy()
    seconds = np.where(is_gap & (start > 0), (end - start) / _US_PER_SECOND / np.maximum(ticks, 1), float(ROW_SECONDS))
    kept = table.select([name for name in ACCELERATOR_KEYS if name not in ("source", "gap_start", "read_errors")])
    missed = kept.schema.get_field_index("missed_ticks")
    kept = kept.set_column(missed, "missed_ticks", pa.array(np.where(is_gap, np.maximum(ticks, 1), 0), pa.int32()))
    for name in columns:
        values = table[name].cast(pa.float64()) if name in table.column_names else pa.nulls(len(end), pa.float64())
        kept = kept.append_column(name, values)
    return FileRows(kept, np.where(seconds > 0, seconds, float(ROW_SECONDS)), np.where(is_gap, 0, ticks))


def _tick_rows(path: Path, columns: Sequence[str]) -> FileRows:
    """Rows of v1: a row is one reading, so it is its own least, greatest and last."""
    read = {name: _reading_column(name) for name in columns}
    rows = decode_ticks(path, sorted({name for name in read.values() if name is not None}))
    table = rows.table.select([name for name in rows.table.column_names if name not in TICK_COLUMNS])
    for name, source in read.items():
        values = pa.nulls(table.num_rows, pa.float64()) if source is None else rows.table[source].cast(pa.float64())
        if name.endswith("_n") and source is not None:
            values = pc.if_else(values.is_valid(), 1.0, None)
        table = table.append_column(name, values)
    return FileRows(table, rows.interval_seconds, rows.lost_ticks)


def _reading_column(name: str) -> str | None:
    """Column of v1 that has a value of v2; None where v1 has none."""
    for end in ("", *(f"_{statistic}" for statistic in (*STATISTICS, "n"))):
        base = name.removesuffix(end) if end else name
        if base in TICK_COLUMNS and (not end or name.endswith(end)):
            return base
    return None


def _metadata_of(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> UnreadableError:
    return UnreadableError(f"cut short or damaged ({str(error).splitlines()[0].rstrip('. ')})")


def _schema_of(metadata: pq.FileMetaData) -> str:
    """Version of the schema of a file, if it is one of ours and of a version that is understood here."""
    named: dict[bytes, bytes] = metadata.metadata or {}
    if SCHEMA_KEY not in named or INTERVAL_KEY not in named:
        raise UnreadableError("not written by `advisor agent run`")
    schema = named[SCHEMA_KEY].decode(errors="replace")
    if schema not in (SCHEMA_V1, SCHEMA_V2):
        known = f"{SCHEMA_V1} and {SCHEMA_V2}"
        raise UnreadableError(f"written as {schema} by another version of the agent; this one reads {known}")
    return schema


def _fitted(file: pq.ParquetFile, there: set[str], columns: pa.Schema) -> pa.Table:
    """Read what is there, and add what is not as nulls."""
    if missing := [name for name in ("timestamp", "host", "missed_ticks", "gap_reason") if name not in there]:
        raise UnreadableError(f"it has no column {missing[0]}")
    table = file.read(columns=[name for name in columns.names if name in there], use_threads=False)
    arrays = [
        table[field.name].cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
        for field in columns
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


def _wanted_columns(columns: Sequence[str]) -> pa.Schema:
    """Keys, and those of the columns that v2 has."""
    names = [name for name in columns if name in ACCELERATOR_COLUMNS.names and name not in ACCELERATOR_KEYS]
    return pa.schema([ACCELERATOR_COLUMNS.field(name) for name in (*ACCELERATOR_KEYS, *names)])


def _is_plain(field: pa.Field) -> bool:
    """Whether a dictionary would not help: times, counters and sums."""
    if field.name in ("timestamp", "gap_start"):
        return True
    metric = METRICS.get(field.name)
    is_sum = field.name.endswith("_sum") and field.name in ENGINE_COLUMNS.names
    return is_sum or (metric is not None and metric.kind == "counter")


def _encoding_of(kind: pa.DataType) -> str:
    return "BYTE_STREAM_SPLIT" if pa.types.is_floating(kind) else "DELTA_BINARY_PACKED"
