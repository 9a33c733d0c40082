"""How long the shipped calibration takes to load in a fresh interpreter that has numpy and the catalog's readers.

Run it with ``python tests/benchmarks/bench_calibration_load.py``; it prints milliseconds and asserts nothing.
"""

import statistics
import subprocess
import sys

RUNS = 11
PROGRAM = """
import sys, time
import numpy, advisor.catalog
start = time.perf_counter()
from advisor.performance.calibration import shipped
imported = time.perf_counter()
shipped()
print(imported - start, time.perf_counter() - imported)
"""


def main() -> None:
    """Print the median and the range over fresh processes."""
    runs = [
        [float(part) * 1000 for part in subprocess.check_output([sys.executable, "-c", PROGRAM]).split()]
        for _ in range(RUNS)
    ]
    for name, times in (("import", [imported for imported, _ in runs]), ("load", [loaded for _, loaded in runs])):
        sys.stdout.write(
            f"{name:>15}: median {statistics.median(times):5.1f} ms ({min(times):.1f} to {max(times):.1f})\n"
        )


if __name__ == "__main__":
    main()
