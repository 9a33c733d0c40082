"""Processes: results worked out a few at a time are those worked out here, and none of the processes is left."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HERE = """
import os, signal, sys, time
from advisor.processes import Results
here = os.getpid()
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")


def started(script):
    """A Python process of its own, alone in its group, that has begun: pytest's has threads, and is not forked."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", HERE + script],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def told(script):
    """All that a script prints."""
    out, err = started(script).communicate(timeout=30)
    assert err == ""
    return out


def members(group):
    """Processes of a group that have not ended."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            stats.append(path.read_text().rpartition(")")[2].split())
    return [stat for stat in stats if stat[2] == str(group) and stat[0] != "Z"]


def test_results_are_the_same_here_and_beside():
    """Several at a time are worked out elsewhere, one at a time here, with equal results in whatever order."""
    script = """
for at_a_time in (1, 3):
    with Results(lambda key: (key ** 2, os.getpid() == here), at_a_time) as results:
        results.ahead(range(5))
        print([results(key) for key in (4, 0, 2, 2, 7)])
"""
    here, beside = map(eval, told(script).splitlines())

    assert [square for square, _ in here] == [square for square, _ in beside] == [16, 0, 4, 4, 49]
    assert all(is_here for _, is_here in here)
    assert not any(is_here for _, is_here in beside)


def test_what_was_asked_for_last_is_worked_out_first():
    """Of results that wait for a process the newest are begun before the others."""
    script = """
with Results(lambda key: (time.sleep(key == 'long'), time.monotonic())[1], 2) as results:
    results.ahead(['long', 'short', 'early'])
    results.ahead(['late'])
    print(results('late') < results('early') < results('long'))
"""
    assert told(script) == "True\n"


def test_a_process_that_is_killed_or_fails_is_made_good_here():
    """What was killed is worked out here; what raises raises the same error here, whole; no process is left."""
    script = """
def result(key):
    if key == 'killed' and os.getpid() != here:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1 / 0 if key == 'raises' else os.getpid() == here
with Results(result, 2) as results:
    results.ahead(['killed', 'raises'])
    print(results('killed'))
    try:
        results('raises')
    except ZeroDivisionError as error:
        print(error, error.__traceback__.tb_next is not None)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print('none left')
"""
    assert told(script) == "True\ndivision by zero True\nnone left\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_an_interrupt_or_a_kill(how):
    """Ctrl-C reaches the process that waits alone, and however that ends, the others end with it and print nothing."""
    script = """
try:
    with Results(time.sleep, 2) as results:
        results.ahead([60, 61])
        print('begun')
        results(60)
except KeyboardInterrupt:
    print('interrupted')
"""
    process = started(script)
    assert process.stdout.readline() == "begun\n"
    assert len(members(process.pid)) == 3
    if how is signal.SIGINT:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    out, err = process.communicate(timeout=30)

    assert out == ("interrupted\n" if how is signal.SIGINT else "")
    assert err == ""
    until = time.monotonic() + 10
    while members(process.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not members(process.pid)
