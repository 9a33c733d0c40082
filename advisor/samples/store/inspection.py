"""What one file is, when it has to be known before, or after, a query meets it."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from advisor.samples.frame import UnreadableError
from advisor.samples.store.columns import HISTOGRAM_SCHEMA, INTERVAL_KEY, SCHEMA_KEY, SCHEMA_V1, SCHEMA_V2

_US_PER_SECOND = 1_000_000
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
    metadata = _metadata_of(path).metadata or {}
    try:
        seconds = float(metadata[INTERVAL_KEY])
    except (KeyError, ValueError) as error:
        raise UnreadableError("not written by `advisor agent run`") from error
    if metadata.get(SCHEMA_KEY, b"").decode(errors="replace") not in _KNOWN or not 0 < seconds < float("inf"):
        raise UnreadableError("written by another version of the agent")
    return seconds


def time_range_us(path: Path) -> tuple[int, int] | None:
    """First and last time in a file; None where it has no rows.

    Raises:
        UnreadableError: it was cut short, or the agent did not write it.
    """
    metadata = _metadata_of(path)
    position = metadata.schema.names.index("timestamp") if "timestamp" in metadata.schema.names else None
    if position is None:
        raise UnreadableError("it has no column timestamp")
    ranges = [metadata.row_group(number).column(position).statistics for number in range(metadata.num_row_groups)]
    known = [one for one in ranges if one is not None and one.has_min_max]
    if not known:
        return None
    return min(int(one.min_raw) for one in known), max(int(one.max_raw) for one in known)


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
