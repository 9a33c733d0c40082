"""From rows to need: one host of eight accelerators and one engine over fourteen days of rows (645,120 of them).

``python tests/benchmarks/bench_need.py [days]``; 2 of 14 days without an argument, since time and memory grow with it.
"""

import resource
import sys
import time

import numpy as np

from advisor.samples.metrics import ACCELERATOR_METRICS, ENGINE_METRICS, Kind, Metric
from advisor.samples.need.assess import assess
from advisor.samples.need.rows import Rows, grids, timelines
from advisor.samples.need.timeline import Who

ACCELERATORS = 8
ROWS_PER_DAY = 5760
ROW_US = 15_000_000


def rows_of(who: list[Who], metrics: tuple[Metric, ...], rows: int, chance: np.random.Generator) -> Rows:
    """Rows of random values, one in a hundred missing."""
    target = np.repeat(np.arange(len(who)), rows)
    end_us = np.tile(np.arange(1, rows + 1) * ROW_US, len(who))
    columns = {}
    for metric in metrics:
        if metric.kind is Kind.HISTOGRAM:
            continue
        values = chance.random(target.size)
        columns[metric.name] = np.cumsum(values) if metric.kind is Kind.COUNTER else values
        if metric.kind is Kind.GAUGE:
            columns[f"{metric.name}_max"] = np.minimum(values + 0.1, 1.0)
    return Rows(tuple(who), target, end_us, end_us - ROW_US, chance.random(target.size) < 0.01, columns)


def main() -> None:
    """Time what a directory of that size takes once it is read."""
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    chance, rows = np.random.default_rng(1), days * ROWS_PER_DAY
    here = rows_of([Who("host", number) for number in range(ACCELERATORS)], ACCELERATOR_METRICS, rows, chance)
    engine = rows_of([Who("host", 0, None, "http://localhost:8000/metrics")], ENGINE_METRICS, rows, chance)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    grid_of = grids([here, engine])
    accelerators, engines = timelines(here, grid_of), timelines(engine, grid_of)
    laid = time.perf_counter()
    found = list(assess(accelerators, engines))
    done = time.perf_counter()
    print(f"{days} days, {here.target.size:,} rows of {len(here.columns)} columns")
    print(f"onto the grid: {laid - start:.2f} s; verdict and need of {len(found)} accelerators: {done - laid:.2f} s")
    print(
        f"memory: {before:,.0f} MiB with the rows, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} at most"
    )


if __name__ == "__main__":
    main()
