"""What one file is, when it has to be known before, or after, a query meets it."""

import math
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from advisor.samples.frame import UnreadableError
from advisor.samples.places import US_PER_SECOND
from advisor.samples.store.columns import HISTOGRAM_SCHEMA, INTERVAL_KEY, SCHEMA_KEY, SCHEMA_V1, SCHEMA_V2

_KNOWN = (SCHEMA_V1, SCHEMA_V2, HISTOGRAM_SCHEMA)


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file that was looked at."""

    columns: frozenset[str]
    reason: str | None = None
    """Why it cannot be used; None: it can."""


def inspect(path: Path) -> Inspected:
    """Read a file whole, with every page's checksum proved."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            schema = (file.metadata.metadata or {}).get(SCHEMA_KEY, b"").decode(errors="replace")
            if schema not in _KNOWN:
                return Inspected(frozenset(), f"written as {schema or 'something else'}, which is not known here")
            file.read(use_threads=False)
            return Inspected(frozenset(file.schema_arrow.names))
    except (pa.ArrowException, OSError, ValueError) as error:
        return Inspected(frozenset(), f"cut short or damaged ({str(error).splitlines()[0].rstrip('. ')})")


def interval_of(path: Path) -> float:
    """Seconds that a row of a file speaks of.

    Raises:
        UnreadableError: it was cut short, or the agent did not write it.
    """
    return _interval(_metadata_of(path))


def time_range_us(path: Path) -> tuple[int, int] | None:
    """Begin of the first row in a file and end of the last; None where it has no rows.

    Raises:
        UnreadableError: it was cut short, or the agent did not write it.
    """
    metadata = _metadata_of(path)
    row_us = round(_interval(metadata) * US_PER_SECOND)
    columns = [metadata.row_group(number).column(0) for number in range(metadata.num_row_groups)]
    if any(column.path_in_schema != "timestamp" for column in columns):
        raise UnreadableError("it has no column timestamp")
    known = [column.statistics for column in columns if column.is_stats_set and column.statistics.has_min_max]
    if not known:
        return None
    return min(int(one.min_raw) for one in known) - row_us, max(int(one.max_raw) for one in known)


def _interval(metadata: pq.FileMetaData) -> float:
    named = metadata.metadata or {}
    try:
        seconds = float(named[INTERVAL_KEY])
    except (KeyError, ValueError) as error:
        raise UnreadableError("not written by `advisor agent run`") from error
    if named.get(SCHEMA_KEY, b"").decode(errors="replace") not in _KNOWN or not 0 < seconds < math.inf:
        raise UnreadableError("written by another version of the agent")
    return seconds


def uuids_of(path: Path) -> list[str]:
    """UUIDs of accelerators in a file of rows or counts; none where it cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            return [uuid for uuid in file.read(["accelerator_uuid"])[0].unique().to_pylist() if uuid is not None]
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError):
        return []


def _metadata_of(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableError(f"cut short or damaged ({str(error).splitlines()[0].rstrip('. ')})") from error
