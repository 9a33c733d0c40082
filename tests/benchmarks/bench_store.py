"""Storing and asking a fleet's samples: ``PYTHONPATH=tests python tests/benchmarks/bench_store.py [FRACTION]``.

The whole is 1,000 hosts × 8 accelerators × 14 days of rows of 15 s: 645 million rows. FRACTION (1/500 unless said, 1/10
takes some ten minutes) is the share of the hosts that is generated; figures for the whole are that much times as long,
and say so. From 1/100 on the counts of the whole fleet are made of those generated, and asked as they are. Signals are made at 1 Hz and aggregated as the agent does it: a daily course with noise and bursts, one host
in seven idle.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from advisor.samples.agent.spool import SpoolWriter
from advisor.samples.metrics import ACCELERATOR_METRICS, METRICS, ROW_SECONDS, Kind
from advisor.samples.places import US_PER_DAY, US_PER_SECOND, day_folder, day_of
from advisor.samples.query.embedded import EmbeddedBackend
from advisor.samples.rows import Row, Stats, Target
from advisor.samples.store.columns import ACCELERATOR_COLUMNS, TEXT
from advisor.samples.store.day_counts import steps_of, values_of
from advisor.samples.store.row_files import content_digest, encode_table

HOSTS, ACCELERATORS, DAYS = 1_000, 8, 14
ROWS_PER_DAY = 86_400 // ROW_SECONDS
FIRST_US = 20_374 * US_PER_DAY
ASKED = ("memory_used_bytes", "busy_ratio", "sm_active_ratio", "dram_active_ratio")
NUMBERS_PER_ROW = sum(4 if metric.kind is Kind.GAUGE else 1 for metric in ACCELERATOR_METRICS)
SECONDS = 86_400
MIB = 1 << 20
WHOLE_FLEET_FROM = Fraction(1, 100)
"""Share of the hosts from which on the counts of the whole fleet are made of them, and asked."""


def signals(host: int, index: int, day: int) -> dict[str, np.ndarray]:
    """Readings of one accelerator over a day, one a second."""
    random = np.random.default_rng([host, index, day])
    is_idle = host % 7 == 3
    load = np.zeros(SECONDS) if is_idle else _load(random, np.random.default_rng([host, index]).uniform(0.5, 1.4))
    is_on = load > 0.03
    dram = np.clip(load * 0.6 + 0.02 * random.standard_normal(SECONDS), 0, 1) * is_on
    power = 90 + 450 * load + 4 * random.standard_normal(SECONDS)
    used = np.full(SECONDS, (640 if is_idle else 73_000) * MIB, dtype=np.float64)
    used[random.integers(0, SECONDS, 3)] += 900 * MIB
    busy = is_on * np.clip(np.round(220 * load + random.integers(-3, 4, SECONDS)), 0, 100) / 100
    noise = 0.01 * random.standard_normal(SECONDS)
    return {
        "memory_total_bytes": np.full(SECONDS, 81_920.0 * MIB),
        "memory_used_bytes": used,
        "memory_reserved_bytes": np.full(SECONDS, 600.0 * MIB),
        "busy_ratio": busy,
        "busy_peak_ratio": is_on * np.clip(busy + random.integers(0, 6, SECONDS) / 100, 0, 1),
        "memory_busy_ratio": np.round(dram, 2),
        "sm_active_ratio": is_on * np.clip(load * 0.9 + 2 * noise, 0, 1),
        "sm_occupancy_ratio": is_on * np.clip(load * 0.35 + noise, 0, 1),
        "tensor_active_ratio": is_on * np.clip(load * 0.18 + noise[::-1], 0, 1),
        "dram_active_ratio": dram,
        "power_watts": power,
        "sm_clock_mhz": np.where(load > 0.9, 1755.0 - 15 * random.integers(0, 10, SECONDS), np.where(is_on, 1980, 345)),
        "temperature_celsius": np.round(30 + np.convolve(power, np.ones(60) / 60, "same") / 20),
        "processes": np.full(SECONDS, 0.0 if is_idle else 1.0),
        "energy_joules": 3e7 * day + np.cumsum(np.round(power * 1000)) / 1000,
        "power_throttled_seconds": np.cumsum(np.where(load > 0.95, 0.3, 0)),
        "thermal_throttled_seconds": np.zeros(SECONDS),
        "hardware_throttled_seconds": np.zeros(SECONDS),
        "pcie_sent_bytes": _traffic(load, 2e8, random),
        "pcie_received_bytes": _traffic(load, 3e8, random),
        "nvlink_sent_bytes": _traffic(load, 2e10, random),
        "nvlink_received_bytes": _traffic(load, 2e10, random),
        "uncorrected_ecc_errors": np.zeros(SECONDS),
        "xid_errors": np.zeros(SECONDS),
    }


def _load(random: np.random.Generator, scale: float) -> np.ndarray:
    day = np.arange(SECONDS) / SECONDS
    course = np.clip(0.15 + 0.55 * np.sin(np.pi * np.clip((day - 0.25) / 0.7, 0, 1)) * scale, 0.02, 1)
    slow = np.repeat(random.standard_normal(SECONDS // 30), 30) * 0.08
    burst = np.repeat(random.random(SECONDS // 60) < 0.05, 60) * 0.4
    return np.clip(course + slow + burst + 0.05 * random.standard_normal(SECONDS), 0, 1)


def _traffic(load: np.ndarray, bytes_per_second: float, random: np.random.Generator) -> np.ndarray:
    return np.cumsum(np.round(load * bytes_per_second * np.clip(1 + 0.2 * random.standard_normal(SECONDS), 0, None)))


def columns_of(host: int, index: int, day: int) -> dict[str, np.ndarray]:
    """The day as rows of fifteen seconds."""
    columns = {}
    for name, readings in signals(host, index, day).items():
        metric = METRICS[name]
        by_row = readings.reshape(-1, ROW_SECONDS)
        if metric.kind is Kind.COUNTER:
            columns[name] = by_row[:, -1]
            continue
        statistics = {"": by_row.mean(1), "_min": by_row.min(1), "_max": by_row.max(1), "_last": by_row[:, -1]}
        for end, values in statistics.items():
            columns[name + end] = values_of(steps_of(values, metric.resolution), metric.resolution)
        columns[f"{name}_n"] = np.full(ROWS_PER_DAY, ROW_SECONDS)
    return columns


def table_of(host: int, day: int) -> pa.Table:
    """A host's day as the table that compaction would write."""
    rows = ACCELERATORS * ROWS_PER_DAY
    parts = [columns_of(host, index, day) for index in range(ACCELERATORS)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    end_us = FIRST_US + day * US_PER_DAY + np.arange(1, ROWS_PER_DAY + 1) * ROW_SECONDS * US_PER_SECOND
    index = np.repeat(np.arange(ACCELERATORS), ROWS_PER_DAY)
    columns |= {"timestamp": np.tile(end_us, ACCELERATORS), "accelerator_index": index, "missed_ticks": index * 0}
    texts = {"host": [host_name(host)], "source": ["nvml"], "accelerator": ["NVIDIA H100 80GB HBM3"]}
    uuids = [f"GPU-{host:05d}-{number}" for number in range(ACCELERATORS)]
    arrays = []
    for field in ACCELERATOR_COLUMNS:
        if field.name == "accelerator_uuid":
            arrays.append(pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), pa.array(uuids)).cast(TEXT))
        elif field.name in texts:
            zeros = pa.array(np.zeros(rows), pa.int32())
            arrays.append(pa.DictionaryArray.from_arrays(zeros, pa.array(texts[field.name])).cast(TEXT))
        elif field.name in columns:
            arrays.append(pa.array(columns[field.name]).cast(field.type))
        else:
            arrays.append(pa.nulls(rows, field.type))
    return pa.Table.from_arrays(arrays, schema=ACCELERATOR_COLUMNS)


def host_name(host: int) -> str:
    """Name of a host."""
    return f"inference-{host:04d}"


def generate(directory: Path, host: int) -> tuple[int, int, float]:
    """Write a host's files; bytes of rows and of histograms, and seconds that encoding took."""
    rows_bytes, histogram_bytes, seconds = 0, 0, 0.0
    for day in range(DAYS):
        table = table_of(host, day)
        started = time.process_time()
        content = encode_table(table)
        counted = encode_histograms(table)
        seconds += time.process_time() - started
        folder = day_folder(directory, day_of(FIRST_US + day * US_PER_DAY + 1), host_name(host))
        folder.mkdir(parents=True)
        digest = content_digest(content)
        (folder / f"rows-day-{digest}.parquet").write_bytes(content)
        (folder / f"histograms-day-{digest}.parquet").write_bytes(counted)
        rows_bytes += len(content)
        histogram_bytes += len(counted)
    return rows_bytes, histogram_bytes, seconds


def count_whole_fleet(directory: Path, fleet: Path, hosts: int) -> None:
    """Counts of all hosts, each those of one that was generated, under its own name; its rows are linked, not read."""
    for host in range(HOSTS):
        for source in sorted(directory.glob(f"date=*/host={host_name(host % hosts)}/histograms-*.parquet")):
            table = pq.read_table(source, partitioning=None)
            renamed = {
                "host": [host_name(host)] * table.num_rows,
                "accelerator_uuid": [f"GPU-{host:05d}-{index}" for index in table["accelerator_index"].to_pylist()],
            }
            for name, texts in renamed.items():
                column = pa.array(texts).dictionary_encode().cast(TEXT)
                table = table.set_column(table.schema.names.index(name), name, column)
            folder = fleet / source.parents[1].name / f"host={host_name(host)}"
            folder.mkdir(parents=True)
            (folder / source.name).write_bytes(histogram_file(table))
            rows = source.with_name(source.name.replace("histograms", "rows", 1))
            (folder / rows.name).hardlink_to(rows)


def ask(directory: Path, how: str) -> None:
    """Ask the question in a process of its own, and say what it took."""
    started, processor = time.perf_counter(), time.process_time()
    if how == "count":
        paths = [str(path) for path in directory.glob("date=*/host=*/rows-*.parquet")]
        columns = ", ".join(f"count({metric}), count({metric}_max)" for metric in ASKED)
        engine = duckdb.connect()
        engine.execute("SET threads = 2")
        engine.execute(f"SELECT {columns} FROM read_parquet($paths)", {"paths": paths}).fetchall()
        answers = 1
    else:
        backend = EmbeddedBackend(directory, exact=how == "exact")
        window = backend.window()
        answers = sum(1 for _ in backend.summaries(ASKED, window))
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    print(f"{seconds} {processor} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024} {answers}")


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


def main() -> None:
    """Generate, ask, print."""
    if len(sys.argv) > 2:
        ask(Path(sys.argv[1]), sys.argv[2])
        return
    share = Fraction(sys.argv[1] if len(sys.argv) > 1 else "1/500")
    hosts = max(round(HOSTS * share), 1)
    rows = hosts * ACCELERATORS * DAYS * ROWS_PER_DAY
    spool_cost()
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        with ProcessPoolExecutor(2) as pool:
            written = list(pool.map(partial(generate, Path(name)), range(hosts)))
        rows_bytes, histogram_bytes = sum(one[0] for one in written), sum(one[1] for one in written)
        encoding = sum(one[2] for one in written)
        print(f"generated         {rows:,} rows, {hosts} of {HOSTS:,} hosts, in {time.perf_counter() - started:.0f} s")
        print(
            f"on disk           {rows_bytes / rows / NUMBERS_PER_ROW:.3f} bytes per number "
            f"({rows_bytes / rows / (len(ACCELERATOR_METRICS) * ROW_SECONDS):.3f} per reading at 1 Hz), "
            f"{rows_bytes / 1e6:,.1f} MB of rows and {histogram_bytes / 1e6:.1f} MB of histograms"
        )
        print(f"encoding          {rows / encoding / 1e6:.2f} million rows a second of one core, histograms included")
        half = Path(name) / "half"
        link_half(Path(name), half, hosts)
        for how, what in (("count", "baseline: count"), ("rollup", "from histograms"), ("exact", "from all rows")):
            seconds, processor, memory_mib, answers = asked(Path(name), how)
            per_host = (seconds - asked(half, how)[0]) / (hosts - hosts // 2)
            print(
                f"{what:<17} {seconds:.2f} s ({processor:.2f} s of processor), {memory_mib:.0f} MiB at most, "
                f"{answers:,.0f} answers; extrapolated from this and half of it to 645 million rows: "
                f"{seconds + per_host * (HOSTS - hosts):.1f} s"
            )
        if share >= WHOLE_FLEET_FROM:
            fleet = Path(name) / "fleet"
            count_whole_fleet(Path(name), fleet, hosts)
            seconds, processor, memory_mib, answers = asked(fleet, "rollup")
            print(
                f"whole fleet       {seconds:.2f} s ({processor:.2f} s of processor), {memory_mib:.0f} MiB at most, "
                f"{answers:,.0f} answers from the counts of 645 million rows: those of {hosts} hosts under {HOSTS:,} names"
            )


def link_half(whole: Path, half: Path, hosts: int) -> None:
    """A directory with half of the hosts."""
    for folder in sorted(whole.glob("date=*/host=*")):
        if int(folder.name[-4:]) < hosts // 2:
            place = half / folder.parent.name
            place.mkdir(parents=True, exist_ok=True)
            (place / folder.name).symlink_to(folder)


def asked(directory: Path, how: str) -> tuple[float, float, float, float]:
    """Seconds, seconds of processor, MiB and answers: the quickest of three processes, files in the page cache."""
    runs = []
    for _ in range(3):
        command = [sys.executable, __file__, str(directory), how]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout.split()
        runs.append(tuple(float(word) for word in said))
    return min(runs)


if __name__ == "__main__":
    main()
