"""Time of every lever of an example from a cold start, as a ratio to a plan of it in the same run; asserts nothing.

``python tests/benchmarks/bench_levers.py [RUNS]``. Seconds are medians, of the clock and of the processors.
"""

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from advisor.processes import usable_processors

ROOT = Path(__file__).parents[2]
WORKLOAD = ROOT / "examples" / "chat" / "workload.yaml"


def seconds(command: str, runs: int) -> tuple[float, float]:
    """Median seconds of a command: on the clock and on the processor."""
    clock, processor = [], []
    for _ in range(runs):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "advisor", command, WORKLOAD], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock.append(time.perf_counter() - started)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(clock), statistics.median(processor)


def main() -> None:
    """Print the figures."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    plan, levers = seconds("recommend", runs), seconds("levers", runs)
    for name, (clock, processor) in (("recommend", plan), ("levers", levers)):
        print(f"{name}: {clock:.1f} s on the clock, {processor:.1f} s of the processor")
    print(f"levers ÷ recommend: {levers[0] / plan[0]:.1f} on the clock with {usable_processors()} processors, "
          f"{levers[1] / plan[1]:.1f} of the processor")  # fmt: skip


if __name__ == "__main__":
    main()
