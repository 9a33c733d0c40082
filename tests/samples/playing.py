"""Plays a scenario of the fake driver through the real source and rows, in virtual time: a day passes in seconds.

Run as a program of its own, because the dynamic linker reads LD_LIBRARY_PATH when a program starts.
"""

import argparse
import json
import mmap
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from advisor.errors import AdvisorError
from advisor.samples.agent.processes import Reader, Word, message
from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.agent.supervised import SourceRows
from advisor.samples.metrics import Missed, Reading, Record, Source, Target
from advisor.samples.sources.nvml import NvmlSource

START_US = 1_791_936_000_000_000
"""2026-10-14, midnight in UTC."""
US = 1_000_000


class VirtualTime:
    """Seconds that pass when they are told to, shared with the fake driver through a file."""

    def __init__(self, path: Path) -> None:
        """Start at zero."""
        path.write_bytes(struct.pack("<d", 0.0))
        with path.open("r+b") as stream:
            self._shared = mmap.mmap(stream.fileno(), 8)
        os.environ["FAKE_NVML_CLOCK"] = str(path)
        self._seconds = 0.0

    def seconds(self) -> float:
        """Since the start."""
        return self._seconds

    def move_to(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds = seconds
        self._shared[:8] = struct.pack("<d", seconds)


class Replaced:
    """The source, opened anew after it gave up, or at every tick, as by a supervisor that replaces its process."""

    def __init__(self, time: VirtualTime, *, at_every_tick: bool) -> None:
        """Nothing is open yet."""
        self._time = time
        self._at_every_tick = at_every_tick
        self._source: NvmlSource | None = None

    def read(self) -> Sequence[Reading | Missed]:
        """Readings, or nothing when it gives up, which is said."""
        try:
            self._source = self._source or NvmlSource("host-a", self._time.seconds)
            read = self._source.read()
        except AdvisorError as error:
            sys.stderr.write(f"error: {error}\n")
            self._close()
            return []
        if self._at_every_tick:
            self._close()
        return read

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source = None


def ticks(
    source: Source | Replaced, time: VirtualTime, seconds: float, interval: float = 1.0
) -> Iterator[tuple[int, Sequence[Reading | Missed]]]:
    """What is read at each tick, with its time in µs."""
    for number in range(1, round(seconds / interval) + 1):
        time.move_to(number * interval)
        yield START_US + round(number * interval * US), source.read()


def records_of(played: Iterator[tuple[int, Sequence[Reading | Missed]]], interval_us: int) -> Iterator[Record]:
    """Rows and gaps, through the messages that a process would send."""
    rows = SourceRows(Target("host-a", "nvml", None), interval_us, START_US)
    reader = Reader()
    for tick_us, read in played:
        for _, items in reader.feed(message(Word.TICK, tick_us, 0, interval_us, None, read)):
            yield from rows.take(tick_us, items[4], "the agent did not run at this time")
    yield from rows.close()


def as_line(tick_us: int, read: Reading | Missed) -> str:
    """One reading or miss as a line of JSON."""
    place = {"second": (tick_us - START_US) / US, "index": read.target.index, "mig_index": read.target.mig_index}
    who = {"uuid": read.target.uuid, "name": read.target.name}
    if isinstance(read, Missed):
        return json.dumps({**place, **who, "missed": read.reason})
    return json.dumps({**place, **who, "values": dict(read.values), "note": read.note})


def main() -> int:
    """Play what the arguments say; readings go to standard output, records to a directory where one is given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clock", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--records", type=Path)
    parser.add_argument("--replace", choices=["after errors", "at every tick"])
    given = parser.parse_args()
    time = VirtualTime(given.clock)
    try:
        source: Source | Replaced = (
            Replaced(time, at_every_tick=given.replace == "at every tick")
            if given.replace
            else NvmlSource("host-a", time.seconds)
        )
        played = ticks(source, time, given.seconds, given.interval)
        if given.records:
            spool = SpoolWriter(given.records, "host-a")
            spool.append(list(records_of(played, round(given.interval * US))))
            spool.close()
        else:
            for tick_us, read in played:
                sys.stdout.writelines(f"{as_line(tick_us, each)}\n" for each in read)
    except AdvisorError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
