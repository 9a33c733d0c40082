"""Files of rows and of counts: written in one step, read with every page's checksum proved.

Gauges are coded by dictionary: rounded to their resolution they have few values. Counters are coded by their
differences where they are whole numbers.
"""

import io
import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from advisor.samples.metrics import METRICS, Kind
from advisor.samples.places import ROW_US
from advisor.samples.store.row_tables import (
    ENGINE_COLUMNS,
    HOST_KEY,
    LABELS_KEY,
    METADATA,
    SCHEMA_KEY,
    SCHEMA_V2,
    TEXT,
)

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
    """Digest that names a file by its content."""
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def read_table(path: Path, columns: pa.Schema, schema: str = SCHEMA_V2) -> pa.Table:
    """A file with the given columns; those that a file of rows lacks, as older agents may have written it, are null.

    Raises:
        UnreadableError: it was cut short or damaged, or the agent did not write it.
        FileNotFoundError: a compaction was quicker.
    """
    metadata = _metadata_of(path)
    _check_schema(metadata, schema)
    try:
        there = set(metadata.schema.to_arrow_schema().names)
        texts = [field.name for field in columns if field.type.equals(TEXT) and field.name in there]
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts, page_checksum_verification=True) as file:
            return _fitted(file, there, columns, _NEEDED if schema == SCHEMA_V2 else columns.names)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(error) from error


def time_range_us(stream: BinaryIO) -> tuple[int, int] | None:
    """Begin of the first row in a file and end of the last; None where it has no rows.

    Raises:
        UnreadableError: it was cut short, or the agent did not write it.
    """
    metadata = _metadata_of(stream)
    _check_schema(metadata, SCHEMA_V2)
    columns = [metadata.row_group(number).column(0) for number in range(metadata.num_row_groups)]
    known = [column.statistics for column in columns if column.is_stats_set and column.statistics.has_min_max]
    if not known:
        return None
    first, last = min(int(one.min_raw) for one in known), max(int(one.max_raw) for one in known)
    return first - ROW_US, last


def read_named(source: Path | BinaryIO, key: bytes) -> dict[str, str]:
    """Static labels (``LABELS_KEY``) or facts (``HOST_KEY``) of the host that a file of rows is of; empty without.

    Raises:
        UnreadableError: it was cut short or damaged.
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


def _fitted(file: pq.ParquetFile, there: set[str], columns: pa.Schema, needed: Sequence[str]) -> pa.Table:
    """Read what is there, and add what is not as nulls."""
    if missing := [name for name in needed if name not in there]:
        raise UnreadableError(f"it has no column {missing[0]}")
    table = file.read(columns=[name for name in columns.names if name in there], use_threads=False)
    arrays = [
        table[field.name].cast(field.type) if field.name in there else pa.nulls(table.num_rows, field.type)
        for field in columns
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


def _is_plain(field: pa.Field) -> bool:
    """Whether a dictionary would not help: times, counters and sums."""
    if field.name in ("timestamp", "gap_start"):
        return True
    metric = METRICS.get(field.name)
    is_sum = field.name.endswith("_sum") and field.name in ENGINE_COLUMNS.names
    return is_sum or (metric is not None and metric.kind is Kind.COUNTER)


def _encoding_of(kind: pa.DataType) -> str:
    return "BYTE_STREAM_SPLIT" if pa.types.is_floating(kind) else "DELTA_BINARY_PACKED"
