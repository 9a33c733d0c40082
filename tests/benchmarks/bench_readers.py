"""Seconds that each engine takes for one question, as a ratio to NumPy on the same rows; prints, asserts nothing.

    python tests/benchmarks/bench_readers.py [HOSTS [HOURS [ENGINE...]]]

4 hosts of 2 accelerators and 6 hours without arguments. The question is p50, p95, maximum and mean of two metrics of every
accelerator. Engines: numpy, duckdb, clickhouse, prometheus, victoria-metrics; pyspark only where it is named, since a
cluster takes half a minute to start. Engines that are not installed are left out, and said to be.
"""

import importlib.util
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pyarrow.dataset as ds

sys.path.insert(0, str(Path(__file__).parents[1]))

from advisor.samples.query.prometheus import Access, PrometheusBackend
from advisor.samples.query.tables import TablesBackend
from advisor.samples.query.values import QueryBackend, Window
from samples.query.fleets import END_US, Exported, points
from samples.query.parquet_fleets import METRICS, write_rows
from samples.query.reference import Rows, reference
from samples.query.remote_writing import write
from services import prometheus, victoria_metrics
from services.prometheus import running_prometheus
from services.victoria_metrics import running_victoria_metrics

ENGINES = ("numpy", "duckdb", "clickhouse", "prometheus", "victoria-metrics")
MODULES = {"duckdb": ("ibis", "duckdb"), "clickhouse": ("ibis", "chdb"), "pyspark": ("ibis", "pyspark")}
PROGRAMS = {"prometheus": prometheus.PROGRAM, "victoria-metrics": victoria_metrics.PROGRAM}


def numpy_answers(directory: Path, window: Window) -> int:
    """The reference: every file read, every quantile by NumPy."""
    columns = ["accelerator_uuid", "host", "accelerator_index", "timestamp", "busy_ratio_max", *METRICS]
    frame = ds.dataset(directory, format="parquet").to_table(columns).to_pandas()
    place = frame["host"].astype(str) + "/" + frame["accelerator_index"].astype(str)
    frame["who"] = frame["accelerator_uuid"].astype(object).fillna(place)
    frame = frame.drop_duplicates(["who", "timestamp"])
    answered = 0
    for who, rows in frame.groupby("who"):
        end_us = rows["timestamp"].astype("int64").to_numpy()
        for metric in METRICS:
            greatest = rows["busy_ratio_max"].to_numpy() if metric == "busy_ratio" else None
            answered += reference(Rows(who, metric, end_us, rows[metric].to_numpy(), greatest), window, 15) is not None
    return answered


def on_a_server(url: str, made: Exported) -> QueryBackend:
    """A server that was sent the rows."""
    series = []
    for rows in made.rows:
        who = rows.accelerator
        named = {
            "host": who.host,
            "accelerator": who.index,
            "mig": who.mig_index,
            "uuid": who.uuid,
            "product": who.product,
        }
        labels = {name: str(value) for name, value in named.items() if value is not None}
        name = f"advisor_accelerator_{rows.metric}"
        series.append(({"__name__": name, **labels}, points(rows.end_us, rows.mean)))
        if rows.greatest is not None:
            series.append(({"__name__": f"{name}_max", **labels}, points(rows.end_us, rows.greatest)))
    write(url, series)
    return PrometheusBackend(Access.of(url, environment={}))


def backend_of(name: str, folder: Path, made: Exported, stack: ExitStack) -> QueryBackend:
    """An engine that has the rows."""
    place = f"?samples={folder / 'samples'}"
    if name in PROGRAMS:
        (folder / name).mkdir()
        server = (
            running_prometheus(folder / name, out_of_order="100d")
            if name == "prometheus"
            else running_victoria_metrics(folder / name)
        )
        return on_a_server(stack.enter_context(server), made)
    where = "local-cluster[2,1,1024]" if name == "pyspark" else ""
    return TablesBackend(f"{name}://{where}{place}" + ("&spark.sql.shuffle.partitions=8" if where else ""))


def seconds_of(ask: Callable[[], int]) -> tuple[float, int]:
    """The better of two times, and how many answers came."""
    best, answered = float("inf"), 0
    for _ in range(2):
        started = time.perf_counter()
        answered = ask()
        best = min(best, time.perf_counter() - started)
    return best, answered


def is_there(name: str) -> bool:
    """Whether an engine can be tried here."""
    if name in PROGRAMS:
        return PROGRAMS[name] is not None
    return all(importlib.util.find_spec(module) for module in MODULES.get(name, ()))


def main() -> None:
    """Ask every engine and print how long it took."""
    logging.disable(logging.WARNING)
    hosts, hours = (int(word) for word in (*sys.argv[1:3], *("4", "6")[len(sys.argv[1:3]) :]))
    window = Window(END_US - hours * 3_600_000_000, END_US)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        made = write_rows(folder / "samples", window, hosts, 2)
        rows = sum(len(one.end_us) for one in made.rows) // len(METRICS)
        print(f"{hosts} hosts × 2 accelerators × {hours} h = {rows:,} rows of 15 s, {len(METRICS)} metrics")
        base = 0.0
        for engine in sys.argv[3:] or ENGINES:
            if not is_there(engine):
                print(f"{engine:17} not installed")
                continue
            started = time.perf_counter()
            if engine == "numpy":
                base, answered = seconds_of(lambda: numpy_answers(folder / "samples", window))
                start = 0.0
            else:
                backend = backend_of(engine, folder, made, stack)
                start = time.perf_counter() - started
                took, answered = seconds_of(lambda asked=backend: sum(1 for _ in asked.summaries(METRICS, window)))
            took = base if engine == "numpy" else took
            ratio = f"{took / base:6.1f} × numpy" if base else ""
            print(f"{engine:17} {took:7.3f} s {ratio}, {answered} answers, {start:.1f} s to start and load")


if __name__ == "__main__":
    main()
