"""Time of ``advisor --help``, against a Python process that imports click in the same run; prints, asserts nothing.

``python tests/benchmarks/bench_help.py [RUNS]``. Milliseconds are medians of the clock; bytecode is compiled by a first
run that does not count, as an installation does.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = 20
ASKED_MS = 150


def milliseconds(*arguments: str) -> float:
    """Median time of a Python process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for _ in range(1 + int(sys.argv[1] if sys.argv[1:] else RUNS)):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, check=True)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[1:])


def main() -> None:
    """Print both and their ratio."""
    least, taken = milliseconds("-c", "import click"), milliseconds("-m", "advisor", "--help")
    print(f"advisor --help: {taken:.0f} ms (asked: {ASKED_MS}), {taken / least:.2f} × import click ({least:.0f} ms)")


if __name__ == "__main__":
    main()
