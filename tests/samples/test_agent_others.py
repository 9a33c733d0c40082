"""The other processes of an agent, its clock, and its settings."""

import os
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.samples.agent import compaction as agent_compaction
from advisor.samples.agent.compaction import EVERY_SECONDS, Compaction
from advisor.samples.agent.processes import Process, in_words
from advisor.samples.agent.settings import ClockWatch, Settings, clocks, stop_signals
from advisor.samples.agent.supervised import Asked, Patience


def wait_for(is_so):
    """Wait until it is so."""
    until = time.monotonic() + 20
    while not (found := is_so()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def python(code):
    """Command of a small program."""
    return (sys.executable, "-I", "-S", "-c", code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("pass", "ended with exit 0"),
        ("raise SystemExit(3)", "ended with exit 3"),
        ("import os; os.abort()", "was killed by SIGABRT"),
        ("import os; os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
    ],
)
def test_the_end_of_a_process_in_words(code, words):
    """Exit status or signal by its name."""
    process = Process(python(code))
    assert wait_for(process.ended) == words
    process.close()


def test_a_signal_without_a_name_is_a_number():
    """Real-time signals have none."""
    assert in_words(-40) == "was killed by signal 40"


def test_compaction_runs_every_hour_one_at_a_time(tmp_path):
    """It is started when an hour is over, in a process of the lowest priority, and not again while it runs."""
    marks = tmp_path / "marks"
    code = f"import os, time; open({str(marks)!r}, 'a').write(f'{{os.nice(0)}} '); time.sleep(0.2)"
    compaction = Compaction(python(code), lambda _: None, 0.0)
    compaction.tend(EVERY_SECONDS - 1)
    assert compaction.process_id is None
    compaction.tend(EVERY_SECONDS)
    first = compaction.process_id
    assert first is not None
    assert os.getpriority(os.PRIO_PROCESS, first) == 19
    compaction.tend(EVERY_SECONDS + 1)
    assert compaction.process_id == first
    wait_for(lambda: compaction.tend(EVERY_SECONDS + 2) or compaction.process_id is None)
    assert (compaction.runs, compaction.trouble) == (1, None)
    assert len(marks.read_text().split()) == 1


def test_a_compaction_that_fails_is_said_and_tried_again():
    """Its last words are reported, and it is due again in five minutes."""
    said = []
    compaction = Compaction(python("import sys; sys.exit('the disk is odd')"), said.append, 0.0)
    compaction.tend(EVERY_SECONDS)
    wait_for(lambda: compaction.tend(EVERY_SECONDS) or compaction.process_id is None)
    assert said == ["compaction ended with exit 1: the disk is odd; rows stay here, tried again in 5 minutes"]
    compaction.tend(EVERY_SECONDS + 299)
    assert compaction.process_id is None
    compaction.tend(EVERY_SECONDS + 300)
    assert compaction.process_id is not None
    wait_for(lambda: compaction.tend(EVERY_SECONDS) or compaction.process_id is None)


def test_a_compaction_that_never_ends_is_ended():
    """One that hangs with a bucket makes room for the next, which removes old days again."""
    said = []
    compaction = Compaction(python("import time; time.sleep(60)"), said.append, 0.0)
    compaction.tend(EVERY_SECONDS)
    for hours in (4, 5.1, 5.2):
        compaction.tend(hours * EVERY_SECONDS)
    wait_for(lambda: compaction.tend(5.2 * EVERY_SECONDS) or compaction.process_id is None)
    assert said == ["compaction was ended after 4 hours; rows stay here, tried again in 5 minutes"]
    assert compaction.runs == 1


def test_the_end_does_not_wait_for_ever(monkeypatch, tmp_path):
    """A bucket that does not answer leaves the last compaction to end by itself; it is told that it is the last."""
    monkeypatch.setattr(agent_compaction, "_LAST_SECONDS", 0.2)
    said, told = [], tmp_path / "told"
    code = f"import sys, time; open({str(told)!r}, 'w').write(' '.join(sys.argv[1:])); time.sleep(3)"
    compaction = Compaction(python(code), said.append, 0.0, ("--today",))
    compaction.finish(lambda: False)
    assert compaction.process_id is not None
    assert said == ["the last compaction takes long and is left to end by itself"]
    wait_for(told.exists)
    assert told.read_text() == "--today"


def test_the_last_compaction_is_waited_for(tmp_path):
    """The end of an agent comes after it, unless somebody has had enough."""
    done = tmp_path / "done"
    code = f"import os, time; time.sleep(0.2); open({str(done)!r}, 'w').write(str(os.nice(0)))"
    compaction = Compaction(python(code), lambda _: None, 0.0)
    compaction.finish(lambda: False)
    assert int(done.read_text()) < 19  # a host that is fully busy would keep the caller waiting for minutes
    endless = Compaction(python("import time; time.sleep(3)"), lambda _: None, 0.0)
    endless.finish(lambda: True)
    assert endless.process_id is not None


@given(wall=st.floats(0, 2e9), boot=st.floats(0, 1e7), passed=st.floats(0, 1e4))
def test_time_that_passes_is_nothing_to_speak_of(wall, boot, passed):
    """Clocks that go on together say nothing, however long it takes."""
    watch = ClockWatch(wall, boot, boot)
    assert watch.look(wall + passed, boot + passed, boot + passed) is None


def test_sleep_and_steps_of_the_clock_are_told_apart():
    """A machine that slept, a clock that was set forward, and one that was set back."""
    watch = ClockWatch(1000.0, 100.0, 100.0)
    assert watch.look(1601.0, 701.0, 101.0) == "the machine slept for 600 s"
    assert watch.look(1602.0, 702.0, 102.0) is None
    assert watch.look(5203.0, 703.0, 103.0) == "the clock was set forward by 3600 s"
    assert watch.look(1604.0, 704.0, 104.0) == "the clock was set back by 3600 s"
    assert ClockWatch(*clocks()).look(*clocks()) is None


def test_a_signal_to_stop_wakes_who_waits():
    """The pipe can be read as soon as the signal is there, and the next signal is told from the last."""
    with stop_signals() as stop:
        os.kill(os.getpid(), 15)
        assert os.read(stop.pipe, 1)
        assert stop.arrived
        stop.clear()
        assert not stop.arrived
        os.kill(os.getpid(), 2)
        assert stop.arrived


SETTINGS = Settings(
    output="a dir", host="höst", sources=(Asked("nvml"), Asked("engines", ("http://a/metrics", "http://b"))),
    interval_us=500_000, duration_us=7, quiet=True, page="127.0.0.1:1", page_tls=("a", "b", "c"), compact=False,
    patience=Patience(1.0, 2.0), keep_days=30, labels=(("team", "search"),),
)  # fmt: skip


def test_settings_survive_the_way_to_another_process():
    """What is asked on the command line is what runs."""
    assert Settings.from_argument(SETTINGS.as_argument()) == SETTINGS
    plain = Settings("samples", "host", (Asked("nvml"),))
    assert Settings.from_argument(plain.as_argument()) == plain
