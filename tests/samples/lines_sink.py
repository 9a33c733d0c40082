"""Keeps records as lines of JSON, for tests of what comes before the store."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from advisor.errors import InputError
from advisor.samples.rows import Gap, Record


class LinesSink:
    """``records.jsonl`` in the directory: every record on a line, with its kind."""

    def __init__(self, directory: Path, host: str) -> None:  # noqa: ARG002 - as the spool has it
        """Open the file."""
        directory.mkdir(parents=True, exist_ok=True)
        self._stream = (directory / "records.jsonl").open("ab", buffering=0)

    def append(self, records: Sequence[Record]) -> None:
        """Write them."""
        self._stream.write(b"".join(_line(record) for record in records))

    def sync(self) -> None:
        """Make sure that they are there."""
        os.fdatasync(self._stream.fileno())

    def close(self) -> None:
        """The end."""
        self._stream.close()


class FullAtFirstSink(LinesSink):
    """Has no room the first time."""

    _was_asked = False

    def append(self, records: Sequence[Record]) -> None:
        """Refuse, then write."""
        if not self._was_asked:
            self._was_asked = True
            raise InputError("no space left")
        super().append(records)


class FullSink(LinesSink):
    """Has no room at all."""

    def append(self, records: Sequence[Record]) -> None:
        """Refuse."""
        raise InputError(f"no space left for {len(records)} records")


def _line(record: Record) -> bytes:
    """One record as a line."""
    kind = "gap" if isinstance(record, Gap) else "row"
    return json.dumps({"kind": kind, **asdict(record)}).encode() + b"\n"
