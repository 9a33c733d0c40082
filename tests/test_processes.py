"""Processes: results worked out a few at a time are those worked out here, and none of the processes is left."""

import gc
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from advisor import LITTLE_GARBAGE
from advisor.processes import Spread

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


def told(script, seconds=30):
    """All that a script prints, in so many seconds at most."""
    out, err = started(script).communicate(timeout=seconds)
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


def test_beside_other_threads_nothing_is_forked():
    """A process with threads, whose locks a fork would keep, works all out itself."""
    script = """
import threading
from advisor.processes import Items
where = lambda: iter([os.getpid() == here])
threading.Thread(target=time.sleep, args=(1,)).start()
with Results(lambda _: os.getpid() == here, 2) as results, Items(where, where) as items:
    results.ahead([1])
    print(results(1), items[0])
"""
    assert told(script) == "True True\n"


ITEMS = """
from advisor.processes import Items
def items():
    for number in range(4):
        if number == 2 and os.getpid() != here:
            ENDS
        yield number, os.getpid() == here
"""


@pytest.mark.parametrize(("ahead", "beside"), [(0, 0), (1, 1), (2, 2)])
def test_items_are_the_same_here_and_ahead(ahead, beside):
    """So many items are worked out elsewhere, the others here, from the first on; each is asked for once or more."""
    script = f"""
from itertools import islice
ahead = lambda: islice(items(), {ahead})
with Items(items, ahead if {ahead} else None) as numbers:
    print([numbers[at] for at in (0, 1, 3, 1)])
"""
    expected = [(at, at >= beside) for at in (0, 1, 3, 1)]
    assert told(ITEMS.replace("ENDS", "pass") + script) == f"{expected}\n"


@pytest.mark.parametrize(
    "ends", ["os.kill(os.getpid(), signal.SIGKILL)", "1 / 0", "warnings.warn('mind', stacklevel=1)"]
)
def test_items_of_a_process_that_ends_early_are_made_good_here(ends):
    """From the first on that a killed, failing or warning process did not send they are worked out here."""
    script = """
with Items(items, items) as numbers:
    print([numbers[at] for at in range(4)])
"""
    expected = [(0, False), (1, False), (2, True), (3, True)]
    assert told("import warnings" + ITEMS.replace("ENDS", ends) + script) == f"{expected}\n"


def test_a_process_whose_items_nobody_waits_for_is_ended():
    """Leaving the block ends a process that is still at work; nothing is left of it."""
    script = """
from advisor.processes import Items
sleep = lambda: iter([time.sleep(60)])
with Items(sleep, sleep):
    pass
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print('none left')
"""
    assert told(script) == "none left\n"


def test_a_process_that_warns_is_made_good_here():
    """What is warned of is worked out here, where the warning is told once, as without processes."""
    script = """
import warnings
def result(key):
    if key == 'warns':
        warnings.warn('mind this', stacklevel=2)
    return os.getpid() == here
warnings.showwarning = lambda message, *_: print(message)
with Results(result, 2) as results:
    results.ahead(['warns', 'quiet'])
    print(results('warns'), results('quiet'))
"""
    assert told(script) == "mind this\nTrue False\n"


PLAN = """
import resource
from pathlib import Path
from advisor.pipeline import Basis, recommend
from advisor.plan.document import plan_to_json
from advisor.plan import rung_fleets
def planned(at_a_time):
    return plan_to_json(recommend(Path('examples/code/workload.yaml'), basis=Basis(at_a_time=at_a_time)))
"""


def test_a_plan_is_the_same_with_one_and_with_several_processors():
    """Parts of a plan that processes of their own work out make the plan that one process makes, to the letter."""
    script = """
alone = planned(1)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)
print(alone == planned(2) == planned(4))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime > 0.1)
"""
    assert told(PLAN + script, 300) == "0.0\nTrue\nTrue\n"


def test_nothing_of_another_process_is_worked_out_here_too():
    """Today's machines are judged beside the search, with the rungs; those that say why they have none take no work."""
    script = """
from advisor.plan import planning
cheapest, judged, here = rung_fleets.RungSolver.cheapest, planning.judged_current, []
def counted(function):
    return lambda *args, **options: (here.append(function), function(*args, **options))[1]
rung_fleets.RungSolver.cheapest, planning.judged_current = counted(cheapest), counted(judged)
planned(2)
print(len(here))
"""
    assert told(PLAN + script, 300) == "0\n"


def test_a_plan_whose_processes_end_early_is_the_same():
    """Rungs of processes that were killed are worked out here; what fails in all of them fails as in one process."""
    script = """
cheapest, alone = rung_fleets.RungSolver.cheapest, planned(1)
def killed(*args, **options):
    return cheapest(*args, **options) if os.getpid() == here else os.kill(os.getpid(), signal.SIGKILL)
rung_fleets.RungSolver.cheapest = killed
print(alone == planned(2))
def failing(solver, workload, below, **options):
    raise ValueError(' '.join(workload.accelerators))
rung_fleets.RungSolver.cheapest = failing
for at_a_time in (1, 2):
    try:
        planned(at_a_time)
    except ValueError as error:
        print(error)
"""
    same, *errors = told(PLAN + script, 300).splitlines()

    assert same == "True"
    assert len(errors) == 2
    assert errors[0] == errors[1]


def test_no_process_of_a_plan_outlives_an_interrupt():
    """Ctrl-C while rungs and replays are worked out elsewhere ends the command with one line, and all processes."""
    script = """
from advisor.cli import main
from advisor.plan import rung_fleets
from advisor.plan.replay.validator import ReplayValidator
rung_fleets.RungSolver.cheapest = ReplayValidator.holds_up_to = lambda *_, **__: time.sleep(60)
os.sched_getaffinity = lambda _: {0, 1}
sys.argv = ['advisor', 'recommend', 'examples/code/workload.yaml']
main()
"""
    process = started(script)
    until = time.monotonic() + 120
    while len(members(process.pid)) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(members(process.pid)) == 4
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert (out, err.count("\n")) == ("", 1)
    assert not members(process.pid)


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


def test_processes_look_for_cycles_as_seldom_as_a_command():
    """Planning makes few of them; looking for them took a twentieth of its time."""
    before = gc.get_threshold()
    with Spread(2).open() as run:
        assert list(run(eval, ["__import__('gc').get_threshold()[0]"] * 2)) == [LITTLE_GARBAGE] * 2
    assert gc.get_threshold() == before


def test_steps_of_processes_count_with_those_made_here():
    """Whoever watches sees one number, wherever a step is done; nobody does after the block."""
    script = """
from advisor.processes import Items
from advisor.watched_steps import step_done, steps_shown
def make():
    step_done()
    step_done()
    yield os.getpid() != here
shown = []
with steps_shown(shown.append):
    step_done()
    with Items(make, make) as items:
        print(items[0])
    step_done()
step_done()
print(shown)
"""
    assert told(script) == "True\n[1, 4]\n"
