"""The process of a source: its pace, its ticks, and its end."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import InputError
from advisor.samples.agent.processes import Pace, Reader, Ticking, Word
from advisor.samples.metrics import Reading, Target

SECOND = 1_000_000
TARGET = Target("host", "nvml", 0)


class CountingSource:
    """Readings that are there at once, until there are no more."""

    def __init__(self, readings):
        """So many readings."""
        self.left = readings

    def read(self):
        """One reading."""
        if not self.left:
            raise InputError("the driver is gone")
        self.left -= 1
        return [Reading(TARGET, {"busy_ratio": 0.5})]

    def describe(self):
        """What it is."""
        return "one"

    def close(self):
        """Nothing to close."""


class SetClock:
    """A clock whose waits take no time, and that somebody sets during some of them."""

    def __init__(self, jumps=()):
        """Start a quarter of a second after a whole one; each wait that is listed jumps by so many µs besides."""
        self.time_us = 1_791_936_000_250_000
        self.jumps = list(jumps)

    def now_us(self):
        """The time."""
        return self.time_us

    def wait(self, seconds):
        """Be that much later, and a jump."""
        self.time_us += round(seconds * SECOND) + (self.jumps.pop(0) if self.jumps else 0)
        return False


def run_to_the_end(ticking):
    """Until the source has no more readings."""
    with pytest.raises(InputError, match="the driver is gone"):
        ticking.run()


def ticks_of(said):
    """The ticks of messages, in order."""
    return [items[0] for word, items in Reader().feed(b"".join(said)) if word is Word.TICK]


def test_a_slow_driver_is_read_less_and_a_quick_one_again():
    """Readings that take half of the time between them are spread out, by steps, up to fifteen seconds, and back."""
    pace = Pace(SECOND)
    steps = []
    for _ in range(20):
        pace.took(pace.step_us // 2)
        steps.append(pace.step_us // SECOND)
    assert sorted(set(steps)) == [1, 2, 4, 8]
    assert steps == sorted(steps)
    for _ in range(100):
        pace.took(1000)
    assert pace.step_us == SECOND


def test_a_single_slow_reading_changes_nothing():
    """A driver that is slow once in a while is read as before."""
    pace = Pace(SECOND)
    for at in range(100):
        pace.took(SECOND if at % 3 == 0 else 1000)
    assert pace.step_us == SECOND


def test_ticks_are_whole_multiples_of_the_interval():
    """Whatever the time of the start, ticks lie on the grid of UTC and none is read twice."""
    said = []
    clock = SetClock()
    run_to_the_end(Ticking(CountingSource(5), Pace(100_000), said.append, clock.wait, clock.now_us))
    ticks = ticks_of(said)
    assert len(set(ticks)) == 5
    assert ticks == sorted(ticks)
    assert all(tick % 100_000 == 0 for tick in ticks)


def test_a_clock_that_is_set_back_is_followed_at_once():
    """The old time is not waited for: readings go on at the new one, an hour before."""
    said, clock = [], SetClock([0, 0, -3600 * SECOND])
    run_to_the_end(Ticking(CountingSource(5), Pace(SECOND), said.append, clock.wait, clock.now_us))
    first, second, third, *_ = ticks_of(said)
    assert second - first == SECOND
    assert first - third == pytest.approx(3600 * SECOND, abs=4 * SECOND)


def test_a_time_that_was_slept_through_is_skipped():
    """Ten minutes asleep are no reading for each tick of them: the next reading is of now."""
    said, clock = [], SetClock([0, 600 * SECOND])
    run_to_the_end(Ticking(CountingSource(3), Pace(SECOND), said.append, clock.wait, clock.now_us))
    first, second, third = ticks_of(said)
    assert 600 * SECOND <= second - first <= 602 * SECOND
    assert third - second == SECOND


def test_a_long_wait_is_full_of_signs_of_life():
    """With an hour between readings something is said every five seconds."""
    said, clock = [], SetClock()
    run_to_the_end(Ticking(CountingSource(1), Pace(3600 * SECOND), said.append, clock.wait, clock.now_us))
    words = [word for word, _ in Reader().feed(b"".join(said))]
    assert words.count(Word.BEAT) > 600


@given(
    interval_us=st.sampled_from([100_000, SECOND, 7 * SECOND]),
    jumps=st.lists(st.integers(-7200 * SECOND, 7200 * SECOND), max_size=20),
)
def test_ticks_lie_on_the_grid_whatever_the_clock_does(interval_us, jumps):
    """Each tick is a whole multiple of the interval, and of the time that the clock shows then."""
    said, clock = [], SetClock(jumps)
    source = CountingSource(10)
    seen = []
    source_read = source.read
    source.read = lambda: seen.append(clock.time_us) or source_read()
    run_to_the_end(Ticking(source, Pace(interval_us), said.append, clock.wait, clock.now_us))
    for tick, time_us in zip(ticks_of(said), seen, strict=False):
        assert tick % interval_us == 0
        assert 0 <= time_us - tick < interval_us


def run_child(*arguments, seconds=0.5):
    """Start a source's process, and close its input after a while; its messages and exit status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "advisor.samples.agent.processes", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "LD_LIBRARY_PATH": "/nonexistent"},
    )  # fmt: skip
    time.sleep(seconds)
    said, complained = process.communicate(timeout=60)
    assert complained == b""
    return list(Reader().feed(said)), process.returncode


def test_a_source_that_cannot_be_opened_says_why():
    """The last message is what is wrong and how to fix it; the exit status is 1."""
    messages, status = run_child("neuron", "host", "100000")
    assert status == 1
    ((word, (said, hint)),) = messages
    assert (word, said) == (Word.FAILED, "no program neuron-monitor on this host")
    assert hint.startswith("install aws-neuronx-tools")


def test_a_name_that_is_no_source_says_so():
    """There is no traceback for it either."""
    messages, status = run_child("nonsense", "host", "100000")
    assert status == 1
    assert messages[0][1][0] == "'nonsense' is not a source"
