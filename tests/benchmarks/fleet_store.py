"""A store of any size, made quickly: real files of a few hosts, under the names of many.

Each of :data:`VARIANTS` hosts is generated in full, with 8 accelerators and 2 engines, by the writers of compaction. The
texts of its files stay uncompressed and its pages without checksums, so that a copy under another name is a replacement
of bytes of the same length. Signals are made at 1 Hz and aggregated as the agent does it: a daily course with noise and
bursts.
"""

import io
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from advisor.samples.metrics import ENGINE_METRICS, METRICS, ROW_SECONDS, Kind
from advisor.samples.places import US_PER_DAY, US_PER_SECOND, day_folder, day_of
from advisor.samples.store.hosts import count_rows, steps_of, values_of
from advisor.samples.store.row_tables import (
    ACCELERATOR_COLUMNS,
    ENGINE_COLUMNS,
    HISTOGRAM_SCHEMA,
    METADATA,
    SCHEMA_KEY,
    TEXT,
    _is_plain,
    content_digest,
)

ACCELERATORS = 8
ROWS_PER_DAY = 86_400 // ROW_SECONDS
FIRST_US = 20_374 * US_PER_DAY
SECONDS = 86_400
MIB = 1 << 20
VARIANTS = 4
ENGINES = 2
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-32B")
LENGTH_BOUNDS = np.array([1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, np.inf])
SECONDS_BOUNDS = np.array(
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, np.inf]
)
MEDIANS = {"prompt_length_tokens": 500.0, "answer_length_tokens": 150.0, "ttft_seconds": 0.2, "tpot_seconds": 0.03}
SIGMA = 0.9
HITS = 0.29


def write_store(directory: Path, hosts: int, days: int) -> None:
    """Write hosts × days of 8 accelerators and 2 engines."""
    counted = {variant: [0.0] * ENGINES for variant in range(VARIANTS)}
    for day in range(days):
        for variant in range(min(VARIANTS, hosts)):
            files = _files(variant, day, counted[variant])
            for host in range(variant, hosts, VARIANTS):
                folder = day_folder(directory, day_of(FIRST_US + day * US_PER_DAY + 1), host_name(host))
                folder.mkdir(parents=True)
                for name, content in files.items():
                    renamed = content.replace(host_name(variant).encode(), host_name(host).encode())
                    (folder / name).write_bytes(renamed.replace(b"GPU-%05d" % variant, b"GPU-%05d" % host))


def _files(variant: int, day: int, counted: list[float]) -> dict[str, bytes]:
    rows, engines = table_of(variant, day), engine_table(variant, day, counted)
    digest = content_digest(f"{variant} {day}".encode())
    counts = count_rows(rows)
    return {
        f"rows-day-{digest}.parquet": _encoded(rows, METADATA),
        f"histograms-day-{digest}.parquet": _encoded(counts, {SCHEMA_KEY: HISTOGRAM_SCHEMA.encode()}),
        f"engines-day-{digest}.parquet": _encoded(engines, METADATA),
    }


def _encoded(table: pa.Table, metadata: dict[bytes, bytes]) -> bytes:
    """As :func:`advisor.samples.store.row_tables.encode_parquet`, but for texts and checksums."""
    text = {field.name for field in table.schema if pa.types.is_dictionary(field.type) or field.type == pa.string()}
    plain = [field.name for field in table.schema if _is_plain(field)]
    lists = {field.name for field in table.schema if pa.types.is_list(field.type)}
    stream = io.BytesIO()
    with pq.ParquetWriter(
        stream,
        table.schema.remove_metadata(),
        compression={
            f"{name}.list.element" if name in lists else name: "none" if name in text else "zstd"
            for name in table.column_names
        },
        use_dictionary=[name for name in table.column_names if name not in lists and name not in plain],
        column_encoding={
            name: "BYTE_STREAM_SPLIT" if pa.types.is_floating(table.schema.field(name).type) else "DELTA_BINARY_PACKED"
            for name in plain
            if name in table.column_names
        },
        write_statistics=["timestamp"] if "timestamp" in table.column_names else False,
        store_schema=False,
    ) as writer:
        writer.write_table(table.replace_schema_metadata(None), row_group_size=max(table.num_rows, 1))
        writer.add_key_value_metadata({key.decode(): value.decode() for key, value in metadata.items()})
    return stream.getvalue()


def engine_table(variant: int, day: int, counted: list[float]) -> pa.Table:
    """A day of the engines of a host, whose counters go on from *counted*; one of them restarts on the third day."""
    parts = []
    for number in range(ENGINES):
        columns, counted[number] = _engine(variant, number, day, counted[number])
        parts.append(columns)
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def _engine(variant: int, number: int, day: int, before: float) -> tuple[pa.Table, float]:
    random = np.random.default_rng([variant, number, day, 7])
    load = _load(random, 1.0 + 0.1 * number)[::ROW_SECONDS]
    finished = before + np.cumsum(random.poisson(load * 3 * ROW_SECONDS))
    if day == 2 and variant == number == 1:
        finished[ROWS_PER_DAY // 2 :] -= finished[ROWS_PER_DAY // 2 - 1]
    means = {name: median * np.exp(SIGMA**2 / 2) for name, median in MEDIANS.items()}
    counters = {
        "requests_finished": finished,
        "prompt_tokens": np.round(finished * means["prompt_length_tokens"]),
        "generated_tokens": np.round(finished * means["answer_length_tokens"]),
        "prefix_cache_queries": np.round(finished * means["prompt_length_tokens"]),
        "prefix_cache_hits": np.round(finished * means["prompt_length_tokens"] * HITS),
        "preemptions": np.zeros(ROWS_PER_DAY),
    }
    gauges = {
        "requests_running": np.round(40 * load),
        "requests_waiting": np.round(np.clip(load - 0.9, 0, 1) * 50),
        "kv_cache_used_ratio": np.clip(0.75 * load, 0, 1),
    }
    end_us = FIRST_US + day * US_PER_DAY + np.arange(1, ROWS_PER_DAY + 1) * ROW_SECONDS * US_PER_SECOND
    columns: dict[str, object] = {"timestamp": end_us, **counters}
    for name, values in gauges.items():
        kept = values_of(steps_of(values, METRICS[name].resolution), METRICS[name].resolution)
        columns |= {f"{name}{end}": kept for end in ("", "_min", "_max", "_last")}
        columns[f"{name}_n"] = np.full(ROWS_PER_DAY, ROW_SECONDS)
    for metric in ENGINE_METRICS:
        if metric.kind is Kind.HISTOGRAM and metric.name in MEDIANS:
            columns |= _histogram(metric.name, finished, means[metric.name])
    model = MODELS[variant % 2]
    texts = {
        "host": host_name(variant),
        "engine": "vllm",
        "endpoint": f"http://127.0.0.1:{8000 + number}/metrics",
        "model": model,
    }
    return pa.Table.from_arrays(
        [_column(field, columns, texts) for field in ENGINE_COLUMNS], schema=ENGINE_COLUMNS
    ), float(finished[-1])


def _histogram(name: str, finished: np.ndarray, mean: float) -> dict[str, object]:
    bounds = LENGTH_BOUNDS if name.endswith("tokens") else SECONDS_BOUNDS
    normal = NormalDist(np.log(MEDIANS[name]), SIGMA)
    shares = np.array([1.0 if np.isinf(bound) else normal.cdf(float(np.log(bound))) for bound in bounds])
    offsets = pa.array(np.arange(ROWS_PER_DAY + 1) * bounds.size, pa.int32())
    counts = np.floor(np.outer(finished, shares))
    return {
        f"{name}_bounds": pa.ListArray.from_arrays(offsets, pa.array(np.tile(bounds, ROWS_PER_DAY))),
        f"{name}_counts": pa.ListArray.from_arrays(offsets, pa.array(counts.ravel())),
        f"{name}_sum": finished * mean,
    }


def _column(field: pa.Field, columns: dict[str, object], texts: dict[str, str]) -> pa.Array:
    if field.name in texts:
        zeros = pa.array(np.zeros(ROWS_PER_DAY), pa.int32())
        return pa.DictionaryArray.from_arrays(zeros, pa.array([texts[field.name]])).cast(TEXT)
    if field.name in ("rank", "missed_ticks"):
        return pa.array(np.zeros(ROWS_PER_DAY), pa.int32())
    values = columns.get(field.name)
    if values is None:
        return pa.nulls(ROWS_PER_DAY, field.type)
    return values.cast(field.type) if isinstance(values, pa.ListArray) else pa.array(values).cast(field.type)


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
