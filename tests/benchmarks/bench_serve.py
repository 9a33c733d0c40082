"""Time from a change on a served page to its new plan, against `advisor recommend` of the same; prints, asserts nothing.

``python tests/benchmarks/bench_serve.py [RUNS]``. Seconds are medians of the clock, of changes that were not asked for
before: one to any value, whose first answer is a confirmed fleet of the types of the plan before it and whose plan
follows, and one step of a button, which is planned ahead. By how much the fleet of the first answer is dearer than the
plan's is told too. The machine should do nothing else meanwhile.
"""

import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from advisor.serve.sessions import digest  # noqa: E402 - the tests' parts are found by the line above
from serve.served import secret, serving  # noqa: E402 - the tests' parts are found by the line above

RUNS = 3
ASKED_SECONDS = 0.3
WORKLOAD = ROOT / "examples/chat/workload.yaml"
PATIENCE_SECONDS = 300.0


def seconds(work) -> float:
    """Seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Change:
    """A change: seconds to the first page of it and to its plan's, and by how much the fleet first shown is dearer."""

    first_seconds: float
    plan_seconds: float
    dearer_ratio: float
    is_whole: bool
    """Whether the first page was the plan's own."""


def changed(server, fields: dict[str, str]) -> Change:
    """A change, and what comes back."""
    page = {"secret": secret(server.ask(server.path))}
    started = time.perf_counter()
    answer = server.ask(server.path, page | fields)
    assert answer.status == 303, answer.text
    shown = server.ask(answer.headers["Location"])
    first = time.perf_counter() - started
    whole = server.ask(f"{answer.headers['Location']}whole")
    plan = time.perf_counter() - started
    assert (shown.status, whole.status) == (200, 200)
    usd = [float(next(page.page.all("dd")).text.strip("$").replace(",", "")) for page in (shown, whole)]
    return Change(first, plan, usd[0] / usd[1] - 1, "data-whole" not in shown.text)


def planned(server, fields: dict[str, str]) -> float:
    """Seconds from a change to the first page of it."""
    return changed(server, fields).first_seconds


def wait_for(server, path: str) -> None:
    """Wait until a page is there that nobody asked for."""
    until = time.monotonic() + PATIENCE_SECONDS
    while server.ask(path).status != 200:
        assert time.monotonic() < until, "nothing was planned ahead"
        time.sleep(0.2)


def stepped(server, key: str, runs: int) -> list[float]:
    """Seconds of steps up of an amount, each after the server has planned what is a step away."""
    values: dict[str, str] = {}
    times = []
    for _ in range(runs):
        page = server.ask(server.change(server.path, **values).headers["Location"]).text
        step = re.search(rf'name="step\.{re.escape(key)}" value="([^"]+)" id="higher', page)[1]
        values[key] = step
        wait_for(server, f"{server.path}{digest(((key, step),))}/")
        times.append(planned(server, {key: step}))
    return times


def told(name: str, times: list[float], unit: float) -> None:
    """A line of figures."""
    median = statistics.median(times)
    print(f"{name:46s} {median:7.3f} s  {median / unit:6.2f} × recommend  ≤ {ASKED_SECONDS} s asked", flush=True)


if __name__ == "__main__":
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    recommend = [sys.executable, "-m", "advisor", "recommend", str(WORKLOAD)]
    unit = statistics.median(
        seconds(lambda: subprocess.run(recommend, cwd=ROOT, check=True, capture_output=True)) for _ in range(runs)
    )
    print(f"{'advisor recommend, from a cold start':46s} {unit:7.3f} s", flush=True)
    with serving(WORKLOAD, "--no-ahead") as server:
        told("as stated, the first plan", [seconds(lambda: server.ask(server.path))], unit)
        loads = [changed(server, {"demand": f"{1.1 + at / 10:g}x"}) for at in range(runs)]
        slos = [changed(server, {"slo.tpot_p95": f"{45 - at}ms"}) for at in range(runs)]
        for name, changes in (("another load", loads), ("another SLO", slos)):
            told(f"{name}, first answer", [change.first_seconds for change in changes], unit)
            told(f"{name}, its plan", [change.plan_seconds for change in changes], unit)
            dearer = ", ".join("as planned" if change.is_whole else f"{change.dearer_ratio:+.1%}" for change in changes)
            print(f"{f'{name}, cost of the first fleet':46s} {dearer}", flush=True)
        told("one that was planned before", [planned(server, {"demand": "1.1x"}) for _ in range(runs)], unit)
    with serving(WORKLOAD) as server:
        for key in ("demand", "slo.tpot_p95"):
            told(f"a step of {key}, planned ahead", stepped(server, key, runs), unit)
