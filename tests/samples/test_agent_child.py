"""The process of a source: its pace, its ticks, and its end."""

import os
import subprocess
import sys
import time

import pytest

from advisor.errors import InputError
from advisor.samples.agent.child import Pace, Ticking
from advisor.samples.agent.protocol import Reader, Word
from advisor.samples.rows import Reading, Target

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
    ticking = Ticking(CountingSource(5), Pace(100_000), said.append, lambda seconds: time.sleep(seconds) or False)
    with pytest.raises(InputError, match="the driver is gone"):
        ticking.run()
    messages = [each for content in said for each in Reader().feed(content)]
    ticks = [items[0] for word, items in messages if word is Word.TICK]
    assert len(set(ticks)) == 5
    assert ticks == sorted(ticks)
    assert all(tick % 100_000 == 0 for tick in ticks)


def run_child(*arguments, seconds=0.5):
    """Start a source's process, and close its input after a while; its messages and exit status."""
    process = subprocess.Popen(
        [sys.executable, "-m", "advisor.samples.agent.child", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "LD_LIBRARY_PATH": "/nonexistent"},
    )  # fmt: skip
    time.sleep(seconds)
    said, complained = process.communicate(timeout=10)
    assert complained == b""
    return list(Reader().feed(said)), process.returncode


def test_a_source_that_cannot_be_opened_says_why():
    """The last message is what is wrong and how to mend it; the exit status is 1."""
    messages, status = run_child("neuron", "host", "100000")
    assert status == 1
    ((word, (said, hint)),) = messages
    assert (word, said) == (Word.FAILED, "no program neuron-monitor on this host")
    assert hint.startswith("install aws-neuronx-tools")


def test_a_name_that_is_no_source_says_so():
    """There is no traceback for it either."""
    messages, status = run_child("nonsense", "host", "100000")
    assert status == 1
    assert messages[0][1][0] == "'nonsense' is no source"
