"""Files of schema v1, one row a reading, as agents wrote them before rows of fifteen seconds: they are read for good.

Every file can be understood alone, and any Parquet reader can read it. A row is a reading (``missed_ticks`` is 0) or a
gap (``gap_reason`` says why, and every value is null).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from advisor.samples.frame import TEXT_COLUMNS, FileRows, UnreadableError

SCHEMA = "advisor.samples/v1"

_TEXT = pa.dictionary(pa.int32(), pa.string())
_KEYS: dict[str, pa.DataType] = {
    "timestamp": pa.timestamp("us", tz="UTC"),
    "host": _TEXT,
    "accelerator_index": pa.int32(),
    "mig_index": pa.int32(),
    "accelerator_uuid": _TEXT,
    "accelerator": _TEXT,
    "missed_ticks": pa.int32(),
    "gap_reason": _TEXT,
}
_VALUES: dict[str, pa.DataType] = {
    "memory_total_bytes": pa.int64(),
    "memory_used_bytes": pa.int64(),
    "memory_reserved_bytes": pa.int64(),
    "busy_ratio": pa.float64(),
    "busy_peak_ratio": pa.float64(),
    "memory_busy_ratio": pa.float64(),
    "power_watts": pa.float64(),
    "energy_joules": pa.float64(),
    "sm_clock_mhz": pa.int32(),
    "temperature_celsius": pa.int32(),
    "power_throttled_ratio": pa.float64(),
    "thermal_throttled_ratio": pa.float64(),
}
KEY_COLUMNS = tuple(_KEYS)
VALUE_COLUMNS = tuple(_VALUES)
"""What can be measured, under the names of the fields of a sample."""
COLUMNS = pa.schema({**_KEYS, **_VALUES, "read_errors": _TEXT})
SCHEMA_KEY = b"advisor.samples.schema"
INTERVAL_KEY = b"advisor.samples.interval_seconds"


def decode(path: Path, columns: Sequence[str]) -> FileRows:
    """Key columns and *columns* of a file.

    Raises:
        UnreadableError: it was cut short or damaged, or the agent did not write it.
    """
    try:
        metadata = pq.read_metadata(path)
        interval_seconds = _interval(metadata.metadata or {})
        wanted = pa.schema([COLUMNS.field(name) for name in (*KEY_COLUMNS, *columns)])
        with pq.ParquetFile(
            path, metadata=metadata, read_dictionary=list(TEXT_COLUMNS), page_checksum_verification=True
        ) as file:
            table = file.read(columns=wanted.names, use_threads=False).cast(wanted)
    except KeyError as error:
        raise UnreadableError(f"it has no column {error}") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableError(f"cut short or damaged ({str(error).splitlines()[0].rstrip('. ')})") from error
    rows = table.num_rows
    return FileRows(table, np.full(rows, interval_seconds), np.zeros(rows, dtype=np.int64))


def _interval(metadata: dict[bytes, bytes]) -> float:
    """Time between two ticks, if the file is one of ours and of a version that is understood here."""
    if SCHEMA_KEY not in metadata or INTERVAL_KEY not in metadata:
        raise UnreadableError("not written by `advisor agent run`")
    schema = metadata[SCHEMA_KEY].decode(errors="replace")
    if schema != SCHEMA:
        raise UnreadableError(f"written as {schema} by another version of the agent; this one reads {SCHEMA}")
    interval_seconds = float(metadata[INTERVAL_KEY])
    if not 0 < interval_seconds < math.inf:
        raise UnreadableError(f"its interval is {interval_seconds} s")
    return interval_seconds
