"""The sampling loop: clock in, samples out.

Ticks are the whole multiples of the interval since 1970 in UTC, so the schedule cannot drift, and two agents that watch
the same accelerator write the same timestamps. A tick that was slept through, or that a slow driver swallowed, is
recorded as a gap. Whatever ends the loop, what was read is written first.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from advisor.samples.values import Reading, SampleGap, SampleSource

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MISSED = "the agent did not run at this time"

Report = Callable[[str], None]


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> datetime:
        """The time in UTC."""
        ...

    def wait(self, span: timedelta) -> bool:
        """Wait that long, or until told to stop: True means stop."""
        ...


class SampleSink(Protocol):
    """Where samples go."""

    def append(self, readings: Iterable[Reading]) -> None:
        """Take the readings of one tick."""
        ...

    def flush(self) -> None:
        """Make sure that everything taken so far is kept."""
        ...


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run of the agent recorded."""

    samples: int
    missed_readings: int


def run_agent(
    source: SampleSource,
    sink: SampleSink,
    clock: Clock,
    interval: timedelta,
    duration: timedelta | None = None,
    report: Report = lambda _: None,
) -> RunSummary:
    """Sample until the duration is over or the clock says stop.

    Args:
        source: what is read.
        sink: where readings go; flushed at the end, whatever happens.
        clock: time, and the word to stop.
        interval: time between two ticks.
        duration: time from now to the last tick; None: until told to stop.
        report: told when an accelerator stops or starts answering.

    Raises:
        InputError: the source can read nothing any more, or the sink cannot write.
    """
    loop = _Loop(source, sink, clock, interval, report)
    try:
        loop.run(duration)
    finally:
        sink.flush()
    return RunSummary(loop.samples, loop.missed_readings)


class _Loop:
    """The state of a run: the next tick, what was counted, and who does not answer."""

    def __init__(
        self, source: SampleSource, sink: SampleSink, clock: Clock, interval: timedelta, report: Report
    ) -> None:
        self._source = source
        self._sink = sink
        self._clock = clock
        self._interval = interval
        self._report = report
        self._silent: set[tuple[int, int | None]] = set()
        self.samples = 0
        self.missed_readings = 0

    def run(self, duration: timedelta | None) -> None:
        """One reading per tick, in time with the clock."""
        now = self._clock.now()
        last = None if duration is None else self._tick_at(now + duration)
        tick = self._tick_at(now) + self._interval
        while last is None or tick <= last:
            if self._clock.wait(max(tick - now, timedelta())):
                return
            now = self._clock.now()
            if now >= tick:
                latest = self._tick_at(now) if last is None else min(self._tick_at(now), last)
                self._read(tick, latest)
                tick = latest + self._interval
                now = self._clock.now()
            # A clock that was set back would leave the agent waiting for the old time to come again.
            tick = min(tick, self._tick_at(now) + self._interval)

    def _read(self, due: datetime, latest: datetime) -> None:
        """Read at the latest tick; those since the due one were missed."""
        if latest > due:
            self._take(self._source.missed(latest - self._interval, (latest - due) // self._interval, MISSED))
        self._take(self._source.read(latest))

    def _tick_at(self, moment: datetime) -> datetime:
        """The last tick at or before *moment*."""
        return moment - (moment - EPOCH) % self._interval

    def _take(self, readings: Iterable[Reading]) -> None:
        readings = list(readings)
        for reading in readings:
            if isinstance(reading, SampleGap):
                self.missed_readings += reading.missed_ticks
            else:
                self.samples += 1
            self._announce(reading)
        self._sink.append(readings)

    def _announce(self, reading: Reading) -> None:
        """Say once that an accelerator stopped answering, and once that it answers again."""
        key = (reading.accelerator_index, reading.mig_index)
        place = f"accelerator {key[0]}" if key[1] is None else f"accelerator {key[0]}, MIG instance {key[1]}"
        if isinstance(reading, SampleGap):
            if reading.reason != MISSED and key not in self._silent:
                self._silent.add(key)
                self._report(f"{place} does not answer ({reading.reason}); recorded as a gap, the others go on")
        elif key in self._silent:
            self._silent.remove(key)
            self._report(f"{place} answers again")
