"""Time from a change on a served page to its new plan, against `advisor recommend` of the same; prints, asserts nothing.

``python tests/benchmarks/bench_serve.py [RUNS]``. Seconds are medians of the clock, of changes that were not asked for
before: one that the server has to plan, and one step of a button, which it has planned ahead. The machine should do
nothing else meanwhile.
"""

import re
import statistics
import subprocess
import sys
import time
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


def planned(server, fields: dict[str, str]) -> float:
    """Seconds from a change to the page of its plan."""
    page = {"secret": secret(server.ask(server.path))}

    def change() -> None:
        answer = server.ask(server.path, page | fields)
        assert answer.status == 303, answer.text
        assert server.ask(answer.headers["Location"]).status == 200

    return seconds(change)


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
        told("another load", [planned(server, {"demand": f"{1.1 + at / 10:g}x"}) for at in range(runs)], unit)
        told("another SLO", [planned(server, {"slo.tpot_p95": f"{45 - at}ms"}) for at in range(runs)], unit)
        told("one that was planned before", [planned(server, {"demand": "1.1x"}) for _ in range(runs)], unit)
    with serving(WORKLOAD) as server:
        for key in ("demand", "slo.tpot_p95"):
            told(f"a step of {key}, planned ahead", stepped(server, key, runs), unit)
