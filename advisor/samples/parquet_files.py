"""One file of samples: its columns, its version, and how readings become bytes and bytes become columns.

Every file holds all it needs to be understood alone; any Parquet reader can read it. A row is a reading
(``missed_ticks`` is 0) or a gap (``gap_reason`` says why, and every value is null).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from advisor.samples.values import Reading, SampleGap

SCHEMA = "advisor.samples/v1"
VALUE_COLUMNS = (
    "memory_total_bytes", "memory_used_bytes", "memory_reserved_bytes", "busy_ratio", "busy_peak_ratio",
    "memory_busy_ratio", "power_watts", "energy_joules", "sm_clock_mhz", "temperature_celsius", "power_throttled_ratio",
    "thermal_throttled_ratio",
)  # fmt: skip
"""What can be measured; each column is named like the field of a sample."""
KEY_COLUMNS = (
    "timestamp", "host", "accelerator_index", "mig_index", "accelerator_uuid", "accelerator", "missed_ticks",
    "gap_reason",
)  # fmt: skip
TEXT_COLUMNS = ("host", "accelerator_uuid", "accelerator", "gap_reason")

_WHOLE_NUMBERS = ("memory_total_bytes", "memory_used_bytes", "memory_reserved_bytes")
_SMALL_NUMBERS = ("accelerator_index", "mig_index", "sm_clock_mhz", "temperature_celsius", "missed_ticks")
_SCHEMA_KEY = b"advisor.samples.schema"
_INTERVAL_KEY = b"advisor.samples.interval_seconds"


class UnreadableError(Exception):
    """The file is no (whole) file of samples; the message says why."""


@dataclass(frozen=True, slots=True)
class FileRows:
    """Rows of one file."""

    table: pa.Table
    interval_seconds: float


def encode(readings: Sequence[Reading], interval: timedelta) -> bytes:
    """Readings as the content of a file."""
    names = arrow_schema().names
    columns = {name: [_cell(reading, name) for reading in readings] for name in names}
    metadata = {_SCHEMA_KEY: SCHEMA.encode(), _INTERVAL_KEY: str(interval.total_seconds()).encode()}
    table = pa.table(columns, schema=arrow_schema().with_metadata(metadata))
    stream = io.BytesIO()
    pq.write_table(
        table, stream, compression="zstd", compression_level=9, write_statistics=False, store_schema=False,
        use_dictionary=list(TEXT_COLUMNS),
    )  # fmt: skip
    return stream.getvalue()
