"""Time of a plan from a cold start, against a Python process that imports numpy in the same run; prints, asserts nothing.

``python tests/benchmarks/bench_planner_time.py [RUNS]``. Seconds are medians: those of the clock, and those of the
processor, which say more on a busy machine. Bytecode is compiled once before, as an installation does, that of what reads
samples too. Then one process solves the pools of every region, and the same in 4 and 16 times as many regions: seconds of
the processor.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from advisor.catalog.values import Purchase  # noqa: E402 - the tests' parts are found by the line above
from advisor.plan.problem.values import FleetSolution, Pool, Problem  # noqa: E402
from advisor.plan.solve.scopes import cheapest  # noqa: E402
from plan.fleet.catalogued import example, formulation  # noqa: E402

RUNS = 1
TIMES = (1, 4, 16)
DEARER_RATIO = 0.002
"""By how much each copy of a region is dearer than the one before."""
HEAD = """\
name: bench
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [bf16, fp8, int8, int4]
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand: {summary: %s}
purchase: [on_demand, spot]
providers: [aws, gcp, azure]
"""
LARGE = {
    "every region of three clouds": (20, "limits: {min_replicas: 2, zones: 2}\n"),
    "three continents × lengths × zones": (
        60,
        "users: {US-east: 0.4, DE: 0.4, JP: 0.2}\nrouting: by_prompt_length\nlimits: {min_replicas: 3, zones: 3}\n",
    ),
}
"""Ratio asked for, and the rest of the workload."""


def seconds(command: list[str], runs: int, environment: dict[str, str]) -> tuple[float, float]:
    """Median seconds of a command: on the clock and on the processor."""
    clock, processor = [], []
    for _ in range(runs):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock.append(time.perf_counter() - started)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(clock), statistics.median(processor)


def cold(runs: int, folder: Path) -> None:
    """One line for each workload, from a cold start."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    recommend = [sys.executable, "-m", "advisor", "recommend"]
    files = {
        f"one region, examples/{name}": (10, ROOT / "examples" / name / "workload.yaml")
        for name in ("chat", "code", "gpu-samples")
    }
    for number, (name, (asked, rest)) in enumerate(LARGE.items()):
        path = folder / f"{number}.yaml"
        path.write_text(HEAD % (ROOT / "examples/chat/demand.json") + rest)
        files[name] = (asked, path)
    for name in ("chat", "gpu-samples"):
        seconds([*recommend, str(files[f"one region, examples/{name}"][1])], 1, environment)
    unit = seconds([sys.executable, "-c", "import numpy"], max(runs, 5), environment)
    print(f"{'python with numpy imported':38s} {unit[0]:6.2f} s  {unit[1]:6.2f} s of the processor", flush=True)
    for name, (asked, path) in files.items():
        clock, processor = seconds([*recommend, str(path)], runs, environment)
        print(
            f"{name:38s} {clock:6.2f} s  {processor:6.2f} s of the processor  {clock / unit[0]:5.1f} × on the clock  "
            f"{processor / unit[1]:5.1f} × on the processor  ≤ {asked} × asked",
            flush=True,
        )


def many_times(problem: Problem, times: int) -> Problem:
    """The pools of a problem in so many times as many regions, each copy dearer than the one before."""
    return replace(problem, pools=tuple(_copies(problem, times)))


def _copies(problem: Problem, times: int) -> Iterator[Pool]:
    for pool in problem.pools:
        provider, region, machine = pool.type_in_region.split("/")
        for copy in range(times):
            tariffs = tuple(
                replace(one, usd_per_hour=one.usd_per_hour * (1 + DEARER_RATIO * copy)) for one in pool.tariffs
            )
            yield replace(
                pool,
                key=f"{pool.key}#{copy}",
                type_in_region=f"{provider}/{region}-{copy}/{machine}",
                supply=pool.supply.replace(region, f"{region}-{copy}"),
                backend=pool.backend.replace(region, f"{region}-{copy}"),
                tariffs=tariffs,
            )


def linear() -> None:
    """One line for each number of copies of the catalog."""
    workload = example("chat", regions=(), purchase=(Purchase.ON_DEMAND, Purchase.SPOT))
    problem = formulation(workload, 1, weekly=True).problem
    first = 0.0
    for times in TIMES:
        larger = many_times(problem, times)
        started = time.process_time()
        found = cheapest(larger)
        took = time.process_time() - started
        first = first or took
        usd = f"{found.objective_usd_per_month:,.2f} USD/month" if isinstance(found, FleetSolution) else "none"
        print(
            f"catalog × {times:<2d}  {len(larger.pools):6d} pools  {took:6.2f} s of the processor, "
            f"{took / first / times:4.2f} × of linear  {usd}",
            flush=True,
        )


def main(arguments: list[str]) -> None:
    """Print everything."""
    with tempfile.TemporaryDirectory() as folder:
        cold(int(arguments[0]) if arguments else RUNS, Path(folder))
    linear()


if __name__ == "__main__":
    main(sys.argv[1:])
