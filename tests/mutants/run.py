"""Mutation testing of the modules that compute money, memory and capacity: ``python tests/mutants/run.py [module …]``.

Each mutant is put into a copy of this process (``fork``) that has the tests collected, and there run the tests that
reach its line, until one fails. What nothing kills is printed; results are kept in
``build/mutants.jsonl``: a mutant that was killed is not tried again while its module is the same, one that survived is.
"""

import csv
import gc
import hashlib
import importlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from advisor.performance.model import shipped_model  # noqa: E402 - the line above finds what follows
from mutants.mutations import Mutant, apply, equivalents, forget_results, function_at, mutants_of  # noqa: E402
from recompute.drawn import drawn  # noqa: E402

if TYPE_CHECKING:
    from types import CodeType

RESULTS = TESTS.parent / "build" / "mutants.jsonl"
REACHED = RESULTS.with_name("mutants-reached.jsonl")
LONG_TESTS = TESTS / "long_tests.csv"
MODULES = (
    "advisor.units", "advisor.cost", "advisor.cost.services", "advisor.performance.transfer",
    "advisor.models.memory", "advisor.models.layer_kinds", "advisor.models.weights", "advisor.models.layers",
    "advisor.plan.problem.formulas",
    "advisor.plan.problem.charges", "advisor.plan.problem.constraints", "advisor.plan.problem.hours", "advisor.plan.fleet.describe",
    "advisor.plan.fleet.spare", "advisor.plan.fleet.choose", "advisor.plan.spot", "advisor.plan.cold_start",
    "advisor.plan.solve.shares", "advisor.plan.solve.alone",
)  # fmt: skip
SUITE = (
    "test_units.py", "cost", "models", "recompute", "plan/problem", "plan/fleet", "plan/solve/test_shares.py",
    "plan/solve/test_alone.py", "plan/solve/test_counted.py", "plan/solve/test_simple.py", "plan/test_cold_start.py",
    "plan/test_spot.py", "plan/test_scaling.py", "plan/test_remedies.py", "plan/test_options.py", "plan/test_document.py",
    "plan/test_geography.py", "plan/test_managed.py", "plan/test_serverless.py", "performance/test_transfer.py",
    "report/test_plan_report.py", "report/test_cost_lines.py", "test_slices.py",
)  # fmt: skip
"""Tests of these modules, and the quick ones of whole plans."""
LONGEST_S = 3.0
"""Tests that take longer are left out, and so many seconds more than tests usually take make a mutant one that hangs."""
_TRACED = 4
"""So many times as long takes a test at most while it is asked what it reaches."""
MOST_S = 8.0
"""Of all tests of one mutant."""


class Runner:
    """Plugin of pytest that runs mutants in place of the collected tests."""

    def __init__(self, modules: Sequence[str]) -> None:
        """Try the mutants of some modules."""
        self.modules = [importlib.import_module(name) for name in modules]
        every = [importlib.import_module(name) for name in MODULES]
        self.files = {module.__file__ for module in every}
        self.constants = {name: value for module in every for name, value in vars(module).items() if name.isupper()}
        self.reached: dict[tuple[str, int | str], list[int]] = {}
        """Tests by file and line, and by ("", name of a constant)."""
        self.seconds: dict[int, float] = {}
        self.killers: dict[tuple[str, str], list[int]] = {}
        """Tests that killed other mutants of a module's function or constant."""
        self.equivalent = equivalents()
        self.counts = dict.fromkeys(("killed", "survived", "not reached", "equivalent"), 0)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what is known to take long."""
        long = {row["test"] for row in _rows(LONG_TESTS) if float(row["seconds"]) > LONGEST_S}
        items[:] = [item for item in items if item.nodeid.partition("[")[0] not in long or "[" in item.nodeid]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Ask each test what it reaches, then try each mutant."""
        RESULTS.parent.mkdir(exist_ok=True)
        drawn(1)  # reads the catalog once, and not in every copy
        shipped_model()
        known = {entry["test"]: entry for entry in _entries(REACHED) if _same(entry["sources"])}
        for number, item in enumerate(session.items):
            entry = known.get(item.nodeid) or self._reach_of(item)
            if entry["seconds"] is not None:
                self.seconds[number] = entry["seconds"]
                for place in _places_of(entry):
                    self.reached.setdefault(place, []).append(number)
        gc.freeze()
        print(f"{len(self.seconds):,} of {len(session.items):,} tests pass within {LONGEST_S:g} s", flush=True)
        for module in self.modules:
            self._try_all(session, module)
        print(f"together: {_words(self.counts)}")
        return True

    def _reach_of(self, item: pytest.Item) -> dict[str, Any]:
        """Lines that a test reaches, and its processor time; None: it fails, or takes too long to be run."""
        outcome = in_a_copy(lambda: self._traced(item), _TRACED * LONGEST_S)
        if outcome and outcome["seconds"] and outcome["seconds"] > LONGEST_S:
            outcome |= in_a_copy(lambda: {"seconds": _seconds_of(item)}, LONGEST_S) or {"seconds": None}
        entry = {"test": item.nodeid, **(outcome or {"seconds": None, "lines": {}, "constants": []})}
        entry["sources"] = {str(file): _digest(file) for file in (*entry["lines"], item.path)}
        _append(REACHED, entry)
        return entry

    def _traced(self, item: pytest.Item) -> dict[str, Any]:
        lines: dict[str, set[int]] = {}
        codes: dict[CodeType, bool] = {}
        constants = {name for name in self.constants if name in item.nodeid}

        def local(frame: Any, event: str, _: Any) -> Callable[..., Any]:
            if event == "line":
                lines.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
            return local

        def called(frame: Any, *_: Any) -> Callable[..., Any] | None:
            code = frame.f_code
            if code not in codes:
                codes[code] = code.co_filename in self.files
                constants.update(
                    name
                    for name in code.co_names
                    if name in self.constants and frame.f_globals.get(name, self) is self.constants[name]
                )
            return local if codes[code] else None

        for module in self.modules:
            forget_results(module)
        sys.settrace(called)
        seconds = _seconds_of(item)
        sys.settrace(None)
        return {
            "seconds": seconds,
            "lines": {file: sorted(numbers) for file, numbers in lines.items()},
            "constants": sorted(constants),
        }

    def _try_all(self, session: pytest.Session, module: Any) -> None:
        counts = dict.fromkeys(self.counts, 0)
        source = {module.__file__: _digest(module.__file__)}
        tried = {entry["mutant"]: entry for entry in _entries(RESULTS) if entry["sources"] == source}
        for mutant in mutants_of(module):
            if mutant.lasting_key in self.equivalent:
                counts["equivalent"] += 1
                continue
            if tried.get(mutant.key, {}).get("result") != "killed":
                tried[mutant.key] = self._try(session, mutant) | {"mutant": mutant.key, "sources": source}
                _append(RESULTS, tried[mutant.key])
            result = tried[mutant.key]["result"]
            counts[result] += 1
            if result != "killed":
                print(f"  {result}: {mutant.key}", flush=True)
        for result, count in counts.items():
            self.counts[result] += count
        print(f"{module.__name__}: {_words(counts)}", flush=True)

    def _try(self, session: pytest.Session, mutant: Mutant) -> dict[str, Any]:
        """The result for a mutant, and the test that killed it."""
        killers = self.killers.setdefault((mutant.module, mutant.place), [])
        tests = self._in_order(session, mutant, killers)
        if not tests:
            return {"result": "not reached"}

        limit = 3 * min(sum(self.seconds[number] for number in tests), MOST_S + LONGEST_S) + LONGEST_S
        outcome = in_a_copy(lambda: self._killed(session, mutant, tests), limit)
        if outcome is None:
            return {"result": "killed", "by": "it hangs or ends the process"}
        if outcome["by"] is None:
            return {"result": "survived"}
        if outcome["by"] not in killers:
            killers.append(outcome["by"])
        return {"result": "killed", "by": session.items[outcome["by"]].nodeid}

    def _in_order(self, session: pytest.Session, mutant: Mutant, killers: Sequence[int]) -> list[int]:
        """Tests of a mutant: killers of its function first, then those of its package, then a case of each other."""
        own = Path(*mutant.module.split(".")[1:-1])
        cases: Counter[str] = Counter()

        def rank(number: int) -> tuple[bool, bool, int, float]:
            item = session.items[number]
            test = item.nodeid.partition("[")[0]
            cases[test] += 1
            elsewhere = not item.path.relative_to(TESTS).is_relative_to(own)
            return number not in killers, elsewhere, cases[test] * elsewhere, self.seconds[number]

        fastest = sorted(self._tests_of(mutant), key=self.seconds.__getitem__)
        return sorted(fastest, key=rank)

    def _killed(self, session: pytest.Session, mutant: Mutant, tests: Sequence[int]) -> dict[str, Any]:
        """Number of the test that fails with a mutant; None where none does in time."""
        apply(mutant)
        started = time.process_time()
        for number in tests:
            if not _passes(session.items[number]):
                return {"by": number}
            if time.process_time() - started > MOST_S:
                break
        return {"by": None}

    def _tests_of(self, mutant: Mutant) -> list[int]:
        """Tests that reach the line; of a constant those that reach a line that names it."""
        module = sys.modules[mutant.module]
        if mutant.constant:
            return self.reached.get(("", mutant.place), [])
        lines = [(module.__file__, mutant.line)]
        if lines[0] not in self.reached:
            code = function_at(module, mutant.place).__code__
            lines = [(module.__file__, line) for _, _, line in code.co_lines() if line]
        return list({test for line in lines for test in self.reached.get(line, ())})


def _places_of(entry: dict[str, Any]) -> Iterator[tuple[str, int | str]]:
    """File and line of all that a test reaches, and ("", name) of the constants that are read there."""
    yield from ((file, line) for file, lines in entry["lines"].items() for line in lines)
    yield from (("", name) for name in entry["constants"])


def _words(counts: dict[str, int]) -> str:
    """Counts with the share that was killed, of all and of those that are no equivalents."""
    whole = sum(counts.values())
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    ratios = (counts["killed"] / max(of, 1) for of in (whole, whole - counts["equivalent"]))
    return f"{told}: " + ", without equivalents ".join(f"{ratio:.1%}" for ratio in ratios)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, path.read_text().splitlines() if path.exists() else ())


def _digest(file: str | Path) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]


def _same(sources: dict[str, str]) -> bool:
    """Whether modules are as they were."""
    return all(_digest(file) == digest for file, digest in sources.items())


def _append(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _seconds_of(item: pytest.Item) -> float | None:
    """Processor time of a test that passes."""
    started = time.process_time()
    return time.process_time() - started if _passes(item) else None


def _passes(item: pytest.Item) -> bool:
    """Whether a test passes; its report goes nowhere."""
    reports = runtestprotocol(item, log=False, nextitem=None)
    return all(report.passed or report.skipped for report in reports)


def in_a_copy(work: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any] | None:
    """Result of some work in a copy of this process; None where it died or took longer."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.alarm(int(20 * seconds))
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        try:
            with os.fdopen(write, "w") as pipe:
                json.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def main() -> int:
    """Collect the tests and try the mutants of the modules that are named, or of all."""
    os.environ["ADVISOR_EVERY_CASE"] = "1"  # the same tests on every day
    for ends in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(ends, signal.SIG_DFL)
    suite = [str(TESTS / name) for name in SUITE if (TESTS / name).exists()]
    options = [
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--deselect",
        "tests/models/test_names.py",
        "-m",
        "not slow",
        "-s",
    ]
    return int(pytest.main([*options, *suite], plugins=[Runner(sys.argv[1:] or MODULES)]))


if __name__ == "__main__":
    sys.exit(main())
