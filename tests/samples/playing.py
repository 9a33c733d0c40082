"""Plays a scenario of the fake driver through the real agent, in virtual time: a day passes in seconds.

Run as a program of its own, because the dynamic linker reads LD_LIBRARY_PATH when a program starts.
"""

import argparse
import mmap
import os
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from advisor.errors import AdvisorError
from advisor.samples.agent import RunSummary, run_agent
from advisor.samples.nvml import NvmlSource
from advisor.samples.store import LONGEST_IN_MEMORY, SampleWriter

START = datetime(2026, 10, 14, tzinfo=UTC)


class VirtualClock:
    """A clock that a wait moves on at once, shared with the fake driver through a file."""

    def __init__(self, path: Path, sleep_at: float | None = None, sleep_seconds: float = 0.0, pace: float = 0.0):
        """Start at zero; the machine sleeps once at *sleep_at*, and each wait takes *pace* real seconds."""
        path.write_bytes(struct.pack("<d", 0.0))
        with path.open("r+b") as stream:
            self._shared = mmap.mmap(stream.fileno(), 8)
        os.environ["FAKE_NVML_CLOCK"] = str(path)
        self._seconds = 0.0
        self._sleep_at = sleep_at
        self._sleep_seconds = sleep_seconds
        self._pace = pace

    def now(self) -> datetime:
        """The time in UTC."""
        return START + timedelta(seconds=self._seconds)

    def wait(self, span: timedelta) -> bool:
        """Be that much later."""
        time.sleep(self._pace)
        self._seconds = round(self._seconds + span.total_seconds(), 6)
        if self._sleep_at is not None and self._seconds >= self._sleep_at:
            self._seconds += self._sleep_seconds
            self._sleep_at = None
        self._shared[:8] = struct.pack("<d", self._seconds)
        return False


def say(text: str) -> None:
    """Talk on stderr."""
    sys.stderr.write(f"{text}\n")


def play(
    output: Path,
    clock: VirtualClock,
    interval: timedelta,
    duration: timedelta | None,
    host: str = "host-a",
    longest_in_memory: timedelta = LONGEST_IN_MEMORY,
) -> RunSummary:
    """Run the agent; what it has to say goes to stderr."""
    source = NvmlSource(host)
    writer = SampleWriter(output, host, interval, clock.now(), longest_in_memory)
    try:
        return run_agent(source, writer, clock, interval, duration, say)
    finally:
        source.close()


def main() -> int:
    """Play what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    parser.add_argument("--clock", type=Path, required=True)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--interval", type=float, default=1.0)
    parser.add_argument("--host", default="host-a")
    parser.add_argument("--sleep-at", type=float)
    parser.add_argument("--sleep-seconds", type=float, default=0.0)
    parser.add_argument("--pace", type=float, default=0.0)
    given = parser.parse_args()
    clock = VirtualClock(given.clock, given.sleep_at, given.sleep_seconds, given.pace)
    duration = None if given.seconds is None else timedelta(seconds=given.seconds)
    try:
        play(given.output, clock, timedelta(seconds=given.interval), duration, given.host)
    except AdvisorError as error:
        say(f"error: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
