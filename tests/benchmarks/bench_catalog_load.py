"""How long the whole catalog takes from cold: a fresh interpreter, every table, the hash and the dates.

Run it with ``python tests/benchmarks/bench_catalog_load.py``; it prints milliseconds and asserts nothing.
"""

import statistics
import subprocess
import sys

RUNS = 11
PROGRAM = """
import time
start = time.perf_counter()
from advisor.catalog import load_catalog
imported = time.perf_counter()
catalog = load_catalog()
catalog.accelerator("L4"), catalog.instance_types, catalog.offers, catalog.regions
catalog.engine_support("L4", "bf16"), catalog.model_status("vLLM-TPU", "TPU-v6e", "", "")
catalog.content_hash, catalog.as_of
print(imported - start, time.perf_counter() - imported)
"""


def main() -> None:
    """Print the median and the range over fresh processes."""
    runs = [
        [float(part) * 1000 for part in subprocess.check_output([sys.executable, "-c", PROGRAM]).split()]
        for _ in range(RUNS)
    ]
    for name, times in (
        ("import", [imported for imported, _ in runs]),
        ("load", [loaded for _, loaded in runs]),
        ("import and load", [sum(run) for run in runs]),
    ):
        sys.stdout.write(
            f"{name:>15}: median {statistics.median(times):5.1f} ms ({min(times):.1f} to {max(times):.1f})\n"
        )


if __name__ == "__main__":
    main()
