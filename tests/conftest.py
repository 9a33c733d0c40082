"""What every test may ask for."""

import csv
import datetime as dt
import difflib
import os
import signal
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis.internal.conjecture import providers

from codegen import golden_stacks

# No deadline: machines differ. On CI the examples are the same at every run: what passed once passes again, and the
# search for new counterexamples goes on wherever people work, and so does the search for smaller ones, which takes
# minutes. Without this, examples would also hold constants of whichever modules a worker happens to have loaded.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
settings.load_profile("ci" if os.environ.get("CI") else "default")
if os.environ.get("CI"):
    providers._get_local_constants = lambda: providers._local_constants

# A shell's job in the background ignores interrupts, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
DAYS_PER_SECOND, MOST_DAYS = 3, 14
"""A test that takes n seconds comes up every 3n-th day, and within a fortnight."""
# Generated programs bring tests of their own, for their users.
collect_ignore = ["golden"]

# What the person who runs the tests has refreshed or negotiated must not enter their results.
_NOBODY = tempfile.TemporaryDirectory(prefix="advisor-tests-")
os.environ["XDG_CACHE_HOME"], os.environ["XDG_CONFIG_HOME"] = f"{_NOBODY.name}/cache", f"{_NOBODY.name}/config"


def long_tests() -> dict[str, int]:
    """In how many days each test comes up that takes long; .ci/long_tests.py writes the table."""
    with (ROOT / "tests" / "long_tests.csv").open(newline="") as file:
        return {row["test"]: min(DAYS_PER_SECOND * int(row["seconds"]), MOST_DAYS) for row in csv.DictReader(file)}


def pytest_collection_modifyitems(config, items):
    """Every n-th case of tests that are marked ``sampled(n)`` or take long, others and those marked ``daily`` every day.

    All with ADVISOR_EVERY_CASE=1 or by name.
    """
    if (
        os.environ.get("ADVISOR_EVERY_CASE") == "1"
        or config.option.keyword
        or any("::" in name for name in config.args)
    ):
        return
    day, places, others, turns = dt.datetime.now(dt.UTC).toordinal(), Counter(), [], long_tests()
    for item in items:
        if item.get_closest_marker("daily"):
            continue
        test = item.nodeid.partition("[")[0]
        marker = item.get_closest_marker("sampled")
        days = max(turns.get(test, 1), 1 if marker is None else marker.args[0])
        place, places[test] = places[test] + zlib.crc32(test.encode()), places[test] + 1
        if (place + day) % days:
            others.append(item)
    config.hook.pytest_deselected(items=others)
    left = set(others)
    items[:] = [item for item in items if item not in left]


def pytest_addoption(parser):
    """``--update-golden`` writes golden files anew instead of comparing with them."""
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_configure(config):
    """Before golden files are written anew, each is a file of its own; in the one process that starts the others."""
    if config.getoption("--update-golden") and not hasattr(config, "workerinput"):
        golden_stacks.unfold()


def pytest_sessionfinish(session):
    """After golden files were written anew, each text is kept once."""
    if session.config.getoption("--update-golden") and not hasattr(session.config, "workerinput"):
        golden_stacks.fold()


@pytest.fixture
def golden(request):
    """Compare a text with a golden file, showing the difference; or write it with ``--update-golden``."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        expected = path.read_text() if path.exists() else ""
        difference = difflib.unified_diff(expected.splitlines(), text.splitlines(), str(path), "now", lineterm="")
        assert expected == text, "\n".join(difference)

    return check


@pytest.fixture(scope="session")
def run_advisor():
    """Run the program as a user does: a process of its own, its output and its exit code."""

    def run(*arguments, cwd=ROOT, stdin=None, **environment) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "advisor", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
