"""Storing and asking a fleet's samples: ``PYTHONPATH=tests python tests/benchmarks/bench_store.py [HOSTS [DAYS]]``.

3 hosts × 2 days without arguments; 300 14 takes 17 GB of disk and some ten minutes. Each host has 8 accelerators and 2
engines (see fleet_store.py). Every question runs as a program of its own; memory is the most that it had resident.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fleet_store import ACCELERATORS, FIRST_US, MODELS, ROWS_PER_DAY, table_of, write_store

from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.metrics import ACCELERATOR_METRICS, ROW_SECONDS, Kind, Row, Stats, Target
from advisor.samples.places import US_PER_SECOND
from advisor.samples.store.hosts import count_rows, encode_counts
from advisor.samples.store.row_tables import encode_table

NUMBERS_PER_ROW = sum(4 if metric.kind is Kind.GAUGE else 1 for metric in ACCELERATOR_METRICS)
PROGRAM = """
import re, sys, time
from advisor.cli import main
try:
    main()
finally:
    peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
    print(time.process_time(), peak, file=sys.stderr)
"""
"""Runs a command, and says the seconds of processor and the memory that it took; of its own, not of who started it."""
WORKLOAD = """
name: assistant
model: {model}
precisions: [bf16, fp8]
slo: {{ttft_p95: 1500ms, tpot_p95: 60ms}}
demand:
  samples: {{path: {place}}}
providers: [aws]
regions: [us-east-1, us-west-2]
purchase: [on_demand, spot]
limits: {{min_replicas: 2, zones: 2}}
"""


def encoding_cost() -> None:
    """Size of a host's day of accelerators, and what writing and counting it takes."""
    table = table_of(0, 0)
    started = time.process_time()
    content = encode_table(table)
    written = time.process_time()
    counted = encode_counts(count_rows(table))
    done = time.process_time()
    print(
        f"a host's day       {len(content) / table.num_rows / NUMBERS_PER_ROW:.3f} bytes per number, "
        f"{len(content) / 1e6:.2f} MB of rows and {len(counted) / 1e3:.0f} kB of counts; "
        f"{written - started:.2f} s to write and {done - written:.2f} s to count"
    )


def spool_cost() -> None:
    """What a row of eight accelerators costs the agent."""
    values = {
        metric.name: Stats(*((0.25, 0.5, 0.75) if metric.kind is Kind.GAUGE else (np.nan,) * 3), 12345.0, 15)
        for metric in ACCELERATOR_METRICS
    }
    targets = [Target("host", "nvml", index, None, f"GPU-{index}", "NVIDIA H100") for index in range(ACCELERATORS)]
    with tempfile.TemporaryDirectory() as name:
        writer = SpoolWriter(Path(name), "host")
        append_seconds, sync_seconds = [], []
        for number in range(1, 481):
            rows = [Row(target, FIRST_US + number * ROW_SECONDS * US_PER_SECOND, values) for target in targets]
            started = time.perf_counter()
            writer.append(rows)
            appended = time.perf_counter()
            writer.sync()
            append_seconds.append(appended - started)
            sync_seconds.append(time.perf_counter() - appended)
        writer.close()
        written = sum(path.stat().st_size for path in Path(name).rglob("*.spool"))
    print(
        f"spool             {np.median(append_seconds) * 1e3:.3f} ms to append 8 rows of {len(values)} metrics, "
        f"{np.median(sync_seconds) * 1e3:.2f} ms to sync them, {written / 480 / ACCELERATORS:.0f} bytes a row"
    )


def asked(name: str, arguments: list[str], rows: int) -> None:
    """Run a command as a program, and say what it took."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    processor, memory_kib = (float(word) for word in done.stderr.split()[-2:])
    print(
        f"{name:<20} {seconds:6.1f} s, {processor:6.1f} s of processor, {memory_kib / 1024:5.0f} MiB at most, "
        f"{rows / processor / 1e6:.1f} million rows a second"
    )


def main() -> None:
    """Generate, ask, print."""
    hosts, days = (int(word) for word in (*sys.argv[1:3], *("3", "2")[len(sys.argv[1:3]) :]))
    encoding_cost()
    spool_cost()
    with tempfile.TemporaryDirectory() as name:
        place, started = Path(name) / "samples", time.perf_counter()
        write_store(place, hosts, days)
        size = sum(path.stat().st_size for path in place.rglob("*.parquet"))
        rows = hosts * days * ROWS_PER_DAY * (ACCELERATORS + 2)
        print(
            f"generated          {hosts} hosts × {days} days: {rows:,} rows, {size / 1e9:.2f} GB, in {time.perf_counter() - started:.0f} s"
        )
        workload = Path(name) / "workload.yaml"
        workload.write_text(WORKLOAD.format(model=MODELS[0], place=place))
        for command in ("summary", "need", "show"):
            asked(command, ["samples", command, str(place)], rows)
        asked("show -o chart.svg", ["samples", "show", str(place), "-o", f"{name}/chart.svg"], rows)
        asked("recommend", ["recommend", str(workload)], rows)
        for path in place.rglob("engines-*.parquet"):
            path.unlink()
        text = workload.read_text().replace("}", ", requests_per_day: 4e6, input_tokens: 900, output_tokens: 250}", 2)
        workload.write_text(
            text.replace("60ms, requests_per_day: 4e6, input_tokens: 900, output_tokens: 250}", "60ms}")
        )
        asked("recommend, no engine", ["recommend", str(workload)], rows)


if __name__ == "__main__":
    main()
