"""Mutation testing of the modules that compute money, memory and capacity: ``python tests/mutants/run.py [module …]``.

Each mutant is put into a copy of this process (``fork``) that has the tests collected, and there run the tests that
reach its line, the fastest first, until one fails. What nothing kills is printed; results are kept in
``build/mutants.jsonl``, and a mutant that stands there is not tried again while its module and the tests are the same.
"""

import gc
import hashlib
import importlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from advisor.performance.model import shipped_model  # noqa: E402 - the line above finds what follows
from mutants.mutations import Mutant, apply, function_at, mutants_of  # noqa: E402
from recompute.drawn import drawn  # noqa: E402

RESULTS = TESTS.parent / "build" / "mutants.jsonl"
REACHED = RESULTS.with_name("mutants-reached.jsonl")
MODULES = (
    "advisor.units", "advisor.cost.commitments", "advisor.cost.compute", "advisor.cost.services", "advisor.performance.transfer",
    "advisor.models.memory", "advisor.models.kv_cache", "advisor.models.weights", "advisor.models.engine_memory",
    "advisor.models.precision", "advisor.models.layers", "advisor.plan.problem.formulas",
    "advisor.plan.problem.constraints", "advisor.plan.problem.hours", "advisor.plan.fleet.describe",
    "advisor.plan.fleet.spare", "advisor.plan.fleet.choose", "advisor.plan.spot", "advisor.plan.cold_start",
    "advisor.plan.solve.shares", "advisor.plan.solve.alone",
)  # fmt: skip
SUITE = (
    "test_units.py", "cost", "models", "recompute", "plan/problem", "plan/fleet/test_spare.py", "plan/solve/test_shares.py",
    "plan/solve/test_alone.py", "plan/test_cold_start.py", "plan/test_spot.py", "plan/test_scaling.py", "test_slices.py",
)  # fmt: skip
"""Tests of these modules: whole plans stand in tests/recompute alone."""
LONGEST_S = 1.5
"""Tests that take longer are left out, and so many seconds more than tests usually take make a mutant one that hangs."""
MOST_S = 4.0
"""Of all tests of one mutant."""


class Runner:
    """Plugin of pytest that runs mutants in place of the collected tests."""

    def __init__(self, modules: Sequence[str]) -> None:
        """Try the mutants of some modules."""
        self.modules = [importlib.import_module(name) for name in modules]
        self.files = {module.__file__ for module in self.modules}
        self.reached: dict[tuple[str, int], list[int]] = {}
        self.seconds: dict[int, float] = {}

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
                for file, lines in entry["lines"].items():
                    for line in lines:
                        self.reached.setdefault((file, line), []).append(number)
        gc.freeze()
        print(f"{len(self.seconds):,} of {len(session.items):,} tests pass within {LONGEST_S:g} s", flush=True)
        for module in self.modules:
            self._try_all(session, module)
        return True

    def _reach_of(self, item: pytest.Item) -> dict[str, Any]:
        """Lines that a test reaches, and its processor time; None: it fails, or takes too long to be run."""
        outcome = in_a_copy(lambda: self._traced(item), LONGEST_S)
        entry = {"test": item.nodeid, **(outcome or {"seconds": None, "lines": {}})}
        entry["sources"] = {file: _digest(file) for file in entry["lines"]}
        _append(REACHED, entry)
        return entry

    def _traced(self, item: pytest.Item) -> dict[str, Any]:
        lines: dict[str, set[int]] = {}

        def local(frame: Any, event: str, _: Any) -> Callable[..., Any]:
            if event == "line":
                lines.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
            return local

        def called(frame: Any, *_: Any) -> Callable[..., Any] | None:
            return local if frame.f_code.co_filename in self.files else None

        started = time.process_time()
        sys.settrace(called)
        passed = _passes(item)
        sys.settrace(None)
        seconds = time.process_time() - started if passed else None
        return {"seconds": seconds, "lines": {file: sorted(numbers) for file, numbers in lines.items()}}

    def _try_all(self, session: pytest.Session, module: Any) -> None:
        counts = {"killed": 0, "survived": 0, "not reached": 0}
        source = {module.__file__: _digest(module.__file__)}
        known = {entry["mutant"]: entry["result"] for entry in _entries(RESULTS) if entry["sources"] == source}
        for mutant in mutants_of(module):
            result = known.get(mutant.key)
            if result != "killed":
                result = self._try(session, mutant)
                _append(RESULTS, {"mutant": mutant.key, "result": result, "sources": source})
            counts[result] += 1
            if result != "killed":
                print(f"  {result}: {mutant.key}", flush=True)
        print(f"{module.__name__}: " + ", ".join(f"{count} {name}" for name, count in counts.items()), flush=True)

    def _try(self, session: pytest.Session, mutant: Mutant) -> str:
        tests = sorted(self._tests_of(mutant), key=self.seconds.__getitem__)
        if not tests:
            return "not reached"

        def killed() -> dict[str, Any]:
            apply(mutant)
            spent = 0.0
            for number in tests:
                if not _passes(session.items[number]):
                    return {"killed": True}
                spent += self.seconds[number]
                if spent > MOST_S:
                    break
            return {"killed": False}

        limit = 3 * min(sum(self.seconds[number] for number in tests), MOST_S) + LONGEST_S
        outcome = in_a_copy(killed, limit)
        return "survived" if outcome == {"killed": False} else "killed"

    def _tests_of(self, mutant: Mutant) -> list[int]:
        """Tests that reach the line; of a constant those that reach a line that names it."""
        module = sys.modules[mutant.module]
        if mutant.constant:
            lines = [(file, line) for file in self.files for line in _lines_that_name(mutant.place, Path(file))]
        else:
            lines = [(module.__file__, mutant.line)]
            if lines[0] not in self.reached:
                code = function_at(module, mutant.place).__code__
                lines = [(module.__file__, line) for _, _, line in code.co_lines() if line]
        return list({test for line in lines for test in self.reached.get(line, ())})


def _lines_that_name(name: str, path: Path) -> Iterator[int]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if re.search(rf"\b{name}\b", line):
            yield number


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, path.read_text().splitlines() if path.exists() else ())


def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]


def _same(sources: dict[str, str]) -> bool:
    """Whether modules are as they were."""
    return all(_digest(file) == digest for file, digest in sources.items())


def _append(path: Path, entry: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


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
