"""The sampling loop against a clock and a source that live in memory."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.agent import EPOCH, run_agent
from advisor.samples.values import AcceleratorSample, SampleGap

NOON = datetime(2026, 10, 14, 12, 0, 0, 250_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class MemoryClock:
    """A clock whose waits take no time; it can be put forward and back, and says stop after some waits."""

    def __init__(self, start=NOON, stop_after=None):
        """Start at a time; *stop_after* waits without end."""
        self.time = start
        self.waits = 0
        self.stop_after = stop_after
        self.at_wait = {}

    def now(self):
        """The time."""
        return self.time

    def wait(self, span):
        """Be that much later, and do what was planned for this wait."""
        self.waits += 1
        if self.stop_after is not None and self.waits > self.stop_after:
            return True
        self.time += span + self.at_wait.get(self.waits, timedelta())
        return False


class MemorySource:
    """One accelerator whose readings take as long as they are told to."""

    def __init__(self, clock, reading_takes=timedelta(), fails_at=None):
        """Read against *clock*; fail at the reading of that number."""
        self.clock = clock
        self.reading_takes = reading_takes
        self.fails_at = fails_at
        self.read_count = 0

    def read(self, timestamp):
        """One sample."""
        self.read_count += 1
        if self.read_count == self.fails_at:
            raise InputError("the driver is gone")
        self.clock.time += self.reading_takes
        return [AcceleratorSample(timestamp, "host", 0, None, "GPU-0", "A100")]

    def missed(self, timestamp, missed_ticks, reason):
        """One gap."""
        return [SampleGap(timestamp, "host", 0, None, "GPU-0", "A100", missed_ticks, reason)]

    def describe(self):
        """What it is."""
        return "1 × A100"

    def close(self):
        """Nothing to close."""


class MemorySink:
    """Keeps what it is given, and counts flushes."""

    def __init__(self):
        """Start empty."""
        self.readings = []
        self.flushes = 0

    def append(self, readings):
        """Take readings."""
        self.readings.extend(readings)

    def flush(self):
        """Count."""
        self.flushes += 1


def seconds_of(readings):
    """Timestamps as seconds after noon."""
    return [(reading.timestamp - NOON.replace(microsecond=0)).total_seconds() for reading in readings]


def test_ticks_are_whole_multiples_of_the_interval():
    """A run that starts at 12:00:00.25 for five seconds reads at 1, 2, 3, 4 and 5 s: no drift, no odd start."""
    clock, sink = MemoryClock(), MemorySink()
    summary = run_agent(MemorySource(clock, timedelta(milliseconds=30)), sink, clock, SECOND, timedelta(seconds=5))
    assert seconds_of(sink.readings) == [1, 2, 3, 4, 5]
    assert (summary.samples, summary.missed_readings, sink.flushes) == (5, 0, 1)


def test_a_slow_reading_leaves_gaps_for_the_ticks_it_swallowed():
    """Readings of 2.5 s at an interval of 1 s: the ticks that pass meanwhile are recorded as one gap each time."""
    # Read at 1 (until 3.5), 3 (until 6), 6 (until 8.5), 8; missed 2, then 4 and 5, then 7.
    clock, sink = MemoryClock(), MemorySink()
    run_agent(MemorySource(clock, timedelta(seconds=2.5)), sink, clock, SECOND, timedelta(seconds=8))
    kinds = [(type(reading).__name__, getattr(reading, "missed_ticks", 0)) for reading in sink.readings]
    assert kinds == [
        ("AcceleratorSample", 0), ("SampleGap", 1), ("AcceleratorSample", 0), ("SampleGap", 2),
        ("AcceleratorSample", 0), ("SampleGap", 1), ("AcceleratorSample", 0),
    ]  # fmt: skip
    assert seconds_of(sink.readings) == [1, 2, 3, 5, 6, 7, 8]


def test_a_night_asleep_is_one_gap():
    """A machine that sleeps for eight hours records one gap of that many ticks, not one row for each."""
    clock, sink = MemoryClock(), MemorySink()
    clock.at_wait[3] = timedelta(hours=8)
    summary = run_agent(MemorySource(clock), sink, clock, SECOND, timedelta(hours=8, seconds=4))
    gaps = [reading for reading in sink.readings if isinstance(reading, SampleGap)]
    assert [gap.missed_ticks for gap in gaps] == [8 * 3600]
    assert summary.samples + summary.missed_readings == 8 * 3600 + 4


def test_a_clock_set_back_does_not_stall_the_agent():
    """After the clock goes back an hour the next reading comes within a tick of the new time, not an hour later."""
    clock, sink = MemoryClock(), MemorySink()
    clock.at_wait[3] = -timedelta(hours=1)
    clock.stop_after = 6
    run_agent(MemorySource(clock), sink, clock, SECOND)
    assert seconds_of(sink.readings) == [1, 2, -3596, -3595, -3594]


def test_stop_is_heard_even_when_every_reading_is_late():
    """A driver slower than the interval leaves no time to wait, and the agent still stops when told to."""
    clock, sink = MemoryClock(stop_after=4), MemorySink()
    run_agent(MemorySource(clock, timedelta(seconds=30)), sink, clock, SECOND)
    assert sum(isinstance(reading, AcceleratorSample) for reading in sink.readings) == 4
    assert sink.flushes == 1


def test_what_was_read_is_flushed_when_the_source_fails():
    """An error of the source ends the run with everything flushed, and is passed on."""
    clock, sink = MemoryClock(), MemorySink()
    with pytest.raises(InputError, match="the driver is gone"):
        run_agent(MemorySource(clock, fails_at=3), sink, clock, SECOND)
    assert len(sink.readings) == 2
    assert sink.flushes == 1


@given(
    interval_ms=st.integers(100, 90_000),
    start_us=st.integers(0, 10**12),
    delays_ms=st.dictionaries(st.integers(1, 40), st.integers(0, 200_000), max_size=6),
    reading_ms=st.integers(0, 5_000),
)
def test_every_tick_is_read_or_recorded_as_missed(interval_ms, start_us, delays_ms, reading_ms):
    """Whatever the delays, samples and missed ticks add up to the ticks of the run, and all lie on the grid."""
    interval = timedelta(milliseconds=interval_ms)
    clock, sink = MemoryClock(NOON + timedelta(microseconds=start_us)), MemorySink()
    clock.at_wait = {wait: timedelta(milliseconds=delay) for wait, delay in delays_ms.items()}
    start = clock.time
    run_agent(MemorySource(clock, timedelta(milliseconds=reading_ms)), sink, clock, interval, 30 * interval)
    ticks = (start + 30 * interval - EPOCH) // interval - (start - EPOCH) // interval
    assert sum(getattr(reading, "missed_ticks", 1) for reading in sink.readings) == ticks
    assert all((reading.timestamp - EPOCH) % interval == timedelta() for reading in sink.readings)
    times = [reading.timestamp for reading in sink.readings]
    assert times == sorted(set(times))
