"""Writes single readings (schema v1), as agents did before rows of fifteen seconds.

The files are ``<directory>/date=YYYY-MM-DD/host=<host>/part-<start>-<seq>.parquet``.

A file appears whole or not at all and is never touched again, so a crash loses at most the minute in memory. Several
hosts and agents may write into one directory.
"""

import errno
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from advisor.atomic_files import write_bytes
from advisor.errors import InputError
from advisor.samples.frame import TEXT_COLUMNS
from advisor.samples.places import day_folder
from advisor.samples.store.tick_files import COLUMNS, INTERVAL_KEY, SCHEMA, SCHEMA_KEY
from samples.tick_values import Reading, SampleGap

LONGEST_IN_MEMORY = timedelta(seconds=60)


class SampleWriter:
    """Takes the readings of one agent and writes a file a minute."""

    def __init__(
        self,
        directory: Path,
        host: str,
        interval: timedelta,
        started: datetime,
        longest_in_memory: timedelta = LONGEST_IN_MEMORY,
    ) -> None:
        """Make sure that the directory can be written to, before there is anything to lose.

        Raises:
            InputError: it cannot.
        """
        self._directory = directory
        self._host = host
        self._interval = interval
        self._stem = f"part-{started.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
        self._longest_in_memory = longest_in_memory
        self._readings: list[Reading] = []
        self._sequence = 0
        self.files_written = 0
        _make_directory(directory)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise _cannot_write(directory, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))

    def append(self, readings: Iterable[Reading]) -> None:
        """Take the readings of a tick; written at once when more than a minute would wait in memory.

        Raises:
            InputError: they cannot be written.
        """
        self._readings.extend(readings)
        if not self._readings:
            return
        held = self._readings[-1].timestamp - self._readings[0].timestamp + self._interval
        if held >= self._longest_in_memory:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory, a file for each date.

        Raises:
            InputError: it cannot be written; it then stays in memory.
        """
        for day, readings in _by_date(self._readings):
            folder = day_folder(self._directory, day, self._host)
            _make_directory(folder)
            self._write_file(folder, encode(readings, self._interval))
            self._readings = self._readings[len(readings) :]

    def _write_file(self, folder: Path, content: bytes) -> None:
        """Write under a name that no file has, even if another agent started in the same microsecond."""
        while True:
            path = folder / f"{self._stem}-{self._sequence:06d}.parquet"
            self._sequence += 1
            with _reserved(path) as is_mine:
                if is_mine:
                    write_bytes(path, content)
                    self.files_written += 1
                    return


def _by_date(readings: Sequence[Reading]) -> list[tuple[date, list[Reading]]]:
    """Runs of readings of the same date, in the order they came."""
    return [(day, list(run)) for day, run in groupby(readings, key=lambda reading: reading.timestamp.date())]


@contextmanager
def _reserved(path: Path) -> Iterator[bool]:
    """Hold a name against other agents while its file is written; False when it is taken."""
    reservation = path.with_name(f".{path.name}.reserved")
    try:
        reservation.touch(exist_ok=False)
    except FileExistsError:
        yield False
        return
    except OSError as error:
        raise _cannot_write(path.parent, error) from error
    try:
        yield not path.exists()
    finally:
        reservation.unlink(missing_ok=True)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(directory: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write here: {error.strerror}",
        where=str(directory),
        hint="give a directory that you may write to and that has space left: --output DIR",
    )


def encode(readings: Sequence[Reading], interval: timedelta) -> bytes:
    """Readings as the content of a file."""
    stream = io.BytesIO()
    with pq.ParquetWriter(
        stream,
        COLUMNS,
        compression="zstd",
        use_dictionary=list(TEXT_COLUMNS),
        write_statistics=["timestamp"],
        write_page_checksum=True,
    ) as writer:
        writer.write_table(pa.Table.from_pylist([_row(reading) for reading in readings], schema=COLUMNS))
        writer.add_key_value_metadata({SCHEMA_KEY: SCHEMA, INTERVAL_KEY: str(interval.total_seconds())})
    return stream.getvalue()


def _row(reading: Reading) -> dict[str, Any]:
    """A reading by column; columns it does not name are null."""
    if isinstance(reading, SampleGap):
        return {**asdict(reading), "gap_reason": reading.reason}
    return {**asdict(reading), "missed_ticks": 0}
